#include "core/base/thread.h"

#include "core/base/memory_short.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void signals_block(sigset_t *before) {
    static const int own[] = {SIGSYS, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT};
    sigset_t blocked;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        sigdelset(&blocked, own[i]);
    pthread_sigmask(SIG_SETMASK, &blocked, before);
}

int thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument) {
    return thread_start_deep(thread, run, argument, THREAD_STACK_BYTES);
}

int thread_start_deep(pthread_t *thread, void *(*run)(void *argument), void *argument,
                      size_t stack_bytes) {
    pthread_attr_t attributes;
    sigset_t before;
    int error = pthread_attr_init(&attributes);
    if (error == 0) {
        error = pthread_attr_setstacksize(&attributes, stack_bytes);
        signals_block(&before);
        if (error == 0)
            error = pthread_create(thread, &attributes, run, argument);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attributes);
    }
    return error;
}

void thread_problem(int error, char *problem, size_t problem_cap) {
    char limit[MEMORY_LIMIT_TEXT_MAX];
    /* EAGAIN stands for a stack that finds no memory, too. */
    if (memory_limit_hit(THREAD_STACK_BYTES, limit))
        snprintf(problem, problem_cap, "no memory for its stack: %s", limit);
    else
        snprintf(problem, problem_cap, "%s: raise the limit of tasks (LimitNPROC, TasksMax)",
                 strerror(error));
}
