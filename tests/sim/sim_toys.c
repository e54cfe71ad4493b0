#include "tests/sim/sim_toys.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "tests/sim/sim_peer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define LIVES_MAX 3
#define ACTS_MAX 12
#define TOY_NUMBERS_MAX 8192
#define TOY_MARKS_MAX 4096
#define ANY_WORKER '\1' /* in what is expected: the number of a worker, and the end of the line */

struct sim_toy {
    unsigned number, lives, acts;
    struct link *link; /* NULL: between two lives */
    struct peer_address address;
    struct text out;      /* still to be written */
    struct text expected; /* all that must come back */
    size_t heard;         /* of it */
    unsigned worker;      /* the number that is being read for ANY_WORKER */
    unsigned bye;         /* bytes of the goodbye */
    char message[64];     /* the one that is being heard */
    size_t message_len;
    bool pairs, slow, ending;
    uint64_t next_ns, read_ns;
};

static struct sim_toy *toys;
/* What each session has heard, and what on the connection where it heard last. */
static struct sim_hearing {
    const struct link *link;
    uint32_t mark, said[SIM_WORKERS_MAX];
    uint64_t marks[TOY_MARKS_MAX / 64];
} * hearings;
static bool leaving;

void toys_open(void) {
    toys = calloc(sim.scenario.toys + 1, sizeof(*toys));
    CHECK(toys != NULL);
    leaving = false;
    hearings = calloc(TOY_NUMBERS_MAX, sizeof(*hearings));
    CHECK(hearings != NULL);
    for (unsigned i = 0; i < sim.scenario.toys; i++) {
        struct sim_toy *toy = &toys[i];
        toy->number = i;
        toy->lives = 1 + (unsigned)sim_roll(LIVES_MAX);
        toy->address = (struct peer_address){
            .bytes = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 1, [14] = 2, [15] = 1}};
        toy->address.bytes[15] = (uint8_t)(sim_chance(200) ? 1 : i + 2);
        toy->slow = sim_chance(200);
        toy->next_ns = think_ns();
    }
}

void toys_close(void) {
    for (unsigned i = 0; i < sim.scenario.toys; i++) {
        text_free(&toys[i].out);
        text_free(&toys[i].expected);
    }
    free(hearings);
    free(toys);
    toys = NULL;
}

/* --- what it writes ----------------------------------------------------------------------------
 */

static void words(struct sim_toy *toy, const char *say, const char *expect) {
    text_add(&toy->out, say, strlen(say));
    text_add(&toy->expected, expect, strlen(expect));
}

static void line_write(struct sim_toy *toy) {
    size_t len = sim_chance(100) ? sim_roll(900) : sim_roll(30);
    words(toy, "", "=");
    for (size_t i = 0; i < len; i++) {
        char byte = (char)('p' + sim_roll(10));
        text_add(&toy->out, &byte, 1);
        text_add(&toy->expected, &byte, 1);
    }
    words(toy, "\n", "\n");
}

static void pair_write(struct sim_toy *toy) {
    char pair[2] = {(char)('A' + sim_roll(20)), (char)('A' + sim_roll(20))};
    text_add(&toy->out, pair, 2);
    text_add(&toy->expected, (char[]){pair[1], pair[0]}, 2);
}

static void op_write(struct sim_toy *toy) {
    uint64_t roll = sim_roll(100);
    if (toy->pairs && roll < 30) {
        words(toy, "\n\n", "\n\n");
        toy->pairs = false;
    } else if (toy->pairs) {
        pair_write(toy);
    } else if (roll < 20) {
        words(toy, "become\n", "=become\n");
        toy->pairs = true;
    } else if (roll < 35) {
        words(toy, "take\n", "=take\n");
    } else if (roll < 55) {
        words(toy, "say\n", "=say\n");
    } else if (roll < 75) {
        unsigned workers = sim.scenario.workers < 10 ? sim.scenario.workers : 10;
        char move[] = {'m', 'o', 'v', 'e', ' ', (char)('0' + sim_roll(workers)), '\n', '\0'};
        words(toy, move, (char[]){'@', ANY_WORKER, '\0'});
    } else {
        line_write(toy);
    }
}

/* --- what comes back ---------------------------------------------------------------------------
 */

/* No copy comes twice. On one connection those of a session come in the order in which they were
 * made, and so do the messages that one worker said; some may be missing, which the ledger knows.
 * What was in flight when the session moved to another may come later than what came there. */
void toy_message_check(const struct link *link, const char *text) {
    unsigned number, mark, worker, count;
    if (sscanf(text + 1, "%5u%5u:%u-%u", &number, &mark, &worker, &count) != 4 ||
        number >= TOY_NUMBERS_MAX || mark >= TOY_MARKS_MAX || worker >= SIM_WORKERS_MAX)
        sim_fail("link %u hears a broken message: %s", link->number, text);
    struct sim_hearing *heard = &hearings[number];
    uint64_t bit = UINT64_C(1) << mark % 64;
    if ((heard->marks[mark / 64] & bit) != 0)
        sim_fail("session %u hears %s twice", number, text);
    heard->marks[mark / 64] |= bit;
    if (heard->link != link) {
        heard->link = link;
        heard->mark = 0;
        memset(heard->said, 0, sizeof(heard->said));
    }
    if (mark <= heard->mark || count <= heard->said[worker])
        sim_fail("session %u hears %s after mark %u and message %u", number, text, heard->mark,
                 heard->said[worker]);
    heard->mark = mark;
    heard->said[worker] = count;
}

/* A message may stand before any answer. False: the byte is of none. */
static bool message_byte(struct sim_toy *toy, char byte) {
    bool between = toy->heard == 0 || toy->expected.at[toy->heard - 1] == '\n' ||
                   toy->expected.at[toy->heard - 1] == ANY_WORKER;
    if (toy->message_len == 0 && !((byte == '!' || byte == '?') && between && toy->worker == 0))
        return false;
    if (toy->message_len + 1 == sizeof(toy->message))
        sim_fail("toy %u hears a message without an end", toy->number);
    toy->message[toy->message_len++] = byte;
    toy->message[toy->message_len] = '\0';
    if (byte == '\n') {
        toy_message_check(toy->link, toy->message);
        toy->message_len = 0;
    }
    return true;
}

static void byte_check(struct sim_toy *toy, const struct link *link, char byte) {
    static const char goodbye[] = "bye\n";
    bool as_asked = toy->heard < toy->expected.len && toy->expected.at[toy->heard] == byte;
    if (toy->bye != 0 || (byte == 'b' && !as_asked)) {
        if (byte != goodbye[toy->bye++])
            sim_fail("toy %u, link %u: a broken goodbye", toy->number, link->number);
        return;
    }
    if (toy->heard == toy->expected.len)
        sim_fail("toy %u, link %u is told more than it asked for", toy->number, link->number);
    char expected = toy->expected.at[toy->heard];
    if (expected == ANY_WORKER && byte >= '0' && byte <= '9') {
        toy->worker = toy->worker * 10 + (unsigned)(byte - '0');
        return;
    }
    if (expected == ANY_WORKER && byte == '\n') {
        if ((int)toy->worker != link->worker)
            sim_fail("toy %u, link %u is told that it is on worker %u, and is on %d", toy->number,
                     link->number, toy->worker, link->worker);
        toy->worker = 0;
        toy->heard++;
        return;
    }
    if (byte != expected)
        sim_fail("toy %u, link %u, byte %zu of the answers: %d instead of %d", toy->number,
                 link->number, toy->heard, byte, expected);
    toy->heard++;
}

void toy_on_bytes(struct link *link, const char *at, size_t len) {
    struct sim_toy *toy = link->tap.toy;
    SIM_TRACE("link %u < toy %u: %.*s", link->number, toy->number, (int)len, at);
    for (size_t i = 0; toy->link == link && i < len; i++)
        if (!message_byte(toy, at[i]))
            byte_check(toy, link, at[i]);
}

static bool is_complete(const struct sim_toy *toy) {
    return toy->heard == toy->expected.len || toy->bye != 0;
}

void toys_quiet_check(void) {
    for (unsigned i = 0; i < sim.scenario.toys; i++) {
        const struct sim_toy *toy = &toys[i];
        const struct link *link = toy->link;
        if (link == NULL || link->state != LINK_OPEN || link->reset || link->down_end ||
            toy->out.len != 0 || link->up.taken != link->up.written ||
            link->down.taken != link->down.written)
            continue;
        if (!is_complete(toy))
            sim_fail("toy %u, link %u: the node has taken all of it and owes it %zu bytes of %zu",
                     i, link->number, toy->expected.len - toy->heard, toy->expected.len);
    }
}

/* The node has ended it because of the peer's end: is everything there? Where memory is short, the
 * reason may be another one (reason_left in sim_node.c). */
static void end_check(const struct sim_toy *toy) {
    const struct link *link = toy->link;
    bool plenty = sim.scenario.no_memory == 0 && sim.scenario.memory_bytes > 10000000;
    bool in_order = link->handle_known && link->close_stamp != 0 &&
                    link->close_reason == CLOSE_CLIENT && toy->out.len == 0;
    bool broken = link->reset || link->send_failed || link->down_reset;
    if (plenty && in_order && !broken && link->down.taken == link->down.written &&
        !is_complete(toy))
        sim_fail("toy %u, link %u has ended and lacks %zu bytes of %zu", toy->number, link->number,
                 toy->expected.len - toy->heard, toy->expected.len);
}

/* --- its lives ---------------------------------------------------------------------------------
 */

static bool reads_now(const struct sim_toy *toy) {
    return sim.now_ns >= toy->read_ns && link_readable(toy->link) > 0;
}

static bool writes_now(const struct sim_toy *toy) {
    const struct link *link = toy->link;
    return toy->out.len != 0 && !link->up_end && !link->reset &&
           (link->state == LINK_CLOSED || link->up.written - link->up.taken < link->up.window);
}

static bool ends_now(const struct sim_toy *toy) {
    return toy->ending && toy->out.len == 0 && !toy->link->up_end && !toy->link->reset;
}

static bool is_over(const struct sim_toy *toy) {
    return toy->link->reset || link_ended(toy->link);
}

static bool acts_now(const struct sim_toy *toy) {
    if (toy->link == NULL)
        return toy->lives != 0 && !leaving && sim.now_ns >= toy->next_ns;
    return !toy->ending && sim.now_ns >= toy->next_ns;
}

static bool can_step(const struct sim_toy *toy) {
    return acts_now(toy) || (toy->link != NULL &&
                             (is_over(toy) || reads_now(toy) || writes_now(toy) || ends_now(toy)));
}

static void life_begin(struct sim_toy *toy) {
    toy->lives--;
    toy->next_ns = think_ns();
    toy->address.port = (uint16_t)sim_between(1024, 65000);
    toy->link = link_connect(LISTENER_WEB, &toy->address);
    if (toy->link == NULL)
        return;
    SIM_TRACE("toy %u connects: link %u", toy->number, toy->link->number);
    toy->link->tap.kind = TAP_TOY;
    toy->link->tap.toy = toy;
    toy->acts = (unsigned)sim_roll(ACTS_MAX);
    toy->out.len = toy->expected.len = toy->heard = 0;
    toy->worker = toy->bye = 0;
    toy->message_len = 0;
    toy->pairs = toy->ending = false;
    toy->read_ns = 0;
}

static void life_end(struct sim_toy *toy) {
    end_check(toy);
    if (!toy->link->reset && !toy->link->up_end)
        link_reset(toy->link, ECONNRESET);
    toy->link = NULL;
    toy->next_ns = think_ns();
}

static void act(struct sim_toy *toy) {
    toy->next_ns = think_ns();
    if (toy->acts != 0) {
        toy->acts--;
        for (uint64_t ops = 1 + sim_roll(6); ops > 0; ops--)
            op_write(toy);
    } else if (toy->lives != 0 && sim_chance(300)) {
        toy->ending = true;
        if (sim_chance(sim.scenario.reset))
            link_reset(toy->link, ECONNRESET);
    } else {
        toy->next_ns = sim.now_ns + 5 * NS_PER_S;
    }
}

static void step(struct sim_toy *toy) {
    if (toy->link == NULL) {
        life_begin(toy);
        return;
    }
    if (writes_now(toy)) {
        size_t len = sim_chance(300) ? sim_between(1, toy->out.len) : toy->out.len;
        text_drop_front(&toy->out, link_write(toy->link, toy->out.at, len));
    }
    if (ends_now(toy))
        link_end(toy->link);
    if (reads_now(toy)) {
        link_read(toy->link, toy->slow ? sim_between(1, 100) : SIZE_MAX);
        if (toy->slow)
            toy->read_ns = sim.now_ns + sim_roll(200 * NS_PER_MS);
    }
    if (is_over(toy))
        life_end(toy);
    else if (acts_now(toy))
        act(toy);
}

bool toys_step(void) {
    bool moved = false;
    for (unsigned i = 0; i < sim.scenario.toys; i++) {
        if (!can_step(&toys[i]) || !sim_chance(400))
            continue;
        step(&toys[i]);
        moved = true;
    }
    return moved;
}

bool toys_can_step(void) {
    for (unsigned i = 0; i < sim.scenario.toys; i++)
        if (can_step(&toys[i]))
            return true;
    return false;
}

uint64_t toys_next_ns(void) {
    uint64_t next = CLOCK_NEVER;
    for (unsigned i = 0; i < sim.scenario.toys; i++) {
        const struct sim_toy *toy = &toys[i];
        bool waits = toy->link == NULL ? toy->lives != 0 && !leaving : !toy->ending;
        if (waits && toy->next_ns < next)
            next = toy->next_ns;
        if (toy->link != NULL && link_readable(toy->link) > 0 && toy->read_ns < next)
            next = toy->read_ns;
    }
    return next;
}

void toys_leave(void) {
    leaving = true;
    for (unsigned i = 0; i < sim.scenario.toys; i++)
        toys[i].ending = true;
}
