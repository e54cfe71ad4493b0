/* http.h - the HTTP/1.1 codec: bytes of one connection in, whole requests (or replies) out.
 *
 * A pure function over bytes: no socket, no clock, no allocation; proto/http/http.c is the only
 * file that knows llhttp. The caller owns the buffer and always presents, in one contiguous piece,
 * all from the first byte of the current request to the last byte received. The buffer may grow and
 * move between calls; the parser keeps numbers, never pointers, and resumes where it stopped: a
 * byte is scanned once. A head is parsed when its last byte is there; a request whose body comes in
 * later calls has its head parsed a second time when the body is complete, so that nothing has to
 * be kept for it in between (at most HTTP_HEAD_BYTES_MAX once more).
 *
 *     MORE ---> (HEAD --->) WHOLE ---> next request, or ENDED after `Connection: close`
 *       \----------\----------> REFUSED, and nothing else ever after
 *
 * Nothing is copied: every span of a request points into the caller's buffer and dies with the
 * next call, or when the caller touches the buffer. A chunked body is put together in place, which
 * is why the buffer must be writable: chunk framing is dropped as it is read, what follows moves
 * down, and the length handed back is smaller. So the buffer never needs more than a head, a body
 * and what one receive adds, whatever the chunks look like.
 *
 * What could be read in two ways is refused, since a proxy in front may read it the other way: both
 * or repeated framing headers, any transfer coding but `chunked`, sloppy numbers, bare CR or LF,
 * folded headers, blanks before a colon, control bytes, a missing or second Host, a target that
 * contradicts Host. A tab at the end of a line is made a space. One empty line before a request is
 * skipped; a second one is not.
 *
 * Threads: any, one at a time per parser. Limits: below; the body's is the caller's. */
#ifndef RINGPOST_PROTO_HTTP_HTTP_H
#define RINGPOST_PROTO_HTTP_HTTP_H

#include "core/base/span.h"
#include "proto/http/http_chunk.h"
#include "proto/http/http_refusal.h"
#include "proto/http/http_target.h"
#include "proto/http/http_text.h"

#define HTTP_FIELDS_MAX 100

enum http_method {
    HTTP_METHOD_OTHER, /* a valid token that is none of these; see method_text */
    HTTP_METHOD_GET,
    HTTP_METHOD_HEAD,
    HTTP_METHOD_POST,
    HTTP_METHOD_PUT,
    HTTP_METHOD_DELETE,
    HTTP_METHOD_OPTIONS,
};

enum http_event {
    HTTP_EVENT_MORE,    /* receive more, then present it all again */
    HTTP_EVENT_HEAD,    /* the head is there, the body is not; comes at most once per request */
    HTTP_EVENT_WHOLE,   /* a whole request; the next one begins `size` bytes further on */
    HTTP_EVENT_REFUSED, /* broken: answer parser->refusal, then close */
    HTTP_EVENT_ENDED,   /* the last request said that it is the last; throw the bytes away */
};

struct http_field {
    struct span name;  /* as it was written */
    struct span value; /* without blanks around it; may be empty */
};

struct http_fields {
    unsigned count;
    struct http_field list[HTTP_FIELDS_MAX];
};

/* The value of the first field of that name (any letter case); `at` is NULL if there is none. */
struct span http_fields_get(const struct http_fields *fields, struct span name);

/* How many fields have that name. */
unsigned http_fields_count(const struct http_fields *fields, struct span name);
/* Is the word in the comma-separated list of any field of that name? Letter case is the same. */
bool http_fields_say(const struct http_fields *fields, struct span name, struct span word);

/* What one connection needs to remember; owns nothing. */
struct http_parser {
    struct http_refusal refusal;
    struct http_scan scan; /* of the head */
    struct http_chunks chunks;
    size_t body_bytes_max;
    size_t body_bytes;    /* of the current body: announced, or put together so far if chunked */
    size_t dropped_bytes; /* chunk framing that is gone from the buffer */
    uint8_t state;
    bool chunked;
    bool to_head;      /* the reply answers HEAD */
    bool target_known; /* REFUSED: `request` has the method and the path all the same */
};
_Static_assert(sizeof(struct http_parser) <= 96, "every connection has one");

/* About 3 KiB, so keep one per worker, not one per connection. Spans whose header is absent have
 * `at` NULL. */
struct http_request {
    enum http_method method;
    struct span method_text;
    struct span target;    /* as it was written */
    struct span path;      /* not decoded; begins with '/', or is "*" */
    struct span query;     /* behind the '?'; `at` NULL without one */
    struct span body;      /* WHOLE only */
    size_t size;           /* WHOLE: bytes taken. HEAD: bytes it will take, 0 while unknown */
    uint8_t version_minor; /* 0 or 1 */
    bool keep_alive;       /* another request may follow */
    bool expects_continue; /* at HEAD: the peer waits for our 100 or a final status */
    bool chunked;
    bool has_body;     /* one is announced, of any length but 0 */
    size_t body_bytes; /* of it: announced, or put together so far if chunked */
    struct span host;  /* of an HTTP/1.0 absolute target without Host: its authority */
    struct span origin;
    struct span content_type;
    struct span authorization;
    struct span accept;
    struct span expect;
    struct span preflight_method;  /* Access-Control-Request-Method */
    struct span preflight_headers; /* Access-Control-Request-Headers */
    struct http_fields fields;
};

/* An answer to one of our own requests. */
struct http_reply {
    unsigned status; /* 100..599; replies below 200 come by themselves, without a body */
    bool keep_alive;
    struct span body;
    size_t size; /* bytes taken */
    struct http_fields fields;
};

/* At the start of a connection. A request whose body is larger than that many bytes is refused
 * with 413: announced, before any of it is read; chunked, when the sum passes it. */
void http_parser_init(struct http_parser *parser, size_t body_bytes_max);

/* After HEAD: the body of this request may have at most so many bytes, if that is less. What is
 * announced is the caller's to compare; a chunked one that passes it is refused with 413. */
void http_parser_narrow(struct http_parser *parser, size_t body_bytes_max);

/* Looks at `at[0..*len)`: what the last call left (the same bytes, though perhaps elsewhere) plus
 * what was received since. `*len` may come back smaller (only with a chunked body, not with WHOLE).
 * Fills `request` for HEAD and WHOLE. After WHOLE the next call begins at `at + request->size`.
 * Whoever refuses a request at HEAD, instead of taking its body, must close the connection. */
enum http_event http_request_next(struct http_parser *parser, char *at, size_t *len,
                                  struct http_request *request);

/* The same for the client's side of a connection: MORE, WHOLE, REFUSED or ENDED. `to_head` says
 * that the current reply answers a HEAD request. Takes replies with Content-Length or chunked, and
 * those that have no body; one that ends with the connection is refused. */
enum http_event http_reply_next(struct http_parser *parser, char *at, size_t *len, bool to_head,
                                struct http_reply *reply);

/* "GET" and so on; "OTHER". */
const char *http_method_name(enum http_method method);

#endif
