/* Messages to names with many sessions: one that waits for a session makes only those wait that go
 * to the same address, each address keeps its order, and each session gets each message once. */
#include "tests/support/cmocka_first.h"

#include "core/worker.h"

static bool fake_push_batch(struct worker *worker, struct outbox *outbox, struct session *session,
                            struct frame_batch *batch);
static enum outbox_verdict fake_push(struct worker *worker, struct session *session,
                                     struct outbox *outbox, struct parcel *parcel,
                                     enum send_lane lane);
static void fake_hurry(struct worker *worker, struct outbox *outbox);
static void fake_answer(struct endpoint *endpoint, const struct mail *request, uint32_t recipients,
                        unsigned flags, bool unicast);

#define outbox_push_batch fake_push_batch
#define delivery_push fake_push
#define outbox_hurry fake_hurry
#define hub_answer fake_answer
#include "core/fanout.c"

#include "core/base/builder.h"
#include "core/base/hash.h"
#include "core/server.h"

#include <stdio.h>

#define SESSIONS (FANOUT_RUNS_MAX + 20)
#define COPIES 80
#define MESSAGES (FANOUT_RUNS_MAX + 100)

static struct server server;
static struct config config;
static struct mailbox box;
static struct worker worker;

/* A session, the first byte of each payload that it got, and whether it must send first. */
struct till {
    struct session session;
    struct connection connection;
    char got[COPIES];
    unsigned count;
    bool full;
};
static struct till tills[SESSIONS];

static struct {
    unsigned answers;
    uint32_t recipients;
    unsigned place; /* among the answers */
} answered[MESSAGES];
static unsigned answers;

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

static const struct encoding *till_encoding(const struct session *session) {
    (void)session;
    return &plain;
}
static struct outbox *till_outbox(struct session *session) {
    return &container_of(session, struct till, session)->connection.outbox;
}
static const struct session_type till_type = {
    .transport = "test", .encoding = till_encoding, .outbox = till_outbox};

static struct till *till_of(struct outbox *outbox) {
    return container_of(connection_of_outbox(outbox), struct till, connection);
}

static void got(struct till *till, const struct parcel *parcel) {
    assert_true(till->count < COPIES);
    till->got[till->count++] = message_payload(parcel->message).at[0];
}

static bool fake_push_batch(struct worker *w, struct outbox *outbox, struct session *session,
                            struct frame_batch *batch) {
    (void)w, (void)session;
    struct till *till = till_of(outbox);
    for (uint32_t i = 0; !till->full && i < batch->count; i++)
        got(till, batch->parts[i].parcel);
    return !till->full;
}

static enum outbox_verdict fake_push(struct worker *w, struct session *session,
                                     struct outbox *outbox, struct parcel *parcel,
                                     enum send_lane lane) {
    (void)w, (void)session;
    struct till *till = till_of(outbox);
    assert_int_equal(lane, LANE_BULK);
    if (till->full)
        return OUTBOX_WAIT;
    got(till, parcel);
    return OUTBOX_TAKEN;
}

static void fake_hurry(struct worker *w, struct outbox *outbox) {
    (void)w;
    assert_true(till_of(outbox)->full);
}

static void fake_answer(struct endpoint *e, const struct mail *request, uint32_t recipients,
                        unsigned flags, bool unicast) {
    (void)e, (void)flags, (void)unicast;
    assert_true(request->token < MESSAGES);
    answered[request->token].answers++;
    answered[request->token].recipients = recipients;
    answered[request->token].place = answers++;
}

static int open_node(void **state) {
    (void)state;
    hash_init(NULL);
    memset(&server, 0, sizeof(server));
    memset(&worker, 0, sizeof(worker));
    memset(&box, 0, sizeof(box));
    memset(answered, 0, sizeof(answered));
    memset(tills, 0, sizeof(tills));
    answers = 0;
    atomic_init(&server.config, &config);
    server.worker_count = 1;
    server.post.boxes = &box;
    server.post.copies_max = FANOUT_COPIES_MAX;
    server.holders = holders_new();
    budget_init(&server.budget, 1 << 20);
    worker.is_worker = true;
    worker.server = &server;
    worker.config = &config;
    worker.now_ns = NS_PER_S;
    worker.slice_until_ns = UINT64_MAX;
    worker.delivery.held_late_ns = HELD_LATE_NS;
    account_init(&worker.account, &server.budget);
    pool_init(&worker.delivery.parcels, sizeof(struct parcel));
    for (unsigned lane = 0; lane < LANES; lane++)
        list_init(&worker.sending.dirty[lane]);
    fanout_init(&worker.fanout);
    directory_init(&worker);
    broadcasts_init(&worker.broadcasts);
    for (unsigned i = 0; i < SESSIONS; i++)
        assert_true(session_open(&worker, &tills[i].session, &till_type));
    return 0;
}

static int close_node(void **state) {
    (void)state;
    for (unsigned i = 0; i < SESSIONS; i++)
        session_close(&worker, &tills[i].session, &tills[i].connection.outbox);
    fanout_fini(&worker.fanout);
    broadcasts_fini(&worker.broadcasts);
    directory_fini(&worker);
    assert_int_equal(worker.account.used_bytes, 0);
    pool_fini(&worker.delivery.parcels);
    account_fini(&worker.account);
    holders_free(server.holders);
    free(worker.sessions.at);
    return 0;
}

/* Session `till` enters group `name`. */
static void join(unsigned till, const char *name) {
    struct span group = span_text(name);
    assert_int_equal(directory_join(&worker, &tills[till].session, &group, 1), DIRECTORY_DONE);
}

/* Message number `n`, known by its first byte, to up to three groups; NULL: no more. */
static void push(unsigned n, const char *a, const char *b, const char *c) {
    const char *texts[] = {a, b, c};
    struct span groups[3];
    struct message_parts parts = {.groups = groups, .payload_max = 1};
    for (unsigned i = 0; i < 3 && texts[i] != NULL; i++)
        groups[parts.group_count++] = span_text(texts[i]);
    struct message *message = message_open(&worker.endpoint, &parts);
    assert_non_null(message);
    message_payload_room(message)[0] = (char)('a' + n % 26);
    message_seal(message, 1);
    struct parcel *parcel = parcel_open(&worker, message);
    assert_true(fanout_push(&worker, parcel, &(struct mail){.token = n}));
}

static void expect_got(unsigned till, const char *all) {
    assert_int_equal(tills[till].count, strlen(all));
    assert_memory_equal(tills[till].got, all, strlen(all));
}

static void test_others_pass_one_that_waits(void **state) {
    (void)state;
    join(0, "slow");
    join(1, "slow");
    join(2, "quick");
    tills[0].full = true;
    push(0, "slow", NULL, NULL);
    push(1, "quick", NULL, NULL);
    push(2, "slow", NULL, NULL);
    push(3, "quick", NULL, NULL);
    assert_false(fanout_idle(&worker.fanout));
    fanout_work(&worker);
    expect_got(2, "bd");
    expect_got(0, "");
    assert_true(fanout_idle(&worker.fanout) && fanout_busy(&worker.fanout));
    /* What comes for it waits behind; for others it does not. */
    push(4, "slow", NULL, NULL);
    push(5, "quick", NULL, NULL);
    fanout_work(&worker);
    expect_got(2, "bdf");
    tills[0].full = false;
    fanout_work(&worker);
    expect_got(0, "ace");
    expect_got(1, "ace");
    assert_false(fanout_busy(&worker.fanout));
    for (unsigned n = 0; n < 6; n++)
        assert_int_equal(answered[n].answers, 1);
    assert_int_equal(answered[0].recipients, 2);
}

/* While so many sends of copies wait, no run begins or goes on. */
static void test_runs_wait_for_sends(void **state) {
    (void)state;
    join(0, "a");
    join(1, "a");
    push(0, "a", NULL, NULL);
    worker.sending.due[LANE_BULK] = FANOUT_SENDS_MAX;
    fanout_work(&worker);
    expect_got(0, "");
    assert_false(fanout_idle(&worker.fanout)); /* so the worker does not sleep */
    worker.sending.due[LANE_BULK] = 1;
    struct connection other = {.dirty_us = (uint32_t)(worker.now_ns / NS_PER_US)};
    list_add_tail(&worker.sending.dirty[LANE_BULK], &other.flush_link);
    worker.now_ns += FANOUT_LAG_NS + NS_PER_MS;
    fanout_work(&worker);
    expect_got(0, "");
    list_remove(&other.flush_link);
    worker.sending.due[LANE_BULK] = 0;
    fanout_work(&worker);
    expect_got(0, "a");
    expect_got(1, "a");
    assert_int_equal(answered[0].answers, 1);
}

/* One with several addresses waits for each, and those behind it for it. */
static void test_several_addresses_keep_their_order(void **state) {
    (void)state;
    join(0, "a");
    join(1, "b");
    join(2, "c");
    tills[0].full = true;
    push(0, "a", NULL, NULL);
    push(1, "a", "b", NULL);
    push(2, "b", NULL, NULL);
    push(3, "b", "c", NULL);
    push(4, "c", NULL, NULL);
    push(5, "d", NULL, NULL);
    fanout_work(&worker);
    expect_got(1, "");
    expect_got(2, "");
    assert_int_equal(answered[5].answers, 1);
    tills[0].full = false;
    fanout_work(&worker);
    expect_got(0, "ab");
    expect_got(1, "bcd");
    expect_got(2, "de");
    assert_false(fanout_busy(&worker.fanout));
}

/* However often others are delivered while one with several addresses waits in the middle. */
static void test_a_session_in_several_gets_it_once(void **state) {
    (void)state;
    join(0, "a");
    join(0, "b");
    join(1, "b");
    join(0, "other");
    tills[1].full = true;
    push(0, "a", "b", NULL);
    push(1, "other", NULL, NULL);
    fanout_work(&worker);
    push(2, "other", NULL, NULL);
    push(3, "other", "elsewhere", NULL); /* waits: one of several is under way */
    fanout_work(&worker);
    tills[1].full = false;
    fanout_work(&worker);
    assert_int_equal(tills[0].count, 4);
    for (char one = 'a'; one <= 'd'; one++)
        assert_non_null(memchr(tills[0].got, one, 4));
    expect_got(1, "a");
    assert_int_equal(answered[0].recipients, 2);
}

/* Names that share a bucket by their hash do not wait for each other. */
static void test_addresses_that_share_a_bucket(void **state) {
    (void)state;
    char names[3][8];
    unsigned found = 0;
    uint64_t wanted = name_hash(NAME_GROUP, NAMESPACE_MAIN, SPAN("x0")) % FANOUT_BUCKETS;
    for (unsigned i = 0; i < 200000 && found < 2; i++) {
        snprintf(names[found], sizeof(names[found]), "x%u", i);
        if (name_hash(NAME_GROUP, NAMESPACE_MAIN, span_text(names[found])) % FANOUT_BUCKETS ==
            wanted)
            found++;
    }
    assert_int_equal(found, 2);
    join(0, names[0]);
    join(1, names[1]);
    tills[0].full = true;
    push(0, names[0], NULL, NULL);
    push(1, names[1], NULL, NULL);
    assert_true(
        fanout_has(&worker.fanout, name_hash(NAME_GROUP, NAMESPACE_MAIN, span_text(names[1]))));
    fanout_work(&worker);
    expect_got(0, "");
    expect_got(1, "b");
    assert_false(
        fanout_has(&worker.fanout, name_hash(NAME_GROUP, NAMESPACE_MAIN, span_text(names[1]))));
    tills[0].full = false;
    fanout_work(&worker);
    expect_got(0, "a");
}

static void test_a_session_leaves_while_one_waits_for_it(void **state) {
    (void)state;
    join(0, "slow");
    join(1, "slow");
    join(2, "slow");
    tills[1].full = true;
    push(0, "slow", NULL, NULL);
    fanout_work(&worker);
    session_close(&worker, &tills[1].session, &tills[1].connection.outbox);
    fanout_work(&worker);
    expect_got(0, "a");
    expect_got(2, "a");
    expect_got(1, "");
    assert_int_equal(answered[0].recipients, 2);
}

/* A session that leaves and comes again while a message is on its way gets it at most once; one
 * that comes then owes nothing to it. */
static void test_a_session_comes_again(void **state) {
    (void)state;
    struct span group = SPAN("slow");
    for (unsigned i = 0; i < 4; i++)
        join(i, "slow");
    for (unsigned left = 0; left < 4; left++) {
        unsigned before = tills[left].count;
        tills[2].full = true;
        push(left, "slow", NULL, NULL);
        fanout_work(&worker);
        directory_leave(&worker, &tills[left].session, &group, 1);
        join(left, "slow");
        if (left == 0)
            join(9, "slow");
        tills[2].full = false;
        fanout_work(&worker);
        assert_int_equal(answered[left].answers, 1);
        assert_in_range(tills[left].count, before, before + 1);
    }
    expect_got(0, "abcd");
    expect_got(9, "bcd");
}

/* As many as may be held at a time; the next waits, and nothing is lost. */
static void test_more_wait_than_runs(void **state) {
    (void)state;
    char name[8];
    for (unsigned i = 0; i < FANOUT_RUNS_MAX + 10; i++) {
        snprintf(name, sizeof(name), "g%u", i);
        join(i, name);
        tills[i].full = i < FANOUT_RUNS_MAX;
        push(i, name, NULL, NULL);
    }
    fanout_work(&worker);
    assert_true(fanout_idle(&worker.fanout));
    expect_got(FANOUT_RUNS_MAX, "");
    /* With so many, they are not looked at in every turn. */
    tills[0].full = false;
    fanout_work(&worker);
    expect_got(0, "");
    worker.now_ns += FANOUT_HELD_AGAIN_NS;
    fanout_work(&worker);
    assert_int_equal(tills[0].count, 1);
    assert_int_equal(tills[FANOUT_RUNS_MAX + 9].count, 1);
    for (unsigned i = 0; i < FANOUT_RUNS_MAX; i++)
        tills[i].full = false;
    worker.now_ns += FANOUT_HELD_AGAIN_NS;
    fanout_work(&worker);
    for (unsigned i = 0; i < FANOUT_RUNS_MAX + 10; i++)
        assert_int_equal(answered[i].answers, 1);
}

static bool told_late(const char *name) {
    uint64_t place = name_hash(NAME_GROUP, NAMESPACE_MAIN, span_text(name)) % HELD_LATE_PLACES;
    return atomic_load(&box.any_held_late) &&
           (atomic_load(&box.held_late[place / 64]) >> place % 64 & 1) != 0;
}

static void test_who_publishes_is_told(void **state) {
    (void)state;
    join(0, "slow");
    join(1, "quick");
    tills[0].full = true;
    push(0, "slow", NULL, NULL);
    push(1, "quick", NULL, NULL);
    fanout_work(&worker);
    worker.now_ns += HELD_LATE_NS - 1;
    fanout_held_tell(&worker);
    assert_false(told_late("slow"));
    worker.now_ns++;
    fanout_held_tell(&worker);
    assert_true(told_late("slow"));
    assert_false(told_late("quick"));
    tills[0].full = false;
    fanout_work(&worker);
    fanout_held_tell(&worker);
    assert_false(told_late("slow"));
}

/* Who asks for little beside others finds room behind those. */
static void test_room_for_light_producers(void **state) {
    (void)state;
    const uint32_t more = FANOUT_COPIES_MAX / FANOUT_COPIES_LIGHT_PART;
    assert_true(fanout_reserve(&server.post, 0, FANOUT_COPIES_MAX, 0, false));
    assert_false(fanout_reserve(&server.post, 0, 1, 0, false));
    assert_true(fanout_reserve(&server.post, 0, more, 0, true));
    assert_false(fanout_reserve(&server.post, 0, 1, 0, true));
    fanout_release(&server.post, 0, FANOUT_COPIES_MAX + more);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_node, close_node)
    const struct CMUnitTest tests[] = {
        TEST(test_others_pass_one_that_waits),
        TEST(test_runs_wait_for_sends),
        TEST(test_several_addresses_keep_their_order),
        TEST(test_a_session_in_several_gets_it_once),
        TEST(test_addresses_that_share_a_bucket),
        TEST(test_a_session_leaves_while_one_waits_for_it),
        TEST(test_a_session_comes_again),
        TEST(test_more_wait_than_runs),
        TEST(test_who_publishes_is_told),
        TEST(test_room_for_light_producers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
