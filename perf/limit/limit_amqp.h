/* limit_amqp.h - `limit amqp`: how fast a queue of RabbitMQ can be worked off at all.
 *
 * The queue is filled with the publishes of `ringpost bench amqp --preload`, and then given to a
 * process that does nothing but read with librabbitmq, with the prefetch that the node has there,
 * and acknowledge all it has read in one whenever nothing more lies in its buffer.
 *
 * Threads: the main one, and a process of its own. */
#ifndef RINGPOST_PERF_LIMIT_LIMIT_AMQP_H
#define RINGPOST_PERF_LIMIT_LIMIT_AMQP_H

/* `argv` as main has it. Returns the exit status. */
int limit_amqp(int argc, char **argv);

#endif
