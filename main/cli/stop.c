/* stop.c - see stop.h. The handler calls nothing but write, alarm, tcsetattr and _exit. */
#include "main/cli/stop.h"

#include "core/base/thread.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <termios.h>
#include <unistd.h>

#define GRACE_S 1

static int stop_fd = -1;
static volatile sig_atomic_t stopped_by;   /* 0: not yet */
static volatile sig_atomic_t keys_fd = -1; /* the terminal whose mode was changed */
static struct termios keys_before, keys_mode;

void stop_keys_off(void) {
    if (keys_fd >= 0)
        tcsetattr((int)keys_fd, TCSANOW, &keys_before);
    keys_fd = -1;
}

static void stop_tell(void) {
    uint64_t one = 1;
    ssize_t written = write(stop_fd, &one, sizeof(one));
    (void)written;
}

static void on_signal(int number) {
    int error = errno;
    if (stopped_by != 0) { /* a second signal, or the alarm */
        stop_keys_off();
        _exit(128 + (int)stopped_by);
    }
    stopped_by = number;
    stop_tell();
    alarm(GRACE_S);
    errno = error;
}

void stop_done(void) {
    if (stop_fd >= 0)
        alarm(0);
}

int stop_open(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGALRM};
    /* SA_RESTART: what is being printed is not torn. poll ends all the same. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (unsigned n = 0; n < sizeof(numbers) / sizeof(numbers[0]) && stop_fd >= 0; n++) {
        struct sigaction before;
        /* What whoever started us wants ignored (nohup) stays ignored. */
        if (sigaction(numbers[n], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(numbers[n], &action, NULL);
    }
    return stop_fd;
}

static void *keys_wait(void *terminal) {
    char key;
    while (read((int)(intptr_t)terminal, &key, 1) == 1)
        if (key == 'q' || key == 'Q')
            stop_tell();
    return NULL;
}

/* Back in the foreground after Ctrl-Z: the shell has set the terminal as it likes it. */
static void on_continue(int number) {
    (void)number;
    int error = errno;
    if (keys_fd >= 0 && tcgetpgrp((int)keys_fd) == getpgrp())
        tcsetattr((int)keys_fd, TCSANOW, &keys_mode);
    errno = error;
}

bool stop_keys_on(int fd) {
    struct sigaction action = {.sa_handler = on_continue, .sa_flags = SA_RESTART};
    pthread_t thread;
    if (isatty(fd) != 1 || tcgetpgrp(fd) != getpgrp() || tcgetattr(fd, &keys_before) != 0)
        return false;
    keys_mode = keys_before;
    keys_mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    keys_mode.c_cc[VMIN] = 1;
    keys_mode.c_cc[VTIME] = 0;
    if (tcsetattr(fd, TCSANOW, &keys_mode) != 0)
        return false;
    keys_fd = fd;
    if (thread_start(&thread, keys_wait, (void *)(intptr_t)fd) != 0) {
        stop_keys_off();
        return false;
    }
    pthread_detach(thread);
    sigemptyset(&action.sa_mask);
    sigaction(SIGCONT, &action, NULL);
    return true;
}
