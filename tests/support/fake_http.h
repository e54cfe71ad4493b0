/* fake_http.h - a node with its HTTP listeners over the fake engine, and what a peer asks and
 * hears. */
#ifndef RINGPOST_TESTS_SUPPORT_FAKE_HTTP_H
#define RINGPOST_TESTS_SUPPORT_FAKE_HTTP_H

#include "tests/support/cmocka_first.h"

#include "tests/support/fake_engine.h"

#include "core/base/hash.h"
#include "ingest/api/api.h"
#include "ingest/gate/client_send.h"
#include "proto/client/encodings.h"
#include "proto/client/tcp.h"
#include "proto/web/eio/engine.h"
#include "proto/web/sio/sio_encodings.h"
#include "proto/web/sse.h"
#include "proto/web/sse_write.h"
#include "proto/web/web.h"

static struct gate fake_gate;
static struct config fake_config;
/* A test may put a service of its own there before it opens the node. */
static const struct http_service *fake_services[LISTENER_KINDS] = {
    [LISTENER_WEB] = &web_service,
    [LISTENER_API] = &api_service,
};

/* What speaks on Engine.IO sessions; nothing, unless a test puts it there. */
static const struct engine_app *fake_apps[ENGINE_PATHS];

static void http_before(struct server *server) {
    CHECK(gate_init(&fake_gate, server) && http_init(server, fake_services) && api_init(server) &&
          sse_init(server) && engines_init(server, fake_apps));
}

static void http_after(struct server *server) {
    sse_fini();
    api_fini();
    engines_fini();
    http_fini(server);
    gate_fini(&fake_gate);
}

/* Fill in fake_config first, and fake_ports if there shall be any; they are cleared at the close.
 */
static struct port *fake_ports[PORTS_MAX];
static struct store *fake_store; /* one of them; NULL: there is none */
static struct port *fake_herald; /* likewise */
static struct port *fake_passes; /* likewise: passes polls on */
static enum log_level fake_log_level = LOG_ERROR;
static const uint8_t *fake_hash_key; /* NULL: any */

static inline void http_node_open(void) {
    struct server_parts parts = {
        .protocols =
            {
                [LISTENER_TCP] = &tcp_protocol,
                [LISTENER_WEB] = &web_protocol,
                [LISTENER_API] = &api_protocol,
            },
        .encodings = {&encoding_line, &encoding_counted, &encoding_line_again,
                      &encoding_counted_again, &encoding_frame, &encoding_frame_again,
                      &encoding_deflated, &encoding_deflated_again, &encoding_sse,
                      &encoding_sse_plain},
        .client_gate = &client_send_gate,
        .on_nudged = gate_on_nudged,
        .call_of = api_call_of,
    };
    while (parts.port_count < PORTS_MAX && fake_ports[parts.port_count] != NULL) {
        parts.ports[parts.port_count] = fake_ports[parts.port_count];
        parts.port_count++;
    }
    parts.store = fake_store;
    parts.herald = fake_herald;
    parts.peers = fake_passes;
    sio_encodings_add(parts.encodings);
    hash_init(fake_hash_key);
    log_set(fake_log_level, LOG_LOGFMT);
    node_open(&fake_config, &parts, http_before);
}

static inline void http_node_close(void) {
    node_close(http_after);
    fake_config = (struct config){0};
    memset(fake_ports, 0, sizeof(fake_ports));
    fake_store = NULL;
    fake_herald = fake_passes = NULL;
}

static inline struct peer *api_connect(void) {
    return peer_connect(0, LISTENER_API);
}

/* A client of the tcp listener that has its welcome. */
static inline struct peer *client_connect(unsigned worker, const char *hello) {
    struct peer *peer = peer_connect(worker, LISTENER_TCP);
    peer_say(peer, hello);
    assert_non_null(strstr(peer->out, "\"type\":\"welcome\""));
    free(peer_heard(peer));
    return peer;
}

/* Sends, settles, and returns what came back, until the next call. */
static inline const char *ask(struct peer *peer, const char *request) {
    static char *heard;
    free(peer_heard(peer));
    peer_say(peer, request);
    free(heard);
    heard = peer_heard(peer);
    return heard;
}

static inline unsigned status_of(const char *answer) {
    unsigned status = 0;
    return sscanf(answer, "HTTP/1.1 %u ", &status) == 1 ? status : 0;
}

static inline const char *body_of(const char *answer) {
    const char *end = strstr(answer, "\r\n\r\n");
    return end == NULL ? "" : end + 4;
}

static inline unsigned times(const char *text, const char *wanted) {
    unsigned count = 0;
    for (; (text = strstr(text, wanted)) != NULL; text++)
        count++;
    return count;
}

/* How many messages the client has got since this was asked last; what else it heard is gone. */
static inline unsigned messages_got(struct peer *peer) {
    unsigned count = times(peer->out, "\"type\":\"message\"");
    free(peer_heard(peer));
    return count;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define DEL(path) "DELETE " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"
#define PUT(path) "PUT " path " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"

/* A POST with a body; static, until the next call. */
static inline const char *post(const char *path, const char *type, const char *body) {
    static char request[1 << 21];
    snprintf(request, sizeof request,
             "POST %s HTTP/1.1\r\nHost: localhost\r\n%s%s%sContent-Length: %zu\r\n\r\n%s", path,
             type == NULL ? "" : "Content-Type: ", type == NULL ? "" : type,
             type == NULL ? "" : "\r\n", strlen(body), body);
    return request;
}
#define JSON_POST(path, body) post(path, "application/json", body)

/* Every body ends in a line feed, which need not be written down. */
#define assert_body(body, wanted)                                                                  \
    do {                                                                                           \
        const char *body_ = (body), *wanted_ = (wanted);                                           \
        size_t len_ = strlen(wanted_);                                                             \
        bool ended_ = len_ == 0 || wanted_[len_ - 1] == '\n';                                      \
        if (strncmp(body_, wanted_, len_) != 0 || strcmp(body_ + len_, ended_ ? "" : "\n") != 0)   \
            fail_msg("%s is not %s", body_, wanted_);                                              \
    } while (0)
#define assert_answer(answer, status, body)                                                        \
    do {                                                                                           \
        const char *answer_ = (answer);                                                            \
        if (status_of(answer_) != (status))                                                        \
            print_error("%s\n", answer_);                                                          \
        assert_int_equal(status_of(answer_), (status));                                            \
        assert_body(body_of(answer_), (body));                                                     \
    } while (0)
#define assert_error(answer, status, code)                                                         \
    do {                                                                                           \
        const char *answer_ = (answer);                                                            \
        if (status_of(answer_) != (status) || strstr(body_of(answer_), "\"" code "\"") == NULL)    \
            print_error("%s\n", answer_);                                                          \
        assert_int_equal(status_of(answer_), (status));                                            \
        assert_non_null(strstr(body_of(answer_), "{\"error\":{\"code\":\"" code "\""));            \
    } while (0)

#endif
