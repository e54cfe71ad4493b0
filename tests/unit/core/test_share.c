/* Shares of producers: who has one, who asks for little in all, how a part is divided among
 * connections; and in a model of a worker, with two and three producers, whatever refusals cost,
 * who asks for little is served, the rest is stable. */
#include "tests/support/cmocka_first.h"

#include "core/share.c"

#include "core/admission.c"

static struct admission admission;
static struct shares *const shares = &admission.shares;

static void begin(void) {
    admission_init(&admission);
    admission_turn(&admission, NS_PER_S);
}

/* A cycle in which each of so many connections of a producer asks so often, and each request makes
 * so many copies. */
static void ask(uint64_t producer, unsigned connections, unsigned times, unsigned copies) {
    static struct intake intakes[4][4096];
    struct intake *of = intakes[producer % 4];
    enum standing standing;
    for (unsigned i = 0; i < connections; i++)
        for (unsigned j = 0; j < times; j++) {
            assert_true(admission_ask(&admission, &of[i], producer, 0, &standing));
            shares_published(shares, of[i].place, copies);
        }
}

static void pass(uint64_t ns) {
    admission_turn(&admission, admission.now_ns + ns);
}

static struct share *share_of(uint64_t producer) {
    uint16_t place = 0;
    return shares_find(shares, producer, &place, admission.now_ns);
}

/* --- places ----------------------------------------------------------------------------------- */

static void test_a_producer_has_one_share(void **state) {
    (void)state;
    begin();
    uint16_t place = 0, other = 0;
    struct share *share = shares_find(shares, 7, &place, admission.now_ns);
    assert_ptr_equal(shares_find(shares, 7, &other, admission.now_ns), share);
    assert_int_equal(place, other);
    assert_int_equal(shares->count, 1);
    assert_false(shares_many(shares));
    /* A connection that asks for another producer now. */
    assert_ptr_not_equal(shares_find(shares, 8, &place, admission.now_ns), share);
    assert_int_equal(shares->count, 2);
    assert_true(shares_many(shares));
}

static void test_who_is_idle_leaves(void **state) {
    (void)state;
    begin();
    uint16_t place = 0;
    for (uint64_t producer = 1; producer <= 100; producer++) {
        place = 0;
        shares_find(shares, producer, &place, admission.now_ns);
    }
    pass(SHARE_IDLE_NS / 2);
    share_of(50);
    pass(SHARE_IDLE_NS / 2);
    assert_int_equal(shares->count, 1);
    /* A place that somebody else may have by now is not taken for one's own. */
    assert_int_equal(shares_find(shares, 100, &place, admission.now_ns)->producer, 100);
    for (uint64_t producer = 1000; producer < 1098; producer++)
        share_of(producer);
    assert_int_equal(shares->used, 100);
    assert_int_equal(shares->merged, 0);
    assert_int_equal(share_of(50)->producer, 50);
}

static void test_a_full_table_has_one_share_for_the_rest(void **state) {
    (void)state;
    begin();
    for (uint64_t producer = 1; producer <= SHARES_MAX; producer++)
        assert_int_equal(share_of(producer * 977)->producer, producer * 977);
    struct share *rest = share_of(1);
    assert_ptr_equal(rest, &shares->at[0]);
    assert_ptr_equal(share_of(2), rest);
    assert_int_equal(shares->merged, 2);
    assert_int_equal(shares->count, SHARES_MAX + 1);
    /* Once there is room it has its own. */
    pass(2 * SHARE_IDLE_NS);
    assert_int_equal(shares->count, 0);
    assert_int_equal(share_of(2)->producer, 2);
    assert_int_equal(shares->count, 1);
}

/* --- parts ------------------------------------------------------------------------------------ */

static void test_a_lone_producer_is_not_divided(void **state) {
    (void)state;
    begin();
    for (unsigned i = 0; i < 100; i++) {
        ask(1, 1000, 3, 1);
        shares_press(shares, admission.now_ns);
        pass(ADMISSION_CYCLE_NS);
    }
    assert_false(share_is_light(shares, share_of(1)));
    assert_int_equal(share_of(1)->cycle_ns, ADMISSION_CYCLE_NS);
}

/* The parts of half of what is served: who asks for less leaves the rest to others. */
static void test_parts_are_fair(void **state) {
    (void)state;
    static const struct {
        unsigned requests[3];
        bool light[3];
    } cases[] = {
        {{100, 1000, 0}, {true, false}},          {{1000, 1000, 0}, {false, false}},
        {{300, 1000, 0}, {true, false}},          {{400, 1000, 0}, {false, false}},
        {{10, 400, 600}, {true, false, false}},   {{10, 200, 1000}, {true, true, false}},
        {{500, 500, 500}, {false, false, false}},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        begin();
        for (unsigned cycle = 0; cycle < 100; cycle++) {
            for (unsigned j = 0; j < 3; j++)
                ask(j + 1, cases[i].requests[j] != 0, cases[i].requests[j], 1);
            pass(ADMISSION_CYCLE_NS);
        }
        for (unsigned j = 0; j < 3 && cases[i].requests[j] != 0; j++)
            if (share_is_light(shares, share_of(j + 1)) != cases[i].light[j])
                fail_msg("case %u, producer %u", i, j);
    }
}

/* What a request makes counts: few requests may be much. */
static void test_copies_count(void **state) {
    (void)state;
    begin();
    for (unsigned cycle = 0; cycle < 100; cycle++) {
        ask(1, 1, 1, 10000);
        ask(2, 1, 16, 1);
        pass(ADMISSION_CYCLE_NS);
    }
    assert_false(share_is_light(shares, share_of(1)));
    assert_true(share_is_light(shares, share_of(2)));
}

/* A light producer that asks for more at once than its part has what any other has. */
static void test_a_burst_beyond_the_part(void **state) {
    (void)state;
    begin();
    for (unsigned cycle = 0; cycle < 100; cycle++) {
        ask(1, 10, 100, 1);
        ask(2, 1, 1, 1);
        pass(ADMISSION_CYCLE_NS);
    }
    assert_true(share_is_light(shares, share_of(2)));
    ask(2, 1, 1000, 1);
    assert_false(share_is_light(shares, share_of(2)));
    pass(ADMISSION_CYCLE_NS);
    assert_true(share_is_light(shares, share_of(2)));
}

/* Refusals count as if they had been served. */
static void test_the_refused_do_not_look_small(void **state) {
    (void)state;
    begin();
    admission.patience_ns = 0;
    struct intake intake = {.taken = UINT16_MAX};
    enum standing standing;
    for (unsigned cycle = 0; cycle < 100; cycle++) {
        ask(2, 1, 100, 1);
        intake.cycle_ns = admission.now_ns;
        intake.taken = cycle == 0 ? 0 : UINT16_MAX;
        for (unsigned i = 0; i < 1000; i++)
            admission_ask(&admission, &intake, 1, i < 20 ? 0 : LATE_NS + 1, &standing);
        pass(ADMISSION_CYCLE_NS);
    }
    assert_true(share_of(1)->served < share_of(2)->served);
    assert_false(share_is_light(shares, share_of(1)));
}

/* While it presses, all connections of a producer together ask for no more than its part by asking
 * for little each; and each may ask for something. */
static void test_a_part_is_divided(void **state) {
    (void)state;
    begin();
    for (unsigned cycle = 0; cycle < 100; cycle++) {
        ask(1, 4000, 1, 1);
        ask(2, 1, 16, 1);
        pass(ADMISSION_CYCLE_NS);
    }
    assert_int_equal(share_of(1)->cycle_ns, ADMISSION_CYCLE_NS);
    shares_press(shares, admission.now_ns);
    for (unsigned cycle = 0; cycle < 50; cycle++) {
        ask(1, 4000, 1, 1);
        ask(2, 1, 16, 1);
        pass(ADMISSION_CYCLE_NS);
        shares_press(shares, admission.now_ns);
    }
    const struct share *share = share_of(1);
    double little = 4000.0 * ADMISSION_MODEST * ADMISSION_CYCLE_NS / (double)share->cycle_ns;
    double part = shares->fair / (1 + SHARE_REQUEST_UNITS + SHARE_MESSAGE_UNITS);
    assert_true(little < 1.05 * part && little > 0.95 * part);
    assert_int_equal(share_of(2)->cycle_ns, ADMISSION_CYCLE_NS);
    assert_true(share->cycle_ns <= SHARE_CYCLE_MAX_NS);
    /* Nobody presses any more. */
    for (unsigned cycle = 0; cycle < 50; cycle++) {
        ask(1, 4000, 1, 1);
        ask(2, 1, 16, 1);
        pass(ADMISSION_CYCLE_NS);
    }
    assert_int_equal(share_of(1)->cycle_ns, ADMISSION_CYCLE_NS);
}

/* Many connections that seldom ask: however small their part of the part, each has something. */
static void test_a_cycle_has_an_end(void **state) {
    (void)state;
    static struct intake intakes[4000];
    enum standing standing;
    begin();
    for (unsigned cycle = 0; cycle < 100; cycle++) {
        for (unsigned i = cycle % 25; i < 4000; i += 25)
            assert_true(admission_ask(&admission, &intakes[i], 1, 0, &standing));
        ask(2, 1, 1, 0);
        shares_press(shares, admission.now_ns);
        pass(ADMISSION_CYCLE_NS);
    }
    assert_int_equal(share_of(1)->cycle_ns, SHARE_CYCLE_MAX_NS);
}

/* --- a model ---------------------------------------------------------------------------------- */

/* A worker that takes requests in, and delivers, in the order in which they came. While deliveries
 * wait, taking in has a part of the time. How late it delivers is what it goes by, as the hub does.
 */
#define TURN_NS (2 * NS_PER_MS)
#define TAKE_NS 3000
#define DELIVER_NS 5000
#define CONNECTIONS_MAX 12000
#define QUEUE 131072

struct sender {
    uint64_t producer;
    double every_ns; /* 0: asks again as soon as it has its answer */
    double next_ns;
    uint32_t waiting;        /* requests without an answer */
    uint32_t at_once;        /* at most so many */
    uint64_t asked, refused; /* after it has settled */
    struct intake intake;
};

struct item {
    uint32_t sender;
    uint16_t place;
    uint64_t came_ns;
};

struct queue {
    struct item items[QUEUE];
    uint64_t first, end;
};

static struct {
    struct sender senders[CONNECTIONS_MAX];
    uint32_t count;
    struct queue ready, taken;
    uint64_t late_since_ns; /* 0: it is not late */
    uint64_t delivered, worst_lag_ns;
} model;

static void push(struct queue *queue, struct item item) {
    assert_true(queue->end - queue->first < QUEUE);
    queue->items[queue->end++ % QUEUE] = item;
}

static void senders_add(uint64_t producer, unsigned count, double per_second, uint32_t at_once) {
    for (unsigned i = 0; i < count; i++) {
        struct sender *sender = &model.senders[model.count++];
        *sender = (struct sender){.producer = producer, .at_once = at_once};
        if (per_second > 0) {
            sender->every_ns = 1e9 / per_second;
            sender->next_ns = 1e9 + sender->every_ns * i / count;
        }
    }
}

static void senders_ask(uint64_t now_ns) {
    for (uint32_t i = 0; i < model.count; i++) {
        struct sender *sender = &model.senders[i];
        while (sender->waiting < sender->at_once &&
               (!(sender->every_ns > 0) || sender->next_ns <= (double)now_ns)) {
            push(&model.ready, (struct item){.sender = i, .came_ns = now_ns});
            sender->waiting++;
            sender->next_ns += sender->every_ns;
        }
    }
}

static uint64_t lag_of(uint64_t now_ns) {
    const struct queue *taken = &model.taken;
    return taken->first == taken->end ? 0 : now_ns - taken->items[taken->first % QUEUE].came_ns;
}

/* A worker says how late it is when that has lasted. */
static uint64_t lag_told(uint64_t now_ns) {
    uint64_t lag_ns = lag_of(now_ns);
    if (lag_ns <= LATE_NS)
        model.late_since_ns = 0;
    else if (model.late_since_ns == 0)
        model.late_since_ns = now_ns;
    return lag_ns > LATE_NS && now_ns - model.late_since_ns >= LATE_PATIENCE_NS ? lag_ns : 0;
}

/* One request; how long that takes. */
static uint64_t request_handle(struct item item, uint64_t now_ns, uint64_t refuse_ns,
                               bool settled) {
    static const unsigned times[] = {1, LATE_TIMES_DIVIDED, LATE_TIMES_LITTLE, LATE_TIMES_LIGHT};
    struct sender *sender = &model.senders[item.sender];
    enum standing standing;
    uint64_t lag_ns = lag_told(now_ns);
    sender->intake.late_ns = sender->waiting > 1 ? now_ns - item.came_ns : 0;
    sender->asked += settled;
    if (!admission_ask(&admission, &sender->intake, sender->producer, lag_ns, &standing)) {
        admission_refused(&admission, refuse_ns);
        sender->waiting--;
        sender->refused += settled;
        return refuse_ns;
    }
    item.place = sender->intake.place;
    if (lag_ns > times[standing] * LATE_NS) {
        if (standing != ASKS_MUCH)
            shares_press(shares, now_ns);
        shares_published(shares, item.place, 0);
        sender->waiting--;
        sender->refused += settled;
        return TAKE_NS;
    }
    item.came_ns = now_ns;
    push(&model.taken, item);
    return TAKE_NS;
}

static void deliver(bool settled) {
    struct item item = model.taken.items[model.taken.first++ % QUEUE];
    shares_published(shares, item.place, 1);
    model.senders[item.sender].waiting--;
    model.delivered += settled;
}

static void model_turn(uint64_t now_ns, uint64_t refuse_ns, bool settled) {
    admission_turn(&admission, now_ns);
    senders_ask(now_ns);
    if (settled && lag_of(now_ns) > model.worst_lag_ns)
        model.worst_lag_ns = lag_of(now_ns);
    uint64_t in_ns = 0, out_ns = 0;
    while (in_ns + out_ns < TURN_NS) {
        bool waits = model.taken.first != model.taken.end;
        bool asked = model.ready.first != model.ready.end;
        if (asked && (!waits || in_ns < TURN_NS * FLOOD_SHARE_PERCENT / 100)) {
            struct item item = model.ready.items[model.ready.first++ % QUEUE];
            in_ns += request_handle(item, now_ns, refuse_ns, settled);
        } else if (waits) {
            deliver(settled);
            out_ns += DELIVER_NS;
        } else {
            break;
        }
    }
}

/* Runs it for 5 s, of which the first 2 do not count. `stalls`: the CPU goes away for 100 ms of
 * each second. */
static void model_run(uint64_t refuse_ns, bool stalls) {
    model.ready.first = model.ready.end = model.taken.first = model.taken.end = 0;
    model.delivered = model.worst_lag_ns = model.late_since_ns = 0;
    begin();
    uint64_t turn = 0;
    for (uint64_t now_ns = NS_PER_S; now_ns < 6 * NS_PER_S; now_ns += TURN_NS, turn++)
        if (!stalls || turn % 500 >= 50)
            model_turn(now_ns, refuse_ns, now_ns >= 3 * NS_PER_S);
}

static double refused_of(uint32_t from, uint32_t count) {
    double asked = 0, refused = 0;
    for (uint32_t i = from; i < from + count; i++) {
        asked += (double)model.senders[i].asked;
        refused += (double)model.senders[i].refused;
    }
    return asked > 0 ? refused / asked : 1;
}

/* A: so many connections, each with so many requests at once as soon as it has answers, and a lone
 * one that asks for little. B: one, 400 a second. C: 10, of 100 a second. */
static void producers_run(unsigned connections, uint32_t at_once, bool three, uint64_t refuse_ns,
                          bool stalls) {
    model.count = 0;
    senders_add(1, connections, 0, at_once);
    senders_add(1, 1, 1.5, 1);
    senders_add(2, 1, 400, 400);
    if (three)
        senders_add(3, 10, 100, 100);
    model_run(refuse_ns, stalls);
    double lone = refused_of(connections, 1);
    double b = refused_of(connections + 1, 1), c = three ? refused_of(connections + 2, 10) : 0;
    double goodput = (double)model.delivered * (TAKE_NS + DELIVER_NS) / (3e9 * (stalls ? 0.9 : 1));
    double floor = 1 - ADMISSION_SHARE_PERCENT / 100.0 - 0.01;
    /* The lone one asks 4 times; it is among those that are refused first. */
    bool good = lone <= 0.25 && b == 0 && c == 0;
    if (stalls) /* while it catches up all that it delivers is late */
        good = lone <= 0.5 && b < 0.05 && c < 0.05;
    else
        good = good && model.worst_lag_ns <= (uint64_t)LATE_TIMES_LITTLE * LATE_NS;
    if (!good || goodput < floor)
        fail_msg("%u x %u, refusal %llu ns%s: goodput %.2f, lag %.0f ms, refused of all %.3f, "
                 "lone %.3f, b %.3f, c %.3f",
                 connections, at_once, (unsigned long long)refuse_ns, stalls ? ", stalls" : "",
                 goodput, (double)model.worst_lag_ns / 1e6, refused_of(0, connections), lone, b, c);
}

/* One worker stands for any number: they divide each by itself. */
static void test_models(void **state) {
    (void)state;
    static const uint64_t refusals_ns[] = {500, 1000, 2000, 5000, 10000, 20000};
    static const struct {
        unsigned connections;
        uint32_t at_once;
    } floods[] = {{64, 300}, {4000, 1}, {10000, 1}};
    for (unsigned i = 0; i < sizeof(refusals_ns) / sizeof(*refusals_ns); i++)
        for (unsigned j = 0; j < sizeof(floods) / sizeof(*floods); j++)
            for (unsigned three = 0; three < 2; three++)
                producers_run(floods[j].connections, floods[j].at_once, three, refusals_ns[i],
                              (i + three) % 2 == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_producer_has_one_share),
        cmocka_unit_test(test_who_is_idle_leaves),
        cmocka_unit_test(test_a_full_table_has_one_share_for_the_rest),
        cmocka_unit_test(test_a_lone_producer_is_not_divided),
        cmocka_unit_test(test_parts_are_fair),
        cmocka_unit_test(test_copies_count),
        cmocka_unit_test(test_a_burst_beyond_the_part),
        cmocka_unit_test(test_the_refused_do_not_look_small),
        cmocka_unit_test(test_a_part_is_divided),
        cmocka_unit_test(test_a_cycle_has_an_end),
        cmocka_unit_test(test_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
