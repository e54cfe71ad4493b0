#include "ha/redis/spread.h"

#include "core/base/hash.h"

#include <stdio.h>

uint64_t spread_server(const struct redis_url *url) {
    char text[URL_HOST_BYTES_MAX + sizeof(":65535")];
    int len = snprintf(text, sizeof(text), "%s:%u", url->host, url->port);
    for (char *at = text; *at != '\0'; at++)
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at | 0x20);
    return hash_content(span_of(text, (size_t)len)).low;
}

uint64_t spread_channel(struct span name) {
    return hash_content(name).low;
}

/* Both are well mixed already; what is left is to mix them with each other (the end of
 * SplitMix64). One hash of the channel so does for any number of servers. */
uint64_t spread_score(uint64_t server, uint64_t channel) {
    uint64_t x = server ^ channel;
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}
