/* api_wait.c - wait=ack, and what else is answered when a message is settled; see api.h.
 *
 *   prepare --> the gate's result --> waits --> told: it is settled
 *                  |                     |----> its time, or the drain's, is over: `pending`
 *                  |                     +----> its peer has ended: the same; it may be gone
 *                  +--> refused, settled already, timeout=0, or too many wait: answered at once
 *
 * Its memory is taken before the message is, so that nothing but the number of waits (core/wait.h)
 * can be short afterwards; then it is as if its time were over. */
#include "core/base/shortage.h"
#include "core/fates.h"
#include "core/server.h"
#include "core/wait.h"
#include "core/worker.h"
#include "ingest/api/api.h"

struct ack_wait {
    struct wait wait;           /* begun while it is in `link` */
    struct fate_wait fate_wait; /* begun if `holds` */
    struct list link;           /* in the connection's waits */
    struct http_exchange *exchange;
    struct fate *fate;
    uint64_t accepted_ns, timeout_ns;
    uint32_t recipients;
    bool duplicate;
    bool withdrawn; /* the answer is the fate itself, not a result */
    bool waits;     /* in the fate; else it holds that itself */
    struct {
        enum result_word state;
        uint32_t recipients;
    } first; /* of a duplicate */
};

bool api_wait_prepare(struct worker *worker, struct http_exchange *exchange, uint64_t timeout_ns) {
    struct ack_wait *ack = memory_get(&worker->account, sizeof *ack);
    if (SHORTAGE(ack == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        exchange_fail(worker, exchange, CODE_OVERLOADED,
                      "there is no memory for a wait at the moment; nothing was taken, try again");
        return false;
    }
    *ack = (struct ack_wait){
        .exchange = exchange, .accepted_ns = worker->now_ns, .timeout_ns = timeout_ns};
    list_init(&ack->link);
    exchange->task = ack;
    exchange_waits(exchange);
    return true;
}

/* --- the answer ------------------------------------------------------------------------------- */

/* What is known of its message now. */
static struct gate_result result_now(const struct ack_wait *ack) {
    struct gate_result result = gate_result_of_fate(ack->fate);
    if (ack->duplicate) {
        result = gate_result_of(RESULT_DUPLICATE);
        result.id = fate_id(ack->fate);
        result.fate = ack->fate;
        result.first_state = ack->first.state;
        result.first_recipients = ack->first.recipients;
        return result;
    }
    uint64_t settled_ns = fate_settled_ns(ack->fate);
    result.recipients = ack->recipients;
    result.latency_ns = settled_ns > ack->accepted_ns ? settled_ns - ack->accepted_ns : 0;
    return result;
}

/* The message is counted with what its producer is told, or would be; a duplicate was already. */
static void result_count(struct worker *worker, const struct gate_result *result) {
    if (result->state != RESULT_DUPLICATE)
        stats_add(&worker->stats.results[CLASS_ACK][result->state], 1);
}

/* Sessions that a drain has let stay for it may go. */
static void waited_end(struct worker *worker, struct ack_wait *ack) {
    fates_wait_end(&worker->server->fates, &ack->fate_wait);
    if (server_phase(worker->server) >= PHASE_GOODBYE)
        server_nudge(worker->server);
}

static void ack_free(struct worker *worker, struct ack_wait *ack) {
    struct fates *fates = &worker->server->fates;
    if (ack->waits)
        waited_end(worker, ack);
    else
        fates_release(fates, ack->fate);
    memory_put(&worker->account, ack, sizeof *ack);
}

/* A message was taken back. As long as that is not done, 200 would not be true: after a crash the
 * message would be pending again. */
static void withdrawn_answer(struct worker *worker, struct http_exchange *exchange,
                             struct fate *fate) {
    if (fate_state(fate) != FATE_PENDING) {
        api_answer_fate(worker, exchange, fate, true);
        return;
    }
    fates_release(&worker->server->fates, fate);
    stats_add(&worker->stats.withdrawals_unsafe, 1);
    if (worker->server->parts.store != NULL)
        exchange_fail(worker, exchange, CODE_STORAGE_UNAVAILABLE,
                      "no client is given the message any more, but the store has not confirmed "
                      "that yet: after a crash it would be pending again; ask for its fate, or "
                      "take it back once more");
    else
        exchange_fail(worker, exchange, CODE_OVERLOADED,
                      "the message is being taken back, which is not done yet; ask for its fate, "
                      "or take it back once more");
}

/* It waits for nothing any more. */
static void ack_answer(struct worker *worker, struct ack_wait *ack) {
    if (ack->withdrawn) {
        struct http_exchange *exchange = ack->exchange;
        struct fate *fate = ack->fate;
        fates_hold(&worker->server->fates, fate);
        ack_free(worker, ack);
        withdrawn_answer(worker, exchange, fate);
        return;
    }
    struct gate_result result = result_now(ack);
    result_count(worker, &result);
    api_answer_result(worker, ack->exchange, &result);
    ack_free(worker, ack);
}

/* --- waiting ---------------------------------------------------------------------------------- */

static void on_told(struct endpoint *endpoint, struct fate_wait *fate_wait) {
    struct ack_wait *ack = container_of(fate_wait, struct ack_wait, fate_wait);
    wait_end(worker_of(endpoint), &ack->wait);
    list_remove(&ack->link);
    ack_answer(worker_of(endpoint), ack);
}

/* A drain lets it stay. */
static void on_drain(struct worker *worker, struct wait *wait) {
    (void)worker, (void)wait;
}

static void on_deadline(struct worker *worker, struct wait *wait) {
    struct ack_wait *ack = container_of(wait, struct ack_wait, wait);
    list_remove(&ack->link);
    ack_answer(worker, ack);
}

/* False: there is nothing to wait for, or no more can wait. */
static bool ack_begin(struct worker *worker, struct ack_wait *ack) {
    static const struct wait_type type = {on_drain, on_deadline};
    struct http_connection *http = ack->exchange->http;
    if (http->closed || http->ended || ack->timeout_ns == 0)
        return false;
    ack->fate_wait.told = on_told;
    ack->waits = fates_wait(&worker->server->fates, &ack->fate_wait, ack->fate, worker->index);
    if (!ack->waits ||
        SHORTAGE(!wait_begin(worker, &ack->wait, &type, worker->now_ns + ack->timeout_ns)))
        return false;
    list_add_tail(&api_state(http)->waits, &ack->link);
    return true;
}

void api_wait_on_result(struct worker *worker, struct http_exchange *exchange,
                        const struct gate_result *result) {
    struct ack_wait *ack = exchange->task;
    exchange->task = NULL;
    if (result->fate == NULL) {
        memory_put(&worker->account, ack, sizeof *ack);
        api_answer_result(worker, exchange, result);
        return;
    }
    ack->fate = result->fate;
    ack->recipients = result->recipients;
    ack->duplicate = result->state == RESULT_DUPLICATE;
    ack->first.state = result->first_state;
    ack->first.recipients = result->first_recipients;
    fates_hold(&worker->server->fates, ack->fate);
    if (!ack_begin(worker, ack))
        ack_answer(worker, ack);
}

void api_wait_withdrawn(struct worker *worker, struct http_exchange *exchange, struct fate *fate,
                        uint64_t timeout_ns) {
    struct ack_wait *ack = NULL;
    if (fate_state(fate) == FATE_PENDING)
        ack = memory_get(&worker->account, sizeof *ack);
    if (SHORTAGE(ack == NULL)) { /* settled, or there is no memory to wait with */
        withdrawn_answer(worker, exchange, fate);
        return;
    }
    *ack = (struct ack_wait){
        .exchange = exchange, .fate = fate, .timeout_ns = timeout_ns, .withdrawn = true};
    list_init(&ack->link);
    exchange_waits(exchange);
    if (!ack_begin(worker, ack))
        ack_answer(worker, ack);
}

void api_waits_end(struct worker *worker, struct http_connection *http) {
    struct list *link;
    while ((link = list_pop(&api_state(http)->waits)) != NULL) {
        struct ack_wait *ack = container_of(link, struct ack_wait, link);
        wait_end(worker, &ack->wait);
        ack_answer(worker, ack);
    }
}
