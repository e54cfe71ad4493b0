#include "tests/support/cmocka_first.h"

#include "ingest/api/auth.c"

static struct config config;
static struct http_request request;

static void header(struct span *at, const char *value) {
    *at = value == NULL ? span_of(NULL, 0) : span_text(value);
}

static void ask(const char *host, const char *origin, const char *authorization) {
    header(&request.host, host);
    header(&request.origin, origin);
    header(&request.authorization, authorization);
}

static enum code api(bool open) {
    return auth_api(&config, &request, open).code;
}

static void test_without_keys(void **state) {
    (void)state;
    config = (struct config){0};
    ask("localhost:8081", NULL, NULL);
    assert_int_equal(api(false), CODE_NONE);
    ask("localhost:8081", "http://localhost:8081", NULL);
    assert_int_equal(api(false), CODE_FORBIDDEN);
    assert_int_equal(api(true), CODE_FORBIDDEN);
    ask("localhost", "", NULL);
    assert_int_equal(api(false), CODE_FORBIDDEN);
    ask("evil.example", NULL, NULL);
    assert_int_equal(api(true), CODE_FORBIDDEN);
    ask("", NULL, NULL);
    assert_int_equal(api(false), CODE_FORBIDDEN);
    ask(NULL, NULL, NULL); /* HTTP/1.0 */
    assert_int_equal(api(false), CODE_NONE);
}

static void test_keys(void **state) {
    (void)state;
    hash_init(NULL);
    config = (struct config){.api_keys = {"first key", "b:c"}, .api_key_count = 2};
    ask("evil.example", "http://evil.example", NULL);
    assert_int_equal(api(true), CODE_NONE);
    assert_int_equal(api(false), CODE_UNAUTHORIZED);
    const struct {
        const char *authorization;
        int place; /* -1: refused */
    } cases[] = {
        {"Bearer first key", 0},
        {"bearer  b:c", 1},
        {"Bearer first key2", -1},
        {"Bearer first", -1},
        {"Bearer ", -1},
        {"Bearer", -1},
        {"first key", -1},
        {"Basic Zm9vOmZpcnN0IGtleQ==", 0}, /* foo:first key */
        {"BASIC OmI6Yw==", 1},             /* :b:c */
        {"Basic Zmlyc3Qga2V5", -1},        /* first key, and no colon */
        {"Basic Zm9vOmZpcnN0IGtleQ", -1},  /* padding is missing */
        {"Basic !", -1},
        {"Digest first key", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ask(NULL, NULL, cases[i].authorization);
        struct auth auth = auth_api(&config, &request, false);
        assert_int_equal(auth.code, cases[i].place < 0 ? CODE_UNAUTHORIZED : CODE_NONE);
        if (cases[i].place >= 0)
            assert_int_equal(auth.key_place, cases[i].place);
        assert_null(strstr(auth.message, "first"));
    }
    char large[4096] = "Basic ";
    memset(large + 6, 'A', 4000);
    ask(NULL, NULL, large);
    assert_int_equal(api(false), CODE_UNAUTHORIZED);
}

static void test_places_of_keys(void **state) {
    (void)state;
    hash_init(NULL);
    struct config keys = {.api_key_count = 3, .api_keys = {"one", "two", "one"}};
    assert_int_equal(key_find(&keys, SPAN("one")), 0);
    assert_int_equal(key_find(&keys, SPAN("two")), 1);
    assert_int_equal(key_find(&keys, SPAN("tw")), -1);
    assert_int_equal(key_find(&keys, SPAN("twoo")), -1);
    assert_int_equal(key_find(&keys, SPAN("")), -1);
    keys.api_key_count = 0;
    assert_int_equal(key_find(&keys, SPAN("one")), -1);
}

static uint64_t producer(const struct config *keys, struct auth_seen *seen, const char *key) {
    static const struct peer_address peer = {.bytes = {127}};
    ask("localhost", NULL, key);
    return auth_producer(keys, &request, &peer, seen);
}

static void test_producers(void **state) {
    (void)state;
    static const struct peer_address peer = {.bytes = {127}}, other = {.bytes = {126}};
    struct config keys = {.api_key_count = 2, .api_keys = {"one", "two"}};
    struct auth_seen seen = {.config = NULL};
    hash_init(NULL);
    assert_int_equal(producer(&keys, &seen, "Bearer one"), producer_of_key(0));
    assert_int_equal(producer(&keys, &seen, "Bearer one"), producer_of_key(0));
    assert_int_equal(producer(&keys, &seen, "Bearer two"), producer_of_key(1));
    assert_int_equal(producer(&keys, &seen, "Basic eDp0d28="), producer_of_key(1)); /* x:two */
    /* Who has none, or a wrong one, does not push in the name of a key. */
    assert_int_equal(producer(&keys, &seen, "Bearer three"), producer_of_address(&peer));
    assert_int_equal(producer(&keys, &seen, NULL), producer_of_address(&peer));
    /* After a reload the same header may be another key. */
    struct config later = {.api_key_count = 2, .api_keys = {"two", "one"}};
    assert_int_equal(producer(&later, &seen, "Bearer two"), producer_of_key(0));
    /* With one key all are of it; without one it is the address. */
    keys.api_key_count = 1;
    assert_int_equal(producer(&keys, &seen, "Bearer x"), producer_of_key(0));
    keys.api_key_count = 0;
    assert_int_equal(producer(&keys, &seen, NULL), producer_of_address(&peer));
    assert_int_not_equal(producer_of_address(&peer), producer_of_address(&other));
    assert_true(producer_of_client(1) > producer_of_key(API_KEYS_MAX - 1));
    assert_true(producer_of_address(&peer) != 0 && producer_of_client(0) != 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_keys),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_places_of_keys),
        cmocka_unit_test(test_producers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
