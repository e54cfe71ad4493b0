/* cli_top.c - `ringpost top`: a node's statistics, again and again. */
#include "core/base/clock.h"
#include "main/cli/cli.h"
#include "main/cli/http_client.h"
#include "main/cli/stop.h"
#include "main/cli/top_view.h"
#include "main/terminal.h"

#include <stdio.h>
#include <unistd.h>

#define COMMAND "top"
#define CALL_TIMEOUT_NS (10 * NS_PER_S)

static const char help[] =
    "ringpost top - watch a node at work\n"
    "\n"
    "Usage: ringpost top [--once] [OPTION]...\n"
    "\n"
    "Examples:\n"
    "  ringpost top\n"
    "  ringpost top --once\n"
    "  ringpost top --workers --interval 5\n"
    "  RINGPOST_API_KEY=... ringpost top --api 10.0.0.5:8081\n"
    "\n"
    "Options:\n"
    "  --api ADDR:PORT      the api listener; RINGPOST_API or " CLI_API_DEFAULT " if absent\n"
    "  --api-key KEY        its key; better in RINGPOST_API_KEY, where others cannot see it\n"
    "  --interval SECONDS   time between two looks; 2 if absent, at least 0.1\n"
    "  --once               look once; the rates are then the averages since the node's start\n"
    "  --workers            show each worker and listener too\n"
    "\n"
    "An accepted message makes one copy for each session that it reaches; the node answered a\n"
    "refused one with an error. The slowest sessions have most bytes queued in the node: their\n"
    "clients read too slowly. `pending (ack)` are messages that are kept until they are\n"
    "acknowledged, counted for each client id. A - marks a figure that the node does not have.\n"
    "q or Ctrl-C ends it. Exit status: 0 ended as asked, 1 no answer from the node, 2 bad\n"
    "usage.\n";

struct top {
    const char *api, *api_key, *key;
    double interval;
    bool once;
    char key_room[CLI_KEY_MAX], api_room[CLI_ADDRESS_MAX];
    int stop_fd;
    struct top_view view;
};

/* Asks once and prints; CLI_DONE, CLI_FAILED after saying why, or -1 when it was stopped. */
static int look_once(struct top *top) {
    struct http_call call = {.server = top->api,
                             .key = top->key,
                             .method = "GET",
                             .target = "/v1/stats",
                             .timeout_ns = CALL_TIMEOUT_NS,
                             .stop_fd = top->stop_fd};
    struct http_outcome outcome;
    struct span stats;
    int status = cli_stats(COMMAND, &call, &outcome, &stats);
    if (status == CLI_DONE)
        top_view_print(&top->view, stats);
    http_client_free(&outcome);
    return status;
}

int cli_top(int argc, char **argv) {
    static struct top top;
    const char *tcp = NULL;
    top = (struct top){.interval = 2};
    const struct cli_flag flags[] = {
        {.name = "api", .value = "ADDR:PORT", .text = &top.api},
        {.name = "tcp", .value = "ADDR:PORT", .text = &tcp},
        {.name = "api-key", .value = "KEY", .text = &top.api_key},
        {.name = "interval", .value = "SECONDS", .number = &top.interval},
        {.name = "once", .on = &top.once},
        {.name = "workers", .on = &top.view.workers},
        {.name = NULL},
    };
    int status = cli_read(COMMAND, argc, argv, flags, NULL);
    if (status < 0) {
        fputs(help, stdout);
        return CLI_DONE;
    }
    if (status == CLI_DONE && !(top.interval >= 0.1 && top.interval <= 86400))
        status = cli_usage(COMMAND, "--interval is 0.1 to 86400 seconds");
    if (status == CLI_DONE && tcp != NULL)
        status = cli_usage(COMMAND, "a tcp listener has no statistics: give the node's --api");
    if (status == CLI_DONE)
        status = cli_api(COMMAND, &top.api, top.api_room);
    if (status == CLI_DONE)
        status = cli_key(COMMAND, top.api_key, top.key_room, &top.key);
    if (status != CLI_DONE)
        return status;
    top.stop_fd = stop_open();
    top.view.screen = !top.once && terminal_is(stdout);
    top.view.keys = top.view.screen && stop_keys_on(STDIN_FILENO);
    for (;;) {
        dial_progress(top.api);
        status = look_once(&top);
        if (status != CLI_DONE || top.once)
            break;
        dial_progress(NULL);
        uint64_t next_ns = clock_ns() + (uint64_t)(top.interval * 1e9);
        if (dial_wait(-1, 0, next_ns, top.stop_fd) == DIAL_STOPPED)
            break;
        if (!terminal_is(stdout))
            fputc('\n', stdout);
    }
    stop_keys_off();
    return status < 0 ? CLI_DONE : status;
}
