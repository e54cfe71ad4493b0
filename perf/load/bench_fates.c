#include "perf/load/bench_fates.h"

#include "core/base/clock.h"
#include "core/base/rand.h"
#include "perf/load/bench_report.h"

#include <string.h>
#include <time.h>

#define AGAIN_NS (20 * NS_PER_MS)

/* --- in the clients' process ------------------------------------------------------------------ */

uint64_t bench_fate_hash(const uint8_t *id, size_t id_len) {
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < id_len; i++)
        hash = (hash ^ id[i]) * UINT64_C(0x100000001B3);
    return hash ^ hash >> 32;
}

void bench_fate_met(struct bench_fates *fates, const uint8_t *id, size_t id_len) {
    uint64_t hash = bench_fate_hash(id, id_len);
    struct bench_fate *place = &fates->places[hash % BENCH_FATES_EACH];
    if (id_len > BENCH_FATE_ID_BYTES || (place->met != 0 && place->hash == hash))
        return;
    if (rand_u64() % ++place->met != 0)
        return;
    place->hash = hash;
    place->acked = false;
    memcpy(place->id, id, id_len);
    place->id[id_len] = '\0';
}

void bench_fate_acked(struct bench_fates *fates, uint64_t hash) {
    struct bench_fate *place = &fates->places[hash % BENCH_FATES_EACH];
    if (place->met != 0 && place->hash == hash)
        place->acked = true;
}

/* --- when all is still ------------------------------------------------------------------------ */

struct comparison {
    bench_fate_ask *ask;
    void *argument;
    uint64_t until_ns;
    uint32_t compared, forgotten, unread, others;
    const struct bench_fate *first; /* that is another */
    enum bench_told first_told;
};

static enum bench_told wanted_of(const struct bench_fate *fate) {
    return fate->acked ? BENCH_TOLD_ACKED : BENCH_TOLD_PENDING;
}

/* A node tells of an acknowledgement a moment after it has counted it. */
static enum bench_told told_of(const struct comparison *all, const struct bench_fate *fate) {
    enum bench_told told = all->ask(all->argument, fate->id);
    while (told != wanted_of(fate) && clock_ns() < all->until_ns) {
        nanosleep(&(struct timespec){0, AGAIN_NS}, NULL);
        told = all->ask(all->argument, fate->id);
    }
    return told;
}

static void fate_compare(struct comparison *all, const struct bench_fate *fate, bool forgets) {
    enum bench_told told = told_of(all, fate);
    if (told == BENCH_TOLD_BADLY) {
        all->unread++;
    } else if (told == BENCH_TOLD_NOTHING && forgets && fate->acked) {
        all->forgotten++;
    } else {
        all->compared++;
        if (told == wanted_of(fate))
            return;
        if (all->others++ == 0) {
            all->first = fate;
            all->first_told = told;
        }
    }
}

void bench_fates_compare(const struct bench_fates *const *samples, uint32_t count,
                         bench_fate_ask *ask, void *argument, bool forgets, uint64_t patience_ns,
                         struct bench_report *report) {
    static const char *const words[] = {[BENCH_TOLD_NOTHING] = "does not know it",
                                        [BENCH_TOLD_PENDING] = "says that it is pending",
                                        [BENCH_TOLD_ACKED] = "says that it is acknowledged",
                                        [BENCH_TOLD_ELSE] = "says that it expired or was dropped"};
    struct comparison all = {
        .ask = ask, .argument = argument, .until_ns = clock_ns() + patience_ns};
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t j = 0; j < BENCH_FATES_EACH; j++)
            if (samples[i]->places[j].met != 0)
                fate_compare(&all, &samples[i]->places[j], forgets);
    bench_report_number(report, "fates_compared", "  fates compared, one by one",
                        (double)all.compared, 0, "messages");
    if (all.forgotten != 0)
        bench_report_note(report, "the node has forgotten %u of the fates that it was asked for",
                          all.forgotten);
    if (all.unread != 0)
        bench_report_fault(report, "the fates of %u messages could not be asked for", all.unread);
    if (all.others != 0)
        bench_report_fault(report,
                           "of %u messages that were looked at, %u have another fate than their "
                           "clients know; %s: its client has %s, the node %s",
                           all.compared, all.others, all.first->id,
                           all.first->acked ? "acknowledged it" : "not acknowledged it",
                           words[all.first_told]);
}
