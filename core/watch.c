#include "core/watch.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory_short.h"

static const struct {
    const char *word, *meaning, *remedy;
} causes[WATCH_CAUSE_COUNT] = {
#define WATCH_ROW(name, word, meaning, remedy) [WATCH_##name] = {word, meaning, remedy},
    WATCH_CAUSES(WATCH_ROW)
#undef WATCH_ROW
};

static uint64_t count_of(const struct stats *total, enum watch_cause cause) {
    switch (cause) {
    case WATCH_OVERLOAD:
        return stats_get(&total->behind_refused) + stats_get(&total->late_refused);
    case WATCH_QUEUES:
        return stats_get(&total->requests_refused) + stats_get(&total->mail_refused) +
               stats_get(&total->copies_refused);
    case WATCH_MEMORY:
        return stats_get(&total->memory_refused) + stats_get(&total->refused[REFUSE_MEMORY]);
    case WATCH_ANSWERS:
        return stats_get(&total->answers_refused);
    case WATCH_CONNECTIONS:
        return stats_get(&total->refused[REFUSE_CONNECTIONS]);
    case WATCH_ADDRESS:
        return stats_get(&total->refused[REFUSE_ADDRESS]);
    case WATCH_DESCRIPTORS:
        return stats_get(&total->refused[REFUSE_DESCRIPTORS]) + stats_get(&total->accept_errors);
    case WATCH_CAUSE_COUNT:
        break;
    }
    return 0;
}

static void spell_say(enum watch_cause cause) {
    const char *meaning = causes[cause].meaning, *remedy = causes[cause].remedy;
    char limit[MEMORY_LIMIT_TEXT_MAX];
    if (cause == WATCH_MEMORY && memory_limit_hit(0, limit)) {
        meaning = "the process gets no more memory, though --memory is not reached; producers get "
                  "503";
        remedy = limit;
    }
    log_event(LOG_WARN, "refusing", LOG_STR("cause", causes[cause].word),
              LOG_STR("meaning", meaning), LOG_STR("remedy", remedy));
}

static void spell_look(struct watch_spell *spell, enum watch_cause cause, uint64_t count,
                       uint64_t now_ns) {
    bool grew = count != spell->seen;
    if (grew && spell->began_ns == 0) {
        spell->began_ns = now_ns;
        spell->before = spell->seen;
        spell_say(cause);
    } else if (!grew && spell->began_ns != 0) {
        log_event(LOG_INFO, "refusing_over", LOG_STR("cause", causes[cause].word),
                  LOG_U64("refused", count - spell->before),
                  LOG_U64("seconds", (now_ns - spell->began_ns) / NS_PER_S));
        spell->began_ns = 0;
    }
    spell->seen = count;
}

void watch_look(struct watch *watch, const struct stats *total, uint64_t now_ns) {
    for (unsigned cause = 0; cause < WATCH_CAUSE_COUNT; cause++)
        spell_look(&watch->spells[cause], (enum watch_cause)cause,
                   count_of(total, (enum watch_cause)cause), now_ns);
}
