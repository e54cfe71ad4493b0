/* sim_check.h - the oracle: who was there, what was accepted, what arrived, and whether that fits.
 *
 * A session is surely addressed by a message when it was registered under one of the addresses
 * before the producer began to send it and until after the answer was given; surely not addressed
 * when it never was in that time; everything between is open to the node's order of events. Stamps
 * (sim_stamp) say what was before what.
 *
 * A content is what a producer wants delivered; an attempt is one try to have it accepted. With an
 * id given by the producer there may be several attempts of one content, and rival contents of one
 * id.
 *
 * Threads: one. Owns: sessions, contents, attempts of one run. */
#ifndef RINGPOST_TESTS_SIM_SIM_CHECK_H
#define RINGPOST_TESTS_SIM_SIM_CHECK_H

#include "core/message.h"
#include "core/stats.h"
#include "tests/sim/sim.h"
#include "tests/sim/sim_text.h"

#define SESSIONS_MAX 768
#define CONTENTS_MAX 8192
#define ATTEMPTS_MAX 16384
#define NAMES_MAX 24
#define SPELLS_MAX 96
#define STREAMS_MAX 1024
#define NEVER UINT64_MAX

struct link;
struct tap;

/* Names of client ids and groups, by number; some are hard to write. */
struct span name_of_id(unsigned id);
struct span name_of_group(unsigned group);
struct span name_of_event(unsigned event);

/* A stay in a group. */
struct spell {
    uint64_t may_from, must_from, must_until, may_until;
    unsigned group;
};

struct sim_session {
    unsigned number;
    struct link *link;
    struct sim_peer *peer;
    int id; /* -1: without one */
    bool counted;
    bool framed;        /* over WebSocket */
    bool deflates;      /* and may be compressed */
    bool sse, plain;    /* over server-sent events; of HTTP/1.0 */
    char text[32];      /* as its welcome called it; SSE */
    bool goodbye;       /* was said to it */
    uint64_t begin_ns;  /* it was made, just before its hello is sent */
    uint64_t may_from;  /* hello sent */
    uint64_t must_from; /* welcome given; NEVER: not yet */
    uint64_t leave;     /* the peer began to leave; NEVER: it has not */
    struct spell spells[SPELLS_MAX];
    unsigned spell_count;
    uint64_t latest_begin; /* stamp; known at the end */
    uint32_t *log;         /* contents, as they arrived */
    unsigned log_count, log_size;
    uint32_t *ack_log;    /* those that are to be acknowledged, each when it arrived first */
    uint64_t *ack_log_ns; /* when each arrived the last time */
    unsigned ack_log_count, ack_log_size;
};

/* What is known of one address of a message that is to be acknowledged: stamps; 0: never. */
struct sim_ack {
    uint64_t written;    /* the first copy was handed whole to a session of the id */
    uint64_t acked;      /* one of its sessions that had it acknowledged it first, */
    uint64_t acked_here; /* and one that was here */
    bool lent;           /* it was handed to other nodes */
    uint8_t told;        /* enum fate_state: the latest that an operator was told, */
    uint64_t told_stamp; /* and when he first was */
};

struct sim_content {
    uint32_t number;
    bool broadcast, is_volatile, is_bytes;
    bool ack;               /* it is to be acknowledged */
    bool lent;              /* another node keeps it */
    bool lent_refused;      /* the node had no room for it once */
    uint32_t lent_taken;    /* how often it was taken */
    char id[66];            /* its id, once it is known; may be another one's too */
    uint64_t withdrawn;     /* stamp: somebody began to withdraw that id; 0: nobody */
    struct sim_ack acks[8]; /* of each of `to` */
    bool contested;         /* others had the same id; known at the end */
    uint8_t to[8], groups[8], except[4];
    uint8_t to_count, group_count, except_count;
    uint8_t event;
    int key;             /* number of the producer's id; -1: none */
    struct text payload; /* as it goes to counted clients */
    struct text json;    /* the same without CR and LF between tokens */
    struct text line;    /* as it goes to JSON clients: in one line for every reader */
    double ttl_s;        /* 0: not given */
    uint32_t attempts, first_attempt, last_attempt;
    uint64_t id_hash;    /* of the id under which it arrived */
    uint32_t arrived;    /* copies handed to sockets whole */
    uint64_t handed_ns;  /* when the last send that began with or before it was started */
    uint32_t ports_took; /* how often ports have said that they take it */
    uint32_t stored;     /* how often the store has it, for good */
    uint32_t taken;      /* how often a producer was told that it was taken */
    uint32_t published;  /* copies that were published in Redis */
    uint8_t port_seen[SIM_PORTS_MAX];
    uint8_t seen[SESSIONS_MAX];
};

enum attempt_state {
    ATTEMPT_OPEN, /* no answer (yet): anything may have become of it */
    ATTEMPT_QUEUED,
    ATTEMPT_ABSENT,
    ATTEMPT_DROPPED,
    ATTEMPT_DUPLICATE,
    ATTEMPT_ID_REUSED,
    ATTEMPT_REFUSED /* 429, 503: nothing was taken */
};

struct sim_attempt {
    uint32_t content;
    uint32_t next; /* of the same content; UINT32_MAX: no more */
    uint32_t stream, order;
    uint64_t scope; /* of the idempotency key */
    uint64_t begin, answer;
    uint64_t begin_ns, answer_ns;
    enum attempt_state state;
    bool stored;         /* QUEUED, and nobody was there */
    bool stopped;        /* answered when the node had stopped */
    bool in_batch;       /* others may be answered with it, by one code */
    bool waits;          /* the answer waits for the acknowledgement */
    uint8_t told;        /* enum fate_state + 1: what the answer said of its fate; 0: nothing */
    bool counted;        /* `recipients` is known */
    uint64_t recipients; /* sessions */
    uint64_t port_recipients;  /* ports */
    uint64_t first_recipients; /* of a duplicate */
    uint64_t id_hash;          /* of the id that was answered; 0: none was */
};

void check_open(void);
void check_close(void);

struct sim_session *session_add(struct link *link, int id, bool counted);
unsigned session_total(void);
struct sim_session *session_at(unsigned number);
/* A join or leave was sent; it was confirmed, and had been sent by the stamp `sent`. */
void session_joining(struct sim_session *session, unsigned group);
void session_joined(struct sim_session *session, unsigned group, uint64_t sent);
void session_leaving(struct sim_session *session, unsigned group);
void session_left(struct sim_session *session, unsigned group, uint64_t sent);
/* The API moves sessions of the id into or out of the group: nothing about that is sure any more.
 */
/* The API was asked, at this moment, to close the sessions of an id: those that there are may end
 * from then on, a while before their links do. */
void close_asked_set(int id);
bool close_asked(const struct sim_session *session, uint64_t before);
/* Others may close the sessions of the id at any time from now on. */
void close_unsure_set(int id);
void group_unsure_set(int id, unsigned group);
bool group_unsure(int id, unsigned group);

/* Names that something just happened to; whoever sends next is likely to take them. */
extern struct hot_names {
    int id; /* -1: none */
    int group;
} hot;

/* Could the session have been registered under the id at some time in [from, until]; surely all the
 * time? */
bool session_maybe(const struct sim_session *session, uint64_t from, uint64_t until);
bool session_surely(const struct sim_session *session, uint64_t from, uint64_t until);

uint32_t stream_add(void);
uint32_t stream_total(void);
struct sim_content *content_add(void);
struct sim_content *content_at(uint32_t number);
/* The number of the content that a message has, as the node keeps it. */
uint32_t content_number(struct span event, struct span payload);
uint32_t content_total(void);
struct sim_attempt *attempt_add(struct sim_content *content, uint32_t stream, uint64_t scope);
/* How many attempts there were under the producer's id of the content, by anybody. */
uint32_t content_rivals(const struct sim_content *content);
struct sim_attempt *attempt_at(uint32_t number);
uint32_t attempt_number(const struct sim_attempt *attempt);
uint32_t attempt_total(void);
void attempt_answered(struct sim_attempt *attempt, enum attempt_state state, bool counted,
                      uint64_t recipients);

uint64_t id_hash_of(struct span id);

/* A port begins to hold a name, or to hear broadcasts. */
void check_port_holds(unsigned port, enum name_kind kind, unsigned name);
void check_port_hears(unsigned port);
/* A message has come to the port, whose own stream is that one. Returns the number of its content.
 */
uint32_t check_port_arrival(unsigned port, uint32_t stream, struct span event, struct span payload);

/* A message has come to the store. Returns the number of its content. */
uint32_t check_store_arrival(struct span event, struct span payload);

/* A copy has come to Redis, on the channel of that address (of all, if there is none), as the whole
 * JSON text; or of one that this node keeps, on that of an id. Returns its content. */
struct sim_content *check_lent(unsigned id, struct span text);
struct sim_content *check_published(const enum name_kind *kind, unsigned name, struct span text);

struct arrival {
    uint64_t offset;                            /* of the stream */
    struct span id, event, group_json, payload; /* `payload` is raw JSON for JSON clients */
    bool has_group, is_bytes, ack, redelivered;
    bool unmarked; /* the transport tells none of these */
};

/* A whole message was handed to the socket of the session. Returns the number of its content. */
uint32_t check_arrival(struct sim_session *session, const struct arrival *arrival);
/* The id of a content, as a producer or a client was told. */
void content_id_known(struct sim_content *content, struct span id);

/* The whole account, when the node has stopped. `total` is the sum of all workers' statistics. */
void check_account(const struct stats *total);

#endif
