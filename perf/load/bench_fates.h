/* bench_fates.h - what clients know of some messages that are to be acknowledged, to be compared
 * with what the node tells of each of them.
 *
 * A sample: a message has a place by the hash of its id, and of all that have the same place one is
 * kept, each with the same chance. So it costs a client the same for any number of messages.
 *
 * Threads: written by one swarm's process, read by the main one when all is still. Owns: nothing.
 * Limits: BENCH_FATES_EACH messages of each swarm. */
#ifndef RINGPOST_PERF_LOAD_BENCH_FATES_H
#define RINGPOST_PERF_LOAD_BENCH_FATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_FATES_EACH 512u
#define BENCH_FATE_ID_BYTES 64u

struct bench_report;

struct bench_fate {
    uint64_t hash;
    uint32_t met; /* messages that had this place, 0: none */
    bool acked;   /* its client has said so, and the socket has taken it */
    char id[BENCH_FATE_ID_BYTES + 1];
};

struct bench_fates {
    struct bench_fate places[BENCH_FATES_EACH];
};

uint64_t bench_fate_hash(const uint8_t *id, size_t id_len);
/* A client has received the message, which has not come before. */
void bench_fate_met(struct bench_fates *fates, const uint8_t *id, size_t id_len);
/* The acknowledgement of the message with that hash is written. */
void bench_fate_acked(struct bench_fates *fates, uint64_t hash);

/* What the node tells of a message. */
enum bench_told {
    BENCH_TOLD_NOTHING, /* 404 */
    BENCH_TOLD_PENDING,
    BENCH_TOLD_ACKED,
    BENCH_TOLD_ELSE, /* expired, dropped */
    BENCH_TOLD_BADLY /* no answer that can be read */
};
typedef enum bench_told bench_fate_ask(void *argument, const char *id);

/* Asks for each message of `count` samples, and reports how many were compared, and as faults those
 * of which the node tells something else than their clients know. One that differs is asked for
 * again for as long as `patience_ns` lasts, for all of them together. `forgets`: the node has
 * forgotten fates, so one that it does not know is no fault. */
void bench_fates_compare(const struct bench_fates *const *samples, uint32_t count,
                         bench_fate_ask *ask, void *argument, bool forgets, uint64_t patience_ns,
                         struct bench_report *report);

#endif
