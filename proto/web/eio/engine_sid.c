#include "proto/web/eio/engine_sid.h"

#include "proto/text/hex.h"

static const char letters[65] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-";

void sid_write(const struct sid *sid, char text[SID_TEXT_BYTES]) {
    uint8_t bytes[SID_BYTES] = {
        (uint8_t)(sid->node >> 8),  (uint8_t)sid->node,        sid->worker,
        (uint8_t)(sid->slot >> 16), (uint8_t)(sid->slot >> 8), (uint8_t)sid->slot};
    memcpy(bytes + SID_BYTES - SID_RANDOM_BYTES, sid->random, SID_RANDOM_BYTES);
    for (unsigned i = 0; i < SID_BYTES; i += 3) {
        uint32_t bits = (uint32_t)bytes[i] << 16 | (uint32_t)bytes[i + 1] << 8 | bytes[i + 2];
        for (unsigned j = 0; j < 4; j++)
            *text++ = letters[bits >> (18 - 6 * j) & 63];
    }
}

/* The six bits of a letter; 64: it is none. */
static uint32_t letter_bits(char letter) {
    if (letter >= 'A' && letter <= 'Z')
        return (uint32_t)(letter - 'A');
    if (letter >= 'a' && letter <= 'z')
        return (uint32_t)(letter - 'a') + 26;
    if (letter >= '0' && letter <= '9')
        return (uint32_t)(letter - '0') + 52;
    return letter == '_' ? 62 : letter == '-' ? 63 : 64;
}

bool sid_read(struct span text, struct sid *sid) {
    uint8_t bytes[SID_BYTES];
    if (text.len != SID_TEXT_BYTES)
        return false;
    for (unsigned i = 0; i < SID_TEXT_BYTES; i += 4) {
        uint32_t bits = 0;
        for (unsigned j = 0; j < 4; j++) {
            uint32_t six = letter_bits(text.at[i + j]);
            if (six == 64)
                return false;
            bits = bits << 6 | six;
        }
        for (unsigned j = 0; j < 3; j++)
            bytes[i / 4 * 3 + j] = (uint8_t)(bits >> (16 - 8 * j));
    }
    sid->node = (uint16_t)(bytes[0] << 8 | bytes[1]);
    sid->worker = bytes[2];
    sid->slot = (uint32_t)bytes[3] << 16 | (uint32_t)bytes[4] << 8 | bytes[5];
    memcpy(sid->random, bytes + SID_BYTES - SID_RANDOM_BYTES, SID_RANDOM_BYTES);
    return true;
}

uint16_t sid_node(const char *run) {
    unsigned node = 0;
    for (unsigned i = 0; i < 4; i++)
        node = node * 16 + (unsigned)hex_digit(run[i]);
    return (uint16_t)node;
}

bool sid_random_same(const uint8_t *a, const uint8_t *b) {
    volatile uint8_t different = 0;
    for (unsigned i = 0; i < SID_RANDOM_BYTES; i++)
        different |= a[i] ^ b[i];
    return different == 0;
}
