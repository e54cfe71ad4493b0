#include "ha/redis/redis_port.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/presence.h"
#include "core/server.h"
#include "ingest/gate/envelope.h"

#include <stdio.h>
#include <stdlib.h>

/* A text may be as long as what the gate looks at, in JSON that was escaped once more. */
static size_t reply_bytes_max(const struct config *config) {
    return 2 * envelope_text_bytes_max(config->max_message_bytes) + 65536;
}

/* How often a node says that Redis is still away. */
#define TELL_NS (10 * NS_PER_S)

/* --- up and down ----------------------------------------------------------------------------- */

static const char other_lost[] = "the other connection to it was lost";
static const char leaving[] = "this node ends";
static const char moved[] = "a Sentinel has named this server instead of the one before";
static const char unnamed[] = "no Sentinel has said yet where it is";

static void told_down(struct redis_port *redis) {
    /* Where one was lost for the other, that one has the cause. */
    const struct link *link =
        redis->subscriber.why[0] == '\0' || strcmp(redis->subscriber.why, other_lost) == 0
            ? &redis->commands
            : &redis->subscriber;
    redis->told = true;
    redis->told_ns = redis->port.now_ns;
    log_event(LOG_ERROR, "redis_lost", LOG_STR("redis", redis->server.text),
              LOG_STR("problem", link->why[0] == '\0' ? "it does not answer" : link->why),
              LOG_STR("meaning",
                      "clients and producers of this node go on; messages for clients of "
                      "other nodes are refused or miss them, and the answers say so"),
              LOG_STR("remedy", "see that Redis runs and can be reached; this node tries again by "
                                "itself"));
}

void redis_lose(struct redis_port *redis, const char *why) {
    uint64_t now_ns = redis->port.now_ns;
    link_lose(&redis->commands, now_ns, why);
    link_lose(&redis->subscriber, now_ns, why);
    if (!redis->up)
        return;
    redis->up = false;
    redis->down_ns = now_ns;
    redis_count(&redis->figures.lost, 1);
    redis_figure(&redis->figures.connected, 0);
    redis_figure(&redis->figures.names, 0);
    atomic_store_explicit(&redis->port.degraded, "redis", memory_order_relaxed);
    redis_names_lost(redis);
    redis_in_lost(redis);
    redis_out_lost(redis);
    redis_calls_lost(redis);
    redis_last_lost(redis);
    told_down(redis);
}

static void came_up(struct redis_port *redis) {
    redis->up = true;
    redis->connections++;
    if (redis->connections > 1)
        redis->unsure_ns = redis->port.now_ns + UNSURE_NS;
    redis->lives_ns = redis->quiet_ns = redis->port.now_ns;
    redis->told = false;
    redis->commands.why[0] = redis->subscriber.why[0] = '\0';
    redis_figure(&redis->figures.connected, 1);
    atomic_store_explicit(&redis->port.degraded, NULL, memory_order_relaxed);
    log_event(LOG_INFO, "redis_connected", LOG_STR("redis", redis->server.text),
              LOG_U64("names", presence_count(redis->port.server->presence)));
    redis_names_begin(redis);
}

/* A link may be lost by whatever is done with it; then all is. True: it is up. */
static bool is_up_still(struct redis_port *redis) {
    bool both = link_is_up(&redis->commands) && link_is_up(&redis->subscriber);
    if (redis->up && !both)
        redis_lose(redis, other_lost);
    return redis->up;
}

/* One that is up before the other: Redis has nothing to say on it, but may end it. */
static void link_look_alone(struct redis_port *redis, struct link *link) {
    struct resp_reply reply;
    if (link_next(link, &reply, redis->port.now_ns))
        link_lose(link, redis->port.now_ns, "Redis answers what it was not asked");
}

/* Goes where Sentinels say that the server is. */
static void server_follow(struct redis_port *redis) {
    uint64_t now_ns = redis->port.now_ns;
    bool works = redis->up && !redis_out_is_silent(redis);
    if (!redis_sentinel_step(&redis->sentinel, works, now_ns))
        return;
    redis_lose(redis, moved);
    link_anew(&redis->commands, now_ns);
    link_anew(&redis->subscriber, now_ns);
}

static void links_look(struct redis_port *redis) {
    uint64_t now_ns = redis->port.now_ns;
    server_follow(redis);
    if (redis->leaves && !redis->up) { /* nobody is to count it again */
        link_lose(&redis->commands, now_ns, leaving);
        link_lose(&redis->subscriber, now_ns, leaving);
        return;
    }
    if (!redis->up) {
        link_bide(&redis->commands, now_ns);
        link_bide(&redis->subscriber, now_ns);
    }
    bool fresh = link_step(&redis->commands, now_ns);
    if (fresh)
        link_hurry(&redis->subscriber, now_ns);
    if (link_step(&redis->subscriber, now_ns)) {
        link_hurry(&redis->commands, now_ns);
        fresh = true;
    }
    bool both = link_is_up(&redis->commands) && link_is_up(&redis->subscriber);
    if (is_up_still(redis))
        return;
    if (both && fresh) {
        came_up(redis);
        return;
    }
    link_look_alone(redis, &redis->commands);
    link_look_alone(redis, &redis->subscriber);
    uint64_t tell_ns = redis->told ? redis->told_ns + TELL_NS : redis->down_ns + DOWN_HOLD_NS;
    if (!redis->up && now_ns >= tell_ns)
        told_down(redis);
}

/* --- the port -------------------------------------------------------------------------------- */

/* False: the host has no address. */
static bool server_resolve(struct redis_server *server, char *problem, size_t problem_cap) {
    char why[160];
    server->address_count = redis_socket_resolve(server->url.host, server->url.port,
                                                 server->addresses, why, sizeof(why));
    if (server->address_count == 0) {
        snprintf(problem, problem_cap,
                 "--redis names a host without an address (%s: %s): correct the name, or give an "
                 "address",
                 server->url.host, why);
        return false;
    }
    return true;
}

static bool redis_open(struct port *port, char *problem, size_t problem_cap) {
    struct redis_port *redis = redis_of(port);
    struct redis_server *server = &redis->server;
    struct account *account = &port->account;
    bool named = redis_sentinel_is_on(&redis->sentinel);
    if (named ? !redis_sentinel_open(&redis->sentinel, account, port->now_ns, problem, problem_cap)
              : !server_resolve(server, problem, problem_cap))
        return false;
    size_t reply_max = reply_bytes_max(port->config);
    if (!link_init(&redis->commands, "commands", server, account, reply_max) ||
        !link_init(&redis->subscriber, "subscriber", server, account, reply_max) ||
        !nodes_init(&redis->nodes, account) || !redis_acks_init(redis)) {
        snprintf(problem, problem_cap, "no memory for the connection to Redis: raise --memory");
        return false;
    }
    if (named)
        snprintf(redis->commands.why, sizeof(redis->commands.why), "%s", unnamed);
    redis->down_ns = port->now_ns;
    port_hear_everything(port, true);
    return true;
}

static void keep_in_touch(struct redis_port *redis) {
    uint64_t now_ns = redis->port.now_ns;
    if (now_ns >= redis->lives_ns) {
        redis->lives_ns = now_ns + LIVES_NS;
        redis_out_word(redis, true);
    }
    /* What waits for its answer asks as well, and leaves perhaps no room for more. */
    if (link_wants_ping(&redis->subscriber, now_ns))
        link_asked(&redis->subscriber, now_ns,
                   redis->first_name != NULL || redis_names_order(redis));
    if (link_wants_ping(&redis->commands, now_ns))
        link_asked(&redis->commands, now_ns, redis->first != NULL || redis_out_ping(redis));
}

/* Sessions wait for what this says (ready.h). */
static void ready_tell(struct redis_port *redis) {
    bool gone = !redis->up && redis->port.now_ns - redis->down_ns >= DOWN_HOLD_NS;
    presence_ready_to(redis->port.server->presence, gone ? UINT64_MAX : redis->ready);
}

static void redis_turn(struct port *port) {
    struct redis_port *redis = redis_of(port);
    links_look(redis);
    if (is_up_still(redis))
        redis_names_work(redis);
    /* Either may use up the slice, and the other gets on by one reply then. */
    redis->answers_first = !redis->answers_first;
    if (redis->answers_first && is_up_still(redis))
        redis_out_answers(redis);
    if (is_up_still(redis))
        redis_in_read(redis);
    if (!redis->answers_first && is_up_still(redis))
        redis_out_answers(redis);
    if (is_up_still(redis)) {
        keep_in_touch(redis);
        redis_acks_work(redis);
        redis_last_work(redis);
        redis_calls_work(redis);
    }
    redis_in_nodes(redis);
    ready_tell(redis);
    link_send(&redis->subscriber, port->now_ns);
    link_send(&redis->commands, port->now_ns);
    is_up_still(redis);
    bool works = redis->up && !redis_out_is_silent(redis);
    atomic_store_explicit(&port->degraded, works ? NULL : "redis", memory_order_relaxed);
    redis_figure(&redis->figures.waiting_bytes, redis->commands.out_len - redis->commands.out_at +
                                                    redis->subscriber.out_len -
                                                    redis->subscriber.out_at);
}

/* The moment that something is to be done although nothing has come. */
static uint64_t due_ns(const struct redis_port *redis) {
    uint64_t due = redis_sentinel_due_ns(&redis->sentinel), other;
    if (redis->up || !redis->leaves) {
        other = link_due_ns(&redis->commands);
        due = other < due ? other : due;
        other = link_due_ns(&redis->subscriber);
        due = other < due ? other : due;
    }
    if (redis->up && redis->lives_ns < due)
        due = redis->lives_ns;
    if (redis_calls_due_ns(redis) < due)
        due = redis_calls_due_ns(redis);
    if (redis_last_due_ns(redis) > redis->port.now_ns && redis_last_due_ns(redis) < due)
        due = redis_last_due_ns(redis);
    if (!redis->up && due > redis->down_ns + DOWN_HOLD_NS &&
        presence_ready(redis->port.server->presence) != UINT64_MAX)
        due = redis->down_ns + DOWN_HOLD_NS;
    return due;
}

/* Is there something that the last turn had no time for? */
static bool is_busy(const struct redis_port *redis) {
    return redis->commands.input.len != 0 || redis->subscriber.input.len != 0 ||
           redis->commands.in_ready || redis->subscriber.in_ready || redis_acks_busy(redis) ||
           redis_last_busy(redis);
}

static void redis_wait(struct port *port, int wake_fd, uint64_t wait_ns) {
    struct redis_port *redis = redis_of(port);
    struct pollfd fds[] = {{.fd = wake_fd, .events = POLLIN},
                           link_poll(&redis->commands),
                           link_poll(&redis->subscriber),
                           redis_sentinel_poll(&redis->sentinel)};
    uint64_t now_ns = clock_ns(), due = due_ns(redis);
    if (due - now_ns < wait_ns || due <= now_ns)
        wait_ns = due <= now_ns ? 0 : due - now_ns;
    if (redis->held) { /* the workers are behind: their mail, or time, tells when they are not */
        wait_ns = wait_ns > NS_PER_MS ? NS_PER_MS : wait_ns;
        if (fds[2].events == POLLIN) /* what comes there is not read now */
            fds[2].fd = -1;
        fds[2].events &= ~POLLIN;
    } else if (is_busy(redis)) {
        wait_ns = 0;
    }
    redis_socket_wait(fds, 4, wait_ns);
    net_wake_clear(wake_fd);
    link_polled(&redis->commands, fds[1].revents);
    link_polled(&redis->subscriber, fds[2].revents);
    redis_sentinel_polled(&redis->sentinel, fds[3].revents);
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
        if (redis->up)
            redis_names_leave(redis);
    }
    if (redis->called_open + redis->adapter.open != 0)
        return false;
    return redis_names_left(redis) || port->now_ns - redis->leaves_ns >= SILENT_NS;
}

static void redis_stop(struct port *port) {
    struct redis_port *redis = redis_of(port);
    redis_out_word(redis, false);
    link_send(&redis->commands, port->now_ns);
    if (redis->up) {
        redis->up = false;
        redis_figure(&redis->figures.connected, 0);
        redis_names_lost(redis);
        redis_out_lost(redis);
    }
    CHECK(redis->adapter.open == 0, "a request of a server is under way");
    presence_ready_to(port->server->presence, UINT64_MAX);
    link_fini(&redis->commands);
    link_fini(&redis->subscriber);
    redis_sentinel_fini(&redis->sentinel);
    nodes_fini(&redis->nodes);
    redis_acks_fini(redis);
    redis_calls_fini(redis);
    redis_out_fini(redis);
}

static void redis_where(struct port *port, char *text, size_t cap) {
    redis_sentinel_server(&redis_of(port)->sentinel, text, cap);
}

static void figure_tell(struct redis_port *redis, const char *metric, const char *label,
                        const char *kind, const char *help, const _Atomic uint64_t *value) {
    CHECK(redis->port.figure_count < sizeof(redis->shown) / sizeof(redis->shown[0]));
    redis->shown[redis->port.figure_count++] =
        (struct port_figure){metric, label, kind, help, value};
}

static void figures_tell(struct redis_port *redis) {
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
    if (redis_sentinel_is_on(&redis->sentinel)) {
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
                                          .where = redis_where,
                                          .stop = redis_stop};
    memset(redis, 0, sizeof(*redis));
    port_init(&redis->port, &type);
    redis->prefix = span_text(config->redis_prefix);
    redis_url_parse(span_text(config->redis), &redis->server.url);
    redis_sentinel_init(&redis->sentinel, &redis->server);
    snprintf(redis->server.client, sizeof(redis->server.client), "ringpost-%s", config->node);
    atomic_init(&redis->port.degraded, "redis");
    redis_adapter_init(redis, config);
    figures_tell(redis);
    redis_out_init(redis);
    list_init(&redis->lents);
    pool_init(&redis->lent_pool, redis_lent_bytes());
    redis_calls_init(redis);
    redis_names_init(redis);
    redis_in_init(redis);
}
