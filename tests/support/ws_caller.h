/* ws_caller.h - plays bytes into the WebSocket parser, cut into any pieces, and writes down what
 * comes out, so that the outcomes of two ways to cut it can be compared; and a second reading of
 * RFC 6455, over the whole input and with copies, to compare it with.
 *
 * The buffer is allocated to the byte and moved before each call, so that AddressSanitizer sees a
 * read too far and any pointer that was kept. Broken promises of the parser fail a CHECK. */
#ifndef RINGPOST_TESTS_SUPPORT_WS_CALLER_H
#define RINGPOST_TESTS_SUPPORT_WS_CALLER_H

#include "core/base/check.h"
#include "proto/text/utf8.h"
#include "proto/ws/ws_frame.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct transcript {
    char text[32768]; /* what does not fit is cut, the same in every run */
    size_t len;
};

__attribute__((format(printf, 2, 3))) static void note(struct transcript *t, const char *format,
                                                       ...) {
    va_list arguments;
    size_t room = sizeof t->text - t->len;
    va_start(arguments, format);
    int count = vsnprintf(t->text + t->len, room, format, arguments);
    va_end(arguments);
    t->len += (size_t)count < room ? (size_t)count : room - 1;
}

/* Short ones as they are, and of all their length and a sum. */
static void note_bytes(struct transcript *t, struct span bytes) {
    uint32_t sum = 2166136261u;
    for (size_t i = 0; i < bytes.len; i++)
        sum = (sum ^ (unsigned char)bytes.at[i]) * 16777619u;
    if (bytes.len > 32)
        note(t, " %zu bytes %08x", bytes.len, (unsigned)sum);
    else
        note(t, " [");
    for (size_t i = 0; i < bytes.len && bytes.len <= 32; i++)
        if (bytes.at[i] >= 0x20 && bytes.at[i] < 0x7F)
            note(t, "%c", bytes.at[i]);
        else
            note(t, "\\%02x", (unsigned)(unsigned char)bytes.at[i]);
    note(t, bytes.len > 32 ? "\n" : "]\n");
}

static void note_close(struct transcript *t, unsigned code, struct span reason) {
    note(t, "close %u", code);
    note_bytes(t, reason);
}

static void note_refused(struct transcript *t, unsigned code, const char *why) {
    note(t, "refused %u: %s\n", code, why);
}

static void note_message(struct transcript *t, bool is_text, bool compressed, size_t used,
                         struct span bytes) {
    note(t, "%s%s used %zu", is_text ? "text" : "binary", compressed ? " compressed" : "", used);
    note_bytes(t, bytes);
}

static void note_event(struct transcript *t, enum ws_event event, const struct ws_item *item) {
    switch (event) {
    case WS_TEXT:
    case WS_BINARY:
        note_message(t, event == WS_TEXT, item->compressed, item->used, item->bytes);
        break;
    case WS_PING:
    case WS_PONG:
        note(t, "%s used %zu", event == WS_PING ? "ping" : "pong", item->used);
        note_bytes(t, item->bytes);
        break;
    case WS_CLOSE:
        note_close(t, item->close_code, item->bytes);
        break;
    case WS_REFUSED:
        CHECK(item->bytes.len == 0);
        note_refused(t, item->close_code, item->why);
        break;
    case WS_MORE:
        break;
    }
}

/* A message that is put back is told again, and nothing else changes. */
static void put_back_look(struct ws_parser *parser, char *at, size_t len, enum ws_event event,
                          const struct ws_item *item, const struct ws_limits *limits) {
    uint64_t before = item->bytes.len, after = 0;
    for (size_t i = 0; i < item->bytes.len; i++)
        before = before * 31 + (unsigned char)item->bytes.at[i];
    size_t start = ws_put_back(at, event, item);
    CHECK(start < item->used);
    struct ws_item again;
    CHECK(ws_next(parser, at + start, len - start, limits, &again) == event);
    CHECK(start + again.used == item->used && again.compressed == item->compressed);
    after = again.bytes.len;
    for (size_t i = 0; i < again.bytes.len; i++)
        after = after * 31 + (unsigned char)again.bytes.at[i];
    CHECK(after == before);
}

/* Calls until there is nothing more; returns what is left of the buffer. False in `*goes_on`: it
 * has ended. */
static size_t events_take(struct ws_parser *parser, char *at, size_t len,
                          const struct ws_limits *limits, struct transcript *t, bool *goes_on) {
    for (;;) {
        struct ws_item item;
        enum ws_event event = ws_next(parser, at, len, limits, &item);
        CHECK(item.used <= len);
        CHECK(item.bytes.len == 0 ||
              (item.bytes.at >= at && item.bytes.at + item.bytes.len <= at + len));
        note_event(t, event, &item);
        if (event == WS_CLOSE || event == WS_REFUSED) {
            CHECK(item.used == len);
            *goes_on = false;
            CHECK(ws_next(parser, at, len, limits, &item) == WS_MORE && item.used == len);
            return 0;
        }
        if (event == WS_MORE) {
            CHECK(item.used == 0 && len < ws_input_bytes_max(limits->message_bytes_max));
            return len;
        }
        CHECK(item.bytes.len <= limits->message_bytes_max || event >= WS_PING);
        if (event == WS_TEXT || event == WS_BINARY)
            put_back_look(parser, at, len, event, &item, limits);
        at += item.used;
        len -= item.used;
    }
}

/* The first piece has `first` bytes, the others `step`; 0: all there is. */
static void transcribe(struct transcript *t, struct span input, const struct ws_limits *limits,
                       size_t first, size_t step) {
    struct ws_parser parser = {0};
    char *buffer = NULL;
    size_t kept = 0, from = 0;
    bool goes_on = true;
    t->len = 0;
    t->text[0] = '\0';
    while (goes_on && from < input.len) {
        size_t count = from == 0 && first != 0 ? first : step;
        if (count == 0 || count > input.len - from)
            count = input.len - from;
        char *moved = malloc(kept + count);
        CHECK(moved != NULL);
        if (kept != 0)
            memcpy(moved, buffer, kept);
        memcpy(moved + kept, input.at + from, count);
        free(buffer);
        buffer = moved;
        from += count;
        size_t len = kept + count;
        kept = events_take(&parser, buffer, len, limits, t, &goes_on);
        memmove(buffer, buffer + len - kept, kept);
    }
    free(buffer);
}

/* --- the second reading ----------------------------------------------------------------------- */

struct reading {
    struct span input;
    const struct ws_limits *limits;
    struct transcript *t;
    size_t at;              /* where the next frame begins */
    size_t message_at;      /* where its message does */
    unsigned message_first; /* the first byte of the message that is open; 0: none is */
    char *message;
    size_t message_len;
};

static bool reading_refused(struct reading *r, unsigned code, const char *why) {
    note_refused(r->t, code, why);
    return false;
}

static bool text_is_hopeless(struct span text, bool is_whole, bool *unfinished) {
    size_t bad = 0;
    *unfinished = false;
    if (utf8_valid(text, &bad))
        return false;
    *unfinished = utf8_sequence(text.at + bad, text.at + text.len) == -1;
    return is_whole || !*unfinished;
}

static bool reading_close(struct reading *r, struct span payload) {
    if (payload.len == 0) {
        note_close(r->t, 1005, payload);
        return false;
    }
    unsigned code = (unsigned)(unsigned char)payload.at[0] * 256 + (unsigned char)payload.at[1];
    if (code < 1000 || code == 1004 || code == 1005 || code == 1006 ||
        (code > 1014 && code < 3000) || code >= 5000)
        return reading_refused(r, 1002, "a close frame has a code that is not valid");
    if (!utf8_valid(span_skip(payload, 2), NULL))
        return reading_refused(r, 1007, "the reason of a close frame is not UTF-8");
    note_close(r->t, code, span_skip(payload, 2));
    return false;
}

/* The payload, or what there is of it, unmasked. */
static bool reading_payload(struct reading *r, unsigned first, struct span payload, bool is_whole,
                            size_t behind) {
    unsigned opcode = first & 15;
    bool is_last = first >= 128, unfinished;
    if (opcode >= 8) {
        if (!is_whole)
            return false;
        if (opcode == 8)
            return reading_close(r, payload);
        note(r->t, "%s used %zu", opcode == 9 ? "ping" : "pong",
             r->message_first != 0 ? 0 : behind - r->at);
        note_bytes(r->t, payload);
        return true;
    }
    if (opcode != 0) {
        r->message_first = first;
        r->message_at = r->at;
        r->message_len = 0;
    }
    if (payload.len != 0)
        memcpy(r->message + r->message_len, payload.at, payload.len);
    r->message_len += payload.len;
    struct span message = span_of(r->message, r->message_len);
    bool is_text = (r->message_first & 15) == 1, compressed = (r->message_first & 0x40) != 0;
    if (is_text && !compressed && text_is_hopeless(message, is_last && is_whole, &unfinished))
        return reading_refused(
            r, 1007, unfinished ? "a text ends inside a character" : "a text is not UTF-8");
    if (!is_whole)
        return false;
    if (is_last) {
        note_message(r->t, is_text, compressed, behind - r->message_at, message);
        r->message_first = 0;
    }
    return true;
}

static bool reading_frame(struct reading *r) {
    const unsigned char *s = (const unsigned char *)r->input.at + r->at;
    size_t left = r->input.len - r->at;
    bool open = r->message_first != 0;
    if (left < 1)
        return false;
    unsigned opcode = s[0] & 15;
    bool begins = opcode == 1 || opcode == 2,
         is_control = opcode == 8 || opcode == 9 || opcode == 10;
    if ((s[0] & 0x30) != 0 || ((s[0] & 0x40) != 0 && (!r->limits->deflate || !begins)))
        return reading_refused(r, 1002, "a reserved bit of a frame is set");
    if (begins && open)
        return reading_refused(r, 1002, "a message begins inside another one");
    if (opcode == 0 && !open)
        return reading_refused(r, 1002, "a message goes on that did not begin");
    if (!begins && !is_control && opcode != 0)
        return reading_refused(r, 1002, "a frame has an opcode that is reserved");
    if (is_control && s[0] < 128)
        return reading_refused(r, 1002, "a control frame is fragmented");
    if (left < 2)
        return false;
    if (s[1] < 128)
        return reading_refused(r, 1002, "a frame is not masked");
    if (is_control && s[1] > 128 + 125)
        return reading_refused(r, 1002, "a control frame is longer than 125 bytes");
    if (opcode == 8 && s[1] == 128 + 1)
        return reading_refused(r, 1002, "a close frame has half a code");
    size_t more = s[1] == 254 ? 2 : s[1] == 255 ? 8 : 0;
    if (left < 2 + more)
        return false;
    uint64_t length = s[1] & 127;
    if (more != 0) {
        length = 0;
        for (size_t i = 0; i < more; i++)
            length = length * 256 + s[2 + i];
        if (length <= (more == 2 ? 125 : 65535))
            return reading_refused(r, 1002, "a length is not written in its shortest form");
        if (length > INT64_MAX)
            return reading_refused(r, 1002, "a length has its highest bit set");
    }
    size_t max = r->limits->message_bytes_max, sum = open ? r->message_len : 0;
    if (!is_control && length + sum > max)
        return reading_refused(r, 1009, "the message is too long");
    if (open && r->at - r->message_at + 2 + more + 4 + length > 2 * max + 65536)
        return reading_refused(r, 1009, "the message has too many frames");
    if (left < 2 + more + 4)
        return false;
    const unsigned char *mask = s + 2 + more, *masked = mask + 4;
    size_t start = r->at + 2 + more + 4;
    size_t there = r->input.len - start < length ? r->input.len - start : (size_t)length;
    char *payload = malloc(there != 0 ? there : 1);
    CHECK(payload != NULL);
    for (size_t i = 0; i < there; i++)
        payload[i] = (char)(masked[i] ^ mask[i % 4]);
    bool goes_on =
        reading_payload(r, s[0], span_of(payload, there), there == length, start + there);
    free(payload);
    r->at = start + there;
    return goes_on;
}

static void transcribe_otherwise(struct transcript *t, struct span input,
                                 const struct ws_limits *limits) {
    struct reading reading = {.input = input, .limits = limits, .t = t};
    t->len = 0;
    t->text[0] = '\0';
    reading.message = malloc(limits->message_bytes_max + 1);
    CHECK(reading.message != NULL);
    while (reading_frame(&reading))
        continue;
    free(reading.message);
}

/* --- making frames ---------------------------------------------------------------------------- */

/* A frame as a client sends it, with a mask that depends on where it stands. */
static void frame_add(struct builder *out, unsigned first, struct span payload) {
    size_t len = payload.len, bytes = ws_head_bytes(len);
    builder_byte(out, (char)first);
    builder_byte(out, (char)(0x80 | (bytes == 2 ? len : bytes == 4 ? 126 : 127)));
    for (size_t i = bytes - 2; i-- > 0;)
        builder_byte(out, (char)(len >> (8 * i)));
    unsigned char mask[4];
    for (unsigned i = 0; i < 4; i++) {
        mask[i] = (unsigned char)(0x37 + 59 * i + 7 * out->len);
        builder_byte(out, (char)mask[i]);
    }
    for (size_t i = 0; i < len; i++)
        builder_byte(out, (char)((unsigned char)payload.at[i] ^ mask[i % 4]));
    CHECK(!out->full);
}

#endif
