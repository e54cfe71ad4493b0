/* cli_listen.c - `ringpost listen`: a client of the tcp listener that prints what arrives.
 *
 *   connect -> hello -> welcome -> lines ... -> lost -> wait (growing, with jitter) -> connect
 *                  \-> refused: exit 1            \-> goodbye: wait as long as the server asks
 *
 * The first connection must work; after that it comes back by itself, however often. */
#include "core/base/clock.h"
#include "core/base/rand.h"
#include "main/address.h"
#include "main/cli/answer.h"
#include "main/cli/cli.h"
#include "main/cli/line_client.h"
#include "main/cli/stop.h"
#include "main/terminal.h"
#include "proto/text/json.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#define COMMAND "listen"
#define CONNECT_TIMEOUT_NS (10 * NS_PER_S)
#define LEAVE_TIMEOUT_NS NS_PER_S
#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 30000
#define STEADY_NS (10 * NS_PER_S) /* a connection that held so long was a good one */
#define GOODBYE_MAX_MS 300000
#define WORD_MAX 600

static const char help[] =
    "ringpost listen - be a client, and print the messages that arrive\n"
    "\n"
    "Usage: ringpost listen [--id ID] [--group GROUP]... [OPTION]...\n"
    "\n"
    "Examples:\n"
    "  ringpost listen --id till-7\n"
    "  ringpost listen --id till-7 --group shop-1 --group all-tills\n"
    "  ringpost listen --id till-7 --count 1 --timeout 10 --json | jq .data\n"
    "  ringpost listen --id till-7 --ack\n"
    "\n"
    "Options:\n"
    "  --id ID              the client id to register; a client without it gets only group\n"
    "                       messages and broadcasts\n"
    "  --group GROUP        a group to join; repeatable\n"
    "  --tcp ADDR:PORT      the tcp listener; RINGPOST_TCP or " CLI_TCP_DEFAULT " if absent\n"
    "  --api ADDR:PORT      instead: ask the api listener there for the node's tcp listener\n"
    "  --api-key KEY        its key; better in RINGPOST_API_KEY, where others cannot see it\n"
    "  --ack                acknowledge each message that asks for it, once it is printed\n"
    "  --count N            end after N messages\n"
    "  --timeout SECONDS    end after this time\n"
    "  --json               print each message as it came, one JSON object a line\n"
    "\n"
    "A message that was pushed with `ack` is marked so. The node keeps it until a client with its\n"
    "id acknowledges it, or its ttl is over; without --ack it comes again, marked `redelivered`,\n"
    "after ten seconds and whenever the client connects. Look at both in two terminals:\n"
    "  ringpost listen --id till-7 --ack\n"
    "  ringpost push --to till-7 --ack --wait --event payment '{\"amount\":12}'\n"
    "\n"
    "Notes about the connection go to standard error. After losing the connection it connects\n"
    "again, after a pause that grows from 0.25 to 30 seconds; after a goodbye of the node, when "
    "the\n"
    "node asks for it (reconnect_ms), but within 5 minutes. Ctrl-C ends it.\n"
    "\n"
    "Exit status: 0 ended as asked, 1 the node did not answer or refused, or --timeout came\n"
    "before --count, 2 bad usage.\n";

struct listen {
    struct cli_list groups;
    const char *id, *tcp, *api, *api_key;
    char room[CLI_ADDRESS_MAX], found[CLI_ADDRESS_MAX];
    double count, timeout;
    bool json, ack;

    struct line_client client;
    uint64_t end_ns; /* of --timeout; CLOCK_NEVER */
    uint64_t began_ns;
    uint64_t messages, reconnects, acked;
    bool ack_told;        /* what a message means that asks for an acknowledgement */
    bool welcomed;        /* at least once */
    uint64_t welcomed_ns; /* on this connection; 0: not yet */
    unsigned backoff_ms;  /* the pause before the next attempt, before jitter */
    unsigned goodbye_ms;  /* the pause that the server asked for */
    uint64_t silence_ns;  /* after so much a welcomed connection counts as lost; CLOCK_NEVER */
};

enum step { STEP_ON, STEP_AGAIN, STEP_DONE, STEP_REFUSED, STEP_STOPPED, STEP_TIMEOUT };

static uint64_t sooner(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs(terminal_paint(stderr, PAINT_DIM), stderr);
    fputs("-- ", stderr);
    terminal_format_list(stderr, format, arguments);
    fputs(terminal_paint(stderr, PAINT_NONE), stderr);
    fputc('\n', stderr);
    va_end(arguments);
}

/* A string member; "" if there is none. */
static const char *word(struct span object, const char *name, char text[WORD_MAX]) {
    if (!answer_text(answer_at(object, name), text, WORD_MAX))
        text[0] = '\0';
    return text;
}

static void print_time(void) {
    uint64_t now_ms = clock_wall_ms();
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm local;
    localtime_r(&seconds, &local);
    printf("%s%02d:%02d:%02d.%03u%s  ", terminal_paint(stdout, PAINT_DIM), local.tm_hour,
           local.tm_min, local.tm_sec, (unsigned)(now_ms % 1000),
           terminal_paint(stdout, PAINT_NONE));
}

static bool is_true(struct span object, const char *name) {
    return span_equal(answer_at(object, name), SPAN("true"));
}

static void print_mark(struct span line, const char *name) {
    if (is_true(line, name))
        printf("%s  ", name);
}

/* The columns: time, event, id, then marks and data. */
static void print_message(struct span line) {
    char text[WORD_MAX];
    print_time();
    if (!answer_text(answer_at(line, "event"), text, sizeof(text)))
        snprintf(text, sizeof(text), "-");
    fputs(terminal_paint(stdout, PAINT_NAME), stdout);
    terminal_print_padded(stdout, span_text(text), 14);
    fputs(terminal_paint(stdout, PAINT_NONE), stdout);
    if (!answer_text(answer_at(line, "id"), text, sizeof(text)))
        snprintf(text, sizeof(text), "-");
    fputs("  ", stdout);
    terminal_print_padded(stdout, span_text(text), 26);
    fputs("  ", stdout);
    print_mark(line, "ack");
    print_mark(line, "redelivered");
    struct span group = answer_at(line, "group");
    if (group.at != NULL) {
        fputs("group=", stdout);
        terminal_print(stdout, group, 200);
        fputs("  ", stdout);
    }
    struct span encoding = answer_at(line, "encoding");
    if (encoding.at != NULL)
        fputs("base64=", stdout);
    struct span payload = answer_at(line, "data");
    terminal_print(stdout, payload.at == NULL ? SPAN("null") : payload, 0);
    fputc('\n', stdout);
}

static enum step on_welcome(struct listen *listen, struct span line) {
    char node[WORD_MAX], session[WORD_MAX];
    double heartbeat;
    note("connected to %s: node %s, session %s", listen->tcp, word(line, "node", node),
         word(line, "session", session));
    listen->welcomed = true;
    listen->welcomed_ns = clock_ns();
    listen->silence_ns = CLOCK_NEVER;
    /* The server pings whoever is silent for a heartbeat, so two of them without a word mean that
     * it is gone. */
    if (answer_number(answer_at(line, "heartbeat"), &heartbeat) && heartbeat > 0 &&
        heartbeat < 86401)
        listen->silence_ns = (uint64_t)(heartbeat * 2e9) + 10 * NS_PER_S;
    return STEP_ON;
}

static enum step on_error(struct listen *listen, struct span line) {
    char code[WORD_MAX], message[WORD_MAX];
    word(line, "code", code);
    word(line, "message", message);
    bool passing = strcmp(code, "overloaded") == 0 || strcmp(code, "unavailable") == 0 ||
                   strcmp(code, "rate_limited") == 0;
    if (!listen->welcomed && !passing) {
        cli_failed(COMMAND, "the server refused: %s%s%s", code, message[0] != '\0' ? ": " : "",
                   message);
        return STEP_REFUSED;
    }
    note("error from the server: %s: %s", code, message);
    return STEP_ON;
}

static enum step on_goodbye(struct listen *listen, struct span line) {
    char reason[WORD_MAX];
    double wait_ms = 0;
    if (answer_number(answer_at(line, "reconnect_ms"), &wait_ms) && wait_ms > 0)
        listen->goodbye_ms = wait_ms < GOODBYE_MAX_MS ? (unsigned)wait_ms : GOODBYE_MAX_MS;
    note("the server says goodbye: %s", word(line, "reason", reason));
    return STEP_ON; /* what it still owes comes before it closes */
}

static enum step say(struct listen *listen, struct span line) {
    uint64_t deadline = sooner(clock_ns() + CONNECT_TIMEOUT_NS, listen->end_ns);
    return line_client_send(&listen->client, line, deadline) == DIAL_READY ? STEP_ON : STEP_AGAIN;
}

/* A message that asks for it is acknowledged now that it is printed. */
static enum step acknowledge(struct listen *listen, struct span line) {
    char text[LINE_CLIENT_ACK_MAX];
    if (!listen->ack) {
        if (!listen->ack_told && !listen->json)
            note("this message is to be acknowledged, so it comes again; --ack does that");
        listen->ack_told = true;
        return STEP_ON;
    }
    size_t len = line_client_ack(text, answer_at(line, "id"));
    if (len == 0) {
        note("a message without a proper id is not acknowledged");
        return STEP_ON;
    }
    listen->acked++;
    return say(listen, span_of(text, len));
}

static enum step on_message(struct listen *listen, struct span line) {
    if (listen->json) {
        terminal_print_json(stdout, line);
        fputc('\n', stdout);
    } else {
        print_message(line);
    }
    listen->messages++;
    if (fflush(stdout) != 0)
        return STEP_DONE; /* a full disk; main says so, and fails */
    enum step step = is_true(line, "ack") ? acknowledge(listen, line) : STEP_ON;
    return listen->count > 0 && (double)listen->messages >= listen->count ? STEP_DONE : step;
}

static enum step on_line(struct listen *listen, struct span raw) {
    struct json_value whole;
    struct json_error error;
    char type[32] = "";
    if (!json_scan(raw, &whole, &error) || whole.kind != JSON_OBJECT) {
        if (!listen->welcomed) {
            cli_failed(COMMAND, "%s does not speak JSON lines; is it the tcp listener?",
                       listen->tcp);
            return STEP_REFUSED;
        }
        note("a line that is no JSON object was left out");
        return STEP_ON;
    }
    struct span line = whole.raw;
    answer_text(answer_at(line, "type"), type, sizeof(type));
    if (strcmp(type, "message") == 0)
        return on_message(listen, line);
    if (strcmp(type, "ping") == 0)
        return say(listen, SPAN("{\"type\":\"pong\"}"));
    if (strcmp(type, "welcome") == 0)
        return on_welcome(listen, line);
    if (strcmp(type, "error") == 0)
        return on_error(listen, line);
    if (strcmp(type, "goodbye") == 0)
        return on_goodbye(listen, line);
    return STEP_ON;
}

static enum step after(const struct listen *listen, enum dial_end end) {
    if (end == DIAL_STOPPED)
        return STEP_STOPPED;
    return clock_ns() >= listen->end_ns ? STEP_TIMEOUT : STEP_AGAIN;
}

/* One connection from hello to its end. */
static enum step listen_once(struct listen *listen) {
    char hello[LINE_CLIENT_HELLO_MAX];
    size_t len = line_client_hello(hello, sizeof(hello), listen->id, listen->groups.entries,
                                   listen->groups.count);
    uint64_t deadline = sooner(clock_ns() + CONNECT_TIMEOUT_NS, listen->end_ns);
    enum dial_end end = line_client_connect(&listen->client, listen->tcp, deadline);
    if (end == DIAL_READY)
        end = line_client_send(&listen->client, span_of(hello, len), deadline);
    while (end == DIAL_READY) {
        struct span line;
        /* All before the welcome has one deadline, whatever the server says meanwhile. */
        if (listen->welcomed_ns != 0)
            deadline = listen->silence_ns == CLOCK_NEVER
                           ? listen->end_ns
                           : sooner(clock_ns() + listen->silence_ns, listen->end_ns);
        end = line_client_receive(&listen->client, &line, deadline);
        if (end != DIAL_READY)
            break;
        enum step step = on_line(listen, line);
        if (step == STEP_AGAIN)
            break;
        if (step != STEP_ON)
            return step;
    }
    return after(listen, end);
}

/* The pause before the next attempt: what the goodbye asked for, else growing and spread. A
 * connection that did not hold makes it grow whatever a goodbye says, since a server that says so
 * each time would have no end of attempts. */
static enum step pause_before_again(struct listen *listen) {
    unsigned wait_ms = listen->goodbye_ms;
    bool steady = listen->welcomed_ns != 0 && clock_ns() - listen->welcomed_ns >= STEADY_NS;
    if (steady)
        listen->backoff_ms = BACKOFF_FIRST_MS;
    listen->welcomed_ns = 0;
    if (wait_ms == 0 || !steady) {
        unsigned grown_ms =
            listen->backoff_ms / 2 + (unsigned)rand_below(listen->backoff_ms / 2 + 1);
        wait_ms = wait_ms > grown_ms ? wait_ms : grown_ms;
        listen->backoff_ms =
            listen->backoff_ms * 2 < BACKOFF_MAX_MS ? listen->backoff_ms * 2 : BACKOFF_MAX_MS;
    }
    listen->goodbye_ms = 0;
    note("%s; again in %.1f s", listen->client.why, wait_ms / 1000.0);
    uint64_t until = sooner(clock_ns() + wait_ms * NS_PER_MS, listen->end_ns);
    if (dial_wait(-1, 0, until, listen->client.stop_fd) == DIAL_STOPPED)
        return STEP_STOPPED;
    listen->reconnects++;
    return clock_ns() >= listen->end_ns ? STEP_TIMEOUT : STEP_ON;
}

/* What it means that nothing came: the usual cause is a name that differs. */
static void nothing_note(const struct listen *listen) {
    if (listen->messages != 0 || !listen->welcomed)
        return;
    if (listen->id != NULL)
        note("0 messages: in that time nobody pushed to this id, its groups or everybody; try "
             "ringpost push --to '%.128s' 1",
             listen->id);
    else if (listen->groups.count != 0)
        note("0 messages: in that time nobody pushed to these groups or everybody; try ringpost "
             "push --group '%.128s' 1",
             listen->groups.entries[0]);
    else
        note("0 messages: in that time nobody pushed to everybody; try ringpost push --broadcast "
             "1");
}

static int summary(const struct listen *listen, int status) {
    note("%" PRIu64 " message%s in %.1f s, %" PRIu64 " reconnect%s", listen->messages,
         listen->messages == 1 ? "" : "s", (double)(clock_ns() - listen->began_ns) / 1e9,
         listen->reconnects, listen->reconnects == 1 ? "" : "s");
    nothing_note(listen);
    return status;
}

static int listen_on(struct listen *listen) {
    for (;;) {
        enum step step = listen_once(listen);
        if (listen->acked != 0 && step != STEP_AGAIN)
            line_client_leave(&listen->client, clock_ns() + LEAVE_TIMEOUT_NS);
        line_client_close(&listen->client);
        if (step == STEP_AGAIN && !listen->welcomed)
            return cli_failed(COMMAND, "%s", listen->client.why);
        if (step == STEP_AGAIN)
            step = pause_before_again(listen);
        switch (step) {
        case STEP_ON:
        case STEP_AGAIN:
            break;
        case STEP_DONE:
            return CLI_DONE;
        case STEP_REFUSED:
            return CLI_FAILED;
        case STEP_STOPPED:
            return summary(listen, CLI_DONE);
        case STEP_TIMEOUT:
            if (listen->count <= 0)
                return summary(listen, CLI_DONE);
            nothing_note(listen);
            return cli_failed(COMMAND, "%g s are over with %" PRIu64 " of %g messages",
                              listen->timeout, listen->messages, listen->count);
        }
    }
}

static int check(struct listen *listen) {
    char hello[LINE_CLIENT_HELLO_MAX];
    if (listen->count >= 0 &&
        (listen->count < 1 || listen->count != (double)(uint64_t)listen->count))
        return cli_usage(COMMAND, "--count is a whole number of at least 1");
    if (listen->tcp != NULL && listen->api != NULL)
        return cli_usage(COMMAND, "--api and --tcp exclude each other");
    if (listen->timeout == 0)
        return cli_usage(COMMAND, "--timeout is more than 0");
    if (line_client_hello(hello, sizeof(hello), listen->id, listen->groups.entries,
                          listen->groups.count) == 0)
        return cli_usage(COMMAND, "id and groups together are longer than a hello may be");
    if (listen->ack && listen->id == NULL)
        return cli_usage(COMMAND, "--ack needs --id: messages to be acknowledged are for client "
                                  "ids");
    if (listen->id == NULL && listen->groups.count == 0)
        note("without --id and --group only broadcasts arrive");
    return CLI_DONE;
}

/* The first tcp listener among the node's; one that is on all addresses is on the api's host. */
static bool listener_find(struct listen *listen, struct span stats) {
    struct json_cursor listeners = answer_elements(answer_at(stats, "listeners"));
    struct json_value one;
    while (json_array_next(&listeners, &one)) {
        char kind[8], address[CLI_ADDRESS_MAX], why[ADDRESS_WHY_MAX];
        struct span host, api_host;
        uint16_t port, api_port;
        if (!answer_text(answer_at(one.raw, "kind"), kind, sizeof(kind)) ||
            strcmp(kind, "tcp") != 0 ||
            !answer_text(answer_at(one.raw, "address"), address, sizeof(address)) ||
            !address_split(span_text(address), &host, &port, why) || port == 0)
            continue;
        bool all = span_equal(host, SPAN("0.0.0.0")) || span_equal(host, SPAN("::"));
        if (all && address_split(span_text(listen->api), &api_host, &api_port, why)) {
            bool v6 = memchr(api_host.at, ':', api_host.len) != NULL;
            snprintf(listen->found, sizeof(listen->found), v6 ? "[%.*s]:%u" : "%.*s:%u",
                     SPAN_ARG(api_host), port);
        } else {
            snprintf(listen->found, sizeof(listen->found), "%s", address);
        }
        listen->tcp = listen->found;
        return true;
    }
    return false;
}

static int listener_ask(struct listen *listen) {
    char key_room[CLI_KEY_MAX];
    uint64_t now_ns = clock_ns(), left_ns = now_ns < listen->end_ns ? listen->end_ns - now_ns : 0;
    struct http_call call = {.server = listen->api,
                             .method = "GET",
                             .target = "/v1/stats",
                             .timeout_ns = sooner(CONNECT_TIMEOUT_NS, left_ns),
                             .stop_fd = listen->client.stop_fd};
    int status = cli_key(COMMAND, listen->api_key, key_room, &call.key);
    if (status != CLI_DONE)
        return status;
    struct http_outcome outcome;
    struct span stats;
    status = cli_stats(COMMAND, &call, &outcome, &stats);
    if (status == CLI_DONE && !listener_find(listen, stats))
        status = cli_failed(COMMAND, "the node at %s has no tcp listener", listen->api);
    http_client_free(&outcome);
    return status;
}

int cli_listen(int argc, char **argv) {
    static struct listen listen;
    listen = (struct listen){.count = -1, .timeout = -1};
    const struct cli_flag flags[] = {
        {.name = "id", .value = "ID", .text = &listen.id},
        {.name = "group", .value = "GROUP", .list = &listen.groups},
        {.name = "tcp", .value = "ADDR:PORT", .text = &listen.tcp},
        {.name = "api", .value = "ADDR:PORT", .text = &listen.api},
        {.name = "api-key", .value = "KEY", .text = &listen.api_key},
        {.name = "count", .value = "N", .number = &listen.count},
        {.name = "timeout", .value = "SECONDS", .number = &listen.timeout},
        {.name = "json", .on = &listen.json},
        {.name = "ack", .on = &listen.ack},
        {.name = NULL},
    };
    int status = cli_read(COMMAND, argc, argv, flags, NULL);
    if (status < 0) {
        fputs(help, stdout);
        return CLI_DONE;
    }
    if (status == CLI_DONE)
        status = check(&listen);
    if (status == CLI_DONE && listen.api == NULL)
        status = cli_tcp(COMMAND, &listen.tcp, listen.room);
    if (status == CLI_DONE && listen.api != NULL)
        status = cli_api(COMMAND, &listen.api, listen.room);
    if (status != CLI_DONE)
        return status;
    listen.began_ns = clock_ns();
    listen.end_ns = listen.timeout < 0 || listen.timeout > 1e9
                        ? CLOCK_NEVER
                        : listen.began_ns + (uint64_t)(listen.timeout * 1e9);
    listen.backoff_ms = BACKOFF_FIRST_MS;
    line_client_init(&listen.client, stop_open());
    status = listen.api != NULL ? listener_ask(&listen) : CLI_DONE;
    if (status == CLI_DONE)
        status = listen_on(&listen);
    line_client_fini(&listen.client);
    return status < 0 ? CLI_DONE : status;
}
