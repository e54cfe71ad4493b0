/* watch.h - says in the log when the node begins to turn things away, and when that is over.
 *
 *   event=refusing cause=memory ...           at the first look after it began
 *   event=refusing_over cause=memory refused=812 seconds=9   when a whole look found none
 *
 * It looks at counters that are there anyway (stats.h), summed over all threads, so that whoever
 * refuses pays nothing for it, and there is one line for the node, whatever the number of workers.
 *
 * Threads: one, the main thread. Owns: what it saw last. Limits: one line for each cause at each
 * end. */
#ifndef RINGPOST_CORE_WATCH_H
#define RINGPOST_CORE_WATCH_H

#include "core/stats.h"

/* How often it looks. */
#define WATCH_NS UINT64_C(1000000000)

/* Why something is turned away: the word, what it means, what to do about it. */
#define WATCH_CAUSES(X)                                                                            \
    X(OVERLOAD, "overload", "producers push more than the node can serve; the excess gets 503",    \
      "push less or in batches, add workers or nodes")                                             \
    X(QUEUES, "queues", "too many messages are under way; producers get 503",                      \
      "push over more connections, add workers or nodes")                                          \
    X(MEMORY, "memory", "what waits has reached --memory; producers get 503",                      \
      "see which sessions are slow, lower --outbox-bytes, raise --memory")                         \
    X(ANSWERS, "answers",                                                                          \
      "look-ups ask for more than a quarter of --memory at a time; they get 503",                  \
      "ask for less at a time, read the answers, raise --memory")                                  \
    X(CONNECTIONS, "connections", "--max-connections is reached; the node closes new clients",     \
      "raise it, or add a node")                                                                   \
    X(ADDRESS, "address", "an address has --max-per-address connections",                          \
      "raise it if many clients share an address")                                                 \
    X(DESCRIPTORS, "descriptors", "no descriptor or place for one more connection",                \
      "raise the limit of open files (LimitNOFILE)")

enum watch_cause {
#define WATCH_ENUM(name, word, meaning, remedy) WATCH_##name,
    WATCH_CAUSES(WATCH_ENUM)
#undef WATCH_ENUM
        WATCH_CAUSE_COUNT
};

/* Zeroed it has seen nothing. */
struct watch {
    struct watch_spell {
        uint64_t seen;     /* the counter, at the last look */
        uint64_t before;   /* the counter, when it began */
        uint64_t began_ns; /* 0: nothing is refused for this cause */
    } spells[WATCH_CAUSE_COUNT];
};

/* `total`: the counters of all threads together. */
void watch_look(struct watch *watch, const struct stats *total, uint64_t now_ns);

#endif
