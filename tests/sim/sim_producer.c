/* Producers and operators over HTTP, one request after the other or pipelined. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/fates.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_port.h"
#include "tests/sim/sim_redis.h"
#include "tests/sim/sim_store.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH_MAX 12
#define BATCH_LONG_MAX 80

void producer_begin(struct sim_peer *peer) {
    peer->link->tap.kind = TAP_HTTP;
    peer->link->tap.producer = peer;
    peer->stream = stream_add();
    /* The one that does not hear its answers is the rarest to have an effect. */
    peer->script = sim_chance(200) ? 8 : (unsigned)sim_roll(PRODUCER_SCRIPTS);
}

void producer_over(struct sim_peer *peer) {
    /* What it never heard of stays open. */
    peer->link->tap.producer = NULL;
    peer->link->tap.kind = TAP_UNKNOWN;
}

struct request *request_add(struct sim_peer *peer, enum request_kind kind) {
    struct request *request = calloc(1, sizeof(*request));
    CHECK(request != NULL);
    request->kind = kind;
    request->begin = sim_stamp();
    *peer->requests_end = request;
    peer->requests_end = &request->next;
    peer->request_count++;
    return request;
}

static void request_attempt(struct sim_peer *peer, struct request *request,
                            struct sim_content *content) {
    request->attempts =
        realloc(request->attempts, (request->attempt_count + 1) * sizeof(*request->attempts));
    CHECK(request->attempts != NULL);
    struct sim_attempt *attempt = attempt_add(content, peer->stream, 0);
    attempt->in_batch = request->kind != REQUEST_MESSAGE;
    request->attempts[request->attempt_count++] = attempt_number(attempt);
}

/* --- writing requests ---------------------------------------------------------------------------
 */

static void chunks_write(struct text *text, struct span body) {
    while (body.len > 0) {
        size_t len = (size_t)sim_between(1, body.len);
        text_format(text, sim_chance(100) ? "%zx;note=1\r\n" : "%zX\r\n", len);
        text_span(text, span_of(body.at, len));
        text_format(text, "\r\n");
        body = span_skip(body, len);
    }
    text_format(text, "0\r\n%s\r\n", sim_chance(200) ? "Trailer: 1\r\n" : "");
}

static void request_write(struct sim_peer *peer, struct request *request, const char *method,
                          const struct text *target, const char *type, const struct text *body) {
    struct text text = {0};
    text_format(&text, "%s ", method);
    text_span(&text, text_as_span(target));
    text_format(&text, " HTTP/1.1\r\nHost: localhost:8081\r\n");
    if (sim.scenario.with_key)
        text_format(&text, sim_chance(700) ? "Authorization: Bearer secret\r\n"
                                           : "authorization: Basic OnNlY3JldA==\r\n");
    if (type != NULL)
        text_format(&text, "Content-Type: %s\r\n", type);
    if (peer->closes)
        text_format(&text, "Connection: close\r\n");
    if (body != NULL && sim_chance(300)) {
        text_format(&text, "Transfer-Encoding: chunked\r\n\r\n");
        chunks_write(&text, text_as_span(body));
    } else {
        text_format(&text, "Content-Length: %zu\r\n\r\n", body == NULL ? 0 : body->len);
        if (body != NULL)
            text_span(&text, text_as_span(body));
    }
    peer_write(peer, &text);
    request->end = peer->link->up.written + peer->out.len;
    text_free(&text);
}

/* Some wait until it is acknowledged. */
static void wait_draw(const struct request *request, const struct sim_content *content,
                      struct text *target, char sign) {
    if (!content->ack || !sim_chance(250))
        return;
    attempt_at(request->attempts[0])->waits = true;
    text_format(target, "%cwait=ack&timeout=%.3f", sign, (double)sim_roll(2000) / 1000.0);
}

static void message_request(struct sim_peer *peer) {
    struct request *request = request_add(peer, REQUEST_MESSAGE);
    struct text target = {0}, body = {0};
    struct sim_content *content = content_make(peer, false);
    request_attempt(peer, request, content);
    text_format(&target, "/v1/messages");
    wait_draw(request, content, &target, '?');
    content_write(content, &body, "", false);
    request_write(peer, request, "POST", &target,
                  sim_chance(800) ? "application/json" : "application/vnd.x+json", &body);
    text_free(&target);
    text_free(&body);
}

static void batch_request(struct sim_peer *peer, bool lines) {
    struct request *request = request_add(peer, lines ? REQUEST_LINES : REQUEST_BATCH);
    struct text target = {0}, body = {0};
    unsigned count = 1 + (unsigned)sim_roll(sim_chance(50) ? BATCH_LONG_MAX : BATCH_MAX);
    text_format(&target, "/v1/messages");
    text_format(&body, lines ? "" : "[");
    for (unsigned i = 0; i < count; i++) {
        struct sim_content *content = content_make(peer, false);
        request_attempt(peer, request, content);
        struct text plain = content->payload;
        if (lines)
            content->payload = content->json;
        content_write(content, &body, "", false);
        content->payload = plain;
        text_format(&body, lines ? "\n" : i + 1 < count ? "," : "");
        if (lines && sim_chance(100))
            text_format(&body, "\n");
    }
    text_format(&body, lines ? "" : "]");
    request_write(peer, request, "POST", &target,
                  lines ? "application/x-ndjson" : "application/json", &body);
    text_free(&target);
    text_free(&body);
}

static void path_request(struct sim_peer *peer) {
    struct request *request = request_add(peer, REQUEST_MESSAGE);
    struct text target = {0};
    struct sim_content *content = content_make(peer, true);
    request_attempt(peer, request, content);
    if (content->broadcast) {
        text_format(&target, "/v1/broadcast");
    } else {
        text_format(&target, content->to_count != 0 ? "/v1/clients/" : "/v1/groups/");
        text_percent(&target, content->to_count != 0 ? name_of_id(content->to[0])
                                                     : name_of_group(content->groups[0]));
    }
    text_format(&target, "?event=");
    if (content->event == UINT8_MAX)
        text_format(&target, "%%23%u", content->number);
    else
        text_percent(&target, name_of_event(content->event));
    if (content->is_volatile)
        text_format(&target, "&volatile=%s", sim_chance(500) ? "1" : "true");
    if (content->ttl_s > 0)
        text_format(&target, "&ttl=%.3f", content->ttl_s);
    if (content->ack)
        text_format(&target, "&ack=1");
    wait_draw(request, content, &target, '&');
    if (content->key >= 0)
        text_format(&target, "&id=key-%d", content->key);
    for (unsigned i = 0; i < content->except_count; i++) {
        text_format(&target, "&except=");
        text_percent(&target, name_of_id(content->except[i]));
    }
    const char *type = "application/json";
    if (content->is_bytes)
        type = "application/octet-stream";
    else if (sim_chance(300))
        type = sim_chance(500) ? NULL : "application/x-www-form-urlencoded";
    request_write(peer, request, "POST", &target, type, &content->payload);
    text_free(&target);
}

static void call_request(struct sim_peer *peer) {
    struct request *request = request_add(peer, REQUEST_CALL);
    struct text target = {0};
    const char *method = "GET";
    request->id = (int)sim_roll(sim.scenario.ids);
    request->group = (unsigned)sim_roll(sim.scenario.groups);
    static const char *const plain[] = {"/v1/stats", "/metrics", "/healthz", "/readyz"};
    uint64_t roll = sim_roll(100);
    if (sim.scenario.ack != 0 && sim_chance(500) && ack_call_draw(request, &target, &method)) {
        roll = 100;
    } else if (roll < 30) {
        text_format(&target, "%s", plain[sim_roll(4)]);
    } else if (roll < 50) {
        request->call = CALL_SESSIONS;
        text_format(&target, "/v1/clients/");
        text_percent(&target, name_of_id((unsigned)request->id));
    } else if (roll < 58) {
        request->call = CALL_CLOSE;
        method = "DELETE";
        text_format(&target, "/v1/clients/");
        text_percent(&target, name_of_id((unsigned)request->id));
    } else if (roll < 75) {
        request->call = CALL_PAGE;
        request->limit = 1 + (unsigned)sim_roll(20);
        text_format(&target, "/v1/groups/");
        text_percent(&target, name_of_group(request->group));
        text_format(&target, "?limit=%u", request->limit);
    } else if (roll < 100) {
        request->call = CALL_MOVE;
        request->leaves = sim_chance(500);
        method = request->leaves ? "DELETE" : "PUT";
        text_format(&target, "/v1/groups/");
        text_percent(&target, name_of_group(request->group));
        text_format(&target, "/clients/");
        text_percent(&target, name_of_id((unsigned)request->id));
        group_unsure_set(request->id, request->group);
    }
    request_write(peer, request, method, &target, NULL, NULL);
    if (request->call == CALL_CLOSE)
        close_asked_set(request->id);
    text_free(&target);
}

void producer_act(struct sim_peer *peer) {
    if (peer->style == STYLE_ABUSIVE) {
        abusive_producer_act(peer);
        return;
    }
    if (peer->request_count >= peer->depth || peer->closes)
        return;
    if (peer->messages_left == 0) {
        if (peer->request_count == 0 && peer->lives > 1)
            peer_end(peer);
        return;
    }
    if (sim_chance(sim.scenario.calls)) {
        call_request(peer);
        return;
    }
    peer->messages_left--;
    if (sim_chance(10))
        peer->closes = true;
    uint64_t roll = sim_roll(100);
    if (roll < 50)
        message_request(peer);
    else if (roll < 65)
        batch_request(peer, false);
    else if (roll < 75)
        batch_request(peer, true);
    else
        path_request(peer);
    if (peer->request_count < peer->depth && sim_chance(500))
        peer->next_ns = sim.now_ns;
}

/* --- answers --------------------------------------------------------------------------------- */

static uint64_t number_of(struct span object, const char *name) {
    struct span raw;
    uint64_t number;
    if (!json_member(object, name, &raw) || !json_number(raw, &number))
        sim_fail("an answer has no number %s: %.*s", name, SPAN_ARG(object));
    return number;
}

/* To others than ids nobody is told that nobody has them. */
static bool is_for_ids(const struct sim_content *content) {
    return content->group_count == 0 && !content->broadcast;
}

static void error_take(struct sim_attempt *attempt, unsigned status, struct span error,
                       struct span whole) {
    struct span code;
    if (!json_member(error, "code", &code))
        sim_fail("an error without a code: %.*s", SPAN_ARG(whole));
    if (status == 409 && json_is(code, "id_reused")) {
        attempt_answered(attempt, ATTEMPT_ID_REUSED, false, 0);
        return;
    }
    bool refused =
        (status == 503 && (json_is(code, "overloaded") || json_is(code, "draining"))) ||
        (status == 429 && json_is(code, "rate_limited")) ||
        (status == 503 && json_is(code, "cluster_unavailable") && scenario_has_others() &&
         (attempt->in_batch || is_for_ids(content_at(attempt->content)))) ||
        (status == 503 && json_is(code, "storage_unavailable") && sim_store_may_refuse() &&
         (attempt->in_batch || content_at(attempt->content)->ack));
    if (!refused)
        sim_fail("message %u is answered %u: %.*s", attempt->content, status, SPAN_ARG(whole));
    if (sim.scenario.calm && !json_is(code, "draining"))
        sim_fail("message %u is refused on a calm day: %.*s", attempt->content, SPAN_ARG(whole));
    attempt_answered(attempt, ATTEMPT_REFUSED, false, 0);
}

/* It was taken, and what is said of it fits. False: it is a duplicate. */
static bool ack_result_take(struct sim_attempt *attempt, unsigned status, struct span object,
                            struct span state) {
    static const struct {
        const char *word;
        unsigned status;
        bool waits;
        uint8_t told;
    } words[] = {{"queued", 202, false, 0},
                 {"stored", 202, false, 0},
                 {"acked", 200, true, FATE_ACKED + 1},
                 {"pending", 202, true, FATE_PENDING + 1},
                 {"expired", 410, true, FATE_EXPIRED + 1},
                 {"dropped", 202, true, FATE_DROPPED + 1}};
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!json_is(state, words[i].word))
            continue;
        if (status != words[i].status || attempt->waits != words[i].waits)
            sim_fail("the state %s comes with %u: %.*s", words[i].word, status, SPAN_ARG(object));
        attempt->told = words[i].told;
        attempt->stored = i == 1;
        attempt_answered(attempt, ATTEMPT_QUEUED, true, number_of(object, "recipients"));
        return true;
    }
    return false;
}

static void result_take(uint32_t number, unsigned status, struct span object) {
    struct sim_attempt *attempt = attempt_at(number);
    const struct sim_content *content = content_at(attempt->content);
    struct span state, error, id, first;
    if (json_member(object, "error", &error)) {
        error_take(attempt, status, error, object);
        return;
    }
    if (!json_member(object, "state", &state) || !json_member(object, "id", &id))
        sim_fail("a result without id or state: %.*s", SPAN_ARG(object));
    char key[32];
    snprintf(key, sizeof(key), "key-%d", content->key);
    if (content->key >= 0 && !json_is(id, key))
        sim_fail("the result of %s has another id: %.*s", key, SPAN_ARG(object));
    attempt->id_hash = id_hash_of(span_of(id.at + 1, id.len - 2));
    content_id_known(content_at(attempt->content), span_of(id.at + 1, id.len - 2));
    if (content->ack && ack_result_take(attempt, status, object, state))
        return;
    static const struct {
        const char *word;
        unsigned status;
        enum attempt_state state;
    } states[] = {{"queued", 202, ATTEMPT_QUEUED},
                  {"absent", 404, ATTEMPT_ABSENT},
                  {"dropped", 202, ATTEMPT_DROPPED},
                  {"duplicate", 200, ATTEMPT_DUPLICATE}};
    for (unsigned i = 0; i < 4; i++) {
        if (!json_is(state, states[i].word))
            continue;
        if (status != states[i].status)
            sim_fail("the state %s comes with %u", states[i].word, status);
        if (states[i].state == ATTEMPT_DUPLICATE) {
            if (!json_member(object, "first", &first))
                sim_fail("a duplicate without its first result: %.*s", SPAN_ARG(object));
            attempt_answered(attempt, ATTEMPT_DUPLICATE, false, 0);
            attempt->first_recipients = number_of(first, "recipients") % PORT_TAKES;
            return;
        }
        attempt_answered(attempt, states[i].state, true, number_of(object, "recipients"));
        return;
    }
    sim_fail("an unknown state: %.*s", SPAN_ARG(object));
}

static void entry_take(const struct request *request, unsigned *taken, struct span entry) {
    if (*taken == request->attempt_count)
        sim_fail("a batch of %u has more results", request->attempt_count);
    result_take(request->attempts[(*taken)++], (unsigned)number_of(entry, "status"), entry);
}

static void batch_take(const struct request *request, unsigned status, struct span body) {
    unsigned taken = 0;
    if (status != 200) {
        for (; taken < request->attempt_count; taken++)
            result_take(request->attempts[taken], status, body);
        return;
    }
    struct span rest = body, entry;
    bool first = true;
    if (request->kind == REQUEST_BATCH) {
        while (json_element(&rest, &first, &entry))
            entry_take(request, &taken, entry);
    } else {
        while (json_value(rest, &entry, &rest))
            entry_take(request, &taken, entry);
    }
    if (taken != request->attempt_count)
        sim_fail("a batch of %u has %u results: %.*s", request->attempt_count, taken,
                 SPAN_ARG(body));
}

/* A number that counts the sessions of an id, against who can have been there. */
static void sessions_check(const struct request *request, uint64_t count, bool all) {
    unsigned surely = 0, perhaps = 0;
    uint64_t now = sim_stamp();
    for (unsigned i = 0; i < session_total(); i++) {
        const struct sim_session *session = session_at(i);
        if (session->id != request->id)
            continue;
        surely +=
            session_surely(session, request->begin, now) && !close_asked(session, request->begin);
        perhaps += session_maybe(session, request->begin, now);
    }
    if ((all && count < surely) || count > perhaps)
        sim_fail("%llu sessions of id %d are counted; it must be %u to %u",
                 (unsigned long long)count, request->id, surely, perhaps);
}

static unsigned elements(struct span object, const char *name) {
    struct span list, element;
    unsigned count = 0;
    bool first = true;
    if (!json_member(object, name, &list))
        sim_fail("an answer without %s: %.*s", name, SPAN_ARG(object));
    while (json_element(&list, &first, &element))
        count++;
    return count;
}

/* Some ids or all, each once; members may come and go while they are counted. */
static void page_check(const struct request *request, struct span body) {
    struct span list, next, element, before = SPAN("");
    unsigned count = 0;
    bool first = true;
    if (!json_member(body, "ids", &list) || !json_member(body, "next", &next))
        sim_fail("a page without ids or next: %.*s", SPAN_ARG(body));
    for (; json_element(&list, &first, &element); count++) {
        if (span_equal(element, before))
            sim_fail("an id is twice on a page: %.*s", SPAN_ARG(body));
        before = element;
    }
    bool more = next.at[0] == '"';
    if (count > request->limit || (more && count != request->limit) ||
        number_of(body, "count") < count + more)
        sim_fail("a page of %u at the most has %u: %.*s", request->limit, count, SPAN_ARG(body));
}

/* A call that took a message back, and of which the store has not said that it is safe. */
static bool is_unsafe(struct span body) {
    struct span error, code;
    return json_member(body, "error", &error) && json_member(error, "code", &code) &&
           json_is(code, "storage_unavailable");
}

/* Of sessions, how many are at other nodes. */
static unsigned elements_far(struct span body) {
    struct span list, element, far;
    unsigned count = 0;
    bool first = true;
    if (json_member(body, "sessions", &list))
        while (json_element(&list, &first, &element))
            count += json_member(element, "far", &far);
    return count;
}

/* A number of sessions, in which those of other nodes count as PORT_TAKES. */
static void count_check(const struct request *request, struct span body, const char *name,
                        bool all) {
    uint64_t count = number_of(body, name);
    redis_call_check(request, body, count - count % PORT_TAKES);
    sessions_check(request, count % PORT_TAKES, all);
}

static void call_take(const struct request *request, unsigned status, struct span body) {
    struct span error, code;
    if (status == 503 && json_member(body, "error", &error) && json_member(error, "code", &code) &&
        json_is(code, "cluster_unavailable") &&
        (sim.scenario.redis == 0 || (request->call != CALL_SESSIONS && request->call != CALL_FATE)))
        sim_fail("a call needs no other nodes, and is answered %.*s", SPAN_ARG(body));
    if (status == 503 && is_unsafe(body) && (request->call != CALL_WITHDRAW || !sim.scenario.store))
        sim_fail("a call needs no store, and is answered %.*s", SPAN_ARG(body));
    if (status == 503 || status == 429)
        return;
    switch (request->call) {
    case CALL_NONE:
        break;
    case CALL_ANYTHING:
        return;
    case CALL_SESSIONS:
        redis_call_check(request, body, elements_far(body));
        if (status == 404)
            sessions_check(request, 0, true);
        else
            sessions_check(request, elements(body, "sessions") - elements_far(body), true);
        return;
    case CALL_CLOSE:
        count_check(request, body, "closed", true);
        break;
    case CALL_MOVE:
        if (status == 409 && sim.scenario.redis != 0 && redis_said(request).full)
            return;
        count_check(request, body, "sessions", !request->leaves);
        break;
    case CALL_FATE:
    case CALL_WITHDRAW:
    case CALL_PENDING:
        ack_call_take(request, status, body);
        return;
    case CALL_PAGE:
        if (status == 200) {
            redis_call_check(request, body, 0);
            page_check(request, body);
        }
        break;
    }
    if (status != 200)
        sim_fail("a call is answered %u: %.*s", status, SPAN_ARG(body));
}

void producer_on_answer(struct sim_peer *peer, unsigned status, struct span body) {
    if (status < 200)
        return;
    struct request *request = peer->requests;
    if (request == NULL) {
        /* A timeout may be said without a request. */
        if (status != 408 && peer->style != STYLE_ABUSIVE)
            sim_fail("an answer without a request: %u %.*s", status, SPAN_ARG(body));
        return;
    }
    peer->requests = request->next;
    if (peer->requests == NULL)
        peer->requests_end = &peer->requests;
    peer->request_count--;
    if (peer->style != STYLE_ABUSIVE && peer->next_ns > sim.now_ns + sim.scenario.think_max_ns)
        peer->next_ns = think_ns();
    if (status == 503 && sim.scenario.calm && request->kind == REQUEST_CALL)
        sim_note("a call is refused: %.*s", SPAN_ARG(body));
    switch (request->kind) {
    case REQUEST_MESSAGE:
        result_take(request->attempts[0], status, body);
        break;
    case REQUEST_BATCH:
    case REQUEST_LINES:
        batch_take(request, status, body);
        break;
    case REQUEST_REFUSED:
        if (status < 400 || (status >= 500 && status != 503 && status != 505))
            sim_fail("a request that must be refused is answered %u: %.*s", status, SPAN_ARG(body));
        break;
    case REQUEST_CALL:
        call_take(request, status, body);
        break;
    }
    free(request->attempts);
    free(request);
}
