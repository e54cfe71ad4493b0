#include "perf/load/bench_producer.h"

#include "core/base/clock.h"
#include "perf/load/bench_amqp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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

/* A connection jumps through its addresses so that neighbours in time are not neighbours in memory,
 * as with real traffic. */
static void producer_walk(struct bench_producer *p, uint32_t addresses) {
    p->addresses = addresses;
    p->stride = (uint32_t)((double)p->addresses * 0.618);
    while (p->stride == 0 || (addresses != 0 && common_divisor(p->stride, addresses) != 1))
        p->stride++;
}

static uint32_t producer_address(const struct bench_producers *producers,
                                 const struct bench_producer *p, uint64_t message) {
    uint32_t place = (uint32_t)(message * p->stride % p->addresses);
    if (p->list != NULL)
        return p->list[place];
    return p->number + producers->options.connections * place;
}

static int producer_connect(const struct bench_producer_options *options) {
    if (!options->queued)
        return bench_net_connect(&options->to, 0);
    int fd = bench_amqp_open(&options->to, true);
    if (fd >= 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool producers_connect(struct bench_producers *producers) {
    uint32_t addresses = producers->share->aims[producers->options.kind].addresses;
    producers->lanes = producers->options.connections;
    for (uint32_t i = 0; i < producers->options.connections; i++) {
        struct bench_producer *p = &producers->list[i];
        p->number = p->lane = i;
        /* number, number + connections, ... */
        producer_walk(p, (addresses - i + producers->options.connections - 1) /
                             producers->options.connections);
        p->out = malloc(producers->out_max);
        if (!bench_flights_open(&p->flights) || p->out == NULL)
            return false;
        p->fd = producer_connect(&producers->options);
        if (p->fd < 0)
            return false;
        bench_net_hurry(p->fd);
        if (producers->options.send_buffer != 0 &&
            !bench_net_send_buffer(p->fd, producers->options.send_buffer))
            return false;
        uint64_t crew = (uint64_t)producers->options.number << BENCH_CREW_SHIFT;
        if (!bench_net_watch(producers->net, p->fd, true, crew | BENCH_PRODUCER_TAG | i))
            return false;
    }
    return true;
}

static bool members_count(struct bench_producers *producers) {
    const struct bench_share *share = producers->share;
    const struct bench_aim *aim = &share->aims[producers->options.kind];
    producers->members = calloc(aim->addresses, sizeof *producers->members);
    if (producers->members == NULL)
        return false;
    uint32_t address;
    for (uint32_t i = 0; i < share->clients; i++)
        for (uint32_t k = 0; k < aim->streams; k++)
            if (bench_share_address(share, producers->options.kind, i, k, &address))
                producers->members[address]++;
    return true;
}

double bench_producers_fan(const struct bench_producers *producers) {
    uint32_t addresses = producers->share->aims[producers->options.kind].addresses;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < addresses; i++)
        sum += producers->members[i];
    return addresses != 0 ? (double)sum / addresses : 0;
}

bool bench_producers_open(struct bench_producers *producers, struct bench_net *net,
                          struct bench_share *share, const struct bench_producer_options *options) {
    *producers = (struct bench_producers){.net = net, .share = share, .options = *options};
    enum bench_kind kind = options->kind;
    if (!options->placed && producers->options.connections > share->aims[kind].addresses)
        producers->options.connections = share->aims[kind].addresses;
    snprintf(producers->host, sizeof producers->host, "%s:%u", inet_ntoa(options->to.sin_addr),
             ntohs(options->to.sin_port));
    producers->form = malloc(bench_request_max(share->payload_size));
    producers->list = calloc(producers->options.connections, sizeof *producers->list);
    if (producers->form == NULL || producers->list == NULL)
        return false;
    for (uint32_t i = 0; i < producers->options.connections; i++)
        producers->list[i].fd = -1;
    if (options->queued)
        producers->request = bench_amqp_request(producers->form, share->payload_size);
    else if (options->batch == 1)
        producers->request = bench_request_make(producers->form, kind, share->payload_size,
                                                producers->host, options->api_key);
    else
        producers->request = bench_entry_make(producers->form, kind, share->payload_size);
    producers->request_max = producers->request.len;
    if (options->batch != 1)
        producers->request_max =
            BATCH_HEAD_BYTES + options->batch * (producers->request.len + 1) + 2;
    producers->out_max = producers->request_max > OUT_BYTES ? producers->request_max : OUT_BYTES;
    return members_count(producers) && producers_connect(producers);
}

void bench_producers_ask(struct bench_producers *producers, bool wait) {
    producers->request = bench_request_make_ack(producers->form, producers->share->payload_size,
                                                wait, producers->host, producers->options.api_key);
    producers->request_max = producers->request.len;
}

void bench_producers_close(struct bench_producers *producers) {
    for (uint32_t i = 0; producers->list != NULL && i < producers->options.connections; i++) {
        struct bench_producer *p = &producers->list[i];
        if (p->fd >= 0)
            close(p->fd);
        free(p->out);
        bench_flights_close(&p->flights);
        (void)bench_rest_keep(&p->rest, NULL, 0);
    }
    free(producers->list);
    free(producers->form);
    free(producers->members);
    producers->list = NULL;
    producers->form = NULL;
    producers->members = NULL;
}

void bench_producers_assign(struct bench_producers *producers, uint32_t number,
                            const uint32_t *list, uint32_t count) {
    producers->list[number].list = list;
    producer_walk(&producers->list[number], count);
    producers->lanes = 0;
    for (uint32_t i = 0; i < producers->options.connections; i++) {
        struct bench_producer *p = &producers->list[i];
        p->lane = producers->lanes;
        producers->lanes += p->addresses != 0;
    }
}

void bench_producers_begin(struct bench_producers *producers, const struct bench_push *push) {
    producers->push = *push;
    producers->received = 0;
    memset(&producers->pushed, 0, sizeof producers->pushed);
    for (uint32_t i = 0; i < producers->options.connections; i++)
        producers->list[i].next = 0;
}

static uint32_t run_now(const struct bench_producers *producers) {
    return atomic_load_explicit(&producers->share->run, memory_order_relaxed);
}

static void producer_on_end(struct bench_producers *producers, struct bench_producer *p,
                            const char *why) {
    bench_sample_keep(producers->pushed.sample, "a producer's connection ended", why, strlen(why));
    uint32_t run = run_now(producers);
    struct bench_flight flight;
    while (bench_flights_pop(&p->flights, &flight)) {
        if (flight.run != run)
            continue;
        producers->pushed.failed += flight.count;
        producers->pushed.answered += flight.count;
    }
    close(p->fd);
    p->fd = -1;
    p->connected = false;
    producers->broken = true;
}

/* The socket took so many bytes more: what ended in them is written now. */
static void flights_mark(struct bench_producers *producers, struct bench_producer *p, size_t sent) {
    p->bytes_sent += sent;
    struct bench_flight *flight = bench_flights_written(&p->flights, p->bytes_sent);
    if (flight == NULL)
        return;
    uint64_t now_ns = clock_ns();
    do {
        flight->written_ns = now_ns;
        if (flight->ticket != 0)
            bench_ticket_write(producers->share, flight->ticket, flight->count, now_ns);
        flight = bench_flights_written(&p->flights, p->bytes_sent);
    } while (flight != NULL);
}

static void producer_flush(struct bench_producers *producers, struct bench_producer *p) {
    if (p->out_off == p->out_len || !p->connected || p->blocked)
        return;
    ssize_t sent = bench_net_send(p->fd, p->out + p->out_off, p->out_len - p->out_off);
    if (sent < 0) {
        producer_on_end(producers, p, strerror(errno));
        return;
    }
    flights_mark(producers, p, (size_t)sent);
    p->out_off += (size_t)sent;
    p->blocked = p->out_off != p->out_len;
    if (!p->blocked)
        p->out_off = p->out_len = 0;
}

static uint64_t message_due_ns(const struct bench_producers *producers,
                               const struct bench_producer *p, uint64_t message) {
    uint64_t i = message * producers->lanes + p->lane;
    return producers->push.start_ns +
           (uint64_t)((double)i * 1000.0 / producers->push.rate) * NS_PER_MS;
}

static bool producer_has_more(const struct bench_producers *producers,
                              const struct bench_producer *p) {
    return p->addresses != 0 && p->next * producers->lanes + p->lane < producers->push.messages;
}

/* Stamps one message; gives where it ends. */
static uint8_t *message_stamp(struct bench_producers *producers, const struct bench_producer *p,
                              uint64_t message, uint64_t at_ns, uint8_t *out) {
    struct bench_share *share = producers->share;
    uint32_t address = producer_address(producers, p, message);
    struct bench_payload payload = {
        .run = run_now(producers),
        .number = share->sent[share->aims[producers->options.kind].first + address]++,
        .to = (uint32_t)producers->options.kind << BENCH_ADDRESS_BITS | address,
        .at_ns = at_ns,
    };
    bench_request_stamp(out, &producers->request, share->run_base, &payload);
    producers->pushed.sent++;
    return out + producers->request.len;
}

/* Writes the next request with up to `count` messages. */
static void request_build(struct bench_producers *producers, struct bench_producer *p,
                          uint32_t count, uint64_t now_ns) {
    bool closed = producers->push.rate <= 0;
    uint8_t *out = p->out + p->out_len;
    uint32_t batch = producers->options.batch;
    if (batch != 1) {
        size_t edges =
            producers->options.ndjson ? 0 : 1; /* `[`; each entry is followed by one byte */
        size_t body_len = edges + count * (producers->request.len + 1);
        out += bench_batch_head((char *)out, producers->options.ndjson, body_len, producers->host,
                                producers->options.api_key);
        if (edges != 0)
            *out++ = '[';
    }
    struct bench_flight flight = {
        .first = p->next, .written_ns = now_ns, .count = count, .run = run_now(producers)};
    bool tickets = producers->share->tickets != NULL;
    uint64_t ticket = tickets ? bench_ticket_take(producers->share, count) : 0;
    if (producers->push.at_write)
        flight.ticket = ticket;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t due_ns = closed ? now_ns : message_due_ns(producers, p, p->next);
        uint64_t at = producers->push.at_write ? now_ns : due_ns;
        out = message_stamp(producers, p, p->next, tickets ? ticket + i : at, out);
        if (tickets && !producers->push.at_write)
            bench_ticket_write(producers->share, ticket + i, 1, due_ns);
        bench_hist_add(&producers->pushed.late, now_ns - due_ns);
        p->next++;
        if (batch != 1)
            *out++ = producers->options.ndjson ? '\n' : i + 1 == count ? ']' : ',';
    }
    p->bytes_made += (size_t)(out - p->out) - p->out_len;
    p->out_len = (size_t)(out - p->out);
    flight.ends = p->bytes_made;
    bench_flights_push(&p->flights, &flight);
}

/* How many messages of this connection may be written now, up to a whole batch. */
static uint32_t producer_due(struct bench_producers *producers, struct bench_producer *p,
                             uint64_t now_ns) {
    if (now_ns >= producers->push.end_ns || p->addresses == 0)
        return 0;
    if (producers->push.rate <= 0) {
        uint64_t unanswered = producers->pushed.sent - producers->pushed.answered;
        uint64_t made = producers->pushed.expected +
                        unanswered * producers->members[producer_address(producers, p, p->next)];
        bool room = made < producers->received + producers->push.deliveries_max;
        return room ? producers->options.batch : 0;
    }
    while (producers->push.give_up_ns != 0 && producer_has_more(producers, p) &&
           message_due_ns(producers, p, p->next) + producers->push.give_up_ns < now_ns) {
        p->next++;
        producers->pushed.given_up++;
        producers->pushed.unread += p->blocked;
    }
    uint32_t count = 0;
    uint64_t first = p->next;
    while (count < producers->options.batch && producer_has_more(producers, p) &&
           message_due_ns(producers, p, p->next) <= now_ns) {
        p->next++;
        count++;
    }
    p->next = first;
    return count;
}

static void producer_step(struct bench_producers *producers, struct bench_producer *p,
                          uint64_t now_ns) {
    if (!p->connected)
        return;
    bool any = producers->push.give_up_ns == 0 || producers->share->tickets != NULL;
    size_t out_max = any ? producers->out_max : OUT_BYTES_SHORT;
    if (out_max < producers->request_max)
        out_max = producers->request_max;
    bool again = true;
    while (again) {
        /* nothing is stamped behind bytes that the socket did not take */
        again = false;
        uint32_t count;
        while (!p->blocked && p->out_len + producers->request_max <= out_max &&
               bench_flights_room(&p->flights, producers->options.inflight) &&
               (count = producer_due(producers, p, now_ns)) > 0)
            request_build(producers, p, count, now_ns);
        if (p->out_len > p->out_off) {
            producer_flush(producers, p);
            again = p->connected && p->out_len == 0;
        }
    }
    if (producers->push.give_up_ns != 0)
        (void)producer_due(producers, p,
                           now_ns); /* counts what is given up while nothing can be written */
}

uint64_t bench_producers_step(struct bench_producers *producers, uint64_t now_ns) {
    uint64_t next_ns = UINT64_MAX;
    for (uint32_t i = 0; i < producers->options.connections; i++) {
        struct bench_producer *p = &producers->list[i];
        producer_step(producers, p, now_ns);
        if (producers->push.rate <= 0 || !producer_has_more(producers, p))
            continue;
        uint64_t due_ns = message_due_ns(producers, p, p->next);
        if (due_ns > now_ns && due_ns - now_ns < next_ns)
            next_ns = due_ns - now_ns;
    }
    return next_ns;
}

uint32_t bench_producers_inflight(const struct bench_producers *producers) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < producers->options.connections; i++)
        sum += bench_flights_count(&producers->list[i].flights);
    return sum;
}

void bench_pushed_add(struct bench_pushed *into, const struct bench_pushed *from) {
    into->sent += from->sent;
    into->answered += from->answered;
    into->accepted += from->accepted;
    into->refused += from->refused;
    into->absent += from->absent;
    into->failed += from->failed;
    into->given_up += from->given_up;
    into->unread += from->unread;
    into->stale += from->stale;
    into->expected += from->expected;
    if (from->last_answer_ns > into->last_answer_ns)
        into->last_answer_ns = from->last_answer_ns;
    bench_hist_merge(&into->answer, &from->answer);
    bench_hist_merge(&into->late, &from->late);
    if (into->sample[0] == '\0')
        memcpy(into->sample, from->sample, sizeof into->sample);
    if (into->refusal[0] == '\0')
        memcpy(into->refusal, from->refusal, sizeof into->refusal);
}

uint64_t bench_unanswered(const struct bench_pushed *pushed) {
    return pushed->sent - pushed->answered;
}

bool bench_producers_written(const struct bench_producers *producers, uint64_t now_ns) {
    if (now_ns >= producers->push.end_ns)
        return true;
    if (producers->push.rate <= 0)
        return producers->broken;
    for (uint32_t i = 0; i < producers->options.connections; i++)
        if (producers->list[i].connected && producer_has_more(producers, &producers->list[i]))
            return false;
    return true;
}

bool bench_producers_done(const struct bench_producers *producers, uint64_t now_ns) {
    return bench_producers_written(producers, now_ns) && bench_producers_inflight(producers) == 0;
}

static void message_on_status(struct bench_producers *producers, const struct bench_producer *p,
                              uint64_t message, uint32_t status,
                              const struct bench_answer *answer) {
    uint32_t address = producer_address(producers, p, message);
    producers->pushed.answered++;
    if (status == 202 || status == 200 || status == 201) { /* 201: of nchan (perf/peers) */
        producers->pushed.accepted++;
        producers->pushed.expected += producers->members[address];
        producers->share
            ->accepted[producers->share->aims[producers->options.kind].first + address]++;
        return;
    }
    bool refused = status == 503 || status == 429;
    if (refused)
        producers->pushed.refused++;
    else if (status == 404)
        producers->pushed.absent++;
    else
        producers->pushed.failed++;
    char what[32];
    snprintf(what, sizeof what, "answer %u", status);
    bench_sample_keep(refused ? producers->pushed.refusal : producers->pushed.sample, what,
                      answer->body, answer->body_len);
}

static void producer_on_answer(struct bench_producers *producers, struct bench_producer *p,
                               const struct bench_answer *answer, uint64_t now_ns) {
    struct bench_flight flight;
    if (!bench_flights_pop(&p->flights, &flight)) {
        bench_sample_keep(producers->pushed.sample, "an answer that nobody asked for", answer->body,
                          answer->body_len);
        producers->broken = true;
        return;
    }
    if (flight.run != run_now(producers)) {
        producers->pushed.stale++;
        return;
    }
    bench_hist_add(&producers->pushed.answer,
                   now_ns > flight.written_ns ? now_ns - flight.written_ns : 0);
    producers->pushed.last_answer_ns = now_ns;
    size_t offset = 0;
    for (uint32_t i = 0; i < flight.count; i++) {
        uint32_t status = answer->status;
        if (producers->options.batch != 1 && status == 200)
            status = bench_status_next(answer->body, answer->body_len, &offset);
        message_on_status(producers, p, flight.first + i, status, answer);
    }
}

/* The broker has said of one message what became of it. */
static void message_on_confirm(struct bench_producers *producers, struct bench_producer *p,
                               struct bench_flight *flight, bool good, uint64_t now_ns) {
    static const struct bench_answer nothing;
    flight->count = 0; /* nothing more is said of it */
    if (flight->run != run_now(producers)) {
        producers->pushed.stale++;
        return;
    }
    bench_hist_add(&producers->pushed.answer,
                   now_ns > flight->written_ns ? now_ns - flight->written_ns : 0);
    producers->pushed.last_answer_ns = now_ns;
    message_on_status(producers, p, flight->first, good ? 202 : 500, &nothing);
}

/* Tags count publishes from 1, and flights have their places from 0. False: of something else. */
static bool producer_on_confirm(struct bench_producers *producers, struct bench_producer *p,
                                const struct bench_confirm *confirm, uint64_t now_ns) {
    uint32_t place = (uint32_t)(confirm->tag - 1);
    struct bench_flight *last = bench_flights_at(&p->flights, place), *oldest, gone;
    if (last == NULL || last->count == 0)
        return false;
    for (uint32_t i = confirm->multiple ? p->flights.oldest : place; i != place + 1; i++) {
        struct bench_flight *flight = bench_flights_at(&p->flights, i);
        if (flight->count != 0)
            message_on_confirm(producers, p, flight, confirm->good, now_ns);
    }
    while ((oldest = bench_flights_at(&p->flights, p->flights.oldest)) != NULL &&
           oldest->count == 0)
        (void)bench_flights_pop(&p->flights, &gone);
    return true;
}

/* Takes the next answer of what was received. Gives the bytes it had, 0 if more are needed, -1 if
 * it cannot be read. */
static long producer_take(struct bench_producers *producers, struct bench_producer *p,
                          const uint8_t *at, size_t len, uint64_t now_ns) {
    struct bench_answer answer;
    struct bench_confirm confirm;
    if (!producers->options.queued) {
        long used = bench_answer_read(at, len, &p->memory, &answer);
        if (used > 0)
            producer_on_answer(producers, p, &answer, now_ns);
        return used;
    }
    long used = bench_amqp_confirm_read(at, len, &confirm);
    if (used > 0 && confirm.tag != 0 && !producer_on_confirm(producers, p, &confirm, now_ns))
        return -1;
    return used;
}

void bench_producers_on_event(struct bench_producers *producers, uint32_t number, uint32_t events) {
    struct bench_producer *p = &producers->list[number];
    if (p->fd < 0)
        return;
    if ((events & EPOLLOUT) != 0) {
        p->connected = true;
        p->blocked = false;
        producer_flush(producers, p);
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0)
        return;
    bool drained = false;
    while (!drained && p->fd >= 0) {
        ssize_t got = bench_net_receive(producers->net, p->fd, &p->rest, &drained);
        if (got == 0)
            return;
        if (got < 0) {
            producer_on_end(producers, p, got == -1 ? "closed by the node" : strerror(errno));
            return;
        }
        uint64_t now_ns = clock_ns();
        const uint8_t *at = producers->net->area;
        size_t left = (size_t)got;
        while (left > 0) {
            long used = producer_take(producers, p, at, left, now_ns);
            if (used == 0)
                break;
            if (used < 0) {
                producer_on_end(producers, p, "an answer cannot be read");
                return;
            }
            at += used;
            left -= (size_t)used;
        }
        if ((left != 0 || p->rest.at != NULL) && !bench_rest_keep(&p->rest, at, left)) {
            producer_on_end(producers, p, "out of memory");
            return;
        }
        drained = drained && (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0;
    }
}
