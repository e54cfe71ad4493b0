/* Base64: the vectors of RFC 4648, every pair of letters at the end, and round trips. */
#include "proto/text/base64.c"

#include "tests/support/cmocka_first.h"

static struct span encode(struct span bytes, char *room, size_t cap) {
    struct builder out = builder_over(room, cap);
    base64_encode(&out, bytes);
    assert_false(out.full);
    assert_int_equal(out.len, base64_len(bytes.len));
    return builder_span(&out);
}

static void encodes_the_vectors(void **state) {
    (void)state;
    static const char *const want[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                       "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    char room[16], back[16];
    for (size_t len = 0; len <= 6; len++) {
        struct span text = encode(span_of("foobar", len), room, sizeof room);
        assert_true(span_equal(text, span_text(want[len])));
        struct builder out = builder_over(back, sizeof back);
        assert_null(base64_decode(text, &out));
        assert_true(span_equal(builder_span(&out), span_of("foobar", len)));
    }
    assert_int_equal(encode(span_of(NULL, 0), room, sizeof room).len, 0);
}

static void comes_back_as_it_was(void **state) {
    (void)state;
    unsigned char bytes[256];
    char room[400], back[256];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 167 + 13);
    for (size_t from = 0; from < 4; from++) {
        for (size_t len = 0; len <= sizeof bytes - from; len++) {
            struct span text = encode(span_of(bytes + from, len), room, sizeof room);
            struct builder out = builder_over(back, sizeof back);
            assert_null(base64_decode(text, &out));
            assert_true(span_equal(builder_span(&out), span_of(bytes + from, len)));
            assert_true(out.len <= text.len / 4 * 3);
        }
    }
}

static void writes_all_or_nothing(void **state) {
    (void)state;
    char room[9] = "\0\0\0\0\0\0\0\0";
    for (size_t cap = 0; cap < 8; cap++) {
        struct builder out = builder_over(room, cap);
        base64_encode(&out, SPAN("abcd"));
        assert_true(out.full && out.len == 0 && room[0] == '\0');
    }
    struct builder out = builder_over(room, 8);
    base64_encode(&out, SPAN("abcd"));
    assert_true(!out.full && span_equal(builder_span(&out), SPAN("YWJjZA==")));
    base64_encode(&out, SPAN("a"));
    assert_true(out.full);
    /* Full is full, even for nothing. */
    out.len = 0;
    base64_encode(&out, SPAN("a"));
    assert_int_equal(out.len, 0);
}

static void is_strict(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "A",        "AA",   "AAA",     "AA=",      "=",        "====",     "A===", "AA=A",
        "=AAA",     "A=AA", "AAAA=",   "AAA=AAAA", "AA==AAAA", "AA A",     "AAA ", "AAA\n",
        "AAAA\r\n", "AA-_", "AAA\xC3", "Zh==",     "Zm9=",     "AA==AA==",
    };
    char room[16];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct builder out = builder_over(room, sizeof room);
        if (base64_decode(span_text(wrong[i]), &out) == NULL)
            fail_msg("%s was taken", wrong[i]);
    }
    struct builder out = builder_over(room, sizeof room);
    assert_non_null(base64_decode(SPAN("AA\0A"), &out));
}

/* Of all endings exactly those are taken that the encoder writes. */
static void takes_only_what_the_encoder_writes(void **state) {
    (void)state;
    char text[4], room[8], again[8];
    unsigned taken = 0;
    for (int third = 0; third < 256; third++) {
        for (int second = 0; second < 256; second++) {
            text[0] = 'Q', text[1] = (char)second, text[2] = (char)third, text[3] = '=';
            struct builder out = builder_over(room, sizeof room);
            if (base64_decode(span_of(text, 4), &out) != NULL)
                continue;
            taken++;
            struct builder back = builder_over(again, sizeof again);
            base64_encode(&back, builder_span(&out));
            assert_true(span_equal(builder_span(&back), span_of(text, 4)));
        }
    }
    assert_int_equal(taken, 64 * 16 + 4); /* two bytes; one byte */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_the_vectors),
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(writes_all_or_nothing),
        cmocka_unit_test(is_strict),
        cmocka_unit_test(takes_only_what_the_encoder_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
