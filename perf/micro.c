/* micro - what the single steps of a message cost, each alone in a loop, in nanoseconds.
 *
 *   micro [NAME]      only those whose name holds NAME
 *
 * Each is run for 0.1 s five times; the median is shown, and the fastest and slowest run. Caches
 * are warm and branches learnt: lower bounds of what they cost inside a node. */
#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/queue.h"
#include "main/bench_wire.h"
#include "proto/http.h"
#include "proto/json.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUNS 5
#define RUN_NS (100 * NS_PER_MS)

static char payload[129], big[4097], request[1024], line[512];
static size_t request_len, line_len;
static volatile uint64_t sink; /* what a loop computes must go somewhere */

static void json_payload(uint64_t times) {
    for (uint64_t i = 0; i < times; i++) {
        struct json_error error;
        sink += json_scan(span_of(payload, 128), NULL, &error);
    }
}

static void json_big(uint64_t times) {
    for (uint64_t i = 0; i < times; i++) {
        struct json_error error;
        sink += json_scan(span_of(big, sizeof big - 1), NULL, &error);
    }
}

static void json_walk(uint64_t times) {
    for (uint64_t i = 0; i < times; i++) {
        struct json_cursor cursor;
        struct json_value key, value;
        json_open(&cursor, span_of(payload, 128));
        while (json_object_next(&cursor, &key, &value))
            sink += value.raw.len;
    }
}

static void http_push(uint64_t times) {
    static struct http_parser parser;
    static struct http_request read;
    http_parser_init(&parser, 65536);
    for (uint64_t i = 0; i < times; i++) {
        size_t len = request_len;
        if (http_request_next(&parser, request, &len, &read) != HTTP_EVENT_WHOLE) {
            fputs("micro: the request was not taken\n", stderr);
            exit(1);
        }
        sink += read.size;
    }
}

static void name_hashing(uint64_t times) {
    for (uint64_t i = 0; i < times; i++)
        sink += hash64(span_of(request + 17, BENCH_NAME_BYTES));
}

static struct queue queue;

static void queue_alone(uint64_t times) {
    struct mail mail = {.kind = 1};
    for (uint64_t i = 0; i < times; i++) {
        queue_push(&queue, &mail);
        queue_pop(&queue, &mail);
        sink += mail.kind;
    }
}

static void *queue_producer(void *times) {
    struct mail mail = {.kind = 1};
    for (uint64_t left = *(const uint64_t *)times; left > 0;)
        left -= queue_push(&queue, &mail);
    return NULL;
}

static void queue_across(uint64_t times) {
    pthread_t producer;
    struct mail mail;
    if (pthread_create(&producer, NULL, queue_producer, &times) != 0)
        return;
    for (uint64_t left = times; left > 0;)
        left -= queue_pop(&queue, &mail);
    pthread_join(producer, NULL);
}

static void bench_receive_line(uint64_t times) {
    for (uint64_t i = 0; i < times; i++) {
        struct bench_payload read;
        struct bench_line got = bench_line_read((const uint8_t *)line, line_len, false, 128);
        sink += bench_payload_read(got.payload, 128, &read);
    }
}

static const struct {
    const char *name;
    void (*run)(uint64_t times);
    size_t bytes; /* that it reads; 0: not a matter of bytes */
} steps[] = {
    {"json: check a payload of 128 bytes", json_payload, 128},
    {"json: walk its members", json_walk, 128},
    {"json: check 4 KiB of objects", json_big, sizeof big - 1},
    {"http: a POST with 128 bytes", http_push, 0},
    {"hash: a client id of 18 bytes", name_hashing, BENCH_NAME_BYTES},
    {"queue: push and pop, one thread", queue_alone, 0},
    {"queue: push and pop, two threads", queue_across, 0},
    {"bench: read and check a message", bench_receive_line, 0},
};

static void texts_make(void) {
    static const struct bench_payload some = {.run = 1, .number = 2, .to = 0x10000003, .at_ns = 4};
    uint8_t form[1024];
    bench_payload_write((uint8_t *)payload, 128, &some);
    struct bench_request made =
        bench_request_make(form, BENCH_UNICAST, 128, "127.0.0.1:8081", NULL);
    bench_request_stamp((uint8_t *)request, &made, 1, &some);
    request_len = made.len;
    line_len = (size_t)snprintf(line, sizeof line,
                                "{\"type\":\"message\",\"id\":\"0123456789abcdefghijklmnop\","
                                "\"event\":\"message\",\"data\":%s}\n",
                                payload);
    memset(big, ' ', sizeof big - 1);
    big[0] = '[';
    size_t at = 1;
    for (; at + 129 < sizeof big - 2; at += 129) {
        memcpy(big + at, payload, 128);
        big[at + 128] = ',';
    }
    big[at - 1] = ']';
}

static int double_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void step_measure(size_t which) {
    uint64_t times = 16, took_ns = 0;
    for (; took_ns < RUN_NS / 4; times *= 2) { /* how many make a run long enough */
        uint64_t start_ns = clock_ns();
        steps[which].run(times);
        took_ns = clock_ns() - start_ns;
    }
    times = (uint64_t)((double)times / 2 * (double)RUN_NS / (double)took_ns) + 1;
    double each_ns[RUNS];
    for (int i = 0; i < RUNS; i++) {
        uint64_t start_ns = clock_ns();
        steps[which].run(times);
        each_ns[i] = (double)(clock_ns() - start_ns) / (double)times;
    }
    qsort(each_ns, RUNS, sizeof each_ns[0], double_compare);
    printf("%-36s %9.1f ns   (%.1f - %.1f)", steps[which].name, each_ns[RUNS / 2], each_ns[0],
           each_ns[RUNS - 1]);
    if (steps[which].bytes != 0)
        printf("   %.2f GB/s", (double)steps[which].bytes / each_ns[RUNS / 2]);
    putchar('\n');
    fflush(stdout);
}

int main(int argc, char **argv) {
    hash_init();
    texts_make();
    if (!queue_init(&queue, 4096)) {
        fputs("micro: no memory\n", stderr);
        return 1;
    }
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (argc < 2 || strstr(steps[i].name, argv[1]) != NULL)
            step_measure(i);
    queue_fini(&queue);
    return 0;
}
