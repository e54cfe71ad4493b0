/* The seat of a store: what a producer's endpoint may have there, how long it waits, who comes
 * first, and answers that come when nobody waits any more. Keepers are fakes that note what was
 * decided. */
#include "tests/support/cmocka_first.h"

#include "core/hub.h"
#include "core/keeper.h"

static struct publish *fake_publish_of(struct endpoint *at, uint64_t token);
static void fake_decide(struct endpoint *at, struct publish *publish);

#define publish_of fake_publish_of
#define keeper_decide fake_decide
#include "core/store.c"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>

#define SLOTS 64
#define REQUESTS_MAX (SLOTS / 2)
#define CREDIT (REQUESTS_MAX / 2)
#define WORKER 0
#define STORE 1

static struct config config;
static struct server server;
static struct worker *worker; /* the only one: the producer, and the keeper */
static struct endpoint *endpoint;
static struct store store;
static struct publish publishes[REQUESTS_MAX];
static unsigned decided, unstored;
static bool decisions_wait;  /* keepers have no room to be told */
static struct mail last_put; /* what the store was given last */
static unsigned given, settled;

static struct publish *fake_publish_of(struct endpoint *at, uint64_t token) {
    assert_ptr_equal(at, endpoint);
    struct publish *publish = &publishes[(uint32_t)token - 1];
    return publish->generation == token >> 32 ? publish : NULL;
}

static void publish_over(struct publish *publish) {
    struct fate *fate = publish->message->fate;
    if (publish->unstored) {
        fates_cancel(&server.fates, fate);
    } else {
        fates_taken(&server.fates, fate, RESULT_STORED, 0, endpoint->now_ns);
        fates_release(&server.fates, fate);
    }
    message_release(endpoint, publish->message);
    publish->generation++;
}

static void fake_decide(struct endpoint *at, struct publish *publish) {
    assert_ptr_equal(at, endpoint);
    assert_false(publish->storing);
    decided++;
    unstored += publish->unstored;
    if (!decisions_wait)
        publish_over(publish);
}

static void on_put(struct store *at, const struct mail *mail) {
    assert_ptr_equal(at, &store);
    last_put = *mail;
    given++;
    message_release(&store.port.endpoint, mail->object);
}

static void on_settle(struct store *at, struct message *message, uint32_t address,
                      enum fate_state state, enum fate_reason reason) {
    assert_ptr_equal(at, &store);
    assert_true(address == 0 && state == FATE_DROPPED && reason == FATE_REASON_WITHDRAWN);
    settled++;
    message_release(&store.port.endpoint, message);
}

static void nudge(void *argument, unsigned index) {
    (void)argument, (void)index;
}

static void endpoint_make(struct endpoint *at, unsigned index) {
    at->server = &server;
    at->config = &config;
    at->index = index;
    at->is_worker = index == WORKER;
    at->now_ns = NS_PER_S;
    at->slice_until_ns = UINT64_MAX;
    account_init(&at->account, &server.budget);
    wheel_init(&at->wheel, at->now_ns);
    storing_init(&at->storing);
    server.endpoints[index] = at;
}

static int setup(void **state) {
    (void)state;
    static const struct store_type type = {.put = on_put, .settle = on_settle};
    static const struct port_type port_type = {.name = "store"};
    post_slots_override = SLOTS;
    hash_init(NULL);
    memset(&server, 0, sizeof(server));
    memset(publishes, 0, sizeof(publishes));
    decided = unstored = given = settled = 0;
    worker = aligned_alloc(64, sizeof(*worker));
    assert_non_null(worker);
    memset(worker, 0, sizeof(*worker));
    endpoint = &worker->endpoint;
    server.workers = worker;
    server.worker_count = 1;
    atomic_init(&server.config, &config);
    budget_init(&server.budget, UINT64_C(1) << 30);
    config.fate_max = 1000;
    config.fate_window_ns = 1000 * NS_PER_S;
    fates_init(&server.fates, &server.budget, &config, nudge, NULL);
    assert_true(post_init(&server.post, 2));
    store_init(&store, &type, &port_type, "test");
    endpoint_make(endpoint, WORKER);
    endpoint_make(&store.port.endpoint, STORE);
    server.parts.store = &store;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    endpoints_collect(&server);
    assert_int_equal(endpoint->account.used_bytes, 0);
    assert_int_equal(endpoint->storing.owed, 0);
    fates_fini(&server.fates);
    account_fini(&endpoint->account);
    account_fini(&store.port.account);
    post_fini(&server.post);
    free(worker);
    post_slots_override = 0;
    return 0;
}

static struct message *message_make(unsigned number) {
    char id[16];
    snprintf(id, sizeof id, "m%u", number);
    static const struct span to[] = {{"till", 4}};
    const struct message_parts parts = {
        .id = span_text(id), .event = SPAN("pay"), .to = to, .to_count = 1, .class = CLASS_ACK};
    struct message *message = message_open(endpoint, &parts);
    assert_non_null(message);
    message_seal(message, 0);
    message->accepted_ns = endpoint->now_ns;
    assert_true(fates_open(&server.fates, message, SPAN(""), (struct hash128){0, 0}, 1));
    return message;
}

static struct fate *put(unsigned number) {
    struct publish *publish = &publishes[number];
    *publish = (struct publish){.slot = number + 1,
                                .generation = publish->generation,
                                .recipients = 7,
                                .message = message_make(number)};
    struct fate *fate = publish->message->fate;
    store_put(endpoint, publish);
    return fate;
}

/* The store takes its mail, and answers some other time. */
static unsigned store_takes(void) {
    struct mail mail;
    unsigned count = 0;
    while (queue_pop(&server.post.boxes[STORE].from[WORKER], &mail)) {
        count++;
        if (mail.kind == MAIL_PUT)
            store_on_put(&store.port.endpoint, &mail);
        else
            store_on_settle(&store.port.endpoint, &mail);
    }
    return count;
}

static unsigned answers_take(void) {
    struct mail mail;
    unsigned count = 0;
    while (queue_pop(&server.post.boxes[WORKER].from[STORE], &mail)) {
        assert_int_equal(mail.kind, MAIL_PUT_DONE);
        store_on_put_done(endpoint, &mail);
        count++;
    }
    return count;
}

/* Lets go of the fate, as a store does before it answers. */
static void answer(const struct mail *request, struct fate *fate, bool stored) {
    fates_release(&server.fates, fate);
    store_answer(&store, request, stored);
    assert_int_equal(answers_take(), 1);
}

static void pass(uint64_t ns) {
    endpoint->now_ns += ns;
    wheel_advance(&endpoint->wheel, endpoint, endpoint->now_ns);
}

static void test_answers(void **state) {
    (void)state;
    struct fate *fate = put(0);
    assert_true(publishes[0].storing);
    assert_int_equal(endpoint->storing.owed, 1);
    assert_int_equal(store_takes(), 1);
    assert_int_equal(last_put.number, 7);
    assert_int_equal(decided, 0);
    assert_true(fates_stored(&server.fates, fate));
    answer(&last_put, fate, true);
    assert_int_equal(decided, 1);
    assert_int_equal(unstored, 0);
    /* It says no. */
    fate = put(1);
    store_takes();
    answer(&last_put, fate, false);
    assert_int_equal(decided, 2);
    assert_int_equal(unstored, 1);
    pass(2 * STORE_ANSWER_NS);
    assert_int_equal(stats_get(&endpoint->stats.store_late), 0);
}

static void test_it_is_late(void **state) {
    (void)state;
    struct fate *first = put(0);
    store_takes();
    const struct mail request = last_put;
    pass(STORE_ANSWER_NS / 2);
    struct fate *second = put(1);
    store_takes();
    pass(STORE_ANSWER_NS / 2 - TIMER_TICK_NS);
    assert_int_equal(decided, 0);
    pass(2 * TIMER_TICK_NS);
    assert_int_equal(decided, 1);
    assert_int_equal(unstored, 1);
    assert_int_equal(stats_get(&endpoint->stats.store_late), 1);
    /* The other has its own time; the store learns that nobody wants the first any more, and its
     * answer is passed over, though another publish has the place. */
    assert_true(publishes[1].storing);
    assert_false(fates_stored(&server.fates, first));
    struct fate *third = put(0);
    answer(&request, first, false);
    assert_int_equal(decided, 1);
    assert_true(publishes[0].storing);
    assert_int_equal(endpoint->storing.owed, 2);
    pass(STORE_ANSWER_NS / 2);
    assert_int_equal(decided, 2);
    pass(STORE_ANSWER_NS);
    assert_int_equal(unstored, 3);
    store_takes();
    answer(&last_put, third, false);
    answer(&last_put, second, false);
}

/* The same, while its keepers are not told yet: it is decided once. */
static void test_it_is_late_and_not_over(void **state) {
    (void)state;
    decisions_wait = true;
    struct fate *fate = put(0);
    store_takes();
    pass(STORE_ANSWER_NS + TIMER_TICK_NS);
    assert_int_equal(decided, 1);
    answer(&last_put, fate, false);
    assert_int_equal(decided, 1);
    assert_int_equal(endpoint->storing.owed, 0);
    decisions_wait = false;
    publish_over(&publishes[0]);
}

/* It is stored, and the answer is on its way when the time is over. */
static void test_it_is_late_by_a_hair(void **state) {
    (void)state;
    struct fate *fate = put(0);
    store_takes();
    pass(STORE_ANSWER_NS - TIMER_TICK_NS);
    assert_true(fates_stored(&server.fates, fate));
    pass(NS_PER_S);
    assert_int_equal(decided, 0);
    assert_true(timer_armed(&endpoint->storing.timer));
    answer(&last_put, fate, true);
    assert_int_equal(decided, 1);
    assert_int_equal(unstored, 0);
    assert_int_equal(stats_get(&endpoint->stats.store_late), 0);
}

static void test_credit(void **state) {
    (void)state;
    struct fate *fates[CREDIT];
    struct mail requests[CREDIT];
    for (unsigned i = 0; i < CREDIT; i++) {
        fates[i] = put(i);
        store_takes();
        requests[i] = last_put;
    }
    put(CREDIT);
    assert_int_equal(unstored, 1);
    assert_int_equal(stats_get(&endpoint->stats.store_refused), 1);
    /* Time gives no credit back, an answer does, late or not. */
    pass(STORE_ANSWER_NS + TIMER_TICK_NS);
    assert_int_equal(unstored, CREDIT + 1);
    put(0);
    assert_int_equal(stats_get(&endpoint->stats.store_refused), 2);
    answer(&requests[0], fates[0], false);
    struct fate *fate = put(0);
    assert_int_equal(stats_get(&endpoint->stats.store_refused), 2);
    assert_true(publishes[0].storing);
    store_takes();
    answer(&last_put, fate, false);
    for (unsigned i = 1; i < CREDIT; i++)
        answer(&requests[i], fates[i], false);
}

static void test_no_room_in_the_mailbox(void **state) {
    (void)state;
    struct message *message = message_make(100);
    unsigned count = 0;
    while (store_settle(endpoint, message, 0, FATE_DROPPED, FATE_REASON_WITHDRAWN)) {
        message_hold(message, 1); /* for the next one */
        count++;
    }
    assert_true(count >= SLOTS / 4);
    put(0);
    assert_int_equal(unstored, 1);
    assert_int_equal(stats_get(&endpoint->stats.store_refused), 1);
    assert_int_equal(store_takes(), count);
    assert_int_equal(settled, count);
    struct fate *fate = put(0);
    assert_true(publishes[0].storing);
    store_takes();
    answer(&last_put, fate, false);
    fates_cancel(&server.fates, message->fate);
    message_release(endpoint, message);
}

static void test_the_node_ends(void **state) {
    (void)state;
    struct fate *safe = put(0), *late = put(1);
    assert_int_equal(store_takes(), 2);
    assert_true(fates_stored(&server.fates, safe));
    store_give_up(endpoint);
    assert_int_equal(unstored, 1);
    assert_false(publishes[1].storing);
    assert_true(publishes[0].storing);
    store_give_up(endpoint);
    assert_int_equal(decided, 1);
    assert_false(fates_stored(&server.fates, late));
    struct mail request = last_put;
    answer(&request, late, false);
    request.token = publish_token(&publishes[0]);
    answer(&request, safe, true);
    assert_int_equal(decided, 2);
    assert_int_equal(unstored, 1);
}

/* What comes behind its end is not for the store itself any more. */
static void test_the_store_has_stopped(void **state) {
    (void)state;
    struct message *message = message_make(100);
    store.port.stopped = true;
    put(0);
    message_hold(message, 1);
    assert_true(store_settle(endpoint, message, 0, FATE_ACKED, FATE_REASON_NONE));
    assert_int_equal(store_takes(), 2);
    assert_int_equal(given + settled, 0);
    assert_int_equal(answers_take(), 1);
    assert_int_equal(unstored, 1);
    assert_int_equal(fate_state(message->fate), FATE_PENDING);
    fates_cancel(&server.fates, message->fate);
    message_release(endpoint, message);
}

/* What came behind its last turn. */
static void test_nobody_takes_it_any_more(void **state) {
    (void)state;
    struct message *message = message_make(100);
    message_hold(message, 1);
    assert_true(store_settle(endpoint, message, 0, FATE_ACKED, FATE_REASON_NONE));
    put(0);
    store_give_up(endpoint);
    assert_int_equal(unstored, 1);
    endpoint->storing.owed = 0; /* no answer comes */
    fates_cancel(&server.fates, message->fate);
    message_release(endpoint, message);
    assert_true(endpoint->account.used_bytes != 0);
    /* The teardown looks that all of it is home. */
}

/* --- two threads ----------------------------------------------------------------------------- */

#define RACES 2000

static struct fate *raced[RACES];
static bool was_stored[RACES], was_given_up[RACES];
static _Atomic unsigned arrived; /* at a race, both together */

/* Both come to it at about the same time. */
static void race_begin(unsigned number) {
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < 2 * (number + 1))
        sched_yield();
}

static void *stores(void *argument) {
    (void)argument;
    for (unsigned i = 0; i < RACES; i++) {
        race_begin(i);
        was_stored[i] = fates_stored(&server.fates, raced[i]);
    }
    return NULL;
}

static void test_one_of_the_two_comes_first(void **state) {
    (void)state;
    pthread_t thread;
    for (unsigned i = 0; i < RACES; i++) {
        struct message *message = message_make(i);
        raced[i] = message->fate;
        message_release(endpoint, message);
    }
    assert_int_equal(pthread_create(&thread, NULL, stores, NULL), 0);
    for (unsigned i = 0; i < RACES; i++) {
        race_begin(i);
        was_given_up[i] = fates_give_up(&server.fates, raced[i]);
    }
    pthread_join(thread, NULL);
    for (unsigned i = 0; i < RACES; i++) {
        assert_true(was_stored[i] != was_given_up[i]);
        assert_false(fates_give_up(&server.fates, raced[i]));
        assert_false(fates_stored(&server.fates, raced[i]));
        fates_cancel(&server.fates, raced[i]);
    }
}

/* --- which records a start needs ------------------------------------------------------------- */

static bool needs(uint64_t serial, enum fate_record sort, uint64_t record) {
    return fates_need(&server.fates, SPAN(""), SPAN("m0"), serial, sort, record);
}

static void test_needs(void **state) {
    (void)state;
    static const struct span to[] = {{"a", 1}, {"b", 1}};
    const struct message_parts parts = {
        .id = SPAN("m0"), .event = SPAN("pay"), .to = to, .to_count = 2, .class = CLASS_ACK};
    struct message *message = message_open(endpoint, &parts);
    assert_non_null(message);
    message_seal(message, 0);
    assert_true(fates_open(&server.fates, message, SPAN(""), (struct hash128){0, 0}, 1));
    struct fate *fate = message->fate;
    assert_false(needs(5, FATE_RECORD_MESSAGE, 10)); /* it has none yet */
    fates_record(&server.fates, fate, 5, 1, 10, 100);
    assert_int_equal(fates_record_bytes(&server.fates), 100);
    /* It, and copies that were made since; nothing older, and no other's. */
    assert_true(needs(5, FATE_RECORD_MESSAGE, 10) && needs(5, FATE_RECORD_MESSAGE, 20));
    assert_false(needs(5, FATE_RECORD_MESSAGE, 9) || needs(4, FATE_RECORD_MESSAGE, 10));
    assert_false(needs(5, FATE_RECORD_WHOLE, 10));
    assert_false(fates_need(&server.fates, SPAN("cx"), SPAN("m0"), 5, FATE_RECORD_MESSAGE, 10));
    assert_false(fates_note(&server.fates, fate, 0, FATE_ACKED, FATE_REASON_NONE));
    assert_true(needs(5, FATE_RECORD_MESSAGE, 10) && needs(5, FATE_RECORD_ADDRESS, 11));
    assert_true(fates_note(&server.fates, fate, 1, FATE_EXPIRED, FATE_REASON_NONE));
    fates_record(&server.fates, fate, 5, 1, 12, 40);
    assert_int_equal(fates_record_bytes(&server.fates), 40);
    assert_false(needs(5, FATE_RECORD_MESSAGE, 10) || needs(5, FATE_RECORD_MESSAGE, 20));
    assert_false(needs(5, FATE_RECORD_ADDRESS, 11));
    assert_true(needs(5, FATE_RECORD_WHOLE, 12) && needs(5, FATE_RECORD_WHOLE, 30));
    assert_true(fates_give_up(&server.fates, fate));
    assert_false(needs(5, FATE_RECORD_WHOLE, 12));
    fates_cancel(&server.fates, fate);
    assert_int_equal(fates_record_bytes(&server.fates), 0);
    assert_false(needs(5, FATE_RECORD_WHOLE, 12));
    message_release(endpoint, message);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_is_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_is_late_and_not_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_is_late_by_a_hair, setup, teardown),
        cmocka_unit_test_setup_teardown(test_credit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_room_in_the_mailbox, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_node_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_store_has_stopped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_takes_it_any_more, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_of_the_two_comes_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_needs, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
