/* http_upgrade.h - a connection that goes on with another protocol (RFC 9110, 7.8), or on another
 * worker.
 *
 *   exchange_upgrade     101 is written; when `serve` has returned, the connection becomes one of
 *                        that protocol: its on_open, then `opened`, then what the peer sent behind
 *                        the request
 *   exchange_hand_over   the request is served anew on the other worker, as the first one of the
 *                        connection there; or here, if it could not go (handover.h)
 *
 * Neither is possible while an answer to an earlier request is owed (exchange_is_first), since that
 * would have to leave before; who pipelines an upgrade behind a request that takes its time is
 * refused.
 *
 * Threads: the connection's worker, from `serve`. Owns nothing. */
#ifndef RINGPOST_PROTO_HTTP_HTTP_UPGRADE_H
#define RINGPOST_PROTO_HTTP_HTTP_UPGRADE_H

#include "proto/http/http_connection.h"

/* Is no answer before it owed? */
bool exchange_is_first(const struct http_exchange *exchange);
/* Answers 101 with the header lines in `extra` beside those that every such answer has. The
 * exchange is gone. It is first, and of HTTP/1.1. `upgrade` is copied. */
void exchange_upgrade(struct worker *worker, struct http_exchange *exchange, struct span token,
                      struct span extra, const struct http_upgrade *upgrade);

/* Could its connection go to another worker? It is first, and no earlier try of it has failed. */
bool exchange_may_move(const struct http_exchange *exchange);
/* The exchange is gone; its request stays unread. `to` is another worker. */
void exchange_hand_over(struct worker *worker, struct http_exchange *exchange, unsigned to);

/* Does the request ask to go on with that protocol, by name in `Upgrade` and by `Connection`? */
bool http_asks_upgrade(const struct http_request *request, struct span token);

/* For the other files of this module: was either asked for, and does it, when `serve` has returned.
 */
static inline bool http_changes(const struct http_connection *http) {
    return http->upgrades || http->moves_to != 0;
}
void http_change(struct worker *worker, struct http_connection *http);

#endif
