/* answer.c - see answer.h. */
#include "main/cli/answer.h"

#include "core/base/builder.h"
#include "proto/text/json.h"

#include <stdlib.h>

#define NAME_MAX_BYTES 64
#define NUMBER_MAX_BYTES 48

struct span answer_at(struct span object, const char *path) {
    struct json_value value = {.raw = object};
    while (*path != '\0') {
        char name[NAME_MAX_BYTES];
        size_t len = strcspn(path, ".");
        if (len >= sizeof(name))
            return (struct span){NULL, 0};
        memcpy(name, path, len);
        name[len] = '\0';
        if (value.raw.len == 0 || value.raw.at[0] != '{' || !json_find(value.raw, name, &value))
            return (struct span){NULL, 0};
        path += len + (path[len] == '.' ? 1 : 0);
    }
    return value.raw;
}

bool answer_text(struct span value, char *text, size_t cap) {
    if (value.len < 2 || value.at[0] != '"')
        return false;
    struct span inside = span_of(value.at + 1, value.len - 2);
    /* What does not fit is left out whole by a builder, so room is made for all of it first. */
    char *room = malloc(inside.len + 1);
    if (room == NULL)
        return false;
    struct builder b = builder_over(room, inside.len + 1);
    bool good = json_unescape(inside, &b) == NULL && !b.full;
    if (good) {
        size_t len = b.len < cap - 1 ? b.len : cap - 1;
        memcpy(text, room, len);
        text[len] = '\0';
    }
    free(room);
    return good;
}

bool answer_number(struct span value, double *out) {
    char text[NUMBER_MAX_BYTES];
    if (value.len == 0 || value.len >= sizeof(text) ||
        !(value.at[0] == '-' || (value.at[0] >= '0' && value.at[0] <= '9')))
        return false;
    memcpy(text, value.at, value.len);
    text[value.len] = '\0';
    char *end;
    *out = strtod(text, &end);
    return *end == '\0';
}

struct json_cursor answer_elements(struct span array) {
    struct json_cursor cursor;
    if (array.len == 0 || json_open(&cursor, array) != JSON_ARRAY)
        json_open(&cursor, SPAN("[]"));
    return cursor;
}
