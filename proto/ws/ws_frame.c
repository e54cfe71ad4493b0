/* ws_frame.c - see ws_frame.h. */
#include "proto/ws/ws_frame.h"

#include "core/base/check.h"
#include "proto/text/utf8.h"

#define MASK_BYTES 4
#define FIN 0x80u
#define RSV1 0x40u
#define RSV23 0x30u
#define OPCODE 0x0Fu
#define MASKED 0x80u
#define LENGTH 0x7Fu
#define FRAME_AT_MAX ((1u << 26) - 1)

_Static_assert(2ull * WS_MESSAGE_BYTES_MAX + WS_FRAMING_BYTES + WS_HEAD_BYTES_MAX <= FRAME_AT_MAX,
               "frame_at has room for every place where a frame may begin");
_Static_assert(sizeof(uint32_t) == MASK_BYTES, "the bytes of a message are counted in a mask");

struct frame {
    unsigned opcode;
    bool is_last;
    size_t head_bytes; /* with the mask, which is its end */
    size_t payload_bytes;
};

enum head { HEAD_MORE, HEAD_WHOLE, HEAD_REFUSED };

static enum head refused(struct ws_item *item, uint16_t code, const char *why) {
    item->close_code = code;
    item->why = why;
    return HEAD_REFUSED;
}

/* How long a head is, with its mask, by its second byte. */
static size_t head_bytes_of(unsigned char second) {
    unsigned length = second & LENGTH;
    return (length < 126 ? 2u : length == 126 ? 4u : 10u) + MASK_BYTES;
}

/* Of a head whose length is good. */
static uint64_t payload_bytes_of(const unsigned char *at) {
    unsigned length = at[1] & LENGTH;
    if (length < 126)
        return length;
    uint64_t bytes = 0;
    for (unsigned i = 2; i < (length == 126 ? 4u : 10u); i++)
        bytes = bytes << 8 | at[i];
    return bytes;
}

/* How many bytes of payload the frames of the message have that are whole. They are counted where
 * its first frame had its mask: that frame is whole when the second one begins, and its mask is of
 * no use any more. So the parser needs no room for it. */
static char *sum_at(char *at) {
    return at + head_bytes_of((unsigned char)at[1]) - MASK_BYTES;
}

static uint32_t sum_read(char *at) {
    uint32_t sum;
    memcpy(&sum, sum_at(at), sizeof sum);
    return sum;
}

/* The checks come in the order of the bytes, so that it does not matter how they arrive. */
static enum head first_byte_check(unsigned first, bool in_message, bool deflate,
                                  struct ws_item *item) {
    unsigned opcode = first & OPCODE;
    bool begins = opcode == WS_OPCODE_TEXT || opcode == WS_OPCODE_BINARY;
    if ((first & RSV23) != 0 || ((first & RSV1) != 0 && !(begins && deflate)))
        return refused(item, WS_CLOSE_PROTOCOL, "a reserved bit of a frame is set");
    if (begins)
        return in_message ? refused(item, WS_CLOSE_PROTOCOL, "a message begins inside another one")
                          : HEAD_WHOLE;
    if (opcode == WS_OPCODE_CONTINUATION)
        return in_message
                   ? HEAD_WHOLE
                   : refused(item, WS_CLOSE_PROTOCOL, "a message goes on that did not begin");
    if (opcode != WS_OPCODE_CLOSE && opcode != WS_OPCODE_PING && opcode != WS_OPCODE_PONG)
        return refused(item, WS_CLOSE_PROTOCOL, "a frame has an opcode that is reserved");
    if ((first & FIN) == 0)
        return refused(item, WS_CLOSE_PROTOCOL, "a control frame is fragmented");
    return HEAD_WHOLE;
}

static enum head second_byte_check(unsigned opcode, unsigned second, struct ws_item *item) {
    if ((second & MASKED) == 0)
        return refused(item, WS_CLOSE_PROTOCOL, "a frame is not masked");
    if (opcode >= WS_OPCODE_CLOSE && (second & LENGTH) > WS_CONTROL_BYTES_MAX)
        return refused(item, WS_CLOSE_PROTOCOL, "a control frame is longer than 125 bytes");
    if (opcode == WS_OPCODE_CLOSE && (second & LENGTH) == 1)
        return refused(item, WS_CLOSE_PROTOCOL, "a close frame has half a code");
    return HEAD_WHOLE;
}

static enum head head_read(const struct ws_parser *parser, char *at, size_t len,
                           const struct ws_limits *limits, struct frame *frame,
                           struct ws_item *item) {
    const unsigned char *s = (unsigned char *)at + parser->frame_at;
    size_t left = len - parser->frame_at;
    if (left == 0)
        return HEAD_MORE;
    frame->opcode = s[0] & OPCODE;
    frame->is_last = (s[0] & FIN) != 0;
    if (first_byte_check(s[0], parser->in_message, limits->deflate, item) == HEAD_REFUSED)
        return HEAD_REFUSED;
    if (left < 2)
        return HEAD_MORE;
    if (second_byte_check(frame->opcode, s[1], item) == HEAD_REFUSED)
        return HEAD_REFUSED;
    frame->head_bytes = head_bytes_of(s[1]);
    if (left < frame->head_bytes - MASK_BYTES)
        return HEAD_MORE;
    uint64_t payload = payload_bytes_of(s);
    if (frame->head_bytes > 2 + MASK_BYTES &&
        payload < (frame->head_bytes == 4 + MASK_BYTES ? 126u : 65536u))
        return refused(item, WS_CLOSE_PROTOCOL, "a length is not written in its shortest form");
    if (payload >> 63 != 0)
        return refused(item, WS_CLOSE_PROTOCOL, "a length has its highest bit set");

    size_t before = parser->in_message ? sum_read(at) : 0;
    if (frame->opcode < WS_OPCODE_CLOSE && payload > limits->message_bytes_max - before)
        return refused(item, WS_CLOSE_TOO_LARGE, "the message is too long");
    if (parser->in_message && parser->frame_at + frame->head_bytes + payload >
                                  2 * limits->message_bytes_max + WS_FRAMING_BYTES)
        return refused(item, WS_CLOSE_TOO_LARGE, "the message has too many frames");
    frame->payload_bytes = (size_t)payload;
    return left < frame->head_bytes ? HEAD_MORE : HEAD_WHOLE;
}

/* `at` is `offset` bytes behind the begin of the payload. */
static void unmask(char *at, size_t len, const char *mask, size_t offset) {
    char turned[8];
    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = mask[(offset + i) % MASK_BYTES];
    uint64_t eight, word;
    memcpy(&eight, turned, sizeof eight);
    char *end = at + len;
    for (; end - at >= 8; at += 8) {
        memcpy(&word, at, sizeof word);
        word ^= eight;
        memcpy(at, &word, sizeof word);
    }
    for (size_t i = 0; at + i != end; i++)
        at[i] ^= turned[i];
}

static enum ws_event end(struct ws_parser *parser, enum ws_event event, size_t len,
                         struct ws_item *item) {
    *parser = (struct ws_parser){.is_over = 1};
    item->used = len;
    return event;
}

static enum ws_event refuse(struct ws_parser *parser, size_t len, uint16_t code, const char *why,
                            struct ws_item *item) {
    refused(item, code, why);
    return end(parser, WS_REFUSED, len, item);
}

bool ws_close_code_is_good(unsigned code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

/* `item->bytes` is what the frame carries. */
static enum ws_event close_told(struct ws_parser *parser, size_t len, struct ws_item *item) {
    item->close_code = WS_CLOSE_NONE;
    if (item->bytes.len == 0)
        return end(parser, WS_CLOSE, len, item);
    const unsigned char *s = (const unsigned char *)item->bytes.at;
    unsigned code = (unsigned)s[0] << 8 | s[1];
    struct span reason = span_skip(item->bytes, 2);
    item->bytes = (struct span){NULL, 0};
    if (!ws_close_code_is_good(code))
        return refuse(parser, len, WS_CLOSE_PROTOCOL, "a close frame has a code that is not valid",
                      item);
    if (!utf8_valid(reason, NULL))
        return refuse(parser, len, WS_CLOSE_BAD_TEXT, "the reason of a close frame is not UTF-8",
                      item);
    item->close_code = (uint16_t)code;
    item->bytes = reason;
    return end(parser, WS_CLOSE, len, item);
}

/* A whole control frame. */
static enum ws_event control_told(struct ws_parser *parser, char *at, size_t len,
                                  const struct frame *frame, struct ws_item *item) {
    char *payload = at + parser->frame_at + frame->head_bytes;
    unmask(payload, frame->payload_bytes, payload - MASK_BYTES, 0);
    item->bytes = span_of(payload, frame->payload_bytes);
    if (frame->opcode == WS_OPCODE_CLOSE)
        return close_told(parser, len, item);
    size_t behind = parser->frame_at + frame->head_bytes + frame->payload_bytes;
    if (parser->in_message)
        parser->known = parser->frame_at = (uint32_t)behind & FRAME_AT_MAX;
    else
        item->used = behind;
    return frame->opcode == WS_OPCODE_PING ? WS_PING : WS_PONG;
}

/* All frames of a message are in at[0..end): moves what they carry together, behind the first
 * head. */
static struct span message_gather(char *at, size_t end) {
    size_t first = head_bytes_of((unsigned char)at[1]), to = first;
    for (size_t from = 0; from < end;) {
        const unsigned char *s = (unsigned char *)at + from;
        size_t head_bytes = head_bytes_of(s[1]), bytes = (size_t)payload_bytes_of(s);
        bool is_control = (s[0] & OPCODE) >= WS_OPCODE_CLOSE;
        from += head_bytes;
        if (!is_control) {
            if (to != from && bytes != 0)
                memmove(at + to, at + from, bytes);
            to += bytes;
        }
        from += bytes;
    }
    return span_of(at + first, to - first);
}

static enum ws_event message_told(struct ws_parser *parser, char *at, struct ws_item *item) {
    unsigned char first = (unsigned char)at[0];
    item->bytes = message_gather(at, parser->known);
    item->used = parser->known;
    item->compressed = (first & RSV1) != 0;
    *parser = (struct ws_parser){0};
    return (first & OPCODE) == WS_OPCODE_TEXT ? WS_TEXT : WS_BINARY;
}

/* Unmasks what has come of a frame's payload, and checks it if it is text. */
static bool payload_look(struct ws_parser *parser, char *at, size_t start, size_t bytes) {
    size_t from = parser->known > start ? parser->known - start : 0;
    char *fresh = at + start + from;
    unmask(fresh, bytes - from, at + start - MASK_BYTES, from);
    parser->known = (uint32_t)(start + bytes);
    unsigned char first = (unsigned char)at[0];
    if ((first & OPCODE) != WS_OPCODE_TEXT || (first & RSV1) != 0)
        return true;
    uint8_t state = parser->utf8;
    bool is_good = utf8_run(&state, span_of(fresh, bytes - from));
    parser->utf8 = state & 15u;
    return is_good;
}

enum ws_event ws_next(struct ws_parser *parser, char *at, size_t len,
                      const struct ws_limits *limits, struct ws_item *item) {
    CHECK(limits->message_bytes_max <= WS_MESSAGE_BYTES_MAX);
    *item = (struct ws_item){0};
    if (parser->is_over) {
        item->used = len;
        return WS_MORE;
    }
    CHECK(parser->frame_at <= len && parser->known <= len, "bytes of a message are missing");
    for (;;) {
        struct frame frame;
        enum head head = head_read(parser, at, len, limits, &frame, item);
        if (head == HEAD_MORE)
            return WS_MORE;
        if (head == HEAD_REFUSED)
            return end(parser, WS_REFUSED, len, item);
        size_t start = parser->frame_at + frame.head_bytes;
        bool is_whole = len - start >= frame.payload_bytes;
        if (frame.opcode >= WS_OPCODE_CLOSE)
            return is_whole ? control_told(parser, at, len, &frame, item) : WS_MORE;
        if (!payload_look(parser, at, start, is_whole ? frame.payload_bytes : len - start))
            return refuse(parser, len, WS_CLOSE_BAD_TEXT, "a text is not UTF-8", item);
        if (!is_whole)
            return WS_MORE;
        if (frame.is_last)
            break;
        uint32_t sum = (parser->in_message ? sum_read(at) : 0) + (uint32_t)frame.payload_bytes;
        memcpy(sum_at(at), &sum, sizeof sum);
        parser->frame_at = parser->known & FRAME_AT_MAX;
        parser->in_message = 1;
    }
    if (parser->utf8 != 0)
        return refuse(parser, len, WS_CLOSE_BAD_TEXT, "a text ends inside a character", item);
    return message_told(parser, at, item);
}

size_t ws_put_back(char *at, enum ws_event event, const struct ws_item *item) {
    char head[WS_HEAD_BYTES_MAX] = {0}; /* with a mask of nothing */
    size_t bytes = item->bytes.len, head_bytes = ws_head_bytes(bytes);
    struct builder out = builder_over(head, sizeof head);
    ws_head_write(&out, event == WS_TEXT ? WS_OPCODE_TEXT : WS_OPCODE_BINARY, item->compressed,
                  bytes);
    head[1] = (char)((unsigned char)head[1] | MASKED);
    head_bytes += MASK_BYTES;
    /* Its head is no longer than the heads of the frames that it came in. */
    CHECK(item->used >= head_bytes + bytes, "there is no room for the head");
    size_t start = item->used - head_bytes - bytes;
    if (bytes != 0)
        memmove(at + start + head_bytes, item->bytes.at, bytes);
    memcpy(at + start, head, head_bytes);
    return start;
}

void ws_head_write(struct builder *out, enum ws_opcode opcode, bool compressed,
                   size_t payload_bytes) {
    char head[WS_SERVER_HEAD_BYTES_MAX];
    size_t bytes = ws_head_bytes(payload_bytes);
    head[0] = (char)(FIN | (compressed ? RSV1 : 0) | opcode);
    head[1] = (char)(bytes == 2 ? payload_bytes : bytes == 4 ? 126 : 127);
    for (size_t i = bytes - 1, rest = payload_bytes; i >= 2; i--, rest >>= 8)
        head[i] = (char)rest;
    builder_bytes(out, head, bytes);
}

void ws_close_write(struct builder *out, uint16_t code, struct span reason) {
    char payload[WS_CONTROL_BYTES_MAX] = {(char)(code >> 8), (char)code};
    size_t bytes = 0;
    if (code != WS_CLOSE_NONE) {
        CHECK(ws_close_code_is_good(code));
        reason = utf8_cut(reason, sizeof payload - 2);
        if (reason.len != 0)
            memcpy(payload + 2, reason.at, reason.len);
        bytes = 2 + reason.len;
    }
    if (out->full || ws_head_bytes(bytes) + bytes > out->cap - out->len) {
        out->full = true;
        return;
    }
    ws_head_write(out, WS_OPCODE_CLOSE, false, bytes);
    builder_bytes(out, payload, bytes);
}
