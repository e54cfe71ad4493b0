#include "perf/load/bench_share.h"

#include "perf/load/bench_text.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

struct bench_share *bench_share_open(uint32_t clients, const struct bench_aim aims[BENCH_KINDS]) {
    uint32_t streams_each = 0, addresses = 0;
    for (unsigned kind = 0; kind < BENCH_KINDS; kind++) {
        streams_each += aims[kind].streams;
        addresses += aims[kind].addresses;
    }
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
    share->clients = share->members = clients;
    for (unsigned kind = 0; kind < BENCH_KINDS; kind++) {
        struct bench_aim *aim = &share->aims[kind];
        *aim = (struct bench_aim){.addresses = aims[kind].addresses,
                                  .streams = aims[kind].streams,
                                  .first = share->addresses,
                                  .first_stream = share->streams_each};
        share->addresses += aim->addresses;
        share->streams_each += aim->streams;
    }
    return share;
}

bool bench_share_tickets(struct bench_share *share) {
    void *map = mmap(NULL, BENCH_TICKETS * sizeof *share->tickets, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return false;
    share->tickets = map;
    atomic_store_explicit(&share->ticket_next, 1, memory_order_relaxed);
    return true;
}

void bench_share_close(struct bench_share *share) {
    if (share == NULL)
        return;
    if (share->tickets != NULL)
        munmap(share->tickets, BENCH_TICKETS * sizeof *share->tickets);
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
    memset(tally->slot_timed, 0, sizeof tally->slot_timed);
    memset(tally->slot_slow, 0, sizeof tally->slot_slow);
    tally->pings = tally->pongs = tally->pings_lost = tally->pongs_unasked = 0;
    tally->forgotten = 0;
    tally->polls = tally->polls_moved = 0;
    tally->shared = tally->carried = 0;
    tally->acks = tally->held = tally->again = tally->reconnects = 0;
    memset(&tally->fates, 0, sizeof tally->fates);
    bench_hist_clear(&tally->latency);
    for (uint32_t kind = 0; kind < BENCH_KINDS; kind++)
        bench_hist_clear(&share->of_kind[tally - share->tallies][kind]);
    bench_hist_clear(&tally->lone);
    bench_hist_clear(&tally->unread);
    bench_hist_clear(&tally->pong);
    memset(share->streams + (size_t)first * share->streams_each, 0,
           (size_t)count * share->streams_each * sizeof *share->streams);
    atomic_store_explicit(&tally->run, run, memory_order_release);
    return run;
}

void bench_share_latency(const struct bench_share *share, enum bench_kind kind,
                         struct bench_hist *latency) {
    bench_hist_clear(latency);
    for (uint32_t i = 0; i < BENCH_SWARMS_MAX; i++)
        bench_hist_merge(latency, &share->of_kind[i][kind]);
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
        sum->shared += t->shared;
        sum->carried += t->carried;
        sum->polls += t->polls;
        sum->polls_moved += t->polls_moved;
        if (t->settled_ns > sum->settled_ns)
            sum->settled_ns = t->settled_ns;
        sum->received += t->received;
        sum->duplicate += t->duplicate;
        sum->acks += t->acks;
        sum->held += t->held;
        sum->again += t->again;
        sum->reconnects += t->reconnects;
        sum->disordered += t->disordered;
        sum->misrouted += t->misrouted;
        sum->damaged += t->damaged;
        sum->stale += t->stale;
        sum->receives += t->receives;
        for (uint32_t k = 0; k < BENCH_SLOTS; k++) {
            sum->slot_count[k] += t->slot_count[k];
            sum->slot_timed[k] += t->slot_timed[k];
            sum->slot_slow[k] += t->slot_slow[k];
        }
        sum->pings += t->pings;
        sum->pongs += t->pongs;
        sum->pings_lost += t->pings_lost;
        sum->pongs_unasked += t->pongs_unasked;
        sum->forgotten += t->forgotten;
        bench_hist_merge(&sum->latency, &t->latency);
        bench_hist_merge(&sum->lone, &t->lone);
        bench_hist_merge(&sum->unread, &t->unread);
        bench_hist_merge(&sum->pong, &t->pong);
        bench_hist_merge(&sum->greeting, &t->greeting);
        if (sum->sample[0] == '\0')
            memcpy(sum->sample, t->sample, sizeof sum->sample);
    }
}

void bench_sample_keep(char sample[BENCH_SAMPLE_BYTES], const char *what, const void *at,
                       size_t len) {
    if (sample[0] != '\0')
        return;
    int used = snprintf(sample, BENCH_SAMPLE_BYTES, "%s: ", what);
    if (used > 0 && used < (int)BENCH_SAMPLE_BYTES)
        bench_text_write(sample + used, BENCH_SAMPLE_BYTES - (size_t)used, span_of(at, len));
}

uint64_t bench_share_received(const struct bench_share *share, uint32_t swarms) {
    uint64_t received = 0;
    for (uint32_t i = 0; i < swarms; i++)
        received += *(const volatile uint64_t *)&share->tallies[i].received;
    return received;
}

bool bench_share_address(const struct bench_share *share, enum bench_kind kind, uint32_t client,
                         uint32_t stream, uint32_t *address) {
    if (kind == BENCH_GROUP) {
        *address = bench_group_of(share, client, stream);
        return client < share->members;
    }
    *address = kind == BENCH_BROADCAST ? stream : client;
    return *address < share->aims[kind].addresses;
}

void bench_share_copies(const struct bench_share *share, enum bench_kind kind,
                        struct bench_copies *copies) {
    const struct bench_aim *aim = &share->aims[kind];
    *copies = (struct bench_copies){0};
    for (uint32_t client = 0; client < share->clients; client++)
        for (uint32_t k = 0; k < aim->streams; k++) {
            uint32_t address;
            bool gets = bench_share_address(share, kind, client, k, &address);
            uint32_t wanted = gets ? share->accepted[aim->first + address] : 0;
            size_t place = (size_t)client * share->streams_each + aim->first_stream + k;
            uint32_t came = share->streams[place].unique;
            copies->arrived += wanted < came ? wanted : came;
            copies->missing += wanted > came ? wanted - came : 0;
            copies->unasked += came > wanted ? came - wanted : 0;
        }
}

enum bench_ticket bench_ticket_read(const struct bench_share *share, uint64_t ticket,
                                    uint64_t now_ns, uint64_t *written_ns) {
    uint64_t next = atomic_load_explicit(&share->ticket_next, memory_order_acquire);
    if (ticket == 0 || ticket >= next)
        return BENCH_TICKET_FALSE;
    enum bench_ticket kind = BENCH_TICKET_GOOD;
    /* a quarter is kept clear of the writer, who may be taking numbers right now */
    if (next - ticket > BENCH_TICKETS / 4 * 3) {
        ticket = next - BENCH_TICKETS / 4 * 3;
        kind = BENCH_TICKET_FORGOTTEN;
    }
    uint64_t at_ns =
        atomic_load_explicit(&share->tickets[ticket % BENCH_TICKETS], memory_order_relaxed);
    *written_ns = at_ns == 0 || at_ns > now_ns ? now_ns : at_ns;
    return kind;
}
