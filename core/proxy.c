#include "core/proxy.h"

#include <arpa/inet.h>
#include <stdlib.h>

static const char signature_v2[12] = {'\r', '\n', '\r', '\n', 0,   '\r',
                                      '\n', 'Q',  'U',  'I',  'T', '\n'};

static void peer_from_v4(struct peer_address *peer, const void *v4) {
    memset(peer->bytes, 0, 10);
    memset(peer->bytes + 10, 0xff, 2);
    memcpy(peer->bytes + 12, v4, 4);
}

static bool prefix_matches(struct span bytes, const char *wanted, size_t wanted_len) {
    size_t len = bytes.len < wanted_len ? bytes.len : wanted_len;
    return memcmp(bytes.at, wanted, len) == 0;
}

static enum proxy_verdict parse_v2(struct span bytes, size_t *header_bytes,
                                   struct peer_address *peer, const char **why) {
    if (bytes.len < 16)
        return PROXY_MORE;
    const uint8_t *at = (const uint8_t *)bytes.at;
    size_t len = (size_t)at[14] << 8 | at[15];
    if (at[12] >> 4 != 2) {
        *why = "its version is not 2";
        return PROXY_BAD;
    }
    if (16 + len > PROXY_HEADER_BYTES_MAX) {
        *why = "it is longer than 4096 bytes";
        return PROXY_BAD;
    }
    if (bytes.len < 16 + len)
        return PROXY_MORE;
    *header_bytes = 16 + len;
    unsigned command = at[12] & 15, family = at[13] >> 4, transport = at[13] & 15;
    if (command > 1) {
        *why = "its command is neither LOCAL nor PROXY";
        return PROXY_BAD;
    }
    if (command == 0 || family == 0)
        return PROXY_KEEP;
    if (transport != 1 || (family != 1 && family != 2)) {
        *why = "it is not about TCP over IPv4 or IPv6";
        return PROXY_BAD;
    }
    if (len < (family == 1 ? 12u : 36u)) {
        *why = "its addresses are cut short";
        return PROXY_BAD;
    }
    if (family == 1) {
        peer_from_v4(peer, at + 16);
        peer->port = (uint16_t)(at[24] << 8 | at[25]);
    } else {
        memcpy(peer->bytes, at + 16, 16);
        peer->port = (uint16_t)(at[48] << 8 | at[49]);
    }
    return PROXY_NAMED;
}

/* The next word of a version 1 header, up to one space or the end; copied with a NUL behind it,
 * and none in it, where the C library would take it for the end. */
static bool word_next(struct span *rest, char *word, size_t cap) {
    size_t len = 0;
    while (len < rest->len && rest->at[len] != ' ')
        len++;
    if (len == 0 || len >= cap || memchr(rest->at, 0, len) != NULL)
        return false;
    memcpy(word, rest->at, len);
    word[len] = 0;
    *rest = span_skip(*rest, len < rest->len ? len + 1 : len);
    return true;
}

static bool port_parse(const char *word, uint16_t *port) {
    unsigned long value = 0;
    for (const char *at = word; *at != 0; at++) {
        if (*at < '0' || *at > '9' || at - word > 4)
            return false;
        value = value * 10 + (unsigned long)(*at - '0');
    }
    *port = (uint16_t)value;
    return value <= 65535;
}

static enum proxy_verdict parse_v1(struct span bytes, size_t *header_bytes,
                                   struct peer_address *peer, const char **why) {
    size_t look = bytes.len < 107 ? bytes.len : 107;
    const char *end = memchr(bytes.at, '\n', look);
    if (end == NULL) {
        *why = "its line does not end within 107 bytes";
        return look < 107 ? PROXY_MORE : PROXY_BAD;
    }
    *header_bytes = (size_t)(end - bytes.at) + 1;
    *why = "its line is not `PROXY TCP4|TCP6 source destination port port`";
    if (*header_bytes < 8 || end[-1] != '\r')
        return PROXY_BAD;
    struct span rest = span_of(bytes.at + 6, *header_bytes - 8);
    char family[8], source[48], destination[48], source_port[8], destination_port[8];
    if (!word_next(&rest, family, sizeof(family)))
        return PROXY_BAD;
    if (strcmp(family, "UNKNOWN") == 0)
        return PROXY_KEEP;
    if (!word_next(&rest, source, sizeof(source)) ||
        !word_next(&rest, destination, sizeof(destination)) ||
        !word_next(&rest, source_port, sizeof(source_port)) ||
        !word_next(&rest, destination_port, sizeof(destination_port)) || rest.len != 0)
        return PROXY_BAD;
    uint16_t ignored;
    uint8_t address[16], other[16];
    if (!port_parse(source_port, &peer->port) || !port_parse(destination_port, &ignored))
        return PROXY_BAD;
    if (strcmp(family, "TCP4") == 0) {
        if (inet_pton(AF_INET, source, address) != 1 || inet_pton(AF_INET, destination, other) != 1)
            return PROXY_BAD;
        peer_from_v4(peer, address);
        return PROXY_NAMED;
    }
    if (strcmp(family, "TCP6") != 0 || inet_pton(AF_INET6, source, address) != 1 ||
        inet_pton(AF_INET6, destination, other) != 1)
        return PROXY_BAD;
    memcpy(peer->bytes, address, 16);
    return PROXY_NAMED;
}

enum proxy_verdict proxy_parse(struct span bytes, size_t *header_bytes, struct peer_address *peer,
                               const char **why) {
    if (prefix_matches(bytes, signature_v2, sizeof(signature_v2)))
        return bytes.len < sizeof(signature_v2) ? PROXY_MORE
                                                : parse_v2(bytes, header_bytes, peer, why);
    if (prefix_matches(bytes, "PROXY ", 6))
        return bytes.len < 6 ? PROXY_MORE : parse_v1(bytes, header_bytes, peer, why);
    *why = "there is none";
    return PROXY_BAD;
}

static bool network_has(const struct network *network, const struct peer_address *peer) {
    unsigned whole = network->prefix_bits / 8, rest = network->prefix_bits % 8;
    if (memcmp(network->address, peer->bytes, whole) != 0)
        return false;
    unsigned mask = 0xff00u >> rest & 0xff;
    return rest == 0 || ((network->address[whole] ^ peer->bytes[whole]) & mask) == 0;
}

static bool networks_have(const struct network *networks, unsigned count,
                          const struct peer_address *peer) {
    for (unsigned i = 0; i < count; i++)
        if (network_has(&networks[i], peer))
            return true;
    return false;
}

bool proxy_trusts(const struct config *config, const struct peer_address *peer) {
    return networks_have(config->proxies, config->proxy_count, peer);
}

bool proxy_forwards(const struct config *config, const struct peer_address *peer) {
    return networks_have(config->forwarders, config->forwarder_count, peer);
}
