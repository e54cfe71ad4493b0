/* protocol.h - what the engine calls when bytes, time or the end come to a connection.
 *
 * A protocol lives in proto/ or ingest/ and owns the `state` area of its connections. It is called
 * on the connection's worker only, between completions; it may write, close, publish, arm the
 * connection's timer. Pointers to other connections die when it returns.
 *
 * The area has CONNECTION_STATE_BYTES, which every idle connection pays for. What a parser needs
 * beyond that, or only at times, stands in memory of its own behind a pointer in the area, charged
 * to the worker (memory.h); HTTP does so with a request of which a part is missing.
 *
 * A connection may change its protocol, or its worker (handover.h). For the protocol that it had
 * here that is on_leave instead of on_close, for the one that it has then on_open.
 *
 * Threads: the connection's worker. */
#ifndef RINGPOST_CORE_PROTOCOL_H
#define RINGPOST_CORE_PROTOCOL_H

#include "core/base/span.h"

struct worker;
struct connection;
struct session;

struct protocol {
    const char *name;
    /* A new connection, or one that comes from another protocol or worker; the state area is
     * zeroed. Arms the first deadline. */
    void (*on_open)(struct worker *worker, struct connection *connection);
    /* Bytes have come. Returns how many were consumed, from the front; the engine keeps the rest
     * and hands it over again, with what follows, contiguous, once more bytes have come or after
     * connection_resume. The bytes may be written to (de-chunking in place), but the unconsumed
     * ones must stay valid. After connection_close the result is ignored. */
    size_t (*on_bytes)(struct worker *worker, struct connection *connection, char *at, size_t len);
    /* At most so many unconsumed bytes are kept; when as many are there and nothing was consumed,
     * on_flood is called. */
    size_t (*input_max)(struct worker *worker, struct connection *connection);
    void (*on_flood)(struct worker *worker, struct connection *connection);
    /* Bytes had to be thrown away because there is no memory to keep them. Says so to the peer and
     * takes no more of its input: it finishes the connection, or consumes what comes without
     * looking until it does. `lost` begins where it had consumed to. NULL: the connection is closed
     * (`overloaded`). */
    void (*on_no_memory)(struct worker *worker, struct connection *connection, struct span lost);
    /* The peer has sent its end and everything before it was handed over; it may still read. NULL:
     * the connection is closed (`client`). */
    void (*on_end)(struct worker *worker, struct connection *connection);
    /* The same while its input is paused, so that on_end is not called yet; perhaps not everything
     * before it was handed over. It may be told again, where more was handed over and it is paused
     * still. NULL: it is told when the input is resumed. */
    void (*on_end_unread)(struct worker *worker, struct connection *connection);
    /* The connection's timer fired. */
    void (*on_deadline)(struct worker *worker, struct connection *connection);
    /* Everything that was written has left. NULL: not interested. */
    void (*on_sent)(struct worker *worker, struct connection *connection);
    /* Does somebody wait for an acknowledgement of its session (fates_waited)? Then on_drain is
     * called when that has ended. NULL: nobody can. */
    bool (*is_waited)(const struct worker *worker, const struct connection *connection);
    /* The session on the connection, if its client acknowledges over others (session_ack.h); NULL:
     * there is none. The member may be NULL, too. */
    struct session *(*session)(struct connection *connection);
    /* The node drains: say goodbye and close when nothing is owed any more. */
    void (*on_drain)(struct worker *worker, struct connection *connection);
    /* The connection goes on with another protocol or on another worker: leave groups, give back
     * what the state holds, as on_close and on_free would, neither of which is called. Nothing may
     * be written, closed or published. NULL: the state holds nothing. */
    void (*on_leave)(struct worker *worker, struct connection *connection);
    /* connection_hand_over could not be done: the connection stays here, as it was, and takes input
     * again, first what was not consumed. NULL: it is closed (`overloaded`). */
    void (*on_stayed)(struct worker *worker, struct connection *connection);
    /* The connection has begun to close: leave groups, give back what the state holds. Called
     * exactly once, whatever the reason, unless on_leave was; nothing may be written any more. */
    void (*on_close)(struct worker *worker, struct connection *connection);
    /* The slot is about to be freed: no operation, no publish is outstanding. NULL: nothing to do.
     */
    void (*on_free)(struct worker *worker, struct connection *connection);
};

#endif
