#include "ha/redis/link.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/rand.h"
#include "core/base/shortage.h"
#include "core/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* What waits to be sent has so much room at first, and again when all has left and it had more than
 * OUT_BYTES_KEPT. */
#define OUT_BYTES_MIN (64 * 1024)
#define OUT_BYTES_KEPT (1024 * 1024)

bool link_init(struct link *link, const char *name, const struct redis_server *server,
               struct account *account, size_t reply_bytes_max) {
    *link = (struct link){.name = name, .server = server, .account = account, .fd = -1};
    link->in = memory_get(account, LINK_IN_BYTES);
    link->out = memory_get(account, OUT_BYTES_MIN);
    link->out_cap = OUT_BYTES_MIN;
    return resp_reader_init(&link->reader, account, reply_bytes_max) && link->in != NULL &&
           link->out != NULL;
}

/* Nothing waits to be sent any more. */
static void out_clear(struct link *link) {
    link->out_at = link->out_len = 0;
    if (link->out_cap <= OUT_BYTES_KEPT)
        return;
    char *less = memory_get(link->account, OUT_BYTES_MIN);
    if (less == NULL)
        return;
    memory_put(link->account, link->out, link->out_cap);
    link->out = less;
    link->out_cap = OUT_BYTES_MIN;
}

static void socket_end(struct link *link) {
    if (link->fd >= 0)
        redis_socket_close(link->fd);
    link->fd = -1;
    link->in_ready = link->out_ready = false;
    out_clear(link);
    link->input = SPAN("");
}

void link_fini(struct link *link) {
    if (link->account == NULL)
        return;
    socket_end(link);
    resp_reader_fini(&link->reader);
    if (link->in != NULL)
        memory_put(link->account, link->in, LINK_IN_BYTES);
    if (link->out != NULL)
        memory_put(link->account, link->out, link->out_cap);
    link->account = NULL;
}

/* --- the end --------------------------------------------------------------------------------- */

uint64_t link_retry_wait_ns(unsigned tries, uint64_t max_ns) {
    if (tries == 0)
        return rand_below(LINK_RETRY_FIRST_NS + 1);
    uint64_t wait_ns = LINK_RETRY_MIN_NS;
    for (unsigned i = 1; i < tries && wait_ns < max_ns; i++)
        wait_ns *= 2;
    if (wait_ns > max_ns)
        wait_ns = max_ns;
    return wait_ns - rand_below(wait_ns / 2 + 1);
}

void link_lose(struct link *link, uint64_t now_ns, const char *why) {
    if (link->state == LINK_DOWN)
        return;
    if (why != link->why)
        snprintf(link->why, sizeof(link->why), "%s", why);
    socket_end(link);
    link->was_up = link->state == LINK_UP;
    link->state = LINK_DOWN;
    link->retry_ns = now_ns;
    if (link->was_up && now_ns - link->up_ns >= LINK_GOOD_NS)
        link->tries = 0;
    if (!link->was_up) {
        link->address = (link->address + 1) % link->server->address_count;
        if (++link->failed < link->server->address_count)
            return;
    }
    link->failed = 0;
    link->retry_ns +=
        link_retry_wait_ns(link->tries++, link->was_up ? LINK_AWAY_MAX_NS : LINK_RETRY_MAX_NS);
}

static void lose_by_error(struct link *link, uint64_t now_ns, const char *what, int error) {
    char why[160];
    snprintf(why, sizeof(why), "%s: %s", what, strerror(error));
    link_lose(link, now_ns, why);
}

/* --- the beginning --------------------------------------------------------------------------- */

static void greet(struct link *link, uint64_t now_ns) {
    const struct redis_url *url = &link->server->url;
    char db[16];
    snprintf(db, sizeof(db), "%u", url->db);
    const struct {
        bool sent;
        unsigned count;
        struct span words[3];
    } commands[] = {
        {url->password[0] != '\0',
         url->user[0] != '\0' ? 3 : 2,
         {SPAN_INIT("AUTH"), span_text(url->user[0] != '\0' ? url->user : url->password),
          span_text(url->password)}},
        {url->db != 0, 2, {SPAN_INIT("SELECT"), span_text(db)}},
        {true, 3, {SPAN_INIT("CLIENT"), SPAN_INIT("SETNAME"), span_text(link->server->client)}},
        {true, 1, {SPAN_INIT("ROLE")}},
        {true, 1, {SPAN_INIT("PING")}},
    };
    struct builder out = builder_over(link->out, link->out_cap);
    link->state = LINK_GREETING;
    link->answers_due = 0;
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (!commands[i].sent)
            continue;
        resp_command(&out, commands[i].words, commands[i].count);
        link->answers_due++;
    }
    CHECK(!out.full, "a greeting is too long");
    link->out_len = out.len;
    link_send(link, now_ns);
}

static void try(struct link *link, uint64_t now_ns) {
    const struct redis_server *server = link->server;
    link->begun_ns = now_ns;
    link->state = LINK_CONNECTING;
    if (SHORTAGE(!resp_reader_reset(&link->reader))) {
        link_lose(link, now_ns, "no memory");
        return;
    }
    link->fd = redis_socket_open(&server->addresses[link->address]);
    if (link->fd < 0)
        lose_by_error(link, now_ns, "cannot connect", errno);
}

static bool begins(struct span text, const char *with) {
    size_t len = strlen(with);
    return text.len >= len && memcmp(text.at, with, len) == 0;
}

/* An answer to ROLE, such as ["master", ...]? */
static bool is_role(const struct resp_reply *reply, const char *role) {
    return reply->type == RESP_ARRAY && reply->item_count > 0 &&
           reply->items[0].type == RESP_STRING && span_equal(reply->items[0].text, span_text(role));
}

/* What came in answer to the greeting. */
static void greeted(struct link *link, const struct resp_reply *reply, uint64_t now_ns) {
    char why[160];
    bool is_last = --link->answers_due == 0;
    bool is_denied = reply->type == RESP_ERROR &&
                     (begins(reply->text, "NOPERM") || begins(reply->text, "ERR unknown command"));
    if (is_denied && !is_last)
        return; /* an ACL forbids CLIENT or ROLE: done without. PING, the last one, is needed */
    if (reply->type == RESP_ERROR) {
        snprintf(why, sizeof(why), "Redis answers: %.*s", SPAN_ARG(reply->text));
        link_lose(link, now_ns, why);
    } else if (is_role(reply, "slave") && !link->server->any_role) {
        link_lose(link, now_ns, "it is a replica: what is published there reaches no other node");
    } else if (is_role(reply, "sentinel")) {
        link_lose(link, now_ns, "it is a Sentinel: name the Redis server itself");
    } else if (is_last) {
        link->state = LINK_UP;
        link->connections++;
        link->up_ns = now_ns;
        link->failed = 0;
        link_bide(link, now_ns);
    }
}

/* --- bytes ----------------------------------------------------------------------------------- */

void link_send(struct link *link, uint64_t now_ns) {
    while (link->state >= LINK_GREETING && link->out_at < link->out_len) {
        ssize_t sent =
            redis_socket_send(link->fd, link->out + link->out_at, link->out_len - link->out_at);
        if (sent < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (sent < 0) {
            lose_by_error(link, now_ns, "cannot send", errno);
            return;
        }
        link->out_at += (size_t)sent;
    }
    if (link->out_len != 0 && link->out_at == link->out_len)
        out_clear(link);
}

/* Receives once, if there may be something. False: nothing came. */
static bool receive(struct link *link, uint64_t now_ns) {
    if (!link->in_ready)
        return false;
    ssize_t got = redis_socket_receive(link->fd, link->in, LINK_IN_BYTES);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        link->in_ready = false;
        return false;
    }
    if (got <= 0) {
        if (got < 0)
            lose_by_error(link, now_ns, "cannot receive", errno);
        else
            link_lose(link, now_ns, "Redis closed the connection");
        return false;
    }
    link->in_ready = got == LINK_IN_BYTES; /* there is more, or poll will say so */
    link->input = span_of(link->in, (size_t)got);
    link_bide(link, now_ns);
    return true;
}

static bool reply_next(struct link *link, struct resp_reply *reply, uint64_t now_ns) {
    for (;;) {
        enum resp_event event = resp_next(&link->reader, &link->input, reply);
        if (event == RESP_REPLY)
            return true;
        if (event == RESP_BROKEN) {
            link_lose(link, now_ns, link->reader.why);
            return false;
        }
        if (!receive(link, now_ns))
            return false;
    }
}

bool link_next(struct link *link, struct resp_reply *reply, uint64_t now_ns) {
    return link->state == LINK_UP && reply_next(link, reply, now_ns);
}

/* --- a turn ---------------------------------------------------------------------------------- */

bool link_step(struct link *link, uint64_t now_ns) {
    struct resp_reply reply;
    bool was_up = link->state == LINK_UP;
    if (link->state == LINK_DOWN && now_ns >= link_due_ns(link))
        try(link, now_ns);
    if (link->state == LINK_CONNECTING && link->out_ready) {
        int error = redis_socket_connected(link->fd);
        if (error != 0)
            lose_by_error(link, now_ns, "cannot connect", error);
        else
            greet(link, now_ns);
    }
    while (link->state == LINK_GREETING && reply_next(link, &reply, now_ns))
        greeted(link, &reply, now_ns);
    if ((link->state == LINK_CONNECTING || link->state == LINK_GREETING) &&
        now_ns >= link->begun_ns + LINK_CONNECT_NS)
        link_lose(link, now_ns, "it does not answer");
    if (link->state == LINK_UP && link->asked_ns != 0 && !link->in_ready &&
        now_ns >= link->asked_ns + LINK_ANSWER_NS)
        link_lose(link, now_ns, "it does not answer");
    return !was_up && link->state == LINK_UP;
}

bool link_wants_ping(const struct link *link, uint64_t now_ns) {
    return link->state == LINK_UP && link->asked_ns == 0 && now_ns >= link->ask_ns;
}

void link_asked(struct link *link, uint64_t now_ns, bool sent) {
    link->asked_ns = sent ? now_ns : 0;
    link->ask_ns = now_ns + LINK_ASK_NS;
}

void link_bide(struct link *link, uint64_t now_ns) {
    link_asked(link, now_ns, false);
}

/* --- commands -------------------------------------------------------------------------------- */

bool link_room(struct link *link, size_t bytes, struct builder *out) {
    CHECK(link->state == LINK_UP, "a command for a link that is not up");
    size_t waiting = link->out_len - link->out_at;
    if (SHORTAGE(waiting + bytes > LINK_OUT_BYTES_MAX))
        return false;
    /* Only where that frees much: a socket that takes little would have all of it moved each time.
     */
    if (link->out_cap - link->out_len < bytes && link->out_at >= link->out_cap / 4) {
        memmove(link->out, link->out + link->out_at, waiting);
        link->out_at = 0;
        link->out_len = waiting;
    }
    if (link->out_cap - link->out_len < bytes) {
        size_t cap = link->out_cap;
        while (cap - link->out_len < bytes)
            cap *= 2;
        char *more = memory_grow(link->account, link->out, link->out_cap, cap);
        if (SHORTAGE(more == NULL))
            return false;
        link->out = more;
        link->out_cap = cap;
    }
    *out = builder_over(link->out + link->out_len, link->out_cap - link->out_len);
    return true;
}

void link_put(struct link *link, const struct builder *out) {
    CHECK(!out->full, "a command is longer than its room");
    link->out_len += out->len;
}

bool link_command(struct link *link, const struct span *words, unsigned count) {
    struct builder out;
    if (!link_room(link, resp_command_bytes(words, count), &out))
        return false;
    resp_command(&out, words, count);
    link_put(link, &out);
    return true;
}

/* --- waiting --------------------------------------------------------------------------------- */

struct pollfd link_poll(const struct link *link) {
    short events = POLLIN;
    if (link->state == LINK_CONNECTING || link->out_at != link->out_len)
        events |= POLLOUT;
    return (struct pollfd){.fd = link->fd, .events = events};
}

void link_polled(struct link *link, short revents) {
    link->in_ready |= (revents & (POLLIN | POLLHUP | POLLERR)) != 0;
    link->out_ready = (revents & (POLLOUT | POLLHUP | POLLERR)) != 0;
}

uint64_t link_due_ns(const struct link *link) {
    switch (link->state) {
    case LINK_DOWN:
        return link->server->address_count == 0 ? CLOCK_NEVER : link->retry_ns;
    case LINK_CONNECTING:
    case LINK_GREETING:
        return link->begun_ns + LINK_CONNECT_NS;
    case LINK_UP:
        break;
    }
    return link->asked_ns == 0 ? link->ask_ns : link->asked_ns + LINK_ANSWER_NS;
}
