/* The end of a run: does everything that was accepted fit everything that arrived? */
#include "tests/sim/sim_check.h"

#include "core/base/check.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>

struct presence {
    unsigned surely, perhaps; /* perhaps counts those only */
};

static bool in_list(const uint8_t *list, unsigned count, int value) {
    for (unsigned i = 0; i < count; i++)
        if (list[i] == value)
            return true;
    return false;
}

/* Was the session in one of the groups? */
static bool group_held(const struct sim_session *session, const struct sim_content *content,
                       uint64_t from, uint64_t until, bool surely) {
    for (unsigned i = 0; i < content->group_count; i++)
        if (group_unsure(session->id, content->groups[i]))
            return !surely;
    for (unsigned i = 0; i < session->spell_count; i++) {
        const struct spell *spell = &session->spells[i];
        if (!in_list(content->groups, content->group_count, (int)spell->group))
            continue;
        if (surely ? spell->must_from < from && spell->must_until > until
                   : spell->may_from < until && spell->may_until > from)
            return true;
    }
    return false;
}

static bool addressed(const struct sim_session *session, const struct sim_content *content,
                      uint64_t from, uint64_t until, bool surely) {
    if (surely ? !session_surely(session, from, until) : !session_maybe(session, from, until))
        return false;
    if (session->id >= 0 && in_list(content->except, content->except_count, session->id))
        return false;
    return content->broadcast ||
           (session->id >= 0 && in_list(content->to, content->to_count, session->id)) ||
           group_held(session, content, from, until, surely);
}

static struct presence presence_of(const struct sim_content *content,
                                   const struct sim_attempt *attempt) {
    struct presence presence = {0, 0};
    for (unsigned i = 0; i < session_total(); i++) {
        const struct sim_session *session = session_at(i);
        if (addressed(session, content, attempt->begin, attempt->answer, true))
            presence.surely++;
        else if (addressed(session, content, attempt->begin, attempt->answer, false))
            presence.perhaps++;
    }
    return presence;
}

/* What a class must come to, by all answers. */
struct sums {
    uint64_t copies_min, copies_max;
    uint64_t recipients; /* of answered ones */
    uint64_t arrived;
    bool open; /* the recipients of some attempt are not known */
};

/* Drops that happen before the answer, so that recipients are fewer than sessions. */
static uint64_t drops_at_once(const struct stats *total, unsigned class) {
    static const enum drop_reason reasons[] = {DROP_TOO_SLOW, DROP_DROP_OLDEST, DROP_VOLATILE,
                                               DROP_NO_MEMORY};
    uint64_t drops = 0;
    for (unsigned i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
        drops += stats_get(&total->copies_dropped[class][reasons[i]]);
    return drops;
}

static void content_describe(const struct sim_content *content) {
    struct text text = {0};
    text_format(&text, "message %u%s%s", content->number, content->is_volatile ? ", volatile" : "",
                content->broadcast ? ", broadcast" : "");
    for (unsigned i = 0; i < content->to_count; i++)
        text_format(&text, ", to %u (%.*s)", content->to[i], SPAN_ARG(name_of_id(content->to[i])));
    for (unsigned i = 0; i < content->group_count; i++)
        text_format(&text, ", group %u", content->groups[i]);
    for (unsigned i = 0; i < content->except_count; i++)
        text_format(&text, ", except %u", content->except[i]);
    sim_tell("%.*s", SPAN_ARG(text_as_span(&text)));
    text_free(&text);
    for (uint32_t i = content->first_attempt; i != UINT32_MAX; i = attempt_at(i)->next) {
        const struct sim_attempt *attempt = attempt_at(i);
        sim_tell("  attempt %u on stream %u: state %d, recipients %llu, from %llu to %llu", i,
                 attempt->stream, attempt->state, (unsigned long long)attempt->recipients,
                 (unsigned long long)attempt->begin, (unsigned long long)attempt->answer);
        for (unsigned j = 0; j < session_total(); j++) {
            const struct sim_session *session = session_at(j);
            bool surely = addressed(session, content, attempt->begin, attempt->answer, true);
            bool maybe = addressed(session, content, attempt->begin, attempt->answer, false);
            if (surely || maybe || content->seen[j])
                sim_tell("    session %u (link %u, id %d) %s, got it %u times; registered %llu, "
                         "left %llu, closed %llu..%llu",
                         j, session->link->number, session->id,
                         surely ? "surely there" : maybe ? "perhaps there" : "not there",
                         content->seen[j], (unsigned long long)session->must_from,
                         (unsigned long long)session->leave,
                         (unsigned long long)session->link->close_stamp,
                         (unsigned long long)session->link->closed_stamp);
        }
    }
}

static bool delivers(const struct sim_attempt *attempt) {
    return attempt->state != ATTEMPT_REFUSED && attempt->state != ATTEMPT_DUPLICATE &&
           attempt->state != ATTEMPT_ID_REUSED;
}

/* One attempt: its answer against who was there. */
static void attempt_check(const struct sim_content *content, const struct sim_attempt *attempt,
                          struct sums *sums, bool all_taken) {
    if (attempt->state == ATTEMPT_OPEN)
        sums->open = true;
    if (!delivers(attempt))
        return;
    struct presence there = presence_of(content, attempt);
    sums->copies_max += there.surely + there.perhaps;
    if (attempt->state == ATTEMPT_OPEN)
        return;
    sums->copies_min += there.surely;
    if (!attempt->counted) {
        sums->open = true;
        return;
    }
    sums->recipients += attempt->recipients;
    const char *wrong = NULL;
    if (attempt->recipients > there.surely + there.perhaps)
        wrong = "counts more recipients than can have been there";
    else if (all_taken && attempt->recipients < there.surely)
        wrong = "counts fewer recipients than were there";
    else if (attempt->state == ATTEMPT_ABSENT &&
             (content->group_count != 0 || content->broadcast || content->is_volatile))
        wrong = "is absent, which only messages to ids can be";
    else if (attempt->state == ATTEMPT_DROPPED && !content->is_volatile)
        wrong = "is dropped, which only volatile ones can be";
    else if (attempt->state != ATTEMPT_QUEUED && attempt->recipients != 0)
        wrong = "was taken by somebody but is not queued";
    else if (attempt->state == ATTEMPT_QUEUED && attempt->recipients == 0 &&
             (content->is_volatile || (content->group_count == 0 && !content->broadcast)))
        wrong = "is queued, but nobody took it";
    if (wrong != NULL) {
        content_describe(content);
        sim_fail("the answer to message %u %s: %llu, surely %u, perhaps %u more", content->number,
                 wrong, (unsigned long long)attempt->recipients, there.surely, there.perhaps);
    }
}

/* Each session against all attempts that may have reached it. */
static void content_sessions_check(const struct sim_content *content) {
    for (unsigned i = 0; i < session_total(); i++) {
        if (content->seen[i] == 0)
            continue;
        const struct sim_session *session = session_at(i);
        unsigned possible = 0;
        for (uint32_t j = content->first_attempt; j != UINT32_MAX; j = attempt_at(j)->next) {
            const struct sim_attempt *attempt = attempt_at(j);
            possible += (attempt->state == ATTEMPT_QUEUED || attempt->state == ATTEMPT_OPEN) &&
                        addressed(session, content, attempt->begin, attempt->answer, false);
        }
        if (content->seen[i] > possible) {
            content_describe(content);
            sim_fail("session %u got message %u %u times, %u at most were possible", i,
                     content->number, content->seen[i], possible);
        }
    }
}

static void content_check(const struct sim_content *content, struct sums *sums, bool all_taken) {
    uint64_t recipients = 0;
    bool exact = true;
    for (uint32_t i = content->first_attempt; i != UINT32_MAX; i = attempt_at(i)->next) {
        const struct sim_attempt *attempt = attempt_at(i);
        attempt_check(content, attempt, sums, all_taken);
        recipients += delivers(attempt) ? attempt->recipients : 0;
        exact &= !delivers(attempt) || attempt->counted;
    }
    content_sessions_check(content);
    sums->arrived += content->arrived;
    if (exact && content->arrived > recipients) {
        content_describe(content);
        sim_fail("message %u arrived %u times, its answers count %llu", content->number,
                 content->arrived, (unsigned long long)recipients);
    }
}

/* --- order -------------------------------------------------------------------------------------- */

#define ADDRESSES (2 * NAMES_MAX + 1)

static void order_step(const struct sim_session *session, const struct sim_content *content,
                       uint32_t *last, unsigned address) {
    const struct sim_attempt *attempt = attempt_at(content->first_attempt);
    uint32_t *place =
        &last[(attempt->stream * CLASSES + content->is_volatile) * ADDRESSES + address];
    if (*place > attempt->order) {
        content_describe(content_at(attempt_at(*place)->content));
        content_describe(content);
        sim_fail("session %u got message %u after message %u of the same producer and address %u",
                 session->number, content->number, attempt_at(*place)->content, address);
    }
    *place = attempt->order;
}

static void order_check(const struct sim_session *session, uint32_t *last, size_t size) {
    memset(last, 0, size);
    for (unsigned i = 0; i < session->log_count; i++) {
        const struct sim_content *content = content_at(session->log[i]);
        /* With several attempts nobody knows which one came, and one that waited for the fate of another
         * under the same id counts as accepted after it. */
        if (content->attempts != 1 || content->contested)
            continue;
        if (content->broadcast)
            order_step(session, content, last, ADDRESSES - 1);
        for (unsigned j = 0; j < content->to_count; j++)
            if (content->to[j] == session->id)
                order_step(session, content, last, content->to[j]);
        for (unsigned j = 0; j < content->group_count; j++)
            order_step(session, content, last, NAMES_MAX + content->groups[j]);
    }
}

/* --- idempotency ---------------------------------------------------------------------------------- */

static bool same_key(const struct sim_attempt *a, const struct sim_attempt *b) {
    return a->scope == b->scope && content_at(a->content)->key == content_at(b->content)->key;
}

static void key_pair_check(const struct sim_attempt *a, const struct sim_attempt *b,
                           bool forgotten) {
    if (a->state != ATTEMPT_QUEUED || b->state != ATTEMPT_QUEUED || forgotten)
        return;
    uint64_t first = a->begin_ns < b->begin_ns ? a->begin_ns : b->begin_ns;
    uint64_t last = a->answer_ns > b->answer_ns ? a->answer_ns : b->answer_ns;
    if (last - first < sim.scenario.dedup_window_ns) {
        content_describe(content_at(a->content));
        content_describe(content_at(b->content));
        sim_fail("the id key-%d was taken twice within its window", content_at(a->content)->key);
    }
}

/* A duplicate needs a first one: of the same content; an id that is reused, one of another. */
static void repeat_check(uint32_t number, uint32_t total) {
    const struct sim_attempt *attempt = attempt_at(number);
    bool duplicate = attempt->state == ATTEMPT_DUPLICATE;
    if (!duplicate && attempt->state != ATTEMPT_ID_REUSED)
        return;
    for (uint32_t i = 0; i < total; i++) {
        const struct sim_attempt *first = attempt_at(i);
        if (i == number || content_at(first->content)->key < 0 || !same_key(first, attempt) ||
            first->begin > attempt->answer)
            continue;
        if (first->state != ATTEMPT_QUEUED && first->state != ATTEMPT_OPEN)
            continue;
        if (duplicate != (first->content == attempt->content))
            continue;
        if (duplicate && first->counted && first->recipients != attempt->first_recipients)
            continue;
        return;
    }
    content_describe(content_at(attempt->content));
    sim_fail("message %u is said to be %s, but there is no first one", attempt->content,
             duplicate ? "a duplicate" : "under an id that was used");
}

static void keys_check(uint32_t total, bool forgotten) {
    for (uint32_t i = 0; i < total; i++) {
        const struct sim_attempt *attempt = attempt_at(i);
        if (content_at(attempt->content)->key < 0)
            continue;
        for (uint32_t j = i + 1; j < total; j++)
            if (content_at(attempt_at(j)->content)->key >= 0 && same_key(attempt, attempt_at(j)))
                key_pair_check(attempt, attempt_at(j), forgotten);
        repeat_check(i, total);
    }
}

/* --- the drops ------------------------------------------------------------------------------------ */

static uint64_t dropped_by(const struct stats *total, enum drop_reason reason) {
    uint64_t sum = 0;
    for (unsigned class = 0; class < CLASSES; class++)
        sum += stats_get(&total->copies_dropped[class][reason]);
    return sum;
}

/* A reason may only be counted where it can have happened. */
static void drop_reasons_check(const struct stats *total) {
    const struct scenario *scenario = &sim.scenario;
    bool possible[DROP_REASON_COUNT];
    memset(possible, true, sizeof(possible));
    possible[DROP_DROP_OLDEST] = scenario->slow == SLOW_DROP_OLDEST;
    possible[DROP_KEEP_LATEST] = scenario->slow == SLOW_KEEP_LATEST;
    possible[DROP_TOO_SLOW] = stats_get(&total->closed[CLOSE_TOO_SLOW]) != 0;
    possible[DROP_NO_MEMORY] = stats_get(&total->memory_refused) != 0;
    if (scenario->calm)
        for (unsigned i = 0; i < DROP_REASON_COUNT; i++)
            possible[i] &= i == DROP_GONE;
    for (unsigned i = 0; i < DROP_REASON_COUNT; i++)
        if (!possible[i] && dropped_by(total, (enum drop_reason)i) != 0)
            sim_fail("%llu copies are said to be dropped as %s, which cannot have happened here",
                     (unsigned long long)dropped_by(total, (enum drop_reason)i),
                     drop_reason_word((enum drop_reason)i));
    if (stats_get(&total->copies_dropped[CLASS_DEFAULT][DROP_VOLATILE]) != 0)
        sim_fail("a copy that is not volatile was dropped for being so");
}

static void class_check(const struct stats *total, unsigned class, const struct sums *sums) {
    unsigned long long copies = stats_get(&total->copies[class]),
                       sent = stats_get(&total->copies_sent[class]), dropped = 0;
    for (unsigned i = 0; i < DROP_REASON_COUNT; i++)
        dropped += stats_get(&total->copies_dropped[class][i]);
    if (copies != sent + dropped)
        sim_fail("class %u: %llu copies, but %llu sent and %llu dropped", class, copies, sent,
                 dropped);
    if (sent != sums->arrived)
        sim_fail("class %u: %llu copies are said to be sent, %llu were handed to sockets whole",
                 class, sent, (unsigned long long)sums->arrived);
    if (copies < sums->copies_min || copies > sums->copies_max)
        sim_fail("class %u: %llu copies were made, by the oracle it must be %llu to %llu", class,
                 copies, (unsigned long long)sums->copies_min,
                 (unsigned long long)sums->copies_max);
    if (!sums->open && sums->recipients > copies)
        sim_fail("class %u: the answers count %llu recipients, %llu copies were made", class,
                 (unsigned long long)sums->recipients, copies);
    if (!sums->open && copies - sums->recipients > drops_at_once(total, class))
        sim_fail("class %u: %llu copies were made, the answers count %llu recipients, and drops do "
                 "not explain it",
                 class, copies, (unsigned long long)sums->recipients);
}

void check_account(const struct stats *total) {
    struct sums sums[CLASSES] = {{0}};
    for (uint32_t i = 0; i < content_total(); i++) {
        const struct sim_content *content = content_at(i);
        unsigned class = content->is_volatile ? CLASS_VOLATILE : CLASS_DEFAULT;
        content_check(content, &sums[class], drops_at_once(total, class) == 0);
    }
    for (uint32_t i = 0; i < content_total(); i++)
        content_at(i)->contested = content_rivals(content_at(i)) > 1;
    for (unsigned class = 0; class < CLASSES; class++)
        class_check(total, class, &sums[class]);
    drop_reasons_check(total);
    size_t size = (size_t)(stream_total() + 1) * CLASSES * ADDRESSES * sizeof(uint32_t);
    uint32_t *last = malloc(size);
    CHECK(last != NULL);
    for (unsigned i = 0; i < session_total(); i++)
        if (session_at(i)->log_count > 1)
            order_check(session_at(i), last, size);
    free(last);
    keys_check(attempt_total(), stats_get(&total->dedup_forgotten) != 0);
}
