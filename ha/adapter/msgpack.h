/* msgpack.h - MessagePack, read in place and written into a builder; msgpack.c is the only file
 * that knows libmpack.
 *
 * A text is in one piece, so an item is a head, and for texts and bytes what it announces, which
 * must be there. Nothing is taken because it was announced: an array's length is only a number.
 * Whatever spelling a writer has chosen is read.
 *
 * To and from JSON, as a program in JavaScript would see it:
 *
 *   bin           base64, as a string
 *   ext           Date in both forms of notepack.io (type 0 with milliseconds, type -1): the text
 * of toISOString; `undefined`, and what else there is: null float         as many digits as it
 * takes; NaN and infinity: null map           keys are strings; whole numbers become such JSON
 * numbers  as whole ones where they are (up to 64 bits as written, 2^53 by value), or as double
 *
 * Threads: any (pure functions). Owns nothing: spans point into the text. Limits: JSON_DEPTH_MAX
 * levels between the two; the stack does not grow with them. */
#ifndef RINGPOST_HA_ADAPTER_MSGPACK_H
#define RINGPOST_HA_ADAPTER_MSGPACK_H

#include "core/base/builder.h"

enum msgpack_kind {
    MSGPACK_NIL,
    MSGPACK_BOOL,
    MSGPACK_NATURAL, /* zero or above */
    MSGPACK_NEGATIVE,
    MSGPACK_REAL,
    MSGPACK_STR, /* perhaps no UTF-8 */
    MSGPACK_BIN,
    MSGPACK_EXT,
    MSGPACK_ARRAY, /* `count` values follow */
    MSGPACK_MAP    /* `count` pairs of values follow */
};

struct msgpack_item {
    enum msgpack_kind kind;
    int ext_type;
    struct span bytes; /* STR, BIN, EXT */
    union {
        bool truth;
        uint64_t natural;
        int64_t negative;
        double real;
        uint32_t count;
    };
};

/* Takes the next item off the front. False: it is none, or ends early; `rest` is as it was. */
bool msgpack_next(struct span *rest, struct msgpack_item *item);
/* Takes a whole value off. */
bool msgpack_pass(struct span *rest);
/* A string that stands next; false: something else does, and is still there. */
bool msgpack_text(struct span *rest, struct span *text);

/* Each writes the shortest form. */
void msgpack_put_nil(struct builder *out);
void msgpack_put_bool(struct builder *out, bool truth);
void msgpack_put_natural(struct builder *out, uint64_t value);
void msgpack_put_integer(struct builder *out, int64_t value);
void msgpack_put_real(struct builder *out, double value);
void msgpack_put_str(struct builder *out, struct span text);
void msgpack_put_bin(struct builder *out, struct span bytes);
void msgpack_put_array(struct builder *out, uint32_t count);
void msgpack_put_map(struct builder *out, uint32_t count);
/* Before what they announce. At most so many bytes. */
#define MSGPACK_HEAD_BYTES 9

/* Takes a value off the front and writes it as JSON. NULL, or a constant that says what is wrong;
 * what does not fit sets out->full, and is no error. */
const char *msgpack_to_json(struct span *rest, struct builder *out);
/* Writes valid JSON. At most msgpack_json_bytes. */
void msgpack_from_json(struct span json, struct builder *out);
static inline size_t msgpack_json_bytes(size_t json_bytes) {
    /* A double is written in three bytes, an empty array in two; heads are moved when the end is
     * known.
     */
    return 3 * json_bytes + 512;
}

#endif
