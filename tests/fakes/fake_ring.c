/* The ring of the simulation. It keeps what ring.h promises and not a bit more: operations go on
 * when chance lets them, sends are short, multishots end early, buffers run out, errors come after
 * everything.
 *
 * It watches the caller as well: one send at a time on a descriptor, none on a closed one, the
 * bytes of a send untouched until it completes, buffers returned once, every descriptor used by one
 * worker only. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/limits.h"
#include "core/slots.h"
#include "tests/sim/sim_coverage.h"
#include "tests/sim/sim_fiber.h"
#include "tests/sim/sim_kernel_ring.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_scenarios.h"

#include <stdlib.h>

static struct ring *rings[SIM_WORKERS_MAX];

void kernel_open(void) {
    memset(rings, 0, sizeof(rings));
}

struct ring *kernel_ring(unsigned worker) {
    return rings[worker];
}

/* --- open and close -----------------------------------------------------------------------------
 */

bool ring_probe(bool kernel_6_1, char *problem, size_t problem_cap) {
    (void)kernel_6_1;
    (void)problem;
    (void)problem_cap;
    return true;
}

bool ring_has_files(void) {
    return sim.scenario.places != 0;
}

bool ring_fit(unsigned workers, uint32_t connections, bool kernel_6_1,
              struct ring_settings *settings, char *problem, size_t problem_cap) {
    (void)workers;
    (void)connections;
    (void)problem;
    (void)problem_cap;
    *settings = (struct ring_settings){.sq_entries = sim.scenario.sq_entries,
                                       .cq_entries = sim.scenario.cq_entries,
                                       .files = sim.scenario.places,
                                       .buffers = sim.scenario.buffers,
                                       .buffer_bytes = sim.scenario.buffer_bytes,
                                       .kernel_6_1 = kernel_6_1};
    return true;
}

bool ring_open(struct ring **out, const struct ring_settings *settings, char *problem,
               size_t problem_cap) {
    (void)problem;
    (void)problem_cap;
    int worker = fiber_current();
    CHECK(worker >= 0 && rings[worker] == NULL);
    struct ring *ring = calloc(1, sizeof(*ring));
    CHECK(ring != NULL);
    ring->worker = (unsigned)worker;
    ring->sq_entries = settings->sq_entries;
    ring->cq_entries = settings->cq_entries;
    /* Now and then the kernel has no memory for a table, in spite of what ring_fit found. */
    ring->files = settings->files;
    if (ring->files != 0 && sim_chance(sim.scenario.calm ? 0 : 100)) {
        coverage_ring(RING_NO_TABLE);
        ring->files = 0;
    }
    ring->buffer_count = ring->free_buffers = settings->buffers;
    ring->buffer_bytes = settings->buffer_bytes;
    ring->buffers = malloc((size_t)settings->buffers * settings->buffer_bytes);
    ring->buffer_states = calloc(settings->buffers, 1);
    CHECK(ring->buffers != NULL && ring->buffer_states != NULL);
    FORBID(ring->buffers, (size_t)settings->buffers * settings->buffer_bytes);
    rings[worker] = ring;
    *out = ring;
    return true;
}

void ring_close(struct ring *ring) {
    CHECK((int)ring->worker == fiber_current());
    for (unsigned i = 0; i < ring->active.count; i++)
        if (ring->active.ops[i]->kind != KERNEL_WAKE && ring->active.ops[i]->kind != KERNEL_ACCEPT)
            sim_fail("worker %u closes its ring with a %s in flight on descriptor %d", ring->worker,
                     kernel_op_name(ring->active.ops[i]->kind), ring->active.ops[i]->fd);
    if (ring->lent != 0)
        sim_fail("worker %u closes its ring with %u buffers lent", ring->worker, ring->lent);
    for (unsigned i = 0; i < ring->active.count; i++)
        op_free(ring->active.ops[i]);
    for (unsigned i = 0; i < ring->queued.count; i++)
        op_free(ring->queued.ops[i]);
    ALLOW(ring->buffers, (size_t)ring->buffer_count * ring->buffer_bytes);
    free(ring->queued.ops);
    free(ring->active.ops);
    free(ring->ended);
    free(ring->buffers);
    free(ring->buffer_states);
    rings[ring->worker] = NULL;
    free(ring);
}

/* --- starting operations -------------------------------------------------------------------------
 */

static struct op *op_start(struct ring *ring, enum kernel_op kind, uint64_t tag, int fd) {
    if ((int)ring->worker != fiber_current())
        sim_fail("the ring of worker %u is used by %d", ring->worker, fiber_current());
    if (tag >> 56 == 0)
        sim_fail("worker %u starts a %s without a tag", ring->worker, kernel_op_name(kind));
    coverage_op(kind);
    if (kind != KERNEL_CANCEL) {
        struct fake_fd *slot = fd_find(fd);
        if (slot == NULL || slot->closing)
            sim_fail("worker %u starts a %s on descriptor %d, which is closed", ring->worker,
                     kernel_op_name(kind), fd);
        if (kind == KERNEL_SEND && slot->in_flight[KERNEL_SEND] != 0)
            sim_fail("worker %u starts a second send on descriptor %d", ring->worker, fd);
        if (kind == KERNEL_RECEIVE && slot->in_flight[KERNEL_RECEIVE] != 0)
            sim_fail("worker %u starts a second receive on descriptor %d", ring->worker, fd);
        if (kind == KERNEL_CLOSE) {
            for (unsigned i = 0; i < KERNEL_OPS; i++)
                if (slot->in_flight[i] != 0 && slot->kind != FD_LISTEN)
                    sim_fail("worker %u closes descriptor %d with a %s in flight on it",
                             ring->worker, fd, kernel_op_name(i));
            slot->closing = true;
        }
        slot->in_flight[kind]++;
        if (slot->kind == FD_LINK && (kind == KERNEL_RECEIVE || kind == KERNEL_SEND)) {
            struct link *link = slot->link;
            if (link->worker < 0)
                check_steering(link, ring->worker);
            else if (link->worker != (int)ring->worker)
                sim_fail("descriptor %d of worker %d is used by worker %u", fd, link->worker,
                         ring->worker);
            link->worker = (int)ring->worker;
        }
    }
    /* Threads are preempted anywhere; this is where a fiber can be. */
    if (sim.scenario.preempt != 0 && sim_chance(sim.scenario.preempt / 20))
        fiber_yield(FIBER_READY);
    /* A full submission queue is submitted by itself. */
    bool full = ring->queued.count >= ring->sq_entries;
    if (full)
        coverage_ring(RING_SUBMISSIONS_FULL);
    if (full || (ring->queued.count >= 8 && sim_chance(100)))
        kernel_take(ring);
    struct op *op = calloc(1, sizeof(*op));
    CHECK(op != NULL);
    *op = (struct op){.kind = kind, .tag = tag, .fd = fd, .started_ns = sim.now_ns};
    op_list_add(&ring->queued, op);
    return op;
}

static unsigned accepts_of(const struct op_list *list, int listen_fd) {
    unsigned count = 0;
    for (unsigned i = 0; i < list->count; i++)
        count += list->ops[i]->kind == KERNEL_ACCEPT && list->ops[i]->fd == listen_fd;
    return count;
}

void ring_accept(struct ring *ring, uint64_t tag, int listen_fd) {
    if (accepts_of(&ring->queued, listen_fd) + accepts_of(&ring->active, listen_fd) >= ACCEPTS_MAX)
        sim_fail("worker %u starts too many accepts on descriptor %d", ring->worker, listen_fd);
    op_start(ring, KERNEL_ACCEPT, tag, listen_fd);
}

unsigned ring_places(const struct ring *ring) {
    return ring->files;
}

/* The descriptor behind a name; names in the table are below -1. */
static int socket_fd(const struct ring *ring, int socket) {
    if (socket >= -1)
        return socket;
    unsigned place = (unsigned)(-2 - socket);
    if (place >= ring->files || ring->places[place] == 0)
        sim_fail("worker %u uses place %u, which is empty", ring->worker, place);
    return ring->places[place];
}

/* One that lived elsewhere is known from the beginning: its receive may come much later. */
static void moved_know(const struct ring *ring, uint32_t slot, struct link *link) {
    const struct worker *worker = &node_server()->workers[ring->worker];
    link->worker = (int)ring->worker;
    link->handle = connection_handle(worker, slot_at(worker, slot));
    link->handle_known = true;
}

int ring_keep(struct ring *ring, uint32_t place, int fd) {
    struct link *link = fd_find(fd)->link;
    if (link->moved)
        moved_know(ring, place, link);
    if (place >= ring->files) {
        coverage_ring(ring->files == 0 ? RING_NO_TABLE : RING_TABLE_FULL);
        return fd;
    }
    if (sim_chance(30)) {
        coverage_ring(RING_NO_MEMORY);
        return fd;
    }
    if (ring->places[place] != 0)
        sim_fail("worker %u puts a second socket at place %u", ring->worker, place);
    ring->places[place] = fd;
    fd_keep(fd);
    return -2 - (int)place;
}

void ring_let_go(struct ring *ring, int socket) {
    int fd = socket_fd(ring, socket);
    struct fake_fd *slot = fd_find(fd);
    for (unsigned i = 0; i < KERNEL_OPS; i++)
        if (slot->in_flight[i] != 0)
            sim_fail("worker %u lets go of descriptor %d with a %s in flight on it", ring->worker,
                     fd, kernel_op_name(i));
    SIM_TRACE("w%u link %u moves", ring->worker, slot->link->number);
    slot->link->moved = true;
    slot->link->handle_known = false;
    if (socket < -1) {
        ring->places[-2 - socket] = 0;
        fd_free(fd);
    }
}

void ring_receive(struct ring *ring, uint64_t tag, int socket, bool once) {
    int fd = socket_fd(ring, socket);
    op_start(ring, KERNEL_RECEIVE, tag, fd)->once = once;
    struct link *link = fd_find(fd)->link;
    link->handle = (struct connection_handle){.worker = (uint16_t)ring->worker,
                                              .slot = (uint32_t)tag,
                                              .generation = (uint32_t)(tag >> 32) & 0xFFFFFF};
    link->handle_known = true;
}

void ring_send(struct ring *ring, uint64_t tag, int socket, const void *at, size_t len) {
    int fd = socket_fd(ring, socket);
    struct op *op = op_start(ring, KERNEL_SEND, tag, fd);
    op->one = (struct iovec){(void *)(uintptr_t)at, len};
    if (len == 0)
        sim_fail("worker %u sends nothing on descriptor %d", ring->worker, fd);
}

void ring_send_gathered(struct ring *ring, uint64_t tag, int socket, const struct msghdr *header) {
    int fd = socket_fd(ring, socket);
    struct op *op = op_start(ring, KERNEL_SEND, tag, fd);
    op->header = header;
}

void ring_lend_descriptor(struct ring *ring, uint64_t tag, int socket) {
    CHECK(ring_is_kept(socket));
    op_start(ring, KERNEL_LEND, tag, socket_fd(ring, socket));
}

void ring_shutdown(struct ring *ring, uint64_t tag, int socket, int how) {
    int fd = socket_fd(ring, socket);
    op_start(ring, KERNEL_SHUTDOWN, tag, fd)->how = how;
}

void ring_close_socket(struct ring *ring, uint64_t tag, int socket) {
    op_start(ring, KERNEL_CLOSE, tag, socket_fd(ring, socket));
    if (socket < -1)
        ring->places[-2 - socket] = 0;
}

void ring_cancel(struct ring *ring, uint64_t tag, uint64_t target) {
    op_start(ring, KERNEL_CANCEL, tag, -1)->target = target;
}

int ring_queued(struct ring *ring, uint64_t tag, int socket) {
    int fd = socket_fd(ring, socket);
    if (socket >= 0)
        return (int)link_input(fd_find(fd)->link);
    op_start(ring, KERNEL_QUEUED, tag, fd);
    return -1;
}

void ring_watch_end(struct ring *ring, uint64_t tag, int socket) {
    op_start(ring, KERNEL_WATCH, tag, socket_fd(ring, socket));
}

void ring_wake_watch(struct ring *ring, uint64_t tag, int wake_fd) {
    op_start(ring, KERNEL_WAKE, tag, wake_fd);
}

/* --- submit and reap ------------------------------------------------------------------------- */

void ring_issue(struct ring *ring) {
    CHECK((int)ring->worker == fiber_current());
    kernel_take(ring);
    if (sim_chance(sim.scenario.preempt))
        fiber_yield(FIBER_READY);
}

void ring_submit(struct ring *ring, uint64_t wait_ns) {
    CHECK((int)ring->worker == fiber_current());
    /* Others may run between the decision to sleep and the sleep. */
    if (sim_chance(sim.scenario.preempt))
        fiber_yield(FIBER_READY);
    kernel_take(ring);
    if (sim.scenario.turn_max_ns != 0)
        sim.now_ns += sim_roll(sim.scenario.turn_max_ns);
    if (sim_chance(600))
        kernel_step(ring);
    ring->gathered = !kernel_can_step(ring);
    if (wait_ns == 0 || ring->ended_count != 0) {
        if (sim_chance(sim.scenario.preempt))
            fiber_yield(FIBER_READY);
        return;
    }
    ring->wake_ns = wait_ns == CLOCK_NEVER ? CLOCK_NEVER : sim.now_ns + wait_ns;
    SIM_TRACE("w%u sleeps", ring->worker);
    ring->asleep = true;
    fiber_yield(FIBER_ASLEEP);
    ring->asleep = false;
    ring->gathered = !kernel_can_step(ring);
    SIM_TRACE("w%u wakes", ring->worker);
}

unsigned ring_started(const struct ring *ring) {
    (void)ring;
    return 0;
}

bool ring_has_gathered(const struct ring *ring) {
    return ring->gathered;
}

unsigned ring_waiting(const struct ring *ring) {
    return ring->ended_count;
}

unsigned ring_reap(struct ring *ring, struct completion *out, unsigned max) {
    CHECK((int)ring->worker == fiber_current());
    unsigned count = 0;
    while (count < max && ring->ended_count > 0) {
        struct ended *ended = &ring->ended[ring->ended_first++];
        ring->ended_count--;
        if (ring->ended_count == 0)
            ring->ended_first = 0;
        out[count++] = ended->completion;
        if (ended->completion.has_buffer) {
            ring->buffer_states[ended->completion.buffer] = BUFFER_LENT;
            ring->lent++;
        }
        struct fake_fd *slot = ended->completion.more ? NULL : fd_find(ended->fd);
        /* After a close the number may be another descriptor already. */
        if (slot != NULL && ended->kind != KERNEL_CLOSE && slot->in_flight[ended->kind] > 0)
            slot->in_flight[ended->kind]--;
    }
    return count;
}

char *ring_buffer(struct ring *ring, uint16_t buffer) {
    CHECK(buffer < ring->buffer_count);
    return ring->buffers + (size_t)buffer * ring->buffer_bytes;
}

void ring_buffer_return(struct ring *ring, uint16_t buffer) {
    if (buffer >= ring->buffer_count || ring->buffer_states[buffer] != BUFFER_LENT)
        sim_fail("worker %u returns buffer %u, which it does not have", ring->worker, buffer);
    ring->buffer_states[buffer] = BUFFER_FREE;
    ring->lent--;
    ring->free_buffers++;
    FORBID(ring_buffer(ring, buffer), ring->buffer_bytes);
}

unsigned ring_buffers_lent(const struct ring *ring) {
    return ring->lent;
}

unsigned kernel_lent(const struct ring *ring) {
    return ring->lent;
}

unsigned ring_buffers_free(const struct ring *ring) {
    return ring->free_buffers;
}
