/* What is said of messages that are kept: clients acknowledge them, operators ask for them and take
 * them back; see keeper.h. */
#include "core/attend.h"
#include "core/base/fault.h"
#include "core/base/hash.h"
#include "core/keeper_parts.h"
#include "core/mailbox.h"
#include "core/message.h"
#include "core/server.h"
#include "core/worker.h"

#include <stdlib.h>

/* --- what clients say ------------------------------------------------------------------------ */

/* What a client there, or here, may acknowledge: one that was never handed over cannot be known to
 * it, and what a third node keeps is told to that alone. */
static bool is_known(const struct kept *kept, bool from_port) {
    return from_port ? kept->sent_away : kept->written;
}

/* The first of that id which it may be; NULL: there is none. */
static struct kept *acknowledged(struct worker *worker, uint64_t id_hash, uint64_t message_hash,
                                 bool from_port, bool only_lent) {
    struct table_node *node = table_first(&worker->keeper.kept, kept_hash(id_hash, message_hash));
    for (; node != NULL; node = table_next(node)) {
        struct kept *kept = container_of(node, struct kept, node);
        if (kept->id->node.hash == id_hash && is_known(kept, from_port) &&
            (!only_lent || kept_message(kept)->lent))
            return kept;
    }
    return NULL;
}

void keeper_acknowledge(struct worker *worker, uint64_t id_hash, uint64_t message_hash,
                        bool from_port) {
    struct kept *kept = acknowledged(worker, id_hash, message_hash, from_port, false);
    if (kept == NULL)
        stats_add(&worker->stats.acks_ignored, 1);
    while (kept != NULL) {
        kept->remote_acked = from_port;
        struct kept *behind = FAULT(ACK_TWICE) ? kept_next(kept->id, kept) : NULL;
        kept_settle(worker, kept, FATE_ACKED, FATE_REASON_NONE);
        if (behind != NULL && behind->state == KEPT_HANDED)
            kept_settle(worker, behind, FATE_ACKED, FATE_REASON_NONE);
        /* A node that was started again lends what it had lent before: its client has it once. */
        kept = from_port ? NULL : acknowledged(worker, id_hash, message_hash, false, true);
    }
}

/* Of one mail, as of one list of acknowledgements: what is left comes again. */
#define ACKS_AT_ONCE 1024

void keeper_acknowledge_to(struct worker *worker, uint64_t id_hash, uint64_t serial) {
    for (unsigned i = 0; i < ACKS_AT_ONCE; i++) {
        const struct kept_id *id = keeper_find(worker, id_hash);
        if (id == NULL)
            return;
        struct kept *first = kept_of(id->all.next);
        /* What was never handed over stands behind everything that was. */
        if (first->serial > serial || first->state == KEPT_RESERVED || !first->written)
            return;
        kept_settle(worker, first, FATE_ACKED, FATE_REASON_NONE);
    }
}

static size_t ack_list_take(struct worker *worker, const struct mail *mail) {
    const struct ack_list *list = mail->object;
    size_t bytes = ack_list_bytes(list->count);
    account_receive(&worker->account, bytes);
    return bytes;
}

void keeper_on_ack(struct worker *worker, const struct mail *mail) {
    if (mail->number == 0) {
        keeper_acknowledge_to(worker, mail->token, mail_value(mail));
        return;
    }
    if (mail->number == 1) {
        keeper_acknowledge(worker, mail->token, mail_value(mail),
                           mail->from >= worker->server->worker_count);
        return;
    }
    struct ack_list *list = mail->object;
    size_t bytes = ack_list_take(worker, mail);
    for (uint32_t i = 0; i < list->count; i++)
        keeper_acknowledge(worker, list->id_hash, list->message_hashes[i], false);
    free(list);
    account_give(&worker->account, bytes);
}

void keeper_drop_ack(struct worker *worker, const struct mail *mail) {
    if (mail->number > 1) {
        account_give(&worker->account, ack_list_take(worker, mail));
        free(mail->object);
    }
}

/* --- what operators say ---------------------------------------------------------------------- */

/* `at` or what is behind it, but for what is reserved. */
static const struct kept *pending_from(const struct kept_id *id, const struct list *at) {
    for (; at != &id->all; at = at->next) {
        const struct kept *kept = container_of(at, struct kept, order);
        if (kept->state != KEPT_RESERVED)
            return kept;
    }
    return NULL;
}

const struct kept *kept_id_oldest(const struct kept_id *id) {
    return kept_id_pending(id) == 0 ? NULL : pending_from(id, id->all.next);
}

const struct kept *kept_id_behind(const struct kept_id *id, const struct kept *kept) {
    return pending_from(id, kept->order.next);
}

const struct kept *keeper_find_message(const struct worker *worker, uint64_t hash,
                                       struct span message_id_text) {
    uint64_t both = kept_hash(hash, hash64(message_id_text));
    struct table_node *node = table_first(&worker->keeper.kept, both);
    for (; node != NULL; node = table_next(node)) {
        const struct kept *kept = container_of(node, struct kept, node);
        if (kept->id->node.hash == hash &&
            span_equal(message_id(kept_message(kept)), message_id_text))
            return kept;
    }
    return NULL;
}

void keeper_withdraw(struct worker *worker, struct span message_id, const struct fate *fate) {
    uint64_t message_hash = hash64(message_id);
    for (uint32_t i = 0; i < fate_count(fate); i++) {
        uint64_t id_hash = fate_address_hash(fate, i);
        struct table_node *node =
            table_first(&worker->keeper.kept, kept_hash(id_hash, message_hash));
        for (; node != NULL; node = table_next(node)) {
            struct kept *kept = container_of(node, struct kept, node);
            if (kept_message(kept)->fate != fate || kept->address != i)
                continue;
            /* Its producer's decision is on its way. */
            if (kept->state == KEPT_RESERVED)
                kept->withdrawn = true;
            else
                kept_settle(worker, kept, FATE_DROPPED, FATE_REASON_WITHDRAWN);
            break;
        }
    }
}
