/* sim_sio.h - what clients of Socket.IO say and hear in the simulation, over whatever transport
 * carries it (sim_polls.h).
 *
 * They live in a namespace of their own, under ids of their own, and send each other messages that
 * are to be acknowledged, which the oracle of messages does not know; the ledger and the fates do.
 * Each checks that a message comes to it again only as `redelivered`, and in the order in which one
 * sender sent it.
 *
 * Threads: one. Owns nothing. */
#ifndef RINGPOST_TESTS_SIM_SIM_SIO_H
#define RINGPOST_TESTS_SIM_SIM_SIO_H

#include <stdbool.h>
#include <stddef.h>

#define SIO_NAMESPACE 1
#define SIO_NAME "/n"
#define SIO_CLIENTS_MAX 16
#define SIO_OWED_MAX 16

/* One client, through all of its sessions. */
struct sim_sio {
    bool old;                              /* it speaks protocol 4, otherwise 5 */
    bool asked, in;                        /* in this session: for its namespace; and it is there */
    bool renamed;                          /* it may have another id by now */
    unsigned sessions;                     /* that it has had */
    unsigned sent;                         /* messages, in all of its sessions */
    unsigned callbacks;                    /* that it has asked for */
    unsigned long long owed[SIO_OWED_MAX]; /* callbacks that it has not called */
    unsigned owed_count;
    struct {
        unsigned session, sent;
    } last[SIO_CLIENTS_MAX]; /* that it heard of each, in this session */
};

struct encoding;
struct engine_app;
struct scenario;

/* Does the scenario have them, and what follows from it. The last word. */
void sio_scenario(struct scenario *scenario);
/* Before the node opens: the namespaces, and how messages are written for these clients if there
 * are any. */
void sio_begin(struct encoding **encodings);
/* What serves /socket.io/. NULL: nothing does. */
const struct engine_app *sio_app_find(void);
/* Another session. */
void sio_forget(struct sim_sio *sio);
/* The next packet that client says, with its `4`; bytes may follow it (sim_payload.h). */
void sio_packet_make(struct sim_sio *sio, unsigned client, char *text, size_t cap);
/* One that it hears; fails if it should not. */
void sio_packet_take(struct sim_sio *sio, unsigned client, const char *packet);

#endif
