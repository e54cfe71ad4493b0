/* alert_line.h - the ways out for alerts: a webhook, mail, or both. Each has a queue of its own, so
 * that one that hangs keeps nothing from the other.
 *
 * A notice is tried ALERT_TRIES times at most, with growing pauses, for some 8 minutes; what cannot
 * work is given up at once (a wrong URL, a refused address). A mail server or receiver that took a
 * notice and could not say so gets it again.
 *
 * Threads: one. Owns: its sender and the thread that looks up hosts. Limits: ALERT_QUEUE notices
 * for each way; when it is full the oldest is dropped, since a later one says what is true now. */
#ifndef RINGPOST_HA_ALERT_ALERT_LINE_H
#define RINGPOST_HA_ALERT_ALERT_LINE_H

#include "ha/alert/alert_names.h"
#include "ha/alert/alert_send.h"
#include "ha/alert/alert_text.h"

#define ALERT_QUEUE 16
#define ALERT_TRIES 6
/* So long a try waits for the look-up of its host. */
#define ALERT_LOOK_UP_NS (5 * NS_PER_S)

struct config;

enum alert_way_kind { ALERT_WAY_URL, ALERT_WAY_MAIL, ALERT_WAYS };

/* What became of a notice, or of one try. */
enum alert_end {
    ALERT_SENT,     /* `problem` not empty: but not to everybody */
    ALERT_RETRIED,  /* it is tried again */
    ALERT_GIVEN_UP, /* it is not */
    ALERT_DROPPED,  /* the queue was full, or the node ends */
};

struct alert_way {
    bool is_on;
    struct alert_place place;
    char shown[ALERT_WRITTEN_MAX]; /* where it leads, without secrets */
    unsigned name;                 /* of its host, if that must be looked up */
    struct alert_notice queue[ALERT_QUEUE];
    unsigned first, count;
    unsigned tries;    /* of the first */
    uint64_t next_ns;  /* it is not tried before */
    uint64_t looks_ns; /* since then it waits for its host's addresses; 0: it does not */
    bool under_way;
    char addresses[NAMES_TEXT_MAX];
    char content[ALERT_MAIL_MAX];
};

struct alert_line {
    struct alert_way ways[ALERT_WAYS];
    struct alert_smtp smtp;
    struct alert_names names;
    struct alert_sender sender;
    struct alert_teller teller;
    struct alert_letter letter; /* but for its time */
    const char *url;
    char host[64]; /* this machine's name */
    char from[ALERT_ADDRESS_BYTES_MAX + 1];
    unsigned tries; /* ALERT_TRIES, or fewer */
    bool ready;     /* it was opened */
    void (*on_end)(void *user, enum alert_way_kind kind, const struct alert_notice *notice,
                   enum alert_end end, const struct alert_result *result);
    void *user;
};

/* Is any alert wanted? */
bool alert_is_wanted(const struct config *config);
/* Prepares it; the config must outlive it. */
void alert_line_init(struct alert_line *line, const struct config *config, const char *run);
/* Before the sandbox. False: `problem` says why not. */
bool alert_line_open(struct alert_line *line, char *problem, size_t problem_cap);
/* Takes the notice for all ways. */
void alert_line_put(struct alert_line *line, const struct alert_notice *notice);
/* Does what can be done now, and calls on_end. */
void alert_line_work(struct alert_line *line, uint64_t now_ns);
/* When there is something to do without a word from outside; CLOCK_NEVER: nothing waits. */
uint64_t alert_line_due_ns(const struct alert_line *line, uint64_t now_ns);
/* Is a try under way? */
bool alert_line_is_busy(const struct alert_line *line);
/* How many notices wait, of all ways. */
unsigned alert_line_waiting(const struct alert_line *line);
/* What waits is dropped. */
void alert_line_fini(struct alert_line *line);

#endif
