#include "core/admission.h"

void admission_init(struct admission *admission) {
    *admission = (struct admission){.round_ns = ADMISSION_ROUND_NS,
                                    .behind_ns = ADMISSION_BEHIND_NS,
                                    .worth_ns = ADMISSION_WORTH_NS,
                                    .requests_min = ADMISSION_REQUESTS_MIN};
}

static uint64_t at_least(uint64_t value, uint64_t min) {
    return value > min ? value : min;
}

static uint64_t at_most(uint64_t value, uint64_t max) {
    return value < max ? value : max;
}

/* What a message of this round cost. */
static uint64_t message_cost_ns(const struct admission *admission, uint64_t lasted_ns) {
    uint64_t others = admission->asked > admission->taken ? admission->asked - admission->taken : 0;
    uint64_t others_ns = at_least(others, admission->refused) * ADMISSION_REFUSAL_NS;
    uint64_t served_ns = lasted_ns > others_ns ? lasted_ns - others_ns : 0;
    return served_ns / at_least(admission->taken, 1);
}

static void limit_set(struct admission *admission, uint64_t cost_ns) {
    admission->cost_ns = cost_ns;
    uint64_t fits = cost_ns != 0 ? admission->round_ns / cost_ns : admission->round_ns;
    admission->limit = (uint32_t)at_least(fits, admission->requests_min);
    uint64_t each = admission->limit / at_least(admission->connections, 1);
    admission->share = (uint32_t)at_most(at_least(each, 1), ADMISSION_SHARE);
}

static void caught_up(struct admission *admission) {
    admission->behind = false;
    admission->long_since_ns = 0;
}

static void behind_look(struct admission *admission, uint64_t cost_ns) {
    cost_ns = (3 * admission->cost_ns + cost_ns) / 4;
    if (admission->refused == 0 || cost_ns < admission->worth_ns)
        caught_up(admission);
    else
        limit_set(admission, cost_ns);
}

static void round_look(struct admission *admission, uint64_t lasted_ns, uint64_t now_ns) {
    uint64_t cost_ns = message_cost_ns(admission, lasted_ns);
    if (admission->behind) {
        behind_look(admission, cost_ns);
    } else if (lasted_ns < admission->round_ns || admission->asked < admission->requests_min ||
               cost_ns < admission->worth_ns) {
        admission->long_since_ns = 0;
    } else if (admission->long_since_ns == 0) {
        admission->long_since_ns = now_ns;
    } else if (now_ns - admission->long_since_ns >= admission->behind_ns) {
        admission->behind = true;
        limit_set(admission, cost_ns);
    }
}

void admission_turn(struct admission *admission, uint32_t waiting, bool more, uint64_t now_ns) {
    if (admission->left != 0)
        return;
    admission->left = waiting;
    uint64_t lasted_ns = now_ns > admission->began_ns ? now_ns - admission->began_ns : 0;
    if (more && lasted_ns < admission->round_ns + admission->round_ns / 4)
        return;
    round_look(admission, lasted_ns, now_ns);
    admission->round++;
    admission->began_ns = now_ns;
    admission->asked = admission->refused = admission->taken = admission->connections = 0;
}

void admission_handled(struct admission *admission, uint32_t completions) {
    admission->left = admission->left > completions ? admission->left - completions : 0;
}

void admission_slept(struct admission *admission, uint64_t slept_ns) {
    admission->began_ns += slept_ns;
    if (slept_ns >= admission->behind_ns)
        caught_up(admission);
}

static void share_renew(struct admission *admission, struct admission_share *share) {
    if (share->round == admission->round)
        return;
    *share = (struct admission_share){.round = admission->round};
    admission->connections++;
}

bool admission_ask(struct admission *admission, struct admission_share *share) {
    share_renew(admission, share);
    admission->asked++;
    if (!admission->behind || admission->taken < admission->limit ||
        (share->taken < admission->share && admission->taken < 2 * admission->limit))
        return true;
    admission->refused++;
    return false;
}

void admission_count(struct admission *admission, struct admission_share *share) {
    share_renew(admission, share);
    admission->taken++;
    share->taken++;
}
