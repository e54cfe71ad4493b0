#include "ha/store/entry.h"

#include "core/base/check.h"
#include "core/message.h"
#include "proto/text/json.h"
#include "proto/text/names.h"

#include <endian.h>

/* One letter for the sort, then a name (dedup.h). */
#define SCOPE_BYTES_MAX (1 + NAME_BYTES_MAX)
#define ADDRESS_FIXED_BYTES 13
#define FATE_FIXED_BYTES 44
#define EVENT_BYTES_MAX UINT16_MAX
#define TTL_MS_MAX (604800 * UINT64_C(1000))
#define WALL_MS_MAX (UINT64_C(1) << 48) /* the year 10889 */

uint32_t entry_bytes_max(uint32_t max_message_bytes) {
    return ENTRY_FIXED_MAX + SCOPE_BYTES_MAX + MESSAGE_ID_BYTES_MAX +
           ADDRESSES_PER_MESSAGE_MAX * NAME_BYTES_MAX + EVENT_BYTES_MAX + max_message_bytes;
}

/* --- writing --------------------------------------------------------------------------------- */

struct pen {
    char *at;
};

static void put_u8(struct pen *pen, uint8_t value) {
    *pen->at++ = (char)value;
}

static void put_u16(struct pen *pen, uint16_t value) {
    value = htole16(value);
    memcpy(pen->at, &value, sizeof(value));
    pen->at += sizeof(value);
}

static void put_u32(struct pen *pen, uint32_t value) {
    value = htole32(value);
    memcpy(pen->at, &value, sizeof(value));
    pen->at += sizeof(value);
}

static void put_u64(struct pen *pen, uint64_t value) {
    value = htole64(value);
    memcpy(pen->at, &value, sizeof(value));
    pen->at += sizeof(value);
}

static struct pen out_begin(struct entry_out *out) {
    out->count = 1; /* the fixed part, whose length comes last */
    out->bytes = 0;
    return (struct pen){out->fixed};
}

static void out_text(struct entry_out *out, struct span text) {
    if (text.len == 0)
        return;
    CHECK(out->count < ENTRY_PARTS_MAX);
    out->parts[out->count++] = text;
    out->bytes += text.len;
}

static void out_end(struct entry_out *out, const struct pen *pen) {
    size_t len = (size_t)(pen->at - out->fixed);
    CHECK(len <= sizeof(out->fixed));
    out->parts[0] = span_of(out->fixed, len);
    out->bytes += len;
}

/* The client ids stand one behind the other, in the message as in the fate. */
static struct span fate_names(const struct fate *fate) {
    struct span first = fate_address_text(fate, 0);
    struct span last = fate_address_text(fate, fate_count(fate) - 1);
    return span_of(first.at, (size_t)(last.at + last.len - first.at));
}

void entry_message_write(const struct message *message, uint32_t recipients,
                         struct entry_out *out) {
    const struct fate *fate = message->fate;
    struct span scope = fate_scope_of(fate), id = fate_id(fate);
    struct hash128 content = fate_content(fate);
    struct pen pen = out_begin(out);
    put_u64(&pen, message->serial);
    put_u64(&pen, fate_accepted_ms(fate));
    put_u64(&pen, message_expires_ms(message));
    put_u64(&pen, content.low);
    put_u64(&pen, content.high);
    put_u32(&pen, recipients);
    put_u32(&pen, message->payload_len);
    put_u16(&pen, message->event_len);
    put_u16(&pen, message->to_count);
    put_u8(&pen, message->is_bytes);
    put_u8(&pen, message->namespace);
    put_u8(&pen, (uint8_t)scope.len);
    put_u8(&pen, (uint8_t)id.len);
    for (uint16_t i = 0; i < message->to_count; i++)
        put_u8(&pen, message->names[i].len);
    out_text(out, scope);
    out_text(out, id);
    out_text(out, fate_names(fate));
    out_text(out, message_event(message));
    out_text(out, message_payload(message));
    out_end(out, &pen);
}

void entry_address_write(const struct fate *fate, uint32_t address, unsigned word,
                         struct entry_out *out) {
    struct span scope = fate_scope_of(fate), id = fate_id(fate);
    struct pen pen = out_begin(out);
    put_u64(&pen, fate_serial(fate));
    put_u16(&pen, (uint16_t)address);
    put_u8(&pen, (uint8_t)word);
    put_u8(&pen, (uint8_t)scope.len);
    put_u8(&pen, (uint8_t)id.len);
    out_text(out, scope);
    out_text(out, id);
    out_end(out, &pen);
    CHECK(out->bytes == entry_address_bytes(fate));
}

void entry_fate_write(const struct fate *fate, uint32_t took_ms, struct entry_out *out) {
    struct span scope = fate_scope_of(fate), id = fate_id(fate);
    struct hash128 content = fate_content(fate);
    struct pen pen = out_begin(out);
    put_u64(&pen, fate_serial(fate));
    put_u64(&pen, fate_accepted_ms(fate));
    put_u64(&pen, content.low);
    put_u64(&pen, content.high);
    put_u32(&pen, fate_recipients(fate));
    put_u32(&pen, took_ms);
    put_u16(&pen, (uint16_t)fate_count(fate));
    put_u8(&pen, (uint8_t)scope.len);
    put_u8(&pen, (uint8_t)id.len);
    for (uint32_t i = 0; i < fate_count(fate); i++) {
        const struct fate_address *address = fate_address(fate, i);
        CHECK(address->noted != 0, "the fate of a message is written before it is settled");
        put_u8(&pen, address->len);
        put_u8(&pen, address->noted);
    }
    out_text(out, scope);
    out_text(out, id);
    out_text(out, fate_names(fate));
    out_end(out, &pen);
    CHECK(out->bytes == entry_fate_bytes(fate));
}

size_t entry_address_bytes(const struct fate *fate) {
    return ADDRESS_FIXED_BYTES + fate_scope_of(fate).len + fate_id(fate).len;
}

size_t entry_fate_bytes(const struct fate *fate) {
    return FATE_FIXED_BYTES + 2 * (size_t)fate_count(fate) + fate_scope_of(fate).len +
           fate_id(fate).len + fate_names(fate).len;
}

void entry_void_write(uint64_t serial, struct entry_out *out) {
    struct pen pen = out_begin(out);
    put_u64(&pen, serial);
    out_end(out, &pen);
}

/* --- reading --------------------------------------------------------------------------------- */

struct eye {
    const char *at;
    size_t left;
    bool good;
};

static struct span get_text(struct eye *eye, size_t len) {
    if (!eye->good || len > eye->left) {
        eye->good = false;
        return span_of(NULL, 0);
    }
    struct span text = span_of(eye->at, len);
    eye->at += len;
    eye->left -= len;
    return text;
}

/* `len` is known where it is called: of a million records each number counts. */
static inline uint64_t get_number(struct eye *eye, size_t len) {
    uint64_t value = 0;
    if (!eye->good || len > eye->left) {
        eye->good = false;
        return 0;
    }
    memcpy(&value, eye->at, len);
    eye->at += len;
    eye->left -= len;
    return le64toh(value);
}

static const char *word_check(unsigned word) {
    enum fate_state state = fate_word_state(word);
    enum fate_reason reason = fate_word_reason(word);
    bool dropped = state == FATE_DROPPED;
    if (state == FATE_PENDING || state >= FATE_STATES || reason >= FATE_REASON_COUNT ||
        (reason != FATE_REASON_NONE) != dropped)
        return "an outcome that there is not";
    return NULL;
}

static const char *names_check(const struct entry_in *in) {
    if (message_id_check(in->id) != NULL)
        return "an id that no message can have";
    if (in->scope.len > SCOPE_BYTES_MAX)
        return "a scope that is too long";
    for (uint16_t i = 0; i < in->count; i++)
        if (name_check(in->to[i]) != NULL)
            return "a name that no client can have";
    return NULL;
}

const char *entry_payload_read(struct entry_in *in) {
    struct json_value value;
    struct json_error error;
    in->breaks_grow = 0;
    if (in->is_bytes)
        return NULL;
    if (!json_scan(in->payload, &value, &error) || memchr(in->payload.at, '\n', in->payload.len) ||
        memchr(in->payload.at, '\r', in->payload.len))
        return "a payload that is not JSON in one line";
    in->breaks_grow = (uint32_t)value.breaks_grow;
    return NULL;
}

static const char *message_read(struct eye *eye, struct entry_in *in) {
    uint8_t lens[ADDRESSES_PER_MESSAGE_MAX];
    in->accepted_ms = get_number(eye, 8);
    in->expires_ms = get_number(eye, 8);
    in->content.low = get_number(eye, 8);
    in->content.high = get_number(eye, 8);
    in->recipients = (uint32_t)get_number(eye, 4);
    size_t payload_len = get_number(eye, 4);
    size_t event_len = get_number(eye, 2);
    in->count = (uint16_t)get_number(eye, 2);
    uint64_t is_bytes = get_number(eye, 1);
    in->namespace = (uint8_t)get_number(eye, 1);
    size_t scope_len = get_number(eye, 1), id_len = get_number(eye, 1);
    if (!eye->good || in->count == 0 || in->count > ADDRESSES_PER_MESSAGE_MAX || is_bytes > 1)
        return "a head that no message has";
    in->is_bytes = is_bytes != 0;
    for (uint16_t i = 0; i < in->count; i++)
        lens[i] = (uint8_t)get_number(eye, 1);
    in->scope = get_text(eye, scope_len);
    in->id = get_text(eye, id_len);
    for (uint16_t i = 0; i < in->count; i++)
        in->to[i] = get_text(eye, lens[i]);
    in->event = get_text(eye, event_len);
    in->payload = get_text(eye, payload_len);
    if (!eye->good || eye->left != 0)
        return "another length than its head says";
    if (in->namespace >= NAMESPACES_MAX || in->expires_ms < in->accepted_ms ||
        in->expires_ms - in->accepted_ms > TTL_MS_MAX || in->accepted_ms > WALL_MS_MAX)
        return "a head that no message has";
    if (event_check(in->event) != NULL)
        return "an event that no message has";
    return names_check(in);
}

static const char *address_read(struct eye *eye, struct entry_in *in) {
    in->address = (uint16_t)get_number(eye, 2);
    in->word = (uint8_t)get_number(eye, 1);
    size_t scope_len = get_number(eye, 1), id_len = get_number(eye, 1);
    in->scope = get_text(eye, scope_len);
    in->id = get_text(eye, id_len);
    if (!eye->good || eye->left != 0)
        return "another length than its head says";
    const char *wrong = word_check(in->word);
    return wrong != NULL ? wrong : names_check(in);
}

static const char *fate_read(struct eye *eye, struct entry_in *in) {
    uint8_t lens[ADDRESSES_PER_MESSAGE_MAX];
    in->accepted_ms = get_number(eye, 8);
    in->content.low = get_number(eye, 8);
    in->content.high = get_number(eye, 8);
    in->recipients = (uint32_t)get_number(eye, 4);
    in->took_ms = (uint32_t)get_number(eye, 4);
    in->count = (uint16_t)get_number(eye, 2);
    size_t scope_len = get_number(eye, 1), id_len = get_number(eye, 1);
    if (!eye->good || in->count == 0 || in->count > ADDRESSES_PER_MESSAGE_MAX ||
        in->accepted_ms > WALL_MS_MAX)
        return "a head that no fate has";
    for (uint16_t i = 0; i < in->count; i++) {
        lens[i] = (uint8_t)get_number(eye, 1);
        in->words[i] = (uint8_t)get_number(eye, 1);
    }
    in->scope = get_text(eye, scope_len);
    in->id = get_text(eye, id_len);
    for (uint16_t i = 0; i < in->count; i++)
        in->to[i] = get_text(eye, lens[i]);
    if (!eye->good || eye->left != 0)
        return "another length than its head says";
    for (uint16_t i = 0; i < in->count; i++) {
        const char *wrong = word_check(in->words[i]);
        if (wrong != NULL)
            return wrong;
    }
    return names_check(in);
}

const char *entry_read(unsigned kind, struct span body, struct entry_in *in) {
    struct eye eye = {body.at, body.len, true};
    in->serial = get_number(&eye, 8);
    in->count = 0;
    if (!eye.good || in->serial == 0 || in->serial > ENTRY_SERIAL_MAX)
        return "no serial";
    switch (kind) {
    case ENTRY_MESSAGE:
        return message_read(&eye, in);
    case ENTRY_ADDRESS:
        return address_read(&eye, in);
    case ENTRY_FATE:
        return fate_read(&eye, in);
    case ENTRY_VOID:
        return eye.left == 0 ? NULL : "another length than its head says";
    default:
        return "a kind that this version does not know";
    }
}
