#include "ha/alert/alert_watch.h"

#include <string.h>

void alert_watch_init(struct alert_watch *watch, uint64_t after_ns) {
    memset(watch, 0, sizeof(*watch));
    watch->after_ns = after_ns;
    watch->steady_ns = after_ns < ALERT_STEADY_NS ? after_ns : ALERT_STEADY_NS;
}

void alert_watch_see(struct alert_watch *watch, unsigned number, const char *what, uint64_t now_ns,
                     uint64_t wall_ms) {
    struct alert_subject *subject = &watch->subjects[number];
    bool was_lost = subject->is_lost;
    subject->is_lost = what != NULL;
    if (what == NULL) {
        if (was_lost) {
            subject->there_ns = now_ns;
            subject->there_wall_ms = wall_ms;
        }
        return;
    }
    if (subject->lost_ns == 0) {
        subject->what = what;
        subject->lost_ns = now_ns;
        subject->lost_wall_ms = wall_ms;
        subject->times = 0;
        subject->told = false;
    }
    if (!was_lost)
        subject->times++;
    subject->there_ns = 0;
}

/* May one more leave within this hour? */
static bool has_room(const struct alert_watch *watch, uint64_t now_ns) {
    return watch->left_count < ALERTS_PER_HOUR ||
           now_ns - watch->left_ns[watch->left_count % ALERTS_PER_HOUR] >= ALERT_HOUR_NS;
}

static void leaves(struct alert_watch *watch, uint64_t now_ns) {
    watch->left_ns[watch->left_count++ % ALERTS_PER_HOUR] = now_ns;
}

static void digest_make(struct alert_watch *watch, struct alert_notice *notice, uint64_t wall_ms) {
    *notice = (struct alert_notice){.state = ALERT_DIGEST,
                                    .what = "alerts",
                                    .since_wall_ms = watch->suppressed_wall_ms,
                                    .at_wall_ms = wall_ms,
                                    .suppressed = watch->suppressed};
    for (unsigned i = 0; i < ALERT_SUBJECTS; i++)
        if (watch->subjects[i].told)
            notice->lost[notice->lost_count++] = watch->subjects[i].what;
    watch->suppressed = 0;
}

/* Is there something to tell of it? */
static bool subject_next(const struct alert_watch *watch, struct alert_subject *subject,
                         struct alert_notice *notice, uint64_t now_ns, uint64_t wall_ms) {
    if (subject->lost_ns == 0)
        return false;
    bool is_back = !subject->is_lost && now_ns - subject->there_ns >= watch->steady_ns;
    bool is_due =
        subject->is_lost && !subject->told && now_ns - subject->lost_ns >= watch->after_ns;
    bool tells = is_due || (is_back && subject->told);
    uint64_t until_ns = is_back ? subject->there_ns : now_ns;
    *notice = (struct alert_notice){.state = is_back ? ALERT_BACK : ALERT_LOST,
                                    .what = subject->what,
                                    .since_wall_ms = subject->lost_wall_ms,
                                    .at_wall_ms = is_back ? subject->there_wall_ms : wall_ms,
                                    .lasted_ms = (until_ns - subject->lost_ns) / NS_PER_MS,
                                    .times = subject->times};
    if (is_due)
        subject->told = true;
    if (is_back) {
        subject->lost_ns = 0;
        subject->told = false;
    }
    return tells;
}

bool alert_watch_next(struct alert_watch *watch, struct alert_notice *notice, uint64_t now_ns,
                      uint64_t wall_ms) {
    if (watch->suppressed != 0 && has_room(watch, now_ns)) {
        digest_make(watch, notice, wall_ms);
        leaves(watch, now_ns);
        return true;
    }
    for (unsigned i = 0; i < ALERT_SUBJECTS; i++) {
        if (!subject_next(watch, &watch->subjects[i], notice, now_ns, wall_ms))
            continue;
        if (has_room(watch, now_ns)) {
            leaves(watch, now_ns);
            return true;
        }
        if (watch->suppressed++ == 0)
            watch->suppressed_wall_ms = wall_ms;
        watch->suppressed_total++;
    }
    return false;
}
