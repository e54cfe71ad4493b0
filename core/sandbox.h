/* sandbox.h - which system calls the process may still make once it runs.
 *
 * After the start a node reads files on SIGHUP, moves bytes through the rings and sockets that it
 * has, and ends: it needs no new process, no new program, no new socket, and writes no file but
 * those of a store on disk. A seccomp filter holds it to that, so that a hole in a parser is not a
 * shell on the machine. What is allowed is one table in sandbox.c; a part of the program that needs
 * another call adds a line.
 *
 * Whatever else is called fails with EPERM, is counted, and is said once for each call (once for
 * all numbers that are no call's):
 *
 *   level=error event=sandbox_refused call=execve thread=worker-0 remedy=...
 *
 * The filter cannot see operations inside a ring; which of those are asked for stands in ring.c.
 *
 * Threads: sandbox_enter: one, once; the filter is then that of all threads, and of those that they
 * start. sandbox_refused: any. */
#ifndef RINGPOST_CORE_SANDBOX_H
#define RINGPOST_CORE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why this build should not be put into it; NULL: it can be. The sanitizers' run-time libraries
 * make calls of their own, start processes among them. */
const char *sandbox_unfit(void);

/* From now on: no new privileges, and only the calls of the table; those that write files only if
 * `writes`, those that open connections only if `connects`. Takes over SIGSYS, which no thread may
 * block. False, with the reason in `problem`: nothing was changed. */
bool sandbox_enter(bool writes, bool connects, bool looks_up, char *problem, size_t problem_cap);

/* Calls that were refused since. */
uint64_t sandbox_refused(void);

#endif
