/* table.h - a hash table of entries that embed their node; keys are bytes inside the entries.
 *
 * Linear hashing: it grows and shrinks by a bucket or two at a time, so that no operation ever pays
 * for a rehash of everything and memory never doubles at once. A bucket costs 8 bytes, a node 16.
 * The caller brings the hash (hash.h) and compares the keys of the few nodes whose hash is equal.
 *
 * The nodes of a bucket are in the order of their hashes read from the lowest bit up. In that order
 * the buckets follow each other too, however many there are, so a walk stays whole while nodes come
 * and go.
 *
 * Threads: the owner's. Owns: the bucket memory, not the entries. Limits: 2^32 nodes. Never calls
 * back and never copies a key. */
#ifndef RINGPOST_CORE_BASE_TABLE_H
#define RINGPOST_CORE_BASE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_node {
    struct table_node *next;
    uint64_t hash;
};

struct table; /* see table_init; the struct is public only so that it can be embedded */

#define TABLE_SEGMENT_BITS 9
#define TABLE_SEGMENTS_MAX 65536

struct table {
    struct table_node ***segments; /* directory of bucket arrays, grown by doubling */
    uint32_t segments_cap;
    uint32_t buckets; /* in use */
    uint32_t mask;    /* of the round of doubling that is under way */
    uint32_t count;
};

void table_init(struct table *table);
/* Frees the buckets; the entries are the caller's. */
void table_fini(struct table *table);
/* Adds a node whose `hash` is set. The caller has looked that the key is not there. False: no
 * memory, nothing changed. */
bool table_add(struct table *table, struct table_node *node);
/* So many nodes are about to come to a table that is empty: the buckets for them are made at once,
 * which makes adding cheaper. As many as there is memory for. */
void table_reserve(struct table *table, uint64_t count);
/* What table_add and table_first look at for that hash is fetched meanwhile. */
void table_prefetch(const struct table *table, uint64_t hash);
/* The node must be in the table. */
void table_remove(struct table *table, struct table_node *node);
/* The first node with that hash, and the next one with the same hash after `node`; NULL: no more.
 */
struct table_node *table_first(const struct table *table, uint64_t hash);
struct table_node *table_next(const struct table_node *node);
/* Walks all nodes, each once, in an order of its own: start with NULL; NULL at the end. The node
 * just returned may be removed by the caller only after the next one was asked for; others may be
 * added and removed meanwhile, and are met or not. */
struct table_node *table_walk(const struct table *table, const struct table_node *node);

#endif
