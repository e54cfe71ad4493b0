/* Any bytes as what polls and frames of Engine.IO carry: what is read lies within what was given,
 * and comes back when it is written. The first byte says as what the rest is read. */
#include "core/base/check.h"
#include "proto/web/eio/engine_codec.h"
#include "proto/web/eio/engine_sid.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

static char written[1 << 18];

static void packet_look(const struct engine_packet *packet, const char *at, size_t len) {
    CHECK(packet->type >= ENGINE_OPEN && packet->type <= ENGINE_NOOP);
    CHECK(packet->bytes.len == 0 ||
          (packet->bytes.at >= at && packet->bytes.at + packet->bytes.len <= at + len));
}

/* A payload of one packet says the same. */
static void packet_again(enum engine_form form, enum engine_payload payload,
                         const struct engine_packet *packet) {
    struct builder out = builder_over(written, sizeof written);
    if (packet->binary && packet->type != ENGINE_MESSAGE)
        return;
    engine_packet_write(&out, form, packet);
    CHECK(!out.full && out.len <= engine_packet_bound(form, packet));
    /* A text of version 4 may hold no separator. */
    if (form == EIO4_POLL && memchr(packet->bytes.at, ENGINE_SEPARATOR, packet->bytes.len) != NULL)
        return;
    struct engine_reader reader = {.at = written, .len = out.len, .form = payload};
    struct engine_packet again;
    CHECK(engine_payload_next(&reader, &again) == ENGINE_STEP_PACKET);
    CHECK(again.type == packet->type && again.binary == packet->binary);
    CHECK(span_equal(again.bytes, packet->bytes));
    CHECK(engine_payload_next(&reader, &again) == ENGINE_STEP_END);
}

static void payload_read(enum engine_form form, enum engine_payload payload, char *at, size_t len) {
    struct engine_reader reader = {.at = at, .len = len, .form = payload};
    struct engine_packet packet;
    size_t steps = 0;
    while (engine_payload_next(&reader, &packet) == ENGINE_STEP_PACKET) {
        CHECK(++steps <= len);
        packet_look(&packet, at, len);
        if (packet.bytes.len != 0 || !packet.binary)
            packet_again(form, payload, &packet);
    }
}

static void jsonp_read(char *at, size_t len) {
    struct span payload;
    if (!engine_jsonp_read(at, len, &payload))
        return;
    CHECK(payload.len == 0 || (payload.at >= at && payload.at + payload.len <= at + len));
    struct builder out = builder_over(written, sizeof written);
    engine_jsonp_write(&out, payload);
    CHECK(out.full || out.len == engine_jsonp_len(payload));
    CHECK(memchr(written, '\n', out.len) == NULL);
}

static void sid_look(struct span text) {
    struct sid sid;
    char again[SID_TEXT_BYTES];
    if (!sid_read(text, &sid))
        return;
    CHECK(sid.slot <= SID_SLOT_MAX);
    sid_write(&sid, again);
    CHECK(span_equal(span_of(again, sizeof again), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    if (len == 0 || len > 1 << 14)
        return 0;
    char *copy = malloc(len);
    CHECK(copy != NULL);
    len--;
    memcpy(copy, at + 1, len);
    struct engine_packet packet;
    switch (at[0] % 7) {
    case 0:
        payload_read(EIO4_POLL, ENGINE_PAYLOAD_4, copy, len);
        break;
    case 1:
        payload_read(EIO3_POLL, ENGINE_PAYLOAD_3, copy, len);
        break;
    case 2:
        payload_read(EIO3_POLL_BINARY, ENGINE_PAYLOAD_3_BINARY, copy, len);
        break;
    case 3:
        jsonp_read(copy, len);
        break;
    case 4:
        sid_look(span_of(copy, len));
        break;
    default:
        if (engine_frame_read(at[0] % 7 == 5 ? 4 : 3, copy, len, at[0] >= 128, &packet))
            packet_look(&packet, copy, len);
        break;
    }
    free(copy);
    return 0;
}
