#include "ingest/api/api_desk.h"

#include "core/server.h"
#include "ingest/api/auth.h"

static struct api_desk *desks[WORKERS_MAX];
static struct pool desk_pool;
static const char *version = "0";

bool api_init(struct server *server) {
    auth_init();
    pool_init(&desk_pool, sizeof(struct api_desk));
    for (unsigned i = 0; i < server->worker_count; i++) {
        desks[i] = pool_get(&desk_pool);
        if (desks[i] == NULL) {
            api_fini();
            return false;
        }
        /* The room's pages are touched by the worker that uses them. */
        memset(desks[i], 0, offsetof(struct api_desk, room));
    }
    return true;
}

void api_fini(void) {
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (desks[i] != NULL)
            pool_put(&desk_pool, desks[i]);
        desks[i] = NULL;
    }
    pool_fini(&desk_pool);
}

struct api_desk *api_desk(const struct worker *worker) {
    return desks[worker->index];
}

void api_version_set(const char *text) {
    version = text;
}

const char *api_version(void) {
    return version;
}
