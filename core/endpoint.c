#include "core/endpoint.h"

#include "core/arrival.h"
#include "core/base/rand.h"
#include "core/base/shortage.h"
#include "core/handover.h"
#include "core/keeper.h"
#include "core/port_wait.h"
#include "core/server.h"
#include "core/session_ack.h"
#include "core/store.h"

#include <stdlib.h>

/* --- memory that is not needed any more ------------------------------------------------------- */

static void on_trim(struct endpoint *endpoint, struct timer *timer) {
    struct account *account = &endpoint->account;
    bool urgent = budget_is_full(account->budget);
    uint64_t due = block_cache_due(&account->blocks, urgent);
    uint64_t given = 0;
    while (given < due) {
        given += account_release(account, TRIM_STEP_BYTES);
        if (endpoint_slice_over(endpoint))
            break;
    }
    bool soon = urgent || given < due;
    if (account_wants_release(account))
        timer_arm(&endpoint->wheel, timer, endpoint->now_ns + (soon ? TRIM_SOON_NS : TRIM_NS));
}

static void trim_look(struct endpoint *endpoint) {
    if (account_wants_release(&endpoint->account) && !timer_armed(&endpoint->trim))
        timer_arm(&endpoint->wheel, &endpoint->trim, endpoint->now_ns + TRIM_NS);
}

/* --- parts of a turn -------------------------------------------------------------------------- */

/* A config that it has looked at is looked at no more once this says so. */
static void config_take(struct endpoint *endpoint) {
    const struct config *config = server_config(endpoint->server);
    if (config == endpoint->config)
        return;
    endpoint->config = config;
    atomic_store_explicit(&endpoint->config_taken, config, memory_order_release);
}

static void clocks_read(struct endpoint *endpoint) {
    endpoint->now_ns = clock_ns();
    endpoint->now_wall_ms = clock_wall_ms();
}

void endpoint_turn_begin(struct endpoint *endpoint) {
    clocks_read(endpoint);
    config_take(endpoint);
}

void endpoint_nudges_take(struct endpoint *endpoint) {
    if (atomic_load_explicit(&endpoint->nudged, memory_order_relaxed) &&
        atomic_exchange_explicit(&endpoint->nudged, false, memory_order_acq_rel) &&
        endpoint->server->parts.on_nudged != NULL)
        endpoint->server->parts.on_nudged(endpoint);
}

void endpoint_messages_return(struct endpoint *endpoint) {
    const struct post *post = &endpoint->server->post;
    uint64_t kept = 0;
    for (uint64_t rest = endpoint->homebound_set; rest != 0; rest &= rest - 1) {
        unsigned owner = (unsigned)__builtin_ctzll(rest);
        /* Nothing hangs on it, so it is no reason to wake anybody for a while. */
        bool early = endpoint->now_ns < endpoint->homebound_ns + HOMEBOUND_NS;
        if ((early && post_asleep(post, owner)) ||
            SHORTAGE(!post_room(post, endpoint->index, owner))) {
            kept |= UINT64_C(1) << owner;
            continue;
        }
        post_send(endpoint, owner,
                  &(struct mail){.kind = MAIL_RETURN,
                                 .from = (uint16_t)endpoint->index,
                                 .object = endpoint->homebound[owner]});
        endpoint->homebound[owner] = NULL;
    }
    endpoint->homebound_set = kept;
    trim_look(endpoint);
}

uint64_t endpoint_wait_ns(const struct endpoint *endpoint, uint64_t wait_ns, uint64_t next_ns) {
    if (endpoint->homebound_set != 0 && wait_ns > HOMEBOUND_NS)
        wait_ns = HOMEBOUND_NS;
    uint64_t wheel_ns = wheel_next_ns(&endpoint->wheel);
    if (wheel_ns < next_ns)
        next_ns = wheel_ns;
    if (next_ns != CLOCK_NEVER) {
        uint64_t now_ns = clock_ns();
        uint64_t away_ns = next_ns > now_ns ? next_ns - now_ns : 0;
        if (away_ns < wait_ns)
            wait_ns = away_ns;
    }
    return wait_ns;
}

/* --- beginning and end ------------------------------------------------------------------------ */

bool endpoint_open(struct endpoint *endpoint, struct server *server, unsigned index) {
    endpoint->index = index;
    endpoint->is_worker = index < server->worker_count;
    endpoint->server = server;
    endpoint->slice_ns = WORK_SLICE_NS;
    endpoint->late_max_ns = LATE_NS;
    endpoint->message_serial = rand_u64();
    account_init(&endpoint->account, &server->budget);
    endpoint->account.presses = true;
    timer_init(&endpoint->trim, on_trim);
    port_waits_init(&endpoint->port_waits);
    storing_init(&endpoint->storing);
    list_init(&endpoint->undecided);
    relays_init(&endpoint->relays);
    endpoint_turn_begin(endpoint);
    wheel_init(&endpoint->wheel, endpoint->now_ns);
    uint32_t requests_max = server->post.requests_max;
    endpoint->publishes = calloc(requests_max, sizeof(struct publish));
    if (endpoint->publishes == NULL)
        return false;
    for (uint32_t i = 0; i < requests_max; i++)
        endpoint->publishes[i].slot = i + 1 == requests_max ? 0 : i + 2;
    endpoint->free_publish = 1;
    return true;
}

/* Calls were waited for, and so were publishes, but not those that were sent to a port or the store
 * and whose time was over: their mail may still be here, or its late answer. */
static void mail_drop(struct endpoint *endpoint, const struct mail *mail) {
    if (mail->kind == MAIL_ADOPT)
        arrival_drop(mail);
    else if (mail->kind == MAIL_MOVE)
        handover_drop(worker_of(endpoint), mail);
    else if (mail->kind == MAIL_RETURN)
        message_take_home(endpoint, mail->object);
    else if (mail->kind == MAIL_PUT)
        store_drop_put(endpoint, mail);
    else if (mail->kind == MAIL_DELIVER || mail->kind == MAIL_HAND || mail->kind == MAIL_DECIDE ||
             mail->kind == MAIL_SETTLE || mail->kind == MAIL_RESTORE)
        message_release(endpoint, mail->object);
    else if (mail->kind == MAIL_ACK)
        keeper_drop_ack(worker_of(endpoint), mail);
    else if (mail->kind == MAIL_ACK_FOR || mail->kind == MAIL_ACK_FOR_DONE)
        session_ack_drop(worker_of(endpoint), mail);
}

static void mailbox_drop(struct endpoint *endpoint) {
    struct post *post = &endpoint->server->post;
    struct mail mail;
    for (unsigned from = 0; from < post->endpoints; from++)
        while (from != endpoint->index &&
               queue_pop(&post->boxes[endpoint->index].from[from], &mail))
            mail_drop(endpoint, &mail);
}

void endpoints_collect(struct server *server) {
    unsigned count = server->post.endpoints;
    for (unsigned i = 0; i < count; i++)
        if (server->endpoints[i]->server != NULL)
            mailbox_drop(server->endpoints[i]);
    /* Only now: what they dropped is among it. */
    for (unsigned from = 0; from < count; from++) {
        struct endpoint *endpoint = server->endpoints[from];
        for (uint64_t rest = endpoint->homebound_set; rest != 0; rest &= rest - 1) {
            unsigned owner = (unsigned)__builtin_ctzll(rest);
            message_take_home(server->endpoints[owner], endpoint->homebound[owner]);
            endpoint->homebound[owner] = NULL;
        }
        endpoint->homebound_set = 0;
    }
}

void endpoint_fini(struct endpoint *endpoint) {
    account_fini(&endpoint->account);
    port_waits_fini(&endpoint->port_waits);
    free(endpoint->publishes);
    endpoint->publishes = NULL;
}
