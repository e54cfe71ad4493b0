/* codes.c - see codes.h. */
#include "proto/text/codes.h"

#include <stddef.h>

struct code_row {
    const char *word;
    bool closes;
    int status;
};

/* CODE_NONE has no row: no word, nothing that ends. */
static const struct code_row rows[CODE_COUNT] = {
#define CODE_ROW(name, word, closes, status, what) [CODE_##name] = {word, closes, status},
    CODES(CODE_ROW)
#undef CODE_ROW
};

const char *code_word(enum code code) {
    return code == CODE_NONE ? "" : rows[code].word;
}

bool code_closes(enum code code) {
    return rows[code].closes;
}

int code_status(enum code code) {
    return rows[code].status;
}
