/* api_fates.c - what became of a message, taking it back, and what waits for a client id; see
 * api.h. */
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/base/strbuf.h"
#include "core/base/wall_text.h"
#include "core/call.h"
#include "core/keeper.h"
#include "core/server.h"
#include "ingest/api/api_nodes.h"
#include "ingest/gate/fate_text.h"
#include "proto/http/query.h"
#include "proto/text/names.h"

#define WITHDRAW_WAIT_NS (5 * NS_PER_S)
#define PAGE_DEFAULT 100

/* --- GET /v1/messages/{id} -------------------------------------------------------------------- */

static struct fates *fates_of(struct worker *worker) {
    return &worker->server->fates;
}

static void answer_unknown(struct worker *worker, struct http_exchange *exchange) {
    exchange_fail(worker, exchange, CODE_NOT_FOUND, "no fate is known of a message of this id");
}

static struct fate *fate_find(struct worker *worker, struct span id) {
    return message_id_check(id) == NULL ? fates_find(fates_of(worker), id) : NULL;
}

void api_answer_fate(struct worker *worker, struct http_exchange *exchange, struct fate *fate,
                     bool reserve) {
    struct chain chain = chain_empty(&worker->endpoint, reserve);
    if (!SHORTAGE(!chain_room(&chain, fate_bytes_max(fate)))) {
        size_t before = chain.out.len;
        fate_write(fate, &chain.out);
        CHECK(chain.out.len - before <= fate_bytes_max(fate), "a fate is longer than it may be");
    }
    fates_release(fates_of(worker), fate);
    api_answer_chain(worker, exchange, NULL, &chain);
}

/* Other nodes are asked alone. */
static bool nothing_run(struct worker *worker, struct call *call, struct call_part *part) {
    (void)worker, (void)call, (void)part;
    return true;
}

static void fate_tell(struct endpoint *endpoint, struct call *call, struct chain *out) {
    struct fates *fates = &endpoint->server->fates;
    struct fate *fate = fates_find(fates, api_call_name(call, 0));
    if (fate == NULL)
        return;
    if (!SHORTAGE(!chain_room(out, fate_bytes_max(fate) + 16))) {
        size_t before = out->out.len;
        builder_text(&out->out, "{\"fate\":");
        fate_write(fate, &out->out);
        builder_text(&out->out, "}\n");
        out->failed |= out->out.len - before > CALL_LINE_BYTES; /* of very many ids */
    }
    fates_release(fates, fate);
}

static bool message_finish(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    struct api_lines lines;
    struct span line, fate = SPAN("");
    bool complete = api_lines_begin(worker, call, &lines);
    while (fate.len == 0 && api_line_next(&lines, &line))
        if (!api_line_value(line, "fate", &fate))
            fate = SPAN("");
    if (fate.len != 0) {
        struct chain chain = chain_empty(&worker->endpoint, false);
        if (!SHORTAGE(!chain_room(&chain, fate.len)))
            builder_span_add(&chain.out, fate);
        api_answer_chain(worker, exchange, NULL, &chain);
    } else if (api_call_failed(call)) {
        exchange_fail(worker, exchange, CODE_OVERLOADED,
                      "there was no memory for what other nodes say; try again");
    } else if (!complete) {
        exchange_fail(worker, exchange, CODE_CLUSTER_UNAVAILABLE,
                      "no fate is known here of a message of this id, and not all other nodes have "
                      "answered; try again");
    } else {
        answer_unknown(worker, exchange);
    }
    api_call_end(worker, http);
    return true;
}

const struct api_kind api_message_kind = {
    .nodes = {CALL_ALL, api_ask, fate_tell},
    .what = "message",
    .names = {{"id", message_id_check, false}},
    .run = nothing_run,
};

void api_get_message(struct worker *worker, struct http_exchange *exchange,
                     const struct route_request *request) {
    if (!exchange_query_empty(worker, exchange, request))
        return;
    const struct span names[2] = {request->names[0], SPAN_INIT("")};
    struct fate *fate = fate_find(worker, names[0]);
    if (fate != NULL) {
        api_answer_fate(worker, exchange, fate, false);
        return;
    }
    if (message_id_check(names[0]) != NULL || worker->server->parts.herald == NULL) {
        answer_unknown(worker, exchange);
        return;
    }
    struct call *call = api_kind_get(worker, exchange, &api_message_kind, names, NAMESPACE_MAIN, 0);
    if (call == NULL)
        return;
    call->finish = message_finish;
    api_look_up_start(worker, call);
}

/* --- DELETE /v1/messages/{id} ----------------------------------------------------------------- */

/* The call holds it, and has its address for an argument. */
static struct fate *call_fate(const struct call *call) {
    return (struct fate *)(uintptr_t)call->argument;
}

static bool withdraw_run(struct worker *worker, struct call *call, struct call_part *part) {
    (void)part;
    keeper_withdraw(worker, fate_id(call_fate(call)), call_fate(call));
    return true;
}

static bool withdraw_finish(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    /* Where there is a store it is settled when it is safe there. */
    api_wait_withdrawn(worker, exchange, call_fate(call), WITHDRAW_WAIT_NS);
    api_call_end(worker, http);
    return true;
}

void api_delete_message(struct worker *worker, struct http_exchange *exchange,
                        const struct route_request *request) {
    if (!exchange_query_empty(worker, exchange, request))
        return;
    struct fate *fate = fate_find(worker, request->names[0]);
    if (fate == NULL) {
        answer_unknown(worker, exchange);
        return;
    }
    if (fate_state(fate) != FATE_PENDING) { /* it stays as it is */
        api_answer_fate(worker, exchange, fate, true);
        return;
    }
    /* It must be possible also when what waits holds all the memory. */
    struct call *call = api_call_get(worker, exchange, NULL, true);
    if (SHORTAGE(call == NULL)) {
        fates_release(fates_of(worker), fate);
        return;
    }
    call->argument = (uint64_t)(uintptr_t)fate;
    call->run = withdraw_run;
    call->finish = withdraw_finish;
    if (SHORTAGE(!api_call_start(worker, call)))
        fates_release(fates_of(worker), fate);
}

/* --- GET /v1/clients/{id}/pending ------------------------------------------------------------- */

/* One message of a page. */
#define ENTRY_BYTES (128 + 2 * WALL_TEXT_BYTES + 6 * (MESSAGE_ID_BYTES_MAX + NAME_BYTES_MAX))

static struct span call_after(const struct call *call) {
    return span_of(call->text, call->text_len[0]);
}

static void pending_write(struct chain *chain, const struct message *message) {
    if (SHORTAGE(!chain_room(chain, ENTRY_BYTES)))
        return;
    struct builder *out = &chain->out;
    char accepted[WALL_TEXT_BYTES], expires[WALL_TEXT_BYTES];
    wall_text(message_accepted_ms(message), accepted);
    wall_text(message_expires_ms(message), expires);
    json_comma(out);
    builder_byte(out, '{');
    json_key_text(out, "id", message_id(message));
    json_key_text(out, "accepted", span_text(accepted));
    json_key_text(out, "event", message_event(message));
    json_key_text(out, "expires", span_text(expires));
    builder_byte(out, '}');
}

/* Where a page begins: behind `after`, if that is still pending; else what was before it may have
 * gone as well, and the oldest that is left comes first. */
static const struct kept *page_begin(const struct worker *worker, const struct call *call,
                                     const struct kept_id *id) {
    const struct kept *after = NULL;
    if (call_after(call).len != 0)
        after = keeper_find_message(worker, call->argument, call_after(call));
    return after == NULL ? kept_id_oldest(id) : kept_id_behind(id, after);
}

/* Only the keeper of the id has any. One page is a small part of a turn. */
static bool pending_run(struct worker *worker, struct call *call, struct call_part *part) {
    const struct kept_id *id = keeper_find(worker, call->argument);
    if (kept_id_pending(id) == 0)
        return true;
    struct chain *chain = &part->text;
    const struct message *last = NULL;
    const struct kept *at = page_begin(worker, call, id);
    part->count = kept_id_pending(id);
    for (uint32_t shown = 0; at != NULL && shown < call->limit; shown++) {
        last = kept_message(at);
        pending_write(chain, last);
        at = kept_id_behind(id, at);
    }
    if (SHORTAGE(!chain_room(chain, ENTRY_BYTES))) {
        part->failed = true;
        return true;
    }
    builder_text(&chain->out, "],\"next\":");
    if (last != NULL && at != NULL)
        builder_json(&chain->out, message_id(last));
    else
        builder_text(&chain->out, "null");
    builder_byte(&chain->out, '}');
    return true;
}

static bool pending_finish(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    struct chain chain = chain_empty(&worker->endpoint, false);
    struct call_part *keeper = NULL;
    for (unsigned i = 0; i < worker->server->worker_count; i++)
        if (call->parts[i].text.first != NULL)
            keeper = &call->parts[i];
    if (chain_room(&chain, ENTRY_BYTES)) {
        builder_byte(&chain.out, '{');
        json_key_u64(&chain.out, "count", keeper == NULL ? 0 : keeper->count);
        json_key(&chain.out, "messages");
        builder_byte(&chain.out, '[');
        if (keeper != NULL)
            chain_join(&chain, &keeper->text);
        else
            builder_text(&chain.out, "],\"next\":null}");
    }
    chain.failed |= api_call_failed(call);
    api_answer_chain(worker, exchange, NULL, &chain);
    api_call_end(worker, http);
    return true;
}

/* False: something is wrong with it; it was answered. */
static bool page_read(struct worker *worker, struct http_exchange *exchange,
                      const struct route_request *request, uint64_t *limit, struct span *after,
                      unsigned *namespace) {
    struct complaint *complaint = &http_context(worker)->complaint;
    struct query_field fields[] = {{.name = "limit"}, {.name = "after"}, {.name = "namespace"}};
    const char *wrong = name_check(request->names[0]);
    bool good = query_read(request->http->query, request->texts, fields, 3, complaint) &&
                query_namespace(&fields[2], namespace, complaint) &&
                (!fields[0].given || query_u64(&fields[0], 1, API_PAGE_MAX, limit, complaint));
    *after = fields[1].value;
    if (good && wrong != NULL) {
        complaint_make(complaint, CODE_BAD_MESSAGE, SPAN("client id"), "the client id %s", wrong);
        good = false;
    }
    if (good && after->len != 0 && (wrong = message_id_check(*after)) != NULL) {
        complaint_make(complaint, CODE_BAD_MESSAGE, SPAN("after"), "parameter \"after\" %s", wrong);
        good = false;
    }
    if (!good)
        exchange_complain(worker, exchange, complaint);
    return good;
}

void api_get_pending(struct worker *worker, struct http_exchange *exchange,
                     const struct route_request *request) {
    uint64_t limit = PAGE_DEFAULT;
    struct span after;
    unsigned namespace;
    if (!page_read(worker, exchange, request, &limit, &after, &namespace))
        return;
    struct call *call = api_call_get(worker, exchange, NULL, false);
    if (SHORTAGE(call == NULL))
        return;
    call->argument = name_hash(NAME_ID, namespace, request->names[0]);
    call->limit = (uint32_t)limit;
    if (after.len != 0)
        memcpy(call->text, after.at, after.len);
    call->text_len[0] = (uint16_t)after.len;
    call->run = pending_run;
    call->finish = pending_finish;
    api_look_up_start(worker, call);
}
