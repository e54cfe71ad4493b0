#include "core/base/check.c"

#include "tests/support/cmocka_first.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

static void say_hook(const char *what) {
    (void)what;
    static const char text[] = "the hook spoke\n";
    ssize_t done = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)done;
}

static void fail_in_hook(const char *what) {
    (void)what;
    CHECK(1 > 2, "in the hook");
}

static void fail_plain(void) {
    int four = 4;
    CHECK(four == 5);
}

static void fail_with_words(void) {
    CHECK(0 == 1, "after %d of %s", 7, "them");
}

static void fail_with_hook(void) {
    check_hook = say_hook;
    CHECK(0 == 1);
}

static void fail_twice(void) {
    check_hook = fail_in_hook;
    CHECK(0 == 1, "outside");
}

static void fail_long(void) {
    char word[3000];
    memset(word, 'w', sizeof(word));
    CHECK(0 == 1, "%.*s", (int)sizeof(word), word);
}

/* Runs it in a child and gives what the child wrote to standard error before it aborted. */
static void dies(void (*run)(void), char *text, size_t cap) {
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        run();
        _exit(0);
    }
    close(ends[1]);
    size_t len = 0;
    ssize_t got;
    while ((got = read(ends[0], text + len, cap - 1 - len)) > 0)
        len += (size_t)got;
    text[len] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

static void test_says_what_and_where(void **state) {
    (void)state;
    char text[2048];
    dies(fail_plain, text, sizeof(text));
    assert_non_null(strstr(text, "test_check.c:"));
    assert_non_null(strstr(text, "expected four == 5\n"));
    dies(fail_with_words, text, sizeof(text));
    assert_non_null(strstr(text, "expected 0 == 1: after 7 of them\n"));
}

static void test_hook_speaks_once(void **state) {
    (void)state;
    char text[2048];
    dies(fail_with_hook, text, sizeof(text));
    const char *first = strstr(text, "the hook spoke");
    assert_non_null(first);
    assert_null(strstr(first + 1, "the hook spoke"));
}

static void test_check_in_hook_ends(void **state) {
    (void)state;
    char text[2048];
    dies(fail_twice, text, sizeof(text));
    assert_non_null(strstr(text, "outside\n"));
    assert_non_null(strstr(text, "in the hook\n"));
}

static void test_long_words_are_cut(void **state) {
    (void)state;
    char text[4096];
    dies(fail_long, text, sizeof(text));
    assert_int_equal(strlen(text), strlen("ringpost: bug: ") + 1024);
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void test_holds(void **state) {
    (void)state;
    int calls = 0;
    CHECK(++calls == 1, "evaluated once");
    assert_int_equal(calls, 1);
}

struct outer {
    int before;
    int member;
};

static void test_container_of(void **state) {
    (void)state;
    struct outer outer = {1, 2};
    assert_ptr_equal(container_of(&outer.member, struct outer, member), &outer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_what_and_where),
        cmocka_unit_test(test_hook_speaks_once),
        cmocka_unit_test(test_check_in_hook_ends),
        cmocka_unit_test(test_long_words_are_cut),
        cmocka_unit_test(test_holds),
        cmocka_unit_test(test_container_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
