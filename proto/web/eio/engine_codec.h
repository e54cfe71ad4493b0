/* engine_codec.h - Engine.IO packets and the payloads that polls carry, of versions 4 and 3.
 *
 *   version 4        packets with 0x1e between them; 'b' and base64 is a message of bytes
 *   version 3, text  "<length in UTF-16 units>:<packet>" in a row; "b4" and base64 for bytes
 *   version 3, bytes 0 (text) or 1 (bytes), the length in bytes as one byte for each decimal digit,
 *                    0xFF, the packet; that of bytes begins with its type as a number
 *
 * Pure functions over bytes that a stranger made. Base64 is decoded where it lies, so what is read
 * must be writable. Threads: any. Owns nothing: spans point into what was given. */
#ifndef RINGPOST_PROTO_WEB_EIO_ENGINE_CODEC_H
#define RINGPOST_PROTO_WEB_EIO_ENGINE_CODEC_H

#include "core/base/builder.h"
#include "proto/web/eio/engine.h"

#define ENGINE_SEPARATOR '\x1e'

enum engine_type {
    ENGINE_OPEN = '0',
    ENGINE_CLOSE = '1',
    ENGINE_PING = '2',
    ENGINE_PONG = '3',
    ENGINE_MESSAGE = '4',
    ENGINE_UPGRADE = '5',
    ENGINE_NOOP = '6'
};

struct engine_packet {
    char type;         /* enum engine_type */
    bool binary;       /* `bytes` are bytes; otherwise UTF-8 */
    struct span bytes; /* behind the type */
};

enum engine_payload { ENGINE_PAYLOAD_4, ENGINE_PAYLOAD_3, ENGINE_PAYLOAD_3_BINARY };

struct engine_reader {
    char *at;
    size_t len; /* that were not read */
    enum engine_payload form;
    bool begun;
};

enum engine_step { ENGINE_STEP_END, ENGINE_STEP_PACKET, ENGINE_STEP_BAD };

/* The next packet of a payload. After BAD nothing more is to be read; an empty payload is BAD. */
enum engine_step engine_payload_next(struct engine_reader *reader, struct engine_packet *packet);

/* What a WebSocket frame holds. False: it is no packet. Text must be UTF-8 already. */
bool engine_frame_read(unsigned version, char *at, size_t len, bool binary,
                       struct engine_packet *packet);

/* How long a text is where JavaScript counts it. It is UTF-8. */
size_t engine_utf16_units(struct span text);

/* Writes a packet as a part of a payload, or a WebSocket frame of the server, without what stands
 * between packets; `packet.binary` only with ENGINE_MESSAGE. At most engine_packet_bound bytes. */
void engine_packet_write(struct builder *out, enum engine_form form,
                         const struct engine_packet *packet);
size_t engine_packet_bound(enum engine_form form, const struct engine_packet *packet);

/* The pieces of that, for who writes messages in frames of their own; heads of WebSocket frames
 * are written by ws_head_write. */
/* "<length>:" of a text with so many UTF-16 units, its type included. */
void engine_text_length(struct builder *out, size_t units);
/* 0 or 1, the digits, 0xFF, for so many bytes, the type included. */
void engine_binary_length(struct builder *out, bool binary, size_t bytes);
#define ENGINE_LENGTH_MAX 22 /* of either */

/* JSONP: the body of a POST, a form whose field `d` is the payload, decoded where it lies. False:
 * it is no form, or not UTF-8; without a `d` the payload is empty. */
bool engine_jsonp_read(char *at, size_t len, struct span *payload);
/* The text as a string of JavaScript without its quotes, as JSON.stringify writes it. */
void engine_jsonp_write(struct builder *out, struct span text);
size_t engine_jsonp_len(struct span text);

#endif
