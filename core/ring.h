/* ring.h - the one door to io_uring: operations in, completions out, receive buffers lent and
 * returned.
 *
 * Nothing else in the engine knows that there is a kernel. The simulation links another
 * implementation of this header, which decides itself when operations complete, how short sends
 * fall and when buffers run out; so what is promised here is all that callers may rely on.
 *
 * An operation that is started ends with exactly one completion without `more`; multishot
 * operations (receive, wake) give any number with `more` before that. Starting never fails:
 * when the submission queue is full, what is there is submitted first. Completions are copied out
 * by ring_reap and never handled from inside a submit.
 *
 * A socket is named by one number: a descriptor of the process (0 and up), or a place in the ring's
 * own table of files (below -1; ring_keep). The table saves the kernel a look-up and a count at
 * every operation, and what is in it counts for no limit of open files: RLIMIT_NOFILE bounds the
 * table of each ring instead of the process.
 *
 * An error of the ring itself, which is none of an operation, is tried again; one that does not go
 * away ends the node (fatal.h): 1 second, 10 where the kernel is short of something.
 *
 * Threads: the worker that opened it, only; the kernel enforces that (SINGLE_ISSUER).
 * Owns: the ring, its buffers, the files in its table. Limits: limits.h, reduced to what
 * RLIMIT_MEMLOCK allows. */
#ifndef RINGPOST_CORE_RING_H
#define RINGPOST_CORE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct iovec;
struct msghdr;
struct ring;

struct ring_settings {
    unsigned sq_entries;
    unsigned cq_entries;
    unsigned buffers;      /* receive buffers, a power of two */
    unsigned buffer_bytes; /* size of each */
    unsigned files;        /* places in the table of files; 0: there is none */
    bool kernel_6_1;       /* use nothing newer than Linux 6.1 */
};

struct completion {
    uint64_t tag;
    int32_t result;  /* as the system call would answer: >= 0, or a negated errno */
    uint16_t buffer; /* valid with has_buffer */
    bool has_buffer; /* the bytes are in ring_buffer(buffer), lent until ring_buffer_return */
    bool more;       /* the operation goes on */
    bool nonempty;   /* of a receive: more bytes wait in the socket */
};

/* Looks once, before workers start, whether this kernel (and seccomp, and sysctl) give what is
 * needed. On false `problem` says what is missing and the remedy, in one sentence. */
bool ring_probe(bool kernel_6_1, char *problem, size_t problem_cap);
/* Has this kernel tables of files that can be relied on? It must be Linux 6.14 or newer: before
 * 6.13 a place that is emptied keeps its socket as long as an older operation on any other socket
 * goes on, which is for ever where every connection has a receive armed. */
bool ring_has_files(void);
/* The largest settings for `workers` rings that fit the limits of this process (RLIMIT_MEMLOCK), at
 * most the wanted ones of limits.h, with a table of files for `connections` where there is one.
 * False and `problem` below the floor. */
bool ring_fit(unsigned workers, uint32_t connections, bool kernel_6_1,
              struct ring_settings *settings, char *problem, size_t problem_cap);
/* Opens a ring for the calling thread. False: `problem` says why and what helps. */
bool ring_open(struct ring **ring, const struct ring_settings *settings, char *problem,
               size_t problem_cap);
void ring_close(struct ring *ring);

/* Accepts one connection of a listening descriptor, the one that has waited for the longest; the
 * completion's result is a new descriptor. Several may be armed, each with a tag of its own. None
 * is multishot, which would take the whole backlog at once. */
void ring_accept(struct ring *ring, uint64_t tag, int listen_fd);
/* Places in the table of files; 0: there is none. */
unsigned ring_places(const struct ring *ring);
/* Puts an accepted descriptor into the table of files at `place`, which must be empty, and closes
 * it; gives the socket's name from then on. Where there is no such place, that is the descriptor
 * itself. */
int ring_keep(struct ring *ring, uint32_t place, int fd);
/* The ring is through with the socket, on which nothing may be in flight: its place is empty
 * afterwards. The connection goes on through a descriptor that was lent for it; a socket that is
 * none of the table's stays open itself. */
void ring_let_go(struct ring *ring, int socket);
/* Receive into provided buffers; result 0 is the peer's end, -ENOBUFS means that none is free:
 * return some, then start again; no byte is lost. Multishot: takes no buffer before there are bytes
 * for it, and sockets that have some come in the order in which they got them. `once`: into one
 * buffer, during the coming submit and before all that is multishot; it fails without a buffer also
 * where there are no bytes yet. */
void ring_receive(struct ring *ring, uint64_t tag, int socket, bool once);
/* Sends `len` bytes; may send less. The bytes must stay until the completion. */
void ring_send(struct ring *ring, uint64_t tag, int socket, const void *at, size_t len);
/* The same for gathered bytes; `header` and its vector must stay until ring_submit or ring_issue
 * returns, the bytes until the completion. */
void ring_send_gathered(struct ring *ring, uint64_t tag, int socket, const struct msghdr *header);
/* Is it a place in the table of files, and no descriptor? */
static inline bool ring_is_kept(int socket) {
    return socket < -1;
}
/* Lends a descriptor of the process for a kept socket: the completion's result, to be closed soon;
 * or -EMFILE. */
void ring_lend_descriptor(struct ring *ring, uint64_t tag, int socket);
/* `how` as for shutdown(2). The kernel hands every one of these to a thread of its own (io-wq),
 * which costs more than the rest of a connection's end: for where nothing else helps. */
void ring_shutdown(struct ring *ring, uint64_t tag, int socket, int how);
/* Nothing may be in flight on the socket: the kernel would keep it open. */
void ring_close_socket(struct ring *ring, uint64_t tag, int socket);
/* Asks for the end of the operation that was started with `target`; that one still completes itself
 * (with -ECANCELED if it was in time). Result 0: it was found; -ENOENT: it was not; -EALREADY: it
 * runs at this moment. Found by its tag, at a cost that does not depend on how many there are; a
 * look-up by socket would walk through all of the ring's. */
void ring_cancel(struct ring *ring, uint64_t tag, uint64_t target);
/* How many received bytes wait in the socket? Where that is known at once, they are returned and
 * nothing is started; otherwise -1, and the completion tells. */
int ring_queued(struct ring *ring, uint64_t tag, int socket);
/* Completes when the peer has sent its end, whatever bytes wait in the socket before that; result:
 * of poll(2), with POLLERR or POLLHUP if the connection has broken. */
void ring_watch_end(struct ring *ring, uint64_t tag, int socket);
/* Multishot: completes each time somebody writes to the wake descriptor (net_wake). */
void ring_wake_watch(struct ring *ring, uint64_t tag, int wake_fd);

/* Submits what was started and gathers completions: some in any case, or who has said something
 * would wait as long as many sends complete; more as long as fewer than GATHERED_MAX wait.
 * `wait_ns`: it waits so long for the first one (0: does not wait; CLOCK_NEVER: as long as it
 * takes). Returns early on a signal. */
void ring_submit(struct ring *ring, uint64_t wait_ns);
/* Only submits: what has happened meanwhile waits for the next ring_submit. */
void ring_issue(struct ring *ring);
/* Operations that were started and not submitted. */
unsigned ring_started(const struct ring *ring);
/* Completions that have been gathered and not been reaped. */
unsigned ring_waiting(const struct ring *ring);
/* Has the last ring_submit gathered all that had happened? Not, if enough waited already. */
bool ring_has_gathered(const struct ring *ring);
/* Copies out up to `max` completions that have arrived; returns how many. */
unsigned ring_reap(struct ring *ring, struct completion *out, unsigned max);

char *ring_buffer(struct ring *ring, uint16_t buffer);
void ring_buffer_return(struct ring *ring, uint16_t buffer);
/* Buffers that are lent at this moment. */
unsigned ring_buffers_lent(const struct ring *ring);
/* At least so many are free: neither lent nor with a completion that waits. */
unsigned ring_buffers_free(const struct ring *ring);

#endif
