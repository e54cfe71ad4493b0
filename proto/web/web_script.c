/* web_script.c - GET /socket.io/socket.io.js: the script of --socketio-client; see web.h.
 *
 * The bytes are those of the file, so that a page may name their hash (`integrity`). They are of
 * the config that holds, so they are copied: out of what answers may take of --memory. */
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/chain.h"
#include "core/worker.h"
#include "proto/http/http_context.h"
#include "proto/web/web.h"

/* Those for an origin, and the script's own. */
#define LINES_BYTES_MAX 4608

static bool is_known(const struct http_request *http, struct span version) {
    char room[64];
    struct builder weak = builder_over(room, sizeof room);
    builder_text(&weak, "W/");
    builder_span_add(&weak, version);
    struct span name = SPAN("if-none-match");
    return http_fields_say(&http->fields, name, version) ||
           http_fields_say(&http->fields, name, builder_span(&weak)) ||
           http_fields_say(&http->fields, name, SPAN("*"));
}

static void refuse(struct worker *worker, struct http_exchange *exchange,
                   const struct route_request *request, enum code code, const char *message) {
    struct http_error error = http_error_of(code, message);
    error.extra = request->extra;
    exchange_refuse(worker, exchange, &error);
}

/* Whatever the query says: pages write a version there, to get past caches. */
void web_get_script(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request) {
    const struct config *config = worker->config;
    struct span script = config->socketio_script;
    char room[LINES_BYTES_MAX];
    struct builder lines = builder_over(room, sizeof room);
    struct chunk *copy = NULL;
    if (script.len == 0) {
        refuse(worker, exchange, request, CODE_NOT_FOUND,
               "this node serves no client script; see --socketio-client");
        return;
    }
    struct span version = span_text(config->socketio_version);
    builder_span_add(&lines, request->extra);
    http_field_write(&lines, SPAN("ETag"), version);
    builder_span_add(&lines, SPAN("Cache-Control: no-cache\r\n"
                                  "X-Content-Type-Options: nosniff\r\n"));
    CHECK(!lines.full, "the header lines of the script are too long");
    if (is_known(request->http, version)) {
        exchange_answer_bare(worker, exchange, 304, NULL, builder_span(&lines), SPAN(""));
        return;
    }
    if ((exchange->answer_flags & HTTP_ANSWER_BODYLESS) == 0) {
        copy = chunk_get(&worker->endpoint, script.len, false);
        if (SHORTAGE(copy == NULL)) {
            refuse(worker, exchange, request, CODE_OVERLOADED,
                   "the node has no memory for the script now");
            return;
        }
        memcpy(copy->text, script.at, script.len);
        copy->len = (uint32_t)script.len;
    }
    exchange_answer_chunks(worker, exchange, 200, "application/javascript; charset=utf-8",
                           builder_span(&lines), copy, (uint32_t)script.len);
}
