/* amqp_figures.c - what is told of the port to operators; see amqp_port.h. */
#include "core/base/builder.h"
#include "core/base/check.h"
#include "ingest/amqp/amqp_port.h"

static const char *const settled_words[AMQP_SETTLED] = {
    [AMQP_ACKNOWLEDGED] = "acknowledged",
    [AMQP_REFUSED] = "refused",
    [AMQP_REJECTED] = "rejected",
    [AMQP_ABANDONED] = "abandoned",
};

static void tell(struct amqp_port *amqp, const char *metric, const char *label, const char *kind,
                 const char *help, const _Atomic uint64_t *value) {
    amqp->shown[amqp->port.figure_count++] = (struct port_figure){metric, label, kind, help, value};
}

/* `queue="NAME"`, and how it was settled unless that is AMQP_SETTLED. */
static const char *label_write(struct amqp_port *amqp, unsigned queue, unsigned how) {
    struct builder out = builder_over(amqp->labels[queue][how], sizeof(amqp->labels[0][0]) - 1);
    builder_text(&out, "queue=\"");
    for (const char *at = amqp->queues[queue].name; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            builder_byte(&out, '\\');
        builder_byte(&out, *at);
    }
    builder_byte(&out, '"');
    if (how != AMQP_SETTLED)
        builder_format(&out, ",how=\"%s\"", settled_words[how]);
    return out.at;
}

/* --- books ------------------------------------------------------------------------------------ */

static void book_write(const struct amqp_queue *queue, struct port_book *book) {
    const struct amqp_queue_figures *figures = &queue->figures;
    *book = (struct port_book){.queue = queue->name,
                               .deliveries = stats_get(&figures->deliveries),
                               .acknowledged = stats_get(&figures->settled[AMQP_ACKNOWLEDGED]),
                               .refused = stats_get(&figures->settled[AMQP_REFUSED]),
                               .rejected = stats_get(&figures->settled[AMQP_REJECTED]),
                               .abandoned = stats_get(&figures->settled[AMQP_ABANDONED])};
    for (const struct list *at = queue->order.next; at != &queue->order; at = at->next) {
        const struct amqp_delivery *delivery = container_of(at, const struct amqp_delivery, order);
        if (list_linked(&delivery->held.link))
            book->held++;
        else
            book->under_way++;
    }
}

void amqp_books_write(struct amqp_port *amqp) {
    uint64_t open = 0;
    for (unsigned i = 0; i < amqp->queue_count; i++)
        open += stats_get(&amqp->queues[i].figures.held) +
                stats_get(&amqp->queues[i].figures.under_way);
    if (open > BOOK_WALK_MAX && amqp->port.now_ns - amqp->booked_ns < BOOK_LONG_NS)
        return;
    amqp->booked_ns = amqp->port.now_ns;
    CHECK(pthread_mutex_lock(&amqp->books.lock) == 0);
    for (unsigned i = 0; i < amqp->queue_count; i++)
        book_write(&amqp->queues[i], &amqp->books.books[i]);
    CHECK(pthread_mutex_unlock(&amqp->books.lock) == 0);
}

unsigned amqp_books_read(struct port *port, unsigned from, struct port_book *books, unsigned max) {
    struct amqp_port *amqp = amqp_of(port);
    unsigned count = 0;
    CHECK(pthread_mutex_lock(&amqp->books.lock) == 0);
    for (; count < max && from + count < amqp->queue_count; count++)
        books[count] = amqp->books.books[from + count];
    CHECK(pthread_mutex_unlock(&amqp->books.lock) == 0);
    return count;
}

void amqp_figures_init(struct amqp_port *amqp) {
    struct amqp_figures *all = &amqp->figures;
    const struct {
        const char *metric, *kind, *help;
        size_t at;
    } each[] = {
        {"amqp_deliveries_total", "counter", "deliveries, redeliveries too",
         offsetof(struct amqp_queue_figures, deliveries)},
        {"amqp_redelivered_total", "counter", "deliveries that the broker had given before",
         offsetof(struct amqp_queue_figures, redelivered)},
        {"amqp_held", "gauge", "deliveries that wait to be tried again",
         offsetof(struct amqp_queue_figures, held)},
        {"amqp_held_oldest_ms", "gauge", "how long the oldest of these has waited",
         offsetof(struct amqp_queue_figures, oldest_held_ms)},
        {"amqp_under_way", "gauge", "deliveries that are neither held nor settled",
         offsetof(struct amqp_queue_figures, under_way)},
        {"amqp_consuming", "gauge", "1 while the queue is consumed",
         offsetof(struct amqp_queue_figures, consuming)},
    };
    tell(amqp, "amqp_connected", NULL, "gauge", "1 while both connections to the broker are up",
         &all->connected);
    tell(amqp, "amqp_lost_total", NULL, "counter", "times that a connection to it was lost",
         &all->lost);
    tell(amqp, "amqp_bytes", NULL, "gauge", "bytes of deliveries that are kept", &all->bytes);
    tell(amqp, "amqp_stalled_total", NULL, "counter",
         "times that nothing was read for want of memory", &all->stalled);
    tell(amqp, "amqp_ttl_cut_total", NULL, "counter",
         "messages whose ttl was cut for --amqp-settle acked", &all->cut);
    tell(amqp, "amqp_replies_total", NULL, "counter",
         "answers to messages with reply_to that the broker took", &all->replies);
    tell(amqp, "amqp_replies_untaken_total", NULL, "counter",
         "of these, answers that came back since their queue is not there", &all->replies_untaken);
    tell(amqp, "amqp_replies_dropped_total", NULL, "counter",
         "answers for which there was no room, or no broker", &all->replies_dropped);
    tell(amqp, "amqp_results_total", NULL, "counter",
         "outcomes that the broker took for --amqp-results", &all->results);
    tell(amqp, "amqp_results_dropped_total", NULL, "counter",
         "outcomes for which there was no room, or which the broker did not take",
         &all->results_dropped);
    tell(amqp, "amqp_results_untold_total", NULL, "counter",
         "outcomes that were never written, since too many waited for the broker",
         &all->results_untold);
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++)
        for (unsigned n = 0; n < amqp->queue_count; n++)
            tell(amqp, each[i].metric, label_write(amqp, n, AMQP_SETTLED), each[i].kind,
                 each[i].help,
                 (const _Atomic uint64_t *)(const void *)((const char *)&amqp->queues[n].figures +
                                                          each[i].at));
    for (unsigned n = 0; n < amqp->queue_count; n++)
        for (unsigned how = 0; how < AMQP_SETTLED; how++)
            tell(amqp, "amqp_settled_total", label_write(amqp, n, how), "counter",
                 "deliveries by what became of them", &amqp->queues[n].figures.settled[how]);
    amqp->port.figures = amqp->shown;
    CHECK(pthread_mutex_init(&amqp->books.lock, NULL) == 0);
    for (unsigned n = 0; n < amqp->queue_count; n++)
        book_write(&amqp->queues[n], &amqp->books.books[n]);
}
