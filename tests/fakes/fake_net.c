/* The sockets of the simulation that are not used through the ring. */
#include "core/net.h"

#include "core/base/check.h"
#include "tests/sim/sim_fiber.h"
#include "tests/sim/sim_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>

static unsigned listen_order;

static uint16_t port_of(const struct sockaddr *address) {
    struct sockaddr_in v4;
    memcpy(&v4, address, sizeof(v4));
    return ntohs(v4.sin_port);
}

int net_listen(const struct sockaddr *address, socklen_t len, bool v6_only, bool reuseport,
               const struct socket_buffers *buffers, char *problem, size_t problem_cap) {
    (void)v6_only;
    (void)buffers; /* how much a link takes at a time is up to the scenario */
    CHECK(len == sizeof(struct sockaddr_in));
    int fd = fd_open(FD_LISTEN);
    if (fd < 0) {
        snprintf(problem, problem_cap, "no descriptor is left");
        return -1;
    }
    struct fake_fd *slot = fd_find(fd);
    slot->port = port_of(address);
    slot->reuseport = reuseport;
    slot->order = listen_order++;
    return fd;
}

bool net_free(const struct sockaddr *address, socklen_t len, bool v6_only, char *problem,
              size_t problem_cap) {
    (void)v6_only;
    (void)address;
    (void)len;
    (void)problem;
    (void)problem_cap;
    return true;
}

bool net_local(int fd, struct sockaddr_storage *address, socklen_t *len) {
    const struct fake_fd *slot = fd_find(fd);
    CHECK(slot != NULL && slot->kind == FD_LISTEN);
    struct sockaddr_in v4 = {.sin_family = AF_INET,
                             .sin_port = htons(slot->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    *len = sizeof(v4);
    memcpy(address, &v4, sizeof(v4));
    return true;
}

bool net_local_text(int fd, char *text, size_t cap) {
    const struct fake_fd *slot = fd_find(fd);
    CHECK(slot != NULL && slot->kind == FD_LISTEN);
    snprintf(text, cap, "127.0.0.1:%u", slot->port);
    return true;
}

bool net_steer(int fd, unsigned sockets) {
    struct fake_fd *slot = fd_find(fd);
    CHECK(slot != NULL && slot->kind == FD_LISTEN && slot->reuseport);
    CHECK(sockets == sim.scenario.workers);
    slot->steered = sim.scenario.kernel_steers;
    return slot->steered;
}

bool net_peer(int fd, struct peer_address *peer) {
    const struct fake_fd *slot = fd_find(fd);
    CHECK(slot != NULL && slot->kind == FD_LINK);
    if (slot->link->reset_arrived)
        return false;
    *peer = slot->link->from;
    return true;
}

int net_wake_open(void) {
    int fd = fd_open(FD_WAKE);
    if (fd < 0)
        errno = EMFILE;
    return fd;
}

void net_wake(int fd) {
    struct fake_fd *slot = fd_find(fd);
    CHECK(slot != NULL && slot->kind == FD_WAKE, "a wake is written to descriptor %d", fd);
    SIM_TRACE("wake %d", fd);
    if (sim.canary != CANARY_WAKE_LOST)
        slot->wakes++;
}

void net_wake_clear(int fd) {
    struct fake_fd *slot = fd_find(fd);
    CHECK(slot != NULL && slot->kind == FD_WAKE, "descriptor %d is no wake", fd);
    slot->wakes = 0;
}

/* The fake port (sim_port.c) waits for itself. */
void net_wake_wait(int fd, uint64_t wait_ns) {
    CHECK(false, "descriptor %d is waited for, %llu ns", fd, (unsigned long long)wait_ns);
}

void net_end(int fd) {
    struct fake_fd *slot = fd_find(fd);
    if (slot == NULL || (slot->kind != FD_LINK && slot->kind != FD_LENT))
        sim_fail("descriptor %d is ended, which is no connection", fd);
    slot->link->down_end = true;
}

void net_close(int fd) {
    struct fake_fd *slot = fd_find(fd);
    if (slot == NULL)
        sim_fail("descriptor %d is closed twice", fd);
    if (slot->kind == FD_LINK)
        for (unsigned i = 0; i < KERNEL_OPS; i++)
            if (slot->in_flight[i] != 0)
                sim_fail("descriptor %d is closed with operations in flight", fd);
    fd_free(fd);
}
