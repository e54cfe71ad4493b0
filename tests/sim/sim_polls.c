#include "tests/sim/sim_polls.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/server.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_payload.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_sio.h"
#include "tests/sim/sim_toys.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WIRES_MAX 4
#define LIVES_MAX 4
#define ACTS_MAX 14
#define SID_LEN 20

enum wire_kind {
    WIRE_IDLE,
    WIRE_OPENS, /* a handshake by poll */
    WIRE_GET,
    WIRE_POST,
    WIRE_OTHER,   /* whatever it is answered */
    WIRE_UPGRADE, /* 101 has not come */
    WIRE_SOCKET
};

/* One connection. */
struct wire {
    struct link *link; /* NULL: none */
    struct sim_poller *of;
    enum wire_kind kind;
    unsigned epoch; /* the session that it is about */
    bool probing, probed, ending;
    struct text out, in;
};

struct sim_poller {
    unsigned number, lives, acts;
    struct peer_address address;
    enum payload_form form;
    struct wire wires[WIRES_MAX];
    unsigned epoch;        /* counts its sessions */
    char sid[SID_LEN + 1]; /* empty: it has none */
    bool socket;           /* its session has a WebSocket */
    bool pong;             /* is owed */
    bool slow;
    unsigned sent, heard; /* numbers that are to come back, and that did */
    struct sim_sio sio;   /* with the app of Socket.IO instead */
    uint64_t next_ns, read_ns;
};

static struct sim_poller *pollers;
static bool leaving;

void polls_open(void) {
    pollers = calloc(sim.scenario.polls + 1, sizeof(*pollers));
    CHECK(pollers != NULL);
    leaving = false;
    for (unsigned i = 0; i < sim.scenario.polls; i++) {
        struct sim_poller *poller = &pollers[i];
        poller->number = i;
        poller->lives = 1 + (unsigned)sim_roll(LIVES_MAX);
        poller->acts = 2 + (unsigned)sim_roll(ACTS_MAX);
        poller->address = (struct peer_address){
            .bytes = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 1, [14] = 4, [15] = 1}};
        poller->slow = sim_chance(200);
        poller->next_ns = think_ns();
        for (unsigned w = 0; w < WIRES_MAX; w++)
            poller->wires[w].of = poller;
        if (sim.scenario.old && sim_chance(700))
            poller->form = sim_chance(500) ? PAYLOAD_3 : PAYLOAD_JSONP;
        poller->sio.old = poller->form != PAYLOAD_4;
    }
}

void polls_close(void) {
    for (unsigned i = 0; i < sim.scenario.polls; i++)
        for (unsigned w = 0; w < WIRES_MAX; w++) {
            text_free(&pollers[i].wires[w].out);
            text_free(&pollers[i].wires[w].in);
        }
    free(pollers);
    pollers = NULL;
}

/* --- the session -------------------------------------------------------------------------------
 */

/* It has ended, or may have. */
static void session_forget(struct sim_poller *poller) {
    poller->epoch++;
    poller->sid[0] = '\0';
    poller->socket = poller->pong = false;
    poller->sent = poller->heard = 0;
    sio_forget(&poller->sio);
}

static bool is_current(const struct wire *wire) {
    return wire->epoch == wire->of->epoch;
}

static void packet_take(void *of, char *packet) {
    struct wire *wire = of;
    struct sim_poller *poller = wire->of;
    unsigned number;
    if (packet[0] == '4' && sim.scenario.sio) {
        if (is_current(wire))
            sio_packet_take(&poller->sio, poller->number, packet);
    } else if (packet[0] == '4' && packet[1] == '!') {
        toy_message_check(wire->link, packet + 1);
    } else if (packet[0] == '4' && sscanf(packet, "4e%u", &number) == 1) {
        if (is_current(wire) && number != ++poller->heard)
            sim_fail("poller %u, link %u hears %u after %u", poller->number, wire->link->number,
                     number, poller->heard - 1);
    } else if (packet[0] == '2') {
        poller->pong |= is_current(wire);
    } else if (packet[0] == '0') {
        const char *sid = strstr(packet, "\"sid\":\"");
        if (sid == NULL)
            sim_fail("poller %u: an open packet without a sid: %s", poller->number, packet);
        if (!is_current(wire)) /* it has asked for another one meanwhile */
            return;
        memcpy(poller->sid, sid + strlen("\"sid\":\""), SID_LEN);
        poller->sid[SID_LEN] = '\0';
    } else if (strcmp(packet, "3probe") == 0) {
        wire->probed = true;
    } else if (packet[0] == '1') {
        if (is_current(wire))
            session_forget(poller);
    } else if (packet[0] != '6' && packet[0] != '3' && packet[0] != 'b') {
        sim_fail("poller %u, link %u hears %s", poller->number, wire->link->number, packet);
    }
}

/* --- what it hears -----------------------------------------------------------------------------
 */

static void answer_take(struct wire *wire, unsigned status, char *body, size_t len) {
    struct sim_poller *poller = wire->of;
    enum wire_kind kind = wire->kind;
    if (kind == WIRE_IDLE)
        sim_fail("poller %u, link %u: an answer to nothing", poller->number, wire->link->number);
    wire->kind = WIRE_IDLE;
    if (kind == WIRE_UPGRADE && status == 101) {
        wire->kind = WIRE_SOCKET;
        return;
    }
    if (status != 200 && status != 400 && status != 503 && status != 413 && status != 500 &&
        status != 429)
        sim_fail("poller %u, link %u is answered %u", poller->number, wire->link->number, status);
    if ((kind == WIRE_GET || kind == WIRE_OPENS) && status == 200) {
        if (!payload_read(poller->form, body, len, packet_take, wire))
            sim_fail("poller %u, link %u: %.*s is no payload", poller->number, wire->link->number,
                     (int)len, body);
    } else if (kind != WIRE_OTHER && status != 200 && is_current(wire))
        session_forget(poller);
}

/* A whole answer at the front. False: more must come. */
static bool answer_cut(struct wire *wire) {
    struct text *in = &wire->in;
    char *end = in->len < 4 ? NULL : memmem(in->at, in->len, "\r\n\r\n", 4);
    if (end == NULL)
        return false;
    size_t head = (size_t)(end - in->at) + 4;
    unsigned status = (unsigned)strtoul(in->at + strlen("HTTP/1.1 "), NULL, 10);
    const char *length = memmem(in->at, head, "Content-Length: ", 16);
    size_t body = length == NULL ? 0 : strtoul(length + 16, NULL, 10);
    if (in->len < head + body)
        return false;
    answer_take(wire, status, in->at + head, body);
    text_drop_front(in, head + body);
    return true;
}

/* A whole frame. */
static bool frame_cut(struct wire *wire) {
    struct text *in = &wire->in;
    const unsigned char *at = (const unsigned char *)in->at;
    if (in->len < 2)
        return false;
    size_t len = at[1], head = 2;
    CHECK(len <= 126);
    if (len == 126 && in->len >= 4) {
        len = (size_t)at[2] << 8 | at[3];
        head = 4;
    }
    if (in->len < head + len || (at[1] == 126 && head == 2))
        return false;
    if ((at[0] & 15) == 1) {
        char packet[4096];
        CHECK(len < sizeof(packet));
        memcpy(packet, in->at + head, len);
        packet[len] = '\0';
        packet_take(wire, packet);
    } else if ((at[0] & 15) == 8) {
        wire->ending = true;
    }
    text_drop_front(in, head + len);
    return true;
}

void poll_on_bytes(struct link *link, const char *at, size_t len) {
    struct wire *wire = link->tap.wire;
    SIM_TRACE("link %u < poller %u: %zu bytes: %.*s", link->number, wire->of->number, len,
              (int)(len < 300 ? len : 300), at);
    if (wire->link != link)
        return;
    text_add(&wire->in, at, len);
    while (wire->kind == WIRE_SOCKET ? frame_cut(wire) : answer_cut(wire))
        continue;
}

/* --- what it asks ------------------------------------------------------------------------------
 */

static void request(struct wire *wire, enum wire_kind kind, const char *method, const char *sid,
                    const char *body) {
    enum payload_form form = wire->of->form;
    wire->kind = kind;
    wire->epoch = wire->of->epoch;
    text_format(&wire->out, "%s /socket.io/?%s&transport=polling%s%s%s HTTP/1.1\r\nHost: a\r\n",
                method, payload_query(form), sid[0] == '\0' ? "" : "&sid=", sid,
                sid[0] == '\0' && wire->of->number % 2 == 0 ? "&groups=q" : "");
    if (body != NULL) {
        struct text payload = {0};
        payload_write(&payload, form, body);
        text_format(&wire->out, "Content-Length: %zu\r\n\r\n", payload.len);
        text_span(&wire->out, text_as_span(&payload));
        text_free(&payload);
    } else {
        text_format(&wire->out, "\r\n");
    }
}

static void upgrade_ask(struct wire *wire, const char *sid) {
    wire->kind = WIRE_UPGRADE;
    wire->epoch = wire->of->epoch;
    wire->probing = sid[0] != '\0';
    wire->probed = false;
    text_format(&wire->out,
                "GET /socket.io/?EIO=%d&transport=websocket%s%s HTTP/1.1\r\nHost: a\r\n"
                "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n",
                wire->of->form == PAYLOAD_4 ? 4 : 3, sid[0] == '\0' ? "" : "&sid=", sid);
}

static void bytes_send(struct wire *wire, char opcode, const char *text, size_t len) {
    char head[8] = {(char)(0x80 | opcode), (char)(0x80 | len)};
    size_t head_len = 6;
    if (len > 125) {
        head[1] = (char)(0x80 | 126);
        head[2] = (char)(len >> 8);
        head[3] = (char)len;
        head_len = 8;
    }
    text_add(&wire->out, head, head_len);
    text_add(&wire->out, text, len);
}

/* A packet, and the bytes behind it, of which nobody looks at the base64. */
static void frame_send(struct wire *wire, const char *text) {
    size_t len = strcspn(text, "\x1e"), type = wire->of->form == PAYLOAD_4 ? 1 : 0;
    bytes_send(wire, 1, text, len);
    if (text[len] == PACKET_MARK)
        bytes_send(wire, 2, "\4\0\0" + type, 3 - type);
}

static size_t sio_add(struct sim_poller *poller, char *text, size_t cap, const char *between) {
    char packet[1024];
    sio_packet_make(&poller->sio, poller->number, packet, sizeof(packet));
    return (size_t)snprintf(text, cap, "%s%s", between, packet);
}

/* Some packets for a POST, or one for a frame. */
static void packets_make(struct sim_poller *poller, char *text, size_t cap, unsigned most) {
    static const char *const odd[] = {"4s", "4s", "4p", "4s", "4f", "4c", "1", "x", "2", "4s"};
    size_t len = 0;
    text[0] = '\0';
    for (uint64_t i = 1 + sim_roll(most); i > 0; i--) {
        const char *between = len == 0 ? "" : "\x1e";
        if (poller->pong)
            len += (size_t)snprintf(text + len, cap - len, "%s3", between);
        else if (sim.scenario.sio)
            len += sio_add(poller, text + len, cap - len, between);
        else if (sim_chance(300))
            len += (size_t)snprintf(text + len, cap - len, "%s%s", between,
                                    odd[sim_roll(sim_chance(200) ? 10 : 4)]);
        else
            len += (size_t)snprintf(text + len, cap - len, "%s4e%u%.*s", between, ++poller->sent,
                                    (int)sim_roll(sim_chance(100) ? 600 : 8),
                                    "                                                            "
                                    "                                                            ");
        poller->pong = false;
    }
}

static struct wire *wire_of(struct sim_poller *poller, enum wire_kind kind) {
    for (unsigned i = 0; i < WIRES_MAX; i++)
        if (poller->wires[i].link != NULL && poller->wires[i].kind == kind &&
            !poller->wires[i].ending)
            return &poller->wires[i];
    return NULL;
}

/* One without a request: any of them, or a new one. NULL: there is none. */
static struct wire *wire_idle(struct sim_poller *poller) {
    unsigned from = (unsigned)sim_roll(WIRES_MAX);
    for (unsigned i = 0; i < WIRES_MAX; i++) {
        struct wire *wire = &poller->wires[(from + i) % WIRES_MAX];
        if (wire->link != NULL && wire->kind == WIRE_IDLE && !wire->ending)
            return wire;
        if (wire->link != NULL)
            continue;
        poller->address.port = (uint16_t)sim_between(1024, 65000);
        poller->address.bytes[15] = (uint8_t)(1 + sim_roll(4));
        wire->link = link_connect(LISTENER_WEB, &poller->address);
        if (wire->link == NULL)
            return NULL;
        wire->link->tap.kind = TAP_POLL;
        wire->link->tap.wire = wire;
        wire->link->style = STYLE_ABUSIVE;
        wire->kind = WIRE_IDLE;
        wire->ending = wire->probing = wire->probed = false;
        wire->out.len = wire->in.len = 0;
        SIM_TRACE("poller %u connects: link %u", poller->number, wire->link->number);
        return wire;
    }
    return NULL;
}

static void act_socket(struct sim_poller *poller, struct wire *wire) {
    char text[2048];
    if (wire->probing) {
        /* A probe, and the end of the upgrade once no poll waits; or it is given up. */
        if (!wire->probed) {
            frame_send(wire, sim_chance(950) ? "2probe" : "4x");
        } else if (sim_chance(100)) {
            wire->ending = true;
        } else if (wire_of(poller, WIRE_GET) == NULL && wire_of(poller, WIRE_POST) == NULL &&
                   is_current(wire) && sim_chance(800)) {
            frame_send(wire, "5");
            wire->probing = false;
            poller->socket = true;
        }
        return;
    }
    if (!is_current(wire) || sim_chance(50)) {
        wire->ending = true;
        return;
    }
    packets_make(poller, text, sizeof(text), 1);
    frame_send(wire, text);
}

static void act_odd(struct sim_poller *poller) {
    struct wire *wire = wire_idle(poller), *waits = wire_of(poller, WIRE_GET);
    uint64_t roll = sim_roll(100);
    if (roll < 30 && waits != NULL) {
        link_reset(waits->link, ECONNRESET);
    } else if (wire == NULL) {
        return;
    } else if (roll < 45 && poller->sid[0] != '\0') { /* without one it would open another */
        request(wire, WIRE_OTHER, "GET", poller->sid, NULL);
        if (waits != NULL)
            session_forget(poller);
        else
            wire->kind = WIRE_GET;
    } else if (roll < 60) {
        request(wire, WIRE_OTHER, "PUT", poller->sid, NULL);
    } else if (roll < 75) {
        request(wire, WIRE_OTHER, "GET", "AAAAAAAAAAAAAAAAAAAA", NULL);
    } else if (roll < 85) {
        request(wire, WIRE_POST, "POST", poller->sid, "4y");
        session_forget(poller); /* what it sends back is no number */
    } else {
        wire->ending = true;
    }
}

static void act(struct sim_poller *poller) {
    char text[4096];
    poller->next_ns = think_ns();
    struct wire *socket = wire_of(poller, WIRE_SOCKET);
    if (poller->acts == 0) {
        if (poller->lives == 0)
            return;
        poller->lives--;
        poller->acts = 2 + (unsigned)sim_roll(ACTS_MAX);
        session_forget(poller);
        for (unsigned i = 0; i < WIRES_MAX; i++)
            poller->wires[i].ending = sim_chance(500);
        return;
    }
    poller->acts--;
    if (socket != NULL && sim_chance(700)) {
        act_socket(poller, socket);
        return;
    }
    if (sim_chance(60)) {
        act_odd(poller);
        return;
    }
    if (poller->socket || (poller->sid[0] == '\0' && wire_of(poller, WIRE_OPENS) != NULL))
        return;
    struct wire *wire = wire_idle(poller);
    if (wire == NULL)
        return;
    if (poller->sid[0] == '\0') {
        session_forget(poller);
        if (sim_chance(200) && socket == NULL && wire_of(poller, WIRE_UPGRADE) == NULL) {
            upgrade_ask(wire, "");
            poller->socket = true;
        } else {
            request(wire, WIRE_OPENS, "GET", "", NULL);
        }
    } else if (wire_of(poller, WIRE_GET) == NULL && sim_chance(600)) {
        request(wire, WIRE_GET, "GET", poller->sid, NULL);
    } else if (wire_of(poller, WIRE_POST) == NULL && sim_chance(700)) {
        packets_make(poller, text, sizeof(text), 3);
        request(wire, WIRE_POST, "POST", poller->sid, text);
    } else if (socket == NULL && wire_of(poller, WIRE_UPGRADE) == NULL) {
        upgrade_ask(wire, poller->sid);
    }
}

/* --- its connections ---------------------------------------------------------------------------
 */

static bool reads_now(const struct wire *wire) {
    return sim.now_ns >= wire->of->read_ns && link_readable(wire->link) > 0;
}

static bool writes_now(const struct wire *wire) {
    const struct link *link = wire->link;
    return wire->out.len != 0 && !link->up_end && !link->reset &&
           (link->state == LINK_CLOSED || link->up.written - link->up.taken < link->up.window);
}

static bool ends_now(const struct wire *wire) {
    return wire->ending && wire->out.len == 0 && !wire->link->up_end && !wire->link->reset;
}

static bool is_over(const struct wire *wire) {
    return wire->link->reset || link_ended(wire->link);
}

static bool wire_can_step(const struct wire *wire) {
    return wire->link != NULL &&
           (is_over(wire) || reads_now(wire) || writes_now(wire) || ends_now(wire));
}

static void wire_step(struct wire *wire) {
    struct sim_poller *poller = wire->of;
    if (writes_now(wire)) {
        size_t len = sim_chance(300) ? sim_between(1, wire->out.len) : wire->out.len;
        text_drop_front(&wire->out, link_write(wire->link, wire->out.at, len));
    }
    if (ends_now(wire)) {
        /* Whatever was about its session has an end. */
        if (sim_chance(sim.scenario.reset + 200))
            link_reset(wire->link, ECONNRESET);
        else
            link_end(wire->link);
    }
    if (reads_now(wire)) {
        bool little = poller->slow && !leaving;
        link_read(wire->link, little ? sim_between(1, 4000) : SIZE_MAX);
        if (little)
            poller->read_ns = sim.now_ns + sim_roll(200 * NS_PER_MS);
    }
    if (!is_over(wire))
        return;
    bool matters = wire->kind == WIRE_GET || wire->kind == WIRE_POST || wire->kind == WIRE_OPENS ||
                   wire->kind == WIRE_UPGRADE || (wire->kind == WIRE_SOCKET && !wire->probing);
    if (matters && is_current(wire))
        session_forget(poller);
    if (!wire->link->reset && !wire->link->up_end)
        link_reset(wire->link, ECONNRESET);
    wire->link = NULL;
}

static bool acts_now(const struct sim_poller *poller) {
    return !leaving && (poller->acts != 0 || poller->lives != 0) && sim.now_ns >= poller->next_ns;
}

bool polls_step(void) {
    bool moved = false;
    for (unsigned i = 0; i < sim.scenario.polls; i++) {
        struct sim_poller *poller = &pollers[i];
        for (unsigned w = 0; w < WIRES_MAX; w++) {
            if (!wire_can_step(&poller->wires[w]) || !sim_chance(400))
                continue;
            wire_step(&poller->wires[w]);
            moved = true;
        }
        if (acts_now(poller) && sim_chance(400)) {
            act(poller);
            moved = true;
        }
    }
    return moved;
}

bool polls_can_step(void) {
    for (unsigned i = 0; i < sim.scenario.polls; i++) {
        if (acts_now(&pollers[i]))
            return true;
        for (unsigned w = 0; w < WIRES_MAX; w++)
            if (wire_can_step(&pollers[i].wires[w]))
                return true;
    }
    return false;
}

uint64_t polls_next_ns(void) {
    uint64_t next = CLOCK_NEVER;
    for (unsigned i = 0; i < sim.scenario.polls; i++) {
        const struct sim_poller *poller = &pollers[i];
        if (!leaving && (poller->acts != 0 || poller->lives != 0) && poller->next_ns < next)
            next = poller->next_ns;
        for (unsigned w = 0; w < WIRES_MAX; w++)
            if (poller->wires[w].link != NULL && link_readable(poller->wires[w].link) > 0 &&
                poller->read_ns < next)
                next = poller->read_ns;
    }
    return next;
}

void polls_leave(void) {
    leaving = true;
    for (unsigned i = 0; i < sim.scenario.polls; i++) {
        pollers[i].read_ns = 0;
        for (unsigned w = 0; w < WIRES_MAX; w++)
            pollers[i].wires[w].ending = true;
    }
}

bool engines_any(void) {
    const struct server *server = node_server();
    uint64_t engines = 0;
    for (unsigned i = 0; i < server->worker_count; i++)
        engines += stats_get(&server->workers[i].stats.engines);
    return engines != 0;
}
