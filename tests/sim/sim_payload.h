/* sim_payload.h - payloads of Engine.IO as its clients write and read them: packets in the bodies
 * of polls, of version 4, of version 3, and of version 3 by scripts (JSONP).
 *
 * A packet is text with its type in front; one of bytes is `b` and base64, in all forms. Several
 * stand in one text with PACKET_MARK between them.
 *
 * On purpose not the node's own code: a mistake made there must not repeat itself here.
 *
 * Threads: one. Owns nothing. */
#ifndef RINGPOST_TESTS_SIM_SIM_PAYLOAD_H
#define RINGPOST_TESTS_SIM_SIM_PAYLOAD_H

#include "tests/sim/sim_text.h"

#define PACKET_MARK '\x1e'

enum payload_form { PAYLOAD_4, PAYLOAD_3, PAYLOAD_JSONP };

/* What the target of a poll says of the form, from `EIO=` on. */
const char *payload_query(enum payload_form form);
/* The body of a POST with these packets. */
void payload_write(struct text *body, enum payload_form form, const char *packets);
/* The packets of an answer, each given to `take`. False: it is none. */
bool payload_read(enum payload_form form, const char *at, size_t len,
                  void (*take)(void *of, char *packet), void *of);

#endif
