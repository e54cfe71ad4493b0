/* serve.h - the composition root: the one place that knows all rooms and puts them together.
 *
 * Threads: the main thread, which then waits for signals until the node has drained. */
#ifndef RINGPOST_MAIN_SERVE_H
#define RINGPOST_MAIN_SERVE_H

struct settings;

/* Runs a node by loaded settings until it has drained. Returns the exit status: 0 after a drain, 1
 * when it could not start (one line on standard error says why and what helps). */
int serve_run(struct settings *settings);

#endif
