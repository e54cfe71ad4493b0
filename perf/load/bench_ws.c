#include "perf/load/bench_ws.h"

#include "perf/load/bench_sha1.h"
#include "perf/load/bench_sio.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX (16u * 1024) /* of an answer */
#define CONTROL_MAX 125u
#define LENGTH_16 126u
#define LENGTH_64 127u
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

/* Four characters for each three bytes of `len`, and a NUL. */
static void base64_write(char *out, const uint8_t *at, size_t len) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        uint32_t three = (uint32_t)at[i] << 16;
        three |= i + 1 < len ? (uint32_t)at[i + 1] << 8 : 0;
        three |= i + 2 < len ? (uint32_t)at[i + 2] : 0;
        *out++ = digits[three >> 18];
        *out++ = digits[three >> 12 & 63];
        *out++ = i + 1 < len ? digits[three >> 6 & 63] : '=';
        *out++ = i + 2 < len ? digits[three & 63] : '=';
    }
    *out = '\0';
}

void bench_ws_key(char out[BENCH_WS_KEY_BYTES + 1], uint64_t one, uint64_t other) {
    uint8_t bytes[16];
    memcpy(bytes, &one, 8);
    memcpy(bytes + 8, &other, 8);
    base64_write(out, bytes, sizeof bytes);
}

void bench_ws_accept(char out[BENCH_WS_ACCEPT_BYTES + 1], const char key[BENCH_WS_KEY_BYTES]) {
    uint8_t text[BENCH_WS_KEY_BYTES + sizeof GUID - 1], sum[BENCH_SHA1_BYTES];
    memcpy(text, key, BENCH_WS_KEY_BYTES);
    memcpy(text + BENCH_WS_KEY_BYTES, GUID, sizeof GUID - 1);
    bench_sha1(text, sizeof text, sum);
    base64_write(out, sum, sizeof sum);
}

size_t bench_ws_request(char *out, size_t room, const char *target, const char *host,
                        const char key[BENCH_WS_KEY_BYTES]) {
    int len = snprintf(out, room,
                       "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Key: %.*s\r\n"
                       "Sec-WebSocket-Version: 13\r\n\r\n",
                       target, host, (int)BENCH_WS_KEY_BYTES, key);
    return len < 0 || (size_t)len >= room ? 0 : (size_t)len;
}

static struct bench_line refused(const char *why) {
    return (struct bench_line){.kind = BENCH_LINE_BAD, .why = why};
}

bool bench_header_is(const char *line, size_t len, const char *name, const char *value) {
    size_t name_len = strlen(name), value_len = strlen(value);
    if (len <= name_len || strncasecmp(line, name, name_len) != 0 || line[name_len] != ':')
        return false;
    line += name_len + 1;
    len -= name_len + 1;
    while (len > 0 && (*line == ' ' || *line == '\t'))
        line++, len--;
    while (len > 0 && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    return value_len == 0 || (len == value_len && strncasecmp(line, value, len) == 0);
}

struct bench_line bench_ws_answer(const uint8_t *at, size_t len,
                                  const char key[BENCH_WS_KEY_BYTES]) {
    char accept[BENCH_WS_ACCEPT_BYTES + 1];
    const uint8_t *blank = memmem(at, len, "\r\n\r\n", 4);
    if (blank == NULL)
        return len > HEAD_MAX ? refused("the head of the answer to the handshake does not end")
                              : (struct bench_line){.kind = BENCH_LINE_MORE};
    size_t head_len = (size_t)(blank - at) + 4;
    if (head_len < 13 || memcmp(at, "HTTP/1.1 101", 12) != 0)
        return refused("the handshake was refused");
    bench_ws_accept(accept, key);
    bool upgrade = false, connection = false, accepted = false;
    const char *end = (const char *)blank + 2, *line = memchr(at, '\n', head_len);
    for (line++; line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        size_t line_len = (size_t)(next - line) - 1;
        upgrade |= bench_header_is(line, line_len, "Upgrade", "websocket");
        connection |= bench_header_is(line, line_len, "Connection", "Upgrade");
        /* letter by letter: base64 knows upper from lower case */
        accepted |= bench_header_is(line, line_len, "Sec-WebSocket-Accept", accept) &&
                    memmem(line, line_len, accept, BENCH_WS_ACCEPT_BYTES) != NULL;
        if (bench_header_is(line, line_len, "Sec-WebSocket-Extensions", ""))
            return refused("the handshake grants an extension that was not offered");
        if (bench_header_is(line, line_len, "Sec-WebSocket-Protocol", ""))
            return refused("the handshake selects a subprotocol that was not offered");
        line = next + 1;
    }
    if (!upgrade || !connection)
        return refused("the handshake has 101, but not `Upgrade: websocket` and "
                       "`Connection: Upgrade`");
    if (!accepted)
        return refused("the handshake has a wrong Sec-WebSocket-Accept");
    return (struct bench_line){.kind = BENCH_LINE_OTHER, .used = head_len};
}

uint8_t *bench_ws_wrap(uint8_t *at, size_t len, enum bench_ws_opcode opcode, uint32_t mask) {
    uint64_t twice = (uint64_t)mask << 32 | mask;
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t word;
        memcpy(&word, at + i, 8);
        word ^= twice;
        memcpy(at + i, &word, 8);
    }
    for (; i < len; i++)
        at[i] ^= (uint8_t)(mask >> 8 * (i % 4));
    at -= 4;
    memcpy(at, &mask, 4);
    if (len > CONTROL_MAX) {
        *--at = (uint8_t)len;
        *--at = (uint8_t)(len >> 8);
        *--at = 0x80 | LENGTH_16;
    } else {
        *--at = (uint8_t)(0x80 | len);
    }
    *--at = (uint8_t)(0x80u | (unsigned)opcode);
    return at;
}

/* NULL, or what is wrong with the first two bytes of a server's frame. */
static const char *frame_fault(uint8_t first, uint8_t second) {
    bool whole = (first & 0x80) != 0;
    if ((first & 0x70) != 0)
        return "a frame with reserved bits";
    if ((second & 0x80) != 0)
        return "a masked frame, which no server may write";
    switch (first & 0x0f) {
    case BENCH_WS_TEXT:
        return whole ? NULL : "a message in fragments";
    case BENCH_WS_GOES_ON:
        return "a fragment that goes on with nothing";
    case BENCH_WS_BINARY:
        return "a binary message";
    case BENCH_WS_CLOSE:
    case BENCH_WS_PING:
    case BENCH_WS_PONG:
        return !whole                  ? "a control frame in fragments"
               : second <= CONTROL_MAX ? NULL
                                       : "a control frame of more than 125 bytes";
    default:
        return "a frame with an unknown opcode";
    }
}

/* The head's bytes, 0 if there are not enough of them; and the length that it says. */
static size_t length_read(const uint8_t *at, size_t len, uint64_t *length) {
    *length = at[1];
    if (*length < LENGTH_16)
        return 2;
    if (len < (*length == LENGTH_16 ? 4u : 10u))
        return 0;
    if (*length == LENGTH_16) {
        *length = (uint64_t)at[2] << 8 | at[3];
        return 4;
    }
    memcpy(length, at + 2, 8);
    *length = __builtin_bswap64(*length);
    return 10;
}

/* What a text says, of either protocol. */
static struct bench_line text_read(const uint8_t *at, size_t len, enum bench_form form,
                                   uint32_t payload_size) {
    struct bench_line line;
    if (form == BENCH_FORM_SIO) {
        line = bench_sio_text(at, len, payload_size);
        if (line.kind == BENCH_LINE_BAD)
            line.why = "a text that is no packet of Engine.IO";
        return line;
    }
    line = bench_line_text(at, len, payload_size);
    if (line.kind == BENCH_LINE_BAD)
        line.why = "a text that is no JSON object";
    else if (line.kind == BENCH_LINE_PING)
        line.kind = BENCH_LINE_OTHER;
    return line;
}

struct bench_line bench_ws_read(const uint8_t *at, size_t len, enum bench_form form,
                                uint32_t payload_size) {
    struct bench_line line = {.kind = BENCH_LINE_MORE};
    uint64_t length;
    if (len < 2)
        return line;
    const char *fault = frame_fault(at[0], at[1]);
    if (fault != NULL)
        return refused(fault);
    size_t head = length_read(at, len, &length);
    if (head == 0)
        return line;
    if ((head == 4 && length < LENGTH_16) || (head == 10 && length <= UINT16_MAX))
        return refused("a length that is written in more bytes than it needs");
    if (length > BENCH_WS_FRAME_MAX)
        return refused("a frame of more than 256 KiB");
    if (len - head < length)
        return line;
    switch (at[0] & 0x0f) {
    case BENCH_WS_TEXT:
        line = text_read(at + head, (size_t)length, form, payload_size);
        break;
    case BENCH_WS_CLOSE:
        line.kind = BENCH_LINE_CLOSE;
        break;
    case BENCH_WS_PING:
        line.kind = BENCH_LINE_PING;
        break;
    default: /* a pong, and nobody has sent a ping frame */
        line.kind = BENCH_LINE_OTHER;
        break;
    }
    line.head = (uint32_t)head;
    line.used = head + (size_t)length;
    return line;
}
