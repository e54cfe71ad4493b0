/* connection.h - one accepted socket: its slot, its operations in flight, its end.
 *
 *            accept / adopt
 *                 |          handed over: FREE here, OPEN on another worker (handover.h)
 *               OPEN ---- connection_close ----+        (reason recorded, the first one wins;
 *                 |                            |         on_close called, timer disarmed)
 *     connection_finish                        |
 *                 |                            |
 *             FLUSHING -- outbox empty --> LINGERING -- peer's end, or time, or too much --+
 *                 |   (no more input is        (our end was sent; input is thrown away)    |
 *                 |    given to the protocol)                                              |
 *                 +------- error, timeout ----------------------------------------> JOINING
 *                                                                                          |
 *             join: no operation in flight, no publish outstanding, then close the socket  |
 *                                                                                          v
 *                                                                     FREE (generation bumped)
 *
 * Slots come in blocks that are made when needed. Other threads hold handles, never pointers.
 *
 * Threads: its worker. Owns: socket, outbox, kept input, timer, protocol state. */
#ifndef RINGPOST_CORE_CONNECTION_H
#define RINGPOST_CORE_CONNECTION_H

#include "core/base/check.h"
#include "core/net.h"
#include "core/outbox.h"
#include "core/protocol.h"
#include "core/timer.h"

struct worker;
struct listener;
struct completion;

enum connection_state {
    CONNECTION_FREE,
    CONNECTION_OPEN,
    CONNECTION_FLUSHING,
    CONNECTION_LINGERING,
    CONNECTION_JOINING
};

enum { /* operations in flight */
       OP_RECEIVE = 1 << 0,
       OP_SEND = 1 << 1,
       OP_SHUTDOWN = 1 << 2, /* or a descriptor is being lent, for it or to hand it over */
       OP_CLOSE = 1 << 3,
       OP_CANCEL = 1 << 4, /* of the receive */
       OP_QUEUED = 1 << 5,
       OP_UNSEND = 1 << 6, /* cancellation of the send */
       OP_WATCH = 1 << 7   /* of the peer's end, or the cancellation of that */
};

/* Room for the protocol's state within the slot. */
#define CONNECTION_STATE_BYTES 120

/* Members stand so that no room is lost between them: there are very many of these. */
struct connection {
    uint32_t slot; /* 1.. */
    uint32_t generation;
    int socket;            /* as ring.h names it; -1: none */
    uint8_t state;         /* enum connection_state */
    uint8_t ops;           /* in flight */
    uint8_t reason;        /* enum close_reason */
    uint8_t listener;      /* index in worker->listeners.at */
    uint8_t lane;          /* enum send_lane: of what waits in its outbox */
    bool throttled : 1;    /* the peer does not read its answers: no input is taken */
    bool paused : 1;       /* no input is wanted */
    bool once : 1;         /* its receives are single ones: it floods a worker that is busy */
    bool yielded : 1;      /* the time of the turn is over: its input goes on in the next one */
    bool in_protocol : 1;  /* on_bytes is running */
    bool proxied : 1;      /* it comes through a balancer */
    bool proxy_header : 1; /* the PROXY header has still to come */
    bool end_seen : 1;     /* the peer's end has come */
    bool end_told : 1;     /* and the protocol knows */
    bool address_held : 1; /* counted for --max-per-address */
    bool drain_told : 1;   /* on_drain was called */
    bool shut_whole : 1;   /* the shutdown of both directions was started */
    bool late : 1;         /* the end of the node does not wait for it */
    bool overdue : 1;      /* its deadline was put off once: not all that it said was heard */
    bool held : 1;         /* while it is OPEN, nothing leaves */
    bool deaf : 1;         /* paused, perhaps for long: not even PAUSE_SLACK_BYTES are received */
    bool unwatched : 1;    /* the watch of its peer's end and its cancellation will both complete */
    uint8_t moving;        /* index + 1 of the worker it is being handed over to; 0: it stays */
    struct peer_address peer;
    union {
        uint32_t publishes; /* outstanding; the slot is not freed before they are answered */
        uint32_t next_free; /* slot; while FREE */
    };
    uint32_t starved_ms; /* since when it has had no buffer for what has come; 0: it had one */
    struct timer timer;
    struct list flush_link;  /* in worker->sending.dirty[lane] while there is something to send */
    struct list resume_link; /* in worker->reading.resumed, starved or floods */
    struct outbox outbox;
    char *input; /* kept input; NULL: none */
    uint32_t input_len, input_cap;
    uint32_t lingered_bytes;
    union {
        uint32_t flight_bytes; /* of the send in flight */
        uint32_t linger_end_s; /* while LINGERING: when it has lasted long enough */
    };
    uint32_t dirty_us;     /* since when it is in worker->sending.dirty */
    uint32_t sending_ms;   /* when the send in flight was started */
    struct intake *intake; /* of a connection that pushes; its protocol's. NULL: nobody asks */
    const struct protocol *protocol;
    _Alignas(8) unsigned char protocol_state[CONNECTION_STATE_BYTES];
};

_Static_assert(sizeof(struct connection) <= 320, "an idle connection has grown");

/* A name for a connection that may be kept and copied by anybody, and resolves to nothing once the
 * connection has gone. */
struct connection_handle {
    uint16_t worker;
    uint32_t slot;
    uint32_t generation;
};

/* NULL: it is a session's own. */
static inline struct connection *connection_of_outbox(struct outbox *outbox) {
    return outbox->parked ? NULL : container_of(outbox, struct connection, outbox);
}
static inline void *connection_state(struct connection *connection) {
    return connection->protocol_state;
}
struct connection_handle connection_handle(const struct worker *worker,
                                           const struct connection *connection);
/* Its name for clients, "worker-slot-generation" in hex, within SESSION_TEXT_MAX bytes and with a
 * NUL. Returns its length. */
size_t connection_text(const struct worker *worker, const struct connection *connection,
                       char text[SESSION_TEXT_MAX]);
/* False: it is no such name, as connection_text writes it. */
bool connection_text_read(struct span text, struct connection_handle *handle);
/* NULL when it has gone or belongs to another worker. OPEN and closing ones are found. */
struct connection *connection_resolve(struct worker *worker, struct connection_handle handle);

/* Appends bytes for the peer; they leave at the end of the turn, with all the rest. Without memory
 * the connection is closed (`overloaded`). */
void connection_write(struct worker *worker, struct connection *connection, struct span bytes);
/* The last words: connection_write and connection_finish. Without memory it is closed at once; the
 * reason is the same. */
void connection_write_last(struct worker *worker, struct connection *connection, struct span bytes,
                           enum close_reason reason);
/* The end, at once: what was not sent is dropped and counted. Idempotent; the first reason stays.
 */
void connection_close(struct worker *worker, struct connection *connection,
                      enum close_reason reason);
/* The end, after what was written has left: for an error line or a last answer. It arrives: our end
 * goes out behind it, and the peer is read on until its own end has come, so that it may send the
 * rest of a body first (a minute, 64 MiB or twice --max-body, and 5 s without a byte at most; what
 * is cut off is counted).
 */
void connection_finish(struct worker *worker, struct connection *connection,
                       enum close_reason reason);
/* Stops and resumes taking input: the peer feels it by TCP's flow control. */
void connection_pause(struct worker *worker, struct connection *connection);
void connection_resume(struct worker *worker, struct connection *connection);
/* The same for what may last long: nothing is received meanwhile but what is on its way, so that
 * input waits with the peer and takes no memory here. Paused or not; until connection_resume. */
void connection_pause_long(struct worker *worker, struct connection *connection);
/* What is written stays in its outbox while it is held, and OPEN. */
void connection_hold(struct worker *worker, struct connection *connection, bool holds);
/* The end of the node does not wait for it any more: in PHASE_CLOSING, instead of a goodbye. */
void connection_abandon(struct worker *worker, struct connection *connection);
/* For on_bytes: the time that a turn has for input is over (slice_over), what is not consumed is
 * handed over again in the next turn. */
void connection_yield(struct worker *worker, struct connection *connection);
/* Arms the deadline (on_deadline), replacing an earlier one. */
void connection_deadline(struct worker *worker, struct connection *connection, uint64_t due_ns);
/* The time of a connection that is not open any more is over. */
void connection_expire(struct worker *worker, struct connection *connection);
/* Called by the loop: completions of its operations, its turn to look at kept input again, to start
 * a send. */

void connection_on_receive(struct worker *worker, const struct completion *completion);
void connection_on_send(struct worker *worker, const struct completion *completion);
void connection_on_lend(struct worker *worker, const struct completion *completion);
void connection_on_shutdown(struct worker *worker, const struct completion *completion);
void connection_on_watch(struct worker *worker, const struct completion *completion);
void connection_on_queued(struct worker *worker, const struct completion *completion);
void connection_on_cancel(struct worker *worker, const struct completion *completion);
void connection_on_closed(struct worker *worker, const struct completion *completion);
void connection_flush(struct worker *worker, struct connection *connection);
/* The slot may be free afterwards: it may have been handed over. */
void connection_reconsider(struct worker *worker, struct connection *connection);
void connection_rearm(struct worker *worker, struct connection *connection);
/* As rearm, also for who floods, whom rearm puts into worker->reading.floods. */
void connection_receive(struct worker *worker, struct connection *connection);
/* Reads it once and at once, for which there must be a buffer. False: it wants no input. */
bool connection_receive_once(struct worker *worker, struct connection *connection);
/* Does it take input at this moment? And: has it said something that the worker has not come to? */
static inline bool connection_input_wanted(const struct connection *of) {
    return !of->paused && !of->throttled && !of->yielded && of->moving == 0;
}
bool connection_is_unread(const struct connection *connection);
/* Bytes came, and `more` wait in its socket: is it to be read behind the others? */
void connection_flood_look(struct worker *worker, struct connection *connection, bool more);
/* A paused connection may go on to receive so much before its receive is really stopped: most
 * pauses are shorter than that, and stopping costs two operations. */
#define PAUSE_SLACK_BYTES (64 * 1024)
/* Nothing is received of a paused connection: its peer's end is watched for (on_end_unread), and no
 * more. */
void connection_watch(struct worker *worker, struct connection *connection);
void connection_unwatch(struct worker *worker, struct connection *connection);
/* For handover.c: asks for the end of its receive, unless there is none; lets this turn look at its
 * input again, or at how far its hand-over is (not here and now: the caller may be in the middle of
 * something). */
void connection_receive_stop(struct worker *worker, struct connection *connection);
void connection_look_again(struct worker *worker, struct connection *connection);
/* A publish of this connection has begun, has been answered. */
static inline void connection_publish_begun(struct connection *connection) {
    connection->publishes++;
}
/* With the last one of a closed connection its slot is freed: do not touch it afterwards. */
void connection_publish_ended(struct worker *worker, struct connection *connection);
static inline bool connection_is_open(const struct connection *connection) {
    return connection->state == CONNECTION_OPEN;
}

#endif
