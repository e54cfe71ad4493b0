/* recorder.h - the last things that happened on a worker, for the report of a broken invariant.
 *
 * Threads: its worker's, and a signal handler there. Limits: RECORDER_EVENTS, then the oldest is
 * written over. Zeroed it is empty. */
#ifndef RINGPOST_CORE_RECORDER_H
#define RINGPOST_CORE_RECORDER_H

#include "core/base/builder.h"

#define RECORDER_EVENTS 256

struct recorder_event {
    uint64_t at_ns;
    uint64_t tag; /* of the operation, or what a mail has in its place */
    int32_t result;
    uint32_t what; /* 0: completion, otherwise mail kind */
};

struct recorder {
    struct recorder_event events[RECORDER_EVENTS];
    uint32_t noted; /* in all */
};

void recorder_note(struct recorder *recorder, uint64_t now_ns, uint64_t tag, int32_t result,
                   uint32_t what);
/* Writes the last ones, the newest first, as many as fit: operation or mail, slot, generation,
 * result, and how many microseconds ago ("SEND 7.2=512@30"). May be called in a signal handler. */
void recorder_tell(const struct recorder *recorder, uint64_t now_ns, struct builder *out);

#endif
