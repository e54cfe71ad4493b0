#include "proto/text/ref.h"

const char *ref_check(const struct json_value *value) {
    if (value->kind == JSON_NUMBER)
        return value->raw.len <= REF_BYTES_MAX ? NULL : "is longer than 64 bytes";
    if (value->kind != JSON_STRING)
        return "is neither a number nor a string";
    char bytes[REF_BYTES_MAX];
    struct builder decoded = builder_over(bytes, sizeof bytes);
    struct span text;
    const char *wrong = json_text(value, &decoded, &text);
    if (decoded.full || (wrong == NULL && text.len > REF_BYTES_MAX))
        return "is longer than 64 bytes";
    return wrong;
}

/* Is it the name "ref", however it is written? */
static bool is_ref(const struct json_value *key) {
    char bytes[sizeof "ref"]; /* a longer name does not fit, and is none */
    struct builder decoded = builder_over(bytes, sizeof bytes);
    struct span name;
    return json_text(key, &decoded, &name) == NULL && span_equal(name, SPAN("ref"));
}

struct span ref_find(struct span object) {
    struct json_cursor cursor;
    struct json_value key, value;
    if (json_open(&cursor, object) == JSON_OBJECT) {
        while (json_object_next(&cursor, &key, &value)) {
            if (is_ref(&key))
                return ref_check(&value) == NULL ? value.raw : span_of(NULL, 0);
        }
    }
    return span_of(NULL, 0);
}
