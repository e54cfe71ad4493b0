/* holders.h - which workers and ports hold a name: the one table that all endpoints share.
 *
 * A worker holds a name while it has a session of that client id or in that group, a port while it
 * wants what is sent there. Whoever takes in a message looks its addresses up here and mails it to
 * the holders, so no message passes through a third worker, and the queue between two workers keeps
 * the order of what one sends the other.
 *
 * Entries are 24 bytes: the keyed 64-bit hash of the name (name_hash), a set of endpoints, and
 * about how many sessions the name has, for those who must know what a message will cost (hub.c).
 * Two names with one hash share an entry, which costs a mail that finds nobody; whoever removes
 * looks first that it holds no other name with that hash (directory.c). Open addressing in stripes,
 * each with a lock that is held for a few loads, and now and then for making a stripe larger.
 *
 * What add has done is seen by every holders_find that begins after it has returned.
 *
 * Threads: any. Owns: the entries. Limits: memory; an entry that finds none is refused. */
#ifndef RINGPOST_CORE_HOLDERS_H
#define RINGPOST_CORE_HOLDERS_H

#include <stdbool.h>
#include <stdint.h>

struct holders;

/* NULL: no memory. */
struct holders *holders_new(void);
/* All must have been removed. */
void holders_free(struct holders *holders);
/* The endpoint holds a name with that hash. False: no memory, nothing changed. */
bool holders_add(struct holders *holders, uint64_t hash, unsigned endpoint);
/* The endpoint holds no name with that hash any more. */
void holders_remove(struct holders *holders, uint64_t hash, unsigned endpoint);
/* A holder's sessions of the name have become more or fewer by so many: of a client id it tells
 * each, of a group in steps of HOLDERS_STEP, from the first step on; all of them back before it
 * removes. */
void holders_grow(struct holders *holders, uint64_t hash, int32_t sessions);
#define HOLDERS_STEP 8
/* The set of endpoints, bit by index; 0: nobody. Adds the sessions that are known of to
 * `*sessions`: of a group, up to HOLDERS_STEP - 1 of each worker are not. */
uint64_t holders_find(struct holders *holders, uint64_t hash, uint32_t *sessions);

#endif
