/* json_reference.h - RFC 8259 once more, written to be read and not to be fast, as a second opinion
 * on proto/text/json.c: one function for each rule of the grammar, whole code points instead of
 * byte ranges. */
#ifndef RINGPOST_TESTS_SUPPORT_JSON_REFERENCE_H
#define RINGPOST_TESTS_SUPPORT_JSON_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct json_reference {
    const uint8_t *at;
    size_t len, next;
};

static inline int reference_peek(const struct json_reference *r) {
    return r->next < r->len ? r->at[r->next] : -1;
}

static inline bool reference_take(struct json_reference *r, int byte) {
    if (reference_peek(r) != byte)
        return false;
    r->next++;
    return true;
}

static inline void reference_blanks(struct json_reference *r) {
    while (reference_take(r, ' ') || reference_take(r, '\t') || reference_take(r, '\n') ||
           reference_take(r, '\r'))
        continue;
}

static inline bool reference_digits(struct json_reference *r) {
    size_t before = r->next;
    while (reference_peek(r) >= '0' && reference_peek(r) <= '9')
        r->next++;
    return r->next > before;
}

static inline bool reference_number(struct json_reference *r) {
    reference_take(r, '-');
    if (!reference_take(r, '0') && !reference_digits(r))
        return false;
    if (reference_take(r, '.') && !reference_digits(r))
        return false;
    if (reference_take(r, 'e') || reference_take(r, 'E')) {
        if (!reference_take(r, '+'))
            reference_take(r, '-');
        return reference_digits(r);
    }
    return true;
}

/* One character of more than one byte: decode, then look whether it may be written so. */
static inline bool reference_character(struct json_reference *r) {
    int first = reference_peek(r);
    r->next++;
    int trail = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    uint32_t point = (uint32_t)first & (0x3Fu >> trail);
    if (first < 0xC0 || first > 0xF7)
        return false;
    for (int i = 0; i < trail; i++) {
        int byte = reference_peek(r);
        if (byte < 0x80 || byte > 0xBF)
            return false;
        point = point << 6 | ((uint32_t)byte & 0x3F);
        r->next++;
    }
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    return point >= least[trail] && point <= 0x10FFFF && !(point >= 0xD800 && point <= 0xDFFF);
}

static inline bool reference_string(struct json_reference *r) {
    if (!reference_take(r, '"'))
        return false;
    while (!reference_take(r, '"')) {
        int byte = reference_peek(r);
        if (byte < 0x20)
            return false;
        if (byte >= 0x80) {
            if (!reference_character(r))
                return false;
            continue;
        }
        r->next++;
        if (byte != '\\')
            continue;
        int escape = reference_peek(r);
        if (escape <= 0 || strchr("\"\\/bfnrtu", escape) == NULL)
            return false;
        r->next++;
        for (int i = 0; escape == 'u' && i < 4; i++, r->next++) {
            int digit = reference_peek(r);
            if (digit <= 0 || strchr("0123456789abcdefABCDEF", digit) == NULL)
                return false;
        }
    }
    return true;
}

static inline bool reference_word(struct json_reference *r, const char *word) {
    for (; *word != '\0'; word++)
        if (!reference_take(r, *word))
            return false;
    return true;
}

static inline bool reference_value(struct json_reference *r, int depth_left) {
    int first = reference_peek(r);
    if (first == 't' || first == 'f' || first == 'n')
        return reference_word(r, first == 't' ? "true" : first == 'f' ? "false" : "null");
    if (first == '"')
        return reference_string(r);
    if (first != '[' && first != '{')
        return reference_number(r);
    if (depth_left == 0)
        return false;
    int end = first == '[' ? ']' : '}';
    r->next++;
    reference_blanks(r);
    if (reference_take(r, end))
        return true;
    do {
        reference_blanks(r);
        if (first == '{') {
            if (!reference_string(r))
                return false;
            reference_blanks(r);
            if (!reference_take(r, ':'))
                return false;
            reference_blanks(r);
        }
        if (!reference_value(r, depth_left - 1))
            return false;
        reference_blanks(r);
    } while (reference_take(r, ','));
    return reference_take(r, end);
}

static inline bool json_reference_valid(const void *at, size_t len) {
    struct json_reference r = {at, len, 0};
    reference_blanks(&r);
    if (!reference_value(&r, 64))
        return false;
    reference_blanks(&r);
    return r.next == r.len;
}

#endif
