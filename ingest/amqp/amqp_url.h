/* amqp_url.h - where a broker is, as a setting says it:
 *
 *   amqp://[USER[:PASSWORD]@]HOST[:PORT][/VHOST]
 *   amqps://...                                     the same by TLS
 *
 * HOST is a name, an IPv4 address, or an IPv6 address in brackets; PORT is 5672, or 5671 by TLS.
 * USER, PASSWORD and VHOST are percent-encoded, and UTF-8; without a user it is guest, with the
 * password guest. No path and `/` both mean the virtual host `/`, which may be written /%2F, too.
 *
 * The password is nowhere but in the struct: what is wrong is told by constants that repeat nothing
 * of the text, and amqp_url_write leaves the user and the password out.
 *
 * Threads: any (pure functions). */
#ifndef RINGPOST_INGEST_AMQP_AMQP_URL_H
#define RINGPOST_INGEST_AMQP_AMQP_URL_H

#include "proto/text/url.h"

#define AMQP_PORT 5672
#define AMQPS_PORT 5671
#define AMQP_USER_BYTES_MAX 255
#define AMQP_VHOST_BYTES_MAX 255

struct amqp_url {
    bool is_tls;
    union {
        struct url_place;
        struct url_place place;
    };
    char vhost[AMQP_VHOST_BYTES_MAX + 1];
    char user[AMQP_USER_BYTES_MAX + 1];
    char password[URL_PASSWORD_BYTES_MAX + 1];
};

/* NULL, or a constant that says what is wrong, behind the name of the setting ("has no host"); then
 * all of `out` is zero. */
const char *amqp_url_parse(struct span text, struct amqp_url *out);

/* Is one of these, which amqp_url_parse takes, by TLS? */
bool amqp_url_any_tls(const char *const *urls, unsigned count);

/* The URL for people: scheme, host, port and virtual host; and the room that this needs at most. */
#define AMQP_URL_WRITTEN_MAX (sizeof "amqps:///" + URL_PLACE_WRITTEN_MAX + 3 * AMQP_VHOST_BYTES_MAX)
void amqp_url_write(struct builder *out, const struct amqp_url *url);

#endif
