#include "perf/load/bench_stats.h"

#include "perf/load/bench_wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define ANSWER_BYTES (256u * 1024)

/* The number after `"name":` in the text, which ends with a NUL. */
static bool count_read(const char *text, const char *name, uint64_t *value) {
    char wanted[48];
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    const char *at = strstr(text, wanted);
    if (at == NULL)
        return false;
    at += strlen(wanted);
    char *end;
    *value = strtoull(at, &end, 10);
    return end != at;
}

static void ack_ledger_add(const char *at, struct bench_stats *stats) {
    const struct {
        const char *name;
        uint64_t *sum;
    } parts[] = {{"accepted", &stats->ack_accepted},
                 {"acked", &stats->ack_acked},
                 {"expired", &stats->ack_expired},
                 {"pending", &stats->ack_pending},
                 {"withdrawn", &stats->ack_dropped}};
    uint64_t value;
    at = strstr(at, "\"ack\":{");
    for (size_t i = 0; at != NULL && i < sizeof parts / sizeof parts[0]; i++)
        if (count_read(at, parts[i].name, &value))
            *parts[i].sum += value;
}

/* Totals come before the list of workers, and a worker's number first in its object. */
static bool stats_parse(const char *text, struct bench_stats *stats) {
    static const char worker[] = "{\"worker\":";
    memset(stats, 0, sizeof *stats);
    if (!count_read(text, "unicast_mails", &stats->unicast_mails) ||
        !count_read(text, "connections_refused", &stats->connections_refused))
        return false;
    const char *at = text;
    while ((at = strstr(at, worker)) != NULL) {
        if (stats->workers == BENCH_WORKERS_MAX ||
            !count_read(at, "unicasts", &stats->unicasts[stats->workers]) ||
            !count_read(at, "sessions", &stats->sessions[stats->workers]) ||
            !count_read(at, "accepted", &stats->accepted[stats->workers]))
            return false;
        ack_ledger_add(at, stats);
        stats->workers++;
        at += sizeof worker - 1;
    }
    return stats->workers > 0;
}

static bool request_send(int fd, const struct sockaddr_in *api, const char *key, const char *path) {
    char request[512];
    int len =
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost:%u\r\n%s%.200s%s\r\n",
                 path, ntohs(api->sin_port), key != NULL ? "Authorization: Bearer " : "",
                 key != NULL ? key : "", key != NULL ? "\r\n" : "");
    return send(fd, request, (size_t)len, MSG_NOSIGNAL) == len;
}

/* Receives until an answer is whole. Gives its body, terminated, within `area`; NULL with errno. */
static const char *answer_receive(int fd, uint8_t *area) {
    struct bench_answer_memory memory = {.head_len = 0};
    struct bench_answer answer;
    size_t len = 0;
    long used = 0;
    while (used == 0) {
        ssize_t got = recv(fd, area + len, ANSWER_BYTES - 1 - len, 0);
        if (got <= 0) {
            errno = got < 0 ? errno : EPIPE;
            return NULL;
        }
        len += (size_t)got;
        used = bench_answer_read(area, len, &memory, &answer);
    }
    if (used < 0 || answer.status != 200) {
        errno = used >= 0 && answer.status == 404 ? ENOENT : EPROTO;
        return NULL;
    }
    area[answer.body + answer.body_len - area] = '\0';
    return (const char *)answer.body;
}

/* What a GET answers, terminated, within `area` of ANSWER_BYTES; NULL with errno. */
static const char *page_read(const struct sockaddr_in *api, const char *key, const char *path,
                             uint8_t *area) {
    struct timeval wait = {.tv_sec = 2};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const char *body = NULL;
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0 &&
        connect(fd, (const struct sockaddr *)api, sizeof *api) == 0 &&
        request_send(fd, api, key, path))
        body = answer_receive(fd, area);
    int error = errno;
    if (fd >= 0)
        close(fd);
    errno = error;
    return body;
}

bool bench_stats_read(const struct sockaddr_in *api, const char *key, struct bench_stats *stats) {
    uint8_t *area = malloc(ANSWER_BYTES);
    const char *body = area != NULL ? page_read(api, key, "/v1/stats", area) : NULL;
    int error = errno;
    bool read = body != NULL && stats_parse(body, stats);
    if (!read)
        fprintf(stderr, "ringpost bench: GET /v1/stats: %s\n",
                body != NULL ? "not what a node of ringpost answers" : strerror(error));
    free(area);
    return read;
}

/* The largest of the metric's values in a page of them, or their sum; -1: none. */
static double metric_fold(const char *text, const char *name, bool summed) {
    size_t len = strlen(name);
    double whole = -1;
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, name, len) != 0 || (line[len] != ' ' && line[len] != '{'))
            continue;
        const char *at = line + len;
        at = *at == '{' ? strchr(at, '}') : at;
        double value = at != NULL ? strtod(at + 1, NULL) : -1;
        if (summed && whole >= 0)
            whole += value;
        else
            whole = value > whole ? value : whole;
    }
    return whole;
}

static double metric_get(const struct sockaddr_in *api, const char *key, const char *name,
                         bool summed) {
    uint8_t *area = malloc(ANSWER_BYTES);
    const char *body = area != NULL ? page_read(api, key, "/metrics", area) : NULL;
    double value = body != NULL ? metric_fold(body, name, summed) : -1;
    free(area);
    return value;
}

double bench_metric_read(const struct sockaddr_in *api, const char *key, const char *name) {
    return metric_get(api, key, name, false);
}

double bench_metric_sum(const struct sockaddr_in *api, const char *key, const char *name) {
    return metric_get(api, key, name, true);
}

static enum bench_told fate_parse(const char *text) {
    const char *at = strstr(text, "\"state\":\"");
    if (at == NULL)
        return BENCH_TOLD_BADLY;
    at += strlen("\"state\":\"");
    if (strncmp(at, "pending\"", 8) == 0)
        return BENCH_TOLD_PENDING;
    return strncmp(at, "acked\"", 6) == 0 ? BENCH_TOLD_ACKED : BENCH_TOLD_ELSE;
}

enum bench_told bench_fate_read(const struct sockaddr_in *api, const char *key, const char *id) {
    char path[128];
    uint8_t *area = malloc(ANSWER_BYTES);
    snprintf(path, sizeof path, "/v1/messages/%s", id);
    const char *body = area != NULL ? page_read(api, key, path, area) : NULL;
    enum bench_told told = body != NULL      ? fate_parse(body)
                           : errno == ENOENT ? BENCH_TOLD_NOTHING
                                             : BENCH_TOLD_BADLY;
    free(area);
    return told;
}
