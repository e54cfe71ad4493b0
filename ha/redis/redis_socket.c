#include "ha/redis/redis_socket.h"

#include "core/base/clock.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

unsigned redis_socket_resolve(const char *host, uint16_t port,
                              struct redis_address addresses[REDIS_ADDRESSES_MAX], char *problem,
                              size_t problem_cap) {
    struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char service[8];
    snprintf(service, sizeof(service), "%u", port);
    int error = getaddrinfo(host, service, &wanted, &found);
    if (error != 0) {
        snprintf(problem, problem_cap, "%s",
                 error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
        return 0;
    }
    unsigned count = 0;
    for (const struct addrinfo *at = found; at != NULL && count < REDIS_ADDRESSES_MAX;
         at = at->ai_next) {
        memcpy(&addresses[count].address, at->ai_addr, at->ai_addrlen);
        addresses[count++].len = at->ai_addrlen;
    }
    freeaddrinfo(found);
    return count;
}

int redis_socket_open(const struct redis_address *address) {
    int fd = socket(address->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, (const struct sockaddr *)&address->address, address->len) == 0 ||
        errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int redis_socket_connected(int fd) {
    int error = 0;
    socklen_t len = sizeof(error);
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

ssize_t redis_socket_send(int fd, const void *at, size_t len) {
    return send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t redis_socket_receive(int fd, void *at, size_t cap) {
    return recv(fd, at, cap, MSG_DONTWAIT);
}

void redis_socket_close(int fd) {
    close(fd);
}

void redis_socket_wait(struct pollfd *fds, unsigned count, uint64_t wait_ns) {
    uint64_t wait_ms = (wait_ns + NS_PER_MS - 1) / NS_PER_MS;
    poll(fds, count, wait_ns == CLOCK_NEVER || wait_ms > INT_MAX ? -1 : (int)wait_ms);
}
