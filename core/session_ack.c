#include "core/session_ack.h"

#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/server.h"
#include "core/worker.h"

#include <stdlib.h>

struct session_ack {
    struct connection_handle session;
    enum ack_verdict verdict; /* on its way back */
    session_ack_done *done;
    void *request;
    uint32_t count;
    uint64_t messages[]; /* hash64 of each id */
};

static size_t ack_bytes(uint32_t count) {
    return sizeof(struct session_ack) + count * sizeof(uint64_t);
}

static void ack_free(struct worker *worker, struct session_ack *ack) {
    account_give(&worker->account, ack_bytes(ack->count));
    free(ack);
}

static struct session_ack *ack_make(struct worker *worker, const struct span *ids, uint32_t count) {
    size_t bytes = ack_bytes(count);
    bool taken = account_take(&worker->account, bytes);
    struct session_ack *ack = taken ? malloc(bytes) : NULL; /* another thread reads it */
    if (SHORTAGE(ack == NULL)) {
        if (taken)
            account_give(&worker->account, bytes);
        stats_add(&worker->stats.memory_refused, 1);
        return NULL;
    }
    ack->count = count;
    for (uint32_t i = 0; i < count; i++)
        ack->messages[i] = hash64(ids[i]);
    return ack;
}

/* On the worker of the session. */
static enum ack_verdict ack_carry_out(struct worker *worker, const struct session_ack *ack) {
    struct connection *connection = connection_resolve(worker, ack->session);
    if (connection == NULL || !connection_is_open(connection) ||
        connection->protocol->session == NULL)
        return ACK_UNKNOWN;
    struct session *session = connection->protocol->session(connection);
    if (session == NULL)
        return ACK_UNKNOWN;
    if (session->id == NULL) {
        stats_add(&worker->stats.acks_ignored, ack->count);
        return ACK_TAKEN;
    }
    enum ack_verdict verdict =
        attend_acknowledge_hashes(worker, session->id->node.hash, ack->messages, ack->count);
    if (verdict == ACK_TAKEN)
        trail_acknowledged(worker, session, ack->messages, ack->count);
    return verdict;
}

bool session_acknowledge(struct worker *worker, struct connection_handle session,
                         const struct span *ids, uint32_t count, session_ack_done *done,
                         void *request, enum ack_verdict *verdict) {
    struct post *post = &worker->server->post;
    *verdict = ACK_UNKNOWN;
    if (session.worker >= worker->server->worker_count)
        return false;
    bool own = session.worker == worker->index;
    *verdict = ACK_NO_ROOM;
    if (!own && (SHORTAGE(worker->requests >= post->requests_max) ||
                 SHORTAGE(!post_room(post, worker->index, session.worker)))) {
        stats_add(&worker->stats.requests_refused, 1);
        return false;
    }
    struct session_ack *ack = ack_make(worker, ids, count);
    if (SHORTAGE(ack == NULL))
        return false;
    ack->session = session;
    ack->done = done;
    ack->request = request;
    if (own) {
        *verdict = ack_carry_out(worker, ack);
        ack_free(worker, ack);
        return false;
    }
    worker->requests++;
    stats_set(&worker->stats.requests, worker->requests);
    account_send(&worker->account, ack_bytes(count));
    post_send(&worker->endpoint, session.worker,
              &(struct mail){.kind = MAIL_ACK_FOR, .from = (uint16_t)worker->index, .object = ack});
    return true;
}

/* Whoever has it answers for it. */
static struct session_ack *ack_receive(struct worker *worker, const struct mail *mail) {
    struct session_ack *ack = mail->object;
    account_receive(&worker->account, ack_bytes(ack->count));
    return ack;
}

void session_ack_on_mail(struct worker *worker, const struct mail *mail) {
    struct session_ack *ack = ack_receive(worker, mail);
    ack->verdict = ack_carry_out(worker, ack);
    account_send(&worker->account, ack_bytes(ack->count));
    post_send(
        &worker->endpoint, mail->from,
        &(struct mail){.kind = MAIL_ACK_FOR_DONE, .from = (uint16_t)worker->index, .object = ack});
}

void session_ack_on_done(struct worker *worker, const struct mail *mail) {
    struct session_ack *ack = ack_receive(worker, mail);
    worker->requests--;
    stats_set(&worker->stats.requests, worker->requests);
    ack->done(worker, ack->request, ack->verdict);
    ack_free(worker, ack);
}

void session_ack_drop(struct worker *worker, const struct mail *mail) {
    ack_free(worker, ack_receive(worker, mail));
}
