#include "perf/load/bench_amqp.h"

#include "core/base/clock.h"
#include "core/base/span.h"
#include "perf/load/bench_text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define FRAME_MAX 131072u /* as RabbitMQ has it by default: a publish is three frames */
#define FRAME_HEAD 7u
#define FRAME_END 0xceu
#define READ_MAX 8192u /* of a frame in a blocking conversation */
#define CHANNEL 1
#define LOOK_NS 20000000L

enum { FRAME_METHOD = 1, FRAME_HEADER = 2, FRAME_BODY = 3, FRAME_BEAT = 8 };

#define METHOD(of, number) ((uint32_t)(of) << 16 | (number))
enum {
    CONNECTION_START = METHOD(10, 10),
    CONNECTION_START_OK = METHOD(10, 11),
    CONNECTION_TUNE = METHOD(10, 30),
    CONNECTION_TUNE_OK = METHOD(10, 31),
    CONNECTION_OPEN = METHOD(10, 40),
    CONNECTION_OPEN_OK = METHOD(10, 41),
    CONNECTION_CLOSE = METHOD(10, 50),
    CHANNEL_OPEN = METHOD(20, 10),
    CHANNEL_OPEN_OK = METHOD(20, 11),
    CHANNEL_CLOSE = METHOD(20, 40),
    QUEUE_DECLARE = METHOD(50, 10),
    QUEUE_DECLARE_OK = METHOD(50, 11),
    QUEUE_DELETE = METHOD(50, 40),
    QUEUE_DELETE_OK = METHOD(50, 41),
    BASIC_QOS = METHOD(60, 10),
    BASIC_QOS_OK = METHOD(60, 11),
    BASIC_CONSUME = METHOD(60, 20),
    BASIC_CONSUME_OK = METHOD(60, 21),
    BASIC_CANCEL = METHOD(60, 30),
    BASIC_CANCEL_OK = METHOD(60, 31),
    BASIC_PUBLISH = METHOD(60, 40),
    BASIC_DELIVER = METHOD(60, 60),
    BASIC_ACK = METHOD(60, 80),
    BASIC_REJECT = METHOD(60, 90),
    BASIC_NACK = METHOD(60, 120),
    CONFIRM_SELECT = METHOD(85, 10),
    CONFIRM_SELECT_OK = METHOD(85, 11),
};

/* --- bytes ------------------------------------------------------------------------------------ */

/* What is written into memory that has room for it: everything written here is short and known,
 * but for payloads, whose caller has made room. */
struct writer {
    uint8_t *at;
    size_t len;
    size_t frame; /* where the frame begins that is being written */
};

static void put_number(struct writer *w, uint64_t value, unsigned bytes) {
    while (bytes-- > 0)
        w->at[w->len++] = (uint8_t)(value >> bytes * 8);
}

static void put_bytes(struct writer *w, const void *at, size_t len) {
    memcpy(w->at + w->len, at, len);
    w->len += len;
}

static void put_short_text(struct writer *w, const char *text) {
    put_number(w, strlen(text), 1);
    put_bytes(w, text, strlen(text));
}

static void frame_begin(struct writer *w, unsigned type, unsigned channel) {
    w->frame = w->len;
    put_number(w, type, 1);
    put_number(w, channel, 2);
    put_number(w, 0, 4);
}

static void frame_end(struct writer *w) {
    struct writer size = {.at = w->at, .len = w->frame + 3};
    put_number(&size, w->len - w->frame - FRAME_HEAD, 4);
    put_number(w, FRAME_END, 1);
}

static void method_begin(struct writer *w, uint32_t method) {
    frame_begin(w, FRAME_METHOD, method >> 16 == 10 ? 0 : CHANNEL);
    put_number(w, method, 4);
}

static uint64_t number_at(const uint8_t *at, unsigned bytes) {
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | *at++;
    return value;
}

/* --- a conversation that blocks --------------------------------------------------------------- */

static bool bytes_send(int fd, const struct writer *w) {
    size_t sent = 0;
    while (sent < w->len) {
        ssize_t n = send(fd, w->at + sent, w->len - sent, MSG_NOSIGNAL);
        if (n < 0) {
            bench_complain("the broker cannot be written to: %s", strerror(errno));
            return false;
        }
        sent += (size_t)n;
    }
    return true;
}

static bool bytes_receive(int fd, uint8_t *at, size_t len) {
    ssize_t n = recv(fd, at, len, MSG_WAITALL);
    if (n == (ssize_t)len)
        return true;
    bench_complain("the broker cannot be read: %s", n < 0 ? strerror(errno) : "it has closed");
    return false;
}

struct frame {
    unsigned type;
    uint32_t size;
    uint8_t at[READ_MAX + 1]; /* what is in it, and its end */
};

static bool frame_receive(int fd, struct frame *frame) {
    uint8_t head[FRAME_HEAD];
    if (!bytes_receive(fd, head, sizeof head))
        return false;
    frame->type = head[0];
    frame->size = (uint32_t)number_at(head + 3, 4);
    if (memcmp(head, "AMQP", 4) == 0 || frame->size > READ_MAX) {
        bench_complain("the broker does not speak AMQP 0-9-1");
        return false;
    }
    return bytes_receive(fd, frame->at, frame->size + 1) && frame->at[frame->size] == FRAME_END;
}

/* The next method, which has to be this one. What it says begins at frame->at + 4. */
static bool method_receive(int fd, uint32_t method, size_t size_min, struct frame *frame) {
    do {
        if (!frame_receive(fd, frame))
            return false;
    } while (frame->type != FRAME_METHOD || frame->size < 4);
    uint32_t got = (uint32_t)number_at(frame->at, 4);
    if (got == method && frame->size >= 4 + size_min)
        return true;
    if ((got == CONNECTION_CLOSE || got == CHANNEL_CLOSE) && frame->size >= 7 &&
        frame->size >= 7u + frame->at[6])
        bench_complain("the broker refuses: %.*s", (int)frame->at[6], (const char *)frame->at + 7);
    else
        bench_complain("the broker says %u.%u, not %u.%u", got >> 16, got & 0xffff, method >> 16,
                       method & 0xffff);
    return false;
}

/* Sends the method that was written last; its answer is this one. */
static bool method_ask(int fd, struct writer *w, uint32_t answer, size_t size_min,
                       struct frame *frame) {
    frame_end(w);
    bool sent = bytes_send(fd, w);
    w->len = 0;
    return sent && method_receive(fd, answer, size_min, frame);
}

static bool greet(int fd, bool confirms) {
    static const uint8_t protocol[] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};
    static const char guest[] = "\0guest\0guest";
    uint8_t memory[256];
    struct frame frame;
    struct writer w = {.at = memory};
    put_bytes(&w, protocol, sizeof protocol);
    if (!bytes_send(fd, &w) || !method_receive(fd, CONNECTION_START, 0, &frame))
        return false;
    w.len = 0;
    method_begin(&w, CONNECTION_START_OK);
    put_number(&w, 0, 4); /* no properties */
    put_short_text(&w, "PLAIN");
    put_number(&w, sizeof guest - 1, 4);
    put_bytes(&w, guest, sizeof guest - 1);
    put_short_text(&w, "en_US");
    if (!method_ask(fd, &w, CONNECTION_TUNE, 8, &frame))
        return false;
    method_begin(&w, CONNECTION_TUNE_OK);
    put_number(&w, CHANNEL, 2);
    put_number(&w, FRAME_MAX, 4);
    put_number(&w, 0, 2); /* no heartbeats */
    frame_end(&w);
    method_begin(&w, CONNECTION_OPEN);
    put_short_text(&w, "/");
    put_number(&w, 0, 2);
    if (!method_ask(fd, &w, CONNECTION_OPEN_OK, 0, &frame))
        return false;
    method_begin(&w, CHANNEL_OPEN);
    put_number(&w, 0, 1);
    if (!method_ask(fd, &w, CHANNEL_OPEN_OK, 0, &frame))
        return false;
    if (!confirms)
        return true;
    method_begin(&w, CONFIRM_SELECT);
    put_number(&w, 0, 1);
    return method_ask(fd, &w, CONFIRM_SELECT_OK, 0, &frame);
}

int bench_amqp_open(const struct sockaddr_in *to, bool confirms) {
    struct timeval wait = {.tv_sec = BENCH_AMQP_WAIT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait) < 0 ||
        connect(fd, (const struct sockaddr *)to, sizeof *to) < 0)
        bench_complain("no connection to the broker: %s", strerror(errno));
    else if (greet(fd, confirms))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* --- the queue -------------------------------------------------------------------------------- */

static void queue_begin(struct writer *w, uint32_t method) {
    method_begin(w, method);
    put_number(w, 0, 2);
    put_short_text(w, BENCH_AMQP_QUEUE);
}

bool bench_amqp_delete(int fd) {
    uint8_t memory[128];
    struct frame frame;
    struct writer w = {.at = memory};
    queue_begin(&w, QUEUE_DELETE);
    put_number(&w, 0, 1);
    return method_ask(fd, &w, QUEUE_DELETE_OK, 4, &frame);
}

/* Declares the queue, or (`passive`) asks how many consume it. */
static bool declare(int fd, bool passive, uint32_t *consumers) {
    static const char one[] = "x-single-active-consumer";
    enum { PASSIVE = 1, DURABLE = 2 };
    uint8_t memory[128];
    struct frame frame;
    struct writer w = {.at = memory};
    queue_begin(&w, QUEUE_DECLARE);
    put_number(&w, passive ? PASSIVE : DURABLE, 1);
    put_number(&w, passive ? 0 : 1 + sizeof one - 1 + 2, 4); /* arguments */
    if (!passive) {
        put_short_text(&w, one);
        put_bytes(&w, "t\1", 2);
    }
    if (!method_ask(fd, &w, QUEUE_DECLARE_OK, 1 + 8, &frame) || frame.size < 13u + frame.at[4])
        return false;
    *consumers = (uint32_t)number_at(frame.at + 5 + frame.at[4] + 4, 4);
    return true;
}

bool bench_amqp_declare(int fd) {
    uint32_t consumers;
    return bench_amqp_delete(fd) && declare(fd, false, &consumers);
}

bool bench_amqp_consumers_wait(int fd, uint32_t count) {
    uint32_t consumers = 0;
    for (uint64_t start_ns = clock_ns();
         clock_ns() - start_ns < BENCH_AMQP_WAIT_S * NS_PER_S && declare(fd, true, &consumers);) {
        if (consumers >= count)
            return true;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
    bench_complain("the queue has %u consumers, not %u", consumers, count);
    return false;
}

/* A publish of a body that is written next, and ended by frame_end. `expires`: nobody gets it who
 * is not waiting for it. */
static void publish_begin(struct writer *w, size_t body_len, bool expires) {
    enum { EXPIRATION = 0x100 };
    method_begin(w, BASIC_PUBLISH);
    put_number(w, 0, 2);
    put_short_text(w, ""); /* the exchange that routes by the queue's name */
    put_short_text(w, BENCH_AMQP_QUEUE);
    put_number(w, 0, 1);
    frame_end(w);
    frame_begin(w, FRAME_HEADER, CHANNEL);
    put_number(w, BASIC_PUBLISH >> 16, 2);
    put_number(w, 0, 2);
    put_number(w, body_len, 8);
    put_number(w, expires ? EXPIRATION : 0, 2); /* properties */
    if (expires)
        put_short_text(w, "0");
    frame_end(w);
    frame_begin(w, FRAME_BODY, CHANNEL);
}

bool bench_amqp_hold(int fd) {
    uint8_t memory[512];
    struct frame frame;
    struct writer w = {.at = memory};
    method_begin(&w, BASIC_QOS);
    put_number(&w, 0, 4);
    put_number(&w, 1, 2);
    put_number(&w, 0, 1);
    if (!method_ask(fd, &w, BASIC_QOS_OK, 0, &frame))
        return false;
    queue_begin(&w, BASIC_CONSUME);
    put_short_text(&w, "hold");
    put_number(&w, 0, 1);
    put_number(&w, 0, 4);
    if (!method_ask(fd, &w, BASIC_CONSUME_OK, 0, &frame))
        return false;
    publish_begin(&w, 1, true);
    put_bytes(&w, "0", 1);
    return method_ask(fd, &w, BASIC_DELIVER, 0, &frame); /* and with it all that it may have */
}

bool bench_amqp_release(int fd) {
    uint8_t memory[128];
    struct frame frame;
    struct writer w = {.at = memory};
    method_begin(&w, BASIC_CANCEL);
    put_short_text(&w, "hold");
    put_number(&w, 0, 1);
    if (!method_ask(fd, &w, BASIC_CANCEL_OK, 0, &frame))
        return false;
    /* a queue whose consumer goes gives nothing to the next one until it has something to do: our
     * message comes back and has expired */
    method_begin(&w, BASIC_REJECT);
    put_number(&w, 1, 8);
    put_number(&w, 1, 1);
    frame_end(&w);
    return bytes_send(fd, &w);
}

/* --- producers -------------------------------------------------------------------------------- */

struct bench_request bench_amqp_request(uint8_t *out, uint32_t payload_size) {
    struct writer w = {.at = out};
    publish_begin(&w, 0, false);
    struct bench_request r = bench_entry_make(out + w.len, BENCH_UNICAST, payload_size);
    size_t body_len = r.len, frames_len;
    w.len = 0;
    publish_begin(&w, body_len, false);
    frames_len = w.len;
    w.len += body_len;
    frame_end(&w);
    return (struct bench_request){.at = out,
                                  .len = w.len,
                                  .name_at = r.name_at + frames_len,
                                  .payload_at = r.payload_at + frames_len,
                                  .payload_size = payload_size};
}

long bench_amqp_confirm_read(const uint8_t *at, size_t len, struct bench_confirm *confirm) {
    enum { SIZE_MAX_BYTES = 4096, CONFIRM_BYTES = 4 + 8 + 1 };
    *confirm = (struct bench_confirm){.tag = 0};
    if (len < FRAME_HEAD)
        return 0;
    size_t size = number_at(at + 3, 4);
    if (size > SIZE_MAX_BYTES)
        return -1;
    if (len < FRAME_HEAD + size + 1)
        return 0;
    long used = (long)(FRAME_HEAD + size + 1);
    const uint8_t *in = at + FRAME_HEAD;
    if (in[size] != FRAME_END)
        return -1;
    if (at[0] == FRAME_BEAT)
        return used;
    uint32_t method = at[0] == FRAME_METHOD && size >= 4 ? (uint32_t)number_at(in, 4) : 0;
    if ((method != BASIC_ACK && method != BASIC_NACK) || size != CONFIRM_BYTES)
        return -1;
    confirm->tag = number_at(in + 4, 8);
    confirm->multiple = (in[12] & 1) != 0;
    confirm->good = method == BASIC_ACK;
    return confirm->tag != 0 ? used : -1;
}
