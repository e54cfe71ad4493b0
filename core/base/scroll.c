#include "core/base/scroll.h"

#include "core/base/shortage.h"

#include <stdlib.h>

#define SCROLL_BYTES_MIN 1024

bool scroll_room(struct scroll *scroll, size_t bytes) {
    struct builder *out = &scroll->out;
    if (scroll->failed)
        return false;
    if (out->cap - out->len > bytes)
        return true;
    size_t cap = out->cap == 0 ? SCROLL_BYTES_MIN : out->cap;
    while (cap - out->len <= bytes)
        cap *= 2;
    char *at = realloc(out->at, cap);
    if (SHORTAGE(at == NULL)) {
        scroll->failed = out->full = true;
        return false;
    }
    out->at = at;
    out->cap = cap;
    return true;
}

void scroll_free(struct scroll *scroll) {
    free(scroll->out.at);
    *scroll = scroll_empty();
}

char *scroll_take(struct scroll *scroll, size_t *len) {
    if (scroll->failed)
        scroll_free(scroll);
    char *at = scroll->out.at;
    *len = scroll->out.len;
    *scroll = scroll_empty();
    return at;
}

void json_comma(struct builder *out) {
    char last = out->len == 0 ? '{' : out->at[out->len - 1];
    if (last != '{' && last != '[')
        builder_byte(out, ',');
}

void json_key(struct builder *out, const char *name) {
    json_comma(out);
    builder_json(out, span_text(name));
    builder_byte(out, ':');
}

void json_key_text(struct builder *out, const char *name, struct span value) {
    json_key(out, name);
    builder_json(out, value);
}

void json_key_u64(struct builder *out, const char *name, uint64_t value) {
    json_key(out, name);
    builder_u64(out, value);
}
