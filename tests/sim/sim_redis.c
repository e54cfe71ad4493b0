#include "tests/sim/sim_redis.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/ready.h"
#include "tests/fakes/fake_redis_socket.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_port.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WORDS_MAX 600
#define COPIES_MAX 64
/* Of ids, by number of their message; those of ports are below. */
#define SCOPES UINT64_C(0x780000000000)

/* What a channel stands for. */
enum place { PLACE_ID, PLACE_GROUP, PLACE_ALL, PLACE_OTHER };
struct channel {
    enum place place;
    unsigned name;
};

/* Who has subscribed what. */
struct ears {
    bool ids[NAMES_MAX], groups[NAMES_MAX], all;
};

struct conn {
    int fd; /* 0: there is none */
    struct text in, out;
    struct ears ears;
    unsigned others; /* channels that are none of these */
    bool subscribes;
    uint64_t since_ns; /* it does */
    uint64_t stalled_ns;
};

struct copy {
    uint32_t content;
    struct channel channel;
    uint64_t number;
};

/* Another node, or a program: the last of them. */
struct other {
    struct sim_peer maker;
    uint32_t stream;
    char run[17];
    uint64_t number, copy, counts[2 * NAMES_MAX + 1];
    struct ears ears;
    unsigned left; /* messages */
    uint64_t next_ns, word_ns;
    struct copy copies[COPIES_MAX];
    unsigned copy_count;
    bool is_program;
};

static struct conn conns[FAKE_SOCKETS_MAX];
static struct other others[4];
static unsigned other_count;

static struct span prefix(void) {
    return span_text(sim.scenario.redis % 2 == 0 ? "" : "rp:");
}

/* --- channels --------------------------------------------------------------------------------- */

static bool begins(struct span *text, struct span with) {
    if (text->len < with.len || memcmp(text->at, with.at, with.len) != 0)
        return false;
    *text = span_of(text->at + with.len, text->len - with.len);
    return true;
}

static struct channel channel_read(struct span text) {
    struct channel channel = {.place = PLACE_OTHER};
    if (!begins(&text, prefix()))
        return channel;
    bool id = begins(&text, SPAN("id:")), group = !id && begins(&text, SPAN("group:"));
    unsigned count = id ? sim.scenario.ids : group ? sim.scenario.groups : 0;
    for (unsigned i = 0; i < count; i++)
        if (span_equal(text, id ? name_of_id(i) : name_of_group(i)))
            return (struct channel){id ? PLACE_ID : PLACE_GROUP, i};
    if (!id && !group && span_equal(text, SPAN("all")))
        channel.place = PLACE_ALL;
    return channel;
}

static void channel_write(struct text *text, struct channel channel) {
    text_span(text, prefix());
    if (channel.place == PLACE_ALL) {
        text_format(text, "all");
        return;
    }
    text_format(text, channel.place == PLACE_ID ? "id:" : "group:");
    text_span(text,
              channel.place == PLACE_ID ? name_of_id(channel.name) : name_of_group(channel.name));
}

/* NULL: it is none that is told apart. */
static bool *ear_of(struct ears *ears, struct channel channel) {
    switch (channel.place) {
    case PLACE_ID:
        return &ears->ids[channel.name];
    case PLACE_GROUP:
        return &ears->groups[channel.name];
    case PLACE_ALL:
        return &ears->all;
    case PLACE_OTHER:
        break;
    }
    return NULL;
}

static void bulk(struct text *text, struct span bytes) {
    text_format(text, "$%zu\r\n", bytes.len);
    text_span(text, bytes);
    text_format(text, "\r\n");
}

/* To the node, if it listens. Returns how many of its connections do. */
static unsigned message_send(struct channel channel, struct span name, struct span text) {
    unsigned count = 0;
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++) {
        const bool *ear = ear_of(&conns[i].ears, channel);
        if (conns[i].fd == 0 || ear == NULL || !*ear)
            continue;
        text_format(&conns[i].out, "*3\r\n$7\r\nmessage\r\n");
        bulk(&conns[i].out, name);
        bulk(&conns[i].out, text);
        count++;
    }
    return count;
}

/* --- commands --------------------------------------------------------------------------------- */

static void publish(struct conn *conn, struct span name, struct span text) {
    struct channel channel = channel_read(name);
    unsigned count = 0;
    struct span data;
    bool is_word = !json_member(text, "data", &data);
    for (unsigned i = 0; i < other_count; i++) {
        const bool *ear = ear_of(&others[i].ears, channel);
        count += ear != NULL && *ear;
    }
    if (!is_word && channel.place < PLACE_OTHER) {
        const enum name_kind kinds[] = {NAME_ID, NAME_GROUP};
        check_published(channel.place == PLACE_ALL ? NULL : &kinds[channel.place], channel.name,
                        text)
            ->ports_took += count;
    }
    unsigned own = message_send(channel, name, text);
    text_format(&conn->out, ":%u\r\n", count * PORT_TAKES + own);
}

static void subscribe(struct conn *conn, struct span name, bool more) {
    bool *ear = ear_of(&conn->ears, channel_read(name));
    if (!conn->subscribes)
        conn->since_ns = sim.now_ns;
    conn->subscribes = true;
    if (ear != NULL)
        *ear = more;
    else
        conn->others += more ? 1 : -1U;
    text_format(&conn->out, "*3\r\n");
    bulk(&conn->out, span_text(more ? "subscribe" : "unsubscribe"));
    bulk(&conn->out, name);
    text_format(&conn->out, ":1\r\n");
}

/* Nobody else: what is kept for acknowledgements is not for the others here. */
static void count_tell(struct conn *conn, struct span name) {
    unsigned count = 0;
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++) {
        const bool *ear = ear_of(&conns[i].ears, channel_read(name));
        count += conns[i].fd != 0 && ear != NULL && *ear;
    }
    text_format(&conn->out, "*2\r\n");
    bulk(&conn->out, name);
    text_format(&conn->out, ":%u\r\n", count);
}

static void execute(struct conn *conn, const struct span *words, unsigned count) {
    static const char *const wrong[] = {"-ERR wrong\r\n", ":7\r\n", "x\r\n", "*0\r\n", "+OK\r\n"};
    if (sim_chance(sim.scenario.redis_wrong)) {
        text_format(&conn->out, "%s", wrong[sim_roll(5)]);
        if (sim_chance(500))
            return;
    }
    bool more = span_equal(words[0], SPAN("SUBSCRIBE"));
    if (span_equal(words[0], SPAN("PUBLISH")) && count == 3)
        publish(conn, words[1], words[2]);
    else if (more || span_equal(words[0], SPAN("UNSUBSCRIBE")))
        for (unsigned i = 1; i < count; i++)
            subscribe(conn, words[i], more);
    else if (span_equal(words[0], SPAN("PUBSUB")) && count == 3)
        count_tell(conn, words[2]);
    else if (span_equal(words[0], SPAN("PING")))
        text_format(&conn->out, conn->subscribes ? "*2\r\n$4\r\npong\r\n$0\r\n\r\n" : "+PONG\r\n");
    else if (span_equal(words[0], SPAN("ROLE")))
        text_format(&conn->out, "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    else if (span_equal(words[0], SPAN("AUTH")) || span_equal(words[0], SPAN("SELECT")) ||
             span_equal(words[0], SPAN("CLIENT")))
        text_format(&conn->out, "+OK\r\n");
    else
        sim_fail("Redis is told %.*s", SPAN_ARG(words[0]));
}

/* A number behind `sign`, and the line's end. False: it is not there yet. */
static bool line_take(struct span *rest, char sign, size_t *number) {
    const char *end = rest->len == 0 ? NULL : memchr(rest->at, '\n', rest->len);
    if (end == NULL)
        return false;
    if (rest->at[0] != sign)
        sim_fail("Redis is sent what is no command: %.*s", SPAN_ARG(*rest));
    *number = strtoul(rest->at + 1, NULL, 10);
    *rest = span_of(end + 1, rest->len - (size_t)(end + 1 - rest->at));
    return true;
}

/* Carries out the first command. False: there is no whole one. */
static bool command_take(struct conn *conn) {
    static struct span words[WORDS_MAX];
    struct span rest = text_as_span(&conn->in);
    size_t count, len;
    if (!line_take(&rest, '*', &count))
        return false;
    CHECK(count > 0 && count <= WORDS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (!line_take(&rest, '$', &len) || rest.len < len + 2)
            return false;
        words[i] = span_of(rest.at, len);
        rest = span_of(rest.at + len + 2, rest.len - len - 2);
    }
    size_t used = conn->in.len - rest.len;
    execute(conn, words, (unsigned)count);
    text_drop_front(&conn->in, used);
    return true;
}

/* --- connections ------------------------------------------------------------------------------ */

static void conn_end(struct conn *conn) {
    text_free(&conn->in);
    text_free(&conn->out);
    *conn = (struct conn){.fd = 0};
}

static struct conn *conn_of(int fd) {
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++)
        if (conns[i].fd == fd)
            return &conns[i];
    return NULL;
}

/* Those that the port has opened and closed since. */
static void conns_follow(void) {
    const struct fake_socket *socket;
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++)
        if (conns[i].fd != 0 && fake_socket_find(conns[i].fd) == NULL)
            conn_end(&conns[i]);
    for (unsigned i = 0; (socket = fake_socket_at(i)) != NULL; i++) {
        if (socket->error != 0 || socket->ended || conn_of(socket->fd) != NULL)
            continue;
        struct conn *conn = conn_of(0);
        CHECK(conn != NULL);
        *conn = (struct conn){.fd = socket->fd};
    }
}

/* Somebody comes: taken, refused, or left to itself. */
static void socket_accept(struct conn *conn, struct fake_socket *socket) {
    if (sim_chance(sim.scenario.redis_refuse)) {
        socket->error = ECONNREFUSED;
        conn_end(conn);
        return;
    }
    socket->accepted = true;
    socket->send_room = sim.scenario.redis_window;
    if (sim_chance(sim.scenario.redis_refuse / 4))
        conn->stalled_ns = sim.now_ns + 4 * NS_PER_S;
}

#define IS_STALLED(conn) ((conn)->stalled_ns > sim.now_ns)

static bool conn_can_step(const struct conn *conn) {
    const struct fake_socket *socket = fake_socket_find(conn->fd);
    if (conn->fd == 0 || socket == NULL)
        return conn->fd != 0;
    return !socket->accepted ||
           (!IS_STALLED(conn) && (socket->sent_len != 0 || conn->out.len != 0));
}

static bool conn_step(struct conn *conn) {
    struct fake_socket *socket = fake_socket_find(conn->fd);
    if (conn->fd == 0 || socket == NULL || IS_STALLED(conn) ||
        !sim_chance(sim.scenario.redis_eager))
        return false;
    if (!socket->accepted) {
        socket_accept(conn, socket);
        return true;
    }
    if (sim_chance(sim.scenario.redis_stall)) {
        conn->stalled_ns = sim.now_ns + sim_roll(sim_chance(200) ? 7 * NS_PER_S : NS_PER_S);
        return true;
    }
    bool moved = false;
    if (socket->sent_len != 0) {
        size_t part = sim_chance(500) ? socket->sent_len : 1 + sim_roll(socket->sent_len);
        text_add(&conn->in, socket->sent, part);
        fake_socket_take(socket, part);
        moved = true;
    }
    for (unsigned i = 0; i < 8 && command_take(conn); i++)
        moved = true;
    if (conn->out.len != 0 && sim_chance(700)) {
        size_t part = sim_chance(500) ? conn->out.len : 1 + sim_roll(conn->out.len);
        fake_socket_say(socket, span_of(conn->out.at, part));
        text_drop_front(&conn->out, part);
        moved = true;
    }
    if (moved && sim_chance(sim.scenario.redis_reset)) {
        if (sim_chance(300))
            socket->ended = true;
        else
            socket->error = ECONNRESET;
        conn_end(conn);
    }
    return moved;
}

/* --- the others ------------------------------------------------------------------------------- */

static void copies_add(struct other *other, const struct sim_content *content) {
    other->number++;
    struct copy copy = {.content = content->number, .number = other->number};
    unsigned total = content->to_count + content->group_count;
    for (unsigned i = 0; i < total; i++) {
        bool id = i < content->to_count;
        copy.channel.place = id ? PLACE_ID : PLACE_GROUP;
        copy.channel.name = id ? content->to[i] : content->groups[i - content->to_count];
        other->copies[other->copy_count++] = copy;
    }
    if (total == 0) {
        copy.channel.place = PLACE_ALL;
        other->copies[other->copy_count++] = copy;
    }
}

static void copy_send(struct other *other) {
    struct copy copy = other->copies[0];
    memmove(other->copies, other->copies + 1, --other->copy_count * sizeof(copy));
    struct sim_content *content = content_at(copy.content);
    struct text name = {0}, text = {0}, before = {0};
    channel_write(&name, copy.channel);
    unsigned place = copy.channel.place == PLACE_ALL  ? 2 * NAMES_MAX
                     : copy.channel.place == PLACE_ID ? copy.channel.name
                                                      : NAMES_MAX + copy.channel.name;
    if (!other->is_program)
        text_format(
            &before, "\"node\":{\"run\":\"%s\",\"p\":%llu,\"n\":%llu,\"s\":%llu,\"e\":1%s},",
            other->run, (unsigned long long)++other->copy, (unsigned long long)copy.number,
            (unsigned long long)++other->counts[place], content->is_bytes ? ",\"bytes\":true" : "");
    text_add(&before, "", 1);
    struct text plain = content->payload;
    if (content->is_bytes)
        content->payload = content->json;
    content_write(content, &text, before.at, false);
    content->payload = plain;
    message_send(copy.channel, text_as_span(&name), text_as_span(&text));
    text_free(&name);
    text_free(&text);
    text_free(&before);
}

/* What no node writes, and nothing may come of. */
static void garbage_send(void) {
    static const char *const texts[] = {
        "",
        "{",
        "\xff\xfe",
        "[]",
        "{\"to\":\"nobody\"}",
        "{\"ack\":true}",
        "{\"node\":{}}",
        "{\"node\":{\"run\":\"fffffffffffffff\",\"n\":1},\"broadcast\":true}",
        "{\"node\":{\"run\":\"ffffffffffffffff\",\"n\":18446744073709551615},\"to\":\"nobody\"}",
        "{\"node\":{\"run\":\"ffffffffffffffff\",\"n\":18446744073709551614,\"s\":"
        "18446744073709551615},\"to\":\"nobody\"}",
        "{\"node\":{\"run\":\"ffffffffffffffff\",\"lives\":false}}"};
    struct channel channel = {.place = (enum place)sim_roll(3)};
    channel.name =
        (unsigned)sim_roll(channel.place == PLACE_ID ? sim.scenario.ids : sim.scenario.groups);
    struct text name = {0};
    channel_write(&name, channel);
    message_send(channel, text_as_span(&name),
                 span_text(texts[sim_roll(sizeof(texts) / sizeof(texts[0]))]));
    text_free(&name);
}

static void word_send(const char *run, unsigned index) {
    struct text name = {0}, text = {0};
    struct channel all = {.place = PLACE_ALL};
    channel_write(&name, all);
    text_format(&text, "{\"node\":{\"run\":\"%s\",\"name\":\"other-%u\",\"lives\":true}}", run,
                index);
    message_send(all, text_as_span(&name), text_as_span(&text));
    text_free(&name);
    text_free(&text);
}

static void message_make(struct other *other) {
    struct scenario *scenario = &sim.scenario;
    unsigned repeated = scenario->repeated, bytes_payload = scenario->bytes_payload;
    scenario->repeated = 0;
    if (other->is_program) /* only nodes have bytes */
        scenario->bytes_payload = 0;
    struct sim_content *content = content_make(&other->maker, other->is_program || sim_chance(400));
    scenario->repeated = repeated;
    scenario->bytes_payload = bytes_payload;
    content->ack = false;
    content->key = (int)content->number;
    attempt_add(content, other->stream, SCOPES + content->number);
    copies_add(other, content);
}

static bool other_step(struct other *other) {
    unsigned index = (unsigned)(other - others);
    if (other->copy_count != 0) {
        if (!sim_chance(sim.scenario.redis_eager))
            return false;
        copy_send(other);
        return true;
    }
    if (other->left == 0)
        return false;
    if (!other->is_program && sim.now_ns >= other->word_ns) {
        other->word_ns = sim.now_ns + NS_PER_S / 2 + sim_roll(NS_PER_S);
        word_send(other->run, index);
        /* Nodes that come to say that, and nothing else. */
        for (unsigned i = 0; i < 3 && sim_chance(300); i++) {
            char run[17];
            snprintf(run, sizeof(run), "%016llx", (unsigned long long)sim_roll(UINT64_C(1) << 32));
            word_send(run, 10 + i);
        }
        return true;
    }
    if (sim.now_ns < other->next_ns)
        return false;
    other->next_ns = sim.now_ns + sim_roll(sim.scenario.think_max_ns * 4);
    struct ears *ears = &other->ears;
    if (sim_chance(200))
        ears->ids[sim_roll(sim.scenario.ids)] ^= true;
    if (sim_chance(200))
        ears->groups[sim_roll(sim.scenario.groups)] ^= true;
    if (sim_chance(50))
        garbage_send();
    other->left--;
    message_make(other);
    return true;
}

/* --- the run ---------------------------------------------------------------------------------- */

void redis_open(void) {
    fake_sockets_reset();
    fake_sockets.accepts = false;
    memset(others, 0, sizeof(others));
    other_count = sim.scenario.redis;
    for (unsigned i = 0; i < other_count; i++) {
        struct other *other = &others[i];
        other->maker.kind = PEER_PRODUCER;
        other->stream = stream_add();
        other->left = sim.scenario.redis_messages;
        other->is_program = i == 2;
        other->ears.all = !other->is_program;
        snprintf(other->run, sizeof(other->run), "%016x", 0xabc0 + i);
        for (unsigned j = 0; j < sim.scenario.ids; j++)
            other->ears.ids[j] = sim_chance(300);
        for (unsigned j = 0; j < sim.scenario.groups; j++)
            other->ears.groups[j] = sim_chance(300);
    }
}

bool redis_step(void) {
    bool moved = false;
    if (sim.scenario.redis == 0)
        return false;
    fake_sockets.open_error = sim_chance(sim.scenario.redis_refuse / 4) ? ENETUNREACH : 0;
    conns_follow();
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++)
        moved |= conn_step(&conns[i]);
    for (unsigned i = 0; i < other_count; i++)
        moved |= other_step(&others[i]);
    return moved;
}

bool redis_can_step(void) {
    if (sim.scenario.redis == 0)
        return false;
    conns_follow();
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++)
        if (conn_can_step(&conns[i]))
            return true;
    for (unsigned i = 0; i < other_count; i++)
        if (others[i].copy_count != 0 ||
            (others[i].left != 0 && (sim.now_ns >= others[i].next_ns ||
                                     (!others[i].is_program && sim.now_ns >= others[i].word_ns))))
            return true;
    return false;
}

#define EARLIER(a, b) ((a) < (b) ? (a) : (b))

uint64_t redis_next_ns(void) {
    uint64_t next_ns = CLOCK_NEVER;
    for (unsigned i = 0; sim.scenario.redis != 0 && i < FAKE_SOCKETS_MAX; i++)
        if (conns[i].fd != 0 && IS_STALLED(&conns[i]))
            next_ns = EARLIER(conns[i].stalled_ns, next_ns);
    for (unsigned i = 0; sim.scenario.redis != 0 && i < other_count; i++)
        if (others[i].left != 0) {
            next_ns = EARLIER(others[i].next_ns, next_ns);
            if (!others[i].is_program)
                next_ns = EARLIER(others[i].word_ns, next_ns);
        }
    return next_ns;
}

/* --- the oracle ------------------------------------------------------------------------------- */

bool redis_is_stream(uint32_t stream) {
    for (unsigned i = 0; sim.scenario.redis != 0 && i < other_count; i++)
        if (others[i].stream == stream)
            return true;
    return false;
}

void redis_told(struct span id, enum result_word result, uint32_t recipients) {
    static const enum attempt_state states[RESULT_COUNT] = {
        [RESULT_QUEUED] = ATTEMPT_QUEUED,    [RESULT_ABSENT] = ATTEMPT_ABSENT,
        [RESULT_DROPPED] = ATTEMPT_DROPPED,  [RESULT_OVERLOADED] = ATTEMPT_REFUSED,
        [RESULT_DRAINING] = ATTEMPT_REFUSED, [RESULT_CLUSTER_UNAVAILABLE] = ATTEMPT_REFUSED,
    };
    if (!begins(&id, SPAN("key-")))
        return; /* of nobody, to nobody */
    char number[16] = "";
    snprintf(number, sizeof(number), "%.*s", SPAN_ARG(id));
    struct sim_content *content = content_at((uint32_t)strtoul(number, NULL, 10));
    struct sim_attempt *attempt = attempt_at(content->first_attempt);
    enum attempt_state state = states[result];
    if (!redis_is_stream(attempt->stream) || state == ATTEMPT_OPEN)
        sim_fail("message %u from Redis is answered %u", content->number, result);
    if (attempt->state != ATTEMPT_OPEN)
        sim_fail("message %u from Redis was taken twice", content->number);
    attempt->stopped = server_phase(node_server()) >= PHASE_STOPPED;
    attempt_answered(attempt, state, state <= ATTEMPT_DROPPED,
                     state <= ATTEMPT_DROPPED ? recipients : 0);
}

void sim_redis_welcome_check(const struct sim_session *session) {
    const struct conn *conn = NULL;
    for (unsigned i = 0; sim.scenario.redis != 0 && i < FAKE_SOCKETS_MAX; i++)
        if (conns[i].fd != 0 && conns[i].subscribes)
            conn = &conns[i];
    if (conn == NULL || conn->since_ns >= session->begin_ns ||
        sim.now_ns - session->begin_ns >= READY_NS || sim.scenario.no_memory != 0 ||
        sim.scenario.memory_bytes < UINT64_C(1) << 26 || session->leave != NEVER ||
        server_phase(node_server()) != PHASE_RUNNING || close_asked(session, sim.sequence))
        return;
    if (session->id >= 0 && !conn->ears.ids[session->id])
        sim_fail("session %u is welcomed, and Redis does not know its id", session->number);
    for (unsigned i = 0; i < session->spell_count; i++) {
        unsigned group = session->spells[i].group;
        if (!conn->ears.groups[group] && !group_unsure(session->id, group))
            sim_fail("session %u is welcomed, and Redis does not know its group %u",
                     session->number, group);
    }
}

void redis_account(void) {
    if (sim.scenario.redis == 0)
        return;
    sim_redis_port_account();
    for (uint32_t i = 0; i < attempt_total(); i++) {
        struct sim_attempt *attempt = attempt_at(i);
        if (redis_is_stream(attempt->stream) && attempt->state == ATTEMPT_OPEN)
            attempt_answered(attempt, ATTEMPT_REFUSED, false, 0);
    }
}

void redis_close(void) {
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++)
        conn_end(&conns[i]);
    fake_sockets_reset();
}
