/* The silence of clients: who has a message, does not acknowledge it, and takes what comes, gets it
 * again when the silence is over.
 *
 * The keeper's timer tells when it last was: it is armed for another silence then, and not before
 * it was due. It is armed anew also where a session of the id comes, or has room again; then those
 * that have the message pass it over. So this is about ids all sessions of which have been there,
 * and open, for longer than a silence, with nothing waiting for them: each must have been sent the
 * message since. What a session was doing is looked at after each turn of its worker. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/connection.h"
#include "core/keeper.h"
#include "core/message.h"
#include "core/server.h"
#include "core/worker.h"
#include "proto/client/client.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_tap.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>

/* A turn is shorter, the shortest silence (sim_scenarios.c) is longer. */
#define TURN_MAX_NS (10 * NS_PER_MS)

/* Of what a worker keeps, by its serial. */
struct watched {
    uint64_t due_ns;  /* of its timer, while it is handed over; 0: it is not */
    uint64_t over_ns; /* when its silence was over the last time; 0: not since it was handed over */
};

static struct {
    struct watched *at;
    uint64_t cap;
} watched[WORKERS_MAX];
static uint64_t busy_ns[SESSIONS_MAX];  /* when something waited for the session */
static uint64_t unsteady_ns[NAMES_MAX]; /* of each id: when one of its sessions was not open */

void silence_open(void) {
    silence_close();
    memset(busy_ns, 0, sizeof(busy_ns));
    memset(unsteady_ns, 0, sizeof(unsteady_ns));
}

void silence_close(void) {
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        free(watched[i].at);
    memset(watched, 0, sizeof(watched));
}

static struct watched *watched_at(const struct worker *worker, uint64_t serial) {
    if (serial >= watched[worker->index].cap) {
        uint64_t before = watched[worker->index].cap, cap = serial * 2 + 64;
        struct watched *at = realloc(watched[worker->index].at, cap * sizeof(*at));
        CHECK(at != NULL);
        memset(at + before, 0, (cap - before) * sizeof(*at));
        watched[worker->index].at = at;
        watched[worker->index].cap = cap;
    }
    return &watched[worker->index].at[serial];
}

/* --- after a turn ----------------------------------------------------------------------------- */

void silence_look(const struct worker *worker, const struct kept *kept) {
    struct watched *watch = watched_at(worker, kept->serial);
    uint64_t due_ns = timed_due_ns(&kept->timed); /* rounded up to a tick */
    /* One that is to expire first says nothing of when it was handed over. */
    if (kept->state != KEPT_HANDED || due_ns > kept_message(kept)->expires_ns) {
        *watch = (struct watched){.due_ns = 0};
        return;
    }
    if (due_ns == watch->due_ns)
        return;
    uint64_t handed_ns = due_ns - TIMER_TICK_NS - sim.scenario.ack_silence_ns;
    /* One that found no room for it is armed for a shorter time. */
    bool now = handed_ns + TURN_MAX_NS > worker->now_ns;
    bool over = now && watch->due_ns != 0 && handed_ns + TIMER_TICK_NS >= watch->due_ns;
    watch->over_ns = over ? handed_ns : 0;
    watch->due_ns = due_ns;
}

/* The node's side of a session; NULL: it has none that takes anything. */
static const struct session *session_of(const struct worker *worker, const struct link *link) {
    if (link->worker != (int)worker->index || !link->handle_known || link->finished ||
        link->tap.session == NULL || link->moved)
        return NULL;
    struct connection *connection =
        connection_resolve((struct worker *)(uintptr_t)worker, link->handle);
    if (connection == NULL || connection->state != CONNECTION_OPEN)
        return NULL;
    const struct session *session = &client_of(connection)->session;
    return session->id != NULL && session->attend == ATTEND_OPEN ? session : NULL;
}

void silence_turn(const struct worker *worker) {
    for (unsigned i = 0; i < world_links(); i++) {
        const struct link *link = world_link(i);
        const struct sim_session *client = link->tap.session;
        if (client == NULL || client->id < 0 || link->finished ||
            (link->worker >= 0 && link->worker != (int)worker->index))
            continue;
        const struct session *session = session_of(worker, link);
        if (session == NULL)
            unsteady_ns[client->id] = sim.now_ns;
        else if (session->backlog.messages != 0)
            busy_ns[client->number] = sim.now_ns;
    }
}

/* --- when all is quiet ------------------------------------------------------------------------ */

static bool must_have(const struct worker *worker, const struct session *session,
                      const struct sim_session *client, uint64_t serial, uint64_t over_ns) {
    uint64_t before_ns = over_ns - sim.scenario.ack_silence_ns - TURN_MAX_NS;
    return session->taken_serial >= serial && unsteady_ns[client->id] < before_ns &&
           busy_ns[client->number] < before_ns && client->link->close_stamp == 0 &&
           !client->link->reset && !client->link->send_failed &&
           stats_get(&worker->stats.memory_refused) == 0;
}

static void worker_check(const struct worker *worker, const struct kept *kept, uint64_t over_ns) {
    const struct message *message = kept_message(kept);
    struct span id = message_name_text(message, &message->names[kept->address]);
    uint32_t number = content_number(message_event(message), message_payload(message));
    for (unsigned i = 0; i < world_links(); i++) {
        const struct link *link = world_link(i);
        const struct session *session = session_of(worker, link);
        if (session == NULL || link->tap.session->id < 0 ||
            !span_equal(name_of_id((unsigned)link->tap.session->id), id) ||
            !must_have(worker, session, link->tap.session, kept->serial, over_ns))
            continue;
        uint64_t arrived_ns = acks_arrived_ns(link->tap.session, number);
        if (arrived_ns != 0 && arrived_ns < over_ns)
            sim_fail("session %u has not acknowledged message %u within the silence, which was "
                     "over %.6f s ago, and did not get it again",
                     link->tap.session->number, number, (double)(sim.now_ns - over_ns) / 1e9);
    }
}

void silence_quiet_check(const struct server *server) {
    /* Sessions of toys come without a link. */
    if (server_phase(server) != PHASE_RUNNING || sim.scenario.toys + sim.scenario.streams != 0)
        return;
    for (unsigned i = 0; i < server->worker_count; i++) {
        const struct worker *keeper = &server->workers[i];
        struct table_node *node = NULL;
        while (keeper->keeper.kept.count != 0 &&
               (node = table_walk(&keeper->keeper.kept, node)) != NULL) {
            const struct kept *kept = container_of(node, struct kept, node);
            uint64_t over_ns = watched_at(keeper, kept->serial)->over_ns;
            if (kept->state != KEPT_HANDED || over_ns == 0 ||
                sim.now_ns >= kept_message(kept)->expires_ns)
                continue;
            for (unsigned j = 0; j < server->worker_count; j++)
                worker_check(&server->workers[j], kept, over_ns);
        }
    }
}
