#include "proto/http/query.h"

#include "core/base/clock.h"
#include "core/limits.h"
#include "core/namespaces.h"
#include "proto/text/json.h"
#include "proto/text/percent.h"
#include "proto/text/utf8.h"

void query_complain(struct complaint *complaint, struct span name, const char *wrong) {
    struct span shown = utf8_cut(name, COMPLAINT_FIELD_BYTES - 1);
    complaint_make(complaint, CODE_BAD_MESSAGE, shown, "parameter \"%.*s\" %s", SPAN_ARG(shown),
                   wrong);
}

static bool refuse(struct complaint *complaint, struct span name, const char *wrong) {
    query_complain(complaint, name, wrong);
    return false;
}

enum query_step query_step(struct span *rest, struct builder *texts, struct span *name,
                           struct span *value, struct complaint *complaint) {
    struct span raw_name, raw_value;
    if (!query_next(rest, &raw_name, &raw_value))
        return QUERY_END;
    size_t offset = 0;
    const char *wrong = percent_text(raw_name, PERCENT_QUERY, texts, name, &offset);
    if (wrong != NULL) {
        complaint_make(complaint, CODE_BAD_MESSAGE, SPAN(""), "the name of a parameter %s", wrong);
        return QUERY_BAD;
    }
    wrong = percent_text(raw_value, PERCENT_QUERY, texts, value, &offset);
    if (wrong == NULL)
        return QUERY_PARAMETER;
    refuse(complaint, *name, wrong);
    return QUERY_BAD;
}

bool query_read(struct span query, struct builder *texts, struct query_field *fields, size_t count,
                struct complaint *complaint) {
    struct span name, value;
    enum query_step step;
    while ((step = query_step(&query, texts, &name, &value, complaint)) == QUERY_PARAMETER) {
        size_t i = 0;
        while (i < count && !span_equal(name, span_text(fields[i].name)))
            i++;
        if (i == count)
            return refuse(complaint, name, "is not known here");
        if (fields[i].given)
            return refuse(complaint, name, "is given twice");
        fields[i].given = true;
        fields[i].value = value;
    }
    return step == QUERY_END;
}

bool query_bool(const struct query_field *field, bool *value, struct complaint *complaint) {
    *value = span_equal(field->value, SPAN("1")) || span_equal(field->value, SPAN("true"));
    return *value || span_equal(field->value, SPAN("0")) ||
           span_equal(field->value, SPAN("false")) ||
           refuse(complaint, span_text(field->name), "is none of 1, 0, true, false");
}

static bool is_number(struct span text, struct span *number) {
    struct json_value value;
    struct json_error error;
    if (!json_scan(text, &value, &error) || value.kind != JSON_NUMBER || value.raw.len != text.len)
        return false;
    *number = value.raw;
    return true;
}

bool query_u64(const struct query_field *field, uint64_t min, uint64_t max, uint64_t *value,
               struct complaint *complaint) {
    struct span number;
    if (is_number(field->value, &number) && json_u64(number, value) && *value >= min &&
        *value <= max)
        return true;
    complaint_make(complaint, CODE_BAD_MESSAGE, span_text(field->name),
                   "parameter \"%s\" is not a whole number from %llu to %llu", field->name,
                   (unsigned long long)min, (unsigned long long)max);
    return false;
}

bool query_seconds(const struct query_field *field, uint64_t max_s, uint64_t *ns,
                   struct complaint *complaint) {
    struct span number;
    if (is_number(field->value, &number) && json_seconds(number, ns) && *ns <= max_s * NS_PER_S)
        return true;
    complaint_make(complaint, CODE_BAD_MESSAGE, span_text(field->name),
                   "parameter \"%s\" is not a number of seconds from 0 to %llu", field->name,
                   (unsigned long long)max_s);
    return false;
}

bool query_namespace(const struct query_field *field, unsigned *number,
                     struct complaint *complaint) {
    *number = NAMESPACE_MAIN;
    return !field->given || namespace_find(field->value, number) ||
           refuse(complaint, span_text(field->name), "is unknown; see --namespaces");
}
