/* answer.h - picks single values out of JSON that a server sent.
 *
 * Over proto/text/json: everything is looked at where it stands, nothing is built. A text that is
 * no JSON, or of another shape than asked for, has simply no such value: the commands show "-" for
 * it, so they live with newer and older servers. Deep texts are bounded by the codec, long ones by
 * who received them; one call reads its text at most once.
 *
 * Threads: any. Owns nothing: spans point into the text. */
#ifndef RINGPOST_MAIN_CLI_ANSWER_H
#define RINGPOST_MAIN_CLI_ANSWER_H

#include "proto/text/json.h"

/* The value at "a" or "a.b", as it is written; `at` is NULL if there is none. `object`
 * must be JSON (json_scan). */
struct span answer_at(struct span object, const char *path);

/* A string value decoded into `text` with a NUL, cut if too long; false if it is no string. */
bool answer_text(struct span value, char *text, size_t cap);

/* A number value. */
bool answer_number(struct span value, double *out);

/* Before the first element of an array, for json_array_next; of anything else there is none. */
struct json_cursor answer_elements(struct span array);

#endif
