/* settings_show.c - settings as text: single values, the table of check-config, the help, the page.
 */
#include "main/settings/settings_build.h"
#include "main/version.h"

#include "core/base/builder.h"
#include "core/base/clock.h"
#include "ha/redis/redis_url.h"
#include "main/address.h"
#include "main/settings/settings_alert.h"
#include "main/settings/settings_amqp.h"
#include "main/terminal.h"

#include <inttypes.h>

#define HELP_COLUMNS 92
#define HELP_INDENT 29

static void show_listeners(struct builder *out, const struct config *config,
                           enum listener_kind kind) {
    size_t start = out->len;
    for (unsigned n = 0; n < config->listener_count; n++) {
        if (config->listeners[n].kind != kind)
            continue;
        if (out->len != start)
            builder_byte(out, ',');
        builder_text(out, config->listeners[n].text);
    }
    if (out->len == start)
        builder_text(out, "off");
}

/* Runs of neighbours as FIRST-LAST. */
static void show_cpus(struct builder *out, const struct config *config) {
    for (unsigned n = 0; n < config->workers; n++) {
        unsigned last = n;
        while (last + 1 < config->workers && config->cpus[last + 1] == config->cpus[last] + 1)
            last++;
        builder_format(out, last > n ? "%s%d-%d" : "%s%d", n == 0 ? "" : ",", config->cpus[n],
                       config->cpus[last]);
        n = last;
    }
}

static void show_networks(struct builder *out, const struct network *networks, unsigned count) {
    char text[NETWORK_TEXT_MAX];
    for (unsigned n = 0; n < count; n++) {
        network_format(&networks[n], text);
        builder_format(out, "%s%s", n == 0 ? "" : ",", text);
    }
    if (count == 0)
        builder_text(out, "off");
}

static void show_texts(struct builder *out, const char *const *texts, unsigned count) {
    for (unsigned n = 0; n < count; n++)
        builder_format(out, "%s%s", n == 0 ? "" : ",", texts[n]);
    if (count == 0)
        builder_text(out, "-");
}

/* Without their passwords. */
static void show_redis(struct builder *out, const struct config *config) {
    struct redis_url url;
    for (unsigned i = 0; i < config->redis_count; i++) {
        redis_url_parse(span_text(config->redis[i]), &url);
        builder_text(out, i == 0 ? "" : ",");
        redis_url_write(out, &url);
        bool is_cluster = url.kind == REDIS_URL_CLUSTER;
        for (unsigned n = 1; is_cluster && redis_url_node(span_text(config->redis[i]), n, &url);
             n++) {
            builder_byte(out, ',');
            url_place_write(out, &url.place);
        }
    }
    if (config->redis_count == 0)
        builder_byte(out, '-');
}

void config_format(const struct config *config, const char *file, enum setting_id id, char *text,
                   size_t cap) {
    const struct setting *setting = &settings_table[id];
    const void *member = (const char *)config + setting->offset;
    struct builder out = builder_over(text, cap - 1);
    const char *string = id == SET_CONFIG ? file : NULL;
    uint32_t number;
    uint64_t wide;
    double real;
    switch (setting->kind) {
    case SETTING_TEXT:
        if (id != SET_CONFIG)
            memcpy(&string, member, sizeof(string));
        builder_text(&out, string == NULL ? "-" : string);
        break;
    case SETTING_SWITCH:
        builder_text(&out, *(const bool *)member ? "on" : "off");
        break;
    case SETTING_CHOICE:
        memcpy(&number, member, sizeof(number));
        builder_text(&out, setting->choices[number]);
        break;
    case SETTING_SECONDS:
        memcpy(&wide, member, sizeof(wide));
        builder_format(&out, "%.15g", (double)wide / (double)NS_PER_S);
        break;
    case SETTING_BYTES:
    case SETTING_COUNT:
        memcpy(&number, member, sizeof(number));
        if (number == 0 && (setting->traits & SETTING_OFF) != 0)
            builder_text(&out, "off");
        else
            builder_u64(&out, number);
        break;
    case SETTING_RATE:
        memcpy(&real, member, sizeof(real));
        if (real > 0)
            builder_format(&out, "%.15g", real);
        else
            builder_text(&out, "off");
        break;
    case SETTING_MEMORY:
        memcpy(&wide, member, sizeof(wide));
        builder_u64(&out, wide);
        break;
    case SETTING_LISTENERS:
        show_listeners(&out, config,
                       id == SET_TCP   ? LISTENER_TCP
                       : id == SET_WEB ? LISTENER_WEB
                                       : LISTENER_API);
        break;
    case SETTING_NODE:
        builder_text(&out, config->node);
        break;
    case SETTING_CPUS:
        show_cpus(&out, config);
        break;
    case SETTING_NETWORKS:
        if (id == SET_FORWARDED)
            show_networks(&out, config->forwarders, config->forwarder_count);
        else
            show_networks(&out, config->proxies, config->proxy_count);
        break;
    case SETTING_KEYS:
        if (config->api_key_count == 0)
            builder_text(&out, "-");
        else
            builder_format(&out, "<%u key%s>", config->api_key_count,
                           config->api_key_count == 1 ? "" : "s");
        break;
    case SETTING_ORIGINS:
        show_texts(&out, config->origins, config->origin_count);
        break;
    case SETTING_HOSTS:
        show_texts(&out, config->web_hosts, config->web_host_count);
        break;
    case SETTING_NAMESPACES:
        show_texts(&out, config->namespaces, config->namespace_count);
        break;
    case SETTING_REDIS:
        show_redis(&out, config);
        break;
    case SETTING_ALERT:
        if (id == SET_ALERT_MAIL)
            show_texts(&out, config->alert_mail, config->alert_mail_count);
        else
            settings_alert_show(&out, config, id);
        break;
    case SETTING_AMQP:
        settings_amqp_show(&out, config, id);
        break;
    case SETTING_PEER:
        builder_text(&out, config->peer.text == NULL ? "-" : config->peer.text);
        break;
    }
    text[out.len] = '\0';
}

void setting_format(const struct settings *settings, enum setting_id id, char *text, size_t cap) {
    config_format(&settings->config, settings->file, id, text, cap);
}

void setting_format_origin(const struct settings *settings, enum setting_id id, char *text,
                           size_t cap) {
    const struct setting *setting = &settings_table[id];
    const struct setting_origin *origin = &settings->origins[id];
    switch (origin->source) {
    case SOURCE_DEFAULT:
        snprintf(text, cap, "default");
        break;
    case SOURCE_FILE:
        snprintf(text, cap, "%s:%u", settings->file, origin->line);
        break;
    case SOURCE_ENV:
        snprintf(text, cap, "env %s", setting->environment);
        break;
    case SOURCE_FLAG:
        snprintf(text, cap, "flag --%s", setting->name);
        break;
    }
}

/* A large number of bytes in brackets as people say it; nothing for others. */
static const char *human(const struct settings *settings, enum setting_id id, char text[32]) {
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    uint64_t bytes = 0;
    if (settings_table[id].kind == SETTING_MEMORY)
        bytes = settings->config.memory_bytes;
    else if (settings_table[id].kind == SETTING_BYTES) {
        uint32_t small;
        memcpy(&small, (const char *)&settings->config + settings_table[id].offset, sizeof(small));
        bytes = small;
    }
    if (bytes < 1024)
        return "";
    double value = (double)bytes / 1024;
    unsigned unit = 0;
    for (; value >= 1024 && unit < 3; unit++)
        value /= 1024;
    snprintf(text, 32, " (%.3g %s)", value, units[unit]);
    return text;
}

void settings_print_effective(const struct settings *settings, FILE *out) {
    char value[SETTING_VALUE_MAX], origin[SETTINGS_TEXT_MAX], size[32];
    int width = 0;
    for (unsigned n = 0; n < SETTINGS; n++) {
        enum setting_id id = (enum setting_id)n;
        setting_format(settings, id, value, sizeof(value));
        int len = (int)(strlen(value) + strlen(human(settings, id, size)));
        if (len > width && len <= 48)
            width = len;
    }
    fprintf(out, "%-19s %-*s %s\n", "SETTING", width, "VALUE", "FROM");
    for (unsigned n = 0; n < SETTINGS; n++) {
        enum setting_id id = (enum setting_id)n;
        if ((settings_table[id].traits & SETTING_HIDDEN) != 0 &&
            settings->origins[id].source == SOURCE_DEFAULT)
            continue;
        setting_format(settings, id, value, sizeof(value));
        setting_format_origin(settings, id, origin, sizeof(origin));
        const char *hint = human(settings, id, size);
        int rest = width - (int)strlen(value);
        fprintf(out, "%-19s ", settings_table[id].name);
        terminal_print(out, span_text(value), 0);
        fprintf(out, "%-*s ", rest > 0 ? rest : 0, hint);
        terminal_print(out, span_text(origin), 0);
        fputc('\n', out);
    }
    for (unsigned n = 0; n < settings->remark_count; n++) {
        terminal_format(out, "note: %s", settings->remarks[n]);
        fputc('\n', out);
    }
}

/* Prints the text from column HELP_INDENT on, breaking lines at blanks. */
static void print_wrapped(FILE *out, const char *text) {
    for (int at = HELP_INDENT; *text != '\0';) {
        int word = (int)strcspn(text, " ");
        if (at > HELP_INDENT && at + 1 + word > HELP_COLUMNS)
            at = fprintf(out, "\n%*s%.*s", HELP_INDENT, "", word, text) - 1;
        else
            at += fprintf(out, "%s%.*s", at > HELP_INDENT ? " " : "", word, text);
        text += word;
        text += strspn(text, " ");
    }
}

static const char *default_words(const struct setting *setting) {
    return setting->fallback_words != NULL ? setting->fallback_words : setting->fallback;
}

static void print_help_of(FILE *out, const struct setting *setting) {
    char line[SETTINGS_TEXT_MAX * 2];
    int width = fprintf(out, "  --%s %s", setting->name, setting->value);
    if (width >= HELP_INDENT - 1)
        fprintf(out, "\n%*s", HELP_INDENT, "");
    else
        fprintf(out, "%*s", HELP_INDENT - width, "");
    snprintf(line, sizeof(line), "%s%s Default: %s.", setting->help,
             (setting->traits & SETTING_LIST) != 0 ? " Repeatable." : "", default_words(setting));
    print_wrapped(out, line);
    fputc('\n', out);
}

void settings_print_help(FILE *out) {
    fputs("ringpost serve - run a node: producers push messages to its api listener, and the node\n"
          "delivers them at once to connected clients\n"
          "\n"
          "Usage: ringpost [serve] [--SETTING VALUE]...\n"
          "\n"
          "Examples:\n"
          "  ringpost serve\n"
          "      clients on 127.0.0.1:7000, browsers on port 8080, producers on 8081\n"
          "  RINGPOST_API_KEY=$(openssl rand -hex 16) ringpost serve --api 0.0.0.0:8081\n"
          "      producers on other machines too, with a key\n"
          "  ringpost serve --tcp 127.0.0.1:0 --web off --ports-file /tmp/ports.json\n"
          "      clients on a free port; the node writes it to the file\n"
          "  ringpost check-config --config /etc/ringpost.conf\n"
          "      only check the settings, and show where each comes from\n"
          "\n"
          "Every setting is a flag, an environment variable (--api-key is RINGPOST_API_KEY) and a\n"
          "key of the --config file (api-key = ...). A flag wins over the environment, the\n"
          "environment over the file. A Repeatable flag also takes several values with commas.\n"
          "Sizes may end in K, M or G; times are seconds, or end in ms, s, m or h: 0.5, 500ms, "
          "10m.\n",
          out);
    for (unsigned topic = 0; topic < TOPICS; topic++) {
        if (topic == TOPIC_TESTS)
            continue;
        fprintf(out, "\n%s:\n", settings_topic_titles[topic]);
        for (unsigned id = 0; id < SETTINGS; id++)
            if (settings_table[id].topic == topic &&
                (settings_table[id].traits & SETTING_HIDDEN) == 0)
                print_help_of(out, &settings_table[id]);
    }
    fputs("\nSignals: SIGTERM and SIGINT drain and end the node (a second one ends it at once),\n"
          "SIGHUP reads the settings again. Exit status: 0 after a drain, 1 if the start failed,\n"
          "2 for bad usage. Reference: docs/settings.md\n",
          out);
}

/* Text for a cell of a table, where a bar would end the cell. */
static void print_cell(FILE *out, const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
}

static void print_reference_of(FILE *out, const struct setting *setting) {
    char range[SETTINGS_TEXT_MAX];
    settings_range_text(setting, range, sizeof(range));
    fprintf(out, "| `--%s` ", setting->name);
    print_cell(out, setting->value);
    fprintf(out, " | `%s` | %s | %s | %s | ", setting->environment, default_words(setting), range,
            (setting->traits & SETTING_RELOADABLE) != 0 ? "yes" : "no");
    print_cell(out, setting->help);
    fprintf(out, "%s |\n", (setting->traits & SETTING_LIST) != 0 ? " A list." : "");
}

void settings_print_reference(FILE *out) {
    fputs(
        "# Settings of a node\n"
        "\n"
        "<!-- Made by `ringpost --print-settings-reference` from main/settings/settings_table.c. "
        "-->\n"
        "\n"
        "This page is for ringpost " RINGPOST_VERSION ". `ringpost serve --help` prints the same; "
        "`ringpost check-config`\n"
        "takes the same settings and shows each value and where it comes from.\n"
        "\n"
        "- A setting is a flag, an environment variable, or a key of the file that `--config`\n"
        "  names. A flag wins over the environment, the environment over the file, the file over\n"
        "  the default. The strongest place that has a list gives the whole list.\n"
        "- In the file a line is `key = value`. The key is the flag without its dashes. The node\n"
        "  skips blank lines; `#` at the beginning of a line or after a blank begins a comment.\n"
        "  Values have no quotes.\n"
        "- A comma separates the values of a list everywhere; flags and keys of the file may also\n"
        "  be repeated.\n"
        "- Sizes are bytes and may end in `K`, `M`, `G` or `T` (powers of 1024). Times are\n"
        "  seconds, or end in `ms`, `s`, `m` or `h`. A time may have a fraction. An `on|off` flag\n"
        "  without a value means on.\n"
        "- An empty environment variable counts as not set.\n"
        "- \"Reload\" marks the settings that SIGHUP changes in a running node; for the others "
        "the\n"
        "  log says that they need a restart. If anything is wrong, a reload changes nothing.\n"
        "- Exit status of `serve` and `check-config`: 0 good, 1 a start that cannot work, 2 bad\n"
        "  usage (a flag or an environment variable is wrong).\n",
        out);
    for (unsigned topic = 0; topic < TOPICS; topic++) {
        fprintf(out, "\n## %s\n\n", settings_topic_titles[topic]);
        fputs("| flag | environment | default | allowed | reload | meaning |\n"
              "| --- | --- | --- | --- | --- | --- |\n",
              out);
        for (unsigned id = 0; id < SETTINGS; id++)
            if (settings_table[id].topic == topic)
                print_reference_of(out, &settings_table[id]);
    }
}
