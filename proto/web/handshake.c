#include "proto/web/handshake.h"

#include "core/base/check.h"

#define VERSION SPAN("13")
#define LINES_BYTES_MAX 4608 /* those of web.c for an origin, and the handshake's own */

static struct handshake bad(unsigned status, const char *why) {
    return (struct handshake){.status = status, .why = why};
}

/* Reads every field of that name; false: one is malformed. */
static bool lists_read(const struct http_fields *fields, struct span protocol,
                       struct handshake *handshake, struct ws_terms *terms) {
    bool good = true;
    for (unsigned i = 0; i < fields->count && good; i++) {
        const struct http_field *field = &fields->list[i];
        if (span_equal_nocase(field->name, SPAN("sec-websocket-protocol")))
            good = ws_protocols_read(field->value, protocol, &handshake->protocol);
        else if (span_equal_nocase(field->name, SPAN("sec-websocket-extensions")))
            good = ws_extensions_read(field->value, terms);
    }
    return good;
}

struct handshake handshake_look(const struct http_request *request, struct span protocol,
                                bool deflate) {
    const struct http_fields *fields = &request->fields;
    struct handshake handshake = {.key = http_fields_get(fields, SPAN("sec-websocket-key"))};
    struct ws_terms terms = {0};
    struct span version = http_fields_get(fields, SPAN("sec-websocket-version"));
    if (request->method != HTTP_METHOD_GET || request->version_minor == 0 ||
        !http_asks_upgrade(request, SPAN("websocket")))
        return bad(426, "this path speaks WebSocket: the request must ask for it by Upgrade and "
                        "Connection; does a proxy in front drop these headers?");
    if (!span_equal(version, VERSION) ||
        http_fields_count(fields, SPAN("sec-websocket-version")) != 1)
        return bad(426, "Sec-WebSocket-Version is not 13");
    if (!ws_key_is_good(handshake.key) || http_fields_count(fields, SPAN("sec-websocket-key")) != 1)
        return bad(400, "Sec-WebSocket-Key is not one value of 16 bytes in base64");
    if (!lists_read(fields, protocol, &handshake, &terms))
        return bad(400, "Sec-WebSocket-Protocol or Sec-WebSocket-Extensions is malformed");
    /* A smaller window would be a form of its own of each message. */
    handshake.deflate =
        deflate && terms.deflate && (!terms.bits_asked || terms.window_bits == WS_WINDOW_BITS_MAX);
    handshake.terms = terms;
    return handshake;
}

struct span handshake_refusal_lines(const struct handshake *handshake) {
    return handshake->status == 426
               ? SPAN("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n")
               : SPAN("");
}

void handshake_accept(struct worker *worker, struct http_exchange *exchange,
                      const struct handshake *handshake, struct span protocol, struct span extra,
                      const struct http_upgrade *upgrade) {
    char room[LINES_BYTES_MAX], value[WS_EXTENSIONS_BYTES_MAX + WS_ACCEPT_BYTES];
    struct builder out = builder_over(room, sizeof room);
    struct builder text = builder_over(value, sizeof value);
    ws_accept_write(&text, handshake->key);
    http_field_write(&out, SPAN("Sec-WebSocket-Accept"), builder_span(&text));
    if (handshake->protocol)
        http_field_write(&out, SPAN("Sec-WebSocket-Protocol"), protocol);
    if (handshake->deflate) {
        text.len = 0;
        ws_extensions_write(&text, &handshake->terms);
        http_field_write(&out, SPAN("Sec-WebSocket-Extensions"), builder_span(&text));
    }
    builder_span_add(&out, extra);
    CHECK(!out.full && !text.full, "the answer to a handshake is too long");
    exchange_upgrade(worker, exchange, SPAN("websocket"), builder_span(&out), upgrade);
}
