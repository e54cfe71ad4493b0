/* top_view.c - see top_view.h. */
#include "main/cli/top_view.h"

#include "core/base/clock.h"
#include "main/cli/answer.h"
#include "main/terminal.h"

#include <stdio.h>

#define WORD_MAX 160
#define ID_COLUMNS 40

static const char *const counter_names[TOP_COUNTERS] = {
    [TOP_ACCEPTED] = "accepted",
    [TOP_DELIVERED] = "delivered",
    [TOP_DROPPED] = "dropped",
    [TOP_REFUSED] = "refused",
    [TOP_CONNECTIONS_REFUSED] = "connections_refused",
    [TOP_MAILS] = "mails",
};

static const char *line_end(const struct top_view *view) {
    return view->screen ? "\x1b[K\n" : "\n";
}

/* --- cells ------------------------------------------------------------------------------------ */

static void put_number(char cell[GRID_CELL_MAX], double value) {
    if (value < 0)
        snprintf(cell, GRID_CELL_MAX, "-");
    else
        snprintf(cell, GRID_CELL_MAX, "%.0f", value);
}

static void put_rate(char cell[GRID_CELL_MAX], double per_second) {
    if (per_second < 0)
        snprintf(cell, GRID_CELL_MAX, "-");
    else
        snprintf(cell, GRID_CELL_MAX, per_second < 100 ? "%.1f" : "%.0f", per_second);
}

static void put_bytes(char cell[GRID_CELL_MAX], double value) {
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    unsigned unit = 0;
    if (value < 0) {
        snprintf(cell, GRID_CELL_MAX, "-");
        return;
    }
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    snprintf(cell, GRID_CELL_MAX, unit == 0 ? "%.0f %s" : "%.1f %s", value, units[unit]);
}

static void put_seconds(char cell[GRID_CELL_MAX], double seconds) {
    if (seconds < 0)
        snprintf(cell, GRID_CELL_MAX, "-");
    else
        snprintf(cell, GRID_CELL_MAX, "%.1f s", seconds);
}

/* A number of the node; below 0: it does not tell. */
static double told(struct span object, const char *path) {
    double value;
    return answer_number(answer_at(object, path), &value) && value >= 0 ? value : -1;
}

/* --- rates ------------------------------------------------------------------------------------ */

static void read_counters(struct top_look *look, unsigned source, struct span object) {
    for (unsigned n = 0; n < TOP_COUNTERS; n++)
        look->counters[source][n] = told(object, counter_names[n]);
}

/* How fast a counter of a source grew since the last look, or since the start; below 0: not known.
 */
static double rate(const struct top_view *view, const struct top_look *now, unsigned source,
                   enum top_counter counter, double uptime_s) {
    double value = now->counters[source][counter], before = 0, seconds = uptime_s;
    if (view->has_last && strcmp(view->last.run, now->run) == 0) {
        before = view->last.counters[source][counter];
        seconds = (double)(now->at_ns - view->last.at_ns) / 1e9;
    }
    return value < 0 || before < 0 || value < before || seconds <= 0 ? -1
                                                                     : (value - before) / seconds;
}

/* --- the parts -------------------------------------------------------------------------------- */

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
    unsigned long whole = seconds > 0 && seconds < 1e12 ? (unsigned long)seconds : 0;
    if (whole >= 86400)
        printf("  up %lud%luh", whole / 86400, whole % 86400 / 3600);
    else if (whole >= 3600)
        printf("  up %luh%lum", whole / 3600, whole % 3600 / 60);
    else
        printf("  up %lum%lus", whole / 60, whole % 60);
}

static void print_head(const struct top_view *view, struct span stats, double uptime_s) {
    fputs(terminal_paint(stdout, PAINT_BOLD), stdout);
    print_word(stats, "ringpost ", "version");
    print_word(stats, "  node ", "node");
    fputs(terminal_paint(stdout, PAINT_NONE), stdout);
    print_uptime(uptime_s);
    if (span_equal(answer_at(stats, "draining"), SPAN("true")))
        printf("  %sdraining%s", terminal_paint(stdout, PAINT_BAD),
               terminal_paint(stdout, PAINT_NONE));
    printf("%s%s%s", view->keys ? "  (q quits)" : "", line_end(view), line_end(view));
}

static void print_messages(const struct top_view *view, const struct top_look *now,
                           double uptime_s) {
    static const char *const titles[] = {"MESSAGES", "TOTAL", "PER SECOND"};
    static const char *const words[] = {"accepted", "delivered (copies)", "dropped (copies)",
                                        "refused", "connections refused"};
    static struct grid grid;
    grid_init(&grid, 3, titles);
    if (!view->has_last)
        snprintf(grid.cells[0][2], GRID_CELL_MAX, "PER SECOND SINCE START");
    for (unsigned n = TOP_ACCEPTED; n <= TOP_CONNECTIONS_REFUSED; n++) {
        char(*cells)[GRID_CELL_MAX] = grid_row(&grid);
        snprintf(cells[0], GRID_CELL_MAX, "%s", words[n]);
        put_number(cells[1], now->counters[0][n]);
        put_rate(cells[2], rate(view, now, 0, (enum top_counter)n, uptime_s));
    }
    grid_print(&grid, stdout, line_end(view));
    fputs(line_end(view), stdout);
}

/* How long the oldest message waits for its acknowledgement, of all workers; below 0: not told. */
static double oldest(struct span stats) {
    struct json_cursor workers = answer_elements(answer_at(stats, "workers"));
    struct json_value one;
    double most = -1;
    for (unsigned n = 0; n < TOP_WORKERS_MAX && json_array_next(&workers, &one); n++) {
        double seconds = told(one.raw, "ack_oldest_s");
        most = seconds > most ? seconds : most;
    }
    return most;
}

static void print_use(const struct top_view *view, struct span stats, struct span totals) {
    static const char *const titles[] = {"IN USE", "NOW", "AT MOST"};
    static struct grid grid;
    grid_init(&grid, 3, titles);
    char(*cells)[GRID_CELL_MAX] = grid_row(&grid);
    snprintf(cells[0], GRID_CELL_MAX, "connections");
    put_number(cells[1], told(totals, "connections"));
    put_number(cells[2], told(totals, "connections_max"));
    cells = grid_row(&grid);
    snprintf(cells[0], GRID_CELL_MAX, "sessions");
    put_number(cells[1], told(totals, "sessions"));
    cells = grid_row(&grid);
    snprintf(cells[0], GRID_CELL_MAX, "memory");
    put_bytes(cells[1], told(totals, "memory_bytes"));
    put_bytes(cells[2], told(totals, "memory_ceiling_bytes"));
    cells = grid_row(&grid);
    snprintf(cells[0], GRID_CELL_MAX, "waiting copies");
    put_number(cells[1], told(totals, "waiting"));
    cells = grid_row(&grid);
    snprintf(cells[0], GRID_CELL_MAX, "queued bytes");
    put_number(cells[1], told(totals, "outbox_bytes"));
    cells = grid_row(&grid);
    snprintf(cells[0], GRID_CELL_MAX, "pending (ack)");
    put_number(cells[1], told(totals, "ack_pending"));
    cells = grid_row(&grid);
    snprintf(cells[0], GRID_CELL_MAX, "oldest pending");
    put_seconds(cells[1], oldest(stats));
    grid_print(&grid, stdout, line_end(view));
    fputs(line_end(view), stdout);
}

static void print_slowest(const struct top_view *view, struct span stats) {
    struct json_cursor sessions = answer_elements(answer_at(stats, "slowest"));
    struct json_value one;
    char text[WORD_MAX];
    unsigned shown = 0;
    for (; shown < TOP_SESSIONS_MAX && json_array_next(&sessions, &one); shown++) {
        if (shown == 0)
            printf("%s%12s  %-*s  %s%s%s", terminal_paint(stdout, PAINT_BOLD), "QUEUED BYTES",
                   ID_COLUMNS, "SLOWEST SESSIONS", "ADDRESS", terminal_paint(stdout, PAINT_NONE),
                   line_end(view));
        printf("%12.0f  ", told(one.raw, "queued_bytes"));
        if (!answer_text(answer_at(one.raw, "id"), text, sizeof(text)))
            snprintf(text, sizeof(text), "(no client id)");
        for (size_t used = terminal_print(stdout, span_text(text), ID_COLUMNS - 3);
             used < ID_COLUMNS + 2; used++)
            fputc(' ', stdout);
        print_word(one.raw, "", "address");
        fputs(line_end(view), stdout);
    }
    if (shown == 0)
        printf("no session has anything queued%s", line_end(view));
}

static void print_workers(const struct top_view *view, struct top_look *now, struct span stats,
                          double uptime_s) {
    static const char *const titles[] = {"WORKER",        "CONNECTIONS", "SESSIONS",
                                         "ACCEPTED/S",    "DELIVERED/S", "DROPPED/S",
                                         "MAILS/MESSAGE", "MEMORY",      "BUSY"};
    static struct grid grid;
    struct json_cursor workers = answer_elements(answer_at(stats, "workers"));
    struct json_value one;
    grid_init(&grid, 9, titles);
    for (unsigned source = 1; source <= TOP_WORKERS_MAX && json_array_next(&workers, &one);
         source++) {
        char(*cells)[GRID_CELL_MAX] = grid_row(&grid);
        double rates[TOP_COUNTERS], busy = told(one.raw, "busy_ratio");
        read_counters(now, source, one.raw);
        for (unsigned n = 0; n < TOP_COUNTERS; n++)
            rates[n] = rate(view, now, source, (enum top_counter)n, uptime_s);
        put_number(cells[0], told(one.raw, "worker"));
        put_number(cells[1], told(one.raw, "connections"));
        put_number(cells[2], told(one.raw, "sessions"));
        put_rate(cells[3], rates[TOP_ACCEPTED]);
        put_rate(cells[4], rates[TOP_DELIVERED]);
        put_rate(cells[5], rates[TOP_DROPPED]);
        put_rate(cells[6], rates[TOP_MAILS] < 0 || rates[TOP_ACCEPTED] <= 0
                               ? -1
                               : rates[TOP_MAILS] / rates[TOP_ACCEPTED]);
        put_bytes(cells[7], told(one.raw, "memory_bytes"));
        snprintf(cells[8], GRID_CELL_MAX, busy < 0 ? "-" : "%.0f%%", busy * 100);
    }
    fputs(line_end(view), stdout);
    grid_print(&grid, stdout, line_end(view));
}

static void print_listeners(const struct top_view *view, struct span stats) {
    struct json_cursor listeners = answer_elements(answer_at(stats, "listeners"));
    struct json_value one;
    fputs(line_end(view), stdout);
    for (unsigned n = 0; n < TOP_LISTENERS_MAX && json_array_next(&listeners, &one); n++) {
        print_word(one.raw, "", "kind");
        print_word(one.raw, " on ", "address");
        printf(": %.0f accepted%s", told(one.raw, "accepted"), line_end(view));
    }
}

void top_view_print(struct top_view *view, struct span stats) {
    static struct top_look now;
    double uptime_s = told(stats, "uptime_s");
    struct span totals = answer_at(stats, "totals");
    now.at_ns = clock_ns();
    now.run[0] = '\0';
    answer_text(answer_at(stats, "run"), now.run, sizeof(now.run));
    read_counters(&now, 0, totals);
    if (view->screen)
        fputs(view->has_last ? "\x1b[H" : "\x1b[H\x1b[2J", stdout);
    print_head(view, stats, uptime_s);
    print_messages(view, &now, uptime_s);
    print_use(view, stats, totals);
    print_slowest(view, stats);
    if (view->workers) {
        print_workers(view, &now, stats, uptime_s);
        print_listeners(view, stats);
    }
    fputs(view->screen ? "\x1b[J" : "", stdout);
    fflush(stdout);
    view->last = now;
    view->has_last = true;
}
