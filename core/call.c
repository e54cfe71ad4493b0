#include "core/call.h"

#include "core/base/check.h"
#include "core/server.h"

#include <stdlib.h>

struct call *call_get(struct worker *worker) {
    unsigned workers = worker->server->worker_count;
    if (worker->requests >= worker->server->post.requests_max) {
        stats_add(&worker->stats.requests_refused, 1);
        return NULL;
    }
    struct call *call = calloc(1, sizeof(*call) + workers * sizeof(struct call_part));
    if (call == NULL)
        return NULL;
    call->owner = (uint16_t)worker->index;
    call->missing = (uint16_t)workers;
    return call;
}

static void call_free(const struct worker *worker, struct call *call) {
    for (unsigned i = 0; i < worker->server->worker_count; i++)
        free(call->parts[i].text);
    free(call);
}

/* One part more is there, and known so to the owner. */
static void call_collect(struct worker *worker, struct call *call) {
    CHECK(call->missing > 0);
    if (--call->missing != 0)
        return;
    worker->requests--;
    stats_set(&worker->stats.requests, worker->requests);
    call->done(worker, call);
    call_free(worker, call);
}

static void call_run(struct worker *worker, struct call *call) {
    call->run(worker, call, &call->parts[worker->index]);
    if (call->owner == worker->index)
        call_collect(worker, call);
    else
        post_send(worker, call->owner,
                  &(struct mail){
                      .kind = MAIL_CALL_DONE, .from = (uint16_t)worker->index, .object = call});
}

bool call_start(struct worker *worker, struct call *call) {
    struct post *post = &worker->server->post;
    for (unsigned to = 0; to < post->workers; to++) {
        if (to != worker->index && !post_room(post, worker->index, to)) {
            stats_add(&worker->stats.mail_refused, 1);
            call_free(worker, call);
            return false;
        }
    }
    worker->requests++;
    stats_set(&worker->stats.requests, worker->requests);
    for (unsigned to = 0; to < post->workers; to++)
        if (to != worker->index)
            post_send(
                worker, to,
                &(struct mail){.kind = MAIL_CALL, .from = (uint16_t)worker->index, .object = call});
    call_run(worker, call);
    return true;
}

void call_on_mail(struct worker *worker, const struct mail *mail) {
    call_run(worker, mail->object);
}

void call_on_done_mail(struct worker *worker, const struct mail *mail) {
    call_collect(worker, mail->object);
}
