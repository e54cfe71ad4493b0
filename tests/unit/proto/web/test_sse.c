/* Sessions over server-sent events, on two workers. */
#include "tests/support/fake_http.h"

#include "proto/web/sse.c"

static struct peer *stream, *api;

static void node_begin(void) {
    fake_config.workers = 2;
    fake_config.dedup_window_ns = 120 * NS_PER_S;
    http_node_open();
    api = api_connect();
}

static int setup(void **state) {
    (void)state;
    node_begin();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

static struct peer *stream_open(unsigned worker, const char *query, const char *last) {
    char request[1024];
    struct peer *peer = peer_connect(worker, LISTENER_WEB);
    snprintf(request, sizeof request, "GET /events?%s HTTP/1.1\r\nHost: a\r\n%s%s%s\r\n", query,
             last == NULL ? "" : "Last-Event-ID: ", last == NULL ? "" : last,
             last == NULL ? "" : "\r\n");
    peer_say(peer, request);
    assert_non_null(strstr(peer->out, "event: welcome\n"));
    return peer;
}

static void session_read(const struct peer *peer, char text[64]) {
    const char *at = strstr(peer->out, "\"session\":\"");
    assert_non_null(at);
    size_t len = strcspn(at + 11, "\"");
    memcpy(text, at + 11, len);
    text[len] = '\0';
}

static void push(const char *body) {
    const char *answer = ask(api, JSON_POST("/v1/messages", body));
    assert_int_equal(status_of(answer), 202);
}

static unsigned acknowledge(unsigned worker, const char *session, const char *ids) {
    char body[512];
    struct peer *peer = peer_connect(worker, LISTENER_WEB);
    snprintf(body, sizeof body, "{\"session\":\"%s\",\"ids\":[%s]}", session, ids);
    return status_of(ask(peer, JSON_POST("/events/ack", body)));
}

static const char *fate_of(const char *id) {
    char request[128];
    snprintf(request, sizeof request, "GET /v1/messages/%s HTTP/1.1\r\nHost: localhost\r\n\r\n",
             id);
    const char *body = body_of(ask(api, request));
    return strstr(body, "\"state\":\"acked\"") != NULL     ? "acked"
           : strstr(body, "\"state\":\"pending\"") != NULL ? "pending"
                                                           : "another";
}

static uint64_t sum(size_t at) {
    uint64_t total = 0;
    for (unsigned i = 0; i < fake_server.worker_count; i++)
        total +=
            stats_get((_Atomic uint64_t *)(void *)((char *)&fake_server.workers[i].stats + at));
    return total;
}
#define SUM(member) sum(offsetof(struct stats, member))

static void test_stream(void **state) {
    (void)state;
    stream = stream_open(1, "id=a&group=g", NULL);
    assert_non_null(strstr(stream->out, "Content-Type: text/event-stream\r\n"));
    assert_non_null(strstr(stream->out, "Cache-Control: no-store, no-transform\r\n"));
    push("{\"to\":\"a\",\"id\":\"m1\",\"event\":\"e\",\"data\":[1]}");
    assert_non_null(strstr(stream->out, "\r\n1b\r\nid: m1\nevent: e\ndata: [1]\n\n\r\n"));
    free(peer_heard(stream));
    node_pass(26 * NS_PER_S);
    assert_string_equal(stream->out, "3\r\n:\n\n\r\n");
    peer_end(stream);
    assert_true(stream->closed);
    assert_int_equal(SUM(sessions), 0);
}

/* The request, the session and the keeper on all pairs of workers. */
static void test_acknowledging(void **state) {
    (void)state;
    unsigned number = 0;
    for (unsigned home = 0; home < 2; home++)
        for (unsigned id = 0; id < 4; id++)
            for (unsigned from = 0; from < 2; from++) {
                char query[32], body[128], one[32], many[64], session[64];
                snprintf(query, sizeof query, "id=id-%u", id);
                stream = stream_open(home, query, NULL);
                session_read(stream, session);
                for (unsigned i = 0; i < 3; i++) {
                    snprintf(body, sizeof body, "{\"to\":\"id-%u\",\"ack\":true,\"id\":\"m%u\"}",
                             id, number + i);
                    push(body);
                }
                assert_int_equal(acknowledge(from, session, "\"no\""), 204);
                snprintf(one, sizeof one, "\"m%u\"", number);
                snprintf(many, sizeof many, "\"m%u\",\"m%u\"", number + 1, number + 2);
                assert_int_equal(acknowledge(from, session, one), 204);
                assert_int_equal(SUM(acks_pending), 2);
                assert_true(SUM(trail_bytes) > 0);
                assert_int_equal(acknowledge(from, session, many), 204);
                assert_int_equal(SUM(acks_pending), 0);
                assert_int_equal(SUM(trail_bytes), 0);
                peer_end(stream);
                assert_int_equal(acknowledge(from, session, one), 404);
                number += 3;
                for (unsigned i = 0; i < PEERS_MAX; i++)
                    if (fake_peers[i].used && !fake_peers[i].closed && &fake_peers[i] != api)
                        peer_end(&fake_peers[i]);
                for (unsigned i = 0; i < PEERS_MAX; i++)
                    if (fake_peers[i].used && fake_peers[i].closed)
                        peer_forget(&fake_peers[i]);
            }
    assert_int_equal(acknowledge(0, "9-1-1", "\"m\""), 404);
    assert_int_equal(acknowledge(0, "x", "\"m\""), 404);
    assert_int_equal(acknowledge(0, "0-1-1", ""), 400);
}

static void test_coming_back(void **state) {
    (void)state;
    for (unsigned home = 0; home < 2; home++)
        for (unsigned next = 0; next < 2; next++) {
            stream = stream_open(home, "id=a&group=g", NULL);
            push("{\"to\":\"a\",\"ack\":true,\"id\":\"m1\",\"data\":1}");
            push("{\"to\":\"a\",\"ack\":true,\"id\":\"m2\",\"data\":1}");
            push("{\"group\":\"g\",\"id\":\"x\",\"data\":1}");
            push("{\"to\":\"a\",\"ack\":true,\"id\":\"m3\",\"data\":1}");
            assert_non_null(strstr(stream->out, "id: m3\n"));
            /* Once while it is there, once after it has ended. */
            if (next == 0)
                peer_end(stream);
            struct peer *unknown = stream_open(next, "id=a", "nobody");
            assert_non_null(strstr(unknown->out, "id: m1\n"));
            assert_int_equal(SUM(acks_pending), 3);
            struct peer *back = stream_open(next, "id=a", "x");
            assert_null(strstr(back->out, "id: m1\n"));
            assert_non_null(strstr(back->out, "id: m3\n"));
            assert_int_equal(SUM(acks_pending), 1);
            assert_string_equal(fate_of("m2"), "acked");
            assert_string_equal(fate_of("m3"), "pending");
            (void)stream_open(1 - next, "id=a", "m3");
            assert_int_equal(SUM(acks_pending), 0);
            for (unsigned i = 0; i < PEERS_MAX; i++)
                if (fake_peers[i].used && !fake_peers[i].closed && &fake_peers[i] != api)
                    peer_end(&fake_peers[i]);
            assert_int_equal(SUM(sessions), 0);
            assert_true(SUM(trail_bytes) > 0);
            node_pass(200 * NS_PER_S);
            assert_int_equal(SUM(trail_bytes), 0);
            assert_int_equal(SUM(trails_forgotten), 0);
            assert_false(trails_may_have(&fake_server, name_hash(NAME_ID, 0, SPAN("a"))));
            http_node_close();
            node_begin();
        }
}

/* An id that was given twice: what stands between might not have been seen. */
static void test_the_older_of_two_counts(void **state) {
    (void)state;
    stream = stream_open(0, "id=a&group=g", NULL);
    push("{\"to\":\"a\",\"ack\":true,\"id\":\"m1\"}");
    push("{\"group\":\"g\",\"volatile\":true,\"id\":\"x\"}");
    push("{\"to\":\"a\",\"ack\":true,\"id\":\"m2\"}");
    node_pass(130 * NS_PER_S); /* the id is free again */
    api = api_connect();
    push("{\"group\":\"g\",\"volatile\":true,\"id\":\"x\"}");
    (void)stream_open(1, "id=a", "x");
    assert_string_equal(fate_of("m1"), "acked");
    assert_string_equal(fate_of("m2"), "pending");
}

static void test_limits(void **state) {
    (void)state;
    char body[128];
    stream = stream_open(0, "id=a&group=g", NULL);
    push("{\"group\":\"g\",\"id\":\"before\"}");
    assert_int_equal(SUM(trail_bytes), 0);
    push("{\"to\":\"a\",\"ack\":true,\"id\":\"m1\"}");
    for (unsigned i = 0; i < TRAIL_IDS_MAX + 100; i++) {
        snprintf(body, sizeof body, "{\"group\":\"g\",\"id\":\"g%u\"}", i);
        push(body);
    }
    assert_int_equal(SUM(trail_bytes), TRAIL_IDS_MAX * sizeof(struct trail_entry));
    assert_int_equal(SUM(trails_forgotten), 0);
    /* A second one of the id ends: the oldest ids of both are forgotten. */
    peer_end(stream);
    node_pass(NS_PER_S);
    stream = stream_open(0, "id=a&group=g", NULL);
    for (unsigned i = 0; i < 9; i++) {
        snprintf(body, sizeof body, "{\"group\":\"g\",\"id\":\"h%u\"}", i);
        push(body);
    }
    peer_end(stream);
    assert_int_equal(SUM(trails_forgotten), 10);
    (void)stream_open(1, "id=a", "g104");
    assert_int_equal(SUM(acks_pending), 1);
    (void)stream_open(1, "id=a", "g110");
    assert_int_equal(SUM(acks_pending), 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_stream), TEST(test_acknowledging),
                                       TEST(test_coming_back), TEST(test_the_older_of_two_counts),
                                       TEST(test_limits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
