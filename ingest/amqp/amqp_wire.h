/* amqp_wire.h - what a content header of AMQP 0-9-1 says: the properties of a delivery, and the
 * values of its table of headers, read in place.
 *
 * Only the outermost table and the elements of an array are walked; what is nested deeper is passed
 * over by its length, so no depth costs stack or time. Types are those that RabbitMQ writes ('s' is
 * a signed number of 16 bits, 'l' a signed one of 64).
 *
 * Threads: any (pure functions). Owns nothing: every span points into the bytes. Limits: none but
 * the length. Never allocates, never reads past the end. */
#ifndef RINGPOST_INGEST_AMQP_AMQP_WIRE_H
#define RINGPOST_INGEST_AMQP_AMQP_WIRE_H

#include "core/base/builder.h"
#include "core/base/span.h"

/* What a delivery says of itself; those that are not there are empty. */
struct amqp_properties {
    struct span content_type;
    struct span content_encoding;
    struct span headers; /* the entries of the table, for amqp_table_next */
    struct span correlation_id;
    struct span reply_to;
    struct span expiration;
    struct span message_id;
    struct span type;
};

/* Reads what stands behind the body's size in a content header: flags and properties. False: it is
 * no such thing. */
bool amqp_properties_read(struct span raw, struct amqp_properties *properties);

enum amqp_kind {
    AMQP_BOOLEAN = 't',
    AMQP_I8 = 'b',
    AMQP_U8 = 'B',
    AMQP_I16 = 's',
    AMQP_U16 = 'u',
    AMQP_I32 = 'I',
    AMQP_U32 = 'i',
    AMQP_I64 = 'l',
    AMQP_I64_TOO = 'L', /* of the standard; RabbitMQ reads it signed, too */
    AMQP_F32 = 'f',
    AMQP_F64 = 'd',
    AMQP_DECIMAL = 'D',
    AMQP_STRING = 'S',
    AMQP_ARRAY = 'A',
    AMQP_TIMESTAMP = 'T',
    AMQP_TABLE = 'F',
    AMQP_VOID = 'V',
    AMQP_BYTES = 'x',
};

struct amqp_value {
    enum amqp_kind kind;
    struct span bytes; /* of the value, without the length that some have in front */
};

enum amqp_step { AMQP_STEP_NEXT, AMQP_STEP_END, AMQP_STEP_BAD };

/* The next entry of a table, or element of an array, taken off the front of `rest`. */
enum amqp_step amqp_table_next(struct span *rest, struct span *name, struct amqp_value *value);
enum amqp_step amqp_array_next(struct span *rest, struct amqp_value *value);

/* The first entry of that name, in a table that may be broken behind it. False: there is none. */
bool amqp_table_find(struct span table, struct span name, struct amqp_value *value);

/* The text of a number, as JSON has it, with its NUL; at most AMQP_NUMBER_BYTES. False: the value
 * is no number, or one that JSON has not (infinite). */
#define AMQP_NUMBER_BYTES 40
bool amqp_number_text(const struct amqp_value *value, char text[AMQP_NUMBER_BYTES]);
/* A whole number from 0 on. False: it is none. */
bool amqp_number_u64(const struct amqp_value *value, uint64_t *number);

/* --- writing ---------------------------------------------------------------------------------- */

/* The content header of an answer in JSON; what is empty is left out. */
struct amqp_answer {
    struct span correlation_id, message_id, type;
    bool is_persistent;
};
#define AMQP_ANSWER_BYTES 1024
void amqp_answer_write(struct builder *out, const struct amqp_answer *answer);

/* Why a delivery was refused, as headers say it. */
struct amqp_refusal {
    struct span code, text, field, queue;
    bool has_offset;
    uint64_t offset;
    uint64_t time_s; /* since 1970 */
};
/* So many bytes more than the original's header it takes at most. */
#define AMQP_REFUSAL_BYTES 1536
/* The content header of a delivery again, with that in its table of headers, where it stands in the
 * place of what had its names. `keeps` false: without its other headers. Of a header that cannot be
 * read only the refusal is left. */
void amqp_refusal_write(struct builder *out, struct span raw, const struct amqp_refusal *refusal,
                        bool keeps);

#endif
