/* settings_table.h - the one table of settings, and how a setting is described.
 *
 * Threads: any (constants). See settings.h for what is made of it, and docs/settings.md for what it
 * says. To add a setting: an enum constant in settings.h, a row in settings_table.c, a member of
 * struct config; then write docs/settings.md anew with `ringpost --print-settings-reference`. */
#ifndef RINGPOST_MAIN_SETTINGS_SETTINGS_TABLE_H
#define RINGPOST_MAIN_SETTINGS_SETTINGS_TABLE_H

#include "main/settings/settings.h"

enum setting_kind {
    SETTING_TEXT,      /* const char * */
    SETTING_SWITCH,    /* bool */
    SETTING_CHOICE,    /* an enum, by the order of `choices` */
    SETTING_SECONDS,   /* uint64_t nanoseconds */
    SETTING_BYTES,     /* uint32_t */
    SETTING_COUNT,     /* uint32_t */
    SETTING_RATE,      /* double; 0 is off */
    SETTING_MEMORY,    /* uint64_t bytes; also percent of the machine's */
    SETTING_LISTENERS, /* the following fill members of their own */
    SETTING_NODE,
    SETTING_CPUS,
    SETTING_NETWORKS,
    SETTING_KEYS,
    SETTING_ORIGINS,
    SETTING_HOSTS,
    SETTING_NAMESPACES,
    SETTING_REDIS, /* a URL that may hold a password */
    SETTING_ALERT, /* a URL that may hold a secret, or addresses of mail */
    SETTING_PEER,
    SETTING_AMQP, /* URLs that may hold passwords, queues, where replies may go */
};

enum setting_topic {
    TOPIC_LISTENERS,
    TOPIC_NODE,
    TOPIC_CLIENTS,
    TOPIC_WAITING,
    TOPIC_CLUSTER,
    TOPIC_AMQP,
    TOPIC_ALERTS,
    TOPIC_LIMITS,
    TOPIC_LOG,
    TOPIC_TESTS,
    TOPICS
};

enum setting_trait {
    SETTING_LIST = 1,       /* may be repeated, and split at commas */
    SETTING_RELOADABLE = 2, /* a running node takes a new value */
    SETTING_HIDDEN = 4,     /* not in --help */
    SETTING_OFF = 8,        /* "off" may be written for 0 */
};

struct setting {
    const char *name;           /* flag without dashes, and key of the file */
    const char *environment;    /* RINGPOST_... */
    const char *value;          /* what stands for the value in the help */
    const char *fallback;       /* the default as text; NULL: none, or found at start */
    const char *fallback_words; /* what the help says of the default; NULL: the text itself */
    const char *help;           /* whole sentences */
    enum setting_kind kind;
    enum setting_topic topic;
    unsigned traits;
    double min, max;            /* of numbers, in the unit that is written */
    const char *const *choices; /* ended by NULL */
    size_t offset;              /* of the member of struct config, where the kind has just one */
};

extern const struct setting settings_table[SETTINGS];
extern const char *const settings_topic_titles[TOPICS];

/* The setting of that name; SETTINGS if there is none. */
enum setting_id settings_find(struct span name);
/* The setting of that environment variable; SETTINGS if there is none. */
enum setting_id settings_find_environment(struct span name);
/* A setting that is known, but whose feature this version does not have. */
struct setting_later {
    const char *name;
    const char *nothing; /* the value that asks for nothing, so that it may be given; NULL: none */
};
/* The one of that name; NULL: there is none. */
const struct setting_later *settings_find_later(struct span name);
/* "0.01 to 86400 seconds", "1 to 64"; for kinds without a range what may be written; "" if
 * anything. */
void settings_range_text(const struct setting *setting, char *text, size_t cap);
/* The n-th name that the help shows; NULL after the last. For suggestions. */
const char *settings_name(size_t n);

#endif
