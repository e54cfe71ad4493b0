/* The ring of mails: capacity, order, and two real threads (also under ThreadSanitizer). */
#include "tests/support/cmocka_first.h"

#include "core/queue.h"

#include <pthread.h>
#include <sched.h>

static void test_holds_one_less_than_its_slots(void **state) {
    (void)state;
    struct queue queue;
    struct mail mail = {.kind = 1};
    assert_true(queue_init(&queue, 8));
    assert_int_equal(queue_room(&queue), 7);
    for (uint32_t i = 0; i < 7; i++) {
        mail.number = i;
        assert_true(queue_push(&queue, &mail));
    }
    assert_false(queue_push(&queue, &mail));
    assert_int_equal(queue_room(&queue), 0);
    assert_int_equal(queue_count(&queue), 7);
    for (uint32_t i = 0; i < 7; i++) {
        assert_true(queue_pop(&queue, &mail));
        assert_int_equal(mail.number, i);
    }
    assert_false(queue_pop(&queue, &mail));
    queue_fini(&queue);
}

enum { MAILS = 200000 };

static void *push_all(void *argument) {
    struct queue *queue = argument;
    for (uint32_t i = 0; i < MAILS; i++) {
        uint64_t *object = malloc(sizeof(*object));
        *object = i * UINT64_C(3);
        struct mail mail = {.kind = 2, .number = i, .object = object};
        while (!queue_push(queue, &mail))
            sched_yield();
    }
    return NULL;
}

static void test_two_threads_keep_order_and_what_is_pointed_to(void **state) {
    (void)state;
    struct queue queue;
    pthread_t pusher;
    assert_true(queue_init(&queue, 1024));
    assert_int_equal(pthread_create(&pusher, NULL, push_all, &queue), 0);
    for (uint32_t i = 0; i < MAILS; i++) {
        struct mail mail;
        while (!queue_pop(&queue, &mail))
            sched_yield();
        assert_int_equal(mail.number, i);
        assert_int_equal(*(uint64_t *)mail.object, i * UINT64_C(3));
        free(mail.object);
    }
    pthread_join(pusher, NULL);
    assert_int_equal(queue_count(&queue), 0);
    queue_fini(&queue);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_holds_one_less_than_its_slots),
        cmocka_unit_test(test_two_threads_keep_order_and_what_is_pointed_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
