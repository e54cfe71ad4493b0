#include "tests/toys/toy_wait.h"

static void toy_over(struct worker *worker, struct toy_wait *toy) {
    toy->open = false;
    if (toy->concerned)
        wait_concern_end(worker, &toy->concern);
    toy->concerned = false;
}

static void on_drain(struct worker *worker, struct wait *wait) {
    struct toy_wait *toy = container_of(wait, struct toy_wait, wait);
    toy->drains++;
    if (!toy->stays)
        toy_wait_acknowledge(worker, toy);
}

static void on_deadline(struct worker *worker, struct wait *wait) {
    struct toy_wait *toy = container_of(wait, struct toy_wait, wait);
    toy->deadlines++;
    toy_over(worker, toy);
}

bool toy_wait_begin(struct worker *worker, struct toy_wait *toy, bool stays, uint64_t timeout_ns,
                    const struct connection *connection) {
    static const struct wait_type type = {on_drain, on_deadline};
    *toy = (struct toy_wait){.stays = stays};
    toy->open = wait_begin(worker, &toy->wait, &type, worker->now_ns + timeout_ns);
    if (toy->open && connection != NULL)
        toy->concerned = wait_concern_begin(worker, &toy->concern, connection);
    return toy->open;
}

void toy_wait_acknowledge(struct worker *worker, struct toy_wait *toy) {
    wait_end(worker, &toy->wait);
    toy_over(worker, toy);
}
