/* A whole connection over the fake engine: bytes that a stranger sends to any listener, in pieces
 * he chooses, with or without his end. Whatever they are, the connection ends when he has gone, and
 * nothing of it is left.
 *
 * Input: a byte for the listener and the size of the pieces, a byte for what comes at the end, then
 * what is sent. */
#include "tests/support/fake_engine.h"

#include "core/base/hash.h"
#include "ingest/api/api.h"
#include "ingest/gate/client_send.h"
#include "ingest/gate/gate.h"
#include "proto/client/encodings.h"
#include "proto/client/tcp.h"
#include "proto/http/http_context.h"
#include "proto/web/sse.h"
#include "proto/web/sse_write.h"
#include "proto/web/web.h"

static struct gate gate;
static struct config config;

static void wire(struct server *server) {
    static const struct http_service *const services[LISTENER_KINDS] = {
        [LISTENER_WEB] = &web_service,
        [LISTENER_API] = &api_service,
    };
    CHECK(gate_init(&gate, server) && http_init(server, services) && api_init(server) &&
          sse_init(server));
}

static void node_start(void) {
    static const struct server_parts parts = {
        .protocols =
            {
                [LISTENER_TCP] = &tcp_protocol,
                [LISTENER_WEB] = &web_protocol,
                [LISTENER_API] = &api_protocol,
            },
        .encodings = {&encoding_line, &encoding_counted, &encoding_line_again,
                      &encoding_counted_again, &encoding_frame, &encoding_frame_again,
                      &encoding_sse, &encoding_sse_plain},
        .client_gate = &client_send_gate,
        .on_nudged = gate_on_nudged,
    };
    hash_init(NULL);
    log_set(LOG_ERROR, LOG_LOGFMT);
    config.client_send = true;
    config.max_message_bytes = 2000;
    config.max_body_bytes = 20000;
    config.outbox_bytes = 30000;
    config.memory_bytes = 1 << 20;
    node_open(&config, &parts, wire);
}

static void node_check(void) {
    for (unsigned i = 0; i < fake_server.worker_count; i++) {
        const struct worker *worker = &fake_server.workers[i];
        CHECK(worker->slots.live == 0, "%u connections are left", worker->slots.live);
        CHECK(worker->sessions.count == 0 && worker->requests == 0);
        CHECK(worker->directory.names.count == 0, "%u names are left",
              worker->directory.names.count);
        CHECK(ring_buffers_lent(worker->ring) == 0);
        CHECK(stats_get(&worker->stats.connections) == 0);
        for (unsigned class = 0; class < CLASSES; class ++)
            CHECK(stats_get(&worker->stats.copies_waiting[class]) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    static bool started;
    if (!started)
        node_start();
    started = true;
    if (len < 2)
        return 0;
    enum listener_kind kind = (enum listener_kind)(at[0] % LISTENER_KINDS);
    size_t piece = at[0] / LISTENER_KINDS;
    uint8_t ending = at[1];
    struct peer *peer = peer_connect(ending / 8 % fake_server.worker_count, kind);
    peer->stalled = (ending & 4) != 0;
    for (size_t done = 2; done < len && !peer->closed;) {
        size_t now = piece == 0 || piece > len - done ? len - done : piece;
        peer_send_bytes(peer, span_of(at + done, now));
        node_settle();
        done += now;
    }
    peer->stalled = false;
    peer_take(&fake_rings[peer->worker], peer);
    node_settle();
    if ((ending & 1) != 0) {
        peer->in_end = true;
        node_settle();
    }
    /* Silence, until every timeout there is has struck. */
    for (unsigned seconds = 0; seconds < 200 && !peer->closed; seconds += 5)
        node_pass(5 * NS_PER_S);
    node_settle();
    CHECK(peer->closed, "a connection to listener %u does not end", kind);
    node_check();
    peer_forget(peer);
    return 0;
}
