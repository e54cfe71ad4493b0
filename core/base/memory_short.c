#include "core/base/memory_short.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* An allocator asks for more than it is asked for, so it fails this much earlier. */
#define ALLOCATOR_BYTES (2 * 1024 * 1024)

struct used {
    uint64_t space, data; /* in bytes */
};

/* Without stdio, which takes memory. Where there is no /proc, everything is as good as used. */
static struct used used_look(void) {
    char text[128];
    uint64_t size = 0, resident = 0, shared = 0, code = 0, library = 0, data = 0;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[got < 0 ? 0 : got] = '\0';
    if (sscanf(text, "%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64 "%" SCNu64, &size,
               &resident, &shared, &code, &library, &data) != 6)
        return (struct used){UINT64_MAX, UINT64_MAX};
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    return (struct used){size * page, data * page};
}

bool memory_limit_hit(uint64_t bytes, char text[MEMORY_LIMIT_TEXT_MAX]) {
    struct used used = used_look();
    const struct {
        unsigned limit;
        uint64_t used;
        const char *name, *remedy;
    } limits[] = {
        {RLIMIT_AS, used.space, "RLIMIT_AS", "raise LimitAS (ulimit -v)"},
        {RLIMIT_DATA, used.data, "RLIMIT_DATA", "raise LimitDATA (ulimit -d)"},
    };
    for (unsigned i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct rlimit limit;
        if (getrlimit(limits[i].limit, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
            continue;
        uint64_t room = limits[i].used < limit.rlim_cur ? limit.rlim_cur - limits[i].used : 0;
        if (room > ALLOCATOR_BYTES && room - ALLOCATOR_BYTES >= bytes)
            continue;
        snprintf(text, MEMORY_LIMIT_TEXT_MAX, "%s of %" PRIu64 " bytes has no room for it: %s",
                 limits[i].name, (uint64_t)limit.rlim_cur, limits[i].remedy);
        return true;
    }
    text[0] = '\0';
    return false;
}

void memory_short(char text[MEMORY_LIMIT_TEXT_MAX]) {
    if (!memory_limit_hit(0, text) && !memory_limit_hit(UINT64_MAX, text))
        snprintf(text, MEMORY_LIMIT_TEXT_MAX,
                 "give the machine (or container) more of it, or start fewer --workers");
}
