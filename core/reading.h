/* reading.h - in which order a worker reads its connections.
 *
 * Who has something to say waits in one of these, and each of them is fair by itself:
 *
 *   in the kernel   a receive is armed, and takes a buffer only when there are bytes for it; the
 *                   sockets that have some come in the order in which they got them, a limited
 *                   number in each turn (GATHERED_MAX)
 *   starved         its bytes had come and every buffer was in use. From here each is read once,
 *                   the longest waiting first, and no more in a turn than there are buffers: so
 *                   nobody asks twice in vain, and nobody who comes later is served before
 *   floods          it asks for much while the worker is busy (connection->once)
 *   resumed         it has kept input that may be looked at (again)
 *
 * Nobody is silent whom the worker has not listened to. `heard_ns` says up to when everything that
 * had come to the sockets was handled, but for those in the three lists; a deadline is the peer's
 * fault only if it lies before that (reading_heard).
 *
 * Threads: the worker. Owns: nothing. */
#ifndef RINGPOST_CORE_READING_H
#define RINGPOST_CORE_READING_H

#include "core/base/list.h"

#include <stdbool.h>
#include <stdint.h>

struct completion;
struct connection;
struct worker;

/* The connections of a worker whose input waits for something. */
struct reading {
    struct list resumed;     /* their kept input is to be looked at */
    struct list starved;     /* their receive ended for want of a buffer; the oldest first */
    struct list floods;      /* to be read by one buffer (connection->once) */
    int64_t flood_credit_ns; /* time that taking in from them may use though deliveries wait */
    uint64_t heard_ns;
    uint64_t mark_ns;   /* heard_ns is to become that */
    uint32_t mark_left; /* when so many connections more have been read */
    uint64_t last_tag;  /* of a receive: several in a row are one */
    bool piles;         /* what had come waits longer than ACCEPT_LATE_NS: listener.h */
    uint64_t late_ns; /* since when it reads late (READ_LATE_NS), and has said so; 0: it does not */
    uint64_t seen_late_ns;
};

void reading_init(struct reading *reading, uint64_t now_ns);
/* Called by the loop: a receive has completed; all completions that there was time for are handled,
 * and `all` says whether these are all that there were. */
void reading_received(struct reading *reading, const struct completion *completion);
void reading_look(struct worker *worker, bool all);
/* Its receive has ended for want of a buffer; and: arms receives of those who wait for one. */
void starved_add(struct worker *worker, struct connection *connection);
void starved_handle(struct worker *worker);
/* Does the worker read so late that peers are made to wait? Then it is overloaded (`behind`). */
static inline bool reading_late(const struct reading *reading) {
    return reading->late_ns != 0;
}
/* Has everything been heard that a peer may have said until `due_ns`? If not, its deadline is to be
 * put off by DEADLINE_GRACE_NS. NULL: it has no connection of its own now. */
bool reading_heard(const struct worker *worker, const struct connection *connection,
                   uint64_t due_ns);

#endif
