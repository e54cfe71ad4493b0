/* msgpack_json.c - MessagePack to JSON and back; see msgpack.h. */
#include "core/base/check.h"
#include "ha/adapter/msgpack.h"
#include "proto/text/base64.h"
#include "proto/text/json.h"
#include "proto/text/utf8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* --- to JSON ---------------------------------------------------------------------------------- */

static void real_write(struct builder *out, double value) {
    char text[40];
    if (!isfinite(value)) {
        builder_text(out, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    builder_text(out, text);
}

/* Days since 1970-01-01 as a date of the Gregorian calendar (Hinnant's days_from_civil backwards);
 * gmtime_r would look for a time zone in a file. */
static void date_write(struct builder *out, int64_t ms) {
    const int64_t day_ms = INT64_C(86400000), year_0_days = 719528;
    int64_t days = ms / day_ms - (ms % day_ms < 0);
    /* The years 0 to 9999: others have a form of their own. */
    if (days < -year_0_days || days > 2932896) {
        builder_text(out, "null");
        return;
    }
    int64_t left = ms - days * day_ms;
    int64_t z = days + 719468 + 146097, era = z / 146097, of_era = z % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100),
            month = (5 * of_year + 2) / 153;
    int64_t day = of_year - (153 * month + 2) / 5 + 1;
    month = month < 10 ? month + 3 : month - 9;
    year += (era - 1) * 400 + (month <= 2);
    char text[40];
    snprintf(text, sizeof(text), "\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\"", (int)year, (int)month,
             (int)day, (int)(left / 3600000), (int)(left / 60000 % 60), (int)(left / 1000 % 60),
             (int)(left % 1000));
    builder_text(out, text);
}

static uint64_t be(struct span bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.len; i++)
        value = value << 8 | (unsigned char)bytes.at[i];
    return value;
}

/* A date beyond what milliseconds can say is none. */
static void seconds_write(struct builder *out, int64_t seconds, uint64_t nanoseconds) {
    if (seconds > INT64_MAX / 2000 || seconds < INT64_MIN / 2000 || nanoseconds > 999999999)
        builder_text(out, "null");
    else
        date_write(out, seconds * 1000 + (int64_t)(nanoseconds / 1000000));
}

static void ext_write(struct builder *out, const struct msgpack_item *item) {
    struct span bytes = item->bytes;
    if (item->ext_type == 0 && bytes.len == 8)
        date_write(out, (int64_t)be(bytes));
    else if (item->ext_type == -1 && bytes.len == 4)
        seconds_write(out, (int64_t)be(bytes), 0);
    else if (item->ext_type == -1 && bytes.len == 8)
        seconds_write(out, (int64_t)(be(bytes) & ((UINT64_C(1) << 34) - 1)), be(bytes) >> 34);
    else if (item->ext_type == -1 && bytes.len == 12)
        seconds_write(out, (int64_t)be(span_of(bytes.at + 4, 8)), be(span_of(bytes.at, 4)));
    else
        builder_text(out, "null");
}

static const char *str_write(struct builder *out, struct span text) {
    if (!utf8_valid(text, NULL))
        return "a string is not UTF-8";
    builder_json_payload(out, text);
    return NULL;
}

/* All but arrays and maps. */
static const char *scalar_write(struct builder *out, const struct msgpack_item *item) {
    char text[32];
    switch (item->kind) {
    case MSGPACK_BOOL:
        builder_text(out, item->truth ? "true" : "false");
        return NULL;
    case MSGPACK_NATURAL:
        builder_u64(out, item->natural);
        return NULL;
    case MSGPACK_NEGATIVE:
        snprintf(text, sizeof(text), "%lld", (long long)item->negative);
        builder_text(out, text);
        return NULL;
    case MSGPACK_REAL:
        real_write(out, item->real);
        return NULL;
    case MSGPACK_STR:
        return str_write(out, item->bytes);
    case MSGPACK_BIN:
        builder_byte(out, '"');
        if (base64_len(item->bytes.len) > out->cap - out->len)
            out->full = true;
        else
            base64_encode(out, item->bytes);
        builder_byte(out, '"');
        return NULL;
    case MSGPACK_EXT:
        ext_write(out, item);
        return NULL;
    default:
        builder_text(out, "null");
        return NULL;
    }
}

static const char *key_write(struct builder *out, const struct msgpack_item *item) {
    bool number = item->kind == MSGPACK_NATURAL || item->kind == MSGPACK_NEGATIVE;
    if (!number && item->kind != MSGPACK_STR)
        return "a key is neither a string nor a whole number";
    if (number)
        builder_byte(out, '"');
    const char *wrong = scalar_write(out, item);
    builder_text(out, number ? "\":" : ":");
    return wrong;
}

/* An array or map that is being written. */
struct level {
    uint64_t left; /* values; of a map keys too */
    bool is_map, fresh;
};

const char *msgpack_to_json(struct span *rest, struct builder *out) {
    struct level levels[JSON_DEPTH_MAX];
    unsigned depth = 0;
    do {
        struct level *level = depth == 0 ? NULL : &levels[depth - 1];
        struct msgpack_item item;
        const char *wrong = NULL;
        if (level != NULL && level->left == 0) {
            builder_byte(out, level->is_map ? '}' : ']');
            depth--;
            continue;
        }
        if (level != NULL && level->left > rest->len)
            return "it announces more than it has";
        if (!msgpack_next(rest, &item))
            return "it ends early, or is no MessagePack";
        bool is_key = level != NULL && level->is_map && level->left % 2 == 0;
        if (level != NULL) {
            if (!level->fresh && (is_key || !level->is_map))
                builder_byte(out, ',');
            level->fresh = false;
            level->left--;
        }
        if (is_key) {
            wrong = key_write(out, &item);
        } else if (item.kind != MSGPACK_ARRAY && item.kind != MSGPACK_MAP) {
            wrong = scalar_write(out, &item);
        } else if (depth == JSON_DEPTH_MAX) {
            wrong = "it is nested too deep";
        } else {
            bool is_map = item.kind == MSGPACK_MAP;
            builder_byte(out, is_map ? '{' : '[');
            levels[depth++] = (struct level){
                .left = is_map ? 2 * (uint64_t)item.count : item.count,
                .is_map = is_map,
                .fresh = true,
            };
        }
        if (wrong != NULL || out->full) /* what is too long costs no more */
            return wrong;
    } while (depth != 0);
    return NULL;
}

/* --- from JSON -------------------------------------------------------------------------------- */

/* Room for the longest head of a string, array or map, which is written behind what it announces.
 */
#define GAP_BYTES 5
/* What is shorter moves to a shorter head: so little is moved for each. */
#define MOVED_BYTES 64

/* An array or object that is being written. */
struct nest {
    size_t at;      /* of its gap */
    uint32_t count; /* values; of an object names too */
    bool is_object;
};

static unsigned hex4(const char *at) {
    unsigned value = 0;
    for (unsigned i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)at[i];
        value = value << 4 | (c <= '9' ? c - 48u : (c | 0x20u) - 'a' + 10u);
    }
    return value;
}

/* An escape of a valid string, behind its backslash; the first byte behind it. A surrogate alone
 * becomes U+FFFD, as where JavaScript writes one as UTF-8. */
static const char *escape_put(struct builder *out, const char *at, const char *end) {
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    if (*at != 'u') {
        const char *known = strchr(from, *at);
        builder_byte(out, known == NULL ? *at : to[known - from]);
        return at + 1;
    }
    uint32_t character = hex4(at + 1);
    at += 5;
    bool pair = (character & 0xFC00) == 0xD800 && end - at >= 6 && at[0] == '\\' && at[1] == 'u' &&
                (hex4(at + 2) & 0xFC00) == 0xDC00;
    if (pair) {
        character = 0x10000 + ((character & 0x3FF) << 10) + (hex4(at + 2) & 0x3FF);
        at += 6;
    } else if ((character & 0xF800) == 0xD800) {
        character = 0xFFFD;
    }
    char text[4];
    builder_bytes(out, text, utf8_put(text, character));
    return at;
}

/* The head of what stands behind a gap. */
static void gap_close(struct builder *out, size_t at, unsigned char wide, uint32_t count) {
    if (out->full)
        return;
    char *head = out->at + at, room[MSGPACK_HEAD_BYTES];
    size_t body = out->len - at - GAP_BYTES;
    struct builder shortest = builder_over(room, sizeof(room));
    if (body < MOVED_BYTES && wide == 0xDB) {
        room[shortest.len++] = (char)(0xD9); /* a string: its length in one byte */
        room[shortest.len++] = (char)count;
        if (count < 32)
            room[0] = (char)(0xA0 | count), shortest.len = 1;
    } else if (body < MOVED_BYTES && wide == 0xDD) {
        msgpack_put_array(&shortest, count);
    } else if (body < MOVED_BYTES) {
        msgpack_put_map(&shortest, count);
    } else {
        room[shortest.len++] = (char)wide;
        for (int shift = 24; shift >= 0; shift -= 8)
            room[shortest.len++] = (char)(count >> shift);
    }
    memmove(head + shortest.len, head + GAP_BYTES, body);
    memcpy(head, room, shortest.len);
    out->len = at + shortest.len + body;
}

/* A string from its first byte behind the quotes; gives the byte behind them. */
static const char *string_put(struct builder *out, const char *at, const char *end) {
    const char *close = at;
    bool escaped = false;
    for (; close < end && *close != '"'; close++)
        if (*close == '\\') {
            escaped = true;
            close++;
        }
    CHECK(close < end, "a payload is no JSON");
    if (!escaped) {
        msgpack_put_str(out, span_of(at, (size_t)(close - at)));
        return close + 1;
    }
    size_t gap = out->len;
    builder_bytes(out, "\0\0\0\0", GAP_BYTES);
    while (at < close) {
        const char *stop = memchr(at, '\\', (size_t)(close - at));
        builder_bytes(out, at, (size_t)((stop == NULL ? close : stop) - at));
        at = stop == NULL ? close : escape_put(out, stop + 1, close);
    }
    gap_close(out, gap, 0xDB, (uint32_t)(out->len - gap - GAP_BYTES));
    return close + 1;
}

/* As it was written. False: it is none, or longer than 64 bits. */
static bool whole_put(struct builder *out, struct span number) {
    bool minus = number.at[0] == '-';
    uint64_t value = 0;
    for (size_t i = minus; i < number.len; i++) {
        unsigned digit = (unsigned char)number.at[i] - (unsigned)'0';
        if (digit > 9 || value > (uint64_t)INT64_MAX / 10 ||
            value * 10 + digit > (uint64_t)INT64_MAX)
            return false;
        value = value * 10 + digit;
    }
    msgpack_put_integer(out, minus ? -(int64_t)value : (int64_t)value);
    return true;
}

/* A number longer than this is read by its front: there are no digits behind it that count. */
#define NUMBER_BYTES_MAX 511

static void number_put(struct builder *out, struct span number) {
    char text[NUMBER_BYTES_MAX + 1];
    if (whole_put(out, number))
        return;
    size_t len = number.len < NUMBER_BYTES_MAX ? number.len : NUMBER_BYTES_MAX;
    memcpy(text, number.at, len);
    text[len] = '\0';
    double value = strtod(text, NULL);
    if (fabs(value) <= 9007199254740992.0 && value == floor(value))
        msgpack_put_integer(out, (int64_t)value);
    else
        msgpack_put_real(out, value);
}

static bool is_of_number(char c) {
    return (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

/* A value that is neither a string nor nested; gives the byte behind it. */
static const char *word_put(struct builder *out, const char *at, const char *end) {
    if (*at == 't' || *at == 'f') {
        msgpack_put_bool(out, *at == 't');
        return at + (*at == 't' ? 4 : 5);
    }
    if (*at == 'n') {
        msgpack_put_nil(out);
        return at + 4;
    }
    const char *stop = at;
    while (stop < end && is_of_number(*stop))
        stop++;
    CHECK(stop != at, "a payload is no JSON");
    number_put(out, span_of(at, (size_t)(stop - at)));
    return stop;
}

void msgpack_from_json(struct span json, struct builder *out) {
    struct nest nests[JSON_DEPTH_MAX + 1];
    unsigned depth = 0;
    const char *at = json.at, *end = json.at + json.len;
    while (at < end) {
        char c = *at;
        struct nest *in = depth == 0 ? NULL : &nests[depth - 1];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',' || c == ':') {
            at++;
            continue;
        }
        if (c == ']' || c == '}') {
            CHECK(in != NULL, "a payload is no JSON");
            gap_close(out, in->at, in->is_object ? 0xDF : 0xDD,
                      in->is_object ? in->count / 2 : in->count);
            depth--;
            at++;
            continue;
        }
        if (in != NULL)
            in->count++;
        if (c == '[' || c == '{') {
            CHECK(depth < sizeof(nests) / sizeof(nests[0]), "a payload is nested too deep");
            nests[depth++] = (struct nest){.at = out->len, .is_object = c == '{'};
            builder_bytes(out, "\0\0\0\0", GAP_BYTES);
            at++;
        } else {
            at = c == '"' ? string_put(out, at + 1, end) : word_put(out, at, end);
        }
    }
}
