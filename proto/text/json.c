/* json.c - see json.h.
 *
 * Every scan_ function takes the place where its token begins and returns the place behind it, or
 * NULL after it has set the cursor's error. Nested arrays and objects are one loop: what is open
 * stands in a word, one bit each. */
#include "proto/text/json.h"

#include "proto/text/hex.h"
#include "proto/text/json_blanks.h"
#include "proto/text/utf8.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define FEW_BLANKS 16

_Static_assert(JSON_DEPTH_MAX <= 64, "what is open is kept in one word");

static __attribute__((cold)) const char *scan_fail(struct json_cursor *cursor, const char *at,
                                                   const char *text) {
    cursor->error = (struct json_error){text, (size_t)(at - cursor->start), false};
    return NULL;
}

static __attribute__((cold)) const char *scan_truncated(struct json_cursor *cursor,
                                                        const char *text) {
    cursor->error = (struct json_error){text, (size_t)(cursor->end - cursor->start), true};
    return NULL;
}

/* Between most tokens there are a few. */
static inline const char *skip_blanks(const char *at, const char *end) {
    for (unsigned i = 0; at != end && json_is_blank(*at); i++, at++)
        if (i == FEW_BLANKS)
            return json_blanks_end(at, end);
    return at;
}

/* To the first byte in a string that is not simply part of it: quote, backslash, control, not
 * ASCII. */
static inline const char *skip_plain(const char *at, const char *end) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    const __m128i control = _mm_set1_epi8(0x1F);
    while (end - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i stop = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash));
        stop = _mm_or_si128(stop, _mm_cmpeq_epi8(_mm_min_epu8(bytes, control), bytes));
        /* The mask takes the top bits, which is where bytes that are not ASCII differ. */
        unsigned mask = (unsigned)_mm_movemask_epi8(_mm_or_si128(stop, bytes));
        if (mask != 0)
            return at + __builtin_ctz(mask);
        at += 16;
    }
#endif
    while (at != end && (unsigned char)*at >= 0x20 && (unsigned char)*at < 0x80 && *at != '"' &&
           *at != '\\')
        at++;
    return at;
}

static const char *scan_escape(struct json_cursor *cursor, const char *at) {
    const char *end = cursor->end, *escape = at++;
    if (at == end)
        return scan_truncated(cursor, "the text ends inside an escape");
    switch (*at++) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return at;
    case 'u':
        for (int i = 0; i < 4; i++, at++) {
            if (at == end)
                return scan_truncated(cursor, "the text ends inside an escape");
            if (hex_digit(*at) < 0)
                return scan_fail(cursor, escape, "\\u without four hex digits");
        }
        return at;
    default:
        return scan_fail(cursor, escape, "an escape that does not exist");
    }
}

static inline const char *scan_string(struct json_cursor *cursor, const char *at, bool *escaped) {
    const char *end = cursor->end;
    at++;
    for (;;) {
        at = skip_plain(at, end);
        if (at == end)
            return scan_truncated(cursor, "the text ends inside a string");
        unsigned char byte = (unsigned char)*at;
        if (byte == '"')
            return at + 1;
        if (byte == '\\') {
            *escaped = true;
            at = scan_escape(cursor, at);
            if (at == NULL)
                return NULL;
        } else if (byte >= 0x80) {
            do {
                int len = utf8_sequence(at, end);
                if (len == 0)
                    return scan_fail(cursor, at, "bad UTF-8");
                if (len < 0)
                    return scan_truncated(cursor, "the text ends inside a character");
                if (utf8_is_break(at))
                    cursor->breaks_grow += JSON_BREAK_BYTES - (size_t)len;
                at += len;
            } while (at != end && (unsigned char)*at >= 0x80);
        } else {
            return scan_fail(cursor, at, "a control character that is not escaped");
        }
    }
}

static inline bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

/* One digit or more. */
static const char *scan_digits(struct json_cursor *cursor, const char *at) {
    const char *end = cursor->end;
    if (at == end)
        return scan_truncated(cursor, "the text ends inside a number");
    if (!is_digit(*at))
        return scan_fail(cursor, at, "a number lacks a digit");
    while (at != end && is_digit(*at))
        at++;
    return at;
}

static const char *scan_number(struct json_cursor *cursor, const char *at) {
    const char *end = cursor->end;
    if (*at == '-')
        at++;
    const char *first = at;
    at = scan_digits(cursor, at);
    if (at == NULL)
        return NULL;
    if (*first == '0' && at - first > 1)
        return scan_fail(cursor, first, "a number with a leading zero");
    if (at != end && *at == '.') {
        at = scan_digits(cursor, at + 1);
        if (at == NULL)
            return NULL;
    }
    if (at != end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at != end && (*at == '+' || *at == '-'))
            at++;
        at = scan_digits(cursor, at);
    }
    return at;
}

static const char *scan_word(struct json_cursor *cursor, const char *at, struct span word) {
    for (size_t i = 0; i < word.len; i++, at++) {
        if (at == cursor->end)
            return scan_truncated(cursor, "the text ends inside a word");
        if (*at != word.at[i])
            return scan_fail(cursor, at, "a word that is none of true, false, null");
    }
    return at;
}

static inline enum json_kind kind_of(char first) {
    switch (first) {
    case '"':
        return JSON_STRING;
    case '{':
        return JSON_OBJECT;
    case '[':
        return JSON_ARRAY;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case 'n':
        return JSON_NULL;
    default:
        return first == '-' || is_digit(first) ? JSON_NUMBER : JSON_NONE;
    }
}

/* What is not an array or object. `at` is before the end. */
static inline const char *scan_scalar(struct json_cursor *cursor, const char *at,
                                      enum json_kind kind, bool *escaped) {
    switch (kind) {
    case JSON_STRING:
        return scan_string(cursor, at, escaped);
    case JSON_NUMBER:
        return scan_number(cursor, at);
    case JSON_TRUE:
        return scan_word(cursor, at, SPAN("true"));
    case JSON_FALSE:
        return scan_word(cursor, at, SPAN("false"));
    case JSON_NULL:
        return scan_word(cursor, at, SPAN("null"));
    default:
        return scan_fail(cursor, at, "a value is missing");
    }
}

/* A name and its colon, and on to the first byte of the value. `at` is before the end. */
static inline const char *scan_name(struct json_cursor *cursor, const char *at,
                                    struct json_value *key) {
    const char *end = cursor->end;
    if (*at != '"')
        return scan_fail(cursor, at, "a name in quotes is missing");
    key->escaped = false;
    const char *after = scan_string(cursor, at, &key->escaped);
    if (after == NULL)
        return NULL;
    key->kind = JSON_STRING;
    key->raw = span_of(at, (size_t)(after - at));
    at = skip_blanks(after, end);
    if (at == end)
        return scan_truncated(cursor, "the text ends inside an object");
    if (*at != ':')
        return scan_fail(cursor, at, "':' is missing");
    at = skip_blanks(at + 1, end);
    if (at == end)
        return scan_truncated(cursor, "the text ends inside an object");
    return at;
}

static const char *ends_inside(bool object) {
    return object ? "the text ends inside an object" : "the text ends inside an array";
}

/* A whole array or object in which `depth` others are open around it. */
static const char *scan_nested(struct json_cursor *cursor, const char *at, unsigned depth) {
    const char *end = cursor->end;
    uint64_t objects = 0; /* the lowest bit is the innermost: is it an object? */
    unsigned outer = depth;
    struct json_value key;
    bool escaped = false;

    for (;;) { /* at the first byte of a value */
        enum json_kind kind = kind_of(*at);
        bool closed = false;
        if (kind == JSON_OBJECT || kind == JSON_ARRAY) {
            if (depth == JSON_DEPTH_MAX)
                return scan_fail(cursor, at, "nested deeper than 64");
            depth++;
            bool object = kind == JSON_OBJECT;
            objects = objects << 1 | object;
            at = skip_blanks(at + 1, end);
            if (at == end)
                return scan_truncated(cursor, ends_inside(object));
            closed = *at == (object ? '}' : ']');
            if (!closed) {
                if (object && (at = scan_name(cursor, at, &key)) == NULL)
                    return NULL;
                continue;
            }
        } else {
            at = scan_scalar(cursor, at, kind, &escaped);
            if (at == NULL)
                return NULL;
        }
        for (;;) { /* behind a value, or at the bracket that closes an empty one */
            bool object = (objects & 1) != 0;
            if (!closed) {
                at = skip_blanks(at, end);
                if (at == end)
                    return scan_truncated(cursor, ends_inside(object));
                if (*at == ',') {
                    at = skip_blanks(at + 1, end);
                    if (at == end)
                        return scan_truncated(cursor, ends_inside(object));
                    if (object && (at = scan_name(cursor, at, &key)) == NULL)
                        return NULL;
                    break;
                }
                if (*at != (object ? '}' : ']'))
                    return scan_fail(cursor, at,
                                     object ? "',' or '}' is missing" : "',' or ']' is missing");
            }
            closed = false;
            at++;
            objects >>= 1;
            if (--depth == outer)
                return at;
        }
    }
}

/* Any value; `at` is before the end. */
static inline const char *scan_value(struct json_cursor *cursor, const char *at, unsigned depth,
                                     struct json_value *value) {
    size_t grown = cursor->breaks_grow;
    value->kind = kind_of(*at);
    value->escaped = false;
    const char *after = value->kind == JSON_OBJECT || value->kind == JSON_ARRAY
                            ? scan_nested(cursor, at, depth)
                            : scan_scalar(cursor, at, value->kind, &value->escaped);
    if (after != NULL)
        value->raw = span_of(at, (size_t)(after - at));
    value->breaks_grow = cursor->breaks_grow - grown;
    return after;
}

/* Only blanks may follow. */
static void scan_end(struct json_cursor *cursor, const char *at) {
    cursor->place = JSON_AFTER;
    cursor->at = skip_blanks(at, cursor->end);
    if (cursor->at != cursor->end)
        scan_fail(cursor, cursor->at, "something follows the value");
}

bool json_has_mark(struct span text) {
    return span_starts(text, SPAN("\xEF\xBB\xBF")) || span_starts(text, SPAN("\xFF\xFE")) ||
           span_starts(text, SPAN("\xFE\xFF"));
}

enum json_kind json_open(struct json_cursor *cursor, struct span text) {
    if (text.at == NULL)
        text = SPAN("");
    cursor->start = text.at;
    cursor->end = text.at + text.len;
    cursor->error = (struct json_error){NULL, 0, false};
    cursor->place = JSON_BEFORE;
    cursor->depth = 1;
    cursor->breaks_grow = 0;
    cursor->at = skip_blanks(cursor->start, cursor->end);
    if (cursor->at == cursor->end) {
        scan_truncated(cursor, "there is no value");
        return JSON_NONE;
    }
    enum json_kind kind = kind_of(*cursor->at);
    if (kind == JSON_NONE)
        scan_fail(cursor, cursor->at,
                  json_has_mark(text) ? "a byte order mark" : "a value is missing");
    return kind;
}

enum json_kind json_open_apart(struct json_cursor *cursor, struct span text) {
    enum json_kind kind = json_open(cursor, text);
    cursor->depth = 0;
    return kind;
}

bool json_scan(struct span text, struct json_value *value, struct json_error *error) {
    struct json_cursor cursor;
    struct json_value whole;
    if (json_open(&cursor, text) != JSON_NONE) {
        const char *after = scan_value(&cursor, cursor.at, 0, &whole);
        if (after != NULL)
            scan_end(&cursor, after);
    }
    if (cursor.error.text != NULL) {
        *error = cursor.error;
        return false;
    }
    if (value != NULL)
        *value = whole;
    return true;
}

/* To the next member or element: its first byte, or NULL: there is none, or the error is set. */
static inline const char *cursor_step(struct json_cursor *cursor, bool object) {
    if (cursor->error.text != NULL || cursor->place == JSON_AFTER)
        return NULL;
    const char *end = cursor->end, *at = cursor->at;
    bool first = cursor->place == JSON_BEFORE;
    at = skip_blanks(at + (first ? 1 : 0), end);
    if (at == end)
        return scan_truncated(cursor, ends_inside(object));
    if (*at == (object ? '}' : ']')) {
        scan_end(cursor, at + 1);
        return NULL;
    }
    if (first)
        return at;
    if (*at != ',')
        return scan_fail(cursor, at, object ? "',' or '}' is missing" : "',' or ']' is missing");
    at = skip_blanks(at + 1, end);
    return at == end ? scan_truncated(cursor, ends_inside(object)) : at;
}

static inline bool cursor_take(struct json_cursor *cursor, const char *at,
                               struct json_value *value) {
    at = scan_value(cursor, at, cursor->depth, value);
    if (at == NULL)
        return false;
    cursor->place = JSON_INSIDE;
    cursor->at = at;
    return true;
}

bool json_object_next(struct json_cursor *cursor, struct json_value *key,
                      struct json_value *value) {
    const char *at = cursor_step(cursor, true);
    if (at != NULL)
        at = scan_name(cursor, at, key);
    return at != NULL && cursor_take(cursor, at, value);
}

bool json_array_next(struct json_cursor *cursor, struct json_value *value) {
    const char *at = cursor_step(cursor, false);
    return at != NULL && cursor_take(cursor, at, value);
}

bool json_blanks_pass(struct json_cursor *cursor, size_t max_bytes) {
    if (cursor->error.text != NULL || cursor->place == JSON_AFTER)
        return false;
    /* Before the first element it stands at what precedes it. */
    const char *at = cursor->at + (cursor->place == JSON_BEFORE);
    const char *end = (size_t)(cursor->end - at) > max_bytes ? at + max_bytes : cursor->end;
    const char *after = json_blanks_end(at, end);
    cursor->at += after - at;
    return after == end && end != cursor->end;
}

/* The next member, or the next element where there is no key. */
static bool next(struct json_cursor *cursor, struct json_value *key, struct json_value *value) {
    return key != NULL ? json_object_next(cursor, key, value) : json_array_next(cursor, value);
}

/* Takes the text for one that ends at `window`; what could go on behind that is over. */
static bool next_before(struct json_cursor *cursor, const char *window, struct json_value *key,
                        struct json_value *value, bool *over) {
    const char *end = cursor->end;
    cursor->end = window;
    bool there = next(cursor, key, value);
    cursor->end = end;
    if (there)
        *over = value->raw.at + value->raw.len == window;
    else if (cursor->error.text != NULL)
        *over = cursor->error.truncated;
    else
        *over = cursor->at == window;
    return there;
}

static bool next_within(struct json_cursor *cursor, size_t max_bytes, struct json_value *key,
                        struct json_value *value, bool *over) {
    *over = false;
    if ((size_t)(cursor->end - cursor->at) <= max_bytes)
        return next(cursor, key, value);
    struct json_cursor before = *cursor;
    bool there = next_before(cursor, cursor->at + max_bytes, key, value, over);
    if (!*over)
        return there;
    /* Are there blanks among it? */
    *cursor = before;
    struct span rest = span_of(cursor->at, (size_t)(cursor->end - cursor->at));
    const char *window = json_dense_end(rest, max_bytes);
    *over = false;
    if (window == cursor->end)
        return next(cursor, key, value);
    there = next_before(cursor, window, key, value, over);
    if (!*over)
        return there;
    cursor->error.text = NULL;
    cursor->place = JSON_AFTER;
    return false;
}

bool json_array_next_within(struct json_cursor *cursor, size_t max_bytes, struct json_value *value,
                            bool *over) {
    return next_within(cursor, max_bytes, NULL, value, over);
}

bool json_object_next_within(struct json_cursor *cursor, size_t max_bytes, struct json_value *key,
                             struct json_value *value, bool *over) {
    *key = (struct json_value){.kind = JSON_NONE};
    return next_within(cursor, max_bytes, key, value, over);
}

bool json_find(struct span object, const char *name, struct json_value *value) {
    struct json_cursor cursor;
    struct json_value key;
    if (json_open(&cursor, object) != JSON_OBJECT)
        return false;
    while (json_object_next(&cursor, &key, value)) {
        if (!key.escaped && span_equal(json_inside(&key), span_text(name)))
            return true;
    }
    return false;
}
