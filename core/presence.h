/* presence.h - which client ids and groups have sessions on this node, for the port that tells
 * other hosts (ha/redis).
 *
 *   first session of a name on a worker: presence_begin --> changed --> the port subscribes
 *   last one gone:                       presence_end   --> changed --> the port unsubscribes
 *
 * One entry for each kind and text, whatever the namespaces and however many workers hold it. An
 * entry is in one of two lists: of those that have changed, and of those that the port has looked
 * at since, one list a shard. When all that others knew by a shard is lost, its list is put behind
 * the first at once.
 *
 * The port may speak to several servers, its shards, which come and go by themselves. A name
 * belongs to exactly one of them; which one is the port's to say (presence_share), whenever it
 * looks at the name.
 *
 * Each begin has a number. The port says up to which number all is known to others
 * (presence_ready_to); a session whose names were begun by then is ready (ready.h).
 *
 * Threads: any, behind one lock that is held for a look-up; what is marked so: the port's. Owns:
 * the entries. Limits: memory; a name that finds none is refused, as one that holders.h refuses. */
#ifndef RINGPOST_CORE_PRESENCE_H
#define RINGPOST_CORE_PRESENCE_H

#include "core/base/list.h"
#include "core/base/span.h"
#include "core/base/table.h"
#include "core/message.h"

struct presence;
struct server;

#define PRESENCE_SHARDS_MAX 128

/* What an entry takes besides its text, about. */
#define PRESENCE_ENTRY_BYTES 144

struct presence_name {
    struct table_node node;
    struct list link; /* in one of the lists */
    uint32_t holders; /* workers and namespaces that have sessions of it */
    bool came;        /* they have come since the port looked */
    uint64_t begun;   /* number of its last begin */
    uint8_t kind;     /* enum name_kind */
    uint8_t len;
    uint8_t shard;       /* that it was of when the port looked at it last */
    uint32_t holds;      /* presence_take and presence_hold without presence_let */
    uint32_t subscribed; /* the connection that it was last to be subscribed by; 0: it was to be
                            unsubscribed. Written by presence_take alone */
    /* The port's: */
    uint32_t commands;  /* how often that was; wraps */
    uint32_t confirmed; /* of these, so many are done */
    char text[];
};

/* Messages for its names interest the port with that index. NULL: no memory. */
struct presence *presence_new(struct server *server, unsigned port);
/* Every name must have ended. Threads: none runs any more. */
void presence_free(struct presence *presence);

/* A worker has the first session, or has lost the last one, of a name in a namespace. False: no
 * memory, nothing changed. */
bool presence_begin(struct presence *presence, enum name_kind kind, struct span text);
void presence_end(struct presence *presence, enum name_kind kind, struct span text);
/* The number of the last begin. */
uint64_t presence_begun(const struct presence *presence);
/* Up to which number all is known to others; UINT64_MAX: nobody waits for that now. */
uint64_t presence_ready(const struct presence *presence);
/* The endpoint is nudged when presence_ready has changed the next time. */
void presence_watch(struct presence *presence, unsigned endpoint);

/* --- the port's ------------------------------------------------------------------------------ */

enum presence_news {
    PRESENCE_SUBSCRIBE,
    PRESENCE_UNSUBSCRIBE,
    PRESENCE_CAME /* it went and has come again, and is subscribed all the time */
};

struct presence_change {
    struct presence_name *name; /* with a hold */
    enum presence_news news;
};

/* There are so many shards, one unless it is said. `shard_of` tells which one a name is of, below
 * that number; with the lock held, by the port's thread. */
void presence_share(struct presence *presence, unsigned shards,
                    unsigned (*shard_of)(void *argument, enum name_kind kind, struct span text),
                    void *argument);
/* Looks at what has changed, the oldest first, and takes so many changes at most that are to be
 * told; from now on they count as told. Names of a shard without a connection are passed over, and
 * come again with its next one. `leaves`: nothing is to be subscribed any more. Returns how many;
 * `*all` is the number of the last begin, if nothing that changed is left, else 0. */
unsigned presence_take(struct presence *presence, bool leaves, struct presence_change *changes,
                       unsigned max, uint64_t *all);
/* The entry of a name, with a hold, and the number of its last begin (may be NULL). NULL: nobody
 * has it, nor is anything of it under way. */
struct presence_name *presence_hold(struct presence *presence, enum name_kind kind,
                                    struct span text, uint64_t *begun);
/* The number of the last begin of the name with that hash (name_hash, in the main namespace); 0:
 * nobody has it. */
uint64_t presence_begun_of(struct presence *presence, uint64_t hash);
/* A hold ends. An entry that nobody has, and that is not subscribed, is freed with its last one. */
void presence_let(struct presence *presence, struct presence_name *name);
/* Another connection of the shard, with that number, which no other shard's has, has taken the
 * place of the one before; 0: there is none. Every entry of the shard is as one that has changed,
 * also where the number is the same. */
void presence_renew(struct presence *presence, unsigned shard, uint32_t connection);
/* The subscription of that name by that connection of a shard has ended by itself. It is looked at
 * again with the next presence_renew of its shard. False: it was none. */
bool presence_gone(struct presence *presence, enum name_kind kind, struct span text,
                   uint32_t connection);
/* How many names are to be subscribed by the shard's connection by now. */
uint32_t presence_subscribed(struct presence *presence, unsigned shard);
/* All begins up to that number are known to others, or are not waited for. */
void presence_ready_to(struct presence *presence, uint64_t begun);
/* Calls `each` for some of the client ids that have sessions, from `*at` on (0: from the start),
 * with the lock held. False: these were the last. */
bool presence_ids(struct presence *presence, uint64_t *at, unsigned max,
                  void (*each)(void *argument, struct span id), void *argument);
/* How many names there are. Any thread. */
uint32_t presence_count(const struct presence *presence);

#endif
