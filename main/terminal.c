/* terminal.c - see terminal.h. */
#include "main/terminal.h"

#include "core/base/printable.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

bool terminal_is(FILE *out) {
    return isatty(fileno(out)) == 1;
}

const char *terminal_paint(FILE *out, enum paint paint) {
    static const char *const sequences[] = {
        [PAINT_NONE] = "\x1b[0m",  [PAINT_DIM] = "\x1b[2m",  [PAINT_BOLD] = "\x1b[1m",
        [PAINT_GOOD] = "\x1b[32m", [PAINT_BAD] = "\x1b[31m", [PAINT_NAME] = "\x1b[36m",
    };
    const char *no_color = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    if (!terminal_is(out) || (no_color != NULL && no_color[0] != '\0') || term == NULL ||
        strcmp(term, "dumb") == 0)
        return "";
    return sequences[paint];
}

size_t terminal_print(FILE *out, struct span text, size_t columns_max) {
    size_t columns = 0;
    while (text.len != 0) {
        char escape[PRINTABLE_ESCAPE_MAX];
        struct span shown = printable_take(&text, escape);
        size_t width = shown.at == escape ? shown.len : 1;
        if (columns_max != 0 && columns + width > columns_max) {
            fputs("...", out);
            return columns + 3;
        }
        fwrite(shown.at, 1, shown.len, out);
        columns += width;
    }
    return columns;
}

void terminal_format(FILE *out, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    terminal_format_list(out, format, arguments);
    va_end(arguments);
}

void terminal_format_list(FILE *out, const char *format, va_list arguments) {
    char text[TERMINAL_FORMAT_MAX];
    int len = vsnprintf(text, sizeof(text), format, arguments);
    terminal_print(out, span_text(len < 0 ? "" : text), 0);
    if (len >= TERMINAL_FORMAT_MAX)
        fputs("...", out);
}

static void print_escape(FILE *out, uint32_t character) {
    char escape[PRINTABLE_ESCAPE_MAX];
    struct span shown = printable_json_escape(character, escape);
    fwrite(shown.at, 1, shown.len, out);
}

void terminal_print_json(FILE *out, struct span text) {
    bool inside = false, escaped = false;
    while (text.len != 0) {
        uint32_t character = 0;
        size_t len = printable_next(text, &character);
        if (len == 0)
            fputs("\\ufffd", out);
        else if (printable(character))
            fwrite(text.at, 1, len, out);
        else if (inside)
            print_escape(out, character);
        else
            fputc(' ', out);
        if (inside && !escaped && character == '\\') {
            escaped = true;
        } else {
            inside ^= !escaped && character == '"';
            escaped = false;
        }
        text = span_skip(text, len == 0 ? 1 : len);
    }
}

void terminal_print_padded(FILE *out, struct span text, size_t columns) {
    for (size_t used = terminal_print(out, text, 0); used < columns; used++)
        fputc(' ', out);
}

void grid_init(struct grid *grid, unsigned columns, const char *const *titles) {
    grid->columns = columns;
    grid->rows = 1;
    for (unsigned n = 0; n < columns; n++)
        snprintf(grid->cells[0][n], GRID_CELL_MAX, "%s", titles[n]);
}

char (*grid_row(struct grid *grid))[GRID_CELL_MAX] {
    if (grid->rows == GRID_ROWS_MAX)
        return NULL;
    for (unsigned n = 0; n < grid->columns; n++)
        grid->cells[grid->rows][n][0] = '\0';
    return grid->cells[grid->rows++];
}

void grid_print(const struct grid *grid, FILE *out, const char *line_end) {
    int widths[GRID_COLUMNS_MAX] = {0};
    for (unsigned row = 0; row < grid->rows; row++)
        for (unsigned n = 0; n < grid->columns; n++)
            if ((int)strlen(grid->cells[row][n]) > widths[n])
                widths[n] = (int)strlen(grid->cells[row][n]);
    for (unsigned row = 0; row < grid->rows; row++) {
        fputs(row == 0 ? terminal_paint(out, PAINT_BOLD) : "", out);
        for (unsigned n = 0; n < grid->columns; n++)
            fprintf(out, n == 0 ? "%-*s" : "  %*s", widths[n], grid->cells[row][n]);
        fputs(row == 0 ? terminal_paint(out, PAINT_NONE) : "", out);
        fputs(line_end, out);
    }
}
