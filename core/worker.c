#include "core/worker.h"

#include "core/arrival.h"
#include "core/base/check.h"
#include "core/base/memory_short.h"
#include "core/base/shortage.h"
#include "core/listener.h"
#include "core/server.h"
#include "core/slots.h"
#include "core/tag.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A worker that waits for room in a mailbox, or with its accepts, looks so often. */
#define ROOM_LOOK_NS NS_PER_MS
/* A worker that sleeps gives memory of pieces back so often. */
#define PIECES_TRIM_NS (2 * NS_PER_MS)
/* How often it is logged that a worker sheds load. */
#define BEHIND_LOG_NS (10 * NS_PER_S)
/* How often a worker publishes its CPU time. */
#define CPU_PUBLISH_NS (250 * NS_PER_MS)
/* Completions are copied out in portions of this size; after each the clock is read. */
#define COMPLETIONS_PORTION 4

/* --- completions ------------------------------------------------------------------------------ */

static void on_cancel(struct worker *worker, const struct completion *completion) {
    if (tag_slot(completion->tag) != 0)
        connection_on_cancel(worker, completion);
}

static void on_refuse(struct worker *worker, const struct completion *completion) {
    (void)completion;
    worker->slots.refusing--;
}

static void on_wake(struct worker *worker, const struct completion *completion) {
    /* That the worker is awake is all there is to it; the mail is looked at in every turn. */
    if (!completion->more)
        ring_wake_watch(worker->ring, tag_make(TAG_WAKE, 0, 0),
                        worker->server->post.boxes[worker->index].wake_fd);
}

typedef void completion_handler(struct worker *worker, const struct completion *completion);

static completion_handler *const handlers[TAG_OP_COUNT] = {
    [TAG_ACCEPT] = listener_on_accept,
    [TAG_RECEIVE] = connection_on_receive,
    [TAG_SEND] = connection_on_send,
    [TAG_LEND] = connection_on_lend,
    [TAG_SHUTDOWN] = connection_on_shutdown,
    [TAG_CLOSE] = connection_on_closed,
    [TAG_CANCEL] = on_cancel,
    [TAG_UNSEND] = connection_on_cancel,
    [TAG_WATCH] = connection_on_watch,
    [TAG_UNWATCH] = connection_on_watch,
    [TAG_REFUSE] = on_refuse,
    [TAG_WAKE] = on_wake,
    [TAG_QUEUED] = connection_on_queued,
};

/* Until none waits, or the slice is over. */
static void completions_reap(struct worker *worker) {
    struct completion batch[COMPLETIONS_PORTION];
    do {
        unsigned count = ring_reap(worker->ring, batch, COMPLETIONS_PORTION);
        for (unsigned i = 0; i < count; i++) {
            enum tag_op op = tag_op(batch[i].tag);
            CHECK(op > TAG_INVALID && op < TAG_OP_COUNT, "a completion without a tag");
            recorder_note(&worker->recorder, worker->now_ns, batch[i].tag, batch[i].result, 0);
            if (op == TAG_RECEIVE)
                reading_received(&worker->reading, &batch[i]);
            handlers[op](worker, &batch[i]);
        }
        stats_add(&worker->stats.completions, count);
    } while (ring_waiting(worker->ring) != 0 && !slice_over(worker));
}

static void behind_tell(struct worker *worker) {
    stats_set(&worker->stats.behind, worker->admission.shedding || reading_late(&worker->reading));
}

static void completions_handle(struct worker *worker) {
    slice_begin(worker);
    completions_reap(worker);
    bool none_waits = ring_waiting(worker->ring) == 0;
    if (none_waits)
        worker->sending.seen_ms = (uint32_t)(worker->now_ns / NS_PER_MS);
    reading_look(worker, none_waits && ring_has_gathered(worker->ring));
    behind_tell(worker);
    worker->loop.crowded = ring_waiting(worker->ring) != 0 ||
                           !list_empty(&worker->reading.floods) || worker->loop.sends_left ||
                           worker->loop.mail_left;
}

/* Who floods is read after everybody else, a few at a time, one buffer each. What was taken in
 * before is delivered first: what more would bring only waits here instead of in the socket, where
 * it is known how long it waits. But a share of the time is for taking in, and refusing. */
static void floods_handle(struct worker *worker) {
    if (list_empty(&worker->reading.floods)) {
        worker->reading.flood_credit_ns = 0;
        return;
    }
    if ((worker->loop.sends_left || worker->loop.mail_left) && worker->reading.flood_credit_ns <= 0)
        return;
    slice_begin(worker);
    uint64_t began_ns = worker->looked_ns;
    do {
        struct list *node;
        for (unsigned i = 0;
             i < FLOODS_AT_ONCE && (node = list_pop(&worker->reading.floods)) != NULL; i++)
            connection_receive(worker, container_of(node, struct connection, resume_link));
        ring_submit(worker->ring, 0);
        worker->sending.flights_used = 0;
        completions_reap(worker);
    } while (!list_empty(&worker->reading.floods) && !slice_over(worker));
    worker->reading.flood_credit_ns -= (int64_t)(worker->looked_ns - began_ns);
    if (worker->reading.flood_credit_ns < -(int64_t)FLOOD_CREDIT_NS)
        worker->reading.flood_credit_ns = -(int64_t)FLOOD_CREDIT_NS;
}

static void flood_credit_add(struct worker *worker, uint64_t turn_ns) {
    worker->reading.flood_credit_ns += (int64_t)(turn_ns * FLOOD_SHARE_PERCENT / 100);
    if (worker->reading.flood_credit_ns > (int64_t)FLOOD_CREDIT_NS)
        worker->reading.flood_credit_ns = (int64_t)FLOOD_CREDIT_NS;
}

/* --- the lists of a turn ---------------------------------------------------------------------- */

/* What there was no time for goes first in the next turn. */
static void put_back(struct list *todo, struct list *list) {
    while (!list_empty(todo)) {
        struct list *node = todo->prev;
        list_remove(node);
        list_add_head(list, node);
    }
}

static void resumed_handle(struct worker *worker) {
    /* Those that were there at the start; one may come back at once, and waits for the next turn.
     */
    struct list todo, *node;
    list_init(&todo);
    slice_begin(worker);
    while ((node = list_pop(&worker->reading.resumed)) != NULL)
        list_add_tail(&todo, node);
    while ((node = list_pop(&todo)) != NULL) {
        connection_reconsider(worker, container_of(node, struct connection, resume_link));
        if (slice_over(worker))
            break;
    }
    put_back(&todo, &worker->reading.resumed);
}

/* As resumed_handle: one that is put off again waits for the next turn. */
static void tasks_handle(struct worker *worker) {
    struct list todo, *node;
    list_init(&todo);
    slice_begin(worker);
    while ((node = list_pop(&worker->loop.tasks)) != NULL)
        list_add_tail(&todo, node);
    while ((node = list_pop(&todo)) != NULL) {
        struct task *task = container_of(node, struct task, link);
        task->work(worker, task);
        if (slice_over(worker))
            break;
    }
    put_back(&todo, &worker->loop.tasks);
}

/* Sends that are started together: how many, and of how many bytes. */
struct started {
    unsigned sends;
    uint32_t bytes;
};

static void send_start(struct worker *worker, struct connection *connection,
                       struct started *started) {
    bool was_sending = (connection->ops & OP_SEND) != 0;
    connection_flush(worker, connection);
    started->sends++;
    if (!was_sending && (connection->ops & OP_SEND))
        started->bytes += connection->flight_bytes;
}

static void dirty_flush(struct worker *worker) {
    memset(worker->sending.begun, 0, sizeof(worker->sending.begun));
    struct connection *connection;
    struct started started = {0, 0};
    slice_begin_sends(worker);
    for (unsigned i = 0; i < SENDS_PER_TURN && (connection = outbox_next_dirty(worker, i)) != NULL;
         i++) {
        send_start(worker, connection, &started);
        if (started.sends < SENDS_PER_SUBMIT && started.bytes < SENDS_BYTES_PER_SUBMIT)
            continue;
        ring_issue(worker->ring);
        worker->sending.flights_used = 0;
        started = (struct started){0, 0};
        if (slice_over(worker))
            break;
    }
    worker->loop.sends_left = outbox_any_dirty(worker);
}

/* What waits for room in a mailbox. */
static void kept_go_on(struct worker *worker) {
    if (keeper_decisions_wait(&worker->endpoint))
        keeper_decisions_work(&worker->endpoint);
    if (attends_wait(&worker->attends))
        attends_work(worker);
    readies_look(worker);
    if (relays_wait(&worker->relays))
        relays_work(&worker->endpoint);
    if (keeper_busy(&worker->keeper)) {
        slice_begin(worker);
        keeper_work(worker);
    }
}

/* --- the phases ------------------------------------------------------------------------------- */

static void phase_enter(struct worker *worker, enum server_phase phase) {
    switch (phase) {
    case PHASE_REFUSING:
    case PHASE_STOPPED:
        for (unsigned i = 0; i < worker->listeners.count; i++)
            if (phase == PHASE_STOPPED || worker->listeners.at[i].kind != LISTENER_API)
                listener_stop(worker, &worker->listeners.at[i]);
        if (phase == PHASE_STOPPED)
            sweep_begin(worker, phase);
        break;
    case PHASE_GOODBYE:
    case PHASE_CLOSING:
        if (phase == PHASE_CLOSING)
            store_give_up(&worker->endpoint);
        worker->waits.ended = fates_waits_ended(&worker->server->fates);
        sweep_begin(worker, phase);
        break;
    case PHASE_RUNNING:
        /* Only now: every worker is there to answer mail. */
        for (unsigned i = 0; i < worker->listeners.count; i++)
            listener_start(&worker->listeners.at[i]);
        break;
    case PHASE_STARTING:
        break;
    }
}

/* Is what this phase asks of the worker done? */
static bool phase_done(const struct worker *worker, enum server_phase phase) {
    switch (phase) {
    case PHASE_STARTING:
    case PHASE_RUNNING:
        return true;
    case PHASE_REFUSING:
        return worker->publishing == 0 && !waits_busy(worker) && listeners_stopped(worker, false);
    case PHASE_GOODBYE:
        return !sweep_busy(&worker->slots.sweep) && worker->waits.count == 0 &&
               worker->slots.live == worker->slots.live_api;
    case PHASE_CLOSING:
        /* Whoever comes now is still told that the node goes, but not waited for. */
        return worker->slots.live == worker->slots.live_late && worker->waits.count == 0 &&
               list_empty(&worker->keeper.settling);
    case PHASE_STOPPED:
        return worker->keeper.kept.count == 0 && trails_ended_empty(&worker->trails) &&
               worker->slots.live == 0 && worker->waits.count == 0 && worker->requests == 0 &&
               worker->relays.away == 0 && listeners_stopped(worker, true);
    }
    return true;
}

/* It is done here, and nobody knows yet. */
static bool phase_is_to_end(const struct worker *worker, enum server_phase phase) {
    return phase > PHASE_RUNNING &&
           atomic_load_explicit(&worker->phase, memory_order_relaxed) != phase &&
           phase_done(worker, phase);
}

static void phase_follow(struct worker *worker) {
    enum server_phase phase = server_phase(worker->server);
    if (phase != worker->loop.phase_entered) {
        /* One that was passed over by a timeout is entered all the same: each builds on the one
         * before. */
        for (uint32_t next = worker->loop.phase_entered + 1; next <= phase; next++)
            phase_enter(worker, (enum server_phase)next);
        worker->loop.phase_entered = phase;
    }
    if (waits_busy(worker)) {
        slice_begin(worker);
        waits_work(worker);
    }
    if (sweep_busy(&worker->slots.sweep)) {
        slice_begin(worker);
        sweep_work(worker);
    }
    if (worker->loop.phase_entered == PHASE_STOPPED) {
        slice_begin(worker);
        trails_drop(worker);
        (void)keeper_drop(worker);
    }
    if (phase_is_to_end(worker, phase)) {
        atomic_store_explicit(&worker->phase, phase, memory_order_release);
        /* The last one lets the others go, who until then answer its mail. */
        if (phase == PHASE_STOPPED)
            server_nudge(worker->server);
    }
}

/* --- the turn --------------------------------------------------------------------------------- */

static void admission_look(struct worker *worker) {
    struct admission *admission = &worker->admission;
    admission_turn(admission, worker->now_ns);
    behind_tell(worker);
    stats_set(&worker->stats.shares_merged, admission->shares.merged);
    if (worker->loop.shedding == admission->shedding)
        return;
    worker->loop.shedding = admission->shedding;
    if (worker->loop.shedding &&
        (worker->loop.shedding_told_ns == 0 ||
         worker->now_ns - worker->loop.shedding_told_ns >= BEHIND_LOG_NS)) {
        worker->loop.shedding_told_ns = worker->now_ns;
        log_event(LOG_WARN, "behind", LOG_U64("worker", worker->index),
                  LOG_STR("meaning", "producers push more than it can serve; it answers the "
                                     "excess with 503"),
                  LOG_STR("remedy", "push less or in batches, add workers or nodes"));
    }
}

/* How long the coming submit may wait. */
static uint64_t wait_for(struct worker *worker, uint64_t wait_ns) {
    /* It goes on letting go of what is kept. */
    if (worker->loop.phase_entered == PHASE_STOPPED &&
        (worker->keeper.kept.count != 0 || !trails_ended_empty(&worker->trails)))
        return 0;
    if (wait_ns == 0 || worker->loop.mail_left || ring_waiting(worker->ring) != 0 ||
        !list_empty(&worker->reading.resumed) || !list_empty(&worker->reading.starved) ||
        outbox_any_dirty(worker) || !list_empty(&worker->reading.floods) ||
        !fanout_idle(&worker->fanout) || !broadcasts_idle(&worker->broadcasts) ||
        calls_busy(&worker->calls) || !list_empty(&worker->loop.tasks) ||
        sweep_busy(&worker->slots.sweep) || waits_busy(worker) || keeper_is_cut(&worker->keeper) ||
        server_phase(worker->server) != worker->loop.phase_entered)
        return 0;
    /* A task may have closed the last connection. */
    if (phase_is_to_end(worker, (enum server_phase)worker->loop.phase_entered))
        return 0;
    if ((keeper_busy(&worker->keeper) || attends_wait(&worker->attends) ||
         relays_wait(&worker->relays) || keeper_decisions_wait(&worker->endpoint)) &&
        wait_ns > ROOM_LOOK_NS)
        wait_ns = ROOM_LOOK_NS;
    if ((fanout_busy(&worker->fanout) || broadcasts_busy(&worker->broadcasts)) &&
        wait_ns > FANOUT_HELD_LOOK_NS)
        wait_ns = FANOUT_HELD_LOOK_NS;
    if (worker->listeners.put_off && wait_ns > ROOM_LOOK_NS)
        wait_ns = ROOM_LOOK_NS;
    if (worker->loop.pieces_left && wait_ns > PIECES_TRIM_NS)
        wait_ns = PIECES_TRIM_NS;
    return endpoint_wait_ns(&worker->endpoint, wait_ns, wheel_next_ns(&worker->keeper.wheel));
}

/* What is over soon is not told: a burst, or a CPU that was away. What has been told counts until
 * nothing was late for as long. */
static void lateness_tell(const struct worker *worker, _Atomic uint64_t *told,
                          struct lateness *lateness, uint64_t late_ns) {
    uint64_t now_ns = worker->now_ns;
    bool late = late_ns > worker->delivery.late_ns;
    if (late) {
        if (lateness->since_ns == 0)
            lateness->since_ns = now_ns;
        lateness->seen_ns = now_ns;
        lateness->lasts |= now_ns - lateness->since_ns >= worker->delivery.late_patience_ns;
    } else if (!lateness->lasts ||
               now_ns - lateness->seen_ns >= worker->delivery.late_patience_ns) {
        *lateness = (struct lateness){.lasts = false};
    }
    atomic_store_explicit(told, late && lateness->lasts ? late_ns : 0, memory_order_relaxed);
}

/* How long what this worker delivers has waited, for those who take in for it. */
static void late_tell(struct worker *worker) {
    struct mailbox *box = &worker->server->post.boxes[worker->index];
    uint64_t prompt_late_ns = worker_send_lag_ns(worker, LANE_PROMPT);
    if (worker->delivery.mail_age_ns > prompt_late_ns)
        prompt_late_ns = worker->delivery.mail_age_ns;
    struct sending *sending = &worker->sending;
    pace_turn(&sending->pace, worker->loop.turn_ns, sending->begun[LANE_DIRECT],
              sending->due[LANE_DIRECT] != 0);
    /* What comes now waits for all that is due; the first of these shows only how it was. */
    uint64_t late_ns = worker_send_lag_ns(worker, LANE_DIRECT);
    uint64_t coming_ns = pace_ns(&sending->pace, sending->due[LANE_DIRECT]);
    if (coming_ns > late_ns)
        late_ns = coming_ns;
    if (prompt_late_ns > late_ns)
        late_ns = prompt_late_ns;
    lateness_tell(worker, &box->prompt_late_ns, &worker->delivery.prompt_late, prompt_late_ns);
    lateness_tell(worker, &box->late_ns, &worker->delivery.late, late_ns);
    uint64_t fanout_ns = fanout_late_ns(&worker->fanout, worker->now_ns);
    uint64_t broadcasts_ns = broadcasts_late_ns(&worker->broadcasts, worker->now_ns);
    lateness_tell(worker, &box->fanout_late_ns, &worker->delivery.fanout_late,
                  fanout_ns > broadcasts_ns ? fanout_ns : broadcasts_ns);
    fanout_held_tell(worker);
    broadcasts_held_tell(worker);
}

/* Nothing waits when it goes to sleep: what was late before was a matter of its own. */
static void lateness_clear(struct worker *worker) {
    struct mailbox *box = &worker->server->post.boxes[worker->index];
    worker->delivery.late = worker->delivery.prompt_late = worker->delivery.fanout_late =
        (struct lateness){.lasts = false};
    atomic_store_explicit(&box->late_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&box->prompt_late_ns, 0, memory_order_relaxed);
    atomic_store_explicit(&box->fanout_late_ns, 0, memory_order_relaxed);
}

static void longest_note(_Atomic uint64_t *longest_ns, uint64_t ns) {
    if (ns > atomic_load_explicit(longest_ns, memory_order_relaxed))
        atomic_store_explicit(longest_ns, ns, memory_order_relaxed);
}

/* From one turn's end to the next, submitting included: sleeping takes no CPU time. */
static void turn_measure(struct worker *worker, uint64_t lasted_ns) {
    uint64_t cpu_ns = clock_thread_cpu_ns();
    if (worker->loop.turn_cpu_ns != 0)
        longest_note(&worker->loop.turn_longest_cpu_ns, cpu_ns - worker->loop.turn_cpu_ns);
    worker->loop.turn_cpu_ns = cpu_ns;
    longest_note(&worker->loop.turn_longest_ns, lasted_ns);
}

/* Fan-outs and broadcasts share the sends that may wait (worker_copies_wait). Who comes first in a
 * turn may take all, so they take turns. */
static void copies_make(struct worker *worker) {
    bool fanout_first = worker->loop.fanout_next;
    worker->loop.fanout_next = !fanout_first;
    for (unsigned i = 0; i < 2; i++) {
        bool fanout = (i == 0) == fanout_first;
        if (fanout ? !fanout_busy(&worker->fanout) : !broadcasts_busy(&worker->broadcasts))
            continue;
        post_wake_all(&worker->endpoint); /* before it takes its time */
        slice_begin(worker);
        if (fanout)
            fanout_work(worker);
        else
            broadcasts_work(worker);
    }
}

bool worker_turn(struct worker *worker, uint64_t wait_ns) {
    wait_ns = wait_for(worker, wait_ns);
    bool sleeps = wait_ns != 0 && post_may_sleep(&worker->endpoint);
    if (sleeps) {
        stats_add(&worker->stats.sleeps, 1);
        lateness_clear(worker);
        ring_submit(worker->ring, wait_ns);
        post_awake(&worker->endpoint);
    } else {
        ring_submit(worker->ring, 0);
    }
    worker->sending.flights_used = 0;
    worker->delivery.mail_age_ns = 0;
    endpoint_turn_begin(&worker->endpoint);
    uint64_t began_ns = worker->now_ns;
    if (!sleeps && began_ns - worker->loop.turn_ns > AWAY_NS)
        worker->sending.away_ms = (uint32_t)(began_ns / NS_PER_MS);
    worker->loop.turn_ns = began_ns;

    admission_look(worker);
    completions_handle(worker);
    slices_begin(worker, MAIL_SLICES);
    worker->loop.mail_left = post_receive(&worker->endpoint);
    floods_handle(worker);
    endpoint_nudges_take(&worker->endpoint);
    slice_begin(worker);
    wheel_advance(&worker->wheel, &worker->endpoint, worker->now_ns);
    slice_begin(worker);
    wheel_advance(&worker->keeper.wheel, &worker->endpoint, worker->now_ns);
    phase_follow(worker);
    resumed_handle(worker);
    starved_handle(worker);
    copies_make(worker);
    if (calls_busy(&worker->calls)) {
        post_wake_all(&worker->endpoint);
        slice_begin(worker);
        calls_work(worker);
    }
    if (!list_empty(&worker->loop.tasks))
        tasks_handle(worker);
    kept_go_on(worker);
    /* The others may begin while the sends are started, which takes most of a turn. */
    post_wake_all(&worker->endpoint);
    dirty_flush(worker);
    listeners_work(worker);
    endpoint_messages_return(&worker->endpoint);
    post_wake_all(&worker->endpoint);
    queue_age_look(worker);
    replies_look(worker);
    pool_trim(&worker->delivery.parcels);
    worker->loop.pieces_left =
        sending_trim(&worker->sending) || pool_wants_trim(&worker->delivery.parcels);

    late_tell(worker);
    stats_add(&worker->stats.turns, 1);
    stats_set(&worker->stats.memory_bytes, worker->account.used_bytes);
    uint64_t ended_ns = clock_ns();
    stats_add(&worker->stats.busy_ns, ended_ns - began_ns);
    turn_measure(worker, ended_ns - began_ns);
    flood_credit_add(worker, ended_ns - began_ns);
    if (ended_ns - worker->loop.cpu_published_ns >= CPU_PUBLISH_NS) {
        worker->loop.cpu_published_ns = ended_ns;
        atomic_store_explicit(&worker->loop.cpu_ns, worker->loop.turn_cpu_ns, memory_order_relaxed);
    }
    return worker->slots.refusing != 0 || !server_through(worker->server, PHASE_STOPPED);
}

/* --- beginning and end ------------------------------------------------------------------------ */

static bool tables_open(struct worker *worker) {
    worker->slots.blocks = calloc(CONNECTION_BLOCKS_MAX, sizeof(struct connection *));
    worker->sending.flights = calloc(SENDS_PER_SUBMIT, sizeof(struct flight));
    return worker->slots.blocks != NULL && worker->sending.flights != NULL;
}

bool worker_open(struct worker *worker, struct server *server, unsigned index, char *problem,
                 size_t problem_cap) {
    bool good = endpoint_open(&worker->endpoint, server, index);
    worker->on_deliver = hub_on_deliver;
    stats_set(&worker->stats.fixed_bytes, server_fixed_bytes(server));
    worker->delivery.late_ns = LATE_NS;
    worker->delivery.late_patience_ns = LATE_PATIENCE_NS;
    worker->delivery.held_late_ns = HELD_LATE_NS;
    fanout_init(&worker->fanout);
    broadcasts_init(&worker->broadcasts);
    calls_init(&worker->calls);
    waits_init(&worker->waits);
    keeper_init(&worker->keeper, worker->now_ns);
    attends_init(&worker->attends);
    readies_init(&worker->readies);
    trails_init(&worker->trails);
    admission_init(&worker->admission);
    sending_init(&worker->sending);
    reading_init(&worker->reading, worker->now_ns);
    list_init(&worker->loop.tasks);
    pool_init(&worker->delivery.parcels, sizeof(struct parcel));
    worker->delivery.parcels.lazy = true;
    directory_init(worker);
    queue_age_init(&worker->delivery.queue_age);
    replies_init(&worker->replies);
    worker->loop.phase_entered = PHASE_STARTING;
    if (!good || !tables_open(worker)) {
        char remedy[MEMORY_LIMIT_TEXT_MAX];
        memory_short(remedy);
        snprintf(problem, problem_cap, "no memory for worker %u: %s", index, remedy);
        return false;
    }
    if (!ring_open(&worker->ring, &server->ring_settings, problem, problem_cap))
        return false;
    if (ring_places(worker->ring) != server->ring_settings.files)
        log_event(LOG_WARN, "no_file_table", LOG_U64("worker", index),
                  LOG_STR("meaning", "each connection of this worker takes a descriptor"),
                  LOG_STR("remedy", "lower --max-connections, or give the kernel memory"));
    ring_wake_watch(worker->ring, tag_make(TAG_WAKE, 0, 0), server->post.boxes[index].wake_fd);
    for (uint32_t i = 0; i < worker->config->listener_count; i++)
        listener_init(worker, i, server->listen_fds[i][index]);
    return true;
}

void worker_close(struct worker *worker) {
    if (worker->ring != NULL) {
        CHECK(ring_buffers_lent(worker->ring) == 0, "%u receive buffers are still lent",
              ring_buffers_lent(worker->ring));
        ring_close(worker->ring);
    }
    worker->ring = NULL;
}

void worker_fini(struct worker *worker) {
    if (worker->slots.blocks != NULL) {
        connections_fini(worker);
        fanout_fini(&worker->fanout);
        broadcasts_fini(&worker->broadcasts);
        attends_fini(worker);
        readies_fini(&worker->readies);
        trails_fini(&worker->trails);
        keeper_fini(&worker->keeper);
        directory_fini(worker);
        sending_fini(&worker->sending);
        pool_fini(&worker->delivery.parcels);
    }
    endpoint_fini(&worker->endpoint);
    free(worker->sending.flights);
    free(worker->sessions.at);
}
