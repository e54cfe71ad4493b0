/* When something is told: what is lost for long enough, what is back, what flaps, and how much of
 * it in an hour. */
#include "ha/alert/alert_watch.h"
#include "tests/support/cmocka_first.h"

#include <string.h>

#define START_NS (CLOCK_BASE_NS + NS_PER_S)
#define START_WALL_MS UINT64_C(1780000000000)
#define REDIS 1u

static struct alert_watch watch;
static struct alert_notice notice;
static uint64_t now_ns;

static uint64_t wall_ms(void) {
    return START_WALL_MS + (now_ns - START_NS) / NS_PER_MS;
}

static void begin(uint64_t after_s) {
    alert_watch_init(&watch, after_s * NS_PER_S);
    now_ns = START_NS;
}

/* It is seen so for so long, every half a second; returns how many notices came, and keeps the
 * last. */
static unsigned seen(unsigned subject, const char *what, double seconds) {
    unsigned count = 0;
    struct alert_notice next;
    uint64_t until_ns = now_ns + (uint64_t)(seconds * 1e9);
    for (; now_ns < until_ns; now_ns += 500 * NS_PER_MS) {
        alert_watch_see(&watch, subject, what, now_ns, wall_ms());
        while (alert_watch_next(&watch, &next, now_ns, wall_ms())) {
            notice = next;
            count++;
        }
    }
    return count;
}

static void test_a_short_loss_is_not_told(void **state) {
    (void)state;
    begin(10);
    assert_int_equal(seen(REDIS, NULL, 60), 0);
    assert_int_equal(seen(REDIS, "redis", 10), 0);
    assert_int_equal(seen(REDIS, NULL, 60), 0);
}

static void test_a_long_loss_is_told_once_and_so_is_its_end(void **state) {
    (void)state;
    begin(10);
    seen(REDIS, NULL, 5);
    assert_int_equal(seen(REDIS, "redis", 10), 0);
    assert_int_equal(seen(REDIS, "redis", 600), 1);
    assert_int_equal(notice.state, ALERT_LOST);
    assert_string_equal(notice.what, "redis");
    assert_int_equal(notice.lasted_ms, 10000);
    assert_int_equal(notice.since_wall_ms, START_WALL_MS + 5000);
    assert_int_equal(notice.at_wall_ms, START_WALL_MS + 15000);
    assert_int_equal(notice.times, 1);
    assert_int_equal(seen(REDIS, NULL, 3), 0);
    assert_int_equal(seen(REDIS, NULL, 60), 1);
    assert_int_equal(notice.state, ALERT_BACK);
    assert_int_equal(notice.lasted_ms, 610000);
    assert_int_equal(notice.since_wall_ms, START_WALL_MS + 5000);
    assert_int_equal(notice.at_wall_ms, START_WALL_MS + 615000);
    /* And anew. */
    assert_int_equal(seen(REDIS, "redis", 60), 1);
    assert_int_equal(notice.since_wall_ms, START_WALL_MS + 678000);
}

static void test_a_moment_of_peace_ends_no_loss(void **state) {
    (void)state;
    begin(10);
    for (unsigned i = 0; i < 3; i++) { /* 2 s lost, 1 s there */
        assert_int_equal(seen(REDIS, "redis", 2), 0);
        assert_int_equal(seen(REDIS, NULL, 1), 0);
    }
    assert_int_equal(seen(REDIS, "redis", 2), 1);
    assert_int_equal(notice.state, ALERT_LOST);
    assert_int_equal(notice.times, 4);
    assert_int_equal(notice.lasted_ms, 10000);
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(seen(REDIS, NULL, 1), 0);
        assert_int_equal(seen(REDIS, "redis", 9), 0);
    }
    assert_int_equal(seen(REDIS, NULL, 10), 1);
    assert_int_equal(notice.state, ALERT_BACK);
    assert_int_equal(notice.times, 1004);
}

/* While it is there it is not called lost, however long ago it was lost first. */
static void test_what_is_there_is_not_told_as_lost(void **state) {
    (void)state;
    begin(10);
    assert_int_equal(seen(REDIS, "redis", 9), 0);
    assert_int_equal(seen(REDIS, NULL, 2.5), 0);
    assert_int_equal(seen(REDIS, "redis", 0.5), 1);
}

static void test_two_things_at_once(void **state) {
    (void)state;
    begin(1);
    alert_watch_see(&watch, REDIS, "redis", now_ns, wall_ms());
    alert_watch_see(&watch, ALERT_SUBJECT_MEMORY, "memory", now_ns, wall_ms());
    assert_false(alert_watch_next(&watch, &notice, now_ns, wall_ms()));
    now_ns += NS_PER_S;
    assert_true(alert_watch_next(&watch, &notice, now_ns, wall_ms()));
    assert_string_equal(notice.what, "redis");
    assert_true(alert_watch_next(&watch, &notice, now_ns, wall_ms()));
    assert_string_equal(notice.what, "memory");
    assert_false(alert_watch_next(&watch, &notice, now_ns, wall_ms()));
    assert_int_equal(seen(REDIS, NULL, 5), 1); /* the other is lost still */
    assert_string_equal(notice.what, "redis");
    assert_int_equal(notice.state, ALERT_BACK);
}

static void test_at_once(void **state) {
    (void)state;
    begin(0);
    assert_int_equal(seen(REDIS, "redis", 0.5), 1);
    assert_int_equal(seen(REDIS, NULL, 0.5), 1);
    assert_int_equal(notice.state, ALERT_BACK);
}

/* Lost and back each minute. */
static unsigned minutes(unsigned count) {
    unsigned told = 0;
    for (unsigned i = 0; i < count; i++)
        told += seen(REDIS, "redis", 30) + seen(REDIS, NULL, 30);
    return told;
}

static void test_no_more_than_so_many_an_hour(void **state) {
    (void)state;
    begin(10);
    assert_int_equal(minutes(6), ALERTS_PER_HOUR);
    assert_int_equal(minutes(54), 0);
    assert_int_equal(watch.suppressed_total, 108);
    /* The oldest has left an hour ago: what takes its place says what was missed. */
    assert_int_equal(seen(REDIS, NULL, 30), 1);
    assert_int_equal(notice.state, ALERT_DIGEST);
    assert_int_equal(notice.suppressed, 108);
    assert_int_equal(notice.lost_count, 0);
    /* Day and night. */
    unsigned told = 0;
    for (unsigned hour = 0; hour < 24; hour++) {
        unsigned now = minutes(60);
        assert_true(now <= ALERTS_PER_HOUR + 1); /* one may be of this hour and of the one before */
        told += now;
    }
    assert_true(told <= 25 * ALERTS_PER_HOUR);
}

static void test_a_digest_says_what_is_lost_now(void **state) {
    (void)state;
    begin(10);
    assert_int_equal(minutes(6), ALERTS_PER_HOUR);
    assert_int_equal(seen(REDIS, "redis", 3240), 0);
    assert_int_equal(seen(REDIS, "redis", 60), 1);
    assert_int_equal(notice.state, ALERT_DIGEST);
    assert_int_equal(notice.suppressed, 1);
    assert_int_equal(notice.lost_count, 1);
    assert_string_equal(notice.lost[0], "redis");
    assert_int_equal(notice.since_wall_ms, START_WALL_MS + 370000);
    assert_int_equal(seen(REDIS, NULL, 60), 1);
    assert_int_equal(notice.state, ALERT_BACK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_short_loss_is_not_told),
        cmocka_unit_test(test_a_long_loss_is_told_once_and_so_is_its_end),
        cmocka_unit_test(test_a_moment_of_peace_ends_no_loss),
        cmocka_unit_test(test_what_is_there_is_not_told_as_lost),
        cmocka_unit_test(test_two_things_at_once),
        cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_no_more_than_so_many_an_hour),
        cmocka_unit_test(test_a_digest_says_what_is_lost_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
