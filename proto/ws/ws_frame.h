/* ws_frame.h - the frames of WebSocket (RFC 6455), server side: bytes of one connection in, whole
 * messages and control frames out; and the heads of frames that go the other way.
 *
 * A pure function over bytes: no socket, no clock, no allocation. The caller owns the buffer and
 * always presents, in one contiguous piece, all from the first byte of the current message to the
 * last byte received: what a call did not use, the same bytes though perhaps elsewhere, and what
 * has come since. The parser keeps numbers, never pointers, and resumes where it stopped. It writes
 * to the buffer: each byte of a payload is unmasked in place once, as it comes, and if it is text
 * checked for UTF-8 in the same call; so a text is refused with the byte that breaks it.
 *
 *   for (;;) {
 *       event = ws_next(&parser, at, len, &limits, &item);
 *       if (event == WS_MORE) break;
 *       ... look at item ...
 *       at += item.used, len -= item.used;
 *   }
 *
 * A message in several frames stays in the buffer, with its heads, until its last frame is whole.
 * Then what the frames carry is moved together in place, once. A control frame between them is told
 * at once, with `used` 0 because the message is not to be lost; the next call goes on behind it,
 * so it is told once. A control frame outside of a message is used with the event.
 *
 *     MORE, TEXT, BINARY, PING, PONG ---> CLOSE or REFUSED, and nothing ever after
 *
 * Behind the end everything that comes is used and says MORE.
 *
 * Limits. A message has at most `message_bytes_max` bytes of payload; the head of the frame that
 * goes beyond refuses it, before its payload comes. A message in several frames may take twice that
 * and WS_FRAMING_BYTES in the buffer, with the heads and the control frames between, so that nobody
 * fills the memory with empty frames: a frame that would end beyond is refused, too (1009). Whoever
 * sends pieces of 8 bytes or more and few control frames never comes there. ws_input_bytes_max says
 * what the caller must be able to keep; then a call with a full buffer never says MORE.
 *
 * Threads: any, one at a time per parser. */
#ifndef RINGPOST_PROTO_WS_WS_FRAME_H
#define RINGPOST_PROTO_WS_WS_FRAME_H

#include "core/base/builder.h"
#include "core/base/span.h"

#define WS_CONTROL_BYTES_MAX 125 /* the payload of a ping, a pong or a close */
#define WS_HEAD_BYTES_MAX 14     /* of a frame that a client sends */
/* What `message_bytes_max` may be; the fields of ws_parser are made for it. */
#define WS_MESSAGE_BYTES_MAX ((1u << 24) + 4096)
#define WS_FRAMING_BYTES 65536

enum ws_opcode {
    WS_OPCODE_CONTINUATION = 0,
    WS_OPCODE_TEXT = 1,
    WS_OPCODE_BINARY = 2,
    WS_OPCODE_CLOSE = 8,
    WS_OPCODE_PING = 9,
    WS_OPCODE_PONG = 10,
};

/* RFC 6455 7.4.1 and the registry that it began, as far as somebody here says them. */
enum ws_close_code {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,    /* what came is no WebSocket */
    WS_CLOSE_UNSUPPORTED = 1003, /* a kind of message that is not taken here */
    WS_CLOSE_NONE = 1005,        /* never sent: the peer gave no code */
    WS_CLOSE_BAD_TEXT = 1007,    /* not UTF-8; what is compressed is broken */
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_LARGE = 1009,
    WS_CLOSE_INTERNAL = 1011,
    WS_CLOSE_RESTART = 1012,
    WS_CLOSE_TRY_LATER = 1013,
};

/* What one connection needs to remember; owns nothing. All zero at its first byte. */
struct ws_parser {
    uint32_t known;          /* the end of what is unmasked and looked at */
    uint32_t frame_at : 26;  /* where the frame begins that is being read */
    uint32_t utf8 : 4;       /* of a text: where utf8_run is in it */
    uint32_t in_message : 1; /* a frame of it is whole, its last one is not */
    uint32_t is_over : 1;    /* CLOSE or REFUSED was told */
};
_Static_assert(sizeof(struct ws_parser) == 8, "every connection has one");

enum ws_event {
    WS_MORE,   /* receive more, then present it all again */
    WS_TEXT,   /* a whole message; UTF-8 unless it is compressed */
    WS_BINARY, /* a whole message */
    WS_PING,
    WS_PONG,
    WS_CLOSE,   /* the peer's last frame: answer with ws_close_write, then close */
    WS_REFUSED, /* broken: close with item->close_code */
};

/* The same for all calls of a parser. */
struct ws_limits {
    size_t message_bytes_max; /* of what was sent: compressed, if it was; at most
                                 WS_MESSAGE_BYTES_MAX */
    bool deflate;             /* permessage-deflate was agreed on: messages may be compressed */
};

struct ws_item {
    struct span bytes; /* message, payload, or reason of a close; in the caller's buffer, until the
                          next call or until the caller touches that */
    size_t used;       /* bytes that are done with, from the front */
    bool compressed;   /* WS_TEXT, WS_BINARY: to be inflated, and a text then checked for UTF-8 */
    uint16_t close_code; /* WS_CLOSE: what the peer said, WS_CLOSE_NONE if nothing.
                            WS_REFUSED: WS_CLOSE_PROTOCOL, _BAD_TEXT or _TOO_LARGE */
    const char *why;     /* WS_REFUSED: a constant, in words that fit a close frame */
};

/* Looks at `at[0..len)`, see above; fills `item` for every event, also for WS_MORE (`used` is 0,
 * but behind the end). `at` may be NULL if `len` is 0. */
enum ws_event ws_next(struct ws_parser *parser, char *at, size_t len,
                      const struct ws_limits *limits, struct ws_item *item);

/* A message that was told cannot be taken now: it is put back, as one frame at the end of where it
 * was, for the next ws_next, which tells it again. `event` and `item` are what was told, `at` is
 * the same as then. Returns the bytes before it, which are used. */
size_t ws_put_back(char *at, enum ws_event event, const struct ws_item *item);

/* What the buffer must hold for messages of so many bytes. */
static inline size_t ws_input_bytes_max(size_t message_bytes_max) {
    return 2 * message_bytes_max + WS_FRAMING_BYTES + WS_HEAD_BYTES_MAX;
}

/* May a close frame hold it? 1000 to 1003, 1007 to 1014 and 3000 to 4999; the others are not given
 * out or must not be sent. */
bool ws_close_code_is_good(unsigned code);

/* The head of a frame that the server sends: one frame is one message, not masked. */
#define WS_SERVER_HEAD_BYTES_MAX 10
static inline size_t ws_head_bytes(size_t payload_bytes) {
    return payload_bytes <= 125 ? 2 : payload_bytes <= 65535 ? 4 : 10;
}
/* Writes exactly that many bytes, or, without room for all, none. `compressed` is for messages
 * where deflate was agreed on. */
void ws_head_write(struct builder *out, enum ws_opcode opcode, bool compressed,
                   size_t payload_bytes);

/* Writes a whole close frame of at most 127 bytes, or none. Of the reason, which is UTF-8, as many
 * whole characters as fit. With WS_CLOSE_NONE it has neither code nor reason; any other code is one
 * that ws_close_code_is_good. */
void ws_close_write(struct builder *out, uint16_t code, struct span reason);

#endif
