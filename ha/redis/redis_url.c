/* redis_url.c - see redis_url.h. */
#include "ha/redis/redis_url.h"

static const struct span schemes[] = {
    [REDIS_URL_PLAIN] = SPAN_INIT("redis://"),
    [REDIS_URL_TLS] = SPAN_INIT("rediss://"),
    [REDIS_URL_SENTINEL] = SPAN_INIT("redis+sentinel://"),
    [REDIS_URL_CLUSTER] = SPAN_INIT("redis+cluster://"),
};

static const struct url_rules rules = {
    .user_bytes_max = REDIS_URL_USER_BYTES_MAX,
    .user_optional = true,
    .parameters = "holds a ? or a #; in a user or password write %3F or %23, options have no place",
    .no_user = "has neither a user nor a password before its @",
    .bad_user = "has a bad user; a user is UTF-8 of at most 128 bytes, with % written %25",
    .no_host = "has no host; write HOST:PORT",
    .no_bracket = "has no ] after the IPv6 address; write [::1]:6379",
    .behind_bracket = "has something behind its IPv6 address; write [::1]:6379",
    .several_colons = "has several colons; write an IPv6 address in brackets, [::1]:6379",
};

static const char *sentinels_parse(struct span text, struct redis_url *out) {
    bool more = true;
    while (more) {
        struct span one = text;
        more = url_cut(&text, ',', &one);
        if (out->sentinel_count == REDIS_URL_SENTINELS_MAX)
            return "names more than 16 Sentinels";
        const char *wrong = url_place_parse(one, &rules, REDIS_SENTINEL_PORT,
                                            &out->sentinels[out->sentinel_count++]);
        if (wrong != NULL)
            return wrong;
    }
    return NULL;
}

/* NAME[/DB]: the db is left in `path`. */
static const char *name_parse(struct span *path, struct redis_url *out) {
    struct span name = *path;
    if (!url_cut(path, '/', &name))
        *path = span_of(NULL, 0);
    if (name.len == 0)
        return "does not name the server; write redis+sentinel://HOST:PORT,HOST:PORT/NAME";
    if (name.len > REDIS_URL_NAME_BYTES_MAX)
        return "names a server by more than 128 bytes";
    for (size_t i = 0; i < name.len; i++)
        if (!url_host_byte(name.at[i]))
            return "names a server as no Sentinel does; a name is of letters, digits, ., - and _";
    memcpy(out->name, name.at, name.len);
    return NULL;
}

/* Behind the scheme. */
static const char *rest_parse(struct span text, struct redis_url *out) {
    bool by_name = out->kind == REDIS_URL_SENTINEL;
    struct span authority = text, path = text;
    const char *wrong = url_bytes_wrong(text, &rules);
    if (wrong != NULL)
        return wrong;
    if (!url_cut(&path, '/', &authority))
        path = span_of(NULL, 0);
    if (path.len != 0 && memchr(path.at, '@', path.len) != NULL)
        return "has a / in its user or password, or an @ in its db; write %2F";
    if (by_name)
        wrong = name_parse(&path, out);
    if (wrong == NULL && path.len != 0 && !url_number_parse(path, REDIS_DB_MAX, &out->db))
        wrong = "has a bad db; a db is a number from 0 to 2147483647";
    if (wrong == NULL)
        wrong = url_user_take(&authority, &rules, out->user, out->password);
    if (wrong != NULL)
        return wrong;
    return by_name ? sentinels_parse(authority, out)
                   : url_place_parse(authority, &rules, REDIS_PORT, &out->place);
}

/* One of several nodes: `USER:PASSWORD@` and one of `HOST:PORT,HOST:PORT`, as of a plain server.
 * False: there is no such one. */
static bool node_cut(struct span text, unsigned index, char *room, struct span *one) {
    const char *at = text.len == 0 ? NULL : memrchr(text.at, '@', text.len);
    struct span who = span_of(text.at, at == NULL ? 0 : (size_t)(at - text.at) + 1);
    struct span rest = span_skip(text, who.len), node;
    bool more = true;
    for (unsigned i = 0; more; i++) {
        more = url_cut(&rest, ',', &node);
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
        if (!url_scheme_take(&text, schemes[kind]))
            continue;
        out->kind = (enum redis_url_kind)kind;
        if (out->kind == REDIS_URL_TLS)
            return NULL;
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
        if (url_scheme_take(&text, schemes[kind]))
            return true;
    return false;
}

bool redis_url_same_server(const struct redis_url *a, const struct redis_url *b) {
    return a->port == b->port && span_equal_nocase(span_text(a->host), span_text(b->host));
}

void redis_url_write(struct builder *out, const struct redis_url *url) {
    builder_span_add(out, schemes[url->kind]);
    if (url->kind == REDIS_URL_TLS)
        return;
    url_text_write(out, url->user);
    builder_text(out, url->password[0] != '\0' ? ":***@" : url->user[0] != '\0' ? "@" : "");
    for (unsigned i = 0; i < url->sentinel_count && url->kind == REDIS_URL_SENTINEL; i++) {
        builder_text(out, i != 0 ? "," : "");
        url_place_write(out, &url->sentinels[i]);
    }
    if (url->kind == REDIS_URL_SENTINEL)
        builder_format(out, "/%s", url->name);
    else
        url_place_write(out, &url->place);
    if (url->kind != REDIS_URL_CLUSTER)
        builder_format(out, "/%u", url->db);
}
