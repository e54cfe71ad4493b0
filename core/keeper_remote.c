/* keeper_remote.c - what is kept here for clients of other nodes, and for other nodes here; see
 * keeper.h. */
#include "core/attend.h"
#include "core/base/shortage.h"
#include "core/keeper_parts.h"
#include "core/server.h"
#include "core/worker.h"

static struct keeper_remote *remote_of(struct keeper *keeper, uint64_t hash) {
    return &keeper->remotes[hash % KEEPER_REMOTES];
}

static bool is_lately(const struct worker *worker, uint64_t ns) {
    return ns != 0 && ns + KEEPER_REMOTES_NS > worker->now_ns;
}

/* Of ids that share a place none is forgotten: where one is not held elsewhere, handing it over
 * finds that out. */
bool keeper_is_remote(struct worker *worker, uint64_t hash) {
    const struct keeper_remote *remote = remote_of(&worker->keeper, hash);
    return (remote->hash == hash && is_lately(worker, remote->said_ns)) ||
           is_lately(worker, remote->shared_ns);
}

/* Nothing is kept for it; but something may be on its way here, sent before this was said. */
static void remote_note(struct worker *worker, uint64_t hash, bool none) {
    struct keeper_remote *remote = remote_of(&worker->keeper, hash);
    if (none && remote->hash == hash)
        remote->said_ns = 0;
    if (none)
        return;
    if (remote->hash != hash && is_lately(worker, remote->said_ns))
        remote->shared_ns = worker->now_ns;
    remote->hash = hash;
    remote->said_ns = worker->now_ns;
}

uint64_t keeper_herald_for(const struct worker *worker, const struct kept *kept, bool *full) {
    const struct port *herald = worker->server->parts.herald;
    *full = false;
    if (!kept->id->remote || herald == NULL || kept_message(kept)->lent)
        return 0;
    *full = SHORTAGE(!post_room(&worker->server->post, worker->index, herald->index));
    return *full ? 0 : UINT64_C(1) << herald->index;
}

/* Others have it that do not know: their clients are not to be asked for it any more. */
void keeper_tell_settled(struct worker *worker, const struct kept *kept) {
    const struct port *herald = worker->server->parts.herald;
    if (!kept->sent_away || (kept->remote_acked && kept->id->remote != REMOTE_MANY) ||
        SHORTAGE(!post_room(&worker->server->post, worker->index, herald->index)))
        return;
    message_hold(kept_message(kept), 1);
    post_send(&worker->endpoint, herald->index,
              &(struct mail){.kind = MAIL_HAND,
                             .flag = HAND_SETTLED,
                             .from = (uint16_t)worker->index,
                             .number = kept->address,
                             .object = kept_message(kept)});
}

/* Those who keep them hand them over again where their clients are: so none of them is handed over
 * here while others go. The id may be gone afterwards. */
void keeper_lent_drop(struct worker *worker, struct kept_id *id, uint64_t until_ns) {
    uint64_t hash = id->node.hash;
    struct list *at = id->all.next;
    id->stands = true;
    while (id != NULL && id->lent != 0 && at != &id->all) {
        struct kept *kept = kept_of(at);
        at = at->next;
        if (!kept_message(kept)->lent || kept->state == KEPT_RESERVED ||
            kept_message(kept)->accepted_ns > until_ns)
            continue;
        kept_settle(worker, kept, FATE_DROPPED, FATE_REASON_LENT);
        id = kept_id_find(&worker->keeper, hash);
    }
    if (id == NULL)
        return;
    id->stands = false;
    kept_id_go_on(worker, id);
}

/* One that is lent and found nobody here does not wait for anybody. */
void keeper_lent_look(struct worker *worker, struct kept *kept) {
    uint32_t sessions = 0;
    if (kept_message(kept)->lent && kept->state == KEPT_WAITING &&
        keeper_workers_with(worker, kept_id_hash(kept), &sessions) == 0)
        keeper_lent_drop(worker, kept->id, UINT64_MAX);
}

/* Another node may have lent one with the same id, which it keeps still. */
static void lent_settled(struct worker *worker, uint64_t id_hash, uint64_t message_hash,
                         uint32_t lender) {
    struct table_node *node = table_first(&worker->keeper.kept, kept_hash(id_hash, message_hash));
    for (; node != NULL; node = table_next(node)) {
        struct kept *kept = container_of(node, struct kept, node);
        const struct message *message = kept_message(kept);
        bool its_own = (uint32_t)message->serial == lender;
        if (kept->id->node.hash == id_hash && message->lent && its_own &&
            kept->state != KEPT_RESERVED) {
            kept_settle(worker, kept, FATE_DROPPED, FATE_REASON_LENT);
            return;
        }
    }
}

void keeper_on_remote(struct worker *worker, const struct mail *mail) {
    if (mail->flag == REMOTE_SETTLED) {
        lent_settled(worker, mail->token, mail_value(mail), mail->number);
        return;
    }
    struct kept_id *id = kept_id_find(&worker->keeper, mail->token);
    if (id == NULL) {
        remote_note(worker, mail->token, mail->flag == REMOTE_NONE);
        return;
    }
    unsigned was = id->remote;
    uint32_t sessions = 0;
    bool fresh = mail->flag == REMOTE_FRESH || (mail->flag != REMOTE_NONE && was == REMOTE_NONE);
    id->remote = mail->flag != REMOTE_FRESH ? mail->flag
                 : was == REMOTE_NONE       ? REMOTE_ONE
                                            : REMOTE_MANY;
    bool gone = mail->flag == REMOTE_NONE && was != REMOTE_NONE &&
                keeper_workers_with(worker, mail->token, &sessions) == 0;
    if (fresh || gone)
        kept_id_rewind(worker, id, 0);
    if (fresh)
        kept_id_go_on(worker, id);
}
