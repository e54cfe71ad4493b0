/* complaint.c - see complaint.h. */
#include "proto/text/complaint.h"

#include "proto/text/json.h"
#include "proto/text/utf8.h"

#include <stdarg.h>
#include <stdio.h>

void complaint_make(struct complaint *complaint, enum code code, struct span field,
                    const char *format, ...) {
    complaint->code = code;
    complaint->offset = 0;
    struct span name = utf8_cut(field, COMPLAINT_FIELD_BYTES - 1);
    if (name.len != 0)
        memcpy(complaint->field, name.at, name.len);
    complaint->field[name.len] = '\0';

    char whole[COMPLAINT_TEXT_BYTES + 4]; /* so that the byte at the cut is known */
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(whole, sizeof whole, format, arguments);
    va_end(arguments);
    size_t kept = len < 0 ? 0 : (size_t)len;
    if (kept >= sizeof whole)
        kept = sizeof whole - 1;
    struct span text = utf8_cut(span_of(whole, kept), COMPLAINT_TEXT_BYTES - 1);
    memcpy(complaint->text, text.at, text.len);
    complaint->text[text.len] = '\0';
}

void complaint_json(struct complaint *complaint, const struct json_error *error) {
    complaint_make(complaint, CODE_BAD_JSON, span_of(NULL, 0), "%s at byte %zu", error->text,
                   error->offset);
    complaint->offset = error->offset;
}
