/* fake_redis_socket.h - ha/redis/redis_socket.h without sockets: what the port sends is kept until
 * the other side takes it, which sends what it likes, in parts and with errors as it likes. For the
 * unit tests and for the simulation, which are the other side.
 *
 *   struct fake_socket *at = fake_socket_at(0);     the port has opened it
 *   at->accepted = true;
 *   ... at->sent, at->sent_len ...                  fake_socket_take(at, bytes) when it was read
 *   fake_socket_say(at, SPAN("+OK\r\n"));
 *
 * Threads: one. Owns: the sockets; all are closed by fake_sockets_reset. Limits:
 * FAKE_SOCKETS_MAX. */
#ifndef RINGPOST_TESTS_FAKES_FAKE_REDIS_SOCKET_H
#define RINGPOST_TESTS_FAKES_FAKE_REDIS_SOCKET_H

#include "ha/redis/redis_socket.h"

#include <stdbool.h>

#define FAKE_SOCKETS_MAX 8

struct fake_socket {
    int fd;          /* 0: there is none */
    unsigned number; /* of all that were opened, from 1 */
    struct port_address address;
    bool accepted;
    int error;        /* what every call says from now on, once what was said is received */
    bool ended;       /* the other side sends nothing more */
    size_t send_room; /* so many bytes are taken at most before it is full */
    char *sent;       /* by the port */
    size_t sent_len;
    char *said; /* to the port, and not received yet */
    size_t said_len;
    size_t receive_max; /* in one call; 0: any */
};

struct fake_sockets {
    int open_error;         /* of the next ones to be opened; 0: none */
    bool accepts;           /* what is opened is connected at once */
    unsigned opened;        /* so far */
    unsigned addresses;     /* that a name has; 0: it is not known */
    uint64_t waited_ns;     /* for how long the port wanted to wait last */
    unsigned waits_at_once; /* how often it did not want to, or something was ready */
    /* Instead of waiting; NULL: comes back at once. */
    void (*wait)(int wake_fd, uint64_t wait_ns);
};

extern struct fake_sockets fake_sockets;

/* Closes all, and forgets what was set. */
void fake_sockets_reset(void);
/* The one that was opened as the last but so many of those that are open; NULL: there is none. */
struct fake_socket *fake_socket_at(unsigned place);
struct fake_socket *fake_socket_find(int fd);
void fake_socket_say(struct fake_socket *at, struct span bytes);
/* The other side has read so many bytes. */
void fake_socket_take(struct fake_socket *at, size_t bytes);
/* What poll(2) would say of it. */
short fake_socket_ready(const struct fake_socket *at, short events);
/* Would the port be woken by one of them? */
bool fake_sockets_wake(void);

#endif
