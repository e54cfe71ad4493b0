/* cli_alert_test.c - `ringpost alert-test`: does an alert of a node with these settings arrive? */
#include "ha/alert/alert_line.h"
#include "main/cli/cli.h"
#include "main/settings/settings.h"
#include "main/terminal.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static const char help[] =
    "ringpost alert-test - send one alert by the settings for serve\n"
    "\n"
    "Usage: ringpost alert-test [--SETTING VALUE]...\n"
    "\n"
    "Takes every flag, environment variable and file that serve takes, and starts no node. Sends "
    "a\n"
    "test to --alert-url and to --alert-mail, once, and says what became of it.\n"
    "\n"
    "Examples:\n"
    "  ringpost alert-test --config /etc/ringpost.conf\n"
    "  ringpost alert-test --alert-mail ops@example.org --alert-smtp smtp://127.0.0.1:25\n"
    "\n"
    "Exit status: 0 all was sent, 1 something was not, or the file is wrong or names no alert, 2 "
    "a\n"
    "flag or a variable is wrong. ringpost serve --help lists the settings.\n";

/* Of all ways. */
struct outcome {
    const struct alert_line *line;
    bool failed;
};

static void on_end(void *user, enum alert_way_kind kind, const struct alert_notice *notice,
                   enum alert_end end, const struct alert_result *result) {
    struct outcome *outcome = user;
    const char *to = outcome->line->ways[kind].shown;
    const char *what = kind == ALERT_WAY_URL ? "webhook" : "mail";
    (void)notice;
    if (end == ALERT_SENT && result->problem[0] == '\0') {
        terminal_format(stdout, "%s: %s took it", what, to);
        if (kind == ALERT_WAY_URL)
            printf(" (%u)", result->status);
        for (unsigned i = 0; kind == ALERT_WAY_MAIL && i < outcome->line->letter.to_count; i++)
            terminal_format(stdout, "%s %s", i == 0 ? " for" : ",", outcome->line->letter.to[i]);
        fputc('\n', stdout);
        return;
    }
    outcome->failed = true;
    cli_failed("alert-test", "%s: %s %s: %s; %s", what, to,
               end == ALERT_SENT ? "took it, but not for everybody" : "did not take it",
               result->problem, result->remedy);
}

/* Sends to all ways, each once, and waits for their ends. */
static int test_send(const struct config *config) {
    static struct alert_line line;
    struct outcome outcome = {.line = &line};
    char problem[256];
    uint64_t wall_ms = clock_wall_ms();
    struct alert_notice notice = {
        .state = ALERT_TEST, .what = "test", .since_wall_ms = wall_ms, .at_wall_ms = wall_ms};
    alert_line_init(&line, config, "alert-test");
    line.tries = 1;
    line.on_end = on_end;
    line.user = &outcome;
    if (!alert_line_open(&line, problem, sizeof(problem)))
        return cli_failed("alert-test", "%s", problem);
    alert_line_put(&line, &notice);
    for (;;) {
        uint64_t now_ns = clock_ns();
        alert_line_work(&line, now_ns);
        if (alert_line_waiting(&line) == 0)
            break;
        uint64_t due_ns = alert_line_due_ns(&line, now_ns);
        alert_send_wait(&line.sender, -1, due_ns <= now_ns ? 0 : due_ns - now_ns);
    }
    alert_line_fini(&line);
    return outcome.failed ? CLI_FAILED : CLI_DONE;
}

int cli_alert_test(int argc, char **argv) {
    static struct settings settings;
    bool good = settings_load(&settings, argc - 1, argv + 1, environ, NULL);
    int status = settings_exit_status(&settings);
    signal(SIGPIPE, SIG_IGN);
    if (settings.help)
        fputs(help, stdout);
    else if (!good)
        settings_print_problems(&settings, stderr);
    else if (!alert_is_wanted(&settings.config))
        status =
            cli_failed("alert-test", "the settings name nobody to tell; say --alert-url URL, or "
                                     "--alert-mail ADDRESS with --alert-smtp smtp://HOST:PORT");
    else
        status = test_send(&settings.config);
    settings_fini(&settings);
    return status;
}
