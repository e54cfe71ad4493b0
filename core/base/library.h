/* library.h - a shared library that is loaded only when a node needs it, and its functions as a
 * table of pointers:
 *
 *   #define CALLS(X) X(curl_easy_init) X(curl_easy_cleanup)
 *   static struct { CALLS(LIBRARY_POINTER) } api;
 *   #define CALL(name) LIBRARY_CALL(api, name)
 *   static const struct library_call calls[] = {CALLS(CALL)};
 *
 * What is loaded stays until the process ends.
 *
 * Threads: one, at the start, before the sandbox; whoever starts later may use the pointers. */
#ifndef RINGPOST_CORE_BASE_LIBRARY_H
#define RINGPOST_CORE_BASE_LIBRARY_H

#include <stdbool.h>
#include <stddef.h>

struct library_call {
    const char *name;
    void *pointer; /* where the pointer to the function goes */
};

#define LIBRARY_POINTER(name) __typeof__(name) *name;
#define LIBRARY_CALL(api, name) {#name, &(api).name},

struct library {
    const char *file;   /* as the linker finds it: "libcurl-gnutls.so.4" */
    const char *need;   /* who needs what: "alerts need libcurl" */
    const char *remedy; /* what to do where it is not there, or lacks a function */
    const struct library_call *calls;
    size_t call_count;
};

/* Fills all pointers. False: `problem` is one line that says why, and how to do better. */
bool library_load(const struct library *library, char *problem, size_t problem_cap);

#endif
