/* The parts of a URL: what is taken, what is refused and in whose words, and how parts are
 * written. */
#include "proto/text/url.h"
#include "tests/support/cmocka_first.h"

#include <stdlib.h>

#define USER_BYTES_MAX 8

static const struct url_rules rules = {
    .user_bytes_max = USER_BYTES_MAX,
    .parameters = "parameters",
    .no_user = "no user",
    .bad_user = "bad user",
    .no_host = "no host",
    .no_bracket = "no bracket",
    .behind_bracket = "behind bracket",
};

static const char bad_port[] = "has a bad port; a port is a number from 1 to 65535";

static void says(const char *text, const char *wrong, const char *wanted) {
    if (wrong == NULL || wanted == NULL ? wrong != wanted : strcmp(wrong, wanted) != 0)
        fail_msg("%s: %s, not %s", text, wrong == NULL ? "taken" : wrong,
                 wanted == NULL ? "taken" : wanted);
}

static struct url_place place;

/* In memory of its exact size. */
static const char *place_of(struct span text, const struct url_rules *by) {
    char *alone = malloc(text.len != 0 ? text.len : 1);
    assert_non_null(alone);
    if (text.len != 0)
        memcpy(alone, text.at, text.len);
    memset(&place, 0, sizeof(place));
    const char *wrong = url_place_parse(span_of(alone, text.len), by, 7, &place);
    free(alone);
    return wrong;
}

static void is_place(const char *text, const char *host, unsigned port) {
    says(text, place_of(span_text(text), &rules), NULL);
    assert_string_equal(place.host, host);
    assert_int_equal(place.port, port);
    assert_int_equal(place.is_v6, strchr(host, ':') != NULL);
}

static void is_no_place(const char *text, const char *wanted) {
    says(text, place_of(span_text(text), &rules), wanted);
}

static void test_places(void **state) {
    (void)state;
    is_place("h", "h", 7);
    is_place("cache-1.shop_x.Example:1", "cache-1.shop_x.Example", 1);
    is_place("10.0.0.7:65535", "10.0.0.7", 65535);
    is_place("h:00080", "h", 80);
    is_place("[::1]", "::1", 7);
    is_place("[2001:db8::7]:8", "2001:db8::7", 8);
    is_no_place("", "no host");
    is_no_place(":7", "no host");
    is_no_place("::1", "no host");
    is_no_place("[]", "no host");
    is_no_place("[::1", "no bracket");
    is_no_place("[", "no bracket");
    is_no_place("[::1]7", "behind bracket");
    is_no_place("[127.0.0.1]", "has no IPv6 address between its brackets");
    is_no_place("[::1%25eth0]", "has no IPv6 address between its brackets");
    says("[::1\\0]", place_of(SPAN("[::1\0]"), &rules), "has no IPv6 address between its brackets");
    is_no_place("h,g", "has a host with a byte that no host has");
    is_no_place("h/", "has a host with a byte that no host has");
    is_no_place("h\xC3\xA4", "has a host with a byte that no host has");
    is_no_place("h:", bad_port);
    is_no_place("h:0", bad_port);
    is_no_place("h:65536", bad_port);
    is_no_place("h:18446744073709551617", bad_port);
    is_no_place("h:-1", bad_port);
    is_no_place("h:7x", bad_port);
}

static void test_several_colons(void **state) {
    (void)state;
    struct url_rules own = rules;
    is_no_place("h:1:2", bad_port);
    own.several_colons = "several colons";
    says("h:1:2", place_of(SPAN("h:1:2"), &own), "several colons");
    says("h:x:", place_of(SPAN("h:x:"), &own), "several colons");
    says("h:x", place_of(SPAN("h:x"), &own), bad_port);
}

static void test_the_longest_host(void **state) {
    (void)state;
    char text[URL_HOST_BYTES_MAX + 2] = "";
    memset(text, 'a', URL_HOST_BYTES_MAX);
    is_place(text, text, 7);
    text[URL_HOST_BYTES_MAX] = 'a';
    is_no_place(text, "has a host name of more than 255 bytes");
}

/* The user and the password, or what is wrong; what is left is the rest. */
static void users(const char *text, const struct url_rules *by, const char *user,
                  const char *password, const char *rest, const char *wanted) {
    char name[USER_BYTES_MAX + 1] = "nobody", secret[URL_PASSWORD_BYTES_MAX + 1] = "none";
    struct span left = span_text(text);
    says(text, url_user_take(&left, by, name, secret), wanted);
    if (wanted != NULL)
        return;
    assert_string_equal(name, user);
    assert_string_equal(secret, password);
    assert_true(span_equal(left, span_text(rest)));
}

static void test_users(void **state) {
    (void)state;
    static const char bad_password[] =
        "has a bad password; a password is UTF-8 of at most 2048 bytes, with % written %25";
    struct url_rules optional = rules;
    optional.user_optional = true;
    users("h:1", &rules, "nobody", "none", "h:1", NULL);
    users("ann@h:1", &rules, "ann", "", "h:1", NULL);
    users("ann:@h", &rules, "ann", "", "h", NULL);
    users("a%40b:%2F%3a%25%3F@", &rules, "a@b", "/:%?", "", NULL);
    users("ann:a:b+c@h", &rules, "ann", "a:b+c", "h", NULL);
    users("%C3%A4:\xC3\xA4@h", &rules, "\xC3\xA4", "\xC3\xA4", "h", NULL);
    users("12345678@h", &rules, "12345678", "", "h", NULL);
    users("123456789@h", &rules, NULL, NULL, NULL, "bad user");
    users("%zz@h", &rules, NULL, NULL, NULL, "bad user");
    users("%00@h", &rules, NULL, NULL, NULL, "bad user");
    users("ann:%C3@h", &rules, NULL, NULL, NULL, bad_password);
    users("ann:100%@h", &rules, NULL, NULL, NULL, bad_password);
    users("ann:a@b@h", &rules, NULL, NULL, NULL, "has an @ in its user or password; write %40");
    users("@h", &rules, NULL, NULL, NULL, "no user");
    users(":@h", &optional, NULL, NULL, NULL, "no user");
    /* Whatever the password is. */
    users(":%zz@h", &rules, NULL, NULL, NULL, "no user");
    users(":pw@h", &optional, "", "pw", "h", NULL);
}

static void test_the_longest_password(void **state) {
    (void)state;
    char text[2 + URL_PASSWORD_BYTES_MAX + 3] = "u:", secret[URL_PASSWORD_BYTES_MAX + 1];
    memset(text + 2, 'a', URL_PASSWORD_BYTES_MAX);
    memcpy(secret, text + 2, URL_PASSWORD_BYTES_MAX);
    secret[URL_PASSWORD_BYTES_MAX] = '\0';
    memcpy(text + 2 + URL_PASSWORD_BYTES_MAX, "@", 2);
    users(text, &rules, "u", secret, "", NULL);
    memcpy(text + 2 + URL_PASSWORD_BYTES_MAX, "a@", 3);
    users(text, &rules, NULL, NULL, NULL,
          "has a bad password; a password is UTF-8 of at most 2048 bytes, with % written %25");
}

static void test_bytes(void **state) {
    (void)state;
    static const char blank[] = "holds a blank or a control character; write %20 for a blank";
    says("u:p@h:1/x", url_bytes_wrong(SPAN("u:p@h:1/x\xC3\xA4"), &rules), NULL);
    says("none", url_bytes_wrong(SPAN(""), &rules), NULL);
    says("h ", url_bytes_wrong(SPAN("h "), &rules), blank);
    says("h\\0?", url_bytes_wrong(SPAN("h\0?"), &rules), blank);
    says("h\\x7F", url_bytes_wrong(SPAN("h\x7F"), &rules), blank);
    says("h?x ", url_bytes_wrong(SPAN("h?x "), &rules), "parameters");
    says("h#", url_bytes_wrong(SPAN("h#"), &rules), "parameters");
}

static void test_schemes(void **state) {
    (void)state;
    struct span rest = SPAN("Ab://x");
    assert_false(url_scheme_take(&rest, SPAN("abc://")));
    assert_false(url_scheme_take(&rest, SPAN("ab://xy")));
    assert_true(span_equal(rest, SPAN("Ab://x")));
    assert_true(url_scheme_take(&rest, SPAN("aB://")));
    assert_true(span_equal(rest, SPAN("x")));
}

static void test_written(void **state) {
    (void)state;
    char room[URL_PLACE_WRITTEN_MAX];
    struct builder out = builder_over(room, sizeof(room));
    is_place("[::1]:7", "::1", 7);
    url_place_write(&out, &place);
    builder_byte(&out, ' ');
    is_place("h:65535", "h", 65535);
    url_place_write(&out, &place);
    builder_byte(&out, ' ');
    url_text_write(&out, "a@b/\xC3\xA4%-._~Z9");
    assert_true(span_equal(builder_span(&out), SPAN("[::1]:7 h:65535 a%40b%2F%C3%A4%25-._~Z9")));
    /* The longest fits. */
    memset(place.host, 'a', URL_HOST_BYTES_MAX);
    place.is_v6 = true;
    out = builder_over(room, sizeof(room));
    url_place_write(&out, &place);
    assert_false(out.full);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_several_colons),
        cmocka_unit_test(test_the_longest_host),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_the_longest_password),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
