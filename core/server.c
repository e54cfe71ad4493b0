#include "core/server.h"
#include "core/worker.h"

#include "core/addresses.h"
#include "core/base/crash.h"
#include "core/base/fatal.h"
#include "core/base/memory_short.h"
#include "core/base/rand.h"
#include "core/base/thread.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

/* How long producers have at least to read their last answers, and to end after them; they have it
 * until --drain-timeout. */
#define CLOSING_NS (2 * NS_PER_S)
/* At least so long for goodbyes to leave. */
#define GOODBYE_NS (200 * NS_PER_MS)

static bool listener_open(struct server *server, uint32_t index, char *problem, size_t cap) {
    const struct listen_address *wanted = &server->config->listeners[index];
    struct sockaddr_storage address = wanted->address;
    socklen_t len = wanted->address_len;
    bool many = server->worker_count > 1 && server->config->steer != STEER_NONE;
    if (!net_free((const struct sockaddr *)&address, len, wanted->v6_only, problem, cap))
        return false;
    for (unsigned i = 0; i < server->worker_count; i++) {
        if (i > 0 && !many) {
            server->listen_fds[index][i] = server->listen_fds[index][0];
            continue;
        }
        const struct socket_buffers buffers = {.unsent_bytes = server->config->send_buffer_bytes,
                                               .receive_bytes = RECEIVE_SOCKET_BYTES};
        int fd = net_listen((const struct sockaddr *)&address, len, wanted->v6_only, many, &buffers,
                            problem, cap);
        if (fd < 0)
            return false;
        server->listen_fds[index][i] = fd;
        if (i == 0) {
            /* The port may have been chosen just now; the others join it. */
            net_local(fd, &address, &len);
            net_local_text(fd, server->listen_text[index], sizeof(server->listen_text[index]));
        }
    }
    /* api: a producer is one address with a few connections, which should serve all workers. */
    if (many && server->config->steer == STEER_IP && wanted->kind != LISTENER_API) {
        server->steered[index] = !server->config->test_no_cbpf &&
                                 net_steer(server->listen_fds[index][0], server->worker_count);
        if (!server->steered[index])
            log_event(LOG_WARN, "steering_in_user_space",
                      LOG_STR("listener", server->listen_text[index]),
                      LOG_STR("remedy", "none needed: connections are handed over after they were "
                                        "accepted, which costs a little more"));
    } else {
        server->steered[index] = true;
    }
    return true;
}

uint64_t server_fixed_bytes(const struct server *server) {
    const struct ring_settings *ring = &server->ring_settings;
    enum { SQ_ENTRY_BYTES = 64 + 4, CQ_ENTRY_BYTES = 16, BUFFER_ENTRY_BYTES = 16, PLACE_BYTES = 8 };
    uint64_t bytes = (uint64_t)ring->sq_entries * SQ_ENTRY_BYTES +
                     (uint64_t)ring->cq_entries * CQ_ENTRY_BYTES +
                     (uint64_t)ring->buffers * (ring->buffer_bytes + BUFFER_ENTRY_BYTES) +
                     (uint64_t)ring->files * PLACE_BYTES;
    bytes += (uint64_t)(server->post.endpoints - 1) * server->post.slots * sizeof(struct mail);
    bytes += account_warm_max(&server->budget);
    return bytes + sizeof(struct worker) + CONNECTION_BLOCKS_MAX * sizeof(struct connection *) +
           server->post.requests_max * sizeof(struct publish) +
           SENDS_PER_SUBMIT * sizeof(struct flight);
}

bool server_init(struct server *server, const struct config *config,
                 const struct server_parts *parts, char *problem, size_t problem_cap) {
    memset(server, 0, sizeof(*server));
    for (unsigned i = 0; i < LISTENERS_MAX; i++)
        for (unsigned j = 0; j < WORKERS_MAX; j++)
            server->listen_fds[i][j] = -1;
    atomic_init(&server->config, config);
    snprintf(server->run, sizeof(server->run), "%016llx", (unsigned long long)rand_u64());
    server->started_ns = clock_ns();
    server->started_wall_ms = clock_wall_ms();
    CHECK(config->workers <= WORKERS_MAX && parts->port_count <= PORTS_MAX, "%u workers, %u ports",
          config->workers, parts->port_count);
    server->parts = *parts;
    for (unsigned i = 0; i < ENCODINGS_MAX && parts->encodings[i] != NULL; i++)
        parts->encodings[i]->index = i;
    server->worker_count = config->workers;
    budget_init(&server->budget, config->memory_bytes);
    quota_init(&server->answers, &server->budget, config->memory_bytes / ANSWERS_SHARE);
    quota_init(&server->reserve, NULL, ANSWER_RESERVE_BYTES);
    fates_init(&server->fates, &server->budget, config, server_nudge_endpoint, server);
    if (!ring_probe(config->test_kernel_6_1, problem, problem_cap) ||
        !ring_fit(config->workers, config->max_connections, config->test_kernel_6_1,
                  &server->ring_settings, problem, problem_cap))
        return false;
    server->workers = aligned_alloc(64, (config->workers * sizeof(struct worker) + 63) / 64 * 64);
    server->holders = holders_new();
    bool good = server->workers != NULL && server->holders != NULL &&
                post_init(&server->post, config->workers + parts->port_count);
    if (good && config->max_per_address != 0)
        good = (server->addresses = addresses_new(config->max_per_address)) != NULL;
    if (!good) {
        char remedy[MEMORY_LIMIT_TEXT_MAX] = "start fewer --workers, or raise LimitNOFILE";
        int error = errno;
        if (error == ENOMEM)
            memory_short(remedy);
        snprintf(problem, problem_cap, "cannot prepare %u workers (%s): %s", config->workers,
                 strerror(error), remedy);
        return false;
    }
    memset(server->workers, 0, config->workers * sizeof(struct worker));
    for (unsigned i = 0; i < config->workers; i++)
        server->endpoints[i] = &server->workers[i].endpoint;
    for (unsigned i = 0; i < parts->port_count; i++)
        server->endpoints[config->workers + i] = &parts->ports[i]->endpoint;
    for (unsigned i = 0; i < parts->port_count && good; i++)
        if (parts->ports[i] == parts->herald)
            good = (server->presence = presence_new(server, config->workers + i)) != NULL;
    atomic_init(&server->serial, 1);
    atomic_init(&server->broadcast_set, (UINT64_C(1) << config->workers) - 1);
    for (uint32_t i = 0; i < config->listener_count; i++)
        if (!listener_open(server, i, problem, problem_cap))
            return false;
    log_event(LOG_INFO, "io_uring", LOG_U64("workers", config->workers),
              LOG_U64("submission_entries", server->ring_settings.sq_entries),
              LOG_U64("completion_entries", server->ring_settings.cq_entries),
              LOG_U64("receive_buffers", server->ring_settings.buffers),
              LOG_U64("file_places", server->ring_settings.files),
              LOG_U64("mailbox_slots", server->post.slots),
              LOG_U64("fixed_memory_bytes", config->workers * server_fixed_bytes(server)));
    return true;
}

/* --- threads ---------------------------------------------------------------------------------- */

static _Thread_local struct endpoint *current_endpoint;

static void recall_current(struct builder *out) {
    if (current_endpoint != NULL)
        recorder_tell(&current_endpoint->recorder, current_endpoint->now_ns, out);
}

struct start {
    struct server *server;
    unsigned index;
    char name[16];
    char problem[512];
    bool failed;
};

static void thread_place(const struct config *config, unsigned index) {
    if (config->cpus[index] < 0)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)config->cpus[index], &set);
    int error = pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
    if (error != 0)
        log_event(LOG_WARN, "worker_not_pinned", LOG_U64("worker", index),
                  LOG_I64("cpu", config->cpus[index]), LOG_STR("error", strerror(error)),
                  LOG_STR("remedy", "name CPUs that this process may use: --cpus"));
}

static void *worker_main(void *argument) {
    struct start *start = argument;
    struct worker *worker = &start->server->workers[start->index];
    current_endpoint = &worker->endpoint;
    snprintf(start->name, sizeof(start->name), "worker-%u", start->index);
    pthread_setname_np(pthread_self(), start->name);
    crash_thread_begin(start->name);
    thread_place(start->server->config, start->index);
    if (!worker_open(worker, start->server, start->index, start->problem, sizeof(start->problem))) {
        start->failed = true;
        atomic_store_explicit(&worker->phase, PHASE_STOPPED, memory_order_release);
        sem_post(&start->server->opened);
        crash_thread_end();
        return NULL;
    }
    sem_post(&start->server->opened);
    while (worker_turn(worker, CLOCK_NEVER))
        ;
    worker_close(worker);
    crash_thread_end();
    return NULL;
}

static void *port_main(void *argument) {
    struct start *start = argument;
    struct port *port = start->server->parts.ports[start->index - start->server->worker_count];
    current_endpoint = &port->endpoint;
    snprintf(start->name, sizeof(start->name), "port-%s", port->type->name);
    pthread_setname_np(pthread_self(), start->name);
    crash_thread_begin(start->name);
    if (!port_open(port, start->server, start->index)) {
        char remedy[MEMORY_LIMIT_TEXT_MAX];
        memory_short(remedy);
        snprintf(start->problem, sizeof(start->problem), "no memory for %s: %s", start->name,
                 remedy);
        start->failed = true;
    } else if (port->type->open != NULL &&
               !port->type->open(port, start->problem, sizeof(start->problem))) {
        start->failed = true;
    }
    if (start->failed)
        atomic_store_explicit(&port->phase, PHASE_STOPPED, memory_order_release);
    sem_post(&start->server->opened);
    while (!start->failed && port_turn(port, CLOCK_NEVER))
        ;
    crash_thread_end();
    return NULL;
}

/* What the first connections need, and the sandbox. With less the node would run and close them. */
#define SERVING_BYTES (2 * 1024 * 1024)

static int thread_begin(struct server *server, unsigned index) {
    pthread_t *thread = &server->threads[index];
    struct start *start = &server->starts[index];
    if (index < server->worker_count)
        return thread_start(thread, worker_main, start);
    size_t stack_bytes = server->parts.ports[index - server->worker_count]->type->stack_bytes;
    return stack_bytes == 0 ? thread_start(thread, port_main, start)
                            : thread_start_deep(thread, port_main, start, stack_bytes);
}

bool server_start(struct server *server, char *problem, size_t problem_cap) {
    unsigned threads = server->post.endpoints;
    crash_watch(recall_current);
    server->threads = calloc(threads, sizeof(pthread_t));
    server->starts = calloc(threads, sizeof(struct start));
    bool good =
        server->threads != NULL && server->starts != NULL && sem_init(&server->opened, 0, 0) == 0;
    char remedy[MEMORY_LIMIT_TEXT_MAX];
    if (!good) {
        memory_short(remedy);
        snprintf(problem, problem_cap, "no memory for %u threads: %s", threads, remedy);
    }
    for (unsigned i = 0; good && i < threads; i++) {
        server->starts[i] = (struct start){.server = server, .index = i};
        int error = thread_begin(server, i);
        if (error != 0) {
            char why[160];
            thread_problem(error, why, sizeof(why));
            snprintf(problem, problem_cap,
                     "cannot start thread %u of %u: %s, or start fewer "
                     "--workers",
                     i + 1, threads, why);
            good = false;
            break;
        }
        server->thread_count++;
    }
    for (unsigned i = 0; i < server->thread_count; i++)
        while (sem_wait(&server->opened) != 0)
            ; /* a signal; its handler has returned */
    for (unsigned i = 0; i < server->thread_count; i++) {
        if (good && server->starts[i].failed) {
            snprintf(problem, problem_cap, "%s", server->starts[i].problem);
            good = false;
        }
    }
    if (good && memory_limit_hit(SERVING_BYTES, remedy)) {
        snprintf(problem, problem_cap, "no memory is left to serve anybody: %s", remedy);
        good = false;
    }
    atomic_store_explicit(&server->phase, good ? PHASE_RUNNING : PHASE_STOPPED,
                          memory_order_release);
    server_nudge(server);
    /* Where all have begun, all end. */
    if (!good && server->thread_count == threads && threads != 0)
        server_join(server);
    return good;
}

void server_config_set(struct server *server, const struct config *config) {
    atomic_store_explicit(&server->config, config, memory_order_release);
    server_nudge(server);
}

bool server_config_settled(const struct server *server) {
    const struct config *config = server_config(server);
    for (unsigned i = 0; i < server->post.endpoints; i++)
        if (atomic_load_explicit(&server->endpoints[i]->config_taken, memory_order_acquire) !=
            config)
            return false;
    return true;
}

void server_nudge(struct server *server) {
    for (unsigned i = 0; i < server->post.endpoints; i++)
        net_wake(server->post.boxes[i].wake_fd);
}

void server_nudge_endpoint(void *argument, unsigned index) {
    struct server *server = argument;
    atomic_store_explicit(&server->endpoints[index]->nudged, true, memory_order_release);
    net_wake(server->post.boxes[index].wake_fd);
}

/* --- the way down ----------------------------------------------------------------------------- */

static void phase_set(struct server *server, enum server_phase phase) {
    atomic_store_explicit(&server->phase_since_ns, clock_ns(), memory_order_relaxed);
    atomic_store_explicit(&server->phase, phase, memory_order_release);
    server_nudge(server);
}

void server_drain(struct server *server) {
    if (server_phase(server) != PHASE_RUNNING)
        return;
    server->drain_since_ns = clock_ns();
    phase_set(server, PHASE_REFUSING);
}

bool server_through(const struct server *server, enum server_phase phase) {
    for (unsigned i = 0; i < server->post.endpoints; i++)
        if (atomic_load_explicit(&server->endpoints[i]->phase, memory_order_acquire) < phase)
            return false;
    return true;
}

static void client_listeners_close(struct server *server, bool api) {
    for (uint32_t i = 0; i < server->config->listener_count; i++) {
        if ((server->config->listeners[i].kind == LISTENER_API) != api)
            continue;
        for (unsigned j = 0; j < server->worker_count; j++) {
            int fd = server->listen_fds[i][j];
            bool shared = j > 0 && fd == server->listen_fds[i][0];
            if (fd >= 0 && !shared)
                net_close(fd);
        }
        for (unsigned j = 0; j < server->worker_count; j++)
            server->listen_fds[i][j] = -1;
    }
}

static bool is_stopped(const struct endpoint *endpoint) {
    return atomic_load_explicit(&endpoint->phase, memory_order_acquire) >= PHASE_STOPPED;
}

/* Everybody but ports is through: these are in calls that do not come back. */
static void ports_silent(const struct server *server) {
    const struct port *silent = NULL;
    for (unsigned i = 0; i < server->worker_count; i++)
        if (!is_stopped(&server->workers[i].endpoint))
            return;
    for (unsigned i = 0; i < server->parts.port_count; i++)
        if (!is_stopped(&server->parts.ports[i]->endpoint))
            silent = server->parts.ports[i];
    if (silent == NULL)
        return;
    if (server->parts.store == NULL || is_stopped(&server->parts.store->port.endpoint))
        fatal_event("port_silent", LOG_STR("port", silent->type->name),
                    LOG_STR("meaning", "what it speaks to does not let it go, so the node ends "
                                       "without it; what it had not settled comes again"),
                    LOG_STR("remedy", "look at what it speaks to before the node is started "
                                      "again"));
    fatal_event("store_silent", LOG_STR("store", server->parts.store->kind),
                LOG_U64("settled", store_unsafe(server)),
                LOG_STR("meaning",
                        "the disk does not answer, so the node ends without it; what was "
                        "answered is safe as --fsync says; what was refused just now "
                        "may be there after the next start, and what was settled, so many at the "
                        "most, may be pending again"),
                LOG_STR("remedy", "look at the disk (dmesg) before the node is started again"));
}

bool server_step(struct server *server) {
    enum server_phase phase = server_phase(server);
    uint64_t now_ns = clock_ns();
    bool through = server_through(server, phase);
    bool timed_out = phase > PHASE_RUNNING && phase < PHASE_CLOSING &&
                     now_ns - server->drain_since_ns >= server_config(server)->drain_timeout_ns;
    /* If the phase before took all the time, there is still some for saying goodbye. */
    if (phase == PHASE_GOODBYE &&
        now_ns - atomic_load_explicit(&server->phase_since_ns, memory_order_relaxed) < GOODBYE_NS)
        timed_out = false;
    switch (phase) {
    case PHASE_STARTING:
    case PHASE_RUNNING:
        return false;
    case PHASE_REFUSING:
        if (!through && !timed_out)
            return false;
        if (through)
            client_listeners_close(server, false);
        phase_set(server, PHASE_GOODBYE);
        return false;
    case PHASE_GOODBYE:
        if (through || timed_out)
            phase_set(server, PHASE_CLOSING);
        return false;
    case PHASE_CLOSING:
        if (through || (now_ns - atomic_load(&server->phase_since_ns) >= CLOSING_NS &&
                        now_ns - server->drain_since_ns >= server_config(server)->drain_timeout_ns))
            phase_set(server, PHASE_STOPPED);
        return false;
    case PHASE_STOPPED:
        if (!through && now_ns - atomic_load(&server->phase_since_ns) >= PORT_STOP_NS)
            ports_silent(server);
        return through;
    }
    return false;
}

void server_join(struct server *server) {
    for (unsigned i = 0; i < server->thread_count; i++)
        pthread_join(server->threads[i], NULL);
    if (server->thread_count != 0)
        sem_destroy(&server->opened);
    server->thread_count = 0;
}

void server_fini(struct server *server) {
    client_listeners_close(server, false);
    client_listeners_close(server, true);
    if (server->workers != NULL)
        endpoints_collect(server);
    for (unsigned i = 0; server->workers != NULL && i < server->worker_count; i++)
        worker_fini(&server->workers[i]);
    for (unsigned i = 0; i < server->parts.port_count; i++)
        port_fini(server->parts.ports[i]);
    CHECK(quota_used(&server->answers) == 0 && quota_used(&server->reserve) == 0,
          "%llu bytes of answers are left",
          (unsigned long long)(quota_used(&server->answers) + quota_used(&server->reserve)));
    fates_fini(&server->fates);
    post_fini(&server->post);
    if (server->addresses != NULL)
        addresses_free(server->addresses);
    if (server->holders != NULL)
        holders_free(server->holders);
    if (server->presence != NULL)
        presence_free(server->presence);
    free(server->workers);
    free(server->threads);
    free(server->starts);
}
