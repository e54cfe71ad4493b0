/* engine_echo.c - what public test suites of Engine.IO talk to: each message comes back as it was.
 */
#include "proto/web/eio/engine_echo.h"

static bool on_open(struct worker *worker, struct engine *engine) {
    engine_query_drop(worker, engine);
    return true;
}

static bool on_message(struct worker *worker, struct engine *engine, struct span bytes,
                       bool binary) {
    if (binary)
        engine_write_binary(worker, engine, bytes);
    else
        engine_write(worker, engine, bytes);
    return true;
}

static void on_close(struct worker *worker, struct engine *engine, enum close_reason reason) {
    (void)worker, (void)engine, (void)reason;
}

const struct engine_app engine_echo_app = {
    .on_open = on_open, .on_message = on_message, .on_close = on_close};
