/* The power is cut under a whole node with a store on disk, at any write: after each start every
 * message that was taken is there with what was told of it, and nothing else is.
 *
 *   RINGPOST_RUNS=2000 build/dev/tests/test_store_power     for longer than a second or two
 */
#include "tests/support/fake_http.h"

#include "core/keeper.h"
#include "ha/store/disk_store.h"
#include "tests/fakes/fake_disk.c"

#include <time.h>

/* The store waits for the workers, which have no threads of their own here. */
static void workers_turn(void);
#define nanosleep(...) workers_turn()
#include "core/store.c"

#define RUNS 25
#define LIVES 5
#define CAPACITY (UINT64_C(64) << 20)
#define SEGMENT (UINT64_C(64) << 10)
#define MESSAGES 400
#define SENDS 1000 /* in a life */
#define CLIENTS 4  /* the last one is never there */
#define TO_MAX 3

/* A message, and all that was ever told of it. */
static struct known {
    uint8_t to[TO_MAX], to_count;
    uint8_t told[TO_MAX]; /* enum fate_state: settled for good */
    bool said[TO_MAX];    /* its client said that it has it */
    bool withdrawn;
    bool taken;   /* a producer was told so, or it was there after a start */
    bool refused; /* a producer was told that, the last time */
    bool absent;  /* it was not there after a start */
    bool retried; /* under the same id */
    uint32_t bytes;
    uint64_t expires_ns; /* the earliest */
} known[MESSAGES];

static struct disk_store disk_store;
static struct peer *api, *operator, * clients[CLIENTS];
static unsigned known_count, answered;
static unsigned sent[SENDS], sent_count; /* in the order of their answers */
static bool failed_once, full_once;      /* in this life: the disk, its room */
static bool clean;                       /* the life before has ended as it should */
static uint64_t seed;

static void say_seed(const char *what) {
    fprintf(stderr, "%s\nseed %llu: RINGPOST_SEED=%llu\n", what, (unsigned long long)seed,
            (unsigned long long)seed);
}

static uint64_t draw(uint64_t bound) {
    return fake_disk_draw(bound);
}

static void workers_turn(void) {
    for (unsigned i = 0; i < fake_server.worker_count; i++)
        worker_turn(&fake_server.workers[i], 0);
}

/* What is settled may wait for the disk. */
static bool trouble(void) {
    return fake_disk_dead() || failed_once || full_once;
}

static struct span id_of(unsigned number) {
    static char text[16];
    snprintf(text, sizeof text, "m%u", number);
    return span_text(text);
}

/* A JSON string. */
static const char *payload_of(unsigned number) {
    static char text[4096];
    size_t len = known[number].bytes;
    for (size_t i = 0; i < len; i++)
        text[i] = (char)('a' + (number * 7 + i * 3) % 26);
    text[0] = text[len - 1] = '"';
    text[len] = '\0';
    return text;
}

/* --- what is there --------------------------------------------------------------------------- */

static const struct kept *kept_of_address(const struct fate *fate, uint32_t address) {
    uint64_t hash = fate_address_hash(fate, address);
    return keeper_find_message(&fake_server.workers[keeper_of(&fake_server, hash)], hash,
                               fate_id(fate));
}

static void settled_look(unsigned number, uint32_t address, enum fate_state state) {
    struct known *message = &known[number];
    bool possible = state == FATE_ACKED     ? message->said[address]
                    : state == FATE_EXPIRED ? fake_now_ns >= message->expires_ns
                                            : message->withdrawn;
    CHECK(possible, "m%u for c%u is %s, which nobody did", number, message->to[address],
          fate_state_word(state));
    message->told[address] = (uint8_t)state;
}

/* The place of that text among those that the message is for. */
static unsigned place_of(unsigned number, struct span text) {
    for (unsigned i = 0; i < known[number].to_count; i++) {
        char name[8];
        snprintf(name, sizeof name, "c%u", known[number].to[i]);
        if (span_equal(text, span_text(name)))
            return i;
    }
    check_fail(__FILE__, __LINE__, "place_of", "m%u is not for %.*s", number, SPAN_ARG(text));
}

static void kept_look(unsigned number, const struct message *message) {
    uint64_t a_ns = message->expires_ns, b_ns = known[number].expires_ns;
    CHECK(span_equal(message_payload(message), span_text(payload_of(number))) &&
              span_equal(message_event(message), SPAN("pay")),
          "m%u is another one", number);
    uint64_t apart_ns = a_ns > b_ns ? a_ns - b_ns : b_ns - a_ns;
    CHECK(known[number].retried || apart_ns <= 2 * NS_PER_MS, "m%u expires at another time",
          number);
}

/* What waits for a client is in the order in which it was accepted. */
static void order_look(const struct kept_id *id) {
    uint64_t serial = 0;
    unsigned number = 0, before = 0;
    for (const struct list *at = id->all.next; at != &id->all; at = at->next) {
        const struct message *message = kept_message(container_of(at, struct kept, order));
        CHECK(message->serial > serial, "serial %llu after %llu",
              (unsigned long long)message->serial, (unsigned long long)serial);
        serial = message->serial;
        char text[MESSAGE_ID_BYTES_MAX + 1] = "";
        memcpy(text, message_id(message).at, message_id(message).len);
        CHECK(sscanf(text, "m%u", &number) == 1 && number < known_count, "%s", text);
        CHECK(known[number].retried || number >= before, "m%u after m%u", number, before);
        before = known[number].retried ? before : number;
    }
}

/* `fresh`: after a start. Returns how many addresses are kept. */
static unsigned fate_look(unsigned number, struct fate *fate, bool fresh) {
    struct known *message = &known[number];
    unsigned count = 0;
    CHECK(fate_count(fate) == message->to_count, "m%u has %u addresses", number, fate_count(fate));
    for (uint32_t i = 0; i < message->to_count; i++) {
        enum fate_state state = (enum fate_state)atomic_load(&fate_address(fate, i)->state);
        unsigned place = place_of(number, fate_address_text(fate, i));
        enum fate_state told = (enum fate_state)message->told[place];
        CHECK(told == FATE_PENDING || told == state, "m%u for c%u was told as %s, and is %s",
              number, message->to[place], fate_state_word(told), fate_state_word(state));
        if (told != state)
            settled_look(number, place, state);
        const struct kept *kept = kept_of_address(fate, i);
        CHECK(state == FATE_PENDING || kept == NULL, "m%u for c%u is settled, and kept", number,
              message->to[place]);
        bool settling = fresh ? fake_now_ns >= message->expires_ns : trouble();
        CHECK(settling || state != FATE_PENDING || kept != NULL, "m%u for c%u is pending, and lost",
              number, message->to[place]);
        if (kept != NULL)
            kept_look(number, kept_message(kept));
        count += kept != NULL;
    }
    return count;
}

/* The fates of all messages, against what was told before: what anybody may see is told. */
static void all_look(bool fresh) {
    uint64_t kept = 0, pending = 0;
    for (unsigned number = 0; number < known_count; number++) {
        struct known *message = &known[number];
        struct fate *fate = fates_find(&fake_server.fates, id_of(number));
        if (fate == NULL) {
            bool settled = true;
            for (unsigned i = 0; i < message->to_count; i++)
                settled &= message->told[i] != FATE_PENDING;
            /* On a full disk settled ones give way. */
            CHECK(!message->taken || (settled && full_once), "m%u was taken, and is not there",
                  number);
            message->absent |= fresh;
            continue;
        }
        CHECK(!message->absent, "m%u was not there, and is now", number);
        CHECK(message->taken || fresh, "m%u was not taken, and is there", number);
        CHECK(message->taken || !clean, "m%u was refused, and a clean end has left it", number);
        message->taken = true;
        kept += fate_look(number, fate, fresh);
        fates_release(&fake_server.fates, fate);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        char name[8];
        snprintf(name, sizeof name, "c%u", i);
        uint64_t hash = name_hash(NAME_ID, NAMESPACE_MAIN, span_text(name));
        const struct kept_id *id =
            keeper_find(&fake_server.workers[keeper_of(&fake_server, hash)], hash);
        if (id != NULL)
            order_look(id);
    }
    for (unsigned i = 0; i < fake_server.worker_count; i++)
        pending += stats_get(&fake_server.workers[i].stats.acks_pending) -
                   fake_server.workers[i].keeper.safe.unsafe;
    CHECK(kept == pending, "%llu addresses are kept, %llu of them for messages",
          (unsigned long long)pending, (unsigned long long)kept);
}

/* --- a life ---------------------------------------------------------------------------------- */

/* What the producer was told since the last time, in order. */
static void answers_take(void) {
    char *heard = peer_heard(api);
    for (const char *at = heard; (at = strstr(at, "HTTP/1.1 ")) != NULL; at++) {
        unsigned status = status_of(at);
        CHECK(answered < sent_count, "an answer to nothing");
        struct known *message = &known[sent[answered++]];
        CHECK(status == 202 || status == 503, "m%u: %s", sent[answered - 1], at);
        CHECK(status == 503 || !message->absent);
        message->taken |= status == 202;
        message->refused = status == 503;
        /* Only a disk that failed is a reason. */
        CHECK(status == 202 || trouble(), "m%u: %s", sent[answered - 1], at);
    }
    free(heard);
}

static const char *request_of(unsigned number, double ttl_s, const char *payload) {
    char body[8192], to[64] = "";
    for (unsigned i = 0; i < known[number].to_count; i++)
        snprintf(to + strlen(to), sizeof to - strlen(to), "%s\"c%u\"", i == 0 ? "" : ",",
                 known[number].to[i]);
    snprintf(body, sizeof body,
             "{\"id\":\"m%u\",\"to\":[%s],\"event\":\"pay\",\"ack\":true,\"ttl\":%.1f,\"data\":%s}",
             number, to, ttl_s, payload);
    return JSON_POST("/v1/messages", body);
}

static void message_post(unsigned number) {
    struct known *message = &known[number];
    double ttl_s = draw(4) == 0 ? 0.2 + (double)draw(3) : 600;
    uint64_t expires_ns = fake_now_ns + (uint64_t)(ttl_s * 1e9);
    if (!message->retried || expires_ns < message->expires_ns)
        message->expires_ns = expires_ns;
    message->refused = message->absent = false;
    sent[sent_count++] = number;
    peer_send(api, request_of(number, ttl_s, payload_of(number)));
}

static void message_send(void) {
    if (known_count == MESSAGES || sent_count == SENDS)
        return;
    struct known *message = &known[known_count];
    *message = (struct known){.bytes = 8 + (uint32_t)(draw(4) != 0 ? draw(200) : draw(3000))};
    unsigned count = draw(3) != 0 ? 1 : 2 + (unsigned)draw(2), first = (unsigned)draw(CLIENTS);
    for (unsigned i = 0; i < count; i++)
        message->to[message->to_count++] = (uint8_t)((first + i) % CLIENTS);
    message_post(known_count++);
}

/* One that was refused is tried again; its id is free. */
static void message_retry(void) {
    for (unsigned tries = 0; tries < 8 && known_count != 0 && sent_count != SENDS; tries++) {
        unsigned number = (unsigned)draw(known_count);
        if (!known[number].refused || known[number].taken)
            continue;
        known[number].retried = true;
        message_post(number);
        return;
    }
}

static void message_acknowledge(void) {
    if (known_count == 0)
        return;
    unsigned number = (unsigned)draw(known_count);
    struct known *message = &known[number];
    unsigned i = (unsigned)draw(message->to_count);
    struct peer *client = clients[message->to[i]];
    char line[64];
    if (client == NULL)
        return;
    message->said[i] = true;
    snprintf(line, sizeof line, "{\"type\":\"ack\",\"id\":\"m%u\"}\n", number);
    peer_send(client, line);
}

static void message_withdraw(void) {
    if (known_count == 0)
        return;
    unsigned number = (unsigned)draw(known_count);
    char request[128];
    known[number].withdrawn = true;
    snprintf(request, sizeof request, DEL("/v1/messages/m%u"), number);
    peer_send(operator, request);
}

/* The same again, under the same id, or something else. */
static void message_repeat(void) {
    if (known_count == 0 || sent_count != answered || full_once)
        return;
    unsigned number = (unsigned)draw(known_count);
    struct known *message = &known[number];
    if (!message->taken)
        return;
    bool other = draw(2) == 0;
    const char *answer = ask(api, request_of(number, 600, other ? "1" : payload_of(number)));
    CHECK(status_of(answer) == (other ? 409u : 200u), "the repeat of m%u: %s", number, answer);
}

static void trouble_make(void) {
    if (draw(3) == 0) {
        full_once = true;
        fake_disk_capacity(draw(2) == 0 ? CAPACITY : (4 + draw(8)) * SEGMENT);
        return;
    }
    static const enum fake_call calls[] = {FAKE_WRITE, FAKE_SYNC, FAKE_RESERVE};
    failed_once = true;
    fake_disk_fail(calls[draw(3)], 1 + (unsigned)draw(6), 1 + (unsigned)draw(4), EIO);
}

static void work(void) {
    for (uint64_t steps = 1 + draw(40); steps != 0; steps--) {
        for (uint64_t group = 1 + draw(6); group != 0; group--) {
            uint64_t what = draw(20);
            if (what < 10)
                message_send();
            else if (what < 16)
                message_acknowledge();
            else if (what < 17)
                message_withdraw();
            else if (what < 18)
                message_retry();
        }
        if (draw(30) == 0)
            trouble_make();
        node_settle();
        answers_take();
        all_look(false);
        if (draw(4) == 0)
            node_pass(draw(800) * NS_PER_MS);
        if (draw(8) == 0)
            message_repeat();
        all_look(false);
    }
}

static bool start(void) {
    static const uint8_t key[HASH_KEY_BYTES] = {1, 2, 3};
    fake_config = (struct config){.store = STORE_DISK, .data = "store"};
    disk_store_init(&disk_store, &fake_config);
    disk_store.options.record_max = 4096;
    disk_store.options.segment_bytes = SEGMENT;
    disk_store.options.slack_bytes = draw(3) * SEGMENT;
    fake_ports[0] = &disk_store.store.port;
    fake_store = &disk_store.store;
    fake_hash_key = key;
    post_slots_override = draw(2) == 0 ? 64 : 1024;
    http_node_open();
    return fake_problem[0] == '\0';
}

static void stop(void) {
    http_node_close();
    disk_store_fini(&disk_store);
}

/* The end of a life whose power was not cut yet. */
static void end(void) {
    uint64_t how = fake_disk_dead() ? 0 : draw(4);
    if (how == 0)
        fake_disk_die(1); /* not even what a clean end writes is there */
    fake_disk_fail(FAKE_OPEN, 0, 0, 0);
    fake_disk_capacity(CAPACITY);
    stop();
    clean = !fake_disk_dead();
    if (fake_disk_dead() && draw(3) == 0)
        fake_disk_settle(); /* the process was killed, the kernel goes on */
    fake_disk_cut();
}

static void live(void) {
    failed_once = full_once = false;
    sent_count = answered = 0;
    if (draw(4) == 0) /* in the middle of the start */
        fake_disk_die(1 + (unsigned)draw(60));
    if (!start()) {
        CHECK(fake_disk_dead(), "%s", fake_problem);
        stop();
        fake_disk_cut();
        clean = false;
        return;
    }
    all_look(true);
    api = api_connect();
    operator= api_connect();
    for (unsigned i = 0; i + 1 < CLIENTS; i++) {
        char hello[64];
        snprintf(hello, sizeof hello, "{\"type\":\"hello\",\"id\":\"c%u\"}\n", i);
        clients[i] = client_connect(i % 2, hello);
    }
    if (draw(3) != 0)
        fake_disk_die(1 + (unsigned)draw(200));
    work();
    end();
}

static uint64_t number_of(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void test_what_was_told_is_true_after_a_cut(void **state) {
    (void)state;
    uint64_t first = number_of("RINGPOST_SEED", 0);
    uint64_t count = first != 0 ? 1 : number_of("RINGPOST_RUNS", RUNS);
    check_hook = say_seed;
    fake_log_level = (enum log_level)(LOG_ERROR + 1); /* of failures there are many */
    for (seed = first != 0 ? first : 1; count != 0; seed++, count--) {
        fake_disk_reset(seed, CAPACITY);
        known_count = 0;
        clean = true;
        for (unsigned i = 0; i < LIVES; i++)
            live();
        CHECK(start(), "%s", fake_problem);
        all_look(true);
        stop();
        fake_disk_kill();
    }
    check_hook = NULL;
    post_slots_override = 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_told_is_true_after_a_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
