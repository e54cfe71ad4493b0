/* client.h - one session of the JSON client protocol: what its lines do, whatever they come in.
 *
 *             hello              on_drain
 *   GREETING -------> LIVE ------------------> LEAVING
 *   (deadline:        (deadline: ping,         (goodbye is said; input is thrown away; closes when
 *    hello)            then                     all has left)
 *                      heartbeat_timeout)
 *
 * A transport (tcp.h, websocket.h) cuts lines out of its bytes and hands each to client_on_line;
 * this answers through connection_write in the framing that the transport chose. Too many sends
 * without an answer hold back the lines behind them; messages go on flowing.
 *
 * A session gets messages from its welcome on, not before: until then session_type.outbox
 * answers NULL. Whoever publishes after a client has seen its welcome reaches it.
 *
 * The one deadline of the connection serves hello, ping and heartbeat: hearing something only notes
 * the time, and the deadline looks at that when it comes.
 *
 * Threads: the connection's worker. Owns: the session in the connection's state area. Limits:
 * CLIENT_SENDS_MAX sends in flight for each client; lines as limits.h has them. Never publishes by
 * itself: sends go through the client_gate. */
#ifndef RINGPOST_PROTO_CLIENT_CLIENT_H
#define RINGPOST_PROTO_CLIENT_CLIENT_H

#include "core/connection.h"
#include "core/session.h"
#include "proto/client/line.h"
#include "proto/ws/ws_frame.h"

struct worker;

/* Sends of one client without an answer; what is behind them waits in the socket. */
#define CLIENT_SENDS_MAX 256

#define CLIENT_LINE_S_BITS 12

enum client_framing {
    CLIENT_FRAMING_NONE,    /* TCP: nothing has come yet */
    CLIENT_FRAMING_LINE,    /* a JSON object a line */
    CLIENT_FRAMING_COUNTED, /* control lines, counted payloads */
    CLIENT_FRAMING_FRAME    /* WebSocket: a JSON object a text frame */
};

enum client_stage { CLIENT_GREETING, CLIENT_LIVE, CLIENT_LEAVING };

/* The state area of a client's connection. */
struct client {
    struct session session;
    void *producer; /* the client_gate's own; NULL: it never sent */
    union {
        struct ws_parser frames; /* CLIENT_FRAMING_FRAME */
        uint32_t known_bytes;    /* TCP: of the input that is kept, already looked at */
        uint32_t left_bytes;     /* of messages in the outbox, when it was closed as too slow */
        const struct client_failure *why; /* while `cut`: how it will end */
    };
    uint32_t heard_ms;    /* when something came last; wraps */
    uint32_t sends : 9;   /* without an answer */
    uint32_t framing : 2; /* enum client_framing */
    uint32_t stage : 2;   /* enum client_stage */
    bool pinged : 1;      /* and nothing was heard since */
    bool held : 1;        /* its input is paused */
    bool ended : 1;       /* the peer's end has come; answers are still owed */
    bool cut : 1;         /* nothing more of its input can be read */
    bool deflates : 1;    /* over WebSocket: messages may be compressed */
    bool again : 1;       /* a line is read again: one that ends the session (client_bad), or one
                             for which there was no room elsewhere */
    bool line_late : 1;   /* the transport's: the unfinished line was late once */
    uint32_t line_s : CLIENT_LINE_S_BITS; /* the transport's: since when a line is unfinished, in
                                             seconds, which wrap; 0: none is */
};

_Static_assert(CLIENT_SENDS_MAX < 1 << 9, "they can be counted");
_Static_assert(sizeof(struct client) <= CONNECTION_STATE_BYTES, "a client fits its slot");

static inline struct client *client_of(struct connection *connection) {
    return connection_state(connection);
}
struct connection *client_connection(struct client *client);

/* A session that sends and has no connection of its own: it shares one, or comes by polls. Embedded
 * in what its protocol keeps of it, which stays until `sends` is 0. */
struct client_sender {
    const struct client_sender_type *type;
    struct session *session;
    void *producer; /* the client_gate's own; NULL: it never sent */
    uint32_t sends; /* without an answer */
};

/* Called on its worker, perhaps while it is closed already. */
struct client_sender_type {
    /* The answer to a send, once. */
    void (*sent)(struct worker *worker, struct client_sender *sender, struct span ref,
                 struct span id, const char *state);
    void (*refused)(struct worker *worker, struct client_sender *sender, enum code code,
                    const char *text, struct span ref);
    /* After the answer to one that had been taken: `sends` is one less, and nothing of the sender
     * is looked at any more. */
    void (*ended)(struct worker *worker, struct client_sender *sender);
};

/* One `send` of a client. */
struct client_send {
    struct span fields;  /* the object with the message's fields */
    struct span payload; /* COUNTED: `data`, apart; BYTES: the bytes that `data` stands for */
    struct span ref;     /* what the answer is told with; LINE: empty, it is in the fields */
    enum client_send_form {
        CLIENT_SEND_LINE,
        CLIENT_SEND_COUNTED,
        CLIENT_SEND_OBJECT, /* the fields of a message and nothing else */
        CLIENT_SEND_BYTES
    } form;
};

/* How sends leave the client protocol: filled by ingest, so that proto need not know it, and put
 * into server_parts by the composition root. Without it every send is `forbidden`. Each function
 * runs on the client's worker. */
struct client_gate {
    /* Takes the message and answers it, now or later, by client_sent or client_refused. While
     * that is under way the connection has a publish outstanding, and client_send_begun was
     * called. The spans die when it returns. */
    void (*send)(struct worker *worker, struct connection *connection,
                 const struct client_send *send);
    /* The slot is about to be freed: lets go of client->producer, which is not NULL. */
    void (*release)(struct worker *worker, struct connection *connection);
    /* The same for a session of another transport. What is wrong with the message is told by
     * `refused`, and ends nothing. */
    void (*sender_send)(struct worker *worker, struct client_sender *sender,
                        const struct client_send *send);
    void (*sender_release)(struct worker *worker, struct client_sender *sender);
};

/* For the client_gate: a send that will be answered later, and its answer. */
void client_send_begun(struct connection *connection);
void client_send_ended(struct worker *worker, struct connection *connection);
/* `ok` with the id and state of a send; nothing without ref. */
void client_sent(struct worker *worker, struct connection *connection, struct span ref,
                 struct span id, const char *state);
/* An error that the session outlives. `ref` may be empty. */
void client_refused(struct worker *worker, struct connection *connection, enum code code,
                    const char *text, struct span ref);
/* An error; ends the session if its code is one that does, or if there was no welcome yet. */
void client_fail(struct worker *worker, struct connection *connection, enum code code,
                 const char *text, struct span ref);

/* An error that ends the session, whatever the code; `close_code` as struct client_failure has it.
 */
void client_refuse(struct worker *worker, struct connection *connection, enum code code,
                   const char *text, unsigned close_code);

/* The same as client_fail for what was just read, which leaves accepted sends their answers: false
 * if the error ends the session and sends are without an answer. Nothing was said then. The
 * transport finds `again`, keeps the line in its input, and hands it over once more when all are
 * answered. */
bool client_bad(struct worker *worker, struct connection *connection, enum code code,
                const char *text, struct span ref);

/* For the transport. */

/* The beginning: the deadline for the hello. The framing is not known yet. */
void client_open(struct worker *worker, struct connection *connection);
/* Something was heard. */
void client_heard(struct worker *worker, struct connection *connection);
/* May the next line be handed over? False: it waits in the input, which is paused. */
bool client_ready(struct worker *worker, struct connection *connection);
/* One line. `payload`: what followed it in counted framing. */
void client_on_line(struct worker *worker, struct connection *connection,
                    const struct client_line *line, struct span payload);
/* A line that could not be read; false as client_bad. */
bool client_on_complaint(struct worker *worker, struct connection *connection,
                         const struct complaint *complaint, struct span ref);
/* Nothing behind it can be read, since a part was lost or makes no sense: it ends when all sends
 * are answered. `why` is a constant. */
struct client_failure {
    enum code code;
    unsigned close_code; /* of a close frame; 0: what belongs to the code */
    const char *text;
};
void client_cut(struct worker *worker, struct connection *connection,
                const struct client_failure *why);
/* A line, frame or message that was begun must get on, by its size, or whoever drips bytes holds
 * memory for ever. `unfinished`: one is, of which so many bytes have come; `anew`: it was begun by
 * what came now. The session may end. */
void client_input_look(struct worker *worker, struct connection *connection, bool unfinished,
                       size_t bytes, bool anew);
/* protocol.h: on_end, on_deadline, on_sent, on_drain, on_close, on_free. */
void client_on_end(struct worker *worker, struct connection *connection);
bool client_is_waited(const struct worker *worker, const struct connection *connection);
void client_on_deadline(struct worker *worker, struct connection *connection);
void client_on_sent(struct worker *worker, struct connection *connection);
void client_on_drain(struct worker *worker, struct connection *connection);
void client_on_close(struct worker *worker, struct connection *connection);
void client_on_free(struct worker *worker, struct connection *connection);

#endif
