#include "ha/alert/alert_port.h"

#include "core/base/log.h"
#include "core/config.h"
#include "core/server.h"

#define MEMORY_FREE_PART 8

static struct alert_port *alert_of(struct port *port) {
    return (struct alert_port *)(void *)port;
}

/* --- what is lost --------------------------------------------------------------------------- */

/* Was anything refused for want of memory since the last look, or is there none? Then it is short
 * until an eighth is free again: whoever is refused comes again when it likes. */
static bool memory_is_short(struct alert_port *alert) {
    const struct server *server = alert->port.server;
    uint64_t refused = 0;
    for (unsigned i = 0; i < server->post.endpoints; i++) {
        const struct stats *stats = &server->endpoints[i]->stats;
        refused += stats_get(&stats->memory_refused) + stats_get(&stats->refused[REFUSE_MEMORY]);
    }
    uint64_t ceiling = server->budget.ceiling_bytes;
    bool grew = refused != alert->memory_refused;
    bool is_low = atomic_load_explicit(&server->budget.granted_bytes, memory_order_relaxed) >
                  ceiling - ceiling / MEMORY_FREE_PART;
    alert->memory_refused = refused;
    alert->memory_short =
        grew || budget_is_full(&server->budget) || (alert->memory_short && is_low);
    return alert->memory_short;
}

static void look(struct alert_port *alert) {
    const struct server *server = alert->port.server;
    const struct store *store = server->parts.store;
    uint64_t now_ns = alert->port.now_ns, wall_ms = clock_wall_ms();
    struct alert_notice notice;
    for (unsigned i = 0; i < server->parts.port_count; i++) {
        const struct port *port = server->parts.ports[i];
        alert_watch_see(&alert->watch, i,
                        atomic_load_explicit(&port->degraded, memory_order_relaxed), now_ns,
                        wall_ms);
    }
    bool store_lost = store != NULL && !store_is_available(store, now_ns);
    alert_watch_see(&alert->watch, ALERT_SUBJECT_STORE, store_lost ? "store" : NULL, now_ns,
                    wall_ms);
    alert_watch_see(&alert->watch, ALERT_SUBJECT_MEMORY, memory_is_short(alert) ? "memory" : NULL,
                    now_ns, wall_ms);
    while (alert_watch_next(&alert->watch, &notice, now_ns, wall_ms))
        alert_line_put(&alert->line, &notice);
    stats_set(&alert->figures.suppressed, alert->watch.suppressed_total);
}

/* --- what is told of what was told ---------------------------------------------------------- */

static void on_end(void *user, enum alert_way_kind kind, const struct alert_notice *notice,
                   enum alert_end end, const struct alert_result *result) {
    struct alert_port *alert = user;
    const char *to = alert->line.ways[kind].shown, *state = alert_state_word(notice->state);
    switch (end) {
    case ALERT_SENT:
        stats_add(&alert->figures.sent[kind], 1);
        if (result->problem[0] == '\0')
            log_event(LOG_INFO, "alert_sent", LOG_STR("what", notice->what),
                      LOG_STR("state", state), LOG_STR("to", to));
        else
            log_event(LOG_WARN, "alert_sent_partly", LOG_STR("what", notice->what),
                      LOG_STR("state", state), LOG_STR("to", to),
                      LOG_STR("problem", result->problem), LOG_STR("remedy", result->remedy));
        return;
    case ALERT_RETRIED:
        stats_add(&alert->figures.failed[kind], 1);
        log_event(LOG_WARN, "alert_failed", LOG_STR("what", notice->what), LOG_STR("state", state),
                  LOG_STR("to", to), LOG_STR("problem", result->problem),
                  LOG_STR("remedy", result->remedy), LOG_STR("next", "it is tried again"));
        return;
    case ALERT_GIVEN_UP:
        stats_add(&alert->figures.failed[kind], 1);
        break;
    case ALERT_DROPPED:
        break;
    }
    stats_add(&alert->figures.dropped[kind], 1);
    log_event(LOG_ERROR, "alert_dropped", LOG_STR("what", notice->what), LOG_STR("state", state),
              LOG_STR("to", to), LOG_STR("problem", result->problem),
              LOG_STR("remedy", result->remedy));
}

/* --- the port ------------------------------------------------------------------------------- */

static bool alert_open(struct port *port, char *problem, size_t problem_cap) {
    return alert_line_open(&alert_of(port)->line, problem, problem_cap);
}

static void alert_turn(struct port *port) {
    struct alert_port *alert = alert_of(port);
    if (port->now_ns >= alert->looks_ns && alert->leaves_ns == 0) {
        alert->looks_ns = port->now_ns + ALERT_LOOK_NS;
        look(alert);
    }
    alert_line_work(&alert->line, port->now_ns);
    stats_set(&alert->figures.waiting, alert_line_waiting(&alert->line));
}

/* When it has something to do by itself. */
static uint64_t due_ns(const struct alert_port *alert, uint64_t now_ns) {
    uint64_t due_ns = alert_line_due_ns(&alert->line, now_ns);
    uint64_t looks_ns = alert->looks_ns;
    if (looks_ns == 0) /* it has no turns yet */
        looks_ns = now_ns + ALERT_LOOK_NS;
    if (alert->leaves_ns != 0)
        looks_ns = alert->leaves_ns + ALERT_LEAVE_NS;
    bool is_over = alert->leaves_ns != 0 && looks_ns <= now_ns;
    return is_over || due_ns < looks_ns ? due_ns : looks_ns;
}

static void alert_wait(struct port *port, int wake_fd, uint64_t wait_ns) {
    struct alert_port *alert = alert_of(port);
    uint64_t now_ns = clock_ns(), at_ns = due_ns(alert, now_ns);
    if (port->stopped) {
        net_wake_wait(wake_fd, wait_ns);
        return;
    }
    uint64_t until_due_ns = at_ns <= now_ns ? 0 : at_ns - now_ns;
    alert_send_wait(&alert->line.sender, wake_fd, until_due_ns < wait_ns ? until_due_ns : wait_ns);
    net_wake_clear(wake_fd);
}

/* What is under way may end; the rest is dropped. */
static bool alert_refuse(struct port *port) {
    struct alert_port *alert = alert_of(port);
    if (alert->leaves_ns == 0)
        alert->leaves_ns = port->now_ns;
    return !alert_line_is_busy(&alert->line) || port->now_ns - alert->leaves_ns >= ALERT_LEAVE_NS;
}

static void alert_stop(struct port *port) {
    struct alert_port *alert = alert_of(port);
    alert_line_fini(&alert->line);
    stats_set(&alert->figures.waiting, 0);
}

void alert_port_init(struct alert_port *alert, const struct config *config, const char *run) {
    static const struct port_type type = {.name = "alert",
                                          .open = alert_open,
                                          .turn = alert_turn,
                                          .wait = alert_wait,
                                          .refuse = alert_refuse,
                                          .stop = alert_stop};
    memset(alert, 0, sizeof(*alert));
    port_init(&alert->port, &type);
    alert_watch_init(&alert->watch, config->alert_after_ns);
    alert_line_init(&alert->line, config, run);
    alert->line.on_end = on_end;
    alert->line.user = alert;
#define ALERT_FIGURE_TELL(member, metric, label, kind, help)                                       \
    alert->shown[alert->port.figure_count++] =                                                     \
        (struct port_figure){metric, label, kind, help, &alert->figures.member};
    ALERT_FIGURES(ALERT_FIGURE_TELL)
#undef ALERT_FIGURE_TELL
    alert->port.figures = alert->shown;
}
