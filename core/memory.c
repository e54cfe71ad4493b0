#include "core/memory.h"

#include "core/base/check.h"

#include <stdlib.h>

#define GRANT_BYTES_MAX (256 * 1024)
#define POOL_BLOCK_BYTES (64 * 1024)

#if defined(__SANITIZE_ADDRESS__) || defined(RINGPOST_PLAIN_POOLS)
#define PLAIN_POOLS 1
#else
#define PLAIN_POOLS 0
#endif

void budget_init(struct budget *budget, uint64_t ceiling_bytes) {
    budget->ceiling_bytes = ceiling_bytes;
    /* Small ceilings are dealt out in small portions, so that no worker sits on the rest. */
    budget->grant_bytes = ceiling_bytes / 256;
    if (budget->grant_bytes > GRANT_BYTES_MAX)
        budget->grant_bytes = GRANT_BYTES_MAX;
    if (budget->grant_bytes == 0)
        budget->grant_bytes = 1;
    atomic_init(&budget->granted_bytes, 0);
}

void account_init(struct account *account, struct budget *budget) {
    *account = (struct account){.budget = budget};
}

static uint64_t grant_for(const struct account *account, size_t bytes) {
    uint64_t missing = account->used_bytes + bytes - account->granted_bytes;
    uint64_t grant = account->budget->grant_bytes;
    return (missing + grant - 1) / grant * grant;
}

bool account_take(struct account *account, size_t bytes) {
    if (account->used_bytes + bytes > account->granted_bytes) {
        struct budget *budget = account->budget;
        uint64_t more = grant_for(account, bytes);
        uint64_t before =
            atomic_fetch_add_explicit(&budget->granted_bytes, more, memory_order_relaxed);
        if (before + more > budget->ceiling_bytes) {
            atomic_fetch_sub_explicit(&budget->granted_bytes, more, memory_order_relaxed);
            return false;
        }
        account->granted_bytes += more;
    }
    account->used_bytes += bytes;
    return true;
}

void account_force(struct account *account, size_t bytes) {
    if (account->used_bytes + bytes > account->granted_bytes) {
        uint64_t more = grant_for(account, bytes);
        atomic_fetch_add_explicit(&account->budget->granted_bytes, more, memory_order_relaxed);
        account->granted_bytes += more;
    }
    account->used_bytes += bytes;
}

void account_give(struct account *account, size_t bytes) {
    CHECK(account->used_bytes >= bytes, "%zu bytes given back, %llu taken", bytes,
          (unsigned long long)account->used_bytes);
    account->used_bytes -= bytes;
    /* Two grants in hand are kept, against going back and forth at the edge of one. */
    uint64_t grant = account->budget->grant_bytes;
    uint64_t spare = account->granted_bytes - account->used_bytes;
    if (spare > 3 * grant) {
        uint64_t back = (spare - 2 * grant) / grant * grant;
        account->granted_bytes -= back;
        atomic_fetch_sub_explicit(&account->budget->granted_bytes, back, memory_order_relaxed);
    }
}

void *memory_get(struct account *account, size_t bytes) {
    if (!account_take(account, bytes))
        return NULL;
    void *at = malloc(bytes);
    if (at == NULL)
        account_give(account, bytes);
    return at;
}

void *memory_force(struct account *account, size_t bytes) {
    void *at = malloc(bytes);
    if (at != NULL)
        account_force(account, bytes);
    return at;
}

void memory_put(struct account *account, void *at, size_t bytes) {
    free(at);
    account_give(account, bytes);
}

void pool_init(struct pool *pool, size_t object_bytes) {
    size_t align = _Alignof(max_align_t);
    if (object_bytes < sizeof(void *))
        object_bytes = sizeof(void *);
    *pool = (struct pool){.object_bytes = (object_bytes + align - 1) / align * align};
}

static void *link_get(void *at) {
    return *(void **)at;
}

static void link_set(void *at, void *next) {
    *(void **)at = next;
}

static bool pool_grow(struct pool *pool) {
    /* The block's first word links it to the others; objects follow, aligned. */
    size_t head = _Alignof(max_align_t);
    size_t count = (POOL_BLOCK_BYTES - head) / pool->object_bytes;
    if (count == 0)
        count = 1;
    char *block = malloc(head + count * pool->object_bytes);
    if (block == NULL)
        return false;
    link_set(block, pool->blocks);
    pool->blocks = block;
    for (size_t i = count; i-- > 0;) {
        void *object = block + head + i * pool->object_bytes;
        link_set(object, pool->free);
        pool->free = object;
    }
    pool->made += count;
    return true;
}

void *pool_get(struct pool *pool) {
    void *object;
    if (PLAIN_POOLS) {
        object = malloc(pool->object_bytes);
        if (object == NULL)
            return NULL;
    } else {
        if (pool->free == NULL && !pool_grow(pool))
            return NULL;
        object = pool->free;
        pool->free = link_get(object);
    }
    pool->in_use++;
    return object;
}

void pool_put(struct pool *pool, void *object) {
    CHECK(pool->in_use > 0, "more objects came back than were taken");
    pool->in_use--;
    if (PLAIN_POOLS) {
        free(object);
        return;
    }
    link_set(object, pool->free);
    pool->free = object;
}

void pool_fini(struct pool *pool) {
    CHECK(pool->in_use == 0, "%llu objects of %zu bytes are still in use",
          (unsigned long long)pool->in_use, pool->object_bytes);
    while (pool->blocks != NULL) {
        void *next = link_get(pool->blocks);
        free(pool->blocks);
        pool->blocks = next;
    }
    pool->free = NULL;
}
