/* json_value.c - what the strings and numbers of a scanned text mean; see json.h. */
#include "proto/text/hex.h"
#include "proto/text/json.h"
#include "proto/text/json_blanks.h"
#include "proto/text/utf8.h"

static uint32_t four_digits(const char *at) {
    uint32_t unit = 0;
    for (int i = 0; i < 4; i++)
        unit = unit << 4 | (uint32_t)hex_digit(at[i]);
    return unit;
}

static bool is_high(uint32_t unit) {
    return unit >= 0xD800 && unit <= 0xDBFF;
}

static bool is_low(uint32_t unit) {
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* The character of the \u at the front, and how many bytes it took. NULL, or what is wrong with it.
 * */
static const char *escaped_character(const char *at, const char *end, uint32_t *character,
                                     size_t *len) {
    uint32_t unit = four_digits(at + 2);
    *len = 6;
    if (unit == 0)
        return "holds U+0000";
    if (is_high(unit) && end - at >= 12 && at[6] == '\\' && at[7] == 'u') {
        uint32_t second = four_digits(at + 8);
        if (is_low(second)) {
            *character = 0x10000 + ((unit & 0x3FF) << 10 | (second & 0x3FF));
            *len = 12;
            return NULL;
        }
    }
    if (is_high(unit) || is_low(unit))
        return "holds a lone surrogate";
    *character = unit;
    return NULL;
}

/* What a one-letter escape stands for. */
static char short_escape(char letter) {
    switch (letter) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return letter;
    }
}

const char *json_unescape(struct span inside, struct builder *out) {
    const char *at = inside.at, *end = inside.at + inside.len;
    while (at != end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        builder_bytes(out, at, (size_t)((escape != NULL ? escape : end) - at));
        if (escape == NULL)
            break;
        if (escape[1] != 'u') {
            builder_byte(out, short_escape(escape[1]));
            at = escape + 2;
            continue;
        }
        uint32_t character;
        size_t taken;
        const char *wrong = escaped_character(escape, end, &character, &taken);
        if (wrong != NULL)
            return wrong;
        char bytes[4];
        unsigned len = utf8_put(bytes, character);
        builder_bytes(out, bytes, len);
        at = escape + taken;
    }
    return NULL;
}

const char *json_text(const struct json_value *string, struct builder *scratch, struct span *text) {
    struct span inside = json_inside(string);
    if (!string->escaped) {
        *text = inside;
        return NULL;
    }
    size_t before = scratch->len;
    const char *wrong = json_unescape(inside, scratch);
    if (wrong == NULL && scratch->full)
        wrong = "is too long";
    if (wrong == NULL)
        *text = span_of(scratch->at + before, scratch->len - before);
    return wrong;
}

bool json_u64(struct span number, uint64_t *value) {
    uint64_t sum = 0;
    for (size_t i = 0; i < number.len; i++) {
        if (number.at[i] < '0' || number.at[i] > '9')
            return false;
        if (__builtin_mul_overflow(sum, 10u, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(number.at[i] - '0'), &sum))
            return false;
    }
    *value = sum;
    return true;
}

/* A decimal number: `digits` times ten to the `scale`, plus something smaller than one digit's
 * worth if `more`. */
struct decimal {
    uint64_t digits;
    int64_t scale;
    bool more;
};

#define DECIMAL_DIGITS_FULL (UINT64_MAX / 10 - 1)
/* No text is long enough to bring an exponent of this size back with zeros. */
#define DECIMAL_EXPONENT_MAX INT64_C(1000000000000000)

static struct decimal decimal_read(const char *at, const char *end) {
    struct decimal d = {0, 0, false};
    bool fraction = false;
    for (; at != end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '.') {
            fraction = true;
            continue;
        }
        if (d.digits < DECIMAL_DIGITS_FULL) {
            d.digits = d.digits * 10 + (uint64_t)(*at - '0');
            d.scale -= fraction;
        } else {
            d.more = d.more || *at != '0';
            d.scale += !fraction;
        }
    }
    if (at == end)
        return d;
    at++;
    bool below = *at == '-';
    if (*at == '-' || *at == '+')
        at++;
    int64_t exponent = 0;
    for (; at != end; at++) {
        if (exponent < DECIMAL_EXPONENT_MAX)
            exponent = exponent * 10 + (*at - '0');
    }
    d.scale += below ? -exponent : exponent;
    return d;
}

bool json_seconds(struct span number, uint64_t *ns) {
    const char *at = number.at, *end = number.at + number.len;
    bool below_zero = *at == '-';
    struct decimal d = decimal_read(at + below_zero, end);
    uint64_t value = d.digits;
    *ns = 0;
    if (value == 0)
        return true;
    if (below_zero)
        return false;

    int64_t scale = d.scale + 9;
    for (; scale < 0 && value != 0; scale++) {
        d.more = d.more || value % 10 != 0;
        value /= 10;
    }
    for (; scale > 0; scale--) {
        if (d.more || __builtin_mul_overflow(value, 10u, &value)) {
            *ns = UINT64_MAX;
            return true;
        }
    }
    *ns = d.more && value != UINT64_MAX ? value + 1 : value;
    return true;
}

/* The next break at or behind `at`; `end`: there is none. */
static const char *break_find(const char *at, const char *end) {
    for (; at != end; at++) {
        unsigned char byte = (unsigned char)*at;
        if ((byte == 0xC2 || byte == 0xE2) && utf8_sequence(at, end) > 0 && utf8_is_break(at))
            return at;
    }
    return end;
}

static size_t break_len(const char *at) {
    return (unsigned char)*at == 0xC2 ? 2 : 3;
}

void json_escape_breaks(struct span text, struct builder *out) {
    if (text.len == 0)
        return;
    const char *at = text.at, *end = text.at + text.len;
    while (at != end) {
        const char *found = break_find(at, end);
        builder_bytes(out, at, (size_t)(found - at));
        if (found == end)
            return;
        builder_text(out, break_len(found) == 2             ? "\\u0085"
                          : (unsigned char)found[2] == 0xA8 ? "\\u2028"
                                                            : "\\u2029");
        at = found + break_len(found);
    }
}

size_t json_breaks_grow(struct span text) {
    if (text.len == 0)
        return 0;
    const char *at = text.at, *end = text.at + text.len;
    size_t grow = 0;
    while (at != end && (at = break_find(at, end)) != end) {
        grow += JSON_BREAK_BYTES - break_len(at);
        at += break_len(at);
    }
    return grow;
}

size_t json_quoted_len(struct span text) {
    static const struct span short_ones = {"\b\t\n\f\r", 5};
    size_t len = text.len + 2;
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.at[i];
        if (byte == '"' || byte == '\\')
            len += 1;
        else if ((unsigned char)byte < 0x20)
            len += memchr(short_ones.at, byte, short_ones.len) != NULL ? 1 : 5;
    }
    return len;
}

bool json_line_is_blank(struct span line) {
    return json_dense_end(line, 1) == line.at + line.len;
}
