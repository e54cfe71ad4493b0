/* toy_port.h - a port (core/port.h) with nothing behind it, for tests: it holds names, answers as
 * it is told to, dies at any step, and publishes messages of its own through the gate.
 *
 * Threads: its own; members are set before it runs; `took`: any. Owns: the messages it keeps. */
#ifndef RINGPOST_TESTS_TOYS_TOY_PORT_H
#define RINGPOST_TESTS_TOYS_TOY_PORT_H

#include "core/port.h"
#include "ingest/gate/gate.h"

enum toy_way { TOY_AT_ONCE, TOY_LATE, TOY_SILENT, TOY_UNAVAILABLE };

struct toy_port {
    struct port port;
    enum toy_way way;
    uint64_t delay_ns; /* TOY_LATE */
    unsigned steps;    /* until it dies: messages, answers, turns; 0: it lives */
    bool dead;         /* takes no message and answers none until the node stops */
    int fd;            /* each byte that comes here is `json`, to be published; -1: none */
    const char *json;
    struct list kept;  /* messages without an answer, the oldest first */
    struct timer late; /* armed while one of them will have one */
    struct gate_source source;
    uint64_t names[8];
    unsigned name_count;
    _Atomic unsigned took; /* answered with one recipient */
};

void toy_init(struct toy_port *toy);
/* Once it is open: messages for the name come to it. */
void toy_hold(struct toy_port *toy, enum name_kind kind, const char *name);
/* Publishes the message; its result is in the stats of the port's endpoint. */
void toy_publish(struct toy_port *toy, const char *json);

#endif
