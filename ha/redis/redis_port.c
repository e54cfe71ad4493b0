#include "ha/redis/redis_port.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/presence.h"
#include "core/server.h"
#include "ingest/gate/envelope.h"

#include <stdio.h>
#include <stdlib.h>

/* --- the port -------------------------------------------------------------------------------- */

static bool shards_open(struct redis_port *redis, char *problem, size_t problem_cap) {
    const struct config *config = redis->port.config;
    struct redis_url url;
    redis->begun_ns = redis->port.now_ns;
    redis_url_parse(span_text(config->redis[0]), &url);
    if (url.kind == REDIS_URL_CLUSTER)
        return redis_cluster_open(redis, span_text(config->redis[0]), problem, problem_cap);
    for (unsigned i = 0; i < config->redis_count; i++) {
        redis_url_parse(span_text(config->redis[i]), &url);
        if (!redis_shard_open(redis, &url, problem, problem_cap))
            return false;
    }
    stats_set(&redis->figures.shards, redis->shard_count);
    redis_shards_changed(redis);
    return true;
}

static bool redis_open(struct port *port, char *problem, size_t problem_cap) {
    struct redis_port *redis = redis_of(port);
    snprintf(problem, problem_cap, "no memory for the connection to Redis: raise --memory");
    if (!shards_open(redis, problem, problem_cap) || !nodes_init(&redis->nodes, &port->account) ||
        !redis_acks_init(redis))
        return false;
    port_hear_everything(port, true);
    return true;
}

/* What waits for its answer asks as well, and leaves perhaps no room for more. */
static void keep_in_touch(struct redis_shard *shard) {
    uint64_t now_ns = shard->redis->port.now_ns;
    if (link_wants_ping(&shard->subscriber, now_ns))
        link_asked(&shard->subscriber, now_ns,
                   shard->first_name != NULL || redis_names_order(shard));
    if (link_wants_ping(&shard->commands, now_ns))
        link_asked(&shard->commands, now_ns, shard->first != NULL || redis_out_ping(shard));
    if (shard->redis->cluster != NULL)
        redis_out_role(shard);
}

/* Sessions wait for what this says (ready.h): each shard knows all up to there. */
static void ready_tell(struct redis_port *redis) {
    uint64_t ready = UINT64_MAX;
    const struct redis_cluster *cluster = redis->cluster;
    bool gone = redis->port.now_ns - redis->begun_ns >= DOWN_HOLD_NS;
    if (cluster != NULL && (cluster->unplaced || (!cluster->has_map && !gone)))
        return; /* it is not said of more than before */
    for (unsigned i = 0; i < redis->shard_count; i++) {
        uint64_t known = redis_shard_ready(redis->shards[i]);
        ready = known < ready ? known : ready;
    }
    presence_ready_to(redis->port.server->presence, ready);
}

/* Either link may use up the slice, and the other gets on by one reply then; so do other shards. */
static void shard_read(struct redis_shard *shard) {
    bool answers_first = shard->redis->answers_first;
    if (answers_first && redis_shard_is_up(shard))
        redis_out_answers(shard);
    if (redis_shard_is_up(shard))
        redis_in_read(shard);
    if (!answers_first && redis_shard_is_up(shard))
        redis_out_answers(shard);
    redis_shard_is_up(shard);
}

static void shards_read(struct redis_port *redis) {
    redis->answers_first = !redis->answers_first;
    if (redis->answers_first && redis->shard_count != 0)
        redis->first_shard = (redis->first_shard + 1) % redis->shard_count;
    for (unsigned i = 0; i < redis->shard_count; i++)
        shard_read(redis->shards[(redis->first_shard + i) % redis->shard_count]);
}

/* What this node says of itself. */
static void shards_tell(struct redis_port *redis) {
    if (redis->up && redis->port.now_ns >= redis->lives_ns) {
        redis->lives_ns = redis->port.now_ns + LIVES_NS;
        redis_out_word(redis, true);
    }
    for (unsigned i = 0; i < redis->shard_count; i++)
        if (redis_shard_is_up(redis->shards[i])) {
            keep_in_touch(redis->shards[i]);
            redis_last_work(redis->shards[i]);
        }
    if (!redis->up)
        return;
    redis_acks_work(redis);
    redis_calls_work(redis);
}

static void shards_send(struct redis_port *redis) {
    bool works = redis->cluster == NULL || redis->cluster->has_map;
    size_t waiting = 0;
    for (unsigned i = 0; i < redis->shard_count; i++) {
        struct redis_shard *shard = redis->shards[i];
        link_send(&shard->subscriber, redis->port.now_ns);
        link_send(&shard->commands, redis->port.now_ns);
        redis_shard_is_up(shard);
        works &= shard->is_idle || redis_shard_works(shard);
        waiting += redis_shard_waiting(shard);
    }
    atomic_store_explicit(&redis->port.degraded, works ? NULL : "redis", memory_order_relaxed);
    stats_set(&redis->figures.waiting_bytes, waiting);
}

static void redis_turn(struct port *port) {
    struct redis_port *redis = redis_of(port);
    redis_cluster_work(redis);
    for (unsigned i = 0; i < redis->shard_count; i++)
        redis_shard_look(redis->shards[i]);
    redis_names_work(redis);
    shards_read(redis);
    shards_tell(redis);
    redis_in_nodes(redis);
    ready_tell(redis);
    shards_send(redis);
}

/* The moment that something is to be done although nothing has come. */
static uint64_t due_ns(const struct redis_port *redis) {
    uint64_t due = redis_calls_due_ns(redis), other;
    if (redis->up && redis->lives_ns < due)
        due = redis->lives_ns;
    other = redis_cluster_due_ns(redis);
    due = other < due ? other : due;
    other = redis_sentinel_due_ns(&redis->sentinel);
    due = other < due ? other : due;
    for (unsigned i = 0; i < redis->shard_count; i++) {
        other = redis_shard_due_ns(redis->shards[i]);
        due = other < due ? other : due;
    }
    return due;
}

/* Is there something that the last turn had no time for? */
static bool is_busy(const struct redis_port *redis) {
    bool busy = redis_acks_busy(redis) || redis_names_busy(redis);
    for (unsigned i = 0; i < redis->shard_count; i++) {
        const struct redis_shard *shard = redis->shards[i];
        busy |= shard->commands.input.len != 0 || shard->subscriber.input.len != 0 ||
                shard->commands.in_ready || shard->subscriber.in_ready || redis_last_busy(shard);
    }
    return busy;
}

static void redis_wait(struct port *port, int wake_fd, uint64_t wait_ns) {
    struct redis_port *redis = redis_of(port);
    struct pollfd fds[2 + 2 * REDIS_SHARDS_MAX];
    unsigned count = 1;
    fds[0] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
    for (unsigned i = 0; i < redis->shard_count; i++) {
        fds[count++] = link_poll(&redis->shards[i]->commands);
        struct pollfd *subscriber = &fds[count++];
        *subscriber = link_poll(&redis->shards[i]->subscriber);
        if (!redis->held)
            continue;
        if (subscriber->events == POLLIN) /* what comes there is not read now */
            subscriber->fd = -1;
        subscriber->events &= ~POLLIN;
    }
    fds[count++] = redis->cluster != NULL ? link_poll(&redis->cluster->link)
                                          : redis_sentinel_poll(&redis->sentinel);
    uint64_t now_ns = clock_ns(), due = due_ns(redis);
    if (due - now_ns < wait_ns || due <= now_ns)
        wait_ns = due <= now_ns ? 0 : due - now_ns;
    if (redis->held) /* the workers are behind: their mail, or time, tells when they are not */
        wait_ns = wait_ns > NS_PER_MS ? NS_PER_MS : wait_ns;
    else if (is_busy(redis))
        wait_ns = 0;
    redis_socket_wait(fds, count, wait_ns);
    net_wake_clear(wake_fd);
    for (unsigned i = 0; i < redis->shard_count; i++) {
        link_polled(&redis->shards[i]->commands, fds[1 + 2 * i].revents);
        link_polled(&redis->shards[i]->subscriber, fds[2 + 2 * i].revents);
    }
    if (redis->cluster != NULL)
        link_polled(&redis->cluster->link, fds[count - 1].revents);
    else
        redis_sentinel_polled(&redis->sentinel, fds[count - 1].revents);
}

/* What workers have carried out for a node, or for a server of Socket.IO. */
static void redis_called(struct port *port, struct call *call) {
    if (redis_rooms_is(call))
        redis_rooms_called(redis_of(port), call);
    else
        redis_calls_called(port, call);
}

static bool redis_refuse(struct port *port) {
    struct redis_port *redis = redis_of(port);
    if (!redis->leaves) {
        redis->leaves = true;
        redis->leaves_ns = port->now_ns;
        redis_acks_leave(redis);
        redis_names_leave(redis);
    }
    if (redis->called_open + redis->adapter.open != 0)
        return false;
    return redis_names_left(redis) || port->now_ns - redis->leaves_ns >= SILENT_NS;
}

static void redis_stop(struct port *port) {
    struct redis_port *redis = redis_of(port);
    redis_out_word(redis, false);
    for (unsigned i = 0; i < redis->shard_count; i++) {
        struct redis_shard *shard = redis->shards[i];
        link_send(&shard->commands, port->now_ns);
        if (shard->up) {
            shard->up = false;
            redis_names_lost(shard);
            redis_out_lost(shard);
        }
        redis_calls_lost(shard);
        redis_shard_free(shard);
    }
    redis_cluster_free(redis);
    redis->up = false;
    redis->all_by = NULL;
    redis->shard_count = 0;
    stats_set(&redis->figures.connected, 0);
    CHECK(redis->adapter.open == 0, "a request of a server is under way");
    presence_ready_to(port->server->presence, UINT64_MAX);
    redis_sentinel_fini(&redis->sentinel);
    nodes_fini(&redis->nodes);
    redis_acks_fini(redis);
    redis_calls_fini(redis);
    redis_out_fini(redis);
    redis_adapter_fini(redis);
}

static void figure_tell(struct redis_port *redis, const char *metric, const char *label,
                        const char *kind, const char *help, const _Atomic uint64_t *value) {
    CHECK(redis->port.figure_count < sizeof(redis->shown) / sizeof(redis->shown[0]));
    redis->shown[redis->port.figure_count++] =
        (struct port_figure){metric, label, kind, help, value};
}

static void figures_tell(struct redis_port *redis, const struct config *config) {
    struct redis_url url;
    redis_url_parse(span_text(config->redis[0]), &url);
#define REDIS_FIGURE_TELL(name, metric, kind, help)                                                \
    figure_tell(redis, metric, NULL, kind, help, &redis->figures.name);
    REDIS_FIGURES(REDIS_FIGURE_TELL)
#undef REDIS_FIGURE_TELL
#define REDIS_REFUSAL_TELL(name, word)                                                             \
    figure_tell(redis, "redis_refused_total", "reason=\"" word "\"", "counter",                    \
                "messages from Redis that were not taken",                                         \
                &redis->figures.refused[REDIS_REFUSED_##name]);
    REDIS_REFUSALS(REDIS_REFUSAL_TELL)
#undef REDIS_REFUSAL_TELL
    if (redis_adapter_is_on(&redis->adapter)) {
#define ADAPTER_FIGURE_TELL(name, metric, help)                                                    \
    figure_tell(redis, "socketio_adapter_" metric, NULL, "counter", help,                          \
                &redis->adapter.figures.name);
        ADAPTER_FIGURES(ADAPTER_FIGURE_TELL)
#undef ADAPTER_FIGURE_TELL
#define ADAPTER_REFUSAL_TELL(name, word)                                                           \
    figure_tell(redis, "socketio_adapter_refused_total", "reason=\"" word "\"", "counter",         \
                "events and requests of servers that were not taken",                              \
                &redis->adapter.figures.refused[ADAPTER_REFUSED_##name]);
        ADAPTER_REFUSALS(ADAPTER_REFUSAL_TELL)
#undef ADAPTER_REFUSAL_TELL
    }
    if (url.kind == REDIS_URL_SENTINEL) {
#define SENTINEL_FIGURE_TELL(name, metric, kind, help)                                             \
    figure_tell(redis, metric, NULL, kind, help, &redis->sentinel.figures.name);
        SENTINEL_FIGURES(SENTINEL_FIGURE_TELL)
#undef SENTINEL_FIGURE_TELL
    }
    redis->port.figures = redis->shown;
}

void redis_port_init(struct redis_port *redis, const struct config *config) {
    static const struct port_type type = {.name = "redis",
                                          .open = redis_open,
                                          .deliver = redis_out_deliver,
                                          .hand = redis_acks_hand,
                                          .call = redis_calls_ask,
                                          .called = redis_called,
                                          .turn = redis_turn,
                                          .wait = redis_wait,
                                          .refuse = redis_refuse,
                                          .nodes = redis_in_known,
                                          .servers = redis_in_servers,
                                          .stop = redis_stop};
    memset(redis, 0, sizeof(*redis));
    port_init(&redis->port, &type);
    redis->prefix = span_text(config->redis_prefix);
    redis_sentinel_init(&redis->sentinel);
    atomic_init(&redis->port.degraded, "redis");
    redis_adapter_init(redis, config);
    figures_tell(redis, config);
    redis_out_init(redis);
    list_init(&redis->lents);
    pool_init(&redis->lent_pool, redis_lent_bytes());
    redis_calls_init(redis);
    redis_in_init(redis);
}
