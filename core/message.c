#include "core/message.h"

#include "core/base/builder.h"
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/hash.h"
#include "core/base/rand.h"
#include "core/base/shortage.h"
#include "core/fates.h"
#include "core/holders.h"
#include "core/keeper.h"
#include "core/server.h"
#include "core/worker.h"

#include <stdlib.h>

#define FRAME_FIT_BYTES_MIN 4096

static const struct message_name *names_end(const struct message *message) {
    return message->names + message_address_count(message) + message->except_count;
}

static uint16_t kept_count(uint8_t class, uint16_t to_count) {
    return class == CLASS_ACK ? to_count : 0;
}

struct kept *message_kept(struct message *message, uint16_t address) {
    CHECK(address < kept_count(message->class, message->to_count));
    return (struct kept *)(void *)message - (address + 1);
}

static void *message_block(struct message *message) {
    return (struct kept *)(void *)message - kept_count(message->class, message->to_count);
}

static char *message_bytes(const struct message *message) {
    return (char *)(uintptr_t)names_end(message);
}

uint64_t name_hash(enum name_kind kind, unsigned namespace, struct span text) {
    /* Each kind is a space of its own; bits of the hash keep them apart. What namespaces add
     * spreads over all bits. */
    static const uint64_t kinds[] = {[NAME_ID] = 0,
                                     [NAME_GROUP] = UINT64_C(0x8000000080000000),
                                     [NAME_OWN] = UINT64_C(0x4000000040000000)};
    uint64_t hash = hash64(text) ^ namespace * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ kinds[kind];
}

/* The wall time as far as ids show it: it follows the clock forward, at once; when the clock is set
 * back it goes on from where it was. */
static uint64_t id_time_ms(const struct endpoint *endpoint) {
    _Atomic uint64_t *shared = &endpoint->server->id_offset_ms;
    uint64_t monotonic_ms = endpoint->now_ns / NS_PER_MS;
    uint64_t known = atomic_load_explicit(shared, memory_order_relaxed);
    while (known + monotonic_ms < endpoint->now_wall_ms &&
           !atomic_compare_exchange_weak_explicit(shared, &known,
                                                  endpoint->now_wall_ms - monotonic_ms,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
    return monotonic_ms + atomic_load_explicit(shared, memory_order_relaxed);
}

/* Sortable by time of acceptance, unique by worker and randomness: 10 hex digits of milliseconds
 * would do until the year 36812; 12 digits, then 14 of randomness. */
static void message_id_make(struct endpoint *endpoint, char id[MESSAGE_ID_MADE_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    uint64_t time = id_time_ms(endpoint), random = endpoint->message_serial++;
    for (int i = 11; i >= 0; i--, time >>= 4)
        id[i] = digits[time & 15];
    for (int i = 25; i >= 12; i--, random >>= 4)
        id[i] = digits[random & 15];
}

static uint32_t texts_bytes(const struct span *names, uint16_t count) {
    size_t total = 0;
    for (uint16_t i = 0; i < count; i++)
        total += names[i].len;
    return (uint32_t)total;
}

static struct message_name *names_write(struct message_name *at, const struct span *names,
                                        uint16_t count, enum name_kind kind, unsigned namespace,
                                        struct builder *out) {
    for (uint16_t i = 0; i < count; i++, at++) {
        *at = (struct message_name){.hash = name_hash(kind, namespace, names[i]),
                                    .at = (uint32_t)out->len,
                                    .len = (uint8_t)names[i].len,
                                    .kind = (uint8_t)kind};
        builder_span_add(out, names[i]);
    }
    return at;
}

/* What the rooms of a message stand for here. */
struct rooms {
    uint16_t group_count, except_count; /* of names */
    uint32_t text_bytes;
    uint8_t groups[ADDRESSES_PER_MESSAGE_MAX], except[ADDRESSES_PER_MESSAGE_MAX];
};

enum { ROOM_GROUP = 1, ROOM_OWN = 2 };

bool name_is_held(const struct endpoint *endpoint, enum name_kind kind, unsigned namespace,
                  struct span name) {
    uint32_t sessions = 0;
    return holders_find(endpoint->server->holders, name_hash(kind, namespace, name), &sessions) !=
           0;
}

/* A room is a group, a session's own name, or both. `all`: one that nobody is in is a group.
 * Returns how many names that makes. */
static uint16_t rooms_look(const struct endpoint *endpoint, unsigned namespace,
                           const struct span *names, uint16_t count, bool all, uint8_t *kinds,
                           uint32_t *text_bytes) {
    uint16_t total = 0;
    for (uint16_t i = 0; i < count; i++) {
        bool own =
            name_may_be_own(names[i]) && name_is_held(endpoint, NAME_OWN, namespace, names[i]);
        bool group = (all && !own) || name_is_held(endpoint, NAME_GROUP, namespace, names[i]);
        kinds[i] = (uint8_t)((group ? ROOM_GROUP : 0) | (own ? ROOM_OWN : 0));
        total = (uint16_t)(total + group + own);
        *text_bytes += (uint32_t)((size_t)(group + own) * names[i].len);
    }
    return total;
}

static struct message_name *rooms_write(struct message_name *at, const struct span *names,
                                        uint16_t count, const uint8_t *kinds, unsigned namespace,
                                        struct builder *out) {
    for (uint16_t i = 0; i < count; i++) {
        if ((kinds[i] & ROOM_GROUP) != 0)
            at = names_write(at, &names[i], 1, NAME_GROUP, namespace, out);
        if ((kinds[i] & ROOM_OWN) != 0)
            at = names_write(at, &names[i], 1, NAME_OWN, namespace, out);
    }
    return at;
}

static void rooms_of(const struct endpoint *endpoint, const struct message_parts *parts,
                     struct rooms *rooms) {
    rooms->text_bytes = 0;
    if (!parts->rooms) {
        rooms->group_count = parts->group_count;
        rooms->except_count = parts->except_count;
        rooms->text_bytes = texts_bytes(parts->groups, parts->group_count) +
                            texts_bytes(parts->except, parts->except_count);
        return;
    }
    rooms->group_count = rooms_look(endpoint, parts->namespace, parts->groups, parts->group_count,
                                    true, rooms->groups, &rooms->text_bytes);
    rooms->except_count = rooms_look(endpoint, parts->namespace, parts->except, parts->except_count,
                                     false, rooms->except, &rooms->text_bytes);
}

struct message *message_open(struct endpoint *endpoint, const struct message_parts *parts) {
    struct rooms rooms;
    rooms_of(endpoint, parts, &rooms);
    uint32_t names = (uint32_t)parts->to_count + rooms.group_count + rooms.except_count;
    size_t id_len = parts->id.len != 0 ? parts->id.len : MESSAGE_ID_MADE_BYTES;
    size_t texts = texts_bytes(parts->to, parts->to_count) + rooms.text_bytes;
    size_t before_payload = texts + id_len + parts->event.len + parts->group_json.len;
    uint16_t kept = kept_count(parts->class, parts->to_count);
    size_t bytes = sizeof(struct message) + names * sizeof(struct message_name) +
                   kept * sizeof(struct kept) + before_payload + parts->payload_max;
    CHECK(bytes <= UINT32_MAX, "a message of %zu bytes", bytes);
    if (SHORTAGE(!account_admits(&endpoint->account)))
        return NULL;
    struct kept *block = memory_get(&endpoint->account, bytes);
    if (SHORTAGE(block == NULL))
        return NULL;
    struct message *message = (struct message *)(void *)(block + kept);
    *message = (struct message){
        .owner = (uint8_t)endpoint->index,
        .broadcast = parts->broadcast,
        .is_bytes = parts->is_bytes,
        .lent = parts->lent,
        .unstored = parts->unstored,
        .again = parts->again,
        .excepts_rooms = parts->rooms && rooms.except_count != 0,
        .serial = parts->lender,
        .class = parts->class & 3u,
        .namespace = parts->namespace & 15u,
        .id_len = (uint8_t)id_len,
        .to_count = parts->to_count,
        .group_count = rooms.group_count,
        .except_count = rooms.except_count,
        .event_len = (uint16_t)parts->event.len,
        .breaks_grow = parts->breaks_grow,
        .group_json_len = (uint32_t)parts->group_json.len,
        .block_bytes = (uint32_t)bytes,
        .accepted_ns = endpoint->now_ns,
        .expires_ns = endpoint->now_ns + parts->ttl_ns,
    };
    atomic_init(&message->holders, 1);
    struct builder out = builder_over(message_bytes(message), before_payload);
    struct message_name *name = message->names;
    name = names_write(name, parts->to, parts->to_count, NAME_ID, parts->namespace, &out);
    if (parts->rooms) {
        name = rooms_write(name, parts->groups, parts->group_count, rooms.groups, parts->namespace,
                           &out);
        rooms_write(name, parts->except, parts->except_count, rooms.except, parts->namespace, &out);
    } else {
        name = names_write(name, parts->groups, parts->group_count, NAME_GROUP, parts->namespace,
                           &out);
        names_write(name, parts->except, parts->except_count, NAME_ID, parts->namespace, &out);
    }
    if (parts->id.len != 0) {
        builder_span_add(&out, parts->id);
    } else {
        char id[MESSAGE_ID_MADE_BYTES];
        message_id_make(endpoint, id);
        builder_bytes(&out, id, sizeof(id));
    }
    builder_span_add(&out, parts->event);
    builder_span_add(&out, parts->group_json);
    CHECK(!out.full && out.len == before_payload);
    for (uint16_t i = 0; i < kept; i++) {
        block[i].state = KEPT_NONE;
        block[i].address = (kept - 1u - i) & KEPT_ADDRESS_MASK;
    }
    return message;
}

char *message_payload_room(struct message *message) {
    return (char *)(uintptr_t)message_payload(message).at;
}

void message_seal(struct message *message, size_t payload_len) {
    message->payload_len = (uint32_t)payload_len;
}

void message_hold(struct message *message, uint32_t holders) {
    atomic_fetch_add_explicit(&message->holders, holders, memory_order_relaxed);
}

void message_release(struct endpoint *endpoint, struct message *message) {
    /* The last holder needs no atomic subtraction: nobody else can add or take any more. */
    if (atomic_load_explicit(&message->holders, memory_order_acquire) != 1 &&
        atomic_fetch_sub_explicit(&message->holders, 1, memory_order_acq_rel) != 1)
        return;
    if (message->owner == endpoint->index) {
        memory_put(&endpoint->account, message_block(message), message->block_bytes);
        return;
    }
    if (endpoint->homebound_set == 0)
        endpoint->homebound_ns = endpoint->now_ns;
    message->next = endpoint->homebound[message->owner];
    endpoint->homebound[message->owner] = message;
    endpoint->homebound_set |= UINT64_C(1) << message->owner;
}

void message_take_home(struct endpoint *endpoint, struct message *chain) {
    while (chain != NULL) {
        struct message *next = chain->next;
        CHECK(chain->owner == endpoint->index, "a message of endpoint %u came to %u", chain->owner,
              endpoint->index);
        memory_put(&endpoint->account, message_block(chain), chain->block_bytes);
        chain = next;
    }
}

const char *message_texts(const struct message *message) {
    return message_bytes(message);
}

struct span message_name_text(const struct message *message, const struct message_name *name) {
    return span_of(message_bytes(message) + name->at, name->len);
}

/* Behind the texts of the names. */
static const char *message_id_at(const struct message *message) {
    const struct message_name *end = names_end(message);
    return message_bytes(message) + (end == message->names ? 0 : end[-1].at + end[-1].len);
}

struct span message_id(const struct message *message) {
    return span_of(message_id_at(message), message->id_len);
}

struct span message_event(const struct message *message) {
    return span_of(message_id_at(message) + message->id_len, message->event_len);
}

struct span message_group_json(const struct message *message) {
    return span_of(message_id_at(message) + message->id_len + message->event_len,
                   message->group_json_len);
}

struct span message_payload(const struct message *message) {
    return span_of(message_id_at(message) + message->id_len + message->event_len +
                       message->group_json_len,
                   message->payload_len);
}

struct parcel *parcel_open(struct worker *worker, struct message *message) {
    struct parcel *parcel = pool_get(&worker->delivery.parcels);
    if (SHORTAGE(parcel == NULL))
        return NULL;
    account_force(&worker->account, sizeof(*parcel));
    *parcel = (struct parcel){.message = message, .refs = 1};
    return parcel;
}

/* A frame that came out much shorter than its bound, such as a compressed one, waits in a block of
 * its own size. */
static struct frame *frame_fit(struct worker *worker, struct frame *frame, size_t used) {
    if (frame->block_bytes < FRAME_FIT_BYTES_MIN || frame->block_bytes / 2 < used)
        return frame;
    struct frame *fit = memory_get(&worker->account, used);
    if (SHORTAGE(fit == NULL))
        return frame;
    memcpy(fit, frame, used);
    memory_put(&worker->account, frame, frame->block_bytes);
    fit->block_bytes = (uint32_t)used;
    return fit;
}

const struct frame *parcel_frame(struct worker *worker, struct parcel *parcel,
                                 const struct encoding *encoding) {
    struct frame *frame = parcel_find(parcel, encoding->index);
    if (frame != NULL)
        return frame;
    const struct message *message = parcel->message;
    bool copied = message->payload_len <= FRAME_COPY_BYTES_MAX;
    size_t room = encoding->bound(encoding, message) + (copied ? message->payload_len : 0);
    size_t bytes = sizeof(struct frame) + room;
    frame = memory_get(&worker->account, bytes);
    if (SHORTAGE(frame == NULL))
        return NULL;
    struct builder out = builder_over(frame->bytes, room);
    bool follows = encoding->head(encoding, message, &out);
    frame->head_bytes = (uint32_t)out.len;
    frame->around = follows && !copied;
    frame->mark_at = encoding->mark_at == NULL ? UINT32_MAX : encoding->mark_at(encoding, message);
    CHECK(!frame_is_marked(frame) || frame->mark_at + MARK_BYTES <= frame->head_bytes,
          "a mark that is not in the head");
    if (follows && copied)
        builder_span_add(&out, message_payload(message));
    size_t before_tail = out.len;
    encoding->tail(encoding, message, &out);
    CHECK(!out.full, "an encoding wrote more than its bound");
    frame->tail_bytes = (uint32_t)(out.len - before_tail);
    frame->total_bytes = (uint32_t)(out.len + (frame->around ? message->payload_len : 0));
    frame->block_bytes = (uint32_t)bytes;
    frame = frame_fit(worker, frame, sizeof(struct frame) + out.len);
    frame->encoding = (uint8_t)encoding->index;
    frame->next = NULL;
    struct frame **end = &parcel->frames;
    while (*end != NULL)
        end = &(*end)->next;
    *end = frame;
    stats_add(&worker->stats.encoded[encoding->index], 1);
    return frame;
}

void parcel_unref(struct worker *worker, struct parcel *parcel) {
    CHECK(parcel->refs > 0, "a parcel was let go too often");
    if (--parcel->refs != 0)
        return;
    for (struct frame *frame = parcel->frames, *next; frame != NULL; frame = next) {
        next = frame->next;
        memory_put(&worker->account, frame, frame->block_bytes);
    }
    message_release(&worker->endpoint, parcel->message);
    pool_put(&worker->delivery.parcels, parcel);
    account_give(&worker->account, sizeof(*parcel));
}

uint64_t message_accepted_ms(const struct message *message) {
    return fate_accepted_ms(message->fate);
}

uint64_t message_expires_ms(const struct message *message) {
    return message_accepted_ms(message) + (message->expires_ns - message->accepted_ns) / NS_PER_MS;
}
