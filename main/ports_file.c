/* ports_file.c - see ports_file.h. */
#include "main/ports_file.h"

#include "core/base/rand.h"
#include "core/server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BESIDE_TRIES 8
#define PATH_BYTES_MAX 4096

static bool refuse(const char *path, const char *why, char *problem, size_t cap) {
    snprintf(problem, cap,
             "cannot write --ports-file %.200s (%s): name a file in a folder that exists and may "
             "be written to",
             path, why);
    return false;
}

/* Why nothing may be moved there; NULL: it may. A link to a device (/dev/stdout) is as little to be
 * replaced as the device. */
static const char *place_taken(const char *path) {
    struct stat at;
    if (lstat(path, &at) != 0)
        return NULL;
    if (S_ISLNK(at.st_mode) && stat(path, &at) != 0)
        return NULL;
    return S_ISREG(at.st_mode)    ? NULL
           : S_ISDIR(at.st_mode)  ? "it is a folder"
           : S_ISFIFO(at.st_mode) ? "it is a FIFO"
           : S_ISSOCK(at.st_mode) ? "it is a socket"
                                  : "it is a device";
}

/* A new file in the same folder; its name goes into `beside`. NULL with errno. */
static FILE *beside_open(const char *path, char beside[PATH_BYTES_MAX]) {
    for (unsigned n = 0; n < BESIDE_TRIES; n++) {
        int len = snprintf(beside, PATH_BYTES_MAX, "%s.%016" PRIx64, path, rand_u64());
        if (len >= PATH_BYTES_MAX) {
            errno = ENAMETOOLONG;
            return NULL;
        }
        int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd >= 0) {
            FILE *out = fdopen(fd, "w");
            if (out == NULL) {
                close(fd);
                unlink(beside);
            }
            return out;
        }
        if (errno != EEXIST)
            return NULL;
    }
    return NULL;
}

static void ports_print(FILE *out, const struct server *server) {
    static const char *const kinds[LISTENER_KINDS] = {"tcp", "web", "api"};
    const struct config *config = server_config(server);
    for (unsigned kind = 0; kind < LISTENER_KINDS; kind++) {
        fprintf(out, "%s\"%s\":[", kind == 0 ? "{" : ",", kinds[kind]);
        const char *comma = "";
        for (unsigned i = 0; i < config->listener_count; i++) {
            if (config->listeners[i].kind != kind)
                continue;
            fprintf(out, "%s\"%s\"", comma, server->listen_text[i]);
            comma = ",";
        }
        fputs("]", out);
    }
    fputs("}\n", out);
}

bool ports_file_write(struct ports_file *file, const struct server *server, const char *path,
                      char *problem, size_t problem_cap) {
    char beside[PATH_BYTES_MAX];
    struct stat made;
    file->path = NULL;
    const char *taken = place_taken(path);
    if (taken != NULL)
        return refuse(path, taken, problem, problem_cap);
    FILE *out = beside_open(path, beside);
    if (out == NULL)
        return refuse(path, strerror(errno), problem, problem_cap);
    ports_print(out, server);
    bool written = fstat(fileno(out), &made) == 0 && ferror(out) == 0;
    written &= fclose(out) == 0;
    if (!written || rename(beside, path) != 0) {
        int error = errno;
        unlink(beside);
        return refuse(path, strerror(error), problem, problem_cap);
    }
    *file = (struct ports_file){.path = path, .device = made.st_dev, .inode = made.st_ino};
    return true;
}

void ports_file_remove(const struct ports_file *file) {
    struct stat there;
    if (file->path != NULL && lstat(file->path, &there) == 0 && there.st_dev == file->device &&
        there.st_ino == file->inode)
        unlink(file->path);
}
