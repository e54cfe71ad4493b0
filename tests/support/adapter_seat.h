/* adapter_seat.h - a node with a seat among Socket.IO servers, whose key is `k`, and a client
 * `till` in the group `g`.
 *
 * Included by the test itself. Threads: one. */
#ifndef RINGPOST_TESTS_SUPPORT_ADAPTER_SEAT_H
#define RINGPOST_TESTS_SUPPORT_ADAPTER_SEAT_H

#include "tests/support/fake_redis.h"

static struct peer *till;

static int seat_setup(enum socketio_adapter adapter) {
    fake_config.socketio_redis_key = "k";
    fake_config.socketio_adapter = adapter;
    redis_node_open();
    till = peer_connect(0, LISTENER_TCP);
    peer_say(till, "{\"type\":\"hello\",\"id\":\"till\",\"groups\":[\"g\"]}\n");
    redis_settle();
    free(peer_heard(till));
    api = api_connect();
    redis_said[0] = '\0';
    return 0;
}

static int seat_teardown(void **state) {
    (void)state;
    redis_node_close();
    fake_config.socketio_redis_key = NULL;
    fake_config.socketio_adapter = ADAPTER_CLASSIC;
    return 0;
}

#define ADAPTER(name) redis_figure_of(&redis.adapter.figures.name)
#define ADAPTER_REFUSED(name)                                                                      \
    redis_figure_of(&redis.adapter.figures.refused[ADAPTER_REFUSED_##name])

#endif
