#include "core/quota.h"

#include "core/base/check.h"

void quota_init(struct quota *quota, struct budget *budget, uint64_t ceiling_bytes) {
    quota->budget = budget;
    quota->ceiling_bytes = ceiling_bytes;
    atomic_init(&quota->used_bytes, 0);
}

bool quota_take(struct quota *quota, struct account *account, uint64_t bytes) {
    uint64_t before = atomic_fetch_add_explicit(&quota->used_bytes, bytes, memory_order_relaxed);
    if (before + bytes <= quota->ceiling_bytes &&
        (quota->budget == NULL || budget_take(account, bytes)))
        return true;
    atomic_fetch_sub_explicit(&quota->used_bytes, bytes, memory_order_relaxed);
    return false;
}

void quota_force(struct quota *quota, uint64_t bytes) {
    atomic_fetch_add_explicit(&quota->used_bytes, bytes, memory_order_relaxed);
    if (quota->budget != NULL)
        budget_force(quota->budget, bytes);
}

void quota_give(struct quota *quota, uint64_t bytes) {
    uint64_t before = atomic_fetch_sub_explicit(&quota->used_bytes, bytes, memory_order_relaxed);
    CHECK(before >= bytes, "%llu bytes given back, %llu taken", (unsigned long long)bytes,
          (unsigned long long)before);
    if (quota->budget != NULL)
        budget_give(quota->budget, bytes);
}
