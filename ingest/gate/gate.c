#include "ingest/gate/gate.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"
#include "ingest/gate/client_send.h"
#include "ingest/gate/envelope.h"
#include "ingest/gate/fate_text.h"

#include <stdio.h>

/* The table is swept of what is past its window in portions, at most so often. */
#define SWEEP_NS (1 * NS_PER_S)
#define SWEEP_SOON_NS (10 * NS_PER_MS)
#define SWEEP_ENTRIES 512
#define SWEEP_FATES 64 /* each is given back to the system */
/* How often memory is made for one id, or fate, by forgetting others, before its message is
 * refused. */
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
    struct fate *fate;       /* of one to be acknowledged, from hub_publish on; it is held */
    uint32_t answer_bytes;   /* charged */
    uint32_t index;
    uint16_t share; /* its place */
    bool claimed;   /* it is the first with its id */
    bool waits;     /* gate_request.waits */
    bool from_node; /* gate_request.from_node */
    uint8_t class;
    uint8_t id_len;
    uint8_t scope_len;
    char id[MESSAGE_ID_BYTES_MAX];
    char scope[DEDUP_SCOPE_BYTES_MAX]; /* of whoever pushed it */
};

struct gate *gate_of(const struct endpoint *endpoint) {
    return endpoint->server->ingest;
}

static struct gate_context *context_of(const struct endpoint *endpoint) {
    return &gate_of(endpoint)->contexts[endpoint->index];
}

static struct fates *fates_of(const struct endpoint *endpoint) {
    return &endpoint->server->fates;
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

/* --- the end of a message -------------------------------------------------------------------- */

static void result_tell(struct endpoint *endpoint, const struct gate_request *request,
                        struct gate_result *result) {
    const struct message_parts *parts = &request->envelope->parts;
    if (!request->from_node) /* it is counted where it was asked for */
        stats_add(&endpoint->stats.results[parts->class][result->state], 1);
    result->id = parts->id;
    request->source->done(endpoint, request->source, request->request, request->index, result);
}

static void refuse(struct endpoint *endpoint, const struct gate_request *request,
                   enum result_word state) {
    struct gate_result result = gate_result_of(state);
    result_tell(endpoint, request, &result);
}

/* Tells the result and lets go of the pending publish and its fate, but not of the publish. */
static void pending_finish(struct endpoint *endpoint, struct pending_publish *pending,
                           struct gate_result *result) {
    struct connection *connection = pending->source->connection;
    bool waits = pending->waits && result->fate != NULL && result->state != RESULT_DUPLICATE;
    if (!waits && !pending->from_node)
        stats_add(&endpoint->stats.results[pending->class][result->state], 1);
    result->id = span_of(pending->id, pending->id_len);
    account_give(&endpoint->account, pending->answer_bytes);
    pending->source->done(endpoint, pending->source, pending->request, pending->index, result);
    if (result->fate != NULL)
        fates_release(fates_of(endpoint), result->fate);
    pool_put(&context_of(endpoint)->pendings, pending);
    if (connection != NULL)
        connection_publish_ended(worker_of(endpoint), connection);
}

static void sweep_arm(struct endpoint *endpoint, uint64_t due_ns) {
    struct timer *sweep = &context_of(endpoint)->sweep;
    if (!timer_armed(sweep) || due_ns < timer_due_ns(sweep))
        timer_arm(&endpoint->wheel, sweep, due_ns);
}

/* At the memory ceiling: ids give way to whatever is wanted, then what is settled. */
static bool on_memory_short(void *argument, struct account *account) {
    struct gate *gate = argument;
    struct endpoint *endpoint = container_of(account, struct endpoint, account);
    uint32_t forgotten = dedup_relieve(&gate->dedup, false);
    ids_forgotten(endpoint, forgotten);
    if (forgotten == 0)
        forgotten = fates_relieve(fates_of(endpoint), endpoint->now_ns);
    return !SHORTAGE(forgotten == 0);
}

/* When the fates are to be looked at again. One that is not settled now will not be forgotten
 * within a window from now. */
static uint64_t fates_look(struct endpoint *endpoint) {
    struct fates *fates = fates_of(endpoint);
    uint64_t next_ns = fates_sweep(fates, endpoint->now_ns, SWEEP_FATES);
    if (next_ns == CLOCK_NEVER && fates_count(fates) != 0)
        next_ns = endpoint->now_ns + fates->window_ns + SWEEP_NS;
    return next_ns;
}

static void on_sweep(struct endpoint *endpoint, struct timer *timer) {
    (void)timer;
    uint64_t next_ns = dedup_sweep(&gate_of(endpoint)->dedup, endpoint->now_ns, SWEEP_ENTRIES);
    uint64_t fates_ns = fates_look(endpoint);
    if (fates_ns < next_ns)
        next_ns = fates_ns;
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

/* Its claim, if it has one, is decided. */
static void claim_settle(struct endpoint *endpoint, struct pending_publish *pending, bool took,
                         enum result_word state, uint32_t recipients) {
    if (!pending->claimed)
        return;
    struct dedup *dedup = &gate_of(endpoint)->dedup;
    uint32_t forgotten =
        dedup_settle(dedup, &pending->claim, took, state, recipients, endpoint->now_ns);
    pending->claimed = false;
    ids_forgotten(endpoint, forgotten);
    if (took)
        sweep_arm(endpoint, endpoint->now_ns + dedup->window_ns + SWEEP_NS);
}

static void fate_settle(struct endpoint *endpoint, struct pending_publish *pending, bool took,
                        enum result_word state, uint32_t recipients) {
    struct fates *fates = fates_of(endpoint);
    if (took) {
        fates_taken(fates, pending->fate, state, recipients, endpoint->now_ns);
        sweep_arm(endpoint, endpoint->now_ns + fates->window_ns + SWEEP_NS);
    } else {
        fates_cancel(fates, pending->fate);
        pending->fate = NULL;
    }
}

/* Which client id has no room for more; the text lives as long as the result. */
static void backlog_name(const struct endpoint *endpoint, struct span name,
                         struct gate_result *result, char text[GATE_FULL_BYTES]) {
    snprintf(text, GATE_FULL_BYTES,
             "%.*s has not acknowledged %u messages (--ack-backlog); nothing was taken, try again "
             "when it has",
             SPAN_ARG(name), endpoint->config->ack_backlog);
    result->message = text;
    result->field = "to";
}

static void on_published(struct endpoint *endpoint, struct publish *publish, enum result_word state,
                         uint32_t recipients) {
    struct pending_publish *pending = publish->producer;
    struct gate_result result = gate_result_of(state);
    char text[GATE_FULL_BYTES];
    bool took = state == RESULT_QUEUED || state == RESULT_STORED;
    if (state == RESULT_OVERLOADED && publish->full != 0)
        backlog_name(endpoint, fate_address_text(pending->fate, publish->full - 1u), &result, text);
    /* The fate comes first: whoever gets the id next asks it. */
    if (pending->fate != NULL)
        fate_settle(endpoint, pending, took, state, recipients);
    claim_settle(endpoint, pending, took, state, recipients);
    share_count(endpoint, pending, state, recipients);
    result.recipients = recipients;
    result.cluster_lost = publish->unavailable && result.code == CODE_NONE;
    result.maybe = publish->maybe && state == RESULT_CLUSTER_UNAVAILABLE;
    result.fate = pending->fate;
    pending_finish(endpoint, pending, &result);
}

/* Decided without being published itself. */
static void pending_settle(struct endpoint *endpoint, struct pending_publish *pending,
                           struct gate_result *result) {
    struct publish *publish = pending->publish;
    pending_finish(endpoint, pending, result);
    publish_put(endpoint, publish);
}

/* There is no memory for it. */
static void pending_refuse(struct endpoint *endpoint, struct pending_publish *pending) {
    struct gate_result result = gate_result_of(RESULT_OVERLOADED);
    stats_add(&endpoint->stats.memory_refused, 1);
    pending_settle(endpoint, pending, &result);
}

/* What the fates know of its id. */
static enum fate_verdict fate_repeat(struct endpoint *endpoint,
                                     const struct pending_publish *pending,
                                     struct fate_repeat *repeat) {
    return fates_repeat(fates_of(endpoint), span_of(pending->scope, pending->scope_len),
                        span_of(pending->id, pending->id_len), pending->claim.content,
                        endpoint->now_ns, repeat);
}

/* The table remembers its id. */
static void pending_repeat(struct endpoint *endpoint, struct pending_publish *pending) {
    bool duplicate = pending->claim.verdict == DEDUP_DUPLICATE;
    struct gate_result result = gate_result_of(duplicate ? RESULT_DUPLICATE : RESULT_ID_REUSED);
    struct fate_repeat repeat = {.fate = NULL};
    if (duplicate) {
        result.first_state = (enum result_word)pending->claim.first_state;
        result.first_recipients = pending->claim.first_recipients;
        if (pending->class == CLASS_ACK)
            (void)fate_repeat(endpoint, pending, &repeat);
        result.fate = repeat.fate;
    }
    pending_settle(endpoint, pending, &result);
}

/* --- the beginning of a message -------------------------------------------------------------- */

/* What the answer to it may take. */
static uint32_t answer_bytes(const struct message_parts *parts) {
    size_t bytes = ANSWER_BYTES;
    if (parts->class == CLASS_ACK && parts->to_count > 1)
        bytes += fate_to_bytes_of(parts->to, parts->to_count);
    return (uint32_t)bytes;
}

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
    uint32_t bytes = answer_bytes(&request->envelope->parts);
    if (SHORTAGE(!account_take(&endpoint->account, bytes))) {
        stats_add(&endpoint->stats.memory_refused, 1);
        return NULL;
    }
    struct pending_publish *pending = pool_get(&context_of(endpoint)->pendings);
    if (SHORTAGE(pending == NULL)) {
        stats_add(&endpoint->stats.memory_refused, 1);
        account_give(&endpoint->account, bytes);
        return NULL;
    }
    const struct gate_source *source = request->source;
    struct publish *publish = publish_get(endpoint, source->standing);
    if (SHORTAGE(publish == NULL)) {
        share_refused(endpoint, source->standing);
        pool_put(&context_of(endpoint)->pendings, pending);
        account_give(&endpoint->account, bytes);
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
    pending->fate = NULL;
    pending->answer_bytes = bytes;
    pending->claimed = false;
    pending->waits = request->waits;
    pending->from_node = request->from_node;
    pending->class = request->envelope->parts.class;
    pending->scope_len = (uint8_t)request->scope.len;
    if (request->scope.len != 0)
        memcpy(pending->scope, request->scope.at, request->scope.len);
    return pending;
}

static void pending_put(struct endpoint *endpoint, struct pending_publish *pending) {
    publish_put(endpoint, pending->publish);
    account_give(&endpoint->account, pending->answer_bytes);
    pool_put(&context_of(endpoint)->pendings, pending);
}

/* Memory is short: ids that are remembered give way. False: there were none. */
static bool ids_relieve(struct endpoint *endpoint, bool for_client) {
    uint32_t forgotten = dedup_relieve(&gate_of(endpoint)->dedup, for_client);
    ids_forgotten(endpoint, forgotten);
    return !SHORTAGE(forgotten == 0);
}

/* It is the first with its id as far as the table knows. True: also as far as the fates do, so the
 * message is to be published now. */
static bool pending_first(struct endpoint *endpoint, struct pending_publish *pending,
                          struct message *message) {
    struct fate_repeat repeat;
    enum fate_verdict verdict = fate_repeat(endpoint, pending, &repeat);
    pending->claimed = true;
    if (verdict == FATE_UNKNOWN)
        return true;
    bool duplicate = verdict == FATE_DUPLICATE;
    struct gate_result result = gate_result_of(duplicate ? RESULT_DUPLICATE : RESULT_ID_REUSED);
    result.first_state = repeat.first;
    result.first_recipients = repeat.recipients;
    result.fate = repeat.fate;
    /* The fate remembers it, and the table need not. */
    claim_settle(endpoint, pending, false, result.state, 0);
    message_release(endpoint, message);
    pending_settle(endpoint, pending, &result);
    return false;
}

/* Sends it on its way, with a fate if it is to have one. */
static void pending_send(struct endpoint *endpoint, struct pending_publish *pending,
                         struct message *message) {
    if (message->class == CLASS_ACK) {
        struct hash128 content = {0, 0};
        unsigned tries = 0;
        bool opened;
        if (pending->claimed || message->lent)
            content = pending->claim.content;
        do {
            opened =
                fates_open(fates_of(endpoint), message, span_of(pending->scope, pending->scope_len),
                           content, endpoint->now_wall_ms);
        } while (!opened && tries++ < RELIEF_TRIES &&
                 ids_relieve(endpoint, pending->scope_len != 0));
        if (SHORTAGE(!opened)) {
            claim_settle(endpoint, pending, false, RESULT_OVERLOADED, 0);
            message_release(endpoint, message);
            pending_refuse(endpoint, pending);
            return;
        }
        pending->fate = message->fate;
    }
    hub_publish(endpoint, pending->publish, message);
}

/* One that another node keeps: its copies come one after the other, and the fates know it. */
static void lent_send(struct endpoint *endpoint, const struct gate_request *request,
                      struct pending_publish *pending, struct message *message) {
    struct fate_repeat repeat;
    pending->claim.content = envelope_digest(request->envelope, message_payload(message));
    enum fate_verdict verdict = fate_repeat(endpoint, pending, &repeat);
    if (verdict == FATE_UNKNOWN) {
        pending_send(endpoint, pending, message);
        return;
    }
    struct gate_result result =
        gate_result_of(verdict == FATE_DUPLICATE ? RESULT_DUPLICATE : RESULT_ID_REUSED);
    result.fate = repeat.fate;
    message_release(endpoint, message);
    pending_settle(endpoint, pending, &result);
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
             ids_relieve(endpoint, request->scope.len != 0));
    if (verdict == DEDUP_WAIT)
        return false;
    pending->message = NULL;
    if (verdict == DEDUP_NEW)
        return pending_first(endpoint, pending, message);
    message_release(endpoint, message);
    if (SHORTAGE(verdict == DEDUP_NO_MEMORY))
        pending_refuse(endpoint, pending);
    else
        pending_repeat(endpoint, pending);
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
    enum server_phase last = request->from_node ? PHASE_REFUSING : PHASE_RUNNING;
    if (server_phase(endpoint->server) > last) {
        refuse(endpoint, request, RESULT_DRAINING);
        return;
    }
    uint64_t retry_ns = 0;
    if (!request->from_node && SHORTAGE(!rate_take(endpoint, request, &retry_ns))) {
        struct gate_result result = gate_result_of(RESULT_RATE_LIMITED);
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
    if (message->lent) {
        lent_send(endpoint, request, pending, message);
        return;
    }
    bool remembered = request->envelope->parts.id.len != 0 && !request->from_node;
    if (!remembered || pending_claim(endpoint, request, pending, message))
        pending_send(endpoint, pending, message);
}

void gate_on_nudged(struct endpoint *endpoint) {
    struct dedup_claim *claim;
    while ((claim = dedup_told(&gate_of(endpoint)->dedup, endpoint->index)) != NULL) {
        struct pending_publish *pending = container_of(claim, struct pending_publish, claim);
        struct message *message = pending->message;
        pending->message = NULL;
        if (claim->verdict == DEDUP_PROMOTED) {
            if (pending_first(endpoint, pending, message))
                pending_send(endpoint, pending, message);
        } else {
            message_release(endpoint, message);
            pending_repeat(endpoint, pending);
        }
    }
    struct fate_wait *wait;
    while ((wait = fates_told(fates_of(endpoint), endpoint->index)) != NULL)
        wait->told(endpoint, wait);
    /* Fates that a store has brought are forgotten in time also where nothing is pushed. */
    if (!timer_armed(&context_of(endpoint)->sweep) && fates_count(fates_of(endpoint)) != 0)
        sweep_arm(endpoint, endpoint->now_ns + SWEEP_NS);
}

/* --- the room -------------------------------------------------------------------------------- */

bool gate_init(struct gate *gate, struct server *server) {
    const struct config *config = server_config(server);
    dedup_init(&gate->dedup, &server->budget, config->dedup_max, config->dedup_window_ns,
               server_nudge_endpoint, server);
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
