#include "perf/micro_redis/micro_redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <hiredis/hiredis.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define OUT_BYTES (256 * 1024)
#define READ_BYTES (64 * 1024)

struct bare_link {
    int fd;
    redisReader *reader;
};

struct bare {
    struct bare_link commands, subscriber;
    const char *channel;
    uint64_t count, sent, answered, received;
    size_t out_at, out_len;
    char out[OUT_BYTES];
};

static struct bare_link link_open(unsigned port) {
    const struct sockaddr_in address = {.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)port),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int on = 1;
    struct bare_link link = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                             .reader = redisReaderCreate()};
    if (link.fd < 0 || link.reader == NULL ||
        connect(link.fd, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        setsockopt(link.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
        micro_fail("Redis cannot be reached");
    return link;
}

static void link_close(struct bare_link *link) {
    close(link->fd);
    redisReaderFree(link->reader);
}

/* Reads what is there. False: nothing is. */
static bool link_read(struct bare_link *link) {
    static char bytes[READ_BYTES];
    ssize_t got = read(link->fd, bytes, sizeof(bytes));
    if (got < 0 && errno == EAGAIN)
        return false;
    if (got <= 0 || redisReaderFeed(link->reader, bytes, (size_t)got) != REDIS_OK)
        micro_fail("Redis has ended the connection");
    return true;
}

static redisReply *link_next(struct bare_link *link) {
    void *reply;
    if (redisReaderGetReply(link->reader, &reply) != REDIS_OK)
        micro_fail("hiredis does not take a reply");
    return reply;
}

static redisReply *link_ask(struct bare_link *link, int count, const char **words) {
    char *text;
    redisReply *reply;
    int len = redisFormatCommandArgv(&text, count, words, NULL);
    if (len < 0 || write(link->fd, text, (size_t)len) != len)
        micro_fail("Redis does not take a command");
    free(text);
    while ((reply = link_next(link)) == NULL)
        link_read(link);
    return reply;
}

void micro_await(unsigned port) {
    const char *words[] = {"PUBSUB", "NUMSUB", MICRO_IN, MICRO_OUT};
    struct bare_link link = link_open(port);
    uint64_t until_ns = clock_ns() + MICRO_SILENT_NS;
    for (bool both = false; !both;) {
        redisReply *reply = link_ask(&link, 4, words);
        both = reply->type == REDIS_REPLY_ARRAY && reply->elements == 4 &&
               reply->element[1]->integer == 1 && reply->element[3]->integer == 1;
        freeReplyObject(reply);
        if (clock_ns() > until_ns)
            micro_fail("the channels are not subscribed");
        nanosleep(&(struct timespec){0, NS_PER_MS}, NULL);
    }
    link_close(&link);
}

/* One more command. False: there is no room. */
static bool publish(struct bare *bare, const char *to) {
    char text[512], *command;
    const char *words[] = {"PUBLISH", bare->channel, text};
    size_t lens[] = {7, strlen(bare->channel), micro_text(text, to, bare->sent)};
    if (sizeof(bare->out) - bare->out_len < sizeof(text) + 128)
        return false;
    int len = redisFormatCommandArgv(&command, 3, words, lens);
    if (len < 0)
        micro_fail("there is no memory for a command");
    memcpy(bare->out + bare->out_len, command, (size_t)len);
    bare->out_len += (size_t)len;
    free(command);
    bare->sent++;
    return true;
}

static void write_out(struct bare *bare) {
    if (bare->out_at == bare->out_len)
        return;
    ssize_t done = write(bare->commands.fd, bare->out + bare->out_at, bare->out_len - bare->out_at);
    if (done < 0 && errno != EAGAIN)
        micro_fail("Redis has ended the connection");
    bare->out_at += done < 0 ? 0 : (size_t)done;
    if (bare->out_at == bare->out_len)
        bare->out_at = bare->out_len = 0;
}

/* Takes all that has come; counts it by `counted`. */
static void take(struct bare_link *link, int type, uint64_t *counted) {
    redisReply *reply;
    if (!link_read(link))
        return;
    while ((reply = link_next(link)) != NULL) {
        if (reply->type != type)
            micro_fail("Redis answers not as asked");
        ++*counted;
        freeReplyObject(reply);
    }
}

static void bare_loop(struct bare *bare, const char *to) {
    while (bare->answered < bare->count || bare->received < bare->count) {
        while (bare->sent < bare->count && bare->sent - bare->answered < MICRO_UNANSWERED &&
               bare->sent < bare->received + MICRO_AHEAD && publish(bare, to))
            ;
        write_out(bare);
        short writes = bare->out_len != bare->out_at ? POLLOUT : 0;
        struct pollfd fds[] = {{.fd = bare->commands.fd, .events = (short)(POLLIN | writes)},
                               {.fd = bare->subscriber.fd, .events = POLLIN}};
        if (poll(fds, 2, (int)(MICRO_SILENT_NS / NS_PER_MS)) <= 0)
            micro_fail("nothing comes any more");
        if (fds[0].revents & ~POLLOUT)
            take(&bare->commands, REDIS_REPLY_INTEGER, &bare->answered);
        if (fds[1].revents != 0)
            take(&bare->subscriber, REDIS_REPLY_ARRAY, &bare->received);
    }
}

struct micro_took micro_bare(unsigned port, const char *out, const char *in, uint64_t count) {
    static struct bare bare;
    bare.commands = link_open(port);
    bare.subscriber = link_open(port);
    bare.channel = out;
    bare.count = count;
    freeReplyObject(link_ask(&bare.subscriber, 2, (const char *[]){"SUBSCRIBE", in}));
    micro_await(port);
    if (fcntl(bare.commands.fd, F_SETFL, O_NONBLOCK) != 0 ||
        fcntl(bare.subscriber.fd, F_SETFL, O_NONBLOCK) != 0)
        micro_fail("a socket cannot be told not to block");
    uint64_t begun_ns = clock_ns(), cpu_ns = micro_cpu_ns();
    bare_loop(&bare, strrchr(out, ':') + 1);
    struct micro_took took = {clock_ns() - begun_ns, micro_cpu_ns() - cpu_ns};
    link_close(&bare.commands);
    link_close(&bare.subscriber);
    return took;
}
