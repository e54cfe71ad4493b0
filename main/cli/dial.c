/* dial.c - see dial.h. */
#include "main/cli/dial.h"

#include "core/base/clock.h"
#include "main/address.h"
#include "main/cli/resolve.h"
#include "main/terminal.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define PROGRESS_AFTER_NS (2 * NS_PER_S)

static const char *progress_server;

void dial_progress(const char *server) {
    progress_server = isatty(STDERR_FILENO) == 1 ? server : NULL;
}

enum dial_end dial_wait(int fd, short events, uint64_t deadline_ns, int stop_fd) {
    uint64_t patience_ns = progress_server == NULL ? CLOCK_NEVER : clock_ns() + PROGRESS_AFTER_NS;
    for (;;) {
        struct pollfd wanted[] = {{fd, events, 0}, {stop_fd, POLLIN, 0}};
        uint64_t now = clock_ns();
        uint64_t until_ns = patience_ns < deadline_ns ? patience_ns : deadline_ns;
        int wait_ms = -1;
        if (until_ns != CLOCK_NEVER) {
            uint64_t left_ms = now < until_ns ? (until_ns - now + NS_PER_MS - 1) / NS_PER_MS : 0;
            wait_ms = left_ms > 1000000 ? 1000000 : (int)left_ms;
        }
        int ready = poll(wanted, 2, wait_ms);
        if (ready < 0 && errno != EINTR)
            return DIAL_FAILED;
        if (ready > 0 && wanted[1].revents != 0)
            return DIAL_STOPPED;
        /* Not even when more is there already: a server that never stops must not win. */
        if (now >= deadline_ns)
            return DIAL_TIMEOUT;
        if (ready > 0)
            return DIAL_READY;
        now = clock_ns();
        if (now >= patience_ns) {
            terminal_format(stderr, "ringpost: still waiting for %s (Ctrl-C ends it)",
                            progress_server);
            fputc('\n', stderr);
            patience_ns = CLOCK_NEVER;
        }
    }
}

/* One address. Returns the descriptor, or -1 with errno in `*error` (0: ended for `*end`). */
static int connect_one(const struct addrinfo *address, uint64_t deadline_ns, int stop_fd,
                       enum dial_end *end, int *error) {
    *error = 0;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        *error = errno;
        return -1;
    }
    *end = DIAL_READY;
    if (connect(fd, address->ai_addr, address->ai_addrlen) != 0) {
        *error = errno;
        if (errno == EINPROGRESS) {
            socklen_t size = sizeof(*error);
            *error = 0;
            *end = dial_wait(fd, POLLOUT, deadline_ns, stop_fd);
            if (*end == DIAL_READY && getsockopt(fd, SOL_SOCKET, SO_ERROR, error, &size) != 0)
                *error = errno;
        }
    }
    if (*end == DIAL_READY && *error == 0) {
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        return fd;
    }
    close(fd);
    return -1;
}

static const char *remedy(int error) {
    switch (error) {
    case ECONNREFUSED:
        return "; does ringpost serve run there, and is the port right?";
    case EHOSTUNREACH:
    case ENETUNREACH:
        return "; is the address right?";
    default:
        return "";
    }
}

enum dial_end dial_connect(const char *server, uint64_t deadline_ns, int stop_fd, int *fd,
                           char why[DIAL_WHY_MAX]) {
    struct span host;
    uint16_t port;
    char reason[ADDRESS_WHY_MAX];
    if (!address_split(span_text(server), &host, &port, reason)) {
        snprintf(why, DIAL_WHY_MAX, "\"%.60s\" %s", server, reason);
        return DIAL_FAILED;
    }
    struct addrinfo *addresses;
    enum dial_end end = resolve(host, port, deadline_ns, stop_fd, &addresses, why);
    if (end != DIAL_READY)
        return end;
    end = DIAL_FAILED;
    int error = 0;
    *fd = -1;
    for (const struct addrinfo *at = addresses; at != NULL && *fd < 0; at = at->ai_next) {
        *fd = connect_one(at, deadline_ns, stop_fd, &end, &error);
        if (*fd < 0 && error == 0)
            break; /* stopped, or out of time */
    }
    freeaddrinfo(addresses);
    if (*fd >= 0)
        return DIAL_READY;
    if (error != 0) {
        end = DIAL_FAILED;
        snprintf(why, DIAL_WHY_MAX, "cannot connect to %.80s: %s%s", server, strerror(error),
                 remedy(error));
    } else {
        snprintf(why, DIAL_WHY_MAX, "cannot connect to %.80s: %s", server,
                 end == DIAL_STOPPED ? "stopped" : "no answer; is the address right?");
    }
    return end;
}

enum dial_end dial_send(int fd, struct span bytes, uint64_t deadline_ns, int stop_fd,
                        char why[DIAL_WHY_MAX]) {
    while (bytes.len != 0) {
        ssize_t sent = send(fd, bytes.at, bytes.len, MSG_NOSIGNAL);
        if (sent >= 0) {
            bytes = span_skip(bytes, (size_t)sent);
            continue;
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN) {
            snprintf(why, DIAL_WHY_MAX, "cannot send: %s", strerror(errno));
            return DIAL_FAILED;
        }
        enum dial_end end = dial_wait(fd, POLLOUT, deadline_ns, stop_fd);
        if (end != DIAL_READY) {
            snprintf(why, DIAL_WHY_MAX, "%s",
                     end == DIAL_STOPPED ? "stopped" : "the server does not take what is sent");
            return end;
        }
    }
    return DIAL_READY;
}

enum dial_end dial_receive(int fd, void *at, size_t cap, size_t *len, uint64_t deadline_ns,
                           int stop_fd, char why[DIAL_WHY_MAX]) {
    for (;;) {
        enum dial_end end = dial_wait(fd, POLLIN, deadline_ns, stop_fd);
        if (end != DIAL_READY) {
            snprintf(why, DIAL_WHY_MAX, "%s",
                     end == DIAL_STOPPED ? "stopped" : "the server did not answer in time");
            return end;
        }
        ssize_t received = recv(fd, at, cap, 0);
        if (received >= 0) {
            *len = (size_t)received;
            return DIAL_READY;
        }
        if (errno != EAGAIN && errno != EINTR) {
            snprintf(why, DIAL_WHY_MAX, "the connection broke: %s", strerror(errno));
            return DIAL_FAILED;
        }
    }
}
