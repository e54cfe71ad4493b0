/* Any bytes as the map of a Redis Cluster: it is taken as a whole, each slot being somebody's, or
 * not at all; and any bytes as a channel. */
#include "core/base/check.h"
#include "ha/redis/slots.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    static struct slots_map map;
    char *alone = malloc(len + 1);
    CHECK(alone != NULL);
    if (len != 0)
        memcpy(alone, at, len);
    struct span text = span_of(alone, len);
    CHECK(slots_of(text) < SLOTS);
    if (slots_read(text, &map) == NULL) {
        CHECK(map.count > 0 && map.count <= SLOTS_PRIMARIES_MAX);
        for (unsigned slot = 0; slot < SLOTS; slot++)
            CHECK(map.of[slot] < map.count);
        for (unsigned i = 0; i < map.count; i++)
            CHECK(map.primaries[i].port != 0 && strlen(map.primaries[i].host) < INET6_ADDRSTRLEN);
    }
    free(alone);
    return 0;
}
