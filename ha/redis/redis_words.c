/* redis_words.c - what is sent to Redis beside messages: words between nodes, and PING; see
 * redis_port.h. */
#include "core/server.h"
#include "ha/redis/redis_expect.h"

#include <string.h>

bool redis_out_text(struct redis_shard *shard, const struct wire_channel *channel,
                    struct span text) {
    char name[WIRE_CHANNEL_BYTES_MAX];
    if (shard == NULL)
        return false;
    size_t len = wire_channel_write(shard->redis->prefix, channel, name);
    const struct span words[] = {redis_publish_word(shard->redis), span_of(name, len), text};
    return redis_out_command(shard, REDIS_EXPECT_WORD, words, 3);
}

bool redis_out_plain(struct redis_port *redis, struct span channel, struct span text) {
    struct span word = redis->adapter.is_sharded ? SPAN("SPUBLISH") : redis_publish_word(redis);
    const struct span words[] = {word, channel, text};
    return redis_out_command(redis->shards[0], REDIS_EXPECT_WORD, words, 3);
}

static const struct wire_channel to_all = {.place = WIRE_ALL};

static void word_send(struct redis_shard *shard, const struct wire_channel *channel,
                      struct wire_node node) {
    char text[WIRE_NODE_BYTES_MAX];
    struct builder word = builder_over(text, sizeof(text));
    if (shard == NULL)
        return;
    const struct port *port = &shard->redis->port, *peers = port->server->parts.peers;
    memcpy(node.run, port->server->run, WIRE_RUN_BYTES);
    node.name = span_text(port->config->node);
    if (peers != NULL)
        node.peer = span_text(peers->address);
    wire_word_write(&node, &word);
    redis_out_text(shard, channel, builder_span(&word));
}

void redis_out_word(struct redis_port *redis, bool lives) {
    for (unsigned i = 0; i < redis->shard_count; i++)
        if (redis->cluster == NULL || redis->shards[i] == redis->all_by)
            word_send(redis->shards[i], &to_all, (struct wire_node){.lives = lives});
}

void redis_out_asks(struct redis_port *redis) {
    word_send(redis->all_by, &to_all, (struct wire_node){.lives = true, .asks = true});
}

void redis_out_asks_sent(struct redis_shard *shard, const char *run, uint64_t ms) {
    const struct wire_channel one = {WIRE_NODE, span_of(run, run == NULL ? 0 : WIRE_RUN_BYTES)};
    word_send(shard, run == NULL ? &to_all : &one,
              (struct wire_node){.lives = true, .asks_sent = ms});
}

bool redis_out_ping(struct redis_shard *shard) {
    const struct span word = SPAN("PING");
    return redis_out_command(shard, REDIS_EXPECT_PING, &word, 1);
}
