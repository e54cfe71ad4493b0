/* cli_top.c - `ringpost top`: a node's statistics, again and again. */
#include "core/base/clock.h"
#include "main/answer.h"
#include "main/cli.h"
#include "main/http_client.h"
#include "main/stop.h"
#include "main/terminal.h"

#include <stdio.h>

#define COMMAND "top"
#define CALL_TIMEOUT_NS (10 * NS_PER_S)
#define WORD_MAX 160
#define LISTENERS_SHOWN_MAX 64

static const char help[] =
    "ringpost top - watch a node at work\n"
    "\n"
    "Usage: ringpost top [--once] [OPTION]...\n"
    "\n"
    "Examples:\n"
    "  ringpost top\n"
    "  ringpost top --once\n"
    "  RINGPOST_API_KEY=... ringpost top --api 10.0.0.5:8081 --interval 5\n"
    "\n"
    "Options:\n"
    "  --api ADDR:PORT      the api listener; RINGPOST_API or " CLI_API_DEFAULT " if absent\n"
    "  --api-key KEY        its key; better in RINGPOST_API_KEY, where others cannot see it\n"
    "  --interval SECONDS   between two looks; 2 if absent, at least 0.1\n"
    "  --once               one look; the rates are then the averages since the node's start\n"
    "\n"
    "Rates are per second. MAILS/MSG is how many mails between workers one message took; BUSY how\n"
    "much of its time a worker spent working. A - stands for what the node does not tell.\n"
    "Ctrl-C ends it. Exit status: 0 ended as asked, 1 the node cannot be asked, 2 bad usage.\n";

/* What is counted, of the node and of each worker. */
enum counter { ACCEPTED, DELIVERED, DROPPED, MAILS, COUNTERS };
static const char *const counter_names[COUNTERS] = {"accepted", "delivered", "dropped", "mails"};

#define SOURCES_MAX 65 /* the node and its workers */

struct look {
    uint64_t at_ns;
    char run[64];                           /* another run id: the node was started anew */
    double counters[SOURCES_MAX][COUNTERS]; /* below 0: not told */
};

struct top {
    const char *api, *api_key, *key;
    double interval;
    bool once;
    char key_room[CLI_KEY_MAX], api_room[CLI_ADDRESS_MAX];
    int stop_fd;
    struct look last;
    bool has_last;
};

/* 999, 12.3k, 4.56M: at most five bytes. */
static void short_number(char *text, size_t cap, double value) {
    static const char units[] = " kMGTP";
    unsigned unit = 0;
    for (; value >= 999.5 && unit < 5; unit++)
        value /= 1000;
    if (unit == 0)
        snprintf(text, cap, value < 10 && value != (double)(int)value ? "%.1f" : "%.0f", value);
    else
        snprintf(text, cap, "%.3g%c", value, units[unit]);
}

static void put_number(char cell[GRID_CELL_MAX], struct span object, const char *path) {
    double value;
    if (answer_number(answer_at(object, path), &value) && value >= 0)
        short_number(cell, GRID_CELL_MAX, value);
    else
        snprintf(cell, GRID_CELL_MAX, "-");
}

static void put_bytes(char cell[GRID_CELL_MAX], struct span object, const char *path) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value;
    unsigned unit = 0;
    if (!answer_number(answer_at(object, path), &value) || value < 0) {
        snprintf(cell, GRID_CELL_MAX, "-");
        return;
    }
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    snprintf(cell, GRID_CELL_MAX, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

/* How fast a counter of a source grew since the last look, or since the start; below 0: not known.
 */
static double rate(const struct top *top, const struct look *now, unsigned source,
                   enum counter counter, double uptime_s) {
    double value = now->counters[source][counter], before = 0, seconds = uptime_s;
    if (top->has_last && strcmp(top->last.run, now->run) == 0) {
        before = top->last.counters[source][counter];
        seconds = (double)(now->at_ns - top->last.at_ns) / 1e9;
    }
    return value < 0 || before < 0 || value < before || seconds <= 0 ? -1
                                                                     : (value - before) / seconds;
}

static void put_rate(char cell[GRID_CELL_MAX], double per_second) {
    if (per_second < 0)
        snprintf(cell, GRID_CELL_MAX, "-");
    else
        short_number(cell, GRID_CELL_MAX, per_second);
}

static void read_counters(struct look *look, unsigned source, struct span object) {
    for (unsigned n = 0; n < COUNTERS; n++)
        if (!answer_number(answer_at(object, counter_names[n]), &look->counters[source][n]))
            look->counters[source][n] = -1;
}

static void fill_row(char (*cells)[GRID_CELL_MAX], const struct top *top, const struct look *now,
                     unsigned source, struct span object, double uptime_s) {
    put_number(cells[1], object, "connections");
    put_number(cells[2], object, "sessions");
    double rates[COUNTERS];
    for (unsigned n = 0; n < COUNTERS; n++) {
        rates[n] = rate(top, now, source, (enum counter)n, uptime_s);
        if (n != MAILS)
            put_rate(cells[3 + n], rates[n]);
    }
    put_rate(cells[6],
             rates[MAILS] < 0 || rates[ACCEPTED] <= 0 ? -1 : rates[MAILS] / rates[ACCEPTED]);
    put_bytes(cells[7], object, "memory_bytes");
    double busy;
    if (answer_number(answer_at(object, "busy_ratio"), &busy) && busy >= 0)
        snprintf(cells[8], GRID_CELL_MAX, "%.0f%%", busy * 100);
    else
        snprintf(cells[8], GRID_CELL_MAX, source == 0 ? "" : "-");
}

static void print_word(struct span stats, const char *label, const char *path) {
    char text[WORD_MAX];
    printf("%s", label);
    if (answer_text(answer_at(stats, path), text, sizeof(text)))
        terminal_print(stdout, span_text(text), 60);
    else
        fputc('-', stdout);
}

/* Uptime as people say it. */
static void print_uptime(double seconds) {
    unsigned long whole = seconds < 1e12 ? (unsigned long)seconds : 0;
    if (whole >= 86400)
        printf("up %lud%luh", whole / 86400, whole % 86400 / 3600);
    else if (whole >= 3600)
        printf("up %luh%lum", whole / 3600, whole % 3600 / 60);
    else
        printf("up %lum%lus", whole / 60, whole % 60);
}

static void print_head(const struct top *top, struct span stats, double uptime_s, const char *end) {
    fputs(terminal_paint(stdout, PAINT_BOLD), stdout);
    print_word(stats, "ringpost ", "version");
    print_word(stats, "  node ", "node");
    fputs(terminal_paint(stdout, PAINT_NONE), stdout);
    print_word(stats, "  run ", "run");
    fputs("  ", stdout);
    print_uptime(uptime_s);
    if (span_equal(answer_at(stats, "draining"), SPAN("true")))
        printf("  %sdraining%s", terminal_paint(stdout, PAINT_BAD),
               terminal_paint(stdout, PAINT_NONE));
    printf("  (%s)%s%s", top->has_last ? "rates of the last interval" : "rates since the start",
           end, end);
}

static void print_listeners(struct span stats, const char *end) {
    struct json_cursor listeners = answer_elements(answer_at(stats, "listeners"));
    struct json_value one;
    unsigned shown = 0;
    char kind[WORD_MAX], address[WORD_MAX];
    double accepted;
    while (shown < LISTENERS_SHOWN_MAX && json_array_next(&listeners, &one)) {
        if (!answer_text(answer_at(one.raw, "kind"), kind, sizeof(kind)) ||
            !answer_text(answer_at(one.raw, "address"), address, sizeof(address)))
            continue;
        fputs(shown++ == 0 ? "listeners: " : ", ", stdout);
        terminal_print(stdout, span_text(kind), 16);
        fputc(' ', stdout);
        terminal_print(stdout, span_text(address), 60);
        if (answer_number(answer_at(one.raw, "accepted"), &accepted))
            printf(" (%.0f accepted)", accepted);
    }
    if (shown != 0)
        fputs(end, stdout);
}

static void print_stats(struct top *top, struct span stats) {
    static const char *const titles[] = {"WORKER",     "CONNS",       "SESSIONS",
                                         "ACCEPTED/S", "DELIVERED/S", "DROPPED/S",
                                         "MAILS/MSG",  "MEMORY",      "BUSY"};
    static struct grid grid;
    static struct look now;
    bool screen = !top->once && terminal_is(stdout);
    const char *end = screen ? "\x1b[K\n" : "\n";
    double uptime_s = 0;
    now.at_ns = clock_ns();
    now.run[0] = '\0';
    answer_text(answer_at(stats, "run"), now.run, sizeof(now.run));
    answer_number(answer_at(stats, "uptime_s"), &uptime_s);

    if (screen)
        fputs(top->has_last ? "\x1b[H" : "\x1b[H\x1b[2J", stdout);
    print_head(top, stats, uptime_s, end);
    grid_init(&grid, 9, titles);
    struct span totals = answer_at(stats, "totals");
    struct json_cursor workers = answer_elements(answer_at(stats, "workers"));
    struct json_value one;
    read_counters(&now, 0, totals);
    char(*cells)[GRID_CELL_MAX] = grid_row(&grid);
    snprintf(cells[0], GRID_CELL_MAX, "all");
    fill_row(cells, top, &now, 0, totals, uptime_s);
    for (unsigned source = 1; source < SOURCES_MAX && json_array_next(&workers, &one); source++) {
        struct span worker = one.raw;
        double number = 0, cpu;
        read_counters(&now, source, worker);
        if ((cells = grid_row(&grid)) == NULL)
            break;
        answer_number(answer_at(worker, "worker"), &number);
        if (answer_number(answer_at(worker, "cpu"), &cpu) && cpu >= 0)
            snprintf(cells[0], GRID_CELL_MAX, "%.0f (cpu %.0f)", number, cpu);
        else
            snprintf(cells[0], GRID_CELL_MAX, "%.0f", number);
        fill_row(cells, top, &now, source, worker, uptime_s);
    }
    grid_print(&grid, stdout, end);
    fputs(end, stdout);
    print_listeners(stats, end);
    fputs(screen ? "\x1b[J" : "", stdout);
    fflush(stdout);
    top->last = now;
    top->has_last = true;
}

/* Asks once and prints; CLI_DONE, CLI_FAILED after saying why, or -1 when it was stopped. */
static int look_once(struct top *top) {
    struct http_call call = {.server = top->api,
                             .key = top->key,
                             .method = "GET",
                             .target = "/v1/stats",
                             .timeout_ns = CALL_TIMEOUT_NS,
                             .stop_fd = top->stop_fd};
    struct http_outcome outcome;
    struct span stats;
    int status = cli_stats(COMMAND, &call, &outcome, &stats);
    if (status == CLI_DONE)
        print_stats(top, stats);
    http_client_free(&outcome);
    return status;
}

int cli_top(int argc, char **argv) {
    static struct top top;
    const char *tcp = NULL;
    top = (struct top){.interval = 2};
    const struct cli_flag flags[] = {
        {.name = "api", .value = "ADDR:PORT", .text = &top.api},
        {.name = "tcp", .value = "ADDR:PORT", .text = &tcp},
        {.name = "api-key", .value = "KEY", .text = &top.api_key},
        {.name = "interval", .value = "SECONDS", .number = &top.interval},
        {.name = "once", .on = &top.once},
        {.name = NULL},
    };
    int status = cli_read(COMMAND, argc, argv, flags, NULL);
    if (status < 0) {
        fputs(help, stdout);
        return CLI_DONE;
    }
    if (status == CLI_DONE && !(top.interval >= 0.1 && top.interval <= 86400))
        status = cli_usage(COMMAND, "--interval is 0.1 to 86400 seconds");
    if (status == CLI_DONE && tcp != NULL)
        status = cli_usage(COMMAND, "a tcp listener has no statistics: give the node's --api");
    if (status == CLI_DONE)
        status = cli_api(COMMAND, &top.api, top.api_room);
    if (status == CLI_DONE)
        status = cli_key(COMMAND, top.api_key, top.key_room, &top.key);
    if (status != CLI_DONE)
        return status;
    top.stop_fd = stop_open();
    for (;;) {
        dial_progress(top.api);
        status = look_once(&top);
        if (status != CLI_DONE || top.once)
            break;
        dial_progress(NULL);
        uint64_t next_ns = clock_ns() + (uint64_t)(top.interval * 1e9);
        if (dial_wait(-1, 0, next_ns, top.stop_fd) == DIAL_STOPPED)
            break;
        if (!terminal_is(stdout))
            fputc('\n', stdout);
    }
    return status < 0 ? CLI_DONE : status;
}
