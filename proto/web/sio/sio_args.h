/* sio_args.h - what Socket.IO clients say of themselves: under which id and groups a session comes,
 * in the query of the handshake, in `auth` of CONNECT, in the argument of `register`; the groups of
 * `join` and `leave`.
 *
 *   the query of the URL < a query in the namespace (protocol 4) < auth (protocol 5)
 *
 * Each is read over what was there, and what it gives counts instead: the id, the groups, meta. In
 * one source `group` and `groups`, and in `register` `groupFlag`, are one list. In a query a list
 * is split at commas, and of a repeated parameter the last counts. What is not known is ignored;
 * null counts as absent; tokens are not looked at in this version.
 *
 * Threads: any (pure functions). Owns nothing: names point into the text, or into the room where
 * something had to be decoded. Limits: names.h; SIO_GROUPS_MAX different groups in one list. */
#ifndef RINGPOST_PROTO_WEB_SIO_SIO_ARGS_H
#define RINGPOST_PROTO_WEB_SIO_SIO_ARGS_H

#include "core/base/builder.h"
#include "proto/text/complaint.h"
#include "proto/text/json.h"
#include "proto/text/names.h"

#define SIO_GROUPS_MAX ADDRESSES_PER_MESSAGE_MAX
/* A query (at most 16 KiB, twice), and names that were written with escapes. */
#define SIO_TEXT_BYTES (2 * 16384 + (SIO_GROUPS_MAX + 4) * NAME_BYTES_MAX)

/* One for each worker, used for one packet at a time, need not be zeroed. */
struct sio_room {
    struct span groups[SIO_GROUPS_MAX];
    char text[SIO_TEXT_BYTES];
};

struct sio_names {
    struct span id; /* empty: none */
    struct name_list groups;
    bool meta;
    bool meta_given;
    struct builder texts; /* over the room */
};

void sio_names_init(struct sio_names *names, struct sio_room *room);
/* Each: false: `complaint`, always a BAD_MESSAGE. */
bool sio_names_query(struct sio_names *names, struct span query, struct complaint *complaint);
bool sio_names_auth(struct sio_names *names, struct span object, struct complaint *complaint);
bool sio_names_register(struct sio_names *names, const struct json_value *argument,
                        struct complaint *complaint);
/* The argument of join and leave: a name or a list, perhaps empty. */
bool sio_names_groups(struct sio_names *names, const struct json_value *argument,
                      struct complaint *complaint);

/* Does the query say anything that counts? */
bool sio_query_matters(struct span query);

#endif
