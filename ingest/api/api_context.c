#include "ingest/api/api_context.h"

#include "core/server.h"
#include "ingest/api/auth.h"

static struct api_context *contexts[WORKERS_MAX];
static struct pool context_pool;
static const char *version = "0";

bool api_init(struct server *server) {
    auth_init();
    pool_init(&context_pool, sizeof(struct api_context));
    for (unsigned i = 0; i < server->worker_count; i++) {
        contexts[i] = pool_get(&context_pool);
        if (contexts[i] == NULL) {
            api_fini();
            return false;
        }
        /* The room's pages are touched by the worker that uses them. */
        memset(contexts[i], 0, offsetof(struct api_context, room));
    }
    return true;
}

void api_fini(void) {
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (contexts[i] != NULL)
            pool_put(&context_pool, contexts[i]);
        contexts[i] = NULL;
    }
    pool_fini(&context_pool);
}

struct api_context *api_context(const struct worker *worker) {
    return contexts[worker->index];
}

void api_version_set(const char *text) {
    version = text;
}

const char *api_version(void) {
    return version;
}
