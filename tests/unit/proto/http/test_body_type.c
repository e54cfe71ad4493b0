/* What a request says of its body: kinds, character sets, codings. */
#include "proto/http/body_type.c"

#include "tests/support/cmocka_first.h"

#include <stdio.h>

static void tells_kinds(void **state) {
    (void)state;
    static const struct {
        const char *type;
        enum body_kind kind;
    } rows[] = {{"", BODY_PLAIN},
                {"application/x-www-form-urlencoded", BODY_PLAIN},
                {"Application/JSON ; charset=utf-8", BODY_JSON},
                {"application/vnd.x+json", BODY_JSON},
                {"+json", BODY_OTHER},
                {"application/x-ndjson", BODY_LINES},
                {"text/plain;charset=utf-8", BODY_TEXT},
                {"text/", BODY_OTHER},
                {"application/jsonx", BODY_OTHER},
                {"image/png", BODY_OTHER}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(body_kind(span_text(rows[i].type)), rows[i].kind);
}

static void tells_character_sets(void **state) {
    (void)state;
    static const struct {
        const char *parameters;
        bool ascii, other; /* does such a body pass? */
    } rows[] = {
        {"", true, true},
        {";", true, true},
        {"; charset=utf-8", true, true},
        {";CHARSET=UTF8", true, true},
        {"; charset=\"utf-8\"", true, true},
        {"; charset=us-ascii", true, false},
        {"; charset=ISO-8859-1", true, false},
        {"; charset=iso-8859-15", true, false},
        {"; charset=windows-1252", true, false},
        {"; charset=KOI8-R", true, false},
        {"; charset=GBK", true, false},
        {"; charset=gb2312", true, false},
        {"; charset=GB18030", true, false},
        {"; charset=Big5", true, false},
        {"; charset=EUC-JP", true, false},
        {"; charset=utf-16", false, false},
        {"; charset=utf-16le", false, false},
        {"; charset=utf-7", false, false},
        {"; charset=iso-2022-jp", false, false},
        {"; charset=shift_jis", false, false},
        {"; charset=latin1", false, false},
        {"; charset=big5-hkscs", false, false},
        {"; charset=iso-8859-", false, false},
        {"; charset=utf-8x", false, false},
        {"; charset=\"utf\\-8\"", false, false},
        /* Others, and what is malformed, is skipped; of several each counts. */
        {"; a=b;charset=utf-16", false, false},
        {"; a=\"x;charset=utf-16\"; b", true, true},
        {"; a=\"\\\";charset=utf-16\"", true, true},
        {"; charset", true, true},
        {"; charset=", true, true},
        {"; charset=\"\"", true, true},
        {"; charset =utf-16", true, true},
        {"; charset=utf 16", true, true},
        {"; charset=\"utf-16", true, true},
        {"; charset=;charset=utf-16", false, false},
        {"; charset=utf-8; charset=utf-16", false, false},
        {"; charset=utf-8; charset=gbk", true, false},
        {"; charset=utf-8; charset=UTF8", true, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char type[96];
        snprintf(type, sizeof type, "text/plain%s", rows[i].parameters);
        if (body_charset_fits(span_text(type), SPAN("plain")) != rows[i].ascii ||
            body_charset_fits(span_text(type), SPAN("\302\241")) != rows[i].other)
            fail_msg("%s", type);
    }
    assert_true(body_charset_fits(span_of(NULL, 0), SPAN("\302\241")));
}

static void tells_codings(void **state) {
    (void)state;
    static const struct {
        const char *values[3];
        bool encoded;
    } rows[] = {
        {{NULL}, false},
        {{""}, false},
        {{"identity"}, false},
        {{"Identity , identity,"}, false},
        {{"gzip"}, true},
        {{"br"}, true},
        {{"identity, gzip"}, true},
        {{"identity", "gzip"}, true},
        {{"x"}, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        static struct http_request request;
        request.fields.count = 1;
        request.fields.list[0] = (struct http_field){SPAN("Accept-Encoding"), SPAN("gzip")};
        for (unsigned n = 0; rows[i].values[n] != NULL; n++)
            request.fields.list[request.fields.count++] =
                (struct http_field){SPAN("content-Encoding"), span_text(rows[i].values[n])};
        assert_int_equal(body_is_encoded(&request), rows[i].encoded);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_kinds),
        cmocka_unit_test(tells_character_sets),
        cmocka_unit_test(tells_codings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
