/* forwarded.h - whose request it is that a trusted HTTP proxy hands on (--forwarded).
 *
 * Each proxy adds the address that it heard from behind what X-Forwarded-For holds already. So it
 * is read from its end: addresses of trusted proxies are passed over, the first other one is the
 * client's, and what stands before that may be anything that the client made up.
 *
 * Threads: any (pure function). */
#ifndef RINGPOST_PROTO_HTTP_FORWARDED_H
#define RINGPOST_PROTO_HTTP_FORWARDED_H

#include "core/config.h"
#include "core/net.h"
#include "proto/http/http.h"

/* The client's address in `peer`, port 0. Left alone where the fields name no address but trusted
 * ones, or something that is none before any other came. Only for requests of a trusted proxy. */
void forwarded_peer(const struct config *config, const struct http_request *request,
                    struct peer_address *peer);

#endif
