#include "ingest/api/slowest.h"

#include "core/base/strbuf.h"
#include "core/connection.h"
#include "core/directory.h"
#include "core/session.h"
#include "core/worker.h"

static bool same_session(const struct slow_session *a, const struct slow_session *b) {
    return strcmp(a->look.text, b->look.text) == 0;
}

/* Where it belongs in the order; SLOWEST_MAX: nowhere, or it is there already. */
static unsigned rank_of(const struct slowest *found, const struct slow_session *session) {
    for (unsigned n = 0; n < found->count; n++)
        if (same_session(&found->sessions[n], session))
            return SLOWEST_MAX;
    unsigned rank = found->count;
    while (rank > 0 && found->sessions[rank - 1].queued_bytes < session->queued_bytes)
        rank--;
    return rank;
}

static void insert(struct slowest *found, unsigned rank, const struct slow_session *session) {
    if (found->count < SLOWEST_MAX)
        found->count++;
    for (unsigned n = found->count - 1; n > rank; n--)
        found->sessions[n] = found->sessions[n - 1];
    found->sessions[rank] = *session;
}

static void session_look(struct worker *worker, uint32_t place, struct slowest *found) {
    struct session *session = worker->sessions.at[place];
    const struct outbox *outbox = session->type->outbox(session);
    if (outbox == NULL || session_queued_bytes(session, outbox) == 0)
        return;
    struct slow_session one = {
        .queued_bytes = session_queued_bytes(session, outbox),
        .place = place,
    };
    session->type->look(worker, session, &one.look);
    unsigned rank = rank_of(found, &one);
    if (rank == SLOWEST_MAX)
        return;
    if (session->id != NULL) {
        one.id_len = (uint16_t)session->id->len;
        memcpy(one.id, session->id->text, session->id->len);
    }
    insert(found, rank, &one);
}

void slowest_look(struct worker *worker, struct slowest_places *places, struct slowest *found) {
    uint32_t sessions = worker->sessions.count;
    uint32_t walk = sessions < SLOWEST_WALK ? sessions : SLOWEST_WALK;
    found->count = 0;
    /* Whoever sits in a place by now: sessions that end make others move. */
    for (unsigned n = 0; n < places->count; n++)
        if (places->at[n] < sessions)
            session_look(worker, places->at[n], found);
    for (uint32_t n = 0; n < walk; n++) {
        if (places->next >= sessions)
            places->next = 0;
        session_look(worker, places->next++, found);
    }
    places->count = found->count;
    for (unsigned n = 0; n < found->count; n++)
        places->at[n] = found->sessions[n].place;
}

void slowest_merge(struct slowest *all, const struct slowest *more) {
    for (unsigned n = 0; n < more->count; n++) {
        unsigned rank = rank_of(all, &more->sessions[n]);
        if (rank == SLOWEST_MAX)
            return; /* nor are those behind it any longer */
        insert(all, rank, &more->sessions[n]);
    }
}

void slowest_write(struct builder *out, const struct slowest *found) {
    builder_byte(out, '[');
    for (unsigned n = 0; n < found->count; n++) {
        const struct slow_session *one = &found->sessions[n];
        char address[PEER_ADDRESS_TEXT_MAX];
        net_peer_text(&one->look.peer, address);
        json_comma(out);
        builder_format(out, "{\"session\":\"%s\"", one->look.text);
        if (one->id_len != 0)
            json_key_text(out, "id", span_of(one->id, one->id_len));
        json_key_text(out, "address", span_text(address));
        json_key_u64(out, "queued_bytes", one->queued_bytes);
        builder_byte(out, '}');
    }
    builder_byte(out, ']');
}
