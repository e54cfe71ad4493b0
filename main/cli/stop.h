/* stop.h - Ctrl-C always ends a command.
 *
 * The first SIGINT, SIGTERM or SIGHUP makes a descriptor readable, which every wait of dial.h looks
 * at, so that a command can end in its own way. A command that has not ended a second later (it
 * computes, or writes to a pipe that nobody reads) is ended as it stands, and so it is by a second
 * signal. Either way the terminal is put back as it was.
 *
 * Threads: the main thread; one more waits for keys. Owns: the signals' handlers, the descriptor
 * and the terminal's mode, as long as the process lives. */
#ifndef RINGPOST_MAIN_CLI_STOP_H
#define RINGPOST_MAIN_CLI_STOP_H

#include <stdbool.h>

/* Takes the signals over. Returns the descriptor, -1 if the system has none: then they kill as
 * usual. */
int stop_open(void);

/* The key q on that terminal ends the command like the first signal; keys are not shown. False: it
 * is no terminal, or not in the foreground, or there is no thread. */
bool stop_keys_on(int fd);
/* All is printed: what is left of the process's end may take its time. Harmless
 * without stop_open. */
void stop_done(void);
/* Puts the terminal back; harmless without stop_keys_on. */
void stop_keys_off(void);

#endif
