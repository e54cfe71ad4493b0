/* limit_store.h - `limit store`: how fast records get onto this machine's disk.
 *
 * The same bytes in the same groups, in turns of a second: written to one file that has all its
 * blocks, with an fdatasync for each group and nothing else; and through the journal (ha/store).
 * What the journal costs is the difference.
 *
 * Threads: the main one. */
#ifndef RINGPOST_PERF_LIMIT_LIMIT_STORE_H
#define RINGPOST_PERF_LIMIT_LIMIT_STORE_H

/* `argv` as main has it. Returns the exit status. */
int limit_store(int argc, char **argv);

#endif
