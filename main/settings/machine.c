/* machine.c - see machine.h. */
#include "main/settings/machine.h"

#include "core/ring.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FILE_TEXT_MAX 4096

/* The beginning of a small file as a string; false when it cannot be read. */
static bool file_read(const char *path, char text[FILE_TEXT_MAX]) {
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t len = fread(text, 1, FILE_TEXT_MAX - 1, file);
    fclose(file);
    text[len] = '\0';
    return len != 0;
}

static unsigned quota_cpus(uint64_t quota_us, uint64_t period_us) {
    if (period_us == 0 || quota_us == 0)
        return 0;
    uint64_t cpus = quota_us / period_us + (quota_us % period_us != 0 ? 1 : 0);
    return cpus > MACHINE_CPUS_MAX ? 0 : (unsigned)cpus;
}

static void take_quota(struct machine *machine, unsigned cpus) {
    if (cpus != 0 && (machine->cpu_quota == 0 || cpus < machine->cpu_quota))
        machine->cpu_quota = cpus;
}

static void take_memory(struct machine *machine, uint64_t bytes) {
    if (bytes != 0 && bytes < machine->memory_bytes)
        machine->memory_bytes = bytes;
}

static void look_v2(struct machine *machine, const char *folder) {
    char path[PATH_MAX + 32], text[FILE_TEXT_MAX];
    uint64_t first, second;
    snprintf(path, sizeof(path), "%s/cpu.max", folder);
    if (file_read(path, text) && sscanf(text, "%" SCNu64 " %" SCNu64, &first, &second) == 2)
        take_quota(machine, quota_cpus(first, second));
    snprintf(path, sizeof(path), "%s/memory.max", folder);
    if (file_read(path, text) && sscanf(text, "%" SCNu64, &first) == 1)
        take_memory(machine, first);
}

static void look_v1_cpu(struct machine *machine, const char *folder) {
    char path[PATH_MAX + 32], text[FILE_TEXT_MAX];
    int64_t quota;
    uint64_t period;
    snprintf(path, sizeof(path), "%s/cpu.cfs_quota_us", folder);
    if (!file_read(path, text) || sscanf(text, "%" SCNd64, &quota) != 1 || quota <= 0)
        return;
    snprintf(path, sizeof(path), "%s/cpu.cfs_period_us", folder);
    if (file_read(path, text) && sscanf(text, "%" SCNu64, &period) == 1)
        take_quota(machine, quota_cpus((uint64_t)quota, period));
}

static void look_v1_memory(struct machine *machine, const char *folder) {
    char path[PATH_MAX + 32], text[FILE_TEXT_MAX];
    uint64_t bytes;
    snprintf(path, sizeof(path), "%s/memory.limit_in_bytes", folder);
    if (file_read(path, text) && sscanf(text, "%" SCNu64, &bytes) == 1)
        take_memory(machine, bytes);
}

/* Looks at the group and everything above it. Inside a container the path may be the host's while
 * the mount shows only our part; then just the root of the mount answers, which is our own group.
 */
static void look_upwards(struct machine *machine, const char *mount, const char *group,
                         void (*look)(struct machine *, const char *)) {
    char folder[PATH_MAX];
    int len = snprintf(folder, sizeof(folder), "%s%s", mount, group);
    if (len < 0 || (size_t)len >= sizeof(folder))
        return;
    size_t mount_len = strlen(mount);
    for (;;) {
        look(machine, folder);
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < mount_len)
            return;
        *slash = '\0';
    }
}

/* Is `name` among the controllers "cpu,cpuacct"? */
static bool has_controller(const char *controllers, const char *name) {
    size_t len = strlen(name);
    for (const char *at = controllers; *at != '\0'; at += strcspn(at, ",")) {
        if (*at == ',')
            at++;
        if (strcspn(at, ",") == len && strncmp(at, name, len) == 0)
            return true;
    }
    return false;
}

/* One line of /proc/self/cgroup, "hierarchy:controllers:/path". */
static void look_line(struct machine *machine, const char *root, char *line) {
    char *controllers = strchr(line, ':');
    char *group = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (group == NULL || group[1] != '/')
        return;
    *group++ = '\0';
    controllers++;

    static const char *const v2[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified", NULL};
    static const char *const cpu[] = {"/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct", NULL};
    static const char *const memory[] = {"/sys/fs/cgroup/memory", NULL};
    const char *const *mounts;
    void (*look)(struct machine *, const char *);
    if (controllers[0] == '\0')
        mounts = v2, look = look_v2;
    else if (has_controller(controllers, "cpu"))
        mounts = cpu, look = look_v1_cpu;
    else if (has_controller(controllers, "memory"))
        mounts = memory, look = look_v1_memory;
    else
        return;
    for (; *mounts != NULL; mounts++) {
        char mount[PATH_MAX];
        int len = snprintf(mount, sizeof(mount), "%s%s", root, *mounts);
        if (len > 0 && (size_t)len < sizeof(mount))
            look_upwards(machine, mount, group, look);
    }
}

void machine_probe_files(struct machine *machine, const char *root) {
    char path[PATH_MAX], text[FILE_TEXT_MAX];
    uint64_t kib;
    machine->memory_bytes = UINT64_MAX;
    machine->cpu_quota = 0;
    snprintf(path, sizeof(path), "%s/proc/meminfo", root);
    const char *total;
    if (file_read(path, text) && (total = strstr(text, "MemTotal:")) != NULL &&
        sscanf(total, "MemTotal: %" SCNu64, &kib) == 1)
        take_memory(machine, kib * 1024);

    snprintf(path, sizeof(path), "%s/proc/self/cgroup", root);
    if (file_read(path, text)) {
        char *rest = text, *line;
        while ((line = strsep(&rest, "\n")) != NULL)
            look_line(machine, root, line);
    }
    if (machine->memory_bytes == UINT64_MAX)
        machine->memory_bytes = UINT64_C(1) << 30; /* nothing could be read: assume little */
}

static void probe_cpus(struct machine *machine) {
    memset(machine->cpu_mask, 0, sizeof(machine->cpu_mask));
    machine->cpus = 0;
    cpu_set_t *set = CPU_ALLOC(MACHINE_CPUS_MAX);
    if (set != NULL && sched_getaffinity(0, CPU_ALLOC_SIZE(MACHINE_CPUS_MAX), set) == 0) {
        for (unsigned cpu = 0; cpu < MACHINE_CPUS_MAX; cpu++) {
            if (CPU_ISSET_S(cpu, CPU_ALLOC_SIZE(MACHINE_CPUS_MAX), set)) {
                machine->cpu_mask[cpu / 8] |= (uint8_t)(1u << cpu % 8);
                machine->cpus++;
            }
        }
    }
    CPU_FREE(set);
    if (machine->cpus == 0) {
        machine->cpu_mask[0] = 1;
        machine->cpus = 1;
    }
}

static void probe_open_files(struct machine *machine) {
    struct rlimit limit;
    machine->open_files = 1024;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_cur < limit.rlim_max) {
        struct rlimit raised = {limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    machine->open_files = limit.rlim_cur;
    machine->ring_files = ring_has_files();
}

void machine_probe(struct machine *machine) {
    probe_cpus(machine);
    probe_open_files(machine);
    machine_probe_files(machine, "");
}
