#include "tests/sim/sim_sse.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_peer.h"

#include <errno.h>
#include <stdlib.h>

#define POSTERS 3
#define POSTS_MAX 512
/* Requests of one poster without an answer. */
#define ASKED_MAX 6

struct poster {
    struct link *link; /* NULL: it is not connected */
    struct peer_address address;
    struct text out;
    unsigned asked;
    bool ending;
    uint64_t next_ns;
};

static struct poster posters[POSTERS];
static struct text posts[POSTS_MAX]; /* bodies, the oldest first */
static unsigned post_count;
static bool leaving;

void posters_open(void) {
    post_count = 0;
    leaving = false;
    for (unsigned i = 0; i < POSTERS; i++)
        posters[i] = (struct poster){
            .address = {.bytes = {[10] = 0xff, [11] = 0xff, [12] = 10, [13] = 1, [14] = 5}}};
    for (unsigned i = 0; i < POSTERS; i++)
        posters[i].address.bytes[15] = (uint8_t)(i + 1);
}

void posters_close(void) {
    for (unsigned i = 0; i < POSTERS; i++)
        text_free(&posters[i].out);
    for (unsigned i = 0; i < post_count; i++)
        text_free(&posts[i]);
    post_count = 0;
}

/* --- what clients say --------------------------------------------------------------------------
 */

/* Names are percent-encoded whole. */
static void value_write(struct text *text, const char *name, struct span value, char *mark) {
    text_format(text, "%c%s=", *mark, name);
    *mark = '&';
    for (size_t i = 0; i < value.len; i++)
        text_format(text, "%%%02x", (unsigned char)value.at[i]);
}

/* It had that message last on its stream before: so it has what came before it. */
static void last_write(struct sim_peer *peer, struct text *text) {
    struct sim_session *was = peer->was;
    if (was == NULL || was->id != peer->session->id || peer->last_text[0] == '\0' ||
        !sim_chance(700))
        return;
    text_format(text, "Last-Event-ID: %s\r\n", peer->last_text);
    for (unsigned i = 0; i < peer->last_acks; i++)
        acks_said(content_at(was->ack_log[i]), was->id);
}

void sse_hello_write(struct sim_peer *peer) {
    struct sim_session *session = peer->session;
    struct text text = {0};
    char mark = '?';
    text_format(&text, "GET /events");
    if (session->id >= 0)
        value_write(&text, "id", name_of_id((unsigned)session->id), &mark);
    for (unsigned i = (unsigned)sim_roll(4); i > 0; i--) {
        unsigned group = (unsigned)sim_roll(sim.scenario.groups);
        value_write(&text, i % 2 == 0 ? "group" : "groups", name_of_group(group), &mark);
        session_joining(session, group);
    }
    session->plain = sim_chance(150);
    text_format(&text, " HTTP/1.%c\r\nHost: localhost\r\n", session->plain ? '0' : '1');
    last_write(peer, &text);
    text_format(&text, "\r\n");
    session->may_from = sim_stamp();
    peer_write(peer, &text);
    peer->hello_sent = true;
    peer->was = session;
    peer->last_text[0] = '\0';
    peer->last_acks = 0;
    text_free(&text);
}

void sse_post(const struct sim_peer *peer, const struct text *ids) {
    if (post_count == POSTS_MAX) {
        text_free(&posts[0]);
        memmove(&posts[0], &posts[1], --post_count * sizeof(posts[0]));
    }
    struct text *post = &posts[post_count++];
    *post = (struct text){0};
    text_format(post, "{\"session\":\"%s\",\"ids\":[%.*s]}", peer->session->text, (int)ids->len,
                ids->at);
}

/* --- posters -----------------------------------------------------------------------------------
 */

static void post_take(struct poster *poster) {
    text_format(&poster->out,
                "POST /events/ack HTTP/1.1\r\nHost: localhost\r\n"
                "Content-Length: %zu\r\n\r\n%.*s",
                posts[0].len, (int)posts[0].len, posts[0].at);
    text_free(&posts[0]);
    memmove(&posts[0], &posts[1], --post_count * sizeof(posts[0]));
    poster->asked++;
}

void poster_on_answer(struct link *link, unsigned status, struct span body) {
    unsigned i = 0;
    while (i < POSTERS && posters[i].link != link)
        i++;
    if (i == POSTERS)
        return;
    if (posters[i].asked == 0)
        sim_fail("link %u: an answer to no acknowledgement", link->number);
    posters[i].asked--;
    if (status != 204 && status != 404 && status != 429 && status != 503)
        sim_fail("link %u: an acknowledgement is answered %u: %.*s", link->number, status,
                 SPAN_ARG(body));
}

static bool may_connect(const struct poster *poster) {
    return post_count != 0 && !leaving && sim.now_ns >= poster->next_ns;
}

static bool may_write(const struct poster *poster) {
    const struct link *link = poster->link;
    return poster->out.len != 0 && !link->up_end && !link->reset &&
           (link->state == LINK_CLOSED || link->up.written - link->up.taken < link->up.window);
}

static bool may_end(const struct poster *poster) {
    return poster->ending && poster->out.len == 0 && !poster->link->up_end && !poster->link->reset;
}

static bool may_ask(const struct poster *poster) {
    return !poster->ending && post_count != 0 && poster->asked < ASKED_MAX;
}

static bool is_over(const struct poster *poster) {
    return poster->link->reset || link_ended(poster->link);
}

static bool can_step(const struct poster *poster) {
    if (poster->link == NULL)
        return may_connect(poster);
    return is_over(poster) || may_write(poster) || may_end(poster) || may_ask(poster) ||
           link_readable(poster->link) > 0;
}

static void connect_one(struct poster *poster) {
    poster->address.port = (uint16_t)sim_between(1024, 65000);
    poster->next_ns = sim.now_ns + 50 * NS_PER_MS;
    poster->asked = 0;
    poster->ending = false;
    text_drop_front(&poster->out, poster->out.len);
    poster->link = link_connect(LISTENER_WEB, &poster->address);
    if (poster->link != NULL)
        poster->link->tap.kind = TAP_POSTER;
}

static void step(struct poster *poster) {
    if (poster->link == NULL) {
        connect_one(poster);
        return;
    }
    if (may_ask(poster))
        post_take(poster);
    if (may_write(poster)) {
        size_t len = sim_chance(300) ? sim_between(1, poster->out.len) : poster->out.len;
        text_drop_front(&poster->out, link_write(poster->link, poster->out.at, len));
    }
    if (may_end(poster))
        link_end(poster->link);
    if (link_readable(poster->link) > 0)
        link_read(poster->link, SIZE_MAX);
    if (is_over(poster)) {
        if (!poster->link->reset && !poster->link->up_end)
            link_reset(poster->link, ECONNRESET);
        poster->link = NULL;
        poster->next_ns = think_ns();
    } else if (!poster->ending && sim_chance(5)) {
        if (sim_chance(sim.scenario.reset))
            link_reset(poster->link, ECONNRESET);
        else
            poster->ending = true;
    }
}

bool posters_step(void) {
    bool moved = false;
    for (unsigned i = 0; i < POSTERS; i++) {
        if (!can_step(&posters[i]) || !sim_chance(400))
            continue;
        step(&posters[i]);
        moved = true;
    }
    return moved;
}

bool posters_can_step(void) {
    for (unsigned i = 0; i < POSTERS; i++)
        if (can_step(&posters[i]))
            return true;
    return false;
}

uint64_t posters_next_ns(void) {
    uint64_t next = CLOCK_NEVER;
    for (unsigned i = 0; i < POSTERS; i++)
        if (posters[i].link == NULL && post_count != 0 && !leaving && posters[i].next_ns < next)
            next = posters[i].next_ns;
    return next;
}

void posters_leave(void) {
    leaving = true;
    for (unsigned i = 0; i < POSTERS; i++)
        posters[i].ending = true;
}

bool posters_gone(void) {
    for (unsigned i = 0; i < POSTERS; i++)
        if (posters[i].link != NULL)
            return false;
    return true;
}
