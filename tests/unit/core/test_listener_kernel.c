/* A crowd connects to a worker at one moment, on the real kernel: who was there is heard before all
 * of them are in. The test takes the turns itself. */
#include "tests/support/cmocka_first.h"

#include "core/base/crash.h"
#include "core/base/hash.h"
#include "core/server.h"
#include "tests/toys/toy_protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#define CROWD 400
/* Until the one who was there is heard. Its bytes come behind the first accepts; a slow machine
 * handles a part of them in one turn. */
#define ACCEPTED_MEANWHILE (CROWD / 2)
#define TURNS_MAX 100000

static struct server server;
static struct config config;
static struct worker *worker;

static void node_begin(void) {
    static const struct server_parts parts = {.protocols = {[LISTENER_WEB] = &toy_protocol}};
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char problem[512] = "";
    hash_init(NULL);
    log_set(LOG_ERROR, LOG_LOGFMT);
    config = (struct config){.node = "n1",
                             .workers = 1,
                             .steer = STEER_NONE,
                             .max_connections = 2 * CROWD,
                             .max_message_bytes = 65536,
                             .max_body_bytes = 65536,
                             .outbox_bytes = 1 << 20,
                             .memory_bytes = 1 << 24,
                             .drain_timeout_ns = 5 * NS_PER_S,
                             .listener_count = 1};
    config.cpus[0] = -1;
    config.listeners[0] = (struct listen_address){
        .kind = LISTENER_WEB, .address_len = sizeof(any), .text = "127.0.0.1:0"};
    memcpy(&config.listeners[0].address, &any, sizeof(any));
    if (!server_init(&server, &config, &parts, problem, sizeof(problem)))
        fail_msg("%s", problem);
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

static int client_open(void) {
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(server.listen_fds[0][0], (struct sockaddr *)&at, &len), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, len), 0);
    return fd;
}

static void say(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
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
