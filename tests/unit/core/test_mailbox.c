/* Queues between workers: room, reserve, and the wake between two real threads, which must never be
 * lost (also under ThreadSanitizer). */
#include "tests/support/cmocka_first.h"

#include "core/mailbox.c"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

/* What the engine would do with the mail; here it is only noted. */
static _Thread_local uint32_t heard, expected_next;

static void on_deliver(struct endpoint *endpoint, const struct mail *mail) {
    (void)endpoint;
    assert_int_equal(mail->number, expected_next);
    expected_next++;
    heard++;
}
void hub_on_answer(struct endpoint *endpoint, const struct mail *mail) {
    (void)endpoint;
    (void)mail;
}
void call_on_mail(struct endpoint *endpoint, const struct mail *mail) {
    (void)endpoint;
    (void)mail;
}
void call_on_done_mail(struct endpoint *endpoint, const struct mail *mail) {
    (void)endpoint;
    (void)mail;
}
void worker_on_adopt(struct worker *worker, const struct mail *mail) {
    (void)worker;
    (void)mail;
}
void handover_on_mail(struct worker *worker, const struct mail *mail) {
    (void)worker;
    (void)mail;
}
void keeper_on_decide(struct worker *worker, const struct mail *mail) {
    (void)worker;
    (void)mail;
}
void keeper_on_ack(struct worker *worker, const struct mail *mail) {
    (void)worker;
    (void)mail;
}
void keeper_on_attend(struct worker *worker, const struct mail *mail) {
    (void)worker;
    (void)mail;
}
void keeper_on_restore(struct worker *worker, const struct mail *mail) {
    (void)worker;
    (void)mail;
}
void keeper_on_remote(struct worker *worker, const struct mail *mail) {
    (void)worker;
    (void)mail;
}
void port_on_relay(struct endpoint *endpoint, struct relay *relay) {
    (void)endpoint, (void)relay;
}
void port_on_hand(struct endpoint *endpoint, const struct mail *mail) {
    (void)endpoint;
    (void)mail;
}
void store_on_put(struct endpoint *endpoint, const struct mail *mail) {
    (void)endpoint;
    (void)mail;
}
void store_on_put_done(struct endpoint *endpoint, const struct mail *mail) {
    (void)endpoint;
    (void)mail;
}
void store_on_settle(struct endpoint *endpoint, const struct mail *mail) {
    (void)endpoint;
    (void)mail;
}
void attend_on_attended(struct worker *worker, const struct mail *mail) {
    (void)worker;
    (void)mail;
}
void session_ack_on_mail(struct worker *worker, const struct mail *mail) {
    (void)worker;
    (void)mail;
}
void session_ack_on_done(struct worker *worker, const struct mail *mail) {
    (void)worker;
    (void)mail;
}
void attend_on_hand(struct worker *worker, const struct mail *mail) {
    (void)worker;
    (void)mail;
}
void message_take_home(struct endpoint *endpoint, struct message *chain) {
    (void)endpoint;
    (void)chain;
}

static struct server server;
static struct worker workers[3];

static void node_open(unsigned count, uint32_t slots) {
    post_slots_override = slots;
    memset(&server, 0, sizeof(server));
    memset(workers, 0, sizeof(workers));
    server.worker_count = count;
    assert_true(post_init(&server.post, count));
    for (unsigned i = 0; i < count; i++) {
        workers[i].index = i;
        workers[i].is_worker = true;
        workers[i].server = &server;
        workers[i].on_deliver = on_deliver;
        workers[i].slice_until_ns = UINT64_MAX;
    }
    heard = expected_next = 0;
}

static void node_close(void) {
    post_fini(&server.post);
}

static void test_slots_follow_the_number_of_endpoints(void **state) {
    (void)state;
    post_slots_override = 0;
    uint32_t before = UINT32_MAX;
    for (unsigned count = 1; count <= ENDPOINTS_MAX; count++) {
        uint32_t slots = post_slots(count);
        assert_int_equal(slots & (slots - 1), 0);
        assert_true(slots <= before);
        assert_true(slots >= MAILBOX_SLOTS_MIN && slots <= MAILBOX_SLOTS_MAX);
        assert_true((uint64_t)slots * sizeof(struct mail) * count * count <= MAILBOX_BYTES_ALL);
        before = slots;
    }
}

static void test_requests_leave_room_for_answers(void **state) {
    (void)state;
    node_open(2, 16);
    struct mail mail = {.kind = MAIL_DELIVER};
    uint32_t requests = 0;
    while (post_room(&server.post, 0, 1)) {
        mail.number = requests++;
        post_send(&workers[0].endpoint, 1, &mail);
    }
    assert_true(requests > 0);
    /* As many answers as there may be requests always fit. */
    mail.kind = MAIL_ANSWER;
    for (uint32_t i = 0; i < server.post.requests_max; i++)
        post_send(&workers[0].endpoint, 1, &mail);
    assert_int_equal(workers[0].wake_set, 2);
    while (post_receive(&workers[1].endpoint))
        ;
    assert_int_equal(heard, requests);
    assert_true(post_room(&server.post, 0, 1));
    node_close();
}

static void test_a_turn_takes_what_was_there(void **state) {
    (void)state;
    node_open(3, 4096);
    struct mail mail = {.kind = MAIL_DELIVER};
    workers[0].slice_until_ns = UINT64_MAX;
    for (uint32_t i = 0; i < 100; i++) {
        mail.number = i;
        post_send(&workers[2].endpoint, 0, &mail);
    }
    assert_false(post_receive(&workers[0].endpoint));
    assert_int_equal(heard, 100);
    /* And one at a time once its slice of time is over. */
    for (mail.number = 100; mail.number < 102; mail.number++)
        post_send(&workers[2].endpoint, 0, &mail);
    workers[0].slice_until_ns = 0;
    assert_true(post_receive(&workers[0].endpoint));
    assert_int_equal(heard, 101);
    workers[0].slice_until_ns = UINT64_MAX;
    assert_false(post_receive(&workers[0].endpoint));
    assert_int_equal(heard, 102);
    node_close();
}

static void test_no_sleep_over_mail(void **state) {
    (void)state;
    node_open(2, 64);
    assert_true(post_may_sleep(&workers[1].endpoint));
    assert_int_equal(server.post.boxes[1].asleep, 1);
    post_awake(&workers[1].endpoint);
    post_send(&workers[0].endpoint, 1, &(struct mail){.kind = MAIL_DELIVER});
    assert_false(post_may_sleep(&workers[1].endpoint));
    assert_int_equal(server.post.boxes[1].asleep, 0);
    post_receive(&workers[1].endpoint);
    assert_true(post_may_sleep(&workers[1].endpoint));
    /* Now it sleeps: whoever sends must wake it, once. */
    post_send(&workers[0].endpoint, 1, &(struct mail){.kind = MAIL_DELIVER, .number = 1});
    post_wake_all(&workers[0].endpoint);
    assert_int_equal(stats_get(&workers[0].stats.wakes), 1);
    assert_int_equal(server.post.boxes[1].asleep, 0);
    uint64_t count;
    assert_int_equal(read(server.post.boxes[1].wake_fd, &count, sizeof(count)), sizeof(count));
    assert_int_equal(count, 1);
    node_close();
}

/* Sleeps as a worker does: only if it may, and only a wake ends it. False: none came in 10 s. */
static bool sleep_as_a_worker(struct worker *worker) {
    bool woken = true;
    if (post_may_sleep(&worker->endpoint)) {
        struct pollfd wake = {.fd = server.post.boxes[worker->index].wake_fd, .events = POLLIN};
        woken = poll(&wake, 1, 10000) == 1;
        uint64_t count;
        ssize_t got = read(wake.fd, &count, sizeof(count));
        (void)got;
    }
    post_awake(&worker->endpoint);
    return woken;
}

enum { ROUNDS = 30000 };

/* Ping and pong, each side asleep most of the time: one lost wake and it stands still. */
static void *pong(void *argument) {
    struct worker *worker = argument;
    heard = expected_next = 0;
    while (heard < ROUNDS) {
        uint32_t before = heard;
        if (!sleep_as_a_worker(worker))
            return "a wake was lost";
        post_receive(&worker->endpoint);
        for (uint32_t i = before; i < heard; i++)
            post_send(&worker->endpoint, 0, &(struct mail){.kind = MAIL_DELIVER, .number = i});
        post_wake_all(&worker->endpoint);
    }
    return NULL;
}

static void test_no_wake_is_lost(void **state) {
    (void)state;
    node_open(2, 64);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, pong, &workers[1]), 0);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        post_send(&workers[0].endpoint, 1, &(struct mail){.kind = MAIL_DELIVER, .number = round});
        post_wake_all(&workers[0].endpoint);
        while (heard <= round) {
            assert_true(sleep_as_a_worker(&workers[0]));
            post_receive(&workers[0].endpoint);
        }
    }
    void *problem;
    pthread_join(thread, &problem);
    assert_null(problem);
    node_close();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_follow_the_number_of_endpoints),
        cmocka_unit_test(test_requests_leave_room_for_answers),
        cmocka_unit_test(test_a_turn_takes_what_was_there),
        cmocka_unit_test(test_no_sleep_over_mail),
        cmocka_unit_test(test_no_wake_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
