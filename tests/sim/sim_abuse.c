/* Those who mean no good: half lines, garbage, floods, silence. The node must bear all of it, close
 * them for the right reason and serve the others. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "tests/sim/sim_peer.h"

static void garbage(struct sim_peer *peer, size_t len) {
    struct text text = {0};
    while (len-- > 0) {
        char byte = (char)sim_roll(256);
        text_add(&text, &byte, 1);
    }
    peer_write(peer, &text);
    text_free(&text);
}

/* How long they wait before they do the next thing: sometimes longer than the node does. */
static uint64_t patience_ns(void) {
    return sim_chance(500) ? sim_roll(100 * NS_PER_MS) : sim_roll(6 * NS_PER_S);
}

static void fill(struct sim_peer *peer, const char *head, size_t len, const char *tail) {
    struct text text = {0};
    text_add(&text, head, strlen(head));
    while (len-- > 0)
        text_add(&text, "x", 1);
    text_add(&text, tail, strlen(tail));
    peer_write(peer, &text);
    text_free(&text);
}

static void groups_flood(struct sim_peer *peer) {
    struct text text = {0};
    text_format(&text, "{\"type\":\"hello\",\"id\":\"flood\",\"groups\":[");
    for (unsigned i = 0; i < 65; i++)
        text_format(&text, "%s\"f%u\"", i == 0 ? "" : ",", i);
    text_format(&text, "]}\n");
    peer_write(peer, &text);
    text_free(&text);
}

/* Without a session: scripts 0 to 7. */
static void stranger_act(struct sim_peer *peer) {
    static const char *const hellos[] = {"{\"type\":\"ping\"}\n",
                                         "JOIN 1 g\r\n",
                                         "{\"type\":\"hello\",\"id\":7}\n",
                                         "{\"type\":\"hello\",\"id\":\"\"}\n",
                                         "HELLO [1]\r\n",
                                         "HELLO {\"id\":\"\\u0000\"}\r\n",
                                         "{\"type\":\"hello\" \"id\"}\n",
                                         "{\"type\":\"hello\",\"groups\":\"\xff\"}\n"};
    if (peer->script_step++ > 0) {
        if (peer->script == 7 && peer->script_step < 400) {
            /* One byte at a time, and never an end. */
            peer_say(peer, "x");
            peer->next_ns = sim.now_ns + 100 * NS_PER_MS;
        } else if (peer->script_step > 40) {
            peer_end(peer);
        } else {
            peer->next_ns = sim.now_ns + patience_ns();
        }
        return;
    }
    switch (peer->script) {
    case 0:
        peer_say(peer, "{\"type\":\"hello\",\"id\":\"ha");
        break;
    case 1:
        garbage(peer, 1 + (size_t)sim_roll(3000));
        break;
    case 2:
        fill(peer, "{\"type\":\"hello\",\"id\":\"", 17000, "\"}\n");
        break;
    case 3:
    case 4:
        peer_say(peer, hellos[sim_roll(8)]);
        break;
    case 5:
        if (sim_chance(500))
            peer_reset(peer);
        else
            peer_end(peer);
        break;
    case 6:
        groups_flood(peer);
        break;
    default:
        peer_say(peer, "{\"type\":\"");
        break;
    }
}

/* With a session, which behaves for a while. */
static void traitor_act(struct sim_peer *peer) {
    if (!peer->welcome && peer->script != 8)
        return;
    if (peer->script_step++ != 2) {
        if (peer->script_step > 3)
            peer->next_ns = sim.now_ns + NS_PER_S;
        return;
    }
    if (peer->session->leave == NEVER)
        peer->session->leave = sim_stamp();
    bool counted = peer->session->counted;
    switch (peer->script) {
    case 8:
    case 9:
        garbage(peer, 1 + (size_t)sim_roll(3000));
        break;
    case 10:
        if (counted)
            peer_say(peer, sim_chance(500) ? "SEND 1 99999999 {\"broadcast\":true}\r\n"
                                           : "SEND 1 007 {\"broadcast\":true}\r\n");
        else
            fill(peer, "{\"type\":\"send\",\"data\":\"", sim.scenario.max_message_bytes + 5000,
                 "\"}\n");
        break;
    case 11:
        peer_say(peer, counted ? "HELLO {}\r\nWHAT %zz\r\nJOIN 5\r\nLEAVE 1 %\r\n"
                               : "{\"type\":\"hello\"}\n{\"type\":\"what\"}\n{\"type\":\"join\","
                                 "\"ref\":{}}\n{\"type\":\"send\",\"to\":\"nobody at all\"}\n[]\n");
        break;
    case 12:
        peer_say(peer, counted ? "SEND 1 3 {}\r\nabcdef\r\n"
                               : "{\"type\":\"join\",\"groups\":[\"a\",]}\n");
        break;
    default:
        fill(peer, counted ? "JOIN 1 " : "", 70000, "");
        break;
    }
}

void abusive_client_act(struct sim_peer *peer) {
    if (peer->script < 8)
        stranger_act(peer);
    else
        traitor_act(peer);
}

/* --- over HTTP ------------------------------------------------------------------------------- */

static void refused(struct sim_peer *peer, const char *text) {
    request_add(peer, REQUEST_REFUSED);
    peer_say(peer, text);
}

#define KEY "Authorization: Bearer secret\r\n"
#define PAD "X-Pad: ................................................................\r\n"
#define HOST "Host: 127.0.0.1\r\n"
/* A batch of 257 messages that are wrong, for an answer of some 28 KB. */
#define EIGHT "{},{},{},{},{},{},{},{},"
#define SIXTY_FOUR EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT
#define LONG_ANSWER                                                                                \
    "Content-Type: application/json\r\nContent-Length: 772\r\n\r\n[" SIXTY_FOUR SIXTY_FOUR         \
        SIXTY_FOUR SIXTY_FOUR "{}]"
#define FORWARDED "X-Forwarded-For: 192.0.2.7, 10.8.0.1\r\n"

/* Whole requests that must be refused, each for another reason; the connection stays. */
static void posts_refused(struct sim_peer *peer) {
    refused(peer, "POST /v1/messages HTTP/1.1\r\n" HOST KEY "Content-Length: 7\r\n"
                  "Content-Type: application/json\r\n\r\n{\"to\":}");
    refused(peer, "POST /v1/messages HTTP/1.1\r\n" HOST KEY "Content-Length: 7\r\n"
                  "Content-Type: image/png\r\n\r\n{\"to\":}");
    refused(peer, "POST /v1/messages HTTP/1.1\r\n" HOST "Content-Length: 7\r\n"
                  "Authorization: Bearer guess\r\n\r\n{\"to\":}");
    refused(peer, "POST /v1/messages HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 7\r\n"
                  "Content-Type: application/json\r\n\r\n{\"to\":}");
}

void abusive_producer_act(struct sim_peer *peer) {
    if (peer->messages_left > 0)
        peer->messages_left--;
    if (peer->script_step++ > 0) {
        if (peer->script == 7 && peer->script_step < 300) {
            peer_say(peer, "x");
            peer->next_ns = sim.now_ns + 200 * NS_PER_MS;
        } else if (peer->script_step > 40) {
            peer_end(peer);
        } else {
            peer->next_ns = sim.now_ns + patience_ns();
        }
        return;
    }
    switch (peer->script) {
    case 0:
        request_add(peer, REQUEST_REFUSED);
        garbage(peer, 1 + (size_t)sim_roll(2000));
        peer_say(peer, "\n\n\r\n\r\n");
        break;
    case 1:
        peer_say(peer,
                 "POST /v1/messages HTTP/1.1\r\n" HOST KEY "Content-Length: 100\r\n\r\n{\"to");
        break;
    case 2:
        peer_say(peer,
                 "POST /v1/messages HTTP/1.1\r\n" HOST KEY "Content-Length: 100\r\n\r\n{\"to");
        peer_reset(peer);
        break;
    case 3:
        refused(peer,
                "POST /v1/messages HTTP/1.1\r\n" HOST KEY "Content-Length: 999999999\r\n\r\n");
        break;
    case 4:
        posts_refused(peer);
        break;
    case 5:
        refused(peer, "GET /nowhere HTTP/1.1\r\n" HOST KEY FORWARDED "\r\n");
        refused(peer, "PATCH /v1/messages HTTP/1.1\r\n" HOST KEY "\r\n");
        break;
    case 6:
        refused(peer, "GET /v1/clients/%ff HTTP/1.1\r\n" HOST KEY FORWARDED "\r\n");
        refused(peer, "GET /v1/stats HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://e\r\n\r\n");
        break;
    case 7:
        peer_say(peer, "POST /v1/messages HTTP/1.1\r\n" HOST KEY "X: ");
        break;
    case 8: /* many questions and no ear for the answers */
        for (unsigned i = 0; i < 1500; i++) {
            request_add(peer, REQUEST_CALL)->call = CALL_ANYTHING;
            peer_say(peer, i % 2 == 0    ? "POST /v1/messages HTTP/1.1\r\n" HOST KEY LONG_ANSWER
                           : i % 40 == 7 ? "GET /v1/groups/f HTTP/1.1\r\n" HOST KEY "\r\n"
                           : i % 4 == 1  ? "GET /healthz HTTP/1.1\r\n" HOST KEY FORWARDED "\r\n"
                           : i > 1400    ? "GET /metrics HTTP/1.1\r\n" HOST KEY "\r\n"
                                         : "GET /nowhere HTTP/1.1\r\n" HOST KEY PAD "\r\n");
        }
        peer->read_ns = CLOCK_NEVER;
        break;
    case 9: /* connected and silent */
        break;
    case 10:
        refused(peer, "POST /v1/messages HTTP/1.1\r\n" HOST KEY "Transfer-Encoding: chunked\r\n"
                      "Content-Type: application/json\r\n\r\n5\r\n{\"to\"X");
        break;
    case 11:
        posts_refused(peer);
        refused(peer, "POST /v1/messages HTTP/1.1\r\n" HOST KEY "Content-Length: 13\r\n"
                      "Content-Type: application/json\r\n\r\n{\"ttll\":\"a\"}\n");
        peer_end(peer);
        break;
    case 12:
        fill(peer, "GET /", 20000, " HTTP/1.1\r\n" HOST "\r\n");
        request_add(peer, REQUEST_REFUSED);
        break;
    default:
        peer_end(peer);
        break;
    }
}
