/* fate_text.h - a fate as it is told, in JSON.
 *
 * What is told of one is of one moment: it is looked at once (fate_view), and written from that.
 *
 * Threads: any, of a fate that is held. Owns nothing. Never allocates. */
#ifndef RINGPOST_INGEST_GATE_FATE_TEXT_H
#define RINGPOST_INGEST_GATE_FATE_TEXT_H

#include "core/base/builder.h"
#include "core/fates.h"

struct fate_view {
    enum fate_state state; /* of the whole */
    enum fate_reason reason;
    uint64_t settled_ms; /* 0: it is not */
    uint8_t states[ADDRESSES_PER_MESSAGE_MAX];
};

void fate_look_at(const struct fate *fate, struct fate_view *view);

/* `{"till-1":"acked",…}`: what has become of each address. */
void fate_to_write(const struct fate *fate, const struct fate_view *view, struct builder *out);
/* Bytes that it needs at the most; the same for a message to so many. */
size_t fate_to_bytes(const struct fate *fate);
size_t fate_to_bytes_of(const struct span *to, unsigned count);

/* The object of GET /v1/messages/{id}, and the bytes that it needs at the most. */
void fate_write(const struct fate *fate, struct builder *out);
size_t fate_bytes_max(const struct fate *fate);

#endif
