/* terminal.h - kind output for people: colours where they are wanted, bytes made harmless, columns.
 *
 * Colours and cursor movement go only to a terminal, and colours not when NO_COLOR is set or TERM
 * is "dumb". What came over the network, a file or the command line is never printed as it is: what
 * core/base/printable.h forbids, and broken UTF-8, become visible escapes, so a message cannot
 * drive the terminal. That holds whatever the output is, since a pipe may end in a terminal.
 *
 * Threads: one. Owns nothing. */
#ifndef RINGPOST_MAIN_TERMINAL_H
#define RINGPOST_MAIN_TERMINAL_H

#include "core/base/span.h"

#include <stdarg.h>
#include <stdio.h>

enum paint { PAINT_NONE, PAINT_DIM, PAINT_BOLD, PAINT_GOOD, PAINT_BAD, PAINT_NAME };

bool terminal_is(FILE *out);
/* The sequence that begins (or, for PAINT_NONE, ends) a colour; "" where there are none. */
const char *terminal_paint(FILE *out, enum paint paint);
/* Prints the text harmlessly; of a longer one the first `columns_max` columns and "..." (0: all).
 * Returns the columns used. */
size_t terminal_print(FILE *out, struct span text, size_t columns_max);
/* Prints a valid JSON text as one line that means the same: what is not printable becomes \uXXXX in
 * strings, and a blank between tokens. */
void terminal_print_json(FILE *out, struct span text);
/* printf whose result is printed harmlessly, cut after TERMINAL_FORMAT_MAX bytes: for messages that
 * quote something. */
#define TERMINAL_FORMAT_MAX 1024
void terminal_format(FILE *out, const char *format, ...) __attribute__((format(printf, 2, 3)));
void terminal_format_list(FILE *out, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
/* The same as terminal_print, filled up with blanks to `columns`, and never cut. */
void terminal_print_padded(FILE *out, struct span text, size_t columns);

/* A small table: the first column to the left, the others to the right. */
#define GRID_COLUMNS_MAX 12
#define GRID_ROWS_MAX 80
#define GRID_CELL_MAX 28

struct grid {
    unsigned columns, rows; /* rows: the header included */
    char cells[GRID_ROWS_MAX][GRID_COLUMNS_MAX][GRID_CELL_MAX];
};

/* Begins with the header; `titles` has `columns` entries. */
void grid_init(struct grid *grid, unsigned columns, const char *const *titles);
/* A new row of empty cells; NULL when the grid is full. */
char (*grid_row(struct grid *grid))[GRID_CELL_MAX];
/* `line_end` is what ends a line ("\n", or with a sequence that clears the rest of it). */
void grid_print(const struct grid *grid, FILE *out, const char *line_end);

#endif
