/* toy_web.h - a toy service over HTTP, for tests of answers that stream (toy_stream.h).
 *
 *   GET /KIND/N    a stream of that kind
 *   GET /later/N   `later`, after a tick or some seconds: what is asked behind it waits for that
 *   GET /say/N     `said`: a message for all toy sessions
 *
 * Threads: the worker's. Owns: the answers that are late. Limits: TOY_LATERS for each worker. */
#ifndef RINGPOST_TESTS_TOYS_TOY_WEB_H
#define RINGPOST_TESTS_TOYS_TOY_WEB_H

#include "proto/http/http_connection.h"

#define TOY_LATERS 8
#define TOY_LATER_NS (7 * NS_PER_S) /* of every fourth; within it the peer's end is found out */

/* In the place of web_service. */
extern const struct http_service toy_web_service;

#endif
