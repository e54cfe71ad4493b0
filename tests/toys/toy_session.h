/* toy_session.h - sessions that outlive their connections, for tests: of a namespace of their own,
 * written in a form of their own (toy_form.h). Each has no connection until one takes it, shares it
 * with another then, and waits for the next one when that ends, until TOY_PARKED_NS are over or the
 * node drains. The mark of a copy (toy_form.h) is the number of its session and its own: five
 * digits each.
 *
 * Threads: the worker's; one worker's sessions are its own. Owns: the sessions. Limits:
 * TOY_SESSIONS for each worker. */
#ifndef RINGPOST_TESTS_TOYS_TOY_SESSION_H
#define RINGPOST_TESTS_TOYS_TOY_SESSION_H

#include "core/server.h"
#include "core/wait.h"

#define TOY_SESSIONS 6
#define TOY_ON_ONE 2 /* sessions that a connection takes */
#define TOY_PARKED_NS (30 * NS_PER_S)

struct toy_session {
    struct session session;
    struct list waiting;
    struct outbox own;
    struct connection *connection; /* NULL: it waits in `own` */
    const struct encoding *encoding;
    struct wait wait; /* for a connection */
    uint32_t number;  /* of all that ever were, from 1; 0: the place is free */
    uint32_t marks;
};

/* Before the workers run: none is left of an earlier node. */
void toy_sessions_init(void);
bool toy_sessions_any(void);
/* The number of a session that is not in these places (toy_engine.h). */
uint32_t toy_number_next(void);
/* Some come onto the connection: such as wait for one, or new ones. They are written so there. */
void toy_sessions_take(struct worker *worker, struct connection *connection,
                       const struct encoding *encoding);
/* Those that are on it wait for another one, with what was not sent. */
void toy_sessions_leave(struct worker *worker, struct connection *connection);
/* Says the worker's next message, to all sessions of all workers. */
void toy_sessions_say(struct worker *worker);
/* For checks: one place; NULL: it is free. */
const struct toy_session *toy_session_at(unsigned worker, unsigned place);

#endif
