#include "proto/web/origin.h"

#include "core/base/hash.h"
#include "core/base/log.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdatomic.h>

/* --- hosts ------------------------------------------------------------------------------------ */

/* A Host, taken apart: a name or IPv4 address, or an IPv6 address in brackets. */
struct host {
    struct span name; /* without the brackets */
    bool brackets;
};

static bool is_port(struct span text) {
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
    return text.len <= 5;
}

/* False: it is not name, name:port, [address] or [address]:port. What stands behind the first colon
 * or the bracket must be a port to its end: `127.0.0.1:80.evil.example` is some other host. */
static bool host_cut(struct span text, struct host *host) {
    char end = text.len != 0 && text.at[0] == '[' ? ']' : ':';
    host->brackets = end == ']';
    const char *mark = text.len == 0 ? NULL : memchr(text.at, end, text.len);
    if (mark == NULL) {
        host->name = text;
        return text.len != 0 && !host->brackets;
    }
    size_t len = (size_t)(mark - text.at);
    host->name = host->brackets ? span_of(text.at + 1, len - 1) : span_of(text.at, len);
    struct span rest = span_skip(text, host->brackets ? len + 1 : len);
    return host->name.len != 0 &&
           (rest.len == 0 || (rest.at[0] == ':' && is_port(span_skip(rest, 1))));
}

/* The address that the host is, IPv4 as v4-mapped; false: it is a name. */
static bool host_address(const struct host *host, struct in6_addr *six) {
    char text[INET6_ADDRSTRLEN];
    struct in_addr four;
    if (host->name.len >= sizeof text)
        return false;
    memcpy(text, host->name.at, host->name.len);
    text[host->name.len] = '\0';
    if (host->brackets)
        return inet_pton(AF_INET6, text, six) == 1;
    if (inet_pton(AF_INET, text, &four) != 1)
        return false;
    memset(six, 0, sizeof *six);
    memset(six->s6_addr + 10, 0xff, 2);
    memcpy(six->s6_addr + 12, &four, sizeof four);
    return true;
}

static bool host_is_localhost(const struct host *host) {
    return !host->brackets && span_equal_nocase(host->name, SPAN("localhost"));
}

bool origin_host_is_loopback(struct span text) {
    struct host host;
    struct in6_addr six;
    if (!host_cut(text, &host))
        return false;
    if (host_is_localhost(&host))
        return true;
    return host_address(&host, &six) &&
           (IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127));
}

/* Is this node meant by it whatever DNS says: an address, localhost, or in --web-host? */
static bool host_is_known(const struct config *config, struct span text) {
    struct host host;
    struct in6_addr six;
    if (!host_cut(text, &host))
        return false;
    if (host_is_localhost(&host) || host_address(&host, &six))
        return true;
    for (unsigned i = 0; i < config->web_host_count; i++)
        if (!host.brackets && span_equal_nocase(host.name, span_text(config->web_hosts[i])))
            return true;
    return false;
}

/* --- origins ---------------------------------------------------------------------------------- */

struct origin {
    struct span scheme;
    struct span host; /* without a port that is the scheme's own */
};

/* Drops ":80" for http, ":443" for https. */
static struct span port_drop(struct span host, struct span scheme) {
    struct span port = span_equal_nocase(scheme, SPAN("https")) ? SPAN(":443") : SPAN(":80");
    if (host.len > port.len && span_equal(span_skip(host, host.len - port.len), port))
        host.len -= port.len;
    return host;
}

static bool origin_cut(struct span text, struct origin *origin) {
    const char *mark = text.len < 3 ? NULL : memmem(text.at, text.len, "://", 3);
    if (mark == NULL)
        return false;
    origin->scheme = span_of(text.at, (size_t)(mark - text.at));
    origin->host = port_drop(span_skip(text, origin->scheme.len + 3), origin->scheme);
    return origin->host.len != 0;
}

static bool origin_is(const struct origin *origin, struct span text, const char *listed) {
    struct origin other;
    if (strcmp(listed, "*") == 0)
        return true;
    if (origin->host.len == 0 || !origin_cut(span_text(listed), &other))
        return span_equal_nocase(text, span_text(listed)) && !span_equal(text, SPAN("null"));
    return span_equal_nocase(origin->scheme, other.scheme) &&
           span_equal_nocase(origin->host, other.host);
}

enum origin_verdict origin_look(const struct config *config, const struct http_request *request,
                                bool any_host) {
    struct span text = request->origin;
    struct origin origin = {.host = {NULL, 0}};
    /* Without Host it is HTTP/1.0, which no browser speaks. */
    if (!any_host && config->web_host_count != 0 && request->host.at != NULL &&
        !host_is_known(config, request->host))
        return ORIGIN_UNKNOWN_HOST;
    if (text.at == NULL)
        return ORIGIN_NONE;
    if (!origin_cut(text, &origin))
        origin.host.len = 0; /* "null", or nothing that has a host: only * lets it in */
    for (unsigned i = 0; i < config->origin_count; i++)
        if (origin_is(&origin, text, config->origins[i]))
            return ORIGIN_ALLOWED;
    if (origin.host.len == 0 || request->host.at == NULL ||
        !span_equal_nocase(origin.host, port_drop(request->host, origin.scheme)))
        return ORIGIN_FOREIGN;
    /* Its own host; but DNS may call any name this node's for a page that wants in. */
    return host_is_known(config, request->host) ? ORIGIN_ALLOWED : ORIGIN_UNKNOWN_HOST;
}

/* --- requests without one --------------------------------------------------------------------- */

static struct span field(const struct http_request *request, const char *name) {
    return http_fields_get(&request->fields, span_text(name));
}

/* All browsers call themselves so, and no page can make them say something else. */
static bool is_browser(const struct http_request *request) {
    struct span agent = field(request, "user-agent");
    return span_starts(agent, SPAN("Mozilla/")) || span_starts(agent, SPAN("Opera/")) ||
           field(request, "sec-fetch-site").at != NULL;
}

/* The origin of the page in a Referer; empty: none. */
static struct span referer_origin(const struct http_request *request) {
    struct span text = field(request, "referer");
    const char *mark = text.len < 3 ? NULL : memmem(text.at, text.len, "://", 3);
    if (mark == NULL)
        return SPAN("");
    size_t len = (size_t)(mark - text.at) + 3;
    while (len < text.len && memchr("/?#", text.at[len], 3) == NULL)
        len++;
    return span_of(text.at, len);
}

/* May the page have the script? Newer browsers say whether it is one of this host; the others say
 * which page it is, unless that forbids it. */
static bool script_may(const struct config *config, const struct http_request *request) {
    struct span site = field(request, "sec-fetch-site"), page = referer_origin(request);
    struct origin origin;
    bool has_page = origin_cut(page, &origin);
    for (unsigned i = 0; i < config->origin_count; i++)
        if (strcmp(config->origins[i], "*") == 0 ||
            (has_page && origin_is(&origin, page, config->origins[i])))
            return true;
    if (site.at != NULL)
        return span_equal(site, SPAN("same-origin")) || span_equal(site, SPAN("none"));
    return has_page && request->host.at != NULL &&
           span_equal_nocase(origin.host, port_drop(request->host, origin.scheme));
}

bool origin_admits_unsaid(const struct config *config, const struct http_request *request,
                          bool script) {
    if (request->origin.at != NULL || !is_browser(request))
        return true;
    if (script && !script_may(config, request)) {
        struct span page = referer_origin(request);
        origin_tell_foreign(page.len != 0 ? page : SPAN("null"));
        return false;
    }
    if (request->host.at == NULL || host_is_known(config, request->host))
        return true;
    origin_tell_unknown_host(request->host);
    return false;
}

/* --- what was refused ------------------------------------------------------------------------- */

/* The hashes of the last texts whose refusal was told; the oldest makes room for another, so that
 * the table is bounded and a text is told again at the worst. Two workers that meet a new text at
 * once may both tell it. */
#define TOLD_PLACES 64
struct told {
    _Atomic uint64_t at[TOLD_PLACES]; /* 0: empty */
    _Atomic uint32_t next;
};

/* Is it told for the first time? */
static bool told_add(struct told *told, struct span text) {
    uint64_t hash = hash64(text) | 1;
    for (size_t i = 0; i < TOLD_PLACES; i++)
        if (atomic_load_explicit(&told->at[i], memory_order_relaxed) == hash)
            return false;
    uint32_t place = atomic_fetch_add_explicit(&told->next, 1, memory_order_relaxed) % TOLD_PLACES;
    atomic_store_explicit(&told->at[place], hash, memory_order_relaxed);
    return true;
}

void origin_tell_unknown_host(struct span text) {
    static struct told told;
    struct host host;
    if (!host_cut(text, &host))
        host = (struct host){.name = text};
    if (!told_add(&told, host.name))
        return;
    log_event(LOG_WARN, "unknown_web_host", LOG_SPAN("host", host.name),
              LOG_STR("remedy", "if browsers shall reach web under this name, start the node with "
                                "--web-host and the name"));
}

void origin_tell_foreign(struct span text) {
    static struct told told;
    struct origin origin;
    if (!told_add(&told, text))
        return;
    log_event(LOG_WARN, "foreign_origin", LOG_SPAN("origin", text),
              LOG_STR("remedy", origin_cut(text, &origin)
                                    ? "if pages of this origin shall use web, start the node with "
                                      "--cors and the origin"
                                    : "such pages name no host; only --cors '*' lets them use web, "
                                      "and every other page with them"));
}
