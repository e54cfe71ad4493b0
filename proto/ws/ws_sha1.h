/* ws_sha1.h - SHA-1, which WebSocket's handshake is written with (RFC 6455 4.2.2). It protects
 * nothing there, and is for nothing else. By wolfSSL; proto/ws/ws_sha1.c is the only file that
 * includes it for this.
 *
 * Threads: any (a pure function). */
#ifndef RINGPOST_PROTO_WS_WS_SHA1_H
#define RINGPOST_PROTO_WS_WS_SHA1_H

#include "core/base/span.h"

#define WS_SHA1_BYTES 20

void ws_sha1(struct span bytes, unsigned char digest[WS_SHA1_BYTES]);

#endif
