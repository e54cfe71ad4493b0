#include "proto/web/sio/sio_packet.h"

#include "proto/text/names.h"

/* What is left of a packet. */
struct eye {
    const char *at, *end;
};

static bool is_digit(char byte) {
    return byte >= '0' && byte <= '9';
}

static bool eye_at_digit(const struct eye *eye) {
    return eye->at != eye->end && is_digit(*eye->at);
}

/* A decimal number of at most `max`; false: it is larger. */
static bool eye_number(struct eye *eye, uint64_t max, uint64_t *value) {
    uint64_t sum = 0;
    for (; eye_at_digit(eye); eye->at++) {
        sum = sum * 10 + (uint64_t)(*eye->at - '0');
        if (sum > max)
            return false;
    }
    *value = sum;
    return true;
}

static bool type_is_binary(enum sio_type type) {
    return type == SIO_BINARY_EVENT || type == SIO_BINARY_ACK;
}

static bool type_is_event(enum sio_type type) {
    return type == SIO_EVENT || type == SIO_BINARY_EVENT;
}

static const char *attachments_read(struct eye *eye, struct sio_packet *packet) {
    uint64_t count;
    if (!eye_at_digit(eye))
        return "its count of attachments is missing";
    if (!eye_number(eye, SIO_ATTACHMENTS_MAX, &count))
        return "it has more than 10 attachments";
    if (eye->at == eye->end || *eye->at != '-')
        return "its count of attachments does not end in a dash";
    eye->at++;
    packet->attachments = (unsigned)count;
    return NULL;
}

static const char *namespace_read(enum sio_version version, struct eye *eye,
                                  struct sio_packet *packet) {
    packet->namespace = SPAN("/");
    if (eye->at == eye->end || *eye->at != '/')
        return NULL;
    size_t left = (size_t)(eye->end - eye->at);
    const char *comma = memchr(eye->at, ',', left);
    struct span whole = span_of(eye->at, comma == NULL ? left : (size_t)(comma - eye->at));
    eye->at += whole.len + (comma == NULL ? 0 : 1);
    const char *mark = version == SIO_PROTOCOL_4 ? memchr(whole.at, '?', whole.len) : NULL;
    if (mark != NULL) {
        size_t before = (size_t)(mark - whole.at);
        packet->query = span_skip(whole, before + 1);
        whole.len = before;
    }
    packet->namespace = whole;
    return name_check(whole) == NULL ? NULL : "its namespace is no name";
}

/* The first element of an event's array, of which no more is looked at. */
static const char *event_read(struct sio_packet *packet, struct span array) {
    struct json_cursor cursor;
    if (json_open(&cursor, array) != JSON_ARRAY)
        return "its payload is not an array";
    if (!json_array_next(&cursor, &packet->event))
        return "its event has no name";
    if (packet->event.kind == JSON_NUMBER)
        return NULL;
    if (packet->event.kind != JSON_STRING)
        return "the name of its event is neither a string nor a number";
    char room[32];
    struct builder scratch = builder_over(room, sizeof room);
    struct span name;
    /* What is longer, or holds what no name may, is none of the reserved words. */
    if (json_text(&packet->event, &scratch, &name) == NULL && name.len < sizeof room &&
        name_check(name) == NULL && event_check(name) != NULL)
        return "the name of its event is a reserved word";
    return NULL;
}

static const char *payload_check(enum sio_version version, struct sio_packet *packet) {
    enum json_kind kind = packet->json.kind;
    switch (packet->type) {
    case SIO_CONNECT:
        return kind == JSON_NONE || kind == JSON_OBJECT || version == SIO_PROTOCOL_4
                   ? NULL
                   : "its payload is not an object";
    case SIO_DISCONNECT:
        return kind == JSON_NONE ? NULL : "it has a payload";
    case SIO_CONNECT_ERROR:
        return NULL;
    default:
        break;
    }
    if (kind != JSON_ARRAY)
        return "its payload is not an array";
    if (type_is_binary(packet->type) &&
        !sio_placeholders_fit(packet->json.raw, packet->attachments))
        return "a placeholder names no attachment";
    return type_is_event(packet->type) ? event_read(packet, packet->json.raw) : NULL;
}

/* All but the payload, which is `rest`. */
static const char *head_read(enum sio_version version, struct span text, struct sio_packet *packet,
                             struct span *rest) {
    struct eye eye = {text.at, text.at + text.len};
    const char *wrong = NULL;
    *packet = (struct sio_packet){.type = SIO_TYPES};
    if (text.len == 0 || *eye.at < '0' || *eye.at >= '0' + SIO_TYPES)
        return "its type is unknown";
    packet->type = (enum sio_type)(*eye.at++ - '0');
    if (type_is_binary(packet->type))
        wrong = attachments_read(&eye, packet);
    if (wrong == NULL)
        wrong = namespace_read(version, &eye, packet);
    if (wrong != NULL)
        return wrong;
    if (eye_at_digit(&eye)) {
        packet->has_id = true;
        if (!eye_number(&eye, SIO_ID_MAX, &packet->id))
            return "its id is too large";
    }
    *rest = span_of(eye.at, (size_t)(eye.end - eye.at));
    return NULL;
}

const char *sio_packet_read_long(enum sio_version version, struct span text,
                                 struct sio_packet *packet) {
    struct span rest;
    const char *wrong = head_read(version, text, packet, &rest);
    if (wrong != NULL)
        return wrong;
    packet->is_long = true;
    return packet->type == SIO_EVENT ? event_read(packet, rest) : "its payload is too long";
}

const char *sio_packet_read(enum sio_version version, struct span text, struct sio_packet *packet) {
    struct json_error error;
    struct span rest;
    const char *wrong = head_read(version, text, packet, &rest);
    if (wrong != NULL)
        return wrong;
    if (rest.len != 0 && !json_scan(rest, &packet->json, &error))
        return "its payload is not JSON";
    return payload_check(version, packet);
}

/* --- placeholders ----------------------------------------------------------------------------- */

#define KEY_FLAG SPAN("\"_placeholder\"")
#define KEY_NUMBER SPAN("\"num\"")

/* What is known of an object or array that is being walked through. */
struct level {
    bool object;
    bool flagged;  /* `_placeholder` is true */
    bool numbered; /* `num` is a number that names an attachment */
};

/* Behind the string that begins here. */
static const char *string_end(const char *at) {
    for (at++; *at != '"'; at++)
        at += *at == '\\';
    return at + 1;
}

/* The number of a placeholder, as JavaScript would use it: only whole ones name anything. */
static bool number_fits(const char *at, const char *end, unsigned attachments) {
    struct eye eye = {at, end};
    uint64_t value;
    return eye_at_digit(&eye) && eye_number(&eye, SIO_ATTACHMENTS_MAX, &value) &&
           value < attachments &&
           (eye.at == end || (*eye.at != '.' && *eye.at != 'e' && *eye.at != 'E'));
}

/* Notes what the member says that has this key and begins here. */
static void member_see(struct level *level, struct span key, const char *at, const char *end,
                       unsigned attachments) {
    /* JavaScript takes the last one of the same name. */
    if (span_equal(key, KEY_FLAG))
        level->flagged = *at == 't';
    else if (span_equal(key, KEY_NUMBER))
        level->numbered = number_fits(at, end, attachments);
}

/* One pass through a valid text. `met`: there was a placeholder. False: one names nothing. */
static bool placeholders_walk(struct span json, unsigned attachments, bool *met) {
    struct level levels[JSON_DEPTH_MAX + 1], *level = levels;
    const char *at = json.at, *end = json.at + json.len;
    *level = (struct level){.object = false};
    *met = false;
    while (at != end) {
        switch (*at) {
        case '{':
        case '[':
            *++level = (struct level){.object = *at == '{'};
            at++;
            break;
        case '}':
        case ']':
            *met |= level->flagged;
            if (level->flagged && !level->numbered)
                return false;
            level--;
            at++;
            break;
        case '"': {
            const char *behind = string_end(at);
            struct span key = span_of(at, (size_t)(behind - at));
            at = behind;
            while (at != end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
                at++;
            if (at == end || *at != ':')
                break;
            for (at++; *at == ' ' || *at == '\t' || *at == '\n' || *at == '\r';)
                at++;
            if (level->object)
                member_see(level, key, at, end, attachments);
            break;
        }
        default:
            at++;
            break;
        }
    }
    return true;
}

bool sio_placeholders_fit(struct span json, unsigned attachments) {
    bool met;
    return placeholders_walk(json, attachments, &met);
}

bool sio_has_placeholder(struct span json) {
    bool met;
    return !placeholders_walk(json, 0, &met) || met;
}

bool sio_is_placeholder(const struct json_value *value, unsigned *attachment) {
    struct json_cursor cursor;
    struct json_value key, member;
    bool flagged = false, numbered = false;
    if (value->kind != JSON_OBJECT)
        return false;
    json_open(&cursor, value->raw);
    while (json_object_next(&cursor, &key, &member)) {
        uint64_t number;
        if (span_equal(key.raw, KEY_FLAG)) {
            flagged = member.kind == JSON_TRUE;
        } else if (span_equal(key.raw, KEY_NUMBER)) {
            numbered = member.kind == JSON_NUMBER && json_u64(member.raw, &number) &&
                       number < SIO_ATTACHMENTS_MAX;
            *attachment = numbered ? (unsigned)number : 0;
        }
    }
    return flagged && numbered;
}

/* --- writing ---------------------------------------------------------------------------------- */

void sio_head_write(struct builder *out, enum sio_type type, unsigned attachments,
                    struct span namespace, const uint64_t *id) {
    builder_byte(out, (char)('0' + type));
    if (type_is_binary(type)) {
        builder_u64(out, attachments);
        builder_byte(out, '-');
    }
    if (!span_equal(namespace, SPAN("/"))) {
        builder_span_add(out, namespace);
        builder_byte(out, ',');
    }
    if (id != NULL)
        builder_u64(out, *id);
}
