/* walk.h - the sessions of one name, one after the other, over as many turns as it takes.
 *
 * Sessions may come and go meanwhile. Each that was there at the beginning and stays is met once;
 * those that come later stand at the end of the name's list and are not met, so a walk ends
 * whatever comes.
 *
 * Threads: its worker. Owns: a pin of the name, from walk_begin to the end. */
#ifndef RINGPOST_CORE_WALK_H
#define RINGPOST_CORE_WALK_H

#include "core/base/list.h"
#include "core/base/span.h"
#include "core/message.h"

#include <stdint.h>

struct worker;
struct name;
struct session;

/* Zeroed it is not under way. */
struct walk {
    struct name *name;        /* NULL: it is not under way */
    struct list *next, *last; /* places in its list, to be met; NULL: all were */
};

/* False: the name has no session here, and no walk has begun. `text` need not stay. */
bool walk_begin(struct worker *worker, struct walk *walk, enum name_kind kind, unsigned namespace,
                uint64_t hash, struct span text);
/* The next session, which may be closed by the caller before it asks again; NULL: that was all, and
 * the walk is over. */
struct session *walk_next(struct worker *worker, struct walk *walk);
/* Ends it early. Harmless when it is over. */
void walk_end(struct worker *worker, struct walk *walk);
/* A session is about to leave the list of a name: `link` is its place in there. */
static inline void walk_pass(struct walk *walk, const struct list *link) {
    if (walk->next == link)
        walk->next = link == walk->last ? NULL : link->next;
    else if (walk->last == link)
        walk->last = link->prev;
}

#endif
