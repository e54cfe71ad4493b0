/* peer_link.c - one connection between two nodes: how it comes up, what is read and written, how it
 * ends; see peer_port.h. */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/shortage.h"
#include "core/chain.h"
#include "core/server.h"
#include "ha/peer/peer_port.h"
#include "ha/peer/peer_socket.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* So many connections are accepted in a turn at most. */
#define ACCEPTS_A_TURN 16
#define REFUSAL_LOG_NS (10 * NS_PER_S)

/* --- the end ---------------------------------------------------------------------------------- */

static void buffers_free(struct peer_link *link) {
    struct account *account = &link->peers->port.account;
    if (link->in != NULL)
        memory_put(account, link->in, PEER_IN_BYTES);
    if (link->out != NULL)
        memory_put(account, link->out, PEER_OUT_BYTES + PEER_OUT_SPARE);
    chunk_put(link->body);
    link->in = link->out = NULL;
    link->body = NULL;
    link->in_at = link->in_len = link->out_len = link->later_len = 0;
}

void peer_link_lose(struct peer_link *link, const char *why) {
    struct peer_port *peers = link->peers;
    struct peer_host *host = link->host;
    bool was_up = link->state == PEER_UP;
    if (link->state == PEER_GONE)
        return;
    link->state = PEER_GONE;
    peer_socket_close(link->fd);
    link->fd = -1;
    buffers_free(link);
    if (why != NULL && was_up)
        stats_add(&peers->figures.lost, 1);
    if (host != NULL) {
        host->call = NULL;
        stats_sub(&peers->figures.calls, 1);
        if (why != NULL)
            peer_host_lost(peers, host, was_up, why);
        peer_away_lost(link, was_up ? PEER_FAILED_LOST : PEER_FAILED_UNREACHED);
    } else if (was_up) {
        stats_sub(&peers->figures.called, 1);
        peer_guests_lost(link);
    } else {
        peers->strangers--;
    }
}

/* Whoever is there has no business here. */
static void refuse(struct peer_link *link, enum peer_refusal refusal, const char *why,
                   const char *remedy) {
    static const char *const words[PEER_REFUSAL_COUNT] = {
#define PEER_REFUSAL_WORD(name, word) word,
        PEER_REFUSALS(PEER_REFUSAL_WORD)
#undef PEER_REFUSAL_WORD
    };
    struct peer_port *peers = link->peers;
    uint64_t now_ns = peers->port.now_ns;
    stats_add(&peers->figures.refused[refusal], 1);
    if (peers->refusal_told_ns == 0 || now_ns - peers->refusal_told_ns >= REFUSAL_LOG_NS) {
        peers->refusal_told_ns = now_ns;
        log_event(LOG_WARN, "peer_refused", LOG_STR("reason", words[refusal]),
                  LOG_STR("called", link->host != NULL ? link->host->address : "this node"),
                  LOG_STR("problem", why), LOG_STR("remedy", remedy));
    }
    peer_link_lose(link, why);
}

static void refuse_secret(struct peer_link *link) {
    refuse(link, PEER_REFUSED_PROOF,
           "it does not know the secret, or was called by another address than its --peer",
           "give all nodes the same --peer-secret-file, and each a --peer by which others reach "
           "it; if it is no node of yours, keep it from that port");
}

static void refuse_frame(struct peer_link *link) {
    refuse(link, PEER_REFUSED_FRAME, "what it says is no frame",
           "let all nodes run the same version");
}

static void lose_by_error(struct peer_link *link, const char *what, int error) {
    char why[160];
    snprintf(why, sizeof(why), "%s: %s", what, strerror(error));
    peer_link_lose(link, why);
}

void peer_links_sweep(struct peer_port *peers) {
    for (struct list *at = peers->links.next, *next; at != &peers->links; at = next) {
        struct peer_link *link = container_of(at, struct peer_link, link);
        next = at->next;
        if (link->state != PEER_GONE)
            continue;
        CHECK(list_empty(&link->queue) && list_empty(&link->guests));
        list_remove(&link->link);
        peers->link_count--;
        memory_put(&peers->port.account, link, sizeof(*link));
    }
}

/* --- the beginning ---------------------------------------------------------------------------- */

static struct peer_link *link_make(struct peer_port *peers, int fd, struct peer_host *host) {
    struct peer_link *link = memory_get(&peers->port.account, sizeof(*link));
    if (SHORTAGE(link == NULL)) {
        peer_socket_close(fd);
        return NULL;
    }
    uint64_t now_ns = peers->port.now_ns;
    *link = (struct peer_link){.peers = peers,
                               .fd = fd,
                               .host = host,
                               .state = host == NULL ? PEER_STRANGER : PEER_CONNECTING,
                               .out_full = host != NULL,
                               .begun_ns = now_ns,
                               .heard_ns = now_ns,
                               .said_ns = now_ns,
                               .used_ns = now_ns};
    list_init(&link->link);
    list_init(&link->queue);
    list_init(&link->guests);
    memcpy(link->mine.run, peers->port.server->run, PEER_RUN_BYTES);
    rand_fill(link->mine.nonce, sizeof(link->mine.nonce));
    list_add_tail(&peers->links, &link->link);
    peers->link_count++;
    return link;
}

bool peer_call(struct peer_port *peers, struct peer_host *host) {
    struct sockaddr_storage address;
    socklen_t len;
    if (host->call != NULL)
        return true;
    if (peers->port.now_ns < host->retry_ns)
        return false;
    if (!peer_address_read(span_text(host->address), &address, &len)) {
        peer_host_lost(peers, host, false, "what it says is no address of a machine and a port");
        return false;
    }
    int fd = peer_socket_open(&address, len);
    if (fd < 0) {
        peer_host_lost(peers, host, false, strerror(errno));
        return false;
    }
    host->call = link_make(peers, fd, host);
    if (SHORTAGE(host->call == NULL)) {
        peer_host_lost(peers, host, false, "there is no memory for a connection");
        return false;
    }
    stats_add(&peers->figures.calls, 1);
    return true;
}

/* Too many strangers: the one that has come first has had the most time. */
static void strangers_limit(struct peer_port *peers) {
    if (peers->strangers < PEER_STRANGERS_MAX)
        return;
    for (struct list *at = peers->links.next; at != &peers->links; at = at->next) {
        struct peer_link *link = container_of(at, struct peer_link, link);
        if (link->state != PEER_STRANGER && link->state != PEER_CHALLENGED)
            continue;
        refuse(link, PEER_REFUSED_MANY, "64 others wait that have not proved anything either",
               "let nobody but nodes reach the address of --peer");
        return;
    }
}

void peer_accept(struct peer_port *peers) {
    for (unsigned i = 0; i < ACCEPTS_A_TURN && !peers->held; i++) {
        int fd = peer_socket_accept(peers->listen_fd);
        if (fd < 0) {
            peers->held = errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS;
            return;
        }
        strangers_limit(peers);
        struct peer_link *link = link_make(peers, fd, NULL);
        if (SHORTAGE(link == NULL))
            return;
        link->in_ready = true;
        peers->strangers++;
    }
}

static bool say_at_once(struct peer_link *link, const void *at, size_t len) {
    link->said_ns = link->peers->port.now_ns;
    if (peer_socket_send(link->fd, at, len) == (ssize_t)len)
        return true;
    peer_link_lose(link, "the connection ended within the handshake");
    return false;
}

static void come_up(struct peer_link *link) {
    struct peer_port *peers = link->peers;
    struct account *account = &peers->port.account;
    bool called = link->host == NULL;
    if (called && stats_get(&peers->figures.called) >= PEER_CALLED_MAX) {
        refuse(link, PEER_REFUSED_MANY, "1024 other nodes are connected", "use fewer nodes");
        return;
    }
    link->in = memory_get(account, PEER_IN_BYTES);
    link->out = memory_get(account, PEER_OUT_BYTES + PEER_OUT_SPARE);
    if (SHORTAGE(link->in == NULL || link->out == NULL)) {
        peer_link_lose(link, "there is no memory for its connection: raise --memory");
        return;
    }
    link->state = PEER_UP;
    link->heard_ns = peers->port.now_ns;
    if (!called) {
        link->host->told = false;
        log_event(LOG_INFO, "peer_connected", LOG_STR("node", link->host->name),
                  LOG_STR("address", link->host->address));
        return;
    }
    peers->strangers--;
    stats_add(&peers->figures.called, 1);
    peer_link_say(link, &(struct peer_head){.type = PEER_PING});
}

/* As the one that was called. */
static void hello_came(struct peer_link *link) {
    struct peer_port *peers = link->peers;
    uint8_t challenge[PEER_CHALLENGE_BYTES];
    if (!peer_hello_read(link->shake, &link->theirs)) {
        refuse(link, PEER_REFUSED_HELLO, "it is no node, or one of another version",
               "let nobody but nodes of the same version reach the address of --peer");
        return;
    }
    peer_hello_write(&link->mine, challenge);
    peer_proof(peers->key, PEER_CALLED, span_text(peers->port.address), &link->theirs, &link->mine,
               challenge + PEER_HELLO_BYTES);
    link->state = PEER_CHALLENGED;
    say_at_once(link, challenge, sizeof(challenge));
}

static void proof_came(struct peer_link *link) {
    struct peer_port *peers = link->peers;
    uint8_t proof[PROOF_BYTES];
    peer_proof(peers->key, PEER_CALLER, span_text(peers->port.address), &link->theirs, &link->mine,
               proof);
    if (proof_same(proof, link->shake))
        come_up(link);
    else
        refuse_secret(link);
}

/* As the caller. */
static void challenge_came(struct peer_link *link) {
    struct peer_port *peers = link->peers;
    const struct peer_host *host = link->host;
    uint8_t proof[PROOF_BYTES];
    if (!peer_hello_read(link->shake, &link->theirs)) {
        refuse(link, PEER_REFUSED_HELLO, "it is no node, or one of another version",
               "let all nodes run the same version");
        return;
    }
    peer_proof(peers->key, PEER_CALLED, span_text(host->address), &link->mine, &link->theirs,
               proof);
    if (!proof_same(proof, link->shake + PEER_HELLO_BYTES)) {
        refuse_secret(link);
        return;
    }
    if (memcmp(link->theirs.run, host->run, PEER_RUN_BYTES) != 0) {
        peer_link_lose(link, "another node has that address now");
        return;
    }
    peer_proof(peers->key, PEER_CALLER, span_text(host->address), &link->mine, &link->theirs,
               proof);
    if (say_at_once(link, proof, sizeof(proof)))
        come_up(link);
}

static void connected(struct peer_link *link) {
    uint8_t hello[PEER_HELLO_BYTES];
    int error = peer_socket_connected(link->fd);
    if (error != 0) {
        lose_by_error(link, "it cannot be called", error);
        return;
    }
    peer_hello_write(&link->mine, hello);
    link->state = PEER_HELLOED;
    say_at_once(link, hello, sizeof(hello));
}

static void shake_read(struct peer_link *link) {
    uint32_t wanted = link->state == PEER_HELLOED    ? PEER_CHALLENGE_BYTES
                      : link->state == PEER_STRANGER ? PEER_HELLO_BYTES
                                                     : PROOF_BYTES;
    ssize_t len =
        peer_socket_receive(link->fd, link->shake + link->shake_len, wanted - link->shake_len);
    if (len < 0 && (errno == EAGAIN || errno == EINTR)) {
        link->in_ready = errno == EINTR;
        return;
    }
    if (len <= 0 && link->host == NULL) {
        refuse(link, PEER_REFUSED_ENDED, "it went before it had proved anything",
               "none needed for a look whether the port is open; else see what the other side "
               "says");
        return;
    }
    if (len <= 0) {
        peer_link_lose(link, "it ended the connection within the handshake");
        return;
    }
    link->shake_len += (uint32_t)len;
    if (link->shake_len < wanted)
        return;
    link->shake_len = 0;
    if (link->state == PEER_HELLOED)
        challenge_came(link);
    else if (link->state == PEER_STRANGER)
        hello_came(link);
    else
        proof_came(link);
}

/* --- what is written -------------------------------------------------------------------------- */

void peer_link_say(struct peer_link *link, const struct peer_head *head) {
    CHECK(peer_link_room(link, 0));
    uint32_t *len = link->begun ? &link->later_len : &link->out_len;
    peer_head_write(head, (uint8_t *)link->out + (link->begun ? PEER_OUT_BYTES : 0) + *len);
    *len += PEER_HEAD_BYTES;
}

void peer_link_begin(struct peer_link *link, const struct peer_head *head,
                     const struct chunk *body) {
    CHECK(!link->begun);
    peer_link_say(link, head);
    link->rest = body;
    link->rest_at = 0;
    link->begun = true;
}

bool peer_link_rest(struct peer_link *link) {
    while (link->rest != NULL) {
        uint32_t left = link->rest->len - link->rest_at;
        uint32_t used = link->out_len + PEER_OUT_SPARE;
        uint32_t room = used < PEER_OUT_BYTES ? PEER_OUT_BYTES - used : 0;
        uint32_t len = left < room ? left : room;
        memcpy(link->out + link->out_len, link->rest->text + link->rest_at, len);
        link->out_len += len;
        link->rest_at += len;
        if (len < left)
            return false;
        link->rest = link->rest->next;
        link->rest_at = 0;
    }
    /* What is spare has room for it. */
    memcpy(link->out + link->out_len, link->out + PEER_OUT_BYTES, link->later_len);
    link->out_len += link->later_len;
    link->later_len = 0;
    link->begun = false;
    return true;
}

/* What is in `out`, as far as the socket takes it. */
static void flush(struct peer_link *link) {
    uint32_t at = 0;
    while (at < link->out_len && !link->out_full) {
        ssize_t sent = peer_socket_send(link->fd, link->out + at, link->out_len - at);
        if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            lose_by_error(link, "it cannot be written to", errno);
            return;
        }
        link->out_full = sent < 0 && errno == EAGAIN;
        at += sent > 0 ? (uint32_t)sent : 0;
    }
    if (at != 0) {
        link->said_ns = link->peers->port.now_ns;
        memmove(link->out, link->out + at, link->out_len - at);
        link->out_len -= at;
    }
}

static bool write_next(struct peer_link *link) {
    return !list_empty(&link->queue) &&
           (link->host != NULL ? peer_away_write(link) : peer_guest_write(link));
}

static void link_write(struct peer_link *link) {
    bool over = false;
    while (link->state == PEER_UP && !over) {
        while (write_next(link))
            ;
        if (link->out_full || link->out_len == 0)
            return;
        flush(link);
        over = endpoint_slice_over(&link->peers->port.endpoint);
    }
}

/* --- what is read ----------------------------------------------------------------------------- */

static void frame_whole(struct peer_link *link) {
    struct chunk *body = link->body;
    link->body = NULL;
    switch ((enum peer_type)link->head.type) {
    case PEER_POLL:
        peer_guest_came(link, &link->head, body, link->skips && !link->large, link->large);
        break;
    case PEER_ANSWER:
        peer_away_answered(link, &link->head, body, link->skips);
        break;
    case PEER_CANCEL:
        peer_guest_cancel(link, &link->head);
        break;
    case PEER_RELEASE:
        peer_guest_release(link, link->head.number);
        break;
    case PEER_NO_FRAME:
    case PEER_PING:
    case PEER_TYPES:
        break;
    }
}

/* Only callers ask, and only the called answer. */
static bool may_say(const struct peer_link *link) {
    if (link->head.type == PEER_PING)
        return true;
    if (link->host != NULL)
        return link->head.type == PEER_ANSWER;
    return link->head.type == PEER_CANCEL || link->head.type == PEER_RELEASE ||
           (link->head.type == PEER_POLL && !peer_guest_known(link, link->head.number));
}

static void head_came(struct peer_link *link) {
    struct endpoint *endpoint = &link->peers->port.endpoint;
    const struct peer_head *head = &link->head;
    if (!may_say(link)) {
        refuse_frame(link);
        return;
    }
    link->skips = link->large = false;
    if (head->body_len == 0) {
        frame_whole(link);
        return;
    }
    link->large = head->type == PEER_POLL && head->body_len > endpoint->config->max_payload_bytes;
    link->skips =
        link->large || (head->type == PEER_ANSWER && !peer_away_wants(link, head->number));
    if (link->skips)
        return;
    link->body = chunk_get(endpoint, head->body_len, false);
    link->skips = SHORTAGE(link->body == NULL);
}

static void body_came(struct peer_link *link, struct span piece) {
    if (link->body != NULL) {
        memcpy(link->body->text + link->body->len, piece.at, piece.len);
        link->body->len += (uint32_t)piece.len;
    }
    if (link->reader.body_left == 0)
        frame_whole(link);
}

static void frames_take(struct peer_link *link) {
    struct span body;
    while (link->state == PEER_UP && link->in_at < link->in_len && peer_link_room(link, 0) &&
           !endpoint_slice_over(&link->peers->port.endpoint)) {
        struct span input = span_of(link->in + link->in_at, link->in_len - link->in_at);
        enum peer_step step = peer_read(&link->reader, &input, &link->head, &body);
        link->in_at = link->in_len - (uint32_t)input.len;
        if (step == PEER_STEP_HEAD)
            head_came(link);
        else if (step == PEER_STEP_BODY)
            body_came(link, body);
        else if (step == PEER_STEP_BAD)
            refuse_frame(link);
    }
}

static void ended(struct peer_link *link) {
    /* Nobody misses one that nothing waits for. */
    bool quiet = link->host != NULL ? link->host->away == 0 && list_empty(&link->queue)
                                    : list_empty(&link->guests);
    peer_link_lose(link, quiet ? NULL : "it ended the connection");
}

static void link_read(struct peer_link *link) {
    if (link->in_at == link->in_len) {
        if (!link->in_ready)
            return;
        ssize_t len = peer_socket_receive(link->fd, link->in, PEER_IN_BYTES);
        if (len == 0) {
            ended(link);
            return;
        }
        if (len < 0) {
            link->in_ready = errno == EINTR;
            if (errno != EAGAIN && errno != EINTR)
                lose_by_error(link, "it cannot be read", errno);
            return;
        }
        link->in_ready = len == PEER_IN_BYTES;
        link->in_at = 0;
        link->in_len = (uint32_t)len;
        link->heard_ns = link->peers->port.now_ns;
        if (link->host != NULL && link->host->tries != 0)
            link->host->tries = 0;
    }
    frames_take(link);
}

void peer_link_work(struct peer_link *link) {
    if (link->state == PEER_CONNECTING && !link->out_full)
        connected(link);
    while (link->in_ready && (link->state == PEER_HELLOED || link->state == PEER_STRANGER ||
                              link->state == PEER_CHALLENGED))
        shake_read(link);
    if (link->state == PEER_UP)
        link_read(link);
    link_write(link);
}

short peer_link_events(const struct peer_link *link) {
    bool reads = link->state != PEER_CONNECTING && link->in_at == link->in_len;
    return (short)((reads ? POLLIN : 0) | (link->out_full ? POLLOUT : 0));
}

/* --- time ------------------------------------------------------------------------------------- */

void peer_link_look(struct peer_link *link) {
    struct peer_port *peers = link->peers;
    uint64_t now_ns = peers->port.now_ns;
    if (link->state == PEER_GONE)
        return;
    if (link->state != PEER_UP) {
        if (now_ns - link->begun_ns < PEER_SHAKE_NS)
            return;
        if (link->host != NULL)
            peer_link_lose(link, "it did not answer within 5 s");
        else
            refuse(link, PEER_REFUSED_SLOW, "it proved nothing within 5 s",
                   "let nobody but nodes reach the address of --peer");
        return;
    }
    bool unread = link->in_ready && link->in_at == link->in_len;
    if (now_ns - link->heard_ns >= PEER_SILENT_NS && !unread) {
        peer_link_lose(link, "it has said nothing for 5 s");
        return;
    }
    if (now_ns - link->said_ns >= PEER_PING_NS && peer_link_room(link, 0)) {
        peer_link_say(link, &(struct peer_head){.type = PEER_PING});
        link->said_ns = now_ns;
    }
    if (link->host == NULL)
        return;
    if (link->host->away != 0 || !list_empty(&link->queue))
        link->used_ns = now_ns;
    else if (now_ns - link->used_ns >= PEER_IDLE_NS)
        peer_link_lose(link, NULL);
}
