#include "perf/load/bench_swarm.h"

#include "core/base/clock.h"
#include "perf/load/bench_arrival.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLOSED, CONNECTING, SHAKING, GREETING, READY, LOST };

#define SOURCE_FIRST UINT32_C(0x7f000101)
#define WELCOME_WAIT_NS (UINT64_C(15) * NS_PER_S)

bool bench_swarm_open(struct bench_swarm *swarm, struct bench_net *net, struct bench_share *share,
                      uint32_t number, uint32_t first, uint32_t count, const struct sockaddr_in *to,
                      uint32_t to_count, uint32_t sources) {
    *swarm = (struct bench_swarm){
        .net = net, .share = share, .to = to, .to_count = to_count, .sources = sources};
    swarm->tally = &share->tallies[number];
    swarm->first = first;
    swarm->count = count;
    swarm->clients = calloc(count == 0 ? 1 : count, sizeof *swarm->clients);
    if (swarm->clients == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++)
        swarm->clients[i].fd = -1;
    if (share->form == BENCH_FORM_POLL)
        swarm->polls = bench_polls_open(net, share, swarm->tally, first, count, to, sources);
    return share->form != BENCH_FORM_POLL || swarm->polls != NULL;
}

static bool is_coming(const struct bench_client *client) {
    return client->state >= CONNECTING && client->state <= GREETING;
}

static void client_drop(struct bench_swarm *swarm, struct bench_client *client, uint8_t state) {
    swarm->tally->held -= bench_held_drop(&client->held); /* they come again */
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    client->pinged_ns = 0;
    client->state = state;
    (void)bench_rest_keep(&client->rest, NULL, 0);
}

void bench_swarm_close(struct bench_swarm *swarm) {
    for (uint32_t i = 0; i < swarm->count; i++)
        client_drop(swarm, &swarm->clients[i], CLOSED);
    if (swarm->polls != NULL)
        bench_polls_close(swarm->polls);
    swarm->polls = NULL;
    free(swarm->clients);
    swarm->clients = NULL;
    swarm->count = 0;
}

static void sample_keep(struct bench_tally *tally, const char *what, const void *at, size_t len) {
    bench_sample_keep(tally->sample, what, at, len);
}

static uint32_t tally_run(const struct bench_tally *tally) {
    return atomic_load_explicit(&tally->run, memory_order_relaxed);
}

static void client_settle(struct bench_swarm *swarm, bool well) {
    swarm->pending--;
    swarm->tally->settled++;
    swarm->tally->settled_ns = clock_ns();
    if (!well)
        swarm->tally->failed++;
}

static void client_on_end(struct bench_swarm *swarm, struct bench_client *client, const char *why) {
    sample_keep(swarm->tally, "closed", why, strlen(why));
    if (client->pinged_ns != 0 && client->pinged_run == tally_run(swarm->tally))
        swarm->tally->pings_lost++;
    if (client->state == READY) {
        swarm->tally->ready--;
        swarm->tally->lost++;
    } else if (is_coming(client)) {
        client_settle(swarm, false);
    }
    client_drop(swarm, client, LOST);
}

/* Writes it. A socket is full where much waits in it, and there nothing of it is written. Gives
 * whether it was; the client is gone if only a part could be. */
static bool client_say(struct bench_swarm *swarm, struct bench_client *client,
                       struct bench_said said, const char *failure) {
    ssize_t sent = bench_net_send(client->fd, said.at, said.len);
    if (sent == (ssize_t)said.len)
        return true;
    if (sent != 0)
        client_on_end(swarm, client, sent < 0 ? strerror(errno) : failure);
    return false;
}

/* False if the connection is not there yet. */
static bool client_greet(struct bench_swarm *swarm, struct bench_client *client, uint32_t number) {
    const struct bench_share *share = swarm->share;
    struct bench_said said = bench_talk_first(&swarm->talk, share, number, client->begun_ns);
    if (!client_say(swarm, client, said, "the hello could not be sent"))
        return client->fd < 0;
    bool shakes = share->form == BENCH_FORM_WS || share->form == BENCH_FORM_SIO ||
                  share->form == BENCH_FORM_SSE;
    client->state = shakes ? SHAKING : GREETING;
    return true;
}

static void client_on_pong(struct bench_swarm *swarm, struct bench_client *client) {
    uint32_t number = swarm->first + (uint32_t)(client - swarm->clients);
    struct bench_tally *tally = swarm->tally;
    if (client->pinged_ns == 0) {
        tally->pongs_unasked++;
        sample_keep(tally, "the node said", "a pong that nobody asked for", 28);
        return;
    }
    if (client->pinged_run == tally_run(tally)) {
        tally->pongs++;
        uint64_t there_ns = swarm->net->there_ns;
        if (number < swarm->share->timed)
            bench_hist_add(&tally->pong,
                           there_ns > client->pinged_ns ? there_ns - client->pinged_ns : 0);
    }
    client->pinged_ns = 0;
}

/* One heartbeat. One that is still unanswered is not sent again: its time goes on. */
static void client_ping(struct bench_swarm *swarm, struct bench_client *client) {
    if (client->state != READY || client->pinged_ns != 0)
        return;
    if (!client_say(swarm, client, bench_talk_ping(&swarm->talk, swarm->share->form),
                    "a heartbeat could not be sent"))
        return; /* where its socket is full, the next turn will do */
    client->pinged_ns = clock_ns();
    client->pinged_run = tally_run(swarm->tally);
    swarm->tally->pings++;
}

#define PINGS_A_TURN 32u

/* Heartbeats, evenly over the clients and the time. What is late is not made good. */
static void swarm_ping(struct bench_swarm *swarm, uint64_t now_ns) {
    uint64_t every_ns = atomic_load_explicit(&swarm->share->ping_every_ns, memory_order_relaxed);
    if (every_ns == 0 || swarm->count == 0) {
        swarm->ping_ns = 0;
        return;
    }
    uint64_t step_ns = every_ns / swarm->count;
    if (swarm->ping_ns == 0)
        swarm->ping_ns = now_ns;
    for (uint32_t i = 0; i < PINGS_A_TURN && swarm->ping_ns <= now_ns; i++) {
        client_ping(swarm, &swarm->clients[swarm->ping_place]);
        swarm->ping_place = (swarm->ping_place + 1) % swarm->count;
        swarm->ping_ns += step_ns;
    }
    if (swarm->ping_ns + NS_PER_S < now_ns)
        swarm->ping_ns = now_ns;
}

/* Everything but a message. */
static void client_on_word(struct bench_swarm *swarm, struct bench_client *client,
                           const struct bench_line *line, const uint8_t *at) {
    uint32_t number = swarm->first + (uint32_t)(client - swarm->clients);
    bool by_hello = swarm->share->by_hello, is_coming_in = client->state == GREETING;
    bool is_welcome =
        line->kind == BENCH_LINE_WELCOME || (line->kind == BENCH_LINE_CONNECTED && !by_hello);
    if (is_welcome && is_coming_in) {
        client->state = READY;
        swarm->tally->ready++;
        bench_hist_add(&swarm->tally->greeting, clock_ns() - client->begun_ns);
        client_settle(swarm, true);
    } else if (line->kind == BENCH_LINE_PING) {
        (void)client_say(swarm, client, bench_talk_pong(&swarm->talk, swarm->share->form, line, at),
                         "a heartbeat could not be answered");
    } else if (line->kind == BENCH_LINE_PONG) {
        client_on_pong(swarm, client);
    } else if (line->kind == BENCH_LINE_OPEN && is_coming_in) {
        (void)client_say(swarm, client, bench_talk_connect(&swarm->talk, swarm->share, number),
                         "the CONNECT could not be sent");
    } else if (line->kind == BENCH_LINE_CONNECTED && is_coming_in) {
        (void)client_say(swarm, client, bench_talk_hello(&swarm->talk, swarm->share, number),
                         "the register could not be sent");
    } else if (line->kind != BENCH_LINE_NOTHING) {
        sample_keep(swarm->tally, "the node said", at + line->head, line->used - line->head);
        if (line->kind == BENCH_LINE_BAD)
            swarm->tally->damaged++;
    }
}

/* Writes what is gathered. Where the socket has no room it is left out: the messages come again. */
static void acks_write(struct bench_swarm *swarm, struct bench_client *client) {
    uint32_t count = swarm->acks.count;
    if (count == 0 || client->fd < 0)
        return;
    if (!client_say(swarm, client, bench_talk_acks(&swarm->acks, swarm->share->form),
                    "acknowledgements could not be written"))
        return;
    for (uint32_t i = 0; i < count; i++)
        bench_fate_acked(&swarm->tally->fates, swarm->acks_hashes[i]);
    swarm->tally->acks += count;
}

static void ack_gather(struct bench_swarm *swarm, struct bench_client *client,
                       const struct bench_asks *asks) {
    enum bench_form form = swarm->share->form;
    if (asks->id_len > 64)
        return;
    if (swarm->acks.count == BENCH_ACKS_MAX || !bench_talk_ack(&swarm->acks, form, asks)) {
        acks_write(swarm, client);
        (void)bench_talk_ack(&swarm->acks, form, asks);
    }
    swarm->acks_hashes[swarm->acks.count - 1] = bench_fate_hash(asks->id, asks->id_len);
}

/* It keeps that one. True: and `asks` is now another, which it acknowledges. */
static bool client_hold(struct bench_swarm *swarm, struct bench_client *client,
                        struct bench_asks *asks) {
    uint32_t before = bench_held_count(client->held);
    bool full = bench_held_swap(&client->held, swarm->share->hold, asks, asks);
    swarm->tally->held += bench_held_count(client->held) - before;
    return full;
}

/* A message of ours, or what says to be one. */
static void client_on_line(struct bench_swarm *swarm, struct bench_client *client,
                           const struct bench_line *line, const uint8_t *at, uint32_t run,
                           uint64_t now_ns) {
    uint32_t number = swarm->first + (uint32_t)(client - swarm->clients);
    struct bench_asks asks = {.again = false};
    if (line->payload == NULL) {
        swarm->tally->damaged++;
        sample_keep(swarm->tally, "not ours", at + line->head, line->used - line->head);
        return;
    }
    bool wanted = swarm->share->asks && bench_form_asks(swarm->share->form) &&
                  bench_line_asks(at, line, swarm->share->form, &asks);
    bench_arrived(swarm->share, swarm->tally, number, line->payload, wanted && asks.again, run,
                  now_ns);
    if (wanted && !asks.again)
        bench_fate_met(&swarm->tally->fates, asks.id, asks.id_len);
    if (wanted && !bench_never(swarm->share, number) &&
        (swarm->share->hold == 0 || client_hold(swarm, client, &asks)))
        ack_gather(swarm, client, &asks);
}

/* What it does not go on after: it cannot be read, or the node says that it ends. */
static void client_on_last(struct bench_swarm *swarm, struct bench_client *client,
                           const struct bench_line *line, const uint8_t *at, size_t left) {
    char why[BENCH_SAMPLE_BYTES] = "what the node wrote cannot be read";
    if (line->kind == BENCH_LINE_CLOSE && line->used >= line->head + 2u) {
        at += line->head;
        snprintf(why, sizeof why, "by the node, with close %u %.*s", (unsigned)at[0] << 8 | at[1],
                 (int)(line->used - line->head - 2), (const char *)at + 2);
    } else if (line->kind == BENCH_LINE_CLOSE) {
        snprintf(why, sizeof why, "by the node, with a close that gives no code");
    } else {
        swarm->tally->damaged++;
        sample_keep(swarm->tally, line->why != NULL ? line->why : "the node said", at, left);
    }
    client_on_end(swarm, client, why);
}

/* The answer to its handshake. */
static void client_on_answer(struct bench_swarm *swarm, struct bench_client *client,
                             const struct bench_line *line, const uint8_t *at, size_t left) {
    uint32_t number = swarm->first + (uint32_t)(client - swarm->clients);
    if (line->kind == BENCH_LINE_BAD) {
        const uint8_t *first = memchr(at, '\r', left), *blank = memmem(at, left, "\r\n\r\n", 4);
        size_t first_len = first != NULL ? (size_t)(first - at) : left;
        size_t body_at = blank != NULL ? (size_t)(blank - at) + 4 : left;
        char why[2 * BENCH_SAMPLE_BYTES];
        snprintf(why, sizeof why, "%s: %.*s %.*s", line->why, (int)first_len, (const char *)at,
                 (int)(left - body_at), (const char *)at + body_at);
        client_on_end(swarm, client, why);
        return;
    }
    client->state = GREETING;
    if (swarm->share->by_hello && swarm->share->form == BENCH_FORM_WS)
        (void)client_say(swarm, client, bench_talk_hello(&swarm->talk, swarm->share, number),
                         "the hello could not be sent");
}

/* The next thing in what it has received. */
static struct bench_line client_read(struct bench_swarm *swarm, struct bench_client *client,
                                     const uint8_t *at, size_t len) {
    const struct bench_share *share = swarm->share;
    if (client->state != SHAKING)
        return bench_line_read(at, len, share->form, share->payload_size);
    if (share->form == BENCH_FORM_SSE)
        return bench_sse_answer(at, len, &client->chunks);
    char key[BENCH_WS_KEY_BYTES + 1];
    uint32_t number = swarm->first + (uint32_t)(client - swarm->clients);
    bench_talk_key(key, share, number, client->begun_ns);
    return bench_ws_answer(at, len, key);
}

/* Of events: takes the last `fresh` of the `left` bytes at `at` out of their chunks. False, and the
 * client is gone: they are no chunks. */
static bool client_unchunk(struct bench_swarm *swarm, struct bench_client *client, uint8_t *at,
                           size_t *left, size_t fresh) {
    if (swarm->share->form != BENCH_FORM_SSE || client->state == SHAKING)
        return true;
    long taken = bench_chunks_take(&client->chunks, at + *left - fresh, fresh);
    if (taken < 0) {
        swarm->tally->damaged++;
        client_on_end(swarm, client, "the stream's chunks cannot be read");
        return false;
    }
    *left -= fresh - (size_t)taken;
    return true;
}

static void client_receive(struct bench_swarm *swarm, uint32_t place, bool to_the_end) {
    struct bench_client *client = &swarm->clients[place];
    for (;;) {
        bool drained, shaking = client->state == SHAKING;
        size_t kept = client->rest.len;
        ssize_t got = bench_net_receive(swarm->net, client->fd, &client->rest, &drained);
        if (got == 0)
            return;
        if (got < 0) {
            client_on_end(swarm, client, got == -1 ? "by the node" : strerror(errno));
            return;
        }
        /* How late this tool reads is not the node's doing, and told apart. */
        uint64_t now_ns = swarm->net->there_ns;
        if (swarm->net->stamped)
            bench_hist_add(&swarm->tally->unread, clock_ns() - now_ns);
        uint32_t run = bench_share_run(swarm->share, swarm->tally, swarm->first, swarm->count);
        uint8_t *at = swarm->net->area;
        size_t left = (size_t)got;
        swarm->tally->receives++;
        if (!client_unchunk(swarm, client, at, &left, left - kept))
            return;
        swarm->acks.count = 0;
        while (left > 0) {
            struct bench_line line = client_read(swarm, client, at, left);
            if (line.kind == BENCH_LINE_MORE)
                break;
            if (line.kind == BENCH_LINE_MESSAGE)
                client_on_line(swarm, client, &line, at, run, now_ns);
            else if (client->state == SHAKING)
                client_on_answer(swarm, client, &line, at, left);
            else if (line.used == 0 || line.kind == BENCH_LINE_CLOSE)
                client_on_last(swarm, client, &line, at, left);
            else
                client_on_word(swarm, client, &line, at);
            if (client->fd < 0)
                return;
            at += line.used;
            left -= line.used;
            if (shaking && client->state != SHAKING) { /* what is left is of the stream */
                shaking = false;
                if (!client_unchunk(swarm, client, at, &left, left))
                    return;
            }
        }
        acks_write(swarm, client);
        if (client->fd < 0)
            return;
        if ((left != 0 || client->rest.at != NULL) && !bench_rest_keep(&client->rest, at, left)) {
            client_on_end(swarm, client, "out of memory");
            return;
        }
        if (drained && !to_the_end)
            return;
    }
}

void bench_swarm_on_event(struct bench_swarm *swarm, uint32_t place, uint32_t events) {
    struct bench_client *client = &swarm->clients[place];
    if (swarm->polls != NULL)
        bench_polls_on_event(swarm->polls, place, events);
    if (client->fd < 0)
        return;
    if (client->state == CONNECTING) {
        int error = 0;
        socklen_t len = sizeof error;
        if ((events & (EPOLLERR | EPOLLHUP)) != 0 &&
            getsockopt(client->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error != 0) {
            client_on_end(swarm, client, strerror(error));
            return;
        }
        if ((events & EPOLLOUT) != 0)
            (void)client_greet(swarm, client, swarm->first + place);
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 && client->fd >= 0)
        client_receive(swarm, place, (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0);
}

static void client_open(struct bench_swarm *swarm, uint32_t place, uint64_t now_ns) {
    struct bench_client *client = &swarm->clients[place];
    uint32_t source = 0;
    uint32_t number = swarm->first + place;
    if (swarm->share->together && number < swarm->share->members)
        source = SOURCE_FIRST;
    else if (swarm->sources != 0)
        source = SOURCE_FIRST + number % swarm->sources;
    client->begun_ns = now_ns;
    client->state = CONNECTING;
    swarm->pending++;
    swarm->tally->opened++;
    /* Whatever groups it is in, which its number says as well. */
    uint32_t at = (uint32_t)(((uint64_t)(number * UINT32_C(2654435761)) * swarm->to_count) >> 32);
    client->fd = bench_net_connect(&swarm->to[at], source);
    if (client->fd < 0 || (swarm->net->stamped && !bench_net_stamp(client->fd))) {
        client_on_end(swarm, client, strerror(errno));
        return;
    }
    /* the hello follows the handshake at once if that is over, and then only reading matters */
    bool greeted = client_greet(swarm, client, swarm->first + place);
    if (client->fd >= 0 && !bench_net_watch(swarm->net, client->fd, !greeted, place))
        client_on_end(swarm, client, strerror(errno));
}

#define RECONNECTS_A_TURN 16u

/* Those that connect anew do so, evenly over the clients and the time, whatever is in their
 * sockets. */
static void swarm_reconnect(struct bench_swarm *swarm, uint64_t now_ns) {
    const struct bench_share *share = swarm->share;
    uint64_t every_ns = atomic_load_explicit(&share->reconnect_every_ns, memory_order_relaxed);
    uint64_t many = (uint64_t)swarm->count * share->reconnect / 100;
    if (every_ns == 0 || many == 0) {
        swarm->again_ns = 0;
        return;
    }
    if (swarm->again_ns == 0)
        swarm->again_ns = now_ns;
    for (uint32_t i = 0; i < RECONNECTS_A_TURN && swarm->again_ns <= now_ns; i++) {
        for (uint32_t n = 0; n < swarm->count; n++) {
            swarm->again_place = (swarm->again_place + 1) % swarm->count;
            if (bench_reconnects(share, swarm->first + swarm->again_place))
                break;
        }
        swarm->again_ns += every_ns / many;
        struct bench_client *client = &swarm->clients[swarm->again_place];
        if (client->state != READY)
            continue;
        client_drop(swarm, client, CLOSED);
        swarm->tally->ready--;
        swarm->tally->reconnects++;
        client_open(swarm, swarm->again_place, now_ns);
    }
}

static void swarm_obey(struct bench_swarm *swarm, uint32_t order_number, uint64_t now_ns) {
    struct bench_tally *tally = swarm->tally;
    if (swarm->share->order == BENCH_ORDER_OPEN) {
        tally->opened = tally->settled = tally->failed = 0;
        bench_hist_clear(&tally->greeting);
        swarm->pending = 0;
        swarm->opening_ns = now_ns;
    } else if (swarm->share->order == BENCH_ORDER_CLOSE) {
        for (uint32_t i = 0; i < swarm->count; i++)
            client_drop(swarm, &swarm->clients[i], CLOSED);
        tally->ready = 0;
        swarm->opening_ns = 0;
        swarm->pending = 0;
    }
    atomic_store_explicit(&tally->order_seen, order_number, memory_order_release);
}

/* Gives up on clients whose connection or welcome takes too long: a part of them each turn. */
static void swarm_expire(struct bench_swarm *swarm, uint64_t now_ns) {
    for (uint32_t i = 0; i < 64 && swarm->pending > 0 && swarm->count > 0; i++) {
        struct bench_client *client = &swarm->clients[swarm->scan];
        swarm->scan = (swarm->scan + 1) % swarm->count;
        if (is_coming(client) && now_ns - client->begun_ns > WELCOME_WAIT_NS)
            client_on_end(swarm, client, "no welcome within 15 s");
    }
}

uint64_t bench_swarm_step(struct bench_swarm *swarm, uint64_t now_ns) {
    const struct bench_share *share = swarm->share;
    if (swarm->polls != NULL)
        return bench_polls_step(swarm->polls, now_ns);
    uint32_t order = atomic_load_explicit(&swarm->share->order_number, memory_order_acquire);
    if (order != atomic_load_explicit(&swarm->tally->order_seen, memory_order_relaxed))
        swarm_obey(swarm, order, now_ns);
    (void)bench_share_run(swarm->share, swarm->tally, swarm->first, swarm->count);
    swarm_ping(swarm, now_ns);
    swarm_reconnect(swarm, now_ns);
    if (swarm->opening_ns == 0) /* without clients, an order is all that there is to wait for */
        return swarm->tally->ready == 0 || swarm->ping_ns != 0 ? NS_PER_MS : 10 * NS_PER_MS;
    swarm_expire(swarm, now_ns);
    uint32_t due = swarm->count;
    if (share->open_rate > 0) {
        double rate = share->open_rate * swarm->count / share->clients;
        double by_now = (double)(now_ns - swarm->opening_ns) / 1e9 * rate + 1;
        if (by_now < (double)due)
            due = (uint32_t)by_now;
    }
    while (swarm->tally->opened < due && swarm->pending < share->open_pending)
        client_open(swarm, swarm->tally->opened, now_ns);
    if (swarm->tally->settled == swarm->count)
        swarm->opening_ns = 0;
    return share->open_rate > 0 ? NS_PER_MS : 10 * NS_PER_MS;
}

void bench_swarm_run(struct bench_swarm *swarm) {
    while (swarm->share->order != BENCH_ORDER_QUIT) {
        uint64_t wait_ns = bench_swarm_step(swarm, clock_ns());
        int count = bench_net_wait(swarm->net, wait_ns);
        for (int i = 0; i < count; i++)
            bench_swarm_on_event(swarm, (uint32_t)swarm->net->events[i].data.u64,
                                 swarm->net->events[i].events);
    }
}
