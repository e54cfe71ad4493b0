#include "tests/sim/sim_world.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "tests/sim/sim_check.h"

#include <errno.h>
#include <stdlib.h>

static struct link *links[LINKS_MAX];
static unsigned link_count;
static struct fake_fd fds[FDS_MAX];
static unsigned fd_count;
static unsigned kept_count; /* of those, in a table of files */

static const uint16_t ports[LISTENER_KINDS] = {7000, 8080, 8081};

void world_open(void) {
    memset(fds, 0, sizeof(fds));
    fd_count = kept_count = 0;
    link_count = 0;
}

void world_close(void) {
    for (unsigned i = 0; i < link_count; i++) {
        tap_close(&links[i]->tap);
        free(links[i]->up.at);
        free(links[i]->down.at);
        free(links[i]);
        links[i] = NULL;
    }
    link_count = 0;
}

unsigned world_links(void) {
    return link_count;
}

struct link *world_link(unsigned number) {
    return links[number];
}

/* --- pipes ---------------------------------------------------------------------------------- */

static void pipe_put(struct sim_pipe *pipe, const char *at, size_t len) {
    size_t held = (size_t)(pipe->written - pipe->base);
    if (held + len > pipe->size) {
        size_t gone = (size_t)(pipe->taken - pipe->base);
        if (gone > 0) {
            memmove(pipe->at, pipe->at + gone, held - gone);
            pipe->base = pipe->taken;
            held -= gone;
        }
        if (held + len > pipe->size) {
            pipe->size = (held + len) * 2;
            pipe->at = realloc(pipe->at, pipe->size);
            CHECK(pipe->at != NULL);
        }
    }
    memcpy(pipe->at + held, at, len);
    pipe->written += len;
}

static size_t pipe_room(const struct sim_pipe *pipe) {
    uint64_t held = pipe->written - pipe->taken;
    return held >= pipe->window ? 0 : (size_t)(pipe->window - held);
}

static bool pipe_can_move(const struct sim_pipe *pipe) {
    return pipe->written > pipe->arrived && sim.now_ns >= pipe->stalled_until;
}

static bool pipe_move(struct sim_pipe *pipe) {
    if (!pipe_can_move(pipe))
        return false;
    uint64_t missing = pipe->written - pipe->arrived;
    if (sim_chance(sim.scenario.chunk_small))
        pipe->arrived += sim_between(1, missing < 8 ? missing : 8);
    else if (sim_chance(300))
        pipe->arrived += sim_between(1, missing);
    else
        pipe->arrived = pipe->written;
    if (sim_chance(sim.scenario.stall))
        pipe->stalled_until = sim.now_ns + sim_roll(sim.scenario.delay_max_ns + 1);
    return true;
}

/* --- descriptors ---------------------------------------------------------------------------- */

struct fake_fd *fd_find(int fd) {
    if (fd < FD_FIRST || fd >= FD_FIRST + FDS_MAX || fds[fd - FD_FIRST].kind == FD_FREE)
        return NULL;
    return &fds[fd - FD_FIRST];
}

int fd_open(enum fake_fd_kind kind) {
    /* What stands in a ring's table counts for no limit of the process. */
    if (fd_count - kept_count >= sim.scenario.descriptors)
        return -1;
    /* The lowest that is free, like the kernel: numbers come back as soon as they may. */
    for (int i = 0; i < FDS_MAX; i++) {
        if (fds[i].kind == FD_FREE) {
            fds[i] = (struct fake_fd){.kind = kind};
            fd_count++;
            return FD_FIRST + i;
        }
    }
    return -1;
}

void fd_keep(int fd) {
    fd_find(fd)->kept = true;
    kept_count++;
}

unsigned fds_in_use(void) {
    return fd_count;
}

static void link_node_closes(struct link *link) {
    link->state = LINK_CLOSED;
    link->fd = -1;
    link->down_end = true;
    /* A socket closed with unread input, or input still to come, answers by a reset. */
    if (link->up.written > link->up.taken) {
        link->down_reset = true;
        link->words_lost = !sim.late && link->down.arrived < link->down.written;
    }
}

/* Does a descriptor that was lent keep it open? From now on that is the link's own. */
static bool link_lent(struct link *link) {
    for (int i = 0; i < FDS_MAX; i++) {
        if (fds[i].kind != FD_LENT || fds[i].link != link)
            continue;
        fds[i].kind = FD_LINK;
        link->fd = FD_FIRST + i;
        return true;
    }
    return false;
}

void fd_free(int fd) {
    struct fake_fd *slot = fd_find(fd);
    CHECK(slot != NULL);
    if (slot->kind == FD_LINK && !link_lent(slot->link))
        link_node_closes(slot->link);
    struct link *waiting;
    while (slot->kind == FD_LISTEN && (waiting = listen_pop(slot)) != NULL) {
        link_node_closes(waiting);
        waiting->down_reset = true;
    }
    kept_count -= slot->kept;
    *slot = (struct fake_fd){.kind = FD_FREE};
    fd_count--;
}

struct link *listen_pop(struct fake_fd *listener) {
    struct link *link = listener->waiting;
    if (link == NULL)
        return NULL;
    listener->waiting = link->next_waiting;
    if (listener->waiting == NULL)
        listener->waiting_last = NULL;
    listener->waiting_count--;
    link->next_waiting = NULL;
    return link;
}

/* The socket of the group that the kernel gives the connection to. */
static struct fake_fd *listener_choose(uint16_t port, const struct peer_address *from) {
    struct fake_fd *group[SIM_WORKERS_MAX];
    unsigned count = 0;
    bool steered = false;
    for (int i = 0; i < FDS_MAX; i++) {
        if (fds[i].kind != FD_LISTEN || fds[i].port != port)
            continue;
        CHECK(count < SIM_WORKERS_MAX);
        unsigned at = count++;
        for (; at > 0 && group[at - 1]->order > fds[i].order; at--)
            group[at] = group[at - 1];
        group[at] = &fds[i];
        steered |= fds[i].steered;
    }
    if (count == 0)
        return NULL;
    return group[steered ? steer_worker(from, count) : sim_roll(count)];
}

/* --- links ---------------------------------------------------------------------------------- */

struct link *link_connect(enum listener_kind kind, const struct peer_address *from) {
    struct fake_fd *listener = listener_choose(ports[kind], from);
    if (listener == NULL)
        return NULL;
    CHECK(link_count < LINKS_MAX, "the scenario makes too many connections");
    struct link *link = calloc(1, sizeof(*link));
    CHECK(link != NULL);
    link->number = link_count;
    links[link_count++] = link;
    link->kind = kind;
    link->from = *from;
    link->fd = -1;
    link->worker = -1;
    link->up.window = sim.scenario.receive_window;
    link->down.window = sim.scenario.send_window;
    link->reset_errno = ECONNRESET;
    if (listener->waiting_last != NULL)
        listener->waiting_last->next_waiting = link;
    else
        listener->waiting = link;
    listener->waiting_last = link;
    listener->waiting_count++;
    tap_open(&link->tap, link);
    return link;
}

size_t link_write(struct link *link, const char *at, size_t len) {
    CHECK(!link->up_end && !link->reset);
    size_t room = pipe_room(&link->up);
    if (link->state == LINK_CLOSED) {
        /* Whatever comes to a closed socket is answered by a reset. */
        link->down_reset = true;
        return len;
    }
    if (len > room)
        len = room;
    pipe_put(&link->up, at, len);
    return len;
}

size_t link_read(struct link *link, size_t max) {
    size_t there = link_readable(link);
    if (max < there)
        there = max;
    link->down.taken += there;
    return there;
}

void link_end(struct link *link) {
    link->up_end = true;
}

void link_reset(struct link *link, int error) {
    link->reset = true;
    link->reset_errno = error;
    if (link->state == LINK_CLOSED)
        link->reset_arrived = true;
}

bool link_ended(const struct link *link) {
    if (link->down_reset)
        return true;
    return link->down_end && link->down.taken == link->down.written;
}

size_t link_input(const struct link *link) {
    return (size_t)(link->up.arrived - link->up.taken);
}

size_t link_take_input(struct link *link, char *to, size_t max) {
    size_t len = link_input(link);
    if (len > max)
        len = max;
    memcpy(to, link->up.at + (link->up.taken - link->up.base), len);
    link->up.taken += len;
    return len;
}

size_t link_space(const struct link *link) {
    return pipe_room(&link->down);
}

void link_put_output(struct link *link, const char *at, size_t len) {
    pipe_put(&link->down, at, len);
    tap_feed(&link->tap, at, len);
}

/* --- time ----------------------------------------------------------------------------------- */

static bool link_can_move(const struct link *link) {
    if (link->state == LINK_CLOSED)
        return pipe_can_move(&link->down) && !link->reset;
    if (link->reset)
        return !link->reset_arrived;
    return pipe_can_move(&link->up) || pipe_can_move(&link->down) ||
           (link->up_end && !link->up_end_arrived && link->up.arrived == link->up.written &&
            sim.now_ns >= link->up.stalled_until);
}

bool world_can_step(void) {
    for (unsigned i = 0; i < link_count; i++)
        if (link_can_move(links[i]))
            return true;
    return false;
}

static bool link_move(struct link *link) {
    bool moved = false;
    if (link->reset && !link->reset_arrived) {
        link->reset_arrived = sim_chance(500);
        if (link->reset_arrived)
            SIM_TRACE("link %u: reset arrives", link->number);
        return true;
    }
    if (link->reset)
        return false;
    if (link->state != LINK_CLOSED) {
        moved |= pipe_move(&link->up);
        if (link->up_end && !link->up_end_arrived && link->up.arrived == link->up.written &&
            sim.now_ns >= link->up.stalled_until) {
            link->up_end_arrived = true;
            moved = true;
        }
    }
    moved |= pipe_move(&link->down);
    return moved;
}

bool world_step(void) {
    bool moved = false;
    for (unsigned i = 0; i < link_count; i++)
        if (link_can_move(links[i]) && sim_chance(500))
            moved |= link_move(links[i]);
    return moved;
}

static void earliest(uint64_t *next, const struct sim_pipe *pipe, bool waiting) {
    if (waiting && pipe->stalled_until > sim.now_ns && pipe->stalled_until < *next)
        *next = pipe->stalled_until;
}

uint64_t world_next_ns(void) {
    uint64_t next = CLOCK_NEVER;
    for (unsigned i = 0; i < link_count; i++) {
        const struct link *link = links[i];
        if (link->reset)
            continue;
        earliest(&next, &link->down, link->down.written > link->down.arrived);
        if (link->state != LINK_CLOSED)
            earliest(&next, &link->up,
                     link->up.written > link->up.arrived ||
                         (link->up_end && !link->up_end_arrived));
    }
    return next;
}
