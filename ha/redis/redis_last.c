/* redis_last.c - what was lost with a connection, although no further copy comes that shows it.
 *
 *   a node whose connection was lost        Redis          others, which have lived meanwhile
 *
 *   all is subscribed again: `asks_sent` ------> all ----->
 *   counts what it has not heard       <-------- node <---- `sent`, the last copies on each channel
 *                                      <-------- node <---- `asks_sent`
 *   `sent`                             --------> node ----> they count what never left it
 *
 * Redis hands a node's words on in the order in which it has published them, and an answer is
 * behind every copy that it tells of. So what has not come by then does not come; but for what lay
 * in the socket of a connection that was given up, which Redis may read later: that is counted as
 * late.
 *
 * All that goes by the shard whose connection was lost, and is about what was sent by it: shards
 * have no order between them.
 *
 * Of a channel on which nothing has come from a node yet, losses are unknown.
 *
 * Threads: the port's. Limits: one answer at a time by a shard, to all where several ask meanwhile;
 * COUNTS_MAX channels; a turn writes no more than a text, and nothing while LAST_WAITING_BYTES
 * wait; LAST_PAUSE_NS between two. */
#include "core/base/log.h"
#include "core/presence.h"
#include "core/server.h"
#include "ha/redis/redis_port.h"
#include "proto/text/json.h"

#include <string.h>

#define TEXT_BYTES_MAX 16384
#define ENTRY_BYTES 48 /* two numbers, brackets, a comma */
#define LAST_WAITING_BYTES (1024 * 1024)
/* Between answers, so that those who ask at about the same time are answered at once. */
#define LAST_PAUSE_NS (100 * NS_PER_MS)
/* It may have heard nothing for so long before it knew that its connection was lost, and a moment
 * more. Nobody is asked about more than LAST_MAX_MS. */
#define LAST_BEFORE_NS (LINK_SILENT_NS + NS_PER_S)
#define LAST_MAX_MS (UINT64_C(3600) * 1000)
/* All have answered by then, unless they are away themselves. */
#define LAST_ANSWERED_NS (5 * NS_PER_S)

/* --- answering ------------------------------------------------------------------------------- */

static void asked(struct redis_shard *shard, const struct wire_node *word) {
    struct redis_last *last = &shard->last_sent;
    uint64_t ms = word->asks_sent < LAST_MAX_MS ? word->asks_sent : LAST_MAX_MS;
    uint64_t now_ns = shard->redis->port.now_ns, since_ns = 0;
    if (now_ns > ms * NS_PER_MS)
        since_ns = now_ns - ms * NS_PER_MS;
    if (!last->answers) {
        last->answers = true;
        last->to_all = false;
        last->since_ns = since_ns;
        last->at = 0;
        memcpy(last->run, word->run, WIRE_RUN_BYTES);
        return;
    }
    last->again |= last->at != 0;
    last->to_all |= memcmp(last->run, word->run, WIRE_RUN_BYTES) != 0;
    if (since_ns < last->since_ns)
        last->since_ns = since_ns;
}

/* The next of what was sent since then, into a text; false: there is no more. */
static bool entries_write(struct redis_shard *shard, struct builder *out) {
    struct redis_last *last = &shard->last_sent;
    for (; last->at < COUNTS_MAX; last->at++) {
        const struct count_place *place = &shard->redis->nodes.counts[last->at];
        if (place->key == 0 || place->shard != shard->index || place->sent_ns < last->since_ns)
            continue;
        if (out->cap - out->len < ENTRY_BYTES)
            return true;
        builder_text(out, out->at[out->len - 1] == '[' ? "[" : ",[");
        builder_u64(out, place->epoch);
        builder_byte(out, ',');
        builder_u64(out, place->count);
        builder_byte(out, ']');
    }
    return false;
}

bool redis_last_busy(const struct redis_shard *shard) {
    return shard->up && shard->last_sent.answers &&
           shard->last_sent.begins_ns <= shard->redis->port.now_ns &&
           shard->commands.out_len - shard->commands.out_at < LAST_WAITING_BYTES;
}

uint64_t redis_last_due_ns(const struct redis_shard *shard) {
    return shard->up && shard->last_sent.answers ? shard->last_sent.begins_ns : CLOCK_NEVER;
}

static void answer(struct redis_shard *shard) {
    struct redis_last *last = &shard->last_sent;
    struct wire_channel channel = {.place = WIRE_ALL};
    char text[TEXT_BYTES_MAX];
    struct builder out = builder_over(text, sizeof(text) - 4);
    builder_text(&out, "{\"node\":{\"run\":\"");
    builder_text(&out, shard->redis->port.server->run);
    builder_text(&out, "\",\"sent\":[");
    size_t empty = out.len;
    bool more = entries_write(shard, &out);
    out.cap = sizeof(text);
    if (!last->to_all)
        channel = (struct wire_channel){WIRE_NODE, span_of(last->run, WIRE_RUN_BYTES)};
    if (out.len != empty) {
        builder_text(&out, "]}}");
        (void)redis_out_text(shard, &channel, builder_span(&out));
    }
    if (more)
        return;
    last->begins_ns = shard->redis->port.now_ns + LAST_PAUSE_NS;
    last->answers = last->again;
    last->again = false;
    last->at = 0;
}

/* --- asking ---------------------------------------------------------------------------------- */

void redis_last_work(struct redis_shard *shard) {
    struct redis_last *last = &shard->last_sent;
    uint64_t now_ns = shard->redis->port.now_ns;
    /* In a Cluster answers come by the shard of the node's own channel alone. */
    if (shard->redis->cluster == NULL && !last->asked && shard->ready != 0 && shard->hears_all) {
        last->asked = true;
        last->asked_ns = now_ns;
        if (shard->connections > 1)
            redis_out_asks_sent(shard, NULL, (now_ns - last->from_ns + LAST_BEFORE_NS) / NS_PER_MS);
    }
    if (redis_last_busy(shard))
        answer(shard);
}

void redis_last_lost(struct redis_shard *shard) {
    struct redis_last *last = &shard->last_sent;
    uint64_t now_ns = shard->redis->port.now_ns;
    /* Answers may be lost with the connection, too: then it is asked about both times. */
    bool unanswered =
        last->from_ns != 0 && (!last->asked || now_ns - last->asked_ns < LAST_ANSWERED_NS);
    *last = (struct redis_last){.from_ns = unanswered ? last->from_ns : now_ns};
}

/* One that was heard all the time up to `place`, of which the last is `count`. */
static uint64_t lost(struct redis_port *redis, struct look_place *place, uint64_t count) {
    struct presence *presence = redis->port.server->presence;
    if (count <= place->count ||
        (place->name != 0 && presence_begun_of(presence, place->name) != place->since))
        return 0;
    uint64_t missing = count - place->count;
    place->count = count;
    return missing;
}

static bool number(struct json_cursor *pair, uint64_t *value) {
    struct json_value word;
    return json_array_next(pair, &word) && word.kind == JSON_NUMBER && json_u64(word.raw, value);
}

static void told(struct redis_port *redis, const struct wire_node *word) {
    struct json_cursor cursor, pair;
    struct json_value value;
    uint64_t messages = 0, channels = 0, epoch, count, more;
    if (json_open(&cursor, word->sent) != JSON_ARRAY)
        return;
    while (json_array_next(&cursor, &value)) {
        if (json_open(&pair, value.raw) != JSON_ARRAY || !number(&pair, &epoch) ||
            !number(&pair, &count))
            continue;
        struct look_place *place = nodes_look(&redis->nodes, word->run, epoch);
        if (place == NULL || (more = lost(redis, place, count)) == 0)
            continue;
        messages += more;
        channels++;
    }
    const struct peer_node *from = nodes_find(&redis->nodes, word->run);
    if (messages == 0)
        return;
    stats_add(&redis->figures.missed, messages);
    log_event(LOG_WARN, "redis_missed", LOG_U64("messages", messages),
              LOG_U64("channels", channels), LOG_STR("node", from == NULL ? "" : from->name),
              LOG_STR("meaning",
                      "copies that another node published were lost with a connection to "
                      "Redis, this node's or its"));
}

void redis_last_word(struct redis_shard *shard, const struct wire_channel *channel,
                     const struct wire_node *word) {
    bool is_all = channel->place == WIRE_ALL;
    if (!is_all && (channel->place != WIRE_NODE ||
                    !span_equal(channel->name, span_text(shard->redis->port.server->run))))
        return;
    if (word->sent.len != 0)
        told(shard->redis, word);
    if (word->asks_sent == 0)
        return;
    asked(shard, word);
    /* It may have lost what it had not sent yet. Who has just come back itself asks all anyway; but
     * one that is back only now has not heard what was asked before. */
    if (is_all && (shard->redis->port.now_ns >= shard->unsure_ns || shard->last_sent.asked))
        redis_out_asks_sent(shard, word->run, word->asks_sent);
}
