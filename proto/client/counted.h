/* counted.h - the counted framing of TCP clients that would rather not scan JSON.
 *
 * A control line is words with one space between them, ended by CR LF or LF; after SEND and MSG
 * comes a payload of as many bytes as the line says, and again a line end. Message ids, groups and
 * events are percent-encoded words; a ref is a word of 1 to 64 visible ASCII bytes.
 *
 *     counted_cut -> LINE -> counted_parse -> SEND -> payload_bytes -> counted_payload_end -> next
 * line
 *         |-> MORE: wait        |-> others -> next line
 *         |-> TOO_LONG: BAD_FRAME, the end
 *
 * BAD_FRAME when nobody can know any more where the next line begins (a bad count); BAD_MESSAGE for
 * all else. What comes before the line is the session's: skipping empty lines, and what is allowed
 * when.
 *
 * Threads: any (pure functions). Limits: CONTROL_LINE_BYTES_MAX, HELLO_BYTES_MAX for HELLO, both
 * without the line end. */
#ifndef RINGPOST_PROTO_CLIENT_COUNTED_H
#define RINGPOST_PROTO_CLIENT_COUNTED_H

#include "proto/client/line.h"

enum counted_cut { COUNTED_MORE, COUNTED_LINE, COUNTED_TOO_LONG };

/* At most so many bytes, with the end, are ever needed to cut a line. */
#define COUNTED_INPUT_BYTES_MAX (HELLO_BYTES_MAX + 2)

/* Looks for one control line at the front. LINE: `line` is without its end, `used` counts it. */
enum counted_cut counted_cut(struct span bytes, struct span *line, size_t *used);

/* Reads one control line into what line.h has too; HELLO's object with it. False: `complaint`; the
 * ref is there if it could be made out. If the complaint is not BAD_FRAME and line->type is SEND,
 * the payload of payload_bytes still follows and has to be skipped. */
bool counted_parse(struct span text, struct line_scratch *room, struct client_line *line,
                   struct complaint *complaint);

/* The line end after a payload: its length, 1 or 2; 0: too few bytes to tell; -1: there is none. */
int counted_payload_end(struct span bytes);

/* All with their line ends; each at most LINE_ANSWER_BYTES_MAX. */
void counted_welcome(struct builder *out, const struct welcome *welcome);
void counted_ok(struct builder *out, struct span ref);
void counted_sent(struct builder *out, struct span ref, struct span id, const char *state);
/* `ref` may be empty, which is written as `-`. Control bytes and line breaks of any kind
 * in the text become `?`. */
void counted_error(struct builder *out, enum code code, const char *text, struct span ref);
void counted_goodbye(struct builder *out, const char *reason, uint64_t reconnect_ms);
#define COUNTED_PING SPAN("PING\r\n")
#define COUNTED_PONG SPAN("PONG\r\n")

/* A message: head, payload as it is, tail. */
void counted_message_head(struct builder *out, const struct message_label *label,
                          size_t payload_bytes);
void counted_message_tail(struct builder *out);
/* At most so many bytes are written by head and tail. */
size_t counted_message_bound(const struct message_label *label);

#endif
