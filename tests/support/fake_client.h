/* fake_client.h - an engine of one connection, for tests of the TCP client protocol: it notes what
 * the protocol asks for, keeps what was not consumed, and answers as the test says. Includes the
 * protocol's sources, so that nothing of the real engine is linked. */
#ifndef RINGPOST_TESTS_SUPPORT_FAKE_CLIENT_H
#define RINGPOST_TESTS_SUPPORT_FAKE_CLIENT_H

#include "tests/support/cmocka_first.h"

#include "proto/client/client.c"
#include "proto/client/tcp.c"

#include <stdio.h>
#include <stdlib.h>

struct encoding encoding_line = {.index = 0};
struct encoding encoding_counted = {.index = 1};
struct encoding encoding_frame = {.index = 2};
struct encoding encoding_deflated = {.index = 3};

static struct config config;
static struct server server;
static struct worker worker;
static struct budget budget;
static struct connection connection;

static struct {
    char out[65536];
    size_t out_len;
    uint64_t deadline_ns;
    enum close_reason reason;
    bool closed_at_once;
    enum directory_verdict verdict;
    char id[NAME_BYTES_MAX + 1];
    char groups[1024]; /* +g: joined, -g: left, in the order of the calls */
    char sends[65536]; /* fields|payload; */
    char acks[1024];   /* id; */
    bool no_room;      /* for them */
    unsigned yields;
    bool answer_now;
    unsigned releases;
    bool cleared;
} seen;

static char kept[1 << 17]; /* what the engine keeps of the input */
static size_t kept_len;

void connection_write(struct worker *w, struct connection *c, struct span bytes) {
    assert_ptr_equal(w, &worker);
    assert_true(connection_is_open(c));
    assert_true(seen.out_len + bytes.len < sizeof(seen.out));
    memcpy(seen.out + seen.out_len, bytes.at, bytes.len);
    seen.out_len += bytes.len;
    seen.out[seen.out_len] = '\0';
}

static void end(enum close_reason reason) {
    if (connection.state != CONNECTION_OPEN)
        return;
    connection.reason = (uint8_t)reason;
    seen.reason = reason;
    connection.state = CONNECTION_FLUSHING;
    tcp_protocol.on_close(&worker, &connection);
}

void connection_close(struct worker *w, struct connection *c, enum close_reason reason) {
    (void)w, (void)c;
    seen.closed_at_once = true;
    end(reason);
}

void connection_finish(struct worker *w, struct connection *c, enum close_reason reason) {
    (void)w, (void)c;
    end(reason);
}

void connection_write_last(struct worker *w, struct connection *c, struct span bytes,
                           enum close_reason reason) {
    connection_write(w, c, bytes);
    end(reason);
}

bool replies_throttle(const struct worker *w, struct connection *c) {
    (void)w;
    (void)c;
    return false;
}

void connection_yield(struct worker *w, struct connection *c) {
    (void)w, (void)c;
    assert_true(seen.no_room); /* the slice of time never ends here */
    seen.yields++;
}
void connection_pause(struct worker *w, struct connection *c) {
    (void)w;
    c->paused = true;
}

void connection_resume(struct worker *w, struct connection *c) {
    (void)w;
    c->paused = false;
}

void connection_deadline(struct worker *w, struct connection *c, uint64_t due_ns) {
    (void)w, (void)c;
    seen.deadline_ns = due_ns;
}

void outbox_clear(struct worker *w, struct outbox *outbox, enum drop_reason reason) {
    (void)w;
    assert_int_equal(reason, DROP_TOO_SLOW);
    seen.cleared = true;
    outbox->bytes = 0;
}

bool session_open(struct worker *w, struct session *session, const struct session_type *type) {
    (void)w;
    session->type = type;
    session->index = 0;
    return true;
}

void session_close(struct worker *w, struct session *session, struct outbox *outbox) {
    (void)w, (void)outbox;
    session->index = UINT32_MAX;
}

enum directory_verdict directory_take_id(struct worker *w, struct session *session,
                                         struct span id) {
    (void)w, (void)session;
    memcpy(seen.id, id.at, id.len);
    return DIRECTORY_DONE;
}

enum directory_verdict directory_rename(struct worker *w, struct session *session, struct span id) {
    return directory_take_id(w, session, id);
}

void ready_begin(struct worker *w, struct session *session) {
    (void)w, (void)session;
}

bool attend_begin(struct worker *w, struct session *session) {
    (void)w, (void)session;
    return true;
}

bool attend_acknowledge(struct worker *w, struct session *session, const struct span *ids,
                        size_t count) {
    (void)w, (void)session;
    if (seen.no_room)
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(seen.acks);
        snprintf(seen.acks + len, sizeof(seen.acks) - len, "%.*s;", SPAN_ARG(ids[i]));
    }
    return true;
}

static void groups_note(char sign, const struct span *groups, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(seen.groups);
        snprintf(seen.groups + len, sizeof(seen.groups) - len, "%c%.*s", sign, SPAN_ARG(groups[i]));
    }
}

enum directory_verdict directory_join(struct worker *w, struct session *session,
                                      const struct span *groups, size_t count) {
    (void)w, (void)session;
    if (seen.verdict == DIRECTORY_DONE)
        groups_note('+', groups, count);
    return seen.verdict;
}

void directory_leave(struct worker *w, struct session *session, const struct span *groups,
                     size_t count) {
    (void)w, (void)session;
    groups_note('-', groups, count);
}

static void fake_send(struct worker *w, struct connection *c, const struct client_send *send) {
    size_t len = strlen(seen.sends);
    snprintf(seen.sends + len, sizeof(seen.sends) - len, "%.*s|%.*s;", SPAN_ARG(send->fields),
             SPAN_ARG(send->payload));
    client_of(c)->producer = &seen;
    client_send_begun(c);
    if (!seen.answer_now)
        return;
    struct span ref = send->form == CLIENT_SEND_COUNTED ? send->ref : ref_find(send->fields);
    client_sent(w, c, ref, SPAN("i1"), "queued");
    client_send_ended(w, c);
}

static void fake_release(struct worker *w, struct connection *c) {
    (void)w;
    client_of(c)->producer = NULL;
    seen.releases++;
}

static const struct client_gate fake_gate = {.send = fake_send, .release = fake_release};

static void begin(void) {
    config = (struct config){.heartbeat_ns = 25 * NS_PER_S,
                             .heartbeat_timeout_ns = 20 * NS_PER_S,
                             .hello_timeout_ns = 10 * NS_PER_S,
                             .max_message_bytes = 100,
                             .client_send = true,
                             .node = "n1"};
    budget_init(&budget, 1 << 20);
    server.worker_count = 1;
    worker.is_worker = true;
    worker.server = &server;
    worker.config = &config;
    worker.now_ns = 1000 * NS_PER_S;
    worker.slice_until_ns = UINT64_MAX;
    memset(&worker.stats, 0, sizeof(worker.stats));
    account_init(&worker.account, &budget);
    memset(&connection, 0, sizeof(connection));
    connection.state = CONNECTION_OPEN;
    connection.slot = 10;
    connection.generation = 2;
    connection.protocol = &tcp_protocol;
    memset(&seen, 0, sizeof(seen));
    seen.answer_now = true;
    kept_len = 0;
    server.parts.client_gate = &fake_gate;
    tcp_protocol.on_open(&worker, &connection);
}

static void finish(void) {
    end(CLOSE_CLIENT);
    tcp_protocol.on_free(&worker, &connection);
    assert_int_equal(worker.account.used_bytes, 0);
}

/* As the engine does: what was not consumed is kept and comes again with what follows. */
static void consider(void) {
    if (connection.state != CONNECTION_OPEN || connection.paused || kept_len == 0)
        return;
    /* Just as long as the input is, so that reading past it is seen. */
    char *at = malloc(kept_len);
    memcpy(at, kept, kept_len);
    size_t fed = kept_len;
    size_t used = tcp_protocol.on_bytes(&worker, &connection, at, fed);
    assert_true(used <= fed);
    memmove(kept, at + used, fed - used);
    kept_len -= used;
    free(at);
    if (connection.state == CONNECTION_OPEN && !connection.paused && used == 0 &&
        fed > tcp_protocol.input_max(&worker, &connection))
        tcp_protocol.on_flood(&worker, &connection);
}

static void feed(struct span bytes) {
    assert_true(kept_len + bytes.len <= sizeof(kept));
    memcpy(kept + kept_len, bytes.at, bytes.len);
    kept_len += bytes.len;
    consider();
    while (kept_len != 0 && connection.state == CONNECTION_OPEN && !connection.paused) {
        size_t before = kept_len;
        consider();
        if (kept_len == before)
            break;
    }
}

static void say(const char *text) {
    feed(span_text(text));
}

static void expect(const char *text) {
    assert_string_equal(seen.out_len == 0 ? "" : seen.out, text);
    seen.out_len = 0;
}

#endif
