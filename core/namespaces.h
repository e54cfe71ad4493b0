/* namespaces.h - the namespaces of the node (--namespaces): numbers to names and back.
 *
 * The engine knows a namespace by its number; its name is what people and Socket.IO clients write.
 * Number 0 is `/`.
 *
 * Threads: any; set once, before the others run, and the same from then on. Owns nothing: the names
 * live as long as the settings. Limits: NAMESPACES_MAX, NAMESPACE_BYTES_MAX. */
#ifndef RINGPOST_CORE_NAMESPACES_H
#define RINGPOST_CORE_NAMESPACES_H

#include "core/base/span.h"

/* The names, in the order of their numbers; without any there is `/` alone. */
void namespaces_set(const char *const *names, unsigned count);
unsigned namespaces_count(void);
struct span namespace_name(unsigned number);
/* False: there is no such namespace. */
bool namespace_find(struct span name, unsigned *number);

/* May a namespace be called so? `/`, and then letters, digits and what else may stand in the path
 * of a URL, but no comma, which ends the name on the wire. */
bool namespace_well_formed(struct span name);

#endif
