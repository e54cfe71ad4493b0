#include "core/timer.h"

#include "core/base/check.h"
#include "core/worker.h"

/* Level 0 holds what is due within TIMER_SLOTS ticks, slot by tick; each higher level is coarser by
 * a factor of TIMER_SLOTS. When the lower level comes round, the next slot of the higher one is
 * sorted into it. */

#define SLOT_MASK (TIMER_SLOTS - 1)

void wheel_init(struct wheel *wheel, uint64_t now_ns) {
    wheel->tick = now_ns / TIMER_TICK_NS;
    wheel->armed = 0;
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        wheel->occupied[level] = 0;
        for (unsigned slot = 0; slot < TIMER_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    }
}

void timer_init(struct timer *timer, timer_fire *fire) {
    list_init(&timer->link);
    timer->due_tick = 0;
    timer->fire = fire;
}

static void timer_place(struct wheel *wheel, struct timer *timer) {
    uint64_t due = timer->due_tick < wheel->tick ? wheel->tick : timer->due_tick;
    uint64_t away = due - wheel->tick;
    unsigned level = 0;
    while (level < TIMER_LEVELS - 1 && away >> ((level + 1) * TIMER_LEVEL_BITS) != 0)
        level++;
    /* Beyond the wheel's reach: parked as far away as it goes, and placed again from there. */
    uint64_t reach = (UINT64_C(1) << (TIMER_LEVELS * TIMER_LEVEL_BITS)) - 1;
    if (away > reach)
        due = wheel->tick + reach;
    unsigned slot = (unsigned)(due >> (level * TIMER_LEVEL_BITS)) & SLOT_MASK;
    list_add_tail(&wheel->slots[level][slot], &timer->link);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

void timer_arm(struct wheel *wheel, struct timer *timer, uint64_t due_ns) {
    timer_disarm(wheel, timer);
    /* Rounded up, so that it never fires early. */
    timer->due_tick = due_ns / TIMER_TICK_NS + 1;
    wheel->armed++;
    timer_place(wheel, timer);
}

void timer_disarm(struct wheel *wheel, struct timer *timer) {
    if (!timer_armed(timer))
        return;
    list_remove(&timer->link);
    wheel->armed--;
}

static void wheel_cascade(struct wheel *wheel, unsigned level) {
    unsigned slot = (unsigned)(wheel->tick >> (level * TIMER_LEVEL_BITS)) & SLOT_MASK;
    if (slot == 0 && level + 1 < TIMER_LEVELS)
        wheel_cascade(wheel, level + 1);
    struct list moved, *node;
    list_init(&moved);
    while ((node = list_pop(&wheel->slots[level][slot])) != NULL)
        list_add_tail(&moved, node);
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    while ((node = list_pop(&moved)) != NULL)
        timer_place(wheel, container_of(node, struct timer, link));
}

void wheel_advance(struct wheel *wheel, struct endpoint *endpoint, uint64_t now_ns) {
    uint64_t until = now_ns / TIMER_TICK_NS;
    while (wheel->tick <= until) {
        if (wheel->armed == 0) {
            /* Nothing to pass on the way: jump. Occupied bits are cleared lazily, so clear them. */
            for (unsigned level = 0; level < TIMER_LEVELS; level++)
                wheel->occupied[level] = 0;
            wheel->tick = until + 1;
            return;
        }
        unsigned slot = (unsigned)wheel->tick & SLOT_MASK;
        struct list due, *node;
        list_init(&due);
        while ((node = list_pop(&wheel->slots[0][slot])) != NULL)
            list_add_tail(&due, node);
        wheel->occupied[0] &= ~(UINT64_C(1) << slot);
        /* The tick moves on first: what a handler arms for now belongs to the next tick. */
        wheel->tick++;
        if ((wheel->tick & SLOT_MASK) == 0)
            wheel_cascade(wheel, 1);
        while ((node = list_pop(&due)) != NULL) {
            struct timer *timer = container_of(node, struct timer, link);
            wheel->armed--;
            stats_add(&endpoint->stats.timers_fired, 1);
            timer->fire(endpoint, timer);
            if (endpoint_slice_over(endpoint) && !list_empty(&due)) {
                /* The rest is due with the next tick. */
                while ((node = list_pop(&due)) != NULL)
                    timer_place(wheel, container_of(node, struct timer, link));
                return;
            }
        }
    }
}

uint64_t wheel_next_ns(const struct wheel *wheel) {
    if (wheel->armed == 0)
        return CLOCK_NEVER;
    uint64_t nearest = UINT64_MAX;
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        uint64_t bits = wheel->occupied[level];
        if (bits == 0)
            continue;
        unsigned shift = level * TIMER_LEVEL_BITS;
        unsigned at = (unsigned)(wheel->tick >> shift) & SLOT_MASK;
        /* Slots in the order in which they come up. On the higher levels the current slot was
         * sorted in when it began, so what is in it now comes up a whole round later. */
        uint64_t turned = at == 0 ? bits : bits >> at | bits << (TIMER_SLOTS - at);
        unsigned away = (unsigned)__builtin_ctzll(turned);
        if (level > 0 && away == 0)
            away = (turned & ~UINT64_C(1)) == 0 ? TIMER_SLOTS
                                                : (unsigned)__builtin_ctzll(turned & ~UINT64_C(1));
        uint64_t tick = level == 0 ? wheel->tick + away : ((wheel->tick >> shift) + away) << shift;
        if (tick < nearest)
            nearest = tick;
    }
    return nearest == UINT64_MAX ? wheel->tick * TIMER_TICK_NS : nearest * TIMER_TICK_NS;
}
