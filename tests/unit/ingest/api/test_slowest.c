/* test_slowest.c - the longest queues of a worker are found, at a bounded cost. */
#include "ingest/api/slowest.c"

#include "core/base/check.h"

#include "tests/support/cmocka_first.h"

#include <stdio.h>
#include <stdlib.h>

#define SESSIONS 10000

struct fake {
    struct session session;
    struct connection connection;
};

static struct worker *worker;
static struct fake *fakes;
static uint32_t looked_at;

static struct outbox *outbox_of(struct session *session) {
    looked_at++;
    struct fake *fake = container_of(session, struct fake, session);
    return fake->connection.slot == 0 ? NULL : &fake->connection.outbox;
}

static void look_at(const struct worker *w, const struct session *session,
                    struct session_look *look) {
    const struct fake *fake = container_of(session, struct fake, session);
    snprintf(look->text, sizeof(look->text), "%x-%x", w->index, fake->connection.slot);
}

static const struct session_type type = {.outbox = outbox_of, .look = look_at};

static int setup(void **state) {
    (void)state;
    worker = calloc(1, sizeof(*worker));
    fakes = calloc(SESSIONS, sizeof(*fakes));
    worker->sessions.at = calloc(SESSIONS, sizeof(struct session *));
    worker->sessions.count = SESSIONS;
    worker->index = 3;
    for (uint32_t i = 0; i < SESSIONS; i++) {
        fakes[i].session.type = &type;
        fakes[i].connection.slot = i; /* that with number 0 has no connection */
        worker->sessions.at[i] = &fakes[i].session;
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    free(worker->sessions.at);
    free(fakes);
    free(worker);
    return 0;
}

static void test_a_walk_is_bounded_and_comes_round(void **state) {
    (void)state;
    struct slowest_places places = {0};
    struct slowest found;
    fakes[0].session.backlog.bytes = 1 << 30;
    fakes[9999].session.backlog.bytes = 500;
    fakes[5000].session.backlog.bytes = 700;
    unsigned looks = 0;
    do {
        looked_at = 0;
        slowest_look(worker, &places, &found);
        assert_in_range(looked_at, SLOWEST_WALK, SLOWEST_WALK + SLOWEST_MAX);
    } while (++looks < 6 && found.count < 2);
    assert_int_equal(looks, 5);
    /* Found once, they are told each time, by their queue of the moment. */
    fakes[9999].session.backlog.bytes = 900;
    slowest_look(worker, &places, &found);
    assert_int_equal(found.count, 2);
    assert_string_equal(found.sessions[0].look.text, "3-270f");
    assert_int_equal(found.sessions[0].queued_bytes, 900);
    assert_string_equal(found.sessions[1].look.text, "3-1388");
    /* Until they are empty, or have gone. */
    fakes[9999].session.backlog.bytes = 0;
    worker->sessions.count = 5000;
    slowest_look(worker, &places, &found);
    assert_int_equal(found.count, 0);
    worker->sessions.count = 0;
    slowest_look(worker, &places, &found);
    assert_int_equal(found.count, 0);
}

static void test_the_longest_are_kept(void **state) {
    (void)state;
    struct slowest_places places = {0};
    struct slowest found, all = {.count = 0};
    worker->sessions.count = 1000;
    for (uint32_t i = 1; i < 1000; i++)
        fakes[i].session.backlog.bytes = (i * 7919) % 1000;
    for (unsigned look = 0; look < 3; look++) {
        slowest_look(worker, &places, &found);
        assert_int_equal(found.count, SLOWEST_MAX);
        for (unsigned n = 0; n < SLOWEST_MAX; n++)
            assert_int_equal(found.sessions[n].queued_bytes, 999 - n);
    }
    slowest_merge(&all, &found);
    worker->index = 4;
    slowest_look(worker, &places, &found);
    slowest_merge(&all, &found);
    assert_int_equal(all.count, SLOWEST_MAX);
    for (unsigned n = 0; n < SLOWEST_MAX; n++)
        assert_int_equal(all.sessions[n].queued_bytes, 999 - n / 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_walk_is_bounded_and_comes_round, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_longest_are_kept, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
