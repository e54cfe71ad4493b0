/* sio_text.h - text as polling clients of Engine.IO 3 take and give it.
 *
 * In a payload of text clients 1.x encode each packet in UTF-8 twice, and expect the same; clients
 * 2.x do so once. Nothing tells one from the other, so what is written to them holds ASCII alone,
 * which is the same either way: JSON has an escape for every character. What they write is taken
 * for encoded twice if it can be, until a text shows that the client does not.
 *
 * Threads: any (pure functions). */
#ifndef RINGPOST_PROTO_WEB_SIO_SIO_TEXT_H
#define RINGPOST_PROTO_WEB_SIO_SIO_TEXT_H

#include "core/base/builder.h"
#include "core/base/span.h"

/* Copies JSON that is valid UTF-8; what is not ASCII, and so within a string, is written as \uXXXX.
 */
void sio_ascii_write(struct builder *out, struct span json);
/* How long that makes it; the same as it was, if all is ASCII. */
size_t sio_ascii_len(struct span json);

enum sio_twice {
    SIO_TWICE_NEITHER, /* all is ASCII: it is the same */
    SIO_TWICE_MAYBE,   /* each character is a byte, and together they are UTF-8 */
    SIO_TWICE_NO
};
/* Was a text, valid UTF-8, encoded twice? */
enum sio_twice sio_twice_look(struct span text);
/* Decodes one of the kind MAYBE; `out` has room for as many bytes as it has. */
void sio_twice_decode(struct builder *out, struct span text);

#endif
