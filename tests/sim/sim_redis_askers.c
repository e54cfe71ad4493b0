/* Calls of other nodes, which the node answers; see sim_redis_parts.h. */
#include "core/base/check.h"
#include "tests/sim/sim_redis_parts.h"

#include <stdio.h>

#define ASKINGS_MAX 4096
#define BURST 400 /* more than the node takes from others at a time */

/* A call, by its number, from 1. */
struct asking {
    char run[17];
    bool heard, none;   /* the node has it; it is none, and needs no answer */
    uint64_t stamp, fd; /* the connection that heard it */
    unsigned answers;
};

static struct asking askings[ASKINGS_MAX];
static unsigned asking_count, checked;

void askers_open(void) {
    asking_count = checked = 0;
}

/* What nobody can do: an object that is no call, and what is not even that. */
static const char *const wrong[] = {
    "{}",
    "{\"what\":\"client\"}",
    "{\"what\":\"nothing\",\"id\":\"x\"}",
    "{\"what\":7,\"id\":\"x\"}",
    "{\"what\":\"client\",\"id\":\"\"}",
    "{\"what\":\"client\",\"id\":[\"x\"]}",
    "{\"what\":\"client\",\"id\":\"a\\u0000b\"}",
    "{\"what\":\"join\",\"id\":\"x\",\"namespace\":\"/\"}",
    "{\"what\":\"group\",\"group\":\"x\",\"after\":\"\",\"namespace\":\"/\",\"limit\":99999999}",
    "{\"what\":\"group\",\"group\":\"x\",\"after\":\"\",\"namespace\":\"/\",\"limit\":\"x\"}",
    "{\"what\":\"group\",\"group\":\"x\",\"limit\":5}",
    "{\"what\":\"message\",\"id\":\"\\ud800\"}"};
static const char *const none[] = {"7", "[]", "\"x\"", "null", "{\"what\":\"client\",\"id\":}"};

static void field(struct text *text, const char *name, struct span value) {
    text_format(text, ",\"%s\":", name);
    text_json(text, value);
}

/* Sessions of some ids alone are closed, or moved, by other nodes: nothing about them is sure. */
static unsigned id_meddled(void) {
    unsigned id = (unsigned)sim_roll(sim.scenario.ids);
    return id - id % 4;
}

static void does_draw(struct text *text, struct channel *channel) {
    unsigned id = (unsigned)sim_roll(sim.scenario.ids);
    unsigned group = (unsigned)sim_roll(sim.scenario.groups);
    const char *namespace = sim_chance(150) ? "/none" : "/";
    uint64_t roll = sim_roll(100);
    *channel = (struct channel){.place = PLACE_ALL};
    if (roll < 30) {
        text_format(text, "{\"what\":\"client\"");
        field(text, "id", name_of_id(id));
    } else if (roll < 55) {
        *channel = (struct channel){PLACE_GROUP, group};
        text_format(text, "{\"what\":\"group\"");
        field(text, "group", name_of_group(group));
        field(text, "after", sim_chance(300) ? name_of_id(id) : SPAN(""));
        field(text, "namespace", span_text(namespace));
        text_format(text, ",\"limit\":%u", 1 + (unsigned)sim_roll(20));
    } else if (roll < 70) {
        text_format(text, "{\"what\":\"message\"");
        uint32_t total = content_total();
        const struct sim_content *content =
            total == 0 ? NULL : content_at(total - 1 - (uint32_t)sim_roll(total < 40 ? total : 40));
        field(text, "id",
              content == NULL || content->id[0] == '\0' ? SPAN("m1") : span_text(content->id));
    } else if (roll < 80) {
        id = id_meddled();
        *channel = (struct channel){PLACE_ID, id};
        text_format(text, "{\"what\":\"close\"");
        field(text, "id", name_of_id(id));
        close_unsure_set((int)id);
    } else {
        id = id_meddled();
        *channel = (struct channel){PLACE_ID, id};
        text_format(text, "{\"what\":\"%s\"", roll < 90 ? "join" : "leave");
        field(text, "id", name_of_id(id));
        field(text, "group", name_of_group(group));
        field(text, "namespace", span_text(namespace));
        group_unsure_set((int)id, group);
    }
    text_format(text, "}");
}

static void ask(const struct other *other, struct channel channel, const char *does, bool is_none) {
    if (asking_count == ASKINGS_MAX)
        return;
    struct asking *asking = &askings[asking_count++];
    struct text text = {0};
    *asking = (struct asking){.none = is_none, .stamp = sim_stamp(), .fd = redis_subscriber(NULL)};
    memcpy(asking->run, other->run, sizeof(asking->run));
    text_format(&text, "{\"node\":{\"run\":\"%s\",\"call\":%u,\"does\":%s}}", other->run,
                asking_count, does);
    text_add(&text, "", 1);
    asking->heard = text_send(channel, text.at) != 0;
    text_free(&text);
}

void askers_ask(const struct other *other) {
    struct channel channel = {.place = PLACE_ALL};
    if (sim_chance(200)) {
        bool is_none = sim_chance(300);
        ask(other, channel,
            is_none ? none[sim_roll(sizeof(none) / sizeof(none[0]))]
                    : wrong[sim_roll(sizeof(wrong) / sizeof(wrong[0]))],
            is_none);
        return;
    }
    struct text does = {0};
    does_draw(&does, &channel);
    text_add(&does, "", 1);
    for (unsigned i = sim_chance(60) ? BURST : 1; i > 0; i--)
        ask(other, channel, does.at, false);
    text_free(&does);
}

unsigned askers_answered(struct span channel, struct span node) {
    struct span answer, says, element, flag;
    uint64_t number = 0;
    bool first = true;
    if (!json_member(node, "answer", &answer) || !json_number(answer, &number) || number == 0 ||
        number > asking_count || !json_member(node, "says", &says))
        sim_fail("a node is answered what it did not ask: %.*s", SPAN_ARG(node));
    struct asking *asking = &askings[number - 1];
    if (!redis_begins(&channel, redis_prefix()) || !redis_begins(&channel, SPAN("node:")) ||
        !span_equal(channel, span_text(asking->run)))
        sim_fail("call %llu of %s is answered to %.*s", (unsigned long long)number, asking->run,
                 SPAN_ARG(channel));
    while (json_element(&says, &first, &element))
        if (element.at[0] != '{')
            sim_fail("a line is no object: %.*s", SPAN_ARG(node));
    if (!asking->heard || asking->none || asking->answers != 0)
        sim_fail("call %llu of another node is answered once more, or needed no answer: %.*s",
                 (unsigned long long)number, SPAN_ARG(node));
    asking->answers += !json_member(node, "more", &flag);
    unsigned heard = 0;
    for (unsigned i = 0; i < other_count; i++)
        heard += span_equal(channel, span_text(others[i].run));
    return heard;
}

void askers_quiet_check(void) {
    for (; checked < asking_count; checked++) {
        const struct asking *asking = &askings[checked];
        if (asking->heard && !asking->none && asking->answers == 0 &&
            asking->fd == redis_subscriber(NULL) && asking->stamp > redis_steady_since())
            sim_fail("call %u of another node is not answered", checked + 1);
    }
}
