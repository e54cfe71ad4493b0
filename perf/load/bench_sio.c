#include "perf/load/bench_sio.h"

#include <string.h>

static bool begins(const uint8_t *at, size_t len, const char *text) {
    size_t text_len = strlen(text);
    return len >= text_len && memcmp(at, text, text_len) == 0;
}

static const char event[] = "[\"message\",";

/* Bytes of the number behind `42`, which asks for a callback; 0: there is none. */
static size_t callback_len(const uint8_t *at, size_t len) {
    size_t digits = 0;
    while (2 + digits < len && at[2 + digits] >= '0' && at[2 + digits] <= '9')
        digits++;
    return digits;
}

/* What a packet of Socket.IO is, behind the `4` that carries it. */
static enum bench_line_kind packet_kind(const uint8_t *at, size_t len) {
    static const char yes[] = "[{\"ok\":true";
    if (begins(at, len, "0{"))
        return BENCH_LINE_CONNECTED;
    if (len > 2 && at[0] == '3' && begins(at + 2, len - 2, yes))
        return at[1] == BENCH_SIO_REGISTER ? BENCH_LINE_WELCOME
               : at[1] == BENCH_SIO_PING   ? BENCH_LINE_PONG
                                           : BENCH_LINE_OTHER;
    return len > 0 && at[0] >= '0' && at[0] <= '6' ? BENCH_LINE_OTHER : BENCH_LINE_BAD;
}

/* The payload of an event, NULL: it has none of that size. */
static const uint8_t *payload_of(const uint8_t *at, size_t len, uint32_t size) {
    if (len < size + 1 || at[len - 1] != ']')
        return NULL;
    return len == size + 1 || at[size] == ',' ? at : NULL;
}

struct bench_line bench_sio_text(const uint8_t *at, size_t len, uint32_t payload_size) {
    struct bench_line line = {.kind = BENCH_LINE_BAD, .used = len};
    if (len == 0)
        return line;
    if (begins(at, len, "42")) {
        size_t head = 2 + callback_len(at, len);
        line.kind = BENCH_LINE_OTHER;
        if (begins(at + head, len - head, event)) {
            head += sizeof event - 1;
            line.kind = BENCH_LINE_MESSAGE;
            line.payload = payload_of(at + head, len - head, payload_size);
        }
    } else if (at[0] == '4') {
        line.kind = packet_kind(at + 1, len - 1);
    } else if (begins(at, len, "0{")) {
        line.kind = BENCH_LINE_OPEN;
    } else if (len == 1 && at[0] == '2') {
        line.kind = BENCH_LINE_PING;
    } else if (len == 1 && at[0] == '6') {
        line.kind = BENCH_LINE_NOTHING;
    } else if (len == 1 && at[0] == '1') {
        line.kind = BENCH_LINE_OTHER;
    }
    return line;
}

bool bench_sio_asks(const uint8_t *at, const struct bench_line *line, struct bench_asks *asks) {
    static const char meta[] = ",{\"id\":\"", again[] = "\"redelivered\":true";
    const uint8_t *text = at + line->head, *end = at + line->used;
    size_t digits = callback_len(text, (size_t)(end - text));
    const uint8_t *id = memmem(line->payload, (size_t)(end - line->payload), meta, sizeof meta - 1);
    if (digits == 0 || digits > 15 || id == NULL)
        return false;
    asks->id = id + sizeof meta - 1;
    const uint8_t *quote = memchr(asks->id, '"', (size_t)(end - asks->id));
    if (quote == NULL)
        return false;
    asks->id_len = (size_t)(quote - asks->id);
    asks->again = memmem(quote, (size_t)(end - quote), again, sizeof again - 1) != NULL;
    asks->callback = 0;
    for (size_t i = 0; i < digits; i++)
        asks->callback = asks->callback * 10 + (uint64_t)(text[2 + i] - '0');
    return true;
}

bool bench_sio_sid(const uint8_t *at, size_t len, char out[BENCH_SIO_SID_MAX + 1]) {
    static const char member[] = "\"sid\":\"";
    const uint8_t *sid = memmem(at, len, member, sizeof member - 1);
    if (sid == NULL)
        return false;
    sid += sizeof member - 1;
    const uint8_t *end = memchr(sid, '"', (size_t)(at + len - sid));
    size_t sid_len = end != NULL ? (size_t)(end - sid) : 0;
    if (sid_len == 0 || sid_len > BENCH_SIO_SID_MAX)
        return false;
    memcpy(out, sid, sid_len);
    out[sid_len] = '\0';
    return true;
}
