/* What may be a client id, a group, an event, a message id; and lists that stay sorted. */
#include "proto/text/names.c"

#include "tests/support/cmocka_first.h"

static void expect(const char *(*check)(struct span), struct span text, const char *wrong) {
    const char *said = check(text);
    if (wrong == NULL) {
        if (said != NULL)
            fail_msg("%.*s %s", SPAN_ARG(text), said);
        return;
    }
    assert_non_null(said);
    assert_string_equal(said, wrong);
}

static void holds_the_length(void **state) {
    (void)state;
    char text[200];
    memset(text, 'n', sizeof text);
    expect(name_check, span_of(text, 0), "is empty");
    expect(name_check, span_of(NULL, 0), "is empty");
    expect(name_check, span_of(text, 1), NULL);
    expect(name_check, span_of(text, 128), NULL);
    expect(name_check, span_of(text, 129), "is longer than 128 bytes");
    expect(event_check, span_of(text, 128), NULL);
    expect(event_check, span_of(text, 129), "is longer than 128 bytes");
    expect(message_id_check, span_of(text, 0), "is empty");
    expect(message_id_check, span_of(text, 64), NULL);
    expect(message_id_check, span_of(text, 65), "is longer than 64 bytes");
    /* Bytes are counted, not characters. */
    for (size_t i = 0; i < 130; i += 2)
        memcpy(text + i, "\xC3\xA4", 2);
    expect(name_check, span_of(text, 128), NULL);
    expect(name_check, span_of(text, 130), "is longer than 128 bytes");
    expect(name_check, span_of(text, 127), "is not UTF-8");
}

/* Every character up to U+FFFF, first and last. */
static void refuses_control_characters(void **state) {
    (void)state;
    for (uint32_t character = 0; character < 0x10000; character++) {
        if (character == 0xD800)
            character = 0xE000;
        char text[8] = "ab";
        unsigned len = utf8_put(text + 2, character);
        bool control = character < 0x20 || (character >= 0x7F && character <= 0x9F) ||
                       character == 0x2028 || character == 0x2029;
        const char *wrong = control ? "holds a control character" : NULL;
        expect(name_check, span_of(text, 2 + len), wrong);
        expect(name_check, span_of(text + 2, len), wrong);
        expect(event_check, span_of(text, 2 + len), wrong);
    }
    expect(name_check, SPAN("a\xF0\x9F\x98\x80 b/%+\"\\"), NULL);
    expect(name_check, SPAN("\xFF"), "is not UTF-8");
    expect(name_check, SPAN("a\x80"), "is not UTF-8");
    expect(name_check, SPAN("a\xED\xA0\x80"), "is not UTF-8");
    expect(name_check, SPAN("a\xC2"), "is not UTF-8");
    expect(name_check, SPAN("a\xE2\x80"), "is not UTF-8");
}

static void reserves_events(void **state) {
    (void)state;
    /* None of them is another one without its last letter. */
    static const char *const reserved[] = {"connect",       "connect_error", "disconnect",
                                           "disconnecting", "newListener",   "removeListener"};
    for (size_t i = 0; i < 6; i++) {
        expect(event_check, span_text(reserved[i]), "is a reserved word");
        expect(event_check, span_of(reserved[i], strlen(reserved[i]) - 1), NULL);
        expect(name_check, span_text(reserved[i]), NULL);
    }
    expect(event_check, SPAN("Connect"), NULL);
    expect(event_check, SPAN("connect "), NULL);
    expect(event_check, SPAN("welcome"), NULL);
    expect(event_check, SPAN("message"), NULL);
}

static void takes_visible_ids_only(void **state) {
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        char text[3] = {'i', (char)byte, 'd'};
        bool visible = byte >= 0x21 && byte <= 0x7E;
        expect(message_id_check, span_of(text, 3),
               visible ? NULL : "holds a byte that is not visible ASCII");
        expect(message_id_check, span_of(text, 2),
               visible ? NULL : "holds a byte that is not visible ASCII");
    }
}

static void keeps_lists_sorted(void **state) {
    (void)state;
    struct span room[5];
    struct name_list list = {room, 0, 4};
    memset(room, 0x55, sizeof room);
    struct span guard = room[4];
    assert_int_equal(name_list_add(&list, SPAN("m")), NAME_LIST_ADDED);
    assert_int_equal(name_list_add(&list, SPAN("b")), NAME_LIST_ADDED);
    assert_int_equal(name_list_add(&list, SPAN("mm")), NAME_LIST_ADDED);
    assert_int_equal(name_list_add(&list, SPAN("m")), NAME_LIST_HAD_IT);
    assert_int_equal(name_list_add(&list, SPAN("\xC3\xA4")), NAME_LIST_ADDED);
    assert_int_equal(name_list_add(&list, SPAN("mm")), NAME_LIST_HAD_IT);
    assert_int_equal(name_list_add(&list, SPAN("c")), NAME_LIST_FULL);
    assert_int_equal(name_list_add(&list, SPAN("b")), NAME_LIST_HAD_IT);
    assert_int_equal(list.count, 4);
    static const char *const sorted[] = {"b", "m", "mm", "\xC3\xA4"};
    for (size_t i = 0; i < 4; i++)
        assert_true(span_equal(room[i], span_text(sorted[i])));
    assert_true(guard.at == room[4].at && guard.len == room[4].len);
}

/* Many names in an order that has nothing to do with theirs, each of them twice. */
static void sorts_many(void **state) {
    (void)state;
    static char texts[1000][4];
    static struct span room[1000];
    struct name_list list = {room, 0, 1000};
    for (unsigned i = 0; i < 1000; i++) {
        unsigned number = (i * 367) % 1000;
        texts[i][0] = (char)('0' + number / 100);
        texts[i][1] = (char)('0' + number / 10 % 10);
        texts[i][2] = (char)('0' + number % 10);
        assert_int_equal(name_list_add(&list, span_of(texts[i], 3)), NAME_LIST_ADDED);
        assert_int_equal(name_list_add(&list, span_of(texts[i / 2], 3)), NAME_LIST_HAD_IT);
    }
    assert_int_equal(name_list_add(&list, SPAN("x")), NAME_LIST_FULL);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(
            (room[i].at[0] - '0') * 100 + (room[i].at[1] - '0') * 10 + (room[i].at[2] - '0'), i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_the_length),   cmocka_unit_test(refuses_control_characters),
        cmocka_unit_test(reserves_events),    cmocka_unit_test(takes_visible_ids_only),
        cmocka_unit_test(keeps_lists_sorted), cmocka_unit_test(sorts_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
