#include "core/base/strbuf.h"

#include "core/base/shortage.h"

#include <stdlib.h>

#define STRBUF_BYTES_MIN 1024

bool strbuf_room(struct strbuf *strbuf, size_t bytes) {
    struct builder *out = &strbuf->out;
    if (strbuf->failed)
        return false;
    if (out->cap - out->len > bytes)
        return true;
    size_t cap = out->cap == 0 ? STRBUF_BYTES_MIN : out->cap;
    while (cap - out->len <= bytes)
        cap *= 2;
    char *at = realloc(out->at, cap);
    if (SHORTAGE(at == NULL)) {
        strbuf->failed = out->full = true;
        return false;
    }
    out->at = at;
    out->cap = cap;
    return true;
}

void strbuf_free(struct strbuf *strbuf) {
    free(strbuf->out.at);
    *strbuf = strbuf_empty();
}

char *strbuf_take(struct strbuf *strbuf, size_t *len) {
    if (strbuf->failed)
        strbuf_free(strbuf);
    char *at = strbuf->out.at;
    *len = strbuf->out.len;
    *strbuf = strbuf_empty();
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
