/* Failed calls in words. */
#include "ha/store/trouble.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void trouble_set(struct journal_problem *problem, const char *format, ...) {
    va_list words;
    va_start(words, format);
    (void)vsnprintf(problem->text, sizeof(problem->text), format, words);
    va_end(words);
}

const char *trouble_reason(int error) {
    return error == ESTALE ? "it was removed or put elsewhere while it was in use"
                           : strerror(error);
}

const char *trouble_remedy(int error) {
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return "make room on its file system, or put the store on a larger one";
    case EROFS:
        return "the file system is read-only: mount it so that it can be written, and see dmesg "
               "whether it failed";
    case EACCES:
    case EPERM:
        return "let the user of the node own the directory and all files in it";
    case ENOENT:
        return "make the directory that it is to be in";
    case ENOTDIR:
    case EINVAL:
        return "give a directory on a file system of this machine";
    case ELOOP:
        return "a file of the store must not be a symbolic link: put the file itself there";
    case ESTALE:
        return "put the directory back, or start the node anew";
    case EMFILE:
    case ENFILE:
        return "raise the limit of open files (LimitNOFILE, ulimit -n)";
    case EIO:
        return "the disk or its file system fails: see dmesg";
    default:
        return "see the manual of its file system";
    }
}

void trouble_errno(struct journal_problem *problem, const char *directory, const char *what,
                   int error) {
    trouble_set(problem, "%.*s: cannot %s: %s; %s", TROUBLE_PATH_MAX, directory, what,
                trouble_reason(error), trouble_remedy(error));
}
