#include "tests/sim/sim_port.h"

#include "core/base/check.h"
#include "core/port_wait.h"
#include "ingest/gate/envelope.h"
#include "ingest/gate/gate.h"
#include "tests/fakes/fake_redis_socket.h"
#include "tests/sim/sim_acks.h"
#include "tests/sim/sim_fiber.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_redis.h"
#include "tests/sim/sim_store.h"

#include <stdlib.h>

/* Of ids, by number; clients have the lower ones. */
#define SCOPES UINT64_C(0x700000000000)

/* A message that it has, and what will become of it. */
struct held {
    struct list link;
    struct message *message; /* NULL: let go already */
    struct mail request;
    uint64_t due_ns; /* of its answer; CLOCK_NEVER: there will be none */
    uint32_t content;
    bool takes; /* the answer */
};

struct sim_port {
    struct port port;
    unsigned number;
    bool begun;
    struct list held;
    uint32_t owes[ENDPOINTS_MAX];
    bool ids[NAMES_MAX], groups[NAMES_MAX]; /* that it holds now */
    struct timer answers, acts;
    struct gate_source source;
    struct gate_rate rate;
    struct sim_peer maker; /* of its messages */
    uint32_t stream;
    unsigned messages_left;
    uint64_t act_ns;
};

static struct sim_port ports[SIM_PORTS_MAX];

/* What there is to know of the fiber of a port, whatever it does. */
static struct life {
    bool opened, dead;
    uint64_t wake_ns;
} lives[SIM_ENDPOINTS_MAX];

static struct sim_port *port_at(unsigned index) {
    return &ports[index - sim.scenario.workers];
}

static struct sim_port *sim_port_of(struct port *port) {
    return container_of(port, struct sim_port, port);
}

/* --- its fiber -------------------------------------------------------------------------------- */

void sim_port_pause(struct port *port, unsigned death) {
    struct life *life = &lives[port->index];
    if (!life->dead && !port->stopped && sim_chance(death) && sim_chance(30)) {
        SIM_TRACE("port %u dies", port->index - sim.scenario.workers);
        life->dead = true;
    }
    if (life->dead || sim_chance(sim.scenario.preempt))
        fiber_yield(FIBER_READY);
}

void sim_port_wait(struct port *port, int wake_fd, uint64_t wait_ns) {
    if (wait_ns != 0) {
        lives[port->index].wake_ns = wait_ns == CLOCK_NEVER ? CLOCK_NEVER : sim.now_ns + wait_ns;
        fiber_yield(FIBER_ASLEEP);
    }
    net_wake_clear(wake_fd);
}

void sim_port_run(struct port *port, unsigned index) {
    lives[index] = (struct life){.wake_ns = CLOCK_NEVER};
    if (!port_open(port, node_server(), index))
        sim_fail("port %u does not open", index - sim.scenario.workers);
    char problem[256] = "";
    if (port->type->open != NULL && !port->type->open(port, problem, sizeof(problem)))
        sim_fail("port %u does not open: %s", index - sim.scenario.workers, problem);
    lives[index].opened = true;
    if (sim.scenario.slice_ns != 0)
        port->slice_ns = sim.scenario.slice_ns;
    bool more = true;
    while (more) {
        fiber_yield(FIBER_READY);
        more = port_turn(port, CLOCK_NEVER);
        fate_records_look(node_server());
    }
}

bool sim_port_dead(unsigned index) {
    return lives[index].dead && server_phase(node_server()) < PHASE_STOPPED;
}

bool sim_port_opened(unsigned index) {
    return lives[index].opened;
}

bool sim_port_wakes(unsigned index) {
    struct fake_fd *wake = fd_find(node_server()->post.boxes[index].wake_fd);
    return wake->wakes != 0 || sim.now_ns >= lives[index].wake_ns ||
           (sim_redis_at(index) && fake_sockets_wake());
}

uint64_t sim_port_wake_ns(unsigned index) {
    return sim_port_dead(index) ? CLOCK_NEVER : lives[index].wake_ns;
}

static void port_pause(struct sim_port *at) {
    sim_port_pause(&at->port, sim.scenario.port_death);
}

uint32_t sim_port_owes(unsigned index, unsigned endpoint) {
    return port_at(index)->owes[endpoint];
}

/* --- what comes ------------------------------------------------------------------------------- */

static void held_let_go(struct sim_port *at, struct held *held) {
    if (held->message != NULL)
        message_release(&at->port.endpoint, held->message);
    held->message = NULL;
}

static void held_answer(struct sim_port *at, struct held *held) {
    list_remove(&held->link);
    at->owes[held->request.from]--;
    if (held->takes)
        content_at(held->content)->ports_took++;
    if (sim_chance(500))
        held_let_go(at, held);
    port_answer(&at->port, &held->request, held->takes ? PORT_TAKES : 0,
                held->takes || sim_chance(300) ? 0 : ANSWER_UNAVAILABLE);
    held_let_go(at, held);
    free(held);
}

/* When it will be answered; now: at once. */
static uint64_t due_draw(uint64_t now_ns) {
    if (sim_chance(sim.scenario.port_silent))
        return CLOCK_NEVER;
    if (!sim_chance(sim.scenario.port_late))
        return now_ns;
    /* Half of them not long after nobody waits for them any more. */
    return now_ns + (sim_chance(500) ? sim_roll(2500 * NS_PER_MS)
                                     : PORT_ANSWER_NS + sim_roll(500 * NS_PER_MS));
}

static void answers_arm(struct sim_port *at) {
    uint64_t next_ns = CLOCK_NEVER;
    for (struct list *node = at->held.next; node != &at->held; node = node->next) {
        const struct held *held = container_of(node, struct held, link);
        next_ns = held->due_ns < next_ns ? held->due_ns : next_ns;
    }
    if (next_ns != CLOCK_NEVER)
        timer_arm(&at->port.wheel, &at->answers, next_ns);
}

static void on_answers(struct endpoint *endpoint, struct timer *timer) {
    struct sim_port *at = container_of(timer, struct sim_port, answers);
    for (struct list *node = at->held.next, *next; node != &at->held; node = next) {
        struct held *held = container_of(node, struct held, link);
        next = node->next;
        if (held->due_ns <= endpoint->now_ns)
            held_answer(at, held);
    }
    answers_arm(at);
}

static void on_message(struct port *port, struct message *message, const struct mail *request) {
    struct sim_port *at = sim_port_of(port);
    port_pause(at);
    uint32_t content = check_port_arrival(at->number, at->stream, message_event(message),
                                          message_payload(message));
    struct held *held = calloc(1, sizeof(*held));
    CHECK(held != NULL);
    *held = (struct held){.message = message,
                          .request = *request,
                          .due_ns = due_draw(port->now_ns),
                          .content = content,
                          .takes = !sim_chance(sim.scenario.port_unavailable)};
    list_init(&held->link);
    list_add_tail(&at->held, &held->link);
    at->owes[request->from]++;
    if (sim_chance(300))
        held_let_go(at, held);
    if (held->due_ns <= port->now_ns)
        held_answer(at, held);
    else
        answers_arm(at);
}

/* --- what it sends ---------------------------------------------------------------------------- */

static void on_result(struct endpoint *endpoint, struct gate_source *source, void *request,
                      uint32_t index, const struct gate_result *result) {
    (void)source, (void)request;
    static const enum attempt_state states[RESULT_COUNT] = {
        [RESULT_QUEUED] = ATTEMPT_QUEUED,       [RESULT_ABSENT] = ATTEMPT_ABSENT,
        [RESULT_DROPPED] = ATTEMPT_DROPPED,     [RESULT_DUPLICATE] = ATTEMPT_DUPLICATE,
        [RESULT_ID_REUSED] = ATTEMPT_ID_REUSED, [RESULT_OVERLOADED] = ATTEMPT_REFUSED,
        [RESULT_DRAINING] = ATTEMPT_REFUSED,    [RESULT_RATE_LIMITED] = ATTEMPT_REFUSED,
        [RESULT_STORED] = ATTEMPT_QUEUED,       [RESULT_CLUSTER_UNAVAILABLE] = ATTEMPT_REFUSED,
    };
    bool unstored = result->state == RESULT_STORAGE_UNAVAILABLE && sim_store_may_refuse();
    struct sim_attempt *attempt = attempt_at(index);
    enum attempt_state state = unstored ? ATTEMPT_REFUSED : states[result->state];
    if (state == ATTEMPT_OPEN)
        sim_fail("message %u of a port is answered %u", attempt->content, result->status);
    bool counted = state <= ATTEMPT_DROPPED;
    if (result->id.len != 0 && state <= ATTEMPT_DUPLICATE)
        attempt->id_hash = id_hash_of(result->id);
    attempt->stored = result->state == RESULT_STORED;
    attempt->stopped = server_phase(endpoint->server) >= PHASE_STOPPED;
    attempt_answered(attempt, state, counted, counted ? result->recipients : 0);
    if (state == ATTEMPT_DUPLICATE)
        attempt->first_recipients = result->first_recipients % PORT_TAKES;
}

static void port_publish(struct sim_port *at) {
    struct endpoint *endpoint = &at->port.endpoint;
    struct sim_content *content = content_make(&at->maker, false);
    struct text text = {0};
    struct envelope envelope;
    struct complaint complaint;
    content_write(content, &text, "", false);
    CHECK(envelope_parse(&envelope, gate_of(endpoint)->contexts[endpoint->index].room,
                         ENVELOPE_MESSAGE, text_as_span(&text), sim.scenario.max_message_bytes,
                         &complaint),
          "%s", complaint.text);
    /* Where one can die with an id in its hands, it is no other's. */
    bool apart = sim.scenario.port_death != 0;
    uint64_t scope = apart ? SCOPES + at->number : 0;
    struct sim_attempt *attempt = attempt_add(content, at->stream, scope);
    attempt->begin_ns = at->port.now_ns; /* it is accepted at the time of the turn */
    uint32_t number = attempt_number(attempt);
    gate_publish(endpoint,
                 &(struct gate_request){.source = &at->source,
                                        .envelope = &envelope,
                                        .scope = span_of("012", apart ? at->number + 1 : 0),
                                        .index = number});
    text_free(&text);
}

/* It only wakes: port_act comes behind it in the same turn. */
static void on_act(struct endpoint *endpoint, struct timer *timer) {
    (void)endpoint, (void)timer;
}

/* --- its turns -------------------------------------------------------------------------------- */

/* Takes the name, or gives it up. */
static void name_flip(struct sim_port *at, enum name_kind kind, unsigned name) {
    bool *holds = kind == NAME_ID ? &at->ids[name] : &at->groups[name];
    struct holders *holders = at->port.server->holders;
    uint64_t hash =
        name_hash(kind, NAMESPACE_MAIN, kind == NAME_ID ? name_of_id(name) : name_of_group(name));
    if (*holds) {
        holders_remove(holders, hash, at->port.index);
        *holds = false;
    } else if (holders_add(holders, hash, at->port.index)) {
        check_port_holds(at->number, kind, name);
        *holds = true;
    }
}

static void port_begin(struct sim_port *at) {
    at->begun = true;
    for (unsigned i = 0; i < sim.scenario.ids; i++)
        if (sim_chance(400))
            name_flip(at, NAME_ID, i);
    for (unsigned i = 0; i < sim.scenario.groups; i++)
        if (sim_chance(400))
            name_flip(at, NAME_GROUP, i);
    if (sim_chance(500)) {
        check_port_hears(at->number);
        port_hear_broadcasts(&at->port, true);
    }
}

static void port_act(struct sim_port *at) {
    if (sim_chance(20))
        name_flip(at, NAME_ID, (unsigned)sim_roll(sim.scenario.ids));
    if (sim_chance(20))
        name_flip(at, NAME_GROUP, (unsigned)sim_roll(sim.scenario.groups));
    for (unsigned i = 0; at->messages_left > 0 && i < 8 && (i == 0 || sim_chance(700)); i++) {
        at->messages_left--;
        port_publish(at);
        port_pause(at);
    }
    at->act_ns = think_ns();
    if (at->messages_left > 0)
        timer_arm(&at->port.wheel, &at->acts, at->act_ns);
}

static void on_turn(struct port *port) {
    struct sim_port *at = sim_port_of(port);
    port_pause(at);
    if (!at->begun)
        port_begin(at);
    if (port->now_ns >= at->act_ns)
        port_act(at);
}

static void on_wait(struct port *port, int wake_fd, uint64_t wait_ns) {
    port_pause(sim_port_of(port));
    sim_port_wait(port, wake_fd, wait_ns);
}

static void on_stop(struct port *port) {
    struct sim_port *at = sim_port_of(port);
    for (struct list *node; (node = list_pop(&at->held)) != NULL;) {
        struct held *held = container_of(node, struct held, link);
        held_let_go(at, held);
        free(held);
    }
    timer_disarm(&port->wheel, &at->answers);
    for (unsigned i = 0; i < NAMES_MAX; i++) {
        if (at->ids[i])
            name_flip(at, NAME_ID, i);
        if (at->groups[i])
            name_flip(at, NAME_GROUP, i);
    }
}

void sim_ports_open(struct server_parts *parts) {
    static const struct port_type type = {
        .name = "sim", .deliver = on_message, .turn = on_turn, .wait = on_wait, .stop = on_stop};
    memset(lives, 0, sizeof(lives));
    parts->port_count = sim.scenario.ports;
    for (unsigned i = 0; i < sim.scenario.ports; i++) {
        struct sim_port *at = &ports[i];
        memset(at, 0, sizeof(*at));
        port_init(&at->port, &type);
        at->number = i;
        at->messages_left = sim.scenario.port_messages;
        at->maker.kind = PEER_PRODUCER;
        at->stream = stream_add();
        list_init(&at->held);
        timer_init(&at->answers, on_answers);
        timer_init(&at->acts, on_act);
        gate_source_init(&at->source, NULL, on_result, sim_chance(500) ? &at->rate : NULL);
        parts->ports[i] = &at->port;
    }
}

void sim_port_body(unsigned index) {
    sim_port_run(&port_at(index)->port, index);
}
