/* line.c - see line.h. */
#include "proto/client/line.h"

#include "proto/text/json.h"
#include "proto/text/name_field.h"
#include "proto/text/ref.h"

/* The fields that any line may have; all others are passed over. */
enum line_field {
    FIELD_TYPE,
    FIELD_REF,
    FIELD_ID,
    FIELD_IDS,
    FIELD_GROUP,
    FIELD_GROUPS,
    FIELD_RESUME,
    FIELDS
};

/* A span in a table. */
#define WORD(literal)                                                                              \
    { literal, sizeof(literal) - 1 }

static const struct span field_names[FIELDS] = {
    [FIELD_TYPE] = WORD("type"),     [FIELD_REF] = WORD("ref"),     [FIELD_ID] = WORD("id"),
    [FIELD_IDS] = WORD("ids"),       [FIELD_GROUP] = WORD("group"), [FIELD_GROUPS] = WORD("groups"),
    [FIELD_RESUME] = WORD("resume"),
};

static const struct span type_names[] = {
    [CLIENT_LINE_HELLO] = WORD("hello"), [CLIENT_LINE_ACK] = WORD("ack"),
    [CLIENT_LINE_JOIN] = WORD("join"),   [CLIENT_LINE_LEAVE] = WORD("leave"),
    [CLIENT_LINE_SEND] = WORD("send"),   [CLIENT_LINE_PING] = WORD("ping"),
    [CLIENT_LINE_PONG] = WORD("pong"),
};

#define FIELD_NAME_BYTES_MAX 8 /* no known name is longer, so an escaped one need not be either */

struct line_fields {
    struct json_value values[FIELDS]; /* JSON_NONE: absent */
    enum line_field repeated;         /* FIELDS: none */
};

/* FIELDS: none of them. */
static enum line_field find_field(const struct json_value *key) {
    char bytes[FIELD_NAME_BYTES_MAX];
    struct builder decoded = builder_over(bytes, sizeof bytes);
    struct span name;
    if (json_text(key, &decoded, &name) != NULL)
        return FIELDS;
    unsigned field = 0;
    while (field < FIELDS && !span_equal(name, field_names[field]))
        field++;
    return (enum line_field)field;
}

static enum client_line_type find_type(const struct json_value *value) {
    char bytes[FIELD_NAME_BYTES_MAX];
    struct builder decoded = builder_over(bytes, sizeof bytes);
    struct span name;
    if (value->kind != JSON_STRING || json_text(value, &decoded, &name) != NULL)
        return CLIENT_LINE_NONE;
    for (unsigned type = CLIENT_LINE_HELLO; type <= CLIENT_LINE_PONG; type++) {
        if (span_equal(name, type_names[type]))
            return (enum client_line_type)type;
    }
    return CLIENT_LINE_NONE;
}

static bool refuse(struct complaint *complaint, enum line_field field, const char *wrong) {
    complaint_make(complaint, CODE_BAD_MESSAGE, field_names[field], "%s %s", field_names[field].at,
                   wrong);
    return false;
}

/* Walks the whole object, or as far as `"type":"send"` if `stops_at_send`; then *type is that. What
 * is null counts as absent. False: `complaint`. */
static bool read_fields(struct span text, bool stops_at_send, struct line_fields *fields,
                        enum client_line_type *type, struct complaint *complaint) {
    struct json_cursor cursor;
    struct json_value key, value;
    *type = CLIENT_LINE_NONE;
    fields->repeated = FIELDS;
    for (unsigned i = 0; i < FIELDS; i++)
        fields->values[i].kind = JSON_NONE;

    if (json_open(&cursor, text) != JSON_OBJECT) {
        struct json_error error;
        if (json_scan(text, NULL, &error))
            complaint_make(complaint, CODE_BAD_MESSAGE, SPAN(""), "this is no JSON object");
        else
            complaint_json(complaint, &error);
        return false;
    }
    while (json_object_next(&cursor, &key, &value)) {
        enum line_field field = find_field(&key);
        if (field == FIELDS)
            continue;
        if (fields->values[field].kind != JSON_NONE) {
            fields->repeated = field;
            continue;
        }
        fields->values[field] = value;
        if (field == FIELD_TYPE) {
            *type = find_type(&value);
            if (*type == CLIENT_LINE_SEND && stops_at_send)
                return true;
        }
    }
    if (cursor.error.text != NULL) {
        complaint_json(complaint, &cursor.error);
        return false;
    }
    for (unsigned i = 0; i < FIELDS; i++) {
        if (fields->values[i].kind == JSON_NULL)
            fields->values[i].kind = JSON_NONE;
    }
    return true;
}

/* `group` and `groups` say the same, each a name or a list; both together are one list. */
static bool read_groups(const struct line_fields *fields, struct builder *texts,
                        struct client_line *line, struct complaint *complaint) {
    for (unsigned i = FIELD_GROUP; i <= FIELD_GROUPS; i++) {
        const struct name_field groups = {field_names[i], name_check, true};
        const struct json_value *value = &fields->values[i];
        if (value->kind != JSON_NONE &&
            !name_field_names(&groups, value, texts, &line->names, NULL, complaint))
            return false;
    }
    return true;
}

static bool read_hello(const struct line_fields *fields, struct builder *texts,
                       struct client_line *line, struct complaint *complaint) {
    const struct name_field id = {field_names[FIELD_ID], name_check, false};
    const struct json_value *values = fields->values;
    if (values[FIELD_ID].kind != JSON_NONE &&
        !name_field_string(&id, &values[FIELD_ID], texts, &line->id, complaint))
        return false;
    if (!read_groups(fields, texts, line, complaint))
        return false;
    if (values[FIELD_RESUME].kind != JSON_NONE) {
        if (values[FIELD_RESUME].kind != JSON_STRING)
            return refuse(complaint, FIELD_RESUME, "is not a string");
        line->resumes = true;
        struct span text;
        if (json_text(&values[FIELD_RESUME], texts, &text) == NULL &&
            message_id_check(text) == NULL)
            line->resume = text;
    }
    return true;
}

static bool read_ack(const struct line_fields *fields, struct builder *texts,
                     struct client_line *line, struct complaint *complaint) {
    const struct name_field id = {field_names[FIELD_ID], message_id_check, false};
    const struct name_field ids = {field_names[FIELD_IDS], message_id_check, false};
    const struct json_value *one = &fields->values[FIELD_ID], *many = &fields->values[FIELD_IDS];
    if (one->kind == JSON_NONE && many->kind == JSON_NONE)
        return refuse(complaint, FIELD_ID, "or ids is missing");
    if (many->kind != JSON_NONE &&
        !name_field_list(&ids, many, texts, &line->names, NULL, complaint))
        return false;
    if (one->kind != JSON_NONE) {
        struct span text;
        if (!name_field_string(&id, one, texts, &text, complaint))
            return false;
        if (name_list_add(&line->names, text) == NAME_LIST_FULL)
            return refuse(complaint, FIELD_IDS, "must hold 1 to 1000 entries");
    }
    return true;
}

static bool line_read(struct span text, bool hello_only, struct line_scratch *room,
                      struct client_line *line, struct complaint *complaint) {
    struct line_fields fields;
    enum client_line_type type;
    *line = (struct client_line){.names = {room->names, 0, LINE_NAMES_MAX}};
    if (!read_fields(text, !hello_only, &fields, &type, complaint))
        return false;

    line->type = type;
    if (type == CLIENT_LINE_SEND && !hello_only) {
        line->fields = text;
        return true;
    }
    const struct json_value *ref = &fields.values[FIELD_REF];
    if (ref->kind != JSON_NONE && !hello_only) {
        const char *wrong = ref_check(ref);
        if (wrong != NULL)
            return refuse(complaint, FIELD_REF, wrong);
        line->ref = ref->raw;
    }
    if (hello_only && fields.values[FIELD_TYPE].kind == JSON_NONE)
        line->type = type = CLIENT_LINE_HELLO;
    if (hello_only && type != CLIENT_LINE_HELLO)
        return refuse(complaint, FIELD_TYPE, "is not hello");
    if (fields.repeated != FIELDS)
        return refuse(complaint, fields.repeated, "is given twice");

    struct builder texts = builder_over(room->text, sizeof room->text);
    switch (type) {
    case CLIENT_LINE_HELLO:
        return read_hello(&fields, &texts, line, complaint);
    case CLIENT_LINE_ACK:
        return read_ack(&fields, &texts, line, complaint);
    case CLIENT_LINE_JOIN:
    case CLIENT_LINE_LEAVE:
        if (fields.values[FIELD_GROUP].kind == JSON_NONE &&
            fields.values[FIELD_GROUPS].kind == JSON_NONE)
            return refuse(complaint, FIELD_GROUP, "or groups is missing");
        return read_groups(&fields, &texts, line, complaint);
    case CLIENT_LINE_PING:
    case CLIENT_LINE_PONG:
        return true;
    default:
        return refuse(complaint, FIELD_TYPE,
                      fields.values[FIELD_TYPE].kind == JSON_NONE
                          ? "is missing"
                          : "is none of hello, ack, join, leave, send, ping, pong");
    }
}

bool line_parse(struct span text, struct line_scratch *room, struct client_line *line,
                struct complaint *complaint) {
    return line_read(text, false, room, line, complaint);
}

bool line_parse_hello(struct span text, struct line_scratch *room, struct client_line *line,
                      struct complaint *complaint) {
    return line_read(text, true, room, line, complaint);
}
