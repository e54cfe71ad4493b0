#include "core/timer.h"

#include "core/base/check.h"
#include "core/worker.h"

#define SLOT_MASK (TIMER_SLOTS - 1)

/* So many are sorted for each that fires. None is sorted more often on its way, so sorting keeps up
 * with firing, and neither keeps the other waiting, however little time there is. */
#define SORT_AT_ONCE (TIMER_LEVELS - 1)
/* So many are sorted in a turn: about an eighth of a slice. There is time until they are due, and
 * what comes in meanwhile should not wait for it. */
#define SORTS_PER_TURN 512

static inline unsigned level_shift(unsigned level) {
    return level * TIMER_FAN_BITS;
}

static void timer_fires(struct endpoint *endpoint, struct timed *timed) {
    struct timer *timer = container_of(timed, struct timer, timed);
    timer->fire(endpoint, timer);
}

void wheel_init(struct wheel *wheel, uint64_t now_ns) {
    wheel_init_same(wheel, now_ns, timer_fires);
}

void wheel_init_same(struct wheel *wheel, uint64_t now_ns, timed_fire *fire) {
    wheel->fire = fire;
    wheel->tick = now_ns / TIMER_TICK_NS;
    wheel->armed = 0;
    list_init(&wheel->due);
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        wheel->occupied[level] = 0;
        list_init(&wheel->sorting[level]);
        for (unsigned slot = 0; slot < TIMER_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
    }
}

void timed_init(struct timed *timed) {
    list_init(&timed->link);
    timed->due_tick = 0;
}

void timer_init(struct timer *timer, timer_fire *fire) {
    timed_init(&timer->timed);
    timer->fire = fire;
}

/* On the lowest level that reaches so far. There its slot has not come up yet: the current one of a
 * higher level and the one after it are within the reach of the level below. */
static void timed_place(struct wheel *wheel, struct timed *timed) {
    uint64_t due = timed->due_tick < wheel->tick ? wheel->tick : timed->due_tick;
    uint64_t number = due, current = wheel->tick;
    unsigned level = 0;
    while (number - current >= TIMER_SLOTS && level < TIMER_LEVELS - 1) {
        level++;
        number = due >> level_shift(level);
        current = wheel->tick >> level_shift(level);
    }
    /* Beyond the wheel's reach: parked as far away as it goes, and placed again from there. */
    if (number - current >= TIMER_SLOTS)
        number = current + TIMER_SLOTS - 1;
    unsigned slot = (unsigned)number & SLOT_MASK;
    list_add_tail(&wheel->slots[level][slot], &timed->link);
    wheel->occupied[level] |= UINT64_C(1) << slot;
}

void timed_arm(struct wheel *wheel, struct timed *timed, uint64_t due_ns) {
    timed_disarm(wheel, timed);
    /* Rounded up, so that it never fires early. */
    timed->due_tick = due_ns / TIMER_TICK_NS + 1;
    wheel->armed++;
    timed_place(wheel, timed);
}

void timed_disarm(struct wheel *wheel, struct timed *timed) {
    if (!timed_armed(timed))
        return;
    list_remove(&timed->link);
    wheel->armed--;
}

/* The next tick, the current one included, at which a slot comes up: on level 0 the tick's own, on
 * the higher ones the slot after that in which the tick is. */
static uint64_t next_tick(const struct wheel *wheel) {
    uint64_t nearest = UINT64_MAX;
    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        uint64_t bits = wheel->occupied[level];
        if (bits == 0)
            continue;
        uint64_t current = wheel->tick >> level_shift(level);
        unsigned first = (unsigned)(level == 0 ? current : current + 1) & SLOT_MASK;
        /* Slots in the order in which they come up. */
        uint64_t turned = first == 0 ? bits : bits >> first | bits << (TIMER_SLOTS - first);
        uint64_t tick = (current + (unsigned)__builtin_ctzll(turned)) << level_shift(level);
        if (tick < nearest)
            nearest = tick;
    }
    return nearest;
}

static void slot_empty_into(struct wheel *wheel, unsigned level, uint64_t number,
                            struct list *list) {
    unsigned slot = (unsigned)number & SLOT_MASK;
    list_append(list, &wheel->slots[level][slot]);
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
}

/* Goes beyond the next tick at which something comes up, at most beyond `until`. */
static void wheel_step(struct wheel *wheel, uint64_t until) {
    /* Bits of slots that were disarmed empty are still set. */
    for (unsigned level = 0; wheel->armed == 0 && level < TIMER_LEVELS; level++)
        wheel->occupied[level] = 0;
    uint64_t tick = next_tick(wheel);
    /* The tick moves on first: what a handler arms for now belongs to the next tick. */
    wheel->tick = (tick < until ? tick : until) + 1;
    if (tick > until)
        return;
    slot_empty_into(wheel, 0, tick, &wheel->due);
    for (unsigned level = 1; level < TIMER_LEVELS; level++) {
        uint64_t number = tick >> level_shift(level);
        if (number << level_shift(level) != tick)
            break;
        slot_empty_into(wheel, level, number + 1, &wheel->sorting[level]);
    }
}

/* Sorts a few in, those of lower levels first, which are due earlier; how many. */
static unsigned wheel_sort(struct wheel *wheel) {
    unsigned sorted = 0;
    for (unsigned level = 1; level < TIMER_LEVELS; level++) {
        struct list *node;
        while (sorted < SORT_AT_ONCE && (node = list_pop(&wheel->sorting[level])) != NULL) {
            struct timed *timed = container_of(node, struct timed, link);
            sorted++;
            /* Late already: the endpoint was away, or has too much to do. */
            if (timed->due_tick < wheel->tick)
                list_add_tail(&wheel->due, node);
            else
                timed_place(wheel, timed);
        }
    }
    return sorted;
}

static bool wheel_fire(struct wheel *wheel, struct endpoint *endpoint) {
    struct list *node = list_pop(&wheel->due);
    if (node == NULL)
        return false;
    struct timed *timed = container_of(node, struct timed, link);
    wheel->armed--;
    stats_add(&endpoint->stats.timers_fired, 1);
    wheel->fire(endpoint, timed);
    return true;
}

void wheel_advance(struct wheel *wheel, struct endpoint *endpoint, uint64_t now_ns) {
    uint64_t until = now_ns / TIMER_TICK_NS;
    unsigned sorts_left = SORTS_PER_TURN / SORT_AT_ONCE, sorted;
    bool stepped, fired;
    do {
        /* Not while anything earlier has not fired. */
        stepped = wheel->tick <= until && list_empty(&wheel->due);
        if (stepped)
            wheel_step(wheel, until);
        sorted = sorts_left > 0 ? wheel_sort(wheel) : 0;
        sorts_left -= sorted != 0;
        fired = wheel_fire(wheel, endpoint);
        /* Steps alone take no time: there is at most one for each slot. */
        if ((fired || sorted == SORT_AT_ONCE) && endpoint_slice_over(endpoint))
            break;
    } while (stepped || sorted != 0 || fired);
}

uint64_t wheel_next_ns(const struct wheel *wheel) {
    if (wheel->armed == 0)
        return CLOCK_NEVER;
    bool left = !list_empty(&wheel->due);
    for (unsigned level = 1; level < TIMER_LEVELS; level++)
        left |= !list_empty(&wheel->sorting[level]);
    return left ? 0 : next_tick(wheel) * TIMER_TICK_NS;
}
