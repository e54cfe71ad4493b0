/* redis_acks.c - messages that are to be acknowledged, for sessions on other nodes.
 *
 *   here, who keeps it                       Redis                  there, who has the sessions
 *
 *   hub --DELIVER_COUNT--> PUBSUB NUMSUB ------>
 *       <--how many nodes-------------------<
 *   keeper --HAND--> PUBLISH, with `keeps` ----->  gate --> hub --> keeper (lent) --> sessions
 *   keeper <--REMOTE_NONE-- nobody took it  <
 *   keeper <--ACK--                        <----- `acked` <-- fate_wait <------------ the client
 *   keeper <--REMOTE_FRESH--               <----- `came`  <-- subscribed
 *
 * There it is a message of its own: with a fate, by which a copy that comes again is known, in a
 * scope of the node that keeps it and the client id. When its client has acknowledged it, that is
 * reported; where the report is lost, the next copy is answered with it.
 *
 * Threads: the port's. Owns: struct redis_lent, charged to its account. Limits: REDIS_LENT_MAX
 * messages that are lent, beyond which a copy is refused; WORD_BYTES_MAX a word. A word for which
 * keepers have no room is held, and nothing behind it is read, for IN_HELD_NS at most. */
#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/delivery.h"
#include "core/keeper.h"
#include "core/namespaces.h"
#include "core/server.h"
#include "ha/redis/redis_expect.h"
#include "proto/text/json.h"
#include "proto/text/names.h"

#include <string.h>

#define WORD_BYTES_MAX 16384
/* An entry of a word: two names of which each byte may become six, and what is between. */
#define ENTRY_BYTES (6 * (NAME_BYTES_MAX + MESSAGE_ID_BYTES_MAX + NAMESPACE_BYTES_MAX) + 16)
/* Client ids that are told again to a node that asks, in one turn. */
#define CAME_A_TURN 256
/* They are not while so many bytes wait to be sent. */
#define CAME_WAITING_BYTES (1024 * 1024)

/* A message that another node keeps, until it is settled here. */
struct redis_lent {
    struct fate_wait wait;
    struct list link; /* in redis->lents, while it waits */
    struct redis_port *redis;
    char run[WIRE_RUN_BYTES]; /* who keeps it */
};

/* --- words that are gathered ------------------------------------------------------------------ */

void redis_word_flush(struct redis_port *redis, struct redis_word *word) {
    if (word->out.len == 0)
        return;
    builder_text(&word->out, "]}}");
    CHECK(!word->out.full, "a word is too long");
    struct redis_shard *shard = redis_shard_of(redis, &word->channel);
    bool told = redis_out_text(shard, &word->channel, builder_span(&word->out));
    /* What was acknowledged is told again with the next copy; where it is lost with the connection,
     * all is told anew. */
    redis->untold |= !told && word == &redis->came;
    word->out.len = 0;
}

/* Room for one more entry of a word of that kind, which is opened if need be. */
static struct builder *entry_begin(struct redis_port *redis, struct redis_word *word,
                                   const char *kind) {
    if (word->out.cap - word->out.len < ENTRY_BYTES + 8)
        redis_word_flush(redis, word);
    if (word->out.len == 0) {
        builder_text(&word->out, "{\"node\":{\"run\":\"");
        builder_text(&word->out, redis->port.server->run);
        builder_text(&word->out, "\",\"");
        builder_text(&word->out, kind);
        builder_text(&word->out, "\":[");
    } else {
        builder_byte(&word->out, ',');
    }
    return &word->out;
}

static struct redis_word word_over(char *room) {
    return (struct redis_word){.out = builder_over(room, WORD_BYTES_MAX)};
}

/* --- who has sessions elsewhere --------------------------------------------------------------- */

bool redis_remote_tell(struct redis_port *redis, uint64_t hash, unsigned flag) {
    struct server *server = redis->port.server;
    unsigned keeper = keeper_of(server, hash);
    if (SHORTAGE(!post_room(&server->post, redis->port.index, keeper)))
        return false;
    post_send(&redis->port.endpoint, keeper,
              &(struct mail){.kind = MAIL_REMOTE,
                             .flag = (uint8_t)flag,
                             .from = (uint16_t)redis->port.index,
                             .token = hash});
    return true;
}

void redis_acks_counted(struct redis_port *redis, const struct redis_expect *expect,
                        uint64_t nodes) {
    if (nodes != 0 &&
        !redis_remote_tell(redis, expect->id_hash, nodes == 1 ? REMOTE_ONE : REMOTE_MANY))
        redis->asks_later = true;
}

static uint64_t *came_mark(struct redis_port *redis, uint64_t hash) {
    return &redis->came_marks[hash % CAME_MARKS];
}

void redis_acks_handed(struct redis_port *redis, const struct redis_expect *expect,
                       uint64_t nodes) {
    /* The answer says what was when Redis had the copy; that somebody has come since may have been
     * told before it. */
    if (nodes == 0 && *came_mark(redis, expect->id_hash) <= expect->copy)
        (void)redis_remote_tell(redis, expect->id_hash, REMOTE_NONE);
}

/* --- to other nodes --------------------------------------------------------------------------- */

/* An entry of `acked` or `settled`. */
static void entry_write(struct builder *out, struct span message_id, struct span id,
                        unsigned namespace) {
    builder_byte(out, '[');
    builder_json(out, message_id);
    builder_byte(out, ',');
    builder_json(out, id);
    if (namespace != NAMESPACE_MAIN) {
        builder_byte(out, ',');
        builder_json(out, namespace_name(namespace));
    }
    builder_byte(out, ']');
}

/* Whoever has it for a client of that id need not have it any more. */
static void settled_send(struct redis_port *redis, const struct message *message,
                         const struct message_name *to) {
    char room[ENTRY_BYTES + WIRE_NODE_BYTES_MAX];
    struct span id = message_name_text(message, to);
    struct redis_word word = {.channel = {WIRE_ID, id}, .out = builder_over(room, sizeof(room))};
    entry_write(entry_begin(redis, &word, "settled"), message_id(message), id, message->namespace);
    redis_word_flush(redis, &word);
}

void redis_acks_hand(struct port *port, struct message *message, const struct mail *mail) {
    struct redis_port *redis = redis_of(port);
    const struct message_name *to = &message->names[mail->number];
    if ((mail->flag & HAND_SETTLED) != 0)
        settled_send(redis, message, to);
    else if (message->expires_ns > port->now_ns)
        redis_out_keep(redis, message, to, (mail->flag & HAND_REDELIVERED) != 0);
    message_release(&port->endpoint, message);
}

/* A client id has come here. */
void redis_acks_came(struct redis_port *redis, struct span id) {
    if (FAULT(CAME_UNSAID))
        return;
    if (redis->nodes.count == 0)
        redis->untold = true; /* until somebody is known */
    else
        builder_json(entry_begin(redis, &redis->came, "came"), id);
}

static void came_again(void *argument, struct span id) {
    redis_acks_came(argument, id);
}

/* --- from other nodes ------------------------------------------------------------------------- */

/* One of `came`: false, there is no room to tell its keeper. */
static bool came_take(struct redis_port *redis, const struct json_value *value) {
    char room[NAME_BYTES_MAX];
    struct builder decoded = builder_over(room, sizeof(room));
    struct span id;
    if (value->kind != JSON_STRING || json_text(value, &decoded, &id) != NULL ||
        name_check(id) != NULL)
        return true;
    for (unsigned i = 0; i < namespaces_count(); i++) {
        uint64_t hash = name_hash(NAME_ID, i, id);
        *came_mark(redis, hash) = redis->copy + 1;
        if (!redis_remote_tell(redis, hash, REMOTE_FRESH))
            return false;
    }
    return true;
}

/* One of `acked` or `settled`: message id, client id, perhaps namespace. False: it is none. */
static bool entry_read(const struct json_value *value, uint64_t *id_hash, uint64_t *message_hash) {
    struct json_cursor cursor;
    struct json_value part;
    struct span parts[3] = {SPAN_INIT(""), SPAN_INIT(""), SPAN_INIT("/")};
    char room[3][NAME_BYTES_MAX];
    unsigned count = 0, namespace;
    if (json_open(&cursor, value->raw) != JSON_ARRAY)
        return false;
    for (; count < 3 && json_array_next(&cursor, &part); count++) {
        struct builder decoded = builder_over(room[count], NAME_BYTES_MAX);
        if (part.kind != JSON_STRING || json_text(&part, &decoded, &parts[count]) != NULL)
            return false;
    }
    if (count < 2 || !namespace_find(parts[2], &namespace))
        return false;
    *id_hash = name_hash(NAME_ID, namespace, parts[1]);
    *message_hash = hash64(parts[0]);
    return true;
}

/* Tells the keeper. Without room it does not hear of it: what was acknowledged is reported again
 * with the next copy, what was settled comes to its client once more. */
static void entry_take(struct redis_port *redis, const struct json_value *value, struct mail mail) {
    struct server *server = redis->port.server;
    uint64_t message_hash;
    if (!entry_read(value, &mail.token, &message_hash))
        return; /* as text that is none is: nobody can be told */
    unsigned keeper = keeper_of(server, mail.token);
    if (SHORTAGE(!post_room(&server->post, redis->port.index, keeper)))
        return;
    mail.from = (uint16_t)redis->port.index;
    mail.object = mail_object(message_hash);
    post_send(&redis->port.endpoint, keeper, &mail);
}

static void entries_take(struct redis_port *redis, struct span array, struct mail mail) {
    struct json_cursor cursor;
    struct json_value value;
    if (array.len != 0 && json_open(&cursor, array) == JSON_ARRAY)
        while (json_array_next(&cursor, &value))
            entry_take(redis, &value, mail);
}

/* False: there is no room; it goes on from there when it is tried again. */
static bool cames_take(struct redis_port *redis, struct span array) {
    struct json_cursor cursor;
    struct json_value value;
    uint32_t place = 0;
    if (array.len != 0 && json_open(&cursor, array) == JSON_ARRAY)
        while (json_array_next(&cursor, &value)) {
            if (place++ < redis->came_taken)
                continue;
            if (!came_take(redis, &value))
                return false;
            redis->came_taken = place;
        }
    redis->came_taken = 0;
    return true;
}

/* Each word counts where it belongs alone. */
bool redis_acks_word(struct redis_port *redis, const struct wire_channel *channel,
                     const struct wire_node *word) {
    uint32_t lender = (uint32_t)hash64(span_of(word->run, WIRE_RUN_BYTES));
    const struct mail acked = {.kind = MAIL_ACK, .number = 1};
    const struct mail settled = {.kind = MAIL_REMOTE, .flag = REMOTE_SETTLED, .number = lender};
    switch (channel->place) {
    case WIRE_NODE:
        if (span_equal(channel->name, span_of(redis->port.server->run, WIRE_RUN_BYTES)))
            entries_take(redis, word->acked, acked);
        return true;
    case WIRE_ID:
        entries_take(redis, word->settled, settled);
        return true;
    case WIRE_ALL:
        /* Who asks while others are told may have missed the first of them. */
        if (word->asks && !redis->held) {
            redis->tells_once_more |= redis->tells_again;
            redis->tells_again = true;
        }
        return cames_take(redis, word->came);
    default:
        return true;
    }
}

/* --- lent to this node ------------------------------------------------------------------------ */

static void report(struct redis_port *redis, const char run[WIRE_RUN_BYTES], struct fate *fate) {
    struct redis_word *word = &redis->acked;
    if (word->out.len != 0 && memcmp(redis->acked_run, run, WIRE_RUN_BYTES) != 0)
        redis_word_flush(redis, word);
    memcpy(redis->acked_run, run, WIRE_RUN_BYTES);
    word->channel = (struct wire_channel){WIRE_NODE, span_of(redis->acked_run, WIRE_RUN_BYTES)};
    struct builder *out = entry_begin(redis, word, "acked");
    entry_write(out, fate_id(fate), fate_address_text(fate, 0), fate_namespace(fate));
}

static void lent_free(struct redis_port *redis, struct redis_lent *lent) {
    list_remove(&lent->link);
    pool_put(&redis->lent_pool, lent);
    account_give(&redis->port.account, sizeof(*lent));
    stats_sub(&redis->figures.lent, 1);
}

static void on_settled(struct endpoint *endpoint, struct fate_wait *wait) {
    struct redis_lent *lent = container_of(wait, struct redis_lent, wait);
    struct redis_port *redis = lent->redis;
    if (fate_state(wait->fate) == FATE_ACKED && !FAULT(LENT_ACK_UNSAID))
        report(redis, lent->run, wait->fate);
    fates_wait_end(&endpoint->server->fates, wait);
    lent_free(redis, lent);
}

bool redis_lent_full(const struct redis_port *redis) {
    return redis->figures.lent >= REDIS_LENT_MAX;
}

struct redis_lent *redis_lent_get(struct redis_port *redis, const char run[WIRE_RUN_BYTES]) {
    struct redis_lent *lent = NULL;
    if (!SHORTAGE(!account_take(&redis->port.account, sizeof(*lent)))) {
        lent = pool_get(&redis->lent_pool);
        if (SHORTAGE(lent == NULL))
            account_give(&redis->port.account, sizeof(*lent));
    }
    if (lent == NULL)
        return NULL;
    *lent = (struct redis_lent){.redis = redis, .wait.told = on_settled};
    memcpy(lent->run, run, WIRE_RUN_BYTES);
    list_init(&lent->link);
    stats_add(&redis->figures.lent, 1);
    return lent;
}

void redis_lent_result(struct redis_port *redis, struct redis_lent *lent,
                       const struct gate_result *result) {
    struct fates *fates = &redis->port.server->fates;
    bool taken = result->state == RESULT_QUEUED || result->state == RESULT_STORED;
    if (taken && result->fate != NULL) {
        fates_hold(fates, result->fate);
        list_add_tail(&redis->lents, &lent->link);
        if (fates_wait(fates, &lent->wait, result->fate, redis->port.index))
            return;
        list_remove(&lent->link);
        fates_release(fates, result->fate);
    }
    /* It is settled already, or came again. */
    if (result->fate != NULL && fate_state(result->fate) == FATE_ACKED)
        report(redis, lent->run, result->fate);
    lent_free(redis, lent);
}

/* --- turns, and the end ----------------------------------------------------------------------- */

size_t redis_lent_bytes(void) {
    return sizeof(struct redis_lent);
}

bool redis_acks_init(struct redis_port *redis) {
    struct account *account = &redis->port.account;
    redis->word_room[0] = memory_get(account, WORD_BYTES_MAX);
    redis->word_room[1] = memory_get(account, WORD_BYTES_MAX);
    if (redis->word_room[0] == NULL || redis->word_room[1] == NULL)
        return false;
    redis->came = word_over(redis->word_room[0]);
    redis->came.channel = (struct wire_channel){.place = WIRE_ALL};
    redis->acked = word_over(redis->word_room[1]);
    return true;
}

/* All are told again as fast as Redis takes it. */
bool redis_acks_busy(const struct redis_port *redis) {
    const struct redis_shard *shard = redis->all_by;
    return redis->tells_again && shard != NULL &&
           shard->commands.out_len - shard->commands.out_at < CAME_WAITING_BYTES;
}

void redis_acks_work(struct redis_port *redis) {
    uint64_t now_ns = redis->port.now_ns;
    const struct redis_shard *shard = redis->all_by;
    if (redis->asks_later && shard != NULL && shard->hears_all && redis_shard_works(shard)) {
        redis->asks_later = false;
        redis_out_asks(redis);
    }
    if (redis->untold && redis->nodes.count != 0 && now_ns >= redis->told_again_ns) {
        redis->told_again_ns = now_ns + NS_PER_S;
        redis->tells_once_more |= redis->tells_again;
        redis->tells_again = true;
        redis->untold = false;
    }
    if (redis_acks_busy(redis) && !presence_ids(redis->port.server->presence, &redis->told_to,
                                                CAME_A_TURN, came_again, redis)) {
        redis->tells_again = redis->tells_once_more;
        redis->tells_once_more = false;
        redis->told_to = 0;
    }
    redis_word_flush(redis, &redis->came);
    redis_word_flush(redis, &redis->acked);
}

void redis_acks_leave(struct redis_port *redis) {
    struct fates *fates = &redis->port.server->fates;
    for (struct list *node; (node = list_pop(&redis->lents)) != NULL;) {
        struct redis_lent *lent = container_of(node, struct redis_lent, link);
        if (fate_state(lent->wait.fate) == FATE_ACKED)
            report(redis, lent->run, lent->wait.fate);
        fates_wait_end(fates, &lent->wait);
        lent_free(redis, lent);
    }
}

void redis_acks_fini(struct redis_port *redis) {
    redis_acks_leave(redis);
    for (unsigned i = 0; i < 2; i++)
        if (redis->word_room[i] != NULL)
            memory_put(&redis->port.account, redis->word_room[i], WORD_BYTES_MAX);
    pool_fini(&redis->lent_pool);
}
