/* ws_handshake.c - see ws_handshake.h. */
#include "proto/ws/ws_handshake.h"

#include "core/base/check.h"
#include "proto/text/base64.h"
#include "proto/ws/ws_sha1.h"

#define KEY_BYTES 16
#define KEY_TEXT_BYTES 24
#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

bool ws_key_is_good(struct span key) {
    char bytes[KEY_BYTES + 2];
    struct builder out = builder_over(bytes, sizeof bytes);
    return key.len == KEY_TEXT_BYTES && base64_decode(key, &out) == NULL && out.len == KEY_BYTES;
}

void ws_accept_write(struct builder *out, struct span key) {
    char text[KEY_TEXT_BYTES + sizeof GUID];
    unsigned char digest[WS_SHA1_BYTES];
    struct builder both = builder_over(text, sizeof text);
    builder_span_add(&both, key);
    builder_text(&both, GUID);
    CHECK(!both.full);
    ws_sha1(builder_span(&both), digest);
    base64_encode(out, span_of(digest, sizeof digest));
}

/* --- lists ------------------------------------------------------------------------------------ */

struct reader {
    const char *at, *end;
};

static void blanks_skip(struct reader *reader) {
    while (reader->at != reader->end && (*reader->at == ' ' || *reader->at == '\t'))
        reader->at++;
}

/* Takes the byte if it is the next one behind blanks. */
static bool take(struct reader *reader, char byte) {
    blanks_skip(reader);
    if (reader->at == reader->end || *reader->at != byte)
        return false;
    reader->at++;
    return true;
}

/* A byte of a token of RFC 9110. */
static bool is_token(unsigned char byte) {
    unsigned char folded = byte | 0x20;
    if ((byte >= '0' && byte <= '9') || (folded >= 'a' && folded <= 'z'))
        return true;
    return byte != 0 && strchr("!#$%&'*+-.^_`|~", byte) != NULL;
}

/* The token behind blanks; empty if there is none. */
static struct span token_take(struct reader *reader) {
    blanks_skip(reader);
    const char *start = reader->at;
    while (reader->at != reader->end && is_token((unsigned char)*reader->at))
        reader->at++;
    return span_of(start, (size_t)(reader->at - start));
}

/* Goes on to the next element of a list, over empty ones. False: there is none. */
static bool element_next(struct reader *reader) {
    while (take(reader, ','))
        continue;
    return reader->at != reader->end;
}

/* An element has ended: what is behind it? */
static bool element_is_whole(struct reader *reader) {
    blanks_skip(reader);
    return reader->at == reader->end || *reader->at == ',';
}

bool ws_protocols_read(struct span value, struct span wanted, bool *offered) {
    struct reader reader = {value.at, value.at + value.len};
    while (element_next(&reader)) {
        struct span protocol = token_take(&reader);
        if (protocol.len == 0 || !element_is_whole(&reader))
            return false;
        if (span_equal(protocol, wanted))
            *offered = true;
    }
    return true;
}

/* --- extensions ------------------------------------------------------------------------------- */

struct parameter {
    struct span name;
    bool has_value;
    unsigned bits; /* the value, if it is 8 to 15 in decimal; otherwise 0 */
};

/* A value as a token or in quotes, where a backslash stands before any byte that is meant as it
 * is; without its quotes it must be a token all the same. */
static bool value_take(struct reader *reader, unsigned *bits) {
    char text[2];
    size_t len = 0;
    bool quoted = take(reader, '"');
    for (; reader->at != reader->end; reader->at++, len++) {
        if (quoted && *reader->at == '\\' && ++reader->at == reader->end)
            return false;
        if (!is_token((unsigned char)*reader->at))
            break;
        if (len < sizeof text)
            text[len] = *reader->at;
    }
    if (len == 0 || (quoted && (reader->at == reader->end || *reader->at++ != '"')))
        return false;
    *bits = 0;
    if (len == 1 && (text[0] == '8' || text[0] == '9'))
        *bits = (unsigned)(text[0] - '0');
    else if (len == 2 && text[0] == '1' && text[1] >= '0' && text[1] <= '5')
        *bits = 10 + (unsigned)(text[1] - '0');
    return true;
}

static bool parameter_take(struct reader *reader, struct parameter *parameter) {
    *parameter = (struct parameter){.name = token_take(reader)};
    if (parameter->name.len == 0)
        return false;
    parameter->has_value = take(reader, '=');
    if (!parameter->has_value)
        return true;
    blanks_skip(reader);
    return value_take(reader, &parameter->bits);
}

enum deflate_parameter {
    SERVER_NO_CONTEXT_TAKEOVER,
    CLIENT_NO_CONTEXT_TAKEOVER,
    SERVER_MAX_WINDOW_BITS,
    CLIENT_MAX_WINDOW_BITS,
    DEFLATE_PARAMETERS,
};

static const struct span deflate_parameters[DEFLATE_PARAMETERS] = {
    [SERVER_NO_CONTEXT_TAKEOVER] = SPAN_INIT("server_no_context_takeover"),
    [CLIENT_NO_CONTEXT_TAKEOVER] = SPAN_INIT("client_no_context_takeover"),
    [SERVER_MAX_WINDOW_BITS] = SPAN_INIT("server_max_window_bits"),
    [CLIENT_MAX_WINDOW_BITS] = SPAN_INIT("client_max_window_bits"),
};

/* Looks at a parameter of an offer; false: the offer cannot be kept. `seen` has a bit for each
 * parameter that the offer had before. */
static bool parameter_read(const struct parameter *parameter, unsigned *seen,
                           struct ws_terms *terms) {
    unsigned which = 0;
    while (which < DEFLATE_PARAMETERS && !span_equal(parameter->name, deflate_parameters[which]))
        which++;
    if (which == DEFLATE_PARAMETERS || (*seen & 1u << which) != 0)
        return false;
    *seen |= 1u << which;
    switch ((enum deflate_parameter)which) {
    case SERVER_MAX_WINDOW_BITS:
        if (parameter->bits < WS_WINDOW_BITS_MIN)
            return false;
        terms->window_bits = (uint8_t)parameter->bits;
        terms->bits_asked = true;
        return true;
    case CLIENT_MAX_WINDOW_BITS:
        /* What the client may be told to keep to; it is told nothing, as any window is read. */
        return !parameter->has_value || parameter->bits != 0;
    default:
        return !parameter->has_value;
    }
}

bool ws_extensions_read(struct span value, struct ws_terms *terms) {
    struct reader reader = {value.at, value.at + value.len};
    while (element_next(&reader)) {
        struct span name = token_take(&reader);
        if (name.len == 0)
            return false;
        struct ws_terms offer = {.deflate = true, .window_bits = WS_WINDOW_BITS_MAX};
        bool can_be_kept = span_equal(name, SPAN("permessage-deflate"));
        unsigned seen = 0;
        while (take(&reader, ';')) {
            struct parameter parameter;
            if (!parameter_take(&reader, &parameter))
                return false;
            can_be_kept = can_be_kept && parameter_read(&parameter, &seen, &offer);
        }
        if (!element_is_whole(&reader))
            return false;
        if (can_be_kept && !terms->deflate)
            *terms = offer;
    }
    return true;
}

void ws_extensions_write(struct builder *out, const struct ws_terms *terms) {
    char text[WS_EXTENSIONS_BYTES_MAX];
    struct builder value = builder_over(text, sizeof text);
    CHECK(terms->deflate);
    builder_text(&value, "permessage-deflate; server_no_context_takeover; "
                         "client_no_context_takeover");
    if (terms->bits_asked) {
        builder_text(&value, "; server_max_window_bits=");
        builder_u64(&value, terms->window_bits);
    }
    CHECK(!value.full);
    builder_span_add(out, builder_span(&value));
}
