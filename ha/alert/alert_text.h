/* alert_text.h - an alert as JSON for a webhook, and as a mail.
 *
 *   {"text":"ringpost a: redis has been lost for 12 s (since 2026-...). Meaning: ... Remedy: ...",
 *    "node":"a","run":"16 hex digits","what":"redis","state":"lost","since":"2026-...Z",
 *    "at":"2026-...Z","seconds":12,"times":1,"meaning":"...","remedy":"..."}
 *
 * `text` is what a chat shows that takes {"text":...}. A digest has "suppressed" and "lost" too.
 * The mail says the same, one thing a line, in ASCII with CRLF.
 *
 * Threads: any (pure functions). Nothing in it comes from a peer: the node's name, the run and the
 * addresses were checked where they were read. */
#ifndef RINGPOST_HA_ALERT_ALERT_TEXT_H
#define RINGPOST_HA_ALERT_ALERT_TEXT_H

#include "core/base/builder.h"
#include "ha/alert/alert_watch.h"

#define ALERT_JSON_MAX 4096
#define ALERT_MAIL_MAX 16384

/* Who tells. */
struct alert_teller {
    const char *node;
    const char *run;
};

/* Whom a mail is from and to. */
struct alert_letter {
    const char *from;
    const char *const *to;
    unsigned to_count;
    uint64_t wall_ms; /* when it is written */
    uint64_t number;  /* of the mails of this run: no two have the same */
};

/* "lost", "back", "digest", "test". */
const char *alert_state_word(enum alert_state state);
/* Each within its room of ALERT_JSON_MAX and ALERT_MAIL_MAX bytes. */
void alert_json_write(struct builder *out, const struct alert_teller *teller,
                      const struct alert_notice *notice);
void alert_mail_write(struct builder *out, const struct alert_teller *teller,
                      const struct alert_notice *notice, const struct alert_letter *letter);

#endif
