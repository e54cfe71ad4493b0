/* api_nodes.h - calls of the API that other nodes take part in (core/call.h): what they are asked,
 * and what they say.
 *
 * A kind of call says by which names it goes, so that the same call can be made of a request's path
 * and of what another node asks:
 *
 *   {"what":"group","group":"shop-1","after":"till-3","namespace":"/","limit":100}
 *
 * What nodes say are lines, JSON objects that each kind writes and reads itself. They come from
 * whoever may write to Redis: each line is an object, the rest is to be looked at.
 *
 * Threads: the worker's, and that of a port where a function says so. Owns nothing. */
#ifndef RINGPOST_INGEST_API_API_NODES_H
#define RINGPOST_INGEST_API_API_NODES_H

#include "core/call.h"
#include "ingest/api/api.h"

struct api_name {
    const char *field; /* in what is asked; NULL: there is no such name */
    const char *(*check)(struct span text);
    bool may_be_empty;
};

struct api_kind {
    struct call_nodes nodes; /* with api_ask */
    const char *what;
    struct api_name names[2];
    bool in_namespace; /* in one; else in all */
    bool reserve;      /* of call_get */
    bool (*run)(struct worker *worker, struct call *call, struct call_part *part);
    bool (*visit)(struct worker *worker, struct call_part *part, struct session *session);
};

extern const struct api_kind api_client_kind, api_close_kind, api_join_kind, api_leave_kind,
    api_group_kind, api_message_kind;

/* A call of that kind for the exchange, in which `finish` is missing; NULL: it was answered. The
 * names have been checked. */
struct call *api_kind_get(struct worker *worker, struct http_exchange *exchange,
                          const struct api_kind *kind, const struct span names[2],
                          unsigned namespace, uint64_t limit);
/* One of the names of a call. Any thread. */
struct span api_call_name(const struct call *call, unsigned index);
/* Is the call another node's? Then `tell` follows, not `finish`. Any thread. */
static inline bool api_call_is_told(const struct call *call) {
    return call->finish == NULL;
}

/* For call_nodes: on a port's thread. */
void api_ask(const struct call *call, struct builder *out);

/* The lines that other nodes have told. */
struct api_lines {
    const struct chunk *chunk; /* NULL: there are no more */
    size_t at;
};
/* Has it been told all? False: some nodes did not answer in time. A call of this node alone has. */
bool api_lines_begin(const struct worker *worker, struct call *call, struct api_lines *lines);
bool api_line_next(struct api_lines *lines, struct span *line);
/* A number that the line has; 0: none. */
uint64_t api_line_u64(struct span line, const char *name);
/* Any value that it has; false: none of that name. */
bool api_line_value(struct span line, const char *name, struct span *value);

#endif
