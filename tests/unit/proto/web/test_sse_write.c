#include "tests/support/cmocka_first.h"

#include "proto/web/sse_write.c"

#include <stdio.h>
#include <stdlib.h>

/* A sealed message, laid out as message.h says. */
static struct message *make_message(struct span id, struct span event, struct span payload,
                                    bool is_bytes) {
    struct message *message = calloc(1, sizeof *message + sizeof message->names[0] + id.len +
                                            event.len + payload.len + 1);
    assert_non_null(message);
    message->to_count = 1;
    message->id_len = (uint8_t)id.len;
    message->event_len = (uint16_t)event.len;
    message->payload_len = (uint32_t)payload.len;
    message->is_bytes = is_bytes;
    message->breaks_grow = is_bytes ? 0 : (uint32_t)json_breaks_grow(payload);
    struct builder bytes = builder_over(message->names + 1, id.len + event.len + payload.len);
    builder_span_add(&bytes, id);
    builder_span_add(&bytes, event);
    builder_span_add(&bytes, payload);
    assert_false(bytes.full);
    return message;
}

/* Frees the message. */
static size_t write_form(const struct encoding *encoding, const struct message *message, char *room,
                         size_t cap) {
    size_t most = encoding->bound(encoding, message);
    struct builder frame = builder_over(room, most < cap ? most : cap);
    bool follows = encoding->head(encoding, message, &frame);
    assert_false(frame.full);
    struct builder out = builder_over(room, cap);
    out.len = frame.len;
    if (follows)
        builder_span_add(&out, message_payload(message));
    size_t before = out.len;
    encoding->tail(encoding, message, &out);
    assert_false(out.full);
    assert_true(frame.len + (out.len - before) <= most);
    return out.len;
}

static void expect(struct message *message, const char *wanted) {
    static char room[200000], size[16];
    size_t len = write_form(&encoding_sse_plain, message, room, sizeof room);
    assert_int_equal(len, strlen(wanted));
    assert_memory_equal(room, wanted, len);
    /* The same as one chunk. */
    size_t framed = write_form(&encoding_sse, message, room, sizeof room);
    int digits = snprintf(size, sizeof size, "%zx\r\n", len);
    assert_int_equal(framed, len + (size_t)digits + 2);
    assert_memory_equal(room, size, (size_t)digits);
    assert_memory_equal(room + digits, wanted, len);
    assert_memory_equal(room + digits + len, "\r\n", 2);
    free(message);
}

static void test_messages(void **state) {
    (void)state;
    expect(make_message(SPAN("m1"), SPAN("pay"), SPAN("{\"a\":1}"), false),
           "id: m1\nevent: pay\ndata: {\"a\":1}\n\n");
    expect(make_message(SPAN("m:"), SPAN(" x: y"), SPAN(" 7"), false),
           "id: m:\nevent:  x: y\ndata:  7\n\n");
    expect(make_message(SPAN("m"), SPAN("e"), SPAN("\xFF\n"), true),
           "id: m\nevent: e\ndata: \"/wo=\"\n\n");
    expect(make_message(SPAN("m"), SPAN("e"), SPAN(""), true), "id: m\nevent: e\ndata: \"\"\n\n");
    /* Some readers of lines end one at these. */
    expect(make_message(SPAN("m"), SPAN("e"), SPAN("\"\xC2\x85.\xE2\x80\xA8\xE2\x80\xA9\""), false),
           "id: m\nevent: e\ndata: \"\\u0085.\\u2028\\u2029\"\n\n");
}

/* No payload that is taken in today has a line break; one that came otherwise cannot break the
 * framing. */
static void test_lines(void **state) {
    (void)state;
    static const struct {
        const char *payload, *data;
    } cases[] = {
        {"[1,\n2]", "data: [1,\ndata: 2]"},
        {"[1,\r\n2]", "data: [1,\ndata: 2]"},
        {"[1,\r2]", "data: [1,\ndata: 2]"},
        {"\n1\n", "data: \ndata: 1\ndata: "},
        {"\r\r\n\n", "data: \ndata: \ndata: \ndata: "},
        {"1\n\nid: x\n\nevent: y", "data: 1\ndata: \ndata: id: x\ndata: \ndata: event: y"},
        {"\"\xE2\x80\xA8\"\n\"\xC2\x85\"", "data: \"\\u2028\"\ndata: \"\\u0085\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char wanted[256];
        snprintf(wanted, sizeof wanted, "id: m\nevent: e\n%s\n\n", cases[i].data);
        expect(make_message(SPAN("m"), SPAN("e"), span_text(cases[i].payload), false), wanted);
    }
}

/* The size of a chunk is that of its bytes, whatever they are. */
static void test_sizes(void **state) {
    (void)state;
    static char text[70000], wanted[70100];
    static const size_t sizes[] = {1, 2, 200, 230, 231, 232, 240, 4094, 4096, 4097, 65536};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(text, '7', sizes[i]);
        text[sizes[i]] = '\0';
        snprintf(wanted, sizeof wanted, "id: m\nevent: e\ndata: %s\n\n", text);
        expect(make_message(SPAN("m"), SPAN("e"), span_text(text), false), wanted);
    }
}

static void test_what_the_server_says(void **state) {
    (void)state;
    char room[SSE_EVENT_BYTES_MAX + 1] = "";
    struct builder out = builder_over(room, SSE_EVENT_BYTES_MAX);
    const struct welcome welcome = {.session = SPAN("0-1-2"),
                                    .node = SPAN("n\xE2\x80\xA8"),
                                    .heartbeat_ns = 25000000000,
                                    .max_message_bytes = 9};
    sse_welcome(&out, &welcome);
    assert_string_equal(room, "event: welcome\ndata: {\"type\":\"welcome\",\"session\":\"0-1-2\","
                              "\"node\":\"n\\u2028\",\"heartbeat\":25,\"max_message\":9}\n\n");
    memset(room, 0, sizeof room);
    out.len = 0;
    sse_goodbye(&out, "draining", 1234);
    assert_string_equal(room, "event: goodbye\nretry: 1234\ndata: {\"type\":\"goodbye\",\"reason\":"
                              "\"draining\",\"reconnect_ms\":1234}\n\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_messages),
                                       cmocka_unit_test(test_lines), cmocka_unit_test(test_sizes),
                                       cmocka_unit_test(test_what_the_server_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
