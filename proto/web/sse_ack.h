/* sse_ack.h - the body of POST /events/ack: {"session":"0-1a-3","ids":["m1","m2"]}.
 *
 * Other fields are ignored. A session that no node can have made is one that is not there, and not
 * wrong.
 *
 * Threads: any (pure functions). Owns nothing: spans point into the body or into the room. */
#ifndef RINGPOST_PROTO_WEB_SSE_ACK_H
#define RINGPOST_PROTO_WEB_SSE_ACK_H

#include "proto/client/line.h"

struct sse_ack {
    struct span session;  /* as it was written */
    struct name_list ids; /* 1 to LINE_NAMES_MAX message ids */
};

/* False: `complaint`. */
bool sse_ack_parse(struct span body, struct line_scratch *room, struct sse_ack *ack,
                   struct complaint *complaint);

#endif
