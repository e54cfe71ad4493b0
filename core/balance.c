#include "core/balance.h"

#include "core/server.h"
#include "core/worker.h"

/* Fewer connections than this are no load to speak of. */
#define CONNECTIONS_MIN 200
#define WARN_AGAIN_NS (600 * NS_PER_S)

/* Those of a balancer are spread by their tuple, so they do not count. */
static bool is_client(const struct worker *worker, const struct connection *connection) {
    return !connection->proxied && worker->listeners.at[connection->listener].kind != LISTENER_API;
}

void balance_enter(struct worker *worker, const struct connection *connection) {
    struct balance *balance = &worker->listeners.balance;
    if (!is_client(worker, connection))
        return;
    bool same = memcmp(balance->candidate, connection->peer.bytes, sizeof(balance->candidate)) == 0;
    if (balance->votes == 0 && !same) {
        memcpy(balance->candidate, connection->peer.bytes, sizeof(balance->candidate));
        balance->held = 0;
        same = true;
    }
    if (same) {
        balance->votes++;
        balance->held++;
    } else {
        balance->votes--;
    }
    uint32_t all = atomic_load_explicit(&worker->server->connections, memory_order_relaxed);
    if (worker->config->steer != STEER_IP || worker->server->worker_count == 1 ||
        all < CONNECTIONS_MIN || balance->held <= all / 2)
        return;
    if (balance->warned_ns != 0 && worker->now_ns - balance->warned_ns < WARN_AGAIN_NS)
        return;
    balance->warned_ns = worker->now_ns;
    char address[PEER_ADDRESS_TEXT_MAX];
    net_peer_text(&connection->peer, address);
    log_event(LOG_WARN, "steering_unbalanced", LOG_STR("address", address),
              LOG_U64("connections", balance->held), LOG_U64("of", all),
              LOG_STR("remedy",
                      "one address holds over half of the connections and lands on one "
                      "worker: use --steer tuple, or --proxy-protocol if it is a balancer"));
}

void balance_leave(struct worker *worker, const struct connection *connection) {
    struct balance *balance = &worker->listeners.balance;
    if (is_client(worker, connection) && balance->held > 0 &&
        memcmp(balance->candidate, connection->peer.bytes, sizeof(balance->candidate)) == 0)
        balance->held--;
}
