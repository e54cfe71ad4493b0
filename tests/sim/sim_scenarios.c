/* What a seed means. Each seed takes one of the kinds below, which sets what it is about;
 * everything that the kind leaves alone is drawn. */
#include "tests/sim/sim_scenarios.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/limits.h"
#include "ha/redis/nodes.h"
#include "tests/sim/sim_kernel_ring.h"
#include "tests/sim/sim_sio.h"

#define KB 1024u

static unsigned pick(const unsigned *list, size_t count) {
    return list[sim_roll(count)];
}
#define PICK(...)                                                                                  \
    pick((const unsigned[]){__VA_ARGS__},                                                          \
         sizeof((const unsigned[]){__VA_ARGS__}) / sizeof(unsigned))

/* A node with plenty of everything on a network that behaves. */
static void ordinary(struct scenario *s) {
    *s = (struct scenario){
        .name = "calm",
        .workers = PICK(1, 2, 2, 3, 4, 4, 5, 8),
        .steer = (enum steer)sim_roll(3),
        .kernel_steers = sim_chance(500),
        .slow = (enum slow_policy)sim_roll(3),
        .outbox_bytes = 1024 * KB,
        .max_message_bytes = 64 * KB,
        .max_body_bytes = 1024 * KB,
        .memory_bytes = UINT64_C(1) << 30,
        .buffers = PICK(64, 128),
        .buffer_bytes = PICK(512, 1024, 4096),
        .client_send = sim_chance(600),
        .with_key = sim_chance(300),
        .max_connections = 10000,
        .dedup_max = 100000,
        .dedup_window_ns = 120 * NS_PER_S,
        .heartbeat_ns = 25 * NS_PER_S,
        .heartbeat_timeout_ns = 20 * NS_PER_S,
        .hello_timeout_ns = 10 * NS_PER_S,
        .drain_timeout_ns = 10 * NS_PER_S,
        .descriptors = 1500,
        .places = SIM_PLACES,
        .sq_entries = 64,
        .cq_entries = 128,
        .eager = PICK(100, 300, 600, 900),
        .chunk_small = PICK(0, 20, 100),
        .stall = PICK(0, 50, 200),
        .preempt = PICK(0, 50, 300),
        .freeze = PICK(0, 5, 30),
        .signal = PICK(0, 0, 2),
        .delay_max_ns = PICK(1, 5, 50) * NS_PER_MS,
        .send_window = 256 * KB,
        .receive_window = 128 * KB,
        .clients = 4 + (unsigned)sim_roll(16),
        .producers = 1 + (unsigned)sim_roll(3),
        .lives = 1,
        .messages = 20 + (unsigned)sim_roll(60),
        .ids = 2 + (unsigned)sim_roll(10),
        .groups = 2 + (unsigned)sim_roll(6),
        .counted_clients = PICK(0, 300, 500, 1000),
        .keyed = PICK(0, 200),
        .is_volatile = PICK(0, 200),
        .wide = PICK(0, 100, 400),
        .broadcast = PICK(20, 100),
        .bytes_payload = 300,
        .calls = PICK(0, 50, 200),
        .payload_max = PICK(100, 1500, 6000),
        .think_max_ns = PICK(1, 20, 200) * NS_PER_MS,
        .calm = true,
        .close_first = sim_chance(500),
    };
}

static void rough(struct scenario *s) {
    s->calm = false;
    s->short_send = PICK(50, 300, 700);
    s->early_end = PICK(10, 100, 400);
    s->odd_end = PICK(0, 20, 100);
    s->chunk_small = PICK(20, 100, 300);
    s->stall = PICK(50, 200, 400);
    s->close_error = PICK(0, 100);
    s->places = PICK(SIM_PLACES, SIM_PLACES, 0, FILES_SPARE + 3, FILES_SPARE + 15);
    s->sq_entries = PICK(2, 8, 64);
    s->cq_entries = PICK(4, 16, 128);
    s->no_memory = PICK(0, 0, 0, 2, 20);
}

/* --- the kinds ------------------------------------------------------------------------------- */

static void kind_calm(struct scenario *s) {
    /* keep-latest drops whenever a send is in flight. */
    s->slow = sim_chance(500) ? SLOW_CLOSE : SLOW_DROP_OLDEST;
    s->drain_early = sim_chance(300);
    s->workers = PICK(1, 2, 4, 8, 16);
}

static void kind_rough(struct scenario *s) {
    s->name = "rough";
    rough(s);
}

static void kind_churn(struct scenario *s) {
    s->name = "churn";
    rough(s);
    s->lives = 6;
    s->reset = 400;
    s->think_max_ns = 5 * NS_PER_MS;
    s->send_error = PICK(0, 5, 30);
}

static void kind_slow(struct scenario *s) {
    s->name = "slow";
    rough(s);
    s->slow = (enum slow_policy)PICK(SLOW_CLOSE, SLOW_CLOSE, SLOW_DROP_OLDEST, SLOW_DROP_OLDEST,
                                     SLOW_KEEP_LATEST);
    s->slow_clients = PICK(200, 500);
    s->deaf_clients = PICK(200, 400);
    s->outbox_bytes = PICK(1, 2, 8, 32) * KB;
    s->no_memory = PICK(0, 0, 20, 100);
    s->send_window = PICK(256, 2048, 2048, 16 * KB);
    s->payload_max = PICK(300, 2000, 9000);
    s->messages = 100 + (unsigned)sim_roll(200);
    s->broadcast = 200;
    s->is_volatile = PICK(0, 200, 500);
    s->short_ttl = PICK(0, 200, 600);
    s->reset = 300;
}

static void kind_memory(struct scenario *s) {
    s->name = "memory";
    rough(s);
    s->memory_bytes = PICK(8, 16, 24, 64) * KB;
    s->no_memory = PICK(0, 10, 100);
    s->slow_clients = 300;
    s->deaf_clients = 200;
    s->send_window = PICK(512, 4096);
    s->payload_max = 6000;
    s->messages = 100;
    s->abusive_producers = 200;
}

static void kind_mail(struct scenario *s) {
    s->name = "mail";
    rough(s);
    s->workers = PICK(2, 3, 4, 8, 16);
    s->post_slots = PICK(8, 8, 16, 32);
    s->soon_behind = sim_chance(500);
    s->no_memory = PICK(0, 0, 50);
    s->producers = 4 + (unsigned)sim_roll(8);
    s->messages = 200;
    s->wide = PICK(0, 300, 800);
    s->calls = PICK(20, 200);
    s->steer = sim_chance(600) ? STEER_IP : s->steer;
    s->kernel_steers = sim_chance(200);
    s->clients = 24;
    s->lives = 6;
    s->think_max_ns = NS_PER_MS;
}

static void kind_drain(struct scenario *s) {
    s->name = "drain";
    rough(s);
    s->drain_early = true;
    s->slow_clients = PICK(0, 200);
    s->deaf_clients = PICK(0, 100, 300);
    s->send_window = PICK(1024, 64 * KB);
    s->drain_timeout_ns = PICK(50, 500, 3000) * NS_PER_MS;
    s->soon_behind = sim_chance(300);
    s->no_memory = PICK(0, 0, 50);
    s->messages = 300;
    s->clients = 30;
    s->lives = 8;
    s->late = 300;
    s->reset = PICK(0, 400);
    s->close_first = false;
}

static void kind_abuse(struct scenario *s) {
    s->name = "abuse";
    rough(s);
    if (sim_chance(800))
        s->load_ns = 60 * NS_PER_S + sim_roll(60 * NS_PER_S);
    /* Enough at a time that the node has to stop reading. */
    s->buffers = 256;
    s->buffer_bytes = 4096;
    s->receive_window = 1024 * KB;
    s->freeze = 30;
    s->no_memory = PICK(0, 20, 100);
    s->workers = PICK(2, 3, 4);
    s->abusive_clients = 600;
    s->abusive_producers = 600;
    s->with_key = sim_chance(500);
    s->mute_clients = 200;
    s->producers = 6;
    s->heartbeat_ns = PICK(500, 2000) * NS_PER_MS;
    s->heartbeat_timeout_ns = PICK(300, 1000) * NS_PER_MS;
    s->hello_timeout_ns = PICK(200, 2000) * NS_PER_MS;
    s->max_message_bytes = PICK(1, 8, 64) * KB;
    s->max_body_bytes = 64 * KB;
    s->payload_max = 800;
    s->lives = 4;
    s->reset = 300;
}

static void kind_buffers(struct scenario *s) {
    s->name = "buffers";
    rough(s);
    s->buffers = PICK(1, 2, 4, 8);
    s->buffer_bytes = PICK(16, 64, 256);
    s->clients = 20;
    s->send_error = PICK(0, 10);
}

static void kind_storm(struct scenario *s) {
    /* More to read than there are buffers for; nobody is silent. */
    s->name = "storm";
    rough(s);
    s->workers = PICK(1, 1, 2);
    s->buffers = PICK(1, 2);
    s->buffer_bytes = PICK(256, 512);
    s->turn_max_ns = PICK(3, 5) * NS_PER_MS;
    s->eager = 900;
    s->delay_max_ns = NS_PER_MS;
    s->stall = s->chunk_small = 0;
    s->no_memory = 0;
    s->clients = 60;
    s->lives = 12;
    s->think_max_ns = PICK(5, 20) * NS_PER_MS;
    s->client_send = false;
    s->messages = 20;
    s->heartbeat_ns = 200 * NS_PER_MS;
    s->heartbeat_timeout_ns = s->hello_timeout_ns = 500 * NS_PER_MS;
    s->load_ns = 5 * NS_PER_S;
}

/* Ring, wake, and three listeners. */
#define DESCRIPTORS_PER_WORKER 5

static void kind_doors(struct scenario *s) {
    s->name = "doors";
    rough(s);
    s->accept_error = PICK(100, 400);
    s->descriptors = DESCRIPTORS_PER_WORKER * s->workers + PICK(4, 12, 30);
    s->max_connections = PICK(3, 8, 1000);
    s->places = PICK(0, 1, 2, 3, FILES_SPARE + 3, SIM_PLACES);
    s->no_memory = PICK(0, 20, 200);
    s->max_per_address = PICK(0, 1, 3);
    s->lives = 5;
    s->reset = 300;
}

static void kind_proxies(struct scenario *s) {
    s->name = "proxies";
    rough(s);
    s->proxies = true;
    s->abusive_clients = 200;
    s->abusive_producers = 600;
    s->producers = 6;
    s->no_memory = PICK(0, 20, 100);
    s->max_per_address = PICK(0, 1, 4);
    s->lives = 3;
}

static void kind_repeats(struct scenario *s) {
    s->name = "repeats";
    rough(s);
    s->keyed = 900;
    s->repeated = PICK(300, 600);
    s->producers = 3 + (unsigned)sim_roll(5);
    s->messages = PICK(150, 150, 900);
    s->dedup_max = PICK(0, 4, 700, 100000);
    s->dedup_window_ns = PICK(10, 1000, 120000) * NS_PER_MS;
    s->is_volatile = 200;
    s->lives = PICK(1, 3);
    s->reset = 500;
}

static void kind_rates(struct scenario *s) {
    s->name = "rates";
    rough(s);
    s->rate_limited = true;
    s->with_key = true;
}

static void kind_orders(struct scenario *s) {
    s->name = "orders";
    rough(s);
    s->workers = PICK(3, 5, 8);
    s->clients = 10;
    s->producers = 2;
    s->messages = 250;
    s->ids = 4;
    s->groups = 3;
    s->wide = 450;
    s->think_max_ns = NS_PER_MS;
    s->payload_max = 60;
    s->flood = PICK(0, 0, 300);
    if (s->flood != 0) {
        /* All of it is with one worker before the others answer. */
        s->client_send = true;
        s->buffer_bytes = 4096;
        s->chunk_small = 0;
        s->eager = 900;
        s->freeze = 200;
    }
}

static void kind_piles(struct scenario *s) {
    /* Many messages for one address at once, for sessions that take them slowly. */
    s->name = "piles";
    rough(s);
    s->workers = PICK(1, 1, 2);
    s->slow = (enum slow_policy)PICK(SLOW_DROP_OLDEST, SLOW_CLOSE);
    s->slow_clients = 300;
    s->deaf_clients = 400;
    s->outbox_bytes = PICK(3, 6, 16) * KB;
    s->send_window = PICK(256, 2048);
    s->payload_max = 200;
    s->producers = 6;
    s->messages = 600;
    s->broadcast = PICK(500, 900);
    s->is_volatile = PICK(0, 100);
    s->short_ttl = PICK(0, 600);
    s->think_max_ns = NS_PER_MS;
    s->no_memory = PICK(0, 10, 50);
    s->reset = 300;
}

static void kind_crowd(struct scenario *s) {
    /* More of everything in one turn than one send, one submit, one batch takes. */
    s->name = "crowd";
    rough(s);
    s->workers = PICK(1, 1, 2);
    s->clients = 100 + (unsigned)sim_roll(200);
    s->client_send = false;
    s->broadcast = PICK(200, 500);
    s->producers = 3;
    s->messages = 60;
    s->calls = 10;
    s->eager = 900;
    s->freeze = 100;
    s->preempt = 0;
}

static void kind_calls(struct scenario *s) {
    /* Operators who ask while there is hardly any memory for what they are told. */
    s->name = "calls";
    rough(s);
    s->workers = PICK(1, 2, 4, 8);
    s->memory_bytes = PICK(24, 64, 100000) * KB;
    s->no_memory = PICK(0, 20, 100);
    s->calls = 800;
    s->ack = PICK(0, 400);
    s->clients = 16;
    s->ids = 3;
    s->groups = 2;
    s->producers = 5;
    s->messages = 60;
    s->payload_max = 300;
}

#define ACKS_MANY 500

static void kind_acks(struct scenario *s) {
    /* Little else than messages to be acknowledged, for few ids, of clients that come again. */
    s->name = "acks";
    rough(s);
    s->workers = PICK(1, 2, 3, 4);
    s->post_slots = PICK(0, 8, 8, 16);
    s->freeze = PICK(30, 100, 200);
    s->ack = PICK(ACKS_MANY, 900);
    s->clients = 14;
    s->lives = 5;
    s->reset = 200;
    s->ids = 4;
    s->groups = 2;
    s->client_send = true;
    s->producers = 3 + (unsigned)sim_roll(6);
    s->messages = 150;
    s->wide = PICK(100, 500);
    s->keyed = 300;
    s->repeated = 300;
    s->short_ttl = PICK(0, 200);
    s->broadcast = 20;
    s->calls = PICK(20, 200);
    s->payload_max = 400;
    s->no_memory = PICK(0, 0, 20, 100);
    s->think_max_ns = PICK(1, 5) * NS_PER_MS;
}

static void kind_everything(struct scenario *s) {
    kind_churn(s);
    s->name = "everything";
    s->slow_clients = s->deaf_clients = s->mute_clients = 100;
    s->abusive_clients = s->abusive_producers = 200;
    s->outbox_bytes = PICK(4, 64) * KB;
    s->memory_bytes = PICK(64, 512, 8192) * KB;
    s->post_slots = PICK(0, 16, 64);
    s->soon_behind = sim_chance(300);
    s->buffers = PICK(2, 16, 64);
    s->drain_early = sim_chance(300);
    s->keyed = 400;
    s->repeated = 300;
    s->short_ttl = 200;
    s->accept_error = 50;
    s->heartbeat_ns = 2 * NS_PER_S;
    s->heartbeat_timeout_ns = NS_PER_S;
    s->hello_timeout_ns = NS_PER_S;
    s->send_window = 4096;
    s->workers = PICK(1, 2, 4, 8, 16);
}

/* On top of any kind, drawn last so that the kind is what it is without. */
static void with_ports(struct scenario *s) {
    s->ports = PICK(1, 2, 3, 3);
    s->post_slots = sim_chance(400) ? 8 : s->post_slots;
    if (sim_chance(300))
        s->freeze = 200;
    s->port_messages = PICK(0, 20, 60);
    s->port_late = PICK(0, 300, 1000, 1000);
    s->port_silent = PICK(0, 0, 20, 200, 1000);
    s->port_unavailable = PICK(0, 0, 200, 1000);
    s->port_death = PICK(0, 0, 50, 300);
    s->descriptors += s->ports;
    s->close_first = false; /* a port that is silent keeps what it has */
}

/* The same. */
static void with_toys(struct scenario *s) {
    unsigned workers = s->workers;
    s->toys = PICK(2, 6, 20);
    s->abusive_producers = 0; /* they come to the listener that toys have */
    s->workers = PICK(2, 2, 3, 5);
    /* What is left for connections stays as small as it was; toys hold theirs to the end. */
    s->descriptors += s->toys;
    if (s->workers > workers)
        s->descriptors += DESCRIPTORS_PER_WORKER * (s->workers - workers);
    s->no_memory = PICK(0, 0, 20, 100);
    s->post_slots = sim_chance(300) ? 8 : s->post_slots;
}

/* The same, also with ports. */
static void with_streams(struct scenario *s) {
    s->streams = PICK(2, 5, 12);
    s->descriptors += s->streams;
}

/* The same, with nothing else that has `web`. */
static void with_polls(struct scenario *s) {
    s->polls = PICK(2, 5, 12);
    s->descriptors += 5 * s->polls;
    s->max_payload_bytes = PICK(1, 1, 4, 1000) * KB;
    s->upgrade_timeout_ns = PICK(20, 500, 10000) * NS_PER_MS;
    s->post_slots = sim_chance(300) ? 8 : s->post_slots;
}

/* The same, with the real service of `web`; drawn behind all the others, too. */
static void with_sse(struct scenario *s) {
    if (s->toys != 0 || s->streams != 0 || s->polls != 0)
        return;
    s->sse = PICK(0, 500, 1000);
    if (s->sse != 0)
        s->descriptors += 4;
}

/* The same, most often with the acks that it is for; drawn behind all the others. */
static void with_store(struct scenario *s) {
    s->store = sim_chance(s->ack == 0 ? 50 : s->ack < ACKS_MANY ? 500 : 900);
    if (!s->store)
        return;
    s->descriptors++;
    if (s->calm)
        return;
    s->store_late = s->ack < ACKS_MANY ? PICK(0, 200, 600, 1000) : PICK(50, 200, 500);
    s->store_hang = PICK(0, 0, 0, 2, 20);
    s->store_fail = PICK(0, 0, 20, 200);
    s->store_full = PICK(0, 0, 20, 200);
    s->store_death = PICK(0, 0, 0, 50, 300);
    s->close_first = false; /* one that stands still keeps what it has */
}

/* The same, with any of the others. */
static void with_acks(struct scenario *s) {
    s->ack_window = 256;
    s->ack_backlog = 10000;
    s->ack_silence_ns = 10 * NS_PER_S;
    s->fate_max = 1000000;
    if (s->ack == 0)
        s->ack = PICK(0, 100, 400);
    if (s->ack == 0 || s->calm)
        return;
    s->ack_window = PICK(1, 2, 3, 256);
    s->ack_backlog = PICK(1, 2, 4, 10000, 10000);
    if (s->ack >= ACKS_MANY && sim_chance(700))
        s->ack_window = s->ack_backlog = 256;
    s->ack_silence_ns = PICK(20, 200, 2000, 10000) * NS_PER_MS;
    s->fate_max = PICK(1, 5, 1000000, 1000000);
    if (sim_chance(200))
        s->outbox_bytes = PICK(1, 2, 4) * KB;
    s->post_slots = sim_chance(200) ? 8 : s->post_slots;
}

/* What the port takes when it opens: its tables, and room for its two connections. */
#define REDIS_BYTES                                                                                \
    (COUNTS_MAX * (sizeof(struct count_place) + sizeof(struct look_place)) + 4 * 64 * KB + 108 * KB)

/* The same, with any of the others; drawn behind all of them. */
static void with_redis(struct scenario *s) {
    if (s->store && s->ack >= ACKS_MANY)
        return; /* the store has these for itself */
    s->redis = PICK(1, 2, 3);
    s->memory_bytes += REDIS_BYTES;
    s->descriptors++;
    s->redis_messages = PICK(0, 20, 60);
    s->redis_eager = PICK(100, 500, 900);
    s->redis_reset = PICK(0, 0, 1, 5);
    s->redis_stall = PICK(0, 2, 20);
    s->redis_refuse = PICK(0, 100, 500);
    s->redis_wrong = PICK(0, 0, 2);
    s->redis_window = PICK(1, 64, 64) * KB;
    if (sim_chance(400)) { /* little more than that */
        s->memory_bytes = REDIS_BYTES + PICK(8, 16, 32, 64) * KB;
        s->payload_max = 6000;
        s->redis_messages = 60;
        s->redis_stall = PICK(2, 20);
    }
    /* Nothing is written to a session that is held (ready.h), no ping either. */
    s->heartbeat_timeout_ns += 2 * NS_PER_S;
    s->close_first = false; /* it keeps names of whoever has gone until Redis knows */
}

void scenario_make(struct scenario *scenario, uint64_t seed) {
    /* Twice what has the most to reach. */
    static void (*const kinds[])(struct scenario *) = {
        kind_calm,   kind_rough, kind_churn, kind_slow,       kind_memory, kind_mail,
        kind_drain,  kind_abuse, kind_mail,  kind_abuse,      kind_calls,  kind_buffers,
        kind_doors,  kind_crowd, kind_calls, kind_proxies,    kind_rates,  kind_repeats,
        kind_orders, kind_piles, kind_acks,  kind_everything, kind_storm};
    ordinary(scenario);
    scenario->copies_max = PICK(0, 0, 0, 4, 32);
    scenario->reserve_bytes = PICK(0, 1, 2, 20) * KB;
    scenario->slice_ns = PICK(0, 0, 300, 1000, 5000);
    const size_t count = sizeof(kinds) / sizeof(kinds[0]);
    kinds[seed % count](scenario);
    if (scenario->calm)
        scenario->copies_max = 0;
    else if (seed / count % 3 == 1)
        with_ports(scenario);
    else if (seed / count % 3 == 2)
        with_toys(scenario);
    if (!scenario->calm && scenario->toys == 0 && sim_chance(500))
        with_streams(scenario);
    scenario->max_payload_bytes = 1000000;
    scenario->upgrade_timeout_ns = 10 * NS_PER_S;
    if (!scenario->calm && scenario->toys == 0 && scenario->streams == 0 && sim_chance(700))
        with_polls(scenario);
    if (scenario->toys == 0 && scenario->streams == 0 && scenario->polls == 0)
        scenario->framed_clients = PICK(0, 400, 1000);
    with_acks(scenario);
    with_store(scenario);
    with_sse(scenario);
    scenario->deflate = sim_chance(500);
    scenario->sio =
        scenario->polls != 0 && scenario->ack != 0 && !scenario->store && sim_chance(850);
    if (!scenario->calm && sim_chance(300))
        with_redis(scenario);
    if (scenario->payload_max > scenario->max_message_bytes / 2)
        scenario->payload_max = scenario->max_message_bytes / 2;
    CHECK(scenario->workers <= SIM_WORKERS_MAX);
}

void check_steering(const struct link *link, unsigned worker) {
    if (sim.scenario.steer != STEER_IP || link->kind == LISTENER_API || link->proxied ||
        link->moved)
        return;
    unsigned belongs = steer_worker(&link->from, sim.scenario.workers);
    if (belongs != worker)
        sim_fail("link %u belongs to worker %u by its address, and is on worker %u", link->number,
                 belongs, worker);
}
