/* amqp_door_socket.c - what doors do with sockets outside the library; see amqp_door.h. */
#include "core/base/check.h"
#include "ingest/amqp/amqp_door.h"

#define WAITED_FDS 4

bool door_resolve(struct door_place *place, char *problem, size_t problem_cap) {
    place->address_count = port_socket_resolve(place->url.host, place->url.port, place->addresses,
                                               DOOR_ADDRESSES_MAX, problem, problem_cap);
    return place->address_count != 0;
}

int door_connect(const struct door_place *place, unsigned address) {
    const struct port_address *at = &place->addresses[address];
    return port_socket_open((const struct sockaddr *)&at->address, at->len);
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
    port_socket_wait(fds, used, wait_ns);
}
