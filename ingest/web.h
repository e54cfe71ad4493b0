/* web.h - the `web` listener: browsers.
 *
 * This version serves GET /healthz and, with --demo, the page GET /. Every request with an Origin
 * that is neither its own host nor in --cors is refused; an allowed one is echoed, and every path
 * answers preflight.
 *
 * Threads: the connection's worker. */
#ifndef RINGPOST_INGEST_WEB_H
#define RINGPOST_INGEST_WEB_H

#include "core/protocol.h"

struct scroll;
struct worker;

extern const struct protocol web_protocol;

/* web_demo.c: a page that says what this node serves, with examples to paste. */
void web_demo_write(const struct worker *worker, struct scroll *scroll);

#endif
