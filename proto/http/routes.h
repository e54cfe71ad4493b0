/* routes.h - which function serves which method and path.
 *
 * A pattern is a path in which `{}` stands for one part of any name: "/v1/clients/{}". The parts of
 * a path are percent-decoded once, each for itself, so `%2F` may stand in a name. A part that is
 * empty matches nothing.
 *
 * Threads: any (pure functions over a table). Limits: ROUTE_NAMES_MAX names in a path. */
#ifndef RINGPOST_PROTO_HTTP_ROUTES_H
#define RINGPOST_PROTO_HTTP_ROUTES_H

#include "core/base/builder.h"
#include "core/config.h"
#include "proto/http/http.h"
#include "proto/text/complaint.h"

struct worker;
struct http_exchange;

#define ROUTE_NAMES_MAX 2

/* A request on its way to what serves it. */
struct route_request {
    const struct http_request *http;
    struct span names[ROUTE_NAMES_MAX]; /* what stood where the pattern has {}, decoded */
    struct span extra; /* header lines that go with whatever is answered; may be empty */
    struct builder
        *texts; /* room in which query parameters may be decoded, as long as the target */
};

/* How long a body may be. */
struct route_body {
    size_t (*max)(const struct config *config);
    const char *hint; /* said behind that limit: how to move it */
};

struct route {
    const char *pattern;
    enum http_method method;       /* GET serves HEAD too */
    bool open;                     /* needs no API key */
    bool pushes;                   /* asks for messages */
    const struct route_body *body; /* NULL: it takes none */
    void (*serve)(struct worker *worker, struct http_exchange *exchange,
                  const struct route_request *request);
};

enum route_verdict {
    ROUTE_FOUND,
    ROUTE_NOT_FOUND,   /* no pattern is like it */
    ROUTE_NOT_ALLOWED, /* some are, with other methods: `allow` */
    ROUTE_BAD_PATH     /* `wrong` says what, to be put behind "the path" */
};

struct route_match {
    const struct route *route; /* FOUND */
    bool open;                 /* the path needs no API key, whatever the method */
    const char *wrong;
    char allow[64];
    struct span names[ROUTE_NAMES_MAX];
};

/* Does the route take a body as long as the request says, or has? False: `complaint`. */
bool route_takes(const struct route *route, const struct config *config,
                 const struct http_request *request, struct complaint *complaint);

/* Looks the path up; names are decoded into `texts` if they have to be. */
enum route_verdict route_find(const struct route *routes, size_t count, enum http_method method,
                              struct span path, struct builder *texts, struct route_match *match);

#endif
