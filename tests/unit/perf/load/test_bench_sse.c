/* What the load tool takes from a stream of events, and what it refuses and says of it. */
#include "perf/load/bench_sse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/cmocka_first.h"

#define HEAD "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"

/* NULL: it is taken, with each shorter piece of it waited for. Gives where its body stands. */
static struct bench_chunks answer_is(const char *text, const char *why) {
    size_t len = strlen(text);
    struct bench_chunks chunks = {.left = 0};
    for (size_t cut = 0; cut <= len; cut++) {
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, text, cut);
        struct bench_line line = bench_sse_answer(exact, cut, &chunks);
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
    return chunks;
}

static void answers(void **state) {
    (void)state;
    answer_is(HEAD "Transfer-Encoding: chunked\r\n\r\n", NULL);
    answer_is(HEAD "\r\n", NULL);
    answer_is("HTTP/1.1 400 Bad Request\r\nContent-Type: text/event-stream\r\n\r\n", "refused");
    answer_is("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", "no text/event-stream");
    static uint8_t endless[20000];
    struct bench_chunks chunks;
    assert_int_equal(bench_sse_answer(endless, 100, &chunks).kind, BENCH_LINE_MORE);
    assert_int_equal(bench_sse_answer(endless, sizeof endless, &chunks).kind, BENCH_LINE_BAD);
}

static void chunks_are_taken_away_wherever_they_are_cut(void **state) {
    (void)state;
    static const char text[] = "5\r\nhello\r\n11;a=b\r\n, whole world of \r\n1\r\n!\r\n0\r\n\r\n";
    static const char wanted[] = "hello, whole world of !";
    for (size_t step = 1; step < sizeof text; step++) {
        char out[sizeof text];
        size_t len = 0;
        struct bench_chunks chunks = answer_is(HEAD "Transfer-Encoding: chunked\r\n\r\n", NULL);
        for (size_t at = 0; at < sizeof text - 1; at += step) {
            size_t part = at + step < sizeof text - 1 ? step : sizeof text - 1 - at;
            memcpy(out + len, text + at, part);
            long taken = bench_chunks_take(&chunks, (uint8_t *)out + len, part);
            assert_true(taken >= 0);
            len += (size_t)taken;
        }
        assert_int_equal(len, sizeof wanted - 1);
        assert_memory_equal(out, wanted, len);
    }
    struct bench_chunks whole = answer_is(HEAD "\r\n", NULL);
    char as_it_is[] = "5\r\nhello";
    assert_int_equal(bench_chunks_take(&whole, (uint8_t *)as_it_is, 8), 8);
}

static void what_is_no_chunk(void **state) {
    (void)state;
    static const char *const bad[] = {"x\r\n",     "\r\n",       "5 \r\nhello", "2\r\nhello\r\n",
                                      "2\r\nhe\n", "2\r\nhe\r3", "fffffff\r\n"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint8_t copy[32];
        struct bench_chunks chunks = answer_is(HEAD "Transfer-Encoding: chunked\r\n\r\n", NULL);
        memcpy(copy, bad[i], strlen(bad[i]));
        assert_int_equal(bench_chunks_take(&chunks, copy, strlen(bad[i])), -1);
    }
}

/* Reads it whole and at each shorter length. */
static struct bench_line event_is(const char *text, enum bench_line_kind kind) {
    size_t len = strlen(text);
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = malloc(cut + (cut == 0));
        memcpy(exact, text, cut);
        assert_int_equal(bench_sse_read(exact, cut, 128).kind, BENCH_LINE_MORE);
        free(exact);
    }
    struct bench_line line = bench_sse_read((const uint8_t *)text, len, 128);
    assert_int_equal(line.kind, kind);
    assert_int_equal(line.used, kind == BENCH_LINE_BAD ? 0 : len);
    return line;
}

static void events(void **state) {
    (void)state;
    char text[512], payload[129] = {0};
    struct bench_payload some = {.run = 0x100, .number = 7, .to = 0x10000003, .at_ns = 12345}, back;
    bench_payload_write((uint8_t *)payload, 128, &some);
    snprintf(text, sizeof text, "id: m1\nevent: message\ndata: %s\n\n", payload);
    struct bench_line line = event_is(text, BENCH_LINE_MESSAGE);
    assert_true(bench_payload_read(line.payload, 128, &back));
    assert_int_equal(back.number, 7);
    event_is("event: welcome\ndata: {\"type\":\"welcome\"}\n\n", BENCH_LINE_WELCOME);
    event_is("event: goodbye\nretry: 12\ndata: {}\n\n", BENCH_LINE_OTHER);
    /* an event of a producer with the name of the node's own */
    assert_null(event_is("id: m2\nevent: welcome\ndata: {}\n\n", BENCH_LINE_MESSAGE).payload);
    snprintf(text, sizeof text, "id: m1\ndata: 1\ndata: %s\n\n", payload);
    assert_null(event_is(text, BENCH_LINE_MESSAGE).payload);
    event_is(":\n\n", BENCH_LINE_NOTHING);
    event_is(": hi\n\n", BENCH_LINE_WELCOME);
    line = event_is("rubbish\n\n", BENCH_LINE_BAD);
    assert_non_null(strstr(line.why, "no field"));
    static uint8_t endless[BENCH_SSE_EVENT_MAX + 1];
    assert_int_equal(bench_sse_read(endless, sizeof endless, 128).kind, BENCH_LINE_BAD);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers),
        cmocka_unit_test(chunks_are_taken_away_wherever_they_are_cut),
        cmocka_unit_test(what_is_no_chunk),
        cmocka_unit_test(events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
