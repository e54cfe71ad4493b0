/* Any bytes as MessagePack, as an event and as a request of an adapter of Socket.IO: JSON that is
 * right, or refused; what JSON was made of packs and reads the same. */
#include "core/base/check.h"
#include "ha/adapter/sharded.h"
#include "tests/support/json_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

static char json[1 << 20], packed[4 << 20], again[1 << 21];

static void is_within(struct span part, struct span whole) {
    CHECK(part.len == 0 || (part.at >= whole.at && part.at + part.len <= whole.at + whole.len));
}

static void value_look(struct span text) {
    struct span rest = text, passed = text;
    struct builder out = builder_over(json, sizeof(json));
    const char *wrong = msgpack_to_json(&rest, &out);
    if (wrong != NULL || out.full)
        return;
    CHECK(msgpack_pass(&passed) && passed.len == rest.len);
    CHECK(json_reference_valid((const uint8_t *)json, out.len));
    struct builder to = builder_over(packed, msgpack_json_bytes(out.len));
    msgpack_from_json(builder_span(&out), &to);
    CHECK(!to.full);
    struct builder same = builder_over(again, sizeof(again));
    rest = builder_span(&to);
    CHECK(msgpack_to_json(&rest, &same) == NULL && rest.len == 0);
    CHECK(same.full || json_reference_valid((const uint8_t *)again, same.len));
}

static void event_look(const struct adapter_event *event, struct span text) {
    is_within(event->uid, text);
    is_within(event->nsp, text);
    is_within(event->name, text);
    is_within(event->data, text);
    is_within(event->rooms, text);
    is_within(event->except, text);
    struct span rooms = event->rooms, name, bytes;
    uint32_t left = event->room_count;
    while (adapter_name_next(&rooms, &left, &name))
        is_within(name, text);
    CHECK(left == 0);
    struct builder out = builder_over(json, sizeof(json));
    if (adapter_data_is_bytes(event, &bytes))
        is_within(bytes, text);
    if (adapter_data_write(event, &out) == NULL && !out.full)
        CHECK(json_reference_valid((const uint8_t *)json, out.len));
}

static void answer_look(const struct adapter_request *request) {
    const struct adapter_answerer answerer = {SPAN_INIT("ringpost-\"\\"), SPAN_INIT("/\x01")};
    char answer[ADAPTER_ANSWER_BYTES];
    struct builder out = builder_over(answer, sizeof(answer));
    adapter_answer_begin(request, &answerer, &out);
    adapter_answer_end(request, &out);
    CHECK(!out.full && json_reference_valid((const uint8_t *)answer, out.len));
}

static void sharded_look(struct span text) {
    char id[ADAPTER_ID_BYTES_MAX];
    struct sharded_message message;
    struct adapter_request request;
    if (sharded_open(text, &message) != NULL || sharded_bytes(&message) > sizeof(packed))
        return;
    is_within(message.uid, text);
    is_within(message.data, text);
    CHECK(message.uid.len <= ADAPTER_UID_MAX && message.nsp.len <= text.len);
    struct builder out = builder_over(packed, sharded_bytes(&message));
    const char *wrong = sharded_read(&message, id, &out, &request);
    CHECK(!out.full && (!request.is_answered || request.uid.len != 0));
    if (wrong == NULL && request.does == ADAPTER_BROADCAST) {
        struct adapter_event event = request.event; /* its sender is said outside of it */
        event.uid = event.nsp = SPAN("");
        event_look(&event, message.is_json ? builder_span(&out) : text);
    }
    is_within(request.rooms, text);
    is_within(request.except, text);
    is_within(request.joins, text);
    if (request.id.len != 0)
        answer_look(&request);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    struct span text = span_of(at, len), namespace, room;
    struct adapter_event event;
    struct adapter_request request;
    enum adapter_place place;
    char id[ADAPTER_ID_BYTES_MAX];
    sharded_look(text);
    value_look(text);
    if (adapter_event_read(text, &event) == NULL)
        event_look(&event, text);
    if (adapter_channel_read(SPAN("k"), text, &place, &namespace, &room))
        is_within(namespace, text);
    if (adapter_request_read(text, id, &request) == NULL && request.id.len != 0)
        answer_look(&request);
    return 0;
}
