#include "core/base/log_line.c"

#include "tests/support/cmocka_first.h"

#include <stdio.h>

static char text[LOG_LINE_BYTES_MAX + 1];

static const char *line_of(enum log_format format, const struct log_field *fields, size_t count,
                           uint32_t suppressed) {
    const struct log_line line = {.format = format,
                                  .level = LOG_WARN,
                                  .event = "session_closed",
                                  .wall_ms = UINT64_C(1767225600007),
                                  .suppressed = suppressed,
                                  .fields = fields,
                                  .count = count};
    size_t len = log_line_write(&line, text);
    assert_true(len <= LOG_LINE_BYTES_MAX);
    assert_null(memchr(text, '\0', len));
    assert_ptr_equal(memchr(text, '\n', len), text + len - 1);
    text[len] = '\0';
    return text;
}

static void test_logfmt(void **state) {
    (void)state;
    const struct log_field fields[] = {LOG_STR("reason", "too_slow"), LOG_U64("bytes", 9),
                                       LOG_I64("error", -11), LOG_STR("remedy", "read faster"),
                                       LOG_STR("empty", "")};
    assert_string_equal(line_of(LOG_LOGFMT, fields, 5, 0),
                        "time=2026-01-01T00:00:00.007Z level=warn event=session_closed "
                        "reason=too_slow bytes=9 error=-11 remedy=\"read faster\" empty=\"\"\n");
    assert_string_equal(line_of(LOG_LOGFMT, NULL, 0, 3),
                        "time=2026-01-01T00:00:00.007Z level=warn event=session_closed "
                        "suppressed=3\n");
}

static void test_json(void **state) {
    (void)state;
    const struct log_field fields[] = {LOG_STR("reason", "too_slow"), LOG_U64("bytes", 9)};
    assert_string_equal(line_of(LOG_JSON, fields, 2, 1),
                        "{\"time\":\"2026-01-01T00:00:00.007Z\",\"level\":\"warn\","
                        "\"event\":\"session_closed\",\"reason\":\"too_slow\",\"bytes\":9,"
                        "\"suppressed\":1}\n");
}

static void assert_value(const char *at, size_t len, const char *logfmt, const char *json) {
    const struct log_field field = LOG_SPAN("v", span_of(at, len));
    char wanted[512];
    snprintf(wanted, sizeof(wanted), " v=%s\n", logfmt);
    const char *line = line_of(LOG_LOGFMT, &field, 1, 0);
    assert_string_equal(strstr(line, " v="), wanted);
    snprintf(wanted, sizeof(wanted), ",\"v\":%s}\n", json);
    line = line_of(LOG_JSON, &field, 1, 0);
    assert_string_equal(strstr(line, ",\"v\":"), wanted);
}

#define ASSERT_VALUE(bytes, logfmt, json) assert_value(bytes, sizeof(bytes) - 1, logfmt, json)
#define ASSERT_QUOTED(bytes, quoted) ASSERT_VALUE(bytes, quoted, quoted)
#define FFFD "\xEF\xBF\xBD"

static void test_hostile_values(void **state) {
    (void)state;
    ASSERT_VALUE("a/b:1", "a/b:1", "\"a/b:1\"");
    ASSERT_QUOTED("a b", "\"a b\"");
    ASSERT_QUOTED("a=b", "\"a=b\"");
    ASSERT_QUOTED("a\"b\\", "\"a\\\"b\\\\\"");
    ASSERT_QUOTED("a\nlevel=error\r", "\"a\\nlevel=error\\u000d\"");
    ASSERT_QUOTED("\0\x1b[31m\x7f", "\"\\u0000\\u001b[31m\\u007f\"");
    ASSERT_QUOTED("\xC3\xA9\xF0\x9F\x90\x99", "\"\xC3\xA9\xF0\x9F\x90\x99\"");
    ASSERT_QUOTED("\xC2\x85\xE2\x80\xA8\xE2\x80\xA9", "\"\\u0085\\u2028\\u2029\"");
    ASSERT_QUOTED("a\xE2\x80\xAE"
                  "b\xD8\x9C\xE2\x81\xA6\xE2\x80\x8F",
                  "\"a\\u202eb\\u061c\\u2066\\u200f\"");
    /* A byte order mark, a tag; the joiners stay. */
    ASSERT_QUOTED("\xEF\xBB\xBF\xF3\xA0\x81\x81", "\"\\ufeff\\udb40\\udc41\"");
    ASSERT_QUOTED("\xE2\x80\x8C\xE2\x80\x8D", "\"\xE2\x80\x8C\xE2\x80\x8D\"");
    /* Alone, cut, overlong, a surrogate, beyond the last. */
    ASSERT_QUOTED("\x80", "\"" FFFD "\"");
    ASSERT_QUOTED("\xE2\x82", "\"" FFFD FFFD "\"");
    ASSERT_QUOTED("\xC0\xAF", "\"" FFFD FFFD "\"");
    ASSERT_QUOTED("\xE0\x80\x80", "\"" FFFD FFFD FFFD "\"");
    ASSERT_QUOTED("\xED\xA0\x80", "\"" FFFD FFFD FFFD "\"");
    ASSERT_QUOTED("\xF4\x90\x80\x80", "\"" FFFD FFFD FFFD FFFD "\"");
    ASSERT_QUOTED("\xFF-", "\"" FFFD "-\"");
}

static void test_long_values_are_cut(void **state) {
    (void)state;
    char value[300], wanted[300];
    memset(value, 'v', sizeof(value));
    snprintf(wanted, sizeof(wanted), " v=%.256s\n", value);
    struct log_field field = LOG_SPAN("v", span_of(value, 256));
    assert_string_equal(strstr(line_of(LOG_LOGFMT, &field, 1, 0), " v="), wanted);
    field = LOG_SPAN("v", span_of(value, 300));
    assert_string_equal(strstr(line_of(LOG_LOGFMT, &field, 1, 0), " v="), wanted);
    /* Never within a character: byte 255 and 256 belong together. */
    value[255] = '\xC3';
    value[256] = '\xA9';
    field = LOG_SPAN("v", span_of(value, 257));
    snprintf(wanted, sizeof(wanted), " v=%.255s\n", value);
    assert_string_equal(strstr(line_of(LOG_LOGFMT, &field, 1, 0), " v="), wanted);
}

static void test_too_many_fields(void **state) {
    (void)state;
    char value[256];
    memset(value, 1, sizeof(value));
    struct log_field fields[20];
    for (size_t i = 0; i < 20; i++)
        fields[i] = LOG_SPAN("v", span_of(value, sizeof(value)));
    char whole[LOG_LINE_BYTES_MAX];
    size_t whole_len = 0;
    for (size_t count = 0; count <= 20; count++) {
        const char *line = line_of(LOG_JSON, fields, count, UINT32_MAX);
        size_t len = strlen(line);
        assert_string_equal(line + len - 2, "}\n");
        const char *mark = strstr(line, ",\"suppressed\":4294967295");
        assert_non_null(mark);
        assert_int_equal(strstr(mark, ",\"truncated\":true}\n") != NULL, count > 5);
        if (count <= 5) {
            whole_len = (size_t)(mark - line);
            memcpy(whole, line, whole_len);
        } else { /* exactly the fields that fit */
            assert_int_equal(mark - line, whole_len);
            assert_memory_equal(line, whole, whole_len);
        }
    }
    fields[19] = LOG_STR("small", "s"); /* not out of its turn */
    assert_null(strstr(line_of(LOG_LOGFMT, fields, 20, 0), "small"));
}

static void test_any_time(void **state) {
    (void)state;
    struct log_line line = {.event = "e", .wall_ms = 0};
    size_t len = log_line_write(&line, text);
    assert_memory_equal(text, "time=1970-01-01T00:00:00.000Z level=debug event=e\n", len);
    line.wall_ms = UINT64_MAX;
    len = log_line_write(&line, text);
    assert_true(len > 0 && text[len - 1] == '\n');
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logfmt),          cmocka_unit_test(test_json),
        cmocka_unit_test(test_hostile_values),  cmocka_unit_test(test_long_values_are_cut),
        cmocka_unit_test(test_too_many_fields), cmocka_unit_test(test_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
