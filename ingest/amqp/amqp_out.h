/* amqp_out.h - what this node publishes to the broker: deliveries that it refuses
 * (--amqp-refused), answers to whoever named a queue for them (reply_to), and what became of
 * messages
 * (--amqp-results). By a connection of its own, with confirms.
 *
 * A refused delivery waits here, one of them under way at a time, until the broker has confirmed it
 * and has not returned it; then its original is acknowledged. What does not work is tried again,
 * and the node is degraded meanwhile.
 *
 * An answer or outcome is a letter. LETTERS_MAX of them may wait, in LETTERS_SHARE of --memory, and
 * LETTERS_UNCONFIRMED be unconfirmed; what has no room is dropped and counted. Answers that were
 * not confirmed when the connection was lost are dropped, too; outcomes are sent again.
 *
 * Threads: the port's. Owns: its letters, charged to the port's account. */
#ifndef RINGPOST_INGEST_AMQP_AMQP_OUT_H
#define RINGPOST_INGEST_AMQP_AMQP_OUT_H

#include "core/base/list.h"
#include "ingest/amqp/amqp_link.h"
#include "ingest/amqp/amqp_wire.h"
#include "proto/text/complaint.h"

#define LETTERS_MAX 10000
#define LETTERS_SHARE 32
#define LETTERS_UNCONFIRMED 1000

struct amqp_delivery;
struct amqp_port;

enum out_state { OUT_DOWN, OUT_OPENING, OUT_CONFIRMING, OUT_READY };

struct amqp_letter;

struct amqp_out {
    struct amqp_link link;
    uint8_t state; /* enum out_state */
    bool blocked;  /* the broker takes nothing that is published */
    bool was_up;
    bool told; /* the log knows that what is published fails */
    unsigned tries;
    uint64_t retry_ns, asked_ns;
    uint64_t tag;        /* of what was published last on this channel */
    struct list leaving; /* of struct amqp_delivery, by `done`: refused, the oldest first */
    uint64_t
        leaving_tag; /* of the first of them, while it is unconfirmed; 0: it is not under way */
    bool returned;   /* it has come back */
    unsigned leave_tries;
    uint64_t leave_ns;   /* then it is tried again */
    struct list letters; /* that wait */
    struct list unconfirmed;
    unsigned letter_count, unconfirmed_count; /* the first of both together */
    uint64_t letter_bytes;
    uint64_t skip_bytes; /* of a body that came back */
};

void amqp_out_init(struct amqp_port *amqp, const struct door_self *self);
/* Once a turn: connects, reads, publishes. */
void amqp_out_step(struct amqp_port *amqp);
/* When there is something to do by itself. */
uint64_t amqp_out_due_ns(const struct amqp_port *amqp);
bool amqp_out_is_well(const struct amqp_port *amqp);
/* Has everything left that can? */
bool amqp_out_is_empty(const struct amqp_port *amqp);
void amqp_out_stop(struct amqp_port *amqp);

/* A refused delivery, with its bytes and its refusal, waits from now on. */
void amqp_out_leave(struct amqp_port *amqp, struct amqp_delivery *delivery);
/* It was abandoned. */
void amqp_out_forget(struct amqp_port *amqp, struct amqp_delivery *delivery);

/* A letter of so many bytes of JSON to a queue (`exchange` NULL) or an exchange; they are written
 * into `out`, then amqp_out_put. NULL: no room; it was counted. */
struct amqp_letter *amqp_out_letter(struct amqp_port *amqp, const char *exchange,
                                    struct span routing_key, const struct amqp_answer *answer,
                                    size_t bytes, struct builder *out);
void amqp_out_put(struct amqp_port *amqp, struct amqp_letter *letter, const struct builder *out);

#endif
