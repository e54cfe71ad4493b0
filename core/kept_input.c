#include "core/kept_input.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/worker.h"

#define INPUT_BYTES_MIN 256

void input_free(struct worker *worker, struct connection *connection) {
    if (connection->input != NULL)
        memory_put(&worker->account, connection->input, connection->input_cap);
    connection->input = NULL;
    connection->input_len = connection->input_cap = 0;
}

bool input_keep(struct worker *worker, struct connection *connection, const char *at, size_t len) {
    size_t wanted = connection->input_len + len;
    CHECK(wanted <= UINT32_MAX / 2, "input of %zu bytes is kept", wanted);
    if (wanted > connection->input_cap) {
        size_t cap = connection->input_cap != 0 ? connection->input_cap : INPUT_BYTES_MIN;
        while (cap < wanted)
            cap *= 2;
        char *input = memory_grow(&worker->account, connection->input, connection->input_cap, cap);
        if (SHORTAGE(input == NULL)) {
            stats_add(&worker->stats.memory_refused, 1);
            return false;
        }
        connection->input = input;
        connection->input_cap = (uint32_t)cap;
    }
    memcpy(connection->input + connection->input_len, at, len);
    connection->input_len += (uint32_t)len;
    return true;
}

char *input_take(struct worker *worker, struct connection *connection, const char *end,
                 size_t *cap) {
    char *input = connection->input;
    uint32_t len = connection->input_len, input_cap = connection->input_cap;
    if (input == NULL || end <= input || end > input + len)
        return NULL;
    size_t rest = (size_t)(input + len - end);
    connection->input = NULL;
    connection->input_len = connection->input_cap = 0;
    if (rest != 0 && SHORTAGE(!input_keep(worker, connection, end, rest))) {
        connection->input = input;
        connection->input_len = len;
        connection->input_cap = input_cap;
        return NULL;
    }
    *cap = input_cap;
    return input;
}
