/* peer_hosts.c - the other nodes, as far as polls go; see peer_port.h. */
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "ha/peer/peer_port.h"

#include <stdio.h>
#include <string.h>

/* Who is looked for in vain may have come just now; but not more often than so. */
#define LOOK_AGAIN_NS (100 * NS_PER_MS)
#define NODES_AT_ONCE 32
#define TELL_NS (10 * NS_PER_S)
/* The herald hears them one by one when it has come back, and they may come back later. */
#define FORGET_NS (5 * NS_PER_S)

struct peer_host *peer_host_next(struct peer_port *peers, uint16_t node,
                                 const struct peer_host *after) {
    const struct list *at = after == NULL ? peers->hosts.next : after->link.next;
    for (; at != &peers->hosts; at = at->next) {
        struct peer_host *host = container_of(at, struct peer_host, link);
        if (host->node == node)
            return host;
    }
    return NULL;
}

/* --- what the herald knows -------------------------------------------------------------------- */

static struct peer_host *find(struct peer_port *peers, const char *run) {
    for (struct list *at = peers->hosts.next; at != &peers->hosts; at = at->next) {
        struct peer_host *host = container_of(at, struct peer_host, link);
        if (memcmp(host->run, run, PEER_RUN_BYTES) == 0)
            return host;
    }
    return NULL;
}

/* Polls of its sessions that come here are looked for here. */
static void twice_look(struct peer_port *peers, const struct peer_host *host) {
    if (host->node != sid_node(peers->port.server->run) || peers->twice_told)
        return;
    peers->twice_told = true;
    log_event(LOG_WARN, "peer_sids_twice", LOG_STR("node", host->name),
              LOG_STR("meaning",
                      "this node and that one happen to name their sessions alike: polls "
                      "that come to the wrong one of the two are answered Session ID "
                      "unknown"),
              LOG_STR("remedy", "restart one of them; names are drawn at each start"));
}

static struct peer_host *host_make(struct peer_port *peers, const struct port_node *node) {
    if (SHORTAGE(peers->host_count == PEER_HOSTS_MAX))
        return NULL;
    struct peer_host *host = memory_get(&peers->port.account, sizeof(*host));
    if (SHORTAGE(host == NULL))
        return NULL;
    *host = (struct peer_host){.node = sid_node(node->run)};
    memcpy(host->run, node->run, sizeof(host->run));
    list_init(&host->link);
    list_add_tail(&peers->hosts, &host->link);
    peers->host_count++;
    return host;
}

static void host_note(struct peer_port *peers, const struct port_node *node) {
    struct peer_host *host = find(peers, node->run);
    bool fresh = host == NULL;
    if (fresh)
        host = host_make(peers, node);
    if (SHORTAGE(host == NULL))
        return;
    host->listed = true;
    memcpy(host->name, node->name, sizeof(host->name));
    if (strcmp(host->address, node->peer) != 0) {
        memcpy(host->address, node->peer, sizeof(host->address));
        host->retry_ns = 0;
    }
    if (fresh)
        twice_look(peers, host);
}

static void host_free(struct peer_port *peers, struct peer_host *host) {
    list_remove(&host->link);
    peers->host_count--;
    memory_put(&peers->port.account, host, sizeof(*host));
}

/* Who has not been there for a while. While the herald hears nobody, all may be. */
static void hosts_trim(struct peer_port *peers, const struct port *herald) {
    uint64_t reached = 0;
    bool deaf = atomic_load_explicit(&herald->degraded, memory_order_relaxed) != NULL;
    for (struct list *at = peers->hosts.next, *next; at != &peers->hosts; at = next) {
        struct peer_host *host = container_of(at, struct peer_host, link);
        next = at->next;
        if (host->listed || deaf)
            host->listed_ns = peers->port.now_ns;
        if (peers->port.now_ns - host->listed_ns >= FORGET_NS && host->call == NULL &&
            host->away == 0)
            host_free(peers, host);
        else
            reached += host->address[0] != '\0';
    }
    atomic_store_explicit(&peers->figures.nodes, reached, memory_order_relaxed);
}

void peer_hosts_look(struct peer_port *peers, bool again) {
    struct port *herald = peers->port.server->parts.herald;
    struct port_node nodes[NODES_AT_ONCE];
    unsigned from = 0, count = NODES_AT_ONCE;
    uint64_t now_ns = peers->port.now_ns;
    if (herald == NULL || herald->type->nodes == NULL ||
        (again && now_ns - peers->listed_ns < LOOK_AGAIN_NS))
        return;
    peers->listed_ns = now_ns;
    for (struct list *at = peers->hosts.next; at != &peers->hosts; at = at->next)
        container_of(at, struct peer_host, link)->listed = false;
    for (; count == NODES_AT_ONCE; from += count) {
        count = herald->type->nodes(herald, from, nodes, NODES_AT_ONCE);
        for (unsigned i = 0; i < count; i++)
            host_note(peers, &nodes[i]);
    }
    hosts_trim(peers, herald);
}

void peer_hosts_free(struct peer_port *peers) {
    while (!list_empty(&peers->hosts))
        host_free(peers, container_of(peers->hosts.next, struct peer_host, link));
}

/* --- who cannot be reached -------------------------------------------------------------------- */

void peer_host_tell(struct peer_port *peers, struct peer_host *host, const char *why) {
    uint64_t now_ns = peers->port.now_ns;
    if (host->told && now_ns - host->told_ns < TELL_NS)
        return;
    host->told = true;
    host->told_ns = now_ns;
    log_event(LOG_WARN, "peer_unreachable", LOG_STR("node", host->name),
              LOG_STR("address", host->address[0] == '\0' ? "none" : host->address),
              LOG_STR("problem", why),
              LOG_STR("meaning", "polls of its clients that come to this node are answered Session "
                                 "ID unknown; they begin new sessions"),
              LOG_STR("remedy", "if that node runs: give it --peer and --peer-secret-file, and let "
                                "this one reach that address; if it has ended: none needed"));
}

void peer_host_lost(struct peer_port *peers, struct peer_host *host, bool was_up, const char *why) {
    uint64_t wait_ns = PEER_RETRY_MIN_NS;
    for (unsigned i = 0; i < host->tries && wait_ns < PEER_RETRY_MAX_NS; i++)
        wait_ns *= 2;
    if (wait_ns > PEER_RETRY_MAX_NS)
        wait_ns = PEER_RETRY_MAX_NS;
    host->tries++;
    host->retry_ns = peers->port.now_ns + wait_ns - rand_below(wait_ns / 2 + 1);
    if (was_up)
        log_event(LOG_WARN, "peer_lost", LOG_STR("node", host->name),
                  LOG_STR("address", host->address), LOG_STR("problem", why),
                  LOG_U64("polls", host->away),
                  LOG_STR("meaning", "so many polls of its clients were waiting there; these begin "
                                     "new sessions"),
                  LOG_STR("remedy", "none needed if that node was restarted; else see its log"));
    else
        peer_host_tell(peers, host, why);
}
