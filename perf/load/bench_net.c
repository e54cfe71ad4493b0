#include "perf/load/bench_net.h"

#include "core/base/clock.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

bool bench_net_open(struct bench_net *net) {
    net->epoll = epoll_create1(EPOLL_CLOEXEC);
    net->area = malloc(BENCH_AREA_BYTES);
    if (net->epoll < 0 || net->area == NULL) {
        bench_net_close(net);
        return false;
    }
    /* the default lets a wait of a millisecond end 50 us late */
    (void)prctl(PR_SET_TIMERSLACK, 1000UL);
    return true;
}

void bench_net_close(struct bench_net *net) {
    if (net->epoll >= 0)
        close(net->epoll);
    free(net->area);
    net->epoll = -1;
    net->area = NULL;
}

static int events_take(struct bench_net *net, uint64_t wait_ns) {
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / UINT64_C(1000000000)),
                            .tv_nsec = (long)(wait_ns % UINT64_C(1000000000))};
    int count = epoll_pwait2(net->epoll, net->events, BENCH_EVENTS_MAX, &wait, NULL);
    return count < 0 ? 0 : count;
}

int bench_net_wait(struct bench_net *net, uint64_t wait_ns) {
    if (net->gather_ns != 0 && wait_ns != 0) {
        int count = events_take(net, 0);
        if (count != 0)
            return count;
        uint64_t asleep_ns = net->gather_ns < wait_ns ? net->gather_ns : wait_ns;
        struct timespec asleep = {.tv_nsec = (long)asleep_ns};
        nanosleep(&asleep, NULL);
        wait_ns -= asleep_ns;
    }
    return events_take(net, wait_ns);
}

int bench_net_connect(const struct sockaddr_in *to, uint32_t source) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (source != 0) {
        int on = 1;
        struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(source)};
        (void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        if (bind(fd, (const struct sockaddr *)&from, sizeof from) != 0)
            goto failed;
    }
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) == 0 || errno == EINPROGRESS)
        return fd;
failed:;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

void bench_net_hurry(int fd) {
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

bool bench_net_send_buffer(int fd, uint32_t bytes) {
    int value = (int)bytes;
    return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &value, sizeof value) == 0;
}

bool bench_net_stamp(int fd) {
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) == 0;
}

bool bench_net_watch(struct bench_net *net, int fd, bool writing, uint64_t tag) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u64 = tag};
    if (writing)
        event.events |= EPOLLOUT;
    return epoll_ctl(net->epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* As recv(), and there_ns. The system stamps with the wall clock, which is compared with itself. */
static ssize_t stamped_receive(struct bench_net *net, int fd, uint8_t *at, size_t room) {
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec bytes = {.iov_base = at, .iov_len = room};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    ssize_t got = recvmsg(fd, &message, 0);
    struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    net->there_ns = clock_ns();
    if (header == NULL || header->cmsg_level != SOL_SOCKET ||
        header->cmsg_type != SCM_TIMESTAMPNS ||
        header->cmsg_len < CMSG_LEN(sizeof(struct timespec)))
        return got;
    struct timespec there;
    memcpy(&there, CMSG_DATA(header), sizeof there);
    uint64_t stamp_ns = (uint64_t)there.tv_sec * NS_PER_S + (uint64_t)there.tv_nsec;
    uint64_t now_ns = clock_wall_ns();
    if (now_ns > stamp_ns && now_ns - stamp_ns < net->there_ns)
        net->there_ns -= now_ns - stamp_ns;
    return got;
}

ssize_t bench_net_receive(struct bench_net *net, int fd, struct bench_rest *rest, bool *drained) {
    size_t kept = rest->len;
    if (kept != 0)
        memcpy(net->area, rest->at, kept);
    ssize_t got;
    if (net->stamped) {
        got = stamped_receive(net, fd, net->area + kept, BENCH_AREA_BYTES - kept);
    } else {
        got = recv(fd, net->area + kept, BENCH_AREA_BYTES - kept, 0);
        net->there_ns = clock_ns();
    }
    if (got < 0) {
        *drained = true;
        return errno == EAGAIN || errno == EINTR ? 0 : -2;
    }
    if (got == 0) {
        *drained = true;
        return kept == BENCH_AREA_BYTES ? -2 : -1;
    }
    *drained = (size_t)got < BENCH_AREA_BYTES - kept;
    return got + (ssize_t)kept;
}

bool bench_rest_keep(struct bench_rest *rest, const uint8_t *at, size_t len) {
    if (len == 0) {
        if (rest->at != NULL)
            free(rest->at);
        *rest = (struct bench_rest){NULL, 0, 0};
        return true;
    }
    if (len > rest->cap) {
        size_t cap = len < 512 ? 512 : len;
        uint8_t *bigger = realloc(rest->at, cap);
        if (bigger == NULL)
            return false;
        rest->at = bigger;
        rest->cap = (uint32_t)cap;
    }
    memcpy(rest->at, at, len);
    rest->len = (uint32_t)len;
    return true;
}

ssize_t bench_net_send(int fd, const void *at, size_t len) {
    ssize_t sent = send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    return sent;
}
