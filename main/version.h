/* version.h - the one place where the version stands. Threads: any (a constant). */
#ifndef RINGPOST_MAIN_VERSION_H
#define RINGPOST_MAIN_VERSION_H

#define RINGPOST_VERSION "0.1.0"

#endif
