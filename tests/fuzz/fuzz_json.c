/* Any bytes as JSON: the scanner says what the reference says, a walk says what a scan says, and
 * what is decoded, compacted or written again stays the same. */
#include "core/base/check.h"
#include "proto/text/json.h"
#include "proto/text/json_blanks.h"
#include "tests/support/json_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

#define TEXT_BYTES_MAX 4096

/* What was decoded comes back when it is written as JSON and decoded again. */
static void string_look(const struct json_value *string) {
    static char first[TEXT_BYTES_MAX], quoted[2 + 6 * TEXT_BYTES_MAX], second[TEXT_BYTES_MAX];
    struct builder scratch = builder_over(first, sizeof first);
    struct span text, again;
    if (json_text(string, &scratch, &text) != NULL)
        return;
    CHECK(text.len <= string->raw.len - 2);
    if (text.len > TEXT_BYTES_MAX)
        return;
    struct builder out = builder_over(quoted, sizeof quoted);
    builder_json_payload(&out, text);
    CHECK(!out.full && out.len == json_quoted_len(text));
    struct json_value value;
    struct json_error error;
    CHECK(json_scan(builder_span(&out), &value, &error) && value.kind == JSON_STRING);
    scratch = builder_over(second, sizeof second);
    CHECK(json_text(&value, &scratch, &again) == NULL && span_equal(text, again));
}

static void number_look(struct span number) {
    uint64_t whole, ns;
    bool above = json_seconds(number, &ns);
    CHECK(above || number.at[0] == '-');
    if (!json_u64(number, &whole))
        return;
    char digits[24];
    struct builder out = builder_over(digits, sizeof digits);
    builder_u64(&out, whole);
    CHECK(span_equal(builder_span(&out), number));
    uint64_t want = whole <= UINT64_MAX / 1000000000 ? whole * 1000000000 : UINT64_MAX;
    CHECK(above && ns == want);
}

/* Everything in a right text, which is at most JSON_DEPTH_MAX deep. */
static void value_walk(const struct json_value *value) {
    struct json_cursor cursor;
    struct json_value key, member;
    switch (value->kind) {
    case JSON_STRING:
        string_look(value);
        break;
    case JSON_NUMBER:
        number_look(value->raw);
        break;
    case JSON_ARRAY:
        CHECK(json_open(&cursor, value->raw) == JSON_ARRAY);
        while (json_array_next(&cursor, &member))
            value_walk(&member);
        CHECK(cursor.error.text == NULL);
        break;
    case JSON_OBJECT:
        CHECK(json_open(&cursor, value->raw) == JSON_OBJECT);
        while (json_object_next(&cursor, &key, &member)) {
            string_look(&key);
            value_walk(&member);
        }
        CHECK(cursor.error.text == NULL);
        break;
    default:
        break;
    }
}

/* The walk through the outermost level finds the same fault. */
static void outer_walk(struct span text, const struct json_error *want) {
    struct json_cursor cursor;
    struct json_value key, value;
    enum json_kind kind = json_open(&cursor, text);
    if (kind != JSON_ARRAY && kind != JSON_OBJECT)
        return;
    while (kind == JSON_ARRAY ? json_array_next(&cursor, &value)
                              : json_object_next(&cursor, &key, &value))
        CHECK(json_offset(&cursor, &value) < text.len);
    CHECK(cursor.error.text == want->text);
    CHECK(want->text == NULL ||
          (cursor.error.offset == want->offset && cursor.error.truncated == want->truncated));
}

static void compact_look(struct span text) {
    static char room[1 << 16];
    if (text.len > sizeof room)
        return;
    struct builder out = builder_over(room, sizeof room);
    struct json_error error;
    json_compact(text, &out);
    CHECK(!out.full && out.len == json_compact_len(text));
    CHECK(memchr(room, '\n', out.len) == NULL && memchr(room, '\r', out.len) == NULL);
    CHECK(json_scan(builder_span(&out), NULL, &error), "%s", error.text);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    struct span text = span_of(at, len);
    struct json_value value;
    struct json_error error = {NULL, 0, false};
    bool right = json_scan(text, &value, &error);
    CHECK(right == json_reference_valid(at, len), "the scan says %d", right);
    CHECK(right == (error.text == NULL));
    CHECK(right || (error.truncated ? error.offset == len : error.offset < len));
    outer_walk(text, &error);
    if (right) {
        value_walk(&value);
        compact_look(text);
    }
    return 0;
}
