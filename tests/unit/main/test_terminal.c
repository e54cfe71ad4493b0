/* test_terminal.c - what is printed is harmless, and columns line up. */
#include "main/terminal.c"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void check(struct span text, size_t columns_max, const char *wanted, size_t columns) {
    char *printed = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&printed, &len);
    size_t used = terminal_print(out, text, columns_max);
    fclose(out);
    assert_string_equal(printed, wanted);
    assert_int_equal(used, columns);
    free(printed);
}

static void test_harmless(void **state) {
    (void)state;
    check(SPAN("plain"), 0, "plain", 5);
    check(SPAN(""), 0, "", 0);
    check(SPAN("\x1b[2J\n"), 0, "\\x1b[2J\\x0a", 11);
    check(SPAN("\x7f\xc2\x9b"), 0, "\\x7f\\u009b", 10);
    check(SPAN("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), 0, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80",
          3);
    check(SPAN("a\xe2\x80\xae"
               "b"),
          0, "a\\u202eb", 8);
    check(SPAN("\xef\xbb\xbf\xf3\xa0\x81\x81"), 0, "\\ufeff\\U000e0041", 16);
    check(SPAN("\xc3"), 0, "\\xc3", 4);
    check(SPAN("\xc0\xaf\xed\xa0\x80"), 0, "\\xc0\\xaf\\xed\\xa0\\x80", 20);
    check(SPAN("\xf5\x80\x80\x80\xff"), 0, "\\xf5\\x80\\x80\\x80\\xff", 20);
    check(SPAN("abcdef"), 4, "abcd...", 7);
    check(SPAN("abcd"), 4, "abcd", 4);
}

static void check_json(struct span text, const char *wanted) {
    char *printed = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&printed, &len);
    terminal_print_json(out, text);
    fclose(out);
    assert_string_equal(printed, wanted);
    free(printed);
}

/* What would drive the terminal is escaped where it is part of a value, and a blank elsewhere. */
static void test_json(void **state) {
    (void)state;
    check_json(SPAN("{\"a\":[1,\"\xc3\xa4\"]}"), "{\"a\":[1,\"\xc3\xa4\"]}");
    check_json(SPAN("\"\x7f\xc2\x9b\xe2\x80\xae\xd8\x9c\xe2\x80\xa8\""),
               "\"\\u007f\\u009b\\u202e\\u061c\\u2028\"");
    check_json(SPAN("\"\xf3\xa0\x81\x81\""), "\"\\udb40\\udc41\"");
    check_json(SPAN("{\r\"a\"\t:\n1}"), "{ \"a\" : 1}");
    check_json(SPAN("[\"\\\"\x7f\",\r\"\\\\\",\r1]"), "[\"\\\"\\u007f\", \"\\\\\", 1]");
    check_json(SPAN("\"\x9b\""), "\"\\ufffd\"");
}

static void test_format(void **state) {
    (void)state;
    char room[2 * TERMINAL_FORMAT_MAX] = "";
    char name[TERMINAL_FORMAT_MAX + 8];
    FILE *out = fmemopen(room, sizeof(room), "w");
    terminal_format(out, "no file \"%s\" (%d)", "a\r\x1b[2J", 7);
    fclose(out);
    assert_string_equal(room, "no file \"a\\x0d\\x1b[2J\" (7)");
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    out = fmemopen(room, sizeof(room), "w");
    terminal_format(out, "%s", name);
    fclose(out);
    assert_int_equal(strlen(room), TERMINAL_FORMAT_MAX - 1 + 3);
}

/* No two bytes, wherever they stand, put a control byte on the terminal. */
static void test_all_pairs(void **state) {
    (void)state;
    for (unsigned pair = 0; pair < 65536; pair++) {
        const char text[] = {(char)(pair >> 8), (char)pair};
        char room[64] = "";
        FILE *out = fmemopen(room, sizeof(room), "w");
        terminal_print(out, span_of(text, 2), 0);
        fclose(out);
        for (const char *at = room; *at != '\0'; at++)
            assert_true((unsigned char)*at >= 0x20 && *at != 0x7f);
    }
}

static void test_grid(void **state) {
    static const char *const titles[] = {"NAME", "N"};
    static struct grid grid;
    char *printed = NULL;
    size_t len = 0;
    (void)state;
    grid_init(&grid, 2, titles);
    char(*row)[GRID_CELL_MAX] = grid_row(&grid);
    snprintf(row[0], GRID_CELL_MAX, "%s", "longer");
    snprintf(row[1], GRID_CELL_MAX, "%s", "1234");
    row = grid_row(&grid);
    snprintf(row[0], GRID_CELL_MAX, "%s", "x");
    FILE *out = open_memstream(&printed, &len);
    grid_print(&grid, out, "\n");
    fclose(out);
    assert_string_equal(printed, "NAME       N\nlonger  1234\nx           \n");
    free(printed);
    for (unsigned n = grid.rows; n < GRID_ROWS_MAX; n++)
        assert_non_null(grid_row(&grid));
    assert_null(grid_row(&grid));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_harmless), cmocka_unit_test(test_json),
        cmocka_unit_test(test_format),   cmocka_unit_test(test_all_pairs),
        cmocka_unit_test(test_grid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
