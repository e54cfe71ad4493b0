/* http_chunk.h - puts a chunked HTTP body together, in place.
 *
 * A pure state machine over bytes that looks at each one once and may stop after any of them. It
 * is ours rather than llhttp's because llhttp 8.1 lets a bare LF end the body, bounds neither
 * extensions nor trailers, and would cost every connection 96 bytes of state instead of 24. A test
 * holds the two side by side: what this one takes, llhttp reads alike.
 *
 * The grammar, and not a byte more: 1 to 16 hexadecimal digits, perhaps `;` and an extension,
 * CR LF, the bytes, CR LF; after the chunk of length 0 trailer fields, which are checked and
 * dropped; an empty line. Threads: any, one at a time per body. */
#ifndef RINGPOST_PROTO_HTTP_HTTP_CHUNK_H
#define RINGPOST_PROTO_HTTP_HTTP_CHUNK_H

#include "core/base/span.h"
#include "proto/http/http_refusal.h"

#define HTTP_EXTENSION_BYTES_MAX 1024 /* all chunk extensions of one body */
#define HTTP_TRAILER_BYTES_MAX 4096   /* all trailer fields of one body */

enum http_chunk_status { HTTP_CHUNK_MORE, HTTP_CHUNK_DONE, HTTP_CHUNK_REFUSED };

struct http_chunks {
    uint64_t size; /* of the chunk being read: announced so far, then what is left of it */
    uint64_t room; /* body bytes that may still come */
    uint16_t extension_bytes;
    uint16_t trailer_bytes;
    uint8_t digits;
    uint8_t state;
};

/* Before the first byte of a body of at most `body_bytes_max` bytes. */
void http_chunks_init(struct http_chunks *chunks, size_t body_bytes_max);

/* Reads `at[0..len)` and moves the body bytes among it to the front: `*body_bytes` of them. `*used`
 * says how many bytes were read: all with MORE, to the end of the body with DONE. With REFUSED the
 * offset is that of the wrong byte in `at`. After DONE or REFUSED it must not be called again. */
enum http_chunk_status http_chunks_decode(struct http_chunks *chunks, char *at, size_t len,
                                          size_t *body_bytes, size_t *used,
                                          struct http_refusal *refusal);

#endif
