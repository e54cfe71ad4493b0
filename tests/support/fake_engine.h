/* fake_engine.h - the whole engine on one thread without a kernel: the real core over a ring,
 * sockets and a clock that the test owns. For tests of protocols from the outside: bytes in, bytes
 * out.
 *
 *   node_open(&config, &parts, before);   before() runs between server_init and the workers
 *   struct peer *peer = peer_connect(worker, LISTENER_API);
 *   peer_say(peer, "GET /healthz ...");      and turns until nothing moves any more
 *   ... peer->out ...
 *   node_pass(75 * NS_PER_S);                time goes by
 *   node_close(after);                       drains, then checks that nothing is left
 *
 * Included by the test itself: it defines the functions of core/ring.h, core/net.h and
 * core/base/clock.h in place of the real ones. Sends are whole unless the peer is stalled.
 *
 * Threads: one. Owns: the one node, its peers. */
#ifndef RINGPOST_TESTS_SUPPORT_FAKE_ENGINE_H
#define RINGPOST_TESTS_SUPPORT_FAKE_ENGINE_H

#include "core/base/check.h"
#include "core/server.h"
#include "core/tag.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

#define PEERS_MAX 64
#define PEER_FD_FIRST 1000
#define LISTEN_FD_FIRST 100
#define FAKE_BUFFERS 64

/* The other side of a connection. */
struct peer {
    bool used;
    unsigned worker;
    int fd;
    uint64_t receive_tag; /* 0: no receive is armed */
    uint64_t watch_tag;   /* 0: its end is not watched for */
    bool closed;          /* the node has closed the descriptor */
    bool ended;           /* the node has sent its end */
    bool stalled;         /* takes nothing: sends wait */
    uint64_t send_tag;    /* one that waits; its bytes are in `pending` */
    char *pending;
    size_t pending_len;
    char *in; /* sent by the peer, not received yet */
    size_t in_len;
    bool in_end;
    char *out; /* everything the node has sent, ends in NUL */
    size_t out_len;
    size_t out_room;
};

struct ring {
    unsigned index;
    uint64_t accept_tags[LISTENERS_MAX * ACCEPTS_MAX]; /* 0: none */
    unsigned accepts;
    struct completion queue[4096];
    unsigned queued, reaped;
    char buffers[FAKE_BUFFERS][RECEIVE_BUFFER_BYTES];
    bool lent[FAKE_BUFFERS];
};

static struct server fake_server;
static char fake_problem[1024]; /* why the last start has failed; "": it has not */
static struct peer fake_peers[PEERS_MAX];
static struct ring fake_rings[WORKERS_MAX];
static unsigned fake_rings_open;
static uint64_t fake_now_ns = NS_PER_S;
static uint64_t fake_moves;                               /* anything that happened */
static bool fake_gathered = true;                         /* each submit has gathered all */
static size_t fake_started_bytes, fake_started_bytes_max; /* of sends, submitted together */

/* --- clock.h ---------------------------------------------------------------------------------- */

uint64_t clock_ns(void) {
    return fake_now_ns;
}
uint64_t clock_wall_ms(void) {
    return UINT64_C(1767225600000) + fake_now_ns / NS_PER_MS; /* 2026-01-01 */
}
uint64_t clock_thread_cpu_ns(void) {
    return fake_now_ns / 2;
}

/* --- net.h ------------------------------------------------------------------------------------ */

int net_listen(const struct sockaddr *address, socklen_t len, bool v6_only, bool reuseport,
               const struct socket_buffers *buffers, char *problem, size_t problem_cap) {
    (void)v6_only;
    static int next = LISTEN_FD_FIRST;
    (void)address, (void)len, (void)reuseport, (void)buffers, (void)problem;
    (void)problem_cap;
    return next++;
}
bool net_free(const struct sockaddr *address, socklen_t len, bool v6_only, char *problem,
              size_t problem_cap) {
    (void)v6_only;
    (void)address, (void)len, (void)problem, (void)problem_cap;
    return true;
}
bool net_local_text(int fd, char *text, size_t cap) {
    snprintf(text, cap, "127.0.0.1:%d", fd);
    return true;
}
bool net_local(int fd, struct sockaddr_storage *address, socklen_t *len) {
    (void)fd, (void)address, (void)len;
    return true;
}
bool net_steer(int fd, unsigned sockets) {
    (void)fd, (void)sockets;
    return true;
}
bool net_peer(int fd, struct peer_address *peer) {
    *peer = (struct peer_address){
        .bytes = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 7}, .port = (uint16_t)fd};
    return true;
}
int net_wake_open(void) {
    return 1;
}
void net_wake(int fd) {
    (void)fd;
    fake_moves++;
}
void net_wake_clear(int fd) {
    (void)fd;
}
void net_wake_wait(int fd, uint64_t wait_ns) {
    (void)fd, (void)wait_ns;
}
void net_close(int fd) {
    (void)fd;
}

/* --- ring.h ----------------------------------------------------------------------------------- */

static struct peer *peer_of(int fd) {
    CHECK(fd >= PEER_FD_FIRST && fd < PEER_FD_FIRST + PEERS_MAX, "descriptor %d", fd);
    return &fake_peers[fd - PEER_FD_FIRST];
}

void net_end(int fd) {
    peer_of(fd)->ended = true;
}

static void complete(struct ring *ring, struct completion completion) {
    CHECK(ring->queued - ring->reaped < sizeof ring->queue / sizeof *ring->queue);
    ring->queue[ring->queued++ % (sizeof ring->queue / sizeof *ring->queue)] = completion;
    fake_moves++;
}

bool ring_probe(bool kernel_6_1, char *problem, size_t problem_cap) {
    (void)kernel_6_1, (void)problem, (void)problem_cap;
    return true;
}
bool ring_has_files(void) {
    return false;
}
bool ring_fit(unsigned workers, uint32_t connections, bool kernel_6_1,
              struct ring_settings *settings, char *problem, size_t problem_cap) {
    (void)workers, (void)connections, (void)kernel_6_1, (void)settings, (void)problem,
        (void)problem_cap;
    return true;
}
bool ring_open(struct ring **ring, const struct ring_settings *settings, char *problem,
               size_t problem_cap) {
    (void)settings, (void)problem, (void)problem_cap;
    *ring = &fake_rings[fake_rings_open];
    memset(*ring, 0, sizeof **ring);
    (*ring)->index = fake_rings_open++;
    return true;
}
void ring_close(struct ring *ring) {
    (void)ring;
}
void ring_accept(struct ring *ring, uint64_t tag, int listen_fd) {
    (void)listen_fd;
    unsigned at = 0;
    while (at < ring->accepts && ring->accept_tags[at] != 0)
        at++;
    CHECK(at < LISTENERS_MAX * ACCEPTS_MAX);
    ring->accepts += at == ring->accepts;
    ring->accept_tags[at] = tag;
}

/* One that is armed for the listener of the kind, which is none afterwards; 0: there is none.
 * Listeners are opened in the order of their kinds. */
static uint64_t accept_take(struct ring *ring, enum listener_kind kind) {
    for (unsigned i = 0; i < ring->accepts; i++) {
        uint64_t tag = ring->accept_tags[i];
        if (tag == 0 || tag_slot(tag) != (uint32_t)kind + 1)
            continue;
        ring->accept_tags[i] = 0;
        return tag;
    }
    return 0;
}

/* Hands over what the peer has sent, as far as a receive is armed. */
static void peer_deliver(struct ring *ring, struct peer *peer) {
    while (peer->receive_tag != 0 && !peer->closed && peer->in_len != 0) {
        uint16_t buffer = 0;
        while (buffer < FAKE_BUFFERS && ring->lent[buffer])
            buffer++;
        if (buffer == FAKE_BUFFERS)
            return; /* once buffers are back */
        size_t len = peer->in_len < RECEIVE_BUFFER_BYTES ? peer->in_len : RECEIVE_BUFFER_BYTES;
        ring->lent[buffer] = true;
        memcpy(ring->buffers[buffer], peer->in, len);
        memmove(peer->in, peer->in + len, peer->in_len - len);
        peer->in_len -= len;
        complete(ring, (struct completion){.tag = peer->receive_tag,
                                           .result = (int32_t)len,
                                           .buffer = buffer,
                                           .has_buffer = true,
                                           .more = true,
                                           .nonempty = peer->in_len != 0});
    }
    if (peer->receive_tag != 0 && peer->in_len == 0 && peer->in_end) {
        complete(ring, (struct completion){.tag = peer->receive_tag});
        peer->receive_tag = 0;
    }
    if (peer->watch_tag != 0 && peer->in_end) {
        complete(ring, (struct completion){.tag = peer->watch_tag, .result = POLLRDHUP});
        peer->watch_tag = 0;
    }
}

unsigned ring_places(const struct ring *ring) {
    (void)ring;
    return 0;
}
int ring_keep(struct ring *ring, uint32_t place, int fd) {
    (void)ring, (void)place;
    return fd;
}
/* Whatever ring it comes to. */
void ring_let_go(struct ring *ring, int fd) {
    (void)ring;
    CHECK(peer_of(fd)->receive_tag == 0 && peer_of(fd)->send_tag == 0 &&
          peer_of(fd)->watch_tag == 0);
}
void ring_receive(struct ring *ring, uint64_t tag, int fd, bool once) {
    (void)once; /* never asked for here: no turn runs out of time */
    struct peer *peer = peer_of(fd);
    peer->worker = ring->index;
    CHECK(peer->receive_tag == 0);
    peer->receive_tag = tag;
    peer_deliver(ring, peer);
}

static void peer_take(struct ring *ring, struct peer *peer) {
    if (peer->send_tag == 0 || peer->stalled)
        return;
    size_t wanted = peer->out_len + peer->pending_len + 1;
    if (wanted > peer->out_room) {
        peer->out_room = 2 * wanted;
        peer->out = realloc(peer->out, peer->out_room);
    }
    memcpy(peer->out + peer->out_len, peer->pending, peer->pending_len);
    peer->out_len += peer->pending_len;
    peer->out[peer->out_len] = '\0';
    complete(ring,
             (struct completion){.tag = peer->send_tag, .result = (int32_t)peer->pending_len});
    peer->send_tag = 0;
    peer->pending_len = 0;
}

static void send_add(struct peer *peer, const void *at, size_t len) {
    peer->pending = realloc(peer->pending, peer->pending_len + len + 1);
    memcpy(peer->pending + peer->pending_len, at, len);
    peer->pending_len += len;
    fake_started_bytes += len;
    if (fake_started_bytes > fake_started_bytes_max)
        fake_started_bytes_max = fake_started_bytes;
}

void ring_send(struct ring *ring, uint64_t tag, int fd, const void *at, size_t len) {
    struct peer *peer = peer_of(fd);
    CHECK(peer->send_tag == 0 && !peer->ended);
    send_add(peer, at, len);
    peer->send_tag = tag;
    peer_take(ring, peer);
}
void ring_send_gathered(struct ring *ring, uint64_t tag, int fd, const struct msghdr *header) {
    struct peer *peer = peer_of(fd);
    CHECK(peer->send_tag == 0 && !peer->ended);
    for (size_t i = 0; i < header->msg_iovlen; i++)
        send_add(peer, header->msg_iov[i].iov_base, header->msg_iov[i].iov_len);
    peer->send_tag = tag;
    peer_take(ring, peer);
}
void ring_lend_descriptor(struct ring *ring, uint64_t tag, int fd) {
    (void)ring, (void)tag, (void)fd;
    CHECK(false, "there is no table of files");
}
void ring_shutdown(struct ring *ring, uint64_t tag, int fd, int how) {
    struct peer *peer = peer_of(fd);
    peer->ended = true;
    if (how == SHUT_RDWR) {
        if (peer->receive_tag != 0)
            complete(ring, (struct completion){.tag = peer->receive_tag});
        if (peer->send_tag != 0)
            complete(ring, (struct completion){.tag = peer->send_tag, .result = -ECANCELED});
        peer->receive_tag = peer->send_tag = 0;
    }
    complete(ring, (struct completion){.tag = tag});
}
void ring_close_socket(struct ring *ring, uint64_t tag, int fd) {
    if (fd >= PEER_FD_FIRST)
        peer_of(fd)->closed = peer_of(fd)->ended = true;
    complete(ring, (struct completion){.tag = tag});
}
void ring_cancel(struct ring *ring, uint64_t tag, uint64_t target) {
    bool found = false;
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = &fake_peers[i];
        if (!peer->used || peer->worker != ring->index)
            continue;
        uint64_t *tags[] = {&peer->receive_tag, &peer->send_tag, &peer->watch_tag};
        for (unsigned n = 0; n < 3; n++) {
            if (*tags[n] == target) {
                *tags[n] = 0;
                found = true;
            }
        }
    }
    for (unsigned i = 0; i < ring->accepts; i++) {
        if (ring->accept_tags[i] == target) {
            ring->accept_tags[i] = 0;
            found = true;
        }
    }
    if (found)
        complete(ring, (struct completion){.tag = target, .result = -ECANCELED});
    complete(ring, (struct completion){.tag = tag, .result = found ? 0 : -ENOENT});
}
int ring_queued(struct ring *ring, uint64_t tag, int fd) {
    (void)ring, (void)tag;
    return (int)peer_of(fd)->in_len;
}
void ring_watch_end(struct ring *ring, uint64_t tag, int fd) {
    struct peer *peer = peer_of(fd);
    CHECK(peer->watch_tag == 0);
    peer->watch_tag = tag;
    peer_deliver(ring, peer);
}
void ring_wake_watch(struct ring *ring, uint64_t tag, int wake_fd) {
    (void)ring, (void)tag, (void)wake_fd;
}
void ring_issue(struct ring *ring) {
    (void)ring;
    fake_started_bytes = 0;
}
void ring_submit(struct ring *ring, uint64_t wait_ns) {
    (void)ring, (void)wait_ns;
    fake_started_bytes = 0;
}
unsigned ring_started(const struct ring *ring) {
    (void)ring;
    return 0;
}
unsigned ring_waiting(const struct ring *ring) {
    return (unsigned)(ring->queued - ring->reaped);
}
unsigned ring_reap(struct ring *ring, struct completion *out, unsigned max) {
    unsigned count = 0;
    while (count < max && ring->reaped != ring->queued)
        out[count++] = ring->queue[ring->reaped++ % (sizeof ring->queue / sizeof *ring->queue)];
    return count;
}
char *ring_buffer(struct ring *ring, uint16_t buffer) {
    return ring->buffers[buffer];
}
void ring_buffer_return(struct ring *ring, uint16_t buffer) {
    CHECK(ring->lent[buffer]);
    /* Whoever still looks at it sees nonsense. */
    memset(ring->buffers[buffer], 0xee, RECEIVE_BUFFER_BYTES);
    ring->lent[buffer] = false;
    fake_moves++;
}
bool ring_has_gathered(const struct ring *ring) {
    (void)ring;
    return fake_gathered;
}
unsigned ring_buffers_free(const struct ring *ring) {
    return FAKE_BUFFERS - ring_buffers_lent(ring);
}
unsigned ring_buffers_lent(const struct ring *ring) {
    unsigned lent = 0;
    for (unsigned i = 0; i < FAKE_BUFFERS; i++)
        lent += ring->lent[i];
    return lent;
}

/* --- the node --------------------------------------------------------------------------------- */

static void node_turns(void) {
    for (unsigned i = 0; i < fake_server.worker_count; i++) {
        for (unsigned p = 0; p < PEERS_MAX; p++)
            if (fake_peers[p].used && fake_peers[p].worker == i)
                peer_deliver(&fake_rings[i], &fake_peers[p]);
        worker_turn(&fake_server.workers[i], 0);
    }
    for (unsigned i = 0; i < fake_server.parts.port_count; i++)
        port_turn(fake_server.parts.ports[i], 0);
}

static inline uint64_t fake_timers_fired(void) {
    uint64_t fired = 0;
    for (unsigned i = 0; i < fake_server.post.endpoints; i++)
        fired += stats_get(&fake_server.endpoints[i]->stats.timers_fired);
    return fired;
}

static inline void node_settle(void) {
    for (unsigned quiet = 0; quiet < 4;) {
        uint64_t before = fake_moves + fake_timers_fired();
        node_turns();
        uint64_t after = fake_moves + fake_timers_fired();
        quiet = before == after ? quiet + 1 : 0;
    }
}

/* Time goes by, in steps small enough that every timer fires when it is due. */
static inline void node_pass(uint64_t ns) {
    for (uint64_t until_ns = fake_now_ns + ns; fake_now_ns < until_ns;) {
        uint64_t step =
            until_ns - fake_now_ns < 100 * NS_PER_MS ? until_ns - fake_now_ns : 100 * NS_PER_MS;
        fake_now_ns += step;
        node_turns();
    }
    node_settle();
}

/* One listener of each kind; what is left 0 in the config gets a value. Where a port does not open,
 * fake_problem says why, and the node is to be closed. */
static inline void node_open(struct config *config, const struct server_parts *parts,
                             void (*before)(struct server *server)) {
    char problem[256] = "";
    for (unsigned kind = 0; kind < LISTENER_KINDS; kind++)
        config->listeners[config->listener_count++] =
            (struct listen_address){.kind = (enum listener_kind)kind, .text = "127.0.0.1:0"};
    if (config->workers == 0)
        config->workers = 2;
    if (config->node[0] == '\0')
        snprintf(config->node, sizeof config->node, "n1");
    config->steer = STEER_NONE;
    config->heartbeat_ns = 25 * NS_PER_S;
    config->heartbeat_timeout_ns = 20 * NS_PER_S;
    config->hello_timeout_ns = 10 * NS_PER_S;
    config->drain_timeout_ns = 10 * NS_PER_S;
    config->dedup_window_ns = 120 * NS_PER_S;
    config->dedup_max = 1000;
    if (config->ack_silence_ns == 0)
        config->ack_silence_ns = 10 * NS_PER_S;
    config->ack_window = 256;
    if (config->ack_backlog == 0)
        config->ack_backlog = 10000;
    config->fate_window_ns = 3600 * NS_PER_S;
    config->fate_max = 1000;
    config->max_connections = 1000;
    if (config->max_message_bytes == 0)
        config->max_message_bytes = 65536;
    if (config->max_body_bytes == 0)
        config->max_body_bytes = 1 << 20;
    if (config->outbox_bytes == 0)
        config->outbox_bytes = 1 << 20;
    if (config->memory_bytes == 0)
        config->memory_bytes = 1 << 28;
    fake_rings_open = 0;
    memset(fake_peers, 0, sizeof fake_peers);
    CHECK(server_init(&fake_server, config, parts, problem, sizeof problem), "%s", problem);
    before(&fake_server);
    for (unsigned i = 0; i < config->workers; i++)
        CHECK(worker_open(&fake_server.workers[i], &fake_server, i, problem, sizeof problem));
    bool good = true;
    fake_problem[0] = '\0';
    for (unsigned i = 0; i < parts->port_count; i++) {
        struct port *port = parts->ports[i];
        CHECK(port_open(port, &fake_server, config->workers + i));
        if (port->type->open != NULL)
            good &= port->type->open(port, fake_problem, sizeof fake_problem);
    }
    atomic_store(&fake_server.phase, good ? PHASE_RUNNING : PHASE_STOPPED);
    node_settle();
}

/* Drains to the end; everything must come home. */
static inline void node_close(void (*after)(struct server *server)) {
    server_drain(&fake_server);
    for (unsigned i = 0; i < 1000 && !server_step(&fake_server); i++) {
        fake_now_ns += 20 * NS_PER_MS;
        node_settle();
    }
    CHECK(server_phase(&fake_server) == PHASE_STOPPED);
    endpoints_collect(&fake_server);
    for (unsigned i = 0; i < fake_server.post.endpoints; i++)
        CHECK(fake_server.endpoints[i]->account.used_bytes == 0, "%llu bytes of %u are left",
              (unsigned long long)fake_server.endpoints[i]->account.used_bytes, i);
    for (unsigned i = 0; i < fake_server.worker_count; i++) {
        CHECK(fake_server.workers[i].slots.live == 0, "%u connections are left",
              fake_server.workers[i].slots.live);
        worker_close(&fake_server.workers[i]);
    }
    server_fini(&fake_server);
    after(&fake_server);
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        free(fake_peers[i].in);
        free(fake_peers[i].out);
        free(fake_peers[i].pending);
    }
}

/* --- peers ------------------------------------------------------------------------------------ */

static inline struct peer *peer_connect(unsigned worker, enum listener_kind kind) {
    for (unsigned i = 0; i < PEERS_MAX; i++) {
        struct peer *peer = &fake_peers[i];
        if (peer->used)
            continue;
        *peer = (struct peer){.used = true, .worker = worker, .fd = PEER_FD_FIRST + (int)i};
        peer->out = calloc(1, 1);
        uint64_t tag = accept_take(&fake_rings[worker], kind);
        CHECK(tag != 0, "no accept is armed");
        complete(&fake_rings[worker], (struct completion){.tag = tag, .result = peer->fd});
        node_settle();
        return peer;
    }
    CHECK(false, "too many peers");
    return NULL;
}

/* The bytes are received in the turns that follow. */
static inline void peer_send_bytes(struct peer *peer, struct span bytes) {
    peer->in = realloc(peer->in, peer->in_len + bytes.len + 1);
    memcpy(peer->in + peer->in_len, bytes.at, bytes.len);
    peer->in_len += bytes.len;
    peer_deliver(&fake_rings[peer->worker], peer);
}
static inline void peer_send(struct peer *peer, const char *text) {
    peer_send_bytes(peer, span_text(text));
}
/* Sends and lets everything happen that follows from it. */
static inline void peer_say(struct peer *peer, const char *text) {
    peer_send(peer, text);
    node_settle();
}
static inline void peer_end(struct peer *peer) {
    peer->in_end = true;
    peer_deliver(&fake_rings[peer->worker], peer);
    node_settle();
}
static inline void peer_stall(struct peer *peer, bool stalled) {
    peer->stalled = stalled;
    peer_take(&fake_rings[peer->worker], peer);
    if (!stalled)
        node_settle();
}
/* One that is closed: its place is free for another. */
static inline void peer_forget(struct peer *peer) {
    CHECK(peer->closed && peer->receive_tag == 0 && peer->send_tag == 0);
    free(peer->in);
    free(peer->out);
    free(peer->pending);
    *peer = (struct peer){.used = false};
}
/* What the node has sent since the last time, copied; freed by the caller. */
static inline char *peer_heard(struct peer *peer) {
    char *heard = peer->out;
    peer->out = calloc(1, 1);
    peer->out_len = 0;
    peer->out_room = 0;
    return heard;
}

#endif
