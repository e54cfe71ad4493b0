#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/namespaces.h"
#include "core/server.h"
#include "ha/redis/redis_port.h"
#include "ingest/gate/envelope.h"
#include "main/settings/settings.h"
#include "perf/micro_redis/micro_redis.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* The fake worker: a port that holds `in` and publishes to `out`, as a worker does for its
 * sessions and producers. */
struct driver {
    struct port port;
    struct gate_source source;
    char json[256];
    uint64_t count, sent, answered;
    bool holds;
    _Atomic bool begun, ended;
    _Atomic uint64_t received;
    _Atomic uint64_t refused; /* not queued for the other side: it failed */
};

static void driver_deliver(struct port *port, struct message *message, const struct mail *request) {
    struct driver *driver = (struct driver *)(void *)port;
    message_release(&port->endpoint, message);
    atomic_fetch_add_explicit(&driver->received, 1, memory_order_relaxed);
    port_answer(port, request, 1, 0);
}

static void on_result(struct endpoint *endpoint, struct gate_source *source, void *request,
                      uint32_t index, const struct gate_result *result) {
    struct driver *driver = container_of(source, struct driver, source);
    (void)endpoint, (void)request, (void)index;
    driver->answered++;
    if (result->state != RESULT_QUEUED || result->recipients != 1 || result->cluster_lost)
        atomic_fetch_add(&driver->refused, 1);
}

static void driver_publish(struct driver *driver) {
    struct endpoint *endpoint = &driver->port.endpoint;
    struct envelope envelope;
    struct complaint complaint;
    if (!envelope_parse(&envelope, gate_of(endpoint)->contexts[endpoint->index].room,
                        ENVELOPE_MESSAGE, span_text(driver->json),
                        endpoint->config->max_message_bytes, &complaint))
        micro_fail("the message is none");
    driver->sent++;
    gate_publish(endpoint,
                 &(struct gate_request){.source = &driver->source, .envelope = &envelope});
}

static void driver_turn(struct port *port) {
    struct driver *driver = (struct driver *)(void *)port;
    uint64_t received = atomic_load_explicit(&driver->received, memory_order_relaxed);
    if (!driver->holds) {
        uint64_t hash = name_hash(NAME_ID, NAMESPACE_MAIN, SPAN("in"));
        if (!presence_begin(port->server->presence, NAME_ID, SPAN("in")) ||
            !holders_add(port->server->holders, hash, port->index))
            micro_fail("there is no memory for a name");
        driver->holds = true;
    }
    if (!driver->begun)
        return;
    while (driver->sent < driver->count && driver->sent - driver->answered < MICRO_UNANSWERED &&
           driver->sent < received + MICRO_AHEAD && !endpoint_slice_over(&port->endpoint))
        driver_publish(driver);
    if (driver->answered == driver->count && received >= driver->count)
        driver->ended = true;
}

static void driver_wait(struct port *port, int wake_fd, uint64_t wait_ns) {
    struct pollfd fd = {.fd = wake_fd, .events = POLLIN};
    (void)port;
    poll(&fd, 1, wait_ns < NS_PER_MS ? 0 : 1);
    net_wake_clear(wake_fd);
}

static void driver_init(struct driver *driver, uint64_t count) {
    static const struct port_type type = {
        .name = "driver", .deliver = driver_deliver, .turn = driver_turn, .wait = driver_wait};
    char payload[MICRO_PAYLOAD_BYTES + 1];
    port_init(&driver->port, &type);
    gate_source_init(&driver->source, NULL, on_result, NULL);
    micro_payload(payload);
    snprintf(driver->json, sizeof(driver->json), "{\"to\":\"out\",\"event\":\"e\",\"data\":%s}",
             payload);
    driver->count = count;
}

static void config_make(struct config *config, const char *url) {
    static struct settings settings;
    char *flags[] = {"--workers", "1", "--redis", (char *)(uintptr_t)url, "--log-level", "error"};
    char *none[] = {NULL};
    if (!settings_load(&settings, sizeof(flags) / sizeof(flags[0]), flags, none, NULL)) {
        settings_print_problems(&settings, stderr);
        micro_fail("the settings are wrong");
    }
    *config = settings.config;
    config->listener_count = 0; /* nobody comes */
}

struct micro_took micro_port(const char *url, unsigned port, uint64_t count) {
    static struct config config;
    static struct redis_port redis;
    static struct driver driver;
    static struct server server;
    static struct gate gate;
    static struct server_parts parts = {.on_nudged = gate_on_nudged};
    char problem[512] = "there is no memory";
    config_make(&config, url);
    log_set(config.log_level, config.log_format);
    namespaces_set(config.namespaces, config.namespace_count);
    hash_init(NULL);
    redis_port_init(&redis, &config);
    driver_init(&driver, count);
    parts.herald = parts.ports[0] = &redis.port;
    parts.ports[1] = &driver.port;
    parts.port_count = 2;
    if (!server_init(&server, &config, &parts, problem, sizeof(problem)) ||
        !gate_init(&gate, &server) || !server_start(&server, problem, sizeof(problem)))
        micro_fail(problem);
    micro_await(port);
    uint64_t begun_ns = clock_ns(), cpu_ns = micro_cpu_ns(), last = 0, last_ns = begun_ns;
    driver.begun = true;
    while (!driver.ended) {
        uint64_t received = atomic_load(&driver.received), now_ns = clock_ns();
        if (received != last)
            last_ns = now_ns;
        last = received;
        if (atomic_load(&driver.refused) != 0)
            micro_fail("a message was not taken");
        if (now_ns - last_ns > MICRO_SILENT_NS)
            micro_fail("nothing comes any more");
        nanosleep(&(struct timespec){0, NS_PER_MS}, NULL);
    }
    /* Its process ends with it, as it is. */
    return (struct micro_took){clock_ns() - begun_ns, micro_cpu_ns() - cpu_ns};
}
