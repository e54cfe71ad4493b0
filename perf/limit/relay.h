/* relay.h - the least server that does the work of a node: what a node is measured against.
 *
 * Speaks to the load tool in the bytes of the real protocols, and knows nothing of them: a hello is
 * any line with a name of the load tool in it; every request has the length of the first one and
 * its payload at its end; the answer and the lines around a delivery are constants. Of a
 * payload it reads whom it is for, at a fixed place, and checks nothing else. One thread, epoll,
 * send().
 *
 * Threads: one, in a process of its own. Owns: its sockets. */
#ifndef RINGPOST_PERF_LIMIT_RELAY_H
#define RINGPOST_PERF_LIMIT_RELAY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

struct relay_options {
    uint32_t clients;  /* at most that many */
    uint32_t size;     /* bytes of a payload */
    uint32_t coalesce; /* fanout: messages in one send; 0: relay what producers send */
    uint32_t run;      /* fanout: the run that the messages say they are of */
};

/* Opens a listening socket on a free loopback port. Gives it, -1 with errno. */
int relay_listen(struct sockaddr_in *address);
/* Serves until it is killed. Gives an exit status if it cannot. */
int relay_run(const struct relay_options *options, int tcp, int api);

#endif
