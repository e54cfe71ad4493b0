#include "ha/alert/alert_place.h"

#include "proto/text/url.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#define PORT_HTTP 80
#define PORT_HTTPS 443
#define PORT_SMTP 25
#define PORT_SMTPS 465

static bool visible(struct span text) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] <= 0x20 || (unsigned char)text.at[i] >= 0x7F)
            return false;
    return true;
}

static bool port_parse(struct span text, uint16_t *out) {
    uint32_t value = 0;
    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text.at[i] - '0');
    }
    *out = (uint16_t)value;
    return value != 0 && value <= 65535;
}

static const char *v6_parse(struct span host, struct alert_place *out) {
    struct in6_addr address;
    if (host.len >= INET6_ADDRSTRLEN)
        return "has no IPv6 address between its brackets";
    memcpy(out->host, host.at, host.len);
    if (strlen(out->host) != host.len || inet_pton(AF_INET6, out->host, &address) != 1)
        return "has no IPv6 address between its brackets";
    out->is_v6 = true;
    out->is_local = IN6_IS_ADDR_LOOPBACK(&address);
    return NULL;
}

/* A name whose last part is a number is an address, or nothing: who connects might read 127.1 or
 * 0x7f000001 as one. */
static bool ends_in_number(struct span host) {
    size_t from = host.len;
    while (from > 0 && host.at[from - 1] != '.')
        from--;
    return from < host.len && host.at[from] >= '0' && host.at[from] <= '9';
}

static const char *name_parse(struct span host, struct alert_place *out) {
    struct in_addr address;
    if (host.len > ALERT_HOST_BYTES_MAX)
        return "has a host name of more than 255 bytes";
    for (size_t i = 0; i < host.len; i++) {
        char byte = host.at[i];
        if (!url_host_byte(byte))
            return "has a host with a byte that no host has";
        out->host[i] = byte >= 'A' && byte <= 'Z' ? (char)(byte | 0x20) : byte;
    }
    if (host.at[0] == '.' || host.at[0] == '-' || host.at[host.len - 1] == '.')
        return "has a host that begins with a point or dash, or ends with a point";
    if (inet_pton(AF_INET, out->host, &address) == 1) {
        out->is_local = (ntohl(address.s_addr) >> 24) == 127;
        return NULL;
    }
    if (ends_in_number(host))
        return "has a host that is neither a name nor an IPv4 address of four numbers";
    out->is_local = strcmp(out->host, "localhost") == 0;
    out->is_name = true;
    return NULL;
}

/* HOST[:PORT], to the end. */
static const char *place_parse(struct span text, uint16_t port, struct alert_place *out) {
    struct span host = text, rest = span_of(NULL, 0);
    const char *wrong;
    bool brackets = text.len != 0 && text.at[0] == '[';
    if (brackets) {
        rest = span_skip(text, 1);
        if (!url_cut(&rest, ']', &host))
            return "has no ] after the IPv6 address";
        if (rest.len != 0 && rest.at[0] != ':')
            return "has something behind its IPv6 address";
    } else {
        host.len = 0;
        while (host.len < text.len && text.at[host.len] != ':')
            host.len++;
        rest = span_skip(text, host.len);
    }
    if (host.len == 0)
        return "has no host";
    out->port = port;
    if (rest.len != 0 && !port_parse(span_skip(rest, 1), &out->port))
        return "has a bad port; a port is a number from 1 to 65535, and an IPv6 address stands in "
               "brackets";
    wrong = brackets ? v6_parse(host, out) : name_parse(host, out);
    return wrong;
}

static const char *webhook_parse(struct span text, struct alert_place *out) {
    struct span rest = text;
    if (url_scheme_take(&rest, SPAN("https://")))
        out->is_tls = true;
    else if (!url_scheme_take(&rest, SPAN("http://")))
        return "is no URL of a webhook; write https://HOST/PATH or http://HOST:PORT/PATH";
    if (text.len > ALERT_URL_BYTES_MAX)
        return "is longer than 2048 bytes";
    if (!visible(text))
        return "holds a blank, a control character or no ASCII; write %20 for a blank";
    if (memchr(text.at, '\\', text.len) != NULL || memchr(text.at, '#', text.len) != NULL)
        return "holds a \\ or a #, which mean nothing here";
    size_t end = 0;
    while (end < rest.len && rest.at[end] != '/' && rest.at[end] != '?')
        end++;
    if (end != 0 && memchr(rest.at, '@', end) != NULL)
        return "has a user before its host; put what the receiver wants to know into the path or "
               "the query";
    return place_parse(span_of(rest.at, end), out->is_tls ? PORT_HTTPS : PORT_HTTP, out);
}

const char *alert_webhook_parse(struct span text, struct alert_place *out) {
    memset(out, 0, sizeof(*out));
    const char *wrong = webhook_parse(text, out);
    if (wrong != NULL)
        memset(out, 0, sizeof(*out));
    return wrong;
}

/* The decoded text and a NUL, without what could end a line of SMTP. */
static bool text_decode(struct span raw, char *out, size_t bytes_max) {
    if (!url_text_decode(raw, out, bytes_max))
        return false;
    for (; *out != '\0'; out++)
        if ((unsigned char)*out < 0x20 || *out == 0x7F)
            return false;
    return true;
}

static const char *smtp_parse(struct span text, struct alert_smtp *out) {
    struct span rest = text, user, name;
    if (url_scheme_take(&rest, SPAN("smtps://")))
        out->place.is_tls = true;
    else if (!url_scheme_take(&rest, SPAN("smtp://")))
        return "is no URL of a mail server; write smtp://HOST:PORT or smtps://HOST";
    if (!visible(rest))
        return "holds a blank, a control character or no ASCII; write %20 for a blank";
    for (size_t i = 0; i < rest.len; i++)
        if (strchr("/?#\\", rest.at[i]) != NULL)
            return "holds a /, ?, # or \\; in a user or password write %2F, %3F, %23 or %5C, a "
                   "path has no place";
    if (url_cut(&rest, '@', &user)) {
        if (rest.len != 0 && memchr(rest.at, '@', rest.len) != NULL)
            return "has an @ in its user or password; write %40";
        if (!url_cut(&user, ':', &name))
            return "has a user without a password; write USER:PASSWORD@";
        if (name.len == 0 || !text_decode(name, out->user, ALERT_USER_BYTES_MAX))
            return "has a bad user; a user is UTF-8 of 1 to 254 bytes, with % written %25";
        if (user.len == 0 || !text_decode(user, out->password, ALERT_PASSWORD_BYTES_MAX))
            return "has a bad password; a password is UTF-8 of 1 to 2048 bytes, with % written %25";
    }
    return place_parse(rest, out->place.is_tls ? PORT_SMTPS : PORT_SMTP, &out->place);
}

const char *alert_smtp_parse(struct span text, struct alert_smtp *out) {
    memset(out, 0, sizeof(*out));
    const char *wrong = smtp_parse(text, out);
    if (wrong != NULL)
        memset(out, 0, sizeof(*out));
    return wrong;
}

/* The atoms of RFC 5321: nothing quoted, no comments, no address literals. */
const char *alert_address_wrong(struct span text) {
    struct span domain = text, name;
    if (text.len > ALERT_ADDRESS_BYTES_MAX)
        return "is longer than 254 bytes";
    if (!url_cut(&domain, '@', &name) || name.len == 0 || domain.len == 0)
        return "is no address of mail; write NAME@DOMAIN";
    for (size_t i = 0; i < name.len; i++)
        if (!url_host_byte(name.at[i]) &&
            (name.at[i] == '\0' || strchr("!#$%&'*+/=?^`{|}~", name.at[i]) == NULL))
            return "has a byte before its @ that is no letter, digit or one of "
                   ".!#$%&'*+-/=?^_`{|}~";
    for (size_t i = 0; i < domain.len; i++)
        if (!url_host_byte(domain.at[i]) || domain.at[i] == '_')
            return "has a byte behind its @ that no domain has";
    if (domain.at[0] == '.' || domain.at[0] == '-')
        return "has a domain that begins with a point or a dash";
    return NULL;
}

static void place_write(struct builder *out, const struct alert_place *place) {
    builder_format(out, place->is_v6 ? "[%s]:%u" : "%s:%u", place->host, place->port);
}

void alert_webhook_write(struct builder *out, const struct alert_place *place) {
    builder_text(out, place->is_tls ? "https://" : "http://");
    place_write(out, place);
    builder_text(out, "/***");
}

void alert_smtp_write(struct builder *out, const struct alert_smtp *smtp) {
    builder_text(out, smtp->place.is_tls ? "smtps://" : "smtp://");
    url_text_write(out, smtp->user);
    if (smtp->user[0] != '\0')
        builder_text(out, ":***@");
    place_write(out, &smtp->place);
}
