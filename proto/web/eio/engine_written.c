/* engine_written.c - what a session has while it polls, and the packets that wait in there; see
 * engine_own.h. */
#include "core/base/shortage.h"
#include "core/worker.h"
#include "proto/web/eio/engine_own.h"

#define WRITTEN_MIN 256

bool engine_polls_get(struct worker *worker, struct engine *engine) {
    engine->polls = memory_get(&worker->account, sizeof *engine->polls);
    if (SHORTAGE(engine->polls == NULL))
        return false;
    *engine->polls = (struct engine_polls){.engine = engine, .own = outbox_parked()};
    list_init(&engine->polls->dirty);
    return true;
}

void engine_polls_free(struct worker *worker, struct engine *engine) {
    struct engine_polls *polls = engine->polls;
    if (polls == NULL)
        return;
    CHECK(polls->get == NULL && polls->post == NULL && polls->probe == NULL &&
          outbox_empty(&polls->own));
    if (polls->written != NULL)
        memory_put(&worker->account, polls->written, polls->written_cap);
    list_remove(&polls->dirty);
    memory_put(&worker->account, polls, sizeof *polls);
    engine->polls = NULL;
}

bool engine_polls_over(const struct engine *engine) {
    const struct engine_polls *polls = engine->polls;
    return engine->connection != NULL && polls != NULL && polls->get == NULL &&
           polls->post == NULL && polls->written == NULL && outbox_empty(&polls->own) &&
           !list_linked(&polls->dirty);
}

/* --- packets that wait ------------------------------------------------------------------------ */

/* In `written` each packet stands behind this. */
struct written_head {
    uint32_t len : 31;
    uint32_t binary : 1;
    char type;
};

bool engine_written_next(const struct engine_polls *polls, uint32_t *at,
                         struct engine_packet *packet) {
    struct written_head head;
    if (*at == polls->written_len)
        return false;
    memcpy(&head, polls->written + *at, sizeof head);
    *packet =
        (struct engine_packet){.type = head.type,
                               .binary = head.binary,
                               .bytes = span_of(polls->written + *at + sizeof head, head.len)};
    *at += (uint32_t)sizeof head + head.len;
    return true;
}

void engine_written_took(struct worker *worker, struct engine_polls *polls, uint32_t at) {
    polls->written_at = at;
    if (at < polls->written_len || polls->written == NULL)
        return;
    memory_put(&worker->account, polls->written, polls->written_cap);
    polls->written = NULL;
    polls->written_len = polls->written_cap = polls->written_at = 0;
}

/* Makes room for so many bytes more. */
static bool written_room(struct worker *worker, struct engine_polls *polls, size_t bytes) {
    if (polls->written_at != 0) {
        polls->written_len -= polls->written_at;
        memmove(polls->written, polls->written + polls->written_at, polls->written_len);
        polls->written_at = 0;
    }
    size_t wanted = polls->written_len + bytes, cap = polls->written_cap;
    if (wanted <= cap)
        return true;
    if (cap == 0)
        cap = bytes < WRITTEN_MIN / 2 ? WRITTEN_MIN / 2 : bytes;
    while (cap < wanted)
        cap *= 2;
    char *grown = memory_grow(&worker->account, polls->written, polls->written_cap, cap);
    if (SHORTAGE(grown == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        return false;
    }
    polls->written = grown;
    polls->written_cap = (uint32_t)cap;
    return true;
}

bool engine_written_add(struct worker *worker, struct engine_polls *polls,
                        const struct engine_packet *packet, enum close_reason *reason) {
    struct written_head head = {
        .len = packet->bytes.len & 0x7FFFFFFF, .binary = packet->binary, .type = packet->type};
    size_t bytes = sizeof head + packet->bytes.len, waits = polls->written_len - polls->written_at;
    *reason = CLOSE_TOO_SLOW;
    /* One that is longer by itself may still be alone. */
    if (SHORTAGE(waits != 0 && waits + bytes > ENGINE_WRITTEN_BYTES_MAX))
        return false;
    *reason = CLOSE_OVERLOADED;
    if (!written_room(worker, polls, bytes))
        return false;
    memcpy(polls->written + polls->written_len, &head, sizeof head);
    if (packet->bytes.len != 0)
        memcpy(polls->written + polls->written_len + sizeof head, packet->bytes.at,
               packet->bytes.len);
    polls->written_len += (uint32_t)bytes;
    return true;
}
