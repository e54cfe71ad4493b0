/* reel.h - text of any length in blocks that are charged before they are made: what a call (call.h)
 * has to tell, from the worker that writes it to the outbox that sends it, without being copied.
 *
 *   struct reel reel = reel_empty(worker, false);
 *   if (reel_room(&reel, 64)) { builder_u64(&reel.out, n); ... }
 *   outbox_write_chunks(worker, connection, reel_take(&reel));
 *
 * Room is asked for before something is written; without memory the reel is `failed` from then on
 * and takes nothing more, so one look at the end is enough.
 *
 * All blocks of the node together take a quarter of --memory at most (server->answers), until they
 * have been sent. What an operator needs when everything is full (statistics, metrics, closing the
 * sessions that hold the memory) has ANSWER_RESERVE_BYTES beyond --memory (server->reserve).
 *
 * Threads: one at a time; a block may be given back by another thread than took it. Owns: its
 * blocks, until they are taken. */
#ifndef RINGPOST_CORE_REEL_H
#define RINGPOST_CORE_REEL_H

#include "core/base/builder.h"
#include "core/purse.h"

struct worker;

/* One block. Not zeroed. */
struct chunk {
    struct chunk *next;
    struct purse *purse; /* that it is charged to */
    uint32_t cap, len;
    _Alignas(max_align_t) char text[];
};

/* NULL: no memory. `reserve`: where there is none within --memory, from beyond it. */
struct chunk *chunk_get(struct worker *worker, size_t cap, bool reserve);
/* Gives it back; NULL is none. Any thread. */
void chunk_put(struct chunk *chunk);
/* The same for it and all that follow it. */
void chunks_put(struct chunk *first);

struct reel {
    struct worker *worker; /* that writes it */
    struct chunk *first, *last;
    uint64_t bytes;     /* of all blocks but the last */
    struct builder out; /* over the last block */
    bool reserve;       /* of chunk_get */
    bool failed;
};

/* A zeroed one is empty, too, but nothing may be written into it. */
static inline struct reel reel_empty(struct worker *worker, bool reserve) {
    return (struct reel){.worker = worker, .reserve = reserve};
}
static inline uint64_t reel_bytes(const struct reel *reel) {
    return reel->bytes + reel->out.len;
}
/* Makes room for so many bytes in one run (and one for builder_format). What was written last stays
 * in view for whoever looks at it, such as json_comma. False: there is no memory. */
bool reel_room(struct reel *reel, size_t bytes);
/* Puts all of `more` behind it, which is empty then. It has failed if one of them had. */
void reel_join(struct reel *reel, struct reel *more);
/* Hands the blocks over, with their lengths, to the caller; NULL: there are none. */
struct chunk *reel_take(struct reel *reel);
void reel_free(struct reel *reel);

#endif
