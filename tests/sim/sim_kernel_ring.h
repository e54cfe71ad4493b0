/* sim_kernel_ring.h - the inside of the fake ring, shared by the two files that make it:
 * fake_ring.c, which is what the engine sees, and sim_kernel.c, which carries the operations out.
 *
 * Threads: one. */
#ifndef RINGPOST_TESTS_SIM_SIM_KERNEL_RING_H
#define RINGPOST_TESTS_SIM_SIM_KERNEL_RING_H

#include "tests/sim/sim_kernel.h"

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
    bool once; /* a receive that is none for several */
    int how;
    uint64_t target;
    const struct msghdr *header; /* read at the submit */
    struct iovec *runs;
    size_t run_count;
    struct iovec one;
    uint64_t bytes_hash;
    uint64_t started_ns;
};

struct ended {
    struct completion completion;
    enum kernel_op kind;
    int fd;
};

struct op_list {
    struct op **ops;
    unsigned count, size;
};

enum buffer_state { BUFFER_FREE, BUFFER_QUEUED, BUFFER_LENT };

/* Places of the largest table of files. */
#define SIM_PLACES 4096

struct ring {
    unsigned worker;
    struct op_list queued, active; /* started; taken by the kernel */
    struct ended *ended;           /* completions nobody has reaped */
    unsigned ended_first, ended_count, ended_size;
    char *buffers;
    uint8_t *buffer_states;
    unsigned buffer_count, buffer_bytes, lent, free_buffers;
    unsigned sq_entries, cq_entries;
    unsigned files;         /* places in the table of files */
    int places[SIM_PLACES]; /* the table; 0: empty */
    bool asleep;
    bool gathered; /* the last submit left nothing that could go on */
    uint64_t wake_ns;
};

void op_list_add(struct op_list *list, struct op *op);
void op_free(struct op *op);
/* The kernel takes what was started: bytes to send are looked at, cancellations usually done at
 * once. */
void kernel_take(struct ring *ring);

#endif
