/* client_send.h - messages that clients send (--client-send on): the client protocol's way to the
 * gate.
 *
 * The protocol hands over what it cut off the wire; this reads the envelope, publishes, and answers
 * `ok` or an error by the functions of proto/client/client.h, in the order in which the results
 * come. A client that has gone meanwhile is not answered. Its message goes its way all the same.
 * A session of another transport (struct client_sender) is answered by functions of its own.
 *
 * Threads: the client's worker. Owns: what a client that sends needs beside its session (a
 * source, a rate for sessions without a client id), from its first send until its slot is freed, or
 * its session; one record for each send in flight. Limits: as many sends in flight as
 * proto/client/client.h lets through. */
#ifndef RINGPOST_INGEST_GATE_CLIENT_SEND_H
#define RINGPOST_INGEST_GATE_CLIENT_SEND_H

#include "proto/client/client.h"

/* For server_parts. gate_init must have run. */
extern const struct client_gate client_send_gate;

/* Size of one record of gate_context.sends. */
size_t client_send_bytes(void);

#endif
