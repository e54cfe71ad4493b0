/* redis_rooms.c - what Socket.IO servers ask of this node's sessions, and what it answers; see
 * redis_adapter.h.
 *
 * A request becomes a call of the workers (core/call.h), which walk through the sessions of its
 * rooms, or all of its namespace, write what is asked of them, or carry it out. The port puts an
 * answer together of what they wrote. */
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/base/strbuf.h"
#include "core/base/wall_text.h"
#include "core/call.h"
#include "core/delivery.h"
#include "core/namespaces.h"
#include "core/server.h"
#include "core/worker.h"
#include "ha/adapter/packet.h"
#include "ha/redis/redis_expect.h"
#include "proto/text/json.h"
#include "proto/text/names.h"

/* A request that workers carry out; nothing in it changes meanwhile. */
struct redis_rooms {
    uint32_t block_bytes; /* for the account */
    size_t answer_bytes_max;
    uint8_t namespace;
    bool all;                          /* sessions of the namespace, whatever rooms they are in */
    uint32_t room_count, except_count; /* of names[], in this order; then */
    uint32_t join_count;               /* groups to join or leave */
    struct adapter_request request;    /* its id and uid are: */
    char id[ADAPTER_ID_BYTES_MAX], uid[ADAPTER_UID_MAX];
    struct message_name names[]; /* then their texts */
};

static const char *texts_of(const struct redis_rooms *asked) {
    uint32_t count = asked->room_count + asked->except_count + asked->join_count;
    return (const char *)(asked->names + count);
}

/* --- on each worker --------------------------------------------------------------------------- */

/* Of a part: where it stands, from 1; what found no room, or could not be done. */
enum { MORE_PLACE, MORE_CUT };

/* A session in an answer, beside the names of its rooms. */
#define SESSION_BYTES 1024

/* True: there is room for so much more of the answer. */
static bool answer_room(struct call_part *part, size_t bytes) {
    const struct redis_rooms *asked = part->call->request;
    if (chain_bytes(&part->text) + bytes <= asked->answer_bytes_max &&
        !SHORTAGE(!chain_room(&part->text, bytes)))
        return true;
    part->more[MORE_CUT]++;
    return false;
}

static struct name *membership_name(const struct list *at) {
    return container_of(at, struct membership, session_link)->name;
}

static void rooms_write(struct builder *out, const struct session *session) {
    const struct list *all = &session->memberships;
    for (const struct list *at = all->next; at != all; at = at->next) {
        json_comma(out);
        builder_json(out, span_of(membership_name(at)->text, membership_name(at)->len));
    }
}

static void session_write(struct worker *worker, struct call_part *part, struct session *session,
                          const struct name *own) {
    struct session_look look = {.transport = NULL};
    char address[PEER_ADDRESS_TEXT_MAX], since[WALL_TEXT_BYTES];
    size_t bytes = SESSION_BYTES;
    const struct list *all = &session->memberships;
    for (const struct list *at = all->next; at != all; at = at->next)
        bytes += builder_json_max(membership_name(at)->len) + 1;
    if (session->id != NULL)
        bytes += builder_json_max(session->id->len);
    if (!answer_room(part, bytes))
        return;
    struct builder *out = &part->text.out;
    session->type->look(worker, session, &look);
    net_peer_text(&look.peer, address);
    wall_text(session->since_ms, since);
    builder_byte(out, '{');
    json_key_text(out, "id", span_of(own->text, own->len));
    builder_text(out, ",\"handshake\":{\"headers\":{}");
    json_key_text(out, "time", span_text(since));
    json_key_text(out, "address", span_text(address));
    json_key_u64(out, "issued", session->since_ms);
    builder_text(out, ",\"xdomain\":false,\"secure\":false,\"url\":\"/socket.io/\",\"query\":{},"
                      "\"auth\":{}},\"rooms\":[");
    rooms_write(out, session);
    builder_text(out, "],\"data\":{");
    if (session->id != NULL)
        json_key_text(out, "id", span_of(session->id->text, session->id->len));
    builder_text(out, "}},");
}

static void name_write(struct call_part *part, const struct name *name) {
    if (!answer_room(part, builder_json_max(name->len) + 1))
        return;
    builder_json(&part->text.out, span_of(name->text, name->len));
    builder_byte(&part->text.out, ',');
}

/* Each once; its own was met. */
static void groups_write(const struct worker *worker, struct call_part *part,
                         const struct session *session) {
    const struct list *all = &session->memberships;
    for (const struct list *at = all->next; at != all; at = at->next) {
        struct name *name = membership_name(at);
        if (name->kind == NAME_GROUP && name->seen != worker->calls.stamp) {
            name->seen = worker->calls.stamp;
            name_write(part, name);
        }
    }
}

static void change(struct worker *worker, const struct redis_rooms *asked, struct call_part *part,
                   struct session *session) {
    struct span groups[GROUPS_PER_SESSION_MAX];
    const struct message_name *names = asked->names + asked->room_count + asked->except_count;
    for (uint32_t i = 0; i < asked->join_count; i++)
        groups[i] = span_of(texts_of(asked) + names[i].at, names[i].len);
    if (asked->request.does == ADAPTER_LEAVE)
        directory_leave(worker, session, groups, asked->join_count);
    else if (SHORTAGE(directory_join(worker, session, groups, asked->join_count) != DIRECTORY_DONE))
        part->more[MORE_CUT]++;
}

static bool rooms_visit(struct worker *worker, struct call_part *part, struct session *session) {
    const struct redis_rooms *asked = part->call->request;
    struct name *own = directory_own(session);
    if (own != NULL && own->seen == worker->calls.stamp)
        return true;
    if (own != NULL)
        own->seen = worker->calls.stamp;
    if (delivery_leaves_out(worker, session))
        return true;
    part->count++;
    switch (asked->request.does) {
    case ADAPTER_SOCKETS:
        if (own != NULL)
            name_write(part, own);
        break;
    case ADAPTER_FETCH:
        if (own != NULL)
            session_write(worker, part, session, own);
        break;
    case ADAPTER_ALL_ROOMS:
    case ADAPTER_CLIENT_ROOMS:
        if (own != NULL)
            name_write(part, own);
        groups_write(worker, part, session);
        break;
    case ADAPTER_DISCONNECT:
        session->type->close(worker, session, CLOSE_CLOSED_BY_API);
        break;
    default:
        change(worker, asked, part, session);
        break;
    }
    return true;
}

/* Backwards, so that whoever takes the place of one that has left was met. */
static bool all_walk(struct worker *worker, struct call *call, struct call_part *part) {
    uint64_t *place = &part->more[MORE_PLACE];
    while (*place > 1) {
        if (*place - 1 > worker->sessions.count) {
            *place = worker->sessions.count + UINT64_C(1);
            continue;
        }
        struct session *session = worker->sessions.at[--*place - 1];
        if (session->namespace == call->namespace)
            rooms_visit(worker, part, session);
        if (*place > 1 && slice_over(worker))
            return false;
    }
    return true;
}

static bool names_walk(struct worker *worker, struct call *call, struct call_part *part) {
    const struct redis_rooms *asked = call->request;
    uint64_t *place = &part->more[MORE_PLACE];
    while (*place <= asked->room_count) {
        const struct message_name *room = &asked->names[*place - 1];
        if (!call_walk(worker, part, (enum name_kind)room->kind, call->namespace, room->hash,
                       span_of(texts_of(asked) + room->at, room->len)))
            return false;
        part->begun = false; /* the next one is another walk */
        ++*place;
        if (*place <= asked->room_count && slice_over(worker))
            return false;
    }
    return true;
}

static bool rooms_run(struct worker *worker, struct call *call, struct call_part *part) {
    const struct redis_rooms *asked = call->request;
    const struct message_name *except = asked->names + asked->room_count;
    if (part->more[MORE_PLACE] == 0) {
        part->more[MORE_PLACE] = 1 + (asked->all ? (uint64_t)worker->sessions.count : 0);
        worker->calls.stamp += worker->calls.stamp == UINT32_MAX ? 2 : 1;
    }
    delivery_except_rooms(worker, call->namespace, except, asked->except_count, texts_of(asked),
                          true);
    bool done = asked->all ? all_walk(worker, call, part) : names_walk(worker, call, part);
    delivery_except_rooms(worker, call->namespace, except, asked->except_count, texts_of(asked),
                          false);
    return done;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* Where it is answered: by the sharded adapter to whoever asks alone. */
static size_t channel_write(const struct redis_port *redis, unsigned namespace,
                            const struct adapter_request *request,
                            char name[ADAPTER_CHANNEL_BYTES_MAX]) {
    struct builder out = builder_over(name, ADAPTER_CHANNEL_BYTES_MAX);
    enum adapter_place place = request->uid.len != 0 ? ADAPTER_EVENTS : ADAPTER_RESPONSES;
    adapter_channel_write(&out, place, redis->adapter.key, namespace_name(namespace), request->uid);
    return out.len;
}

static struct adapter_answerer answerer_of(const struct redis_port *redis, unsigned namespace) {
    return (struct adapter_answerer){.uid = span_of(redis->adapter.uid, ADAPTER_UID_BYTES),
                                     .nsp = namespace_name(namespace)};
}

/* Without anything in it. */
static void answer_bare(struct redis_port *redis, unsigned namespace,
                        const struct adapter_request *request) {
    char name[ADAPTER_CHANNEL_BYTES_MAX], text[ADAPTER_ANSWER_BYTES];
    struct builder out = builder_over(text, sizeof(text));
    struct adapter_answerer answerer = answerer_of(redis, namespace);
    size_t len = channel_write(redis, namespace, request, name);
    adapter_answer_begin(request, &answerer, &out);
    adapter_answer_end(request, &out);
    if (!redis_out_plain(redis, span_of(name, len), builder_span(&out)))
        redis_adapter_refuse(redis, ADAPTER_REFUSED_OVERLOADED, span_of(name, len),
                             "an answer finds no room");
}

/* What all parts have written, up to what an answer may have; *cut: there is more. */
static size_t answer_bytes(const struct call *call, bool *cut) {
    const struct redis_rooms *asked = call->request;
    size_t bytes = 0;
    for (unsigned i = 0; i < call->part_count; i++) {
        size_t more = chain_bytes(&call->parts[i].text);
        *cut |= call->parts[i].more[MORE_CUT] != 0;
        if (bytes + more > asked->answer_bytes_max)
            *cut = true;
        else
            bytes += more;
    }
    return bytes;
}

static void parts_put(struct call *call, size_t bytes, struct builder *out) {
    size_t end = out->len + bytes;
    for (unsigned i = 0; i < call->part_count; i++) {
        bool fits = out->len + chain_bytes(&call->parts[i].text) <= end;
        struct chunk *first = chain_take(&call->parts[i].text);
        for (const struct chunk *chunk = first; fits && chunk != NULL; chunk = chunk->next)
            builder_bytes(out, chunk->text, chunk->len);
        chunks_put(first);
    }
    CHECK(out->len == end, "an answer is not as long as was counted");
}

static void answer(struct redis_port *redis, const struct redis_rooms *asked, struct call *call) {
    char name[ADAPTER_CHANNEL_BYTES_MAX], before[ADAPTER_ANSWER_BYTES], after[4];
    struct builder head = builder_over(before, sizeof(before)), out;
    struct builder tail = builder_over(after, sizeof(after));
    struct adapter_answerer answerer = answerer_of(redis, asked->namespace);
    size_t len = channel_write(redis, asked->namespace, &asked->request, name);
    bool cut = false;
    size_t bytes = answer_bytes(call, &cut);
    size_t room = REDIS_COMMAND_BYTES + len + ADAPTER_ANSWER_BYTES + bytes;
    if (bytes == 0 || SHORTAGE(!redis_rest_room(redis, room))) {
        stats_add(&redis->adapter.figures.cut, cut || bytes != 0);
        answer_bare(redis, asked->namespace, &asked->request);
        return;
    }
    out = builder_over(redis->rest, room);
    adapter_answer_begin(&asked->request, &answerer, &head);
    adapter_answer_end(&asked->request, &tail);
    builder_span_add(&out, builder_span(&head));
    parts_put(call, bytes, &out);
    out.len--; /* the last comma */
    builder_span_add(&out, builder_span(&tail));
    CHECK(!out.full && !tail.full, "an answer is longer than it was said to be");
    stats_add(&redis->adapter.figures.cut, cut);
    if (redis_out_plain(redis, span_of(name, len), builder_span(&out)))
        return;
    stats_add(&redis->adapter.figures.cut, !cut);
    answer_bare(redis, asked->namespace, &asked->request);
}

/* What is asked about one session is answered by the server that has it. */
static bool is_answered(const struct redis_rooms *asked, const struct call *call) {
    uint64_t met = 0;
    for (unsigned i = 0; i < call->part_count; i++)
        met += call->parts[i].count;
    return asked->request.is_answered ||
           (asked->request.one.len != 0 && asked->request.id.len != 0 && met != 0);
}

bool redis_rooms_is(const struct call *call) {
    return call->run == rooms_run;
}

void redis_rooms_called(struct redis_port *redis, struct call *call) {
    struct redis_rooms *asked = call->request;
    bool changes = asked->request.does == ADAPTER_JOIN;
    for (unsigned i = 0; changes && i < call->part_count; i++)
        if (call->parts[i].more[MORE_CUT] != 0)
            redis_adapter_refuse(redis, ADAPTER_REFUSED_ROOMS, namespace_name(asked->namespace),
                                 "sessions are in 64 groups already, or there is no memory");
    if (redis->up && is_answered(asked, call))
        answer(redis, asked, call);
    redis->adapter.open--;
    memory_put(&redis->port.account, asked, asked->block_bytes);
    call_end(&redis->port.endpoint, call);
}

/* --- requests --------------------------------------------------------------------------------- */

/* A JSON array of names, or one name: how many there are. */
static uint32_t names_count(struct span json) {
    struct json_cursor cursor;
    struct json_value value;
    uint32_t count = 0;
    if (json.len == 0)
        return 0;
    if (json_open(&cursor, json) != JSON_ARRAY)
        return 1;
    while (json_array_next(&cursor, &value))
        count++;
    return count;
}

/* One name; those that nobody here can have are left out. */
static uint32_t name_take(struct message_name *at, const struct json_value *value,
                          unsigned namespace, bool own_too, struct builder *texts) {
    char room[NAME_BYTES_MAX * 6];
    struct builder scratch = builder_over(room, sizeof(room));
    struct span name;
    if (value->kind != JSON_STRING || json_text(value, &scratch, &name) != NULL ||
        name_check(name) != NULL)
        return 0;
    at[0] = (struct message_name){.hash = name_hash(NAME_GROUP, namespace, name),
                                  .at = (uint32_t)texts->len,
                                  .len = (uint8_t)name.len,
                                  .kind = NAME_GROUP};
    builder_span_add(texts, name);
    if (!own_too || !name_may_be_own(name))
        return 1;
    at[1] = at[0];
    at[1].kind = NAME_OWN;
    at[1].hash = name_hash(NAME_OWN, namespace, name);
    return 2;
}

static uint32_t names_take(struct message_name *at, struct span json, unsigned namespace,
                           bool own_too, struct builder *texts) {
    struct json_cursor cursor;
    struct json_value value;
    struct json_error error;
    uint32_t count = 0;
    if (json.len == 0)
        return 0;
    if (json_open(&cursor, json) != JSON_ARRAY)
        return json_scan(json, &value, &error) ? name_take(at, &value, namespace, own_too, texts)
                                               : 0;
    while (json_array_next(&cursor, &value))
        count += name_take(at + count, &value, namespace, own_too, texts);
    return count;
}

/* What workers need of it. NULL: no memory. */
static struct redis_rooms *rooms_make(struct redis_port *redis, unsigned namespace,
                                      const struct adapter_request *request, uint32_t names,
                                      size_t text_bytes) {
    size_t bytes = sizeof(struct redis_rooms) + names * sizeof(struct message_name) + text_bytes;
    struct redis_rooms *asked = memory_get(&redis->port.account, bytes);
    if (SHORTAGE(asked == NULL))
        return NULL;
    *asked = (struct redis_rooms){.block_bytes = (uint32_t)bytes,
                                  .answer_bytes_max = redis->adapter.answer_bytes_max,
                                  .namespace = (uint8_t) namespace,
                                  .request = *request};
    if (request->id.len != 0)
        memcpy(asked->id, request->id.at, request->id.len);
    asked->request.id = span_of(asked->id, request->id.len);
    if (request->uid.len != 0)
        memcpy(asked->uid, request->uid.at, request->uid.len);
    asked->request.uid = span_of(asked->uid, request->uid.len);
    struct span rooms = request->one.len != 0 ? request->one : request->rooms;
    char *texts = (char *)(asked->names + names);
    struct builder out = builder_over(texts, text_bytes);
    asked->all = names_count(rooms) == 0;
    asked->room_count = names_take(asked->names, rooms, namespace, true, &out);
    if (request->one.len != 0) { /* a session's own name, which is the second of the two */
        asked->room_count = asked->room_count == 2;
        asked->names[0] = asked->names[1];
    }
    struct message_name *at = asked->names + asked->room_count;
    asked->except_count = names_take(at, request->except, namespace, true, &out);
    at += asked->except_count;
    asked->join_count = names_take(at, request->joins, namespace, false, &out);
    CHECK(!out.full, "names of a request are longer than it");
    /* Their texts stand behind the last of them. */
    memmove((char *)(uintptr_t)texts_of(asked), texts, out.len);
    return asked;
}

/* False: no memory, or too many are under way. */
static bool rooms_begin(struct redis_port *redis, unsigned namespace,
                        const struct adapter_request *request) {
    static const struct call_nodes nodes = {.reach = CALL_ALL};
    uint32_t rooms = request->one.len != 0 ? 1 : names_count(request->rooms);
    uint32_t excepts = names_count(request->except), joins = names_count(request->joins);
    if (rooms > ADDRESSES_PER_MESSAGE_MAX || excepts > ADDRESSES_PER_MESSAGE_MAX ||
        joins > GROUPS_PER_SESSION_MAX) {
        redis_adapter_refuse(redis, ADAPTER_REFUSED_ROOMS, namespace_name(namespace),
                             "a request names too many rooms");
        if (request->is_answered)
            answer_bare(redis, namespace, request);
        return true;
    }
    if (redis->leaves) { /* its sessions are as good as gone, and nobody waits for more calls */
        if (request->is_answered)
            answer_bare(redis, namespace, request);
        return true;
    }
    if (SHORTAGE(redis->adapter.open >= ROOMS_CALLS_MAX))
        return false;
    size_t bytes = request->one.len + request->rooms.len + request->except.len + request->joins.len;
    struct redis_rooms *asked =
        rooms_make(redis, namespace, request, 2 * (rooms + excepts) + joins, bytes);
    if (SHORTAGE(asked == NULL))
        return false;
    struct call *call = call_get(&redis->port.endpoint, &nodes, false);
    if (!SHORTAGE(call == NULL)) {
        call->namespace = (uint8_t) namespace;
        call->run = rooms_run;
        call->visit = rooms_visit;
        call->request = asked;
        if (!SHORTAGE(!call_start(&redis->port.endpoint, call))) {
            redis->adapter.open++;
            return true;
        }
    }
    memory_put(&redis->port.account, asked, asked->block_bytes);
    return false;
}

bool redis_rooms_request(struct redis_port *redis, unsigned namespace, const char *wrong,
                         const struct adapter_request *request) {
    stats_add(&redis->adapter.figures.requests, !redis->held);
    if (wrong != NULL)
        redis_adapter_refuse(redis, ADAPTER_REFUSED_REQUEST, namespace_name(namespace), wrong);
    else if (request->does == ADAPTER_UNKNOWN)
        redis_adapter_refuse(redis, ADAPTER_REFUSED_UNKNOWN, namespace_name(namespace),
                             "no request that is known");
    else if (request->does == ADAPTER_BROADCAST && !redis_adapter_asked(redis, namespace, request))
        return false;
    else if (request->does != ADAPTER_BROADCAST && request->does != ADAPTER_SERVER_EMIT)
        return rooms_begin(redis, namespace, request);
    if (request->is_answered)
        answer_bare(redis, namespace, request);
    return true;
}

bool redis_rooms_asked(struct redis_port *redis, unsigned namespace, struct span text) {
    char id[ADAPTER_ID_BYTES_MAX];
    struct adapter_request request;
    const char *wrong = adapter_request_read(text, id, &request);
    return redis_rooms_request(redis, namespace, wrong, &request);
}

void redis_rooms_let(struct redis_port *redis, unsigned namespace,
                     const struct adapter_request *request) {
    stats_add(&redis->adapter.figures.cut, 1);
    answer_bare(redis, namespace, request);
}

void redis_rooms_given_up(struct redis_port *redis, unsigned namespace, struct span text) {
    char id[ADAPTER_ID_BYTES_MAX];
    struct adapter_request request;
    if (adapter_request_read(text, id, &request) == NULL && request.is_answered)
        redis_rooms_let(redis, namespace, &request);
}
