#include "main/bench_producer.h"

#include "core/base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUT_BYTES 65536u
#define OUT_BYTES_SHORT 8192u /* where what lies unwritten must be little */
#define BATCH_HEAD_BYTES 512u

static uint32_t common_divisor(uint32_t a, uint32_t b) {
    while (b != 0) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Connection c serves the addresses c, c + connections, ...; it jumps through them so that
 * neighbours in time are not neighbours in memory, as with real traffic. */
static void producer_walk(struct bench_producer *p, uint32_t connections, uint32_t addresses) {
    p->addresses = (addresses - p->number + connections - 1) / connections;
    p->stride = (uint32_t)((double)p->addresses * 0.618);
    while (p->stride == 0 || common_divisor(p->stride, p->addresses) != 1)
        p->stride++;
}

static uint32_t producer_address(const struct bench_producers *ps, const struct bench_producer *p,
                                 uint64_t message) {
    return p->number + ps->options.connections * (uint32_t)(message * p->stride % p->addresses);
}

static bool producers_connect(struct bench_producers *ps) {
    for (uint32_t i = 0; i < ps->options.connections; i++) {
        struct bench_producer *p = &ps->list[i];
        p->number = i;
        producer_walk(p, ps->options.connections, ps->share->addresses);
        p->out = malloc(ps->out_max);
        p->flights = calloc(ps->options.inflight, sizeof *p->flights);
        if (p->out == NULL || p->flights == NULL)
            return false;
        p->fd = bench_net_connect(ps->net, &ps->options.to, 0, BENCH_PRODUCER_TAG | i);
        if (p->fd < 0)
            return false;
    }
    return true;
}

static bool members_count(struct bench_producers *ps) {
    const struct bench_share *share = ps->share;
    ps->members = calloc(share->addresses, sizeof *ps->members);
    if (ps->members == NULL)
        return false;
    for (uint32_t i = 0; i < share->addresses; i++)
        ps->members[i] = share->kind == BENCH_UNICAST     ? 1
                         : share->kind == BENCH_BROADCAST ? share->clients
                                                          : 0;
    for (uint32_t i = 0; share->kind == BENCH_GROUP && i < share->clients; i++)
        for (uint32_t k = 0; k < share->join; k++)
            ps->members[bench_group_of(share, i, k)]++;
    return true;
}

bool bench_producers_open(struct bench_producers *ps, struct bench_net *net,
                          struct bench_share *share, const struct bench_producer_options *options) {
    *ps = (struct bench_producers){.net = net, .share = share, .options = *options};
    if (ps->options.connections > share->addresses)
        ps->options.connections = share->addresses;
    snprintf(ps->host, sizeof ps->host, "%s:%u", inet_ntoa(options->to.sin_addr),
             ntohs(options->to.sin_port));
    ps->form = malloc(bench_request_max(share->payload_size));
    ps->list = calloc(ps->options.connections, sizeof *ps->list);
    if (ps->form == NULL || ps->list == NULL)
        return false;
    for (uint32_t i = 0; i < ps->options.connections; i++)
        ps->list[i].fd = -1;
    if (options->batch == 1)
        ps->request = bench_request_make(ps->form, share->kind, share->payload_size, ps->host,
                                         options->api_key);
    else
        ps->request = bench_entry_make(ps->form, share->kind, share->payload_size);
    ps->request_max = ps->request.len;
    if (options->batch != 1)
        ps->request_max = BATCH_HEAD_BYTES + options->batch * (ps->request.len + 1) + 2;
    ps->out_max = ps->request_max > OUT_BYTES ? ps->request_max : OUT_BYTES;
    return members_count(ps) && producers_connect(ps);
}

void bench_producers_close(struct bench_producers *ps) {
    for (uint32_t i = 0; ps->list != NULL && i < ps->options.connections; i++) {
        struct bench_producer *p = &ps->list[i];
        if (p->fd >= 0)
            close(p->fd);
        free(p->out);
        free(p->flights);
        (void)bench_rest_keep(&p->rest, NULL, 0);
    }
    free(ps->list);
    free(ps->form);
    free(ps->members);
    ps->list = NULL;
    ps->form = NULL;
    ps->members = NULL;
}

void bench_producers_begin(struct bench_producers *ps, const struct bench_push *push) {
    ps->push = *push;
    ps->received = 0;
    memset(&ps->pushed, 0, sizeof ps->pushed);
    for (uint32_t i = 0; i < ps->options.connections; i++)
        ps->list[i].next = 0;
}

static void producers_sample(struct bench_producers *ps, const char *what, const void *at,
                             size_t len) {
    if (ps->pushed.sample[0] == '\0')
        snprintf(ps->pushed.sample, sizeof ps->pushed.sample, "%s: %.*s", what,
                 len > 150 ? 150 : (int)len, (const char *)at);
}

static void producer_on_end(struct bench_producers *ps, struct bench_producer *p, const char *why) {
    producers_sample(ps, "a producer's connection ended", why, strlen(why));
    for (; p->oldest != p->newest; p->oldest++) {
        uint32_t count = p->flights[p->oldest % ps->options.inflight].count;
        ps->pushed.failed += count;
        ps->pushed.answered += count;
    }
    close(p->fd);
    p->fd = -1;
    p->connected = false;
    ps->broken = true;
}

static void producer_flush(struct bench_producers *ps, struct bench_producer *p) {
    if (p->out_off == p->out_len || !p->connected || p->blocked)
        return;
    ssize_t sent = bench_net_send(p->fd, p->out + p->out_off, p->out_len - p->out_off);
    if (sent < 0) {
        producer_on_end(ps, p, strerror(errno));
        return;
    }
    p->out_off += (size_t)sent;
    p->blocked = p->out_off != p->out_len;
    if (!p->blocked)
        p->out_off = p->out_len = 0;
}

static uint64_t message_due_ns(const struct bench_producers *ps, const struct bench_producer *p,
                               uint64_t message) {
    uint64_t i = message * ps->options.connections + p->number;
    return ps->push.start_ns + (uint64_t)((double)i * 1000.0 / ps->push.rate) * NS_PER_MS;
}

static bool producer_has_more(const struct bench_producers *ps, const struct bench_producer *p) {
    return p->next * ps->options.connections + p->number < ps->push.messages;
}

/* Stamps one message; gives where it ends. */
static uint8_t *message_stamp(struct bench_producers *ps, const struct bench_producer *p,
                              uint64_t message, uint64_t at_ns, uint8_t *out) {
    struct bench_share *share = ps->share;
    uint32_t address = producer_address(ps, p, message);
    struct bench_payload payload = {
        .run = atomic_load_explicit(&share->run, memory_order_relaxed),
        .number = share->sent[address]++,
        .to = (uint32_t)share->kind << BENCH_ADDRESS_BITS | address,
        .at_ns = at_ns,
    };
    bench_request_stamp(out, &ps->request, share->run_base, &payload);
    ps->pushed.sent++;
    return out + ps->request.len;
}

/* Writes the next request with up to `count` messages. */
static void request_build(struct bench_producers *ps, struct bench_producer *p, uint32_t count,
                          uint64_t now_ns) {
    bool closed = ps->push.rate <= 0;
    uint8_t *out = p->out + p->out_len;
    uint32_t batch = ps->options.batch;
    if (batch != 1) {
        size_t edges = ps->options.ndjson ? 0 : 1; /* `[`; each entry is followed by one byte */
        size_t body_len = edges + count * (ps->request.len + 1);
        out += bench_batch_head((char *)out, ps->options.ndjson, body_len, ps->host,
                                ps->options.api_key);
        if (edges != 0)
            *out++ = '[';
    }
    struct bench_flight *flight = &p->flights[p->newest++ % ps->options.inflight];
    *flight = (struct bench_flight){p->next, now_ns, count};
    for (uint32_t i = 0; i < count; i++) {
        uint64_t due_ns = closed ? now_ns : message_due_ns(ps, p, p->next);
        out = message_stamp(ps, p, p->next, ps->push.at_write ? now_ns : due_ns, out);
        bench_hist_add(&ps->pushed.late, now_ns - due_ns);
        p->next++;
        if (batch != 1)
            *out++ = ps->options.ndjson ? '\n' : i + 1 == count ? ']' : ',';
    }
    p->out_len = (size_t)(out - p->out);
}

/* How many messages of this connection may be written now, up to a whole batch. */
static uint32_t producer_due(struct bench_producers *ps, struct bench_producer *p,
                             uint64_t now_ns) {
    if (now_ns >= ps->push.end_ns)
        return 0;
    if (ps->push.rate <= 0) {
        uint64_t made = ps->pushed.sent * (uint64_t)ps->members[producer_address(ps, p, p->next)];
        bool room = made < ps->received + ps->push.deliveries_max;
        return room ? ps->options.batch : 0;
    }
    while (ps->push.give_up_ns != 0 && producer_has_more(ps, p) &&
           message_due_ns(ps, p, p->next) + ps->push.give_up_ns < now_ns) {
        p->next++;
        ps->pushed.given_up++;
    }
    uint32_t count = 0;
    uint64_t first = p->next;
    while (count < ps->options.batch && producer_has_more(ps, p) &&
           message_due_ns(ps, p, p->next) <= now_ns) {
        p->next++;
        count++;
    }
    p->next = first;
    return count;
}

static void producer_step(struct bench_producers *ps, struct bench_producer *p, uint64_t now_ns) {
    if (!p->connected)
        return;
    size_t out_max = ps->push.give_up_ns == 0 ? ps->out_max : OUT_BYTES_SHORT;
    if (out_max < ps->request_max)
        out_max = ps->request_max;
    bool again = true;
    while (again) {
        /* nothing is stamped behind bytes that the socket did not take */
        again = false;
        uint32_t count;
        while (!p->blocked && p->out_len + ps->request_max <= out_max &&
               p->newest - p->oldest < ps->options.inflight &&
               (count = producer_due(ps, p, now_ns)) > 0)
            request_build(ps, p, count, now_ns);
        if (p->out_len > p->out_off) {
            producer_flush(ps, p);
            again = p->connected && p->out_len == 0;
        }
    }
    if (ps->push.give_up_ns != 0)
        (void)producer_due(ps, p,
                           now_ns); /* counts what is given up while nothing can be written */
}

uint64_t bench_producers_step(struct bench_producers *ps, uint64_t now_ns) {
    uint64_t next_ns = UINT64_MAX;
    for (uint32_t i = 0; i < ps->options.connections; i++) {
        struct bench_producer *p = &ps->list[i];
        producer_step(ps, p, now_ns);
        if (ps->push.rate <= 0 || !producer_has_more(ps, p))
            continue;
        uint64_t due_ns = message_due_ns(ps, p, p->next);
        if (due_ns > now_ns && due_ns - now_ns < next_ns)
            next_ns = due_ns - now_ns;
    }
    return next_ns;
}

uint32_t bench_producers_inflight(const struct bench_producers *ps) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < ps->options.connections; i++)
        sum += ps->list[i].newest - ps->list[i].oldest;
    return sum;
}

bool bench_producers_done(const struct bench_producers *ps, uint64_t now_ns) {
    if (ps->push.rate > 0) {
        for (uint32_t i = 0; i < ps->options.connections; i++)
            if (ps->list[i].connected && producer_has_more(ps, &ps->list[i]) &&
                now_ns < ps->push.end_ns)
                return false;
    } else if (now_ns < ps->push.end_ns && !ps->broken) {
        return false;
    }
    return bench_producers_inflight(ps) == 0;
}

static void message_on_status(struct bench_producers *ps, const struct bench_producer *p,
                              uint64_t message, uint32_t status,
                              const struct bench_answer *answer) {
    uint32_t address = producer_address(ps, p, message);
    ps->pushed.answered++;
    if (status == 202 || status == 200) {
        ps->pushed.accepted++;
        ps->pushed.expected += ps->members[address];
        ps->share->accepted[address]++;
        return;
    }
    if (status == 503 || status == 429)
        ps->pushed.refused++;
    else if (status == 404)
        ps->pushed.absent++;
    else
        ps->pushed.failed++;
    char what[32];
    snprintf(what, sizeof what, "answer %u", status);
    producers_sample(ps, what, answer->body, answer->body_len);
}

static void producer_on_answer(struct bench_producers *ps, struct bench_producer *p,
                               const struct bench_answer *answer, uint64_t now_ns) {
    if (p->oldest == p->newest) {
        producers_sample(ps, "an answer that nobody asked for", answer->body, answer->body_len);
        ps->broken = true;
        return;
    }
    const struct bench_flight *flight = &p->flights[p->oldest++ % ps->options.inflight];
    bench_hist_add(&ps->pushed.answer, now_ns - flight->written_ns);
    ps->pushed.last_answer_ns = now_ns;
    size_t offset = 0;
    for (uint32_t i = 0; i < flight->count; i++) {
        uint32_t status = answer->status;
        if (ps->options.batch != 1 && status == 200)
            status = bench_status_next(answer->body, answer->body_len, &offset);
        message_on_status(ps, p, flight->first + i, status, answer);
    }
}

void bench_producers_on_event(struct bench_producers *ps, uint32_t number, uint32_t events) {
    struct bench_producer *p = &ps->list[number];
    if (p->fd < 0)
        return;
    if ((events & EPOLLOUT) != 0) {
        p->connected = true;
        p->blocked = false;
        producer_flush(ps, p);
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0)
        return;
    bool drained = false;
    while (!drained && p->fd >= 0) {
        ssize_t got = bench_net_receive(ps->net, p->fd, &p->rest, &drained);
        if (got == 0)
            return;
        if (got < 0) {
            producer_on_end(ps, p, got == -1 ? "closed by the node" : strerror(errno));
            return;
        }
        uint64_t now_ns = clock_ns();
        const uint8_t *at = ps->net->area;
        size_t left = (size_t)got;
        while (left > 0) {
            struct bench_answer answer;
            long used = bench_answer_read(at, left, &p->memory, &answer);
            if (used == 0)
                break;
            if (used < 0) {
                producer_on_end(ps, p, "an answer cannot be read");
                return;
            }
            producer_on_answer(ps, p, &answer, now_ns);
            at += used;
            left -= (size_t)used;
        }
        if ((left != 0 || p->rest.at != NULL) && !bench_rest_keep(&p->rest, at, left)) {
            producer_on_end(ps, p, "out of memory");
            return;
        }
        drained = drained && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0;
    }
}
