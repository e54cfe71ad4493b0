/* toy_service.h - an HTTP service of a test's own in the place of `web`: fills in toy.routes,
 * toy.route_count and what else it needs, then opens the node. */
#ifndef RINGPOST_TESTS_SUPPORT_TOY_SERVICE_H
#define RINGPOST_TESTS_SUPPORT_TOY_SERVICE_H

#include "tests/support/fake_http.h"

#include "proto/http/http_connection.h"
#include "proto/http/http_context.h"

static bool toy_find(struct worker *worker, const struct http_request *http,
                     struct http_error *error);
static void toy_serve(struct worker *worker, struct http_exchange *exchange,
                      const struct http_request *http);

static struct http_service toy = {.admit = toy_find, .serve = toy_serve};

static bool toy_find(struct worker *worker, const struct http_request *http,
                     struct http_error *error) {
    struct http_context *context = http_context(worker);
    struct builder texts = builder_over(context->names, HTTP_TARGET_BYTES_MAX);
    if (route_find(toy.routes, toy.route_count, http->method, http->path, &texts,
                   &context->match) != ROUTE_FOUND) {
        *error = http_error_of(CODE_NOT_FOUND, "there is no such path");
        return false;
    }
    if (route_takes(context->match.route, worker->config, http, &context->complaint))
        return true;
    *error = http_error_complaint(&context->complaint);
    return false;
}

static void toy_serve(struct worker *worker, struct http_exchange *exchange,
                      const struct http_request *http) {
    struct http_error error = {0};
    struct route_request request = {.http = http};
    if (toy_find(worker, http, &error))
        http_context(worker)->match.route->serve(worker, exchange, &request);
    else
        exchange_refuse(worker, exchange, &error);
}

static inline void toy_open(const struct route *routes, size_t count) {
    toy.routes = routes;
    toy.route_count = count;
    fake_services[LISTENER_WEB] = &toy;
    http_node_open();
}

#endif
