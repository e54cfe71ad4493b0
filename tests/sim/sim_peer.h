/* sim_peer.h - the other ends: clients on raw TCP, producers and operators over HTTP, and those who
 * mean no good.
 *
 * A peer lives several lives, each with a connection of its own. What it writes waits in `out`
 * until the link takes it; what it reads comes as events of the tap.
 *
 * Threads: one. Owns: peers. */
#ifndef RINGPOST_TESTS_SIM_SIM_PEER_H
#define RINGPOST_TESTS_SIM_SIM_PEER_H

#include "tests/sim/sim_check.h"
#include "tests/sim/sim_world.h"

enum peer_kind { PEER_CLIENT, PEER_PRODUCER };

enum peer_style {
    STYLE_GOOD,
    STYLE_SLOW, /* reads little, and late */
    STYLE_DEAF, /* never reads */
    STYLE_MUTE, /* never answers a ping */
    STYLE_ABUSIVE
};

/* What a client waits for, by its ref. */
struct client_wish {
    enum { WISH_JOIN, WISH_LEAVE, WISH_SEND } kind;
    uint32_t ref;
    uint32_t attempt;
    uint64_t sent; /* stamp */
    unsigned groups[4], group_count;
};

#define WISHES_MAX 320

/* A request whose answer has not come. */
enum request_kind {
    REQUEST_MESSAGE,
    REQUEST_BATCH,
    REQUEST_LINES,
    REQUEST_REFUSED, /* must be answered with 4xx */
    REQUEST_CALL,    /* an operator's question; `status` says what is right */
};

struct request {
    struct request *next;
    enum request_kind kind;
    uint32_t *attempts;
    unsigned attempt_count;
    uint64_t end;      /* offset in the stream to the node, from the first byte behind it */
    uint64_t taken_ns; /* when the node had all of it; 0: not yet */
    uint64_t begin;    /* stamp */
    enum {
        CALL_NONE,
        CALL_ANYTHING,
        CALL_SESSIONS,
        CALL_CLOSE,
        CALL_MOVE,
        CALL_PAGE,
        CALL_FATE,
        CALL_WITHDRAW,
        CALL_PENDING
    } call;
    uint32_t content; /* CALL_FATE, CALL_WITHDRAW; UINT32_MAX: of nobody here */
    char message[66]; /* CALL_FATE: its id */
    int id;
    unsigned group;
    unsigned limit; /* CALL_PAGE, CALL_PENDING */
    bool leaves;    /* CALL_MOVE: out of the group */
};

/* What a client does with messages that are to be acknowledged (sim_acker.c). */
#define ACKER_OWED_MAX 64
struct acker {
    enum { ACKER_PROMPT, ACKER_LATER, ACKER_NEVER } style;
    uint32_t owed[ACKER_OWED_MAX]; /* contents that it has and has not acknowledged */
    unsigned count;
};

struct sim_peer {
    unsigned number;
    enum peer_kind kind;
    enum peer_style style;
    enum listener_kind listener;
    struct peer_address address;
    unsigned lives;
    struct link *link; /* NULL: between two lives */
    struct text out;
    uint64_t next_ns; /* when it acts by itself */
    uint64_t read_ns; /* when it reads again */
    uint64_t stop_ns; /* when this life ends; CLOCK_NEVER: it stays */
    bool ending;      /* has sent its end */

    /* Clients. */
    struct sim_session *session;
    bool welcome, hello_sent;
    struct acker acker;
    int last_id;             /* of its life before, + 1 */
    struct sim_session *was; /* its last stream of events, */
    char last_text[66];      /* the id of what it read there last, */
    unsigned last_acks;      /* and how much that is to be acknowledged it had by then */
    uint64_t hello_ns;
    unsigned script; /* of an abusive one */
    unsigned script_step;
    uint32_t last_ref;
    struct client_wish wishes[WISHES_MAX];
    unsigned wish_count;

    /* Those who send messages. */
    uint32_t stream;
    unsigned messages_left, acts_left;
    unsigned flood; /* messages that a client still has to send at once */
    unsigned depth; /* requests that it has under way at a time */
    struct request *requests, **requests_end;
    unsigned request_count;
    bool closes; /* its last request said so */
};

void peers_open(void);
void peers_close(void);
/* Lets some of them act; true when something happened. */
bool peers_step(void);
bool peers_can_step(void);
uint64_t peers_next_ns(void);
/* No producer has anything left to send or to wait for. */
bool peers_idle(void);
/* All of them end their lives now, one way or another. */
void peers_leave(void);
/* Is every connection over? */
bool peers_gone(void);
/* Those who are between two lives all come at once. */
void peers_rush(void);
/* Tells what those who are not gone wait for. */
void peers_describe(void);
/* Fails if somebody has waited too long for what is due to him. */
void peers_check(void);

/* --- between the files of the peers ------------------------------------------------------------
 */

/* Appends to what is on its way out; as frames, if that is what its session speaks. */
void peer_write(struct sim_peer *peer, const struct text *text);
void peer_say(struct sim_peer *peer, const char *words);
/* Connects and writes a PROXY header where one is due. False: nobody listens. */
bool peer_connect(struct sim_peer *peer);
/* The end, sent; a reset. */
void peer_end(struct sim_peer *peer);
void peer_reset(struct sim_peer *peer);
uint64_t think_ns(void);

void client_begin(struct sim_peer *peer);
void client_act(struct sim_peer *peer);
void client_on_event(struct sim_peer *peer, const struct tap_event *event);
void client_over(struct sim_peer *peer);
void producer_begin(struct sim_peer *peer);
void producer_act(struct sim_peer *peer);
void producer_over(struct sim_peer *peer);

/* Scripts of those who mean no good. */
#define CLIENT_SCRIPTS 14
#define PRODUCER_SCRIPTS 14
void abusive_client_act(struct sim_peer *peer);
void abusive_producer_act(struct sim_peer *peer);
struct request *request_add(struct sim_peer *peer, enum request_kind kind);

/* Some producer acts at once. */
void peers_hurry(void);

/* A new content that the peer might send, or one that was tried before. */
struct sim_content *content_make(struct sim_peer *peer, bool for_path);
/* One that another node keeps. */
struct sim_content *content_make_lent(void);
/* The fields of the message as a JSON object; `without_data` for counted framing. */
void content_write(const struct sim_content *content, struct text *text, const char *before,
                   bool without_data);

/* --- from the tap, at the moment when the node writes ---------------------------------------- */

void client_on_welcome(struct sim_session *session);
void client_on_ok(struct sim_session *session, uint32_t ref, struct span id, struct span state);
void client_on_error(struct sim_session *session, uint32_t ref, const char *code);
void producer_on_answer(struct sim_peer *peer, unsigned status, struct span body);

#endif
