#include "tests/sim/sim_acks.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "tests/sim/sim_port.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>

void acks_open(void) {
    fate_records_open();
    silence_open();
}

void acks_close(void) {
    fate_records_close();
    silence_close();
}

int ack_place(const struct sim_content *content, int id) {
    for (unsigned i = 0; i < content->to_count; i++)
        if (content->to[i] == id)
            return (int)i;
    return -1;
}

bool ack_is_alone(const struct sim_content *content) {
    return content->attempts == 1 && (content->key < 0 || content_rivals(content) == 1);
}

/* --- what clients get and say ----------------------------------------------------------------- */

static void first_log(struct sim_session *session, uint32_t number) {
    if (session->ack_log_count == session->ack_log_size) {
        session->ack_log_size = session->ack_log_size * 2 + 16;
        session->ack_log =
            realloc(session->ack_log, session->ack_log_size * sizeof(*session->ack_log));
        session->ack_log_ns =
            realloc(session->ack_log_ns, session->ack_log_size * sizeof(*session->ack_log_ns));
        CHECK(session->ack_log != NULL && session->ack_log_ns != NULL);
    }
    session->ack_log[session->ack_log_count++] = number;
}

/* Its place in the log; ack_log_count: it is not there. */
static unsigned log_place(const struct sim_session *session, uint32_t number) {
    for (unsigned i = session->ack_log_count; i > 0; i--)
        if (session->ack_log[i - 1] == number)
            return i - 1;
    return session->ack_log_count;
}

uint64_t acks_arrived_ns(const struct sim_session *session, uint32_t content) {
    unsigned place = log_place(session, content);
    return place == session->ack_log_count ? 0 : session->ack_log_ns[place];
}

void acks_on_arrival(struct sim_session *session, struct sim_content *content, bool redelivered) {
    int place = ack_place(content, session->id);
    if (session->id < 0 || place < 0)
        sim_fail("session %u of id %d got message %u, which is not for it", session->number,
                 session->id, content->number);
    if (sim.scenario.store && content->stored == 0 && !content->lent)
        sim_fail("session %u got message %u before the store had it", session->number,
                 content->number);
    struct sim_ack *ack = &content->acks[place];
    bool before = content->seen[session->number] != 0 ||
                  (ack->written != 0 && ack->written < session->may_from);
    if (!redelivered && before && content->attempts == 1)
        sim_fail("session %u got message %u again, and it does not say `redelivered`",
                 session->number, content->number);
    if (session->sse && content->seen[session->number] != 0 && content->attempts == 1 &&
        !content->lent)
        sim_fail("session %u got message %u again for its silence", session->number,
                 content->number);
    content->arrived++;
    if (content->seen[session->number] == 0)
        first_log(session, content->number);
    session->ack_log_ns[log_place(session, content->number)] = sim.now_ns;
    if (content->seen[session->number] < UINT8_MAX)
        content->seen[session->number]++;
    if (ack->written != 0)
        return;
    ack->written = sim_stamp();
    unsigned in_flight = fate_records_in_flight(session->id);
    if (in_flight > sim.scenario.ack_window)
        sim_fail("id %d has %u messages that are not settled, the window is %u", session->id,
                 in_flight, sim.scenario.ack_window);
}

void acks_said(struct sim_content *content, int id) {
    struct sim_ack *ack = &content->acks[ack_place(content, id)];
    acks_said_elsewhere(content, id);
    if (ack->acked_here == 0)
        ack->acked_here = sim_stamp();
}

void acks_said_elsewhere(struct sim_content *content, int id) {
    struct sim_ack *ack = &content->acks[ack_place(content, id)];
    if (ack->acked == 0)
        ack->acked = sim_stamp();
}

bool ack_said_here(const char *message_id, int id) {
    for (uint32_t i = 0; i < content_total(); i++) {
        const struct sim_content *content = content_at(i);
        int place = content->ack ? ack_place(content, id) : -1;
        if (place >= 0 && content->acks[place].acked_here != 0 &&
            strcmp(content->id, message_id) == 0)
            return true;
    }
    return false;
}

/* --- the end ---------------------------------------------------------------------------------- */

/* First deliveries come in the order accepted: of one producer by its own order, of all by what was
 * answered before another was sent. */
static void order_check(const struct sim_session *session, uint32_t *last) {
    uint64_t latest = 0;
    uint32_t latest_number = 0;
    memset(last, 0, stream_total() * sizeof(*last));
    for (unsigned i = 0; i < session->ack_log_count; i++) {
        const struct sim_content *content = content_at(session->ack_log[i]);
        if (!ack_is_alone(content) || content->lent)
            continue;
        const struct sim_attempt *attempt = attempt_at(content->first_attempt);
        if (attempt->answer < latest)
            sim_fail("session %u got message %u after message %u, which was sent when it had been "
                     "accepted",
                     session->number, content->number, latest_number);
        if (attempt->begin > latest) {
            latest = attempt->begin;
            latest_number = content->number;
        }
        if (last[attempt->stream] > attempt->order)
            sim_fail("session %u got message %u after message %u of the same producer",
                     session->number, content->number, attempt_at(last[attempt->stream])->content);
        last[attempt->stream] = attempt->order;
    }
}

static bool in_list(const struct sim_content *content, int id) {
    return id >= 0 && ack_place(content, id) >= 0;
}

static void recipients_check(const struct sim_content *content, const struct sim_attempt *attempt) {
    unsigned surely = 0, perhaps = 0;
    for (unsigned i = 0; i < session_total(); i++) {
        const struct sim_session *session = session_at(i);
        if (!in_list(content, session->id))
            continue;
        surely += session_surely(session, attempt->begin, attempt->answer);
        perhaps += session_maybe(session, attempt->begin, attempt->answer);
    }
    /* Of each id the node may have taken another one for itself. */
    uint64_t all = attempt->recipients + attempt->port_recipients * PORT_TAKES;
    unsigned wrong = sim.scenario.redis != 0 ? content->to_count : 0;
    if (all + wrong < surely || (all > perhaps && !scenario_has_others()) ||
        (!attempt->waits && attempt->stored != (all == 0)))
        sim_fail("message %u counts %llu sessions, stored %d; it must be %u to %u", content->number,
                 (unsigned long long)attempt->recipients, attempt->stored, surely, perhaps);
}

static uint64_t content_account(const struct sim_content *content, uint64_t *accepted_min,
                                uint64_t *accepted_max) {
    bool possible = false;
    uint32_t most = 0;
    for (uint32_t i = content->first_attempt; i != UINT32_MAX; i = attempt_at(i)->next) {
        const struct sim_attempt *attempt = attempt_at(i);
        bool taken = attempt->state == ATTEMPT_QUEUED;
        if (attempt->state == ATTEMPT_ABSENT || attempt->state == ATTEMPT_DROPPED)
            sim_fail("message %u, which is to be acknowledged, is answered %d", content->number,
                     attempt->state);
        *accepted_min += taken && !attempt->stopped && !content->lent ? content->to_count : 0;
        *accepted_max += content->lent                             ? content->lent_taken
                         : taken || attempt->state == ATTEMPT_OPEN ? content->to_count
                                                                   : 0;
        possible |= taken || attempt->state == ATTEMPT_OPEN;
        most += taken || attempt->state == ATTEMPT_OPEN;
        if (taken && attempt->counted)
            recipients_check(content, attempt);
    }
    if (content->arrived != 0 && !possible)
        sim_fail("message %u was refused, and arrived %u times", content->number, content->arrived);
    if (sim.scenario.store && content->stored > most)
        sim_fail("the store has message %u %u times, it was taken %u times at the most",
                 content->number, content->stored, most);
    return content->arrived;
}

void acks_account(const struct stats *total, uint64_t forgotten) {
    if (sim.scenario.ack == 0)
        return;
    uint64_t arrived = 0, accepted_min = 0, accepted_max = 0;
    for (uint32_t i = 0; i < content_total(); i++)
        if (content_at(i)->ack)
            arrived += content_account(content_at(i), &accepted_min, &accepted_max);
    uint64_t accepted = stats_get(&total->acks_accepted);
    if (accepted < accepted_min || (accepted > accepted_max && !sim.scenario.sio))
        sim_fail("%llu addresses are said to be accepted, it must be %llu to %llu",
                 (unsigned long long)accepted, (unsigned long long)accepted_min,
                 (unsigned long long)accepted_max);
    uint64_t sent = stats_get(&total->copies_sent[CLASS_ACK]);
    if (sim.scenario.toys == 0 && sim.scenario.streams == 0 && sim.scenario.polls == 0 &&
        sent != arrived)
        sim_fail("%llu copies to be acknowledged are said to be sent, %llu were handed to sockets",
                 (unsigned long long)sent, (unsigned long long)arrived);
    uint32_t *last = calloc(stream_total() + 1, sizeof(*last));
    CHECK(last != NULL);
    for (unsigned i = 0; i < session_total(); i++)
        order_check(session_at(i), last);
    free(last);
    fate_records_account(total, forgotten != 0);
}
