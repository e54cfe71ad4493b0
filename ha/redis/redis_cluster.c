#include "ha/redis/redis_cluster.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/shortage.h"
#include "core/presence.h"
#include "core/server.h"
#include "ha/redis/redis_port.h"

#include <arpa/inet.h>
#include <stdio.h>

#define NOBODY 255
#define MAP_BYTES_MAX ((size_t)1 << 20)
/* The next node is asked so soon where one did not answer, and not all were asked. */
#define NEXT_NS (20 * NS_PER_MS)
/* How often the log is told of the same. */
#define TELL_NS (10 * NS_PER_S)

/* --- what is told ---------------------------------------------------------------------------- */

static bool is_told_now(struct redis_cluster *cluster, const char *why) {
    uint64_t now_ns = cluster->redis->port.now_ns;
    if (cluster->told_ns != 0 && now_ns - cluster->told_ns < TELL_NS &&
        strcmp(cluster->why, why) == 0)
        return false;
    cluster->told_ns = now_ns;
    snprintf(cluster->why, sizeof(cluster->why), "%s", why);
    return true;
}

static void tell_refused(struct redis_cluster *cluster, const char *why) {
    stats_add(&cluster->redis->figures.maps_refused, 1);
    if (!is_told_now(cluster, why))
        return;
    log_event(LOG_WARN, "redis_map_refused", LOG_STR("redis", cluster->asked.text),
              LOG_STR("problem", why),
              LOG_STR("meaning", "this node goes on by what it knew before of where slots are"),
              LOG_STR("remedy", "see what CLUSTER NODES says there"));
}

static void tell_lost(struct redis_cluster *cluster, const char *why) {
    if (!is_told_now(cluster, why))
        return;
    log_event(LOG_ERROR, "redis_lost", LOG_STR("redis", cluster->text), LOG_STR("problem", why),
              LOG_STR("meaning", "nobody says where the slots of the Cluster are"),
              LOG_STR("remedy", "see that its nodes run and can be reached; this node tries again "
                                "by itself"));
}

/* --- a map ----------------------------------------------------------------------------------- */

static bool address_of(const struct slots_primary *primary, struct port_address *out) {
    struct sockaddr_in *v4 = (struct sockaddr_in *)&out->address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&out->address;
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, primary->host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(primary->port);
        out->len = sizeof(*v4);
        return true;
    }
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(primary->port);
    out->len = sizeof(*v6);
    return inet_pton(AF_INET6, primary->host, &v6->sin6_addr) == 1;
}

static struct redis_url url_of(const struct redis_cluster *cluster,
                               const struct slots_primary *primary) {
    struct redis_url url = cluster->url;
    url.kind = REDIS_URL_PLAIN;
    url.port = primary->port;
    url.is_v6 = strchr(primary->host, ':') != NULL;
    snprintf(url.host, sizeof(url.host), "%s", primary->host);
    return url;
}

/* Which shard each primary is from now on. NULL, or why not. */
static const char *seats_find(struct redis_cluster *cluster, uint8_t seats[SLOTS_PRIMARIES_MAX],
                              bool taken[REDIS_SHARDS_MAX]) {
    struct redis_port *redis = cluster->redis;
    const struct slots_map *map = &cluster->map;
    memset(seats, NOBODY, SLOTS_PRIMARIES_MAX);
    /* Its own; */
    for (unsigned i = 0; i < map->count; i++) {
        struct redis_url url = url_of(cluster, &map->primaries[i]);
        for (unsigned j = 0; j < redis->shard_count; j++) {
            if (!redis_url_same_server(&url, &redis->shards[j]->server.url))
                continue;
            if (taken[j])
                return "two nodes have one address";
            seats[i] = (uint8_t)j;
            taken[j] = true;
        }
    }
    /* that of the one whose slots it has taken over; */
    for (unsigned slot = 0; slot < SLOTS && cluster->has_map; slot++) {
        uint8_t *seat = &seats[map->of[slot]];
        if (*seat == NOBODY && !taken[cluster->of[slot]]) {
            *seat = cluster->of[slot];
            taken[*seat] = true;
        }
    }
    /* one that is free, or new. */
    for (unsigned i = 0, free = 0; i < map->count; i++) {
        if (seats[i] != NOBODY)
            continue;
        while (free < redis->shard_count && taken[free])
            free++;
        if (free == redis->shard_count &&
            SHORTAGE(free == REDIS_SHARDS_MAX || !redis_shard_add(redis)))
            return "there is no memory for another server";
        seats[i] = (uint8_t)free;
        taken[free] = true;
    }
    return NULL;
}

/* All names are looked at again, whether they are where they belong. */
static void names_place(struct redis_port *redis) {
    for (unsigned i = 0; i < redis->shard_count; i++) {
        struct redis_shard *shard = redis->shards[i];
        presence_renew(redis->port.server->presence, i, shard->up ? shard->connection : 0);
    }
    for (unsigned i = 0; i < redis->shard_count; i++)
        if (redis_shard_is_up(redis->shards[i]))
            redis_names_own(redis->shards[i]);
}

/* So many slots have moved. */
static void map_changed(struct redis_cluster *cluster, unsigned moved, unsigned primaries) {
    struct redis_port *redis = cluster->redis;
    uint64_t unsure_ns = redis->port.now_ns + UNSURE_NS;
    for (unsigned i = 0; cluster->has_map && i < redis->shard_count; i++)
        redis->shards[i]->unsure_ns = unsure_ns;
    stats_add(&redis->figures.maps, 1);
    stats_set(&redis->figures.shards, primaries);
    log_event(LOG_INFO, "redis_map", LOG_STR("redis", cluster->asked.text),
              LOG_U64("servers", primaries), LOG_U64("slots_moved", moved));
}

/* NULL, or why it is refused. */
static const char *map_apply(struct redis_cluster *cluster) {
    struct redis_port *redis = cluster->redis;
    struct slots_map *map = &cluster->map;
    uint8_t seats[SLOTS_PRIMARIES_MAX];
    bool taken[REDIS_SHARDS_MAX] = {false}, changed = false;
    unsigned moved = 0;
    const char *why = seats_find(cluster, seats, taken);
    if (why != NULL)
        return why;
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        uint8_t shard = seats[map->of[slot]];
        moved += !cluster->has_map || cluster->of[slot] != shard;
        cluster->of[slot] = shard;
    }
    for (unsigned i = 0; i < map->count; i++) {
        struct redis_url url = url_of(cluster, &map->primaries[i]);
        struct port_address address;
        if (address_of(&map->primaries[i], &address))
            changed |= redis_shard_seat(redis->shards[seats[i]], &url, &address);
    }
    for (unsigned i = 0; i < redis->shard_count; i++)
        if (!taken[i])
            changed |= redis_shard_seat(redis->shards[i], NULL, NULL);
    changed |= moved != 0;
    cluster->epoch = map->epoch;
    if (changed)
        map_changed(cluster, moved, map->count);
    cluster->has_map = true;
    if (changed || cluster->unplaced) {
        cluster->unplaced = false;
        redis_shards_changed(redis);
        names_place(redis);
    }
    if (cluster->unhanded)
        redis->asks_later = true;
    cluster->unhanded = false;
    cluster->fruitless = changed ? 0 : cluster->fruitless + 1;
    return NULL;
}

/* What `CLUSTER NODES` answered. NULL, or why it is refused. */
static const char *map_take(struct redis_cluster *cluster, struct span text) {
    struct slots_map *map = &cluster->map;
    const char *why = slots_read(text, map);
    if (why != NULL)
        return why;
    for (unsigned i = 0; i < map->count; i++) /* a node that does not know its own address */
        if (map->primaries[i].host[0] == '\0')
            snprintf(map->primaries[i].host, sizeof(map->primaries[i].host), "%.45s",
                     cluster->asked.url.host);
    if (cluster->has_map && map->epoch < cluster->epoch && ++cluster->older < CLUSTER_OLDER_MAX)
        return "it is older than what is known";
    cluster->older = 0;
    return map_apply(cluster);
}

/* --- a look ---------------------------------------------------------------------------------- */

static uint64_t wait_ns(const struct redis_cluster *cluster) {
    uint64_t wait_ns = CLUSTER_WAIT_MIN_NS;
    for (unsigned i = 1; i < cluster->fruitless && wait_ns < CLUSTER_WAIT_MAX_NS; i++)
        wait_ns *= 2;
    if (wait_ns > CLUSTER_WAIT_MAX_NS)
        wait_ns = CLUSTER_WAIT_MAX_NS;
    return wait_ns - rand_below(wait_ns / 4 + 1);
}

static void look_end(struct redis_cluster *cluster) {
    cluster->looks = cluster->wants = false;
    cluster->next_ns = cluster->redis->port.now_ns + wait_ns(cluster);
    link_lose(&cluster->link, cluster->redis->port.now_ns, "it has answered");
}

/* Nobody, or nothing that can be used, came of it. */
static void look_fail(struct redis_cluster *cluster) {
    unsigned all = cluster->redis->shard_count + cluster->seed_count;
    look_end(cluster);
    cluster->wants = true;
    if (++cluster->failed % all != 0)
        cluster->next_ns = cluster->redis->port.now_ns + NEXT_NS;
    else
        cluster->fruitless++;
}

/* Whom to ask: shards that are up before others, and those that were named at the start. */
static void asked_choose(struct redis_cluster *cluster) {
    const struct redis_port *redis = cluster->redis;
    unsigned all = redis->shard_count + cluster->seed_count;
    struct redis_server *asked = &cluster->asked;
    char host[INET6_ADDRSTRLEN] = "";
    unsigned at = cluster->next;
    for (unsigned i = 0; i < all; i++) {
        at = cluster->next++ % all;
        bool works = at < redis->shard_count && redis_shard_works(redis->shards[at]);
        bool idle = at < redis->shard_count && redis->shards[at]->is_idle;
        if (works || (!idle && (!redis->up || cluster->failed != 0)))
            break;
    }
    asked->address_count = 1;
    asked->addresses[0] = at < redis->shard_count ? redis->shards[at]->server.addresses[0]
                                                  : cluster->seeds[at - redis->shard_count];
    const struct sockaddr_storage *address = &asked->addresses[0].address;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;
    bool is_v4 = address->ss_family == AF_INET;
    inet_ntop(address->ss_family, is_v4 ? (const void *)&v4->sin_addr : &v6->sin6_addr, host,
              sizeof(host));
    struct slots_primary primary = {.port = ntohs(is_v4 ? v4->sin_port : v6->sin6_port)};
    memcpy(primary.host, host, sizeof(host));
    asked->url = url_of(cluster, &primary);
    struct builder text = builder_over(asked->text, sizeof(asked->text) - 1);
    redis_url_write(&text, &asked->url);
    asked->text[text.len] = '\0';
}

static void look_begin(struct redis_cluster *cluster) {
    uint64_t now_ns = cluster->redis->port.now_ns;
    asked_choose(cluster);
    cluster->looks = true;
    cluster->begun_ns = now_ns;
    cluster->answers = 0;
    cluster->link.address = 0;
    cluster->link.why[0] = '\0';
    cluster->link.retry_ns = now_ns;
}

static void look_send(struct redis_cluster *cluster) {
    const struct span count[] = {SPAN_INIT("PUBSUB"), SPAN_INIT("SHARDNUMSUB")};
    const struct span nodes[] = {SPAN_INIT("CLUSTER"), SPAN_INIT("NODES")};
    if (!link_command(&cluster->link, count, 2) || !link_command(&cluster->link, nodes, 2))
        link_lose(&cluster->link, cluster->redis->port.now_ns, "no memory");
    else
        link_send(&cluster->link, cluster->redis->port.now_ns);
}

static void look_answer(struct redis_cluster *cluster, const struct resp_reply *reply) {
    char why[160];
    if (cluster->answers++ == 0) { /* where an ACL forbids it nobody knows */
        cluster->is_old =
            reply->type == RESP_ERROR && memmem(reply->text.at, reply->text.len, "nknown", 6);
        return;
    }
    const char *wrong = NULL;
    if (cluster->is_old) {
        wrong = "its Redis is older than 7.0, which has no sharded pub/sub";
    } else if (reply->type == RESP_ERROR) {
        snprintf(why, sizeof(why), "Redis answers: %.*s",
                 (int)(reply->text.len < 120 ? reply->text.len : 120), reply->text.at);
        wrong = why;
    } else if (reply->type != RESP_STRING) {
        wrong = "Redis answers CLUSTER NODES not as asked";
    }
    if (wrong != NULL) {
        tell_lost(cluster, wrong);
        look_fail(cluster);
        return;
    }
    wrong = map_take(cluster, reply->text);
    if (wrong != NULL) {
        tell_refused(cluster, wrong);
        look_fail(cluster);
        return;
    }
    cluster->looked_ns = cluster->redis->port.now_ns;
    cluster->failed = 0;
    look_end(cluster);
}

static void look_step(struct redis_cluster *cluster) {
    uint64_t now_ns = cluster->redis->port.now_ns;
    struct resp_reply reply;
    if (link_step(&cluster->link, now_ns))
        look_send(cluster);
    while (cluster->looks && link_next(&cluster->link, &reply, now_ns))
        look_answer(cluster, &reply);
    if (!cluster->looks)
        return;
    if (now_ns - cluster->begun_ns >= CLUSTER_ANSWER_NS)
        link_lose(&cluster->link, now_ns, "it does not answer");
    if (cluster->link.state != LINK_DOWN)
        return;
    if (!cluster->has_map)
        tell_lost(cluster, cluster->link.why);
    look_fail(cluster);
}

/* --- the whole ------------------------------------------------------------------------------- */

void redis_cluster_want(struct redis_port *redis) {
    struct redis_cluster *cluster = redis->cluster;
    if (cluster == NULL || cluster->wants)
        return;
    cluster->wants = true;
    if (redis->port.now_ns - cluster->looked_ns >= 2 * CLUSTER_WAIT_MAX_NS) {
        cluster->fruitless = 0; /* it was quiet for long */
        cluster->next_ns = redis->port.now_ns;
    }
}

bool redis_cluster_moved(struct redis_port *redis, const struct resp_reply *reply) {
    static const struct span words[] = {SPAN_INIT("MOVED "), SPAN_INIT("CLUSTERDOWN"),
                                        SPAN_INIT("ASK "), SPAN_INIT("TRYAGAIN"),
                                        SPAN_INIT("MASTERDOWN")};
    if (redis->cluster == NULL || reply->type != RESP_ERROR)
        return false;
    for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (span_starts(reply->text, words[i])) {
            stats_add(&redis->figures.moved, 1);
            redis_cluster_want(redis);
            return true;
        }
    return false;
}

/* Does something say that the map may have changed? */
static bool is_wanted(const struct redis_cluster *cluster) {
    const struct redis_port *redis = cluster->redis;
    uint64_t now_ns = redis->port.now_ns;
    bool wanted = !cluster->has_map || cluster->unplaced || cluster->unhanded ||
                  now_ns - cluster->looked_ns >= CLUSTER_LOOK_NS;
    for (unsigned i = 0; i < redis->shard_count; i++) {
        const struct redis_shard *shard = redis->shards[i];
        const struct link *link = &shard->subscriber;
        bool silent = shard->up && link->asked_ns != 0 && now_ns - link->asked_ns >= SILENT_NS;
        wanted |= !shard->is_idle && (silent || !redis_shard_works(shard));
    }
    return wanted;
}

void redis_cluster_work(struct redis_port *redis) {
    struct redis_cluster *cluster = redis->cluster;
    if (cluster == NULL || redis->leaves)
        return;
    if (!cluster->looks && !cluster->wants && is_wanted(cluster))
        redis_cluster_want(redis);
    if (!cluster->looks && cluster->wants && redis->port.now_ns >= cluster->next_ns)
        look_begin(cluster);
    if (cluster->looks)
        look_step(cluster);
    link_send(&cluster->link, redis->port.now_ns);
}

uint64_t redis_cluster_due_ns(const struct redis_port *redis) {
    const struct redis_cluster *cluster = redis->cluster;
    if (cluster == NULL || redis->leaves)
        return CLOCK_NEVER;
    if (cluster->looks)
        return cluster->begun_ns + CLUSTER_ANSWER_NS;
    return cluster->wants ? cluster->next_ns : cluster->looked_ns + CLUSTER_LOOK_NS;
}

/* The addresses of all nodes that were named. */
static bool seeds_find(struct redis_cluster *cluster, struct span text, char *problem,
                       size_t problem_cap) {
    struct port_address found[REDIS_ADDRESSES_MAX];
    struct redis_url url;
    char why[160];
    for (unsigned i = 0; redis_url_node(text, i, &url); i++) {
        unsigned count = redis_socket_resolve(url.host, url.port, found, why, sizeof(why));
        for (unsigned j = 0; j < count && cluster->seed_count < CLUSTER_SEEDS_MAX; j++)
            cluster->seeds[cluster->seed_count++] = found[j];
        if (count == 0)
            snprintf(problem, problem_cap,
                     "--redis names a host without an address (%s: %s): correct the name, or give "
                     "an address",
                     url.host, why);
        if (count == 0)
            return false;
    }
    return true;
}

/* The node begins with a map, if somebody tells it in time. */
static bool first_look(struct redis_cluster *cluster, char *problem, size_t problem_cap) {
    struct redis_port *redis = cluster->redis;
    uint64_t until_ns = redis->port.now_ns + CLUSTER_ANSWER_NS;
    while (!cluster->has_map && !cluster->is_old && redis->port.now_ns < until_ns) {
        redis_cluster_work(redis);
        link_send(&cluster->link, redis->port.now_ns);
        if (cluster->has_map || cluster->is_old)
            break;
        struct pollfd fd = link_poll(&cluster->link);
        redis_socket_wait(&fd, 1, 5 * NS_PER_MS);
        link_polled(&cluster->link, fd.revents);
        redis->port.now_ns = clock_ns();
    }
    if (cluster->is_old)
        snprintf(problem, problem_cap,
                 "--redis names a Redis Cluster older than 7.0, which has no sharded pub/sub: "
                 "upgrade it, or name several servers by redis://");
    return !cluster->is_old;
}

bool redis_cluster_open(struct redis_port *redis, struct span text, char *problem,
                        size_t problem_cap) {
    struct account *account = &redis->port.account;
    struct redis_cluster *cluster = memory_get(account, sizeof(*cluster));
    if (cluster == NULL)
        return false;
    memset(cluster, 0, sizeof(*cluster));
    redis->cluster = cluster;
    cluster->redis = redis;
    redis_url_parse(text, &cluster->url);
    struct builder out = builder_over(cluster->text, sizeof(cluster->text) - 1);
    redis_url_write(&out, &cluster->url);
    struct redis_server *asked = &cluster->asked;
    asked->any_role = true;
    snprintf(asked->client, sizeof(asked->client), "ringpost-%s", redis->port.config->node);
    return seeds_find(cluster, text, problem, problem_cap) &&
           link_init(&cluster->link, "map", asked, account, MAP_BYTES_MAX) &&
           first_look(cluster, problem, problem_cap);
}

void redis_cluster_free(struct redis_port *redis) {
    struct redis_cluster *cluster = redis->cluster;
    if (cluster == NULL)
        return;
    link_fini(&cluster->link);
    memory_put(&redis->port.account, cluster, sizeof(*cluster));
    redis->cluster = NULL;
}
