/* The bytes of the load tool: what it writes it must read, and nothing else. */
#include "perf/load/bench_wire.c"

#include <stdlib.h>

#include "tests/support/cmocka_first.h"

static const struct bench_payload some = {
    .run = 0x12ab00f1, .number = 0xdeadbeef, .to = 0x10000042, .at_ns = 0x0123456789abcdef};

static bool same(const struct bench_payload *a, const struct bench_payload *b) {
    return a->run == b->run && a->number == b->number && a->to == b->to && a->at_ns == b->at_ns;
}

static void hex_round_trip(void **state) {
    (void)state;
    uint8_t digits[9] = {0};
    uint32_t value;
    for (uint32_t i = 0, x = 1; i < 100000; i++, x = x * 1664525 + 1013904223) {
        char expected[9];
        snprintf(expected, sizeof expected, "%08x", x);
        bench_hex_write(digits, x);
        assert_string_equal((char *)digits, expected);
        assert_true(bench_hex_read(digits, &value));
        assert_int_equal(value, x);
    }
    for (unsigned place = 0; place < 8; place++)
        for (unsigned byte = 0; byte < 256; byte++) {
            memcpy(digits, "0123abcd", 8);
            digits[place] = (uint8_t)byte;
            bool good = byte != 0 && strchr("0123456789abcdef", (int)byte) != NULL;
            assert_int_equal(bench_hex_read(digits, &value), good);
        }
}

static void payload_round_trip_and_every_damage(void **state) {
    (void)state;
    static const uint32_t sizes[] = {BENCH_PAYLOAD_MIN, 128, 1000, BENCH_PAYLOAD_MAX};
    static uint8_t bytes[BENCH_PAYLOAD_MAX];
    struct bench_payload back;
    for (unsigned i = 0; i < 4; i++) {
        bench_payload_write(bytes, sizes[i], &some);
        assert_true(bench_payload_read(bytes, sizes[i], &back));
        assert_true(same(&back, &some));
    }
    bench_payload_write(bytes, 128, &some);
    for (unsigned at = 0; at < 128; at++) {
        uint8_t was = bytes[at];
        for (unsigned byte = 0; byte < 256; byte++) {
            bytes[at] = (uint8_t)byte;
            assert_int_equal(bench_payload_read(bytes, 128, &back), byte == was);
        }
        bytes[at] = was;
    }
}

static void whom_it_is_for_is_read_alone(void **state) {
    (void)state;
    uint8_t bytes[BENCH_PAYLOAD_MIN];
    uint32_t to = 0;
    bench_payload_write(bytes, sizeof bytes, &some);
    bytes[0] ^= 0x01;
    bytes[sizeof bytes - 1] ^= 0x01;
    assert_true(bench_payload_to(bytes, &to));
    assert_int_equal(to, some.to);
    bytes[TO_AT + 7] = 'x';
    assert_false(bench_payload_to(bytes, &to));
}

static void request_is_what_a_node_expects(void **state) {
    (void)state;
    uint8_t form[1024], out[1024];
    struct bench_request request =
        bench_request_make(form, BENCH_UNICAST, 128, "127.0.0.1:8081", "secret");
    assert_true(request.len <= bench_request_max(128));
    bench_request_stamp(out, &request, 0xabcdef00, &some);
    static const char head[] = "POST /v1/clients/babcdef00-00000042 HTTP/1.1\r\n"
                               "Host: 127.0.0.1:8081\r\nAuthorization: Bearer secret\r\n"
                               "Content-Type: application/json\r\nContent-Length: 128\r\n\r\n";
    assert_int_equal(request.len, sizeof head - 1 + 128);
    assert_memory_equal(out, head, sizeof head - 1);
    struct bench_payload back;
    assert_true(bench_payload_read(out + request.payload_at, 128, &back));
    assert_true(same(&back, &some));

    struct bench_request entry = bench_entry_make(form, BENCH_GROUP, 84);
    bench_request_stamp(out, &entry, 0xabcdef00, &some);
    static const char start[] = "{\"group\":\"gabcdef00-00000042\",\"data\":{\"rpb\":\"12ab00f1\"";
    assert_memory_equal(out, start, sizeof start - 1);
    assert_int_equal(out[entry.len - 1], '}');
    entry = bench_entry_make(form, BENCH_BROADCAST, 84);
    assert_memory_equal(form, "{\"broadcast\":true,\"data\":{", 26);
}

static void request_that_asks_for_an_acknowledgement(void **state) {
    (void)state;
    uint8_t form[1024], out[1024];
    struct bench_request request = bench_request_make_ack(form, 128, false, "127.0.0.1:8081", NULL);
    assert_true(request.len <= bench_request_max(128));
    bench_request_stamp(out, &request, 0xabcdef00, &some);
    static const char head[] = "POST /v1/clients/babcdef00-00000042?ack=1 HTTP/1.1\r\n";
    assert_memory_equal(out, head, sizeof head - 1);
    request = bench_request_make_ack(form, 128, true, "127.0.0.1:8081", NULL);
    assert_true(request.len <= bench_request_max(128));
    bench_request_stamp(out, &request, 0xabcdef00, &some);
    static const char waits[] =
        "POST /v1/clients/babcdef00-00000042?ack=1&wait=ack&timeout=10 HTTP/1.1\r\n";
    assert_memory_equal(out, waits, sizeof waits - 1);
}

/* `text` has a payload of 84 bytes put in where its ~ is. */
static bool asks_of(const char *text, bool is_counted, struct bench_asks *asks) {
    static uint8_t line[1024];
    enum bench_form form = is_counted ? BENCH_FORM_COUNTED : BENCH_FORM_LINES;
    const char *before = strchr(text, '~');
    size_t len = (size_t)(before - text);
    memcpy(line, text, len);
    bench_payload_write(line + len, 84, &some);
    len += 84;
    memcpy(line + len, before + 1, strlen(before + 1));
    len += strlen(before + 1);
    struct bench_line read = bench_line_read(line, len, form, 84);
    assert_int_equal(read.kind, BENCH_LINE_MESSAGE);
    assert_int_equal(read.used, len);
    assert_non_null(read.payload);
    return bench_line_asks(line, &read, form, asks);
}

static void messages_that_ask(void **state) {
    (void)state;
    struct bench_asks asks;
    static const char json[] = "{\"type\":\"message\",\"id\":\"m1\",\"event\":\"e\"";
    char text[256];
    snprintf(text, sizeof text, "%s,\"ack\":true,\"data\":~}\n", json);
    assert_true(asks_of(text, false, &asks));
    assert_int_equal(asks.id_len, 2);
    assert_memory_equal(asks.id, "m1", 2);
    assert_false(asks.again);
    snprintf(text, sizeof text, "%s,\"ack\":true,\"redelivered\":true,\"data\":~}\n", json);
    assert_true(asks_of(text, false, &asks));
    assert_true(asks.again);
    snprintf(text, sizeof text, "%s,\"data\":~}\n", json);
    assert_false(asks_of(text, false, &asks));
    assert_true(asks_of("MSG m-2 e a 84\r\n~\r\n", true, &asks));
    assert_int_equal(asks.id_len, 3);
    assert_memory_equal(asks.id, "m-2", 3);
    assert_false(asks.again);
    assert_true(asks_of("MSG m-2 e ar 84\r\n~\r\n", true, &asks));
    assert_true(asks.again);
    assert_false(asks_of("MSG a-r ar - 84\r\n~\r\n", true, &asks));
    assert_false(asks_of("MSG a-r ar r 84\r\n~\r\n", true, &asks));
}

static void answers_whole_and_in_parts(void **state) {
    (void)state;
    static const char text[] =
        "HTTP/1.1 202 Accepted\r\nX: y\r\ncontent-LENGTH:  5\r\n\r\nhelloHTTP/1.1 503 S\r\n"
        "Content-Length: 2\r\nConnection: close\r\n\r\n{}";
    struct bench_answer answer;
    struct bench_answer_memory memory = {.head_len = 0};
    size_t first = strlen("HTTP/1.1 202 Accepted\r\nX: y\r\ncontent-LENGTH:  5\r\n\r\nhello");
    for (int again = 0; again < 2; again++) /* the second time out of memory */
        for (size_t len = 0; len < sizeof text - 1; len++) {
            long used = bench_answer_read((const uint8_t *)text, len, &memory, &answer);
            assert_int_equal(used, len < first ? 0 : (long)first);
            if (used > 0) {
                assert_int_equal(answer.status, 202);
                assert_int_equal(answer.body_len, 5);
                assert_memory_equal(answer.body, "hello", 5);
                assert_false(answer.last);
            }
        }
    long used =
        bench_answer_read((const uint8_t *)text + first, sizeof text - 1 - first, &memory, &answer);
    assert_int_equal(used, sizeof text - 1 - first);
    assert_int_equal(answer.status, 503);
    assert_true(answer.last);
}

static void bad_answers(void **state) {
    (void)state;
    static const char *const texts[] = {
        "HTTP/1.1 202 Accepted\r\n\r\n",
        "HTTQ/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 xyz Accepted\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 202 Accepted\r\nContent-Length: many\r\n\r\n",
        "\r\n\r\n",
    };
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct bench_answer answer;
        struct bench_answer_memory memory = {.head_len = 0};
        assert_int_equal(
            bench_answer_read((const uint8_t *)texts[i], strlen(texts[i]), &memory, &answer), -1);
    }
}

static void statuses_of_a_batch(void **state) {
    (void)state;
    static const char body[] = "[{\"status\":202,\"id\":\"x\"},{\"status\": 503},{\"status\":404}]";
    size_t offset = 0;
    assert_int_equal(bench_status_next((const uint8_t *)body, sizeof body - 1, &offset), 202);
    assert_int_equal(bench_status_next((const uint8_t *)body, sizeof body - 1, &offset), 503);
    assert_int_equal(bench_status_next((const uint8_t *)body, sizeof body - 1, &offset), 404);
    assert_int_equal(bench_status_next((const uint8_t *)body, sizeof body - 1, &offset), 0);
}

/* Reads `text` as one line, whole and at every shorter length. */
static void line_is(const char *text, size_t len, bool is_counted, enum bench_line_kind kind,
                    bool ours) {
    enum bench_form form = is_counted ? BENCH_FORM_COUNTED : BENCH_FORM_LINES;
    for (size_t cut = 0; cut <= len; cut++) {
        uint8_t *exact = malloc(cut == 0 ? 1 : cut); /* so that a sanitizer sees the end */
        memcpy(exact, text, cut);
        struct bench_line line = bench_line_read(exact, cut, form, 128);
        if (cut < len) {
            assert_int_equal(line.kind, BENCH_LINE_MORE);
        } else {
            struct bench_payload back;
            assert_int_equal(line.kind, kind);
            assert_int_equal(line.used, len);
            assert_int_equal(line.payload != NULL, ours);
            if (ours)
                assert_true(bench_payload_read(line.payload, 128, &back));
        }
        free(exact);
    }
}

static void lines_of_both_framings(void **state) {
    (void)state;
    char payload[129] = {0}, text[512];
    bench_payload_write((uint8_t *)payload, 128, &some);
    const char *forms[] = {
        "{\"type\":\"message\",\"id\":\"m1\",\"event\":\"message\",\"data\":%s}\n",
        "{\"type\":\"message\",\"id\":\"m1\",\"event\":\"message\",\"data\":%s}\r\n",
        "{\"type\":\"message\",\"id\":\"m1\",\"data\":%s,\"group\":\"g\"}\n",
    };
    for (unsigned i = 0; i < 3; i++) {
        int len = snprintf(text, sizeof text, forms[i], payload);
        line_is(text, (size_t)len, false, BENCH_LINE_MESSAGE, true);
    }
    int len = snprintf(text, sizeof text, "MSG m1 message - 128\r\n%s\r\n", payload);
    line_is(text, (size_t)len, true, BENCH_LINE_MESSAGE, true);
    line_is("MSG m1 message - 2\r\n{}\r\n", 24, true, BENCH_LINE_MESSAGE, false);
    line_is("WELCOME {}\r\n", 12, true, BENCH_LINE_WELCOME, false);
    line_is("PING\r\n", 6, true, BENCH_LINE_PING, false);
    line_is("{\"type\":\"ping\"}\n", 16, false, BENCH_LINE_PING, false);
    line_is("{\"type\":\"welcome\",\"session\":\"s\"}\n", 33, false, BENCH_LINE_WELCOME, false);
    line_is("{\"type\":\"error\"}\n", 17, false, BENCH_LINE_OTHER, false);
    line_is("rubbish\n", 8, false, BENCH_LINE_BAD, false);
    struct bench_line line =
        bench_line_read((const uint8_t *)"MSG m1 x\r\n", 10, BENCH_FORM_COUNTED, 128);
    assert_int_equal(line.kind, BENCH_LINE_BAD);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hex_round_trip),
        cmocka_unit_test(payload_round_trip_and_every_damage),
        cmocka_unit_test(whom_it_is_for_is_read_alone),
        cmocka_unit_test(request_is_what_a_node_expects),
        cmocka_unit_test(request_that_asks_for_an_acknowledgement),
        cmocka_unit_test(messages_that_ask),
        cmocka_unit_test(answers_whole_and_in_parts),
        cmocka_unit_test(bad_answers),
        cmocka_unit_test(statuses_of_a_batch),
        cmocka_unit_test(lines_of_both_framings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
