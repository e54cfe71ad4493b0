#include "ha/redis/redis_sentinel.h"

#include "core/base/log.h"
#include "core/stats.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static void place_text(const struct url_place *place, char *text, size_t cap) {
    struct builder out = builder_over(text, cap - 1);
    url_place_write(&out, place);
    text[out.len] = '\0';
}

void redis_sentinel_init(struct redis_sentinel *sentinel) {
    memset(sentinel, 0, sizeof(*sentinel));
    sentinel->fd = -1;
}

/* --- the end --------------------------------------------------------------------------------- */

static const char reach[] = "see that it runs and can be reached; this node goes on trying";

static void lost_log(const struct url_place *place, const char *problem, const char *remedy) {
    char text[URL_PLACE_WRITTEN_MAX];
    place_text(place, text, sizeof(text));
    log_event(LOG_WARN, "redis_sentinel_lost", LOG_STR("sentinel", text),
              LOG_STR("problem", problem),
              LOG_STR("meaning", "the next one is asked; a failover of Redis is not followed while "
                                 "none answers"),
              LOG_STR("remedy", remedy));
}

/* This one is given up, and the next one tried: at once, unless all were lost in a row. */
static void lose(struct redis_sentinel *sentinel, uint64_t now_ns, const char *why,
                 const char *remedy) {
    if (sentinel->answered && now_ns - sentinel->known_ns >= LINK_GOOD_NS) {
        sentinel->failed = sentinel->tries = 0;
        sentinel->tells = true;
        sentinel->told_ns = now_ns;
    }
    if (sentinel->tells) {
        lost_log(sentinel->addresses[sentinel->at].place, why, remedy);
        sentinel->told = true;
    }
    if (sentinel->fd >= 0)
        redis_socket_close(sentinel->fd);
    sentinel->fd = -1;
    sentinel->state = SENTINEL_DOWN;
    sentinel->answered = sentinel->auth_due = sentinel->auth_sent = false;
    stats_add(&sentinel->figures.lost, 1);
    atomic_store_explicit(&sentinel->figures.connected, 0, memory_order_relaxed);
    sentinel->at = (sentinel->at + 1) % sentinel->address_count;
    sentinel->retry_ns = now_ns;
    if (++sentinel->failed < sentinel->address_count)
        return;
    sentinel->failed = 0;
    sentinel->retry_ns += link_retry_wait_ns(sentinel->tries++, LINK_RETRY_MAX_NS);
    sentinel->tells = now_ns - sentinel->told_ns >= SENTINEL_TELL_NS;
    if (sentinel->tells)
        sentinel->told_ns = now_ns;
}

static void lose_by_error(struct redis_sentinel *sentinel, uint64_t now_ns, const char *what,
                          int error) {
    char why[160];
    snprintf(why, sizeof(why), "%s: %s", what, strerror(error));
    lose(sentinel, now_ns, why, reach);
}

/* --- questions ------------------------------------------------------------------------------- */

static void say(struct redis_sentinel *sentinel, const struct span *words, unsigned count,
                uint64_t now_ns) {
    char text[REDIS_URL_USER_BYTES_MAX + URL_PASSWORD_BYTES_MAX + 128];
    struct builder out = builder_over(text, sizeof(text));
    resp_command(&out, words, count);
    ssize_t sent = redis_socket_send(sentinel->fd, out.at, out.len);
    if (sent < 0)
        lose_by_error(sentinel, now_ns, "cannot send", errno);
    else if ((size_t)sent != out.len)
        lose(sentinel, now_ns, "it takes no question", reach);
}

static void ask(struct redis_sentinel *sentinel, uint64_t now_ns) {
    const struct span words[] = {SPAN("SENTINEL"), SPAN("GET-MASTER-ADDR-BY-NAME"), sentinel->name};
    sentinel->state = SENTINEL_ASKED;
    sentinel->asked_ns = now_ns;
    say(sentinel, words, 3, now_ns);
}

static void authenticate(struct redis_sentinel *sentinel, uint64_t now_ns) {
    const struct redis_url *url = &sentinel->server->url;
    const struct span words[] = {SPAN("AUTH"), span_text(url->user), span_text(url->password)};
    const struct span without_user[] = {words[0], words[2]};
    bool has_user = url->user[0] != '\0';
    sentinel->auth_due = sentinel->auth_sent = true;
    say(sentinel, has_user ? words : without_user, has_user ? 3 : 2, now_ns);
    if (sentinel->state != SENTINEL_DOWN)
        ask(sentinel, now_ns);
}

static void begin(struct redis_sentinel *sentinel, uint64_t now_ns) {
    sentinel->state = SENTINEL_CONNECTING;
    sentinel->asked_ns = now_ns;
    if (!resp_reader_reset(&sentinel->reader)) {
        lose(sentinel, now_ns, "no memory", "raise --memory");
        return;
    }
    sentinel->fd = redis_socket_open(&sentinel->addresses[sentinel->at].address);
    if (sentinel->fd < 0)
        lose_by_error(sentinel, now_ns, "cannot connect", errno);
}

static void connected(struct redis_sentinel *sentinel, uint64_t now_ns) {
    int error = redis_socket_connected(sentinel->fd);
    if (error != 0)
        lose_by_error(sentinel, now_ns, "cannot connect", error);
    else
        ask(sentinel, now_ns);
}

/* --- answers --------------------------------------------------------------------------------- */

static bool begins(struct span text, const char *with) {
    size_t len = strlen(with);
    return text.len >= len && memcmp(text.at, with, len) == 0;
}

/* A host and a port, both as strings, in numbers. */
static bool address_parse(struct span host, struct span port, struct url_place *place,
                          struct port_address *address) {
    char text[INET6_ADDRSTRLEN] = "";
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    uint32_t number = 0;
    for (size_t i = 0; i < port.len && number <= 65535; i++) {
        if (port.at[i] < '0' || port.at[i] > '9')
            return false;
        number = number * 10 + (uint32_t)(port.at[i] - '0');
    }
    if (host.len >= sizeof(text) || number == 0 || number > 65535)
        return false;
    memcpy(text, host.at, host.len);
    if (strlen(text) != host.len)
        return false;
    *place = (struct url_place){.port = (uint16_t)number};
    *address = (struct port_address){.len = 0};
    v4.sin_port = v6.sin6_port = htons(place->port);
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        address->len = sizeof(v4);
        memcpy(&address->address, &v4, sizeof(v4));
        inet_ntop(AF_INET, &v4.sin_addr, place->host, sizeof(place->host));
    } else if (inet_pton(AF_INET6, text, &v6.sin6_addr) == 1) {
        place->is_v6 = true;
        address->len = sizeof(v6);
        memcpy(&address->address, &v6, sizeof(v6));
        inet_ntop(AF_INET6, &v6.sin6_addr, place->host, sizeof(place->host));
    }
    return address->len != 0;
}

/* Another server, or the first. */
static void moved(struct redis_sentinel *sentinel, const struct url_place *place,
                  const struct port_address *address, uint64_t now_ns) {
    struct redis_server *server = sentinel->server;
    char from[URL_PLACE_WRITTEN_MAX], to[URL_PLACE_WRITTEN_MAX], by[URL_PLACE_WRITTEN_MAX];
    bool first = server->address_count == 0;
    place_text(&server->url.place, from, sizeof(from));
    place_text(place, to, sizeof(to));
    place_text(sentinel->addresses[sentinel->at].place, by, sizeof(by));
    server->url.kind = REDIS_URL_PLAIN;
    server->url.place = *place;
    server->addresses[0] = *address;
    server->address_count = 1;
    struct builder text = builder_over(server->text, sizeof(server->text) - 1);
    redis_url_write(&text, &server->url);
    server->text[text.len] = '\0';
    sentinel->moved_ns = now_ns;
    if (first)
        return;
    stats_add(&sentinel->figures.failovers, 1);
    log_event(LOG_WARN, "redis_failover", LOG_STR("from", from), LOG_STR("to", to),
              LOG_SPAN("name", sentinel->name), LOG_STR("sentinel", by));
}

/* True: the server is another one now. */
static bool named(struct redis_sentinel *sentinel, const struct url_place *place,
                  const struct port_address *address, uint64_t now_ns) {
    const struct redis_server *server = sentinel->server;
    bool first = server->address_count == 0, same;
    same = !first && server->url.port == place->port && strcmp(server->url.host, place->host) == 0;
    sentinel->state = SENTINEL_KNOWS;
    if (!sentinel->answered) {
        sentinel->answered = true;
        sentinel->known_ns = now_ns;
        atomic_store_explicit(&sentinel->figures.connected, 1, memory_order_relaxed);
    }
    /* Not more often, whatever they say: each time all links are lost. */
    bool moves = !same && (first || now_ns - sentinel->moved_ns >= SENTINEL_ASK_NS);
    if (moves)
        moved(sentinel, place, address, now_ns);
    if (first || sentinel->told) {
        char by[URL_PLACE_WRITTEN_MAX];
        place_text(sentinel->addresses[sentinel->at].place, by, sizeof(by));
        log_event(LOG_INFO, "redis_sentinel_connected", LOG_STR("sentinel", by),
                  LOG_SPAN("name", sentinel->name), LOG_STR("redis", server->text));
        sentinel->told = false;
    }
    return moves;
}

static void refused(struct redis_sentinel *sentinel, struct span error, uint64_t now_ns) {
    char why[160];
    snprintf(why, sizeof(why), "it answers: %.*s", SPAN_ARG(error));
    if (begins(error, "ERR unknown command"))
        lose(sentinel, now_ns, why,
             "it is no Sentinel but a Redis server, perhaps: name Sentinels in --redis");
    else if (begins(error, "NOAUTH") || begins(error, "WRONGPASS") || begins(error, "ERR AUTH"))
        lose(sentinel, now_ns, why,
             "let the Sentinels have no password, or the user and password of --redis");
    else
        lose(sentinel, now_ns, why, "look at the log of that Sentinel");
}

/* One reply. True: the server is another one now. */
static bool replied(struct redis_sentinel *sentinel, const struct resp_reply *reply,
                    uint64_t now_ns) {
    const struct redis_url *url = &sentinel->server->url;
    const struct resp_item *items = reply->items;
    struct url_place place;
    struct port_address address;
    char why[200];
    if (sentinel->state != SENTINEL_ASKED) {
        lose(sentinel, now_ns, "it answers what it was not asked", reach);
    } else if (reply->type == RESP_ERROR && begins(reply->text, "NOAUTH") && !sentinel->auth_sent &&
               url->password[0] != '\0') {
        authenticate(sentinel, now_ns);
    } else if (reply->type == RESP_ERROR) {
        refused(sentinel, reply->text, now_ns);
    } else if (sentinel->auth_due) {
        sentinel->auth_due = false;
    } else if (reply->type == RESP_NIL) {
        snprintf(why, sizeof(why), "it knows no server by the name %.*s", SPAN_ARG(sentinel->name));
        lose(sentinel, now_ns, why,
             "let the name at the end of --redis be the one of `sentinel monitor`");
    } else if (reply->type != RESP_ARRAY || reply->item_count != 2 ||
               items[0].type != RESP_STRING || items[1].type != RESP_STRING) {
        lose(sentinel, now_ns, "its answer is no address and port", reach);
    } else if (!address_parse(items[0].text, items[1].text, &place, &address)) {
        snprintf(why, sizeof(why), "it names a host and no address, or no port: %.*s port %.*s",
                 (int)(items[0].text.len < 80 ? items[0].text.len : 80), items[0].text.at,
                 (int)(items[1].text.len < 8 ? items[1].text.len : 8), items[1].text.at);
        lose(sentinel, now_ns, why,
             "set `sentinel announce-hostnames no` on all Sentinels, and name servers there by "
             "their addresses");
    } else {
        return named(sentinel, &place, &address, now_ns);
    }
    return false;
}

/* What has come. True: the server is another one now. */
static bool hear(struct redis_sentinel *sentinel, uint64_t now_ns) {
    char bytes[SENTINEL_REPLY_BYTES_MAX];
    bool moves = false;
    struct resp_reply reply;
    ssize_t got = redis_socket_receive(sentinel->fd, bytes, sizeof(bytes));
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (got < 0)
        lose_by_error(sentinel, now_ns, "cannot receive", errno);
    else if (got == 0)
        lose(sentinel, now_ns, "it closed the connection", reach);
    struct span input = span_of(bytes, got > 0 ? (size_t)got : 0);
    while (sentinel->state != SENTINEL_DOWN) {
        enum resp_event event = resp_next(&sentinel->reader, &input, &reply);
        if (event == RESP_MORE)
            break;
        if (event == RESP_BROKEN)
            lose(sentinel, now_ns, sentinel->reader.why, "see that it is a Sentinel");
        else
            moves |= replied(sentinel, &reply, now_ns);
    }
    return moves;
}

/* --- a turn ---------------------------------------------------------------------------------- */

bool redis_sentinel_open(struct redis_sentinel *sentinel, struct redis_server *server,
                         struct account *account, uint64_t now_ns, char *problem,
                         size_t problem_cap) {
    const struct redis_url *url = &server->url;
    char why[160] = "";
    sentinel->server = server;
    sentinel->name = span_text(url->name);
    snprintf(server->text, sizeof(server->text), "%s, by Sentinel", url->name);
    for (unsigned i = 0; i < url->sentinel_count; i++) {
        const struct url_place *place = &url->sentinels[i];
        struct port_address found[REDIS_ADDRESSES_MAX];
        unsigned count = redis_socket_resolve(place->host, place->port, found, why, sizeof(why));
        if (count == 0)
            lost_log(place, why, "correct the name, or give an address, and restart this node");
        for (unsigned n = 0; n < count; n++)
            sentinel->addresses[sentinel->address_count++] =
                (struct sentinel_address){found[n], place};
    }
    if (sentinel->address_count == 0) {
        snprintf(problem, problem_cap,
                 "--redis names no Sentinel with an address (%s: %s): correct the names, or give "
                 "addresses",
                 url->sentinels[url->sentinel_count - 1].host, why);
        return false;
    }
    if (!resp_reader_init(&sentinel->reader, account, SENTINEL_REPLY_BYTES_MAX)) {
        snprintf(problem, problem_cap, "no memory for the connection to Sentinel: raise --memory");
        return false;
    }
    sentinel->retry_ns = sentinel->told_ns = now_ns;
    sentinel->tells = true;
    return true;
}

void redis_sentinel_fini(struct redis_sentinel *sentinel) {
    if (sentinel->fd >= 0)
        redis_socket_close(sentinel->fd);
    sentinel->fd = -1;
    sentinel->state = SENTINEL_DOWN;
    resp_reader_fini(&sentinel->reader);
}

uint64_t redis_sentinel_due_ns(const struct redis_sentinel *sentinel) {
    if (!redis_sentinel_is_on(sentinel))
        return CLOCK_NEVER;
    if (sentinel->state == SENTINEL_DOWN)
        return sentinel->retry_ns;
    if (sentinel->state != SENTINEL_KNOWS)
        return sentinel->asked_ns + SENTINEL_WAIT_NS;
    return sentinel->asked_ns + (sentinel->hurries ? SENTINEL_HURRY_NS : SENTINEL_ASK_NS);
}

bool redis_sentinel_step(struct redis_sentinel *sentinel, bool works, uint64_t now_ns) {
    if (!redis_sentinel_is_on(sentinel))
        return false;
    bool moves = false;
    short ready = sentinel->ready;
    sentinel->ready = 0;
    sentinel->hurries = !works;
    if (sentinel->state == SENTINEL_DOWN) {
        if (now_ns >= sentinel->retry_ns)
            begin(sentinel, now_ns);
    } else if (sentinel->state == SENTINEL_CONNECTING) {
        if ((ready & (POLLOUT | POLLHUP | POLLERR)) != 0)
            connected(sentinel, now_ns);
    } else if ((ready & (POLLIN | POLLHUP | POLLERR)) != 0) {
        moves = hear(sentinel, now_ns);
    }
    /* What has come is heard first: this node may have stood still. */
    if (sentinel->state == SENTINEL_DOWN || now_ns < redis_sentinel_due_ns(sentinel))
        return moves;
    if (sentinel->state == SENTINEL_KNOWS)
        ask(sentinel, now_ns);
    else
        lose(sentinel, now_ns, "it does not answer", reach);
    return moves;
}

struct pollfd redis_sentinel_poll(const struct redis_sentinel *sentinel) {
    return (struct pollfd){.fd = sentinel->fd,
                           .events = sentinel->state == SENTINEL_CONNECTING ? POLLOUT : POLLIN};
}

void redis_sentinel_polled(struct redis_sentinel *sentinel, short revents) {
    sentinel->ready = revents;
}
