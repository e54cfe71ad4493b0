/* settings_find.c - which setting has a name, and what may be written; see settings_table.h. */
#include "ha/redis/redis_url.h"
#include "main/settings/settings_alert.h"
#include "main/settings/settings_amqp.h"
#include "main/settings/settings_table.h"

#include <stdio.h>

static const struct setting_later later[] = {{"supervise", "off"}, {"recovery", "off"}};

enum setting_id settings_find(struct span name) {
    for (unsigned id = 0; id < SETTINGS; id++)
        if (span_equal(name, span_text(settings_table[id].name)))
            return (enum setting_id)id;
    return SETTINGS;
}

enum setting_id settings_find_environment(struct span name) {
    for (unsigned id = 0; id < SETTINGS; id++)
        if (span_equal(name, span_text(settings_table[id].environment)))
            return (enum setting_id)id;
    return SETTINGS;
}

const struct setting_later *settings_find_later(struct span name) {
    for (size_t n = 0; n < sizeof(later) / sizeof(later[0]); n++)
        if (span_equal(name, span_text(later[n].name)))
            return &later[n];
    return NULL;
}

const char *settings_name(size_t n) {
    for (unsigned id = 0; id < SETTINGS; id++) {
        if ((settings_table[id].traits & SETTING_HIDDEN) != 0)
            continue;
        if (n-- == 0)
            return settings_table[id].name;
    }
    return NULL;
}

void settings_range_text(const struct setting *setting, char *text, size_t cap) {
    const char *off = (setting->traits & SETTING_OFF) != 0 ? "off, or " : "";
    switch (setting->kind) {
    case SETTING_SECONDS:
        snprintf(text, cap, "%.10g to %.10g seconds", setting->min, setting->max);
        break;
    case SETTING_BYTES:
        snprintf(text, cap, "%.17g to %.17g bytes", setting->min, setting->max);
        break;
    case SETTING_COUNT:
    case SETTING_RATE:
        snprintf(text, cap, "%s%.10g to %.10g", off, setting->min, setting->max);
        break;
    case SETTING_MEMORY:
        snprintf(text, cap, "1M to 16T, or 1%% to 100%%");
        break;
    case SETTING_SWITCH:
        snprintf(text, cap, "on or off");
        break;
    case SETTING_CHOICE: {
        size_t len = 0;
        for (const char *const *word = setting->choices; *word != NULL && len < cap; word++) {
            int more = snprintf(text + len, cap - len, "%s%s", word == setting->choices ? "" : ", ",
                                *word);
            len += more < 0 ? 0 : (size_t)more;
        }
        break;
    }
    case SETTING_LISTENERS:
        snprintf(text, cap, "%d addresses in all, or off", LISTENERS_MAX);
        break;
    case SETTING_NODE:
        snprintf(text, cap, "1 to 64 bytes of A-Z a-z 0-9 . _ -");
        break;
    case SETTING_CPUS:
        snprintf(text, cap, "%d CPUs", WORKERS_MAX);
        break;
    case SETTING_NETWORKS:
        snprintf(text, cap, "%d networks", PROXY_NETS_MAX);
        break;
    case SETTING_KEYS:
        snprintf(text, cap, "%d keys of 1 to 256 visible ASCII bytes, no comma", API_KEYS_MAX);
        break;
    case SETTING_ORIGINS:
        snprintf(text, cap, "%d origins", ORIGINS_MAX);
        break;
    case SETTING_HOSTS:
        snprintf(text, cap, "%d names", ORIGINS_MAX);
        break;
    case SETTING_NAMESPACES:
        snprintf(text, cap, "%d names of 1 to %d bytes, / included", NAMESPACES_MAX,
                 NAMESPACE_BYTES_MAX);
        break;
    case SETTING_REDIS:
        snprintf(text, cap,
                 "1 to %d of redis://[USER[:PASSWORD]@]HOST[:PORT][/DB], or one "
                 "redis+sentinel://[USER[:PASSWORD]@]HOST[:PORT],HOST[:PORT]/NAME[/DB] with 1 to "
                 "%d Sentinels, or one redis+cluster://[USER[:PASSWORD]@]HOST[:PORT],...",
                 REDIS_SERVERS_MAX, REDIS_URL_SENTINELS_MAX);
        break;
    case SETTING_AMQP:
        settings_amqp_range((enum setting_id)(setting - settings_table), text, cap);
        break;
    case SETTING_ALERT:
        settings_alert_range((enum setting_id)(setting - settings_table), text, cap);
        break;
    case SETTING_PEER:
        snprintf(text, cap, "ADDR:PORT of one machine");
        break;
    case SETTING_TEXT:
        snprintf(text, cap, "%s", "");
        break;
    }
}
