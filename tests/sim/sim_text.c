#include "tests/sim/sim_text.h"

#include "core/base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void text_add(struct text *text, const void *at, size_t len) {
    if (text->len + len > text->size) {
        text->size = (text->len + len) * 2 + 64;
        text->at = realloc(text->at, text->size);
        CHECK(text->at != NULL);
    }
    if (len != 0)
        memcpy(text->at + text->len, at, len);
    text->len += len;
}

void text_span(struct text *text, struct span span) {
    text_add(text, span.at, span.len);
}

void text_format(struct text *text, const char *format, ...) {
    char room[512];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(room, sizeof(room), format, arguments);
    va_end(arguments);
    CHECK(len >= 0 && (size_t)len < sizeof(room));
    text_add(text, room, (size_t)len);
}

void text_json(struct text *text, struct span plain) {
    text_add(text, "\"", 1);
    for (size_t i = 0; i < plain.len; i++) {
        unsigned char byte = (unsigned char)plain.at[i];
        if (byte == '"' || byte == '\\') {
            text_add(text, "\\", 1);
            text_add(text, &byte, 1);
        } else if (byte < 0x20) {
            text_format(text, "\\u%04x", byte);
        } else {
            text_add(text, &byte, 1);
        }
    }
    text_add(text, "\"", 1);
}

void text_percent(struct text *text, struct span plain) {
    for (size_t i = 0; i < plain.len; i++) {
        unsigned char byte = (unsigned char)plain.at[i];
        if ((byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
            (byte >= '0' && byte <= '9') || strchr("-._~", byte) != NULL)
            text_add(text, &byte, 1);
        else
            text_format(text, "%%%02X", byte);
    }
}

void text_base64(struct text *text, struct span plain) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < plain.len; i += 3) {
        uint32_t word = 0;
        size_t left = plain.len - i < 3 ? plain.len - i : 3;
        for (size_t j = 0; j < 3; j++)
            word = word << 8 | (j < left ? (unsigned char)plain.at[i + j] : 0u);
        char out[4];
        for (size_t j = 0; j < 4; j++)
            out[j] = j <= left ? digits[word >> (18 - 6 * j) & 63] : '=';
        text_add(text, out, 4);
    }
}

void text_drop_front(struct text *text, size_t count) {
    text->len -= count;
    if (text->len > 0)
        memmove(text->at, text->at + count, text->len);
}

void text_free(struct text *text) {
    free(text->at);
    *text = (struct text){0};
}

static struct span skip_blanks(struct span from) {
    while (from.len > 0 && memchr(" \t\r\n", from.at[0], 4) != NULL)
        from = span_skip(from, 1);
    return from;
}

bool json_value(struct span from, struct span *value, struct span *rest) {
    from = skip_blanks(from);
    size_t depth = 0, i = 0;
    bool in_string = false;
    for (; i < from.len; i++) {
        char byte = from.at[i];
        if (in_string) {
            if (byte == '\\')
                i++;
            else if (byte == '"')
                in_string = false;
            else if ((unsigned char)byte < 0x20)
                return false;
            if (!in_string && depth == 0) {
                i++;
                break;
            }
            continue;
        }
        if (byte == '"') {
            in_string = true;
        } else if (byte == '{' || byte == '[') {
            depth++;
        } else if (byte == '}' || byte == ']') {
            if (depth == 0)
                break;
            if (--depth == 0) {
                i++;
                break;
            }
        } else if (depth == 0 && memchr(", \t\r\n:", byte, 6) != NULL) {
            break;
        }
    }
    if (i == 0 || i > from.len || in_string || depth != 0)
        return false;
    *value = span_of(from.at, i);
    *rest = span_skip(from, i);
    return true;
}

bool json_member(struct span object, const char *name, struct span *value) {
    object = skip_blanks(object);
    if (object.len < 2 || object.at[0] != '{')
        return false;
    struct span rest = skip_blanks(span_skip(object, 1)), key;
    while (rest.len > 0 && rest.at[0] == '"') {
        if (!json_value(rest, &key, &rest))
            return false;
        rest = skip_blanks(rest);
        if (rest.len == 0 || rest.at[0] != ':')
            return false;
        if (!json_value(span_skip(rest, 1), value, &rest))
            return false;
        if (json_is(key, name))
            return true;
        rest = skip_blanks(rest);
        if (rest.len == 0 || rest.at[0] != ',')
            return false;
        rest = skip_blanks(span_skip(rest, 1));
    }
    return false;
}

bool json_element(struct span *rest, bool *first, struct span *element) {
    *rest = skip_blanks(*rest);
    if (rest->len == 0 || rest->at[0] != (*first ? '[' : ','))
        return false;
    *rest = skip_blanks(span_skip(*rest, 1));
    *first = false;
    return rest->len > 0 && rest->at[0] != ']' && json_value(*rest, element, rest);
}

static unsigned hex4(const char *at) {
    unsigned value = 0;
    for (int i = 0; i < 4; i++) {
        char digit = at[i];
        value = value * 16 + (unsigned)(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
    }
    return value;
}

bool json_string(struct span raw, char *out, size_t cap, size_t *len) {
    if (raw.len < 2 || raw.at[0] != '"' || raw.at[raw.len - 1] != '"')
        return false;
    *len = 0;
    for (size_t i = 1; i + 1 < raw.len; i++) {
        char bytes[3] = {raw.at[i]};
        size_t count = 1;
        if (raw.at[i] == '\\') {
            static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
            const char *found = strchr(names, raw.at[++i]);
            if (raw.at[i] == 'u' && i + 5 < raw.len) {
                unsigned code = hex4(raw.at + i + 1);
                i += 4;
                if (code < 0x80) {
                    bytes[0] = (char)code;
                } else if (code < 0x800) {
                    bytes[0] = (char)(0xC0 | code >> 6);
                    bytes[1] = (char)(0x80 | (code & 63));
                    count = 2;
                } else {
                    bytes[0] = (char)(0xE0 | code >> 12);
                    bytes[1] = (char)(0x80 | (code >> 6 & 63));
                    bytes[2] = (char)(0x80 | (code & 63));
                    count = 3;
                }
            } else if (found != NULL) {
                bytes[0] = values[found - names];
            } else {
                return false;
            }
        }
        if (*len + count > cap)
            return false;
        memcpy(out + *len, bytes, count);
        *len += count;
    }
    return true;
}

bool json_is(struct span raw, const char *text) {
    char out[256];
    size_t len;
    return json_string(raw, out, sizeof(out), &len) && len == strlen(text) &&
           memcmp(out, text, len) == 0;
}

bool json_number(struct span raw, uint64_t *number) {
    *number = 0;
    if (raw.len == 0)
        return false;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.at[i] < '0' || raw.at[i] > '9')
            return false;
        *number = *number * 10 + (uint64_t)(raw.at[i] - '0');
    }
    return true;
}
