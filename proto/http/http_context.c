#include "proto/http/http_context.h"

#include "core/server.h"
#include "proto/http/http_connection.h"

static const struct http_service *services[LISTENER_KINDS];
static struct http_context *contexts[WORKERS_MAX];
static struct pool context_pool;

const struct route_body *http_body_largest(const struct http_service *service,
                                           const struct config *config) {
    const struct route_body *largest = NULL;
    for (size_t i = 0; i < service->route_count; i++) {
        const struct route_body *body = service->routes[i].body;
        if (body != NULL && (largest == NULL || body->max(config) > largest->max(config)))
            largest = body;
    }
    return largest;
}

static size_t body_bytes_max(const struct http_service *service, const struct config *config) {
    const struct route_body *largest = http_body_largest(service, config);
    size_t bytes = largest == NULL ? 0 : largest->max(config);
    return bytes > service->spare_body_bytes ? bytes : service->spare_body_bytes;
}

static void limits_init(struct http_context *context, const struct config *config) {
    for (unsigned kind = 0; kind < LISTENER_KINDS; kind++)
        if (services[kind] != NULL)
            context->body_bytes_max[kind] = body_bytes_max(services[kind], config);
}

static void pools_init(struct http_context *context) {
    for (unsigned kind = 0; kind < LISTENER_KINDS; kind++)
        pool_init(&context->states[kind], services[kind] == NULL ? 0 : services[kind]->state_bytes);
    pool_init(&context->exchanges, sizeof(struct http_exchange));
    pool_init(&context->incoming, sizeof(struct http_incoming));
}

bool http_init(struct server *server, const struct http_service *const list[LISTENER_KINDS]) {
    memcpy(services, list, sizeof services);
    pool_init(&context_pool, sizeof(struct http_context));
    for (unsigned i = 0; i < server->worker_count; i++) {
        struct http_context *context = pool_get(&context_pool);
        if (context == NULL) {
            http_fini(server);
            return false;
        }
        /* The room's pages are touched by the worker that uses them. */
        memset(context, 0, offsetof(struct http_context, names));
        pools_init(context);
        limits_init(context, server_config(server));
        contexts[i] = context;
    }
    return true;
}

void http_fini(struct server *server) {
    (void)server;
    for (unsigned i = 0; i < WORKERS_MAX; i++) {
        if (contexts[i] == NULL)
            continue;
        for (unsigned kind = 0; kind < LISTENER_KINDS; kind++)
            pool_fini(&contexts[i]->states[kind]);
        pool_fini(&contexts[i]->exchanges);
        pool_fini(&contexts[i]->incoming);
        pool_put(&context_pool, contexts[i]);
        contexts[i] = NULL;
    }
    pool_fini(&context_pool);
}

struct http_context *http_context(const struct worker *worker) {
    return contexts[worker->index];
}

const struct http_service *http_service(const struct http_connection *http) {
    return services[http->kind];
}

struct span http_date(const struct worker *worker) {
    struct http_context *context = http_context(worker);
    uint64_t now_s = worker->now_wall_ms / 1000;
    if (context->date_s != now_s) {
        context->date_s = now_s;
        http_date_write(now_s, context->date);
    }
    return span_of(context->date, HTTP_DATE_BYTES);
}
