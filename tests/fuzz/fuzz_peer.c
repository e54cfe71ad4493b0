/* Any bytes as frames between nodes, hellos and addresses: what is read is what was written,
 * whatever the pieces in which it comes, and no frame says what cannot be done. The first byte says
 * how large the pieces are. */
#include "ha/peer/peer_wire.h"

#include "core/base/check.h"
#include "proto/web/eio/engine.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

static void head_look(const struct peer_head *head) {
    uint8_t bytes[PEER_HEAD_BYTES];
    struct peer_head again;
    CHECK(head->type > PEER_NO_FRAME && head->type < PEER_TYPES);
    CHECK(head->ask.kind <= POLL_OTHER && head->ask.path < ENGINE_PATHS);
    CHECK(head->answer <= POLL_ANSWER_STARVED && head->code <= 5);
    CHECK(head->ask.sid.slot <= SID_SLOT_MAX && head->ask.jsonp_len == 0);
    CHECK(head->body_len == 0 || head->type == PEER_POLL || head->type == PEER_ANSWER);
    peer_head_write(head, bytes);
    CHECK(peer_head_read(bytes, &again) && again.number == head->number);
    CHECK(again.body_len == head->body_len && again.type == head->type);
    CHECK(again.status == head->status && again.ask.version == head->ask.version);
    CHECK(sid_random_same(again.ask.sid.random, head->ask.sid.random));
}

struct seen {
    unsigned heads;
    uint64_t bytes, sum;
    bool bad;
};

/* Reads everything in pieces of so many bytes, each alone in memory; 0: at once. */
static struct seen read_all(struct span wire, size_t piece) {
    struct seen seen = {.heads = 0};
    struct peer_reader reader = {.head_len = 0};
    for (size_t from = 0; from < wire.len && !seen.bad;) {
        size_t len = piece == 0 || piece > wire.len - from ? wire.len - from : piece;
        char *alone = malloc(len);
        CHECK(alone != NULL);
        memcpy(alone, wire.at + from, len);
        struct span input = span_of(alone, len), body;
        struct peer_head head;
        enum peer_step step;
        while ((step = peer_read(&reader, &input, &head, &body)) == PEER_STEP_HEAD ||
               step == PEER_STEP_BODY) {
            if (step == PEER_STEP_HEAD) {
                head_look(&head);
                seen.heads++;
                continue;
            }
            CHECK(body.len != 0);
            seen.bytes += body.len;
            for (size_t i = 0; i < body.len; i++)
                seen.sum = seen.sum * 31 + (uint8_t)body.at[i];
        }
        seen.bad = step == PEER_STEP_BAD;
        CHECK(seen.bad || input.len == 0);
        free(alone);
        from += len;
    }
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    struct sockaddr_storage address;
    struct peer_side side;
    socklen_t address_len;
    if (len == 0)
        return 0;
    struct span wire = span_of((const char *)at + 1, len - 1);
    struct seen whole = read_all(wire, 0), pieces = read_all(wire, 1 + at[0] % 64);
    CHECK(whole.heads == pieces.heads && whole.bytes == pieces.bytes && whole.bad == pieces.bad &&
          whole.sum == pieces.sum);
    if (peer_address_read(wire, &address, &address_len))
        CHECK(address_len <= sizeof(address));
    if (wire.len >= PEER_HELLO_BYTES) {
        uint8_t again[PEER_HELLO_BYTES];
        if (peer_hello_read((const uint8_t *)wire.at, &side)) {
            peer_hello_write(&side, again);
            CHECK(memcmp(again, wire.at, sizeof(again)) == 0);
        }
    }
    return 0;
}
