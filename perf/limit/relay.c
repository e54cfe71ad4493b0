#include "perf/limit/relay.h"

#include "core/base/clock.h"
#include "perf/load/bench_wire.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define AREA_BYTES (256u * 1024)
#define PRODUCERS_MAX 1024u
#define DESCRIPTORS 20000u
#define TURN_LINES 8192u /* deliveries gathered before they are sent */
#define GATHER_MAX 64u
#define NO_LINE UINT32_MAX

/* as long as what a node writes with ids that it made itself */
static const char line_head[] =
    "{\"type\":\"message\",\"id\":\"0123456789abcdefghijklmnop\",\"event\":\"message\",\"data\":";
static const char line_tail[] = "}\n";
static const char answer[] =
    "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 67\r\n\r\n"
    "{\"id\":\"0123456789abcdefghijklmnop\",\"state\":\"queued\",\"recipients\":1}";
static const char pong[] = "{\"type\":\"pong\"}\n";
static const char welcome[] =
    "{\"type\":\"welcome\",\"session\":\"0123456789abcdef\",\"node\":\"limit\","
    "\"heartbeat\":25,\"max_message\":65536}\n";

struct producer {
    uint8_t *kept;
    size_t kept_len;
    size_t request_len; /* 0: not known yet */
};

struct relay {
    const struct relay_options *options;
    int epoll, tcp, api;
    int *sockets; /* of each client, by its number */
    uint32_t ready;
    uint32_t *numbers; /* of the client behind a descriptor; UINT32_MAX: none */
    struct producer *producers[DESCRIPTORS];
    uint8_t *area, *answers, *lines;
    size_t answers_len, lines_len, lines_cap;
    size_t line_len;
    uint32_t sequence;
    /* what a turn gathers for single clients: a chain of lines for each */
    uint8_t *turn;
    uint32_t turn_count, dirty_count;
    uint32_t *next, *first, *last, *dirty;
};

int relay_listen(struct sockaddr_in *address) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof *address;
    *address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (const struct sockaddr *)address, sizeof *address) != 0 ||
        listen(fd, 4096) != 0 || getsockname(fd, (struct sockaddr *)address, &len) != 0)
        return -1;
    return fd;
}

static void watch(struct relay *relay, int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(relay->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        perror("limit: epoll_ctl");
}

static void send_all(int fd, const uint8_t *at, size_t len) {
    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno != EAGAIN)
            return;
        if (sent < 0) {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            if (poll(&wait, 1, 2000) <= 0)
                return; /* counted as missing by the load tool */
            continue;
        }
        at += sent;
        len -= (size_t)sent;
    }
}

static void line_write(struct relay *relay, uint8_t *out, const uint8_t *payload) {
    uint32_t size = relay->options->size;
    memcpy(out, line_head, sizeof line_head - 1);
    memcpy(out + sizeof line_head - 1, payload, size);
    memcpy(out + sizeof line_head - 1 + size, line_tail, sizeof line_tail - 1);
}

static void fan_out(const struct relay *relay) {
    for (uint32_t i = 0; i < relay->options->clients; i++)
        if (relay->sockets[i] >= 0)
            send_all(relay->sockets[i], relay->lines, relay->lines_len);
}

/* One send for each client that this turn has something for. */
static void turn_flush(struct relay *relay) {
    for (uint32_t i = 0; i < relay->dirty_count; i++) {
        uint32_t client = relay->dirty[i];
        for (uint32_t line = relay->first[client]; line != NO_LINE;) {
            struct iovec parts[GATHER_MAX];
            struct msghdr message = {.msg_iov = parts};
            uint32_t from = line;
            for (; line != NO_LINE && message.msg_iovlen < GATHER_MAX; line = relay->next[line])
                parts[message.msg_iovlen++] =
                    (struct iovec){relay->turn + line * relay->line_len, relay->line_len};
            size_t len = message.msg_iovlen * relay->line_len;
            ssize_t sent = sendmsg(relay->sockets[client], &message, MSG_NOSIGNAL | MSG_DONTWAIT);
            size_t done = sent < 0 ? 0 : (size_t)sent;
            if (done == len)
                continue;
            for (; from != line; from = relay->next[from]) { /* rare: what is left, one by one */
                size_t skip = done < relay->line_len ? done : relay->line_len;
                done -= skip;
                send_all(relay->sockets[client], relay->turn + from * relay->line_len + skip,
                         relay->line_len - skip);
            }
        }
        relay->first[client] = NO_LINE;
    }
    relay->turn_count = relay->dirty_count = 0;
}

static void turn_add(struct relay *relay, uint32_t client, const uint8_t *payload) {
    if (relay->turn_count == TURN_LINES)
        turn_flush(relay);
    uint32_t line = relay->turn_count++;
    line_write(relay, relay->turn + line * relay->line_len, payload);
    relay->next[line] = NO_LINE;
    if (relay->first[client] == NO_LINE) {
        relay->first[client] = line;
        relay->dirty[relay->dirty_count++] = client;
    } else {
        relay->next[relay->last[client]] = line;
    }
    relay->last[client] = line;
}

/* One request: on to whoever it is for. Broadcasts wait until all that came together is seen. */
static void relay_request(struct relay *relay, const uint8_t *payload) {
    uint32_t to;
    if (!bench_payload_to(payload, &to)) {
        fputs("limit: a payload is not where it should be\n", stderr);
        exit(1);
    }
    uint32_t address = to & BENCH_ADDRESS_MASK;
    if (to >> BENCH_ADDRESS_BITS == BENCH_BROADCAST) {
        line_write(relay, relay->lines + relay->lines_len, payload);
        relay->lines_len += relay->line_len;
    } else if (address < relay->options->clients && relay->sockets[address] >= 0) {
        turn_add(relay, address, payload);
    }
    memcpy(relay->answers + relay->answers_len, answer, sizeof answer - 1);
    relay->answers_len += sizeof answer - 1;
}

static size_t request_len(const uint8_t *at, size_t len, uint32_t size) {
    const uint8_t *blank = memmem(at, len, "\r\n\r\n", 4);
    return blank == NULL ? 0 : (size_t)(blank - at) + 4 + size;
}

static void producer_receive(struct relay *relay, int fd, struct producer *p) {
    if (p->kept_len != 0)
        memcpy(relay->area, p->kept, p->kept_len);
    ssize_t got = recv(fd, relay->area + p->kept_len, AREA_BYTES - p->kept_len, MSG_DONTWAIT);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN)
            return;
        close(fd);
        free(p->kept);
        free(p);
        relay->producers[fd] = NULL;
        return;
    }
    size_t left = p->kept_len + (size_t)got;
    const uint8_t *at = relay->area;
    relay->answers_len = relay->lines_len = 0;
    while (left > 0) {
        if (p->request_len == 0)
            p->request_len = request_len(at, left, relay->options->size);
        if (p->request_len == 0 || left < p->request_len)
            break;
        relay_request(relay, at + p->request_len - relay->options->size);
        at += p->request_len;
        left -= p->request_len;
        if (relay->lines_len + relay->line_len > relay->lines_cap) {
            fan_out(relay);
            relay->lines_len = 0;
        }
    }
    memcpy(p->kept, at, left);
    p->kept_len = left;
    if (relay->answers_len > 0)
        send_all(fd, relay->answers, relay->answers_len);
    if (relay->lines_len > 0)
        fan_out(relay);
}

/* A hello, a heartbeat, or the end. */
static void client_receive(struct relay *relay, int fd) {
    ssize_t got = recv(fd, relay->area, AREA_BYTES, MSG_DONTWAIT);
    uint32_t number;
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN)
            return;
        if (relay->numbers[fd] != UINT32_MAX) {
            turn_flush(relay); /* before its descriptor is gone */
            relay->sockets[relay->numbers[fd]] = -1;
            relay->numbers[fd] = UINT32_MAX;
            relay->ready--;
        }
        close(fd);
        return;
    }
    if (relay->numbers[fd] != UINT32_MAX) {
        send_all(fd, (const uint8_t *)pong, sizeof pong - 1);
        return;
    }
    const uint8_t *name = memmem(relay->area, (size_t)got, "\"b", 2);
    const uint8_t *end = relay->area + got;
    if (name == NULL || end - name < 2 + BENCH_NAME_BYTES || !bench_hex_read(name + 11, &number) ||
        number >= relay->options->clients)
        return;
    relay->sockets[number] = fd;
    relay->numbers[fd] = number;
    relay->ready++;
    send_all(fd, (const uint8_t *)welcome, sizeof welcome - 1);
}

static void accept_all(struct relay *relay, int listener) {
    int on = 1, fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        if (fd >= (int)DESCRIPTORS) {
            close(fd);
            continue;
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        relay->numbers[fd] = UINT32_MAX;
        if (relay->options->coalesce != 0) {
            int bytes = 8192; /* so that what lies between us and a slow reader is little */
            (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
        }
        if (listener == relay->api) {
            struct producer *p = calloc(1, sizeof *p);
            if (p == NULL || (p->kept = malloc(AREA_BYTES)) == NULL)
                exit(1);
            relay->producers[fd] = p;
        }
        watch(relay, fd);
    }
}

/* One round of the fan-out: the same bytes to everybody. */
static void fan_out_round(struct relay *relay) {
    uint8_t payload[BENCH_PAYLOAD_MAX];
    struct bench_payload what = {.run = relay->options->run,
                                 .to = (uint32_t)BENCH_BROADCAST << BENCH_ADDRESS_BITS,
                                 .at_ns = clock_ns()};
    relay->lines_len = 0;
    bench_payload_write(payload, relay->options->size, &what);
    for (uint32_t i = 0; i < relay->options->coalesce; i++) {
        what.number = relay->sequence++;
        bench_payload_patch(payload, &what);
        line_write(relay, relay->lines + relay->lines_len, payload);
        relay->lines_len += relay->line_len;
    }
    fan_out(relay);
}

static bool relay_make(struct relay *relay) {
    const struct relay_options *o = relay->options;
    relay->line_len = sizeof line_head - 1 + o->size + sizeof line_tail - 1;
    relay->lines_cap = (64u > o->coalesce ? 64u : o->coalesce) * relay->line_len;
    relay->epoll = epoll_create1(EPOLL_CLOEXEC);
    relay->sockets = malloc(o->clients * sizeof *relay->sockets);
    relay->numbers = malloc(DESCRIPTORS * sizeof *relay->numbers);
    relay->area = malloc(AREA_BYTES);
    relay->answers = malloc(AREA_BYTES / o->size * sizeof answer + sizeof answer);
    relay->lines = malloc(relay->lines_cap + relay->line_len);
    relay->turn = malloc(TURN_LINES * relay->line_len);
    relay->next = malloc(TURN_LINES * sizeof *relay->next);
    relay->first = malloc(o->clients * sizeof *relay->first);
    relay->last = malloc(o->clients * sizeof *relay->last);
    relay->dirty = malloc(TURN_LINES * sizeof *relay->dirty);
    if (relay->epoll < 0 || relay->sockets == NULL || relay->numbers == NULL ||
        relay->area == NULL || relay->answers == NULL || relay->lines == NULL ||
        relay->turn == NULL || relay->next == NULL || relay->first == NULL || relay->last == NULL ||
        relay->dirty == NULL)
        return false;
    for (uint32_t i = 0; i < o->clients; i++)
        relay->first[i] = NO_LINE;
    for (uint32_t i = 0; i < o->clients; i++)
        relay->sockets[i] = -1;
    for (uint32_t i = 0; i < DESCRIPTORS; i++)
        relay->numbers[i] = UINT32_MAX;
    return true;
}

int relay_run(const struct relay_options *options, int tcp, int api) {
    static struct relay relay;
    relay = (struct relay){.options = options, .tcp = tcp, .api = api};
    if (!relay_make(&relay)) {
        perror("limit");
        return 1;
    }
    watch(&relay, tcp);
    watch(&relay, api);
    for (;;) {
        struct epoll_event events[256];
        bool flood = options->coalesce != 0 && relay.ready == options->clients;
        int count = epoll_wait(relay.epoll, events, 256, flood ? 0 : -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == tcp || fd == api)
                accept_all(&relay, fd);
            else if (relay.producers[fd] != NULL)
                producer_receive(&relay, fd, relay.producers[fd]);
            else
                client_receive(&relay, fd);
        }
        turn_flush(&relay);
        if (flood)
            fan_out_round(&relay);
    }
}
