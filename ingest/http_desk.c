#include "ingest/http_desk.h"

#include "core/server.h"
#include "ingest/http_connection.h"

#include <stdlib.h>

static struct http_desk *desks[WORKERS_MAX];
static const char *version = "0";

bool http_init(struct server *server) {
    for (unsigned i = 0; i < server->worker_count; i++) {
        /* Its pages are touched by the worker that uses them. */
        struct http_desk *desk = calloc(1, sizeof(*desk));
        if (desk == NULL) {
            http_fini(server);
            return false;
        }
        pool_init(&desk->connections, sizeof(struct http_connection));
        pool_init(&desk->exchanges, sizeof(struct http_exchange));
        desks[i] = desk;
    }
    return true;
}

void http_fini(struct server *server) {
    (void)server;
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (desks[i] == NULL)
            continue;
        pool_fini(&desks[i]->connections);
        pool_fini(&desks[i]->exchanges);
        free(desks[i]);
        desks[i] = NULL;
    }
}

struct http_desk *http_desk(const struct worker *worker) {
    return desks[worker->index];
}

void http_version_set(const char *text) {
    version = text;
}

const char *http_version(void) {
    return version;
}
