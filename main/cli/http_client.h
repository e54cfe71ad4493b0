/* http_client.h - one HTTP request over a connection of its own, and its whole answer.
 *
 * For the commands. Bounded in time by the caller and in size by HTTP_CLIENT_REPLY_MAX; blocks the
 * calling thread. Never follows redirects, never speaks TLS, never prints the key.
 *
 * Threads: any, one at a time per call. Owns: the memory of a reply until http_client_free. */
#ifndef RINGPOST_MAIN_CLI_HTTP_CLIENT_H
#define RINGPOST_MAIN_CLI_HTTP_CLIENT_H

#include "core/base/span.h"
#include "main/cli/dial.h"

#define HTTP_CLIENT_REPLY_MAX (4 * 1024 * 1024)
#define HTTP_CLIENT_TARGET_MAX 4096

struct http_call {
    const char *server; /* HOST:PORT */
    const char *key;    /* API key; NULL: none */
    const char *method;
    const char *target;       /* path and query, already escaped */
    const char *content_type; /* NULL: the request has no body */
    struct span body;
    uint64_t timeout_ns; /* for everything together */
    int stop_fd;         /* stop_open, or -1 */
};

struct http_outcome {
    enum dial_end end;      /* DIAL_READY: there is an answer */
    char why[DIAL_WHY_MAX]; /* otherwise: what went wrong */
    unsigned status;
    struct span body;
    char *memory;
};

/* Always fills `outcome`, which must be freed. */
void http_client_call(const struct http_call *call, struct http_outcome *outcome);
void http_client_free(struct http_outcome *outcome);

/* Appends the bytes percent-encoded (all but letters, digits and - . _ ~) at `at[*len]`, with a
 * NUL; false if it does not fit. For targets. */
bool http_client_escape(char *at, size_t cap, size_t *len, struct span text);

#endif
