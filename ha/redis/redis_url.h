/* redis_url.h - where Redis is, as a setting says it:
 *
 *   redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]
 *   redis+sentinel://[USER[:PASSWORD]@]HOST[:PORT][,HOST[:PORT]]... /NAME[/DB]
 *   redis+cluster://[USER[:PASSWORD]@]HOST[:PORT],...
 *
 * HOST is a name, an IPv4 address, or an IPv6 address in brackets; PORT is 6379, of a Sentinel
 * 26379, and DB 0 unless it is said. USER and PASSWORD are percent-encoded, and UTF-8; behind
 * Sentinels they are those of the server that is called NAME there. What else a Redis can be is
 * known by its name only, so that a setting can say that it is not there: of such a URL nothing but
 * the kind is read.
 *
 * The password is nowhere but in the struct: what is wrong is told by constants that repeat nothing
 * of the text, and redis_url_write leaves the password out.
 *
 * Threads: any (pure functions). */
#ifndef RINGPOST_HA_REDIS_REDIS_URL_H
#define RINGPOST_HA_REDIS_REDIS_URL_H

#include "proto/text/url.h"

#define REDIS_PORT 6379
#define REDIS_SENTINEL_PORT 26379
#define REDIS_DB_MAX INT32_MAX
#define REDIS_URL_SENTINELS_MAX 16
#define REDIS_URL_NAME_BYTES_MAX 128
#define REDIS_URL_NODES_MAX 16 /* of a Cluster */
#define REDIS_URL_USER_BYTES_MAX 128

enum redis_url_kind {
    REDIS_URL_PLAIN,    /* redis:// */
    REDIS_URL_TLS,      /* rediss:// */
    REDIS_URL_SENTINEL, /* redis+sentinel://HOST:PORT,HOST:PORT/NAME */
    REDIS_URL_CLUSTER,  /* redis+cluster://HOST:PORT,HOST:PORT; what is read is of the first */
};

/* Texts are empty where nothing is said. None holds a NUL but at its end. */
struct redis_url {
    enum redis_url_kind kind; /* of REDIS_URL_TLS all else is zero */
    /* The server, or the first node of a Cluster; with Sentinels it is theirs to say, and zero. */
    union {
        struct url_place;
        struct url_place place;
    };
    uint32_t db;
    char user[REDIS_URL_USER_BYTES_MAX + 1];
    char password[URL_PASSWORD_BYTES_MAX + 1];
    /* REDIS_URL_SENTINEL */
    unsigned sentinel_count;
    struct url_place sentinels[REDIS_URL_SENTINELS_MAX];
    char name[REDIS_URL_NAME_BYTES_MAX + 1]; /* of the server */
};

/* NULL, or a constant that says what is wrong, behind the name of the setting ("has no host"); then
 * all of `out` is zero. */
const char *redis_url_parse(struct span text, struct redis_url *out);

/* Of a Cluster: the node that is named there at that place, as if it were a plain server. False:
 * there is none. */
bool redis_url_node(struct span text, unsigned index, struct redis_url *out);
/* Does it begin as a URL of any of these kinds? */
bool redis_url_begins(struct span text);
/* Do both name one server, by the same host and port, whatever the user and the database? */
bool redis_url_same_server(const struct redis_url *a, const struct redis_url *b);

/* Room that redis_url_write needs at most. */
#define REDIS_URL_WRITTEN_MAX                                                                      \
    (sizeof "redis+sentinel://" + 3 * REDIS_URL_USER_BYTES_MAX + sizeof ":***@" +                  \
     REDIS_URL_SENTINELS_MAX * URL_PLACE_WRITTEN_MAX + REDIS_URL_NAME_BYTES_MAX +                  \
     sizeof "//2147483647")
/* The URL for logs: `***` for the password, ports and the db in any case; of TLS only what
 * it begins with, of a Cluster the first node. */
void redis_url_write(struct builder *out, const struct redis_url *url);

#endif
