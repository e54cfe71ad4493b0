/* cli_fate.c - `ringpost fate`: what has become of a message that is to be acknowledged. */
#include "core/base/clock.h"
#include "main/cli/answer.h"
#include "main/cli/cli.h"
#include "main/cli/fate_view.h"
#include "main/cli/http_client.h"
#include "main/cli/stop.h"
#include "main/terminal.h"
#include "proto/text/json.h"
#include "proto/text/names.h"

#include <stdio.h>

#define COMMAND "fate"
#define TIMEOUT_S 10
#define PATH "/v1/messages/"
#define WORD_MAX 200

static const char help[] =
    "ringpost fate - tell what has become of a message that is to be acknowledged\n"
    "\n"
    "Usage: ringpost fate ID [OPTION]...\n"
    "\n"
    "ID is the message's id: the one that was given to push, or the one in its answer.\n"
    "\n"
    "Examples:\n"
    "  ringpost push --to till-7 --ack --id order-4711 '{\"amount\":12}'\n"
    "  ringpost fate order-4711\n"
    "  ringpost fate order-4711 --json | jq .to\n"
    "  until ringpost fate order-4711; do sleep 1; done\n"
    "\n"
    "Options:\n"
    "  --api ADDR:PORT      the api listener; RINGPOST_API or " CLI_API_DEFAULT " if absent\n"
    "  --api-key KEY        its key; better in RINGPOST_API_KEY, where others cannot see it\n"
    "  --timeout SECONDS    give up after this time; 10 if absent\n"
    "  --json               print the server's answer as it came\n"
    "\n"
    "Fates: `acked`: every client id that it was for has acknowledged it. `pending`: at least\n"
    "one has not; the node keeps it and hands it over again. `expired`: its ttl was over before.\n"
    "`dropped`: it was taken back. What is not pending stays as it is. The node remembers a fate\n"
    "for --fate-window (an hour) after the message is settled.\n"
    "Exit status: 0 acked, 1 pending, expired, dropped, not known to the node, or no answer; 2\n"
    "bad usage.\n";

struct fate_call {
    const char *api, *api_key;
    double timeout_s;
    bool json;
    struct cli_list words;
    char room[CLI_ADDRESS_MAX], key_room[CLI_KEY_MAX];
    char target[sizeof(PATH) + 3 * 64];
};

static const char *word(struct span object, const char *path, char text[WORD_MAX]) {
    if (!answer_text(answer_at(object, path), text, WORD_MAX))
        text[0] = '\0';
    return text;
}

static void print_time(struct span answer, const char *name) {
    char text[WORD_MAX];
    if (word(answer, name, text)[0] == '\0')
        return;
    printf("  %s=", name);
    terminal_print(stdout, span_text(text), 40);
}

static int print_fate(const struct fate_call *fate, struct span answer) {
    char state[WORD_MAX], reason[WORD_MAX], id[WORD_MAX];
    const char *means = fate_meaning(word(answer, "state", state), word(answer, "reason", reason));
    bool acked = strcmp(state, "acked") == 0;
    if (fate->json) {
        terminal_print_json(stdout, answer);
        fputc('\n', stdout);
    }
    if (means == NULL)
        return cli_failed(COMMAND, "the server's answer is no fate");
    if (!fate->json) {
        fputs(terminal_paint(stdout, acked ? PAINT_GOOD : PAINT_BAD), stdout);
        fputs(state, stdout);
        fputs(terminal_paint(stdout, PAINT_NONE), stdout);
        fputs("  id=", stdout);
        terminal_print(stdout, span_text(word(answer, "id", id)), WORD_MAX);
        print_time(answer, "accepted");
        print_time(answer, "settled");
        printf("  (%s)\n", means);
        fate_print_ids(stdout, answer_at(answer, "to"), 1);
    }
    return acked ? CLI_DONE : CLI_FAILED;
}

static int print_refusal(const struct fate_call *fate, struct span answer, unsigned status) {
    char message[WORD_MAX], code[WORD_MAX];
    if (fate->json) {
        terminal_print_json(stdout, answer);
        fputc('\n', stdout);
    }
    if (status == 404 && strcmp(word(answer, "error.code", code), "not_found") == 0)
        return cli_failed(COMMAND,
                          "this node knows no fate of that id: no message with it was taken, or it "
                          "was pushed without ack, or another node took it, or it was settled too "
                          "long ago (--fate-window, --fate-max), or the node was started anew "
                          "since (the memory store does not survive that)");
    if (status == 401)
        return cli_failed(COMMAND, "%s wants an API key; set RINGPOST_API_KEY", fate->api);
    word(answer, "error.message", message);
    return cli_failed(COMMAND, "the server answered %u%s%s", status, message[0] != '\0' ? ": " : "",
                      message);
}

static int ask(const struct fate_call *fate, const struct http_call *call,
               struct http_outcome *outcome) {
    struct json_value whole;
    struct json_error error;
    http_client_call(call, outcome);
    if (outcome->end != DIAL_READY)
        return cli_failed(COMMAND, "%s", outcome->why);
    if (!json_scan(outcome->body, &whole, &error) || whole.kind != JSON_OBJECT)
        return cli_failed(COMMAND, "the server answered %u, but no JSON; is this the api listener?",
                          outcome->status);
    return outcome->status == 200 ? print_fate(fate, whole.raw)
                                  : print_refusal(fate, whole.raw, outcome->status);
}

static int check(struct fate_call *fate) {
    size_t len = sizeof(PATH) - 1;
    if (fate->words.count != 1)
        return cli_usage(COMMAND, fate->words.count == 0 ? "of which message? Give its id"
                                                         : "it tells of one message at a time");
    const char *id = fate->words.entries[0];
    const char *wrong = message_id_check(span_text(id));
    if (wrong != NULL)
        return cli_usage(COMMAND, "the id \"%.80s\" %s", id, wrong);
    memcpy(fate->target, PATH, sizeof(PATH));
    if (!http_client_escape(fate->target, sizeof(fate->target), &len, span_text(id)))
        return cli_usage(COMMAND, "the id is too long");
    if (!(fate->timeout_s > 0 && fate->timeout_s <= 3600))
        return cli_usage(COMMAND, "--timeout is more than 0 and at most 3600 seconds");
    return cli_api(COMMAND, &fate->api, fate->room);
}

int cli_fate(int argc, char **argv) {
    static struct fate_call fate;
    fate = (struct fate_call){.timeout_s = TIMEOUT_S};
    const struct cli_flag flags[] = {
        {.name = "api", .value = "ADDR:PORT", .text = &fate.api},
        {.name = "api-key", .value = "KEY", .text = &fate.api_key},
        {.name = "timeout", .value = "SECONDS", .number = &fate.timeout_s},
        {.name = "json", .on = &fate.json},
        {.name = NULL},
    };
    int status = cli_read(COMMAND, argc, argv, flags, &fate.words);
    if (status < 0) {
        fputs(help, stdout);
        return CLI_DONE;
    }
    struct http_call call = {.method = "GET", .target = fate.target};
    if (status == CLI_DONE)
        status = check(&fate);
    if (status == CLI_DONE)
        status = cli_key(COMMAND, fate.api_key, fate.key_room, &call.key);
    if (status != CLI_DONE)
        return status;
    call.server = fate.api;
    call.timeout_ns = (uint64_t)(fate.timeout_s * (double)NS_PER_S);
    call.stop_fd = stop_open();
    dial_progress(fate.api);
    struct http_outcome outcome;
    status = ask(&fate, &call, &outcome);
    http_client_free(&outcome);
    return status;
}
