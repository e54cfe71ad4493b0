/* url.h - the parts of a URL that settings have in common:
 *
 *   SCHEME://[USER[:PASSWORD]@]HOST[:PORT]...
 *
 * HOST is a name, an IPv4 address, or an IPv6 address in brackets. USER and PASSWORD are
 * percent-encoded, and UTF-8. What stands behind the port, and how many places one URL names, is
 * the caller's to read.
 *
 * What is wrong is told by constants that repeat nothing of the text, since a password may be in
 * it, and that stand behind the name of a setting ("has no host"). What names a scheme, a port or a
 * part that only some URLs have is said in the caller's own words.
 *
 * Threads: any (pure functions). */
#ifndef RINGPOST_PROTO_TEXT_URL_H
#define RINGPOST_PROTO_TEXT_URL_H

#include "core/base/builder.h"
#include "core/base/span.h"

#define URL_HOST_BYTES_MAX 255
#define URL_PASSWORD_BYTES_MAX 2048 /* some services give tokens out as passwords */

/* What one kind of URL asks, and how it says no. */
struct url_rules {
    size_t user_bytes_max;
    bool user_optional; /* a password may stand without a user */
    /* What is said where there is */
    const char *parameters;     /* a ? or a # */
    const char *no_user;        /* an @ and nothing before it that is enough */
    const char *bad_user;       /* no text, or one of more than user_bytes_max */
    const char *no_host;        /* no host */
    const char *no_bracket;     /* no ] behind an IPv6 address */
    const char *behind_bracket; /* something else than a port behind it */
    const char *several_colons; /* in HOST:PORT; NULL: it is a bad port as any other */
};

struct url_place {
    bool is_v6; /* the host is an IPv6 address; here it has no brackets */
    uint16_t port;
    char host[URL_HOST_BYTES_MAX + 1];
};

/* Takes the scheme, with its `://`, off the front, whatever its case. False: it is another one. */
bool url_scheme_take(struct span *rest, struct span scheme);
/* Cuts off what stands before the first `byte`, which is dropped. False: there is none. */
bool url_cut(struct span *rest, char byte, struct span *front);

/* NULL: the text, behind its scheme, has no byte that no part of a URL holds as it is. */
const char *url_bytes_wrong(struct span text, const struct url_rules *rules);
/* Takes USER[:PASSWORD]@ off the front, decoded, each with a NUL behind it; `user` has room for
 * user_bytes_max and the NUL, `password` for URL_PASSWORD_BYTES_MAX and it. Without an @ both stay
 * as they are; with one and no password that is empty. Returns what is wrong, or NULL. */
const char *url_user_take(struct span *rest, const struct url_rules *rules, char *user,
                          char *password);
/* HOST[:PORT], to the end of the text. `out` is all zero before. Returns what is wrong, or NULL. */
const char *url_place_parse(struct span text, const struct url_rules *rules, uint16_t port_default,
                            struct url_place *out);

/* Decimal without sign, at most `max`. */
bool url_number_parse(struct span text, uint32_t max, uint32_t *out);
/* The decoded text and a NUL, for which `out` has one byte more than `bytes_max`. False: a bad
 * escape, no UTF-8, a NUL in it, too long. */
bool url_text_decode(struct span raw, char *out, size_t bytes_max);
/* Is it one of the bytes that a host, and the names of some other things, are made of? Letters,
 * digits, `.`, `-` and `_`. */
bool url_host_byte(char byte);

/* A host and its port, an IPv6 address in brackets; and the room that this needs at most. */
#define URL_PLACE_WRITTEN_MAX (URL_HOST_BYTES_MAX + sizeof "[]:65535")
void url_place_write(struct builder *out, const struct url_place *place);
/* Encodes everything that could be read as another part of the URL: up to 3 bytes for each. */
void url_text_write(struct builder *out, const char *text);

#endif
