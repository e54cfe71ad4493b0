#include "tests/sim/sim_payload.h"

#include "core/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PACKET_BYTES_MAX 4096

const char *payload_query(enum payload_form form) {
    static const char *const queries[] = {
        [PAYLOAD_4] = "EIO=4", [PAYLOAD_3] = "EIO=3", [PAYLOAD_JSONP] = "EIO=3&j=0"};
    return queries[form];
}

void payload_write(struct text *body, enum payload_form form, const char *packets) {
    struct text plain = {0};
    while (form != PAYLOAD_4 && *packets != '\0') {
        size_t len = strcspn(packets, "\x1e"), binary = packets[0] == 'b' ? 1 : 0;
        text_format(&plain, "%zu:%s", len + binary, binary != 0 ? "b4" : "");
        text_add(&plain, packets + binary, len - binary);
        packets += len + (packets[len] != '\0');
    }
    if (form == PAYLOAD_4) {
        text_add(body, packets, strlen(packets));
    } else if (form == PAYLOAD_3) {
        text_span(body, text_as_span(&plain));
    } else {
        text_format(body, "d=");
        text_percent(body, text_as_span(&plain));
    }
    text_free(&plain);
}

/* --- read -------------------------------------------------------------------------------------
 */

struct reader {
    const char *at, *end;
    void (*take)(void *of, char *packet);
    void *of;
};

static bool packet_give(struct reader *reader, const char *prefix, size_t len) {
    char packet[PACKET_BYTES_MAX];
    if (len > (size_t)(reader->end - reader->at))
        return false;
    CHECK(len + strlen(prefix) < sizeof(packet));
    snprintf(packet, sizeof(packet), "%s%.*s", prefix, (int)len, reader->at);
    reader->at += len;
    reader->take(reader->of, packet);
    return true;
}

static bool read_4(struct reader *reader) {
    while (reader->at < reader->end) {
        const char *mark = memchr(reader->at, PACKET_MARK, (size_t)(reader->end - reader->at));
        if (!packet_give(reader, "", (size_t)((mark == NULL ? reader->end : mark) - reader->at)))
            return false;
        reader->at += mark != NULL;
    }
    return true;
}

static bool read_3_text(struct reader *reader) {
    while (reader->at < reader->end) {
        size_t len = 0;
        while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
            len = len * 10 + (size_t)(*reader->at++ - '0');
        if (reader->at == reader->end || *reader->at++ != ':' || len == 0)
            return false;
        if (*reader->at == 'b') {
            reader->at += 2;
            if (len < 2 || !packet_give(reader, "b", len - 2))
                return false;
        } else if (!packet_give(reader, "", len)) {
            return false;
        }
    }
    return true;
}

static bool read_3_bytes(struct reader *reader) {
    while (reader->at < reader->end) {
        size_t len = 0;
        bool binary = *reader->at++ == 1;
        while (reader->at < reader->end && *reader->at >= 0 && *reader->at <= 9)
            len = len * 10 + (size_t)*reader->at++;
        if (reader->at == reader->end || *reader->at++ != '\xff' || len == 0 ||
            len > (size_t)(reader->end - reader->at))
            return false;
        if (binary) {
            struct text base64 = {0};
            text_format(&base64, "b");
            text_base64(&base64, span_of(reader->at + 1, len - 1));
            text_format(&base64, "%c", '\0');
            reader->take(reader->of, base64.at);
            text_free(&base64);
            reader->at += len;
        } else if (!packet_give(reader, "", len)) {
            return false;
        }
    }
    return true;
}

/* `___eio[0]("...");` */
static bool read_script(struct reader *reader) {
    static const char before[] = "___eio[0](", after[] = ");";
    size_t len = (size_t)(reader->end - reader->at), frame = sizeof(before) + sizeof(after) - 2;
    if (len < frame || memcmp(reader->at, before, sizeof(before) - 1) != 0 ||
        memcmp(reader->end - sizeof(after) + 1, after, sizeof(after) - 1) != 0)
        return false;
    struct span quoted = span_of(reader->at + sizeof(before) - 1, len - frame);
    char *plain = malloc(len);
    CHECK(plain != NULL);
    struct reader text = {plain, NULL, reader->take, reader->of};
    bool good = json_string(quoted, plain, len, &len);
    text.end = plain + len;
    good = good && read_3_text(&text);
    free(plain);
    return good;
}

bool payload_read(enum payload_form form, const char *at, size_t len,
                  void (*take)(void *of, char *packet), void *of) {
    struct reader reader = {at, at + len, take, of};
    if (form == PAYLOAD_4)
        return read_4(&reader);
    if (form == PAYLOAD_JSONP)
        return read_script(&reader);
    return len != 0 && (at[0] == 0 || at[0] == 1) ? read_3_bytes(&reader) : read_3_text(&reader);
}
