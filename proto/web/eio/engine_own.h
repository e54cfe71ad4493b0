/* engine_own.h - an Engine.IO session from the inside: for the files of this folder alone.
 *
 *   OPEN --engine_finish--> FINISHING --all has left, or time--> GONE (freed)
 *     \---------------------- engine_end --------------------------/
 *
 *   engine.c         slots, packets, the end
 *   engine_written.c what a session has while it polls, the packets that wait in there
 *   engine_time.c    heartbeats, deadlines, the drain
 *   engine_poll.c    a poll where its session lives: what it brings, what it is answered
 *   engine_front.c   a poll where it was accepted: to the session and back
 *   engine_serve.c   requests: what is wrong with them, handshakes
 *   engine_socket.c  the WebSocket transport, and the upgrade to it
 *
 * Whoever calls the app, or writes to a connection, holds the session meanwhile (engine_hold): it
 * may end there, and is freed when the last hold ends.
 *
 * Threads: the session's home worker. */
#ifndef RINGPOST_PROTO_WEB_EIO_ENGINE_OWN_H
#define RINGPOST_PROTO_WEB_EIO_ENGINE_OWN_H

#include "core/base/check.h"
#include "core/base/list.h"
#include "core/outbox.h"
#include "core/pool.h"
#include "core/task.h"
#include "core/timer.h"
#include "core/wait.h"
#include "proto/web/eio/engine.h"
#include "proto/web/eio/engine_codec.h"
#include "proto/web/eio/engine_sid.h"

struct poll;
struct connection;

enum engine_stage { ENGINE_IS_OPEN, ENGINE_IS_FINISHING, ENGINE_IS_GONE };

/* What a session has while it polls, and after an upgrade until nothing of its polls is left: one
 * that begins with a WebSocket never has it. */
struct engine_polls {
    struct engine *engine;
    struct list dirty; /* in engines->dirty while its polls are to be looked at */
    struct peer_address peer;
    bool base64 : 1;          /* version 3: it takes no bytes in polls */
    bool as_bytes : 1;        /* version 3: the answer that is being made is in bytes */
    bool counted : 1;         /* for --max-per-address */
    bool reading : 1;         /* a POST is being looked at */
    bool probed : 1;          /* the probe of an upgrade was answered */
    bool deserted : 1;        /* a poll's connection has gone: it ends later in the turn */
    struct poll *get, *post;  /* that wait here */
    struct connection *probe; /* a WebSocket that may become the session's */
    struct outbox own;        /* messages */
    char *written;            /* packets */
    uint32_t written_len, written_cap;
    uint32_t written_at; /* of those that a poll has taken */
    uint64_t finish_ns;  /* FINISHING: when it ends at the latest; 0 */
    uint64_t probe_ns;   /* when the upgrade must be over; 0 */
    uint64_t retry_ns;   /* there was no memory for an answer; 0 */
};

/* The query of the handshake. */
struct engine_query {
    uint32_t cap, len;
    char text[];
};

/* There are very many of these. */
struct engine {
    uint32_t slot;
    uint8_t random[SID_RANDOM_BYTES];
    uint8_t path;    /* enum engine_path */
    uint8_t version; /* 4 or 3 */
    uint8_t stage;   /* enum engine_stage */
    uint8_t reason;  /* enum close_reason, once it finishes */
    uint8_t parting; /* likewise, if the client ends its WebSocket */
    uint8_t holds;
    uint8_t held_sessions;         /* of the app: while there are any nothing leaves (ready.h) */
    bool pinged : 1;               /* version 4: and not answered yet */
    bool refreshed : 1;            /* something else was heard meanwhile, which counts once */
    bool overdue : 1;              /* it had to answer DEADLINE_GRACE_NS before `beat_ns` */
    bool paused : 1;               /* the app wants no message now */
    bool unknown : 1;              /* the app has not taken it yet */
    struct connection *connection; /* its WebSocket; NULL: it polls */
    struct engine_polls *polls;    /* NULL: it has a WebSocket, and no polls any more */
    struct engine_query *query;    /* NULL: there was none, or it is dropped */
    struct timer timer;
    uint64_t beat_ns; /* the next ping, or when something must have been heard */
    uint64_t app_ns;  /* the app's deadline; 0: none */
    _Alignas(max_align_t) unsigned char state[];
};

/* What a worker has of them. */
struct engines {
    struct engine **at; /* by slot, from 1 on; a free one holds the next free slot */
    uint32_t cap, used, free;
    uint32_t count;
    uint32_t polling; /* that have no WebSocket */
    struct pool pools[ENGINE_PATHS];
    struct list dirty;
    struct task task; /* put off while `dirty` is not empty */
    bool task_waits;
    struct wait wait; /* begun while some poll: the end of the node is told (engine_time.c) */
    bool waits;
    struct timer drain; /* looks whether goodbyes may be said, and says them */
    uint32_t drain_slot;
};

/* engine.c */
struct engines *engines_of(const struct worker *worker);
const struct engine_app *engine_app_of(unsigned path);
/* The first two bytes of every sid of this node. */
uint16_t engines_node(const struct worker *worker);
/* A session of a handshake, over that WebSocket; `connection` NULL: it polls. Then its `polls` are
 * the caller's to fill in. NULL: no memory, or no place. The app does not know of it yet. */
struct engine *engine_make(struct worker *worker, enum engine_path path, unsigned version,
                           struct connection *connection, struct span query);
/* NULL: there is none. */
struct engine *engine_find(struct worker *worker, const struct sid *sid);
struct sid engine_sid_of(const struct worker *worker, const struct engine *engine);
static inline void engine_hold(struct engine *engine) {
    CHECK(engine->holds < UINT8_MAX);
    engine->holds++;
}
/* False: it is gone. */
bool engine_let(struct worker *worker, struct engine *engine);
/* Does a poll wait for what it is told? */
static inline bool engine_has_get(const struct engine *engine) {
    return engine->polls != NULL && engine->polls->get != NULL;
}
static inline bool engine_is_gone(const struct engine *engine) {
    return engine->stage == ENGINE_IS_GONE;
}
/* A packet to the client. False: it has ended for it. Only while it is held. */
bool engine_packet(struct worker *worker, struct engine *engine,
                   const struct engine_packet *packet);
/* One from the client. While it is held. */
void engine_on_packet(struct worker *worker, struct engine *engine,
                      const struct engine_packet *packet);
/* The end. `last` is what a poll that waits is told: ENGINE_CLOSE, or ENGINE_NOOP. While it is held
 * it stays as GONE. */
void engine_end(struct worker *worker, struct engine *engine, enum close_reason reason, char last);
/* Its polls, if it has any, are looked at later in this turn, or in the next. */
void engine_dirty(struct worker *worker, struct engine *engine);
/* It has no WebSocket any more, or has one: counted. False: no more may poll. */
bool engine_polls_begin(struct worker *worker);
void engine_polls_end(struct worker *worker);
/* Its address may be counted as having one client less: it has a connection that is counted. */
void engine_uncount(struct worker *worker, struct engine *engine);
void engine_open_write(struct worker *worker, const struct engine *engine, bool upgrades,
                       struct builder *out);

/* A new one writes its open packet, and the app is told. False: it has ended. While it is held. */
bool engine_begin(struct worker *worker, struct engine *engine);

/* engine_written.c */
/* Its polls begin. False: no memory. */
bool engine_polls_get(struct worker *worker, struct engine *engine);
/* Harmless without any. */
void engine_polls_free(struct worker *worker, struct engine *engine);
/* It was upgraded, and nothing of its polls is left: they may be freed. */
bool engine_polls_over(const struct engine *engine);
/* A packet for the next poll. False: `*reason` to end the session for. */
bool engine_written_add(struct worker *worker, struct engine_polls *polls,
                        const struct engine_packet *packet, enum close_reason *reason);
/* The next packet that waits in `written`, from `at` on; false: there is none. */
bool engine_written_next(const struct engine_polls *polls, uint32_t *at,
                         struct engine_packet *packet);
/* What is in front of `at` is done with. */
void engine_written_took(struct worker *worker, struct engine_polls *polls, uint32_t at);

/* engine_time.c */
void engine_time_init(struct worker *worker, struct engine *engine);
/* The node drains: the app is asked to say goodbye. */
void engine_goodbye(struct worker *worker, struct engine *engine);
/* Something was heard. */
void engine_heard(struct worker *worker, struct engine *engine, const struct engine_packet *packet);
/* Sees that the timer fires at the first of its times. */
void engine_watch(struct worker *worker, struct engine *engine);

/* engine_poll.c */
/* Looks at the polls that wait: is there something for one, may one go on? While it is held. */
void engine_polls_look(struct worker *worker, struct engine *engine);
/* The last answers of polls that wait. */
void engine_polls_close(struct worker *worker, struct engine *engine, char last);
bool engine_has_waiting(struct worker *worker, struct engine *engine);
/* The poll that waits is answered with what waits, or with nothing. */
void engine_get_noop(struct worker *worker, struct engine *engine);

/* engine_socket.c */
/* It ends: its WebSockets say so. */
void engine_sockets_close(struct worker *worker, struct engine *engine, enum close_reason reason);
void engine_socket_write(struct worker *worker, struct engine *engine,
                         const struct engine_packet *packet);
void engine_probe_abandon(struct worker *worker, struct engine *engine);
void engine_socket_pause(struct worker *worker, struct engine *engine, bool paused);

#endif
