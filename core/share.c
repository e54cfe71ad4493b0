#include "core/share.h"

#include "core/admission.h"
#include "core/base/check.h"
#include "core/base/shortage.h"

#include <string.h>

/* Of what a worker serves, light shares have this part together. */
#define LIGHT_PART 2
/* A cycle changes the smoothed values by this part. */
#define SMOOTH_PART 8
#define EPOCH_CYCLES ((uint32_t)(NS_PER_S / ADMISSION_CYCLE_NS))

void shares_init(struct shares *shares) {
    memset(shares, 0, sizeof(*shares));
    shares->max = SHARES_MAX;
    shares->epoch = 1;
    shares->at[0].cycle_ns = ADMISSION_CYCLE_NS;
}

/* --- places ----------------------------------------------------------------------------------- */

static uint16_t *bucket_of(struct shares *shares, uint64_t producer) {
    /* Numbers may be small ones. */
    return &shares->buckets[(producer * UINT64_C(0x9E3779B97F4A7C15) >> 32) % SHARES_MAX];
}

static void share_begin(struct shares *shares, struct share *share, uint64_t producer) {
    /* Nothing is known of it, so it asks for little until it has asked for more. */
    *share = (struct share){.producer = producer, .cycle_ns = ADMISSION_CYCLE_NS, .light = true};
    shares->count++;
}

static uint16_t place_take(struct shares *shares) {
    uint16_t place = shares->free;
    if (place != 0) {
        shares->free = shares->at[place].next;
        return place;
    }
    return shares->used < shares->max ? ++shares->used : 0;
}

static void place_give(struct shares *shares, uint16_t place) {
    struct share *share = &shares->at[place];
    shares->count--;
    share->asked_ns = 0;
    if (place == 0)
        return;
    uint16_t *link = bucket_of(shares, share->producer);
    while (*link != place) {
        CHECK(*link != 0, "a share is not in its bucket");
        link = &shares->at[*link].next;
    }
    *link = share->next;
    share->producer = 0;
    share->next = shares->free;
    shares->free = place;
}

/* The place of a producer that was not where it was looked for. */
static uint16_t place_find(struct shares *shares, uint64_t producer) {
    if (producer == 0)
        return 0;
    uint16_t *bucket = bucket_of(shares, producer);
    for (uint16_t at = *bucket; at != 0; at = shares->at[at].next)
        if (shares->at[at].producer == producer)
            return at;
    uint16_t place = place_take(shares);
    if (SHORTAGE(place == 0))
        return 0;
    share_begin(shares, &shares->at[place], producer);
    shares->at[place].next = *bucket;
    *bucket = place;
    return place;
}

struct share *shares_find(struct shares *shares, uint64_t producer, uint16_t *place,
                          uint64_t now_ns) {
    if (shares->at[*place].producer != producer || producer == 0)
        *place = place_find(shares, producer);
    struct share *share = &shares->at[*place];
    if (*place == 0) {
        shares->merged += producer != 0;
        if (share->asked_ns == 0)
            share_begin(shares, share, 0);
    }
    share->asked_ns = now_ns;
    return share;
}

void shares_published(struct shares *shares, uint16_t place, uint32_t copies) {
    shares->at[place].units += SHARE_MESSAGE_UNITS + copies;
}

void shares_press(struct shares *shares, uint64_t now_ns) {
    shares->press_ns = now_ns;
}

/* --- parts ------------------------------------------------------------------------------------ */

static void approach(double *smoothed, double now, double part) {
    *smoothed += (now - *smoothed) * part;
}

/* What a share asked for in the time that `cycles` tells, and got. */
static void share_measure(struct share *share, double cycles) {
    double part = cycles < SMOOTH_PART ? cycles / SMOOTH_PART : 1;
    double units = share->units / cycles;
    /* What was refused would have cost as much as what was taken. */
    double wanted = share->taken != 0 ? units * share->asked / share->taken
                                      : share->asked * (double)SHARE_REQUEST_UNITS / cycles;
    approach(&share->demand, wanted, part);
    approach(&share->served, units, part);
    approach(&share->requests, share->taken / cycles, part);
    share->asked = share->taken = share->units = 0;
}

/* How long the cycle must be so that `allowed` requests for each connection in it make no more than
 * the fair part. */
static uint64_t share_cycle(const struct shares *shares, const struct share *share) {
    uint32_t connections = share->counted > share->before ? share->counted : share->before;
    if (!(share->served > 0) || !(shares->fair > 0))
        return ADMISSION_CYCLE_NS;
    double requests = shares->fair * share->requests / share->served; /* that the part is */
    double cycles = (double)ADMISSION_MODEST * connections / requests;
    if (!(cycles > 1))
        return ADMISSION_CYCLE_NS;
    double most = (double)SHARE_CYCLE_MAX_NS / (double)ADMISSION_CYCLE_NS;
    return (uint64_t)((cycles < most ? cycles : most) * (double)ADMISSION_CYCLE_NS);
}

/* What light shares leave of the half, divided by those that are not. As it is done anew in each
 * cycle, it comes to rest where `fair` and who is light by it agree. */
static void fair_determine(struct shares *shares, double served, double light, uint32_t heavy) {
    double half = served / LIGHT_PART;
    shares->fair = heavy != 0 && half > light ? (half - light) / heavy
                   : shares->count != 0       ? half / shares->count
                                              : 0;
}

static void shares_divide(struct shares *shares, uint64_t now_ns, bool epoch_ends) {
    double cycles = (double)(now_ns - shares->since_ns) / (double)ADMISSION_CYCLE_NS;
    double served = 0, light = 0;
    uint32_t heavy = 0;
    for (uint16_t i = 0; i <= shares->used; i++) {
        struct share *share = &shares->at[i];
        if (share->asked_ns == 0)
            continue;
        share_measure(share, cycles);
        if (epoch_ends) {
            share->before = share->counted;
            share->counted = 0;
        }
        served += share->served;
        if (share->demand < shares->fair)
            light += share->served;
        else
            heavy++;
        if (now_ns - share->asked_ns >= SHARE_IDLE_NS)
            place_give(shares, i);
    }
    fair_determine(shares, served, light, heavy);
    bool pressed = shares->press_ns != 0 && now_ns - shares->press_ns < SHARE_PRESS_NS;
    for (uint16_t i = 0; i <= shares->used; i++) {
        struct share *share = &shares->at[i];
        if (share->asked_ns == 0)
            continue;
        share->light = share->demand < shares->fair;
        bool divided = pressed && shares_many(shares) && !share->light;
        share->cycle_ns = divided ? share_cycle(shares, share) : ADMISSION_CYCLE_NS;
    }
}

void shares_turn(struct shares *shares, uint64_t now_ns) {
    if (shares->since_ns == 0)
        shares->since_ns = now_ns;
    if (now_ns - shares->since_ns < ADMISSION_CYCLE_NS)
        return;
    bool epoch_ends = ++shares->cycles >= EPOCH_CYCLES;
    if (shares->count != 0)
        shares_divide(shares, now_ns, epoch_ends);
    if (epoch_ends) {
        shares->cycles = 0;
        shares->epoch++;
    }
    shares->since_ns = now_ns;
}
