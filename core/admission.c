#include "core/admission.h"

/* --- one connection --------------------------------------------------------------------------- */

void intake_received(struct intake *intake, uint32_t bytes, bool more, uint64_t now_ns) {
    if (!more) {
        /* All that was there has been read. */
        intake->asked_ns = 0;
        intake->late_ns = 0;
        return;
    }
    if (intake->asked_ns == 0)
        return;
    if (bytes < intake->ahead) {
        intake->ahead -= bytes;
        return;
    }
    intake->late_ns = now_ns - intake->asked_ns;
    intake->asked_ns = 0;
}

bool intake_asks(const struct intake *intake, bool more, uint64_t now_ns) {
    return more && intake->asked_ns == 0 && now_ns >= intake->next_ns;
}

void intake_told(struct intake *intake, uint32_t bytes, uint64_t now_ns) {
    intake->next_ns = now_ns + INTAKE_ASK_NS;
    intake->ahead = bytes;
    intake->asked_ns = bytes == 0 ? 0 : now_ns;
}

uint64_t intake_late_ns(const struct intake *intake, uint64_t now_ns) {
    /* What is looked for has waited at least since it was asked for. */
    uint64_t since_ns =
        intake->asked_ns != 0 && now_ns > intake->asked_ns ? now_ns - intake->asked_ns : 0;
    return since_ns > intake->late_ns ? since_ns : intake->late_ns;
}

/* --- the worker ------------------------------------------------------------------------------- */

void admission_init(struct admission *admission) {
    *admission = (struct admission){.late_ns = ADMISSION_LATE_NS,
                                    .lag_ns = LATE_NS,
                                    .patience_ns = ADMISSION_PATIENCE_NS,
                                    .share_percent = ADMISSION_SHARE_PERCENT,
                                    .modest = ADMISSION_MODEST};
    shares_init(&admission->shares);
}

void admission_turn(struct admission *admission, uint64_t now_ns) {
    uint64_t passed_ns = admission->now_ns != 0 ? now_ns - admission->now_ns : 0;
    admission->now_ns = now_ns;
    /* After a long turn there is not more to be caught up with than after a sleep. */
    if (passed_ns > NS_PER_S)
        passed_ns = NS_PER_S;
    admission->time_ns += (int64_t)(passed_ns * admission->share_percent / 100);
    if (admission->time_ns > (int64_t)ADMISSION_SAVED_NS)
        admission->time_ns = (int64_t)ADMISSION_SAVED_NS;
    if (admission->shedding && now_ns - admission->refused_ns >= ADMISSION_OVER_NS)
        admission->shedding = false;
    shares_turn(&admission->shares, now_ns);
}

/* A cycle of the connection that is over begins anew; in each epoch it is counted once. */
static void intake_turn(struct intake *intake, const struct shares *shares, struct share *share,
                        uint64_t now_ns) {
    if (now_ns - intake->cycle_ns >= share->cycle_ns) {
        intake->cycle_ns = now_ns;
        intake->taken = 0;
    }
    if (intake->epoch != shares->epoch) {
        intake->epoch = shares->epoch;
        share->counted++;
    }
}

bool admission_ask(struct admission *admission, struct intake *intake, uint64_t producer,
                   uint64_t lag_ns, enum standing *standing) {
    uint64_t now_ns = admission->now_ns;
    struct shares *shares = &admission->shares;
    struct share *share = shares_find(shares, producer, &intake->place, now_ns);
    intake_turn(intake, shares, share, now_ns);
    intake->light = share_is_light(shares, share);
    bool waited = intake_late_ns(intake, now_ns) > admission->late_ns;
    if (intake->light)
        *standing = ASKS_LITTLE_IN_ALL;
    else if (intake->taken >= admission->modest || waited)
        *standing = ASKS_MUCH;
    else
        *standing = shares_many(shares) ? ASKS_LITTLE_DIVIDED : ASKS_LITTLE;
    bool late = waited || lag_ns > admission->lag_ns;
    if (late && now_ns - admission->seen_ns > ADMISSION_GAP_NS && !admission->shedding)
        admission->since_ns = now_ns;
    if (late)
        admission->seen_ns = now_ns;
    share->asked++;
    if (late && *standing == ASKS_MUCH && admission->time_ns > 0 &&
        now_ns - admission->since_ns >= admission->patience_ns)
        return false;
    intake->taken++;
    share->taken++;
    share->units += SHARE_REQUEST_UNITS;
    return true;
}

void admission_refused(struct admission *admission, uint64_t cost_ns) {
    admission->time_ns -= (int64_t)cost_ns;
    admission->refused_ns = admission->now_ns;
    admission->shedding = true;
}
