/* Text in ASCII alone, and text that was encoded in UTF-8 twice. */
#include "proto/web/sio/sio_text.c"

#include "tests/support/cmocka_first.h"

#include <stdlib.h>

static void expect_ascii(const char *json, const char *want) {
    char text[200];
    struct builder out = builder_over(text, sizeof text);
    sio_ascii_write(&out, span_text(json));
    assert_true(span_equal(builder_span(&out), span_text(want)));
    assert_int_equal(sio_ascii_len(span_text(json)), strlen(want));
}

static void writes_ascii(void **state) {
    (void)state;
    expect_ascii("", "");
    expect_ascii("[1,\"abc\"]", "[1,\"abc\"]");
    expect_ascii("\"\xc3\xa4\"", "\"\\u00e4\"");
    expect_ascii("\"12345678\xe2\x82\xac 123456789\xf0\x9f\x98\x80\"",
                 "\"12345678\\u20ac 123456789\\ud83d\\ude00\"");
    expect_ascii("\"\xf4\x8f\xbf\xbf\xc2\x85\xe2\x80\xa8\"", "\"\\udbff\\udfff\\u0085\\u2028\"");
}

/* Every byte of the text as a character. */
static struct span encode(const char *text, char room[200]) {
    struct builder out = builder_over(room, 200);
    for (; *text != '\0'; text++) {
        char bytes[4];
        unsigned len = utf8_put(bytes, (unsigned char)*text);
        builder_bytes(&out, bytes, len);
    }
    return builder_span(&out);
}

static void knows_what_was_encoded_twice(void **state) {
    (void)state;
    static const char *const texts[] = {"\xc3\xa4",
                                        ("a\xe2\x82\xac"
                                         "b"),
                                        "\xf0\x9f\x98\x80", "2[\"x\",\"\xc3\x83\xc2\xa4\"]",
                                        "\xc3\xa4\xc3\xb6 12345678"};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        char room[200], back[200];
        struct span twice = encode(texts[i], room);
        assert_int_equal(sio_twice_look(twice), SIO_TWICE_MAYBE);
        struct builder out = builder_over(back, twice.len);
        sio_twice_decode(&out, twice);
        assert_true(span_equal(builder_span(&out), span_text(texts[i])));
        /* Cut within a character it is none. */
        for (size_t len = 1; len < twice.len; len++) {
            enum sio_twice look = sio_twice_look(span_of(twice.at, len));
            if (look != SIO_TWICE_MAYBE)
                continue;
            out = builder_over(back, len);
            sio_twice_decode(&out, span_of(twice.at, len));
            assert_true(utf8_valid(builder_span(&out), NULL));
        }
    }
    assert_int_equal(sio_twice_look(SPAN("")), SIO_TWICE_NEITHER);
    assert_int_equal(sio_twice_look(SPAN("abcdefghijk")), SIO_TWICE_NEITHER);
    static const char *const once[] = {"\xc3\xa4",         "a\xc3\xa9z", "\xe2\x82\xac",
                                       "\xf0\x9f\x98\x80", "\xc3\x83z",  "\xc3\x83\xe2\x82\xac"};
    for (unsigned i = 0; i < sizeof once / sizeof *once; i++)
        assert_int_equal(sio_twice_look(span_text(once[i])), SIO_TWICE_NO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_ascii),
        cmocka_unit_test(knows_what_was_encoded_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
