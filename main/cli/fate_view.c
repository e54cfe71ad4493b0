#include "main/cli/fate_view.h"

#include "main/cli/answer.h"
#include "main/terminal.h"
#include "proto/text/json.h"

#define ID_MAX 160
#define WORD_MAX 40
#define ID_COLUMNS 32

const char *fate_meaning(const char *state, const char *reason) {
    if (strcmp(state, "acked") == 0)
        return "every client id has acknowledged it";
    if (strcmp(state, "pending") == 0)
        return "the node keeps it, and hands it over until it is acknowledged";
    if (strcmp(state, "expired") == 0)
        return "its ttl was over before it was acknowledged; it is not handed over any more";
    if (strcmp(state, "dropped") != 0)
        return NULL;
    if (strcmp(reason, "withdrawn") == 0)
        return "it was taken back before it was acknowledged";
    return "it is not handed over any more, and was not acknowledged";
}

static unsigned count_to(struct span object, unsigned most) {
    struct json_cursor cursor;
    struct json_value key, value;
    unsigned count = 0;
    json_open(&cursor, object);
    while (count < most && json_object_next(&cursor, &key, &value))
        count++;
    return count;
}

bool fate_print_ids(FILE *out, struct span to, unsigned count_min) {
    struct json_cursor cursor;
    struct json_value key, value;
    if (to.len == 0 || to.at[0] != '{')
        return false;
    if (count_to(to, count_min) < count_min)
        return true;
    json_open(&cursor, to);
    while (json_object_next(&cursor, &key, &value)) {
        char id[ID_MAX], word[WORD_MAX];
        fputs("  ", out);
        terminal_print_padded(out, answer_text(key.raw, id, sizeof(id)) ? span_text(id) : key.raw,
                              ID_COLUMNS);
        fputs("  ", out);
        terminal_print(out,
                       answer_text(value.raw, word, sizeof(word)) ? span_text(word) : value.raw,
                       WORD_MAX);
        fputc('\n', out);
    }
    return true;
}
