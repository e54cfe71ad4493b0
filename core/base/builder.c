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

/* The escape of a line break that is not ASCII, at the front of the text; NULL: there is none. */
static const char *break_escape(struct span text, size_t *len) {
    static const struct {
        struct span bytes;
        const char *escape;
    } breaks[] = {{SPAN_INIT("\xC2\x85"), "\\u0085"},
                  {SPAN_INIT("\xE2\x80\xA8"), "\\u2028"},
                  {SPAN_INIT("\xE2\x80\xA9"), "\\u2029"}};
    for (size_t i = 0; i < sizeof breaks / sizeof *breaks; i++) {
        if (span_starts(text, breaks[i].bytes)) {
            *len = breaks[i].bytes.len;
            return breaks[i].escape;
        }
    }
    return NULL;
}

static void quote(struct builder *b, struct span text, bool escapes_breaks) {
    static const char hex[] = "0123456789abcdef";
    size_t start = b->len;
    size_t plain = 0; /* from here on bytes pass as they are */
    builder_byte(b, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        char escape = escape_of(byte);
        if (escape != 0) {
            builder_bytes(b, text.at + plain, i - plain);
            plain = i + 1;
            const char letters[6] = {'\\', escape, '0', '0', hex[byte >> 4], hex[byte & 15]};
            builder_bytes(b, letters, escape == 'u' ? 6 : 2);
        } else if (escapes_breaks && (byte == 0xC2 || byte == 0xE2)) {
            size_t len;
            const char *letters = break_escape(span_skip(text, i), &len);
            if (letters == NULL)
                continue;
            builder_bytes(b, text.at + plain, i - plain);
            plain = i + len;
            builder_text(b, letters);
        }
    }
    if (plain < text.len)
        builder_bytes(b, text.at + plain, text.len - plain);
    builder_byte(b, '"');
    if (b->full)
        b->len = start; /* whole or not at all */
}

void builder_json(struct builder *b, struct span text) {
    quote(b, text, true);
}

void builder_json_payload(struct builder *b, struct span text) {
    quote(b, text, false);
}
