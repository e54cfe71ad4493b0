#include "proto/web/sse_write.h"

#include "core/base/builder.h"
#include "proto/text/base64.h"
#include "proto/text/json.h"

/* Variants. */
enum { CHUNKED, PLAIN };

/* The size of a chunk in hexadecimal digits, and its line end. */
#define CHUNK_HEAD_BYTES (2 * sizeof(uint32_t) + 2)
#define ID "id: "
#define EVENT "\nevent: "
#define DATA "\ndata: "
#define END "\n\n"

static const char *break_find(struct span text) {
    const char *feed = text.len == 0 ? NULL : memchr(text.at, '\n', text.len);
    const char *carriage = text.len == 0 ? NULL : memchr(text.at, '\r', text.len);
    if (feed == NULL || carriage == NULL)
        return feed == NULL ? carriage : feed;
    return feed < carriage ? feed : carriage;
}

bool sse_line_next(struct span *rest, struct span *line) {
    if (rest->at == NULL)
        return false;
    const char *at = break_find(*rest);
    if (at == NULL) {
        *line = *rest;
        *rest = span_of(NULL, 0);
        return true;
    }
    size_t len = (size_t)(at - rest->at);
    *line = span_of(rest->at, len);
    bool both = at[0] == '\r' && len + 1 < rest->len && at[1] == '\n';
    *rest = span_skip(*rest, len + (both ? 2 : 1));
    return true;
}

/* How many line breaks the payload has, and how many bytes they are. */
static size_t breaks_count(struct span payload, size_t *bytes) {
    struct span line;
    size_t count = 0, kept = 0, len = payload.len;
    while (sse_line_next(&payload, &line)) {
        count++;
        kept += line.len;
    }
    *bytes = len - kept;
    return count - 1;
}

/* What is written of the payload instead of the payload itself; 0: it follows as it is. */
static size_t payload_bytes(const struct message *message) {
    struct span payload = message_payload(message);
    if (message->is_bytes)
        return 2 + base64_len(payload.len);
    size_t break_bytes, breaks = 0;
    if (break_find(payload) != NULL)
        breaks = breaks_count(payload, &break_bytes);
    if (breaks == 0)
        return message->breaks_grow == 0 ? 0 : payload.len + message->breaks_grow;
    return payload.len + message->breaks_grow - break_bytes + breaks * (sizeof DATA - 1);
}

static void payload_write(const struct message *message, struct builder *out) {
    struct span rest = message_payload(message), line;
    if (message->is_bytes) {
        line_message_bytes(out, rest);
        return;
    }
    for (bool first = true; sse_line_next(&rest, &line); first = false) {
        if (!first)
            builder_text(out, DATA);
        json_escape_breaks(line, out);
    }
}

/* All of the event but its payload. */
static size_t frame_bytes(const struct message *message) {
    return sizeof ID EVENT DATA END - 1 + message_id(message).len + message_event(message).len;
}

static size_t bound(const struct encoding *encoding, const struct message *message) {
    size_t bytes = frame_bytes(message) + payload_bytes(message);
    return encoding->variant == PLAIN ? bytes : bytes + CHUNK_HEAD_BYTES + 2;
}

static bool head(const struct encoding *encoding, const struct message *message,
                 struct builder *out) {
    size_t instead = payload_bytes(message);
    if (encoding->variant == CHUNKED) {
        size_t payload = instead != 0 ? instead : message->payload_len;
        builder_format(out, "%zx\r\n", frame_bytes(message) + payload);
    }
    builder_text(out, ID);
    builder_span_add(out, message_id(message));
    builder_text(out, EVENT);
    builder_span_add(out, message_event(message));
    builder_text(out, DATA);
    if (instead == 0)
        return true;
    payload_write(message, out);
    return false;
}

static void tail(const struct encoding *encoding, const struct message *message,
                 struct builder *out) {
    (void)message;
    builder_text(out, encoding->variant == CHUNKED ? END "\r\n" : END);
}

struct encoding encoding_sse = {
    .name = "sse", .variant = CHUNKED, .bound = bound, .head = head, .tail = tail};
struct encoding encoding_sse_plain = {
    .name = "sse_plain", .variant = PLAIN, .bound = bound, .head = head, .tail = tail};

void sse_welcome(struct builder *out, const struct welcome *welcome) {
    builder_text(out, "event: welcome\ndata: ");
    line_welcome(out, welcome);
    builder_text(out, END);
}

void sse_goodbye(struct builder *out, const char *reason, uint64_t reconnect_ms) {
    builder_text(out, "event: goodbye\nretry: ");
    builder_u64(out, reconnect_ms);
    builder_text(out, "\ndata: ");
    line_goodbye(out, reason, reconnect_ms);
    builder_text(out, END);
}
