/* cli_audit.c - `ringpost audit`: does a running node's ledger balance?
 *
 * Every message that reaches a session makes one copy, and each copy is sent, waiting, or dropped
 * for one reason; every message that is to be acknowledged is, for each client id, acked, pending,
 * expired, or dropped for one reason. GET /v1/stats tells that for each worker as it was between
 * two of its steps, so it must balance exactly, also under load. Classes and reasons are taken as
 * the node names them: one that is newer than this command is added up like the rest. Deliveries
 * of queues are told by their port in the same way, at the end of one of its turns. */
#include "main/cli/answer.h"
#include "main/cli/cli.h"
#include "main/cli/http_client.h"
#include "main/terminal.h"
#include "proto/text/json.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#define COMMAND "audit"
#define CALL_TIMEOUT_S 10
#define CLASSES_MAX (GRID_COLUMNS_MAX - 1)
#define REASONS_MAX 32
#define AUDITED_MAX 1024
#define WORD_MAX 24 /* with an indent it fits a cell */
#define QUEUES_MAX 64

static const char help[] =
    "ringpost audit - check that a running node accounts for every message\n"
    "\n"
    "Usage: ringpost audit [--api ADDR:PORT] [--api-key KEY]\n"
    "\n"
    "Examples:\n"
    "  ringpost audit\n"
    "  RINGPOST_API_KEY=... ringpost audit --api 10.0.0.5:8081\n"
    "\n"
    "Options:\n"
    "  --api ADDR:PORT      the api listener; RINGPOST_API or " CLI_API_DEFAULT " if absent\n"
    "  --api-key KEY        its key; better in RINGPOST_API_KEY, where others cannot see it\n"
    "\n"
    "A message makes one copy for each session that it reaches. In every worker and every class\n"
    "the copies made must equal the copies sent, waiting, and dropped for a reason. Messages that\n"
    "are to be acknowledged are counted for each client id: those accepted must equal those\n"
    "acked, pending, expired, and dropped for a reason. The node may be under load: each worker\n"
    "reads its counts in one moment. Deliveries of each queue of RabbitMQ must equal those\n"
    "acknowledged, refused, rejected, abandoned, held and under way.\n"
    "Exit status: 0 balanced, 1 not balanced or no answer from the node, 2 bad usage.\n";

/* Words in the order in which they were met. */
struct words {
    unsigned count;
    char at[REASONS_MAX][WORD_MAX];
};

/* The copies of one class; or messages that are to be acknowledged, by their client ids: accepted
 * (made), acked (sent), pending (waiting), expired, dropped. */
struct page {
    uint64_t made, sent, waiting, expired, dropped[REASONS_MAX];
};

struct ledger {
    struct page pages[CLASSES_MAX];
};

struct audit {
    struct words classes, reasons;
    bool messages[CLASSES_MAX];  /* the pages of that class are no copies */
    struct ledger node;          /* as the node says */
    struct ledger sum;           /* of the workers */
    bool uncounted[CLASSES_MAX]; /* a sum that is more than can be counted */
    unsigned workers;
    unsigned wrong; /* pages that do not balance, or differ from the sum */
    unsigned queues;
    uint64_t deliveries;
};

/* The place of a word, added if it is new; -1: it is none, or there are too many. */
static int word_place(struct words *words, unsigned max, struct span inside) {
    char text[WORD_MAX];
    if (inside.len == 0 || inside.len >= WORD_MAX)
        return -1;
    for (size_t i = 0; i < inside.len; i++) {
        if (!islower((unsigned char)inside.at[i]) && !isdigit((unsigned char)inside.at[i]) &&
            inside.at[i] != '_')
            return -1;
        text[i] = inside.at[i];
    }
    text[inside.len] = '\0';
    for (unsigned n = 0; n < words->count; n++)
        if (strcmp(words->at[n], text) == 0)
            return (int)n;
    if (words->count == max)
        return -1;
    memcpy(words->at[words->count], text, inside.len + 1);
    return (int)words->count++;
}

static bool number_read(struct span object, const char *name, uint64_t *value) {
    struct span number = answer_at(object, name);
    return number.len != 0 && isdigit((unsigned char)number.at[0]) && json_u64(number, value);
}

/* `met`: the class was met before, so it is known which of the two its pages are. */
static bool page_read(struct audit *audit, struct span object, unsigned class, bool met,
                      struct page *page) {
    struct json_cursor cursor;
    struct json_value key, value;
    struct span dropped = answer_at(object, "dropped");
    bool messages = answer_at(object, "accepted").len != 0;
    if ((met && messages != audit->messages[class]) ||
        !number_read(object, messages ? "accepted" : "made", &page->made) ||
        !number_read(object, messages ? "acked" : "sent", &page->sent) ||
        !number_read(object, messages ? "pending" : "waiting", &page->waiting) ||
        (messages && !number_read(object, "expired", &page->expired)) || dropped.len == 0 ||
        json_open(&cursor, dropped) != JSON_OBJECT)
        return false;
    audit->messages[class] = messages;
    while (json_object_next(&cursor, &key, &value)) {
        int reason = word_place(&audit->reasons, REASONS_MAX, json_inside(&key));
        if (reason < 0 || value.kind != JSON_NUMBER || !json_u64(value.raw, &page->dropped[reason]))
            return false;
    }
    return true;
}

static bool ledger_read(struct audit *audit, struct span object, struct ledger *ledger) {
    struct json_cursor cursor;
    struct json_value key, value;
    memset(ledger, 0, sizeof(*ledger));
    if (object.len == 0 || json_open(&cursor, object) != JSON_OBJECT)
        return false;
    unsigned pages = 0;
    for (; json_object_next(&cursor, &key, &value); pages++) {
        unsigned known = audit->classes.count;
        int class = word_place(&audit->classes, CLASSES_MAX, json_inside(&key));
        if (class < 0 || value.kind != JSON_OBJECT ||
            !page_read(audit, value.raw, (unsigned)class, (unsigned)class < known,
                       &ledger->pages[class]))
            return false;
    }
    return pages != 0;
}

/* False: the sum is more than can be counted, and *sum is what is left of it. */
static bool count_add(uint64_t *sum, uint64_t count) {
    return !__builtin_add_overflow(*sum, count, sum);
}

static bool page_dropped(const struct page *page, uint64_t *dropped) {
    bool fits = true;
    *dropped = 0;
    for (unsigned n = 0; n < REASONS_MAX; n++)
        fits &= count_add(dropped, page->dropped[n]);
    return fits;
}

/* Says which pages of one worker do not balance. */
static void worker_check(struct audit *audit, unsigned worker, const struct ledger *ledger,
                         FILE *out) {
    for (unsigned class = 0; class < audit->classes.count; class ++) {
        const struct page *page = &ledger->pages[class];
        bool messages = audit->messages[class];
        uint64_t dropped, found = page->sent;
        bool fits = page_dropped(page, &dropped);
        fits &= count_add(&found, page->waiting);
        fits &= count_add(&found, page->expired);
        fits &= count_add(&found, dropped);
        if (fits && found == page->made)
            continue;
        audit->wrong++;
        fprintf(out, "worker %u, %s: ", worker, audit->classes.at[class]);
        if (!fits && messages)
            fprintf(out,
                    "accepted %" PRIu64 ", but the messages acked, pending, expired and dropped "
                    "are more than can be counted\n",
                    page->made);
        else if (!fits)
            fprintf(out,
                    "made %" PRIu64 ", but the copies sent, waiting and dropped are more than can "
                    "be counted\n",
                    page->made);
        else if (messages)
            fprintf(out,
                    "accepted %" PRIu64 ", but acked %" PRIu64 " + pending %" PRIu64
                    " + expired %" PRIu64 " + dropped %" PRIu64 " = %" PRIu64 "\n",
                    page->made, page->sent, page->waiting, page->expired, dropped, found);
        else
            fprintf(out,
                    "made %" PRIu64 ", but sent %" PRIu64 " + waiting %" PRIu64
                    " + dropped %" PRIu64 " = %" PRIu64 "\n",
                    page->made, page->sent, page->waiting, dropped, found);
    }
}

static bool page_add(struct page *sum, const struct page *page) {
    bool fits = count_add(&sum->made, page->made);
    fits &= count_add(&sum->sent, page->sent);
    fits &= count_add(&sum->waiting, page->waiting);
    fits &= count_add(&sum->expired, page->expired);
    for (unsigned n = 0; n < REASONS_MAX; n++)
        fits &= count_add(&sum->dropped[n], page->dropped[n]);
    return fits;
}

static void ledger_add(struct audit *audit, const struct ledger *ledger) {
    for (unsigned class = 0; class < CLASSES_MAX; class ++)
        audit->uncounted[class] |= !page_add(&audit->sum.pages[class], &ledger->pages[class]);
}

/* The node adds its workers up by itself; both sums must be the same. */
static void totals_check(struct audit *audit, FILE *out) {
    for (unsigned class = 0; class < audit->classes.count; class ++) {
        if (!audit->uncounted[class] &&
            memcmp(&audit->sum.pages[class], &audit->node.pages[class], sizeof(struct page)) == 0)
            continue;
        audit->wrong++;
        fprintf(out, "%s: the node's total is not the sum of its workers\n",
                audit->classes.at[class]);
    }
}

/* The parts that the deliveries of a queue are made of. */
static const char *const delivery_parts[] = {"acknowledged", "refused", "rejected",
                                             "abandoned",    "held",    "under_way"};

/* False: it cannot be read. */
static bool queue_check(struct audit *audit, struct span queue, FILE *out) {
    uint64_t deliveries, part, found = 0;
    bool fits = true;
    if (!number_read(queue, "deliveries", &deliveries))
        return false;
    for (size_t i = 0; i < sizeof(delivery_parts) / sizeof(delivery_parts[0]); i++) {
        if (!number_read(queue, delivery_parts[i], &part))
            return false;
        fits &= count_add(&found, part);
    }
    fits &= count_add(&audit->deliveries, deliveries);
    if (fits && found == deliveries)
        return true;
    audit->wrong++;
    fprintf(out, "queue %u: deliveries %" PRIu64 ", but what has become of them is %s%" PRIu64 "\n",
            audit->queues, deliveries, fits ? "" : "more than can be counted: ", found);
    return true;
}

/* Queues that the node consumes; an older node has none. NULL, or why they cannot be checked. */
static const char *queues_check(struct audit *audit, struct span queues, FILE *out) {
    struct json_cursor cursor = answer_elements(queues);
    struct json_value queue;
    for (; queues.len != 0 && json_array_next(&cursor, &queue); audit->queues++)
        if (audit->queues == QUEUES_MAX || !queue_check(audit, queue.raw, out))
            return "its statistics hold books of queues that cannot be read";
    return NULL;
}

/* Reads the statistics and says what is wrong with the ledgers. NULL, or why there is nothing to
 * check. */
static const char *audit_read(struct audit *audit, struct span stats, FILE *out) {
    struct json_cursor workers = answer_elements(answer_at(stats, "workers"));
    struct json_value worker;
    memset(audit, 0, sizeof(*audit));
    if (!ledger_read(audit, answer_at(stats, "ledger"), &audit->node))
        return "its statistics hold no ledger that can be read";
    for (; json_array_next(&workers, &worker); audit->workers++) {
        struct ledger ledger;
        if (audit->workers == AUDITED_MAX)
            return "its statistics name more workers than a node can have";
        if (!ledger_read(audit, answer_at(worker.raw, "ledger"), &ledger))
            return "the statistics of a worker hold no ledger that can be read";
        worker_check(audit, audit->workers, &ledger, out);
        ledger_add(audit, &ledger);
    }
    if (audit->workers == 0)
        return "its statistics name no worker";
    totals_check(audit, out);
    return queues_check(audit, answer_at(stats, "queues"), out);
}

/* --- the tables ------------------------------------------------------------------------------- */

static void row_put(struct grid *grid, const struct audit *audit, bool messages, const char *indent,
                    const char *title, const uint64_t values[CLASSES_MAX]) {
    char(*cells)[GRID_CELL_MAX] = grid_row(grid);
    unsigned column = 0;
    if (cells == NULL)
        return;
    snprintf(cells[column++], GRID_CELL_MAX, "%s%s", indent, title);
    for (unsigned class = 0; class < audit->classes.count; class ++)
        if (audit->messages[class] == messages)
            snprintf(cells[column++], GRID_CELL_MAX, "%" PRIu64, values[class]);
}

/* The classes of copies, or those of messages. */
static void table_print(const struct audit *audit, bool messages, FILE *out) {
    static struct grid grid;
    char upper[CLASSES_MAX][WORD_MAX];
    const char *titles[GRID_COLUMNS_MAX] = {messages ? "MESSAGES" : "COPIES"};
    unsigned columns = 1;
    uint64_t made[CLASSES_MAX], sent[CLASSES_MAX], waiting[CLASSES_MAX], expired[CLASSES_MAX],
        dropped[CLASSES_MAX];
    for (unsigned class = 0; class < audit->classes.count; class ++) {
        const struct page *page = &audit->sum.pages[class];
        for (unsigned n = 0; n < WORD_MAX; n++)
            upper[class][n] = (char)toupper((unsigned char)audit->classes.at[class][n]);
        if (audit->messages[class] == messages)
            titles[columns++] = upper[class];
        made[class] = page->made;
        sent[class] = page->sent;
        waiting[class] = page->waiting;
        expired[class] = page->expired;
        page_dropped(page, &dropped[class]);
    }
    grid_init(&grid, columns, titles);
    row_put(&grid, audit, messages, "", messages ? "accepted" : "made", made);
    row_put(&grid, audit, messages, "", messages ? "acked" : "sent", sent);
    row_put(&grid, audit, messages, "", messages ? "pending" : "waiting", waiting);
    if (messages)
        row_put(&grid, audit, messages, "", "expired", expired);
    row_put(&grid, audit, messages, "", "dropped", dropped);
    for (unsigned n = 0; n < audit->reasons.count; n++) {
        bool any = false;
        for (unsigned class = 0; class < audit->classes.count; class ++) {
            dropped[class] = audit->sum.pages[class].dropped[n];
            any |= audit->messages[class] == messages && dropped[class] != 0;
        }
        if (any)
            row_put(&grid, audit, messages, "  ", audit->reasons.at[n], dropped);
    }
    grid_print(&grid, out, "\n");
}

static void audit_print(const struct audit *audit, FILE *out) {
    bool any[2] = {false, false};
    for (unsigned class = 0; class < audit->classes.count; class ++)
        any[audit->messages[class]] = true;
    if (any[false])
        table_print(audit, false, out);
    if (any[false] && any[true])
        fputc('\n', out);
    if (any[true])
        table_print(audit, true, out);
    if (audit->wrong == 0)
        fprintf(out, "\nbalanced: %s%s%s in each of %u workers\n",
                any[false] ? "made = sent + waiting + dropped" : "",
                any[false] && any[true] ? ", accepted = "
                : any[true]             ? "accepted = "
                                        : "",
                any[true] ? "acked + pending + expired + dropped" : "", audit->workers);
    if (audit->wrong == 0 && audit->queues != 0)
        fprintf(out,
                "balanced: %" PRIu64
                " deliveries of %u queue%s = acknowledged + refused + rejected "
                "+ abandoned + held + under way\n",
                audit->deliveries, audit->queues, audit->queues == 1 ? "" : "s");
}

/* --- the command ------------------------------------------------------------------------------ */

static int run(const char *api, const char *key) {
    static struct audit audit;
    struct http_call call = {.server = api,
                             .key = key,
                             .method = "GET",
                             .target = "/v1/stats",
                             .timeout_ns = CALL_TIMEOUT_S * UINT64_C(1000000000),
                             .stop_fd = -1};
    struct http_outcome outcome;
    struct span stats;
    int status = cli_stats(COMMAND, &call, &outcome, &stats);
    if (status == CLI_DONE) {
        const char *problem = audit_read(&audit, stats, stdout);
        if (problem != NULL) {
            status = cli_failed(COMMAND, "%s: %s", api, problem);
        } else {
            audit_print(&audit, stdout);
            if (audit.wrong != 0)
                status = cli_failed(COMMAND, "the ledger does not balance");
        }
    }
    http_client_free(&outcome);
    return status;
}

int cli_audit(int argc, char **argv) {
    const char *api = NULL, *api_key = NULL, *key = NULL;
    char key_room[CLI_KEY_MAX], api_room[CLI_ADDRESS_MAX];
    const struct cli_flag flags[] = {
        {.name = "api", .value = "ADDR:PORT", .text = &api},
        {.name = "api-key", .value = "KEY", .text = &api_key},
        {.name = NULL},
    };
    int status = cli_read(COMMAND, argc, argv, flags, NULL);
    if (status < 0) {
        fputs(help, stdout);
        return CLI_DONE;
    }
    if (status == CLI_DONE)
        status = cli_api(COMMAND, &api, api_room);
    if (status == CLI_DONE)
        status = cli_key(COMMAND, api_key, key_room, &key);
    return status == CLI_DONE ? run(api, key) : status;
}
