/* fake_amqp.h - a node with its port to a broker over doors that are none.
 *
 *   amqp_node_open();
 *   amqp_gives(1, "{\"to\":\"a\"}");  a delivery of the first queue
 *   amqp_settle();                    turns, until nothing moves
 *   amqp_heard()                      what the broker was told since
 *
 * Included by the test itself. Threads: one. */
#ifndef RINGPOST_TESTS_SUPPORT_FAKE_AMQP_H
#define RINGPOST_TESTS_SUPPORT_FAKE_AMQP_H

#include "tests/support/fake_http.h"

#include "ingest/amqp/amqp_port.h"
#include "tests/fakes/fake_amqp_door.c"
#include "tests/support/amqp_writer.h"

static struct amqp_port amqp;
static uint64_t amqp_tags[1 + AMQP_QUEUES_MAX];
static char amqp_kept[1 << 20]; /* what spans of events point to */
static size_t amqp_kept_len;

static struct fake_door *amqp_door(void) {
    return fake_door_of(&amqp.consumer.door);
}

static struct fake_door *amqp_out_door(void) {
    return fake_door_of(&amqp.out.link.door);
}

static void amqp_settle(void) {
    for (unsigned quiet = 0; quiet < 2;) {
        uint64_t before = fake_moves;
        size_t len = strlen(amqp_door()->heard) + strlen(amqp_out_door()->heard);
        unsigned left = amqp_door()->event_count + amqp_out_door()->event_count;
        node_settle();
        bool still = fake_moves == before &&
                     len == strlen(amqp_door()->heard) + strlen(amqp_out_door()->heard) &&
                     left == amqp_door()->event_count + amqp_out_door()->event_count;
        quiet = still ? quiet + 1 : 0;
    }
}

static void amqp_pass(uint64_t ns) {
    for (uint64_t until_ns = fake_now_ns + ns; fake_now_ns < until_ns;) {
        uint64_t left_ns = until_ns - fake_now_ns;
        fake_now_ns += left_ns < 10 * NS_PER_MS ? left_ns : 10 * NS_PER_MS;
        amqp_settle();
    }
}

/* What the broker was told since, until the next call. */
static const char *amqp_heard_of(struct fake_door *door) {
    static char heard[sizeof(fake_doors[0].heard)];
    memcpy(heard, door->heard, sizeof(heard));
    door->heard[0] = '\0';
    return heard;
}
static const char *amqp_heard(void) {
    return amqp_heard_of(amqp_door());
}
static const char *amqp_published(void) {
    return amqp_heard_of(amqp_out_door());
}

static struct span amqp_keep(const void *at, size_t len) {
    CHECK(amqp_kept_len + len <= sizeof(amqp_kept), "too much is kept");
    char *kept = memcpy(amqp_kept + amqp_kept_len, at, len);
    amqp_kept_len += len;
    return span_of(kept, len);
}

static void amqp_frame(uint16_t channel, enum door_event_kind kind, struct span bytes,
                       uint64_t body_size) {
    fake_door_say(amqp_door(), (struct door_event){.kind = kind,
                                                   .channel = channel,
                                                   .bytes = amqp_keep(bytes.at, bytes.len),
                                                   .body_size = body_size});
}

/* The first two frames of a delivery. */
static void amqp_begins(uint16_t channel, const struct amqp_said *said, uint64_t body_size) {
    char bytes[1024];
    struct builder header = builder_over(bytes, sizeof(bytes));
    amqp_said_write(&header, said);
    fake_door_say(amqp_door(), (struct door_event){.kind = DOOR_DELIVERY,
                                                   .channel = channel,
                                                   .tag = ++amqp_tags[channel]});
    amqp_frame(channel, DOOR_HEADER, builder_span(&header), body_size);
}

/* A whole one, with these properties. */
static void amqp_gives_said(uint16_t channel, const struct amqp_said *said, const char *body) {
    amqp_begins(channel, said, strlen(body));
    if (body[0] != '\0')
        amqp_frame(channel, DOOR_BODY, span_text(body), 0);
}

static void amqp_gives(uint16_t channel, const char *body) {
    const struct amqp_said nothing = {.type = NULL};
    amqp_gives_said(channel, &nothing, body);
}

static uint64_t amqp_figure_of(const _Atomic uint64_t *figure) {
    return atomic_load_explicit(figure, memory_order_relaxed);
}
#define SETTLED(queue, how) amqp_figure_of(&amqp.queues[queue].figures.settled[AMQP_##how])
#define QUEUE_FIGURE(queue, name) amqp_figure_of(&amqp.queues[queue].figures.name)

/* The books of a queue add up: as counted, and as a walk found them. */
static void amqp_balance(unsigned queue) {
    struct port_book book;
    assert_int_equal(amqp.port.type->books(&amqp.port, queue, &book, 1), 1);
    assert_int_equal(book.deliveries, book.acknowledged + book.refused + book.rejected +
                                          book.abandoned + book.held + book.under_way);
    uint64_t sum = QUEUE_FIGURE(queue, held) + QUEUE_FIGURE(queue, under_way);
    for (unsigned how = 0; how < AMQP_SETTLED; how++)
        sum += amqp_figure_of(&amqp.queues[queue].figures.settled[how]);
    assert_int_equal(sum, QUEUE_FIGURE(queue, deliveries));
}

/* Fill in fake_config, and what the broker is like, first; what is not said is filled in. */
static void amqp_node_open(void) {
    amqp_kept_len = 0;
    memset(amqp_tags, 0, sizeof(amqp_tags));
    if (fake_config.amqp_count == 0)
        fake_config.amqp[fake_config.amqp_count++] = "amqp://u:pw@broker";
    if (fake_config.amqp_queue_count == 0)
        fake_config.amqp_queues[fake_config.amqp_queue_count++] = "q";
    if (fake_config.amqp_prefetch == 0)
        fake_config.amqp_prefetch = 4;
    if (fake_config.amqp_reply_count == 0)
        fake_config.amqp_replies[fake_config.amqp_reply_count++] = "direct";
    if (fake_config.amqp_hold_ns == 0)
        fake_config.amqp_hold_ns = 60 * NS_PER_S;
    snprintf(fake_config.node, sizeof(fake_config.node), "n1");
    amqp_port_init(&amqp, &fake_config);
    fake_ports[0] = &amqp.port;
    http_node_open();
}

static void amqp_node_close(void) {
    http_node_close();
    fake_doors_reset();
}

#endif
