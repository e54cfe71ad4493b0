/* gate_rate.c - who pushes, and how much of it may pass; see gate.h. */
#include "core/base/hash.h"
#include "core/net.h"
#include "ingest/gate/gate.h"

/* --- producers ------------------------------------------------------------------------------- */

uint64_t producer_of_key(unsigned place) {
    return 1 + (uint64_t)place;
}

/* Small numbers are keys'. */
static uint64_t producer_of_hash(uint64_t hash) {
    return hash > API_KEYS_MAX ? hash : hash + 1 + API_KEYS_MAX;
}

uint64_t producer_of_client(uint64_t name_hash) {
    return producer_of_hash(name_hash);
}

uint64_t producer_of_address(const struct peer_address *peer) {
    return producer_of_hash(hash64(span_of(peer->bytes, sizeof(peer->bytes))));
}

/* --- rates ----------------------------------------------------------------------------------- */

bool gate_rate_take(struct gate_rate *rate, double per_second, uint64_t now_ns,
                    uint64_t *retry_ns) {
    if (!(per_second > 0))
        return true;
    double each_ns = (double)NS_PER_S / per_second;
    uint64_t cost_ns = each_ns < 1 ? 1 : each_ns > 1e18 ? (uint64_t)1e18 : (uint64_t)each_ns;
    uint64_t burst_ns = cost_ns > NS_PER_S ? cost_ns : NS_PER_S;
    uint64_t used_until = atomic_load_explicit(&rate->used_until_ns, memory_order_relaxed);
    for (;;) {
        uint64_t next = (used_until > now_ns ? used_until : now_ns) + cost_ns;
        if (next - now_ns > burst_ns) {
            *retry_ns = next - now_ns - burst_ns;
            return false;
        }
        if (atomic_compare_exchange_weak_explicit(&rate->used_until_ns, &used_until, next,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
}
