/* address.c - see address.h. */
#include "main/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>

static bool refuse(char why[ADDRESS_WHY_MAX], const char *text) {
    snprintf(why, ADDRESS_WHY_MAX, "%s", text);
    return false;
}

/* Decimal without sign, at most `max`. */
static bool number_parse(struct span text, unsigned max, unsigned *out) {
    if (text.len == 0 || text.len > 5)
        return false;
    unsigned value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.at[i] < '0' || text.at[i] > '9')
            return false;
        value = value * 10 + (unsigned)(text.at[i] - '0');
    }
    *out = value;
    return value <= max;
}

static bool host_byte_ok(char byte) {
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || byte == '.' || byte == '-' || byte == '_';
}

bool address_split(struct span text, struct span *host, uint16_t *port, char why[ADDRESS_WHY_MAX]) {
    struct span port_text;
    if (text.len == 0)
        return refuse(why, "is empty; write ADDR:PORT, such as 127.0.0.1:7000");
    if (text.at[0] == '[') {
        const char *close = memchr(text.at, ']', text.len);
        if (close == NULL)
            return refuse(why, "has no ] after the IPv6 address; write [::1]:7000");
        *host = span_of(text.at + 1, (size_t)(close - text.at) - 1);
        struct span rest = span_skip(text, (size_t)(close - text.at) + 1);
        if (rest.len == 0 || rest.at[0] != ':')
            return refuse(why, "has no port; write [ADDR]:PORT, such as [::1]:7000");
        port_text = span_skip(rest, 1);
        for (size_t i = 0; i < host->len; i++)
            if (host->at[i] != ':' && host->at[i] != '%' && !host_byte_ok(host->at[i]))
                return refuse(why, "is not an IPv6 address between its brackets");
    } else {
        const char *colon = memchr(text.at, ':', text.len);
        if (colon == NULL)
            return refuse(why, "has no port; write ADDR:PORT, such as 127.0.0.1:7000");
        *host = span_of(text.at, (size_t)(colon - text.at));
        port_text = span_skip(text, host->len + 1);
        if (memchr(port_text.at, ':', port_text.len) != NULL)
            return refuse(why, "has several colons; write an IPv6 address in brackets, [::1]:7000");
        for (size_t i = 0; i < host->len; i++)
            if (!host_byte_ok(host->at[i]))
                return refuse(why, "holds a byte that no address has; write ADDR:PORT");
    }
    if (host->len > ADDRESS_HOST_MAX)
        return refuse(why, "has a host name of more than 255 bytes");
    unsigned number;
    if (!number_parse(port_text, 65535, &number))
        return refuse(why, "has a bad port; a port is a number from 0 to 65535");
    *port = (uint16_t)number;
    return true;
}

/* An IPv4 or IPv6 literal. `family` is AF_INET or AF_INET6; `out` has room for 16 bytes. */
static bool literal_parse(struct span text, int family, void *out) {
    char copy[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    return strlen(copy) == text.len && inet_pton(family, copy, out) == 1;
}

bool address_parse(struct span text, struct listen_address *out, char why[ADDRESS_WHY_MAX]) {
    struct span host;
    uint16_t port;
    if (!address_split(text, &host, &port, why))
        return false;
    if (host.len == 0)
        return refuse(why, "has no address; write 0.0.0.0:PORT or [::]:PORT to listen on all");

    memset(&out->address, 0, sizeof(out->address));
    if (text.at[0] == '[') {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        if (!literal_parse(host, AF_INET6, &v6.sin6_addr))
            return refuse(why, "is not an IPv6 address between its brackets");
        memcpy(&out->address, &v6, sizeof(v6));
        out->address_len = sizeof(v6);
        return true;
    }
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (span_equal_nocase(host, SPAN("localhost")))
        v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (!literal_parse(host, AF_INET, &v4.sin_addr))
        return refuse(why, "is not an IP address; names are not looked up, write 0.0.0.0:7000 or "
                           "127.0.0.1:7000 or [::]:7000");
    memcpy(&out->address, &v4, sizeof(v4));
    out->address_len = sizeof(v4);
    return true;
}

bool address_is_loopback(const struct sockaddr_storage *address) {
    if (address->ss_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof(v4));
        return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    }
    if (address->ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, address, sizeof(v6));
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr))
            return v6.sin6_addr.s6_addr[12] == 127;
        return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    return false;
}

static uint16_t port_bits(const struct listen_address *address) {
    struct sockaddr_in v4; /* the port stands at the same place in both */
    memcpy(&v4, &address->address, sizeof(v4));
    return v4.sin_port;
}

/* The bytes of the host: 4 or 16. */
static struct span host_of(const struct listen_address *address) {
    const char *at = (const char *)&address->address;
    if (address->address.ss_family == AF_INET)
        return span_of(at + offsetof(struct sockaddr_in, sin_addr), 4);
    return span_of(at + offsetof(struct sockaddr_in6, sin6_addr), 16);
}

static bool is_wildcard(const struct listen_address *address) {
    static const char zeroes[16];
    struct span host = host_of(address);
    return memcmp(host.at, zeroes, host.len) == 0;
}

bool address_overlaps(const struct listen_address *a, const struct listen_address *b) {
    return a->address.ss_family == b->address.ss_family && port_bits(a) != 0 &&
           port_bits(a) == port_bits(b) &&
           (is_wildcard(a) || is_wildcard(b) || span_equal(host_of(a), host_of(b)));
}

bool address_leaves_v4(const struct listen_address *v6, const struct listen_address *v4) {
    return v6->address.ss_family == AF_INET6 && is_wildcard(v6) &&
           v4->address.ss_family == AF_INET && port_bits(v6) != 0 && port_bits(v6) == port_bits(v4);
}

static const uint8_t v4_mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool network_parse(struct span text, struct network *out, char why[ADDRESS_WHY_MAX]) {
    struct span address = text;
    struct span prefix = {NULL, 0};
    const char *slash = text.len == 0 ? NULL : memchr(text.at, '/', text.len);
    if (slash != NULL) {
        address.len = (size_t)(slash - text.at);
        prefix = span_skip(text, address.len + 1);
    }

    unsigned bits_max = 128, bits_mapped = 0;
    if (literal_parse(address, AF_INET, out->address + 12)) {
        memcpy(out->address, v4_mapped, sizeof(v4_mapped));
        bits_max = 32;
        bits_mapped = 96;
    } else if (!literal_parse(address, AF_INET6, out->address)) {
        return refuse(why, "is not a network; write 10.0.0.0/8, 2001:db8::/32 or one address");
    }
    unsigned bits = bits_max;
    if (slash != NULL && !number_parse(prefix, bits_max, &bits)) {
        snprintf(why, ADDRESS_WHY_MAX, "has a bad prefix; after the / stands a number from 0 to %u",
                 bits_max);
        return false;
    }
    bits += bits_mapped;
    for (unsigned bit = bits; bit < 128; bit++)
        if ((out->address[bit / 8] >> (7 - bit % 8) & 1) != 0)
            return refuse(why, "has bits set behind its prefix; write the first address of the "
                               "network, such as 10.0.0.0/8");
    out->prefix_bits = (uint8_t)bits;
    return true;
}

void network_format(const struct network *network, char text[NETWORK_TEXT_MAX]) {
    char address[INET6_ADDRSTRLEN];
    bool mapped =
        network->prefix_bits >= 96 && memcmp(network->address, v4_mapped, sizeof(v4_mapped)) == 0;
    inet_ntop(mapped ? AF_INET : AF_INET6, mapped ? network->address + 12 : network->address,
              address, sizeof(address));
    snprintf(text, NETWORK_TEXT_MAX, "%s/%u", address, network->prefix_bits - (mapped ? 96u : 0u));
}
