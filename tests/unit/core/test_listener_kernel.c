/* A crowd connects to a worker at one moment, on the real kernel: who was there is heard before all
 * of them are in. The test takes the turns itself. */
#include "tests/support/kernel_node.h"

#include <errno.h>

#define CROWD 400
/* Until the one who was there is heard. Its bytes come behind the first accepts; a slow machine
 * handles a part of them in one turn. */
#define ACCEPTED_MEANWHILE (CROWD / 2)
#define TURNS_MAX 100000

static struct worker *worker;

static void node_begin(void) {
    char problem[512] = "";
    kernel_config(1);
    kernel_init();
    worker = &server.workers[0];
    if (!worker_open(worker, &server, 0, problem, sizeof(problem)))
        fail_msg("%s", problem);
    atomic_store(&server.phase, PHASE_RUNNING);
    worker_turn(worker, 0);
}

static void node_end(void) {
    server_drain(&server);
    bool goes_on = true;
    for (unsigned i = 0; goes_on; i++) {
        assert_true(i < TURNS_MAX);
        goes_on = worker_turn(worker, NS_PER_MS);
        server_step(&server);
    }
    endpoints_collect(&server);
    worker_close(worker);
    assert_int_equal(atomic_load(&server.connections), 0);
    server_fini(&server);
}

static bool has_answer(int fd, const char *text) {
    char got[64] = "";
    ssize_t len = recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT);
    if (len < 0) {
        assert_true(errno == EAGAIN || errno == EINTR);
        return false;
    }
    assert_string_equal(got, text);
    return true;
}

static uint64_t accepted(void) {
    return stats_get(&worker->stats.accepted_web);
}

static void test_who_was_there_is_heard_in_between(void **state) {
    (void)state;
    node_begin();
    int there = client_open(), crowd[CROWD];
    say(there, "one\n");
    for (unsigned i = 0; !has_answer(there, "=one\n"); i++) {
        assert_true(i < TURNS_MAX);
        worker_turn(worker, 0);
    }
    for (unsigned i = 0; i < CROWD; i++) {
        crowd[i] = client_open();
        say(crowd[i], "new\n");
    }
    say(there, "two\n");
    for (unsigned i = 0; !has_answer(there, "=two\n"); i++) {
        assert_true(i < TURNS_MAX);
        uint64_t before = accepted();
        worker_turn(worker, 0);
        assert_in_range(accepted() - before, 0, ACCEPTS_MAX);
    }
    assert_in_range(accepted(), 1, ACCEPTED_MEANWHILE);
    for (unsigned i = 0, turns = 0; i < CROWD; turns++) {
        assert_true(turns < TURNS_MAX);
        i += has_answer(crowd[i], "=new\n");
        worker_turn(worker, 0);
    }
    assert_int_equal(accepted(), CROWD + 1);
    for (unsigned i = 0; i < CROWD; i++)
        close(crowd[i]);
    close(there);
    node_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_was_there_is_heard_in_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
