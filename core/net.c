#include "core/net.h"

#include "core/base/clock.h"
#include "core/base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FREE_STEP_MS 20
#define LISTEN_BACKLOG 4096 /* the kernel cuts it to net.core.somaxconn */

static void address_text(const struct sockaddr *address, char *text, size_t cap) {
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof(v4));
        inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
        snprintf(text, cap, "%s:%u", host, ntohs(v4.sin_port));
    } else {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof(v6));
        inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
        snprintf(text, cap, "[%s]:%u", host, ntohs(v6.sin6_port));
    }
}

static int problem_errno(const struct sockaddr *address, int error, char *problem, size_t cap) {
    char text[80];
    address_text(address, text, sizeof(text));
    const char *remedy = "check the address";
    if (error == EADDRINUSE)
        remedy = "another program listens there: stop it, or choose another port";
    else if (error == EACCES)
        remedy = "ports below 1024 need a privilege: choose a higher port, or grant "
                 "CAP_NET_BIND_SERVICE";
    else if (error == EADDRNOTAVAIL)
        remedy = "this machine has no such address: use one of its own, or 0.0.0.0";
    else if (error == EMFILE || error == ENFILE)
        remedy = "no descriptors are left: raise LimitNOFILE (ulimit -n)";
    snprintf(problem, cap, "cannot listen on %s (%s): %s", text, strerror(error), remedy);
    return -1;
}

/* Keeps errno. */
static int close_failed(int fd) {
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static int bind_try(const struct sockaddr *address, socklen_t len, bool v6_only, bool reuseport) {
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int on = 1, only = v6_only;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (address->sa_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
    if ((reuseport && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        bind(fd, address, len) != 0)
        return close_failed(fd);
    return fd;
}

/* Accepted sockets inherit the options. */
static int listen_try(const struct sockaddr *address, socklen_t len, bool v6_only, bool reuseport,
                      const struct socket_buffers *buffers) {
    int fd = bind_try(address, len, v6_only, reuseport), on = 1;
    if (fd < 0)
        return -1;
    /* One coalesced send a turn leaves nothing for Nagle to gather. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &buffers->unsent_bytes,
                   sizeof(buffers->unsent_bytes)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffers->receive_bytes,
                   sizeof(buffers->receive_bytes)) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0)
        return close_failed(fd);
    return fd;
}

int net_listen(const struct sockaddr *address, socklen_t len, bool v6_only, bool reuseport,
               const struct socket_buffers *buffers, char *problem, size_t problem_cap) {
    int fd = listen_try(address, len, v6_only, reuseport, buffers);
    return fd >= 0 ? fd : problem_errno(address, errno, problem, problem_cap);
}

bool net_free(const struct sockaddr *address, socklen_t len, bool v6_only, char *problem,
              size_t problem_cap) {
    /* With SO_REUSEPORT a second node of the same user would silently share the port; a bind
     * without it fails while anybody listens. */
    int fd = bind_try(address, len, v6_only, false);
    if (fd < 0 && errno == EADDRINUSE) {
        char text[80];
        address_text(address, text, sizeof(text));
        log_event(LOG_WARN, "address_busy", LOG_STR("address", text),
                  LOG_U64("wait_ms", NET_FREE_WAIT_MS));
        for (unsigned ms = 0; fd < 0 && ms < NET_FREE_WAIT_MS; ms += FREE_STEP_MS) {
            poll(NULL, 0, FREE_STEP_MS);
            fd = bind_try(address, len, v6_only, false);
        }
    }
    if (fd < 0) {
        problem_errno(address, errno, problem, problem_cap);
        return false;
    }
    close(fd);
    return true;
}

bool net_local(int fd, struct sockaddr_storage *address, socklen_t *len) {
    *len = sizeof(*address);
    return getsockname(fd, (struct sockaddr *)address, len) == 0;
}

bool net_local_text(int fd, char *text, size_t cap) {
    struct sockaddr_storage address = {0};
    socklen_t len;
    if (!net_local(fd, &address, &len))
        return false;
    address_text((const struct sockaddr *)&address, text, cap);
    return true;
}

bool net_steer(int fd, unsigned sockets) {
    /* The same as steer_hash: all words of the source address folded into one, multiplied, the high
     * half modulo the number of sockets. */
    enum { V6_SOURCE = SKF_NET_OFF + 8, V4_SOURCE = SKF_NET_OFF + 12 };
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_PROTOCOL)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0x86DD, 0, 11),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)V6_SOURCE),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(V6_SOURCE + 4)),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(V6_SOURCE + 8)),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(V6_SOURCE + 12)),
        BPF_STMT(BPF_ALU | BPF_XOR | BPF_X, 0),
        BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)V4_SOURCE),
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 0x9E3779B1),
        BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 16),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, sockets),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) == 0;
}

bool net_peer(int fd, struct peer_address *peer) {
    struct sockaddr_storage address = {0};
    socklen_t len = sizeof(address);
    if (getpeername(fd, (struct sockaddr *)&address, &len) != 0)
        return false;
    if (address.ss_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, &address, sizeof(v4));
        memset(peer->bytes, 0, 10);
        memset(peer->bytes + 10, 0xff, 2);
        memcpy(peer->bytes + 12, &v4.sin_addr, 4);
        peer->port = ntohs(v4.sin_port);
    } else {
        struct sockaddr_in6 v6;
        memcpy(&v6, &address, sizeof(v6));
        memcpy(peer->bytes, &v6.sin6_addr, 16);
        peer->port = ntohs(v6.sin6_port);
    }
    return true;
}

int net_wake_open(void) {
    return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

void net_wake(int fd) {
    /* EAGAIN would mean that the counter is full, that is, that a wake is pending for sure. */
    uint64_t one = 1;
    ssize_t written = write(fd, &one, sizeof(one));
    (void)written;
}

void net_wake_clear(int fd) {
    uint64_t count;
    ssize_t taken = read(fd, &count, sizeof(count)); /* EAGAIN: nobody has written */
    (void)taken;
}

void net_wake_wait(int fd, uint64_t wait_ns) {
    struct pollfd wake = {.fd = fd, .events = POLLIN};
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                            .tv_nsec = (long)(wait_ns % NS_PER_S)};
    if (ppoll(&wake, 1, wait_ns == CLOCK_NEVER ? NULL : &wait, NULL) > 0)
        net_wake_clear(fd);
}

void net_end(int fd) {
    shutdown(fd, SHUT_WR);
}

void net_close(int fd) {
    close(fd);
}
