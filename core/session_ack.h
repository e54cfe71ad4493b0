/* session_ack.h - acknowledgements that come over another connection than the messages did: for a
 * session on any worker, by its name.
 *
 *   worker of the request            worker of the session            keeper of its id
 *
 *   session_acknowledge --ACK_FOR--> is there such a session? --ACK--> settled (keeper.h)
 *         done <--------ACK_FOR_DONE--
 *
 * Only protocols with a `session` have such sessions (protocol.h).
 *
 * Threads: the worker's. Owns: acknowledgements under way, charged to one account after the other.
 * Limits: one under way is a request (mailbox.h). */
#ifndef RINGPOST_CORE_SESSION_ACK_H
#define RINGPOST_CORE_SESSION_ACK_H

#include "core/attend.h"
#include "core/base/span.h"
#include "core/connection.h"

struct mail;

/* What has become of it. `request` is the caller's own. */
typedef void session_ack_done(struct worker *worker, void *request, enum ack_verdict verdict);

/* Acknowledges 1 to ADDRESSES_PER_MESSAGE_MAX messages for a session. True: `done` will be called,
 * in this turn or a later one; false: it will not, `*verdict` says what has become of it. */
bool session_acknowledge(struct worker *worker, struct connection_handle session,
                         const struct span *ids, uint32_t count, session_ack_done *done,
                         void *request, enum ack_verdict *verdict);
void session_ack_on_mail(struct worker *worker, const struct mail *mail);
void session_ack_on_done(struct worker *worker, const struct mail *mail);
/* Frees one whose mail came after the last turn. */
void session_ack_drop(struct worker *worker, const struct mail *mail);

#endif
