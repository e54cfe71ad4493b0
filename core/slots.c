#include "core/slots.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/tag.h"
#include "core/worker.h"

#include <stdio.h>
#include <stdlib.h>

struct connection *slot_at(const struct worker *worker, uint32_t slot) {
    return &worker->slots.blocks[slot / CONNECTION_BLOCK][slot % CONNECTION_BLOCK];
}

static bool slots_grow(struct worker *worker) {
    if (SHORTAGE(worker->slots.block_count == CONNECTION_BLOCKS_MAX))
        return false;
    struct connection *block = calloc(CONNECTION_BLOCK, sizeof(struct connection));
    if (SHORTAGE(block == NULL))
        return false;
    uint32_t first = worker->slots.block_count * CONNECTION_BLOCK;
    worker->slots.blocks[worker->slots.block_count++] = block;
    stats_add(&worker->stats.fixed_bytes, CONNECTION_BLOCK * sizeof(struct connection));
    for (uint32_t i = CONNECTION_BLOCK; i-- > 0;) {
        /* Slot 0 stays unused: a tag without a slot must find nothing. */
        if (first + i == 0)
            continue;
        block[i].slot = first + i;
        block[i].generation = 1;
        block[i].next_free = worker->slots.free;
        worker->slots.free = first + i;
    }
    return true;
}

struct connection *slot_get(struct worker *worker, timer_fire *deadline) {
    if (worker->slots.free == 0 && SHORTAGE(!slots_grow(worker)))
        return NULL;
    struct connection *connection = slot_at(worker, worker->slots.free);
    CHECK(connection->state == CONNECTION_FREE);
    worker->slots.free = connection->next_free;
    uint32_t slot = connection->slot, generation = connection->generation;
    memset(connection, 0, sizeof(*connection));
    connection->slot = slot;
    connection->generation = generation;
    connection->socket = -1;
    list_init(&connection->flush_link);
    list_init(&connection->resume_link);
    timer_init(&connection->timer, deadline);
    worker->slots.live++;
    return connection;
}

void slot_put(struct worker *worker, struct connection *connection) {
    CHECK(connection->ops == 0 && connection->publishes == 0 && connection->input == NULL &&
              outbox_empty(&connection->outbox) && !timer_armed(&connection->timer) &&
              !list_linked(&connection->flush_link) && !list_linked(&connection->resume_link),
          "slot %u is freed too early: ops %u, publishes %u", connection->slot, connection->ops,
          connection->publishes);
    connection->state = CONNECTION_FREE;
    connection->generation = (connection->generation + 1) & TAG_GENERATION_MASK;
    if (connection->generation == 0)
        connection->generation = 1;
    connection->next_free = worker->slots.free;
    worker->slots.free = connection->slot;
    worker->slots.live--;
}

struct connection_handle connection_handle(const struct worker *worker,
                                           const struct connection *connection) {
    return (struct connection_handle){.worker = (uint16_t)worker->index,
                                      .slot = connection->slot,
                                      .generation = connection->generation};
}

size_t connection_text(const struct worker *worker, const struct connection *connection,
                       char text[SESSION_TEXT_MAX]) {
    return (size_t)snprintf(text, SESSION_TEXT_MAX, "%x-%x-%x", worker->index, connection->slot,
                            connection->generation);
}

/* A number in lower-case hex without a leading zero, off the front. */
static bool hex_read(struct span *text, uint32_t max, uint32_t *number) {
    uint64_t value = 0;
    size_t len = 0;
    for (; len < text->len && text->at[len] != '-'; len++) {
        char digit = text->at[len];
        bool letter = digit >= 'a' && digit <= 'f';
        if (len == 8 || (!letter && (digit < '0' || digit > '9')))
            return false;
        value = value * 16 + (uint64_t)(letter ? digit - 'a' + 10 : digit - '0');
    }
    if (len == 0 || (len > 1 && text->at[0] == '0') || value > max)
        return false;
    *text = span_skip(*text, len);
    *number = (uint32_t)value;
    return true;
}

static bool dash_read(struct span *text) {
    bool there = text->len != 0 && text->at[0] == '-';
    *text = span_skip(*text, there);
    return there;
}

bool connection_text_read(struct span text, struct connection_handle *handle) {
    uint32_t worker = 0;
    if (!hex_read(&text, WORKERS_MAX, &worker) || !dash_read(&text) ||
        !hex_read(&text, UINT32_MAX, &handle->slot) || !dash_read(&text) ||
        !hex_read(&text, UINT32_MAX, &handle->generation) || text.len != 0)
        return false;
    handle->worker = (uint16_t)worker;
    return true;
}

struct connection *slot_resolve(struct worker *worker, uint32_t slot, uint32_t generation) {
    if (slot == 0 || slot >= worker->slots.block_count * CONNECTION_BLOCK)
        return NULL;
    struct connection *connection = slot_at(worker, slot);
    if (connection->state == CONNECTION_FREE || connection->generation != generation)
        return NULL;
    return connection;
}

struct connection *connection_resolve(struct worker *worker, struct connection_handle handle) {
    if (handle.worker != worker->index)
        return NULL;
    return slot_resolve(worker, handle.slot, handle.generation);
}

static bool is_api(const struct worker *worker, const struct connection *connection) {
    return worker->listeners.at[connection->listener].kind == LISTENER_API;
}

void connection_drain(struct worker *worker, struct connection *connection) {
    if (connection->state != CONNECTION_OPEN || connection->drain_told)
        return;
    connection->drain_told = true;
    if (connection->proxy_header)
        connection_close(worker, connection, CLOSE_DRAINING);
    else
        connection->protocol->on_drain(worker, connection);
}

bool sweep_tells(const struct worker *worker, const struct connection *connection) {
    return worker->slots.sweep.phase >=
           (uint32_t)(is_api(worker, connection) ? PHASE_CLOSING : PHASE_GOODBYE);
}

static void sweep_visit(struct worker *worker, struct connection *connection) {
    bool api = is_api(worker, connection);
    switch ((enum server_phase)worker->slots.sweep.phase) {
    case PHASE_GOODBYE:
        if (!api && !wait_concerns(worker, connection))
            connection_drain(worker, connection);
        break;
    case PHASE_CLOSING:
        if (api)
            connection_drain(worker, connection);
        else
            connection_close(worker, connection, CLOSE_DRAIN_TIMEOUT);
        break;
    case PHASE_STOPPED:
        connection_close(worker, connection, CLOSE_STOPPED);
        break;
    case PHASE_STARTING:
    case PHASE_RUNNING:
    case PHASE_REFUSING:
        break;
    }
}

void sweep_begin(struct worker *worker, uint32_t phase) {
    worker->slots.sweep = (struct sweep){.slot = 1, .phase = phase};
}

void sweep_work(struct worker *worker) {
    struct sweep *sweep = &worker->slots.sweep;
    while (sweep_busy(sweep)) {
        if (sweep->slot >= worker->slots.block_count * CONNECTION_BLOCK) {
            sweep->slot = 0;
            return;
        }
        struct connection *connection = slot_at(worker, sweep->slot++);
        if (connection->state == CONNECTION_FREE)
            continue;
        sweep_visit(worker, connection);
        if (slice_over(worker))
            return;
    }
}

void connections_fini(struct worker *worker) {
    CHECK(worker->slots.live == 0, "%u connections are left", worker->slots.live);
    for (uint32_t i = 0; i < worker->slots.block_count; i++)
        free(worker->slots.blocks[i]);
    free(worker->slots.blocks);
}
