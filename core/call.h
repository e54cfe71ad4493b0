/* call.h - something that an operator asks of every worker: presence, members, disconnect,
 * statistics.
 *
 * A call visits all workers at once; each runs `run` in its own turn and writes only into its own
 * part. The owner gets `done` when all parts are there. Rare by nature, so it may allocate.
 *
 * Threads: made and finished on the owner; `run` on each worker. Owns: its parts. Limits: counts as
 * a request (mailbox.h). */
#ifndef RINGPOST_CORE_CALL_H
#define RINGPOST_CORE_CALL_H

#include <stdbool.h>
#include <stdint.h>

struct worker;
struct mail;
struct call;

struct call_part {
    char *text; /* malloc'd by run, freed with the call; NULL: none */
    uint32_t len;
    uint64_t count; /* whatever the call counts */
    bool failed;    /* run had no memory */
};

struct call {
    /* Runs on every worker. */
    void (*run)(struct worker *worker, struct call *call, struct call_part *part);
    /* On the owner, after all parts; the call and its parts are freed when it returns. */
    void (*done)(struct worker *worker, struct call *call);
    uint16_t owner;
    uint16_t missing;
    void *producer; /* the owner's own */
    void *request;
    uint64_t argument;
    char text[256 + 16]; /* names that it is about, laid out by the caller */
    uint16_t text_len[2];
    struct call_part parts[];
};

/* A call with zeroed parts for all workers; NULL: no memory or too many requests in flight. */
struct call *call_get(struct worker *worker);
/* Sends it to all workers. False: a mailbox is full; nothing was sent and the call is freed. */
bool call_start(struct worker *worker, struct call *call);
void call_on_mail(struct worker *worker, const struct mail *mail);
void call_on_done_mail(struct worker *worker, const struct mail *mail);

#endif
