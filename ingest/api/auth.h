/* auth.h - who may ask of `api`: API keys, and how much each may push.
 *
 * Without a key `api` trusts whoever reaches it over loopback, but no web page in a browser on the
 * same machine: a request with an Origin, or for a host that only DNS says is this machine, is
 * refused (proto/web/origin.h). Keys are compared in constant time and never appear in a message.
 *
 * Threads: any. auth_init: before the workers run. Owns: the rates of the keys, and when a wrong
 * key was told. */
#ifndef RINGPOST_INGEST_API_AUTH_H
#define RINGPOST_INGEST_API_AUTH_H

#include "core/config.h"
#include "ingest/gate/gate.h"
#include "proto/http/http.h"
#include "proto/text/codes.h"

struct worker;
struct connection;
struct peer_address;

struct auth {
    enum code code;      /* CODE_NONE: allowed; UNAUTHORIZED, FORBIDDEN */
    const char *message; /* why not */
    unsigned key_place;  /* of the key in the config; 0 without keys */
};

/* May this request be made of `api`? `open`: its path needs no key. */
struct auth auth_api(const struct config *config, const struct http_request *request, bool open);

/* Which producer a connection's requests were of when that was last determined. Zeroed it is
 * fresh. */
struct auth_seen {
    const struct config *config;
    uint64_t header; /* hash of Authorization */
    uint64_t producer;
};

/* The number of the producer (gate.h) that pushes with this request: its key's; where there is no
 * key or a wrong one, its address's. It tells whose share the request counts in, and allows
 * nothing. With several keys it looks at the header once for each value that comes. */
uint64_t auth_producer(const struct config *config, const struct http_request *request,
                       const struct peer_address *peer, struct auth_seen *seen);

/* Nobody has used up anything of a rate, no wrong key was told. */
void auth_init(void);

/* The rate of the key at that place; place 0 also serves an API without keys. */
struct gate_rate *auth_key_rate(unsigned place);

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

#endif
