/* hex.h - hex digits.
 *
 * Threads: any (pure functions). */
#ifndef RINGPOST_PROTO_TEXT_HEX_H
#define RINGPOST_PROTO_TEXT_HEX_H

/* The value of a hex digit, of either case; -1: it is none. */
static inline int hex_digit(char byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    char lower = (char)(byte | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

#endif
