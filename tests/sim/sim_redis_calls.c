/* Calls of the node that other nodes take part in; see sim_redis_parts.h.
 *
 * Each of them answers in time, late, never, in one text or several, twice, that it failed, or
 * wrongly. What it counts is a multiple of PORT_TAKES, and its sessions and fates are marked, so
 * that an answer of the API tells what is of whom. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/hash.h"
#include "tests/sim/sim_port.h"
#include "tests/sim/sim_redis_parts.h"

#include <stdio.h>
#include <stdlib.h>

#define REPLIES_MAX 256
#define LINES_MAX 8

/* A call of the node. */
struct asked {
    uint64_t number, stamp;
    struct text does;
    bool knew[OTHERS_MAX]; /* the node did, and it heard the call */
    unsigned generation[OTHERS_MAX];
    unsigned answered; /* last texts that say no failure */
    uint64_t said;     /* sessions, counts, fates in all texts */
    bool full;         /* some say that not all could join */
    bool odd;          /* some have said it twice, or wrongly */
};

enum reply_style {
    REPLY_PLAIN,
    REPLY_PIECES,
    REPLY_TWICE,
    REPLY_FAILED,
    REPLY_ODD,   /* with lines that are none */
    REPLY_WRONG, /* no answer */
    REPLY_STYLES
};

struct reply {
    bool there;
    unsigned other, generation;
    uint32_t asked;
    uint64_t at_ns;
    enum reply_style style;
};

static struct asked *askeds;
static uint32_t asked_count, asked_size;
static struct reply replies[REPLIES_MAX];
static unsigned reply_count;

void calls_close(void) {
    for (uint32_t i = 0; i < asked_count; i++)
        text_free(&askeds[i].does);
    free(askeds);
    askeds = NULL;
    asked_count = asked_size = 0;
}

void calls_open(void) {
    calls_close();
    memset(replies, 0, sizeof(replies));
    reply_count = 0;
}

/* --- the node asks ---------------------------------------------------------------------------- */

static void reply_plan(unsigned other, uint32_t asked) {
    for (unsigned i = 0; i < REPLIES_MAX; i++) {
        struct reply *reply = &replies[i];
        if (reply->there)
            continue;
        uint64_t wait_ns = sim_roll(sim_chance(700) ? 2 * NS_PER_MS : 200 * NS_PER_MS);
        if (sim_chance(60))
            wait_ns = 450 * NS_PER_MS + sim_roll(NS_PER_S);
        *reply = (struct reply){.there = true,
                                .other = other,
                                .generation = others[other].generation,
                                .asked = asked,
                                .at_ns = sim.now_ns + wait_ns};
        if (sim_chance(400))
            reply->style = (enum reply_style)sim_roll(REPLY_STYLES);
        reply_count++;
        return;
    }
}

unsigned calls_asked(struct channel channel, struct span node) {
    struct span number, does;
    if (!json_member(node, "call", &number) || !json_member(node, "does", &does))
        sim_fail("a call that does nothing: %.*s", SPAN_ARG(node));
    if (asked_count == asked_size) {
        asked_size = asked_size == 0 ? 64 : 2 * asked_size;
        askeds = realloc(askeds, asked_size * sizeof(*askeds));
        CHECK(askeds != NULL);
    }
    struct asked *asked = &askeds[asked_count];
    *asked = (struct asked){.stamp = sim_stamp()};
    if (!json_number(number, &asked->number))
        sim_fail("a call without a number: %.*s", SPAN_ARG(node));
    text_span(&asked->does, does);
    unsigned heard = 0;
    for (unsigned i = 0; i < other_count; i++) {
        const bool *ear = ear_of(&others[i].ears, channel);
        if (ear == NULL || !*ear)
            continue;
        heard++;
        if (others[i].is_program)
            continue;
        asked->knew[i] = sim_redis_knows(others[i].run);
        asked->generation[i] = others[i].generation;
        if (!sim_chance(80))
            reply_plan(i, asked_count);
    }
    asked_count++;
    return heard;
}

/* --- others answer ---------------------------------------------------------------------------- */

struct lines {
    struct text at[LINES_MAX];
    unsigned count;
    uint64_t said;
    bool full;
};

static struct text *line_add(struct lines *lines) {
    CHECK(lines->count < LINES_MAX);
    return &lines->at[lines->count++];
}

static void client_say(struct lines *lines, unsigned other) {
    for (uint64_t i = sim_roll(4); i > 0; i--, lines->said++)
        text_format(line_add(lines),
                    "{\"session\":{\"far\":true,\"node\":\"other-%u\",\"groups\":[\"x\"]}}", other);
    if (sim_chance(200))
        text_format(line_add(lines), "{\"truncated\":%s,\"pending\":%u,\"oldest\":%u}",
                    sim_chance(200) ? "true" : "false", (unsigned)sim_roll(3), 1 + other);
}

static void count_say(struct lines *lines, bool joins) {
    unsigned count = (unsigned)sim_roll(4) * PORT_TAKES;
    lines->said = count;
    lines->full = joins && sim_chance(50);
    text_format(line_add(lines), "{\"count\":%u%s}", count, lines->full ? ",\"full\":1" : "");
}

/* Hashes come before names, as nodes send them. */
static void group_say(struct lines *lines) {
    struct text names = {0}, bytes = {0};
    unsigned count = (unsigned)sim_roll(6);
    for (unsigned i = 0; i < count; i++) {
        char far[24];
        snprintf(far, sizeof(far), "far-%u", (unsigned)sim_roll(20));
        struct span name =
            sim_chance(500) ? name_of_id((unsigned)sim_roll(sim.scenario.ids)) : span_text(far);
        uint64_t hash = hash_content(name).low;
        text_add(&bytes, &hash, sizeof(hash));
        text_format(&names, i == 0 ? "" : ",");
        text_json(&names, name);
    }
    if (count != 0) {
        struct text *ids = line_add(lines), *page = line_add(lines);
        text_format(ids, "{\"ids\":\"");
        text_base64(ids, text_as_span(&bytes));
        text_format(ids, "\"}");
        text_format(page, "{\"page\":[");
        text_span(page, text_as_span(&names));
        text_format(page, "]}");
    }
    if (sim_chance(100))
        text_format(line_add(lines), "{\"count\":200000}");
    text_free(&names);
    text_free(&bytes);
}

static bool does_is(struct span does, const char *name, const char *value) {
    struct span raw;
    return json_member(does, name, &raw) && json_is(raw, value);
}

static void lines_make(struct lines *lines, struct span does, unsigned other) {
    if (does_is(does, "what", "client")) {
        client_say(lines, other);
    } else if (does_is(does, "what", "group")) {
        group_say(lines);
    } else if (does_is(does, "what", "message")) {
        lines->said = sim_chance(300);
        if (lines->said != 0)
            text_format(line_add(lines), "{\"fate\":{\"far\":true,\"state\":\"pending\"}}");
    } else {
        count_say(lines, does_is(does, "what", "join"));
    }
}

static void odd_add(struct lines *lines) {
    static const char *const odd[] = {"7",
                                      "null",
                                      "[]",
                                      "\"x\"",
                                      "{}",
                                      "{\"count\":\"9\"}",
                                      "{\"ids\":\"!\"}",
                                      "{\"ids\":\"AAAA\"}",
                                      "{\"ids\":7}",
                                      "{\"page\":7}",
                                      "{\"page\":[1,[],\"\",\"\\ud800\"]}",
                                      "{\"pending\":-1}",
                                      "{\"count\":1.5}",
                                      "{\"x\":{\"y\":[]}}"};
    text_format(line_add(lines), "%s", odd[sim_roll(sizeof(odd) / sizeof(odd[0]))]);
}

/* Lines from `from` on, before `end`. False: the node does not hear it. */
static bool part_send(const struct other *other, const struct asked *asked, const char *flag,
                      const struct lines *lines, unsigned from, unsigned end) {
    struct text text = {0};
    text_format(&text, "{\"node\":{\"run\":\"%s\",\"answer\":%llu%s,\"says\":[", other->run,
                (unsigned long long)asked->number, flag);
    for (unsigned i = from; i < end; i++) {
        text_format(&text, i == from ? "" : ",");
        text_span(&text, text_as_span(&lines->at[i]));
    }
    text_format(&text, "]}}");
    text_add(&text, "", 1);
    bool heard = text_send((struct channel){.place = PLACE_OWN}, text.at) != 0;
    text_free(&text);
    return heard;
}

static void answer_send(const struct other *other, struct asked *asked, enum reply_style style) {
    struct lines lines = {.count = 0};
    bool pieces = style == REPLY_PIECES, failed = style == REPLY_FAILED;
    lines_make(&lines, text_as_span(&asked->does), other->index);
    if (style == REPLY_ODD)
        odd_add(&lines);
    for (unsigned i = 0; pieces && i < lines.count; i++)
        part_send(other, asked, ",\"more\":true", &lines, i, i + 1);
    asked->answered += part_send(other, asked, failed ? ",\"failed\":true" : "", &lines,
                                 pieces ? lines.count : 0, lines.count) &&
                       !failed;
    asked->said += lines.said;
    asked->full |= lines.full;
    asked->odd |= failed || style == REPLY_ODD;
    for (unsigned i = 0; i < lines.count; i++)
        text_free(&lines.at[i]);
}

static void reply_send(struct reply *reply) {
    struct asked *asked = &askeds[reply->asked];
    const struct other *other = &others[reply->other];
    reply->there = false;
    reply_count--;
    if (reply->generation != other->generation)
        return;
    if (reply->style == REPLY_WRONG) {
        char text[120];
        snprintf(text, sizeof(text), "{\"node\":{\"run\":\"%s\",\"answer\":%llu,\"says\":{}}}",
                 other->run, (unsigned long long)asked->number);
        text_send((struct channel){.place = PLACE_OWN}, text);
        return;
    }
    answer_send(other, asked, reply->style);
    if (reply->style == REPLY_TWICE) {
        asked->odd = true;
        answer_send(other, asked, REPLY_PLAIN);
    }
}

static struct reply *reply_first(unsigned other) {
    struct reply *first = NULL;
    for (unsigned i = 0; reply_count != 0 && i < REPLIES_MAX; i++)
        if (replies[i].there && replies[i].other == other &&
            (first == NULL || replies[i].at_ns < first->at_ns))
            first = &replies[i];
    return first;
}

uint64_t calls_next_ns(const struct other *other) {
    const struct reply *reply = reply_first(other->index);
    return reply == NULL ? CLOCK_NEVER : reply->at_ns;
}

void calls_step(struct other *other) {
    struct reply *reply = reply_first(other->index);
    if (reply != NULL && reply->at_ns <= sim.now_ns)
        reply_send(reply);
}

/* --- what the API says ------------------------------------------------------------------------ */

static const char *what_of(const struct request *request) {
    switch (request->call) {
    case CALL_SESSIONS:
        return "client";
    case CALL_CLOSE:
        return "close";
    case CALL_MOVE:
        return request->leaves ? "leave" : "join";
    case CALL_PAGE:
        return "group";
    default:
        return "message";
    }
}

static bool is_of(const struct asked *asked, const struct request *request) {
    struct span does = text_as_span(&asked->does), raw;
    uint64_t limit;
    if (asked->stamp < request->begin || !does_is(does, "what", what_of(request)))
        return false;
    if (request->call == CALL_FATE)
        return does_is(does, "id", request->message);
    if (request->call == CALL_PAGE)
        return does_is(does, "group", name_of_group(request->group).at) &&
               json_member(does, "limit", &raw) && json_number(raw, &limit) &&
               limit == request->limit;
    return does_is(does, "id", name_of_id((unsigned)request->id).at) &&
           (request->call != CALL_MOVE || does_is(does, "group", name_of_group(request->group).at));
}

/* How many must have said something before all have. */
static unsigned waited_for(const struct asked *asked) {
    unsigned count = 0;
    for (unsigned i = 0; i < other_count; i++)
        count += asked->knew[i] && others[i].generation == asked->generation[i] &&
                 others[i].unknown < asked->stamp;
    return count;
}

struct redis_said redis_said(const struct request *request) {
    struct redis_said said = {.least = UINT64_MAX};
    for (uint32_t i = asked_count; i > 0; i--) {
        const struct asked *asked = &askeds[i - 1];
        if (asked->stamp < request->begin)
            break;
        if (!is_of(asked, request))
            continue;
        unsigned wanted = waited_for(asked);
        bool sure = asked->answered == wanted && !asked->odd;
        said.full |= asked->full;
        said.most = asked->said > said.most ? asked->said : said.most;
        if (asked->answered < wanted)
            continue;
        said.complete = true;
        if (!sure || asked->said < said.least)
            said.least = sure ? asked->said : 0;
    }
    return said;
}

void redis_call_check(const struct request *request, struct span body, uint64_t count) {
    struct span cluster;
    if (sim.scenario.redis == 0 || sim.scenario.redis_wrong != 0)
        return;
    struct redis_said said = redis_said(request);
    bool claims = !json_member(body, "cluster", &cluster);
    if (!claims && !json_is(cluster, "unavailable"))
        sim_fail("the other nodes are %.*s", SPAN_ARG(cluster));
    if (request->call == CALL_FATE && count != 0 && said.most != 0)
        return; /* one node has it, and nobody else can add to it */
    if (claims && !said.complete)
        sim_fail("an answer is said to be whole, and other nodes have not answered: %.*s",
                 SPAN_ARG(body));
    if (request->call == CALL_PAGE)
        return;
    if (count > said.most || (claims && count < said.least))
        sim_fail("other nodes said %llu to %llu, an answer has %llu of them: %.*s",
                 (unsigned long long)said.least, (unsigned long long)said.most,
                 (unsigned long long)count, SPAN_ARG(body));
}
