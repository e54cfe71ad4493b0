/* Where Redis is: what is taken, what is refused and with which words, and that the password is
 * told to nobody. */
#include "ha/redis/redis_url.h"
#include "tests/support/cmocka_first.h"

#include <stdio.h>
#include <stdlib.h>

static struct redis_url url;

/* In memory of its exact size. */
static const char *parse(struct span text) {
    char *alone = malloc(text.len != 0 ? text.len : 1);
    assert_non_null(alone);
    memcpy(alone, text.at, text.len);
    memset(&url, 0x55, sizeof url);
    const char *wrong = redis_url_parse(span_of(alone, text.len), &url);
    free(alone);
    return wrong;
}

static void expect(const char *text, const char *host, unsigned port, unsigned db, const char *user,
                   const char *password) {
    const char *wrong = parse(span_text(text));
    if (wrong != NULL)
        fail_msg("%s: %s", text, wrong);
    assert_int_equal(url.kind, REDIS_URL_PLAIN);
    assert_string_equal(url.host, host);
    assert_int_equal(url.port, port);
    assert_int_equal(url.db, db);
    assert_string_equal(url.user, user);
    assert_string_equal(url.password, password);
    assert_int_equal(url.is_v6, strchr(host, ':') != NULL);
}

static void expect_wrong(struct span text, const char *want) {
    static const struct redis_url zero;
    const char *wrong = parse(text);
    if (wrong == NULL)
        fail_msg("%.*s is taken", SPAN_ARG(text));
    assert_string_equal(wrong, want);
    assert_memory_equal(&url, &zero, sizeof zero);
}

static void refused(const char *text, const char *want) {
    expect_wrong(span_text(text), want);
}

static void test_what_is_taken(void **state) {
    (void)state;
    expect("redis://localhost", "localhost", 6379, 0, "", "");
    expect("redis://10.0.0.7:6380", "10.0.0.7", 6380, 0, "", "");
    expect("redis://cache-1.shop_x.example:1/", "cache-1.shop_x.example", 1, 0, "", "");
    expect("REDIS://h/15", "h", 6379, 15, "", "");
    expect("redis://h:65535/2147483647", "h", 65535, 2147483647, "", "");
    expect("redis://[::1]", "::1", 6379, 0, "", "");
    expect("redis://[2001:db8::7]:7/3", "2001:db8::7", 7, 3, "", "");
    expect("redis://ann@h", "h", 6379, 0, "ann", "");
    expect("redis://ann:@h", "h", 6379, 0, "ann", "");
    expect("redis://:secret@h", "h", 6379, 0, "", "secret");
    expect("redis://ann:secret@[::1]:7/3", "::1", 7, 3, "ann", "secret");
    expect("redis://a%40b:%2F%3a%25%3F@h", "h", 6379, 0, "a@b", "/:%?");
    expect("redis://:a:b@h", "h", 6379, 0, "", "a:b");
    expect("redis://:a+b@h", "h", 6379, 0, "", "a+b");
    expect("redis://%C3%A4:\xC3\xA4@h", "h", 6379, 0, "\xC3\xA4", "\xC3\xA4");
}

static void sentinels(const char *text, const char *places, const char *name, unsigned db,
                      const char *user, const char *password) {
    const char *wrong = parse(span_text(text));
    if (wrong != NULL)
        fail_msg("%s: %s", text, wrong);
    assert_int_equal(url.kind, REDIS_URL_SENTINEL);
    char room[REDIS_URL_WRITTEN_MAX];
    struct builder out = builder_over(room, sizeof room - 1);
    for (unsigned i = 0; i < url.sentinel_count; i++) {
        assert_int_equal(url.sentinels[i].is_v6, strchr(url.sentinels[i].host, ':') != NULL);
        builder_text(&out, i != 0 ? " " : "");
        url_place_write(&out, &url.sentinels[i]);
    }
    room[out.len] = '\0';
    assert_string_equal(room, places);
    assert_string_equal(url.name, name);
    assert_int_equal(url.db, db);
    assert_string_equal(url.user, user);
    assert_string_equal(url.password, password);
    assert_int_equal(url.host[0] + url.port + url.is_v6, 0);
}

static void test_sentinels_that_are_taken(void **state) {
    (void)state;
    sentinels("redis+sentinel://a:26380,b:26381,c:26382/main", "a:26380 b:26381 c:26382", "main", 0,
              "", "");
    sentinels("redis+sentinel://a/main", "a:26379", "main", 0, "", "");
    sentinels("Redis+Sentinel://10.0.0.1,[::1]:7,[2001:db8::7]/m_1.x-Y/",
              "10.0.0.1:26379 [::1]:7 [2001:db8::7]:26379", "m_1.x-Y", 0, "", "");
    sentinels("redis+sentinel://ann:se%2Ccret@a,b/main/15", "a:26379 b:26379", "main", 15, "ann",
              "se,cret");
    sentinels("redis+sentinel://:a,b:c@a,b/6", "a:26379 b:26379", "6", 0, "", "a,b:c");
    sentinels("redis+sentinel://a,a/main", "a:26379 a:26379", "main", 0, "", "");
}

static void test_sentinels_that_are_refused(void **state) {
    (void)state;
    static const char no_host[] = "has no host; write HOST:PORT";
    static const char no_name[] =
        "does not name the server; write redis+sentinel://HOST:PORT,HOST:PORT/NAME";
    static const char bad_name[] =
        "names a server as no Sentinel does; a name is of letters, digits, ., - and _";
    static const char bad_port[] = "has a bad port; a port is a number from 1 to 65535";
    static const char bad_db[] = "has a bad db; a db is a number from 0 to 2147483647";
    refused("redis+sentinel://", no_name);
    refused("redis+sentinel://a:26379,b:26379", no_name);
    refused("redis+sentinel://a:26379/", no_name);
    refused("redis+sentinel://a:26379//3", no_name);
    refused("redis+sentinel:///main", no_host);
    refused("redis+sentinel://,/main", no_host);
    refused("redis+sentinel://a,/main", no_host);
    refused("redis+sentinel://,a/main", no_host);
    refused("redis+sentinel://a,,b/main", no_host);
    refused("redis+sentinel://a,:26379/main", no_host);
    refused("redis+sentinel://u:p@/main", no_host);
    refused("redis+sentinel://a,b:0/main", bad_port);
    refused("redis+sentinel://a:65536,b/main", bad_port);
    refused("redis+sentinel://a:1,b:x/main", bad_port);
    refused("redis+sentinel://2001:db8::7/main",
            "has several colons; write an IPv6 address in brackets, [::1]:6379");
    refused("redis+sentinel://a,[::1/main", "has no ] after the IPv6 address; write [::1]:6379");
    refused("redis+sentinel://[1.2.3.4]/main", "has no IPv6 address between its brackets");
    refused("redis+sentinel://a;b/main", "has a host with a byte that no host has");
    refused("redis+sentinel://a/m%20n", bad_name);
    refused("redis+sentinel://a/m,n", bad_name);
    refused("redis+sentinel://a/\xC3\xA4", bad_name);
    refused("redis+sentinel://a/main/x", bad_db);
    refused("redis+sentinel://a/main/0/0", bad_db);
    refused("redis+sentinel://a/main/2147483648", bad_db);
    refused("redis+sentinel://u:a/b@h/main",
            "has a / in its user or password, or an @ in its db; write %2F");
    refused("redis+sentinel://u:p@a,u:p@b/main", "has an @ in its user or password; write %40");
    refused("redis+sentinel://@a/main", "has neither a user nor a password before its @");
    refused("redis+sentinel://a/main?db=1",
            "holds a ? or a #; in a user or password write %3F or %23, options have no place");
    refused("redis+sentinel://a, b/main",
            "holds a blank or a control character; write %20 for a blank");
}

/* So many of them, and so long. */
static void test_the_most_sentinels(void **state) {
    (void)state;
    static char text[8192], name[REDIS_URL_NAME_BYTES_MAX + 2];
    for (unsigned more = 0; more < 2; more++) {
        struct builder out = builder_over(text, sizeof text - 1);
        builder_text(&out, "redis+sentinel://");
        for (unsigned i = 0; i < REDIS_URL_SENTINELS_MAX + more; i++)
            builder_format(&out, "%sh%u", i != 0 ? "," : "", i);
        builder_text(&out, "/main");
        text[out.len] = '\0';
        if (more != 0)
            refused(text, "names more than 16 Sentinels");
        else
            assert_null(parse(span_text(text)));
        assert_int_equal(url.sentinel_count, more != 0 ? 0 : REDIS_URL_SENTINELS_MAX);
        memset(name, 'n', REDIS_URL_NAME_BYTES_MAX + more);
        name[REDIS_URL_NAME_BYTES_MAX + more] = '\0';
        snprintf(text, sizeof text, "redis+sentinel://h/%s", name);
        if (more != 0)
            refused(text, "names a server by more than 128 bytes");
        else
            assert_null(parse(span_text(text)));
    }
}

static void test_the_longest(void **state) {
    (void)state;
    static char text[8192], name[4096];
    static const struct {
        const char *format, *wrong;
        size_t max;
    } parts[] = {
        {"redis://%s:6379", "has a host name of more than 255 bytes", 255},
        {"redis://%s@h", "has a bad user; a user is UTF-8 of at most 128 bytes, with % written %25",
         128},
        {"redis://%%61%s@h",
         "has a bad user; a user is UTF-8 of at most 128 bytes, with % written %25", 127},
        {"redis://u:%s@h",
         "has a bad password; a password is UTF-8 of at most 2048 bytes, with % written %25", 2048},
        {"redis://u:%s%%61@h",
         "has a bad password; a password is UTF-8 of at most 2048 bytes, with % written %25", 2047},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        for (size_t more = 0; more < 2; more++) {
            memset(name, 'a', parts[i].max + more);
            name[parts[i].max + more] = '\0';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
            snprintf(text, sizeof text, parts[i].format, name);
#pragma GCC diagnostic pop
            if (more != 0)
                refused(text, parts[i].wrong);
            else
                assert_null(parse(span_text(text)));
        }
    }
}

static void test_other_kinds_are_known(void **state) {
    (void)state;
    static const struct {
        const char *text, *written;
        enum redis_url_kind kind;
    } kinds[] = {
        {"rediss://:secret@h:6380/1", "rediss://", REDIS_URL_TLS},
        {"rediss://", "rediss://", REDIS_URL_TLS},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        assert_null(parse(span_text(kinds[i].text)));
        struct redis_url only = {.kind = kinds[i].kind};
        assert_memory_equal(&url, &only, sizeof only);
        char room[REDIS_URL_WRITTEN_MAX];
        struct builder out = builder_over(room, sizeof room);
        redis_url_write(&out, &url);
        assert_true(span_equal(builder_span(&out), span_text(kinds[i].written)));
    }
}

/* The first node is the URL's own; the others come one by one. */
static void test_a_cluster(void **state) {
    (void)state;
    struct span text = SPAN("Redis+Cluster://us%2Cer:s3cret@a:7001,[::1]:7002,b");
    assert_null(parse(text));
    assert_int_equal(url.kind, REDIS_URL_CLUSTER);
    assert_string_equal(url.host, "a");
    assert_string_equal(url.user, "us,er");
    char room[REDIS_URL_WRITTEN_MAX];
    struct builder out = builder_over(room, sizeof room);
    redis_url_write(&out, &url);
    assert_true(span_equal(builder_span(&out), SPAN("redis+cluster://us%2Cer:***@a:7001")));
    static const struct {
        const char *host;
        uint16_t port;
    } nodes[] = {{"a", 7001}, {"::1", 7002}, {"b", 6379}};
    for (unsigned i = 0; i < 3; i++) {
        struct redis_url node;
        assert_true(redis_url_node(text, i, &node));
        assert_int_equal(node.kind, REDIS_URL_PLAIN);
        assert_string_equal(node.host, nodes[i].host);
        assert_int_equal(node.port, nodes[i].port);
        assert_string_equal(node.password, "s3cret");
    }
    struct redis_url none;
    assert_false(redis_url_node(text, 3, &none));
    assert_true(redis_url_begins(text) && redis_url_begins(SPAN("REDISS://x")));
    assert_false(redis_url_begins(SPAN("redis:/")) || redis_url_begins(SPAN("b:7002")));
}

static void test_what_is_refused(void **state) {
    (void)state;
    static const char no_url[] = "is no URL of Redis; write redis://HOST:PORT";
    static const char no_host[] = "has no host; write HOST:PORT";
    static const char bad_port[] = "has a bad port; a port is a number from 1 to 65535";
    static const char bad_db[] = "has a bad db; a db is a number from 0 to 2147483647";
    static const char bad_v6[] = "has no IPv6 address between its brackets";
    static const char bad_user[] =
        "has a bad user; a user is UTF-8 of at most 128 bytes, with % written %25";
    static const char bad_password[] =
        "has a bad password; a password is UTF-8 of at most 2048 bytes, with % written %25";
    static const char options[] =
        "holds a ? or a #; in a user or password write %3F or %23, options have no place";
    refused("", "is empty; write redis://HOST:PORT");
    refused("localhost:6379", no_url);
    refused("redis:/h", no_url);
    refused("redis+tls://h", no_url);
    refused("unix:///run/redis.sock", no_url);
    refused("redis://", no_host);
    refused("redis:///3", no_host);
    refused("redis://:6379", no_host);
    refused("redis://u:p@", no_host);
    refused("redis://[]", no_host);
    refused("redis://h:", bad_port);
    refused("redis://h:0", bad_port);
    refused("redis://h:65536", bad_port);
    refused("redis://h:4294967297", bad_port);
    refused("redis://h:-1", bad_port);
    refused("redis://h:6379x", bad_port);
    refused("redis://h:1:2", "has several colons; write an IPv6 address in brackets, "
                             "[::1]:6379");
    refused("redis://h/x", bad_db);
    refused("redis://h/1/", bad_db);
    refused("redis://h/-1", bad_db);
    refused("redis://h/2147483648", bad_db);
    refused("redis://h/18446744073709551616", bad_db);
    refused("redis://[::1", "has no ] after the IPv6 address; write [::1]:6379");
    refused("redis://[::1]6379", "has something behind its IPv6 address; write [::1]:6379");
    refused("redis://[::1%25eth0]", bad_v6);
    refused("redis://[127.0.0.1]", bad_v6);
    refused("redis://h,g", "has a host with a byte that no host has");
    refused("redis://h\xC3\xA4", "has a host with a byte that no host has");
    refused("redis://@h", "has neither a user nor a password before its @");
    refused("redis://:@h", "has neither a user nor a password before its @");
    refused("redis://%zz@h", bad_user);
    refused("redis://%00@h", bad_user);
    refused("redis://u:%C3@h", bad_password);
    refused("redis://u:100%@h", bad_password);
    refused("redis://u:a@b@h", "has an @ in its user or password; write %40");
    refused("redis://u:a/b@h", "has a / in its user or password, or an @ in its db; write %2F");
    refused("redis://u:a?b@h", options);
    refused("redis://u:a#b@h", options);
    refused("redis://h?db=1", options);
    refused("redis://h ", "holds a blank or a control character; write %20 for a blank");
    expect_wrong(SPAN("redis://h\0"),
                 "holds a blank or a control character; write %20 for a blank");
    expect_wrong(SPAN("redis://[::1\0]"),
                 "holds a blank or a control character; write %20 for a blank");
}

/* Whatever is done to a URL, no answer and no log line has its password. */
static void password_is_hidden(const char *scheme, const char *whole) {
    static const char bytes[] = "@:/%?#[], \x7F\xC3"
                                "a";
    for (size_t at = strlen(scheme); at < strlen(whole); at++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            char text[100], room[REDIS_URL_WRITTEN_MAX];
            struct builder out = builder_over(text, sizeof text);
            builder_bytes(&out, whole, at);
            builder_byte(&out, bytes[i]);
            builder_text(&out, whole + at);
            assert_false(out.full);
            const char *wrong = parse(builder_span(&out));
            out = builder_over(room, sizeof room);
            redis_url_write(&out, &url);
            assert_false(out.full);
            assert_null(memmem(out.at, out.len, "s3kr1", 5));
            assert_null(memmem(out.at, out.len, "3kr1t", 5));
            if (wrong != NULL)
                assert_null(strstr(wrong, "kr1"));
        }
    }
}

static void test_the_password_is_told_to_nobody(void **state) {
    (void)state;
    password_is_hidden("redis://", "redis://ann:s3kr1t@h:6379/0");
    password_is_hidden("redis+sentinel://", "redis+sentinel://ann:s3kr1t@h:6379,g/main/0");
}

static void written(const char *text, const char *want) {
    assert_null(parse(span_text(text)));
    char room[REDIS_URL_WRITTEN_MAX];
    struct builder out = builder_over(room, sizeof room);
    redis_url_write(&out, &url);
    assert_false(out.full);
    if (!span_equal(builder_span(&out), span_text(want)))
        fail_msg("%.*s, not %s", SPAN_ARG(builder_span(&out)), want);
}

static void test_what_is_logged(void **state) {
    (void)state;
    written("redis://h", "redis://h:6379/0");
    written("redis://[::1]:7/3", "redis://[::1]:7/3");
    written("redis://:secret@h", "redis://:***@h:6379/0");
    written("redis://ann@h/1", "redis://ann@h:6379/1");
    written("redis://ann:secret@h", "redis://ann:***@h:6379/0");
    written("redis://a%40b%2f%C3%A4~.:x@h", "redis://a%40b%2F%C3%A4~.:***@h:6379/0");
    written("redis+sentinel://h,[::1]:7/main", "redis+sentinel://h:26379,[::1]:7/main/0");
    written("redis+sentinel://ann:secret@h/main/3", "redis+sentinel://ann:***@h:26379/main/3");

    /* The longest of all fits. */
    memset(&url, 0, sizeof url);
    url.kind = REDIS_URL_SENTINEL;
    url.sentinel_count = REDIS_URL_SENTINELS_MAX;
    memset(url.name, 'a', REDIS_URL_NAME_BYTES_MAX);
    for (unsigned i = 0; i < REDIS_URL_SENTINELS_MAX; i++) {
        memset(url.sentinels[i].host, 'a', URL_HOST_BYTES_MAX);
        url.sentinels[i].is_v6 = true;
        url.sentinels[i].port = 65535;
    }
    memset(url.user, '@', REDIS_URL_USER_BYTES_MAX);
    memset(url.host, 'a', URL_HOST_BYTES_MAX);
    url.password[0] = 'x';
    url.is_v6 = true;
    url.port = 65535;
    url.db = REDIS_DB_MAX;
    char room[REDIS_URL_WRITTEN_MAX];
    struct builder out = builder_over(room, sizeof room);
    redis_url_write(&out, &url);
    assert_false(out.full);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_taken),
        cmocka_unit_test(test_sentinels_that_are_taken),
        cmocka_unit_test(test_sentinels_that_are_refused),
        cmocka_unit_test(test_the_most_sentinels),
        cmocka_unit_test(test_the_longest),
        cmocka_unit_test(test_other_kinds_are_known),
        cmocka_unit_test(test_a_cluster),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_the_password_is_told_to_nobody),
        cmocka_unit_test(test_what_is_logged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
