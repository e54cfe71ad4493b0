/* fates_fixture.h - a table of fates and whose messages they are of, for its tests. Includes the
 * table's source. */
#ifndef RINGPOST_TESTS_SUPPORT_FATES_FIXTURE_H
#define RINGPOST_TESTS_SUPPORT_FATES_FIXTURE_H

#include "tests/support/cmocka_first.h"

#include "core/fates.c"

#include "core/server.h"

#include <stdio.h>

#define WINDOW_NS (100 * NS_PER_S)
#define DEDUP_NS (10 * NS_PER_S)
#define T0 (1000 * NS_PER_S)
#define WALL_MS UINT64_C(1700000000000)

static struct budget budget;
static struct fates fates;
static struct endpoint endpoint; /* whose the messages are */
static struct config config;
static struct server server;
static uint64_t nudged; /* endpoints */

static void note_nudge(void *argument, unsigned index) {
    assert_ptr_equal(argument, &nudged);
    nudged |= UINT64_C(1) << index;
}

static void begin_with(uint64_t ceiling_bytes, uint32_t fate_max, uint32_t dedup_max) {
    config = (struct config){.fate_max = fate_max,
                             .dedup_max = dedup_max,
                             .fate_window_ns = WINDOW_NS,
                             .dedup_window_ns = DEDUP_NS};
    hash_init(NULL);
    memset(&server, 0, sizeof server);
    memset(&endpoint, 0, sizeof endpoint);
    atomic_init(&server.config, &config);
    budget_init(&server.budget, UINT64_C(1) << 30);
    endpoint.server = &server;
    endpoint.config = &config;
    endpoint.now_ns = T0;
    endpoint.now_wall_ms = WALL_MS;
    account_init(&endpoint.account, &server.budget);
    budget_init(&budget, ceiling_bytes);
    nudged = 0;
    fates_init(&fates, &budget, &config, note_nudge, &nudged);
}

static void begin(uint32_t fate_max) {
    begin_with(UINT64_C(1) << 30, fate_max, 0);
}

static void end(void) {
    fates_fini(&fates);
    account_fini(&endpoint.account);
    assert_int_equal(endpoint.account.used_bytes, 0);
}

static struct message *message_of(const char *id, const struct span *to, uint16_t count) {
    struct message_parts parts = {.id = span_text(id),
                                  .event = SPAN("payment"),
                                  .to = to,
                                  .to_count = count,
                                  .class = CLASS_ACK,
                                  .ttl_ns = 600 * NS_PER_S,
                                  .payload_max = 4};
    struct message *message = message_open(&endpoint, &parts);
    assert_non_null(message);
    message_seal(message, 0);
    return message;
}

static const struct span tills[] = {SPAN_INIT("till-1"), SPAN_INIT("till-2"), SPAN_INIT("till-3")};

/* Opens a fate; the message has gone. NULL: no memory. */
static struct fate *open_of(const char *scope, const char *id, uint16_t count, uint64_t content) {
    struct message *message = message_of(id, tills, count);
    bool good = fates_open(&fates, message, span_text(scope), (struct hash128){content, ~content},
                           WALL_MS + (endpoint.now_ns - T0) / NS_PER_MS);
    struct fate *fate = message->fate;
    assert_int_equal(good, fate != NULL);
    message_release(&endpoint, message);
    return fate;
}

/* The same, taken, and let go of. */
static struct fate *take(const char *scope, const char *id, uint16_t count, uint64_t content) {
    struct fate *fate = open_of(scope, id, count, content);
    assert_non_null(fate);
    fates_taken(&fates, fate, RESULT_QUEUED, 7, endpoint.now_ns);
    fates_release(&fates, fate);
    return fate;
}

static void settle(struct fate *fate, uint32_t address, enum fate_state state) {
    fates_settle(&fates, fate, address, state,
                 state == FATE_DROPPED ? FATE_REASON_WITHDRAWN : FATE_REASON_NONE, endpoint.now_ns);
}

static bool known(const char *id) {
    struct fate *fate = fates_find(&fates, span_text(id));
    if (fate != NULL)
        fates_release(&fates, fate);
    return fate != NULL;
}

static enum fate_verdict repeat_of(const char *scope, const char *id, uint64_t content,
                                   struct fate_repeat *repeat) {
    enum fate_verdict verdict =
        fates_repeat(&fates, span_text(scope), span_text(id), (struct hash128){content, ~content},
                     endpoint.now_ns, repeat);
    assert_int_equal(verdict == FATE_DUPLICATE, repeat->fate != NULL);
    if (repeat->fate != NULL)
        fates_release(&fates, repeat->fate);
    return verdict;
}

#endif
