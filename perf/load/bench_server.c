#include "perf/load/bench_server.h"

#include "core/base/clock.h"
#include "perf/load/bench_proc.h"
#include "perf/load/bench_text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_WAIT_NS (UINT64_C(60) * NS_PER_S) /* a busy machine takes its time */
#define END_WAIT_NS (UINT64_C(20) * NS_PER_S)   /* --drain-timeout is 10, and its last answers 2 */
#define CLIENTS_MANY 10000u
#define PATH_BYTES (BENCH_DIR_BYTES + 8u)
#define CONNECTIONS_SPARE 64u /* for whoever looks at the node meanwhile */

static void pause_ms(long ms) {
    struct timespec wait = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&wait, NULL);
}

static void server_path(const struct bench_server *server, const char *name, char out[PATH_BYTES]) {
    snprintf(out, PATH_BYTES, "%s/%s", server->dir, name);
}

/* The settings of whoever runs the load tool must not reach the node. */
static void environment_clean(void) {
    for (char **at = environ; *at != NULL;) {
        char name[128];
        size_t len = strcspn(*at, "=");
        if (strncmp(*at, "RINGPOST_", 9) == 0 && len < sizeof name) {
            memcpy(name, *at, len);
            name[len] = '\0';
            unsetenv(name);
        } else {
            at++;
        }
    }
}

/* More clients than a node takes by itself, unless the caller has said how many it shall take. */
static bool many_clients(const struct bench_options *options) {
    for (uint32_t i = 0; i < options->server_arg_count; i++)
        if (strcmp(options->server_args[i], "--max-connections") == 0)
            return false;
    return options->clients > CLIENTS_MANY;
}

static _Noreturn void child_run(const struct bench_server *server,
                                const struct bench_options *options, const char *const *more,
                                const char *binary) {
    char ports[PATH_BYTES], log[PATH_BYTES], workers[16], connections[16];
    server_path(server, "ports", ports);
    server_path(server, "log", log);
    const char *args[24 + BENCH_SERVER_MORE_MAX + BENCH_SERVER_ARGS_MAX];
    uint32_t n = 0;
    bool is_tcp = options->transport == BENCH_OVER_TCP;
    args[n++] = binary;
    args[n++] = "serve";
    args[n++] = "--tcp";
    args[n++] = is_tcp ? "127.0.0.1:0" : "off";
    args[n++] = "--web";
    args[n++] = is_tcp ? "off" : "127.0.0.1:0";
    args[n++] = "--api";
    args[n++] = "127.0.0.1:0";
    args[n++] = "--ports-file";
    args[n++] = ports;
    if (options->workers != 0) {
        snprintf(workers, sizeof workers, "%u", options->workers);
        args[n++] = "--workers";
        args[n++] = workers;
    }
    if (options->server_cpus != NULL) {
        args[n++] = "--cpus";
        args[n++] = options->server_cpus;
    }
    if (options->api_key != NULL) {
        args[n++] = "--api-key";
        args[n++] = options->api_key;
    }
    if (many_clients(options)) {
        snprintf(connections, sizeof connections, "%u",
                 options->clients + options->producers + CONNECTIONS_SPARE);
        args[n++] = "--max-connections";
        args[n++] = connections;
    }
    for (uint32_t i = 0; i < BENCH_SERVER_MORE_MAX && more[i] != NULL; i++)
        args[n++] = more[i];
    for (uint32_t i = 0; i < options->server_arg_count; i++)
        args[n++] = options->server_args[i];
    args[n] = NULL;
    (void)prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL);
    environment_clean();
    int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
    if (fd >= 0) {
        dup2(fd, STDOUT_FILENO);
        dup2(fd, STDERR_FILENO);
    }
    execv(binary, (char *const *)(uintptr_t)args);
    fprintf(stderr, "%s: %s\n", binary, strerror(errno));
    _exit(127);
}

/* The first address of a list in the ports file, as a loopback address. */
static bool port_read(const char *text, const char *name, struct sockaddr_in *address) {
    char wanted[16], host_port[64], loopback[80];
    snprintf(wanted, sizeof wanted, "\"%s\":", name);
    const char *at = strstr(text, wanted);
    if (at == NULL || (at = strchr(at, '[')) == NULL)
        return false;
    if (sscanf(at, "[ \"%63[^\"]\"", host_port) != 1)
        return false;
    if (bench_loopback_read(host_port, address))
        return true;
    const char *colon = strrchr(host_port, ':');
    if (colon == NULL)
        return false;
    snprintf(loopback, sizeof loopback, "127.0.0.1%s", colon);
    return bench_loopback_read(loopback, address);
}

static bool ports_read(struct bench_server *server, bool is_tcp) {
    char path[PATH_BYTES], text[4096];
    server_path(server, "ports", path);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    return port_read(text, is_tcp ? "tcp" : "web", &server->clients) &&
           port_read(text, "api", &server->api);
}

static void log_show(const struct bench_server *server) {
    char path[PATH_BYTES], line[512], text[1024];
    server_path(server, "log", path);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return;
    bool whole = fseek(file, -2000, SEEK_END) != 0; /* else it begins within a line */
    for (; fgets(line, sizeof line, file) != NULL; whole = true)
        if (whole) {
            bench_text_write(text, sizeof text, span_text(line));
            fprintf(stderr, "  node: %s\n", text);
        }
    fclose(file);
}

static bool server_spawn(struct bench_server *server, const struct bench_options *options,
                         const char *const *more) {
    char own[512];
    const char *binary = options->server;
    if (binary == NULL) {
        ssize_t len = readlink("/proc/self/exe", own, sizeof own - 1);
        if (len < 0)
            return false;
        own[len] = '\0';
        binary = own;
    }
    const char *parent = getenv("TMPDIR");
    if (parent == NULL || parent[0] == '\0')
        parent = "/tmp";
    int len = snprintf(server->dir, sizeof server->dir, "%s/ringpost-bench-XXXXXX", parent);
    if (len < 0 || (size_t)len >= sizeof server->dir || mkdtemp(server->dir) == NULL) {
        bench_complain("no temporary directory in %s: %s", parent, strerror(errno));
        server->dir[0] = '\0';
        return false;
    }
    server->ours = true;
    server->pid = fork();
    if (server->pid == 0)
        child_run(server, options, more, binary);
    if (server->pid < 0) {
        fprintf(stderr, "ringpost bench: cannot start the node: %s\n", strerror(errno));
        return false;
    }
    for (uint64_t start_ns = clock_ns(); clock_ns() - start_ns < START_WAIT_NS; pause_ms(5)) {
        if (ports_read(server, options->transport == BENCH_OVER_TCP))
            return true;
        if (!bench_server_alive(server))
            break;
    }
    bench_complain("the node %s did not start", binary);
    server->failed = true;
    log_show(server);
    return false;
}

bool bench_server_open(struct bench_server *server, const struct bench_options *options,
                       const char *const *more) {
    *server = (struct bench_server){.pid = options->pid,
                                    .clients = options->transport == BENCH_OVER_TCP ? options->tcp
                                                                                    : options->web,
                                    .api = options->api};
    if (options->spawn)
        return server_spawn(server, options, more);
    if (server->pid == 0)
        server->pid = bench_proc_listener(&server->api);
    if (server->pid == 0)
        fputs("ringpost bench: the node's process was not found: no CPU and memory figures\n",
              stderr);
    return true;
}

__attribute__((format(printf, 2, 3))) static void ending_keep(struct bench_server *server,
                                                              const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(server->ending, sizeof server->ending, format, list);
    va_end(list);
    fprintf(stderr, "ringpost bench: %s\n", server->ending);
}

bool bench_server_alive(struct bench_server *server) {
    if (!server->ours || server->pid <= 0)
        return true;
    int status;
    if (waitpid(server->pid, &status, WNOHANG) != server->pid)
        return true;
    if (WIFSIGNALED(status))
        ending_keep(server, "the node died of signal %d", WTERMSIG(status));
    else
        ending_keep(server, "the node ended by itself with status %d", WEXITSTATUS(status));
    server->pid = 0;
    server->failed = true;
    return false;
}

void bench_server_close(struct bench_server *server) {
    if (!server->ours)
        return;
    if (server->pid > 0 && bench_server_alive(server)) {
        int status;
        pid_t ended = 0;
        kill(server->pid, SIGTERM);
        for (uint64_t start_ns = clock_ns(); clock_ns() - start_ns < END_WAIT_NS; pause_ms(10)) {
            ended = waitpid(server->pid, &status, WNOHANG);
            if (ended != 0)
                break;
        }
        if (ended == 0) {
            ending_keep(server, "the node did not end within %d s of SIGTERM and was killed",
                        (int)(END_WAIT_NS / NS_PER_S));
            server->failed = true;
            kill(server->pid, SIGKILL);
            waitpid(server->pid, &status, 0);
        } else if (ended > 0 && status != 0) {
            ending_keep(server, "the node was asked to end and did so with wait status 0x%x",
                        (unsigned)status);
            server->failed = true;
        }
        server->pid = 0;
    }
    if (server->dir[0] == '\0')
        return;
    if (server->failed) {
        bench_complain("the node's log is kept in %s/log", server->dir);
        return;
    }
    char path[PATH_BYTES];
    server_path(server, "ports", path);
    unlink(path);
    server_path(server, "log", path);
    unlink(path);
    rmdir(server->dir);
}
