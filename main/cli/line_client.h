/* line_client.h - a client of the tcp listener: JSON lines over one connection.
 *
 * Connects, says hello, hands out the lines that come and answers nothing by itself. The buffer
 * grows with the longest line, up to LINE_CLIENT_LINE_MAX; a longer one ends the connection.
 *
 * Threads: one. Owns: its socket and buffer, until line_client_close. */
#ifndef RINGPOST_MAIN_CLI_LINE_CLIENT_H
#define RINGPOST_MAIN_CLI_LINE_CLIENT_H

#include "main/cli/dial.h"

#define LINE_CLIENT_LINE_MAX (32 * 1024 * 1024)
#define LINE_CLIENT_HELLO_MAX 16384

struct line_client {
    int fd; /* -1: not connected */
    int stop_fd;
    char *buffer;
    size_t cap;
    size_t start; /* of the line that comes next */
    size_t len;   /* received so far */
    size_t seen;  /* looked at for an end of line */
    char why[DIAL_WHY_MAX];
};

void line_client_init(struct line_client *client, int stop_fd);
/* Any result but DIAL_READY leaves it unconnected, with `why`. */
enum dial_end line_client_connect(struct line_client *client, const char *server,
                                  uint64_t deadline_ns);
/* Sends the text and the end of line. */
enum dial_end line_client_send(struct line_client *client, struct span line, uint64_t deadline_ns);
/* The next line without its end, valid until the next call. DIAL_FAILED: the connection is over. */
enum dial_end line_client_receive(struct line_client *client, struct span *line,
                                  uint64_t deadline_ns);
/* Says that nothing more will come, and waits until the server has ended the connection: only then
 * has it read all that was sent, since closing while something unread is here may undo that. Gives
 * up at the deadline, whatever the server says meanwhile; a stop signal does not end it. */
void line_client_leave(struct line_client *client, uint64_t deadline_ns);
/* Closes the connection; it may be connected again. */
void line_client_close(struct line_client *client);
void line_client_fini(struct line_client *client);

/* Writes `{"type":"hello","id":...,"groups":[...]}` into `text`; 0 if it does not fit. `id` may be
 * NULL. */
size_t line_client_hello(char *text, size_t cap, const char *id, const char *const *groups,
                         unsigned group_count);

/* Writes `{"type":"ack","id":...}` into `text` for the message with that id, a JSON string as it
 * came; 0 if it is no id that a server may give. */
#define LINE_CLIENT_ACK_MAX 160
size_t line_client_ack(char text[LINE_CLIENT_ACK_MAX], struct span id);

#endif
