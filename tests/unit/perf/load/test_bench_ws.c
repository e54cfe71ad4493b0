/* What the load tool takes from a WebSocket server, and what it refuses and says of it. */
#include "perf/load/bench_ws.h"

#include "perf/load/bench_sha1.h"
#include "perf/load/bench_talk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/cmocka_first.h"

static void sums(void **state) {
    (void)state;
    static const struct {
        const char *text, *sum;
    } known[] = {
        {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
        {"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
         "50abf5706a150990a08b2c5ea40fa0e585554732"},
    };
    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++) {
        uint8_t sum[BENCH_SHA1_BYTES];
        char digits[2 * BENCH_SHA1_BYTES + 1];
        bench_sha1((const uint8_t *)known[i].text, strlen(known[i].text), sum);
        for (unsigned k = 0; k < BENCH_SHA1_BYTES; k++)
            snprintf(digits + 2 * (size_t)k, 3, "%02x", sum[k]);
        assert_string_equal(digits, known[i].sum);
    }
}

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

static void the_handshake_of_rfc_6455(void **state) {
    (void)state;
    char accept[BENCH_WS_ACCEPT_BYTES + 1], key[BENCH_WS_KEY_BYTES + 1], out[512];
    uint64_t one, other;
    memcpy(&one, "the samp", 8);
    memcpy(&other, "le nonce", 8);
    bench_ws_key(key, one, other);
    assert_string_equal(key, KEY);
    bench_ws_accept(accept, KEY);
    assert_string_equal(accept, ACCEPT);
    size_t len = bench_ws_request(out, sizeof out, "/ws?id=b", "127.0.0.1:1", key);
    assert_int_equal(len, strlen(out));
    assert_string_equal(out, "GET /ws?id=b HTTP/1.1\r\nHost: 127.0.0.1:1\r\nUpgrade: websocket\r\n"
                             "Connection: Upgrade\r\nSec-WebSocket-Key: " KEY "\r\n"
                             "Sec-WebSocket-Version: 13\r\n\r\n");
    assert_int_equal(bench_ws_request(out, len, "/ws?id=b", "127.0.0.1:1", key), 0);
}

#define HEAD "HTTP/1.1 101 Switching Protocols\r\n"
#define FULL HEAD "upgrade: WebSocket\r\nConnection: upgrade\r\n"

/* NULL: it is taken, with each shorter piece of it waited for. */
static void answer_is(const char *text, const char *why) {
    size_t len = strlen(text);
    for (size_t cut = 0; cut <= len; cut++) {
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, text, cut);
        struct bench_line line = bench_ws_answer(exact, cut, KEY);
        if (cut < len) {
            assert_int_equal(line.kind, BENCH_LINE_MORE);
        } else if (why == NULL) {
            assert_int_equal(line.kind, BENCH_LINE_OTHER);
            assert_int_equal(line.used, len);
        } else {
            assert_int_equal(line.kind, BENCH_LINE_BAD);
            assert_non_null(strstr(line.why, why));
        }
        free(exact);
    }
}

static void answers_to_the_handshake(void **state) {
    (void)state;
    answer_is(FULL "Sec-WebSocket-Accept: " ACCEPT "\r\n\r\n", NULL);
    answer_is(FULL "sec-websocket-accept:" ACCEPT " \r\nDate: today\r\n\r\n", NULL);
    answer_is(FULL "Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n", "wrong");
    answer_is(FULL "\r\n", "wrong");
    answer_is(HEAD "Upgrade: websocket\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n", "101");
    answer_is(HEAD "Connection: Upgrade\r\nSec-WebSocket-Accept: " ACCEPT "\r\n\r\n", "101");
    answer_is("HTTP/1.1 403 Forbidden\r\n\r\n", "refused");
    answer_is("\r\n\r\n", "refused");
    answer_is(FULL "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Protocol: x\r\n\r\n",
              "subprotocol");
    answer_is(FULL "Sec-WebSocket-Accept: " ACCEPT "\r\nSec-WebSocket-Extensions: x\r\n\r\n",
              "extension");
    static uint8_t endless[20000];
    assert_int_equal(bench_ws_answer(endless, 100, KEY).kind, BENCH_LINE_MORE);
    assert_int_equal(bench_ws_answer(endless, sizeof endless, KEY).kind, BENCH_LINE_BAD);
}

static const struct bench_payload some = {
    .run = 0x100, .number = 7, .to = 0x10000003, .at_ns = 12345};

/* Writes a server's frame; gives its length. */
static size_t frame(uint8_t *out, uint8_t first, const void *text, size_t len) {
    size_t head = len < 126 ? 2 : len <= UINT16_MAX ? 4 : 10;
    out[0] = first;
    out[1] = (uint8_t)(head == 2 ? len : head == 4 ? 126 : 127);
    for (size_t i = 2; i < head; i++)
        out[i] = (uint8_t)((uint64_t)len >> 8 * (head - 1 - i));
    memcpy(out + head, text, len);
    return head + len;
}

/* Reads it whole and at each shorter length. */
static struct bench_line frame_is(const uint8_t *at, size_t len, enum bench_line_kind kind) {
    struct bench_line line = {.kind = BENCH_LINE_MORE};
    for (size_t cut = 0; cut <= len; cut++) {
        uint8_t *exact = malloc(cut + (cut == 0));
        memcpy(exact, at, cut);
        line = bench_ws_read(exact, cut, BENCH_FORM_WS, 128);
        free(exact);
        if (cut < len)
            assert_int_equal(line.kind, BENCH_LINE_MORE);
    }
    line = bench_ws_read(at, len, BENCH_FORM_WS, 128);
    assert_int_equal(line.kind, kind);
    assert_int_equal(line.used, len);
    return line;
}

static void frames_that_are_taken(void **state) {
    (void)state;
    static uint8_t out[80000], large[70000];
    char text[512], payload[129] = {0};
    bench_payload_write((uint8_t *)payload, 128, &some);
    snprintf(text, sizeof text,
             "{\"type\":\"message\",\"id\":\"m1\",\"event\":\"message\",\"ack\":true,\"data\":%s}",
             payload);
    size_t len = frame(out, 0x81, text, strlen(text));
    struct bench_line line = frame_is(out, len, BENCH_LINE_MESSAGE);
    struct bench_payload back;
    struct bench_asks asks;
    assert_true(bench_payload_read(line.payload, 128, &back));
    assert_int_equal(line.head, 4);
    assert_true(bench_line_asks(out, &line, BENCH_FORM_WS, &asks));
    assert_int_equal(asks.id_len, 2);
    assert_memory_equal(asks.id, "m1", 2);
    static const char welcome[] = "{\"type\":\"welcome\"}", error[] = "{\"type\":\"error\"}";
    static const char pong[] = "{\"type\":\"pong\"}", ping[] = "{\"type\":\"ping\"}";
    len = frame(out, 0x81, welcome, strlen(welcome));
    frame_is(out, len, BENCH_LINE_WELCOME);
    len = frame(out, 0x81, error, strlen(error));
    frame_is(out, len, BENCH_LINE_OTHER);
    len = frame(out, 0x81, pong, strlen(pong));
    frame_is(out, len, BENCH_LINE_PONG);
    len = frame(out, 0x81, ping, strlen(ping)); /* there are frames for it */
    frame_is(out, len, BENCH_LINE_OTHER);
    len = frame(out, 0x89, "are you there", 13);
    line = frame_is(out, len, BENCH_LINE_PING);
    assert_int_equal(line.head, 2);
    len = frame(out, 0x8a, "", 0);
    frame_is(out, len, BENCH_LINE_OTHER);
    len = frame(out, 0x88, "\x03\xf3gone", 6);
    frame_is(out, len, BENCH_LINE_CLOSE);
    len = frame(out, 0x81, "rubbish", 7);
    frame_is(out, len, BENCH_LINE_BAD);
    len = frame(out, 0x81, "", 0);
    frame_is(out, len, BENCH_LINE_BAD);
    memset(large, ' ', sizeof large);
    large[0] = '{';
    len = frame(out, 0x81, large, sizeof large);
    line = bench_ws_read(out, len, BENCH_FORM_WS, 128);
    assert_int_equal(line.kind, BENCH_LINE_OTHER);
    assert_int_equal(line.used, len);
    assert_int_equal(bench_ws_read(out, len - 1, BENCH_FORM_WS, 128).kind, BENCH_LINE_MORE);
}

static void frames_that_no_server_may_write(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        const char *why;
    } bad[] = {
        {"\x81\x85", 2, "masked"},
        {"\xc1\x05", 2, "reserved"},
        {"\x91\x05", 2, "reserved"},
        {"\x01\x05", 2, "in fragments"},
        {"\x80\x05", 2, "goes on with nothing"},
        {"\x00\x05", 2, "goes on with nothing"},
        {"\x82\x05", 2, "binary"},
        {"\x83\x05", 2, "unknown opcode"},
        {"\x8b\x00", 2, "unknown opcode"},
        {"\x09\x00", 2, "control frame in fragments"},
        {"\x89\x7e", 2, "more than 125"},
        {"\x81\x7e\x00\x7d", 4, "more bytes than it needs"},
        {"\x81\x7f\x00\x00\x00\x00\x00\x00\xff\xff", 10, "more bytes than it needs"},
        {"\x81\x7f\x00\x00\x00\x00\x00\x10\x00\x00", 10, "256 KiB"},
        {"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 10, "256 KiB"},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const uint8_t *at = (const uint8_t *)bad[i].bytes;
        struct bench_line line = bench_ws_read(at, bad[i].len, BENCH_FORM_WS, 128);
        assert_int_equal(line.kind, BENCH_LINE_BAD);
        assert_int_equal(line.used, 0);
        assert_non_null(strstr(line.why, bad[i].why));
    }
}

/* A mask at each length, against one byte after the other. */
static void frames_of_clients_are_masked(void **state) {
    (void)state;
    static uint8_t room[BENCH_WS_HEAD_MAX + 70000];
    const uint32_t mask = 0x44332211;
    for (size_t len = 0; len <= 65535; len += len < 300 ? 1 : 8191) {
        uint8_t *text = room + BENCH_WS_HEAD_MAX;
        for (size_t i = 0; i < len; i++)
            text[i] = (uint8_t)(i * 7);
        const uint8_t *at = bench_ws_wrap(text, len, BENCH_WS_TEXT, mask);
        size_t head = len < 126 ? 6 : 8;
        assert_ptr_equal(at, text - head);
        assert_int_equal(at[0], 0x81);
        if (head == 6)
            assert_int_equal(at[1], 0x80 | len);
        else
            assert_int_equal((size_t)at[2] << 8 | at[3], len);
        assert_memory_equal(at + head - 4, "\x11\x22\x33\x44", 4);
        for (size_t i = 0; i < len; i++)
            assert_int_equal(text[i] ^ at[head - 4 + i % 4], (uint8_t)(i * 7));
    }
}

static void what_clients_say_first(void **state) {
    (void)state;
    static struct bench_talk talk;
    struct bench_share share = {.form = BENCH_FORM_WS,
                                .run_base = 0xabc00,
                                .groups = 100,
                                .members = 10,
                                .host = "127.0.0.1:8080",
                                .aims[BENCH_GROUP] = {.addresses = 100, .streams = 2}};
    struct bench_said said = bench_talk_first(&talk, &share, 3, 99);
    static const char wanted[] = "GET /ws?id=b000abc00-00000003&group=g000abc00-00000003"
                                 "&group=g000abc00-00000004 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n";
    assert_memory_equal(said.at, wanted, sizeof wanted - 1);
    char key[BENCH_WS_KEY_BYTES + 1], other[BENCH_WS_KEY_BYTES + 1];
    bench_talk_key(key, &share, 3, 99);
    assert_non_null(memmem(said.at, said.len, key, BENCH_WS_KEY_BYTES));
    bench_talk_key(other, &share, 3, 100);
    assert_string_not_equal(key, other);
    share.by_hello = true;
    said = bench_talk_first(&talk, &share, 3, 99);
    assert_memory_equal(said.at, "GET /ws HTTP/1.1\r\n", 18);
    share.aims[BENCH_GROUP].streams = 64; /* the most that a client may have */
    share.by_hello = false;
    said = bench_talk_first(&talk, &share, 3, 99);
    assert_memory_equal(said.at + said.len - 4, "\r\n\r\n", 4);
}

static void a_ping_comes_back_with_what_is_in_it(void **state) {
    (void)state;
    static struct bench_talk talk;
    uint8_t ping[] = {0x89, 3, 'a', 'b', 'c'};
    struct bench_line line = bench_ws_read(ping, sizeof ping, BENCH_FORM_WS, 128);
    struct bench_said said = bench_talk_pong(&talk, BENCH_FORM_WS, &line, ping);
    assert_int_equal(said.len, 9);
    assert_int_equal(said.at[0], 0x8a);
    assert_int_equal(said.at[1], 0x83);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(said.at[6 + i] ^ said.at[2 + i], "abc"[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums),
        cmocka_unit_test(the_handshake_of_rfc_6455),
        cmocka_unit_test(answers_to_the_handshake),
        cmocka_unit_test(frames_that_are_taken),
        cmocka_unit_test(frames_that_no_server_may_write),
        cmocka_unit_test(frames_of_clients_are_masked),
        cmocka_unit_test(what_clients_say_first),
        cmocka_unit_test(a_ping_comes_back_with_what_is_in_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
