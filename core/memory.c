#include "core/memory.h"

#include "core/base/check.h"
#include "core/base/shortage.h"

#include <malloc.h>
#include <stdlib.h>
#include <sys/resource.h>

#define GRANT_BYTES_MAX (256 * 1024)
#define RELIEF_TIMES_MIN 4
/* Of a small ceiling, so much may stay warm. */
#define WARM_PART 64
/* Texts of up to this are taken from memory of the C library that stays: each that was a mapping
 * would pay for its page faults. */
#define LIBRARY_WARM_BYTES (4 * 1024 * 1024)
/* The library reserves 64 MiB of address space for each thread. Within a limit of less than that of
 * some dozens of threads they share one arena. */
#define LIBRARY_SPACE_BYTES (UINT64_C(4) << 30)

void budget_init(struct budget *budget, uint64_t ceiling_bytes) {
    budget->ceiling_bytes = ceiling_bytes;
    /* Small ceilings are dealt out in small portions, so that no worker sits on the rest. */
    budget->grant_bytes = ceiling_bytes / 256;
    if (budget->grant_bytes > GRANT_BYTES_MAX)
        budget->grant_bytes = GRANT_BYTES_MAX;
    if (budget->grant_bytes == 0)
        budget->grant_bytes = 1;
    atomic_init(&budget->granted_bytes, 0);
    atomic_init(&budget->beyond_bytes, 0);
    atomic_init(&budget->over, false);
    budget->relieve = NULL;
    budget->relieve_argument = NULL;
}

uint64_t account_warm_max(const struct budget *budget) {
    uint64_t part = budget->ceiling_bytes / WARM_PART;
    return part < WARM_BYTES_MAX ? part : WARM_BYTES_MAX;
}

void account_init(struct account *account, struct budget *budget) {
    *account = (struct account){.budget = budget};
    account->blocks.warm_max = account_warm_max(budget);
}

/* What must be granted. */
static uint64_t account_needs(const struct account *account) {
    return account->used_bytes + block_cache_kept(&account->blocks);
}

/* How much more must be granted for so many bytes, in grants. */
static uint64_t grant_for(const struct account *account, size_t bytes) {
    uint64_t needs = account_needs(account) + bytes, grant = account->budget->grant_bytes;
    if (needs <= account->granted_bytes)
        return 0;
    return (needs - account->granted_bytes + grant - 1) / grant * grant;
}

static bool grant_take(struct budget *budget, uint64_t more, uint64_t beyond) {
    uint64_t before = atomic_fetch_add_explicit(&budget->granted_bytes, more, memory_order_relaxed);
    if (before + more <= budget->ceiling_bytes + beyond)
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
        if (grant_take(budget, more, 0))
            return true;
    return false;
}

static void grant_back(struct budget *budget, uint64_t bytes) {
    uint64_t before =
        atomic_fetch_sub_explicit(&budget->granted_bytes, bytes, memory_order_relaxed);
    if (!atomic_load_explicit(&budget->over, memory_order_relaxed) ||
        before - bytes + budget->grant_bytes > budget->ceiling_bytes)
        return;
    atomic_store_explicit(&budget->beyond_bytes, 0, memory_order_relaxed);
    atomic_store_explicit(&budget->over, false, memory_order_relaxed);
}

bool budget_take(struct account *account, uint64_t bytes) {
    struct budget *budget = account->budget;
    bool presses = account->presses && budget->relieve != NULL && bytes <= budget->ceiling_bytes;
    if (grant_take(budget, bytes, 0) || (presses && grant_press(account, bytes)))
        return true;
    uint64_t beyond = atomic_load_explicit(&budget->beyond_bytes, memory_order_relaxed);
    return beyond != 0 && grant_take(budget, bytes, beyond);
}

void budget_force(struct budget *budget, uint64_t bytes) {
    atomic_fetch_add_explicit(&budget->granted_bytes, bytes, memory_order_relaxed);
}

void budget_give(struct budget *budget, uint64_t bytes) {
    grant_back(budget, bytes);
}

void budget_restore(struct budget *budget) {
    atomic_store_explicit(&budget->beyond_bytes, budget->ceiling_bytes / BUDGET_BEYOND_PART,
                          memory_order_relaxed);
}

uint64_t budget_restored(struct budget *budget) {
    uint64_t granted = atomic_load_explicit(&budget->granted_bytes, memory_order_relaxed);
    uint64_t over = granted > budget->ceiling_bytes ? granted - budget->ceiling_bytes : 0;
    bool full = budget_is_full(budget);
    atomic_store_explicit(&budget->beyond_bytes,
                          full ? over + budget->ceiling_bytes / BUDGET_BEYOND_PART : 0,
                          memory_order_relaxed);
    atomic_store_explicit(&budget->over, full, memory_order_relaxed);
    return over;
}

bool account_admits(struct account *account) {
    struct budget *budget = account->budget;
    if (!atomic_load_explicit(&budget->over, memory_order_relaxed))
        return true;
    if (account->presses && budget->relieve != NULL)
        (void)budget->relieve(budget->relieve_argument, account);
    return !atomic_load_explicit(&budget->over, memory_order_relaxed);
}

/* More is granted, or what is warm makes room. False: neither; nobody has been pressed. */
static bool account_have(struct account *account, size_t bytes) {
    uint64_t more = grant_for(account, bytes);
    if (more == 0)
        return true;
    if (grant_take(account->budget, more, 0)) {
        account->granted_bytes += more;
        return true;
    }
    if (!account_wants_release(account))
        return false;
    block_cache_release(&account->blocks, more);
    return grant_for(account, bytes) == 0;
}

bool account_take(struct account *account, size_t bytes) {
    if (!account_have(account, bytes)) {
        uint64_t more = grant_for(account, bytes);
        if (SHORTAGE(!budget_take(account, more)))
            return false;
        account->granted_bytes += more;
    }
    account->used_bytes += bytes;
    return true;
}

bool account_try(struct account *account, size_t bytes) {
    if (!account_have(account, bytes))
        return false;
    account->used_bytes += bytes;
    return true;
}

void account_force(struct account *account, size_t bytes) {
    uint64_t more = grant_for(account, bytes);
    if (more != 0)
        atomic_fetch_add_explicit(&account->budget->granted_bytes, more, memory_order_relaxed);
    account->granted_bytes += more;
    account->used_bytes += bytes;
}

/* Gives back what is granted beyond a number of grants. */
static void grants_return(struct account *account, uint64_t grants) {
    uint64_t grant = account->budget->grant_bytes;
    uint64_t needs = account_needs(account) + grants * grant;
    if (needs >= account->granted_bytes)
        return;
    uint64_t back = (account->granted_bytes - needs) / grant * grant;
    account->granted_bytes -= back;
    grant_back(account->budget, back);
}

/* Two grants in hand are kept, against going back and forth at the edge of one. */
static void grants_look(struct account *account) {
    uint64_t grant = account->budget->grant_bytes;
    if (account->granted_bytes > account_needs(account) + 3 * grant && !account->keeps)
        grants_return(account, 2);
}

void account_give(struct account *account, size_t bytes) {
    CHECK(account->used_bytes >= bytes, "%zu bytes given back, %llu taken", bytes,
          (unsigned long long)account->used_bytes);
    account->used_bytes -= bytes;
    grants_look(account);
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
    grants_return(account, 0);
}

void *memory_get(struct account *account, size_t bytes) {
    bool fresh;
    void *at = block_cache_get(&account->blocks, bytes, &fresh);
    if (SHORTAGE(at == NULL))
        return NULL;
    /* Only now is it known how much of it was there before. */
    if (SHORTAGE(!account_take(account, bytes))) {
        block_cache_unget(&account->blocks, at, bytes, fresh);
        return NULL;
    }
    return at;
}

void *memory_grow(struct account *account, void *at, size_t bytes, size_t more_bytes) {
    if (at == NULL)
        return memory_get(account, more_bytes);
    if (SHORTAGE(!account_take(account, more_bytes - bytes)))
        return NULL;
    void *grown = block_cache_grow(&account->blocks, at, bytes, more_bytes);
    if (SHORTAGE(grown == NULL)) {
        account_give(account, more_bytes - bytes);
        return NULL;
    }
    /* The old block's memory is beyond what was granted. */
    uint64_t needs = account_needs(account);
    if (needs > account->granted_bytes)
        block_cache_release(&account->blocks, needs - account->granted_bytes);
    return grown;
}

void memory_put(struct account *account, void *at, size_t bytes) {
    block_cache_put(&account->blocks, at, bytes);
    account_give(account, bytes);
}

uint64_t account_release(struct account *account, uint64_t bytes) {
    uint64_t released = block_cache_release(&account->blocks, bytes);
    grants_look(account);
    return released;
}

void account_fini(struct account *account) {
    block_cache_fini(&account->blocks);
}

void memory_begin(void) {
    mallopt(M_MMAP_THRESHOLD, LIBRARY_WARM_BYTES);
    mallopt(M_TRIM_THRESHOLD, 2 * LIBRARY_WARM_BYTES);
    struct rlimit space;
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur < LIBRARY_SPACE_BYTES)
        mallopt(M_ARENA_MAX, 1);
}
