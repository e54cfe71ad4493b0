#include "perf/load/bench_redis.h"

#include "core/base/clock.h"
#include "perf/load/bench_text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_WAIT_NS (UINT64_C(10) * NS_PER_S)
#define TRIES 3 /* somebody else may take the port that was free */
#define NOT_THERE 127

/* A port of loopback that is free now; 0: none. */
static uint16_t port_free(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool got = fd >= 0 && bind(fd, (const struct sockaddr *)&address, len) == 0 &&
               getsockname(fd, (struct sockaddr *)&address, &len) == 0;
    if (fd >= 0)
        close(fd);
    return got ? ntohs(address.sin_port) : 0;
}

static _Noreturn void child_run(const struct bench_redis *redis, uint16_t port) {
    char text[8];
    snprintf(text, sizeof text, "%u", port);
    (void)prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL);
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        dup2(fd, STDOUT_FILENO);
    execlp("redis-server", "redis-server", "--port", text, "--bind", "127.0.0.1", "--dir",
           redis->dir, "--save", "", "--appendonly", "no", (char *)NULL);
    _exit(NOT_THERE);
}

static bool is_answering(uint16_t port) {
    static const char ping[] = "PING\r\n", pong[] = "+PONG\r\n";
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval wait = {.tv_sec = 1};
    char answer[sizeof pong] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool answers = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait) == 0 &&
                   connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 &&
                   send(fd, ping, sizeof ping - 1, MSG_NOSIGNAL) == (ssize_t)(sizeof ping - 1) &&
                   recv(fd, answer, sizeof pong - 1, MSG_WAITALL) == (ssize_t)(sizeof pong - 1) &&
                   strcmp(answer, pong) == 0;
    if (fd >= 0)
        close(fd);
    return answers;
}

/* Has it ended? Then `pid` is 0, and *status says how. */
static bool has_ended(struct bench_redis *redis, int *status) {
    if (waitpid(redis->pid, status, WNOHANG) != redis->pid)
        return false;
    redis->pid = 0;
    return true;
}

static bool redis_try(struct bench_redis *redis, int *status) {
    uint16_t port = port_free();
    *status = 0;
    redis->pid = fork();
    if (redis->pid == 0)
        child_run(redis, port);
    if (redis->pid < 0) {
        redis->pid = 0;
        return false;
    }
    snprintf(redis->url, sizeof redis->url, "redis://127.0.0.1:%u", port);
    for (uint64_t start_ns = clock_ns(); clock_ns() - start_ns < START_WAIT_NS;) {
        if (has_ended(redis, status))
            return false;
        if (is_answering(port)) /* perhaps another one */
            return !has_ended(redis, status);
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return false;
}

bool bench_redis_open(struct bench_redis *redis) {
    const char *parent = getenv("TMPDIR");
    int status = 0;
    *redis = (struct bench_redis){.pid = 0};
    if (parent == NULL || parent[0] == '\0')
        parent = "/tmp";
    int len = snprintf(redis->dir, sizeof redis->dir, "%s/ringpost-bench-redis-XXXXXX", parent);
    if (len < 0 || (size_t)len >= sizeof redis->dir || mkdtemp(redis->dir) == NULL) {
        bench_complain("no temporary directory in %s: %s", parent, strerror(errno));
        redis->dir[0] = '\0';
        return false;
    }
    for (unsigned i = 0; i < TRIES && redis->pid == 0; i++)
        if (redis_try(redis, &status))
            return true;
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_THERE)
        bench_complain("--nodes needs redis-server in PATH: apt-get install redis-server");
    else
        bench_complain("redis-server did not start");
    return false;
}

bool bench_redis_alive(struct bench_redis *redis) {
    int status;
    return redis->pid == 0 || !has_ended(redis, &status);
}

void bench_redis_close(struct bench_redis *redis) {
    if (redis->pid > 0) {
        kill(redis->pid, SIGKILL); /* it has nothing to keep */
        waitpid(redis->pid, NULL, 0);
        redis->pid = 0;
    }
    if (redis->dir[0] != '\0')
        rmdir(redis->dir);
    redis->dir[0] = '\0';
}
