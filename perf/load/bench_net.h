/* bench_net.h - the sockets of the load tool: one epoll set, non-blocking TCP on loopback.
 *
 * epoll and not io_uring: receiving costs the same on loopback (the TCP stack is what is paid for),
 * it runs where io_uring is refused, and the tool then shares no engine with what it measures.
 * Edge-triggered: one receive call for each event, since a short read means an empty socket.
 *
 * Threads: one thread for each set. Owns: its epoll descriptor and the receive area. */
#ifndef RINGPOST_PERF_LOAD_BENCH_NET_H
#define RINGPOST_PERF_LOAD_BENCH_NET_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#define BENCH_EVENTS_MAX 256
#define BENCH_AREA_BYTES (512u * 1024)

struct bench_net {
    int epoll;
    uint32_t gather_ns; /* under a second; see bench_net_wait */
    uint8_t *area;      /* BENCH_AREA_BYTES, where every socket is received into */
    bool stamped;       /* its sockets say when bytes reached them; see bench_net_stamp */
    uint64_t there_ns;  /* of the last receive: when the last of its bytes reached the socket */
    struct epoll_event events[BENCH_EVENTS_MAX];
};

/* Sets all but gather_ns and stamped. False with errno if there is no descriptor or memory. */
bool bench_net_open(struct bench_net *net);
void bench_net_close(struct bench_net *net);

/* Waits until something is ready or `wait_ns` are over (0: only looks). Gives the number of events.
 *
 * When nothing is ready it first sleeps for gather_ns, whatever arrives: on loopback it is the
 * sender who pays for waking the receiver, so a tool that is woken for every message makes the node
 * slower than clients on other machines would. What arrives is seen so much later. */
int bench_net_wait(struct bench_net *net, uint64_t wait_ns);
/* Begins a connection, from the source address (host order, 0: any). Gives the descriptor, -1 with
 * errno. On loopback the handshake is usually over when this returns: the caller may send at once,
 * which spares the node a wake, and watch the descriptor afterwards. */
int bench_net_connect(const struct sockaddr_in *to, uint32_t source);
/* Small writes leave at once although an earlier one is not acknowledged. */
void bench_net_hurry(int fd);
/* Bounds what the system keeps of the socket's unsent bytes. False with errno. */
bool bench_net_send_buffer(int fd, uint32_t bytes);
/* From now on the system notes when bytes reach this socket, whenever they are read. False with
 * errno. */
bool bench_net_stamp(int fd);
/* Watches the descriptor under `tag` for reading, and for writing if asked to. False with errno. */
bool bench_net_watch(struct bench_net *net, int fd, bool writing, uint64_t tag);

/* Bytes of a message that arrived in parts, kept between two receives. */
struct bench_rest {
    uint8_t *at;
    uint32_t len;
    uint32_t cap;
};
/* Receives behind what was kept. Gives the bytes now at the start of the area, kept ones included;
 * 0: nothing new; -1: the peer closed; -2: error or a message that does not fit. `*drained` says
 * whether the socket is known to be empty. Sets there_ns: the present where no time is noted. */
ssize_t bench_net_receive(struct bench_net *net, int fd, struct bench_rest *rest, bool *drained);
/* Keeps `len` bytes for the next receive (0 lets the memory go). False without memory. */
bool bench_rest_keep(struct bench_rest *rest, const uint8_t *at, size_t len);

/* Sends; gives the bytes taken, 0 if the socket is full, -1 on an error. */
ssize_t bench_net_send(int fd, const void *at, size_t len);

#endif
