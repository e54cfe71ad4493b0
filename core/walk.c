#include "core/walk.h"

#include "core/base/check.h"
#include "core/worker.h"

bool walk_begin(struct worker *worker, struct walk *walk, enum name_kind kind, unsigned namespace,
                uint64_t hash, struct span text) {
    CHECK(walk->name == NULL, "a walk begins before the one before is over");
    struct name *name = directory_find(worker, kind, namespace, hash, text);
    if (name == NULL || list_empty(&name->sessions))
        return false;
    name_pin(name);
    *walk = (struct walk){.name = name, .next = name->sessions.next, .last = name->sessions.prev};
    return true;
}

void walk_end(struct worker *worker, struct walk *walk) {
    struct name *name = walk->name;
    *walk = (struct walk){.name = NULL};
    if (name != NULL)
        name_unpin(worker, name);
}

struct session *walk_next(struct worker *worker, struct walk *walk) {
    struct list *at = walk->next;
    if (at == NULL) {
        walk_end(worker, walk);
        return NULL;
    }
    __builtin_prefetch(at->next->next);
    walk->next = at == walk->last ? NULL : at->next;
    return name_session(walk->name, at);
}
