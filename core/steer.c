/* Pure parts of net.h: the hash that steers, and how a peer is written. Apart from net.c because
 * the simulation replaces that one and needs these as they are. */
#include "core/net.h"

#include "core/base/builder.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

static uint32_t word_at(const struct peer_address *peer, unsigned at) {
    return (uint32_t)peer->bytes[at] << 24 | (uint32_t)peer->bytes[at + 1] << 16 |
           (uint32_t)peer->bytes[at + 2] << 8 | peer->bytes[at + 3];
}

static bool peer_is_v4(const struct peer_address *peer) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(peer->bytes, mapped, sizeof(mapped)) == 0;
}

uint32_t steer_hash(const struct peer_address *peer) {
    uint32_t word = word_at(peer, 12);
    if (!peer_is_v4(peer))
        word ^= word_at(peer, 0) ^ word_at(peer, 4) ^ word_at(peer, 8);
    return word * UINT32_C(0x9E3779B1);
}

void net_peer_text(const struct peer_address *peer, char text[PEER_ADDRESS_TEXT_MAX]) {
    char host[INET6_ADDRSTRLEN];
    if (peer_is_v4(peer)) {
        inet_ntop(AF_INET, peer->bytes + 12, host, sizeof(host));
        snprintf(text, PEER_ADDRESS_TEXT_MAX, "%s", host);
    } else {
        inet_ntop(AF_INET6, peer->bytes, host, sizeof(host));
        snprintf(text, PEER_ADDRESS_TEXT_MAX, "[%s]", host);
    }
    size_t len = strlen(text);
    if (peer->port != 0)
        snprintf(text + len, PEER_ADDRESS_TEXT_MAX - len, ":%u", peer->port);
}
