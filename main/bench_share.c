#include "main/bench_share.h"

#include <string.h>
#include <sys/mman.h>

struct bench_share *bench_share_open(uint32_t clients, uint32_t streams_each, uint32_t addresses) {
    uint64_t streams_bytes = (uint64_t)clients * streams_each * sizeof(struct bench_stream);
    uint64_t head_bytes = (sizeof(struct bench_share) + 63) & ~UINT64_C(63);
    uint64_t bytes = head_bytes + streams_bytes + UINT64_C(2) * addresses * sizeof(uint32_t);
    void *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return NULL;
    struct bench_share *share = map;
    share->streams = (struct bench_stream *)((uint8_t *)map + head_bytes);
    share->accepted = (uint32_t *)((uint8_t *)map + head_bytes + streams_bytes);
    share->sent = share->accepted + addresses;
    share->map_bytes = bytes;
    share->clients = clients;
    share->streams_each = streams_each;
    share->addresses = addresses;
    return share;
}

void bench_share_close(struct bench_share *share) {
    if (share != NULL)
        munmap(share, share->map_bytes);
}

void bench_share_order(struct bench_share *share, enum bench_order order) {
    share->order = order;
    atomic_fetch_add_explicit(&share->order_number, 1, memory_order_release);
}

void bench_share_begin(struct bench_share *share) {
    uint32_t run = atomic_load_explicit(&share->run, memory_order_relaxed);
    uint32_t next = run == 0 ? share->run_base + 1 : share->run_base + ((run + 1) & 0xff);
    if (next == share->run_base)
        next++;
    memset(share->accepted, 0, share->addresses * sizeof *share->accepted);
    memset(share->sent, 0, share->addresses * sizeof *share->sent);
    atomic_store_explicit(&share->run, next, memory_order_release);
}

bool bench_share_begun(const struct bench_share *share, uint32_t swarms) {
    uint32_t run = atomic_load_explicit(&share->run, memory_order_relaxed);
    for (uint32_t i = 0; i < swarms; i++)
        if (atomic_load_explicit(&share->tallies[i].run, memory_order_acquire) != run)
            return false;
    return true;
}

uint32_t bench_share_run(struct bench_share *share, struct bench_tally *tally, uint32_t first,
                         uint32_t count) {
    uint32_t run = atomic_load_explicit(&share->run, memory_order_acquire);
    if (run == atomic_load_explicit(&tally->run, memory_order_relaxed))
        return run;
    tally->received = tally->duplicate = tally->disordered = tally->misrouted = 0;
    tally->damaged = tally->stale = tally->receives = 0;
    memset(tally->slot_count, 0, sizeof tally->slot_count);
    memset(tally->slot_slow, 0, sizeof tally->slot_slow);
    bench_hist_clear(&tally->latency);
    memset(share->streams + (size_t)first * share->streams_each, 0,
           (size_t)count * share->streams_each * sizeof *share->streams);
    atomic_store_explicit(&tally->run, run, memory_order_release);
    return run;
}

void bench_share_sum(const struct bench_share *share, struct bench_tally *sum) {
    memset(sum, 0, sizeof *sum);
    for (uint32_t i = 0; i < BENCH_SWARMS_MAX; i++) {
        const struct bench_tally *t = &share->tallies[i];
        sum->ready += t->ready;
        sum->opened += t->opened;
        sum->settled += t->settled;
        sum->failed += t->failed;
        sum->lost += t->lost;
        if (t->settled_ns > sum->settled_ns)
            sum->settled_ns = t->settled_ns;
        sum->received += t->received;
        sum->duplicate += t->duplicate;
        sum->disordered += t->disordered;
        sum->misrouted += t->misrouted;
        sum->damaged += t->damaged;
        sum->stale += t->stale;
        sum->receives += t->receives;
        for (uint32_t k = 0; k < BENCH_SLOTS; k++) {
            sum->slot_count[k] += t->slot_count[k];
            sum->slot_slow[k] += t->slot_slow[k];
        }
        bench_hist_merge(&sum->latency, &t->latency);
        bench_hist_merge(&sum->greeting, &t->greeting);
        if (sum->sample[0] == '\0')
            memcpy(sum->sample, t->sample, sizeof sum->sample);
    }
}

uint64_t bench_share_received(const struct bench_share *share, uint32_t swarms) {
    uint64_t received = 0;
    for (uint32_t i = 0; i < swarms; i++)
        received += *(const volatile uint64_t *)&share->tallies[i].received;
    return received;
}

void bench_share_missing(const struct bench_share *share, uint64_t *missing, uint64_t *unasked) {
    *missing = *unasked = 0;
    for (uint32_t client = 0; client < share->clients; client++)
        for (uint32_t k = 0; k < share->streams_each; k++) {
            uint32_t address = k;
            if (share->kind == BENCH_UNICAST)
                address = client;
            else if (share->kind == BENCH_GROUP)
                address = bench_group_of(share, client, k);
            uint32_t wanted = share->accepted[address];
            uint32_t came = share->streams[(size_t)client * share->streams_each + k].unique;
            *missing += wanted > came ? wanted - came : 0;
            *unasked += came > wanted ? came - wanted : 0;
        }
}
