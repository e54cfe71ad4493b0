#include "ingest/api/http_desk.h"

#include "core/server.h"
#include "ingest/api/api.h"
#include "ingest/api/auth.h"

static struct http_desk *desks[WORKERS_MAX];
static struct pool desk_pool;
static const char *version = "0";

bool http_init(struct server *server) {
    auth_init();
    pool_init(&desk_pool, sizeof(struct http_desk));
    for (unsigned i = 0; i < server->worker_count; i++) {
        struct http_desk *desk = pool_get(&desk_pool);
        if (desk == NULL) {
            http_fini(server);
            return false;
        }
        /* The room's pages are touched by the worker that uses them. */
        memset(desk, 0, offsetof(struct http_desk, room));
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
        pool_put(&desk_pool, desks[i]);
        desks[i] = NULL;
    }
    pool_fini(&desk_pool);
}

struct http_desk *http_desk(const struct worker *worker) {
    return desks[worker->index];
}

struct span http_date(const struct worker *worker) {
    struct http_desk *desk = http_desk(worker);
    uint64_t now_s = worker->now_wall_ms / 1000;
    if (desk->date_s != now_s) {
        desk->date_s = now_s;
        http_date_write(now_s, desk->date);
    }
    return span_of(desk->date, HTTP_DATE_BYTES);
}

void http_version_set(const char *text) {
    version = text;
}

const char *http_version(void) {
    return version;
}
