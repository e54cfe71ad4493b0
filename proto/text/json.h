/* json.h - JSON (RFC 8259) read in place: nothing is built, nothing is copied.
 *
 * A text is one value with blanks around it: valid UTF-8, no byte order mark, arrays and objects at
 * most JSON_DEPTH_MAX deep. json_scan checks a whole text. A cursor walks the members of an object
 * or the elements of an array and checks as it goes, so that a text is read once:
 *
 *     struct json_cursor cursor;
 *     if (json_open(&cursor, text) != JSON_OBJECT) ...another value, or none
 *     while (json_object_next(&cursor, &key, &value)) ...
 *     if (cursor.error.text != NULL) ...not JSON, cursor.error says why and where
 *
 * U+0085, U+2028 and U+2029 may stand in a string, but line readers of some languages end a line
 * there. A value says how many bytes it grows by when they are written as escapes; counting them
 * costs nothing where all is ASCII.
 *
 * Only when the walk has come to its end is the text known to be right; what was handed out before
 * is right in itself. To go into a member that is an array or object, open another cursor on its
 * `raw`. Duplicate names, lone surrogates and U+0000 are JSON; whoever does not want them looks for
 * them.
 *
 * Threads: any (pure functions). Owns nothing: every span points into the text. Limits: the depth;
 * the stack does not grow with it. Never allocates, never reads past the end. */
#ifndef RINGPOST_PROTO_TEXT_JSON_H
#define RINGPOST_PROTO_TEXT_JSON_H

#include "core/base/builder.h"
#include "core/base/span.h"

#define JSON_DEPTH_MAX 64
#define JSON_BREAK_BYTES 6 /* of an escape like \u2028 */

enum json_kind {
    JSON_NONE, /* not the beginning of any value */
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

struct json_error {
    const char *text; /* a constant; NULL: nothing is wrong */
    size_t offset;    /* bytes from the start of the text to what is wrong */
    bool truncated;   /* right so far, more could make it whole; `offset` is the length */
};

struct json_value {
    struct span raw; /* as it was written, without blanks around; a string with its quotes */
    enum json_kind kind;
    bool escaped;       /* a string that holds at least one backslash */
    size_t breaks_grow; /* bytes that json_escape_breaks adds to it */
};

enum json_place { JSON_BEFORE, JSON_INSIDE, JSON_AFTER };

struct json_cursor {
    const char *start, *at, *end;
    struct json_error error; /* text NULL: nothing was wrong so far */
    enum json_place place;
    unsigned depth;     /* that members or elements begin at */
    size_t breaks_grow; /* of all that was walked */
};

/* Is the text one value? `value` (may be NULL) gets it; if false, `error` says what is wrong. */
bool json_scan(struct span text, struct json_value *value, struct json_error *error);

/* Stands before the first member or element. Returns what the text begins to be, by its first byte;
 * only JSON_ARRAY and JSON_OBJECT can be walked. For JSON_NONE the error is set. */
enum json_kind json_open(struct json_cursor *cursor, struct span text);
/* The same for an array of texts that stand alone: the array does not count for the depth of its
 * elements. */
enum json_kind json_open_apart(struct json_cursor *cursor, struct span text);
/* Does it begin with a byte order mark, of UTF-8 or UTF-16? */
bool json_has_mark(struct span text);
/* The next member; the key is a JSON_STRING. False: the object has ended and nothing but blanks
 * follows, or the error is set. */
bool json_object_next(struct json_cursor *cursor, struct json_value *key, struct json_value *value);
/* The next element, likewise. */
bool json_array_next(struct json_cursor *cursor, struct json_value *value);
/* Passes blanks in front of the next step, at most so many. True: there are more. */
bool json_blanks_pass(struct json_cursor *cursor, size_t max_bytes);
/* The next element, in a bounded time: if it takes `max_bytes` or more without its blanks, `*over`
 * is true, and the walk has ended without an error. */
#define JSON_WINDOW_BYTES_MIN 4 /* of `max_bytes` */
bool json_array_next_within(struct json_cursor *cursor, size_t max_bytes, struct json_value *value,
                            bool *over);
/* The next member, likewise; where it is over, `key` is the name, or JSON_NONE: it has not ended
 * either. */
bool json_object_next_within(struct json_cursor *cursor, size_t max_bytes, struct json_value *key,
                             struct json_value *value, bool *over);
/* Where in the cursor's text the value begins. */
static inline size_t json_offset(const struct json_cursor *cursor, const struct json_value *value) {
    return (size_t)(value->raw.at - cursor->start);
}

/* The first member of that name, written without escapes, of a valid object; for tools and cold
 * paths: it walks from the front each time. False: there is none. */
bool json_find(struct span object, const char *name, struct json_value *value);

/* A string without its quotes, escapes as they are. */
static inline struct span json_inside(const struct json_value *string) {
    return span_of(string->raw.at + 1, string->raw.len - 2);
}
/* Decodes the inside of a valid string. NULL, or a constant that says what it holds that it must
 * not: a lone surrogate, U+0000. The result is never longer than `inside`; what does not fit sets
 * out->full. */
const char *json_unescape(struct span inside, struct builder *out);
/* The characters of a string: in place if it holds no escape, otherwise decoded into `scratch`.
 * Returns like json_unescape, and also says when the scratch is full. */
const char *json_text(const struct json_value *string, struct builder *scratch, struct span *text);

/* A valid number that is a whole one, written without fraction and exponent, and fits. */
bool json_u64(struct span number, uint64_t *value);
/* A valid number of seconds in nanoseconds, exact and rounded up, so that only nothing is 0;
 * UINT64_MAX if it does not fit. False: below zero. */
bool json_seconds(struct span number, uint64_t *ns);

/* Is there nothing but blanks in a line of a text that has an object on each? Such are ignored. */
bool json_line_is_blank(struct span line);

/* Copies a valid text and writes U+0085, U+2028, U+2029 as escapes, so that no reader takes one for
 * the end of a line. */
void json_escape_breaks(struct span text, struct builder *out);
/* By how many bytes that makes a text of UTF-8 longer. */
size_t json_breaks_grow(struct span text);
/* How long builder_json_payload makes it. */
size_t json_quoted_len(struct span text);

#endif
