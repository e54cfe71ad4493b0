/* sio_packet.h - packets of the Socket.IO protocol, as they stand in the message of an Engine.IO
 * packet, without the `4` of that.
 *
 *     <type>[<attachments>-][<namespace>,][<id>][<json>]      5 1 - /admin, 12 ["event",...]
 *
 * Two versions of the protocol: 5 (clients 3.x and 4.x, over Engine.IO 4) and 4 (clients 1.x and
 * 2.x, over Engine.IO 3). The namespace `/` is not written. At the end of a packet the comma may be
 * missing. In protocol 4 a query may follow the namespace (`0/admin?token=x,`).
 *
 * What is read is right in form: the payload is one JSON value of the kind that the type wants, the
 * namespace is a name, the event is none of the reserved words. `attachments` binary packets are to
 * follow at once; placeholders in the payload ({"_placeholder":true,"num":0}) name none but these.
 *
 * Threads: any (pure functions). Owns nothing: spans point into the text. Limits:
 * SIO_ATTACHMENTS_MAX, SIO_ID_MAX, the depth of JSON (json.h), NAME_BYTES_MAX for namespaces. */
#ifndef RINGPOST_PROTO_WEB_SIO_SIO_PACKET_H
#define RINGPOST_PROTO_WEB_SIO_SIO_PACKET_H

#include "core/base/builder.h"
#include "core/base/span.h"
#include "proto/text/json.h"

/* As the parser of the reference has it since March 2026. */
#define SIO_ATTACHMENTS_MAX 10
/* Of acknowledgements: what JavaScript counts to exactly. */
#define SIO_ID_MAX (UINT64_C(1) << 53)

enum sio_version { SIO_PROTOCOL_4, SIO_PROTOCOL_5 };

enum sio_type {
    SIO_CONNECT,
    SIO_DISCONNECT,
    SIO_EVENT,
    SIO_ACK,
    SIO_CONNECT_ERROR, /* protocol 4: ERROR */
    SIO_BINARY_EVENT,
    SIO_BINARY_ACK,
    SIO_TYPES
};

struct sio_packet {
    enum sio_type type;
    unsigned attachments;  /* BINARY_EVENT, BINARY_ACK */
    struct span namespace; /* "/" if it was not written */
    struct span query;     /* protocol 4: what follows the `?`, encoded; empty: nothing */
    bool has_id;
    uint64_t id;
    struct json_value json;  /* kind JSON_NONE: there is none */
    struct json_value event; /* EVENT, BINARY_EVENT: the first element: a string or a number */
    bool is_long;            /* an EVENT of which no more than that was read; `json` is none */
};

/* Reads one packet. NULL, or a constant that says what is wrong with it. */
const char *sio_packet_read(enum sio_version version, struct span text, struct sio_packet *packet);
/* The same of one that is longer than any that is of use, in a time that does not grow with it: of
 * an EVENT its name (is_long). Of other types it is wrong. */
const char *sio_packet_read_long(enum sio_version version, struct span text,
                                 struct sio_packet *packet);

/* Does every placeholder of a valid JSON text name one of so many attachments? Keys are compared as
 * they are written: one with escapes is none. */
bool sio_placeholders_fit(struct span json, unsigned attachments);
/* Is the value a placeholder, and of which attachment? */
bool sio_is_placeholder(const struct json_value *value, unsigned *attachment);
/* Does a valid JSON text hold a placeholder? */
bool sio_has_placeholder(struct span json);

/* Everything that stands before the JSON. `namespace` "/" is left out; `attachments` are written
 * for the binary types alone. */
void sio_head_write(struct builder *out, enum sio_type type, unsigned attachments,
                    struct span namespace, const uint64_t *id);
/* At most so many bytes does that write for a namespace of that length. */
static inline size_t sio_head_bound(size_t namespace_len) {
    return 1 + 3 + namespace_len + 1 + 20;
}

#endif
