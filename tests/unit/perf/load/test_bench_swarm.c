/* How the load tool tells a repeat from a latecomer, and whose message is whose. */
#include "perf/load/bench_arrival.c"
#include "perf/load/bench_swarm.c"

#include "tests/support/cmocka_first.h"

static struct bench_tally tally;
static struct bench_stream stream;

static void take(const char *numbers) {
    memset(&tally, 0, sizeof tally);
    stream = (struct bench_stream){.next = 0};
    for (; *numbers != '\0'; numbers++)
        stream_take(&stream, &tally, (uint32_t)(*numbers - '0'));
}

static void in_order(void **state) {
    (void)state;
    take("0123456789");
    assert_int_equal(stream.unique, 10);
    assert_int_equal(tally.duplicate + tally.disordered, 0);
}

static void a_gap_is_no_fault_by_itself(void **state) {
    (void)state;
    take("0145");
    assert_int_equal(stream.unique, 4);
    assert_int_equal(tally.duplicate + tally.disordered, 0);
}

static void repeats(void **state) {
    (void)state;
    take("0012210");
    assert_int_equal(stream.unique, 3);
    assert_int_equal(tally.duplicate, 4);
    assert_int_equal(tally.disordered, 0);
}

static void latecomers(void **state) {
    (void)state;
    take("0321");
    assert_int_equal(stream.unique, 4);
    assert_int_equal(tally.disordered, 2);
    assert_int_equal(tally.duplicate, 0);
    take("03211");
    assert_int_equal(tally.duplicate, 1);
}

static void beyond_what_is_remembered(void **state) {
    (void)state;
    take("0");
    stream_take(&stream, &tally, 1000);
    stream_take(&stream, &tally, 1000);
    assert_int_equal(tally.duplicate, 1);
    stream_take(&stream, &tally, 1000 - 63);
    assert_int_equal(stream.unique, 3);
    stream_take(&stream, &tally, 1000 - 64);
    assert_int_equal(stream.unique, 3);
    assert_int_equal(tally.disordered, 2);
    stream_take(&stream, &tally, 1063);
    stream_take(&stream, &tally, 1000); /* the last bit of the window */
    assert_int_equal(tally.duplicate, 2);
}

static void what_the_node_says_may_come_again(void **state) {
    (void)state;
    take("0235");
    for (uint32_t number = 0; number < 8; number++)
        assert_int_equal(stream_has(&stream, number),
                         number == 0 || number == 2 || number == 3 || number == 5);
    stream_take(&stream, &tally, 1000);
    assert_true(stream_has(&stream, 4)); /* too long ago: it is taken to have been there */
    assert_false(stream_has(&stream, 999));
    assert_false(stream_has(&stream, 1001));
}

static void who_never_acknowledges_and_who_connects_anew(void **state) {
    (void)state;
    struct bench_share share = {.never = 10, .reconnect = 5};
    uint32_t never = 0, anew = 0;
    for (uint32_t client = 0; client < 1000; client++) {
        never += bench_never(&share, client);
        anew += bench_reconnects(&share, client);
    }
    assert_int_equal(never, 100);
    assert_int_equal(anew, 50);
    share = (struct bench_share){.never = 0};
    assert_false(bench_never(&share, 0) || bench_reconnects(&share, 99));
    share = (struct bench_share){.never = 100, .reconnect = 100};
    assert_true(bench_never(&share, 99) && bench_reconnects(&share, 0));
}

/* Gathers acknowledgements of `count` ids; gives what its client wrote. */
static size_t acks_of(enum bench_form form, uint32_t count, uint8_t *said, size_t room) {
    static struct bench_client client;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    client.fd = pair[0];
    struct bench_share share = {.form = form};
    static struct bench_swarm swarm;
    memset(&tally, 0, sizeof tally);
    swarm = (struct bench_swarm){.tally = &tally, .share = &share, .clients = &client};
    for (uint32_t i = 0; i < count; i++) {
        char id[32];
        size_t len = (size_t)snprintf(id, sizeof id, "id-of-a-message-%010u", i);
        ack_gather(&swarm, &client, &(struct bench_asks){.id = (const uint8_t *)id, .id_len = len});
    }
    acks_write(&swarm, &client);
    close(pair[0]);
    size_t len = 0;
    for (ssize_t got; (got = recv(pair[1], said + len, room - 1 - len, 0)) > 0;)
        len += (size_t)got;
    close(pair[1]);
    said[len] = '\0';
    assert_int_equal(tally.acks, count);
    return len;
}

static uint32_t ids_in(const char *text) {
    uint32_t ids = 0;
    for (const char *at = text; (at = strstr(at, "id-of")) != NULL; at++)
        ids++;
    return ids;
}

static void acknowledgements_are_gathered(void **state) {
    (void)state;
    static char said[65536];
    uint8_t *room = (uint8_t *)said;
    acks_of(BENCH_FORM_LINES, 2, room, sizeof said);
    assert_string_equal(said, "{\"type\":\"ack\",\"ids\":[\"id-of-a-message-0000000000\","
                              "\"id-of-a-message-0000000001\"]}\n");
    acks_of(BENCH_FORM_COUNTED, 2, room, sizeof said);
    assert_string_equal(said, "ACK id-of-a-message-0000000000 id-of-a-message-0000000001\r\n");
    assert_int_equal(acks_of(BENCH_FORM_COUNTED, 0, room, sizeof said), 0);
    for (unsigned counted = 0; counted < 2; counted++) {
        acks_of(counted != 0 ? BENCH_FORM_COUNTED : BENCH_FORM_LINES, 1000, room, sizeof said);
        assert_int_equal(ids_in(said), 1000);
        for (char *at = said, *end; (end = strchr(at, '\n')) != NULL; at = end + 1)
            assert_true(end - at < 4096);
    }
}

/* Takes the mask off a client's frame, which is a whole text. Gives what is in it. */
static char *unmasked(uint8_t *at, size_t *used) {
    size_t head = at[1] == (0x80 | 126) ? 4 : 2;
    size_t len = head == 4 ? (size_t)at[2] << 8 | at[3] : at[1] & 0x7fu;
    assert_int_equal(at[0], 0x81);
    assert_true((at[1] & 0x80) != 0);
    for (size_t i = 0; i < len; i++)
        at[head + 4 + i] ^= at[head + i % 4];
    *used = head + 4 + len;
    return (char *)at + head + 4;
}

static void acknowledgements_are_frames_of_their_own(void **state) {
    (void)state;
    static uint8_t said[65536];
    size_t used;
    size_t len = acks_of(BENCH_FORM_WS, 2, said, sizeof said);
    const char *text = unmasked(said, &used);
    assert_int_equal(used, len);
    assert_string_equal(text, "{\"type\":\"ack\",\"ids\":[\"id-of-a-message-0000000000\","
                              "\"id-of-a-message-0000000001\"]}");
    len = acks_of(BENCH_FORM_WS, 1000, said, sizeof said);
    uint32_t ids = 0;
    for (size_t at = 0; at < len; at += used) {
        char copy[4096];
        text = unmasked(said + at, &used);
        size_t text_len = (size_t)(said + at + used - (const uint8_t *)text);
        assert_true(text_len < sizeof copy);
        memcpy(copy, text, text_len);
        copy[text_len] = '\0';
        assert_memory_equal(copy + text_len - 3, "\"]}", 3);
        ids += ids_in(copy);
    }
    assert_int_equal(ids, 1000);
}

static void places(void **state) {
    (void)state;
    struct bench_share share = {
        .aims[BENCH_UNICAST] = {.addresses = 9, .streams = 1},
        .aims[BENCH_LONE] = {.addresses = 9, .streams = 1, .first_stream = 1}};
    uint32_t place;
    assert_true(streams_place(&share, 7, 0x10000007, &place));
    assert_int_equal(place, 0);
    assert_false(streams_place(&share, 7, 0x10000008, &place));
    assert_false(streams_place(&share, 7, 0x20000007, &place));
    assert_true(streams_place(&share, 7, 0x40000007, &place));
    assert_int_equal(place, 1);
    assert_false(streams_place(&share, 7, 0x50000007, &place));
    assert_false(streams_place(&share, 10, 0x1000000a, &place)); /* no such address */
    share = (struct bench_share){.aims[BENCH_BROADCAST] = {.addresses = 3, .streams = 3}};
    assert_true(streams_place(&share, 7, 0x30000002, &place));
    assert_int_equal(place, 2);
    assert_false(streams_place(&share, 7, 0x30000003, &place));
    share = (struct bench_share){.aims[BENCH_GROUP] = {.addresses = 10, .streams = 3},
                                 .groups = 10,
                                 .join = 3,
                                 .members = 100};
    assert_false(streams_place(&share, 100, 0x20000000, &place)); /* no member */
    for (uint32_t client = 0; client < 100; client++)
        for (uint32_t group = 0; group < 12; group++) {
            bool member = false;
            for (uint32_t k = 0; k < share.join; k++)
                if (bench_group_of(&share, client, k) == group) {
                    member = true;
                    assert_true(streams_place(&share, client, 0x20000000 | group, &place));
                    assert_int_equal(place, k);
                }
            if (!member)
                assert_false(streams_place(&share, client, 0x20000000 | group, &place));
        }
}

static void late_messages_do_not_reach_the_next_run(void **state) {
    (void)state;
    const struct bench_aim aims[BENCH_KINDS] = {[BENCH_UNICAST] = {.addresses = 2, .streams = 1}};
    struct bench_share *share = bench_share_open(2, aims);
    assert_non_null(share);
    struct bench_swarm swarm = {
        .share = share, .tally = &share->tallies[1], .first = 1, .count = 1};
    struct bench_payload late = {.number = 7, .to = 0x10000001};
    uint8_t bytes[BENCH_PAYLOAD_MIN];
    share->payload_size = sizeof bytes;
    share->run_base = 0x100;
    bench_share_begin(share);
    late.run = bench_share_run(share, swarm.tally, 1, 1);
    bench_payload_write(bytes, sizeof bytes, &late);
    bench_arrived(swarm.share, swarm.tally, 1, bytes, false, late.run, 1);
    assert_int_equal(swarm.tally->received, 1);
    share->streams[0].next = 5; /* another swarm's */
    bench_share_begin(share);
    bench_arrived(swarm.share, swarm.tally, 1, bytes, false, late.run,
                  1); /* it does not know yet */
    assert_int_equal(swarm.tally->duplicate, 1);
    assert_false(bench_share_begun(share, 2));
    uint32_t run = bench_share_run(share, swarm.tally, 1, 1);
    assert_false(bench_share_begun(share, 2));
    atomic_store(&share->tallies[0].run, run);
    assert_true(bench_share_begun(share, 2));
    bench_arrived(swarm.share, swarm.tally, 1, bytes, false, run, 1);
    assert_int_equal(swarm.tally->stale, 1);
    assert_int_equal(swarm.tally->received + swarm.tally->duplicate, 0);
    assert_int_equal(share->streams[1].next + share->streams[1].unique, 0);
    assert_int_equal(share->streams[0].next, 5);
    bench_share_close(share);
}

static void a_heartbeat_has_one_answer(void **state) {
    (void)state;
    static struct bench_client client;
    static struct bench_tally counts;
    struct bench_net net = {.there_ns = 0};
    struct bench_share share = {.timed = 1};
    struct bench_swarm swarm = {.tally = &counts, .net = &net, .share = &share, .clients = &client};
    atomic_store(&counts.run, 1);
    client_on_pong(&swarm, &client);
    assert_int_equal(counts.pongs_unasked, 1);
    client.pinged_ns = clock_ns();
    client.pinged_run = 1;
    client_on_pong(&swarm, &client);
    assert_int_equal(counts.pongs, 1);
    assert_int_equal(counts.pong.count, 1);
    client_on_pong(&swarm, &client);
    assert_int_equal(counts.pongs_unasked, 2);
    client.pinged_ns = clock_ns(); /* of a run that has ended */
    atomic_store(&counts.run, 2);
    client_on_pong(&swarm, &client);
    assert_int_equal(counts.pongs, 1);
    assert_int_equal(counts.pongs_unasked, 2);
}

/* The node asks whether a client is there. */
static void a_ping_is_answered_by_a_pong(void **state) {
    (void)state;
    static const char *const pongs[2] = {"{\"type\":\"pong\"}\n", "PONG\r\n"};
    for (int counted = 0; counted < 2; counted++) {
        int ends[2];
        char answer[64];
        static struct bench_tally counts;
        struct bench_share share = {.form = counted ? BENCH_FORM_COUNTED : BENCH_FORM_LINES};
        struct bench_swarm swarm = {.tally = &counts, .share = &share};
        const struct bench_line ping = {.kind = BENCH_LINE_PING};
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
        struct bench_client client = {.fd = ends[0], .state = READY};
        client_on_word(&swarm, &client, &ping, NULL);
        assert_int_equal(client.fd, ends[0]);
        ssize_t len = read(ends[1], answer, sizeof answer);
        assert_int_equal(len, strlen(pongs[counted]));
        assert_memory_equal(answer, pongs[counted], (size_t)len);
        close(ends[0]);
        close(ends[1]);
    }
}

/* What it read late says nothing of when it came: it counts, and has no latency. */
static void others_than_the_timed_only_count(void **state) {
    (void)state;
    const struct bench_aim aims[BENCH_KINDS] = {[BENCH_UNICAST] = {.addresses = 2, .streams = 1}};
    struct bench_share *share = bench_share_open(2, aims);
    assert_non_null(share);
    share->timed = 1;
    share->run_base = 0x100;
    share->slow_ns = 1000;
    bench_share_begin(share);
    struct bench_net net = {.there_ns = 0};
    struct bench_client clients[2] = {{.pinged_ns = 0}};
    struct bench_swarm swarm = {
        .share = share, .tally = &share->tallies[0], .count = 2, .net = &net, .clients = clients};
    uint32_t run = bench_share_run(share, swarm.tally, 0, 2);
    share->slot_start_ns = 1;
    share->slot_kind = BENCH_UNICAST;
    uint8_t bytes[BENCH_PAYLOAD_MIN];
    share->payload_size = sizeof bytes;
    for (uint32_t client = 0; client < 2; client++) {
        struct bench_payload payload = {.run = run, .to = 0x10000000 | client, .at_ns = 1};
        bench_payload_write(bytes, sizeof bytes, &payload);
        bench_arrived(swarm.share, swarm.tally, client, bytes, false, run, 5000);
        clients[client].pinged_ns = clock_ns();
        clients[client].pinged_run = run;
        client_on_pong(&swarm, &clients[client]);
        assert_int_equal(swarm.tally->received, client + 1);
        assert_int_equal(swarm.tally->slot_count[0], client + 1);
        assert_int_equal(swarm.tally->pongs, client + 1);
        assert_int_equal(swarm.tally->latency.count, 1);
        assert_int_equal(swarm.tally->slot_timed[0], 1);
        assert_int_equal(swarm.tally->slot_slow[0], 1);
        assert_int_equal(swarm.tally->pong.count, 1);
    }
    bench_share_close(share);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order),
        cmocka_unit_test(a_gap_is_no_fault_by_itself),
        cmocka_unit_test(repeats),
        cmocka_unit_test(latecomers),
        cmocka_unit_test(beyond_what_is_remembered),
        cmocka_unit_test(what_the_node_says_may_come_again),
        cmocka_unit_test(who_never_acknowledges_and_who_connects_anew),
        cmocka_unit_test(acknowledgements_are_gathered),
        cmocka_unit_test(acknowledgements_are_frames_of_their_own),
        cmocka_unit_test(places),
        cmocka_unit_test(a_heartbeat_has_one_answer),
        cmocka_unit_test(a_ping_is_answered_by_a_pong),
        cmocka_unit_test(others_than_the_timed_only_count),
        cmocka_unit_test(late_messages_do_not_reach_the_next_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
