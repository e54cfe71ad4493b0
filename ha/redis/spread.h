/* spread.h - over which of several servers each channel is spread, by rendezvous hashing: of all
 * servers the one that scores highest with the channel has it.
 *
 * So every node chooses the same server, in whatever order they were named to it, and of n servers
 * one that comes or goes moves about 1/n of the channels, to it or from it alone.
 *
 * Threads: any (pure functions). */
#ifndef RINGPOST_HA_REDIS_SPREAD_H
#define RINGPOST_HA_REDIS_SPREAD_H

#include "core/base/span.h"
#include "ha/redis/redis_url.h"

/* What stands for a server: of its host, as it is written but for upper case, and its port. */
uint64_t spread_server(const struct redis_url *url);
/* What stands for a channel. */
uint64_t spread_channel(struct span name);
/* How high they score. */
uint64_t spread_score(uint64_t server, uint64_t channel);

#endif
