#include "proto/web/sio/sio_encodings.h"

#include "core/base/builder.h"
#include "core/base/check.h"
#include "core/namespaces.h"
#include "proto/text/base64.h"
#include "proto/text/json.h"
#include "proto/web/eio/engine_codec.h"
#include "proto/web/sio/sio_text.h"
#include "proto/ws/ws_frame.h"

/* Numbers of acknowledgements begin here, so that each has MARK_BYTES digits. */
#define MARK_FIRST UINT64_C(1000000000)

#define PLACEHOLDER SPAN("{\"_placeholder\":true,\"num\":0}")
/* Engine.IO writes it before a packet of bytes. */
#define PACKET_MESSAGE 4

void sio_mark_write(char mark[MARK_BYTES], uint32_t number) {
    uint64_t value = MARK_FIRST + number;
    for (unsigned i = MARK_BYTES; i-- > 0; value /= 10)
        mark[i] = (char)('0' + value % 10);
}

bool sio_mark_number(uint64_t id, uint32_t *number) {
    *number = (uint32_t)(id - MARK_FIRST);
    return id >= MARK_FIRST && id - MARK_FIRST <= UINT32_MAX;
}

/* --- how long it is --------------------------------------------------------------------------- */

/* Of JSON: clients of one form get ASCII alone (sio_text.h). */
static size_t json_len(enum engine_form form, struct span json) {
    return form == EIO3_POLL ? sio_ascii_len(json) : json.len;
}

static void json_write(struct builder *out, enum engine_form form, struct span json) {
    if (form == EIO3_POLL)
        sio_ascii_write(out, json);
    else
        builder_span_add(out, json);
}

/* An event or a message id, neither of which holds a control character, as builder_json writes it:
 * quotes around it, and a backslash before quotes and backslashes. */
#define NAME_JSON_BYTES_MAX (2 + 2 * NAME_BYTES_MAX)

static size_t name_len(enum engine_form form, struct span name) {
    size_t len = 2 + json_len(form, name);
    for (size_t i = 0; i < name.len; i++)
        len += name.at[i] == '"' || name.at[i] == '\\';
    return len;
}

static void name_write(struct builder *out, enum engine_form form, struct span name) {
    char text[NAME_JSON_BYTES_MAX];
    struct builder json = builder_over(text, sizeof text);
    builder_json(&json, name);
    CHECK(!json.full);
    json_write(out, form, builder_span(&json));
}

/* Does the payload follow as it is? */
static bool payload_follows(enum engine_form form, const struct message *message) {
    if (message->is_bytes || form != EIO3_POLL)
        return message->breaks_grow == 0;
    return sio_ascii_len(message_payload(message)) == message->payload_len;
}

static size_t payload_len(enum engine_form form, const struct message *message) {
    if (message->is_bytes)
        return PLACEHOLDER.len;
    return form == EIO3_POLL ? sio_ascii_len(message_payload(message))
                             : (size_t)message->payload_len + message->breaks_grow;
}

/* --- the form --------------------------------------------------------------------------------- */

static enum engine_form form_of(const struct encoding *encoding) {
    return (enum engine_form)(encoding->variant / SIO_STYLES);
}

static enum sio_style style_of(const struct encoding *encoding) {
    return (enum sio_style)(encoding->variant % SIO_STYLES);
}

static bool form_is_socket(enum engine_form form) {
    return form == EIO4_SOCKET || form == EIO3_SOCKET;
}

/* Does the form carry bytes as they are? */
static bool form_is_binary(enum engine_form form) {
    return form_is_socket(form) || form == EIO3_POLL_BINARY;
}

#define HEAD_BYTES_MAX (ENGINE_LENGTH_MAX + 4) /* of either packet */
_Static_assert(WS_SERVER_HEAD_BYTES_MAX + 1 <= HEAD_BYTES_MAX, "each head has room");

/* What stands before a packet of text; the text has its `4`. */
static void text_head_write(struct builder *out, enum engine_form form, size_t bytes) {
    switch (form) {
    case EIO4_SOCKET:
    case EIO3_SOCKET:
        ws_head_write(out, WS_OPCODE_TEXT, false, bytes);
        break;
    case EIO4_POLL:
        break;
    case EIO3_POLL:
        engine_text_length(out, bytes);
        break;
    case EIO3_POLL_BINARY:
        engine_binary_length(out, false, bytes);
        break;
    }
}

/* What stands before the bytes, or the base64, of an attachment. */
static void bytes_head_write(struct builder *out, enum engine_form form, size_t bytes) {
    switch (form) {
    case EIO4_SOCKET:
        ws_head_write(out, WS_OPCODE_BINARY, false, bytes);
        return;
    case EIO3_SOCKET:
        ws_head_write(out, WS_OPCODE_BINARY, false, bytes + 1);
        break;
    case EIO4_POLL:
        builder_byte(out, ENGINE_SEPARATOR);
        builder_byte(out, 'b');
        return;
    case EIO3_POLL:
        engine_text_length(out, 2 + base64_len(bytes));
        builder_text(out, "b4");
        return;
    case EIO3_POLL_BINARY:
        engine_binary_length(out, true, bytes + 1);
        break;
    }
    builder_byte(out, PACKET_MESSAGE);
}

/* --- the packet ------------------------------------------------------------------------------- */

/* "/admin,", or nothing. */
static struct span prefix_of(const struct message *message) {
    return message->namespace == NAMESPACE_MAIN ? SPAN("") : namespace_name(message->namespace);
}

static size_t prefix_bytes(const struct message *message) {
    struct span prefix = prefix_of(message);
    return prefix.len + (prefix.len != 0);
}

static bool is_marked(const struct message *message) {
    return message->class == CLASS_ACK;
}

/* Behind it the mark stands. */
static size_t before_mark_bytes(const struct message *message) {
    return (message->is_bytes ? sizeof "451-" : sizeof "42") - 1 + prefix_bytes(message);
}

/* Up to the payload. */
static size_t front_len(enum engine_form form, const struct message *message) {
    return before_mark_bytes(message) + (is_marked(message) ? MARK_BYTES : 0) + 2 +
           name_len(form, message_event(message));
}

static void front_write(struct builder *out, enum engine_form form, const struct message *message) {
    struct span prefix = prefix_of(message);
    builder_text(out, message->is_bytes ? "451-" : "42");
    builder_span_add(out, prefix);
    if (prefix.len != 0)
        builder_byte(out, ',');
    if (is_marked(message))
        builder_bytes(out, "1000000000", MARK_BYTES);
    builder_byte(out, '[');
    name_write(out, form, message_event(message));
    builder_byte(out, ',');
}

#define META_GROUP ",\"group\":"
#define META_ACK ",\"ack\":true"
#define META_AGAIN ",\"redelivered\":true"

/* Behind the payload. */
static size_t back_len(enum engine_form form, enum sio_style style, const struct message *message) {
    if (style == SIO_PLAIN)
        return 1;
    struct span group = message_group_json(message);
    size_t len = sizeof ",{\"id\":}]" - 1 + name_len(form, message_id(message));
    if (group.len != 0)
        len += sizeof META_GROUP - 1 + json_len(form, group);
    len += message->class == CLASS_ACK ? sizeof META_ACK - 1 : 0;
    return len + (style == SIO_META_AGAIN ? sizeof META_AGAIN - 1 : 0);
}

static void back_write(struct builder *out, enum engine_form form, enum sio_style style,
                       const struct message *message) {
    if (style != SIO_PLAIN) {
        struct span group = message_group_json(message);
        builder_text(out, ",{\"id\":");
        name_write(out, form, message_id(message));
        if (group.len != 0) {
            builder_text(out, META_GROUP);
            json_write(out, form, group);
        }
        if (message->class == CLASS_ACK)
            builder_text(out, META_ACK);
        if (style == SIO_META_AGAIN)
            builder_text(out, META_AGAIN);
        builder_byte(out, '}');
    }
    builder_byte(out, ']');
}

static size_t packet_len(const struct encoding *encoding, const struct message *message) {
    enum engine_form form = form_of(encoding);
    return front_len(form, message) + payload_len(form, message) +
           back_len(form, style_of(encoding), message);
}

/* --- what the engine calls -------------------------------------------------------------------- */

static size_t sio_bound(const struct encoding *encoding, const struct message *message) {
    enum engine_form form = form_of(encoding);
    size_t bytes = 2 * HEAD_BYTES_MAX + packet_len(encoding, message);
    if (message->is_bytes)
        return bytes + (form_is_binary(form) ? 0 : base64_len(message->payload_len));
    return payload_follows(form, message) ? bytes - message->payload_len : bytes;
}

static bool sio_head(const struct encoding *encoding, const struct message *message,
                     struct builder *out) {
    enum engine_form form = form_of(encoding);
    text_head_write(out, form, packet_len(encoding, message));
    front_write(out, form, message);
    if (message->is_bytes) {
        builder_span_add(out, PLACEHOLDER);
        back_write(out, form, style_of(encoding), message);
        bytes_head_write(out, form, message->payload_len);
        if (form_is_binary(form))
            return true;
        base64_encode(out, message_payload(message));
        return false;
    }
    if (payload_follows(form, message))
        return true;
    if (form == EIO3_POLL)
        sio_ascii_write(out, message_payload(message));
    else
        json_escape_breaks(message_payload(message), out);
    return false;
}

static void sio_tail(const struct encoding *encoding, const struct message *message,
                     struct builder *out) {
    if (!message->is_bytes)
        back_write(out, form_of(encoding), style_of(encoding), message);
}

static uint32_t sio_mark_at(const struct encoding *encoding, const struct message *message) {
    char room[HEAD_BYTES_MAX];
    struct builder head = builder_over(room, sizeof room);
    if (!is_marked(message))
        return UINT32_MAX;
    text_head_write(&head, form_of(encoding), packet_len(encoding, message));
    CHECK(!head.full);
    return (uint32_t)(head.len + before_mark_bytes(message));
}

#define STYLE(text, form, style, ...)                                                              \
    [style] = {.name = text,                                                                       \
               .variant = (form)*SIO_STYLES + (style),                                             \
               .bound = sio_bound,                                                                 \
               .head = sio_head,                                                                   \
               .tail = sio_tail,                                                                   \
               .mark_at = sio_mark_at,                                                             \
               __VA_ARGS__}

#define FORM(text, form)                                                                           \
    [form] = {STYLE(text, form, SIO_PLAIN),                                                        \
              STYLE(text "_meta", form, SIO_META, .again = &sio_encodings[form][SIO_META_AGAIN]),  \
              STYLE(text "_meta_again", form, SIO_META_AGAIN, .is_again = true)}

struct encoding sio_encodings[SIO_FORMS][SIO_STYLES] = {
    FORM("sio_socket", EIO4_SOCKET),
    FORM("sio_old_socket", EIO3_SOCKET),
    FORM("sio_poll", EIO4_POLL),
    FORM("sio_old_poll", EIO3_POLL),
    FORM("sio_old_poll_binary", EIO3_POLL_BINARY),
};

void sio_encodings_add(struct encoding *encodings[ENCODINGS_MAX]) {
    unsigned there = 0;
    while (there < ENCODINGS_MAX && encodings[there] != NULL)
        there++;
    CHECK(there + SIO_ENCODINGS <= ENCODINGS_MAX, "there are too many encodings");
    for (unsigned i = 0; i < SIO_ENCODINGS; i++)
        encodings[there + i] = &sio_encodings[i / SIO_STYLES][i % SIO_STYLES];
}
