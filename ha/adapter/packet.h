/* packet.h - what servers of a Socket.IO cluster publish to each other by @socket.io/redis-adapter
 * (and socket.io-redis before it), and what the emitters publish: channels, events, requests.
 *
 *   KEY#NSP# and KEY#NSP#ROOM#    [uid, {type, data: [event, ...], nsp}, {rooms, except, flags}]
 *   KEY-request#NSP#              a request; JSON, or of an event that wants acknowledgements
 *                                 MessagePack
 *   KEY-response#NSP#             what is answered
 *
 * Events of Socket.IO 1 to 4: without uid, without `except`, with type 5 where they hold bytes.
 * Requests of socket.io-redis 5 and older have other numbers, and `requestid`: they are told by
 * that. They, and those of version 6.0, are about one session; its server answers.
 *
 * Threads: any (pure functions). Owns nothing: spans point into the text. Limits: those of what is
 * read; ADAPTER_ID_BYTES_MAX. */
#ifndef RINGPOST_HA_ADAPTER_PACKET_H
#define RINGPOST_HA_ADAPTER_PACKET_H

#include "core/limits.h"
#include "ha/adapter/msgpack.h"

/* Of --socketio-redis-key; of a channel with a namespace and a room. */
#define ADAPTER_KEY_BYTES_MAX 64
#define ADAPTER_CHANNEL_BYTES_MAX 384
/* Of a request's id, as JSON. */
#define ADAPTER_ID_BYTES_MAX 128

enum adapter_place { ADAPTER_EVENTS, ADAPTER_REQUESTS, ADAPTER_RESPONSES };

/* The name of a channel; `room` empty: that of all. Not longer than ADAPTER_CHANNEL_BYTES_MAX. */
void adapter_channel_write(struct builder *out, enum adapter_place place, struct span key,
                           struct span namespace, struct span room);
/* The pattern of all channels of events of a namespace. */
void adapter_pattern_write(struct builder *out, struct span key, struct span namespace);
/* A channel of events or requests. False: it is none of that key. */
bool adapter_channel_read(struct span key, struct span text, enum adapter_place *place,
                          struct span *namespace, struct span *room);

struct adapter_event {
    struct span uid;  /* of its sender; empty: it has none */
    struct span nsp;  /* empty: not said */
    struct span name; /* the event's */
    struct span data; /* its arguments, `data_count` values of MessagePack */
    uint32_t data_count;
    struct span rooms, except; /* values of MessagePack: so many */
    uint32_t room_count, except_count;
    bool is_volatile;
};

/* Reads what came on a channel of events. NULL, or a constant that says what is wrong. */
const char *adapter_event_read(struct span text, struct adapter_event *event);
/* Of a list of values, the next string; false: there are no more. Others are passed over. */
bool adapter_name_next(struct span *rest, uint32_t *left, struct span *name);
/* Writes its arguments as JSON: one as it is, several as an array, none as null. NULL, or what is
 * wrong. */
const char *adapter_data_write(const struct adapter_event *event, struct builder *out);
/* Is its one argument bytes? */
bool adapter_data_is_bytes(const struct adapter_event *event, struct span *bytes);

/* The beginning of an event, up to its data, then its end: `rooms` and `except` are put by
 * msgpack_put_str, as many as are announced to adapter_rooms_write. */
void adapter_event_begin(struct builder *out, struct span uid, struct span name);
void adapter_event_nsp(struct builder *out, struct span nsp);
void adapter_event_rooms(struct builder *out, uint32_t count);
void adapter_event_except(struct builder *out, uint32_t count);
void adapter_event_end(struct builder *out, bool is_volatile);
/* All of these together, without what they are given. */
#define ADAPTER_EVENT_BYTES 128

enum adapter_does {
    ADAPTER_SOCKETS,
    ADAPTER_ALL_ROOMS,
    ADAPTER_JOIN,
    ADAPTER_LEAVE,
    ADAPTER_DISCONNECT,
    ADAPTER_FETCH,
    ADAPTER_SERVER_EMIT,
    ADAPTER_BROADCAST,
    ADAPTER_CLIENT_ROOMS, /* of one session; only by old servers, as are requests about one: */
    ADAPTER_NOTHING,      /* it is meant for others, or only says that somebody lives */
    ADAPTER_UNKNOWN
};

struct adapter_request {
    enum adapter_does does;
    bool is_old;       /* `requestid` */
    bool is_answered;  /* it has an id, and whoever asks waits for every server */
    struct span id;    /* as JSON; empty: none */
    struct span rooms; /* JSON arrays; empty: none */
    struct span except;
    struct span joins; /* JOIN, LEAVE */
    struct span one;   /* a JSON string: the one session that it is about; empty: by rooms */
    bool close;
    struct adapter_event event; /* BROADCAST */
    struct span uid;            /* of the sharded adapter: who is answered; empty: of the other */
};

/* Reads a request. NULL, or what is wrong; `request->id` is there if it could be made out. `room`
 * holds the id of one in MessagePack. */
const char *adapter_request_read(struct span text, char room[ADAPTER_ID_BYTES_MAX],
                                 struct adapter_request *request);

/* Who answers; looked at for the sharded adapter alone. */
struct adapter_answerer {
    struct span uid; /* not longer than ADAPTER_UID_MAX */
    struct span nsp; /* not longer than NAMESPACE_BYTES_MAX */
};
#define ADAPTER_UID_MAX 64

/* What surrounds the values of an answer, which stand apart by commas: before, and behind them. */
#define ADAPTER_ANSWER_BYTES                                                                       \
    (ADAPTER_ID_BYTES_MAX + 6 * (ADAPTER_UID_MAX + NAMESPACE_BYTES_MAX) + 128)
void adapter_answer_begin(const struct adapter_request *request,
                          const struct adapter_answerer *answerer, struct builder *out);
void adapter_answer_end(const struct adapter_request *request, struct builder *out);

/* --- for sharded.c ---------------------------------------------------------------------------- */

struct json_value;

/* What stands in a map of MessagePack: values as they lie; empty: it is not there. */
struct adapter_parts {
    uint64_t type; /* UINT64_MAX: none */
    struct span packet, options, data;
    struct span rest; /* behind the map */
};
/* Sets the request's id, and its event's uid and nsp, too. NULL, or what is wrong. */
const char *adapter_parts_read(struct span text, char room[ADAPTER_ID_BYTES_MAX],
                               struct adapter_request *request, struct adapter_parts *parts);
/* The event that its packet and options are. */
const char *adapter_parts_event(const struct adapter_parts *parts, struct adapter_event *event);
/* `opts` of a request in JSON. False: whom it is about cannot be told, and all would be too many.
 */
bool adapter_targets_read(struct adapter_request *request, struct span object);
/* The request's id, if it is one. */
void adapter_id_take(struct adapter_request *request, const struct json_value *value);

#endif
