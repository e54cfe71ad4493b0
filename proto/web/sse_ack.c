#include "proto/web/sse_ack.h"

#include "proto/text/json.h"
#include "proto/text/name_field.h"

static bool refuse(struct complaint *complaint, struct span field, const char *wrong) {
    complaint_make(complaint, CODE_BAD_MESSAGE, field, "%.*s %s", SPAN_ARG(field), wrong);
    return false;
}

static bool key_is(const struct json_value *key, struct span name) {
    char bytes[8];
    struct builder decoded = builder_over(bytes, sizeof bytes);
    struct span text;
    return json_text(key, &decoded, &text) == NULL && span_equal(text, name);
}

/* Any text may be the name of a session that is not there. */
static const char *any_check(struct span text) {
    (void)text;
    return NULL;
}

bool sse_ack_parse(struct span body, struct line_scratch *room, struct sse_ack *ack,
                   struct complaint *complaint) {
    static const struct name_field session_field = {{"session", 7}, any_check, false};
    static const struct name_field ids_field = {{"ids", 3}, message_id_check, false};
    struct json_cursor cursor;
    struct json_value key, value, session = {.kind = JSON_NONE}, ids = {.kind = JSON_NONE};
    struct builder texts = builder_over(room->text, sizeof room->text);
    *ack = (struct sse_ack){.ids = {room->names, 0, LINE_NAMES_MAX}};
    if (json_open(&cursor, body) != JSON_OBJECT) {
        struct json_error error;
        if (!json_scan(body, NULL, &error)) {
            complaint_json(complaint, &error);
            return false;
        }
        complaint_make(complaint, CODE_BAD_MESSAGE, SPAN(""), "the body is no JSON object");
        return false;
    }
    struct span repeated = SPAN("");
    while (json_object_next(&cursor, &key, &value)) {
        bool names_session = key_is(&key, session_field.name);
        if (!names_session && !key_is(&key, ids_field.name))
            continue;
        struct json_value *place = names_session ? &session : &ids;
        if (place->kind != JSON_NONE)
            repeated = names_session ? session_field.name : ids_field.name;
        *place = value;
    }
    if (cursor.error.text != NULL) {
        complaint_json(complaint, &cursor.error);
        return false;
    }
    if (repeated.len != 0)
        return refuse(complaint, repeated, "is given twice");
    if (session.kind == JSON_NONE)
        return refuse(complaint, session_field.name, "is missing");
    if (ids.kind == JSON_NONE)
        return refuse(complaint, ids_field.name, "is missing");
    return name_field_string(&session_field, &session, &texts, &ack->session, complaint) &&
           name_field_list(&ids_field, &ids, &texts, &ack->ids, NULL, complaint);
}
