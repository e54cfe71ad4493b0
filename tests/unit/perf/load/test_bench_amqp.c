/* A publish is three whole frames; what a broker says of it is read whole, or not at all. */
#include "perf/load/bench_amqp.c"

#include "tests/support/cmocka_first.h"

#define SIZE 200u

static void a_publish_is_three_frames_around_an_entry(void **state) {
    (void)state;
    uint8_t form[2048], entry[2048], out[2048];
    struct bench_request request = bench_amqp_request(form, SIZE);
    struct bench_request alone = bench_entry_make(entry, BENCH_UNICAST, SIZE);
    const struct bench_payload payload = {.run = 0x101, .number = 7, .to = 9, .at_ns = 5};
    assert_true(request.len <= bench_request_max(SIZE));
    bench_request_stamp(out, &request, 0x100, &payload);
    size_t at = 0, body_len = 0;
    for (unsigned type = FRAME_METHOD; type <= FRAME_BODY; type++) {
        assert_int_equal(out[at], type);
        assert_int_equal(number_at(out + at + 1, 2), CHANNEL);
        size_t size = number_at(out + at + 3, 4);
        const uint8_t *in = out + at + FRAME_HEAD;
        if (type == FRAME_METHOD)
            assert_int_equal(number_at(in, 4), BASIC_PUBLISH);
        if (type == FRAME_HEADER)
            body_len = number_at(in + 4, 8);
        at += FRAME_HEAD + size + 1;
        assert_int_equal(out[at - 1], FRAME_END);
    }
    assert_int_equal(at, request.len);
    assert_int_equal(body_len, alone.len);
    uint8_t stamped[2048];
    bench_request_stamp(stamped, &alone, 0x100, &payload);
    assert_memory_equal(out + request.len - 1 - body_len, stamped, body_len);
}

static size_t confirm_write(uint8_t *at, uint32_t method, uint64_t tag, bool multiple) {
    struct writer w = {.at = at};
    method_begin(&w, method);
    put_number(&w, tag, 8);
    put_number(&w, multiple, 1);
    frame_end(&w);
    return w.len;
}

static void a_confirm_is_read_when_it_is_whole(void **state) {
    (void)state;
    uint8_t at[64];
    struct bench_confirm confirm;
    size_t len = confirm_write(at, BASIC_ACK, 700, true);
    for (size_t part = 0; part < len; part++)
        assert_int_equal(bench_amqp_confirm_read(at, part, &confirm), 0);
    assert_int_equal(bench_amqp_confirm_read(at, len + 5, &confirm), len);
    assert_int_equal(confirm.tag, 700);
    assert_true(confirm.multiple && confirm.good);
    len = confirm_write(at, BASIC_NACK, 1, false);
    assert_int_equal(bench_amqp_confirm_read(at, len, &confirm), len);
    assert_true(confirm.tag == 1 && !confirm.multiple && !confirm.good);
}

static void a_heartbeat_says_nothing(void **state) {
    (void)state;
    const uint8_t beat[] = {FRAME_BEAT, 0, 0, 0, 0, 0, 0, FRAME_END};
    struct bench_confirm confirm = {.tag = 3};
    assert_int_equal(bench_amqp_confirm_read(beat, sizeof beat, &confirm), sizeof beat);
    assert_int_equal(confirm.tag, 0);
}

static void nothing_else_is_taken(void **state) {
    (void)state;
    uint8_t at[64];
    struct bench_confirm confirm;
    size_t len = confirm_write(at, BASIC_ACK, 0, false);
    assert_int_equal(bench_amqp_confirm_read(at, len, &confirm), -1); /* no tag is 0 */
    len = confirm_write(at, CONNECTION_CLOSE, 1, false);
    assert_int_equal(bench_amqp_confirm_read(at, len, &confirm), -1);
    len = confirm_write(at, BASIC_ACK, 1, false);
    at[len - 1] = 0;
    assert_int_equal(bench_amqp_confirm_read(at, len, &confirm), -1);
    at[3] = 0xff; /* a size that nobody waits for */
    assert_int_equal(bench_amqp_confirm_read(at, len, &confirm), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publish_is_three_frames_around_an_entry),
        cmocka_unit_test(a_confirm_is_read_when_it_is_whole),
        cmocka_unit_test(a_heartbeat_says_nothing),
        cmocka_unit_test(nothing_else_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
