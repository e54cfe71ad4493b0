/* names.c - see names.h. */
#include "proto/text/names.h"

#include "proto/text/utf8.h"

static const char *const reserved_events[] = {
    "connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener",
};

/* The sequence is not ASCII: is it U+0080 to U+009F, U+2028 or U+2029? */
static bool is_control_sequence(const unsigned char *s) {
    return (s[0] == 0xC2 && s[1] < 0xA0) ||
           (s[0] == 0xE2 && s[1] == 0x80 && (s[2] == 0xA8 || s[2] == 0xA9));
}

const char *name_check(struct span text) {
    if (text.len == 0)
        return "is empty";
    if (text.len > NAME_BYTES_MAX)
        return "is longer than 128 bytes";
    const char *at = text.at, *end = text.at + text.len;
    while (at != end) {
        unsigned char byte = (unsigned char)*at;
        if (byte < 0x80) {
            if (byte < 0x20 || byte == 0x7F)
                return "holds a control character";
            at++;
            continue;
        }
        int len = utf8_sequence(at, end);
        if (len <= 0)
            return "is not UTF-8";
        if (is_control_sequence((const unsigned char *)at))
            return "holds a control character";
        at += len;
    }
    return NULL;
}

const char *event_check(struct span text) {
    const char *wrong = name_check(text);
    if (wrong != NULL)
        return wrong;
    for (size_t i = 0; i < sizeof reserved_events / sizeof reserved_events[0]; i++) {
        if (span_equal(text, span_text(reserved_events[i])))
            return "is a reserved word";
    }
    return NULL;
}

const char *message_id_check(struct span text) {
    if (text.len == 0)
        return "is empty";
    if (text.len > MESSAGE_ID_BYTES_MAX)
        return "is longer than 64 bytes";
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < 0x21 || text.at[i] > 0x7E)
            return "holds a byte that is not visible ASCII";
    }
    return NULL;
}

static int name_order(struct span a, struct span b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.at, b.at, len);
    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

enum name_list_verdict name_list_add(struct name_list *list, struct span name) {
    unsigned low = 0, high = list->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        int order = name_order(name, list->at[middle]);
        if (order == 0)
            return NAME_LIST_HAD_IT;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    if (list->count == list->max)
        return NAME_LIST_FULL;
    memmove(list->at + low + 1, list->at + low, (list->count - low) * sizeof list->at[0]);
    list->at[low] = name;
    list->count++;
    return NAME_LIST_ADDED;
}
