/* toy_engine.h - what speaks on Engine.IO sessions in tests: it sends back what begins with an `e`,
 * and has a session of the core in a namespace of its own, whose messages (toy_form.h) the client
 * gets as packets of its own. What else it is told to do is the first letter of a message:
 *
 *     s  says a message to all toy sessions      p  takes no more for TOY_ENGINE_PAUSE_NS
 *     f  finishes                                c  closes
 *
 * Threads: the session's worker. Owns: nothing. */
#ifndef RINGPOST_TESTS_TOYS_TOY_ENGINE_H
#define RINGPOST_TESTS_TOYS_TOY_ENGINE_H

#include "proto/web/eio/engine.h"

#define TOY_ENGINE_PAUSE_NS (20 * NS_PER_MS)

extern const struct engine_app toy_engine_app;

#endif
