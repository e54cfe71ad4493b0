/* redis_url.h - where Redis is, as a setting says it:
 *
 *   redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]
 *
 * HOST is a name, an IPv4 address, or an IPv6 address in brackets; PORT is 6379 and DB 0 unless it
 * is said. USER and PASSWORD are percent-encoded, and UTF-8. What else a Redis can be is known by
 * its name only, so that a setting can say that it is not there: of such a URL nothing but the kind
 * is read.
 *
 * The password is nowhere but in the struct: what is wrong is told by constants that repeat nothing
 * of the text, and redis_url_write leaves the password out.
 *
 * Threads: any (pure functions). */
#ifndef RINGPOST_HA_REDIS_REDIS_URL_H
#define RINGPOST_HA_REDIS_REDIS_URL_H

#include "core/base/builder.h"
#include "core/base/span.h"

#define REDIS_PORT 6379
#define REDIS_DB_MAX INT32_MAX
#define REDIS_URL_HOST_BYTES_MAX 255
#define REDIS_URL_USER_BYTES_MAX 128
#define REDIS_URL_PASSWORD_BYTES_MAX 2048 /* some services give tokens out as passwords */

enum redis_url_kind {
    REDIS_URL_PLAIN,    /* redis:// */
    REDIS_URL_TLS,      /* rediss:// */
    REDIS_URL_SENTINEL, /* redis+sentinel://HOST:PORT,HOST:PORT/NAME */
    REDIS_URL_CLUSTER,  /* redis+cluster://HOST:PORT,HOST:PORT */
};

struct redis_url {
    enum redis_url_kind kind; /* unless it is REDIS_URL_PLAIN all else is zero */
    bool is_v6;               /* the host is an IPv6 address; here it has no brackets */
    uint16_t port;
    uint32_t db;
    /* Empty: it is not said. None holds a NUL but at its end. */
    char host[REDIS_URL_HOST_BYTES_MAX + 1];
    char user[REDIS_URL_USER_BYTES_MAX + 1];
    char password[REDIS_URL_PASSWORD_BYTES_MAX + 1];
};

/* NULL, or a constant that says what is wrong, behind the name of the setting ("has no host"); then
 * all of `out` is zero. */
const char *redis_url_parse(struct span text, struct redis_url *out);

/* Room that redis_url_write needs at most. */
#define REDIS_URL_WRITTEN_MAX                                                                      \
    (sizeof "redis://" + 3 * REDIS_URL_USER_BYTES_MAX + sizeof ":***@" +                           \
     REDIS_URL_HOST_BYTES_MAX + sizeof "[]:65535/2147483647")
/* The URL for logs: `***` for the password, the port and the db in any case; of another kind only
 * what it begins with. */
void redis_url_write(struct builder *out, const struct redis_url *url);

#endif
