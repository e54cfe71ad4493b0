#include "core/stats.h"

#include <string.h>

const char *close_reason_word(enum close_reason reason) {
    static const char *const words[CLOSE_REASON_COUNT] = {[CLOSE_NONE] = "none",
#define CLOSE_WORD(name, word, what) [CLOSE_##name] = word,
                                                          CLOSE_REASONS(CLOSE_WORD)
#undef CLOSE_WORD
    };
    return words[reason];
}

const char *drop_reason_word(enum drop_reason reason) {
    static const char *const words[DROP_REASON_COUNT] = {
#define DROP_WORD(name, word, what) [DROP_##name] = word,
        DROP_REASONS(DROP_WORD)
#undef DROP_WORD
    };
    return words[reason];
}

const char *fate_reason_word(enum fate_reason reason) {
    static const char *const words[FATE_REASON_COUNT] = {
#define FATE_WORD(name, word, what) [FATE_REASON_##name] = word,
        FATE_REASONS(FATE_WORD)
#undef FATE_WORD
    };
    return words[reason];
}

const char *refuse_reason_word(enum refuse_reason reason) {
    static const char *const words[REFUSE_REASON_COUNT] = {
#define REFUSE_WORD(name, word, what) [REFUSE_##name] = word,
        REFUSE_REASONS(REFUSE_WORD)
#undef REFUSE_WORD
    };
    return words[reason];
}

const char *connect_refusal_word(enum connect_refusal refusal) {
    static const char *const words[CONNECT_REFUSAL_COUNT] = {
#define CONNECT_REFUSAL_WORD(name, word) [CONNECT_REFUSED_##name] = word,
        CONNECT_REFUSALS(CONNECT_REFUSAL_WORD)
#undef CONNECT_REFUSAL_WORD
    };
    return words[refusal];
}

const char *result_text(enum result_word result) {
    static const char *const words[RESULT_COUNT] = {
#define RESULT_WORD_TEXT(name, word) [RESULT_##name] = word,
        RESULTS(RESULT_WORD_TEXT)
#undef RESULT_WORD_TEXT
    };
    return words[result];
}

enum result_word result_find(const char *word) {
    for (unsigned i = 0; i < RESULT_COUNT; i++)
        if (strcmp(word, result_text((enum result_word)i)) == 0)
            return (enum result_word)i;
    return RESULT_COUNT;
}

void stats_delay(struct stats *stats, unsigned class, uint32_t copies, uint64_t age_ns) {
#define DELAY_NS(ms, text) (ms) * UINT64_C(1000000),
    static const uint64_t bounds_ns[] = {DELAY_BOUNDS(DELAY_NS) UINT64_MAX};
#undef DELAY_NS
    unsigned bucket = 0;
    while (age_ns > bounds_ns[bucket])
        bucket++;
    stats_add(&stats->delays[class][bucket], copies);
    stats_add(&stats->delay_ns[class], copies * age_ns);
}

void stats_refuse(struct stats *stats, const char *code) {
    enum result_word word = result_find(code);
    if (word != RESULT_COUNT)
        stats_add(&stats->results[CLASS_UNKNOWN][word], 1);
}

void stats_sum(struct stats *into, const struct stats *from) {
    /* The block is nothing but counters, so it is summed as what it is: an array of them. */
    _Static_assert(sizeof(struct stats) % sizeof(_Atomic uint64_t) == 0, "only counters");
    _Atomic uint64_t *to = (_Atomic uint64_t *)(void *)into;
    const _Atomic uint64_t *add = (const _Atomic uint64_t *)(const void *)from;
    for (size_t i = 0; i < sizeof(struct stats) / sizeof(*to); i++)
        stats_add(&to[i], stats_get(&add[i]));
}
