/* Operators who ask what became of a message, withdraw it, and ask what waits for a client. */
#include "core/base/check.h"
#include "core/fates.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_redis.h"

#include <stdio.h>

#define PAGE_MAX 20

/* One of the latest whose id is known. */
static struct sim_content *content_draw(void) {
    uint32_t total = content_total();
    for (unsigned tries = 0; tries < 16 && total > 0; tries++) {
        struct sim_content *content =
            content_at(total - 1 - (uint32_t)sim_roll(total < 60 ? total : 60));
        if (content->ack && !content->lent && content->id[0] != '\0')
            return content;
    }
    return NULL;
}

bool ack_call_draw(struct request *request, struct text *target, const char **method) {
    uint64_t roll = sim_roll(100);
    if (roll < 30) {
        request->call = CALL_PENDING;
        request->limit = 1 + (unsigned)sim_roll(PAGE_MAX);
        text_format(target, "/v1/clients/");
        text_percent(target, name_of_id((unsigned)request->id));
        text_format(target, "/pending?limit=%u", request->limit);
        return true;
    }
    if (sim.scenario.redis != 0 && roll >= 85) {
        request->call = CALL_FATE;
        request->content = UINT32_MAX;
        snprintf(request->message, sizeof(request->message), "far-%u", (unsigned)sim_roll(20));
        text_format(target, "/v1/messages/%s", request->message);
        return true;
    }
    struct sim_content *content = content_draw();
    if (content == NULL)
        return false;
    request->content = content->number;
    snprintf(request->message, sizeof(request->message), "%s", content->id);
    request->call = roll < 70 ? CALL_FATE : CALL_WITHDRAW;
    *method = roll < 70 ? "GET" : "DELETE";
    text_format(target, "/v1/messages/");
    text_percent(target, span_text(content->id));
    if (request->call == CALL_WITHDRAW && content->withdrawn == 0)
        content->withdrawn = sim_stamp();
    return true;
}

static uint8_t state_number(struct span raw) {
    for (unsigned i = 0; i < FATE_STATES; i++)
        if (json_is(raw, fate_state_word((enum fate_state)i)))
            return (uint8_t)i;
    sim_fail("a fate in an unknown state: %.*s", SPAN_ARG(raw));
}

/* Once settled it stays so, whatever is asked when. */
static void fate_take(const struct request *request, struct sim_content *content,
                      struct span body) {
    struct span to, state, settled, raw;
    if (!json_member(body, "to", &to) || !json_member(body, "state", &state) ||
        !json_member(body, "settled", &settled))
        sim_fail("a fate without its fields: %.*s", SPAN_ARG(body));
    uint8_t whole = FATE_ACKED;
    bool pending = false;
    for (unsigned i = 0; i < content->to_count; i++) {
        struct sim_ack *ack = &content->acks[i];
        if (!json_member(to, name_of_id(content->to[i]).at, &raw))
            sim_fail("the fate of message %u says nothing of id %u: %.*s", content->number,
                     content->to[i], SPAN_ARG(body));
        uint8_t now = state_number(raw);
        /* An answer may be older than one that another was given before. */
        bool older = now == FATE_PENDING && ack->told_stamp > request->begin;
        if (ack->told != FATE_PENDING && ack->told != now && !older)
            sim_fail("the fate of message %u for id %u was %s, and is told as %s", content->number,
                     content->to[i], fate_state_word((enum fate_state)ack->told),
                     fate_state_word((enum fate_state)now));
        if (ack->told != now && !older) {
            ack->told_stamp = sim_stamp();
            ack->told = now;
        }
        pending |= now == FATE_PENDING;
        whole = now > whole ? now : whole;
    }
    if (pending)
        whole = FATE_PENDING;
    if (state_number(state) != whole || (settled.at[0] == '"') == pending)
        sim_fail("a fate does not fit its parts: %.*s", SPAN_ARG(body));
    if (pending && request->call == CALL_WITHDRAW)
        sim_fail("message %u was withdrawn, and is pending: %.*s", content->number, SPAN_ARG(body));
}

static void fate_missing(const struct request *request, const struct sim_content *content) {
    const struct sim_attempt *attempt = attempt_at(content->first_attempt);
    if (attempt->state == ATTEMPT_QUEUED && attempt->answer < request->begin &&
        atomic_load(&node_server()->fates.forgotten) == 0)
        sim_fail("message %u was accepted, and has no fate", content->number);
}

static void pending_take(const struct request *request, struct span body) {
    struct span list, entry, id;
    bool first = true;
    unsigned count = 0;
    uint64_t latest = 0, number = 0;
    if (!json_member(body, "messages", &list) || !json_member(body, "count", &id) ||
        !json_number(id, &number))
        sim_fail("a page of what waits without its fields: %.*s", SPAN_ARG(body));
    for (; json_element(&list, &first, &entry); count++) {
        if (!json_member(entry, "id", &id))
            sim_fail("a message that waits without an id: %.*s", SPAN_ARG(body));
        const struct sim_content *content = NULL;
        for (uint32_t i = content_total(); i > 0 && content == NULL; i--)
            if (content_at(i - 1)->ack && json_is(id, content_at(i - 1)->id))
                content = content_at(i - 1);
        if (content == NULL || content->lent || !ack_is_alone(content))
            continue; /* it may be one whose answer is on its way */
        int place = ack_place(content, request->id);
        const struct sim_attempt *attempt = attempt_at(content->first_attempt);
        if (place < 0)
            sim_fail("message %u is said to wait for id %d, which it is not for", content->number,
                     request->id);
        if (content->acks[place].told != FATE_PENDING &&
            content->acks[place].told_stamp < request->begin)
            sim_fail("message %u is settled, and said to wait", content->number);
        if (attempt->answer < latest)
            sim_fail("message %u is told behind one that was sent later", content->number);
        latest = attempt->begin > latest ? attempt->begin : latest;
    }
    if (count > request->limit || number < count)
        sim_fail("a page of %u at the most has %u of %llu: %.*s", request->limit, count,
                 (unsigned long long)number, SPAN_ARG(body));
}

void ack_call_take(const struct request *request, unsigned status, struct span body) {
    if (request->call == CALL_PENDING) {
        if (status != 200)
            sim_fail("what waits is answered %u: %.*s", status, SPAN_ARG(body));
        pending_take(request, body);
        return;
    }
    struct span far;
    bool is_far = status == 200 && json_member(body, "far", &far);
    if (status != 200 && status != 404)
        sim_fail("a fate is answered %u: %.*s", status, SPAN_ARG(body));
    if (request->call == CALL_FATE && (is_far || status == 404))
        redis_call_check(request, body, is_far);
    if (is_far && request->call == CALL_FATE)
        return;
    if (request->content == UINT32_MAX) {
        if (status == 200)
            sim_fail("a fate of nobody: %.*s", SPAN_ARG(body));
        return;
    }
    struct sim_content *content = content_at(request->content);
    if (!ack_is_alone(content))
        return;
    if (status == 200)
        fate_take(request, content, body);
    else
        fate_missing(request, content);
}
