/* strbuf.h - text that grows while it is written: for answers that somebody asks for once in a
 * while (presence, statistics, metrics), never for a message.
 *
 *   if (strbuf_room(&strbuf, 64)) { builder_u64(&strbuf.out, n); ... }
 *
 * Room is asked for before something is written; without memory the strbuf is `failed` from then on
 * and takes nothing more, so one look at the end is enough. Its memory is not accounted; what is
 * kept beyond a turn is accounted by who keeps it.
 *
 * Threads: the caller's. Owns: its memory, until strbuf_free or strbuf_take. */
#ifndef RINGPOST_CORE_BASE_STRBUF_H
#define RINGPOST_CORE_BASE_STRBUF_H

#include "core/base/builder.h"

struct strbuf {
    struct builder out;
    bool failed;
};

static inline struct strbuf strbuf_empty(void) {
    return (struct strbuf){.out = {NULL, 0, 0, false}, .failed = false};
}
/* Makes room for so many bytes more (and one for builder_format). False: there is no memory. */
bool strbuf_room(struct strbuf *strbuf, size_t bytes);
void strbuf_free(struct strbuf *strbuf);
/* Hands its memory over to the caller, who frees it; `*len` bytes of text. NULL if it failed or is
 * empty. */
char *strbuf_take(struct strbuf *strbuf, size_t *len);

/* `"name":`, with a comma before it unless it is the first in its object; the value follows. */
void json_key(struct builder *out, const char *name);
void json_key_text(struct builder *out, const char *name, struct span value);
void json_key_u64(struct builder *out, const char *name, uint64_t value);
/* A comma, unless the list or object has just begun. */
void json_comma(struct builder *out);

#endif
