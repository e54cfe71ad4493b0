/* sim_acks.h - messages that are to be acknowledged: what clients got of them and said, what became
 * of each, by the node's own table of fates, and whether that fits.
 *
 * After every turn all fates that the node knows are looked at, so that each change of each address
 * has a stamp: it must be the only one.
 *
 * Threads: one. Owns: records of fates. */
#ifndef RINGPOST_TESTS_SIM_SIM_ACKS_H
#define RINGPOST_TESTS_SIM_SIM_ACKS_H

#include "tests/sim/sim_check.h"

struct kept;
struct server;
struct worker;
struct sim_peer;
struct request;

void acks_open(void);
void acks_close(void);

/* A copy was handed whole to the socket of the session. */
void acks_on_arrival(struct sim_session *session, struct sim_content *content, bool redelivered);
/* A client of that id, which has the message, begins to acknowledge it. */
void acks_said(struct sim_content *content, int id);
/* The same at another node. Did one of this node acknowledge a message with that id? */
void acks_said_elsewhere(struct sim_content *content, int id);
bool ack_said_here(const char *message_id, int id);
/* When the last copy was handed whole to the socket of the session; 0: none was. */
uint64_t acks_arrived_ns(const struct sim_session *session, uint32_t content);
/* The place of the client id among those of the message; -1: it is not for it. */
int ack_place(const struct sim_content *content, int id);
/* Nobody but this message has or had its id, so far, and it was tried once. */
bool ack_is_alone(const struct sim_content *content);

/* --- what the node knows (sim_fates.c) -------------------------------------------------------- */

/* A worker, or a port, has ended its turn. */
void fate_records_look(struct server *server);
/* How many messages for the id were written to some session, and are not settled. */
unsigned fate_records_in_flight(int id);
/* What was seen of the fate of a message for one of its ids, the latest of that message id: of one
 * that is lent by that run; of the node's own, if it is empty. */
struct fate_seen {
    bool found;
    uint8_t state;
    uint64_t stamp; /* when it was settled */
};
struct fate_seen fate_record_find(struct span run, const char *message_id, int id);
/* Whoever is not settled is kept, and the other way round. */
void fate_records_quiet_check(struct server *server);
/* The end: each fate against what was asked, sent, and said. */
void fate_records_account(const struct stats *total, bool forgotten);
void fate_records_open(void);
void fate_records_close(void);

/* --- what keepers have (sim_keepers.c) -------------------------------------------------------- */

void keeper_turn_check(const struct worker *worker);
void keepers_quiet_check(struct server *server);
/* Some publish has several keepers, which are not told yet what was decided. */
bool keepers_undecided(const struct server *server);
/* Nothing is kept any more. */
bool keepers_empty(const struct server *server);

/* --- who does not acknowledge (sim_silence.c) ------------------------------------------------- */

void silence_open(void);
void silence_close(void);
/* A worker has ended its turn: what it keeps, one by one, and its sessions. */
void silence_look(const struct worker *worker, const struct kept *kept);
void silence_turn(const struct worker *worker);
void silence_quiet_check(const struct server *server);

/* --- the end ---------------------------------------------------------------------------------- */

/* `sent`: the class is for these messages alone. */
void acks_account(const struct stats *total, uint64_t forgotten);

/* --- peers (sim_acker.c, sim_ack_calls.c) ----------------------------------------------------- */

void acker_begin(struct sim_peer *peer);
/* The client has read a message. */
void acker_on_message(struct sim_peer *peer, uint32_t content);
void acker_act(struct sim_peer *peer);

/* An operator asks for a message, withdraws it, or asks what waits. False: there is none yet. */
bool ack_call_draw(struct request *request, struct text *target, const char **method);
void ack_call_take(const struct request *request, unsigned status, struct span body);

#endif
