#include "tests/sim/sim_streams.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_toys.h"
#include "tests/toys/toy_session.h"
#include "tests/toys/toy_stream.h"

#include <errno.h>
#include <stdlib.h>

#define LIVES_MAX 3
#define ACTS_MAX 6
#define ASKED_MAX 32
#define LINE_BYTES_MAX (TOY_PIECE_BYTES_MAX + 1)
/* Nothing that a toy does takes longer without a byte. */
#define PATIENCE_NS (20 * NS_PER_S)
/* So late a writer may learn that its stream is not wanted any more. */
#define DRAIN_LATE_NS (1 * NS_PER_S)
#define END_LATE_NS (HTTP_WATCH_NS + 2 * NS_PER_S)

struct asked {
    const struct toy_stream_kind *kind; /* NULL: the answer is whole, and says `whole` */
    const char *whole;
    unsigned number;
    bool head, old; /* HEAD; HTTP/1.0 */
};

enum place { IN_HEAD, IN_SIZE, IN_CHUNK, BEHIND_CHUNK, IN_LAST, IN_BODY, IN_REST };

struct sim_stream {
    unsigned number, lives, acts;
    struct link *link; /* NULL: between two lives */
    struct peer_address address;
    struct text out;
    enum peer_style style; /* DEAF: stops reading for a while */
    bool ending, closes;   /* no request may follow what is written */
    uint64_t next_ns, read_ns, heard_ns;
    struct asked asked[ASKED_MAX];
    unsigned asked_count;
    /* What is being heard: */
    enum place place;
    bool refused;   /* with 503 */
    size_t left;    /* of a chunk or a body */
    unsigned piece; /* that comes next */
    bool over;      /* it has said its end */
    char line[LINE_BYTES_MAX + 1];
    size_t line_len;
};

static struct sim_stream *streams;
static unsigned asked_ever;
static bool leaving;
/* Since when the writer of a stream should have been told that it is to stop. */
static struct untold {
    unsigned number; /* of the stream */
    uint64_t drain_ns, end_ns;
} untold[SIM_WORKERS_MAX][TOY_STREAMS];

void streams_open(void) {
    streams = calloc(sim.scenario.streams + 1, sizeof(*streams));
    CHECK(streams != NULL);
    asked_ever = 0;
    leaving = false;
    memset(untold, 0, sizeof(untold));
    for (unsigned i = 0; i < sim.scenario.streams; i++) {
        struct sim_stream *peer = &streams[i];
        peer->number = i;
        peer->lives = 1 + (unsigned)sim_roll(LIVES_MAX);
        peer->address = (struct peer_address){
            .bytes = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 1, [14] = 3, [15] = 1}};
        peer->address.bytes[15] = (uint8_t)(sim_chance(200) ? 1 : i + 2);
        peer->next_ns = think_ns();
    }
}

void streams_close(void) {
    for (unsigned i = 0; i < sim.scenario.streams; i++)
        text_free(&streams[i].out);
    free(streams);
    streams = NULL;
}

/* --- what it asks ------------------------------------------------------------------------------
 */

static void ask(struct sim_stream *peer) {
    static const char *const wholes[][2] = {{"later", "later\n"}, {"say", "said\n"}};
    struct asked asked = {.number = ++asked_ever, .head = sim_chance(50), .old = sim_chance(50)};
    uint64_t roll = sim_roll(100);
    const char *word;
    if (roll < 40) {
        const char *const *whole = wholes[roll % 2];
        word = whole[0];
        asked.whole = whole[1];
    } else {
        asked.kind = &toy_stream_kinds[sim_roll(TOY_STREAM_KINDS)];
        word = asked.kind->word;
    }
    peer->asked[peer->asked_count++] = asked;
    peer->closes = asked.old;
    text_format(&peer->out, "%s /%s/%u HTTP/1.%c\r\nHost: a\r\n\r\n", asked.head ? "HEAD" : "GET",
                word, asked.number, asked.old ? '0' : '1');
}

/* --- what it hears -----------------------------------------------------------------------------
 */

_Noreturn static void broken(const struct sim_stream *peer, const char *what) {
    sim_fail("stream %u, link %u, after piece %u: %s: %.*s", peer->number, peer->link->number,
             peer->piece, what, (int)(peer->line_len < 200 ? peer->line_len : 200), peer->line);
}

static struct asked *asked_first(struct sim_stream *peer) {
    if (peer->asked_count == 0)
        broken(peer, "an answer to no request");
    return &peer->asked[0];
}

/* May a stream be without its end: has its writer been told to stop? */
static bool is_told(const struct sim_stream *peer) {
    return peer->link->up_end || server_phase(node_server()) > PHASE_RUNNING;
}

static void answer_end(struct sim_stream *peer) {
    const struct asked *asked = asked_first(peer);
    bool whole = asked->head || peer->refused || peer->over;
    if (!whole && !(asked->kind != NULL && is_told(peer)))
        broken(peer, "an answer ends too early");
    memmove(&peer->asked[0], &peer->asked[1], --peer->asked_count * sizeof(peer->asked[0]));
    peer->place = IN_HEAD;
    peer->refused = peer->over = false;
    peer->piece = 0;
}

static void line_check(struct sim_stream *peer) {
    char room[TOY_PIECE_BYTES_MAX];
    const struct asked *asked = asked_first(peer);
    struct span line = span_of(peer->line, peer->line_len);
    if (peer->refused)
        return;
    if (peer->over)
        broken(peer, "more behind the end");
    if (asked->kind == NULL) {
        if (!span_equal(line, span_text(asked->whole)))
            broken(peer, "another answer");
        peer->over = true;
    } else if (line.at[0] == '!' || line.at[0] == '?') {
        if (!asked->kind->sessions)
            broken(peer, "a message where there is no session");
        toy_message_check(peer->link, line.at);
    } else if (span_equal(line, SPAN("bye\n"))) {
        if (!is_told(peer))
            broken(peer, "a goodbye without a reason");
        peer->over = true;
    } else if (!span_equal(line, SPAN(":\n")) || !asked->kind->beats) {
        if (!span_equal(line, toy_stream_piece(asked->kind, asked->number, peer->piece, room)))
            broken(peer, "another piece");
        peer->over = peer->piece++ == asked->kind->pieces;
    }
}

static void head_check(struct sim_stream *peer) {
    const char *head = peer->line;
    const struct asked *asked = asked_first(peer);
    unsigned status = (unsigned)strtoul(head + strlen("HTTP/1.1 "), NULL, 10);
    const char *length = strstr(head, "Content-Length: ");
    bool chunks = strstr(head, "Transfer-Encoding: chunked") != NULL;
    peer->refused = status == 503 || status == 429;
    bool streams_now = status == 200 && asked->kind != NULL;
    if ((status != 200 && !peer->refused) || (length == NULL) != streams_now ||
        chunks != (streams_now && !asked->old))
        broken(peer, "a head that fits no answer");
    peer->left = length == NULL ? 0 : strtoul(length + strlen("Content-Length: "), NULL, 10);
    peer->place = chunks ? IN_SIZE : length != NULL ? IN_BODY : IN_REST;
    if (asked->head)
        answer_end(peer);
}

/* A line of the framing, or of what is framed. */
static void line_take(struct sim_stream *peer) {
    peer->line[peer->line_len] = '\0';
    switch (peer->place) {
    case IN_HEAD:
        if (peer->line_len < 4 || memcmp(peer->line + peer->line_len - 4, "\r\n\r\n", 4) != 0)
            return;
        head_check(peer);
        break;
    case IN_SIZE:
        peer->left = strtoul(peer->line, NULL, 16);
        peer->place = peer->left == 0 ? IN_LAST : IN_CHUNK;
        break;
    case BEHIND_CHUNK:
    case IN_LAST:
        if (peer->line_len != 2)
            broken(peer, "no end of a chunk");
        if (peer->place == IN_LAST)
            answer_end(peer);
        else
            peer->place = IN_SIZE;
        break;
    case IN_CHUNK:
    case IN_BODY:
    case IN_REST:
        line_check(peer);
        break;
    }
    peer->line_len = 0;
}

static void byte_take(struct sim_stream *peer, char byte) {
    enum place place = peer->place;
    if (peer->line_len == LINE_BYTES_MAX)
        broken(peer, "a line without an end");
    peer->line[peer->line_len++] = byte;
    peer->left -= place == IN_CHUNK || place == IN_BODY;
    if (byte == '\n')
        line_take(peer);
    if (place != peer->place || peer->left != 0 || (place != IN_CHUNK && place != IN_BODY))
        return;
    if (peer->line_len != 0)
        broken(peer, "a piece in part");
    if (place == IN_CHUNK)
        peer->place = BEHIND_CHUNK;
    else
        answer_end(peer);
}

void stream_on_bytes(struct link *link, const char *at, size_t len) {
    struct sim_stream *peer = link->tap.stream;
    SIM_TRACE("link %u < stream %u: %zu bytes: %.*s", link->number, peer->number, len,
              (int)(len < 200 ? len : 200), at);
    peer->heard_ns = sim.now_ns;
    for (size_t i = 0; peer->link == link && i < len; i++)
        byte_take(peer, at[i]);
}

/* --- what the node must do ---------------------------------------------------------------------
 */

void streams_quiet_check(void) {
    for (unsigned i = 0; i < sim.scenario.streams; i++) {
        const struct sim_stream *peer = &streams[i];
        const struct link *link = peer->link;
        if (link == NULL || link->state != LINK_OPEN || link->reset || link->down_end ||
            peer->out.len != 0 || link->up.taken != link->up.written ||
            link->down.taken != link->down.written || peer->asked_count == 0)
            continue;
        if (sim.now_ns > peer->heard_ns + PATIENCE_NS)
            sim_fail("stream %u, link %u: the node has taken %u requests and says nothing", i,
                     link->number, peer->asked_count);
    }
}

/* True: it is so for longer than that. */
static bool lasts(uint64_t *since_ns, bool is, uint64_t ns) {
    if (!is)
        *since_ns = 0;
    else if (*since_ns == 0)
        *since_ns = sim.now_ns;
    return is && sim.now_ns > *since_ns + ns;
}

static void told_check(const struct worker *worker, const struct toy_stream *toy,
                       const struct connection *connection, struct untold *since) {
    if (since->number != toy->number)
        *since = (struct untold){.number = toy->number};
    if (lasts(&since->drain_ns, toy->stopped != CLOSE_DRAINING && connection->drain_told,
              DRAIN_LATE_NS))
        sim_fail("worker %u: stream %u was not told of the drain", worker->index, toy->number);
    if (lasts(&since->end_ns, toy->stopped == CLOSE_NONE && connection->end_seen, END_LATE_NS))
        sim_fail("worker %u: stream %u was not told of its peer's end", worker->index, toy->number);
    if (toy->full && exchange_stream_is_open(toy->exchange) && outbox_empty(&connection->outbox))
        sim_fail("worker %u: stream %u has room and does not know", worker->index, toy->number);
}

/* Also of streams that have ended: what was written for them waits still. */
static void unsent_check(struct worker *worker) {
    for (unsigned i = 0; i < world_links(); i++) {
        const struct link *link = world_link(i);
        if (link->tap.kind != TAP_STREAM || link->worker != (int)worker->index ||
            !link->handle_known || link->finished)
            continue;
        const struct connection *connection = connection_resolve(worker, link->handle);
        if (connection != NULL &&
            connection->outbox.reply_bytes > HTTP_UNSENT_BYTES_MAX + HTTP_STREAM_PIECE_BYTES_MAX)
            sim_fail("worker %u: %u bytes wait for link %u", worker->index,
                     connection->outbox.reply_bytes, link->number);
    }
}

void streams_turn_check(struct worker *worker) {
    if (sim.scenario.streams != 0)
        unsent_check(worker);
    for (unsigned i = 0; sim.scenario.streams != 0 && i < TOY_STREAMS; i++) {
        const struct toy_stream *toy = toy_stream_at(worker->index, i);
        if (toy == NULL || !toy->begun)
            continue;
        const struct connection *connection = connection_resolve(worker, toy->connection);
        if (connection == NULL || !connection_is_open(connection))
            sim_fail("worker %u: stream %u goes on, and its connection has gone", worker->index,
                     toy->number);
        told_check(worker, toy, connection, &untold[worker->index][i]);
        if (toy->seated && !exchange_stream_is_open(toy->exchange))
            sim_fail("worker %u: stream %u has sessions before its head", worker->index,
                     toy->number);
    }
}

void streams_left_check(void) {
    for (unsigned i = 0; i < SIM_WORKERS_MAX * TOY_STREAMS; i++)
        if (toy_stream_at(i / TOY_STREAMS, i % TOY_STREAMS) != NULL)
            sim_fail("worker %u still has a stream", i / TOY_STREAMS);
}

/* The node has ended it in order: is everything whole? See end_check in sim_toys.c; who is slow may
 * have been given up with the rest unsent. */
static void end_check(const struct sim_stream *peer) {
    const struct link *link = peer->link;
    bool plenty = sim.scenario.no_memory == 0 && sim.scenario.memory_bytes > 10000000 &&
                  sim.scenario.send_window >= 16384 && peer->style == STYLE_GOOD;
    bool in_order = link->handle_known && link->close_stamp != 0 &&
                    (link->close_reason == CLOSE_CLIENT || link->close_reason == CLOSE_DRAINING ||
                     link->close_reason == CLOSE_HTTP_DONE);
    bool lost = link->reset || link->send_failed || link->down_reset;
    bool whole = peer->line_len == 0 && (peer->place == IN_HEAD || peer->place == IN_REST);
    if (plenty && in_order && !lost && link->down.taken == link->down.written && !whole)
        broken(peer, "the connection ends within an answer");
}

/* --- its lives ---------------------------------------------------------------------------------
 */

static bool reads_now(const struct sim_stream *peer) {
    return sim.now_ns >= peer->read_ns && link_readable(peer->link) > 0;
}

static bool writes_now(const struct sim_stream *peer) {
    const struct link *link = peer->link;
    return peer->out.len != 0 && !link->up_end && !link->reset &&
           (link->state == LINK_CLOSED || link->up.written - link->up.taken < link->up.window);
}

static bool ends_now(const struct sim_stream *peer) {
    return peer->ending && peer->out.len == 0 && !peer->link->up_end && !peer->link->reset;
}

static bool is_over(const struct sim_stream *peer) {
    return peer->link->reset || link_ended(peer->link);
}

static bool acts_now(const struct sim_stream *peer) {
    if (peer->link == NULL)
        return peer->lives != 0 && !leaving && sim.now_ns >= peer->next_ns;
    return !peer->ending && sim.now_ns >= peer->next_ns;
}

static bool can_step(const struct sim_stream *peer) {
    return acts_now(peer) || (peer->link != NULL && (is_over(peer) || reads_now(peer) ||
                                                     writes_now(peer) || ends_now(peer)));
}

static void life_begin(struct sim_stream *peer) {
    peer->lives--;
    peer->next_ns = think_ns();
    peer->address.port = (uint16_t)sim_between(1024, 65000);
    peer->link = link_connect(LISTENER_WEB, &peer->address);
    if (peer->link == NULL)
        return;
    SIM_TRACE("stream %u connects: link %u", peer->number, peer->link->number);
    peer->link->tap.kind = TAP_STREAM;
    peer->link->tap.stream = peer;
    peer->style = sim_chance(600) ? STYLE_GOOD : sim_chance(500) ? STYLE_SLOW : STYLE_DEAF;
    peer->link->style = (uint8_t)peer->style;
    peer->acts = 1 + (unsigned)sim_roll(ACTS_MAX);
    peer->out.len = peer->line_len = 0;
    peer->asked_count = 0;
    peer->piece = 0;
    peer->place = IN_HEAD;
    peer->refused = peer->over = peer->ending = peer->closes = false;
    peer->read_ns = 0;
    peer->heard_ns = sim.now_ns;
}

static void life_end(struct sim_stream *peer) {
    end_check(peer);
    if (!peer->link->reset && !peer->link->up_end)
        link_reset(peer->link, ECONNRESET);
    peer->link = NULL;
    peer->next_ns = think_ns();
}

static void act(struct sim_stream *peer) {
    static const int errors[] = {ECONNRESET, ETIMEDOUT, EHOSTUNREACH};
    peer->next_ns = think_ns();
    if (peer->acts != 0) {
        peer->acts--;
        if (peer->asked_count == 0)
            peer->heard_ns = sim.now_ns;
        for (uint64_t i = 1 + sim_roll(3); i > 0 && !peer->closes; i--)
            if (peer->asked_count < ASKED_MAX)
                ask(peer);
        if (peer->style == STYLE_DEAF && sim_chance(400))
            peer->read_ns = sim.now_ns + sim_roll(60 * NS_PER_S);
    } else if (sim_chance(peer->lives != 0 ? 700 : 300)) {
        peer->ending = true;
        if (sim_chance(sim.scenario.reset))
            link_reset(peer->link, errors[sim_roll(3)]);
    } else {
        peer->next_ns = sim.now_ns + sim_roll(5 * NS_PER_S);
    }
}

static void step(struct sim_stream *peer) {
    if (peer->link == NULL) {
        life_begin(peer);
        return;
    }
    if (writes_now(peer)) {
        size_t len = sim_chance(300) ? sim_between(1, peer->out.len) : peer->out.len;
        text_drop_front(&peer->out, link_write(peer->link, peer->out.at, len));
    }
    if (ends_now(peer))
        link_end(peer->link);
    if (reads_now(peer)) {
        bool little = peer->style == STYLE_SLOW && !leaving;
        link_read(peer->link, little ? sim_between(1, 4000) : SIZE_MAX);
        if (little)
            peer->read_ns = sim.now_ns + sim_roll(200 * NS_PER_MS);
    }
    if (is_over(peer))
        life_end(peer);
    else if (acts_now(peer))
        act(peer);
}

bool streams_step(void) {
    bool moved = false;
    for (unsigned i = 0; i < sim.scenario.streams; i++) {
        if (!can_step(&streams[i]) || !sim_chance(400))
            continue;
        step(&streams[i]);
        moved = true;
    }
    return moved;
}

bool streams_can_step(void) {
    for (unsigned i = 0; i < sim.scenario.streams; i++)
        if (can_step(&streams[i]))
            return true;
    return false;
}

uint64_t streams_next_ns(void) {
    uint64_t next = CLOCK_NEVER;
    for (unsigned i = 0; i < sim.scenario.streams; i++) {
        const struct sim_stream *peer = &streams[i];
        bool waits = peer->link == NULL ? peer->lives != 0 && !leaving : !peer->ending;
        if (waits && peer->next_ns < next)
            next = peer->next_ns;
        if (peer->link != NULL && link_readable(peer->link) > 0 && peer->read_ns < next)
            next = peer->read_ns;
    }
    return next;
}

void streams_leave(void) {
    leaving = true;
    for (unsigned i = 0; i < sim.scenario.streams; i++) {
        streams[i].ending = true;
        streams[i].read_ns = 0;
    }
}
