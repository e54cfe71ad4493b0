/* sim_text.h - growing text, and a small reader of JSON for what the node says.
 *
 * On purpose not the node's own code: a mistake made there must not repeat itself here.
 *
 * Threads: one. Owns: the bytes of a text. */
#ifndef RINGPOST_TESTS_SIM_SIM_TEXT_H
#define RINGPOST_TESTS_SIM_SIM_TEXT_H

#include "core/base/span.h"

struct text {
    char *at;
    size_t len, size;
};

void text_add(struct text *text, const void *at, size_t len);
void text_span(struct text *text, struct span span);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The string in quotes, escaped. */
void text_json(struct text *text, struct span plain);
/* Percent-encoded; everything but letters, digits, `-`, `.`, `_` and `~`. */
void text_percent(struct text *text, struct span plain);
void text_base64(struct text *text, struct span plain);
void text_drop_front(struct text *text, size_t count);
void text_free(struct text *text);
static inline struct span text_as_span(const struct text *text) {
    return span_of(text->at, text->len);
}

/* The raw text of the first JSON value in `from`, and what follows it; false: there is no whole
 * value. */
bool json_value(struct span from, struct span *value, struct span *rest);
/* A member of an object, raw. */
bool json_member(struct span object, const char *name, struct span *value);
/* The next element of an array: start with `rest` = the raw array. */
bool json_element(struct span *rest, bool *first, struct span *element);
/* The bytes of a string, unescaped; false: not a string, or it does not fit. */
bool json_string(struct span raw, char *out, size_t cap, size_t *len);
/* Is it that string? */
bool json_is(struct span raw, const char *text);
bool json_number(struct span raw, uint64_t *number);

#endif
