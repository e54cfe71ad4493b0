/* What the load tool says in Socket.IO, and what it takes a packet for. */
#include "perf/load/bench_sio.h"

#include "perf/load/bench_talk.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/cmocka_first.h"

static struct bench_line packet_is(const char *text, enum bench_line_kind kind) {
    struct bench_line line = bench_sio_text((const uint8_t *)text, strlen(text), 128);
    assert_int_equal(line.kind, kind);
    assert_int_equal(line.used, strlen(text));
    return line;
}

static void packets(void **state) {
    (void)state;
    packet_is("0{\"sid\":\"abc\"}", BENCH_LINE_OPEN);
    packet_is("2", BENCH_LINE_PING);
    packet_is("6", BENCH_LINE_NOTHING);
    packet_is("1", BENCH_LINE_OTHER);
    packet_is("40{\"sid\":\"abc\"}", BENCH_LINE_CONNECTED);
    packet_is("44{\"message\":\"no\"}", BENCH_LINE_OTHER);
    packet_is("41", BENCH_LINE_OTHER);
    packet_is("430[{\"ok\":true}]", BENCH_LINE_WELCOME);
    packet_is("431[{\"ok\":true}]", BENCH_LINE_PONG);
    packet_is("430[{\"ok\":false}]", BENCH_LINE_OTHER);
    packet_is("42[\"another\",1]", BENCH_LINE_OTHER);
    assert_null(packet_is("42[\"message\",1]", BENCH_LINE_MESSAGE).payload);
    static const char *const bad[] = {"", "4", "47", "22", "0", "x", "2probe"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        packet_is(bad[i], BENCH_LINE_BAD);
}

static void a_message(void **state) {
    (void)state;
    char text[512], payload[129] = {0};
    struct bench_payload some = {.run = 0x100, .number = 7, .to = 0x10000003, .at_ns = 12345}, back;
    bench_payload_write((uint8_t *)payload, 128, &some);
    snprintf(text, sizeof text, "42[\"message\",%s]", payload);
    struct bench_line line = packet_is(text, BENCH_LINE_MESSAGE);
    assert_true(bench_payload_read(line.payload, 128, &back));
    assert_int_equal(back.number, 7);
    snprintf(text, sizeof text, "42[\"message\",%s1]", payload);
    assert_null(packet_is(text, BENCH_LINE_MESSAGE).payload);
}

static void a_message_that_is_to_be_acknowledged(void **state) {
    (void)state;
    char text[512], payload[129] = {0};
    struct bench_payload some = {.run = 0x100, .number = 7, .to = 0x10000003, .at_ns = 12345};
    struct bench_asks asks;
    bench_payload_write((uint8_t *)payload, 128, &some);
    snprintf(text, sizeof text,
             "421000000000007[\"message\",%s,{\"id\":\"m1\",\"ack\":true,\"redelivered\":true}]",
             payload);
    struct bench_line line = packet_is(text, BENCH_LINE_MESSAGE);
    assert_non_null(line.payload);
    assert_true(bench_line_asks((const uint8_t *)text, &line, BENCH_FORM_SIO, &asks));
    assert_int_equal(asks.id_len, 2);
    assert_memory_equal(asks.id, "m1", 2);
    assert_true(asks.again);
    assert_true(asks.callback == 1000000000007);
    snprintf(text, sizeof text, "425[\"message\",%s,{\"id\":\"m1\",\"ack\":true}]", payload);
    line = packet_is(text, BENCH_LINE_MESSAGE);
    assert_true(bench_sio_asks((const uint8_t *)text, &line, &asks));
    assert_false(asks.again);
    assert_true(asks.callback == 5);
    static const char *const others[] = {"42[\"message\",%s,{\"id\":\"m1\"}]",
                                         "425[\"message\",%s]"};
    for (unsigned i = 0; i < 2; i++) {
        const char *mark = strstr(others[i], "%s");
        snprintf(text, sizeof text, "%.*s%s%s", (int)(mark - others[i]), others[i], payload,
                 mark + 2);
        line = packet_is(text, BENCH_LINE_MESSAGE);
        assert_non_null(line.payload);
        assert_false(bench_sio_asks((const uint8_t *)text, &line, &asks));
    }
}

static void callbacks_are_frames_of_their_own(void **state) {
    (void)state;
    static struct bench_talk talk;
    struct bench_asks asks = {.callback = 7};
    assert_true(bench_talk_ack(&talk, BENCH_FORM_SIO, &asks));
    asks.callback = 1000000000000;
    assert_true(bench_talk_ack(&talk, BENCH_FORM_SIO, &asks));
    assert_int_equal(talk.count, 2);
    struct bench_said said = bench_talk_acks(&talk, BENCH_FORM_SIO);
    static const char *const wanted[] = {"437[]", "431000000000000[]"};
    const uint8_t *at = said.at;
    for (unsigned i = 0; i < 2; i++) {
        size_t len = strlen(wanted[i]);
        assert_int_equal(at[0], 0x81);
        assert_int_equal(at[1], 0x80 | len);
        for (size_t k = 0; k < len; k++)
            assert_int_equal(at[6 + k] ^ at[2 + k % 4], wanted[i][k]);
        at += 6 + len;
    }
    assert_int_equal(at - said.at, said.len);
    uint32_t count = 0;
    while (bench_talk_ack(&talk, BENCH_FORM_SIO, &asks))
        count++;
    assert_true(count > 100);
    assert_true(bench_talk_acks(&talk, BENCH_FORM_SIO).len <= BENCH_TALK_BYTES);
}

static void the_session_id(void **state) {
    (void)state;
    char sid[BENCH_SIO_SID_MAX + 1];
    static const char good[] = "0{\"sid\":\"vqMBAAABk5RrzZytH3KI\",\"upgrades\":[]}";
    assert_true(bench_sio_sid((const uint8_t *)good, sizeof good - 1, sid));
    assert_string_equal(sid, "vqMBAAABk5RrzZytH3KI");
    static const char *const bad[] = {"0{}", "0{\"sid\":\"\"}", "0{\"sid\":\"abc",
                                      "0{\"sid\":\"123456789012345678901234567890123\"}"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(bench_sio_sid((const uint8_t *)bad[i], strlen(bad[i]), sid));
}

static void said_is(struct bench_said said, const char *wanted) {
    assert_int_equal(said.len, strlen(wanted));
    assert_memory_equal(said.at, wanted, said.len);
}

static void what_clients_say(void **state) {
    (void)state;
    static struct bench_talk talk;
    struct bench_share share = {.form = BENCH_FORM_POLL,
                                .run_base = 0xabc00,
                                .groups = 100,
                                .members = 4,
                                .host = "127.0.0.1:8080",
                                .aims[BENCH_GROUP] = {.addresses = 100, .streams = 2}};
    said_is(bench_talk_connect(&talk, &share, 3),
            "40{\"id\":\"b000abc00-00000003\",\"groups\":[\"g000abc00-00000003\","
            "\"g000abc00-00000004\"]}");
    said_is(bench_talk_connect(&talk, &share, 4), "40{\"id\":\"b000abc00-00000004\"}");
    said_is(bench_talk_hello(&talk, &share, 3),
            "420[\"register\",{\"socketId\":\"b000abc00-00000003\",\"groupFlag\":["
            "\"g000abc00-00000003\",\"g000abc00-00000004\"]}]");
    share.asks = true;
    said_is(bench_talk_connect(&talk, &share, 4),
            "40{\"id\":\"b000abc00-00000004\",\"meta\":true}");
    share.asks = false;
    share.by_hello = true;
    said_is(bench_talk_connect(&talk, &share, 3), "40");
    share.by_hello = false;
    share.form = BENCH_FORM_SIO;
    static const char upgrade[] = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n";
    struct bench_said said = bench_talk_first(&talk, &share, 3, 99);
    assert_memory_equal(said.at, upgrade, sizeof upgrade - 1);
    said = bench_talk_connect(&talk, &share, 4);
    assert_int_equal(said.at[0], 0x81); /* a frame, which is masked */
    assert_int_equal(said.len, 6 + strlen("40{\"id\":\"b000abc00-00000004\"}"));
    share.form = BENCH_FORM_SSE;
    said_is(bench_talk_first(&talk, &share, 3, 99),
            "GET /events?id=b000abc00-00000003&group=g000abc00-00000003"
            "&group=g000abc00-00000004 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n"
            "Accept: text/event-stream\r\n\r\n");
}

static void a_ping_is_answered_as_it_came(void **state) {
    (void)state;
    static struct bench_talk talk;
    const uint8_t text[] = {0x81, 1, '2'}, frame[] = {0x89, 1, 'x'};
    struct bench_line line = bench_ws_read(text, sizeof text, BENCH_FORM_SIO, 128);
    assert_int_equal(line.kind, BENCH_LINE_PING);
    struct bench_said said = bench_talk_pong(&talk, BENCH_FORM_SIO, &line, text);
    assert_int_equal(said.at[0], 0x81);
    assert_int_equal(said.at[6] ^ said.at[2], '3');
    line = bench_ws_read(frame, sizeof frame, BENCH_FORM_SIO, 128);
    said = bench_talk_pong(&talk, BENCH_FORM_SIO, &line, frame);
    assert_int_equal(said.at[0], 0x8a);
    assert_int_equal(said.at[6] ^ said.at[2], 'x');
    said_is(bench_talk_pong(&talk, BENCH_FORM_POLL, &line, NULL), "3");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets),
        cmocka_unit_test(a_message),
        cmocka_unit_test(a_message_that_is_to_be_acknowledged),
        cmocka_unit_test(callbacks_are_frames_of_their_own),
        cmocka_unit_test(the_session_id),
        cmocka_unit_test(what_clients_say),
        cmocka_unit_test(a_ping_is_answered_as_it_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
