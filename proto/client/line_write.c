/* line_write.c - the objects that the server writes; see line.h. */
#include "core/base/clock.h"
#include "proto/client/line.h"
#include "proto/text/base64.h"
#include "proto/text/json.h"

/* A number of seconds, without zeros at its end. */
static void write_seconds(struct builder *out, uint64_t ns) {
    builder_u64(out, ns / NS_PER_S);
    uint64_t rest = ns % NS_PER_S;
    if (rest == 0)
        return;
    char digits[10] = ".000000000";
    size_t len = 0;
    for (size_t i = 9; i > 0; i--, rest /= 10) {
        digits[i] = (char)('0' + rest % 10);
        if (len == 0 && digits[i] != '0')
            len = i + 1;
    }
    builder_bytes(out, digits, len);
}

static void write_ref(struct builder *out, struct span ref) {
    if (ref.len != 0) {
        builder_text(out, ",\"ref\":");
        json_escape_breaks(ref, out);
    }
}

void line_welcome(struct builder *out, const struct welcome *welcome) {
    builder_text(out, "{\"type\":\"welcome\",\"session\":");
    builder_json(out, welcome->session);
    builder_text(out, ",\"node\":");
    builder_json(out, welcome->node);
    builder_text(out, ",\"heartbeat\":");
    write_seconds(out, welcome->heartbeat_ns);
    builder_text(out, ",\"max_message\":");
    builder_u64(out, welcome->max_message_bytes);
    if (welcome->resumed)
        builder_text(out, welcome->recovered ? ",\"recovered\":true" : ",\"recovered\":false");
    builder_byte(out, '}');
}

void line_ok(struct builder *out, struct span ref) {
    builder_text(out, "{\"type\":\"ok\"");
    write_ref(out, ref);
    builder_byte(out, '}');
}

void line_sent(struct builder *out, struct span ref, struct span id, const char *state) {
    builder_text(out, "{\"type\":\"ok\"");
    write_ref(out, ref);
    builder_text(out, ",\"id\":");
    builder_json(out, id);
    builder_text(out, ",\"state\":\"");
    builder_text(out, state);
    builder_text(out, "\"}");
}

void line_error(struct builder *out, enum code code, const char *text, struct span ref) {
    builder_text(out, "{\"type\":\"error\",\"code\":\"");
    builder_text(out, code_word(code));
    builder_text(out, "\",\"message\":");
    builder_json(out, span_text(text));
    write_ref(out, ref);
    builder_byte(out, '}');
}

void line_goodbye(struct builder *out, const char *reason, uint64_t reconnect_ms) {
    builder_text(out, "{\"type\":\"goodbye\",\"reason\":\"");
    builder_text(out, reason);
    builder_text(out, "\",\"reconnect_ms\":");
    builder_u64(out, reconnect_ms);
    builder_byte(out, '}');
}

void line_message_head(struct builder *out, const struct message_label *label) {
    builder_text(out, "{\"type\":\"message\",\"id\":");
    builder_json(out, label->id);
    builder_text(out, ",\"event\":");
    builder_json(out, label->event);
    if (label->group_json.len != 0) {
        builder_text(out, ",\"group\":");
        builder_span_add(out, label->group_json);
    }
    if (label->ack)
        builder_text(out, ",\"ack\":true");
    if (label->redelivered)
        builder_text(out, ",\"redelivered\":true");
    if (label->bytes)
        builder_text(out, ",\"encoding\":\"base64\"");
    builder_text(out, ",\"data\":");
}

void line_message_bytes(struct builder *out, struct span payload) {
    builder_byte(out, '"');
    base64_encode(out, payload);
    builder_byte(out, '"');
}

void line_message_tail(struct builder *out) {
    builder_byte(out, '}');
}

size_t line_message_bound(const struct message_label *label) {
    /* All constant parts; id and event with quotes, each byte escaped by one more; `group`. */
    static const char constant[] = "{\"type\":\"message\",\"id\":,\"event\":,\"group\":,"
                                   "\"ack\":true,\"redelivered\":true,"
                                   "\"encoding\":\"base64\",\"data\":}";
    return sizeof constant + 2 + 2 * label->id.len + 2 + 2 * label->event.len +
           label->group_json.len;
}
