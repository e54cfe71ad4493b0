#include "core/port_socket.h"

#include "core/base/clock.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

unsigned port_socket_resolve(const char *host, uint16_t port, struct port_address *addresses,
                             unsigned addresses_max, char *problem, size_t problem_cap) {
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
    for (const struct addrinfo *at = found; at != NULL && count < addresses_max; at = at->ai_next) {
        memcpy(&addresses[count].address, at->ai_addr, at->ai_addrlen);
        addresses[count++].len = at->ai_addrlen;
    }
    freeaddrinfo(found);
    return count;
}

int port_socket_open(const struct sockaddr *address, socklen_t len) {
    int on = 1, fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, address, len) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

void port_socket_wait(struct pollfd *fds, unsigned count, uint64_t wait_ns) {
    uint64_t wait_ms = (wait_ns + NS_PER_MS - 1) / NS_PER_MS;
    poll(fds, count, wait_ns == CLOCK_NEVER || wait_ms > INT_MAX ? -1 : (int)wait_ms);
}
