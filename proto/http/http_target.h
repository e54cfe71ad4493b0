/* http_target.h - what a request target consists of.
 *
 * Three forms are taken: a path with perhaps a query, an http or https URL, and `*`. Nothing is
 * decoded here. Pure functions; the spans point into the target. Threads: any. */
#ifndef RINGPOST_PROTO_HTTP_HTTP_TARGET_H
#define RINGPOST_PROTO_HTTP_HTTP_TARGET_H

#include "core/base/span.h"

#define HTTP_TARGET_BYTES_MAX 16384 /* whatever a head has room for (HTTP_HEAD_BYTES_MAX) */

struct http_target {
    struct span path;      /* begins with '/', or is "*" */
    struct span query;     /* behind the '?'; `at` NULL without one */
    struct span authority; /* of a URL; `at` NULL otherwise */
};

/* Splits a target that is not empty; returns NULL, or what is wrong with it. */
const char *http_target_split(struct span text, struct http_target *target);

/* Whether this can be a host, perhaps with a port: letters, digits and `-._~%:[]`, and not empty.
 * Narrower than the grammar of URLs, whose other signs no host name uses. */
bool http_host_valid(struct span host);

#endif
