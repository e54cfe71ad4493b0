#include "proto/http/http_target.h"

static bool is_host(unsigned char byte) {
    unsigned char folded = byte | 0x20;
    if ((byte >= '0' && byte <= '9') || (folded >= 'a' && folded <= 'z'))
        return true;
    return byte != 0 && strchr("-._~%:[]", byte) != NULL;
}

bool http_host_valid(struct span host) {
    for (size_t i = 0; i < host.len; i++)
        if (!is_host((unsigned char)host.at[i]))
            return false;
    return host.len != 0;
}

static bool skip_nocase(struct span *text, struct span prefix) {
    if (text->len < prefix.len || !span_equal_nocase(span_of(text->at, prefix.len), prefix))
        return false;
    *text = span_skip(*text, prefix.len);
    return true;
}

/* Bytes before the first `a` or `b`. */
static size_t count_to(struct span text, char a, char b) {
    size_t count = 0;
    while (count < text.len && text.at[count] != a && text.at[count] != b)
        count++;
    return count;
}

const char *http_target_split(struct span text, struct http_target *target) {
    *target = (struct http_target){0};
    if (count_to(text, '#', '#') < text.len)
        return "the target has a fragment";
    if (span_equal(text, SPAN("*"))) {
        target->path = text;
        return NULL;
    }
    if (text.at[0] != '/') {
        if (!skip_nocase(&text, SPAN("http://")) && !skip_nocase(&text, SPAN("https://")))
            return "the target is neither a path nor an http URL";
        target->authority = span_of(text.at, count_to(text, '/', '?'));
        text = span_skip(text, target->authority.len);
    }
    size_t path_bytes = count_to(text, '?', '?');
    target->path = path_bytes == 0 ? SPAN("/") : span_of(text.at, path_bytes);
    if (path_bytes < text.len)
        target->query = span_skip(text, path_bytes + 1);
    return NULL;
}
