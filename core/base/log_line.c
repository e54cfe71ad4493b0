#include "core/base/log_line.h"

#include "core/base/printable.h"

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
            char escape[PRINTABLE_ESCAPE_MAX];
            builder_span_add(b, printable_json_escape(point, escape));
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
    bool json = format == LOG_JSON;
    if (b->len != (json ? 1 : 0))
        builder_byte(b, json ? ',' : ' ');
    builder_text(b, json ? "\"" : "");
    builder_text(b, text);
    builder_text(b, json ? "\":" : "=");
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
        if ((int64_t)field->number < 0)
            builder_byte(b, '-');
        builder_u64(b, (int64_t)field->number < 0 ? 0 - field->number : field->number);
        return;
    case LOG_FIELD_LONG:
        text_field(b, format, field->name, field->text);
        return;
    }
}

static void digits(struct builder *b, uint64_t value, unsigned count, const char *behind) {
    uint64_t unit = 1;
    for (unsigned i = 1; i < count; i++)
        unit *= 10;
    for (; unit != 0; unit /= 10)
        builder_byte(b, (char)('0' + value / unit % 10));
    builder_text(b, behind);
}

/* The days since 1970 as a date; the years begin in March, so that a leap day is their last. */
static void date(struct builder *b, uint64_t days) {
    enum { DAYS_TO_1970 = 719468, DAYS_OF_400_YEARS = 146097 };
    days += DAYS_TO_1970;
    uint64_t day = days % DAYS_OF_400_YEARS;
    uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    day -= 365 * year + year / 4 - year / 100;
    uint64_t month = (5 * day + 2) / 153;
    day -= (153 * month + 2) / 5;
    year += days / DAYS_OF_400_YEARS * 400 + (month >= 10);
    digits(b, year, 4, "-");
    digits(b, month < 10 ? month + 3 : month - 9, 2, "-");
    digits(b, day + 1, 2, "T");
}

static void time_field(struct builder *b, enum log_format format, uint64_t wall_ms) {
    char text[32];
    struct builder time = builder_over(text, sizeof(text));
    uint64_t seconds = wall_ms / 1000;
    date(&time, seconds / 86400);
    digits(&time, seconds / 3600 % 24, 2, ":");
    digits(&time, seconds / 60 % 60, 2, ":");
    digits(&time, seconds % 60, 2, ".");
    digits(&time, wall_ms % 1000, 3, "Z");
    text_field(b, format, "time", span_of(text, time.len));
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
