/* The wheel: never early, at most a tick late, whatever the distance; the time of the next look is
 * right; a turn is short, whatever has come up. */
#include "tests/support/cmocka_first.h"

#include "core/base/list.h"

#include <stdlib.h>

/* Every timer that goes from one list to another is counted; a whole list at once is none. */
static uint64_t moves;

static void list_add_tail_counted(struct list *head, struct list *node) {
    moves++;
    list_add_tail(head, node);
}

/* A slice lasts for so many looks at the clock as endpoint.slice_until_ns says. */
#define list_add_tail list_add_tail_counted
#define clock_ns looks_ns
#include "core/timer.c"

static uint64_t looks;

uint64_t clock_ns(void) {
    return ++looks;
}

struct alarm {
    struct timer timer;
    uint64_t due_ns;
    uint64_t fired_ns;
    unsigned times;
};

static struct endpoint endpoint;
static uint64_t now_ns;

static void alarm_fire(struct endpoint *e, struct timer *timer) {
    assert_ptr_equal(e, &endpoint);
    struct alarm *alarm = container_of(timer, struct alarm, timer);
    alarm->fired_ns = now_ns;
    alarm->times++;
    assert_true(now_ns >= alarm->due_ns);
}

static void alarm_set(struct wheel *wheel, struct alarm *alarm, uint64_t due_ns) {
    alarm->due_ns = due_ns;
    timer_arm(wheel, &alarm->timer, due_ns);
}

static void test_fires_once_and_not_early(void **state) {
    (void)state;
    struct wheel wheel;
    now_ns = 12345 * NS_PER_MS;
    wheel_init(&wheel, now_ns);
    static const uint64_t away_ms[] = {0,   1,     3,     4,     5,       255,    256,
                                       257, 10000, 16383, 16384, 1048576, 5000000};
    struct alarm alarms[sizeof(away_ms) / sizeof(away_ms[0])] = {0};
    size_t count = sizeof(alarms) / sizeof(alarms[0]);
    for (size_t i = 0; i < count; i++) {
        timer_init(&alarms[i].timer, alarm_fire);
        alarm_set(&wheel, &alarms[i], now_ns + away_ms[i] * NS_PER_MS);
    }
    while (wheel.armed > 0) {
        uint64_t next_ns = wheel_next_ns(&wheel);
        assert_true(next_ns != CLOCK_NEVER);
        if (next_ns > now_ns)
            now_ns = next_ns;
        wheel_advance(&wheel, &endpoint, now_ns);
    }
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(alarms[i].times, 1);
        assert_true(alarms[i].fired_ns - alarms[i].due_ns <= 2 * TIMER_TICK_NS);
    }
    assert_int_equal(wheel_next_ns(&wheel), CLOCK_NEVER);
}

static void test_against_a_plain_list(void **state) {
    (void)state;
    enum { ALARMS = 200, STEPS = 20000 };
    struct wheel wheel;
    struct alarm alarms[ALARMS] = {0};
    srandom(7);
    now_ns = NS_PER_S;
    wheel_init(&wheel, now_ns);
    for (int i = 0; i < ALARMS; i++)
        timer_init(&alarms[i].timer, alarm_fire);
    for (int step = 0; step < STEPS; step++) {
        struct alarm *alarm = &alarms[random() % ALARMS];
        long what = random() % 10;
        if (what < 5) {
            uint64_t away = (uint64_t)random() % (UINT64_C(1) << (8 + random() % 22));
            alarm_set(&wheel, alarm, now_ns + away * NS_PER_US);
        } else if (what < 7) {
            timer_disarm(&wheel, &alarm->timer);
            assert_false(timer_armed(&alarm->timer));
        } else {
            uint64_t before_ns = now_ns;
            now_ns += (uint64_t)random() % (300 * NS_PER_MS);
            uint64_t next_ns = wheel_next_ns(&wheel);
            unsigned fired_before = 0, fired_after = 0;
            for (int i = 0; i < ALARMS; i++)
                fired_before += alarms[i].times;
            wheel_advance(&wheel, &endpoint, now_ns);
            for (int i = 0; i < ALARMS; i++) {
                fired_after += alarms[i].times;
                /* Nothing that was due a tick ago is still armed. */
                if (timer_armed(&alarms[i].timer))
                    assert_true(alarms[i].due_ns + 2 * TIMER_TICK_NS > now_ns);
            }
            /* Had it slept until the time it named, it would have missed nothing. */
            if (fired_after != fired_before)
                assert_true(next_ns <= now_ns);
            assert_true(now_ns >= before_ns);
        }
    }
}

static uint64_t rearm_to_ns;
static struct wheel *rearm_wheel;

static void rearm_fire(struct endpoint *e, struct timer *timer) {
    (void)e;
    struct alarm *alarm = container_of(timer, struct alarm, timer);
    alarm->times++;
    timer_arm(rearm_wheel, timer, rearm_to_ns);
}

static void test_a_handler_may_arm_again(void **state) {
    (void)state;
    struct wheel wheel;
    struct alarm alarm = {0};
    now_ns = NS_PER_S;
    wheel_init(&wheel, now_ns);
    rearm_wheel = &wheel;
    timer_init(&alarm.timer, rearm_fire);
    timer_arm(&wheel, &alarm.timer, now_ns);
    for (int i = 0; i < 5; i++) {
        /* Armed for now: it must not fire again within the same look. */
        now_ns += 2 * TIMER_TICK_NS;
        rearm_to_ns = now_ns;
        wheel_advance(&wheel, &endpoint, now_ns);
        assert_int_equal(alarm.times, i + 1);
    }
    timer_disarm(&wheel, &alarm.timer);
}

/* What the slice of time has no room for stays due, in its order. */
static void test_a_slice_ends(void **state) {
    (void)state;
    struct wheel wheel;
    struct alarm alarms[3] = {0};
    now_ns = NS_PER_S;
    wheel_init(&wheel, now_ns);
    for (unsigned i = 0; i < 3; i++) {
        timer_init(&alarms[i].timer, alarm_fire);
        alarms[i].due_ns = now_ns;
        timer_arm(&wheel, &alarms[i].timer, now_ns);
    }
    endpoint.slice_until_ns = 0;
    for (int fired = 1; fired <= 3; fired++) {
        now_ns += 2 * TIMER_TICK_NS;
        wheel_advance(&wheel, &endpoint, now_ns);
        for (int i = 0; i < 3; i++)
            assert_int_equal(alarms[i].times, i < fired);
    }
    assert_int_equal(wheel.armed, 0);
    endpoint.slice_until_ns = UINT64_MAX;
}

/* What is due first fires first, even if there is time for one in a turn only. */
static void test_earlier_ones_fire_first(void **state) {
    (void)state;
    enum { ALARMS = 300 };
    struct wheel wheel;
    struct alarm alarms[ALARMS] = {0};
    uint64_t last_ns = 0;
    now_ns = NS_PER_S;
    wheel_init(&wheel, now_ns);
    for (unsigned i = 0; i < ALARMS; i++) {
        timer_init(&alarms[i].timer, alarm_fire);
        alarm_set(&wheel, &alarms[i], now_ns + (i * 7 % 5 + 1) * TIMER_TICK_NS);
    }
    endpoint.slice_until_ns = 0;
    while (wheel.armed != 0) {
        now_ns += TIMER_TICK_NS;
        wheel_advance(&wheel, &endpoint, now_ns);
        for (unsigned i = 0; i < ALARMS; i++)
            if (alarms[i].fired_ns == now_ns) {
                assert_true(alarms[i].due_ns >= last_ns);
                last_ns = alarms[i].due_ns;
            }
        assert_true(wheel.armed == 0 || now_ns < NS_PER_S + 3 * TIMER_TICK_NS ||
                    wheel_next_ns(&wheel) <= now_ns);
    }
    endpoint.slice_until_ns = UINT64_MAX;
}

/* --- more than a turn has time for ------------------------------------------------------------ */

/* So many alarms, and turns with time for so many looks at the clock. */
enum { CROWD = 1000000, CROWD_LOOKS = 100, CROWD_MOVES_MAX = 1000 };

static struct alarm *crowd;
static unsigned *crowd_wanted; /* how often each must have fired in the end */
static struct wheel crowd_wheel;

/* All of them within a second, in one slot of a high level. */
static void crowd_set(uint64_t away_ns) {
    now_ns = 1000 * NS_PER_S;
    wheel_init(&crowd_wheel, now_ns);
    crowd = calloc(CROWD, sizeof(*crowd));
    crowd_wanted = calloc(CROWD, sizeof(*crowd_wanted));
    assert_true(crowd != NULL && crowd_wanted != NULL);
    for (unsigned i = 0; i < CROWD; i++) {
        timer_init(&crowd[i].timer, alarm_fire);
        alarm_set(&crowd_wheel, &crowd[i], now_ns + away_ns + i % 1000 * NS_PER_MS);
        crowd_wanted[i] = 1;
    }
}

static void crowd_turn(uint64_t turn_ns) {
    now_ns += turn_ns;
    looks = moves = 0;
    endpoint.slice_until_ns = CROWD_LOOKS;
    wheel_advance(&crowd_wheel, &endpoint, now_ns);
    endpoint.slice_until_ns = UINT64_MAX;
    assert_true(moves <= CROWD_MOVES_MAX);
}

/* It sleeps when it may; otherwise its turns are short. */
static void crowd_turn_next(void) {
    uint64_t next_ns = wheel_next_ns(&crowd_wheel);
    assert_true(next_ns != CLOCK_NEVER);
    crowd_turn(next_ns > now_ns ? next_ns - now_ns : 10 * NS_PER_US);
}

static void crowd_end(void) {
    assert_int_equal(crowd_wheel.armed, 0);
    assert_int_equal(wheel_next_ns(&crowd_wheel), CLOCK_NEVER);
    for (unsigned i = 0; i < CROWD; i++) {
        assert_int_equal(crowd[i].times, crowd_wanted[i]);
        if (crowd[i].times != 0)
            assert_true(crowd[i].fired_ns - crowd[i].due_ns <= 2 * TIMER_TICK_NS);
    }
    free(crowd);
    free(crowd_wanted);
}

/* Beats while the others are sorted and fire; none of its beats is late. */
static void beat_fire(struct endpoint *e, struct timer *timer) {
    struct alarm *alarm = container_of(timer, struct alarm, timer);
    alarm_fire(e, timer);
    assert_true(now_ns - alarm->due_ns <= 2 * TIMER_TICK_NS);
    alarm_set(&crowd_wheel, alarm, now_ns + 50 * NS_PER_MS);
}

static void crowd_is_served(uint64_t away_ns) {
    struct alarm beat = {0};
    crowd_set(away_ns);
    timer_init(&beat.timer, beat_fire);
    alarm_set(&crowd_wheel, &beat, now_ns);
    while (crowd_wheel.armed > 1)
        crowd_turn_next();
    assert_true(beat.times >= away_ns / (60 * NS_PER_MS));
    timer_disarm(&crowd_wheel, &beat.timer);
    crowd_end();
}

static void test_many_of_one_time_make_no_long_turn(void **state) {
    (void)state;
    crowd_is_served(60 * NS_PER_S);
    crowd_is_served(1200 * NS_PER_S);
}

/* While they are being sorted, many are disarmed and moved: nearer, farther, to now. */
static void test_many_change_while_they_are_sorted(void **state) {
    (void)state;
    unsigned turns_sorting = 0;
    srandom(11);
    crowd_set(60 * NS_PER_S);
    while (crowd_wheel.armed != 0) {
        crowd_turn_next();
        if (list_empty(&crowd_wheel.sorting[2]) && list_empty(&crowd_wheel.sorting[1]))
            continue;
        turns_sorting++;
        for (int i = 0; i < 100; i++) {
            unsigned which = (unsigned)random() % CROWD;
            struct alarm *alarm = &crowd[which];
            if (!timer_armed(&alarm->timer))
                continue;
            if (random() % 3 == 0) {
                timer_disarm(&crowd_wheel, &alarm->timer);
                crowd_wanted[which]--;
            } else {
                uint64_t most_ns = random() % 2 == 0 ? NS_PER_S : 100 * NS_PER_S;
                alarm_set(&crowd_wheel, alarm, now_ns + (uint64_t)random() % most_ns);
            }
        }
    }
    assert_true(turns_sorting > 1000);
    crowd_end();
}

/* After it was away for long everything is due at once. */
static void test_many_are_due_at_once(void **state) {
    (void)state;
    crowd_set(60 * NS_PER_S);
    now_ns += 100 * NS_PER_S;
    for (unsigned i = 0; i < CROWD; i++)
        crowd[i].due_ns = now_ns;
    unsigned turns = 0;
    for (; crowd_wheel.armed != 0; turns++)
        crowd_turn(NS_PER_US);
    /* Sorting them costs no more turns than firing them. */
    assert_true(turns <= 2 * CROWD / CROWD_LOOKS);
    for (unsigned i = 0; i < CROWD; i++)
        crowd[i].fired_ns = crowd[i].due_ns;
    crowd_end();
}

/* --- any order of calls, beside a plain list -------------------------------------------------- */

enum { MODEL_ALARMS = 2000, MODEL_STEPS = 4000 };

/* What must be armed, and when it must be looked at: one of the past at the next tick. */
struct model {
    struct alarm alarm;
    bool armed;
    uint64_t look_ns;
};

static struct model models[MODEL_ALARMS];
static struct wheel model_wheel;

static void model_change(void) {
    struct model *model = &models[random() % MODEL_ALARMS];
    assert_int_equal(timer_armed(&model->alarm.timer), model->armed);
    model->armed = random() % 4 != 0;
    if (model->armed) {
        /* Microseconds to 36 hours away, and some in the past. */
        uint64_t away_us = (uint64_t)random() * 64 % (UINT64_C(1) << (4 + random() % 34));
        uint64_t due_ns = random() % 16 == 0 ? now_ns - away_us : now_ns + away_us * NS_PER_US;
        alarm_set(&model_wheel, &model->alarm, due_ns);
        uint64_t later_ns = due_ns > now_ns ? due_ns : now_ns;
        model->look_ns = (later_ns / TIMER_TICK_NS + 1) * TIMER_TICK_NS;
    } else {
        timer_disarm(&model_wheel, &model->alarm.timer);
    }
}

static void model_fire(struct endpoint *e, struct timer *timer) {
    struct model *model = container_of(timer, struct model, alarm.timer);
    alarm_fire(e, timer);
    assert_true(model->armed);
    model->armed = false;
    for (long changes = random() % 3; changes > 0; changes--)
        model_change();
}

static uint64_t model_next_ns(void) {
    uint64_t next_ns = CLOCK_NEVER;
    for (unsigned i = 0; i < MODEL_ALARMS; i++)
        if (models[i].armed && models[i].look_ns < next_ns)
            next_ns = models[i].look_ns;
    return next_ns;
}

static void test_any_order_of_calls(void **state) {
    (void)state;
    srandom(23);
    now_ns = 5 * NS_PER_S;
    wheel_init(&model_wheel, now_ns);
    for (unsigned i = 0; i < MODEL_ALARMS; i++)
        timer_init(&models[i].alarm.timer, model_fire);
    for (unsigned step = 0; step < MODEL_STEPS; step++) {
        for (long changes = random() % 40; changes > 0; changes--)
            model_change();
        uint64_t next_ns = wheel_next_ns(&model_wheel), must_ns = model_next_ns();
        assert_true(next_ns <= must_ns);
        assert_int_equal(next_ns == CLOCK_NEVER, must_ns == CLOCK_NEVER);
        if (random() % 4 != 0 && next_ns != CLOCK_NEVER)
            now_ns = next_ns > now_ns ? next_ns : now_ns;
        else
            now_ns += (uint64_t)random() * 8 % (UINT64_C(1) << (10 + random() % 34));
        bool short_slice = random() % 2 == 0;
        looks = 0;
        endpoint.slice_until_ns = short_slice ? (uint64_t)random() % 30 : UINT64_MAX;
        wheel_advance(&model_wheel, &endpoint, now_ns);
        endpoint.slice_until_ns = UINT64_MAX;
        uint32_t armed = 0;
        for (unsigned i = 0; i < MODEL_ALARMS; i++) {
            assert_int_equal(timer_armed(&models[i].alarm.timer), models[i].armed);
            armed += models[i].armed;
        }
        assert_int_equal(model_wheel.armed, armed);
        /* What is left has the next turn come at once; with time for it a few turns leave none. */
        if (model_next_ns() <= now_ns)
            assert_true(wheel_next_ns(&model_wheel) <= now_ns);
        for (unsigned turns = 0; !short_slice && turns < 20; turns++)
            wheel_advance(&model_wheel, &endpoint, now_ns);
        assert_true(short_slice || model_next_ns() > now_ns);
    }
}

int main(void) {
    endpoint.slice_until_ns = UINT64_MAX;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fires_once_and_not_early),
        cmocka_unit_test(test_against_a_plain_list),
        cmocka_unit_test(test_a_handler_may_arm_again),
        cmocka_unit_test(test_a_slice_ends),
        cmocka_unit_test(test_earlier_ones_fire_first),
        cmocka_unit_test(test_many_of_one_time_make_no_long_turn),
        cmocka_unit_test(test_many_change_while_they_are_sorted),
        cmocka_unit_test(test_many_are_due_at_once),
        cmocka_unit_test(test_any_order_of_calls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
