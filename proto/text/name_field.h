/* name_field.h - a field of an object that holds names: a string, or a list of strings.
 *
 * Repeats collapse; what is left is at most list->max entries, and at least one unless the field
 * may be empty.
 *
 * Threads: any (pure functions). */
#ifndef RINGPOST_PROTO_TEXT_NAME_FIELD_H
#define RINGPOST_PROTO_TEXT_NAME_FIELD_H

#include "core/base/builder.h"
#include "proto/text/complaint.h"
#include "proto/text/json.h"
#include "proto/text/names.h"

/* What a field wants of its strings. */
struct name_field {
    struct span name;
    const char *(*check)(struct span text); /* name_check and its like */
    bool may_be_empty;                      /* a list of nothing is one */
};

/* The text of a string field, checked; in place or in `texts`. False: `complaint`. */
bool name_field_string(const struct name_field *field, const struct json_value *value,
                       struct builder *texts, struct span *text, struct complaint *complaint);

/* Adds the entries of a list field to the list. `json` (may be NULL) gets the list as JSON, each
 * entry as it was written, repeats and blanks left out. False: `complaint`. */
bool name_field_list(const struct name_field *field, const struct json_value *value,
                     struct builder *texts, struct name_list *list, struct builder *json,
                     struct complaint *complaint);

/* The same for a field that is a name or a list; `json` gets only a list. */
bool name_field_names(const struct name_field *field, const struct json_value *value,
                      struct builder *texts, struct name_list *list, struct builder *json,
                      struct complaint *complaint);

#endif
