#include "perf/load/bench_wire.h"

#include "perf/load/bench_sio.h"
#include "perf/load/bench_sse.h"
#include "perf/load/bench_ws.h"

#include <stdio.h>
#include <string.h>

#define ONES UINT64_C(0x0101010101010101)

/* offsets of the payload's members */
#define RUN_AT 8u
#define NUMBER_AT 23u
#define TO_AT 39u
#define TIME_AT 55u
#define FILL_AT 81u
static const char payload_form[] = "{\"rpb\":\"        \",\"n\":\"        \",\"to\":\"        "
                                   "\",\"at\":\"                \",\"fill\":\"";
_Static_assert(sizeof payload_form - 1 == FILL_AT, "the offsets above are those of the form");

static uint64_t hex_digits(uint32_t value) {
    uint64_t x = __builtin_bswap32(value);
    x = (x | x << 16) & UINT64_C(0x0000ffff0000ffff);
    x = (x | x << 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x >> 4 & UINT64_C(0x000f000f000f000f)) | (x & UINT64_C(0x000f000f000f000f)) << 8;
    uint64_t letters = (x + 0x76 * ONES) >> 7 & ONES; /* 1 where the digit is 10 or more */
    return x + '0' * ONES + letters * ('a' - '0' - 10);
}

void bench_hex_write(uint8_t at[8], uint32_t value) {
    uint64_t digits = hex_digits(value);
    memcpy(at, &digits, 8);
}

bool bench_hex_read(const uint8_t at[8], uint32_t *value) {
    uint64_t digits;
    memcpy(&digits, at, 8);
    uint64_t x = (digits & 0x0f * ONES) + 9 * (digits >> 6 & ONES);
    x = (x << 4 | x >> 8) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x >> 8) & UINT64_C(0x0000ffff0000ffff);
    x = x | x >> 16;
    *value = __builtin_bswap32((uint32_t)x);
    return hex_digits(*value) == digits;
}

/* The first byte of the filling: a letter that another digit in any one place makes another one,
 * since 23 is a prime and has no part in 16. Digits may look right and be wrong, filling not. */
static uint8_t check_letter(const struct bench_payload *payload) {
    uint64_t sum = (uint64_t)payload->run + UINT64_C(2) * payload->number +
                   UINT64_C(3) * payload->to + UINT64_C(5) * (payload->at_ns >> 32) +
                   UINT64_C(7) * (uint32_t)payload->at_ns;
    return (uint8_t)('A' + sum % 23);
}

void bench_payload_patch(uint8_t *at, const struct bench_payload *payload) {
    bench_hex_write(at + RUN_AT, payload->run);
    bench_hex_write(at + NUMBER_AT, payload->number);
    bench_hex_write(at + TO_AT, payload->to);
    bench_hex_write(at + TIME_AT, (uint32_t)(payload->at_ns >> 32));
    bench_hex_write(at + TIME_AT + 8, (uint32_t)payload->at_ns);
    at[FILL_AT] = check_letter(payload);
}

/* The filling: varied, so that a shifted or mixed copy does not look right. It is so long that most
 * fillings are one comparison. */
#define FILL_PERIOD 23u
#define FILL_LETTERS "ABCDEFGHIJKLMNOPQRSTUVW"
#define FILL_LINE FILL_LETTERS FILL_LETTERS FILL_LETTERS FILL_LETTERS
static const char filling[] = FILL_LINE FILL_LINE;
_Static_assert(sizeof FILL_LETTERS - 1 == FILL_PERIOD, "a letter of each place");

/* The bytes of a payload from `at` on, and how many up to `to` lie in one piece. */
static const char *fill_piece(uint32_t at, uint32_t to, uint32_t *len) {
    uint32_t skip = at % FILL_PERIOD, there = (uint32_t)sizeof filling - 1 - skip;
    *len = to - at < there ? to - at : there;
    return filling + skip;
}

void bench_payload_write(uint8_t *at, uint32_t size, const struct bench_payload *payload) {
    memcpy(at, payload_form, FILL_AT);
    for (uint32_t i = FILL_AT + 1, len; i < size - 2; i += len) {
        const char *piece = fill_piece(i, size - 2, &len);
        memcpy(at + i, piece, len);
    }
    at[size - 2] = '"';
    at[size - 1] = '}';
    bench_payload_patch(at, payload);
}

bool bench_payload_read(const uint8_t *at, uint32_t size, struct bench_payload *payload) {
    uint32_t high, low;
    if (memcmp(at, payload_form, RUN_AT) != 0 ||
        memcmp(at + RUN_AT + 8, payload_form + RUN_AT + 8, NUMBER_AT - RUN_AT - 8) != 0 ||
        memcmp(at + NUMBER_AT + 8, payload_form + NUMBER_AT + 8, TO_AT - NUMBER_AT - 8) != 0 ||
        memcmp(at + TO_AT + 8, payload_form + TO_AT + 8, TIME_AT - TO_AT - 8) != 0 ||
        memcmp(at + TIME_AT + 16, payload_form + TIME_AT + 16, FILL_AT - TIME_AT - 16) != 0)
        return false;
    if (!bench_hex_read(at + RUN_AT, &payload->run) ||
        !bench_hex_read(at + NUMBER_AT, &payload->number) ||
        !bench_hex_read(at + TO_AT, &payload->to) || !bench_hex_read(at + TIME_AT, &high) ||
        !bench_hex_read(at + TIME_AT + 8, &low))
        return false;
    payload->at_ns = (uint64_t)high << 32 | low;
    if (at[FILL_AT] != check_letter(payload))
        return false;
    for (uint32_t i = FILL_AT + 1, len; i < size - 2; i += len) {
        const char *piece = fill_piece(i, size - 2, &len);
        if (memcmp(at + i, piece, len) != 0)
            return false;
    }
    return at[size - 2] == '"' && at[size - 1] == '}';
}

bool bench_payload_to(const uint8_t *at, uint32_t *to) {
    return bench_hex_read(at + TO_AT, to);
}

const uint8_t *bench_payload_find(const uint8_t *line, size_t len, uint32_t size) {
    if (len > size) {
        const uint8_t *usual = line + len - 1 - size;
        if (memcmp(usual, payload_form, RUN_AT) == 0)
            return usual;
    }
    const uint8_t *found = memmem(line, len, payload_form, RUN_AT);
    if (found == NULL || (size_t)(line + len - found) < size)
        return NULL;
    return found;
}

void bench_name_write(char out[BENCH_NAME_BYTES + 1], char letter, uint32_t run, uint32_t address) {
    out[0] = letter;
    bench_hex_write((uint8_t *)out + 1, run);
    out[9] = '-';
    bench_hex_write((uint8_t *)out + 10, address);
    out[BENCH_NAME_BYTES] = '\0';
}

size_t bench_request_max(uint32_t payload_size) {
    return 768u + payload_size;
}

static const struct {
    const char *path;
    const char *entry;
    char letter;
} kinds[] = {
    [BENCH_UNICAST] = {"/v1/clients/", "{\"to\":\"", 'b'},
    [BENCH_GROUP] = {"/v1/groups/", "{\"group\":\"", 'g'},
    [BENCH_BROADCAST] = {"/v1/broadcast", "{\"broadcast\":true", '\0'},
    [BENCH_LONE] = {"/v1/clients/", "{\"to\":\"", 'b'},
};

static void request_text(struct bench_request *r, const char *text) {
    size_t len = strlen(text);
    memcpy(r->at + r->len, text, len);
    r->len += len;
}

static void request_name(struct bench_request *r, enum bench_kind kind) {
    if (kind == BENCH_BROADCAST)
        return;
    r->name_at = r->len;
    bench_name_write((char *)r->at + r->len, kinds[kind].letter, 0, 0);
    r->len += BENCH_NAME_BYTES;
}

static void request_payload(struct bench_request *r, uint32_t size) {
    static const struct bench_payload nothing;
    r->payload_at = r->len;
    r->payload_size = size;
    bench_payload_write(r->at + r->len, size, &nothing);
    r->len += size;
}

/* The header lines that every request has. Host and key are bounded, so that the room always does.
 */
static void request_headers(char out[448], const char *host, const char *key, const char *type,
                            size_t body_len) {
    snprintf(
        out, 448,
        " HTTP/1.1\r\nHost: %.64s\r\n%s%.200s%sContent-Type: %s\r\nContent-Length: %zu\r\n\r\n",
        host, key != NULL ? "Authorization: Bearer " : "", key != NULL ? key : "",
        key != NULL ? "\r\n" : "", type, body_len);
}

static struct bench_request request_make(uint8_t *out, enum bench_kind kind, uint32_t payload_size,
                                         const char *query, const char *host, const char *key) {
    struct bench_request r = {.at = out};
    char headers[448];
    request_text(&r, "POST ");
    request_text(&r, kinds[kind].path);
    request_name(&r, kind);
    request_text(&r, query);
    request_headers(headers, host, key, "application/json", payload_size);
    request_text(&r, headers);
    request_payload(&r, payload_size);
    return r;
}

struct bench_request bench_request_make(uint8_t *out, enum bench_kind kind, uint32_t payload_size,
                                        const char *host, const char *key) {
    return request_make(out, kind, payload_size, "", host, key);
}

struct bench_request bench_request_make_ack(uint8_t *out, uint32_t payload_size, bool wait,
                                            const char *host, const char *key) {
    return request_make(out, BENCH_UNICAST, payload_size,
                        wait ? "?ack=1&wait=ack&timeout=10" : "?ack=1", host, key);
}

struct bench_request bench_entry_make(uint8_t *out, enum bench_kind kind, uint32_t payload_size) {
    struct bench_request r = {.at = out};
    request_text(&r, kinds[kind].entry);
    request_name(&r, kind);
    request_text(&r, kind == BENCH_BROADCAST ? ",\"data\":" : "\",\"data\":");
    request_payload(&r, payload_size);
    request_text(&r, "}");
    return r;
}

size_t bench_batch_head(char *out, bool ndjson, size_t body_len, const char *host,
                        const char *key) {
    static const char line[] = "POST /v1/messages";
    memcpy(out, line, sizeof line - 1);
    request_headers(out + sizeof line - 1, host, key,
                    ndjson ? "application/x-ndjson" : "application/json", body_len);
    return strlen(out);
}

void bench_request_stamp(uint8_t *out, const struct bench_request *request, uint32_t names_run,
                         const struct bench_payload *payload) {
    memcpy(out, request->at, request->len);
    if (request->name_at != 0) {
        bench_hex_write(out + request->name_at + 1, names_run);
        bench_hex_write(out + request->name_at + 10, payload->to & BENCH_ADDRESS_MASK);
    }
    bench_payload_patch(out + request->payload_at, payload);
}

/* Reads decimal digits at *at up to `end`; false if there is none or too many. */
static bool decimal_read(const uint8_t **at, const uint8_t *end, uint32_t *value) {
    const uint8_t *p = *at;
    uint32_t sum = 0;
    while (p < end && *p >= '0' && *p <= '9' && p - *at < 9)
        sum = sum * 10 + (uint32_t)(*p++ - '0');
    if (p == *at)
        return false;
    *at = p;
    *value = sum;
    return true;
}

/* Does the header line at `at` have this lower-case name? Gives what follows the colon and spaces.
 */
static const uint8_t *header_value(const uint8_t *at, const uint8_t *end, const char *name) {
    for (; *name != '\0'; name++, at++)
        if (at >= end || (*at | 0x20) != *name)
            return NULL;
    if (at >= end || *at++ != ':')
        return NULL;
    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    return at;
}

long bench_answer_read(const uint8_t *at, size_t len, struct bench_answer_memory *memory,
                       struct bench_answer *answer) {
    size_t head_len = memory->head_len;
    answer->last = false;
    if (head_len == 0 || len < head_len || memcmp(at, memory->head, head_len) != 0) {
        const uint8_t *blank = memmem(at, len, "\r\n\r\n", 4);
        if (blank == NULL)
            return len > 65536 ? -1 : 0;
        head_len = (size_t)(blank - at) + 4;
        const uint8_t *p = at + 9;
        uint32_t status, body_len = 0;
        bool counted = false;
        if (head_len < 16 || memcmp(at, "HTTP/1.", 7) != 0 || !decimal_read(&p, blank, &status))
            return -1;
        if (status < 200) /* an interim answer: passed over */
            return (long)head_len +
                   bench_answer_read(at + head_len, len - head_len, memory, answer);
        for (p = memchr(at, '\n', head_len); p != NULL && p < blank;
             p = memchr(p, '\n', head_len)) {
            p++;
            const uint8_t *value = header_value(p, blank, "content-length");
            if (value != NULL)
                counted = decimal_read(&value, blank, &body_len);
            value = header_value(p, blank, "connection");
            if (value != NULL && blank - value >= 5 && memcmp(value, "close", 5) == 0)
                answer->last = true;
        }
        if (!counted && status != 204)
            return -1;
        memory->status = status;
        memory->body_len = body_len;
        memory->head_len = 0;
        if (head_len <= sizeof memory->head && !answer->last) {
            memcpy(memory->head, at, head_len);
            memory->head_len = (uint32_t)head_len;
        }
    }
    if (len - head_len < memory->body_len)
        return 0;
    answer->status = memory->status;
    answer->body = at + head_len;
    answer->body_len = memory->body_len;
    return (long)(head_len + memory->body_len);
}

uint32_t bench_status_next(const uint8_t *body, size_t len, size_t *offset) {
    static const char word[] = "\"status\":";
    const uint8_t *end = body + len;
    const uint8_t *p = memmem(body + *offset, len - *offset, word, sizeof word - 1);
    uint32_t status;
    if (p == NULL)
        return 0;
    p += sizeof word - 1;
    while (p < end && *p == ' ')
        p++;
    if (!decimal_read(&p, end, &status))
        return 0;
    *offset = (size_t)(p - body);
    return status;
}

static bool begins(const uint8_t *at, size_t len, const char *text) {
    size_t text_len = strlen(text);
    return len >= text_len && memcmp(at, text, text_len) == 0;
}

static struct bench_line counted_read(const uint8_t *at, size_t len, size_t line_len,
                                      uint32_t payload_size) {
    struct bench_line line = {.kind = BENCH_LINE_OTHER, .used = line_len + 1};
    if (begins(at, line_len, "MSG ")) {
        const uint8_t *word = memrchr(at, ' ', line_len);
        const uint8_t *end = at + line_len;
        uint32_t bytes;
        word++;
        if (!decimal_read(&word, end, &bytes))
            return (struct bench_line){.kind = BENCH_LINE_BAD};
        if (len - line.used < (size_t)bytes + 2)
            return (struct bench_line){.kind = BENCH_LINE_MORE};
        line.kind = BENCH_LINE_MESSAGE;
        if (bytes == payload_size)
            line.payload = at + line.used;
        line.used += (size_t)bytes + 2;
    } else if (begins(at, line_len, "WELCOME ")) {
        line.kind = BENCH_LINE_WELCOME;
    } else if (begins(at, line_len, "PING")) {
        line.kind = BENCH_LINE_PING;
    } else if (begins(at, line_len, "PONG")) {
        line.kind = BENCH_LINE_PONG;
    }
    return line;
}

struct bench_line bench_line_text(const uint8_t *at, size_t line_len, uint32_t payload_size) {
    struct bench_line line = {.kind = BENCH_LINE_OTHER, .used = line_len};
    if (begins(at, line_len, "{\"type\":\"message\"")) {
        line.kind = BENCH_LINE_MESSAGE;
        line.payload = bench_payload_find(at, line_len, payload_size);
    } else if (memmem(at, line_len, "\"type\":\"welcome\"", 16) != NULL) {
        line.kind = BENCH_LINE_WELCOME;
    } else if (memmem(at, line_len, "\"type\":\"ping\"", 13) != NULL) {
        line.kind = BENCH_LINE_PING;
    } else if (memmem(at, line_len, "\"type\":\"pong\"", 13) != NULL) {
        line.kind = BENCH_LINE_PONG;
    } else if (line_len == 0 || at[0] != '{') {
        line.kind = BENCH_LINE_BAD;
    }
    return line;
}

struct bench_line bench_line_read(const uint8_t *at, size_t len, enum bench_form form,
                                  uint32_t payload_size) {
    if (form == BENCH_FORM_WS || form == BENCH_FORM_SIO)
        return bench_ws_read(at, len, form, payload_size);
    if (form == BENCH_FORM_SSE)
        return bench_sse_read(at, len, payload_size);
    const uint8_t *end = memchr(at, '\n', len);
    if (end == NULL)
        return (struct bench_line){.kind = BENCH_LINE_MORE};
    size_t line_len = (size_t)(end - at);
    if (form == BENCH_FORM_COUNTED)
        return counted_read(at, len, line_len, payload_size);
    size_t used = line_len + 1;
    if (line_len > 0 && at[line_len - 1] == '\r')
        line_len--;
    struct bench_line line = bench_line_text(at, line_len, payload_size);
    line.used = used;
    return line;
}

static bool holds(const uint8_t *at, size_t len, const char *text) {
    return memmem(at, len, text, strlen(text)) != NULL;
}

bool bench_form_asks(enum bench_form form) {
    return form == BENCH_FORM_LINES || form == BENCH_FORM_COUNTED || form == BENCH_FORM_WS ||
           form == BENCH_FORM_SIO;
}

bool bench_line_asks(const uint8_t *at, const struct bench_line *line, enum bench_form form,
                     struct bench_asks *asks) {
    static const char json[] = "{\"type\":\"message\",\"id\":\"", msg[] = "MSG ";
    bool counted = form == BENCH_FORM_COUNTED;
    if (form == BENCH_FORM_SIO)
        return bench_sio_asks(at, line, asks);
    at += line->head;
    size_t head_len = (size_t)(line->payload - at);
    size_t before = (counted ? sizeof msg : sizeof json) - 1;
    if (!begins(at, head_len, counted ? msg : json))
        return false;
    asks->id = at + before;
    const uint8_t *end = memchr(asks->id, counted ? ' ' : '"', head_len - before);
    if (end == NULL)
        return false;
    asks->id_len = (size_t)(end - asks->id);
    size_t rest_len = head_len - before - asks->id_len;
    if (!counted) {
        asks->again = holds(end, rest_len, "\"redelivered\":true");
        return holds(end, rest_len, "\"ack\":true");
    }
    const uint8_t *flags = memchr(end + 1, ' ', rest_len - 1);
    if (flags == NULL)
        return false;
    size_t flags_len = strcspn((const char *)flags + 1, " \r\n");
    asks->again = memchr(flags + 1, 'r', flags_len) != NULL;
    return memchr(flags + 1, 'a', flags_len) != NULL;
}
