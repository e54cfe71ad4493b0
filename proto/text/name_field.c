/* name_field.c - see name_field.h. */
#include "proto/text/name_field.h"

/* The text of one string. NULL, or what is wrong with it. */
static const char *read_text(const struct name_field *field, const struct json_value *value,
                             struct builder *texts, struct span *text) {
    if (value->kind != JSON_STRING)
        return "is not a string";
    const char *wrong = json_text(value, texts, text);
    return wrong != NULL ? wrong : field->check(*text);
}

bool name_field_string(const struct name_field *field, const struct json_value *value,
                       struct builder *texts, struct span *text, struct complaint *complaint) {
    const char *wrong = read_text(field, value, texts, text);
    if (wrong == NULL)
        return true;
    complaint_make(complaint, CODE_BAD_MESSAGE, field->name, "%.*s %s", SPAN_ARG(field->name),
                   wrong);
    return false;
}

static bool wrong_count(const struct name_field *field, unsigned max, struct complaint *complaint) {
    complaint_make(complaint, CODE_BAD_MESSAGE, field->name, "%.*s must hold %s %u entries",
                   SPAN_ARG(field->name), field->may_be_empty ? "at most" : "1 to", max);
    return false;
}

bool name_field_list(const struct name_field *field, const struct json_value *value,
                     struct builder *texts, struct name_list *list, struct builder *json,
                     struct complaint *complaint) {
    if (value->kind != JSON_ARRAY) {
        complaint_make(complaint, CODE_BAD_MESSAGE, field->name, "%.*s is not a list",
                       SPAN_ARG(field->name));
        return false;
    }
    struct json_cursor cursor;
    struct json_value entry;
    size_t index = 0;
    json_open(&cursor, value->raw);
    for (; json_array_next(&cursor, &entry); index++) {
        size_t text_len = texts->len;
        struct span text;
        const char *wrong = read_text(field, &entry, texts, &text);
        if (wrong != NULL) {
            complaint_make(complaint, CODE_BAD_MESSAGE, field->name, "%.*s[%zu] %s",
                           SPAN_ARG(field->name), index, wrong);
            return false;
        }
        enum name_list_verdict verdict = name_list_add(list, text);
        if (verdict == NAME_LIST_FULL)
            return wrong_count(field, list->max, complaint);
        if (verdict == NAME_LIST_HAD_IT) {
            texts->len = text_len;
        } else if (json != NULL) {
            builder_byte(json, list->count == 1 ? '[' : ',');
            builder_span_add(json, entry.raw);
        }
    }
    if (index == 0 && !field->may_be_empty)
        return wrong_count(field, list->max, complaint);
    if (json != NULL)
        builder_text(json, index == 0 ? "[]" : "]");
    return true;
}

bool name_field_names(const struct name_field *field, const struct json_value *value,
                      struct builder *texts, struct name_list *list, struct builder *json,
                      struct complaint *complaint) {
    if (value->kind == JSON_ARRAY)
        return name_field_list(field, value, texts, list, json, complaint);
    if (value->kind != JSON_STRING) {
        complaint_make(complaint, CODE_BAD_MESSAGE, field->name,
                       "%.*s is neither a string nor a list of strings", SPAN_ARG(field->name));
        return false;
    }
    struct span text;
    if (!name_field_string(field, value, texts, &text, complaint))
        return false;
    return name_list_add(list, text) != NAME_LIST_FULL || wrong_count(field, list->max, complaint);
}
