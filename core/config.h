/* config.h - what a node was told to do, after flags, environment and file were merged and checked.
 *
 * Filled by main/settings/settings before any thread starts and then read by all. The members that
 * a reload may change are marked; they are replaced by publishing a whole new config, never in
 * place; the old one is freed when all workers have taken the new one (server.h).
 *
 * Threads: written before start, read-only afterwards. Owns: nothing (strings live at least as long
 * as it).
 */
#ifndef RINGPOST_CORE_CONFIG_H
#define RINGPOST_CORE_CONFIG_H

#include "core/base/log.h"
#include "core/base/span.h"
#include "core/limits.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum listener_kind { LISTENER_TCP, LISTENER_WEB, LISTENER_API, LISTENER_KINDS };
/* How Socket.IO servers are tied together: by createAdapter, or createShardedAdapter. */
enum socketio_adapter { ADAPTER_CLASSIC, ADAPTER_SHARDED };

enum steer { STEER_IP, STEER_TUPLE, STEER_NONE };
enum store_kind { STORE_MEMORY, STORE_DISK, STORE_REDIS };
enum store_sync { STORE_SYNC_ALWAYS, STORE_SYNC_INTERVAL, STORE_SYNC_NEVER };
enum amqp_declare { AMQP_DECLARE_OFF, AMQP_DECLARE_CLASSIC, AMQP_DECLARE_QUORUM };
enum amqp_settle { AMQP_SETTLE_TAKEN, AMQP_SETTLE_ACKED };
enum slow_policy { SLOW_CLOSE, SLOW_DROP_OLDEST, SLOW_KEEP_LATEST };

/* One address to listen on; `text` is what the user wrote. */
struct listen_address {
    enum listener_kind kind;
    struct sockaddr_storage address;
    socklen_t address_len;
    bool v6_only; /* [::] that leaves IPv4 to another listener of its port */
    const char *text;
};

/* A trusted network of --proxy-protocol or --forwarded; IPv4 is kept as v4-mapped IPv6. */
struct network {
    uint8_t address[16];
    uint8_t prefix_bits; /* 0..128 */
};

struct config {
    struct listen_address listeners[LISTENERS_MAX];
    unsigned listener_count;
    const char *ports_file; /* NULL: none */
    char node[65];          /* node name: 1..64 bytes of [A-Za-z0-9._-] */

    unsigned workers;      /* 1..WORKERS_MAX */
    int cpus[WORKERS_MAX]; /* the CPU of each worker; -1: not pinned */
    enum steer steer;
    struct network proxies[PROXY_NETS_MAX];
    unsigned proxy_count;                      /* 0: PROXY protocol is off */
    struct network forwarders[PROXY_NETS_MAX]; /* whose X-Forwarded-For counts */
    unsigned forwarder_count;

    const char *api_keys[API_KEYS_MAX]; /* reloadable; those of the file too */
    unsigned api_key_count;
    const char *api_key_file;         /* reloadable; NULL: none */
    const char *origins[ORIGINS_MAX]; /* --cors; reloadable; "*" stands for any */
    unsigned origin_count;
    const char *web_hosts[ORIGINS_MAX]; /* --web-host, lower case; reloadable */
    unsigned web_host_count;
    const char *socketio_client;            /* reloadable; NULL: none */
    struct span socketio_script;            /* what is in that file; reloadable with it */
    const char *socketio_version;           /* which script it is: an ETag, with its quotes */
    const char *namespaces[NAMESPACES_MAX]; /* `/` comes first (namespaces.h) */
    unsigned namespace_count;
    bool client_send;
    bool demo;
    bool deflate;     /* messages over WebSocket may be compressed */
    bool conformance; /* what public test suites want to talk to; loopback only */
    bool sandbox;     /* only the system calls of sandbox.c's table, once the node runs */

    uint64_t heartbeat_ns;
    uint64_t heartbeat_timeout_ns;
    uint64_t hello_timeout_ns;
    uint64_t upgrade_timeout_ns; /* from an upgrade's WebSocket to its last packet */
    uint64_t connect_timeout_ns; /* from an Engine.IO session to its first namespace */
    uint64_t drain_timeout_ns;   /* reloadable */

    uint32_t max_message_bytes;
    uint32_t max_body_bytes;
    uint32_t max_payload_bytes; /* of an Engine.IO poll, POST or frame */
    uint32_t outbox_bytes;
    uint32_t send_buffer_bytes; /* unsent in the kernel for one connection, a segment aside */
    enum slow_policy slow;
    uint64_t memory_bytes;    /* ceiling for everything that waits */
    uint32_t max_connections; /* whole node; at least 1 */
    uint32_t max_per_address; /* 0: off */
    double rate_limit;        /* messages a second for each key or client; 0: off */

    uint64_t dedup_window_ns;
    uint32_t dedup_max;

    /* Messages that are to be acknowledged (keeper.h, fates.h). */
    uint64_t ack_silence_ns; /* without an acknowledgement: handed over again */
    uint32_t ack_window;     /* handed over and not acknowledged, of one client id */
    uint32_t ack_backlog;    /* kept for one client id */
    uint64_t fate_window_ns; /* fates are known for so long after they settled */
    uint32_t fate_max;
    enum store_kind store;
    const char *data; /* the directory of STORE_DISK; NULL: none */
    enum store_sync store_sync;
    /* URLs that redis_url_parse takes; none: no other nodes. */
    const char *redis[REDIS_SERVERS_MAX];
    unsigned redis_count;
    const char *redis_file;       /* where it was read; NULL: none */
    const char *redis_prefix;     /* of channels */
    struct listen_address peer;   /* where other nodes ask for polls; its `text` NULL: nowhere */
    const char *peer_secret_file; /* NULL: none */
    uint8_t peer_key[32];         /* what is in it (hash.h) */
    /* Of the channels of Socket.IO servers (ha/redis/redis_adapter.h); NULL: none. */
    const char *socketio_redis_key;
    enum socketio_adapter socketio_adapter;

    /* Queues that messages come from (ingest/amqp/amqp_port.h). */
    const char *amqp[AMQP_URLS_MAX]; /* URLs that amqp_url_parse takes; none: no queues */
    unsigned amqp_count;
    const char *amqp_file; /* where they were read; NULL: none */
    const char *amqp_queues[AMQP_QUEUES_MAX];
    unsigned amqp_queue_count;
    enum amqp_declare amqp_declare;
    uint64_t amqp_queue_ttl_ns;
    uint32_t amqp_prefetch;
    enum amqp_settle amqp_settle;
    uint64_t amqp_hold_ns;
    const char *amqp_refused, *amqp_results;    /* exchanges; NULL: none */
    const char *amqp_replies[AMQP_REPLIES_MAX]; /* "off", "direct", prefixes of queues */
    unsigned amqp_reply_count;
    const char *amqp_ca, *amqp_cert, *amqp_key; /* files; NULL: none */

    /* Alerts (ha/alert/alert_place.h). */
    const char *alert_url; /* NULL: none */
    const char *alert_mail[ALERT_MAILS_MAX];
    unsigned alert_mail_count;
    const char *alert_smtp;      /* NULL: none */
    const char *alert_smtp_file; /* where it was read; NULL: none */
    const char *alert_from;      /* NULL: ringpost@ the host's name */
    uint64_t alert_after_ns;

    enum log_level log_level; /* reloadable */
    enum log_format log_format;

    bool test_kernel_6_1; /* use no kernel feature newer than 6.1's */
    bool test_no_cbpf;    /* steer in user space, as where classic BPF cannot be attached */
};

#endif
