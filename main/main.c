/* main.c - the one binary: which command was meant. */
#include "main/cli/cli.h"
#include "main/cli/stop.h"
#include "main/serve.h"
#include "main/settings/settings.h"
#include "main/suggest.h"
#include "main/terminal.h"
#include "main/version.h"
#include "perf/load/bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define MAIN_STACK_BYTES (128 * 1024)

static const char help[] =
    "ringpost " RINGPOST_VERSION " - delivers messages to connected clients at once\n"
    "\n"
    "A producer pushes a message over HTTP. The node delivers it to a client id, to the members\n"
    "of a group, or to all clients. Try it in three terminals:\n"
    "\n"
    "  ringpost serve\n"
    "  ringpost listen --id till-7 --group shop-1\n"
    "  ringpost push --to till-7 --event payment '{\"amount\":12}'\n"
    "\n"
    "or with other tools:\n"
    "\n"
    "  printf '{\"type\":\"hello\",\"id\":\"till-7\"}\\n' | nc 127.0.0.1 7000\n"
    "  curl -d '{\"amount\":12}' 'http://127.0.0.1:8081/v1/clients/till-7?event=payment'\n"
    "\n"
    "Commands:\n"
    "  serve         run a node (also without a command)\n"
    "  check-config  check the settings for serve, and show where each comes from\n"
    "  alert-test    send one alert by the settings for serve\n"
    "  listen        be a client and print what arrives\n"
    "  push          send a message\n"
    "  fate          tell what has become of a message that is to be acknowledged\n"
    "  top           watch a node's statistics\n"
    "  audit         check that a node accounts for every message\n"
    "  store         look at a node's store on disk, and repair it\n"
    "  health        ask whether a node takes messages, for probes\n"
    "  bench         measure a node under load\n"
    "  help          print this page; help COMMAND prints the page of a command\n"
    "\n"
    "ringpost COMMAND --help has examples. ringpost --version prints the version.\n";

/* `argv[0]` is the name of the command, or of the program. Settings, then the composition root. */
static int run_serve(int argc, char **argv) {
    static struct settings settings;
    int status;
    if (!settings_load(&settings, argc - 1, argv + 1, environ, NULL)) {
        settings_print_problems(&settings, stderr);
        status = settings_exit_status(&settings);
    } else if (settings.help) {
        settings_print_help(stdout);
        status = CLI_DONE;
    } else {
        status = serve_run(&settings);
    }
    settings_fini(&settings);
    return status;
}

static int run_help(int argc, char **argv);

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"serve", run_serve},   {"check-config", cli_check_config},
    {"listen", cli_listen}, {"push", cli_push},
    {"fate", cli_fate},     {"top", cli_top},
    {"audit", cli_audit},   {"store", cli_store},
    {"health", cli_health}, {"bench", bench_main},
    {"help", run_help},     {"alert-test", cli_alert_test},
};

#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const char *command_name(size_t n) {
    return n < COMMANDS ? commands[n].name : NULL;
}

static const struct command *command_find(const char *name) {
    for (size_t n = 0; n < COMMANDS; n++)
        if (strcmp(commands[n].name, name) == 0)
            return &commands[n];
    return NULL;
}

static int command_unknown(const char *name) {
    const char *near = suggest(span_text(name), command_name);
    if (near != NULL)
        terminal_format(stderr, "ringpost: there is no command \"%.40s\"; did you mean %s?", name,
                        near);
    else
        terminal_format(stderr, "ringpost: there is no command \"%.40s\"; see ringpost --help",
                        name);
    fputc('\n', stderr);
    return CLI_USAGE;
}

static int run_help(int argc, char **argv) {
    const struct command *command = argc > 1 ? command_find(argv[1]) : NULL;
    if (argc > 1 && command == NULL && argv[1][0] != '-')
        return command_unknown(argv[1]);
    if (command != NULL && command->run != run_help) {
        char flag[] = "--help";
        char *words[] = {argv[1], flag, NULL};
        return command->run(2, words);
    }
    fputs(help, stdout);
    return CLI_DONE;
}

/* Flags of the program itself, which stand alone. -1: it is none. */
static int program_flag(const char *word) {
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        puts("ringpost " RINGPOST_VERSION);
        return CLI_DONE;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        fputs(help, stdout);
        return CLI_DONE;
    }
    if (strcmp(word, "--print-settings-reference") == 0) {
        settings_print_reference(stdout);
        return CLI_DONE;
    }
    return -1;
}

/* A standard stream that the caller has closed: its number must not go to the next file or socket
 * that is opened, which would get all that is printed. What stands there instead refuses to be
 * read or written, as the closed one did. */
static void streams_hold(void) {
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        if (open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(CLI_FAILED);
    }
}

/* The stack of this thread grows up to RLIMIT_STACK, and whoever needs more is killed without a
 * word. False: it is lower than what is needed, and may not be raised. */
static bool stack_suffices(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= MAIN_STACK_BYTES)
        return true;
    limit.rlim_cur = MAIN_STACK_BYTES;
    return limit.rlim_max >= MAIN_STACK_BYTES && setrlimit(RLIMIT_STACK, &limit) == 0;
}

int main(int argc, char **argv) {
    streams_hold();
    if (!stack_suffices()) {
        fputs("ringpost: RLIMIT_STACK is too small: raise LimitSTACK (ulimit -s) to 128 KiB or "
              "more\n",
              stderr);
        return CLI_FAILED;
    }
    int status = argc == 2 ? program_flag(argv[1]) : -1;
    if (status < 0 && (argc < 2 || argv[1][0] == '-')) {
        status = run_serve(argc, argv);
    } else if (status < 0) {
        const struct command *command = command_find(argv[1]);
        status = command != NULL ? command->run(argc - 1, argv + 1) : command_unknown(argv[1]);
    }
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == CLI_DONE) {
        fputs("ringpost: cannot write to standard output\n", stderr);
        status = CLI_FAILED;
    }
    stop_done();
    return status;
}
