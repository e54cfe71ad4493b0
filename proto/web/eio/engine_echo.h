/* engine_echo.h - an app that sends each message back, for --conformance.
 *
 * Threads: the session's worker. */
#ifndef RINGPOST_PROTO_WEB_EIO_ENGINE_ECHO_H
#define RINGPOST_PROTO_WEB_EIO_ENGINE_ECHO_H

#include "proto/web/eio/engine.h"

extern const struct engine_app engine_echo_app;

#endif
