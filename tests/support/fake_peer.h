/* fake_peer.h - a node whose port speaks to other nodes over sockets that the test owns
 * (ha/peer/peer_socket.h), and other nodes that the test plays, on either side of a call.
 *
 * Included by the test itself: it defines the functions of peer_socket.h.
 *
 * Threads: one. */
#ifndef RINGPOST_TESTS_SUPPORT_FAKE_PEER_H
#define RINGPOST_TESTS_SUPPORT_FAKE_PEER_H

#include "tests/support/fake_http.h"

#include "ha/peer/peer_port.h"
#include "ha/peer/peer_socket.h"
#include "proto/web/eio/engine_echo.h"
#include "proto/web/eio/engine_own.h"

#define WIRES 128
#define WIRE_FD 500
#define WIRE_ROOM (1 << 20)

/* A connection between the node and the test. */
struct wire {
    bool used, closed;
    bool called;    /* by the node */
    bool connected; /* else connect is under way */
    int error;      /* of connect, or of everything from now on */
    char *in, *out; /* to the node, and from it */
    size_t in_len, out_len;
    bool in_end;
    size_t takes; /* so many bytes more are taken of it */
    struct peer_side mine, its;
};

static struct wire wires[WIRES];
static unsigned wires_waiting[WIRES], wires_waiting_count; /* to be accepted */
static bool wires_refuse;                                  /* no call gets on */

static struct wire *wire_of(int fd) {
    assert_in_range(fd, WIRE_FD, WIRE_FD + WIRES - 1);
    return &wires[fd - WIRE_FD];
}

static unsigned wire_make(void) {
    unsigned i = 0;
    while (wires[i].used)
        assert_true(++i < WIRES);
    wires[i] =
        (struct wire){.used = true, .connected = true, .takes = SIZE_MAX, .in = malloc(WIRE_ROOM)};
    wires[i].out = malloc(WIRE_ROOM);
    assert_true(wires[i].in != NULL && wires[i].out != NULL);
    return i;
}

void peer_socket_patient(int fd) {
    (void)fd;
}
int peer_socket_accept(int fd) {
    (void)fd;
    errno = EAGAIN;
    if (wires_waiting_count == 0)
        return -1;
    unsigned first = wires_waiting[0];
    memmove(wires_waiting, wires_waiting + 1, --wires_waiting_count * sizeof(wires_waiting[0]));
    fake_moves++;
    return WIRE_FD + (int)first;
}
int peer_socket_open(const struct sockaddr_storage *address, socklen_t len) {
    (void)address, (void)len;
    unsigned i = wire_make();
    wires[i].called = true;
    wires[i].error = wires_refuse ? ECONNREFUSED : 0;
    fake_moves++;
    return WIRE_FD + (int)i;
}
int peer_socket_connected(int fd) {
    return wire_of(fd)->error;
}
ssize_t peer_socket_send(int fd, const void *at, size_t len) {
    struct wire *wire = wire_of(fd);
    assert_false(wire->closed);
    errno = wire->error != 0 ? wire->error : EAGAIN;
    if (wire->error != 0 || (wire->takes == 0 && len != 0))
        return -1;
    size_t taken = len < wire->takes ? len : wire->takes;
    assert_true(wire->out_len + taken <= WIRE_ROOM);
    memcpy(wire->out + wire->out_len, at, taken);
    wire->out_len += taken;
    wire->takes -= wire->takes == SIZE_MAX ? 0 : taken;
    fake_moves++;
    return (ssize_t)taken;
}
ssize_t peer_socket_receive(int fd, void *at, size_t cap) {
    struct wire *wire = wire_of(fd);
    assert_false(wire->closed);
    size_t len = wire->in_len < cap ? wire->in_len : cap;
    errno = wire->error != 0 ? wire->error : EAGAIN;
    if (len == 0)
        return wire->in_end && wire->error == 0 ? 0 : -1;
    memcpy(at, wire->in, len);
    memmove(wire->in, wire->in + len, wire->in_len - len);
    wire->in_len -= len;
    fake_moves++;
    return (ssize_t)len;
}
void peer_socket_end(int fd) {
    (void)fd;
}
void peer_socket_close(int fd) {
    wire_of(fd)->closed = true;
    fake_moves++;
}
void peer_socket_wait(struct pollfd *fds, unsigned count, uint64_t wait_ns) {
    (void)wait_ns;
    for (unsigned i = 0; i < count; i++) {
        fds[i].revents = 0;
        if (fds[i].fd < WIRE_FD) {
            fds[i].revents = i == 1 && wires_waiting_count != 0 ? POLLIN : 0;
            continue;
        }
        const struct wire *wire = wire_of(fds[i].fd);
        bool reads = wire->in_len != 0 || wire->in_end || wire->error != 0;
        bool writes = wire->connected && (wire->takes != 0 || wire->error != 0);
        fds[i].revents = (short)(fds[i].events & ((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)));
    }
}

/* --- the other node, as the test plays it ----------------------------------------------------- */

static uint8_t the_key[PROOF_KEY_BYTES];

static void wire_put(struct wire *wire, const void *at, size_t len) {
    assert_true(wire->in_len + len <= WIRE_ROOM);
    memcpy(wire->in + wire->in_len, at, len);
    wire->in_len += len;
}
static void wire_say(struct wire *wire, const void *at, size_t len) {
    wire_put(wire, at, len);
    node_settle();
}
/* What the node has said, taken off the front. */
static void wire_take(struct wire *wire, void *at, size_t len) {
    assert_true(wire->out_len >= len);
    memcpy(at, wire->out, len);
    memmove(wire->out, wire->out + len, wire->out_len - len);
    wire->out_len -= len;
}
static void frame_put(struct wire *wire, struct peer_head head, const char *body) {
    uint8_t bytes[PEER_HEAD_BYTES];
    head.body_len = body == NULL ? 0 : (uint32_t)strlen(body);
    peer_head_write(&head, bytes);
    wire_put(wire, bytes, sizeof(bytes));
    if (body != NULL)
        wire_put(wire, body, strlen(body));
}
static void frame_say(struct wire *wire, struct peer_head head, const char *body) {
    frame_put(wire, head, body);
    node_settle();
}
/* The next frame that is no ping; its body until the next call. */
static const char *frame_take(struct wire *wire, struct peer_head *head) {
    static char body[WIRE_ROOM];
    uint8_t bytes[PEER_HEAD_BYTES];
    do {
        wire_take(wire, bytes, sizeof(bytes));
        assert_true(peer_head_read(bytes, head));
    } while (head->type == PEER_PING);
    wire_take(wire, body, head->body_len);
    body[head->body_len] = '\0';
    return body;
}
static bool frame_none(struct wire *wire) {
    struct peer_head head;
    uint8_t bytes[PEER_HEAD_BYTES];
    while (wire->out_len != 0) {
        wire_take(wire, bytes, sizeof(bytes));
        assert_true(peer_head_read(bytes, &head));
        if (head.type != PEER_PING)
            return false;
    }
    return true;
}

/* --- the node --------------------------------------------------------------------------------- */

static struct peer_port passes;
static struct port herald;
static struct port_node herald_nodes[4];
static unsigned herald_count;
#define OTHER_RUN "abcd000000000001"
#define OTHER_ADDRESS "192.0.2.7:7010"

static unsigned herald_tells(struct port *port, unsigned from, struct port_node *nodes,
                             unsigned max) {
    (void)port;
    unsigned count = 0;
    for (; from + count < herald_count && count < max; count++)
        nodes[count] = herald_nodes[from + count];
    return count;
}

static inline void herald_add(const char *name, const char *run, const char *address) {
    struct port_node *node = &herald_nodes[herald_count++];
    *node = (struct port_node){.name = ""};
    snprintf(node->name, sizeof(node->name), "%s", name);
    snprintf(node->run, sizeof(node->run), "%s", run);
    snprintf(node->peer, sizeof(node->peer), "%s", address);
}

static int passes_open(void **state) {
    static const struct port_type type = {.name = "herald", .nodes = herald_tells};
    (void)state;
    fake_config = (struct config){.workers = 2,
                                  .max_payload_bytes = 200000,
                                  .conformance = true,
                                  .peer = {.text = "127.0.0.1:0"}};
    proof_key(SPAN("a secret of more than enough bytes"), fake_config.peer_key);
    memcpy(the_key, fake_config.peer_key, sizeof(the_key));
    port_init(&herald, &type);
    peer_port_init(&passes, &fake_config);
    fake_ports[0] = &herald;
    fake_ports[1] = &passes.port;
    fake_herald = &herald;
    fake_passes = &passes.port;
    fake_apps[ENGINE_PATH_ECHO] = &engine_echo_app;
    wires_refuse = false;
    herald_count = 0;
    herald_add("other", OTHER_RUN, OTHER_ADDRESS);
    http_node_open();
    return 0;
}

static int passes_close(void **state) {
    (void)state;
    http_node_close();
    for (unsigned i = 0; i < WIRES; i++) {
        assert_true(!wires[i].used || wires[i].closed);
        free(wires[i].in);
        free(wires[i].out);
        wires[i] = (struct wire){.used = false};
    }
    return 0;
}

/* Somebody connects to the node. */
static struct wire *wire_connect(void) {
    unsigned i = wire_make();
    wires_waiting[wires_waiting_count++] = i;
    node_settle();
    return &wires[i];
}

static void side_make(struct peer_side *side, const char *run) {
    memcpy(side->run, run, PEER_RUN_BYTES);
    memset(side->nonce, 7, sizeof(side->nonce));
}

/* A node connects, and proves itself. */
static inline struct wire *peer_come(void) {
    uint8_t hello[PEER_HELLO_BYTES], challenge[PEER_CHALLENGE_BYTES], proof[PROOF_BYTES];
    struct wire *wire = wire_connect();
    side_make(&wire->mine, OTHER_RUN);
    peer_hello_write(&wire->mine, hello);
    wire_say(wire, hello, sizeof(hello));
    wire_take(wire, challenge, sizeof(challenge));
    assert_true(peer_hello_read(challenge, &wire->its));
    peer_proof(the_key, PEER_CALLED, span_text(passes.port.address), &wire->mine, &wire->its,
               proof);
    assert_memory_equal(proof, challenge + PEER_HELLO_BYTES, PROOF_BYTES);
    peer_proof(the_key, PEER_CALLER, span_text(passes.port.address), &wire->mine, &wire->its,
               proof);
    wire_say(wire, proof, sizeof(proof));
    return wire;
}

/* The connection that the node has made, which has said its hello. NULL: there is none. */
static inline struct wire *wire_called(void) {
    for (unsigned i = 0; i < WIRES; i++)
        if (wires[i].used && wires[i].called && !wires[i].closed)
            return &wires[i];
    return NULL;
}

/* The test answers the hello of the node, as the one of that run at that address, who knows that
 * key. */
static inline void peer_challenge(struct wire *wire, const char *run, const char *address,
                                  const uint8_t *key) {
    uint8_t hello[PEER_HELLO_BYTES], challenge[PEER_CHALLENGE_BYTES];
    wire_take(wire, hello, sizeof(hello));
    assert_true(peer_hello_read(hello, &wire->its));
    side_make(&wire->mine, run);
    peer_hello_write(&wire->mine, challenge);
    peer_proof(key, PEER_CALLED, span_text(address), &wire->its, &wire->mine,
               challenge + PEER_HELLO_BYTES);
    wire_say(wire, challenge, sizeof(challenge));
}

static inline struct wire *peer_answer(const char *run, const char *address) {
    uint8_t proof[PROOF_BYTES], wanted[PROOF_BYTES];
    struct wire *wire = wire_called();
    assert_non_null(wire);
    peer_challenge(wire, run, address, the_key);
    wire_take(wire, proof, sizeof(proof));
    peer_proof(the_key, PEER_CALLER, span_text(address), &wire->its, &wire->mine, wanted);
    assert_memory_equal(proof, wanted, PROOF_BYTES);
    return wire;
}

static inline uint64_t figure(const _Atomic uint64_t *value) {
    return atomic_load(value);
}

static inline uint64_t sessions(void) {
    return stats_get(&fake_server.workers[0].stats.engines) +
           stats_get(&fake_server.workers[1].stats.engines);
}

#endif
