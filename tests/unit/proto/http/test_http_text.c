/* The end of a head, for every place of every byte: the scan that looks at eight bytes at a time
 * must see what one that looks at each sees. */
#include "proto/http/http_text.c"

#include "tests/support/cmocka_first.h"

#include <stdlib.h>

static void finds_every_control_byte(void **state) {
    (void)state;
    for (size_t len = 1; len <= 24; len++)
        for (size_t place = 0; place < len; place++)
            for (unsigned byte = 0; byte < 256; byte++) {
                char *exact = malloc(len);
                assert_non_null(exact);
                memset(exact, place % 2 ? 0x20 : 0xFF, len);
                exact[place] = (char)byte;
                bool control = byte < 0x20 || byte == 0x7F;
                assert_int_equal(control_find(exact, 0, len), control ? place : len);
                assert_int_equal(control_find(exact, place, len), control ? place : len);
                assert_int_equal(control_find(exact, place + 1, len), len);
                assert_int_equal(http_is_text((unsigned char)byte), !control || byte == '\t');
                free(exact);
            }
}

static void knows_tokens(void **state) {
    (void)state;
    static const char tokens[] = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "abcdefghijklmnopqrstuvwxyz";
    for (unsigned byte = 0; byte < 256; byte++)
        assert_int_equal(http_is_token((unsigned char)byte),
                         memchr(tokens, (int)byte, sizeof tokens - 1) != NULL);
}

static enum http_scan_status scan(struct span text, size_t step, struct http_scan *scan,
                                  struct http_refusal *refusal) {
    enum http_scan_status status = HTTP_SCAN_MORE;
    *scan = (struct http_scan){0};
    for (size_t len = step; status == HTTP_SCAN_MORE; len += step) {
        if (len > text.len)
            len = text.len;
        status = http_head_scan(scan, text.at, len, refusal);
        if (len == text.len)
            break;
    }
    return status;
}

static void finds_the_end(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t end;
    } heads[] = {
        {"A\r\n\r\n", 5},     {"A\r\n\r\nB\r\n\r\n", 5},
        {"\r\nA\r\n\r\n", 7}, {"A\r\nB\tC\r\n\r\n", 10},
        {"A\r\n", 0},         {"A\r\n\r", 0},
        {"\r\n", 0},
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        for (size_t step = 1; step < 12; step++) {
            struct http_scan s;
            struct http_refusal refusal;
            enum http_scan_status status = scan(span_text(heads[i].text), step, &s, &refusal);
            assert_int_equal(status, heads[i].end ? HTTP_SCAN_DONE : HTTP_SCAN_MORE);
            if (heads[i].end != 0)
                assert_int_equal(s.bytes, heads[i].end);
        }
}

static void says_where_a_line_is_wrong(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t offset;
    } heads[] = {
        {"A\n", 1}, {"A\rB", 1}, {"A\r\n B\r\n", 3}, {"A\r\n\tB\r\n", 3}, {"\r\n\r\nA", 2},
        {"\n", 0},  {"\rA", 0},  {"A\x01", 1},       {"A\r\nB\x7f", 4},   {"\x16\x03\x01", 0},
    };
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        for (size_t step = 1; step < 9; step++) {
            struct http_scan s;
            struct http_refusal refusal;
            enum http_scan_status status = scan(span_text(heads[i].text), step, &s, &refusal);
            assert_int_equal(status, HTTP_SCAN_REFUSED);
            assert_int_equal(refusal.status, 400);
            assert_int_equal(refusal.offset, heads[i].offset);
        }
}

/* A head that trickles in is looked at once: the scan goes on where it stopped. */
static void looks_at_no_byte_twice(void **state) {
    (void)state;
    char text[64];
    struct http_scan s = {0};
    struct http_refusal refusal;
    memset(text, 'x', sizeof text);
    assert_int_equal(http_head_scan(&s, text, 40, &refusal), HTTP_SCAN_MORE);
    assert_int_equal(s.bytes, 40);
    memset(text, 0, 40); /* would be refused if it were read again */
    assert_int_equal(http_head_scan(&s, text, 64, &refusal), HTTP_SCAN_MORE);
    assert_int_equal(s.bytes, 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_every_control_byte),
        cmocka_unit_test(knows_tokens),
        cmocka_unit_test(finds_the_end),
        cmocka_unit_test(says_where_a_line_is_wrong),
        cmocka_unit_test(looks_at_no_byte_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
