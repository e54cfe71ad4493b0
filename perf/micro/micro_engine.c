#include "perf/micro/micro.h"

#include "core/server.h"
#include "proto/client/encodings.h"

#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

static const size_t small_bytes = 128, large_bytes = 4096;

/* Two workers of a node that does not run: what mailboxes and messages need of one. */
static struct server server;
static struct config config;
static struct worker workers[2];
static struct queue queue;

/* A chain of no messages: what a mailbox costs, without what the mail is about. */
static const struct mail nothing = {.kind = MAIL_RETURN};

static void queue_alone(uint64_t times) {
    struct mail mail = nothing;
    for (uint64_t i = 0; i < times; i++) {
        queue_push(&queue, &mail);
        queue_pop(&queue, &mail);
        micro_sink += mail.kind;
    }
}

static void *queue_producer(void *times) {
    for (uint64_t left = *(const uint64_t *)times; left > 0;)
        left -= queue_push(&queue, &nothing);
    return NULL;
}

static void thread_start(pthread_t *thread, void *(*run)(void *), void *of) {
    if (pthread_create(thread, NULL, run, of) != 0)
        micro_fail("no thread could be started");
}

static void queue_across(uint64_t times) {
    pthread_t producer;
    struct mail mail;
    thread_start(&producer, queue_producer, &times);
    for (uint64_t left = times; left > 0;)
        left -= queue_pop(&queue, &mail);
    pthread_join(producer, NULL);
}

static void mail_alone(uint64_t times, uint64_t batch) {
    for (uint64_t sent = 0; sent < times; sent += batch) {
        for (uint64_t i = 0; i < batch; i++)
            post_send(&workers[0].endpoint, 1, &nothing);
        post_wake_all(&workers[0].endpoint);
        post_receive(&workers[1].endpoint);
    }
}

static void mail_alone_1(uint64_t times) {
    mail_alone(times, 1);
}

static void mail_alone_64(uint64_t times) {
    mail_alone(times, 64);
}

struct mail_load {
    uint64_t times, batch;
    _Atomic bool done;
};

static void *mail_producer(void *of) {
    struct mail_load *load = of;
    for (uint64_t sent = 0; sent < load->times; sent += load->batch) {
        for (uint64_t i = 0; i < load->batch; i++) {
            while (!post_room(&server.post, 0, 1))
                ;
            post_send(&workers[0].endpoint, 1, &nothing);
        }
        post_wake_all(&workers[0].endpoint);
    }
    atomic_store(&load->done, true);
    return NULL;
}

/* The receiver never sleeps: what the queue and the look at `asleep` cost, not the wake. */
static void mail_across(uint64_t times, uint64_t batch) {
    pthread_t producer;
    struct mail_load load = {.times = times, .batch = batch};
    thread_start(&producer, mail_producer, &load);
    for (bool done = false, more = true; !done || more;) {
        done = atomic_load(&load.done);
        more = post_receive(&workers[1].endpoint);
    }
    pthread_join(producer, NULL);
    while (post_receive(&workers[1].endpoint))
        ;
}

static void mail_across_1(uint64_t times) {
    mail_across(times, 1);
}

static void mail_across_64(uint64_t times) {
    mail_across(times, 64);
}

static uint64_t mails_from(unsigned worker) {
    return queue_count(&server.post.boxes[1 - worker].from[worker]);
}

/* Sleeps until there is mail, as a worker does, but with poll instead of a ring. */
static void mail_await(unsigned worker) {
    int fd = server.post.boxes[worker].wake_fd;
    while (mails_from(1 - worker) == 0) {
        if (post_may_sleep(&workers[worker].endpoint)) {
            struct pollfd wait = {.fd = fd, .events = POLLIN};
            uint64_t wakes;
            poll(&wait, 1, -1);
            if (read(fd, &wakes, sizeof wakes) != (ssize_t)sizeof wakes)
                micro_fail("a wake that was none");
        }
        post_awake(&workers[worker].endpoint);
    }
    post_receive(&workers[worker].endpoint);
}

static void *mail_echo(void *times) {
    for (uint64_t left = *(const uint64_t *)times; left > 0; left--) {
        mail_await(1);
        post_send(&workers[1].endpoint, 0, &nothing);
        post_wake_all(&workers[1].endpoint);
    }
    return NULL;
}

static void mail_there_and_back(uint64_t times) {
    pthread_t echo;
    thread_start(&echo, mail_echo, &times);
    for (uint64_t i = 0; i < times; i++) {
        post_send(&workers[0].endpoint, 1, &nothing);
        post_wake_all(&workers[0].endpoint);
        mail_await(0);
    }
    pthread_join(echo, NULL);
}

static struct message *message_make(size_t bytes) {
    static const struct span to[] = {SPAN_INIT("till-7")};
    static char data[4096];
    struct message_parts parts = {
        .event = SPAN("message"), .to = to, .to_count = 1, .ttl_ns = 60, .payload_max = bytes};
    struct message *message = message_open(&workers[0].endpoint, &parts);
    if (message == NULL)
        micro_fail("no memory for a message");
    memcpy(message_payload_room(message), data, bytes);
    message_seal(message, bytes);
    micro_touch(message);
    return message;
}

static void message_life(uint64_t times, size_t bytes) {
    for (uint64_t i = 0; i < times; i++)
        message_release(&workers[0].endpoint, message_make(bytes));
}

static void message_small(uint64_t times) {
    message_life(times, small_bytes);
}

static void message_large(uint64_t times) {
    message_life(times, large_bytes);
}

static void parcel_life(uint64_t times, size_t bytes, const struct encoding *encoding) {
    struct message *message = message_make(bytes);
    for (uint64_t i = 0; i < times; i++) {
        message_hold(message, 1);
        struct parcel *parcel = parcel_open(&workers[0], message);
        const struct frame *frame =
            parcel != NULL ? parcel_frame(&workers[0], parcel, encoding) : NULL;
        if (frame == NULL)
            micro_fail("no memory for a parcel");
        micro_touch(frame);
        micro_sink += frame->total_bytes;
        parcel_unref(&workers[0], parcel);
    }
    message_release(&workers[0].endpoint, message);
}

static void parcel_line_small(uint64_t times) {
    parcel_life(times, small_bytes, &encoding_line);
}

static void parcel_line_large(uint64_t times) {
    parcel_life(times, large_bytes, &encoding_line);
}

static void parcel_counted_small(uint64_t times) {
    parcel_life(times, small_bytes, &encoding_counted);
}

static void parcel_counted_large(uint64_t times) {
    parcel_life(times, large_bytes, &encoding_counted);
}

const struct micro_step micro_engine_steps[] = {
    {"queue: push and pop, one thread", queue_alone, NULL},
    {"queue: push and pop, two threads", queue_across, NULL},
    {"mailbox: send and receive, by 1, one thread", mail_alone_1, NULL},
    {"mailbox: send and receive, by 64, one thread", mail_alone_64, NULL},
    {"mailbox: send and receive, by 1, two threads", mail_across_1, NULL},
    {"mailbox: by 64, two threads", mail_across_64, NULL},
    {"mailbox: there and back, both asleep", mail_there_and_back, NULL},
    {"message: open, seal, release, 128 bytes", message_small, &small_bytes},
    {"message: open, seal, release, 4 KiB", message_large, &large_bytes},
    {"parcel: open, line frame, 128 bytes", parcel_line_small, &small_bytes},
    {"parcel: open, line frame, 4 KiB", parcel_line_large, &large_bytes},
    {"parcel: open, counted frame, 128 bytes", parcel_counted_small, &small_bytes},
    {"parcel: open, counted frame, 4 KiB", parcel_counted_large, &large_bytes},
    {NULL, NULL, NULL},
};

void micro_engine_init(void) {
    if (!queue_init(&queue, 4096) || !post_init(&server.post, 2))
        micro_fail("no memory");
    atomic_init(&server.config, &config);
    server.worker_count = 2;
    server.workers = workers;
    budget_init(&server.budget, 1 << 30);
    for (unsigned i = 0; i < 2; i++) {
        workers[i].index = i;
        workers[i].is_worker = true;
        workers[i].server = &server;
        workers[i].config = &config;
        account_init(&workers[i].account, &server.budget);
        pool_init(&workers[i].delivery.parcels, sizeof(struct parcel));
    }
}

void micro_engine_fini(void) {
    for (unsigned i = 0; i < 2; i++) {
        pool_fini(&workers[i].delivery.parcels);
        account_fini(&workers[i].account);
    }
    post_fini(&server.post);
    queue_fini(&queue);
}
