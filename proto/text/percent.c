/* percent.c - see percent.h. */
#include "proto/text/percent.h"

#include "proto/text/hex.h"
#include "proto/text/utf8.h"

/* Does the byte stand for another one? */
static inline bool is_coded(char byte, enum percent_mode mode) {
    return byte == '%' || (byte == '+' && mode == PERCENT_QUERY);
}

/* Where in `raw` the decoded byte number `index` was written. */
static size_t raw_offset(struct span raw, size_t index) {
    size_t at = 0;
    for (; index > 0; index--)
        at += raw.at[at] == '%' ? 3 : 1;
    return at;
}

/* Writes the decoded bytes. False: a bad escape, at `*offset`. */
static bool decode(struct span raw, enum percent_mode mode, struct builder *out, size_t *offset) {
    size_t at = 0;
    while (at < raw.len) {
        size_t run = at;
        while (run < raw.len && !is_coded(raw.at[run], mode))
            run++;
        builder_bytes(out, raw.at + at, run - at);
        at = run;
        if (at == raw.len)
            break;
        if (raw.at[at] == '+') {
            builder_byte(out, ' ');
            at++;
            continue;
        }
        int high = raw.len - at >= 3 ? hex_digit(raw.at[at + 1]) : -1;
        int low = high >= 0 ? hex_digit(raw.at[at + 2]) : -1;
        if (low < 0) {
            *offset = at;
            return false;
        }
        builder_byte(out, (char)(high << 4 | low));
        at += 3;
    }
    return true;
}

const char *percent_text(struct span raw, enum percent_mode mode, struct builder *scratch,
                         struct span *text, size_t *offset) {
    size_t ignored;
    if (offset == NULL)
        offset = &ignored;
    size_t plain = 0;
    while (plain < raw.len && !is_coded(raw.at[plain], mode))
        plain++;
    struct span result = raw;
    if (plain < raw.len) {
        size_t before = scratch->len;
        if (!decode(raw, mode, scratch, offset))
            return "holds a bad escape";
        if (scratch->full) {
            *offset = 0;
            return "is too long";
        }
        result = span_of(scratch->at + before, scratch->len - before);
    }
    size_t bad;
    if (!utf8_valid(result, &bad)) {
        *offset = raw_offset(raw, bad);
        return "is not UTF-8";
    }
    const char *nul = result.len == 0 ? NULL : memchr(result.at, '\0', result.len);
    if (nul != NULL) {
        *offset = raw_offset(raw, (size_t)(nul - result.at));
        return "holds U+0000";
    }
    *text = result;
    return NULL;
}

void percent_encode(struct builder *out, struct span text) {
    static const char digits[] = "0123456789ABCDEF";
    size_t at = 0;
    while (at < text.len) {
        size_t run = at;
        while (run < text.len && text.at[run] > 0x20 && text.at[run] < 0x7F && text.at[run] != '%')
            run++;
        builder_bytes(out, text.at + at, run - at);
        at = run;
        if (at < text.len) {
            unsigned char byte = (unsigned char)text.at[at++];
            char escape[3] = {'%', digits[byte >> 4], digits[byte & 15]};
            builder_bytes(out, escape, sizeof escape);
        }
    }
}

/* Cuts the front off at the first `end` byte, which is dropped. */
static struct span take_until(struct span *rest, char end) {
    const char *found = rest->len == 0 ? NULL : memchr(rest->at, end, rest->len);
    struct span front = *rest;
    if (found == NULL) {
        *rest = span_of(NULL, 0);
        return front;
    }
    front.len = (size_t)(found - front.at);
    *rest = span_skip(*rest, front.len + 1);
    return front;
}

bool query_next(struct span *rest, struct span *name, struct span *value) {
    while (rest->len != 0) {
        struct span pair = take_until(rest, '&');
        if (pair.len == 0)
            continue;
        *name = take_until(&pair, '=');
        *value = pair;
        return true;
    }
    return false;
}
