/* settings_apply.c - one value of one setting: from text to its member of struct config. */
#include "core/namespaces.h"
#include "ha/redis/redis_url.h"
#include "main/address.h"
#include "main/settings/settings_alert.h"
#include "main/settings/settings_amqp.h"
#include "main/settings/settings_build.h"
#include "main/settings/settings_value.h"
#include "main/version.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>

#define API_KEY_BYTES_MAX 256
#define ORIGIN_BYTES_MAX 255
#define VALUE_SHOWN_MAX 64

void value_show(struct span value, char *text, size_t cap) {
    size_t len = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (len + 4 >= cap) {
            memcpy(text + len - 3, "...", 3);
            break;
        }
        unsigned char byte = (unsigned char)value.at[i];
        text[len++] = byte < 0x20 || byte >= 0x7f ? '?' : (char)byte;
    }
    text[len] = '\0';
}

void setting_place(const struct settings_build *build, enum setting_id id,
                   struct setting_origin origin, char *text, size_t cap) {
    const struct setting *setting = &settings_table[id];
    switch (origin.source) {
    case SOURCE_DEFAULT:
        snprintf(text, cap, "default of %s", setting->name);
        break;
    case SOURCE_FILE:
        snprintf(text, cap, "%.120s:%u: %s", build->file, origin.line, setting->name);
        break;
    case SOURCE_ENV:
        snprintf(text, cap, "%s", setting->environment);
        break;
    case SOURCE_FLAG:
        snprintf(text, cap, "--%s", setting->name);
        break;
    }
}

/* What is being read, for the functions below. */
struct reading {
    struct settings_build *build;
    const struct setting *setting;
    enum setting_id id;
    struct setting_origin origin;
    struct span text;
};

static void *member(const struct reading *r) {
    return (char *)&r->build->config + r->setting->offset;
}

/* Notes that the value is wrong: place, value (never of keys), and the rest of the sentence. */
__attribute__((format(printf, 2, 3))) static void refuse(const struct reading *r,
                                                         const char *format, ...) {
    char place[SETTINGS_TEXT_MAX], shown[VALUE_SHOWN_MAX], rest[SETTINGS_TEXT_MAX];
    bool secret = r->setting->kind == SETTING_KEYS || r->setting->kind == SETTING_REDIS ||
                  r->id == SET_ALERT_URL || r->id == SET_ALERT_SMTP || r->id == SET_AMQP;
    const char *quote = secret ? "" : "\"";
    setting_place(r->build, r->id, r->origin, place, sizeof(place));
    value_show(!secret                            ? r->text
               : r->setting->kind == SETTING_KEYS ? SPAN("the key")
                                                  : SPAN("the URL"),
               shown, sizeof(shown));
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(rest, sizeof(rest), format, arguments);
    va_end(arguments);
    enum problem_kind kind = r->origin.source == SOURCE_FILE ? PROBLEM_FILE : PROBLEM_USAGE;
    build_problem(r->build, kind, "%s: %s%s%s %s", place, quote, shown, quote, rest);
}

/* Notes that the value is of the wrong form or out of range. */
static void refuse_range(const struct reading *r, const char *form) {
    char range[SETTINGS_TEXT_MAX];
    settings_range_text(r->setting, range, sizeof(range));
    refuse(r, "%s; allowed: %s", form, range);
}

static bool in_range(const struct reading *r, double value) {
    if (value >= r->setting->min && value <= r->setting->max)
        return true;
    refuse_range(r, "is out of range");
    return false;
}

static bool is_off(const struct reading *r) {
    return (r->setting->traits & SETTING_OFF) != 0 && span_equal(r->text, SPAN("off"));
}

static void apply_seconds(const struct reading *r) {
    uint64_t ns;
    if (!value_seconds(r->text, &ns))
        refuse_range(r, "is not a time such as 25, 0.5, 500ms, 30s, 10m or 1h");
    else if (in_range(r, (double)ns / 1e9))
        *(uint64_t *)member(r) = ns;
}

static void apply_u32(const struct reading *r) {
    uint64_t value = 0;
    bool bytes = r->setting->kind == SETTING_BYTES;
    if (is_off(r))
        *(uint32_t *)member(r) = 0;
    else if (!(bytes ? value_bytes(r->text, &value) : value_count(r->text, &value)))
        refuse_range(r, bytes ? "is not a size such as 65536, 64K or 8M" : "is not a whole number");
    else if (in_range(r, (double)value))
        *(uint32_t *)member(r) = (uint32_t)value;
}

static void apply_rate(const struct reading *r) {
    double value;
    if (is_off(r))
        *(double *)member(r) = 0;
    else if (!value_decimal(r->text, &value))
        refuse_range(r, "is not a number such as 100 or 0.5");
    else if (in_range(r, value))
        *(double *)member(r) = value;
}

static void apply_memory(const struct reading *r) {
    uint64_t bytes;
    unsigned percent;
    if (value_percent(r->text, &percent)) {
        uint64_t all = r->build->settings->machine.memory_bytes;
        bytes = all / 100 * percent;
        *(uint64_t *)member(r) =
            bytes > (uint64_t)r->setting->min ? bytes : (uint64_t)r->setting->min;
    } else if (!value_bytes(r->text, &bytes)) {
        refuse_range(r, "is not a size such as 2147483648, 512M, 2G or 50%");
    } else if (in_range(r, (double)bytes)) {
        *(uint64_t *)member(r) = bytes;
    }
}

static void apply_choice(const struct reading *r) {
    unsigned choice;
    if (!value_choice(r->text, r->setting->choices, &choice))
        refuse_range(r, "is none of the words");
    else
        memcpy(member(r), &choice, sizeof(choice));
}

static void apply_switch(const struct reading *r) {
    if (!value_switch(r->text, member(r)))
        refuse(r, "is neither on nor off");
}

static void apply_node(const struct reading *r) {
    bool good = r->text.len <= 64;
    for (size_t i = 0; i < r->text.len && good; i++) {
        char byte = r->text.at[i];
        good = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
               (byte >= '0' && byte <= '9') || byte == '.' || byte == '_' || byte == '-';
    }
    if (!good) {
        refuse_range(r, "is no node name");
        return;
    }
    memcpy(r->build->config.node, r->text.at, r->text.len);
    r->build->config.node[r->text.len] = '\0';
}

static void apply_listener(const struct reading *r) {
    enum listener_kind kind = r->id == SET_TCP   ? LISTENER_TCP
                              : r->id == SET_WEB ? LISTENER_WEB
                                                 : LISTENER_API;
    if (span_equal(r->text, SPAN("off"))) {
        r->build->listener_off[kind] = true;
        return;
    }
    char why[ADDRESS_WHY_MAX];
    struct config *config = &r->build->config;
    struct listen_address address = {.kind = kind};
    if (!address_parse(r->text, &address, why))
        refuse(r, "%s", why);
    else if (config->listener_count == LISTENERS_MAX)
        refuse(r, "is one listener too many; allowed: %d in all", LISTENERS_MAX);
    else if ((address.text = build_string(r->build, r->text)) != NULL)
        config->listeners[config->listener_count++] = address;
}

static void apply_network(const struct reading *r) {
    char why[ADDRESS_WHY_MAX];
    struct config *config = &r->build->config;
    bool forwarders = r->id == SET_FORWARDED;
    struct network *networks = forwarders ? config->forwarders : config->proxies;
    unsigned *count = forwarders ? &config->forwarder_count : &config->proxy_count;
    struct network network;
    if (span_equal(r->text, SPAN("off")))
        return;
    if (!network_parse(r->text, &network, why))
        refuse(r, "%s", why);
    else if (*count == PROXY_NETS_MAX)
        refuse(r, "is one network too many; allowed: %d", PROXY_NETS_MAX);
    else
        networks[(*count)++] = network;
}

static void apply_cpus(const struct reading *r) {
    unsigned first, last;
    struct settings_build *build = r->build;
    if (!value_cpu_range(r->text, &first, &last)) {
        refuse(r, "is not a list of CPUs such as 0-3,6");
        return;
    }
    for (unsigned cpu = first; cpu <= last; cpu++) {
        if (!machine_has_cpu(&build->settings->machine, cpu)) {
            refuse(r, "names CPU %u, which this process may not use (see nproc and taskset -p $$)",
                   cpu);
            return;
        }
        if (build->cpu_count == WORKERS_MAX) {
            refuse(r, "is more than %d CPUs", WORKERS_MAX);
            return;
        }
        build->config.cpus[build->cpu_count++] = (int)cpu;
    }
}

static bool listed(const char *const *list, unsigned count, struct span text) {
    for (unsigned n = 0; n < count; n++)
        if (span_equal(span_text(list[n]), text))
            return true;
    return false;
}

void key_add(struct settings_build *build, enum problem_kind kind, const char *place,
             struct span key) {
    struct config *config = &build->config;
    const char *kept;
    for (size_t i = 0; i < key.len; i++) {
        if (key.at[i] < 0x21 || key.at[i] > 0x7e || key.at[i] == ',') {
            build_problem(build, kind,
                          "%s: the key holds a blank, a comma or another byte that is not visible "
                          "ASCII",
                          place);
            return;
        }
    }
    if (key.len > API_KEY_BYTES_MAX)
        build_problem(build, kind, "%s: the key is longer than %d bytes", place, API_KEY_BYTES_MAX);
    else if (listed(config->api_keys, config->api_key_count, key))
        return;
    else if (config->api_key_count == API_KEYS_MAX)
        build_problem(build, kind, "%s: the key is one too many; allowed: %d", place, API_KEYS_MAX);
    else if ((kept = build_string(build, key)) != NULL)
        config->api_keys[config->api_key_count++] = kept;
}

static void apply_key(const struct reading *r) {
    char place[SETTINGS_TEXT_MAX];
    setting_place(r->build, r->id, r->origin, place, sizeof(place));
    key_add(r->build, r->origin.source == SOURCE_FILE ? PROBLEM_FILE : PROBLEM_USAGE, place,
            r->text);
}

/* scheme://host or scheme://host:port, nothing behind it. */
static bool origin_well_formed(struct span text) {
    size_t scheme = 0;
    while (scheme < text.len && ((text.at[scheme] >= 'a' && text.at[scheme] <= 'z') ||
                                 (text.at[scheme] >= '0' && text.at[scheme] <= '9') ||
                                 text.at[scheme] == '-' || text.at[scheme] == '+'))
        scheme++;
    struct span rest = span_skip(text, scheme);
    if (scheme == 0 || !span_starts(rest, SPAN("://")) || rest.len == 3)
        return false;
    rest = span_skip(rest, 3);
    for (size_t i = 0; i < rest.len; i++) {
        unsigned char byte = (unsigned char)rest.at[i];
        if (byte <= 0x20 || byte >= 0x7f || strchr("/?#@\\\"<>*", byte) != NULL)
            return false;
    }
    return true;
}

/* Copies the text in lower case; false: it is too long, which was noted. */
static bool lower_case(const struct reading *r, char lower[ORIGIN_BYTES_MAX], struct span *text) {
    if (r->text.len > ORIGIN_BYTES_MAX) {
        refuse(r, "is longer than %d bytes", ORIGIN_BYTES_MAX);
        return false;
    }
    for (size_t i = 0; i < r->text.len; i++) {
        char byte = r->text.at[i];
        lower[i] = byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
    }
    *text = span_of(lower, r->text.len);
    return true;
}

static void apply_origin(const struct reading *r) {
    struct config *config = &r->build->config;
    char lower[ORIGIN_BYTES_MAX];
    struct span origin;
    const char *kept;
    if (!lower_case(r, lower, &origin))
        return;
    if (!span_equal(origin, SPAN("*")) && !origin_well_formed(origin))
        refuse(r, "is no origin; write scheme://host or scheme://host:port without a path, such as "
                  "https://shop.example, or * for every page");
    else if (listed(config->origins, config->origin_count, origin))
        return;
    else if (config->origin_count == ORIGINS_MAX)
        refuse(r, "is one origin too many; allowed: %d", ORIGINS_MAX);
    else if ((kept = build_string(r->build, origin)) != NULL)
        config->origins[config->origin_count++] = kept;
}

/* What a Host can name: letters, digits, points, dashes; no scheme, no port, no path. */
static bool host_well_formed(struct span text) {
    for (size_t i = 0; i < text.len; i++) {
        char byte = text.at[i];
        if (!(byte >= 'a' && byte <= 'z') && !(byte >= '0' && byte <= '9') && byte != '.' &&
            byte != '-' && byte != '_')
            return false;
    }
    return text.len != 0 && text.at[0] != '.' && text.at[0] != '-';
}

static void apply_host(const struct reading *r) {
    struct config *config = &r->build->config;
    char lower[ORIGIN_BYTES_MAX];
    struct span host;
    const char *kept;
    if (!lower_case(r, lower, &host))
        return;
    if (!host_well_formed(host))
        refuse(r, "is no host name; write it without scheme and port, such as shop.example");
    else if (listed(config->web_hosts, config->web_host_count, host))
        return;
    else if (config->web_host_count == ORIGINS_MAX)
        refuse(r, "is one name too many; allowed: %d", ORIGINS_MAX);
    else if ((kept = build_string(r->build, host)) != NULL)
        config->web_hosts[config->web_host_count++] = kept;
}

/* `/` is always there, and comes first. */
static void apply_namespace(const struct reading *r) {
    struct config *config = &r->build->config;
    const char *kept;
    if (config->namespace_count == 0)
        config->namespaces[config->namespace_count++] = "/";
    if (!namespace_well_formed(r->text))
        refuse(r,
               "is no namespace; it begins with /, has at most %d bytes, and of these only what "
               "may stand in the path of a URL",
               NAMESPACE_BYTES_MAX);
    else if (listed(config->namespaces, config->namespace_count, r->text))
        return;
    else if (config->namespace_count == NAMESPACES_MAX)
        refuse(r, "is one namespace too many; allowed: %d, of which / is one", NAMESPACES_MAX);
    else if ((kept = build_string(r->build, r->text)) != NULL)
        config->namespaces[config->namespace_count++] = kept;
}

static void apply_text(const struct reading *r) {
    const char *text = build_string(r->build, r->text);
    if (r->id != SET_CONFIG && text != NULL)
        memcpy(member(r), &text, sizeof(text));
}

/* The value is a good one, so that this is no matter of usage. */
static void refuse_tls(const struct reading *r) {
    char place[SETTINGS_TEXT_MAX];
    setting_place(r->build, r->id, r->origin, place, sizeof(place));
    build_problem(r->build, PROBLEM_START,
                  "%s: the URL asks for TLS, which ringpost " RINGPOST_VERSION
                  " does not have yet; put stunnel or the like between, and say redis://",
                  place);
}

/* A URL like those before it: a plain server that is none of them. */
static bool redis_fits(const struct reading *r, const struct redis_url *url) {
    const struct config *config = &r->build->config;
    struct redis_url other;
    for (unsigned i = 0; i < config->redis_count; i++) {
        redis_url_parse(span_text(config->redis[i]), &other);
        if (other.kind != REDIS_URL_PLAIN || url->kind != REDIS_URL_PLAIN)
            refuse(r, "is one of several; only redis:// may be repeated");
        else if (redis_url_same_server(url, &other))
            refuse(r, "names a server that another one names already");
        else
            continue;
        return false;
    }
    if (config->redis_count == REDIS_SERVERS_MAX)
        refuse(r, "is one server too many; allowed: %d", REDIS_SERVERS_MAX);
    return config->redis_count < REDIS_SERVERS_MAX;
}

static void apply_redis(const struct reading *r) {
    struct config *config = &r->build->config;
    struct redis_url url;
    const char *kept, *wrong = redis_url_parse(r->text, &url);
    if (wrong != NULL)
        refuse_range(r, wrong);
    else if (url.kind == REDIS_URL_TLS)
        refuse_tls(r);
    else if (redis_fits(r, &url) && (kept = build_string(r->build, r->text)) != NULL)
        config->redis[config->redis_count++] = kept;
}

/* The comma behind an entry of a list. A comma in a URL of Redis is its own, unless another such
 * URL follows. NULL: there is none. */
static const char *entry_end(const struct setting *setting, struct span text) {
    const char *comma = memchr(text.at, ',', text.len);
    if (setting->kind != SETTING_REDIS)
        return comma;
    const char *end = text.at + text.len;
    for (; comma != NULL; comma = memchr(comma + 1, ',', (size_t)(end - comma - 1)))
        if (redis_url_begins(value_trim(span_of(comma + 1, (size_t)(end - comma - 1)))))
            return comma;
    return NULL;
}

static void apply_alert(const struct reading *r) {
    struct config *config = &r->build->config;
    const char *wrong = settings_alert_wrong(r->id, r->text);
    if (wrong != NULL) {
        refuse(r, "%s", wrong);
    } else if (r->id != SET_ALERT_MAIL) {
        *settings_alert_member(config, r->id) = build_string(r->build, r->text);
    } else if (!listed(config->alert_mail, config->alert_mail_count, r->text)) {
        const char *kept;
        if (config->alert_mail_count == ALERT_MAILS_MAX)
            refuse(r, "is one address too many; allowed: %d", ALERT_MAILS_MAX);
        else if ((kept = build_string(r->build, r->text)) != NULL)
            config->alert_mail[config->alert_mail_count++] = kept;
    }
}

static void apply_amqp(const struct reading *r) {
    unsigned *count, most;
    const char **list = settings_amqp_list(&r->build->config, r->id, &count, &most), *kept;
    const char *wrong = settings_amqp_wrong(r->id, r->text);
    if (wrong != NULL)
        refuse(r, "%s", wrong);
    else if (listed(list, *count, r->text))
        return;
    else if (*count == most)
        refuse(r, "is one too many; allowed: %u", most);
    else if ((kept = build_string(r->build, r->text)) != NULL)
        list[(*count)++] = kept;
}

static void apply_peer(const struct reading *r) {
    char why[ADDRESS_WHY_MAX];
    struct listen_address address = {.kind = LISTENER_WEB};
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address.address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address.address;
    if (!address_parse(r->text, &address, why)) {
        refuse(r, "%s", why);
        return;
    }
    bool all = address.address.ss_family == AF_INET ? v4->sin_addr.s_addr == 0
                                                    : IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr);
    if (all)
        refuse(r, "stands for all addresses; write the one by which other nodes reach this one");
    else if ((address.text = build_string(r->build, r->text)) != NULL)
        r->build->config.peer = address;
}

static void apply_one(const struct reading *r) {
    static void (*const kinds[])(const struct reading *) = {
        [SETTING_TEXT] = apply_text,          [SETTING_SWITCH] = apply_switch,
        [SETTING_CHOICE] = apply_choice,      [SETTING_SECONDS] = apply_seconds,
        [SETTING_BYTES] = apply_u32,          [SETTING_COUNT] = apply_u32,
        [SETTING_RATE] = apply_rate,          [SETTING_MEMORY] = apply_memory,
        [SETTING_LISTENERS] = apply_listener, [SETTING_NODE] = apply_node,
        [SETTING_CPUS] = apply_cpus,          [SETTING_NETWORKS] = apply_network,
        [SETTING_KEYS] = apply_key,           [SETTING_ORIGINS] = apply_origin,
        [SETTING_HOSTS] = apply_host,         [SETTING_NAMESPACES] = apply_namespace,
        [SETTING_REDIS] = apply_redis,        [SETTING_ALERT] = apply_alert,
        [SETTING_PEER] = apply_peer,          [SETTING_AMQP] = apply_amqp,
    };
    kinds[r->setting->kind](r);
}

/* Empties a list before a stronger place fills it. */
static void list_reset(struct settings_build *build, enum setting_id id) {
    struct config *config = &build->config;
    switch (id) {
    case SET_TCP:
    case SET_WEB:
    case SET_API: {
        enum listener_kind kind = id == SET_TCP   ? LISTENER_TCP
                                  : id == SET_WEB ? LISTENER_WEB
                                                  : LISTENER_API;
        unsigned kept = 0;
        for (unsigned n = 0; n < config->listener_count; n++)
            if (config->listeners[n].kind != kind)
                config->listeners[kept++] = config->listeners[n];
        config->listener_count = kept;
        build->listener_off[kind] = false;
        break;
    }
    case SET_PROXY_PROTOCOL:
        config->proxy_count = 0;
        break;
    case SET_FORWARDED:
        config->forwarder_count = 0;
        break;
    case SET_CORS:
        config->origin_count = 0;
        break;
    case SET_WEB_HOST:
        config->web_host_count = 0;
        break;
    case SET_NAMESPACES:
        config->namespace_count = 0;
        break;
    case SET_CPUS:
        build->cpu_count = 0;
        break;
    case SET_ALERT_MAIL:
        config->alert_mail_count = 0;
        break;
    case SET_REDIS:
        config->redis_count = 0;
        break;
    case SET_AMQP:
        config->amqp_count = 0;
        break;
    case SET_AMQP_QUEUE:
        config->amqp_queue_count = 0;
        break;
    case SET_AMQP_REPLIES:
        config->amqp_reply_count = 0;
        break;
    case SET_API_KEY:
        config->api_key_count = 0;
        break;
    default:
        break;
    }
}

void setting_apply(struct settings_build *build, enum setting_id id, struct setting_origin origin,
                   struct span text) {
    struct reading r = {build, &settings_table[id], id, origin, text};
    if (memchr(text.at, '\0', text.len) != NULL || text.len == 0) {
        refuse(&r, text.len == 0 ? "is empty" : "holds a NUL byte");
        return;
    }
    bool list = (r.setting->traits & SETTING_LIST) != 0;
    if (list && build->origins[id].source != origin.source)
        list_reset(build, id);
    build->origins[id] = origin;
    if (!list) {
        apply_one(&r);
        return;
    }
    for (bool more = true; more;) {
        const char *comma = entry_end(r.setting, text);
        more = comma != NULL;
        r.text = value_trim(more ? span_of(text.at, (size_t)(comma - text.at)) : text);
        if (r.text.len == 0)
            refuse(&r, "is an empty entry of the list; a comma stands only between two");
        else
            apply_one(&r);
        if (more)
            text = span_skip(text, (size_t)(comma - text.at) + 1);
    }
}
