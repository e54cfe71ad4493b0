#include "ha/redis/wire.h"

#include "core/base/clock.h"
#include "core/base/strbuf.h"
#include "core/namespaces.h"
#include "proto/text/base64.h"
#include "proto/text/hex.h"
#include "proto/text/json.h"

static const struct span words[WIRE_PLACES] = {
    [WIRE_ID] = SPAN_INIT("id:"),
    [WIRE_GROUP] = SPAN_INIT("group:"),
    [WIRE_ALL] = SPAN_INIT("all"),
    [WIRE_NODE] = SPAN_INIT("node:"),
};

size_t wire_channel_write(struct span prefix, const struct wire_channel *channel,
                          char text[WIRE_CHANNEL_BYTES_MAX]) {
    struct builder out = builder_over(text, WIRE_CHANNEL_BYTES_MAX);
    builder_span_add(&out, prefix);
    builder_span_add(&out, words[channel->place]);
    builder_span_add(&out, channel->name);
    return out.len;
}

static bool begins(struct span text, struct span with) {
    return text.len >= with.len && memcmp(text.at, with.at, with.len) == 0;
}

bool wire_channel_read(struct span prefix, struct span text, struct wire_channel *channel) {
    if (!begins(text, prefix))
        return false;
    text = span_of(text.at + prefix.len, text.len - prefix.len);
    for (unsigned place = 0; place < WIRE_PLACES; place++) {
        if (!begins(text, words[place]))
            continue;
        channel->place = (enum wire_place)place;
        channel->name = span_of(text.at + words[place].len, text.len - words[place].len);
        return (channel->name.len == 0) == (place == WIRE_ALL) &&
               channel->name.len <= NAME_BYTES_MAX;
    }
    return false;
}

/* --- written --------------------------------------------------------------------------------- */

/* A node knows its own copies by this, with its run behind it. */
static const struct span opening = SPAN_INIT("{\"node\":{\"run\":\"");
static const struct span copy_follows = SPAN_INIT("\",\"p\":");

void wire_node_write(const struct wire_node *node, struct builder *out) {
    builder_span_add(out, opening);
    builder_bytes(out, node->run, sizeof(node->run));
    builder_span_add(out, copy_follows);
    builder_u64(out, node->copy);
    json_key_u64(out, "n", node->number);
    json_key_u64(out, "s", node->count);
    json_key_u64(out, "e", node->epoch);
    if (node->is_bytes)
        builder_text(out, ",\"bytes\":true");
    if (node->keeps)
        builder_text(out, ",\"keeps\":true");
    if (node->again)
        builder_text(out, ",\"again\":true");
    builder_text(out, "},");
}

void wire_word_write(const struct wire_node *node, struct builder *out) {
    builder_span_add(out, opening);
    builder_bytes(out, node->run, sizeof(node->run));
    builder_byte(out, '"');
    json_key_text(out, "name", node->name);
    json_key(out, "lives");
    builder_text(out, node->lives ? "true" : "false");
    if (node->asks)
        builder_text(out, ",\"asks\":true");
    if (node->asks_sent != 0)
        json_key_u64(out, "asks_sent", node->asks_sent);
    if (node->peer.len != 0)
        json_key_text(out, "peer", node->peer);
    builder_text(out, "}}");
}

static void numbered(const char run[WIRE_RUN_BYTES], const char *what, uint64_t number,
                     struct builder *out) {
    builder_span_add(out, opening);
    builder_bytes(out, run, WIRE_RUN_BYTES);
    builder_byte(out, '"');
    json_key_u64(out, what, number);
}

void wire_call_begin(const char run[WIRE_RUN_BYTES], uint64_t number, struct builder *out) {
    numbered(run, "call", number, out);
    json_key(out, "does");
}

void wire_answer_begin(const char run[WIRE_RUN_BYTES], uint64_t number, struct builder *out) {
    numbered(run, "answer", number, out);
}

/* Keys, brackets, numbers, the ttl. */
#define REST_BYTES 320

static size_t names_bytes(const struct message *message, uint32_t count) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += builder_json_max(message->names[i].len) + 1;
    return bytes;
}

size_t wire_rest_bytes(const struct message *message) {
    uint32_t names = message_address_count(message) + message->except_count;
    return REST_BYTES + names_bytes(message, names) + builder_json_max(message_event(message).len) +
           builder_json_max(message_id(message).len) + message->group_json_len +
           NAMESPACE_BYTES_MAX * 6 +
           (message->is_bytes ? base64_len(message->payload_len) : message->payload_len);
}

static void names_write(const struct message *message, const char *key,
                        const struct message_name *names, uint32_t count, struct builder *out) {
    if (count == 0)
        return;
    json_key(out, key);
    for (uint32_t i = 0; i < count; i++) {
        builder_byte(out, i == 0 ? '[' : ',');
        builder_json(out, message_name_text(message, &names[i]));
    }
    builder_byte(out, ']');
}

/* What is left of it, in seconds: rounded up, or it would be none. */
static void ttl_write(const struct message *message, uint64_t now_ns, struct builder *out) {
    uint64_t left_ns = message->expires_ns > now_ns ? message->expires_ns - now_ns : 1;
    uint64_t left_ms = (left_ns + NS_PER_MS - 1) / NS_PER_MS;
    json_key(out, "ttl");
    builder_u64(out, left_ms / 1000);
    builder_byte(out, '.');
    for (unsigned digit = 100; digit != 0; digit /= 10)
        builder_byte(out, (char)('0' + left_ms / digit % 10));
}

void wire_rest_write(const struct message *message, const struct message_name *only,
                     uint64_t now_ns, struct builder *out) {
    json_key_text(out, "id", message_id(message));
    if (only != NULL)
        names_write(message, "to", only, 1, out);
    else
        names_write(message, "to", message_to(message), message->to_count, out);
    if (message->group_count != 0) {
        json_key(out, "group");
        builder_span_add(out, message_group_json(message));
    }
    if (message->broadcast)
        builder_text(out, ",\"broadcast\":true");
    names_write(message, "except", message_except(message), message->except_count, out);
    json_key_text(out, "event", message_event(message));
    if (message->class == CLASS_VOLATILE)
        builder_text(out, ",\"volatile\":true");
    if (message->class == CLASS_ACK)
        builder_text(out, ",\"ack\":true");
    if (message->namespace != NAMESPACE_MAIN)
        json_key_text(out, "namespace", namespace_name(message->namespace));
    ttl_write(message, now_ns, out);
    json_key(out, "data");
    if (message->is_bytes) {
        builder_byte(out, '"');
        base64_encode(out, message_payload(message));
        builder_byte(out, '"');
    } else {
        builder_span_add(out, message_payload(message));
    }
    builder_byte(out, '}');
}

/* --- read ------------------------------------------------------------------------------------ */

bool wire_is_own(struct span text, const char run[WIRE_RUN_BYTES], uint64_t *copy) {
    size_t at = opening.len + WIRE_RUN_BYTES;
    if (text.len < at + copy_follows.len || !begins(text, opening) ||
        memcmp(text.at + opening.len, run, WIRE_RUN_BYTES) != 0)
        return false;
    struct span rest = span_of(text.at + at, text.len - at);
    *copy = 0;
    if (!begins(rest, copy_follows)) /* another word of it, which is none of a message */
        return true;
    for (at += copy_follows.len; at < text.len && text.at[at] >= '0' && text.at[at] <= '9'; at++)
        *copy = *copy * 10 + (uint64_t)(text.at[at] - '0');
    return true;
}

static bool run_read(const struct json_value *value, char run[WIRE_RUN_BYTES]) {
    if (value->kind != JSON_STRING || value->raw.len != WIRE_RUN_BYTES + 2)
        return false;
    memcpy(run, value->raw.at + 1, WIRE_RUN_BYTES);
    for (unsigned i = 0; i < WIRE_RUN_BYTES; i++)
        if (hex_digit(run[i]) < 0)
            return false;
    return true;
}

bool wire_node_read(struct span object, struct wire_node *node) {
    struct json_cursor cursor;
    struct json_value key, value;
    bool has_run = false;
    *node = (struct wire_node){.number = 0};
    if (json_open(&cursor, object) != JSON_OBJECT)
        return false;
    while (json_object_next(&cursor, &key, &value)) {
        struct span name = json_inside(&key);
        bool good = true;
        if (span_equal(name, SPAN("run")))
            good = has_run = run_read(&value, node->run);
        else if (span_equal(name, SPAN("n")))
            good = value.kind == JSON_NUMBER && json_u64(value.raw, &node->number);
        else if (span_equal(name, SPAN("p")))
            good = value.kind == JSON_NUMBER && json_u64(value.raw, &node->copy);
        else if (span_equal(name, SPAN("s")))
            good = value.kind == JSON_NUMBER && json_u64(value.raw, &node->count);
        else if (span_equal(name, SPAN("e")))
            good = value.kind == JSON_NUMBER && json_u64(value.raw, &node->epoch);
        else if (span_equal(name, SPAN("bytes")))
            node->is_bytes = value.kind == JSON_TRUE;
        else if (span_equal(name, SPAN("keeps")))
            node->keeps = value.kind == JSON_TRUE;
        else if (span_equal(name, SPAN("again")))
            node->again = value.kind == JSON_TRUE;
        else if (span_equal(name, SPAN("lives")))
            node->lives = value.kind == JSON_TRUE;
        else if (span_equal(name, SPAN("asks")))
            node->asks = value.kind == JSON_TRUE;
        else if (span_equal(name, SPAN("came")) && (good = value.kind == JSON_ARRAY))
            node->came = value.raw;
        else if (span_equal(name, SPAN("settled")) && (good = value.kind == JSON_ARRAY))
            node->settled = value.raw;
        else if (span_equal(name, SPAN("acked")) && (good = value.kind == JSON_ARRAY))
            node->acked = value.raw;
        else if (span_equal(name, SPAN("sent")) && (good = value.kind == JSON_ARRAY))
            node->sent = value.raw;
        else if (span_equal(name, SPAN("asks_sent")))
            good = value.kind == JSON_NUMBER && json_u64(value.raw, &node->asks_sent);
        else if (span_equal(name, SPAN("call")))
            good = value.kind == JSON_NUMBER && json_u64(value.raw, &node->call);
        else if (span_equal(name, SPAN("answer")))
            good = value.kind == JSON_NUMBER && json_u64(value.raw, &node->answer);
        else if (span_equal(name, SPAN("more")))
            node->more = value.kind == JSON_TRUE;
        else if (span_equal(name, SPAN("failed")))
            node->failed = value.kind == JSON_TRUE;
        else if (span_equal(name, SPAN("does")) && (good = value.kind == JSON_OBJECT))
            node->does = value.raw;
        else if (span_equal(name, SPAN("says")) && (good = value.kind == JSON_ARRAY))
            node->says = value.raw;
        else if (span_equal(name, SPAN("name")) &&
                 (good = value.kind == JSON_STRING && !value.escaped))
            node->name = json_inside(&value);
        else if (span_equal(name, SPAN("peer")) &&
                 (good = value.kind == JSON_STRING && !value.escaped))
            node->peer = json_inside(&value);
        if (!good)
            return false;
    }
    return has_run && cursor.error.text == NULL;
}
