/* amqp_form.h - a delivery of a queue as a message: pure functions over properties, headers, body.
 *
 * Three forms, told apart in this order:
 *
 *   by headers   it has a header `to`, `group` or `broadcast`: headers are the fields, the body is
 *                `data` by its content_type
 *   the old one  the body is an object with `socketSessionId` or `socketGroupFlag`, and without
 *                `to`, `group`, `broadcast`: they are `to` and `group`, the object is `data`, in
 *                which the value of its own `data`, if it is a string that is JSON, stands as that
 *                JSON; volatile unless `isVolatile` is false
 *   an object    with the fields of a message, as over HTTP
 *
 * Then the properties count: message_id for the id (where both are there they are equal),
 * expiration (milliseconds) for the ttl, type for the event, but not of the old form.
 *
 * Threads: any. Owns nothing: the envelope points into the delivery, the room and `rewritten`.
 * Limits: the envelope's. Never allocates. */
#ifndef RINGPOST_INGEST_AMQP_AMQP_FORM_H
#define RINGPOST_INGEST_AMQP_AMQP_FORM_H

#include "ingest/amqp/amqp_wire.h"
#include "ingest/gate/envelope.h"

/* What came: a content header and a body. */
struct amqp_content {
    struct span header; /* as amqp_properties_read takes it */
    struct span body;
};

/* Reads a delivery. `rewritten` has room for as many bytes as the body has; it is used by the old
 * form alone. False: `complaint`. `properties` is there in any case. */
bool amqp_form_read(struct envelope *envelope, struct envelope_scratch *room,
                    const struct amqp_content *content, struct builder *rewritten,
                    size_t max_message_bytes, struct amqp_properties *properties,
                    struct complaint *complaint);

#endif
