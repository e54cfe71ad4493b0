#include "proto/client/tcp.h"

#include "core/base/shortage.h"
#include "core/worker.h"
#include "proto/client/client.h"
#include "proto/client/counted.h"
#include "proto/text/json.h"

/* The names of the line that is being read: one line at a time on each thread. */
static _Thread_local struct line_scratch line_scratch;

static bool is_blank(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static size_t payload_bytes_max(const struct worker *worker) {
    return (size_t)worker->config->max_message_bytes + LINE_SLACK_BYTES;
}

static size_t line_bytes_max(const struct worker *worker, const struct client *client) {
    return client->stage == CLIENT_GREETING ? HELLO_BYTES_MAX : payload_bytes_max(worker);
}

/* Looks for the byte that decides. Returns how many blanks are before it. */
static size_t framing_choose(struct worker *worker, struct connection *connection,
                             struct span bytes) {
    struct client *client = client_of(connection);
    size_t blanks = 0;
    while (blanks < bytes.len && is_blank(bytes.at[blanks]))
        blanks++;
    if (blanks == bytes.len)
        return blanks;
    char first = bytes.at[blanks];
    client->framing = CLIENT_FRAMING_LINE;
    if (first >= 'A' && first <= 'Z')
        client->framing = CLIENT_FRAMING_COUNTED;
    else if (first != '{')
        client_fail(worker, connection, CODE_BAD_JSON,
                    "the first byte is neither { nor a letter from A to Z", SPAN(""));
    return blanks;
}

/* Do bytes that are no line yet begin like one that sends a message? */
static bool begins_send(const struct client *client, struct span bytes) {
    bool counted = client->framing == CLIENT_FRAMING_COUNTED;
    struct span begin = counted ? SPAN("SEND ") : SPAN("{\"type\":\"send\"");
    return client->stage == CLIENT_LIVE && bytes.len >= begin.len &&
           memcmp(bytes.at, begin.at, begin.len) == 0;
}

/* An error for such bytes. */
static void unread_fail(struct worker *worker, struct connection *connection, enum code code,
                        const char *text, struct span bytes) {
    bool sends = begins_send(client_of(connection), bytes);
    if (client_bad(worker, connection, code, text, SPAN("")) && sends)
        stats_refuse(&worker->stats, code_word(code));
}

/* Each of these takes one line, with its payload, off the front; 0: it is not whole yet, or the
 * connection has been ended. */

static size_t line_take(struct worker *worker, struct connection *connection, struct span bytes) {
    struct client *client = client_of(connection);
    size_t from = client->known_bytes < bytes.len ? client->known_bytes : bytes.len;
    const char *end = memchr(bytes.at + from, '\n', bytes.len - from);
    size_t line_bytes = end != NULL ? (size_t)(end - bytes.at) : bytes.len;
    size_t blanks = line_bytes != 0 && bytes.at[line_bytes - 1] == '\r';
    if (line_bytes - blanks > line_bytes_max(worker, client)) {
        unread_fail(worker, connection, CODE_TOO_LARGE,
                    client->stage == CLIENT_GREETING ? "the hello is longer than 16384 bytes"
                                                     : "the line is over its limit",
                    bytes);
        return 0;
    }
    if (end == NULL) {
        client->known_bytes = (uint32_t)bytes.len;
        return 0;
    }
    struct span text = span_of(bytes.at, line_bytes);
    if (json_line_is_blank(text))
        return line_bytes + 1;
    struct client_line line;
    struct complaint complaint;
    if (line_parse(text, &line_scratch, &line, &complaint))
        client_on_line(worker, connection, &line, SPAN(""));
    else
        client_on_complaint(worker, connection, &complaint, line.ref);
    return client->again ? 0 : line_bytes + 1;
}

/* A SEND that cannot be read asked for a message all the same. */
static void send_fail(struct worker *worker, struct connection *connection, enum code code,
                      const char *text, struct span ref) {
    if (client_bad(worker, connection, code, text, ref))
        stats_refuse(&worker->stats, code_word(code));
}

static size_t counted_take(struct worker *worker, struct connection *connection,
                           struct span bytes) {
    struct client *client = client_of(connection);
    if (bytes.len < client->known_bytes)
        return 0;
    struct span text;
    size_t used = 0;
    switch (counted_cut(bytes, &text, &used)) {
    case COUNTED_MORE:
        return 0;
    case COUNTED_TOO_LONG:
        unread_fail(worker, connection, CODE_BAD_FRAME, "the control line is over its limit",
                    bytes);
        return 0;
    case COUNTED_LINE:
        break;
    }
    if (text.len == 0)
        return used;
    struct client_line line;
    struct complaint complaint;
    bool good = counted_parse(text, &line_scratch, &line, &complaint);
    struct span payload = SPAN("");
    bool sends = line.type == CLIENT_LINE_SEND && client->stage != CLIENT_GREETING;
    if (sends && (good || complaint.code != CODE_BAD_FRAME)) {
        if (line.payload_bytes > payload_bytes_max(worker)) {
            send_fail(worker, connection, CODE_TOO_LARGE, "the payload is over --max-message",
                      line.ref);
            return 0;
        }
        size_t needed = used + line.payload_bytes;
        int end_bytes = 0;
        if (bytes.len > needed)
            end_bytes = counted_payload_end(span_skip(bytes, needed));
        if (end_bytes == 0) {
            client->known_bytes = (uint32_t)(bytes.len > needed ? bytes.len : needed) + 1;
            return 0;
        }
        if (end_bytes < 0) {
            send_fail(worker, connection, CODE_BAD_FRAME,
                      "there is no line end where the payload should end", line.ref);
            return 0;
        }
        payload = span_of(bytes.at + used, line.payload_bytes);
        used = needed + (size_t)end_bytes;
    }
    if (good)
        client_on_line(worker, connection, &line, payload);
    else if (client_on_complaint(worker, connection, &complaint, line.ref) && sends)
        stats_refuse(&worker->stats, code_word(complaint.code));
    return client->again ? 0 : used;
}

static size_t tcp_on_bytes(struct worker *worker, struct connection *connection, char *at,
                           size_t len) {
    struct client *client = client_of(connection);
    size_t used = 0;
    bool unfinished = false;
    client->again = false;
    client_heard(worker, connection);
    while (used < len && connection_is_open(connection)) {
        struct span rest = span_of(at + used, len - used);
        if (client->stage == CLIENT_LEAVING || client->cut)
            return len;
        if (client->framing == CLIENT_FRAMING_NONE) {
            used += framing_choose(worker, connection, rest);
            continue;
        }
        if (!client_ready(worker, connection))
            break;
        size_t took = client->framing == CLIENT_FRAMING_LINE
                          ? line_take(worker, connection, rest)
                          : counted_take(worker, connection, rest);
        unfinished = took == 0 && !client->again;
        if (took == 0)
            break;
        client->known_bytes = 0;
        used += took;
        if (used < len && replies_throttle(worker, connection))
            break;
        if (used < len && slice_over(worker)) {
            connection_yield(worker, connection);
            break;
        }
    }
    if (!connection_is_open(connection))
        return len;
    client_input_look(worker, connection, unfinished, len - used, used != 0);
    return connection_is_open(connection) ? used : len;
}

static size_t tcp_input_max(struct worker *worker, struct connection *connection) {
    (void)connection;
    /* More than any line, and than any control line with its payload: those limits speak first. */
    return COUNTED_INPUT_BYTES_MAX + payload_bytes_max(worker) + 2;
}

static void tcp_on_flood(struct worker *worker, struct connection *connection) {
    client_fail(worker, connection, CODE_TOO_LARGE, "the line is over its limit", SPAN(""));
}

/* A part of the line is lost, so nothing behind it can be read. */
static const struct client_failure lost_line = {CODE_OVERLOADED, 0,
                                                "there is no memory for the line"};

static void tcp_on_no_memory(struct worker *worker, struct connection *connection,
                             struct span lost) {
    const struct client *client = client_of(connection);
    SHORTAGE_MET();
    if (!client->cut && begins_send(client, lost))
        stats_refuse(&worker->stats, code_word(CODE_OVERLOADED));
    client_cut(worker, connection, &lost_line);
}

const struct protocol tcp_protocol = {
    .name = "tcp",
    .on_open = client_open,
    .on_bytes = tcp_on_bytes,
    .input_max = tcp_input_max,
    .on_flood = tcp_on_flood,
    .on_no_memory = tcp_on_no_memory,
    .on_end = client_on_end,
    .on_deadline = client_on_deadline,
    .is_waited = client_is_waited,
    .on_sent = client_on_sent,
    .on_drain = client_on_drain,
    .on_close = client_on_close,
    .on_free = client_on_free,
};
