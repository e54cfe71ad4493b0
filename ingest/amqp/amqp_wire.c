#include "ingest/amqp/amqp_wire.h"

#include <math.h>
#include <stdio.h>

/* Flags of the properties, by the order in which these follow; the last one says that more flags
 * do, which no version of the protocol has. */
#define FLAG_FIRST 15
#define FLAG_MORE 1u

static uint64_t be(struct span bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < bytes.len; i++)
        value = value << 8 | (unsigned char)bytes.at[i];
    return value;
}

/* Takes so many bytes off the front. False: there are not so many. */
static bool front_take(struct span *rest, size_t len, struct span *front) {
    if (len > rest->len)
        return false;
    *front = span_of(rest->at, len);
    *rest = span_skip(*rest, len);
    return true;
}

/* Takes what has its length in front, in so many bytes. */
static bool counted_take(struct span *rest, size_t length_bytes, struct span *front) {
    struct span length;
    return front_take(rest, length_bytes, &length) && front_take(rest, be(length), front);
}

bool amqp_properties_read(struct span raw, struct amqp_properties *properties) {
    enum { SHORT_STRING, TABLE, BYTE, STAMP };
    struct span unused;
    const struct {
        struct span *text;
        int sort;
    } order[] = {
        {&properties->content_type, SHORT_STRING},
        {&properties->content_encoding, SHORT_STRING},
        {&properties->headers, TABLE},
        {&unused, BYTE}, /* delivery_mode */
        {&unused, BYTE}, /* priority */
        {&properties->correlation_id, SHORT_STRING},
        {&properties->reply_to, SHORT_STRING},
        {&properties->expiration, SHORT_STRING},
        {&properties->message_id, SHORT_STRING},
        {&unused, STAMP},
        {&properties->type, SHORT_STRING},
        {&unused, SHORT_STRING}, /* user_id */
        {&unused, SHORT_STRING}, /* app_id */
        {&unused, SHORT_STRING}, /* cluster_id */
    };
    struct span flag_bytes;
    memset(properties, 0, sizeof(*properties));
    if (!front_take(&raw, 2, &flag_bytes))
        return false;
    uint64_t flags = be(flag_bytes);
    if ((flags & FLAG_MORE) != 0)
        return false;
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        if ((flags & 1u << (FLAG_FIRST - i)) == 0)
            continue;
        bool good = order[i].sort == SHORT_STRING ? counted_take(&raw, 1, order[i].text)
                    : order[i].sort == TABLE
                        ? counted_take(&raw, 4, order[i].text)
                        : front_take(&raw, order[i].sort == BYTE ? 1 : 8, order[i].text);
        if (!good)
            return false;
    }
    return raw.len == 0;
}

/* A value whose kind is read. */
static enum amqp_step value_take(struct span *rest, struct amqp_value *value) {
    struct span kind;
    bool good;
    if (!front_take(rest, 1, &kind))
        return AMQP_STEP_BAD;
    value->kind = (enum amqp_kind)kind.at[0];
    switch (kind.at[0]) {
    case AMQP_BOOLEAN:
    case AMQP_I8:
    case AMQP_U8:
        good = front_take(rest, 1, &value->bytes);
        break;
    case AMQP_I16:
    case AMQP_U16:
        good = front_take(rest, 2, &value->bytes);
        break;
    case AMQP_I32:
    case AMQP_U32:
    case AMQP_F32:
        good = front_take(rest, 4, &value->bytes);
        break;
    case AMQP_DECIMAL:
        good = front_take(rest, 5, &value->bytes);
        break;
    case AMQP_I64:
    case AMQP_I64_TOO:
    case AMQP_F64:
    case AMQP_TIMESTAMP:
        good = front_take(rest, 8, &value->bytes);
        break;
    case AMQP_STRING:
    case AMQP_BYTES:
    case AMQP_ARRAY:
    case AMQP_TABLE:
        good = counted_take(rest, 4, &value->bytes);
        break;
    case AMQP_VOID:
        good = front_take(rest, 0, &value->bytes);
        break;
    default:
        good = false;
        break;
    }
    return good ? AMQP_STEP_NEXT : AMQP_STEP_BAD;
}

enum amqp_step amqp_table_next(struct span *rest, struct span *name, struct amqp_value *value) {
    if (rest->len == 0)
        return AMQP_STEP_END;
    return counted_take(rest, 1, name) ? value_take(rest, value) : AMQP_STEP_BAD;
}

enum amqp_step amqp_array_next(struct span *rest, struct amqp_value *value) {
    return rest->len == 0 ? AMQP_STEP_END : value_take(rest, value);
}

bool amqp_table_find(struct span table, struct span name, struct amqp_value *value) {
    struct span found;
    while (amqp_table_next(&table, &found, value) == AMQP_STEP_NEXT)
        if (span_equal(found, name))
            return true;
    return false;
}

/* --- numbers ---------------------------------------------------------------------------------- */

/* False: it is no whole number. */
static bool whole(const struct amqp_value *value, int64_t *number) {
    uint64_t bits = 0, sign = 0;
    if (value->bytes.len != 0 && value->bytes.len <= 8) {
        bits = be(value->bytes);
        sign = UINT64_C(1) << (8 * value->bytes.len - 1);
    }
    switch (value->kind) {
    case AMQP_I8:
    case AMQP_I16:
    case AMQP_I32:
        *number = (int64_t)((bits ^ sign) - sign);
        return true;
    case AMQP_U8:
    case AMQP_U16:
    case AMQP_U32:
    case AMQP_I64:
    case AMQP_I64_TOO:
        *number = (int64_t)bits;
        return true;
    default:
        return false;
    }
}

bool amqp_number_text(const struct amqp_value *value, char text[AMQP_NUMBER_BYTES]) {
    int64_t number;
    double real;
    if (whole(value, &number)) {
        snprintf(text, AMQP_NUMBER_BYTES, "%lld", (long long)number);
        return true;
    }
    switch (value->kind) {
    case AMQP_F32: {
        uint32_t bits = (uint32_t)be(value->bytes);
        float single;
        memcpy(&single, &bits, sizeof(single));
        real = (double)single;
        break;
    }
    case AMQP_F64: {
        uint64_t bits = be(value->bytes);
        memcpy(&real, &bits, sizeof(real));
        break;
    }
    case AMQP_DECIMAL: {
        unsigned scale = (unsigned char)value->bytes.at[0];
        snprintf(text, AMQP_NUMBER_BYTES, "%llde-%u",
                 (long long)(int32_t)be(span_skip(value->bytes, 1)), scale);
        return true;
    }
    default:
        return false;
    }
    if (!isfinite(real))
        return false;
    snprintf(text, AMQP_NUMBER_BYTES, "%.17g", real);
    return true;
}

bool amqp_number_u64(const struct amqp_value *value, uint64_t *number) {
    int64_t found;
    if (!whole(value, &found) || found < 0)
        return false;
    *number = (uint64_t)found;
    return true;
}
