/* stats.h - what an endpoint counts, as closed lists: to add a counter, add a line here.
 *
 * Each endpoint writes its own block with relaxed stores (a plain add on x86) and anybody may read
 * it. A reading across them is not a snapshot; GET /v1/stats and the audit ask each worker for a
 * copy made between two turns, in which the ledger of copies balances exactly. Ports (port.h) are
 * read as they are: they have no sessions, and make no copies but those that are dropped at once.
 *
 * The ledger of copies: every message that reaches a session makes one copy; a copy is waiting,
 * sent (handed to the socket whole) or dropped for exactly one reason.
 *
 * The ledger of acknowledged messages has one entry for each client id of such a message, counted
 * by the keeper of the id (keeper.h): accepted = acked + expired + dropped for one reason +
 * pending. What a store does not have yet is pending (keeper_safe.c). Their copies, of which an
 * entry may have none or several, are in the ledger of copies as well.
 *
 * What waits and what is pending is counted as it comes and goes, and found in its queues again
 * whenever GET /v1/stats is answered (tally.h).
 *
 * Threads: stats_add: the owner; stats_get: any. */
#ifndef RINGPOST_CORE_STATS_H
#define RINGPOST_CORE_STATS_H

#include "core/config.h"
#include "core/message.h"

#include <stdatomic.h>

/* Why a connection ended: wire word or log word, what it means. */
#define CLOSE_REASONS(X)                                                                           \
    X(CLIENT, "client", "the peer closed")                                                         \
    X(PEER_ERROR, "peer_error", "the connection broke")                                            \
    X(BAD_JSON, "bad_json", "a line was not JSON")                                                 \
    X(BAD_FRAME, "bad_frame", "the framing was broken")                                            \
    X(BAD_MESSAGE, "bad_message", "a wrong hello")                                                 \
    X(HELLO_REQUIRED, "hello_required", "something else came before the hello")                    \
    X(HELLO_TIMEOUT, "hello_timeout", "no hello in time")                                          \
    X(HEARTBEAT_TIMEOUT, "heartbeat_timeout", "nothing heard in time")                             \
    X(UNAUTHORIZED, "unauthorized", "not allowed in")                                              \
    X(TOO_LARGE, "too_large", "a line or body over its limit")                                     \
    X(TOO_MANY_GROUPS, "too_many_groups", "a hello with too many groups")                          \
    X(TOO_SLOW, "too_slow", "the outbox was full")                                                 \
    X(OVERLOADED, "overloaded", "no memory or no room for it")                                     \
    X(DRAINING, "draining", "the node is going")                                                   \
    X(DRAIN_TIMEOUT, "drain_timeout", "the outbox was not empty in time while draining")           \
    X(CLOSED_BY_API, "closed_by_api", "DELETE /v1/clients")                                        \
    X(HTTP_DONE, "http_done", "the last answer was given")                                         \
    X(HTTP_BAD_REQUEST, "http_bad_request", "a request that was no HTTP")                          \
    X(HTTP_TIMEOUT, "http_timeout", "a request was not whole, or an answer not read, in time")     \
    X(HTTP_IDLE, "http_idle", "no request for a while")                                            \
    X(BAD_PROXY_HEADER, "bad_proxy_header", "a missing or broken PROXY header")                    \
    X(STOPPED, "stopped", "the node stopped")

enum close_reason {
    CLOSE_NONE,
#define CLOSE_ENUM(name, word, what) CLOSE_##name,
    CLOSE_REASONS(CLOSE_ENUM)
#undef CLOSE_ENUM
        CLOSE_REASON_COUNT
};
const char *close_reason_word(enum close_reason reason);

/* Why a copy was dropped. */
#define DROP_REASONS(X)                                                                            \
    X(EXPIRED, "expired", "its ttl ended in the queue")                                            \
    X(TOO_SLOW, "too_slow", "the session was closed as too slow")                                  \
    X(DROP_OLDEST, "drop_oldest", "--slow drop-oldest made room")                                  \
    X(KEEP_LATEST, "keep_latest", "--slow keep-latest replaced it")                                \
    X(VOLATILE, "volatile", "volatile, and the session was slow")                                  \
    X(GONE, "gone", "the session ended before it was sent")                                        \
    X(DRAIN_TIMEOUT, "drain_timeout", "not sent when the drain ended")                             \
    X(NO_MEMORY, "no_memory", "the memory ceiling was reached")

enum drop_reason {
#define DROP_ENUM(name, word, what) DROP_##name,
    DROP_REASONS(DROP_ENUM)
#undef DROP_ENUM
        DROP_REASON_COUNT
};
const char *drop_reason_word(enum drop_reason reason);

/* Why a message that was to be acknowledged was dropped: the word on the wire, what it means. */
#define FATE_REASONS(X)                                                                            \
    X(NONE, "", "it was not")                                                                      \
    X(WITHDRAWN, "withdrawn", "DELETE /v1/messages")                                               \
    X(LENT, "lent", "another node keeps it, and its clients have left this one")

enum fate_reason {
#define FATE_REASON_ENUM(name, word, what) FATE_REASON_##name,
    FATE_REASONS(FATE_REASON_ENUM)
#undef FATE_REASON_ENUM
        FATE_REASON_COUNT
};
const char *fate_reason_word(enum fate_reason reason);

/* Why an accepted connection was refused before it got a slot. */
#define REFUSE_REASONS(X)                                                                          \
    X(CONNECTIONS, "max_connections", "--max-connections is reached")                              \
    X(ADDRESS, "max_per_address", "--max-per-address is reached")                                  \
    X(DESCRIPTORS, "descriptors", "the process has no descriptor left")                            \
    X(MEMORY, "memory", "no memory for a slot")                                                    \
    X(MAILBOX, "mailbox", "no room to hand it to its worker")                                      \
    X(DRAINING, "draining", "the node is going")                                                   \
    X(GONE, "gone", "the peer had gone before it was looked at")

enum refuse_reason {
#define REFUSE_ENUM(name, word, what) REFUSE_##name,
    REFUSE_REASONS(REFUSE_ENUM)
#undef REFUSE_ENUM
        REFUSE_REASON_COUNT
};
const char *refuse_reason_word(enum refuse_reason reason);

/* Why a client of Socket.IO was not let into a namespace: the code of the error, or that there is
 * no such namespace. */
#define CONNECT_REFUSALS(X)                                                                        \
    X(BAD_MESSAGE, "bad_message")                                                                  \
    X(TOO_MANY_GROUPS, "too_many_groups")                                                          \
    X(OVERLOADED, "overloaded")                                                                    \
    X(INVALID_NAMESPACE, "invalid_namespace")

enum connect_refusal {
#define CONNECT_REFUSAL_ENUM(name, word) CONNECT_REFUSED_##name,
    CONNECT_REFUSALS(CONNECT_REFUSAL_ENUM)
#undef CONNECT_REFUSAL_ENUM
        CONNECT_REFUSAL_COUNT
};
const char *connect_refusal_word(enum connect_refusal refusal);

/* What became of a message that was asked for: its state, or the code of the error. Every message
 * is counted once; a request that is refused before its messages are known counts one, of
 * CLASS_UNKNOWN. */
#define RESULTS(X)                                                                                 \
    X(QUEUED, "queued")                                                                            \
    X(ABSENT, "absent")                                                                            \
    X(DROPPED, "dropped")                                                                          \
    X(DUPLICATE, "duplicate")                                                                      \
    X(STORED, "stored")                                                                            \
    X(ACKED, "acked")                                                                              \
    X(PENDING, "pending")                                                                          \
    X(EXPIRED, "expired")                                                                          \
    X(ID_REUSED, "id_reused")                                                                      \
    X(OVERLOADED, "overloaded")                                                                    \
    X(DRAINING, "draining")                                                                        \
    X(RATE_LIMITED, "rate_limited")                                                                \
    X(BAD_JSON, "bad_json")                                                                        \
    X(BAD_MESSAGE, "bad_message")                                                                  \
    X(BAD_FRAME, "bad_frame")                                                                      \
    X(TOO_LARGE, "too_large")                                                                      \
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type")                                            \
    X(UNAUTHORIZED, "unauthorized")                                                                \
    X(FORBIDDEN, "forbidden")                                                                      \
    X(CLUSTER_UNAVAILABLE, "cluster_unavailable")                                                  \
    X(STORAGE_UNAVAILABLE, "storage_unavailable")                                                  \
    X(TIMEOUT, "timeout")

enum result_word {
#define RESULT_ENUM(name, word) RESULT_##name,
    RESULTS(RESULT_ENUM)
#undef RESULT_ENUM
        RESULT_COUNT
};
const char *result_text(enum result_word result);
/* The first result that is a refusal; those before it are states. */
#define RESULT_REFUSALS RESULT_ID_REUSED

enum { CLASS_UNKNOWN = CLASSES, RESULT_CLASSES };

/* Everything else: member, metric name (after "ringpost_"), help. A name that ends in _total only
 * grows. */
#define STATS_COUNTERS(X)                                                                          \
    X(turns, "turns_total", "turns of the worker's loop")                                          \
    X(sleeps, "sleeps_total", "turns that slept")                                                  \
    X(wakes, "wakes_total", "wake-ups of other workers")                                           \
    X(completions, "completions_total", "completions handled")                                     \
    X(sends, "sends_total", "sends started")                                                       \
    X(send_shorts, "send_shorts_total", "sends that took less than was offered")                   \
    X(sent_bytes, "sent_bytes_total", "bytes sent")                                                \
    X(received_bytes, "received_bytes_total", "bytes received")                                    \
    X(buffers_out, "receive_buffers_exhausted_total", "receives that ended for want of a buffer")  \
    X(lingers_cut, "lingers_cut_total",                                                            \
      "ends without the peer's: it sent too much or for too long after its last answer")           \
    X(rearms, "rearms_total", "receives armed again")                                              \
    X(accepted_tcp, "accepted_tcp_total", "connections accepted on tcp")                           \
    X(accepted_web, "accepted_web_total", "connections accepted on web")                           \
    X(accepted_api, "accepted_api_total", "connections accepted on api")                           \
    X(adopted, "adopted_total", "connections handed over by another worker")                       \
    X(moved, "moved_total", "connections moved from another worker, with what they had sent")      \
    X(moves_failed, "moves_failed_total", "such moves that failed: it stayed, or was closed")      \
    X(relays, "relays_total", "requests that another worker carried out: polls of its sessions")   \
    X(relays_refused, "relays_refused_total", "such requests refused: its mailbox was full")       \
    X(accept_errors, "accept_errors_total", "accepts that failed")                                 \
    X(accepts_put_off, "accepts_put_off_total",                                                    \
      "turns in which a listener left connections in its backlog, since a worker reads late")      \
    X(unicasts, "unicasts_total", "messages to one client id")                                     \
    X(unicast_mails, "unicast_mails_total", "mails that messages to one client id took")           \
    X(mail_refused, "mail_refused_total", "messages refused because a mailbox was full")           \
    X(requests_refused, "requests_refused_total", "messages refused: too many in flight")          \
    X(late_refused, "late_refused_total", "messages refused: a worker they go to was late")        \
    X(copies_refused, "copies_refused_total", "messages refused: too many copies waited")          \
    X(behind_refused, "behind_refused_total", "requests to push refused: the worker was behind")   \
    X(shares_merged, "shares_merged_total",                                                        \
      "requests to push of producers beyond the 512 that a worker tells apart")                    \
    X(batches, "batches_total", "pieces of several messages, which sessions take at once")         \
    X(ports_refused, "ports_refused_total",                                                        \
      "messages that a port had no room for; others may have got them")                            \
    X(ports_late, "ports_late_total", "messages that a port did not answer in time")               \
    X(store_refused, "store_full_total",                                                           \
      "messages refused because too many waited for the store already, or it hangs")               \
    X(store_late, "store_late_total", "messages that the store did not answer in time")            \
    X(waits_refused, "waits_refused_total", "waits that did not begin: too many there")            \
    X(memory_refused, "memory_refused_total",                                                      \
      "refusals for want of memory, at the ceiling or not")                                        \
    X(unread_closed, "unread_closed_total",                                                        \
      "connections closed for answers that they did not take, while memory for answers was short") \
    X(answers_refused, "answers_refused_total",                                                    \
      "calls refused: no memory for what they would tell")                                         \
    X(dedup_forgotten, "dedup_forgotten_total", "ids forgotten before their window ended")         \
    X(http_requests, "http_requests_total", "HTTP requests")                                       \
    X(http_errors, "http_errors_total", "HTTP answers of 400 and above")                           \
    X(client_lines, "client_lines_total", "lines from clients")                                    \
    X(probes, "probes_total", "connections on tcp that ended without a hello")                     \
    X(client_errors, "client_errors_total", "error objects sent to clients")                       \
    X(acks_ignored, "acks_ignored_total", "acknowledgements of unknown ids")                       \
    X(acks_backlog_refused, "ack_backlog_refused_total",                                           \
      "messages refused because --ack-backlog was reached for one of their ids")                   \
    X(withdrawals_unsafe, "withdrawals_unsafe_total",                                              \
      "messages taken back, which was not known to be done when it was answered: 503")             \
    X(acks_stopped, "ack_stopped_total",                                                           \
      "times that a session had no room for a message to be acknowledged, which stayed kept")      \
    X(redelivered, "redelivered_total",                                                            \
      "messages handed to a session again, since they were not acknowledged")                      \
    X(trails_forgotten, "resume_ids_forgotten_total",                                              \
      "ids of written messages forgotten early, so that Last-Event-ID will not settle them")       \
    X(sio_packets, "socketio_packets_total", "packets from Socket.IO clients")                     \
    X(sio_bad, "socketio_bad_packets_total",                                                       \
      "packets that were none, or came out of place; most ended their client")                     \
    X(sio_ignored, "socketio_events_ignored_total", "events of clients that nothing listens to")   \
    X(sio_acks_forgotten, "socketio_acks_forgotten_total",                                         \
      "copies whose callback cannot be understood any more: too many were without one")            \
    X(engine_requests, "engine_requests_total", "polls of Engine.IO sessions, GET and POST")       \
    X(engine_refused, "engine_refused_total", "Engine.IO requests refused, for whatever reason")   \
    X(engine_foreign, "engine_foreign_total",                                                      \
      "Engine.IO requests for sessions that this run of this node does not have, not passed on")   \
    X(engine_opened, "engine_opened_total", "Engine.IO sessions opened")                           \
    X(engines_ended, "engine_ended_total", "Engine.IO sessions ended")                             \
    X(engine_upgrades, "engine_upgrades_total", "sessions that went from polling to WebSocket")    \
    X(engine_upgrades_failed, "engine_upgrades_failed_total",                                      \
      "upgrades to WebSocket that were begun and not finished")                                    \
    X(timers_fired, "timers_fired_total", "timers fired")

/* Times, kept in nanoseconds and told in seconds: member, metric name, type, help. */
#define STATS_SECONDS(X)                                                                           \
    X(busy_ns, "busy_seconds_total", "counter", "time in turns, without sleeping")                 \
    X(queue_age_ns, "queue_age_seconds", "gauge",                                                  \
      "age of the oldest message that waits in an outbox; looked at ten times a second")           \
    X(acks_oldest_ns, "ack_oldest_seconds", "gauge",                                               \
      "age of the oldest message that is not acknowledged; looked at ten times a second")

/* Values that go up and down. */
#define STATS_GAUGES(X)                                                                            \
    X(connections, "connections", "connections, with those that are closing")                      \
    X(sessions, "sessions", "registered sessions")                                                 \
    X(names, "names", "client ids and groups in the directory")                                    \
    X(memberships, "memberships", "sessions in groups")                                            \
    X(memory_bytes, "memory_bytes", "memory of what waits, names and memberships")                 \
    X(beyond_bytes, "replies_beyond_memory_bytes",                                                 \
      "of answers that were not taken, beyond --memory: 256 KiB for each worker at the most")      \
    X(fixed_bytes, "fixed_memory_bytes", "rings, queues and slots, which are outside --memory")    \
    X(requests, "requests_in_flight", "messages and calls without an answer yet")                  \
    X(waits, "waits", "waits for something that is no answer to a message under way")              \
    X(behind, "behind", "1 while the worker refuses a part, since more comes than it can serve")   \
    X(outbox_bytes, "outbox_bytes", "bytes of messages waiting in outboxes")                       \
    X(trail_bytes, "resume_bytes", "what was written to streams, kept for Last-Event-ID")          \
    X(engines, "engine_sessions", "Engine.IO sessions, on whatever transport")                     \
    X(engines_polling, "engine_sessions_polling", "those of them that poll")                       \
    X(acks_pending, "ack_pending", "messages not acknowledged yet, one for each client id")

/* How old messages are when the kernel has taken them: upper bounds of the histogram's buckets. */
#define DELAY_BOUNDS(X)                                                                            \
    X(1, "0.001")                                                                                  \
    X(5, "0.005")                                                                                  \
    X(10, "0.01")                                                                                  \
    X(25, "0.025")                                                                                 \
    X(50, "0.05")                                                                                  \
    X(100, "0.1")                                                                                  \
    X(250, "0.25")                                                                                 \
    X(500, "0.5")                                                                                  \
    X(1000, "1")                                                                                   \
    X(2500, "2.5")                                                                                 \
    X(5000, "5")                                                                                   \
    X(10000, "10")                                                                                 \
    X(60000, "60")
#define DELAY_COUNT(ms, text) +1
enum { DELAY_BUCKETS = 0 DELAY_BOUNDS(DELAY_COUNT) + 1 }; /* the last one has no bound */
#undef DELAY_COUNT

#define STATS_MAILS 24 /* kinds of mails, at most (mailbox.h) */

struct stats {
#define STATS_MEMBER(member, name, help) _Atomic uint64_t member;
    STATS_COUNTERS(STATS_MEMBER)
    STATS_GAUGES(STATS_MEMBER)
#undef STATS_MEMBER
#define STATS_MEMBER(member, name, type, help) _Atomic uint64_t member;
    STATS_SECONDS(STATS_MEMBER)
#undef STATS_MEMBER
    _Atomic uint64_t closed[CLOSE_REASON_COUNT];
    _Atomic uint64_t refused[REFUSE_REASON_COUNT];
    _Atomic uint64_t connects_refused[CONNECT_REFUSAL_COUNT];
    _Atomic uint64_t results[RESULT_CLASSES][RESULT_COUNT]; /* at their producer's worker */
    _Atomic uint64_t auth_failures[LISTENER_KINDS];
    _Atomic uint64_t mails[STATS_MAILS];             /* by kind */
    _Atomic uint64_t encoded[ENCODINGS_MAX];         /* messages, by the place of the encoding */
    _Atomic uint64_t delays[CLASSES][DELAY_BUCKETS]; /* copies sent, by age; not cumulative */
    _Atomic uint64_t delay_ns[CLASSES];              /* the sum of their ages */
    _Atomic uint64_t copies[CLASSES];                /* made */
    _Atomic uint64_t copies_sent[CLASSES];
    _Atomic uint64_t copies_waiting[CLASSES]; /* gauge */
    _Atomic uint64_t copies_dropped[CLASSES][DROP_REASON_COUNT];
    /* Entries of the ledger of acknowledged messages, at their keeper; acks_pending is above. */
    _Atomic uint64_t acks_accepted, acks_acked, acks_expired;
    _Atomic uint64_t acks_dropped[FATE_REASON_COUNT];
};

static inline void stats_add(_Atomic uint64_t *counter, uint64_t by) {
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by,
                          memory_order_relaxed);
}
static inline void stats_sub(_Atomic uint64_t *gauge, uint64_t by) {
    atomic_store_explicit(gauge, atomic_load_explicit(gauge, memory_order_relaxed) - by,
                          memory_order_relaxed);
}
static inline void stats_set(_Atomic uint64_t *gauge, uint64_t value) {
    atomic_store_explicit(gauge, value, memory_order_relaxed);
}
static inline uint64_t stats_get(const _Atomic uint64_t *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}
/* So many copies were handed to the kernel, so long after their message was accepted. */
void stats_delay(struct stats *stats, unsigned class, uint32_t copies, uint64_t age_ns);
/* A message, or a request for messages, is refused before its class is known; `code` is the word of
 * the error. Nothing is counted for one that no message can be refused with (not_found). */
void stats_refuse(struct stats *stats, const char *code);
/* The result of that word; RESULT_COUNT if it is none. */
enum result_word result_find(const char *word);
/* Adds every member of `from` to `into`; `into` belongs to the caller. */
void stats_sum(struct stats *into, const struct stats *from);

#endif
