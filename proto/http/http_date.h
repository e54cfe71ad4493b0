/* http_date.h - the header line that says when an answer was made.
 *
 * A pure function. Threads: any. */
#ifndef RINGPOST_PROTO_HTTP_HTTP_DATE_H
#define RINGPOST_PROTO_HTTP_HTTP_DATE_H

#include <stdint.h>

#define HTTP_DATE_BYTES 37 /* of the line, its CR LF included; it has no NUL */

/* "Date: Sat, 28 Nov 2026 10:15:00 GMT\r\n" for so many seconds since 1970. */
void http_date_write(uint64_t wall_s, char line[HTTP_DATE_BYTES]);

#endif
