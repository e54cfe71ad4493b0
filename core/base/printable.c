#include "core/base/printable.h"

size_t printable_next(struct span text, uint32_t *point) {
    unsigned char lead = (unsigned char)text.at[0];
    if (lead < 0x80) {
        *point = lead;
        return 1;
    }
    if (lead < 0xC2 || lead > 0xF4)
        return 0;
    size_t len = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (text.len < len)
        return 0;
    uint32_t value = lead & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        if ((byte & 0xC0) != 0x80)
            return 0;
        value = value << 6 | (byte & 0x3F);
    }
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    if (value < least[len] || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF))
        return 0;
    *point = value;
    return len;
}

bool printable(uint32_t point) {
    static const struct {
        uint32_t first, last;
    } never[] = {
        {0x00, 0x1F},       /* C0 */
        {0x7F, 0x9F},       /* DEL and C1: U+009B begins a terminal's sequences as ESC [ does */
        {0xAD, 0xAD},       /* soft hyphen */
        {0x061C, 0x061C},   /* ALM */
        {0x180E, 0x180E},   /* Mongolian vowel separator */
        {0x200B, 0x200B},   /* zero width space; not ZWNJ and ZWJ */
        {0x200E, 0x200F},   /* LRM, RLM */
        {0x2028, 0x202E},   /* line and paragraph separator, LRE, RLE, PDF, LRO, RLO */
        {0x2060, 0x206F},   /* word joiner, invisible operators, LRI, RLI, FSI, PDI */
        {0xFEFF, 0xFEFF},   /* zero width no-break space, the byte order mark */
        {0xFFF9, 0xFFFB},   /* interlinear annotations */
        {0x1BCA0, 0x1BCA3}, /* of shorthand */
        {0x1D173, 0x1D17A}, /* of music */
        {0xE0000, 0xE007F}, /* tags: ASCII that nobody sees */
    };
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]) && point >= never[i].first; i++)
        if (point <= never[i].last)
            return false;
    return true;
}

static size_t hex_write(char *at, char letter, unsigned digits, uint32_t value) {
    at[0] = '\\';
    at[1] = letter;
    for (unsigned i = 0; i < digits; i++)
        at[2 + i] = "0123456789abcdef"[value >> 4 * (digits - 1 - i) & 15];
    return 2 + digits;
}

struct span printable_take(struct span *text, char escape[PRINTABLE_ESCAPE_MAX]) {
    uint32_t point;
    size_t taken = printable_next(*text, &point), len = 0;
    const char *at = text->at;
    if (taken == 0)
        len = hex_write(escape, 'x', 2, (unsigned char)*at);
    else if (!printable(point) && taken == 1)
        len = hex_write(escape, 'x', 2, point);
    else if (!printable(point))
        len = point > 0xFFFF ? hex_write(escape, 'U', 8, point) : hex_write(escape, 'u', 4, point);
    *text = span_skip(*text, taken == 0 ? 1 : taken);
    return len == 0 ? span_of(at, taken) : span_of(escape, len);
}

struct span printable_json_escape(uint32_t point, char escape[PRINTABLE_ESCAPE_MAX]) {
    size_t len = 0;
    if (point > 0xFFFF) {
        len = hex_write(escape, 'u', 4, 0xD7C0 + (point >> 10));
        point = 0xDC00 + (point & 0x3FF);
    }
    len += hex_write(escape + len, 'u', 4, point);
    return span_of(escape, len);
}
