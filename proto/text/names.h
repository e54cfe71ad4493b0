/* names.h - the text rules of the contract for what has a name, and lists of names.
 *
 * Each check returns NULL, or a constant that says what is wrong, to be put behind the name of the
 * field: "is longer than 128 bytes". The text may be any bytes.
 *
 * Threads: any (pure functions). */
#ifndef RINGPOST_PROTO_TEXT_NAMES_H
#define RINGPOST_PROTO_TEXT_NAMES_H

#include "core/base/span.h"
#include "core/limits.h"

/* A client id or group: 1 to 128 bytes of UTF-8 without control characters, U+2028 and U+2029. */
const char *name_check(struct span text);
/* An event: the same, and none of the reserved words of Socket.IO. */
const char *event_check(struct span text);
/* A message id: 1 to 64 bytes of visible ASCII. */
const char *message_id_check(struct span text);

/* A set of names in room of the caller's: sorted by bytes, without repeats. */
struct name_list {
    struct span *at;
    unsigned count;
    unsigned max;
};

enum name_list_verdict { NAME_LIST_ADDED, NAME_LIST_HAD_IT, NAME_LIST_FULL };

/* Puts the name where it belongs. The span is kept, its bytes are not copied. */
enum name_list_verdict name_list_add(struct name_list *list, struct span name);

#endif
