/* store.h - the seat of a store that messages to be acknowledged survive the process in.
 *
 * A store is a port (port.h) that the engine asks, and waits for, at two moments:
 *
 *   producer's endpoint        keepers (keeper.h)              the store's thread
 *
 *   hub_publish --DELIVER--->  reserved
 *               <--ANSWER----
 *   store_put ---------------- PUT -------------------------> it is safe now
 *               <------------- PUT_DONE -------------------
 *   answered 202 --DECIDE--->  kept, handed over
 *                              acknowledged -- SETTLE ------> the same; then store_settled
 *
 * Nothing is stored that is refused for want of room, no client sees a message that may not
 * survive, and nobody is told of an acknowledgement that may be forgotten. Without a store (`store`
 * of server_parts is NULL) a message is taken by its keepers alone, and lost with the process.
 *
 * Time: a publish waits STORE_ANSWER_NS at most; then its producer is told that the storage is
 * unavailable. Which of the two comes first, that or the store, is decided under the lock of the
 * message's fate: fates_stored and fates_give_up. What was given up the store takes back.
 * A store whose thread hangs in the disk (STORE_SILENT_NS) is asked nothing more until it is back.
 * Credit: an endpoint has at most half of requests_max messages at the store, with what was given
 * up and not answered yet; beyond that it refuses at once.
 *
 * The end: with PHASE_CLOSING what is at the store is given up, so that its producers are told. A
 * store that is not through with PHASE_STOPPED PORT_STOP_NS later is silent, and the process ends
 * without it.
 *
 * A start: before PHASE_RUNNING the store opens each message that it has, with its fate, and gives
 * it to its keepers by store_restore, by the order of their serials.
 *
 * Threads: as each function says. Owns: nothing but the port. */
#ifndef RINGPOST_CORE_STORE_H
#define RINGPOST_CORE_STORE_H

#include "core/fates.h"
#include "core/port.h"

struct publish;
struct store;

/* What is said of a store to operators (the metrics); any thread reads them. A counter only
 * grows. */
#define STORE_COUNTERS(X)                                                                          \
    X(records, "records_total", "records written")                                                 \
    X(written_bytes, "written_bytes_total", "bytes written")                                       \
    X(commits, "commits_total", "groups of records written")                                       \
    X(syncs, "syncs_total", "times that the disk was told to keep what was written")               \
    X(failures, "failures_total", "writes and syncs that failed")                                  \
    X(refused, "refused_total", "messages refused because the store could not take them")          \
    X(reclaimed_bytes, "reclaimed_bytes_total", "bytes of segments that were used again")          \
    X(copied_bytes, "copied_bytes_total", "bytes of records copied out of such segments")
#define STORE_GAUGES(X)                                                                            \
    X(disk_bytes, "bytes", "bytes of all segments")                                                \
    X(live_bytes, "live_bytes", "bytes of records that a start needs")                             \
    X(segments, "segments", "segments in use")                                                     \
    X(spares, "spare_segments", "segments allocated ahead")                                        \
    X(unreadable, "unreadable_segments", "1 while the oldest segment cannot be read")              \
    X(cut_bytes, "cut_bytes", "bytes of a torn end that the start cut off")                        \
    X(cut_records, "cut_records", "records that can be read in what the start cut off")            \
    X(restored, "restored", "messages that were pending at the start")                             \
    X(waiting, "waiting", "messages and acknowledgements that are not safe yet")

/* Syncs by the time that they took: upper bounds of the histogram's buckets, in microseconds and as
 * the metrics have them. */
#define SYNC_BOUNDS(X)                                                                             \
    X(200, "0.0002")                                                                               \
    X(500, "0.0005")                                                                               \
    X(1000, "0.001")                                                                               \
    X(2000, "0.002")                                                                               \
    X(5000, "0.005")                                                                               \
    X(10000, "0.01")                                                                               \
    X(20000, "0.02")                                                                               \
    X(50000, "0.05")                                                                               \
    X(100000, "0.1")                                                                               \
    X(200000, "0.2")                                                                               \
    X(500000, "0.5")                                                                               \
    X(1000000, "1")                                                                                \
    X(2000000, "2")                                                                                \
    X(5000000, "5")                                                                                \
    X(10000000, "10")
#define SYNC_COUNT(us, text) +1
enum { SYNC_BUCKETS = 0 SYNC_BOUNDS(SYNC_COUNT) + 1 }; /* the last one has no bound */
#undef SYNC_COUNT

struct store_figures {
#define STORE_FIGURE(member, name, help) _Atomic uint64_t member;
    STORE_COUNTERS(STORE_FIGURE)
    STORE_GAUGES(STORE_FIGURE)
#undef STORE_FIGURE
    _Atomic uint64_t sync_buckets[SYNC_BUCKETS];
    _Atomic uint64_t sync_ns;         /* all syncs together */
    _Atomic uint64_t sync_longest_ns; /* since the start */
};

/* All on the store's thread. */
struct store_type {
    /* A message is to survive. The mail's object is the message: takes over its hold, and that of
     * its fate (fates_release). Answers by store_answer once, now or later, perhaps when nobody
     * waits any more. `number` of the mail: how many recipients its producer is told. */
    void (*put)(struct store *store, const struct mail *mail);
    /* An address is settled: to survive, then to be settled by store_settled. Takes over the hold
     * of the message; its fate stays, since it is not settled. */
    void (*settle)(struct store *store, struct message *message, uint32_t address,
                   enum fate_state state, enum fate_reason reason);
};

struct store {
    struct port port; /* aligned, so it comes first */
    const struct store_type *type;
    const char *kind;        /* for the log and /v1/stats: "disk" */
    atomic_bool unavailable; /* it cannot keep anything at the moment, as it has found */
    uint32_t restoring;      /* messages for each keeper, at a start */
    uint64_t untaken;        /* at its end: refused, and perhaps there after the next start */
    struct store_figures figures;
};

void store_init(struct store *store, const struct store_type *type,
                const struct port_type *port_type, const char *kind);

/* The node has ended, or nobody but the store is not through: what is settled, and not known to be
 * safe, for each client id; at the most. */
uint64_t store_unsafe(const struct server *server);

/* May it keep something, as far as is known at this moment? Any thread. */
bool store_is_available(const struct store *store, uint64_t now_ns);

/* --- the producer's endpoint ----------------------------------------------------------------- */

void storing_init(struct storing *storing);
/* All keepers have reserved a place for the publish's message: it goes to the store, and then on by
 * keeper_decide. */
void store_put(struct endpoint *endpoint, struct publish *publish);
/* The node ends: what is at the store, and not known to be safe, is given up. */
void store_give_up(struct endpoint *endpoint);
void store_on_put_done(struct endpoint *endpoint, const struct mail *mail);

/* --- a keeper -------------------------------------------------------------------------------- */

/* An address of a message is settled; takes over a hold. False: no room in the mailbox. */
bool store_settle(struct endpoint *endpoint, struct message *message, uint16_t address,
                  enum fate_state state, enum fate_reason reason);

/* --- the store ------------------------------------------------------------------------------- */

void store_on_put(struct endpoint *endpoint, const struct mail *mail);
void store_on_settle(struct endpoint *endpoint, const struct mail *mail);
/* One that came after the last turn. */
void store_drop_put(struct endpoint *endpoint, const struct mail *mail);
/* `stored`: it is safe, and fates_stored said yes. */
void store_answer(struct store *store, const struct mail *request, bool stored);
/* An address that a keeper settled is safe: its fate is told. */
void store_settled(struct store *store, struct fate *fate, uint32_t address, enum fate_state state,
                   enum fate_reason reason, uint64_t settled_ns);
/* Before PHASE_RUNNING: so many messages are about to be given to their keepers. */
void store_restoring(struct store *store, uint64_t count);
/* Before PHASE_RUNNING: gives the message, which has a fate, to its keepers; takes over a hold.
 * Waits for room, for the workers run. False: they do not. */
bool store_restore(struct store *store, struct message *message);
/* Waits until the workers have all that was restored. False: they do not run. */
bool store_restored(struct store *store);

#endif
