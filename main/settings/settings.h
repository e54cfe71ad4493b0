/* settings.h - what a node is told to do, from flags, environment and file, merged and checked.
 *
 * One table (settings_table.c) describes every setting once: name, kind, range, default, meaning.
 * From it come the flags, the environment variables, the keys of the file, `serve --help`,
 * `check-config` and docs/settings.md, so none of them can differ. A flag wins over the
 * environment, the environment over the file, the file over the default; a list is taken whole from
 * the strongest place that has it.
 *
 * Every value is checked wherever it stands, also one that a stronger place hides. All problems are
 * found in one go, each named with its place and its remedy. Keys are never printed.
 *
 * Threads: one at a time (the main thread). Owns: every string that a config made from it points
 * to, until settings_forget or settings_fini; equal strings are kept once, so reloading the same
 * file does not grow it. Limits: SETTINGS_FILE_BYTES_MAX, SETTINGS_PROBLEMS_MAX. */
#ifndef RINGPOST_MAIN_SETTINGS_SETTINGS_H
#define RINGPOST_MAIN_SETTINGS_SETTINGS_H

#include "core/config.h"
#include "main/settings/machine.h"

#include <stdio.h>

#define SETTINGS_FILE_BYTES_MAX (1024 * 1024)
#define SETTINGS_PROBLEMS_MAX 32
#define SETTINGS_REMARKS_MAX 16
#define SETTINGS_TEXT_MAX 320

/* In the order in which they are shown. */
enum setting_id {
    SET_CONFIG,
    SET_TCP,
    SET_WEB,
    SET_API,
    SET_PORTS_FILE,
    SET_PROXY_PROTOCOL,
    SET_FORWARDED,
    SET_CORS,
    SET_WEB_HOST,
    SET_DEMO,
    SET_SOCKETIO_CLIENT,
    SET_DEFLATE,
    SET_NODE,
    SET_WORKERS,
    SET_CPUS,
    SET_SANDBOX,
    SET_STEER,
    SET_API_KEY,
    SET_API_KEY_FILE,
    SET_CLIENT_SEND,
    SET_NAMESPACES,
    SET_HEARTBEAT,
    SET_HEARTBEAT_TIMEOUT,
    SET_HELLO_TIMEOUT,
    SET_CONNECT_TIMEOUT,
    SET_UPGRADE_TIMEOUT,
    SET_DRAIN_TIMEOUT,
    SET_MAX_MESSAGE,
    SET_MAX_BODY,
    SET_MAX_PAYLOAD,
    SET_OUTBOX_BYTES,
    SET_SLOW,
    SET_SEND_BUFFER,
    SET_MEMORY,
    SET_MAX_CONNECTIONS,
    SET_MAX_PER_ADDRESS,
    SET_RATE_LIMIT,
    SET_DEDUP_WINDOW,
    SET_DEDUP_MAX,
    SET_ACK_SILENCE,
    SET_ACK_WINDOW,
    SET_ACK_BACKLOG,
    SET_FATE_WINDOW,
    SET_FATE_MAX,
    SET_STORE,
    SET_DATA,
    SET_FSYNC,
    SET_REDIS,
    SET_REDIS_FILE,
    SET_REDIS_PREFIX,
    SET_PEER,
    SET_PEER_SECRET_FILE,
    SET_SOCKETIO_REDIS_KEY,
    SET_SOCKETIO_REDIS_ADAPTER,
    SET_AMQP,
    SET_AMQP_FILE,
    SET_AMQP_QUEUE,
    SET_AMQP_DECLARE,
    SET_AMQP_QUEUE_TTL,
    SET_AMQP_PREFETCH,
    SET_AMQP_SETTLE,
    SET_AMQP_HOLD,
    SET_AMQP_REFUSED,
    SET_AMQP_RESULTS,
    SET_AMQP_REPLIES,
    SET_AMQP_CA,
    SET_AMQP_CERT,
    SET_AMQP_KEY,
    SET_ALERT_URL,
    SET_ALERT_MAIL,
    SET_ALERT_SMTP,
    SET_ALERT_SMTP_FILE,
    SET_ALERT_FROM,
    SET_ALERT_AFTER,
    SET_LOG_LEVEL,
    SET_LOG_FORMAT,
    SET_CONFORMANCE,
    SET_TEST_KERNEL_6_1,
    SET_TEST_NO_CBPF,
    SETTINGS
};

enum setting_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENV, SOURCE_FLAG };

/* Where a value stands. `line` counts from 1 and belongs to SOURCE_FILE. */
struct setting_origin {
    enum setting_source source;
    unsigned line;
};

/* What kind of failure a problem is, for the exit status: 2 for PROBLEM_USAGE (flags, environment),
 * 1 for the others. */
enum problem_kind { PROBLEM_USAGE, PROBLEM_FILE, PROBLEM_START };

struct settings_problem {
    enum problem_kind kind;
    char text[SETTINGS_TEXT_MAX]; /* one line: place, what is wrong, what to do */
};

struct settings_string;

struct settings {
    struct config config; /* of the start; a reload leaves it alone, since other threads read it */
    struct config latest; /* what the last reload made of it; the next one compares with this */
    struct setting_origin origins[SETTINGS];
    const char *file; /* the file that was read, or NULL */

    struct settings_problem problems[SETTINGS_PROBLEMS_MAX];
    unsigned problem_count;
    unsigned problems_left_out;                            /* past SETTINGS_PROBLEMS_MAX */
    char remarks[SETTINGS_REMARKS_MAX][SETTINGS_TEXT_MAX]; /* legal, but worth knowing */
    unsigned remark_count;
    bool help; /* --help was among the flags; nothing else was read */

    /* Kept for reloads. */
    int argc;
    char **argv;
    char **environment;
    struct machine machine;
    char random_node[16];
    unsigned random_cpu;
    struct settings_string *strings;
    uint64_t reading, latest_reading; /* reloads so far, and which of them made `latest` */
};

/* Reads flags (without program and command name), `environment` ("NAME=value", ended by NULL) and
 * the file they name, and fills `settings`. False: there are problems, and config must not be used.
 * `argv` and `environment` must outlive the settings. `machine` NULL: this machine is looked at,
 * and its soft limit of open files raised. */
bool settings_load(struct settings *settings, int argc, char **argv, char **environment,
                   const struct machine *machine);
void settings_fini(struct settings *settings);

/* 2 when a problem is of usage, 1 when there are others, 0 when there is none. */
int settings_exit_status(const struct settings *settings);
/* Prints each problem on a line, with the program's name. */
void settings_print_problems(const struct settings *settings, FILE *out);

/* What a reload found about one setting, or about the whole. */
enum reload_verdict {
    RELOAD_APPLIED,       /* changed, and in `next` */
    RELOAD_NEEDS_RESTART, /* changed, but not in `next` */
    RELOAD_PROBLEM,       /* why nothing changes; `name` is NULL */
};
typedef void settings_report(void *user, enum reload_verdict verdict, const char *name,
                             const char *detail);

/* Reads everything again, as settings_load did. True: `next` is the config that should hold now
 * (the current one with what may change in a running node), and each changed setting was reported.
 * False: the problems were reported, `next` is untouched and everything stays as it is. The
 * strings of older configs stay valid until settings_forget. */
bool settings_reload(struct settings *current, struct config *next, settings_report *report,
                     void *user);

/* Frees the strings that neither `config` nor `latest` points to: nobody may look at another config
 * any more. */
void settings_forget(struct settings *settings);

/* The value that holds, as it would be written in a file; keys only as their number. */
void setting_format(const struct settings *settings, enum setting_id id, char *text, size_t cap);
/* "default", "flag --tcp", "env RINGPOST_TCP", "ringpost.conf:12". */
void setting_format_origin(const struct settings *settings, enum setting_id id, char *text,
                           size_t cap);

/* The table of `check-config`. */
void settings_print_effective(const struct settings *settings, FILE *out);
/* `serve --help`. */
void settings_print_help(FILE *out);
/* docs/settings.md. */
void settings_print_reference(FILE *out);

#endif
