/* What nodes write to each other: channels, messages that are read back as any other message is,
 * words, and objects `node` that no node writes. */
#include "tests/support/cmocka_first.h"

#include "ha/redis/wire.h"

#include "core/base/hash.h"
#include "core/namespaces.h"
#include "core/server.h"
#include "ingest/gate/envelope.h"

#include <stdio.h>

static const char run[] = "0123456789abcdef";

static struct server server;
static struct config config;
static struct endpoint endpoint;
static struct envelope_scratch *room, *other_room;

static int setup(void **state) {
    static const char *const names[] = {"/", "/admin"};
    (void)state;
    hash_init(NULL);
    namespaces_set(names, 2);
    memset(&server, 0, sizeof(server));
    memset(&endpoint, 0, sizeof(endpoint));
    budget_init(&server.budget, 1 << 24);
    endpoint.server = &server;
    endpoint.config = &config;
    endpoint.now_ns = 1000 * NS_PER_S;
    account_init(&endpoint.account, &server.budget);
    room = malloc(sizeof(*room));
    other_room = malloc(sizeof(*room));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(endpoint.account.used_bytes, 0);
    account_fini(&endpoint.account);
    namespaces_set(NULL, 0);
    free(room);
    free(other_room);
    return 0;
}

/* --- channels --------------------------------------------------------------------------------- */

static void channel(const char *prefix, enum wire_place place, const char *name, const char *text) {
    char written[WIRE_CHANNEL_BYTES_MAX];
    struct wire_channel in = {.place = place, .name = span_text(name)}, out;
    size_t len = wire_channel_write(span_text(prefix), &in, written);
    assert_true(span_equal(span_of(written, len), span_text(text)));
    assert_true(wire_channel_read(span_text(prefix), span_of(written, len), &out));
    assert_int_equal(out.place, place);
    assert_true(span_equal(out.name, in.name));
}

static void test_channels(void **state) {
    (void)state;
    channel("rp:", WIRE_ID, "till-7", "rp:id:till-7");
    channel("", WIRE_GROUP, "a:b", "group:a:b");
    channel("rp:", WIRE_ALL, "", "rp:all");
    channel("rp:", WIRE_NODE, run, "rp:node:0123456789abcdef");
    char name[NAME_BYTES_MAX + 1], prefix[WIRE_PREFIX_BYTES_MAX + 1], text[400];
    memset(name, 'n', NAME_BYTES_MAX);
    memset(prefix, 'p', WIRE_PREFIX_BYTES_MAX);
    name[NAME_BYTES_MAX] = prefix[WIRE_PREFIX_BYTES_MAX] = '\0';
    snprintf(text, sizeof(text), "%sgroup:%s", prefix, name);
    channel(prefix, WIRE_GROUP, name, text);
    static const char *const wrong[] = {
        "",        "rp:",       "rp:id:", "rp:group:", "rp:all:",  "rp:allx",   "rp:x:a",
        "RP:id:a", "other:all", "rp:id",  "r",         "rp:node:", "id:till-7", "rp:ID:till"};
    struct wire_channel out;
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_false(wire_channel_read(SPAN("rp:"), span_text(wrong[i]), &out));
    snprintf(text, sizeof(text), "rp:id:%sx", name);
    assert_false(wire_channel_read(SPAN("rp:"), span_text(text), &out));
}

/* --- messages --------------------------------------------------------------------------------- */

static struct message *message_of(struct envelope *envelope) {
    struct message *message = message_open(&endpoint, &envelope->parts);
    assert_non_null(message);
    struct builder out = builder_over(message_payload_room(message), envelope->parts.payload_max);
    envelope_payload(envelope, &out);
    assert_false(out.full);
    message_seal(message, out.len);
    return message;
}

static const struct wire_node first_copy = {
    .run = "0123456789abcdef", .number = 7, .copy = 9, .count = 3, .epoch = 2};

/* As it stands on a channel; into memory that is not longer. */
static char *written(const struct message *message, const struct wire_node *node, size_t *len) {
    size_t cap = WIRE_NODE_BYTES_MAX + wire_rest_bytes(message);
    char *text = malloc(cap);
    struct builder out = builder_over(text, WIRE_NODE_BYTES_MAX);
    wire_node_write(node, &out);
    assert_false(out.full);
    struct builder rest = builder_over(text + out.len, wire_rest_bytes(message));
    wire_rest_write(message, NULL, endpoint.now_ns, &rest);
    assert_false(rest.full);
    *len = out.len + rest.len;
    return text;
}

static void same_names(const struct name_list *a, const struct name_list *b) {
    assert_int_equal(a->count, b->count);
    for (unsigned i = 0; i < a->count; i++)
        assert_true(span_equal(a->at[i], b->at[i]));
}

/* A producer's message, and what another node makes of what this one writes of it. */
static void there_and_back(const char *json) {
    struct envelope in, out;
    struct complaint complaint;
    if (!envelope_parse(&in, room, ENVELOPE_MESSAGE, span_text(json), 100000, &complaint))
        fail_msg("%s: %s", json, complaint.text);
    struct message *message = message_of(&in), *again;
    struct wire_node node;
    size_t len;
    char *text = written(message, &first_copy, &len);
    if (!envelope_parse(&out, other_room, ENVELOPE_NODE, span_of(text, len), 100000, &complaint))
        fail_msg("%.*s: %s", (int)len, text, complaint.text);
    assert_true(envelope_finish(&out, &complaint));
    assert_true(wire_node_read(out.node, &node));
    assert_memory_equal(node.run, run, WIRE_RUN_BYTES);
    assert_true(node.number == 7 && node.copy == 9 && node.count == 3 && node.epoch == 2);
    again = message_of(&out);
    assert_true(span_equal(message_id(again), message_id(message)));
    assert_true(span_equal(message_event(again), message_event(message)));
    assert_true(span_equal(message_group_json(again), message_group_json(message)));
    assert_true(span_equal(message_payload(again), message_payload(message)));
    same_names(&in.to, &out.to);
    same_names(&in.groups, &out.groups);
    same_names(&in.except, &out.except);
    assert_int_equal(again->broadcast, message->broadcast);
    assert_int_equal(again->class, message->class);
    assert_int_equal(again->namespace, message->namespace);
    assert_in_range(again->expires_ns, message->expires_ns, message->expires_ns + 2 * NS_PER_MS);
    message_release(&endpoint, message);
    message_release(&endpoint, again);
    free(text);
}

static void test_there_and_back(void **state) {
    (void)state;
    there_and_back("{\"to\":\"till-7\",\"id\":\"m1\",\"event\":\"payment\",\"data\":{\"a\":[1]}}");
    there_and_back("{\"to\":[\"b\",\"a\",\"a\"]}");
    /* A group as text and as list is told apart: clients get it as it was written. */
    there_and_back("{\"group\":\"g\",\"data\":null}");
    there_and_back("{\"group\":[\"g\"],\"data\":\"\\u2028\"}");
    there_and_back("{\"group\":[\"g\",\"f\"],\"to\":\"a\",\"except\":[\"b\",\"c\"],\"ttl\":5}");
    there_and_back("{\"broadcast\":true,\"except\":\"b\",\"volatile\":true,\"ttl\":0.001}");
    there_and_back("{\"to\":\"a\",\"namespace\":\"/admin\",\"ttl\":604800}");
    /* What has to be escaped, and must not lose its escape. */
    there_and_back("{\"to\":\"a b\",\"event\":\"\\\"\\\\\\u00e9\",\"data\":\"\\n\"}");
    char json[3000] = "{\"to\":[", name[64];
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "%s\"name-that-is-rather-long-%02u\"", i == 0 ? "" : ",", i);
        snprintf(json + strlen(json), sizeof(json) - strlen(json), "%s", name);
    }
    snprintf(json + strlen(json), sizeof(json) - strlen(json), "%s", "],\"data\":1}");
    there_and_back(json);
}

static void test_what_is_written(void **state) {
    (void)state;
    struct envelope in;
    struct complaint complaint;
    size_t len;
    assert_true(envelope_parse(&in, room, ENVELOPE_MESSAGE,
                               SPAN("{\"to\":\"a\",\"id\":\"m\",\"ttl\":2,\"data\":7}"), 1000,
                               &complaint));
    struct message *message = message_of(&in);
    endpoint.now_ns += 1500 * NS_PER_MS;
    char *text = written(message, &first_copy, &len);
    const char *wanted = "{\"node\":{\"run\":\"0123456789abcdef\",\"p\":9,\"n\":7,\"s\":3,\"e\":2},"
                         "\"id\":\"m\",\"to\":[\"a\"],\"event\":\"message\",\"ttl\":0.500,"
                         "\"data\":7}";
    assert_true(span_equal(span_of(text, len), span_text(wanted)));
    free(text);
    endpoint.now_ns += 1;
    text = written(message, &first_copy, &len);
    assert_non_null(memmem(text, len, "\"ttl\":0.500,", 12));
    free(text);
    /* Its time is over: it has a little left, or it would be no message. */
    endpoint.now_ns += NS_PER_S;
    text = written(message, &first_copy, &len);
    assert_non_null(memmem(text, len, "\"ttl\":0.001,", 12));
    free(text);
    message_release(&endpoint, message);
}

/* The greatest numbers, and every byte of the texts written as an escape. */
static void test_the_longest(void **state) {
    (void)state;
    static char name[NAME_BYTES_MAX];
    static struct span names[ADDRESSES_PER_MESSAGE_MAX];
    memset(name, 0x01, sizeof(name));
    for (unsigned i = 0; i < ADDRESSES_PER_MESSAGE_MAX; i++)
        names[i] = span_of(name, sizeof(name));
    struct message_parts parts = {.id = span_of(name, MESSAGE_ID_BYTES_MAX),
                                  .event = span_of(name, sizeof(name)),
                                  .to = names,
                                  .to_count = ADDRESSES_PER_MESSAGE_MAX,
                                  .except = names,
                                  .except_count = ADDRESSES_PER_MESSAGE_MAX,
                                  .class = CLASS_VOLATILE,
                                  .namespace = 1,
                                  .ttl_ns = TTL_NS_MAX,
                                  .is_bytes = true,
                                  .payload_max = 1000};
    struct wire_node node = first_copy;
    node.number = node.copy = node.count = node.epoch = UINT64_MAX;
    node.is_bytes = true;
    size_t len;
    for (size_t bytes = 0; bytes < 8; bytes++) {
        struct message *message = message_open(&endpoint, &parts);
        assert_non_null(message);
        memset(message_payload_room(message), 0xff, bytes);
        message_seal(message, bytes);
        char *text = written(message, &node, &len);
        free(text);
        message_release(&endpoint, message);
    }
}

static void test_bytes(void **state) {
    (void)state;
    struct span to[] = {SPAN("a")};
    struct message_parts parts = {.event = SPAN("e"),
                                  .to = to,
                                  .to_count = 1,
                                  .ttl_ns = NS_PER_S,
                                  .is_bytes = true,
                                  .payload_max = 10};
    struct message *message = message_open(&endpoint, &parts);
    memcpy(message_payload_room(message), "\x00\xff\"x", 4);
    message_seal(message, 4);
    struct wire_node node = first_copy, read;
    struct envelope out;
    struct complaint complaint;
    size_t len;
    node.is_bytes = true;
    char *text = written(message, &node, &len);
    assert_non_null(memmem(text, len, "\"data\":\"AP8ieA==\"}", 18));
    assert_true(envelope_parse(&out, room, ENVELOPE_NODE, span_of(text, len), 1000, &complaint));
    assert_true(wire_node_read(out.node, &read) && read.is_bytes);
    message_release(&endpoint, message);
    free(text);
}

/* --- own copies and words --------------------------------------------------------------------- */

static bool is_own(const char *text, uint64_t *copy) {
    /* Just as long as it is, so that reading past it is seen. */
    size_t len = strlen(text);
    char *at = malloc(len + (len == 0));
    memcpy(at, text, len);
    bool own = wire_is_own(span_of(at, len), run, copy);
    free(at);
    return own;
}

static void test_own_copies(void **state) {
    (void)state;
    uint64_t copy = 77;
    char text[WIRE_NODE_BYTES_MAX + 1];
    struct builder out = builder_over(text, WIRE_NODE_BYTES_MAX);
    wire_node_write(&first_copy, &out);
    text[out.len] = '\0';
    assert_true(is_own(text, &copy));
    assert_int_equal(copy, 9);
    assert_false(wire_is_own(builder_span(&out), "0123456789abcdee", &copy));
    for (size_t len = 0; len < out.len; len++) {
        char cut[WIRE_NODE_BYTES_MAX + 1];
        snprintf(cut, sizeof(cut), "%.*s", (int)len, text);
        is_own(cut, &copy);
        assert_true(len >= 33 || !is_own(cut, &copy));
    }
    out = builder_over(text, sizeof(text));
    wire_word_write(
        &(struct wire_node){.run = "0123456789abcdef", .name = SPAN("n"), .lives = true}, &out);
    assert_true(out.len < sizeof(text));
    text[out.len] = '\0';
    assert_string_equal(text,
                        "{\"node\":{\"run\":\"0123456789abcdef\",\"name\":\"n\",\"lives\":true}}");
    assert_true(is_own(text, &copy));
    assert_int_equal(copy, 0);
    /* As long as one may be. */
    out = builder_over(text, sizeof(text));
    wire_word_write(&(struct wire_node){.run = "0123456789abcdef",
                                        .name = SPAN("0123456789012345678901234567890123456789"
                                                     "012345678901234567890123"),
                                        .lives = true,
                                        .asks = true,
                                        .peer = SPAN("[2001:0db8:0001:0002:0003:0004:0005:0006]:"
                                                     "65535")},
                    &out);
    assert_false(out.full);
    text[out.len] = '\0';
    assert_non_null(strstr(text, ",\"peer\":\"[2001:"));
    assert_false(is_own("", &copy));
    assert_false(is_own("{\"to\":\"a\"}", &copy));
    assert_false(is_own(" {\"node\":{\"run\":\"0123456789abcdef\",\"p\":9", &copy));
}

static bool node_reads(const char *object, struct wire_node *node) {
    size_t len = strlen(object);
    char *at = malloc(len + (len == 0));
    memcpy(at, object, len);
    bool good = wire_node_read(span_of(at, len), node);
    free(at);
    return good;
}

#define RUN "\"run\":\"0123456789abcdef\""

static void test_objects(void **state) {
    (void)state;
    struct wire_node node;
    assert_true(node_reads("{" RUN "}", &node));
    assert_true(node.number == 0 && node.copy == 0 && !node.lives && node.name.len == 0);
    assert_true(node_reads(" { \"n\" : 5 , " RUN " , \"more\" : [ { } ] } ", &node));
    assert_int_equal(node.number, 5);
    assert_true(node_reads("{" RUN ",\"n\":18446744073709551615,\"lives\":1,\"bytes\":0}", &node));
    assert_true(node.number == UINT64_MAX && !node.lives && !node.is_bytes);
    assert_true(node_reads("{" RUN ",\"peer\":\"192.0.2.7:7010\"}", &node));
    assert_int_equal(node.peer.len, strlen("192.0.2.7:7010"));
    static const char *const wrong[] = {
        "",
        "{}",
        "[]",
        "{" RUN ",\"peer\":7}",
        "{" RUN ",\"peer\":\"\\u0031\"}",
        "7",
        "{\"run\":7}",
        "{\"run\":\"\"}",
        "{\"run\":\"0123456789abcdeg\"}",
        "{\"run\":\"0123456789abcde\"}",
        "{\"run\":\"0123456789abcdef0\"}",
        "{\"run\":\"\\u0030123456789\"}",
        "{" RUN ",\"n\":-1}",
        "{" RUN ",\"n\":1.5}",
        "{" RUN ",\"n\":1e3}",
        "{" RUN ",\"n\":18446744073709551616}",
        "{" RUN ",\"n\":\"1\"}",
        "{" RUN ",\"p\":null}",
        "{" RUN ",\"s\":[]}",
        "{" RUN ",\"e\":true}",
        "{" RUN ",\"name\":7}",
        "{" RUN ",\"name\":\"\\n\"}",
        "{" RUN ",}",
        "{" RUN,
        "{" RUN "}x",
    };
    for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (node_reads(wrong[i], &node))
            fail_msg("%s is taken", wrong[i]);
}

/* Whatever a stranger writes, it is one or none. */
static void test_any_bytes(void **state) {
    (void)state;
    static const char text[] =
        "{" RUN ",\"p\":9,\"n\":7,\"s\":3,\"e\":2,\"bytes\":true,\"name\":\"n\",\"lives\":true}";
    static const char bytes[] = "{}[]\",:\\0x\n\xff";
    struct wire_node node;
    char at[sizeof(text)];
    for (size_t i = 0; i < sizeof(text) - 1; i++)
        for (size_t j = 0; j < sizeof(bytes); j++) {
            memcpy(at, text, sizeof(text));
            at[i] = bytes[j];
            if (node_reads(at, &node))
                assert_true(node.name.len <= sizeof(text));
        }
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_channels),    ONE(test_there_and_back), ONE(test_what_is_written),
        ONE(test_the_longest), ONE(test_bytes),          ONE(test_own_copies),
        ONE(test_objects),     ONE(test_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
