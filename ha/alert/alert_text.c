#include "ha/alert/alert_text.h"

#include "core/base/wall_text.h"

#include <inttypes.h>
#include <time.h>

#define SENTENCE_MAX 320

/* What each subject means when it is lost. */
static const struct {
    const char *what, *lost, *back, *meaning, *remedy;
} subjects[] = {
    {"redis", "redis has been lost", "redis is back",
     "clients and producers of this node go on; messages for clients of other nodes are refused or "
     "miss them, and the answers say so",
     "see that Redis runs and can be reached; the node tries again by itself"},
    {"amqp", "a queue of RabbitMQ has been lost", "all queues of RabbitMQ are back",
     "messages stay in their queues, or refused ones cannot be published; clients and HTTP "
     "producers of this node go on",
     "see the broker, its queues and exchanges; the node's log says which; it tries again by "
     "itself"},
    {"store", "the store has been lost", "the store is back",
     "messages with ack are refused with 503 storage_unavailable; what the node has, it keeps and "
     "delivers",
     "look at the disk: room, permissions of --data, errors (dmesg); the node goes on by itself"},
    {"memory", "the memory ceiling has been reached", "memory is below its ceiling again",
     "what waits has reached --memory; producers get 503",
     "see which sessions are slow, lower --outbox-bytes, raise --memory"},
    /* Any other. */
    {NULL, "a part has been lost", "a part is back",
     "the node has to do without it; /readyz and the log say more", "look at the node's log"},
};

const char *alert_state_word(enum alert_state state) {
    static const char *const words[] = {[ALERT_LOST] = "lost",
                                        [ALERT_BACK] = "back",
                                        [ALERT_DIGEST] = "digest",
                                        [ALERT_TEST] = "test"};
    return words[state];
}

static size_t subject_find(const char *what) {
    size_t i = 0;
    while (subjects[i].what != NULL && strcmp(subjects[i].what, what) != 0)
        i++;
    return i;
}

static void lost_list(struct builder *out, const struct alert_notice *notice) {
    for (unsigned i = 0; i < notice->lost_count; i++)
        builder_format(out, "%s%.40s", i == 0 ? "" : ", ", notice->lost[i]);
    if (notice->lost_count == 0)
        builder_text(out, "nothing");
}

static const char *meaning_of(const struct alert_notice *notice) {
    switch (notice->state) {
    case ALERT_LOST:
        return subjects[subject_find(notice->what)].meaning;
    case ALERT_BACK:
        return "the node works as before";
    case ALERT_DIGEST:
        return "something comes and goes, and no more alerts than 12 an hour are sent";
    case ALERT_TEST:
        break;
    }
    return "alerts of this node arrive here";
}

static const char *remedy_of(const struct alert_notice *notice) {
    switch (notice->state) {
    case ALERT_LOST:
        return subjects[subject_find(notice->what)].remedy;
    case ALERT_BACK:
        return notice->times > 1 ? "find out why it comes and goes" : "none needed";
    case ALERT_DIGEST:
        return "find out why it comes and goes; the node's log has each time";
    case ALERT_TEST:
        break;
    }
    return "none needed";
}

/* What has happened, without a full stop. */
static void sentence_write(struct builder *out, const struct alert_notice *notice) {
    char since[WALL_TEXT_BYTES];
    size_t i = subject_find(notice->what);
    wall_text(notice->since_wall_ms, since);
    switch (notice->state) {
    case ALERT_LOST:
    case ALERT_BACK:
        builder_text(out, notice->state == ALERT_LOST ? subjects[i].lost : subjects[i].back);
        if (subjects[i].what == NULL)
            builder_format(out, " (%.40s)", notice->what);
        builder_format(out,
                       notice->state == ALERT_LOST ? " for %" PRIu64 " s (since %s"
                                                   : " after %" PRIu64 " s (lost since %s",
                       notice->lasted_ms / 1000, since);
        if (notice->times > 1)
            builder_format(out, ", %" PRIu32 " times", notice->times);
        builder_byte(out, ')');
        break;
    case ALERT_DIGEST:
        builder_format(out, "%" PRIu32 " alerts were not sent (since %s); lost now: ",
                       notice->suppressed, since);
        lost_list(out, notice);
        break;
    case ALERT_TEST:
        builder_text(out, "this is a test");
        break;
    }
}

static void member(struct builder *out, const char *name, struct span value) {
    builder_format(out, ",\"%s\":", name);
    builder_json(out, value);
}

static void member_time(struct builder *out, const char *name, uint64_t wall_ms) {
    char text[WALL_TEXT_BYTES];
    wall_text(wall_ms, text);
    member(out, name, span_text(text));
}

void alert_json_write(struct builder *out, const struct alert_teller *teller,
                      const struct alert_notice *notice) {
    char room[SENTENCE_MAX + 512];
    struct builder text = builder_over(room, sizeof(room));
    builder_format(&text, "ringpost %s: ", teller->node);
    sentence_write(&text, notice);
    builder_format(&text, ". Meaning: %s. Remedy: %s.", meaning_of(notice), remedy_of(notice));
    builder_text(out, "{\"text\":");
    builder_json(out, builder_span(&text));
    member(out, "node", span_text(teller->node));
    member(out, "run", span_text(teller->run));
    member(out, "what", span_text(notice->what));
    member(out, "state", span_text(alert_state_word(notice->state)));
    member_time(out, "since", notice->since_wall_ms);
    member_time(out, "at", notice->at_wall_ms);
    builder_format(out, ",\"seconds\":%" PRIu64 ",\"times\":%" PRIu32, notice->lasted_ms / 1000,
                   notice->times);
    member(out, "meaning", span_text(meaning_of(notice)));
    member(out, "remedy", span_text(remedy_of(notice)));
    if (notice->state == ALERT_DIGEST) {
        builder_format(out, ",\"suppressed\":%" PRIu32 ",\"lost\":[", notice->suppressed);
        for (unsigned i = 0; i < notice->lost_count; i++) {
            if (i != 0)
                builder_byte(out, ',');
            builder_json(out, span_text(notice->lost[i]));
        }
        builder_byte(out, ']');
    }
    builder_byte(out, '}');
}

/* RFC 5322, whatever the locale. */
static void date_write(struct builder *out, uint64_t wall_ms) {
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    builder_format(out, "Date: %s, %d %s %d %02d:%02d:%02d +0000\r\n", days[parts.tm_wday],
                   parts.tm_mday, months[parts.tm_mon], parts.tm_year + 1900, parts.tm_hour,
                   parts.tm_min, parts.tm_sec);
}

/* One address a line, as lines have an end. */
static void to_write(struct builder *out, const struct alert_letter *letter) {
    builder_text(out, "To: ");
    for (unsigned i = 0; i < letter->to_count; i++)
        builder_format(out, "%s%s", i == 0 ? "" : ",\r\n ", letter->to[i]);
    builder_text(out, "\r\n");
}

static void mail_line(struct builder *out, const char *name, const char *value) {
    builder_format(out, "%-10s%s\r\n", name, value);
}

void alert_mail_write(struct builder *out, const struct alert_teller *teller,
                      const struct alert_notice *notice, const struct alert_letter *letter) {
    char time[WALL_TEXT_BYTES];
    const char *domain = strchr(letter->from, '@');
    date_write(out, letter->wall_ms);
    builder_format(out, "From: ringpost <%s>\r\n", letter->from);
    to_write(out, letter);
    if (notice->state == ALERT_DIGEST)
        builder_format(out, "Subject: [ringpost] %s: %" PRIu32 " alerts were not sent\r\n",
                       teller->node, notice->suppressed);
    else if (notice->state == ALERT_TEST)
        builder_format(out, "Subject: [ringpost] %s: test\r\n", teller->node);
    else
        builder_format(out, "Subject: [ringpost] %s: %s %s\r\n", teller->node, notice->what,
                       alert_state_word(notice->state));
    builder_format(out, "Message-ID: <%s.%" PRIu64 ".%" PRIu64 "%s>\r\n", teller->run,
                   letter->number, letter->wall_ms, domain == NULL ? "@localhost" : domain);
    /* Nobody's holiday notice comes back. */
    builder_text(out, "Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
                      "Content-Type: text/plain; charset=us-ascii\r\n\r\n");
    builder_format(out, "ringpost %s: ", teller->node);
    sentence_write(out, notice);
    builder_text(out, ".\r\n\r\n");
    mail_line(out, "meaning:", meaning_of(notice));
    mail_line(out, "remedy:", remedy_of(notice));
    mail_line(out, "node:", teller->node);
    mail_line(out, "run:", teller->run);
    mail_line(out, "what:", notice->what);
    mail_line(out, "state:", alert_state_word(notice->state));
    wall_text(notice->since_wall_ms, time);
    mail_line(out, "since:", time);
    wall_text(notice->at_wall_ms, time);
    mail_line(out, "at:", time);
}
