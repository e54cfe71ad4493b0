#include "ingest/amqp/amqp_link.h"

#include "core/base/log.h"
#include "core/base/rand.h"

#include <stdio.h>

uint64_t amqp_link_wait_ns(unsigned tries, uint64_t min_ns, uint64_t max_ns) {
    uint64_t wait_ns = min_ns;
    while (tries-- > 0 && wait_ns < max_ns)
        wait_ns *= 2;
    if (wait_ns > max_ns)
        wait_ns = max_ns;
    return wait_ns - rand_below(wait_ns / 2 + 1);
}

void amqp_link_init(struct amqp_link *link, const struct amqp_broker *broker, const char *what,
                    const char *meaning, const struct door_self *self) {
    memset(link, 0, sizeof(*link));
    door_init(&link->door);
    link->broker = broker;
    link->what = what;
    link->meaning = meaning;
    link->self = *self;
}

/* The place that the address of that number belongs to, and which of its own it is. */
static const struct door_place *place_at(const struct amqp_broker *broker, unsigned number,
                                         unsigned *address) {
    unsigned n = 0;
    while (number >= broker->places[n].address_count)
        number -= broker->places[n++].address_count;
    *address = number;
    return &broker->places[n];
}

static void told(struct amqp_link *link, uint64_t now_ns, const char *where) {
    const struct door *door = &link->door;
    if (link->told && now_ns - link->told_ns < AMQP_LINK_TOLD_NS)
        return;
    link->told = true;
    link->told_ns = now_ns;
    log_event(LOG_WARN, "amqp_lost", LOG_STR("connection", link->what), LOG_STR("broker", where),
              LOG_STR("problem", door->why), LOG_STR("meaning", link->meaning),
              LOG_STR("remedy", door->denied
                                    ? "look at user, password and virtual host in --amqp, and at "
                                      "what the broker allows that user"
                                    : "look at the broker; the node tries again by itself"));
}

/* It is lost, or never came up: the next address, or a pause. */
static void next_plan(struct amqp_link *link, uint64_t now_ns) {
    bool was_up = link->is_up, good = was_up && now_ns - link->up_ns >= AMQP_LINK_GOOD_NS;
    link->is_up = false;
    if (good)
        link->tries = link->failed = 0;
    link->address = (link->address + 1) % link->broker->addresses;
    if (++link->failed < link->broker->addresses && !was_up) {
        link->retry_ns = now_ns;
        return;
    }
    link->failed = 0;
    link->retry_ns =
        now_ns + amqp_link_wait_ns(link->tries++, AMQP_LINK_RETRY_MIN_NS, AMQP_LINK_RETRY_MAX_NS);
}

static void lost(struct amqp_link *link, uint64_t now_ns) {
    unsigned address;
    told(link, now_ns, place_at(link->broker, link->address, &address)->text);
    next_plan(link, now_ns);
}

void amqp_link_lose(struct amqp_link *link, uint64_t now_ns, const char *why) {
    if (link->door.state == DOOR_CLOSED)
        return;
    door_close(&link->door);
    snprintf(link->door.why, sizeof(link->door.why), "%s", why);
    lost(link, now_ns);
}

void amqp_link_step(struct amqp_link *link, uint64_t now_ns) {
    unsigned address;
    if (link->door.state == DOOR_CLOSED && now_ns >= link->retry_ns) {
        const struct door_place *place = place_at(link->broker, link->address, &address);
        link->begun_ns = now_ns;
        door_open(&link->door, place, address, &link->self);
    } else if (link->door.state != DOOR_CLOSED && !link->is_up &&
               now_ns - link->begun_ns >= AMQP_LINK_GREET_NS) {
        amqp_link_lose(link, now_ns, "it does not greet within 5 s");
    }
}

void amqp_link_next(struct amqp_link *link, struct door_event *event, uint64_t now_ns) {
    unsigned address;
    door_next(&link->door, event);
    if (event->kind == DOOR_CAME_UP) {
        const struct door_place *place = place_at(link->broker, link->address, &address);
        link->is_up = true;
        link->up_ns = now_ns;
        link->failed = 0;
        link->told = false;
        log_event(LOG_INFO, "amqp_connected", LOG_STR("connection", link->what),
                  LOG_STR("broker", place->text));
    } else if (event->kind == DOOR_LOST) {
        if (!link->is_up)
            event->kind = DOOR_NOTHING;
        lost(link, now_ns);
    }
}

uint64_t amqp_link_due_ns(const struct amqp_link *link) {
    if (link->door.state == DOOR_CLOSED)
        return link->retry_ns;
    /* Heartbeats are sent by who reads. */
    return link->is_up ? CLOCK_NEVER : link->begun_ns + AMQP_LINK_GREET_NS;
}
