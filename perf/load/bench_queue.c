#include "perf/load/bench_queue.h"

#include "perf/load/bench_amqp.h"

#include <unistd.h>

void bench_queue_init(struct bench_queue *queue) {
    *queue = (struct bench_queue){.control = -1};
}

bool bench_queue_open(struct bench_queue *queue, const struct sockaddr_in *running, bool held) {
    if (!bench_rabbit_open(&queue->rabbit, running))
        return false;
    queue->control = bench_amqp_open(&queue->rabbit.at, false);
    queue->held = held;
    return queue->control >= 0 && bench_amqp_declare(queue->control) &&
           (!held || bench_amqp_hold(queue->control));
}

bool bench_queue_consumed(struct bench_queue *queue) {
    return bench_amqp_consumers_wait(queue->control, queue->held ? 2 : 1);
}

bool bench_queue_release(struct bench_queue *queue) {
    queue->held = false;
    return bench_amqp_release(queue->control);
}

void bench_queue_close(struct bench_queue *queue) {
    if (queue->control >= 0) {
        if (!queue->rabbit.ours)
            (void)bench_amqp_delete(queue->control);
        close(queue->control);
        queue->control = -1;
    }
    bench_rabbit_close(&queue->rabbit);
}
