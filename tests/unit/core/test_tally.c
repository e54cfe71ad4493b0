/* Counting by walking, on a whole engine: whatever comes and goes while it lasts, a tally finds all
 * that is there, and what is in no list stays missing. */
#include "tests/support/fake_http.h"

#include "core/piece.h"

#define TILLS 40 /* more than there are steps between two looks at the clock */

static struct peer *api, *tills[TILLS];
static struct worker *worker;

static int setup(void **state) {
    (void)state;
    fake_config.workers = 1;
    http_node_open();
    worker = &fake_server.workers[0];
    api = api_connect();
    for (unsigned i = 0; i < TILLS; i++) {
        char hello[64];
        snprintf(hello, sizeof hello, "{\"type\":\"hello\",\"id\":\"t%u\",\"groups\":[\"g\"]}\n",
                 i);
        tills[i] = client_connect(0, hello);
        peer_stall(tills[i], true);
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (unsigned i = 0; i < TILLS; i++)
        peer_stall(tills[i], false);
    http_node_close();
    return 0;
}

static void push(const char *path, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(status_of(ask(api, JSON_POST(path, "1"))), 202);
}

static uint64_t waiting(unsigned class) {
    return stats_get(&worker->stats.copies_waiting[class]);
}

static uint64_t pending(void) {
    return stats_get(&worker->stats.acks_pending);
}

/* The same, without trusting anybody. */
static uint64_t there(void) {
    uint64_t copies = 0;
    for (uint32_t slot = 0; slot < worker->slots.block_count * CONNECTION_BLOCK; slot++) {
        const struct piece *piece = slot_at(worker, slot)->outbox.first;
        for (; piece != NULL; piece = piece->next)
            if (!piece_is_reply(piece))
                for (uint32_t i = 0; i < piece_messages(piece); i++)
                    copies += piece_is_single(piece)
                                  ? piece->parcel->message->class == CLASS_DEFAULT
                                  : piece->batch->parts[i].parcel->message->class == CLASS_DEFAULT;
    }
    return copies;
}

/* One slice that is over at once. */
static bool slice(void) {
    worker->slice_until_ns = 0;
    return tally_work(worker);
}

static void whole(void) {
    while (!slice()) {
    }
}

/* So much is there, and a tally agrees. */
static void assert_there(uint64_t normal, uint64_t acks) {
    assert_int_equal(waiting(CLASS_DEFAULT), normal);
    assert_int_equal(pending(), acks);
    whole();
    assert_int_equal(waiting(CLASS_DEFAULT), normal);
    assert_int_equal(pending(), acks);
}

static void test_all_is_found(void **state) {
    (void)state;
    assert_there(0, 0);
    push("/v1/groups/g", 3);
    push("/v1/clients/t1?ack=1", 2);
    push("/v1/clients/away?ack=1", 50);
    assert_int_equal(waiting(CLASS_ACK), 2);
    assert_there(3 * TILLS, 52);
    assert_int_equal(waiting(CLASS_ACK), 2);
}

/* Between two slices messages come, are sent, settled and dropped, before and behind the place
 * where the tally is. */
static void test_while_it_lasts(void **state) {
    (void)state;
    uint64_t acks = 0;
    for (unsigned round = 0; round < 6; round++) {
        push("/v1/groups/g", 2);
        push("/v1/clients/t3?ack=1", 40);
        push("/v1/clients/t5?ack=1", 40);
        push("/v1/clients/away?ack=1", 40);
        for (unsigned part = 0; part <= round; part++)
            assert_false(slice());
        push("/v1/groups/g", 1);
        push("/v1/clients/t3?ack=1", 3);
        push("/v1/clients/new?ack=1", 3);
        acks += 126;
        /* One of the first and one of the last take what they have, and one goes. */
        unsigned first = 2 * round + 8, last = TILLS - 1 - 2 * round;
        uint64_t before = waiting(CLASS_DEFAULT);
        peer_stall(tills[first], false);
        peer_stall(tills[last], false);
        node_settle();
        assert_int_equal(waiting(CLASS_DEFAULT), before - 2 * (3 + 3 * (uint64_t)round));
        char gone[128];
        snprintf(gone, sizeof gone, DEL("/v1/clients/t%u"), first + 1);
        assert_int_equal(status_of(ask(api, gone)), 200);
        whole();
        assert_there(there(), acks);
    }
}

/* An id goes while its messages are being counted, and so does the message that is next. */
static void test_what_is_settled_meanwhile(void **state) {
    (void)state;
    char line[64];
    peer_stall(tills[0], false);
    for (unsigned i = 0; i < 60; i++) {
        char path[64];
        snprintf(path, sizeof path, "/v1/clients/t0?ack=1&id=m%u", i);
        push(path, 1);
    }
    assert_there(0, 60);
    for (unsigned slices = 0; slices < 5; slices++) {
        for (unsigned i = 0; i < slices; i++)
            (void)slice();
        for (unsigned i = 12 * slices; i < 12 * slices + 12; i++) {
            snprintf(line, sizeof line, "{\"type\":\"ack\",\"id\":\"m%u\"}\n", 59 - i);
            peer_say(tills[0], line);
        }
        whole();
        assert_int_equal(pending(), 48 - 12 * slices);
    }
    assert_there(0, 0);
}

/* --- what is lost ----------------------------------------------------------------------------- */

static struct outbox *outbox_of(const char *text) {
    struct name *name =
        directory_find(worker, NAME_ID, 0, name_hash(NAME_ID, 0, span_text(text)), span_text(text));
    struct session *session = name_session(name, name->sessions.next);
    return session->type->outbox(session);
}

static void test_a_lost_copy(void **state) {
    (void)state;
    push("/v1/clients/t7", 3);
    struct outbox *outbox = outbox_of("t7");
    struct piece *piece = outbox->last, *before = outbox->first;
    while (before->next != piece)
        before = before->next;
    piece_unlink(outbox, piece);
    assert_int_equal(waiting(CLASS_DEFAULT), 3);
    whole();
    assert_int_equal(waiting(CLASS_DEFAULT), 2);
    assert_there(2, 0);
    /* So that the node can end. */
    before->next = piece;
    outbox->last = piece;
    stats_add(&worker->stats.copies_waiting[CLASS_DEFAULT], 1);
}

static void test_a_lost_message(void **state) {
    (void)state;
    push("/v1/clients/away?ack=1&id=m1", 1);
    push("/v1/clients/away?ack=1&id=m2", 1);
    const struct kept_id *id = keeper_find(worker, name_hash(NAME_ID, 0, SPAN("away")));
    struct list *order = id->all.next;
    list_remove(order);
    assert_int_equal(pending(), 2);
    whole();
    assert_int_equal(pending(), 1);
    assert_there(0, 1);
    list_add_head((struct list *)&id->all, order);
    stats_add(&worker->stats.acks_pending, 1);
}

/* Two entries where one was counted. */
static void test_counted_too_little(void **state) {
    (void)state;
    push("/v1/clients/t7", 2);
    stats_sub(&worker->stats.copies_waiting[CLASS_DEFAULT], 1);
    whole();
    assert_there(2, 0);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_all_is_found), TEST(test_while_it_lasts), TEST(test_what_is_settled_meanwhile),
        TEST(test_a_lost_copy),  TEST(test_a_lost_message), TEST(test_counted_too_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
