#include "ha/redis/redis_shard.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/shortage.h"
#include "core/presence.h"
#include "core/server.h"
#include "ha/redis/redis_cluster.h"
#include "ha/redis/redis_port.h"
#include "ha/redis/spread.h"
#include "ingest/gate/envelope.h"

#include <stdio.h>

/* A text may be as long as what the gate looks at, in JSON that was escaped once more. */
static size_t reply_bytes_max(const struct config *config) {
    return 2 * envelope_text_bytes_max(config->max_message_bytes) + 65536;
}

/* How often a node says that Redis is still away. */
#define TELL_NS (10 * NS_PER_S)

static const char other_lost[] = "the other connection to it was lost";
static const char leaving[] = "this node ends";
static const char named[] = "a Sentinel has named this server instead of the one before";
static const char unnamed[] = "no Sentinel has said yet where it is";

/* --- the beginning and the end --------------------------------------------------------------- */

static void server_name(struct redis_server *server, const struct redis_url *url) {
    struct builder text = builder_over(server->text, sizeof(server->text) - 1);
    server->url = *url;
    redis_url_write(&text, url);
    server->text[text.len] = '\0';
}

struct redis_shard *redis_shard_add(struct redis_port *redis) {
    struct account *account = &redis->port.account;
    const struct config *config = redis->port.config;
    struct redis_shard *shard = memory_get(account, sizeof(*shard));
    if (SHORTAGE(shard == NULL))
        return NULL;
    memset(shard, 0, sizeof(*shard));
    shard->redis = redis;
    shard->index = redis->shard_count;
    shard->is_idle = true;
    shard->last = &shard->first;
    shard->last_name = &shard->first_name;
    list_init(&shard->parked);
    list_init(&shard->parked_next);
    list_init(&shard->doubted);
    list_init(&shard->doubted_next);
    struct redis_server *server = &shard->server;
    snprintf(server->client, sizeof(server->client), "ringpost-%s", config->node);
    size_t reply_max = reply_bytes_max(config);
    bool commands = link_init(&shard->commands, "commands", server, account, reply_max);
    bool subscriber = link_init(&shard->subscriber, "subscriber", server, account, reply_max);
    if (SHORTAGE(!commands || !subscriber)) {
        redis_shard_free(shard);
        return NULL;
    }
    redis->shards[redis->shard_count++] = shard;
    return shard;
}

static void sit(struct redis_shard *shard) {
    shard->is_idle = false;
    shard->told = false;
    shard->down_ns = shard->redis->port.now_ns;
    shard->spread = spread_server(&shard->server.url);
    link_anew(&shard->commands, shard->down_ns);
    link_anew(&shard->subscriber, shard->down_ns);
}

/* False: the host has no address. */
static bool server_resolve(struct redis_server *server, char *problem, size_t problem_cap) {
    const struct redis_url *url = &server->url;
    char why[160];
    server->address_count =
        redis_socket_resolve(url->host, url->port, server->addresses, why, sizeof(why));
    if (server->address_count == 0)
        snprintf(problem, problem_cap,
                 "--redis names a host without an address (%s: %s): correct the name, or give an "
                 "address",
                 url->host, why);
    return server->address_count != 0;
}

bool redis_shard_open(struct redis_port *redis, const struct redis_url *url, char *problem,
                      size_t problem_cap) {
    struct redis_shard *shard = redis_shard_add(redis);
    if (shard == NULL)
        return false;
    bool by_sentinel = url->kind == REDIS_URL_SENTINEL;
    server_name(&shard->server, url);
    if (by_sentinel ? !redis_sentinel_open(&redis->sentinel, &shard->server, &redis->port.account,
                                           redis->port.now_ns, problem, problem_cap)
                    : !server_resolve(&shard->server, problem, problem_cap))
        return false;
    if (by_sentinel)
        snprintf(shard->commands.why, sizeof(shard->commands.why), "%s", unnamed);
    sit(shard);
    return true;
}

bool redis_shard_seat(struct redis_shard *shard, const struct redis_url *url,
                      const struct port_address *address) {
    struct redis_server *server = &shard->server;
    uint64_t now_ns = shard->redis->port.now_ns;
    if (url == NULL ? shard->is_idle : !shard->is_idle && redis_url_same_server(&server->url, url))
        return false;
    redis_lose(shard, url == NULL ? "it has no slots any more" : "another server has its slots");
    link_lose(&shard->commands, now_ns, leaving);
    link_lose(&shard->subscriber, now_ns, leaving);
    shard->is_idle = true;
    if (url == NULL)
        return true;
    server_name(server, url);
    server->addresses[0] = *address;
    server->address_count = 1;
    sit(shard);
    return true;
}

void redis_shard_free(struct redis_shard *shard) {
    CHECK(shard->first == NULL && shard->first_name == NULL, "a shard owes something");
    link_fini(&shard->commands);
    link_fini(&shard->subscriber);
    memory_put(&shard->redis->port.account, shard, sizeof(*shard));
}

/* --- up and down ----------------------------------------------------------------------------- */

static void told_down(struct redis_shard *shard) {
    /* Where one was lost for the other, that one has the cause. */
    const struct link *link =
        shard->subscriber.why[0] == '\0' || strcmp(shard->subscriber.why, other_lost) == 0
            ? &shard->commands
            : &shard->subscriber;
    shard->told = true;
    shard->told_ns = shard->redis->port.now_ns;
    log_event(LOG_ERROR, "redis_lost", LOG_STR("redis", shard->server.text),
              LOG_STR("problem", link->why[0] == '\0' ? "it does not answer" : link->why),
              LOG_STR("meaning",
                      "clients and producers of this node go on; messages for clients of "
                      "other nodes are refused or miss them, and the answers say so"),
              LOG_STR("remedy", "see that Redis runs and can be reached; this node tries again by "
                                "itself"));
}

static struct redis_shard *home_shard(const struct redis_port *redis,
                                      const struct wire_channel *channel) {
    return redis->shard_count == 0 ? NULL : redis->shards[redis_shard_home(redis, channel)];
}

/* With the lock of presence.h. */
static unsigned home_of(void *argument, enum name_kind kind, struct span text) {
    return redis_shard_home(argument,
                            &(struct wire_channel){kind == NAME_ID ? WIRE_ID : WIRE_GROUP, text});
}

/* For what goes to everybody: where all nodes are by now, if there is such a one. */
static struct redis_shard *all_choose(const struct redis_port *redis) {
    struct redis_shard *chosen = NULL;
    if (redis->cluster != NULL) {
        chosen = home_shard(redis, &(struct wire_channel){.place = WIRE_ALL});
        return chosen != NULL && chosen->up ? chosen : NULL;
    }
    for (unsigned i = 0; i < redis->shard_count; i++) {
        struct redis_shard *shard = redis->shards[i];
        if (shard->up && (chosen == NULL || shard->unsure_ns < chosen->unsure_ns))
            chosen = shard;
    }
    return chosen;
}

/* Which are up by now. */
void redis_shards_changed(struct redis_port *redis) {
    unsigned ups = 0;
    for (unsigned i = 0; i < redis->shard_count; i++)
        ups += redis->shards[i]->up;
    redis->up = ups != 0;
    if (redis->cluster != NULL || redis->all_by == NULL || !redis->all_by->up)
        redis->all_by = all_choose(redis);
    if (redis->shard_count != 0)
        presence_share(redis->port.server->presence, redis->shard_count, home_of, redis);
    redis_in_servers_tell(redis);
    stats_set(&redis->figures.connected, ups);
}

void redis_lose(struct redis_shard *shard, const char *why) {
    struct redis_port *redis = shard->redis;
    uint64_t now_ns = redis->port.now_ns;
    link_lose(&shard->commands, now_ns, why);
    link_lose(&shard->subscriber, now_ns, why);
    if (!shard->up)
        return;
    shard->up = false;
    shard->down_ns = now_ns;
    stats_add(&redis->figures.lost, 1);
    redis_shards_changed(redis);
    atomic_store_explicit(&redis->port.degraded, "redis", memory_order_relaxed);
    redis_names_lost(shard);
    redis_in_lost(shard);
    redis_out_lost(shard);
    redis_calls_lost(shard);
    redis_last_lost(shard);
    told_down(shard);
    redis_cluster_want(redis);
}

static void came_up(struct redis_shard *shard) {
    struct redis_port *redis = shard->redis;
    shard->up = true;
    shard->connections++;
    shard->connection = ++redis->connections;
    if (shard->connections > 1)
        shard->unsure_ns = redis->port.now_ns + UNSURE_NS;
    redis->lives_ns = shard->quiet_ns = redis->port.now_ns;
    shard->told = false;
    shard->commands.why[0] = shard->subscriber.why[0] = '\0';
    redis_shards_changed(redis);
    log_event(LOG_INFO, "redis_connected", LOG_STR("redis", shard->server.text),
              LOG_U64("names", presence_count(redis->port.server->presence)));
    redis_names_begin(shard);
}

bool redis_shard_is_up(struct redis_shard *shard) {
    bool both = link_is_up(&shard->commands) && link_is_up(&shard->subscriber);
    if (shard->up && !both)
        redis_lose(shard, other_lost);
    return shard->up;
}

/* One that is up before the other: Redis has nothing to say on it, but may end it. */
static void link_look_alone(struct link *link, uint64_t now_ns) {
    struct resp_reply reply;
    if (link_next(link, &reply, now_ns))
        link_lose(link, now_ns, "Redis answers what it was not asked");
}

/* Goes where Sentinels say that the server is; without them there is nothing to follow. */
static void server_follow(struct redis_shard *shard) {
    struct redis_port *redis = shard->redis;
    uint64_t now_ns = redis->port.now_ns;
    if (!redis_sentinel_step(&redis->sentinel, redis_shard_works(shard), now_ns))
        return;
    redis_lose(shard, named);
    link_anew(&shard->commands, now_ns);
    link_anew(&shard->subscriber, now_ns);
    redis_in_servers_tell(redis);
}

void redis_shard_look(struct redis_shard *shard) {
    uint64_t now_ns = shard->redis->port.now_ns;
    if (shard->is_idle)
        return;
    server_follow(shard);
    if (shard->redis->leaves && !shard->up) { /* nobody is to count it again */
        link_lose(&shard->commands, now_ns, leaving);
        link_lose(&shard->subscriber, now_ns, leaving);
        return;
    }
    if (!shard->up) {
        link_bide(&shard->commands, now_ns);
        link_bide(&shard->subscriber, now_ns);
    }
    bool fresh = link_step(&shard->commands, now_ns);
    if (fresh)
        link_hurry(&shard->subscriber, now_ns);
    if (link_step(&shard->subscriber, now_ns)) {
        link_hurry(&shard->commands, now_ns);
        fresh = true;
    }
    bool both = link_is_up(&shard->commands) && link_is_up(&shard->subscriber);
    if (redis_shard_is_up(shard))
        return;
    if (both && fresh) {
        came_up(shard);
        return;
    }
    link_look_alone(&shard->commands, now_ns);
    link_look_alone(&shard->subscriber, now_ns);
    uint64_t tell_ns = shard->told ? shard->told_ns + TELL_NS : shard->down_ns + DOWN_HOLD_NS;
    if (now_ns >= tell_ns)
        told_down(shard);
}

/* --- how it is ------------------------------------------------------------------------------- */

bool redis_shard_works(const struct redis_shard *shard) {
    return shard->up && !redis_out_is_silent(shard);
}

uint64_t redis_shard_ready(const struct redis_shard *shard) {
    bool gone = !shard->up && shard->redis->port.now_ns - shard->down_ns >= DOWN_HOLD_NS;
    return gone || shard->is_idle ? UINT64_MAX : shard->ready;
}

uint64_t redis_shard_due_ns(const struct redis_shard *shard) {
    const struct redis_port *redis = shard->redis;
    uint64_t due = CLOCK_NEVER, other;
    if (shard->is_idle)
        return due;
    if (shard->up || !redis->leaves) {
        due = link_due_ns(&shard->commands);
        other = link_due_ns(&shard->subscriber);
        due = other < due ? other : due;
    }
    other = redis_last_due_ns(shard);
    if (other > redis->port.now_ns && other < due)
        due = other;
    other = shard->down_ns + DOWN_HOLD_NS;
    if (!shard->up && due > other && presence_ready(redis->port.server->presence) != UINT64_MAX &&
        redis->port.now_ns < other)
        due = other;
    return due;
}

size_t redis_shard_waiting(const struct redis_shard *shard) {
    return shard->commands.out_len - shard->commands.out_at + shard->subscriber.out_len -
           shard->subscriber.out_at;
}

/* --- whose a channel is ---------------------------------------------------------------------- */

unsigned redis_shard_home(const struct redis_port *redis, const struct wire_channel *channel) {
    char name[WIRE_CHANNEL_BYTES_MAX];
    unsigned home = 0;
    uint64_t best = 0;
    if (redis->cluster == NULL && redis->shard_count == 1)
        return 0;
    struct span text = span_of(name, wire_channel_write(redis->prefix, channel, name));
    if (redis->cluster != NULL)
        return redis->cluster->of[slots_of(text)];
    uint64_t of = spread_channel(text);
    for (unsigned i = 0; i < redis->shard_count; i++) {
        uint64_t score = spread_score(redis->shards[i]->spread, of);
        if (score >= best) {
            best = score;
            home = i;
        }
    }
    return home;
}

struct redis_shard *redis_shard_of(const struct redis_port *redis,
                                   const struct wire_channel *channel) {
    bool is_all = channel->place == WIRE_ALL;
    if (is_all || (channel->place == WIRE_NODE && redis->cluster == NULL))
        return redis->all_by;
    struct redis_shard *shard = home_shard(redis, channel);
    return shard != NULL && shard->up ? shard : NULL;
}
