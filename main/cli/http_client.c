/* http_client.c - see http_client.h. */
#include "main/cli/http_client.h"

#include "core/base/builder.h"
#include "core/base/clock.h"
#include "main/address.h"
#include "proto/http/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEAD_MAX (HTTP_CLIENT_TARGET_MAX + 2048)
#define REPLY_FIRST_BYTES 16384

static bool fail(struct http_outcome *outcome, enum dial_end end, const char *why) {
    outcome->end = end;
    if (why != NULL)
        snprintf(outcome->why, sizeof(outcome->why), "%s", why);
    return false;
}

/* resolve.h takes the address that means all for loopback, so the server is told that name: it
 * refuses a Host that is not this machine's (docs/api.md). */
static void host_write(struct builder *b, const char *server) {
    struct span host;
    uint16_t port;
    char why[ADDRESS_WHY_MAX];
    bool split = address_split(span_text(server), &host, &port, why);
    bool all = split &&
               (host.len == 0 || span_equal(host, SPAN("0.0.0.0")) || span_equal(host, SPAN("::")));
    if (all)
        builder_format(b, "localhost:%u", port);
    else
        builder_format(b, "%.260s", server);
}

static bool send_request(const struct http_call *call, int fd, uint64_t deadline_ns,
                         struct http_outcome *outcome) {
    char head[HEAD_MAX];
    struct builder b = builder_over(head, sizeof(head));
    builder_format(&b, "%s ", call->method);
    builder_text(&b, call->target);
    builder_text(&b, " HTTP/1.1\r\nHost: ");
    host_write(&b, call->server);
    builder_text(&b, "\r\nConnection: close\r\n");
    if (call->key != NULL)
        builder_format(&b, "Authorization: Bearer %s\r\n", call->key);
    if (call->content_type != NULL)
        builder_format(&b, "Content-Type: %s\r\nContent-Length: %zu\r\n", call->content_type,
                       call->body.len);
    builder_text(&b, "\r\n");
    if (b.full)
        return fail(outcome, DIAL_FAILED, "the request's head is too long");
    outcome->end = dial_send(fd, builder_span(&b), deadline_ns, call->stop_fd, outcome->why);
    if (outcome->end == DIAL_READY && call->content_type != NULL)
        outcome->end = dial_send(fd, call->body, deadline_ns, call->stop_fd, outcome->why);
    return outcome->end == DIAL_READY;
}

/* Makes room for more of the reply; false when it is too long or there is no memory. */
static bool grow(struct http_outcome *outcome, size_t *cap) {
    size_t larger = *cap == 0 ? REPLY_FIRST_BYTES : *cap * 2;
    if (larger > HTTP_CLIENT_REPLY_MAX)
        return fail(outcome, DIAL_FAILED, "the server's answer is too long");
    char *memory = realloc(outcome->memory, larger);
    if (memory == NULL)
        return fail(outcome, DIAL_FAILED, "no memory for the server's answer");
    outcome->memory = memory;
    *cap = larger;
    return true;
}

static bool receive_reply(const struct http_call *call, int fd, uint64_t deadline_ns,
                          struct http_outcome *outcome) {
    struct http_parser parser;
    struct http_reply reply;
    size_t len = 0, cap = 0;
    http_parser_init(&parser, HTTP_CLIENT_REPLY_MAX);
    for (;;) {
        if (len == cap && !grow(outcome, &cap))
            return false;
        size_t more;
        outcome->end = dial_receive(fd, outcome->memory + len, cap - len, &more, deadline_ns,
                                    call->stop_fd, outcome->why);
        if (outcome->end != DIAL_READY)
            return false;
        if (more == 0)
            return fail(outcome, DIAL_FAILED,
                        len == 0 ? "the server closed the connection without an answer; is this "
                                   "its api listener?"
                                 : "the server closed the connection amid its answer");
        len += more;
        for (bool again = true; again;) {
            enum http_event event = http_reply_next(&parser, outcome->memory, &len, false, &reply);
            again = event == HTTP_EVENT_WHOLE && reply.status < 200;
            if (again) { /* an interim answer; the real one follows */
                len -= reply.size;
                memmove(outcome->memory, outcome->memory + reply.size, len);
            } else if (event == HTTP_EVENT_WHOLE) {
                outcome->status = reply.status;
                outcome->body = reply.body;
                return true;
            } else if (event == HTTP_EVENT_REFUSED && parser.refusal.status == 413) {
                return fail(outcome, DIAL_FAILED, "the server's answer is too long");
            } else if (event != HTTP_EVENT_MORE) {
                snprintf(outcome->why, sizeof(outcome->why),
                         "the answer is no HTTP (%s); is this the api listener?",
                         parser.refusal.message != NULL ? parser.refusal.message : "it ended");
                return fail(outcome, DIAL_FAILED, NULL);
            }
        }
    }
}

void http_client_call(const struct http_call *call, struct http_outcome *outcome) {
    *outcome = (struct http_outcome){.end = DIAL_FAILED};
    uint64_t deadline_ns = clock_ns() + call->timeout_ns;
    int fd;
    outcome->end = dial_connect(call->server, deadline_ns, call->stop_fd, &fd, outcome->why);
    if (outcome->end != DIAL_READY)
        return;
    /* A server may answer, and close, before it took the whole body: the answer says why. */
    if (send_request(call, fd, deadline_ns, outcome) || outcome->end == DIAL_FAILED) {
        char sending[DIAL_WHY_MAX];
        bool sent = outcome->end == DIAL_READY;
        snprintf(sending, sizeof(sending), "%s", outcome->why);
        if (!receive_reply(call, fd, deadline_ns, outcome) && !sent)
            snprintf(outcome->why, sizeof(outcome->why), "%s", sending);
    }
    close(fd);
}

void http_client_free(struct http_outcome *outcome) {
    free(outcome->memory);
    outcome->memory = NULL;
    outcome->body = (struct span){NULL, 0};
}

bool http_client_escape(char *at, size_t cap, size_t *len, struct span text) {
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                     (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' || byte == '_' ||
                     byte == '~';
        if (cap - *len < 4)
            return false;
        if (plain) {
            at[(*len)++] = (char)byte;
        } else {
            at[(*len)++] = '%';
            at[(*len)++] = hex[byte >> 4];
            at[(*len)++] = hex[byte & 15];
        }
    }
    at[*len] = '\0';
    return true;
}
