/* Texts of messages that are much too long cost little. */
#include "tests/support/cmocka_first.h"

#include "ingest/gate/envelope.h"

static struct envelope_scratch room;

static void expect_wrong(const char *text, enum code code, const char *field, const char *says) {
    struct envelope envelope;
    struct complaint complaint;
    assert_false(
        envelope_parse(&envelope, &room, ENVELOPE_MESSAGE, span_text(text), 100, &complaint));
    assert_int_equal(complaint.code, code);
    assert_string_equal(complaint.field, field);
    assert_string_equal(complaint.text, says);
}

/* `{"to":"a","FIELD":[1,1,1...` of so many bytes, which ends as it should not. */
static const char *long_field(struct builder *text, const char *field, size_t bytes) {
    builder_format(text, "{\"to\":\"a\",\"%s\":[1", field);
    while (text->len < bytes)
        builder_text(text, ",1");
    builder_text(text, "]x");
    builder_byte(text, '\0');
    return text->at;
}

/* Of a long text no field but a list of names is read to its end, and nothing a second time: what
 * is wrong there is not seen. */
static void does_not_read_what_is_too_long(void **state) {
    (void)state;
    static char bytes[1 << 20];
    struct builder text = builder_over(bytes, sizeof bytes);
    expect_wrong(long_field(&text, "data", ENVELOPE_REREAD_BYTES), CODE_TOO_LARGE, "data",
                 "data is longer than 100 bytes");
    text = builder_over(bytes, sizeof bytes);
    expect_wrong(long_field(&text, "ttl", ENVELOPE_REREAD_BYTES), CODE_TOO_LARGE, "ttl",
                 "ttl is longer than 100 bytes");
    text = builder_over(bytes, sizeof bytes);
    expect_wrong(long_field(&text, "dada", ENVELOPE_REREAD_BYTES), CODE_BAD_MESSAGE, "dada",
                 "unknown field \"dada\"");
    text = builder_over(bytes, sizeof bytes);
    expect_wrong(long_field(&text, "except", ENVELOPE_REREAD_BYTES), CODE_BAD_MESSAGE, "except",
                 "except[0] is not a string");
    /* A shorter one costs little. */
    text = builder_over(bytes, sizeof bytes);
    expect_wrong(long_field(&text, "data", 1000), CODE_BAD_JSON, "",
                 "',' or '}' is missing at byte 1002");
    /* Names have no end, either. */
    memset(bytes, 'n', sizeof bytes - 1);
    memcpy(bytes, "{\"", 2);
    bytes[sizeof bytes - 1] = '\0';
    expect_wrong(bytes, CODE_BAD_MESSAGE, "", "a field's name is longer than 100 bytes");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(does_not_read_what_is_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
