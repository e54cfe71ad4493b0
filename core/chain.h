/* chain.h - text of any length in blocks that are charged before they are made: what a call
 * (call.h) has to tell, from the worker that writes it to the outbox that sends it, without being
 * copied.
 *
 *   struct chain chain = chain_empty(&worker->endpoint, false);
 *   if (chain_room(&chain, 64)) { builder_u64(&chain.out, n); ... }
 *   outbox_write_chunks(worker, connection, chain_take(&chain));
 *
 * Room is asked for before something is written; without memory the chain is `failed` from then on
 * and takes nothing more, so one look at the end is enough.
 *
 * All blocks of the node together take a quarter of --memory at most (server->answers), until they
 * have been sent. What an operator needs when everything is full (statistics, metrics, closing the
 * sessions that hold the memory) has ANSWER_RESERVE_BYTES beyond --memory (server->reserve).
 *
 * Threads: one at a time; a block may be given back by another thread than took it. Owns: its
 * blocks, until they are taken. */
#ifndef RINGPOST_CORE_CHAIN_H
#define RINGPOST_CORE_CHAIN_H

#include "core/base/builder.h"
#include "core/quota.h"

struct endpoint;

/* One block. Not zeroed. */
struct chunk {
    struct chunk *next;
    struct quota *quota; /* that it is charged to */
    uint32_t cap, len;
    _Alignas(max_align_t) char text[];
};

/* NULL: no memory. `reserve`: where there is none within --memory, from beyond it. */
struct chunk *chunk_get(struct endpoint *endpoint, size_t cap, bool reserve);
/* The same even past the share and the ceiling: for what must be told and is bounded by what was
 * charged before it. NULL: the system has none. */
struct chunk *chunk_force(struct endpoint *endpoint, size_t cap);
/* It will have no more text than it has: gives back the rest. It may be elsewhere now. */
struct chunk *chunk_fit(struct chunk *chunk);
/* Gives it back; NULL is none. Any thread. */
void chunk_put(struct chunk *chunk);
/* The same for it and all that follow it. */
void chunks_put(struct chunk *first);

struct chain {
    struct endpoint *endpoint; /* that writes it */
    struct chunk *first, *last;
    uint64_t bytes;     /* of all blocks but the last */
    struct builder out; /* over the last block */
    bool reserve;       /* of chunk_get */
    bool failed;
};

/* A zeroed one is empty, too, but nothing may be written into it. */
static inline struct chain chain_empty(struct endpoint *endpoint, bool reserve) {
    return (struct chain){.endpoint = endpoint, .reserve = reserve};
}
static inline uint64_t chain_bytes(const struct chain *chain) {
    return chain->bytes + chain->out.len;
}
/* Makes room for so many bytes in one run (and one for builder_format). What was written last stays
 * in view for whoever looks at it, such as json_comma. False: there is no memory. */
bool chain_room(struct chain *chain, size_t bytes);
/* Puts all of `more` behind it, which is empty then. It has failed if one of them had. */
void chain_join(struct chain *chain, struct chain *more);
/* Puts a block with its text behind it; the chain owns it. */
void chain_add(struct chain *chain, struct chunk *chunk);
/* Hands the blocks over, with their lengths, to the caller; NULL: there are none. */
struct chunk *chain_take(struct chain *chain);
void chain_free(struct chain *chain);

#endif
