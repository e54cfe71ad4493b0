#include "tests/sim/sim_redis.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/ready.h"
#include "tests/fakes/fake_redis_socket.h"
#include "tests/sim/sim_node.h"
#include "tests/sim/sim_port.h"
#include "tests/sim/sim_redis_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define WORDS_MAX 600

struct conn {
    int fd; /* 0: there is none */
    struct text in, out;
    struct ears ears;
    unsigned others; /* channels that are none of these */
    bool subscribes;
    uint64_t since_ns, since;        /* it does; the stamp */
    uint64_t begun;                  /* stamp; the first command */
    uint64_t came_due_ns[NAMES_MAX]; /* an id was subscribed, and others are to be told; 0: none */
    uint64_t stalled_ns;
};

static struct conn conns[FAKE_SOCKETS_MAX];
static uint64_t zero_ns; /* when the node knew of no other the last time */

struct span redis_prefix(void) {
    return span_text(sim.scenario.redis % 2 == 0 ? "" : "rp:");
}

/* --- channels --------------------------------------------------------------------------------- */

bool redis_begins(struct span *text, struct span with) {
    if (text->len < with.len || memcmp(text->at, with.at, with.len) != 0)
        return false;
    *text = span_of(text->at + with.len, text->len - with.len);
    return true;
}

static struct channel channel_read(struct span text) {
    struct channel channel = {.place = PLACE_OTHER};
    if (!redis_begins(&text, redis_prefix()))
        return channel;
    bool id = redis_begins(&text, SPAN("id:")), group = !id && redis_begins(&text, SPAN("group:"));
    unsigned count = id ? sim.scenario.ids : group ? sim.scenario.groups : 0;
    for (unsigned i = 0; i < count; i++)
        if (span_equal(text, id ? name_of_id(i) : name_of_group(i)))
            return (struct channel){id ? PLACE_ID : PLACE_GROUP, i};
    if (!id && !group && span_equal(text, SPAN("all")))
        channel.place = PLACE_ALL;
    if (redis_begins(&text, SPAN("node:")) && span_equal(text, span_text(node_server()->run)))
        channel.place = PLACE_OWN;
    return channel;
}

void channel_write(struct text *text, struct channel channel) {
    text_span(text, redis_prefix());
    if (channel.place == PLACE_ALL) {
        text_format(text, "all");
        return;
    }
    if (channel.place == PLACE_OWN) {
        text_format(text, "node:%s", node_server()->run);
        return;
    }
    text_format(text, channel.place == PLACE_ID ? "id:" : "group:");
    text_span(text,
              channel.place == PLACE_ID ? name_of_id(channel.name) : name_of_group(channel.name));
}

/* NULL: it is none that is told apart. */
bool *ear_of(struct ears *ears, struct channel channel) {
    switch (channel.place) {
    case PLACE_ID:
        return &ears->ids[channel.name];
    case PLACE_GROUP:
        return &ears->groups[channel.name];
    case PLACE_ALL:
        return &ears->all;
    case PLACE_OWN:
        return &ears->own;
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
unsigned message_send(struct channel channel, struct span name, struct span text) {
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

/* Others are told which clients have come to the node. */
static void came_note(struct channel channel, struct span node) {
    struct span came, element;
    bool first = true;
    if (channel.place != PLACE_ALL || !json_member(node, "came", &came))
        return;
    while (json_element(&came, &first, &element))
        for (unsigned i = 0; i < sim.scenario.ids; i++)
            for (unsigned j = 0; j < FAKE_SOCKETS_MAX; j++)
                if (json_is(element, name_of_id(i).at))
                    conns[j].came_due_ns[i] = 0;
}

unsigned text_send(struct channel channel, const char *text) {
    struct text name = {0};
    channel_write(&name, channel);
    unsigned count = message_send(channel, text_as_span(&name), span_text(text));
    text_free(&name);
    return count;
}

/* How many of the others have subscribed it. */
static unsigned others_with(struct channel channel) {
    unsigned count = 0;
    for (unsigned i = 0; i < other_count; i++) {
        const bool *ear = ear_of(&others[i].ears, channel);
        count += ear != NULL && *ear;
    }
    return count;
}

static void publish(struct conn *conn, struct span name, struct span text) {
    struct channel channel = channel_read(name);
    unsigned count = others_with(channel);
    struct span data, node = SPAN(""), keeps;
    bool is_word = !json_member(text, "data", &data);
    bool is_node = json_member(text, "node", &node);
    bool is_call = is_word && is_node && json_member(node, "call", &keeps);
    if (is_call) {
        count = calls_asked(channel, node);
    } else if (is_word && is_node && json_member(node, "answer", &keeps)) {
        count = askers_answered(name, node);
    } else if (is_word && is_node) {
        came_note(channel, node);
        count += lent_word(name, node);
    } else if (!is_word && is_node && json_member(node, "keeps", &keeps)) {
        if (channel.place == PLACE_ID)
            lent_published(channel.name, node, text);
    } else if (!is_word && channel.place <= PLACE_ALL) {
        const enum name_kind kinds[] = {NAME_ID, NAME_GROUP};
        check_published(channel.place == PLACE_ALL ? NULL : &kinds[channel.place], channel.name,
                        text)
            ->ports_took += count;
    }
    unsigned own = message_send(channel, name, text);
    text_format(&conn->out, ":%u\r\n", count * (is_call ? 1 : PORT_TAKES) + own);
}

static void subscribe(struct conn *conn, struct span name, bool more) {
    bool *ear = ear_of(&conn->ears, channel_read(name));
    struct channel channel = channel_read(name);
    if (!conn->subscribes) {
        conn->since_ns = sim.now_ns;
        conn->since = sim_stamp();
    }
    conn->subscribes = true;
    if (channel.place == PLACE_ID)
        conn->came_due_ns[channel.name] = more ? sim.now_ns : 0;
    if (ear != NULL)
        *ear = more;
    else
        conn->others += more ? 1 : -1U;
    text_format(&conn->out, "*3\r\n");
    bulk(&conn->out, span_text(more ? "subscribe" : "unsubscribe"));
    bulk(&conn->out, name);
    text_format(&conn->out, ":1\r\n");
}

static void count_tell(struct conn *conn, struct span name) {
    unsigned count = others_with(channel_read(name)) * PORT_TAKES;
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++) {
        const bool *ear = ear_of(&conns[i].ears, channel_read(name));
        count += conns[i].fd != 0 && ear != NULL && *ear;
    }
    text_format(&conn->out, "*2\r\n");
    bulk(&conn->out, name);
    text_format(&conn->out, ":%u\r\n", count);
}

static void execute(struct conn *conn, const struct span *words, unsigned count) {
    if (conn->begun == 0)
        conn->begun = sim_stamp();
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

/* --- the run ---------------------------------------------------------------------------------- */

void redis_open(void) {
    fake_sockets_reset();
    fake_sockets.accepts = false;
    others_open();
    lent_open();
    calls_open();
    askers_open();
    zero_ns = sim.now_ns;
}

bool redis_step(void) {
    bool moved = false;
    if (sim.scenario.redis == 0)
        return false;
    fake_sockets.open_error = sim_chance(sim.scenario.redis_refuse / 4) ? ENETUNREACH : 0;
    conns_follow();
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++)
        moved |= conn_step(&conns[i]);
    if (sim_redis_nodes() == 0)
        zero_ns = sim.now_ns;
    for (unsigned i = 0; i < other_count; i++)
        if (!sim_redis_knows(others[i].run))
            others[i].unknown = sim_stamp();
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
        if (other_can_step(&others[i]))
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
        next_ns = EARLIER(other_next_ns(&others[i]), next_ns);
    return next_ns;
}

/* --- is all done that is due? ------------------------------------------------------------------
 */

static const struct conn *conn_subscribing(void) {
    const struct conn *conn = NULL;
    for (unsigned i = 0; sim.scenario.redis != 0 && i < FAKE_SOCKETS_MAX; i++)
        if (conns[i].fd != 0 && conns[i].subscribes)
            conn = &conns[i];
    return conn;
}

uint64_t redis_subscriber(uint64_t *since) {
    const struct conn *conn = conn_subscribing();
    if (conn != NULL && since != NULL)
        *since = conn->since;
    return conn == NULL ? 0 : (uint64_t)conn->fd;
}

uint64_t redis_steady_since(void) {
    uint64_t since = 0;
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++) {
        uint64_t stamp = conns[i].subscribes ? conns[i].since : conns[i].begun;
        if (conns[i].fd != 0 && stamp > since)
            since = stamp;
    }
    return since;
}

bool redis_is_steady(void) {
    unsigned count = 0;
    const struct scenario *s = &sim.scenario;
    if (s->redis == 0 || s->redis_wrong != 0 || s->no_memory != 0 || s->post_slots != 0 ||
        s->memory_bytes < UINT64_C(1) << 26 || conn_subscribing() == NULL ||
        server_phase(node_server()) != PHASE_RUNNING || !sim_redis_port_is_steady())
        return false;
    for (unsigned i = 0; i < FAKE_SOCKETS_MAX; i++) {
        const struct fake_socket *socket = fake_socket_find(conns[i].fd);
        if (conns[i].fd == 0)
            continue;
        if (socket == NULL || IS_STALLED(&conns[i]) || conns[i].in.len != 0 ||
            conns[i].out.len != 0 || socket->sent_len != 0 || socket->said_len != 0 ||
            socket->error != 0 || socket->ended)
            return false;
        count++;
    }
    return count == 2;
}

/* Who came while nobody was known is told of once a second. */
#define CAME_NS (NS_PER_S + 200 * NS_PER_MS)

static bool came_is_due(uint64_t due_ns) {
    if (due_ns == 0)
        return false;
    return zero_ns < due_ns || zero_ns + CAME_NS < sim.now_ns;
}

void redis_quiet_check(void) {
    if (!redis_is_steady())
        return;
    const struct conn *conn = conn_subscribing();
    for (unsigned i = 0; i < sim.scenario.ids; i++)
        if (conn->ears.ids[i] && came_is_due(conn->came_due_ns[i]))
            sim_fail("no other node is told that clients of id %u have come", i);
    lent_quiet_check();
    askers_quiet_check();
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
    if (!redis_begins(&id, SPAN("key-")))
        return; /* of nobody, to nobody */
    char number[16] = "";
    snprintf(number, sizeof(number), "%.*s", SPAN_ARG(id));
    struct sim_content *content = content_at((uint32_t)strtoul(number, NULL, 10));
    struct sim_attempt *attempt = attempt_at(content->first_attempt);
    enum attempt_state state = states[result];
    if (content->lent) {
        lent_told(content, result);
        return;
    }
    if (!redis_is_stream(attempt->stream) || state == ATTEMPT_OPEN)
        sim_fail("message %u from Redis is answered %u", content->number, result);
    if (attempt->state != ATTEMPT_OPEN)
        sim_fail("message %u from Redis was taken twice", content->number);
    attempt->stopped = server_phase(node_server()) >= PHASE_STOPPED;
    attempt_answered(attempt, state, state <= ATTEMPT_DROPPED,
                     state <= ATTEMPT_DROPPED ? recipients : 0);
}

void sim_redis_welcome_check(const struct sim_session *session) {
    const struct conn *conn = conn_subscribing();
    if (conn == NULL || conn->since_ns >= session->begin_ns ||
        sim.now_ns - session->begin_ns >= READY_NS || sim.scenario.no_memory != 0 ||
        sim.scenario.memory_bytes < UINT64_C(1) << 26 || session->leave != NEVER ||
        server_phase(node_server()) != PHASE_RUNNING || session->link->close_stamp != 0 ||
        close_asked(session, sim.sequence))
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
    calls_close();
    fake_sockets_reset();
}
