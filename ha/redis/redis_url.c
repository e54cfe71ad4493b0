/* redis_url.c - see redis_url.h. */
#include "ha/redis/redis_url.h"

#include "proto/text/percent.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static const struct span schemes[] = {
    [REDIS_URL_PLAIN] = SPAN_INIT("redis://"),
    [REDIS_URL_TLS] = SPAN_INIT("rediss://"),
    [REDIS_URL_SENTINEL] = SPAN_INIT("redis+sentinel://"),
    [REDIS_URL_CLUSTER] = SPAN_INIT("redis+cluster://"),
};

/* Cuts off what stands before the first `byte`, which is dropped. False: there is none. */
static bool cut(struct span *rest, char byte, struct span *front) {
    const char *found = rest->len == 0 ? NULL : memchr(rest->at, byte, rest->len);
    if (found == NULL)
        return false;
    *front = span_of(rest->at, (size_t)(found - rest->at));
    *rest = span_skip(*rest, front->len + 1);
    return true;
}

/* Decimal without sign, at most `max`. */
static bool number_parse(struct span text, uint32_t max, uint32_t *out) {
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.at[i] - '0');
        if (value > max)
            return false;
    }
    *out = (uint32_t)value;
    return text.len != 0;
}

/* The decoded text and a NUL. What is wrong with it is said by the caller, whose text it is. */
static const char *text_decode(struct span raw, char *out, size_t bytes_max) {
    struct builder scratch = builder_over(out, bytes_max);
    struct span text;
    const char *wrong = percent_text(raw, PERCENT_PATH, &scratch, &text, NULL);
    if (wrong != NULL)
        return wrong;
    if (text.len > bytes_max)
        return "is too long";
    if (text.len != 0)
        memmove(out, text.at, text.len);
    out[text.len] = '\0';
    return NULL;
}

static const char *user_parse(struct span text, struct redis_url *out) {
    struct span user = text, password = text;
    if (!cut(&password, ':', &user)) /* further colons are the password's */
        password = span_of(NULL, 0);
    if (user.len == 0 && password.len == 0)
        return "has neither a user nor a password before its @";
    if (text_decode(user, out->user, REDIS_URL_USER_BYTES_MAX) != NULL)
        return "has a bad user; a user is UTF-8 of at most 128 bytes, with % written %25";
    if (text_decode(password, out->password, REDIS_URL_PASSWORD_BYTES_MAX) != NULL)
        return "has a bad password; a password is UTF-8 of at most 2048 bytes, with % written %25";
    return NULL;
}

static bool host_byte_ok(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '.' || byte == '-' || byte == '_';
}

/* Takes the host off the front; what is left begins with the colon of a port, or is empty. */
static const char *host_parse(struct span *rest, struct redis_place *out) {
    struct span host = *rest;
    if (rest->len != 0 && rest->at[0] == '[') {
        *rest = span_skip(*rest, 1);
        if (!cut(rest, ']', &host))
            return "has no ] after the IPv6 address; write [::1]:6379";
        out->is_v6 = true;
    } else {
        host.len = 0;
        while (host.len < rest->len && rest->at[host.len] != ':')
            host.len++;
        *rest = span_skip(*rest, host.len);
    }
    if (host.len == 0)
        return "has no host; write HOST:PORT";
    if (host.len > REDIS_URL_HOST_BYTES_MAX)
        return "has a host name of more than 255 bytes";
    for (size_t i = 0; i < host.len && !out->is_v6; i++)
        if (!host_byte_ok(host.at[i]))
            return "has a host with a byte that no host has";
    memcpy(out->host, host.at, host.len);
    struct in6_addr v6;
    if (out->is_v6 && (strlen(out->host) != host.len || inet_pton(AF_INET6, out->host, &v6) != 1))
        return "has no IPv6 address between its brackets";
    return NULL;
}

static const char *place_parse(struct span text, uint16_t port_default, struct redis_place *out) {
    uint32_t port = port_default;
    const char *wrong = host_parse(&text, out);
    if (wrong != NULL)
        return wrong;
    if (text.len != 0 && text.at[0] != ':')
        return "has something behind its IPv6 address; write [::1]:6379";
    if (text.len != 0 && memchr(text.at + 1, ':', text.len - 1) != NULL)
        return "has several colons; write an IPv6 address in brackets, [::1]:6379";
    if (text.len != 0 && (!number_parse(span_skip(text, 1), 65535, &port) || port == 0))
        return "has a bad port; a port is a number from 1 to 65535";
    out->port = (uint16_t)port;
    return NULL;
}

static const char *sentinels_parse(struct span text, struct redis_url *out) {
    bool more = true;
    while (more) {
        struct span one = text;
        more = cut(&text, ',', &one);
        if (out->sentinel_count == REDIS_URL_SENTINELS_MAX)
            return "names more than 16 Sentinels";
        const char *wrong =
            place_parse(one, REDIS_SENTINEL_PORT, &out->sentinels[out->sentinel_count++]);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}

/* NAME[/DB]: the db is left in `path`. */
static const char *name_parse(struct span *path, struct redis_url *out) {
    struct span name = *path;
    if (!cut(path, '/', &name))
        *path = span_of(NULL, 0);
    if (name.len == 0)
        return "does not name the server; write redis+sentinel://HOST:PORT,HOST:PORT/NAME";
    if (name.len > REDIS_URL_NAME_BYTES_MAX)
        return "names a server by more than 128 bytes";
    for (size_t i = 0; i < name.len; i++)
        if (!host_byte_ok(name.at[i]))
            return "names a server as no Sentinel does; a name is of letters, digits, ., - and _";
    memcpy(out->name, name.at, name.len);
    return NULL;
}

/* Behind the scheme. */
static const char *rest_parse(struct span text, struct redis_url *out) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] <= 0x20 || text.at[i] == 0x7F)
            return "holds a blank or a control character; write %20 for a blank";
        else if (text.at[i] == '?' || text.at[i] == '#')
            return "holds a ? or a #; in a user or password write %3F or %23, options have no "
                   "place";
    bool by_name = out->kind == REDIS_URL_SENTINEL;
    struct span authority = text, path = text, user;
    const char *wrong = NULL;
    if (!cut(&path, '/', &authority))
        path = span_of(NULL, 0);
    if (path.len != 0 && memchr(path.at, '@', path.len) != NULL)
        return "has a / in its user or password, or an @ in its db; write %2F";
    if (by_name)
        wrong = name_parse(&path, out);
    if (wrong == NULL && path.len != 0 && !number_parse(path, REDIS_DB_MAX, &out->db))
        wrong = "has a bad db; a db is a number from 0 to 2147483647";
    if (wrong == NULL && cut(&authority, '@', &user)) {
        if (authority.len != 0 && memchr(authority.at, '@', authority.len) != NULL)
            return "has an @ in its user or password; write %40";
        wrong = user_parse(user, out);
    }
    if (wrong != NULL)
        return wrong;
    return by_name ? sentinels_parse(authority, out)
                   : place_parse(authority, REDIS_PORT, &out->place);
}

/* One of several nodes: `USER:PASSWORD@` and one of `HOST:PORT,HOST:PORT`, as of a plain server.
 * False: there is no such one. */
static bool node_cut(struct span text, unsigned index, char *room, struct span *one) {
    const char *at = text.len == 0 ? NULL : memrchr(text.at, '@', text.len);
    struct span who = span_of(text.at, at == NULL ? 0 : (size_t)(at - text.at) + 1);
    struct span rest = span_skip(text, who.len), node;
    bool more = true;
    for (unsigned i = 0; more; i++) {
        more = cut(&rest, ',', &node);
        if (!more)
            node = rest;
        if (i != index)
            continue;
        if (who.len != 0)
            memcpy(room, who.at, who.len);
        if (node.len != 0)
            memcpy(room + who.len, node.at, node.len);
        *one = span_of(room, who.len + node.len);
        return true;
    }
    return false;
}

#define CLUSTER_BYTES_MAX 16384

static const char *cluster_parse(struct span text, struct redis_url *out) {
    char room[CLUSTER_BYTES_MAX];
    struct span one;
    unsigned count = 0;
    if (text.len > sizeof(room))
        return "is too long";
    if (text.len != 0 && memchr(text.at, '/', text.len) != NULL)
        return "has a / behind its nodes; a Cluster has one database";
    for (; node_cut(text, count, room, &one); count++) {
        struct redis_url node;
        memset(&node, 0, sizeof node);
        const char *wrong = rest_parse(one, &node);
        if (wrong != NULL)
            return wrong;
        if (count == REDIS_URL_NODES_MAX)
            return "names more than 16 nodes; a few are enough, they know the others";
        if (count == 0) {
            *out = node;
            out->kind = REDIS_URL_CLUSTER;
        }
    }
    return NULL;
}

bool redis_url_node(struct span text, unsigned index, struct redis_url *out) {
    char room[CLUSTER_BYTES_MAX];
    struct span one, scheme = schemes[REDIS_URL_CLUSTER];
    memset(out, 0, sizeof *out);
    return text.len > scheme.len && text.len <= sizeof(room) &&
           node_cut(span_skip(text, scheme.len), index, room, &one) && rest_parse(one, out) == NULL;
}

const char *redis_url_parse(struct span text, struct redis_url *out) {
    memset(out, 0, sizeof *out);
    for (size_t kind = 0; kind < sizeof schemes / sizeof *schemes; kind++) {
        struct span scheme = schemes[kind];
        if (text.len < scheme.len || !span_equal_nocase(span_of(text.at, scheme.len), scheme))
            continue;
        out->kind = (enum redis_url_kind)kind;
        if (out->kind == REDIS_URL_TLS)
            return NULL;
        text = span_skip(text, scheme.len);
        const char *wrong =
            out->kind == REDIS_URL_CLUSTER ? cluster_parse(text, out) : rest_parse(text, out);
        if (wrong != NULL)
            memset(out, 0, sizeof *out);
        return wrong;
    }
    return text.len == 0 ? "is empty; write redis://HOST:PORT"
                         : "is no URL of Redis; write redis://HOST:PORT";
}

bool redis_url_begins(struct span text) {
    for (size_t kind = 0; kind < sizeof schemes / sizeof *schemes; kind++)
        if (text.len >= schemes[kind].len &&
            span_equal_nocase(span_of(text.at, schemes[kind].len), schemes[kind]))
            return true;
    return false;
}

bool redis_url_same_server(const struct redis_url *a, const struct redis_url *b) {
    return a->port == b->port && span_equal_nocase(span_text(a->host), span_text(b->host));
}

/* Everything is encoded that could be read as another part of the URL. */
static void user_write(struct builder *out, const char *user) {
    for (; *user != '\0'; user++) {
        if (host_byte_ok(*user) || *user == '~')
            builder_byte(out, *user);
        else
            builder_format(out, "%%%02X", (unsigned char)*user);
    }
}

void redis_place_write(struct builder *out, const struct redis_place *place) {
    builder_format(out, place->is_v6 ? "[%s]:%u" : "%s:%u", place->host, place->port);
}

void redis_url_write(struct builder *out, const struct redis_url *url) {
    builder_span_add(out, schemes[url->kind]);
    if (url->kind == REDIS_URL_TLS)
        return;
    user_write(out, url->user);
    builder_text(out, url->password[0] != '\0' ? ":***@" : url->user[0] != '\0' ? "@" : "");
    for (unsigned i = 0; i < url->sentinel_count && url->kind == REDIS_URL_SENTINEL; i++) {
        builder_text(out, i != 0 ? "," : "");
        redis_place_write(out, &url->sentinels[i]);
    }
    if (url->kind == REDIS_URL_SENTINEL)
        builder_format(out, "/%s", url->name);
    else
        redis_place_write(out, &url->place);
    if (url->kind != REDIS_URL_CLUSTER)
        builder_format(out, "/%u", url->db);
}
