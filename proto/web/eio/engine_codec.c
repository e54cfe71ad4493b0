#include "proto/web/eio/engine_codec.h"

#include "core/base/check.h"
#include "proto/text/base64.h"
#include "proto/text/hex.h"
#include "proto/text/percent.h"
#include "proto/text/utf8.h"
#include "proto/ws/ws_frame.h"

#define DIGITS_MAX 10 /* of a length; no body is longer than 4 GiB */

/* --- reading ---------------------------------------------------------------------------------- */

static bool is_type(char type) {
    return type >= ENGINE_OPEN && type <= ENGINE_NOOP;
}

/* Base64 that begins at `at`, decoded where it lies. */
static bool bytes_read(char *at, size_t len, struct engine_packet *packet) {
    /* A quad is read before its three bytes are written, never behind it. */
    struct builder out = builder_over(at, len);
    if (base64_decode(span_of(at, len), &out) != NULL)
        return false;
    packet->binary = true;
    packet->bytes = builder_span(&out);
    return true;
}

/* A packet of text: its type and what follows, or bytes in base64. */
static bool text_read(unsigned version, char *at, size_t len, struct engine_packet *packet) {
    *packet = (struct engine_packet){.type = ENGINE_MESSAGE};
    if (len == 0)
        return false;
    if (at[0] == 'b') {
        if (version == 4)
            return bytes_read(at + 1, len - 1, packet);
        if (len < 2 || !is_type(at[1]))
            return false;
        packet->type = at[1];
        return bytes_read(at + 2, len - 2, packet);
    }
    packet->type = at[0];
    packet->bytes = span_of(at + 1, len - 1);
    return is_type(at[0]);
}

/* A packet of bytes in version 3: its type as a number, and the bytes. */
static bool numbered_read(char *at, size_t len, struct engine_packet *packet) {
    if (len == 0 || (unsigned char)at[0] > ENGINE_NOOP - ENGINE_OPEN)
        return false;
    *packet = (struct engine_packet){
        .type = (char)(ENGINE_OPEN + at[0]), .binary = true, .bytes = span_of(at + 1, len - 1)};
    return true;
}

bool engine_frame_read(unsigned version, char *at, size_t len, bool binary,
                       struct engine_packet *packet) {
    if (!binary)
        return text_read(version, at, len, packet);
    if (version == 3)
        return numbered_read(at, len, packet);
    *packet =
        (struct engine_packet){.type = ENGINE_MESSAGE, .binary = true, .bytes = span_of(at, len)};
    return true;
}

static void reader_skip(struct engine_reader *reader, size_t bytes) {
    reader->at += bytes;
    reader->len -= bytes;
}

static enum engine_step step_of(bool good) {
    return good ? ENGINE_STEP_PACKET : ENGINE_STEP_BAD;
}

static enum engine_step next_4(struct engine_reader *reader, struct engine_packet *packet) {
    char *at = reader->at;
    char *mark = reader->len == 0 ? NULL : memchr(at, ENGINE_SEPARATOR, reader->len);
    size_t len = mark == NULL ? reader->len : (size_t)(mark - at);
    reader_skip(reader, mark == NULL ? len : len + 1);
    reader->begun = mark == NULL; /* behind a separator there must be a packet */
    return step_of(utf8_valid(span_of(at, len), NULL) && text_read(4, at, len, packet));
}

/* The digits of a length in front of `end`, each of them `zero` and its value. False: there are
 * none, or too many. */
static bool length_read(struct engine_reader *reader, unsigned char zero, unsigned char end,
                        size_t *length) {
    *length = 0;
    for (size_t i = 0; i < reader->len && i <= DIGITS_MAX; i++) {
        unsigned char byte = (unsigned char)reader->at[i];
        if (byte == end) {
            reader_skip(reader, i + 1);
            return i != 0;
        }
        if (byte < zero || byte > zero + 9)
            return false;
        *length = *length * 10 + (size_t)(byte - zero);
    }
    return false;
}

/* How many bytes so many UTF-16 units are. False: there are not so many, it is not UTF-8, or a
 * character would be cut. */
static bool units_bytes(const struct engine_reader *reader, size_t units, size_t *bytes) {
    const char *at = reader->at, *end = at + reader->len;
    while (units != 0) {
        int len = at == end ? 0 : utf8_sequence(at, end);
        size_t more = len == 4 ? 2 : 1;
        if (len <= 0 || more > units)
            return false;
        units -= more;
        at += len;
    }
    *bytes = (size_t)(at - reader->at);
    return true;
}

static enum engine_step next_3(struct engine_reader *reader, struct engine_packet *packet) {
    size_t units, bytes;
    while (reader->len != 0) {
        if (!length_read(reader, '0', ':', &units) || !units_bytes(reader, units, &bytes))
            return ENGINE_STEP_BAD;
        char *at = reader->at;
        reader_skip(reader, bytes);
        if (bytes != 0) /* "0:" stands for nothing */
            return step_of(text_read(3, at, bytes, packet));
    }
    return ENGINE_STEP_END;
}

static enum engine_step next_3_binary(struct engine_reader *reader, struct engine_packet *packet) {
    size_t bytes;
    if ((unsigned char)reader->at[0] > 1)
        return ENGINE_STEP_BAD;
    bool binary = reader->at[0] == 1;
    reader_skip(reader, 1);
    if (!length_read(reader, 0, 0xFF, &bytes) || bytes > reader->len)
        return ENGINE_STEP_BAD;
    char *at = reader->at;
    reader_skip(reader, bytes);
    if (binary)
        return step_of(numbered_read(at, bytes, packet));
    return step_of(utf8_valid(span_of(at, bytes), NULL) && text_read(3, at, bytes, packet));
}

enum engine_step engine_payload_next(struct engine_reader *reader, struct engine_packet *packet) {
    bool begun = reader->begun;
    reader->begun = true;
    if (reader->len == 0)
        return begun ? ENGINE_STEP_END : ENGINE_STEP_BAD;
    if (reader->form == ENGINE_PAYLOAD_4)
        return next_4(reader, packet);
    return reader->form == ENGINE_PAYLOAD_3 ? next_3(reader, packet)
                                            : next_3_binary(reader, packet);
}

/* --- writing ---------------------------------------------------------------------------------- */

size_t engine_utf16_units(struct span text) {
    size_t units = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned char byte = (unsigned char)text.at[i];
        units += !utf8_is_trail(byte);
        units += byte >= 0xF0;
    }
    return units;
}

void engine_text_length(struct builder *out, size_t units) {
    builder_u64(out, units);
    builder_byte(out, ':');
}

void engine_binary_length(struct builder *out, bool binary, size_t bytes) {
    char digits[ENGINE_LENGTH_MAX];
    struct builder text = builder_over(digits, sizeof digits);
    builder_u64(&text, bytes);
    builder_byte(out, binary ? 1 : 0);
    for (size_t i = 0; i < text.len; i++)
        builder_byte(out, (char)(digits[i] - '0'));
    builder_byte(out, (char)0xFF);
}

size_t engine_packet_bound(enum engine_form form, const struct engine_packet *packet) {
    bool base64 = packet->binary && (form == EIO4_POLL || form == EIO3_POLL);
    return ENGINE_LENGTH_MAX + 2 + (base64 ? base64_len(packet->bytes.len) : packet->bytes.len);
}

static void socket_write(struct builder *out, bool typed, const struct engine_packet *packet) {
    ws_head_write(out, packet->binary ? WS_OPCODE_BINARY : WS_OPCODE_TEXT, false,
                  packet->bytes.len + typed);
    if (typed)
        builder_byte(out, packet->binary ? (char)(packet->type - ENGINE_OPEN) : packet->type);
    builder_span_add(out, packet->bytes);
}

void engine_packet_write(struct builder *out, enum engine_form form,
                         const struct engine_packet *packet) {
    CHECK(!packet->binary || packet->type == ENGINE_MESSAGE, "only messages are bytes");
    switch (form) {
    case EIO4_SOCKET:
        socket_write(out, !packet->binary, packet);
        return;
    case EIO3_SOCKET:
        socket_write(out, true, packet);
        return;
    case EIO4_POLL:
        builder_byte(out, packet->binary ? 'b' : packet->type);
        break;
    case EIO3_POLL:
        if (packet->binary)
            engine_text_length(out, 2 + base64_len(packet->bytes.len));
        else
            engine_text_length(out, 1 + engine_utf16_units(packet->bytes));
        if (packet->binary)
            builder_byte(out, 'b');
        builder_byte(out, packet->type);
        break;
    case EIO3_POLL_BINARY:
        engine_binary_length(out, packet->binary, 1 + packet->bytes.len);
        builder_byte(out, packet->binary ? (char)(packet->type - ENGINE_OPEN) : packet->type);
        builder_span_add(out, packet->bytes);
        return;
    }
    if (packet->binary)
        base64_encode(out, packet->bytes);
    else
        builder_span_add(out, packet->bytes);
}

/* --- JSONP ------------------------------------------------------------------------------------ */

/* Undoes what the client's form did to line feeds, where it lies. */
static size_t feeds_restore(char *at, size_t len) {
    size_t to = 0;
    for (size_t i = 0; i < len;) {
        bool slash = at[i] == '\\';
        if (slash && len - i >= 3 && at[i + 1] == '\\' && at[i + 2] == 'n') {
            at[to++] = '\\';
            at[to++] = 'n';
            i += 3;
        } else if (slash && len - i >= 2 && at[i + 1] == 'n') {
            at[to++] = '\n';
            i += 2;
        } else {
            at[to++] = at[i++];
        }
    }
    return to;
}

/* Percent-decodes where it lies. False: a bad escape. */
static bool form_decode(char *at, size_t *len) {
    size_t to = 0;
    for (size_t i = 0; i < *len; i++) {
        char byte = at[i] == '+' ? ' ' : at[i];
        if (byte == '%') {
            int high = *len - i < 3 ? -1 : hex_digit(at[i + 1]);
            int low = high < 0 ? -1 : hex_digit(at[i + 2]);
            if (low < 0)
                return false;
            byte = (char)(high * 16 + low);
            i += 2;
        }
        at[to++] = byte;
    }
    *len = to;
    return true;
}

bool engine_jsonp_read(char *at, size_t len, struct span *payload) {
    struct span rest = span_of(at, len), name, value;
    *payload = span_of(at, 0);
    while (query_next(&rest, &name, &value)) {
        if (!span_equal(name, SPAN("d")))
            continue;
        if (value.len == 0) /* without a `=` it is nowhere in there */
            return true;
        char *from = at + (value.at - at);
        if (!form_decode(from, &value.len) || !utf8_valid(value, NULL))
            return false;
        *payload = span_of(from, feeds_restore(from, value.len));
        return true;
    }
    return true;
}

/* How a byte is written in a string; `escape` has room for 6. */
static size_t js_escape(const char *at, size_t left, char escape[6], size_t *used) {
    static const char hex[16] = "0123456789abcdef";
    static const char letters[] = "btn\0fr";
    unsigned char byte = (unsigned char)at[0];
    *used = 1;
    escape[0] = '\\';
    if (byte == '"' || byte == '\\') {
        escape[1] = (char)byte;
        return 2;
    }
    if (byte >= 8 && byte <= 13 && byte != 11) {
        escape[1] = letters[byte - 8];
        return 2;
    }
    if (byte < 0x20) {
        memcpy(escape, "\\u00", 4);
        escape[4] = hex[byte >> 4];
        escape[5] = hex[byte & 15];
        return 6;
    }
    if (left >= 3 && byte == 0xE2 && (unsigned char)at[1] == 0x80 &&
        ((unsigned char)at[2] & 0xFE) == 0xA8) {
        *used = 3;
        memcpy(escape, (unsigned char)at[2] == 0xA8 ? "\\u2028" : "\\u2029", 6);
        return 6;
    }
    escape[0] = (char)byte;
    return 1;
}

void engine_jsonp_write(struct builder *out, struct span text) {
    char escape[6];
    size_t used;
    for (size_t i = 0; i < text.len; i += used)
        builder_bytes(out, escape, js_escape(text.at + i, text.len - i, escape, &used));
}

size_t engine_jsonp_len(struct span text) {
    char escape[6];
    size_t used, len = 0;
    for (size_t i = 0; i < text.len; i += used)
        len += js_escape(text.at + i, text.len - i, escape, &used);
    return len;
}
