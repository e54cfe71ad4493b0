#include "perf/load/bench_arrival.h"

/* Which of a client's streams a message belongs to. False if it is not for this client. */
static bool streams_place(const struct bench_share *share, uint32_t number, uint32_t to,
                          uint32_t *place) {
    uint32_t address = to & BENCH_ADDRESS_MASK, kind = to >> BENCH_ADDRESS_BITS, stream = 0;
    if (kind >= BENCH_KINDS || address >= share->aims[kind].addresses)
        return false;
    const struct bench_aim *aim = &share->aims[kind];
    if (kind == BENCH_UNICAST || kind == BENCH_LONE) {
        if (address != number)
            return false;
    } else if (kind == BENCH_BROADCAST) {
        stream = address;
    } else {
        stream = (address + share->groups - number % share->groups) % share->groups;
        if (number >= share->members)
            return false;
    }
    *place = aim->first_stream + stream;
    return stream < aim->streams;
}

static void stream_take(struct bench_stream *stream, struct bench_tally *tally, uint32_t number) {
    if (number >= stream->next) {
        uint32_t step = number - stream->next + 1;
        stream->window = (step > 63 ? 0 : stream->window << step) | 1;
        stream->next = number + 1;
        stream->unique++;
        return;
    }
    uint32_t age = stream->next - 1 - number;
    if (age > 63) { /* too old to tell a repeat from a latecomer; one of the two it is */
        tally->disordered++;
    } else if ((stream->window >> age & 1) != 0) {
        tally->duplicate++;
    } else {
        stream->window |= UINT64_C(1) << age;
        stream->unique++;
        tally->disordered++;
    }
}

/* When the message was due or written. False: it holds a ticket that was never given out. */
static bool message_time(const struct bench_share *share, struct bench_tally *tally,
                         const struct bench_payload *payload, uint64_t now_ns, uint64_t *at_ns) {
    *at_ns = payload->at_ns < now_ns ? payload->at_ns : now_ns;
    if (share->tickets == NULL)
        return true;
    enum bench_ticket kind = bench_ticket_read(share, payload->at_ns, now_ns, at_ns);
    tally->forgotten += kind == BENCH_TICKET_FORGOTTEN;
    return kind != BENCH_TICKET_FALSE;
}

/* Is the message there already, as far as is known? */
static bool stream_has(const struct bench_stream *stream, uint32_t number) {
    uint32_t age = stream->next - 1 - number;
    return number < stream->next && (age > 63 || (stream->window >> age & 1) != 0);
}

void bench_arrived(struct bench_share *share, struct bench_tally *tally, uint32_t number,
                   const uint8_t *at, bool again, uint32_t run, uint64_t now_ns) {
    struct bench_payload payload;
    uint32_t place;
    uint64_t at_ns = 0;
    if (!bench_payload_read(at, share->payload_size, &payload) ||
        (payload.run & ~UINT32_C(0xff)) != share->run_base ||
        !message_time(share, tally, &payload, now_ns, &at_ns)) {
        tally->damaged++;
        bench_sample_keep(tally->sample, "damaged", at, share->payload_size);
        return;
    }
    if (payload.run != run) {
        tally->stale++;
        return;
    }
    bool placed = streams_place(share, number, payload.to, &place);
    struct bench_stream *stream =
        placed ? &share->streams[(size_t)number * share->streams_each + place] : NULL;
    if (placed && again && stream_has(stream, payload.number)) {
        tally->again++;
        return;
    }
    tally->received++;
    if (!placed) {
        tally->misrouted++;
        bench_sample_keep(tally->sample, "misrouted", at, share->payload_size);
        return;
    }
    stream_take(stream, tally, payload.number);
    uint64_t latency_ns = now_ns - at_ns;
    bool timed = number < share->timed;
    if (payload.to >> BENCH_ADDRESS_BITS == BENCH_LONE) {
        bench_hist_add(&tally->lone, latency_ns);
        return;
    }
    if (timed) {
        bench_hist_add(&tally->latency, latency_ns);
        bench_hist_add(&share->of_kind[tally - share->tallies][payload.to >> BENCH_ADDRESS_BITS],
                       latency_ns);
    }
    if (share->slot_start_ns != 0 && at_ns >= share->slot_start_ns &&
        payload.to >> BENCH_ADDRESS_BITS == share->slot_kind) {
        uint64_t slot = (at_ns - share->slot_start_ns) / BENCH_SLOT_NS;
        if (slot < BENCH_SLOTS) {
            tally->slot_count[slot]++;
            tally->slot_timed[slot] += timed;
            tally->slot_slow[slot] += timed && latency_ns > share->slow_ns;
        }
    }
}
