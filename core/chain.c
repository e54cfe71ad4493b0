#include "core/chain.h"

#include "core/base/shortage.h"
#include "core/outbox.h"
#include "core/piece.h"
#include "core/server.h"

#include <stdlib.h>

/* Blocks grow with the text, from a short answer's size on. */
#define CHUNK_BYTES_MIN 1024
/* So much that the text does not need may stay with a block. */
#define CHUNK_SPARE_BYTES 256
#define CHUNK_BYTES_MAX (64 * 1024)

/* With the piece that it will be in an outbox. */
static size_t chunk_bytes(size_t cap) {
    return sizeof(struct chunk) + cap + sizeof(struct piece);
}

/* It was charged. */
static struct chunk *chunk_make(struct quota *quota, size_t cap) {
    struct chunk *chunk = malloc(sizeof(struct chunk) + cap);
    if (SHORTAGE(chunk == NULL)) {
        quota_give(quota, chunk_bytes(cap));
        return NULL;
    }
    *chunk = (struct chunk){.quota = quota, .cap = (uint32_t)cap};
    return chunk;
}

struct chunk *chunk_get(struct endpoint *endpoint, size_t cap, bool reserve) {
    struct server *server = endpoint->server;
    struct quota *quota = &server->answers;
    size_t bytes = chunk_bytes(cap);
    if (cap > UINT32_MAX / 2)
        return NULL;
    if (SHORTAGE(!quota_take(quota, &endpoint->account, bytes))) {
        quota = &server->reserve;
        if (!reserve || SHORTAGE(!quota_take(quota, &endpoint->account, bytes)))
            return NULL;
    }
    return chunk_make(quota, cap);
}

struct chunk *chunk_force(struct endpoint *endpoint, size_t cap) {
    struct quota *quota = &endpoint->server->answers;
    quota_force(quota, chunk_bytes(cap));
    return chunk_make(quota, cap);
}

void chunk_put(struct chunk *chunk) {
    if (chunk == NULL)
        return;
    quota_give(chunk->quota, chunk_bytes(chunk->cap));
    free(chunk);
}

void chunks_put(struct chunk *first) {
    for (struct chunk *chunk = first, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        chunk_put(chunk);
    }
}

/* The text may wait for its peer for long. */
struct chunk *chunk_fit(struct chunk *chunk) {
    uint32_t cap = chunk->len, spare = chunk->cap - cap;
    if (spare < CHUNK_SPARE_BYTES)
        return chunk;
    struct chunk *fitted = realloc(chunk, sizeof(*chunk) + cap);
    if (SHORTAGE(fitted == NULL))
        return chunk; /* it is good as it is */
    fitted->cap = cap;
    quota_give(fitted->quota, spare);
    return fitted;
}

static void chain_fail(struct chain *chain) {
    chain->failed = chain->out.full = true;
}

/* The text goes on in the next block. Its last byte goes with it, to stay in view. */
static void out_move(struct chain *chain, struct chunk *chunk) {
    struct builder next = builder_over(chunk->text, chunk->cap);
    if (chain->last == NULL) {
        chain->first = chunk;
    } else {
        if (chain->out.len != 0)
            builder_byte(&next, chain->out.at[--chain->out.len]);
        chain->last->len = (uint32_t)chain->out.len;
        chain->bytes += chain->out.len;
        chain->last->next = chunk;
    }
    chain->last = chunk;
    chain->out = next;
}

bool chain_room(struct chain *chain, size_t bytes) {
    if (chain->failed)
        return false;
    if (chain->out.cap - chain->out.len > bytes)
        return true;
    size_t cap = chain->last == NULL ? CHUNK_BYTES_MIN : 2 * (size_t)chain->last->cap;
    if (cap > CHUNK_BYTES_MAX)
        cap = CHUNK_BYTES_MAX;
    while (cap <= bytes + 1)
        cap *= 2;
    struct chunk *chunk = chunk_get(chain->endpoint, cap, chain->reserve);
    if (SHORTAGE(chunk == NULL))
        chain_fail(chain);
    else
        out_move(chain, chunk);
    return chunk != NULL;
}

void chain_join(struct chain *chain, struct chain *more) {
    bool failed = chain->failed || more->failed;
    if (more->first != NULL) {
        if (chain->last == NULL) {
            chain->first = more->first;
        } else {
            chain->last->len = (uint32_t)chain->out.len;
            chain->last->next = more->first;
        }
        chain->bytes += chain->out.len + more->bytes;
        chain->last = more->last;
        chain->out = more->out;
    }
    *more = chain_empty(more->endpoint, more->reserve);
    if (failed)
        chain_fail(chain);
}

void chain_add(struct chain *chain, struct chunk *chunk) {
    struct chain more = chain_empty(chain->endpoint, chain->reserve);
    more.first = more.last = chunk;
    more.out = builder_over(chunk->text, chunk->cap);
    more.out.len = chunk->len;
    chain_join(chain, &more);
}

struct chunk *chain_take(struct chain *chain) {
    struct chunk *first = chain->first;
    if (chain->last != NULL)
        chain->last->len = (uint32_t)chain->out.len;
    for (struct chunk **at = &first; *at != NULL; at = &(*at)->next)
        *at = chunk_fit(*at);
    *chain = chain_empty(chain->endpoint, chain->reserve);
    return first;
}

void chain_free(struct chain *chain) {
    chunks_put(chain->first);
    *chain = chain_empty(chain->endpoint, chain->reserve);
}
