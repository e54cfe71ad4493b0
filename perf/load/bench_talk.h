/* bench_talk.h - what a client of the load tool says, in each form.
 *
 * A text is made in a talk, which has room for a frame's head in front of it. What goes to the
 * socket is one masked frame over WebSocket, a line of lines, and the text itself in a poll.
 *
 * Pure functions over bytes but for the talk. Threads: one for each talk. */
#ifndef RINGPOST_PERF_LOAD_BENCH_TALK_H
#define RINGPOST_PERF_LOAD_BENCH_TALK_H

#include "perf/load/bench_share.h"
#include "perf/load/bench_ws.h"

/* Below the limit of a control line of counted framing. */
#define BENCH_TALK_BYTES 4000u

struct bench_talk {
    uint64_t masks; /* of the last frame's mask; any number at first */
    uint32_t len;   /* of the text */
    uint32_t count; /* ids of an acknowledgement in it */
    uint8_t room[BENCH_WS_HEAD_MAX + BENCH_TALK_BYTES + 8];
};

/* What goes to the socket. Within the talk, until the next text is made in it. */
struct bench_said {
    const uint8_t *at;
    size_t len;
};

/* What a client says first: its hello, or the request for WebSocket or for events, whose path has
 * the registration unless share->by_hello or it is Socket.IO. `nonce` makes the handshake of
 * WebSocket another one. Not in polls. */
struct bench_said bench_talk_first(struct bench_talk *talk, const struct bench_share *share,
                                   uint32_t number, uint64_t nonce);
/* Of Socket.IO: its CONNECT, with the registration unless share->by_hello. */
struct bench_said bench_talk_connect(struct bench_talk *talk, const struct bench_share *share,
                                     uint32_t number);
/* Its hello; of Socket.IO its `register`. */
struct bench_said bench_talk_hello(struct bench_talk *talk, const struct bench_share *share,
                                   uint32_t number);
/* A heartbeat of its own: over WebSocket a text as well, since a browser has no other. None is of
 * events. */
struct bench_said bench_talk_ping(struct bench_talk *talk, enum bench_form form);
/* The answer to a line that is a ping, which begins at `at`. */
struct bench_said bench_talk_pong(struct bench_talk *talk, enum bench_form form,
                                  const struct bench_line *line, const uint8_t *at);
/* One more id to acknowledge. False: there is no room for it, say those first that there are. */
bool bench_talk_ack(struct bench_talk *talk, enum bench_form form, const struct bench_asks *asks);
/* All of them; the talk has none any more. */
struct bench_said bench_talk_acks(struct bench_talk *talk, enum bench_form form);

/* The key of the handshake that bench_talk_first has made with the same values. */
void bench_talk_key(char out[BENCH_WS_KEY_BYTES + 1], const struct bench_share *share,
                    uint32_t number, uint64_t nonce);

#endif
