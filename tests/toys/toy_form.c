#include "tests/toys/toy_form.h"

#include "core/base/builder.h"
#include "core/hub.h"
#include "core/server.h"

#include <stdio.h>

#define CHUNK_HEAD_BYTES_MAX 16

static int chunk_head(const struct encoding *encoding, const struct message *message,
                      char text[CHUNK_HEAD_BYTES_MAX]) {
    uint32_t bytes = 2 + MARK_BYTES + 1 + message->payload_len;
    if (encoding->variant == TOY_FRAME)
        return snprintf(text, CHUNK_HEAD_BYTES_MAX, "\x81%c4", (char)bytes);
    if (encoding->variant == TOY_PACKET)
        return snprintf(text, CHUNK_HEAD_BYTES_MAX, "4");
    if (encoding->variant != TOY_CHUNK)
        return 0;
    return snprintf(text, CHUNK_HEAD_BYTES_MAX, "%x\r\n",
                    1 + MARK_BYTES + 1 + message->payload_len + 1);
}

static size_t form_bound(const struct encoding *encoding, const struct message *message) {
    (void)encoding, (void)message;
    return CHUNK_HEAD_BYTES_MAX + 1 + MARK_BYTES + 4;
}

static bool form_head(const struct encoding *encoding, const struct message *message,
                      struct builder *out) {
    char text[CHUNK_HEAD_BYTES_MAX];
    builder_bytes(out, text, (size_t)chunk_head(encoding, message, text));
    builder_byte(out, encoding->variant == TOY_OTHER ? '?' : '!');
    builder_text(out, "----------:");
    return true;
}

static void form_tail(const struct encoding *encoding, const struct message *message,
                      struct builder *out) {
    (void)message;
    if (encoding->variant != TOY_PACKET && encoding->variant != TOY_FRAME)
        builder_text(out, encoding->variant == TOY_CHUNK ? "\n\r\n" : "\n");
}

static uint32_t form_mark_at(const struct encoding *encoding, const struct message *message) {
    char text[CHUNK_HEAD_BYTES_MAX];
    return (uint32_t)chunk_head(encoding, message, text) + 1;
}

#define FORM(its_name, its_variant)                                                                \
    {                                                                                              \
        .name = its_name, .variant = its_variant, .bound = form_bound, .head = form_head,          \
        .tail = form_tail, .mark_at = form_mark_at                                                 \
    }
struct encoding toy_encodings[TOY_VARIANTS] = {
    FORM("toy", TOY_PLAIN), FORM("toy_other", TOY_OTHER), FORM("toy_chunk", TOY_CHUNK),
    FORM("toy_packet", TOY_PACKET), FORM("toy_frame", TOY_FRAME)};

static void on_said(struct endpoint *endpoint, struct publish *publish, enum result_word result,
                    uint32_t recipients) {
    (void)endpoint, (void)publish, (void)result, (void)recipients;
}

void toy_say(struct worker *worker, struct span payload) {
    struct publish *publish = publish_get(&worker->endpoint, false);
    if (publish == NULL)
        return;
    struct message_parts parts = {.groups = &SPAN("toys"),
                                  .group_count = 1,
                                  .class = CLASS_ACK,
                                  .namespace = TOY_NAMESPACE,
                                  .ttl_ns = TOY_TTL_NS,
                                  .payload_max = payload.len};
    struct message *message = message_open(&worker->endpoint, &parts);
    if (message == NULL) {
        publish_put(&worker->endpoint, publish);
        return;
    }
    memcpy(message_payload_room(message), payload.at, payload.len);
    message_seal(message, payload.len);
    publish->done = on_said;
    publish->class = CLASS_ACK;
    hub_publish(&worker->endpoint, publish, message);
}
