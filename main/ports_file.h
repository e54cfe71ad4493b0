/* ports_file.h - the file of --ports-file: where a node listens, for who started it.
 *
 *     {"tcp":["127.0.0.1:41234"],"web":[],"api":["127.0.0.1:8081"]}
 *
 * It appears whole or not at all: written beside under a name that nobody can foresee, and moved
 * into place. A link in its place is replaced, never followed; a FIFO, device, socket or folder,
 * and a link to one, is refused, since a file moved there would take its place.
 *
 * Threads: the main thread; removed by whoever ends the process.
 * Owns: the file, between write and remove. */
#ifndef RINGPOST_MAIN_PORTS_FILE_H
#define RINGPOST_MAIN_PORTS_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct server;

struct ports_file {
    const char *path;
    /* Which file was written. */
    dev_t device;
    ino_t inode;
};

/* False: one sentence with the remedy in `problem`. `path` must outlive the file. */
bool ports_file_write(struct ports_file *file, const struct server *server, const char *path,
                      char *problem, size_t problem_cap);
/* Removes it, so that nobody finds the ports of a node that has gone; not what another node has
 * put there since. */
void ports_file_remove(const struct ports_file *file);

#endif
