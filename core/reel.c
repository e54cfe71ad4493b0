#include "core/reel.h"

#include "core/base/shortage.h"
#include "core/outbox.h"
#include "core/server.h"

#include <stdlib.h>

/* Blocks grow with the text, from a short answer's size on. */
#define CHUNK_BYTES_MIN 1024
/* So much that the text does not need may stay with a block. */
#define CHUNK_SPARE_BYTES 256
#define CHUNK_BYTES_MAX (64 * 1024)

/* With the piece that it will be in an outbox. */
static size_t chunk_bytes(size_t cap) {
    return sizeof(struct chunk) + cap + outbox_piece_bytes();
}

struct chunk *chunk_get(struct worker *worker, size_t cap, bool reserve) {
    struct server *server = worker->server;
    struct purse *purse = &server->answers;
    size_t bytes = chunk_bytes(cap);
    if (cap > UINT32_MAX / 2)
        return NULL;
    if (SHORTAGE(!purse_take(purse, &worker->account, bytes))) {
        purse = &server->reserve;
        if (!reserve || SHORTAGE(!purse_take(purse, &worker->account, bytes)))
            return NULL;
    }
    struct chunk *chunk = malloc(sizeof(struct chunk) + cap);
    if (SHORTAGE(chunk == NULL)) {
        purse_give(purse, bytes);
        return NULL;
    }
    *chunk = (struct chunk){.purse = purse, .cap = (uint32_t)cap};
    return chunk;
}

void chunk_put(struct chunk *chunk) {
    if (chunk == NULL)
        return;
    purse_give(chunk->purse, chunk_bytes(chunk->cap));
    free(chunk);
}

void chunks_put(struct chunk *first) {
    for (struct chunk *chunk = first, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        chunk_put(chunk);
    }
}

/* Gives back what the text does not need: it may wait for its peer for long. */
static struct chunk *chunk_fit(struct chunk *chunk) {
    uint32_t cap = chunk->len, spare = chunk->cap - cap;
    if (spare < CHUNK_SPARE_BYTES)
        return chunk;
    struct chunk *fitted = realloc(chunk, sizeof(*chunk) + cap);
    if (SHORTAGE(fitted == NULL))
        return chunk; /* it is good as it is */
    fitted->cap = cap;
    purse_give(fitted->purse, spare);
    return fitted;
}

static void reel_fail(struct reel *reel) {
    reel->failed = reel->out.full = true;
}

/* The text goes on in the next block. Its last byte goes with it, to stay in view. */
static void out_move(struct reel *reel, struct chunk *chunk) {
    struct builder next = builder_over(chunk->text, chunk->cap);
    if (reel->last == NULL) {
        reel->first = chunk;
    } else {
        if (reel->out.len != 0)
            builder_byte(&next, reel->out.at[--reel->out.len]);
        reel->last->len = (uint32_t)reel->out.len;
        reel->bytes += reel->out.len;
        reel->last->next = chunk;
    }
    reel->last = chunk;
    reel->out = next;
}

bool reel_room(struct reel *reel, size_t bytes) {
    if (reel->failed)
        return false;
    if (reel->out.cap - reel->out.len > bytes)
        return true;
    size_t cap = reel->last == NULL ? CHUNK_BYTES_MIN : 2 * (size_t)reel->last->cap;
    if (cap > CHUNK_BYTES_MAX)
        cap = CHUNK_BYTES_MAX;
    while (cap <= bytes + 1)
        cap *= 2;
    struct chunk *chunk = chunk_get(reel->worker, cap, reel->reserve);
    if (SHORTAGE(chunk == NULL))
        reel_fail(reel);
    else
        out_move(reel, chunk);
    return chunk != NULL;
}

void reel_join(struct reel *reel, struct reel *more) {
    bool failed = reel->failed || more->failed;
    if (more->first != NULL) {
        if (reel->last == NULL) {
            reel->first = more->first;
        } else {
            reel->last->len = (uint32_t)reel->out.len;
            reel->last->next = more->first;
        }
        reel->bytes += reel->out.len + more->bytes;
        reel->last = more->last;
        reel->out = more->out;
    }
    *more = reel_empty(more->worker, more->reserve);
    if (failed)
        reel_fail(reel);
}

struct chunk *reel_take(struct reel *reel) {
    struct chunk *first = reel->first;
    if (reel->last != NULL)
        reel->last->len = (uint32_t)reel->out.len;
    for (struct chunk **at = &first; *at != NULL; at = &(*at)->next)
        *at = chunk_fit(*at);
    *reel = reel_empty(reel->worker, reel->reserve);
    return first;
}

void reel_free(struct reel *reel) {
    chunks_put(reel->first);
    *reel = reel_empty(reel->worker, reel->reserve);
}
