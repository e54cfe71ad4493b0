/* auth.h - who may ask: API keys on `api`, origins on `web`.
 *
 * Without a key `api` trusts whoever reaches it over loopback, but no web page in a browser on the
 * same machine: a request with an Origin, or for a host that only DNS says is this machine, is
 * refused. Keys are compared in constant time and never appear in a message.
 *
 * Threads: any (pure functions over the config, but for auth_failed). */
#ifndef RINGPOST_INGEST_GATE_AUTH_H
#define RINGPOST_INGEST_GATE_AUTH_H

#include "core/config.h"
#include "proto/http/http.h"
#include "proto/text/codes.h"

struct worker;
struct connection;

struct auth {
    enum code code;      /* CODE_NONE: allowed; UNAUTHORIZED, FORBIDDEN */
    const char *message; /* why not */
    unsigned key_place;  /* of the key in the config; 0 without keys */
};

/* May this request be made of `api`? `open`: its path needs no key. */
struct auth auth_api(const struct config *config, const struct http_request *request, bool open);

/* When a wrong key was last told of the addresses that fall into a place of the table. One for the
 * node, shared by all workers; zeroed it is empty. */
#define AUTH_TOLD_PLACES 1024
#define AUTH_TOLD_NS UINT64_C(1000000000)
struct auth_told {
    _Atomic uint64_t at_ns[AUTH_TOLD_PLACES];
};

/* A request brought a wrong key: counts it and logs it with the address, at most once a second for
 * each address. Any worker. */
void auth_failed(struct worker *worker, const struct connection *connection, const char *message);

/* Is it localhost or a loopback address, perhaps with a port? */
bool auth_host_is_loopback(struct span host);

enum auth_origin {
    AUTH_ORIGIN_NONE,        /* no Origin: no browser, or not across origins */
    AUTH_ORIGIN_ALLOWED,     /* its own host, or in --cors; to be echoed */
    AUTH_ORIGIN_FOREIGN,     /* neither */
    AUTH_ORIGIN_UNKNOWN_HOST /* the host may be another's: see auth_tell_unknown_host */
};
/* May a page of that origin use `web`? A page may whose origin is in --cors, or its own host if
 * that is an address, localhost or in --web-host: any other name may have been pointed here by the
 * page's owner. With --web-host other hosts are refused without an Origin, too, unless `any_host`.
 */
enum auth_origin auth_web(const struct config *config, const struct http_request *request,
                          bool any_host);
/* Logs the name that was refused, with the remedy; each name once, until others have taken its
 * place in a table of 64. Any thread. Needs hash_init. */
void auth_tell_unknown_host(struct span text);

#endif
