/* fake_amqp_door.c - doors to a broker that is none: what is written there is noted as text, what
 * comes from there the test says. Takes the place of ingest/amqp/amqp_door.c. */
#include "tests/fakes/fake_amqp_door.h"

#include "core/base/check.h"
#include "ingest/amqp/amqp_wire.h"

#include <stdarg.h>
#include <stdio.h>

struct fake_door fake_doors[FAKE_DOORS_MAX];
unsigned fake_door_count;
bool fake_broker_gone, fake_broker_silent, fake_broker_mute;

void fake_doors_reset(void) {
    memset(fake_doors, 0, sizeof(fake_doors));
    fake_door_count = 0;
    fake_broker_gone = fake_broker_silent = fake_broker_mute = false;
}

struct fake_door *fake_door_of(const struct door *door) {
    for (unsigned i = 0; i < fake_door_count; i++)
        if (fake_doors[i].door == door)
            return &fake_doors[i];
    CHECK(false, "no such door");
    return NULL;
}

void fake_door_say(struct fake_door *fake, struct door_event event) {
    CHECK(fake->event_count < FAKE_EVENTS_MAX, "too much is said");
    fake->events[(fake->first + fake->event_count++) % FAKE_EVENTS_MAX] = event;
}

__attribute__((format(printf, 2, 3))) static void note(struct door *door, const char *format, ...) {
    struct fake_door *fake = fake_door_of(door);
    size_t len = strlen(fake->heard);
    va_list arguments;
    CHECK(door->state == DOOR_OPEN && !fake->full, "nothing can be written");
    va_start(arguments, format);
    vsnprintf(fake->heard + len, sizeof(fake->heard) - len, format, arguments);
    va_end(arguments);
}

/* What a broker answers at once. */
static void answer(struct door *door, uint16_t channel, enum door_event_kind kind) {
    if (!fake_broker_mute)
        fake_door_say(fake_door_of(door), (struct door_event){.kind = kind, .channel = channel});
}

bool door_load(char *problem, size_t problem_cap) {
    (void)problem, (void)problem_cap;
    return true;
}

bool door_resolve(struct door_place *place, char *problem, size_t problem_cap) {
    if (strcmp(place->url.host, "unknown") == 0) {
        snprintf(problem, problem_cap, "it is unknown");
        return false;
    }
    place->address_count = strcmp(place->url.host, "two") == 0 ? 2 : 1;
    return true;
}

void door_init(struct door *door) {
    memset(door, 0, sizeof(*door));
    door->fd = -1;
    CHECK(fake_door_count < FAKE_DOORS_MAX, "too many doors");
    fake_doors[fake_door_count++].door = door;
}

void door_open(struct door *door, const struct door_place *place, unsigned address,
               const struct door_self *self) {
    struct fake_door *fake = fake_door_of(door);
    size_t len = strlen(fake->opened);
    snprintf(fake->opened + len, sizeof(fake->opened) - len, "%s.%u ", place->url.host, address);
    door->place = place;
    door->self = self;
    door->state = DOOR_CONNECTING;
    fake->first = fake->event_count = 0;
    if (fake_broker_gone)
        fake_door_lose(fake, "it is gone");
    else if (!fake_broker_silent)
        fake_door_say(fake, (struct door_event){.kind = DOOR_CAME_UP});
}

void fake_door_lose(struct fake_door *fake, const char *why) {
    snprintf(fake->door->why, sizeof(fake->door->why), "%s", why);
    fake->door->broke = true;
}

void door_next(struct door *door, struct door_event *event) {
    struct fake_door *fake = fake_door_of(door);
    *event = (struct door_event){.kind = DOOR_NOTHING};
    if (door->broke && door->state != DOOR_CLOSED) {
        door_close(door);
        event->kind = DOOR_LOST;
    } else if (door->state != DOOR_CLOSED && fake->event_count != 0) {
        *event = fake->events[fake->first];
        fake->first = (fake->first + 1) % FAKE_EVENTS_MAX;
        fake->event_count--;
        if (event->kind == DOOR_CAME_UP)
            door->state = DOOR_OPEN;
    }
}

void door_close(struct door *door) {
    door->state = DOOR_CLOSED;
    door->broke = false;
}

bool door_takes(const struct door *door) {
    return door->state == DOOR_OPEN && !door->broke && !fake_door_of(door)->full;
}

void door_beat(struct door *door) {
    fake_door_of(door)->beats++;
}

void door_channel_open(struct door *door, uint16_t channel) {
    note(door, "open %u\n", channel);
    answer(door, channel, DOOR_CHANNEL_OPEN);
}

void door_channel_close(struct door *door, uint16_t channel) {
    note(door, "close %u\n", channel);
    answer(door, channel, DOOR_CHANNEL_CLOSED);
}

void door_declare(struct door *door, uint16_t channel, const char *queue, const char *type,
                  uint64_t ttl_ms) {
    note(door, "declare %u %s %s %llu\n", channel, queue, type == NULL ? "-" : type,
         (unsigned long long)ttl_ms);
    answer(door, channel, DOOR_DECLARED);
}

void door_qos(struct door *door, uint16_t channel, uint16_t prefetch) {
    note(door, "qos %u %u\n", channel, prefetch);
    answer(door, channel, DOOR_QOS_SET);
}

void door_consume(struct door *door, uint16_t channel, const char *queue) {
    note(door, "consume %u %s\n", channel, queue);
    answer(door, channel, DOOR_CONSUMES);
}

void door_cancel(struct door *door, uint16_t channel) {
    note(door, "cancel %u\n", channel);
    answer(door, channel, DOOR_CANCELLED);
}

void door_ack(struct door *door, uint16_t channel, uint64_t tag, bool multiple) {
    note(door, "ack %u %llu%s\n", channel, (unsigned long long)tag, multiple ? " all" : "");
}

void door_reject(struct door *door, uint16_t channel, uint64_t tag) {
    note(door, "reject %u %llu\n", channel, (unsigned long long)tag);
}

void door_confirm(struct door *door, uint16_t channel) {
    note(door, "confirm %u\n", channel);
    answer(door, channel, DOOR_CONFIRMS);
}

void door_leave(struct door *door) {
    note(door, "leave\n");
}

size_t door_header_max(const struct door *door) {
    return fake_door_of(door)->header_max != 0 ? fake_door_of(door)->header_max : SIZE_MAX;
}

bool door_publish(struct door *door, uint16_t channel, const struct door_letter *letter) {
    struct fake_door *fake = fake_door_of(door);
    struct amqp_properties properties;
    if (!amqp_properties_read(letter->header, &properties))
        return false;
    CHECK(letter->header.len <= sizeof(fake->header), "a long header");
    memcpy(fake->header, letter->header.at, letter->header.len);
    fake->header_len = letter->header.len;
    note(door, "publish %u %.*s/%.*s %.*s\n", channel, SPAN_ARG(letter->exchange),
         SPAN_ARG(letter->routing_key), SPAN_ARG(letter->body));
    return true;
}

void door_wait(struct door *const *doors, unsigned count, int wake_fd, uint64_t wait_ns) {
    (void)doors, (void)count, (void)wake_fd, (void)wait_ns;
}
