/* sio.h - Socket.IO on a session of Engine.IO: clients 1.x to 4.x.
 *
 *   engine ---- struct sio (its state) ---- struct sio_session, one for each namespace
 *
 *                 CONNECT                       41, or the engine's end
 *   (nothing) ------------> registered, LIVE ------------------------> ended; freed when its sends
 *                 | 44...                                              are answered
 *                 v
 *             (nothing); an engine without any namespace is closed after --connect-timeout
 *
 * Protocol 5 (Engine.IO 4) wants a CONNECT for each namespace, closes what speaks in another, and
 * gives each a sid of its own; protocol 4 (Engine.IO 3) is in `/` at once, and is forgiven. Under
 * which id and groups a session comes stands in sio_args.h; what it may emit (register, join,
 * leave, send) in sio_events.c; how messages are written in sio_encodings.h.
 *
 * A message that is to be acknowledged goes out with the number of a Socket.IO acknowledgement. The
 * session knows of the last SIO_ACKS_MIN to SIO_ACKS_MAX numbers (as many as --ack-window asks for)
 * which message of which id each stands for, so a late callback to an earlier copy settles the
 * message too; one whose number is forgotten is passed over, and the message comes again.
 *
 * Threads: the engine's home worker. Owns: the sessions, and a packet whose attachments have not
 * all come, charged to the worker. Limits: a namespace once for each engine (NAMESPACES_MAX);
 * SIO_ATTACHMENTS_MAX, SIO_PARTS_BYTES_MAX for a packet with its attachments; CLIENT_SENDS_MAX
 * sends without an answer, then nothing more is read. What is wrong with a packet closes the engine
 * (`bad_frame`, `bad_message`), as in the reference. */
#ifndef RINGPOST_PROTO_WEB_SIO_SIO_H
#define RINGPOST_PROTO_WEB_SIO_SIO_H

#include "core/session.h"
#include "core/task.h"
#include "proto/client/client.h"
#include "proto/text/complaint.h"
#include "proto/web/eio/engine.h"
#include "proto/web/sio/sio_packet.h"

#define SIO_SID_BYTES 20
#define SIO_PARTS_BYTES_MAX (1000 * 1000)
/* What a packet has besides the data of a message: 1,000 names of 128 bytes, in quotes. */
#define SIO_NAMES_BYTES_MAX (160 * 1024)
#define SIO_ACKS_MIN 16
#define SIO_ACKS_MAX 131072

extern const struct engine_app sio_app;

/* --- for the files of sio_*.c ----------------------------------------------------------------- */

/* What one number stands for. */
struct sio_ack {
    uint64_t id_hash, message_hash;
    bool wanted; /* its callback has not come */
};

/* Of the last `cap` numbers; a power of two, 0 before the first. */
struct sio_acks {
    struct sio_ack *at;
    uint32_t cap;
    uint32_t next; /* number */
};

struct sio;

/* One namespace of an engine. */
struct sio_session {
    struct session session;
    struct client_sender sender;
    struct sio_session *next; /* of sio->first */
    struct sio *sio;          /* NULL: it has ended */
    struct list waiting;      /* of the core: its messages, among those of the other namespaces */
    struct sio_acks acks;
    char sid[SIO_SID_BYTES]; /* protocol 5 */
    bool live;               /* it has been told of its CONNECT */
    bool meta;               /* it gets the second argument */
};

/* A packet whose attachments are not all there: its text, then they. */
struct sio_parts {
    uint32_t block_bytes; /* for the account */
    uint32_t text_bytes;
    uint8_t wanted, have;
    uint32_t ends[SIO_ATTACHMENTS_MAX]; /* of attachments, in bytes[] */
    char bytes[];
};

/* An acknowledgement that found no room: it is told again. */
struct sio_held {
    struct task task;
    struct sio *sio;
    uint64_t id_hash, message_hash;
};

/* The state of an engine. */
struct sio {
    struct sio_session *first; /* in a namespace each, the latest first; NULL: none */
    struct sio_parts *parts;   /* NULL: no attachment is awaited */
    struct sio_held *held;     /* NULL: none is; no message is taken meanwhile */
    bool sent_away;            /* it is in no namespace, since the API ended its last one */
    bool stopped;              /* no message is wanted before engine_resume */
    bool once;                 /* protocol 4: it does not encode texts twice (sio_text.h) */
};

static inline struct sio *sio_of(struct engine *engine) {
    return engine_state(engine);
}
static inline struct engine *sio_engine(const struct sio *sio) {
    return engine_of_state(sio);
}
static inline enum sio_version sio_version(const struct engine *engine) {
    return engine_version(engine) == 3 ? SIO_PROTOCOL_4 : SIO_PROTOCOL_5;
}
/* The session in the namespace of that number; NULL: there is none. */
struct sio_session *sio_session_find(struct sio *sio, unsigned namespace);

/* What is being served may end by what is written or sent. All of what follows returns false if the
 * engine has gone, with all of its sessions. */

/* sio_app.c: a packet that may not stand here ends clients of protocol 5 (`bad_message`); others
 * are forgiven. `wrong`: a constant for the log. */
bool sio_misplaced(struct worker *worker, struct engine *engine, const char *wrong);

/* sio_connect.c: CONNECT, and the end of namespaces. */
bool sio_connect(struct worker *worker, struct engine *engine, const struct sio_packet *packet);
/* Protocol 4: `/`, unasked. */
bool sio_connect_main(struct worker *worker, struct engine *engine);
/* Leaves the directory, and frees it, now or when its sends are answered. */
void sio_session_end(struct worker *worker, struct engine *engine, struct sio_session *one);
/* The same for one alone, while the engine stays: its client or the API ended it. What waits for it
 * and has not begun to be sent is dropped (`gone`), so a client that leaves again and again without
 * reading has no more in its outbox than its sessions may have. What waits at the API's end
 * (`kept`) is sent in front of the DISCONNECT, as long as a connection has no more than
 * --outbox-bytes; but a client that polls would get it behind that. */
void sio_session_leave(struct worker *worker, struct engine *engine, struct sio_session *one,
                       bool kept);
void sio_session_free(struct worker *worker, struct sio_session *one);
/* From now on the client's end is the API's doing, or its own again. */
void sio_sent_away(struct engine *engine, bool sent_away);
/* Some time is left to come into a namespace, if it is in none. */
void sio_deadline(struct worker *worker, struct engine *engine);

/* sio_session.c: what the engine of messages asks. */
extern const struct session_type sio_session_type;
extern const struct client_sender_type sio_sender_type;
/* What the number stands for, which is not wanted any more; NULL: it is not known. */
struct sio_ack *sio_acks_take(struct sio_acks *acks, uint64_t id);
void sio_acks_free(struct worker *worker, struct sio_acks *acks);
/* Is so much under way that no message should come? */
bool sio_is_busy(const struct sio *sio);
/* Messages may come again, if they were stopped and nothing is in the way any more. */
void sio_resume(struct worker *worker, struct sio *sio);

/* sio_events.c: EVENT and ACK of a session. */
bool sio_event(struct worker *worker, struct engine *engine, struct sio_session *one,
               const struct sio_packet *packet, const struct span *attachments);
void sio_ack(struct worker *worker, struct engine *engine, struct sio_session *one,
             const struct sio_packet *packet);
void sio_held_free(struct worker *worker, struct sio *sio);

/* sio_write.c: packets to the client. */
bool sio_write(struct worker *worker, struct engine *engine, enum sio_type type, unsigned namespace,
               const uint64_t *id, struct span json);
/* CONNECT_ERROR for a namespace of that name. */
bool sio_write_refusal(struct worker *worker, struct engine *engine, struct span namespace,
                       enum code code, const char *text);
bool sio_write_unknown(struct worker *worker, struct engine *engine, struct span namespace);
/* What a callback gets: {"ok":true}, with id and state of a send; {"ok":false,...}. Nothing without
 * `id`. */
bool sio_write_ok(struct worker *worker, struct engine *engine, const struct sio_session *one,
                  const uint64_t *id);
bool sio_write_sent(struct worker *worker, struct engine *engine, const struct sio_session *one,
                    const uint64_t *id, struct span message_id, const char *state);
bool sio_write_error(struct worker *worker, struct engine *engine, const struct sio_session *one,
                     const uint64_t *id, enum code code, const char *text);
/* A packet whose array is `begin`, `rest` and its end, with attachments; for --conformance. */
bool sio_write_echo(struct worker *worker, struct engine *engine, const struct sio_session *one,
                    enum sio_type type, const uint64_t *id, struct span begin, struct span rest,
                    const struct span *attachments, unsigned count);

#endif
