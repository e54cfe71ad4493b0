/* engine_poll.c - polls where their session lives; see engine_poll.h. */
#include "proto/web/eio/engine_poll.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/chain.h"
#include "core/worker.h"
#include "proto/web/eio/engine_own.h"

/* Without memory for an answer it is tried again so much later. */
#define RETRY_NS (100 * NS_PER_MS)

/* --- answers ---------------------------------------------------------------------------------- */

/* It goes back; do not touch it afterwards. */
static void poll_answer(struct worker *worker, struct poll *poll, unsigned status,
                        enum poll_answer answer, unsigned code) {
    poll->engine = NULL;
    poll->status = (uint16_t)status;
    poll->answer = (uint8_t)answer;
    poll->code = (uint8_t)code;
    chunk_put(poll->body);
    poll->body = NULL;
    relay_send(worker, &poll->go, poll->go.owner, poll_back);
}

static void poll_refuse(struct worker *worker, struct poll *poll, unsigned code) {
    poll_answer(worker, poll, 400, POLL_ANSWER_ERROR, code);
}

static bool may_be_bytes(const struct engine *engine, const struct poll *poll) {
    return engine->version == 3 && !engine->polls->base64 && !poll->ask.jsonp;
}

/* A payload that is being made. */
struct payload {
    struct chain chain;
    size_t bytes, bytes_max;
    uint32_t written_at; /* up to here the session's packets are in it */
    bool any;            /* something is */
    bool starved;
    bool may_be_bytes;
};

static struct span between(const struct engine *engine, const struct payload *payload) {
    return payload->any && engine->version == 4 ? SPAN("\x1e") : SPAN("");
}

/* Version 3: one packet of bytes makes all of the payload bytes. What is written is looked at
 * before (payload_begin); of messages the first decides: bytes behind a text wait for the next
 * answer. */
static bool fits_kind(struct engine *engine, const struct payload *payload, bool bytes) {
    if (!bytes || !payload->may_be_bytes || engine->polls->as_bytes)
        return true;
    if (payload->any)
        return false;
    engine->polls->as_bytes = true;
    return true;
}

/* Adds a packet. False: it has to wait for the next answer. */
static bool payload_packet(struct engine *engine, struct payload *payload,
                           const struct engine_packet *packet) {
    if (!fits_kind(engine, payload, packet->binary))
        return false;
    enum engine_form form = engine_form(engine);
    size_t bound = 1 + engine_packet_bound(form, packet);
    if (payload->any && payload->bytes + bound > payload->bytes_max)
        return false;
    if (SHORTAGE(!chain_room(&payload->chain, bound))) {
        payload->starved = true;
        return false;
    }
    size_t before = payload->chain.out.len;
    builder_span_add(&payload->chain.out, between(engine, payload));
    engine_packet_write(&payload->chain.out, form, packet);
    payload->bytes += payload->chain.out.len - before;
    payload->any = true;
    return true;
}

static bool payload_packets(struct engine *engine, struct payload *payload) {
    struct engine_packet packet;
    payload->written_at = engine->polls->written_at;
    for (uint32_t at = payload->written_at; engine_written_next(engine->polls, &at, &packet);) {
        if (!payload_packet(engine, payload, &packet))
            return false;
        payload->written_at = at;
    }
    return true;
}

static void payload_messages(struct worker *worker, struct engine *engine,
                             struct payload *payload) {
    const struct message *message;
    while ((message = outbox_parked_first(worker, &engine->polls->own)) != NULL) {
        if (!fits_kind(engine, payload, message->is_bytes))
            return;
        uint64_t left =
            payload->bytes_max > payload->bytes ? payload->bytes_max - payload->bytes : 0;
        size_t before = chain_bytes(&payload->chain);
        enum outbox_take took =
            outbox_parked_take(worker, &engine->polls->own, &payload->chain,
                               between(engine, payload), payload->any ? left : SIZE_MAX);
        payload->starved |= took == OUTBOX_TAKE_STARVED;
        if (took != OUTBOX_TAKE_DONE)
            return;
        payload->bytes += chain_bytes(&payload->chain) - before;
        payload->any = true;
    }
}

static bool written_has_bytes(const struct engine *engine) {
    struct engine_packet packet;
    for (uint32_t at = engine->polls->written_at; engine_written_next(engine->polls, &at, &packet);)
        if (packet.binary)
            return true;
    return false;
}

static struct payload payload_begin(struct worker *worker, struct engine *engine,
                                    const struct poll *poll) {
    engine->polls->as_bytes = may_be_bytes(engine, poll) && written_has_bytes(engine);
    return (struct payload){.chain = chain_empty(&worker->endpoint, false),
                            .bytes_max = worker->config->max_payload_bytes,
                            .may_be_bytes = may_be_bytes(engine, poll)};
}

/* The poll that waits is answered with it. */
static void payload_send(struct worker *worker, struct engine *engine, struct payload *payload) {
    struct poll *poll = engine->polls->get;
    enum poll_answer answer = engine->polls->as_bytes ? POLL_ANSWER_BYTES : POLL_ANSWER_TEXT;
    engine->polls->as_bytes = false;
    engine->polls->get = NULL;
    engine_written_took(worker, engine->polls, payload->written_at);
    CHECK(chain_bytes(&payload->chain) == payload->bytes, "a payload is not as long as it was");
    poll->answer_bytes = (uint32_t)payload->bytes;
    poll->chunks = chain_take(&payload->chain);
    poll_answer(worker, poll, 200, answer, 0);
}

bool engine_has_waiting(struct worker *worker, struct engine *engine) {
    return engine->polls->written_at != engine->polls->written_len ||
           outbox_parked_first(worker, &engine->polls->own) != NULL;
}

/* --- a GET ------------------------------------------------------------------------------------ */

/* Packets that say the same in every answer. */
static const struct engine_packet noop = {.type = ENGINE_NOOP};
static const struct engine_packet closing = {.type = ENGINE_CLOSE};

/* Is everything that waits in the payload? */
static bool payload_has_all(struct worker *worker, struct engine *engine,
                            const struct payload *payload) {
    return payload->written_at == engine->polls->written_len &&
           outbox_parked_first(worker, &engine->polls->own) == NULL;
}

/* Answers the GET that waits with what waits for it, if something does. */
static void get_answer(struct worker *worker, struct engine *engine) {
    struct payload payload = payload_begin(worker, engine, engine->polls->get);
    if (engine->held_sessions == 0 && payload_packets(engine, &payload))
        payload_messages(worker, engine, &payload);
    bool ends = engine->stage == ENGINE_IS_FINISHING && !payload.starved &&
                payload_has_all(worker, engine, &payload) &&
                payload_packet(engine, &payload, &closing);
    if (!payload.any && engine->polls->probed && !payload.starved)
        payload_packet(engine, &payload, &noop);
    if (payload.any) {
        payload_send(worker, engine, &payload);
    } else {
        chain_free(&payload.chain);
        engine->polls->as_bytes = false;
    }
    if (payload.starved && engine->polls->get != NULL && engine->polls->get->ask.opens) {
        engine_end(worker, engine, CLOSE_OVERLOADED, ENGINE_CLOSE); /* it is told 503 */
    } else if (payload.starved) {
        engine->polls->retry_ns = worker->now_ns + RETRY_NS;
        engine_watch(worker, engine);
    }
    if (ends)
        engine_end(worker, engine, (enum close_reason)engine->reason, ENGINE_CLOSE);
}

void engine_get_noop(struct worker *worker, struct engine *engine) {
    struct payload payload = payload_begin(worker, engine, engine->polls->get);
    payload_packet(engine, &payload, &noop);
    if (payload.any) {
        payload.written_at = engine->polls->written_at;
        payload_send(worker, engine, &payload);
        return;
    }
    struct poll *poll = engine->polls->get;
    chain_free(&payload.chain);
    engine->polls->get = NULL;
    poll_answer(worker, poll, 503, POLL_ANSWER_STARVED, 0);
}

/* It ends: what was written leaves, and the last packet; messages do not. */
static void get_close(struct worker *worker, struct engine *engine, char last) {
    struct payload payload = payload_begin(worker, engine, engine->polls->get);
    payload.bytes_max = SIZE_MAX;
    payload_packets(engine, &payload);
    if (payload_packet(engine, &payload, last == ENGINE_NOOP ? &noop : &closing)) {
        payload_send(worker, engine, &payload);
        return;
    }
    struct poll *poll = engine->polls->get;
    chain_free(&payload.chain);
    engine->polls->as_bytes = false;
    engine->polls->get = NULL;
    poll_answer(worker, poll, 503, POLL_ANSWER_STARVED, 0);
}

/* Two at once: the first is told that the session ends, and it does. */
static bool overlaps(struct worker *worker, struct engine *engine, struct poll *poll,
                     const struct poll *other) {
    if (other == NULL)
        return false;
    engine_end(worker, engine, CLOSE_BAD_MESSAGE, ENGINE_CLOSE);
    poll_answer(worker, poll, 400, POLL_ANSWER_NONE, 0);
    return true;
}

static void get_arrive(struct worker *worker, struct engine *engine, struct poll *poll) {
    if (overlaps(worker, engine, poll, engine->polls->get))
        return;
    engine->polls->get = poll;
    poll->engine = engine;
    get_answer(worker, engine);
}

/* --- a POST ----------------------------------------------------------------------------------- */

static void post_end(struct worker *worker, struct engine *engine, struct poll *poll,
                     unsigned status, enum poll_answer answer) {
    engine->polls->post = NULL;
    poll_answer(worker, poll, status, answer, 3);
}

/* Gives the app what the POST brings, until it wants no more now. */
static void post_go_on(struct worker *worker, struct engine *engine) {
    struct poll *poll = engine->polls->post;
    struct engine_packet packet;
    enum engine_step step = ENGINE_STEP_PACKET;
    engine->polls->reading = true;
    while (!engine->paused && !engine_is_gone(engine)) {
        step = engine_payload_next(&poll->reader, &packet);
        if (step == ENGINE_STEP_BAD)
            engine_end(worker, engine, CLOSE_BAD_FRAME, ENGINE_CLOSE);
        if (step != ENGINE_STEP_PACKET)
            break;
        engine_on_packet(worker, engine, &packet);
        if (!engine_is_gone(engine) && slice_over(worker)) {
            engine_dirty(worker, engine);
            break;
        }
    }
    engine->polls->reading = false;
    if (step == ENGINE_STEP_BAD)
        post_end(worker, engine, poll, 400, POLL_ANSWER_ERROR);
    else if (step == ENGINE_STEP_END || engine_is_gone(engine))
        post_end(worker, engine, poll, 200, POLL_ANSWER_OK);
}

bool engine_polled_text(const struct engine *engine) {
    return engine->polls != NULL && engine->polls->reading &&
           engine->polls->post->reader.form == ENGINE_PAYLOAD_3;
}

/* What the body is. False: it cannot be read. */
static bool post_open(struct engine *engine, struct poll *poll) {
    char *at = poll->body == NULL ? NULL : poll->body->text;
    size_t len = poll->body == NULL ? 0 : poll->body->len;
    struct span payload = span_of(at, len);
    enum engine_payload form = ENGINE_PAYLOAD_4;
    if (engine->version == 3)
        form = poll->ask.bytes ? ENGINE_PAYLOAD_3_BINARY : ENGINE_PAYLOAD_3;
    if (poll->ask.jsonp && (!engine_jsonp_read(at, len, &payload)))
        return false;
    poll->reader = (struct engine_reader){
        .at = at + (payload.len == 0 ? 0 : payload.at - at), .len = payload.len, .form = form};
    return true;
}

static void post_arrive(struct worker *worker, struct engine *engine, struct poll *poll) {
    if (overlaps(worker, engine, poll, engine->polls->post))
        return;
    if (engine->version == 4 && poll->ask.bytes) {
        engine_end(worker, engine, CLOSE_BAD_FRAME, ENGINE_CLOSE);
        poll_answer(worker, poll, 400, POLL_ANSWER_NONE, 0);
        return;
    }
    if (!post_open(engine, poll)) {
        engine_end(worker, engine, CLOSE_BAD_FRAME, ENGINE_CLOSE);
        poll_refuse(worker, poll, 3);
        return;
    }
    engine->polls->post = poll;
    poll->engine = engine;
    post_go_on(worker, engine);
}

/* --- both ------------------------------------------------------------------------------------- */

void poll_arrive(struct worker *worker, struct relay *relay) {
    struct poll *poll = container_of(relay, struct poll, go);
    struct engine *engine = engine_find(worker, &poll->ask.sid);
    if (engine == NULL || engine->path != poll->ask.path) {
        poll_refuse(worker, poll, 1);
        return;
    }
    bool mismatch = engine->connection != NULL || poll->ask.mismatch;
    if (mismatch || engine->version != poll->ask.version) {
        poll_refuse(worker, poll, !mismatch && poll->ask.version == 0 ? 5 : 3);
        return;
    }
    engine_hold(engine);
    switch ((enum poll_kind)poll->ask.kind) {
    case POLL_GET:
        get_arrive(worker, engine, poll);
        break;
    case POLL_POST:
        post_arrive(worker, engine, poll);
        break;
    case POLL_OTHER:
        poll_answer(worker, poll, 500, POLL_ANSWER_NONE, 0);
        break;
    }
    engine_let(worker, engine);
}

void engine_polls_look(struct worker *worker, struct engine *engine) {
    if (engine->polls->deserted)
        engine_end(worker, engine, CLOSE_CLIENT, ENGINE_CLOSE);
    if (!engine_is_gone(engine) && engine->polls->post != NULL)
        post_go_on(worker, engine);
    if (engine_is_gone(engine) || engine->connection != NULL)
        return;
    if (engine->polls->get != NULL)
        get_answer(worker, engine);
    else if (engine->stage == ENGINE_IS_FINISHING && !engine_has_waiting(worker, engine))
        engine_end(worker, engine, (enum close_reason)engine->reason, ENGINE_CLOSE);
}

void engine_polls_close(struct worker *worker, struct engine *engine, char last) {
    if (engine->polls == NULL)
        return;
    if (engine->polls->get != NULL)
        get_close(worker, engine, last);
    /* One that is being looked at is answered there. */
    if (engine->polls->post != NULL && !engine->polls->reading)
        post_end(worker, engine, engine->polls->post, 400, POLL_ANSWER_ERROR);
}

/* The session ends, but not in here: the connection may have closed in the middle of an answer to
 * another poll, of this session or of any. */
void poll_cancelled(struct worker *worker, struct relay *relay) {
    struct poll *poll = container_of(relay, struct poll, cancel);
    struct engine *engine = poll->engine;
    if (engine != NULL && engine->polls->post == poll && engine->polls->reading) {
        /* It is being looked at, and goes back from there. */
    } else if (engine != NULL) {
        /* It waits here: it goes back without an answer. */
        if (engine->polls->get == poll)
            engine->polls->get = NULL;
        else
            engine->polls->post = NULL;
        poll_answer(worker, poll, 400, POLL_ANSWER_NONE, 0);
    } else {
        /* Its answer is on the way, to nobody; over a WebSocket the session does without. */
        engine = engine_find(worker, &poll->ask.sid);
        if (engine != NULL && engine->connection != NULL)
            engine = NULL;
    }
    if (engine != NULL) {
        engine->polls->deserted = true;
        engine_dirty(worker, engine);
    }
    relay_send(worker, relay, relay->owner, poll_cancel_back);
}

void poll_released(struct worker *worker, struct relay *relay) {
    struct poll *poll = container_of(relay, struct poll, cancel);
    struct engine *engine = poll->engine;
    if (engine != NULL && engine->polls->get == poll) {
        engine_hold(engine);
        engine_get_noop(worker, engine);
        engine_let(worker, engine);
    }
    relay_send(worker, relay, relay->owner, poll_cancel_back);
}
