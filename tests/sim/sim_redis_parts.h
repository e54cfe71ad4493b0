/* sim_redis_parts.h - what the files of the fake Redis (sim_redis.h) share: the server
 * (sim_redis.c), other nodes and programs behind it (sim_redis_nodes.c), messages that are to be
 * acknowledged from node to node (sim_redis_lent.c), and calls (sim_redis_calls.c,
 * sim_redis_askers.c).
 *
 * Another node is a run of it: it may die and come back as another one, with what it keeps or
 * without. It lends messages to the node, tells it of clients that have come, and acknowledges what
 * it was lent: at once, late, twice, never, or wrongly. */
#ifndef RINGPOST_TESTS_SIM_SIM_REDIS_PARTS_H
#define RINGPOST_TESTS_SIM_SIM_REDIS_PARTS_H

#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_redis.h"

#define COPIES_MAX 64
#define OTHERS_MAX 4
#define GENERATIONS_MAX 16
/* Of ids, by number of their message; those of ports are below. */
#define SCOPES UINT64_C(0x780000000000)

/* What a channel stands for; OWN: the node's own. */
enum place { PLACE_ID, PLACE_GROUP, PLACE_ALL, PLACE_OWN, PLACE_OTHER };
struct channel {
    enum place place;
    unsigned name;
};

/* Who has subscribed what. */
struct ears {
    bool ids[NAMES_MAX], groups[NAMES_MAX], all, own;
};

struct copy {
    uint32_t content;
    struct channel channel;
    uint64_t number;
};

/* Another node, or a program: the last of them. */
struct other {
    struct sim_peer maker;
    uint32_t stream;
    unsigned index, generation; /* how often it has died */
    char run[17];
    uint64_t number, copy, counts[2 * NAMES_MAX + 1];
    struct ears ears;
    unsigned left; /* messages */
    uint64_t next_ns, word_ns;
    struct copy copies[COPIES_MAX];
    unsigned copy_count;
    bool is_program;
    bool asked;           /* which clients it has */
    bool came[NAMES_MAX]; /* the node was told, on the connection that it has still */
    uint64_t came_fd;     /* that one */
    uint64_t lends_ns;    /* when it looks again at what it lends, and was lent */
    uint64_t unknown;     /* stamp: the node did not know it the last time */
};

extern struct other others[OTHERS_MAX];
extern unsigned other_count;

/* --- the server ------------------------------------------------------------------------------- */

struct span redis_prefix(void);
bool redis_begins(struct span *text, struct span with);
void channel_write(struct text *text, struct channel channel);
/* NULL: it is none that is told apart. */
bool *ear_of(struct ears *ears, struct channel channel);
/* To the node, if it listens. Returns how many of its connections do. */
unsigned message_send(struct channel channel, struct span name, struct span text);
/* The same, a text in C, on a channel without a name of its own. */
unsigned text_send(struct channel channel, const char *text);
/* The node's connection that subscribes, and for how long it has; 0: there is none. */
uint64_t redis_subscriber(uint64_t *since);
/* Both connections are there, all that was sent by them and to them is read, and nothing was short
 * or wrong in this run: what is due is done. */
bool redis_is_steady(void);
/* The stamp from which on both connections have been there. */
uint64_t redis_steady_since(void);

/* --- other nodes ------------------------------------------------------------------------------ */

void others_open(void);
bool other_step(struct other *other);
bool other_can_step(const struct other *other);
uint64_t other_next_ns(const struct other *other);
/* The object `node` of a copy on that channel, and the comma behind it. */
void other_node_write(struct other *other, struct text *text, struct channel channel,
                      uint64_t number, const char *more);
/* The node is told that clients of that id have come; -1: of all that the other node has. */
void other_came(struct other *other, int id);

/* --- messages that are to be acknowledged ----------------------------------------------------- */

void lent_open(void);
/* Another node has one, and lends it. */
void lent_make(struct other *other);
/* Looks at what it lends, and was lent. */
void lent_step(struct other *other);
/* It dies; `keeps`: it has what it kept when it comes back. */
void lent_died(struct other *other, bool keeps);
/* Is there anything that it lends? */
bool lent_any(const struct other *other);
/* The node hands one over: a copy on the channel of an id, which so many others took. */
void lent_published(unsigned id, struct span node, struct span text);
/* The node's words. Returns how many other nodes hear it. */
unsigned lent_word(struct span channel, struct span node);
/* The gate's result for one that was lent. */
void lent_told(struct sim_content *content, enum result_word result);
void lent_quiet_check(void);

/* --- calls ------------------------------------------------------------------------------------ */

void calls_open(void);
void calls_close(void);
/* The node asks. Returns how many of the others hear it. */
unsigned calls_asked(struct channel channel, struct span node);
/* The next answer of the other node, and its time. */
void calls_step(struct other *other);
uint64_t calls_next_ns(const struct other *other);

void askers_open(void);
/* Another node asks, once or very often. */
void askers_ask(const struct other *other);
/* The node answers one. Returns how many hear it. */
unsigned askers_answered(struct span channel, struct span node);
/* What was asked is answered. */
void askers_quiet_check(void);

#endif
