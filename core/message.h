/* message.h - the immutable envelope and payload, and a worker's own view of it.
 *
 * A `struct message` is one block: what its keepers have of it, header, names, texts, payload. It
 * is opened by the endpoint that takes it in, filled, sealed, and from then on read by any thread.
 * `holders` counts threads and mails in flight, never recipients; when the last holder lets go, the
 * block travels home to the endpoint whose memory it is (message_release).
 *
 * A `struct parcel` is what one worker makes of a message it delivers: a plain count of the outbox
 * pieces and batches that refer to it, and each encoded frame, made once for all recipients of that
 * protocol.
 *
 * Threads: message: any after the seal; parcel: its worker. Limits: payload and lists are bounded
 * before they come here (--max-message, ADDRESSES_PER_MESSAGE_MAX); the block is accounted
 * (memory.h). */
#ifndef RINGPOST_CORE_MESSAGE_H
#define RINGPOST_CORE_MESSAGE_H

#include "core/base/span.h"
#include "core/limits.h"

#include <stdatomic.h>
#include <stdbool.h>

struct endpoint;
struct worker;
struct builder;

/* OWN: a session's own name, which it has alone and is told by its protocol (a Socket.IO id). */
enum name_kind { NAME_ID, NAME_GROUP, NAME_OWN };
/* ACK: kept until it is acknowledged. */
enum message_class { CLASS_DEFAULT, CLASS_VOLATILE, CLASS_ACK, CLASSES };

/* One address, within the message's block. */
struct message_name {
    uint64_t hash; /* name_hash(kind, namespace, text) */
    uint32_t at;   /* offset in bytes[] */
    uint8_t len;
    uint8_t kind; /* enum name_kind */
};

/* Of each name that may be one session's own, behind that of a namespace and `#` if any. */
#define NAME_OWN_BYTES 20

/* What goes into a message; spans point anywhere and are copied. The lists hold no repeats. */
struct message_parts {
    struct span id;         /* empty: the node makes one */
    struct span event;      /* UTF-8, decoded */
    struct span group_json; /* the `group` field as it goes to clients; empty: not addressed so */
    const struct span *to;
    const struct span *groups;
    const struct span *except;
    uint16_t to_count, group_count, except_count;
    bool broadcast;
    uint8_t class;     /* enum message_class */
    uint8_t namespace; /* see limits.h */
    bool is_bytes;     /* the payload is bytes, not JSON */
    bool rooms;      /* `groups` and `except` are rooms: groups, and sessions by their own names */
    bool lent;       /* another node keeps it, and has lent it to this one (keeper.h) */
    bool unstored;   /* whoever brought it keeps it as well: this node's store (store.h) need not */
    bool again;      /* of either: it may have been written to a client before */
    uint64_t lender; /* and who that is: a hash */
    uint32_t breaks_grow; /* bytes that escaping line breaks adds to it, see proto/text/json.h */
    uint64_t ttl_ns;
    size_t payload_max; /* room for the payload */
};

struct message {
    _Atomic uint32_t holders;
    uint8_t owner; /* endpoint whose memory this is */
    uint8_t id_len;
    uint16_t to_count, group_count, except_count; /* names[]: to, then groups (with sessions' own
                                                     names), then except */
    uint16_t event_len;
    uint8_t class : 2;     /* enum message_class */
    uint8_t namespace : 4; /* of all its addresses */
    bool lent : 1, unstored : 1, again : 1;
    bool broadcast : 1;
    bool is_bytes : 1;
    bool excepts_rooms : 1; /* `except` has groups and sessions' own names, not ids */
    uint32_t group_json_len;
    uint32_t payload_len;
    uint32_t breaks_grow; /* bytes more where line breaks are escaped (U+0085, U+2028, U+2029) */
    uint32_t block_bytes; /* of the whole block, for the account */
    uint64_t accepted_ns; /* monotonic */
    uint64_t expires_ns;  /* monotonic; from then on it is not handed to a socket any more */
    union {
        struct message *next; /* on the way home */
        uint64_t serial;      /* in the store (store.h), in the order accepted; or the lender */
    };
    struct fate *fate; /* of one that is to be acknowledged (fates.h); else NULL */
    struct message_name names[];
    /* then bytes[]: the texts of the names, id, event, group_json, payload, in that order. In front
     * of one that is to be acknowledged stand a struct kept for each of `to`, the first one last.
     */
};

_Static_assert(CLASSES <= 1 << 2 && NAMESPACES_MAX <= 1 << 4, "they have room");
_Static_assert(ENDPOINTS_MAX <= UINT8_MAX, "the owner has room");

#define MESSAGE_ID_MADE_BYTES 26

/* Opens a message in the endpoint's memory, with one holder: the caller. NULL: the memory ceiling.
 */
struct message *message_open(struct endpoint *endpoint, const struct message_parts *parts);
/* The room for the payload, before the seal. */
char *message_payload_room(struct message *message);
/* From here on it is immutable. */
void message_seal(struct message *message, size_t payload_len);
/* One more thread or mail holds it. */
void message_hold(struct message *message, uint32_t holders);
/* The caller's hold ends. On another endpoint than the owner the last one sends the block home. */
void message_release(struct endpoint *endpoint, struct message *message);
/* Takes back the blocks that other endpoints sent home (mail RETURN). */
void message_take_home(struct endpoint *endpoint, struct message *chain);

struct span message_name_text(const struct message *message, const struct message_name *name);
/* Where the texts of its names begin. */
const char *message_texts(const struct message *message);
struct span message_id(const struct message *message);
struct span message_event(const struct message *message);
struct span message_group_json(const struct message *message);
struct span message_payload(const struct message *message);

static inline const struct message_name *message_to(const struct message *m) {
    return m->names;
}
static inline const struct message_name *message_groups(const struct message *m) {
    return m->names + m->to_count;
}
static inline const struct message_name *message_except(const struct message *m) {
    return m->names + m->to_count + m->group_count;
}

/* What the keeper of an id (keeper.h) has of the message: the one part of the block that changes
 * after the seal, by that worker alone. Only of CLASS_ACK. */
struct kept;
struct kept *message_kept(struct message *message, uint16_t address);

/* When it was accepted, and from when on it is not handed to a socket any more, by the wall clock:
 * of one that has a fate. */
uint64_t message_accepted_ms(const struct message *message);
uint64_t message_expires_ms(const struct message *message);

/* The first so many of names[]. */
static inline uint32_t message_address_count(const struct message *m) {
    return (uint32_t)m->to_count + m->group_count;
}

/* Is it kept by the keepers of its ids? (One that is to be acknowledged and has groups alone, which
 * no producer can ask for, is delivered as others are.) */
static inline bool message_is_kept(const struct message *m) {
    return m->class == CLASS_ACK && m->to_count != 0;
}

/* Does the node's store (store.h), where there is one, keep it? */
static inline bool message_is_stored(const struct message *m) {
    return !m->lent && !m->unstored;
}

/* Is it addressed to one client id and nothing else? */
static inline bool message_is_unicast(const struct message *m) {
    return m->to_count == 1 && m->group_count == 0;
}

/* May a room of that name be a session's own? */
static inline bool name_may_be_own(struct span room) {
    return room.len == NAME_OWN_BYTES ||
           (room.len > NAME_OWN_BYTES && room.at[room.len - NAME_OWN_BYTES - 1] == '#');
}

/* Has any session of this node the name? */
bool name_is_held(const struct endpoint *endpoint, enum name_kind kind, unsigned namespace,
                  struct span name);
/* The hash of a name, the same on every worker; each kind is a space of its own, and so is each
 * namespace. */
uint64_t name_hash(enum name_kind kind, unsigned namespace, struct span text);

/* Bytes within a frame that are of one copy alone, such as an acknowledgement id: so many, whatever
 * they say, so that a length in front of them is the same for all. */
#define MARK_BYTES 10

/* How one protocol writes a message: head, payload, tail. Pure functions; in proto/. One that
 * writes it in several ways (compressed, for an older version, as a repeat) has an encoding for
 * each, which differ in `variant`. */
struct encoding {
    const char *name; /* of its counter: letters and _ */
    unsigned variant; /* for its own functions */
    /* Its place in server_parts, given by server_init; of a frame in a parcel. */
    unsigned index;
    /* How it writes a message that may have been written before; NULL: in the same way. */
    const struct encoding *again;
    bool is_again; /* it is such a one */
    /* At most so many bytes are written by head and tail together. */
    size_t (*bound)(const struct encoding *encoding, const struct message *message);
    /* Writes what precedes the payload; false: the payload is already in it (in another form) and
     * must not follow as it is. */
    bool (*head)(const struct encoding *encoding, const struct message *message,
                 struct builder *out);
    void (*tail)(const struct encoding *encoding, const struct message *message,
                 struct builder *out);
    /* Where in the head stand MARK_BYTES that each copy has of its own (session_type.mark); NULL:
     * it has none. */
    uint32_t (*mark_at)(const struct encoding *encoding, const struct message *message);
};

#define ENCODINGS_MAX 48
/* From here on the payload is not copied into the frame: gathering three runs is cheaper. */
#define FRAME_COPY_BYTES_MAX 4096

/* The bytes of a message in one encoding: one run, or head and tail around the message's own
 * payload. */
struct frame {
    struct frame *next;   /* of the parcel, in another encoding */
    uint32_t block_bytes; /* of this block, for the account */
    uint32_t total_bytes; /* on the wire */
    uint32_t head_bytes;
    uint32_t tail_bytes;
    uint32_t mark_at; /* offset in bytes[]; UINT32_MAX: every copy is the same */
    bool around;      /* the payload is not copied: head, message payload, tail */
    uint8_t encoding; /* its index */
    char bytes[];
};

struct parcel {
    struct message *message; /* one hold */
    uint32_t refs;           /* pieces, plus whoever is delivering right now */
    /* In the order in which they were made. There are as many as its recipients here have ways of
     * being written to, which is one for most. */
    struct frame *frames;
};

/* A view on a message; takes over one hold of the caller's. One ref: the caller. NULL: no memory,
 * and the hold is still the caller's. */
struct parcel *parcel_open(struct worker *worker, struct message *message);
/* The frame in the encoding with that index; NULL: it was not made. */
static inline struct frame *parcel_find(const struct parcel *parcel, unsigned encoding) {
    struct frame *frame = parcel->frames;
    while (frame != NULL && frame->encoding != encoding)
        frame = frame->next;
    return frame;
}
/* The frame, made at first use; NULL: no memory. */
const struct frame *parcel_frame(struct worker *worker, struct parcel *parcel,
                                 const struct encoding *encoding);
static inline void parcel_ref(struct parcel *parcel) {
    parcel->refs++;
}
static inline bool frame_is_marked(const struct frame *frame) {
    return frame->mark_at != UINT32_MAX;
}
void parcel_unref(struct worker *worker, struct parcel *parcel);

#endif
