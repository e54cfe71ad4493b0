#include "core/base/fault.h"

#ifdef RINGPOST_FAULTS

#include "core/base/check.h"

enum fault fault_active = FAULTS;
unsigned long fault_hits;

/* Every time it is asked, so that the same seed always meets the same bug. */
bool fault_strikes(enum fault fault) {
    CHECK(fault < FAULTS);
    fault_hits++;
    return true;
}

#endif
