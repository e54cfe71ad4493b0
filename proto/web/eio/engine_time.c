/* engine_time.c - what happens to a session by time, and when the node drains; see engine_own.h.
 *
 * A session has one timer. Hearing something only notes when the next thing is due; the timer looks
 * at that when it fires. So heartbeats cost what is due, and not what is heard.
 *
 *   version 4   a ping after --heartbeat; what is heard then must come within --heartbeat-timeout:
 *               a pong, which begins anew, or something else, which counts once
 *   version 3   the client pings; something must be heard within both times together
 *
 * The end of the node (core/wait.h): sessions with a WebSocket have a connection, which is told.
 * For those that poll each worker has one wait. From PHASE_GOODBYE on no message can come any more:
 * then the app is asked to say goodbye, and the wait lasts until none polls. */
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"
#include "proto/web/eio/engine_own.h"

/* How often it is looked whether goodbyes may be said. */
#define DRAIN_LOOK_NS (4 * NS_PER_MS)
/* The wait of a worker has no time of its own. */
#define WAIT_FOR_EVER_NS (INT64_C(3650) * 86400 * NS_PER_S)

/* --- one session ------------------------------------------------------------------------------ */

static uint64_t first_of(uint64_t due_ns, uint64_t other_ns) {
    return other_ns != 0 && other_ns < due_ns ? other_ns : due_ns;
}

void engine_watch(struct worker *worker, struct engine *engine) {
    uint64_t due_ns = engine->beat_ns;
    due_ns = first_of(due_ns, engine->app_ns);
    if (engine->polls != NULL) {
        due_ns = first_of(due_ns, engine->polls->finish_ns);
        due_ns = first_of(due_ns, engine->polls->probe_ns);
        due_ns = first_of(due_ns, engine->polls->retry_ns);
    }
    if (!timer_armed(&engine->timer) || due_ns < timer_due_ns(&engine->timer))
        timer_arm(&worker->wheel, &engine->timer, due_ns);
}

static uint64_t silence_ns(const struct worker *worker, const struct engine *engine) {
    uint64_t timeout_ns = worker->config->heartbeat_timeout_ns;
    return engine->version == 4 ? timeout_ns : worker->config->heartbeat_ns + timeout_ns;
}

void engine_heard(struct worker *worker, struct engine *engine,
                  const struct engine_packet *packet) {
    engine->overdue = false;
    if (engine->version == 3) {
        engine->beat_ns = worker->now_ns + silence_ns(worker, engine);
    } else if (packet->type == ENGINE_PONG) {
        engine->pinged = false;
        engine->beat_ns = worker->now_ns + worker->config->heartbeat_ns;
        engine_watch(worker, engine); /* the timer waits for the timeout, which may be longer */
    } else if (engine->pinged && !engine->refreshed) {
        engine->refreshed = true;
        engine->beat_ns = worker->now_ns + silence_ns(worker, engine);
    }
}

/* May its silence be the worker's own? It was away, or has not read what has come. */
static bool is_unheard(const struct worker *worker, const struct engine *engine, bool late) {
    uint64_t due_ns = engine->beat_ns - (engine->overdue ? DEADLINE_GRACE_NS : 0);
    return late || !reading_heard(worker, engine->connection, due_ns);
}

static void beat(struct worker *worker, struct engine *engine) {
    bool late = worker->now_ns - engine->beat_ns > DEADLINE_LATE_NS;
    if (engine->version == 4 && !engine->pinged) {
        engine->pinged = true;
        engine->refreshed = false;
        engine->beat_ns = (late ? worker->now_ns : engine->beat_ns) + silence_ns(worker, engine);
        engine_packet(worker, engine, &(struct engine_packet){.type = ENGINE_PING});
    } else if (is_unheard(worker, engine, late)) {
        engine->beat_ns = worker->now_ns + DEADLINE_GRACE_NS;
        engine->overdue = true;
    } else {
        engine_end(worker, engine, CLOSE_HEARTBEAT_TIMEOUT, ENGINE_CLOSE);
    }
}

/* Its time has come; then it is none any more. */
static bool is_due(const struct worker *worker, uint64_t *due_ns) {
    if (*due_ns == 0 || *due_ns > worker->now_ns)
        return false;
    *due_ns = 0;
    return true;
}

/* The times of its polls. While it is held, which keeps them. */
static void polls_due(struct worker *worker, struct engine *engine, struct engine_polls *polls) {
    if (is_due(worker, &polls->finish_ns))
        engine_end(worker, engine, (enum close_reason)engine->reason, ENGINE_CLOSE);
    if (!engine_is_gone(engine) && is_due(worker, &polls->probe_ns))
        engine_probe_abandon(worker, engine);
    if (!engine_is_gone(engine) && is_due(worker, &polls->retry_ns))
        engine_dirty(worker, engine);
}

static void on_due(struct endpoint *endpoint, struct timer *timer) {
    struct engine *engine = container_of(timer, struct engine, timer);
    struct worker *worker = worker_of(endpoint);
    engine_hold(engine);
    if (is_due(worker, &engine->app_ns))
        engine_app_of(engine->path)->on_deadline(worker, engine);
    if (!engine_is_gone(engine) && engine->polls != NULL)
        polls_due(worker, engine, engine->polls);
    if (!engine_is_gone(engine) && engine->beat_ns <= worker->now_ns)
        beat(worker, engine);
    if (!engine_is_gone(engine))
        engine_watch(worker, engine);
    engine_let(worker, engine);
}

void engine_time_init(struct worker *worker, struct engine *engine) {
    timer_init(&engine->timer, on_due);
    engine->beat_ns = worker->now_ns + (engine->version == 4 ? worker->config->heartbeat_ns
                                                             : silence_ns(worker, engine));
    engine_watch(worker, engine);
}

void engine_deadline(struct worker *worker, struct engine *engine, uint64_t due_ns) {
    engine->app_ns = due_ns;
    if (!engine_is_gone(engine))
        engine_watch(worker, engine);
}

/* --- the end of the node ---------------------------------------------------------------------- */

void engine_goodbye(struct worker *worker, struct engine *engine) {
    const struct engine_app *app = engine_app_of(engine->path);
    engine_hold(engine);
    if (app->on_drain != NULL)
        app->on_drain(worker, engine);
    else
        engine_finish(worker, engine, CLOSE_DRAINING);
    engine_let(worker, engine);
}

static bool is_waited(const struct worker *worker, const struct engine *engine) {
    const struct engine_app *app = engine_app_of(engine->path);
    return app->is_waited != NULL && app->is_waited(worker, engine);
}

/* The next one that polls, from a slot on; NULL: there is none. */
static struct engine *polling_from(struct engines *engines, uint32_t *slot) {
    while (++*slot <= engines->used) {
        struct engine *engine = engines->at[*slot];
        if (((uintptr_t)engine & 1) == 0 && !engine_is_gone(engine) && engine->connection == NULL)
            return engine;
    }
    return NULL;
}

static void on_drain_look(struct endpoint *endpoint, struct timer *timer) {
    struct engines *engines = container_of(timer, struct engines, drain);
    struct worker *worker = worker_of(endpoint);
    struct engine *engine = NULL;
    bool over = false;
    if (server_phase(worker->server) >= PHASE_GOODBYE)
        while (!over && (engine = polling_from(engines, &engines->drain_slot)) != NULL) {
            if (engine->stage == ENGINE_IS_OPEN && !is_waited(worker, engine))
                engine_goodbye(worker, engine);
            over = slice_over(worker);
        }
    if (engine == NULL)
        engines->drain_slot = 0; /* some may have come since, or wait for room */
    if (engines->waits)
        timer_arm(&worker->wheel, &engines->drain, worker->now_ns + DRAIN_LOOK_NS);
}

static void on_drain(struct worker *worker, struct wait *wait) {
    struct engines *engines = container_of(wait, struct engines, wait);
    engines->drain_slot = 0;
    timer_init(&engines->drain, on_drain_look);
    timer_arm(&worker->wheel, &engines->drain, worker->now_ns);
}

/* The time of the drain is over: all that are left end in this turn. */
static void on_over(struct worker *worker, struct wait *wait) {
    struct engines *engines = container_of(wait, struct engines, wait);
    uint32_t slot = 0;
    struct engine *engine;
    engines->waits = false;
    timer_disarm(&worker->wheel, &engines->drain);
    while ((engine = polling_from(engines, &slot)) != NULL)
        engine_end(worker, engine, CLOSE_DRAIN_TIMEOUT, ENGINE_CLOSE);
}

bool engine_polls_begin(struct worker *worker) {
    static const struct wait_type type = {on_drain, on_over};
    struct engines *engines = engines_of(worker);
    if (!engines->waits) {
        timer_init(&engines->drain, on_drain_look);
        if (SHORTAGE(!wait_begin(worker, &engines->wait, &type, worker->now_ns + WAIT_FOR_EVER_NS)))
            return false;
        engines->waits = true;
    }
    engines->polling++;
    stats_set(&worker->stats.engines_polling, engines->polling);
    return true;
}

void engine_polls_end(struct worker *worker) {
    struct engines *engines = engines_of(worker);
    engines->polling--;
    stats_set(&worker->stats.engines_polling, engines->polling);
    if (engines->polling != 0 || !engines->waits)
        return;
    engines->waits = false;
    wait_end(worker, &engines->wait);
    timer_disarm(&worker->wheel, &engines->drain);
}
