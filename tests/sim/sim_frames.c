#include "tests/sim/sim_frames.h"

#include "tests/sim/sim.h"

void frames_ask(struct text *out) {
    text_format(out, "GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                     "Connection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n");
}

static void frame_write(struct text *out, unsigned opcode, bool last, struct span payload) {
    char head[14];
    size_t len = 2;
    head[0] = (char)((last ? 0x80 : 0) | opcode);
    if (payload.len < 126) {
        head[1] = (char)(0x80 | payload.len);
    } else {
        unsigned digits = payload.len < 65536 ? 2 : 8;
        head[1] = (char)(0x80 | (digits == 2 ? 126 : 127));
        for (unsigned i = digits; i-- > 0;)
            head[len++] = (char)((uint64_t)payload.len >> (8 * i));
    }
    char key[4];
    for (unsigned i = 0; i < 4; i++)
        head[len++] = key[i] = (char)sim_roll(256);
    text_add(out, head, len);
    for (size_t i = 0; i < payload.len; i++) {
        char byte = (char)(payload.at[i] ^ key[i % 4]);
        text_add(out, &byte, 1);
    }
}

static void message_write(struct text *out, struct span line) {
    unsigned opcode = FRAME_TEXT;
    while (line.len > 1 && sim_chance(150)) {
        size_t piece = sim_between(0, line.len - 1);
        frame_write(out, opcode, false, span_of(line.at, piece));
        if (sim_chance(300))
            frame_write(out, FRAME_PING, true, SPAN("p"));
        line = span_skip(line, piece);
        opcode = 0;
    }
    frame_write(out, opcode, true, line);
}

void frames_write(struct text *out, const struct text *lines) {
    struct span rest = text_as_span(lines);
    while (rest.len != 0) {
        const char *end = memchr(rest.at, '\n', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.at);
        if (len != 0)
            message_write(out, span_of(rest.at, len));
        rest = span_skip(rest, end == NULL ? len : len + 1);
    }
}

void frames_write_pong(struct text *out) {
    frame_write(out, FRAME_PONG, true, SPAN(""));
}

void frames_write_close(struct text *out) {
    frame_write(out, FRAME_CLOSE, true, sim_chance(500) ? SPAN("\x03\xe8") : SPAN(""));
}

int frame_read(struct span bytes, unsigned *opcode, struct span *payload) {
    const unsigned char *s = (const unsigned char *)bytes.at;
    if (bytes.len < 2)
        return 0;
    size_t head = 2, len = s[1];
    if ((s[0] & 0x70) != 0 || (s[0] & 0x80) == 0 || (s[1] & 0x80) != 0)
        return -1;
    if (len > 125) {
        head += len == 126 ? 2 : 8;
        if (bytes.len < head)
            return 0;
        len = 0;
        for (size_t i = 2; i < head; i++)
            len = len << 8 | s[i];
    }
    if (bytes.len < head + len)
        return 0;
    *opcode = s[0] & 15;
    *payload = span_of(bytes.at + head, len);
    return (int)(head + len);
}
