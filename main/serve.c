#include "main/serve.h"

#include "core/base/fatal.h"
#include "core/base/hash.h"
#include "core/base/memory_short.h"
#include "core/base/thread.h"
#include "core/keeper.h"
#include "core/memory.h"
#include "core/namespaces.h"
#include "core/sandbox.h"
#include "core/server.h"
#include "core/watch.h"
#include "ha/alert/alert_port.h"
#include "ha/peer/peer_port.h"
#include "ha/redis/redis_port.h"
#include "ha/store/disk_store.h"
#include "ingest/amqp/amqp_port.h"
#include "ingest/api/api.h"
#include "ingest/gate/client_send.h"
#include "ingest/gate/gate.h"
#include "main/ports_file.h"
#include "main/settings/settings.h"
#include "main/terminal.h"
#include "main/version.h"
#include "proto/client/client.h"
#include "proto/client/encodings.h"
#include "proto/client/tcp.h"
#include "proto/http/http_context.h"
#include "proto/web/eio/engine_echo.h"
#include "proto/web/sio/sio.h"
#include "proto/web/sio/sio_encodings.h"
#include "proto/web/sse.h"
#include "proto/web/sse_write.h"
#include "proto/web/web.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DRAIN_LOOK_NS (2 * NS_PER_MS)
#define WAIT_FAILING_NS NS_PER_S /* so long an error of the wait may last */

/* The one that holds comes first; older ones stay as long as a worker may look at them. */
struct config_kept {
    struct config_kept *older;
    struct config config;
};

struct node {
    struct gate gate;
    struct settings *settings;
    struct config_kept *configs;
    struct amqp_port *amqp; /* with --amqp; most nodes have none, and it is large */
    struct watch watch;
    struct server server;
    struct disk_store disk;  /* with --store disk */
    struct redis_port redis; /* with --redis */
    struct alert_port alert; /* with --alert-url or --alert-mail */
    struct peer_port peers;  /* with --peer */
};

static void configs_free(struct config_kept *kept) {
    while (kept != NULL) {
        struct config_kept *older = kept->older;
        free(kept);
        kept = older;
    }
}

/* Looked at whenever the main thread wakes, so that old keys are gone soon. */
static void configs_forget(struct node *node) {
    if (node->configs->older == NULL || !server_config_settled(&node->server))
        return;
    configs_free(node->configs->older);
    node->configs->older = NULL;
    settings_forget(node->settings);
}

static int fail(const char *problem) {
    log_stop();
    terminal_format(stderr, "ringpost: %s", problem);
    fputc('\n', stderr);
    return 1;
}

static int fail_memory(const char *what) {
    char remedy[MEMORY_LIMIT_TEXT_MAX], problem[256];
    memory_short(remedy);
    snprintf(problem, sizeof(problem), "no memory for %s: %s", what, remedy);
    return fail(problem);
}

static int fail_call(const char *call) {
    char problem[256];
    snprintf(problem, sizeof(problem),
             "%s is refused (%s): allow it in the seccomp profile or security policy", call,
             strerror(errno));
    return fail(problem);
}

static int fail_thread(int error) {
    char why[160], problem[256];
    thread_problem(error, why, sizeof(why));
    snprintf(problem, sizeof(problem), "cannot start the log's thread: %s", why);
    return fail(problem);
}

/* A node that fails for good (fatal.h) leaves by quick_exit, and its file must not stay. */
static struct ports_file ports_file;

static void ports_file_leave(void) {
    ports_file_remove(&ports_file);
}

static void started_log(const struct server *server, const struct settings *settings) {
    static const char *const kinds[LISTENER_KINDS] = {"tcp", "web", "api"};
    const struct config *config = server_config(server);
    for (unsigned i = 0; i < config->listener_count; i++)
        log_event(LOG_INFO, "listening", LOG_STR("listener", kinds[config->listeners[i].kind]),
                  LOG_STR("address", server->listen_text[i]));
    log_event(LOG_INFO, "started", LOG_STR("version", RINGPOST_VERSION),
              LOG_STR("node", config->node), LOG_STR("run", server->run),
              LOG_U64("workers", server->worker_count),
              LOG_U64("max_connections", config->max_connections),
              LOG_U64("memory_bytes", config->memory_bytes));
    if (config->store == STORE_MEMORY)
        log_event(LOG_INFO, "store", LOG_STR("kind", "memory"),
                  LOG_STR("meaning", "messages with ack are lost when the node ends"));
    else
        log_event(LOG_INFO, "store", LOG_STR("kind", "disk"), LOG_STR("data", config->data),
                  LOG_U64("pending", stats_get(&server->parts.store->figures.restored)),
                  LOG_U64("fates", fates_count(&server->fates)));
    for (unsigned i = 0; i < settings->remark_count; i++)
        log_event(LOG_WARN, "setting_remark", LOG_STR("remark", settings->remarks[i]));
    log_event(LOG_WARN, "clients_not_authenticated",
              LOG_STR("meaning", "any client may take any id and read what is sent to it"),
              LOG_STR("remedy", "let only trusted clients reach the client listeners"));
}

/* As late as there are files to write and threads to start, and before the first client is told to
 * come. Where it cannot be the node runs all the same, and says so. */
static void sandbox_begin(const struct config *config) {
    char problem[160];
    if (!config->sandbox) {
        log_event(LOG_WARN, "sandbox_off", LOG_STR("reason", "--sandbox off"),
                  LOG_STR("remedy", "leave it on, unless a call was refused that should not be"));
    } else if (sandbox_unfit() != NULL) {
        log_event(LOG_WARN, "sandbox_off", LOG_STR("reason", sandbox_unfit()),
                  LOG_STR("remedy", "none needed for tests; use the release build otherwise"));
    } else if (sandbox_enter(
                   config->store == STORE_DISK,
                   config->redis_count != 0 || config->amqp_count != 0 || alert_is_wanted(config),
                   alert_is_wanted(config) || amqp_looks_up(config), problem, sizeof(problem))) {
        log_event(LOG_INFO, "sandbox_on", LOG_STR("privileges", "no new ones"));
    } else {
        log_event(
            LOG_WARN, "sandbox_off", LOG_STR("reason", problem),
            LOG_STR(
                "remedy",
                "allow seccomp(2) and some MB of address space (LimitAS), or say --sandbox off"));
    }
}

static void reload_report(void *user, enum reload_verdict verdict, const char *name,
                          const char *detail) {
    (void)user;
    if (verdict == RELOAD_APPLIED)
        log_event(LOG_INFO, "setting_changed", LOG_STR("setting", name), LOG_STR("to", detail));
    else if (verdict == RELOAD_NEEDS_RESTART)
        log_event(LOG_WARN, "setting_needs_restart", LOG_STR("setting", name),
                  LOG_STR("detail", detail), LOG_STR("remedy", "restart the node to change it"));
    else
        log_event(LOG_ERROR, "reload_refused", LOG_STR("problem", detail),
                  LOG_STR("remedy", "fix it and send SIGHUP again; nothing was changed"));
}

static void node_reload(struct node *node) {
    struct config_kept *kept = malloc(sizeof(*kept));
    if (kept == NULL) {
        reload_report(NULL, RELOAD_PROBLEM, NULL, "no memory for another configuration");
        return;
    }
    if (!settings_reload(node->settings, &kept->config, reload_report, NULL)) {
        free(kept);
        return;
    }
    kept->older = node->configs;
    node->configs = kept;
    log_set(kept->config.log_level, kept->config.log_format);
    server_config_set(&node->server, &kept->config);
    log_event(LOG_INFO, "reloaded", LOG_STR("node", kept->config.node));
}

/* Blocks the signals that node_wait waits for. NULL, or the call that is refused, with errno: a
 * node that cannot wait for signals would not hear that it is to end. */
static const char *signals_block(sigset_t *set) {
    static const int waited[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2};
    const struct timespec at_once = {0};
    sigset_t none;
    sigemptyset(&none);
    sigemptyset(set);
    for (size_t i = 0; i < sizeof(waited) / sizeof(waited[0]); i++)
        sigaddset(set, waited[i]);
    errno = pthread_sigmask(SIG_BLOCK, set, NULL);
    if (errno != 0)
        return "rt_sigprocmask";
    if (sigtimedwait(&none, NULL, &at_once) < 0 && errno != EAGAIN && errno != EINTR)
        return "rt_sigtimedwait";
    /* A peer that left, a file at its limit (ulimit -f): the call that wrote is told. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    return NULL;
}

static void on_stop_early(int number) {
    const struct log_field fields[] = {LOG_STR(
        "reason", number == SIGINT ? "SIGINT before the start" : "SIGTERM before the start")};
    if (log_wants(LOG_INFO))
        log_last(LOG_INFO, "stopped", fields, 1);
    _exit(0);
}

/* A start may wait: for an address, for memory that a node which has just ended gives back. Nobody
 * is connected yet and nothing is to be put away, so whoever asks for its end gets it in the middle
 * of any wait. By a handler: as the first process of a container the node would not be ended by the
 * signal alone. */
static void stop_early_allow(bool allowed) {
    struct sigaction action = {.sa_handler = on_stop_early};
    sigset_t stops;
    sigemptyset(&stops);
    sigaddset(&stops, SIGTERM);
    sigaddset(&stops, SIGINT);
    action.sa_mask = stops;
    if (allowed) {
        sigaction(SIGTERM, &action, NULL);
        sigaction(SIGINT, &action, NULL);
    }
    pthread_sigmask(allowed ? SIG_UNBLOCK : SIG_BLOCK, &stops, NULL);
}

/* The counters of all threads, for whoever looks once in a while. */
static void node_watch(struct node *node) {
    static struct stats total;
    memset(&total, 0, sizeof(total));
    for (unsigned i = 0; i < node->server.post.endpoints; i++)
        stats_sum(&total, &node->server.endpoints[i]->stats);
    watch_look(&node->watch, &total, clock_ns());
}

/* The next signal, 0 if none came in time. An error that stays ends the node while it still could
 * be asked to end. */
static int signal_wait(const sigset_t *signals, uint64_t wait_ns, uint64_t *failing_since_ns) {
    struct timespec wait = {(time_t)(wait_ns / NS_PER_S), (long)(wait_ns % NS_PER_S)};
    int number = sigtimedwait(signals, NULL, &wait), error = errno;
    if (number >= 0 || error == EAGAIN || error == EINTR) {
        *failing_since_ns = 0;
        return number < 0 ? 0 : number;
    }
    uint64_t now_ns = clock_ns();
    if (*failing_since_ns == 0)
        *failing_since_ns = now_ns;
    if (now_ns - *failing_since_ns >= WAIT_FAILING_NS)
        fatal_event("signals_unheard", LOG_STR("call", "rt_sigtimedwait"),
                    LOG_STR("error", strerror(error)),
                    LOG_STR("remedy", "allow rt_sigtimedwait (seccomp profile, security policy), "
                                      "then start the node again"));
    nanosleep(&(struct timespec){0, DRAIN_LOOK_NS}, NULL);
    return 0;
}

/* Waits for signals; returns once the node has drained. */
static void node_wait(struct node *node, const sigset_t *signals) {
    bool draining = false;
    uint64_t watched_ns = 0, failing_since_ns = 0;
    for (;;) {
        int number = signal_wait(signals, draining ? DRAIN_LOOK_NS : WATCH_NS, &failing_since_ns);
        configs_forget(node);
        if (clock_ns() - watched_ns >= WATCH_NS) {
            watched_ns = clock_ns();
            node_watch(node);
        }
        switch (number) {
        case SIGTERM:
        case SIGINT:
            if (!draining) {
                log_event(LOG_INFO, "draining", LOG_STR("node", node->server.config->node));
                server_drain(&node->server);
            } else {
                /* Asked twice: what is left is given up. */
                log_event(LOG_WARN, "drain_cut_short", LOG_STR("node", node->server.config->node));
                node->server.drain_since_ns = 0;
            }
            draining = true;
            break;
        case SIGHUP:
            node_reload(node);
            break;
        case SIGUSR1: /* to many servers: open the log's file again */
            log_event(LOG_WARN, "log_has_no_file",
                      LOG_STR("remedy", "none needed: the log goes to standard error, and whoever "
                                        "reads that keeps and rotates it"));
            break;
        case SIGUSR2:
            log_event(LOG_WARN, "upgrade_not_available",
                      LOG_STR("remedy", "restart the node: this version cannot hand over its "
                                        "connections"));
            break;
        default:
            break;
        }
        if (draining && server_step(&node->server))
            return;
    }
}

/* What the store could not write any more. */
static void unwritten_log(struct server *server) {
    for (unsigned i = 0; i < server->worker_count; i++)
        keeper_safe_take(&server->workers[i]);
    uint64_t settled = store_unsafe(server), refused = server->parts.store->untaken;
    if (settled + refused != 0)
        log_event(
            LOG_ERROR, "store_unwritten", LOG_STR("store", server->parts.store->kind),
            LOG_U64("settled", settled), LOG_U64("refused", refused),
            LOG_STR("meaning",
                    "the disk did not take it before the node ended: so many acknowledgements "
                    "and other ends of messages, which are pending again after the next "
                    "start, and so many messages that were refused, which may be, too"),
            LOG_STR("remedy", "look at the disk (dmesg) and start the node again; clients get "
                              "such messages once more, so take back (DELETE "
                              "/v1/messages/ID) what was to be taken back"));
}

/* Messages that were not acknowledged; after all threads have ended. */
static void lost_log(struct server *server) {
    uint64_t lost = 0;
    if (server->parts.store != NULL) { /* they are pending again at the next start */
        unwritten_log(server);
        return;
    }
    for (unsigned i = 0; i < server->worker_count; i++)
        lost += server->workers[i].keeper.dropped;
    if (lost != 0)
        log_event(LOG_WARN, "messages_lost", LOG_U64("count", lost),
                  LOG_STR("meaning", "they had not been acknowledged, and were kept in memory"),
                  LOG_STR("remedy", "let producers send again what has no fate (GET "
                                    "/v1/messages/ID is 404) after a restart"));
}

/* Whoever waits for the node to be there may take it that it reaches the others, if it can. */
#define REDIS_AWAIT_NS NS_PER_S

static void redis_await(const struct redis_port *redis) {
    uint64_t until_ns = clock_ns() + REDIS_AWAIT_NS;
    while (!redis_is_up(redis) && clock_ns() < until_ns)
        nanosleep(&(struct timespec){0, DRAIN_LOOK_NS}, NULL);
}

/* Before what is hashed is kept: the key of what was hashed before. */
static bool hash_begin(const struct config *config, char *problem, size_t problem_cap) {
    uint8_t key[HASH_KEY_BYTES];
    if (config->store != STORE_DISK) {
        hash_init(NULL);
        return true;
    }
    if (!disk_store_key(config->data, key, problem, problem_cap))
        return false;
    hash_init(key);
    return true;
}

int serve_run(struct settings *settings) {
    static struct node node;
    static struct server_parts parts = {
        .protocols =
            {
                [LISTENER_TCP] = &tcp_protocol,
                [LISTENER_WEB] = &web_protocol,
                [LISTENER_API] = &api_protocol,
            },
        .encodings = {&encoding_line, &encoding_counted, &encoding_line_again,
                      &encoding_counted_again, &encoding_frame, &encoding_frame_again,
                      &encoding_deflated, &encoding_deflated_again, &encoding_sse,
                      &encoding_sse_plain},
        .client_gate = &client_send_gate,
        .on_nudged = gate_on_nudged,
        .call_of = api_call_of,
    };
    static const struct http_service *const services[LISTENER_KINDS] = {
        [LISTENER_WEB] = &web_service,
        [LISTENER_API] = &api_service,
    };
    char problem[512] = "";
    sigset_t signals;
    node.settings = settings;
    log_set(settings->config.log_level, settings->config.log_format);
    const char *refused = signals_block(&signals);
    if (refused != NULL)
        return fail_call(refused);
    stop_early_allow(true);
    memory_begin();
    namespaces_set(settings->config.namespaces, settings->config.namespace_count);
    if (!hash_begin(&settings->config, problem, sizeof(problem)))
        return fail(problem);
    if (!log_start())
        return fail_thread(errno);
    struct config_kept *kept = calloc(1, sizeof(*kept));
    if (kept == NULL)
        return fail_memory("the configuration");
    kept->config = settings->config;
    node.configs = kept;
    if (kept->config.store == STORE_DISK) {
        disk_store_init(&node.disk, &kept->config);
        parts.store = &node.disk.store;
        parts.ports[parts.port_count++] = &node.disk.store.port;
    }
    if (kept->config.redis_count != 0) {
        redis_port_init(&node.redis, &kept->config);
        parts.herald = &node.redis.port;
        parts.ports[parts.port_count++] = &node.redis.port;
    }
    if (alert_is_wanted(&kept->config)) {
        alert_port_init(&node.alert, &settings->config, node.server.run);
        parts.ports[parts.port_count++] = &node.alert.port;
    }
    if (kept->config.peer.text != NULL) {
        peer_port_init(&node.peers, &kept->config);
        parts.peers = &node.peers.port;
        parts.ports[parts.port_count++] = &node.peers.port;
    }
    if (kept->config.amqp_count != 0) {
        node.amqp = aligned_alloc(_Alignof(struct amqp_port), sizeof(struct amqp_port));
        if (node.amqp == NULL)
            return fail_memory("the port to the broker");
        amqp_port_init(node.amqp, &settings->config);
        parts.ports[parts.port_count++] = &node.amqp->port;
    }
    sio_encodings_add(parts.encodings);
    if (!server_init(&node.server, &kept->config, &parts, problem, sizeof(problem)))
        return fail(problem);
    const struct engine_app *const apps[ENGINE_PATHS] = {
        [ENGINE_PATH_SOCKETIO] = &sio_app,
        [ENGINE_PATH_ECHO] = kept->config.conformance ? &engine_echo_app : NULL,
    };
    if (!gate_init(&node.gate, &node.server) || !http_init(&node.server, services) ||
        !sse_init(&node.server) || !engines_init(&node.server, apps) || !api_init(&node.server))
        return fail_memory("incoming messages");
    api_version_set(RINGPOST_VERSION);
    if (!server_start(&node.server, problem, sizeof(problem)))
        return fail(problem);
    stop_early_allow(false);
    if (kept->config.redis_count != 0)
        redis_await(&node.redis);
    if (settings->config.ports_file != NULL &&
        !ports_file_write(&ports_file, &node.server, settings->config.ports_file, problem,
                          sizeof(problem)))
        return fail(problem);
    at_quick_exit(ports_file_leave);
    sandbox_begin(&kept->config);
    started_log(&node.server, settings);
    node_wait(&node, &signals);
    server_join(&node.server);
    ports_file_remove(&ports_file);
    lost_log(&node.server);
    sse_fini();
    api_fini();
    engines_fini();
    http_fini(&node.server);
    gate_fini(&node.gate);
    server_fini(&node.server);
    if (parts.store != NULL)
        disk_store_fini(&node.disk);
    free(node.amqp);
    configs_free(node.configs);
    log_event(LOG_INFO, "stopped", LOG_STR("reason", "drained"));
    log_stop();
    return 0;
}
