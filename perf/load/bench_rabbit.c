#include "perf/load/bench_rabbit.h"

#include "core/base/clock.h"
#include "perf/load/bench_proc.h"
#include "perf/load/bench_text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_WAIT_NS (UINT64_C(60) * NS_PER_S) /* Erlang takes 3 to 10 s of two CPUs */
#define SERVER "/usr/lib/rabbitmq/bin/rabbitmq-server"
#define TRIES 3 /* somebody else may take a port that was free */
#define NOT_THERE 127
#define PATH_BYTES 320u
#define REMOVE_DEPTH 16

/* `count` different ports of loopback that are free now. */
static bool ports_free(uint16_t *ports, unsigned count) {
    int fds[4] = {-1, -1, -1, -1};
    bool good = true;
    for (unsigned i = 0; i < count && good; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof address;
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        good = fds[i] >= 0 && bind(fds[i], (const struct sockaddr *)&address, len) == 0 &&
               getsockname(fds[i], (struct sockaddr *)&address, &len) == 0;
        ports[i] = ntohs(address.sin_port);
    }
    for (unsigned i = 0; i < count; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    return good;
}

static void child_prepare(const struct bench_rabbit *rabbit) {
    char log[PATH_BYTES];
    (void)prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL);
    snprintf(log, sizeof log, "%s/out", rabbit->dir);
    int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (in >= 0)
        dup2(in, STDIN_FILENO);
    if (out >= 0) {
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
    }
}

static void env_path(const struct bench_rabbit *rabbit, const char *name, const char *file) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", rabbit->dir, file);
    setenv(name, path, 1);
}

static void env_port(const char *name, uint16_t port) {
    char text[8];
    snprintf(text, sizeof text, "%u", port);
    setenv(name, text, 1);
}

static bool file_write(const struct bench_rabbit *rabbit, const char *name, const char *text) {
    char path[PATH_BYTES];
    snprintf(path, sizeof path, "%s/%s", rabbit->dir, name);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return false;
    bool good = fputs(text, file) >= 0;
    return fclose(file) == 0 && good;
}

static pid_t epmd_start(const struct bench_rabbit *rabbit, uint16_t port) {
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char text[8];
    snprintf(text, sizeof text, "%u", port);
    child_prepare(rabbit);
    execlp("epmd", "epmd", "-port", text, "-address", "127.0.0.1", (char *)NULL);
    _exit(NOT_THERE);
}

static pid_t server_start(const struct bench_rabbit *rabbit, uint16_t dist_port,
                          uint16_t epmd_port) {
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char name[40];
    snprintf(name, sizeof name, "bench%u@localhost", ntohs(rabbit->at.sin_port));
    child_prepare(rabbit);
    setenv("HOME", rabbit->dir, 1);
    setenv("RABBITMQ_NODENAME", name, 1);
    env_path(rabbit, "RABBITMQ_MNESIA_BASE", "mnesia");
    env_path(rabbit, "RABBITMQ_LOG_BASE", "log");
    env_path(rabbit, "RABBITMQ_CONFIG_FILE", "rabbitmq");
    env_path(rabbit, "RABBITMQ_PID_FILE", "pid");
    env_path(rabbit, "RABBITMQ_ENABLED_PLUGINS_FILE", "plugins");
    env_path(rabbit, "ERL_CRASH_DUMP", "crash");
    env_port("RABBITMQ_DIST_PORT", dist_port);
    env_port("ERL_EPMD_PORT", epmd_port);
    setenv("ERL_EPMD_ADDRESS", "127.0.0.1", 1);
    /* so that the script becomes the broker, instead of waiting for it */
    setenv("RABBITMQ_ALLOW_INPUT", "1", 1);
    setenv("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
           "-noinput -kernel inet_dist_use_interface {127,0,0,1} +S 1:1 +sbwt none", 1);
    execl(SERVER, SERVER, (char *)NULL);
    _exit(NOT_THERE);
}

static bool is_listening(const struct bench_rabbit *rabbit) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool listens =
        fd >= 0 && connect(fd, (const struct sockaddr *)&rabbit->at, sizeof rabbit->at) == 0;
    if (fd >= 0)
        close(fd);
    return listens;
}

static void child_end(pid_t *pid) {
    if (*pid > 0) {
        kill(*pid, SIGKILL); /* there is nothing to keep */
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

/* Has the process ended? Then there is none any more. */
static bool has_ended(pid_t *pid) {
    int status;
    if (*pid <= 0 || waitpid(*pid, &status, WNOHANG) != *pid)
        return false;
    *pid = 0;
    return true;
}

static bool server_try(struct bench_rabbit *rabbit) {
    uint16_t ports[3];
    char conf[160];
    if (!ports_free(ports, 3))
        return false;
    rabbit->at.sin_port = htons(ports[0]);
    snprintf(conf, sizeof conf,
             "listeners.tcp.1 = 127.0.0.1:%u\ndisk_free_limit.absolute = 50MB\n"
             "log.file.level = warning\n",
             ports[0]);
    if (!file_write(rabbit, "rabbitmq.conf", conf) || !file_write(rabbit, "plugins", "[]."))
        return false;
    rabbit->epmd = epmd_start(rabbit, ports[2]);
    rabbit->pid = server_start(rabbit, ports[1], ports[2]);
    for (uint64_t start_ns = clock_ns();
         rabbit->pid > 0 && rabbit->epmd > 0 && clock_ns() - start_ns < START_WAIT_NS;) {
        if (is_listening(rabbit)) /* perhaps another one */
            return !has_ended(&rabbit->pid) && !has_ended(&rabbit->epmd);
        if (has_ended(&rabbit->pid) || has_ended(&rabbit->epmd))
            return false; /* before the broker starts a mapper itself, which would stay */
        nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
    }
    return false;
}

static bool server_spawn(struct bench_rabbit *rabbit) {
    for (unsigned i = 0; i < TRIES; i++) {
        if (server_try(rabbit))
            return true;
        child_end(&rabbit->pid);
        child_end(&rabbit->epmd);
    }
    bench_complain("rabbitmq-server did not start; what it said is kept in %s/out", rabbit->dir);
    rabbit->dir[0] = '\0';
    return false;
}

bool bench_rabbit_open(struct bench_rabbit *rabbit, const struct sockaddr_in *running) {
    *rabbit = (struct bench_rabbit){
        .at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    if (running->sin_port != 0) {
        rabbit->at = *running;
        rabbit->pid = bench_proc_listener(running);
    } else {
        const char *parent = getenv("TMPDIR");
        if (access(SERVER, X_OK) != 0) {
            bench_complain("amqp needs rabbitmq-server (apt-get install rabbitmq-server), or one "
                           "that runs: --amqp ADDR:PORT");
            return false;
        }
        if (parent == NULL || parent[0] == '\0')
            parent = "/tmp";
        int len =
            snprintf(rabbit->dir, sizeof rabbit->dir, "%s/ringpost-bench-rabbit-XXXXXX", parent);
        if (len < 0 || (size_t)len >= sizeof rabbit->dir || mkdtemp(rabbit->dir) == NULL) {
            bench_complain("no temporary directory in %s: %s", parent, strerror(errno));
            rabbit->dir[0] = '\0';
            return false;
        }
        rabbit->ours = true;
        if (!server_spawn(rabbit))
            return false;
    }
    char address[INET_ADDRSTRLEN];
    snprintf(rabbit->url, sizeof rabbit->url, "amqp://%s:%u",
             inet_ntop(AF_INET, &rabbit->at.sin_addr, address, sizeof address),
             ntohs(rabbit->at.sin_port));
    return true;
}

bool bench_rabbit_alive(struct bench_rabbit *rabbit) {
    return !rabbit->ours || !has_ended(&rabbit->pid);
}

static int entry_remove(const char *path, const struct stat *stat, int type, struct FTW *ftw) {
    (void)stat;
    (void)type;
    (void)ftw;
    (void)remove(path);
    return 0;
}

void bench_rabbit_close(struct bench_rabbit *rabbit) {
    if (rabbit->ours) {
        child_end(&rabbit->pid);
        child_end(&rabbit->epmd);
    }
    if (rabbit->dir[0] != '\0')
        (void)nftw(rabbit->dir, entry_remove, REMOVE_DEPTH, FTW_DEPTH | FTW_PHYS);
    rabbit->dir[0] = '\0';
}
