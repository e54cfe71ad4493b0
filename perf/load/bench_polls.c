#include "perf/load/bench_polls.h"

#include "core/base/clock.h"
#include "perf/load/bench_arrival.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLOSED, COMING, READY, LOST };              /* a session */
enum { ABSENT, CONNECTING, IDLE, BUSY };           /* a connection */
enum { HANDSHAKE, CONNECT, REGISTER, POLL, PONG }; /* a request */

#define SOURCE_FIRST UINT32_C(0x7f000101)
#define WELCOME_WAIT_NS (UINT64_C(15) * NS_PER_S)
#define REQUEST_BYTES (BENCH_TALK_BYTES + 512)

struct bench_polls *bench_polls_open(struct bench_net *net, struct bench_share *share,
                                     struct bench_tally *tally, uint32_t first, uint32_t count,
                                     const struct sockaddr_in *to, uint32_t sources) {
    struct bench_polls *polls = calloc(1, sizeof *polls);
    size_t room = count == 0 ? 1 : count;
    if (polls == NULL)
        return NULL;
    *polls = (struct bench_polls){
        .net = net, .share = share, .tally = tally, .to = *to, .first = first, .sources = sources};
    polls->chance = share->run_base + first + 1;
    polls->sessions = calloc(room, sizeof *polls->sessions);
    polls->carriers = calloc(room, sizeof *polls->carriers);
    polls->idle = calloc(room, sizeof *polls->idle);
    polls->wanting = calloc(room, sizeof *polls->wanting);
    if (polls->sessions == NULL || polls->carriers == NULL || polls->idle == NULL ||
        polls->wanting == NULL) {
        bench_polls_close(polls);
        return NULL;
    }
    polls->count = count;
    for (uint32_t i = 0; i < count; i++)
        polls->carriers[i].fd = -1;
    return polls;
}

/* Ends all connections, and so all sessions. */
static void all_drop(struct bench_polls *polls) {
    for (uint32_t i = 0; i < polls->count; i++) {
        struct bench_carrier *carrier = &polls->carriers[i];
        if (carrier->fd >= 0)
            close(carrier->fd);
        carrier->fd = -1;
        carrier->state = ABSENT;
        (void)bench_rest_keep(&carrier->rest, NULL, 0);
        polls->sessions[i].state = CLOSED;
    }
    polls->idle_count = polls->wanting_count = polls->pending = 0;
}

void bench_polls_close(struct bench_polls *polls) {
    all_drop(polls);
    free(polls->sessions);
    free(polls->carriers);
    free(polls->idle);
    free(polls->wanting);
    free(polls);
}

/* --- sessions --- */

static void session_settle(struct bench_polls *polls, bool well) {
    polls->pending--;
    polls->tally->settled++;
    polls->tally->settled_ns = clock_ns();
    if (!well)
        polls->tally->failed++;
}

static void session_end(struct bench_polls *polls, struct bench_poller *session, const char *why) {
    bench_sample_keep(polls->tally->sample, "closed", why, strlen(why));
    if (session->state == READY) {
        polls->tally->ready--;
        polls->tally->lost++;
    } else if (session->state == COMING) {
        session_settle(polls, false);
    }
    session->state = LOST;
}

static void session_ready(struct bench_polls *polls, struct bench_poller *session) {
    if (session->state != COMING)
        return;
    session->state = READY;
    polls->tally->ready++;
    bench_hist_add(&polls->tally->greeting, clock_ns() - session->begun_ns);
    session_settle(polls, true);
}

/* It has something to ask as soon as it has a connection for it. */
static void session_want(struct bench_polls *polls, uint32_t place, uint8_t next) {
    struct bench_poller *session = &polls->sessions[place];
    session->next = next;
    session->wants_ns = clock_ns();
    uint32_t at = (polls->want_at + polls->wanting_count++) % polls->count;
    polls->wanting[at] = place;
}

/* --- requests --- */

/* Writes a request; gives its length. */
static size_t request_make(struct bench_polls *polls, uint32_t place, char out[REQUEST_BYTES]) {
    const struct bench_poller *session = &polls->sessions[place];
    uint32_t number = polls->first + place;
    struct bench_said said = {.len = 0};
    static const struct bench_line ping = {.kind = BENCH_LINE_PING};
    if (session->next == CONNECT)
        said = bench_talk_connect(&polls->talk, polls->share, number);
    else if (session->next == REGISTER)
        said = bench_talk_hello(&polls->talk, polls->share, number);
    else if (session->next == PONG)
        said = bench_talk_pong(&polls->talk, BENCH_FORM_POLL, &ping, NULL);
    int len = snprintf(out, REQUEST_BYTES,
                       "%s /socket.io/?EIO=4&transport=polling%s%s HTTP/1.1\r\nHost: %s\r\n",
                       said.len != 0 ? "POST" : "GET", session->next != HANDSHAKE ? "&sid=" : "",
                       session->next != HANDSHAKE ? session->sid : "", polls->share->host);
    if (said.len != 0)
        len +=
            snprintf(out + len, REQUEST_BYTES - (size_t)len,
                     "Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %zu\r\n", said.len);
    len += snprintf(out + len, REQUEST_BYTES - (size_t)len, "\r\n%.*s", (int)said.len,
                    said.len != 0 ? (const char *)said.at : "");
    return (size_t)len;
}

static void carrier_idle(struct bench_polls *polls, uint32_t place) {
    polls->carriers[place].state = IDLE;
    polls->idle[polls->idle_count++] = place;
}

/* Notes that the connection has a request of this session. */
static void carrier_note(struct bench_polls *polls, struct bench_carrier *carrier,
                         uint32_t session) {
    uint32_t run = atomic_load_explicit(&polls->tally->run, memory_order_relaxed);
    if (carrier->run != run)
        carrier->carried_count = 0;
    carrier->run = run;
    for (uint8_t i = 0; i < carrier->carried_count; i++)
        if (carrier->carried[i] == session)
            return;
    if (carrier->carried_count == BENCH_POLLS_CARRIED)
        return;
    carrier->carried[carrier->carried_count++] = session;
    polls->tally->carried++;
    polls->tally->shared += carrier->carried_count == 2;
}

static void carrier_open(struct bench_polls *polls, uint32_t place) {
    struct bench_carrier *carrier = &polls->carriers[place];
    uint32_t number = polls->first + place;
    uint32_t source = polls->sources != 0 ? SOURCE_FIRST + number % polls->sources : 0;
    carrier->state = CONNECTING;
    carrier->used = false;
    carrier->fd = bench_net_connect(&polls->to, source);
    if (carrier->fd < 0 || (polls->net->stamped && !bench_net_stamp(carrier->fd)) ||
        !bench_net_watch(polls->net, carrier->fd, true, place)) {
        const char *why = strerror(errno);
        bench_sample_keep(polls->tally->sample, "a connection", why, strlen(why));
    }
}

/* A connection has ended; whose request it had, if any, has ended with it. Another one takes its
 * place, unless the node took it for nothing: then it would do so again and again. */
static void carrier_end(struct bench_polls *polls, uint32_t place, const char *why) {
    struct bench_carrier *carrier = &polls->carriers[place];
    uint8_t state = carrier->state;
    close(carrier->fd);
    carrier->fd = -1;
    carrier->state = ABSENT;
    (void)bench_rest_keep(&carrier->rest, NULL, 0);
    for (uint32_t i = 0; state == IDLE && i < polls->idle_count; i++)
        if (polls->idle[i] == place) {
            polls->idle[i] = polls->idle[--polls->idle_count];
            break;
        }
    if (state == BUSY)
        session_end(polls, &polls->sessions[carrier->session], why);
    bench_sample_keep(polls->tally->sample, "a connection ended", why, strlen(why));
    if (carrier->used)
        carrier_open(polls, place);
}

/* Gives the session that waits longest a random idle connection. */
static void request_send(struct bench_polls *polls) {
    char request[REQUEST_BYTES];
    uint32_t place = polls->wanting[polls->want_at];
    struct bench_poller *session = &polls->sessions[place];
    polls->want_at = (polls->want_at + 1) % polls->count;
    polls->wanting_count--;
    if (session->state != COMING && session->state != READY)
        return;
    polls->chance = polls->chance * UINT64_C(6364136223846793005) + 1442695040888963407u;
    uint32_t i = (uint32_t)(polls->chance >> 32) % polls->idle_count, at = polls->idle[i];
    struct bench_carrier *carrier = &polls->carriers[at];
    polls->idle[i] = polls->idle[--polls->idle_count];
    carrier->state = BUSY;
    carrier->session = place;
    carrier_note(polls, carrier, place);
    if (session->next == POLL) {
        polls->tally->polls++;
        polls->tally->polls_moved += at != session->last;
    }
    session->last = at;
    size_t len = request_make(polls, place, request);
    ssize_t sent = bench_net_send(carrier->fd, request, len);
    if (sent != (ssize_t)len)
        carrier_end(polls, at, sent < 0 ? strerror(errno) : "a request could not be written");
}

static void requests_send(struct bench_polls *polls, uint64_t now_ns) {
    uint32_t kept = polls->count / BENCH_POLLS_CHOICE + 1; /* a single one is no choice */
    while (polls->wanting_count != 0 && polls->idle_count != 0) {
        const struct bench_poller *longest = &polls->sessions[polls->wanting[polls->want_at]];
        if (longest->next == POLL && polls->idle_count <= kept &&
            now_ns < longest->wants_ns + BENCH_POLLS_PAUSE_NS)
            return;
        request_send(polls);
    }
}

/* --- answers --- */

static void packet_take(struct bench_polls *polls, uint32_t place, const uint8_t *at, size_t len,
                        uint32_t run) {
    struct bench_poller *session = &polls->sessions[place];
    struct bench_tally *tally = polls->tally;
    struct bench_line line = bench_sio_text(at, len, polls->share->payload_size);
    bool by_hello = polls->share->by_hello;
    if (line.kind == BENCH_LINE_MESSAGE && line.payload != NULL) {
        bench_arrived(polls->share, tally, polls->first + place, line.payload, false, run,
                      polls->net->there_ns);
    } else if (line.kind == BENCH_LINE_PING) {
        session->next = PONG;
    } else if (line.kind == BENCH_LINE_WELCOME ||
               (line.kind == BENCH_LINE_CONNECTED && !by_hello)) {
        session_ready(polls, session);
    } else if (line.kind == BENCH_LINE_CONNECTED) {
        session->next = REGISTER;
    } else if (line.kind != BENCH_LINE_NOTHING) {
        bench_sample_keep(tally->sample, "the node said", at, len);
        tally->damaged += line.kind == BENCH_LINE_BAD || line.kind == BENCH_LINE_MESSAGE;
    }
}

/* What a poll brought. */
static void payload_take(struct bench_polls *polls, uint32_t place, const uint8_t *at, size_t len) {
    struct bench_poller *session = &polls->sessions[place];
    uint32_t run = bench_share_run(polls->share, polls->tally, polls->first, polls->count);
    const uint8_t *end = at + len;
    polls->tally->receives++;
    session->next = POLL;
    while (at <= end) {
        const uint8_t *next = memchr(at, BENCH_SIO_SEPARATOR, (size_t)(end - at));
        next = next != NULL ? next : end;
        packet_take(polls, place, at, (size_t)(next - at), run);
        at = next + 1;
    }
}

static void answer_take(struct bench_polls *polls, uint32_t place,
                        const struct bench_answer *answer) {
    struct bench_poller *session = &polls->sessions[place];
    char why[BENCH_SAMPLE_BYTES];
    bool is_good = answer->status == 200;
    if (session->state != COMING && session->state != READY)
        return;
    if (is_good && session->next == HANDSHAKE)
        is_good = bench_sio_sid(answer->body, answer->body_len, session->sid);
    else if (is_good && session->next != POLL)
        is_good = answer->body_len == 2 && memcmp(answer->body, "ok", 2) == 0;
    if (!is_good) {
        snprintf(why, sizeof why, "answer %u %.*s", answer->status, (int)answer->body_len,
                 (const char *)answer->body);
        session_end(polls, session, why);
        return;
    }
    if (session->next == POLL)
        payload_take(polls, place, answer->body, answer->body_len);
    else
        session->next = session->next == HANDSHAKE ? CONNECT : POLL;
    if (session->state == COMING || session->state == READY)
        session_want(polls, place, session->next);
}

static void carrier_receive(struct bench_polls *polls, uint32_t place) {
    struct bench_carrier *carrier = &polls->carriers[place];
    struct bench_answer answer;
    bool drained;
    ssize_t got = bench_net_receive(polls->net, carrier->fd, &carrier->rest, &drained);
    if (got == 0)
        return;
    if (got < 0) {
        carrier_end(polls, place, got == -1 ? "by the node" : strerror(errno));
        return;
    }
    if (polls->net->stamped)
        bench_hist_add(&polls->tally->unread, clock_ns() - polls->net->there_ns);
    long used = bench_answer_read(polls->net->area, (size_t)got, &polls->memory, &answer);
    if (used == 0) {
        if (!bench_rest_keep(&carrier->rest, polls->net->area, (size_t)got))
            carrier_end(polls, place, "out of memory");
        return;
    }
    (void)bench_rest_keep(&carrier->rest, NULL, 0);
    if (used != got || carrier->state != BUSY) {
        polls->tally->damaged++;
        bench_sample_keep(polls->tally->sample, "an answer that nobody asked for", polls->net->area,
                          (size_t)got);
        carrier_end(polls, place, "what the node wrote cannot be read");
        return;
    }
    uint32_t session = carrier->session;
    carrier->used = true;
    carrier_idle(polls, place);
    answer_take(polls, session, &answer);
}

void bench_polls_on_event(struct bench_polls *polls, uint32_t place, uint32_t events) {
    struct bench_carrier *carrier = &polls->carriers[place];
    if (carrier->fd < 0)
        return;
    if (carrier->state == CONNECTING && (events & (EPOLLERR | EPOLLHUP)) != 0)
        carrier_end(polls, place, "the connection was refused");
    else if (carrier->state == CONNECTING && (events & EPOLLOUT) != 0)
        carrier_idle(polls, place);
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 && carrier->fd >= 0)
        carrier_receive(polls, place);
}

/* --- orders --- */

static void session_open(struct bench_polls *polls, uint32_t place, uint64_t now_ns) {
    struct bench_poller *session = &polls->sessions[place];
    *session = (struct bench_poller){.state = COMING, .begun_ns = now_ns, .last = place};
    polls->pending++;
    polls->tally->opened++;
    carrier_open(polls, place);
    session_want(polls, place, HANDSHAKE);
}

static void polls_obey(struct bench_polls *polls, uint32_t order_number, uint64_t now_ns) {
    struct bench_tally *tally = polls->tally;
    if (polls->share->order == BENCH_ORDER_OPEN) {
        tally->opened = tally->settled = tally->failed = 0;
        bench_hist_clear(&tally->greeting);
        polls->pending = 0;
        polls->opening_ns = now_ns;
    } else if (polls->share->order == BENCH_ORDER_CLOSE) {
        all_drop(polls);
        tally->ready = 0;
        polls->opening_ns = 0;
    }
    atomic_store_explicit(&tally->order_seen, order_number, memory_order_release);
}

static void polls_expire(struct bench_polls *polls, uint64_t now_ns) {
    for (uint32_t i = 0; i < 64 && polls->pending > 0 && polls->count > 0; i++) {
        struct bench_poller *session = &polls->sessions[polls->scan];
        polls->scan = (polls->scan + 1) % polls->count;
        if (session->state == COMING && now_ns - session->begun_ns > WELCOME_WAIT_NS)
            session_end(polls, session, "no welcome within 15 s");
    }
}

uint64_t bench_polls_step(struct bench_polls *polls, uint64_t now_ns) {
    const struct bench_share *share = polls->share;
    struct bench_tally *tally = polls->tally;
    uint32_t order = atomic_load_explicit(&share->order_number, memory_order_acquire);
    if (order != atomic_load_explicit(&tally->order_seen, memory_order_relaxed))
        polls_obey(polls, order, now_ns);
    (void)bench_share_run(polls->share, tally, polls->first, polls->count);
    if (polls->opening_ns != 0) {
        polls_expire(polls, now_ns);
        uint32_t due = polls->count;
        if (share->open_rate > 0) {
            double rate = share->open_rate * polls->count / share->clients;
            double by_now = (double)(now_ns - polls->opening_ns) / 1e9 * rate + 1;
            due = by_now < (double)due ? (uint32_t)by_now : due;
        }
        while (tally->opened < due && polls->pending < share->open_pending)
            session_open(polls, tally->opened, now_ns);
        if (tally->settled == polls->count)
            polls->opening_ns = 0;
    }
    requests_send(polls, now_ns);
    return polls->opening_ns != 0 || polls->wanting_count != 0 || tally->ready == 0
               ? NS_PER_MS
               : 10 * NS_PER_MS;
}
