#include "proto/text/url.h"

#include "proto/text/percent.h"

#include <arpa/inet.h>
#include <netinet/in.h>

bool url_scheme_take(struct span *rest, struct span scheme) {
    if (rest->len < scheme.len || !span_equal_nocase(span_of(rest->at, scheme.len), scheme))
        return false;
    *rest = span_skip(*rest, scheme.len);
    return true;
}

bool url_cut(struct span *rest, char byte, struct span *front) {
    const char *found = rest->len == 0 ? NULL : memchr(rest->at, byte, rest->len);
    if (found == NULL)
        return false;
    *front = span_of(rest->at, (size_t)(found - rest->at));
    *rest = span_skip(*rest, front->len + 1);
    return true;
}

const char *url_bytes_wrong(struct span text, const struct url_rules *rules) {
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] <= 0x20 || text.at[i] == 0x7F)
            return "holds a blank or a control character; write %20 for a blank";
        else if (text.at[i] == '?' || text.at[i] == '#')
            return rules->parameters;
    return NULL;
}

const char *url_user_take(struct span *rest, const struct url_rules *rules, char *user,
                          char *password) {
    struct span both, name, secret;
    if (!url_cut(rest, '@', &both))
        return NULL;
    if (rest->len != 0 && memchr(rest->at, '@', rest->len) != NULL)
        return "has an @ in its user or password; write %40";
    name = secret = both;
    if (!url_cut(&secret, ':', &name)) /* further colons are the password's */
        secret = span_of(NULL, 0);
    if (name.len == 0 && (secret.len == 0 || !rules->user_optional))
        return rules->no_user;
    if (!url_text_decode(name, user, rules->user_bytes_max))
        return rules->bad_user;
    if (!url_text_decode(secret, password, URL_PASSWORD_BYTES_MAX))
        return "has a bad password; a password is UTF-8 of at most 2048 bytes, with % written %25";
    return NULL;
}

/* Takes the host off the front; what is left begins with the colon of a port, or is empty. */
static const char *host_take(struct span *rest, const struct url_rules *rules,
                             struct url_place *out) {
    struct span host = *rest;
    if (rest->len != 0 && rest->at[0] == '[') {
        *rest = span_skip(*rest, 1);
        if (!url_cut(rest, ']', &host))
            return rules->no_bracket;
        out->is_v6 = true;
    } else {
        host.len = 0;
        while (host.len < rest->len && rest->at[host.len] != ':')
            host.len++;
        *rest = span_skip(*rest, host.len);
    }
    if (host.len == 0)
        return rules->no_host;
    if (host.len > URL_HOST_BYTES_MAX)
        return "has a host name of more than 255 bytes";
    for (size_t i = 0; i < host.len && !out->is_v6; i++)
        if (!url_host_byte(host.at[i]))
            return "has a host with a byte that no host has";
    memcpy(out->host, host.at, host.len);
    struct in6_addr v6;
    if (out->is_v6 && (strlen(out->host) != host.len || inet_pton(AF_INET6, out->host, &v6) != 1))
        return "has no IPv6 address between its brackets";
    return NULL;
}

const char *url_place_parse(struct span text, const struct url_rules *rules, uint16_t port_default,
                            struct url_place *out) {
    uint32_t port = port_default;
    const char *wrong = host_take(&text, rules, out);
    if (wrong != NULL)
        return wrong;
    if (text.len != 0 && text.at[0] != ':')
        return rules->behind_bracket;
    if (text.len != 0 && rules->several_colons != NULL &&
        memchr(text.at + 1, ':', text.len - 1) != NULL)
        return rules->several_colons;
    if (text.len != 0 && (!url_number_parse(span_skip(text, 1), 65535, &port) || port == 0))
        return "has a bad port; a port is a number from 1 to 65535";
    out->port = (uint16_t)port;
    return NULL;
}

bool url_number_parse(struct span text, uint32_t max, uint32_t *out) {
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.at[i] - '0');
        if (value > max)
            return false;
    }
    *out = (uint32_t)value;
    return text.len != 0;
}

bool url_text_decode(struct span raw, char *out, size_t bytes_max) {
    struct builder scratch = builder_over(out, bytes_max);
    struct span text;
    if (percent_text(raw, PERCENT_PATH, &scratch, &text, NULL) != NULL || text.len > bytes_max)
        return false;
    if (text.len != 0)
        memmove(out, text.at, text.len);
    out[text.len] = '\0';
    return true;
}

bool url_host_byte(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '.' || byte == '-' || byte == '_';
}

void url_place_write(struct builder *out, const struct url_place *place) {
    builder_format(out, place->is_v6 ? "[%s]:%u" : "%s:%u", place->host, place->port);
}

void url_text_write(struct builder *out, const char *text) {
    for (; *text != '\0'; text++) {
        if (url_host_byte(*text) || *text == '~')
            builder_byte(out, *text);
        else
            builder_format(out, "%%%02X", (unsigned char)*text);
    }
}
