/* A queue of RabbitMQ, and nothing but a consumer. */
#include "perf/limit/limit_amqp.h"

#include "core/base/clock.h"
#include "perf/load/bench_amqp.h"
#include "perf/load/bench_proc.h"
#include "perf/load/bench_queue.h"
#include "perf/load/bench_report.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#if __has_include(<rabbitmq-c/amqp.h>) /* from 0.12 on */
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_tcp_socket.h>
#endif

#define CHANNEL 1
#define PREFETCH 1000
#define UNACKED_MAX (PREFETCH / 2) /* so that the broker never waits for one that reads on */
#define BURST 256u                 /* publishes without a look at their confirms */
#define ADDRESSES 10000u
#define SILENCE_S 10

static const char help[] =
    "usage: limit amqp [--preload N] [--size BYTES] [--amqp ADDR:PORT] [--json]\n"
    "\n"
    "Fills a queue of RabbitMQ with N messages (100000) that have payloads of so many bytes "
    "(128),\n"
    "and lets the least consumer read and acknowledge them. --amqp: a broker that runs, otherwise\n"
    "one of its own. What `ringpost bench amqp --preload N` is measured against.\n";

/* What the consumer found. */
struct consumed {
    uint64_t count, last_ns, cpu_ns;
};

struct amqp_run {
    uint32_t messages, size;
    struct sockaddr_in running;
    bool json;
    struct bench_queue queue;
    int results; /* a pipe from the consumer */
    pid_t pid;
};

/* --- filling ---------------------------------------------------------------------------------- */

static bool all_send(int fd, const uint8_t *at, size_t len) {
    while (len > 0) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);
        if (n <= 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* What the broker says of publishes, as far as it was read. */
struct confirms {
    uint8_t at[65536];
    size_t len;
    uint64_t newest;
};

/* Waits until the broker has confirmed the publish with this tag. Whether all came through is seen
 * when they are read. */
static bool confirm_wait(int fd, struct confirms *confirms, uint64_t tag) {
    while (confirms->newest < tag) {
        ssize_t n = recv(fd, confirms->at + confirms->len, sizeof confirms->at - confirms->len, 0);
        if (n <= 0)
            return false;
        confirms->len += (size_t)n;
        size_t used = 0;
        struct bench_confirm confirm;
        for (long one; (one = bench_amqp_confirm_read(confirms->at + used, confirms->len - used,
                                                      &confirm)) != 0;) {
            if (one < 0 || (confirm.tag != 0 && !confirm.good))
                return false;
            used += (size_t)one;
            if (confirm.tag > confirms->newest)
                confirms->newest = confirm.tag;
        }
        memmove(confirms->at, confirms->at + used, confirms->len - used);
        confirms->len -= used;
    }
    return true;
}

static bool fill(const struct amqp_run *run) {
    static struct confirms confirms;
    uint8_t *form = malloc(bench_request_max(run->size));
    uint8_t *out = malloc(BURST * bench_request_max(run->size));
    int fd = bench_amqp_open(&run->queue.rabbit.at, true);
    bool good = form != NULL && out != NULL && fd >= 0;
    struct bench_request request = {.len = 0};
    if (good)
        request = bench_amqp_request(form, run->size);
    for (uint32_t i = 0; good && i < run->messages;) {
        uint32_t count = run->messages - i < BURST ? run->messages - i : BURST;
        for (uint32_t k = 0; k < count; k++, i++) {
            const struct bench_payload payload = {
                .run = 257, .number = i / ADDRESSES, .to = i % ADDRESSES};
            bench_request_stamp(out + k * request.len, &request, 256, &payload);
        }
        good = all_send(fd, out, count * request.len) && confirm_wait(fd, &confirms, i);
    }
    if (!good)
        fputs("limit: the queue cannot be filled\n", stderr);
    if (fd >= 0)
        close(fd);
    free(out);
    free(form);
    return good;
}

/* --- consuming -------------------------------------------------------------------------------- */

static amqp_connection_state_t consumer_open(const struct sockaddr_in *to) {
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    if (socket == NULL || amqp_socket_open(socket, "127.0.0.1", ntohs(to->sin_port)) != 0)
        return NULL;
    amqp_rpc_reply_t reply =
        amqp_login(connection, "/", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    if (reply.reply_type != AMQP_RESPONSE_NORMAL ||
        amqp_channel_open(connection, CHANNEL) == NULL ||
        amqp_basic_qos(connection, CHANNEL, 0, PREFETCH, 0) == NULL ||
        amqp_basic_consume(connection, CHANNEL, amqp_cstring_bytes(BENCH_AMQP_QUEUE),
                           amqp_empty_bytes, 0, 0, 0, amqp_empty_table) == NULL)
        return NULL;
    return connection;
}

/* Reads frames until a message is whole. Gives its tag, 0 at the end. */
static uint64_t message_read(amqp_connection_state_t connection) {
    struct timeval wait = {.tv_sec = SILENCE_S};
    uint64_t tag = 0, left = 0;
    for (bool whole = false; !whole;) {
        amqp_frame_t frame;
        if (amqp_simple_wait_frame_noblock(connection, &frame, &wait) != AMQP_STATUS_OK)
            return 0;
        if (frame.frame_type == AMQP_FRAME_METHOD) {
            if (frame.payload.method.id != AMQP_BASIC_DELIVER_METHOD)
                return 0;
            const amqp_basic_deliver_t *deliver = frame.payload.method.decoded;
            tag = deliver->delivery_tag;
        } else if (frame.frame_type == AMQP_FRAME_HEADER) {
            left = frame.payload.properties.body_size;
        } else if (frame.frame_type == AMQP_FRAME_BODY) {
            left -= frame.payload.body_fragment.len;
        }
        whole = frame.frame_type != AMQP_FRAME_METHOD && left == 0;
    }
    return tag;
}

static _Noreturn void consumer_run(const struct amqp_run *run, int results) {
    struct consumed consumed = {.count = 0};
    amqp_connection_state_t connection = consumer_open(&run->queue.rabbit.at);
    uint64_t tag, acked = 0, begun_ns = clock_thread_cpu_ns();
    while (connection != NULL && consumed.count < run->messages &&
           (tag = message_read(connection)) != 0) {
        consumed.count++;
        amqp_maybe_release_buffers(connection);
        if (tag - acked < UNACKED_MAX && amqp_data_in_buffer(connection) &&
            consumed.count < run->messages)
            continue;
        if (amqp_basic_ack(connection, CHANNEL, tag, 1) != 0)
            break;
        acked = tag;
    }
    consumed.last_ns = clock_ns();
    consumed.cpu_ns = clock_thread_cpu_ns() - begun_ns;
    _exit(write(results, &consumed, sizeof consumed) == (ssize_t)sizeof consumed ? 0 : 1);
}

static bool consumer_start(struct amqp_run *run) {
    int ends[2];
    if (pipe(ends) < 0 || (run->pid = fork()) < 0) {
        perror("limit: the consumer");
        return false;
    }
    if (run->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL);
        close(ends[0]);
        consumer_run(run, ends[1]);
    }
    close(ends[1]);
    run->results = ends[0];
    return true;
}

/* --- both ------------------------------------------------------------------------------------- */

static int measure(struct amqp_run *run) {
    static struct bench_report report;
    struct consumed consumed;
    if (!bench_queue_open(&run->queue, &run->running, true) || !consumer_start(run) ||
        !bench_queue_consumed(&run->queue) || !fill(run))
        return 1;
    pid_t broker = run->queue.rabbit.pid;
    uint64_t broker_ns = bench_proc_cpu_ns(broker), start_ns = clock_ns();
    if (!bench_queue_release(&run->queue) ||
        read(run->results, &consumed, sizeof consumed) != (ssize_t)sizeof consumed)
        return 1;
    double count = (double)consumed.count, seconds = (double)(consumed.last_ns - start_ns) / 1e9;
    broker_ns = bench_proc_cpu_ns(broker) - broker_ns;
    report.json = run->json;
    bench_report_text(&report, "bench", "limit", "amqp");
    bench_report_number(&report, "delivered", "read and acknowledged", count, 0, "messages");
    bench_report_number(&report, "drain_s", "  in", seconds, 3, "s");
    bench_report_number(&report, "messages_per_s", "  a second", count / seconds, 0, "messages/s");
    bench_report_number(&report, "server_us_per_message", "consumer CPU for a message",
                        count > 0 ? (double)consumed.cpu_ns / 1e3 / count : 0, 2, "us");
    if (broker != 0 && count > 0)
        bench_report_number(&report, "broker_us_per_message", "broker CPU for a message",
                            (double)broker_ns / 1e3 / count, 2, "us");
    if (consumed.count != run->messages)
        bench_report_fault(&report, "%llu of %u messages came", (unsigned long long)consumed.count,
                           run->messages);
    bench_report_print(&report);
    return report.faults == 0 ? 0 : 1;
}

static bool options_read(struct amqp_run *run, int argc, char **argv) {
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0) {
            run->json = true;
            continue;
        }
        if (i + 1 == argc)
            return false;
        unsigned long number = strtoul(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--preload") == 0 && number > 0 && number <= 100000000)
            run->messages = (uint32_t)number;
        else if (strcmp(argv[i], "--size") == 0 && number >= BENCH_PAYLOAD_MIN &&
                 number <= BENCH_PAYLOAD_MAX)
            run->size = (uint32_t)number;
        else if (strcmp(argv[i], "--amqp") != 0 || !bench_loopback_read(argv[i + 1], &run->running))
            return false;
        i++;
    }
    return true;
}

int limit_amqp(int argc, char **argv) {
    static struct amqp_run run = {.messages = 100000, .size = 128, .results = -1};
    bench_queue_init(&run.queue);
    if (!options_read(&run, argc, argv))
        return fputs(help, stderr), 2;
    int status = measure(&run);
    if (run.pid > 0) {
        kill(run.pid, SIGKILL);
        waitpid(run.pid, NULL, 0);
    }
    bench_queue_close(&run.queue);
    return status;
}
