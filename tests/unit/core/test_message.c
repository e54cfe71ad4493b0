/* Messages: what goes in comes out, frames are made once, the last holder sends the block home;
 * also from another thread (under ThreadSanitizer). */
#include "tests/support/cmocka_first.h"

#include "core/message.c"

#include "core/server.h"

#include <pthread.h>

static struct server server;
static struct config config;
static struct worker workers[2];

static void node_open(uint64_t ceiling_bytes) {
    hash_init(NULL);
    memset(&server, 0, sizeof(server));
    memset(workers, 0, sizeof(workers));
    atomic_init(&server.config, &config);
    server.worker_count = 2;
    budget_init(&server.budget, ceiling_bytes);
    for (unsigned i = 0; i < 2; i++) {
        workers[i].index = i;
        workers[i].is_worker = true;
        workers[i].server = &server;
        workers[i].config = &config;
        workers[i].now_ns = 1000;
        workers[i].now_wall_ms = 1700000000000;
        account_init(&workers[i].account, &server.budget);
        pool_init(&workers[i].delivery.parcels, sizeof(struct parcel));
    }
}

static void node_close(void) {
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(workers[i].account.used_bytes, 0);
        pool_fini(&workers[i].delivery.parcels);
        account_fini(&workers[i].account);
    }
}

static struct message *message_with(struct worker *worker, size_t payload_len) {
    static const struct span to[] = {SPAN_INIT("till-7"), SPAN_INIT("till-8")};
    static const struct span groups[] = {SPAN_INIT("shop")};
    static const struct span except[] = {SPAN_INIT("till-9")};
    struct message_parts parts = {.id = SPAN("m1"),
                                  .event = SPAN("payment"),
                                  .group_json = SPAN("\"shop\""),
                                  .to = to,
                                  .groups = groups,
                                  .except = except,
                                  .to_count = 2,
                                  .group_count = 1,
                                  .except_count = 1,
                                  .ttl_ns = 500,
                                  .payload_max = payload_len + 10};
    struct message *message = message_open(&worker->endpoint, &parts);
    if (message != NULL) {
        memset(message_payload_room(message), 'p', payload_len);
        message_seal(message, payload_len);
    }
    return message;
}

static void test_parts_come_out_as_they_went_in(void **state) {
    (void)state;
    node_open(1 << 20);
    struct message *message = message_with(&workers[0], 300);
    assert_true(span_equal(message_id(message), SPAN("m1")));
    assert_true(span_equal(message_event(message), SPAN("payment")));
    assert_true(span_equal(message_group_json(message), SPAN("\"shop\"")));
    assert_int_equal(message_payload(message).len, 300);
    assert_true(span_equal(message_name_text(message, &message_to(message)[1]), SPAN("till-8")));
    assert_true(span_equal(message_name_text(message, message_groups(message)), SPAN("shop")));
    assert_true(span_equal(message_name_text(message, message_except(message)), SPAN("till-9")));
    assert_int_equal(message->expires_ns, 1500);
    assert_int_equal(message->namespace, NAMESPACE_MAIN);
    assert_int_equal(message_to(message)[0].hash,
                     name_hash(NAME_ID, NAMESPACE_MAIN, SPAN("till-7")));
    assert_true(name_hash(NAME_ID, NAMESPACE_MAIN, SPAN("x")) !=
                name_hash(NAME_GROUP, NAMESPACE_MAIN, SPAN("x")));
    assert_true(name_hash(NAME_ID, 1, SPAN("x")) != name_hash(NAME_ID, NAMESPACE_MAIN, SPAN("x")));
    message_release(&workers[0].endpoint, message);
    node_close();
}

/* As docs/performance.md says: a block of 208 bytes, of which 19 fill a page. */
static void test_bytes_of_one_to_be_acknowledged(void **state) {
    (void)state;
    node_open(1 << 20);
    struct span to[] = {SPAN("0123456789abcdef")};
    struct message_parts parts = {
        .event = SPAN("message"), .to = to, .to_count = 1, .class = CLASS_ACK, .payload_max = 7};
    struct message *message = message_open(&workers[0].endpoint, &parts);
    assert_int_equal(message_id(message).len, 26);
    assert_int_equal(message->block_bytes, 208);
    message_release(&workers[0].endpoint, message);
    node_close();
}

/* What is said of a message beside its texts. */
static void test_class_namespace_and_wall_time(void **state) {
    (void)state;
    node_open(1 << 20);
    struct span to[] = {SPAN("till-7")};
    struct message_parts parts = {
        .to = to, .to_count = 1, .class = CLASS_ACK, .namespace = 3, .ttl_ns = 5 * NS_PER_S};
    struct message *message = message_open(&workers[0].endpoint, &parts);
    assert_int_equal(message->class, CLASS_ACK);
    assert_int_equal(message->namespace, 3);
    config.fate_max = config.dedup_max = 1;
    fates_init(&server.fates, &server.budget, &config, NULL, NULL);
    assert_true(fates_open(&server.fates, message, SPAN(""), (struct hash128){0, 0},
                           UINT64_C(1764400000000)));
    assert_int_equal(message_accepted_ms(message), UINT64_C(1764400000000));
    assert_int_equal(message_expires_ms(message), UINT64_C(1764400005000));
    fates_cancel(&server.fates, message->fate);
    fates_fini(&server.fates);
    assert_int_equal(message_to(message)->hash, name_hash(NAME_ID, 3, SPAN("till-7")));
    message_release(&workers[0].endpoint, message);
    node_close();
}

static void test_made_ids_are_sorted_and_differ(void **state) {
    (void)state;
    node_open(1 << 20);
    char before[MESSAGE_ID_MADE_BYTES + 1] = "";
    for (int i = 0; i < 1000; i++) {
        static const struct span to[] = {SPAN_INIT("a")};
        struct message_parts parts = {.event = SPAN("e"), .to = to, .to_count = 1};
        workers[0].now_wall_ms += (uint64_t)(i % 3 == 0);
        workers[0].message_serial = i % 3 == 0 ? 77 : workers[0].message_serial;
        struct message *message = message_open(&workers[0].endpoint, &parts);
        struct span id = message_id(message);
        assert_int_equal(id.len, MESSAGE_ID_MADE_BYTES);
        assert_true(memcmp(before, id.at, id.len) < 0);
        memcpy(before, id.at, id.len);
        message_release(&workers[0].endpoint, message);
    }
    node_close();
}

static void expect_id_after(struct worker *worker, char before[MESSAGE_ID_MADE_BYTES]) {
    static const struct span to[] = {SPAN_INIT("a")};
    struct message_parts parts = {.event = SPAN("e"), .to = to, .to_count = 1};
    struct message *message = message_open(&worker->endpoint, &parts);
    struct span id = message_id(message);
    assert_true(memcmp(before, id.at, id.len) < 0);
    memcpy(before, id.at, id.len);
    message_release(&worker->endpoint, message);
}

/* The wall clock jumps an hour ahead, then back; ids of all workers stay in order. */
static void test_made_ids_are_sorted_when_the_clock_goes_back(void **state) {
    (void)state;
    node_open(1 << 20);
    char before[MESSAGE_ID_MADE_BYTES] = "";
    static const int64_t steps_ms[] = {0, 3600000, -3600000, -10, 2, 5000};
    for (size_t i = 0; i < sizeof steps_ms / sizeof *steps_ms; i++) {
        for (unsigned n = 0; n < 2; n++) {
            workers[n].message_serial = 1000 - n; /* only the time can put them into order */
            workers[n].now_ns += 2 * NS_PER_MS + n * NS_PER_MS;
            workers[n].now_wall_ms = (uint64_t)((int64_t)workers[n].now_wall_ms + steps_ms[i]);
            expect_id_after(&workers[n], before);
            workers[n].now_ns -= n * NS_PER_MS;
        }
    }
    /* At its own pace, not at a standstill, although the clock is an hour behind. */
    workers[0].now_ns += 60 * NS_PER_S;
    char at_once[MESSAGE_ID_MADE_BYTES];
    memcpy(at_once, before, sizeof at_once);
    expect_id_after(&workers[0], before);
    assert_memory_not_equal(at_once, before, 9);
    node_close();
}

static unsigned heads_written;

static size_t bound(const struct encoding *encoding, const struct message *message) {
    (void)encoding, (void)message;
    return 16;
}
static bool head(const struct encoding *encoding, const struct message *message,
                 struct builder *out) {
    (void)encoding, (void)message;
    heads_written++;
    builder_text(out, "<");
    return true;
}
static void tail(const struct encoding *encoding, const struct message *message,
                 struct builder *out) {
    (void)encoding, (void)message;
    builder_text(out, ">\n");
}
static const struct encoding encoding = {.index = 1, .bound = bound, .head = head, .tail = tail};

static void test_a_form_is_made_once(void **state) {
    (void)state;
    node_open(1 << 20);
    for (size_t len = 10; len < 50000; len *= 9) {
        heads_written = 0;
        struct message *message = message_with(&workers[0], len);
        struct parcel *parcel = parcel_open(&workers[0], message);
        const struct frame *frame = parcel_frame(&workers[0], parcel, &encoding);
        assert_ptr_equal(frame, parcel_frame(&workers[0], parcel, &encoding));
        assert_int_equal(heads_written, 1);
        assert_int_equal(frame->total_bytes, len + 3);
        assert_int_equal(frame->around, len > FRAME_COPY_BYTES_MAX);
        if (!frame->around) {
            assert_int_equal(frame->bytes[0], '<');
            assert_int_equal(frame->bytes[len + 1], '>');
        }
        parcel_ref(parcel);
        parcel_unref(&workers[0], parcel);
        parcel_unref(&workers[0], parcel);
    }
    node_close();
}

static void test_the_ceiling(void **state) {
    (void)state;
    node_open(64 * 1024);
    struct message *held[200];
    size_t count = 0;
    while (count < 200 && (held[count] = message_with(&workers[0], 1000)) != NULL)
        count++;
    assert_true(count > 5 && count < 60);
    while (count-- > 0)
        message_release(&workers[0].endpoint, held[count]);
    struct message *again = message_with(&workers[0], 1000);
    assert_non_null(again);
    message_release(&workers[0].endpoint, again);
    node_close();
}

static void *hold_and_let_go(void *argument) {
    struct message **messages = argument;
    for (int i = 0; i < 1000; i++) {
        struct parcel *parcel = parcel_open(&workers[1], messages[i]);
        const struct frame *frame = parcel_frame(&workers[1], parcel, &encoding);
        assert_int_equal(frame->bytes[1], 'p');
        parcel_unref(&workers[1], parcel);
    }
    return NULL;
}

static void test_two_workers_and_the_way_home(void **state) {
    (void)state;
    node_open(1 << 24);
    static struct message *messages[1000];
    for (int i = 0; i < 1000; i++) {
        messages[i] = message_with(&workers[0], 100);
        message_hold(messages[i], 1);
    }
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, hold_and_let_go, messages), 0);
    for (int i = 0; i < 1000; i++)
        message_release(&workers[0].endpoint, messages[i]);
    pthread_join(thread, NULL);
    /* Whichever was last: what ended on the other worker waits there to be sent home. */
    unsigned waiting = 0;
    for (struct message *at = workers[1].homebound[0]; at != NULL; at = at->next)
        waiting++;
    if (waiting != 0)
        assert_true(workers[1].homebound_set & 1);
    message_take_home(&workers[0].endpoint, workers[1].homebound[0]);
    node_close();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_come_out_as_they_went_in),
        cmocka_unit_test(test_bytes_of_one_to_be_acknowledged),
        cmocka_unit_test(test_class_namespace_and_wall_time),
        cmocka_unit_test(test_made_ids_are_sorted_and_differ),
        cmocka_unit_test(test_made_ids_are_sorted_when_the_clock_goes_back),
        cmocka_unit_test(test_a_form_is_made_once),
        cmocka_unit_test(test_the_ceiling),
        cmocka_unit_test(test_two_workers_and_the_way_home),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
