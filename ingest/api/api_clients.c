/* api_clients.c - presence of a client id, closing its sessions, putting them into groups; see
 * api.h.
 *
 * All are calls (core/call.h): each worker walks through its own sessions of that id, a slice of
 * each turn. */
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/base/strbuf.h"
#include "core/base/wall_text.h"
#include "core/call.h"
#include "core/keeper.h"
#include "core/namespaces.h"
#include "core/server.h"
#include "ingest/api/api.h"
#include "proto/http/query.h"
#include "proto/text/names.h"

/* What one worker tells of an id's sessions at the most; then the answer says `truncated`. */
#define PRESENCE_BYTES_MAX (1024 * 1024)
#define COUNT_TRUNCATED (UINT64_C(1) << 63) /* in a part's count */
/* A session without its groups. */
#define SESSION_BYTES 768

/* --- the call --------------------------------------------------------------------------------- */

/* The names that a call is about: a client id, then perhaps a group. */
static struct span call_name(const struct call *call, unsigned index) {
    return span_of(call->text + (index == 0 ? 0 : call->text_len[0]), call->text_len[index]);
}

/* False: a name is wrong; it was answered. */
static bool names_check(struct worker *worker, struct http_exchange *exchange,
                        const struct span *names, const char *const *fields, unsigned count) {
    struct complaint *complaint = &http_context(worker)->complaint;
    for (unsigned i = 0; i < count; i++) {
        const char *wrong = name_check(names[i]);
        if (wrong == NULL)
            continue;
        complaint_make(complaint, CODE_BAD_MESSAGE, span_text(fields[i]), "the %s %s", fields[i],
                       wrong);
        exchange_complain(worker, exchange, complaint);
        return false;
    }
    return true;
}

/* A call about an id (and a group); NULL: it was answered. */
static struct call *call_about(struct worker *worker, struct http_exchange *exchange,
                               struct span id, struct span group, bool reserve) {
    struct call *call = api_call_get(worker, exchange, reserve);
    if (SHORTAGE(call == NULL))
        return NULL;
    call->namespaces = (uint8_t)namespaces_count();
    memcpy(call->text, id.at, id.len);
    if (group.len != 0)
        memcpy(call->text + id.len, group.at, group.len);
    call->text_len[0] = (uint16_t)id.len;
    call->text_len[1] = (uint16_t)group.len;
    return call;
}

static uint64_t call_count(const struct worker *worker, const struct call *call) {
    uint64_t count = 0;
    for (unsigned i = 0; i < worker->server->worker_count; i++)
        count += call->parts[i].count;
    return count;
}

static uint64_t call_hash(const struct call *call, unsigned namespace) {
    return name_hash(NAME_ID, namespace, call_name(call, 0));
}

/* Each worker's part: every session of the id in the namespaces of the call is shown to
 * call->visit. */
static bool sessions_run(struct worker *worker, struct call *call, struct call_part *part) {
    for (; part->namespace < call->namespaces; part->namespace ++, part->begun = false) {
        unsigned namespace = call->namespace + part->namespace;
        if (!call_walk(worker, part, NAME_ID, namespace, call_hash(call, namespace),
                       call_name(call, 0)))
            return false;
    }
    return true;
}

/* --- GET /v1/clients/{id} --------------------------------------------------------------------- */

/* Of a part: how many messages wait for the id, and since when the oldest does. */
enum { MORE_PENDING, MORE_OLDEST_MS };

/* What a session takes at the most. */
static size_t session_bytes(const struct session *session) {
    size_t bytes = SESSION_BYTES;
    for (const struct list *at = session->memberships.next; at != &session->memberships;
         at = at->next)
        bytes += builder_json_max(container_of(at, struct membership, session_link)->name->len) + 1;
    return bytes;
}

static void session_write(struct worker *worker, struct chain *chain, const struct session *session,
                          const struct outbox *outbox) {
    if (SHORTAGE(!chain_room(chain, session_bytes(session))))
        return;
    struct builder *out = &chain->out;
    char address[PEER_ADDRESS_TEXT_MAX], since[WALL_TEXT_BYTES];
    struct session_look look = {.transport = NULL};
    session->type->look(worker, session, &look);
    const char *transport = look.transport != NULL ? look.transport : session->type->transport;
    net_peer_text(&look.peer, address);
    wall_text(session->since_ms, since);
    if (out->len != 0)
        builder_byte(out, ',');
    /* As the client was told in its welcome. */
    builder_format(out, "{\"session\":\"%s\"", look.text);
    json_key_text(out, "node", span_text(worker->config->node));
    json_key_text(out, "transport", span_text(transport));
    json_key_text(out, "namespace", namespace_name(session->namespace));
    json_key_text(out, "address", span_text(address));
    json_key_text(out, "since", span_text(since));
    json_key(out, "groups");
    builder_byte(out, '[');
    for (const struct list *at = session->memberships.next; at != &session->memberships;
         at = at->next) {
        const struct name *group = container_of(at, struct membership, session_link)->name;
        json_comma(out);
        builder_json(out, span_of(group->text, group->len));
    }
    builder_byte(out, ']');
    json_key_u64(out, "queued_bytes", session_queued_bytes(session, outbox));
    builder_byte(out, '}');
}

static void pending_look(const struct worker *worker, const struct call *call,
                         struct call_part *part) {
    for (unsigned i = 0; i < call->namespaces; i++) {
        const struct kept_id *id = keeper_find(worker, call_hash(call, i));
        const struct kept *oldest = kept_id_oldest(id);
        if (oldest == NULL)
            continue;
        uint64_t oldest_ms = message_accepted_ms(oldest->message);
        if (part->more[MORE_PENDING] == 0 || oldest_ms < part->more[MORE_OLDEST_MS])
            part->more[MORE_OLDEST_MS] = oldest_ms;
        part->more[MORE_PENDING] += kept_id_pending(id);
    }
}

static bool presence_run(struct worker *worker, struct call *call, struct call_part *part) {
    if (part->namespace == 0 && !part->begun)
        pending_look(worker, call, part);
    return sessions_run(worker, call, part);
}

static bool presence_visit(struct worker *worker, struct call_part *part, struct session *session) {
    /* One that has no welcome yet is not there yet. */
    const struct outbox *outbox = session->type->outbox(session);
    if (outbox == NULL)
        return true;
    if (chain_bytes(&part->text) >= PRESENCE_BYTES_MAX) {
        part->count |= COUNT_TRUNCATED;
        return false;
    }
    part->count++;
    session_write(worker, &part->text, session, outbox);
    part->failed = part->text.failed;
    return !part->failed;
}

static bool presence_finish(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    struct chain chain = chain_empty(worker, false);
    bool truncated = false;
    uint64_t count = 0, pending = 0, oldest_ms = 0;
    if (chain_room(&chain, builder_json_max(NAME_BYTES_MAX) + 64)) {
        builder_byte(&chain.out, '{');
        json_key_text(&chain.out, "id", call_name(call, 0));
        json_key(&chain.out, "sessions");
        builder_byte(&chain.out, '[');
    }
    for (unsigned i = 0; i < worker->server->worker_count; i++) {
        struct call_part *part = &call->parts[i];
        truncated |= (part->count & COUNT_TRUNCATED) != 0;
        count += part->count & ~COUNT_TRUNCATED;
        if (part->more[MORE_PENDING] != 0 &&
            (pending == 0 || part->more[MORE_OLDEST_MS] < oldest_ms))
            oldest_ms = part->more[MORE_OLDEST_MS];
        pending += part->more[MORE_PENDING];
        if (part->text.first == NULL || !chain_room(&chain, 1))
            continue;
        json_comma(&chain.out);
        chain_join(&chain, &part->text);
    }
    if (chain_room(&chain, 128)) {
        builder_text(&chain.out, truncated ? "],\"truncated\":true" : "]");
        if (pending != 0) {
            char oldest[WALL_TEXT_BYTES];
            wall_text(oldest_ms, oldest);
            json_key_u64(&chain.out, "pending", pending);
            json_key_text(&chain.out, "oldest", span_text(oldest));
        }
        builder_byte(&chain.out, '}');
    }
    chain.failed |= api_call_failed(worker, call);
    if (count == 0 && pending == 0 && !chain.failed) {
        chain_free(&chain);
        exchange_fail(worker, exchange, CODE_NOT_FOUND, "no session has this client id");
    } else {
        api_answer_chain(worker, exchange, NULL, &chain);
    }
    api_call_end(worker, http);
    return true;
}

static const char *const field_names[] = {"client id", "group"};

void api_get_client(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request) {
    if (!exchange_query_empty(worker, exchange, request) ||
        !names_check(worker, exchange, request->names, field_names, 1))
        return;
    struct call *call = call_about(worker, exchange, request->names[0], SPAN(""), false);
    if (call == NULL)
        return;
    call->run = presence_run;
    call->visit = presence_visit;
    call->finish = presence_finish;
    api_look_up_start(worker, call);
}

/* --- DELETE /v1/clients/{id} ------------------------------------------------------------------ */

static bool close_visit(struct worker *worker, struct call_part *part, struct session *session) {
    session->type->close(worker, session, CLOSE_CLOSED_BY_API);
    part->count++;
    return true;
}

static void count_answer(struct worker *worker, struct call *call, const char *name,
                         uint64_t count) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    char text[64];
    struct builder out = builder_over(text, sizeof text);
    builder_byte(&out, '{');
    json_key_u64(&out, name, count);
    builder_byte(&out, '}');
    exchange_answer(worker, exchange, 200, NULL, SPAN(""), builder_span(&out));
    api_call_end(worker, http);
}

static bool close_finish(struct worker *worker, struct call *call) {
    count_answer(worker, call, "closed", call_count(worker, call));
    return true;
}

void api_delete_client(struct worker *worker, struct http_exchange *exchange,
                       const struct route_request *request) {
    if (!exchange_query_empty(worker, exchange, request) ||
        !names_check(worker, exchange, request->names, field_names, 1))
        return;
    /* It must be possible also when their sessions hold all the memory. */
    struct call *call = call_about(worker, exchange, request->names[0], SPAN(""), true);
    if (call == NULL)
        return;
    call->run = sessions_run;
    call->visit = close_visit;
    call->finish = close_finish;
    (void)api_call_start(worker, call);
}

/* --- PUT, DELETE /v1/groups/{group}/clients/{id} ---------------------------------------------- */

/* Sessions that could not join, because they are in as many groups as they may. */
#define COUNT_FULL (UINT64_C(1) << 32)

static bool join_visit(struct worker *worker, struct call_part *part, struct session *session) {
    struct span group = call_name(part->call, 1);
    switch (directory_join(worker, session, &group, 1)) {
    case DIRECTORY_DONE:
        part->count++;
        break;
    case DIRECTORY_TOO_MANY_GROUPS:
        part->count += COUNT_FULL;
        break;
    case DIRECTORY_NO_MEMORY:
        SHORTAGE_MET();
        part->failed = true;
        break;
    }
    return true;
}

static bool leave_visit(struct worker *worker, struct call_part *part, struct session *session) {
    struct span group = call_name(part->call, 1);
    uint16_t before = session->membership_count;
    directory_leave(worker, session, &group, 1);
    part->count += session->membership_count != before;
    return true;
}

static bool member_finish(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    uint64_t count = call_count(worker, call);
    uint64_t full = count / COUNT_FULL, done = count % COUNT_FULL;
    if (api_call_failed(worker, call)) {
        exchange_fail(worker, exchange, CODE_OVERLOADED,
                      "there was no memory for some of the sessions; try again");
    } else if (full != 0) {
        struct complaint *complaint = &http_context(worker)->complaint;
        complaint_make(
            complaint, CODE_TOO_MANY_GROUPS, SPAN(""),
            "sessions that are in %d groups already: %llu; sessions that have joined: %llu",
            GROUPS_PER_SESSION_MAX, (unsigned long long)full, (unsigned long long)done);
        exchange_complain(worker, exchange, complaint);
    } else {
        count_answer(worker, call, "sessions", done);
        return true;
    }
    api_call_end(worker, http);
    return true;
}

static void member_call(struct worker *worker, struct http_exchange *exchange,
                        const struct route_request *request,
                        bool (*visit)(struct worker *, struct call_part *, struct session *)) {
    struct complaint *complaint = &http_context(worker)->complaint;
    struct query_field fields[] = {{.name = "namespace"}};
    const struct span names[] = {request->names[1], request->names[0]};
    unsigned namespace;
    if (!query_read(request->http->query, request->texts, fields, 1, complaint) ||
        !query_namespace(&fields[0], &namespace, complaint)) {
        exchange_complain(worker, exchange, complaint);
        return;
    }
    if (!names_check(worker, exchange, names, field_names, 2))
        return;
    struct call *call = call_about(worker, exchange, names[0], names[1], visit == leave_visit);
    if (call == NULL)
        return;
    call->namespace = (uint8_t) namespace;
    call->namespaces = 1;
    call->run = sessions_run;
    call->visit = visit;
    call->finish = member_finish;
    (void)api_call_start(worker, call);
}

void api_put_member(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request) {
    member_call(worker, exchange, request, join_visit);
}

void api_delete_member(struct worker *worker, struct http_exchange *exchange,
                       const struct route_request *request) {
    member_call(worker, exchange, request, leave_visit);
}
