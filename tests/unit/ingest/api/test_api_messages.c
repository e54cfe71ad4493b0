/* Messages over HTTP, as objects, arrays, lines, and by path, on a whole engine of two workers. */
#include "tests/support/fake_http.h"

#include "ingest/api/api_batch.c"
#include "ingest/api/api_messages.c"

static struct peer *api, *till;

static int setup(void **state) {
    (void)state;
    http_node_open();
    api = api_connect();
    till = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\",\"groups\":[\"g\"]}\n");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

/* What the client has heard since. */
static void assert_till(const char *wanted) {
    char *heard = peer_heard(till);
    assert_string_equal(heard, wanted);
    free(heard);
}

static void test_one_message(void **state) {
    (void)state;
    assert_answer(ask(api, JSON_POST("/v1/messages", "{\"to\":\"till\",\"id\":\"m1\",\"data\":7}")),
                  202, "{\"id\":\"m1\",\"state\":\"queued\",\"recipients\":1}");
    assert_till("{\"type\":\"message\",\"id\":\"m1\",\"event\":\"message\",\"data\":7}\n");
    assert_answer(
        ask(api, JSON_POST("/v1/messages", "{\"to\":\"till\",\"id\":\"m1\",\"data\":7}")), 200,
        "{\"id\":\"m1\",\"state\":\"duplicate\",\"recipients\":0,\"first\":{\"id\":\"m1\","
        "\"state\":\"queued\",\"recipients\":1}}");
    assert_error(ask(api, JSON_POST("/v1/messages", "{\"to\":\"till\",\"id\":\"m1\",\"data\":8}")),
                 409, "id_reused");
    assert_answer(ask(api, JSON_POST("/v1/messages", "{\"to\":\"nobody\",\"id\":\"m2\"}")), 404,
                  "{\"id\":\"m2\",\"state\":\"absent\",\"recipients\":0}");
    assert_answer(
        ask(api, JSON_POST("/v1/messages", "{\"to\":\"x\",\"id\":\"m3\",\"volatile\":true}")), 202,
        "{\"id\":\"m3\",\"state\":\"dropped\",\"recipients\":0}");
    assert_answer(ask(api, JSON_POST("/v1/messages", "{\"group\":\"none\",\"id\":\"m4\"}")), 202,
                  "{\"id\":\"m4\",\"state\":\"queued\",\"recipients\":0}");
    assert_till("");
}

static void test_refusals(void **state) {
    (void)state;
    const struct {
        const char *type, *body;
        unsigned status;
        const char *wanted; /* in the body */
    } cases[] = {
        {"application/json", "{\"to\":\"till\"", 400, "\"bad_json\""},
        {"application/json", "{\"to\":\"till\",}", 400, "\"offset\":13"},
        {"application/json", "", 400, "\"bad_json\""},
        {"application/json", "7", 400, "\"bad_message\""},
        {"application/json", "{\"too\":\"till\"}", 400, "\"field\":\"too\""},
        {"application/json", "{\"group\":\"g\",\"ack\":true}", 400, "\"field\":\"ack\""},
        {"application/json", "{}", 400, "\"field\":\"to\""},
        {"text/plain", "{\"to\":\"till\"}", 415, "\"unsupported_media_type\""},
        {"application/x-www-form-urlencoded", "to=till", 400, "\"bad_json\""},
        {"application/jsonx", "{\"to\":\"till\"}", 415, "unsupported"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *answer = ask(api, post("/v1/messages", cases[i].type, cases[i].body));
        assert_int_equal(status_of(answer), cases[i].status);
        assert_non_null(strstr(body_of(answer), cases[i].wanted));
    }
    assert_error(ask(api, JSON_POST("/v1/messages?wait=ack", "{\"to\":\"till\"}")), 400,
                 "bad_message");
    assert_error(ask(api, JSON_POST("/v1/messages?wait=no", "{\"to\":\"till\"}")), 400,
                 "bad_message");
    assert_error(ask(api, JSON_POST("/v1/messages?timeout=61", "{\"to\":\"till\"}")), 400,
                 "bad_message");
    assert_error(ask(api, JSON_POST("/v1/messages?x=1", "{\"to\":\"till\"}")), 400, "bad_message");
    assert_till("");
    const char *const types[] = {"application/vnd.x+json", "Application/JSON ; charset=utf-8",
                                 NULL};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(
            status_of(ask(api, post("/v1/messages?timeout=1.5", types[i], "{\"to\":\"till\"}"))),
            202);
}

static void test_array(void **state) {
    (void)state;
    assert_answer(
        ask(api,
            JSON_POST("/v1/messages", " [{\"to\":\"till\",\"id\":\"a\"},\n{\"to\":\"x\",\"id\":"
                                      "\"b\"},{\"id\":7},{\"group\":\"g\",\"id\":\"c\"},"
                                      "{\"to\":\"till\",\"id\":\"a\"},5]")),
        200,
        "[{\"status\":202,\"id\":\"a\",\"state\":\"queued\",\"recipients\":1},"
        "{\"status\":404,\"id\":\"b\",\"state\":\"absent\",\"recipients\":0},"
        "{\"status\":400,\"error\":{\"code\":\"bad_message\",\"message\":\"id is not a string\","
        "\"field\":\"id\"}},"
        "{\"status\":202,\"id\":\"c\",\"state\":\"queued\",\"recipients\":1},"
        "{\"status\":200,\"id\":\"a\",\"state\":\"duplicate\",\"recipients\":0,\"first\":{\"id\":"
        "\"a\",\"state\":\"queued\",\"recipients\":1}},"
        "{\"status\":400,\"error\":{\"code\":\"bad_message\",\"message\":\"a message must be a "
        "JSON "
        "object\"}}]");
    assert_till("{\"type\":\"message\",\"id\":\"a\",\"event\":\"message\",\"data\":null}\n"
                "{\"type\":\"message\",\"id\":\"c\",\"event\":\"message\",\"group\":\"g\","
                "\"data\":null}\n");
    assert_answer(ask(api, JSON_POST("/v1/messages", "[]")), 200, "[]");
    /* Nothing of an array that is no JSON is taken. */
    const char *answer =
        ask(api, JSON_POST("/v1/messages", "[{\"to\":\"till\"},{\"to\":\"till\"}"));
    assert_error(answer, 400, "bad_json");
    assert_non_null(strstr(answer, "\"offset\":28"));
    assert_error(ask(api, JSON_POST("/v1/messages", "[{\"to\":\"till\"}] x")), 400, "bad_json");
    assert_error(ask(api, JSON_POST("/v1/messages?wait=ack", "[{\"to\":\"till\"}]")), 400,
                 "bad_message");
    assert_till("");
}

/* {"to":"till","id":ID,"data":[[...]]}, `depth` deep as a whole. */
static void deep_message(struct builder *out, const char *id, unsigned depth) {
    builder_format(out, "{\"to\":\"till\",\"id\":\"%s\",\"data\":", id);
    for (unsigned i = 1; i < depth; i++)
        builder_byte(out, '[');
    for (unsigned i = 1; i < depth; i++)
        builder_byte(out, ']');
    builder_byte(out, '}');
}

/* An entry may be as deep as a message that comes alone. */
static void test_deep_entries(void **state) {
    (void)state;
    char body[1024];
    for (unsigned depth = 63; depth <= 65; depth++) {
        struct builder out = builder_over(body, sizeof body);
        builder_text(&out, "[{\"to\":\"till\"},");
        deep_message(&out, depth == 63 ? "a" : "b", depth);
        builder_text(&out, "]");
        builder_byte(&out, '\0');
        const char *answer = ask(api, JSON_POST("/v1/messages", body));
        if (depth <= 64) {
            assert_int_equal(status_of(answer), 200);
            assert_int_equal(times(answer, "\"status\":202"), 2);
        } else {
            assert_error(answer, 400, "bad_json");
        }
    }
}

static void test_lines(void **state) {
    (void)state;
    const char *answer =
        ask(api, post("/v1/messages", "application/x-ndjson",
                      "{\"to\":\"till\",\"id\":\"a\"}\r\n\n  \r\n{\"to\":\n{\"broadcast\":true,"
                      "\"id\":\"b\"}"));
    assert_non_null(strstr(answer, "Content-Type: application/x-ndjson\r\n"));
    assert_answer(answer, 200,
                  "{\"status\":202,\"id\":\"a\",\"state\":\"queued\",\"recipients\":1}\n"
                  "{\"status\":400,\"error\":{\"code\":\"bad_json\",\"message\":\"the text ends "
                  "inside an object at byte 6\",\"offset\":6}}\n"
                  "{\"status\":202,\"id\":\"b\",\"state\":\"queued\",\"recipients\":1}\n");
}

static void test_limits_of_a_batch(void **state) {
    (void)state;
    static char body[1 << 16];
    for (unsigned count = 1000; count <= 1001; count++) {
        struct builder out = builder_over(body, sizeof body - 1);
        for (unsigned i = 0; i < count; i++)
            builder_text(&out, i == 0 ? "[{\"to\":\"x\"}" : ",{\"to\":\"x\"}");
        builder_text(&out, "]");
        body[out.len] = '\0';
        const char *answer = ask(api, JSON_POST("/v1/messages", body));
        assert_int_equal(status_of(answer), count == 1000 ? 200 : 413);
        if (count == 1000)
            assert_int_equal(times(answer, "\"state\":\"absent\""), 1000);
        else
            assert_non_null(strstr(answer, "1001 messages; a batch has at most 1000"));
    }
}

/* A turn has time for one message only: the batch goes on in later ones, what is pipelined behind
 * it waits, and nobody else does. */
static void test_a_long_batch(void **state) {
    (void)state;
    struct worker *worker = &fake_server.workers[0];
    uint64_t slice_ns = worker->slice_ns;
    for (unsigned i = 0; i < 2; i++) {
        worker->slice_ns = 0;
        struct peer *other = peer_connect(0, LISTENER_API);
        size_t before = api->out_len;
        if (i == 0)
            peer_send(api, JSON_POST("/v1/messages", "[{\"to\":\"till\",\"id\":\"a\"} , {\"x\":1},"
                                                     "{\"to\":\"till\",\"id\":\"b\"},"
                                                     "{\"to\":\"till\",\"id\":\"c\"}]"));
        else
            peer_send(api, post("/v1/messages", "application/x-ndjson",
                                "{\"to\":\"till\",\"id\":\"e\"}\n\n{\"x\":1}\n"
                                "{\"to\":\"till\",\"id\":\"f\"}\n{\"to\":\"till\",\"id\":\"g\"}"));
        peer_send(api, JSON_POST(i == 0 ? "/v1/clients/till?id=k" : "/v1/clients/till?id=l", "1"));
        node_turns();
        assert_int_equal(api->out_len, before);
        assert_int_equal(status_of(ask(other, GET("/healthz"))), 200);
        node_pass(NS_PER_S);
        const char *answer = api->out + before;
        assert_int_equal(times(answer, "HTTP/1.1 200"), 1);
        assert_int_equal(times(answer, "\"status\":202"), 3);
        assert_int_equal(times(answer, "\"status\":400"), 1);
        char *heard = peer_heard(till);
        const char *at = heard;
        for (const char *id = i == 0 ? "abck" : "efgl"; *id != '\0'; id++) {
            const char wanted[] = {'"', *id, '"', '\0'};
            at = strstr(at, wanted);
            assert_non_null(at);
        }
        free(heard);
        worker->slice_ns = slice_ns;
    }
    /* The producer goes in the middle: what it asked for is done all the same. */
    worker->slice_ns = 0;
    peer_send(api, JSON_POST("/v1/messages", "[{\"to\":\"till\",\"id\":\"h\"},"
                                             "{\"to\":\"till\",\"id\":\"i\"}]"));
    peer_end(api);
    node_pass(NS_PER_S);
    char *heard = peer_heard(till);
    assert_non_null(strstr(heard, "\"h\""));
    assert_non_null(strstr(heard, "\"i\""));
    free(heard);
    worker->slice_ns = slice_ns;
}

/* Sends a request in two parts, so that its body lies in kept input, or chunked, and behind it
 * another one. The answer to the first. */
static const char *ask_in_parts(const char *type, const char *body, bool chunked,
                                const char *behind) {
    static char request[65536];
    struct builder out = builder_over(request, sizeof request);
    size_t len = strlen(body), half = len / 2;
    builder_format(&out, "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\n",
                   type);
    if (chunked)
        builder_format(&out, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", half);
    else
        builder_format(&out, "Content-Length: %zu\r\n\r\n", len);
    builder_bytes(&out, body, half);
    peer_send_bytes(api, builder_span(&out));
    node_settle();
    out = builder_over(request, sizeof request);
    if (chunked)
        builder_format(&out, "\r\n%zx\r\n", len - half);
    builder_text(&out, body + half);
    builder_text(&out, chunked ? "\r\n0\r\n\r\n" : "");
    builder_text(&out, behind);
    size_t before = api->out_len;
    peer_send_bytes(api, builder_span(&out));
    for (unsigned i = 0; i < 200; i++)
        node_turns();
    return api->out + before;
}

static void messages_write(char *body, size_t cap, bool lines, unsigned count, const char *end) {
    struct builder out = builder_over(body, cap);
    for (unsigned i = 0; i < count; i++) {
        builder_text(&out, lines ? "" : i == 0 ? "[" : ",");
        if (i == 20)
            builder_text(&out, "{\"x\":1}");
        else
            builder_format(&out, "{\"to\":\"till\",\"data\":%u}", i);
        builder_text(&out, lines ? "\n" : "");
    }
    builder_text(&out, lines ? "" : end);
    builder_byte(&out, '\0');
}

/* Counting takes several turns as well, and whatever the body lies in goes with the batch. */
static void test_a_batch_is_counted_in_turns(void **state) {
    (void)state;
    static char body[40000];
    struct worker *worker = &fake_server.workers[0];
    uint64_t slice_ns = worker->slice_ns;
    worker->slice_ns = 0;
    for (unsigned way = 0; way < 4; way++) {
        bool lines = (way & 1) != 0, chunked = (way & 2) != 0;
        const char *type = lines ? "application/x-ndjson" : "application/json";
        messages_write(body, sizeof body, lines, 40, "]");
        const char *answer = ask_in_parts(type, body, chunked, JSON_POST("/v1/clients/till", "40"));
        assert_int_equal(times(answer, "HTTP/1.1 200"), 1);
        assert_int_equal(times(answer, "\"status\":202"), 39);
        assert_int_equal(times(answer, "\"status\":400"), 1);
        assert_int_equal(times(answer, "HTTP/1.1 202"), 1);
        char *heard = peer_heard(till);
        const char *at = heard;
        for (unsigned i = 0; i <= 40; i++) {
            char wanted[32];
            snprintf(wanted, sizeof wanted, "\"data\":%u}", i);
            assert_true((i != 20) == (strstr(heard, wanted) != NULL));
            if (i != 20)
                assert_non_null(at = strstr(at, wanted));
        }
        free(heard);
        /* More than a batch has, and what is broken at its end: nothing of it is taken. */
        messages_write(body, sizeof body, lines, 1001, "]");
        answer = ask_in_parts(type, body, chunked, GET("/healthz"));
        assert_int_equal(times(answer, "1001 messages; a batch has at most 1000"), 1);
        assert_int_equal(times(answer, "HTTP/1.1 200"), 1);
        messages_write(body, sizeof body, false, 40, "}");
        answer = ask_in_parts("application/json", body, chunked, GET("/healthz"));
        assert_int_equal(times(answer, "\"bad_json\""), 1);
        assert_int_equal(times(answer, "HTTP/1.1 200"), 1);
        char offset[40];
        snprintf(offset, sizeof offset, "\"offset\":%zu", strlen(body) - 1);
        assert_int_equal(times(answer, offset), 1);
        assert_till("");
    }
    worker->slice_ns = slice_ns;
}

static void test_path(void **state) {
    (void)state;
    const struct {
        const char *path, *type, *body, *heard;
    } cases[] = {
        {"/v1/clients/till?id=a&event=pay+now&ttl=1.5", "application/json", "{\"x\": 1\n}",
         "{\"type\":\"message\",\"id\":\"a\",\"event\":\"pay now\",\"data\":{\"x\": 1}}\n"},
        {"/v1/clients/till?id=b", "text/plain; charset=utf-8", "7 \"q\"",
         "{\"type\":\"message\",\"id\":\"b\",\"event\":\"message\",\"data\":\"7 \\\"q\\\"\"}\n"},
        {"/v1/clients/till?id=c", NULL, "[1,2]",
         "{\"type\":\"message\",\"id\":\"c\",\"event\":\"message\",\"data\":[1,2]}\n"},
        {"/v1/clients/till?id=d", "application/x-www-form-urlencoded", "Hello",
         "{\"type\":\"message\",\"id\":\"d\",\"event\":\"message\",\"data\":\"Hello\"}\n"},
        {"/v1/clients/till?id=e", NULL, "",
         "{\"type\":\"message\",\"id\":\"e\",\"event\":\"message\",\"data\":\"\"}\n"},
        {"/v1/clients/till?id=f", "application/octet-stream", "abc",
         "{\"type\":\"message\",\"id\":\"f\",\"event\":\"message\",\"encoding\":\"base64\","
         "\"data\":\"YWJj\"}\n"},
        {"/v1/clients/till?id=g&raw=1", "application/json", "abc",
         "{\"type\":\"message\",\"id\":\"g\",\"event\":\"message\",\"encoding\":\"base64\","
         "\"data\":\"YWJj\"}\n"},
        {"/v1/clients/till?id=h&raw=false", "application/json", "1",
         "{\"type\":\"message\",\"id\":\"h\",\"event\":\"message\",\"data\":1}\n"},
        {"/v1/groups/g?id=i&group=h", "application/json", "1",
         "{\"type\":\"message\",\"id\":\"i\",\"event\":\"message\",\"group\":[\"g\",\"h\"],"
         "\"data\":1}\n"},
        {"/v1/broadcast?id=j&except=a&except=b", "application/json", "1",
         "{\"type\":\"message\",\"id\":\"j\",\"event\":\"message\",\"data\":1}\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *answer = ask(api, post(cases[i].path, cases[i].type, cases[i].body));
        assert_int_equal(status_of(answer), 202);
        assert_till(cases[i].heard);
    }
    assert_answer(ask(api, JSON_POST("/v1/broadcast?id=k&except=till", "1")), 202,
                  "{\"id\":\"k\",\"state\":\"queued\",\"recipients\":0}");
    assert_till("");
}

static void test_path_refusals(void **state) {
    (void)state;
    const char *const paths[] = {"/v1/clients/till?ack=1&volatile=1",
                                 "/v1/groups/g?ack=1",
                                 "/v1/broadcast?ack=1",
                                 "/v1/clients/till?ack=1&except=a",
                                 "/v1/clients/till?ack=1&wait=no",
                                 "/v1/clients/till?ack=1&wait=ack&timeout=61",
                                 "/v1/clients/till?ackk=1",
                                 "/v1/clients/till?to=b",
                                 "/v1/clients/till?id=a&id=b",
                                 "/v1/clients/till?raw=maybe",
                                 "/v1/clients/till?raw=1&raw=1",
                                 "/v1/clients/till?wait=ack",
                                 "/v1/clients/till?ttl=0",
                                 "/v1/clients/till?event=%zz",
                                 "/v1/clients/till?%ff=1",
                                 "/v1/clients/%00",
                                 "/v1/groups/%0a",
                                 "/v1/broadcast?to=till",
                                 "/v1/broadcast?group=g",
                                 "/v1/broadcast?data=1",
                                 "/v1/clients/till?timeout=-1",
                                 "/v1/clients/till?namespace=/x"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        assert_error(ask(api, JSON_POST(paths[i], "1")), 400, "bad_message");
    assert_error(ask(api, JSON_POST("/v1/clients/till", "{\"a\":")), 400, "bad_json");
    assert_error(ask(api, post("/v1/clients/till", "text/plain", "\xff")), 400, "bad_message");
    assert_till("");
}

/* A byte order mark is no JSON, wherever JSON may be meant; a text may begin with one. */
static void test_marks(void **state) {
    (void)state;
    static const char *const types[] = {"application/json", "application/x-www-form-urlencoded",
                                        "application/merge+json"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        const char *answer = ask(api, post("/v1/clients/till", types[i], "\xEF\xBB\xBF{}"));
        assert_error(answer, 400, "bad_json");
        assert_non_null(strstr(answer, "a byte order mark at byte 0"));
        assert_error(ask(api, post("/v1/clients/till", types[i], "\xEF\xBB\xBFhello")), 400,
                     "bad_json");
        assert_error(ask(api, post("/v1/clients/till", types[i], "\xFF\xFEh")), 400, "bad_json");
    }
    assert_error(ask(api, post("/v1/clients/till", NULL, "\xEF\xBB\xBF")), 400, "bad_json");
    assert_error(ask(api, JSON_POST("/v1/messages", "\xEF\xBB\xBF{\"to\":\"till\"}")), 400,
                 "bad_json");
    assert_error(ask(api, JSON_POST("/v1/messages", "\xEF\xBB\xBF[{\"to\":\"till\"}]")), 400,
                 "bad_json");
    const char *answer =
        ask(api, post("/v1/messages", "application/x-ndjson",
                      "\xEF\xBB\xBF{\"to\":\"till\"}\n{\"to\":\"till\",\"id\":\"a\"}"));
    assert_int_equal(times(answer, "\"code\":\"bad_json\""), 1);
    assert_int_equal(times(answer, "\"status\":202"), 1);
    assert_till("{\"type\":\"message\",\"id\":\"a\",\"event\":\"message\",\"data\":null}\n");
    assert_int_equal(
        status_of(ask(api, post("/v1/clients/till?id=b", "text/plain", "\xEF\xBB\xBFx"))), 202);
    assert_till("{\"type\":\"message\",\"id\":\"b\",\"event\":\"message\","
                "\"data\":\"\xEF\xBB\xBFx\"}\n");
}

static const char *encoded(const char *path, const char *type, const char *coding,
                           const char *body) {
    static char request[512];
    snprintf(request, sizeof request,
             "POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Encoding: "
             "%s\r\nContent-Length: %zu\r\n\r\n%s",
             path, type, coding, strlen(body), body);
    return request;
}

/* A packed body would reach clients packed and unmarked, or be empty lines. */
static void test_codings(void **state) {
    (void)state;
    static const char *const rows[][2] = {{"/v1/messages", "application/x-ndjson"},
                                          {"/v1/messages", "application/json"},
                                          {"/v1/clients/till", "application/xml"},
                                          {"/v1/clients/till?raw=1", "text/plain"},
                                          {"/v1/broadcast", "text/plain"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *answer = ask(api, encoded(rows[i][0], rows[i][1], "gzip", "\x1f\x8b"));
        assert_error(answer, 415, "unsupported_media_type");
        assert_non_null(strstr(answer, "Accept-Encoding: identity\r\n"));
    }
    assert_till("");
    assert_int_equal(
        status_of(ask(api, encoded("/v1/clients/till?id=a", "text/plain", "Identity", "x"))), 202);
}

/* A character of another set would arrive as another one. */
static void test_charsets(void **state) {
    (void)state;
    static const struct {
        const char *path, *type, *body;
        unsigned status;
    } rows[] = {
        {"/v1/clients/till", "text/plain; charset=GBK", "\302\241", 415},
        {"/v1/clients/till", "text/plain; charset=GBK", "plain", 202},
        {"/v1/clients/till", "text/plain; charset=utf-8", "\302\241", 202},
        {"/v1/clients/till", "text/plain; charset=utf-16", "plain", 415},
        {"/v1/clients/till", "application/json; charset=iso-8859-1", "\"\302\241\"", 415},
        {"/v1/clients/till", "application/x-www-form-urlencoded; charset=koi8-r", "\302\241", 415},
        {"/v1/clients/till?raw=1", "text/plain; charset=GBK", "\302\241", 202},
        {"/v1/clients/till", "application/xml; charset=GBK", "\302\241", 202},
        {"/v1/messages", "application/json; charset=utf-16", "{\"to\":\"till\"}", 415},
        {"/v1/messages", "application/json; charset=us-ascii", "{\"to\":\"till\"}", 202},
        {"/v1/messages", "application/x-ndjson; charset=shift_jis", "{\"to\":\"till\"}", 415},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *answer = ask(api, post(rows[i].path, rows[i].type, rows[i].body));
        if (status_of(answer) != rows[i].status)
            fail_msg("%s %s: %s", rows[i].path, rows[i].type, answer);
    }
}

static void test_payload_limit(void **state) {
    (void)state;
    static char body[70000];
    memset(body, '1', 65537);
    assert_error(ask(api, JSON_POST("/v1/clients/till", body)), 413, "too_large");
    body[65536] = '\0';
    assert_int_equal(status_of(ask(api, JSON_POST("/v1/clients/till", body))), 202);
    memset(body, 'x', 65535);
    body[65535] = '\0';
    assert_error(ask(api, post("/v1/clients/till", "text/plain", body)), 413, "too_large");
    assert_error(ask(api, post("/v1/clients/till?raw=1", "text/plain", body)), 413, "too_large");
}

/* With no publish left, a batch is 503 as a whole if none was taken, and stands alone otherwise. */
static void test_overload(void **state) {
    (void)state;
    fake_server.post.requests_max = 0;
    const char *answer = ask(api, JSON_POST("/v1/messages", "{\"to\":\"till\"}"));
    assert_error(answer, 503, "overloaded");
    assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
    answer = ask(api, JSON_POST("/v1/messages", "[{\"to\":\"till\"},{\"x\":1},{\"to\":\"x\"}]"));
    assert_error(answer, 503, "overloaded");
    assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
    assert_int_equal(status_of(ask(api, JSON_POST("/v1/messages", "[{\"x\":1}]"))), 200);
    assert_error(ask(api, GET("/v1/clients/till")), 503, "overloaded");
    /* The other worker has to answer the first, which is under way when the second comes. */
    fake_server.post.requests_max = 1;
    answer = ask(api, JSON_POST("/v1/messages", "[{\"broadcast\":true},{\"broadcast\":true}]"));
    assert_int_equal(status_of(answer), 200);
    assert_int_equal(times(answer, "\"status\":202"), 1);
    assert_int_equal(times(answer, "\"status\":503"), 1);
    fake_server.post.requests_max = 100;
}

static void behind(void) {
    struct admission *admission = &fake_server.workers[0].admission;
    admission->late_ns = admission->lag_ns = 0; /* whoever waited at all is late */
    admission->patience_ns = 0;
    admission->modest = 0;
    admission->time_ns = NS_PER_MS;
    atomic_store(&fake_server.post.boxes[0].late_ns, 1);
}

static void assert_behind(const char *request) {
    behind();
    const char *answer = ask(api, request);
    assert_error(answer, 503, "overloaded");
    assert_non_null(strstr(answer, "more is pushed than this node can serve"));
    assert_non_null(strstr(answer, "Retry-After: 1\r\n"));
}

/* Everything that pushes is refused, whatever is in it; everything else is answered. */
static void test_behind(void **state) {
    (void)state;
    assert_behind(JSON_POST("/v1/messages", "{\"to\":\"till\"}"));
    assert_behind(JSON_POST("/v1/messages", "[{\"to\":\"till\"},{\"to\":\"till\"}]"));
    assert_behind(JSON_POST("/v1/clients/till", "1"));
    assert_behind(JSON_POST("/v1/groups/g", "1"));
    assert_behind(JSON_POST("/v1/broadcast", "1"));
    assert_int_equal(stats_get(&fake_server.workers[0].stats.behind_refused), 5);
    assert_till("");
    behind();
    assert_int_equal(status_of(ask(api, GET("/v1/clients/till"))), 200);
    behind();
    assert_int_equal(status_of(ask(api, GET("/healthz"))), 200);
    admission_init(&fake_server.workers[0].admission);
    assert_int_equal(status_of(ask(api, JSON_POST("/v1/clients/till", "1"))), 202);
}

static void test_get_message(void **state) {
    (void)state;
    assert_error(ask(api, GET("/v1/messages/m1")), 404, "not_found");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_one_message),
        TEST(test_refusals),
        TEST(test_array),
        TEST(test_deep_entries),
        TEST(test_marks),
        TEST(test_lines),
        TEST(test_limits_of_a_batch),
        TEST(test_a_long_batch),
        TEST(test_a_batch_is_counted_in_turns),
        TEST(test_path),
        TEST(test_path_refusals),
        TEST(test_payload_limit),
        TEST(test_overload),
        TEST(test_behind),
        TEST(test_get_message),
        TEST(test_codings),
        TEST(test_charsets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
