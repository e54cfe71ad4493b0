#include "ha/adapter/packet.h"

#include "ha/adapter/sharded.h"
#include "proto/text/json.h"
#include "proto/text/utf8.h"

/* --- channels --------------------------------------------------------------------------------- */

static struct span place_word(enum adapter_place place) {
    static const struct span words[] = {[ADAPTER_EVENTS] = SPAN_INIT("#"),
                                        [ADAPTER_REQUESTS] = SPAN_INIT("-request#"),
                                        [ADAPTER_RESPONSES] = SPAN_INIT("-response#")};
    return words[place];
}

void adapter_channel_write(struct builder *out, enum adapter_place place, struct span key,
                           struct span namespace, struct span room) {
    builder_span_add(out, key);
    builder_span_add(out, place_word(place));
    builder_span_add(out, namespace);
    builder_byte(out, '#');
    if (room.len == 0)
        return;
    builder_span_add(out, room);
    builder_byte(out, '#');
}

/* What has a meaning in a pattern stands for itself. */
static void plain_write(struct builder *out, struct span text) {
    for (size_t i = 0; i < text.len; i++) {
        if (memchr("*?[]\\^", text.at[i], 6) != NULL)
            builder_byte(out, '\\');
        builder_byte(out, text.at[i]);
    }
}

void adapter_pattern_write(struct builder *out, struct span key, struct span namespace) {
    plain_write(out, key);
    builder_byte(out, '#');
    plain_write(out, namespace);
    builder_text(out, "#*");
}

static bool starts(struct span text, struct span with) {
    return text.len >= with.len && (with.len == 0 || memcmp(text.at, with.at, with.len) == 0);
}

bool adapter_channel_read(struct span key, struct span text, enum adapter_place *place,
                          struct span *namespace, struct span *room) {
    if (!starts(text, key))
        return false;
    struct span rest = span_of(text.at + key.len, text.len - key.len);
    *place = ADAPTER_EVENTS;
    if (!starts(rest, place_word(*place)))
        *place = ADAPTER_REQUESTS;
    struct span word = place_word(*place);
    if (!starts(rest, word))
        return false;
    rest = span_of(rest.at + word.len, rest.len - word.len);
    const char *end = rest.len == 0 ? NULL : memchr(rest.at, '#', rest.len);
    if (end == NULL)
        return false;
    *namespace = span_of(rest.at, (size_t)(end - rest.at));
    *room = span_of(end + 1, rest.len - namespace->len - 1);
    if (room->len == 0)
        return true;
    /* A room may hold what ends it. */
    return --room->len != 0 && room->at[room->len] == '#' && *place == ADAPTER_EVENTS;
}

/* --- events ----------------------------------------------------------------------------------- */

/* A list that stands next: its values, whose number is told. */
static bool list_take(struct span *rest, struct span *values, uint32_t *count) {
    struct msgpack_item item;
    struct span at = *rest;
    if (!msgpack_next(rest, &item))
        return false;
    if (item.kind == MSGPACK_NIL) {
        *values = SPAN("");
        *count = 0;
        return true;
    }
    *values = *rest;
    *count = item.kind == MSGPACK_ARRAY ? item.count : 0;
    *rest = at;
    if (item.kind != MSGPACK_ARRAY || !msgpack_pass(rest))
        return false;
    values->len -= rest->len;
    return true;
}

/* A map that stands next; false: something else does. */
static bool map_open(struct span *rest, uint32_t *pairs) {
    struct msgpack_item item;
    if (!msgpack_next(rest, &item) || item.kind != MSGPACK_MAP)
        return false;
    *pairs = item.count;
    return true;
}

/* The next pair's key; one that is no string is passed over, as an empty one. */
static bool key_next(struct span *rest, struct span *key) {
    *key = SPAN("");
    return msgpack_text(rest, key) || msgpack_pass(rest);
}

static bool flags_read(struct span *rest, struct adapter_event *event) {
    struct span whole = *rest, key;
    uint32_t pairs;
    if (!map_open(rest, &pairs)) {
        *rest = whole;
        return msgpack_pass(rest);
    }
    for (; pairs != 0; pairs--) {
        struct msgpack_item item;
        if (!key_next(rest, &key))
            return false;
        struct span value = *rest;
        if (!msgpack_pass(rest))
            return false;
        if (span_equal(key, SPAN("volatile")) && msgpack_next(&value, &item))
            event->is_volatile = item.kind == MSGPACK_BOOL && item.truth;
    }
    return true;
}

static const char wrong_shape[] = "it is not an event as adapters write it";

static const char *options_read(struct span *rest, struct adapter_event *event) {
    uint32_t pairs;
    struct span key;
    if (!map_open(rest, &pairs))
        return wrong_shape;
    for (; pairs != 0; pairs--) {
        bool good = key_next(rest, &key);
        if (good && span_equal(key, SPAN("rooms")))
            good = list_take(rest, &event->rooms, &event->room_count);
        else if (good && span_equal(key, SPAN("except")))
            good = list_take(rest, &event->except, &event->except_count);
        else if (good && span_equal(key, SPAN("flags")))
            good = flags_read(rest, event);
        else
            good = good && msgpack_pass(rest);
        if (!good)
            return wrong_shape;
    }
    return NULL;
}

/* Of Socket.IO: an event, and one with bytes. */
#define PACKET_EVENT 2
#define PACKET_BINARY_EVENT 5

static const char *packet_read(struct span *rest, struct adapter_event *event) {
    uint32_t pairs;
    uint64_t type = PACKET_EVENT;
    struct span key, data = SPAN("");
    uint32_t data_count = 0;
    if (!map_open(rest, &pairs))
        return wrong_shape;
    for (; pairs != 0; pairs--) {
        struct msgpack_item item;
        bool good = key_next(rest, &key);
        if (good && span_equal(key, SPAN("data"))) {
            good = list_take(rest, &data, &data_count);
        } else if (good && span_equal(key, SPAN("nsp"))) {
            good = msgpack_text(rest, &event->nsp);
        } else if (good && span_equal(key, SPAN("type"))) {
            good = msgpack_next(rest, &item) && item.kind == MSGPACK_NATURAL;
            type = good ? item.natural : 0;
        } else {
            good = good && msgpack_pass(rest);
        }
        if (!good)
            return wrong_shape;
    }
    if (type != PACKET_EVENT && type != PACKET_BINARY_EVENT)
        return "its packet is not an event";
    if (data_count == 0 || !msgpack_text(&data, &event->name))
        return "its event has no name";
    event->data = data;
    event->data_count = data_count - 1;
    return NULL;
}

const char *adapter_event_read(struct span text, struct adapter_event *event) {
    struct msgpack_item item;
    *event = (struct adapter_event){.uid = SPAN("")};
    if (!msgpack_next(&text, &item) || item.kind != MSGPACK_ARRAY || item.count < 2 ||
        item.count > 3)
        return wrong_shape;
    if (item.count == 3 && !msgpack_text(&text, &event->uid))
        return wrong_shape;
    const char *wrong = packet_read(&text, event);
    if (wrong == NULL)
        wrong = options_read(&text, event);
    if (wrong == NULL && text.len != 0)
        wrong = "something stands behind it";
    return wrong;
}

bool adapter_name_next(struct span *rest, uint32_t *left, struct span *name) {
    for (; *left != 0; (*left)--) {
        if (msgpack_text(rest, name)) {
            (*left)--;
            return true;
        }
        if (!msgpack_pass(rest))
            return false;
    }
    return false;
}

const char *adapter_data_write(const struct adapter_event *event, struct builder *out) {
    struct span rest = event->data;
    if (event->data_count == 0)
        builder_text(out, "null");
    if (event->data_count <= 1)
        return event->data_count == 0 ? NULL : msgpack_to_json(&rest, out);
    for (uint32_t i = 0; i < event->data_count; i++) {
        builder_byte(out, i == 0 ? '[' : ',');
        const char *wrong = msgpack_to_json(&rest, out);
        if (wrong != NULL || out->full)
            return wrong;
    }
    builder_byte(out, ']');
    return NULL;
}

bool adapter_data_is_bytes(const struct adapter_event *event, struct span *bytes) {
    struct span rest = event->data;
    struct msgpack_item item;
    if (event->data_count != 1 || !msgpack_next(&rest, &item) || item.kind != MSGPACK_BIN)
        return false;
    *bytes = item.bytes;
    return true;
}

static void packet_begin(struct builder *out, struct span name) {
    msgpack_put_map(out, 3);
    msgpack_put_str(out, SPAN("type"));
    msgpack_put_natural(out, PACKET_EVENT);
    msgpack_put_str(out, SPAN("data"));
    msgpack_put_array(out, 2);
    msgpack_put_str(out, name);
}

void adapter_event_begin(struct builder *out, struct span uid, struct span name) {
    msgpack_put_array(out, 3);
    msgpack_put_str(out, uid);
    packet_begin(out, name);
}

void adapter_event_nsp(struct builder *out, struct span nsp) {
    msgpack_put_str(out, SPAN("nsp"));
    msgpack_put_str(out, nsp);
    msgpack_put_map(out, 3);
}

void sharded_event_begin(struct builder *out, struct span uid, struct span nsp, struct span name) {
    msgpack_put_map(out, 4);
    msgpack_put_str(out, SPAN("type"));
    msgpack_put_natural(out, SHARDED_BROADCAST);
    msgpack_put_str(out, SPAN("uid"));
    msgpack_put_str(out, uid);
    msgpack_put_str(out, SPAN("nsp"));
    msgpack_put_str(out, nsp);
    msgpack_put_str(out, SPAN("data"));
    msgpack_put_map(out, 2);
    msgpack_put_str(out, SPAN("packet"));
    packet_begin(out, name);
}

void sharded_event_nsp(struct builder *out, struct span nsp) {
    msgpack_put_str(out, SPAN("nsp"));
    msgpack_put_str(out, nsp);
    msgpack_put_str(out, SPAN("opts"));
    msgpack_put_map(out, 3);
}

void adapter_event_rooms(struct builder *out, uint32_t count) {
    msgpack_put_str(out, SPAN("rooms"));
    msgpack_put_array(out, count);
}

void adapter_event_except(struct builder *out, uint32_t count) {
    msgpack_put_str(out, SPAN("except"));
    msgpack_put_array(out, count);
}

void adapter_event_end(struct builder *out, bool is_volatile) {
    msgpack_put_str(out, SPAN("flags"));
    msgpack_put_map(out, is_volatile);
    if (is_volatile) {
        msgpack_put_str(out, SPAN("volatile"));
        msgpack_put_bool(out, true);
    }
}

/* --- requests --------------------------------------------------------------------------------- */

static const enum adapter_does does_now[] = {ADAPTER_SOCKETS,     ADAPTER_ALL_ROOMS,  ADAPTER_JOIN,
                                             ADAPTER_LEAVE,       ADAPTER_DISCONNECT, ADAPTER_FETCH,
                                             ADAPTER_SERVER_EMIT, ADAPTER_BROADCAST};
static const enum adapter_does does_old[] = {
    ADAPTER_SOCKETS, ADAPTER_CLIENT_ROOMS, ADAPTER_ALL_ROOMS, ADAPTER_JOIN,
    ADAPTER_LEAVE,   ADAPTER_SERVER_EMIT,  ADAPTER_DISCONNECT};

static enum adapter_does does_of(const struct adapter_request *request, uint64_t type) {
    size_t count = request->is_old ? sizeof(does_old) / sizeof(*does_old)
                                   : sizeof(does_now) / sizeof(*does_now);
    if (type >= count)
        return ADAPTER_UNKNOWN;
    return request->is_old ? does_old[type] : does_now[type];
}

/* Does whoever asks wait for an answer of every server? */
static bool is_answered(const struct adapter_request *request) {
    if (request->id.len == 0)
        return false;
    switch (request->does) {
    case ADAPTER_SOCKETS:
    case ADAPTER_ALL_ROOMS:
    case ADAPTER_FETCH:
    case ADAPTER_SERVER_EMIT:
    case ADAPTER_BROADCAST:
        return true;
    default:
        return false;
    }
}

bool adapter_targets_read(struct adapter_request *request, struct span object) {
    struct json_cursor cursor;
    struct json_value key, value;
    if (json_open(&cursor, object) != JSON_OBJECT)
        return false;
    while (json_object_next(&cursor, &key, &value)) {
        struct span name = json_inside(&key);
        bool rooms = span_equal(name, SPAN("rooms"));
        if ((!rooms && !span_equal(name, SPAN("except"))) || value.kind == JSON_NULL)
            continue;
        if (value.kind != JSON_ARRAY)
            return false;
        if (rooms)
            request->rooms = value.raw;
        else
            request->except = value.raw;
    }
    return true;
}

void adapter_id_take(struct adapter_request *request, const struct json_value *value) {
    if (value->kind == JSON_STRING && value->raw.len <= ADAPTER_ID_BYTES_MAX)
        request->id = value->raw;
}

static void id_take(struct adapter_request *request, const struct json_value *value, bool is_old) {
    if (value->kind != JSON_STRING || value->raw.len > ADAPTER_ID_BYTES_MAX)
        return;
    adapter_id_take(request, value);
    request->is_old = is_old;
}

static const char not_json[] = "it is not JSON";

static const char *json_read(struct span text, struct adapter_request *request) {
    struct json_cursor cursor;
    struct json_value key, value;
    struct span options = SPAN("");
    uint64_t type = UINT64_MAX;
    json_open(&cursor, text);
    while (json_object_next(&cursor, &key, &value)) {
        struct span name = json_inside(&key);
        if (span_equal(name, SPAN("requestId")))
            id_take(request, &value, false);
        else if (span_equal(name, SPAN("requestid")))
            id_take(request, &value, true);
        else if (span_equal(name, SPAN("type")) && value.kind == JSON_NUMBER)
            type = json_u64(value.raw, &type) ? type : UINT64_MAX;
        else if (span_equal(name, SPAN("opts")))
            options = value.raw;
        else if ((span_equal(name, SPAN("rooms")) && value.kind == JSON_ARRAY) ||
                 (span_equal(name, SPAN("room")) && value.kind == JSON_STRING))
            request->joins = value.raw;
        else if (span_equal(name, SPAN("sid")) && value.kind == JSON_STRING)
            request->one = value.raw;
        else if (span_equal(name, SPAN("close")))
            request->close = value.kind == JSON_TRUE;
    }
    if (cursor.error.text != NULL)
        return not_json;
    request->does = does_of(request, type);
    request->is_answered = is_answered(request);
    if (options.len != 0 && !adapter_targets_read(request, options))
        return "its rooms are no list";
    bool changes = request->does == ADAPTER_JOIN || request->does == ADAPTER_LEAVE;
    if (!changes) { /* they are whom it is about */
        if (options.len == 0)
            request->rooms = request->joins;
        request->joins = SPAN("");
    }
    if (request->does == ADAPTER_BROADCAST)
        return "an event among requests is written as MessagePack";
    if (changes && request->joins.len == 0)
        return "it names no room";
    bool about_one = request->is_old || options.len == 0;
    if (about_one && request->one.len == 0 &&
        (changes || request->does == ADAPTER_CLIENT_ROOMS || request->does == ADAPTER_DISCONNECT))
        return "it names no session";
    return NULL;
}

const char *adapter_parts_read(struct span text, char room[ADAPTER_ID_BYTES_MAX],
                               struct adapter_request *request, struct adapter_parts *parts) {
    uint32_t pairs;
    struct span key, id = SPAN("");
    *parts = (struct adapter_parts){.type = UINT64_MAX};
    if (!map_open(&text, &pairs))
        return "it is neither JSON nor a map of MessagePack";
    for (; pairs != 0; pairs--) {
        struct msgpack_item item;
        if (!key_next(&text, &key))
            return wrong_shape;
        struct span value = text, peek = text;
        if (!msgpack_pass(&text))
            return wrong_shape;
        value.len -= text.len;
        if (span_equal(key, SPAN("packet")))
            parts->packet = value;
        else if (span_equal(key, SPAN("opts")))
            parts->options = value;
        else if (span_equal(key, SPAN("data")))
            parts->data = value;
        else if (span_equal(key, SPAN("requestId")))
            msgpack_text(&value, &id);
        else if (span_equal(key, SPAN("uid")))
            msgpack_text(&value, &request->event.uid);
        else if (span_equal(key, SPAN("nsp")))
            msgpack_text(&value, &request->event.nsp);
        else if (span_equal(key, SPAN("type")) && msgpack_next(&peek, &item) &&
                 item.kind == MSGPACK_NATURAL)
            parts->type = item.natural;
    }
    parts->rest = text;
    struct builder out = builder_over(room, ADAPTER_ID_BYTES_MAX);
    if (id.len != 0 && utf8_valid(id, NULL)) {
        builder_json(&out, id);
        request->id = out.full ? SPAN("") : builder_span(&out);
    }
    return NULL;
}

const char *adapter_parts_event(const struct adapter_parts *parts, struct adapter_event *event) {
    struct span packet = parts->packet, options = parts->options;
    const char *wrong = packet_read(&packet, event);
    return wrong != NULL ? wrong : options_read(&options, event);
}

static const char *packed_read(struct span text, char room[ADAPTER_ID_BYTES_MAX],
                               struct adapter_request *request) {
    struct adapter_parts parts;
    const char *wrong = adapter_parts_read(text, room, request, &parts);
    if (wrong != NULL)
        return wrong;
    request->does = does_of(request, parts.type);
    request->is_answered = is_answered(request);
    if (request->does != ADAPTER_BROADCAST) {
        request->is_answered = false;
        request->does = ADAPTER_UNKNOWN;
        return NULL;
    }
    return adapter_parts_event(&parts, &request->event);
}

const char *adapter_request_read(struct span text, char room[ADAPTER_ID_BYTES_MAX],
                                 struct adapter_request *request) {
    *request = (struct adapter_request){.does = ADAPTER_UNKNOWN};
    if (text.len != 0 && text.at[0] == '{')
        return json_read(text, request);
    return packed_read(text, room, request);
}

/* --- answers ---------------------------------------------------------------------------------- */

/* What it is by its number; 0: that is not said. */
static unsigned answer_type(const struct adapter_request *request) {
    bool sharded = request->uid.len != 0;
    switch (request->does) {
    case ADAPTER_SERVER_EMIT:
        return sharded ? SHARDED_SERVER_EMIT_ANSWER : 6;
    case ADAPTER_BROADCAST:
        return sharded ? SHARDED_CLIENT_COUNT : 8;
    default:
        return sharded ? SHARDED_SOCKETS : 0;
    }
}

void adapter_answer_begin(const struct adapter_request *request,
                          const struct adapter_answerer *answerer, struct builder *out) {
    bool sharded = request->uid.len != 0;
    unsigned type = request->is_old ? 0 : answer_type(request);
    builder_byte(out, '{');
    if (type != 0)
        builder_format(out, "\"type\":%u,", type);
    if (sharded) {
        builder_text(out, "\"uid\":");
        builder_json(out, answerer->uid);
        builder_text(out, ",\"nsp\":");
        builder_json(out, answerer->nsp);
        builder_text(out, ",\"data\":{");
    }
    builder_text(out, request->is_old ? "\"requestid\":" : "\"requestId\":");
    builder_span_add(out, request->id);
    switch (request->does) {
    case ADAPTER_SOCKETS:
        builder_text(out, request->is_old ? ",\"clients\":[" : ",\"sockets\":[");
        break;
    case ADAPTER_FETCH:
        builder_text(out, ",\"sockets\":[");
        break;
    case ADAPTER_ALL_ROOMS:
    case ADAPTER_CLIENT_ROOMS:
        builder_text(out, ",\"rooms\":[");
        break;
    case ADAPTER_SERVER_EMIT:
        builder_text(out, sharded ? ",\"packet\":null" : ",\"data\":null");
        break;
    case ADAPTER_BROADCAST:
        builder_text(out, ",\"clientCount\":0");
        break;
    default:
        break;
    }
}

void adapter_answer_end(const struct adapter_request *request, struct builder *out) {
    bool list = request->does == ADAPTER_SOCKETS || request->does == ADAPTER_FETCH ||
                request->does == ADAPTER_ALL_ROOMS || request->does == ADAPTER_CLIENT_ROOMS;
    builder_text(out, list ? "]}" : "}");
    if (request->uid.len != 0)
        builder_byte(out, '}');
}
