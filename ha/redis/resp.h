/* resp.h - RESP, the protocol of Redis (version 2): commands are written into a builder, replies
 * are read by hiredis' reader. resp.c is the only file that knows hiredis, and that reader is all
 * that is used of it.
 *
 * Writing. A command is a few numbers and lines, so it goes straight into the builder of what is
 * sent next: redisFormatCommandArgv would allocate each and have it copied.
 *
 * Reading. The caller presents what it has received, and takes replies until there is none:
 *
 *   for (;;) {
 *       event = resp_next(&reader, &input, &reply);
 *       if (event != RESP_REPLY) break;
 *       ... look at reply ...
 *   }
 *   if (event == RESP_BROKEN) ... log reader.why, close the connection ...
 *
 * `input` loses its front as it is read. What is left of it when the caller breaks off earlier is
 * presented again, the same bytes though perhaps elsewhere; with RESP_MORE nothing is left. So a
 * turn may take as many replies as it has time for.
 *
 * hiredis moves what is left in its buffer each time that 1 KiB of it is read, so bytes come to it
 * in pieces of RESP_PIECE_BYTES: what is moved is little, whatever was received at once. Only a
 * string that is announced longer comes in one piece. Its callbacks only record, and copy strings,
 * since its buffer moves before a reply is whole.
 *
 * Limits. A reply has at most `bytes_max` bytes as it is sent, RESP_ITEMS_MAX elements in arrays,
 * which are nested at most RESP_DEPTH_MAX deep, and lines (statuses, errors) of at most
 * RESP_LINE_BYTES_MAX. What is announced beyond is refused before it comes, and nothing is ever
 * taken because it was announced. But anybody may publish a long message: a string that ends a
 * reply and would make it too long is passed over as it comes, up to RESP_LONG_BYTES_MAX of it, and
 * told as RESP_LONG. Memory: everything, hiredis' included, is charged to `account` before it is
 * taken; with a bound of M bytes that is at most 3 M and 1.2 MiB. When the caller is done with a
 * large reply all but twice RESP_KEPT_BYTES and 32 KiB is given back; of hiredis' buffer only once
 * it is empty, which it is behind a string that came in one piece.
 *
 * An error is final: it may be anything that has happened to the stream, so nothing behind it means
 * what it seems to. resp_reader_reset begins anew, with another connection.
 *
 * Threads: one at a time for each reader, that of the account. Owns: its memory. */
#ifndef RINGPOST_HA_REDIS_RESP_H
#define RINGPOST_HA_REDIS_RESP_H

#include "core/base/builder.h"
#include "core/base/span.h"
#include "core/memory.h"

#define RESP_ITEMS_MAX 1024
#define RESP_DEPTH_MAX 3
#define RESP_LINE_BYTES_MAX ((size_t)64 << 10)
#define RESP_PIECE_BYTES ((size_t)4 << 10)
#define RESP_LONG_BYTES_MAX ((size_t)64 << 20)
/* So much memory stays for the next reply; more is given back when the caller is done with one. */
#define RESP_KEPT_BYTES ((size_t)64 << 10)

/* What a command takes: `*N`, then each word as a string. */
size_t resp_command_bytes(const struct span *words, unsigned count);
/* Writes exactly that many bytes, or, without room for all, none. Words may hold any bytes. */
void resp_command(struct builder *out, const struct span *words, unsigned count);

enum resp_type {
    RESP_STATUS,  /* `text`, such as OK */
    RESP_ERROR,   /* `text`, such as ERR unknown command */
    RESP_INTEGER, /* `integer` */
    RESP_STRING,  /* `text`: any bytes */
    RESP_LONG,    /* a string that was too long; its `text` is empty */
    RESP_NIL,     /* there is no string, or no array */
    RESP_ARRAY,   /* `count` elements follow */
};

struct resp_item {
    enum resp_type type;
    uint16_t depth; /* arrays that it is in */
    uint16_t count; /* RESP_ARRAY: elements, without theirs */
    union {
        struct span text;
        int64_t integer;
    };
};

struct resp_reply {
    union {
        struct resp_item;
        struct resp_item item;
    };
    /* RESP_ARRAY: all elements as they came, each array before its own, which are one deeper. */
    const struct resp_item *items;
    unsigned item_count;
};

struct redisReader;

struct resp_reader {
    struct account *account;
    struct redisReader *hiredis; /* NULL: no memory for it, or before init */
    uint64_t hiredis_bytes;      /* charged for it */
    size_t bytes_max;            /* of a reply */
    const char *why;             /* RESP_BROKEN: a constant that says what came, or was missing */
    /* The reply that is being read, or was told last. */
    struct resp_item *items; /* the first is the reply itself */
    unsigned item_count;
    unsigned announced; /* elements, of all arrays so far */
    char *text;         /* the strings of the items, in their order */
    size_t text_len, text_cap;
    size_t bytes;    /* that its items took as they were sent; at most bytes_max */
    size_t passes;   /* so many bytes of input are passed over; then it is whole */
    bool told;       /* it is the caller's until the next call */
    bool is_stalled; /* hiredis has to have more bytes: */
    bool wants_line; /* a line end among them, */
    size_t wants;    /* or so many */
};

enum resp_event {
    RESP_MORE,   /* all is read, and was not a whole reply: receive more */
    RESP_REPLY,  /* one is whole; its spans are valid until the next call */
    RESP_BROKEN, /* now and ever after: `reader->why` says why */
};

/* False: no memory; of the others only resp_reader_fini may be called. */
bool resp_reader_init(struct resp_reader *reader, struct account *account, size_t bytes_max);
/* Takes the next reply off the front of `input`, and of what came before. */
enum resp_event resp_next(struct resp_reader *reader, struct span *input, struct resp_reply *reply);
/* Forgets what has come: the next bytes are the first of a connection. False: no memory, and every
 * call says RESP_BROKEN until a later reset. */
bool resp_reader_reset(struct resp_reader *reader);
/* Gives everything back; a zeroed one has nothing. */
void resp_reader_fini(struct resp_reader *reader);

#endif
