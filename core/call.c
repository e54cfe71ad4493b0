#include "core/call.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/port.h"
#include "core/server.h"
#include "core/worker.h"

void calls_init(struct calls *calls) {
    *calls = (struct calls){.stamp = 0};
    list_init(&calls->waiting);
}

/* A call is the text of a block. */
static struct chunk *block_of(struct call *call) {
    return (struct chunk *)(void *)((char *)call - offsetof(struct chunk, text));
}

static unsigned worker_count(const struct endpoint *endpoint) {
    return endpoint->server->worker_count;
}

struct call *call_get(struct endpoint *endpoint, const struct call_nodes *nodes, bool reserve) {
    struct server *server = endpoint->server;
    if (SHORTAGE(endpoint->requests >= server->post.requests_max) ||
        SHORTAGE(endpoint->calling >= CALLS_MAX)) {
        stats_add(&endpoint->stats.requests_refused, 1);
        return NULL;
    }
    bool asks = nodes != NULL && endpoint->is_worker && server->parts.herald != NULL;
    unsigned parts = server->worker_count + asks;
    size_t bytes = sizeof(struct call) + parts * sizeof(struct call_part);
    struct chunk *block = chunk_get(endpoint, bytes, reserve);
    if (SHORTAGE(block == NULL)) {
        stats_add(&endpoint->stats.answers_refused, 1);
        return NULL;
    }
    struct call *call = memset(block->text, 0, bytes);
    call->nodes = nodes;
    call->owner = (uint16_t)endpoint->index;
    call->missing = call->part_count = (uint16_t)parts;
    call->wide = asks || !endpoint->is_worker;
    call->reserve = reserve;
    for (unsigned i = 0; i < parts; i++) {
        list_init(&call->parts[i].link);
        call->parts[i].call = call;
    }
    return call;
}

static void blocks_put(struct chunk *const *blocks) {
    for (unsigned i = 0; i < CALL_BLOCKS; i++)
        chunk_put(blocks[i]);
}

static void call_free(struct call *call) {
    for (unsigned i = 0; i < call->part_count; i++) {
        chain_free(&call->parts[i].text);
        blocks_put(call->parts[i].blocks);
    }
    blocks_put(call->blocks);
    chunk_put(block_of(call));
}

static void own_add(struct endpoint *endpoint, uint32_t by) {
    endpoint->calling += by;
    endpoint->requests += by;
    stats_set(&endpoint->stats.requests, endpoint->requests);
}

void call_end(struct endpoint *endpoint, struct call *call) {
    call_free(call);
    own_add(endpoint, UINT32_MAX); /* one less */
}

static void part_wait(struct worker *worker, struct call *call) {
    list_add_tail(&worker->calls.waiting, &call->parts[worker->index].link);
}

/* One part more is there, and known so to the owner. */
static void call_collect(struct endpoint *endpoint, struct call *call) {
    CHECK(call->missing > 0);
    if (--call->missing != 0)
        return;
    if (endpoint->is_worker)
        part_wait(worker_of(endpoint), call); /* for finish */
    else
        port_on_called(endpoint, call);
}

void call_part_done(struct endpoint *endpoint, struct call *call) {
    if (call->owner == endpoint->index)
        call_collect(endpoint, call);
    else
        post_send(endpoint, call->owner,
                  &(struct mail){
                      .kind = MAIL_CALL_DONE, .from = (uint16_t)endpoint->index, .object = call});
}

void calls_work(struct worker *worker) {
    struct calls *calls = &worker->calls;
    while (calls_busy(calls)) {
        struct call_part *part = container_of(calls->waiting.next, struct call_part, link);
        struct call *call = part->call;
        if (call->owner == worker->index && call->missing == 0) {
            if (call->finish(worker, call)) {
                list_remove(&part->link);
                call_end(&worker->endpoint, call);
            }
        } else if (call->run(worker, call, part)) {
            CHECK(calls->walk.name == NULL, "a part is complete and its walk is not");
            list_remove(&part->link);
            call_part_done(&worker->endpoint, call);
        }
        if (slice_over(worker))
            return;
    }
}

/* Who has the part of that number. */
static unsigned part_place(const struct endpoint *endpoint, unsigned part) {
    return part < worker_count(endpoint) ? part : endpoint->server->parts.herald->index;
}

bool call_start(struct endpoint *endpoint, struct call *call) {
    struct post *post = &endpoint->server->post;
    for (unsigned i = 0; i < call->part_count; i++) {
        unsigned to = part_place(endpoint, i);
        if (to != endpoint->index && SHORTAGE(!post_room(post, endpoint->index, to))) {
            stats_add(&endpoint->stats.mail_refused, 1);
            call_free(call);
            return false;
        }
    }
    own_add(endpoint, 1);
    for (unsigned i = 0; i < call->part_count; i++)
        call->parts[i].text =
            chain_empty(endpoint->server->endpoints[part_place(endpoint, i)], call->reserve);
    for (unsigned i = 0; i < call->part_count; i++) {
        unsigned to = part_place(endpoint, i);
        if (to != endpoint->index)
            post_send(endpoint, to,
                      &(struct mail){
                          .kind = MAIL_CALL, .from = (uint16_t)endpoint->index, .object = call});
    }
    if (endpoint->is_worker)
        part_wait(worker_of(endpoint), call);
    return true;
}

bool call_walk(struct worker *worker, struct call_part *part, enum name_kind kind,
               unsigned namespace, uint64_t hash, struct span text) {
    struct walk *walk = &worker->calls.walk;
    struct session *session;
    if (!part->begun && !walk_begin(worker, walk, kind, namespace, hash, text))
        return true;
    part->begun = true;
    while ((session = walk_next(worker, walk)) != NULL) {
        if (!part->call->visit(worker, part, session) || call_is_gone(part->call)) {
            walk_end(worker, walk);
            return true;
        }
        if (slice_over(worker))
            return false;
    }
    return true;
}

void call_on_mail(struct endpoint *endpoint, const struct mail *mail) {
    if (endpoint->is_worker)
        part_wait(worker_of(endpoint), mail->object);
    else
        port_on_call(endpoint, mail->object);
}

void call_on_done_mail(struct endpoint *endpoint, const struct mail *mail) {
    call_collect(endpoint, mail->object);
}
