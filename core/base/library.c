#include "core/base/library.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

bool library_load(const struct library *library, char *problem, size_t problem_cap) {
    void *handle = dlopen(library->file, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        snprintf(problem, problem_cap, "%s (%.160s): %s", library->need, dlerror(),
                 library->remedy);
        return false;
    }
    for (size_t i = 0; i < library->call_count; i++) {
        const struct library_call *call = &library->calls[i];
        void *found = dlsym(handle, call->name);
        if (found == NULL) {
            snprintf(problem, problem_cap, "%s has no %s: %s", library->file, call->name,
                     library->remedy);
            return false;
        }
        memcpy(call->pointer, &found, sizeof(found));
    }
    return true;
}
