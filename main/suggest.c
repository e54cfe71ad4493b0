/* suggest.c - see suggest.h. */
#include "main/suggest.h"

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Optimal string alignment distance: insertions, deletions, changes and swaps of neighbours. */
static size_t distance(struct span a, struct span b) {
    size_t rows[3][SUGGEST_BYTES_MAX + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    for (size_t j = 0; j <= b.len; j++)
        last[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        now[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t cost = a.at[i - 1] == b.at[j - 1] ? 0 : 1;
            now[j] = least(least(last[j] + 1, now[j - 1] + 1), last[j - 1] + cost);
            if (i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1])
                now[j] = least(now[j], before[j - 2] + 1);
        }
        size_t *spare = before;
        before = last;
        last = now;
        now = spare;
    }
    return last[b.len];
}

const char *suggest(struct span word, const char *(*candidate)(size_t n)) {
    if (word.len < 2 || word.len > SUGGEST_BYTES_MAX)
        return NULL;
    const char *best = NULL;
    size_t best_distance = word.len <= 4 ? 2 : word.len <= 7 ? 3 : 4; /* one more than accepted */
    const char *text;
    for (size_t n = 0; (text = candidate(n)) != NULL; n++) {
        struct span other = span_text(text);
        if (other.len > SUGGEST_BYTES_MAX)
            continue;
        size_t d = distance(word, other);
        if (d < best_distance) {
            best_distance = d;
            best = text;
        }
    }
    return best;
}
