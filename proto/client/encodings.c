/* encodings.c - see encodings.h. */
#include "proto/client/encodings.h"

#include "core/base/builder.h"
#include "core/base/check.h"
#include "proto/client/counted.h"
#include "proto/client/line.h"
#include "proto/text/base64.h"
#include "proto/text/json.h"
#include "proto/ws/ws_frame.h"

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
