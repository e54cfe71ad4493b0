/* settings_read.c - finds the values in their places: the command line, the environment, the file.
 */
#include "core/base/hash.h"
#include "main/flags.h"
#include "main/settings/settings_build.h"
#include "main/settings/settings_value.h"
#include "main/suggest.h"
#include "main/version.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_SHOWN_MAX 48
#define ENVIRONMENT_PREFIX "RINGPOST_"
#define ENVIRONMENT_PREFIX_LEN (sizeof(ENVIRONMENT_PREFIX) - 1)

/* Is it a setting of a later version? Then it was dealt with: what asks for something that this
 * version does not have ends the start, as a start that cannot work and not as bad usage. */
static bool later_take(struct settings_build *build, const char *place, struct span name,
                       const char *value) {
    const struct setting_later *later = settings_find_later(name);
    if (later == NULL)
        return false;
    if (later->nothing == NULL || value == NULL || strcmp(value, later->nothing) != 0)
        build_problem(build, PROBLEM_START,
                      "%s: ringpost " RINGPOST_VERSION " does not have this yet; leave it out",
                      place);
    return true;
}

/* Says what is wrong with a name that is no setting's. `place` is what stands before it. */
static void name_problem(struct settings_build *build, enum problem_kind kind, const char *place,
                         const char *dashes, struct span name) {
    char shown[NAME_SHOWN_MAX];
    value_show(name, shown, sizeof(shown));
    const char *near = suggest(name, settings_name);
    if (near != NULL)
        build_problem(build, kind, "%s%s%s: there is no such setting; did you mean %s%s?", place,
                      dashes, shown, dashes, near);
    else
        build_problem(build, kind, "%s%s%s: there is no such setting; see ringpost serve --help",
                      place, dashes, shown);
}

static void flag_keep(struct settings_build *build, enum setting_id id, const char *text) {
    struct flag_value *grown =
        reallocarray(build->flags, build->flag_count + 1, sizeof(*build->flags));
    if (grown == NULL) {
        build_problem(build, PROBLEM_START, "no memory for the flags");
        return;
    }
    build->flags = grown;
    build->flags[build->flag_count++] = (struct flag_value){id, text};
    if (id == SET_CONFIG && text[0] != '\0') {
        build->file = text;
        build->file_origin = (struct setting_origin){SOURCE_FLAG, 0};
    }
}

void read_flags(struct settings_build *build, int argc, char **argv) {
    struct flags flags = flags_over(argc, argv);
    enum flags_found found;
    struct span name;
    while ((found = flags_next(&flags, &name)) != FLAGS_END) {
        char shown[NAME_SHOWN_MAX];
        value_show(name, shown, sizeof(shown));
        if (found == FLAGS_WORD) {
            build_problem(build, PROBLEM_USAGE,
                          "\"%s\": settings are flags; see ringpost serve --help", shown);
            continue;
        }
        if (span_equal(name, SPAN("help")) || span_equal(name, SPAN("h"))) {
            build->settings->help = true;
            return;
        }
        enum setting_id id = settings_find(name);
        if (id == SETTINGS) {
            const char *unknown = flags_value_follows(&flags) ? flags_value(&flags) : NULL;
            char place[NAME_SHOWN_MAX + 2];
            snprintf(place, sizeof(place), "--%s", shown);
            if (!later_take(build, place, name, unknown))
                name_problem(build, PROBLEM_USAGE, "", "--", name);
            continue;
        }
        const struct setting *setting = &settings_table[id];
        const char *value = setting->kind == SETTING_SWITCH && !flags_value_follows(&flags)
                                ? "on"
                                : flags_value(&flags);
        if (value == NULL)
            build_problem(build, PROBLEM_USAGE, "--%s: needs a value, --%s %s", setting->name,
                          setting->name, setting->value);
        else
            flag_keep(build, id, value);
    }
}

void apply_flags(struct settings_build *build) {
    for (size_t n = 0; n < build->flag_count; n++)
        setting_apply(build, build->flags[n].id, (struct setting_origin){SOURCE_FLAG, 0},
                      span_text(build->flags[n].text));
}

/* Is it the variable of a setting of a later version? Then it was dealt with. */
static bool environment_later(struct settings_build *build, struct span name, const char *value) {
    char flag[NAME_SHOWN_MAX], place[NAME_SHOWN_MAX + ENVIRONMENT_PREFIX_LEN];
    struct span rest = span_skip(name, ENVIRONMENT_PREFIX_LEN);
    if (rest.len >= sizeof(flag))
        return false;
    for (size_t i = 0; i < rest.len; i++) {
        char byte = rest.at[i];
        flag[i] = byte == '_' ? '-' : byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
    }
    snprintf(place, sizeof(place), "%.*s", SPAN_ARG(name));
    return later_take(build, place, span_of(flag, rest.len), value);
}

static const char *environment_name(size_t n) {
    return n < SETTINGS ? settings_table[n].environment + ENVIRONMENT_PREFIX_LEN : NULL;
}

/* Other variables that begin like ours are no error, since orchestrators set some for a service of
 * that name; but one that looks misspelt is worth a remark. */
static void environment_unknown(struct settings_build *build, struct span name, const char *value) {
    char shown[NAME_SHOWN_MAX];
    value_show(name, shown, sizeof(shown));
    if (environment_later(build, name, value))
        return;
    const char *near = suggest(span_skip(name, ENVIRONMENT_PREFIX_LEN), environment_name);
    if (near != NULL)
        build_remark(build, "%s in the environment is no setting; did you mean %s%s?", shown,
                     ENVIRONMENT_PREFIX, near);
}

/* An empty variable counts as one that is not set. `apply` false: only the name of the file is
 * wanted. */
void read_environment(struct settings_build *build, char **environment, bool apply) {
    for (char **at = environment; at != NULL && *at != NULL; at++) {
        const char *equals = strchr(*at, '=');
        if (equals == NULL || equals[1] == '\0' ||
            strncmp(*at, ENVIRONMENT_PREFIX, ENVIRONMENT_PREFIX_LEN) != 0)
            continue;
        struct span name = span_of(*at, (size_t)(equals - *at));
        enum setting_id id = settings_find_environment(name);
        struct setting_origin origin = {SOURCE_ENV, 0};
        if (!apply) {
            if (id == SET_CONFIG) {
                build->file = equals + 1;
                build->file_origin = origin;
            }
        } else if (id == SETTINGS) {
            environment_unknown(build, name, equals + 1);
        } else {
            setting_apply(build, id, origin, span_text(equals + 1));
        }
    }
}

/* The line without its comment: a # at its beginning or after a blank. */
static struct span without_comment(struct span line) {
    for (size_t i = 0; i < line.len; i++)
        if (line.at[i] == '#' && (i == 0 || value_blank(line.at[i - 1])))
            return span_of(line.at, i);
    return line;
}

static void read_line(struct settings_build *build, unsigned number, struct span line) {
    line = value_trim(without_comment(line));
    if (line.len == 0)
        return;
    char place[SETTINGS_TEXT_MAX];
    snprintf(place, sizeof(place), "%.120s:%u: ", build->file, number);
    const char *equals = memchr(line.at, '=', line.len);
    if (equals == NULL) {
        build_problem(build, PROBLEM_FILE, "%sthere is no =; a line is KEY = VALUE, or # COMMENT",
                      place);
        return;
    }
    struct span key = value_trim(span_of(line.at, (size_t)(equals - line.at)));
    struct span value = value_trim(span_skip(line, (size_t)(equals - line.at) + 1));
    struct span bare = key;
    while (bare.len != 0 && bare.at[0] == '-')
        bare = span_skip(bare, 1);
    enum setting_id id = settings_find(key);
    if (id == SETTINGS && bare.len != key.len && settings_find(bare) != SETTINGS) {
        build_problem(build, PROBLEM_FILE, "%skeys are written without dashes: %.*s = ...", place,
                      SPAN_ARG(bare));
        return;
    }
    if (id == SETTINGS) {
        char text[NAME_SHOWN_MAX], shown[NAME_SHOWN_MAX], where[SETTINGS_TEXT_MAX + NAME_SHOWN_MAX];
        value_show(value, text, sizeof(text));
        value_show(key, shown, sizeof(shown));
        snprintf(where, sizeof(where), "%s%s", place, shown);
        if (!later_take(build, where, key, text))
            name_problem(build, PROBLEM_FILE, place, "", key);
        return;
    }
    const struct setting *setting = &settings_table[id];
    bool quoted = value.len != 0 && (value.at[0] == '"' || value.at[0] == '\'');
    if (id == SET_CONFIG)
        build_problem(build, PROBLEM_FILE, "%sconfig: a file cannot name another one", place);
    else if (value.len == 0)
        build_problem(build, PROBLEM_FILE, "%s%s: has no value; leave out the line for the default",
                      place, setting->name);
    else if (quoted)
        build_problem(build, PROBLEM_FILE, "%s%s: values are written without quotes", place,
                      setting->name);
    else if (build->file_lines[id] != 0 && (setting->traits & SETTING_LIST) == 0)
        build_problem(build, PROBLEM_FILE, "%s%s: stands on line %u already; remove one", place,
                      setting->name, build->file_lines[id]);
    else
        setting_apply(build, id, (struct setting_origin){SOURCE_FILE, number}, value);
    if (build->file_lines[id] == 0)
        build->file_lines[id] = number;
}

/* Opening a FIFO waits for a writer, and a reload would make the node wait with it. Devices pass,
 * for /dev/null. */
static FILE *file_open(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return NULL;
    struct stat about;
    int error = fstat(fd, &about) != 0                               ? errno
                : S_ISDIR(about.st_mode)                             ? EISDIR
                : !S_ISREG(about.st_mode) && !S_ISCHR(about.st_mode) ? ENOTSUP
                                                                     : 0;
    FILE *file = error == 0 ? fdopen(fd, "r") : NULL;
    if (file == NULL) {
        close(fd);
        errno = error != 0 ? error : ENOMEM;
    }
    return file;
}

/* The whole file that a setting names; NULL after noting why not, with `remedy`. The caller frees
 * it. */
static char *file_load(struct settings_build *build, enum setting_id id,
                       struct setting_origin origin, const char *path, const char *remedy,
                       size_t *len) {
    char place[SETTINGS_TEXT_MAX];
    setting_place(build, id, origin, place, sizeof(place));
    FILE *file = file_open(path);
    char *text = file == NULL ? NULL : malloc(SETTINGS_FILE_BYTES_MAX + 1);
    if (file == NULL || text == NULL) {
        build_problem(build, PROBLEM_START, "%s: cannot open %.120s: %s%s", place, path,
                      errno == ENOTSUP ? "it is no file" : strerror(errno), remedy);
        if (file != NULL)
            fclose(file);
        return NULL;
    }
    *len = fread(text, 1, SETTINGS_FILE_BYTES_MAX + 1, file);
    if (ferror(file)) {
        build_problem(build, PROBLEM_START, "%s: cannot read %.120s: %s%s", place, path,
                      strerror(errno), remedy);
    } else if (*len > SETTINGS_FILE_BYTES_MAX) {
        build_problem(build, PROBLEM_FILE, "%s: %.120s is larger than 1 MiB%s", place, path,
                      remedy);
    } else {
        fclose(file);
        return text;
    }
    fclose(file);
    free(text);
    return NULL;
}

/* Takes the next line off the front, without its end. */
static struct span line_take(struct span *rest) {
    const char *end = memchr(rest->at, '\n', rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->at);
    struct span line = span_of(rest->at, len);
    *rest = span_skip(*rest, len + (end == NULL ? 0 : 1));
    return line;
}

/* Some editors begin a file with this mark. */
static struct span without_mark(struct span text) {
    return span_starts(text, SPAN("\xef\xbb\xbf")) ? span_skip(text, 3) : text;
}

void read_file(struct settings_build *build) {
    size_t len;
    char *text = file_load(build, SET_CONFIG, build->file_origin, build->file, "", &len);
    if (text == NULL)
        return;
    struct span rest = without_mark(span_of(text, len));
    for (unsigned number = 1; rest.len != 0; number++)
        read_line(build, number, line_take(&rest));
    free(text);
}

void read_keys(struct settings_build *build) {
    const char *path = build->config.api_key_file;
    struct setting_origin origin = build->origins[SET_API_KEY_FILE];
    char place[SETTINGS_TEXT_MAX];
    size_t len;
    char *text = path == NULL ? NULL : file_load(build, SET_API_KEY_FILE, origin, path, "", &len);
    if (text == NULL)
        return;
    bool found = false;
    struct span rest = without_mark(span_of(text, len));
    for (unsigned number = 1; rest.len != 0; number++) {
        struct span key = value_trim(line_take(&rest));
        if (key.len == 0 || key.at[0] == '#')
            continue;
        snprintf(place, sizeof(place), "%.120s:%u", path, number);
        key_add(build, PROBLEM_FILE, place, key);
        found = true;
    }
    free(text);
    if (found)
        return;
    setting_place(build, SET_API_KEY_FILE, origin, place, sizeof(place));
    build_problem(build, PROBLEM_START, "%s: %.120s holds no key; write one a line", place, path);
}

/* Takes the URL of one setting, or several of a list, from the file that another one names. */
static void read_url(struct settings_build *build, enum setting_id id, enum setting_id file,
                     const char *path) {
    bool list = (settings_table[id].traits & SETTING_LIST) != 0;
    struct setting_origin origin = build->origins[file];
    char place[SETTINGS_TEXT_MAX];
    size_t len;
    char *text = path == NULL ? NULL : file_load(build, file, origin, path, "", &len);
    if (text == NULL)
        return;
    unsigned found = 0;
    struct span rest = without_mark(span_of(text, len));
    setting_place(build, file, origin, place, sizeof(place));
    if (build->origins[id].source != SOURCE_DEFAULT) {
        build_problem(build, PROBLEM_START, "%s: %s is given as well; leave one of them out", place,
                      settings_table[id].name);
        free(text);
        return;
    }
    while (rest.len != 0) {
        struct span url = value_trim(line_take(&rest));
        if (url.len == 0 || url.at[0] == '#')
            continue;
        if (found++ == 0 || list)
            setting_apply(build, id, origin, url);
    }
    free(text);
    if (found == 0 || (found > 1 && !list))
        build_problem(build, PROBLEM_START, "%s: %.120s holds %s; write one line with a URL", place,
                      path, found == 0 ? "no URL" : "several");
}

void read_redis(struct settings_build *build) {
    read_url(build, SET_REDIS, SET_REDIS_FILE, build->config.redis_file);
}

void read_alert(struct settings_build *build) {
    read_url(build, SET_ALERT_SMTP, SET_ALERT_SMTP_FILE, build->config.alert_smtp_file);
}

/* The library opens these itself, at each connect: what is wrong with them is to be said before,
 * and a FIFO would hold it up. */
static void pem_look(struct settings_build *build, enum setting_id id, const char *path) {
    struct setting_origin origin = build->origins[id];
    char place[SETTINGS_TEXT_MAX];
    size_t len;
    char *text = path == NULL ? NULL : file_load(build, id, origin, path, "", &len);
    if (text == NULL)
        return;
    setting_place(build, id, origin, place, sizeof(place));
    if (memmem(text, len, "-----BEGIN ", 11) == NULL)
        build_problem(build, PROBLEM_START, "%s: %.120s holds no PEM (-----BEGIN ...)", place,
                      path);
    explicit_bzero(text, len);
    free(text);
}

void read_amqp(struct settings_build *build) {
    read_url(build, SET_AMQP, SET_AMQP_FILE, build->config.amqp_file);
    pem_look(build, SET_AMQP_CA, build->config.amqp_ca);
    pem_look(build, SET_AMQP_CERT, build->config.amqp_cert);
    pem_look(build, SET_AMQP_KEY, build->config.amqp_key);
}

#define SECRET_BYTES_MIN 16

void read_peer_secret(struct settings_build *build) {
    const char *path = build->config.peer_secret_file;
    struct setting_origin origin = build->origins[SET_PEER_SECRET_FILE];
    char place[SETTINGS_TEXT_MAX];
    size_t len;
    char *text =
        path == NULL ? NULL : file_load(build, SET_PEER_SECRET_FILE, origin, path, "", &len);
    if (text == NULL)
        return;
    struct span secret = span_of(text, len);
    while (secret.len != 0 && memchr(" \t\r\n", secret.at[secret.len - 1], 4) != NULL)
        secret.len--;
    while (secret.len != 0 && memchr(" \t\r\n", secret.at[0], 4) != NULL)
        secret = span_skip(secret, 1);
    setting_place(build, SET_PEER_SECRET_FILE, origin, place, sizeof(place));
    if (secret.len < SECRET_BYTES_MIN)
        build_problem(
            build, PROBLEM_START,
            "%s: %.120s holds %zu bytes; write 16 or more, such as `openssl rand -hex 32`", place,
            path, secret.len);
    else
        proof_key(secret, build->config.peer_key);
    explicit_bzero(text, len);
    free(text);
}

#define SCRIPT_REMEDY                                                                              \
    "; name dist/socket.io.js of the npm package socket.io-client, or leave the setting out"

void read_script(struct settings_build *build) {
    struct config *config = &build->config;
    const char *path = config->socketio_client;
    struct setting_origin origin = build->origins[SET_SOCKETIO_CLIENT];
    char place[SETTINGS_TEXT_MAX], version[40];
    size_t len;
    char *text = path == NULL
                     ? NULL
                     : file_load(build, SET_SOCKETIO_CLIENT, origin, path, SCRIPT_REMEDY, &len);
    if (text == NULL)
        return;
    if (len == 0) {
        setting_place(build, SET_SOCKETIO_CLIENT, origin, place, sizeof(place));
        build_problem(build, PROBLEM_START, "%s: %.120s is empty" SCRIPT_REMEDY, place, path);
    } else {
        struct span script = span_of(text, len);
        struct hash128 hash = hash_content(script);
        snprintf(version, sizeof(version), "\"%016" PRIx64 "%016" PRIx64 "\"", hash.high, hash.low);
        const char *kept = build_string(build, script);
        config->socketio_script = kept == NULL ? SPAN("") : span_of(kept, len);
        config->socketio_version = build_string(build, span_text(version));
    }
    free(text);
}
