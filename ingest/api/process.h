/* process.h - what the operating system says of this process, for metrics.
 *
 * Reads /proc, which may take some milliseconds with many descriptors; so a sample is kept for
 * PROCESS_SAMPLE_NS and descriptors are only counted one by one while there are few connections.
 *
 * Threads: any; the sample is shared under a mutex. */
#ifndef RINGPOST_INGEST_API_PROCESS_H
#define RINGPOST_INGEST_API_PROCESS_H

#include "core/base/clock.h"

#define PROCESS_SAMPLE_NS (1 * NS_PER_S)

struct process_sample {
    double cpu_s;
    uint64_t resident_bytes;
    uint64_t open_fds; /* exact with at most a thousand connections, otherwise reckoned */
    uint64_t max_fds;
};

/* `connections` is how many descriptors are connections now. */
void process_sample_get(struct process_sample *sample, uint64_t now_ns, uint32_t connections);

#endif
