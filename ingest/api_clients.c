/* api_clients.c - presence of a client id, closing its sessions, putting them into groups; see
 * api.h.
 *
 * All are calls (core/call.h): each worker looks at its own sessions of that id. */
#include "core/base/check.h"
#include "core/base/scroll.h"
#include "core/call.h"
#include "core/server.h"
#include "ingest/api.h"
#include "ingest/query.h"
#include "ingest/wall_text.h"
#include "proto/names.h"

/* What one worker tells of an id's sessions at the most; then the answer says `truncated`. */
#define PRESENCE_BYTES_MAX (1024 * 1024)
#define COUNT_TRUNCATED (UINT64_C(1) << 63) /* in a part's count */
/* A session without its groups; one group. */
#define SESSION_BYTES 512
#define GROUP_BYTES (builder_json_max(NAME_BYTES_MAX) + 1)

/* --- the call --------------------------------------------------------------------------------- */

/* The names that a call is about: a client id, then perhaps a group. */
static struct span call_name(const struct call *call, unsigned index) {
    return span_of(call->text + (index == 0 ? 0 : call->text_len[0]), call->text_len[index]);
}

/* False: a name is wrong; it was answered. */
static bool names_check(struct worker *worker, struct http_exchange *exchange,
                        const struct span *names, const char *const *fields, unsigned count) {
    struct complaint *complaint = &http_desk(worker)->complaint;
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
                               struct span id, struct span group) {
    struct call *call = api_call_get(worker, exchange);
    if (call == NULL)
        return NULL;
    call->argument = name_hash(NAME_ID, id);
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

/* The id that the call is about, if it has sessions here; pinned, so that they may end while they
 * are walked through. */
static struct name *name_open(struct worker *worker, const struct call *call) {
    struct name *name = directory_find(worker, NAME_ID, call->argument, call_name(call, 0));
    if (name == NULL || name->session_count == 0)
        return NULL;
    name_pin(name);
    return name;
}

/* --- GET /v1/clients/{id} --------------------------------------------------------------------- */

static void session_write(struct worker *worker, struct scroll *scroll,
                          const struct session *session, const struct connection *connection) {
    if (!scroll_room(scroll, SESSION_BYTES + session->membership_count * GROUP_BYTES))
        return;
    struct builder *out = &scroll->out;
    char address[PEER_ADDRESS_TEXT_MAX], since[WALL_TEXT_BYTES];
    net_peer_text(&connection->peer, address);
    wall_text(session->since_ms, since);
    if (out->len != 0)
        builder_byte(out, ',');
    /* As the client was told in its welcome. */
    builder_format(out, "{\"session\":\"%x-%x-%x\"", worker->index, connection->slot,
                   connection->generation);
    json_key_text(out, "node", span_text(worker->config->node));
    json_key_text(out, "transport", span_text(session->type->transport));
    json_key_text(out, "namespace", SPAN("/"));
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
    json_key_u64(out, "queued_bytes", connection->outbox.bytes);
    builder_byte(out, '}');
}

static void presence_run(struct worker *worker, struct call *call, struct call_part *part) {
    struct name *name = name_open(worker, call);
    if (name == NULL)
        return;
    struct scroll scroll = scroll_empty();
    for (struct list *at = name->sessions.next; at != &name->sessions; at = at->next) {
        struct session *session = container_of(at, struct session, id_link);
        /* One that has no welcome yet is not there yet. */
        const struct connection *connection = session->type->connection(session);
        if (connection == NULL)
            continue;
        part->count++;
        if (scroll.out.len < PRESENCE_BYTES_MAX)
            session_write(worker, &scroll, session, connection);
        else
            part->count |= COUNT_TRUNCATED;
    }
    name_unpin(worker, name);
    size_t len;
    part->failed = scroll.failed;
    part->text = scroll_take(&scroll, &len);
    part->len = (uint32_t)len;
}

static void presence_done(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    struct scroll scroll = scroll_empty();
    bool truncated = false;
    uint64_t count = 0;
    struct builder *out = &scroll.out;
    if (scroll_room(&scroll, builder_json_max(NAME_BYTES_MAX) + 64)) {
        builder_byte(out, '{');
        json_key_text(out, "id", call_name(call, 0));
        json_key(out, "sessions");
        builder_byte(out, '[');
    }
    for (unsigned i = 0; i < worker->server->worker_count; i++) {
        const struct call_part *part = &call->parts[i];
        truncated |= (part->count & COUNT_TRUNCATED) != 0;
        count += part->count & ~COUNT_TRUNCATED;
        if (part->len != 0 && scroll_room(&scroll, part->len + 64)) {
            json_comma(out);
            builder_bytes(out, part->text, part->len);
        }
    }
    if (scroll_room(&scroll, 64))
        builder_text(out, truncated ? "],\"truncated\":true}" : "]}");
    scroll.failed |= api_call_failed(worker, call);
    if (count == 0 && !scroll.failed) {
        scroll_free(&scroll);
        exchange_fail(worker, exchange, CODE_NOT_FOUND, "no session has this client id");
    } else {
        api_answer_scroll(worker, exchange, NULL, &scroll);
    }
    api_call_end(worker, call, http);
}

static const char *const field_names[] = {"client id", "group"};

void api_get_client(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request) {
    if (!api_query_empty(worker, exchange, request) ||
        !names_check(worker, exchange, request->names, field_names, 1))
        return;
    struct call *call = call_about(worker, exchange, request->names[0], SPAN(""));
    if (call == NULL)
        return;
    call->run = presence_run;
    call->done = presence_done;
    api_call_start(worker, call);
}

/* --- DELETE /v1/clients/{id} ------------------------------------------------------------------ */

static void close_run(struct worker *worker, struct call *call, struct call_part *part) {
    struct name *name = name_open(worker, call);
    if (name == NULL)
        return;
    struct list *next;
    for (struct list *at = name->sessions.next; at != &name->sessions; at = next) {
        next = at->next;
        struct session *session = container_of(at, struct session, id_link);
        session->type->close(worker, session, CLOSE_CLOSED_BY_API);
        part->count++;
    }
    name_unpin(worker, name);
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
    api_call_end(worker, call, http);
}

static void close_done(struct worker *worker, struct call *call) {
    count_answer(worker, call, "closed", call_count(worker, call));
}

void api_delete_client(struct worker *worker, struct http_exchange *exchange,
                       const struct route_request *request) {
    if (!api_query_empty(worker, exchange, request) ||
        !names_check(worker, exchange, request->names, field_names, 1))
        return;
    struct call *call = call_about(worker, exchange, request->names[0], SPAN(""));
    if (call == NULL)
        return;
    call->run = close_run;
    call->done = close_done;
    api_call_start(worker, call);
}

/* --- PUT, DELETE /v1/groups/{group}/clients/{id} ---------------------------------------------- */

/* Sessions that could not join, because they are in as many groups as they may. */
#define COUNT_FULL (UINT64_C(1) << 32)

static void join_run(struct worker *worker, struct call *call, struct call_part *part) {
    struct name *name = name_open(worker, call);
    if (name == NULL)
        return;
    struct span group = call_name(call, 1);
    for (struct list *at = name->sessions.next; at != &name->sessions; at = at->next) {
        struct session *session = container_of(at, struct session, id_link);
        switch (directory_join(worker, session, &group, 1)) {
        case DIRECTORY_DONE:
            part->count++;
            break;
        case DIRECTORY_TOO_MANY_GROUPS:
            part->count += COUNT_FULL;
            break;
        case DIRECTORY_NO_MEMORY:
            part->failed = true;
            break;
        }
    }
    name_unpin(worker, name);
}

static void leave_run(struct worker *worker, struct call *call, struct call_part *part) {
    struct name *name = name_open(worker, call);
    if (name == NULL)
        return;
    struct span group = call_name(call, 1);
    for (struct list *at = name->sessions.next; at != &name->sessions; at = at->next) {
        struct session *session = container_of(at, struct session, id_link);
        uint16_t before = session->membership_count;
        directory_leave(worker, session, &group, 1);
        part->count += session->membership_count != before;
    }
    name_unpin(worker, name);
}

static void member_done(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    uint64_t count = call_count(worker, call);
    uint64_t full = count / COUNT_FULL, done = count % COUNT_FULL;
    if (api_call_failed(worker, call)) {
        exchange_fail(worker, exchange, CODE_OVERLOADED,
                      "there was no memory for some of the sessions; try again");
    } else if (full != 0) {
        struct complaint *complaint = &http_desk(worker)->complaint;
        complaint_make(
            complaint, CODE_TOO_MANY_GROUPS, SPAN(""),
            "sessions that are in %d groups already: %llu; sessions that have joined: %llu",
            GROUPS_PER_SESSION_MAX, (unsigned long long)full, (unsigned long long)done);
        exchange_complain(worker, exchange, complaint);
    } else {
        count_answer(worker, call, "sessions", done);
        return;
    }
    api_call_end(worker, call, http);
}

static void member_call(struct worker *worker, struct http_exchange *exchange,
                        const struct route_request *request,
                        void (*run)(struct worker *, struct call *, struct call_part *)) {
    struct complaint *complaint = &http_desk(worker)->complaint;
    struct query_field fields[] = {{.name = "namespace"}};
    const struct span names[] = {request->names[1], request->names[0]};
    if (!query_read(request->http->query, request->texts, fields, 1, complaint) ||
        !query_namespace(&fields[0], complaint)) {
        exchange_complain(worker, exchange, complaint);
        return;
    }
    if (!names_check(worker, exchange, names, field_names, 2))
        return;
    struct call *call = call_about(worker, exchange, names[0], names[1]);
    if (call == NULL)
        return;
    call->run = run;
    call->done = member_done;
    api_call_start(worker, call);
}

void api_put_member(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request) {
    member_call(worker, exchange, request, join_run);
}

void api_delete_member(struct worker *worker, struct http_exchange *exchange,
                       const struct route_request *request) {
    member_call(worker, exchange, request, leave_run);
}
