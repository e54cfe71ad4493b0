/* fake_redis.h - a node with its port to Redis over sockets that are none, and a small Redis behind
 * them whose two connections have no order to each other: the test says which of them is served,
 * and which is told its answers.
 *
 *   redis_node_open();
 *   redis_settle();                 turns, and all that Redis is allowed to do
 *   redis_runs[COMMANDS] = false;   what comes there is not carried out for now
 *   redis_tells[SUBSCRIBER] = false;  what was carried out there is not told for now
 *
 * Included by the test itself. Threads: one. */
#ifndef RINGPOST_TESTS_SUPPORT_FAKE_REDIS_H
#define RINGPOST_TESTS_SUPPORT_FAKE_REDIS_H

#include "tests/support/fake_http.h"

#include "ha/redis/redis_port.h"
#include "tests/fakes/fake_redis_socket.c"

enum { COMMANDS, SUBSCRIBER, LINKS };

#define REDIS_CHANNELS 200

static struct redis_port redis;
static bool redis_runs[LINKS], redis_tells[LINKS];
static unsigned redis_others; /* that have subscribed whatever it is */
static const char *redis_publish_answer, *redis_subscribe_answer; /* instead; NULL: as it is */
static char redis_channels[REDIS_CHANNELS][300];                  /* that the node has subscribed */
static char redis_published[1 << 20]; /* channel, blank, text, line feed; words of nodes not */
static char redis_said[1 << 16];      /* the same of words, but for those that it lives */
static unsigned redis_publishes, redis_words;
static char redis_untold[LINKS][1 << 20];
static size_t redis_untold_len[LINKS];
static int redis_fds[LINKS]; /* that it knows */

static struct fake_socket *redis_link(unsigned link) {
    if (redis.shard_count == 0) /* the port has stopped */
        return NULL;
    return fake_socket_find(link == COMMANDS ? redis.shards[0]->commands.fd
                                             : redis.shards[0]->subscriber.fd);
}

static void redis_say(unsigned link, const char *text) {
    size_t len = strlen(text);
    CHECK(redis_untold_len[link] + len <= sizeof(redis_untold[link]));
    memcpy(redis_untold[link] + redis_untold_len[link], text, len);
    redis_untold_len[link] += len;
}

static char *redis_channel(const char *name) {
    for (unsigned i = 0; i < REDIS_CHANNELS; i++)
        if (strcmp(redis_channels[i], name) == 0)
            return redis_channels[i];
    return NULL;
}

static unsigned redis_channel_count(void) {
    unsigned count = 0;
    for (unsigned i = 0; i < REDIS_CHANNELS; i++)
        count += redis_channels[i][0] != '\0';
    return count;
}

/* What a subscription brings. */
static void redis_message(const char *channel, const char *text) {
    char head[400];
    snprintf(head, sizeof(head), "*3\r\n$7\r\nmessage\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(channel),
             channel, strlen(text));
    redis_say(SUBSCRIBER, head);
    redis_say(SUBSCRIBER, text);
    redis_say(SUBSCRIBER, "\r\n");
}

/* What a subscription to a sharded channel brings. */
static void redis_smessage(const char *channel, struct span bytes) {
    char head[400];
    snprintf(head, sizeof(head), "*3\r\n$8\r\nsmessage\r\n$%zu\r\n%s\r\n$%zu\r\n", strlen(channel),
             channel, bytes.len);
    redis_say(SUBSCRIBER, head);
    CHECK(redis_untold_len[SUBSCRIBER] + bytes.len <= sizeof(redis_untold[SUBSCRIBER]));
    memcpy(redis_untold[SUBSCRIBER] + redis_untold_len[SUBSCRIBER], bytes.at, bytes.len);
    redis_untold_len[SUBSCRIBER] += bytes.len;
    redis_say(SUBSCRIBER, "\r\n");
}

/* What a subscription to a pattern brings. */
static void redis_pmessage(const char *pattern, const char *channel, struct span bytes) {
    char head[700];
    snprintf(head, sizeof(head), "*4\r\n$8\r\npmessage\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n$%zu\r\n",
             strlen(pattern), pattern, strlen(channel), channel, bytes.len);
    redis_say(SUBSCRIBER, head);
    CHECK(redis_untold_len[SUBSCRIBER] + bytes.len <= sizeof(redis_untold[SUBSCRIBER]));
    memcpy(redis_untold[SUBSCRIBER] + redis_untold_len[SUBSCRIBER], bytes.at, bytes.len);
    redis_untold_len[SUBSCRIBER] += bytes.len;
    redis_say(SUBSCRIBER, "\r\n");
}

/* To a pattern. */
static void redis_psubscribe(const char *name, bool more) {
    char answer[400];
    snprintf(answer, sizeof(answer), "*3\r\n$%u\r\n%s\r\n$%zu\r\n%s\r\n:%u\r\n", more ? 10 : 12,
             more ? "psubscribe" : "punsubscribe", strlen(name), name, redis_channel_count());
    redis_say(SUBSCRIBER, answer);
}

/* Plain and sharded channels are one here; their names differ in the tests. */
static void redis_subscribe(const char *name, bool more, bool sharded) {
    char *place = redis_channel(name);
    char answer[400];
    if (more && place == NULL)
        snprintf(redis_channel(""), sizeof(redis_channels[0]), "%s", name);
    else if (!more && place != NULL)
        place[0] = '\0';
    const char *word = more ? "ssubscribe" : "sunsubscribe";
    word += !sharded;
    snprintf(answer, sizeof(answer), "*3\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n:%u\r\n", strlen(word),
             word, strlen(name), name, redis_channel_count());
    redis_say(SUBSCRIBER, redis_subscribe_answer != NULL ? redis_subscribe_answer : answer);
}

static void redis_publish(const char *channel, const char *text, bool sharded) {
    char answer[40];
    bool word = strstr(text, "\"data\"") == NULL && strstr(text, "\"call\"") == NULL &&
                strstr(text, "\"answer\"") == NULL;
    snprintf(answer, sizeof(answer), ":%u\r\n",
             redis_others + (redis_channel(channel) != NULL ? 1 : 0));
    size_t len = strlen(redis_published);
    size_t said = strlen(redis_said);
    if (!word)
        snprintf(redis_published + len, sizeof(redis_published) - len, "%s %s\n", channel, text);
    else if (strstr(text, "\"lives\"") == NULL)
        snprintf(redis_said + said, sizeof(redis_said) - said, "%s %s\n", channel, text);
    redis_publishes += !word;
    redis_words += word;
    if (redis_channel(channel) != NULL && sharded)
        redis_smessage(channel, span_text(text));
    else if (redis_channel(channel) != NULL)
        redis_message(channel, text);
    redis_say(COMMANDS, redis_publish_answer != NULL && !word ? redis_publish_answer : answer);
}

static void redis_count_subscribers(const char *channel) {
    char answer[400];
    snprintf(answer, sizeof(answer), "*2\r\n$%zu\r\n%s\r\n:%d\r\n", strlen(channel), channel,
             (int)redis_others + (redis_channel(channel) != NULL));
    redis_say(COMMANDS, answer);
}

#define REDIS_WORDS_MAX 600

/* Carries out the first command that waits there. False: there is no whole one. */
static bool redis_run(unsigned link) {
    struct fake_socket *at = redis_link(link);
    static char text[1 << 20];
    static char *words[REDIS_WORDS_MAX];
    if (at == NULL || at->sent_len == 0)
        return false;
    memcpy(text, at->sent, at->sent_len);
    text[at->sent_len] = '\0';
    char *next = text, *end = text + at->sent_len;
    unsigned count = (unsigned)strtoul(next + 1, &next, 10);
    CHECK(text[0] == '*' && count > 0 && count <= REDIS_WORDS_MAX);
    next += 2;
    for (unsigned i = 0; i < count; i++) {
        if (next >= end || strchr(next, '\n') == NULL)
            return false;
        CHECK(*next == '$', "%s", next);
        size_t len = strtoul(next + 1, &next, 10);
        words[i] = next + 2;
        next += 2 + len + 2;
        if (next > end)
            return false;
        next[-2] = '\0';
    }
    fake_socket_take(at, (size_t)(next - text));
    if (strcmp(words[0], "PUBLISH") == 0 || strcmp(words[0], "SPUBLISH") == 0)
        redis_publish(words[1], words[2], words[0][0] == 'S');
    else if (strcmp(words[0], "PUBSUB") == 0)
        redis_count_subscribers(words[2]);
    else if (strcmp(words[0], "PING") == 0)
        redis_say(link, link == SUBSCRIBER && redis_channel_count() != 0
                            ? "*2\r\n$4\r\npong\r\n$0\r\n\r\n"
                            : "+PONG\r\n");
    else if (strcmp(words[0], "ROLE") == 0)
        redis_say(link, "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n");
    else if (strstr(words[0], "SUBSCRIBE") == NULL)
        redis_say(link, "+OK\r\n");
    else if (words[0][0] == 'P')
        for (unsigned i = 1; i < count; i++)
            redis_psubscribe(words[i], words[0][1] == 'S');
    else
        for (unsigned i = 1; i < count; i++)
            redis_subscribe(words[i], strstr(words[0], "UNSUB") == NULL,
                            strncmp(words[0], "SS", 2) == 0 || strncmp(words[0], "SUN", 3) == 0);
    fake_moves++;
    return true;
}

static void redis_tell(unsigned link) {
    struct fake_socket *at = redis_link(link);
    if (at != NULL && redis_untold_len[link] != 0) {
        fake_socket_say(at, span_of(redis_untold[link], redis_untold_len[link]));
        fake_moves++;
    }
    redis_untold_len[link] = 0;
}

/* Another connection has nothing of the one before. */
static void redis_look(void) {
    for (unsigned link = 0; link < LINKS; link++) {
        struct fake_socket *at = redis_link(link);
        int fd = at != NULL ? at->fd : 0;
        if (fd == redis_fds[link])
            continue;
        redis_fds[link] = fd;
        redis_untold_len[link] = 0;
        if (link == SUBSCRIBER)
            memset(redis_channels, 0, sizeof(redis_channels));
    }
}

static void redis_settle(void) {
    for (unsigned quiet = 0; quiet < 2;) {
        uint64_t before = fake_moves;
        node_settle();
        redis_look();
        for (unsigned link = 0; link < LINKS; link++) {
            while (redis_runs[link] && redis_run(link))
                ;
            if (redis_tells[link])
                redis_tell(link);
        }
        for (unsigned link = 0; link < LINKS; link++)
            if (redis_tells[link])
                redis_tell(link);
        quiet = fake_moves == before ? quiet + 1 : 0;
    }
}

static void redis_pass(uint64_t ns) {
    for (uint64_t until_ns = fake_now_ns + ns; fake_now_ns < until_ns;) {
        uint64_t left_ns = until_ns - fake_now_ns;
        fake_now_ns += left_ns < 100 * NS_PER_MS ? left_ns : 100 * NS_PER_MS;
        redis_settle();
    }
}

static void redis_node_open(void) {
    fake_sockets_reset();
    redis_others = redis_publishes = redis_words = 0;
    redis_publish_answer = redis_subscribe_answer = NULL;
    redis_published[0] = redis_said[0] = '\0';
    for (unsigned link = 0; link < LINKS; link++) {
        redis_runs[link] = redis_tells[link] = true;
        redis_untold_len[link] = 0;
        redis_fds[link] = -1;
    }
    fake_config.redis[0] = "redis://:pw@redis:7/1";
    fake_config.redis_count = 1;
    fake_config.redis_prefix = "rp:";
    snprintf(fake_config.node, sizeof(fake_config.node), "n1");
    redis_port_init(&redis, &fake_config);
    fake_ports[0] = fake_herald = &redis.port;
    http_node_open();
    redis_settle();
}

static void redis_node_close(void) {
    /* Its drain does not need Redis. */
    http_node_close();
    fake_sockets_reset();
}

static struct peer *api; /* of redis_setup */

static int redis_setup(void **state) {
    (void)state;
    redis_node_open();
    api = api_connect();
    return 0;
}

static int redis_teardown(void **state) {
    (void)state;
    redis_node_close();
    return 0;
}

/* A message by Redis, and all that comes of it. */
static void redis_comes(const char *channel, const char *text) {
    redis_message(channel, text);
    redis_settle();
}

static uint64_t redis_figure_of(const _Atomic uint64_t *figure) {
    return atomic_load_explicit(figure, memory_order_relaxed);
}
#define FIGURE(name) redis_figure_of(&redis.figures.name)
#define REFUSED(name) redis_figure_of(&redis.figures.refused[REDIS_REFUSED_##name])

#endif
