#include "core/sandbox.h"

#include "core/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <ucontext.h>

/* How far a call is allowed. */
enum extent {
    FREELY,
    READING,     /* a file is opened, not made, and not for writing; but see WRITING */
    WRITING,     /* only with a store on disk */
    CONNECTING,  /* only with Redis or alerts: the sockets of its own that the node opens */
    LOOKING_UP,  /* only with alerts: what the C library asks name servers with */
    NO_NEW_CODE, /* memory does not become executable */
};

struct allowed {
    int call;
    enum extent extent;
};

/* The table: what is called after the start, by whom. */
#define CALL(name, extent)                                                                         \
    { SCMP_SYS(name), extent }
static const struct allowed table[] = {
    /* the turn of a worker: its ring, and the wake of other workers */
    CALL(io_uring_enter, FREELY),
    CALL(io_uring_register, FREELY), /* a socket moves into the ring's table of files */
    CALL(write, FREELY),
    CALL(read, FREELY),
    CALL(close, FREELY),
    CALL(poll, FREELY),
    CALL(ppoll, FREELY), /* what poll is on arm64 */
    /* a connection: addresses, options, an end that does not go through the ring */
    CALL(getpeername, FREELY),
    CALL(getsockname, FREELY),
    CALL(getsockopt, FREELY),
    CALL(setsockopt, FREELY),
    CALL(shutdown, FREELY),
    CALL(fcntl, FREELY),
    CALL(ioctl, FREELY),
    /* memory */
    CALL(brk, FREELY),
    CALL(madvise, FREELY),
    CALL(mmap, NO_NEW_CODE),
    CALL(mprotect, NO_NEW_CODE),
    CALL(mremap, FREELY),
    CALL(munmap, FREELY),
    /* locks, threads, time, chance */
    CALL(futex, FREELY),
    CALL(sched_yield, FREELY),
    CALL(sched_getaffinity, FREELY),
    CALL(gettid, FREELY),
    CALL(getpid, FREELY),
    CALL(getrandom, FREELY),
    CALL(clock_gettime, FREELY),
    CALL(clock_nanosleep, FREELY),
    CALL(nanosleep, FREELY),
    /* signals: waiting for them, and what a crash does */
    CALL(rt_sigaction, FREELY),
    CALL(rt_sigprocmask, FREELY),
    CALL(rt_sigreturn, FREELY),
    CALL(rt_sigtimedwait, FREELY),
    CALL(sigaltstack, FREELY),
    CALL(tgkill, FREELY),
    CALL(pause, FREELY),
    CALL(restart_syscall, FREELY),
    /* a reload, and figures of the process and of the machine */
    CALL(open, READING),
    CALL(openat, READING),
    CALL(fstat, FREELY),
    CALL(newfstatat, FREELY),
    CALL(lseek, FREELY),
    CALL(pread64, FREELY),
    CALL(writev, FREELY),
    CALL(getdents64, FREELY),
    CALL(getrusage, FREELY),
    CALL(getrlimit, FREELY),
    CALL(prlimit64, FREELY),
    CALL(sysinfo, FREELY),
    CALL(prctl, FREELY),
    /* the end: the ports file goes, and then the process */
    CALL(unlink, FREELY),
    CALL(unlinkat, FREELY), /* what unlink is on arm64 */
    CALL(exit, FREELY),
    CALL(exit_group, FREELY),
    /* a store on disk */
    CALL(pwrite64, WRITING),
    CALL(fdatasync, WRITING),
    CALL(fsync, WRITING),
    CALL(fallocate, WRITING),
    CALL(ftruncate, WRITING),
    CALL(renameat, WRITING),
    CALL(renameat2, WRITING),
    CALL(openat, WRITING),
    CALL(flock, WRITING),
    CALL(fstatfs, WRITING),
    /* Redis, alerts */
    CALL(socket, CONNECTING),
    CALL(connect, CONNECTING),
    CALL(sendto, CONNECTING),
    CALL(recvfrom, CONNECTING),
    /* the look-up of a host: its name servers, its addresses, the domain that it searches */
    CALL(sendmmsg, LOOKING_UP),
    CALL(recvmsg, LOOKING_UP),
    CALL(bind, LOOKING_UP),
    CALL(uname, LOOKING_UP),
    /* other nodes, whose polls come */
    CALL(accept4, CONNECTING),
};

#define NUMBERS 1024 /* of calls; the highest now is some 460 */
static char *names[NUMBERS];
static atomic_bool was_said[NUMBERS + 1]; /* the last one is of all that have no name */
static _Thread_local bool in_handler;
static _Atomic uint64_t refused;

const char *sandbox_unfit(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(RINGPOST_TSAN)
    return "this build has a sanitizer, whose library makes calls of its own";
#elif !defined(__x86_64__) && !defined(__aarch64__)
    return "it is not known how a call is refused on this processor";
#else
    return NULL;
#endif
}

uint64_t sandbox_refused(void) {
    return atomic_load_explicit(&refused, memory_order_relaxed);
}

/* What the refused call returns. */
static void result_set(ucontext_t *where, long result) {
#if defined(__x86_64__)
    where->uc_mcontext.gregs[REG_RAX] = result;
#elif defined(__aarch64__)
    where->uc_mcontext.regs[0] = (unsigned long long)result;
#else
    (void)where, (void)result;
#endif
}

/* In the thread that made the call, at the call, whatever locks that holds. */
static void on_sigsys(int number, siginfo_t *info, void *where) {
    enum { BY_SECCOMP = 1 };
    if (info->si_code != BY_SECCOMP) { /* somebody sent it: what it does without a handler */
        signal(number, SIG_DFL);
        raise(number);
        return;
    }
    result_set(where, -EPERM);
    atomic_fetch_add_explicit(&refused, 1, memory_order_relaxed);
    unsigned call = (unsigned)info->si_syscall;
    bool known = call < NUMBERS && names[call] != NULL;
    if (in_handler || /* one that saying it makes */
        atomic_exchange_explicit(&was_said[known ? call : NUMBERS], true, memory_order_relaxed))
        return;
    in_handler = true;
    char thread[16] = "";
    prctl(PR_GET_NAME, thread);
    const struct log_field fields[] = {
        LOG_STR("call", known ? names[call] : "unknown"),
        LOG_U64("number", call),
        LOG_STR("thread", thread),
        LOG_STR("remedy", "report it as a bug; until it is fixed, --sandbox off"),
    };
    log_from_signal(LOG_ERROR, "sandbox_refused", fields, sizeof(fields) / sizeof(fields[0]));
    in_handler = false;
}

static int rule_add(scmp_filter_ctx filter, const struct allowed *allowed) {
    switch (allowed->extent) {
    case READING: {
        bool at = allowed->call == SCMP_SYS(openat);
        struct scmp_arg_cmp flags = {.arg = at ? 2 : 1,
                                     .op = SCMP_CMP_MASKED_EQ,
                                     .datum_a = O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND,
                                     .datum_b = O_RDONLY};
        return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, allowed->call, 1, &flags);
    }
    case NO_NEW_CODE: {
        struct scmp_arg_cmp protection = {
            .arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0};
        return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, allowed->call, 1, &protection);
    }
    case FREELY:
    case WRITING:
    case CONNECTING:
    case LOOKING_UP:
        break;
    }
    return seccomp_rule_add(filter, SCMP_ACT_ALLOW, allowed->call, 0);
}

static int filter_load(scmp_filter_ctx filter, bool writes, bool connects, bool looks_up) {
    /* All threads at once, or none. A table of jumps instead of one comparison after the other. */
    int error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (error == 0)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (size_t i = 0; error == 0 && i < sizeof(table) / sizeof(table[0]); i++) {
        enum extent extent = table[i].extent;
        if ((extent == WRITING && !writes) || (extent == CONNECTING && !connects) ||
            (extent == LOOKING_UP && !looks_up))
            continue;
        error = rule_add(filter, &table[i]);
        if (error == -EDOM) /* this processor has no such call */
            error = 0;
    }
    return error != 0 ? error : seccomp_load(filter);
}

/* libseccomp takes some hundred kilobytes and does not look whether it got them. */
#define FILTER_ROOM_BYTES (2 * 1024 * 1024)

static bool filter_has_room(void) {
    void *room =
        mmap(NULL, FILTER_ROOM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room != MAP_FAILED)
        munmap(room, FILTER_ROOM_BYTES);
    return room != MAP_FAILED;
}

bool sandbox_enter(bool writes, bool connects, bool looks_up, char *problem, size_t problem_cap) {
    if (!filter_has_room()) {
        snprintf(problem, problem_cap, "no memory for the filter");
        return false;
    }
    for (int number = 0; number < NUMBERS; number++)
        names[number] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, number);
    struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset(&action.sa_mask);
    sigaction(SIGSYS, &action, NULL);
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_TRAP);
    int error = filter == NULL ? -ENOMEM : filter_load(filter, writes, connects, looks_up);
    if (filter != NULL)
        seccomp_release(filter);
    if (error != 0)
        snprintf(problem, problem_cap, "the kernel takes no seccomp filter (%s)", strerror(-error));
    return error == 0;
}
