/* engine_socket.h - a connection that has become a WebSocket, and is to be an Engine.IO session's.
 *
 * Threads: the connection's worker, which is the session's home. */
#ifndef RINGPOST_PROTO_WEB_EIO_ENGINE_SOCKET_H
#define RINGPOST_PROTO_WEB_EIO_ENGINE_SOCKET_H

#include "core/connection.h"
#include "proto/web/eio/engine.h"

extern const struct protocol engine_socket_protocol;

struct engine_handshake {
    enum engine_path path;
    unsigned version;
    struct span query;
};

/* It may become the transport of a session that polls; it is closed if there is one already. */
void engine_socket_probe(struct worker *worker, struct connection *connection,
                         struct engine *engine);
/* A session begins on it. */
void engine_socket_open(struct worker *worker, struct connection *connection,
                        const struct engine_handshake *handshake);

#endif
