/* timer.h - a hierarchical wheel of intrusive timers, one per endpoint.
 *
 * A tick is TIMER_TICK_NS; a timer fires in the first turn at or after its time, never before it,
 * at most one tick late plus the length of a turn. Arming, moving and disarming cost O(1). Timers
 * farther away than the wheel reaches are parked in its last slot and sorted in again.
 *
 * Threads: the owner's. Owns: nothing, the timer is embedded in its thing; a thing that is freed
 * must disarm first. */
#ifndef RINGPOST_CORE_TIMER_H
#define RINGPOST_CORE_TIMER_H

#include "core/base/clock.h"
#include "core/base/list.h"

#define TIMER_TICK_NS (UINT64_C(4) * NS_PER_MS)
#define TIMER_LEVELS 5
#define TIMER_LEVEL_BITS 6
#define TIMER_SLOTS (1 << TIMER_LEVEL_BITS)

struct endpoint;
struct timer;

typedef void timer_fire(struct endpoint *endpoint, struct timer *timer);

struct timer {
    struct list link;
    uint64_t due_tick;
    timer_fire *fire;
};

struct wheel {
    uint64_t tick; /* all timers due before this one have fired */
    uint32_t armed;
    uint64_t occupied[TIMER_LEVELS]; /* one bit a slot that may hold timers */
    struct list slots[TIMER_LEVELS][TIMER_SLOTS];
};

void wheel_init(struct wheel *wheel, uint64_t now_ns);
void timer_init(struct timer *timer, timer_fire *fire);
static inline bool timer_armed(const struct timer *timer) {
    return list_linked(&timer->link);
}
/* The time of one that is armed, or fires now. */
static inline uint64_t timer_due_ns(const struct timer *timer) {
    return timer->due_tick * TIMER_TICK_NS;
}
/* Arms, or moves an armed one. */
void timer_arm(struct wheel *wheel, struct timer *timer, uint64_t due_ns);
/* Harmless when not armed. */
void timer_disarm(struct wheel *wheel, struct timer *timer);
/* Fires what is due, for as long as the worker's slice of time lasts; the rest stays due. A handler
 * may arm and disarm any timer. */
void wheel_advance(struct wheel *wheel, struct endpoint *endpoint, uint64_t now_ns);
/* When wheel_advance must be called next at the latest; CLOCK_NEVER when nothing is armed. */
uint64_t wheel_next_ns(const struct wheel *wheel);

#endif
