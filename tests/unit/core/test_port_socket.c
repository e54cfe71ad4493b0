/* Connections of ports: addresses of hosts, a connection that begins, and how long is waited. */
#include "core/base/clock.h"
#include "core/port_socket.h"
#include "tests/support/cmocka_first.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

static void test_addresses(void **state) {
    (void)state;
    struct port_address found[2];
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    char problem[200] = "";
    assert_int_equal(port_socket_resolve("127.0.0.7", 65535, found, 2, problem, sizeof(problem)),
                     1);
    assert_int_equal(found[0].len, sizeof(v4));
    memcpy(&v4, &found[0].address, sizeof(v4));
    assert_int_equal(v4.sin_family, AF_INET);
    assert_int_equal(ntohl(v4.sin_addr.s_addr), 0x7f000007);
    assert_int_equal(ntohs(v4.sin_port), 65535);
    assert_int_equal(port_socket_resolve("::1", 7, found, 2, problem, sizeof(problem)), 1);
    assert_int_equal(found[0].len, sizeof(v6));
    memcpy(&v6, &found[0].address, sizeof(v6));
    assert_int_equal(v6.sin6_family, AF_INET6);
    assert_int_equal(ntohs(v6.sin6_port), 7);
    assert_string_equal(problem, "");
    /* No more than there is room for. */
    assert_int_equal(port_socket_resolve("127.0.0.7", 7, found, 0, problem, sizeof(problem)), 0);
}

static void test_no_addresses(void **state) {
    (void)state;
    struct port_address found[2];
    char problem[200] = "";
    char host[71] = ""; /* longer than any label, so nobody is asked for it */
    memset(host, 'a', sizeof(host) - 1);
    assert_int_equal(port_socket_resolve(host, 7, found, 2, problem, sizeof(problem)), 0);
    assert_string_not_equal(problem, "");
}

static void test_a_connection(void **state) {
    (void)state;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    int fd = port_socket_open((struct sockaddr *)&at, len);
    assert_true(fd >= 0);
    struct pollfd fds[2] = {{.fd = listener, .events = POLLIN}, {.fd = fd, .events = POLLOUT}};
    port_socket_wait(fds, 2, CLOCK_NEVER);
    int other = accept(listener, NULL, NULL);
    assert_true(other >= 0);
    port_socket_wait(&fds[1], 1, CLOCK_NEVER);
    assert_int_equal(fds[1].revents, POLLOUT);
    int error = 0, prompt = 0;
    len = sizeof(int);
    assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len), 0);
    assert_int_equal(error, 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &prompt, &len), 0);
    assert_true(prompt);
    /* Nobody waits there, and no other program gets it. */
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(other);
    close(fd);
    close(listener);
}

static void test_no_connection(void **state) {
    (void)state;
    struct sockaddr none = {.sa_family = AF_UNIX + 1000};
    errno = 0;
    assert_int_equal(port_socket_open(&none, sizeof(none)), -1);
    assert_int_not_equal(errno, 0);
    /* The next descriptor is the same: nothing was left open. */
    struct sockaddr_in far = {.sin_family = AF_INET};
    int before = dup(0);
    close(before);
    assert_int_equal(port_socket_open((struct sockaddr *)&far, 1), -1);
    assert_int_equal(errno, EINVAL);
    int after = dup(0);
    close(after);
    assert_int_equal(after, before);
}

static void test_waits(void **state) {
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct pollfd fd = {.fd = ends[0], .events = POLLIN};
    port_socket_wait(&fd, 1, 0);
    assert_int_equal(fd.revents, 0);
    /* Never less than was asked for. */
    uint64_t began_ns = clock_ns();
    port_socket_wait(&fd, 1, NS_PER_MS / 2);
    assert_true(clock_ns() - began_ns >= NS_PER_MS / 2);
    assert_int_equal(write(ends[1], "x", 1), 1);
    port_socket_wait(&fd, 1, UINT64_C(1) << 62); /* longer than poll(2) can say: for ever */
    assert_int_equal(fd.revents, POLLIN);
    close(ends[0]);
    close(ends[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),    cmocka_unit_test(test_no_addresses),
        cmocka_unit_test(test_a_connection), cmocka_unit_test(test_no_connection),
        cmocka_unit_test(test_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
