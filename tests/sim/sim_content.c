/* The messages that peers send: addresses, payloads, ids, and how they are written. */
#include "core/base/check.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_store.h"

#include <stdio.h>

static void names_draw(uint8_t *list, uint8_t *count, unsigned wanted, unsigned bound) {
    *count = 0;
    for (unsigned i = 0; i < wanted; i++) {
        uint8_t name = (uint8_t)sim_roll(bound);
        bool known = false;
        for (unsigned j = 0; j < *count; j++)
            known |= list[j] == name;
        if (!known)
            list[(*count)++] = name;
    }
}

/* Puts the name in front, unless it is among them. */
static void name_put(uint8_t *list, unsigned count, uint8_t name) {
    for (unsigned i = 0; i < count; i++)
        if (list[i] == name)
            return;
    list[0] = name;
}

static void letters(struct text *text, size_t count) {
    static const char set[] = "abcdefghijklmnopqrstuvwxyz0123456789 .:;<>/{}[]()";
    while (count-- > 0)
        text_add(text, &set[sim_roll(sizeof(set) - 1)], 1);
}

/* Half of them short, some long. */
static size_t payload_size(void) {
    size_t max = sim.scenario.payload_max;
    if (sim_chance(600))
        return (size_t)sim_roll(max < 40 ? max + 1 : 40);
    if (sim_chance(700))
        return (size_t)sim_roll(max / 8 + 1);
    return (size_t)sim_roll(max + 1);
}

static void payload_json(struct sim_content *content) {
    struct text *text = &content->payload;
    size_t size = payload_size();
    switch (sim_roll(5)) {
    case 0:
        text_format(text, "{\"n\":%u,\"x\":\"", content->number);
        letters(text, size);
        text_format(text, "\",\"f\":1.50e+3}");
        break;
    case 1:
        text_format(text, "[%u,\r\n [true,null,{}],\n\"", content->number);
        letters(text, size);
        text_format(text, "\"]");
        break;
    case 2:
        text_format(text, "\"%u ", content->number);
        letters(text, size);
        text_format(text, "\\u00e9\\n\\\" \xE2\x82\xAC%s\"", sim_chance(300) ? "\xE2\x80\xA8" : "");
        break;
    case 3:
        text_format(text, "%u", content->number);
        break;
    default: {
        static const char *const plain[] = {"null", "{}", "[]", "\"\"", "-0.0", "[[[]]]", "true"};
        text_format(text, "%s", plain[sim_roll(7)]);
        content->event = UINT8_MAX;
        break;
    }
    }
    for (size_t i = 0; i < text->len; i++)
        if (text->at[i] != '\r' && text->at[i] != '\n')
            text_add(&content->json, &text->at[i], 1);
    for (size_t i = 0; i < content->json.len; i++) {
        if (content->json.len - i >= 3 && memcmp(content->json.at + i, "\xE2\x80\xA8", 3) == 0) {
            text_format(&content->line, "\\u2028");
            i += 2;
        } else {
            text_add(&content->line, &content->json.at[i], 1);
        }
    }
}

static void payload_bytes(struct sim_content *content) {
    text_format(&content->payload, "%u:", content->number);
    for (size_t size = payload_size() / 2; size > 0; size--) {
        char byte = (char)sim_roll(256);
        text_add(&content->payload, &byte, 1);
    }
    content->is_bytes = true;
    text_add(&content->json, "\"", 1);
    text_base64(&content->json, text_as_span(&content->payload));
    text_add(&content->json, "\"", 1);
    text_span(&content->line, text_as_span(&content->json));
}

/* One that was tried already, by anybody of the same scope; NULL: none. */
static struct sim_content *content_again(void) {
    uint32_t total = content_total();
    for (unsigned tries = 0; tries < 8 && total > 0; tries++) {
        uint32_t back = (uint32_t)sim_roll(total < 24 ? total : 24);
        struct sim_content *content = content_at(total - 1 - back);
        if (content->key >= 0 && !content->lent)
            return content;
    }
    return NULL;
}

/* Makes it one that is to be acknowledged: to ids alone. */
static void make_ack(struct sim_content *content, bool for_path) {
    const struct scenario *scenario = &sim.scenario;
    content->ack = true;
    content->is_volatile = content->broadcast = false;
    content->group_count = content->except_count = 0;
    if (content->to_count == 0) {
        unsigned wanted = for_path || sim_chance(600) ? 1 : (unsigned)sim_between(2, 5);
        names_draw(content->to, &content->to_count, wanted, scenario->ids);
    }
    if (sim_chance(300))
        content->ttl_s = (double)sim_between(1, sim_chance(500) ? 400 : 30000) / 1000.0;
}

struct sim_content *content_make(struct sim_peer *peer, bool for_path) {
    const struct scenario *scenario = &sim.scenario;
    bool for_client = peer->kind == PEER_CLIENT;
    if (!for_path && sim_chance(scenario->repeated)) {
        struct sim_content *again = content_again();
        if (again != NULL && !again->is_bytes)
            return again;
    }
    struct sim_content *content = content_add();
    content->event = (uint8_t)sim_roll(5);
    content->is_volatile = sim_chance(scenario->is_volatile);
    if (sim_chance(scenario->broadcast)) {
        content->broadcast = true;
    } else if (sim_chance(scenario->wide)) {
        names_draw(content->to, &content->to_count, (unsigned)sim_roll(4), scenario->ids);
        names_draw(content->groups, &content->group_count, (unsigned)sim_between(1, 4),
                   scenario->groups);
    } else if (sim_chance(500)) {
        names_draw(content->to, &content->to_count, 1, scenario->ids);
    } else {
        names_draw(content->groups, &content->group_count, 1, scenario->groups);
    }
    if (hot.id >= 0 && content->to_count > 0 && sim_chance(400))
        name_put(content->to, content->to_count, (uint8_t)hot.id);
    if (hot.group >= 0 && content->group_count > 0 && sim_chance(400))
        name_put(content->groups, content->group_count, (uint8_t)hot.group);
    if (for_path && !content->broadcast) {
        /* The path names one address; a query may add groups only. */
        if (content->to_count != 0)
            content->to_count = 1, content->group_count = 0;
        else
            content->group_count = 1;
    }
    if (sim_chance(150))
        names_draw(content->except, &content->except_count, (unsigned)sim_between(1, 3),
                   scenario->ids);
    if (sim_chance(scenario->keyed))
        content->key =
            (int)sim_chance(200) ? (int)sim_roll(content->number + 1) : (int)content->number;
    if (sim_chance(scenario->short_ttl))
        content->ttl_s = (double)sim_between(1, 400) / 1000.0;
    /* Where all of these are answered late, most producers turn to other classes. */
    if (scenario->ack != 0 && sim_chance(scenario->ack) && (!sim_store_hangs() || sim_chance(100)))
        make_ack(content, for_path);
    if (for_path && !for_client && sim_chance(scenario->bytes_payload))
        payload_bytes(content);
    else
        payload_json(content);
    return content;
}

struct sim_content *content_make_lent(void) {
    struct sim_content *content = content_add();
    content->event = (uint8_t)sim_roll(5);
    content->lent = true;
    make_ack(content, false);
    if (hot.id >= 0 && sim_chance(400))
        name_put(content->to, content->to_count, (uint8_t)hot.id);
    if (content->ttl_s <= 0)
        content->ttl_s = (double)sim_between(5, 600);
    if (sim_chance(sim.scenario.bytes_payload))
        payload_bytes(content);
    else
        payload_json(content);
    return content;
}

static void list_write(struct text *text, const char *field, const uint8_t *list, unsigned count,
                       struct span (*name)(unsigned)) {
    if (count == 0)
        return;
    text_format(text, ",\"%s\":", field);
    if (count == 1 && sim_chance(700)) {
        text_json(text, name(list[0]));
        return;
    }
    for (unsigned i = 0; i < count; i++) {
        text_format(text, i == 0 ? "[" : ",");
        text_json(text, name(list[i]));
        if (sim_chance(100)) { /* repeats collapse */
            text_format(text, ", ");
            text_json(text, name(list[i]));
        }
    }
    text_format(text, "]");
}

void content_write(const struct sim_content *content, struct text *text, const char *before,
                   bool without_data) {
    text_format(text, "{%s%s", before, content->broadcast ? "\"broadcast\":true" : "\"event\":");
    if (content->broadcast)
        text_format(text, ",\"event\":");
    struct text numbered = {0};
    text_format(&numbered, "#%u", content->number);
    text_json(text, content->event == UINT8_MAX ? text_as_span(&numbered)
                                                : name_of_event(content->event));
    text_free(&numbered);
    if (!without_data) {
        text_format(text, ",\"data\":");
        text_span(text, text_as_span(&content->payload));
    }
    list_write(text, "to", content->to, content->to_count, name_of_id);
    list_write(text, "group", content->groups, content->group_count, name_of_group);
    list_write(text, "except", content->except, content->except_count, name_of_id);
    if (content->key >= 0)
        text_format(text, ",\"id\":\"key-%d\"", content->key);
    if (content->is_volatile)
        text_format(text, ",\"volatile\":true");
    if (content->ack)
        text_format(text, ",\"ack\":true");
    if (content->ttl_s > 0)
        text_format(text, ",\"ttl\":%.3f", content->ttl_s);
    text_format(text, "}");
}
