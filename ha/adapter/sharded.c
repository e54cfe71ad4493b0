#include "ha/adapter/sharded.h"

#include "proto/text/json.h"

static const char wrong_shape[] = "it is nothing that sharded adapters write";

/* --- what it is ------------------------------------------------------------------------------- */

static const char *json_open_message(struct span text, struct sharded_message *message) {
    struct json_cursor cursor;
    struct json_value key, value;
    json_open(&cursor, text);
    while (json_object_next(&cursor, &key, &value)) {
        struct span name = json_inside(&key);
        if (span_equal(name, SPAN("type")) && value.kind == JSON_NUMBER) {
            message->type = json_u64(value.raw, &message->type) ? message->type : UINT64_MAX;
        } else if (span_equal(name, SPAN("uid")) && value.kind == JSON_STRING) {
            message->uid = json_inside(&value);
        } else if (span_equal(name, SPAN("nsp")) && value.kind == JSON_STRING) {
            struct builder room = builder_over(message->nsp_room, sizeof(message->nsp_room));
            if (json_text(&value, &room, &message->nsp) != NULL)
                message->nsp = SPAN("");
        } else if (span_equal(name, SPAN("data"))) {
            message->data = value.raw;
        }
    }
    return cursor.error.text != NULL ? "it is not JSON" : NULL;
}

static const char *packed_open_message(struct span text, struct sharded_message *message) {
    char id[ADAPTER_ID_BYTES_MAX];
    struct adapter_request request = {.does = ADAPTER_UNKNOWN};
    struct adapter_parts parts;
    const char *wrong = adapter_parts_read(text, id, &request, &parts);
    if (wrong != NULL)
        return wrong;
    message->type = parts.type;
    message->uid = request.event.uid;
    message->nsp = request.event.nsp;
    message->data = parts.data;
    return parts.rest.len != 0 ? "something stands behind it" : NULL;
}

const char *sharded_open(struct span text, struct sharded_message *message) {
    bool is_json = text.len != 0 && text.at[0] == '{';
    message->type = UINT64_MAX;
    message->uid = message->nsp = message->data = SPAN("");
    message->is_json = is_json;
    const char *wrong =
        is_json ? json_open_message(text, message) : packed_open_message(text, message);
    if (message->uid.len > ADAPTER_UID_MAX)
        message->uid = SPAN("");
    return wrong == NULL && message->type == UINT64_MAX ? wrong_shape : wrong;
}

/* --- what it says ----------------------------------------------------------------------------- */

static enum adapter_does does_of(uint64_t type) {
    switch (type) {
    case SHARDED_BROADCAST:
        return ADAPTER_BROADCAST;
    case SHARDED_JOIN:
        return ADAPTER_JOIN;
    case SHARDED_LEAVE:
        return ADAPTER_LEAVE;
    case SHARDED_DISCONNECT:
        return ADAPTER_DISCONNECT;
    case SHARDED_FETCH:
        return ADAPTER_FETCH;
    case SHARDED_SERVER_EMIT:
        return ADAPTER_SERVER_EMIT;
    default:
        return type >= SHARDED_FIRST && type <= SHARDED_CLOSE ? ADAPTER_NOTHING : ADAPTER_UNKNOWN;
    }
}

/* FETCH and SERVER_EMIT always want an answer if they have an id; BROADCAST only has one if it
 * does. Nobody can be answered who has not said who it is. */
static void answered_set(const struct sharded_message *message, struct adapter_request *request) {
    bool asks = request->does == ADAPTER_FETCH || request->does == ADAPTER_SERVER_EMIT ||
                request->does == ADAPTER_BROADCAST;
    request->is_answered = asks && request->id.len != 0 && message->uid.len != 0;
    request->uid = message->uid;
}

static const char *json_data_read(const struct sharded_message *message,
                                  struct adapter_request *request) {
    struct json_cursor cursor;
    struct json_value key, value;
    struct span options = SPAN("");
    if (json_open(&cursor, message->data) != JSON_OBJECT)
        return wrong_shape;
    while (json_object_next(&cursor, &key, &value)) {
        struct span name = json_inside(&key);
        if (span_equal(name, SPAN("requestId")))
            adapter_id_take(request, &value);
        else if (span_equal(name, SPAN("opts")))
            options = value.raw;
        else if (span_equal(name, SPAN("rooms")) && value.kind == JSON_ARRAY)
            request->joins = value.raw;
        else if (span_equal(name, SPAN("close")))
            request->close = value.kind == JSON_TRUE;
    }
    bool changes = request->does == ADAPTER_JOIN || request->does == ADAPTER_LEAVE;
    bool aims = changes || request->does == ADAPTER_FETCH || request->does == ADAPTER_DISCONNECT;
    if (!changes)
        request->joins = SPAN("");
    if (aims && !adapter_targets_read(request, options))
        return "its rooms are no list";
    return changes && request->joins.len == 0 ? "it names no room" : NULL;
}

static const char *packed_data_read(struct span data, char id[ADAPTER_ID_BYTES_MAX],
                                    struct adapter_request *request) {
    struct adapter_event sender = request->event;
    struct adapter_parts parts;
    const char *wrong = adapter_parts_read(data, id, request, &parts);
    /* Who it is from, and its namespace, are said outside. */
    request->event.uid = sender.uid;
    request->event.nsp = sender.nsp;
    if (wrong != NULL || request->does != ADAPTER_BROADCAST)
        return wrong;
    wrong = adapter_parts_event(&parts, &request->event);
    request->event.nsp = sender.nsp;
    return wrong;
}

const char *sharded_read(const struct sharded_message *message, char id[ADAPTER_ID_BYTES_MAX],
                         struct builder *packed, struct adapter_request *request) {
    const char *wrong = NULL;
    struct span data = message->data;
    *request = (struct adapter_request){.does = does_of(message->type),
                                        .event = {.uid = message->uid, .nsp = message->nsp}};
    if (request->does == ADAPTER_NOTHING || request->does == ADAPTER_UNKNOWN)
        return NULL;
    if (message->is_json && request->does != ADAPTER_BROADCAST) {
        wrong = json_data_read(message, request);
    } else if (!message->is_json && request->does != ADAPTER_BROADCAST &&
               request->does != ADAPTER_SERVER_EMIT) {
        wrong = "only what may hold bytes is written as MessagePack";
    } else {
        if (message->is_json && data.len != 0) {
            msgpack_from_json(data, packed);
            data = builder_span(packed);
        }
        wrong = packed_data_read(data, id, request);
    }
    answered_set(message, request);
    return wrong;
}
