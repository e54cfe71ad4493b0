/* Counted framing: where a line ends, what the words mean, what is written. */
#include "proto/client/counted.c"

#include "proto/text/json.h"
#include "tests/support/cmocka_first.h"

#include <stdlib.h>

static struct line_scratch *room;

static int make_room(void **state) {
    (void)state;
    room = malloc(sizeof *room);
    return room == NULL;
}

static int drop_room(void **state) {
    (void)state;
    free(room);
    return 0;
}

/* Cuts the front off `bytes`, presented in memory of exactly its size. */
static enum counted_cut cut(struct span bytes, size_t *line_len, size_t *used) {
    char *alone = malloc(bytes.len != 0 ? bytes.len : 1);
    assert_non_null(alone);
    if (bytes.len != 0)
        memcpy(alone, bytes.at, bytes.len);
    struct span line = {NULL, 0};
    *used = 0;
    enum counted_cut outcome = counted_cut(span_of(alone, bytes.len), &line, used);
    if (outcome == COUNTED_LINE)
        assert_ptr_equal(line.at, alone);
    *line_len = line.len;
    free(alone);
    return outcome;
}

static void cuts_lines(void **state) {
    (void)state;
    size_t len, used;
    assert_int_equal(cut(span_of(NULL, 0), &len, &used), COUNTED_MORE);
    assert_int_equal(cut(SPAN("PING"), &len, &used), COUNTED_MORE);
    assert_int_equal(cut(SPAN("PING\r"), &len, &used), COUNTED_MORE);
    assert_int_equal(cut(SPAN("PING\r\n"), &len, &used), COUNTED_LINE);
    assert_true(len == 4 && used == 6);
    assert_int_equal(cut(SPAN("PING\nPONG\r\n"), &len, &used), COUNTED_LINE);
    assert_true(len == 4 && used == 5);
    assert_int_equal(cut(SPAN("\r\nPING\n"), &len, &used), COUNTED_LINE);
    assert_true(len == 0 && used == 2);
    assert_int_equal(cut(SPAN("\n"), &len, &used), COUNTED_LINE);
    assert_true(len == 0 && used == 1);
    /* Only one CR belongs to the end. */
    assert_int_equal(cut(SPAN("a\r\r\n"), &len, &used), COUNTED_LINE);
    assert_true(len == 2 && used == 4);
}

/* Lines of the greatest length and one byte more, with either end, arriving byte by byte. */
static void holds_the_limits(void **state) {
    (void)state;
    static char bytes[HELLO_BYTES_MAX + 16];
    static const struct {
        const char *word;
        size_t max;
    } kinds[] = {{"PING", 4096}, {"HELLOX", 4096}, {"HELLO {", 16384}, {"JOIN 1 ", 4096}};
    for (size_t kind = 0; kind < 4; kind++) {
        size_t max = kinds[kind].max, len, used;
        memset(bytes, 'x', sizeof bytes);
        memcpy(bytes, kinds[kind].word, strlen(kinds[kind].word));
        for (size_t at = 0; at <= max; at += at + 40 < max && at > 40 ? 37 : 1)
            assert_int_equal(cut(span_of(bytes, at), &len, &used), COUNTED_MORE);
        assert_int_equal(cut(span_of(bytes, max + 1), &len, &used), COUNTED_TOO_LONG);
        assert_int_equal(cut(span_of(bytes, max + 9), &len, &used), COUNTED_TOO_LONG);

        bytes[max] = '\n';
        assert_int_equal(cut(span_of(bytes, max + 1), &len, &used), COUNTED_LINE);
        assert_true(len == max && used == max + 1);
        bytes[max] = '\r';
        assert_int_equal(cut(span_of(bytes, max + 1), &len, &used), COUNTED_MORE);
        assert_int_equal(cut(span_of(bytes, max + 2), &len, &used), COUNTED_TOO_LONG);
        bytes[max + 1] = '\n';
        assert_int_equal(cut(span_of(bytes, max + 2), &len, &used), COUNTED_LINE);
        assert_true(len == max && used == max + 2 && used <= COUNTED_INPUT_BYTES_MAX);
        assert_int_equal(cut(span_of(bytes, max + 9), &len, &used), COUNTED_LINE);

        bytes[max] = 'x';
        assert_int_equal(cut(span_of(bytes, max + 2), &len, &used), COUNTED_TOO_LONG);
        bytes[max + 1] = '\r', bytes[max + 2] = '\n';
        assert_int_equal(cut(span_of(bytes, max + 3), &len, &used), COUNTED_TOO_LONG);
    }
}

static void finds_the_end_of_a_payload(void **state) {
    (void)state;
    assert_int_equal(counted_payload_end(span_of(NULL, 0)), 0);
    assert_int_equal(counted_payload_end(SPAN("\r")), 0);
    assert_int_equal(counted_payload_end(SPAN("\r\nX")), 2);
    assert_int_equal(counted_payload_end(SPAN("\nX")), 1);
    assert_int_equal(counted_payload_end(SPAN("\rX")), -1);
    assert_int_equal(counted_payload_end(SPAN("X\r\n")), -1);
    assert_int_equal(counted_payload_end(SPAN(" \r\n")), -1);
}

static bool read_words(struct span text, struct client_line *line, struct complaint *complaint) {
    static char *alone;
    free(alone);
    alone = malloc(text.len != 0 ? text.len : 1);
    assert_non_null(alone);
    if (text.len != 0)
        memcpy(alone, text.at, text.len);
    memset(complaint, 0, sizeof *complaint);
    bool right = counted_parse(span_of(alone, text.len), room, line, complaint);
    assert_int_equal(right, complaint->code == CODE_NONE);
    return right;
}

static struct client_line take(const char *text) {
    struct client_line line;
    struct complaint complaint;
    if (!read_words(span_text(text), &line, &complaint))
        fail_msg("%s: %s", text, complaint.text);
    return line;
}

static struct client_line expect_wrong(const char *text, enum code code, const char *says,
                                       const char *ref) {
    struct client_line line;
    struct complaint complaint;
    if (read_words(span_text(text), &line, &complaint))
        fail_msg("%s was taken", text);
    if (complaint.code != code || strcmp(complaint.text, says) != 0 ||
        !span_equal(line.ref, span_text(ref)))
        fail_msg("%s: %s, \"%s\", ref %.*s", text, code_word(complaint.code), complaint.text,
                 SPAN_ARG(line.ref));
    return line;
}

static void takes_words(void **state) {
    (void)state;
    assert_int_equal(take("PING").type, CLIENT_LINE_PING);
    assert_int_equal(take("PONG").type, CLIENT_LINE_PONG);
    struct client_line line = take("ACK m1 50%25 m1");
    assert_int_equal(line.type, CLIENT_LINE_ACK);
    assert_int_equal(line.names.count, 2);
    assert_true(span_equal(line.names.at[0], SPAN("50%")));
    assert_true(span_equal(line.names.at[1], SPAN("m1")));
    line = take("JOIN 1 shop-1");
    assert_int_equal(line.type, CLIENT_LINE_JOIN);
    assert_true(span_equal(line.ref, SPAN("1")) && line.names.count == 1);
    line = take("LEAVE x%20y%zz a%20b \xC3\xA4 %C3%A4 c+d a+b%2Fc");
    assert_int_equal(line.type, CLIENT_LINE_LEAVE);
    assert_true(span_equal(line.ref, SPAN("x%20y%zz")));
    static const char *const groups[] = {"a b", "a+b/c", "c+d", "\xC3\xA4"};
    assert_int_equal(line.names.count, 4);
    for (unsigned i = 0; i < 4; i++)
        assert_true(span_equal(line.names.at[i], span_text(groups[i])));
}

static void takes_a_hello(void **state) {
    (void)state;
    struct client_line line = take("HELLO {\"id\":\"a b\",\"groups\":[\"g h\"]}");
    assert_int_equal(line.type, CLIENT_LINE_HELLO);
    assert_true(span_equal(line.id, SPAN("a b")) && line.names.count == 1);
    assert_int_equal(take("HELLO {\"type\":\"hello\"}").type, CLIENT_LINE_HELLO);
    expect_wrong("HELLO", CODE_BAD_MESSAGE, "the hello object is missing", "");
    expect_wrong("HELLO ", CODE_BAD_JSON, "there is no value at byte 0", "");
    expect_wrong("HELLO {\"id\":}", CODE_BAD_JSON, "a value is missing at byte 6", "");
    expect_wrong("HELLO {\"id\":7,\"ref\":1}", CODE_BAD_MESSAGE, "id is not a string", "");
    expect_wrong("HELLO {\"type\":\"ping\"}", CODE_BAD_MESSAGE, "type is not hello", "");
    expect_wrong("HELLO []", CODE_BAD_MESSAGE, "this is no JSON object", "");
}

static void takes_a_send(void **state) {
    (void)state;
    struct client_line line = take("SEND r1 12 {\"to\":\"a b\", \"ttl\":5}");
    assert_int_equal(line.type, CLIENT_LINE_SEND);
    assert_true(span_equal(line.ref, SPAN("r1")));
    assert_int_equal(line.payload_bytes, 12);
    assert_true(span_equal(line.fields, SPAN("{\"to\":\"a b\", \"ttl\":5}")));
    assert_int_equal(take("SEND - 0 {}").payload_bytes, 0);
    assert_int_equal(take("SEND - 18446744073709551615 {}").payload_bytes, SIZE_MAX);
}

/* Without its count nobody knows where a send ends; with it the payload can be skipped. */
static void tells_a_bad_count_from_the_rest(void **state) {
    (void)state;
    static const char *const bad[] = {
        "SEND",
        "SEND ",
        "SEND 1",
        "SEND 1 ",
        "SEND 1 {}",
        "SEND 1 01 {}",
        "SEND 1 00 {}",
        "SEND 1 -1 {}",
        "SEND 1 +1 {}",
        "SEND 1 1.0 {}",
        "SEND 1 1e3 {}",
        "SEND 1  5 {}",
        "SEND 1 0x5 {}",
        "SEND 1 5; {}",
        "SEND 1 18446744073709551616 {}",
        "SEND 1 99999999999999999999999 {}",
        "SEND 1 \t5 {}",
        "SEND {\"to\":\"a\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_wrong(bad[i], CODE_BAD_FRAME, "SEND without a byte count in its third word", "");
    struct client_line line = expect_wrong("SEND  5 {}", CODE_BAD_MESSAGE, "the ref is empty", "");
    assert_int_equal(line.type, CLIENT_LINE_SEND);
    assert_int_equal(line.payload_bytes, 5);
    line = expect_wrong("SEND r 7", CODE_BAD_MESSAGE,
                        "the object with the message's fields is missing", "r");
    assert_int_equal(line.payload_bytes, 7);
    line = expect_wrong("SEND \xC3\xA4 7 {}", CODE_BAD_MESSAGE,
                        "the ref holds a byte that is not visible ASCII", "");
    assert_int_equal(line.payload_bytes, 7);
}

static void refuses_what_it_does_not_know(void **state) {
    (void)state;
    const char *unknown = "the line begins with none of HELLO, ACK, JOIN, LEAVE, SEND, PING, PONG";
    static const char *const lines[] = {"",        " ",        "PUSH",
                                        "ping",    "PINGS",    "PIN",
                                        " PING",   "HELLO{}",  "{\"type\":\"ping\"}",
                                        "ACK\tm1", "JOINT 1 g"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        expect_wrong(lines[i], CODE_BAD_MESSAGE, unknown, "");
    expect_wrong("PING ", CODE_BAD_MESSAGE, "this word must stand alone on its line", "");
    expect_wrong("PONG 1", CODE_BAD_MESSAGE, "this word must stand alone on its line", "");
    expect_wrong("ACK", CODE_BAD_MESSAGE, "the message id is missing", "");
    expect_wrong("ACK ", CODE_BAD_MESSAGE, "the message id is empty", "");
    expect_wrong("ACK m1  m2", CODE_BAD_MESSAGE, "the message id is empty", "");
    expect_wrong("ACK m1 ", CODE_BAD_MESSAGE, "the message id is empty", "");
    expect_wrong("ACK %", CODE_BAD_MESSAGE, "the message id holds a bad escape", "");
    expect_wrong("ACK a%20b", CODE_BAD_MESSAGE,
                 "the message id holds a byte that is not visible ASCII", "");
    expect_wrong("JOIN", CODE_BAD_MESSAGE, "the ref is missing", "");
    expect_wrong("JOIN ", CODE_BAD_MESSAGE, "the ref is empty", "");
    expect_wrong("JOIN 1", CODE_BAD_MESSAGE, "the group is missing", "1");
    expect_wrong("JOIN 1 ", CODE_BAD_MESSAGE, "the group is empty", "1");
    expect_wrong("JOIN 1 a b%", CODE_BAD_MESSAGE, "the group holds a bad escape", "1");
    expect_wrong("JOIN 1 %FF", CODE_BAD_MESSAGE, "the group is not UTF-8", "1");
    expect_wrong("JOIN 1 %00", CODE_BAD_MESSAGE, "the group holds U+0000", "1");
    expect_wrong("JOIN 1 a%0Ab", CODE_BAD_MESSAGE, "the group holds a control character", "1");
    expect_wrong("JOIN 1 a\tb", CODE_BAD_MESSAGE, "the group holds a control character", "1");
    expect_wrong("JOIN 12345678901234567890123456789012345678901234567890123456789012345 g",
                 CODE_BAD_MESSAGE, "the ref is longer than 64 bytes", "");
}

/* As many ids as a line has room for, if they are not all different. */
static void holds_the_lists(void **state) {
    (void)state;
    static char bytes[8192];
    for (unsigned count = 1000; count <= 1001; count++) {
        struct builder text = builder_over(bytes, sizeof bytes);
        builder_text(&text, "ACK");
        for (unsigned i = 0; i < count; i++)
            builder_format(&text, " %c%c", (char)(0x30 + i % 64), (char)(0x30 + i / 64));
        builder_text(&text, " 00 %30%30");
        builder_byte(&text, '\0');
        assert_false(text.full);
        if (count == 1000)
            assert_int_equal(take(bytes).names.count, 1000);
        else
            expect_wrong(bytes, CODE_BAD_MESSAGE, "the message id list is longer than 1000 entries",
                         "");
    }
}

static char written[LINE_ANSWER_BYTES_MAX];

static void assert_wrote(const struct builder *out, const char *text) {
    assert_false(out->full);
    if (!span_equal(builder_span(out), span_text(text)))
        fail_msg("%.*s", SPAN_ARG(builder_span(out)));
}

static void writes_answers(void **state) {
    (void)state;
    struct welcome welcome = {SPAN("s"), SPAN("n"), 25 * UINT64_C(1000000000), 65536, false, false};
    struct builder out = builder_over(written, sizeof written);
    counted_welcome(&out, &welcome);
    assert_wrote(&out, "WELCOME {\"type\":\"welcome\",\"session\":\"s\",\"node\":\"n\","
                       "\"heartbeat\":25,\"max_message\":65536}\r\n");
    out = builder_over(written, sizeof written);
    counted_ok(&out, SPAN("r1"));
    counted_sent(&out, SPAN("r2"), SPAN("50%"), "absent");
    assert_wrote(&out, "OK r1\r\nOK r2 50%25 absent\r\n");
    out = builder_over(written, sizeof written);
    counted_error(&out, CODE_BAD_MESSAGE, "no\r\nOK 1\x7F \xC3\xA4\xE2\x80\xA8\xC2\x85\xFF",
                  SPAN("r"));
    counted_error(&out, CODE_BAD_FRAME, "why", span_of(NULL, 0));
    assert_wrote(&out, "ERR bad_message r no??OK 1? \xC3\xA4???\r\nERR bad_frame - why\r\n");
    out = builder_over(written, sizeof written);
    counted_goodbye(&out, "draining", 1234);
    builder_span_add(&out, COUNTED_PING);
    builder_span_add(&out, COUNTED_PONG);
    assert_wrote(&out, "BYE draining 1234\r\nPING\r\nPONG\r\n");
}

static void writes_messages(void **state) {
    (void)state;
    struct message_label label = {.id = SPAN("m1"), .event = SPAN("payment")};
    struct builder out = builder_over(written, sizeof written);
    counted_message_head(&out, &label, 8);
    builder_text(&out, "{\"a\" :1}");
    counted_message_tail(&out);
    assert_wrote(&out, "MSG m1 payment - 8\r\n{\"a\" :1}\r\n");
    label =
        (struct message_label){SPAN("50%"), SPAN("a b\xC3\xA4"), SPAN("\"g\""), true, true, true};
    out = builder_over(written, sizeof written);
    counted_message_head(&out, &label, 0);
    counted_message_tail(&out);
    assert_wrote(&out, "MSG 50%25 a%20b%C3%A4 argb 0\r\n\r\n");
    label.ack = label.redelivered = label.bytes = false;
    out = builder_over(written, sizeof written);
    counted_message_head(&out, &label, 1);
    assert_wrote(&out, "MSG 50%25 a%20b%C3%A4 g 1\r\n");

    char id[MESSAGE_ID_BYTES_MAX], event[NAME_BYTES_MAX];
    memset(id, '%', sizeof id);
    memset(event, ' ', sizeof event);
    label = (struct message_label){
        span_of(id, sizeof id), span_of(event, sizeof event), SPAN("\"g\""), true, true, true};
    out = builder_over(written, sizeof written);
    counted_message_head(&out, &label, SIZE_MAX);
    counted_message_tail(&out);
    assert_true(!out.full && out.len <= counted_message_bound(&label));
    assert_true(counted_message_bound(&label) <= out.len + 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_lines),
        cmocka_unit_test(holds_the_limits),
        cmocka_unit_test(finds_the_end_of_a_payload),
        cmocka_unit_test(takes_words),
        cmocka_unit_test(takes_a_hello),
        cmocka_unit_test(takes_a_send),
        cmocka_unit_test(tells_a_bad_count_from_the_rest),
        cmocka_unit_test(refuses_what_it_does_not_know),
        cmocka_unit_test(holds_the_lists),
        cmocka_unit_test(writes_answers),
        cmocka_unit_test(writes_messages),
    };
    return cmocka_run_group_tests(tests, make_room, drop_room);
}
