/* utf8.c - see utf8.h. */
#include "proto/text/utf8.h"

/* Where the first sequence begins that is wrong or unfinished; `end` if there is none. */
static const char *whole_until(const char *at, const char *end) {
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
            if (len <= 0)
                return at;
            at += len;
        }
    }
    return end;
}

bool utf8_valid(struct span text, size_t *bad_offset) {
    if (text.len == 0)
        return true;
    const char *end = text.at + text.len, *bad = whole_until(text.at, end);
    if (bad != end && bad_offset != NULL)
        *bad_offset = (size_t)(bad - text.at);
    return bad == end;
}

/* Where in a sequence a text is: how many bytes are to come, and where the next one may not be any
 * trail byte, what it follows. */
enum sequence_state {
    BETWEEN,
    ONE_MORE,
    TWO_MORE,
    THREE_MORE,
    AFTER_E0,
    AFTER_ED,
    AFTER_F0,
    AFTER_F4
};

/* What follows the byte; -1: it is wrong. */
static int state_behind_first(unsigned char byte) {
    if (byte < 0x80)
        return BETWEEN;
    if (byte < 0xC2 || byte > 0xF4)
        return -1;
    switch (byte) {
    case 0xE0:
        return AFTER_E0;
    case 0xED:
        return AFTER_ED;
    case 0xF0:
        return AFTER_F0;
    case 0xF4:
        return AFTER_F4;
    default:
        return byte < 0xE0 ? ONE_MORE : byte < 0xF0 ? TWO_MORE : THREE_MORE;
    }
}

static int state_behind(unsigned state, unsigned char byte) {
    static const struct {
        unsigned char low, high, next;
    } trails[] = {
        [ONE_MORE] = {0x80, 0xBF, BETWEEN},    [TWO_MORE] = {0x80, 0xBF, ONE_MORE},
        [THREE_MORE] = {0x80, 0xBF, TWO_MORE}, [AFTER_E0] = {0xA0, 0xBF, ONE_MORE},
        [AFTER_ED] = {0x80, 0x9F, ONE_MORE},   [AFTER_F0] = {0x90, 0xBF, TWO_MORE},
        [AFTER_F4] = {0x80, 0x8F, TWO_MORE},
    };
    if (state == BETWEEN)
        return state_behind_first(byte);
    return byte >= trails[state].low && byte <= trails[state].high ? trails[state].next : -1;
}

/* Goes on byte by byte, to the end or as long as the text is inside a sequence. */
static const char *step(int *state, const char *at, const char *end, bool to_end) {
    while (at != end && *state >= 0 && (to_end || *state != BETWEEN))
        *state = state_behind((unsigned)*state, (unsigned char)*at++);
    return at;
}

bool utf8_run(uint8_t *state, struct span text) {
    if (text.len == 0)
        return true;
    int now = *state & 7;
    const char *end = text.at + text.len;
    const char *at = step(&now, text.at, end, false);
    if (now == BETWEEN)
        at = whole_until(at, end);
    /* What is left is wrong, or a sequence of which a part is to come. */
    step(&now, at, end, true);
    *state = (uint8_t)(now & 7);
    return now >= 0;
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
