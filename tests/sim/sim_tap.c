#include "tests/sim/sim_tap.h"

#include "core/base/check.h"
#include "tests/sim/sim_check.h"
#include "tests/sim/sim_frames.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_polls.h"
#include "tests/sim/sim_sse.h"
#include "tests/sim/sim_streams.h"
#include "tests/sim/sim_toys.h"
#include "tests/sim/sim_world.h"

#include <stdlib.h>

void tap_open(struct tap *tap, struct link *link) {
    tap->link = link;
}

void tap_close(struct tap *tap) {
    free(tap->at);
    free(tap->events);
    tap->at = NULL;
    tap->events = NULL;
}

struct tap_event *tap_event_add(struct tap *tap, enum tap_event_kind kind, uint64_t end) {
    if (tap->event_count == tap->event_size) {
        if (tap->event_taken > 0) {
            memmove(tap->events, tap->events + tap->event_taken,
                    (tap->event_count - tap->event_taken) * sizeof(*tap->events));
            tap->event_count -= tap->event_taken;
            tap->event_taken = 0;
        }
        if (tap->event_count == tap->event_size) {
            tap->event_size = tap->event_size * 2 + 16;
            tap->events = realloc(tap->events, tap->event_size * sizeof(*tap->events));
            CHECK(tap->events != NULL);
        }
    }
    struct tap_event *event = &tap->events[tap->event_count++];
    *event = (struct tap_event){.end = end, .kind = kind};
    return event;
}

const struct tap_event *tap_next(struct tap *tap, uint64_t read_offset) {
    if (tap->event_taken == tap->event_count || tap->events[tap->event_taken].end > read_offset)
        return NULL;
    return &tap->events[tap->event_taken++];
}

_Noreturn static void broken(const struct tap *tap, const char *what, struct span text) {
    sim_fail("link %u: the node wrote %s: %.*s", tap->link->number, what,
             (int)(text.len < 400 ? text.len : 400), text.at);
}

static void code_copy(struct tap_event *event, struct span code) {
    size_t len = code.len < sizeof(event->code) - 1 ? code.len : sizeof(event->code) - 1;
    memcpy(event->code, code.at, len);
    event->code[len] = '\0';
}

static uint32_t ref_number(struct span raw) {
    uint64_t ref = 0;
    return json_number(raw, &ref) ? (uint32_t)ref : 0;
}

/* --- clients that speak JSON ------------------------------------------------------------------ */

static uint32_t json_message(struct tap *tap, struct span line) {
    struct span id, event, payload, group = {0}, encoding, mark;
    char event_text[512], id_text[128];
    size_t event_len, id_len;
    if (!json_member(line, "id", &id) || !json_member(line, "event", &event) ||
        !json_member(line, "data", &payload) ||
        !json_string(event, event_text, sizeof(event_text), &event_len) ||
        !json_string(id, id_text, sizeof(id_text), &id_len))
        broken(tap, "a message without its fields", line);
    bool has_group = json_member(line, "group", &group);
    bool is_bytes = json_member(line, "encoding", &encoding);
    if (is_bytes && !json_is(encoding, "base64"))
        broken(tap, "an unknown encoding", line);
    tap->messages++;
    struct arrival arrival = {.offset = tap->offset,
                              .id = span_of(id_text, id_len),
                              .event = span_of(event_text, event_len),
                              .group_json = group,
                              .payload = payload,
                              .has_group = has_group,
                              .is_bytes = is_bytes,
                              .ack = json_member(line, "ack", &mark),
                              .redelivered = json_member(line, "redelivered", &mark)};
    return check_arrival(tap->session, &arrival);
}

static void json_line(struct tap *tap, struct span line, uint64_t end) {
    struct span type, value, rest;
    if (!json_value(line, &value, &rest) || rest.len != 0 || !json_member(line, "type", &type))
        broken(tap, "a line that is no object with a type", line);
    if (json_is(type, "message")) {
        uint32_t content = json_message(tap, line);
        tap_event_add(tap, TAP_MESSAGE, end)->content = content;
    } else if (json_is(type, "welcome")) {
        tap_event_add(tap, TAP_WELCOME, end);
        client_on_welcome(tap->session);
    } else if (json_is(type, "ping")) {
        tap_event_add(tap, TAP_PING, end);
    } else if (json_is(type, "pong")) {
        tap_event_add(tap, TAP_PONG, end);
    } else if (json_is(type, "goodbye")) {
        tap_event_add(tap, TAP_GOODBYE, end);
        tap->session->goodbye = true;
    } else if (json_is(type, "ok")) {
        struct tap_event *event = tap_event_add(tap, TAP_OK, end);
        struct span id = {0}, state = {0};
        char plain[32], id_text[128];
        size_t len = 0, id_len = 0;
        if (json_member(line, "ref", &value))
            event->ref = ref_number(value);
        if (json_member(line, "id", &id) && !json_string(id, id_text, sizeof(id_text), &id_len))
            broken(tap, "an id that is no string", line);
        if (json_member(line, "state", &state) && !json_string(state, plain, sizeof(plain), &len))
            broken(tap, "a state that is no string", line);
        client_on_ok(tap->session, event->ref, span_of(id_text, id_len), span_of(plain, len));
    } else if (json_is(type, "error")) {
        struct tap_event *event = tap_event_add(tap, TAP_ERROR, end);
        char plain[64];
        size_t len;
        if (!json_member(line, "code", &value) || !json_string(value, plain, sizeof(plain), &len))
            broken(tap, "an error without a code", line);
        code_copy(event, span_of(plain, len));
        if (json_member(line, "ref", &value))
            event->ref = ref_number(value);
        client_on_error(tap->session, event->ref, event->code);
    } else {
        broken(tap, "a line of an unknown type", line);
    }
}

/* --- clients with counted framing ---------------------------------------------------------------
 */

static struct span word_next(struct span *line) {
    const char *space = line->len == 0 ? NULL : memchr(line->at, ' ', line->len);
    size_t len = space == NULL ? line->len : (size_t)(space - line->at);
    struct span word = span_of(line->at, len);
    *line = span_skip(*line, space == NULL ? len : len + 1);
    return word;
}

static struct span word_plain(struct span word, char *out) {
    size_t len = 0;
    for (size_t i = 0; i < word.len; i++) {
        if (word.at[i] == '%' && i + 2 < word.len) {
            unsigned value = 0;
            for (size_t j = 1; j <= 2; j++) {
                char digit = word.at[i + j];
                value =
                    value * 16 + (unsigned)(digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10);
            }
            out[len++] = (char)value;
            i += 2;
        } else {
            out[len++] = word.at[i];
        }
    }
    return span_of(out, len);
}

static void counted_line(struct tap *tap, struct span line, uint64_t end) {
    struct span whole = line, word = word_next(&line);
    uint64_t number;
    if (span_equal(word, SPAN("MSG"))) {
        struct span rest = line;
        word_next(&rest);
        word_next(&rest);
        word_next(&rest);
        if (!json_number(word_next(&rest), &number) || rest.len != 0 ||
            whole.len >= sizeof(tap->head))
            broken(tap, "a bad MSG line", whole);
        memcpy(tap->head, whole.at, whole.len);
        tap->head[whole.len] = '\0';
        tap->head_offset = tap->offset;
        tap->payload_len = number;
        tap->in_payload = true;
    } else if (span_equal(word, SPAN("WELCOME"))) {
        tap_event_add(tap, TAP_WELCOME, end);
        client_on_welcome(tap->session);
    } else if (span_equal(word, SPAN("PING"))) {
        tap_event_add(tap, TAP_PING, end);
    } else if (span_equal(word, SPAN("PONG"))) {
        tap_event_add(tap, TAP_PONG, end);
    } else if (span_equal(word, SPAN("BYE"))) {
        tap_event_add(tap, TAP_GOODBYE, end);
        tap->session->goodbye = true;
    } else if (span_equal(word, SPAN("OK"))) {
        struct tap_event *event = tap_event_add(tap, TAP_OK, end);
        event->ref = ref_number(word_next(&line));
        struct span id = word_next(&line);
        client_on_ok(tap->session, event->ref, id, word_next(&line));
    } else if (span_equal(word, SPAN("ERR"))) {
        struct tap_event *event = tap_event_add(tap, TAP_ERROR, end);
        code_copy(event, word_next(&line));
        event->ref = ref_number(word_next(&line));
        client_on_error(tap->session, event->ref, event->code);
    } else {
        broken(tap, "an unknown word", whole);
    }
}

static void counted_message(struct tap *tap, struct span payload, uint64_t end) {
    struct span line = span_text(tap->head);
    char id_room[256], event_room[512];
    word_next(&line);
    struct span id = word_plain(word_next(&line), id_room);
    struct span event_word = word_next(&line);
    if (event_word.len > sizeof(event_room))
        broken(tap, "a long event", event_word);
    struct span event = word_plain(event_word, event_room), flags = word_next(&line);
    tap->messages++;
    struct arrival arrival = {.offset = tap->head_offset,
                              .id = id,
                              .event = event,
                              .payload = payload,
                              .has_group = memchr(flags.at, 'g', flags.len) != NULL,
                              .is_bytes = memchr(flags.at, 'b', flags.len) != NULL,
                              .ack = memchr(flags.at, 'a', flags.len) != NULL,
                              .redelivered = memchr(flags.at, 'r', flags.len) != NULL};
    uint32_t content = check_arrival(tap->session, &arrival);
    tap_event_add(tap, TAP_MESSAGE, end)->content = content;
}

/* --- HTTP ------------------------------------------------------------------------------------- */

/* The length of the first whole answer, or 0. */
static size_t answer_length(struct tap *tap, unsigned *status, struct span *body) {
    const char *end = tap->len < 4 ? NULL : memmem(tap->at, tap->len, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t head = (size_t)(end - tap->at) + 4;
    struct span text = span_of(tap->at, head);
    if (head < 16 || memcmp(tap->at, "HTTP/1.1 ", 9) != 0)
        broken(tap, "an answer that is no HTTP", text);
    *status = (unsigned)strtoul(tap->at + 9, NULL, 10);
    const char *length = memmem(tap->at, head, "Content-Length: ", 16);
    size_t bytes = 0;
    if (length != NULL)
        bytes = strtoul(length + 16, NULL, 10);
    else if (*status >= 200 && *status != 204)
        broken(tap, "an answer without a length", text);
    if (tap->len < head + bytes)
        return 0;
    *body = span_of(tap->at + head, bytes);
    return head + bytes;
}

/* --- all ----------------------------------------------------------------------------------------
 */

void tap_drop(struct tap *tap, size_t count) {
    memmove(tap->at, tap->at + count, tap->len - count);
    tap->len -= count;
    tap->offset += count;
    tap->looked = 0;
}

static bool tap_line(struct tap *tap) {
    const char *end = memchr(tap->at + tap->looked, '\n', tap->len - tap->looked);
    if (end == NULL) {
        tap->looked = tap->len;
        return false;
    }
    size_t len = (size_t)(end - tap->at);
    struct span line = span_of(tap->at, len > 0 && tap->at[len - 1] == '\r' ? len - 1 : len);
    SIM_TRACE("link %u < %.*s", tap->link->number, (int)(line.len < 200 ? line.len : 200), line.at);
    if (tap->kind == TAP_JSON)
        json_line(tap, line, tap->offset + len + 1);
    else
        counted_line(tap, line, tap->offset + len + 1);
    tap_drop(tap, len + 1);
    return true;
}

static bool tap_payload(struct tap *tap) {
    if (tap->len < tap->payload_len + 2)
        return false;
    if (memcmp(tap->at + tap->payload_len, "\r\n", 2) != 0)
        broken(tap, "a payload without its end", span_of(tap->at, tap->len));
    tap->in_payload = false;
    size_t len = tap->payload_len + 2;
    counted_message(tap, span_of(tap->at, tap->payload_len), tap->offset + len);
    tap_drop(tap, len);
    return true;
}

static bool tap_answer(struct tap *tap) {
    unsigned status = 0;
    struct span body = {0};
    size_t len = answer_length(tap, &status, &body);
    if (len == 0)
        return false;
    SIM_TRACE("link %u < HTTP %u %.*s", tap->link->number, status,
              (int)(body.len < 300 ? body.len : 300), body.at);
    if (tap->kind == TAP_POSTER) {
        poster_on_answer(tap->link, status, body);
        tap_drop(tap, len);
        return true;
    }
    if (status >= 200) {
        struct tap_event *event = tap_event_add(tap, TAP_ANSWER, tap->offset + len);
        event->status = status;
    }
    producer_on_answer(tap->producer, status, body);
    tap_drop(tap, len);
    return true;
}

/* What may refuse an honest handshake: the node goes, or has no memory. */
static bool tap_upgrade(struct tap *tap) {
    const char *end = memmem(tap->at, tap->len, "\r\n\r\n", 4);
    if (end == NULL)
        return false;
    size_t len = (size_t)(end - tap->at) + 4;
    if (memmem(tap->at, len, "HTTP/1.1 101 ", 13) == tap->at) {
        tap->kind = TAP_FRAMES;
    } else if (memmem(tap->at, len, "HTTP/1.1 503 ", 13) == tap->at) {
        tap_event_add(tap, TAP_REFUSED, tap->offset + len);
        tap->kind = TAP_UNKNOWN;
    } else {
        broken(tap, "another answer to a handshake", span_of(tap->at, len));
    }
    tap_drop(tap, len);
    return tap->kind == TAP_FRAMES;
}

static bool tap_frame(struct tap *tap) {
    unsigned opcode = 0;
    struct span payload = {0};
    int len = frame_read(span_of(tap->at, tap->len), &opcode, &payload);
    if (len < 0)
        broken(tap, "a frame that no server may send", span_of(tap->at, tap->len));
    if (len == 0)
        return false;
    SIM_TRACE("link %u < frame %u %.*s", tap->link->number, opcode,
              (int)(payload.len < 200 ? payload.len : 200), payload.at);
    uint64_t end = tap->offset + (uint64_t)len;
    if (opcode == FRAME_TEXT)
        json_line(tap, payload, end);
    else if (opcode == (FRAME_PACKED | FRAME_TEXT) && tap->session->deflates)
        json_line(tap, frame_inflate(payload), end);
    else if (opcode == FRAME_PING)
        tap_event_add(tap, TAP_PING, end);
    else if (opcode == FRAME_PONG)
        tap_event_add(tap, TAP_PONG, end);
    else if (opcode != FRAME_CLOSE)
        broken(tap, "a frame of another kind", payload);
    tap_drop(tap, (size_t)len);
    return true;
}

void tap_feed(struct tap *tap, const char *at, size_t len) {
    if (tap->kind == TAP_TOY)
        toy_on_bytes(tap->link, at, len);
    if (tap->kind == TAP_STREAM)
        stream_on_bytes(tap->link, at, len);
    if (tap->kind == TAP_POLL)
        poll_on_bytes(tap->link, at, len);
    if (tap->kind == TAP_UNKNOWN || tap->kind == TAP_TOY || tap->kind == TAP_STREAM ||
        tap->kind == TAP_POLL)
        return;
    if (tap->len + len > tap->size) {
        tap->size = (tap->len + len) * 2;
        tap->at = realloc(tap->at, tap->size);
        CHECK(tap->at != NULL);
    }
    memcpy(tap->at + tap->len, at, len);
    tap->len += len;
    bool more = true;
    while (more && tap->len > 0) {
        if (tap->kind == TAP_SSE)
            more = tap_sse(tap);
        else if (tap->kind == TAP_HTTP || tap->kind == TAP_POSTER)
            more = tap_answer(tap);
        else if (tap->kind == TAP_UPGRADE)
            more = tap_upgrade(tap);
        else if (tap->kind == TAP_FRAMES)
            more = tap_frame(tap);
        else if (tap->in_payload)
            more = tap_payload(tap);
        else
            more = tap_line(tap);
    }
}
