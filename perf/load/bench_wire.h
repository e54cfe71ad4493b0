/* bench_wire.h - the bytes that the load tool writes and reads: its payload, its HTTP requests, the
 * answers, and the messages as clients get them. Frames of WebSocket are in bench_ws.h.
 *
 * The payload is a JSON object whose members stand at fixed offsets, so that reading it back is
 * four loads and not a parser:
 *   {"rpb":"<run 8>","n":"<number 8>","to":"<address 8>","at":"<time 16>","fill":"....."}
 * in lower-case hexadecimal digits. The first byte of the filling checks the digits. It must come
 * back byte for byte, and any one byte that does not is noticed.
 *
 * Pure functions over bytes: no clock, no socket, no allocation. Threads: any. */
#ifndef RINGPOST_PERF_LOAD_BENCH_WIRE_H
#define RINGPOST_PERF_LOAD_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_PAYLOAD_MIN 84u
#define BENCH_PAYLOAD_MAX 65536u

/* What an address is stands in its upper four bits, which one in the others. */
#define BENCH_ADDRESS_BITS 28
#define BENCH_ADDRESS_MASK ((UINT32_C(1) << BENCH_ADDRESS_BITS) - 1)
enum bench_kind {
    BENCH_UNICAST = 1,
    BENCH_GROUP = 2,
    BENCH_BROADCAST = 3,
    BENCH_LONE = 4, /* a unicast of the lone producer, see bench_field.h */
    BENCH_KINDS     /* one more than the last */
};

struct bench_payload {
    uint32_t run;    /* which traffic this belongs to */
    uint32_t number; /* counts up from 0 for each address */
    uint32_t to;     /* kind and address */
    uint64_t at_ns;  /* when it should have been, or was, sent; or its ticket (bench_share.h) */
};

/* Eight hexadecimal digits. */
void bench_hex_write(uint8_t at[8], uint32_t value);
/* False: not eight lower-case hexadecimal digits. */
bool bench_hex_read(const uint8_t at[8], uint32_t *value);

/* Writes a whole payload of `size` bytes (BENCH_PAYLOAD_MIN or more). */
void bench_payload_write(uint8_t *at, uint32_t size, const struct bench_payload *payload);
/* Overwrites the members of a payload that is already there. */
void bench_payload_patch(uint8_t *at, const struct bench_payload *payload);
/* False if the `size` bytes are not exactly a payload of that size as it was written. */
bool bench_payload_read(const uint8_t *at, uint32_t size, struct bench_payload *payload);
/* Only for whom it is; nothing else is looked at. False if there is no number. */
bool bench_payload_to(const uint8_t *at, uint32_t *to);
/* The start of a payload of `size` bytes in a line of `len`, NULL if there is none. The usual
 * place, before a last `}`, is tried first. */
const uint8_t *bench_payload_find(const uint8_t *line, size_t len, uint32_t size);

/* The client id or group of an address, 18 bytes and a NUL: 'b' or 'g', run, '-', address. */
#define BENCH_NAME_BYTES 18
void bench_name_write(char out[BENCH_NAME_BYTES + 1], char letter, uint32_t run, uint32_t address);

/* A request that is made once and then stamped for each message. */
struct bench_request {
    uint8_t *at; /* the caller's memory, len bytes of it written */
    size_t len;
    size_t name_at; /* offset of the name, 0: there is none (broadcast) */
    size_t payload_at;
    uint32_t payload_size;
};
/* Room that bench_request_make needs. */
size_t bench_request_max(uint32_t payload_size);
/* One message to its own path. `host` is the Host header, `key` an API key or NULL. */
struct bench_request bench_request_make(uint8_t *out, enum bench_kind kind, uint32_t payload_size,
                                        const char *host, const char *key);
/* The same to a single client, to be acknowledged; `wait`: and answered when it is. */
struct bench_request bench_request_make_ack(uint8_t *out, uint32_t payload_size, bool wait,
                                            const char *host, const char *key);
/* One entry of a batch, without the comma or line end that follows it. */
struct bench_request bench_entry_make(uint8_t *out, enum bench_kind kind, uint32_t payload_size);
/* The head of a batch of `body_len` bytes; gives its length. `out` has 512 bytes. */
size_t bench_batch_head(char *out, bool ndjson, size_t body_len, const char *host, const char *key);
/* Copies the request to `out` with the name of the address and the payload's members put in. */
void bench_request_stamp(uint8_t *out, const struct bench_request *request, uint32_t names_run,
                         const struct bench_payload *payload);

/* The head of the last answer: heads repeat, so comparing is cheaper than reading. */
struct bench_answer_memory {
    uint8_t head[256];
    uint32_t head_len; /* 0: nothing remembered */
    uint32_t body_len;
    uint32_t status;
};
struct bench_answer {
    uint32_t status;
    const uint8_t *body;
    size_t body_len;
    bool last; /* the peer closes after this answer */
};
/* Reads one HTTP answer. Gives the bytes used, 0 if more are needed, -1 if it is not one that can
 * be read (it needs a Content-Length). */
long bench_answer_read(const uint8_t *at, size_t len, struct bench_answer_memory *memory,
                       struct bench_answer *answer);
/* The next `"status":NNN` at or after *offset of a batch's answer; 0 if there is none. */
uint32_t bench_status_next(const uint8_t *body, size_t len, size_t *offset);

/* How clients and node write to each other. */
enum bench_form {
    BENCH_FORM_LINES,   /* raw TCP, JSON lines */
    BENCH_FORM_COUNTED, /* raw TCP, counted framing */
    BENCH_FORM_WS,      /* WebSocket, the same objects as lines */
    BENCH_FORM_SSE,     /* server-sent events, which say nothing back (bench_sse.h) */
    BENCH_FORM_SIO,     /* Socket.IO over WebSocket (bench_sio.h) */
    BENCH_FORM_POLL     /* Socket.IO by long polling (bench_polls.h) */
};

enum bench_line_kind {
    BENCH_LINE_MORE,    /* not whole yet */
    BENCH_LINE_BAD,     /* not the protocol */
    BENCH_LINE_MESSAGE, /* a message; payload is NULL if it is none of ours */
    BENCH_LINE_WELCOME,
    BENCH_LINE_PING,
    BENCH_LINE_PONG,
    BENCH_LINE_CLOSE,     /* the node ends the connection, and may say why */
    BENCH_LINE_OPEN,      /* Engine.IO is there: the client asks for Socket.IO */
    BENCH_LINE_CONNECTED, /* Socket.IO is there, too */
    BENCH_LINE_NOTHING,   /* says only that the connection lives */
    BENCH_LINE_OTHER,     /* error, goodbye ... */
};
struct bench_line {
    enum bench_line_kind kind;
    uint32_t head;          /* bytes of a frame in front of its text */
    size_t used;            /* bytes of the input that it takes; 0: nothing behind it can be read */
    const uint8_t *payload; /* of a message */
    const char *why;        /* of BENCH_LINE_BAD: what it is, if that can be said */
};
/* The next thing in what a client received. */
struct bench_line bench_line_read(const uint8_t *at, size_t len, enum bench_form form,
                                  uint32_t payload_size);
/* What a text of the JSON client protocol is; `used` is its length. */
struct bench_line bench_line_text(const uint8_t *at, size_t len, uint32_t payload_size);

/* What a message says that is to be acknowledged. */
struct bench_asks {
    const uint8_t *id; /* as it is to be said back; within the line */
    size_t id_len;
    bool again;        /* it may have come before */
    uint64_t callback; /* of Socket.IO: what is said back instead */
};
/* Does a message of this form say whether it is to be acknowledged? The tool acknowledges none of
 * the others. */
bool bench_form_asks(enum bench_form form);
/* Of a BENCH_LINE_MESSAGE with a payload of ours. False: it does not ask. */
bool bench_line_asks(const uint8_t *at, const struct bench_line *line, enum bench_form form,
                     struct bench_asks *asks);

#endif
