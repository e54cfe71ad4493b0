/* mailbox.h - what one endpoint has for another: a queue for each ordered pair, and the wake.
 *
 * Two sorts of mail share a queue. Requests (DELIVER, CALL, ADOPT, MOVE, ATTEND, ACK_FOR, PUT) may
 * be refused: they are taken only while more than `reserved` slots are free. So are DECIDE, HAND,
 * ACK, SETTLE, RESTORE, REMOTE and RELAY, which nobody answers: who has one waits for room. Answers
 * (ANSWER, CALL_DONE, ATTENDED, ACK_FOR_DONE, PUT_DONE) always find room, by arithmetic: an
 * endpoint has at most `requests_max` requests of its own without an answer, and another endpoint
 * answers each of them at most once, so at most requests_max answers wait in one queue. (A publish
 * may end without the answers of ports. What a port owes then is no request in flight any more, but
 * still counts against its credit, which is less: port_wait.h, store.h.) RETURN is sent only while
 * more than `reserved` slots are free, and kept back otherwise. reserved = requests_max.
 *
 * Handling a mail never waits for room: what a request needs to go on is either there or it is
 * answered `overloaded`. So no cycle of full queues can stop the workers, nor a port that takes
 * nothing: what is for it is refused, or kept back.
 *
 * Wake-up: an endpoint that is about to sleep sets `asleep`, then looks into its queues once more,
 * and sleeps only if they are empty; one that has pushed looks at `asleep` afterwards and, if it
 * is set, clears it and writes to the wake descriptor. Between the store and the load on both sides
 * stands a sequentially consistent fence, so at least one of the two sees the other: either the
 * sleeper finds the mail, or the pusher finds it asleep.
 *
 * Threads: as each function says. Owns: queues. */
#ifndef RINGPOST_CORE_MAILBOX_H
#define RINGPOST_CORE_MAILBOX_H

#include "core/limits.h"
#include "core/queue.h"

#include <stdatomic.h>

struct endpoint;

#define MAIL_KINDS(X)                                                                              \
    X(DELIVER)   /* to a holder: hand to its sessions. object: message (a hold), token: publish,   \
                    number: copies reserved (fanout.h), flag: DELIVER_PROMPT or 0 (delivery.h) */  \
    X(ANSWER)    /* to the producer's worker: token: publish, number: recipients */                \
    X(CALL)      /* run a call (call.h) here. object: call */                                      \
    X(CALL_DONE) /* object: call, back at its owner; counts as an answer */                        \
    X(RETURN)    /* messages go home. object: chain of messages */                                 \
    X(ADOPT)     /* an accepted connection. number: descriptor, object: adoption */                \
    X(MOVE)      /* one that lived elsewhere. number: descriptor, object: handover (handover.c) */ \
    X(DECIDE)    /* to a keeper (keeper.h): what was reserved there is taken (flag 1) or not.      \
                    object: message (a hold) */                                                    \
    X(HAND)      /* from a keeper, for the sessions of an id. object: message (a hold), number:    \
                    which address, token: its serial, flag: HAND_* (attend.h) */                   \
    X(ACK)       /* to a keeper. number 1: token: hash of the id, value: of the message's; more:   \
                    object: ack_list (attend.h); 0: token: hash of the id, value: the serial up    \
                    to which all is acknowledged */                                                \
    X(ACK_FOR)   /* to the worker of a session: somebody acknowledges for it. object: session_ack  \
                    (session_ack.h) */                                                             \
    X(ACK_FOR_DONE) /* the same, back: counts as an answer */                                      \
    X(ATTEND)       /* to a keeper: a session wants what is pending. token: hash of its id, value: \
                       the serial up to which it has all; flag 1: it has come, number is that of   \
                       the question, value when it came */                                         \
    X(ATTENDED)     /* the same, back: counts as an answer */                                      \
    X(PUT)          /* to the store (store.h): token: publish, object: message (a hold, and one of \
                       its fate), number: recipients */                                            \
    X(PUT_DONE)     /* the same, back: counts as an answer. token: publish, flag 1: it is safe */  \
    X(SETTLE)  /* to the store, from a keeper. object: message (a hold), number: which address,    \
                  flag: fate_word_of */                                                            \
    X(RESTORE) /* from the store, to a keeper. object: message (a hold), number: so many will      \
                  come, about */                                                                   \
    X(REMOTE)  /* to a keeper, from a port: other nodes hold an id. token: its hash, flag:         \
                  REMOTE_* (keeper.h) */                                                           \
    X(RELAY)   /* work of a protocol, there or back (relay.h). object: relay */

enum mail_kind {
    MAIL_INVALID,
#define MAIL_ENUM(name) MAIL_##name,
    MAIL_KINDS(MAIL_ENUM)
#undef MAIL_ENUM
        MAIL_KIND_COUNT
};

const char *mail_name(unsigned kind);

/* One endpoint's receiving side. */
struct mailbox {
    _Alignas(64) _Atomic uint32_t asleep;
    int wake_fd;
    _Atomic uint32_t copies; /* that wait for it (fanout.h); any thread adds and takes */
    /* How late it is with mail and the sends of the direct and the prompt lane; with mail and those
     * of the prompt lane alone; with what it fans out; with which addresses. Written by it
     * (worker.c). */
    _Atomic uint64_t late_ns, prompt_late_ns, fanout_late_ns;
    _Atomic bool any_held_late, broadcasts_held_late;
    _Atomic uint64_t held_late[HELD_LATE_WORDS]; /* a bit an address, by hash (fanout.h) */
    struct queue from[ENDPOINTS_MAX];            /* written by endpoint i */
};

/* All mailboxes of a node. */
struct post {
    unsigned endpoints;
    uint32_t slots;
    uint32_t requests_max; /* requests that one endpoint may have without an answer */
    uint32_t reserved;
    uint32_t copies_max;   /* that may wait for one endpoint: FANOUT_COPIES_MAX */
    struct mailbox *boxes; /* one an endpoint */
};

/* For tests: when not 0, the slots of every queue, so that full mailboxes are met early. */
extern uint32_t post_slots_override;
/* Slots of a queue for that many endpoints, by MAILBOX_BYTES_ALL; a power of two. */
uint32_t post_slots(unsigned endpoints);
bool post_init(struct post *post, unsigned endpoints);
void post_fini(struct post *post);

/* Is there room for a request from `from` to `to`? Thread: endpoint `from`. */
bool post_room(const struct post *post, unsigned from, unsigned to);
/* Pushes; the room must have been looked for (requests) or be there by the arithmetic above (the
 * rest). The wake follows with post_wake_all at the end of the turn. Thread: `endpoint`. */
void post_send(struct endpoint *endpoint, unsigned to, const struct mail *mail);
/* Does it sleep, or is it about to? A hint. Thread: any. */
static inline bool post_asleep(const struct post *post, unsigned index) {
    return atomic_load_explicit(&post->boxes[index].asleep, memory_order_relaxed) != 0;
}
/* Wakes every endpoint that was sent something in this turn and may sleep. Thread: `endpoint`. */
void post_wake_all(struct endpoint *endpoint);
/* Handles what has arrived, at most one queue's worth from each and for as long as the slice lasts;
 * true when there may be more. */
bool post_receive(struct endpoint *endpoint);
/* True: nothing is waiting and `asleep` is set, sleep; false: there is mail. Clears `asleep` by
 * post_awake. */
bool post_may_sleep(struct endpoint *endpoint);
void post_awake(struct endpoint *endpoint);

#endif
