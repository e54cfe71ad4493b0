/* test_cli_store.c - the exit status of `ringpost store`, on a store that is sound, damaged, none.
 */
#include "tests/support/cmocka_first.h"

#include "main/cli/cli_store.c"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static char root[64];

static int run(const char *verb, const char *directory) {
    char *words[] = {(char *)(uintptr_t) "store", (char *)(uintptr_t)verb,
                     (char *)(uintptr_t)directory, NULL};
    return cli_store(directory != NULL ? 3 : verb != NULL ? 2 : 1, words);
}

static bool no_record(void *argument, const struct journal_record *record) {
    (void)argument;
    (void)record;
    return true;
}

static void store_make(void) {
    struct journal journal;
    struct journal_problem problem;
    const struct journal_options options = {
        .directory = root, .record_max = 100, .segment_bytes = JOURNAL_SEGMENT_BYTES_MIN};
    const struct span part = SPAN("a record");
    if (!journal_open(&journal, &options, no_record, NULL, &problem))
        fail_msg("%s", problem.text);
    for (unsigned i = 0; i < 10; i++)
        assert_true(journal_add(&journal, 1, &part, 1));
    journal_close(&journal);
}

static void damage(void) {
    char file[128];
    DIR *all = opendir(root);
    const struct dirent *entry;
    while ((entry = readdir(all)) != NULL)
        if (strstr(entry->d_name, ".segment") != NULL)
            snprintf(file, sizeof file, "%s/%.40s", root, entry->d_name);
    closedir(all);
    int fd = open(file, O_WRONLY);
    assert_int_equal(pwrite(fd, "xyz", 3, SEGMENT_HEADER_BYTES + 40), 3);
    close(fd);
}

static void test_the_status(void **state) {
    (void)state;
    snprintf(root, sizeof root, "/tmp/ringpost-cli-store-XXXXXX");
    assert_non_null(mkdtemp(root));
    assert_int_equal(run(NULL, NULL), CLI_USAGE);
    assert_int_equal(run("check", NULL), CLI_USAGE);
    assert_int_equal(run("chek", root), CLI_USAGE);
    assert_int_equal(run("--help", NULL), CLI_DONE);
    assert_int_equal(run("check", "/nowhere/at/all"), CLI_USAGE);
    assert_int_equal(run("check", root), CLI_USAGE); /* it holds no store */
    store_make();
    assert_int_equal(run("check", root), CLI_DONE);
    assert_int_equal(run("repair", root), CLI_DONE);
    damage();
    assert_int_equal(run("check", root), CLI_FAILED);
    assert_int_equal(run("repair", root), CLI_DONE);
    assert_int_equal(run("check", root), CLI_DONE);
    DIR *all = opendir(root);
    const struct dirent *entry;
    while ((entry = readdir(all)) != NULL)
        (void)unlinkat(dirfd(all), entry->d_name, 0);
    closedir(all);
    assert_int_equal(rmdir(root), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_status)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
