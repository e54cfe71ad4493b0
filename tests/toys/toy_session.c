#include "tests/toys/toy_session.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "tests/toys/toy_form.h"

#include <stdio.h>

static struct toy_session sessions[WORKERS_MAX][TOY_SESSIONS];
static uint32_t numbers, said[WORKERS_MAX];

/* --- the session ------------------------------------------------------------------------------ */

static struct toy_session *toy_of(const struct session *session) {
    return container_of((struct session *)(uintptr_t)session, struct toy_session, session);
}

static const struct encoding *its_encoding(const struct session *session) {
    return toy_of(session)->encoding;
}

static struct outbox *its_outbox(struct session *session) {
    struct toy_session *toy = toy_of(session);
    return toy->connection == NULL ? &toy->own : &toy->connection->outbox;
}

static struct list *its_waiting(struct session *session) {
    return &toy_of(session)->waiting;
}

static void its_mark(struct worker *worker, struct session *session, const struct message *message,
                     char *mark) {
    (void)worker, (void)message;
    char text[MARK_BYTES + 1];
    struct toy_session *toy = toy_of(session);
    snprintf(text, sizeof(text), "%05u%05u", toy->number % 100000, ++toy->marks % 100000);
    memcpy(mark, text, MARK_BYTES);
}

static void its_look(const struct worker *worker, const struct session *session,
                     struct session_look *look) {
    *look = (struct session_look){.text = "toy"};
    (void)worker, (void)session;
}

static void on_parked(struct worker *worker, struct session *session) {
    CHECK(toy_of(session)->connection == NULL && worker->is_worker);
}

static void toy_end(struct worker *worker, struct toy_session *toy, enum drop_reason reason) {
    session_close(worker, &toy->session, its_outbox(&toy->session));
    outbox_clear(worker, &toy->own, reason);
    toy->number = 0;
}

static void its_close(struct worker *worker, struct session *session, enum close_reason reason) {
    struct toy_session *toy = toy_of(session);
    if (toy->connection == NULL)
        wait_end(worker, &toy->wait);
    toy_end(worker, toy, reason == CLOSE_TOO_SLOW ? DROP_TOO_SLOW : DROP_GONE);
}

static const struct session_type session_type = {.transport = "toy",
                                                 .encoding = its_encoding,
                                                 .outbox = its_outbox,
                                                 .on_parked = on_parked,
                                                 .mark = its_mark,
                                                 .waiting = its_waiting,
                                                 .look = its_look,
                                                 .close = its_close};

/* --- without a connection --------------------------------------------------------------------- */

static void on_over(struct worker *worker, struct wait *wait) {
    toy_end(worker, container_of(wait, struct toy_session, wait), DROP_GONE);
}

static void on_drain(struct worker *worker, struct wait *wait) {
    wait_end(worker, wait);
    on_over(worker, wait);
}

static const struct wait_type wait_type = {.on_drain = on_drain, .on_deadline = on_over};

static bool toy_open(struct worker *worker, struct toy_session *toy) {
    *toy = (struct toy_session){.own = outbox_parked(),
                                .encoding = &toy_encodings[TOY_PLAIN],
                                .session.namespace = TOY_NAMESPACE};
    if (SHORTAGE(!session_open(worker, &toy->session, &session_type)))
        return false;
    toy->number = ++numbers;
    if (directory_join(worker, &toy->session, &SPAN("toys"), 1) == DIRECTORY_DONE)
        return true;
    toy_end(worker, toy, DROP_GONE);
    return false;
}

/* --- the door --------------------------------------------------------------------------------- */

uint32_t toy_number_next(void) {
    return ++numbers;
}

void toy_sessions_take(struct worker *worker, struct connection *connection,
                       const struct encoding *encoding) {
    for (unsigned i = 0, taken = 0; i < TOY_SESSIONS && taken < TOY_ON_ONE; i++) {
        struct toy_session *toy = &sessions[worker->index][i];
        bool waits = toy->number != 0 && toy->connection == NULL;
        if (waits)
            wait_end(worker, &toy->wait);
        else if (toy->number != 0 || !toy_open(worker, toy))
            continue;
        toy->connection = connection;
        toy->encoding = encoding;
        outbox_move(worker, &toy->session, &toy->own, &connection->outbox);
        taken++;
    }
}

void toy_sessions_leave(struct worker *worker, struct connection *connection) {
    for (unsigned i = 0; i < TOY_SESSIONS; i++) {
        struct toy_session *toy = &sessions[worker->index][i];
        if (toy->number == 0 || toy->connection != connection)
            continue;
        toy->connection = NULL;
        toy->encoding = &toy_encodings[TOY_PLAIN];
        outbox_move(worker, &toy->session, &connection->outbox, &toy->own);
        if (!wait_begin(worker, &toy->wait, &wait_type, worker->now_ns + TOY_PARKED_NS)) {
            outbox_disown(worker, &connection->outbox, &toy->session);
            toy_end(worker, toy, DROP_GONE);
        }
    }
}

void toy_sessions_say(struct worker *worker) {
    char text[32];
    snprintf(text, sizeof(text), "%u-%u", worker->index, ++said[worker->index]);
    toy_say(worker, span_text(text));
}

const struct toy_session *toy_session_at(unsigned worker, unsigned place) {
    const struct toy_session *toy = &sessions[worker][place];
    return toy->number == 0 ? NULL : toy;
}

bool toy_sessions_any(void) {
    for (unsigned i = 0; i < WORKERS_MAX * TOY_SESSIONS; i++)
        if (sessions[i / TOY_SESSIONS][i % TOY_SESSIONS].number != 0)
            return true;
    return false;
}

void toy_sessions_init(void) {
    CHECK(!toy_sessions_any(), "a session is left");
    numbers = 0;
    memset(said, 0, sizeof(said));
}
