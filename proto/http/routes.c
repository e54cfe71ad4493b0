#include "proto/http/routes.h"

#include "proto/text/percent.h"

#define PARTS_MAX 8

struct parts {
    struct span at[PARTS_MAX];
    size_t count;
};

/* Cuts "/a/b" into a, b. False: more parts than any pattern has. */
static bool path_cut(struct span path, struct parts *parts) {
    parts->count = 0;
    while (path.len != 0 && path.at[0] == '/') {
        path = span_skip(path, 1);
        const char *slash = path.len == 0 ? NULL : memchr(path.at, '/', path.len);
        size_t len = slash == NULL ? path.len : (size_t)(slash - path.at);
        if (parts->count == PARTS_MAX)
            return false;
        parts->at[parts->count++] = span_of(path.at, len);
        path = span_skip(path, len);
    }
    return path.len == 0; /* "*" is no path */
}

/* Compares the pattern's part by part; the parts are decoded. */
static bool pattern_fits(const char *pattern, const struct parts *parts,
                         struct span names[ROUTE_NAMES_MAX]) {
    size_t named = 0;
    for (size_t i = 0; i < parts->count; i++) {
        if (*pattern != '/')
            return false;
        pattern++;
        size_t len = strcspn(pattern, "/");
        struct span wanted = span_of(pattern, len), part = parts->at[i];
        if (span_equal(wanted, SPAN("{}"))) {
            if (part.len == 0)
                return false;
            names[named++] = part;
        } else if (!span_equal(wanted, part)) {
            return false;
        }
        pattern += len;
    }
    return *pattern == '\0';
}

static void allow_add(struct builder *allow, const char *name) {
    if (allow->len != 0)
        builder_text(allow, ", ");
    builder_text(allow, name);
}

enum route_verdict route_find(const struct route *routes, size_t count, enum http_method method,
                              struct span path, struct builder *texts, struct route_match *match) {
    struct parts parts;
    struct builder allow = builder_over(match->allow, sizeof match->allow - 1);
    *match = (struct route_match){.route = NULL};
    if (!path_cut(path, &parts))
        return ROUTE_NOT_FOUND;
    for (size_t i = 0; i < parts.count; i++) {
        match->wrong = percent_text(parts.at[i], PERCENT_PATH, texts, &parts.at[i], NULL);
        if (match->wrong != NULL)
            return ROUTE_BAD_PATH;
    }
    if (method == HTTP_METHOD_HEAD)
        method = HTTP_METHOD_GET;
    for (size_t i = 0; i < count; i++) {
        const struct route *route = &routes[i];
        if (!pattern_fits(route->pattern, &parts, match->names))
            continue;
        match->open |= route->open;
        if (route->method == method) {
            match->route = route;
            return ROUTE_FOUND;
        }
        allow_add(&allow, http_method_name(route->method));
        if (route->method == HTTP_METHOD_GET)
            allow_add(&allow, "HEAD");
    }
    match->allow[allow.len] = '\0';
    return allow.len == 0 ? ROUTE_NOT_FOUND : ROUTE_NOT_ALLOWED;
}

bool route_takes(const struct route *route, const struct config *config,
                 const struct http_request *request, struct complaint *complaint) {
    if (!request->has_body)
        return true;
    if (route->body == NULL) {
        complaint_make(complaint, CODE_TOO_LARGE, SPAN(""), "this path takes no body");
        return false;
    }
    size_t max = route->body->max(config);
    if (request->body_bytes <= max)
        return true;
    complaint_make(complaint, CODE_TOO_LARGE, SPAN(""), "the body is longer than %zu bytes%s", max,
                   route->body->hint);
    return false;
}
