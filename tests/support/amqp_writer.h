/* amqp_writer.h - writes content headers of AMQP as a broker does: properties, and tables of
 * headers of every type. Threads: the test's. */
#ifndef RINGPOST_TESTS_SUPPORT_AMQP_WRITER_H
#define RINGPOST_TESTS_SUPPORT_AMQP_WRITER_H

#include "core/base/builder.h"

/* Properties as texts; NULL: not there. `headers` are the entries of the table, with no length. */
struct amqp_said {
    const char *content_type, *content_encoding, *correlation_id, *reply_to, *expiration,
        *message_id, *type;
    struct span headers;
    bool has_headers, is_persistent;
};

static inline void amqp_number_put(struct builder *out, uint64_t value, unsigned bytes) {
    while (bytes-- > 0)
        builder_byte(out, (char)(value >> 8 * bytes));
}

static inline void amqp_short_put(struct builder *out, const char *text) {
    amqp_number_put(out, strlen(text), 1);
    builder_text(out, text);
}

static inline void amqp_said_write(struct builder *out, const struct amqp_said *said) {
    const char *const texts[] = {said->content_type,
                                 said->content_encoding,
                                 NULL,
                                 NULL,
                                 NULL,
                                 said->correlation_id,
                                 said->reply_to,
                                 said->expiration,
                                 said->message_id,
                                 NULL,
                                 said->type};
    enum { HEADERS = 2, MODE = 3, COUNT = sizeof(texts) / sizeof(texts[0]) };
    unsigned flags = 0;
    for (unsigned i = 0; i < COUNT; i++)
        if (texts[i] != NULL || (i == HEADERS && said->has_headers) ||
            (i == MODE && said->is_persistent))
            flags |= 1u << (15 - i);
    amqp_number_put(out, flags, 2);
    for (unsigned i = 0; i < COUNT; i++) {
        if (texts[i] != NULL)
            amqp_short_put(out, texts[i]);
        if (i == HEADERS && said->has_headers) {
            amqp_number_put(out, said->headers.len, 4);
            builder_span_add(out, said->headers);
        }
        if (i == MODE && said->is_persistent)
            amqp_number_put(out, 2, 1);
    }
}

/* Values of a table: each with its name; NULL for an element of an array. */
static inline void amqp_kind_put(struct builder *out, const char *name, char kind) {
    if (name != NULL)
        amqp_short_put(out, name);
    builder_byte(out, kind);
}

static inline void amqp_string_put(struct builder *out, const char *name, const char *text) {
    amqp_kind_put(out, name, 'S');
    amqp_number_put(out, strlen(text), 4);
    builder_text(out, text);
}

static inline void amqp_fixed_put(struct builder *out, const char *name, char kind, uint64_t value,
                                  unsigned bytes) {
    amqp_kind_put(out, name, kind);
    amqp_number_put(out, value, bytes);
}

/* An array or table of what is in `inside`. */
static inline void amqp_nested_put(struct builder *out, const char *name, char kind,
                                   const struct builder *inside) {
    amqp_kind_put(out, name, kind);
    amqp_number_put(out, inside->len, 4);
    builder_bytes(out, inside->at, inside->len);
}

#endif
