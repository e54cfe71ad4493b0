/* Any bytes as an entry of the store: refused, or read within its bounds and written anew the same.
 * The first byte is the kind. */
#include "tests/support/entry_look.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    if (len == 0)
        return 0;
    struct span body = span_of((const char *)at + 1, len - 1);
    char *room = malloc(len);
    CHECK(room != NULL);
    (void)entry_look(at[0] % 8, body, room);
    free(room);
    return 0;
}
