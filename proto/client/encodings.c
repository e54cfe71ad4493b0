/* encodings.c - see encodings.h. */
#include "proto/client/encodings.h"

#include "core/base/builder.h"
#include "core/base/check.h"
#include "proto/client/counted.h"
#include "proto/client/line.h"
#include "proto/text/base64.h"
#include "proto/text/json.h"
#include "proto/ws/ws_deflate.h"
#include "proto/ws/ws_frame.h"
#include "proto/ws/ws_handshake.h"

/* Shorter ones are not worth the time. */
#define DEFLATE_BYTES_MIN 512

/* Variants. */
enum { FIRST, AGAIN };

static struct message_label label_of(const struct encoding *encoding,
                                     const struct message *message) {
    return (struct message_label){
        .id = message_id(message),
        .event = message_event(message),
        .group_json = message_group_json(message),
        .ack = message->class == CLASS_ACK,
        .redelivered = encoding->variant == AGAIN,
        .bytes = message->is_bytes,
    };
}

/* What is written of the payload instead of the payload itself; 0: it follows as it is. */
static size_t line_payload_bytes(const struct message *message) {
    if (message->is_bytes)
        return 2 + base64_len(message->payload_len);
    return message->breaks_grow == 0 ? 0 : (size_t)message->payload_len + message->breaks_grow;
}

static size_t line_bound(const struct encoding *encoding, const struct message *message) {
    struct message_label label = label_of(encoding, message);
    return line_message_bound(&label) + line_payload_bytes(message) + 1;
}

static bool line_head(const struct encoding *encoding, const struct message *message,
                      struct builder *out) {
    struct message_label label = label_of(encoding, message);
    line_message_head(out, &label);
    if (message->is_bytes)
        line_message_bytes(out, message_payload(message));
    else if (message->breaks_grow != 0)
        json_escape_breaks(message_payload(message), out);
    return line_payload_bytes(message) == 0;
}

static void line_tail(const struct encoding *encoding, const struct message *message,
                      struct builder *out) {
    (void)encoding, (void)message;
    line_message_tail(out);
    builder_byte(out, '\n');
}

struct encoding encoding_line_again = {.name = "line_again",
                                       .variant = AGAIN,
                                       .is_again = true,
                                       .bound = line_bound,
                                       .head = line_head,
                                       .tail = line_tail};
struct encoding encoding_line = {.name = "line",
                                 .variant = FIRST,
                                 .bound = line_bound,
                                 .head = line_head,
                                 .tail = line_tail,
                                 .again = &encoding_line_again};

static size_t frame_bound(const struct encoding *encoding, const struct message *message) {
    return line_bound(encoding, message) + WS_SERVER_HEAD_BYTES_MAX;
}

/* The head of the frame goes in front of what is in `out`, when its length is known. */
static bool frame_head(const struct encoding *encoding, const struct message *message,
                       struct builder *out) {
    size_t start = out->len;
    bool follows = line_head(encoding, message, out);
    size_t text_bytes = out->len - start, tail_bytes = 1;
    size_t payload_bytes = text_bytes + tail_bytes + (follows ? message->payload_len : 0);
    size_t head_bytes = ws_head_bytes(payload_bytes);
    CHECK(!out->full && head_bytes <= out->cap - out->len, "a frame is longer than its bound");
    memmove(out->at + start + head_bytes, out->at + start, text_bytes);
    out->len = start;
    ws_head_write(out, WS_OPCODE_TEXT, false, payload_bytes);
    out->len += text_bytes;
    return follows;
}

static void frame_tail(const struct encoding *encoding, const struct message *message,
                       struct builder *out) {
    (void)encoding, (void)message;
    line_message_tail(out);
}

struct encoding encoding_frame_again = {.name = "websocket_again",
                                        .variant = AGAIN,
                                        .is_again = true,
                                        .bound = frame_bound,
                                        .head = frame_head,
                                        .tail = frame_tail};
struct encoding encoding_frame = {.name = "websocket",
                                  .variant = FIRST,
                                  .bound = frame_bound,
                                  .head = frame_head,
                                  .tail = frame_tail,
                                  .again = &encoding_frame_again};

/* The text itself, before it is compressed, stands at the end of the room. */
static size_t deflated_bound(const struct encoding *encoding, const struct message *message) {
    size_t text_bytes = line_bound(encoding, message);
    return WS_SERVER_HEAD_BYTES_MAX + 2 * text_bytes + message->payload_len;
}

static bool deflated_head(const struct encoding *encoding, const struct message *message,
                          struct builder *out) {
    size_t room_bytes = line_bound(encoding, message);
    struct builder text = builder_over(out->at + out->cap - room_bytes, room_bytes);
    bool follows = line_head(encoding, message, &text);
    const struct span parts[] = {builder_span(&text), follows ? message_payload(message) : SPAN(""),
                                 SPAN("}")};
    size_t bytes = parts[0].len + parts[1].len + parts[2].len;
    /* No room for more than the text has: what gets longer is not taken. */
    struct builder body = builder_over(out->at + WS_SERVER_HEAD_BYTES_MAX, bytes);
    if (bytes < DEFLATE_BYTES_MIN || !ws_deflate(&body, parts, 3, WS_WINDOW_BITS_MAX) || body.full)
        return frame_head(encoding, message, out);
    ws_head_write(out, WS_OPCODE_TEXT, true, body.len);
    memmove(out->at + out->len, body.at, body.len);
    out->len += body.len;
    return false;
}

/* A compressed frame has its end in it. */
static void deflated_tail(const struct encoding *encoding, const struct message *message,
                          struct builder *out) {
    if (!ws_head_is_compressed(out->at))
        frame_tail(encoding, message, out);
}

struct encoding encoding_deflated_again = {.name = "deflated_again",
                                           .variant = AGAIN,
                                           .is_again = true,
                                           .bound = deflated_bound,
                                           .head = deflated_head,
                                           .tail = deflated_tail};
struct encoding encoding_deflated = {.name = "deflated",
                                     .variant = FIRST,
                                     .bound = deflated_bound,
                                     .head = deflated_head,
                                     .tail = deflated_tail,
                                     .again = &encoding_deflated_again};

static size_t counted_bound(const struct encoding *encoding, const struct message *message) {
    struct message_label label = label_of(encoding, message);
    return counted_message_bound(&label);
}

static bool counted_head(const struct encoding *encoding, const struct message *message,
                         struct builder *out) {
    struct message_label label = label_of(encoding, message);
    counted_message_head(out, &label, message->payload_len);
    return true;
}

static void counted_tail(const struct encoding *encoding, const struct message *message,
                         struct builder *out) {
    (void)encoding, (void)message;
    counted_message_tail(out);
}

struct encoding encoding_counted_again = {.name = "counted_again",
                                          .variant = AGAIN,
                                          .is_again = true,
                                          .bound = counted_bound,
                                          .head = counted_head,
                                          .tail = counted_tail};
struct encoding encoding_counted = {.name = "counted",
                                    .variant = FIRST,
                                    .bound = counted_bound,
                                    .head = counted_head,
                                    .tail = counted_tail,
                                    .again = &encoding_counted_again};
