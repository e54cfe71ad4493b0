/* http_connection.h - one HTTP/1.1 connection: requests in, answers out, in the order asked.
 *
 *   bytes -> request -> exchange -> serve ... answer -> (waits for those before it) -> outbox
 *
 * A request is carried out as soon as it is whole, also when the answer to an earlier one is still
 * owed; only the answers wait for each other. One that takes several turns (http_hold: a call, a
 * long batch) holds those behind it until it is answered, so there is one at a time. A body that
 * has not come yet is refused before it is read: for want of a key, for its size, for want of
 * memory; none of it is kept, and unless it is short the connection ends after the answer. So it
 * does after a request that is not HTTP, when the peer asks for it, and while the node drains.
 *
 * Reading pauses while HTTP_UNSENT_BYTES_MAX of answers are owed: what the peer has not taken, what
 * waits for an earlier answer, and HTTP_OWED_BYTES for each that is still to be made. Behind a long
 * answer (exchange_answer_chain) it pauses already at HTTP_UNSENT_FEW_BYTES, until all of them have
 * left; while the node is at --memory, at replies_unsent_max (core/reply.h); and while an answer is
 * owed that may be long in coming (exchange_waits), at HTTP_BEHIND_BYTES_MAX of the others, since
 * no peer can take those, whether it reads or has gone. Time is bounded as the constants below say;
 * who is late with a request gets 408, who does not read answers or is idle is closed.
 *
 * Answers that come after the connection has closed are dropped.
 *
 * Threads: the connection's worker. Owns: exchanges, answers that wait, what has come of a request
 * beside the bytes that the engine keeps. */
#ifndef RINGPOST_PROTO_HTTP_HTTP_CONNECTION_H
#define RINGPOST_PROTO_HTTP_HTTP_CONNECTION_H

#include "core/chain.h"
#include "core/connection.h"
#include "proto/http/http_response.h"
#include "proto/http/routes.h"
#include "proto/text/complaint.h"

#define HTTP_HEAD_NS (10 * NS_PER_S) /* from the first byte of a head to its last */
/* A body may be so far behind a rate of HTTP_BODY_BYTES_PER_S, its pauses counted in. */
#define HTTP_BODY_NS (30 * NS_PER_S)
#define HTTP_BODY_BYTES_PER_S 16384
#define HTTP_IDLE_NS (75 * NS_PER_S)   /* without a request */
#define HTTP_ANSWER_NS (30 * NS_PER_S) /* without the peer taking anything of an answer */
#define HTTP_WATCH_NS (5 * NS_PER_S)   /* how often that is looked at */

#define HTTP_UNSENT_BYTES_MAX (1024 * 1024)
#define HTTP_UNSENT_FEW_BYTES (64 * 1024)
/* Of answers behind one that may be long in coming (exchange_waits). */
#define HTTP_BEHIND_BYTES_MAX (16 * 1024)
/* What an answer counts for at the least from its request on: so HTTP_PIPELINE_MAX may be owed. */
#define HTTP_OWED_BYTES (HTTP_UNSENT_BYTES_MAX / HTTP_PIPELINE_MAX)
/* The body of a refused request is thrown away as it comes; if that is not more, the connection
 * stays. */
#define HTTP_REFUSED_BODY_BYTES_MAX 65536

struct http_connection;
struct http_exchange;
struct http_stream;

/* What a connection goes on with after 101; see http_upgrade.h. */
struct http_upgrade {
    const struct protocol *protocol; /* NULL: with HTTP */
    /* It is that protocol's now, and on_open was called. The request, and what was decoded of it
     * into the worker's room, are still as `serve` had them. Not called if the connection has
     * closed meanwhile. NULL: on_open is enough. */
    void (*opened)(struct worker *worker, struct connection *connection, void *argument);
    void *argument;
};

/* What a listener serves over HTTP. */
struct http_service {
    /* No request may have a longer body than the largest of these routes, whatever its path; or
     * than `spare_body_bytes`, which are thrown away so that the connection stays. */
    const struct route *routes;
    size_t route_count;
    size_t spare_body_bytes;
    size_t state_bytes; /* what it keeps for each connection: http_state */
    /* A connection has come: fills in its state, which is not zeroed. NULL: it keeps nothing. */
    void (*open)(struct worker *worker, struct http_connection *http);
    /* The peer has ended, and may be gone, though requests before its end may still come, and this
     * once more behind them; or the connection has closed (http->closed), so that
     * nobody takes the answers that are still to be made. Who makes one is not disturbed by either,
     * but who only waits for something to answer with need not go on. NULL: nobody wants to know.
     */
    void (*ended)(struct worker *worker, struct http_connection *http);
    /* That is called, too, where so much is pipelined behind an answer that waits that no more is
     * read. Then it cannot be known whether the peer has gone: its end may be stuck behind what it
     * has sent. */
    bool ends_crowded;
    /* Does it ask to push messages? Then `admit_push` is asked, and a refusal counts as one message
     * (stats_refuse). NULL: no request does. */
    bool (*pushes)(const struct http_request *request);
    /* A request that pushes is about to be carried out. False: the worker is behind, the request is
     * refused with one look (`overloaded`, behind_text). */
    bool (*admit_push)(struct worker *worker, struct http_connection *http,
                       const struct http_request *request);
    const char *behind_text;
    /* Looks at a request whose body is not there yet, and puts its route into the context's `match`
     * if it has one. False: it would be refused, `error` says why. What it points to stays until
     * the next request. */
    bool (*admit)(struct worker *worker, const struct http_request *request,
                  struct http_error *error);
    /* It was refused at its head, by `admit`. NULL: nobody wants to know. */
    void (*refused)(struct worker *worker, struct http_connection *http,
                    const struct http_request *request, const struct http_error *error);
    /* Carries out a whole request. The exchange is answered exactly once, now or later; the
     * request dies when this returns. */
    void (*serve)(struct worker *worker, struct http_exchange *exchange,
                  const struct http_request *request);
};

/* A request of which a part has come. It is there while bytes are looked at, and between them while
 * more of the request, or of a body that is thrown away, must come: an idle connection has none. */
struct http_incoming {
    struct http_parser parser;
    const struct route_body *body; /* of the request whose head was seen; NULL: it has no route */
    char *assembly;                /* a chunked request as far as it has come; NULL: none */
    size_t assembly_len, assembly_cap;
    size_t skip_bytes; /* of a body, to be thrown away: its request was answered */
    uint64_t due_ns;   /* when all of it must have come; 0: it was not waited for yet */
};

/* Room in a connection for what its service keeps of it; more has a block of its own. */
#define HTTP_STATE_BYTES 16

/* The state area of a connection. Members stand so that no room is lost between them: it fills the
 * area, which every idle connection pays for. */
struct http_connection {
    struct connection *connection;  /* NULL: there was no memory for the state of its service */
    struct http_incoming *incoming; /* NULL: nothing of a request has come, or it is done with */
    struct list owed;               /* exchanges, in the order asked */
    struct http_exchange *stream;   /* the last of `owed`, in pieces (http_stream.h); NULL: none */
    _Atomic bool *gone;      /* of the call that it is held for, to be set when it closes; NULL */
    size_t owed_bytes;       /* of answers that are there, and what stands for the others */
    uint64_t armed_ns;       /* when the deadline fires; 0: it is not armed */
    uint64_t active_ns;      /* the last request, the last answer */
    uint16_t exchanges;      /* with those whose connection has closed before they were answered;
                                hardly more than HTTP_PIPELINE_MAX */
    uint16_t waits;          /* of those in `owed`: their answers may be long in coming */
    uint32_t kept_bytes;     /* of the input, left with the engine */
    struct peer_address hop; /* the socket's own peer, or what PROXY named */
    uint8_t kind;            /* enum listener_kind */
    uint8_t finish_reason;   /* enum close_reason: no request is read any more, and the connection
                                ends with the last answer */
    uint8_t moves_to;        /* index + 1 of the worker that it is to go to; 0: none */
    bool forwards : 1;       /* it is a proxy of --forwarded */
    bool wrote : 1;          /* something, since the start */
    bool in_body : 1;        /* the head of the current request was seen */
    bool pushes : 1;         /* and it asks for messages; before: it begins as if it did */
    bool bodyless : 1;       /* it is a HEAD, or begins as one: a refusal has no body, either */
    bool continue_due : 1;   /* 100 Continue, behind the answers that are owed */
    bool serving : 1;        /* `serve` is running */
    bool held : 1;           /* a request is being carried out over several turns; none is read */
    bool unread : 1;         /* a long answer is on its way; none is read before it has left */
    bool ended : 1;          /* the peer has, though not all before its end may have been read */
    bool closed : 1;         /* on_close was called */
    bool stayed : 1;         /* it could not go to another worker (http_upgrade.h) */
    bool upgrades : 1;       /* it becomes another protocol's when `serve` has returned */
    union {                  /* of its service: http_state */
        _Alignas(8) unsigned char state[HTTP_STATE_BYTES];
        void *large_state;
    };
};
_Static_assert(sizeof(struct http_connection) <= CONNECTION_STATE_BYTES, "it fits its slot");

/* One request whose answer is owed. */
struct http_exchange {
    struct list link; /* in http->owed */
    struct http_connection *http;
    void *task; /* of whoever serves it */
    char *held; /* the answer, while it waits; its head, if it has a `body` */
    size_t held_bytes;
    size_t charged;     /* of http->owed_bytes */
    struct chunk *body; /* of a long answer; NULL: none */
    uint32_t body_bytes;
    uint8_t answer_flags; /* enum http_answer_flags */
    bool answered;
    bool beyond;      /* of reply_take, for `held` */
    bool slot_beyond; /* the same for the exchange itself */
    bool waits;       /* its answer may be long in coming; not answered yet */
    uint32_t
        busy;    /* so many requests in a row, with the same flags, were refused for being behind */
    bool pushes; /* it asks for messages of which none was counted: a refusal counts as one */
    bool chunks; /* its client knows them */
    /* An answer in pieces (http_stream.h): */
    bool stream_open;      /* its head was written */
    bool stream_waits;     /* a piece had no room */
    bool stream_ended;     /* the writer has, or it ends when its head was written */
    uint8_t stream_reason; /* enum close_reason: why the writer was told to end it */
    const struct http_stream *stream;
};

static inline struct http_connection *http_of(struct connection *connection) {
    return connection_state(connection);
}
/* What its listener serves, and what that keeps of it, from `open` until the slot is freed. */
const struct http_service *http_service(const struct http_connection *http);
void *http_state(struct http_connection *http);

/* Answers that are whole in one or two runs; they are copied. Each of the following ends the
 * exchange: it must not be touched afterwards, and the connection may have begun to close. */
void exchange_give(struct worker *worker, struct http_exchange *exchange, unsigned status,
                   struct span head, struct span body);
/* `type` NULL is application/json, `extra` more header lines, as in http_response.h. A body of over
 * HTTP_ANSWER_BYTES_MAX / 2 has to end in a line feed. */
void exchange_answer(struct worker *worker, struct http_exchange *exchange, unsigned status,
                     const char *type, struct span extra, struct span body);
/* 200, with a body that is not copied but taken out of the chain. It ends in a line feed. */
void exchange_answer_chain(struct worker *worker, struct http_exchange *exchange, const char *type,
                           struct chain *chain);
/* A body in blocks, which are taken over, and one of at most HTTP_ANSWER_BYTES_MAX / 2; both as
 * they are, for protocols that say byte for byte what an answer is. */
void exchange_answer_chunks(struct worker *worker, struct http_exchange *exchange, unsigned status,
                            const char *type, struct span extra, struct chunk *first,
                            uint32_t bytes);
void exchange_answer_bare(struct worker *worker, struct http_exchange *exchange, unsigned status,
                          const char *type, struct span extra, struct span body);
void exchange_refuse(struct worker *worker, struct http_exchange *exchange,
                     const struct http_error *error);
/* The error that a code stands for, in one sentence, and the one that a complaint makes. */
void exchange_fail(struct worker *worker, struct http_exchange *exchange, enum code code,
                   const char *message);
void exchange_complain(struct worker *worker, struct http_exchange *exchange,
                       const struct complaint *complaint);
/* False: the query holds something; it was answered. For paths without parameters. */
bool exchange_query_empty(struct worker *worker, struct http_exchange *exchange,
                          const struct route_request *request);
/* For `serve`: the answer waits for what others do, perhaps for long. Little is kept behind it. */
void exchange_waits(struct http_exchange *exchange);
/* No further request is read until http_release, and the connection's slot stays as long; for a
 * request that takes several turns. */
void http_hold(struct worker *worker, struct http_connection *http);
void http_release(struct worker *worker, struct http_connection *http);
/* For `serve`: takes over the block that the body of its request lies in, to be given back with
 * memory_put. NULL: it has to be copied, and is short, or there is no memory. */
char *http_take_body(struct worker *worker, struct http_connection *http, struct span body,
                     size_t *cap);
/* There is no memory even for an error: closes the connection. */
void exchange_abandon(struct worker *worker, struct http_exchange *exchange);

struct http_error http_error_of(enum code code, const char *message);
/* `error` points into the complaint. */
struct http_error http_error_complaint(const struct complaint *complaint);

/* For the protocols: each listener serves what http_init was given for its kind. */
void http_on_open(struct worker *worker, struct connection *connection);
size_t http_on_bytes(struct worker *worker, struct connection *connection, char *at, size_t len);
size_t http_input_max(struct worker *worker, struct connection *connection);
void http_on_flood(struct worker *worker, struct connection *connection);
void http_on_no_memory(struct worker *worker, struct connection *connection, struct span lost);
void http_on_end(struct worker *worker, struct connection *connection);
void http_on_end_unread(struct worker *worker, struct connection *connection);
void http_on_deadline(struct worker *worker, struct connection *connection);
void http_on_sent(struct worker *worker, struct connection *connection);
void http_on_drain(struct worker *worker, struct connection *connection);
void http_on_close(struct worker *worker, struct connection *connection);
void http_on_free(struct worker *worker, struct connection *connection);
void http_on_leave(struct worker *worker, struct connection *connection);
void http_on_stayed(struct worker *worker, struct connection *connection);

/* The members of a struct protocol. */
#define HTTP_HANDLERS(word)                                                                        \
    .name = (word), .on_open = http_on_open, .on_bytes = http_on_bytes,                            \
    .input_max = http_input_max, .on_flood = http_on_flood, .on_no_memory = http_on_no_memory,     \
    .on_end = http_on_end, .on_end_unread = http_on_end_unread, .on_deadline = http_on_deadline,   \
    .on_sent = http_on_sent, .on_drain = http_on_drain, .on_leave = http_on_leave,                 \
    .on_stayed = http_on_stayed, .on_close = http_on_close, .on_free = http_on_free
#define HTTP_PROTOCOL(word)                                                                        \
    { HTTP_HANDLERS(word) }

/* Between the files of this module. */
/* Refuses a request because the worker is behind: an answer that is made already, in its place. */
void exchange_busy(struct worker *worker, struct http_connection *http, uint8_t answer_flags);
struct http_exchange *exchange_open(struct worker *worker, struct http_connection *http,
                                    uint8_t answer_flags);
void http_write(struct worker *worker, struct http_connection *http, struct span bytes);
/* Sees that the deadline fires at that time at the latest. */
void http_watch(struct worker *worker, struct http_connection *http, uint64_t due_ns);
/* Pauses or resumes reading, by what is owed and unsent. */
void http_pace(struct worker *worker, struct http_connection *http);
/* What the peer has not taken, and what is to come for it. */
size_t http_owed_bytes(const struct http_connection *http);
/* No further request is read; the connection ends with the last answer that is owed. */
void http_stop(struct http_connection *http, enum close_reason reason);
/* The same, after this answer. */
void http_refuse_as(struct worker *worker, struct http_connection *http,
                    const struct http_error *error, enum close_reason reason);
/* Lets go of what has come of a request. */
void http_incoming_free(struct worker *worker, struct http_connection *http);
/* Is a part of one waited for? When must it have come (0: none is); is it only thrown away? */
static inline uint64_t http_due_ns(const struct http_connection *http) {
    return http->incoming == NULL ? 0 : http->incoming->due_ns;
}
static inline bool http_skips(const struct http_connection *http) {
    return http->incoming != NULL && http->incoming->skip_bytes != 0;
}
/* Writes an answer that was kept; it has the room in the outbox that it had before. */
void held_write(struct worker *worker, struct http_exchange *exchange);
/* The first answers that are there leave; with the last one perhaps the connection ends. */
void exchanges_flush(struct worker *worker, struct http_connection *http);
/* Keeps the answer until those before it have come. False: no memory, and the connection closes. */
bool exchange_hold(struct worker *worker, struct http_exchange *exchange, struct span head,
                   struct span body);
void exchange_unlink(struct http_exchange *exchange);
void exchange_free(struct worker *worker, struct http_exchange *exchange);
/* Gives back what it has beside its slot. */
void http_free(struct worker *worker, struct connection *connection);
/* Lets go of every exchange at the close. */
void exchanges_drop(struct worker *worker, struct http_connection *http);

#endif
