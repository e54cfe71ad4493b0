#include "perf/load/bench_talk.h"

#include "perf/load/bench_sio.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static char *text_of(struct bench_talk *talk) {
    return (char *)talk->room + BENCH_WS_HEAD_MAX;
}

/* Adds to the text as far as there is room. */
__attribute__((format(printf, 2, 3))) static void add(struct bench_talk *talk, const char *format,
                                                      ...) {
    size_t left = BENCH_TALK_BYTES + 8 - talk->len;
    va_list list;
    va_start(list, format);
    int len = vsnprintf(text_of(talk) + talk->len, left, format, list);
    va_end(list);
    if (len > 0)
        talk->len += (uint32_t)((size_t)len < left ? (size_t)len : left - 1);
}

static bool is_framed(enum bench_form form) {
    return form == BENCH_FORM_WS || form == BENCH_FORM_SIO;
}

/* What was made is said: as a frame, with the end of a line, or as it is. */
static struct bench_said end(struct bench_talk *talk, enum bench_form form,
                             enum bench_ws_opcode opcode) {
    struct bench_said said;
    if (is_framed(form)) {
        /* No mask has to be unforeseeable here, where no browser's script has written the text. */
        talk->masks = talk->masks * UINT64_C(6364136223846793005) + 1442695040888963407u;
        said.at = bench_ws_wrap((uint8_t *)text_of(talk), talk->len, opcode,
                                (uint32_t)(talk->masks >> 32));
        said.len = (size_t)((uint8_t *)text_of(talk) - said.at) + talk->len;
    } else {
        if (form != BENCH_FORM_POLL)
            add(talk, form == BENCH_FORM_COUNTED ? "\r\n" : "\n");
        said = (struct bench_said){(uint8_t *)text_of(talk), talk->len};
    }
    talk->len = talk->count = 0;
    return said;
}

static uint32_t groups_of(const struct bench_share *share, uint32_t number) {
    return number < share->members ? share->aims[BENCH_GROUP].streams : 0;
}

/* What registers a client: `before`, its id, its groups if it has some as a list behind `list`. */
static void registration_add(struct bench_talk *talk, const struct bench_share *share,
                             uint32_t number, const char *before, const char *list) {
    char name[BENCH_NAME_BYTES + 1];
    uint32_t groups = groups_of(share, number);
    talk->len = 0;
    bench_name_write(name, 'b', share->run_base, number);
    add(talk, "%s\"%s\"", before, name);
    for (uint32_t k = 0; k < groups; k++) {
        bench_name_write(name, 'g', share->run_base, bench_group_of(share, number, k));
        add(talk, "%s\"%s\"", k == 0 ? list : ",", name);
    }
    add(talk, "%s%s}", groups != 0 ? "]" : "", share->asks ? ",\"meta\":true" : "");
}

struct bench_said bench_talk_hello(struct bench_talk *talk, const struct bench_share *share,
                                   uint32_t number) {
    if (share->form == BENCH_FORM_SIO || share->form == BENCH_FORM_POLL) {
        static const char before[] = {'4', '2', BENCH_SIO_REGISTER, '[', '\0'};
        char text[64];
        snprintf(text, sizeof text, "%s\"register\",{\"socketId\":", before);
        registration_add(talk, share, number, text, ",\"groupFlag\":[");
        add(talk, "]");
    } else {
        registration_add(talk, share, number,
                         share->form == BENCH_FORM_COUNTED ? "HELLO {\"id\":"
                                                           : "{\"type\":\"hello\",\"id\":",
                         ",\"groups\":[");
    }
    return end(talk, share->form, BENCH_WS_TEXT);
}

struct bench_said bench_talk_connect(struct bench_talk *talk, const struct bench_share *share,
                                     uint32_t number) {
    talk->len = 0;
    if (share->by_hello)
        add(talk, "40");
    else
        registration_add(talk, share, number, "40{\"id\":", ",\"groups\":[");
    return end(talk, share->form, BENCH_WS_TEXT);
}

void bench_talk_key(char out[BENCH_WS_KEY_BYTES + 1], const struct bench_share *share,
                    uint32_t number, uint64_t nonce) {
    bench_ws_key(out, (uint64_t)share->run_base << 32 | number, nonce);
}

#define TARGET_BYTES (64u * (BENCH_NAME_BYTES + 8) + 64)

/* The path, with the registration if it is to be there. */
static void target_make(char target[TARGET_BYTES], const struct bench_share *share,
                        uint32_t number) {
    char name[BENCH_NAME_BYTES + 1];
    if (share->form == BENCH_FORM_SIO) {
        snprintf(target, TARGET_BYTES, "/socket.io/?EIO=4&transport=websocket");
        return;
    }
    int len = snprintf(target, TARGET_BYTES, share->form == BENCH_FORM_SSE ? "/events" : "/ws");
    bench_name_write(name, 'b', share->run_base, number);
    if (!share->by_hello)
        len += snprintf(target + len, TARGET_BYTES - (size_t)len, "?id=%s", name);
    for (uint32_t k = 0; !share->by_hello && k < groups_of(share, number); k++) {
        bench_name_write(name, 'g', share->run_base, bench_group_of(share, number, k));
        len += snprintf(target + len, TARGET_BYTES - (size_t)len, "&group=%s", name);
    }
}

static struct bench_said request_make(struct bench_talk *talk, const struct bench_share *share,
                                      uint32_t number, uint64_t nonce) {
    char key[BENCH_WS_KEY_BYTES + 1], target[TARGET_BYTES];
    target_make(target, share, number);
    if (share->form == BENCH_FORM_SSE) {
        talk->len = 0;
        add(talk, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", target,
            share->host);
        return (struct bench_said){(uint8_t *)text_of(talk), talk->len};
    }
    bench_talk_key(key, share, number, nonce);
    return (struct bench_said){
        (uint8_t *)text_of(talk),
        bench_ws_request(text_of(talk), BENCH_TALK_BYTES, target, share->host, key)};
}

struct bench_said bench_talk_first(struct bench_talk *talk, const struct bench_share *share,
                                   uint32_t number, uint64_t nonce) {
    return is_framed(share->form) || share->form == BENCH_FORM_SSE
               ? request_make(talk, share, number, nonce)
               : bench_talk_hello(talk, share, number);
}

struct bench_said bench_talk_ping(struct bench_talk *talk, enum bench_form form) {
    talk->len = 0;
    if (form == BENCH_FORM_SIO)
        add(talk, "42%c[\"leave\",[]]", BENCH_SIO_PING);
    else
        add(talk, form == BENCH_FORM_COUNTED ? "PING" : "{\"type\":\"ping\"}");
    return end(talk, form, BENCH_WS_TEXT);
}

struct bench_said bench_talk_pong(struct bench_talk *talk, enum bench_form form,
                                  const struct bench_line *line, const uint8_t *at) {
    talk->len = 0;
    if (is_framed(form) &&
        (at[0] & 0x0f) == BENCH_WS_PING) { /* with what the ping had in it, at most 125 bytes */
        talk->len = (uint32_t)(line->used - line->head);
        memcpy(text_of(talk), at + line->head, talk->len);
        return end(talk, form, BENCH_WS_PONG);
    }
    if (form == BENCH_FORM_SIO || form == BENCH_FORM_POLL)
        add(talk, "3");
    else
        add(talk, form == BENCH_FORM_COUNTED ? "PONG" : "{\"type\":\"pong\"}");
    return end(talk, form, BENCH_WS_TEXT);
}

/* Calls one more callback, in a frame of its own. */
static bool callback_add(struct bench_talk *talk, uint64_t callback) {
    uint8_t room[BENCH_WS_HEAD_MAX + 32], *text = room + BENCH_WS_HEAD_MAX;
    if (talk->len + sizeof room > BENCH_TALK_BYTES)
        return false;
    int len = snprintf((char *)text, 32, "43%llu[]", (unsigned long long)callback);
    talk->masks = talk->masks * UINT64_C(6364136223846793005) + 1442695040888963407u;
    const uint8_t *at =
        bench_ws_wrap(text, (size_t)len, BENCH_WS_TEXT, (uint32_t)(talk->masks >> 32));
    size_t frame_len = (size_t)(text - at) + (size_t)len;
    memcpy(text_of(talk) + talk->len, at, frame_len);
    talk->len += (uint32_t)frame_len;
    talk->count++;
    return true;
}

bool bench_talk_ack(struct bench_talk *talk, enum bench_form form, const struct bench_asks *asks) {
    bool counted = form == BENCH_FORM_COUNTED;
    if (form == BENCH_FORM_SIO) {
        talk->len = talk->count == 0 ? 0 : talk->len;
        return callback_add(talk, asks->callback);
    }
    if (talk->count == 0)
        talk->len = 0;
    else if (talk->len + asks->id_len + 16 > BENCH_TALK_BYTES)
        return false;
    const char *before = talk->count != 0 ? (counted ? " " : ",")
                         : counted        ? "ACK "
                                          : "{\"type\":\"ack\",\"ids\":[";
    add(talk, counted ? "%s%.*s" : "%s\"%.*s\"", before, (int)asks->id_len, (const char *)asks->id);
    talk->count++;
    return true;
}

struct bench_said bench_talk_acks(struct bench_talk *talk, enum bench_form form) {
    if (form == BENCH_FORM_SIO) {
        struct bench_said said = {(uint8_t *)text_of(talk), talk->len};
        talk->len = talk->count = 0;
        return said;
    }
    if (form != BENCH_FORM_COUNTED)
        add(talk, "]}");
    return end(talk, form, BENCH_WS_TEXT);
}
