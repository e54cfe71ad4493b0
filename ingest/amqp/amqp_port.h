/* amqp_port.h - the port that takes messages from queues of a broker (RabbitMQ, AMQP 0-9-1).
 *
 *   broker --delivery--> amqp_queue.c --> amqp_delivery.c --form, gate--> workers
 *   broker <--basic.ack, basic.reject---- amqp_queue.c <---- result of the gate
 *
 * A delivery is settled when its fate is known: acknowledged once its message was taken or nobody
 * wants it, refused when it can never be taken. What the gate answers with 503 is held
 * (amqp_held.h) and tried again, the oldest first, and nothing goes to any of its addresses before
 * it; what was held for --amqp-hold, or is the oldest when half of the window is held, gets its
 * last answer. So who is behind makes the queue longer, since a broker gives no more than
 * --amqp-prefetch that are not settled; nothing is ever put back by requeue.
 *
 * Acknowledgements leave once a turn: one for all up to the last of the longest settled run, single
 * ones only for what has waited behind one that is not settled for STRAGGLE_NS.
 *
 * What a lost channel had given is forgotten as a delivery and finished as a message: its result
 * settles nothing, and the broker gives it again.
 *
 * Two connections, so that a broker that takes nothing that is published (an alarm) still gets its
 * acknowledgements: one consumes, one publishes (amqp_out.h).
 *
 * Threads: its own; `figures` any. Nobody waits for it (port.h), since its door may (amqp_door.h).
 * Owns: its deliveries, charged to its account. Limits: for each queue --amqp-prefetch deliveries;
 * for all of them the bytes of AMQP_SHARE of --memory, beyond which nothing is read. */
#ifndef RINGPOST_INGEST_AMQP_AMQP_PORT_H
#define RINGPOST_INGEST_AMQP_AMQP_PORT_H

#include "core/mailbox.h"
#include "core/port.h"
#include "ingest/amqp/amqp_form.h"
#include "ingest/amqp/amqp_held.h"
#include "ingest/amqp/amqp_link.h"
#include "ingest/amqp/amqp_out.h"
#include "ingest/gate/gate.h"

#include <pthread.h>

struct config;

#define AMQP_QUEUE_BYTES_MAX 255
/* Deliveries, with what is held of them, take so large a part of --memory at most. */
#define AMQP_SHARE 8
#define STRAGGLE_NS (50 * NS_PER_MS)
#define HELD_RETRY_MIN_NS (10 * NS_PER_MS)
#define HELD_RETRY_MAX_NS NS_PER_S
/* Of a quorum queue: what came so often is refused. */
#define POISON_COUNT 20
/* With --amqp-settle acked no message waits longer: a broker closes the channel of one that is not
 * settled for half an hour. */
#define ACKED_TTL_NS_MAX (1500 * NS_PER_S)
/* Producers that wait for a fate (reply_to), at the most. */
#define REPLIES_WAITING_MAX 100000
/* A drain waits so long for what is under way. */
#define AMQP_LEAVE_NS NS_PER_S

enum amqp_settled {
    AMQP_ACKNOWLEDGED,
    AMQP_REFUSED,   /* published to --amqp-refused, then acknowledged */
    AMQP_REJECTED,  /* without requeue */
    AMQP_ABANDONED, /* its channel was lost */
    AMQP_SETTLED
};

struct amqp_queue_figures {
    _Atomic uint64_t deliveries, redelivered, held, under_way, consuming, oldest_held_ms;
    _Atomic uint64_t settled[AMQP_SETTLED];
};

enum amqp_delivery_state {
    DELIVERY_COMING,  /* its body has not come whole */
    DELIVERY_AT_GATE, /* also one that is held, while it is tried */
    DELIVERY_HELD,
    DELIVERY_PENDING, /* its message is to be acknowledged by a client (settle `acked`) */
    DELIVERY_LEAVING, /* refused, and on its way to --amqp-refused */
    DELIVERY_DONE,    /* to be acknowledged */
    DELIVERY_BAD,     /* to be rejected */
};

/* Why a delivery was refused. */
struct amqp_refused {
    const char *code;            /* NULL: it was not */
    struct complaint *complaint; /* NULL: there was no memory for it, or nobody is told */
    uint64_t wall_ms;
};

struct amqp_delivery {
    struct list order; /* in queue->order, by its tag; of one that was abandoned: none */
    struct list done;  /* DONE and BAD: in queue->done, the first settled first; LEAVING: in
                          out.leaving */
    struct amqp_port *amqp;
    struct amqp_queue *queue; /* NULL: it was abandoned */
    uint64_t tag;
    uint64_t came_ns, settled_ns;
    uint8_t state; /* enum amqp_delivery_state */
    bool redelivered;
    bool is_ack; /* of the class that is to be acknowledged */
    char *bytes; /* the content header, then the body; NULL: they are needed no more */
    size_t header_len, body_len, body_got;
    struct held held;
    struct fate_wait wait; /* PENDING */
    struct amqp_refused refused;
};

enum amqp_queue_state {
    QUEUE_DOWN,      /* nothing was asked; not before retry_ns */
    QUEUE_OPENING,   /* the channel */
    QUEUE_DECLARING, /* or looking it up */
    QUEUE_BOUNDING,  /* basic.qos */
    QUEUE_ASKING,    /* basic.consume */
    QUEUE_CONSUMING,
    QUEUE_LEAVING, /* the node drains: basic.cancel was sent */
    QUEUE_LEFT,    /* nothing more comes */
    QUEUE_CLOSING, /* the channel, after the broker cancelled */
};

struct amqp_queue {
    const char *name;
    uint16_t channel;
    uint8_t state; /* enum amqp_queue_state */
    bool told;     /* the log knows that it cannot be consumed */
    unsigned tries;
    uint64_t retry_ns, asked_ns, told_ns;
    struct list order; /* of struct amqp_delivery, by their tags */
    struct list done;
    struct amqp_delivery *coming; /* whose content is under way; NULL: none */
    bool wants_header;            /* the next frame is a content header */
    uint64_t skip_bytes;          /* of a body that is passed over */
    uint64_t last_tag;
    struct list held; /* of struct held, the oldest first */
    uint32_t held_count;
    uint64_t held_due_ns; /* the first of them is to be tried, or ends */
    struct amqp_queue_figures figures;
};

struct amqp_figures {
    _Atomic uint64_t connected, lost, bytes, stalled, cut;
    _Atomic uint64_t replies, replies_dropped, replies_untaken, results, results_dropped,
        results_untold;
};

/* The books of all queues, of one moment of a turn, for other threads. */
struct amqp_books {
    pthread_mutex_t lock;
    struct port_book books[AMQP_QUEUES_MAX];
};

struct amqp_port {
    struct port port;
    const struct config *config;
    struct amqp_broker broker;
    struct amqp_link consumer;
    struct amqp_out out;
    struct amqp_queue queues[AMQP_QUEUES_MAX];
    unsigned queue_count;
    uint16_t prefetch;
    bool settle_acked;
    uint64_t share_bytes; /* of deliveries */
    uint64_t bytes;       /* of them, now */
    uint64_t held_bytes;
    struct gate_source source;
    struct pool delivery_pool;
    struct held_set held;
    uint64_t serial; /* of the last delivery */
    char *room;      /* for the old form */
    size_t room_cap;
    struct door_event event; /* that was not taken yet, for want of memory */
    bool has_event;
    uint64_t beat_ns;   /* then, when a heartbeat was sent last */
    bool was_up;        /* the connection, and nobody has looked whether it is lost */
    bool more;          /* the last turn left something in the connection */
    bool leaves;        /* the node drains */
    uint64_t leaves_ns; /* since then */
    uint32_t at_gate;
    struct list replies; /* of amqp_reply.c: fates that are waited for */
    uint32_t reply_count;
    struct amqp_figures figures;
    struct amqp_books books;
    uint64_t booked_ns; /* when a long queue was walked through last */
    struct port_figure shown[24 + 10 * AMQP_QUEUES_MAX];
    char labels[AMQP_QUEUES_MAX][AMQP_SETTLED + 1][2 * AMQP_QUEUE_BYTES_MAX + 40];
};

/* Prepares it. The config must outlive it, and is none that a reload replaces. */
void amqp_port_init(struct amqp_port *amqp, const struct config *config);

/* Will it ask for the addresses of hosts while the node runs? By TLS it does. */
bool amqp_looks_up(const struct config *config);

/* --- for the files of amqp_*.c ---------------------------------------------------------------- */

static inline struct amqp_port *amqp_of(struct port *port) {
    return (struct amqp_port *)(void *)port;
}
/* amqp_figures.c */
void amqp_figures_init(struct amqp_port *amqp);
/* Ends a turn: walks through the deliveries, and puts what it finds into the books. With more than
 * BOOK_WALK_MAX of them it does so once in BOOK_LONG_NS. */
#define BOOK_WALK_MAX 1024
#define BOOK_LONG_NS NS_PER_S
void amqp_books_write(struct amqp_port *amqp);
unsigned amqp_books_read(struct port *port, unsigned from, struct port_book *books, unsigned max);

/* amqp_queue.c */
void amqp_queue_init(struct amqp_queue *queue, const char *name, uint16_t channel);
/* What is to be asked of the broker next. */
void amqp_queue_step(struct amqp_port *amqp, struct amqp_queue *queue);
/* An event of its channel. False: there is no memory for it now; it comes again. */
bool amqp_queue_event(struct amqp_port *amqp, struct amqp_queue *queue,
                      const struct door_event *event);
/* The connection is lost, or its channel: what it gave is abandoned. */
void amqp_queue_lost(struct amqp_port *amqp, struct amqp_queue *queue);
/* Tells the broker what is settled. */
void amqp_queue_settle(struct amqp_port *amqp, struct amqp_queue *queue);
/* When something is to be done by itself. */
uint64_t amqp_queue_due_ns(const struct amqp_queue *queue);

/* amqp_delivery.c */
/* One has begun. False: no memory. */
bool amqp_delivery_begin(struct amqp_port *amqp, struct amqp_queue *queue, uint64_t tag,
                         bool redelivered);
/* Its content header has come: room for it and the body. False: no memory, or the share is used
 * up. */
bool amqp_delivery_header(struct amqp_port *amqp, struct amqp_delivery *delivery,
                          struct span header, uint64_t body_len);
/* It is there whole. */
void amqp_delivery_take(struct amqp_port *amqp, struct amqp_delivery *delivery);
/* Its channel is gone. */
void amqp_delivery_abandon(struct amqp_port *amqp, struct amqp_delivery *delivery);
/* It was told to the broker, or it is abandoned. */
void amqp_delivery_free(struct amqp_port *amqp, struct amqp_delivery *delivery);
void amqp_delivery_done(struct amqp_port *amqp, struct amqp_delivery *delivery, bool good);
/* It was refused, and has left for --amqp-refused, or cannot. */
void amqp_delivery_left(struct amqp_port *amqp, struct amqp_delivery *delivery, bool good);
/* Tries those that are held and due, of one queue, the oldest first. */
void amqp_delivery_retry(struct amqp_port *amqp, struct amqp_queue *queue);
gate_done amqp_delivery_on_result;

/* amqp_reply.c */
/* Whoever asked by reply_to is told; the delivery still has its bytes. */
void amqp_reply_result(struct amqp_port *amqp, const struct amqp_delivery *delivery,
                       const struct gate_result *result);
/* The same of what the gate has no word for. */
void amqp_reply_refused(struct amqp_port *amqp, const struct amqp_delivery *delivery,
                        const char *code, const char *text);
/* And of the fate, once it is settled. */
void amqp_reply_await(struct amqp_port *amqp, const struct amqp_delivery *delivery,
                      struct fate *fate);
/* What has become of messages, for --amqp-results. */
void amqp_results_work(struct amqp_port *amqp);
void amqp_replies_stop(struct amqp_port *amqp);

#endif
