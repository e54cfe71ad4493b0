/* The wheel: never early, at most a tick late, whatever the distance; the time of the next look is
 * right. */
#include "tests/support/cmocka_first.h"

#include "core/timer.c"

#include <stdlib.h>

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

int main(void) {
    endpoint.slice_until_ns = UINT64_MAX;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fires_once_and_not_early),
        cmocka_unit_test(test_against_a_plain_list),
        cmocka_unit_test(test_a_handler_may_arm_again),
        cmocka_unit_test(test_a_slice_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
