#include "core/tag.h"

const char *tag_op_name(enum tag_op op) {
    switch (op) {
#define TAG_NAME(name)                                                                             \
    case TAG_##name:                                                                               \
        return #name;
        TAG_OPS(TAG_NAME)
#undef TAG_NAME
    case TAG_INVALID:
    case TAG_OP_COUNT:
        break;
    }
    return "INVALID";
}
