/* Answers: the exact bytes, what happens when they do not fit, and that our client reads them. */
#include "proto/http/http_date.h"
#include "proto/http/http_response.c"

#include "tests/support/cmocka_first.h"

#include <stdlib.h>

#define NO_LINES span_of(NULL, 0)

static char memory[4096];

static struct builder fresh(void) {
    return builder_over(memory, sizeof memory);
}

static void assert_written(const struct builder *out, const char *wanted) {
    assert_false(out->full);
    if (out->len != strlen(wanted) || memcmp(out->at, wanted, out->len) != 0)
        fail_msg("[%.*s]\nis not\n[%s]", (int)out->len, out->at, wanted);
}

/* The one reply in there, read by the parser that the command-line tools use. */
static void read_back(const struct builder *out, bool to_head, struct http_reply *reply) {
    struct http_parser parser;
    size_t len = out->len;
    http_parser_init(&parser, sizeof memory);
    assert_int_equal(http_reply_next(&parser, out->at, &len, to_head, reply), HTTP_EVENT_WHOLE);
    assert_int_equal(reply->size, out->len);
}

static void writes_a_whole_answer(void **state) {
    (void)state;
    struct builder out = fresh();
    http_response_whole(&out, 0, NO_LINES, 202, NULL, NO_LINES, SPAN("{\"id\":1}"));
    assert_written(&out, "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
                         "Content-Length: 9\r\n\r\n{\"id\":1}\n");
    /* A second one goes behind it. */
    http_response_whole(&out, HTTP_ANSWER_CLOSE, NO_LINES, 200, HTTP_TYPE_TEXT, SPAN("A: b\r\n"),
                        SPAN(""));
    assert_written(&out, "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
                         "Content-Length: 9\r\n\r\n{\"id\":1}\n"
                         "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
                         "Content-Length: 0\r\nConnection: close\r\nA: b\r\n\r\n");
    out = fresh();
    http_response_whole(&out, HTTP_ANSWER_KEEP_10, NO_LINES, 204, NULL, SPAN("Vary: Origin\r\n"),
                        NO_LINES);
    assert_written(&out, "HTTP/1.1 204 No Content\r\nConnection: keep-alive\r\n"
                         "Vary: Origin\r\n\r\n");
    out = fresh();
    http_response_head(&out, 0, NO_LINES, 304, NULL, SPAN("ETag: \"a\"\r\n"), 0);
    assert_written(&out, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");
    out = fresh();
    http_response_whole(&out, 0, NO_LINES, 299, NULL, NO_LINES, SPAN("x"));
    assert_written(&out, "HTTP/1.1 299 Unknown\r\nContent-Type: application/json\r\n"
                         "Content-Length: 2\r\n\r\nx\n");
}

static void answers_head_without_a_body(void **state) {
    (void)state;
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                               "Content-Length: 13\r\n\r\n";
    struct builder out = fresh();
    http_response_whole(&out, HTTP_ANSWER_BODYLESS, NO_LINES, 200, NULL, NO_LINES,
                        SPAN("hello, world"));
    assert_written(&out, head);
    out = fresh();
    struct http_response response =
        http_response_open(&out, HTTP_ANSWER_BODYLESS, NO_LINES, 200, NULL, NO_LINES);
    builder_text(&out, "hello, world");
    http_response_close(&response);
    assert_written(&out, head);
}

static void fills_in_the_length(void **state) {
    (void)state;
    static const size_t lengths[] = {0, 1, 9, 10, 99, 100, 999, 1000, 3000};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char body[3000], whole[4096];
        for (size_t at = 0; at < sizeof body; at++)
            body[at] = (char)('a' + at % 26);
        struct builder wanted = builder_over(whole, sizeof whole), out = fresh();
        builder_text(&wanted, "before");
        builder_text(&out, "before");
        http_response_whole(&wanted, HTTP_ANSWER_CLOSE, NO_LINES, 404, HTTP_TYPE_NDJSON,
                            SPAN("A: b\r\n"), span_of(body, lengths[i]));
        struct http_response response = http_response_open(&out, HTTP_ANSWER_CLOSE, NO_LINES, 404,
                                                           HTTP_TYPE_NDJSON, SPAN("A: b\r\n"));
        builder_bytes(&out, body, lengths[i]);
        http_response_close(&response);
        assert_true(span_equal(builder_span(&out), builder_span(&wanted)));
    }
}

/* For every size of memory up to enough: all of it or nothing, and nothing past the end. */
static void writes_all_or_nothing(void **state) {
    (void)state;
    struct http_error error = {
        .status = 405, .code = "method_not_allowed", .message = SPAN("no"), .allow = "GET"};
    struct builder out = fresh();
    http_response_error(&out, 0, NO_LINES, &error);
    size_t enough = 3 + out.len;
    unsigned fitted = 0;
    for (size_t cap = 3; cap <= enough + LENGTH_DIGITS; cap++) {
        for (int way = 0; way < 3; way++) {
            char *exact = malloc(cap);
            assert_non_null(exact);
            out = builder_over(exact, cap);
            builder_text(&out, "abc");
            if (way == 0) {
                http_response_error(&out, 0, NO_LINES, &error);
            } else if (way == 1) {
                http_response_whole(&out, 0, NO_LINES, 202, NULL, SPAN("A: b\r\n"), SPAN("{}"));
            } else {
                struct http_response response =
                    http_response_open(&out, 0, NO_LINES, 202, NULL, NO_LINES);
                builder_text(&out, "{}");
                http_response_close(&response);
            }
            assert_memory_equal(exact, "abc", 3);
            if (out.full)
                assert_int_equal(out.len, 3);
            else
                fitted++;
            free(exact);
        }
    }
    assert_true(fitted > 20);
}

static void knows_what_the_request_wants(void **state) {
    (void)state;
    static struct http_request request;
    request.method = HTTP_METHOD_GET;
    request.version_minor = 1;
    request.keep_alive = true;
    assert_int_equal(http_answer_flags(&request), 0);
    request.method = HTTP_METHOD_HEAD;
    assert_int_equal(http_answer_flags(&request), HTTP_ANSWER_BODYLESS);
    request.version_minor = 0;
    assert_int_equal(http_answer_flags(&request), HTTP_ANSWER_BODYLESS | HTTP_ANSWER_KEEP_10);
    request.keep_alive = false;
    assert_int_equal(http_answer_flags(&request), HTTP_ANSWER_BODYLESS | HTTP_ANSWER_CLOSE);
}

static void writes_errors(void **state) {
    (void)state;
    struct builder out = fresh();
    struct http_error error = {.status = 400,
                               .code = "bad_json",
                               .message = SPAN("no \"value\"\n"),
                               .field = SPAN("data"),
                               .has_offset = true,
                               .offset = 12};
    http_error_write(&out, &error);
    assert_written(&out, "{\"error\":{\"code\":\"bad_json\",\"message\":\"no \\\"value\\\"\\n\","
                         "\"field\":\"data\",\"offset\":12}}");
    out = fresh();
    http_response_error(&out, 0, NO_LINES,
                        &(struct http_error){.status = 405,
                                             .code = "method_not_allowed",
                                             .message = SPAN("m"),
                                             .allow = "GET, POST",
                                             .extra = SPAN("Vary: Origin\r\n")});
    assert_written(&out, "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: application/json\r\n"
                         "Content-Length: 54\r\nAllow: GET, POST\r\nVary: Origin\r\n\r\n"
                         "{\"error\":{\"code\":\"method_not_allowed\",\"message\":\"m\"}}\n");
    out = fresh();
    http_response_error(&out, HTTP_ANSWER_BODYLESS, NO_LINES,
                        &(struct http_error){.status = 401, .code = "c", .message = SPAN("m")});
    assert_written(&out, "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\n"
                         "Content-Length: 37\r\nWWW-Authenticate: Basic realm=\"ringpost\"\r\n"
                         "WWW-Authenticate: Bearer\r\n\r\n");
}

static void writes_heads_of_streams(void **state) {
    (void)state;
    struct builder out = fresh();
    http_response_stream(&out, 0, true, NO_LINES, 200, HTTP_TYPE_TEXT, SPAN("A: b\r\n"));
    assert_written(&out, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
                         "Transfer-Encoding: chunked\r\nA: b\r\n\r\n");
    out = fresh();
    http_response_stream(&out, HTTP_ANSWER_CLOSE, true, NO_LINES, 503, NULL, NO_LINES);
    assert_written(&out, "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
                         "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    /* Without chunks it ends with the connection, whatever was asked for. */
    out = fresh();
    http_response_stream(&out, HTTP_ANSWER_KEEP_10, false, NO_LINES, 200, NULL, NO_LINES);
    assert_written(&out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                         "Connection: close\r\n\r\n");
    out = builder_over(memory, 40);
    builder_text(&out, "abc");
    http_response_stream(&out, 0, true, NO_LINES, 200, NULL, NO_LINES);
    assert_true(out.full && out.len == 3);
}

static struct span retry_after(unsigned status, unsigned seconds) {
    static struct http_reply reply;
    struct builder out = fresh();
    http_response_error(
        &out, 0, NO_LINES,
        &(struct http_error){
            .status = status, .code = "c", .message = SPAN("m"), .retry_after_s = seconds});
    read_back(&out, false, &reply);
    assert_int_equal(reply.status, status);
    return http_fields_get(&reply.fields, SPAN("retry-after"));
}

static void says_when_to_come_back(void **state) {
    (void)state;
    assert_true(span_equal(retry_after(503, 0), SPAN("1")));
    assert_true(span_equal(retry_after(429, 30), SPAN("30")));
    assert_true(span_equal(retry_after(413, 7), SPAN("7")));
    assert_null(retry_after(413, 0).at);
}

static void says_when(void **state) {
    (void)state;
    static const struct {
        uint64_t wall_s;
        const char *line;
    } dates[] = {
        {0, "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"},
        {784111777, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"}, /* the example of RFC 9110 */
        {951782399, "Date: Mon, 28 Feb 2000 23:59:59 GMT\r\n"},
        {951782400, "Date: Tue, 29 Feb 2000 00:00:00 GMT\r\n"},
        {UINT64_C(253402300799), "Date: Fri, 31 Dec 9999 23:59:59 GMT\r\n"},
    };
    for (size_t i = 0; i < sizeof dates / sizeof *dates; i++) {
        char line[HTTP_DATE_BYTES];
        http_date_write(dates[i].wall_s, line);
        assert_true(span_equal(span_of(line, sizeof line), span_text(dates[i].line)));
    }
    struct builder out = fresh();
    http_response_whole(&out, HTTP_ANSWER_CLOSE, span_text(dates[1].line), 200, NULL, NO_LINES,
                        SPAN("{}"));
    assert_written(&out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                         "Content-Length: 3\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
                         "Connection: close\r\n\r\n{}\n");
}

/* Every status that is known: our own client reads it, and the room that is promised is enough. */
static void answers_are_read_back(void **state) {
    (void)state;
    static struct http_reply reply;
    for (size_t i = 0; i < sizeof status_texts / sizeof *status_texts; i++) {
        unsigned status = status_texts[i].status;
        for (unsigned flags = 0; flags < 8; flags++) {
            struct span body = !has_body(status) ? NO_LINES : SPAN("body");
            struct span date = SPAN("Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n");
            struct builder out = fresh();
            http_response_whole(&out, (uint8_t)flags, date, status, HTTP_TYPE_METRICS, NO_LINES,
                                body);
            assert_true(out.len <= HTTP_RESPONSE_HEAD_BYTES_MAX + body.len + 1);
            read_back(&out, flags & HTTP_ANSWER_BODYLESS, &reply);
            assert_int_equal(reply.status, status);
            assert_int_equal(reply.keep_alive, !(flags & HTTP_ANSWER_CLOSE));
            assert_int_equal(reply.body.len,
                             flags & HTTP_ANSWER_BODYLESS || body.len == 0 ? 0 : body.len + 1);
            assert_string_not_equal(http_reason(status), "Unknown");
            for (size_t other = 0; other < i; other++)
                assert_int_not_equal(status_texts[other].status, status);
        }
    }
}

static void writes_header_lines(void **state) {
    (void)state;
    struct builder out = fresh();
    http_field_write(&out, SPAN("Vary"), SPAN("Origin"));
    http_field_write(&out, SPAN("A"), SPAN("b\tc \xe4"));
    assert_written(&out, "Vary: Origin\r\nA: b\tc \xe4\r\n");
    assert_true(is_clean(SPAN("a b")));
    assert_false(is_clean(SPAN("a\r\nb")));
    assert_false(is_clean(SPAN("a\nb")));
    assert_false(is_clean(SPAN("a\0b")));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_a_whole_answer),
        cmocka_unit_test(answers_head_without_a_body),
        cmocka_unit_test(fills_in_the_length),
        cmocka_unit_test(writes_all_or_nothing),
        cmocka_unit_test(knows_what_the_request_wants),
        cmocka_unit_test(writes_errors),
        cmocka_unit_test(writes_heads_of_streams),
        cmocka_unit_test(says_when_to_come_back),
        cmocka_unit_test(says_when),
        cmocka_unit_test(answers_are_read_back),
        cmocka_unit_test(writes_header_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
