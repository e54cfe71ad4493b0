/* body_type.c - see body_type.h. */
#include "proto/http/body_type.h"

static struct span trimmed(struct span text) {
    while (text.len != 0 && (text.at[0] == ' ' || text.at[0] == '\t'))
        text = span_skip(text, 1);
    while (text.len != 0 && (text.at[text.len - 1] == ' ' || text.at[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static bool starts_nocase(struct span text, struct span front) {
    return text.len >= front.len && span_equal_nocase(span_of(text.at, front.len), front);
}

static bool ends_nocase(struct span text, struct span end) {
    return text.len > end.len && span_equal_nocase(span_skip(text, text.len - end.len), end);
}

/* The text up to the next `mark`, which is taken off the rest with it. */
static struct span part_take(struct span *rest, char mark) {
    const char *at = rest->len == 0 ? NULL : memchr(rest->at, mark, rest->len);
    size_t len = at == NULL ? rest->len : (size_t)(at - rest->at);
    struct span part = span_of(rest->at, len);
    *rest = at == NULL ? span_of(NULL, 0) : span_skip(*rest, len + 1);
    return part;
}

enum body_kind body_kind(struct span content_type) {
    struct span type = trimmed(part_take(&content_type, ';'));
    if (span_equal_nocase(type, SPAN("application/json")) || ends_nocase(type, SPAN("+json")))
        return BODY_JSON;
    if (type.len == 0 || span_equal_nocase(type, SPAN("application/x-www-form-urlencoded")))
        return BODY_PLAIN;
    if (span_equal_nocase(type, SPAN("application/x-ndjson")))
        return BODY_LINES;
    if (type.len > 5 && starts_nocase(type, SPAN("text/")))
        return BODY_TEXT;
    return BODY_OTHER;
}

/* A parameter: up to the next semicolon that stands in no quotes. */
static struct span parameter_take(struct span *rest) {
    bool quoted = false;
    size_t len = 0;
    for (; len < rest->len && (quoted || rest->at[len] != ';'); len++) {
        if (rest->at[len] == '"')
            quoted = !quoted;
        else if (rest->at[len] == '\\' && quoted && len + 1 < rest->len)
            len++;
    }
    struct span parameter = span_of(rest->at, len);
    *rest = len == rest->len ? span_of(NULL, 0) : span_skip(*rest, len + 1);
    return trimmed(parameter);
}

/* The value of `charset="..."` or `charset=...`; false: it is another parameter, or malformed. No
 * name of a character set needs a backslash, so a value with one is none that is known. */
static bool charset_read(struct span parameter, struct span *charset) {
    if (!starts_nocase(parameter, SPAN("charset=")))
        return false;
    struct span value = span_skip(parameter, sizeof "charset=" - 1);
    bool quoted = value.len != 0 && value.at[0] == '"';
    if (quoted) {
        if (value.len < 2 || value.at[value.len - 1] != '"')
            return false;
        value = span_of(value.at + 1, value.len - 2);
    }
    for (size_t i = 0; i < value.len && !quoted; i++)
        if (!http_is_token((unsigned char)value.at[i]))
            return false;
    *charset = value;
    return value.len != 0;
}

static bool is_ascii(struct span body) {
    for (size_t i = 0; i < body.len; i++)
        if ((unsigned char)body.at[i] >= 0x80)
            return false;
    return true;
}

/* Does it say of bytes below 0x80 what UTF-8 says? */
static bool agrees_in_ascii(struct span charset) {
    static const struct span whole[] = {SPAN_INIT("us-ascii"), SPAN_INIT("gbk"),
                                        SPAN_INIT("gb2312"), SPAN_INIT("gb18030"),
                                        SPAN_INIT("big5")};
    static const struct span families[] = {SPAN_INIT("iso-8859-"), SPAN_INIT("windows-125"),
                                           SPAN_INIT("koi8-"), SPAN_INIT("euc-")};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (span_equal_nocase(charset, whole[i]))
            return true;
    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        if (charset.len > families[i].len && starts_nocase(charset, families[i]))
            return true;
    return false;
}

bool body_charset_fits(struct span content_type, struct span body) {
    struct span rest = content_type, charset;
    part_take(&rest, ';');
    while (rest.len != 0) {
        if (!charset_read(parameter_take(&rest), &charset))
            continue;
        /* Of several each must: nobody knows which one is meant. */
        if (!span_equal_nocase(charset, SPAN("utf-8")) &&
            !span_equal_nocase(charset, SPAN("utf8")) &&
            !(agrees_in_ascii(charset) && is_ascii(body)))
            return false;
    }
    return true;
}

bool body_is_encoded(const struct http_request *request) {
    for (unsigned i = 0; i < request->fields.count; i++) {
        const struct http_field *field = &request->fields.list[i];
        if (!span_equal_nocase(field->name, SPAN("content-encoding")))
            continue;
        struct span rest = field->value;
        while (rest.len != 0) {
            struct span coding = trimmed(part_take(&rest, ','));
            if (coding.len != 0 && !span_equal_nocase(coding, SPAN("identity")))
                return true;
        }
    }
    return false;
}
