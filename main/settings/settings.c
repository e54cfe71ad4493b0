/* settings.c - see settings.h: loading and reloading as a whole, problems, strings. */
#include "main/settings/settings.h"

#include "core/base/rand.h"
#include "main/settings/settings_build.h"
#include "main/terminal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

/* One text that configs point to. Readings are numbered: 0 is the start, each reload one more. */
struct settings_string {
    struct settings_string *next;
    uint64_t first_reading; /* that had it; */
    uint64_t last_reading;  /* a config of a later one does not point to it */
    size_t len;
    char text[];
};

void build_problem(struct settings_build *build, enum problem_kind kind, const char *format, ...) {
    struct settings *settings = build->settings;
    if (settings->problem_count == SETTINGS_PROBLEMS_MAX) {
        settings->problems_left_out++;
        return;
    }
    struct settings_problem *problem = &settings->problems[settings->problem_count++];
    problem->kind = kind;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem->text, sizeof(problem->text), format, arguments);
    va_end(arguments);
}

void build_remark(struct settings_build *build, const char *format, ...) {
    struct settings *settings = build->settings;
    if (settings->remark_count == SETTINGS_REMARKS_MAX)
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(settings->remarks[settings->remark_count++], SETTINGS_TEXT_MAX, format, arguments);
    va_end(arguments);
}

const char *build_string(struct settings_build *build, struct span text) {
    struct settings *settings = build->settings;
    for (struct settings_string *at = settings->strings; at != NULL; at = at->next)
        if (span_equal(span_of(at->text, at->len), text)) {
            at->last_reading = settings->reading;
            return at->text;
        }
    struct settings_string *string = malloc(sizeof(*string) + text.len + 1);
    if (string == NULL) {
        build_problem(build, PROBLEM_START, "no memory for the settings");
        return NULL;
    }
    memcpy(string->text, text.at, text.len);
    string->text[text.len] = '\0';
    string->len = text.len;
    string->first_reading = string->last_reading = settings->reading;
    string->next = settings->strings;
    settings->strings = string;
    return string->text;
}

/* Those of the start stay: what a reload does not change is theirs. */
static bool string_is_dead(const struct settings *settings, const struct settings_string *string) {
    if (string->first_reading > settings->latest_reading)
        return true;
    return string->first_reading != 0 && string->last_reading < settings->latest_reading;
}

void settings_forget(struct settings *settings) {
    struct settings_string **link = &settings->strings;
    while (*link != NULL) {
        struct settings_string *string = *link;
        if (string_is_dead(settings, string)) {
            *link = string->next;
            free(string);
        } else {
            link = &string->next;
        }
    }
}

static void apply_defaults(struct settings_build *build) {
    for (unsigned id = 0; id < SETTINGS; id++)
        if (settings_table[id].fallback != NULL)
            setting_apply(build, (enum setting_id)id, (struct setting_origin){SOURCE_DEFAULT, 0},
                          span_text(settings_table[id].fallback));
}

/* Reads everything into `build`; false if there are problems. The caller frees build->flags. */
static bool build_all(struct settings_build *build, struct settings *settings) {
    *build = (struct settings_build){.settings = settings};
    settings->problem_count = settings->problems_left_out = settings->remark_count = 0;
    read_environment(build, settings->environment, false);
    read_flags(build, settings->argc, settings->argv);
    if (settings->help)
        return true;
    apply_defaults(build);
    if (build->file != NULL)
        read_file(build);
    read_environment(build, settings->environment, true);
    apply_flags(build);
    build_finish(build);
    return settings->problem_count == 0;
}

bool settings_load(struct settings *settings, int argc, char **argv, char **environment,
                   const struct machine *machine) {
    memset(settings, 0, sizeof(*settings));
    settings->argc = argc;
    settings->argv = argv;
    settings->environment = environment;
    if (machine != NULL)
        settings->machine = *machine;
    else
        machine_probe(&settings->machine);
    uint64_t random = rand_u64();
    snprintf(settings->random_node, sizeof(settings->random_node), "node-%06" PRIx64,
             random & 0xffffff);
    settings->random_cpu = (unsigned)(random >> 32);

    struct settings_build build;
    bool good = build_all(&build, settings);
    settings->config = build.config;
    settings->latest = build.config;
    settings->file = build.file;
    memcpy(settings->origins, build.origins, sizeof(build.origins));
    free(build.flags);
    return good;
}

void settings_fini(struct settings *settings) {
    struct settings_string *next;
    for (struct settings_string *at = settings->strings; at != NULL; at = next) {
        next = at->next;
        free(at);
    }
    settings->strings = NULL;
}

int settings_exit_status(const struct settings *settings) {
    int status = settings->problem_count == 0 ? 0 : 1;
    for (unsigned n = 0; n < settings->problem_count; n++)
        if (settings->problems[n].kind == PROBLEM_USAGE)
            status = 2;
    return status;
}

void settings_print_problems(const struct settings *settings, FILE *out) {
    for (unsigned n = 0; n < settings->problem_count; n++) {
        terminal_format(out, "ringpost: %s", settings->problems[n].text);
        fputc('\n', out);
    }
    if (settings->problems_left_out != 0)
        fprintf(out, "ringpost: and %u more\n", settings->problems_left_out);
}

static bool same_keys(const struct config *a, const struct config *b) {
    if (a->api_key_count != b->api_key_count)
        return false;
    for (unsigned n = 0; n < a->api_key_count; n++)
        if (strcmp(a->api_keys[n], b->api_keys[n]) != 0)
            return false;
    return true;
}

/* Whether the setting has the same value in both; texts are compared, since they hold all there is.
 */
static bool same_value(const struct config *old, const char *old_file, const struct config *new,
                       const char *new_file, enum setting_id id) {
    static char before[SETTING_VALUE_MAX], after[SETTING_VALUE_MAX]; /* the stack may be small */
    if (id == SET_API_KEY)
        return same_keys(old, new);
    if (id == SET_SOCKETIO_CLIENT && !span_equal(old->socketio_script, new->socketio_script))
        return false;
    if (id == SET_PEER_SECRET_FILE &&
        memcmp(old->peer_key, new->peer_key, sizeof(old->peer_key)) != 0)
        return false;
    config_format(old, old_file, id, before, sizeof(before));
    config_format(new, new_file, id, after, sizeof(after));
    return strcmp(before, after) == 0;
}

/* Takes what a running node may change from `from`. */
static void take_reloadable(struct config *config, const struct config *from) {
    memcpy(config->api_keys, from->api_keys, sizeof(config->api_keys));
    config->api_key_count = from->api_key_count;
    config->api_key_file = from->api_key_file;
    memcpy(config->origins, from->origins, sizeof(config->origins));
    config->origin_count = from->origin_count;
    memcpy(config->web_hosts, from->web_hosts, sizeof(config->web_hosts));
    config->web_host_count = from->web_host_count;
    config->socketio_client = from->socketio_client;
    config->socketio_script = from->socketio_script;
    config->socketio_version = from->socketio_version;
    config->drain_timeout_ns = from->drain_timeout_ns;
    config->log_level = from->log_level;
}

bool settings_reload(struct settings *current, struct config *next, settings_report *report,
                     void *user) {
    static char value[SETTING_VALUE_MAX];
    struct settings_build build;
    current->reading++;
    bool good = build_all(&build, current);
    free(build.flags);
    if (!good) {
        for (unsigned n = 0; n < current->problem_count; n++)
            report(user, RELOAD_PROBLEM, NULL, current->problems[n].text);
        return false;
    }
    /* A file that was emptied by mistake must not open the API to everybody. */
    if (current->latest.api_key_count != 0 && build.config.api_key_count == 0) {
        report(user, RELOAD_PROBLEM, NULL,
               "api-key: no key is left, and a node that has one keeps at least one; restart it to "
               "go without");
        return false;
    }
    struct config result = current->latest;
    take_reloadable(&result, &build.config);
    for (unsigned n = 0; n < SETTINGS; n++) {
        enum setting_id id = (enum setting_id)n;
        /* What follows from other settings, such as the default of max-connections, goes with
         * them; keys also come from their file. */
        if (id != SET_API_KEY && build.origins[id].source == SOURCE_DEFAULT &&
            current->origins[id].source == SOURCE_DEFAULT)
            continue;
        if (same_value(&current->latest, current->file, &build.config, build.file, id))
            continue;
        config_format(&build.config, build.file, id, value, sizeof(value));
        bool now = (settings_table[id].traits & SETTING_RELOADABLE) != 0;
        report(user, now ? RELOAD_APPLIED : RELOAD_NEEDS_RESTART, settings_table[id].name, value);
        if (now)
            current->origins[id] = build.origins[id];
    }
    current->latest = result;
    current->latest_reading = current->reading;
    *next = result;
    return true;
}
