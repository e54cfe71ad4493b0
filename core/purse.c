#include "core/purse.h"

#include "core/base/check.h"

void purse_init(struct purse *purse, struct budget *budget, uint64_t ceiling_bytes) {
    purse->budget = budget;
    purse->ceiling_bytes = ceiling_bytes;
    atomic_init(&purse->used_bytes, 0);
}

bool purse_take(struct purse *purse, struct account *account, uint64_t bytes) {
    uint64_t before = atomic_fetch_add_explicit(&purse->used_bytes, bytes, memory_order_relaxed);
    if (before + bytes <= purse->ceiling_bytes &&
        (purse->budget == NULL || budget_take(account, bytes)))
        return true;
    atomic_fetch_sub_explicit(&purse->used_bytes, bytes, memory_order_relaxed);
    return false;
}

void purse_give(struct purse *purse, uint64_t bytes) {
    uint64_t before = atomic_fetch_sub_explicit(&purse->used_bytes, bytes, memory_order_relaxed);
    CHECK(before >= bytes, "%llu bytes given back, %llu taken", (unsigned long long)bytes,
          (unsigned long long)before);
    if (purse->budget != NULL)
        budget_give(purse->budget, bytes);
}
