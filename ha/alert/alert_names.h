/* alert_names.h - looks up the hosts that alerts go to.
 *
 * The resolver of the C library waits as long as it likes, and a host of the internet changes its
 * addresses while a node runs. So one thread of its own asks it, started before the sandbox is
 * entered, which lets no thread begin later; who wants addresses asks for them and looks later
 * whether they are there. What was found is used for NAMES_KEPT_NS, and longer where nothing newer
 * can be found.
 *
 * Nobody waits for that thread: one that the resolver does not let go when the node ends is left
 * where it is, so `struct alert_names` must live as long as the process.
 *
 * Threads: one that asks; its own. Owns: its thread. Limits: NAMES_MAX hosts, NAMES_ADDRESSES_MAX
 * addresses of each. */
#ifndef RINGPOST_HA_ALERT_ALERT_NAMES_H
#define RINGPOST_HA_ALERT_ALERT_NAMES_H

#include "ha/alert/alert_place.h"

#include <pthread.h>

#define NAMES_MAX 2
#define NAMES_ADDRESSES_MAX 8
#define NAMES_KEPT_NS (300 * NS_PER_S)
#define NAMES_PROBLEM_MAX 128
/* "address,[address],..." */
#define NAMES_TEXT_MAX (NAMES_ADDRESSES_MAX * 50)

struct alert_name {
    const struct alert_place *place;
    bool wanted;        /* the thread is to look, or looks */
    uint64_t looked_ns; /* when the last answer came; 0: none has */
    uint64_t found_ns;  /* when the addresses were found; 0: there are none */
    char addresses[NAMES_TEXT_MAX];
    char problem[NAMES_PROBLEM_MAX]; /* of the last answer; empty: it had addresses */
};

struct alert_names {
    pthread_mutex_t lock;
    pthread_cond_t asked, answered;
    pthread_t thread;
    bool runs, ends;
    struct alert_name names[NAMES_MAX];
    unsigned count;
};

/* What becomes of a wish. */
enum alert_found {
    ALERT_FOUND,   /* `addresses` are there */
    ALERT_LOOKING, /* ask again soon */
    ALERT_UNKNOWN, /* there are none, and `problem` says why */
};

void alert_names_init(struct alert_names *names);
/* Adds a host that must be looked up; returns its number. The place must outlive the names. */
unsigned alert_names_add(struct alert_names *names, const struct alert_place *place);
/* Starts the thread, if there are hosts. 0, or an errno. */
int alert_names_start(struct alert_names *names);
/* The addresses of a host. The thread looks again where those that are known are old. */
enum alert_found alert_names_get(struct alert_names *names, unsigned number, uint64_t now_ns,
                                 char addresses[NAMES_TEXT_MAX], char problem[NAMES_PROBLEM_MAX]);
/* None of the addresses did: the next wish waits for new ones. */
void alert_names_doubt(struct alert_names *names, unsigned number);
/* Ends the thread, or leaves it. */
void alert_names_end(struct alert_names *names);

#endif
