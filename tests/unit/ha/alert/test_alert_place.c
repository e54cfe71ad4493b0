/* Where alerts go: what is taken, what is refused and with which words, and that no secret is
 * shown. */
#include "ha/alert/alert_place.h"
#include "tests/support/cmocka_first.h"

#include <stdlib.h>
#include <string.h>

static struct alert_place place;
static struct alert_smtp smtp;

/* In memory of its exact size. */
static const char *webhook(struct span text) {
    char *alone = malloc(text.len != 0 ? text.len : 1);
    assert_non_null(alone);
    memcpy(alone, text.at, text.len);
    memset(&place, 0x55, sizeof(place));
    const char *wrong = alert_webhook_parse(span_of(alone, text.len), &place);
    free(alone);
    return wrong;
}

static const char *mail_server(struct span text) {
    char *alone = malloc(text.len != 0 ? text.len : 1);
    assert_non_null(alone);
    memcpy(alone, text.at, text.len);
    memset(&smtp, 0x55, sizeof(smtp));
    const char *wrong = alert_smtp_parse(span_of(alone, text.len), &smtp);
    free(alone);
    return wrong;
}

static void place_is(const struct alert_place *is, const char *host, unsigned port, bool tls,
                     bool local, bool name) {
    assert_string_equal(is->host, host);
    assert_int_equal(is->port, port);
    assert_int_equal(is->is_tls, tls);
    assert_int_equal(is->is_local, local);
    assert_int_equal(is->is_name, name);
    assert_int_equal(is->is_v6, strchr(host, ':') != NULL);
}

static void test_webhooks(void **state) {
    (void)state;
    assert_null(webhook(SPAN("https://hooks.example/services/T0/B0/secret")));
    place_is(&place, "hooks.example", 443, true, false, true);
    assert_null(webhook(SPAN("HTTP://LocalHost:8080?a=b@c&d=%20")));
    place_is(&place, "localhost", 8080, false, true, true);
    assert_null(webhook(SPAN("http://127.1.2.3")));
    place_is(&place, "127.1.2.3", 80, false, true, false);
    assert_null(webhook(SPAN("http://10.0.0.7:65535/")));
    place_is(&place, "10.0.0.7", 65535, false, false, false);
    assert_null(webhook(SPAN("https://[::1]:7/x")));
    place_is(&place, "::1", 7, true, true, false);
    assert_null(webhook(SPAN("https://[2001:db8::7]")));
    place_is(&place, "2001:db8::7", 443, true, false, false);
}

static void test_no_webhooks(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "http",
        "http://",
        "https:///x",
        "ftp://a/x",
        "file:///etc/passwd",
        "https://user:secret@a/x",
        "https://a@b",
        "https://a b/x",
        "https://a/x\r\nHost: b",
        "https://a/\x7f",
        "https://a/\xc3\xa4",
        "https://a/x#y",
        "https://a\\b/x",
        "https://a:0/",
        "https://a:65536/",
        "https://a:7x/",
        "https://a:/",
        "https://a:1:2/",
        "https://::1/",
        "https://[::1/",
        "https://[::1]7/",
        "https://[]/",
        "https://[1.2.3.4]/",
        "https://a%2eb/",
        "https://.a/",
        "https://-a/",
        "https://a./",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
    };
    static const struct alert_place zero;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (webhook(span_text(bad[i])) == NULL)
            fail_msg("%s is taken", bad[i]);
        assert_memory_equal(&place, &zero, sizeof(zero));
    }
    assert_non_null(webhook(SPAN("https://a\0b/")));
    static char text[ALERT_URL_BYTES_MAX + 2] = "https://a/";
    memset(text + 10, 'x', sizeof(text) - 11);
    assert_string_equal(webhook(span_text(text)), "is longer than 2048 bytes");
    assert_null(webhook(span_of(text, ALERT_URL_BYTES_MAX)));
}

static void test_mail_servers(void **state) {
    (void)state;
    assert_null(mail_server(SPAN("smtp://mail.example")));
    place_is(&smtp.place, "mail.example", 25, false, false, true);
    assert_string_equal(smtp.user, "");
    assert_null(mail_server(SPAN("smtps://ann%40example.org:p%2Fq%3A%25@mail.example")));
    place_is(&smtp.place, "mail.example", 465, true, false, true);
    assert_string_equal(smtp.user, "ann@example.org");
    assert_string_equal(smtp.password, "p/q:%");
    assert_null(mail_server(SPAN("SMTP://u:a:b@[::1]:587")));
    place_is(&smtp.place, "::1", 587, false, true, false);
    assert_string_equal(smtp.password, "a:b");
}

static void test_no_mail_servers(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "smtp://",
        "http://a",
        "smtp://a/x",
        "smtp://a?x",
        "smtp://a#x",
        "smtp://u@a",
        "smtp://:p@a",
        "smtp://u:@a",
        "smtp://u:p@b@a",
        "smtp://@a",
        "smtp://u:p@",
        "smtp://u:%zz@a",
        "smtp://u%0d%0a:p@a",
        "smtp://u:p%0aq@a",
        "smtp://u:p%00@a",
        "smtp://a b",
        "smtp://a:0",
        "smtp://u:p/@a",
        "smtp://u:\xff@a",
        "smtp://u:%ff@a",
    };
    static const struct alert_smtp zero;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (mail_server(span_text(bad[i])) == NULL)
            fail_msg("%s is taken", bad[i]);
        assert_memory_equal(&smtp, &zero, sizeof(zero));
    }
}

static void test_addresses(void **state) {
    (void)state;
    static const char *const good[] = {"a@b", "ann.b+c@mail.example.org", "o'neill@x-1.example"};
    static const char *const bad[] = {"",       "a",       "@b",      "a@",    "a@b@c",
                                      "a b@c",  "a@b c",   "<a@b>",   "a@b>",  "a@b\r\nRCPT",
                                      "a,b@c",  "\"a\"@b", "a@[::1]", "a@.b",  "a@-b",
                                      "\xc3@b", "a@b_c",   "a\n@b",   "a@b\t", "a(x)@b"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_null(alert_address_wrong(span_text(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (alert_address_wrong(span_text(bad[i])) == NULL)
            fail_msg("%s is taken", bad[i]);
    assert_non_null(alert_address_wrong(SPAN("a\0@b")));
    assert_non_null(alert_address_wrong(SPAN("a@b\0")));
    char longest[256];
    memset(longest, 'a', sizeof(longest));
    longest[1] = '@';
    assert_null(alert_address_wrong(span_of(longest, 254)));
    assert_non_null(alert_address_wrong(span_of(longest, 255)));
}

static void test_no_secret_is_shown(void **state) {
    (void)state;
    char text[ALERT_WRITTEN_MAX];
    struct builder out = builder_over(text, sizeof(text));
    assert_null(webhook(SPAN("https://[::1]/secret?secret")));
    alert_webhook_write(&out, &place);
    builder_byte(&out, '\0');
    assert_string_equal(text, "https://[::1]:443/***");
    out = builder_over(text, sizeof(text));
    assert_null(mail_server(SPAN("smtps://ann%40b:secret@mail.example")));
    alert_smtp_write(&out, &smtp);
    builder_byte(&out, '\0');
    assert_string_equal(text, "smtps://ann%40b:***@mail.example:465");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_webhooks),     cmocka_unit_test(test_no_webhooks),
        cmocka_unit_test(test_mail_servers), cmocka_unit_test(test_no_mail_servers),
        cmocka_unit_test(test_addresses),    cmocka_unit_test(test_no_secret_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
