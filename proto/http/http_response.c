#include "proto/http/http_response.h"

#include "core/base/check.h"

#define LENGTH_DIGITS 10 /* room for Content-Length until the body is known */

/* The start of an answer is one copy: all that comes before the length, for the usual type. */
struct status_text {
    unsigned status;
    unsigned json_start_bytes;
    const char *reason;
    const char *json_start;
};

#define LENGTH_NAME "Content-Length: "
#define JSON_START(status, reason)                                                                 \
    "HTTP/1.1 " #status " " reason "\r\nContent-Type: " HTTP_TYPE_JSON "\r\n" LENGTH_NAME
#define STATUS(status, reason)                                                                     \
    { status, sizeof(JSON_START(status, reason)) - 1, reason, JSON_START(status, reason) }

/* The most frequent first. */
static const struct status_text status_texts[] = {
    STATUS(202, "Accepted"),
    STATUS(200, "OK"),
    STATUS(404, "Not Found"),
    STATUS(503, "Service Unavailable"),
    STATUS(400, "Bad Request"),
    STATUS(401, "Unauthorized"),
    STATUS(403, "Forbidden"),
    STATUS(405, "Method Not Allowed"),
    STATUS(409, "Conflict"),
    STATUS(410, "Gone"),
    STATUS(413, "Content Too Large"),
    STATUS(415, "Unsupported Media Type"),
    STATUS(417, "Expectation Failed"),
    STATUS(426, "Upgrade Required"),
    STATUS(429, "Too Many Requests"),
    STATUS(431, "Request Header Fields Too Large"),
    STATUS(500, "Internal Server Error"),
    STATUS(501, "Not Implemented"),
    STATUS(505, "HTTP Version Not Supported"),
    STATUS(204, "No Content"),
    STATUS(304, "Not Modified"),
    STATUS(408, "Request Timeout"),
};

static const struct status_text *status_find(unsigned status) {
    for (size_t i = 0; i < sizeof status_texts / sizeof *status_texts; i++)
        if (status_texts[i].status == status)
            return &status_texts[i];
    return NULL;
}

const char *http_reason(unsigned status) {
    const struct status_text *text = status_find(status);
    return text == NULL ? "Unknown" : text->reason;
}

uint8_t http_answer_flags(const struct http_request *request) {
    unsigned flags = request->method == HTTP_METHOD_HEAD ? HTTP_ANSWER_BODYLESS : 0;
    if (!request->keep_alive)
        flags |= HTTP_ANSWER_CLOSE;
    else if (request->version_minor == 0)
        flags |= HTTP_ANSWER_KEEP_10;
    return (uint8_t)flags;
}

/* These have none, and say nothing of its type and length. */
static bool has_body(unsigned status) {
    return status != 204 && status != 304;
}

static void status_write(struct builder *out, unsigned status, const struct status_text *text) {
    builder_bytes(out, "HTTP/1.1 ", 9);
    builder_u64(out, status);
    builder_byte(out, ' ');
    builder_text(out, text == NULL ? "Unknown" : text->reason);
    builder_bytes(out, "\r\n", 2);
}

static void type_write(struct builder *out, const char *type) {
    builder_span_add(out, SPAN("Content-Type: "));
    builder_text(out, type == NULL ? HTTP_TYPE_JSON : type);
    builder_bytes(out, "\r\n", 2);
}

/* Up to the place where the digits of the length go. */
static void start_write(struct builder *out, unsigned status, const char *type) {
    const struct status_text *text = status_find(status);
    if (text != NULL && type == NULL && has_body(status)) {
        builder_bytes(out, text->json_start, text->json_start_bytes);
        return;
    }
    status_write(out, status, text);
    if (!has_body(status))
        return;
    type_write(out, type);
    builder_span_add(out, SPAN(LENGTH_NAME));
}

static bool ends_in_line_feed(struct span body) {
    return body.len == 0 || body.at[body.len - 1] == '\n';
}

/* The lines that any answer has behind the length of its body. */
static void common_write(struct builder *out, uint8_t answer_flags, struct span date) {
    builder_span_add(out, date);
    if (answer_flags & HTTP_ANSWER_CLOSE)
        builder_span_add(out, SPAN("Connection: close\r\n"));
    else if (answer_flags & HTTP_ANSWER_KEEP_10)
        builder_span_add(out, SPAN("Connection: keep-alive\r\n"));
}

void http_response_head(struct builder *out, uint8_t answer_flags, struct span date,
                        unsigned status, const char *type, struct span extra, uint64_t body_bytes) {
    size_t start = out->len;
    CHECK(has_body(status) || body_bytes == 0, "a body where there is none");
    start_write(out, status, type);
    if (has_body(status)) {
        builder_u64(out, body_bytes);
        builder_bytes(out, "\r\n", 2);
    }
    common_write(out, answer_flags, date);
    builder_span_add(out, extra);
    builder_bytes(out, "\r\n", 2);
    if (out->full)
        out->len = start;
}

void http_response_whole(struct builder *out, uint8_t answer_flags, struct span date,
                         unsigned status, const char *type, struct span extra, struct span body) {
    size_t start = out->len;
    struct span line_feed = ends_in_line_feed(body) ? SPAN("") : SPAN("\n");
    http_response_head(out, answer_flags, date, status, type, extra, body.len + line_feed.len);
    if (!(answer_flags & HTTP_ANSWER_BODYLESS)) {
        builder_span_add(out, body);
        builder_span_add(out, line_feed);
    }
    if (out->full)
        out->len = start;
}

void http_response_stream(struct builder *out, uint8_t answer_flags, bool chunks, struct span date,
                          unsigned status, const char *type, struct span extra) {
    size_t start = out->len;
    CHECK(has_body(status), "no body has no end to wait for");
    status_write(out, status, status_find(status));
    type_write(out, type);
    if (chunks)
        builder_span_add(out, SPAN("Transfer-Encoding: chunked\r\n"));
    common_write(out, chunks ? answer_flags : HTTP_ANSWER_CLOSE, date);
    builder_span_add(out, extra);
    builder_bytes(out, "\r\n", 2);
    if (out->full)
        out->len = start;
}

/* Open, but for the header lines that are still to come and the empty line. */
static struct http_response head_open(struct builder *out, uint8_t answer_flags, struct span date,
                                      unsigned status, const char *type) {
    struct http_response response = {.out = out, .start = out->len, .answer_flags = answer_flags};
    CHECK(has_body(status), "no body has no length to fill in");
    start_write(out, status, type);
    response.length_at = out->len;
    builder_bytes(out, "          \r\n", LENGTH_DIGITS + 2);
    common_write(out, answer_flags, date);
    return response;
}

static void head_end(struct http_response *response) {
    builder_bytes(response->out, "\r\n", 2);
    response->body_at = response->out->len;
}

struct http_response http_response_open(struct builder *out, uint8_t answer_flags, struct span date,
                                        unsigned status, const char *type, struct span extra) {
    struct http_response response = head_open(out, answer_flags, date, status, type);
    builder_span_add(out, extra);
    head_end(&response);
    return response;
}

/* The digits go where room was left for them, and the rest moves up to them: a few dozen bytes for
 * most answers, and no padding that a client might stumble over. */
void http_response_close(struct http_response *response) {
    struct builder *out = response->out;
    if (!ends_in_line_feed(span_skip(builder_span(out), response->body_at)))
        builder_byte(out, '\n');
    if (out->full) {
        out->len = response->start;
        return;
    }
    char digits[24];
    struct builder length = builder_over(digits, sizeof digits);
    builder_u64(&length, out->len - response->body_at);
    CHECK(length.len <= LENGTH_DIGITS, "a body of gigabytes");
    if (response->answer_flags & HTTP_ANSWER_BODYLESS)
        out->len = response->body_at;
    char *to = out->at + response->length_at;
    size_t rest = response->length_at + LENGTH_DIGITS;
    memcpy(to, digits, length.len);
    memmove(to + length.len, out->at + rest, out->len - rest);
    out->len -= LENGTH_DIGITS - length.len;
}

static bool is_clean(struct span text) {
    for (size_t i = 0; i < text.len; i++)
        if (!http_is_text((unsigned char)text.at[i]))
            return false;
    return true;
}

void http_field_write(struct builder *out, struct span name, struct span value) {
    CHECK(is_clean(name) && is_clean(value), "a header that would break the answer in two");
    builder_span_add(out, name);
    builder_bytes(out, ": ", 2);
    builder_span_add(out, value);
    builder_bytes(out, "\r\n", 2);
}

void http_error_write(struct builder *out, const struct http_error *error) {
    builder_span_add(out, SPAN("{\"error\":{\"code\":"));
    builder_json(out, span_text(error->code));
    builder_span_add(out, SPAN(",\"message\":"));
    builder_json(out, error->message);
    if (error->field.at != NULL) {
        builder_span_add(out, SPAN(",\"field\":"));
        builder_json(out, error->field);
    }
    if (error->has_offset) {
        builder_span_add(out, SPAN(",\"offset\":"));
        builder_u64(out, error->offset);
    }
    if (error->maybe)
        builder_span_add(out, SPAN(",\"maybe\":true"));
    builder_span_add(out, SPAN("}}"));
}

/* Both schemes are offered, in lines of their own: many programs send a key by Basic only after
 * they were asked for it so, and stop reading at a scheme that they do not know. */
void http_response_error(struct builder *out, uint8_t answer_flags, struct span date,
                         const struct http_error *error) {
    if (error->bare) {
        http_response_head(out, answer_flags, date, error->status, NULL, error->extra,
                           error->message.len);
        if (!(answer_flags & HTTP_ANSWER_BODYLESS))
            builder_span_add(out, error->message);
        return;
    }
    struct http_response response = head_open(out, answer_flags, date, error->status, NULL);
    CHECK(error->status != 405 || error->allow != NULL, "405 names what is allowed");
    if (error->status == 401)
        builder_span_add(out, SPAN("WWW-Authenticate: Basic realm=\"ringpost\"\r\n"
                                   "WWW-Authenticate: Bearer\r\n"));
    if (error->allow != NULL)
        http_field_write(out, SPAN("Allow"), span_text(error->allow));
    if (error->retry_after_s != 0 || error->status == 429 || error->status == 503) {
        builder_span_add(out, SPAN("Retry-After: "));
        builder_u64(out, error->retry_after_s == 0 ? 1 : error->retry_after_s);
        builder_bytes(out, "\r\n", 2);
    }
    builder_span_add(out, error->extra);
    head_end(&response);
    http_error_write(out, error);
    http_response_close(&response);
}
