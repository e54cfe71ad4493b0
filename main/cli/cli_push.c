/* cli_push.c - `ringpost push`: one message, over HTTP to the api listener or as a client over tcp.
 */
#include "core/base/builder.h"
#include "core/base/clock.h"
#include "main/cli/answer.h"
#include "main/cli/cli.h"
#include "main/cli/fate_view.h"
#include "main/cli/http_client.h"
#include "main/cli/line_client.h"
#include "main/cli/stop.h"
#include "main/terminal.h"
#include "proto/text/json.h"
#include "proto/text/json_blanks.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COMMAND "push"
#define REF "1" /* over tcp, of the one message */
#define PUSH_DATA_MAX (64 * 1024 * 1024)
#define PUSH_FIELDS_MAX (256 * 1024) /* the message without its data */
#define PUSH_TIMEOUT_S 30
#define WAIT_S 5 /* as the node has it */
#define TEXT_MAX 512

static const char help[] =
    "ringpost push - send one message to connected clients\n"
    "\n"
    "Usage: ringpost push (--to ID | --group G | --broadcast)... [OPTION]... DATA\n"
    "\n"
    "DATA is one JSON value; - reads it from standard input; without DATA it is null.\n"
    "\n"
    "Examples:\n"
    "  ringpost push --to till-7 --event payment '{\"amount\":12}'\n"
    "  ringpost push --group shop-1 --except till-7 '\"closing soon\"'\n"
    "  ringpost push --broadcast --text 'the network goes down at 9'\n"
    "  ringpost push --to anna --namespace /shop --event order '{\"number\":7}'\n"
    "  jq -c .order order.json | ringpost push --to till-7 --id order-4711 -\n"
    "  ringpost push --to till-7 --ack --wait --event payment '{\"amount\":12}'\n"
    "\n"
    "To whom (--to and --group may be repeated and mixed):\n"
    "  --to ID              a client id\n"
    "  --group GROUP        everybody in a group\n"
    "  --broadcast          everybody\n"
    "  --except ID          leave out this client id; repeatable\n"
    "  --namespace NAME     of Socket.IO clients, where all these are meant; / if absent\n"
    "\n"
    "What:\n"
    "  --event NAME         name of the event; `message` if absent\n"
    "  --id ID              the message's id; the node delivers a repeated push only once\n"
    "  --volatile           the node may drop it if a client is slow or away\n"
    "  --ack                the node keeps it, also while nobody is there, and hands it over "
    "again\n"
    "                       until each --to has acknowledged it (ringpost listen --ack does) or\n"
    "                       its ttl is over; ringpost fate ID tells what has become of it\n"
    "  --wait, --wait=SECONDS\n"
    "                       with --ack: answer when it is acknowledged, or after this time; 5 if\n"
    "                       absent, at most 60\n"
    "  --ttl SECONDS        how long it may wait in a queue; 60 if absent, 600 with --ack\n"
    "  --text               DATA is text, sent as a JSON string\n"
    "  --raw                DATA is bytes, sent as they are, to one address only\n"
    "\n"
    "Where:\n"
    "  --api ADDR:PORT      the api listener; RINGPOST_API or " CLI_API_DEFAULT " if absent\n"
    "  --api-key KEY        its key; better in RINGPOST_API_KEY, where others cannot see it\n"
    "  --tcp ADDR:PORT      push as a client of this tcp listener (serve --client-send on)\n"
    "  --timeout SECONDS    give up after this time; 30 if absent\n"
    "  --json               print the server's answer as it came\n"
    "\n"
    "Answers: `queued`: so many recipients (sessions) took it; a group or a broadcast is queued\n"
    "even for 0. `absent`: nobody has that id. `dropped`: nobody could take it. `duplicate`:\n"
    "that --id was pushed before. With --ack, `stored`: nobody has that id now, and the node "
    "keeps\n"
    "it. With --wait, `acked`: each --to has acknowledged it; `pending`: not yet, and it is still\n"
    "being delivered; `expired`: its ttl is over.\n"
    "Exit status: 0 queued, stored or acked, 1 absent, dropped, pending, expired or refused; a\n"
    "duplicate is 0, unless --ack finds that the first expired or was dropped, or --wait that it\n"
    "is still pending; 2 bad usage.\n";

struct push {
    struct cli_list to, groups, except, words;
    bool broadcast, is_volatile, text, raw, json, ack, waits;
    const char *event, *id, *namespace, *api, *api_key, *tcp;
    double ttl, timeout, wait_s;
    const char *key;
    char key_room[CLI_KEY_MAX], room[CLI_ADDRESS_MAX];
    int stop_fd;
    struct span data;
    char *input;  /* of standard input */
    char *buffer; /* the message as sent */
};

/* Reads standard input up to its end; false after saying why. */
static bool read_input(struct push *push) {
    size_t len = 0, cap = 0;
    bool told = false;
    for (;;) {
        if (len == cap) {
            cap = cap == 0 ? 65536 : cap * 2;
            char *grown = cap > 2 * (size_t)PUSH_DATA_MAX ? NULL : realloc(push->input, cap);
            if (grown == NULL)
                break;
            push->input = grown;
        }
        if (!told && terminal_is(stdin)) {
            fputs("ringpost push: reading from the terminal, end with Ctrl-D\n", stderr);
            told = true;
        }
        ssize_t got = read(STDIN_FILENO, push->input + len, cap - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            cli_failed(COMMAND, "cannot read standard input: %s", strerror(errno));
            return false;
        }
        if (got == 0) {
            push->data = span_of(push->input, len);
            return true;
        }
        len += (size_t)got;
        if (len > PUSH_DATA_MAX)
            break;
    }
    cli_failed(COMMAND, "standard input is longer than %d MiB", PUSH_DATA_MAX / 1024 / 1024);
    return false;
}

/* Checks the words and finds the data. */
static int check(struct push *push) {
    unsigned addresses = push->to.count + push->groups.count;
    if (push->words.count > 1)
        return cli_usage(COMMAND, push->waits
                                      ? "DATA is one word; put it in single quotes, and write a "
                                        "time as in --wait=10"
                                      : "DATA is one word; put it in single quotes");
    if (addresses == 0 && !push->broadcast)
        return cli_usage(COMMAND, "to whom? Give --to, --group or --broadcast");
    if (addresses != 0 && push->broadcast)
        return cli_usage(COMMAND,
                         "--broadcast is for everybody, so it goes without --to and --group");
    if (push->raw && push->text)
        return cli_usage(COMMAND, "--raw and --text exclude each other");
    if (push->raw && (addresses > 1 || push->tcp != NULL))
        return cli_usage(COMMAND, "--raw goes to one --to, one --group or --broadcast, over --api");
    if (push->api != NULL && push->tcp != NULL)
        return cli_usage(COMMAND, "--api and --tcp exclude each other");
    if (push->ack && (push->groups.count != 0 || push->broadcast || push->is_volatile))
        return cli_usage(COMMAND, "--ack goes with --to alone, and not with --volatile");
    if (push->waits && !push->ack)
        return cli_usage(COMMAND, "--wait goes with --ack");
    if (push->waits && push->tcp != NULL)
        return cli_usage(COMMAND, "--wait goes over --api");
    if (!(push->wait_s <= 60))
        return cli_usage(COMMAND, "--wait is at most 60 seconds");
    if (push->ttl >= 0 && !(push->ttl > 0 && push->ttl <= 604800))
        return cli_usage(COMMAND, "--ttl is more than 0 and at most 604800 seconds");
    int status = push->tcp != NULL ? cli_tcp(COMMAND, &push->tcp, push->room)
                                   : cli_api(COMMAND, &push->api, push->room);
    if (status != CLI_DONE)
        return status;
    status = cli_key(COMMAND, push->api_key, push->key_room, &push->key);
    if (status != CLI_DONE)
        return status;

    const char *word = push->words.count == 0 ? "null" : push->words.entries[0];
    push->data = span_text(word);
    if (push->words.count != 0 && strcmp(word, "-") == 0 && !read_input(push))
        return CLI_FAILED;
    struct json_error error;
    if (push->text && push->words.count == 0)
        push->data = SPAN("");
    if (!push->text && !push->raw && !json_scan(push->data, NULL, &error))
        return cli_usage(
            COMMAND, "DATA is not JSON (at byte %zu: %s); send text with --text, bytes with --raw",
            error.offset, error.text);
    return CLI_DONE;
}

static void write_names(struct builder *b, const char *field, const struct cli_list *names) {
    for (unsigned n = 0; n < names->count; n++) {
        if (n == 0)
            builder_format(b, ",\"%s\":[", field);
        else
            builder_byte(b, ',');
        builder_json(b, span_text(names->entries[n]));
    }
    if (names->count != 0)
        builder_byte(b, ']');
}

/* The message as an object; `first` is what stands before its fields. */
static bool write_message(struct push *push, struct builder *b, const char *first) {
    size_t cap = PUSH_FIELDS_MAX + builder_json_max(push->data.len);
    push->buffer = malloc(cap);
    if (push->buffer == NULL)
        return false;
    *b = builder_over(push->buffer, cap);
    builder_text(b, first);
    builder_text(b, "\"data\":");
    if (push->text)
        builder_json(b, push->data);
    else
        json_compact(push->data, b);
    write_names(b, "to", &push->to);
    write_names(b, "group", &push->groups);
    write_names(b, "except", &push->except);
    if (push->broadcast)
        builder_text(b, ",\"broadcast\":true");
    if (push->event != NULL) {
        builder_text(b, ",\"event\":");
        builder_json(b, span_text(push->event));
    }
    if (push->id != NULL) {
        builder_text(b, ",\"id\":");
        builder_json(b, span_text(push->id));
    }
    if (push->namespace != NULL) {
        builder_text(b, ",\"namespace\":");
        builder_json(b, span_text(push->namespace));
    }
    if (push->is_volatile)
        builder_text(b, ",\"volatile\":true");
    if (push->ack)
        builder_text(b, ",\"ack\":true");
    if (push->ttl >= 0)
        builder_format(b, ",\"ttl\":%.9g", push->ttl);
    builder_byte(b, '}');
    return !b->full;
}

/* The target for bytes, whose other fields are in the query. */
static bool write_raw_target(const struct push *push, char *target, size_t cap) {
    size_t len = (size_t)snprintf(target, cap, "%s",
                                  push->broadcast       ? "/v1/broadcast"
                                  : push->to.count != 0 ? "/v1/clients/"
                                                        : "/v1/groups/");
    bool fits = true;
    if (!push->broadcast)
        fits = http_client_escape(
            target, cap, &len,
            span_text(push->to.count != 0 ? push->to.entries[0] : push->groups.entries[0]));
    len += (size_t)snprintf(target + len, cap - len, "?raw=1%s%s",
                            push->is_volatile ? "&volatile=1" : "", push->ack ? "&ack=1" : "");
    if (push->waits && len < cap)
        len += (size_t)snprintf(target + len, cap - len, "&wait=ack&timeout=%.9g", push->wait_s);
    if (push->ttl >= 0 && len < cap)
        len += (size_t)snprintf(target + len, cap - len, "&ttl=%.9f", push->ttl);
    const struct {
        const char *name, *value;
    } fields[] = {{"&event=", push->event}, {"&id=", push->id}, {"&namespace=", push->namespace}};
    for (unsigned n = 0; n < sizeof fields / sizeof *fields && fits; n++) {
        if (fields[n].value == NULL)
            continue;
        len += (size_t)snprintf(target + len, cap - len, "%s", fields[n].name);
        fits = len < cap && http_client_escape(target, cap, &len, span_text(fields[n].value));
    }
    for (unsigned n = 0; n < push->except.count && fits; n++) {
        len += (size_t)snprintf(target + len, cap - len, "&except=");
        fits =
            len < cap && http_client_escape(target, cap, &len, span_text(push->except.entries[n]));
    }
    return fits && len < cap;
}

/* Prints the member of the answer, if it is there, as NAME=VALUE. */
static void print_member(struct span answer, const char *name) {
    char text[TEXT_MAX];
    struct span value = answer_at(answer, name);
    if (value.at == NULL)
        return;
    bool string = answer_text(value, text, sizeof(text));
    printf("  %s=", name);
    terminal_print(stdout, string ? span_text(text) : value, TEXT_MAX);
}

static void print_json(struct span answer) {
    terminal_print_json(stdout, answer);
    fputc('\n', stdout);
}

/* What a 0 means, which is easily misread; NULL: it says all. */
static const char *zero_meaning(const struct push *push, struct span answer) {
    double recipients;
    if (!answer_number(answer_at(answer, "recipients"), &recipients) || recipients != 0)
        return NULL;
    if (push->broadcast)
        return "0: nobody is connected, so nobody got it";
    if (push->groups.count != 0 && push->namespace != NULL)
        return "0: nobody who is connected is in that group of that namespace, so nobody got it";
    if (push->groups.count != 0)
        return "0: nobody who is connected is in that group, so nobody got it; a group is made by "
               "its members, as with ringpost listen --group";
    return NULL;
}

/* What the outcome means, in brackets; nothing if it says all. */
static void print_meaning(const struct push *push, struct span answer, const char *state,
                          const char *now) {
    char reason[32] = "";
    double latency_ms;
    answer_text(answer_at(answer, "reason"), reason, sizeof(reason));
    const char *means = NULL;
    if (strcmp(state, "absent") == 0)
        means = push->namespace == NULL ? "nobody is connected under that id"
                                        : "nobody is connected under that id in that namespace";
    else if (strcmp(state, "duplicate") == 0)
        means = "that id was pushed before; nothing was sent again";
    else if (strcmp(state, "stored") == 0)
        means = "nobody is connected under that id now; the node keeps it until somebody is, or "
                "its ttl is over";
    else if (strcmp(state, "queued") != 0 && push->ack)
        means = fate_meaning(state, reason);
    else if (!push->ack)
        means = zero_meaning(push, answer);
    if (means == NULL)
        return;
    printf("  (%s", means);
    if (strcmp(state, "acked") == 0 &&
        answer_number(answer_at(answer, "latency_ms"), &latency_ms) && latency_ms >= 0)
        printf(", %.1f ms after the node took it", latency_ms);
    if (now[0] != '\0') {
        const char *fate = fate_meaning(now, reason);
        fputs("; it is ", stdout);
        terminal_print(stdout, span_text(now), 0);
        if (fate != NULL)
            printf(": %s", fate);
    }
    fputc(')', stdout);
}

enum verdict { VERDICT_GOOD, VERDICT_BAD, VERDICT_UNKNOWN };

/* `now` is what has become of the first, if it is a duplicate of one with --ack. */
static enum verdict judge(const struct push *push, const char *state, const char *now) {
    if (strcmp(state, "queued") == 0 || strcmp(state, "stored") == 0 || strcmp(state, "acked") == 0)
        return VERDICT_GOOD;
    if (strcmp(state, "duplicate") == 0) {
        bool good = now[0] == '\0' || strcmp(now, "acked") == 0 ||
                    (strcmp(now, "pending") == 0 && !push->waits);
        return good ? VERDICT_GOOD : VERDICT_BAD;
    }
    bool bad = strcmp(state, "absent") == 0 || strcmp(state, "dropped") == 0 ||
               strcmp(state, "pending") == 0 || strcmp(state, "expired") == 0;
    return bad ? VERDICT_BAD : VERDICT_UNKNOWN;
}

static void print_words(const struct push *push, struct span answer, const char *state,
                        const char *now, bool good) {
    fputs(terminal_paint(stdout, good ? PAINT_GOOD : PAINT_BAD), stdout);
    terminal_print(stdout, span_text(state), 0);
    fputs(terminal_paint(stdout, PAINT_NONE), stdout);
    print_member(answer, "id");
    print_member(answer, "recipients");
    print_member(answer, "cluster");
    print_meaning(push, answer, state, now);
    fputc('\n', stdout);
    if (push->ack)
        fate_print_ids(stdout, answer_at(answer, "to"), 2);
}

/* One line for a result; the exit status. `status` is that of HTTP, 0 without it. */
static int print_result(const struct push *push, struct span answer, unsigned status) {
    char state[32], now[32] = "";
    if (!answer_text(answer_at(answer, "state"), state, sizeof(state)))
        return cli_failed(COMMAND, "the server's answer is no result");
    answer_text(answer_at(answer, "now"), now, sizeof(now));
    enum verdict verdict = judge(push, state, now);
    bool denied = verdict == VERDICT_GOOD && status != 0 && status / 100 != 2;
    if (push->json)
        print_json(answer);
    else
        print_words(push, answer, state, now, verdict == VERDICT_GOOD && !denied);
    if (denied)
        return cli_failed(COMMAND, "the server answered %u, which is no success", status);
    if (verdict == VERDICT_UNKNOWN)
        return cli_failed(COMMAND, "the server's answer is a result that this version does not "
                                   "know, so it is taken for no success");
    return verdict == VERDICT_GOOD ? CLI_DONE : CLI_FAILED;
}

/* What the server said no with: `object` holds code and message. */
static int print_refusal(const struct push *push, struct span answer, struct span object,
                         unsigned status) {
    char code[64] = "", message[TEXT_MAX] = "";
    if (push->json)
        print_json(answer);
    bool known = answer_text(answer_at(object, "code"), code, sizeof(code));
    answer_text(answer_at(object, "message"), message, sizeof(message));
    fputs("ringpost push: refused", stderr);
    if (status != 0)
        fprintf(stderr, " (%u)", status);
    if (known) {
        fputs(": ", stderr);
        terminal_print(stderr, span_text(code), 0);
    }
    if (message[0] != '\0') {
        fputs(": ", stderr);
        terminal_print(stderr, span_text(message), 0);
    }
    if (status == 401)
        fputs("; give the key with RINGPOST_API_KEY or --api-key", stderr);
    if (strcmp(code, "forbidden") == 0 && push->tcp != NULL)
        fputs("; start the server with --client-send on, or push over --api", stderr);
    fputc('\n', stderr);
    return CLI_FAILED;
}

static uint64_t timeout_ns(const struct push *push) {
    double wait_s = push->waits ? push->wait_s : 0;
    double seconds = push->timeout < 0 ? PUSH_TIMEOUT_S + wait_s : push->timeout;
    return (uint64_t)((seconds < 86400 ? seconds : 86400) * 1e9);
}

static int push_over_api(struct push *push) {
    struct builder b;
    char target[HTTP_CLIENT_TARGET_MAX];
    struct http_call call = {.server = push->api,
                             .key = push->key,
                             .method = "POST",
                             .target = "/v1/messages",
                             .content_type = "application/json",
                             .timeout_ns = timeout_ns(push),
                             .stop_fd = push->stop_fd};
    if (push->raw) {
        if (!write_raw_target(push, target, sizeof(target)))
            return cli_failed(COMMAND, "the addresses are too long for --raw");
        call.target = target;
        call.content_type = "application/octet-stream";
        call.body = push->data;
    } else {
        if (!write_message(push, &b, "{"))
            return cli_failed(COMMAND, "the message is too long");
        call.body = builder_span(&b);
        if (push->waits) {
            snprintf(target, sizeof(target), "/v1/messages?wait=ack&timeout=%.9g", push->wait_s);
            call.target = target;
        }
    }
    struct http_outcome outcome;
    http_client_call(&call, &outcome);
    struct span answer = outcome.body;
    struct json_value whole;
    struct json_error error;
    int status;
    if (outcome.end != DIAL_READY)
        status = cli_failed(COMMAND, "%s", outcome.why);
    else if (!json_scan(answer, &whole, &error) || whole.kind != JSON_OBJECT)
        status =
            cli_failed(COMMAND, "the server answered %u, but no JSON; is this the api listener?",
                       outcome.status);
    else if (answer_at(whole.raw, "error").at != NULL)
        status = print_refusal(push, whole.raw, answer_at(whole.raw, "error"), outcome.status);
    else
        status = print_result(push, whole.raw, outcome.status);
    http_client_free(&outcome);
    return status;
}

/* Sends the hello without a name and then the message; waits for its `ok`. */
static int push_over_tcp(struct push *push) {
    struct builder b;
    char hello[LINE_CLIENT_HELLO_MAX];
    uint64_t deadline = clock_ns() + timeout_ns(push);
    if (!write_message(push, &b, "{\"type\":\"send\",\"ref\":" REF ","))
        return cli_failed(COMMAND, "the message is too long");
    struct line_client client;
    line_client_init(&client, push->stop_fd);
    size_t hello_len = line_client_hello(hello, sizeof(hello), NULL, NULL, 0);
    bool greeted = false;
    int status = -1;
    if (line_client_connect(&client, push->tcp, deadline) != DIAL_READY ||
        line_client_send(&client, span_of(hello, hello_len), deadline) != DIAL_READY)
        status = cli_failed(COMMAND, "%s", client.why);
    while (status < 0) {
        struct span line;
        struct json_value whole;
        struct json_error error;
        char type[32] = "";
        if (line_client_receive(&client, &line, deadline) != DIAL_READY) {
            status = cli_failed(COMMAND, "%s", client.why);
            break;
        }
        if (!json_scan(line, &whole, &error)) {
            status = cli_failed(COMMAND, "the server sent no JSON; is this the tcp listener?");
            break;
        }
        line = whole.raw;
        answer_text(answer_at(line, "type"), type, sizeof(type));
        if (strcmp(type, "welcome") == 0 && !greeted) {
            greeted = true;
            /* A server that takes no more has said why: the next line tells. */
            line_client_send(&client, builder_span(&b), deadline);
        } else if (strcmp(type, "ok") == 0) {
            bool ours = greeted && span_equal(answer_at(line, "ref"), SPAN(REF));
            status = ours ? print_result(push, line, 0)
                          : cli_failed(COMMAND, "the server answered what it was not asked");
        } else if (strcmp(type, "error") == 0) {
            status = print_refusal(push, line, line, 0);
        } else if (strcmp(type, "goodbye") == 0) {
            status =
                cli_failed(COMMAND, "the server is going down; push to another node, or later");
        }
    }
    line_client_fini(&client);
    return status;
}

int cli_push(int argc, char **argv) {
    static struct push push;
    push = (struct push){.ttl = -1, .timeout = -1, .wait_s = WAIT_S};
    const struct cli_flag flags[] = {
        {.name = "to", .value = "ID", .list = &push.to},
        {.name = "group", .value = "GROUP", .list = &push.groups},
        {.name = "broadcast", .on = &push.broadcast},
        {.name = "except", .value = "ID", .list = &push.except},
        {.name = "namespace", .value = "NAME", .text = &push.namespace},
        {.name = "event", .value = "NAME", .text = &push.event},
        {.name = "id", .value = "ID", .text = &push.id},
        {.name = "volatile", .on = &push.is_volatile},
        {.name = "ack", .on = &push.ack},
        {.name = "wait",
         .value = "SECONDS",
         .optional = true,
         .on = &push.waits,
         .number = &push.wait_s},
        {.name = "ttl", .value = "SECONDS", .number = &push.ttl},
        {.name = "text", .on = &push.text},
        {.name = "raw", .on = &push.raw},
        {.name = "json", .on = &push.json},
        {.name = "api", .value = "ADDR:PORT", .text = &push.api},
        {.name = "api-key", .value = "KEY", .text = &push.api_key},
        {.name = "tcp", .value = "ADDR:PORT", .text = &push.tcp},
        {.name = "timeout", .value = "SECONDS", .number = &push.timeout},
        {.name = NULL},
    };
    int status = cli_read(COMMAND, argc, argv, flags, &push.words);
    if (status < 0) {
        fputs(help, stdout);
        return CLI_DONE;
    }
    if (status == CLI_DONE)
        status = check(&push);
    if (status == CLI_DONE) {
        push.stop_fd = stop_open();
        dial_progress(push.tcp != NULL ? push.tcp : push.api);
        status = push.tcp != NULL ? push_over_tcp(&push) : push_over_api(&push);
    }
    free(push.input);
    free(push.buffer);
    return status;
}
