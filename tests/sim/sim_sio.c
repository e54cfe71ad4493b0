#include "tests/sim/sim_sio.h"

#include "core/namespaces.h"
#include "proto/web/sio/sio.h"
#include "proto/web/sio/sio_encodings.h"
#include "tests/sim/sim.h"
#include "tests/toys/toy_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* So few ids that several clients often share one. */
#define IDS 5

void sio_scenario(struct scenario *scenario) {
    static const unsigned shortages[] = {20, 100, 200};
    /* The oracle of the store knows all that is in it. */
    scenario->sio =
        scenario->polls != 0 && scenario->ack != 0 && !scenario->store && sim_chance(850);
    if (scenario->sio && sim_chance(500))
        scenario->no_memory = shortages[sim_roll(3)];
    if (scenario->sio && sim_chance(400))
        scenario->memory_bytes = (UINT64_C(16) + sim_roll(80)) * 1024;
    scenario->old = scenario->sio && sim_chance(600);
    /* An old client is in `/` as well, of which the oracle of messages knows nothing. */
    if (scenario->old)
        scenario->broadcast = 0;
    if (scenario->polls != 0 && scenario->max_per_address == 0 && sim_chance(150))
        scenario->max_per_address = 2 + (uint32_t)sim_roll(6);
}

void sio_begin(struct encoding **encodings) {
    static const char *const namespaces[] = {"/", SIO_NAME};
    namespaces_set(namespaces, 2);
    if (sim.scenario.sio)
        sio_encodings_add(encodings);
}

const struct engine_app *sio_app_find(void) {
    if (sim.scenario.polls == 0)
        return NULL;
    return sim.scenario.sio ? &sio_app : &toy_engine_app;
}

void sio_forget(struct sim_sio *sio) {
    sio->asked = sio->in = sio->renamed = false;
    sio->owed_count = 0;
    sio->sessions++;
    memset(sio->last, 0, sizeof(sio->last));
}

/* --- what it says ----------------------------------------------------------------------------- */

static void odd_make(char *text, size_t cap) {
    static const char *const odd[] = {"42/n,[\"connect\"]",
                                      "42[\"x\"]",
                                      "49",
                                      "451-/n,[\"x\",{\"_placeholder\":true}]",
                                      "451-/n,[\"x\"]",
                                      "42/n,[\"x\",\"caf\xc3\x83\xc2\xa9\"]", /* UTF-8 twice */
                                      "451-/n,[\"x\",{\"_placeholder\":true,\"num\":0}]",
                                      "40/n,",
                                      "43/n,7[]",
                                      "40/nowhere,",
                                      "42/n,[\"x\",1]",
                                      "44/n,{}",
                                      "42/n,9[\"x\"]",
                                      "43/n,17[]",
                                      "42/n,1[\"register\",{\"id\":7}]"};
    snprintf(text, cap, "%s", odd[sim_roll(sizeof(odd) / sizeof(*odd))]);
}

static void answer_make(struct sim_sio *sio, char *text, size_t cap) {
    unsigned which = (unsigned)sim_roll(sio->owed_count);
    snprintf(text, cap, "43" SIO_NAME ",%llu[]", sio->owed[which]);
    sio->owed[which] = sio->owed[--sio->owed_count];
}

/* Bytes behind it: nothing in them tells who sent it. */
static void bytes_make(struct sim_sio *sio, char *text, size_t cap) {
    snprintf(text, cap,
             "451-" SIO_NAME ",%u[\"send\",{\"to\":\"sio-%u\",\"namespace\":\"" SIO_NAME
             "\",\"ack\":true,\"ttl\":30,\"data\":{\"_placeholder\":true,\"num\":0}}]"
             "\x1e"
             "bAAAA",
             ++sio->callbacks, (unsigned)sim_roll(IDS));
}

static void send_make(struct sim_sio *sio, unsigned client, char *text, size_t cap) {
    unsigned pad = sim_chance(100) ? (unsigned)sim_roll(60) : (unsigned)sim_roll(8);
    snprintf(text, cap,
             "42" SIO_NAME ",%u[\"send\",{\"to\":\"sio-%u\",\"namespace\":\"" SIO_NAME
             "\",\"ack\":true,\"ttl\":%u,\"data\":\"%u-%u-%u-%0*u\"}]",
             ++sio->callbacks, (unsigned)sim_roll(IDS), 1 + (unsigned)sim_roll(60), client,
             sio->sessions, ++sio->sent, (int)pad, 0);
}

void sio_packet_make(struct sim_sio *sio, unsigned client, char *text, size_t cap) {
    uint64_t roll = sim_roll(100);
    if (!sio->asked && sim_chance(120)) {
        const char *bad = sio->old ? "40" SIO_NAME "?meta=2" : "40" SIO_NAME ",{\"id\":7}";
        snprintf(text, cap, "%s", sim_chance(500) ? bad : "40/nowhere,");
    } else if (!sio->asked) {
        sio->asked = true;
        snprintf(text, cap,
                 sio->old ? "40" SIO_NAME "?id=sio-%u&groups=a&meta=1"
                          : "40" SIO_NAME ",{\"id\":\"sio-%u\",\"groups\":[\"a\"],\"meta\":true}",
                 (unsigned)sim_roll(IDS));
    } else if (sim_chance(60)) {
        odd_make(text, cap);
    } else if (sio->owed_count != 0 && roll < 40) {
        answer_make(sio, text, cap);
    } else if (!sio->in || roll < 65) {
        send_make(sio, client, text, cap);
    } else if (roll < 75) {
        bytes_make(sio, text, cap);
    } else if (roll < 77) {
        snprintf(text, cap, "42" SIO_NAME ",%s",
                 sim_chance(500) ? "[\"message\",1]" : "7[\"message-with-ack\",2]");
    } else if (roll < 88) {
        sio->renamed = true;
        snprintf(text, cap, "42" SIO_NAME ",%u[\"register\",{\"socketId\":\"sio-%u\"}]",
                 ++sio->callbacks, (unsigned)sim_roll(sim_chance(500) ? IDS : 1000));
    } else {
        snprintf(text, cap, "42" SIO_NAME ",%u[\"%s\",[\"b\",\"c\"]]", ++sio->callbacks,
                 roll < 96 ? "join" : "leave");
    }
}

/* --- what it hears ---------------------------------------------------------------------------- */

static void bytes_take(struct sim_sio *sio, unsigned client, const char *packet) {
    unsigned long long callback;
    int end = 0;
    if (sscanf(packet,
               "451-" SIO_NAME ",%llu[\"message\",{\"_placeholder\":true,\"num\":0},{\"id\":"
               "\"%*[^\"]\",\"ack\":true%n",
               &callback, &end) != 1 ||
        end == 0)
        sim_fail("Socket.IO client %u hears broken bytes: %s", client, packet);
    if (sio->owed_count < SIO_OWED_MAX && sim_chance(800))
        sio->owed[sio->owed_count++] = callback;
}

static void message_take(struct sim_sio *sio, unsigned client, const char *packet) {
    unsigned long long callback;
    unsigned from, session, sent;
    int end = 0;
    if (strncmp(packet, "42" SIO_NAME ",[\"auth\",{", 14) == 0 ||
        (sio->old && strncmp(packet, "42[\"auth\",{", 11) == 0) ||
        strcmp(packet, "42" SIO_NAME ",[\"message-back\",1]") == 0)
        return;
    if (sscanf(packet,
               "42" SIO_NAME ",%llu[\"message\",\"%u-%u-%u-%*[0-9]\",{\"id\":\"%*[^\"]\","
               "\"ack\":true%n",
               &callback, &from, &session, &sent, &end) != 4 ||
        end == 0 || from >= SIO_CLIENTS_MAX)
        sim_fail("Socket.IO client %u hears a broken message: %s", client, packet);
    bool again = strcmp(packet + end, ",\"redelivered\":true}]") == 0;
    if (!again && strcmp(packet + end, "}]") != 0)
        sim_fail("Socket.IO client %u hears a broken end: %s", client, packet);
    /* Nobody can say in which order the sessions of one sender were served; and who takes another
     * id hears what is pending for that. */
    if (!again && session == sio->last[from].session && sent <= sio->last[from].sent &&
        !sio->renamed)
        sim_fail("Socket.IO client %u hears %u of %u after %u", client, sent, from,
                 sio->last[from].sent);
    if (!again) {
        sio->last[from].session = session;
        sio->last[from].sent = sent;
    }
    if (sio->owed_count < SIO_OWED_MAX && sim_chance(800))
        sio->owed[sio->owed_count++] = callback;
}

void sio_packet_take(struct sim_sio *sio, unsigned client, const char *packet) {
    switch (packet[1]) {
    case '0':
        if (sio->old && packet[2] == '\0') /* of `/`, which nobody asked for */
            return;
        if (sio->old && strcmp(packet, "40" SIO_NAME ",") != 0)
            sim_fail("the old Socket.IO client %u is welcomed by %s", client, packet);
        if (!sio->old && strncmp(packet, "40" SIO_NAME ",{\"sid\":\"", 13) != 0)
            sim_fail("Socket.IO client %u is welcomed by %s", client, packet);
        sio->in = true;
        return;
    case '2':
        message_take(sio, client, packet);
        return;
    case '3':
        if (strcmp(packet, "43" SIO_NAME ",7[2]") != 0 && strstr(packet, "[{\"ok\":true") == NULL &&
            strstr(packet, "[{\"ok\":false") == NULL)
            sim_fail("Socket.IO client %u is answered %s", client, packet);
        return;
    case '4':
        return;
    case '5':
        bytes_take(sio, client, packet);
        return;
    default:
        sim_fail("Socket.IO client %u hears %s", client, packet);
    }
}
