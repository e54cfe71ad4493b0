/* The values of the headers that make HTTP WebSocket. */
#include "proto/ws/ws_handshake.c"

#include "tests/support/cmocka_first.h"

#include <stdio.h>
#include <stdlib.h>

/* A value in memory of its exact size. */
static struct span alone(struct span value) {
    char *at = malloc(value.len != 0 ? value.len : 1);
    assert_non_null(at);
    memcpy(at, value.at, value.len);
    return span_of(at, value.len);
}

static void answers_the_key_of_the_rfc(void **state) {
    (void)state;
    char room[WS_ACCEPT_BYTES];
    struct builder out = builder_over(room, sizeof room);
    ws_accept_write(&out, SPAN("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_true(span_equal(builder_span(&out), SPAN("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")));
    out = builder_over(room, sizeof room - 1);
    ws_accept_write(&out, SPAN("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_true(out.full && out.len == 0);
}

static void hashes_the_vectors(void **state) {
    (void)state;
    static const struct {
        struct span input;
        const char *hex;
    } cases[] = {
        {SPAN_INIT(""), "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {SPAN_INIT("abc"), "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {SPAN_INIT("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char digest[WS_SHA1_BYTES];
        char hex[2 * WS_SHA1_BYTES + 1];
        ws_sha1(cases[i].input, digest);
        for (size_t at = 0; at < WS_SHA1_BYTES; at++)
            snprintf(hex + 2 * at, 3, "%02x", digest[at]);
        assert_string_equal(hex, cases[i].hex);
    }
}

static void knows_a_key(void **state) {
    (void)state;
    assert_true(ws_key_is_good(SPAN("dGhlIHNhbXBsZSBub25jZQ==")));
    assert_true(ws_key_is_good(SPAN("AAAAAAAAAAAAAAAAAAAAAA==")));
    static const char *const wrong[] = {
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNhbXBsZSBub25jZQ===",
        "dGhlIHNhbXBsZSBub25jZR==", /* the bits that are left over are not zero */
        "dGhlIHNhbXBsZSBub25jZQA=", /* 17 bytes */
        "dGhlIHNhbXBsZSBub25jZQAA", /* 18 bytes */
        "dGhlIHNhbXBsZSBub25jZ===",
        "dGhlIHNhbXBsZSBub25j====",
        "dGhlIHNhbXBsZSBub25j",
        "dGhlIHNhbXBsZSBub25jZQ==dGhl",
        " dGhlIHNhbXBsZSBub25jZQ=",
        "dGhlIHNh-XBsZSBub25jZQ==",
        "dGhlIHNh,XBsZSBub25jZQ==",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct span key = alone(span_text(wrong[i]));
        if (ws_key_is_good(key))
            fail_msg("%s was taken", wrong[i]);
        free((void *)(uintptr_t)key.at);
    }
}

static void finds_the_protocol(void **state) {
    (void)state;
    static const struct {
        struct span value;
        bool good, offered;
    } cases[] = {
        {SPAN_INIT("ringpost.v1"), true, true},
        {SPAN_INIT("soap,  ringpost.v1\t, x"), true, true},
        {SPAN_INIT(", ,ringpost.v1,,"), true, true},
        {SPAN_INIT("ringpost.v1,ringpost.v1"), true, true},
        {SPAN_INIT("ringpost.v10, ringpost.v, Ringpost.v1, xringpost.v1"), true, false},
        {SPAN_INIT(""), true, false},
        {SPAN_INIT(" , "), true, false},
        {SPAN_INIT("ringpost .v1"), false, false},
        {SPAN_INIT("ringpost.v1 x"), false, false},
        {SPAN_INIT("ringpost.v1;q=1"), false, false},
        {SPAN_INIT("\"ringpost.v1\""), false, false},
        {SPAN_INIT("a/b"), false, false},
        {SPAN_INIT("a\0"), false, false},
        {SPAN_INIT("\xC3\xA4"), false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct span value = alone(cases[i].value);
        bool offered = false;
        if (ws_protocols_read(value, SPAN(WS_PROTOCOL), &offered) != cases[i].good ||
            (cases[i].good && offered != cases[i].offered))
            fail_msg("%.*s", SPAN_ARG(cases[i].value));
        free((void *)(uintptr_t)value.at);
    }
    /* What an earlier value offered stays. */
    bool offered = true;
    assert_true(ws_protocols_read(SPAN("x"), SPAN(WS_PROTOCOL), &offered) && offered);
}

#define ANSWER "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

/* NULL: breaks the grammar; "": none is taken. */
static const char *answer_to(struct span value) {
    static char room[WS_EXTENSIONS_BYTES_MAX + 1];
    struct span copy = alone(value);
    struct ws_terms terms = {0};
    bool good = ws_extensions_read(copy, &terms);
    free((void *)(uintptr_t)copy.at);
    if (!good)
        return NULL;
    struct builder out = builder_over(room, sizeof room - 1);
    if (terms.deflate)
        ws_extensions_write(&out, &terms);
    assert_false(out.full);
    room[out.len] = '\0';
    assert_true(!terms.deflate || (terms.window_bits >= 9 && terms.window_bits <= 15));
    assert_true(terms.bits_asked || !terms.deflate || terms.window_bits == 15);
    return room;
}

static void agrees_on_compression(void **state) {
    (void)state;
    static const struct {
        const char *value, *answer;
    } cases[] = {
        {"permessage-deflate", ANSWER},
        {"permessage-deflate; client_max_window_bits", ANSWER}, /* browsers */
        {"permessage-deflate;client_max_window_bits=15", ANSWER},
        {"permessage-deflate;client_max_window_bits=8", ANSWER},
        {"permessage-deflate; server_no_context_takeover; client_no_context_takeover", ANSWER},
        {"permessage-deflate; server_max_window_bits=15", ANSWER "; server_max_window_bits=15"},
        {"permessage-deflate; server_max_window_bits=10", ANSWER "; server_max_window_bits=10"},
        {"permessage-deflate; server_max_window_bits=9", ANSWER "; server_max_window_bits=9"},
        {"permessage-deflate; server_max_window_bits=\"12\"", ANSWER "; server_max_window_bits=12"},
        {"permessage-deflate; server_max_window_bits=\"1\\2\"",
         ANSWER "; server_max_window_bits=12"},
        {" permessage-deflate\t; \tserver_max_window_bits = 12 ",
         ANSWER "; server_max_window_bits=12"},
        {",,permessage-deflate,", ANSWER},
        {"x-webkit-deflate-frame, permessage-deflate", ANSWER},
        {"foo; bar; baz=1; baz=\"\\a\\b\", permessage-deflate", ANSWER},
        /* The first one that can be kept. */
        {"permessage-deflate; server_max_window_bits=8, permessage-deflate", ANSWER},
        {"permessage-deflate; server_max_window_bits=10, permessage-deflate",
         ANSWER "; server_max_window_bits=10"},
        {"permessage-deflate; x, permessage-deflate; server_max_window_bits=11",
         ANSWER "; server_max_window_bits=11"},
        /* What one that is passed over wants is not wanted of the next. */
        {"permessage-deflate; server_max_window_bits=11; x, permessage-deflate", ANSWER},
        /* Passed over. */
        {"", ""},
        {"x", ""},
        {"Permessage-Deflate", ""},
        {"permessage-deflate2", ""},
        {"permessage-deflate; unknown", ""},
        {"permessage-deflate; unknown=1", ""},
        {"permessage-deflate; Server_no_context_takeover", ""},
        {"permessage-deflate; server_no_context_takeover=1", ""},
        {"permessage-deflate; client_no_context_takeover=\"1\"", ""},
        {"permessage-deflate; server_no_context_takeover; server_no_context_takeover", ""},
        {"permessage-deflate; client_max_window_bits; client_max_window_bits", ""},
        {"permessage-deflate; client_max_window_bits=9; client_max_window_bits", ""},
        {"permessage-deflate; server_max_window_bits=9; server_max_window_bits=9", ""},
        {"permessage-deflate; server_max_window_bits", ""},
        {"permessage-deflate; server_max_window_bits=8", ""},
        {"permessage-deflate; server_max_window_bits=7", ""},
        {"permessage-deflate; server_max_window_bits=16", ""},
        {"permessage-deflate; server_max_window_bits=09", ""},
        {"permessage-deflate; server_max_window_bits=010", ""},
        {"permessage-deflate; server_max_window_bits=100", ""},
        {"permessage-deflate; server_max_window_bits=1", ""},
        {"permessage-deflate; server_max_window_bits=1a", ""},
        {"permessage-deflate; server_max_window_bits=+9", ""},
        {"permessage-deflate; client_max_window_bits=7", ""},
        {"permessage-deflate; client_max_window_bits=16", ""},
        {"permessage-deflate; client_max_window_bits=x", ""},
        /* Not a list of extensions. */
        {";", NULL},
        {"permessage-deflate;", NULL},
        {"permessage-deflate; ;x", NULL},
        {"permessage-deflate; =1", NULL},
        {"permessage-deflate; server_max_window_bits=", NULL},
        {"permessage-deflate; server_max_window_bits=;x", NULL},
        {"permessage-deflate; x=\"\"", NULL},
        {"permessage-deflate; x=\"1", NULL},
        {"permessage-deflate; x=\"1\\", NULL},
        {"permessage-deflate; x=\"1 2\"", NULL},
        {"permessage-deflate; x=\"1\\ \"", NULL},
        {"permessage-deflate; x=\"1\"2", NULL},
        {"permessage-deflate; x=1\"", NULL},
        {"permessage-deflate; x=1\\2", NULL},
        {"permessage-deflate; x y", NULL},
        {"permessage-deflate x", NULL},
        {"permessage-deflate=1", NULL},
        {"permessage-deflate, \"x\"", NULL},
        {"x, permessage-deflate; \xC3\xA4", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *answer = answer_to(span_text(cases[i].value));
        if ((answer == NULL) != (cases[i].answer == NULL) ||
            (answer != NULL && strcmp(answer, cases[i].answer) != 0))
            fail_msg("%s\nshould be %s\nbut is %s", cases[i].value,
                     cases[i].answer != NULL ? cases[i].answer : "refused",
                     answer != NULL ? answer : "refused");
    }
}

static void keeps_what_an_earlier_value_agreed_on(void **state) {
    (void)state;
    struct ws_terms terms = {0};
    assert_true(ws_extensions_read(SPAN("x"), &terms) && !terms.deflate);
    assert_true(ws_extensions_read(SPAN("permessage-deflate; server_max_window_bits=9"), &terms));
    assert_true(ws_extensions_read(SPAN("permessage-deflate"), &terms));
    assert_true(terms.deflate && terms.window_bits == 9);
    char room[WS_EXTENSIONS_BYTES_MAX];
    for (size_t cap = 0; cap < sizeof(ANSWER "; server_max_window_bits=9") - 1; cap++) {
        struct builder out = builder_over(room, cap);
        ws_extensions_write(&out, &terms);
        assert_true(out.full && out.len == 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_the_key_of_the_rfc),
        cmocka_unit_test(hashes_the_vectors),
        cmocka_unit_test(knows_a_key),
        cmocka_unit_test(finds_the_protocol),
        cmocka_unit_test(agrees_on_compression),
        cmocka_unit_test(keeps_what_an_earlier_value_agreed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
