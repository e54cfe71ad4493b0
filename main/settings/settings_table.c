/* settings_table.c - the table itself; see settings_table.h. */
#include "main/settings/settings_table.h"

#include <stddef.h>

#define AT(member) offsetof(struct config, member)

static const char *const steer_words[] = {"ip", "tuple", "none", NULL};
static const char *const slow_words[] = {"close", "drop-oldest", "keep-latest", NULL};
static const char *const store_words[] = {"memory", "disk", "redis", NULL};
static const char *const adapter_words[] = {"classic", "sharded", NULL};
static const char *const fsync_words[] = {"always", "interval", "never", NULL};
static const char *const declare_words[] = {"off", "classic", "quorum", NULL};
static const char *const settle_words[] = {"taken", "acked", NULL};
static const char *const level_words[] = {"debug", "info", "warn", "error", NULL};
static const char *const format_words[] = {"logfmt", "json", NULL};

const char *const settings_topic_titles[TOPICS] = {
    [TOPIC_LISTENERS] = "Listeners",
    [TOPIC_NODE] = "The node and its threads",
    [TOPIC_CLIENTS] = "Clients and producers",
    [TOPIC_WAITING] = "Messages that wait",
    [TOPIC_CLUSTER] = "Several nodes",
    [TOPIC_AMQP] = "Queues of RabbitMQ",
    [TOPIC_ALERTS] = "Alerts",
    [TOPIC_LIMITS] = "Limits",
    [TOPIC_LOG] = "Log",
    [TOPIC_TESTS] = "For tests",
};

/* clang-format off */
const struct setting settings_table[SETTINGS] = {
    [SET_CONFIG] = {
        .name = "config", .environment = "RINGPOST_CONFIG", .value = "FILE",
        .kind = SETTING_TEXT, .topic = TOPIC_LISTENERS,
        .fallback_words = "none",
        .help = "Read settings from this file too: one `key = value` a line. A key is a flag "
                "without its dashes; # begins a comment."},
    [SET_TCP] = {
        .name = "tcp", .environment = "RINGPOST_TCP", .value = "ADDR:PORT",
        .kind = SETTING_LISTENERS, .topic = TOPIC_LISTENERS, .traits = SETTING_LIST,
        .fallback = "127.0.0.1:7000",
        .help = "Addresses for raw TCP clients. Port 0 takes a free port; `off` turns the "
                "listener off. The node does not authenticate clients, so listen beyond "
                "loopback only on a trusted network or behind a balancer."},
    [SET_WEB] = {
        .name = "web", .environment = "RINGPOST_WEB", .value = "ADDR:PORT",
        .kind = SETTING_LISTENERS, .topic = TOPIC_LISTENERS, .traits = SETTING_LIST,
        .fallback = "127.0.0.1:8080",
        .help = "Addresses for browsers: /ws, /events, /socket.io/, a page. Otherwise like tcp."},
    [SET_API] = {
        .name = "api", .environment = "RINGPOST_API", .value = "ADDR:PORT",
        .kind = SETTING_LISTENERS, .topic = TOPIC_LISTENERS, .traits = SETTING_LIST,
        .fallback = "127.0.0.1:8081",
        .help = "Addresses for producers and operators, who speak HTTP. An address beyond "
                "loopback needs an api-key. Otherwise like tcp."},
    [SET_PORTS_FILE] = {
        .name = "ports-file", .environment = "RINGPOST_PORTS_FILE", .value = "FILE",
        .kind = SETTING_TEXT, .topic = TOPIC_LISTENERS, .offset = AT(ports_file),
        .fallback_words = "none",
        .help = "Once all listeners accept, write their real addresses to this file, as JSON."},
    [SET_PROXY_PROTOCOL] = {
        .name = "proxy-protocol", .environment = "RINGPOST_PROXY_PROTOCOL", .value = "CIDR",
        .kind = SETTING_NETWORKS, .topic = TOPIC_LISTENERS, .traits = SETTING_LIST,
        .fallback_words = "off",
        .help = "Networks of the load balancers in front. Connections from these networks must "
                "begin with a PROXY header (version 1 or 2); all others must not."},
    [SET_FORWARDED] = {
        .name = "forwarded", .environment = "RINGPOST_FORWARDED", .value = "CIDR",
        .kind = SETTING_NETWORKS, .topic = TOPIC_LISTENERS, .traits = SETTING_LIST,
        .fallback_words = "off",
        .help = "Networks of the HTTP proxies in front of web and api. In requests from these "
                "networks the node takes the last address of X-Forwarded-For outside them as "
                "the client's, in logs and limits."},
    [SET_CORS] = {
        .name = "cors", .environment = "RINGPOST_CORS", .value = "ORIGIN",
        .kind = SETTING_ORIGINS, .topic = TOPIC_LISTENERS,
        .traits = SETTING_LIST | SETTING_RELOADABLE,
        .fallback_words = "none",
        .help = "Origins of web pages, besides the node's own, that may use the web listener, "
                "such as https://shop.example. A * allows every page."},
    [SET_WEB_HOST] = {
        .name = "web-host", .environment = "RINGPOST_WEB_HOST", .value = "NAME",
        .kind = SETTING_HOSTS, .topic = TOPIC_LISTENERS,
        .traits = SETTING_LIST | SETTING_RELOADABLE,
        .fallback_words = "none",
        .help = "Names under which browsers reach the web listener, without port. Pages under "
                "these names may use the listener. The node then refuses any other Host except "
                "an address or localhost; /healthz answers all."},
    [SET_DEMO] = {
        .name = "demo", .environment = "RINGPOST_DEMO", .value = "on|off",
        .kind = SETTING_SWITCH, .topic = TOPIC_LISTENERS, .offset = AT(demo),
        .fallback = "on",
        .help = "Serve the demo page at / of the web listener."},
    [SET_SOCKETIO_CLIENT] = {
        .name = "socketio-client", .environment = "RINGPOST_SOCKETIO_CLIENT", .value = "FILE",
        .kind = SETTING_TEXT, .topic = TOPIC_LISTENERS, .traits = SETTING_RELOADABLE,
        .offset = AT(socketio_client),
        .fallback_words = "none",
        .help = "The script that pages load from /socket.io/socket.io.js of the web listener: "
                "dist/socket.io.min.js (of 2.x dist/socket.io.js) of the npm package "
                "socket.io-client, in the version that the pages want. At most 1 MiB. The page "
                "at / offers Socket.IO with it. SIGHUP reads the file again."},
    [SET_DEFLATE] = {
        .name = "deflate", .environment = "RINGPOST_DEFLATE", .value = "on|off",
        .kind = SETTING_SWITCH, .topic = TOPIC_LISTENERS, .offset = AT(deflate),
        .fallback = "off",
        .help = "Let clients of WebSocket agree on permessage-deflate. The node compresses a "
                "message of 512 bytes and more once for all of them, each message by itself."},
    [SET_NODE] = {
        .name = "node", .environment = "RINGPOST_NODE", .value = "NAME",
        .kind = SETTING_NODE, .topic = TOPIC_NODE, .offset = AT(node),
        .fallback_words = "random, like node-3f9a2c",
        .help = "Name of this node in answers, logs and statistics."},
    [SET_WORKERS] = {
        .name = "workers", .environment = "RINGPOST_WORKERS", .value = "N",
        .kind = SETTING_COUNT, .topic = TOPIC_NODE, .min = 1, .max = WORKERS_MAX,
        .offset = AT(workers),
        .fallback_words = "one for each usable CPU",
        .help = "Number of pinned threads that carry the connections. Usable CPUs are those of "
                "the affinity mask, but no more than a container's CPU quota allows. At most 56: "
                "with up to 8 other threads of the node they share sets of 64."},
    [SET_CPUS] = {
        .name = "cpus", .environment = "RINGPOST_CPUS", .value = "LIST",
        .kind = SETTING_CPUS, .topic = TOPIC_NODE, .traits = SETTING_LIST,
        .fallback_words = "the usable ones",
        .help = "CPUs to pin workers to, such as 0-3,6. More workers than CPUs share them."},
    [SET_SANDBOX] = {
        .name = "sandbox", .environment = "RINGPOST_SANDBOX", .value = "on|off",
        .kind = SETTING_SWITCH, .topic = TOPIC_NODE, .offset = AT(sandbox),
        .fallback = "on",
        .help = "After the start, take no new privileges and make only the system calls that a "
                "running node needs. Any other call fails, and the node logs its name."},
    [SET_STEER] = {
        .name = "steer", .environment = "RINGPOST_STEER", .value = "ip|tuple|none",
        .kind = SETTING_CHOICE, .choices = steer_words, .topic = TOPIC_NODE, .offset = AT(steer),
        .fallback = "ip",
        .help = "How the node spreads new connections over the workers: by the client's address, "
                "by address and port, or as the kernel chooses."},
    [SET_API_KEY] = {
        .name = "api-key", .environment = "RINGPOST_API_KEY", .value = "KEY",
        .kind = SETTING_KEYS, .topic = TOPIC_CLIENTS, .traits = SETTING_LIST | SETTING_RELOADABLE,
        .fallback_words = "none",
        .help = "A key for the api listener. Several keys may be valid at once, so that you can "
                "exchange them without a gap. Other users of the machine can see flags: put "
                "keys into the environment or the file."},
    [SET_API_KEY_FILE] = {
        .name = "api-key-file", .environment = "RINGPOST_API_KEY_FILE", .value = "FILE",
        .kind = SETTING_TEXT, .topic = TOPIC_CLIENTS, .traits = SETTING_RELOADABLE,
        .offset = AT(api_key_file),
        .fallback_words = "none",
        .help = "Read keys from this file too, one a line; the node skips blank lines and "
                "# COMMENT lines. SIGHUP reads the file again."},
    [SET_CLIENT_SEND] = {
        .name = "client-send", .environment = "RINGPOST_CLIENT_SEND", .value = "on|off",
        .kind = SETTING_SWITCH, .topic = TOPIC_CLIENTS, .offset = AT(client_send),
        .fallback = "off",
        .help = "Let connected clients send messages too, not only producers."},
    [SET_NAMESPACES] = {
        .name = "namespaces", .environment = "RINGPOST_NAMESPACES", .value = "NAME",
        .kind = SETTING_NAMESPACES, .topic = TOPIC_CLIENTS, .traits = SETTING_LIST,
        .fallback = "/",
        .help = "Namespaces of Socket.IO besides /, such as /admin. Each is a world of ids and "
                "groups of its own. The store on disk knows them by their place in this list, so "
                "add new ones at its end."},
    [SET_HEARTBEAT] = {
        .name = "heartbeat", .environment = "RINGPOST_HEARTBEAT", .value = "SECONDS",
        .kind = SETTING_SECONDS, .topic = TOPIC_CLIENTS, .min = 0.01, .max = 86400,
        .offset = AT(heartbeat_ns),
        .fallback = "25",
        .help = "The node pings a client that was silent for this long, and writes a comment to a "
                "stream at /events that was."},
    [SET_HEARTBEAT_TIMEOUT] = {
        .name = "heartbeat-timeout", .environment = "RINGPOST_HEARTBEAT_TIMEOUT",
        .value = "SECONDS",
        .kind = SETTING_SECONDS, .topic = TOPIC_CLIENTS, .min = 0.01, .max = 86400,
        .offset = AT(heartbeat_timeout_ns),
        .fallback = "20",
        .help = "The node disconnects a client that stays silent for this long after the ping."},
    [SET_HELLO_TIMEOUT] = {
        .name = "hello-timeout", .environment = "RINGPOST_HELLO_TIMEOUT", .value = "SECONDS",
        .kind = SETTING_SECONDS, .topic = TOPIC_CLIENTS, .min = 0.01, .max = 3600,
        .offset = AT(hello_timeout_ns),
        .fallback = "10",
        .help = "The node closes a new connection that has not said hello after this long."},
    [SET_CONNECT_TIMEOUT] = {
        .name = "connect-timeout", .environment = "RINGPOST_CONNECT_TIMEOUT", .value = "SECONDS",
        .kind = SETTING_SECONDS, .topic = TOPIC_CLIENTS, .min = 0.01, .max = 3600,
        .offset = AT(connect_timeout_ns),
        .fallback = "45",
        .help = "The node closes a Socket.IO client that has connected to no namespace after this "
                "long."},
    [SET_UPGRADE_TIMEOUT] = {
        .name = "upgrade-timeout", .environment = "RINGPOST_UPGRADE_TIMEOUT", .value = "SECONDS",
        .kind = SETTING_SECONDS, .topic = TOPIC_CLIENTS, .min = 0.01, .max = 3600,
        .offset = AT(upgrade_timeout_ns),
        .fallback = "10",
        .help = "The node closes the WebSocket of a polling client's upgrade that is not finished "
                "after this long; the client goes on polling."},
    [SET_DRAIN_TIMEOUT] = {
        .name = "drain-timeout", .environment = "RINGPOST_DRAIN_TIMEOUT", .value = "SECONDS",
        .kind = SETTING_SECONDS, .topic = TOPIC_CLIENTS, .traits = SETTING_RELOADABLE, .min = 0,
        .max = 86400, .offset = AT(drain_timeout_ns),
        .fallback = "10",
        .help = "After SIGTERM, the node waits this long for clients to read their messages."},
    [SET_MAX_MESSAGE] = {
        .name = "max-message", .environment = "RINGPOST_MAX_MESSAGE", .value = "BYTES",
        .kind = SETTING_BYTES, .topic = TOPIC_WAITING, .min = 1, .max = 16777216,
        .offset = AT(max_message_bytes),
        .fallback = "65536",
        .help = "The largest `data` of one message. A worker reads one in one turn, and its other "
                "clients wait: 16M of JSON took 100 to 230 ms, 1M took 16 ms "
                "(`curl --json @FILE NODE/v1/clients/x` with a FILE of `[1,1,1...]`, then "
                "`ringpost_turn_longest_seconds` in /metrics)."},
    [SET_MAX_BODY] = {
        .name = "max-body", .environment = "RINGPOST_MAX_BODY", .value = "BYTES",
        .kind = SETTING_BYTES, .topic = TOPIC_WAITING, .min = 1, .max = 1073741824,
        .offset = AT(max_body_bytes),
        .fallback = "8388608",
        .help = "The largest body of one HTTP request, batches included."},
    [SET_MAX_PAYLOAD] = {
        .name = "max-payload", .environment = "RINGPOST_MAX_PAYLOAD", .value = "BYTES",
        .kind = SETTING_BYTES, .topic = TOPIC_WAITING, .min = 1024, .max = 16777216,
        .offset = AT(max_payload_bytes),
        .fallback = "1000000",
        .help = "The largest Engine.IO body or frame, either way; a poll is answered with more "
                "only if that is one message."},
    [SET_OUTBOX_BYTES] = {
        .name = "outbox-bytes", .environment = "RINGPOST_OUTBOX_BYTES", .value = "BYTES",
        .kind = SETTING_BYTES, .topic = TOPIC_WAITING, .min = 1024, .max = 1073741824,
        .offset = AT(outbox_bytes),
        .fallback = "1048576",
        .help = "Bytes that may wait for one session; a session with more counts as slow."},
    [SET_SLOW] = {
        .name = "slow", .environment = "RINGPOST_SLOW", .value = "POLICY",
        .kind = SETTING_CHOICE, .choices = slow_words, .topic = TOPIC_WAITING, .offset = AT(slow),
        .fallback = "close",
        .help = "What the node does with a slow session: `close` disconnects it, `drop-oldest` "
                "drops messages from the front of its queue, `keep-latest` keeps only the newest "
                "waiting message."},
    [SET_SEND_BUFFER] = {
        .name = "send-buffer", .environment = "RINGPOST_SEND_BUFFER", .value = "BYTES",
        .kind = SETTING_BYTES, .topic = TOPIC_WAITING, .min = 4096, .max = 1073741824,
        .offset = AT(send_buffer_bytes),
        .fallback = "131072", .fallback_words = "131072; 4096 with `--slow keep-latest`",
        .help = "Bytes that the kernel may hold unsent for one connection of any listener, plus "
                "at most one segment (64K). They do not count towards memory and outbox-bytes."},
    [SET_MEMORY] = {
        .name = "memory", .environment = "RINGPOST_MEMORY", .value = "BYTES",
        .kind = SETTING_MEMORY, .topic = TOPIC_WAITING, .min = 1048576, .max = 17592186044416,
        .offset = AT(memory_bytes),
        .fallback = "75%", .fallback_words = "75% of the machine's or container's",
        .help = "Ceiling for everything that waits in the whole node: bytes, or like 512M, 2G, "
                "50%. The node refuses the excess."},
    [SET_MAX_CONNECTIONS] = {
        .name = "max-connections", .environment = "RINGPOST_MAX_CONNECTIONS", .value = "N",
        .kind = SETTING_COUNT, .topic = TOPIC_LIMITS, .min = 1, .max = 16777216,
        .offset = AT(max_connections),
        .fallback_words = "from the limit of open files",
        .help = "Connections of the whole node. The node accepts, counts and closes further ones."},
    [SET_MAX_PER_ADDRESS] = {
        .name = "max-per-address", .environment = "RINGPOST_MAX_PER_ADDRESS", .value = "N",
        .kind = SETTING_COUNT, .topic = TOPIC_LIMITS, .traits = SETTING_OFF, .min = 1,
        .max = 16777216, .offset = AT(max_per_address),
        .fallback = "off",
        .help = "Connections from one address, and sessions of Socket.IO from there that poll."},
    [SET_RATE_LIMIT] = {
        .name = "rate-limit", .environment = "RINGPOST_RATE_LIMIT", .value = "PER-SECOND",
        .kind = SETTING_RATE, .topic = TOPIC_LIMITS, .traits = SETTING_OFF, .min = 0.001,
        .max = 1000000000, .offset = AT(rate_limit),
        .fallback = "off",
        .help = "Messages a second that one API key, or one sending client, may push."},
    [SET_DEDUP_WINDOW] = {
        .name = "dedup-window", .environment = "RINGPOST_DEDUP_WINDOW", .value = "SECONDS",
        .kind = SETTING_SECONDS, .topic = TOPIC_WAITING, .min = 0, .max = 604800,
        .offset = AT(dedup_window_ns),
        .fallback = "120",
        .help = "How long the node remembers the id of a message, so that it does not deliver a "
                "repeated push again; and what it wrote to a stream at /events, for clients that "
                "come back."},
    [SET_DEDUP_MAX] = {
        .name = "dedup-max", .environment = "RINGPOST_DEDUP_MAX", .value = "N",
        .kind = SETTING_COUNT, .topic = TOPIC_WAITING, .min = 1, .max = 100000000,
        .offset = AT(dedup_max),
        .fallback = "1000000",
        .help = "Ids that the node remembers at most; it forgets the oldest first."},
    [SET_ACK_SILENCE] = {
        .name = "ack-silence", .environment = "RINGPOST_ACK_SILENCE", .value = "SECONDS",
        .kind = SETTING_SECONDS, .topic = TOPIC_WAITING, .min = 0.1, .max = 86400,
        .offset = AT(ack_silence_ns),
        .fallback = "10",
        .help = "A message with `ack` that a client has not acknowledged for so long is handed to "
                "it again."},
    [SET_ACK_WINDOW] = {
        .name = "ack-window", .environment = "RINGPOST_ACK_WINDOW", .value = "N",
        .kind = SETTING_COUNT, .topic = TOPIC_WAITING, .min = 1, .max = 65536,
        .offset = AT(ack_window),
        .fallback = "256",
        .help = "Messages with `ack` that one client id has been handed and not acknowledged; "
                "further ones wait."},
    [SET_ACK_BACKLOG] = {
        .name = "ack-backlog", .environment = "RINGPOST_ACK_BACKLOG", .value = "N",
        .kind = SETTING_COUNT, .topic = TOPIC_WAITING, .min = 1, .max = 10000000,
        .offset = AT(ack_backlog),
        .fallback = "10000",
        .help = "Messages with `ack` that the node keeps for one client id; it refuses further "
                "ones (503)."},
    [SET_FATE_WINDOW] = {
        .name = "fate-window", .environment = "RINGPOST_FATE_WINDOW", .value = "SECONDS",
        .kind = SETTING_SECONDS, .topic = TOPIC_WAITING, .min = 0, .max = 604800,
        .offset = AT(fate_window_ns),
        .fallback = "3600",
        .help = "How long the node tells what became of a message with `ack` after that is "
                "settled."},
    [SET_FATE_MAX] = {
        .name = "fate-max", .environment = "RINGPOST_FATE_MAX", .value = "N",
        .kind = SETTING_COUNT, .topic = TOPIC_WAITING, .min = 1, .max = 100000000,
        .offset = AT(fate_max),
        .fallback = "1000000",
        .help = "Settled messages with `ack` that the node remembers at most; it forgets the "
                "oldest first. Those that clients sent take at most a quarter of it."},
    [SET_STORE] = {
        .name = "store", .environment = "RINGPOST_STORE", .value = "memory|disk",
        .kind = SETTING_CHOICE, .choices = store_words, .topic = TOPIC_WAITING,
        .offset = AT(store),
        .fallback = "memory",
        .fallback_words = "disk with --data, else memory",
        .help = "Where a message with `ack` is until it is acknowledged: in memory, which ends "
                "with the process, or on disk as well, where it is before its producer is "
                "answered."},
    [SET_DATA] = {
        .name = "data", .environment = "RINGPOST_DATA", .value = "DIR",
        .kind = SETTING_TEXT, .topic = TOPIC_WAITING, .offset = AT(data),
        .fallback_words = "none",
        .help = "The directory of the store on disk; only one process uses it at a time. It is "
                "made if its parent is there."},
    [SET_FSYNC] = {
        .name = "fsync", .environment = "RINGPOST_FSYNC", .value = "always|interval|never",
        .kind = SETTING_CHOICE, .choices = fsync_words, .topic = TOPIC_WAITING,
        .offset = AT(store_sync),
        .fallback = "always",
        .help = "When the store on disk makes sure of what it wrote: before it answers, once a "
                "second, or when the system does. Without `always` a cut of the power loses what "
                "was answered."},
    [SET_REDIS] = {
        .name = "redis", .environment = "RINGPOST_REDIS", .value = "URL",
        .kind = SETTING_REDIS, .topic = TOPIC_CLUSTER, .traits = SETTING_LIST,
        .fallback_words = "none",
        .help = "A Redis server that ties nodes together: a message that is pushed to one node "
                "reaches clients of all. redis://[USER[:PASSWORD]@]HOST[:PORT][/DB] is the server "
                "itself; given several times, channels are spread over these servers: name the "
                "same ones, by the same hosts and ports, on every node. "
                "redis+sentinel://...HOST:PORT,HOST:PORT/NAME are Sentinels that say where the "
                "server called NAME is, and are followed when it fails over. "
                "redis+cluster://HOST:PORT,... names some nodes of a Redis Cluster of version 7.0 "
                "or later. Other users of the machine can see flags: put a URL with a password "
                "into the environment or into redis-file."},
    [SET_REDIS_FILE] = {
        .name = "redis-file", .environment = "RINGPOST_REDIS_FILE", .value = "FILE",
        .kind = SETTING_TEXT, .topic = TOPIC_CLUSTER, .offset = AT(redis_file),
        .fallback_words = "none",
        .help = "Read the URL of redis from this file, or several, one a line; it holds nothing "
                "else but blank lines and # COMMENT lines."},
    [SET_REDIS_PREFIX] = {
        .name = "redis-prefix", .environment = "RINGPOST_REDIS_PREFIX", .value = "TEXT",
        .kind = SETTING_TEXT, .topic = TOPIC_CLUSTER, .offset = AT(redis_prefix),
        .fallback = "ringpost:",
        .help = "What the names of all channels begin with. Nodes with another prefix are another "
                "cluster, also on the same Redis."},
    [SET_PEER] = {
        .name = "peer", .environment = "RINGPOST_PEER", .value = "ADDR:PORT",
        .kind = SETTING_PEER, .topic = TOPIC_CLUSTER,
        .fallback_words = "none",
        .help = "With redis: pass Engine.IO polls on to the nodes where their sessions live, and "
                "take theirs at this address, by which other nodes reach this one. So clients of "
                "Socket.IO that poll need no sticky balancer. Needs peer-secret-file."},
    [SET_PEER_SECRET_FILE] = {
        .name = "peer-secret-file", .environment = "RINGPOST_PEER_SECRET_FILE", .value = "FILE",
        .kind = SETTING_TEXT, .topic = TOPIC_CLUSTER, .offset = AT(peer_secret_file),
        .fallback_words = "none",
        .help = "A secret by which the nodes know each other, the same for all: 16 bytes or more, "
                "white space around it aside."},
    [SET_SOCKETIO_REDIS_KEY] = {
        .name = "socketio-redis-key", .environment = "RINGPOST_SOCKETIO_REDIS_KEY", .value = "KEY",
        .kind = SETTING_TEXT, .topic = TOPIC_CLUSTER, .offset = AT(socketio_redis_key),
        .fallback_words = "none",
        .help = "Take a seat in the cluster of Socket.IO servers whose Redis adapter has this key "
                "(theirs is socket.io unless they say so), over the same Redis as redis: what "
                "they and their emitters emit reaches clients here, and the other way round."},
    [SET_SOCKETIO_REDIS_ADAPTER] = {
        .name = "socketio-redis-adapter", .environment = "RINGPOST_SOCKETIO_REDIS_ADAPTER",
        .value = "classic|sharded",
        .kind = SETTING_CHOICE, .choices = adapter_words, .topic = TOPIC_CLUSTER,
        .offset = AT(socketio_adapter), .fallback = "classic",
        .help = "Which adapter those servers have: `classic` is createAdapter, `sharded` is "
                "createShardedAdapter, which needs Redis 7.0 or later."},
    [SET_AMQP] = {
        .name = "amqp", .environment = "RINGPOST_AMQP", .value = "URL",
        .kind = SETTING_AMQP, .topic = TOPIC_AMQP, .traits = SETTING_LIST,
        .fallback_words = "none",
        .help = "A broker (RabbitMQ) that messages come from: "
                "amqp://[USER[:PASSWORD]@]HOST[:PORT][/VHOST], or amqps:// for TLS. Several are "
                "addresses of one cluster, tried in turn. Other users of the machine can see "
                "flags: put a URL with a password into the environment or into amqp-file."},
    [SET_AMQP_FILE] = {
        .name = "amqp-file", .environment = "RINGPOST_AMQP_FILE", .value = "FILE",
        .kind = SETTING_TEXT, .topic = TOPIC_AMQP, .offset = AT(amqp_file),
        .fallback_words = "none",
        .help = "Read the URLs of amqp from this file, one a line; it holds nothing else but "
                "blank lines and # COMMENT lines."},
    [SET_AMQP_QUEUE] = {
        .name = "amqp-queue", .environment = "RINGPOST_AMQP_QUEUE", .value = "NAME",
        .kind = SETTING_AMQP, .topic = TOPIC_AMQP, .traits = SETTING_LIST,
        .fallback_words = "none",
        .help = "Queues to consume."},
    [SET_AMQP_DECLARE] = {
        .name = "amqp-declare", .environment = "RINGPOST_AMQP_DECLARE",
        .value = "off|classic|quorum",
        .kind = SETTING_CHOICE, .choices = declare_words, .topic = TOPIC_AMQP,
        .offset = AT(amqp_declare),
        .fallback = "off",
        .help = "Only look the queues up, or declare them: durable, of that type, with a ttl for "
                "their messages (amqp-queue-ttl)."},
    [SET_AMQP_QUEUE_TTL] = {
        .name = "amqp-queue-ttl", .environment = "RINGPOST_AMQP_QUEUE_TTL", .value = "SECONDS",
        .kind = SETTING_SECONDS, .topic = TOPIC_AMQP, .min = 0.001, .max = 31536000,
        .offset = AT(amqp_queue_ttl_ns),
        .fallback = "600",
        .help = "How long a message waits in a queue that the node declares (x-message-ttl)."},
    [SET_AMQP_PREFETCH] = {
        .name = "amqp-prefetch", .environment = "RINGPOST_AMQP_PREFETCH", .value = "N",
        .kind = SETTING_COUNT, .topic = TOPIC_AMQP, .min = 1, .max = 65535,
        .offset = AT(amqp_prefetch),
        .fallback = "256",
        .help = "So many deliveries of a queue may be unsettled; the broker gives no more."},
    [SET_AMQP_SETTLE] = {
        .name = "amqp-settle", .environment = "RINGPOST_AMQP_SETTLE", .value = "taken|acked",
        .kind = SETTING_CHOICE, .choices = settle_words, .topic = TOPIC_AMQP,
        .offset = AT(amqp_settle),
        .fallback = "taken",
        .help = "When a message with ack leaves its queue: once this node has taken it, or once "
                "its clients have acknowledged it, so that the queue is its store."},
    [SET_AMQP_HOLD] = {
        .name = "amqp-hold", .environment = "RINGPOST_AMQP_HOLD", .value = "SECONDS",
        .kind = SETTING_SECONDS, .topic = TOPIC_AMQP, .min = 0, .max = 1500,
        .offset = AT(amqp_hold_ns),
        .fallback = "60",
        .help = "A message that cannot be taken now is tried for so long, then refused."},
    [SET_AMQP_REFUSED] = {
        .name = "amqp-refused", .environment = "RINGPOST_AMQP_REFUSED", .value = "EXCHANGE",
        .kind = SETTING_TEXT, .topic = TOPIC_AMQP, .offset = AT(amqp_refused),
        .fallback_words = "none",
        .help = "Publish what is refused there, with headers that say why; without it such a "
                "message is rejected, and the queue's own dead-lettering has it."},
    [SET_AMQP_RESULTS] = {
        .name = "amqp-results", .environment = "RINGPOST_AMQP_RESULTS", .value = "EXCHANGE",
        .kind = SETTING_TEXT, .topic = TOPIC_AMQP, .offset = AT(amqp_results),
        .fallback_words = "none",
        .help = "Publish there what has become of each message with ack, whichever way it came "
                "in, when it is settled; the routing key is acked, expired or dropped."},
    [SET_AMQP_REPLIES] = {
        .name = "amqp-replies", .environment = "RINGPOST_AMQP_REPLIES",
        .value = "off|direct|PREFIX",
        .kind = SETTING_AMQP, .topic = TOPIC_AMQP, .traits = SETTING_LIST,
        .fallback = "direct",
        .help = "Where answers to messages with reply_to may go: nowhere, to RabbitMQ's direct "
                "reply-to, or to queues whose names begin so; several may stand together."},
    [SET_AMQP_CA] = {
        .name = "amqp-ca", .environment = "RINGPOST_AMQP_CA", .value = "FILE",
        .kind = SETTING_TEXT, .topic = TOPIC_AMQP, .offset = AT(amqp_ca),
        .fallback_words = "none",
        .help = "Certificates (PEM) that the broker's own must be signed by; needed for amqps://."},
    [SET_AMQP_CERT] = {
        .name = "amqp-cert", .environment = "RINGPOST_AMQP_CERT", .value = "FILE",
        .kind = SETTING_TEXT, .topic = TOPIC_AMQP, .offset = AT(amqp_cert),
        .fallback_words = "none",
        .help = "The node's own certificate (PEM), for a broker that asks for one."},
    [SET_AMQP_KEY] = {
        .name = "amqp-key", .environment = "RINGPOST_AMQP_KEY", .value = "FILE",
        .kind = SETTING_TEXT, .topic = TOPIC_AMQP, .offset = AT(amqp_key),
        .fallback_words = "none",
        .help = "The key (PEM) of that certificate."},
    [SET_ALERT_URL] = {
        .name = "alert-url", .environment = "RINGPOST_ALERT_URL", .value = "URL",
        .kind = SETTING_ALERT, .topic = TOPIC_ALERTS,
        .fallback_words = "none",
        .help = "Post a JSON object to this http:// or https:// URL when the node has lost Redis, "
                "its store, or memory below its ceiling, and when that is back. Its `text` is what "
                "a chat shows. Whoever knows the URL may post there: put it into the environment "
                "or the file, which other users cannot see."},
    [SET_ALERT_MAIL] = {
        .name = "alert-mail", .environment = "RINGPOST_ALERT_MAIL", .value = "ADDRESS",
        .kind = SETTING_ALERT, .topic = TOPIC_ALERTS, .traits = SETTING_LIST,
        .fallback_words = "none",
        .help = "Send the same as mail to these addresses, by alert-smtp."},
    [SET_ALERT_SMTP] = {
        .name = "alert-smtp", .environment = "RINGPOST_ALERT_SMTP", .value = "URL",
        .kind = SETTING_ALERT, .topic = TOPIC_ALERTS,
        .fallback_words = "none",
        .help = "The server that takes the mail. smtp:// uses STARTTLS if the server has it, and "
                "insists with a password (not to this machine); smtps:// begins with TLS. Put a "
                "URL with a password into the environment or into alert-smtp-file."},
    [SET_ALERT_SMTP_FILE] = {
        .name = "alert-smtp-file", .environment = "RINGPOST_ALERT_SMTP_FILE", .value = "FILE",
        .kind = SETTING_TEXT, .topic = TOPIC_ALERTS, .offset = AT(alert_smtp_file),
        .fallback_words = "none",
        .help = "Read the URL of alert-smtp from this file, which holds nothing else but blank "
                "lines and # COMMENT lines."},
    [SET_ALERT_FROM] = {
        .name = "alert-from", .environment = "RINGPOST_ALERT_FROM", .value = "ADDRESS",
        .kind = SETTING_ALERT, .topic = TOPIC_ALERTS,
        .fallback_words = "ringpost@ the host's name",
        .help = "Whom the mail is from."},
    [SET_ALERT_AFTER] = {
        .name = "alert-after", .environment = "RINGPOST_ALERT_AFTER", .value = "SECONDS",
        .kind = SETTING_SECONDS, .topic = TOPIC_ALERTS, .min = 0, .max = 86400,
        .offset = AT(alert_after_ns),
        .fallback = "10",
        .help = "What is lost for less than this is not told."},
    [SET_LOG_LEVEL] = {
        .name = "log-level", .environment = "RINGPOST_LOG_LEVEL", .value = "LEVEL",
        .kind = SETTING_CHOICE, .choices = level_words, .topic = TOPIC_LOG,
        .traits = SETTING_RELOADABLE, .offset = AT(log_level),
        .fallback = "info",
        .help = "Log events of this level and above: debug, info, warn or error."},
    [SET_LOG_FORMAT] = {
        .name = "log-format", .environment = "RINGPOST_LOG_FORMAT", .value = "logfmt|json",
        .kind = SETTING_CHOICE, .choices = format_words, .topic = TOPIC_LOG,
        .offset = AT(log_format),
        .fallback = "logfmt",
        .help = "Format of the log's lines; the log goes to standard error."},
    [SET_CONFORMANCE] = {
        .name = "conformance", .environment = "RINGPOST_CONFORMANCE", .value = "on|off",
        .kind = SETTING_SWITCH, .topic = TOPIC_TESTS, .offset = AT(conformance),
        .fallback = "off",
        .help = "Serve what public test suites of Engine.IO and WebSocket talk to: /engine.io/ and "
                "/echo of the web listener, which must be on loopback then."},
    [SET_TEST_KERNEL_6_1] = {
        .name = "test-kernel-6.1", .environment = "RINGPOST_TEST_KERNEL_6_1", .value = "on|off",
        .kind = SETTING_SWITCH, .topic = TOPIC_TESTS, .traits = SETTING_HIDDEN,
        .offset = AT(test_kernel_6_1),
        .fallback = "off",
        .help = "Use no kernel feature newer than Linux 6.1, to test the code for old kernels."},
    [SET_TEST_NO_CBPF] = {
        .name = "test-no-cbpf", .environment = "RINGPOST_TEST_NO_CBPF", .value = "on|off",
        .kind = SETTING_SWITCH, .topic = TOPIC_TESTS, .traits = SETTING_HIDDEN,
        .offset = AT(test_no_cbpf),
        .fallback = "off",
        .help = "Spread connections in user space, as on a kernel without classic BPF."},
};
/* clang-format on */
