/* entry_look.h - any bytes as the body of a record in the store (ha/store/entry.h): what is read of
 * it lies within it, can be delivered, and written anew gives the same bytes. */
#ifndef RINGPOST_TESTS_SUPPORT_ENTRY_LOOK_H
#define RINGPOST_TESTS_SUPPORT_ENTRY_LOOK_H

#include "core/base/check.h"
#include "core/message.h"
#include "ha/store/entry.h"
#include "proto/text/names.h"

#include <string.h>

/* A writer that knows nothing of the one in entry.c but the format. */
struct entry_again {
    char *at;
    size_t len, cap;
};

static inline void again_number(struct entry_again *again, uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; i++, value >>= 8) {
        CHECK(again->len < again->cap);
        again->at[again->len++] = (char)(value & 255);
    }
    CHECK(value == 0);
}

static inline void again_text(struct entry_again *again, struct span text) {
    CHECK(again->cap - again->len >= text.len);
    if (text.len != 0)
        memcpy(again->at + again->len, text.at, text.len);
    again->len += text.len;
}

static inline void again_names(struct entry_again *again, const struct entry_in *in) {
    again_text(again, in->scope);
    again_text(again, in->id);
    for (unsigned i = 0; i < in->count; i++)
        again_text(again, in->to[i]);
}

static inline void again_message(struct entry_again *again, const struct entry_in *in) {
    const uint64_t words[] = {in->accepted_ms, in->expires_ms, in->content.low, in->content.high};
    for (unsigned i = 0; i < 4; i++)
        again_number(again, words[i], 8);
    again_number(again, in->recipients, 4);
    again_number(again, in->payload.len, 4);
    again_number(again, in->event.len, 2);
    again_number(again, in->count, 2);
    again_number(again, in->is_bytes, 1);
    again_number(again, in->namespace, 1);
    again_number(again, in->scope.len, 1);
    again_number(again, in->id.len, 1);
    for (unsigned i = 0; i < in->count; i++)
        again_number(again, in->to[i].len, 1);
    again_names(again, in);
    again_text(again, in->event);
    again_text(again, in->payload);
}

static inline void again_address(struct entry_again *again, const struct entry_in *in) {
    again_number(again, in->address, 2);
    again_number(again, in->word, 1);
    again_number(again, in->scope.len, 1);
    again_number(again, in->id.len, 1);
    again_names(again, in);
}

static inline void again_fate(struct entry_again *again, const struct entry_in *in) {
    again_number(again, in->accepted_ms, 8);
    again_number(again, in->content.low, 8);
    again_number(again, in->content.high, 8);
    again_number(again, in->recipients, 4);
    again_number(again, in->took_ms, 4);
    again_number(again, in->count, 2);
    again_number(again, in->scope.len, 1);
    again_number(again, in->id.len, 1);
    for (unsigned i = 0; i < in->count; i++) {
        again_number(again, in->to[i].len, 1);
        again_number(again, in->words[i], 1);
    }
    again_names(again, in);
}

static inline void entry_deliverable(unsigned kind, const struct entry_in *in) {
    CHECK(in->serial != 0 && in->serial <= ENTRY_SERIAL_MAX);
    if (kind == ENTRY_VOID)
        return;
    CHECK(message_id_check(in->id) == NULL && in->count <= ADDRESSES_PER_MESSAGE_MAX);
    for (unsigned i = 0; i < in->count; i++)
        CHECK(name_check(in->to[i]) == NULL);
    for (unsigned i = 0; kind == ENTRY_FATE && i < in->count; i++)
        CHECK(fate_word_state(in->words[i]) != FATE_PENDING);
    if (kind == ENTRY_MESSAGE)
        CHECK(in->count != 0 && event_check(in->event) == NULL &&
              in->expires_ms >= in->accepted_ms);
}

/* False: it was refused. `room` has as many bytes as the body. */
static inline bool entry_look(unsigned kind, struct span body, char *room) {
    static struct entry_in in;
    if (entry_read(kind, body, &in) != NULL)
        return false;
    entry_deliverable(kind, &in);
    if (kind == ENTRY_MESSAGE)
        (void)entry_payload_read(&in);
    struct entry_again again = {.at = room, .cap = body.len};
    again_number(&again, in.serial, 8);
    if (kind == ENTRY_MESSAGE)
        again_message(&again, &in);
    else if (kind == ENTRY_ADDRESS)
        again_address(&again, &in);
    else if (kind == ENTRY_FATE)
        again_fate(&again, &in);
    CHECK(span_equal(span_of(room, again.len), body), "an entry of kind %u", kind);
    return true;
}

#endif
