/* envelope.c - see envelope.h. */
#include "ingest/gate/envelope.h"

#include "core/namespaces.h"
#include "proto/text/json.h"
#include "proto/text/name_field.h"
#include "proto/text/ref.h"
#include "proto/text/utf8.h"

/* Every field a message has, and the two that a client's line adds. */
#define ENVELOPE_FIELDS(X)                                                                         \
    X(ID, "id")                                                                                    \
    X(TO, "to")                                                                                    \
    X(GROUP, "group")                                                                              \
    X(BROADCAST, "broadcast")                                                                      \
    X(EXCEPT, "except")                                                                            \
    X(EVENT, "event")                                                                              \
    X(DATA, "data")                                                                                \
    X(VOLATILE, "volatile")                                                                        \
    X(ACK, "ack")                                                                                  \
    X(TTL, "ttl")                                                                                  \
    X(NAMESPACE, "namespace")                                                                      \
    X(TYPE, "type")                                                                                \
    X(REF, "ref")                                                                                  \
    X(NODE, "node")

enum field {
#define FIELD_ENUM(name, word) FIELD_##name,
    ENVELOPE_FIELDS(FIELD_ENUM)
#undef FIELD_ENUM
        FIELDS /* none of them */
};

static const struct span field_names[FIELDS] = {
#define FIELD_NAME(name, word) [FIELD_##name] = {word, sizeof(word) - 1},
    ENVELOPE_FIELDS(FIELD_NAME)
#undef FIELD_NAME
};

#define FIELD_NAME_BYTES_MAX 9 /* "namespace"; what is longer is no field */
/* Its name, if all of it is escapes, with what stands between it and the value. */
#define FIELD_AROUND_BYTES (6 * FIELD_NAME_BYTES_MAX + 4)

static enum field find_field(struct span name) {
    unsigned field = 0;
    while (field < FIELDS && !span_equal(name, field_names[field]))
        field++;
    return (enum field)field;
}

static enum field find_key(const struct json_value *key) {
    if (!key->escaped)
        return find_field(json_inside(key));
    char bytes[FIELD_NAME_BYTES_MAX];
    struct builder decoded = builder_over(bytes, sizeof bytes);
    struct span name;
    return json_text(key, &decoded, &name) == NULL ? find_field(name) : FIELDS;
}

static bool has(const struct envelope *envelope, enum field field) {
    return (envelope->seen & 1u << field) != 0;
}

static bool refuse(struct complaint *complaint, enum field field, const char *wrong) {
    complaint_make(complaint, CODE_BAD_MESSAGE, field_names[field], "%s %s", field_names[field].at,
                   wrong);
    return false;
}

static bool refuse_unknown(struct complaint *complaint, struct span name) {
    struct span shown = utf8_cut(name, COMPLAINT_FIELD_BYTES - 1);
    complaint_make(complaint, CODE_BAD_MESSAGE, shown, "unknown field \"%.*s\"", SPAN_ARG(shown));
    return false;
}

/* Notes that the field was given. False: it was before. */
static bool note_seen(struct envelope *envelope, enum field field, struct complaint *complaint) {
    if (has(envelope, field))
        return refuse(complaint, field, "is given twice");
    envelope->seen |= 1u << field;
    return true;
}

void envelope_init(struct envelope *envelope, struct envelope_scratch *room) {
    *envelope = (struct envelope){
        .parts = {.payload_max = 4},
        .data = SPAN("null"),
        .room = room,
        .to = {room->to, 0, ADDRESSES_PER_MESSAGE_MAX},
        .groups = {room->groups, 0, ADDRESSES_PER_MESSAGE_MAX},
        .except = {room->except, 0, ADDRESSES_PER_MESSAGE_MAX},
        .texts = builder_over(room->text, sizeof room->text),
        .group = builder_over(room->group, sizeof room->group),
    };
}

/* What the rules say about values, however they were written. */

static bool set_ttl(struct envelope *envelope, struct span number, struct complaint *complaint) {
    uint64_t ns;
    if (!json_seconds(number, &ns) || ns == 0 || ns > TTL_NS_MAX)
        return refuse(complaint, FIELD_TTL, "must be above 0 and at most 604800 seconds");
    envelope->parts.ttl_ns = ns;
    return true;
}

static bool set_namespace(struct envelope *envelope, struct span text,
                          struct complaint *complaint) {
    unsigned number;
    if (!namespace_find(text, &number))
        return refuse(complaint, FIELD_NAMESPACE, "is unknown; see --namespaces");
    envelope->parts.namespace = (uint8_t)number;
    return true;
}

/* `field` is on: the message is of that class, and of no other. */
static bool set_class(struct message_parts *parts, enum field field, bool on,
                      struct complaint *complaint) {
    if (!on)
        return true;
    if (parts->class != CLASS_DEFAULT)
        return refuse(complaint, FIELD_ACK, "does not go with volatile");
    parts->class = field == FIELD_ACK ? CLASS_ACK : CLASS_VOLATILE;
    return true;
}

/* Any string; what it may be is looked at afterwards. */
static const char *no_check(struct span text) {
    (void)text;
    return NULL;
}

#define RULE(word, check)                                                                          \
    { {word, sizeof(word) - 1}, check, false }

static const struct name_field rule_id = RULE("id", message_id_check);
static const struct name_field rule_to = RULE("to", name_check);
static const struct name_field rule_group = RULE("group", name_check);
static const struct name_field rule_except = RULE("except", name_check);
static const struct name_field rule_event = RULE("event", event_check);
static const struct name_field rule_namespace = RULE("namespace", no_check);

static bool bool_from_json(enum field field, const struct json_value *value, bool *set,
                           struct complaint *complaint) {
    if (value->kind != JSON_TRUE && value->kind != JSON_FALSE)
        return refuse(complaint, field, "is neither true nor false");
    *set = value->kind == JSON_TRUE;
    return true;
}

static bool field_from_json(struct envelope *envelope, enum envelope_form form, enum field field,
                            const struct json_value *value, size_t max_message_bytes,
                            struct complaint *complaint) {
    struct message_parts *parts = &envelope->parts;
    struct builder *texts = &envelope->texts;
    struct span text;
    bool on = false;
    switch (field) {
    case FIELD_ID:
        return name_field_string(&rule_id, value, texts, &parts->id, complaint);
    case FIELD_TO:
        return name_field_names(&rule_to, value, texts, &envelope->to, NULL, complaint);
    case FIELD_GROUP:
        if (!name_field_names(&rule_group, value, texts, &envelope->groups, &envelope->group,
                              complaint))
            return false;
        parts->group_json =
            value->kind == JSON_STRING ? value->raw : builder_span(&envelope->group);
        return true;
    case FIELD_EXCEPT:
        return name_field_names(&rule_except, value, texts, &envelope->except, NULL, complaint);
    case FIELD_BROADCAST:
        return bool_from_json(field, value, &parts->broadcast, complaint);
    case FIELD_EVENT:
        return name_field_string(&rule_event, value, texts, &parts->event, complaint);
    case FIELD_DATA:
        if (form == ENVELOPE_COUNTED)
            return refuse(complaint, field, "belongs behind the line, not into it");
        return envelope_set_json(envelope, value, max_message_bytes, complaint);
    case FIELD_VOLATILE:
    case FIELD_ACK:
        return bool_from_json(field, value, &on, complaint) &&
               set_class(parts, field, on, complaint);
    case FIELD_TTL:
        if (value->kind != JSON_NUMBER)
            return refuse(complaint, field, "is not a number");
        return set_ttl(envelope, value->raw, complaint);
    case FIELD_NAMESPACE:
        return name_field_string(&rule_namespace, value, texts, &text, complaint) &&
               set_namespace(envelope, text, complaint);
    case FIELD_TYPE:
        return true;
    case FIELD_NODE:
        if (value->kind != JSON_OBJECT)
            return refuse(complaint, field, "is not an object");
        envelope->node = value->raw;
        return true;
    default: { /* FIELD_REF */
        const char *wrong = ref_check(value);
        if (wrong != NULL)
            return refuse(complaint, field, wrong);
        envelope->ref = value->raw;
        return true;
    }
    }
}

/* A field is wrong. If the text is not even JSON, that is told instead; a ref that comes later is
 * found. */
static __attribute__((cold)) bool refuse_text(struct envelope *envelope, enum envelope_form form,
                                              struct span text, struct complaint *complaint) {
    struct json_error error;
    if (text.len > ENVELOPE_REREAD_BYTES)
        return false;
    if (!json_scan(text, NULL, &error))
        complaint_json(complaint, &error);
    else if (form == ENVELOPE_LINE && envelope->ref.len == 0)
        envelope->ref = ref_find(text);
    return false;
}

/* The next field of a long text. Lists of names may be long, anything else is not read beyond what
 * its data may have: then the complaint says so. */
static __attribute__((cold)) bool next_of_long(struct json_cursor *cursor, struct json_value *key,
                                               struct json_value *value, size_t max_message_bytes,
                                               struct complaint *complaint) {
    struct json_cursor before = *cursor;
    bool over;
    if (json_object_next_within(cursor, max_message_bytes + FIELD_AROUND_BYTES, key, value, &over))
        return true;
    if (!over)
        return false;
    enum field field = key->kind == JSON_STRING ? find_key(key) : FIELDS;
    if (field == FIELD_TO || field == FIELD_GROUP || field == FIELD_EXCEPT) {
        *cursor = before;
        return json_object_next(cursor, key, value);
    }
    if (field != FIELDS)
        complaint_make(complaint, CODE_TOO_LARGE, field_names[field], "%s is longer than %zu bytes",
                       field_names[field].at, max_message_bytes);
    else if (key->kind == JSON_STRING)
        refuse_unknown(complaint, json_inside(key));
    else
        complaint_make(complaint, CODE_BAD_MESSAGE, SPAN(""),
                       "a field's name is longer than %zu bytes", max_message_bytes);
    return false;
}

bool envelope_parse(struct envelope *envelope, struct envelope_scratch *room,
                    enum envelope_form form, struct span text, size_t max_message_bytes,
                    struct complaint *complaint) {
    struct json_cursor cursor;
    struct json_value key, value;
    envelope_init(envelope, room);
    if (json_open(&cursor, text) != JSON_OBJECT) {
        complaint_make(complaint, CODE_BAD_MESSAGE, SPAN(""), "a message must be a JSON object");
        return refuse_text(envelope, form, text, complaint);
    }
    bool is_long = text.len > ENVELOPE_REREAD_BYTES;
    complaint->code = CODE_NONE;
    while (is_long ? next_of_long(&cursor, &key, &value, max_message_bytes, complaint)
                   : json_object_next(&cursor, &key, &value)) {
        enum field field = find_key(&key);
        bool known = field < FIELD_TYPE || (form == ENVELOPE_LINE && field < FIELD_NODE) ||
                     (form == ENVELOPE_NODE && field == FIELD_NODE);
        if (!known)
            refuse_unknown(complaint, json_inside(&key));
        bool absent = value.kind == JSON_NULL && field != FIELD_DATA;
        if (!known || !note_seen(envelope, field, complaint) ||
            (!absent &&
             !field_from_json(envelope, form, field, &value, max_message_bytes, complaint)))
            return refuse_text(envelope, form, text, complaint);
    }
    if (complaint->code != CODE_NONE)
        return false;
    if (cursor.error.text != NULL) {
        complaint_json(complaint, &cursor.error);
        return false;
    }
    return form == ENVELOPE_NODE || form == ENVELOPE_QUEUE || envelope_finish(envelope, complaint);
}

static bool text_from_query(const struct name_field *rule, struct span value, struct span *text,
                            struct complaint *complaint) {
    const char *wrong = rule->check(value);
    if (wrong != NULL) {
        complaint_make(complaint, CODE_BAD_MESSAGE, rule->name, "%.*s %s", SPAN_ARG(rule->name),
                       wrong);
        return false;
    }
    *text = value;
    return true;
}

static bool name_from_query(const struct name_field *rule, struct name_list *list,
                            struct span value, struct complaint *complaint) {
    struct span text;
    if (!text_from_query(rule, value, &text, complaint))
        return false;
    if (name_list_add(list, text) != NAME_LIST_FULL)
        return true;
    complaint_make(complaint, CODE_BAD_MESSAGE, rule->name, "%.*s must hold 1 to %u entries",
                   SPAN_ARG(rule->name), list->max);
    return false;
}

static bool bool_from_query(enum field field, struct span value, bool *set,
                            struct complaint *complaint) {
    *set = span_equal(value, SPAN("1")) || span_equal(value, SPAN("true"));
    return *set || span_equal(value, SPAN("0")) || span_equal(value, SPAN("false")) ||
           refuse(complaint, field, "is none of 1, 0, true, false");
}

bool envelope_set(struct envelope *envelope, struct span name, struct span value,
                  struct complaint *complaint) {
    struct message_parts *parts = &envelope->parts;
    enum field field = find_field(name);
    bool again = field == FIELD_GROUP || field == FIELD_EXCEPT;
    if (field < FIELDS && !again && !note_seen(envelope, field, complaint))
        return false;
    bool on = false;
    struct json_value number;
    struct json_error error;
    switch (field) {
    case FIELD_ID:
        return text_from_query(&rule_id, value, &parts->id, complaint);
    case FIELD_TO:
        return name_from_query(&rule_to, &envelope->to, value, complaint);
    case FIELD_GROUP:
        return name_from_query(&rule_group, &envelope->groups, value, complaint);
    case FIELD_EXCEPT:
        return name_from_query(&rule_except, &envelope->except, value, complaint);
    case FIELD_EVENT:
        return text_from_query(&rule_event, value, &parts->event, complaint);
    case FIELD_VOLATILE:
    case FIELD_ACK:
        return bool_from_query(field, value, &on, complaint) &&
               set_class(parts, field, on, complaint);
    case FIELD_TTL:
        if (!json_scan(value, &number, &error) || number.kind != JSON_NUMBER ||
            number.raw.len != value.len)
            return refuse(complaint, field, "is not a number");
        return set_ttl(envelope, value, complaint);
    case FIELD_NAMESPACE:
        return set_namespace(envelope, value, complaint);
    default:
        return refuse_unknown(complaint, name);
    }
}

bool envelope_add_to(struct envelope *envelope, struct span name, struct complaint *complaint) {
    return name_from_query(&rule_to, &envelope->to, name, complaint);
}

void envelope_set_broadcast(struct envelope *envelope) {
    envelope->parts.broadcast = true;
}

bool envelope_has_broadcast(const struct envelope *envelope) {
    return has(envelope, FIELD_BROADCAST);
}

bool envelope_is_node_alone(const struct envelope *envelope) {
    return envelope->seen == 1u << FIELD_NODE;
}

/* The `group` of a message that was not written as JSON: a string, or a list of several. */
static void write_group(struct envelope *envelope) {
    const struct name_list *groups = &envelope->groups;
    struct builder *out = &envelope->group;
    if (groups->count == 1) {
        builder_json(out, groups->at[0]);
    } else {
        for (unsigned i = 0; i < groups->count; i++) {
            builder_byte(out, i == 0 ? '[' : ',');
            builder_json(out, groups->at[i]);
        }
        builder_byte(out, ']');
    }
    envelope->parts.group_json = builder_span(out);
}

bool envelope_finish(struct envelope *envelope, struct complaint *complaint) {
    struct message_parts *parts = &envelope->parts;
    unsigned to = envelope->to.count, groups = envelope->groups.count;
    if (parts->broadcast && to + groups != 0)
        return refuse(complaint, FIELD_BROADCAST, "does not go with to or group");
    if (!parts->broadcast && to + groups == 0)
        return refuse(complaint, FIELD_TO, "or group or broadcast must be there");
    bool ack = parts->class == CLASS_ACK;
    if (ack && (parts->broadcast || groups != 0 || envelope->except.count != 0))
        return refuse(complaint, FIELD_ACK, "needs to, without group, broadcast or except");
    if (parts->event.len == 0)
        parts->event = SPAN("message");
    if (parts->ttl_ns == 0)
        parts->ttl_ns = ack ? TTL_ACK_DEFAULT_NS : TTL_DEFAULT_NS;
    if (groups != 0 && parts->group_json.len == 0)
        write_group(envelope);

    parts->to = envelope->to.at;
    parts->to_count = (uint16_t)to;
    parts->groups = envelope->groups.at;
    parts->group_count = (uint16_t)groups;
    parts->except = envelope->except.at;
    parts->except_count = (uint16_t)envelope->except.count;
    return true;
}
