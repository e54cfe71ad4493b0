/* cli.h - the commands of the one binary, and the little that they share.
 *
 * Each command takes its name and the words after it, as main does, and returns the exit status: 0
 * done, 1 it did not work out, 2 bad usage. Threads: the main thread. */
#ifndef RINGPOST_MAIN_CLI_CLI_H
#define RINGPOST_MAIN_CLI_CLI_H

#include "main/cli/http_client.h"
#include "main/flags.h"

#define CLI_API_DEFAULT "127.0.0.1:8081"
#define CLI_TCP_DEFAULT "127.0.0.1:7000"

enum cli_status { CLI_DONE = 0, CLI_FAILED = 1, CLI_USAGE = 2 };

int cli_listen(int argc, char **argv);
int cli_push(int argc, char **argv);
int cli_top(int argc, char **argv);
int cli_check_config(int argc, char **argv);
int cli_audit(int argc, char **argv);
int cli_health(int argc, char **argv);
int cli_fate(int argc, char **argv);
int cli_store(int argc, char **argv);
int cli_alert_test(int argc, char **argv);

/* Prints "ringpost COMMAND: ..." and where the help is, harmlessly whatever it quotes
 * (terminal_format); returns CLI_USAGE. */
int cli_usage(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Prints "ringpost COMMAND: ..." likewise; returns CLI_FAILED. */
int cli_failed(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The flags of one command: their names and where their values go. Exactly one of the pointers is
 * set, unless it is optional. */
struct cli_flag {
    const char *name;
    const char *value; /* for messages; NULL: a switch */
    bool optional; /* a switch that may have a number after its `=`: `on` and `number` are set */
    bool *on;
    const char **text;     /* the last one counts */
    struct cli_list *list; /* repeatable */
    double *number;        /* not negative, may have a fraction */
};

#define CLI_LIST_MAX 1000

struct cli_list {
    const char *entries[CLI_LIST_MAX];
    unsigned count;
};

/* Reads flags and plain words after the command's name; `flags` ends with an entry without name.
 * Returns CLI_DONE, CLI_USAGE after saying why, or -1 when the help was asked for. */
int cli_read(const char *command, int argc, char **argv, const struct cli_flag *flags,
             struct cli_list *words);

/* The listener to speak to. `*address` is the flag's value or NULL; then it becomes the first one
 * in the environment, where it may be written as for serve, else the default. The text is the
 * caller's, a constant, or in `room`. Returns CLI_USAGE after saying what is wrong with it. */
#define CLI_ADDRESS_MAX 272
int cli_api(const char *command, const char **address, char room[CLI_ADDRESS_MAX]);
int cli_tcp(const char *command, const char **address, char room[CLI_ADDRESS_MAX]);

/* The key to use: the flag's, else the first one in RINGPOST_API_KEY, else NULL. It is copied into
 * `room`. Returns CLI_USAGE after saying so when it cannot be one. */
#define CLI_KEY_MAX 257
int cli_key(const char *command, const char *flag, char room[CLI_KEY_MAX], const char **key);

/* Asks a node for its statistics: one JSON object within `outcome`, which is always filled and must
 * be freed. Returns CLI_DONE, CLI_FAILED after saying why, or -1 when it was stopped. */
int cli_stats(const char *command, const struct http_call *call, struct http_outcome *outcome,
              struct span *stats);

#endif
