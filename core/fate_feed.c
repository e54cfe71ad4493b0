#include "core/fate_feed.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/fate.h"

#include <stdlib.h>

bool fates_feed(struct fates *fates, unsigned endpoint) {
    fates->feed.fates = calloc(FATE_FEED_MAX, sizeof(fates->feed.fates[0]));
    if (SHORTAGE(fates->feed.fates == NULL))
        return false;
    fates->feed.endpoint = endpoint;
    atomic_store_explicit(&fates->feed.runs, true, memory_order_release);
    return true;
}

bool fate_feed_put(struct fate_feed *feed, struct fate *fate) {
    if (!atomic_load_explicit(&feed->runs, memory_order_acquire) || fate->lent)
        return false;
    CHECK(pthread_mutex_lock(&feed->lock) == 0);
    bool full = feed->count == FATE_FEED_MAX, first = feed->count == 0;
    if (full) {
        atomic_fetch_add_explicit(&feed->untold, 1, memory_order_relaxed);
    } else {
        fate->holds++;
        feed->fates[(feed->first + feed->count++) % FATE_FEED_MAX] = fate;
    }
    CHECK(pthread_mutex_unlock(&feed->lock) == 0);
    return !full && first;
}

struct fate *fates_feed_next(struct fates *fates) {
    struct fate_feed *feed = &fates->feed;
    struct fate *fate = NULL;
    CHECK(pthread_mutex_lock(&feed->lock) == 0);
    if (feed->count != 0) {
        fate = feed->fates[feed->first];
        feed->first = (feed->first + 1) % FATE_FEED_MAX;
        feed->count--;
    }
    CHECK(pthread_mutex_unlock(&feed->lock) == 0);
    return fate;
}

void fates_feed_end(struct fates *fates) {
    struct fate *fate;
    atomic_store_explicit(&fates->feed.runs, false, memory_order_release);
    while ((fate = fates_feed_next(fates)) != NULL)
        fates_release(fates, fate);
}
