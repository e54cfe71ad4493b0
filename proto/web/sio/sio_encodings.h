/* sio_encodings.h - a message as a Socket.IO event, in each form in which Engine.IO carries it.
 *
 *     EIO4_SOCKET   <WebSocket head> 42/admin,["event",data]
 *     EIO3_POLL     <length>:42/admin,["event",data]          ... see proto/web/eio/engine.h
 *
 * Sessions that asked for it get a second argument, {"id","group","ack","redelivered"}, each only
 * where it holds. A message that is to be acknowledged asks for a Socket.IO acknowledgement, whose
 * number is the mark of each copy. A payload of bytes is a binary attachment. Line breaks that only
 * some languages know are escaped, and in a payload of text of version 3 all that is not ASCII
 * (sio_text.h).
 *
 * Threads: any (pure functions over sealed messages; core/namespaces.h). */
#ifndef RINGPOST_PROTO_WEB_SIO_SIO_ENCODINGS_H
#define RINGPOST_PROTO_WEB_SIO_SIO_ENCODINGS_H

#include "core/message.h"
#include "proto/web/eio/engine.h"

#define SIO_FORMS (EIO3_POLL_BINARY + 1)
/* Without the second argument; with it; with it, and the message may have been written before. */
enum sio_style { SIO_PLAIN, SIO_META, SIO_META_AGAIN, SIO_STYLES };

/* By form and style; for server_parts. */
extern struct encoding sio_encodings[SIO_FORMS][SIO_STYLES];
#define SIO_ENCODINGS (SIO_FORMS * SIO_STYLES)
/* All of them, behind those that are there already. */
void sio_encodings_add(struct encoding *encodings[ENCODINGS_MAX]);

/* The number that stands in a mark: always MARK_BYTES digits, the first of which is no zero. */
void sio_mark_write(char mark[MARK_BYTES], uint32_t number);
/* And back, from the id of an acknowledgement; false: it is none of ours. */
bool sio_mark_number(uint64_t id, uint32_t *number);

#endif
