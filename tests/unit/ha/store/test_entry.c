/* The bodies of the store's records: what is written is read the same, and nothing else is. */
#include "tests/support/cmocka_first.h"

#include "core/server.h"
#include "tests/support/entry_look.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW_MS UINT64_C(1764400000000)
#define ALL_BYTES (1 << 18)

static struct budget budget;
static struct fates fates;
static struct server server;
static struct endpoint endpoint;
static char body[ALL_BYTES], room[ALL_BYTES];
static struct entry_in in;

static void nudge(void *argument, unsigned index) {
    (void)argument, (void)index;
}

static int setup(void **state) {
    (void)state;
    hash_init(NULL);
    budget_init(&server.budget, UINT64_C(1) << 30);
    budget_init(&budget, UINT64_C(1) << 30);
    endpoint.server = &server;
    endpoint.now_ns = NS_PER_S;
    account_init(&endpoint.account, &server.budget);
    fates_init(&fates, &budget, &(struct config){.fate_max = 100, .fate_window_ns = NS_PER_S},
               nudge, NULL);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    fates_fini(&fates);
    account_fini(&endpoint.account);
    return 0;
}

static struct message *message_make(const struct span *to, uint16_t count, struct span payload,
                                    bool is_bytes, struct span scope) {
    const struct message_parts parts = {.id = SPAN("m-1"),
                                        .event = SPAN("two words"),
                                        .to = to,
                                        .to_count = count,
                                        .class = CLASS_ACK,
                                        .is_bytes = is_bytes,
                                        .payload_max = payload.len};
    struct message *message = message_open(&endpoint, &parts);
    assert_non_null(message);
    if (payload.len != 0)
        memcpy(message_payload_room(message), payload.at, payload.len);
    message_seal(message, payload.len);
    message->serial = ENTRY_SERIAL_MAX;
    message->accepted_ns = endpoint.now_ns;
    message->expires_ns = endpoint.now_ns + 600 * NS_PER_S;
    assert_true(fates_open(&fates, message, scope, (struct hash128){1, UINT64_MAX}, NOW_MS));
    fates_record(&fates, message->fate, message->serial, 3, 1, 1);
    return message;
}

static void message_drop(struct message *message) {
    fates_cancel(&fates, message->fate);
    message_release(&endpoint, message);
}

static struct span whole(const struct entry_out *out) {
    size_t len = 0;
    for (unsigned i = 0; i < out->count; i++) {
        memcpy(body + len, out->parts[i].at, out->parts[i].len);
        len += out->parts[i].len;
    }
    assert_int_equal(len, out->bytes);
    return span_of(body, len);
}

/* It is read; cut short, or with a byte more, it is refused; with a bit changed it is refused or
 * another one. Each lies alone in memory of its size. */
static void entry_try(unsigned kind, struct span entry) {
    assert_true(entry_look(kind, entry, room));
    for (size_t len = 0; len <= entry.len + 1; len += entry.len > 4096 && len > 300 ? 97 : 1) {
        if (len == entry.len)
            continue;
        char *alone = calloc(1, len + 1);
        memcpy(alone, entry.at, len < entry.len ? len : entry.len);
        assert_false(entry_look(kind, span_of(alone, len), room));
        free(alone);
    }
    char *alone = malloc(entry.len);
    memcpy(alone, entry.at, entry.len);
    for (size_t bit = 0; bit < 8 * (entry.len < 600 ? entry.len : 600); bit++) {
        alone[bit / 8] ^= (char)(1 << bit % 8);
        (void)entry_look(kind, span_of(alone, entry.len), room);
        alone[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (unsigned other = 0; other <= ENTRY_KINDS; other++)
        if (other != kind)
            assert_false(entry_look(other, entry, room));
    free(alone);
}

static void message_try(const struct span *to, uint16_t count, struct span payload, bool is_bytes,
                        struct span scope) {
    struct message *message = message_make(to, count, payload, is_bytes, scope);
    struct entry_out out;
    entry_message_write(message, 3, &out);
    struct span entry = whole(&out);
    assert_true(entry.len <= entry_bytes_max((uint32_t)payload.len));
    assert_null(entry_read(ENTRY_MESSAGE, entry, &in));
    assert_int_equal(in.serial, ENTRY_SERIAL_MAX);
    assert_int_equal(in.accepted_ms, NOW_MS);
    assert_int_equal(in.expires_ms, NOW_MS + 600000);
    assert_true(in.content.low == 1 && in.content.high == UINT64_MAX);
    assert_int_equal(in.recipients, 3);
    assert_int_equal(in.count, count);
    assert_int_equal(in.is_bytes, is_bytes);
    assert_true(span_equal(in.scope, scope) && span_equal(in.id, SPAN("m-1")));
    assert_true(span_equal(in.event, SPAN("two words")) && span_equal(in.payload, payload));
    for (uint16_t i = 0; i < count; i++)
        assert_true(span_equal(in.to[i], fate_address_text(message->fate, i)));
    assert_null(entry_payload_read(&in));
    entry_try(ENTRY_MESSAGE, entry);
    message_drop(message);
}

static const struct span three[] = {{"a", 1}, {"k\xC3\xA4se", 5}, {"till-7", 6}};

static void test_messages(void **state) {
    (void)state;
    message_try(three, 1, SPAN("{\"n\":1}"), false, SPAN(""));
    message_try(three, 3, SPAN("null"), false, SPAN("cshop"));
    message_try(three, 2, SPAN("\0\n\xff"), true, SPAN(""));
    message_try(three, 1, SPAN(""), true, SPAN(""));
}

static void test_a_message_to_very_many(void **state) {
    (void)state;
    static char names[ADDRESSES_PER_MESSAGE_MAX][NAME_BYTES_MAX + 1];
    static struct span to[ADDRESSES_PER_MESSAGE_MAX];
    for (unsigned i = 0; i < ADDRESSES_PER_MESSAGE_MAX; i++) {
        memset(names[i], 'n', NAME_BYTES_MAX);
        snprintf(names[i], 8, "%06u", i);
        names[i][6] = '-';
        to[i] = span_of(names[i], NAME_BYTES_MAX);
    }
    message_try(to, ADDRESSES_PER_MESSAGE_MAX, SPAN("1"), false, SPAN(""));
}

static void test_a_payload_in_lines(void **state) {
    (void)state;
    static const char *const bad[] = {"[1,\n2]", "[1,\r2]", "{", "", "1 2"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct message *message =
            message_make(three, 1, span_of(bad[i], strlen(bad[i])), false, SPAN(""));
        struct entry_out out;
        entry_message_write(message, 0, &out);
        assert_null(entry_read(ENTRY_MESSAGE, whole(&out), &in));
        assert_non_null(entry_payload_read(&in));
        message_drop(message);
    }
    struct message *message = message_make(three, 1, SPAN("\"\xE2\x80\xA8\""), false, SPAN(""));
    struct entry_out out;
    entry_message_write(message, 0, &out);
    assert_null(entry_read(ENTRY_MESSAGE, whole(&out), &in));
    assert_null(entry_payload_read(&in));
    assert_int_equal(in.breaks_grow, 3);
    message_drop(message);
}

static void test_what_is_settled(void **state) {
    (void)state;
    struct message *message = message_make(three, 3, SPAN("1"), false, SPAN("cshop"));
    struct fate *fate = message->fate;
    struct entry_out out;
    unsigned dropped = fate_word_of(FATE_DROPPED, FATE_REASON_WITHDRAWN);
    entry_address_write(fate, 2, dropped, &out);
    assert_null(entry_read(ENTRY_ADDRESS, whole(&out), &in));
    assert_int_equal(in.serial, ENTRY_SERIAL_MAX);
    assert_int_equal(in.address, 2);
    assert_int_equal(in.word, dropped);
    assert_true(span_equal(in.scope, SPAN("cshop")) && span_equal(in.id, SPAN("m-1")));
    entry_try(ENTRY_ADDRESS, whole(&out));

    assert_false(fates_note(&fates, fate, 2, FATE_DROPPED, FATE_REASON_WITHDRAWN));
    assert_false(fates_note(&fates, fate, 0, FATE_ACKED, FATE_REASON_NONE));
    assert_true(fates_note(&fates, fate, 1, FATE_EXPIRED, FATE_REASON_NONE));
    entry_fate_write(fate, 1234, &out);
    assert_null(entry_read(ENTRY_FATE, whole(&out), &in));
    assert_int_equal(in.accepted_ms, NOW_MS);
    assert_int_equal(in.took_ms, 1234);
    assert_int_equal(in.recipients, 3);
    assert_int_equal(in.count, 3);
    static const enum fate_state states[] = {FATE_ACKED, FATE_EXPIRED, FATE_DROPPED};
    for (uint16_t i = 0; i < 3; i++) {
        assert_true(span_equal(in.to[i], three[i]));
        assert_int_equal(fate_word_state(in.words[i]), states[i]);
    }
    assert_int_equal(fate_word_reason(in.words[2]), FATE_REASON_WITHDRAWN);
    entry_try(ENTRY_FATE, whole(&out));

    entry_void_write(7, &out);
    assert_null(entry_read(ENTRY_VOID, whole(&out), &in));
    assert_int_equal(in.serial, 7);
    entry_try(ENTRY_VOID, whole(&out));
    message_drop(message);
}

/* Each of these is a whole entry but for one thing. */
static void test_what_nobody_writes(void **state) {
    (void)state;
    struct message *message = message_make(three, 1, SPAN("1"), false, SPAN(""));
    struct entry_out out;
    entry_message_write(message, 3, &out);
    struct span entry = whole(&out);
    static const struct {
        size_t at;
        unsigned char byte;
    } changes[] = {
        {7, 0xff},  /* a serial too great */
        {15, 0xff}, /* accepted after the year 10889 */
        {16, 0x00}, /* a ttl too short: it expires before it is accepted */
        {20, 0xff}, /* a ttl too long */
        {50, 0xff}, /* more addresses than there are */
        {52, 2},    /* neither JSON nor bytes */
        {53, 0xff}, /* a namespace that there is not */
        {57, '\n'}, /* an id with a line feed */
        {60, 0x01}, /* a name with a control character */
        {61, 0xc3}, /* an event that is not UTF-8 */
    };
    assert_null(entry_read(ENTRY_MESSAGE, entry, &in));
    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        char kept = body[changes[i].at];
        body[changes[i].at] = (char)changes[i].byte;
        if (i == 2) /* more than its low byte */
            memset(body + 16, 0, 8);
        assert_non_null(entry_read(ENTRY_MESSAGE, entry, &in));
        body[changes[i].at] = kept;
        entry = whole(&out);
        assert_null(entry_read(ENTRY_MESSAGE, entry, &in));
    }
    message_drop(message);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),           cmocka_unit_test(test_a_message_to_very_many),
        cmocka_unit_test(test_a_payload_in_lines), cmocka_unit_test(test_what_is_settled),
        cmocka_unit_test(test_what_nobody_writes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
