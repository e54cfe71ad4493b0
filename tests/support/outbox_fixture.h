/* outbox_fixture.h - one connection and one session over the real outbox; what is handed to the
 * ring is kept for the test to look at. Included by the test itself, which it brings the outbox's
 * own source. */
#ifndef RINGPOST_TESTS_SUPPORT_OUTBOX_FIXTURE_H
#define RINGPOST_TESTS_SUPPORT_OUTBOX_FIXTURE_H
#include "tests/support/cmocka_first.h"

#include "core/base/check.h"
#include "core/worker.h"

/* What was handed to the kernel last. */
static char handed[SEND_BYTES_MAX + 4096];
static size_t handed_len;

static void fake_send(struct ring *ring, uint64_t tag, int socket, const void *at, size_t len) {
    (void)ring, (void)tag, (void)socket;
    memcpy(handed, at, len);
    handed_len = len;
}

static void fake_send_gathered(struct ring *ring, uint64_t tag, int socket,
                               const struct msghdr *header) {
    (void)ring, (void)tag, (void)socket;
    handed_len = 0;
    for (size_t i = 0; i < header->msg_iovlen; i++) {
        memcpy(handed + handed_len, header->msg_iov[i].iov_base, header->msg_iov[i].iov_len);
        handed_len += header->msg_iov[i].iov_len;
    }
}

#define ring_send fake_send
#define ring_send_gathered fake_send_gathered
#include "core/backlog.c"
#include "core/outbox.c"
#include "core/outbox_batch.c"
#include "core/outbox_send.c"
#include "core/piece.c"

#include "core/base/builder.h"
#include "core/base/hash.h"
#include "core/server.h"

static struct server server;
static struct config config;
static struct worker worker;
static struct connection connection;
static struct session session;
static const struct session_type alone = {.transport = "test"};
static struct flight flights[SENDS_PER_SUBMIT];

/* An encoding that is easy to read: <payload> */
static size_t plain_bound(const struct encoding *encoding, const struct message *message) {
    (void)encoding, (void)message;
    return 2;
}
static bool plain_head(const struct encoding *encoding, const struct message *message,
                       struct builder *out) {
    (void)encoding, (void)message;
    builder_bytes(out, "<", 1);
    return true;
}
static void plain_tail(const struct encoding *encoding, const struct message *message,
                       struct builder *out) {
    (void)encoding, (void)message;
    builder_bytes(out, ">", 1);
}
static const struct encoding plain = {.bound = plain_bound, .head = plain_head, .tail = plain_tail};

static int open_node(void **state) {
    (void)state;
    hash_init(NULL);
    memset(&server, 0, sizeof(server));
    memset(&worker, 0, sizeof(worker));
    memset(&connection, 0, sizeof(connection));
    memset(&session, 0, sizeof(session));
    session.type = &alone;
    config = (struct config){.outbox_bytes = 200, .slow = SLOW_CLOSE};
    atomic_init(&server.config, &config);
    server.worker_count = 1;
    budget_init(&server.budget, 1 << 20);
    worker.is_worker = true;
    worker.server = &server;
    worker.config = &config;
    worker.now_ns = 1000;
    worker.sending.flights = flights;
    account_init(&worker.account, &server.budget);
    pool_init(&worker.delivery.parcels, sizeof(struct parcel));
    sending_init(&worker.sending);
    list_init(&connection.flush_link);
    connection.slot = 1;
    worker.admission.modest = ADMISSION_MODEST;
    handed_len = 0;
    return 0;
}

/* Everything came back, and every copy has exactly one fate. */
static int close_node(void **state) {
    (void)state;
    assert_int_equal(worker.account.used_bytes, 0);
    assert_int_equal(stats_get(&worker.stats.outbox_bytes), 0);
    assert_int_equal(connection.outbox.bytes, 0);
    assert_int_equal(session.backlog.bytes, 0);
    assert_int_equal(session.backlog.messages, 0);
    for (unsigned class = 0; class < CLASSES; class ++) {
        uint64_t fates = stats_get(&worker.stats.copies_sent[class]);
        for (unsigned reason = 0; reason < DROP_REASON_COUNT; reason++)
            fates += stats_get(&worker.stats.copies_dropped[class][reason]);
        assert_int_equal(stats_get(&worker.stats.copies_waiting[class]), 0);
        assert_int_equal(stats_get(&worker.stats.copies[class]), fates);
    }
    pool_fini(&worker.delivery.parcels);
    sending_fini(&worker.sending);
    account_fini(&worker.account);
    return 0;
}

static struct parcel *parcel_with(const char *payload, uint64_t ttl_ns, bool is_volatile) {
    struct message_parts parts = {.broadcast = true,
                                  .class = is_volatile ? CLASS_VOLATILE : CLASS_DEFAULT,
                                  .ttl_ns = ttl_ns,
                                  .payload_max = strlen(payload)};
    struct message *message = message_open(&worker.endpoint, &parts);
    memcpy(message_payload_room(message), payload, strlen(payload));
    message_seal(message, strlen(payload));
    return parcel_open(&worker, message);
}

/* The encoding, in which it has a frame. */
static const struct encoding *framed(struct parcel *parcel) {
    assert_non_null(parcel_frame(&worker, parcel, &plain));
    return &plain;
}

static void flush(void) {
    worker.sending.flights_used = 0;
    connection.dirty_us = (uint32_t)(worker.now_ns / NS_PER_US); /* it waits for nothing else */
    outbox_flush(&worker, &connection);
    assert_true(connection.ops & OP_SEND);
}

/* The worker has looked for completions all the time. */
static void on_sent(uint32_t bytes) {
    worker.sending.seen_ms = (uint32_t)(worker.now_ns / NS_PER_MS);
    connection.ops &= (uint8_t)~OP_SEND;
    outbox_on_sent(&worker, &connection, bytes);
}

#endif
