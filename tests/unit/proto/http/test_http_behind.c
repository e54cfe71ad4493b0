/* What is kept behind an answer that is long in coming, on a whole engine: little of it, charged,
 * and none once the peer has ended; and whose a request is that a proxy passes on. */
#include "tests/support/fake_http.h"

#include "core/slots.h"
#include "proto/http/http_connection.h"
#include "proto/http/http_context.h"

#define WAIT                                                                                       \
    "POST /v1/clients/away?ack=1&wait=ack&timeout=60 HTTP/1.1\r\nHost: localhost\r\n"              \
    "Content-Length: 1\r\n\r\n7"
#define PROBE "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"

enum { PROBES = 4000, PROBES_KEPT = HTTP_BEHIND_BYTES_MAX / HTTP_OWED_BYTES };

static struct worker *worker;
static struct peer *api;

static int setup(void **state) {
    (void)state;
    http_node_open();
    worker = &fake_server.workers[0];
    api = api_connect();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    http_node_close();
    return 0;
}

static uint64_t requests(void) {
    return stats_get(&worker->stats.http_requests);
}

static void probes_send(struct peer *peer, unsigned count) {
    char *all = malloc(count * sizeof PROBE);
    struct builder out = builder_over(all, count * sizeof PROBE);
    for (unsigned i = 0; i < count; i++)
        builder_text(&out, PROBE);
    peer_send_bytes(peer, builder_span(&out));
    free(all);
    node_settle();
}

/* What is carried out behind it is little; the rest stays with the peer, not in the input. */
static void test_little_is_kept(void **state) {
    (void)state;
    peer_say(api, WAIT);
    uint64_t before = worker->account.used_bytes;
    probes_send(api, PROBES);
    assert_in_range(requests(), PROBES_KEPT / 2, PROBES_KEPT + 1);
    assert_true(worker->account.used_bytes - before <
                2 * HTTP_BEHIND_BYTES_MAX + 2 * FAKE_BUFFERS * RECEIVE_BUFFER_BYTES);
    assert_int_equal(api->out_len, 0);
    node_pass(61 * NS_PER_S);
    assert_int_equal(requests(), PROBES + 1);
    assert_int_equal(times(api->out, "HTTP/1.1 200"), PROBES);
    assert_int_equal(times(api->out, "HTTP/1.1 202"), 1);
}

/* Waits themselves are no answers that are kept. */
static void test_many_wait(void **state) {
    (void)state;
    enum { COUNT = 4 * PROBES_KEPT };
    for (unsigned i = 0; i < COUNT; i++)
        peer_send(api, WAIT);
    peer_send(api, PROBE);
    node_settle();
    assert_int_equal(requests(), COUNT + 1);
    assert_int_equal(stats_get(&worker->stats.waits), COUNT);
    node_pass(61 * NS_PER_S);
    assert_int_equal(times(api->out, "HTTP/1.1 20"), COUNT + 1);
}

/* The end comes behind what is not read. A peer that only ended its side gets every answer. */
static void test_the_end_is_noticed(void **state) {
    (void)state;
    uint64_t before = worker->account.used_bytes;
    peer_say(api, WAIT);
    probes_send(api, PROBES);
    assert_true(requests() < PROBES);
    peer_end(api);
    assert_int_equal(stats_get(&worker->stats.waits), 0);
    assert_int_equal(times(api->out, "HTTP/1.1 20"), PROBES + 1);
    assert_true(api->closed);
    assert_int_equal(http_context(worker)->exchanges.in_use, 0);
    /* The message is pending still. */
    assert_true(worker->account.used_bytes < before + 4096);
}

/* Also one that waits behind that. */
static void test_the_end_is_noticed_again(void **state) {
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        peer_send(api, WAIT);
        probes_send(api, 3 * PROBES_KEPT);
    }
    peer_end(api);
    assert_int_equal(stats_get(&worker->stats.waits), 0);
    assert_int_equal(times(api->out, "HTTP/1.1 20"), 4 * (3 * PROBES_KEPT + 1));
    assert_true(api->closed);
}

/* It closes while its end is watched for, for a reason of the node's. */
static void test_a_close_ends_the_watch(void **state) {
    (void)state;
    peer_say(api, WAIT);
    probes_send(api, PROBES);
    assert_true(api->watch_tag != 0);
    connection_close(worker, slot_at(worker, 1), CLOSE_OVERLOADED);
    node_settle();
    assert_true(api->closed);
    assert_int_equal(stats_get(&worker->stats.connections), 0);
}

/* Each request whose answer is owed is charged. */
static void test_exchanges_are_charged(void **state) {
    (void)state;
    peer_say(api, WAIT); /* what is taken once */
    uint64_t one = worker->account.used_bytes;
    struct peer *other = api_connect();
    probes_send(other, 1);
    assert_int_equal(worker->account.used_bytes, one);
    peer_say(api, PROBE);
    assert_true(worker->account.used_bytes >= one + sizeof(struct http_exchange) + 100);
}

/* --- whose it is ------------------------------------------------------------------------------ */

/* A proxy's connection on which one client after the other asks. */
static int setup_forwarded(void **state) {
    fake_config.max_per_address = 1;
    fake_config.forwarders[0] = (struct network){
        .address = {[10] = 0xff, [11] = 0xff, [12] = 192, [14] = 2, [15] = 7}, .prefix_bits = 128};
    fake_config.forwarder_count = 1;
    return setup(state);
}

#define FROM(address)                                                                              \
    "POST /v1/clients/away?volatile=1 HTTP/1.1\r\nHost: localhost\r\n"                             \
    "X-Forwarded-For: " address "\r\nContent-Length: 2\r\n\r\n"

static uint64_t refused(void) {
    return stats_get(&worker->stats.refused[REFUSE_ADDRESS]);
}

/* However it is cut, a request of an address that may have no more connections is refused once. */
static void test_refused_once(void **state) {
    (void)state;
    static const char request[] =
        "POST /events/ack HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.9\r\n"
        "Content-Length: 9\r\n\r\n{\"a\":123}";
    assert_int_equal(status_of(ask(peer_connect(0, LISTENER_WEB), request)), 400);
    struct peer *other = peer_connect(0, LISTENER_WEB);
    uint64_t before = refused();
    for (size_t cut = 1; cut < sizeof request - 1; cut++) {
        peer_send_bytes(other, span_of(request, cut));
        node_settle();
        peer_send_bytes(other, span_of(request + cut, sizeof request - 1 - cut));
        node_settle();
        assert_int_equal(times(other->out, "HTTP/1.1 429"), cut);
        assert_int_equal(refused() - before, cut);
    }
    assert_false(other->ended);
}

/* A push is admitted, or not, as its own client's. */
static void test_admitted_as_its_own(void **state) {
    (void)state;
    assert_int_equal(status_of(ask(api, FROM("192.0.2.1") "77")), 202);
    struct http_connection *http = http_of(slot_at(worker, 1));
    uint64_t producer = api_source(http)->producer;
    assert_int_equal(status_of(ask(api, FROM("192.0.2.2") "77")), 202);
    assert_true(api_source(http)->producer != producer);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_little_is_kept),
        TEST(test_many_wait),
        TEST(test_the_end_is_noticed),
        TEST(test_the_end_is_noticed_again),
        TEST(test_a_close_ends_the_watch),
        TEST(test_exchanges_are_charged),
        cmocka_unit_test_setup_teardown(test_refused_once, setup_forwarded, teardown),
        cmocka_unit_test_setup_teardown(test_admitted_as_its_own, setup_forwarded, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
