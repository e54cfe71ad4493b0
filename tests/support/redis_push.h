/* redis_push.h - what tests of the port to Redis push, and who comes and goes.
 *
 * Included by the test itself. Threads: one. */
#ifndef RINGPOST_TESTS_SUPPORT_REDIS_PUSH_H
#define RINGPOST_TESTS_SUPPORT_REDIS_PUSH_H

#include "tests/support/fake_redis.h"

static void push_begin(const char *body) {
    free(peer_heard(api));
    peer_say(api, JSON_POST("/v1/messages", body));
}

static const char *push(const char *body) {
    push_begin(body);
    redis_settle();
    return api->out;
}

static void assert_queued(const char *answer, unsigned recipients) {
    char wanted[100];
    snprintf(wanted, sizeof(wanted), "\"state\":\"queued\",\"recipients\":%u}", recipients);
    if (status_of(answer) != 202 || strstr(answer, wanted) == NULL)
        fail_msg("%s is not %s", answer, wanted);
}

static void assert_unavailable(const char *answer, bool maybe) {
    assert_error(answer, 503, "cluster_unavailable");
    assert_int_equal(strstr(answer, "\"maybe\":true") != NULL, maybe);
}

static struct peer *hello(unsigned worker, const char *id) {
    char line[200];
    struct peer *peer = peer_connect(worker, LISTENER_TCP);
    snprintf(line, sizeof(line), "{\"type\":\"hello\",\"id\":\"%s\",\"groups\":[\"g\"]}\n", id);
    peer_say(peer, line);
    return peer;
}

static struct peer *client(unsigned worker, const char *id) {
    struct peer *peer = hello(worker, id);
    redis_settle();
    assert_non_null(strstr(peer->out, "\"type\":\"welcome\""));
    return peer;
}

static void lose(void) {
    if (redis_link(SUBSCRIBER) != NULL)
        redis_link(SUBSCRIBER)->error = ECONNRESET;
    node_settle();
    assert_false(redis.up);
}

static void come_back(void) {
    for (unsigned i = 0; i < 200 && !redis.up; i++)
        redis_pass(100 * NS_PER_MS);
    assert_true(redis.up);
    redis_pass(LINK_GOOD_NS); /* it counts as one that stays */
}

#endif
