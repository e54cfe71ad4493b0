/* handover.h - connections that change: their protocol, or their worker.
 *
 * connection_become, at once:
 *
 *     on_leave of the old protocol -> empty state, no timer -> on_open of the new one (on_drain, if
 *     the old one was told) -> what the old one did not consume goes to the new one
 *
 * What the old one wrote leaves before what the new one writes; on_sent comes to the new one for
 * all of it. A pause ends, `intake` is nobody's, an end of the peer that was told is told again.
 * Whether the peer takes its answers (throttled), and whether the turn has time for its input
 * (yielded), is the engine's and stays as it is. Nothing may be under way for the old protocol: no
 * publish, no hand-over.
 *
 * connection_hand_over, over some turns:
 *
 *     no input is taken any more, the receive is cancelled; what still comes with it is kept
 *       -> nothing in flight, nothing unsent, no publish outstanding
 *       -> a descriptor is lent for a socket in the ring's table of files
 *       -> on_leave; the place is emptied, the slot freed  ---- MOVE ---->  on_open (on_drain, if
 *          its sweep has begun); what was kept goes to on_bytes; then receiving begins
 *
 * The connection keeps its place in the node and with --max-per-address; it is neither closed nor
 * accepted, and no message may be addressed to it meanwhile: a session leaves it before. Its handle
 * resolves to nothing afterwards. Until on_leave it is its protocol's as before, whose timer goes
 * on and bounds the wait: it may write and close, but gets no bytes and no end. What becomes of it:
 *
 *     the peer closes, or sends on   the other worker hears of it, behind what was kept
 *     the connection is closed or    there is no hand-over any more
 *     finished, or breaks, or there
 *     is no memory for its input
 *     no room in the mailbox, no     it stays: on_stayed
 *     memory or descriptor
 *     no slot, no place there        it is closed there (`overloaded`)
 *     the node drains                the new on_drain is called, also if the old one was told
 *     the node has stopped           it is closed there (`stopped`)
 *
 * Threads: the worker's; handover_drop: after all threads have ended. Owns: the socket and the
 * input that are on their way, charged to the node. Limits: a move is a request (mailbox.h); a
 * descriptor of the process each. Counted: moved, moves_failed. */
#ifndef RINGPOST_CORE_HANDOVER_H
#define RINGPOST_CORE_HANDOVER_H

#include "core/connection.h"

struct mail;

/* The open connection speaks another protocol from now on. From inside the old one's on_bytes,
 * which returns at once then and says how much it consumed; or between completions. */
void connection_become(struct worker *worker, struct connection *connection,
                       const struct protocol *protocol);
/* The open connection goes on as one of worker `to`, which is another one, with the protocol that
 * it has now. From inside on_bytes, which returns at once then: what it leaves travels along; or
 * between completions. */
void connection_hand_over(struct worker *worker, struct connection *connection, unsigned to);

/* Called by connection.c. Something has ended that a hand-over may have waited for: this turn looks
 * at it. */
static inline void handover_look(struct worker *worker, struct connection *connection) {
    if (connection->moving != 0)
        connection_look_again(worker, connection);
}
/* It does; a descriptor has been lent, or not (result < 0). The slot may be free afterwards. */
void handover_step(struct worker *worker, struct connection *connection);
void handover_on_lent(struct worker *worker, struct connection *connection, int32_t result);
/* A connection has come. */
void handover_on_mail(struct worker *worker, const struct mail *mail);
/* Gives up one whose mail came after the last turn. */
void handover_drop(struct worker *worker, const struct mail *mail);

#endif
