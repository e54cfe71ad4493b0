/* cli_health.c - `ringpost health`: does a node take work? For HEALTHCHECK and other probes. */
#include "core/base/clock.h"
#include "main/cli/answer.h"
#include "main/cli/cli.h"
#include "main/cli/http_client.h"
#include "main/terminal.h"

#define COMMAND "health"
#define TIMEOUT_S 3
#define WORD_MAX 200

static const char help[] =
    "ringpost health - ask a node whether it takes messages\n"
    "\n"
    "Usage: ringpost health [--api ADDR:PORT] [--timeout SECONDS]\n"
    "\n"
    "Examples:\n"
    "  ringpost health\n"
    "  ringpost health --api 10.0.0.5:8081 && echo takes work\n"
    "  HEALTHCHECK --interval=10s CMD [\"ringpost\", \"health\"]    in a Dockerfile\n"
    "\n"
    "Options:\n"
    "  --api ADDR:PORT      the api listener; RINGPOST_API or " CLI_API_DEFAULT " if absent;\n"
    "                       for 0.0.0.0 and [::] it asks on loopback\n"
    "  --timeout SECONDS    give up after this time in all; 3 if absent\n"
    "\n"
    "It asks GET /readyz, which needs no key.\n"
    "Exit status: 0 ready (also degraded), 1 starting, draining or no answer, 2 bad usage.\n";

static int print_ready(struct span answer) {
    struct span degraded = answer_at(answer, "degraded");
    fputs("ready", stdout);
    if (degraded.at != NULL) {
        fputs(", degraded: ", stdout);
        terminal_print(stdout, degraded, WORD_MAX);
    }
    fputc('\n', stdout);
    return CLI_DONE;
}

static int ask(const struct http_call *call, struct http_outcome *outcome) {
    char message[WORD_MAX] = "";
    struct json_value whole;
    struct json_error error;
    http_client_call(call, outcome);
    if (outcome->end != DIAL_READY)
        return cli_failed(COMMAND, "%s", outcome->why);
    if (!json_scan(outcome->body, &whole, &error) || whole.kind != JSON_OBJECT)
        return cli_failed(COMMAND, "%s answered %u, but no JSON; is it the api listener?",
                          call->server, outcome->status);
    if (outcome->status == 200) {
        char word[WORD_MAX] = "";
        answer_text(answer_at(whole.raw, "status"), word, sizeof(word));
        if (strcmp(word, "ready") == 0)
            return print_ready(whole.raw);
        return cli_failed(COMMAND, "%s answered something else than a node does", call->server);
    }
    answer_text(answer_at(whole.raw, "error.message"), message, sizeof(message));
    return cli_failed(COMMAND, "not ready (%u)%s%s", outcome->status,
                      message[0] != '\0' ? ": " : "", message);
}

int cli_health(int argc, char **argv) {
    const char *api = NULL;
    char api_room[CLI_ADDRESS_MAX];
    double timeout_s = TIMEOUT_S;
    const struct cli_flag flags[] = {
        {.name = "api", .value = "ADDR:PORT", .text = &api},
        {.name = "timeout", .value = "SECONDS", .number = &timeout_s},
        {.name = NULL},
    };
    int status = cli_read(COMMAND, argc, argv, flags, NULL);
    if (status < 0) {
        fputs(help, stdout);
        return CLI_DONE;
    }
    if (status == CLI_DONE && !(timeout_s > 0 && timeout_s <= 3600))
        status = cli_usage(COMMAND, "--timeout is more than 0 and at most 3600 seconds");
    if (status == CLI_DONE)
        status = cli_api(COMMAND, &api, api_room);
    if (status != CLI_DONE)
        return status;
    struct http_call call = {.server = api,
                             .method = "GET",
                             .target = "/readyz",
                             .timeout_ns = (uint64_t)(timeout_s * (double)NS_PER_S),
                             .stop_fd = -1};
    struct http_outcome outcome;
    status = ask(&call, &outcome);
    http_client_free(&outcome);
    return status;
}
