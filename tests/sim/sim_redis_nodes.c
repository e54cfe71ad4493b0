/* Other nodes and programs behind the fake Redis; see sim_redis_parts.h. */
#include "tests/sim/sim_redis_parts.h"

#include "core/base/check.h"
#include "core/base/clock.h"

#include <stdio.h>
#include <stdlib.h>

struct other others[OTHERS_MAX];
unsigned other_count;

/* --- the others ------------------------------------------------------------------------------- */

static void copies_add(struct other *other, const struct sim_content *content) {
    other->number++;
    struct copy copy = {.content = content->number, .number = other->number};
    unsigned total = content->to_count + content->group_count;
    for (unsigned i = 0; i < total; i++) {
        bool id = i < content->to_count;
        copy.channel.place = id ? PLACE_ID : PLACE_GROUP;
        copy.channel.name = id ? content->to[i] : content->groups[i - content->to_count];
        other->copies[other->copy_count++] = copy;
    }
    if (total == 0) {
        copy.channel.place = PLACE_ALL;
        other->copies[other->copy_count++] = copy;
    }
}

void other_node_write(struct other *other, struct text *text, struct channel channel,
                      uint64_t number, const char *more) {
    unsigned place = channel.place == PLACE_ALL  ? 2 * NAMES_MAX
                     : channel.place == PLACE_ID ? channel.name
                                                 : NAMES_MAX + channel.name;
    text_format(text, "\"node\":{\"run\":\"%s\",\"p\":%llu,\"n\":%llu,\"s\":%llu,\"e\":1%s},",
                other->run, (unsigned long long)++other->copy, (unsigned long long)number,
                (unsigned long long)++other->counts[place], more);
}

static void copy_send(struct other *other) {
    struct copy copy = other->copies[0];
    memmove(other->copies, other->copies + 1, --other->copy_count * sizeof(copy));
    struct sim_content *content = content_at(copy.content);
    struct text name = {0}, text = {0}, before = {0};
    channel_write(&name, copy.channel);
    if (!other->is_program)
        other_node_write(other, &before, copy.channel, copy.number,
                         content->is_bytes ? ",\"bytes\":true" : "");
    text_add(&before, "", 1);
    struct text plain = content->payload;
    if (content->is_bytes)
        content->payload = content->json;
    content_write(content, &text, before.at, false);
    content->payload = plain;
    message_send(copy.channel, text_as_span(&name), text_as_span(&text));
    text_free(&name);
    text_free(&text);
    text_free(&before);
}

/* What no node writes, and nothing may come of. */
static void garbage_send(void) {
    static const char *const texts[] = {
        "",
        "{",
        "\xff\xfe",
        "[]",
        "{\"to\":\"nobody\"}",
        "{\"ack\":true}",
        "{\"node\":{}}",
        "{\"node\":{\"run\":\"fffffffffffffff\",\"n\":1},\"broadcast\":true}",
        "{\"node\":{\"run\":\"ffffffffffffffff\",\"n\":18446744073709551615},\"to\":\"nobody\"}",
        "{\"node\":{\"run\":\"ffffffffffffffff\",\"n\":18446744073709551614,\"s\":"
        "18446744073709551615},\"to\":\"nobody\"}",
        "{\"node\":{\"run\":\"ffffffffffffffff\",\"lives\":false}}"};
    struct channel channel = {.place = (enum place)sim_roll(3)};
    channel.name =
        (unsigned)sim_roll(channel.place == PLACE_ID ? sim.scenario.ids : sim.scenario.groups);
    text_send(channel, texts[sim_roll(sizeof(texts) / sizeof(texts[0]))]);
}

static void word_send(const char *run, unsigned index, bool lives) {
    char text[120];
    snprintf(text, sizeof(text), "{\"node\":{\"run\":\"%s\",\"name\":\"other-%u\",\"lives\":%s}}",
             run, index, lives ? "true" : "false");
    text_send((struct channel){.place = PLACE_ALL}, text);
}

static void message_make(struct other *other) {
    struct scenario *scenario = &sim.scenario;
    unsigned repeated = scenario->repeated, bytes_payload = scenario->bytes_payload;
    scenario->repeated = 0;
    if (other->is_program) /* only nodes have bytes */
        scenario->bytes_payload = 0;
    struct sim_content *content = content_make(&other->maker, other->is_program || sim_chance(400));
    scenario->repeated = repeated;
    scenario->bytes_payload = bytes_payload;
    content->ack = false;
    content->key = (int)content->number;
    attempt_add(content, other->stream, SCOPES + content->number);
    copies_add(other, content);
}

/* --- who is where ----------------------------------------------------------------------------- */

void other_came(struct other *other, int id) {
    struct text text = {0};
    unsigned count = 0;
    text_format(&text, "{\"node\":{\"run\":\"%s\",\"came\":[", other->run);
    for (unsigned i = 0; i < sim.scenario.ids; i++) {
        if (!other->ears.ids[i] || (id >= 0 && (unsigned)id != i))
            continue;
        if (count++ != 0)
            text_format(&text, ",");
        text_json(&text, name_of_id(i));
    }
    text_format(&text, "]}}");
    text_add(&text, "", 1);
    uint64_t fd = redis_subscriber(NULL);
    if (fd != other->came_fd) /* another connection was not told of any */
        memset(other->came, 0, sizeof(other->came));
    other->came_fd = fd;
    bool heard = count != 0 && text_send((struct channel){.place = PLACE_ALL}, text.at) != 0;
    for (unsigned i = 0; heard && i < sim.scenario.ids; i++)
        if (other->ears.ids[i] && (id < 0 || (unsigned)id == i))
            other->came[i] = true;
    text_free(&text);
}

static void id_toggle(struct other *other, unsigned id) {
    bool here = other->ears.ids[id] ^= true;
    other->came[id] = false;
    if (here && !other->is_program)
        other_came(other, (int)id);
}

/* It is another one from now on, and has clients of its own. */
static void other_die(struct other *other) {
    if (sim_chance(500))
        word_send(other->run, other->index, false);
    lent_died(other, sim_chance(500));
    other->generation++;
    snprintf(other->run, sizeof(other->run), "%016x",
             0xabc0 + other->index + other->generation * 0x10000);
    other->number = other->copy = 0;
    other->copy_count = 0;
    other->asked = false;
    memset(other->counts, 0, sizeof(other->counts));
    memset(other->came, 0, sizeof(other->came));
    for (unsigned i = 0; i < sim.scenario.ids; i++)
        other->ears.ids[i] = false;
    other->word_ns = sim.now_ns + sim_roll(2 * NS_PER_S);
}

/* --- steps ------------------------------------------------------------------------------------ */

void others_open(void) {
    memset(others, 0, sizeof(others));
    other_count = sim.scenario.redis;
    for (unsigned i = 0; i < other_count; i++) {
        struct other *other = &others[i];
        other->maker.kind = PEER_PRODUCER;
        other->index = i;
        other->stream = stream_add();
        other->left = sim.scenario.redis_messages;
        other->is_program = i == 2;
        other->ears.all = !other->is_program;
        other->lends_ns = CLOCK_NEVER;
        snprintf(other->run, sizeof(other->run), "%016x", 0xabc0 + i);
        for (unsigned j = 0; j < sim.scenario.ids; j++)
            other->ears.ids[j] = sim_chance(300);
        for (unsigned j = 0; j < sim.scenario.groups; j++)
            other->ears.groups[j] = sim_chance(300);
    }
}

/* It lives as long as it has something to say. */
static bool is_there(const struct other *other) {
    return other->left != 0 || lent_any(other);
}

bool other_can_step(const struct other *other) {
    return other->copy_count != 0 || other->asked || sim.now_ns >= other_next_ns(other);
}

#define EARLIER(a, b) ((a) < (b) ? (a) : (b))

uint64_t other_next_ns(const struct other *other) {
    uint64_t next_ns = other->lends_ns;
    if (other->left != 0)
        next_ns = EARLIER(other->next_ns, next_ns);
    if (is_there(other) && !other->is_program)
        next_ns = EARLIER(other->word_ns, next_ns);
    return EARLIER(calls_next_ns(other), next_ns);
}

static void words_say(struct other *other) {
    other->word_ns = sim.now_ns + NS_PER_S / 2 + sim_roll(NS_PER_S);
    word_send(other->run, other->index, true);
    /* Nodes that come to say that, and nothing else. */
    for (unsigned i = 0; i < 3 && sim_chance(300); i++) {
        char run[17];
        snprintf(run, sizeof(run), "%016llx", (unsigned long long)sim_roll(UINT64_C(1) << 32));
        word_send(run, 10 + i, true);
    }
}

bool other_step(struct other *other) {
    if (other->copy_count != 0) {
        if (!sim_chance(sim.scenario.redis_eager))
            return false;
        copy_send(other);
        return true;
    }
    if (sim.now_ns >= calls_next_ns(other)) {
        calls_step(other);
        return true;
    }
    if (other->asked) {
        other->asked = false;
        other_came(other, -1);
        return true;
    }
    if (sim.now_ns >= other->lends_ns) {
        lent_step(other);
        return true;
    }
    if (is_there(other) && !other->is_program && sim.now_ns >= other->word_ns) {
        words_say(other);
        return true;
    }
    if (other->left == 0 || sim.now_ns < other->next_ns)
        return false;
    other->next_ns = sim.now_ns + sim_roll(sim.scenario.think_max_ns * 4);
    if (sim_chance(200))
        id_toggle(other, (unsigned)sim_roll(sim.scenario.ids));
    if (sim_chance(200))
        other->ears.groups[sim_roll(sim.scenario.groups)] ^= true;
    if (sim_chance(50))
        garbage_send();
    if (!other->is_program && sim_chance(200))
        askers_ask(other);
    if (!other->is_program && other->generation + 1 < GENERATIONS_MAX && sim_chance(10))
        other_die(other);
    other->left--;
    if (!other->is_program && sim.scenario.ack != 0 && sim_chance(400))
        lent_make(other);
    else
        message_make(other);
    return true;
}
