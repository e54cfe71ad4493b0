#include "tests/sim/sim_check.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_port.h"
#include "tests/sim/sim_redis.h"
#include "tests/sim/sim_world.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const id_names[NAMES_MAX] = {
    "till-7",  "a b",
    "100%",    "k\xC3\xA4se",
    "q\"uote", "back\\slash",
    "x",       "till-8",
    "a/b",     "sixty-four-bytes-of-a-name-that-goes-on-and-on-until-it-is-enough",
    "c10",     "c11",
    "c12",     "c13",
    "c14",     "c15",
    "c16",     "c17",
    "c18",     "c19",
    "c20",     "c21",
    "c22",     "c23"};
static const char *const group_names[NAMES_MAX] = {"shop-1",
                                                   "shop 2",
                                                   "all",
                                                   "gr\xC3\xBC\xC3\x9F"
                                                   "e",
                                                   "till-7",
                                                   "g%2F",
                                                   "g6",
                                                   "g7",
                                                   "g8",
                                                   "g9",
                                                   "g10",
                                                   "g11",
                                                   "g12",
                                                   "g13",
                                                   "g14",
                                                   "g15",
                                                   "g16",
                                                   "g17",
                                                   "g18",
                                                   "g19",
                                                   "g20",
                                                   "g21",
                                                   "g22",
                                                   "g23"};
static const char *const event_names[] = {"message", "payment", "two words", "caf\xC3\xA9", "e%"};

static struct sim_session *sessions[SESSIONS_MAX];
static unsigned session_count;
static struct sim_content *contents[CONTENTS_MAX];
static uint32_t content_count;
static struct sim_attempt *attempts[ATTEMPTS_MAX];
static uint32_t attempt_count;
static uint32_t stream_count;
static bool unsure[NAMES_MAX][NAMES_MAX];   /* by id and group */
static uint64_t close_stamps[NAMES_MAX][2]; /* by id: the last and the one before; 0: never */
static bool close_unsure[NAMES_MAX];        /* by id */
/* What each port has ever held. */
static struct { bool hears, ids[NAMES_MAX], groups[NAMES_MAX]; } port_names[SIM_PORTS_MAX];

struct span name_of_id(unsigned id) {
    return span_text(id_names[id]);
}

struct span name_of_group(unsigned group) {
    return span_text(group_names[group]);
}

struct span name_of_event(unsigned event) {
    return span_text(event_names[event % (sizeof(event_names) / sizeof(event_names[0]))]);
}

struct hot_names hot;

void check_open(void) {
    hot = (struct hot_names){-1, -1};
    session_count = content_count = attempt_count = stream_count = 0;
    memset(unsure, 0, sizeof(unsure));
    memset(close_stamps, 0, sizeof(close_stamps));
    memset(close_unsure, 0, sizeof(close_unsure));
    memset(port_names, 0, sizeof(port_names));
}

void check_close(void) {
    for (unsigned i = 0; i < session_count; i++) {
        free(sessions[i]->log);
        free(sessions[i]->ack_log);
        free(sessions[i]->ack_log_ns);
        free(sessions[i]);
    }
    for (uint32_t i = 0; i < content_count; i++) {
        text_free(&contents[i]->payload);
        text_free(&contents[i]->json);
        text_free(&contents[i]->line);
        free(contents[i]);
    }
    for (uint32_t i = 0; i < attempt_count; i++)
        free(attempts[i]);
    check_open();
}

/* --- sessions --------------------------------------------------------------------------------- */

struct sim_session *session_add(struct link *link, int id, bool counted) {
    CHECK(session_count < SESSIONS_MAX, "the scenario makes too many sessions");
    struct sim_session *session = calloc(1, sizeof(*session));
    CHECK(session != NULL);
    *session = (struct sim_session){.number = session_count,
                                    .link = link,
                                    .id = id,
                                    .counted = counted,
                                    .begin_ns = sim.now_ns,
                                    .may_from = NEVER,
                                    .must_from = NEVER,
                                    .leave = NEVER};
    sessions[session_count++] = session;
    return session;
}

unsigned session_total(void) {
    return session_count;
}

struct sim_session *session_at(unsigned number) {
    return sessions[number];
}

void session_joining(struct sim_session *session, unsigned group) {
    CHECK(session->spell_count < SPELLS_MAX, "the scenario joins too often");
    session->spells[session->spell_count++] = (struct spell){.may_from = sim_stamp(),
                                                             .must_from = NEVER,
                                                             .must_until = NEVER,
                                                             .may_until = NEVER,
                                                             .group = group};
}

void session_joined(struct sim_session *session, unsigned group, uint64_t sent) {
    for (unsigned i = 0; i < session->spell_count; i++) {
        struct spell *spell = &session->spells[i];
        if (spell->group == group && spell->may_from < sent && spell->must_from == NEVER)
            spell->must_from = sim_stamp();
    }
}

void session_leaving(struct sim_session *session, unsigned group) {
    for (unsigned i = 0; i < session->spell_count; i++)
        if (session->spells[i].group == group && session->spells[i].must_until == NEVER)
            session->spells[i].must_until = sim_stamp();
}

void session_left(struct sim_session *session, unsigned group, uint64_t sent) {
    for (unsigned i = 0; i < session->spell_count; i++) {
        struct spell *spell = &session->spells[i];
        if (spell->group == group && spell->may_from < sent && spell->may_until == NEVER)
            spell->may_until = sim_stamp();
    }
}

void close_asked_set(int id) {
    close_stamps[id][1] = close_stamps[id][0];
    close_stamps[id][0] = sim_stamp();
}

void close_unsure_set(int id) {
    close_unsure[id] = true;
}

bool close_asked(const struct sim_session *session, uint64_t before) {
    if (session->id < 0)
        return false;
    if (close_unsure[session->id])
        return true;
    const uint64_t *stamps = close_stamps[session->id];
    return (stamps[0] <= before ? stamps[0] : stamps[1]) > session->must_from;
}

void group_unsure_set(int id, unsigned group) {
    unsure[id][group] = true;
}

bool group_unsure(int id, unsigned group) {
    return id >= 0 && unsure[id][group];
}

bool session_surely(const struct sim_session *session, uint64_t from, uint64_t until) {
    const struct link *link = session->link;
    return session->must_from < from && session->leave > until &&
           (link->close_stamp == 0 || link->close_stamp > until) && !link->reset;
}

bool session_maybe(const struct sim_session *session, uint64_t from, uint64_t until) {
    const struct link *link = session->link;
    return session->may_from < until && (link->closed_stamp == 0 || link->closed_stamp > from);
}

/* --- contents and attempts -------------------------------------------------------------------- */

uint32_t stream_add(void) {
    CHECK(stream_count < STREAMS_MAX, "the scenario has too many producers");
    return stream_count++;
}

uint32_t stream_total(void) {
    return stream_count;
}

struct sim_content *content_add(void) {
    CHECK(content_count < CONTENTS_MAX, "the scenario makes too many messages");
    struct sim_content *content = calloc(1, sizeof(*content));
    CHECK(content != NULL);
    content->number = content_count;
    content->key = -1;
    content->first_attempt = content->last_attempt = UINT32_MAX;
    contents[content_count++] = content;
    return content;
}

struct sim_content *content_at(uint32_t number) {
    return contents[number];
}

uint32_t content_total(void) {
    return content_count;
}

struct sim_attempt *attempt_add(struct sim_content *content, uint32_t stream, uint64_t scope) {
    CHECK(attempt_count < ATTEMPTS_MAX, "the scenario tries too often");
    struct sim_attempt *attempt = calloc(1, sizeof(*attempt));
    CHECK(attempt != NULL);
    uint32_t number = attempt_count++;
    attempts[number] = attempt;
    *attempt = (struct sim_attempt){.content = content->number,
                                    .next = UINT32_MAX,
                                    .stream = stream,
                                    .order = number,
                                    .scope = scope,
                                    .begin = sim_stamp(),
                                    .begin_ns = sim.now_ns,
                                    .answer = NEVER,
                                    .answer_ns = NEVER};
    if (content->attempts++ == 0)
        content->first_attempt = number;
    else
        attempts[content->last_attempt]->next = number;
    content->last_attempt = number;
    return attempt;
}

uint32_t content_rivals(const struct sim_content *content) {
    uint32_t count = 0;
    for (uint32_t i = 0; content->key >= 0 && i < attempt_count; i++)
        count += contents[attempts[i]->content]->key == content->key;
    return count;
}

struct sim_attempt *attempt_at(uint32_t number) {
    return attempts[number];
}

uint32_t attempt_number(const struct sim_attempt *attempt) {
    return attempt->order;
}

uint32_t attempt_total(void) {
    return attempt_count;
}

void attempt_answered(struct sim_attempt *attempt, enum attempt_state state, bool counted,
                      uint64_t recipients) {
    CHECK(attempt->state == ATTEMPT_OPEN && attempt->answer == NEVER);
    attempt->state = state;
    /* A Redis that lies says any number. */
    attempt->counted = counted && sim.scenario.redis_wrong == 0;
    attempt->recipients = recipients % PORT_TAKES;
    attempt->port_recipients = recipients / PORT_TAKES;
    /* By now, and by all its attempts: an answer that comes later is for nobody. */
    struct sim_content *content = contents[attempt->content];
    content->taken += state == ATTEMPT_QUEUED;
    if (sim.scenario.store && content->ack && !content->lent && content->taken > content->stored)
        sim_fail("message %u is said to be taken, and the store does not have it", content->number);
    if (content->ack && sim.scenario.redis != 0)
        content->ports_took = content->to_count * sim.scenario.redis; /* they are asked, in short */
    if (attempt->port_recipients > content->ports_took)
        sim_fail("message %u counts %llu ports, %u have taken it", attempt->content,
                 (unsigned long long)attempt->port_recipients, content->ports_took);
    attempt->answer = sim_stamp();
    attempt->answer_ns = sim.now_ns;
}

/* --- arrivals --------------------------------------------------------------------------------- */

uint64_t id_hash_of(struct span id) {
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < id.len; i++)
        hash = (hash ^ (unsigned char)id.at[i]) * UINT64_C(0x100000001B3);
    return hash;
}

static bool same_but_breaks(struct span got, struct span wanted) {
    size_t i = 0, j = 0;
    for (;;) {
        while (i < got.len && (got.at[i] == '\n' || got.at[i] == '\r'))
            i++;
        while (j < wanted.len && (wanted.at[j] == '\n' || wanted.at[j] == '\r'))
            j++;
        if (i == got.len || j == wanted.len)
            return i == got.len && j == wanted.len;
        if (got.at[i++] != wanted.at[j++])
            return false;
    }
}

/* The number of the content; it stands in the event or first in the payload. */
static uint32_t arrival_number(struct span event, bool base64, struct span payload) {
    char plain[64];
    size_t len = 0;
    if (event.len > 1 && event.at[0] == '#') {
        payload = event;
    } else if (base64) {
        static const char digits[] =
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        uint32_t word = 0;
        for (size_t i = 1; i < payload.len && len + 3 < sizeof(plain) && payload.at[i] != '"';
             i++) {
            const char *digit = strchr(digits, payload.at[i]);
            word = word << 6 | (uint32_t)(digit == NULL || *digit == '\0' ? 0 : digit - digits);
            if (i % 4 == 0)
                for (int shift = 16; shift >= 0; shift -= 8)
                    plain[len++] = (char)(word >> shift);
        }
        payload = span_of(plain, len);
    }
    uint32_t number = 0;
    size_t i = 0;
    while (i < payload.len && (payload.at[i] < '0' || payload.at[i] > '9'))
        i++;
    if (i == payload.len)
        return UINT32_MAX;
    for (; i < payload.len && payload.at[i] >= '0' && payload.at[i] <= '9' && number < 1000000; i++)
        number = number * 10 + (uint32_t)(payload.at[i] - '0');
    return number;
}

static bool group_fits(const struct sim_content *content, struct span raw) {
    char plain[256];
    size_t len;
    if (raw.len > 0 && raw.at[0] == '"')
        return content->group_count == 1 && json_string(raw, plain, sizeof(plain), &len) &&
               span_equal(span_of(plain, len), name_of_group(content->groups[0]));
    struct span rest = raw, element;
    bool first = true;
    unsigned found = 0;
    while (json_element(&rest, &first, &element)) {
        bool known = false;
        for (unsigned i = 0; i < content->group_count; i++)
            known |= json_string(element, plain, sizeof(plain), &len) &&
                     span_equal(span_of(plain, len), name_of_group(content->groups[i]));
        if (!known)
            return false;
        found++;
    }
    return found == content->group_count;
}

static void log_add(struct sim_session *session, uint32_t number) {
    if (session->log_count == session->log_size) {
        session->log_size = session->log_size * 2 + 32;
        session->log = realloc(session->log, session->log_size * sizeof(*session->log));
        CHECK(session->log != NULL);
    }
    session->log[session->log_count++] = number;
}

static void arrival_count(struct sim_session *session, struct sim_content *content) {
    content->arrived++;
    content->seen[session->number]++;
    /* The canaries lie about what came. */
    if (sim.canary == CANARY_MESSAGES_SWAPPED && session->log_count > 2) {
        uint32_t before = session->log[session->log_count - 1];
        session->log[session->log_count - 1] = content->number;
        log_add(session, before);
        return;
    }
    log_add(session, content->number);
    if (sim.canary == CANARY_MESSAGE_TWICE && content->number % 16 == 5)
        content->seen[session->number]++;
}

void content_id_known(struct sim_content *content, struct span id) {
    if (content->id[0] == '\0' && id.len < sizeof(content->id))
        memcpy(content->id, id.at, id.len);
}

static void arrival_id_check(const struct sim_session *session, struct sim_content *content,
                             struct span id) {
    if (content->key >= 0) {
        char key[32];
        snprintf(key, sizeof(key), "key-%d", content->key);
        if (!span_equal(id, span_text(key)))
            sim_fail("session %u got message %u under the id %.*s instead of %s", session->number,
                     content->number, SPAN_ARG(id), key);
    } else if (content->id_hash != 0 && content->id_hash != id_hash_of(id)) {
        sim_fail("message %u arrives under two ids", content->number);
    } else if (id.len == 0 || id.len > MESSAGE_ID_BYTES_MAX) {
        sim_fail("session %u got message %u without an id", session->number, content->number);
    }
    content->id_hash = id_hash_of(id);
    content_id_known(content, id);
}

/* Where nothing says so: is it no content's JSON? */
static bool looks_like_bytes(const struct arrival *arrival) {
    uint32_t number = arrival_number(arrival->event, false, arrival->payload);
    return number >= content_count || contents[number]->is_bytes ||
           !same_but_breaks(arrival->payload, text_as_span(&contents[number]->line));
}

uint32_t check_arrival(struct sim_session *session, const struct arrival *arrival) {
    struct span payload = arrival->payload;
    bool is_bytes = arrival->unmarked ? looks_like_bytes(arrival) : arrival->is_bytes;
    uint32_t number = arrival_number(arrival->event, is_bytes && !session->counted, payload);
    if (number >= content_count)
        sim_fail("session %u got a message that nobody sent: event %.*s, %.*s", session->number,
                 SPAN_ARG(arrival->event), (int)(payload.len < 200 ? payload.len : 200),
                 payload.at);
    struct sim_content *content = contents[number];
    if (sim.canary == CANARY_MESSAGE_LOST && number % 16 == 5)
        return UINT32_MAX;
    if (session->must_from == NEVER)
        sim_fail("session %u got message %u before its welcome", session->number, number);
    /* One that the send before had begun must be finished, whatever its ttl. */
    if (arrival->offset >= session->link->send_offset &&
        session->link->send_started_ns > content->handed_ns)
        content->handed_ns = session->link->send_started_ns;
    struct text numbered = {0};
    text_format(&numbered, "#%u", number);
    struct span event_wanted =
        content->event == UINT8_MAX ? text_as_span(&numbered) : name_of_event(content->event);
    if (!span_equal(arrival->event, event_wanted))
        sim_fail("session %u got message %u with event %.*s instead of %.*s", session->number,
                 number, SPAN_ARG(arrival->event), SPAN_ARG(event_wanted));
    text_free(&numbered);
    struct span wanted = text_as_span(session->counted ? &content->payload : &content->line);
    bool mangled = sim.canary == CANARY_MESSAGE_MANGLED && number % 16 == 5;
    bool same = content->is_bytes ? span_equal(payload, wanted) : same_but_breaks(payload, wanted);
    if (is_bytes != content->is_bytes || !same || mangled)
        sim_fail("session %u got message %u mangled (%zu bytes for %zu): %.*s", session->number,
                 number, payload.len, wanted.len, (int)(payload.len < 200 ? payload.len : 200),
                 payload.at);
    if (!arrival->unmarked &&
        (arrival->has_group != (content->group_count != 0) ||
         (arrival->has_group && !session->counted && !group_fits(content, arrival->group_json))))
        sim_fail("session %u got message %u with a wrong group: %.*s", session->number, number,
                 SPAN_ARG(arrival->group_json));
    if (!arrival->unmarked &&
        (arrival->ack != content->ack || (arrival->redelivered && !content->ack)))
        sim_fail("session %u got message %u with wrong marks", session->number, number);
    arrival_id_check(session, content, arrival->id);
    sim_digest(UINT64_C(0xA000000000000000) | (uint64_t)session->number << 32 | number);
    if (content->ack)
        acks_on_arrival(session, content, arrival->redelivered || arrival->unmarked);
    else
        arrival_count(session, content);
    return number;
}

/* --- ports ------------------------------------------------------------------------------------ */

void check_port_holds(unsigned port, enum name_kind kind, unsigned name) {
    *(kind == NAME_ID ? &port_names[port].ids[name] : &port_names[port].groups[name]) = true;
}

void check_port_hears(unsigned port) {
    port_names[port].hears = true;
}

static bool port_addressed(unsigned port, const struct sim_content *content) {
    bool addressed = content->broadcast && port_names[port].hears;
    for (unsigned i = 0; i < content->to_count; i++)
        addressed |= port_names[port].ids[content->to[i]];
    for (unsigned i = 0; i < content->group_count; i++)
        addressed |= port_names[port].groups[content->groups[i]];
    return addressed;
}

uint32_t check_port_arrival(unsigned port, uint32_t stream, struct span event,
                            struct span payload) {
    uint32_t number = arrival_number(event, false, payload);
    if (number >= content_count)
        sim_fail("port %u got a message that nobody sent: event %.*s", port, SPAN_ARG(event));
    struct sim_content *content = contents[number];
    if (!port_addressed(port, content))
        sim_fail("port %u got message %u, which is not for it", port, number);
    unsigned others = 0;
    for (uint32_t i = content->first_attempt; i != UINT32_MAX; i = attempts[i]->next)
        others += attempts[i]->stream != stream;
    if (++content->port_seen[port] > others)
        sim_fail("port %u got message %u %u times, others tried it %u times", port, number,
                 content->port_seen[port], others);
    sim_digest(UINT64_C(0xB000000000000000) | (uint64_t)port << 32 | number);
    return number;
}

uint32_t content_number(struct span event, struct span payload) {
    return arrival_number(event, false, payload);
}

/* --- the store -------------------------------------------------------------------------------- */

uint32_t check_store_arrival(struct span event, struct span payload) {
    uint32_t number = arrival_number(event, false, payload);
    if (number >= content_count || !contents[number]->ack || contents[number]->lent)
        sim_fail("the store got a message that is not to be acknowledged: event %.*s",
                 SPAN_ARG(event));
    sim_digest(UINT64_C(0xD000000000000000) | number);
    return number;
}

/* --- Redis ------------------------------------------------------------------------------------ */

static bool is_name_of(const enum name_kind *kind, unsigned name,
                       const struct sim_content *content) {
    if (kind == NULL)
        return content->broadcast;
    const uint8_t *list = *kind == NAME_ID ? content->to : content->groups;
    unsigned count = *kind == NAME_ID ? content->to_count : content->group_count;
    for (unsigned i = 0; i < count; i++)
        if (list[i] == name)
            return true;
    return false;
}

static struct sim_content *published(const enum name_kind *kind, unsigned name, struct span text) {
    char plain[256];
    size_t len = 0;
    struct span event, data, node, bytes;
    if (!json_member(text, "event", &event) || !json_member(text, "data", &data) ||
        !json_member(text, "node", &node) || !json_string(event, plain, sizeof(plain), &len))
        sim_fail("what is published is no message: %.*s", SPAN_ARG(text));
    bool is_bytes = json_member(node, "bytes", &bytes);
    uint32_t number = arrival_number(span_of(plain, len), is_bytes, data);
    if (number >= content_count)
        sim_fail("a message is published that nobody sent: %.*s", SPAN_ARG(text));
    struct sim_content *content = contents[number];
    if (!is_name_of(kind, name, content))
        sim_fail("message %u is published where it does not belong: %.*s", number, SPAN_ARG(text));
    if (is_bytes != content->is_bytes || !span_equal(data, text_as_span(&content->json)))
        sim_fail("message %u is published mangled: %.*s", number, SPAN_ARG(text));
    sim_digest(UINT64_C(0xC000000000000000) | number);
    return content;
}

struct sim_content *check_lent(unsigned id, struct span text) {
    const enum name_kind kind = NAME_ID;
    struct sim_content *content = published(&kind, id, text);
    struct span to, ack, element;
    bool first = true;
    if (!content->ack || content->lent || !json_member(text, "ack", &ack) ||
        !json_member(text, "to", &to) || !json_element(&to, &first, &element) ||
        !json_is(element, name_of_id(id).at) || json_element(&to, &first, &element))
        sim_fail("a message goes to other nodes as one of this: %.*s", SPAN_ARG(text));
    return content;
}

struct sim_content *check_published(const enum name_kind *kind, unsigned name, struct span text) {
    struct sim_content *content = published(kind, name, text);
    if (content->ack)
        sim_fail("message %u, which is to be acknowledged, is published", content->number);
    unsigned tries = 0, channels = content->broadcast ? 1U : 0U;
    channels += content->to_count;
    channels += content->group_count;
    for (uint32_t i = content->first_attempt; i != UINT32_MAX; i = attempts[i]->next)
        tries += !redis_is_stream(attempts[i]->stream);
    if (++content->published > tries * channels)
        sim_fail("message %u is published more often than it was sent", content->number);
    return content;
}
