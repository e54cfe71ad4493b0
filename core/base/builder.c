#include "core/base/builder.h"

#include <stdarg.h>
#include <stdio.h>

void builder_u64(struct builder *b, uint64_t value) {
    char digits[20];
    size_t at = sizeof(digits);
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    builder_bytes(b, digits + at, sizeof(digits) - at);
}

void builder_format(struct builder *b, const char *format, ...) {
    if (b->full)
        return;
    size_t room = b->cap - b->len;
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(room != 0 ? b->at + b->len : NULL, room, format, arguments);
    va_end(arguments);
    if (len < 0 || (size_t)len >= room)
        b->full = true;
    else
        b->len += (size_t)len;
}

/* What stands behind the backslash; 0: the byte passes, 'u': by its number. */
static char escape_of(unsigned char byte) {
    if (byte >= 0x20)
        return byte == '"' || byte == '\\' ? (char)byte : 0;
    switch (byte) {
    case '\b':
        return 'b';
    case '\t':
        return 't';
    case '\n':
        return 'n';
    case '\f':
        return 'f';
    case '\r':
        return 'r';
    default:
        return 'u';
    }
}

void builder_json(struct builder *b, struct span text) {
    static const char hex[] = "0123456789abcdef";
    size_t start = b->len;
    size_t plain = 0; /* from here on bytes pass as they are */
    builder_byte(b, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        char escape = escape_of(byte);
        if (escape == 0)
            continue;
        builder_bytes(b, text.at + plain, i - plain);
        plain = i + 1;
        const char letters[6] = {'\\', escape, '0', '0', hex[byte >> 4], hex[byte & 15]};
        builder_bytes(b, letters, escape == 'u' ? 6 : 2);
    }
    if (plain < text.len)
        builder_bytes(b, text.at + plain, text.len - plain);
    builder_byte(b, '"');
    if (b->full)
        b->len = start; /* whole or not at all */
}
