/* Two ports on threads of their own, with poll(2) and real wakes: each publishes what comes on its
 * descriptor to the other (also under ThreadSanitizer). There is no worker, and so no ring. */
#include "tests/support/cmocka_first.h"

#include "core/base/hash.h"
#include "core/hub.h"
#include "core/server.h"
#include "tests/toys/toy_port.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#define PORTS 2

static struct server server;
static struct config config;
static struct gate gate;
static struct toy_port toys[PORTS];
static int feeds[PORTS]; /* the other ends of the descriptors */
static pthread_t threads[PORTS];

static void *port_body(void *argument) {
    struct toy_port *toy = argument;
    while (port_turn(&toy->port, CLOCK_NEVER))
        ;
    return NULL;
}

static void ports_open(void) {
    static const char *const names[PORTS] = {"a", "b"};
    for (unsigned i = 0; i < PORTS; i++) {
        int ends[2];
        toy_init(&toys[i]);
        assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        toys[i].fd = ends[0];
        toys[i].json = i == 0 ? "{\"to\":\"b\",\"data\":[1,2,3]}" : "{\"to\":\"a\",\"data\":null}";
        feeds[i] = ends[1];
        server.parts.ports[i] = &toys[i].port;
        server.endpoints[i] = &toys[i].port.endpoint;
    }
    for (unsigned i = 0; i < PORTS; i++) {
        assert_true(port_open(&toys[i].port, &server, i));
        toy_hold(&toys[i], NAME_ID, names[i]);
    }
}

static int setup(void **state) {
    (void)state;
    hash_init(NULL);
    config = (struct config){.max_message_bytes = 1000, .drain_timeout_ns = 10 * NS_PER_S};
    memset(&server, 0, sizeof(server));
    atomic_store(&server.config, &config);
    budget_init(&server.budget, 1 << 24);
    post_slots_override = 64;
    assert_true(post_init(&server.post, PORTS));
    server.parts.port_count = PORTS;
    server.parts.on_nudged = gate_on_nudged;
    server.holders = holders_new();
    assert_non_null(server.holders);
    assert_true(gate_init(&gate, &server));
    ports_open();
    atomic_store(&server.phase, PHASE_RUNNING);
    return 0;
}

static void threads_start(void) {
    for (unsigned i = 0; i < PORTS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, port_body, &toys[i]), 0);
}

static void threads_end(void) {
    server_drain(&server);
    while (!server_step(&server))
        usleep(1000); /* as the main thread does, which steps the drain again and again */
    for (unsigned i = 0; i < PORTS; i++)
        pthread_join(threads[i], NULL);
}

static int teardown(void **state) {
    (void)state;
    endpoints_collect(&server);
    for (unsigned i = 0; i < PORTS; i++) {
        assert_int_equal(toys[i].port.account.used_bytes, 0);
        port_fini(&toys[i].port);
        close(feeds[i]);
        close(toys[i].fd);
    }
    gate_fini(&gate);
    holders_free(server.holders);
    post_fini(&server.post);
    post_slots_override = 0;
    return 0;
}

static uint64_t told(unsigned i, enum result_word result) {
    return stats_get(&toys[i].port.stats.results[CLASS_DEFAULT][result]);
}

/* Until the port has been told so many results. */
static void results_wait(unsigned i, uint64_t count) {
    for (unsigned looks = 0; looks < 20000; looks++) {
        if (told(i, RESULT_QUEUED) + told(i, RESULT_CLUSTER_UNAVAILABLE) >= count)
            return;
        usleep(
            500); /* a port on another thread tells nobody but its counters; ten seconds in all */
    }
    fail_msg("port %u was told %llu results", i, (unsigned long long)told(i, RESULT_QUEUED));
}

static void feed(unsigned i, unsigned count) {
    static const char bytes[16];
    while (count > 0) {
        size_t part = count < sizeof(bytes) ? count : sizeof(bytes);
        ssize_t written = write(feeds[i], bytes, part);
        if (written > 0)
            count -= (unsigned)written;
        else
            usleep(100);
    }
}

/* One message at a time: each wakes a thread that sleeps in poll. */
static void test_one_by_one(void **state) {
    (void)state;
    threads_start();
    for (unsigned n = 1; n <= 200; n++) {
        feed(n % 2, 1);
        results_wait(n % 2, (n + n % 2) / 2);
    }
    threads_end();
    assert_int_equal(toys[0].took + toys[1].took, 200);
    assert_int_equal(told(0, RESULT_QUEUED) + told(1, RESULT_QUEUED), 200);
}

/* Both at once: what has no room is refused, and every message is told once. */
static void test_both_at_once(void **state) {
    (void)state;
    enum { MESSAGES = 5000 };
    threads_start();
    for (unsigned n = 0; n < MESSAGES; n += 10) {
        feed(0, 10);
        feed(1, 10);
    }
    for (unsigned i = 0; i < PORTS; i++)
        results_wait(i, MESSAGES);
    threads_end();
    for (unsigned i = 0; i < PORTS; i++) {
        assert_int_equal(told(i, RESULT_QUEUED), toys[1 - i].took);
        assert_int_equal(told(i, RESULT_QUEUED) + told(i, RESULT_CLUSTER_UNAVAILABLE), MESSAGES);
        assert_int_equal(stats_get(&toys[i].port.stats.ports_late), 0);
    }
}

/* The node stops while one of them is silent, with messages in its hands and in its queue. */
static void test_stop_while_silent(void **state) {
    (void)state;
    toys[1].way = TOY_SILENT;
    toys[0].way = TOY_LATE;
    toys[0].delay_ns = 20 * NS_PER_MS;
    threads_start();
    feed(0, 20);
    feed(1, 20);
    results_wait(1, 20);
    threads_end();
    assert_int_equal(told(0, RESULT_CLUSTER_UNAVAILABLE), 20);
    assert_true(list_empty(&toys[1].kept));
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {ONE(test_one_by_one), ONE(test_both_at_once),
                                       ONE(test_stop_while_silent)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
