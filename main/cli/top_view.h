/* top_view.h - one look of `ringpost top` at a node's statistics, as text.
 *
 * Counts are exact; rates are those of the last interval, or the averages since the node's start in
 * the first look. What the node does not tell is shown as -, so it serves newer and older nodes.
 *
 * Threads: the main thread. Owns nothing. Limits: TOP_WORKERS_MAX workers, TOP_SESSIONS_MAX slow
 * sessions, TOP_LISTENERS_MAX listeners; more are left out. */
#ifndef RINGPOST_MAIN_CLI_TOP_VIEW_H
#define RINGPOST_MAIN_CLI_TOP_VIEW_H

#include "core/base/span.h"

#define TOP_WORKERS_MAX 64
#define TOP_SESSIONS_MAX 8
#define TOP_LISTENERS_MAX 64

enum top_counter {
    TOP_ACCEPTED,
    TOP_DELIVERED,
    TOP_DROPPED,
    TOP_REFUSED,
    TOP_CONNECTIONS_REFUSED,
    TOP_MAILS,
    TOP_COUNTERS
};

/* What was counted when it was looked at, of the node (0) and of each worker; below 0: not told. */
struct top_look {
    uint64_t at_ns;
    char run[64]; /* another run id: the node was started anew */
    double counters[1 + TOP_WORKERS_MAX][TOP_COUNTERS];
};

struct top_view {
    bool workers; /* the workers and listeners, too */
    bool screen;  /* over the look before, on a terminal */
    bool keys;    /* q is heard */
    struct top_look last;
    bool has_last;
};

/* Prints the statistics, a JSON object, to standard output. */
void top_view_print(struct top_view *view, struct span stats);

#endif
