/* Every message that is asked for is counted once: by its state, or by the error code. */
#include "tests/support/fake_http.h"

#include "ingest/api/auth.c"

static struct peer *api;
static uint64_t counted; /* before the request */

static int setup(void **state) {
    (void)state;
    fake_config.max_body_bytes = 200000;
    fake_config.memory_bytes = 1 << 20; /* dealt out in small portions */
    http_node_open();
    api = api_connect();
    counted = 0;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

static uint64_t results(unsigned class, enum result_word word) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < fake_server.worker_count; i++)
        sum += stats_get(&fake_server.workers[i].stats.results[class][word]);
    return sum;
}

static uint64_t results_all(void) {
    uint64_t sum = 0;
    for (unsigned class = 0; class < RESULT_CLASSES; class ++)
        for (unsigned word = 0; word < RESULT_COUNT; word++)
            sum += results(class, (enum result_word)word);
    return sum;
}

/* Of all results exactly this one has grown since the last look, by so many. */
static void grown_check(unsigned class, enum result_word word, unsigned by, int line) {
    static uint64_t before[RESULT_CLASSES][RESULT_COUNT];
    if (counted == 0)
        memset(before, 0, sizeof before);
    if (results(class, word) != before[class][word] + by)
        fail_msg("line %d: %s of class %u", line, result_text(word), class);
    assert_int_equal(results_all(), counted + by);
    counted += by;
    before[class][word] += by;
}

#define assert_grown(class, word, by) grown_check(class, word, by, __LINE__)

static void test_served_requests(void **state) {
    (void)state;
    ask(api, JSON_POST("/v1/messages", "{\"to\":\"x\"}"));
    assert_grown(CLASS_DEFAULT, RESULT_ABSENT, 1);
    ask(api, JSON_POST("/v1/clients/x?volatile=1", "7"));
    assert_grown(CLASS_VOLATILE, RESULT_DROPPED, 1);
    ask(api, JSON_POST("/v1/messages", "{\"to\":"));
    assert_grown(CLASS_UNKNOWN, RESULT_BAD_JSON, 1);
    ask(api, JSON_POST("/v1/clients/x", "7 7"));
    assert_grown(CLASS_UNKNOWN, RESULT_BAD_JSON, 1);
    ask(api, JSON_POST("/v1/broadcast?wait=ack", "7"));
    assert_grown(CLASS_UNKNOWN, RESULT_BAD_MESSAGE, 1);
    ask(api, JSON_POST("/v1/messages?x=1", "{\"to\":\"x\"}"));
    assert_grown(CLASS_UNKNOWN, RESULT_BAD_MESSAGE, 1);
    ask(api, post("/v1/messages", "image/png", "x"));
    assert_grown(CLASS_UNKNOWN, RESULT_UNSUPPORTED_MEDIA_TYPE, 1);
    /* What asks for no message counts none. */
    ask(api, GET("/v1/messages/m1"));
    ask(api, GET("/nope"));
    ask(api, GET("/v1/messages"));
    ask(api, JSON_POST("/v1/nope", "7"));
    ask(api, DEL("/v1/clients/x?y=1"));
    assert_int_equal(results_all(), counted);
}

static void test_batches(void **state) {
    (void)state;
    ask(api, JSON_POST("/v1/messages", "[{\"to\":\"x\"},{\"to\":\"x\"},{\"to\":\"x\"}]"));
    assert_grown(CLASS_DEFAULT, RESULT_ABSENT, 3);
    ask(api, JSON_POST("/v1/messages", "[{\"to\":7},{}]"));
    assert_grown(CLASS_UNKNOWN, RESULT_BAD_MESSAGE, 2);
    ask(api, JSON_POST("/v1/messages", "[{\"to\":\"x\"},{\"to\":\"x\"}"));
    assert_grown(CLASS_UNKNOWN, RESULT_BAD_JSON, 1);
    ask(api, JSON_POST("/v1/messages", "[]"));
    assert_int_equal(results_all(), counted);
    static char many[3 * BATCH_MESSAGES_MAX];
    struct builder out = builder_over(many, sizeof many);
    builder_text(&out, "[7");
    for (unsigned i = 0; i < BATCH_MESSAGES_MAX; i++)
        builder_text(&out, ",7");
    builder_bytes(&out, "]", 2);
    ask(api, JSON_POST("/v1/messages", many));
    assert_grown(CLASS_UNKNOWN, RESULT_TOO_LARGE, 1);
}

#define BEGUN(length) "POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Length: " length

/* Refused before the body was read, or while it came. */
static void test_unread_bodies(void **state) {
    (void)state;
    ask(api, BEGUN("200001\r\n\r\n"));
    assert_grown(CLASS_UNKNOWN, RESULT_TOO_LARGE, 1);
    api = api_connect();
    ask(api, "POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
             "fffff\r\n");
    assert_grown(CLASS_UNKNOWN, RESULT_TOO_LARGE, 1);
    api = api_connect();
    ask(api,
        "POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    ask(api, "nonsense\r\n");
    assert_grown(CLASS_UNKNOWN, RESULT_BAD_MESSAGE, 1);
    api = api_connect();
    ask(api, BEGUN("9\r\n\r\n{"));
    node_pass(31 * NS_PER_S);
    assert_error(api->out, 408, "timeout");
    assert_grown(CLASS_UNKNOWN, RESULT_TIMEOUT, 1);
    api = api_connect();
    ask(api, "POST /nope HTTP/1.1\r\nHost: localhost\r\nContent-Length: 200001\r\n\r\n");
    assert_int_equal(results_all(), counted);
}

/* A request of which not even the target is known asks for a message if it begins with POST. */
static void test_unread_heads(void **state) {
    (void)state;
    ask(api, "POST /v1/broadcast HTTP/1.1\r\nHost: localhost\r\nHost: x\r\n\r\n");
    assert_grown(CLASS_UNKNOWN, RESULT_BAD_MESSAGE, 1);
    api = api_connect();
    ask(api, "POST /v1/clients/x HTTP/1.1\r\nHost : localhost\r\n\r\n");
    assert_grown(CLASS_UNKNOWN, RESULT_BAD_MESSAGE, 1);
    api = api_connect();
    const char *other = "\r\nPOST /v1/broadcast HTTP/3.0\r\nHost: localhost\r\n\r\n";
    assert_int_equal(status_of(ask(api, other)), 505);
    assert_grown(CLASS_UNKNOWN, RESULT_BAD_MESSAGE, 1);
    static char head[HTTP_HEAD_BYTES_MAX + 100];
    memset(head, 'x', sizeof head - 1);
    memcpy(head, "POST /v1/clients/", 17);
    api = api_connect();
    assert_int_equal(status_of(ask(api, head)), 431);
    assert_grown(CLASS_UNKNOWN, RESULT_TOO_LARGE, 1);
    memcpy(head, "GET ", 4);
    api = api_connect();
    assert_int_equal(status_of(ask(api, head)), 431);
    api = api_connect();
    ask(api, "GET /v1/stats HTTP/3.0\r\nHost: localhost\r\n\r\n");
    assert_int_equal(results_all(), counted);
    api = api_connect();
    ask(api, "POS");
    ask(api, "T /v1/clients/x HTT");
    node_pass(11 * NS_PER_S);
    assert_int_equal(status_of(api->out), 408);
    assert_grown(CLASS_UNKNOWN, RESULT_TIMEOUT, 1);
    /* There is no memory to keep it until it is whole. */
    api = api_connect();
    fake_server.budget.ceiling_bytes = 0;
    static char part[4000];
    memset(part, 'x', sizeof part - 1);
    memcpy(part, "POST /v1/clients/", 17);
    peer_say(api, part);
    memcpy(part, "xxxx", 4);
    for (unsigned i = 0; i < 4 && api->out_len == 0; i++)
        peer_say(api, part);
    assert_error(api->out, 503, "overloaded");
    assert_grown(CLASS_UNKNOWN, RESULT_OVERLOADED, 1);
    fake_server.budget.ceiling_bytes = 1 << 20;
}

/* At the memory ceiling: one refusal is one refusal, whatever found that memory is short. */
static void test_no_memory(void **state) {
    (void)state;
    struct stats *stats = &fake_server.workers[0].stats;
    fake_server.budget.ceiling_bytes = 100000;
    ask(api, BEGUN("190000\r\n\r\n"));
    assert_grown(CLASS_UNKNOWN, RESULT_OVERLOADED, 1);
    assert_int_equal(stats_get(&stats->memory_refused), 1);
    /* There was room when it began, and none when it came. */
    fake_server.budget.ceiling_bytes = 1 << 20;
    api = api_connect();
    ask(api, BEGUN("190000\r\n\r\n"));
    fake_server.budget.ceiling_bytes = 0;
    static char piece[4096 + 1];
    memset(piece, ' ', 4096);
    for (unsigned i = 0; i < 40 && api->out_len == 0; i++)
        peer_say(api, piece);
    assert_error(api->out, 503, "overloaded");
    assert_grown(CLASS_UNKNOWN, RESULT_OVERLOADED, 1);
    assert_int_equal(stats_get(&stats->memory_refused), 2);
    fake_server.budget.ceiling_bytes = 0;
    api = api_connect();
    static char large[60000 + 1];
    memset(large, '7', 60000);
    ask(api, JSON_POST("/v1/clients/x", large));
    assert_grown(CLASS_UNKNOWN, RESULT_OVERLOADED, 1);
    assert_int_equal(stats_get(&stats->memory_refused), 3);
    fake_server.budget.ceiling_bytes = 1 << 20;
}

static void test_keys(void **state) {
    (void)state;
    fake_config.api_keys[0] = "secret";
    fake_config.api_key_count = 1;
    ask(api, JSON_POST("/v1/clients/x", "7"));
    assert_grown(CLASS_UNKNOWN, RESULT_UNAUTHORIZED, 1);
    api = api_connect();
    ask(api, BEGUN("190000\r\n\r\n"));
    assert_grown(CLASS_UNKNOWN, RESULT_UNAUTHORIZED, 1);
    api = api_connect();
    ask(api, BEGUN("200001\r\n\r\n"));
    assert_grown(CLASS_UNKNOWN, RESULT_UNAUTHORIZED, 1);
    api = api_connect();
    ask(api, GET("/v1/stats"));
    assert_int_equal(results_all(), counted);
    fake_config.api_key_count = 0;
}

static uint64_t wrong_keys(void) {
    return stats_get(&fake_server.workers[0].stats.auth_failures[LISTENER_API]);
}

/* A wrong key is counted once, however it is refused, and told once a second for an address. */
static void test_wrong_keys(void **state) {
    (void)state;
    fake_config.api_keys[0] = "secret";
    fake_config.api_key_count = 1;
    ask(api, GET("/v1/stats"));
    assert_int_equal(wrong_keys(), 0); /* none was given: a browser asks so first */
    ask(api, "GET /v1/stats HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer guess\r\n\r\n");
    assert_int_equal(wrong_keys(), 1);
    /* A short body, which is read first; one that is not read. */
    ask(api, "POST /v1/broadcast HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer guess\r\n"
             "Content-Length: 1\r\n\r\n");
    ask(api, "7");
    assert_int_equal(wrong_keys(), 2);
    ask(api, "POST /v1/broadcast HTTP/1.1\r\nHost: x\r\nAuthorization: Basic Og==\r\n"
             "Content-Length: 190000\r\n\r\n");
    assert_int_equal(wrong_keys(), 3);
    api = api_connect();
    /* Not even how long a body may be is told to who has no key. */
    ask(api, "POST /v1/broadcast HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer guess\r\n"
             "Content-Length: 200001\r\n\r\n");
    assert_int_equal(wrong_keys(), 4);
    fake_config.api_key_count = 0;
    struct peer_address one = {.bytes = {1}}, two = {.bytes = {2}};
    static struct auth_told known;
    assert_true(told_take(&known, &one, 5 * NS_PER_S));
    assert_true(told_take(&known, &two, 5 * NS_PER_S));
    assert_false(told_take(&known, &one, 6 * NS_PER_S - 1));
    assert_true(told_take(&known, &one, 6 * NS_PER_S));
}

/* Who asks for little finds a place although others have taken theirs. */
static void test_places_of_the_modest(void **state) {
    (void)state;
    for (unsigned i = 0; i < fake_server.worker_count; i++) {
        uint32_t max = fake_server.post.requests_max;
        fake_server.workers[i].requests = max - max / REQUESTS_MODEST_PART;
    }
    ask(api, JSON_POST("/v1/messages", "{\"to\":\"x\"}"));
    assert_grown(CLASS_DEFAULT, RESULT_ABSENT, 1);
    for (unsigned i = 0; i < fake_server.worker_count; i++)
        fake_server.workers[i].admission.modest = 0; /* nothing is little */
    ask(api, JSON_POST("/v1/messages", "{\"to\":\"x\"}"));
    assert_grown(CLASS_DEFAULT, RESULT_OVERLOADED, 1);
    for (unsigned i = 0; i < fake_server.worker_count; i++)
        fake_server.workers[i].requests = 0;
}

/* The last of those places are for producers that ask for little in all. */
static void test_places_of_light_producers(void **state) {
    (void)state;
    struct endpoint *endpoint = &fake_server.workers[0].endpoint;
    uint32_t max = fake_server.post.requests_max, kept = max / REQUESTS_MODEST_PART;
    static const enum standing all[] = {ASKS_MUCH, ASKS_LITTLE_DIVIDED, ASKS_LITTLE,
                                        ASKS_LITTLE_IN_ALL};
    const uint32_t places[] = {max - kept, max - kept / 2, max, max};
    for (unsigned i = 0; i < sizeof(all) / sizeof(*all); i++) {
        endpoint->requests = places[i];
        assert_null(publish_get(endpoint, all[i]));
        endpoint->requests = places[i] - 1;
        struct publish *publish = publish_get(endpoint, all[i]);
        assert_non_null(publish);
        publish_put(endpoint, publish);
    }
    endpoint->requests = 0;
}

static void test_clients(void **state) {
    (void)state;
    struct peer *till = client_connect(0, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    peer_say(till, "{\"type\":\"send\",\"to\":\"x\",\"ref\":1}\n");
    assert_grown(CLASS_UNKNOWN, RESULT_FORBIDDEN, 1);
    fake_config.client_send = true;
    peer_say(till, "{\"type\":\"send\",\"to\":\"x\",\"ref\":1}\n");
    assert_grown(CLASS_DEFAULT, RESULT_ABSENT, 1);
    peer_say(till, "{\"type\":\"send\",\"to\":7,\"ref\":1}\n");
    assert_grown(CLASS_UNKNOWN, RESULT_BAD_MESSAGE, 1);
    static char line[70000];
    memset(line, 'x', sizeof line - 1);
    memcpy(line, "{\"type\":\"send\",", 15);
    fake_config.max_message_bytes = 1000;
    peer_say(till, line);
    assert_non_null(strstr(till->out, "too_large"));
    assert_grown(CLASS_UNKNOWN, RESULT_TOO_LARGE, 1);
    fake_config.client_send = false;
}

/* Every code that a push may be refused with has a result of its name. */
static void test_words(void **state) {
    (void)state;
    const enum code codes[] = {
        CODE_BAD_JSON,     CODE_BAD_MESSAGE, CODE_UNAUTHORIZED, CODE_TOO_LARGE,
        CODE_RATE_LIMITED, CODE_FORBIDDEN,   CODE_ID_REUSED,    CODE_UNSUPPORTED_MEDIA_TYPE,
        CODE_OVERLOADED,   CODE_DRAINING,    CODE_TIMEOUT};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        enum result_word word = result_find(code_word(codes[i]));
        assert_string_equal(result_text(word), code_word(codes[i]));
        assert_true(word >= RESULT_REFUSALS);
    }
    assert_true(result_find("queued") < RESULT_REFUSALS);
    assert_true(result_find("duplicate") < RESULT_REFUSALS);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_served_requests),
        TEST(test_batches),
        TEST(test_unread_bodies),
        TEST(test_unread_heads),
        TEST(test_no_memory),
        TEST(test_keys),
        TEST(test_wrong_keys),
        TEST(test_places_of_the_modest),
        TEST(test_places_of_light_producers),
        TEST(test_clients),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
