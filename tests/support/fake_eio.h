/* fake_eio.h - Engine.IO as a test has it: sessions without any transport, over a node of
 * fake_http.h. What is written is kept for the test to look at; messages wait until they are
 * fetched, as for a client that polls.
 *
 *   struct engine *engine = eio_open(4, "id=a");
 *   eio_say(engine, "0{}");
 *   eio_expect(engine, "0{\"sid\":\"...");      what was written since, with | between packets
 *
 * Included by the test itself, which it brings the sources of proto/web/sio: they see the functions
 * of proto/web/eio/engine.h that are defined here.
 *
 * Threads: one. Owns: its sessions, which are all on worker 0. */
#ifndef RINGPOST_TESTS_SUPPORT_FAKE_EIO_H
#define RINGPOST_TESTS_SUPPORT_FAKE_EIO_H

/* Before anything declares them. */
#define engine_state fake_engine_state
#define engine_of_state fake_engine_of_state
#define engine_close fake_engine_close
#define engine_write fake_engine_write
#define engine_write_binary fake_engine_write_binary
#define engine_outbox fake_engine_outbox
#define engine_outbox_last fake_engine_outbox_last
#define engine_on_parked fake_engine_on_parked
#define engine_form fake_engine_form
#define engine_polled_text fake_engine_polled_text
#define engine_resume fake_engine_resume
#define engine_parting fake_engine_parting
#define engine_deadline fake_engine_deadline
#define engine_version fake_engine_version
#define engine_sid fake_engine_sid
#define engine_peer fake_engine_peer
#define engine_query fake_engine_query
#define engine_query_drop fake_engine_query_drop
#include "proto/web/eio/engine.h"

#include "tests/support/fake_http.h"

#include "core/chain.h"

#include "proto/web/sio/sio.h"

#define EIO_ENGINES 8

struct engine {
    _Alignas(16) char state[sizeof(struct sio)];
    bool used;
    unsigned version;
    struct outbox outbox;
    char query[256];
    char written[16384];
    uint64_t deadline_ns;
    enum close_reason reason;  /* it was closed for */
    enum close_reason parting; /* for what it is, if the client closes it */
    bool wants;                /* its last message was answered with "more" */
    unsigned resumes;
    bool fails;    /* the next write ends it */
    bool in_bytes; /* it polls in payloads of bytes */
};

static struct engine eio_engines[EIO_ENGINES];

static struct worker *eio_worker(void) {
    return &fake_server.workers[0];
}

void *engine_state(struct engine *engine) {
    return engine->state;
}
struct engine *engine_of_state(const void *state) {
    return (struct engine *)(uintptr_t)state;
}

void engine_close(struct worker *worker, struct engine *engine, enum close_reason reason) {
    assert_true(engine->used);
    engine->used = false;
    engine->reason = reason;
    sio_app.on_close(worker, engine, reason);
    outbox_clear(worker, &engine->outbox, DROP_GONE);
}

static bool eio_write(struct worker *worker, struct engine *engine, struct span bytes) {
    assert_true(engine->used);
    if (engine->fails) {
        engine_close(worker, engine, CLOSE_OVERLOADED);
        return false;
    }
    size_t len = strlen(engine->written);
    snprintf(engine->written + len, sizeof(engine->written) - len, "%s%.*s", len == 0 ? "" : "|",
             SPAN_ARG(bytes));
    return true;
}
bool engine_write(struct worker *worker, struct engine *engine, struct span text) {
    return eio_write(worker, engine, text);
}
bool engine_write_binary(struct worker *worker, struct engine *engine, struct span bytes) {
    char text[256];
    snprintf(text, sizeof(text), "<%.*s>", SPAN_ARG(bytes));
    return eio_write(worker, engine, span_text(text));
}

struct outbox *engine_outbox(struct engine *engine) {
    return engine->used ? &engine->outbox : NULL;
}
struct outbox *engine_outbox_last(struct engine *engine) {
    return &engine->outbox;
}
void engine_on_parked(struct worker *worker, struct engine *engine) {
    (void)worker;
    assert_true(engine->used);
}
bool engine_polled_text(const struct engine *engine) {
    return engine->version == 3 && !engine->in_bytes;
}

enum engine_form engine_form(const struct engine *engine) {
    return engine->version == 4 ? EIO4_POLL : EIO3_POLL;
}
void engine_resume(struct worker *worker, struct engine *engine) {
    (void)worker;
    engine->resumes++;
    engine->wants = true;
}
void engine_parting(struct engine *engine, enum close_reason reason) {
    engine->parting = reason;
}
void engine_deadline(struct worker *worker, struct engine *engine, uint64_t due_ns) {
    (void)worker;
    engine->deadline_ns = due_ns;
}
unsigned engine_version(const struct engine *engine) {
    return engine->version;
}
struct span engine_sid(const struct worker *worker, const struct engine *engine,
                       char room[ENGINE_SID_BYTES]) {
    (void)worker, (void)engine;
    memcpy(room, "engine-sid-000000000", ENGINE_SID_BYTES);
    return span_of(room, ENGINE_SID_BYTES);
}
const struct peer_address *engine_peer(const struct engine *engine) {
    static struct peer_address peer = {.port = 7};
    (void)engine;
    return &peer;
}
struct span engine_query(const struct engine *engine) {
    return span_text(engine->query);
}
void engine_query_drop(struct worker *worker, struct engine *engine) {
    (void)worker;
    engine->query[0] = '\0';
}

#include "proto/web/sio/sio_app.c"
#include "proto/web/sio/sio_connect.c"
#include "proto/web/sio/sio_events.c"
#include "proto/web/sio/sio_session.c"
#include "proto/web/sio/sio_write.c"

/* --- for the test ----------------------------------------------------------------------------- */

static inline struct engine *eio_open(unsigned version, const char *query) {
    struct engine *engine = eio_engines;
    while (engine->used)
        engine++;
    assert_true(engine < eio_engines + EIO_ENGINES);
    *engine =
        (struct engine){.used = true, .version = version, .outbox = outbox_parked(), .wants = true};
    snprintf(engine->query, sizeof(engine->query), "%s", query);
    assert_true(sio_app.on_open(eio_worker(), engine));
    node_settle();
    return engine;
}

static inline void eio_hand(struct engine *engine, struct span bytes, bool binary) {
    /* Alone, so that whoever reads past the end is seen, and nobody keeps it. */
    char *alone = malloc(bytes.len + 1);
    assert_non_null(alone);
    memcpy(alone, bytes.at, bytes.len);
    bool wants = sio_app.on_message(eio_worker(), engine, span_of(alone, bytes.len), binary);
    if (engine->used)
        engine->wants = wants;
    free(alone);
    node_settle();
}

static inline void eio_say(struct engine *engine, const char *text) {
    eio_hand(engine, span_text(text), false);
}

static inline void eio_attach(struct engine *engine, const char *bytes) {
    eio_hand(engine, span_text(bytes), true);
}

/* What was written since; until the next call. */
static inline const char *eio_written(struct engine *engine) {
    static char text[sizeof(engine->written)];
    memcpy(text, engine->written, sizeof(text));
    engine->written[0] = '\0';
    return text;
}

static inline void eio_expect(struct engine *engine, const char *wanted) {
    const char *text = eio_written(engine);
    if (strcmp(text, wanted) != 0)
        fail_msg("%s was written, not %s", text, wanted);
}

/* The messages that wait, as a poll gets them, with | between them; until the next call. */
static inline const char *eio_messages(struct engine *engine) {
    static char text[16384];
    struct builder out = builder_over(text, sizeof(text) - 1);
    struct worker *worker = eio_worker();
    node_settle();
    while (outbox_parked_first(worker, &engine->outbox) != NULL) {
        struct chain chain = chain_empty(&worker->endpoint, false);
        assert_int_equal(
            outbox_parked_take(worker, &engine->outbox, &chain, SPAN(""), SIZE_MAX / 2),
            OUTBOX_TAKE_DONE);
        if (out.len != 0)
            builder_byte(&out, '|');
        struct chunk *first = chain_take(&chain);
        for (struct chunk *chunk = first; chunk != NULL; chunk = chunk->next)
            builder_bytes(&out, chunk->text, chunk->len);
        chunks_put(first);
    }
    text[out.len] = '\0';
    return text;
}

static inline void eio_expect_messages(struct engine *engine, const char *wanted) {
    const char *text = eio_messages(engine);
    if (strcmp(text, wanted) != 0)
        fail_msg("%s waited, not %s", text, wanted);
}

static inline void eio_end(struct engine *engine) {
    if (engine->used)
        engine_close(eio_worker(), engine, CLOSE_CLIENT);
}

#endif
