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
    } controls[] = {
        {0x00, 0x1F},     /* C0 */
        {0x7F, 0x9F},     /* DEL and C1: U+009B begins a terminal's sequences as ESC [ does */
        {0x061C, 0x061C}, /* ALM */
        {0x200E, 0x200F}, /* LRM, RLM */
        {0x2028, 0x202E}, /* line and paragraph separator, LRE, RLE, PDF, LRO, RLO */
        {0x2066, 0x2069}, /* LRI, RLI, FSI, PDI */
    };
    for (size_t i = 0; i < sizeof(controls) / sizeof(controls[0]); i++)
        if (point >= controls[i].first && point <= controls[i].last)
            return false;
    return true;
}
