#include "perf/load/bench_proc.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static FILE *proc_open(pid_t pid, const char *name) {
    char path[96];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return fopen(path, "re");
}

/* What the scheduler charged to one thread, in nanoseconds. */
static bool thread_cpu_ns(pid_t pid, const char *thread, uint64_t *ns) {
    char name[64];
    snprintf(name, sizeof name, "task/%.16s/schedstat", thread);
    FILE *file = proc_open(pid, name);
    if (file == NULL)
        return false;
    unsigned long long value;
    bool read = fscanf(file, "%llu", &value) == 1;
    fclose(file);
    *ns = read ? value : 0;
    return read;
}

uint64_t bench_proc_wait_ns(pid_t pid) {
    FILE *file = proc_open(pid, "schedstat");
    if (file == NULL)
        return 0;
    unsigned long long ran, waited;
    bool read = fscanf(file, "%llu %llu", &ran, &waited) == 2;
    fclose(file);
    return read ? waited : 0;
}

/* Adds the children of one thread. */
static void children_add(const char *path, pid_t family[BENCH_FAMILY_MAX], uint32_t *count) {
    FILE *file = fopen(path, "re");
    int child;
    while (file != NULL && *count < BENCH_FAMILY_MAX && fscanf(file, "%d", &child) == 1)
        family[(*count)++] = (pid_t)child;
    if (file != NULL)
        fclose(file);
}

/* The process, and all that it has started, and these. Gives how many they are. */
static uint32_t family_of(pid_t pid, pid_t family[BENCH_FAMILY_MAX]) {
    uint32_t count = 1;
    family[0] = pid;
    for (uint32_t i = 0; i < count; i++) {
        char path[96];
        snprintf(path, sizeof path, "/proc/%d/task", (int)family[i]);
        DIR *dir = opendir(path);
        const struct dirent *entry;
        while (dir != NULL && (entry = readdir(dir)) != NULL) {
            snprintf(path, sizeof path, "/proc/%d/task/%.16s/children", (int)family[i],
                     entry->d_name);
            if (isdigit((unsigned char)entry->d_name[0]))
                children_add(path, family, &count);
        }
        if (dir != NULL)
            closedir(dir);
    }
    return count;
}

static void one_cpu_split(pid_t pid, double *user_s, double *kernel_s);

static uint64_t one_cpu_ns(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return 0;
    uint64_t sum_ns = 0, ns;
    bool known = false;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) && thread_cpu_ns(pid, entry->d_name, &ns)) {
            sum_ns += ns;
            known = true;
        }
    closedir(dir);
    if (known)
        return sum_ns;
    double user_s, kernel_s; /* a kernel without scheduler figures */
    one_cpu_split(pid, &user_s, &kernel_s);
    return (uint64_t)((user_s + kernel_s) * 1e9);
}

uint64_t bench_proc_cpu_ns(pid_t pid) {
    pid_t family[BENCH_FAMILY_MAX];
    uint64_t sum_ns = 0;
    for (uint32_t count = family_of(pid, family), i = 0; i < count; i++)
        sum_ns += one_cpu_ns(family[i]);
    return sum_ns;
}

static void one_cpu_split(pid_t pid, double *user_s, double *kernel_s) {
    *user_s = *kernel_s = 0;
    FILE *file = proc_open(pid, "stat");
    if (file == NULL)
        return;
    char line[1024];
    unsigned long user, kernel;
    if (fgets(line, sizeof line, file) != NULL) {
        /* the name in parentheses may hold anything, so count from its last one */
        const char *rest = strrchr(line, ')');
        if (rest != NULL && sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
                                   &user, &kernel) == 2) {
            double tick = (double)sysconf(_SC_CLK_TCK);
            *user_s = (double)user / tick;
            *kernel_s = (double)kernel / tick;
        }
    }
    fclose(file);
}

void bench_proc_cpu_split(pid_t pid, double *user_s, double *kernel_s) {
    pid_t family[BENCH_FAMILY_MAX];
    double user, kernel;
    *user_s = *kernel_s = 0;
    for (uint32_t count = family_of(pid, family), i = 0; i < count; i++) {
        one_cpu_split(family[i], &user, &kernel);
        *user_s += user;
        *kernel_s += kernel;
    }
}

/* The number after `field` at the start of a line of the file. */
static int64_t proc_field(pid_t pid, const char *name, const char *field) {
    FILE *file = proc_open(pid, name);
    if (file == NULL)
        return -1;
    char line[256];
    int64_t number = -1;
    size_t field_len = strlen(field);
    while (number < 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, field, field_len) == 0)
            number = strtoll(line + field_len, NULL, 10);
    fclose(file);
    return number;
}

/* The same, of all the family. Who is gone by now has none. */
static int64_t family_field(pid_t pid, const char *name, const char *field) {
    pid_t family[BENCH_FAMILY_MAX];
    int64_t sum = proc_field(pid, name, field);
    for (uint32_t count = family_of(pid, family), i = 1; sum >= 0 && i < count; i++) {
        int64_t number = proc_field(family[i], name, field);
        sum += number > 0 ? number : 0;
    }
    return sum;
}

int64_t bench_proc_pss_kb(pid_t pid) {
    return family_field(pid, "smaps_rollup", "Pss:");
}

int64_t bench_proc_rss_kb(pid_t pid) {
    return family_field(pid, "status", "VmRSS:");
}

int64_t bench_proc_peak_kb(pid_t pid) {
    return proc_field(pid, "status", "VmHWM:");
}

int64_t bench_proc_descriptors_limit(pid_t pid) {
    return proc_field(pid, "limits", "Max open files");
}

int64_t bench_proc_descriptors_open(pid_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return -1;
    int64_t count = 0;
    const struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* The inode of a socket that listens on the port: on this address, or on any. */
static unsigned long listener_inode(const char *table, const struct sockaddr_in *address) {
    FILE *file = fopen(table, "re");
    if (file == NULL)
        return 0;
    char line[512];
    unsigned long found = 0;
    while (found == 0 && fgets(line, sizeof line, file) != NULL) {
        char host[64];
        unsigned port, state;
        unsigned long inode;
        if (sscanf(line, " %*d: %63[0-9A-F]:%4X %*[0-9A-F]:%*4X %2X %*s %*s %*s %*d %*d %lu", host,
                   &port, &state, &inode) != 4)
            continue;
        if (state != 0x0A || port != ntohs(address->sin_port))
            continue;
        char wanted[16];
        snprintf(wanted, sizeof wanted, "%08X", address->sin_addr.s_addr);
        bool any = strspn(host, "0") == strlen(host);
        if (any || strcmp(host + strlen(host) - 8, wanted) == 0)
            found = inode;
    }
    fclose(file);
    return found;
}

static bool process_holds(const char *pid, const char *link_wanted) {
    char path[300], target[64];
    snprintf(path, sizeof path, "/proc/%.32s/fd", pid);
    DIR *dir = opendir(path);
    if (dir == NULL)
        return false;
    bool holds = false;
    const struct dirent *entry;
    while (!holds && (entry = readdir(dir)) != NULL) {
        snprintf(path, sizeof path, "/proc/%.32s/fd/%.16s", pid, entry->d_name);
        ssize_t len = readlink(path, target, sizeof target - 1);
        if (len > 0) {
            target[len] = '\0';
            holds = strcmp(target, link_wanted) == 0;
        }
    }
    closedir(dir);
    return holds;
}

pid_t bench_proc_listener(const struct sockaddr_in *address) {
    unsigned long inode = listener_inode("/proc/net/tcp", address);
    if (inode == 0)
        inode = listener_inode("/proc/net/tcp6", address);
    DIR *dir = inode == 0 ? NULL : opendir("/proc");
    if (dir == NULL)
        return 0;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
    pid_t pid = 0;
    const struct dirent *entry;
    while (pid == 0 && (entry = readdir(dir)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) && process_holds(entry->d_name, wanted))
            pid = (pid_t)strtol(entry->d_name, NULL, 10);
    closedir(dir);
    return pid;
}

bool bench_loopback_read(const char *text, struct sockaddr_in *address) {
    char host[32];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text || (size_t)(colon - text) >= sizeof host)
        return false;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    char *end;
    long port = strtol(colon + 1, &end, 10);
    if (!isdigit((unsigned char)colon[1]) || *end != '\0' || port < 1 || port > 65535)
        return false;
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_port = htons((uint16_t)port);
    if (inet_pton(AF_INET, strcmp(host, "localhost") == 0 ? "127.0.0.1" : host,
                  &address->sin_addr) != 1)
        return false;
    return ntohl(address->sin_addr.s_addr) >> 24 == 127;
}

bool bench_cpus_pin(const char *list) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const char *p = list; *p != '\0';) {
        char *end;
        if (!isdigit((unsigned char)*p))
            return false;
        long first = strtol(p, &end, 10), last = first;
        if (*end == '-' && isdigit((unsigned char)end[1]))
            last = strtol(end + 1, &end, 10);
        if (first > last || last >= CPU_SETSIZE || (*end != ',' && *end != '\0'))
            return false;
        for (long cpu = first; cpu <= last; cpu++)
            CPU_SET((size_t)cpu, &set);
        p = *end == ',' ? end + 1 : end;
    }
    return sched_setaffinity(0, sizeof set, &set) == 0;
}

/* Time of one process and of its children that it has waited for, in ticks; 0 if it has gone. */
static uint64_t process_ticks(const char *pid) {
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    size_t len = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[len] = '\0';
    /* The name, in brackets, may hold anything; the state and ten numbers follow it. */
    const char *rest = strrchr(line, ')');
    unsigned long user, kernel, children_user, children_kernel;
    if (rest == NULL ||
        sscanf(rest, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %lu %lu", &user,
               &kernel, &children_user, &children_kernel) != 4)
        return 0;
    return (uint64_t)user + kernel + children_user + children_kernel;
}

double bench_machine_cpu_s(void) {
    /* Not the first line of /proc/stat: the kernel makes that by looking at each tick who runs, and
     * a load that comes every millisecond is always there at a tick, or never. */
    DIR *all = opendir("/proc");
    if (all == NULL)
        return -1;
    uint64_t ticks = 0;
    for (const struct dirent *entry; (entry = readdir(all)) != NULL;)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9')
            ticks += process_ticks(entry->d_name);
    closedir(all);
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

double bench_machine_stolen_s(void) {
    FILE *file = fopen("/proc/stat", "re");
    unsigned long long stolen = 0;
    if (file == NULL)
        return -1;
    int count = fscanf(file, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &stolen);
    fclose(file);
    return count == 1 ? (double)stolen / (double)sysconf(_SC_CLK_TCK) : -1;
}

uint32_t bench_descriptors_max(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        (void)getrlimit(RLIMIT_NOFILE, &limit);
    }
    return limit.rlim_cur > 1u << 30 ? 1u << 30 : (uint32_t)limit.rlim_cur;
}
