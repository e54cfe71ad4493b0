/* Any bytes as a packet of Socket.IO: right, with all that was found in its place, or refused; what
 * was read and written again reads the same. */
#include "core/base/check.h"
#include "proto/text/names.h"
#include "proto/web/sio/sio_packet.h"
#include "tests/support/json_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

static char written[1 << 20];

static void is_within(struct span part, struct span whole) {
    CHECK(part.len == 0 || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len));
}

static void packet_look(const struct sio_packet *packet, struct span text) {
    CHECK(packet->type < SIO_TYPES && packet->attachments <= SIO_ATTACHMENTS_MAX);
    CHECK(name_check(packet->namespace) == NULL && packet->namespace.at[0] == '/');
    CHECK(packet->id <= SIO_ID_MAX && (packet->has_id || packet->id == 0));
    is_within(packet->query, text);
    is_within(packet->json.raw, text);
    is_within(packet->event.raw, packet->json.raw);
    if (packet->json.kind != JSON_NONE)
        CHECK(json_reference_valid((const uint8_t *)packet->json.raw.at, packet->json.raw.len));
    bool event = packet->type == SIO_EVENT || packet->type == SIO_BINARY_EVENT;
    CHECK(event == (packet->event.kind == JSON_STRING || packet->event.kind == JSON_NUMBER));
    if (packet->type == SIO_BINARY_EVENT || packet->type == SIO_BINARY_ACK)
        CHECK(sio_placeholders_fit(packet->json.raw, packet->attachments));
}

static void again(enum sio_version version, const struct sio_packet *packet) {
    struct builder out = builder_over(written, sizeof written);
    sio_head_write(&out, packet->type, packet->attachments, packet->namespace,
                   packet->has_id ? &packet->id : NULL);
    CHECK(!out.full && out.len <= sio_head_bound(packet->namespace.len));
    builder_span_add(&out, packet->json.raw);
    struct sio_packet same;
    const char *wrong = sio_packet_read(version, builder_span(&out), &same);
    CHECK(wrong == NULL, "%s", wrong);
    CHECK(same.type == packet->type && same.attachments == packet->attachments);
    CHECK(span_equal(same.namespace, packet->namespace) && same.has_id == packet->has_id);
    CHECK(same.id == packet->id && span_equal(same.json.raw, packet->json.raw));
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    struct span text = span_of(at, len);
    struct sio_packet packet;
    for (enum sio_version version = SIO_PROTOCOL_4; version <= SIO_PROTOCOL_5; version++) {
        if (sio_packet_read_long(version, text, &packet) == NULL)
            CHECK(packet.is_long && packet.type == SIO_EVENT && packet.json.kind == JSON_NONE);
        if (sio_packet_read(version, text, &packet) != NULL)
            continue;
        packet_look(&packet, text);
        /* A number would be read as the id, or as more of it. */
        if (len < sizeof written / 2 && packet.json.kind != JSON_NUMBER)
            again(version, &packet);
    }
    struct json_error error;
    if (json_scan(text, NULL, &error) && !sio_has_placeholder(text))
        CHECK(sio_placeholders_fit(text, 0));
    return 0;
}
