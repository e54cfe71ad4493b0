#include "perf/load/bench_text.h"

#include "core/base/printable.h"

#include <stdarg.h>
#include <stdio.h>

void bench_text_write(char *out, size_t cap, struct span text) {
    size_t len = 0;
    while (text.len != 0 && (text.at[text.len - 1] == '\n' || text.at[text.len - 1] == '\r'))
        text.len--;
    while (text.len != 0) {
        char escape[PRINTABLE_ESCAPE_MAX];
        struct span shown = printable_take(&text, escape);
        if (shown.len >= cap - len)
            break;
        memcpy(out + len, shown.at, shown.len);
        len += shown.len;
    }
    out[len] = '\0';
}

void bench_complain(const char *format, ...) {
    char raw[BENCH_COMPLAINT_BYTES], text[BENCH_COMPLAINT_BYTES];
    va_list list;
    va_start(list, format);
    int len = vsnprintf(raw, sizeof raw, format, list);
    va_end(list);
    bench_text_write(text, sizeof text, span_text(len < 0 ? "" : raw));
    fprintf(stderr, "ringpost bench: %s\n", text);
}
