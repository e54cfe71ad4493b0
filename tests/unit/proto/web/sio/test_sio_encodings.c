/* A message as a Socket.IO event in every form: bytes, bounds, lengths, and where its mark stands.
 */
#include "proto/web/sio/sio_encodings.c"

#include "tests/support/cmocka_first.h"

#include <stdlib.h>

struct shape {
    const char *id, *event, *group_json, *payload;
    bool is_bytes, ack;
    unsigned namespace;
};

/* A sealed message, laid out as message.h says. */
static struct message *make_message(const struct shape *shape) {
    struct span id = span_text(shape->id), event = span_text(shape->event);
    struct span group = span_text(shape->group_json == NULL ? "" : shape->group_json);
    struct span payload = span_text(shape->payload);
    size_t texts = id.len + event.len + group.len;
    struct message *message = calloc(1, sizeof *message + texts + payload.len);
    assert_non_null(message);
    message->id_len = (uint8_t)id.len;
    message->event_len = (uint16_t)event.len;
    message->group_json_len = (uint32_t)group.len;
    message->payload_len = (uint32_t)payload.len;
    message->is_bytes = shape->is_bytes;
    message->class = (shape->ack ? CLASS_ACK : CLASS_DEFAULT) & 3u;
    message->namespace = shape->namespace & 15u;
    struct builder bytes = builder_over(message->names, texts + payload.len);
    builder_span_add(&bytes, id);
    builder_span_add(&bytes, event);
    builder_span_add(&bytes, group);
    builder_span_add(&bytes, payload);
    assert_false(bytes.full);
    message->breaks_grow = shape->is_bytes ? 0 : (uint32_t)json_breaks_grow(payload);
    return message;
}

static void expect_form(enum engine_form form, enum sio_style style, const struct shape *shape,
                        struct span want) {
    const struct encoding *encoding = &sio_encodings[form][style];
    struct message *message = make_message(shape);
    size_t bound = encoding->bound(encoding, message);
    char *room = malloc(bound + message->payload_len);
    assert_non_null(room);
    /* Head and tail within the bound, the payload beside it. */
    struct builder out = builder_over(room, bound);
    bool follows = encoding->head(encoding, message, &out);
    size_t head_len = out.len;
    encoding->tail(encoding, message, &out);
    assert_false(out.full);
    if (follows) {
        out = builder_over(room, bound + message->payload_len);
        out.len = head_len;
        builder_span_add(&out, message_payload(message));
        encoding->tail(encoding, message, &out);
    }
    if (out.len != want.len || memcmp(room, want.at, want.len) != 0)
        fail_msg("form %u style %u: %.*s", form, style, SPAN_ARG(builder_span(&out)));
    uint32_t mark = encoding->mark_at(encoding, message);
    if (shape->ack) {
        assert_true(mark + MARK_BYTES <= head_len);
        assert_memory_equal(room + mark, "1000000000", MARK_BYTES);
    } else {
        assert_true(mark == UINT32_MAX);
    }
    free(room);
    free(message);
}

static void expect_all(const struct shape *shape, enum sio_style style,
                       const struct span want[SIO_FORMS]) {
    for (unsigned form = 0; form < SIO_FORMS; form++)
        expect_form((enum engine_form)form, style, shape, want[form]);
}

static void writes_events(void **state) {
    (void)state;
    const struct shape shape = {.id = "m1", .event = "payment", .payload = "{\"sum\":1}"};
#define PACKET "42[\"payment\",{\"sum\":1}]"
    const struct span want[] = {SPAN("\x81\x17" PACKET), SPAN("\x81\x17" PACKET), SPAN(PACKET),
                                SPAN("23:" PACKET), SPAN("\0\2\3\xff" PACKET)};
    expect_all(&shape, SIO_PLAIN, want);
#undef PACKET
}

static void writes_meta(void **state) {
    (void)state;
    const struct shape shape = {.id = "m\"1",
                                .event = "a\\b",
                                .group_json = "[\"x\"]",
                                .payload = "7",
                                .ack = true,
                                .namespace = 1};
#define FRONT "42/admin,1000000000[\"a\\\\b\",7,{\"id\":\"m\\\"1\",\"group\":[\"x\"],\"ack\":true"
    const struct span want[] = {SPAN("\x81\x44" FRONT "}]"), SPAN("\x81\x44" FRONT "}]"),
                                SPAN(FRONT "}]"), SPAN("68:" FRONT "}]"),
                                SPAN("\0\6\x8\xff" FRONT "}]")};
    expect_all(&shape, SIO_META, want);
#define AGAIN ",\"redelivered\":true}]"
    const struct span again[] = {SPAN("\x81\x57" FRONT AGAIN), SPAN("\x81\x57" FRONT AGAIN),
                                 SPAN(FRONT AGAIN), SPAN("87:" FRONT AGAIN),
                                 SPAN("\0\x8\7\xff" FRONT AGAIN)};
    expect_all(&shape, SIO_META_AGAIN, again);
#undef FRONT
#undef AGAIN
}

static void escapes_where_it_must(void **state) {
    (void)state;
    /* A break is escaped in all forms, and the rest in one. */
    const struct shape shape = {
        .id = "m1", .event = "\xc3\xa4", .payload = "\"\xe2\x82\xac\xf0\x9f\x98\x80\xe2\x80\xa8\""};
#define PACKET "42[\"\xc3\xa4\",\"\xe2\x82\xac\xf0\x9f\x98\x80\\u2028\"]"
#define ASCII "39:42[\"\\u00e4\",\"\\u20ac\\ud83d\\ude00\\u2028\"]"
    const struct span want[] = {SPAN("\x81\x18" PACKET), SPAN("\x81\x18" PACKET), SPAN(PACKET),
                                SPAN(ASCII), SPAN("\0\2\4\xff" PACKET)};
    expect_all(&shape, SIO_PLAIN, want);
#undef ASCII
#undef PACKET
}

static void writes_attachments(void **state) {
    (void)state;
    const struct shape shape = {.id = "m1",
                                .event = "b",
                                .payload = "\x01\xff\x7f",
                                .is_bytes = true,
                                .ack = true,
                                .namespace = 1};
#define PACKET "451-/admin,1000000000[\"b\",{\"_placeholder\":true,\"num\":0}]"
    const struct span want[] = {SPAN("\x81\x38" PACKET "\x82\x03\x01\xff\x7f"),
                                SPAN("\x81\x38" PACKET "\x82\x04\x04\x01\xff\x7f"),
                                SPAN(PACKET "\x1e"
                                            "bAf9/"),
                                SPAN("56:" PACKET "6:b4Af9/"),
                                SPAN("\0\5\6\xff" PACKET "\1\4\xff\4\x01\xff\x7f")};
    expect_all(&shape, SIO_PLAIN, want);
#undef PACKET
}

/* Around the lengths at which the head of a WebSocket frame changes, and of what is not copied. */
static void writes_long_heads(void **state) {
    (void)state;
    static const size_t lens[] = {126 - 12, 125 - 12, 65535 - 12, 65536 - 12, 4096, 4097};
    for (unsigned i = 0; i < sizeof lens / sizeof *lens; i++) {
        size_t len = lens[i];
        char *payload = malloc(len + 1), *want = malloc(len + 100);
        assert_true(payload != NULL && want != NULL);
        memset(payload, '7', len);
        payload[len] = '\0';
        const struct shape shape = {.id = "m", .event = "event", .payload = payload};
        struct builder out = builder_over(want, len + 100);
        size_t bytes = len + 12; /* 42["event",] */
        builder_byte(&out, (char)0x81);
        if (bytes < 126) {
            builder_byte(&out, (char)bytes);
        } else if (bytes < 65536) {
            builder_byte(&out, 126);
            builder_byte(&out, (char)(bytes >> 8));
            builder_byte(&out, (char)bytes);
        } else {
            builder_bytes(&out, "\x7f\0\0\0\0\0", 6);
            builder_byte(&out, (char)(bytes >> 16));
            out.len--; /* eight bytes in all; the lowest four hold it */
            builder_byte(&out, (char)(bytes >> 16));
            builder_byte(&out, (char)(bytes >> 8));
            builder_byte(&out, (char)bytes);
        }
        builder_text(&out, "42[\"event\",");
        builder_text(&out, payload);
        builder_byte(&out, ']');
        expect_form(EIO4_SOCKET, SIO_PLAIN, &shape, builder_span(&out));
        free(payload);
        free(want);
    }
}

static void marks_come_back(void **state) {
    (void)state;
    static const uint32_t numbers[] = {0, 1, 999999999, UINT32_MAX};
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char mark[MARK_BYTES + 1] = "";
        uint32_t number;
        sio_mark_write(mark, numbers[i]);
        assert_true(mark[0] != '0');
        assert_true(sio_mark_number(strtoull(mark, NULL, 10), &number));
        assert_int_equal(number, numbers[i]);
    }
    uint32_t number;
    assert_false(sio_mark_number(0, &number));
    assert_false(sio_mark_number(999999999, &number));
    assert_false(sio_mark_number(UINT64_C(1000000000) + UINT32_MAX + 1, &number));
}

static int name_them(void **state) {
    (void)state;
    static const char *const names[] = {"/admin"};
    namespaces_set(names, 1);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_events),         cmocka_unit_test(writes_meta),
        cmocka_unit_test(escapes_where_it_must), cmocka_unit_test(writes_attachments),
        cmocka_unit_test(writes_long_heads),     cmocka_unit_test(marks_come_back),
    };
    return cmocka_run_group_tests(tests, name_them, NULL);
}
