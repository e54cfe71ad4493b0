/* backlog.h - how much waits for one session, and whether its peer is slow.
 *
 * Whatever waits for a session counts here, wherever it stands: in the outbox of its connection,
 * which other sessions may share, or in one of its own while it has no connection (outbox.h). It is
 * bounded by bytes (--outbox-bytes) and by messages (BACKLOG_MESSAGES_MAX).
 *
 * A peer that takes what it is given is not slow: where more than half the limit waits, or a
 * message does not fit, and the socket or the session's next request must take some first, the peer
 * has SLOW_NS to take a quarter of what waits, or of half the limit if that is less. What a peer
 * reads is seen in steps, since the socket takes more only when much of the peer's receive buffer
 * is free. So who reads half the limit in that time is not slow, as long as its buffer is not
 * larger than the limit. The time in which the worker had no turn for its sends, or had not seen
 * that they had ended, is not the peer's.
 *
 * Threads: the session's worker. Owns: nothing. */
#ifndef RINGPOST_CORE_BACKLOG_H
#define RINGPOST_CORE_BACKLOG_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

#define BACKLOG_MESSAGES_MAX 16384
#define BACKLOG_TICK_MS 64

struct backlog {
    uint32_t bytes; /* of messages that wait or are in flight */
    uint32_t messages : 15;
    uint32_t since : 17;  /* since when something waits all the time: BACKLOG_TICK_MS, wraps */
    uint32_t watch_ms;    /* since when it is looked whether the peer is slow; 0: it is not */
    uint32_t watch_bytes; /* that it must take until it is slow */
};

/* So much more waits for it, or so much less. */
void backlog_add(const struct worker *worker, struct backlog *backlog, uint32_t messages,
                 uint32_t bytes);
void backlog_take(struct backlog *backlog, uint32_t messages, uint32_t bytes);
/* Was there a moment within that time when nothing waited, give or take a tick? After 2.3 hours
 * without one this says yes again for a while. */
bool backlog_was_empty(const struct worker *worker, const struct backlog *backlog,
                       uint64_t within_ns);

/* Is there room for one more? One that is larger than the limit by itself may still be alone. */
bool backlog_has_room(const struct backlog *backlog, uint32_t wanted_bytes, uint32_t limit_bytes);
bool backlog_half_full(const struct worker *worker, const struct backlog *backlog);
/* Notes what the peer must take from now on, unless that is noted already. To be called only while
 * the peer must take something first: a send waits for the socket, or there is no connection. */
void backlog_watch(const struct worker *worker, struct backlog *backlog);
/* The peer took so many bytes; they are not counted any more. With less than half, and room for any
 * message, nobody waits for it. */
void backlog_took(const struct worker *worker, struct backlog *backlog, uint32_t bytes);
/* So long it was not for the peer that anything waited. */
void backlog_excuse(const struct worker *worker, struct backlog *backlog, uint32_t ms);
/* Asked when something does not fit. */
bool backlog_is_slow(const struct worker *worker, const struct backlog *backlog);

#endif
