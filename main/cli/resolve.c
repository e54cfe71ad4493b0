/* resolve.c - see resolve.h. */
#include "main/cli/resolve.h"

#include "core/base/thread.h"
#include "main/address.h"

#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Shared by the caller and the thread; the last one that lets go frees it. */
struct lookup {
    atomic_int holders;
    int done_fd; /* readable when the rest is there */
    int problem; /* of getaddrinfo */
    struct addrinfo *addresses;
    char host[ADDRESS_HOST_MAX + 1];
    char port[8];
};

static void lookup_put(struct lookup *lookup) {
    if (atomic_fetch_sub(&lookup->holders, 1) != 1)
        return;
    if (lookup->addresses != NULL)
        freeaddrinfo(lookup->addresses);
    close(lookup->done_fd);
    free(lookup);
}

static void *lookup_run(void *argument) {
    struct lookup *lookup = argument;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    lookup->problem = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->addresses);
    uint64_t one = 1;
    ssize_t written = write(lookup->done_fd, &one, sizeof(one));
    (void)written;
    lookup_put(lookup);
    return NULL;
}

/* NULL: no memory, descriptor or thread. */
static struct lookup *lookup_start(const char *host, const char *port) {
    struct lookup *lookup = calloc(1, sizeof(*lookup));
    if (lookup == NULL)
        return NULL;
    atomic_init(&lookup->holders, 2);
    snprintf(lookup->host, sizeof(lookup->host), "%s", host);
    snprintf(lookup->port, sizeof(lookup->port), "%s", port);
    lookup->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_t thread;
    if (lookup->done_fd < 0 || thread_start(&thread, lookup_run, lookup) != 0) {
        if (lookup->done_fd >= 0)
            close(lookup->done_fd);
        free(lookup);
        return NULL;
    }
    pthread_detach(thread);
    return lookup;
}

static enum dial_end name_resolve(const char *host, const char *port, uint64_t deadline_ns,
                                  int stop_fd, struct addrinfo **addresses,
                                  char why[DIAL_WHY_MAX]) {
    struct lookup *lookup = lookup_start(host, port);
    if (lookup == NULL) {
        snprintf(why, DIAL_WHY_MAX, "cannot look up %.100s: no memory or thread", host);
        return DIAL_FAILED;
    }
    enum dial_end end = dial_wait(lookup->done_fd, POLLIN, deadline_ns, stop_fd);
    if (end == DIAL_READY && lookup->problem == 0) {
        *addresses = lookup->addresses;
        lookup->addresses = NULL;
    } else if (end == DIAL_READY) {
        end = DIAL_FAILED;
        snprintf(why, DIAL_WHY_MAX, "cannot find %.100s: %s", host, gai_strerror(lookup->problem));
    } else {
        snprintf(why, DIAL_WHY_MAX, "cannot find %.100s: %s", host,
                 end == DIAL_STOPPED ? "stopped" : "the name server does not answer in time");
    }
    lookup_put(lookup);
    return end;
}

enum dial_end resolve(struct span host, uint16_t port, uint64_t deadline_ns, int stop_fd,
                      struct addrinfo **addresses, char why[DIAL_WHY_MAX]) {
    char host_text[ADDRESS_HOST_MAX + 1], port_text[8];
    const char *literal = host_text;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    snprintf(host_text, sizeof(host_text), "%.*s", SPAN_ARG(host));
    snprintf(port_text, sizeof(port_text), "%u", port);
    if (host.len == 0 || span_equal(host, SPAN("0.0.0.0")))
        literal = "127.0.0.1";
    else if (span_equal(host, SPAN("::")))
        literal = NULL; /* both loopback addresses: [::] takes IPv4, too */
    if (getaddrinfo(literal, port_text, &hints, addresses) == 0)
        return DIAL_READY;
    return name_resolve(host_text, port_text, deadline_ns, stop_fd, addresses, why);
}
