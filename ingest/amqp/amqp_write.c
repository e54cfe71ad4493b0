/* amqp_write.c - content headers that this node writes; see amqp_wire.h. */
#include "ingest/amqp/amqp_wire.h"

/* Flags of the properties; their values follow in this order. */
enum {
    HAS_CONTENT_TYPE = 1 << 15,
    HAS_HEADERS = 1 << 13,
    HAS_DELIVERY_MODE = 1 << 12,
    HAS_CORRELATION_ID = 1 << 10,
    HAS_MESSAGE_ID = 1 << 7,
    HAS_TYPE = 1 << 5,
};

#define MODE_PASSING 1
#define MODE_PERSISTENT 2

static void number_put(struct builder *out, uint64_t value, unsigned bytes) {
    while (bytes-- > 0)
        builder_byte(out, (char)(value >> 8 * bytes));
}

/* At most 255 bytes; more are cut off. */
static void short_put(struct builder *out, struct span text) {
    size_t len = text.len < 255 ? text.len : 255;
    number_put(out, len, 1);
    builder_bytes(out, text.at, len);
}

void amqp_answer_write(struct builder *out, const struct amqp_answer *answer) {
    unsigned flags = HAS_CONTENT_TYPE | HAS_DELIVERY_MODE;
    flags |= answer->correlation_id.len != 0 ? HAS_CORRELATION_ID : 0;
    flags |= answer->message_id.len != 0 ? HAS_MESSAGE_ID : 0;
    flags |= answer->type.len != 0 ? HAS_TYPE : 0;
    number_put(out, flags, 2);
    short_put(out, SPAN("application/json"));
    number_put(out, answer->is_persistent ? MODE_PERSISTENT : MODE_PASSING, 1);
    if (answer->correlation_id.len != 0)
        short_put(out, answer->correlation_id);
    if (answer->message_id.len != 0)
        short_put(out, answer->message_id);
    if (answer->type.len != 0)
        short_put(out, answer->type);
}

/* --- refusals --------------------------------------------------------------------------------- */

static void text_entry(struct builder *out, const char *name, struct span text) {
    short_put(out, span_text(name));
    builder_byte(out, (char)AMQP_STRING);
    number_put(out, text.len, 4);
    builder_span_add(out, text);
}

static void refusal_entries(struct builder *out, const struct amqp_refusal *refusal) {
    text_entry(out, "x-ringpost-code", refusal->code);
    text_entry(out, "x-ringpost-text", refusal->text);
    if (refusal->field.len != 0)
        text_entry(out, "x-ringpost-field", refusal->field);
    if (refusal->has_offset) {
        short_put(out, SPAN("x-ringpost-offset"));
        builder_byte(out, (char)AMQP_I64);
        number_put(out, refusal->offset, 8);
    }
    text_entry(out, "x-ringpost-queue", refusal->queue);
    short_put(out, SPAN("x-ringpost-time"));
    builder_byte(out, (char)AMQP_TIMESTAMP);
    number_put(out, refusal->time_s, 8);
}

static bool is_ours(struct span name) {
    static const char *const ours[] = {"x-ringpost-code",   "x-ringpost-text",  "x-ringpost-field",
                                       "x-ringpost-offset", "x-ringpost-queue", "x-ringpost-time"};
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        if (span_equal(name, span_text(ours[i])))
            return true;
    return false;
}

/* Its own entries but for those of our names, up to where the table is broken. */
static void entries_keep(struct builder *out, struct span table) {
    struct span name;
    struct amqp_value value;
    for (struct span at = table; amqp_table_next(&table, &name, &value) == AMQP_STEP_NEXT;
         at = table)
        if (!is_ours(name))
            builder_bytes(out, at.at, at.len - table.len);
}

void amqp_refusal_write(struct builder *out, struct span raw, const struct amqp_refusal *refusal,
                        bool keeps) {
    struct amqp_properties properties;
    bool good = amqp_properties_read(raw, &properties);
    unsigned flags = 0;
    struct span before = SPAN(""), behind = SPAN("");
    if (good) {
        flags = (unsigned)(unsigned char)raw.at[0] << 8 | (unsigned char)raw.at[1];
        before = span_of(raw.at + 2, 0);
        /* What stands in front of the table: two short strings at the most. */
        for (unsigned flag = HAS_CONTENT_TYPE; flag > HAS_HEADERS; flag >>= 1)
            if ((flags & flag) != 0)
                before.len += 1 + (size_t)(unsigned char)before.at[before.len];
        behind = span_skip(raw, 2 + before.len);
        if ((flags & HAS_HEADERS) != 0)
            behind = span_skip(behind, 4 + properties.headers.len);
    }
    number_put(out, flags | HAS_HEADERS, 2);
    builder_span_add(out, before);
    size_t length_at = out->len;
    number_put(out, 0, 4);
    if (good && keeps)
        entries_keep(out, properties.headers);
    refusal_entries(out, refusal);
    builder_span_add(out, behind);
    if (out->full)
        return;
    struct builder length = builder_over(out->at + length_at, 4);
    number_put(&length, out->len - length_at - 4 - behind.len, 4);
}
