/* The sockets of the load tool: when bytes reached one that is read later. */
#include "perf/load/bench_net.h"

#include "core/base/clock.h"

#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/cmocka_first.h"

#define READ_LATE_NS (20 * NS_PER_MS)

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

/* Bytes are read late. Gives how long before that they were there, as it is told. */
static uint64_t told_late_ns(struct bench_net *net) {
    struct bench_rest rest = {.at = NULL};
    bool drained;
    struct timespec late = {.tv_nsec = READ_LATE_NS};
    assert_int_equal(bench_net_send(writer, "word", 4), 4);
    nanosleep(&late, NULL);
    assert_int_equal(bench_net_receive(net, reader, &rest, &drained), 4);
    uint64_t now_ns = clock_ns();
    assert_memory_equal(net->area, "word", 4);
    assert_true(net->there_ns <= now_ns);
    return now_ns - net->there_ns;
}

static void late_reading_is_told_apart(void **state) {
    (void)state;
    struct bench_net net = {.epoll = -1};
    struct bench_rest rest = {.at = NULL};
    bool drained;
    assert_true(bench_net_open(&net));
    sockets_open();
    assert_true(told_late_ns(&net) < READ_LATE_NS);
    net.stamped = true;
    assert_true(bench_net_stamp(reader));
    /* The system begins to note times a moment after the first socket wants it. */
    uint64_t late_ns = 0;
    for (int i = 0; i < 50 && late_ns < READ_LATE_NS; i++)
        late_ns = told_late_ns(&net);
    assert_true(late_ns >= READ_LATE_NS);
    assert_int_equal(bench_net_receive(&net, reader, &rest, &drained), 0);
    assert_true(drained);
    close(writer);
    assert_int_equal(bench_net_receive(&net, reader, &rest, &drained), -1);
    close(reader);
    bench_net_close(&net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(late_reading_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
