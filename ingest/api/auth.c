#include "ingest/api/auth.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/worker.h"
#include "proto/text/base64.h"
#include "proto/web/origin.h"

#include <stdatomic.h>

#define CREDENTIALS_BYTES_MAX 1024

/* Of the node, shared by all workers. */
static struct gate_rate key_rates[API_KEYS_MAX];
static struct auth_told told;

void auth_init(void) {
    for (unsigned i = 0; i < API_KEYS_MAX; i++)
        atomic_init(&key_rates[i].used_until_ns, 0);
    for (unsigned i = 0; i < AUTH_TOLD_PLACES; i++)
        atomic_init(&told.at_ns[i], 0);
}

/* --- keys ------------------------------------------------------------------------------------- */

/* Takes "scheme " off the front, in any letter case, with the blanks behind it. */
static bool scheme_take(struct span *text, struct span scheme) {
    if (text->len <= scheme.len || !span_equal_nocase(span_of(text->at, scheme.len), scheme) ||
        text->at[scheme.len] != ' ')
        return false;
    *text = span_skip(*text, scheme.len);
    while (text->len != 0 && text->at[0] == ' ')
        *text = span_skip(*text, 1);
    return true;
}

/* The key of an Authorization header: Bearer, or the password of Basic. */
static bool key_of(struct span authorization, struct builder *decoded, struct span *key) {
    *key = authorization;
    if (scheme_take(key, SPAN("Bearer")))
        return true;
    if (!scheme_take(key, SPAN("Basic")) || base64_decode(*key, decoded) != NULL || decoded->full)
        return false;
    const char *colon = memchr(decoded->at, ':', decoded->len);
    if (colon == NULL)
        return false;
    *key = span_skip(builder_span(decoded), (size_t)(colon - decoded->at) + 1);
    return true;
}

/* The place of a key in config->api_keys, compared in constant time; -1: it is none of them. */
static int key_find(const struct config *config, struct span key) {
    /* Hashes with a secret key tell nothing about the keys by the time their comparison takes. */
    struct hash128 wanted = hash128(key);
    int found = -1;
    for (unsigned i = 0; i < config->api_key_count; i++) {
        struct hash128 known = hash128(span_text(config->api_keys[i]));
        uint64_t difference = (known.low ^ wanted.low) | (known.high ^ wanted.high);
        if (difference == 0 && found < 0)
            found = (int)i;
    }
    return found;
}

struct gate_rate *auth_key_rate(unsigned place) {
    CHECK(place < API_KEYS_MAX);
    return &key_rates[place];
}

uint64_t auth_producer(const struct config *config, const struct http_request *request,
                       const struct peer_address *peer, struct auth_seen *seen) {
    if (config->api_key_count == 1)
        return producer_of_key(0); /* a request with a wrong one pushes nothing */
    if (config->api_key_count == 0 || request->authorization.at == NULL)
        return producer_of_address(peer);
    uint64_t header = hash64(request->authorization);
    if (seen->config == config && seen->header == header)
        return seen->producer;
    char room[CREDENTIALS_BYTES_MAX];
    struct builder decoded = builder_over(room, sizeof room);
    struct span key;
    int place = key_of(request->authorization, &decoded, &key) ? key_find(config, key) : -1;
    uint64_t producer = place < 0 ? producer_of_address(peer) : producer_of_key((unsigned)place);
    *seen = (struct auth_seen){.config = config, .header = header, .producer = producer};
    return producer;
}

static struct auth refused(enum code code, const char *message) {
    return (struct auth){.code = code, .message = message};
}

struct auth auth_api(const struct config *config, const struct http_request *request, bool open) {
    static const struct auth allowed = {.code = CODE_NONE, .message = ""};
    if (config->api_key_count == 0) {
        if (request->origin.at != NULL)
            return refused(CODE_FORBIDDEN, "a request with Origin needs an API key; start the node "
                                           "with one (RINGPOST_API_KEY)");
        /* A browser always names a host; one that does not is an HTTP/1.0 probe. */
        if (request->host.at != NULL && !origin_host_is_loopback(request->host))
            return refused(CODE_FORBIDDEN, "without an API key only localhost, 127.0.0.1 and [::1] "
                                           "are served as Host");
        return allowed;
    }
    if (open)
        return allowed;
    if (request->authorization.at == NULL)
        return refused(CODE_UNAUTHORIZED, "an API key is needed: Authorization: Bearer KEY");
    char room[CREDENTIALS_BYTES_MAX];
    struct builder decoded = builder_over(room, sizeof room);
    struct span key;
    if (!key_of(request->authorization, &decoded, &key))
        return refused(CODE_UNAUTHORIZED, "Authorization is neither Bearer KEY nor Basic with the "
                                          "key as password");
    /* A browser that was asked for Basic once sends the key along with what any page makes it
     * request. */
    if (decoded.len != 0 && origin_look(config, request, true) == ORIGIN_FOREIGN)
        return refused(CODE_FORBIDDEN, "a page of this Origin may not use a key by Basic");
    int place = key_find(config, key);
    if (place < 0)
        return refused(CODE_UNAUTHORIZED, "the API key is not one of this node's");
    return (struct auth){.code = CODE_NONE, .message = "", .key_place = (unsigned)place};
}

/* --- wrong keys ------------------------------------------------------------------------------- */

/* Addresses that share a place are told more seldom than once a second, never more often. */
static bool told_take(struct auth_told *table, const struct peer_address *peer, uint64_t now_ns) {
    uint64_t place = hash64(span_of(peer->bytes, sizeof(peer->bytes))) % AUTH_TOLD_PLACES;
    uint64_t before = atomic_load_explicit(&table->at_ns[place], memory_order_relaxed);
    if (before != 0 && now_ns < before + AUTH_TOLD_NS)
        return false;
    return atomic_compare_exchange_strong_explicit(&table->at_ns[place], &before, now_ns,
                                                   memory_order_relaxed, memory_order_relaxed);
}

void auth_failed(struct worker *worker, const struct connection *connection, const char *message) {
    enum listener_kind kind = worker->listeners.at[connection->listener].kind;
    stats_add(&worker->stats.auth_failures[kind], 1);
    if (!told_take(&told, &connection->peer, worker->now_ns))
        return;
    char address[PEER_ADDRESS_TEXT_MAX];
    net_peer_text(&connection->peer, address);
    log_event(LOG_WARN, "auth_failed", LOG_STR("address", address), LOG_STR("why", message));
}
