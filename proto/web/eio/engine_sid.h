/* engine_sid.h - the id of an Engine.IO session: 15 bytes in 20 characters of A-Z a-z 0-9 _ -.
 *
 *   2 bytes  node     the first of the run of its node (sid_node)
 *   1 byte   worker   where the session lives
 *   3 bytes  slot     of that worker
 *   9 bytes  random   which nobody can guess; compared in constant time
 *
 * To clients it is opaque. Threads: any (pure functions). */
#ifndef RINGPOST_PROTO_WEB_EIO_ENGINE_SID_H
#define RINGPOST_PROTO_WEB_EIO_ENGINE_SID_H

#include "core/base/span.h"

#define SID_BYTES 15
#define SID_TEXT_BYTES 20
#define SID_RANDOM_BYTES 9
#define SID_SLOT_MAX ((1u << 24) - 1)

struct sid {
    uint16_t node;
    uint8_t worker;
    uint32_t slot; /* at most SID_SLOT_MAX */
    uint8_t random[SID_RANDOM_BYTES];
};

void sid_write(const struct sid *sid, char text[SID_TEXT_BYTES]);
/* False: it is none. */
bool sid_read(struct span text, struct sid *sid);
/* What stands for the node of that run, which is in hexadecimal. */
uint16_t sid_node(const char *run);
/* Are the random parts the same? In constant time. */
bool sid_random_same(const uint8_t *a, const uint8_t *b);

#endif
