/* engine_poll.h - one request of a session that polls, on its way from the connection that it came
 * by to the worker where the session lives, and back.
 *
 *   front: poll_begin -- go --> home: poll_arrive ... poll_answer -- go --> front: the answer
 *   front: the connection is gone -- cancel --> home: it ends -- cancel --> front
 *
 * A session of another node is reached by way of a port (ha/peer), which is the home for the front,
 * and is the front for the home there.
 *
 * There is one path for sessions that live here and elsewhere (core/relay.h). A GET may be away for
 * as long as the session lives; then its connection may go, and the second relay says so. The poll
 * is freed where it was made, when both are back.
 *
 * Threads: each part is of the endpoint that the comment names. Owns: the body, the answer. */
#ifndef RINGPOST_PROTO_WEB_EIO_ENGINE_POLL_H
#define RINGPOST_PROTO_WEB_EIO_ENGINE_POLL_H

#include "core/base/list.h"
#include "core/base/table.h"
#include "core/relay.h"
#include "proto/web/eio/engine_codec.h"
#include "proto/web/eio/engine_sid.h"

struct chunk;
struct engine;
struct http_connection;
struct http_exchange;
struct peer_guest;
struct worker;

enum poll_kind { POLL_GET, POLL_POST, POLL_OTHER /* a method that is neither */ };

enum poll_answer {
    POLL_ANSWER_NONE,    /* only a status */
    POLL_ANSWER_OK,      /* "ok" to a POST */
    POLL_ANSWER_ERROR,   /* an error of Engine.IO: `code` */
    POLL_ANSWER_TEXT,    /* a payload */
    POLL_ANSWER_BYTES,   /* the same in bytes */
    POLL_ANSWER_STARVED, /* there was no memory for one */
};

#define POLL_JSONP_MAX 10 /* digits of `j` */

/* What is asked; the front fills it in before it goes. */
struct poll_ask {
    struct sid sid;
    uint8_t path;    /* enum engine_path */
    uint8_t kind;    /* enum poll_kind */
    uint8_t version; /* 0: none that there is */
    bool mismatch;   /* it does not ask for polling */
    bool opens;      /* GET: it is the handshake of a session that nobody knows of yet */
    bool bytes;      /* POST: its type is application/octet-stream */
    bool jsonp;      /* and these are the digits of `j`: */
    uint8_t jsonp_len;
    char jsonp_digits[POLL_JSONP_MAX];
};

/* A poll at the port that passes it on (ha/peer/peer_away.c). */
struct poll_away {
    struct table_node node; /* hash: its number there */
    struct list order;      /* by age */
    struct list queue;      /* while something of it is to be written */
    void *host;             /* that is waited for; NULL: none, or not any more */
    uint64_t due_ns;
    uint8_t todo;
    bool is_here; /* `go` is */
};

struct poll {
    struct relay go, cancel;
    struct poll_ask ask;
    /* The front's. */
    struct list link; /* in the polls of its connection, while that waits for it */
    union {
        struct http_exchange *exchange; /* NULL: the connection has gone */
        struct peer_guest *guest;       /* of a port, where it came by another node */
    };
    uint32_t extra_len;
    uint16_t home; /* endpoint */
    uint8_t away;  /* of go and cancel */
    bool cancelled;
    struct chunk *body;
    union {
        struct {                         /* the home's, while it is there */
            struct engine *engine;       /* that it waits in */
            struct engine_reader reader; /* POST: what was not looked at */
        };
        struct poll_away passed; /* a port's, which passes it on */
    };
    /* What is answered. */
    uint8_t answer; /* enum poll_answer */
    uint8_t code;
    uint16_t status;
    uint32_t answer_bytes;
    struct chunk *chunks;
    char extra[]; /* header lines of any answer */
};

/* engine_front.c */
/* Sends a request to its session; it is answered now or later. Its body is copied. False: there was
 * no room or memory for it, which was answered. */
bool poll_begin(struct worker *worker, struct http_exchange *exchange, const struct poll_ask *ask,
                struct span body, struct span extra);
/* The polls of a connection; of `web`, whose state begins with it. */
struct poll_list {
    struct list polls;
};
/* The peer has ended, or the connection has closed: nobody waits for these any more. */
void polls_gone(struct worker *worker, struct http_connection *http);
/* Back at the front: for poll_answer. */
void poll_back(struct worker *worker, struct relay *relay);
void poll_cancel_back(struct worker *worker, struct relay *relay);

/* engine_poll.c */
void poll_arrive(struct worker *worker, struct relay *relay);
void poll_cancelled(struct worker *worker, struct relay *relay);
/* By `cancel` as well, while it is not needed for that: a GET that waits is answered at once, by
 * what waits for it or by nothing, since where it was accepted nobody can wait any more. */
void poll_released(struct worker *worker, struct relay *relay);

/* Answers an error of Engine.IO in the words of the reference server; `upgrades`: to a request for
 * a WebSocket. */
void engine_error_answer(struct worker *worker, struct http_exchange *exchange, unsigned code,
                         bool upgrades, struct span extra);

#endif
