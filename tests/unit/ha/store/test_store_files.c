/* The journal on real files: what a directory may be, who may have it, and what goes wrong. */
#include "tests/support/cmocka_first.h"

#include "ha/store/journal_check.h"
#include "tests/support/store_owner.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEGMENT (UINT64_C(64) << 10)
#define REPORT_BYTES (1 << 14)

static struct owner owner;
static char root[64], path[128];

static int folder_make(void **state) {
    (void)state;
    snprintf(root, sizeof root, "%s/ringpost-store-XXXXXX",
             getenv("TMPDIR") != NULL && strlen(getenv("TMPDIR")) < 30 ? getenv("TMPDIR") : "/tmp");
    if (mkdtemp(root) == NULL)
        return -1;
    snprintf(path, sizeof path, "%s/store", root);
    const struct journal_options options = {
        .directory = path, .record_max = 4096, .segment_bytes = SEGMENT, .slack_bytes = SEGMENT};
    owner_init(&owner, &options);
    return 0;
}

static int folder_remove(void **state) {
    (void)state;
    pid_t pid = fork();
    if (pid == 0) {
        execlp("rm", "rm", "-rf", root, (char *)NULL);
        _exit(1);
    }
    return waitpid(pid, NULL, 0) == pid ? 0 : -1;
}

static void opens(void) {
    if (!owner_open(&owner))
        fail_msg("%s", owner.problem.text);
}

static void refused(const char *words) {
    assert_false(owner_open(&owner));
    if (strstr(owner.problem.text, words) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", words, owner.problem.text);
}

static void some(unsigned count) {
    for (unsigned i = 0; i < count; i++)
        assert_true(owner_message(&owner, 1000));
    assert_true(owner_commit(&owner));
}

static void test_files(void **state) {
    (void)state;
    struct stat about;
    char file[256];
    opens();
    some(200);
    for (uint64_t id = 0; id < 190; id++)
        assert_true(owner_ack(&owner, id));
    assert_true(owner_commit(&owner));
    assert_true(owner_tend(&owner, 1000));
    assert_int_equal(stat(path, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0700);
    snprintf(file, sizeof file, "%s/" STORE_META, path);
    assert_int_equal(stat(file, &about), 0);
    assert_int_equal(about.st_mode & 0777, 0600);
    owner_close(&owner);
    opens();
    assert_int_equal(owner.live_count, 10);
    owner_close(&owner);
}

static void test_a_parent_is_missing(void **state) {
    (void)state;
    snprintf(path, sizeof path, "%s/no/store", root);
    refused("make the directory that it is to be in");
}

static void test_a_file_is_no_directory(void **state) {
    (void)state;
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    close(fd);
    refused("give a directory");
}

static void test_links(void **state) {
    (void)state;
    char real[128], from[256], to[256];
    opens();
    some(1);
    owner_close(&owner);
    /* To the directory: it is the same store. */
    snprintf(real, sizeof real, "%s", path);
    snprintf(path, sizeof path, "%s/link", root);
    assert_int_equal(symlink(real, path), 0);
    opens();
    assert_int_equal(owner.live_count, 1);
    owner_close(&owner);
    /* To a file in it: somebody wants us to write elsewhere. */
    snprintf(from, sizeof from, "%s/" STORE_META, path);
    snprintf(to, sizeof to, "%s/elsewhere", root);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(symlink(to, from), 0);
    refused("must not be a symbolic link");
}

/* Another process that has the store. */
static struct {
    pid_t pid;
    int end;
} other;

static void other_begin(void) {
    int ready[2], end[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    other.pid = fork();
    if (other.pid == 0) {
        close(end[1]);
        bool opened = owner_open(&owner);
        _exit(!opened || write(ready[1], "x", 1) != 1 || read(end[0], &byte, 1) != 0);
    }
    other.end = end[1];
    close(end[0]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
}

static void other_end(void) {
    int status;
    close(other.end);
    assert_int_equal(waitpid(other.pid, &status, 0), other.pid);
    assert_int_equal(status, 0);
}

static void say(void *argument, const char *line) {
    char *report = argument;
    size_t len = strlen(report);
    snprintf(report + len, REPORT_BYTES - len, "%s\n", line);
}

static void test_another_process_has_it(void **state) {
    (void)state;
    char words[64];
    other_begin();
    snprintf(words, sizeof words, "is in use by process %d;", (int)other.pid);
    refused(words);
    other_end();
    opens();
    owner_close(&owner);
}

/* Who removes the file that is locked does not open the store to a second process. */
static void test_its_lock_is_removed(void **state) {
    (void)state;
    char file[256], report[REPORT_BYTES] = "";
    struct journal_problem problem;
    other_begin();
    snprintf(file, sizeof file, "%s/" STORE_LOCK, path);
    assert_int_equal(unlink(file), 0);
    for (unsigned i = 0; i < 2; i++) {
        refused("is in use by another process; stop that one first");
        assert_int_not_equal(access(file, F_OK), 0);
        assert_int_equal(journal_check(path, say, report, &problem), JOURNAL_UNKNOWN);
        assert_non_null(strstr(problem.text, "is in use by another process;"));
        assert_int_equal(journal_repair(path, say, report, &problem), JOURNAL_UNKNOWN);
    }
    other_end();
    opens();
    assert_int_equal(access(file, F_OK), 0);
    owner_close(&owner);
    opens();
    owner_close(&owner);
}

static void test_it_is_removed(void **state) {
    (void)state;
    char gone[128];
    opens();
    some(1);
    assert_int_equal(folder_remove(state), 0);
    assert_true(owner_message(&owner, 100));
    assert_false(owner_commit(&owner));
    owner.now_ns += 10 * NS_PER_S;
    assert_false(owner_commit(&owner));
    assert_int_equal(journal_safe(&owner.journal), 1);
    owner_close(&owner);
    /* Put elsewhere, it is not written any more when a segment is to begin. */
    assert_int_equal(mkdir(root, 0700), 0);
    const struct journal_options options = owner.options;
    owner_init(&owner, &options);
    opens();
    some(1);
    snprintf(gone, sizeof gone, "%s/elsewhere", root);
    assert_int_equal(rename(path, gone), 0);
    bool failed = false;
    for (unsigned i = 0; i < 200 && !failed; i++)
        failed = !owner_message(&owner, 1000) || !owner_commit(&owner);
    assert_true(failed);
    assert_int_equal(rename(gone, path), 0);
    owner.now_ns += 10 * NS_PER_S;
    assert_true(owner_commit(&owner));
    owner_close(&owner);
    opens();
    owner_close(&owner);
}

static void test_check_and_repair(void **state) {
    (void)state;
    char file[256], report[REPORT_BYTES] = "";
    struct journal_problem problem;
    opens();
    some(200);
    snprintf(file, sizeof file, "%s/%016llx.segment", path,
             (unsigned long long)owner.journal.segments[1].number);
    owner_close(&owner);
    assert_int_equal(journal_check(path, say, report, &problem), JOURNAL_SOUND);
    int fd = open(file, O_WRONLY);
    assert_int_equal(pwrite(fd, "xyz", 3, SEGMENT_HEADER_BYTES + 100), 3);
    close(fd);
    report[0] = '\0';
    assert_int_equal(journal_check(path, say, report, &problem), JOURNAL_DAMAGED);
    assert_non_null(strstr(report, "is damaged at byte 4096: record"));
    refused("is damaged at byte 4096: record");
    report[0] = '\0';
    assert_int_equal(journal_repair(path, say, report, &problem), JOURNAL_SOUND);
    assert_non_null(strstr(report, "repaired: 199 records are kept, at least 1 are lost"));
    assert_int_equal(journal_check(path, say, report, &problem), JOURNAL_SOUND);
    assert_int_equal(journal_check(root, say, report, &problem), JOURNAL_UNKNOWN);
    assert_non_null(strstr(problem.text, "holds no store"));
}

#define ON_FILES(name) cmocka_unit_test_setup_teardown(name, folder_make, folder_remove)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_FILES(test_files),
        ON_FILES(test_a_parent_is_missing),
        ON_FILES(test_a_file_is_no_directory),
        ON_FILES(test_links),
        ON_FILES(test_another_process_has_it),
        ON_FILES(test_its_lock_is_removed),
        ON_FILES(test_it_is_removed),
        ON_FILES(test_check_and_repair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
