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
    snprintf(text, sizeof text, "42[\"message\",%s,1]", payload);
    assert_null(packet_is(text, BENCH_LINE_MESSAGE).payload);
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
        cmocka_unit_test(the_session_id),
        cmocka_unit_test(what_clients_say),
        cmocka_unit_test(a_ping_is_answered_as_it_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
