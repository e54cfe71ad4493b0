/* registration.h - a session comes under its client id and its groups, on whatever transport.
 *
 *   registration_enter -> the transport says welcome -> registration_attend
 *
 * From registration_enter on messages find it, if session_type.outbox says where they wait; until
 * the welcome it says NULL.
 *
 * Threads: the session's worker. Owns nothing. */
#ifndef RINGPOST_PROTO_CLIENT_REGISTRATION_H
#define RINGPOST_PROTO_CLIENT_REGISTRATION_H

#include "core/session.h"
#include "proto/client/line.h"

struct worker;

/* Each of these: CODE_NONE, or why not, and `*text` in a sentence. What was done until then is
 * undone by session_close. */

/* Opens the session; it takes the id, unless that is empty, and joins the groups. */
enum code registration_enter(struct worker *worker, struct session *session,
                             const struct session_type *type, struct span id,
                             const struct name_list *groups, const char **text);
/* Joins all the groups or none. */
enum code registration_join(struct worker *worker, struct session *session,
                            const struct name_list *groups, const char **text);
/* Takes another id, unless that is empty or its own, and joins the groups: both or neither.
 * `*renamed`: what is pending for the new id may come (registration_attend). */
enum code registration_change(struct worker *worker, struct session *session, struct span id,
                              const struct name_list *groups, bool *renamed, const char **text);
/* It has been welcomed: what is pending for its id may come. Its peer hears of all that when other
 * hosts know of its names (ready.h). */
enum code registration_attend(struct worker *worker, struct session *session, const char **text);

/* Is an end for that reason nothing to tell? Somebody wanted it. */
bool registration_end_is_ordinary(enum close_reason reason);
/* The session ends for that reason: one log line, unless it is an ordinary end. `left_bytes` waited
 * for it. */
void registration_end_log(const struct session *session, const struct peer_address *peer,
                          enum close_reason reason, uint64_t left_bytes);

/* What the welcome of a session says whose text that is. */
struct welcome registration_welcome(const struct worker *worker, struct span session_text);
/* In how many milliseconds a client should come back that is sent away now: by chance, spread wider
 * the more sessions the node has. */
uint64_t registration_reconnect_ms(const struct worker *worker);

#endif
