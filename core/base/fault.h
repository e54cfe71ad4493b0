/* fault.h - planted bugs, to prove that the tests would find real ones.
 *
 * `FAULT(name)` is false in every build but those made with RINGPOST_FAULTS (the simulation), where
 * the test switches one on by name and must then see an invariant break. The closed list is below;
 * the simulation runs through all of it.
 *
 * Threads: single-threaded builds only. */
#ifndef RINGPOST_CORE_BASE_FAULT_H
#define RINGPOST_CORE_BASE_FAULT_H

#include <stdbool.h>

#define FAULT_LIST(X)                                                                              \
    X(OUTBOX_SKIP_SHORT, "a short send is taken for a whole one")                                  \
    X(OUTBOX_DOUBLE_SEND, "a second send starts while one is in flight")                           \
    X(PARCEL_LEAK, "a parcel is not released when its piece was sent")                             \
    X(MAIL_LOST, "a mail is dropped instead of pushed")                                            \
    X(MAIL_REORDER, "two mails change places")                                                     \
    X(WAKE_LOST, "a sleeping worker is not woken")                                                 \
    X(BUFFER_LEAK, "a receive buffer is not given back")                                           \
    X(DIRECTORY_STALE, "a worker goes on as a holder of a name without sessions")                  \
    X(DEDUPE_MISSED, "a session addressed in two ways gets the message twice")                     \
    X(BROADCAST_REPEATED, "a session that took several broadcasts gets the last one again")        \
    X(SLOT_REUSED_EARLY, "a connection slot is freed while an operation is in flight")             \
    X(DROP_UNCOUNTED, "a drop for slowness is not counted")                                        \
    X(REARM_FORGOTTEN, "a receive that ended is not armed again")                                  \
    X(PORT_CREDIT_KEPT, "a port that has answered is not given its credit back")                   \
    X(PORT_LATE_TAKEN, "a port's late answer is taken for that of another message")                \
    X(STATE_KEPT, "a connection's new protocol finds the state of the old one")                    \
    X(MOVED_WITHOUT_INPUT, "a connection is handed over without the input that it kept")           \
    X(MOVED_TOO_EARLY, "a connection is handed over while its receive is in flight")               \
    X(WAIT_FORGOTTEN, "a wait is not told of the drain, or that its time is over")                 \
    X(KEPT_LOST, "a message that is kept for a client id is forgotten")                            \
    X(ACK_TWICE, "an acknowledgement settles the message behind it, too")                          \
    X(WINDOW_IGNORED, "more is handed over to a client id than its window")                        \
    X(REDELIVERED_UNMARKED, "a message that was handed over before does not say so")               \
    X(SILENCE_LOST, "a message whose client is silent is not handed over again")                   \
    X(DECISION_LOST, "a keeper is not told whether a message was taken")                           \
    X(STORE_SKIPPED, "a message is taken without the store")                                       \
    X(SETTLED_EARLY, "a fate is settled before the store knows")                                   \
    X(UNSTORED_TAKEN, "a message that the store did not take is delivered all the same")           \
    X(VOID_LOST, "the store is not told that nobody waits for a message any more")                 \
    X(SETTLE_LOST, "the store is never told that an address is settled")                           \
    X(REDIS_SELF_COUNTED, "a node counts itself among those that took its message")                \
    X(REDIS_COPY_TWICE, "a copy of a message that has come already is delivered")                  \
    X(READY_EARLY, "a session is let go before its names are subscribed")                          \
    X(CAME_UNSAID, "other nodes are not told that a client has come")                              \
    X(LENT_ACK_UNSAID, "who keeps a message is not told that it was acknowledged elsewhere")       \
    X(CALL_COMPLETE, "an answer is said to be whole although a node is missing")

enum fault {
#define FAULT_ENUM(name, what) FAULT_##name,
    FAULT_LIST(FAULT_ENUM)
#undef FAULT_ENUM
        FAULTS
};

#ifdef RINGPOST_FAULTS
extern enum fault fault_active;  /* FAULTS: none */
extern unsigned long fault_hits; /* how often the active fault was asked and struck */
/* Counts the hit and says true; asked only through FAULT. */
bool fault_strikes(enum fault fault);
#define FAULT(name) (fault_active == FAULT_##name && fault_strikes(FAULT_##name))
#else
#define FAULT(name) false
#endif

#endif
