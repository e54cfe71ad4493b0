/* peer_away.c - polls of this node's clients at other nodes, where their sessions live; see
 * peer_port.h.
 *
 * While a poll is here, its `passed` is this file's. It is in the table and in `order` until it is
 * answered, or its client has gone, and in the queue of a connection while something of it is to be
 * written. It is held in no memory but its own. */
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/chain.h"
#include "core/server.h"
#include "ha/peer/peer_port.h"

/* What is to be written of it. */
enum { TODO_ASK = 1, TODO_RELEASE = 2, TODO_CANCEL = 4 };

static struct poll *poll_of_queue(struct list *at) {
    return container_of(at, struct poll, passed.queue);
}

static struct poll *find(const struct peer_port *peers, uint64_t number) {
    struct table_node *at = table_first(&peers->away, number);
    return at == NULL ? NULL : container_of(at, struct poll, passed.node);
}

/* --- back to the front ------------------------------------------------------------------------ */

static void go_back(struct peer_port *peers, struct poll *poll) {
    poll->passed.is_here = false;
    chunk_put(poll->body);
    poll->body = NULL;
    relay_pass(&peers->port.endpoint, &poll->go, poll->go.owner, poll_back);
}

static void cancel_back(struct peer_port *peers, struct poll *poll) {
    if (poll->passed.is_here) { /* nobody waits for this */
        poll->status = 400;
        poll->answer = POLL_ANSWER_NONE;
        go_back(peers, poll);
    }
    relay_pass(&peers->port.endpoint, &poll->cancel, poll->cancel.owner, poll_cancel_back);
}

static void fail(struct peer_port *peers, struct poll *poll, enum peer_failure why) {
    stats_add(&peers->figures.failed[why], 1);
    poll->status = why == PEER_FAILED_FULL ? 503 : 400;
    poll->answer = why == PEER_FAILED_FULL ? POLL_ANSWER_STARVED : POLL_ANSWER_ERROR;
    poll->code = 1;
    go_back(peers, poll);
}

/* It is not waited for any more. */
static void leave(struct peer_port *peers, struct poll *poll) {
    struct peer_host *host = poll->passed.host;
    table_remove(&peers->away, &poll->passed.node);
    list_remove(&poll->passed.order);
    poll->passed.host = NULL;
    host->away--;
    stats_sub(&peers->figures.away, 1);
}

/* --- to its home ------------------------------------------------------------------------------ */

static bool enter(struct peer_port *peers, struct poll *poll, struct peer_host *host) {
    if (SHORTAGE(host->away >= PEER_AWAY_MAX || peers->away.count >= PEER_AWAY_ALL_MAX))
        return false;
    poll->passed.node.hash = ++peers->number;
    if (SHORTAGE(!table_add(&peers->away, &poll->passed.node)))
        return false;
    poll->passed.host = host;
    poll->passed.todo = TODO_ASK;
    if (peers->leaves && poll->ask.kind == POLL_GET)
        poll->passed.todo |= TODO_RELEASE;
    host->away++;
    stats_add(&peers->figures.away, 1);
    stats_add(&peers->figures.passed, 1);
    list_add_tail(&peers->order, &poll->passed.order);
    list_add_tail(&host->call->queue, &poll->passed.queue);
    return true;
}

/* Asks the first node from `host` on that can be asked. */
static void ask(struct peer_port *peers, struct poll *poll, struct peer_host *host) {
    enum peer_failure why = PEER_FAILED_UNKNOWN;
    for (; host != NULL; host = peer_host_next(peers, poll->ask.sid.node, host)) {
        if (host->address[0] == '\0') {
            why = PEER_FAILED_UNSET;
            peer_host_tell(peers, host, "it has no --peer");
        } else if (!peer_call(peers, host)) {
            why = PEER_FAILED_UNREACHED;
        } else if (enter(peers, poll, host)) {
            return;
        } else {
            why = PEER_FAILED_FULL;
        }
    }
    fail(peers, poll, why);
}

static void begin(struct peer_port *peers, struct poll *poll) {
    const struct config *config = peers->port.config;
    poll->passed = (struct poll_away){.is_here = true,
                                      .due_ns = peers->port.now_ns + config->heartbeat_ns +
                                                config->heartbeat_timeout_ns + PEER_SLACK_NS};
    list_init(&poll->passed.order);
    list_init(&poll->passed.queue);
    if (peers->port.stopped) {
        fail(peers, poll, PEER_FAILED_DRAINING);
        return;
    }
    if (peer_host_next(peers, poll->ask.sid.node, NULL) == NULL)
        peer_hosts_look(peers, true);
    ask(peers, poll, peer_host_next(peers, poll->ask.sid.node, NULL));
}

/* --- its client has gone ---------------------------------------------------------------------- */

static bool is_begun(const struct peer_link *link, const struct poll *poll) {
    return link->begun && link->queue.next == &poll->passed.queue;
}

static void cancel(struct peer_port *peers, struct poll *poll) {
    struct peer_host *host = poll->passed.host;
    if (host != NULL) {
        leave(peers, poll);
        if ((poll->passed.todo & TODO_ASK) && !is_begun(host->call, poll)) {
            list_remove(&poll->passed.queue); /* its home has not heard of it */
            cancel_back(peers, poll);
            return;
        }
    } else {
        /* Its answer is on its way, to nobody: the session is to end. */
        host = peer_host_next(peers, poll->ask.sid.node, NULL);
        while (host != NULL && (host->call == NULL || host->call->state != PEER_UP))
            host = peer_host_next(peers, poll->ask.sid.node, host);
    }
    if (host == NULL || peers->port.stopped) {
        cancel_back(peers, poll);
        return;
    }
    poll->passed.todo = (uint8_t)((poll->passed.todo & TODO_ASK) | TODO_CANCEL);
    if (!list_linked(&poll->passed.queue))
        list_add_tail(&host->call->queue, &poll->passed.queue);
}

void peer_away_relay(struct peer_port *peers, struct relay *relay) {
    if (relay->run == poll_arrive)
        begin(peers, container_of(relay, struct poll, go));
    else
        cancel(peers, container_of(relay, struct poll, cancel));
}

/* --- what is written -------------------------------------------------------------------------- */

static struct peer_head head_of(const struct poll *poll, enum peer_type type) {
    return (struct peer_head){
        .type = (uint8_t)type, .number = poll->passed.node.hash, .ask = poll->ask};
}

static void head_say(struct peer_link *link, const struct poll *poll, enum peer_type type) {
    struct peer_head head = head_of(poll, type);
    peer_link_say(link, &head);
}

/* All of the question is written. Its body stays while another node may have to be asked. */
static void asked(struct peer_link *link, struct poll *poll) {
    struct peer_host *next = peer_host_next(link->peers, poll->ask.sid.node, link->host);
    poll->passed.todo &= (uint8_t)~TODO_ASK;
    if (next != NULL)
        return;
    chunk_put(poll->body);
    poll->body = NULL;
}

bool peer_away_write(struct peer_link *link) {
    struct poll *poll = poll_of_queue(link->queue.next);
    if (link->begun) {
        if (!peer_link_rest(link))
            return false;
        asked(link, poll);
    }
    if (poll->passed.todo != 0 && !peer_link_room(link, PEER_OUT_SPARE))
        return false;
    if (poll->passed.todo & TODO_ASK) {
        struct peer_head head = head_of(poll, PEER_POLL);
        head.body_len = poll->body == NULL ? 0 : poll->body->len;
        peer_link_begin(link, &head, poll->body);
    } else if (poll->passed.todo & TODO_RELEASE) {
        head_say(link, poll, PEER_RELEASE);
        poll->passed.todo &= (uint8_t)~TODO_RELEASE;
    } else if (poll->passed.todo & TODO_CANCEL) {
        head_say(link, poll, PEER_CANCEL);
        list_remove(&poll->passed.queue);
        cancel_back(link->peers, poll);
    } else {
        list_remove(&poll->passed.queue);
    }
    return true;
}

/* --- what is answered ------------------------------------------------------------------------- */

bool peer_away_wants(const struct peer_link *link, uint64_t number) {
    const struct poll *poll = find(link->peers, number);
    return poll != NULL && poll->passed.host == link->host;
}

void peer_away_answered(struct peer_link *link, const struct peer_head *head, struct chunk *body,
                        bool starved) {
    struct peer_port *peers = link->peers;
    struct poll *poll = find(peers, head->number);
    if (poll == NULL || poll->passed.host != link->host) {
        chunk_put(body); /* its client has gone meanwhile */
        return;
    }
    if (poll->passed.todo & TODO_ASK) {
        chunk_put(body);
        peer_link_lose(link, "it answers what it was not asked");
        return;
    }
    leave(peers, poll);
    list_remove(&poll->passed.queue);
    bool unknown = head->answer == POLL_ANSWER_ERROR && head->code == 1;
    struct peer_host *next = unknown ? peer_host_next(peers, poll->ask.sid.node, link->host) : NULL;
    if (next != NULL && (poll->ask.kind != POLL_POST || poll->body != NULL)) {
        ask(peers, poll, next);
        return;
    }
    stats_add(&peers->figures.answered, 1);
    poll->status = starved ? 503 : head->status;
    poll->answer = starved ? POLL_ANSWER_STARVED : head->answer;
    poll->code = head->code;
    poll->chunks = body;
    poll->answer_bytes = body == NULL ? 0 : body->len;
    go_back(peers, poll);
}

/* --- the end ---------------------------------------------------------------------------------- */

void peer_away_lost(struct peer_link *link, enum peer_failure why) {
    struct peer_port *peers = link->peers;
    struct peer_host *host = link->host;
    struct list gone, *at;
    link->begun = false;
    link->rest = NULL;
    while ((at = list_pop(&link->queue)) != NULL) {
        struct poll *poll = poll_of_queue(at);
        if (poll->passed.host == NULL)
            cancel_back(peers, poll);
    }
    list_init(&gone);
    list_append(&gone, &peers->order);
    while ((at = list_pop(&gone)) != NULL) {
        struct poll *poll = container_of(at, struct poll, passed.order);
        if (poll->passed.host != host) {
            list_add_tail(&peers->order, at);
            continue;
        }
        leave(peers, poll);
        struct peer_host *next = peer_host_next(peers, poll->ask.sid.node, host);
        if (why == PEER_FAILED_UNREACHED && next != NULL) /* nothing of it was said yet */
            ask(peers, poll, next);
        else
            fail(peers, poll, why);
    }
}

void peer_away_look(struct peer_port *peers) {
    while (!list_empty(&peers->order)) {
        struct poll *poll = container_of(peers->order.next, struct poll, passed.order);
        struct peer_link *link = ((struct peer_host *)poll->passed.host)->call;
        if (poll->passed.due_ns > peers->port.now_ns)
            return;
        if (is_begun(link, poll)) {
            peer_link_lose(link, "it has taken nothing for longer than a poll waits");
            continue;
        }
        /* The session may not go on to answer it. */
        if (link->state == PEER_UP && peer_link_room(link, 0) && !(poll->passed.todo & TODO_ASK))
            head_say(link, poll, PEER_CANCEL);
        list_remove(&poll->passed.queue);
        leave(peers, poll);
        fail(peers, poll, PEER_FAILED_LATE);
    }
}

void peer_away_release(struct peer_port *peers) {
    for (struct list *at = peers->order.next; at != &peers->order; at = at->next) {
        struct poll *poll = container_of(at, struct poll, passed.order);
        struct peer_host *host = poll->passed.host;
        if (poll->ask.kind != POLL_GET)
            continue;
        poll->passed.todo |= TODO_RELEASE;
        if (!list_linked(&poll->passed.queue))
            list_add_tail(&host->call->queue, &poll->passed.queue);
    }
}

void peer_away_init(struct peer_port *peers) {
    table_init(&peers->away);
    list_init(&peers->order);
}

void peer_away_stop(struct peer_port *peers) {
    CHECK(list_empty(&peers->order));
    table_fini(&peers->away);
}
