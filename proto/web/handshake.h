/* handshake.h - the HTTP side of a WebSocket handshake (RFC 6455, 4.2), for every path of `web`
 * that takes one.
 *
 *   handshake_look(...)      what is wrong with it, if anything
 *   handshake_accept(...)    101; the connection goes on as that protocol (http_upgrade.h)
 *
 * Threads: the connection's worker. Owns nothing. */
#ifndef RINGPOST_PROTO_WEB_HANDSHAKE_H
#define RINGPOST_PROTO_WEB_HANDSHAKE_H

#include "proto/http/http_upgrade.h"
#include "proto/ws/ws_handshake.h"

struct handshake {
    unsigned status;       /* 0: it is good; 400, 426: what to refuse it with */
    const char *why;       /* then, in a sentence */
    struct ws_terms terms; /* of what is offered */
    struct span key;       /* in the request */
    bool deflate;          /* permessage-deflate is wanted, and offered as it is done here */
    bool protocol;         /* the subprotocol that was asked for is offered */
};

/* `protocol` is the subprotocol that is known here; empty: none. `deflate`: messages may be
 * compressed. A request that does not ask for an upgrade at all is 426. */
struct handshake handshake_look(const struct http_request *request, struct span protocol,
                                bool deflate);
/* Header lines for the refusal; constant. */
struct span handshake_refusal_lines(const struct handshake *handshake);
/* The handshake is good, and the exchange is the first (exchange_is_first). `extra`: more header
 * lines. The exchange is gone. */
void handshake_accept(struct worker *worker, struct http_exchange *exchange,
                      const struct handshake *handshake, struct span protocol, struct span extra,
                      const struct http_upgrade *upgrade);

#endif
