/* api_stats.c - GET /v1/stats: what every worker has counted; see api.h.
 *
 * A call: each worker hands over a copy of its counters made between two of its steps, in which
 * the ledgers balance: of copies made = sent + waiting + dropped; of messages that are to be
 * acknowledged, by their client ids, accepted = acked + expired + dropped + pending. What waits and
 * what is pending has been counted anew by then (tally.h). */
#include "core/base/shortage.h"
#include "core/base/strbuf.h"
#include "core/call.h"
#include "core/server.h"
#include "core/worker.h"
#include "ingest/api/api.h"
#include "ingest/api/slowest.h"

/* The share of busy time is taken over at least so long. */
#define BUSY_NS (1 * NS_PER_S)
/* One worker's object; what is told once. */
#define WORKER_BYTES 8192
#define HEAD_BYTES 8192

/* What one worker hands over. */
struct stats_part {
    struct stats stats;
    double busy_ratio;
    uint64_t memory_bytes;
    uint64_t cpu_ns;
    struct slowest slowest;
};

/* Of the ledger of copies. */
static const char *const page_words[CLASSES] = {"default", "volatile", "ack_copies"};
static const char *const kind_words[LISTENER_KINDS] = {"tcp", "web", "api"};

/* Time in turns since statistics were last asked for, at least a second ago. */
static double busy_ratio(struct worker *worker) {
    struct api_context *context = api_context(worker);
    uint64_t now_ns = worker->now_ns;
    if (context->busy_since_ns == 0)
        context->busy_since_ns = worker->server->started_ns;
    if (now_ns - context->busy_since_ns >= BUSY_NS) {
        uint64_t busy_ns = stats_get(&worker->stats.busy_ns);
        context->busy_ratio =
            (double)(busy_ns - context->busy_ns) / (double)(now_ns - context->busy_since_ns);
        if (context->busy_ratio > 1)
            context->busy_ratio = 1;
        context->busy_ns = busy_ns;
        context->busy_since_ns = now_ns;
    }
    return context->busy_ratio;
}

static bool stats_run(struct worker *worker, struct call *call, struct call_part *part) {
    if (!tally_work(worker))
        return false;
    keeper_safe_take(worker);
    part->blocks[0] = chunk_get(&worker->endpoint, sizeof(struct stats_part), call->reserve);
    part->failed = part->blocks[0] == NULL;
    if (SHORTAGE(part->failed))
        return true;
    struct stats_part *copy = memset(part->blocks[0]->text, 0, sizeof(*copy));
    stats_sum(&copy->stats, &worker->stats);
    copy->busy_ratio = busy_ratio(worker);
    copy->memory_bytes = worker->account.used_bytes;
    copy->cpu_ns = atomic_load_explicit(&worker->loop.cpu_ns, memory_order_relaxed);
    slowest_look(worker, &api_context(worker)->slowest, &copy->slowest);
    return true;
}

/* --- sums ------------------------------------------------------------------------------------- */

static uint64_t sum(const _Atomic uint64_t *list, size_t count) {
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++)
        total += stats_get(&list[i]);
    return total;
}

static uint64_t results(const struct stats *stats, enum result_word word) {
    uint64_t total = 0;
    for (unsigned class = 0; class < RESULT_CLASSES; class ++)
        total += stats_get(&stats->results[class][word]);
    return total;
}

/* Those that were taken, or would have been if somebody had been there for them. */
static uint64_t accepted(const struct stats *stats) {
    static const enum result_word words[] = {RESULT_QUEUED, RESULT_DROPPED, RESULT_STORED,
                                             RESULT_ACKED,  RESULT_PENDING, RESULT_EXPIRED};
    uint64_t total = 0;
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        total += results(stats, words[i]);
    return total;
}

static uint64_t refused(const struct stats *stats) {
    uint64_t total = 0;
    for (unsigned word = RESULT_REFUSALS; word < RESULT_COUNT; word++)
        total += results(stats, (enum result_word)word);
    return total;
}

static uint64_t dropped(const struct stats *stats) {
    uint64_t total = 0;
    for (unsigned class = 0; class < CLASSES; class ++)
        total += sum(stats->copies_dropped[class], DROP_REASON_COUNT);
    return total;
}

/* --- the object ------------------------------------------------------------------------------- */

/* What stands in the totals and for each worker. */
static void counts_write(struct builder *out, const struct stats *stats) {
    json_key_u64(out, "connections", stats_get(&stats->connections));
    json_key_u64(out, "sessions", stats_get(&stats->sessions));
    json_key_u64(out, "names", stats_get(&stats->names));
    json_key_u64(out, "memberships", stats_get(&stats->memberships));
    json_key_u64(out, "accepted", accepted(stats));
    json_key_u64(out, "absent", results(stats, RESULT_ABSENT));
    json_key_u64(out, "duplicates", results(stats, RESULT_DUPLICATE));
    json_key_u64(out, "refused", refused(stats));
    json_key_u64(out, "delivered", sum(stats->copies_sent, CLASSES));
    json_key_u64(out, "dropped", dropped(stats));
    json_key_u64(out, "waiting", sum(stats->copies_waiting, CLASSES));
    json_key_u64(out, "closed", sum(stats->closed, CLOSE_REASON_COUNT));
    json_key_u64(out, "connections_refused", sum(stats->refused, REFUSE_REASON_COUNT));
    json_key_u64(out, "mails", sum(stats->mails, sizeof stats->mails / sizeof *stats->mails));
    json_key_u64(out, "unicasts", stats_get(&stats->unicasts));
    json_key_u64(out, "unicast_mails", stats_get(&stats->unicast_mails));
    json_key_u64(out, "http_requests", stats_get(&stats->http_requests));
    json_key_u64(out, "http_errors", stats_get(&stats->http_errors));
    json_key_u64(out, "outbox_bytes", stats_get(&stats->outbox_bytes));
    json_key_u64(out, "ack_pending", stats_get(&stats->acks_pending));
    json_key_u64(out, "redelivered", stats_get(&stats->redelivered));
}

static void ack_ledger_write(struct builder *out, const struct stats *stats) {
    json_key(out, "ack");
    builder_byte(out, '{');
    json_key_u64(out, "accepted", stats_get(&stats->acks_accepted));
    json_key_u64(out, "acked", stats_get(&stats->acks_acked));
    json_key_u64(out, "expired", stats_get(&stats->acks_expired));
    json_key_u64(out, "pending", stats_get(&stats->acks_pending));
    json_key(out, "dropped");
    builder_byte(out, '{');
    for (unsigned reason = FATE_REASON_NONE + 1; reason < FATE_REASON_COUNT; reason++)
        json_key_u64(out, fate_reason_word((enum fate_reason)reason),
                     stats_get(&stats->acks_dropped[reason]));
    builder_text(out, "}}");
}

static void ledger_write(struct builder *out, const struct stats *stats) {
    json_key(out, "ledger");
    builder_byte(out, '{');
    ack_ledger_write(out, stats);
    for (unsigned class = 0; class < CLASSES; class ++) {
        json_key(out, page_words[class]);
        builder_byte(out, '{');
        json_key_u64(out, "made", stats_get(&stats->copies[class]));
        json_key_u64(out, "sent", stats_get(&stats->copies_sent[class]));
        json_key_u64(out, "waiting", stats_get(&stats->copies_waiting[class]));
        json_key(out, "dropped");
        builder_byte(out, '{');
        for (unsigned reason = 0; reason < DROP_REASON_COUNT; reason++)
            json_key_u64(out, drop_reason_word((enum drop_reason)reason),
                         stats_get(&stats->copies_dropped[class][reason]));
        builder_text(out, "}}");
    }
    builder_byte(out, '}');
}

static void closed_write(struct builder *out, const struct stats *stats) {
    json_key(out, "closed_by_reason");
    builder_byte(out, '{');
    for (unsigned reason = CLOSE_NONE + 1; reason < CLOSE_REASON_COUNT; reason++)
        json_key_u64(out, close_reason_word((enum close_reason)reason),
                     stats_get(&stats->closed[reason]));
    builder_byte(out, '}');
}

static void worker_write(struct chain *chain, const struct config *config, unsigned index,
                         const struct stats_part *part) {
    if (SHORTAGE(!chain_room(chain, WORKER_BYTES)))
        return;
    struct builder *out = &chain->out;
    json_comma(out);
    builder_byte(out, '{');
    json_key_u64(out, "worker", index);
    json_key(out, "cpu");
    if (config->cpus[index] >= 0)
        builder_u64(out, (uint64_t)config->cpus[index]);
    else
        builder_text(out, "null");
    counts_write(out, &part->stats);
    json_key_u64(out, "memory_bytes", part->memory_bytes);
    json_key_u64(out, "requests_in_flight", stats_get(&part->stats.requests));
    json_key_u64(out, "turns", stats_get(&part->stats.turns));
    json_key(out, "busy_ratio");
    builder_format(out, "%.4f", part->busy_ratio);
    json_key(out, "cpu_s");
    builder_format(out, "%.3f", (double)part->cpu_ns / (double)NS_PER_S);
    json_key(out, "ack_oldest_s");
    builder_format(out, "%.1f", (double)stats_get(&part->stats.acks_oldest_ns) / (double)NS_PER_S);
    ledger_write(out, &part->stats);
    builder_byte(out, '}');
}

/* The servers that the port to other nodes speaks to, and the end of its object. */
static bool servers_write(struct chain *chain, struct port *herald) {
    struct builder *out = &chain->out;
    struct port_server servers[4];
    unsigned from = 0, count = 0;
    json_key(out, "servers");
    builder_byte(out, '[');
    do {
        if (SHORTAGE(!chain_room(chain, (sizeof(servers) / sizeof(servers[0])) *
                                            (builder_json_max(PORT_SERVER_BYTES) + 96))))
            return false;
        if (herald->type->servers != NULL)
            count = herald->type->servers(herald, from, servers, 4);
        for (unsigned i = 0; i < count; i++) {
            json_comma(out);
            builder_byte(out, '{');
            json_key_text(out, "server", span_text(servers[i].text));
            json_key(out, "connected");
            builder_text(out, servers[i].connected ? "true" : "false");
            json_key_u64(out, "lost_total", servers[i].lost);
            builder_byte(out, '}');
        }
        from += count;
    } while (count == 4);
    builder_text(out, "]}");
    return true;
}

/* What the port to other nodes tells, without what has labels; null where there is none. */
static bool redis_write(struct chain *chain, const struct server *server) {
    struct port *herald = server->parts.herald;
    struct builder *out = &chain->out;
    size_t bytes = 64 + (herald == NULL ? 0 : herald->figure_count * (size_t)96);
    if (SHORTAGE(!chain_room(chain, bytes)))
        return false;
    builder_text(out, ",\"redis\":");
    if (herald == NULL) {
        builder_text(out, "null");
        return true;
    }
    builder_byte(out, '{');
    size_t skip =
        strlen(herald->type->name) + 1; /* metrics begin with it, and so does this object */
    for (unsigned i = 0; i < herald->figure_count; i++) {
        const struct port_figure *figure = &herald->figures[i];
        if (figure->label == NULL)
            json_key_u64(out, figure->metric + skip,
                         atomic_load_explicit(figure->value, memory_order_relaxed));
    }
    return servers_write(chain, herald);
}

#define BOOK_BYTES (256 + builder_json_max(255))

static void book_write(struct builder *out, const struct port_book *book, bool first) {
    builder_text(out, first ? "{" : ",{");
    json_key_text(out, "queue", span_text(book->queue));
    json_key_u64(out, "deliveries", book->deliveries);
    json_key_u64(out, "acknowledged", book->acknowledged);
    json_key_u64(out, "refused", book->refused);
    json_key_u64(out, "rejected", book->rejected);
    json_key_u64(out, "abandoned", book->abandoned);
    json_key_u64(out, "held", book->held);
    json_key_u64(out, "under_way", book->under_way);
    builder_byte(out, '}');
}

/* The books of queues, of which one port has some. */
static bool queues_write(struct chain *chain, const struct server *server) {
    struct port_book books[AMQP_QUEUES_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < server->parts.port_count && count == 0; i++) {
        struct port *port = server->parts.ports[i];
        if (port->type->books != NULL)
            count = port->type->books(port, 0, books, AMQP_QUEUES_MAX);
    }
    if (SHORTAGE(!chain_room(chain, 64 + count * BOOK_BYTES)))
        return false;
    builder_text(&chain->out, ",\"queues\":[");
    for (unsigned i = 0; i < count; i++)
        book_write(&chain->out, &books[i], i == 0);
    builder_byte(&chain->out, ']');
    return true;
}

static void peer_write(struct builder *out, struct span name, struct span run, bool self) {
    builder_text(out, self ? "{" : ",{");
    json_key_text(out, "node", name);
    json_key_text(out, "run", run);
    builder_text(out, self ? ",\"self\":true}" : "}");
}

/* This node first. */
static bool nodes_write(struct chain *chain, const struct server *server,
                        const struct config *config) {
    struct port *herald = server->parts.herald;
    struct builder *out = &chain->out;
    struct port_node nodes[8];
    unsigned from = 0, count = 0;
    if (SHORTAGE(!chain_room(chain, 512)))
        return false;
    builder_text(out, ",\"nodes\":[");
    peer_write(out, span_text(config->node), span_text(server->run), true);
    do {
        if (herald != NULL && herald->type->nodes != NULL)
            count = herald->type->nodes(herald, from, nodes, 8);
        if (SHORTAGE(!chain_room(chain, 8 * 512)))
            return false;
        for (unsigned i = 0; i < count; i++)
            peer_write(out, span_text(nodes[i].name), span_text(nodes[i].run), false);
        from += count;
    } while (count == 8);
    builder_byte(out, ']');
    return true;
}

/* Connections are counted by kind; with several listeners of one kind that is the kind's sum. */
static void listeners_write(struct builder *out, const struct server *server,
                            const struct config *config, const struct stats *stats) {
    const uint64_t accepted[LISTENER_KINDS] = {stats_get(&stats->accepted_tcp),
                                               stats_get(&stats->accepted_web),
                                               stats_get(&stats->accepted_api)};
    json_key(out, "listeners");
    builder_byte(out, '[');
    for (unsigned i = 0; i < config->listener_count; i++) {
        enum listener_kind kind = config->listeners[i].kind;
        json_comma(out);
        builder_byte(out, '{');
        json_key_text(out, "kind", span_text(kind_words[kind]));
        json_key_text(out, "address", span_text(server->listen_text[i]));
        json_key_u64(out, "accepted", accepted[kind]);
        builder_byte(out, '}');
    }
    builder_byte(out, ']');
}

static void node_write(struct builder *out, const struct worker *worker) {
    const struct server *server = worker->server;
    json_key_text(out, "node", span_text(worker->config->node));
    json_key_text(out, "run", span_text(server->run));
    json_key_text(out, "version", span_text(api_version()));
    json_key(out, "uptime_s");
    builder_format(out, "%.3f", (double)(worker->now_ns - server->started_ns) / (double)NS_PER_S);
    json_key(out, "draining");
    builder_text(out, server_phase(server) > PHASE_RUNNING ? "true" : "false");
}

static const struct stats_part *part_of(const struct call *call, unsigned index) {
    return (const struct stats_part *)(const void *)call->parts[index].blocks[0]->text;
}

static void object_write(struct worker *worker, const struct call *call, struct stats *total,
                         struct chain *chain) {
    const struct server *server = worker->server;
    struct builder *out = &chain->out;
    uint64_t memory_bytes = 0;
    struct slowest slowest = {.count = 0};
    for (unsigned i = 0; i < server->worker_count; i++) {
        stats_sum(total, &part_of(call, i)->stats);
        slowest_merge(&slowest, &part_of(call, i)->slowest);
        memory_bytes += part_of(call, i)->memory_bytes;
    }
    for (unsigned i = server->worker_count; i < server->post.endpoints; i++) {
        const struct stats *port = &server->endpoints[i]->stats;
        stats_sum(total, port);
        memory_bytes += stats_get(&port->memory_bytes);
    }
    builder_byte(out, '{');
    node_write(out, worker);
    json_key(out, "totals");
    builder_byte(out, '{');
    counts_write(out, total);
    json_key_u64(out, "memory_bytes", memory_bytes);
    json_key_u64(out, "memory_granted_bytes",
                 atomic_load_explicit(&server->budget.granted_bytes, memory_order_relaxed));
    json_key_u64(out, "memory_ceiling_bytes", server->budget.ceiling_bytes);
    json_key_u64(out, "connections_max", worker->config->max_connections);
    closed_write(out, total);
    builder_byte(out, '}');
    json_key(out, "workers");
    builder_byte(out, '[');
    for (unsigned i = 0; i < server->worker_count; i++)
        worker_write(chain, worker->config, i, part_of(call, i));
    if (SHORTAGE(!chain_room(chain, HEAD_BYTES + SLOWEST_BYTES)))
        return;
    builder_byte(out, ']');
    listeners_write(out, server, worker->config, total);
    json_key(out, "slowest");
    slowest_write(out, &slowest);
    ledger_write(out, total);
    if (redis_write(chain, server) && queues_write(chain, server) &&
        nodes_write(chain, server, worker->config))
        builder_byte(out, '}');
}

static bool stats_finish(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    struct chain chain = chain_empty(&worker->endpoint, true);
    struct stats *total = &api_context(worker)->total;
    memset(total, 0, sizeof(*total));
    if (api_call_failed(call) || SHORTAGE(!chain_room(&chain, HEAD_BYTES)))
        chain.failed = true;
    else
        object_write(worker, call, total, &chain);
    api_answer_chain(worker, exchange, NULL, &chain);
    api_call_end(worker, http);
    return true;
}

void api_get_stats(struct worker *worker, struct http_exchange *exchange,
                   const struct route_request *request) {
    if (!exchange_query_empty(worker, exchange, request))
        return;
    struct call *call = api_call_get(worker, exchange, NULL, true);
    if (SHORTAGE(call == NULL))
        return;
    call->run = stats_run;
    call->finish = stats_finish;
    api_look_up_start(worker, call);
}
