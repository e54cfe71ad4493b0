/* The ring of the simulation. It keeps what ring.h promises and not a bit more: operations go on when
 * chance lets them, sends are short, multishots end early, buffers run out, errors come after everything.
 *
 * It watches the caller as well: one send at a time on a descriptor, none on a closed one, the bytes of a
 * send untouched until it completes, buffers returned once, every descriptor used by one worker only. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "tests/sim/sim_coverage.h"
#include "tests/sim/sim_fiber.h"
#include "tests/sim/sim_kernel.h"
#include "tests/sim/sim_scenarios.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define FORBID(at, len) __asan_poison_memory_region(at, len)
#define ALLOW(at, len) __asan_unpoison_memory_region(at, len)
#else
#define FORBID(at, len) memset(at, 0xDD, len)
#define ALLOW(at, len) ((void)(at))
#endif

struct op {
    enum kernel_op kind;
    uint64_t tag;
    int fd;
    bool cancelled;
    int how;
    uint64_t target;
    const struct msghdr *header; /* read at the submit */
    struct iovec *runs;
    size_t run_count;
    struct iovec one;
    uint64_t bytes_hash;
};

struct ended {
    struct completion completion;
    enum kernel_op kind;
    int fd;
};

enum buffer_state { BUFFER_FREE, BUFFER_QUEUED, BUFFER_LENT };

struct ring {
    unsigned worker;
    struct op **queued, **active; /* started; taken by the kernel */
    unsigned queued_count, queued_size, active_count, active_size;
    struct ended *ended; /* completions nobody has reaped */
    unsigned ended_first, ended_count, ended_size;
    char *buffers;
    uint8_t *buffer_states;
    unsigned buffer_count, buffer_bytes, lent, free_buffers;
    bool asleep;
    uint64_t wake_ns;
};

static struct ring *rings[SIM_WORKERS_MAX];

static const char *const op_names[KERNEL_OPS] = {"accept", "receive", "send",   "shutdown",
                                                 "close",  "cancel",  "wake"};

const char *kernel_op_name(enum kernel_op op) {
    return op_names[op];
}

void kernel_open(void) {
    memset(rings, 0, sizeof(rings));
}

struct ring *kernel_ring(unsigned worker) {
    return rings[worker];
}

/* --- open and close ----------------------------------------------------------------------------- */

bool ring_probe(bool kernel_6_1, char *problem, size_t problem_cap) {
    (void)kernel_6_1;
    (void)problem;
    (void)problem_cap;
    return true;
}

bool ring_fit(unsigned workers, bool kernel_6_1, struct ring_settings *settings, char *problem,
              size_t problem_cap) {
    (void)workers;
    (void)problem;
    (void)problem_cap;
    *settings = (struct ring_settings){.sq_entries = 64,
                                       .cq_entries = 128,
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

static void op_free(struct op *op) {
    free(op->runs);
    free(op);
}

void ring_close(struct ring *ring) {
    CHECK((int)ring->worker == fiber_current());
    for (unsigned i = 0; i < ring->active_count; i++)
        if (ring->active[i]->kind != KERNEL_WAKE && ring->active[i]->kind != KERNEL_ACCEPT)
            sim_fail("worker %u closes its ring with a %s in flight on descriptor %d", ring->worker,
                     op_names[ring->active[i]->kind], ring->active[i]->fd);
    if (ring->lent != 0)
        sim_fail("worker %u closes its ring with %u buffers lent", ring->worker, ring->lent);
    for (unsigned i = 0; i < ring->active_count; i++)
        op_free(ring->active[i]);
    for (unsigned i = 0; i < ring->queued_count; i++)
        op_free(ring->queued[i]);
    ALLOW(ring->buffers, (size_t)ring->buffer_count * ring->buffer_bytes);
    free(ring->queued);
    free(ring->active);
    free(ring->ended);
    free(ring->buffers);
    free(ring->buffer_states);
    rings[ring->worker] = NULL;
    free(ring);
}

/* --- starting operations ------------------------------------------------------------------------- */

static void op_push(struct op ***list, unsigned *count, unsigned *size, struct op *op) {
    if (*count == *size) {
        *size = *size * 2 + 16;
        *list = realloc(*list, *size * sizeof(struct op *));
        CHECK(*list != NULL);
    }
    (*list)[(*count)++] = op;
}

static void ring_take_queued(struct ring *ring);

static struct op *op_start(struct ring *ring, enum kernel_op kind, uint64_t tag, int fd) {
    if ((int)ring->worker != fiber_current())
        sim_fail("the ring of worker %u is used by %d", ring->worker, fiber_current());
    if (tag >> 56 == 0)
        sim_fail("worker %u starts a %s without a tag", ring->worker, op_names[kind]);
    coverage_op(kind);
    if (kind != KERNEL_CANCEL) {
        struct fake_fd *slot = fd_find(fd);
        if (slot == NULL || slot->closing)
            sim_fail("worker %u starts a %s on descriptor %d, which is closed", ring->worker,
                     op_names[kind], fd);
        if (kind == KERNEL_SEND && slot->in_flight[KERNEL_SEND] != 0)
            sim_fail("worker %u starts a second send on descriptor %d", ring->worker, fd);
        if (kind == KERNEL_RECEIVE && slot->in_flight[KERNEL_RECEIVE] != 0)
            sim_fail("worker %u starts a second receive on descriptor %d", ring->worker, fd);
        if (kind == KERNEL_CLOSE) {
            for (unsigned i = 0; i < KERNEL_OPS; i++)
                if (slot->in_flight[i] != 0 && slot->kind != FD_LISTEN)
                    sim_fail("worker %u closes descriptor %d with a %s in flight on it",
                             ring->worker, fd, op_names[i]);
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
    /* A full submission queue is submitted by itself. */
    if (ring->queued_count >= 8 && sim_chance(100))
        ring_take_queued(ring);
    struct op *op = calloc(1, sizeof(*op));
    CHECK(op != NULL);
    *op = (struct op){.kind = kind, .tag = tag, .fd = fd};
    op_push(&ring->queued, &ring->queued_count, &ring->queued_size, op);
    return op;
}

void ring_accept(struct ring *ring, uint64_t tag, int listen_fd) {
    op_start(ring, KERNEL_ACCEPT, tag, listen_fd);
}

void ring_receive(struct ring *ring, uint64_t tag, int fd) {
    op_start(ring, KERNEL_RECEIVE, tag, fd);
    struct link *link = fd_find(fd)->link;
    link->handle = (struct connection_handle){.worker = (uint16_t)ring->worker,
                                              .slot = (uint32_t)tag,
                                              .generation = (uint32_t)(tag >> 32) & 0xFFFFFF};
    link->handle_known = true;
}

void ring_send(struct ring *ring, uint64_t tag, int fd, const void *at, size_t len) {
    struct op *op = op_start(ring, KERNEL_SEND, tag, fd);
    op->one = (struct iovec){(void *)(uintptr_t)at, len};
    if (len == 0)
        sim_fail("worker %u sends nothing on descriptor %d", ring->worker, fd);
}

void ring_send_gathered(struct ring *ring, uint64_t tag, int fd, const struct msghdr *header) {
    struct op *op = op_start(ring, KERNEL_SEND, tag, fd);
    op->header = header;
}

void ring_shutdown(struct ring *ring, uint64_t tag, int fd, int how) {
    op_start(ring, KERNEL_SHUTDOWN, tag, fd)->how = how;
}

void ring_close_fd(struct ring *ring, uint64_t tag, int fd) {
    op_start(ring, KERNEL_CLOSE, tag, fd);
}

void ring_cancel(struct ring *ring, uint64_t tag, uint64_t target) {
    op_start(ring, KERNEL_CANCEL, tag, -1)->target = target;
}

void ring_wake_watch(struct ring *ring, uint64_t tag, int wake_fd) {
    op_start(ring, KERNEL_WAKE, tag, wake_fd);
}

/* --- the bytes of a send -------------------------------------------------------------------------- */

static uint64_t bytes_hash(const struct iovec *runs, size_t count) {
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < count; i++) {
        const unsigned char *at = runs[i].iov_base;
        for (size_t j = 0; j < runs[i].iov_len; j++)
            hash = (hash ^ at[j]) * UINT64_C(0x100000001B3);
    }
    return hash;
}

static void send_read(struct op *op) {
    size_t count = 1;
    if (op->header != NULL) {
        count = op->header->msg_iovlen;
        op->runs = malloc(count * sizeof(struct iovec));
        CHECK(op->runs != NULL);
        memcpy(op->runs, op->header->msg_iov, count * sizeof(struct iovec));
    } else {
        op->runs = malloc(sizeof(struct iovec));
        CHECK(op->runs != NULL);
        op->runs[0] = op->one;
    }
    op->run_count = count;
    op->bytes_hash = bytes_hash(op->runs, count);
}

static size_t send_take(struct link *link, const struct op *op, size_t max) {
    size_t left = max;
    for (size_t i = 0; i < op->run_count && left > 0; i++) {
        size_t len = op->runs[i].iov_len < left ? op->runs[i].iov_len : left;
        link_put_output(link, op->runs[i].iov_base, len);
        left -= len;
    }
    return max - left;
}

static size_t send_length(const struct op *op) {
    size_t len = 0;
    for (size_t i = 0; i < op->run_count; i++)
        len += op->runs[i].iov_len;
    return len;
}

/* --- completions ---------------------------------------------------------------------------------- */

static void complete(struct ring *ring, const struct op *op, int32_t result, bool more, int buffer) {
    if (ring->ended_first + ring->ended_count == ring->ended_size) {
        if (ring->ended_first > 0) {
            memmove(ring->ended, ring->ended + ring->ended_first,
                    ring->ended_count * sizeof(*ring->ended));
            ring->ended_first = 0;
        } else {
            ring->ended_size = ring->ended_size * 2 + 32;
            ring->ended = realloc(ring->ended, ring->ended_size * sizeof(*ring->ended));
            CHECK(ring->ended != NULL);
        }
    }
    ring->ended[ring->ended_first + ring->ended_count++] =
        (struct ended){.completion = {.tag = op->tag,
                                      .result = result,
                                      .buffer = buffer < 0 ? 0 : (uint16_t)buffer,
                                      .has_buffer = buffer >= 0,
                                      .more = more},
                       .kind = op->kind,
                       .fd = op->fd};
    if (result < 0)
        coverage_error(op->kind, -result);
    SIM_TRACE("w%u kernel: %s on %d -> %d%s", ring->worker, op_names[op->kind], op->fd, result,
              more ? " (more)" : "");
}

static int buffer_pick(struct ring *ring) {
    if (ring->free_buffers == 0)
        return -1;
    unsigned at = (unsigned)sim_roll(ring->buffer_count);
    while (ring->buffer_states[at] != BUFFER_FREE)
        at = at + 1 == ring->buffer_count ? 0 : at + 1;
    ring->buffer_states[at] = BUFFER_QUEUED;
    ring->free_buffers--;
    ALLOW(ring_buffer(ring, (uint16_t)at), ring->buffer_bytes);
    return (int)at;
}

/* --- the operations ------------------------------------------------------------------------------- */

static bool op_can_step(const struct op *op) {
    if (op->cancelled)
        return true;
    const struct fake_fd *slot = fd_find(op->fd);
    const struct link *link = slot == NULL ? NULL : slot->link;
    switch (op->kind) {
    case KERNEL_ACCEPT:
        return slot != NULL && slot->kind == FD_LISTEN && slot->waiting != NULL;
    case KERNEL_RECEIVE:
        return link_input(link) > 0 || link->up_end_arrived || link->reset_arrived ||
               link->input_shut;
    case KERNEL_SEND:
        return link->reset_arrived || link->down_end || link_room(link) > 0;
    case KERNEL_WAKE:
        return slot != NULL && slot->wakes != slot->wakes_seen;
    default:
        return true;
    }
}

/* Each returns true when the operation has ended. */

static bool accept_step(struct ring *ring, struct op *op) {
    struct fake_fd *listener = fd_find(op->fd);
    if (listener == NULL || op->cancelled) {
        complete(ring, op, -ECANCELED, false, -1);
        return true;
    }
    if (sim_chance(sim.scenario.accept_error)) {
        static const int errors[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, ECONNABORTED, EINTR};
        complete(ring, op, -errors[sim_roll(sizeof(errors) / sizeof(errors[0]))], false, -1);
        return true;
    }
    int fd = fd_open(FD_LINK);
    if (fd < 0) {
        complete(ring, op, -EMFILE, false, -1);
        return true;
    }
    struct link *link = listen_pop(listener);
    link->fd = fd;
    link->state = LINK_OPEN;
    fd_find(fd)->link = link;
    SIM_TRACE("w%u link %u is descriptor %d", ring->worker, link->number, fd);
    bool more = !sim_chance(sim.scenario.early_end);
    complete(ring, op, fd, more, -1);
    return !more;
}

static bool receive_step(struct ring *ring, struct op *op) {
    struct link *link = fd_find(op->fd)->link;
    size_t there = link_input(link);
    if (op->cancelled && (there == 0 || sim_chance(500))) {
        complete(ring, op, -ECANCELED, false, -1);
        return true;
    }
    if (link->reset_arrived && (there == 0 || sim_chance(500))) {
        complete(ring, op, -link->reset_errno, false, -1);
        return true;
    }
    if (sim_chance(sim.scenario.odd_end)) {
        complete(ring, op, sim_chance(500) ? -EINTR : -EAGAIN, false, -1);
        return true;
    }
    if (there == 0) {
        /* The end may come with a buffer, although there is nothing in it. */
        int buffer = sim_chance(sim.scenario.early_end) ? buffer_pick(ring) : -1;
        complete(ring, op, 0, false, buffer);
        return true;
    }
    int buffer = buffer_pick(ring);
    if (buffer < 0) {
        complete(ring, op, -ENOBUFS, false, -1);
        return true;
    }
    size_t max = ring->buffer_bytes;
    if (sim_chance(sim.scenario.chunk_small))
        max = sim_between(1, max);
    size_t len = link_take_input(link, ring_buffer(ring, (uint16_t)buffer), max);
    FORBID(ring_buffer(ring, (uint16_t)buffer) + len, ring->buffer_bytes - len);
    bool more = !sim_chance(sim.scenario.early_end);
    complete(ring, op, (int32_t)len, more, buffer);
    return !more;
}

static bool send_step(struct ring *ring, struct op *op) {
    struct link *link = fd_find(op->fd)->link;
    int32_t result;
    if (bytes_hash(op->runs, op->run_count) != op->bytes_hash)
        sim_fail("worker %u changed the bytes of a send in flight on descriptor %d", ring->worker,
                 op->fd);
    if (op->cancelled) {
        result = -ECANCELED;
    } else if (link->down_end) {
        result = -EPIPE;
    } else if (link->reset_arrived) {
        result = sim_chance(500) ? -EPIPE : -link->reset_errno;
    } else if (sim_chance(sim.scenario.odd_end)) {
        result = sim_chance(500) ? -EINTR : -EAGAIN;
    } else if (sim_chance(sim.scenario.send_error)) {
        static const int errors[] = {ENOMEM, ENOBUFS, EHOSTUNREACH};
        result = -errors[sim_roll(3)];
    } else {
        size_t len = send_length(op), room = link_room(link);
        if (len > room)
            len = room;
        if (len > 1 && sim_chance(sim.scenario.short_send))
            len = sim_between(1, len);
        result = (int32_t)send_take(link, op, len);
    }
    complete(ring, op, result, false, -1);
    return true;
}

static bool shutdown_step(struct ring *ring, struct op *op) {
    struct link *link = fd_find(op->fd)->link;
    int32_t result = link->reset_arrived ? -ENOTCONN : 0;
    if (op->how == SHUT_RDWR || op->how == SHUT_RD)
        link->input_shut = true;
    if (op->how != SHUT_RD)
        link->down_end = true;
    complete(ring, op, result, false, -1);
    return true;
}

static bool close_step(struct ring *ring, struct op *op) {
    /* An error of close(2) comes after the descriptor was given up. */
    complete(ring, op, sim_chance(sim.scenario.close_error) ? -EIO : 0, false, -1);
    fd_free(op->fd);
    return true;
}

static bool cancel_step(struct ring *ring, struct op *op) {
    for (unsigned i = 0; i < ring->active_count; i++) {
        struct op *target = ring->active[i];
        if (target == op || target->tag != op->target || target->cancelled)
            continue;
        /* -EALREADY: it runs at this very moment, and then ends. */
        target->cancelled = true;
        complete(ring, op, sim_chance(150) ? -EALREADY : 0, false, -1);
        return true;
    }
    complete(ring, op, -ENOENT, false, -1);
    return true;
}

static bool wake_step(struct ring *ring, struct op *op) {
    struct fake_fd *slot = fd_find(op->fd);
    if (slot == NULL || op->cancelled) {
        complete(ring, op, -ECANCELED, false, -1);
        return true;
    }
    slot->wakes_seen = slot->wakes;
    bool more = !sim_chance(sim.scenario.early_end);
    complete(ring, op, 1, more, -1);
    return !more;
}

static bool op_step(struct ring *ring, struct op *op) {
    static bool (*const steps[KERNEL_OPS])(struct ring *, struct op *) = {
        accept_step, receive_step, send_step, shutdown_step, close_step, cancel_step, wake_step};
    sim_digest((uint64_t)ring->worker << 56 | (uint64_t)op->kind << 48 | (uint32_t)op->fd);
    return steps[op->kind](ring, op);
}

bool kernel_can_step(const struct ring *ring) {
    for (unsigned i = 0; i < ring->active_count; i++)
        if (op_can_step(ring->active[i]))
            return true;
    return false;
}

bool kernel_step(struct ring *ring) {
    bool moved = false;
    for (unsigned i = 0; i < ring->active_count;) {
        struct op *op = ring->active[i];
        if (!op_can_step(op) || !sim_chance(sim.scenario.eager)) {
            i++;
            continue;
        }
        moved = true;
        if (op_step(ring, op)) {
            /* The last one takes its place, so the order is soon none. */
            ring->active[i] = ring->active[--ring->active_count];
            op_free(op);
        } else {
            i++;
        }
    }
    return moved;
}

/* --- submit and reap ------------------------------------------------------------------------------ */

static void ring_take_queued(struct ring *ring) {
    for (unsigned i = 0; i < ring->queued_count; i++) {
        struct op *op = ring->queued[i];
        if (op->kind == KERNEL_SEND)
            send_read(op);
        if (op->kind == KERNEL_CANCEL && sim_chance(700)) {
            cancel_step(ring, op);
            op_free(op);
        } else {
            op_push(&ring->active, &ring->active_count, &ring->active_size, op);
        }
    }
    ring->queued_count = 0;
}

bool kernel_wakes(const struct ring *ring) {
    return ring->ended_count != 0 || sim.now_ns >= ring->wake_ns;
}

uint64_t kernel_wake_ns(const struct ring *ring) {
    return ring->wake_ns;
}

void ring_submit(struct ring *ring, uint64_t wait_ns) {
    CHECK((int)ring->worker == fiber_current());
    ring_take_queued(ring);
    if (sim_chance(600))
        kernel_step(ring);
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
    SIM_TRACE("w%u wakes", ring->worker);
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
