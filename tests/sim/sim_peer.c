#include "tests/sim/sim_peer.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/limits.h"
#include "tests/sim/sim_frames.h"
#include "tests/sim/sim_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* What is due must come within this time. Nothing that a node does takes as long. */
#define PATIENCE_NS (40 * NS_PER_S)

static struct sim_peer *peers;
static unsigned peer_count;
static bool leaving;

uint64_t think_ns(void) {
    uint64_t max = sim.scenario.think_max_ns;
    return sim.now_ns + (sim_chance(700) ? sim_roll(max / 16 + 1) : sim_roll(max + 1));
}

static struct peer_address address_draw(unsigned number) {
    struct peer_address peer = {{0}, 0};
    peer.bytes[10] = peer.bytes[11] = 0xff;
    peer.bytes[12] = 10;
    /* Balancers that write PROXY headers live in 10.9.0.0/16, web proxies in 10.8.0.0/16. */
    peer.bytes[13] = 1;
    if (sim.scenario.proxies)
        peer.bytes[13] = sim_chance(600) ? 9 : sim_chance(700) ? 8 : 1;
    peer.bytes[14] = (uint8_t)(number / 250);
    peer.bytes[15] = (uint8_t)(sim_chance(200) ? 7 : number % 250);
    peer.port = (uint16_t)(20000 + number);
    return peer;
}

static enum peer_style client_style(void) {
    const struct scenario *scenario = &sim.scenario;
    uint64_t roll = sim_roll(1000);
    if (roll < scenario->slow_clients)
        return STYLE_SLOW;
    roll -= scenario->slow_clients;
    if (roll < scenario->deaf_clients)
        return STYLE_DEAF;
    roll -= scenario->deaf_clients;
    if (roll < scenario->mute_clients)
        return STYLE_MUTE;
    roll -= scenario->mute_clients;
    return roll < scenario->abusive_clients ? STYLE_ABUSIVE : STYLE_GOOD;
}

void peers_open(void) {
    const struct scenario *scenario = &sim.scenario;
    peer_count = scenario->clients + scenario->producers;
    peers = calloc(peer_count, sizeof(*peers));
    CHECK(peers != NULL);
    leaving = false;
    for (unsigned i = 0; i < peer_count; i++) {
        struct sim_peer *peer = &peers[i];
        bool client = i < scenario->clients;
        *peer = (struct sim_peer){.number = i,
                                  .kind = client ? PEER_CLIENT : PEER_PRODUCER,
                                  .listener = client ? LISTENER_TCP : LISTENER_API,
                                  .address = address_draw(i),
                                  .lives = 1 + (unsigned)sim_roll(scenario->lives),
                                  .next_ns = sim.now_ns + sim_roll(20 * NS_PER_MS),
                                  .stop_ns = CLOCK_NEVER};
        peer->requests_end = &peer->requests;
        if (client) {
            peer->style = client_style();
            if (peer->style != STYLE_ABUSIVE && sim_chance(scenario->framed_clients))
                peer->listener = LISTENER_WEB;
            if (sim_chance(scenario->late))
                peer->next_ns += 10 * NS_PER_S;
            peer->messages_left = 6;
            peer->acts_left = 40;
            peer->flood = i == 0 ? scenario->flood : 0;
        } else {
            peer->style = sim_chance(scenario->abusive_producers) ? STYLE_ABUSIVE : STYLE_GOOD;
            peer->messages_left =
                1 + scenario->messages / (scenario->producers == 0 ? 1 : scenario->producers);
            peer->depth = sim_chance(400) ? 1 : 1 + (unsigned)sim_roll(12);
            if (peer->style == STYLE_ABUSIVE && sim_chance(scenario->proxies ? 700 : 250))
                peer->listener = LISTENER_WEB;
        }
    }
}

static void requests_free(struct sim_peer *peer) {
    while (peer->requests != NULL) {
        struct request *request = peer->requests;
        peer->requests = request->next;
        free(request->attempts);
        free(request);
    }
    peer->requests_end = &peer->requests;
    peer->request_count = 0;
}

void peers_close(void) {
    for (unsigned i = 0; i < peer_count; i++) {
        requests_free(&peers[i]);
        text_free(&peers[i].out);
    }
    free(peers);
    peers = NULL;
    peer_count = 0;
}

void peer_write(struct sim_peer *peer, const struct text *text) {
    if (peer->session != NULL && peer->session->framed)
        frames_write(&peer->out, text, peer->session->deflates);
    else
        text_add(&peer->out, text->at, text->len);
}

void peer_say(struct sim_peer *peer, const char *words) {
    struct text text = {0};
    text_add(&text, words, strlen(words));
    peer_write(peer, &text);
    text_free(&text);
}

static bool trusted(const struct peer_address *address) {
    return sim.scenario.proxies && address->bytes[13] == 9;
}

static void proxy_header_write(struct sim_peer *peer) {
    struct text text = {0};
    unsigned host = (unsigned)sim_roll(200) + 1;
    switch (sim_roll(4)) {
    case 0:
        text_format(&text, "PROXY UNKNOWN\r\n");
        break;
    case 1: {
        static const char signature[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
        unsigned char rest[12] = {192, 0, 2, (unsigned char)host, 10, 0, 0, 1, 0x30, 0x39, 0, 80};
        text_add(&text, signature, 16);
        text_add(&text, rest, sizeof(rest));
        break;
    }
    default:
        text_format(&text, "PROXY TCP4 192.0.2.%u 10.0.0.1 %u 7000\r\n", host,
                    1000 + (unsigned)sim_roll(60000));
    }
    peer_write(peer, &text);
    text_free(&text);
}

bool peer_connect(struct sim_peer *peer) {
    peer->address.port = (uint16_t)sim_between(1024, 65000);
    peer->link = link_connect(peer->listener, &peer->address);
    if (peer->link == NULL)
        return false;
    text_drop_front(&peer->out, peer->out.len);
    peer->ending = peer->welcome = peer->hello_sent = peer->closes = false;
    peer->hello_ns = 0;
    peer->wish_count = 0;
    peer->read_ns = 0;
    peer->script_step = 0;
    peer->session = NULL;
    peer->link->style = (uint8_t)peer->style;
    peer->link->proxied = trusted(&peer->address);
    if (peer->link->proxied && !(peer->style == STYLE_ABUSIVE && sim_chance(400)))
        proxy_header_write(peer);
    SIM_TRACE("peer %u (%s) connects: link %u", peer->number,
              peer->kind == PEER_CLIENT ? "client" : "producer", peer->link->number);
    return true;
}

void peer_end(struct sim_peer *peer) {
    if (peer->ending)
        return;
    peer->ending = true;
    if (peer->session != NULL && peer->session->leave == NEVER)
        peer->session->leave = sim_stamp();
    SIM_TRACE("peer %u ends link %u", peer->number, peer->link->number);
}

void peer_reset(struct sim_peer *peer) {
    static const int errors[] = {ECONNRESET, ECONNRESET, ETIMEDOUT, EHOSTUNREACH};
    if (peer->session != NULL && peer->session->leave == NEVER)
        peer->session->leave = sim_stamp();
    SIM_TRACE("peer %u resets link %u", peer->number, peer->link->number);
    link_reset(peer->link, errors[sim_roll(4)]);
}

static void peer_over(struct sim_peer *peer) {
    if (peer->session != NULL && peer->session->leave == NEVER)
        peer->session->leave = sim_stamp();
    if (peer->kind == PEER_CLIENT)
        client_over(peer);
    else
        producer_over(peer);
    requests_free(peer);
    /* Nobody reads any more, and nothing more is sent. */
    if (!peer->link->reset && peer->style == STYLE_GOOD && peer->out.len == 0)
        link_end(peer->link);
    else if (!peer->link->reset)
        link_reset(peer->link, ECONNRESET);
    peer->link = NULL;
    peer->lives--;
    peer->next_ns = think_ns();
}

static bool out_waits(const struct sim_peer *peer) {
    return peer->link != NULL && peer->out.len > 0 && !peer->link->up_end && !peer->link->reset;
}

static bool out_can_go(const struct sim_peer *peer) {
    const struct sim_pipe *up = &peer->link->up;
    return out_waits(peer) &&
           (peer->link->state == LINK_CLOSED || up->written - up->taken < up->window);
}

static bool peer_pump(struct sim_peer *peer) {
    bool moved = false;
    if (out_can_go(peer)) {
        size_t len = peer->out.len;
        if (sim_chance(sim.scenario.chunk_small))
            len = sim_between(1, len < 16 ? len : 16);
        else if (sim_chance(300))
            len = sim_between(1, len);
        size_t taken = link_write(peer->link, peer->out.at, len);
        text_drop_front(&peer->out, taken);
        moved = taken > 0;
    }
    if (peer->ending && peer->out.len == 0 && !peer->link->up_end && !peer->link->reset) {
        link_end(peer->link);
        moved = true;
    }
    return moved;
}

static bool reads_now(const struct sim_peer *peer) {
    return peer->style != STYLE_DEAF && sim.now_ns >= peer->read_ns;
}

/* Is this life over? One that does not read notices only that the other side is gone. */
static bool link_over(const struct sim_peer *peer) {
    const struct link *link = peer->link;
    bool reads = peer->style != STYLE_DEAF && peer->read_ns != CLOCK_NEVER;
    return link->reset || link_ended(link) || (!reads && link->state == LINK_CLOSED);
}

static bool peer_read(struct sim_peer *peer) {
    struct link *link = peer->link;
    if (!reads_now(peer) || link_readable(link) == 0)
        return false;
    size_t max = link_readable(link);
    if (peer->style == STYLE_SLOW) {
        max = sim_between(1, 600);
        peer->read_ns = sim.now_ns + sim_between(20, 400) * NS_PER_MS;
    }
    link_read(link, max);
    const struct tap_event *event;
    while ((event = tap_next(&link->tap, link->down.taken)) != NULL)
        if (peer->kind == PEER_CLIENT)
            client_on_event(peer, event);
    return true;
}

static bool peer_acts_now(const struct sim_peer *peer) {
    if (peer->link == NULL)
        return peer->lives > 0 && !leaving && sim.now_ns >= peer->next_ns;
    return !peer->ending && !peer->link->reset && sim.now_ns >= peer->next_ns;
}

static bool peer_can_step(const struct sim_peer *peer) {
    const struct link *link = peer->link;
    if (link != NULL && (link_over(peer) || out_can_go(peer) ||
                         (peer->ending && peer->out.len == 0 && !link->up_end) ||
                         (reads_now(peer) && link_readable(link) > 0)))
        return true;
    return peer_acts_now(peer);
}

static bool peer_waits(const struct sim_peer *peer) {
    if (peer->kind == PEER_CLIENT)
        return !peer->welcome;
    return peer->request_count >= peer->depth ||
           (peer->messages_left == 0 && (peer->request_count > 0 || peer->lives == 1));
}

static bool peer_step(struct sim_peer *peer) {
    if (peer->link == NULL) {
        if (!peer_acts_now(peer))
            return false;
        if (peer->kind == PEER_CLIENT && sim.scenario.sse != 0)
            peer->listener = peer->style != STYLE_ABUSIVE && sim_chance(sim.scenario.sse)
                                 ? LISTENER_WEB
                                 : LISTENER_TCP;
        if (!peer_connect(peer)) {
            /* Nobody listens any more: the node goes. */
            peer->lives--;
            peer->next_ns = think_ns();
            return true;
        }
        peer->stop_ns = peer->lives > 1 || sim_chance(300)
                            ? sim.now_ns + sim_roll(40 * sim.scenario.think_max_ns)
                            : CLOCK_NEVER;
        peer->next_ns = sim.now_ns;
        if (peer->kind == PEER_CLIENT)
            client_begin(peer);
        else
            producer_begin(peer);
        return true;
    }
    bool moved = peer_pump(peer);
    moved |= peer_read(peer);
    if (link_over(peer)) {
        peer_over(peer);
        return true;
    }
    if (!peer_acts_now(peer))
        return moved;
    /* Whoever only waits is woken by what he waits for. */
    peer->next_ns = peer_waits(peer) ? sim.now_ns + NS_PER_S : think_ns();
    if (sim.now_ns >= peer->stop_ns && peer->style != STYLE_ABUSIVE) {
        if (sim_chance(sim.scenario.reset))
            peer_reset(peer);
        else
            peer_end(peer);
    } else if (peer->kind == PEER_CLIENT) {
        client_act(peer);
    } else {
        producer_act(peer);
    }
    return true;
}

bool peers_step(void) {
    bool moved = false;
    for (unsigned i = 0; i < peer_count; i++)
        if (peer_can_step(&peers[i]) && sim_chance(400))
            moved |= peer_step(&peers[i]);
    return moved;
}

bool peers_can_step(void) {
    for (unsigned i = 0; i < peer_count; i++)
        if (peer_can_step(&peers[i]))
            return true;
    return false;
}

uint64_t peers_next_ns(void) {
    uint64_t next = CLOCK_NEVER;
    for (unsigned i = 0; i < peer_count; i++) {
        const struct sim_peer *peer = &peers[i];
        bool waits =
            peer->link == NULL ? peer->lives > 0 && !leaving : !peer->ending && !peer->link->reset;
        if (waits && peer->next_ns < next)
            next = peer->next_ns;
        if (peer->link != NULL && peer->style == STYLE_SLOW && link_readable(peer->link) > 0 &&
            peer->read_ns > sim.now_ns && peer->read_ns < next)
            next = peer->read_ns;
    }
    return next;
}

void peers_hurry(void) {
    if (sim.scenario.producers == 0 || sim_chance(500))
        return;
    struct sim_peer *peer = &peers[sim.scenario.clients + sim_roll(sim.scenario.producers)];
    if (peer->style == STYLE_GOOD && peer->link != NULL)
        peer->next_ns = sim.now_ns;
}

bool peers_idle(void) {
    for (unsigned i = 0; i < peer_count; i++) {
        const struct sim_peer *peer = &peers[i];
        if (peer->kind == PEER_PRODUCER && peer->lives > 0 &&
            (peer->messages_left > 0 || peer->request_count > 0))
            return false;
    }
    return true;
}

void peers_rush(void) {
    for (unsigned i = 0; i < peer_count; i++) {
        if (peers[i].link != NULL || peers[i].lives == 0)
            continue;
        peers[i].next_ns = sim.now_ns;
        peer_step(&peers[i]);
    }
}

void peers_leave(void) {
    leaving = true;
    for (unsigned i = 0; i < peer_count; i++) {
        struct sim_peer *peer = &peers[i];
        if (peer->link == NULL || peer->ending || peer->link->reset)
            continue;
        if (peer->style == STYLE_DEAF || sim_chance(sim.scenario.reset))
            peer_reset(peer);
        else
            peer_end(peer);
    }
}

bool peers_gone(void) {
    for (unsigned i = 0; i < peer_count; i++)
        if (peers[i].link != NULL)
            return false;
    return true;
}

void peers_describe(void) {
    for (unsigned i = 0; i < peer_count; i++) {
        const struct sim_peer *peer = &peers[i];
        if (peer->link != NULL)
            sim_tell("peer %u: style %d, script %u, link %u, %zu bytes to write, %zu to read, "
                     "ending %d, welcome %d, requests %u",
                     i, peer->style, peer->script, peer->link->number, peer->out.len,
                     link_readable(peer->link), peer->ending, peer->welcome, peer->request_count);
    }
}

/* Those who try one id wait for each other, and each as long as the store is silent. */
static uint64_t patience_ns(void) {
    return sim_store_may_be_late() ? PATIENCE_NS + 20 * STORE_ANSWER_NS : PATIENCE_NS;
}

void peers_check(void) {
    for (unsigned i = 0; i < peer_count; i++) {
        struct sim_peer *peer = &peers[i];
        if (peer->link == NULL || peer->link->reset || peer->style == STYLE_ABUSIVE ||
            peer->style == STYLE_DEAF || peer->style == STYLE_SLOW || link_space(peer->link) == 0)
            continue;
        struct request *request = peer->requests;
        if (request != NULL && request->taken_ns == 0 && peer->link->up.taken >= request->end)
            request->taken_ns = sim.now_ns;
        if (request != NULL && request->taken_ns != 0 &&
            sim.now_ns - request->taken_ns > patience_ns())
            sim_fail("producer %u has waited for an answer on link %u since %.3f s", i,
                     peer->link->number, (double)request->taken_ns / 1e9);
        if (peer->hello_sent && !peer->welcome && peer->out.len == 0 && !peer->ending) {
            if (peer->hello_ns == 0 && peer->link->up.taken == peer->link->up.written)
                peer->hello_ns = sim.now_ns;
            if (peer->hello_ns != 0 && sim.now_ns - peer->hello_ns > PATIENCE_NS)
                sim_fail("client %u has waited for its welcome on link %u since %.3f s", i,
                         peer->link->number, (double)peer->hello_ns / 1e9);
        }
    }
}
