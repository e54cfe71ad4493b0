/* A message taken apart and written in every form: bytes, bounds, and whether the payload follows.
 */
#include "proto/client/encodings.c"

#include "tests/support/cmocka_first.h"

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
    message->payload_at = (uint32_t)(id.len + event.len + group_json.len);
    message->is_bytes = is_bytes;
    struct builder bytes = builder_over(message->names + 1, message->payload_at + payload.len);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_lines),
        cmocka_unit_test(escapes_line_breaks_in_lines_only),
        cmocka_unit_test(writes_counted_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
