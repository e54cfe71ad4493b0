/* engine.h - Engine.IO sessions: one client each, over polls or a WebSocket, whichever it has now.
 *
 *   handshake (poll or WebSocket) -> on_open -> on_message ... engine_write ... -> on_close
 *
 * A session lives on the worker that took its handshake, its home; polls that arrive elsewhere go
 * there by mail. It is found by its sid, which names node, worker and slot. What speaks on it, the
 * app, is given for each path by the composition root (engines_init), and has `state_bytes` in the
 * same slot.
 *
 * What is written waits in two places. Packets of engine_write wait in the session, in their order.
 * Messages for sessions of the core (session.h) wait in engine_outbox: while the session has a
 * WebSocket that is the connection's outbox, between polls it is one of the session's own. A poll
 * is answered with all packets of engine_write first, then with messages, the oldest first, up to
 * --max-payload. Over a WebSocket both leave in the order in which they were written.
 *
 *   session_type.outbox     engine_outbox
 *   session_type.on_parked  engine_on_parked
 *   session_type.encoding   by engine_form; a change of form re-encodes what waits by itself
 *   session_type.close      engine_close, or a packet of the app's and engine_finish
 *
 * Messages are written into the frames of an encoding as follows, by engine_form (a packet begins
 * with its type, '4' for a message):
 *
 *   EIO4_SOCKET, EIO3_SOCKET  WebSocket frames from the server: one of text with "4..."; for each
 *                             attachment one more, binary: EIO4 the bytes alone, EIO3 0x04 and the
 *                             bytes
 *   EIO4_POLL                 "4..."; for each attachment 0x1e, 'b' and base64 of the bytes. The
 *                             0x1e between messages is not the encoding's
 *   EIO3_POLL                 "<length in UTF-16 units of what follows>:4..."; for each attachment
 *                             "<length>:b4" and base64
 *   EIO3_POLL_BINARY          0x00, the length in bytes as one byte for each decimal digit, 0xFF,
 *                             "4..."; for each attachment 0x01, the length likewise, 0xFF, 0x04 and
 *                             the bytes
 *
 * engine_codec.h writes each of these.
 *
 * Threads: the session's home worker; engines_init and engines_fini: before the workers run, after
 * they have ended. Owns: slots, charged to the worker. Limits: ENGINE_SLOTS_MAX a worker; packets
 * of engine_write that wait: ENGINE_WRITTEN_BYTES_MAX; then the session is closed (`too_slow`). */
#ifndef RINGPOST_PROTO_WEB_EIO_ENGINE_H
#define RINGPOST_PROTO_WEB_EIO_ENGINE_H

#include "core/base/span.h"
#include "core/net.h"
#include "core/stats.h"

struct engine;
struct outbox;
struct server;
struct session;
struct worker;

#define ENGINE_SID_BYTES 20
#define ENGINE_WRITTEN_BYTES_MAX (256 * 1024)

enum engine_form { EIO4_SOCKET, EIO3_SOCKET, EIO4_POLL, EIO3_POLL, EIO3_POLL_BINARY };

/* What speaks on the sessions of one path. The last three functions may be NULL. */
struct engine_app {
    size_t state_bytes; /* of its own, zeroed, in the slot of each session: engine_state */
    /* A session has come: the open packet is on its way, and the app may write behind it. What it
     * does may end the session, which on_close tells in here. False: the app does not take it, for
     * want of memory: the handshake is answered 503, and on_close is not called. */
    bool (*on_open)(struct worker *worker, struct engine *engine);
    /* One message; the bytes are valid during the call, text is UTF-8. False: no more now: the
     * transport gives no other before engine_resume. The message was taken either way. */
    bool (*on_message)(struct worker *worker, struct engine *engine, struct span bytes,
                       bool binary);
    /* The session has ended, for whatever reason; exactly once after on_open. The app leaves
     * (session_close with engine_outbox_last) and gives back what its state holds. Nothing may be
     * written any more; the slot is freed when this returns. */
    void (*on_close)(struct worker *worker, struct engine *engine, enum close_reason reason);
    /* The node drains, and no message can come any more: says goodbye if it has one, and calls
     * engine_finish. NULL: engine_finish is called for it. */
    void (*on_drain)(struct worker *worker, struct engine *engine);
    /* Does somebody wait for an acknowledgement of its client (fates_waited)? Then on_drain waits,
     * too. NULL: nobody can. */
    bool (*is_waited)(const struct worker *worker, const struct engine *engine);
    /* The time set with engine_deadline has come. NULL: it sets none. */
    void (*on_deadline)(struct worker *worker, struct engine *engine);
};

enum engine_path { ENGINE_PATH_SOCKETIO, ENGINE_PATH_ECHO, ENGINE_PATHS };

/* The app's own: state_bytes of it. */
void *engine_state(struct engine *engine);
/* The session of a state. */
struct engine *engine_of_state(const void *state);

/* One message packet, text or binary, copied; `binary` ones that belong to a text follow it at
 * once. False: the session has closed for it (no memory, or too much waits), on_close has been
 * called, and `engine` is gone. */
bool engine_write(struct worker *worker, struct engine *engine, struct span text);
bool engine_write_binary(struct worker *worker, struct engine *engine, struct span bytes);
/* Would what is written now leave at once: is there a WebSocket with nothing unsent, or a poll? */
bool engine_is_writable(const struct engine *engine);

/* Where messages wait now; NULL: none is taken any more (it closes). */
struct outbox *engine_outbox(struct engine *engine);
/* The same for session_close, also in on_close. Never NULL. */
struct outbox *engine_outbox_last(struct engine *engine);
/* Something waits in an outbox of the session's own that was empty. */
void engine_on_parked(struct worker *worker, struct engine *engine);
/* How messages for it are to be written at this moment. */
enum engine_form engine_form(const struct engine *engine);

/* Did the message that is being given to the app come in a poll of version 3, and in a payload of
 * text? Some clients encode those in UTF-8 twice. */
bool engine_polled_text(const struct engine *engine);

/* Messages are given to the app again, in a later turn. */
void engine_resume(struct worker *worker, struct engine *engine);

/* One session of the app more, or less, is held (session_type.hold): nothing leaves while any is.
 */
void engine_session_hold(struct worker *worker, struct engine *engine, bool holds);

/* Ends the session now: on_close is called before this returns. A poll that waits gets what was
 * written by engine_write and a close packet; messages that wait are dropped. A WebSocket gets its
 * close frame behind what was written. */
void engine_close(struct worker *worker, struct engine *engine, enum close_reason reason);
/* Ends it once everything that waits has left, at most ENGINE_FINISH_NS later: nothing is taken
 * from the client any more, and engine_write writes nothing. on_close is called then, in a later
 * turn or now. */
void engine_finish(struct worker *worker, struct engine *engine, enum close_reason reason);
#define ENGINE_FINISH_NS (30 * NS_PER_S)

/* Why the session ends if the client closes its WebSocket from now on; CLOSE_CLIENT at first: by
 * its own wish. */
void engine_parting(struct engine *engine, enum close_reason reason);

/* Arms, moves, or with 0 disarms the app's deadline. */
void engine_deadline(struct worker *worker, struct engine *engine, uint64_t due_ns);

/* 4 or 3. */
unsigned engine_version(const struct engine *engine);
/* Its sid, ENGINE_SID_BYTES long; valid as long as `room`. */
struct span engine_sid(const struct worker *worker, const struct engine *engine,
                       char room[ENGINE_SID_BYTES]);
const struct peer_address *engine_peer(const struct engine *engine);
/* The query of the handshake without Engine.IO's own parameters, as it was written (`&` between);
 * for query_step. It is kept until engine_query_drop. */
struct span engine_query(const struct engine *engine);
void engine_query_drop(struct worker *worker, struct engine *engine);
/* "polling" or "websocket". */
const char *engine_transport(const struct engine *engine);

/* Prepares the sessions of all workers; `apps` by path, NULL where none is served. Once, after
 * server_init and before the workers run. False: no memory. */
bool engines_init(struct server *server, const struct engine_app *const apps[ENGINE_PATHS]);
/* After all workers have ended. Does not look into `server`, whose workers may be freed already. */
void engines_fini(void);

#endif
