#include "core/ring.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/fatal.h"
#include "core/base/log.h"
#include "core/limits.h"
#include "core/ring_problem.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#define BUFFER_GROUP 0

/* IORING_FEAT_RW_ATTR, which headers of Linux 6.1 lack: the first bit that says 6.14. */
#define FEATURE_6_14 (1u << 16)
/* IORING_OP_FIXED_FD_INSTALL, which they lack too; it came with 6.8, before tables are used. */
#define FIXED_FD_INSTALL 54

/* An error of the ring itself must go away within so long, or the node ends. The kernel's shortages
 * get more time: others may give back what is missing. Between two attempts passes a moment. */
#define FAILING_NS (1 * NS_PER_S)
#define SHORTAGE_NS (10 * NS_PER_S)
#define RETRY_NS (1 * NS_PER_MS)

/* What a process or a ring that has just ended had locked is given back later: after a moment, or
 * some seconds where many connections ended as well. */
#define GIVEN_BACK_WAITS 200
#define GIVEN_BACK_WAITS_TRIAL 10 /* of each of a dozen sizes */
#define SPACE_WAITS 4
#define GIVEN_BACK_WAIT_NS (50 * NS_PER_MS)

struct ring {
    struct io_uring uring;
    uint64_t failing_since_ns; /* every io_uring_enter since then has failed; 0: the last one did
                                  not */
    struct io_uring_buf_ring *buffer_ring;
    size_t buffer_ring_bytes;
    char *buffers;
    unsigned buffer_count;
    unsigned buffer_bytes;
    unsigned buffers_lent;
    unsigned buffers_returned; /* in the ring's memory, not yet published to the kernel */
    unsigned files;            /* places in the table of files */
    bool gathered;             /* the last submit left nothing to be gathered */
};

/* SINGLE_ISSUER and DEFER_TASKRUN: the kernel enforces that one thread owns the ring, and
 * completions are made only when that thread asks. TASKRUN_FLAG says without a system call that
 * there is more to ask for (the kernel makes at most some twenty at a time). SUBMIT_ALL: one bad
 * entry does not hold up the rest. */
#define RING_FLAGS                                                                                 \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG |         \
     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE)

static int uring_init(struct io_uring *uring, const struct ring_settings *settings) {
    struct io_uring_params params = {.flags = RING_FLAGS, .cq_entries = settings->cq_entries};
    return io_uring_queue_init_params(settings->sq_entries, uring, &params);
}

/* Has the kernel what operations are needed? */
static bool probe_ops(struct io_uring *uring, char *problem, size_t problem_cap) {
    static const struct {
        int op;
        const char *name;
    } needed[] = {{IORING_OP_ACCEPT, "accept"},     {IORING_OP_RECV, "recv"},
                  {IORING_OP_SEND, "send"},         {IORING_OP_SENDMSG, "sendmsg"},
                  {IORING_OP_SHUTDOWN, "shutdown"}, {IORING_OP_CLOSE, "close"},
                  {IORING_OP_POLL_ADD, "poll"},     {IORING_OP_ASYNC_CANCEL, "cancel"}};
    enum { PROBE_OPS = 256 };
    struct io_uring_probe *probe =
        calloc(1, sizeof(*probe) + PROBE_OPS * sizeof(struct io_uring_probe_op));
    if (probe == NULL)
        return ring_no_memory(problem, problem_cap);
    int error = io_uring_register_probe(uring, probe, PROBE_OPS);
    bool good = error >= 0;
    if (!good)
        ring_refused(problem, problem_cap, "io_uring_register", -error);
    for (size_t i = 0; good && i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (!io_uring_opcode_supported(probe, needed[i].op)) {
            snprintf(problem, problem_cap,
                     "this kernel's io_uring has no `%s` operation: use Linux 6.1 or newer",
                     needed[i].name);
            good = false;
        }
    }
    free(probe);
    return good;
}

/* Provided buffer rings are no operation; registering one is the only way to ask. */
static bool probe_buffers(struct io_uring *uring, char *problem, size_t problem_cap) {
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (page == MAP_FAILED)
        return ring_no_memory(problem, problem_cap);
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)page, .ring_entries = 8, .bgid = 0};
    int error = io_uring_register_buf_ring(uring, &reg, 0);
    if (error == -EINVAL)
        snprintf(problem, problem_cap,
                 "this kernel has no provided buffer rings for io_uring: use Linux 6.1 or newer");
    else if (error < 0)
        ring_refused(problem, problem_cap, "io_uring_register", -error);
    if (error >= 0)
        io_uring_unregister_buf_ring(uring, 0);
    munmap(page, 4096);
    return error >= 0;
}

/* Each of the three system calls can be refused by itself. */
static bool probe_enter(struct io_uring *uring, char *problem, size_t problem_cap) {
    io_uring_prep_nop(io_uring_get_sqe(uring));
    int error = io_uring_submit(uring);
    if (error < 0)
        return ring_refused(problem, problem_cap, "io_uring_enter", -error);
    return true;
}

bool ring_probe(bool kernel_6_1, char *problem, size_t problem_cap) {
    (void)kernel_6_1; /* everything used here is in 6.1; newer features are asked for behind this
                         flag */
    struct io_uring uring;
    struct ring_settings smallest = {.sq_entries = 8, .cq_entries = 16};
    int error = uring_init(&uring, &smallest);
    if (error < 0)
        return ring_refused(problem, problem_cap, "io_uring_setup", -error);
    bool good = probe_ops(&uring, problem, problem_cap) &&
                probe_buffers(&uring, problem, problem_cap) &&
                probe_enter(&uring, problem, problem_cap);
    io_uring_queue_exit(&uring);
    return good;
}

bool ring_has_files(void) {
    struct io_uring uring;
    struct ring_settings smallest = {.sq_entries = 8, .cq_entries = 16};
    if (uring_init(&uring, &smallest) < 0)
        return false;
    bool has = (uring.features & FEATURE_6_14) != 0;
    io_uring_queue_exit(&uring);
    return has;
}

/* What the kernel locks for one ring: entries of both queues, the index array, the buffer ring, and
 * the pages that these are rounded up to. */
static uint64_t locked_bytes(const struct ring_settings *s) {
    return (uint64_t)s->sq_entries * 64 + (uint64_t)s->cq_entries * 16 + s->sq_entries * 4ull +
           s->buffers * 16ull + 4 * 4096;
}

/* The kernel allows no table larger than the limit of open files. Clients spread unevenly, so each
 * ring has places for all connections if it may; an empty one takes eight bytes. */
static unsigned files_wanted(uint32_t connections, bool kernel_6_1) {
    struct rlimit limit;
    if (kernel_6_1 || !ring_has_files() || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    uint64_t wanted = (uint64_t)connections + FILES_SPARE;
    if (wanted > limit.rlim_cur)
        wanted = limit.rlim_cur;
    return wanted < FILES_MAX ? (unsigned)wanted : FILES_MAX;
}

/* One step smaller. False: it is the smallest. */
static bool settings_shrink(struct ring_settings *settings) {
    if (settings->cq_entries > RING_CQ_ENTRIES_MIN)
        settings->cq_entries /= 2;
    else if (settings->sq_entries > RING_SQ_ENTRIES_MIN)
        settings->sq_entries /= 2;
    else if (settings->buffers > RECEIVE_BUFFERS_MIN)
        settings->buffers /= 2;
    else
        return false;
    return true;
}

/* Opens that many rings at the same time, and closes them. An error is 0 or a negated errno. */
static int rings_try(unsigned workers, const struct ring_settings *settings) {
    struct io_uring rings[WORKERS_MAX];
    unsigned count = 0;
    int error = 0;
    while (count < workers && error == 0) {
        error = uring_init(&rings[count], settings);
        count += error == 0;
    }
    while (count > 0)
        io_uring_queue_exit(&rings[--count]);
    return error;
}

/* The kernel gives a closed ring's memory back a little later; a node that waits for it says so. */
static void given_back_await(void) {
    static atomic_flag told = ATOMIC_FLAG_INIT;
    if (!atomic_flag_test_and_set(&told))
        log_event(LOG_WARN, "waiting_for_locked_memory",
                  LOG_STR("remedy", "RLIMIT_MEMLOCK is for all processes of a user: raise "
                                    "LimitMEMLOCK (ulimit -l), or start fewer --workers"));
    nanosleep(&(struct timespec){0, GIVEN_BACK_WAIT_NS}, NULL);
}

/* Is there room for all of them? */
static bool rings_there(unsigned workers, const struct ring_settings *settings) {
    int error = rings_try(workers, settings);
    for (int i = 0; error == -ENOMEM && !ring_space_short() && i < GIVEN_BACK_WAITS_TRIAL; i++) {
        given_back_await();
        error = rings_try(workers, settings);
    }
    return error != -ENOMEM || ring_space_short(); /* of anything else says ring_open */
}

bool ring_fit(unsigned workers, uint32_t connections, bool kernel_6_1,
              struct ring_settings *settings, char *problem, size_t problem_cap) {
    *settings = (struct ring_settings){.sq_entries = RING_SQ_ENTRIES,
                                       .cq_entries = RING_CQ_ENTRIES,
                                       .buffers = RECEIVE_BUFFERS,
                                       .buffer_bytes = RECEIVE_BUFFER_BYTES,
                                       .files = files_wanted(connections, kernel_6_1),
                                       .kernel_6_1 = kernel_6_1};
    uint64_t lockable;
    if (!ring_lock_limited(&lockable))
        return true;
    /* The limit is that of all processes of a user: half is left for what else there is, ... */
    uint64_t share = ring_may_lock() ? UINT64_MAX : lockable / 2 / workers;
    bool smaller = true;
    while (smaller && locked_bytes(settings) > share)
        smaller = settings_shrink(settings);
    /* ... which may be more than that. The smallest rings may have all. */
    while (smaller && !rings_there(workers, settings))
        smaller = settings_shrink(settings);
    if (smaller || rings_there(workers, settings))
        return true;
    snprintf(
        problem, problem_cap,
        "RLIMIT_MEMLOCK of %llu bytes, which is for all processes of a user, has no room for %u "
        "io_urings (each needs at least %llu): raise LimitMEMLOCK (ulimit -l), or start fewer "
        "--workers",
        (unsigned long long)lockable, workers, (unsigned long long)locked_bytes(settings));
    return false;
}

static void buffer_add(struct ring *ring, uint16_t buffer) {
    io_uring_buf_ring_add(ring->buffer_ring, ring->buffers + (size_t)buffer * ring->buffer_bytes,
                          ring->buffer_bytes, buffer, io_uring_buf_ring_mask(ring->buffer_count),
                          (int)ring->buffers_returned);
    ring->buffers_returned++;
}

static void buffers_publish(struct ring *ring) {
    if (ring->buffers_returned != 0)
        io_uring_buf_ring_advance(ring->buffer_ring, (int)ring->buffers_returned);
    ring->buffers_returned = 0;
}

static bool buffers_open(struct ring *ring, const struct ring_settings *settings, char *problem,
                         size_t problem_cap) {
    ring->buffer_count = settings->buffers;
    ring->buffer_bytes = settings->buffer_bytes;
    ring->buffer_ring_bytes = settings->buffers * sizeof(struct io_uring_buf);
    ring->buffer_ring = mmap(NULL, ring->buffer_ring_bytes, PROT_READ | PROT_WRITE,
                             MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    /* Populated at once: the ring walks through all of them anyway, and a page fault at the first
     * burst would be paid by a message. */
    ring->buffers = mmap(NULL, (size_t)settings->buffers * settings->buffer_bytes,
                         PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE | MAP_POPULATE, -1, 0);
    if (ring->buffer_ring == MAP_FAILED || ring->buffers == MAP_FAILED)
        return ring_no_memory(problem, problem_cap);
    struct io_uring_buf_reg reg = {.ring_addr = (uintptr_t)ring->buffer_ring,
                                   .ring_entries = settings->buffers,
                                   .bgid = BUFFER_GROUP};
    int error = io_uring_register_buf_ring(&ring->uring, &reg, 0);
    if (error < 0)
        return ring_refused(problem, problem_cap, "io_uring_register", -error);
    io_uring_buf_ring_init(ring->buffer_ring);
    for (unsigned i = 0; i < settings->buffers; i++)
        buffer_add(ring, (uint16_t)i);
    buffers_publish(ring);
    return true;
}

static void buffers_close(struct ring *ring) {
    if (ring->buffers != NULL && ring->buffers != MAP_FAILED)
        munmap(ring->buffers, (size_t)ring->buffer_count * ring->buffer_bytes);
    if (ring->buffer_ring != NULL && ring->buffer_ring != MAP_FAILED)
        munmap(ring->buffer_ring, ring->buffer_ring_bytes);
}

bool ring_open(struct ring **out, const struct ring_settings *settings, char *problem,
               size_t problem_cap) {
    struct ring *ring = calloc(1, sizeof(*ring));
    if (ring == NULL)
        return ring_no_memory(problem, problem_cap);
    int error = uring_init(&ring->uring, settings);
    /* Of its own limit another thread may give something back, but soon. */
    for (int i = 0; error == -ENOMEM && i < (ring_space_short() ? SPACE_WAITS : GIVEN_BACK_WAITS);
         i++) {
        given_back_await();
        error = uring_init(&ring->uring, settings);
    }
    if (error < 0) {
        free(ring);
        return ring_refused(problem, problem_cap, "io_uring_setup", -error);
    }
    if (!buffers_open(ring, settings, problem, problem_cap)) {
        io_uring_queue_exit(&ring->uring);
        buffers_close(ring);
        free(ring);
        return false;
    }
    /* Saves a file look-up at each system call; where it is refused the plain descriptor serves. */
    io_uring_register_ring_fd(&ring->uring);
    /* Without the table, plain descriptors serve as well. */
    if (settings->files != 0 && io_uring_register_files_sparse(&ring->uring, settings->files) == 0)
        ring->files = settings->files;
    *out = ring;
    return true;
}

void ring_close(struct ring *ring) {
    io_uring_queue_exit(&ring->uring);
    buffers_close(ring);
    free(ring);
}

/* Looks at what io_uring_enter said. An error is of the ring, not of an operation: it is tried
 * again, and one that stays ends the node. */
static void entered(struct ring *ring, int result) {
    if (result >= 0 || result == -ETIME) {
        ring->failing_since_ns = 0;
        return;
    }
    uint64_t now_ns = clock_ns();
    if (ring->failing_since_ns == 0)
        ring->failing_since_ns = now_ns;
    bool shortage = result == -EAGAIN || result == -EBUSY || result == -ENOMEM || result == -EINTR;
    uint64_t patience_ns = shortage ? SHORTAGE_NS : FAILING_NS;
    /* EBADR: completions were lost for want of memory, so nobody knows what is in flight. */
    if (result != -EBADR && now_ns - ring->failing_since_ns < patience_ns) {
        nanosleep(&(struct timespec){0, RETRY_NS}, NULL);
        return;
    }
    fatal_event("ring_failed", LOG_STR("call", "io_uring_enter"),
                LOG_STR("error", strerror(-result)),
                LOG_STR("remedy", shortage || result == -EBADR
                                      ? "give the machine memory, then start the node again"
                                      : "allow io_uring_enter (seccomp profile, security policy), "
                                        "then start the node again"));
}

static struct io_uring_sqe *sqe_get(struct ring *ring) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (sqe == NULL) {
        ring_issue(ring);
        sqe = io_uring_get_sqe(&ring->uring);
        CHECK(sqe != NULL, "the submission queue is full after a submit");
    }
    return sqe;
}

void ring_accept(struct ring *ring, uint64_t tag, int listen_fd) {
    struct io_uring_sqe *sqe = sqe_get(ring);
    io_uring_prep_accept(sqe, listen_fd, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, tag);
}

/* Names of sockets in the table are the places, counted down from -2. */
static int kept_place(int socket) {
    return -2 - socket;
}

unsigned ring_places(const struct ring *ring) {
    return ring->files;
}

int ring_keep(struct ring *ring, uint32_t place, int fd) {
    if (place >= ring->files || io_uring_register_files_update(&ring->uring, place, &fd, 1) != 1)
        return fd;
    close(fd);
    return -2 - (int)place;
}

void ring_let_go(struct ring *ring, int socket) {
    int none = -1;
    if (ring_is_kept(socket))
        CHECK(io_uring_register_files_update(&ring->uring, (unsigned)kept_place(socket), &none,
                                             1) == 1,
              "place %d cannot be emptied", kept_place(socket));
}

static void socket_set(struct io_uring_sqe *sqe, int socket) {
    if (!ring_is_kept(socket))
        return;
    sqe->fd = kept_place(socket);
    sqe->flags |= IOSQE_FIXED_FILE;
}

void ring_receive(struct ring *ring, uint64_t tag, int socket, bool once) {
    struct io_uring_sqe *sqe = sqe_get(ring);
    if (once)
        io_uring_prep_recv(sqe, socket, NULL, 0, 0);
    else
        io_uring_prep_recv_multishot(sqe, socket, NULL, 0, 0);
    /* Without it a buffer is chosen first, and one that is short is short for idle sockets, too. */
    if (!once)
        sqe->ioprio = IORING_RECV_MULTISHOT | IORING_RECVSEND_POLL_FIRST;
    socket_set(sqe, socket);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    io_uring_sqe_set_data64(sqe, tag);
}

void ring_send(struct ring *ring, uint64_t tag, int socket, const void *at, size_t len) {
    struct io_uring_sqe *sqe = sqe_get(ring);
    io_uring_prep_send(sqe, socket, at, len, MSG_NOSIGNAL);
    socket_set(sqe, socket);
    io_uring_sqe_set_data64(sqe, tag);
}

void ring_send_gathered(struct ring *ring, uint64_t tag, int socket, const struct msghdr *header) {
    struct io_uring_sqe *sqe = sqe_get(ring);
    io_uring_prep_sendmsg(sqe, socket, header, MSG_NOSIGNAL);
    socket_set(sqe, socket);
    io_uring_sqe_set_data64(sqe, tag);
}

void ring_lend_descriptor(struct ring *ring, uint64_t tag, int socket) {
    struct io_uring_sqe *sqe = sqe_get(ring);
    io_uring_prep_rw(FIXED_FD_INSTALL, sqe, kept_place(socket), NULL, 0, 0);
    sqe->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(sqe, tag);
}

void ring_shutdown(struct ring *ring, uint64_t tag, int socket, int how) {
    struct io_uring_sqe *sqe = sqe_get(ring);
    io_uring_prep_shutdown(sqe, socket, how);
    socket_set(sqe, socket);
    io_uring_sqe_set_data64(sqe, tag);
}

void ring_close_socket(struct ring *ring, uint64_t tag, int socket) {
    struct io_uring_sqe *sqe = sqe_get(ring);
    if (ring_is_kept(socket))
        io_uring_prep_close_direct(sqe, (unsigned)kept_place(socket));
    else
        io_uring_prep_close(sqe, socket);
    io_uring_sqe_set_data64(sqe, tag);
}

void ring_cancel(struct ring *ring, uint64_t tag, uint64_t target) {
    struct io_uring_sqe *sqe = sqe_get(ring);
    io_uring_prep_cancel64(sqe, target, 0);
    io_uring_sqe_set_data64(sqe, tag);
}

/* SOCKET_URING_OP_SIOCINQ, which headers of Linux 6.1 lack; it came with 6.7, before sockets in the
 * table are used at all. */
#define SOCKET_OP_SIOCINQ 0

int ring_queued(struct ring *ring, uint64_t tag, int socket) {
    if (!ring_is_kept(socket)) {
        int bytes = 0;
        return ioctl(socket, FIONREAD, &bytes) == 0 ? bytes : 0;
    }
    struct io_uring_sqe *sqe = sqe_get(ring);
    io_uring_prep_rw(IORING_OP_URING_CMD, sqe, socket, NULL, 0, 0);
    sqe->cmd_op = SOCKET_OP_SIOCINQ;
    socket_set(sqe, socket);
    io_uring_sqe_set_data64(sqe, tag);
    return -1;
}

void ring_watch_end(struct ring *ring, uint64_t tag, int socket) {
    struct io_uring_sqe *sqe = sqe_get(ring);
    io_uring_prep_poll_add(sqe, socket, POLLRDHUP);
    socket_set(sqe, socket);
    io_uring_sqe_set_data64(sqe, tag);
}

void ring_wake_watch(struct ring *ring, uint64_t tag, int wake_fd) {
    /* Each write to the descriptor makes one completion; its counter is never read, and cannot be
     * filled in the life of a machine. */
    struct io_uring_sqe *sqe = sqe_get(ring);
    io_uring_prep_poll_multishot(sqe, wake_fd, POLLIN);
    io_uring_sqe_set_data64(sqe, tag);
}

void ring_issue(struct ring *ring) {
    buffers_publish(ring);
    /* The library gathers as well where the kernel says that there is something, and without a
     * limit: what that takes of buffers and of time is another's. So it does not get to see that.
     */
    unsigned nothing = 0, *flags = ring->uring.sq.kflags;
    ring->uring.sq.kflags = &nothing;
    while (io_uring_sq_ready(&ring->uring) != 0)
        entered(ring, io_uring_submit(&ring->uring));
    ring->uring.sq.kflags = flags;
}

void ring_submit(struct ring *ring, uint64_t wait_ns) {
    struct io_uring *uring = &ring->uring;
    ring->gathered = false;
    buffers_publish(ring);
    if (wait_ns == 0) {
        entered(ring, io_uring_submit_and_get_events(uring));
    } else if (wait_ns == CLOCK_NEVER) {
        entered(ring, io_uring_submit_and_wait(uring, 1));
    } else {
        struct __kernel_timespec timeout = {.tv_sec = (int64_t)(wait_ns / NS_PER_S),
                                            .tv_nsec = (int64_t)(wait_ns % NS_PER_S)};
        struct io_uring_cqe *first;
        entered(ring, io_uring_submit_and_wait_timeout(uring, &first, 1, &timeout, NULL));
    }
    /* The kernel takes fewer when it is short of memory; what a gathered send points to is reused
     * after this, so all of it must be taken. */
    while (io_uring_sq_ready(uring) != 0)
        entered(ring, io_uring_submit_and_get_events(uring));
    /* The kernel runs at most some twenty operations a call, of which each may make 32 completions.
     * Its flag says that there may be more, but it stays set when the work was done already; so
     * only as long as something comes. */
    unsigned ready = io_uring_cq_ready(uring), before = UINT32_MAX;
    while (ready != before && ready < GATHERED_MAX &&
           (IO_URING_READ_ONCE(*uring->sq.kflags) & IORING_SQ_TASKRUN)) {
        before = ready;
        entered(ring, io_uring_get_events(uring));
        ready = io_uring_cq_ready(uring);
    }
    ring->gathered =
        ready == before || !(IO_URING_READ_ONCE(*uring->sq.kflags) & IORING_SQ_TASKRUN);
}

bool ring_has_gathered(const struct ring *ring) {
    return ring->gathered;
}

unsigned ring_started(const struct ring *ring) {
    return io_uring_sq_ready(&ring->uring);
}

unsigned ring_waiting(const struct ring *ring) {
    return io_uring_cq_ready(&ring->uring);
}

unsigned ring_reap(struct ring *ring, struct completion *out, unsigned max) {
    unsigned head, count = 0;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&ring->uring, head, cqe) {
        if (count == max)
            break;
        out[count] = (struct completion){
            .tag = cqe->user_data,
            .result = cqe->res,
            .buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT),
            .has_buffer = (cqe->flags & IORING_CQE_F_BUFFER) != 0,
            .more = (cqe->flags & IORING_CQE_F_MORE) != 0,
            .nonempty = (cqe->flags & IORING_CQE_F_SOCK_NONEMPTY) != 0,
        };
        ring->buffers_lent += out[count].has_buffer;
        count++;
    }
    io_uring_cq_advance(&ring->uring, count);
    return count;
}

char *ring_buffer(struct ring *ring, uint16_t buffer) {
    return ring->buffers + (size_t)buffer * ring->buffer_bytes;
}

void ring_buffer_return(struct ring *ring, uint16_t buffer) {
    CHECK(ring->buffers_lent > 0);
    ring->buffers_lent--;
    buffer_add(ring, buffer);
}

unsigned ring_buffers_lent(const struct ring *ring) {
    return ring->buffers_lent;
}

unsigned ring_buffers_free(const struct ring *ring) {
    unsigned head, taken = ring->buffers_lent;
    struct io_uring_cqe *cqe;
    io_uring_for_each_cqe(&ring->uring, head, cqe) {
        taken += (cqe->flags & IORING_CQE_F_BUFFER) != 0;
    }
    return taken < ring->buffer_count ? ring->buffer_count - taken : 0;
}
