/* envelope.h - one message as a producer gives it: its fields, checked, ready to become a message.
 *
 * Four ways lead here: a JSON object (an HTTP body, an NDJSON line, an element of an array, a
 * client's `send`), the control line of counted framing with its payload apart, the path and query
 * of an HTTP request with its body apart, and what a queue delivers with its headers
 * (ingest/amqp/amqp_form.h). All fill the same struct and obey the same rules.
 *
 * A text that is not JSON is BAD_JSON, whatever else is wrong with it, unless it has more than
 * ENVELOPE_REREAD_BYTES; otherwise the first thing wrong in the order written is told. Unknown and
 * repeated fields are refused by name. A field that is null counts as absent, but for `data`, which
 * is null then.
 *
 * Threads: any (pure functions). Owns nothing: spans point into the text, or into the room when a
 * string had escapes; both must live until the message is made. Limits: limits.h; the room is
 * enough for whatever passes the checks. Never allocates. */
#ifndef RINGPOST_INGEST_GATE_ENVELOPE_H
#define RINGPOST_INGEST_GATE_ENVELOPE_H

#include "core/base/builder.h"
#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/message.h"
#include "proto/text/complaint.h"
#include "proto/text/names.h"

struct json_value;

#define TTL_DEFAULT_NS (60 * NS_PER_S)
#define TTL_ACK_DEFAULT_NS (600 * NS_PER_S)
#define TTL_NS_MAX (604800 * NS_PER_S)

/* The text of one message may have so many bytes that are no blanks: its data, and three lists
 * whose names are full and written as escapes. A longer one is not looked at, so that no message
 * costs more of a turn. */
static inline size_t envelope_text_bytes_max(size_t max_message_bytes) {
    return max_message_bytes + (size_t)3 * ADDRESSES_PER_MESSAGE_MAX * (3 * NAME_BYTES_MAX + 4);
}

/* A text in which something is wrong is read once more, to the end, if it is no longer than this:
 * one that costs a turn much is read once. */
#define ENVELOPE_REREAD_BYTES ((size_t)256 * 1024)

/* Enough for the decoded names of three lists, for id and event, and for what is being looked at.
 * */
#define ENVELOPE_TEXT_BYTES ((3 * ADDRESSES_PER_MESSAGE_MAX + 8) * NAME_BYTES_MAX)
/* Enough for a list of groups in which every byte is escaped: quotes and a comma each, brackets. */
#define ENVELOPE_GROUP_BYTES (ADDRESSES_PER_MESSAGE_MAX * (6 * NAME_BYTES_MAX + 3) + 1)

/* Where an envelope keeps its lists; about 1.2 MB, of which only what is used is touched. One for
 * each worker is enough: it serves one envelope at a time. Need not be zeroed. */
struct envelope_scratch {
    struct span to[ADDRESSES_PER_MESSAGE_MAX];
    struct span groups[ADDRESSES_PER_MESSAGE_MAX];
    struct span except[ADDRESSES_PER_MESSAGE_MAX];
    char text[ENVELOPE_TEXT_BYTES];
    char group[ENVELOPE_GROUP_BYTES];
};

enum payload_kind {
    PAYLOAD_JSON,  /* a valid JSON value; line breaks between its tokens are left out */
    PAYLOAD_TEXT,  /* UTF-8 that becomes a JSON string */
    PAYLOAD_BYTES, /* bytes, handed on as they are */
};

struct envelope {
    /* For message_open. Lists are sorted and without repeats; id is empty if the producer gave
     * none; payload_max is enough for envelope_payload. */
    struct message_parts parts;
    struct span data;       /* as it came */
    enum payload_kind kind; /* what `data` is */
    struct span ref;        /* ENVELOPE_LINE: as written, to be echoed; empty: none */
    struct span node;       /* ENVELOPE_NODE: the object; empty: none */
    /* Its own: */
    struct envelope_scratch *room;
    struct name_list to, groups, except;
    struct builder texts; /* over room->text */
    struct builder group; /* over room->group */
    uint32_t seen;        /* fields that were given, a bit each */
};

enum envelope_form {
    ENVELOPE_MESSAGE, /* the fields of a message, and nothing else */
    ENVELOPE_LINE,    /* a client's line: `type` (not looked at) and `ref` as well */
    ENVELOPE_COUNTED, /* counted framing: without `data` */
    ENVELOPE_NODE,    /* from Redis: an object `node` as well, which is not looked into; the caller
                         may give an address before envelope_finish, which is not called */
    ENVELOPE_QUEUE,   /* from a broker: as ENVELOPE_MESSAGE, but id, event and ttl may stand in its
                         properties: envelope_finish is the caller's, and until then those that
                         were not given are empty and 0 */
};

/* Reads one object. False: `complaint`; envelope->ref is there if it could be made out.
 * `max_message_bytes` bounds `data`, its dropped line breaks not counted. With ENVELOPE_COUNTED the
 * caller then gives the payload by envelope_set_data; otherwise the envelope is complete. */
bool envelope_parse(struct envelope *envelope, struct envelope_scratch *room,
                    enum envelope_form form, struct span text, size_t max_message_bytes,
                    struct complaint *complaint);

/* By hand, for a message that is written as path, query and body: init, any of the setters in any
 * order, the data, finish. The spans must be decoded; they are kept. False: `complaint`. */
void envelope_init(struct envelope *envelope, struct envelope_scratch *room);
/* Sets a field by its name: id, to, event, volatile, ack (1 0 true false), ttl (a JSON number),
 * namespace, or adds to group or except, which alone may come again; a `to` of the path counts.
 * Another name is refused. */
bool envelope_set(struct envelope *envelope, struct span field, struct span value,
                  struct complaint *complaint);
/* One more name of `to`, of which there may be several. */
bool envelope_add_to(struct envelope *envelope, struct span name, struct complaint *complaint);
void envelope_set_broadcast(struct envelope *envelope);
/* Was `broadcast` given, if only as false? */
bool envelope_has_broadcast(const struct envelope *envelope);
/* Is there nothing but an object `node`? */
bool envelope_is_node_alone(const struct envelope *envelope);
/* Is everything there, and does it go together? */
bool envelope_finish(struct envelope *envelope, struct complaint *complaint);

/* The payload. JSON is checked here: BAD_JSON; TEXT must be UTF-8: BAD_MESSAGE; over the limit
 * (JSON without line breaks, TEXT as the JSON string it becomes, in both U+0085, U+2028 and U+2029
 * as six bytes; BYTES by their base64 length): TOO_LARGE. */
bool envelope_set_data(struct envelope *envelope, enum payload_kind kind, struct span data,
                       size_t max_message_bytes, struct complaint *complaint);

/* The same for JSON that is known to be right. */
bool envelope_set_json(struct envelope *envelope, const struct json_value *json,
                       size_t max_message_bytes, struct complaint *complaint);

/* Writes the payload as it is delivered: at most parts.payload_max bytes. */
void envelope_payload(const struct envelope *envelope, struct builder *out);

/* What makes two messages the same for idempotency: addressing as sets, event, namespace, class and
 * the payload (what envelope_payload wrote), not the ttl. Only worth asking for when the producer
 * gave an id. Needs hash_init. */
struct hash128 envelope_digest(const struct envelope *envelope, struct span payload);

#endif
