/* suggest.h - what somebody who misspelt a word most likely meant. Pure. Threads: any. */
#ifndef RINGPOST_MAIN_SUGGEST_H
#define RINGPOST_MAIN_SUGGEST_H

#include "core/base/span.h"

/* Words longer than this are never misspellings of ours. */
#define SUGGEST_BYTES_MAX 40

/* The candidate nearest to `word` (letters added, left out, changed or swapped), or NULL when none
 * is near enough to be worth saying. `candidate(n)` gives the n-th word and NULL after the last. */
const char *suggest(struct span word, const char *(*candidate)(size_t n));

#endif
