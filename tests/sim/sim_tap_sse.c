/* Reads streams of server-sent events: the head, the chunks, the events in them. Each chunk is one
 * whole event or comment; see sim_tap.h. */
#include "core/base/check.h"
#include "tests/sim/sim_peer.h"
#include "tests/sim/sim_sse.h"

#include <stdlib.h>

_Noreturn static void broken(const struct tap *tap, const char *what) {
    sim_fail("link %u: in a stream: %s: %.*s", tap->link->number, what,
             (int)(tap->len < 400 ? tap->len : 400), tap->at);
}

/* One field, or nothing: a comment. */
static void field_take(const struct tap *tap, struct span line, struct span *id, struct span *event,
                       struct span *data) {
    static const struct span names[] = {{"id: ", 4}, {"event: ", 7}, {"data: ", 6}, {"retry: ", 7}};
    struct span *const places[] = {id, event, data, NULL};
    for (unsigned i = 0; i < 4; i++) {
        if (line.len < names[i].len || memcmp(line.at, names[i].at, names[i].len) != 0)
            continue;
        if (places[i] == NULL)
            return;
        /* No payload of a producer here has a line break. */
        if (places[i]->at != NULL)
            broken(tap, "a field comes twice");
        *places[i] = span_skip(line, names[i].len);
        return;
    }
    if (line.len == 0 || line.at[0] != ':')
        broken(tap, "a line that is no field");
}

static void welcome_take(struct tap *tap, struct span data, uint64_t end) {
    struct span session;
    size_t len;
    if (!json_member(data, "session", &session) ||
        !json_string(session, tap->session->text, sizeof(tap->session->text) - 1, &len))
        broken(tap, "a welcome without a session");
    tap->session->text[len] = '\0';
    tap_event_add(tap, TAP_WELCOME, end);
    client_on_welcome(tap->session);
}

/* `text` ends in an empty line. */
static void event_take(struct tap *tap, struct span text, uint64_t end) {
    struct span id = {0}, event = {0}, data = {0};
    while (text.len > 1) {
        const char *feed = memchr(text.at, '\n', text.len);
        size_t len = (size_t)(feed - text.at);
        field_take(tap, span_of(text.at, len), &id, &event, &data);
        text = span_skip(text, len + 1);
    }
    if (data.at == NULL)
        return;
    if (event.at == NULL)
        broken(tap, "an event without a name");
    if (id.at == NULL && span_equal(event, SPAN("welcome"))) {
        welcome_take(tap, data, end);
    } else if (id.at == NULL && span_equal(event, SPAN("goodbye"))) {
        tap_event_add(tap, TAP_GOODBYE, end);
        tap->session->goodbye = true;
    } else {
        if (id.at == NULL || id.len >= sizeof(((struct tap_event *)NULL)->id))
            broken(tap, "a message without an id");
        tap->messages++;
        struct arrival arrival = {
            .offset = tap->offset, .id = id, .event = event, .payload = data, .unmarked = true};
        uint32_t content = check_arrival(tap->session, &arrival);
        struct tap_event *told = tap_event_add(tap, TAP_MESSAGE, end);
        told->content = content;
        told->acks = tap->session->ack_log_count;
        memcpy(told->id, id.at, id.len);
        told->id[id.len] = '\0';
    }
}

/* An answer that is no stream. */
static bool refusal_take(struct tap *tap, size_t head) {
    const char *length = memmem(tap->at, head, "Content-Length: ", 16);
    size_t bytes = length == NULL ? 0 : strtoul(length + 16, NULL, 10);
    struct span error, code;
    char plain[64];
    size_t len;
    if (tap->len < head + bytes)
        return false;
    if (!json_member(span_of(tap->at + head, bytes), "error", &error) ||
        !json_member(error, "code", &code) || !json_string(code, plain, sizeof(plain) - 1, &len))
        broken(tap, "a refusal without a code");
    plain[len] = '\0';
    client_on_error(tap->session, 0, plain);
    tap_event_add(tap, TAP_ERROR, tap->offset + head + bytes);
    tap_drop(tap, head + bytes);
    return true;
}

static bool head_take(struct tap *tap) {
    const char *end = tap->len < 4 ? NULL : memmem(tap->at, tap->len, "\r\n\r\n", 4);
    if (end == NULL)
        return false;
    size_t head = (size_t)(end - tap->at) + 4;
    if (head < 16 || memcmp(tap->at, "HTTP/1.1 ", 9) != 0)
        broken(tap, "an answer that is no HTTP");
    if (strtoul(tap->at + 9, NULL, 10) != 200)
        return refusal_take(tap, head);
    if (tap->head[0] != '\0')
        broken(tap, "a second head");
    bool chunks = memmem(tap->at, head, "Transfer-Encoding: chunked", 26) != NULL;
    if (chunks == tap->session->plain)
        broken(tap, "a stream of the wrong framing");
    tap->head[0] = chunks ? 'c' : 'p';
    tap_drop(tap, head);
    return true;
}

static bool chunk_take(struct tap *tap) {
    const char *feed = memchr(tap->at, '\n', tap->len);
    if (feed == NULL)
        return false;
    size_t head = (size_t)(feed - tap->at) + 1, size = strtoul(tap->at, NULL, 16);
    if (tap->len < head + size + 2)
        return false;
    const char *data = tap->at + head;
    if (memcmp(data + size, "\r\n", 2) != 0 || (size != 0 && memcmp(data + size - 2, "\n\n", 2)))
        broken(tap, "a chunk that is no whole event");
    uint64_t end = tap->offset + head + size + 2;
    if (size != 0)
        event_take(tap, span_of(data, size), end);
    else
        tap->head[0] = 'e';
    tap_drop(tap, head + size + 2);
    return true;
}

static bool plain_take(struct tap *tap) {
    const char *end = tap->len < 2 ? NULL : memmem(tap->at, tap->len, "\n\n", 2);
    if (end == NULL)
        return false;
    size_t len = (size_t)(end - tap->at) + 2;
    event_take(tap, span_of(tap->at, len), tap->offset + len);
    tap_drop(tap, len);
    return true;
}

bool tap_sse(struct tap *tap) {
    switch (tap->head[0]) {
    case 'c':
        return chunk_take(tap);
    case 'p':
        return plain_take(tap);
    case 'e':
        broken(tap, "more behind the end");
    default:
        return head_take(tap);
    }
}
