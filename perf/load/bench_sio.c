#include "perf/load/bench_sio.h"

#include <string.h>

static bool begins(const uint8_t *at, size_t len, const char *text) {
    size_t text_len = strlen(text);
    return len >= text_len && memcmp(at, text, text_len) == 0;
}

/* What a packet of Socket.IO is, behind the `4` that carries it. */
static enum bench_line_kind packet_kind(const uint8_t *at, size_t len) {
    static const char yes[] = "[{\"ok\":true";
    if (begins(at, len, "2[\"message\","))
        return BENCH_LINE_MESSAGE;
    if (begins(at, len, "0{"))
        return BENCH_LINE_CONNECTED;
    if (len > 2 && at[0] == '3' && begins(at + 2, len - 2, yes))
        return at[1] == BENCH_SIO_REGISTER ? BENCH_LINE_WELCOME
               : at[1] == BENCH_SIO_PING   ? BENCH_LINE_PONG
                                           : BENCH_LINE_OTHER;
    return len > 0 && at[0] >= '0' && at[0] <= '6' ? BENCH_LINE_OTHER : BENCH_LINE_BAD;
}

struct bench_line bench_sio_text(const uint8_t *at, size_t len, uint32_t payload_size) {
    static const char event[] = "42[\"message\",";
    struct bench_line line = {.kind = BENCH_LINE_BAD, .used = len};
    if (len == 0)
        return line;
    if (at[0] == '4') {
        line.kind = packet_kind(at + 1, len - 1);
        if (line.kind == BENCH_LINE_MESSAGE && len == sizeof event - 1 + payload_size + 1)
            line.payload = at + sizeof event - 1;
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
