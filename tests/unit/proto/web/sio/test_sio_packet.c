/* Packets of Socket.IO as clients of both protocols write them, and as none does. */
#include "proto/web/sio/sio_packet.c"

#include "tests/support/cmocka_first.h"

#include <stdio.h>
#include <stdlib.h>

/* Read in memory of exactly its size; what is left of it lives until the next one. */
static const char *read_alone(enum sio_version version, struct span text,
                              struct sio_packet *packet) {
    static char *alone;
    free(alone);
    alone = malloc(text.len != 0 ? text.len : 1);
    assert_non_null(alone);
    if (text.len != 0)
        memcpy(alone, text.at, text.len);
    return sio_packet_read(version, span_of(alone, text.len), packet);
}

static struct sio_packet take(enum sio_version version, const char *text) {
    struct sio_packet packet;
    const char *wrong = read_alone(version, span_text(text), &packet);
    if (wrong != NULL)
        fail_msg("%s: %s", text, wrong);
    return packet;
}

static void refuse(enum sio_version version, const char *text, const char *says) {
    struct sio_packet packet;
    const char *wrong = read_alone(version, span_text(text), &packet);
    if (wrong == NULL || strcmp(wrong, says) != 0)
        fail_msg("%s: %s", text, wrong == NULL ? "taken" : wrong);
}

static void expect(const struct sio_packet *packet, enum sio_type type, const char *namespace,
                   const char *json) {
    assert_int_equal(packet->type, type);
    assert_true(span_equal(packet->namespace, span_text(namespace)));
    if (json == NULL)
        assert_int_equal(packet->json.kind, JSON_NONE);
    else
        assert_true(span_equal(packet->json.raw, span_text(json)));
}

static void takes_connects(void **state) {
    (void)state;
    struct sio_packet packet = take(SIO_PROTOCOL_5, "0");
    expect(&packet, SIO_CONNECT, "/", NULL);
    packet = take(SIO_PROTOCOL_5, "0{\"token\":\"x\"}");
    expect(&packet, SIO_CONNECT, "/", "{\"token\":\"x\"}");
    packet = take(SIO_PROTOCOL_5, "0/admin,{\"id\":1}");
    expect(&packet, SIO_CONNECT, "/admin", "{\"id\":1}");
    packet = take(SIO_PROTOCOL_5, "0/admin,");
    expect(&packet, SIO_CONNECT, "/admin", NULL);
    packet = take(SIO_PROTOCOL_5, "0/random");
    expect(&packet, SIO_CONNECT, "/random", NULL);
    packet = take(SIO_PROTOCOL_5, "0/admin?token=1,");
    expect(&packet, SIO_CONNECT, "/admin?token=1", NULL);
    packet = take(SIO_PROTOCOL_4, "0/admin?token=1&id=%2C,");
    expect(&packet, SIO_CONNECT, "/admin", NULL);
    assert_true(span_equal(packet.query, SPAN("token=1&id=%2C")));
    packet = take(SIO_PROTOCOL_4, "0/admin?,");
    expect(&packet, SIO_CONNECT, "/admin", NULL);
    assert_int_equal(packet.query.len, 0);
    packet = take(SIO_PROTOCOL_4, "0/?id=7");
    expect(&packet, SIO_CONNECT, "/", NULL);
    assert_true(span_equal(packet.query, SPAN("id=7")));
    refuse(SIO_PROTOCOL_5, "0[1]", "its payload is not an object");
    refuse(SIO_PROTOCOL_5, "0\"a\"", "its payload is not an object");
    take(SIO_PROTOCOL_4, "0[1]");
    refuse(SIO_PROTOCOL_4, "0/a\n,", "its namespace is no name");
}

static void takes_events(void **state) {
    (void)state;
    struct sio_packet packet = take(SIO_PROTOCOL_5, "2[\"a\",1]");
    expect(&packet, SIO_EVENT, "/", "[\"a\",1]");
    assert_false(packet.has_id);
    assert_true(span_equal(packet.event.raw, SPAN("\"a\"")));
    packet = take(SIO_PROTOCOL_5, "2/admin,12[\"a\"]");
    expect(&packet, SIO_EVENT, "/admin", "[\"a\"]");
    assert_true(packet.has_id && packet.id == 12);
    packet = take(SIO_PROTOCOL_4, "20[ 7 ]");
    assert_true(packet.has_id && packet.id == 0);
    assert_int_equal(packet.event.kind, JSON_NUMBER);
    packet = take(SIO_PROTOCOL_5, "29007199254740992[\"a\"]");
    assert_true(packet.id == SIO_ID_MAX);
    refuse(SIO_PROTOCOL_5, "29007199254740993[\"a\"]", "its id is too large");
    refuse(SIO_PROTOCOL_5, "299999999999999999999999[\"a\"]", "its id is too large");
    refuse(SIO_PROTOCOL_5, "2", "its payload is not an array");
    refuse(SIO_PROTOCOL_5, "2{}", "its payload is not an array");
    refuse(SIO_PROTOCOL_5, "2[]", "its event has no name");
    refuse(SIO_PROTOCOL_5, "2[null]", "the name of its event is neither a string nor a number");
    refuse(SIO_PROTOCOL_5, "2[\"a\"", "its payload is not JSON");
    refuse(SIO_PROTOCOL_5, "2abc[\"a\"]", "its payload is not JSON");
    refuse(SIO_PROTOCOL_5, "2[\"a\"]x", "its payload is not JSON");
}

static void refuses_reserved_words(void **state) {
    (void)state;
    static const char *const words[] = {"connect",       "connect_error", "disconnect",
                                        "disconnecting", "newListener",   "removeListener",
                                        "c\\u006fnnect"};
    char text[64];
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
        snprintf(text, sizeof text, "2[\"%s\"]", words[i]);
        refuse(SIO_PROTOCOL_5, text, "the name of its event is a reserved word");
        refuse(SIO_PROTOCOL_4, text, "the name of its event is a reserved word");
    }
    /* Reserved or not is all that is asked of an event here. */
    take(SIO_PROTOCOL_5, "2[\"\"]");
    take(SIO_PROTOCOL_5, "2[\"connected\"]");
    take(SIO_PROTOCOL_5, "2[\"\\u0000\"]");
    take(SIO_PROTOCOL_5, "2[\"connectconnectconnectconnectconnectconnect\"]");
}

static void takes_the_others(void **state) {
    (void)state;
    struct sio_packet packet = take(SIO_PROTOCOL_5, "1");
    expect(&packet, SIO_DISCONNECT, "/", NULL);
    packet = take(SIO_PROTOCOL_4, "1/admin");
    expect(&packet, SIO_DISCONNECT, "/admin", NULL);
    packet = take(SIO_PROTOCOL_5, "1/admin,");
    expect(&packet, SIO_DISCONNECT, "/admin", NULL);
    refuse(SIO_PROTOCOL_5, "1{}", "it has a payload");
    packet = take(SIO_PROTOCOL_5, "3/admin,5[]");
    expect(&packet, SIO_ACK, "/admin", "[]");
    assert_true(packet.has_id && packet.id == 5);
    packet = take(SIO_PROTOCOL_5, "30000000005[]");
    assert_true(packet.id == 5);
    refuse(SIO_PROTOCOL_5, "35{}", "its payload is not an array");
    packet = take(SIO_PROTOCOL_5, "4{\"message\":\"no\"}");
    expect(&packet, SIO_CONNECT_ERROR, "/", "{\"message\":\"no\"}");
    packet = take(SIO_PROTOCOL_4, "4\"no\"");
    expect(&packet, SIO_CONNECT_ERROR, "/", "\"no\"");
    refuse(SIO_PROTOCOL_5, "", "its type is unknown");
    refuse(SIO_PROTOCOL_5, "7", "its type is unknown");
    refuse(SIO_PROTOCOL_5, "-", "its type is unknown");
    refuse(SIO_PROTOCOL_5, "x", "its type is unknown");
}

#define PLACE "{\"_placeholder\":true,\"num\":0}"

static void counts_attachments(void **state) {
    (void)state;
    struct sio_packet packet = take(SIO_PROTOCOL_5, "51-[\"a\"," PLACE "]");
    expect(&packet, SIO_BINARY_EVENT, "/", "[\"a\"," PLACE "]");
    assert_int_equal(packet.attachments, 1);
    packet = take(SIO_PROTOCOL_5, "610-/admin,3[" PLACE "]");
    expect(&packet, SIO_BINARY_ACK, "/admin", "[" PLACE "]");
    assert_int_equal(packet.attachments, 10);
    assert_true(packet.id == 3);
    take(SIO_PROTOCOL_5, "50-[\"a\"]");
    refuse(SIO_PROTOCOL_5, "511-[\"a\"]", "it has more than 10 attachments");
    refuse(SIO_PROTOCOL_5, "599999999999999999999-[\"a\"]", "it has more than 10 attachments");
    refuse(SIO_PROTOCOL_5, "5-[\"a\"]", "its count of attachments is missing");
    refuse(SIO_PROTOCOL_5, "5[\"a\"]", "its count of attachments is missing");
    refuse(SIO_PROTOCOL_5, "5", "its count of attachments is missing");
    refuse(SIO_PROTOCOL_5, "51", "its count of attachments does not end in a dash");
    refuse(SIO_PROTOCOL_5, "51.5-[\"a\"]", "its count of attachments does not end in a dash");
    refuse(SIO_PROTOCOL_5, "50-[\"a\"," PLACE "]", "a placeholder names no attachment");
}

static void looks_at_placeholders(void **state) {
    (void)state;
    static const char *const fit[] = {
        "[1,\"_placeholder\",true]",
        "{\"_placeholder\":false}",
        "{\"_placeholder\":\"true\",\"num\":9}",
        "{\"_placeholder\":true,\"num\":1}",
        "{\"num\":0,\"_placeholder\":true}",
        "{\"num\" : 0 , \"_placeholder\"\n:\ttrue }",
        "[{\"a\":{\"_placeholder\":true,\"num\":0}},{\"_placeholder\":true,\"num\":1}]",
        "{\"_placeholder\":true,\"num\":7,\"num\":1}",
        "{\"_placeholder\":true,\"_placeholder\":false}",
        "{\"a\":\"\\\"_placeholder\\\":true\"}",
        "\"\\\\\"",
    };
    static const char *const lie[] = {
        "{\"_placeholder\":true}",
        "{\"_placeholder\":true,\"num\":2}",
        "{\"_placeholder\":true,\"num\":-1}",
        "{\"_placeholder\":true,\"num\":1.5}",
        "{\"_placeholder\":true,\"num\":1e0}",
        "{\"_placeholder\":true,\"num\":\"1\"}",
        "{\"_placeholder\":true,\"num\":99999999999999999999}",
        "[[[{\"a\":{\"_placeholder\":true,\"num\":2}}]]]",
        "{\"num\":0,\"a\":{\"_placeholder\":true}}",
        "[{\"_placeholder\":true,\"num\":0},{\"num\":2,\"_placeholder\":true}]",
    };
    for (unsigned i = 0; i < sizeof fit / sizeof *fit; i++)
        assert_true(sio_placeholders_fit(span_text(fit[i]), 2));
    for (unsigned i = 0; i < sizeof lie / sizeof *lie; i++)
        assert_false(sio_placeholders_fit(span_text(lie[i]), 2));
    assert_true(sio_has_placeholder(SPAN("[" PLACE "]")));
    assert_true(sio_has_placeholder(SPAN("[{\"_placeholder\":true}]")));
    assert_false(sio_has_placeholder(SPAN("[{\"_placeholder\":1},\"_placeholder\"]")));

    struct json_value value;
    struct json_error error;
    unsigned number;
    assert_true(json_scan(SPAN("{\"_placeholder\":true,\"num\":3}"), &value, &error));
    assert_true(sio_is_placeholder(&value, &number));
    assert_int_equal(number, 3);
    assert_true(json_scan(SPAN("{\"_placeholder\":true,\"num\":\"3\"}"), &value, &error));
    assert_false(sio_is_placeholder(&value, &number));
    assert_true(json_scan(SPAN("[3]"), &value, &error));
    assert_false(sio_is_placeholder(&value, &number));
}

/* As deep as JSON goes here, and one deeper. */
static void goes_as_deep_as_json(void **state) {
    (void)state;
    char text[200];
    for (size_t depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        struct builder out = builder_over(text, sizeof text);
        builder_text(&out, "51-[\"a\"");
        builder_byte(&out, ',');
        for (size_t i = 1; i < depth; i++)
            builder_byte(&out, '[');
        for (size_t i = 1; i < depth; i++)
            builder_byte(&out, ']');
        builder_byte(&out, ']');
        struct sio_packet packet;
        const char *wrong = read_alone(SIO_PROTOCOL_5, builder_span(&out), &packet);
        assert_true((wrong == NULL) == (depth == JSON_DEPTH_MAX));
    }
}

/* Cut and changed anywhere, a packet is one or none, and all that was found lies within it. */
static void survives_anything(void **state) {
    (void)state;
    static const char *const whole[] = {
        "2/admin,12[\"event\",{\"a\":[1,2,\"\\u00e4\"]}]", "52-/a,7[\"x\"," PLACE ",\"y\"]",
        "0/admin?token=1,{\"id\":\"a\"}", "35[\"ok\"]", "44{\"message\":\"no\"}"};
    for (unsigned w = 0; w < sizeof whole / sizeof *whole; w++) {
        size_t len = strlen(whole[w]);
        for (size_t at = 0; at <= len; at++) {
            struct sio_packet packet;
            read_alone(SIO_PROTOCOL_5, span_of(whole[w], at), &packet);
            read_alone(SIO_PROTOCOL_4, span_of(whole[w], at), &packet);
            for (unsigned byte = 0; at < len && byte < 256; byte++) {
                char changed[100];
                memcpy(changed, whole[w], len);
                changed[at] = (char)byte;
                read_alone(byte % 2 == 0 ? SIO_PROTOCOL_4 : SIO_PROTOCOL_5, span_of(changed, len),
                           &packet);
            }
        }
    }
}

static void writes_heads(void **state) {
    (void)state;
    char text[100];
    uint64_t id = 12;
    struct builder out = builder_over(text, sizeof text);
    sio_head_write(&out, SIO_EVENT, 0, SPAN("/"), NULL);
    builder_byte(&out, '|');
    sio_head_write(&out, SIO_BINARY_EVENT, 1, SPAN("/admin"), &id);
    builder_byte(&out, '|');
    sio_head_write(&out, SIO_ACK, 0, SPAN("/"), &id);
    builder_byte(&out, '|');
    sio_head_write(&out, SIO_DISCONNECT, 0, SPAN("/admin"), NULL);
    assert_true(span_equal(builder_span(&out), SPAN("2|51-/admin,12|312|1/admin,")));
    char name[NAMESPACE_BYTES_MAX];
    memset(name, '/', sizeof name);
    id = UINT64_MAX;
    out = builder_over(text, sio_head_bound(sizeof name));
    sio_head_write(&out, SIO_BINARY_EVENT, SIO_ATTACHMENTS_MAX, span_of(name, sizeof name), &id);
    assert_false(out.full);
}

/* Of one that is longer than of use only the name of its event is looked at. */
static void test_long_ones(void **state) {
    (void)state;
    struct sio_packet packet;
    struct span event = SPAN("2/admin,12[ \"send\",{\"to\":not even JSON");
    assert_null(sio_packet_read_long(SIO_PROTOCOL_5, event, &packet));
    assert_true(packet.is_long && packet.has_id && packet.id == 12);
    assert_true(span_equal(packet.namespace, SPAN("/admin")));
    assert_true(span_equal(packet.event.raw, SPAN("\"send\"")));
    assert_int_equal(packet.json.kind, JSON_NONE);
    const char *const wrong[] = {"0{\"id\":\"a\"",
                                 "2{\"send\":1",
                                 "2",
                                 "2[",
                                 "2[[\"send\"",
                                 "2[\"connect\",1",
                                 "31[\"send\"",
                                 "9[\"send\"",
                                 "51-[\"send\",1",
                                 "12[\"send\",1",
                                 ""};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_non_null(sio_packet_read_long(SIO_PROTOCOL_5, span_text(wrong[i]), &packet));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_long_ones),        cmocka_unit_test(takes_connects),
        cmocka_unit_test(takes_events),          cmocka_unit_test(refuses_reserved_words),
        cmocka_unit_test(takes_the_others),      cmocka_unit_test(counts_attachments),
        cmocka_unit_test(looks_at_placeholders), cmocka_unit_test(goes_as_deep_as_json),
        cmocka_unit_test(survives_anything),     cmocka_unit_test(writes_heads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
