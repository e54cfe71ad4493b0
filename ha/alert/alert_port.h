/* alert_port.h - tells people when the node has lost something for longer than --alert-after, and
 * when that is back: by mail, by a webhook, or both.
 *
 *   what is lost: `degraded` of other ports, the store, the memory ceiling --> alert_watch.h
 *   what is told: alert_watch.h --> alert_text.h --> alert_line.h --> alert_send.h (libcurl)
 *
 * It looks every ALERT_LOOK_NS, so what is lost and back between two looks is not seen. It hears
 * no messages and holds no names; nobody waits for it, but the drain for what is under way, for
 * ALERT_LEAVE_NS at most. Its own thread waits for libcurl nowhere but in `wait` and, for
 * ALERT_QUIT_S, for the last word of a mail server.
 *
 * Threads: its own; `figures` any. Owns: its line. Limits: ALERTS_PER_HOUR, ALERT_QUEUE. */
#ifndef RINGPOST_HA_ALERT_ALERT_PORT_H
#define RINGPOST_HA_ALERT_ALERT_PORT_H

#include "core/port.h"
#include "ha/alert/alert_line.h"
#include "ha/alert/alert_watch.h"

#define ALERT_LOOK_NS (500 * NS_PER_MS)
#define ALERT_LEAVE_NS NS_PER_S

/* What is told of it, each written by the port alone: metric, label, help. */
#define ALERT_FIGURES(X)                                                                           \
    X(sent[ALERT_WAY_URL], "alerts_sent_total", "way=\"url\"", "counter",                          \
      "alerts that were taken")                                                                    \
    X(sent[ALERT_WAY_MAIL], "alerts_sent_total", "way=\"mail\"", "counter",                        \
      "alerts that were taken")                                                                    \
    X(failed[ALERT_WAY_URL], "alerts_failed_total", "way=\"url\"", "counter",                      \
      "tries to send an alert that did not work")                                                  \
    X(failed[ALERT_WAY_MAIL], "alerts_failed_total", "way=\"mail\"", "counter",                    \
      "tries to send an alert that did not work")                                                  \
    X(dropped[ALERT_WAY_URL], "alerts_dropped_total", "way=\"url\"", "counter",                    \
      "alerts that were given up, or had no room to wait")                                         \
    X(dropped[ALERT_WAY_MAIL], "alerts_dropped_total", "way=\"mail\"", "counter",                  \
      "alerts that were given up, or had no room to wait")                                         \
    X(suppressed, "alerts_suppressed_total", NULL, "counter",                                      \
      "alerts beyond 12 an hour, which a digest tells of")                                         \
    X(waiting, "alerts_waiting", NULL, "gauge", "alerts that wait to be sent")

struct alert_figures {
    _Atomic uint64_t sent[ALERT_WAYS], failed[ALERT_WAYS], dropped[ALERT_WAYS];
    _Atomic uint64_t suppressed, waiting;
};

struct alert_port {
    struct port port;
    struct alert_figures figures;
    struct port_figure shown[8];
    struct alert_watch watch;
    struct alert_line line;
    uint64_t looks_ns;       /* when it looks next */
    uint64_t memory_refused; /* by all threads, when it looked last */
    bool memory_short;       /* then */
    uint64_t leaves_ns;      /* the node drains since then; 0: it does not */
};

/* Prepares it. The config must outlive it, so it is none that a reload replaces; and `run` too,
 * which may be filled in later. */
void alert_port_init(struct alert_port *alert, const struct config *config, const char *run);

#endif
