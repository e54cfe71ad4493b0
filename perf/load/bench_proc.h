/* bench_proc.h - what the kernel tells about processes: CPU time, memory, who listens where.
 *
 * Linux only, read from /proc. Threads: any. Owns: nothing. */
#ifndef RINGPOST_PERF_LOAD_BENCH_PROC_H
#define RINGPOST_PERF_LOAD_BENCH_PROC_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* CPU time, PSS and RSS are of a process and of all that it has started (a node starts none, but
 * other servers do), as far as the kernel tells and up to BENCH_FAMILY_MAX. */
#define BENCH_FAMILY_MAX 32u

/* CPU time that the threads have used, of those that live; 0 if the process is gone. Up to a tick
 * of the scheduler behind for a thread that runs right now. */
uint64_t bench_proc_cpu_ns(pid_t pid);
/* How long the first thread of a process was ready to run and had no CPU; 0 if that is unknown. */
uint64_t bench_proc_wait_ns(pid_t pid);
/* CPU time in seconds as user and kernel time, in steps of a clock tick. */
void bench_proc_cpu_split(pid_t pid, double *user_s, double *kernel_s);
/* Proportional share of memory in kB (smaps_rollup), -1 if it cannot be read. Costs the process
 * a pause for each mapping: not for a tight loop. */
int64_t bench_proc_pss_kb(pid_t pid);
/* Resident memory in kB (status), and its peak; -1 if it cannot be read. */
int64_t bench_proc_rss_kb(pid_t pid);
int64_t bench_proc_peak_kb(pid_t pid);
/* RLIMIT_NOFILE of a process, the soft limit, and how many descriptors it has open; -1 if that
 * cannot be read. */
int64_t bench_proc_descriptors_limit(pid_t pid);
int64_t bench_proc_descriptors_open(pid_t pid);
/* The process that listens on this TCP port of this host; 0 if none is found (or may be seen). */
pid_t bench_proc_listener(const struct sockaddr_in *address);
/* "127.x.y.z:port" or "localhost:port". False if it is anything else: load goes to loopback only.
 */
bool bench_loopback_read(const char *text, struct sockaddr_in *address);
/* Pins the calling process to a list of CPUs as in "0,2-3". False if the list is bad or refused. */
bool bench_cpus_pin(const char *list);
/* CPU time that all processes of the machine have used, in seconds, in steps of a clock tick; -1 if
 * it cannot be read. */
double bench_machine_cpu_s(void);
/* CPU time that the host below a virtual machine gave to others, all CPUs together, since the
 * machine started; a thread that was running counts it as its own. -1 if the system does not say.
 */
double bench_machine_stolen_s(void);
/* Raises the soft limit of descriptors to the hard one and gives it. */
uint32_t bench_descriptors_max(void);

#endif
