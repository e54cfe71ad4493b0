/* The operations of the fake kernel: which can go on, and what becomes of them. */
#include "core/base/check.h"
#include "tests/sim/sim_coverage.h"
#include "tests/sim/sim_kernel_ring.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

static const char *const op_names[KERNEL_OPS] = {"accept", "receive", "send", "lend",   "shutdown",
                                                 "close",  "cancel",  "wake", "queued", "watch"};

const char *kernel_op_name(enum kernel_op op) {
    return op_names[op];
}

void op_list_add(struct op_list *list, struct op *op) {
    if (list->count == list->size) {
        list->size = list->size * 2 + 16;
        list->ops = realloc(list->ops, list->size * sizeof(*list->ops));
        CHECK(list->ops != NULL);
    }
    list->ops[list->count++] = op;
}

void op_free(struct op *op) {
    free(op->runs);
    free(op);
}

/* --- the bytes of a send --------------------------------------------------------------------- */

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
    link->send_offset = link->down.written;
    link->send_started_ns = op->started_ns;
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

/* --- completions ----------------------------------------------------------------------------- */

static void complete(struct ring *ring, const struct op *op, int32_t result, bool more,
                     int buffer) {
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

/* --- the operations -------------------------------------------------------------------------- */

/* A multishot operation ends when its completion finds the queue full: nothing is lost, but it must
 * be started again. */
static bool goes_on(const struct ring *ring) {
    if (ring->ended_count >= ring->cq_entries) {
        coverage_ring(RING_COMPLETIONS_FULL);
        return false;
    }
    return !sim_chance(sim.scenario.early_end);
}

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
    case KERNEL_WATCH:
        return link->up_end_arrived || link->reset_arrived || link->input_shut;
    case KERNEL_SEND:
        return link->reset_arrived || link->down_end || link_space(link) > 0;
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
    complete(ring, op, fd, false, -1);
    return true;
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
    bool more = !op->once && goes_on(ring);
    complete(ring, op, (int32_t)len, more, buffer);
    ring->ended[ring->ended_first + ring->ended_count - 1].completion.nonempty =
        link_input(link) != 0;
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
        result = sim_chance(150) ? -EPIPE : -link->reset_errno;
    } else if (sim_chance(sim.scenario.odd_end)) {
        result = sim_chance(500) ? -EINTR : -EAGAIN;
    } else if (sim_chance(sim.scenario.send_error)) {
        static const int errors[] = {ENOMEM, ENOBUFS, EHOSTUNREACH};
        result = -errors[sim_roll(3)];
        link->send_failed = true;
    } else {
        size_t len = send_length(op), room = link_space(link);
        if (len > room)
            len = room;
        if (len > 1 && sim_chance(sim.scenario.short_send))
            len = sim_between(1, len);
        result = (int32_t)send_take(link, op, len);
    }
    complete(ring, op, result, false, -1);
    return true;
}

static bool queued_step(struct ring *ring, struct op *op) {
    complete(ring, op, (int32_t)link_input(fd_find(op->fd)->link), false, -1);
    return true;
}

static bool watch_step(struct ring *ring, struct op *op) {
    const struct link *link = fd_find(op->fd)->link;
    int32_t result = POLLRDHUP;
    if (op->cancelled)
        result = -ECANCELED;
    else if (link->reset_arrived)
        result |= POLLERR | POLLHUP;
    complete(ring, op, result, false, -1);
    return true;
}

static bool lend_step(struct ring *ring, struct op *op) {
    struct link *link = fd_find(op->fd)->link;
    int fd = sim_chance(100) ? -1 : fd_open(FD_LENT);
    if (fd >= 0)
        fd_find(fd)->link = link;
    complete(ring, op, fd < 0 ? -EMFILE : fd, false, -1);
    return true;
}

static bool shutdown_step(struct ring *ring, struct op *op) {
    struct link *link = fd_find(op->fd)->link;
    /* Or the end of the connection has just overtaken it. */
    int32_t result = link->reset_arrived || sim_chance(50) ? -ENOTCONN : 0;
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
    for (unsigned i = 0; i < ring->active.count; i++) {
        struct op *target = ring->active.ops[i];
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
    bool more = goes_on(ring);
    complete(ring, op, 1, more, -1);
    return !more;
}

static bool op_step(struct ring *ring, struct op *op) {
    static bool (*const steps[KERNEL_OPS])(struct ring *, struct op *) = {
        accept_step, receive_step, send_step, lend_step,   shutdown_step,
        close_step,  cancel_step,  wake_step, queued_step, watch_step};
    sim_digest((uint64_t)ring->worker << 56 | (uint64_t)op->kind << 48 | (uint32_t)op->fd);
    return steps[op->kind](ring, op);
}

bool kernel_can_step(const struct ring *ring) {
    for (unsigned i = 0; i < ring->active.count; i++)
        if (op_can_step(ring->active.ops[i]))
            return true;
    return false;
}

bool kernel_step(struct ring *ring) {
    bool moved = false;
    for (unsigned i = 0; i < ring->active.count;) {
        struct op *op = ring->active.ops[i];
        if (!op_can_step(op) || !sim_chance(sim.scenario.eager)) {
            i++;
            continue;
        }
        moved = true;
        if (op_step(ring, op)) {
            /* The last one takes its place, so the order is soon none. */
            ring->active.ops[i] = ring->active.ops[--ring->active.count];
            op_free(op);
        } else {
            i++;
        }
    }
    return moved;
}

/* --- from the submission queue ------------------------------------------------------------ */

void kernel_take(struct ring *ring) {
    for (unsigned i = 0; i < ring->queued.count; i++) {
        struct op *op = ring->queued.ops[i];
        if (op->kind == KERNEL_SEND)
            send_read(op);
        if (op->kind == KERNEL_CANCEL && sim_chance(700)) {
            cancel_step(ring, op);
            op_free(op);
        } else if (op->kind == KERNEL_RECEIVE && op->once &&
                   (op_can_step(op) || ring->free_buffers == 0)) {
            if (op_can_step(op))
                receive_step(ring, op);
            else
                complete(ring, op, -ENOBUFS, false, -1);
            op_free(op);
        } else {
            op_list_add(&ring->active, op);
        }
    }
    ring->queued.count = 0;
}

bool kernel_wakes(const struct ring *ring) {
    return ring->ended_count != 0 || sim.now_ns >= ring->wake_ns;
}

uint64_t kernel_wake_ns(const struct ring *ring) {
    return ring->wake_ns;
}
