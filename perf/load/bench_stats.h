/* bench_stats.h - what the node has counted by itself: GET /v1/stats and others.
 *
 * Threads: any; blocks up to two seconds. Owns: nothing (a connection for each call, so that none
 * idles until the node closes it). */
#ifndef RINGPOST_PERF_LOAD_BENCH_STATS_H
#define RINGPOST_PERF_LOAD_BENCH_STATS_H

#include "perf/load/bench_fates.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_WORKERS_MAX 64u

struct bench_stats {
    uint32_t workers;
    uint64_t unicasts[BENCH_WORKERS_MAX]; /* messages to one client id, where they came in */
    uint64_t sessions[BENCH_WORKERS_MAX]; /* there */
    uint64_t accepted[BENCH_WORKERS_MAX]; /* messages, where they came in */
    /* the ledger of messages that are to be acknowledged, of all workers; 0 of an older node */
    uint64_t ack_accepted, ack_acked, ack_expired, ack_pending, ack_dropped;
    uint64_t unicast_mails; /* between workers for them */
    uint64_t connections_refused;
};

/* False, with one line on standard error, if the node does not answer as ringpost does. `key` is an
 * API key or NULL. */
bool bench_stats_read(const struct sockaddr_in *api, const char *key, struct bench_stats *stats);
/* The largest value of a metric in GET /metrics, over its labels; -1 if there is none of the name
 * or no answer. */
double bench_metric_read(const struct sockaddr_in *api, const char *key, const char *name);
/* The sum of its values. */
double bench_metric_sum(const struct sockaddr_in *api, const char *key, const char *name);
/* GET /v1/messages/{id}, of an id that stands in a path as it is. */
enum bench_told bench_fate_read(const struct sockaddr_in *api, const char *key, const char *id);

#endif
