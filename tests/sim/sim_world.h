/* sim_world.h - the network between peers and the node: links, and the descriptors of the fake
 * process.
 *
 * A link is one TCP connection: two pipes of bytes, each with a window, and the ways in which it
 * ends. Bytes that were written arrive later, in pieces. The node's end is a descriptor once it is
 * accepted.
 *
 * Threads: one. Owns: links (they stay until the run ends), descriptors. */
#ifndef RINGPOST_TESTS_SIM_SIM_WORLD_H
#define RINGPOST_TESTS_SIM_SIM_WORLD_H

#include "core/connection.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_tap.h"

#define LINKS_MAX 1024
#define FD_FIRST 100
#define FDS_MAX 2048

/* Offsets count from the start of the stream. */
struct sim_pipe {
    char *at;
    size_t size;
    uint64_t base;    /* offset of at[0] */
    uint64_t taken;   /* read by the receiver */
    uint64_t arrived; /* may be read */
    uint64_t written;
    uint64_t window; /* written - taken stays within it */
    uint64_t stalled_until;
};

enum link_state {
    LINK_BACKLOG, /* in a listening socket's queue */
    LINK_OPEN,    /* accepted: it has a descriptor */
    LINK_CLOSED   /* the node's end is closed, or it never got one */
};

struct link {
    unsigned number;
    enum listener_kind kind;
    enum link_state state;
    struct peer_address from;
    int fd;
    struct link *next_waiting;
    struct sim_pipe up, down; /* to the node, to the peer */

    bool up_end, up_end_arrived; /* the peer has sent its end */
    bool reset, reset_arrived;   /* the peer has reset, or the path broke */
    int reset_errno;
    bool down_end;            /* the node has sent its end */
    bool down_reset;          /* the node has reset: what had not arrived is lost */
    bool input_shut;          /* the node wants no more input */
    bool send_failed;         /* the kernel refused a send: the connection is given up */
    bool words_lost;          /* what it had written last was destroyed by its reset */
    uint64_t send_offset;     /* of the send whose bytes came last: where they begin, */
    uint64_t send_started_ns; /* and when it was started */

    /* What is known of the node's side. */
    int worker; /* -1: not yet */
    struct connection_handle handle;
    bool handle_known;
    uint64_t close_stamp;  /* not later than the connection ceased to be open; 0: open */
    uint64_t closed_stamp; /* not earlier than that */
    uint8_t close_reason;  /* enum close_reason */
    bool finished;         /* the slot is free again */
    uint8_t style;         /* enum peer_style */
    bool proxied;          /* the address that counts came in a PROXY header */
    bool moved;            /* from one worker to another */

    struct tap tap;
};

/* LENT: a second descriptor of a link. */
enum fake_fd_kind { FD_FREE, FD_LISTEN, FD_LINK, FD_LENT, FD_WAKE };
enum kernel_op {
    KERNEL_ACCEPT,
    KERNEL_RECEIVE,
    KERNEL_SEND,
    KERNEL_LEND,
    KERNEL_SHUTDOWN,
    KERNEL_CLOSE,
    KERNEL_CANCEL,
    KERNEL_WAKE,
    KERNEL_QUEUED,
    KERNEL_WATCH,
    KERNEL_OPS
};

struct fake_fd {
    enum fake_fd_kind kind;
    struct link *link;
    uint16_t port;
    bool reuseport, steered, closing;
    bool kept;      /* in a ring's table of files */
    unsigned order; /* of listen() */
    struct link *waiting, *waiting_last;
    unsigned waiting_count;
    uint64_t wakes, wakes_seen;
    uint16_t in_flight[KERNEL_OPS];
};

void world_open(void);
void world_close(void);

/* --- for peers ------------------------------------------------------------------------------- */

/* Connects; NULL when nobody listens there. */
struct link *link_connect(enum listener_kind kind, const struct peer_address *from);
/* Writes what the window takes; returns how much. */
size_t link_write(struct link *link, const char *at, size_t len);
/* Reads at most `max` bytes that have arrived and throws them away (the tap has seen them). */
size_t link_read(struct link *link, size_t max);
static inline size_t link_readable(const struct link *link) {
    return (size_t)(link->down.arrived - link->down.taken);
}
/* The peer's end; the peer's reset. */
void link_end(struct link *link);
void link_reset(struct link *link, int error);
/* True when the node's end (or reset) has come and everything before it was read. */
bool link_ended(const struct link *link);

/* --- for the scheduler ------------------------------------------------------------------------ */

/* Moves some bytes along; true when something moved. */
bool world_step(void);
/* Could something move right now? */
bool world_can_step(void);
/* When the next stall ends; CLOCK_NEVER: nothing waits for one. */
uint64_t world_next_ns(void);
unsigned world_links(void);
struct link *world_link(unsigned number);

/* --- for the fake kernel ------------------------------------------------------------------------
 */

struct fake_fd *fd_find(int fd);
/* -1: no descriptor is left. */
int fd_open(enum fake_fd_kind kind);
/* It moves into a ring's table of files. */
void fd_keep(int fd);
/* The last reference is gone. */
void fd_free(int fd);
unsigned fds_in_use(void);
struct link *listen_pop(struct fake_fd *listener);
/* What the node reads from the link, and the room that it may write to. */
size_t link_input(const struct link *link);
size_t link_take_input(struct link *link, char *to, size_t max);
size_t link_space(const struct link *link);
void link_put_output(struct link *link, const char *at, size_t len);

#endif
