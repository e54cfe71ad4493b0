/* keeper_safe.c - what is pending, and what was settled, which counts as that when the store has
 * it; see keeper.h.
 *
 * The store's thread counts what is safe, for each keeper and outcome. The keeper looks whenever
 * statistics are asked for, and with keeper_age.c ten times a second while something is not safe.
 * So an entry of the ledger is either pending or settled at any time, as its fate is. */
#include "core/keeper.h"
#include "core/server.h"
#include "core/worker.h"

_Static_assert(FATE_REASON_COUNT <= KEEPER_WORDS >> 4 && FATE_STATES <= 16, "words have a place");

void keeper_pend(struct worker *worker, struct kept *kept) {
    kept->state = KEPT_WAITING;
    kept->id->reserved--;
    kept->side = worker->tally.side;
    stats_add(&worker->stats.acks_accepted, 1);
    stats_add(&worker->stats.acks_pending, 1);
}

void keeper_unpend(struct worker *worker, const struct kept *kept) {
    stats_sub(&worker->stats.acks_pending, 1);
    worker->tally.acks_unseen -= kept->side != worker->tally.side;
}

static void settled_add(struct stats *stats, enum fate_state state, enum fate_reason reason,
                        uint64_t count) {
    if (state == FATE_ACKED)
        stats_add(&stats->acks_acked, count);
    else if (state == FATE_EXPIRED)
        stats_add(&stats->acks_expired, count);
    else
        stats_add(&stats->acks_dropped[reason], count);
}

void keeper_settled(struct worker *worker, enum fate_state state, enum fate_reason reason) {
    settled_add(&worker->stats, state, reason, 1);
}

void keeper_unsafe(struct worker *worker) {
    worker->keeper.safe.unsafe++;
    stats_add(&worker->stats.acks_pending, 1);
    keeper_age_look(worker);
}

void keeper_tell_safe(struct server *server, const struct fate *fate, uint32_t address,
                      enum fate_state state, enum fate_reason reason) {
    unsigned keeper = keeper_of(server, fate_address_hash(fate, address));
    stats_add(&server->workers[keeper].keeper.safe.safe[fate_word_of(state, reason)], 1);
}

void keeper_safe_take(struct worker *worker) {
    struct keeper_safe *safe = &worker->keeper.safe;
    for (unsigned word = 0; word < KEEPER_WORDS && safe->unsafe != 0; word++) {
        uint64_t count = stats_get(&safe->safe[word]) - safe->counted[word];
        if (count == 0)
            continue;
        safe->counted[word] += count;
        safe->unsafe -= count;
        stats_sub(&worker->stats.acks_pending, count);
        settled_add(&worker->stats, fate_word_state(word), fate_word_reason(word), count);
    }
}
