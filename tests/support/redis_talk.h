/* redis_talk.h - what a Redis, or a Sentinel, and the one connection to it say to each other, over
 * sockets that are none; the time, and the memory that is to be given back.
 *
 * Included by the test itself. Threads: one. */
#ifndef RINGPOST_TESTS_SUPPORT_REDIS_TALK_H
#define RINGPOST_TESTS_SUPPORT_REDIS_TALK_H

#include "tests/support/cmocka_first.h"

#include "ha/redis/link.h"
#include "tests/fakes/fake_redis_socket.c"

#include <stdio.h>
#include <string.h>

static struct budget budget;
static struct account account;
static struct redis_server server;
static uint64_t now_ns;

static void talk_begin(void) {
    fake_sockets_reset();
    budget_init(&budget, 64 << 20);
    account_init(&account, &budget);
    now_ns = 1000 * NS_PER_S;
    memset(&server, 0, sizeof(server));
}

static void talk_end(void) {
    fake_sockets_reset();
    assert_int_equal(account.used_bytes, 0);
    account_fini(&account);
}

/* The connection; there is no other one. */
static struct fake_socket *talk_socket(void) {
    struct fake_socket *socket = fake_socket_at(0);
    assert_non_null(socket);
    assert_null(fake_socket_at(1));
    return socket;
}

static void say(const char *text) {
    fake_socket_say(talk_socket(), span_text(text));
}

/* What was sent since, until the next call. */
static const char *sent(void) {
    static char text[8192];
    struct fake_socket *socket = talk_socket();
    snprintf(text, sizeof(text), "%.*s", (int)socket->sent_len,
             socket->sent != NULL ? socket->sent : "");
    fake_socket_take(socket, socket->sent_len);
    return text;
}

#endif
