/* resolve.h - from HOST and PORT to addresses to connect to, within a deadline.
 *
 * The system's resolver has no deadline and hears no signal, so names are looked up on a thread of
 * their own. What comes after the deadline is thrown away there. Literal addresses need no thread.
 * An address that means "all" to who listens (0.0.0.0, [::]) means loopback here, so the same
 * setting serves a node and its clients.
 *
 * Threads: one caller at a time; one more thread for each name that is looked up, which ends by
 * itself. Owns nothing afterwards. */
#ifndef RINGPOST_MAIN_CLI_RESOLVE_H
#define RINGPOST_MAIN_CLI_RESOLVE_H

#include "main/cli/dial.h"

struct addrinfo;

/* DIAL_READY: `*addresses` is a list, for freeaddrinfo. Otherwise `why` says what happened. An
 * empty host is 127.0.0.1. */
enum dial_end resolve(struct span host, uint16_t port, uint64_t deadline_ns, int stop_fd,
                      struct addrinfo **addresses, char why[DIAL_WHY_MAX]);

#endif
