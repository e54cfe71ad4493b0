/* sim_config.c - a scenario in words, and as the node's configuration. */
#include "tests/sim/sim_scenarios.h"

#include "core/base/clock.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

void scenario_describe(const struct scenario *s, char *text, size_t cap) {
    static const char *const steers[] = {"ip", "tuple", "none"};
    static const char *const policies[] = {"close", "drop-oldest", "keep-latest"};
    snprintf(text, cap,
             "%s, %u workers, steer %s%s, slow %s, outbox %u, memory %llu, buffers %u of %u, "
             "slots %u, %u clients, %u producers, %u ports, %u toys, %u streams, %u polls%s, "
             "sse %u, redis %u, %u messages, ack %u (window %u, backlog %u, silence %llu ms)%s%s%s",
             s->name, s->workers, steers[s->steer], s->kernel_steers ? " by the kernel" : "",
             policies[s->slow], s->outbox_bytes, (unsigned long long)s->memory_bytes, s->buffers,
             s->buffer_bytes, s->post_slots, s->clients, s->producers, s->ports, s->toys,
             s->streams, s->polls, s->sio ? " of Socket.IO" : "", s->sse, s->redis, s->messages,
             s->ack, s->ack_window, s->ack_backlog,
             (unsigned long long)(s->ack_silence_ns / NS_PER_MS), s->store ? ", a store" : "",
             s->client_send ? ", clients send" : "", s->soon_behind ? ", soon behind" : "");
}

static void listener_add(struct config *config, enum listener_kind kind, uint16_t port) {
    struct listen_address *listener = &config->listeners[config->listener_count++];
    struct sockaddr_in v4 = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    listener->kind = kind;
    memcpy(&listener->address, &v4, sizeof(v4));
    listener->address_len = sizeof(v4);
    listener->text = "127.0.0.1";
}

void scenario_config(struct config *config) {
    const struct scenario *s = &sim.scenario;
    *config = (struct config){
        .node = "sim",
        .workers = s->workers,
        .steer = s->steer,
        .client_send = s->client_send || s->sio,
        .deflate = s->deflate,
        .heartbeat_ns = s->heartbeat_ns,
        .heartbeat_timeout_ns = s->heartbeat_timeout_ns,
        .hello_timeout_ns = s->hello_timeout_ns,
        .drain_timeout_ns = s->drain_timeout_ns,
        .max_message_bytes = s->max_message_bytes,
        .max_body_bytes = s->max_body_bytes,
        .max_payload_bytes = s->max_payload_bytes,
        .upgrade_timeout_ns = s->upgrade_timeout_ns,
        .connect_timeout_ns = s->hello_timeout_ns,
        .outbox_bytes = s->outbox_bytes,
        .slow = s->slow,
        .memory_bytes = s->memory_bytes,
        .max_connections = s->max_connections,
        .max_per_address = s->max_per_address,
        .rate_limit = s->rate_limited ? 50 : 0,
        .dedup_window_ns = s->dedup_window_ns,
        .dedup_max = s->dedup_max,
        .ack_window = s->ack_window,
        .ack_backlog = s->ack_backlog,
        .ack_silence_ns = s->ack_silence_ns,
        .fate_max = s->fate_max,
        .fate_window_ns = 3600 * NS_PER_S,
    };
    if (s->redis != 0) {
        config->redis[0] = s->redis % 2 == 0 ? "redis://redis" : "redis://user:pw@redis/3";
        config->redis_count = 1;
        config->redis_prefix = s->redis % 2 == 0 ? "" : "rp:";
    }
    for (unsigned i = 0; i < WORKERS_MAX; i++)
        config->cpus[i] = -1;
    listener_add(config, LISTENER_TCP, 7000);
    listener_add(config, LISTENER_WEB, 8080);
    listener_add(config, LISTENER_API, 8081);
    if (s->with_key)
        config->api_keys[config->api_key_count++] = "secret";
    if (s->proxies) {
        struct network *network = &config->proxies[config->proxy_count++];
        static const uint8_t base[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 9, 0, 0};
        memcpy(network->address, base, sizeof(base));
        network->prefix_bits = 96 + 16;
        network = &config->forwarders[config->forwarder_count++];
        memcpy(network->address, base, sizeof(base));
        network->address[13] = 8;
        network->prefix_bits = 96 + 16;
    }
}
