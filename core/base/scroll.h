/* scroll.h - text that grows while it is written: for answers that somebody asks for once in a
 * while (presence, statistics, metrics), never for a message.
 *
 *   if (scroll_room(&scroll, 64)) { builder_u64(&scroll.out, n); ... }
 *
 * Room is asked for before something is written; without memory the scroll is `failed` from then on
 * and takes nothing more, so one look at the end is enough. Its memory is not accounted; what is
 * kept beyond a turn is accounted by who keeps it.
 *
 * Threads: the caller's. Owns: its memory, until scroll_free or scroll_take. */
#ifndef RINGPOST_CORE_BASE_SCROLL_H
#define RINGPOST_CORE_BASE_SCROLL_H

#include "core/base/builder.h"

struct scroll {
    struct builder out;
    bool failed;
};

static inline struct scroll scroll_empty(void) {
    return (struct scroll){.out = {NULL, 0, 0, false}, .failed = false};
}
/* Makes room for so many bytes more (and one for builder_format). False: there is no memory. */
bool scroll_room(struct scroll *scroll, size_t bytes);
void scroll_free(struct scroll *scroll);
/* Hands its memory over to the caller, who frees it; `*len` bytes of text. NULL if it failed or is
 * empty. */
char *scroll_take(struct scroll *scroll, size_t *len);

/* `"name":`, with a comma before it unless it is the first in its object; the value follows. */
void json_key(struct builder *out, const char *name);
void json_key_text(struct builder *out, const char *name, struct span value);
void json_key_u64(struct builder *out, const char *name, uint64_t value);
/* A comma, unless the list or object has just begun. */
void json_comma(struct builder *out);

#endif
