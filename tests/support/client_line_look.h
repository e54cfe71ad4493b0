/* client_line_look.h - what must hold for every client line that was read, whichever framing it
 * came in. */
#ifndef RINGPOST_TESTS_SUPPORT_CLIENT_LINE_LOOK_H
#define RINGPOST_TESTS_SUPPORT_CLIENT_LINE_LOOK_H

#include "core/base/check.h"
#include "proto/client/line.h"
#include "proto/text/json.h"
#include "proto/text/ref.h"
#include "proto/text/utf8.h"

static inline void name_list_look(const struct name_list *list, unsigned least,
                                  const char *(*check)(struct span text)) {
    CHECK(list->count >= least && list->count <= ADDRESSES_PER_MESSAGE_MAX);
    for (unsigned i = 0; i < list->count; i++) {
        CHECK(check(list->at[i]) == NULL);
        if (i == 0)
            continue;
        struct span a = list->at[i - 1], b = list->at[i];
        int order = memcmp(a.at, b.at, a.len < b.len ? a.len : b.len);
        CHECK(order < 0 || (order == 0 && a.len < b.len), "sorted, each once");
    }
}

static inline void client_line_look(const struct client_line *line) {
    CHECK(line->ref.len <= REF_JSON_BYTES_MAX);
    switch (line->type) {
    case CLIENT_LINE_HELLO:
        CHECK(line->id.len == 0 || name_check(line->id) == NULL);
        CHECK(line->resume.len == 0 || message_id_check(line->resume) == NULL);
        CHECK(line->resume.len == 0 || line->resumes);
        name_list_look(&line->names, 0, name_check);
        break;
    case CLIENT_LINE_ACK:
        name_list_look(&line->names, 1, message_id_check);
        break;
    case CLIENT_LINE_JOIN:
    case CLIENT_LINE_LEAVE:
        name_list_look(&line->names, 0, name_check);
        break;
    default:
        CHECK(line->type != CLIENT_LINE_NONE);
        break;
    }
}

static inline void complaint_look(const struct complaint *complaint) {
    CHECK(complaint->code > CODE_NONE && complaint->code < CODE_COUNT);
    CHECK(memchr(complaint->text, '\0', sizeof complaint->text) != NULL);
    CHECK(memchr(complaint->field, '\0', sizeof complaint->field) != NULL);
    CHECK(complaint->text[0] != '\0');
    CHECK(utf8_valid(span_text(complaint->text), NULL));
    CHECK(utf8_valid(span_text(complaint->field), NULL));
}

/* Two lines that say the same; refs are not compared, they are written differently. */
static inline bool client_line_same(const struct client_line *a, const struct client_line *b) {
    if (a->type != b->type || !span_equal(a->id, b->id) || a->resumes != b->resumes ||
        !span_equal(a->resume, b->resume) || a->names.count != b->names.count)
        return false;
    for (unsigned i = 0; i < a->names.count; i++)
        if (!span_equal(a->names.at[i], b->names.at[i]))
            return false;
    return true;
}

#endif
