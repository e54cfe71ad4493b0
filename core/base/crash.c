#include "core/base/crash.h"

#include "core/base/check.h"
#include "core/base/log.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

/* The handler's own needs, beside what the kernel saves there. */
#define STACK_BYTES (32 * 1024)
#define RECALLED_BYTES 6144 /* with the rest it fits one line */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

static const struct {
    int number;
    const char *name;
} fatal_signals[] = {{SIGABRT, "SIGABRT"},
                     {SIGSEGV, "SIGSEGV"},
                     {SIGBUS, "SIGBUS"},
                     {SIGFPE, "SIGFPE"},
                     {SIGILL, "SIGILL"}};
#define FATAL_SIGNALS (SANITIZED ? 1 : sizeof(fatal_signals) / sizeof(fatal_signals[0]))

static void (*recall_now)(struct builder *out);
static _Atomic int speaking; /* the thread that has begun to; 0: none */
static _Thread_local void *stack;
static _Thread_local const char *thread_name = "other";

/* True for the first one to come. Another thread waits here for the end. */
static bool speak(void) {
    int nobody = 0, me = gettid();
    if (atomic_compare_exchange_strong(&speaking, &nobody, me))
        return true;
    while (nobody != me)
        pause();
    return false;
}

static void last_line(struct span cause) {
    static char recalled[RECALLED_BYTES];
    struct builder out = builder_over(recalled, sizeof(recalled));
    recall_now(&out);
    const struct log_field fields[] = {
        LOG_LONG("cause", cause), LOG_STR("thread", thread_name),
        LOG_STR("remedy", "report it with this line and the core file, if there is one"),
        LOG_LONG("recent", span_of(recalled, out.len))};
    log_last(LOG_ERROR, "crashed", fields, sizeof(fields) / sizeof(fields[0]));
}

static void on_check(const char *what) {
    if (speak())
        last_line(span_text(what));
}

static void hexadecimal(struct builder *out, uint64_t value) {
    builder_text(out, "0x");
    int shift = 60;
    while (shift > 0 && value >> shift == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        builder_byte(out, "0123456789abcdef"[value >> shift & 15]);
}

static void on_signal(int number, siginfo_t *about, void *unused) {
    (void)unused;
    if (speak()) {
        char text[80];
        struct builder cause = builder_over(text, sizeof(text));
        for (size_t i = 0; i < FATAL_SIGNALS; i++)
            if (fatal_signals[i].number == number)
                builder_text(&cause, fatal_signals[i].name);
        if (about->si_code > 0 && number != SIGABRT) { /* of the kernel, not sent by somebody */
            builder_text(&cause, " at ");
            hexadecimal(&cause, (uintptr_t)about->si_addr);
        } else if (about->si_pid != getpid()) {
            builder_text(&cause, " from process ");
            builder_u64(&cause, (uint64_t)about->si_pid);
        }
        last_line(span_of(text, cause.len));
    }
    /* SA_RESETHAND: this one ends the process, once the handler has returned. */
    raise(number);
}

void crash_watch(void (*recall)(struct builder *out)) {
    recall_now = recall;
    check_hook = on_check;
    crash_thread_begin("main");
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < FATAL_SIGNALS; i++)
        sigaction(fatal_signals[i].number, &action, NULL);
}

void crash_thread_begin(const char *name) {
    thread_name = name;
    size_t bytes = (size_t)sysconf(_SC_SIGSTKSZ) + STACK_BYTES;
    stack = malloc(bytes);
    /* Without one the handler runs on the thread's own stack, which mostly does. */
    if (stack != NULL)
        sigaltstack(&(stack_t){.ss_sp = stack, .ss_size = bytes}, NULL);
}

void crash_thread_end(void) {
    sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    free(stack);
    stack = NULL;
}
