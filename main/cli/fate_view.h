/* fate_view.h - what has become of a message that is to be acknowledged, in words: for `ringpost
 * fate` and `ringpost push --ack`.
 *
 * Over what a server sent (answer.h): a word that is none of the four is shown as it came, harmless
 * (terminal.h), and means nothing.
 *
 * Threads: the main thread. Owns nothing. */
#ifndef RINGPOST_MAIN_CLI_FATE_VIEW_H
#define RINGPOST_MAIN_CLI_FATE_VIEW_H

#include "core/base/span.h"

#include <stdio.h>

/* A sentence; NULL: no such fate. `reason` is that of a dropped one, "" if none is given. */
const char *fate_meaning(const char *state, const char *reason);

/* Prints each client id of the `to` of a fate or a result on a line of its own, with its word;
 * nothing if there are fewer than `count_min`. Returns false if it is no object. */
bool fate_print_ids(FILE *out, struct span to, unsigned count_min);

#endif
