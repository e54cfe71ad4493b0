/* cli.c - see cli.h: what the commands share. */
#include "main/cli/cli.h"

#include "main/address.h"
#include "main/settings/settings_value.h"
#include "main/suggest.h"
#include "main/terminal.h"
#include "proto/text/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int cli_usage(const char *command, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "ringpost %s: ", command);
    terminal_format_list(stderr, format, arguments);
    fprintf(stderr, "; see ringpost %s --help\n", command);
    va_end(arguments);
    return CLI_USAGE;
}

int cli_failed(const char *command, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "ringpost %s: ", command);
    terminal_format_list(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    return CLI_FAILED;
}

static const struct cli_flag *suggest_from; /* of the command that runs; there is just one */

static const char *flag_name(size_t n) {
    return suggest_from[n].name;
}

static int flag_unknown(const char *command, const struct cli_flag *flags, struct span name) {
    suggest_from = flags;
    const char *near = suggest(name, flag_name);
    /* Without its value, which may be a key. */
    struct span shown = name.len <= 40 ? name : span_of(name.at, 40);
    if (near != NULL)
        return cli_usage(command, "there is no --%.*s, did you mean --%s", SPAN_ARG(shown), near);
    return cli_usage(command, "there is no --%.*s", SPAN_ARG(shown));
}

static int flag_take(const char *command, const struct cli_flag *flag, struct flags *walk) {
    if (flag->optional)
        *flag->on = true;
    if (flag->optional && walk->inline_value == NULL)
        return CLI_DONE;
    if (flag->value == NULL) {
        if (walk->inline_value != NULL)
            return cli_usage(command, "--%s takes no value", flag->name);
        *flag->on = true;
        return CLI_DONE;
    }
    const char *value = flags_value(walk);
    if (value == NULL || value[0] == '\0')
        return cli_usage(command, "--%s needs a value, --%s %s", flag->name, flag->name,
                         flag->value);
    if (flag->text != NULL) {
        *flag->text = value;
    } else if (flag->number != NULL) {
        if (!value_decimal(span_text(value), flag->number))
            return cli_usage(command, "--%s \"%.40s\" is not a number", flag->name, value);
    } else if (flag->list->count == CLI_LIST_MAX) {
        return cli_usage(command, "--%s may stand %d times", flag->name, CLI_LIST_MAX);
    } else {
        flag->list->entries[flag->list->count++] = value;
    }
    return CLI_DONE;
}

int cli_read(const char *command, int argc, char **argv, const struct cli_flag *flags,
             struct cli_list *words) {
    struct flags walk = flags_over(argc - 1, argv + 1);
    enum flags_found found;
    struct span name;
    while ((found = flags_next(&walk, &name)) != FLAGS_END) {
        if (found == FLAGS_WORD) {
            if (words == NULL || words->count == CLI_LIST_MAX)
                return cli_usage(command, "\"%.40s\" is one word too many", name.at);
            words->entries[words->count++] = name.at;
            continue;
        }
        if (span_equal(name, SPAN("help")) || span_equal(name, SPAN("h")))
            return -1;
        const struct cli_flag *flag = flags;
        while (flag->name != NULL && !span_equal(name, span_text(flag->name)))
            flag++;
        int status = flag->name == NULL ? flag_unknown(command, flags, name)
                                        : flag_take(command, flag, &walk);
        if (status != CLI_DONE)
            return status;
    }
    return CLI_DONE;
}

static int address_check(const char *command, const char *name, const char *text) {
    struct span host;
    uint16_t port = 1;
    char why[ADDRESS_WHY_MAX];
    if (address_split(span_text(text), &host, &port, why) && port != 0)
        return CLI_DONE;
    return cli_usage(command, "%s \"%.60s\" %s", name, text,
                     port == 0 ? "has port 0, which nobody can connect to" : why);
}

static int address_find(const char *command, const char *flag, const char *environment,
                        const char *fallback, const char **address, char room[CLI_ADDRESS_MAX]) {
    if (*address != NULL)
        return address_check(command, flag, *address);
    const char *text = getenv(environment);
    *address = fallback;
    if (text == NULL || text[0] == '\0')
        return CLI_DONE;
    size_t len = strcspn(text, ",");
    if (len >= CLI_ADDRESS_MAX)
        return cli_usage(command, "%s is too long for an address", environment);
    memcpy(room, text, len);
    room[len] = '\0';
    *address = room;
    if (strcmp(room, "off") == 0)
        return cli_usage(command, "%s is off: say with %s where to connect", environment, flag);
    return address_check(command, environment, room);
}

int cli_api(const char *command, const char **address, char room[CLI_ADDRESS_MAX]) {
    return address_find(command, "--api", "RINGPOST_API", CLI_API_DEFAULT, address, room);
}

int cli_tcp(const char *command, const char **address, char room[CLI_ADDRESS_MAX]) {
    return address_find(command, "--tcp", "RINGPOST_TCP", CLI_TCP_DEFAULT, address, room);
}

int cli_key(const char *command, const char *flag, char room[CLI_KEY_MAX], const char **key) {
    const char *text = flag != NULL ? flag : getenv("RINGPOST_API_KEY");
    *key = NULL;
    if (text == NULL || text[0] == '\0')
        return CLI_DONE;
    size_t len = flag != NULL ? strlen(text) : strcspn(text, ",");
    bool good = len < CLI_KEY_MAX;
    for (size_t i = 0; i < len && good; i++)
        good = text[i] >= 0x21 && text[i] <= 0x7e;
    if (!good)
        return cli_usage(command, "%s: a key has 1 to %d visible ASCII bytes",
                         flag != NULL ? "--api-key" : "RINGPOST_API_KEY", CLI_KEY_MAX - 1);
    memcpy(room, text, len);
    room[len] = '\0';
    *key = room;
    return CLI_DONE;
}

int cli_stats(const char *command, const struct http_call *call, struct http_outcome *outcome,
              struct span *stats) {
    struct json_value whole;
    struct json_error error;
    http_client_call(call, outcome);
    if (outcome->end == DIAL_STOPPED)
        return -1;
    if (outcome->end != DIAL_READY)
        return cli_failed(command, "%s", outcome->why);
    if (outcome->status == 401)
        return cli_failed(command, "%s wants an API key; set RINGPOST_API_KEY%s", call->server,
                          call->key != NULL ? " (the one given is not right)" : "");
    if (outcome->status != 200 || !json_scan(outcome->body, &whole, &error) ||
        whole.kind != JSON_OBJECT)
        return cli_failed(command, "%s answered %u without statistics; is it the api listener?",
                          call->server, outcome->status);
    *stats = whole.raw;
    return CLI_DONE;
}
