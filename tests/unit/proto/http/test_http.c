/* The HTTP codec: what it takes, what it refuses and with which words, and that neither depends on
 * how the bytes arrive. */
#include "proto/http/http.c"

#include "tests/support/cmocka_first.h"
#include "tests/support/http_caller.h"
#include "tests/support/http_cases.h"

static struct transcript whole, pieces;

static void expect_same(enum side side, struct span input, size_t body_max, size_t first,
                        size_t step) {
    transcribe(&pieces, side, input, body_max, first, step);
    if (strcmp(whole.text, pieces.text) != 0)
        fail_msg("split at %zu by %zu:\n%s\nis not\n%s", first, step, pieces.text, whole.text);
}

/* Whole; byte by byte; in threes; split once at every offset. Long ones in fewer ways. */
static const char *run(enum side side, struct span input, size_t body_max) {
    bool is_long = input.len > 2000;
    transcribe(&whole, side, input, body_max, 0, 0);
    expect_same(side, input, body_max, 0, is_long ? 61 : 1);
    expect_same(side, input, body_max, 0, is_long ? 1000 : 3);
    for (size_t at = 1; at < input.len; at += is_long ? input.len / 30 : 1)
        expect_same(side, input, body_max, at, 0);
    return whole.text;
}

static void refuses_what_can_be_read_in_two_ways(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        const struct refused *c = &refused[i];
        char wanted[128];
        snprintf(wanted, sizeof wanted, "refused %u %s: %s", c->status,
                 c->status == 413 ? "too_large" : "bad_message", c->message);
        const char *text = run(REQUESTS, c->input, BODY_MAX);
        if (strncmp(text, wanted, strlen(wanted)) != 0)
            fail_msg("%.*s\nshould be %s\nbut is %s", SPAN_ARG(c->input), wanted, text);
    }
}

/* A good request in front must not change how a bad one is seen, nor be lost by it. */
static void refuses_behind_a_good_request(void **state) {
    (void)state;
    static const char good[] = POST("Content-Length: 2\r\n") "hi";
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        char both[1024];
        size_t len = sizeof good - 1;
        memcpy(both, good, len);
        memcpy(both + len, refused[i].input.at, refused[i].input.len);
        len += refused[i].input.len;
        transcribe(&whole, REQUESTS, span_of(both, len), BODY_MAX, 0, 0);
        assert_int_equal(whole.wholes, 1);
        char *second = strchr(whole.text, '\n') + 1;
        char status[32];
        snprintf(status, sizeof status, "refused %u ", refused[i].status);
        assert_memory_equal(second, status, strlen(status));
        expect_same(REQUESTS, span_of(both, len), BODY_MAX, 0, 1);
    }
}

static void takes_what_is_clear(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        const char *text = run(REQUESTS, taken[i].input, BODY_MAX);
        if (strcmp(text, taken[i].text) != 0)
            fail_msg("%.*s\nshould be %s\nbut is %s", SPAN_ARG(taken[i].input), taken[i].text,
                     text);
    }
}

/* They are blanks like others, also where llhttp reads a number or a list. */
static void takes_tabs_around_values(void **state) {
    (void)state;
    assert_string_equal(
        run(REQUESTS, SPAN(GET("Connection:\tx,\tclose\t\r\n") GET("")), BODY_MAX),
        "GET [GET] [/] path=[/] 1.1 host=[a] {Host=a} {Connection=x,\tclose} body=[]\nended\n");
    assert_string_equal(
        run(REQUESTS, SPAN(POST("Content-Length:\t2 \t\r\nX: a\tb\t\r\n") "hi"), BODY_MAX),
        "POST [POST] [/] path=[/] 1.1 keep host=[a] {Host=a} {Content-Length=2} {X=a\tb} "
        "body=[hi]\nopen, nothing left\n");
    assert_string_equal(
        run(REQUESTS, SPAN(POST("Transfer-Encoding: chunked\t\r\n") "2\r\nhi\r\n0\r\n\r\n"),
            BODY_MAX),
        "POST [POST] [/] path=[/] 1.1 keep chunked host=[a] {Host=a} {Transfer-Encoding=chunked} "
        "body=[hi]\nopen, nothing left\n");
}

/* All cases after which the connection goes on, three times over. */
static void takes_a_pipeline(void **state) {
    (void)state;
    static char input[16384], text[32768];
    size_t len = 0, text_len = 0;
    for (size_t i = 0; i < 3 * (sizeof taken / sizeof *taken); i++) {
        const struct taken *c = &taken[i % (sizeof taken / sizeof *taken)];
        const char *end = strstr(c->text, "open, nothing left");
        if (end == NULL || strstr(c->text, " 1.0") != NULL)
            continue;
        size_t count = (size_t)(end - c->text);
        assert_true(c->input.len < sizeof input - len && count < sizeof text - text_len - 32);
        memcpy(input + len, c->input.at, c->input.len);
        memcpy(text + text_len, c->text, count);
        len += c->input.len;
        text_len += count;
    }
    memcpy(text + text_len, "open, nothing left\n", sizeof "open, nothing left\n");
    transcribe(&whole, REQUESTS, span_of(input, len), BODY_MAX, 0, 0);
    assert_string_equal(whole.text, text);
    assert_true(whole.wholes > 60);
    for (size_t step = 1; step < 300; step += step < 20 ? 1 : 37)
        expect_same(REQUESTS, span_of(input, len), BODY_MAX, step / 2, step);
}

static void reports_the_head_before_the_body(void **state) {
    (void)state;
    static struct http_request request;
    struct http_parser parser;
    char first[] = POST("Expect: 100-continue\r\nContent-Length: 20\r\n") "0123456789";
    size_t len = sizeof first - 1, head = len - 10;
    http_parser_init(&parser, BODY_MAX);
    size_t given = head;
    assert_int_equal(http_request_next(&parser, first, &given, &request), HTTP_EVENT_HEAD);
    assert_true(request.expects_continue);
    assert_int_equal(request.size, head + 20);
    assert_null(request.body.at);
    assert_true(span_equal(request.host, SPAN("a")));
    /* Once only. */
    assert_int_equal(http_request_next(&parser, first, &len, &request), HTTP_EVENT_MORE);
    assert_int_equal(http_request_next(&parser, first, &len, &request), HTTP_EVENT_MORE);

    char chunked[] = CHUNKED("5\r\nhel");
    len = sizeof chunked - 1;
    http_parser_init(&parser, BODY_MAX);
    assert_int_equal(http_request_next(&parser, chunked, &len, &request), HTTP_EVENT_HEAD);
    assert_int_equal(request.size, 0);
    assert_true(request.chunked);
    assert_int_equal(len, sizeof chunked - 1 - 3); /* `5 CR LF` is gone */
    assert_memory_equal(chunked + len - 3, "hel", 3);

    /* Nothing is reported when the body is there already. */
    transcribe(&whole, REQUESTS, SPAN(POST("Content-Length: 2\r\n") "hi"), BODY_MAX, 0, 0);
    assert_int_equal(whole.heads, 0);
}

static void spans_lie_in_the_buffer(void **state) {
    (void)state;
    static struct http_request request;
    struct http_parser parser;
    char input[] = POST("A: b\r\nContent-Length: 2\r\n") "hi" GET("");
    size_t len = sizeof input - 1;
    http_parser_init(&parser, BODY_MAX);
    assert_int_equal(http_request_next(&parser, input, &len, &request), HTTP_EVENT_WHOLE);
    assert_int_equal(len, sizeof input - 1);
    assert_ptr_equal(request.method_text.at, input);
    assert_ptr_equal(request.path.at, input + 5);
    assert_ptr_equal(request.body.at, strstr(input, "hi"));
    assert_ptr_equal(request.body.at + 2, input + request.size);
    assert_true(span_equal(http_fields_get(&request.fields, SPAN("a")), SPAN("b")));
    assert_null(http_fields_get(&request.fields, SPAN("ab")).at);
}

/* ---- Limits, at the last good value and one past it ---- */

static char *filled(char *to, size_t count, char byte) {
    memset(to, byte, count);
    return to + count;
}

static char *copied(char *to, const char *text) {
    size_t len = strlen(text);
    memcpy(to, text, len);
    return to + len;
}

static char large[65536];

static const char *run_large(const char *end, size_t body_max) {
    return run(REQUESTS, span_of(large, (size_t)(end - large)), body_max);
}

static void bounds_the_head(void **state) {
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        char *to = copied(large, "GET / HTTP/1.1\r\nHost: a\r\n");
        while (to + 1004 < large + HTTP_HEAD_BYTES_MAX - 100)
            to = copied(filled(copied(to, "A: "), 1000, 'x'), "\r\n");
        to = copied(to, "B: ");
        size_t rest = (size_t)(large + HTTP_HEAD_BYTES_MAX - to) - 4 + over;
        to = copied(filled(to, rest, 'y'), "\r\n\r\n");
        assert_int_equal(to - large, HTTP_HEAD_BYTES_MAX + over);
        const char *text = run_large(copied(to, "GET"), BODY_MAX);
        assert_memory_equal(text, over ? "refused 431 too_large" : "GET [GET] [/]", 13);
        assert_true(over == 0 || strstr(text, "the head is too long at 16384") != NULL);
    }
}

static void bounds_the_first_line(void **state) {
    (void)state;
    char *to = filled(copied(large, "GET /"), 40000, 'x');
    assert_string_equal(run_large(to, BODY_MAX),
                        "refused 431 too_large: the first line of the head is too long at 16384\n");
    /* A target may be as long as the head has room for it. */
    static const char rest[] = " HTTP/1.1\r\nHost: a\r\n\r\n";
    for (size_t over = 0; over < 2; over++) {
        size_t len = HTTP_HEAD_BYTES_MAX - (sizeof "GET /" - 1) - (sizeof rest - 1) + over;
        to = filled(copied(large, "GET /"), len, 'x');
        const char *text = run_large(copied(to, rest), BODY_MAX);
        assert_memory_equal(text, over ? "refused 431 too_large" : "GET [GET] [/x", 13);
    }
}

static void bounds_the_fields(void **state) {
    (void)state;
    for (unsigned over = 0; over < 2; over++) {
        char *to = copied(large, "GET / HTTP/1.1\r\nHost: a\r\n");
        for (unsigned i = 1; i < HTTP_FIELDS_MAX + over; i++)
            to = copied(to, "A: b\r\n");
        const char *text = run_large(copied(to, "\r\n"), BODY_MAX);
        assert_memory_equal(text, over ? "refused 431 too_large: too many" : "GET [GET] [/]", 13);
    }
}

static void bounds_the_body(void **state) {
    (void)state;
    char *to = copied(large, POST("Content-Length: 20000\r\n"));
    char *end = filled(to, 20000, 'b');
    const char *text = run_large(end, 20000);
    assert_true(strncmp(text, "POST [POST]", 11) == 0 && whole.wholes == 1);
    transcribe(&whole, REQUESTS, span_of(large, (size_t)(to - large)), 19999, 0, 1000);
    assert_memory_equal(whole.text, "refused 413 too_large: the body is too large", 40);
}

static void bounds_chunk_framing(void **state) {
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        char *to = copied(large, CHUNKED("1;"));
        to = copied(filled(to, HTTP_EXTENSION_BYTES_MAX / 2, 'x'), "\r\na\r\n0;");
        to = copied(filled(to, HTTP_EXTENSION_BYTES_MAX / 2 + over, 'x'), "\r\n\r\n");
        const char *text = run_large(to, BODY_MAX);
        assert_memory_equal(text,
                            over ? "refused 431 too_large: too many bytes of chunk"
                                 : "POST [POST] [/] path=[/] 1.1 keep chunked",
                            40);

        to = copied(large, CHUNKED("0\r\n"));
        for (size_t i = 0; i < 4; i++) {
            to = copied(to, "A: ");
            size_t count = HTTP_TRAILER_BYTES_MAX / 4 - 4 + (i == 3 ? over : 0);
            to = copied(filled(to, count, 'x'), "\r\n");
        }
        text = run_large(copied(to, "\r\n"), BODY_MAX);
        assert_memory_equal(text,
                            over ? "refused 431 too_large: too many bytes of trailer"
                                 : "POST [POST] [/] path=[/] 1.1 keep chunked",
                            40);
    }
}

/* However the body is cut, the buffer holds no more than head, body and one receive. */
static void chunk_framing_takes_no_memory(void **state) {
    (void)state;
    char *to = copied(large, CHUNKED(""));
    size_t head = (size_t)(to - large);
    for (unsigned i = 0; i < 4000; i++)
        to = copied(to, "000001\r\nx\r\n");
    to = copied(to, "0\r\n\r\n");
    transcribe(&whole, REQUESTS, span_of(large, (size_t)(to - large)), 4000, 0, 100);
    assert_int_equal(whole.wholes, 1);
    assert_true(whole.buffer_max <= head + 4000);
}

/* ---- The chunk decoder beside llhttp ---- */

struct beside {
    char body[1024];
    size_t len;
};

static int beside_on_body(llhttp_t *llhttp, const char *at, size_t len) {
    struct beside *beside = llhttp->data;
    assert_true(len <= sizeof beside->body - beside->len);
    memcpy(beside->body + beside->len, at, len);
    beside->len += len;
    return 0;
}

static int beside_on_message(llhttp_t *llhttp) {
    (void)llhttp;
    return HPE_PAUSED;
}

static void llhttp_reads_the_same_bodies(void **state) {
    (void)state;
    static const llhttp_settings_t settings = {.on_body = beside_on_body,
                                               .on_message_complete = beside_on_message};
    static struct http_request request;
    unsigned compared = 0, chunked = 0;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++) {
        struct beside beside = {.len = 0};
        struct span input = taken[i].input;
        char ours[1024];
        size_t len = input.len;
        struct http_parser parser;
        http_parser_init(&parser, BODY_MAX);
        memcpy(ours, input.at, len);
        if (http_request_next(&parser, ours, &len, &request) != HTTP_EVENT_WHOLE ||
            request.method == HTTP_METHOD_OTHER)
            continue;
        llhttp_t llhttp;
        llhttp_init(&llhttp, HTTP_REQUEST, &settings);
        llhttp.data = &beside;
        llhttp_errno_t error = llhttp_execute(&llhttp, input.at, input.len);
        /* It knows one grammar of extensions only; ours drops whatever is behind the `;`. */
        if (error == HPE_STRICT && memchr(input.at, ';', input.len) != NULL)
            continue;
        assert_int_equal(error, HPE_PAUSED);
        assert_true(span_equal(request.body, span_of(beside.body, beside.len)));
        compared++;
        chunked += request.chunked;
    }
    assert_true(compared > 20 && chunked > 5);
}

/* ---- Replies ---- */

static void reads_replies(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++)
        assert_string_equal(run(REPLIES, replies[i].input, BODY_MAX), replies[i].text);
    assert_string_equal(run(REPLIES_TO_HEAD,
                            SPAN("HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"
                                 "HTTP/1.1 404 x\r\n\r\n"),
                            BODY_MAX),
                        "200 keep {Content-Length=9999} body=[]\n404 keep body=[]\n"
                        "open, nothing left\n");
    static const char *const broken[] = {"HTTP/1.1 99 x",   "HTTP/1.1 600 x", "HTTP/2.0 200 x",
                                         "HTTP/1.1  200 x", "HTTQ/1.1 200 x", "HTTP/1.1 2000 x",
                                         "HTTP/1.1 +20 x",  "GET / HTTP/1.1", ""};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char text[128];
        snprintf(text, sizeof text, "%s\r\nContent-Length: 0\r\n\r\n", broken[i]);
        if (strncmp(run(REPLIES, span_text(text), BODY_MAX), "refused 400", 11) != 0)
            fail_msg("%s was taken: %s", text, whole.text);
    }
}

/* ---- Mutants ---- */

static uint32_t dice(uint32_t *seed) {
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static void mutants_do_not_depend_on_pieces(void **state) {
    (void)state;
    static const char bytes[] = "\r\n \t:,;0159afAF+-\0/?#*.%\x7f\x80";
    uint32_t seed = 1;
    unsigned accepted = 0, rejected = 0;
    for (unsigned round = 0; round < 20000; round++) {
        struct span input = taken[dice(&seed) % (sizeof taken / sizeof *taken)].input;
        char mutant[1024];
        memcpy(mutant, input.at, input.len);
        for (unsigned count = 1 + dice(&seed) % 3; count != 0; count--)
            mutant[dice(&seed) % input.len] = bytes[dice(&seed) % (sizeof bytes - 1)];
        size_t len = 1 + dice(&seed) % input.len;
        if (dice(&seed) % 2)
            len = input.len;
        transcribe(&whole, REQUESTS, span_of(mutant, len), BODY_MAX, 0, 0);
        expect_same(REQUESTS, span_of(mutant, len), BODY_MAX, dice(&seed) % len,
                    1 + dice(&seed) % 16);
        accepted += whole.wholes;
        rejected += strstr(whole.text, "refused") != NULL;
    }
    assert_true(accepted > 1000 && rejected > 1000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_what_can_be_read_in_two_ways),
        cmocka_unit_test(refuses_behind_a_good_request),
        cmocka_unit_test(takes_what_is_clear),
        cmocka_unit_test(takes_tabs_around_values),
        cmocka_unit_test(takes_a_pipeline),
        cmocka_unit_test(reports_the_head_before_the_body),
        cmocka_unit_test(spans_lie_in_the_buffer),
        cmocka_unit_test(bounds_the_head),
        cmocka_unit_test(bounds_the_first_line),
        cmocka_unit_test(bounds_the_fields),
        cmocka_unit_test(bounds_the_body),
        cmocka_unit_test(bounds_chunk_framing),
        cmocka_unit_test(chunk_framing_takes_no_memory),
        cmocka_unit_test(llhttp_reads_the_same_bodies),
        cmocka_unit_test(reads_replies),
        cmocka_unit_test(mutants_do_not_depend_on_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
