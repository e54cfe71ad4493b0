/* flags.h - walks the words of a command line: --name VALUE, --name=VALUE, and words without
 * dashes.
 *
 * It knows no flag by name; the caller looks them up, asks for the value of those that take one,
 * and says what is wrong in its own words. After `--` everything is a plain word; `-` alone is one
 * too.
 *
 * Threads: the caller's. Owns nothing: every text is a part of argv. Never prints. */
#ifndef RINGPOST_MAIN_FLAGS_H
#define RINGPOST_MAIN_FLAGS_H

#include "core/base/span.h"

struct flags {
    int argc;
    char **argv;
    int at;          /* the next word */
    bool words_only; /* `--` was seen */
    /* Of the flag that flags_next just returned: */
    const char *inline_value; /* what stands after its `=`, or NULL */
};

enum flags_found { FLAGS_END, FLAGS_FLAG, FLAGS_WORD };

/* `argv` without the name of the program and of the command. */
static inline struct flags flags_over(int argc, char **argv) {
    return (struct flags){argc, argv, 0, false, NULL};
}

/* The next flag (its name without dashes and value; `-h` is the flag "h") or plain word. */
enum flags_found flags_next(struct flags *flags, struct span *text);

/* The value of the flag just returned: after its `=`, or else the next word. NULL: there is none,
 * since the line ends or goes on with `--`. A value that begins so is given with `=`. */
const char *flags_value(struct flags *flags);

/* Whether the next word could be the value of the flag just returned: there is one, and it is no
 * flag. For switches, whose value may be left out. */
bool flags_value_follows(const struct flags *flags);

#endif
