/* complaint.h - what is wrong with something that a peer sent, and where: what every parser of
 * messages and lines fills when it refuses.
 *
 * `text` is a sentence for people, in one line: it names the field, the entry of a list, or the
 * byte. It may quote the peer's own words (the name of an unknown field), cut and as they were
 * written.
 *
 * Threads: the caller's. Owns: its text; it points nowhere. Limits: what does not fit is cut, never
 * in the middle of a UTF-8 sequence. */
#ifndef RINGPOST_PROTO_TEXT_COMPLAINT_H
#define RINGPOST_PROTO_TEXT_COMPLAINT_H

#include "core/base/span.h"
#include "proto/text/codes.h"

#define COMPLAINT_FIELD_BYTES 65
#define COMPLAINT_TEXT_BYTES 192

struct json_error;

struct complaint {
    enum code code;
    size_t offset;                     /* BAD_JSON only: bytes from the start of the text */
    char field[COMPLAINT_FIELD_BYTES]; /* ends in NUL; empty: it is about no one field */
    char text[COMPLAINT_TEXT_BYTES];   /* ends in NUL */
};

/* Fills it in; `field` may be empty. */
void complaint_make(struct complaint *complaint, enum code code, struct span field,
                    const char *format, ...) __attribute__((format(printf, 4, 5), cold));
/* BAD_JSON with the scanner's reason and offset. */
void complaint_json(struct complaint *complaint, const struct json_error *error)
    __attribute__((cold));

#endif
