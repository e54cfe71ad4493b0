#include "core/arrival.h"

#include "core/addresses.h"
#include "core/balance.h"
#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/proxy.h"
#include "core/reading.h"
#include "core/server.h"
#include "core/slots.h"
#include "core/tag.h"
#include "core/worker.h"

#include <stdlib.h>

#define PROXY_HEADER_NS (3 * NS_PER_S)

struct adoption {
    struct peer_address peer;
    uint8_t listener;
};

static void descriptor_refuse(struct worker *worker, int fd, enum refuse_reason reason) {
    stats_add(&worker->stats.refused[reason], 1);
    worker->slots.refusing++;
    ring_close_socket(worker->ring, tag_make(TAG_REFUSE, 0, 0), fd);
    log_event(reason == REFUSE_GONE ? LOG_DEBUG : LOG_WARN, "connection_refused",
              LOG_STR("reason", refuse_reason_word(reason)), LOG_U64("worker", worker->index));
}

static bool node_enter(struct worker *worker, enum listener_kind kind) {
    uint32_t max = worker->config->max_connections;
    if (kind == LISTENER_API)
        max += API_CONNECTIONS_SPARE;
    uint32_t before =
        atomic_fetch_add_explicit(&worker->server->connections, 1, memory_order_relaxed);
    if (SHORTAGE(before >= max)) {
        atomic_fetch_sub_explicit(&worker->server->connections, 1, memory_order_relaxed);
        return false;
    }
    return true;
}

void address_let(struct worker *worker, const struct peer_address *peer, bool held) {
    if (held)
        addresses_leave(worker->server->addresses, peer);
}

void arrival_leave(struct worker *worker, const struct peer_address *peer, bool address_held) {
    address_let(worker, peer, address_held);
    atomic_fetch_sub_explicit(&worker->server->connections, 1, memory_order_relaxed);
}

/* Is there a place in the ring's table of files? The last ones are for `api`. A plain descriptor
 * instead would be taken from those that accepting, `api` and files need. */
static bool files_have_room(const struct worker *worker, enum listener_kind kind) {
    unsigned places = ring_places(worker->ring);
    if (places == 0 || kind == LISTENER_API)
        return true;
    uint32_t clients_max = places > FILES_SPARE + 1 ? places - FILES_SPARE : 1;
    return worker->slots.live < clients_max;
}

static unsigned worker_for(const struct worker *worker, const struct listener *listener,
                           const struct peer_address *peer, bool proxied) {
    unsigned workers = worker->server->worker_count;
    if (proxied) /* all of one balancer's connections come from one address */
        return (unsigned)(hash64(span_of(peer, sizeof(*peer))) % workers);
    if (worker->config->steer == STEER_IP && !worker->server->steered[listener->index])
        return steer_worker(peer, workers);
    return worker->index;
}

void connection_arrive(struct worker *worker, struct listener *listener, int fd) {
    struct peer_address peer = {{0}, 0};
    if (!net_peer(fd, &peer)) {
        descriptor_refuse(worker, fd, REFUSE_GONE);
        return;
    }
    unsigned target = worker_for(worker, listener, &peer, proxy_trusts(worker->config, &peer));
    if (target == worker->index) {
        connection_adopt(worker, listener, fd, &peer);
        return;
    }
    if (SHORTAGE(!post_room(&worker->server->post, worker->index, target))) {
        descriptor_refuse(worker, fd, REFUSE_MAILBOX);
        return;
    }
    struct adoption *adoption = malloc(sizeof(*adoption));
    if (SHORTAGE(adoption == NULL)) {
        descriptor_refuse(worker, fd, REFUSE_MEMORY);
        return;
    }
    *adoption = (struct adoption){peer, (uint8_t)(listener - worker->listeners.at)};
    post_send(&worker->endpoint, target,
              &(struct mail){.kind = MAIL_ADOPT, .number = (uint32_t)fd, .object = adoption});
}

void worker_on_adopt(struct worker *worker, const struct mail *mail) {
    struct adoption adoption = *(struct adoption *)mail->object;
    free(mail->object);
    stats_add(&worker->stats.adopted, 1);
    connection_adopt(worker, &worker->listeners.at[adoption.listener], (int)mail->number,
                     &adoption.peer);
}

void arrival_drop(const struct mail *mail) {
    net_close((int)mail->number);
    free(mail->object);
}

void arrival_begin(struct worker *worker, struct connection *connection) {
    balance_enter(worker, connection);
    connection->protocol->on_open(worker, connection);
}

bool address_hold(struct worker *worker, enum listener_kind kind, const struct peer_address *peer,
                  bool *held, enum refuse_reason *why) {
    struct addresses *addresses = worker->server->addresses;
    *held = false;
    /* Web and TCP only: a producer's pool of connections is one address by nature. */
    if (addresses == NULL || kind == LISTENER_API)
        return true;
    /* A proxy counts for nobody; the address that it forwards for will. */
    if (kind == LISTENER_WEB && proxy_forwards(worker->config, peer))
        return true;
    enum addresses_verdict verdict = addresses_enter(addresses, peer);
    *held = verdict == ADDRESSES_DONE;
    *why = verdict == ADDRESSES_FULL ? REFUSE_ADDRESS : REFUSE_MEMORY;
    return *held;
}

static bool address_enter(struct worker *worker, struct connection *connection,
                          enum refuse_reason *why) {
    bool held, good = address_hold(worker, worker->listeners.at[connection->listener].kind,
                                   &connection->peer, &held, why);
    connection->address_held = held;
    return good;
}

static void deadline_fired(struct endpoint *endpoint, struct timer *timer) {
    struct worker *worker = worker_of(endpoint);
    struct connection *connection = container_of(timer, struct connection, timer);
    /* The worker was away, or has more to read than it can: what the peer said in time may still be
     * in the kernel, and is heard first. */
    uint64_t due_ns = timer_due_ns(timer) - (connection->overdue ? DEADLINE_GRACE_NS : 0);
    bool heard =
        connection->state == CONNECTION_FLUSHING || reading_heard(worker, connection, due_ns);
    if (!heard || worker->now_ns > timer_due_ns(timer) + DEADLINE_LATE_NS) {
        timer_arm(&worker->wheel, timer, worker->now_ns + DEADLINE_GRACE_NS);
        connection->overdue = true;
        return;
    }
    if (connection->state != CONNECTION_OPEN)
        connection_expire(worker, connection);
    else if (connection->proxy_header)
        connection_close(worker, connection, CLOSE_BAD_PROXY_HEADER);
    else
        connection->protocol->on_deadline(worker, connection);
}

struct connection *arrival_place(struct worker *worker, struct listener *listener,
                                 const struct peer_address *peer, enum refuse_reason *why) {
    *why = REFUSE_DESCRIPTORS;
    if (SHORTAGE(!files_have_room(worker, listener->kind)))
        return NULL;
    *why = REFUSE_MEMORY;
    struct connection *connection = slot_get(worker, deadline_fired);
    if (SHORTAGE(connection == NULL))
        return NULL;
    connection->peer = *peer;
    connection->listener = (uint8_t)(listener - worker->listeners.at);
    return connection;
}

/* Takes what a connection holds from its beginning to its end: a place in the node, a slot, a place
 * for its address. NULL: something was not to be had, `why` says what, and nothing is held. */
static struct connection *connection_admit(struct worker *worker, struct listener *listener,
                                           const struct peer_address *peer,
                                           enum refuse_reason *why) {
    enum server_phase last = listener->kind == LISTENER_API ? PHASE_CLOSING : PHASE_RUNNING;
    *why = REFUSE_DRAINING;
    if (server_phase(worker->server) > last)
        return NULL;
    *why = REFUSE_CONNECTIONS;
    if (SHORTAGE(!node_enter(worker, listener->kind)))
        return NULL;
    struct connection *connection = arrival_place(worker, listener, peer, why);
    if (connection == NULL) {
        arrival_leave(worker, peer, false);
        return NULL;
    }
    connection->protocol = listener->protocol;
    connection->proxy_header = proxy_trusts(worker->config, peer);
    connection->proxied = connection->proxy_header || proxy_forwards(worker->config, peer);
    if (!connection->proxy_header && SHORTAGE(!address_enter(worker, connection, why))) {
        connection_release(worker, connection);
        return NULL;
    }
    return connection;
}

void connection_abandon(struct worker *worker, struct connection *connection) {
    worker->slots.live_late += !connection->late;
    connection->late = true;
}

void connection_release(struct worker *worker, struct connection *connection) {
    arrival_leave(worker, &connection->peer, connection->address_held);
    connection->address_held = false;
    slot_put(worker, connection);
}

void arrival_open(struct worker *worker, struct connection *connection, int fd) {
    connection->socket = ring_keep(worker->ring, connection->slot, fd);
    connection->state = CONNECTION_OPEN;
    worker->slots.live_api += worker->listeners.at[connection->listener].kind == LISTENER_API;
    worker->slots.live_late += connection->late;
    stats_add(&worker->stats.connections, 1);
}

void connection_adopt(struct worker *worker, struct listener *listener, int fd,
                      const struct peer_address *peer) {
    enum refuse_reason why;
    struct connection *connection = connection_admit(worker, listener, peer, &why);
    if (connection == NULL) {
        descriptor_refuse(worker, fd, why);
        return;
    }
    connection->late = server_phase(worker->server) == PHASE_CLOSING;
    arrival_open(worker, connection, fd);
    _Atomic uint64_t *accepted[LISTENER_KINDS] = {
        &worker->stats.accepted_tcp, &worker->stats.accepted_web, &worker->stats.accepted_api};
    stats_add(accepted[listener->kind], 1);
    connection_rearm(worker, connection);
    if (connection->proxy_header)
        connection_deadline(worker, connection, worker->now_ns + PROXY_HEADER_NS);
    else
        arrival_begin(worker, connection);
}

/* Takes the PROXY header off the front. Returns what was consumed; the connection may be closed. */
size_t arrival_proxy_header(struct worker *worker, struct connection *connection,
                            struct span bytes) {
    struct peer_address peer = connection->peer;
    size_t header_bytes = 0;
    const char *why = "";
    enum proxy_verdict verdict = proxy_parse(bytes, &header_bytes, &peer, &why);
    if (verdict == PROXY_MORE)
        return 0;
    char address[PEER_ADDRESS_TEXT_MAX];
    net_peer_text(&connection->peer, address);
    if (verdict == PROXY_BAD) {
        static const char *const kinds[LISTENER_KINDS] = {"tcp", "web", "api"};
        log_event(LOG_WARN, "bad_proxy_header",
                  LOG_STR("listener", kinds[worker->listeners.at[connection->listener].kind]),
                  LOG_STR("address", address), LOG_STR("why", why),
                  LOG_STR("remedy", "let the balancer send PROXY headers, or take its network out "
                                    "of --proxy-protocol"));
        connection_close(worker, connection, CLOSE_BAD_PROXY_HEADER);
        return 0;
    }
    if (verdict == PROXY_NAMED)
        connection->peer = peer;
    connection->proxy_header = false;
    timer_disarm(&worker->wheel, &connection->timer);
    enum refuse_reason refusal;
    if (SHORTAGE(!address_enter(worker, connection, &refusal))) {
        stats_add(&worker->stats.refused[refusal], 1);
        connection->proxy_header = true; /* the protocol has never seen it */
        connection_close(worker, connection, CLOSE_OVERLOADED);
        return header_bytes;
    }
    arrival_begin(worker, connection);
    return header_bytes;
}

bool arrival_rename(struct worker *worker, struct connection *connection,
                    const struct peer_address *peer, enum refuse_reason *why) {
    bool same = memcmp(connection->peer.bytes, peer->bytes, sizeof(peer->bytes)) == 0;
    if (same && connection->address_held)
        return true;
    if (connection->address_held)
        addresses_leave(worker->server->addresses, &connection->peer);
    connection->address_held = false;
    connection->peer = *peer;
    if (SHORTAGE(!address_enter(worker, connection, why))) {
        stats_add(&worker->stats.refused[*why], 1);
        return false;
    }
    return true;
}
