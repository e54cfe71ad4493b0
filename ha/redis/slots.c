#include "ha/redis/slots.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <string.h>

#define NOBODY 255
_Static_assert(SLOTS_PRIMARIES_MAX <= NOBODY, "a primary is one byte");

/* --- channels -------------------------------------------------------------------------------- */

uint16_t slots_crc16(struct span bytes) {
    /* Of the four upper bits, which is all that a byte needs twice. */
    static const uint16_t table[16] = {0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50A5,
                                       0x60C6, 0x70E7, 0x8108, 0x9129, 0xA14A, 0xB16B,
                                       0xC18C, 0xD1AD, 0xE1CE, 0xF1EF};
    unsigned crc = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned byte = (unsigned char)bytes.at[i];
        crc = (crc << 4 ^ table[(crc >> 12 ^ byte >> 4) & 15]) & 0xFFFF;
        crc = (crc << 4 ^ table[(crc >> 12 ^ byte) & 15]) & 0xFFFF;
    }
    return (uint16_t)crc;
}

unsigned slots_of(struct span channel) {
    const char *open = channel.len == 0 ? NULL : memchr(channel.at, '{', channel.len);
    if (open != NULL) {
        struct span tag = span_skip(channel, (size_t)(open - channel.at) + 1);
        const char *close = tag.len == 0 ? NULL : memchr(tag.at, '}', tag.len);
        if (close != NULL && close != tag.at)
            channel = span_of(tag.at, (size_t)(close - tag.at));
    }
    return slots_crc16(channel) % SLOTS;
}

/* --- the map --------------------------------------------------------------------------------- */

/* Cuts off what stands before the first `byte`, which is dropped; without one all of it. */
static struct span cut(struct span *rest, char byte) {
    const char *found = rest->len == 0 ? NULL : memchr(rest->at, byte, rest->len);
    struct span front = span_of(rest->at, found == NULL ? rest->len : (size_t)(found - rest->at));
    *rest = span_skip(*rest, front.len + (found != NULL));
    return front;
}

static bool number(struct span text, uint64_t max, uint64_t *out) {
    uint64_t value = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(text.at[i] - '0');
        if (digit > 9 || value > (max - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return text.len != 0;
}

static bool has_flag(struct span flags, const char *flag) {
    while (flags.len != 0)
        if (span_equal(cut(&flags, ','), span_text(flag)))
            return true;
    return false;
}

/* `127.0.0.1:6379@16379,host.example`: what is behind the @ is for the nodes' own ears. */
static bool place_read(struct span text, struct slots_primary *primary) {
    unsigned char address[sizeof(struct in6_addr)];
    uint64_t port;
    struct span place = cut(&text, '@');
    const char *colon = place.len == 0 ? NULL : memrchr(place.at, ':', place.len);
    if (colon == NULL)
        return false;
    struct span host = span_of(place.at, (size_t)(colon - place.at));
    if (!number(span_skip(place, host.len + 1), 65535, &port) || port == 0 ||
        host.len >= sizeof(primary->host))
        return false;
    memset(primary, 0, sizeof(*primary));
    memcpy(primary->host, host.at, host.len);
    primary->port = (uint16_t)port;
    return host.len == 0 || (strlen(primary->host) == host.len &&
                             (inet_pton(AF_INET, primary->host, address) == 1 ||
                              inet_pton(AF_INET6, primary->host, address) == 1));
}

static bool is_listed(const struct slots_map *map, const struct slots_primary *primary) {
    for (unsigned i = 0; i < map->count; i++)
        if (map->primaries[i].port == primary->port &&
            strcmp(map->primaries[i].host, primary->host) == 0)
            return true;
    return false;
}

/* One of `7`, `0-5460`, and `[93->-...` of a slot that is on its way, which still is where it is.
 */
static const char *range_take(struct slots_map *map, struct span text) {
    uint64_t first, last;
    if (text.len != 0 && text.at[0] == '[')
        return NULL;
    bool is_one = text.len == 0 || memchr(text.at, '-', text.len) == NULL;
    struct span from = cut(&text, '-');
    if (!number(from, SLOTS - 1, &first) || !number(is_one ? from : text, SLOTS - 1, &last) ||
        last < first)
        return "it has a range of slots that is none";
    for (uint64_t slot = first; slot <= last; slot++) {
        if (map->of[slot] != NOBODY)
            return "a slot belongs to two nodes";
        map->of[slot] = (uint8_t)map->count;
    }
    return NULL;
}

/* <id> <place> <flags> <primary> <ping> <pong> <epoch> <link> <slot> ... */
static const char *line_take(struct slots_map *map, struct span line) {
    struct slots_primary primary;
    uint64_t epoch;
    struct span id = cut(&line, ' '), place = cut(&line, ' '), flags = cut(&line, ' ');
    for (unsigned i = 0; i < 3; i++)
        cut(&line, ' ');
    if (!number(cut(&line, ' '), UINT64_MAX, &epoch) || id.len == 0)
        return "a line of it is none of a node";
    cut(&line, ' ');
    if (epoch > map->epoch)
        map->epoch = epoch;
    if (line.len == 0)
        return NULL; /* it has no slots */
    if (!has_flag(flags, "master"))
        return "slots belong to a node that is no primary";
    if (!place_read(place, &primary))
        return "a node has no address";
    if (is_listed(map, &primary))
        return "two nodes have one address";
    if (map->count == SLOTS_PRIMARIES_MAX)
        return "it has more than 128 primaries";
    bool has_any = false;
    while (line.len != 0) {
        struct span range = cut(&line, ' ');
        const char *why = range_take(map, range);
        if (why != NULL)
            return why;
        has_any |= range.len != 0 && range.at[0] != '[';
    }
    if (has_any)
        map->primaries[map->count++] = primary;
    return NULL;
}

const char *slots_read(struct span text, struct slots_map *map) {
    memset(map, 0, sizeof(*map));
    memset(map->of, NOBODY, sizeof(map->of));
    while (text.len != 0) {
        struct span line = cut(&text, '\n');
        if (line.len != 0 && line.at[line.len - 1] == '\r')
            line.len--;
        const char *why = line.len == 0 ? NULL : line_take(map, line);
        if (why != NULL)
            return why;
    }
    for (unsigned slot = 0; slot < SLOTS; slot++)
        if (map->of[slot] == NOBODY)
            return "some slots belong to nobody";
    return NULL;
}
