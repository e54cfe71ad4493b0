#include "core/memory.h"

#include "core/base/check.h"
#include "core/base/shortage.h"

#include <malloc.h>
#include <stdlib.h>

#define GRANT_BYTES_MAX (256 * 1024)
#define RELIEF_TIMES_MIN 4

void budget_init(struct budget *budget, uint64_t ceiling_bytes) {
    budget->ceiling_bytes = ceiling_bytes;
    /* Small ceilings are dealt out in small portions, so that no worker sits on the rest. */
    budget->grant_bytes = ceiling_bytes / 256;
    if (budget->grant_bytes > GRANT_BYTES_MAX)
        budget->grant_bytes = GRANT_BYTES_MAX;
    if (budget->grant_bytes == 0)
        budget->grant_bytes = 1;
    atomic_init(&budget->granted_bytes, 0);
    budget->relieve = NULL;
    budget->relieve_argument = NULL;
}

void account_init(struct account *account, struct budget *budget) {
    *account = (struct account){.budget = budget};
}

static uint64_t grant_for(const struct account *account, size_t bytes) {
    uint64_t missing = account->used_bytes + bytes - account->granted_bytes;
    uint64_t grant = account->budget->grant_bytes;
    return (missing + grant - 1) / grant * grant;
}

static bool grant_take(struct budget *budget, uint64_t more) {
    uint64_t before = atomic_fetch_add_explicit(&budget->granted_bytes, more, memory_order_relaxed);
    if (before + more <= budget->ceiling_bytes)
        return true;
    atomic_fetch_sub_explicit(&budget->granted_bytes, more, memory_order_relaxed);
    return false;
}

/* The same; what others can miss gives way. Each time frees about a grant, of which others may
 * snatch some. */
static bool grant_press(struct account *account, uint64_t more) {
    struct budget *budget = account->budget;
    uint64_t times = 2 * (more / budget->grant_bytes) + RELIEF_TIMES_MIN;
    while (times-- > 0 && budget->relieve(budget->relieve_argument, account))
        if (grant_take(budget, more))
            return true;
    return false;
}

bool budget_take(struct account *account, uint64_t bytes) {
    struct budget *budget = account->budget;
    bool presses = account->presses && budget->relieve != NULL && bytes <= budget->ceiling_bytes;
    return grant_take(budget, bytes) || (presses && grant_press(account, bytes));
}

void budget_give(struct budget *budget, uint64_t bytes) {
    atomic_fetch_sub_explicit(&budget->granted_bytes, bytes, memory_order_relaxed);
}

bool account_take(struct account *account, size_t bytes) {
    if (account->used_bytes + bytes > account->granted_bytes) {
        uint64_t more = grant_for(account, bytes);
        if (SHORTAGE(!budget_take(account, more)))
            return false;
        account->granted_bytes += more;
    }
    account->used_bytes += bytes;
    return true;
}

bool account_try(struct account *account, size_t bytes) {
    if (account->used_bytes + bytes > account->granted_bytes) {
        uint64_t more = grant_for(account, bytes);
        if (!grant_take(account->budget, more))
            return false;
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
    if (spare > 3 * grant && !account->keeps) {
        uint64_t back = (spare - 2 * grant) / grant * grant;
        account->granted_bytes -= back;
        atomic_fetch_sub_explicit(&account->budget->granted_bytes, back, memory_order_relaxed);
    }
}

void account_send(struct account *account, size_t bytes) {
    CHECK(account->used_bytes >= bytes);
    account->used_bytes -= bytes;
    account->granted_bytes -= bytes;
}

void account_receive(struct account *account, size_t bytes) {
    account->used_bytes += bytes;
    account->granted_bytes += bytes;
}

void account_trim(struct account *account) {
    uint64_t grant = account->budget->grant_bytes;
    uint64_t back = (account->granted_bytes - account->used_bytes) / grant * grant;
    account->granted_bytes -= back;
    atomic_fetch_sub_explicit(&account->budget->granted_bytes, back, memory_order_relaxed);
}

void *memory_get(struct account *account, size_t bytes) {
    if (SHORTAGE(!account_take(account, bytes)))
        return NULL;
    void *at = malloc(bytes);
    if (SHORTAGE(at == NULL))
        account_give(account, bytes);
    return at;
}

void *memory_grow(struct account *account, void *at, size_t bytes, size_t more_bytes) {
    if (SHORTAGE(!account_take(account, more_bytes - bytes)))
        return NULL;
    void *grown = realloc(at, more_bytes);
    if (SHORTAGE(grown == NULL))
        account_give(account, more_bytes - bytes);
    return grown;
}

void memory_begin(void) {
    /* Left alone, the library raises the first as such blocks are freed, and then copies. What a
     * mapping costs in page faults is paid by each body of that size, so it is not lower; and the
     * heap keeps its top for the next body. */
    mallopt(M_MMAP_THRESHOLD, MEMORY_MOVES_BYTES);
    mallopt(M_TRIM_THRESHOLD, 2 * MEMORY_MOVES_BYTES);
}

void memory_put(struct account *account, void *at, size_t bytes) {
    free(at);
    account_give(account, bytes);
}
