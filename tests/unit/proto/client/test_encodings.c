/* A message taken apart and written in every form: bytes, bounds, and whether the payload follows.
 */
#include "tests/support/cmocka_first.h"

#include "proto/ws/ws_deflate.h"

static bool no_memory; /* for the streams of deflate */

static bool deflate_or_not(struct builder *out, const struct span *input, size_t count,
                           unsigned window_bits) {
    return !no_memory && ws_deflate(out, input, count, window_bits);
}

#define ws_deflate deflate_or_not
#include "proto/client/encodings.c"
#undef ws_deflate

#include <stdlib.h>

/* A sealed message, laid out as message.h says. */
static struct message *make_message(struct span id, struct span event, struct span group_json,
                                    struct span payload, bool is_bytes) {
    struct message *message = calloc(1, sizeof *message + sizeof message->names[0] + id.len +
                                            event.len + group_json.len + payload.len);
    assert_non_null(message);
    message->to_count = 1;
    message->id_len = (uint8_t)id.len;
    message->event_len = (uint16_t)event.len;
    message->group_json_len = (uint32_t)group_json.len;
    message->payload_len = (uint32_t)payload.len;
    message->is_bytes = is_bytes;
    struct builder bytes =
        builder_over(message->names + 1, id.len + event.len + group_json.len + payload.len);
    builder_span_add(&bytes, id);
    builder_span_add(&bytes, event);
    builder_span_add(&bytes, group_json);
    builder_span_add(&bytes, payload);
    assert_false(bytes.full);
    return message;
}

static struct message *with_breaks(struct message *message) {
    message->breaks_grow = (uint32_t)json_breaks_grow(message_payload(message));
    return message;
}

static void expect_form(const struct encoding *encoding, struct message *message,
                        const char *want) {
    size_t bound = encoding->bound(encoding, message);
    char *room = malloc(bound + message->payload_len);
    assert_non_null(room);
    /* Head and tail within the bound, the payload beside it. */
    struct builder out = builder_over(room, bound);
    bool around = encoding->head(encoding, message, &out);
    size_t head_len = out.len;
    encoding->tail(encoding, message, &out);
    assert_false(out.full);
    if (around) {
        out = builder_over(room, bound + message->payload_len);
        out.len = head_len;
        builder_span_add(&out, message_payload(message));
        encoding->tail(encoding, message, &out);
    }
    assert_int_equal(out.len, strlen(want));
    assert_memory_equal(room, want, out.len);
    free(room);
    free(message);
}

static void writes_lines(void **state) {
    (void)state;
    expect_form(&encoding_line,
                make_message(SPAN("m1"), SPAN("payment"), SPAN(""), SPAN("{\"a\":1}"), false),
                "{\"type\":\"message\",\"id\":\"m1\",\"event\":\"payment\",\"data\":{\"a\":1}}\n");
    expect_form(&encoding_line,
                make_message(SPAN("m\"1"), SPAN("e\\"), SPAN("[\"g\"]"), SPAN("null"), false),
                "{\"type\":\"message\",\"id\":\"m\\\"1\",\"event\":\"e\\\\\",\"group\":[\"g\"],"
                "\"data\":null}\n");
    /* Bytes are in the head already; a text of nothing is one too. */
    expect_form(&encoding_line, make_message(SPAN("m"), SPAN("e"), SPAN(""), SPAN("\xFF\n"), true),
                "{\"type\":\"message\",\"id\":\"m\",\"event\":\"e\",\"encoding\":\"base64\","
                "\"data\":\"/wo=\"}\n");
    expect_form(&encoding_line, make_message(SPAN("m"), SPAN("e"), SPAN(""), SPAN(""), true),
                "{\"type\":\"message\",\"id\":\"m\",\"event\":\"e\",\"encoding\":\"base64\","
                "\"data\":\"\"}\n");
}

#define BREAKS "\"\xC2\x85\xE2\x80\xA8.\xE2\x80\xA9\xC2\xA0\""

/* Some readers of lines end one at U+0085, U+2028 and U+2029. */
static void escapes_line_breaks_in_lines_only(void **state) {
    (void)state;
    expect_form(&encoding_line,
                with_breaks(make_message(SPAN("m"), SPAN("e"), SPAN(""), SPAN(BREAKS), false)),
                "{\"type\":\"message\",\"id\":\"m\",\"event\":\"e\","
                "\"data\":\"\\u0085\\u2028.\\u2029\xC2\xA0\"}\n");
    expect_form(&encoding_counted,
                with_breaks(make_message(SPAN("m"), SPAN("e"), SPAN(""), SPAN(BREAKS), false)),
                "MSG m e - 13\r\n" BREAKS "\r\n");
}

static void writes_counted_frames(void **state) {
    (void)state;
    expect_form(&encoding_counted,
                make_message(SPAN("m1"), SPAN("payment"), SPAN(""), SPAN("{\"a\":1}"), false),
                "MSG m1 payment - 7\r\n{\"a\":1}\r\n");
    expect_form(&encoding_counted,
                make_message(SPAN("50%"), SPAN("a b"), SPAN("\"g\""), SPAN("\n"), true),
                "MSG 50%25 a%20b gb 1\r\n\n\r\n");
    expect_form(&encoding_counted, make_message(SPAN("m"), SPAN("e"), SPAN(""), SPAN(""), true),
                "MSG m e b 0\r\n\r\n");
}

/* The object that a line has, behind the head of a frame that has its length. */
static void writes_frames(void **state) {
    (void)state;
    static char data[70000];
    const size_t sizes[] = {2, 60, 80, 81, 82, 200, 4096, 65450, 65500, 69000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(data, 'x', sizes[i]);
        data[0] = data[sizes[i] - 1] = '"';
        struct message *message =
            make_message(SPAN("m"), SPAN("e"), SPAN(""), span_of(data, sizes[i]), false);
        size_t room = encoding_frame.bound(&encoding_frame, message) + sizes[i];
        char *frame = malloc(room), *line = malloc(room);
        struct builder out = builder_over(frame, room), text = builder_over(line, room);
        assert_true(frame_head(&encoding_frame, message, &out));
        builder_span_add(&out, message_payload(message));
        frame_tail(&encoding_frame, message, &out);
        line_head(&encoding_line, message, &text);
        builder_span_add(&text, message_payload(message));
        line_tail(&encoding_line, message, &text);
        size_t bytes = text.len - 1, head = ws_head_bytes(bytes); /* without the line feed */
        assert_false(out.full);
        assert_int_equal(out.len, head + bytes);
        assert_memory_equal(frame + head, line, bytes);
        assert_int_equal((unsigned char)frame[0], 0x81);
        free(frame);
        free(line);
        free(message);
    }
}

/* What the frame says, inflated if it is compressed. */
static void expect_deflated(struct message *message, bool compressed, bool again) {
    const struct encoding *encoding = again ? &encoding_deflated_again : &encoding_deflated;
    size_t room = encoding->bound(encoding, message) + message->payload_len;
    char *frame = malloc(room), *plain = malloc(room);
    struct builder out = builder_over(frame, room), text = builder_over(plain, room);
    if (encoding->head(encoding, message, &out))
        builder_span_add(&out, message_payload(message));
    encoding->tail(encoding, message, &out);
    assert_false(out.full);
    assert_int_equal(ws_head_is_compressed(frame), compressed);
    size_t head = (unsigned char)frame[1] < 126 ? 2 : (unsigned char)frame[1] == 126 ? 4 : 10;
    struct span payload = span_of(frame + head, out.len - head);
    if (compressed)
        assert_int_equal(ws_inflate(payload, &text), WS_INFLATED);
    else
        builder_span_add(&text, payload);
    assert_int_equal(ws_head_bytes(payload.len), head);
    const char *begin = again
                            ? "{\"type\":\"message\",\"id\":\"m\",\"event\":\"e\",\"redelivered\":"
                            : "{\"type\":\"message\",\"id\":\"m\",\"event\":\"e\",\"";
    assert_memory_equal(plain, begin, strlen(begin));
    assert_int_equal(plain[text.len - 1], '}');
    free(frame);
    free(plain);
    free(message);
}

static void writes_compressed_frames(void **state) {
    (void)state;
    static char data[20000], noise[2000];
    struct span id = SPAN("m"), event = SPAN("e"), none = SPAN("");
    memset(data, ' ', sizeof data);
    data[0] = '7';
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (char)(i * 2654435761u >> 13);
    for (int again = 0; again < 2; again++) {
        expect_deflated(make_message(id, event, none, span_of(data, 100), false), false, again);
        expect_deflated(make_message(id, event, none, span_of(data, 600), false), true, again);
        expect_deflated(make_message(id, event, none, span_of(data, 20000), false), true, again);
        expect_deflated(make_message(id, event, none, span_of(noise, 2000), true), true, again);
        expect_deflated(with_breaks(make_message(id, event, none, SPAN(BREAKS), false)), false,
                        again);
    }
    no_memory = true;
    expect_deflated(make_message(id, event, none, span_of(data, 600), false), false, false);
    no_memory = false;
    ws_deflate_thread_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_lines),
        cmocka_unit_test(escapes_line_breaks_in_lines_only),
        cmocka_unit_test(writes_counted_frames),
        cmocka_unit_test(writes_frames),
        cmocka_unit_test(writes_compressed_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
