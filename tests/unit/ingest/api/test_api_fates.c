/* Acknowledged messages over HTTP, on a whole engine of two workers: who waits, who asks, who takes
 * back; and that waits end with their connection, and in a drain. */
#include "tests/support/fake_http.h"

static struct peer *api, *till;

static int setup(void **state) {
    (void)state;
    fake_config.drain_timeout_ns = 10 * NS_PER_S;
    http_node_open();
    api = api_connect();
    till = client_connect(1, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    return 0;
}

static int setup_with_little_room(void **state) {
    fake_config.outbox_bytes = 2048;
    return setup(state);
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

static uint64_t total(size_t offset) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < fake_server.worker_count; i++)
        sum +=
            stats_get((_Atomic uint64_t *)(void *)((char *)&fake_server.workers[i].stats + offset));
    return sum;
}
#define TOTAL(member) total(offsetof(struct stats, member))
#define COUNTED(word) total(offsetof(struct stats, results[CLASS_ACK][RESULT_##word]))

static void ack(struct peer *peer, const char *id) {
    char line[128];
    snprintf(line, sizeof line, "{\"type\":\"ack\",\"id\":\"%s\"}\n", id);
    peer_say(peer, line);
}

static const char *const to_till = "{\"to\":\"till\",\"ack\":true,\"id\":\"m1\",\"data\":1}";
static const char *const to_away = "{\"to\":\"away\",\"ack\":true,\"id\":\"m1\",\"data\":1}";

#define WAIT "/v1/messages?wait=ack"

/* --- wait=ack --------------------------------------------------------------------------------- */

static void test_acked(void **state) {
    (void)state;
    assert_string_equal(ask(api, JSON_POST(WAIT, to_till)), "");
    assert_int_equal(TOTAL(waits), 1);
    assert_non_null(strstr(till->out, "\"id\":\"m1\""));
    assert_int_equal(COUNTED(QUEUED), 0);
    fake_now_ns += 250 * NS_PER_MS;
    ack(till, "m1");
    assert_int_equal(status_of(api->out), 200);
    assert_non_null(strstr(
        api->out, "{\"id\":\"m1\",\"state\":\"acked\",\"recipients\":1,\"latency_ms\":250."));
    assert_int_equal(TOTAL(waits), 0);
    assert_int_equal(COUNTED(ACKED), 1);
    /* The repeat has nothing to wait for. */
    assert_answer(ask(api, JSON_POST(WAIT, to_till)), 200,
                  "{\"id\":\"m1\",\"state\":\"duplicate\",\"recipients\":0,\"first\":{\"id\":"
                  "\"m1\",\"state\":\"queued\",\"recipients\":1},\"now\":\"acked\"}");
    assert_int_equal(COUNTED(DUPLICATE), 1);
}

static void test_a_time_that_is_over(void **state) {
    (void)state;
    assert_string_equal(ask(api, JSON_POST(WAIT, to_away)), "");
    node_pass(4900 * NS_PER_MS);
    assert_int_equal(api->out_len, 0);
    node_pass(200 * NS_PER_MS);
    assert_answer(api->out, 202, "{\"id\":\"m1\",\"state\":\"pending\",\"recipients\":0}");
    assert_int_equal(COUNTED(PENDING), 1);
    assert_int_equal(TOTAL(waits), 0);
    /* None at all; and fractions. */
    assert_answer(
        ask(api, JSON_POST(WAIT "&timeout=0", "{\"to\":\"away\",\"ack\":true,\"id\":\"m2\"}")), 202,
        "{\"id\":\"m2\",\"state\":\"pending\",\"recipients\":0}");
    assert_string_equal(ask(api, JSON_POST(WAIT "&timeout=0.5", to_away)), "");
    node_pass(600 * NS_PER_MS);
    assert_non_null(strstr(api->out, "\"state\":\"duplicate\""));
    assert_non_null(strstr(api->out, "\"now\":\"pending\"}"));
}

/* The rest of a request that is refused behind an answer that is owed still is not carried out. */
static void test_a_request_that_is_late_meanwhile(void **state) {
    (void)state;
    peer_say(api,
             post("/v1/clients/away?ack=1&id=m1&wait=ack&timeout=60", "application/json", "1"));
    peer_say(api, "POST /v1/clients/away?ack=1&id=m2 HTTP/1.1\r\nHost: localhost\r\n"
                  "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "1\r\n1\r\n");
    node_pass(31 * NS_PER_S);
    assert_int_equal(api->out_len, 0);
    peer_say(api, "0\r\n\r\n");
    node_pass(30 * NS_PER_S);
    assert_int_equal(status_of(api->out), 202);
    assert_non_null(strstr(api->out, "HTTP/1.1 408 "));
    assert_int_equal(status_of(ask(api_connect(), GET("/v1/messages/m2"))), 404);
}

static void test_expired_and_withdrawn(void **state) {
    (void)state;
    assert_string_equal(ask(api, post("/v1/clients/away?ack=1&ttl=2&id=m1&wait=ack&timeout=60",
                                      "application/json", "1")),
                        "");
    node_pass(2100 * NS_PER_MS);
    assert_answer(api->out, 410, "{\"id\":\"m1\",\"state\":\"expired\",\"recipients\":0}");
    assert_int_equal(COUNTED(EXPIRED), 1);
    assert_string_equal(ask(api, JSON_POST(WAIT, "{\"to\":\"away\",\"ack\":true,\"id\":\"m2\"}")),
                        "");
    struct peer *other = api_connect();
    assert_non_null(strstr(ask(other, DEL("/v1/messages/m2")), "\"reason\":\"withdrawn\""));
    assert_answer(
        api->out, 202,
        "{\"id\":\"m2\",\"state\":\"dropped\",\"recipients\":0,\"reason\":\"withdrawn\"}");
}

static void test_several_ids(void **state) {
    (void)state;
    assert_string_equal(
        ask(api, JSON_POST(WAIT "&timeout=1",
                           "{\"to\":[\"till\",\"away\"],\"ack\":true,\"id\":\"m1\",\"data\":1}")),
        "");
    ack(till, "m1");
    assert_int_equal(api->out_len, 0);
    node_pass(1100 * NS_PER_MS);
    assert_answer(api->out, 202,
                  "{\"id\":\"m1\",\"state\":\"pending\",\"recipients\":1,"
                  "\"to\":{\"away\":\"pending\",\"till\":\"acked\"}}");
}

/* An answer that is longer than the room that answers usually have. */
static void test_many_ids(void **state) {
    (void)state;
    static char body[1 << 17];
    struct builder out = builder_over(body, sizeof body - 1);
    builder_text(&out, "{\"id\":\"m1\",\"ack\":true,\"to\":[");
    for (unsigned i = 0; i < ADDRESSES_PER_MESSAGE_MAX; i++)
        builder_format(&out, "%s\"till-%04u\"", i == 0 ? "" : ",", i);
    builder_text(&out, "]}");
    body[out.len] = '\0';
    const char *answer = ask(api, JSON_POST("/v1/messages", body));
    assert_int_equal(status_of(answer), 202);
    assert_int_equal(times(answer, "\":\"pending\""), 1000);
    assert_non_null(strstr(answer, ",\"till-0999\":\"pending\"}}\n"));
    answer = ask(api, GET("/v1/messages/m1"));
    assert_int_equal(status_of(answer), 200);
    assert_int_equal(times(body_of(answer), "-"), 1000 + 2); /* and a date */
    /* In a batch as well. */
    static char batch[(1 << 18) + 32];
    out = builder_over(batch, sizeof batch - 1);
    builder_format(&out, "[%s,%s,{\"to\":\"a\"}]", body, body);
    batch[out.len] = '\0';
    answer = ask(api, JSON_POST("/v1/messages", batch));
    assert_int_equal(status_of(answer), 200);
    assert_int_equal(times(answer, "\":\"pending\""), 2000 + 2);
}

static char many[3][1 << 15]; /* messages to many */
static char results[1 << 18]; /* what a batch is to be answered */

static void many_write(void) {
    for (unsigned n = 0; n < 3; n++) {
        struct builder out = builder_over(many[n], sizeof many[n] - 1);
        builder_format(&out, "{\"id\":\"m%u\",\"ack\":true,\"to\":[", n);
        for (unsigned i = 0; i < ADDRESSES_PER_MESSAGE_MAX; i++)
            builder_format(&out, "%s\"till-%04u\"", i == 0 ? "" : ",", i);
        builder_text(&out, "]}");
        assert_false(out.full);
        many[n][out.len] = '\0';
    }
}

/* The message as part of a batch: its text goes to `batch`, and what it is answered to `results`,
 * as if it had come by itself. It has come before. */
static void part_write(struct builder *batch, struct builder *wanted, bool lines, bool first,
                       const char *text) {
    const char *answer = ask(api, JSON_POST("/v1/messages", text));
    const char *around = lines ? "" : first ? "[" : ",";
    builder_format(batch, "%s%s%s", around, text, lines ? "\n" : "");
    builder_format(wanted, "%s{\"status\":%u,", around, status_of(answer));
    builder_bytes(wanted, body_of(answer) + 1, strlen(body_of(answer)) - 2);
    builder_text(wanted, lines ? "\n" : "");
}

/* Long results lie in blocks of the answer from the moment they come, and usual ones between them;
 * nobody sees that in the answer. */
static void test_long_results_of_a_batch(void **state) {
    (void)state;
    static char body[1 << 18];
    const struct quota *answers = &fake_server.answers;
    const char *const usual = "{\"to\":\"away\",\"ack\":true,\"id\":\"u\"}";
    const char *const orders[] = {"abc", "uaub", "auuc", "uuau"};
    struct worker *worker = &fake_server.workers[0];
    uint64_t slice_ns = worker->slice_ns;
    many_write();
    for (unsigned n = 0; n < 3; n++)
        ask(api, JSON_POST("/v1/messages", many[n]));
    ask(api, JSON_POST("/v1/messages", usual));
    for (unsigned i = 0; i < 8; i++) {
        bool lines = i % 2 == 1;
        struct builder out = builder_over(body, sizeof body - 1);
        struct builder wanted = builder_over(results, sizeof results - 1);
        for (const char *of = orders[i / 2]; *of != '\0'; of++)
            part_write(&out, &wanted, lines, of == orders[i / 2],
                       *of == 'u' ? usual : many[*of - 'a']);
        builder_text(&out, lines ? "" : "]");
        builder_text(&wanted, lines ? "" : "]\n");
        assert_false(out.full || wanted.full);
        body[out.len] = results[wanted.len] = '\0';
        const char *type = lines ? "application/x-ndjson" : "application/json";
        worker->slice_ns = 0;
        size_t before = api->out_len;
        uint64_t most = 0;
        peer_send(api, post("/v1/messages", type, body));
        for (unsigned turn = 0; turn < 100; turn++) {
            if (api->out_len == before && quota_used(answers) > most)
                most = quota_used(answers);
            node_turns();
        }
        worker->slice_ns = slice_ns;
        assert_true(most > 1 << 14);
        assert_int_equal(quota_used(answers), 0);
        assert_string_equal(body_of(api->out + before), results);
    }
}

/* Where blocks are short, what was taken is told all the same, without the addresses. */
static void test_long_results_without_memory(void **state) {
    (void)state;
    static char batch[1 << 17];
    many_write();
    struct builder out = builder_over(batch, sizeof batch - 1);
    builder_format(&out, "[%s,%s,%s]", many[0], many[1], many[2]);
    assert_false(out.full);
    batch[out.len] = '\0';
    uint64_t ceiling = fake_server.answers.ceiling_bytes;
    fake_server.answers.ceiling_bytes = 75000; /* of one, and a part of another */
    const char *answer = ask(api, JSON_POST("/v1/messages", batch));
    fake_server.answers.ceiling_bytes = ceiling;
    assert_int_equal(status_of(answer), 200);
    assert_int_equal(times(answer, "\":\"pending\""), 1000);
    assert_int_equal(times(answer, "\"recipients\":0,\"to\":{"), 1);
    assert_int_equal(times(answer, "\"recipients\":0}"), 2);
    const char *second = strstr(answer, "{\"status\":202,\"id\":\"m1\",\"state\":\"stored\"");
    assert_non_null(second);
    assert_non_null(strstr(second, ",{\"status\":202,\"id\":\"m2\",\"state\":\"stored\""));
    assert_null(strstr(second, "\"id\":\"m0\""));
    assert_int_equal(TOTAL(answers_refused), 2);
    assert_int_equal(quota_used(&fake_server.answers), 0);
}

static void test_what_does_not_go_together(void **state) {
    (void)state;
    assert_error(ask(api, JSON_POST(WAIT, "{\"to\":\"till\"}")), 400, "bad_message");
    assert_error(ask(api, JSON_POST("/v1/clients/till?wait=ack", "1")), 400, "bad_message");
    assert_error(ask(api, JSON_POST("/v1/groups/g?wait=ack", "1")), 400, "bad_message");
    assert_error(ask(api, JSON_POST(WAIT "&timeout=60.1", to_till)), 400, "bad_message");
    assert_error(ask(api, JSON_POST("/v1/messages?wait=yes", to_till)), 400, "bad_message");
    assert_error(ask(api, JSON_POST(WAIT, "[{\"to\":\"till\",\"ack\":true}]")), 400, "bad_message");
    assert_error(ask(api, post(WAIT, "application/x-ndjson", "{\"to\":\"till\",\"ack\":true}\n")),
                 400, "bad_message");
    assert_int_equal(fates_count(&fake_server.fates), 0);
    assert_int_equal(till->out_len, 0);
}

/* What is pipelined behind it is carried out meanwhile; only the answers wait. */
static void test_pipelined(void **state) {
    (void)state;
    peer_send(api, JSON_POST(WAIT, to_till));
    peer_send(api, JSON_POST(WAIT, "{\"to\":\"till\",\"ack\":true,\"id\":\"m2\"}"));
    peer_send(api, JSON_POST("/v1/messages", "{\"to\":\"till\",\"id\":\"m3\"}"));
    peer_send(api, GET("/healthz"));
    node_settle();
    assert_int_equal(times(till->out, "\"type\":\"message\""), 3);
    assert_int_equal(api->out_len, 0);
    ack(till, "m2");
    assert_int_equal(api->out_len, 0);
    ack(till, "m1");
    assert_int_equal(times(api->out, "HTTP/1.1 20"), 4);
    const char *first = strstr(api->out, "\"m1\""), *second = strstr(api->out, "\"m2\"");
    assert_true(first != NULL && first < second && second < strstr(api->out, "\"m3\""));
}

/* --- the end of a connection, and of the node --------------------------------------------------
 */

/* Whoever ends and still reads hears what is known; whoever has gone costs nothing. */
static void test_a_producer_that_ends(void **state) {
    (void)state;
    assert_string_equal(ask(api, JSON_POST(WAIT "&timeout=60", to_away)), "");
    assert_int_equal(TOTAL(waits), 1);
    peer_end(api);
    assert_int_equal(TOTAL(waits), 0);
    assert_int_equal(COUNTED(PENDING), 1);
    assert_answer(api->out, 202, "{\"id\":\"m1\",\"state\":\"pending\",\"recipients\":0}");
    assert_true(api->closed);
    /* Several, and none of them is settled too late. */
    struct peer *other = api_connect();
    peer_send(other, JSON_POST(WAIT, to_till));
    peer_send(other, JSON_POST(WAIT, "{\"to\":\"till\",\"ack\":true,\"id\":\"m2\"}"));
    peer_send(other, JSON_POST("/v1/messages", "{\"to\":\"till\"}"));
    node_settle();
    peer_end(other);
    assert_int_equal(TOTAL(waits), 0);
    assert_true(other->closed);
    ack(till, "m2");
    assert_int_equal(TOTAL(acks_acked), 1);
}

/* One that breaks at once, with its message still on its way to the keeper. */
static void test_a_connection_that_closes(void **state) {
    (void)state;
    for (unsigned turns = 0; turns < 12; turns++) {
        struct peer *other = api_connect();
        char body[128];
        snprintf(body, sizeof body, "{\"to\":\"till\",\"ack\":true,\"id\":\"k%u\"}", turns);
        peer_send(other, JSON_POST(WAIT, body));
        for (unsigned i = 0; i < turns; i++)
            worker_turn(&fake_server.workers[i % 2], 0);
        for (unsigned w = 0; w < 2; w++)
            for (uint32_t slot = 1; slot < 20; slot++) {
                struct connection_handle at = {.worker = (uint16_t)w, .slot = slot};
                for (at.generation = 0; at.generation < 40; at.generation++) {
                    struct connection *connection = connection_resolve(&fake_server.workers[w], at);
                    if (connection != NULL && connection->protocol == &api_protocol)
                        connection_close(&fake_server.workers[w], connection, CLOSE_PEER_ERROR);
                }
            }
        node_settle();
        assert_int_equal(TOTAL(waits), 0);
        snprintf(body, sizeof body, "k%u", turns);
        ack(till, body);
    }
    api = api_connect();
    /* Accepted or not, each was counted once. */
    assert_int_equal(COUNTED(PENDING) + COUNTED(ACKED), TOTAL(acks_accepted));
}

static void drain_for(uint64_t ns) {
    for (uint64_t end_ns = fake_now_ns + ns; fake_now_ns < end_ns;) {
        fake_now_ns += 20 * NS_PER_MS;
        node_settle();
        (void)server_step(&fake_server);
    }
    node_settle();
}

static void test_a_drain_lets_it_wait(void **state) {
    (void)state;
    assert_string_equal(ask(api, JSON_POST(WAIT "&timeout=60", to_away)), "");
    struct peer *other = api_connect();
    assert_string_equal(
        ask(other, JSON_POST(WAIT "&timeout=2", "{\"to\":\"away\",\"ack\":true,\"id\":\"m2\"}")),
        "");
    server_drain(&fake_server);
    drain_for(NS_PER_S);
    assert_int_equal(api->out_len + other->out_len, 0);
    drain_for(2 * NS_PER_S);
    assert_answer(other->out, 202, "{\"id\":\"m2\",\"state\":\"pending\",\"recipients\":0}");
    assert_int_equal(api->out_len, 0);
    drain_for(8 * NS_PER_S);
    assert_answer(api->out, 202, "{\"id\":\"m1\",\"state\":\"pending\",\"recipients\":0}");
    assert_int_equal(TOTAL(waits), 0);
}

/* More than may wait at a time are answered at once. */
static void test_too_many_waits(void **state) {
    (void)state;
    for (unsigned i = 0; i < 2; i++)
        fake_server.workers[i].waits.max = 1;
    assert_string_equal(ask(api, JSON_POST(WAIT, to_away)), "");
    struct peer *other = peer_connect(0, LISTENER_API);
    assert_answer(ask(other, JSON_POST(WAIT, "{\"to\":\"away\",\"ack\":true,\"id\":\"m2\"}")), 202,
                  "{\"id\":\"m2\",\"state\":\"pending\",\"recipients\":0}");
    assert_int_equal(TOTAL(waits_refused), 1);
}

/* --- asking ------------------------------------------------------------------------------------
 */

static void test_fates(void **state) {
    (void)state;
    assert_error(ask(api, GET("/v1/messages/m1")), 404, "not_found");
    assert_answer(ask(api, JSON_POST("/v1/messages", to_away)), 202,
                  "{\"id\":\"m1\",\"state\":\"stored\",\"recipients\":0}");
    assert_answer(ask(api, JSON_POST("/v1/messages", "{\"to\":\"till\",\"id\":\"plain\"}")), 202,
                  "{\"id\":\"plain\",\"state\":\"queued\",\"recipients\":1}");
    const char *answer = ask(api, GET("/v1/messages/m1"));
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "{\"id\":\"m1\",\"state\":\"pending\",\"to\":{\"away\":"
                                   "\"pending\"},\"accepted\":\"20"));
    assert_non_null(strstr(answer, "Z\",\"settled\":null}\n"));
    assert_error(ask(api, GET("/v1/messages/plain")), 404, "not_found");
    assert_error(ask(api, GET("/v1/messages/%20")), 404, "not_found");
    assert_error(ask(api, GET("/v1/messages/m1?x=1")), 400, "bad_message");
    struct peer *away = client_connect(0, "{\"type\":\"hello\",\"id\":\"away\"}\n");
    ack(away, "m1");
    answer = ask(api, GET("/v1/messages/m1"));
    assert_non_null(strstr(answer, "\"state\":\"acked\",\"to\":{\"away\":\"acked\"}"));
    assert_non_null(strstr(answer, "Z\",\"settled\":\"20"));
    assert_null(strstr(answer, "reason"));
}

static void test_withdraw(void **state) {
    (void)state;
    assert_error(ask(api, DEL("/v1/messages/m1")), 404, "not_found");
    ask(api, JSON_POST("/v1/messages", "{\"to\":[\"away\",\"till\",\"b\",\"c\"],\"ack\":true,"
                                       "\"id\":\"m1\",\"data\":1}"));
    ack(till, "m1");
    const char *answer = ask(api, DEL("/v1/messages/m1"));
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "\"state\":\"dropped\",\"to\":{\"away\":\"dropped\",\"b\":"
                                   "\"dropped\",\"c\":\"dropped\",\"till\":\"acked\"}"));
    assert_non_null(strstr(answer, "\",\"reason\":\"withdrawn\"}\n"));
    assert_int_equal(TOTAL(acks_dropped[FATE_REASON_WITHDRAWN]), 3);
    assert_int_equal(TOTAL(acks_pending), 0);
    /* What is settled stays as it is. */
    ask(api, JSON_POST("/v1/messages", "{\"to\":\"till\",\"ack\":true,\"id\":\"m2\",\"data\":1}"));
    ack(till, "m2");
    assert_non_null(strstr(ask(api, DEL("/v1/messages/m2")), "\"state\":\"acked\""));
    assert_non_null(strstr(ask(api, DEL("/v1/messages/m1")), "\"state\":\"dropped\""));
    assert_int_equal(TOTAL(acks_dropped[FATE_REASON_WITHDRAWN]), 3);
    /* Nobody gets it any more. */
    client_connect(0, "{\"type\":\"hello\",\"id\":\"away\"}\n");
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(fake_server.workers[i].keeper.kept.count, 0);
}

static void test_pending(void **state) {
    (void)state;
    assert_answer(ask(api, GET("/v1/clients/away/pending")), 200,
                  "{\"count\":0,\"messages\":[],\"next\":null}");
    assert_error(ask(api, GET("/v1/clients/away")), 404, "not_found");
    for (unsigned i = 0; i < 5; i++) {
        char body[128];
        snprintf(body, sizeof body,
                 "{\"to\":\"away\",\"ack\":true,\"id\":\"m%u\",\"event\":\"pay\",\"ttl\":60}", i);
        ask(api, JSON_POST("/v1/messages", body));
    }
    const char *answer = ask(api, GET("/v1/clients/away/pending?limit=2"));
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "{\"count\":5,\"messages\":[{\"id\":\"m0\",\"accepted\":\"20"));
    assert_non_null(strstr(answer, "Z\",\"event\":\"pay\",\"expires\":\"20"));
    assert_int_equal(times(answer, "\"id\":"), 2);
    assert_non_null(strstr(answer, "],\"next\":\"m1\"}\n"));
    answer = ask(api, GET("/v1/clients/away/pending?limit=3&after=m1"));
    assert_non_null(strstr(answer, "[{\"id\":\"m2\","));
    assert_non_null(strstr(answer, "],\"next\":null}\n"));
    answer = ask(api, GET("/v1/clients/away/pending?after=m4"));
    assert_non_null(strstr(answer, "{\"count\":5,\"messages\":[],\"next\":null}\n"));
    /* One that is not pending any more: the oldest that is left comes first. */
    ask(api, DEL("/v1/messages/m0"));
    answer = ask(api, GET("/v1/clients/away/pending?limit=1&after=m0"));
    assert_non_null(strstr(answer, "{\"count\":4,\"messages\":[{\"id\":\"m1\","));
    assert_error(ask(api, GET("/v1/clients/away/pending?limit=0")), 400, "bad_message");
    assert_error(ask(api, GET("/v1/clients/away/pending?limit=1001")), 400, "bad_message");
    assert_error(ask(api, GET("/v1/clients/away/pending?after=a%20b")), 400, "bad_message");
    assert_error(ask(api, GET("/v1/clients/%0a/pending")), 400, "bad_message");
    /* Presence. */
    answer = ask(api, GET("/v1/clients/away"));
    assert_int_equal(status_of(answer), 200);
    assert_non_null(
        strstr(answer, "{\"id\":\"away\",\"sessions\":[],\"pending\":4,\"oldest\":\"20"));
    assert_null(strstr(ask(api, GET("/v1/clients/till")), "pending"));
    ask(api, JSON_POST("/v1/messages", to_till));
    assert_null(strstr(till->out, "m2"));
    ask(api, JSON_POST("/v1/messages", "{\"to\":\"till\",\"ack\":true}"));
    answer = ask(api, GET("/v1/clients/till"));
    assert_non_null(strstr(answer, "\"transport\":"));
    assert_non_null(strstr(answer, "}],\"pending\":1,\"oldest\":\"20"));
}

static void test_statistics(void **state) {
    (void)state;
    ask(api, JSON_POST("/v1/messages", to_away));
    ask(api, JSON_POST("/v1/messages", "{\"to\":\"till\",\"ack\":true,\"id\":\"m2\"}"));
    ask(api, JSON_POST("/v1/messages", "{\"to\":\"away\",\"ack\":true,\"id\":\"m3\"}"));
    ack(till, "m2");
    ask(api, DEL("/v1/messages/m3"));
    const char *answer = ask(api, GET("/v1/stats"));
    assert_non_null(strstr(answer, "\"ledger\":{\"ack\":{\"accepted\":3,\"acked\":1,\"expired\":0,"
                                   "\"pending\":1,\"dropped\":{\"withdrawn\":1,\"lent\":0}},"
                                   "\"default\":{\"made\":0,"));
    assert_non_null(strstr(answer, "\"ack_copies\":{\"made\":1,\"sent\":1,\"waiting\":0,"));
    assert_non_null(strstr(answer, "\"accepted\":3,\"absent\":0,"));
    answer = ask(api, GET("/metrics"));
    static const char *const lines[] = {
        "\nringpost_ledger{class=\"ack\",fate=\"accepted\",reason=\"\"} 3\n",
        "\nringpost_ledger{class=\"ack\",fate=\"pending\",reason=\"\"} 1\n",
        "\nringpost_ledger{class=\"ack\",fate=\"dropped\",reason=\"withdrawn\"} 1\n",
        "\nringpost_ledger{class=\"ack_copies\",fate=\"made\",reason=\"\"} 1\n",
        "\nringpost_fates 3\n",
        "\nringpost_fates_forgotten_total 0\n",
        "\nringpost_messages_total{class=\"ack\",result=\"stored\"} 2\n",
        "\n# TYPE ringpost_ack_oldest_seconds gauge\n",
        "\n# TYPE ringpost_redelivered_total counter\n",
    };
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++)
        if (strstr(answer, lines[i]) == NULL)
            fail_msg("no line %s", lines[i]);
}

/* --- room ------------------------------------------------------------------------------------- */

/* What filled the session's room has expired there: it takes what the keeper has, at once. */
static void test_room_after_what_has_expired(void **state) {
    (void)state;
    static char body[4096];
    snprintf(body, sizeof body, "{\"to\":\"till\",\"ttl\":0.2,\"data\":\"%01500d\"}", 1);
    peer_stall(till, true);
    ask(api, JSON_POST("/v1/messages", "{\"to\":\"till\",\"data\":\"sent\"}"));
    ask(api, JSON_POST("/v1/messages", body));
    snprintf(body, sizeof body, "{\"to\":\"till\",\"ack\":true,\"id\":\"m1\",\"data\":\"%0700d\"}",
             2);
    assert_int_equal(status_of(ask(api, JSON_POST("/v1/messages", body))), 202);
    assert_int_equal(TOTAL(acks_stopped), 1);
    node_pass(300 * NS_PER_MS);
    peer_stall(till, false);
    assert_non_null(strstr(till->out, "\"sent\""));
    assert_null(strstr(till->out, "0001\""));
    assert_non_null(strstr(till->out, "\"id\":\"m1\""));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_acked),
        TEST(test_a_time_that_is_over),
        TEST(test_a_request_that_is_late_meanwhile),
        TEST(test_expired_and_withdrawn),
        TEST(test_several_ids),
        TEST(test_many_ids),
        TEST(test_long_results_of_a_batch),
        TEST(test_long_results_without_memory),
        TEST(test_what_does_not_go_together),
        TEST(test_pipelined),
        TEST(test_a_producer_that_ends),
        TEST(test_a_connection_that_closes),
        TEST(test_a_drain_lets_it_wait),
        TEST(test_too_many_waits),
        TEST(test_fates),
        TEST(test_withdraw),
        TEST(test_pending),
        TEST(test_statistics),
        cmocka_unit_test_setup_teardown(test_room_after_what_has_expired, setup_with_little_room,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
