#include "ingest/gate/fate_text.h"

#include "core/base/check.h"
#include "core/base/strbuf.h"
#include "core/base/wall_text.h"

/* A name beside itself: colon, comma, and the longest word for a state in quotes. */
#define STATE_BYTES 11
/* The object of a fate without its texts. */
#define FATE_BYTES 192

void fate_look_at(const struct fate *fate, struct fate_view *view) {
    bool pending = false;
    *view = (struct fate_view){.state = FATE_ACKED};
    CHECK(fate_count(fate) <= ADDRESSES_PER_MESSAGE_MAX);
    for (uint32_t i = 0; i < fate_count(fate); i++) {
        const struct fate_address *address = fate_address(fate, i);
        uint8_t state = atomic_load_explicit(&address->state, memory_order_acquire);
        uint8_t reason = atomic_load_explicit(&address->reason, memory_order_relaxed);
        view->states[i] = state;
        pending |= state == FATE_PENDING;
        if (state > view->state)
            view->state = (enum fate_state)state;
        if (state == FATE_DROPPED && reason > view->reason)
            view->reason = (enum fate_reason)reason;
    }
    if (pending)
        view->state = FATE_PENDING;
    else
        view->settled_ms = fate_settled_ms(fate);
}

void fate_to_write(const struct fate *fate, const struct fate_view *view, struct builder *out) {
    builder_byte(out, '{');
    for (uint32_t i = 0; i < fate_count(fate); i++) {
        if (i != 0)
            builder_byte(out, ',');
        builder_json(out, fate_address_text(fate, i));
        builder_byte(out, ':');
        builder_json(out, span_text(fate_state_word((enum fate_state)view->states[i])));
    }
    builder_byte(out, '}');
}

size_t fate_to_bytes(const struct fate *fate) {
    size_t bytes = 2;
    for (uint32_t i = 0; i < fate_count(fate); i++)
        bytes += builder_json_max(fate_address(fate, i)->len) + STATE_BYTES;
    return bytes;
}

size_t fate_to_bytes_of(const struct span *to, unsigned count) {
    size_t bytes = 2;
    for (unsigned i = 0; i < count; i++)
        bytes += builder_json_max(to[i].len) + STATE_BYTES;
    return bytes;
}

void fate_write(const struct fate *fate, struct builder *out) {
    struct fate_view view;
    char accepted[WALL_TEXT_BYTES], settled[WALL_TEXT_BYTES];
    fate_look_at(fate, &view);
    wall_text(fate_accepted_ms(fate), accepted);
    builder_byte(out, '{');
    json_key_text(out, "id", fate_id(fate));
    json_key_text(out, "state", span_text(fate_state_word(view.state)));
    json_key(out, "to");
    fate_to_write(fate, &view, out);
    json_key_text(out, "accepted", span_text(accepted));
    json_key(out, "settled");
    if (view.state == FATE_PENDING) {
        builder_text(out, "null");
    } else {
        wall_text(view.settled_ms, settled);
        builder_json(out, span_text(settled));
    }
    if (view.state == FATE_DROPPED)
        json_key_text(out, "reason", span_text(fate_reason_word(view.reason)));
    builder_byte(out, '}');
}

size_t fate_bytes_max(const struct fate *fate) {
    return FATE_BYTES + builder_json_max(fate_id(fate).len) + fate_to_bytes(fate);
}
