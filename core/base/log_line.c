#include "core/base/log_line.h"

#include "core/base/printable.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* Kept free for the marks at the end of the line. */
#define TAIL_BYTES 64

static void quoted(struct builder *b, struct span text) {
    builder_byte(b, '"');
    while (text.len != 0) {
        uint32_t point;
        size_t len = printable_next(text, &point);
        if (len == 0) {
            builder_text(b, "\xEF\xBF\xBD");
            len = 1;
        } else if (point == '"' || point == '\\') {
            builder_byte(b, '\\');
            builder_byte(b, (char)point);
        } else if (point == '\n') {
            builder_text(b, "\\n");
        } else if (!printable(point)) {
            builder_format(b, "\\u%04" PRIx32, point);
        } else {
            builder_bytes(b, text.at, len);
        }
        text = span_skip(text, len);
    }
    builder_byte(b, '"');
}

/* At most LOG_VALUE_BYTES_MAX bytes, not cut within a character. */
static struct span value_cut(struct span text) {
    if (text.len <= LOG_VALUE_BYTES_MAX)
        return text;
    size_t len = LOG_VALUE_BYTES_MAX;
    for (int i = 0; i < 3 && ((unsigned char)text.at[len] & 0xC0) == 0x80; i++)
        len--;
    return span_of(text.at, len);
}

static bool bare_will_do(struct span text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        if (byte <= ' ' || byte >= 0x7F || byte == '"' || byte == '=' || byte == '\\')
            return false;
    }
    return text.len != 0;
}

static void name(struct builder *b, enum log_format format, const char *text) {
    if (format == LOG_JSON)
        builder_format(b, "%s\"%s\":", b->len != 1 ? "," : "", text);
    else
        builder_format(b, "%s%s=", b->len != 0 ? " " : "", text);
}

static void text_field(struct builder *b, enum log_format format, const char *field,
                       struct span text) {
    name(b, format, field);
    if (format == LOG_LOGFMT && bare_will_do(text))
        builder_span_add(b, text);
    else
        quoted(b, text);
}

static void any_field(struct builder *b, enum log_format format, const struct log_field *field) {
    switch (field->kind) {
    case LOG_FIELD_SPAN:
        text_field(b, format, field->name, value_cut(field->text));
        return;
    case LOG_FIELD_U64:
        name(b, format, field->name);
        builder_u64(b, field->number);
        return;
    case LOG_FIELD_I64:
        name(b, format, field->name);
        builder_format(b, "%" PRId64, (int64_t)field->number);
        return;
    }
}

static void time_field(struct builder *b, enum log_format format, uint64_t wall_ms) {
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    char text[32] = "";
    size_t len = 0;
    if (gmtime_r(&seconds, &utc) != NULL)
        len = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    unsigned ms = (unsigned)(wall_ms % 1000);
    int tail = snprintf(text + len, sizeof(text) - len, ".%03uZ", ms);
    text_field(b, format, "time", span_of(text, len + (tail > 0 ? (size_t)tail : 0)));
}

size_t log_line_write(const struct log_line *line, char *at) {
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    struct builder b = builder_over(at, LOG_LINE_BYTES_MAX - TAIL_BYTES);
    if (line->format == LOG_JSON)
        builder_byte(&b, '{');
    time_field(&b, line->format, line->wall_ms);
    text_field(&b, line->format, "level", span_text(levels[line->level]));
    text_field(&b, line->format, "event", value_cut(span_text(line->event)));

    bool truncated = false;
    for (size_t i = 0; i < line->count && !truncated; i++) {
        size_t whole = b.len;
        any_field(&b, line->format, &line->fields[i]);
        truncated = b.full;
        if (truncated)
            b.len = whole;
    }

    b.cap += TAIL_BYTES;
    b.full = false;
    if (line->suppressed != 0) {
        name(&b, line->format, "suppressed");
        builder_u64(&b, line->suppressed);
    }
    if (truncated) {
        name(&b, line->format, "truncated");
        builder_text(&b, "true");
    }
    builder_text(&b, line->format == LOG_JSON ? "}\n" : "\n");
    return b.len;
}
