#include "tests/fakes/fake_redis_socket.h"

#include "core/base/check.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#define FAKE_FD_FIRST 7000

struct fake_sockets fake_sockets;

static struct fake_socket sockets[FAKE_SOCKETS_MAX];
static struct pollfd polled[4]; /* what the port waits for */
static unsigned polled_count;

void fake_sockets_reset(void) {
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++)
        if (sockets[i].fd != 0)
            redis_socket_close(sockets[i].fd);
    fake_sockets = (struct fake_sockets){.accepts = true, .addresses = 1};
    polled_count = 0;
}

struct fake_socket *fake_socket_find(int fd) {
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++)
        if (fd != 0 && sockets[i].fd == fd)
            return &sockets[i];
    return NULL;
}

struct fake_socket *fake_socket_at(unsigned place) {
    struct fake_socket *at = NULL;
    unsigned before = UINT32_MAX;
    for (unsigned n = 0; n <= place; n++) {
        at = NULL;
        for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++)
            if (sockets[i].fd != 0 && sockets[i].number < before &&
                (at == NULL || sockets[i].number > at->number))
                at = &sockets[i];
        if (at == NULL)
            return NULL;
        before = at->number;
    }
    return at;
}

static struct fake_socket *socket_of(int fd) {
    struct fake_socket *at = fake_socket_find(fd);
    CHECK(at != NULL, "descriptor %d", fd);
    return at;
}

void fake_socket_say(struct fake_socket *at, struct span bytes) {
    at->said = realloc(at->said, at->said_len + bytes.len + 1);
    CHECK(at->said != NULL);
    memcpy(at->said + at->said_len, bytes.at, bytes.len);
    at->said_len += bytes.len;
}

void fake_socket_take(struct fake_socket *at, size_t bytes) {
    CHECK(bytes <= at->sent_len, "%zu bytes of %zu", bytes, at->sent_len);
    memmove(at->sent, at->sent + bytes, at->sent_len - bytes);
    at->sent_len -= bytes;
}

short fake_socket_ready(const struct fake_socket *at, short events) {
    if (at->error != 0)
        return (short)(POLLERR | POLLHUP | (events & (POLLIN | POLLOUT)));
    if (!at->accepted)
        return 0;
    short ready = at->ended ? events & POLLIN : 0;
    if (at->said_len != 0)
        ready |= events & POLLIN;
    if (at->sent_len < at->send_room)
        ready |= events & POLLOUT;
    return ready;
}

bool fake_sockets_wake(void) {
    for (unsigned i = 0; i < polled_count; i++) {
        const struct fake_socket *at = fake_socket_find(polled[i].fd);
        if (at != NULL && fake_socket_ready(at, polled[i].events) != 0)
            return true;
    }
    return false;
}

/* --- redis_socket.h --------------------------------------------------------------------------- */

unsigned redis_socket_resolve(const char *host, uint16_t port,
                              struct port_address addresses[REDIS_ADDRESSES_MAX], char *problem,
                              size_t problem_cap) {
    CHECK(fake_sockets.addresses <= REDIS_ADDRESSES_MAX);
    for (unsigned i = 0; i < fake_sockets.addresses; i++) {
        struct sockaddr_in in = {.sin_family = AF_INET,
                                 .sin_port = htons(port),
                                 .sin_addr.s_addr = htonl(0x7f000001 + i)};
        addresses[i] = (struct port_address){.len = sizeof(in)};
        memcpy(&addresses[i].address, &in, sizeof(in));
    }
    if (fake_sockets.addresses == 0)
        snprintf(problem, problem_cap, "%s is not known", host);
    return fake_sockets.addresses;
}

int redis_socket_open(const struct port_address *address) {
    fake_sockets.opened++;
    if (fake_sockets.open_error != 0) {
        errno = fake_sockets.open_error;
        return -1;
    }
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++)
        if (sockets[i].fd == 0) {
            sockets[i] = (struct fake_socket){.fd = FAKE_FD_FIRST + (int)fake_sockets.opened,
                                              .number = fake_sockets.opened,
                                              .address = *address,
                                              .accepted = fake_sockets.accepts,
                                              .send_room = SIZE_MAX};
            return sockets[i].fd;
        }
    CHECK(false, "too many connections to Redis");
    return -1;
}

int redis_socket_connected(int fd) {
    return socket_of(fd)->error;
}

ssize_t redis_socket_send(int fd, const void *bytes, size_t len) {
    struct fake_socket *at = socket_of(fd);
    CHECK(at->accepted && len != 0);
    if (at->error != 0) {
        errno = at->error;
        return -1;
    }
    size_t room = at->sent_len < at->send_room ? at->send_room - at->sent_len : 0;
    len = len < room ? len : room;
    if (len == 0) {
        errno = EAGAIN;
        return -1;
    }
    at->sent = realloc(at->sent, at->sent_len + len + 1);
    CHECK(at->sent != NULL);
    memcpy(at->sent + at->sent_len, bytes, len);
    at->sent_len += len;
    at->sent[at->sent_len] = '\0';
    return (ssize_t)len;
}

ssize_t redis_socket_receive(int fd, void *bytes, size_t cap) {
    struct fake_socket *at = socket_of(fd);
    CHECK(cap != 0);
    size_t len = at->said_len < cap ? at->said_len : cap;
    if (at->receive_max != 0 && len > at->receive_max)
        len = at->receive_max;
    if (len == 0 && at->ended && at->error == 0)
        return 0;
    if (len == 0) {
        errno = at->error != 0 ? at->error : EAGAIN;
        return -1;
    }
    memcpy(bytes, at->said, len);
    memmove(at->said, at->said + len, at->said_len - len);
    at->said_len -= len;
    return (ssize_t)len;
}

void redis_socket_close(int fd) {
    struct fake_socket *at = socket_of(fd);
    free(at->sent);
    free(at->said);
    *at = (struct fake_socket){.fd = 0};
}

void redis_socket_wait(struct pollfd *fds, unsigned count, uint64_t wait_ns) {
    CHECK(count <= sizeof(polled) / sizeof(polled[0]));
    memcpy(polled, fds, count * sizeof(*fds));
    polled_count = count;
    fake_sockets.waited_ns = wait_ns;
    fake_sockets.waits_at_once += wait_ns == 0 || fake_sockets_wake();
    if (fake_sockets.wait != NULL)
        fake_sockets.wait(fds[0].fd, wait_ns);
    for (unsigned i = 0; i < count; i++) {
        const struct fake_socket *at = fake_socket_find(fds[i].fd);
        fds[i].revents = at != NULL ? fake_socket_ready(at, fds[i].events) : 0;
    }
}
