#include "core/call.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"

void calls_init(struct calls *calls) {
    *calls = (struct calls){.own = 0};
    list_init(&calls->waiting);
}

/* A call is the text of a block. */
static struct chunk *block_of(struct call *call) {
    return (struct chunk *)(void *)((char *)call - offsetof(struct chunk, text));
}

struct call *call_get(struct worker *worker, bool reserve) {
    unsigned workers = worker->server->worker_count;
    if (SHORTAGE(worker->requests >= worker->server->post.requests_max) ||
        SHORTAGE(worker->calls.own >= CALLS_MAX)) {
        stats_add(&worker->stats.requests_refused, 1);
        return NULL;
    }
    size_t bytes = sizeof(struct call) + workers * sizeof(struct call_part);
    struct chunk *block = chunk_get(worker, bytes, reserve);
    if (SHORTAGE(block == NULL)) {
        stats_add(&worker->stats.answers_refused, 1);
        return NULL;
    }
    struct call *call = memset(block->text, 0, bytes);
    call->owner = (uint16_t)worker->index;
    call->missing = (uint16_t)workers;
    call->reserve = reserve;
    for (unsigned i = 0; i < workers; i++) {
        list_init(&call->parts[i].link);
        call->parts[i].call = call;
    }
    return call;
}

static void blocks_put(struct chunk *const *blocks) {
    for (unsigned i = 0; i < CALL_BLOCKS; i++)
        chunk_put(blocks[i]);
}

static void call_free(const struct worker *worker, struct call *call) {
    for (unsigned i = 0; i < worker->server->worker_count; i++) {
        chain_free(&call->parts[i].text);
        blocks_put(call->parts[i].blocks);
    }
    blocks_put(call->blocks);
    chunk_put(block_of(call));
}

static void own_add(struct worker *worker, uint32_t by) {
    worker->calls.own += by;
    worker->requests += by;
    stats_set(&worker->stats.requests, worker->requests);
}

static void part_wait(struct worker *worker, struct call *call) {
    list_add_tail(&worker->calls.waiting, &call->parts[worker->index].link);
}

/* One part more is there, and known so to the owner. */
static void call_collect(struct worker *worker, struct call *call) {
    CHECK(call->missing > 0);
    if (--call->missing == 0)
        part_wait(worker, call); /* for finish */
}

static void part_end(struct worker *worker, struct call *call) {
    if (call->owner == worker->index)
        call_collect(worker, call);
    else
        post_send(&worker->endpoint, call->owner,
                  &(struct mail){
                      .kind = MAIL_CALL_DONE, .from = (uint16_t)worker->index, .object = call});
}

void calls_work(struct worker *worker) {
    struct calls *calls = &worker->calls;
    while (calls_busy(calls)) {
        struct call_part *part = container_of(calls->waiting.next, struct call_part, link);
        struct call *call = part->call;
        if (call->owner == worker->index && call->missing == 0) {
            if (call->finish(worker, call)) {
                list_remove(&part->link);
                call_free(worker, call);
                own_add(worker, UINT32_MAX); /* one less */
            }
        } else if (call->run(worker, call, part)) {
            CHECK(calls->walk.name == NULL, "a part is complete and its walk is not");
            list_remove(&part->link);
            part_end(worker, call);
        }
        if (slice_over(worker))
            return;
    }
}

bool call_start(struct worker *worker, struct call *call) {
    struct post *post = &worker->server->post;
    for (unsigned to = 0; to < worker->server->worker_count; to++) {
        if (to != worker->index && SHORTAGE(!post_room(post, worker->index, to))) {
            stats_add(&worker->stats.mail_refused, 1);
            call_free(worker, call);
            return false;
        }
    }
    own_add(worker, 1);
    for (unsigned i = 0; i < worker->server->worker_count; i++)
        call->parts[i].text = chain_empty(&worker->server->workers[i], call->reserve);
    for (unsigned to = 0; to < worker->server->worker_count; to++)
        if (to != worker->index)
            post_send(
                &worker->endpoint, to,
                &(struct mail){.kind = MAIL_CALL, .from = (uint16_t)worker->index, .object = call});
    part_wait(worker, call);
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

void call_on_mail(struct worker *worker, const struct mail *mail) {
    part_wait(worker, mail->object);
}

void call_on_done_mail(struct worker *worker, const struct mail *mail) {
    call_collect(worker, mail->object);
}
