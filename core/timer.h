/* timer.h - a hierarchical wheel of intrusive timers: one per endpoint, and one more where very
 * many do the same.
 *
 * A tick is TIMER_TICK_NS; a timer fires in the first turn at or after its time, never before it,
 * at most one tick late plus the length of a turn, as far as there is time for all that is due.
 * What is due first fires first. Arming, moving and disarming cost O(1). Timers farther away than
 * the wheel reaches are parked in its last slot and sorted in again.
 *
 * Level 0 holds what is due within TIMER_SLOTS ticks, slot by tick; the slots of each higher level
 * are wider by a factor of TIMER_FAN. As TIMER_SLOTS is twice TIMER_FAN, a slot's timers all find
 * room on the level below as soon as the slot before it begins. So they are sorted in there while
 * that one lasts, a few in each turn, and a slot of millions makes neither a long turn nor late
 * timers.
 *
 * Threads: the owner's. Owns: nothing, the timer is embedded in its thing; a thing that is freed
 * must disarm first. */
#ifndef RINGPOST_CORE_TIMER_H
#define RINGPOST_CORE_TIMER_H

#include "core/base/clock.h"
#include "core/base/list.h"

#define TIMER_TICK_NS (UINT64_C(4) * NS_PER_MS)
#define TIMER_LEVELS 5
#define TIMER_FAN_BITS 5
#define TIMER_FAN (1 << TIMER_FAN_BITS)
#define TIMER_SLOTS (2 * TIMER_FAN) /* as many as a word has bits */

struct endpoint;
struct timer;

/* All that a wheel knows of a timer. */
struct timed {
    struct list link;
    uint64_t due_tick;
};

typedef void timer_fire(struct endpoint *endpoint, struct timer *timer);
typedef void timed_fire(struct endpoint *endpoint, struct timed *timed);

/* One that says itself what it does. */
struct timer {
    struct timed timed;
    timer_fire *fire;
};

struct wheel {
    uint64_t tick; /* all timers due before this one have come up */
    uint32_t armed;
    timed_fire *fire;                  /* what all of its timers do */
    uint64_t occupied[TIMER_LEVELS];   /* one bit a slot that may hold timers */
    struct list due;                   /* have come up, and fire next */
    struct list sorting[TIMER_LEVELS]; /* have come up on a higher level: sorted in below next */
    struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

/* A wheel of struct timer; of struct timed, which all do the same. */
void wheel_init(struct wheel *wheel, uint64_t now_ns);
void wheel_init_same(struct wheel *wheel, uint64_t now_ns, timed_fire *fire);
void timed_init(struct timed *timed);
static inline bool timed_armed(const struct timed *timed) {
    return list_linked(&timed->link);
}
/* The time of one that is armed, or fires now. */
static inline uint64_t timed_due_ns(const struct timed *timed) {
    return timed->due_tick * TIMER_TICK_NS;
}
/* Arms, or moves an armed one. */
void timed_arm(struct wheel *wheel, struct timed *timed, uint64_t due_ns);
/* Harmless when not armed. */
void timed_disarm(struct wheel *wheel, struct timed *timed);

/* The same of a struct timer. */
void timer_init(struct timer *timer, timer_fire *fire);
static inline bool timer_armed(const struct timer *timer) {
    return timed_armed(&timer->timed);
}
static inline uint64_t timer_due_ns(const struct timer *timer) {
    return timed_due_ns(&timer->timed);
}
static inline void timer_arm(struct wheel *wheel, struct timer *timer, uint64_t due_ns) {
    timed_arm(wheel, &timer->timed, due_ns);
}
static inline void timer_disarm(struct wheel *wheel, struct timer *timer) {
    timed_disarm(wheel, &timer->timed);
}

/* Fires what is due, and sorts a part of what comes up next, for as long as the worker's slice of
 * time lasts; the rest stays due, or to be sorted. However short the slice, it gets on with both. A
 * handler may arm and disarm any timer. */
void wheel_advance(struct wheel *wheel, struct endpoint *endpoint, uint64_t now_ns);
/* When wheel_advance must be called next at the latest: 0, which is at once, when it has left
 * something; CLOCK_NEVER when nothing is armed. */
uint64_t wheel_next_ns(const struct wheel *wheel);

#endif
