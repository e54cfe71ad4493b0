/* alert_place.h - where alerts go, as settings say it:
 *
 *   http[s]://HOST[:PORT][/PATH][?QUERY]           a webhook
 *   smtp[s]://[USER[:PASSWORD]@]HOST[:PORT]        a server that takes mail
 *   NAME@DOMAIN                                    who gets mail, and from whom it is
 *
 * HOST is a name, an IPv4 address, or an IPv6 address in brackets. USER and PASSWORD are
 * percent-encoded, and UTF-8. What is taken here holds nothing that could end a line or a header of
 * HTTP or SMTP, and has one reading only, so that who connects and who looks the host up mean the
 * same.
 *
 * A webhook's path and query are as secret as a password, since who knows them may post there. They
 * are shown to nobody: what is wrong is told by constants that repeat nothing of the text.
 *
 * Threads: any (pure functions). Owns: nothing; a webhook's text is the caller's. */
#ifndef RINGPOST_HA_ALERT_ALERT_PLACE_H
#define RINGPOST_HA_ALERT_ALERT_PLACE_H

#include "core/base/builder.h"
#include "core/base/span.h"

#define ALERT_HOST_BYTES_MAX 255
#define ALERT_USER_BYTES_MAX 254
#define ALERT_PASSWORD_BYTES_MAX 2048
#define ALERT_URL_BYTES_MAX 2048
#define ALERT_ADDRESS_BYTES_MAX 254 /* RFC 5321 */

struct alert_place {
    bool is_tls;   /* from the first byte on */
    bool is_v6;    /* the host is an IPv6 address; here it has no brackets */
    bool is_local; /* the host is this machine: 127.0.0.0/8, ::1, localhost */
    bool is_name;  /* it must be looked up */
    uint16_t port;
    char host[ALERT_HOST_BYTES_MAX + 1]; /* in lower case */
};

struct alert_smtp {
    struct alert_place place;
    char user[ALERT_USER_BYTES_MAX + 1]; /* empty: none, as the password */
    char password[ALERT_PASSWORD_BYTES_MAX + 1];
};

/* NULL, or a constant that says what is wrong, behind the name of the setting ("has no host"); then
 * all of `out` is zero. */
const char *alert_webhook_parse(struct span text, struct alert_place *out);
const char *alert_smtp_parse(struct span text, struct alert_smtp *out);
/* NULL: it is an address of mail. */
const char *alert_address_wrong(struct span text);

/* Room that either of these needs at most. */
#define ALERT_WRITTEN_MAX                                                                          \
    (sizeof "https://" + 3 * ALERT_USER_BYTES_MAX + sizeof ":***@" + ALERT_HOST_BYTES_MAX +        \
     sizeof "[]:65535/***")
/* For logs and people: without path and query, without the password. */
void alert_webhook_write(struct builder *out, const struct alert_place *place);
void alert_smtp_write(struct builder *out, const struct alert_smtp *smtp);

#endif
