/* register_query.h - under which names a session comes that registers by its request's query:
 * `?id=till-7&group=a&groups=b&token=...`, of /ws and /events.
 *
 * `group` and `groups` are alike and may come several times; all of them are one set. A comma is
 * part of a name. `id` and `token` may come once. Names are checked like those of a hello. Tokens
 * are not looked at in this version.
 *
 * Threads: any (pure functions). Owns nothing: names point into the query or into `texts`. Limits:
 * GROUPS_PER_SESSION_MAX different groups. */
#ifndef RINGPOST_PROTO_WEB_REGISTER_QUERY_H
#define RINGPOST_PROTO_WEB_REGISTER_QUERY_H

#include "core/base/builder.h"
#include "proto/text/complaint.h"
#include "proto/text/names.h"

struct register_query {
    struct span id; /* empty: it goes without one */
    struct name_list groups;
    bool has_token;
    struct span names[GROUPS_PER_SESSION_MAX]; /* of `groups` */
};

/* Reads the whole query. `texts` takes what has to be decoded, and needs no more room than the
 * query has bytes. False: `complaint`, always a BAD_MESSAGE. The result must stay where it is. */
bool register_query_read(struct span query, struct builder *texts, struct register_query *result,
                         struct complaint *complaint);

/* Does it register, by an id or a group? */
static inline bool register_query_names(const struct register_query *query) {
    return query->id.len != 0 || query->groups.count != 0;
}

#endif
