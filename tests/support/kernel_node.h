/* kernel_node.h - a node on the real kernel that speaks the toy protocol on `web`, and its clients;
 * for tests that start it, or take its turns, themselves. Included once by a program. */
#ifndef RINGPOST_TESTS_SUPPORT_KERNEL_NODE_H
#define RINGPOST_TESTS_SUPPORT_KERNEL_NODE_H

#include "tests/support/cmocka_first.h"

#include "core/base/hash.h"
#include "core/server.h"
#include "tests/toys/toy_protocol.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

static struct server server;
static struct config
    config; /* what a test changes of it: after kernel_config, before kernel_init */

static void kernel_config(unsigned workers) {
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    config = (struct config){.node = "n1",
                             .workers = workers,
                             .steer = STEER_NONE,
                             .max_connections = 1000,
                             .max_message_bytes = 65536,
                             .max_body_bytes = 65536,
                             .outbox_bytes = 1 << 20,
                             .memory_bytes = 1 << 24,
                             .drain_timeout_ns = 5 * NS_PER_S,
                             .listener_count = 1};
    for (unsigned i = 0; i < workers; i++)
        config.cpus[i] = -1;
    config.listeners[0] = (struct listen_address){
        .kind = LISTENER_WEB, .address_len = sizeof(any), .text = "127.0.0.1:0"};
    memcpy(&config.listeners[0].address, &any, sizeof(any));
}

/* Opens its listeners; no worker runs yet. */
static void kernel_init(void) {
    static const struct server_parts parts = {.protocols = {[LISTENER_WEB] = &toy_protocol}};
    char problem[512] = "";
    hash_init(NULL);
    log_set(LOG_ERROR, LOG_LOGFMT);
    memset(&server, 0, sizeof(server));
    if (!server_init(&server, &config, &parts, problem, sizeof(problem)))
        fail_msg("%s", problem);
}

/* One whose reads give up after 10 s. */
static int client_open(void) {
    struct sockaddr_in at;
    socklen_t len = sizeof(at);
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(getsockname(server.listen_fds[0][0], (struct sockaddr *)&at, &len), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, len), 0);
    return fd;
}

static void say(int fd, const char *text) {
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

#endif
