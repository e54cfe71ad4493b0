/* base64.c - see base64.h. */
#include "proto/text/base64.h"

static const char letters[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static inline void encode_three(char *to, uint32_t bits) {
    to[0] = letters[bits >> 18];
    to[1] = letters[bits >> 12 & 63];
    to[2] = letters[bits >> 6 & 63];
    to[3] = letters[bits & 63];
}

void base64_encode(struct builder *out, struct span bytes) {
    size_t len = base64_len(bytes.len);
    if (out->full || len > out->cap - out->len) {
        out->full = true;
        return;
    }
    const unsigned char *from = (const unsigned char *)bytes.at;
    char *to = out->at + out->len;
    size_t left = bytes.len;
    for (; left >= 3; left -= 3, from += 3, to += 4)
        encode_three(to, (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2]);
    if (left != 0) {
        encode_three(to, (uint32_t)from[0] << 16 | (left == 2 ? (uint32_t)from[1] << 8 : 0));
        to[3] = '=';
        if (left == 1)
            to[2] = '=';
    }
    out->len += len;
}

/* The six bits of a letter; -1: it is none. */
static int letter_bits(char letter) {
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52;
    return letter == '+' ? 62 : letter == '/' ? 63 : -1;
}

const char *base64_decode(struct span text, struct builder *out) {
    if (text.len % 4 != 0)
        return "is not whole base64";
    for (size_t at = 0; at < text.len; at += 4) {
        size_t used = 4;
        if (at + 4 == text.len && text.at[at + 3] == '=')
            used = text.at[at + 2] == '=' ? 2 : 3;
        uint32_t bits = 0;
        for (size_t i = 0; i < used; i++) {
            int six = letter_bits(text.at[at + i]);
            if (six < 0)
                return "holds a letter that is not base64";
            bits |= (uint32_t)six << (18 - 6 * i);
        }
        /* Of four letters come three bytes, of three two, of two one; what is left over must be 0.
         * */
        if ((bits & (0xFFFFFFu >> (8 * (used - 1)))) != 0)
            return "ends in bits that are not zero";
        char bytes[3] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};
        builder_bytes(out, bytes, used - 1);
    }
    return NULL;
}
