/* fake_amqp_door.h - what a test says and hears at the doors of fake_amqp_door.c. Threads: one. */
#ifndef RINGPOST_TESTS_FAKES_FAKE_AMQP_DOOR_H
#define RINGPOST_TESTS_FAKES_FAKE_AMQP_DOOR_H

#include "ingest/amqp/amqp_door.h"

#define FAKE_DOORS_MAX 4
#define FAKE_EVENTS_MAX 512

struct fake_door {
    struct door *door;
    struct door_event events[FAKE_EVENTS_MAX];
    unsigned first, event_count;
    char heard[1 << 16]; /* a line for each method */
    bool full;           /* nothing can be written */
    unsigned beats;
    char opened[4096]; /* HOST.ADDRESS of each try, with a blank */
    size_t header_max; /* of letters; 0: any */
    char header[8192]; /* of the last letter */
    size_t header_len;
};

extern struct fake_door fake_doors[FAKE_DOORS_MAX];
extern unsigned fake_door_count;
extern bool fake_broker_gone;   /* who connects is refused */
extern bool fake_broker_silent; /* or hears nothing */
extern bool fake_broker_mute;   /* methods have no answer */

void fake_doors_reset(void);
struct fake_door *fake_door_of(const struct door *door);
/* The broker says something; spans must live until it was heard. */
void fake_door_say(struct fake_door *fake, struct door_event event);
/* The connection is lost. */
void fake_door_lose(struct fake_door *fake, const char *why);

#endif
