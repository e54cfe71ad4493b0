/* ws_handshake.h - the values of the headers with which HTTP becomes WebSocket: the key (RFC 6455
 * 4.2.2), the subprotocols, and the extensions, of which permessage-deflate (RFC 7692) is the one
 * that is known here.
 *
 * Pure functions over bytes; who reads and writes the heads is the caller. A header that is a list
 * may come several times: each value is handed in, in their order, and what was found is kept. A
 * value that breaks the grammar makes the handshake fail (400), as RFC 6455 9.1 wants it.
 *
 * Compression never keeps what it has seen beyond a message, in neither direction: then a frame is
 * compressed once for all sessions, and a connection needs no memory for it. What the server sends
 * may be asked to stay within a smaller window; an offer that wants one of 256 bytes is declined,
 * because zlib does not write such streams.
 *
 * Threads: any. */
#ifndef RINGPOST_PROTO_WS_WS_HANDSHAKE_H
#define RINGPOST_PROTO_WS_WS_HANDSHAKE_H

#include "core/base/builder.h"
#include "core/base/span.h"

#define WS_PROTOCOL "ringpost.v1" /* the subprotocol */
#define WS_WINDOW_BITS_MIN 9
#define WS_WINDOW_BITS_MAX 15

/* Is it what Sec-WebSocket-Key must be: 16 bytes in base64, as an encoder writes it? */
bool ws_key_is_good(struct span key);

#define WS_ACCEPT_BYTES 28
/* Writes the value of Sec-WebSocket-Accept, of WS_ACCEPT_BYTES, or nothing without room. The key is
 * good. */
void ws_accept_write(struct builder *out, struct span key);

/* A value of Sec-WebSocket-Protocol. Sets `*offered`, which begins as false, if `wanted` is one of
 * the list, letter by letter. False: it is no list of tokens. */
bool ws_protocols_read(struct span value, struct span wanted, bool *offered);

/* What was agreed on; all zero before the first value. */
struct ws_terms {
    bool deflate;        /* messages may be compressed */
    bool bits_asked;     /* the offer limits the window of what the server sends */
    uint8_t window_bits; /* of that: WS_WINDOW_BITS_MIN to _MAX */
};

/* A value of Sec-WebSocket-Extensions. Takes the first offer of permessage-deflate that it can
 * keep; one with a parameter that is unknown, given twice, or has a value that it may not have is
 * passed over. Extensions that are unknown are passed over, too. False: the value breaks the
 * grammar, and `terms` is of no use. */
bool ws_extensions_read(struct span value, struct ws_terms *terms);

/* Writes the value of the Sec-WebSocket-Extensions that answers, of at most
 * WS_EXTENSIONS_BYTES_MAX; all or nothing. Only with `terms->deflate`. */
#define WS_EXTENSIONS_BYTES_MAX 112
void ws_extensions_write(struct builder *out, const struct ws_terms *terms);

#endif
