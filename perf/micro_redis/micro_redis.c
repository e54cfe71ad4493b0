#include "perf/micro_redis/micro_redis.h"

#include "perf/load/bench_redis.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define TURNS_MAX 99
#define NUMBER_FIRST UINT64_C(100000000) /* so all have as many digits */

static const char help[] =
    "usage: micro_redis [--turns N] [--messages N]\n"
    "\n"
    "The Redis port with one fake worker beside a bare loop over hiredis' formatter and reader:\n"
    "each publishes N messages (300,000) with a payload of 128 bytes by a redis-server of its own\n"
    "and gets as many, pipelined both ways. In turns (5); the medians count. A minute.\n";

_Noreturn void micro_fail(const char *what) {
    fprintf(stderr, "micro_redis: %s\n", what);
    _exit(1);
}

uint64_t micro_cpu_ns(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return ((uint64_t)usage.ru_utime.tv_sec + (uint64_t)usage.ru_stime.tv_sec) * NS_PER_S +
           ((uint64_t)usage.ru_utime.tv_usec + (uint64_t)usage.ru_stime.tv_usec) * 1000;
}

void micro_payload(char payload[MICRO_PAYLOAD_BYTES + 1]) {
    memset(payload, 'x', MICRO_PAYLOAD_BYTES);
    payload[0] = payload[MICRO_PAYLOAD_BYTES - 1] = '"';
    payload[MICRO_PAYLOAD_BYTES] = '\0';
}

/* The digits of a number that has nine. */
static void number_put(char *at, uint64_t number) {
    for (unsigned i = 9; i-- != 0; number /= 10)
        at[i] = (char)('0' + number % 10);
}

size_t micro_text(char text[512], const char *to, uint64_t number) {
    static char made[512];
    static size_t len, places[3];
    if (len == 0) {
        char payload[MICRO_PAYLOAD_BYTES + 1];
        micro_payload(payload);
        len = (size_t)snprintf(made, sizeof(made),
                               "{\"node\":{\"run\":\"fedcba9876543210\",\"p\":100000000,\"n\":"
                               "100000000,\"s\":100000000,\"e\":7},\"id\":"
                               "\"01a1fc22ee9dbb779985945121\",\"to\":[\"%s\"],\"event\":\"e\","
                               "\"ttl\":59.900,\"data\":%s}",
                               to, payload);
        const char *at = made;
        for (unsigned i = 0; i < 3; i++) {
            at = strstr(at, "100000000");
            places[i] = (size_t)(at++ - made);
        }
    }
    memcpy(text, made, len);
    for (unsigned i = 0; i < 3; i++)
        number_put(text + places[i], NUMBER_FIRST + number);
    return len;
}

/* --- turns ------------------------------------------------------------------------------------ */

static const char *url;
static unsigned port;
static uint64_t messages = 300000;

/* A process of its own, which ends with this one. */
static pid_t process(struct micro_took (*run)(void), int told) {
    pid_t pid = fork();
    if (pid < 0)
        micro_fail("there is no room for a process");
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct micro_took took = run();
    bool good = told < 0 || write(told, &took, sizeof(took)) == sizeof(took);
    _exit(good ? 0 : 1);
}

static void process_end(pid_t pid) {
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0)
        micro_fail("a side has failed");
}

static struct micro_took other_side(void) {
    return micro_bare(port, MICRO_IN, MICRO_OUT, messages);
}

static struct micro_took subject_bare(void) {
    return micro_bare(port, MICRO_OUT, MICRO_IN, messages);
}

static struct micro_took subject_port(void) {
    return micro_port(url, port, messages);
}

static struct micro_took turn(struct micro_took (*subject)(void)) {
    struct micro_took took;
    int told[2];
    if (pipe(told) != 0)
        micro_fail("there is no pipe");
    pid_t pid = process(subject, told[1]), other = process(other_side, -1);
    close(told[1]);
    if (read(told[0], &took, sizeof(took)) != sizeof(took))
        micro_fail("a side has failed");
    close(told[0]);
    process_end(pid);
    process_end(other);
    return took;
}

/* --- figures ---------------------------------------------------------------------------------- */

static int double_compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct side {
    double rates[TURNS_MAX], cpus[TURNS_MAX]; /* messages a second each way; us of CPU for a pair */
};

static void side_note(struct side *side, unsigned number, struct micro_took took) {
    side->rates[number] = (double)messages * 1e9 / (double)took.ns;
    side->cpus[number] = (double)took.cpu_ns / 1e3 / (double)messages;
}

static void side_print(const char *name, struct side *side, unsigned turns) {
    qsort(side->rates, turns, sizeof(double), double_compare);
    qsort(side->cpus, turns, sizeof(double), double_compare);
    printf("%-28s %9.0f messages a second each way (%.0f to %.0f), %.2f us of CPU for two\n", name,
           side->rates[turns / 2], side->rates[0], side->rates[turns - 1], side->cpus[turns / 2]);
}

static unsigned long number_of(const char *text) {
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    if (*text == '\0' || *end != '\0' || number == 0)
        micro_fail(text);
    return number;
}

static int usage(bool asked) {
    fputs(help, asked ? stdout : stderr);
    return asked ? 0 : 2;
}

int main(int argc, char **argv) {
    static struct side bare, with_port;
    static double parts[TURNS_MAX];
    struct bench_redis redis = {0};
    unsigned long turns = 5;
    for (int i = 1; i < argc; i++) {
        if (i + 1 < argc && strcmp(argv[i], "--turns") == 0)
            turns = number_of(argv[++i]);
        else if (i + 1 < argc && strcmp(argv[i], "--messages") == 0)
            messages = number_of(argv[++i]);
        else
            return usage(strcmp(argv[i], "--help") == 0);
    }
    if (turns > TURNS_MAX || messages > NUMBER_FIRST)
        micro_fail("so many are too many");
    signal(SIGPIPE, SIG_IGN);
    if (!bench_redis_open(&redis))
        return 1;
    url = redis.url;
    port = (unsigned)number_of(strrchr(url, ':') + 1);
    for (unsigned i = 0; i < turns; i++) {
        side_note(&bare, i, turn(subject_bare));
        side_note(&with_port, i, turn(subject_port));
        parts[i] = with_port.rates[i] / bare.rates[i]; /* of one turn: the machine was the same */
    }
    side_print("hiredis alone", &bare, (unsigned)turns);
    side_print("the port and a fake worker", &with_port, (unsigned)turns);
    qsort(parts, turns, sizeof(double), double_compare);
    printf("%-28s %9.2f (%.2f to %.2f)\n", "of hiredis alone, in turns", parts[turns / 2], parts[0],
           parts[turns - 1]);
    bench_redis_close(&redis);
    return 0;
}
