/* tcp.h - the client protocol over plain TCP: JSON lines, or counted framing.
 *
 * The first byte that is not a blank decides: `{` for lines, `A` to `Z` for counted framing. This
 * cuts lines and payloads out of the stream; what they do is in client.h. Nothing is copied and
 * nothing is looked at twice: while a line or payload is not whole, how far it was looked at, or
 * how much is needed, is kept.
 *
 * Threads: the connection's worker. Owns: nothing. Limits: a hello of HELLO_BYTES_MAX, lines of
 * --max-message and LINE_SLACK_BYTES, control lines of CONTROL_LINE_BYTES_MAX. */
#ifndef RINGPOST_PROTO_CLIENT_TCP_H
#define RINGPOST_PROTO_CLIENT_TCP_H

#include "core/protocol.h"

extern const struct protocol tcp_protocol;

#endif
