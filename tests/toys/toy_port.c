#include "tests/toys/toy_port.h"

#include "core/server.h"
#include "ingest/gate/envelope.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

struct toy_kept {
    struct list link;
    struct message *message;
    struct mail request;
};

/* One more step. False: it is dead. */
static bool toy_step(struct toy_port *toy) {
    toy->dead |= toy->steps != 0 && --toy->steps == 0;
    return !toy->dead;
}

static void toy_answer(struct toy_port *toy, struct message *message, const struct mail *request) {
    bool takes = toy->way != TOY_UNAVAILABLE;
    message_release(&toy->port.endpoint, message);
    atomic_fetch_add(&toy->took, takes);
    port_answer(&toy->port, request, takes, takes ? 0 : ANSWER_UNAVAILABLE);
}

static void on_late(struct endpoint *endpoint, struct timer *timer) {
    struct toy_port *toy = container_of(timer, struct toy_port, late);
    while (!list_empty(&toy->kept) && toy_step(toy)) {
        struct toy_kept *kept = container_of(toy->kept.next, struct toy_kept, link);
        uint64_t due_ns = kept->message->accepted_ns + toy->delay_ns;
        if (due_ns > endpoint->now_ns) {
            timer_arm(&endpoint->wheel, timer, due_ns);
            return;
        }
        list_remove(&kept->link);
        toy_answer(toy, kept->message, &kept->request);
        free(kept);
    }
}

static void toy_deliver(struct port *port, struct message *message, const struct mail *request) {
    struct toy_port *toy = container_of(port, struct toy_port, port);
    if (toy_step(toy) && toy->way != TOY_LATE && toy->way != TOY_SILENT) {
        toy_answer(toy, message, request);
        return;
    }
    struct toy_kept *kept = calloc(1, sizeof(*kept));
    CHECK(kept != NULL);
    kept->message = message;
    kept->request = *request;
    list_add_tail(&toy->kept, &kept->link);
    if (toy->way == TOY_LATE && !timer_armed(&toy->late))
        timer_arm(&port->wheel, &toy->late, message->accepted_ns + toy->delay_ns);
}

static void toy_turn(struct port *port) {
    struct toy_port *toy = container_of(port, struct toy_port, port);
    char bytes[16];
    ssize_t count = toy->fd < 0 || !toy_step(toy) ? 0 : read(toy->fd, bytes, sizeof(bytes));
    while (count-- > 0)
        toy_publish(toy, toy->json);
}

static void toy_wait(struct port *port, int wake_fd, uint64_t wait_ns) {
    struct pollfd fds[] = {{.fd = wake_fd, .events = POLLIN},
                           {.fd = ((struct toy_port *)(void *)port)->fd, .events = POLLIN}};
    poll(fds, 2, wait_ns == CLOCK_NEVER ? -1 : (int)((wait_ns + NS_PER_MS - 1) / NS_PER_MS));
    net_wake_clear(wake_fd);
}

static void toy_stop(struct port *port) {
    struct toy_port *toy = container_of(port, struct toy_port, port);
    for (struct list *node; (node = list_pop(&toy->kept)) != NULL;) {
        message_release(&port->endpoint, container_of(node, struct toy_kept, link)->message);
        free(container_of(node, struct toy_kept, link));
    }
    while (toy->name_count > 0)
        holders_remove(port->server->holders, toy->names[--toy->name_count], port->index);
}

static void on_result(struct endpoint *endpoint, struct gate_source *source, void *request,
                      uint32_t index, const struct gate_result *result) {
    (void)endpoint, (void)source, (void)request, (void)index, (void)result;
}

void toy_init(struct toy_port *toy) {
    static const struct port_type type = {.name = "toy",
                                          .deliver = toy_deliver,
                                          .turn = toy_turn,
                                          .wait = toy_wait,
                                          .stop = toy_stop};
    memset(toy, 0, sizeof(*toy));
    port_init(&toy->port, &type);
    toy->fd = -1;
    list_init(&toy->kept);
    timer_init(&toy->late, on_late);
    gate_source_init(&toy->source, NULL, on_result, NULL);
}

void toy_hold(struct toy_port *toy, enum name_kind kind, const char *name) {
    uint64_t hash = name_hash(kind, NAMESPACE_MAIN, span_text(name));
    CHECK(toy->name_count < sizeof(toy->names) / sizeof(toy->names[0]) &&
          holders_add(toy->port.server->holders, hash, toy->port.index));
    toy->names[toy->name_count++] = hash;
}

void toy_publish(struct toy_port *toy, const char *json) {
    struct endpoint *endpoint = &toy->port.endpoint;
    struct envelope envelope;
    struct complaint complaint;
    CHECK(envelope_parse(&envelope, gate_of(endpoint)->contexts[endpoint->index].room,
                         ENVELOPE_MESSAGE, span_text(json), endpoint->config->max_message_bytes,
                         &complaint));
    gate_publish(endpoint, &(struct gate_request){.source = &toy->source, .envelope = &envelope});
}
