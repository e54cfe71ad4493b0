#include "core/sandbox.c"

#include "tests/support/cmocka_first.h"

#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A filter cannot be taken off, so each case is a process of its own. It says in its exit status
 * which of its expectations was not met, 0: none; `said` is what it wrote to standard error. */
static char said[16384];

#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            _exit(__LINE__ & 0xff);                                                                \
    } while (false)

static void in_a_process(void (*body)(void)) {
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(pipe_fds[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(pipe_fds[1]);
    size_t len = 0;
    ssize_t got;
    while ((got = read(pipe_fds[0], said + len, sizeof(said) - 1 - len)) > 0)
        len += (size_t)got;
    said[len] = '\0';
    close(pipe_fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("wait status 0x%x (an exit status is the line, modulo 256):\n%s", status, said);
}

static void enter(void) {
    char problem[160] = "";
    EXPECT(sandbox_enter(false, false, false, problem, sizeof(problem)));
}

/* errno of a call that must fail, 0 when it does not. */
static int error_of(long result) {
    return result == -1 ? errno : 0;
}

static unsigned lines_with(const char *text) {
    unsigned count = 0;
    for (const char *at = said; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

static void calls_that_are_refused(void) {
    char *const nothing[] = {NULL};
    enter();
    EXPECT(sandbox_refused() == 0);
    EXPECT(error_of(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0)) == EPERM);
    EXPECT(error_of(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0)) == EPERM);
    EXPECT(error_of(syscall(SYS_execve, "/bin/true", nothing, nothing)) == EPERM);
    EXPECT(error_of(syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0)) == EPERM);
    EXPECT(error_of(syscall(SYS_io_uring_setup, 8, NULL)) == EPERM);
    EXPECT(error_of(syscall(SYS_ptrace, 0, 0, 0, 0)) == EPERM);
    EXPECT(sandbox_refused() == 6);
}

static void test_what_is_refused_fails_and_is_said_once_by_its_name(void **state) {
    (void)state;
    in_a_process(calls_that_are_refused);
    static const char *const calls[] = {"socket", "execve", "clone", "io_uring_setup", "ptrace"};
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        char wanted[64];
        snprintf(wanted, sizeof(wanted), "event=sandbox_refused call=%s number=", calls[i]);
        assert_int_equal(lines_with(wanted), 1);
    }
    assert_int_equal(lines_with("\n"), 5);
}

/* Numbers that no call has, those of other ABIs among them. */
static void calls_that_are_none(void) {
    enter();
    for (long n = 0; n < 100; n++) {
        EXPECT(error_of(syscall(900 + n)) == EPERM);
        EXPECT(error_of(syscall(5000 + n)) == EPERM);
        EXPECT(error_of(syscall(-1)) == EPERM);
    }
    EXPECT(sandbox_refused() == 300);
}

static void test_numbers_that_are_no_call_are_said_once(void **state) {
    (void)state;
    in_a_process(calls_that_are_none);
    assert_int_equal(lines_with("event=sandbox_refused call=unknown number="), 1);
    assert_int_equal(lines_with("\n"), 1);
}

/* What the line itself needs is refused. */
static void calls_without_poll(void) {
    static const int polls[] = {SCMP_SYS(poll), SCMP_SYS(ppoll)};
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    for (size_t i = 0; i < sizeof(polls) / sizeof(polls[0]); i++) {
        int error = seccomp_rule_add(filter, SCMP_ACT_TRAP, polls[i], 0);
        EXPECT(error == 0 || error == -EDOM);
    }
    EXPECT(seccomp_load(filter) == 0);
    seccomp_release(filter);
    enter();
    for (int i = 0; i < 3; i++)
        EXPECT(error_of(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0)) == EPERM);
    EXPECT(sandbox_refused() == 4);
    EXPECT(error_of(syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0)) == EPERM);
    EXPECT(sandbox_refused() == 6);
}

static void test_a_line_that_needs_what_is_refused_comes_all_the_same(void **state) {
    (void)state;
    in_a_process(calls_without_poll);
    assert_int_equal(lines_with("call=socket number="), 1);
    assert_int_equal(lines_with("call=ppoll number="), 1);
    assert_int_equal(lines_with("\n"), 2);
}

static void files_and_memory(void) {
    enter();
    const size_t page = 4096;
    EXPECT(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
    EXPECT(error_of(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_WRONLY)) == EPERM);
    EXPECT(error_of(syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR)) == EPERM);
    EXPECT(error_of(syscall(SYS_openat, AT_FDCWD, "/tmp/x", O_RDONLY | O_CREAT, 0600)) == EPERM);
    long plain =
        syscall(SYS_mmap, NULL, page, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    EXPECT(plain != -1);
    EXPECT(error_of(syscall(SYS_mprotect, plain, page, PROT_READ | PROT_EXEC)) == EPERM);
    EXPECT(error_of(syscall(SYS_mmap, NULL, page, PROT_READ | PROT_EXEC,
                            MAP_ANONYMOUS | MAP_PRIVATE, -1, 0)) == EPERM);
    EXPECT(syscall(SYS_munmap, plain, page) == 0);
}

static void test_files_are_read_only_and_memory_is_no_code(void **state) {
    (void)state;
    in_a_process(files_and_memory);
    assert_int_equal(lines_with("call=openat "), 1);
    assert_int_equal(lines_with("call=mmap "), 1);
    assert_int_equal(lines_with("call=mprotect "), 1);
}

static atomic_int step;

static void *other_thread(void *unused) {
    (void)unused;
    pthread_setname_np(pthread_self(), "worker-7");
    atomic_store(&step, 1);
    while (atomic_load(&step) != 2)
        sched_yield();
    long result = syscall(SYS_socket, AF_INET, SOCK_STREAM, 0);
    atomic_store(&step, error_of(result) == EPERM ? 3 : 4);
    return NULL;
}

/* The log's thread blocks signals; the line of a call that it makes must come all the same. */
static void threads_from_before(void) {
    pthread_t other;
    EXPECT(log_start());
    EXPECT(pthread_create(&other, NULL, other_thread, NULL) == 0);
    while (atomic_load(&step) != 1)
        sched_yield();
    enter();
    atomic_store(&step, 2);
    EXPECT(pthread_join(other, NULL) == 0);
    EXPECT(atomic_load(&step) == 3);
    log_event(LOG_INFO, "still_there", LOG_U64("refused", sandbox_refused()));
    log_stop();
}

static void test_threads_that_were_there_before_are_in_it_too(void **state) {
    (void)state;
    in_a_process(threads_from_before);
    assert_int_equal(lines_with("call=socket number="), 1);
    assert_int_equal(lines_with("thread=worker-7"), 1);
    assert_int_equal(lines_with("event=still_there refused=1"), 1);
}

static void a_blocked_pipe(void) {
    int fds[2];
    EXPECT(pipe2(fds, O_NONBLOCK) == 0);
    dup2(fds[1], STDERR_FILENO);
    while (write(STDERR_FILENO, said, sizeof(said)) > 0)
        ;
    enter();
    EXPECT(error_of(syscall(SYS_socket, AF_INET, SOCK_STREAM, 0)) == EPERM);
    EXPECT(log_dropped() == 1);
    EXPECT(sandbox_refused() == 1);
}

static void test_a_log_that_nobody_reads_makes_nobody_wait(void **state) {
    (void)state;
    in_a_process(a_blocked_pipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_refused_fails_and_is_said_once_by_its_name),
        cmocka_unit_test(test_numbers_that_are_no_call_are_said_once),
        cmocka_unit_test(test_a_line_that_needs_what_is_refused_comes_all_the_same),
        cmocka_unit_test(test_files_are_read_only_and_memory_is_no_code),
        cmocka_unit_test(test_threads_that_were_there_before_are_in_it_too),
        cmocka_unit_test(test_a_log_that_nobody_reads_makes_nobody_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
