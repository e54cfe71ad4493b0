/* dial.h - the client's end of a TCP connection: connect, wait and send, each with a deadline.
 *
 * For the commands, not for the server: one connection, one thread, poll. Every wait also ends when
 * a stop signal comes (stop.h). A deadline holds for looking up the name, too, and however much the
 * server has still to say: give all calls of one exchange the same one.
 *
 * Threads: one. Owns nothing but what dial_progress was told: descriptors are the caller's. Times
 * are clock_ns(). */
#ifndef RINGPOST_MAIN_CLI_DIAL_H
#define RINGPOST_MAIN_CLI_DIAL_H

#include "core/base/span.h"

#define DIAL_WHY_MAX 256

enum dial_end { DIAL_READY, DIAL_TIMEOUT, DIAL_STOPPED, DIAL_FAILED };

/* Says on standard error, if that is a terminal, when one wait for that server lasts longer than
 * two seconds. NULL: be quiet. The text must outlive its use. */
void dial_progress(const char *server);

/* Connects to "HOST:PORT" or "[v6]:PORT", trying each address of the host. DIAL_READY: `fd` is a
 * non-blocking socket without Nagle's delay. Otherwise `why` says what happened, with a remedy. */
enum dial_end dial_connect(const char *server, uint64_t deadline_ns, int stop_fd, int *fd,
                           char why[DIAL_WHY_MAX]);

/* Waits until `events` (of poll) hold for fd, or it is broken. `stop_fd` may be -1, `fd` too: then
 * it only waits for deadline or stop. A deadline that has passed is DIAL_TIMEOUT, whatever fd has.
 */
enum dial_end dial_wait(int fd, short events, uint64_t deadline_ns, int stop_fd);

/* Sends everything. Never raises SIGPIPE. */
enum dial_end dial_send(int fd, struct span bytes, uint64_t deadline_ns, int stop_fd,
                        char why[DIAL_WHY_MAX]);

/* Receives at least a byte: `*len` is how many, 0 when the peer has closed. */
enum dial_end dial_receive(int fd, void *at, size_t cap, size_t *len, uint64_t deadline_ns,
                           int stop_fd, char why[DIAL_WHY_MAX]);

#endif
