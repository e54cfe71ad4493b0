/* The end of a run: does everything that was accepted fit everything that arrived? */
#include "tests/sim/sim_check.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_wait.h"
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

#define TTL_SLACK_NS (10 * NS_PER_MS) /* a turn may be preempted between the look and the send */

static uint64_t ttl_ns(const struct sim_content *content) {
    double ttl_s = content->ack ? 600 : 60;
    return (uint64_t)((content->ttl_s > 0 ? content->ttl_s : ttl_s) * 1e9);
}

/* What a class must come to, by all answers. */
struct sums {
    uint64_t copies_min, copies_max;
    uint64_t refused_max; /* of messages that were refused in the end: all were dropped at once */
    uint64_t recipients;  /* of answered ones */
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
    text_format(
        &text, "message %u%s%s%s", content->number, content->is_volatile ? ", volatile" : "",
        content->ack ? ", to be acknowledged" : "", content->broadcast ? ", broadcast" : "");
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
                         surely  ? "surely there"
                         : maybe ? "perhaps there"
                                 : "not there",
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

/* Refused, though one worker may have made copies and dropped them all at once: another had no
 * memory for it, or a port did not take it. */
static bool perhaps_dropped(const struct stats *total, const struct sim_content *content,
                            const struct sim_attempt *attempt) {
    return attempt->state == ATTEMPT_REFUSED && !content->is_volatile &&
           (stats_get(&total->memory_refused) != 0 || scenario_has_others());
}

/* One attempt: its answer against who was there. */
static void attempt_check(const struct stats *total, const struct sim_content *content,
                          const struct sim_attempt *attempt, struct sums *sums, bool all_taken) {
    if (attempt->state == ATTEMPT_OPEN)
        sums->open = true;
    struct presence there = presence_of(content, attempt);
    if (perhaps_dropped(total, content, attempt))
        sums->refused_max += there.surely + there.perhaps;
    if (!delivers(attempt))
        return;
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
    uint64_t took = attempt->recipients + attempt->port_recipients;
    if (attempt->recipients > there.surely + there.perhaps)
        wrong = "counts more recipients than can have been there";
    else if (all_taken && attempt->recipients < there.surely)
        wrong = "counts fewer recipients than were there";
    else if (attempt->state == ATTEMPT_ABSENT &&
             (content->group_count != 0 || content->broadcast || content->is_volatile))
        wrong = "is absent, which only messages to ids can be";
    else if (attempt->state == ATTEMPT_ABSENT && there.surely != 0)
        wrong = "is absent, and somebody was there";
    else if (attempt->state == ATTEMPT_DROPPED && !content->is_volatile && all_taken)
        wrong = "is dropped, and no copy was dropped at once";
    else if (attempt->state == ATTEMPT_DROPPED && !content->is_volatile &&
             (content->to_count == 0 || there.surely + there.perhaps == 0))
        wrong = "is dropped, and nobody was there to drop it for";
    else if (attempt->state != ATTEMPT_QUEUED && took != 0)
        wrong = "was taken by somebody but is not queued";
    else if (attempt->state == ATTEMPT_QUEUED && took == 0 &&
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

/* Could a copy for this session have been dropped for that reason? */
static bool drop_possible(const struct stats *total, const struct sim_content *content,
                          const struct sim_attempt *attempt, const struct sim_session *session,
                          enum drop_reason reason) {
    const struct link *link = session->link;
    enum close_reason closed = (enum close_reason)link->close_reason;
    /* What is dropped at the end of a connection stood behind everything that arrived. */
    bool overtaken = session->latest_begin > attempt->answer;
    switch (reason) {
    case DROP_EXPIRED:
        return sim.now_ns - attempt->begin_ns > ttl_ns(content);
    case DROP_TOO_SLOW:
        return closed == CLOSE_TOO_SLOW && !overtaken;
    case DROP_DROP_OLDEST:
        return sim.scenario.slow == SLOW_DROP_OLDEST && !content->is_volatile;
    case DROP_KEEP_LATEST:
        return sim.scenario.slow == SLOW_KEEP_LATEST && !content->is_volatile;
    case DROP_VOLATILE:
        return content->is_volatile;
    case DROP_GONE:
        /* After a goodbye everything is handed over first, unless the peer does not take it. */
        return closed != CLOSE_TOO_SLOW && closed != CLOSE_DRAIN_TIMEOUT && !overtaken &&
               (closed != CLOSE_DRAINING || link->style != STYLE_GOOD || link->reset);
    case DROP_DRAIN_TIMEOUT:
        return closed != CLOSE_TOO_SLOW && !overtaken;
    case DROP_NO_MEMORY:
        return stats_get(&total->memory_refused) != 0;
    case DROP_REASON_COUNT:
        break;
    }
    return false;
}

/* Copies that did not arrive though the session was, or may have been, there: what they can have
 * been dropped for. */
static void missing_check(const struct stats *total, const struct sim_content *content,
                          uint64_t possible[CLASSES][DROP_REASON_COUNT]) {
    for (uint32_t i = content->first_attempt; i != UINT32_MAX; i = attempt_at(i)->next) {
        const struct sim_attempt *attempt = attempt_at(i);
        if (!delivers(attempt) && !perhaps_dropped(total, content, attempt))
            continue;
        for (unsigned j = 0; j < session_total(); j++) {
            const struct sim_session *session = session_at(j);
            if ((content->seen[j] != 0 && content->attempts == 1) ||
                !addressed(session, content, attempt->begin, attempt->answer, false))
                continue;
            bool any = false;
            for (unsigned reason = 0; reason < DROP_REASON_COUNT; reason++) {
                bool here =
                    drop_possible(total, content, attempt, session, (enum drop_reason)reason);
                possible[content->is_volatile][reason] += here;
                any |= here;
            }
            if (!any && content->seen[j] == 0 && delivers(attempt) &&
                attempt->state != ATTEMPT_OPEN &&
                addressed(session, content, attempt->begin, attempt->answer, true)) {
                content_describe(content);
                sim_fail("message %u did not reach session %u (closed as %s), and there is no "
                         "reason for that",
                         content->number, j,
                         close_reason_word((enum close_reason)session->link->close_reason));
            }
        }
    }
}

/* It arrives under the id that its producer was told, and under no other's. */
static void id_check(const struct sim_content *content) {
    if (content->attempts != 1 || content->id_hash == 0)
        return;
    const struct sim_attempt *attempt = attempt_at(content->first_attempt);
    if (attempt->id_hash != 0 && attempt->id_hash != content->id_hash)
        sim_fail("message %u arrived under another id than its producer was told", content->number);
}

/* Past its ttl a message is not handed to a socket any more. */
static void ttl_check(const struct sim_content *content) {
    /* What another node lends ends a while later here than there. */
    if (content->attempts != 1 || content->handed_ns == 0 || content->lent)
        return;
    const struct sim_attempt *attempt = attempt_at(content->first_attempt);
    if (attempt->answer_ns != NEVER &&
        content->handed_ns > attempt->answer_ns + ttl_ns(content) + TTL_SLACK_NS) {
        content_describe(content);
        sim_fail("message %u was handed to a socket %.3f s after its answer, its ttl was %.3f s",
                 content->number, (double)(content->handed_ns - attempt->answer_ns) / 1e9,
                 (double)ttl_ns(content) / 1e9);
    }
}

static void content_check(const struct stats *total, const struct sim_content *content,
                          struct sums *sums, bool all_taken) {
    uint64_t recipients = 0;
    bool exact = true;
    for (uint32_t i = content->first_attempt; i != UINT32_MAX; i = attempt_at(i)->next) {
        const struct sim_attempt *attempt = attempt_at(i);
        attempt_check(total, content, attempt, sums, all_taken);
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

/* --- order --------------------------------------------------------------------------------------
 */

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
        /* With several attempts nobody knows which one came, and one that waited for the fate of
         * another under the same id counts as accepted after it. */
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

/* --- idempotency ----------------------------------------------------------------------------- */

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

/* --- the drops ------------------------------------------------------------------------------- */

/* A reason may be counted as often as it can have happened, and no more. */
static void drop_reasons_check(const struct stats *total,
                               uint64_t possible[CLASSES][DROP_REASON_COUNT]) {
    for (unsigned class = 0; class < CLASS_ACK; class ++) {
        for (unsigned i = 0; i < DROP_REASON_COUNT; i++) {
            uint64_t dropped = stats_get(&total->copies_dropped[class][i]);
            bool never = sim.scenario.calm && i != DROP_GONE;
            if (dropped > possible[class][i] || (never && dropped != 0))
                sim_fail("class %u: %llu copies are said to be dropped as %s, %llu can have been",
                         class, (unsigned long long)dropped, drop_reason_word((enum drop_reason)i),
                         (unsigned long long)(never ? 0 : possible[class][i]));
        }
    }
}

/* --- the ends of connections ----------------------------------------------------------------- */

/* May a stream last longer than the drain? Its end waits for an earlier answer, or for its peer. */
static bool outlasts_drain(const struct link *link) {
    const struct scenario *scenario = &sim.scenario;
    /* A wait that concerns it, a silent port or a store may use up the drain's time. */
    bool long_enough = scenario->drain_timeout_ns >= 10 * NS_PER_S && scenario->ports == 0 &&
                       !scenario->store && !sim_waits_are_on();
    return link->tap.kind == TAP_STREAM &&
           (!long_enough || link->style != STYLE_GOOD || scenario->send_window < 16384);
}

/* May the node have ended this one for that reason? */
static bool close_possible(const struct link *link, enum close_reason reason) {
    const struct scenario *scenario = &sim.scenario;
    bool framed = link->tap.session != NULL && link->tap.session->framed;
    bool client = link->kind == LISTENER_TCP || framed;
    bool session = client || link->tap.kind == TAP_SSE, good = link->style == STYLE_GOOD;
    switch (reason) {
    case CLOSE_CLIENT:
    case CLOSE_STOPPED:
        return true;
    case CLOSE_PEER_ERROR:
        return link->reset || scenario->send_error != 0;
    case CLOSE_DRAINING:
        return true;
    case CLOSE_DRAIN_TIMEOUT:
        /* A wait may concern any connection that says goodbye. */
        return (session && !scenario->calm) || outlasts_drain(link) ||
               (link->kind != LISTENER_API && sim_waits_are_on());
    case CLOSE_CLOSED_BY_API:
        return session && (scenario->calls != 0 || scenario->redis != 0);
    case CLOSE_TOO_SLOW:
        return session && !scenario->calm && scenario->slow == SLOW_CLOSE;
    case CLOSE_OVERLOADED:
        return !scenario->calm;
    case CLOSE_HTTP_DONE:
    case CLOSE_HTTP_IDLE:
        return !client || framed;
    case CLOSE_HEARTBEAT_TIMEOUT:
        return client && !good;
    case CLOSE_HTTP_TIMEOUT:
        return link->style == STYLE_ABUSIVE || ((!client || framed) && link->style == STYLE_DEAF);
    default:
        return link->style == STYLE_ABUSIVE;
    }
}

static void links_check(void) {
    for (unsigned i = 0; i < world_links(); i++) {
        const struct link *link = world_link(i);
        enum close_reason reason = (enum close_reason)link->close_reason;
        if (!link->handle_known || link->tap.kind == TAP_TOY || link->tap.kind == TAP_POLL)
            continue;
        if (!close_possible(link, reason))
            sim_fail("link %u (style %d) was closed as %s, which cannot be", i, link->style,
                     close_reason_word(reason));
        if ((reason == CLOSE_DRAINING || reason == CLOSE_HTTP_DONE) && link->style == STYLE_GOOD &&
            !link->reset && !link->send_failed && link->words_lost)
            sim_fail("link %u was ended in order, and its last words were destroyed by a reset", i);
        const struct sim_session *session = link->tap.session;
        if (reason == CLOSE_DRAINING && link->style == STYLE_GOOD && session != NULL &&
            session->must_from != NEVER && !session->goodbye && !link->reset && !link->send_failed)
            sim_fail("session %u was drained without a goodbye on link %u", session->number, i);
    }
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
    uint64_t refused = drops_at_once(total, class);
    if (refused > sums->refused_max)
        refused = sums->refused_max;
    if (copies < sums->copies_min || copies > sums->copies_max + refused)
        sim_fail("class %u: %llu copies were made, by the oracle it must be %llu to %llu", class,
                 copies, (unsigned long long)sums->copies_min,
                 (unsigned long long)sums->copies_max);
    if (!sums->open && sums->recipients > copies)
        sim_fail("class %u: the answers count %llu recipients, %llu copies were made", class,
                 (unsigned long long)sums->recipients, copies);
    if (sums->open)
        return;
    /* Copies that were dropped before the answer are no recipients; all others are. */
    unsigned long long least = stats_get(&total->copies_dropped[class][DROP_NO_MEMORY]);
    if (class == CLASS_DEFAULT && sim.scenario.slow == SLOW_CLOSE)
        least += stats_get(&total->closed[CLOSE_TOO_SLOW]);
    unsigned long long most = least + stats_get(&total->copies_dropped[class][DROP_VOLATILE]);
    if (sim.scenario.slow == SLOW_CLOSE)
        least = most;
    if (sim.scenario.slow == SLOW_DROP_OLDEST)
        most += stats_get(&total->copies_dropped[class][DROP_DROP_OLDEST]);
    unsigned long long apart = copies - sums->recipients;
    if (apart < least || apart > most)
        sim_fail("class %u: %llu copies were made, the answers count %llu recipients; %llu to %llu "
                 "were dropped at once",
                 class, copies, (unsigned long long)sums->recipients, least, most);
}

/* When the latest of the messages that arrived at a session was begun. */
static void latest_find(struct sim_session *session) {
    for (unsigned i = 0; i < session->log_count; i++) {
        const struct sim_content *content = content_at(session->log[i]);
        const struct sim_attempt *attempt = attempt_at(content->first_attempt);
        if (content->attempts == 1 && attempt->begin > session->latest_begin)
            session->latest_begin = attempt->begin;
    }
}

void check_account(const struct stats *total) {
    for (unsigned i = 0; i < session_total(); i++)
        latest_find(session_at(i));
    struct sums sums[CLASSES] = {{0}};
    uint64_t possible[CLASSES][DROP_REASON_COUNT] = {{0}};
    for (uint32_t i = 0; i < content_total(); i++) {
        const struct sim_content *content = content_at(i);
        unsigned class = content->is_volatile ? CLASS_VOLATILE : CLASS_DEFAULT;
        ttl_check(content);
        id_check(content);
        if (content->ack)
            continue;
        missing_check(total, content, possible);
        content_check(total, content, &sums[class], drops_at_once(total, class) == 0);
    }
    for (uint32_t i = 0; i < content_total(); i++)
        content_at(i)->contested = content_rivals(content_at(i)) > 1;
    /* Toy sessions have the third class for themselves (sim_toys.c). */
    for (unsigned class = 0; class < CLASS_ACK; class ++)
        class_check(total, class, &sums[class]);
    drop_reasons_check(total, possible);
    links_check();
    size_t size = (size_t)(stream_total() + 1) * CLASSES * ADDRESSES * sizeof(uint32_t);
    uint32_t *last = malloc(size);
    CHECK(last != NULL);
    for (unsigned i = 0; i < session_total(); i++)
        if (session_at(i)->log_count > 1)
            order_check(session_at(i), last, size);
    free(last);
    keys_check(attempt_total(), stats_get(&total->dedup_forgotten) != 0);
}
