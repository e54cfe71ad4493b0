/* Messages that are to be acknowledged, from node to node; see sim_redis_parts.h.
 *
 * Other nodes lend theirs to the node, one for each id of them: again when it says that a client
 * has come, and now and then while they hear nothing. What its clients acknowledge must come to who
 * lent it. They are lent those of the node, and acknowledge them or not. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/fates.h"
#include "core/keeper.h"
#include "core/server.h"
#include "core/worker.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_redis_parts.h"

#include <stdio.h>

#define LENDS_MAX 1024
#define HELDS_MAX 512
#define MID_BYTES 66

/* A message of another node for one of its ids. */
struct lend {
    uint32_t content;
    unsigned other, place; /* of `to` */
    uint32_t lent_in;      /* generations */
    bool over;             /* its node does not keep it any more */
    bool settled;          /* that was said on the id's channel */
    uint64_t again_ns;
    uint64_t said;    /* stamp: when the last copy was said, */
    uint64_t said_ns; /* and heard on the connection with this number */
    uint64_t said_fd;
    unsigned told; /* how often it was said to be acknowledged */
};

/* A message of the node that another one has. */
struct held {
    bool there;
    uint32_t content;
    unsigned other, id;
    char mid[MID_BYTES];
    uint64_t due_ns;  /* its client acknowledges it; CLOCK_NEVER: not, or it did */
    uint64_t said_fd; /* the node heard so on the connection with this number; 0: not yet */
    bool settled;     /* the node has said so; its keeper may be a little behind */
};

static struct lend lends[LENDS_MAX];
static unsigned lend_count;
static struct held helds[HELDS_MAX];

void lent_open(void) {
    memset(lends, 0, sizeof(lends));
    memset(helds, 0, sizeof(helds));
    lend_count = 0;
}

static void look_at(struct other *other, uint64_t at_ns) {
    if (at_ns < other->lends_ns)
        other->lends_ns = at_ns;
}

static void run_write(const struct other *other, unsigned generation, char run[17]) {
    snprintf(run, 17, "%016x", 0xabc0 + other->index + generation * 0x10000);
}

/* --- lent to the node ------------------------------------------------------------------------- */

static unsigned id_of(const struct lend *lend) {
    return content_at(lend->content)->to[lend->place];
}

/* As much of its time as is left. */
static double ttl_left(const struct sim_content *content) {
    uint64_t begin_ns = attempt_at(content->first_attempt)->begin_ns;
    return content->ttl_s - (double)(sim.now_ns - begin_ns) / 1e9 + 0.001;
}

static void lend_send(struct lend *lend) {
    struct other *other = &others[lend->other];
    struct sim_content *content = content_at(lend->content), whole = *content;
    struct channel channel = {PLACE_ID, id_of(lend)};
    struct text name = {0}, text = {0}, before = {0};
    lend->again_ns = sim.now_ns + NS_PER_S / 4 + sim_roll(4 * NS_PER_S);
    double ttl_s = ttl_left(content);
    if (ttl_s <= 0.002) {
        lend->over = true;
        return;
    }
    char more[60];
    snprintf(more, sizeof(more), "%s%s,\"keeps\":true", content->is_bytes ? ",\"bytes\":true" : "",
             lend->lent_in != 0 ? ",\"again\":true" : "");
    other_node_write(other, &before, channel, ++other->number, more);
    text_add(&before, "", 1);
    channel_write(&name, channel);
    content->to[0] = (uint8_t)channel.name;
    content->to_count = 1;
    content->ttl_s = ttl_s;
    if (content->is_bytes)
        content->payload = content->json;
    content_write(content, &text, before.at, false);
    *content = whole;
    lend->lent_in |= 1U << other->generation;
    uint64_t fd = redis_subscriber(NULL);
    if (message_send(channel, text_as_span(&name), text_as_span(&text)) != 0) {
        lend->said = sim_stamp();
        lend->said_ns = sim.now_ns;
        lend->said_fd = fd;
    }
    text_free(&name);
    text_free(&text);
    text_free(&before);
}

void lent_make(struct other *other) {
    struct sim_content *content = content_make_lent();
    content->key = (int)content->number;
    snprintf(content->id, sizeof(content->id), "key-%d", content->key);
    attempt_add(content, other->stream, SCOPES + content->number);
    for (unsigned i = 0; i < content->to_count && lend_count < LENDS_MAX; i++) {
        struct lend *lend = &lends[lend_count++];
        *lend = (struct lend){.content = content->number, .other = other->index, .place = i};
        lend_send(lend);
        look_at(other, lend->again_ns);
    }
}

bool lent_any(const struct other *other) {
    for (unsigned i = 0; i < lend_count; i++)
        if (!lends[i].over && lends[i].other == other->index)
            return true;
    return false;
}

/* A word about one message on a channel. */
static unsigned word_say(const char *run, const char *kind, struct channel channel,
                         struct span message_id, unsigned id, unsigned times) {
    struct text text = {0};
    text_format(&text, "{\"node\":{\"run\":\"%s\",\"%s\":[", run, kind);
    for (unsigned i = 0; i < times; i++) {
        text_format(&text, i == 0 ? "[" : ",[");
        text_json(&text, message_id);
        text_format(&text, ",");
        text_json(&text, name_of_id(id));
        text_format(&text, "]");
    }
    text_format(&text, "]}}");
    text_add(&text, "", 1);
    unsigned heard = text_send(channel, text.at);
    text_free(&text);
    return heard;
}

static void key_write(const struct lend *lend, char key[32]) {
    snprintf(key, 32, "key-%d", content_at(lend->content)->key);
}

/* It is withdrawn, or acknowledged elsewhere. */
static void lend_settle(struct lend *lend) {
    char key[32];
    key_write(lend, key);
    lend->over = true;
    lend->settled = lend->lent_in != 0;
    if (lend->settled)
        word_say(others[lend->other].run, "settled", (struct channel){PLACE_ID, id_of(lend)},
                 span_text(key), id_of(lend), 1);
}

/* Is it the word of who lent that, and do its clients have it? */
static void acked_take(const struct other *other, unsigned generation, struct span entry) {
    char message[128], id[256];
    struct span part, rest = entry;
    size_t message_len = 0, id_len = 0;
    bool first = true;
    if (!json_element(&rest, &first, &part) ||
        !json_string(part, message, sizeof(message) - 1, &message_len) ||
        !json_element(&rest, &first, &part) || !json_string(part, id, sizeof(id), &id_len))
        sim_fail("another node is told %.*s", SPAN_ARG(entry));
    message[message_len] = '\0';
    for (unsigned i = 0; i < lend_count; i++) {
        struct lend *lend = &lends[i];
        char key[32];
        key_write(lend, key);
        if (lend->other != other->index || strcmp(key, message) != 0 ||
            !span_equal(name_of_id(id_of(lend)), span_of(id, id_len)))
            continue;
        if ((lend->lent_in >> generation & 1) == 0)
            sim_fail("a node is told that message %u is acknowledged, which it has not lent",
                     lend->content);
        if (!ack_said_here(message, (int)id_of(lend)))
            sim_fail("message %u is said to be acknowledged by id %u, and nobody did",
                     lend->content, id_of(lend));
        lend->told++;
        lend->over |= generation == other->generation;
        return;
    }
    sim_fail("another node is told of %.*s, which it does not keep", SPAN_ARG(entry));
}

/* The node has said which of its messages is settled. */
static void settled_take(struct span entry) {
    char message[128], id[256];
    struct span part, rest = entry;
    size_t message_len = 0, id_len = 0;
    bool first = true;
    if (!json_element(&rest, &first, &part) ||
        !json_string(part, message, sizeof(message) - 1, &message_len) ||
        !json_element(&rest, &first, &part) || !json_string(part, id, sizeof(id), &id_len))
        sim_fail("other nodes are told %.*s", SPAN_ARG(entry));
    message[message_len] = '\0';
    for (unsigned i = 0; i < HELDS_MAX; i++)
        if (helds[i].there && strcmp(helds[i].mid, message) == 0 &&
            span_equal(name_of_id(helds[i].id), span_of(id, id_len))) {
            helds[i].settled = true;
            helds[i].due_ns = CLOCK_NEVER;
        }
}

/* A client has come there: what is lent to its id goes there again. */
static void came_take(struct span id) {
    for (unsigned i = 0; i < lend_count; i++)
        if (!lends[i].over && json_is(id, name_of_id(id_of(&lends[i])).at) &&
            lends[i].again_ns > sim.now_ns) {
            lends[i].again_ns = sim.now_ns + sim_roll(NS_PER_MS);
            look_at(&others[lends[i].other], lends[i].again_ns);
        }
}

unsigned lent_word(struct span channel, struct span node) {
    struct span array, element;
    bool first = true;
    if (json_member(node, "asks", &array))
        for (unsigned i = 0; i < other_count; i++)
            others[i].asked |= !others[i].is_program;
    if (json_member(node, "came", &array))
        for (first = true; json_element(&array, &first, &element);)
            came_take(element);
    if (json_member(node, "settled", &array))
        for (first = true; json_element(&array, &first, &element);)
            settled_take(element);
    if (!redis_begins(&channel, redis_prefix()) || !redis_begins(&channel, SPAN("node:")))
        return 0;
    for (unsigned i = 0; i < other_count; i++)
        for (unsigned j = 0; j <= others[i].generation; j++) {
            char run[17];
            run_write(&others[i], j, run);
            if (!span_equal(channel, span_text(run)) || !json_member(node, "acked", &array))
                continue;
            for (first = true; json_element(&array, &first, &element);)
                acked_take(&others[i], j, element);
            return j == others[i].generation ? 1 : 0;
        }
    sim_fail("a node is written to that never was: %.*s", SPAN_ARG(channel));
}

void lent_told(struct sim_content *content, enum result_word result) {
    struct sim_attempt *attempt = attempt_at(content->first_attempt);
    bool taken = result == RESULT_QUEUED || result == RESULT_STORED;
    if (!taken && result != RESULT_DUPLICATE && result != RESULT_OVERLOADED &&
        result != RESULT_DRAINING)
        sim_fail("message %u, which another node keeps, is answered %u", content->number, result);
    content->lent_refused |= result == RESULT_OVERLOADED || result == RESULT_DRAINING;
    content->lent_taken += taken;
    if (taken && attempt->state == ATTEMPT_OPEN)
        attempt_answered(attempt, ATTEMPT_QUEUED, false, 0);
}

/* --- lent by the node ------------------------------------------------------------------------- */

static struct held *held_of(unsigned other, uint32_t content, unsigned id) {
    struct held *free = NULL;
    for (unsigned i = 0; i < HELDS_MAX; i++) {
        struct held *held = &helds[i];
        if (held->there && held->other == other && held->content == content && held->id == id)
            return held;
        if (!held->there && free == NULL)
            free = held;
    }
    return free;
}

void lent_published(unsigned id, struct span node, struct span text) {
    struct span again, value;
    struct sim_content *content = check_lent(id, text);
    int place = ack_place(content, (int)id);
    struct sim_ack *ack = &content->acks[place];
    SIM_TRACE("message %u goes to other nodes for id %u: %.*s", content->number, id,
              SPAN_ARG(node));
    if (ack->written == 0)
        ack->written = sim_stamp();
    if (ack->lent && !json_member(node, "again", &again) && content->attempts == 1)
        sim_fail("message %u goes to other nodes again, and does not say so", content->number);
    ack->lent = true;
    for (unsigned i = 0; i < other_count; i++) {
        if (others[i].is_program || !others[i].ears.ids[id])
            continue;
        struct held *held = held_of(i, content->number, id);
        size_t len;
        if (held == NULL || !json_member(text, "id", &value))
            continue;
        if (!held->there) {
            *held = (struct held){.there = true,
                                  .content = content->number,
                                  .other = i,
                                  .id = id,
                                  .due_ns = CLOCK_NEVER};
            if (!json_string(value, held->mid, sizeof(held->mid) - 1, &len))
                sim_fail("a message goes to other nodes without an id");
            held->mid[len] = '\0';
        } else if (held->settled || (held->said_fd == 0 && held->due_ns != CLOCK_NEVER)) {
            continue; /* its client takes its time */
        }
        /* One that its client has acknowledged is reported again. */
        if (sim_chance(700) || held->said_fd != 0)
            held->due_ns = sim.now_ns + sim_roll(sim_chance(600) ? NS_PER_MS : 2 * NS_PER_S);
        look_at(&others[i], held->due_ns);
    }
}

static void held_report(struct held *held) {
    const struct other *other = &others[held->other];
    struct sim_content *content = content_at(held->content);
    struct channel own = {.place = PLACE_OWN};
    held->due_ns = CLOCK_NEVER;
    uint64_t fd = redis_subscriber(NULL);
    unsigned heard =
        word_say(other->run, "acked", own, span_text(held->mid), held->id, sim_chance(100) ? 2 : 1);
    if (heard == 0)
        return; /* it is told with the next copy */
    held->said_fd = fd;
    acks_said_elsewhere(content, (int)held->id);
}

/* Words that must not settle anything: of what others keep, and of nothing. */
static void wrong_say(struct other *other) {
    static const char *const texts[] = {"[\"nobody\",\"nobody\"]",
                                        "[1,2]",
                                        "[]",
                                        "7",
                                        "[\"m1\"]",
                                        "[\"m1\",\"till-7\",\"/none\"]",
                                        "[[\"m1\",\"till-7\"]]",
                                        "[\"\\ud800\",\"till-7\"]",
                                        "{}"};
    char text[200], key[32];
    struct channel own = {.place = PLACE_OWN};
    if (sim_chance(100)) { /* more than a small mailbox holds */
        word_say(other->run, "acked", own, SPAN("m1"), (unsigned)sim_roll(sim.scenario.ids), 40);
        return;
    }
    if (lend_count == 0 || sim_chance(300)) {
        const char *kind = sim_chance(500) ? "acked" : "settled";
        const char *wrong = texts[sim_roll(sizeof(texts) / sizeof(texts[0]))];
        snprintf(text, sizeof(text), "{\"node\":{\"run\":\"%s\",\"%s\":[%s]}}", other->run, kind,
                 wrong);
        text_send(own, text);
        return;
    }
    unsigned back = lend_count < 8 ? lend_count : 8;
    const struct lend *lend = &lends[lend_count - 1 - (unsigned)sim_roll(back)];
    struct channel id = {PLACE_ID, id_of(lend)};
    key_write(lend, key);
    if (sim_chance(400))
        word_say(other->run, "acked", own, span_text(key), id_of(lend), 1);
    else if (sim_chance(300)) /* no place for that */
        word_say(other->run, "acked", id, span_text(key), id_of(lend), 1);
    else if (lend->other != other->index || sim_chance(300))
        word_say("00000000000dead0", "settled", id, span_text(key), id_of(lend), 1);
}

/* --- steps ------------------------------------------------------------------------------------ */

void lent_died(struct other *other, bool keeps) {
    for (unsigned i = 0; i < HELDS_MAX; i++)
        if (helds[i].other == other->index)
            helds[i].there = false;
    for (unsigned i = 0; i < lend_count; i++) {
        struct lend *lend = &lends[i];
        if (lend->other != other->index || lend->over)
            continue;
        lend->over = !keeps;
        lend->again_ns = sim.now_ns + NS_PER_S / 10 + sim_roll(NS_PER_S);
        look_at(other, lend->again_ns);
    }
}

void lent_step(struct other *other) {
    other->lends_ns = CLOCK_NEVER;
    if (sim_chance(150))
        wrong_say(other);
    for (unsigned i = 0; i < HELDS_MAX; i++) {
        struct held *held = &helds[i];
        if (!held->there || held->other != other->index)
            continue;
        if (held->due_ns <= sim.now_ns)
            held_report(held);
        look_at(other, held->due_ns);
    }
    for (unsigned i = 0; i < lend_count; i++) {
        struct lend *lend = &lends[i];
        if (lend->over || lend->other != other->index)
            continue;
        if (lend->again_ns <= sim.now_ns && sim_chance(80))
            lend_settle(lend);
        else if (lend->again_ns <= sim.now_ns)
            lend_send(lend);
        if (!lend->over)
            look_at(other, lend->again_ns);
    }
}

/* --- the oracle ------------------------------------------------------------------------------- */

/* The only session of the id since then, there all the time and for a while before; NULL: there are
 * others, or none. */
static const struct sim_session *session_of(unsigned id, uint64_t since, uint64_t since_ns) {
    const struct sim_session *only = NULL;
    for (unsigned i = 0; i < session_total(); i++) {
        const struct sim_session *session = session_at(i);
        if (session->id != (int)id || session->may_from == NEVER ||
            !session_maybe(session, since, NEVER))
            continue;
        if (only != NULL || !session_surely(session, since, sim.sequence) ||
            session->begin_ns + 300 * NS_PER_MS > since_ns)
            return NULL;
        only = session;
    }
    return only;
}

static void lend_check(const struct lend *lend) {
    char run[17], key[32];
    key_write(lend, key);
    const struct sim_content *content = content_at(lend->content);
    struct other *other = &others[lend->other];
    int id = (int)id_of(lend);
    bool heard = lend->said_fd != 0 && lend->said_fd == redis_subscriber(NULL) && !lend->over &&
                 !content->lent_refused && sim.scenario.ack_backlog >= 10000;
    for (unsigned i = 0; i <= other->generation; i++) {
        if ((lend->lent_in >> i & 1) == 0)
            continue;
        run_write(other, i, run);
        struct fate_seen seen = fate_record_find(span_text(run), key, id);
        if (seen.state == FATE_ACKED && seen.stamp > redis_steady_since() && lend->told == 0)
            sim_fail("message %u is acknowledged, and who lent it does not know", lend->content);
        if (i != other->generation || !heard || ttl_left(content) < 1 ||
            session_of((unsigned)id, lend->said, lend->said_ns) == NULL)
            continue;
        if (!seen.found)
            sim_fail("message %u was lent, and its client is there, and nobody keeps it",
                     lend->content);
        if (seen.state == FATE_DROPPED && content->withdrawn == 0)
            sim_fail("message %u was lent, and its client is there, and it is let go",
                     lend->content);
    }
}

static void held_check(struct held *held) {
    const struct sim_content *content = content_at(held->content);
    bool acked = held->said_fd != 0 && held->said_fd == redis_subscriber(NULL);
    if (!held->there || (!held->settled && !acked))
        return;
    struct fate_seen seen = fate_record_find(SPAN(""), held->mid, (int)held->id);
    if (seen.found && seen.state == FATE_PENDING && ack_is_alone(content) && !sim.scenario.store)
        sim_fail("message %u was %s, and is pending", held->content,
                 held->settled ? "said to be settled" : "acknowledged at another node");
    held->there = !held->settled;
}

/* Where others have an id, as they said, its keeper knows. */
static void came_check(const struct other *other) {
    if (other->is_program || other->came_fd == 0 || other->came_fd != redis_subscriber(NULL))
        return;
    for (unsigned i = 0; i < sim.scenario.ids; i++) {
        if (!other->came[i])
            continue;
        struct server *server = node_server();
        uint64_t hash = name_hash(NAME_ID, NAMESPACE_MAIN, name_of_id(i));
        const struct kept_id *id = keeper_find(&server->workers[keeper_of(server, hash)], hash);
        if (id != NULL && id->remote == REMOTE_NONE && id->count != id->lent)
            sim_fail("another node has said that it has id %u, and its keeper does not know", i);
    }
}

void lent_quiet_check(void) {
    fate_records_look(node_server());
    for (unsigned i = 0; i < lend_count; i++)
        lend_check(&lends[i]);
    for (unsigned i = 0; i < HELDS_MAX; i++)
        held_check(&helds[i]);
    for (unsigned i = 0; i < other_count; i++)
        came_check(&others[i]);
}
