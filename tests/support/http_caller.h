/* http_caller.h - plays a connection into the HTTP codec, cut into any pieces, and writes down what
 * comes out, so that the outcomes of two ways to cut it can be compared.
 *
 * The buffer is allocated to the byte and moved before each call, so that AddressSanitizer sees a
 * read too far and any pointer that was kept. Broken promises of the codec fail a CHECK. */
#ifndef RINGPOST_TESTS_SUPPORT_HTTP_CALLER_H
#define RINGPOST_TESTS_SUPPORT_HTTP_CALLER_H

#include "core/base/check.h"
#include "proto/http/http.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum side { REQUESTS, REPLIES, REPLIES_TO_HEAD };

struct transcript {
    char text[65536]; /* what does not fit is cut, the same in every run */
    size_t len;
    unsigned wholes;
    unsigned heads;
    size_t buffer_max; /* the longest that the buffer was before a receive */
};

struct caller {
    enum side side;
    struct http_parser parser;
    char *buffer;
    size_t len;
    bool over;
    struct transcript *t;
};

__attribute__((format(printf, 2, 3))) static void note(struct transcript *t, const char *format,
                                                       ...) {
    va_list arguments;
    size_t room = sizeof t->text - t->len;
    va_start(arguments, format);
    int count = vsnprintf(t->text + t->len, room, format, arguments);
    va_end(arguments);
    t->len += (size_t)count < room ? (size_t)count : room - 1;
}

static void note_span(struct transcript *t, const char *name, struct span value) {
    if (value.at != NULL)
        note(t, " %s=[%.*s]", name, SPAN_ARG(value));
}

static void note_fields(struct transcript *t, const struct http_fields *fields) {
    for (unsigned i = 0; i < fields->count; i++)
        note(t, " {%.*s=%.*s}", SPAN_ARG(fields->list[i].name), SPAN_ARG(fields->list[i].value));
}

static void note_request(struct transcript *t, const struct http_request *r) {
    note(t, "%s [%.*s] [%.*s] path=[%.*s]", http_method_name(r->method), SPAN_ARG(r->method_text),
         SPAN_ARG(r->target), SPAN_ARG(r->path));
    note_span(t, "query", r->query);
    note(t, " 1.%u%s%s%s", r->version_minor, r->keep_alive ? " keep" : "",
         r->expects_continue ? " expects" : "", r->chunked ? " chunked" : "");
    note_span(t, "host", r->host);
    note_span(t, "origin", r->origin);
    note_span(t, "type", r->content_type);
    note_span(t, "authorization", r->authorization);
    note_span(t, "accept", r->accept);
    note_span(t, "method", r->preflight_method);
    note_span(t, "headers", r->preflight_headers);
    note_fields(t, &r->fields);
    note(t, " body=[%.*s]\n", SPAN_ARG(r->body));
}

static void note_reply(struct transcript *t, const struct http_reply *r) {
    note(t, "%u%s", r->status, r->keep_alive ? " keep" : "");
    note_fields(t, &r->fields);
    note(t, " body=[%.*s]\n", SPAN_ARG(r->body));
}

static void note_refusal(struct transcript *t, const struct http_refusal *r) {
    note(t, "refused %u %s: %s at %zu\n", r->status, r->code, r->message, r->offset);
}

static enum http_event caller_next(struct caller *caller, struct http_request *request,
                                   struct http_reply *reply) {
    size_t len = caller->len;
    enum http_event event;
    if (caller->side == REQUESTS)
        event = http_request_next(&caller->parser, caller->buffer, &caller->len, request);
    else
        event = http_reply_next(&caller->parser, caller->buffer, &caller->len,
                                caller->side == REPLIES_TO_HEAD, reply);
    CHECK(caller->len == len || (caller->len < len && event <= HTTP_EVENT_HEAD));
    return event;
}

/* Drops `count` bytes from the front and adds some at the end, somewhere else in memory. */
static void buffer_move(struct caller *caller, size_t count, const char *more, size_t more_bytes) {
    CHECK(count <= caller->len);
    size_t kept = caller->len - count;
    char *moved = malloc(kept + more_bytes == 0 ? 1 : kept + more_bytes);
    CHECK(moved != NULL);
    if (kept != 0)
        memcpy(moved, caller->buffer + count, kept);
    if (more_bytes != 0)
        memcpy(moved + kept, more, more_bytes);
    free(caller->buffer);
    caller->buffer = moved;
    caller->len = kept + more_bytes;
}

/* Presents what is there; returns whether another message may be in what is left. */
static bool caller_present(struct caller *caller) {
    static struct http_request request;
    static struct http_reply reply;
    struct transcript *t = caller->t;
    enum http_event event = caller_next(caller, &request, &reply);
    switch (event) {
    case HTTP_EVENT_MORE:
        return false;
    case HTTP_EVENT_HEAD:
        CHECK(caller->side == REQUESTS && request.body.at == NULL);
        t->heads++;
        return false;
    case HTTP_EVENT_WHOLE:
        t->wholes++;
        if (caller->side == REQUESTS)
            note_request(t, &request);
        else
            note_reply(t, &reply);
        buffer_move(caller, caller->side == REQUESTS ? request.size : reply.size, NULL, 0);
        return true;
    case HTTP_EVENT_REFUSED:
        note_refusal(t, &caller->parser.refusal);
        break;
    case HTTP_EVENT_ENDED:
        note(t, "ended\n");
        break;
    }
    caller->over = true;
    CHECK(caller_next(caller, &request, &reply) == event, "the end is not the end");
    return false;
}

static void caller_receive(struct caller *caller, const char *at, size_t len) {
    if (caller->over)
        return;
    if (caller->len > caller->t->buffer_max)
        caller->t->buffer_max = caller->len;
    buffer_move(caller, 0, at, len);
    while (caller->len != 0 && caller_present(caller))
        ;
}

/* A connection that brings `first` bytes, then pieces of `step` bytes; 0 stands for all. */
static void transcribe(struct transcript *t, enum side side, struct span input, size_t body_max,
                       size_t first, size_t step) {
    struct caller caller = {.side = side, .t = t};
    t->len = t->wholes = t->heads = 0;
    t->text[0] = '\0';
    t->buffer_max = 0;
    http_parser_init(&caller.parser, body_max);
    for (size_t done = 0; done < input.len;) {
        size_t piece = done == 0 && first != 0 ? first : step;
        if (piece == 0 || piece > input.len - done)
            piece = input.len - done;
        caller_receive(&caller, input.at + done, piece);
        done += piece;
    }
    if (!caller.over)
        note(t, "open, %s\n", caller.len == 0 ? "nothing left" : "a part left");
    free(caller.buffer);
}

#endif
