/* settings_value.h - reads single values: numbers with and without units, switches, ranges of CPUs.
 *
 * Pure functions over text, independent of the locale. Each takes the whole text or nothing: false
 * means that it is not of that form, and nothing is known of the range. Threads: any. */
#ifndef RINGPOST_MAIN_SETTINGS_SETTINGS_VALUE_H
#define RINGPOST_MAIN_SETTINGS_SETTINGS_VALUE_H

#include "core/base/span.h"

static inline bool value_blank(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\r';
}
/* The text without the blanks around it. */
struct span value_trim(struct span text);
/* Decimal without sign, up to 18 digits. */
bool value_count(struct span text, uint64_t *out);
/* "25", "0.5", "500ms", "1.5s", "10m", "1h"; without a unit seconds. Up to 9 digits before the
 * point and 9 behind; what does not fit is UINT64_MAX. */
bool value_seconds(struct span text, uint64_t *out_ns);
/* "100", "0.5": up to 12 digits before the point and 9 behind. */
bool value_decimal(struct span text, double *out);
/* "65536", "64K", "8M", "2G", "1T" (powers of 1024; "KiB" and "kB" and the like mean the same). */
bool value_bytes(struct span text, uint64_t *out);
/* "75%": 1 to 100. */
bool value_percent(struct span text, unsigned *out);
/* on, off, true, false, yes, no, 1, 0. */
bool value_switch(struct span text, bool *out);
/* The index of the word in `words`, which ends with NULL. */
bool value_choice(struct span text, const char *const *words, unsigned *out);
/* "3" or "0-3"; the first is not above the last. */
bool value_cpu_range(struct span text, unsigned *first, unsigned *last);

#endif
