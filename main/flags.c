/* flags.c - see flags.h. */
#include "main/flags.h"

static bool looks_like_flag(const char *word) {
    return word[0] == '-' && word[1] != '\0';
}

enum flags_found flags_next(struct flags *flags, struct span *text) {
    flags->inline_value = NULL;
    if (flags->at >= flags->argc)
        return FLAGS_END;
    const char *word = flags->argv[flags->at++];
    if (!flags->words_only && strcmp(word, "--") == 0) {
        flags->words_only = true;
        return flags_next(flags, text);
    }
    if (flags->words_only || !looks_like_flag(word)) {
        *text = span_text(word);
        return FLAGS_WORD;
    }
    const char *name = word + (word[1] == '-' ? 2 : 1);
    const char *equals = strchr(name, '=');
    *text = equals == NULL ? span_text(name) : span_of(name, (size_t)(equals - name));
    flags->inline_value = equals == NULL ? NULL : equals + 1;
    return FLAGS_FLAG;
}

const char *flags_value(struct flags *flags) {
    if (flags->inline_value != NULL)
        return flags->inline_value;
    if (flags->at >= flags->argc || strncmp(flags->argv[flags->at], "--", 2) == 0)
        return NULL;
    return flags->argv[flags->at++];
}

bool flags_value_follows(const struct flags *flags) {
    return flags->inline_value != NULL ||
           (flags->at < flags->argc && !looks_like_flag(flags->argv[flags->at]));
}
