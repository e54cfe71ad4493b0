#include "ha/peer/peer_port.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/config.h"
#include "core/net.h"
#include "core/server.h"
#include "ha/peer/peer_socket.h"

#include <stdio.h>
#include <string.h>

/* What happens by time is looked at so often; with nobody connected the nodes are. */
#define TICK_NS (500 * NS_PER_MS)

static void on_tick(struct endpoint *endpoint, struct timer *timer) {
    struct peer_port *peers = container_of(timer, struct peer_port, tick);
    peers->looks = true;
    peers->held = false;
    timer_arm(&endpoint->wheel, timer, endpoint->now_ns + TICK_NS);
}

/* --- the listener ----------------------------------------------------------------------------- */

static bool listen_open(struct peer_port *peers, char *problem, size_t problem_cap) {
    const struct config *config = peers->port.config;
    const struct socket_buffers buffers = {PEER_OUT_BYTES, 4 * PEER_IN_BYTES};
    const struct sockaddr *address = (const struct sockaddr *)&config->peer.address;
    socklen_t len = config->peer.address_len;
    char why[256];
    if (!net_free(address, len, true, why, sizeof(why))) {
        snprintf(problem, problem_cap, "--peer: %s", why);
        return false;
    }
    peers->listen_fd = net_listen(address, len, true, false, &buffers, why, sizeof(why));
    if (peers->listen_fd < 0) {
        snprintf(problem, problem_cap, "--peer: %s", why);
        return false;
    }
    peer_socket_patient(peers->listen_fd);
    if (!net_local_text(peers->listen_fd, peers->port.address, sizeof(peers->port.address))) {
        snprintf(problem, problem_cap, "--peer: the address that it listens at is not known");
        return false;
    }
    return true;
}

static bool peer_open(struct port *port, char *problem, size_t problem_cap) {
    struct peer_port *peers = peers_of(port);
    if (!listen_open(peers, problem, problem_cap))
        return false;
    peers->fds = memory_get(&port->account, PEER_FDS * sizeof(*peers->fds));
    if (peers->fds == NULL) {
        snprintf(problem, problem_cap, "no memory for connections of other nodes: raise --memory");
        return false;
    }
    log_event(LOG_INFO, "listening", LOG_STR("listener", "peer"),
              LOG_STR("address", port->address));
    timer_arm(&port->wheel, &peers->tick, port->now_ns + TICK_NS);
    return true;
}

/* --- a turn ----------------------------------------------------------------------------------- */

static void peer_relay(struct port *port, struct relay *relay) {
    struct peer_port *peers = peers_of(port);
    if (relay->owner == port->index)
        peer_guest_relay(peers, relay);
    else
        peer_away_relay(peers, relay);
}

static void look(struct peer_port *peers) {
    peers->looks = false;
    peer_hosts_look(peers, false);
    peer_away_look(peers);
    for (struct list *at = peers->links.next; at != &peers->links; at = at->next)
        peer_link_look(container_of(at, struct peer_link, link));
}

static void links_work(struct peer_port *peers) {
    struct list *last = peers->links.prev;
    for (struct list *at = peers->links.next, *next; at != &peers->links; at = next) {
        struct peer_link *link = container_of(at, struct peer_link, link);
        next = at == last ? &peers->links : at->next;
        peer_link_work(link);
        if (endpoint_slice_over(&peers->port.endpoint)) {
            /* Those behind it come first in the next turn. */
            while (peers->links.next != next && next != &peers->links)
                list_add_tail(&peers->links, list_pop(&peers->links));
            return;
        }
    }
}

static void peer_turn(struct port *port) {
    struct peer_port *peers = peers_of(port);
    links_work(peers);
    if (peers->called)
        peer_accept(peers);
    if (peers->looks)
        look(peers);
    peer_links_sweep(peers);
}

/* Is there something that the last turn had no time for? */
static bool is_busy(const struct peer_link *link) {
    if (link->state == PEER_CONNECTING)
        return !link->out_full;
    if (link->state != PEER_UP)
        return link->in_ready;
    bool reads = link->in_at == link->in_len ? link->in_ready : peer_link_room(link, 0);
    return reads || (!link->out_full && (link->out_len != 0 || !list_empty(&link->queue)));
}

static void peer_wait(struct port *port, int wake_fd, uint64_t wait_ns) {
    struct peer_port *peers = peers_of(port);
    struct pollfd *fds = peers->fds;
    unsigned count = 0;
    if (fds == NULL) { /* it has stopped */
        net_wake_wait(wake_fd, wait_ns);
        return;
    }
    fds[count++] = (struct pollfd){.fd = wake_fd, .events = POLLIN};
    fds[count++] = (struct pollfd){.fd = peers->held ? -1 : peers->listen_fd, .events = POLLIN};
    for (struct list *at = peers->links.next; at != &peers->links; at = at->next) {
        const struct peer_link *link = container_of(at, struct peer_link, link);
        CHECK(count < PEER_FDS);
        fds[count++] = (struct pollfd){.fd = link->fd, .events = peer_link_events(link)};
        if (is_busy(link))
            wait_ns = 0;
    }
    peer_socket_wait(fds, count, wait_ns);
    net_wake_clear(wake_fd);
    count = 2;
    for (struct list *at = peers->links.next; at != &peers->links; at = at->next) {
        struct peer_link *link = container_of(at, struct peer_link, link);
        short came = fds[count++].revents;
        link->in_ready |= (came & (POLLIN | POLLHUP | POLLERR)) != 0;
        if (came & (POLLOUT | POLLHUP | POLLERR))
            link->out_full = false;
    }
    peers->called = fds[1].revents != 0;
}

/* --- the end ---------------------------------------------------------------------------------- */

static bool peer_refuse(struct port *port) {
    struct peer_port *peers = peers_of(port);
    if (!peers->leaves)
        peer_away_release(peers);
    peers->leaves = true;
    return true;
}

/* Sessions have ended, and their last answers are on their way to other nodes. */
static bool peer_close(struct port *port) {
    struct peer_port *peers = peers_of(port);
    if (peers->closes_ns == 0)
        peers->closes_ns = port->now_ns;
    if (port->now_ns - peers->closes_ns >= PEER_CLOSE_NS)
        return true;
    bool left = stats_get(&peers->figures.guests) == 0;
    for (struct list *at = peers->links.next; at != &peers->links; at = at->next)
        left &= container_of(at, struct peer_link, link)->out_len == 0;
    if (!left)
        timer_arm(&port->wheel, &peers->tick, port->now_ns + 10 * NS_PER_MS);
    return left;
}

static void peer_stop(struct port *port) {
    struct peer_port *peers = peers_of(port);
    timer_disarm(&port->wheel, &peers->tick);
    for (struct list *at = peers->links.next; at != &peers->links; at = at->next) {
        struct peer_link *link = container_of(at, struct peer_link, link);
        if (link->fd >= 0)
            peer_socket_end(link->fd);
        peer_link_lose(link, NULL);
    }
    peer_links_sweep(peers);
    peer_hosts_free(peers);
    peer_away_stop(peers);
    table_fini(&peers->guests);
    if (peers->fds != NULL)
        memory_put(&port->account, peers->fds, PEER_FDS * sizeof(*peers->fds));
    peers->fds = NULL;
    if (peers->listen_fd >= 0)
        net_close(peers->listen_fd);
    peers->listen_fd = -1;
}

/* --- the beginning ---------------------------------------------------------------------------- */

static void figure_tell(struct peer_port *peers, const char *metric, const char *label,
                        const char *kind, const char *help, const _Atomic uint64_t *value) {
    CHECK(peers->port.figure_count < sizeof(peers->shown) / sizeof(peers->shown[0]));
    peers->shown[peers->port.figure_count++] =
        (struct port_figure){metric, label, kind, help, value};
}

static void figures_tell(struct peer_port *peers) {
#define PEER_FIGURE_TELL(name, metric, kind, help)                                                 \
    figure_tell(peers, metric, NULL, kind, help, &peers->figures.name);
    PEER_FIGURES(PEER_FIGURE_TELL)
#undef PEER_FIGURE_TELL
#define PEER_FAILURE_TELL(name, word)                                                              \
    figure_tell(peers, "peer_failed_total", "reason=\"" word "\"", "counter",                      \
                "polls that no other node answered", &peers->figures.failed[PEER_FAILED_##name]);
    PEER_FAILURES(PEER_FAILURE_TELL)
#undef PEER_FAILURE_TELL
#define PEER_REFUSAL_TELL(name, word)                                                              \
    figure_tell(peers, "peer_refused_total", "reason=\"" word "\"", "counter",                     \
                "connections between nodes that were refused or given up",                         \
                &peers->figures.refused[PEER_REFUSED_##name]);
    PEER_REFUSALS(PEER_REFUSAL_TELL)
#undef PEER_REFUSAL_TELL
    peers->port.figures = peers->shown;
}

void peer_port_init(struct peer_port *peers, const struct config *config) {
    static const struct port_type type = {.name = "peer",
                                          .open = peer_open,
                                          .relay = peer_relay,
                                          .turn = peer_turn,
                                          .wait = peer_wait,
                                          .refuse = peer_refuse,
                                          .close = peer_close,
                                          .stop = peer_stop};
    memset(peers, 0, sizeof(*peers));
    port_init(&peers->port, &type);
    memcpy(peers->key, config->peer_key, sizeof(peers->key));
    peers->listen_fd = -1;
    list_init(&peers->hosts);
    list_init(&peers->links);
    timer_init(&peers->tick, on_tick);
    table_init(&peers->guests);
    peer_away_init(peers);
    figures_tell(peers);
}
