#include "ha/alert/alert_names.h"

#include "core/base/clock.h"
#include "core/base/thread.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

/* A thread that has nothing to do ends within this; one that is in the resolver does not. */
#define END_WAIT_NS (50 * NS_PER_MS)

void alert_names_init(struct alert_names *names) {
    memset(names, 0, sizeof(*names));
    pthread_mutex_init(&names->lock, NULL);
    pthread_cond_init(&names->asked, NULL);
    pthread_cond_init(&names->answered, NULL);
}

unsigned alert_names_add(struct alert_names *names, const struct alert_place *place) {
    names->names[names->count].place = place;
    return names->count++;
}

static void addresses_write(struct builder *out, const struct addrinfo *found) {
    unsigned count = 0;
    for (const struct addrinfo *at = found; at != NULL && count < NAMES_ADDRESSES_MAX;
         at = at->ai_next) {
        char text[INET6_ADDRSTRLEN];
        struct sockaddr_storage address = {0};
        memcpy(&address, at->ai_addr, at->ai_addrlen);
        const void *bytes = at->ai_family == AF_INET6
                                ? (const void *)&((struct sockaddr_in6 *)&address)->sin6_addr
                                : (const void *)&((struct sockaddr_in *)&address)->sin_addr;
        if ((at->ai_family != AF_INET && at->ai_family != AF_INET6) ||
            inet_ntop(at->ai_family, bytes, text, sizeof(text)) == NULL)
            continue;
        builder_format(out, at->ai_family == AF_INET6 ? "%s[%s]" : "%s%s", count == 0 ? "" : ",",
                       text);
        count++;
    }
}

/* Asks the resolver, without the lock. */
static void look(const char *host, char addresses[NAMES_TEXT_MAX],
                 char problem[NAMES_PROBLEM_MAX]) {
    struct addrinfo wanted = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    struct builder out = builder_over(addresses, NAMES_TEXT_MAX - 1);
    int error = getaddrinfo(host, NULL, &wanted, &found);
    problem[0] = '\0';
    if (error != 0) {
        snprintf(problem, NAMES_PROBLEM_MAX, "%s",
                 error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
    } else {
        addresses_write(&out, found);
        freeaddrinfo(found);
        if (out.len == 0)
            snprintf(problem, NAMES_PROBLEM_MAX, "it has no address");
    }
    addresses[out.len] = '\0';
}

static struct alert_name *wanted_find(struct alert_names *names) {
    for (unsigned i = 0; i < names->count; i++)
        if (names->names[i].wanted)
            return &names->names[i];
    return NULL;
}

static void *names_main(void *argument) {
    struct alert_names *names = argument;
    char addresses[NAMES_TEXT_MAX], problem[NAMES_PROBLEM_MAX];
    pthread_setname_np(pthread_self(), "alert-names");
    pthread_mutex_lock(&names->lock);
    while (!names->ends) {
        struct alert_name *name = wanted_find(names);
        if (name == NULL) {
            pthread_cond_wait(&names->asked, &names->lock);
            continue;
        }
        pthread_mutex_unlock(&names->lock);
        look(name->place->host, addresses, problem);
        pthread_mutex_lock(&names->lock);
        name->wanted = false;
        name->looked_ns = clock_ns();
        memcpy(name->problem, problem, sizeof(problem));
        if (problem[0] == '\0') {
            memcpy(name->addresses, addresses, sizeof(addresses));
            name->found_ns = name->looked_ns;
        }
    }
    names->runs = false;
    pthread_cond_signal(&names->answered);
    pthread_mutex_unlock(&names->lock);
    return NULL;
}

int alert_names_start(struct alert_names *names) {
    if (names->count == 0)
        return 0;
    names->runs = true;
    int error = thread_start(&names->thread, names_main, names);
    names->runs = error == 0;
    return error;
}

enum alert_found alert_names_get(struct alert_names *names, unsigned number, uint64_t now_ns,
                                 char addresses[NAMES_TEXT_MAX], char problem[NAMES_PROBLEM_MAX]) {
    struct alert_name *name = &names->names[number];
    enum alert_found found = ALERT_FOUND;
    pthread_mutex_lock(&names->lock);
    bool fresh = name->looked_ns != 0 && now_ns < name->looked_ns + NAMES_KEPT_NS;
    if (!fresh && !name->wanted) {
        name->wanted = true;
        pthread_cond_signal(&names->asked);
    }
    if (!fresh)
        found = ALERT_LOOKING;
    else if (name->found_ns == 0)
        found = ALERT_UNKNOWN;
    memcpy(addresses, name->addresses, sizeof(name->addresses));
    memcpy(problem, name->problem, sizeof(name->problem));
    pthread_mutex_unlock(&names->lock);
    return found;
}

void alert_names_doubt(struct alert_names *names, unsigned number) {
    pthread_mutex_lock(&names->lock);
    names->names[number].looked_ns = 0;
    pthread_mutex_unlock(&names->lock);
}

void alert_names_end(struct alert_names *names) {
    struct timespec until;
    pthread_mutex_lock(&names->lock);
    names->ends = true;
    bool runs = names->runs;
    pthread_cond_signal(&names->asked);
    uint64_t until_ns = clock_wall_ns() + END_WAIT_NS;
    until = (struct timespec){(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};
    while (names->runs &&
           pthread_cond_timedwait(&names->answered, &names->lock, &until) != ETIMEDOUT)
        ;
    bool stuck = names->runs;
    pthread_mutex_unlock(&names->lock);
    if (stuck)
        pthread_detach(names->thread);
    else if (runs)
        pthread_join(names->thread, NULL);
}
