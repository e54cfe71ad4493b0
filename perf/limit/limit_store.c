/* Records to the disk, with the journal and without it. */
#include "perf/limit/limit_store.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "ha/store/journal.h"
#include "perf/load/bench_hist.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES (UINT64_C(64) << 20)
#define PIECE_BYTES (UINT64_C(1) << 20)
#define GROUP_MAX 4096
#define SIZE_MAX_BYTES 65536

static const char help[] =
    "usage: limit store [--dir DIR] [--size BYTES] [--group RECORDS] [--seconds S]\n"
    "\n"
    "Writes groups of records to a file in DIR (default .) and syncs each group, then the same\n"
    "through the journal, in turns of a second, S seconds each (5). Prints how long a group took\n"
    "until it was safe, and how many a second there were. Takes 400 MB of room for a while.\n";

struct way {
    const char *name;
    struct bench_hist hist; /* of groups */
    uint64_t took_ns, records;
};

struct store_run {
    char dir[512];
    uint64_t size, group, seconds;
    int fd;
    char *bytes; /* of a group */
    uint64_t group_bytes, at;
    struct journal journal;
};

static bool file_make(struct store_run *run) {
    char name[600];
    snprintf(name, sizeof name, "%s/plain", run->dir);
    run->fd = open(name, O_CREAT | O_RDWR | O_TRUNC, 0600);
    run->group_bytes = run->group * record_bytes(run->size);
    run->bytes = calloc(1, run->group_bytes > PIECE_BYTES ? run->group_bytes : PIECE_BYTES);
    if (run->fd < 0 || run->bytes == NULL)
        return false;
    for (uint64_t at = 0; at < FILE_BYTES; at += PIECE_BYTES)
        if (pwrite(run->fd, run->bytes, PIECE_BYTES, (off_t)at) != (ssize_t)PIECE_BYTES)
            return false;
    memset(run->bytes, 'x', run->group_bytes);
    return fdatasync(run->fd) == 0;
}

static bool no_record(void *argument, const struct journal_record *record) {
    (void)argument;
    (void)record;
    return true;
}

static bool nothing_survives(void *argument, const struct journal_record *record) {
    (void)argument;
    (void)record;
    return false;
}

static bool journal_make(struct store_run *run) {
    struct journal_problem problem;
    const struct journal_options options = {
        .directory = run->dir, .record_max = (uint32_t)run->size, .slack_bytes = FILE_BYTES};
    if (journal_open(&run->journal, &options, no_record, NULL, &problem))
        return true;
    fprintf(stderr, "limit: %s\n", problem.text);
    return false;
}

static bool plain_group(struct store_run *run) {
    if (run->at + run->group_bytes > FILE_BYTES)
        run->at = 0;
    bool good = pwrite(run->fd, run->bytes, run->group_bytes, (off_t)run->at) ==
                    (ssize_t)run->group_bytes &&
                fdatasync(run->fd) == 0;
    run->at += run->group_bytes;
    return good;
}

static bool journal_group(struct store_run *run) {
    const struct span part = span_of(run->bytes, run->size);
    for (uint64_t i = 0; i < run->group; i++)
        if (!journal_add(&run->journal, 1, &part, 1))
            return false;
    return journal_commit(&run->journal, clock_ns());
}

/* A second of it. */
static bool turn(struct store_run *run, struct way *way, bool journal) {
    uint64_t began_ns = clock_ns(), now_ns = began_ns;
    while (now_ns - began_ns < NS_PER_S) {
        uint64_t group_ns = now_ns;
        if (!(journal ? journal_group(run) : plain_group(run)))
            return false;
        now_ns = clock_ns();
        bench_hist_add(&way->hist, now_ns - group_ns);
        way->records += run->group;
        /* What the journal does besides is not a group's time, but of the second. */
        if (journal)
            (void)journal_tend(&run->journal, 0, now_ns, nothing_survives, NULL);
        now_ns = clock_ns();
    }
    way->took_ns += now_ns - began_ns;
    return true;
}

static void way_print(const struct store_run *run, const struct way *way) {
    double seconds = (double)way->took_ns / 1e9, records = (double)way->records / seconds;
    printf("%-18s %9.0f %10.0f %8.1f %8.0f %8.0f %8.0f\n", way->name,
           (double)way->hist.count / seconds, records,
           records * (double)record_bytes(run->size) / 1e6,
           (double)bench_hist_quantile(&way->hist, 0.5) / 1e3,
           (double)bench_hist_quantile(&way->hist, 0.99) / 1e3, (double)way->hist.max_ns / 1e3);
}

static void files_remove(const char *path) {
    DIR *all = opendir(path);
    const struct dirent *entry;
    while (all != NULL && (entry = readdir(all)) != NULL)
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(all), entry->d_name, 0);
    if (all != NULL)
        closedir(all);
    (void)rmdir(path);
}

static int measure(struct store_run *run) {
    static struct way plain = {.name = "write + fdatasync"}, journal = {.name = "journal"};
    bool good = true;
    for (uint64_t i = 0; good && i < run->seconds; i++)
        good = turn(run, &plain, false) && turn(run, &journal, true);
    if (!good) {
        perror("limit: write");
        return 1;
    }
    printf("groups of %llu records of %llu bytes\n", (unsigned long long)run->group,
           (unsigned long long)run->size);
    printf("%-18s %9s %10s %8s %8s %8s %8s\n", "", "groups/s", "records/s", "MB/s", "p50 us",
           "p99 us", "max us");
    way_print(run, &plain);
    way_print(run, &journal);
    return 0;
}

int limit_store(int argc, char **argv) {
    static struct store_run run = {.size = 300, .group = 64, .seconds = 5};
    const char *dir = ".";
    for (int i = 2; i < argc; i += 2) {
        uint64_t number = i + 1 < argc ? strtoull(argv[i + 1], NULL, 10) : 0;
        if (i + 1 < argc && strcmp(argv[i], "--dir") == 0)
            dir = argv[i + 1];
        else if (number != 0 && number <= SIZE_MAX_BYTES && strcmp(argv[i], "--size") == 0)
            run.size = number;
        else if (number != 0 && number <= GROUP_MAX && strcmp(argv[i], "--group") == 0)
            run.group = number;
        else if (number != 0 && number <= 3600 && strcmp(argv[i], "--seconds") == 0)
            run.seconds = number;
        else
            return fputs(help, stderr), 2;
    }
    snprintf(run.dir, sizeof run.dir, "%s/limit-store-XXXXXX", dir);
    if (run.group * record_bytes(run.size) > JOURNAL_UNSYNCED_MAX)
        return fputs("limit: such a group is too large\n", stderr), 2;
    if (mkdtemp(run.dir) == NULL) {
        perror("limit: mkdtemp");
        return 1;
    }
    log_set(LOG_WARN, LOG_LOGFMT);
    int status = 1;
    if (file_make(&run) && journal_make(&run)) {
        status = measure(&run);
        journal_close(&run.journal);
    }
    files_remove(run.dir);
    return status;
}
