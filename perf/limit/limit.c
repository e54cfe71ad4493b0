/* limit - the least code that does the work of a node, under the same load: the number that a
 * node's number is divided by.
 *
 *   limit relay [bench options]            what `bench unicast` is measured against
 *   limit relay-max, broadcast, pingpong, storm [bench options]
 *   limit fanout --coalesce K [bench options]   one thread sends the same bytes to all, K at a time
 *   limit store [--help]                   what the disk allows, and the journal on it
 *   limit amqp [--help]                    how fast a queue of RabbitMQ can be worked off
 *
 * But for the last two it starts perf/limit/relay in a process of its own and runs the load tool
 * against it, so that the load is the same to the byte. Loopback only. */
#include "perf/limit/limit_amqp.h"
#include "perf/limit/limit_store.h"
#include "perf/limit/relay.h"
#include "perf/load/bench.h"
#include "perf/load/bench_proc.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 64

static const struct {
    const char *name, *scenario, *clients;
} limits[] = {
    {"relay", "unicast", "10000"},       {"relay-max", "unicast-max", "10000"},
    {"broadcast", "broadcast", "10000"}, {"pingpong", "ping", "64"},
    {"storm", "storm", "10000"},         {"overload", "overload", "10000"},
    {"fanout", "receive", "10000"},
};

static const char *option(int argc, char **argv, const char *name, const char *otherwise) {
    for (int i = 2; i + 1 < argc; i++)
        if (strcmp(argv[i], name) == 0)
            return argv[i + 1];
    return otherwise;
}

static int usage(void) {
    fputs("usage: limit relay|relay-max|broadcast|pingpong|storm|overload|fanout [--coalesce K] "
          "[options of ringpost bench]\n"
          "       limit store|amqp [--help]\n",
          stderr);
    return 2;
}

static void address_text(char out[64], const struct sockaddr_in *address) {
    snprintf(out, 64, "127.0.0.1:%u", ntohs(address->sin_port));
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "store") == 0)
        return limit_store(argc, argv);
    if (argc > 1 && strcmp(argv[1], "amqp") == 0)
        return limit_amqp(argc, argv);
    size_t which = 0, count = sizeof limits / sizeof limits[0];
    while (argc > 1 && which < count && strcmp(argv[1], limits[which].name) != 0)
        which++;
    if (argc < 2 || which == count || argc > ARGS_MAX - 16)
        return usage();
    struct rlimit descriptors;
    if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
        descriptors.rlim_cur = descriptors.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &descriptors);
    }
    static struct relay_options options;
    options.clients =
        (uint32_t)strtoul(option(argc, argv, "--clients", limits[which].clients), NULL, 10);
    options.size = (uint32_t)strtoul(option(argc, argv, "--size", "128"), NULL, 10);
    bool fanout = strcmp(limits[which].name, "fanout") == 0;
    if (fanout) {
        options.coalesce = (uint32_t)strtoul(option(argc, argv, "--coalesce", "1"), NULL, 10);
        options.run = (1u << 8) + 1;
    }
    if (options.clients == 0 || options.clients > 1000000 || options.size < 84 ||
        options.size > 65536 || (fanout && (options.coalesce == 0 || options.coalesce > 1024)))
        return usage();

    struct sockaddr_in tcp, api;
    int tcp_fd = relay_listen(&tcp), api_fd = relay_listen(&api);
    if (tcp_fd < 0 || api_fd < 0) {
        perror("limit: listen");
        return 1;
    }
    pid_t pid = fork();
    if (pid < 0) {
        perror("limit: fork");
        return 1;
    }
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, (unsigned long)SIGKILL);
        const char *cpus = option(argc, argv, "--server-cpus", NULL);
        if (cpus != NULL && !bench_cpus_pin(cpus))
            return usage();
        _exit(relay_run(&options, tcp_fd, api_fd));
    }
    close(tcp_fd);
    close(api_fd);

    char tcp_text[64], api_text[64], pid_text[16], bench[] = "bench", scenario[32];
    char names[][12] = {"--tcp", "--api", "--pid", "--run", "1"};
    snprintf(scenario, sizeof scenario, "%s", limits[which].scenario);
    address_text(tcp_text, &tcp);
    address_text(api_text, &api);
    snprintf(pid_text, sizeof pid_text, "%d", (int)pid);
    char *args[ARGS_MAX] = {bench,    scenario, names[0], tcp_text,
                            names[1], api_text, names[2], pid_text};
    int n = 8;
    if (fanout) {
        args[n++] = names[3];
        args[n++] = names[4];
    }
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], "--coalesce") == 0)
            i++;
        else
            args[n++] = argv[i];
    int status = bench_main(n, args);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return status;
}
