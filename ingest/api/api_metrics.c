/* api_metrics.c - GET /metrics: Prometheus text 0.0.4; see api.h.
 *
 * Counters are read while the workers count, so metrics of different workers are not of one
 * moment; GET /v1/stats asks each worker for a copy that balances. Names come from the lists of
 * core/stats.h. Both are told also when the memory is full (core/chain.h). */
#include "core/base/log.h"
#include "core/sandbox.h"
#include "core/server.h"
#include "core/worker.h"
#include "ingest/api/api.h"
#include "ingest/api/process.h"

#include <stddef.h>
#include <stdio.h>

#define LINE_BYTES 256

static const char *const class_words[RESULT_CLASSES] = {"default", "volatile", "ack", "unknown"};
/* Of the ledger of copies; `ack` are messages there, by client id. */
static const char *const page_words[CLASSES] = {"default", "volatile", "ack_copies"};

static const char *const listener_words[LISTENER_KINDS] = {
    [LISTENER_TCP] = "tcp", [LISTENER_WEB] = "web", [LISTENER_API] = "api"};

/* `# HELP` and `# TYPE`. */
static void family(struct chain *chain, const char *name, const char *type, const char *help) {
    if (chain_room(chain, 2 * LINE_BYTES))
        builder_format(&chain->out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* `labels` is empty or `{…}`. */
static void sample(struct chain *chain, const char *name, const char *labels, uint64_t value) {
    if (chain_room(chain, LINE_BYTES))
        builder_format(&chain->out, "%s%s %llu\n", name, labels, (unsigned long long)value);
}

static void single(struct chain *chain, const char *name, const char *type, const char *help,
                   uint64_t value) {
    family(chain, name, type, help);
    sample(chain, name, "", value);
}

static void single_real(struct chain *chain, const char *name, const char *type, const char *help,
                        double value) {
    family(chain, name, type, help);
    if (chain_room(chain, LINE_BYTES))
        builder_format(&chain->out, "%s %.3f\n", name, value);
}

/* --- what each worker counts ------------------------------------------------------------------ */

struct worker_metric {
    const char *name;
    const char *type;
    const char *help;
    size_t offset; /* in struct stats */
};

static const struct worker_metric worker_metrics[] = {
#define METRIC_COUNTER(member, name, help)                                                         \
    {"ringpost_" name, "counter", help, offsetof(struct stats, member)},
#define METRIC_GAUGE(member, name, help)                                                           \
    {"ringpost_" name, "gauge", help, offsetof(struct stats, member)},
    STATS_COUNTERS(METRIC_COUNTER) STATS_GAUGES(METRIC_GAUGE)
#undef METRIC_COUNTER
#undef METRIC_GAUGE
};

static const struct stats *stats_of(const struct server *server, unsigned index) {
    return &server->workers[index].stats;
}

static uint64_t member_of(const struct stats *stats, size_t offset) {
    return stats_get((const _Atomic uint64_t *)(const void *)((const char *)stats + offset));
}

/* A number of nanoseconds in struct worker, as seconds. */
static void times_write(struct chain *chain, const struct server *server, const char *name,
                        const char *type, const char *help, size_t offset) {
    family(chain, name, type, help);
    for (unsigned w = 0; w < server->worker_count; w++) {
        const char *worker = (const char *)&server->workers[w];
        uint64_t ns = stats_get((const _Atomic uint64_t *)(const void *)(worker + offset));
        if (chain_room(chain, LINE_BYTES))
            builder_format(&chain->out, "%s{worker=\"%u\"} %.6f\n", name, w,
                           (double)ns / (double)NS_PER_S);
    }
}

static void workers_write(struct chain *chain, const struct server *server) {
    char labels[32];
    for (size_t i = 0; i < sizeof worker_metrics / sizeof *worker_metrics; i++) {
        const struct worker_metric *metric = &worker_metrics[i];
        family(chain, metric->name, metric->type, metric->help);
        for (unsigned w = 0; w < server->worker_count; w++) {
            snprintf(labels, sizeof labels, "{worker=\"%u\"}", w);
            sample(chain, metric->name, labels, member_of(stats_of(server, w), metric->offset));
        }
    }
#define TIMES_WRITE(member, name, type, help)                                                      \
    times_write(chain, server, "ringpost_" name, type, help,                                       \
                offsetof(struct worker, stats) + offsetof(struct stats, member));
    STATS_SECONDS(TIMES_WRITE)
#undef TIMES_WRITE
    times_write(chain, server, "ringpost_worker_cpu_seconds_total", "counter",
                "CPU time of the worker", offsetof(struct worker, loop.cpu_ns));
    times_write(chain, server, "ringpost_turn_longest_seconds", "gauge",
                "CPU time of the longest turn since the start",
                offsetof(struct worker, loop.turn_longest_cpu_ns));
    times_write(chain, server, "ringpost_turn_longest_wall_seconds", "gauge",
                "the longest turn by the clock, with the time that others had the CPU",
                offsetof(struct worker, loop.turn_longest_ns));
}

/* --- sums over the workers, by reason --------------------------------------------------------- */

static void encoded_write(struct chain *chain, const struct server *server,
                          const struct stats *total) {
    char labels[64];
    family(chain, "ringpost_forms_encoded_total", "counter",
           "messages encoded, once for all sessions of a worker that take them so");
    for (unsigned i = 0; i < ENCODINGS_MAX && server->parts.encodings[i] != NULL; i++) {
        snprintf(labels, sizeof labels, "{form=\"%s\"}", server->parts.encodings[i]->name);
        sample(chain, "ringpost_forms_encoded_total", labels, stats_get(&total->encoded[i]));
    }
}

static void reasons_write(struct chain *chain, const struct stats *total) {
    char labels[96];
    family(chain, "ringpost_closed_total", "counter", "connections that ended, by reason");
    for (unsigned i = CLOSE_NONE + 1; i < CLOSE_REASON_COUNT; i++) {
        snprintf(labels, sizeof labels, "{reason=\"%s\"}", close_reason_word((enum close_reason)i));
        sample(chain, "ringpost_closed_total", labels, stats_get(&total->closed[i]));
    }
    family(chain, "ringpost_refused_total", "counter",
           "connections refused before they were served, by reason");
    for (unsigned i = 0; i < REFUSE_REASON_COUNT; i++) {
        snprintf(labels, sizeof labels, "{reason=\"%s\"}",
                 refuse_reason_word((enum refuse_reason)i));
        sample(chain, "ringpost_refused_total", labels, stats_get(&total->refused[i]));
    }
    family(chain, "ringpost_socketio_connects_refused_total", "counter",
           "clients of Socket.IO that were not let into a namespace, by reason");
    for (unsigned i = 0; i < CONNECT_REFUSAL_COUNT; i++) {
        snprintf(labels, sizeof labels, "{reason=\"%s\"}",
                 connect_refusal_word((enum connect_refusal)i));
        sample(chain, "ringpost_socketio_connects_refused_total", labels,
               stats_get(&total->connects_refused[i]));
    }
    family(chain, "ringpost_auth_failures_total", "counter",
           "requests with a wrong key, by listener");
    for (unsigned i = 0; i < LISTENER_KINDS; i++) {
        snprintf(labels, sizeof labels, "{listener=\"%s\"}", listener_words[i]);
        sample(chain, "ringpost_auth_failures_total", labels, stats_get(&total->auth_failures[i]));
    }
    family(chain, "ringpost_mails_total", "counter", "mails between workers, by kind");
    for (unsigned i = MAIL_INVALID + 1; i < MAIL_KIND_COUNT; i++) {
        snprintf(labels, sizeof labels, "{kind=\"%s\"}", mail_name(i));
        sample(chain, "ringpost_mails_total", labels, stats_get(&total->mails[i]));
    }
    family(chain, "ringpost_messages_total", "counter",
           "messages asked for, by class and state or error code; a request that is refused before "
           "its messages are known counts one of class unknown");
    for (unsigned class = 0; class < RESULT_CLASSES; class ++) {
        for (unsigned i = 0; i < RESULT_COUNT; i++) {
            snprintf(labels, sizeof labels, "{class=\"%s\",result=\"%s\"}", class_words[class],
                     result_text((enum result_word)i));
            sample(chain, "ringpost_messages_total", labels, stats_get(&total->results[class][i]));
        }
    }
}

static void entry_write(struct chain *chain, const char *class, const char *fate,
                        const char *reason, uint64_t value) {
    char labels[128];
    snprintf(labels, sizeof labels, "{class=\"%s\",fate=\"%s\",reason=\"%s\"}", class, fate,
             reason);
    sample(chain, "ringpost_ledger", labels, value);
}

/* Not a counter: what waits comes and goes. */
static void ledger_write(struct chain *chain, const struct stats *total) {
    family(
        chain, "ringpost_ledger", "gauge",
        "copies of messages for sessions: made = sent + waiting + dropped; of class ack messages "
        "for client ids: accepted = acked + expired + dropped + pending");
    for (unsigned class = 0; class < CLASSES; class ++) {
        const char *page = page_words[class];
        entry_write(chain, page, "made", "", stats_get(&total->copies[class]));
        entry_write(chain, page, "sent", "", stats_get(&total->copies_sent[class]));
        entry_write(chain, page, "waiting", "", stats_get(&total->copies_waiting[class]));
        for (unsigned i = 0; i < DROP_REASON_COUNT; i++)
            entry_write(chain, page, "dropped", drop_reason_word((enum drop_reason)i),
                        stats_get(&total->copies_dropped[class][i]));
    }
    entry_write(chain, "ack", "accepted", "", stats_get(&total->acks_accepted));
    entry_write(chain, "ack", "acked", "", stats_get(&total->acks_acked));
    entry_write(chain, "ack", "expired", "", stats_get(&total->acks_expired));
    entry_write(chain, "ack", "pending", "", stats_get(&total->acks_pending));
    for (unsigned i = FATE_REASON_NONE + 1; i < FATE_REASON_COUNT; i++)
        entry_write(chain, "ack", "dropped", fate_reason_word((enum fate_reason)i),
                    stats_get(&total->acks_dropped[i]));
}

/* --- how long messages take ------------------------------------------------------------------- */

static void delays_write(struct chain *chain, const struct stats *total) {
#define DELAY_TEXT(ms, text) text,
    static const char *const bounds[DELAY_BUCKETS] = {DELAY_BOUNDS(DELAY_TEXT) "+Inf"};
#undef DELAY_TEXT
    char labels[64];
    family(chain, "ringpost_delivery_seconds", "histogram",
           "copies of messages, by the time from acceptance until the kernel had taken them");
    for (unsigned class = 0; class < CLASSES; class ++) {
        uint64_t count = 0;
        for (unsigned i = 0; i < DELAY_BUCKETS; i++) {
            count += stats_get(&total->delays[class][i]);
            snprintf(labels, sizeof labels, "{class=\"%s\",le=\"%s\"}", class_words[class],
                     bounds[i]);
            sample(chain, "ringpost_delivery_seconds_bucket", labels, count);
        }
        snprintf(labels, sizeof labels, "{class=\"%s\"}", class_words[class]);
        if (chain_room(chain, LINE_BYTES))
            builder_format(&chain->out, "ringpost_delivery_seconds_sum%s %.6f\n", labels,
                           (double)stats_get(&total->delay_ns[class]) / (double)NS_PER_S);
        sample(chain, "ringpost_delivery_seconds_count", labels, count);
    }
}

/* --- the node and its process ----------------------------------------------------------------- */

static void node_write(struct chain *chain, struct worker *worker) {
    struct server *server = worker->server;
    family(chain, "ringpost_build_info", "gauge", "the version, as a label");
    if (chain_room(chain, LINE_BYTES))
        builder_format(&chain->out, "ringpost_build_info{version=\"%s\",node=\"%s\"} 1\n",
                       api_version(), worker->config->node);
    single(chain, "ringpost_draining", "gauge", "1 while the node drains",
           server_phase(server) > PHASE_RUNNING);
    single(chain, "ringpost_connections_max", "gauge",
           "--max-connections: the node is full when the sum of ringpost_connections is there",
           worker->config->max_connections);
    single(chain, "ringpost_memory_ceiling_bytes", "gauge", "--memory",
           server->budget.ceiling_bytes);
    single(chain, "ringpost_memory_granted_bytes", "gauge",
           "what the workers have taken of it, with their reserve",
           atomic_load_explicit(&server->budget.granted_bytes, memory_order_relaxed));
    single(chain, "ringpost_answer_memory_bytes", "gauge",
           "memory of calls and their answers, which may take a quarter of --memory",
           quota_used(&server->answers));
    single(chain, "ringpost_answer_reserve_bytes", "gauge",
           "the same beyond --memory, for statistics and metrics: 1 MiB at the most",
           quota_used(&server->reserve));
    single(chain, "ringpost_dedup_ids", "gauge", "message ids that are remembered",
           dedup_count(&gate_of(&worker->endpoint)->dedup));
    single(chain, "ringpost_fates", "gauge",
           "messages with ack that are not settled, or remembered", fates_count(&server->fates));
    single(chain, "ringpost_fates_forgotten_total", "counter",
           "settled fates forgotten before their window ended",
           atomic_load_explicit(&server->fates.forgotten, memory_order_relaxed));
    single(chain, "ringpost_fates_ids_forgotten_total", "counter",
           "ids of settled messages with ack forgotten before their window ended",
           atomic_load_explicit(&server->fates.ids_forgotten, memory_order_relaxed));
    single(chain, "ringpost_log_lines_dropped_total", "counter",
           "log lines lost because nobody took them in time", log_dropped());
    single(chain, "ringpost_sandbox_refused_total", "counter",
           "system calls that --sandbox refused; each is a bug or an attack", sandbox_refused());
}

static void syncs_write(struct chain *chain, const struct store_figures *figures) {
#define SYNC_TEXT(us, text) text,
    static const char *const bounds[SYNC_BUCKETS] = {SYNC_BOUNDS(SYNC_TEXT) "+Inf"};
#undef SYNC_TEXT
    char labels[64];
    uint64_t count = 0;
    family(chain, "ringpost_store_sync_seconds", "histogram",
           "syncs of the store, by the time that the disk took");
    for (unsigned i = 0; i < SYNC_BUCKETS; i++) {
        count += stats_get(&figures->sync_buckets[i]);
        snprintf(labels, sizeof labels, "{le=\"%s\"}", bounds[i]);
        sample(chain, "ringpost_store_sync_seconds_bucket", labels, count);
    }
    if (chain_room(chain, LINE_BYTES))
        builder_format(&chain->out, "ringpost_store_sync_seconds_sum %.6f\n",
                       (double)stats_get(&figures->sync_ns) / (double)NS_PER_S);
    sample(chain, "ringpost_store_sync_seconds_count", "", count);
}

static void ports_write(struct chain *chain, const struct server *server) {
    for (unsigned i = 0; i < server->parts.port_count; i++) {
        const struct port *port = server->parts.ports[i];
        const char *before = "";
        for (unsigned j = 0; j < port->figure_count; j++) {
            const struct port_figure *figure = &port->figures[j];
            char name[64];
            uint64_t value = atomic_load_explicit(figure->value, memory_order_relaxed);
            snprintf(name, sizeof name, "ringpost_%s", figure->metric);
            if (strcmp(before, figure->metric) != 0)
                family(chain, name, figure->kind, figure->help);
            if (figure->label == NULL)
                sample(chain, name, "", value);
            else if (chain_room(chain, LINE_BYTES + strlen(figure->label)))
                builder_format(&chain->out, "%s{%s} %llu\n", name, figure->label,
                               (unsigned long long)value);
            before = figure->metric;
        }
    }
}

static void store_write(struct chain *chain, const struct worker *worker) {
    const struct store *store = worker->server->parts.store;
    if (store == NULL)
        return;
    const struct store_figures *figures = &store->figures;
    single(chain, "ringpost_store_unavailable", "gauge",
           "1 while the store takes no message with ack",
           !store_is_available(store, worker->now_ns));
#define COUNTER_WRITE(member, name, help)                                                          \
    single(chain, "ringpost_store_" name, "counter", help, stats_get(&figures->member));
#define GAUGE_WRITE(member, name, help)                                                            \
    single(chain, "ringpost_store_" name, "gauge", help, stats_get(&figures->member));
    STORE_COUNTERS(COUNTER_WRITE)
    STORE_GAUGES(GAUGE_WRITE)
#undef COUNTER_WRITE
#undef GAUGE_WRITE
    syncs_write(chain, figures);
    single_real(chain, "ringpost_store_sync_longest_seconds", "gauge", "the longest sync so far",
                (double)stats_get(&figures->sync_longest_ns) / (double)NS_PER_S);
}

static void process_write(struct chain *chain, const struct worker *worker) {
    struct process_sample process;
    process_sample_get(&process, worker->now_ns,
                       atomic_load_explicit(&worker->server->connections, memory_order_relaxed));
    single_real(chain, "process_cpu_seconds_total", "counter", "CPU time, user and system",
                process.cpu_s);
    single(chain, "process_resident_memory_bytes", "gauge", "resident memory",
           process.resident_bytes);
    single(chain, "process_open_fds", "gauge",
           "open descriptors; reckoned from the connections when there are over a thousand",
           process.open_fds);
    single(chain, "process_max_fds", "gauge", "how many there may be", process.max_fds);
    single_real(chain, "process_start_time_seconds", "gauge", "start, in seconds since 1970",
                (double)worker->server->started_wall_ms / 1000);
}

void api_get_metrics(struct worker *worker, struct http_exchange *exchange,
                     const struct route_request *request) {
    if (!exchange_query_empty(worker, exchange, request))
        return;
    struct chain chain = chain_empty(&worker->endpoint, true);
    struct stats *total = &api_context(worker)->total;
    memset(total, 0, sizeof(*total));
    for (unsigned i = 0; i < worker->server->post.endpoints; i++)
        stats_sum(total, &worker->server->endpoints[i]->stats);
    node_write(&chain, worker);
    store_write(&chain, worker);
    ports_write(&chain, worker->server);
    process_write(&chain, worker);
    reasons_write(&chain, total);
    encoded_write(&chain, worker->server, total);
    ledger_write(&chain, total);
    delays_write(&chain, total);
    workers_write(&chain, worker->server);
    api_answer_chain(worker, exchange, HTTP_TYPE_METRICS, &chain);
}
