/* Connections that go from worker to worker on the real kernel, with two threads and real sockets:
 * out of the ring's table of files, and without one as on Linux 6.1. */
#include "tests/support/cmocka_first.h"

#include "core/base/crash.h"
#include "tests/support/kernel_node.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define WORKERS 2
#define MOVES 400
#define CLIENTS 8

static void server_begin(bool kernel_6_1) {
    char problem[512] = "";
    kernel_config(WORKERS);
    config.max_per_address = CLIENTS;
    config.test_kernel_6_1 = kernel_6_1;
    kernel_init();
    if (!server_start(&server, problem, sizeof(problem)))
        fail_msg("%s", problem);
    assert_int_equal(server.ring_settings.files != 0, !kernel_6_1 && ring_has_files());
}

static void server_end(void) {
    server_drain(&server);
    while (!server_step(&server))
        usleep(1000); /* as the main thread does, which steps the drain again and again */
    server_join(&server);
    assert_int_equal(atomic_load(&server.connections), 0);
    server_fini(&server);
    crash_thread_end(); /* of this thread, which server_start has begun */
}

/* Reads so many bytes, or to the end. The kernel interrupts a thread that has had a ring, as the
 * start tries some, also without a signal. */
static size_t read_all(int fd, char *to, size_t len) {
    size_t got = 0;
    ssize_t more = 1;
    while (got < len && more != 0) {
        more = recv(fd, to + got, len - got, 0);
        assert_true(more >= 0 || errno == EINTR);
        got += more > 0 ? (size_t)more : 0;
    }
    return got;
}

static void hear(int fd, const char *text) {
    char got[256] = "";
    assert_int_equal(read_all(fd, got, strlen(text)), strlen(text));
    assert_string_equal(got, text);
}

/* To and fro, with bytes in front and behind, which come before, while and after it moves. */
static void clients_move(void) {
    int fds[CLIENTS];
    for (unsigned i = 0; i < CLIENTS; i++)
        fds[i] = client_open();
    for (unsigned n = 0; n < MOVES; n++)
        for (unsigned i = 0; i < CLIENTS; i++) {
            say(fds[i], (n + i) % 2 ? "a\nmove 1\nb\n" : "a\nmove 0\nb\n");
            if (n % 3 != 0)
                say(fds[i], "become\nXY\n\n");
            if (n % 5 == 0)
                hear(fds[i], (n + i) % 2 ? "=a\n@1\n=b\n" : "=a\n@0\n=b\n");
            else if (n % 5 == 1)
                hear(fds[i], (n + i) % 2 ? "=a\n@1\n" : "=a\n@0\n"), hear(fds[i], "=b\n");
            else
                hear(fds[i], "=a\n"), hear(fds[i], (n + i) % 2 ? "@1\n=b\n" : "@0\n=b\n");
            if (n % 3 != 0)
                hear(fds[i], "=become\nYX\n\n");
        }
    for (unsigned i = 0; i < CLIENTS; i++) {
        say(fds[i], "move 0\nmove 1\nlast\n");
        assert_int_equal(shutdown(fds[i], SHUT_WR), 0);
        hear(fds[i], "@0\n@1\n=last\n");
        char rest;
        assert_int_equal(read_all(fds[i], &rest, 1), 0); /* no descriptor keeps it open */
        close(fds[i]);
    }
}

static void move_all(bool kernel_6_1) {
    server_begin(kernel_6_1);
    clients_move();
    uint64_t moved =
        stats_get(&server.workers[0].stats.moved) + stats_get(&server.workers[1].stats.moved);
    server_end();
    assert_true(moved >= CLIENTS * (MOVES - 1));
}

static void test_out_of_the_table(void **state) {
    (void)state;
    move_all(false);
}

static void test_as_on_linux_6_1(void **state) {
    (void)state;
    move_all(true);
}

/* No descriptor is left to be lent: it stays, and moves when there is one again. */
static void test_without_a_descriptor(void **state) {
    (void)state;
    server_begin(false);
    int fd = client_open();
    say(fd, "move 0\n");
    hear(fd, "@0\n");
    struct rlimit limit, none = {0, 0};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    none.rlim_max = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    say(fd, "move 1\nb\n");
    hear(fd, server.ring_settings.files != 0 ? "@0\n=b\n" : "@1\n=b\n");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    say(fd, "move 1\n");
    hear(fd, "@1\n");
    close(fd);
    server_end();
}

/* The node drains while they go to and fro: each hears the goodbye, behind whole answers. */
static void test_the_node_drains(void **state) {
    (void)state;
    int fds[CLIENTS];
    server_begin(false);
    for (unsigned i = 0; i < CLIENTS; i++) {
        fds[i] = client_open();
        say(fds[i], "a\n");
        hear(fds[i], "=a\n");
        for (unsigned n = 0; n < 50; n++)
            say(fds[i], "move 0\nmove 1\n");
    }
    server_end();
    for (unsigned i = 0; i < CLIENTS; i++) {
        char got[2048];
        size_t len = read_all(fds[i], got, sizeof(got) - 1);
        assert_true(len >= 4);
        got[len] = '\0';
        assert_string_equal(got + len - 4, "bye\n");
        close(fds[i]);
    }
}

int main(void) {
    char problem[256];
    if (!ring_probe(false, problem, sizeof(problem))) {
        fprintf(stderr, "%s\n", problem);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out_of_the_table), cmocka_unit_test(test_as_on_linux_6_1),
        cmocka_unit_test(test_without_a_descriptor), cmocka_unit_test(test_the_node_drains)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
