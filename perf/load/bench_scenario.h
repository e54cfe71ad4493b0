/* bench_scenario.h - the scenarios: each sets a field up, runs traffic and fills a report.
 *
 * Threads: one. A scenario gives false if it could not run; what it found wrong is in the report.
 */
#ifndef RINGPOST_PERF_LOAD_BENCH_SCENARIO_H
#define RINGPOST_PERF_LOAD_BENCH_SCENARIO_H

#include "perf/load/bench_field.h"

bool bench_unicast(struct bench_field *field, struct bench_report *report);
bool bench_unicast_max(struct bench_field *field, struct bench_report *report);
bool bench_broadcast(struct bench_field *field, struct bench_report *report);
bool bench_groups(struct bench_field *field, struct bench_report *report);
bool bench_ping(struct bench_field *field, struct bench_report *report);
bool bench_idle(struct bench_field *field, struct bench_report *report);
bool bench_storm(struct bench_field *field, struct bench_report *report);
/* Very many clients at once. */
bool bench_live(struct bench_field *field, struct bench_report *report);
bool bench_overload(struct bench_field *field, struct bench_report *report);
/* Messages to be acknowledged, beside the same that are not. */
bool bench_ack(struct bench_field *field, struct bench_report *report);
/* The highest rate of each. */
bool bench_ack_max(struct bench_field *field, struct bench_report *report);
/* Messages that stay on one worker against messages that go from one to another. */
bool bench_cross(struct bench_field *field, struct bench_report *report);
/* Messages to a queue of RabbitMQ that the node consumes: at a rate, or as fast as it works off
 * what is there. */
bool bench_amqp(struct bench_field *field, struct bench_report *report);
/* Only receives: for a node that pushes by itself (perf/limit). */
bool bench_receive(struct bench_field *field, struct bench_report *report);

/* The highest open-loop rate that holds, each try `seconds` long: closed loops find where to look,
 * a bisection to within 3 % does the rest in at most 12 tries; a rate is refused when two tries
 * failed. *best is the result at that rate (rate 0: none held); every try is in the report, and so
 * is a message that one of them lost. */
void bench_search(struct bench_field *field, double seconds, struct bench_result *best,
                  struct bench_report *report);
/* The rate to be told of it, where a message makes one delivery: what was offered, or what was
 * delivered until the last one was there if that is less. */
double bench_rate_held(const struct bench_result *best);

#endif
