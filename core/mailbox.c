#include "core/mailbox.h"

#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/call.h"
#include "core/handover.h"
#include "core/server.h"
#include "core/session_ack.h"
#include "core/store.h"

uint32_t post_slots_override;

_Static_assert(MAILBOX_SLOTS_MIN * sizeof(struct mail) * ENDPOINTS_MAX * ENDPOINTS_MAX <=
                   MAILBOX_BYTES_ALL,
               "the queues of the most endpoints fit their bound");
_Static_assert((int)MAIL_KIND_COUNT <= STATS_MAILS, "each kind of mail has its counter");

const char *mail_name(unsigned kind) {
    static const char *const names[MAIL_KIND_COUNT] = {[MAIL_INVALID] = "INVALID",
#define MAIL_NAME(name) [MAIL_##name] = #name,
                                                       MAIL_KINDS(MAIL_NAME)
#undef MAIL_NAME
    };
    return kind < MAIL_KIND_COUNT ? names[kind] : "INVALID";
}

uint32_t post_slots(unsigned endpoints) {
    if (post_slots_override != 0)
        return post_slots_override;
    uint64_t share = MAILBOX_BYTES_ALL / sizeof(struct mail) / ((uint64_t)endpoints * endpoints);
    uint32_t slots = MAILBOX_SLOTS_MIN;
    while (slots < MAILBOX_SLOTS_MAX && slots * 2 <= share)
        slots *= 2;
    return slots;
}

bool post_init(struct post *post, unsigned endpoints) {
    *post = (struct post){.endpoints = endpoints, .slots = post_slots(endpoints)};
    post->requests_max = post->slots / 2;
    post->copies_max = FANOUT_COPIES_MAX;
    post->reserved = post->requests_max;
    CHECK(post->reserved < post->slots - 1, "queues of %u slots leave no room for requests",
          post->slots);
    post->boxes = aligned_alloc(_Alignof(struct mailbox), endpoints * sizeof(struct mailbox));
    if (post->boxes == NULL)
        return false;
    memset(post->boxes, 0, endpoints * sizeof(struct mailbox));
    for (unsigned i = 0; i < endpoints; i++)
        post->boxes[i].wake_fd = -1;
    for (unsigned i = 0; i < endpoints; i++) {
        post->boxes[i].wake_fd = net_wake_open();
        if (post->boxes[i].wake_fd < 0)
            return false;
        for (unsigned from = 0; from < endpoints; from++)
            if (from != i && !queue_init(&post->boxes[i].from[from], post->slots))
                return false;
    }
    return true;
}

void post_fini(struct post *post) {
    for (unsigned i = 0; post->boxes != NULL && i < post->endpoints; i++) {
        if (post->boxes[i].wake_fd >= 0)
            net_close(post->boxes[i].wake_fd);
        for (unsigned from = 0; from < post->endpoints; from++)
            queue_fini(&post->boxes[i].from[from]);
    }
    free(post->boxes);
    post->boxes = NULL;
}

bool post_room(const struct post *post, unsigned from, unsigned to) {
    return queue_room(&post->boxes[to].from[from]) > post->reserved;
}

void post_send(struct endpoint *endpoint, unsigned to, const struct mail *mail) {
    struct post *post = &endpoint->server->post;
    CHECK(to != endpoint->index && to < post->endpoints, "mail from %u to %u", endpoint->index, to);
    stats_add(&endpoint->stats.mails[mail->kind], 1);
    if (FAULT(MAIL_LOST))
        return;
    bool pushed = queue_push(&post->boxes[to].from[endpoint->index], mail);
    CHECK(pushed, "no room for a mail of kind %u to %u", mail->kind, to);
    endpoint->wake_set |= UINT64_C(1) << to;
}

void post_wake_all(struct endpoint *endpoint) {
    if (endpoint->wake_set == 0)
        return;
    struct post *post = &endpoint->server->post;
    /* The pushes above, then the look at `asleep`: see the proof in the header. */
    atomic_thread_fence(memory_order_seq_cst);
    while (endpoint->wake_set != 0) {
        unsigned to = (unsigned)__builtin_ctzll(endpoint->wake_set);
        endpoint->wake_set &= endpoint->wake_set - 1;
        struct mailbox *box = &post->boxes[to];
        if (atomic_load_explicit(&box->asleep, memory_order_relaxed) == 0)
            continue;
        if (FAULT(WAKE_LOST))
            continue;
        /* Of several that find it asleep, one wakes it. */
        if (atomic_exchange_explicit(&box->asleep, 0, memory_order_acq_rel) != 0) {
            stats_add(&endpoint->stats.wakes, 1);
            net_wake(box->wake_fd);
        }
    }
}

typedef void mail_handler(struct endpoint *endpoint, const struct mail *mail);

static void mail_on_return(struct endpoint *endpoint, const struct mail *mail) {
    message_take_home(endpoint, mail->object);
}

static void mail_on_deliver(struct endpoint *endpoint, const struct mail *mail) {
    endpoint->on_deliver(endpoint, mail);
}

/* Only workers get these. */
static void mail_on_adopt(struct endpoint *endpoint, const struct mail *mail) {
    worker_on_adopt(worker_of(endpoint), mail);
}

static void mail_on_move(struct endpoint *endpoint, const struct mail *mail) {
    handover_on_mail(worker_of(endpoint), mail);
}

static void mail_on_decide(struct endpoint *endpoint, const struct mail *mail) {
    keeper_on_decide(worker_of(endpoint), mail);
}

static void mail_on_hand(struct endpoint *endpoint, const struct mail *mail) {
    if (endpoint->is_worker)
        attend_on_hand(worker_of(endpoint), mail);
    else
        port_on_hand(endpoint, mail);
}

static void mail_on_remote(struct endpoint *endpoint, const struct mail *mail) {
    keeper_on_remote(worker_of(endpoint), mail);
}

static void mail_on_ack(struct endpoint *endpoint, const struct mail *mail) {
    keeper_on_ack(worker_of(endpoint), mail);
}

static void mail_on_ack_for(struct endpoint *endpoint, const struct mail *mail) {
    session_ack_on_mail(worker_of(endpoint), mail);
}

static void mail_on_ack_for_done(struct endpoint *endpoint, const struct mail *mail) {
    session_ack_on_done(worker_of(endpoint), mail);
}

static void mail_on_attend(struct endpoint *endpoint, const struct mail *mail) {
    keeper_on_attend(worker_of(endpoint), mail);
}

static void mail_on_attended(struct endpoint *endpoint, const struct mail *mail) {
    attend_on_attended(worker_of(endpoint), mail);
}

static void mail_on_restore(struct endpoint *endpoint, const struct mail *mail) {
    keeper_on_restore(worker_of(endpoint), mail);
}

static void mail_on_relay(struct endpoint *endpoint, const struct mail *mail) {
    relay_on_mail(endpoint, mail);
}

static mail_handler *const handlers[MAIL_KIND_COUNT] = {
    [MAIL_DELIVER] = mail_on_deliver, [MAIL_ANSWER] = hub_on_answer,
    [MAIL_CALL] = call_on_mail,       [MAIL_CALL_DONE] = call_on_done_mail,
    [MAIL_RETURN] = mail_on_return,   [MAIL_ADOPT] = mail_on_adopt,
    [MAIL_MOVE] = mail_on_move,       [MAIL_DECIDE] = mail_on_decide,
    [MAIL_HAND] = mail_on_hand,       [MAIL_ACK] = mail_on_ack,
    [MAIL_ATTEND] = mail_on_attend,   [MAIL_ATTENDED] = mail_on_attended,
    [MAIL_ACK_FOR] = mail_on_ack_for, [MAIL_ACK_FOR_DONE] = mail_on_ack_for_done,
    [MAIL_PUT] = store_on_put,        [MAIL_PUT_DONE] = store_on_put_done,
    [MAIL_SETTLE] = store_on_settle,  [MAIL_RESTORE] = mail_on_restore,
    [MAIL_RELAY] = mail_on_relay,     [MAIL_REMOTE] = mail_on_remote,
};

static void mail_handle(struct endpoint *endpoint, const struct mail *mail) {
    CHECK(mail->kind > MAIL_INVALID && mail->kind < MAIL_KIND_COUNT, "mail of kind %u", mail->kind);
    recorder_note(&endpoint->recorder, endpoint->now_ns, mail->token, (int32_t)mail->number,
                  mail->kind);
    handlers[mail->kind](endpoint, mail);
}

bool post_receive(struct endpoint *endpoint) {
    struct post *post = &endpoint->server->post;
    struct mailbox *box = &post->boxes[endpoint->index];
    bool more = false, over = false;
    unsigned start = (unsigned)stats_get(&endpoint->stats.turns) % post->endpoints;
    for (unsigned i = 0; i < post->endpoints; i++) {
        unsigned from = (start + i) % post->endpoints;
        if (from == endpoint->index)
            continue;
        /* What was there at the start and no more, so that a busy sender cannot hold the turn. */
        uint32_t count = queue_count(&box->from[from]);
        struct mail mail;
        if (FAULT(MAIL_REORDER) && count >= 2) {
            struct mail first;
            CHECK(queue_pop(&box->from[from], &first) && queue_pop(&box->from[from], &mail));
            count -= 2;
            mail_handle(endpoint, &mail);
            mail_handle(endpoint, &first);
        }
        while (!over && count-- > 0 && queue_pop(&box->from[from], &mail)) {
            mail_handle(endpoint, &mail);
            over = endpoint_slice_over(endpoint);
        }
        more |= queue_count(&box->from[from]) != 0;
    }
    return more;
}

bool post_may_sleep(struct endpoint *endpoint) {
    struct post *post = &endpoint->server->post;
    struct mailbox *box = &post->boxes[endpoint->index];
    atomic_store_explicit(&box->asleep, 1, memory_order_relaxed);
    /* The store above, then the look into the queues: see the proof in the header. */
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned from = 0; from < post->endpoints; from++) {
        if (from != endpoint->index && queue_count(&box->from[from]) != 0) {
            atomic_store_explicit(&box->asleep, 0, memory_order_relaxed);
            return false;
        }
    }
    return true;
}

void post_awake(struct endpoint *endpoint) {
    atomic_store_explicit(&endpoint->server->post.boxes[endpoint->index].asleep, 0,
                          memory_order_relaxed);
}
