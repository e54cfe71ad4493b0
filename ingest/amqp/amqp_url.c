#include "ingest/amqp/amqp_url.h"

#include "proto/text/percent.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* Cuts off what stands before the first `byte`, which is dropped. False: there is none. */
static bool cut(struct span *rest, char byte, struct span *front) {
    const char *found = rest->len == 0 ? NULL : memchr(rest->at, byte, rest->len);
    if (found == NULL)
        return false;
    *front = span_of(rest->at, (size_t)(found - rest->at));
    *rest = span_skip(*rest, front->len + 1);
    return true;
}

/* The decoded text and a NUL. False: a bad escape, no UTF-8, too long, or a NUL in it. */
static bool text_decode(struct span raw, char *out, size_t bytes_max) {
    struct builder scratch = builder_over(out, bytes_max);
    struct span text;
    if (percent_text(raw, PERCENT_PATH, &scratch, &text, NULL) != NULL || text.len > bytes_max ||
        (text.len != 0 && memchr(text.at, '\0', text.len) != NULL))
        return false;
    if (text.len != 0)
        memmove(out, text.at, text.len);
    out[text.len] = '\0';
    return true;
}

static const char *user_parse(struct span text, struct amqp_url *out) {
    struct span user = text, password = text;
    if (!cut(&password, ':', &user)) /* further colons are the password's */
        password = span_of(NULL, 0);
    if (user.len == 0)
        return "has no user before its @";
    if (!text_decode(user, out->user, AMQP_USER_BYTES_MAX))
        return "has a bad user; a user is UTF-8 of at most 255 bytes, with % written %25";
    if (!text_decode(password, out->password, AMQP_PASSWORD_BYTES_MAX))
        return "has a bad password; a password is UTF-8 of at most 2048 bytes, with % written %25";
    return NULL;
}

static bool host_byte_ok(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '.' || byte == '-' || byte == '_';
}

/* Takes the host off the front; what is left begins with the colon of a port, or is empty. */
static const char *host_parse(struct span *rest, struct amqp_url *out) {
    struct span host = *rest;
    if (rest->len != 0 && rest->at[0] == '[') {
        *rest = span_skip(*rest, 1);
        if (!cut(rest, ']', &host))
            return "has no ] after the IPv6 address; write [::1]:5672";
        out->is_v6 = true;
    } else {
        host.len = 0;
        while (host.len < rest->len && rest->at[host.len] != ':')
            host.len++;
        *rest = span_skip(*rest, host.len);
    }
    if (host.len == 0)
        return "has no host; write amqp://HOST:PORT";
    if (host.len > AMQP_HOST_BYTES_MAX)
        return "has a host name of more than 255 bytes";
    for (size_t i = 0; i < host.len && !out->is_v6; i++)
        if (!host_byte_ok(host.at[i]))
            return "has a host with a byte that no host has";
    memcpy(out->host, host.at, host.len);
    struct in6_addr v6;
    if (out->is_v6 && (strlen(out->host) != host.len || inet_pton(AF_INET6, out->host, &v6) != 1))
        return "has no IPv6 address between its brackets";
    return NULL;
}

static const char *place_parse(struct span text, struct amqp_url *out) {
    static const char bad_port[] = "has a bad port; a port is a number from 1 to 65535";
    uint32_t port = 0;
    const char *wrong = host_parse(&text, out);
    if (wrong != NULL)
        return wrong;
    out->port = out->is_tls ? AMQPS_PORT : AMQP_PORT;
    if (text.len == 0)
        return NULL;
    if (text.at[0] != ':')
        return "has something behind its IPv6 address; write [::1]:5672";
    for (size_t i = 1; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return bad_port;
        port = port * 10 + (uint32_t)(text.at[i] - '0');
        if (port > 65535)
            return bad_port;
    }
    out->port = (uint16_t)port;
    return port == 0 ? bad_port : NULL;
}

/* Behind the scheme. */
static const char *rest_parse(struct span text, struct amqp_url *out) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] <= 0x20 || text.at[i] == 0x7F)
            return "holds a blank or a control character; write %20 for a blank";
        else if (text.at[i] == '?' || text.at[i] == '#')
            return "holds a ? or a #; in a user, password or virtual host write %3F or %23, "
                   "parameters have no place";
    struct span authority = text, path = text, user;
    if (!cut(&path, '/', &authority))
        path = span_of(NULL, 0);
    if (path.len != 0 && memchr(path.at, '/', path.len) != NULL)
        return "has a / in its user, password or virtual host; write %2F";
    if (path.len == 0)
        path = SPAN("/");
    if (!text_decode(path, out->vhost, AMQP_VHOST_BYTES_MAX))
        return "has a bad virtual host; one is UTF-8 of at most 255 bytes, with % written %25";
    memcpy(out->user, "guest", sizeof "guest");
    memcpy(out->password, "guest", sizeof "guest");
    if (cut(&authority, '@', &user)) {
        if (authority.len != 0 && memchr(authority.at, '@', authority.len) != NULL)
            return "has an @ in its user or password; write %40";
        const char *wrong = user_parse(user, out);
        if (wrong != NULL)
            return wrong;
    }
    return place_parse(authority, out);
}

const char *amqp_url_parse(struct span text, struct amqp_url *out) {
    static const struct span schemes[] = {SPAN_INIT("amqp://"), SPAN_INIT("amqps://")};
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        struct span scheme = schemes[i];
        if (text.len < scheme.len || !span_equal_nocase(span_of(text.at, scheme.len), scheme))
            continue;
        out->is_tls = i == 1;
        const char *wrong = rest_parse(span_skip(text, scheme.len), out);
        if (wrong != NULL)
            memset(out, 0, sizeof *out);
        return wrong;
    }
    return "is no URL of a broker; write amqp://HOST:PORT or amqps://HOST:PORT";
}

void amqp_url_write(struct builder *out, const struct amqp_url *url) {
    builder_format(out, url->is_v6 ? "%s://[%s]:%u/" : "%s://%s:%u/",
                   url->is_tls ? "amqps" : "amqp", url->host, url->port);
    for (const char *at = url->vhost; *at != '\0' && strcmp(url->vhost, "/") != 0; at++) {
        if (host_byte_ok(*at) || *at == '~')
            builder_byte(out, *at);
        else
            builder_format(out, "%%%02X", (unsigned char)*at);
    }
}
