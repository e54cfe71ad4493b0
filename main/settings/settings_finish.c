/* settings_finish.c - what depends on several settings, or on the machine. */
#include "ha/adapter/packet.h"
#include "ha/redis/redis_url.h"
#include "ha/redis/wire.h"
#include "main/address.h"
#include "main/settings/settings_alert.h"
#include "main/settings/settings_amqp.h"
#include "main/settings/settings_build.h"
#include "main/version.h"

#include <inttypes.h>

/* What the public suite of Socket.IO speaks to besides `/`. */
#define CONFORMANCE_NAMESPACE "/custom"

/* Descriptors that are no connections: standard streams, log, files, and a margin. */
#define OPEN_FILES_RESERVE 64
/* Of one worker besides its listeners: ring, wake-up, and what a reload may hold for a moment. */
#define OPEN_FILES_PER_WORKER 4
/* What max-connections is by itself at the most, however high the limit of open files is. */
#define CONNECTIONS_DEFAULT_MAX 1000000

static bool given(const struct settings_build *build, enum setting_id id) {
    return build->origins[id].source != SOURCE_DEFAULT;
}

static const enum setting_id listener_settings[LISTENER_KINDS] = {
    [LISTENER_TCP] = SET_TCP, [LISTENER_WEB] = SET_WEB, [LISTENER_API] = SET_API};

/* Problems of a listener are of the place that it was written in. */
static enum problem_kind kind_of_listener(const struct settings_build *build,
                                          enum listener_kind kind) {
    return build->origins[listener_settings[kind]].source == SOURCE_FILE ? PROBLEM_FILE
                                                                         : PROBLEM_USAGE;
}

static void place_of_listener(const struct settings_build *build, enum listener_kind kind,
                              char place[SETTINGS_TEXT_MAX]) {
    enum setting_id id = listener_settings[kind];
    setting_place(build, id, build->origins[id], place, SETTINGS_TEXT_MAX);
}

/* Puts the listeners into the order of their kinds, each kind as it was written. */
static void sort_listeners(struct config *config) {
    for (unsigned n = 1; n < config->listener_count; n++) {
        struct listen_address moved = config->listeners[n];
        unsigned at = n;
        for (; at > 0 && config->listeners[at - 1].kind > moved.kind; at--)
            config->listeners[at] = config->listeners[at - 1];
        config->listeners[at] = moved;
    }
}

/* Where both [::] and an IPv4 listener have a port, each takes its own. */
static void part_families(struct config *config) {
    for (unsigned n = 0; n < config->listener_count; n++)
        for (unsigned m = 0; m < config->listener_count; m++)
            if (address_leaves_v4(&config->listeners[n], &config->listeners[m]))
                config->listeners[n].v6_only = true;
}

static void check_listeners(struct settings_build *build) {
    struct config *config = &build->config;
    char place[SETTINGS_TEXT_MAX];
    sort_listeners(config);
    part_families(config);
    for (unsigned n = 0; n < config->listener_count; n++) {
        const struct listen_address *one = &config->listeners[n];
        place_of_listener(build, one->kind, place);
        if (build->listener_off[one->kind]) {
            build_problem(build, kind_of_listener(build, one->kind),
                          "%s: off and %s contradict each other", place, one->text);
            build->listener_off[one->kind] = false; /* say it once */
        }
        for (unsigned m = 0; m < n; m++)
            if (address_overlaps(one, &config->listeners[m]))
                build_problem(build, PROBLEM_START,
                              "%s: %s is taken by --%s %s already; give it another port", place,
                              one->text,
                              settings_table[listener_settings[config->listeners[m].kind]].name,
                              config->listeners[m].text);
        if (one->kind == LISTENER_API && config->api_key_count == 0 &&
            !address_is_loopback(&one->address))
            build_problem(
                build, PROBLEM_START,
                "%s: other machines can reach %s and there is no API key, so anybody "
                "could push; set RINGPOST_API_KEY (docker run -e RINGPOST_API_KEY=...), or "
                "listen on 127.0.0.1",
                place, one->text);
    }
    for (unsigned n = 0; n < config->listener_count; n++) {
        const struct listen_address *one = &config->listeners[n];
        if (one->kind == LISTENER_API || address_is_loopback(&one->address))
            continue;
        place_of_listener(build, one->kind, place);
        build_remark(build,
                     "%s: other machines can reach %s, and clients are not authenticated; leave "
                     "it so only where the network is trusted",
                     place, one->text);
    }
    for (unsigned n = 0; config->conformance && n < config->listener_count; n++)
        if (config->listeners[n].kind == LISTENER_WEB &&
            !address_is_loopback(&config->listeners[n].address))
            build_problem(
                build, PROBLEM_START,
                "--conformance is for tests on this machine alone, and other machines can "
                "reach %s; leave it out, or let --web listen on 127.0.0.1",
                config->listeners[n].text);
    bool room = config->namespace_count < NAMESPACES_MAX;
    for (unsigned n = 0; room && n < config->namespace_count; n++)
        room = strcmp(config->namespaces[n], CONFORMANCE_NAMESPACE) != 0;
    if (config->conformance && room)
        config->namespaces[config->namespace_count++] = CONFORMANCE_NAMESPACE;
    if (config->listener_count == 0 && build->settings->problem_count == 0)
        build_problem(build, PROBLEM_START,
                      "tcp, web and api are all off, so there is nothing to do; turn one on");
}

/* Which CPUs there are to choose from. Where a quota grants less time than there are CPUs, several
 * containers likely share them: each begins at a CPU of its own choice, so they do not all sit on
 * the first ones. */
static unsigned usable_cpus(struct settings_build *build, int cpus[WORKERS_MAX]) {
    const struct machine *machine = &build->settings->machine;
    if (build->cpu_count != 0) {
        memcpy(cpus, build->config.cpus, build->cpu_count * sizeof(cpus[0]));
        return build->cpu_count;
    }
    bool shared = machine->cpu_quota != 0 && machine->cpu_quota < machine->cpus;
    unsigned skip = shared ? build->settings->random_cpu % machine->cpus : 0;
    unsigned count = 0;
    for (unsigned step = 0; step < 2 * MACHINE_CPUS_MAX && count < WORKERS_MAX; step++) {
        unsigned cpu = step % MACHINE_CPUS_MAX;
        if (!machine_has_cpu(machine, cpu))
            continue;
        if (skip > 0) {
            skip--;
            continue;
        }
        if (count == machine->cpus)
            break;
        cpus[count++] = (int)cpu;
    }
    return count;
}

static void place_workers(struct settings_build *build) {
    const struct machine *machine = &build->settings->machine;
    struct config *config = &build->config;
    int cpus[WORKERS_MAX] = {0};
    unsigned count = usable_cpus(build, cpus);
    if (count == 0) /* a mask that cannot be read: one worker, on the first CPU */
        count = 1;
    if (!given(build, SET_WORKERS)) {
        config->workers = count;
        if (build->cpu_count == 0 && machine->cpu_quota != 0 && machine->cpu_quota < count)
            config->workers = machine->cpu_quota;
    } else if (config->workers > count) {
        build_remark(build, "%u workers share %u CPUs; one for each CPU is usually faster",
                     config->workers, count);
    }
    for (unsigned n = 0; n < WORKERS_MAX; n++)
        config->cpus[n] = n < config->workers ? cpus[n % count] : -1;
}

/* How many connections one worker can hold: in its table of files, or, where there is none, as
 * descriptors. */
static uint64_t connections_of_one(const struct settings_build *build) {
    const struct config *config = &build->config;
    uint64_t open_files = build->settings->machine.open_files;
    uint64_t most = open_files < FILES_MAX ? open_files : FILES_MAX;
    uint64_t needed = FILES_SPARE;
    if (!build->settings->machine.ring_files || config->test_kernel_6_1) {
        most = open_files;
        needed = OPEN_FILES_RESERVE + API_CONNECTIONS_SPARE +
                 (uint64_t)config->workers * (config->listener_count + OPEN_FILES_PER_WORKER);
    }
    return most > needed ? most - needed : 1;
}

static void place_connections(struct settings_build *build) {
    struct config *config = &build->config;
    uint64_t open_files = build->settings->machine.open_files;
    bool tables = build->settings->machine.ring_files && !config->test_kernel_6_1;
    uint64_t one = connections_of_one(build);
    /* Each worker has a table of its own, but clients may all come to one: from one address. */
    uint64_t possible = tables ? one * config->workers : one;
    if (!given(build, SET_MAX_CONNECTIONS)) {
        config->max_connections =
            (uint32_t)(one < CONNECTIONS_DEFAULT_MAX ? one : CONNECTIONS_DEFAULT_MAX);
    } else if (config->max_connections > possible) {
        build_remark(build,
                     "max-connections is cut from %" PRIu32 " to %" PRIu64
                     " by the limit of open files (%" PRIu64 "); raise it with ulimit -n, or "
                     "LimitNOFILE= of the systemd unit",
                     config->max_connections, possible, open_files);
        config->max_connections = (uint32_t)possible;
    } else if (config->max_connections > one) {
        build_remark(build,
                     "max-connections (%" PRIu32 ") is more than one worker can hold (%" PRIu64
                     "); where more come to one worker, as from one address, they are refused",
                     config->max_connections, one);
    }
}

/* Where only the newest message counts, the kernel holds as little as it can of the older ones. */
#define SEND_BUFFER_KEEP_LATEST 4096

static void place_sizes(struct settings_build *build) {
    if (build->config.slow == SLOW_KEEP_LATEST && !given(build, SET_SEND_BUFFER))
        build->config.send_buffer_bytes = SEND_BUFFER_KEEP_LATEST;
}

/* A worker reads a message in one turn. */
#define MESSAGE_SHORT_TURN_BYTES 1048576

static void check_sizes(struct settings_build *build) {
    const struct config *config = &build->config;
    uint64_t memory = build->settings->machine.memory_bytes;
    if (config->max_message_bytes > MESSAGE_SHORT_TURN_BYTES)
        build_remark(build,
                     "max-message (%" PRIu32 ") makes turns long: one push of 16M of JSON takes "
                     "100 to 230 ms of a worker, 1M takes 16 ms, and its other clients wait; "
                     "measured with curl --json @FILE NODE/v1/clients/x as "
                     "ringpost_turn_longest_seconds",
                     config->max_message_bytes);
    if (config->outbox_bytes < config->max_message_bytes)
        build_remark(build,
                     "outbox-bytes (%" PRIu32 ") is below max-message (%" PRIu32
                     "), so a session that has anything waiting is slow at the next large message",
                     config->outbox_bytes, config->max_message_bytes);
    if (config->max_body_bytes < config->max_message_bytes)
        build_remark(build,
                     "max-body (%" PRIu32 ") is below max-message (%" PRIu32
                     "), so the largest messages cannot be pushed over HTTP",
                     config->max_body_bytes, config->max_message_bytes);
    if (config->memory_bytes > memory)
        build_remark(build,
                     "memory (%" PRIu64 ") is more than this machine or container has (%" PRIu64
                     "), so the kernel may kill the node before the ceiling holds",
                     config->memory_bytes, memory);
}

static void place_problem(struct settings_build *build, enum setting_id id, const char *problem) {
    char place[SETTINGS_TEXT_MAX];
    setting_place(build, id, build->origins[id], place, sizeof(place));
    build_problem(build, PROBLEM_START, "%s: %s", place, problem);
}

static void place_store(struct settings_build *build) {
    struct config *config = &build->config;
    bool data = config->data != NULL && config->data[0] != '\0';
    if (config->data != NULL && !data)
        place_problem(build, SET_DATA, "the directory has no name");
    if (!given(build, SET_STORE))
        config->store = data ? STORE_DISK : STORE_MEMORY;
    if (config->store == STORE_REDIS)
        place_problem(build, SET_STORE,
                      "ringpost " RINGPOST_VERSION " does not have this yet; leave it out");
    if (config->store == STORE_DISK && config->data == NULL)
        place_problem(build, SET_STORE, "disk needs a directory; name it by --data DIR");
    if (config->store == STORE_MEMORY && data)
        place_problem(build, SET_DATA,
                      "with --store memory nothing is written; leave one of the two out");
    if (config->store == STORE_MEMORY && given(build, SET_FSYNC) &&
        config->store_sync != STORE_SYNC_ALWAYS)
        build_remark(build, "fsync says nothing without --data");
    if (config->store == STORE_DISK && config->store_sync != STORE_SYNC_ALWAYS)
        build_remark(build,
                     "--fsync %s: where the machine loses its power, so are messages that were "
                     "answered 202",
                     config->store_sync == STORE_SYNC_INTERVAL ? "interval" : "never");
}

/* Whatever stands under an adapter's key and is none of its packets ends stock servers. */
static bool is_under_key(const char *prefix, const char *key) {
    static const char *const places[] = {"#", "-request#", "-response#"};
    size_t key_len = strlen(key);
    if (strncmp(prefix, key, key_len) != 0)
        return false;
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
        if (strncmp(prefix + key_len, places[i], strlen(places[i])) == 0)
            return true;
    return false;
}

static bool redis_is_cluster(const struct config *config) {
    struct redis_url url;
    redis_url_parse(span_text(config->redis[0]), &url);
    return url.kind == REDIS_URL_CLUSTER;
}

static void place_adapter(struct settings_build *build) {
    const struct config *config = &build->config;
    const char *key = config->socketio_redis_key;
    bool sharded = config->socketio_adapter == ADAPTER_SHARDED;
    if (key == NULL) {
        if (given(build, SET_SOCKETIO_REDIS_ADAPTER))
            build_remark(build, "socketio-redis-adapter says nothing without --socketio-redis-key");
        return;
    }
    if (key[0] == '\0' || strlen(key) > ADAPTER_KEY_BYTES_MAX)
        place_problem(build, SET_SOCKETIO_REDIS_KEY, "a key has 1 to 64 bytes");
    else if (config->redis_count == 0)
        place_problem(build, SET_SOCKETIO_REDIS_KEY,
                      "the adapter of Socket.IO servers works over Redis; name it by --redis URL");
    else if (redis_is_cluster(config))
        place_problem(build, SET_SOCKETIO_REDIS_KEY,
                      "the adapter of Socket.IO servers has no place in a Redis Cluster yet; name "
                      "the servers' Redis by redis://");
    else if (sharded && config->redis_count > 1)
        place_problem(build, SET_SOCKETIO_REDIS_ADAPTER,
                      "the sharded adapter of Socket.IO servers works over one Redis; name only "
                      "theirs by --redis");
    else if (is_under_key(config->redis_prefix, key))
        place_problem(build, SET_REDIS_PREFIX,
                      "channels of nodes must not stand under the key of Socket.IO servers, which "
                      "do not survive what they cannot read; say another prefix");
}

static void place_redis(struct settings_build *build) {
    const struct config *config = &build->config;
    size_t len = strlen(config->redis_prefix);
    if (len == 0 || len > WIRE_PREFIX_BYTES_MAX)
        place_problem(build, SET_REDIS_PREFIX, "a prefix has 1 to 64 bytes");
    place_adapter(build);
    if (config->redis_count == 0) {
        if (given(build, SET_REDIS_PREFIX))
            build_remark(build, "redis-prefix says nothing without --redis");
        return;
    }
    if (config->data != NULL && !given(build, SET_STORE))
        place_problem(build, SET_DATA,
                      "with --redis it is not clear where messages with ack are to be kept; say "
                      "--store disk, or leave --data out");
}

static void place_alert(struct settings_build *build) {
    char why[SETTINGS_TEXT_MAX];
    const char *problem = settings_alert_problem(&build->config);
    if (problem != NULL)
        place_problem(build, SET_ALERT_MAIL, problem);
    for (unsigned n = 0; settings_alert_remark(&build->config, n, why, sizeof(why)); n++)
        if (why[0] != '\0')
            build_remark(build, "%s", why);
}

static void place_amqp(struct settings_build *build) {
    const struct config *config = &build->config;
    const char *problem = settings_amqp_problem(config), *remark = settings_amqp_remark(config);
    if (problem != NULL)
        build_problem(build, PROBLEM_USAGE, "--amqp: %s", problem);
    else if (remark != NULL)
        build_remark(build, "%s", remark);
}

static void place_peer(struct settings_build *build) {
    const struct config *config = &build->config;
    bool secret = config->peer_secret_file != NULL;
    if (config->peer.text == NULL) {
        if (secret)
            build_remark(build, "peer-secret-file says nothing without --peer");
        return;
    }
    if (!secret)
        place_problem(build, SET_PEER,
                      "nodes must know each other by a secret; name it by --peer-secret-file FILE");
    if (config->redis_count == 0)
        place_problem(build, SET_PEER,
                      "nodes learn of each other by Redis; say --redis URL, or leave --peer out");
    for (unsigned i = 0; i < config->listener_count; i++)
        if (address_overlaps(&config->peer, &config->listeners[i]))
            place_problem(build, SET_PEER, "another listener has that address; use another port");
}

void build_finish(struct settings_build *build) {
    if (!given(build, SET_NODE))
        memcpy(build->config.node, build->settings->random_node,
               sizeof(build->settings->random_node));
    read_keys(build);
    read_redis(build);
    read_alert(build);
    read_amqp(build);
    read_peer_secret(build);
    read_script(build);
    place_workers(build);
    check_listeners(build);
    place_connections(build);
    place_sizes(build);
    check_sizes(build);
    place_store(build);
    place_redis(build);
    place_alert(build);
    place_peer(build);
    place_amqp(build);
}
