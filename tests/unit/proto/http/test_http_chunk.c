/* The chunk decoder by itself: where body bytes end up, how many bytes it takes, and that it may
 * stop after any of them. What it refuses is in the tables of the whole codec. */
#include "proto/http/http_chunk.c"

#include "tests/support/cmocka_first.h"

#include <stdlib.h>

struct outcome {
    enum http_chunk_status status;
    char body[256];
    size_t body_bytes;
    size_t used;
    struct http_refusal refusal;
};

/* Presents `first` bytes, then pieces of `step`, each in memory of exactly its size. */
static struct outcome decode(struct span input, size_t body_max, size_t first, size_t step) {
    struct outcome outcome = {.status = HTTP_CHUNK_MORE};
    struct http_chunks chunks;
    http_chunks_init(&chunks, body_max);
    while (outcome.used < input.len && outcome.status == HTTP_CHUNK_MORE) {
        size_t count = outcome.used == 0 && first != 0 ? first : step, body_bytes = 0, used = 0;
        if (count == 0 || count > input.len - outcome.used)
            count = input.len - outcome.used;
        char *piece = malloc(count);
        assert_non_null(piece);
        memcpy(piece, input.at + outcome.used, count);
        outcome.status =
            http_chunks_decode(&chunks, piece, count, &body_bytes, &used, &outcome.refusal);
        if (outcome.status == HTTP_CHUNK_REFUSED) {
            outcome.used += outcome.refusal.offset;
        } else {
            assert_true(body_bytes <= used && used <= count);
            assert_true(outcome.status == HTTP_CHUNK_DONE || used == count);
            memcpy(outcome.body + outcome.body_bytes, piece, body_bytes);
            outcome.body_bytes += body_bytes;
            outcome.used += used;
        }
        free(piece);
    }
    return outcome;
}

static void expect_chunks(struct span input, size_t body_max, enum http_chunk_status status,
                          const char *body, size_t used) {
    for (size_t first = 0; first <= input.len; first++)
        for (size_t step = first == 0 ? 1 : 0; step < (first == 0 ? 5 : 1); step++) {
            struct outcome outcome = decode(input, body_max, first, step);
            assert_int_equal(outcome.status, status);
            assert_int_equal(outcome.used, used);
            if (status != HTTP_CHUNK_REFUSED)
                assert_true(span_equal(span_of(outcome.body, outcome.body_bytes), span_text(body)));
        }
}

static void puts_the_body_together(void **state) {
    (void)state;
    expect_chunks(SPAN("0\r\n\r\n"), 0, HTTP_CHUNK_DONE, "", 5);
    expect_chunks(SPAN("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"), 13, HTTP_CHUNK_DONE,
                  "abc0123456789", 28);
    expect_chunks(SPAN("3;x=\"y\"\r\nabc\r\n000;z\r\nT: u\r\nV:\r\n\r\n"), 3, HTTP_CHUNK_DONE,
                  "abc", 33);
    expect_chunks(SPAN("1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n"), 2, HTTP_CHUNK_DONE, "\r\n", 17);
}

static void stops_behind_the_body(void **state) {
    (void)state;
    expect_chunks(SPAN("1\r\na\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"), 1, HTTP_CHUNK_DONE, "a", 11);
}

static void waits_for_every_byte(void **state) {
    (void)state;
    static const char input[] = "3;x\r\nabc\r\n0\r\nT: u\r\n\r\n";
    for (size_t len = 1; len < sizeof input - 1; len++) {
        size_t body_bytes = len <= 5 ? 0 : len >= 8 ? 3 : len - 5;
        char body[4] = "abc";
        body[body_bytes] = '\0';
        expect_chunks(span_of(input, len), 3, HTTP_CHUNK_MORE, body, len);
    }
    expect_chunks(span_of(input, sizeof input - 1), 3, HTTP_CHUNK_DONE, "abc", sizeof input - 1);
}

static void keeps_to_the_limit(void **state) {
    (void)state;
    expect_chunks(SPAN("2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), 3, HTTP_CHUNK_DONE, "abc", 18);
    expect_chunks(SPAN("2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), 2, HTTP_CHUNK_REFUSED, "", 8);
    expect_chunks(SPAN("FFFFFFFFFFFFFFFF\r\n"), SIZE_MAX - 1, HTTP_CHUNK_REFUSED, "", 16);
    expect_chunks(SPAN("FFFFFFFFFFFFFFFF\r\n"), SIZE_MAX, HTTP_CHUNK_MORE, "", 18);
}

static void says_where_it_is_wrong(void **state) {
    (void)state;
    expect_chunks(SPAN("3\r\nabcd"), 9, HTTP_CHUNK_REFUSED, "", 6);
    expect_chunks(SPAN("3\r\nabc\r0"), 9, HTTP_CHUNK_REFUSED, "", 7);
    expect_chunks(SPAN("3x"), 9, HTTP_CHUNK_REFUSED, "", 1);
    expect_chunks(SPAN("\r\n"), 9, HTTP_CHUNK_REFUSED, "", 0);
    expect_chunks(SPAN("0\r\nA B: c"), 9, HTTP_CHUNK_REFUSED, "", 4);
    expect_chunks(SPAN("0\r\nA: b\x7f"), 9, HTTP_CHUNK_REFUSED, "", 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(puts_the_body_together), cmocka_unit_test(stops_behind_the_body),
        cmocka_unit_test(waits_for_every_byte),   cmocka_unit_test(keeps_to_the_limit),
        cmocka_unit_test(says_where_it_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
