/* shortage.h - marks each place where something limited was not to be had: memory, a place in a
 * table, room in a queue, a descriptor.
 *
 *   if (SHORTAGE(job == NULL))
 *       return false;
 *
 * It is the condition, and says that it is rare. In builds with RINGPOST_FAULTS (the simulation)
 * each place is known by its file, function and condition, and tells the test whenever it holds:
 * an early return for want of something that no run has reached fails the test. tests/tidy looks
 * that nothing limited is taken without one.
 *
 * SHORTAGE_MET() says the same where a verdict, and no condition, tells it.
 *
 * Threads: any; with RINGPOST_FAULTS single-threaded builds only. */
#ifndef RINGPOST_CORE_BASE_SHORTAGE_H
#define RINGPOST_CORE_BASE_SHORTAGE_H

#ifdef RINGPOST_FAULTS

#include <stdbool.h>

struct shortage {
    const char *file, *function, *condition;
};

/* Given by the test. The pointers of all places stand side by side in a section of their own. */
void shortage_met(const struct shortage *const *place);

#define SHORTAGE(condition)                                                                        \
    __extension__({                                                                                \
        static const struct shortage place_ = {__FILE__, __func__, #condition};                    \
        static const struct shortage *const at_ __attribute__((section("shortages"), used)) =      \
            &place_;                                                                               \
        const bool short_ = (condition);                                                           \
        if (short_)                                                                                \
            shortage_met(&at_);                                                                    \
        short_;                                                                                    \
    })

#define SHORTAGE_MET() ((void)SHORTAGE(true))

#else
#define SHORTAGE(condition) __builtin_expect(!!(condition), 0)
#define SHORTAGE_MET() ((void)0)
#endif

#endif
