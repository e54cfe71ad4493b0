#include "ha/alert/alert_line.h"

#include "core/base/thread.h"
#include "core/config.h"

#include <stdio.h>
#include <unistd.h>

/* While a look-up is under way it is asked for so often. */
#define LOOK_NS (20 * NS_PER_MS)

static const uint64_t pauses_s[ALERT_TRIES] = {0, 2, 8, 30, 120, 300};

bool alert_is_wanted(const struct config *config) {
    return config->alert_url != NULL || config->alert_mail_count != 0;
}

/* The host's name as it may stand in EHLO and behind an @. */
static void host_find(char host[64]) {
    char name[64] = "";
    gethostname(name, sizeof(name) - 1);
    size_t len = 0;
    for (const char *at = name; *at != '\0'; at++)
        if ((*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
            (*at >= '0' && *at <= '9') || (len != 0 && (*at == '.' || *at == '-')))
            host[len++] = *at;
    host[len] = '\0';
    if (len == 0)
        memcpy(host, "localhost", sizeof("localhost"));
}

static void way_on(struct alert_line *line, enum alert_way_kind kind) {
    struct alert_way *way = &line->ways[kind];
    struct builder shown = builder_over(way->shown, sizeof(way->shown) - 1);
    way->is_on = true;
    if (kind == ALERT_WAY_URL)
        alert_webhook_write(&shown, &way->place);
    else
        alert_smtp_write(&shown, &line->smtp);
    if (way->place.is_name)
        way->name = alert_names_add(&line->names, &way->place);
}

void alert_line_init(struct alert_line *line, const struct config *config, const char *run) {
    memset(line, 0, sizeof(*line));
    alert_names_init(&line->names);
    line->tries = ALERT_TRIES;
    line->teller = (struct alert_teller){config->node, run};
    host_find(line->host);
    if (config->alert_from != NULL)
        snprintf(line->from, sizeof(line->from), "%s", config->alert_from);
    else
        snprintf(line->from, sizeof(line->from), "ringpost@%s", line->host);
    line->letter = (struct alert_letter){
        .from = line->from, .to = config->alert_mail, .to_count = config->alert_mail_count};
    line->url = config->alert_url;
    if (line->url != NULL &&
        alert_webhook_parse(span_text(line->url), &line->ways[ALERT_WAY_URL].place) == NULL)
        way_on(line, ALERT_WAY_URL);
    if (config->alert_mail_count != 0 && config->alert_smtp != NULL &&
        alert_smtp_parse(span_text(config->alert_smtp), &line->smtp) == NULL) {
        line->ways[ALERT_WAY_MAIL].place = line->smtp.place;
        way_on(line, ALERT_WAY_MAIL);
    }
}

bool alert_line_open(struct alert_line *line, char *problem, size_t problem_cap) {
    char why[160];
    if (!alert_send_init(&line->sender, problem, problem_cap))
        return false;
    int error = alert_names_start(&line->names);
    if (error != 0) {
        thread_problem(error, why, sizeof(why));
        snprintf(problem, problem_cap, "cannot start the thread that looks up hosts: %s", why);
        alert_send_fini(&line->sender);
        return false;
    }
    line->ready = true;
    return true;
}

static void result_plain(struct alert_result *result, const char *problem, const char *remedy) {
    *result = (struct alert_result){.remedy = remedy};
    snprintf(result->problem, sizeof(result->problem), "%s", problem);
}

/* The first of the queue has ended, however. */
static void way_next(struct alert_way *way) {
    way->first = (way->first + 1) % ALERT_QUEUE;
    way->count--;
    way->tries = 0;
    way->next_ns = 0;
    way->looks_ns = 0;
}

static void ends(struct alert_line *line, enum alert_way_kind kind, enum alert_end end,
                 const struct alert_result *result) {
    struct alert_way *way = &line->ways[kind];
    struct alert_notice notice = way->queue[way->first];
    if (end != ALERT_RETRIED)
        way_next(way);
    line->on_end(line->user, kind, &notice, end, result);
}

/* One more try did not work. */
static void way_failed(struct alert_line *line, enum alert_way_kind kind,
                       const struct alert_result *result, uint64_t now_ns) {
    struct alert_way *way = &line->ways[kind];
    way->tries++;
    way->looks_ns = 0;
    if (way->place.is_name)
        alert_names_doubt(&line->names, way->name);
    if (result->is_final || way->tries >= line->tries) {
        ends(line, kind, ALERT_GIVEN_UP, result);
        return;
    }
    way->next_ns = now_ns + pauses_s[way->tries] * NS_PER_S;
    ends(line, kind, ALERT_RETRIED, result);
}

/* The addresses of its host are there. False: not yet, or it has failed. */
static bool way_found(struct alert_line *line, enum alert_way_kind kind, uint64_t now_ns) {
    struct alert_way *way = &line->ways[kind];
    struct alert_result result;
    char problem[NAMES_PROBLEM_MAX], text[2 * NAMES_PROBLEM_MAX];
    if (!way->place.is_name)
        return true;
    if (way->looks_ns == 0)
        way->looks_ns = now_ns;
    enum alert_found found =
        alert_names_get(&line->names, way->name, now_ns, way->addresses, problem);
    bool waits = now_ns - way->looks_ns < ALERT_LOOK_UP_NS;
    if (found == ALERT_FOUND || (found == ALERT_LOOKING && !waits && way->addresses[0] != '\0'))
        return true;
    if (found == ALERT_LOOKING && waits)
        return false;
    snprintf(text, sizeof(text), "its host cannot be looked up: %s",
             found == ALERT_LOOKING ? "name servers do not answer in time" : problem);
    result_plain(&result, text,
                 "see that the host exists (getent hosts HOST) and that name servers answer");
    way_failed(line, kind, &result, now_ns);
    return false;
}

static void way_begin(struct alert_line *line, enum alert_way_kind kind, uint64_t now_ns) {
    struct alert_way *way = &line->ways[kind];
    struct alert_result result;
    if (!way_found(line, kind, now_ns))
        return;
    struct builder content = builder_over(way->content, sizeof(way->content));
    struct alert_parcel parcel = {.place = &way->place,
                                  .addresses = way->place.is_name ? way->addresses : NULL};
    if (kind == ALERT_WAY_URL) {
        parcel.url = line->url;
        alert_json_write(&content, &line->teller, &way->queue[way->first]);
    } else {
        parcel.smtp = &line->smtp;
        parcel.host = line->host;
        parcel.from = line->from;
        parcel.to = line->letter.to;
        parcel.to_count = line->letter.to_count;
        line->letter.wall_ms = clock_wall_ms();
        line->letter.number++;
        alert_mail_write(&content, &line->teller, &way->queue[way->first], &line->letter);
    }
    parcel.content = builder_span(&content);
    way->looks_ns = 0;
    way->under_way = alert_send_begin(&line->sender, kind, &parcel);
    if (way->under_way)
        return;
    result_plain(&result, "no memory for it", "give the machine or the container more memory");
    way_failed(line, kind, &result, now_ns);
}

void alert_line_put(struct alert_line *line, const struct alert_notice *notice) {
    static const struct alert_result none = {.problem = "too many alerts wait",
                                             .remedy = "see why earlier ones are not taken"};
    for (unsigned kind = 0; kind < ALERT_WAYS; kind++) {
        struct alert_way *way = &line->ways[kind];
        if (!way->is_on)
            continue;
        if (way->count == ALERT_QUEUE && !way->under_way) {
            ends(line, (enum alert_way_kind)kind, ALERT_DROPPED, &none);
        } else if (way->count == ALERT_QUEUE) { /* the first is under way: the one behind it */
            struct alert_notice dropped = way->queue[(way->first + 1) % ALERT_QUEUE];
            for (unsigned i = 1; i + 1 < way->count; i++)
                way->queue[(way->first + i) % ALERT_QUEUE] =
                    way->queue[(way->first + i + 1) % ALERT_QUEUE];
            way->count--;
            line->on_end(line->user, (enum alert_way_kind)kind, &dropped, ALERT_DROPPED, &none);
        }
        way->queue[(way->first + way->count++) % ALERT_QUEUE] = *notice;
    }
}

static void way_work(struct alert_line *line, enum alert_way_kind kind, uint64_t now_ns) {
    struct alert_way *way = &line->ways[kind];
    struct alert_result result;
    if (way->under_way && alert_send_ended(&line->sender, kind, &result)) {
        way->under_way = false;
        if (result.sent)
            ends(line, kind, ALERT_SENT, &result);
        else
            way_failed(line, kind, &result, now_ns);
    }
    if (!way->under_way && way->count != 0 && now_ns >= way->next_ns)
        way_begin(line, kind, now_ns);
}

void alert_line_work(struct alert_line *line, uint64_t now_ns) {
    if (alert_line_is_busy(line))
        alert_send_work(&line->sender);
    for (unsigned kind = 0; kind < ALERT_WAYS; kind++)
        way_work(line, (enum alert_way_kind)kind, now_ns);
}

uint64_t alert_line_due_ns(const struct alert_line *line, uint64_t now_ns) {
    uint64_t due_ns = CLOCK_NEVER;
    for (unsigned kind = 0; kind < ALERT_WAYS; kind++) {
        const struct alert_way *way = &line->ways[kind];
        uint64_t at_ns = way->looks_ns != 0 ? now_ns + LOOK_NS : way->next_ns;
        if (way->count != 0 && !way->under_way && at_ns < due_ns)
            due_ns = at_ns;
    }
    return due_ns;
}

bool alert_line_is_busy(const struct alert_line *line) {
    return line->ways[ALERT_WAY_URL].under_way || line->ways[ALERT_WAY_MAIL].under_way;
}

unsigned alert_line_waiting(const struct alert_line *line) {
    return line->ways[ALERT_WAY_URL].count + line->ways[ALERT_WAY_MAIL].count;
}

void alert_line_fini(struct alert_line *line) {
    static const struct alert_result none = {.problem = "the node ends",
                                             .remedy = "none: look at the log"};
    for (unsigned kind = 0; kind < ALERT_WAYS; kind++)
        while (line->ways[kind].count != 0)
            ends(line, (enum alert_way_kind)kind, ALERT_DROPPED, &none);
    if (!line->ready)
        return;
    line->ready = false;
    alert_send_fini(&line->sender);
    alert_names_end(&line->names);
}
