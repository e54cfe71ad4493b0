/* Any bytes as a message: as a JSON object of each form, as a payload of each kind, and as a query.
 * What is taken keeps every bound and means the same when it is written again. */
#include "ingest/gate/envelope.h"
#include "proto/text/base64.h"
#include "proto/text/percent.h"
#include "tests/support/client_line_look.h"
#include "tests/support/json_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

#define DATA_MAX 256

static struct envelope_scratch room, other_room;
static char written[1 << 20], payload_bytes[1 << 16];

static void envelope_look(const struct envelope *envelope) {
    const struct message_parts *parts = &envelope->parts;
    struct json_value value;
    struct json_error error;
    CHECK(parts->id.len == 0 || message_id_check(parts->id) == NULL);
    CHECK(event_check(parts->event) == NULL);
    CHECK(parts->ttl_ns > 0 && parts->ttl_ns <= TTL_NS_MAX);
    CHECK(parts->broadcast == (parts->to_count + parts->group_count == 0));
    CHECK(parts->class != CLASS_ACK ||
          (parts->to_count != 0 && parts->group_count + parts->except_count == 0));
    name_list_look(&envelope->to, 0, name_check);
    name_list_look(&envelope->groups, 0, name_check);
    name_list_look(&envelope->except, 0, name_check);
    CHECK(parts->to == room.to && parts->to_count == envelope->to.count);
    CHECK(parts->groups == room.groups && parts->group_count == envelope->groups.count);
    CHECK(parts->except == room.except && parts->except_count == envelope->except.count);
    CHECK((parts->group_json.len != 0) == (parts->group_count != 0));
    if (parts->group_json.len != 0) {
        CHECK(json_scan(parts->group_json, &value, &error));
        CHECK(value.kind == JSON_STRING || value.kind == JSON_ARRAY);
        CHECK(memchr(parts->group_json.at, '\n', parts->group_json.len) == NULL);
        CHECK(memchr(parts->group_json.at, '\r', parts->group_json.len) == NULL);
    }
}

static struct span payload_look(const struct envelope *envelope) {
    CHECK(envelope->parts.payload_max <= sizeof payload_bytes);
    struct builder out = builder_over(payload_bytes, envelope->parts.payload_max);
    struct json_error error;
    envelope_payload(envelope, &out);
    CHECK(!out.full);
    if (envelope->kind == PAYLOAD_BYTES) {
        CHECK(base64_len(out.len) <= DATA_MAX);
    } else {
        CHECK(out.len <= DATA_MAX);
        CHECK(json_scan(builder_span(&out), NULL, &error), "%s", error.text);
        CHECK(memchr(out.at, '\n', out.len) == NULL && memchr(out.at, '\r', out.len) == NULL);
    }
    return builder_span(&out);
}

static void list_write(struct builder *out, const char *field, const struct name_list *list) {
    if (list->count == 0)
        return;
    builder_format(out, ",\"%s\":", field);
    for (unsigned i = list->count; i-- > 0;) {
        builder_byte(out, i == list->count - 1 ? '[' : ',');
        builder_json(out, list->at[i]);
    }
    builder_byte(out, ']');
}

/* The same message in other words is the same message. */
static void envelope_again(const struct envelope *envelope, struct span payload) {
    const struct message_parts *parts = &envelope->parts;
    struct hash128 digest = envelope_digest(envelope, payload);
    struct builder out = builder_over(written, sizeof written);
    builder_text(&out, "{\"data\":\r\n");
    builder_span_add(&out, payload);
    builder_text(&out, ",\"event\":");
    builder_json(&out, parts->event);
    if (parts->id.len != 0) {
        builder_text(&out, ",\"id\":");
        builder_json(&out, parts->id);
    }
    if (parts->broadcast)
        builder_text(&out, ",\"broadcast\":true");
    list_write(&out, "to", &envelope->to);
    list_write(&out, "group", &envelope->groups);
    list_write(&out, "except", &envelope->except);
    builder_format(&out, ",\"volatile\":%s", parts->class == CLASS_VOLATILE ? "true" : "false");
    builder_format(&out, ",\"ack\":%s}", parts->class == CLASS_ACK ? "true" : "false");
    CHECK(!out.full);

    struct envelope again;
    struct complaint complaint;
    CHECK(envelope_parse(&again, &other_room, ENVELOPE_MESSAGE, builder_span(&out),
                         sizeof payload_bytes, &complaint),
          "%s", complaint.text);
    static char again_bytes[sizeof payload_bytes];
    struct builder again_payload = builder_over(again_bytes, again.parts.payload_max);
    envelope_payload(&again, &again_payload);
    CHECK(span_equal(builder_span(&again_payload), payload));
    struct hash128 other = envelope_digest(&again, builder_span(&again_payload));
    CHECK(digest.low == other.low && digest.high == other.high);
    CHECK(span_equal(again.parts.id, parts->id));
}

static void object_look(struct span text, enum envelope_form form) {
    struct envelope envelope;
    struct complaint complaint;
    if (envelope_parse(&envelope, &room, form, text, DATA_MAX, &complaint)) {
        CHECK(json_reference_valid(text.at, text.len));
        CHECK(envelope.ref.len <= REF_JSON_BYTES_MAX);
        CHECK(form == ENVELOPE_LINE || envelope.ref.len == 0);
        envelope_look(&envelope);
        envelope_again(&envelope, payload_look(&envelope));
        return;
    }
    complaint_look(&complaint);
    CHECK(complaint.code == CODE_BAD_JSON || complaint.code == CODE_BAD_MESSAGE ||
          complaint.code == CODE_TOO_LARGE);
    bool json = json_reference_valid(text.at, text.len);
    CHECK((complaint.code == CODE_BAD_JSON) == !json);
    CHECK(complaint.code != CODE_BAD_JSON || complaint.offset <= text.len);
    if (json && form == ENVELOPE_LINE)
        CHECK(span_equal(envelope.ref, ref_find(text)));
}

static void data_look(struct span data, enum payload_kind kind) {
    struct envelope envelope;
    struct complaint complaint;
    envelope_init(&envelope, &room);
    CHECK(envelope_set(&envelope, SPAN("to"), SPAN("a"), &complaint));
    if (envelope_set_data(&envelope, kind, data, DATA_MAX, &complaint)) {
        CHECK(envelope_finish(&envelope, &complaint));
        envelope_look(&envelope);
        payload_look(&envelope);
    } else {
        complaint_look(&complaint);
    }
}

static void query_look(struct span query) {
    static char texts[1 << 16];
    if (query.len > sizeof texts)
        return;
    struct builder scratch = builder_over(texts, sizeof texts);
    struct envelope envelope;
    struct complaint complaint;
    struct span name, value;
    envelope_init(&envelope, &room);
    while (query_next(&query, &name, &value)) {
        if (percent_text(name, PERCENT_QUERY, &scratch, &name, NULL) != NULL ||
            percent_text(value, PERCENT_QUERY, &scratch, &value, NULL) != NULL)
            return;
        if (!envelope_set(&envelope, name, value, &complaint)) {
            complaint_look(&complaint);
            return;
        }
    }
    if (envelope_finish(&envelope, &complaint)) {
        envelope_look(&envelope);
        envelope_again(&envelope, payload_look(&envelope));
    } else {
        complaint_look(&complaint);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    static bool ready;
    if (!ready)
        hash_init(NULL);
    ready = true;
    struct span input = span_of(at, len);
    object_look(input, ENVELOPE_MESSAGE);
    object_look(input, ENVELOPE_LINE);
    object_look(input, ENVELOPE_COUNTED);
    data_look(input, PAYLOAD_JSON);
    data_look(input, PAYLOAD_TEXT);
    data_look(input, PAYLOAD_BYTES);
    query_look(input);
    return 0;
}
