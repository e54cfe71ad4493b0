/* api_clients.c - presence of a client id, closing its sessions, putting them into groups; see
 * api.h.
 *
 * All are calls (core/call.h): each worker walks through its own sessions of that id, a slice of
 * each turn, and other nodes do the same (api_nodes.h). */
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/base/strbuf.h"
#include "core/base/wall_text.h"
#include "core/call.h"
#include "core/keeper.h"
#include "core/namespaces.h"
#include "core/server.h"
#include "ingest/api/api_nodes.h"
#include "proto/http/query.h"
#include "proto/text/names.h"

/* What one worker tells of an id's sessions at the most; then the answer says `truncated`. */
#define PRESENCE_BYTES_MAX (1024 * 1024)
#define COUNT_TRUNCATED (UINT64_C(1) << 63) /* in a part's count */
/* Sessions that could not join, because they are in as many groups as they may; in a part's count.
 */
#define COUNT_FULL (UINT64_C(1) << 32)
/* A session without its groups. */
#define SESSION_BYTES 768

/* --- the call --------------------------------------------------------------------------------- */

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

static uint64_t call_count(const struct endpoint *endpoint, const struct call *call) {
    uint64_t count = 0;
    for (unsigned i = 0; i < endpoint->server->worker_count; i++)
        count += call->parts[i].count;
    return count;
}

static uint64_t call_hash(const struct call *call, unsigned namespace) {
    return name_hash(NAME_ID, namespace, api_call_name(call, 0));
}

/* Each worker's part: every session of the id in the namespaces of the call is shown to
 * call->visit. */
static bool sessions_run(struct worker *worker, struct call *call, struct call_part *part) {
    for (; part->namespace < call->namespaces; part->namespace ++, part->begun = false) {
        unsigned namespace = call->namespace + part->namespace;
        if (!call_walk(worker, part, NAME_ID, namespace, call_hash(call, namespace),
                       api_call_name(call, 0)))
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

/* Of this node's answer, or, if it is told to another, a line. */
static void session_write(struct worker *worker, struct chain *chain, bool told,
                          const struct session *session, const struct outbox *outbox) {
    if (SHORTAGE(!chain_room(chain, session_bytes(session))))
        return;
    struct builder *out = &chain->out;
    char address[PEER_ADDRESS_TEXT_MAX], since[WALL_TEXT_BYTES];
    struct session_look look = {.transport = NULL};
    if (told)
        builder_text(out, "{\"session\":");
    else if (out->len != 0)
        builder_byte(out, ',');
    session->type->look(worker, session, &look);
    const char *transport = look.transport != NULL ? look.transport : session->type->transport;
    net_peer_text(&look.peer, address);
    wall_text(session->since_ms, since);
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
        if (group->kind != NAME_GROUP)
            continue;
        json_comma(out);
        builder_json(out, span_of(group->text, group->len));
    }
    builder_byte(out, ']');
    json_key_u64(out, "queued_bytes", session_queued_bytes(session, outbox));
    builder_text(out, told ? "}}\n" : "}");
}

static void pending_look(const struct worker *worker, const struct call *call,
                         struct call_part *part) {
    for (unsigned i = 0; i < call->namespaces; i++) {
        const struct kept_id *id = keeper_find(worker, call_hash(call, i));
        const struct kept *oldest = kept_id_oldest(id);
        if (oldest == NULL)
            continue;
        uint64_t oldest_ms = message_accepted_ms(kept_message(oldest));
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
    session_write(worker, &part->text, api_call_is_told(part->call), session, outbox);
    part->failed = part->text.failed;
    return !part->failed;
}

/* What all parts say beside the sessions. */
struct presence {
    uint64_t count; /* sessions */
    uint64_t pending, oldest_ms;
    bool truncated;
};

static void pending_add(struct presence *presence, uint64_t pending, uint64_t oldest_ms) {
    if (pending != 0 && (presence->pending == 0 || oldest_ms < presence->oldest_ms))
        presence->oldest_ms = oldest_ms;
    presence->pending += pending;
}

static void presence_add(struct presence *presence, const struct call_part *part) {
    presence->truncated |= (part->count & COUNT_TRUNCATED) != 0;
    presence->count += part->count & ~COUNT_TRUNCATED;
    pending_add(presence, part->more[MORE_PENDING], part->more[MORE_OLDEST_MS]);
}

static void presence_tell(struct endpoint *endpoint, struct call *call, struct chain *out) {
    struct presence all = {.count = 0};
    for (unsigned i = 0; i < endpoint->server->worker_count; i++) {
        presence_add(&all, &call->parts[i]);
        chain_join(out, &call->parts[i].text);
    }
    if ((all.pending == 0 && !all.truncated) || SHORTAGE(!chain_room(out, 128)))
        return;
    builder_byte(&out->out, '{');
    builder_text(&out->out, "\"truncated\":");
    builder_text(&out->out, all.truncated ? "true" : "false");
    json_key_u64(&out->out, "pending", all.pending);
    json_key_u64(&out->out, "oldest", all.oldest_ms);
    builder_text(&out->out, "}\n");
}

/* The sessions at other nodes, and what waits there. */
static void others_write(struct chain *chain, struct api_lines *lines, struct presence *all) {
    struct span line, value;
    uint64_t bytes = 0;
    while (api_line_next(lines, &line)) {
        if (!api_line_value(line, "session", &value)) {
            pending_add(all, api_line_u64(line, "pending"), api_line_u64(line, "oldest"));
            all->truncated |=
                api_line_value(line, "truncated", &value) && span_equal(value, SPAN("true"));
            continue;
        }
        bytes += value.len;
        if (bytes > PRESENCE_BYTES_MAX) {
            all->truncated = true;
            return;
        }
        if (SHORTAGE(!chain_room(chain, value.len + 1)))
            return;
        json_comma(&chain->out);
        builder_span_add(&chain->out, value);
        all->count++;
    }
}

static void presence_end_write(struct chain *chain, const struct presence *all, bool complete) {
    if (SHORTAGE(!chain_room(chain, 192)))
        return;
    builder_byte(&chain->out, ']');
    if (all->truncated)
        builder_text(&chain->out, ",\"truncated\":true");
    if (all->pending != 0) {
        char oldest[WALL_TEXT_BYTES];
        wall_text(all->oldest_ms, oldest);
        json_key_u64(&chain->out, "pending", all->pending);
        json_key_text(&chain->out, "oldest", span_text(oldest));
    }
    if (!complete)
        json_key_text(&chain->out, "cluster", SPAN("unavailable"));
    builder_byte(&chain->out, '}');
}

static bool presence_finish(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    struct chain chain = chain_empty(&worker->endpoint, false);
    struct presence all = {.count = 0};
    struct api_lines lines;
    bool complete = api_lines_begin(worker, call, &lines);
    if (chain_room(&chain, builder_json_max(NAME_BYTES_MAX) + 64)) {
        builder_byte(&chain.out, '{');
        json_key_text(&chain.out, "id", api_call_name(call, 0));
        json_key(&chain.out, "sessions");
        builder_byte(&chain.out, '[');
    }
    for (unsigned i = 0; i < worker->server->worker_count; i++) {
        struct call_part *part = &call->parts[i];
        presence_add(&all, part);
        if (part->text.first == NULL || !chain_room(&chain, 1))
            continue;
        json_comma(&chain.out);
        chain_join(&chain, &part->text);
    }
    others_write(&chain, &lines, &all);
    presence_end_write(&chain, &all, complete);
    chain.failed |= api_call_failed(call);
    if (all.count != 0 || all.pending != 0 || chain.failed) {
        api_answer_chain(worker, exchange, NULL, &chain);
    } else {
        chain_free(&chain);
        if (complete)
            exchange_fail(worker, exchange, CODE_NOT_FOUND, "no session has this client id");
        else
            exchange_fail(worker, exchange, CODE_CLUSTER_UNAVAILABLE,
                          "no session here has this client id, and not all other nodes have "
                          "answered; try again");
    }
    api_call_end(worker, http);
    return true;
}

static const char *const field_names[] = {"client id", "group"};

const struct api_kind api_client_kind = {
    .nodes = {CALL_ALL, api_ask, presence_tell}, /* who keeps messages for it has no session */
    .what = "client",
    .names = {{"id", name_check, false}},
    .run = presence_run,
    .visit = presence_visit,
};

void api_get_client(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request) {
    if (!exchange_query_empty(worker, exchange, request) ||
        !names_check(worker, exchange, request->names, field_names, 1))
        return;
    const struct span names[2] = {request->names[0], SPAN_INIT("")};
    struct call *call = api_kind_get(worker, exchange, &api_client_kind, names, NAMESPACE_MAIN, 0);
    if (call == NULL)
        return;
    call->finish = presence_finish;
    api_look_up_start(worker, call);
}

/* --- DELETE /v1/clients/{id} ------------------------------------------------------------------ */

static bool close_visit(struct worker *worker, struct call_part *part, struct session *session) {
    session->type->close(worker, session, CLOSE_CLOSED_BY_API);
    part->count++;
    return true;
}

/* How many, of which `more` could not. False: not all nodes have answered. */
static bool others_count(struct worker *worker, struct call *call, uint64_t *count, uint64_t *more,
                         bool *failed) {
    struct api_lines lines;
    struct span line, value;
    bool complete = api_lines_begin(worker, call, &lines);
    while (api_line_next(&lines, &line)) {
        *count += api_line_u64(line, "count");
        *more += api_line_u64(line, "full");
        *failed |= api_line_value(line, "failed", &value) && span_equal(value, SPAN("true"));
    }
    return complete;
}

static void count_tell(struct endpoint *endpoint, struct call *call, struct chain *out) {
    uint64_t count = call_count(endpoint, call);
    if (SHORTAGE(!chain_room(out, 128)))
        return;
    builder_byte(&out->out, '{');
    json_key_u64(&out->out, "count", count % COUNT_FULL);
    if (count >= COUNT_FULL)
        json_key_u64(&out->out, "full", count / COUNT_FULL);
    if (api_call_failed(call))
        builder_text(&out->out, ",\"failed\":true");
    builder_text(&out->out, "}\n");
}

static void count_answer(struct worker *worker, struct call *call, const char *name, uint64_t count,
                         bool complete) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    char text[64];
    struct builder out = builder_over(text, sizeof text);
    builder_byte(&out, '{');
    json_key_u64(&out, name, count);
    if (!complete)
        json_key_text(&out, "cluster", SPAN("unavailable"));
    builder_byte(&out, '}');
    exchange_answer(worker, exchange, 200, NULL, SPAN(""), builder_span(&out));
    api_call_end(worker, http);
}

static bool close_finish(struct worker *worker, struct call *call) {
    uint64_t count = call_count(&worker->endpoint, call), more = 0;
    bool failed = false;
    bool complete = others_count(worker, call, &count, &more, &failed);
    /* What others say may have found no memory. */
    count_answer(worker, call, "closed", count, complete && !failed && !api_call_failed(call));
    return true;
}

const struct api_kind api_close_kind = {
    .nodes = {CALL_ID, api_ask, count_tell},
    .what = "close",
    .names = {{"id", name_check, false}},
    .reserve = true, /* it must be possible also when their sessions hold all the memory */
    .run = sessions_run,
    .visit = close_visit,
};

void api_delete_client(struct worker *worker, struct http_exchange *exchange,
                       const struct route_request *request) {
    if (!exchange_query_empty(worker, exchange, request) ||
        !names_check(worker, exchange, request->names, field_names, 1))
        return;
    const struct span names[2] = {request->names[0], SPAN_INIT("")};
    struct call *call = api_kind_get(worker, exchange, &api_close_kind, names, NAMESPACE_MAIN, 0);
    if (call == NULL)
        return;
    call->finish = close_finish;
    (void)api_call_start(worker, call);
}

/* --- PUT, DELETE /v1/groups/{group}/clients/{id} ---------------------------------------------- */

static bool join_visit(struct worker *worker, struct call_part *part, struct session *session) {
    struct span group = api_call_name(part->call, 1);
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
    struct span group = api_call_name(part->call, 1);
    uint16_t before = session->membership_count;
    directory_leave(worker, session, &group, 1);
    part->count += session->membership_count != before;
    return true;
}

static bool member_finish(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    uint64_t count = call_count(&worker->endpoint, call);
    uint64_t full = count / COUNT_FULL, done = count % COUNT_FULL;
    bool failed = api_call_failed(call);
    bool complete = others_count(worker, call, &done, &full, &failed);
    if (failed) {
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
        count_answer(worker, call, "sessions", done, complete);
        return true;
    }
    api_call_end(worker, http);
    return true;
}

const struct api_kind api_join_kind = {
    .nodes = {CALL_ID, api_ask, count_tell},
    .what = "join",
    .names = {{"id", name_check, false}, {"group", name_check, false}},
    .in_namespace = true,
    .run = sessions_run,
    .visit = join_visit,
};
const struct api_kind api_leave_kind = {
    .nodes = {CALL_ID, api_ask, count_tell},
    .what = "leave",
    .names = {{"id", name_check, false}, {"group", name_check, false}},
    .in_namespace = true,
    .reserve = true,
    .run = sessions_run,
    .visit = leave_visit,
};

static void member_call(struct worker *worker, struct http_exchange *exchange,
                        const struct route_request *request, const struct api_kind *kind) {
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
    struct call *call = api_kind_get(worker, exchange, kind, names, namespace, 0);
    if (call == NULL)
        return;
    call->finish = member_finish;
    (void)api_call_start(worker, call);
}

void api_put_member(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request) {
    member_call(worker, exchange, request, &api_join_kind);
}

void api_delete_member(struct worker *worker, struct http_exchange *exchange,
                       const struct route_request *request) {
    member_call(worker, exchange, request, &api_leave_kind);
}
