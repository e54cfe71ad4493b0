#include "tests/toys/toy_form.h"

#include "core/base/builder.h"
#include "core/hub.h"
#include "core/server.h"

static size_t form_bound(const struct encoding *encoding, const struct message *message) {
    (void)encoding, (void)message;
    return 1 + MARK_BYTES + 2;
}

static bool form_head(const struct encoding *encoding, const struct message *message,
                      struct builder *out) {
    (void)message;
    builder_byte(out, encoding->variant == 0 ? '!' : '?');
    builder_text(out, "----------:");
    return true;
}

static void form_tail(const struct encoding *encoding, const struct message *message,
                      struct builder *out) {
    (void)encoding, (void)message;
    builder_byte(out, '\n');
}

static uint32_t form_mark_at(const struct encoding *encoding, const struct message *message) {
    (void)encoding, (void)message;
    return 1;
}

#define FORM(its_name, its_variant)                                                                \
    {                                                                                              \
        .name = its_name, .variant = its_variant, .bound = form_bound, .head = form_head,          \
        .tail = form_tail, .mark_at = form_mark_at                                                 \
    }
struct encoding toy_encodings[2] = {FORM("toy", 0), FORM("toy_other", 1)};

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
