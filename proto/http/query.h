/* query.h - the parameters of a request's query.
 *
 * Names and values are percent-decoded (`+` is a space). A parameter that is not known, comes twice
 * or is not well-formed is refused by name.
 *
 * Threads: any (pure functions). Owns nothing: values point into the query or into `texts`. */
#ifndef RINGPOST_PROTO_HTTP_QUERY_H
#define RINGPOST_PROTO_HTTP_QUERY_H

#include "core/base/builder.h"
#include "proto/text/complaint.h"

struct query_field {
    const char *name;
    bool given;
    struct span value;
};

/* Reads the whole query into the fields that may be there. False: `complaint`. */
bool query_read(struct span query, struct builder *texts, struct query_field *fields, size_t count,
                struct complaint *complaint);

enum query_step { QUERY_END, QUERY_PARAMETER, QUERY_BAD };
/* The next parameter, for who takes any name; BAD: `complaint`. */
enum query_step query_step(struct span *rest, struct builder *texts, struct span *name,
                           struct span *value, struct complaint *complaint);

/* "parameter "name" `wrong`", a BAD_MESSAGE; for who takes any name. */
void query_complain(struct complaint *complaint, struct span name, const char *wrong);

/* Values; false: `complaint` about the field. */
bool query_bool(const struct query_field *field, bool *value, struct complaint *complaint);
/* A whole number, `min` to `max`. */
bool query_u64(const struct query_field *field, uint64_t min, uint64_t max, uint64_t *value,
               struct complaint *complaint);
/* Seconds, fractions allowed, 0 to `max`. */
bool query_seconds(const struct query_field *field, uint64_t max_s, uint64_t *ns,
                   struct complaint *complaint);
/* The number of a namespace (core/namespaces.h), that of `/` if none is given. */
bool query_namespace(const struct query_field *field, unsigned *number,
                     struct complaint *complaint);

#endif
