#include "proto/http/http.h"

#include "core/base/check.h"

#include <llhttp.h>

#if LLHTTP_VERSION_MAJOR < 9 && !LLHTTP_STRICT_MODE
#error "llhttp before 9 must be built, and this file too, with LLHTTP_STRICT_MODE=1"
#endif

#define METHOD_BYTES_MAX 32

enum state {
    IN_HEAD,
    IN_BODY, /* the head was good, and reported if that was wanted */
    DEAD,    /* refused */
    OVER,    /* the last request is through */
};

void http_parser_init(struct http_parser *parser, size_t body_bytes_max) {
    *parser = (struct http_parser){.body_bytes_max = body_bytes_max, .state = IN_HEAD};
}

/* For checks: notes the refusal and returns false. */
static bool refuse(struct http_parser *parser, unsigned status, const char *message,
                   size_t offset) {
    parser->state = DEAD;
    return http_refuse(&parser->refusal, status, message, offset);
}

/* ---- The door to llhttp: a whole head in, spans out. Its callbacks only record. ---- */

struct head {
    struct http_fields *fields;
    struct span target;
    bool in_value;
    bool too_many;
    bool complete;
    unsigned status; /* of a reply */
};

/* llhttp hands a text over in one piece or several; they adjoin. */
static void span_extend(struct span *span, const char *at, size_t len) {
    if (span->at == NULL)
        *span = span_of(at, len);
    else
        span->len = (size_t)(at - span->at) + len;
}

static int head_on_url(llhttp_t *llhttp, const char *at, size_t len) {
    struct head *head = llhttp->data;
    span_extend(&head->target, at, len);
    return 0;
}

static int head_on_field(llhttp_t *llhttp, const char *at, size_t len) {
    struct head *head = llhttp->data;
    struct http_fields *fields = head->fields;
    if (head->in_value || fields->count == 0) {
        if (fields->count == HTTP_FIELDS_MAX) {
            head->too_many = true;
            return HPE_USER;
        }
        fields->list[fields->count++] = (struct http_field){{NULL, 0}, {NULL, 0}};
        head->in_value = false;
    }
    span_extend(&fields->list[fields->count - 1].name, at, len);
    return 0;
}

static int head_on_value(llhttp_t *llhttp, const char *at, size_t len) {
    struct head *head = llhttp->data;
    head->in_value = true;
    span_extend(&head->fields->list[head->fields->count - 1].value, at, len);
    return 0;
}

static int head_on_complete(llhttp_t *llhttp) {
    struct head *head = llhttp->data;
    head->complete = true;
    head->status = llhttp->status_code;
    return HPE_PAUSED;
}

static const llhttp_settings_t head_settings = {
    .on_url = head_on_url,
    .on_header_field = head_on_field,
    .on_header_value = head_on_value,
    .on_headers_complete = head_on_complete,
};

unsigned http_fields_count(const struct http_fields *fields, struct span name) {
    unsigned count = 0;
    for (unsigned i = 0; i < fields->count; i++)
        count += span_equal_nocase(fields->list[i].name, name);
    return count;
}

/* Which of its errors llhttp gives for these differs from version to version. */
static const char *framing_message(const struct http_fields *fields) {
    unsigned lengths = http_fields_count(fields, SPAN("content-length"));
    unsigned codings = http_fields_count(fields, SPAN("transfer-encoding"));
    if (lengths != 0 && codings != 0)
        return "both Content-Length and Transfer-Encoding";
    if (lengths > 1)
        return "Content-Length came twice";
    return lengths == 1 ? "Content-Length is not a number"
                        : "Transfer-Encoding is not exactly chunked";
}

static const char *llhttp_message(llhttp_errno_t error, const struct http_fields *fields) {
    switch (error) {
    case HPE_INVALID_URL:
        return "the request target is malformed";
    case HPE_INVALID_HEADER_TOKEN:
        return "a header is malformed";
    case HPE_INVALID_CONTENT_LENGTH:
    case HPE_UNEXPECTED_CONTENT_LENGTH:
    case HPE_INVALID_TRANSFER_ENCODING:
        return framing_message(fields);
    default:
        return "the head is malformed";
    }
}

/* Runs llhttp over the head from `skip` on, after `instead` in place of what is skipped. A refusal
 * is noted but not acted on: the caller has more precise words for the first line. */
static void head_run(struct http_parser *parser, struct head *head, llhttp_type_t type,
                     const char *at, size_t skip, struct span instead) {
    llhttp_t llhttp;
    llhttp_init(&llhttp, type, &head_settings);
    llhttp.data = head;
    if (instead.len != 0)
        llhttp_execute(&llhttp, instead.at, instead.len);
    llhttp_errno_t error = llhttp_execute(&llhttp, at + skip, parser->scan.bytes - skip);
    if (head->complete)
        return;
    const char *where = llhttp_get_error_pos(&llhttp);
    size_t offset = where >= at && where <= at + parser->scan.bytes ? (size_t)(where - at) : skip;
    if (head->too_many)
        refuse(parser, 431, "too many headers", offset);
    else
        refuse(parser, 400, llhttp_message(error, head->fields), offset);
}

/* ---- What the fields say ---- */

struct framing {
    struct span content_length;
    struct span transfer_encoding;
};

static struct span trimmed(struct span text) {
    while (text.len != 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static struct span *slot_if(struct span name, struct span wanted, struct span *slot) {
    return span_equal_nocase(name, wanted) ? slot : NULL;
}

static struct span *framing_slot(struct framing *framing, struct span name) {
    if (name.len == 14)
        return slot_if(name, SPAN("content-length"), &framing->content_length);
    if (name.len == 17)
        return slot_if(name, SPAN("transfer-encoding"), &framing->transfer_encoding);
    return NULL;
}

/* Headers that may come only once. */
static struct span *single_slot(struct http_request *request, struct span name) {
    switch (name.len) {
    case 4:
        return slot_if(name, SPAN("host"), &request->host);
    case 6:
        return (name.at[0] | 0x20) == 'o' ? slot_if(name, SPAN("origin"), &request->origin)
                                          : slot_if(name, SPAN("expect"), &request->expect);
    case 12:
        return slot_if(name, SPAN("content-type"), &request->content_type);
    case 13:
        return slot_if(name, SPAN("authorization"), &request->authorization);
    case 29:
        return slot_if(name, SPAN("access-control-request-method"), &request->preflight_method);
    default:
        return NULL;
    }
}

/* Headers that are lists: the first one counts here, all are in `fields`. */
static struct span *list_slot(struct http_request *request, struct span name) {
    if (name.len == 6)
        return slot_if(name, SPAN("accept"), &request->accept);
    if (name.len == 30)
        return slot_if(name, SPAN("access-control-request-headers"), &request->preflight_headers);
    return NULL;
}

/* Trims the values, and puts those that have a place of their own into it; a reply has none but
 * those for framing. */
static bool fields_sort(struct http_parser *parser, const char *at, struct http_fields *fields,
                        struct framing *framing, struct http_request *request) {
    for (unsigned i = 0; i < fields->count; i++) {
        struct http_field *field = &fields->list[i];
        size_t offset = (size_t)(field->name.at - at);
        if (field->name.len == 0)
            return refuse(parser, 400, "a header is malformed", offset);
        if (field->value.at == NULL)
            field->value = span_of(field->name.at + field->name.len, 0);
        field->value = trimmed(field->value);
        struct span *slot = framing_slot(framing, field->name);
        if (slot == NULL && request != NULL)
            slot = single_slot(request, field->name);
        if (slot != NULL && slot->at != NULL)
            return refuse(parser, 400, "a header that may come once came twice", offset);
        if (slot == NULL && request != NULL)
            slot = list_slot(request, field->name);
        if (slot != NULL && slot->at == NULL)
            *slot = field->value;
    }
    return true;
}

/* Decimal digits and nothing else, at most 19 of them: no sign, no blank, no overflow. */
static bool length_read(struct span text, uint64_t *value) {
    if (text.len == 0 || text.len > 19)
        return false;
    *value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        *value = *value * 10 + (uint64_t)(text.at[i] - '0');
    }
    return true;
}

/* How the body is delimited, the same for requests and replies. That not both are there was
 * llhttp's to check; it is checked again, since everything hangs on it. */
static bool framing_read(struct http_parser *parser, const char *at, const struct framing *framing,
                         unsigned version_minor) {
    struct span coding = framing->transfer_encoding, length = framing->content_length;
    if (coding.at != NULL) {
        size_t offset = (size_t)(coding.at - at);
        if (length.at != NULL)
            return refuse(parser, 400, "both Content-Length and Transfer-Encoding", offset);
        if (version_minor == 0)
            return refuse(parser, 400, "Transfer-Encoding in HTTP/1.0", offset);
        if (!span_equal_nocase(coding, SPAN("chunked")))
            return refuse(parser, 400, "Transfer-Encoding is not exactly chunked", offset);
        parser->chunked = true;
        http_chunks_init(&parser->chunks, parser->body_bytes_max);
        return true;
    }
    uint64_t value = 0;
    if (length.at != NULL && !length_read(length, &value))
        return refuse(parser, 400, "Content-Length is not a number", (size_t)(length.at - at));
    if (value > parser->body_bytes_max)
        return refuse(parser, 413, "the body is too large", (size_t)(length.at - at));
    parser->body_bytes = (size_t)value;
    return true;
}

struct span http_fields_get(const struct http_fields *fields, struct span name) {
    for (unsigned i = 0; i < fields->count; i++)
        if (span_equal_nocase(fields->list[i].name, name))
            return fields->list[i].value;
    return span_of(NULL, 0);
}

static bool list_has(struct span list, struct span word) {
    while (list.len != 0) {
        const char *comma = memchr(list.at, ',', list.len);
        size_t len = comma == NULL ? list.len : (size_t)(comma - list.at);
        struct span item = span_of(list.at, len);
        while (item.len != 0 && (item.at[0] == ' ' || item.at[0] == '\t'))
            item = span_skip(item, 1);
        if (span_equal_nocase(trimmed(item), word))
            return true;
        list = span_skip(list, comma == NULL ? len : len + 1);
    }
    return false;
}

bool http_fields_say(const struct http_fields *fields, struct span name, struct span word) {
    for (unsigned i = 0; i < fields->count; i++) {
        const struct http_field *field = &fields->list[i];
        if (field->name.len == name.len && span_equal_nocase(field->name, name) &&
            list_has(field->value, word))
            return true;
    }
    return false;
}

/* llhttp does not see it behind a tab. */
static bool connection_says(const struct http_fields *fields, struct span word) {
    return http_fields_say(fields, SPAN("connection"), word);
}

/* May another message follow? */
static bool keeps_alive(const struct http_fields *fields, unsigned version_minor) {
    return !connection_says(fields, SPAN("close")) &&
           (version_minor == 1 || connection_says(fields, SPAN("keep-alive")));
}

/* ---- The request line ---- */

static const char *const method_names[] = {
    [HTTP_METHOD_OTHER] = "OTHER",     [HTTP_METHOD_GET] = "GET", [HTTP_METHOD_HEAD] = "HEAD",
    [HTTP_METHOD_POST] = "POST",       [HTTP_METHOD_PUT] = "PUT", [HTTP_METHOD_DELETE] = "DELETE",
    [HTTP_METHOD_OPTIONS] = "OPTIONS",
};

const char *http_method_name(enum http_method method) {
    return method_names[method];
}

static enum http_method method_of(struct span text) {
    for (unsigned i = HTTP_METHOD_GET; i <= HTTP_METHOD_OPTIONS; i++)
        if (span_equal(text, span_text(method_names[i])))
            return (enum http_method)i;
    return HTTP_METHOD_OTHER;
}

/* The method is read here, not by llhttp, which refuses the ones that it has not heard of. */
static bool method_read(struct http_parser *parser, const char *at, struct http_request *request) {
    size_t start = http_head_start(at), room = parser->scan.bytes - start, count = 0;
    if (room > METHOD_BYTES_MAX)
        room = METHOD_BYTES_MAX;
    while (count < room && http_is_token((unsigned char)at[start + count]))
        count++;
    if (count == 0 || at[start + count] != ' ')
        return refuse(parser, 400, "the request does not begin with a method", start + count);
    request->method_text = span_of(at + start, count);
    request->method = method_of(request->method_text);
    return true;
}

/* What llhttp lets through around the target: more blanks, no version, versions not ours. */
static bool version_read(struct http_parser *parser, const char *at, struct http_request *request) {
    struct span target = request->target, method = request->method_text;
    size_t offset = (size_t)(target.at + target.len - at);
    const char *rest = at + offset;
    if (target.at != method.at + method.len + 1)
        return refuse(parser, 400, "more than one blank behind the method",
                      (size_t)(target.at - at) - 1);
    if (parser->scan.bytes - offset < 11 || memcmp(rest, " HTTP/", 6) != 0 || rest[7] != '.' ||
        memcmp(rest + 9, "\r\n", 2) != 0)
        return refuse(parser, 400, "the request line does not end in one blank and a version",
                      offset);
    if (rest[6] != '1' || (rest[8] != '0' && rest[8] != '1'))
        return refuse(parser, 505, "the version is neither HTTP/1.0 nor HTTP/1.1", offset + 1);
    request->version_minor = (uint8_t)(rest[8] - '0');
    return true;
}

static bool target_read(struct http_parser *parser, const char *at, struct http_request *request) {
    struct http_target target;
    size_t offset = (size_t)(request->target.at - at);
    _Static_assert(HTTP_TARGET_BYTES_MAX >= HTTP_HEAD_BYTES_MAX, "a target fits into its room");
    const char *wrong = http_target_split(request->target, &target);
    if (wrong != NULL)
        return refuse(parser, 400, wrong, offset);
    if (span_equal(target.path, SPAN("*")) && request->method != HTTP_METHOD_OPTIONS)
        return refuse(parser, 400, "only OPTIONS has the target *", offset);
    request->path = target.path;
    request->query = target.query;
    if (request->host.at == NULL && request->version_minor == 1)
        return refuse(parser, 400, "no Host", offset);
    if (request->host.at == NULL)
        request->host = target.authority;
    if (request->host.at != NULL && !http_host_valid(request->host))
        return refuse(parser, 400, "Host is not a host", (size_t)(request->host.at - at));
    if (target.authority.at != NULL && !span_equal_nocase(target.authority, request->host))
        return refuse(parser, 400, "the target names another host than Host", offset);
    return true;
}

/* ---- A request ---- */

/* Everything but the list of fields, which is large and has its count. */
static void request_clear(struct http_request *request) {
    memset(request, 0, offsetof(struct http_request, fields));
    request->fields.count = 0;
}

static bool request_head_read(struct http_parser *parser, const char *at,
                              struct http_request *request) {
    struct head head = {.fields = &request->fields};
    struct framing framing = {0};
    size_t start = http_head_start(at);
    request_clear(request);
    if (!method_read(parser, at, request))
        return false;
    if (request->method == HTTP_METHOD_OTHER)
        head_run(parser, &head, HTTP_REQUEST, at, start + request->method_text.len, SPAN("GET"));
    else
        head_run(parser, &head, HTTP_REQUEST, at, start, span_of(NULL, 0));
    request->target = head.target;
    if (head.target.at != NULL && !version_read(parser, at, request))
        return false;
    if (parser->state == DEAD || !fields_sort(parser, at, &request->fields, &framing, request) ||
        !target_read(parser, at, request))
        return false;
    parser->target_known = true;
    request->keep_alive = keeps_alive(&request->fields, request->version_minor);
    request->expects_continue = request->expect.at != NULL && request->version_minor == 1;
    if (request->expects_continue && !span_equal_nocase(request->expect, SPAN("100-continue")))
        return refuse(parser, 417, "Expect is not 100-continue", (size_t)(request->expect.at - at));
    return framing_read(parser, at, &framing, request->version_minor);
}

/* WHOLE with the `*size` bytes of the buffer that the message takes, MORE, or REFUSED. */
static enum http_event body_next(struct http_parser *parser, char *at, size_t *len, size_t *size) {
    size_t start = parser->scan.bytes + parser->body_bytes;
    if (!parser->chunked) {
        *size = start;
        return *len < start ? HTTP_EVENT_MORE : HTTP_EVENT_WHOLE;
    }
    size_t body_bytes, used;
    CHECK(*len >= start, "the caller gave back less than it was left with");
    enum http_chunk_status status = http_chunks_decode(&parser->chunks, at + start, *len - start,
                                                       &body_bytes, &used, &parser->refusal);
    if (status == HTTP_CHUNK_REFUSED) {
        parser->refusal.offset += start + parser->dropped_bytes;
        parser->state = DEAD;
        return HTTP_EVENT_REFUSED;
    }
    parser->body_bytes += body_bytes;
    parser->dropped_bytes += used - body_bytes;
    *size = start + used;
    if (status == HTTP_CHUNK_DONE)
        return HTTP_EVENT_WHOLE;
    *len = start + body_bytes;
    return HTTP_EVENT_MORE;
}

/* A tab at the end of a line is as good as a space there, but llhttp takes it for a part of numbers
 * and words. */
static void tabs_blank(char *head, size_t len) {
    for (char *tab = head; (tab = memchr(tab, '\t', (size_t)(head + len - tab))) != NULL; tab++) {
        char *end = tab;
        while (*end == '\t' || *end == ' ')
            end++; /* the head ends in a line feed */
        if (*end == '\r')
            memset(tab, ' ', (size_t)(end - tab));
    }
}

/* The events that need no message: HEAD means that there is one to look at. */
static enum http_event head_next(struct http_parser *parser, char *at, size_t len) {
    if (parser->state == DEAD)
        return HTTP_EVENT_REFUSED;
    if (parser->state == OVER)
        return HTTP_EVENT_ENDED;
    if (parser->state == IN_BODY)
        return HTTP_EVENT_HEAD;
    switch (http_head_scan(&parser->scan, at, len, &parser->refusal)) {
    case HTTP_SCAN_MORE:
        return HTTP_EVENT_MORE;
    case HTTP_SCAN_DONE:
        tabs_blank(at, parser->scan.bytes);
        return HTTP_EVENT_HEAD;
    case HTTP_SCAN_REFUSED:
        break;
    }
    parser->state = DEAD;
    return HTTP_EVENT_REFUSED;
}

/* The message is through; the parser is ready for the next, or for none. */
static void message_end(struct http_parser *parser, bool keep_alive) {
    http_parser_init(parser, parser->body_bytes_max);
    parser->state = keep_alive ? IN_HEAD : OVER;
}

void http_parser_narrow(struct http_parser *parser, size_t body_bytes_max) {
    if (!parser->chunked)
        return;
    CHECK(parser->body_bytes <= body_bytes_max, "a body that is too long already");
    size_t room = body_bytes_max - parser->body_bytes;
    if (parser->chunks.room > room)
        parser->chunks.room = room;
}

enum http_event http_request_next(struct http_parser *parser, char *at, size_t *len,
                                  struct http_request *request) {
    enum http_event event = head_next(parser, at, *len);
    if (event != HTTP_EVENT_HEAD)
        return event;
    bool head_is_new = parser->state == IN_HEAD;
    if (head_is_new && !request_head_read(parser, at, request))
        return HTTP_EVENT_REFUSED;
    parser->state = IN_BODY;
    size_t size;
    event = body_next(parser, at, len, &size);
    if (event == HTTP_EVENT_REFUSED || (event == HTTP_EVENT_MORE && !head_is_new))
        return event;
    if (!head_is_new) {
        struct http_parser again = *parser;
        bool good = request_head_read(&again, at, request);
        CHECK(good, "a head that was good before");
    }
    request->chunked = parser->chunked;
    request->has_body = parser->chunked || parser->body_bytes != 0;
    request->body_bytes = parser->body_bytes;
    if (event == HTTP_EVENT_MORE) {
        request->size = parser->chunked ? 0 : size;
        return HTTP_EVENT_HEAD;
    }
    request->body = span_of(at + parser->scan.bytes, parser->body_bytes);
    request->size = size;
    message_end(parser, request->keep_alive);
    return HTTP_EVENT_WHOLE;
}

/* ---- A reply ---- */

static bool reply_head_read(struct http_parser *parser, const char *at, struct http_reply *reply) {
    struct head head = {.fields = &reply->fields};
    struct framing framing = {0};
    memset(reply, 0, offsetof(struct http_reply, fields));
    reply->fields.count = 0;
    head_run(parser, &head, HTTP_RESPONSE, at, 0, span_of(NULL, 0));
    if (parser->state == DEAD || !fields_sort(parser, at, &reply->fields, &framing, NULL))
        return false;
    if (memcmp(at, "HTTP/1.", 7) != 0 || head.status < 100 || head.status > 599)
        return refuse(parser, 400, "the status line is malformed", 0);
    unsigned version_minor = at[7] == '1';
    reply->status = head.status;
    reply->keep_alive = head.status < 200 || keeps_alive(&reply->fields, version_minor);
    if (parser->to_head || head.status < 200 || head.status == 204 || head.status == 304)
        return true;
    if (framing.content_length.at == NULL && framing.transfer_encoding.at == NULL)
        return refuse(parser, 400, "a reply whose body has no length", 0);
    return framing_read(parser, at, &framing, version_minor);
}

enum http_event http_reply_next(struct http_parser *parser, char *at, size_t *len, bool to_head,
                                struct http_reply *reply) {
    enum http_event event = head_next(parser, at, *len);
    if (event != HTTP_EVENT_HEAD)
        return event;
    bool head_is_new = parser->state == IN_HEAD;
    parser->to_head = to_head;
    if (head_is_new && !reply_head_read(parser, at, reply))
        return HTTP_EVENT_REFUSED;
    parser->state = IN_BODY;
    size_t size;
    event = body_next(parser, at, len, &size);
    if (event != HTTP_EVENT_WHOLE)
        return event;
    if (!head_is_new) {
        struct http_parser again = *parser;
        bool good = reply_head_read(&again, at, reply);
        CHECK(good, "a head that was good before");
    }
    reply->body = span_of(at + parser->scan.bytes, parser->body_bytes);
    reply->size = size;
    message_end(parser, reply->keep_alive);
    return HTTP_EVENT_WHOLE;
}
