#include "ingest/gate/gate.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/server.h"
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
struct gate_ticket {
    struct dedup_claim claim;
    struct publish *publish;
    struct gate_source *source;
    void *request;
    struct message *message; /* while the claim waits */
    uint32_t index;
    bool claimed; /* it is the first with its id */
    uint8_t class;
    uint8_t id_len;
    char id[MESSAGE_ID_BYTES_MAX];
};

struct gate *gate_of(const struct endpoint *endpoint) {
    return endpoint->server->ingest;
}

static struct gate_desk *desk_of(const struct endpoint *endpoint) {
    return &gate_of(endpoint)->desks[endpoint->index];
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
    stats_add(&endpoint->stats
                   .results[parts->is_volatile ? CLASS_VOLATILE : CLASS_DEFAULT][result->state],
              1);
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

/* Tells the result and lets go of the ticket, but not of the publish. */
static void ticket_finish(struct endpoint *endpoint, struct gate_ticket *ticket,
                          struct gate_result *result) {
    struct connection *connection = ticket->source->connection;
    stats_add(&endpoint->stats.results[ticket->class][result->state], 1);
    result->id = span_of(ticket->id, ticket->id_len);
    account_give(&endpoint->account, ANSWER_BYTES);
    ticket->source->done(endpoint, ticket->source, ticket->request, ticket->index, result);
    pool_put(&desk_of(endpoint)->tickets, ticket);
    if (connection != NULL)
        connection_publish_ended(worker_of(endpoint), connection);
}

static void sweep_arm(struct endpoint *endpoint, uint64_t due_ns) {
    struct timer *sweep = &desk_of(endpoint)->sweep;
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

static void on_published(struct endpoint *endpoint, struct publish *publish, enum result_word state,
                         uint32_t recipients) {
    struct gate_ticket *ticket = publish->producer;
    if (ticket->claimed) {
        struct dedup *dedup = &gate_of(endpoint)->dedup;
        bool took = state == RESULT_QUEUED;
        uint32_t forgotten =
            dedup_settle(dedup, &ticket->claim, took, state, recipients, endpoint->now_ns);
        ids_forgotten(endpoint, forgotten);
        if (took)
            sweep_arm(endpoint, endpoint->now_ns + dedup->window_ns + SWEEP_NS);
    }
    struct gate_result result = result_of(state);
    result.recipients = recipients;
    ticket_finish(endpoint, ticket, &result);
}

/* Decided without being published itself. */
static void ticket_settle(struct endpoint *endpoint, struct gate_ticket *ticket) {
    struct publish *publish = ticket->publish;
    bool duplicate = ticket->claim.verdict == DEDUP_DUPLICATE;
    struct gate_result result = result_of(duplicate ? RESULT_DUPLICATE : RESULT_ID_REUSED);
    if (duplicate) {
        result.first_state = (enum result_word)ticket->claim.first_state;
        result.first_recipients = ticket->claim.first_recipients;
    }
    ticket_finish(endpoint, ticket, &result);
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

static struct gate_ticket *ticket_get(struct endpoint *endpoint,
                                      const struct gate_request *request) {
    if (SHORTAGE(!account_take(&endpoint->account, ANSWER_BYTES))) {
        stats_add(&endpoint->stats.memory_refused, 1);
        return NULL;
    }
    struct gate_ticket *ticket = pool_get(&desk_of(endpoint)->tickets);
    if (SHORTAGE(ticket == NULL)) {
        stats_add(&endpoint->stats.memory_refused, 1);
        account_give(&endpoint->account, ANSWER_BYTES);
        return NULL;
    }
    struct publish *publish = publish_get(endpoint, request->source->modest);
    if (SHORTAGE(publish == NULL)) {
        pool_put(&desk_of(endpoint)->tickets, ticket);
        account_give(&endpoint->account, ANSWER_BYTES);
        return NULL;
    }
    publish->done = on_published;
    publish->producer = ticket;
    publish->modest = request->source->modest;
    publish->prompt = publish->modest && !request->in_batch;
    ticket->publish = publish;
    ticket->source = request->source;
    ticket->request = request->request;
    ticket->index = request->index;
    ticket->message = NULL;
    ticket->claimed = false;
    ticket->class =
        request->envelope->parts.is_volatile ? (uint8_t)CLASS_VOLATILE : (uint8_t)CLASS_DEFAULT;
    return ticket;
}

static void ticket_put(struct endpoint *endpoint, struct gate_ticket *ticket) {
    publish_put(endpoint, ticket->publish);
    pool_put(&desk_of(endpoint)->tickets, ticket);
    account_give(&endpoint->account, ANSWER_BYTES);
}

/* Memory is short: ids that are remembered give way. False: there were none. */
static bool ids_relieve(struct endpoint *endpoint, const struct gate_request *request) {
    uint32_t forgotten = dedup_relieve(&gate_of(endpoint)->dedup, request->scope.len != 0);
    ids_forgotten(endpoint, forgotten);
    return !SHORTAGE(forgotten == 0);
}

/* The producer gave an id. True: the message is to be published now. */
static bool ticket_claim(struct endpoint *endpoint, const struct gate_request *request,
                         struct gate_ticket *ticket, struct message *message) {
    struct hash128 content = envelope_digest(request->envelope, message_payload(message));
    /* Before the claim: once it waits it may be told at any time. */
    ticket->message = message;
    enum dedup_verdict verdict;
    unsigned tries = 0;
    do {
        verdict =
            dedup_claim(&gate_of(endpoint)->dedup, endpoint->index, &ticket->claim, request->scope,
                        request->envelope->parts.id, content, endpoint->now_ns);
        if (verdict != DEDUP_WAIT) /* one that waits may be another's by now */
            ids_forgotten(endpoint, ticket->claim.forgotten);
    } while (verdict == DEDUP_NO_MEMORY && tries++ < RELIEF_TRIES &&
             ids_relieve(endpoint, request));
    if (verdict == DEDUP_WAIT)
        return false;
    ticket->message = NULL;
    if (verdict == DEDUP_NEW) {
        ticket->claimed = true;
        return true;
    }
    message_release(endpoint, message);
    if (SHORTAGE(verdict == DEDUP_NO_MEMORY)) {
        struct gate_result result = result_of(RESULT_OVERLOADED);
        struct publish *publish = ticket->publish;
        stats_add(&endpoint->stats.memory_refused, 1);
        ticket_finish(endpoint, ticket, &result);
        publish_put(endpoint, publish);
    } else {
        ticket_settle(endpoint, ticket);
    }
    return false;
}

bool gate_admit(struct worker *worker, struct gate_source *source) {
    const struct mailbox *box = &worker->server->post.boxes[worker->index];
    uint64_t lag_ns = atomic_load_explicit(&box->late_ns, memory_order_relaxed);
    /* A node that is going says so instead. */
    if (server_phase(worker->server) >= PHASE_REFUSING ||
        admission_ask(&worker->admission, &source->intake, lag_ns, &source->modest))
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
    struct gate_ticket *ticket = ticket_get(endpoint, request);
    if (SHORTAGE(ticket == NULL)) {
        refuse(endpoint, request, RESULT_OVERLOADED);
        return;
    }
    struct message *message = message_build(endpoint, request->envelope);
    if (SHORTAGE(message == NULL)) {
        stats_add(&endpoint->stats.memory_refused, 1);
        ticket_put(endpoint, ticket);
        refuse(endpoint, request, RESULT_OVERLOADED);
        return;
    }
    struct span id = message_id(message);
    memcpy(ticket->id, id.at, id.len);
    ticket->id_len = (uint8_t)id.len;
    if (source->connection != NULL)
        connection_publish_begun(source->connection);
    if (request->envelope->parts.id.len == 0 || ticket_claim(endpoint, request, ticket, message))
        hub_publish(endpoint, ticket->publish, message);
}

void gate_on_nudged(struct endpoint *endpoint) {
    struct dedup_claim *claim;
    while ((claim = dedup_told(&gate_of(endpoint)->dedup, endpoint->index)) != NULL) {
        struct gate_ticket *ticket = container_of(claim, struct gate_ticket, claim);
        struct message *message = ticket->message;
        ticket->message = NULL;
        if (claim->verdict == DEDUP_PROMOTED) {
            ticket->claimed = true;
            hub_publish(endpoint, ticket->publish, message);
        } else {
            message_release(endpoint, message);
            ticket_settle(endpoint, ticket);
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
        struct gate_desk *desk = &gate->desks[i];
        pool_init(&desk->tickets, sizeof(struct gate_ticket));
        pool_init(&desk->sends, client_send_bytes());
        pool_init(&desk->rooms, sizeof(*desk->room));
        timer_init(&desk->sweep, on_sweep);
        desk->room = NULL;
        if (i < server->post.endpoints) {
            desk->room = pool_get(&desk->rooms);
            good = good && desk->room != NULL;
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
        struct gate_desk *desk = &gate->desks[i];
        pool_fini(&desk->tickets);
        pool_fini(&desk->sends);
        if (desk->room != NULL)
            pool_put(&desk->rooms, desk->room);
        pool_fini(&desk->rooms);
    }
    client_rates_fini(&gate->client_rates);
    dedup_fini(&gate->dedup);
}
