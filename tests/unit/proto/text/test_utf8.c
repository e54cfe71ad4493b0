/* UTF-8: every sequence of up to three bytes, and of four at all borders, against decoding it. */
#include "proto/text/utf8.c"

#include "tests/support/cmocka_first.h"

/* What a sequence means, by arithmetic: its length, or 0; -1: it lacks bytes, and some would do. */
static int decode(const unsigned char *s, size_t len) {
    if (s[0] < 0x80)
        return 1;
    size_t whole = s[0] >= 0xF0 ? 4 : s[0] >= 0xE0 ? 3 : 2;
    if (s[0] < 0xC0 || s[0] > 0xF7)
        return 0;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    /* The lowest and the highest character that begin so. */
    uint32_t low = s[0] & (0x7Fu >> whole), high = low;
    for (size_t i = 1; i < whole; i++) {
        if (i < len && (s[i] < 0x80 || s[i] > 0xBF))
            return 0;
        low = low << 6 | (i < len ? s[i] & 63u : 0);
        high = high << 6 | (i < len ? s[i] & 63u : 63);
    }
    if (low < least[whole])
        low = least[whole];
    if (high > 0x10FFFF)
        high = 0x10FFFF;
    if (low >= 0xD800 && low <= 0xDFFF)
        low = 0xE000;
    if (low > high)
        return 0;
    return len < whole ? -1 : (int)whole;
}

static void agrees_with_arithmetic(void **state) {
    (void)state;
    static const unsigned char telling[] = {0x00, 0x7F, 0x80, 0x8F, 0x90,
                                            0x9F, 0xA0, 0xBF, 0xC0, 0xFF};
    unsigned char s[4];
    for (unsigned first = 0; first < 256; first++) {
        s[0] = (unsigned char)first;
        assert_int_equal(utf8_sequence((char *)s, (char *)s + 1), decode(s, 1));
        for (unsigned second = 0; second < 256; second++) {
            s[1] = (unsigned char)second;
            assert_int_equal(utf8_sequence((char *)s, (char *)s + 2), decode(s, 2));
            for (unsigned third = 0; third < 256; third++) {
                s[2] = (unsigned char)third;
                assert_int_equal(utf8_sequence((char *)s, (char *)s + 3), decode(s, 3));
                for (size_t i = 0; first >= 0xEF && i < sizeof telling; i++) {
                    s[3] = telling[i];
                    assert_int_equal(utf8_sequence((char *)s, (char *)s + 4), decode(s, 4));
                }
            }
        }
    }
}

/* Every character is written as what is read. */
static void writes_what_it_reads(void **state) {
    (void)state;
    for (uint32_t character = 0; character <= 0x10FFFF; character++) {
        if (character == 0xD800)
            character = 0xE000;
        char bytes[4];
        unsigned len = utf8_put(bytes, character);
        assert_int_equal(utf8_sequence(bytes, bytes + len), len);
        const unsigned char *s = (const unsigned char *)bytes;
        uint32_t read = len == 1 ? s[0] : s[0] & (0x7Fu >> len);
        for (unsigned i = 1; i < len; i++)
            read = read << 6 | (s[i] & 63u);
        assert_int_equal(read, character);
    }
}

/* A fault at every place of a text, wherever the steps of the fast way fall. */
static void says_where(void **state) {
    (void)state;
    char text[40];
    size_t offset = 0;
    for (size_t len = 1; len <= sizeof text; len++) {
        memset(text, 'a', sizeof text);
        assert_true(utf8_valid(span_of(text, len), &offset));
        for (size_t at = 0; at < len; at++) {
            memset(text, 'a', sizeof text);
            text[at] = (char)0xC3; /* unfinished, or followed by the wrong byte */
            assert_false(utf8_valid(span_of(text, len), &offset));
            assert_int_equal(offset, at);
            assert_false(utf8_valid(span_of(text, len), NULL));
            static const unsigned char never[] = {0x80, 0xBF, 0xC0, 0xF5, 0xFF};
            for (size_t i = 0; i < sizeof never; i++) {
                char before = text[at];
                text[at] = (char)never[i];
                assert_false(utf8_valid(span_of(text, len), &offset));
                assert_int_equal(offset, at);
                text[at] = before;
            }
            if (at + 1 < len) {
                text[at + 1] = (char)0xA4;
                assert_true(utf8_valid(span_of(text, len), &offset));
            }
        }
    }
    assert_true(utf8_valid(span_of(NULL, 0), &offset));
    assert_true(utf8_valid(SPAN("\0\x7F"), &offset));
    assert_false(utf8_valid(SPAN("\xC3\xA4\xC3\xB6\xE2\x82"), &offset));
    assert_int_equal(offset, 4);
}

static void cuts_between_characters(void **state) {
    (void)state;
    struct span text = SPAN("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80z");
    static const size_t cuts[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
    for (size_t max = 0; max < sizeof cuts / sizeof cuts[0]; max++)
        assert_int_equal(utf8_cut(text, max).len, cuts[max]);
    assert_int_equal(utf8_cut(span_of(NULL, 0), 5).len, 0);
    /* What comes behind the text is not looked at. */
    assert_int_equal(utf8_cut(span_of("\xC3\xA4\xA4", 2), 2).len, 2);
}

/* A text in two and three pieces is what it is whole, and a fault shows with the byte that makes
 * it one. */
static void reads_pieces(void **state) {
    (void)state;
    static const unsigned char telling[] = {'a',  0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC1, 0xC2,
                                            0xDF, 0xE0, 0xE1, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5};
    const size_t count = sizeof telling, all = count * count * count * count;
    char text[13] = "abcdefghijkl";
    for (size_t which = 0; which < all; which++) {
        for (size_t i = 0, left = which; i < 4; i++, left /= count)
            text[8 + i] = (char)telling[left % count];
        size_t bad = 12;
        bool valid = utf8_valid(span_of(text, 12), &bad);
        bool unfinished = !valid && utf8_sequence(text + bad, text + 12) == -1;
        for (size_t cut = 7; cut <= 12; cut++) {
            uint8_t now = 0;
            bool good =
                utf8_run(&now, span_of(text, cut)) && utf8_run(&now, span_of(text + cut, 12 - cut));
            assert_true(good == (valid || unfinished));
            assert_true(!good || (now != 0) == unfinished);
            assert_true(now < 8);
        }
        uint8_t now = 0;
        size_t taken = 0;
        while (taken < 12 && utf8_run(&now, span_of(text + taken, 1)))
            taken++;
        assert_true((taken == 12) == (valid || unfinished));
        if (taken < 12) {
            /* Without the byte there was hope. */
            assert_true(bad <= taken &&
                        (bad == taken || utf8_sequence(text + bad, text + taken) == -1));
        }
    }
    uint8_t now = 3;
    assert_true(utf8_run(&now, span_of(NULL, 0)));
    assert_int_equal(now, 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_arithmetic),
        cmocka_unit_test(writes_what_it_reads),
        cmocka_unit_test(says_where),
        cmocka_unit_test(reads_pieces),
        cmocka_unit_test(cuts_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
