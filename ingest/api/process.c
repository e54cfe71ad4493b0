#include "ingest/api/process.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* With more connections descriptors are not counted any more. */
#define COUNTED_CONNECTIONS_MAX 1000

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct process_sample kept;
static uint64_t kept_ns;   /* 0: there is none */
static uint64_t other_fds; /* descriptors that are no connections, when last counted */

static uint64_t fds_count(uint64_t max_fds) {
    DIR *directory = opendir("/proc/self/fd");
    uint64_t count = 0;
    if (directory == NULL)
        return errno == EMFILE ? max_fds : 0; /* not one is left to look with */
    for (const struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count - 1; /* the directory's own */
}

/* Without a descriptor to look with, what was seen last stays. */
static void resident_look(uint64_t *bytes) {
    unsigned long long all, resident;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return;
    if (fscanf(file, "%llu %llu", &all, &resident) == 2)
        *bytes = resident * (uint64_t)sysconf(_SC_PAGESIZE);
    fclose(file);
}

static double seconds(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void sample_take(uint32_t connections) {
    struct rusage usage;
    struct rlimit limit;
    getrusage(RUSAGE_SELF, &usage);
    kept.cpu_s = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    resident_look(&kept.resident_bytes);
    kept.max_fds = getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
    if (connections <= COUNTED_CONNECTIONS_MAX || other_fds == 0) {
        kept.open_fds = fds_count(kept.max_fds);
        other_fds = kept.open_fds > connections ? kept.open_fds - connections : 1;
    } else {
        kept.open_fds = other_fds + connections;
    }
}

void process_sample_get(struct process_sample *sample, uint64_t now_ns, uint32_t connections) {
    pthread_mutex_lock(&lock);
    if (kept_ns == 0 || now_ns - kept_ns >= PROCESS_SAMPLE_NS) {
        sample_take(connections);
        kept_ns = now_ns;
    }
    *sample = kept;
    pthread_mutex_unlock(&lock);
}
