/* Clients that acknowledge what they get, or do not. */
#include "core/base/check.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_sse.h"

#include <stdio.h>

void acker_begin(struct sim_peer *peer) {
    uint64_t roll = sim_roll(100);
    peer->acker.style = roll < 55 ? ACKER_PROMPT : roll < 85 ? ACKER_LATER : ACKER_NEVER;
    peer->acker.count = 0;
}

static void line_begin(const struct sim_peer *peer, struct text *text, bool one) {
    if (peer->session->sse)
        return;
    if (peer->session->counted)
        text_format(text, "ACK");
    else
        text_format(text, one ? "{\"type\":\"ack\",\"id\":" : "{\"type\":\"ack\",\"ids\":[");
}

static void line_id(const struct sim_peer *peer, struct text *text, const char *id, bool first) {
    if (peer->session->counted)
        text_format(text, " %s", id);
    else
        text_format(text, first ? "\"%s\"" : ",\"%s\"", id);
}

static void line_end(struct sim_peer *peer, struct text *text, bool one) {
    if (peer->session->sse) {
        sse_post(peer, text);
        text_free(text);
        return;
    }
    if (peer->session->counted)
        text_format(text, "\r\n");
    else
        text_format(text, one ? "}\n" : "]}\n");
    peer_write(peer, text);
    text_free(text);
}

/* The first so many of what it owes. */
static void say(struct sim_peer *peer, unsigned count) {
    struct text text = {0};
    struct acker *acker = &peer->acker;
    bool one = count == 1 && sim_chance(700);
    line_begin(peer, &text, one);
    for (unsigned i = 0; i < count; i++) {
        struct sim_content *content = content_at(acker->owed[i]);
        line_id(peer, &text, content->id, i == 0);
        acks_said(content, peer->session->id);
    }
    line_end(peer, &text, one);
    if (sim_chance(100)) /* they are said again later */
        return;
    acker->count -= count;
    memmove(acker->owed, acker->owed + count, acker->count * sizeof(acker->owed[0]));
}

/* A message that is not for it: another client's. */
static void say_foreign(struct sim_peer *peer) {
    uint32_t total = content_total();
    if (total == 0)
        return;
    const struct sim_content *content = content_at((uint32_t)sim_roll(total));
    if (!content->ack || content->key >= 0 || content->id[0] == '\0' ||
        ack_place(content, peer->session->id) >= 0)
        return;
    struct text text = {0};
    line_begin(peer, &text, false);
    line_id(peer, &text, content->id, true);
    line_id(peer, &text, "m1", false);
    line_end(peer, &text, false);
}

void acker_on_message(struct sim_peer *peer, uint32_t number) {
    struct acker *acker = &peer->acker;
    if (number == UINT32_MAX || !content_at(number)->ack || acker->style == ACKER_NEVER ||
        acker->count == ACKER_OWED_MAX)
        return;
    acker->owed[acker->count++] = number;
    if (acker->style == ACKER_PROMPT && sim_chance(800))
        say(peer, sim_chance(800) ? acker->count : 1);
}

void acker_act(struct sim_peer *peer) {
    struct acker *acker = &peer->acker;
    if (sim.scenario.ack == 0)
        return;
    if (sim_chance(30))
        say_foreign(peer);
    if (acker->count != 0 && sim_chance(500))
        say(peer, 1 + (unsigned)sim_roll(acker->count));
}
