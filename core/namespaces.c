#include "core/namespaces.h"

#include "core/base/check.h"
#include "core/limits.h"

static struct {
    struct span names[NAMESPACES_MAX];
    unsigned count;
} all = {{SPAN_INIT("/")}, 1};

void namespaces_set(const char *const *names, unsigned count) {
    CHECK(count <= NAMESPACES_MAX);
    all.names[NAMESPACE_MAIN] = SPAN("/");
    all.count = 1;
    for (unsigned i = 0; i < count; i++)
        if (!span_equal(span_text(names[i]), SPAN("/")))
            all.names[all.count++] = span_text(names[i]);
}

unsigned namespaces_count(void) {
    return all.count;
}

struct span namespace_name(unsigned number) {
    CHECK(number < all.count, "there is no namespace %u", number);
    return all.names[number];
}

bool namespace_find(struct span name, unsigned *number) {
    for (unsigned i = 0; i < all.count; i++) {
        if (span_equal(all.names[i], name)) {
            *number = i;
            return true;
        }
    }
    return false;
}

bool namespace_well_formed(struct span name) {
    if (name.len == 0 || name.len > NAMESPACE_BYTES_MAX || name.at[0] != '/')
        return false;
    for (size_t i = 1; i < name.len; i++) {
        char byte = name.at[i];
        bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                     (byte >= '0' && byte <= '9');
        if (!plain && (byte == '\0' || strchr("-._~!$&'()*+;=:@/", byte) == NULL))
            return false;
    }
    return true;
}
