#include "tests/toys/toy_engine.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/worker.h"
#include "tests/toys/toy_form.h"
#include "tests/toys/toy_session.h"

#include <stdio.h>

struct toy_engine {
    struct session session;
    struct list waiting;
    uint32_t number, marks;
};

static struct toy_engine *toy_of(const struct session *session) {
    return container_of((struct session *)(uintptr_t)session, struct toy_engine, session);
}

static struct engine *engine_of(const struct session *session) {
    return engine_of_state(toy_of(session));
}

static const struct encoding *its_encoding(const struct session *session) {
    enum engine_form form = engine_form(engine_of(session));
    return &toy_encodings[form == EIO4_SOCKET ? TOY_FRAME : TOY_PACKET];
}

static struct outbox *its_outbox(struct session *session) {
    return engine_outbox(engine_of(session));
}

static void on_parked(struct worker *worker, struct session *session) {
    engine_on_parked(worker, engine_of(session));
}

static struct list *its_waiting(struct session *session) {
    return &toy_of(session)->waiting;
}

static void its_mark(struct worker *worker, struct session *session, const struct message *message,
                     char *mark) {
    (void)worker, (void)message;
    char text[MARK_BYTES + 1];
    struct toy_engine *toy = toy_of(session);
    snprintf(text, sizeof(text), "%05u%05u", toy->number % 100000, ++toy->marks % 100000);
    memcpy(mark, text, MARK_BYTES);
}

static void its_look(const struct worker *worker, const struct session *session,
                     struct session_look *look) {
    char room[ENGINE_SID_BYTES];
    struct engine *engine = engine_of(session);
    *look = (struct session_look){.peer = *engine_peer(engine)};
    memcpy(look->text, engine_sid(worker, engine, room).at, ENGINE_SID_BYTES);
}

static void its_close(struct worker *worker, struct session *session, enum close_reason reason) {
    engine_close(worker, engine_of(session), reason);
}

static const struct session_type session_type = {.transport = "toy",
                                                 .encoding = its_encoding,
                                                 .outbox = its_outbox,
                                                 .on_parked = on_parked,
                                                 .mark = its_mark,
                                                 .waiting = its_waiting,
                                                 .look = its_look,
                                                 .close = its_close};

static bool on_open(struct worker *worker, struct engine *engine) {
    struct toy_engine *toy = engine_state(engine);
    toy->session.namespace = TOY_NAMESPACE;
    if (SHORTAGE(!session_open(worker, &toy->session, &session_type)))
        return false;
    toy->number = toy_number_next();
    if (directory_join(worker, &toy->session, &SPAN("toys"), 1) == DIRECTORY_DONE)
        return true;
    session_close(worker, &toy->session, engine_outbox_last(engine));
    return false;
}

static bool on_message(struct worker *worker, struct engine *engine, struct span bytes,
                       bool binary) {
    char what = bytes.len == 0 ? '\0' : bytes.at[0];
    if (what == 'e' && binary)
        engine_write_binary(worker, engine, bytes);
    else if (what == 'e')
        engine_write(worker, engine, bytes);
    else if (what == 's')
        toy_sessions_say(worker);
    else if (what == 'f')
        engine_finish(worker, engine, CLOSE_DRAINING);
    else if (what == 'c')
        engine_close(worker, engine, CLOSE_CLOSED_BY_API);
    else if (what == 'p')
        engine_deadline(worker, engine, worker->now_ns + TOY_ENGINE_PAUSE_NS);
    return what != 'p';
}

static void on_deadline(struct worker *worker, struct engine *engine) {
    engine_resume(worker, engine);
}

static void on_close(struct worker *worker, struct engine *engine, enum close_reason reason) {
    struct toy_engine *toy = engine_state(engine);
    (void)reason;
    session_close(worker, &toy->session, engine_outbox_last(engine));
}

const struct engine_app toy_engine_app = {.state_bytes = sizeof(struct toy_engine),
                                          .on_open = on_open,
                                          .on_message = on_message,
                                          .on_close = on_close,
                                          .on_deadline = on_deadline};
