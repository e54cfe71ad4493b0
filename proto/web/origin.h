/* origin.h - which pages and which hosts a listener is meant for.
 *
 * A request names the host that it is for, and a browser adds the origin of the page that makes
 * it. DNS may point any name at this node, so a page of its own host is trusted only if that host
 * is known here.
 *
 * Threads: any (pure functions over the config, but for origin_tell_*). */
#ifndef RINGPOST_PROTO_WEB_ORIGIN_H
#define RINGPOST_PROTO_WEB_ORIGIN_H

#include "core/config.h"
#include "proto/http/http.h"

/* Is it localhost or a loopback address, perhaps with a port? */
bool origin_host_is_loopback(struct span host);

enum origin_verdict {
    ORIGIN_NONE,        /* no Origin: no browser, or not across origins */
    ORIGIN_ALLOWED,     /* its own host, or in --cors; to be echoed */
    ORIGIN_FOREIGN,     /* neither: see origin_tell_foreign */
    ORIGIN_UNKNOWN_HOST /* the host may be another's: see origin_tell_unknown_host */
};
/* May a page of that origin use `web`? A page may whose origin is in --cors, or its own host if
 * that is an address, localhost or in --web-host: any other name may have been pointed here by the
 * page's owner. With --web-host other hosts are refused without an Origin, too, unless `any_host`.
 */
enum origin_verdict origin_look(const struct config *config, const struct http_request *request,
                                bool any_host);
/* A page may be behind a request without Origin, too: browsers send none with a GET to the page's
 * own host, whatever name its owner has pointed here, nor for a script (`script`: the answer is
 * one, JSONP), which any page may load. May whoever sent it have what it asks for? Programs that
 * are no browsers may; so may what has an Origin, which origin_look has judged. What is refused is
 * logged, as by the two below. */
bool origin_admits_unsaid(const struct config *config, const struct http_request *request,
                          bool script);
/* Logs the name that was refused, with the remedy; each name once, until others have taken its
 * place in a table of 64. Any thread. Needs hash_init. */
void origin_tell_unknown_host(struct span text);
/* The same for an origin. */
void origin_tell_foreign(struct span text);

#endif
