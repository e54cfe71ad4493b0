#include "proto/http/http_chunk.h"

#include "proto/http/http_text.h"

enum state {
    SIZE,
    EXTENSION,
    SIZE_LF,
    BYTES,
    BYTES_CR,
    BYTES_LF,
    TRAILER_START, /* a field, or the CR of the empty line */
    TRAILER_NAME,
    TRAILER_VALUE,
    TRAILER_LF,
    LAST_LF,
    COMPLETE,
};

#define DIGITS_MAX 16 /* of a 64-bit number */

struct wrong {
    unsigned status; /* 0: nothing is */
    const char *message;
};

static const struct wrong fine = {0, NULL};
static const struct wrong bad_byte = {400, "a control byte in the framing of a chunk"};
static const struct wrong bad_size = {400, "a chunk size is not a hexadecimal number"};
static const struct wrong bad_end = {400, "a chunk does not end where its size says"};
static const struct wrong bad_trailer = {400, "a trailer field is malformed"};
static const struct wrong long_body = {413, "the body is too large"};
static const struct wrong long_extensions = {431, "too many bytes of chunk extensions"};
static const struct wrong long_trailer = {431, "too many bytes of trailer fields"};

void http_chunks_init(struct http_chunks *chunks, size_t body_bytes_max) {
    *chunks = (struct http_chunks){.room = body_bytes_max, .state = SIZE};
}

static int hex_value(unsigned char byte) {
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static struct wrong on_size(struct http_chunks *c, unsigned char byte) {
    int value = hex_value(byte);
    if (value >= 0) {
        if (++c->digits > DIGITS_MAX)
            return bad_size;
        c->size = c->size << 4 | (unsigned)value;
        return fine;
    }
    if (c->digits == 0 || (byte != '\r' && byte != ';'))
        return bad_size;
    if (c->size > c->room)
        return long_body;
    c->room -= c->size;
    c->digits = 0;
    c->state = byte == '\r' ? SIZE_LF : EXTENSION;
    return fine;
}

static struct wrong on_extension(struct http_chunks *c, unsigned char byte) {
    if (byte == '\r') {
        c->state = SIZE_LF;
        return fine;
    }
    if (!http_is_text(byte))
        return bad_byte;
    return ++c->extension_bytes > HTTP_EXTENSION_BYTES_MAX ? long_extensions : fine;
}

static struct wrong on_trailer(struct http_chunks *c, unsigned char byte) {
    if (c->state == TRAILER_START && byte == '\r') {
        c->state = LAST_LF;
        return fine;
    }
    if (++c->trailer_bytes > HTTP_TRAILER_BYTES_MAX)
        return long_trailer;
    if (c->state == TRAILER_VALUE) {
        if (byte == '\r')
            c->state = TRAILER_LF;
        else if (!http_is_text(byte))
            return bad_byte;
        return fine;
    }
    if (c->state == TRAILER_NAME && byte == ':')
        c->state = TRAILER_VALUE;
    else if (http_is_token(byte))
        c->state = TRAILER_NAME;
    else
        return bad_trailer;
    return fine;
}

/* The byte must be the one that the grammar has here. */
static struct wrong expect(struct http_chunks *c, unsigned char byte, char wanted, enum state next,
                           struct wrong otherwise) {
    if (byte != (unsigned char)wanted)
        return otherwise;
    c->state = (uint8_t)next;
    return fine;
}

static struct wrong on_framing(struct http_chunks *c, unsigned char byte) {
    switch ((enum state)c->state) {
    case SIZE:
        return on_size(c, byte);
    case EXTENSION:
        return on_extension(c, byte);
    case SIZE_LF:
        return expect(c, byte, '\n', c->size == 0 ? TRAILER_START : BYTES, bad_byte);
    case BYTES_CR:
        return expect(c, byte, '\r', BYTES_LF, bad_end);
    case BYTES_LF:
        return expect(c, byte, '\n', SIZE, bad_end);
    case TRAILER_START:
    case TRAILER_NAME:
    case TRAILER_VALUE:
        return on_trailer(c, byte);
    case TRAILER_LF:
        return expect(c, byte, '\n', TRAILER_START, bad_byte);
    case LAST_LF:
        return expect(c, byte, '\n', COMPLETE, bad_byte);
    case BYTES:
    case COMPLETE:
        break;
    }
    return bad_byte; /* not reached: these two read no framing */
}

enum http_chunk_status http_chunks_decode(struct http_chunks *chunks, char *at, size_t len,
                                          size_t *body_bytes, size_t *used,
                                          struct http_refusal *refusal) {
    size_t read = 0, write = 0;
    while (read < len && chunks->state != COMPLETE) {
        if (chunks->state != BYTES) {
            struct wrong wrong = on_framing(chunks, (unsigned char)at[read]);
            if (wrong.status != 0) {
                http_refuse(refusal, wrong.status, wrong.message, read);
                return HTTP_CHUNK_REFUSED;
            }
            read++;
            continue;
        }
        size_t count = len - read < chunks->size ? len - read : (size_t)chunks->size;
        memmove(at + write, at + read, count);
        read += count;
        write += count;
        chunks->size -= count;
        if (chunks->size == 0)
            chunks->state = BYTES_CR;
    }
    *body_bytes = write;
    *used = read;
    return chunks->state == COMPLETE ? HTTP_CHUNK_DONE : HTTP_CHUNK_MORE;
}
