#include "ingest/gate/gate.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"
#include "ingest/gate/client_send.h"
#include "ingest/gate/envelope.h"

/* The table is swept of what is past its window in portions, at most so often. */
#define SWEEP_NS (1 * NS_PER_S)
#define SWEEP_SOON_NS (10 * NS_PER_MS)
#define SWEEP_ENTRIES 512
/* How often memory is made for one id by forgetting others, before its message is refused. */
#define RELIEF_TRIES 4

/* What the answer to a message may take: it is charged before the message is taken, so that it has
 * room when it is made. */
#define ANSWER_BYTES 512

/* One message between gate_publish and its result. */
struct pending_publish {
    struct dedup_claim claim;
    struct publish *publish;
    struct gate_source *source;
    void *request;
    struct message *message; /* while the claim waits */
    uint32_t index;
    uint16_t share; /* its place */
    bool claimed;   /* it is the first with its id */
    uint8_t class;
    uint8_t id_len;
    char id[MESSAGE_ID_BYTES_MAX];
};

struct gate *gate_of(const struct endpoint *endpoint) {
    return endpoint->server->ingest;
}

static struct gate_context *context_of(const struct endpoint *endpoint) {
    return &gate_of(endpoint)->contexts[endpoint->index];
}

static void ids_forgotten(struct endpoint *endpoint, uint32_t count) {
    if (count != 0)
        stats_add(&endpoint->stats.dedup_forgotten, count);
}

void gate_source_init(struct gate_source *source, struct connection *connection, gate_done *done,
                      struct gate_rate *rate) {
    *source = (struct gate_source){.connection = connection, .done = done, .rate = rate};
    if (connection != NULL)
        connection->intake = &source->intake;
}

/* --- producers ------------------------------------------------------------------------------- */

uint64_t producer_of_key(unsigned place) {
    return 1 + (uint64_t)place;
}

/* Small numbers are keys'. */
static uint64_t producer_of_hash(uint64_t hash) {
    return hash > API_KEYS_MAX ? hash : hash + 1 + API_KEYS_MAX;
}

uint64_t producer_of_client(uint64_t name_hash) {
    return producer_of_hash(name_hash);
}

uint64_t producer_of_address(const struct peer_address *peer) {
    return producer_of_hash(hash64(span_of(peer->bytes, sizeof(peer->bytes))));
}

/* --- rates ----------------------------------------------------------------------------------- */

bool gate_rate_take(struct gate_rate *rate, double per_second, uint64_t now_ns,
                    uint64_t *retry_ns) {
    if (!(per_second > 0))
        return true;
    double each_ns = (double)NS_PER_S / per_second;
    uint64_t cost_ns = each_ns < 1 ? 1 : each_ns > 1e18 ? (uint64_t)1e18 : (uint64_t)each_ns;
    uint64_t burst_ns = cost_ns > NS_PER_S ? cost_ns : NS_PER_S;
    uint64_t used_until = atomic_load_explicit(&rate->used_until_ns, memory_order_relaxed);
    for (;;) {
        uint64_t next = (used_until > now_ns ? used_until : now_ns) + cost_ns;
        if (next - now_ns > burst_ns) {
            *retry_ns = next - now_ns - burst_ns;
            return false;
        }
        if (atomic_compare_exchange_weak_explicit(&rate->used_until_ns, &used_until, next,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
}

/* --- the end of a message -------------------------------------------------------------------- */

static struct gate_result result_of(enum result_word state) {
    struct gate_result result = {.state = state};
    switch (state) {
    case RESULT_QUEUED:
    case RESULT_DROPPED:
        result.status = 202;
        break;
    case RESULT_ABSENT:
        result.status = 404;
        break;
    case RESULT_DUPLICATE:
        result.status = 200;
        break;
    case RESULT_ID_REUSED:
        result.code = CODE_ID_REUSED;
        result.message = "this id was used for another message not long ago";
        result.field = "id";
        break;
    case RESULT_OVERLOADED:
        result.code = CODE_OVERLOADED;
        result.message = "the node's queues or its memory are full; nothing was taken, try again";
        result.retry_after_s = 1;
        break;
    case RESULT_DRAINING:
        result.code = CODE_DRAINING;
        result.message = "the node is going; nothing was taken, try another node";
        result.retry_after_s = 1;
        break;
    case RESULT_RATE_LIMITED:
        result.code = CODE_RATE_LIMITED;
        result.message = "over --rate-limit messages a second; nothing was taken";
        break;
    default: /* gate_result_bad */
        break;
    }
    if (result.code != CODE_NONE)
        result.status = (uint16_t)code_status(result.code);
    return result;
}

void gate_result_bad(struct gate_result *result, const struct complaint *complaint) {
    *result = result_of(result_find(code_word(complaint->code)));
    result->code = complaint->code;
    result->status = (uint16_t)code_status(complaint->code);
    result->message = complaint->text;
    result->field = complaint->field[0] != '\0' ? complaint->field : NULL;
    result->offset = complaint->offset;
}

static void result_tell(struct endpoint *endpoint, const struct gate_request *request,
                        struct gate_result *result) {
    const struct message_parts *parts = &request->envelope->parts;
    stats_add(&endpoint->stats.results[parts->class][result->state], 1);
    result->id = parts->id;
    request->source->done(endpoint, request->source, request->request, request->index, result);
}

static void refuse(struct endpoint *endpoint, const struct gate_request *request,
                   enum result_word state) {
    struct gate_result result = result_of(state);
    result_tell(endpoint, request, &result);
}

static void nudge(void *argument, unsigned index) {
    struct server *server = argument;
    atomic_store_explicit(&server->endpoints[index]->nudged, true, memory_order_release);
    net_wake(server->post.boxes[index].wake_fd);
}

/* Tells the result and lets go of the pending publish, but not of the publish. */
static void pending_finish(struct endpoint *endpoint, struct pending_publish *pending,
                           struct gate_result *result) {
    struct connection *connection = pending->source->connection;
    stats_add(&endpoint->stats.results[pending->class][result->state], 1);
    result->id = span_of(pending->id, pending->id_len);
    account_give(&endpoint->account, ANSWER_BYTES);
    pending->source->done(endpoint, pending->source, pending->request, pending->index, result);
    pool_put(&context_of(endpoint)->pendings, pending);
    if (connection != NULL)
        connection_publish_ended(worker_of(endpoint), connection);
}

static void sweep_arm(struct endpoint *endpoint, uint64_t due_ns) {
    struct timer *sweep = &context_of(endpoint)->sweep;
    if (!timer_armed(sweep))
        timer_arm(&endpoint->wheel, sweep, due_ns);
}

/* At the memory ceiling: ids give way to whatever is wanted. */
static bool on_memory_short(void *argument, struct account *account) {
    struct gate *gate = argument;
    struct endpoint *endpoint = container_of(account, struct endpoint, account);
    uint32_t forgotten = dedup_relieve(&gate->dedup, false);
    ids_forgotten(endpoint, forgotten);
    return !SHORTAGE(forgotten == 0);
}

static void on_sweep(struct endpoint *endpoint, struct timer *timer) {
    (void)timer;
    uint64_t next_ns = dedup_sweep(&gate_of(endpoint)->dedup, endpoint->now_ns, SWEEP_ENTRIES);
    if (next_ns == CLOCK_NEVER)
        return;
    bool behind = next_ns <= endpoint->now_ns;
    uint64_t soonest_ns = endpoint->now_ns + (behind ? SWEEP_SOON_NS : SWEEP_NS);
    sweep_arm(endpoint, next_ns > soonest_ns ? next_ns : soonest_ns);
}

/* A message was refused for want of room or because it would be late. Where even who asks for
 * little is, the shares of others must get by with their part. */
static void share_refused(struct endpoint *endpoint, enum standing standing) {
    if (endpoint->is_worker && standing != ASKS_MUCH)
        shares_press(&worker_of(endpoint)->admission.shares, endpoint->now_ns);
}

static void share_count(struct endpoint *endpoint, const struct pending_publish *pending,
                        enum result_word state, uint32_t recipients) {
    if (!endpoint->is_worker)
        return;
    shares_published(&worker_of(endpoint)->admission.shares, pending->share, recipients);
    if (state == RESULT_OVERLOADED)
        share_refused(endpoint, (enum standing)pending->publish->standing);
}

static void on_published(struct endpoint *endpoint, struct publish *publish, enum result_word state,
                         uint32_t recipients) {
    struct pending_publish *pending = publish->producer;
    if (pending->claimed) {
        struct dedup *dedup = &gate_of(endpoint)->dedup;
        bool took = state == RESULT_QUEUED;
        uint32_t forgotten =
            dedup_settle(dedup, &pending->claim, took, state, recipients, endpoint->now_ns);
        ids_forgotten(endpoint, forgotten);
        if (took)
            sweep_arm(endpoint, endpoint->now_ns + dedup->window_ns + SWEEP_NS);
    }
    share_count(endpoint, pending, state, recipients);
    struct gate_result result = result_of(state);
    result.recipients = recipients;
    pending_finish(endpoint, pending, &result);
}

/* Decided without being published itself. */
static void pending_settle(struct endpoint *endpoint, struct pending_publish *pending) {
    struct publish *publish = pending->publish;
    bool duplicate = pending->claim.verdict == DEDUP_DUPLICATE;
    struct gate_result result = result_of(duplicate ? RESULT_DUPLICATE : RESULT_ID_REUSED);
    if (duplicate) {
        result.first_state = (enum result_word)pending->claim.first_state;
        result.first_recipients = pending->claim.first_recipients;
    }
    pending_finish(endpoint, pending, &result);
    publish_put(endpoint, publish);
}

/* --- the beginning of a message -------------------------------------------------------------- */

static struct message *message_build(struct endpoint *endpoint, const struct envelope *envelope) {
    struct message *message = message_open(endpoint, &envelope->parts);
    if (SHORTAGE(message == NULL))
        return NULL;
    struct builder payload =
        builder_over(message_payload_room(message), envelope->parts.payload_max);
    envelope_payload(envelope, &payload);
    CHECK(!payload.full, "a payload is longer than it was said to be");
    message_seal(message, payload.len);
    return message;
}

static struct pending_publish *pending_get(struct endpoint *endpoint,
                                           const struct gate_request *request) {
    if (SHORTAGE(!account_take(&endpoint->account, ANSWER_BYTES))) {
        stats_add(&endpoint->stats.memory_refused, 1);
        return NULL;
    }
    struct pending_publish *pending = pool_get(&context_of(endpoint)->pendings);
    if (SHORTAGE(pending == NULL)) {
        stats_add(&endpoint->stats.memory_refused, 1);
        account_give(&endpoint->account, ANSWER_BYTES);
        return NULL;
    }
    const struct gate_source *source = request->source;
    struct publish *publish = publish_get(endpoint, source->standing);
    if (SHORTAGE(publish == NULL)) {
        share_refused(endpoint, source->standing);
        pool_put(&context_of(endpoint)->pendings, pending);
        account_give(&endpoint->account, ANSWER_BYTES);
        return NULL;
    }
    publish->done = on_published;
    publish->producer = pending;
    publish->standing = (uint8_t)source->standing;
    publish->prompt = source->standing != ASKS_MUCH && !request->in_batch;
    pending->publish = publish;
    pending->source = request->source;
    pending->share = source->intake.place;
    pending->request = request->request;
    pending->index = request->index;
    pending->message = NULL;
    pending->claimed = false;
    pending->class = request->envelope->parts.class;
    return pending;
}

static void pending_put(struct endpoint *endpoint, struct pending_publish *pending) {
    publish_put(endpoint, pending->publish);
    pool_put(&context_of(endpoint)->pendings, pending);
    account_give(&endpoint->account, ANSWER_BYTES);
}

/* Memory is short: ids that are remembered give way. False: there were none. */
static bool ids_relieve(struct endpoint *endpoint, const struct gate_request *request) {
    uint32_t forgotten = dedup_relieve(&gate_of(endpoint)->dedup, request->scope.len != 0);
    ids_forgotten(endpoint, forgotten);
    return !SHORTAGE(forgotten == 0);
}

/* The producer gave an id. True: the message is to be published now. */
static bool pending_claim(struct endpoint *endpoint, const struct gate_request *request,
                          struct pending_publish *pending, struct message *message) {
    struct hash128 content = envelope_digest(request->envelope, message_payload(message));
    /* Before the claim: once it waits it may be told at any time. */
    pending->message = message;
    enum dedup_verdict verdict;
    unsigned tries = 0;
    do {
        verdict =
            dedup_claim(&gate_of(endpoint)->dedup, endpoint->index, &pending->claim, request->scope,
                        request->envelope->parts.id, content, endpoint->now_ns);
        if (verdict != DEDUP_WAIT) /* one that waits may be another's by now */
            ids_forgotten(endpoint, pending->claim.forgotten);
    } while (verdict == DEDUP_NO_MEMORY && tries++ < RELIEF_TRIES &&
             ids_relieve(endpoint, request));
    if (verdict == DEDUP_WAIT)
        return false;
    pending->message = NULL;
    if (verdict == DEDUP_NEW) {
        pending->claimed = true;
        return true;
    }
    message_release(endpoint, message);
    if (SHORTAGE(verdict == DEDUP_NO_MEMORY)) {
        struct gate_result result = result_of(RESULT_OVERLOADED);
        struct publish *publish = pending->publish;
        stats_add(&endpoint->stats.memory_refused, 1);
        pending_finish(endpoint, pending, &result);
        publish_put(endpoint, publish);
    } else {
        pending_settle(endpoint, pending);
    }
    return false;
}

bool gate_admit(struct worker *worker, struct gate_source *source) {
    const struct mailbox *box = &worker->server->post.boxes[worker->index];
    uint64_t lag_ns = atomic_load_explicit(&box->late_ns, memory_order_relaxed);
    /* A node that is going says so instead. */
    if (server_phase(worker->server) >= PHASE_REFUSING ||
        admission_ask(&worker->admission, &source->intake, source->producer, lag_ns,
                      &source->standing))
        return true;
    uint64_t now_ns = clock_ns();
    admission_refused(&worker->admission, now_ns - worker->looked_ns);
    worker->looked_ns = now_ns;
    stats_set(&worker->stats.behind, 1);
    stats_add(&worker->stats.behind_refused, 1);
    return false;
}

/* May one more message pass, by its key, its client id, or its session? */
static bool rate_take(struct endpoint *endpoint, const struct gate_request *request,
                      uint64_t *retry_ns) {
    double per_second = endpoint->config->rate_limit;
    struct gate_rate *rate = request->source->rate;
    if (rate != NULL)
        return gate_rate_take(rate, per_second, endpoint->now_ns, retry_ns);
    return request->scope.len == 0 ||
           client_rates_take(&gate_of(endpoint)->client_rates, request->scope, per_second,
                             endpoint->now_ns, retry_ns);
}

void gate_publish(struct endpoint *endpoint, const struct gate_request *request) {
    struct gate_source *source = request->source;
    if (server_phase(endpoint->server) >= PHASE_REFUSING) {
        refuse(endpoint, request, RESULT_DRAINING);
        return;
    }
    uint64_t retry_ns = 0;
    if (SHORTAGE(!rate_take(endpoint, request, &retry_ns))) {
        struct gate_result result = result_of(RESULT_RATE_LIMITED);
        result.retry_after_s = (uint32_t)((retry_ns + NS_PER_S - 1) / NS_PER_S);
        result_tell(endpoint, request, &result);
        return;
    }
    struct pending_publish *pending = pending_get(endpoint, request);
    if (SHORTAGE(pending == NULL)) {
        refuse(endpoint, request, RESULT_OVERLOADED);
        return;
    }
    struct message *message = message_build(endpoint, request->envelope);
    if (SHORTAGE(message == NULL)) {
        stats_add(&endpoint->stats.memory_refused, 1);
        pending_put(endpoint, pending);
        refuse(endpoint, request, RESULT_OVERLOADED);
        return;
    }
    struct span id = message_id(message);
    memcpy(pending->id, id.at, id.len);
    pending->id_len = (uint8_t)id.len;
    if (source->connection != NULL)
        connection_publish_begun(source->connection);
    if (request->envelope->parts.id.len == 0 || pending_claim(endpoint, request, pending, message))
        hub_publish(endpoint, pending->publish, message);
}

void gate_on_nudged(struct endpoint *endpoint) {
    struct dedup_claim *claim;
    while ((claim = dedup_told(&gate_of(endpoint)->dedup, endpoint->index)) != NULL) {
        struct pending_publish *pending = container_of(claim, struct pending_publish, claim);
        struct message *message = pending->message;
        pending->message = NULL;
        if (claim->verdict == DEDUP_PROMOTED) {
            pending->claimed = true;
            hub_publish(endpoint, pending->publish, message);
        } else {
            message_release(endpoint, message);
            pending_settle(endpoint, pending);
        }
    }
}

/* --- the room -------------------------------------------------------------------------------- */

bool gate_init(struct gate *gate, struct server *server) {
    const struct config *config = server_config(server);
    dedup_init(&gate->dedup, &server->budget, config->dedup_max, config->dedup_window_ns, nudge,
               server);
    client_rates_init(&gate->client_rates);
    bool good = true;
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++) {
        struct gate_context *context = &gate->contexts[i];
        pool_init(&context->pendings, sizeof(struct pending_publish));
        pool_init(&context->sends, client_send_bytes());
        pool_init(&context->rooms, sizeof(*context->room));
        timer_init(&context->sweep, on_sweep);
        context->room = NULL;
        if (i < server->post.endpoints) {
            context->room = pool_get(&context->rooms);
            good = good && context->room != NULL;
        }
    }
    if (!good) {
        gate_fini(gate);
        return false;
    }
    server->ingest = gate;
    server->budget.relieve = on_memory_short;
    server->budget.relieve_argument = gate;
    return true;
}

void gate_fini(struct gate *gate) {
    for (unsigned i = 0; i < ENDPOINTS_MAX; i++) {
        struct gate_context *context = &gate->contexts[i];
        pool_fini(&context->pendings);
        pool_fini(&context->sends);
        if (context->room != NULL)
            pool_put(&context->rooms, context->room);
        pool_fini(&context->rooms);
    }
    client_rates_fini(&gate->client_rates);
    dedup_fini(&gate->dedup);
}
