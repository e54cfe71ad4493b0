/* peer_wire.h - what nodes say to each other over a connection of their own: the handshake, and
 * frames of polls.
 *
 *   caller -> HELLO      "ringpost peer 1\n", its run, a nonce
 *   called -> CHALLENGE  the same of its own, and its proof
 *   caller -> PROOF      its proof; frames may follow at once
 *   called -> frames, a PING first
 *
 * A proof is a keyed hash (hash.h) of who says it, the address that was called, both runs and both
 * nonces: so neither side learns the secret, no proof is of use in another connection or in the
 * other direction, and one who passes the words of others on, from an address of his own, proves
 * nothing. The caller is told nothing more before it has been shown a proof, and tells nothing.
 * What follows is neither encrypted nor signed: whoever sits between two nodes reads it.
 *
 * A frame is a head of PEER_HEAD_BYTES, and a body. Numbers are of the caller, who chose them for
 * its polls:
 *
 *   PING                     somebody is there
 *   POLL     caller          body: that of a POST
 *   ANSWER   called          body: a payload
 *   CANCEL   caller          the client has gone; also where the answer is on its way
 *   RELEASE  caller          a GET is to be answered now, by nothing if there is nothing
 *
 * The head, its numbers in the order of the network:
 *
 *   4 bytes   length of the body
 *   1         enum peer_type
 *   1         POLL: enum poll_kind; ANSWER: enum poll_answer
 *   1         POLL: version of Engine.IO; ANSWER: code of an error
 *   1         POLL: PEER_MISMATCH and others
 *   2         ANSWER: status
 *   1         POLL: enum engine_path
 *   1         0
 *   8         number
 *   20        POLL, CANCEL: the sid, as clients write it; else "."
 *
 * Threads: any (pure functions). Owns nothing. */
#ifndef RINGPOST_HA_PEER_PEER_WIRE_H
#define RINGPOST_HA_PEER_PEER_WIRE_H

#include "core/base/hash.h"
#include "core/port.h"
#include "proto/web/eio/engine_poll.h"

#include <sys/socket.h>

/* Reads "192.0.2.7:7010" or "[2001:db8::7]:7010", of one machine and a port. False: it is no such
 * address. */
bool peer_address_read(struct span text, struct sockaddr_storage *address, socklen_t *len);

#define PEER_RUN_BYTES 16
#define PEER_NONCE_BYTES 32
#define PEER_MAGIC_BYTES 16
#define PEER_HELLO_BYTES (PEER_MAGIC_BYTES + PEER_RUN_BYTES + PEER_NONCE_BYTES)
#define PEER_CHALLENGE_BYTES (PEER_HELLO_BYTES + PROOF_BYTES)

/* What one side says of itself. */
struct peer_side {
    char run[PEER_RUN_BYTES];
    uint8_t nonce[PEER_NONCE_BYTES];
};

void peer_hello_write(const struct peer_side *side, uint8_t bytes[PEER_HELLO_BYTES]);
/* False: it is none, or of another version. */
bool peer_hello_read(const uint8_t bytes[PEER_HELLO_BYTES], struct peer_side *side);

enum peer_role { PEER_CALLER, PEER_CALLED };
/* The proof of the one in that role; `address` is the one of the called. */
void peer_proof(const uint8_t key[PROOF_KEY_BYTES], enum peer_role role, struct span address,
                const struct peer_side *caller, const struct peer_side *called,
                uint8_t proof[PROOF_BYTES]);

#define PEER_HEAD_BYTES 40
/* Larger bodies are no frames. */
#define PEER_BODY_BYTES_MAX (256u * 1024 * 1024)

enum peer_type {
    PEER_NO_FRAME,
    PEER_PING,
    PEER_POLL,
    PEER_ANSWER,
    PEER_CANCEL,
    PEER_RELEASE,
    PEER_TYPES
};

enum { PEER_MISMATCH = 1, PEER_BYTES = 2, PEER_JSONP = 4 };

struct peer_head {
    uint32_t body_len;
    uint8_t type;
    uint8_t answer;      /* ANSWER */
    uint8_t code;        /* ANSWER */
    uint16_t status;     /* ANSWER */
    uint64_t number;     /* not of a PING */
    struct poll_ask ask; /* POLL: all but jsonp_*; CANCEL: the sid */
};

void peer_head_write(const struct peer_head *head, uint8_t bytes[PEER_HEAD_BYTES]);
/* False: it is none. What it says can be done as it stands. */
bool peer_head_read(const uint8_t bytes[PEER_HEAD_BYTES], struct peer_head *head);

/* Frames, from bytes as they come. */
struct peer_reader {
    uint8_t head[PEER_HEAD_BYTES];
    uint32_t head_len;
    uint32_t body_left; /* of the frame whose head was told last */
};

enum peer_step {
    PEER_STEP_MORE, /* all is read */
    PEER_STEP_HEAD, /* *head; with a body_len, it follows */
    PEER_STEP_BODY, /* *body is a piece of it; body_left 0: the last one */
    PEER_STEP_BAD
};

/* Takes what it can of *input off its front. */
enum peer_step peer_read(struct peer_reader *reader, struct span *input, struct peer_head *head,
                         struct span *body);

#endif
