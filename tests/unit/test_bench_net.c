/* The sockets of the load tool: when bytes reached one that is read later. */
#include "main/bench_net.h"

#include "core/base/clock.h"

#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/cmocka_first.h"

#define READ_LATE_NS (60 * NS_PER_MS)

static int reader, writer;

static void sockets_open(void) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof to;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (const struct sockaddr *)&to, sizeof to), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&to, &len), 0);
    reader = bench_net_connect(&to, 0);
    assert_true(reader >= 0);
    writer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(writer >= 0);
    close(listener);
}

static void late_reading_is_told_apart(void **state) {
    (void)state;
    struct bench_net net = {.epoll = -1};
    struct bench_rest rest = {.at = NULL};
    bool drained;
    assert_true(bench_net_open(&net));
    for (int stamped = 0; stamped < 2; stamped++) {
        sockets_open();
        net.stamped = stamped != 0;
        if (net.stamped)
            assert_true(bench_net_stamp(reader));
        uint64_t before_ns = clock_ns();
        assert_int_equal(bench_net_send(writer, "word", 4), 4);
        uint64_t sent_ns = clock_ns();
        struct timespec late = {.tv_nsec = READ_LATE_NS};
        nanosleep(&late, NULL);
        assert_int_equal(bench_net_receive(&net, reader, &rest, &drained), 4);
        assert_memory_equal(net.area, "word", 4);
        if (net.stamped)
            assert_true(net.there_ns + NS_PER_MS >= before_ns &&
                        net.there_ns <= sent_ns + READ_LATE_NS / 2);
        else
            assert_true(net.there_ns >= sent_ns + READ_LATE_NS);
        assert_int_equal(bench_net_receive(&net, reader, &rest, &drained), 0);
        assert_true(drained);
        close(writer);
        assert_int_equal(bench_net_receive(&net, reader, &rest, &drained), -1);
        close(reader);
    }
    bench_net_close(&net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_reading_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
