/* fake_hub.h - a gate over a fake hub that answers when the test says so, and producers on two
 * workers. For the tests of the gate, whose sources it takes in. */
#ifndef RINGPOST_TESTS_SUPPORT_FAKE_HUB_H
#define RINGPOST_TESTS_SUPPORT_FAKE_HUB_H

#include "tests/support/cmocka_first.h"

#include "ingest/gate/gate.c"
#include "ingest/gate/gate_result.c"

#include <stdio.h>

/* --- the fake hub --------------------------------------------------------------------------------
 */

#define PUBLISHES 8
#define WORKERS 2

static struct server server;
static struct config config;
static struct worker workers[WORKERS];
static struct gate gate;
static struct mailbox boxes[WORKERS];

static struct publish publishes[PUBLISHES];
static bool publish_used[PUBLISHES];
static unsigned publishes_max;
static struct publish *under_way[PUBLISHES]; /* in the order of hub_publish */
static struct message *messages[PUBLISHES];
static unsigned under_way_count;
static unsigned wakes;
static unsigned ended;

size_t client_send_bytes(void) {
    return 64;
}

struct publish *publish_get(struct endpoint *endpoint, enum standing standing) {
    (void)endpoint, (void)standing;
    for (unsigned i = 0; i < publishes_max; i++)
        if (!publish_used[i]) {
            publish_used[i] = true;
            publishes[i] = (struct publish){.slot = i};
            return &publishes[i];
        }
    return NULL;
}

void publish_put(struct endpoint *endpoint, struct publish *publish) {
    (void)endpoint;
    assert_true(publish_used[publish->slot]);
    publish_used[publish->slot] = false;
}

void hub_publish(struct endpoint *endpoint, struct publish *publish, struct message *message) {
    (void)endpoint;
    under_way[under_way_count] = publish;
    messages[under_way_count++] = message;
}

void server_nudge_endpoint(void *argument, unsigned index) {
    assert_ptr_equal(argument, &server);
    assert_in_range(index, 0, WORKERS - 1);
    atomic_store(&server.endpoints[index]->nudged, true);
    wakes++;
}

void connection_publish_ended(struct worker *worker, struct connection *connection) {
    (void)worker;
    assert_true(connection->publishes > 0);
    connection->publishes--;
    ended++;
}

/* The hub's answer to the oldest that is under way. */
static void answer(unsigned worker, enum result_word result, uint32_t recipients) {
    assert_true(under_way_count > 0);
    struct publish *publish = under_way[0];
    message_release(&workers[worker].endpoint, messages[0]);
    under_way_count--;
    memmove(under_way, under_way + 1, under_way_count * sizeof(under_way[0]));
    memmove(messages, messages + 1, under_way_count * sizeof(messages[0]));
    publish->done(&workers[worker].endpoint, publish, result, recipients);
    publish_put(&workers[worker].endpoint, publish);
}

/* --- a producer on each worker -------------------------------------------------------------------
 */

#define TOLD_MAX 64

struct told {
    enum result_word state;
    uint16_t status;
    uint32_t recipients;
    uint32_t first_recipients;
    enum code code;
    uint32_t retry_after_s;
    bool has_fate;
    char id[MESSAGE_ID_BYTES_MAX + 1];
    char json[GATE_RESULT_BYTES_MAX];
};

static struct producer {
    struct connection connection;
    struct gate_source source;
    struct gate_rate rate;
} producers[WORKERS];

static struct told told[TOLD_MAX];
static unsigned told_times[TOLD_MAX];

static void on_done(struct endpoint *endpoint, struct gate_source *source, void *request,
                    uint32_t index, const struct gate_result *result) {
    assert_ptr_equal(source, &producers[endpoint->index].source);
    assert_ptr_equal(request, &producers[endpoint->index]);
    assert_true(index < TOLD_MAX);
    struct told *at = &told[index];
    told_times[index]++;
    *at = (struct told){.state = result->state,
                        .status = result->status,
                        .recipients = result->recipients,
                        .first_recipients = result->first_recipients,
                        .code = result->code,
                        .retry_after_s = result->retry_after_s,
                        .has_fate = result->fate != NULL};
    if (result->id.len != 0)
        memcpy(at->id, result->id.at, result->id.len);
    struct builder out = builder_over(at->json, sizeof(at->json) - 1);
    gate_result_write(result, true, &out);
    assert_false(out.full);
}

static uint32_t fate_max = 100;

static void begin_with(uint64_t memory_bytes, double rate_limit) {
    config = (struct config){.dedup_window_ns = 100 * NS_PER_S,
                             .dedup_max = 100,
                             .fate_window_ns = 1000 * NS_PER_S,
                             .fate_max = fate_max,
                             .rate_limit = rate_limit,
                             .max_message_bytes = 1000};
    memset(&server, 0, sizeof(server));
    atomic_store(&server.config, &config);
    atomic_store(&server.phase, PHASE_RUNNING);
    budget_init(&server.budget, memory_bytes);
    fates_init(&server.fates, &server.budget, &config, server_nudge_endpoint, &server);
    server.worker_count = WORKERS;
    server.workers = workers;
    server.post.boxes = boxes;
    server.post.endpoints = WORKERS;
    memset(workers, 0, sizeof(workers));
    for (unsigned i = 0; i < WORKERS; i++) {
        server.endpoints[i] = &workers[i].endpoint;
        workers[i].index = i;
        workers[i].is_worker = true;
        workers[i].server = &server;
        workers[i].config = &config;
        workers[i].now_ns = 1000 * NS_PER_S;
        account_init(&workers[i].account, &server.budget);
        wheel_init(&workers[i].wheel, workers[i].now_ns);
    }
    assert_true(gate_init(&gate, &server));
    assert_ptr_equal(gate_of(&workers[1].endpoint), &gate);
    memset(producers, 0, sizeof(producers));
    for (unsigned i = 0; i < WORKERS; i++)
        gate_source_init(&producers[i].source, &producers[i].connection, on_done,
                         &producers[i].rate);
    memset(told_times, 0, sizeof(told_times));
    under_way_count = wakes = ended = 0;
    publishes_max = PUBLISHES;
}

static void begin(void) {
    begin_with(1 << 24, 0);
}

static void finish(void) {
    assert_int_equal(under_way_count, 0);
    for (unsigned i = 0; i < PUBLISHES; i++)
        assert_false(publish_used[i]);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(producers[i].connection.publishes, 0);
        assert_int_equal(workers[i].account.used_bytes, 0);
        account_fini(&workers[i].account);
    }
    gate_fini(&gate);
    fates_fini(&server.fates);
}

static void publish_as(unsigned worker, const char *scope, const char *json, bool waits,
                       uint32_t index) {
    struct envelope envelope;
    struct complaint complaint;
    assert_true(envelope_parse(&envelope, gate.contexts[worker].room, ENVELOPE_MESSAGE,
                               span_text(json), config.max_message_bytes, &complaint));
    gate_publish(&workers[worker].endpoint,
                 &(struct gate_request){.source = &producers[worker].source,
                                        .envelope = &envelope,
                                        .scope = span_text(scope),
                                        .request = &producers[worker],
                                        .index = index,
                                        .waits = waits});
}

static void publish(unsigned worker, const char *json, uint32_t index) {
    publish_as(worker, "", json, false, index);
}

static void expect(uint32_t index, enum result_word state, unsigned status) {
    assert_int_equal(told_times[index], 1);
    assert_int_equal(told[index].state, state);
    assert_int_equal(told[index].status, status);
}

#endif
