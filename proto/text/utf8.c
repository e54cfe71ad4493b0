/* utf8.c - see utf8.h. */
#include "proto/text/utf8.h"

bool utf8_valid(struct span text, size_t *bad_offset) {
    if (text.len == 0)
        return true;
    const char *at = text.at, *end = text.at + text.len;
    while (at != end) {
        uint64_t word;
        while ((size_t)(end - at) >= sizeof word) {
            memcpy(&word, at, sizeof word);
            if ((word & UINT64_C(0x8080808080808080)) != 0)
                break;
            at += sizeof word;
        }
        while (at != end && (unsigned char)*at < 0x80)
            at++;
        while (at != end && (unsigned char)*at >= 0x80) {
            int len = utf8_sequence(at, end);
            if (len <= 0) {
                if (bad_offset != NULL)
                    *bad_offset = (size_t)(at - text.at);
                return false;
            }
            at += len;
        }
    }
    return true;
}

struct span utf8_cut(struct span text, size_t max) {
    if (text.len <= max)
        return text;
    /* Only the byte at the cut matters: back to where its sequence begins, at most three bytes. */
    size_t len = max;
    while (len > 0 && max - len < 3 && utf8_is_trail((unsigned char)text.at[len]))
        len--;
    return span_of(text.at, len);
}

unsigned utf8_put(char *at, uint32_t character) {
    if (character < 0x80) {
        at[0] = (char)character;
        return 1;
    }
    if (character < 0x800) {
        at[0] = (char)(0xC0 | character >> 6);
        at[1] = (char)(0x80 | (character & 0x3F));
        return 2;
    }
    if (character < 0x10000) {
        at[0] = (char)(0xE0 | character >> 12);
        at[1] = (char)(0x80 | (character >> 6 & 0x3F));
        at[2] = (char)(0x80 | (character & 0x3F));
        return 3;
    }
    at[0] = (char)(0xF0 | character >> 18);
    at[1] = (char)(0x80 | (character >> 12 & 0x3F));
    at[2] = (char)(0x80 | (character >> 6 & 0x3F));
    at[3] = (char)(0x80 | (character & 0x3F));
    return 4;
}
