/* ref.h - the name that a client gives to a line, which the answer to it repeats.
 *
 * Threads: any (pure functions). Owns nothing: spans point into the object. */
#ifndef RINGPOST_PROTO_TEXT_REF_H
#define RINGPOST_PROTO_TEXT_REF_H

#include "core/base/span.h"
#include "proto/text/json.h"

/* A ref is a number or a string of at most so many bytes; as JSON it may be written this long. */
#define REF_BYTES_MAX 64
#define REF_JSON_BYTES_MAX (2 + 6 * REF_BYTES_MAX)

/* Is the value a ref? NULL, or what is wrong with it, to be put behind "ref". */
const char *ref_check(const struct json_value *value);
/* The ref of an object that may be wrong in any other way; empty if there is none to echo. */
struct span ref_find(struct span object);

#endif
