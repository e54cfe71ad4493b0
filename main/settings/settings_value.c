/* settings_value.c - see settings_value.h. */
#include "main/settings/settings_value.h"

#include "core/base/clock.h"

struct span value_trim(struct span text) {
    while (text.len != 0 && value_blank(text.at[0]))
        text = span_skip(text, 1);
    while (text.len != 0 && value_blank(text.at[text.len - 1]))
        text.len--;
    return text;
}

/* The digits at the beginning of `text`, taken off it; false if there are none or too many. */
static bool take_digits(struct span *text, size_t digits_max, uint64_t *out, size_t *digits) {
    uint64_t value = 0;
    size_t n = 0;
    while (n < text->len && text->at[n] >= '0' && text->at[n] <= '9') {
        if (n == digits_max)
            return false;
        value = value * 10 + (uint64_t)(text->at[n] - '0');
        n++;
    }
    *text = span_skip(*text, n);
    *out = value;
    *digits = n;
    return n != 0;
}

bool value_count(struct span text, uint64_t *out) {
    size_t digits;
    return take_digits(&text, 18, out, &digits) && text.len == 0;
}

/* Whole part and billionths. */
static bool decimal(struct span text, size_t whole_max, uint64_t *whole, uint64_t *billionths) {
    size_t digits;
    *billionths = 0;
    if (!take_digits(&text, whole_max, whole, &digits))
        return false;
    if (text.len == 0)
        return true;
    if (text.at[0] != '.')
        return false;
    text = span_skip(text, 1);
    if (!take_digits(&text, 9, billionths, &digits) || text.len != 0)
        return false;
    for (; digits < 9; digits++)
        *billionths *= 10;
    return true;
}

bool value_seconds(struct span text, uint64_t *out_ns) {
    static const struct {
        struct span word;
        uint64_t ns;
    } units[] = {{SPAN_INIT(""), NS_PER_S},
                 {SPAN_INIT("ms"), NS_PER_MS},
                 {SPAN_INIT("s"), NS_PER_S},
                 {SPAN_INIT("m"), 60 * NS_PER_S},
                 {SPAN_INIT("h"), 3600 * NS_PER_S}};
    size_t len = text.len;
    while (len != 0 && text.at[len - 1] >= 'a' && text.at[len - 1] <= 'z')
        len--;
    size_t unit = 0;
    while (unit < sizeof units / sizeof *units &&
           !span_equal(span_skip(text, len), units[unit].word))
        unit++;
    uint64_t whole, billionths;
    if (unit == sizeof units / sizeof *units ||
        !decimal(span_of(text.at, len), 9, &whole, &billionths))
        return false;
    /* A unit is a whole number of microseconds, so nothing overflows in the fraction. */
    uint64_t fraction = billionths * (units[unit].ns / 1000) / 1000000;
    if (__builtin_mul_overflow(whole, units[unit].ns, out_ns) ||
        __builtin_add_overflow(*out_ns, fraction, out_ns))
        *out_ns = UINT64_MAX;
    return true;
}

bool value_decimal(struct span text, double *out) {
    uint64_t whole, billionths;
    if (!decimal(text, 12, &whole, &billionths))
        return false;
    *out = (double)whole + (double)billionths / 1e9;
    return true;
}

bool value_bytes(struct span text, uint64_t *out) {
    static const char units[] = "KMGT";
    uint64_t value;
    size_t digits;
    if (!take_digits(&text, 18, &value, &digits))
        return false;
    if (text.len != 0) {
        char letter = text.at[0] >= 'a' ? (char)(text.at[0] - 0x20) : text.at[0];
        const char *unit = letter == '\0' ? NULL : strchr(units, letter);
        if (unit == NULL)
            return false;
        text = span_skip(text, 1);
        if (text.len != 0 && !span_equal_nocase(text, SPAN("b")) &&
            !span_equal_nocase(text, SPAN("ib")))
            return false;
        unsigned shift = 10u * (unsigned)(unit - units + 1);
        if (value > UINT64_MAX >> shift)
            return false;
        value <<= shift;
    }
    *out = value;
    return true;
}

bool value_percent(struct span text, unsigned *out) {
    uint64_t value;
    size_t digits;
    if (!take_digits(&text, 3, &value, &digits) || text.len != 1 || text.at[0] != '%')
        return false;
    *out = (unsigned)value;
    return value >= 1 && value <= 100;
}

bool value_switch(struct span text, bool *out) {
    static const char *const words[] = {"off", "on", "false", "true", "no", "yes", "0", "1", NULL};
    unsigned word;
    if (!value_choice(text, words, &word))
        return false;
    *out = word % 2 == 1;
    return true;
}

bool value_choice(struct span text, const char *const *words, unsigned *out) {
    for (unsigned n = 0; words[n] != NULL; n++) {
        if (span_equal(text, span_text(words[n]))) {
            *out = n;
            return true;
        }
    }
    return false;
}

bool value_cpu_range(struct span text, unsigned *first, unsigned *last) {
    uint64_t from, to;
    size_t digits;
    if (!take_digits(&text, 5, &from, &digits))
        return false;
    to = from;
    if (text.len != 0) {
        if (text.at[0] != '-')
            return false;
        text = span_skip(text, 1);
        if (!take_digits(&text, 5, &to, &digits) || text.len != 0)
            return false;
    }
    *first = (unsigned)from;
    *last = (unsigned)to;
    return from <= to;
}
