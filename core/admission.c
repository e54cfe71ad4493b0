#include "core/admission.h"

void admission_init(struct admission *admission) {
    *admission = (struct admission){.round_max = ADMISSION_ROUND_MAX};
}

/* The round was so long. */
static void round_look(struct admission *admission, uint32_t requests, uint64_t now_ns) {
    if (requests < admission->round_max / 2) {
        admission->long_since_ns = 0;
        admission->behind = false;
    } else if (requests >= admission->round_max) {
        if (admission->long_since_ns == 0)
            admission->long_since_ns = now_ns;
        else if (now_ns - admission->long_since_ns >= ADMISSION_BEHIND_NS)
            admission->behind = true;
    }
}

void admission_turn(struct admission *admission, uint32_t waiting, uint64_t now_ns) {
    if (admission->left != 0)
        return;
    round_look(admission, admission->taken + admission->refused, now_ns);
    admission->round++;
    admission->left = waiting;
    admission->taken = admission->refused = 0;
}

void admission_handled(struct admission *admission, uint32_t completions) {
    admission->left = admission->left > completions ? admission->left - completions : 0;
}

bool admission_take(struct admission *admission, struct admission_share *share) {
    if (share->round != admission->round)
        *share = (struct admission_share){.round = admission->round};
    if (admission->behind && admission->taken >= admission->round_max &&
        (share->taken >= ADMISSION_SHARE || admission->taken >= 2 * admission->round_max)) {
        admission->refused++;
        return false;
    }
    admission->taken++;
    share->taken++;
    return true;
}
