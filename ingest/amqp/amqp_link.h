/* amqp_link.h - a connection to the broker that is made again whenever it is lost: which address is
 * tried when, what the log is told.
 *
 * The addresses of the broker are tried in turn, those of a host one behind the other. When all
 * have failed it waits AMQP_LINK_RETRY_MIN_NS, doubled each time up to AMQP_LINK_RETRY_MAX_NS, less
 * up to a half by chance; it begins anew once it has been up for AMQP_LINK_GOOD_NS. One that is not
 * up within AMQP_LINK_GREET_NS is lost. While it is lost the log says so once in AMQP_LINK_TOLD_NS.
 *
 * Threads: the port's. Owns: its door. */
#ifndef RINGPOST_INGEST_AMQP_AMQP_LINK_H
#define RINGPOST_INGEST_AMQP_AMQP_LINK_H

#include "core/limits.h"
#include "ingest/amqp/amqp_door.h"

#define AMQP_LINK_RETRY_MIN_NS (200 * NS_PER_MS)
#define AMQP_LINK_RETRY_MAX_NS (10 * NS_PER_S)
#define AMQP_LINK_GREET_NS (5 * NS_PER_S)
#define AMQP_LINK_GOOD_NS (10 * NS_PER_S)
#define AMQP_LINK_TOLD_NS (60 * NS_PER_S)

/* Where the broker is, for both connections. */
struct amqp_broker {
    struct door_place places[AMQP_URLS_MAX];
    unsigned place_count;
    unsigned addresses; /* of all places */
};

struct amqp_link {
    struct door door;
    const struct amqp_broker *broker;
    struct door_self self;
    const char *what;    /* "consumes", "publishes": for the log, */
    const char *meaning; /* and what it means that it is lost */
    bool is_up;
    unsigned address; /* of all: the one that is tried next, or was last */
    unsigned failed;  /* so many of them, since it waited last */
    unsigned tries;   /* of all of them, since it was up for long */
    uint64_t retry_ns, begun_ns, up_ns;
    bool told; /* the log knows that it is lost */
    uint64_t told_ns;
};

void amqp_link_init(struct amqp_link *link, const struct amqp_broker *broker, const char *what,
                    const char *meaning, const struct door_self *self);
/* Once a turn: connects, gives up. */
void amqp_link_step(struct amqp_link *link, uint64_t now_ns);
/* The next event. DOOR_CAME_UP and DOOR_LOST are for the caller, too; what the door says of a
 * connection that never was up is not. */
void amqp_link_next(struct amqp_link *link, struct door_event *event, uint64_t now_ns);
/* It is given up, and made again. `why` is a sentence. */
void amqp_link_lose(struct amqp_link *link, uint64_t now_ns, const char *why);
/* When there is something to do by itself. */
uint64_t amqp_link_due_ns(const struct amqp_link *link);

/* How long to wait before a try that comes behind so many others. */
uint64_t amqp_link_wait_ns(unsigned tries, uint64_t min_ns, uint64_t max_ns);

#endif
