#include "perf/load/bench_sse.h"

#include "perf/load/bench_ws.h"

#include <string.h>
#include <strings.h>

#define HEAD_MAX (16u * 1024) /* of an answer */
#define CHUNK_MAX (16u * 1024 * 1024)

enum { AS_IT_IS, LENGTH_FIRST, LENGTH, LENGTH_REST, DATA, DATA_CR, DATA_LF, OVER };

static struct bench_line refused(const char *why) {
    return (struct bench_line){.kind = BENCH_LINE_BAD, .why = why};
}

struct bench_line bench_sse_answer(const uint8_t *at, size_t len, struct bench_chunks *chunks) {
    static const char type[] = "Content-Type: text/event-stream";
    const uint8_t *blank = memmem(at, len, "\r\n\r\n", 4);
    if (blank == NULL)
        return len > HEAD_MAX ? refused("the head of the answer does not end")
                              : (struct bench_line){.kind = BENCH_LINE_MORE};
    size_t head_len = (size_t)(blank - at) + 4;
    if (head_len < 13 || memcmp(at, "HTTP/1.1 200", 12) != 0)
        return refused("the stream was refused");
    bool events = false, chunked = false;
    const char *end = (const char *)blank + 2, *line = memchr(at, '\n', head_len);
    for (line++; line < end;) {
        const char *next = memchr(line, '\n', (size_t)(end - line));
        size_t line_len = (size_t)(next - line) - 1;
        events |= line_len >= sizeof type - 1 && strncasecmp(line, type, sizeof type - 1) == 0;
        chunked |= bench_header_is(line, line_len, "Transfer-Encoding", "chunked");
        line = next + 1;
    }
    if (!events)
        return refused("the answer is no text/event-stream");
    *chunks = (struct bench_chunks){.state = chunked ? LENGTH_FIRST : AS_IT_IS};
    return (struct bench_line){.kind = BENCH_LINE_OTHER, .used = head_len};
}

/* The value of a hexadecimal digit, -1: it is none. */
static int digit_of(uint8_t byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* One byte between the data of two chunks. False: it does not belong there. */
static bool chunks_step(struct bench_chunks *chunks, uint8_t byte) {
    int digit = digit_of(byte);
    switch (chunks->state) {
    case LENGTH_FIRST:
    case LENGTH:
        if (digit >= 0) {
            chunks->left = chunks->left << 4 | (uint32_t)digit;
            chunks->state = LENGTH;
            return chunks->left <= CHUNK_MAX;
        }
        if (chunks->state == LENGTH_FIRST || (byte != '\r' && byte != ';'))
            return false;
        chunks->state = LENGTH_REST;
        return true;
    case LENGTH_REST:
        if (byte == '\n')
            chunks->state = chunks->left != 0 ? DATA : OVER;
        return true;
    case DATA_CR:
        chunks->state = DATA_LF;
        return byte == '\r';
    default: /* DATA_LF */
        chunks->state = LENGTH_FIRST;
        return byte == '\n';
    }
}

long bench_chunks_take(struct bench_chunks *chunks, uint8_t *at, size_t len) {
    size_t taken = 0;
    if (chunks->state == AS_IT_IS)
        return (long)len;
    for (size_t i = 0; i < len && chunks->state != OVER;) {
        if (chunks->state != DATA) {
            if (!chunks_step(chunks, at[i++]))
                return -1;
            continue;
        }
        size_t part = len - i < chunks->left ? len - i : chunks->left;
        memmove(at + taken, at + i, part);
        taken += part;
        i += part;
        chunks->left -= (uint32_t)part;
        if (chunks->left == 0)
            chunks->state = DATA_CR;
    }
    return (long)taken;
}

/* The fields of an event that matter here. */
struct event {
    const uint8_t *data;
    size_t data_len;
    uint32_t datas;
    bool has_id, is_welcome, is_hi;
};

static bool line_is(const uint8_t *at, size_t len, const char *text) {
    return len == strlen(text) && memcmp(at, text, len) == 0;
}

/* False: the line is none of a stream of events. */
static bool field_read(struct event *event, const uint8_t *at, size_t len) {
    static const char data[] = "data: ", id[] = "id: ", name[] = "event: ", retry[] = "retry: ";
    if (len >= sizeof data - 1 && memcmp(at, data, sizeof data - 1) == 0) {
        event->data = at + sizeof data - 1;
        event->data_len = len - (sizeof data - 1);
        event->datas++;
        return true;
    }
    if (len >= sizeof id - 1 && memcmp(at, id, sizeof id - 1) == 0)
        return event->has_id = true;
    if (len >= sizeof name - 1 && memcmp(at, name, sizeof name - 1) == 0) {
        event->is_welcome = line_is(at, len, "event: welcome");
        return true;
    }
    event->is_hi |= line_is(at, len, ": hi");
    return (len > 0 && at[0] == ':') ||
           (len >= sizeof retry - 1 && memcmp(at, retry, sizeof retry - 1) == 0);
}

struct bench_line bench_sse_read(const uint8_t *at, size_t len, uint32_t payload_size) {
    struct event event = {.data = NULL};
    const uint8_t *end = memmem(at, len, "\n\n", 2);
    if (end == NULL)
        return len > BENCH_SSE_EVENT_MAX ? refused("an event of more than 256 KiB")
                                         : (struct bench_line){.kind = BENCH_LINE_MORE};
    struct bench_line line = {.kind = BENCH_LINE_OTHER, .used = (size_t)(end - at) + 2};
    for (const uint8_t *from = at; from < end;) {
        const uint8_t *next = memchr(from, '\n', (size_t)(end - from) + 1);
        if (!field_read(&event, from, (size_t)(next - from)))
            return refused("a line that is no field of an event");
        from = next + 1;
    }
    if (event.data == NULL) {
        line.kind = event.is_hi ? BENCH_LINE_WELCOME : BENCH_LINE_NOTHING;
    } else if (event.has_id) {
        line.kind = BENCH_LINE_MESSAGE;
        if (event.datas == 1 && event.data_len == payload_size)
            line.payload = event.data;
    } else if (event.is_welcome) {
        line.kind = BENCH_LINE_WELCOME;
    }
    return line;
}
