/* http_response.h - writes HTTP/1.1 answers into a builder.
 *
 * Pure functions over bytes. An answer is written whole or not at all: if it does not fit, the
 * builder is as long as it was before and its `full` is set, so the caller makes room and writes
 * it again. An answer carries Content-Length, comes in chunks or has no body by its status, so
 * connections can stay; only a stream for HTTP/1.0 ends with its connection.
 *
 * Ways: http_response_whole when the body is at hand, open .. close when it is written straight
 * into the builder, http_response_stream when it comes in pieces. A body that does not end in a
 * line feed gets one, so that answers do not run into the prompt of a shell; Content-Length counts
 * it.
 *
 * Threads: any. Owns nothing. */
#ifndef RINGPOST_PROTO_HTTP_HTTP_RESPONSE_H
#define RINGPOST_PROTO_HTTP_HTTP_RESPONSE_H

#include "core/base/builder.h"
#include "proto/http/http.h"

/* What the head of any answer needs at the most, without `extra`; for sizing buffers. */
#define HTTP_RESPONSE_HEAD_BYTES_MAX 320

/* What an answer must know of its request, small enough to be kept until it is written. */
enum http_answer_flags {
    HTTP_ANSWER_BODYLESS = 1, /* the request was HEAD: the head as for GET, no body */
    HTTP_ANSWER_CLOSE = 2,    /* say `Connection: close` */
    HTTP_ANSWER_KEEP_10 = 4,  /* an HTTP/1.0 client that wants to stay: say `keep-alive` */
};
uint8_t http_answer_flags(const struct http_request *request);

#define HTTP_TYPE_JSON "application/json"
#define HTTP_TYPE_NDJSON "application/x-ndjson"
#define HTTP_TYPE_TEXT "text/plain; charset=utf-8"
#define HTTP_TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"

/* The interim answer to a request that `expects_continue`. */
#define HTTP_CONTINUE SPAN("HTTP/1.1 100 Continue\r\n\r\n")

/* "Accepted" for 202; "Unknown" for a status that ringpost never sends. */
const char *http_reason(unsigned status);

/* A whole answer. `date` is the line of http_date.h, or empty. `type` NULL is application/json.
 * `extra` is empty, or whole header lines, each with its CR LF (http_field_write makes them). With
 * status 204 or 304 the body must be empty. */
void http_response_whole(struct builder *out, uint8_t answer_flags, struct span date,
                         unsigned status, const char *type, struct span extra, struct span body);

/* Only its head, for a body of so many bytes that follows by another way (none if the request was
 * HEAD). The body ends in a line feed, or is empty. */
void http_response_head(struct builder *out, uint8_t answer_flags, struct span date,
                        unsigned status, const char *type, struct span extra, uint64_t body_bytes);

/* Only its head, for a body that ends where it ends: with `chunks` it is written as such, otherwise
 * it ends with the connection, which the head says. Not for status 204 or 304. */
void http_response_stream(struct builder *out, uint8_t answer_flags, bool chunks, struct span date,
                          unsigned status, const char *type, struct span extra);

/* A place in a builder between open and close; nothing else may be written there meanwhile. */
struct http_response {
    struct builder *out;
    size_t start;     /* of the answer */
    size_t length_at; /* of the digits of Content-Length */
    size_t body_at;
    uint8_t answer_flags;
};

/* Writes the head but for the length; the caller then writes the body into `out`, of any length,
 * and closes. Not for status 204 or 304. */
struct http_response http_response_open(struct builder *out, uint8_t answer_flags, struct span date,
                                        unsigned status, const char *type, struct span extra);
/* Fills in the length, and drops the body again if the request was HEAD. */
void http_response_close(struct http_response *response);

/* One header line. Name and value must hold no control bytes but tabs: values of a parsed request
 * and our own texts do not; anything else is our bug. */
void http_field_write(struct builder *out, struct span name, struct span value);

/* An error as the contract has it: {"error":{"code":"…","message":"…","field":"…","offset":N}}. */
struct http_error {
    unsigned status;
    const char *code;
    struct span message;
    struct span field; /* left out if `at` is NULL */
    bool has_offset;
    bool maybe;             /* it may have been done all the same */
    uint64_t offset;        /* left out without has_offset */
    const char *allow;      /* 405: the methods, "GET, POST" */
    unsigned retry_after_s; /* 429 and 503: at least 1 is sent */
    struct span extra;      /* more header lines, as above */
    bool bare;              /* `message` is the whole body, as it is */
};
/* The whole answer; 401 gets its WWW-Authenticate. */
void http_response_error(struct builder *out, uint8_t answer_flags, struct span date,
                         const struct http_error *error);
/* Only the JSON object; for an entry of a batch. */
void http_error_write(struct builder *out, const struct http_error *error);

#endif
