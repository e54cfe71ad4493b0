#include "ingest/amqp/amqp_form.h"

#include "proto/http/body_type.h"
#include "proto/text/json.h"
#include "proto/text/json_blanks.h"
#include "proto/text/name_field.h"

#define OLD_KEY_BYTES_MAX 15 /* "socketSessionId" */

struct reading {
    struct envelope *envelope;
    const struct amqp_properties *properties;
    size_t max_message_bytes;
    struct complaint *complaint;
};

__attribute__((cold)) static bool refuse(const struct reading *r, struct span field,
                                         const char *wrong) {
    complaint_make(r->complaint, CODE_BAD_MESSAGE, field, "%.*s %s", SPAN_ARG(field), wrong);
    return false;
}

/* --- properties ------------------------------------------------------------------------------- */

static bool id_take(const struct reading *r) {
    struct span id = r->properties->message_id, *own = &r->envelope->parts.id;
    if (id.len == 0)
        return true;
    const char *wrong = message_id_check(id);
    if (wrong != NULL)
        return refuse(r, SPAN("message_id"), wrong);
    if (own->len != 0 && !span_equal(*own, id))
        return refuse(r, SPAN("message_id"), "is not the id of the message");
    *own = id;
    return true;
}

static bool expiration_take(const struct reading *r) {
    struct span text = r->properties->expiration;
    uint64_t ms = 0, ms_max = TTL_NS_MAX / NS_PER_MS;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return refuse(r, SPAN("expiration"), "is no number of milliseconds");
        if (ms < ms_max)
            ms = ms * 10 + (uint64_t)(text.at[i] - '0');
    }
    if (text.len == 0 || r->envelope->parts.ttl_ns != 0)
        return true;
    if (ms == 0)
        ms = 1;
    r->envelope->parts.ttl_ns = (ms < ms_max ? ms : ms_max) * NS_PER_MS;
    return true;
}

static bool event_take(const struct reading *r) {
    struct span type = r->properties->type;
    if (type.len == 0 || r->envelope->parts.event.len != 0)
        return true;
    const char *wrong = event_check(type);
    if (wrong != NULL)
        return refuse(r, SPAN("type"), wrong);
    r->envelope->parts.event = type;
    return true;
}

/* May the body be read at all? */
static bool encoding_fits(const struct reading *r) {
    static const struct span none[] = {SPAN_INIT(""), SPAN_INIT("utf-8"), SPAN_INIT("us-ascii"),
                                       SPAN_INIT("identity")};
    for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
        if (span_equal_nocase(r->properties->content_encoding, none[i]))
            return true;
    complaint_make(r->complaint, CODE_UNSUPPORTED_MEDIA_TYPE, SPAN("content_encoding"),
                   "the body is under a content_encoding; send it as it is");
    return false;
}

/* --- by headers ------------------------------------------------------------------------------- */

static bool is_false(const struct amqp_value *value) {
    if (value->kind == AMQP_BOOLEAN)
        return value->bytes.at[0] == 0;
    return value->kind == AMQP_STRING &&
           (span_equal(value->bytes, SPAN("0")) || span_equal(value->bytes, SPAN("false")));
}

/* Is there a header that addresses it? Of a table that is broken what stands before counts. */
static bool is_addressed(struct span table) {
    struct span name;
    struct amqp_value value;
    while (amqp_table_next(&table, &name, &value) == AMQP_STEP_NEXT) {
        if (value.kind == AMQP_VOID)
            continue;
        if (span_equal(name, SPAN("to")) || span_equal(name, SPAN("group")) ||
            (span_equal(name, SPAN("broadcast")) && !is_false(&value)))
            return true;
    }
    return false;
}

static bool name_set(const struct reading *r, struct span field, const struct amqp_value *value) {
    if (value->kind != AMQP_STRING)
        return refuse(r, field, "is not a string");
    return span_equal(field, SPAN("to"))
               ? envelope_add_to(r->envelope, value->bytes, r->complaint)
               : envelope_set(r->envelope, field, value->bytes, r->complaint);
}

/* A string, or an array of strings. */
static bool names_set(const struct reading *r, struct span field, const struct amqp_value *value) {
    struct span rest = value->bytes;
    struct amqp_value entry;
    enum amqp_step step;
    if (value->kind != AMQP_ARRAY)
        return name_set(r, field, value);
    if (rest.len == 0)
        return refuse(r, field, "must hold 1 to 1000 entries");
    while ((step = amqp_array_next(&rest, &entry)) == AMQP_STEP_NEXT)
        if (!name_set(r, field, &entry))
            return false;
    return step == AMQP_STEP_END || refuse(r, field, "is an array that is broken");
}

static bool bool_set(const struct reading *r, struct span field, const struct amqp_value *value) {
    struct span text = value->bytes;
    if (value->kind == AMQP_BOOLEAN)
        text = value->bytes.at[0] != 0 ? SPAN("true") : SPAN("false");
    else if (value->kind != AMQP_STRING)
        return refuse(r, field, "is neither a boolean nor one of 1, 0, true, false");
    if (!span_equal(field, SPAN("broadcast")))
        return envelope_set(r->envelope, field, text, r->complaint);
    if (span_equal(text, SPAN("1")) || span_equal(text, SPAN("true")))
        envelope_set_broadcast(r->envelope);
    else if (!span_equal(text, SPAN("0")) && !span_equal(text, SPAN("false")))
        return refuse(r, field, "is none of 1, 0, true, false");
    return true;
}

static bool ttl_set(const struct reading *r, struct span field, const struct amqp_value *value) {
    char number[AMQP_NUMBER_BYTES];
    if (value->kind == AMQP_STRING)
        return envelope_set(r->envelope, field, value->bytes, r->complaint);
    if (!amqp_number_text(value, number))
        return refuse(r, field, "is not a number");
    return envelope_set(r->envelope, field, span_text(number), r->complaint);
}

static bool header_set(const struct reading *r, struct span name, const struct amqp_value *value) {
    static const struct {
        struct span name;
        bool (*set)(const struct reading *r, struct span field, const struct amqp_value *value);
    } fields[] = {
        {SPAN_INIT("id"), name_set},        {SPAN_INIT("to"), names_set},
        {SPAN_INIT("group"), names_set},    {SPAN_INIT("broadcast"), bool_set},
        {SPAN_INIT("except"), names_set},   {SPAN_INIT("event"), name_set},
        {SPAN_INIT("volatile"), bool_set},  {SPAN_INIT("ack"), bool_set},
        {SPAN_INIT("namespace"), name_set}, {SPAN_INIT("ttl"), ttl_set},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (span_equal(name, fields[i].name))
            return value->kind == AMQP_VOID || fields[i].set(r, fields[i].name, value);
    return true;
}

/* The body by its type, as the body of a push over HTTP is taken. */
static bool body_set(const struct reading *r, struct span body) {
    struct span type = r->properties->content_type;
    enum body_kind said = body_kind(type);
    enum payload_kind kind = PAYLOAD_BYTES;
    struct json_error error;
    if ((said == BODY_JSON || said == BODY_TEXT || said == BODY_PLAIN) &&
        !body_charset_fits(type, body)) {
        complaint_make(r->complaint, CODE_UNSUPPORTED_MEDIA_TYPE, SPAN("content_type"),
                       "the charset of content_type is not UTF-8, and the body is not ASCII; send "
                       "UTF-8");
        return false;
    }
    if (said == BODY_JSON)
        kind = PAYLOAD_JSON;
    else if (said == BODY_TEXT)
        kind = PAYLOAD_TEXT;
    else if (said == BODY_PLAIN)
        kind = json_scan(body, NULL, &error) || json_has_mark(body) ? PAYLOAD_JSON : PAYLOAD_TEXT;
    return envelope_set_data(r->envelope, kind, body, r->max_message_bytes, r->complaint);
}

static bool headers_form(const struct reading *r, struct envelope_scratch *room, struct span body) {
    struct span rest = r->properties->headers, name;
    struct amqp_value value;
    enum amqp_step step;
    envelope_init(r->envelope, room);
    while ((step = amqp_table_next(&rest, &name, &value)) == AMQP_STEP_NEXT)
        if (!header_set(r, name, &value))
            return false;
    if (step == AMQP_STEP_BAD)
        return refuse(r, SPAN("headers"), "are a table that is broken");
    return body_set(r, body) && event_take(r);
}

/* --- the old form ----------------------------------------------------------------------------- */

/* The members of an object that matter; of repeated ones the last. Kind JSON_NONE: absent. */
struct old_object {
    struct json_value all, session, group, is_volatile, data;
    bool is_old;
};

static bool key_is(struct span key, const char *word) {
    return span_equal(key, span_text(word));
}

/* Looks through the body. Anything but an object of the old form: is_old is false. */
static struct old_object object_look(struct span body) {
    struct old_object found = {.is_old = false};
    struct json_cursor cursor;
    struct json_value key, value;
    bool old = false, addressed = false;
    if (json_open(&cursor, body) != JSON_OBJECT)
        return found;
    while (json_object_next(&cursor, &key, &value)) {
        char bytes[OLD_KEY_BYTES_MAX];
        struct builder decoded = builder_over(bytes, sizeof(bytes));
        struct span text;
        if (json_text(&key, &decoded, &text) != NULL)
            continue;
        bool session = key_is(text, "socketSessionId"), group = key_is(text, "socketGroupFlag");
        old = old || session || group;
        addressed =
            addressed ||
            ((key_is(text, "to") || key_is(text, "group")) && value.kind != JSON_NULL) ||
            (key_is(text, "broadcast") && value.kind != JSON_NULL && value.kind != JSON_FALSE);
        if (session)
            found.session = value;
        else if (group)
            found.group = value;
        else if (key_is(text, "isVolatile"))
            found.is_volatile = value;
        else if (key_is(text, "data"))
            found.data = value;
    }
    found.is_old = cursor.error.text == NULL && old && !addressed &&
                   json_scan(body, &found.all, &cursor.error);
    return found;
}

static bool old_name_add(const struct reading *r, const struct name_field *field,
                         const struct json_value *value, struct name_list *list) {
    size_t texts_len = r->envelope->texts.len;
    struct span text;
    if (value->kind == JSON_STRING && json_inside(value).len == 0)
        return true; /* an empty one is none */
    if (!name_field_string(field, value, &r->envelope->texts, &text, r->complaint))
        return false;
    enum name_list_verdict verdict = name_list_add(list, text);
    if (verdict == NAME_LIST_HAD_IT)
        r->envelope->texts.len = texts_len;
    return verdict != NAME_LIST_FULL || refuse(r, field->name, "must hold at most 1000 entries");
}

static bool old_names(const struct reading *r, const struct name_field *field,
                      const struct json_value *value, struct name_list *list) {
    struct json_cursor cursor;
    struct json_value entry;
    if (value->kind == JSON_NONE || value->kind == JSON_NULL)
        return true;
    if (value->kind != JSON_ARRAY)
        return old_name_add(r, field, value, list);
    json_open(&cursor, value->raw);
    while (json_array_next(&cursor, &entry))
        if (!old_name_add(r, field, &entry, list))
            return false;
    return true;
}

/* The object, with the JSON that its `data` is a string of. False: that is none. */
static bool data_rewrite(const struct old_object *found, struct builder *out) {
    const struct json_value *data = &found->data;
    struct span all = found->all.raw;
    struct json_error error;
    if (data->kind != JSON_STRING)
        return false;
    size_t before = (size_t)(data->raw.at - all.at);
    builder_bytes(out, all.at, before);
    if (json_unescape(json_inside(data), out) != NULL || out->full ||
        !json_scan(span_of(out->at + before, out->len - before), NULL, &error))
        return false;
    builder_span_add(out, span_skip(all, before + data->raw.len));
    return !out->full;
}

static bool old_form(const struct reading *r, struct envelope_scratch *room,
                     const struct old_object *found, struct builder *rewritten) {
    static const struct name_field session = {SPAN_INIT("socketSessionId"), name_check, false};
    static const struct name_field group = {SPAN_INIT("socketGroupFlag"), name_check, false};
    struct envelope *envelope = r->envelope;
    envelope_init(envelope, room);
    if (!old_names(r, &session, &found->session, &envelope->to) ||
        !old_names(r, &group, &found->group, &envelope->groups))
        return false;
    if (envelope->to.count + envelope->groups.count == 0)
        return refuse(r, session.name, "or socketGroupFlag must name somebody");
    envelope->parts.event = SPAN("message");
    if (found->is_volatile.kind != JSON_FALSE)
        envelope->parts.class = CLASS_VOLATILE;
    struct span data = data_rewrite(found, rewritten) ? builder_span(rewritten) : found->all.raw;
    return envelope_set_data(envelope, PAYLOAD_JSON, data, r->max_message_bytes, r->complaint);
}

/* --- all -------------------------------------------------------------------------------------- */

bool amqp_form_read(struct envelope *envelope, struct envelope_scratch *room,
                    const struct amqp_content *content, struct builder *rewritten,
                    size_t max_message_bytes, struct amqp_properties *properties,
                    struct complaint *complaint) {
    struct reading r = {envelope, properties, max_message_bytes, complaint};
    if (!amqp_properties_read(content->header, properties))
        return refuse(&r, SPAN("properties"), "cannot be read");
    if (!encoding_fits(&r))
        return false;
    if (is_addressed(properties->headers)) {
        if (!headers_form(&r, room, content->body))
            return false;
    } else {
        struct old_object found = object_look(content->body);
        if (found.is_old ? !old_form(&r, room, &found, rewritten)
                         : !envelope_parse(envelope, room, ENVELOPE_QUEUE, content->body,
                                           max_message_bytes, complaint) ||
                               !event_take(&r))
            return false;
    }
    return id_take(&r) && expiration_take(&r) && envelope_finish(envelope, complaint);
}
