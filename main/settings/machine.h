/* machine.h - what this process may use of the machine: CPUs, memory, open files.
 *
 * Looks at the affinity mask, at the control groups (version 2 and 1, every level up to the root,
 * since the tightest one binds) and at the limit of open files. What cannot be read counts as no
 * limit.
 *
 * Threads: the main thread, at start. Owns nothing. Never fails. */
#ifndef RINGPOST_MAIN_SETTINGS_MACHINE_H
#define RINGPOST_MAIN_SETTINGS_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_CPUS_MAX 4096

struct machine {
    uint8_t cpu_mask[MACHINE_CPUS_MAX / 8]; /* CPUs this process may run on */
    unsigned cpus;                          /* how many those are; at least 1 */
    unsigned cpu_quota; /* CPUs' worth of time that the control group grants, rounded up; 0: any */
    uint64_t memory_bytes; /* the least of what the machine has and the control groups allow */
    uint64_t open_files;   /* the limit of open files */
    bool ring_files;       /* connections need none of them (core/ring.h) */
};

static inline bool machine_has_cpu(const struct machine *machine, unsigned cpu) {
    return cpu < MACHINE_CPUS_MAX && (machine->cpu_mask[cpu / 8] >> cpu % 8 & 1) != 0;
}

/* Looks at everything, with the soft limit of open files raised to the hard one first. */
void machine_probe(struct machine *machine);

/* Only what stands in files, under `root` ("" for this machine): memory_bytes, cpu_quota. */
void machine_probe_files(struct machine *machine, const char *root);

#endif
