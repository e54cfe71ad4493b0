/* amqp_door_socket.c - what doors do with sockets outside the library; see amqp_door.h. */
#include "core/base/check.h"
#include "ingest/amqp/amqp_door.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define WAITED_FDS 4

bool door_resolve(struct door_place *place, char *problem, size_t problem_cap) {
    struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char service[8];
    snprintf(service, sizeof(service), "%u", place->url.port);
    int error = getaddrinfo(place->url.host, service, &wanted, &found);
    if (error != 0) {
        snprintf(problem, problem_cap, "%s",
                 error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
        return false;
    }
    place->address_count = 0;
    for (const struct addrinfo *at = found; at != NULL && place->address_count < DOOR_ADDRESSES_MAX;
         at = at->ai_next) {
        memcpy(&place->addresses[place->address_count], at->ai_addr, at->ai_addrlen);
        place->address_lens[place->address_count++] = at->ai_addrlen;
    }
    freeaddrinfo(found);
    return true;
}

int door_connect(const struct door_place *place, unsigned address) {
    const struct sockaddr *at = (const struct sockaddr *)&place->addresses[address];
    int on = 1, fd = socket(at->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, at, place->address_lens[address]) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

bool door_takes(const struct door *door) {
    struct pollfd fd = {.fd = door->fd, .events = POLLOUT};
    return door->state == DOOR_OPEN && !door->broke && poll(&fd, 1, 0) == 1 &&
           (fd.revents & POLLOUT) != 0;
}

void door_wait(struct door *const *doors, unsigned count, int wake_fd, uint64_t wait_ns) {
    struct pollfd fds[WAITED_FDS] = {{.fd = wake_fd, .events = POLLIN}};
    unsigned used = 1;
    CHECK(count < WAITED_FDS, "%u doors", count);
    for (unsigned i = 0; i < count; i++) {
        if (doors[i]->fd < 0)
            continue;
        bool connects = doors[i]->state == DOOR_CONNECTING;
        fds[used++] = (struct pollfd){.fd = doors[i]->fd, .events = connects ? POLLOUT : POLLIN};
    }
    uint64_t wait_ms = (wait_ns + NS_PER_MS - 1) / NS_PER_MS;
    poll(fds, used, wait_ns == CLOCK_NEVER || wait_ms > INT_MAX ? -1 : (int)wait_ms);
}
