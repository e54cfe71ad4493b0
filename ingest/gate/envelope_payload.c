/* envelope_payload.c - the payload of a message: its bounds, its form, its part in the digest; see
 * envelope.h. */
#include "ingest/gate/envelope.h"

#include "core/namespaces.h"
#include "proto/text/base64.h"
#include "proto/text/json.h"
#include "proto/text/json_blanks.h"
#include "proto/text/utf8.h"

#define LONG_TEXT_BYTES (1024 * 1024)

static bool refuse_length(struct complaint *complaint, size_t max_message_bytes, const char *form) {
    complaint_make(complaint, CODE_TOO_LARGE, SPAN("data"), "data is longer than %zu bytes%s",
                   max_message_bytes, form);
    return false;
}

static void set_payload(struct envelope *envelope, enum payload_kind kind, struct span data,
                        size_t payload_max, size_t breaks_grow) {
    envelope->data = data;
    envelope->kind = kind;
    envelope->parts.is_bytes = kind == PAYLOAD_BYTES;
    envelope->parts.payload_max = payload_max;
    envelope->parts.breaks_grow = (uint32_t)breaks_grow;
}

bool envelope_set_json(struct envelope *envelope, const struct json_value *json,
                       size_t max_message_bytes, struct complaint *complaint) {
    size_t grow = json->breaks_grow, len = json->raw.len;
    /* CR and LF are only counted when they may make the difference. */
    if (len + grow > max_message_bytes)
        len = json_compact_len(json->raw);
    if (len + grow > max_message_bytes)
        return refuse_length(complaint, max_message_bytes, "");
    set_payload(envelope, PAYLOAD_JSON, json->raw, len, grow);
    return true;
}

static bool set_text(struct envelope *envelope, struct span text, size_t max_message_bytes,
                     struct complaint *complaint) {
    size_t bad;
    if (text.len > max_message_bytes)
        return refuse_length(complaint, max_message_bytes, " as a JSON string");
    if (!utf8_valid(text, &bad)) {
        complaint_make(complaint, CODE_BAD_MESSAGE, SPAN("data"), "data is not UTF-8 at byte %zu",
                       bad);
        return false;
    }
    size_t len = json_quoted_len(text), grow = json_breaks_grow(text);
    if (len + grow > max_message_bytes)
        return refuse_length(complaint, max_message_bytes, " as a JSON string");
    set_payload(envelope, PAYLOAD_TEXT, text, len, grow);
    return true;
}

bool envelope_set_data(struct envelope *envelope, enum payload_kind kind, struct span data,
                       size_t max_message_bytes, struct complaint *complaint) {
    struct json_value value;
    struct json_error error;
    struct span rest;
    const char *dense;
    switch (kind) {
    case PAYLOAD_JSON:
        /* Blanks in front may be many, and are passed once; what is much too long is not read to
         * find out whether it is right. */
        dense = json_dense_end(data, 1);
        rest = span_skip(data, (size_t)(dense - data.at));
        if (rest.len > LONG_TEXT_BYTES &&
            json_dense_end(rest, 2 * max_message_bytes) != rest.at + rest.len)
            return refuse_length(complaint, max_message_bytes, "");
        if (json_scan(rest, &value, &error))
            return envelope_set_json(envelope, &value, max_message_bytes, complaint);
        error.offset += (size_t)(dense - data.at);
        complaint_json(complaint, &error);
        return false;
    case PAYLOAD_TEXT:
        return set_text(envelope, data, max_message_bytes, complaint);
    default:
        if (base64_len(data.len) > max_message_bytes)
            return refuse_length(complaint, max_message_bytes, " as base64");
        set_payload(envelope, PAYLOAD_BYTES, data, data.len, 0);
        return true;
    }
}

void envelope_payload(const struct envelope *envelope, struct builder *out) {
    switch (envelope->kind) {
    case PAYLOAD_JSON:
        json_compact(envelope->data, out);
        break;
    case PAYLOAD_TEXT:
        builder_json_payload(out, envelope->data);
        break;
    default:
        builder_span_add(out, envelope->data);
        break;
    }
}

/* Takes one more piece of at most NAME_BYTES_MAX bytes into the digest. */
static void digest_add(struct hash128 *digest, char mark, struct span piece) {
    char bytes[sizeof *digest + 1 + NAME_BYTES_MAX];
    struct builder all = builder_over(bytes, sizeof bytes);
    builder_bytes(&all, digest, sizeof *digest);
    builder_byte(&all, mark);
    builder_span_add(&all, piece);
    *digest = hash128(builder_span(&all));
}

static void digest_add_names(struct hash128 *digest, char mark, const struct name_list *list) {
    for (unsigned i = 0; i < list->count; i++)
        digest_add(digest, mark, list->at[i]);
}

/* A chain of keyed hashes, one for each piece with what the piece is: nothing has to be put
 * together, and lists are sorted already. */
struct hash128 envelope_digest(const struct envelope *envelope, struct span payload) {
    const struct message_parts *parts = &envelope->parts;
    static const char marks[CLASSES] = {
        [CLASS_DEFAULT] = '-', [CLASS_VOLATILE] = 'v', [CLASS_ACK] = 'a'};
    char class[] = {parts->broadcast ? 'b' : '-', marks[parts->class], parts->is_bytes ? 'r' : '-'};
    struct hash128 of_payload = hash128(payload);
    struct hash128 digest = {0, 0};
    digest_add(&digest, 'c', span_of(class, sizeof class));
    digest_add(&digest, 'e', parts->event);
    digest_add_names(&digest, 't', &envelope->to);
    digest_add_names(&digest, 'g', &envelope->groups);
    digest_add_names(&digest, 'x', &envelope->except);
    if (parts->namespace != NAMESPACE_MAIN)
        digest_add(&digest, 'n', namespace_name(parts->namespace));
    digest_add(&digest, 'd', span_of(&of_payload, sizeof of_payload));
    return digest;
}
