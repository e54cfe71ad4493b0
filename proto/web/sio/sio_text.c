#include "proto/web/sio/sio_text.h"

#include "proto/text/utf8.h"

#define ESCAPE_BYTES 6 /* \uXXXX */

/* How many bytes of ASCII stand at the front. */
static size_t ascii_run(const char *at, const char *end) {
    const char *start = at;
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        if ((word & UINT64_C(0x8080808080808080)) != 0)
            break;
    }
    while (at != end && (unsigned char)*at < 0x80)
        at++;
    return (size_t)(at - start);
}

/* The character of a whole sequence of that length. */
static uint32_t character_of(const char *at, unsigned len) {
    static const unsigned char masks[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    uint32_t character = (unsigned char)at[0] & masks[len];
    for (unsigned i = 1; i < len; i++)
        character = character << 6 | ((unsigned char)at[i] & 0x3F);
    return character;
}

/* The length of the sequence at the front of what is known to be UTF-8. */
static unsigned sequence_len(const char *at, const char *end) {
    int len = utf8_sequence(at, end);
    return len > 0 ? (unsigned)len : 1;
}

static void unit_write(struct builder *out, uint32_t unit) {
    static const char digits[] = "0123456789abcdef";
    char text[ESCAPE_BYTES] = {'\\', 'u'};
    for (unsigned i = 0; i < 4; i++)
        text[2 + i] = digits[unit >> (12 - 4 * i) & 15];
    builder_bytes(out, text, sizeof text);
}

void sio_ascii_write(struct builder *out, struct span json) {
    for (const char *at = json.at, *end = at + json.len; at != end;) {
        size_t run = ascii_run(at, end);
        builder_bytes(out, at, run);
        at += run;
        if (at == end)
            break;
        unsigned len = sequence_len(at, end);
        uint32_t character = character_of(at, len);
        if (character >= 0x10000) {
            unit_write(out, 0xD800 + ((character - 0x10000) >> 10));
            character = 0xDC00 + ((character - 0x10000) & 0x3FF);
        }
        unit_write(out, character);
        at += len;
    }
}

size_t sio_ascii_len(struct span json) {
    size_t sum = 0;
    for (const char *at = json.at, *end = at + json.len; at != end;) {
        size_t run = ascii_run(at, end);
        sum += run;
        at += run;
        if (at == end)
            break;
        unsigned len = sequence_len(at, end);
        sum += len == 4 ? 2 * ESCAPE_BYTES : ESCAPE_BYTES;
        at += len;
    }
    return sum;
}

/* The next character as a byte. False: it is none, or the text is over. */
static bool byte_next(const char **at, const char *end, unsigned char *byte) {
    if (*at == end)
        return false;
    unsigned char first = (unsigned char)**at;
    if (first < 0x80) {
        *byte = first;
        *at += 1;
        return true;
    }
    /* U+0080 to U+00FF begin with C2 or C3. */
    if (first > 0xC3 || end - *at < 2)
        return false;
    *byte = (unsigned char)(first << 6 | ((unsigned char)(*at)[1] & 0x3F));
    *at += 2;
    return true;
}

enum sio_twice sio_twice_look(struct span text) {
    const char *at = text.at, *end = at + text.len;
    if (ascii_run(at, end) == text.len)
        return SIO_TWICE_NEITHER;
    while (at != end) {
        char sequence[4];
        unsigned char byte;
        size_t run = ascii_run(at, end), len = 0;
        at += run;
        while (at != end && len < sizeof sequence) {
            if (!byte_next(&at, end, &byte))
                return SIO_TWICE_NO;
            sequence[len++] = (char)byte;
            int whole = utf8_sequence(sequence, sequence + len);
            if (whole > 0)
                break;
            if (whole == 0 || at == end)
                return SIO_TWICE_NO;
        }
    }
    return SIO_TWICE_MAYBE;
}

void sio_twice_decode(struct builder *out, struct span text) {
    const char *at = text.at, *end = at + text.len;
    unsigned char byte;
    while (byte_next(&at, end, &byte))
        builder_byte(out, (char)byte);
}
