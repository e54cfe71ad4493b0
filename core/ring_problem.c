#include "core/ring_problem.h"

#include "core/base/memory_short.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* What a ring takes of the address space at the most, and its receive buffers. */
#define RING_SPACE_BYTES (2 * 1024 * 1024)

bool ring_lock_limited(uint64_t *bytes) {
    struct rlimit limit;
    bool limited = getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
    *bytes = limited ? limit.rlim_cur : UINT64_MAX;
    return limited;
}

bool ring_no_memory(char *problem, size_t cap) {
    char remedy[MEMORY_LIMIT_TEXT_MAX];
    memory_short(remedy);
    snprintf(problem, cap, "no memory for an io_uring: %s", remedy);
    return false;
}

bool ring_space_short(void) {
    char limit[MEMORY_LIMIT_TEXT_MAX];
    return memory_limit_hit(RING_SPACE_BYTES, limit);
}

bool ring_refused(char *problem, size_t cap, const char *call, int error) {
    uint64_t lockable;
    switch (error) {
    case EPERM:
    case EACCES:
    case ENOSYS:
        snprintf(problem, cap,
                 "%s is refused (%s): in a container allow io_uring_setup, io_uring_enter and "
                 "io_uring_register with --security-opt seccomp=PROFILE (Docker 25 and later block "
                 "them by default), on the host set sysctl kernel.io_uring_disabled=0",
                 call, strerror(error));
        break;
    case EINVAL:
        snprintf(problem, cap,
                 "this kernel lacks io_uring features that ringpost needs (SINGLE_ISSUER, "
                 "DEFER_TASKRUN): use Linux 6.1 or newer");
        break;
    case EMFILE:
        snprintf(problem, cap,
                 "cannot set up io_uring: %s: %s: raise LimitNOFILE (ulimit -n), or start fewer "
                 "--workers",
                 call, strerror(error));
        break;
    case ENFILE:
        snprintf(problem, cap, "cannot set up io_uring: %s: %s: raise sysctl fs.file-max", call,
                 strerror(error));
        break;
    case ENOMEM: /* of locked memory, or where the library maps the ring */
        if (ring_space_short() || !ring_lock_limited(&lockable))
            return ring_no_memory(problem, cap);
        snprintf(
            problem, cap,
            "RLIMIT_MEMLOCK, which is for all processes of a user, has no room for an io_uring: "
            "raise LimitMEMLOCK (ulimit -l), or start fewer --workers");
        break;
    default:
        snprintf(problem, cap, "cannot set up io_uring: %s: %s", call, strerror(error));
    }
    return false;
}

bool ring_may_lock(void) {
    FILE *status = fopen("/proc/self/status", "re");
    if (status == NULL)
        return false;
    char line[128];
    unsigned long long capabilities = 0;
    while (fgets(line, sizeof(line), status) != NULL)
        if (sscanf(line, "CapEff: %llx", &capabilities) == 1)
            break;
    fclose(status);
    enum { CAP_IPC_LOCK_BIT = 14 };
    return capabilities >> CAP_IPC_LOCK_BIT & 1;
}
