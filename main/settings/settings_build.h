/* settings_build.h - the unfinished state while settings are read; shared by the settings_*.c files
 * only.
 *
 * Values are applied from the weakest place to the strongest, so what stands there at the end is
 * what holds, and every value was checked on the way. Threads: the caller's. Owns: the list of flag
 * values. */
#ifndef RINGPOST_MAIN_SETTINGS_SETTINGS_BUILD_H
#define RINGPOST_MAIN_SETTINGS_SETTINGS_BUILD_H

#include "main/settings/settings.h"
#include "main/settings/settings_table.h"

/* One flag of the command line, until its turn comes. */
struct flag_value {
    enum setting_id id;
    const char *text;
};

struct settings_build {
    struct settings *settings; /* takes problems, remarks and strings */
    struct config config;
    struct setting_origin origins[SETTINGS];
    const char *file;                  /* from flag or environment; NULL: none */
    struct setting_origin file_origin; /* of `file` */
    unsigned file_lines[SETTINGS];     /* where the file gave it first; 0: not */
    struct flag_value *flags;
    size_t flag_count;
    bool listener_off[LISTENER_KINDS];
    unsigned cpu_count; /* of config.cpus, as the user listed them; 0: not given */
};

/* settings.c: notes a problem or remark, as printf would write it. */
void build_problem(struct settings_build *build, enum problem_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void build_remark(struct settings_build *build, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A copy of the text that lives as long as the settings; NULL after noting a problem (no memory).
 */
const char *build_string(struct settings_build *build, struct span text);

/* settings_apply.c: checks one value and puts it into build->config, instead of what a weaker place
 * gave; lists of the same place are joined. Notes what is wrong with it. */
void setting_apply(struct settings_build *build, enum setting_id id, struct setting_origin origin,
                   struct span text);
/* Adds an API key that stands at `place`; it is never shown. */
void key_add(struct settings_build *build, enum problem_kind kind, const char *place,
             struct span key);
/* "--tcp", "RINGPOST_TCP" or "FILE:12: tcp": the place with which a problem begins. */
void setting_place(const struct settings_build *build, enum setting_id id,
                   struct setting_origin origin, char *text, size_t cap);
/* The text as it may be shown on a terminal: cut, and without control bytes. */
void value_show(struct span value, char *text, size_t cap);

/* settings_read.c: finds the values in their places. `read_flags` and `read_environment` name the
 * file on the way; `apply_flags` comes last. */
void read_flags(struct settings_build *build, int argc, char **argv);
void read_environment(struct settings_build *build, char **environment, bool apply);
void read_file(struct settings_build *build);
void apply_flags(struct settings_build *build);
/* Takes the URL of --redis-file, if there is one. */
void read_redis(struct settings_build *build);
/* The same of --alert-smtp-file. */
void read_alert(struct settings_build *build);
/* The same of --amqp-file; and looks at the files of --amqp-ca, --amqp-cert and --amqp-key. */
void read_amqp(struct settings_build *build);
/* The same for the key of --peer-secret-file. */
void read_peer_secret(struct settings_build *build);
/* Adds the keys of --api-key-file to those that were given otherwise. */
void read_keys(struct settings_build *build);
/* Reads the script of --socketio-client. */
void read_script(struct settings_build *build);

/* settings_finish.c: what depends on several settings or on the machine. */
void build_finish(struct settings_build *build);

/* settings_show.c: the value of one setting of any config. */
void config_format(const struct config *config, const char *file, enum setting_id id, char *text,
                   size_t cap);

/* Room for any value as text. */
#define SETTING_VALUE_MAX 24576

#endif
