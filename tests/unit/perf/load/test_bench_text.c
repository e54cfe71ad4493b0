/* What others wrote is shown harmless, whole characters only. */
#include "perf/load/bench_text.c"

#include "perf/load/bench_share.h"
#include "tests/support/cmocka_first.h"

static void check(struct span text, size_t cap, const char *wanted) {
    char out[64];
    assert_true(cap <= sizeof out);
    memset(out, '#', sizeof out);
    bench_text_write(out, cap, text);
    assert_string_equal(out, wanted);
}

static void harmless(void **state) {
    (void)state;
    check(SPAN("plain"), 64, "plain");
    check(SPAN(""), 1, "");
    check(SPAN("a\x1b[31m\x7f\xC2\x9B"), 64, "a\\x1b[31m\\x7f\\u009b");
    check(SPAN("\xFF\xE2\x80\xAE\xF3\xA0\x81\x81"), 64, "\\xff\\u202e\\U000e0041");
    check(SPAN("a\nb\r\n"), 64, "a\\x0ab");
}

static void cut_between_characters(void **state) {
    (void)state;
    check(SPAN("abc"), 4, "abc");
    check(SPAN("abcd"), 4, "abc");
    check(SPAN("ab\xC3\xA4"), 4, "ab");
    check(SPAN("ab\xC3\xA4"), 5, "ab\xC3\xA4");
    check(SPAN("a\x1b"), 5, "a");
    check(SPAN("a\x1b"), 6, "a\\x1b");
}

static void the_first_sample_is_kept(void **state) {
    (void)state;
    char sample[BENCH_SAMPLE_BYTES] = "", longest[2 * BENCH_SAMPLE_BYTES];
    bench_sample_keep(sample, "the node said", "\x9b\x31m\xC2\x9B\r\n", 7);
    assert_string_equal(sample, "the node said: \\x9b1m\\u009b");
    bench_sample_keep(sample, "closed", "by the node", 11);
    assert_string_equal(sample, "the node said: \\x9b1m\\u009b");
    sample[0] = '\0';
    memset(longest, 'x', sizeof longest);
    bench_sample_keep(sample, "damaged", longest, sizeof longest);
    assert_int_equal(strlen(sample), BENCH_SAMPLE_BYTES - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(harmless),
        cmocka_unit_test(cut_between_characters),
        cmocka_unit_test(the_first_sample_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
