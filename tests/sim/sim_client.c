/* Clients on raw TCP that keep to the contract, in both framings; and on server-sent events. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_frames.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_redis.h"
#include "tests/sim/sim_sse.h"

#include <stdio.h>

static void say_ref(struct sim_peer *peer, struct text *text) {
    text_format(text, "%u", ++peer->last_ref);
}

/* Words of counted framing are percent-encoded where they have to be. */
static void word_write(struct text *text, struct span word) {
    for (size_t i = 0; i < word.len; i++) {
        unsigned char byte = (unsigned char)word.at[i];
        if (byte <= ' ' || byte == '%' || byte > 0x7e)
            text_format(text, "%%%02X", byte);
        else
            text_add(text, &byte, 1);
    }
}

static struct client_wish *wish_add(struct sim_peer *peer) {
    return peer->wish_count == WISHES_MAX ? NULL : &peer->wishes[peer->wish_count++];
}

static void hello_write(struct sim_peer *peer) {
    struct sim_session *session = peer->session;
    struct text text = {0};
    if (session->counted)
        text_format(&text, "HELLO {");
    else
        text_format(&text, "{\"type\":\"hello\",");
    const char *comma = "";
    if (session->id >= 0) {
        text_format(&text, "\"id\":");
        text_json(&text, name_of_id((unsigned)session->id));
        comma = ",";
    }
    unsigned groups = (unsigned)sim_roll(4);
    if (groups > 0) {
        text_format(&text, "%s\"groups\":[", comma);
        for (unsigned i = 0; i < groups; i++) {
            unsigned group = (unsigned)sim_roll(sim.scenario.groups);
            text_format(&text, i == 0 ? "" : ",");
            text_json(&text, name_of_group(group));
            session_joining(session, group);
        }
        text_format(&text, "]");
        comma = ",";
    }
    text_format(&text, "%s\"unknown\":1}%s\n", comma, session->counted ? "\r" : "");
    session->may_from = sim_stamp();
    peer_write(peer, &text);
    peer->hello_sent = true;
    text_free(&text);
}

void client_begin(struct sim_peer *peer) {
    bool abusive = peer->style == STYLE_ABUSIVE;
    bool web = peer->listener == LISTENER_WEB;
    bool sse = web && sim.scenario.sse != 0 && sim_chance(700), framed = web && !sse;
    bool counted = !web && sim_chance(sim.scenario.counted_clients);
    if (abusive) {
        peer->script = (unsigned)sim_roll(CLIENT_SCRIPTS);
        if (peer->script < 8)
            return; /* it never registers */
    }
    /* Those who misbehave later go without a name, so that they take part in broadcasts only. */
    int id = abusive || sim_chance(150) ? -1 : (int)sim_roll(sim.scenario.ids);
    if (sim.scenario.ack != 0 && !abusive && peer->last_id > 0 && sim_chance(600))
        id = peer->last_id - 1; /* it comes back */
    peer->last_id = id + 1;
    acker_begin(peer);
    peer->session = session_add(peer->link, id, counted);
    peer->session->peer = peer;
    peer->session->sse = sse;
    peer->session->deflates = framed && sim.scenario.deflate && sim_chance(600);
    if (framed)
        frames_ask(&peer->out, peer->session->deflates);
    peer->session->framed = framed;
    peer->link->tap.kind = sse ? TAP_SSE : framed ? TAP_UPGRADE : counted ? TAP_COUNTED : TAP_JSON;
    peer->link->tap.session = peer->session;
    peer->stream = stream_add();
    if (sse)
        sse_hello_write(peer);
    else
        hello_write(peer);
    if (peer->style == STYLE_DEAF)
        peer->stop_ns = sim.now_ns + sim_between(1, 8) * NS_PER_S;
}

void client_over(struct sim_peer *peer) {
    peer->session = NULL;
}

static void move_write(struct sim_peer *peer, bool leave) {
    struct client_wish *wish = wish_add(peer);
    if (wish == NULL)
        return;
    struct sim_session *session = peer->session;
    struct text text = {0};
    *wish = (struct client_wish){.kind = leave ? WISH_LEAVE : WISH_JOIN};
    wish->group_count = 1 + (unsigned)sim_roll(3);
    if (session->counted) {
        text_format(&text, leave ? "LEAVE " : "JOIN ");
        say_ref(peer, &text);
    } else {
        text_format(&text, "{\"type\":\"%s\",\"ref\":", leave ? "leave" : "join");
        say_ref(peer, &text);
        text_format(&text, ",\"groups\":[");
    }
    for (unsigned i = 0; i < wish->group_count; i++) {
        unsigned group = (unsigned)sim_roll(sim.scenario.groups);
        wish->groups[i] = group;
        if (session->counted) {
            text_format(&text, " ");
            word_write(&text, name_of_group(group));
        } else {
            text_format(&text, i == 0 ? "" : ",");
            text_json(&text, name_of_group(group));
        }
        if (leave)
            session_leaving(session, group);
        else
            session_joining(session, group);
    }
    text_format(&text, session->counted ? "\r\n" : "]}\n");
    wish->ref = peer->last_ref;
    wish->sent = sim_stamp();
    peer_write(peer, &text);
    text_free(&text);
}

static void send_write(struct sim_peer *peer) {
    struct client_wish *wish = wish_add(peer);
    if (wish == NULL)
        return;
    struct sim_session *session = peer->session;
    struct sim_content *content = content_make(peer, false);
    uint64_t scope = session->id >= 0 ? 1 + (uint64_t)session->id : 1000 + session->number;
    struct sim_attempt *attempt = attempt_add(content, peer->stream, scope);
    *wish = (struct client_wish){.kind = WISH_SEND, .attempt = attempt_number(attempt)};
    struct text text = {0};
    if (session->counted) {
        text_format(&text, "SEND ");
        say_ref(peer, &text);
        text_format(&text, " %zu ", content->payload.len);
        content_write(content, &text, "", true);
        text_format(&text, "\r\n");
        text_span(&text, text_as_span(&content->payload));
        text_format(&text, "\r\n");
    } else {
        /* A line may not hold line breaks. */
        struct text plain = content->payload;
        content->payload = content->json;
        text_format(&text, "{\"type\":\"send\",\"ref\":");
        say_ref(peer, &text);
        struct text fields = {0};
        content_write(content, &fields, "", false);
        fields.at[0] = ',';
        text_span(&text, text_as_span(&fields));
        text_free(&fields);
        text_format(&text, "\n");
        content->payload = plain;
    }
    wish->ref = peer->last_ref;
    peer_write(peer, &text);
    text_free(&text);
}

void client_act(struct sim_peer *peer) {
    if (peer->style == STYLE_ABUSIVE) {
        abusive_client_act(peer);
        return;
    }
    if (!peer->welcome || peer->ending)
        return;
    acker_act(peer);
    if (peer->acts_left == 0 || peer->session->sse) {
        peer->next_ns = sim.now_ns + 5 * NS_PER_S;
        return;
    }
    peer->acts_left--;
    for (; peer->flood > 0; peer->flood--)
        send_write(peer);
    bool counted = peer->session->counted;
    uint64_t roll = sim_roll(100);
    if (peer->session->spell_count > SPELLS_MAX - 8)
        roll += 40;
    if (roll < 12) {
        move_write(peer, false);
    } else if (roll < 20) {
        move_write(peer, true);
    } else if (roll < 50 && sim.scenario.client_send && peer->messages_left > 0) {
        peer->messages_left--;
        send_write(peer);
    } else if (roll < 60) {
        peer_say(peer, counted ? "PING\r\n" : "{\"type\":\"ping\"}\n");
    } else if (roll < 61 && peer->session->framed && sim_chance(200)) {
        frames_write_close(&peer->out);
        peer_end(peer);
    } else if (roll < 64) {
        peer_say(peer, counted ? "ACK m1 m2\n" : " {\"ids\" : [\"m1\"], \"type\":\"ack\"}\r\n\n");
    }
}

/* --- what comes back ----------------------------------------------------------------------------
 */

void client_on_event(struct sim_peer *peer, const struct tap_event *event) {
    if (peer->session == NULL || peer->ending || peer->link->reset)
        return;
    switch (event->kind) {
    case TAP_WELCOME:
        peer->welcome = true;
        peer->next_ns = think_ns();
        break;
    case TAP_PING:
        if (peer->style == STYLE_MUTE)
            break;
        if (peer->session->framed)
            frames_write_pong(&peer->out);
        else
            peer_say(peer, peer->session->counted ? "PONG\r\n" : "{\"type\":\"pong\"}\n");
        break;
    case TAP_MESSAGE:
        if (peer->session->sse) {
            memcpy(peer->last_text, event->id, sizeof(peer->last_text));
            peer->last_acks = event->acks;
        }
        acker_on_message(peer, event->content);
        break;
    case TAP_REFUSED:
        peer_end(peer);
        break;
    case TAP_GOODBYE:
        if (sim_chance(400))
            peer_end(peer);
        break;
    case TAP_ERROR:
        if (peer->session->sse) /* there is no stream, and the connection stays */
            peer_end(peer);
        break;
    default:
        break;
    }
}

void client_on_welcome(struct sim_session *session) {
    if (session->must_from != NEVER)
        sim_fail("session %u is welcomed twice", session->number);
    if (session->may_from == NEVER)
        sim_fail("session %u is welcomed before its hello", session->number);
    session->must_from = sim_stamp();
    sim_redis_welcome_check(session);
    hot.id = session->id;
    peers_hurry();
    for (unsigned i = 0; i < session->spell_count; i++)
        session_joined(session, session->spells[i].group, session->must_from);
}

static struct client_wish wish_take(struct sim_session *session, uint32_t ref) {
    struct sim_peer *peer = session->peer;
    for (unsigned i = 0; i < peer->wish_count; i++) {
        if (peer->wishes[i].ref != ref)
            continue;
        struct client_wish wish = peer->wishes[i];
        peer->wish_count--;
        memmove(&peer->wishes[i], &peer->wishes[i + 1],
                (peer->wish_count - i) * sizeof(peer->wishes[0]));
        return wish;
    }
    sim_fail("session %u is answered to the ref %u, which it never sent", session->number, ref);
}

void client_on_ok(struct sim_session *session, uint32_t ref, struct span id, struct span state) {
    if (session->peer->session != session)
        return;
    struct client_wish wish = wish_take(session, ref);
    if (wish.kind == WISH_JOIN || wish.kind == WISH_LEAVE) {
        hot.group = (int)wish.groups[0];
        peers_hurry();
        for (unsigned i = 0; i < wish.group_count; i++) {
            if (wish.kind == WISH_JOIN)
                session_joined(session, wish.groups[i], wish.sent);
            else
                session_left(session, wish.groups[i], wish.sent);
        }
        return;
    }
    enum attempt_state states[] = {ATTEMPT_QUEUED, ATTEMPT_ABSENT, ATTEMPT_DROPPED,
                                   ATTEMPT_DUPLICATE, ATTEMPT_QUEUED};
    static const char *const words[] = {"queued", "absent", "dropped", "duplicate", "stored"};
    for (unsigned i = 0; i < 5; i++) {
        if (!span_equal(state, span_text(words[i])))
            continue;
        struct sim_attempt *attempt = attempt_at(wish.attempt);
        attempt_answered(attempt, states[i], false, 0);
        attempt->first_recipients = NEVER;
        attempt->id_hash = id_hash_of(id);
        attempt->stored = i == 4;
        content_id_known(content_at(attempt->content), id);
        if (attempt->stored && !content_at(attempt->content)->ack)
            sim_fail("session %u is told that message %u is stored", session->number,
                     attempt->content);
        return;
    }
    sim_fail("session %u is told the state %.*s", session->number, SPAN_ARG(state));
}

void client_on_error(struct sim_session *session, uint32_t ref, const char *code) {
    if (session->peer->style == STYLE_ABUSIVE || session->peer->session != session)
        return;
    static const char *const harmless[] = {"overloaded",    "unavailable",        "rate_limited",
                                           "too_slow",      "heartbeat_timeout",  "draining",
                                           "hello_timeout", "cluster_unavailable"};
    bool known = strcmp(code, "id_reused") == 0;
    for (unsigned i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
        known |= strcmp(code, harmless[i]) == 0;
    if (!known)
        sim_fail("session %u did nothing wrong and is told %s", session->number, code);
    if (ref == 0)
        return;
    struct client_wish wish = wish_take(session, ref);
    if (wish.kind == WISH_SEND) {
        attempt_answered(attempt_at(wish.attempt),
                         strcmp(code, "id_reused") == 0 ? ATTEMPT_ID_REUSED : ATTEMPT_REFUSED,
                         false, 0);
        return;
    }
    /* Nothing was done; whether it was in the group before is left open. */
    for (unsigned i = 0; i < wish.group_count; i++)
        session_leaving(session, wish.groups[i]);
}
