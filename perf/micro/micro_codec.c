#include "perf/micro/micro.h"

#include "core/base/builder.h"
#include "core/base/hash.h"
#include "perf/load/bench_wire.h"
#include "proto/client/counted.h"
#include "proto/client/line.h"
#include "proto/http/http.h"
#include "proto/http/http_response.h"
#include "proto/text/json.h"

#include <stdio.h>

#define HELLO                                                                                      \
    "{\"type\":\"hello\",\"id\":\"till-7\",\"groups\":[\"shop-1\",\"shop-1-front\"],"              \
    "\"token\":\"0123456789abcdef\"}"

static char payload[129], big[4097], out[8192];
static char request[1024], message[512], ws_frame[520], send_line[512], counted_send[512];
static size_t payload_len = 128, big_len, request_len, message_len, ws_frame_len, send_len,
              counted_send_len;
static size_t name_len = BENCH_NAME_BYTES, hello_len = sizeof HELLO - 1;
static struct line_scratch room;

static struct message_label label = {.id = SPAN_INIT("0123456789abcdefghijklmnop"),
                                     .event = SPAN_INIT("message")};

static void json_check(uint64_t times, const char *text, size_t len) {
    for (uint64_t i = 0; i < times; i++) {
        struct json_error error;
        if (!json_scan(span_of(text, len), NULL, &error))
            micro_fail("the JSON was not taken");
    }
}

static void json_payload(uint64_t times) {
    json_check(times, payload, 128);
}

static void json_big(uint64_t times) {
    json_check(times, big, big_len);
}

static void json_walk(uint64_t times) {
    for (uint64_t i = 0; i < times; i++) {
        struct json_cursor cursor;
        struct json_value key, value;
        json_open(&cursor, span_of(payload, 128));
        while (json_object_next(&cursor, &key, &value))
            micro_sink += value.raw.len;
    }
}

static void http_push(uint64_t times) {
    static struct http_parser parser;
    static struct http_request read;
    http_parser_init(&parser, 65536);
    for (uint64_t i = 0; i < times; i++) {
        size_t len = request_len;
        if (http_request_next(&parser, request, &len, &read) != HTTP_EVENT_WHOLE)
            micro_fail("the request was not taken");
        micro_sink += read.size;
    }
}

static void http_answer(uint64_t times) {
    static unsigned status = 202;
    static struct span body =
        SPAN_INIT("{\"id\":\"0123456789abcdefghijklmnop\",\"state\":\"queued\",\"recipients\":1}");
    for (uint64_t i = 0; i < times; i++) {
        micro_touch(&status);
        micro_touch(&body);
        struct builder text = builder_over(out, sizeof out);
        http_response_whole(&text, 0, SPAN(""), status, NULL, SPAN(""), body);
        if (text.full)
            micro_fail("the answer did not fit");
        micro_touch(out);
        micro_sink += text.len;
    }
}

static void name_hashing(uint64_t times) {
    for (uint64_t i = 0; i < times; i++)
        micro_sink += hash64(span_of(request + 17, BENCH_NAME_BYTES));
}

static void line_read(uint64_t times, struct span text, enum client_line_type type) {
    for (uint64_t i = 0; i < times; i++) {
        struct client_line line;
        struct complaint complaint;
        if (!line_parse(text, &room, &line, &complaint) || line.type != type)
            micro_fail("the line was not taken");
        micro_sink += line.id.len;
    }
}

static void line_hello(uint64_t times) {
    line_read(times, SPAN(HELLO), CLIENT_LINE_HELLO);
}

static void line_join(uint64_t times) {
    line_read(times, SPAN("{\"type\":\"join\",\"groups\":[\"shop-1\"],\"ref\":1}"),
              CLIENT_LINE_JOIN);
}

static void line_send(uint64_t times) {
    line_read(times, span_of(send_line, send_len), CLIENT_LINE_SEND);
}

static void counted_read(uint64_t times, struct span bytes, enum client_line_type type) {
    for (uint64_t i = 0; i < times; i++) {
        struct client_line line;
        struct complaint complaint;
        struct span text;
        size_t used;
        if (counted_cut(bytes, &text, &used) != COUNTED_LINE ||
            !counted_parse(text, &room, &line, &complaint) || line.type != type)
            micro_fail("the counted line was not taken");
        if (type == CLIENT_LINE_SEND &&
            counted_payload_end(span_skip(bytes, used + line.payload_bytes)) != 2)
            micro_fail("the counted payload has no end");
        micro_sink += used;
    }
}

static void counted_hello(uint64_t times) {
    counted_read(times, SPAN("HELLO " HELLO "\r\n"), CLIENT_LINE_HELLO);
}

static void counted_sends(uint64_t times) {
    counted_read(times, span_of(counted_send, counted_send_len), CLIENT_LINE_SEND);
}

static void counted_ack(uint64_t times) {
    counted_read(times, SPAN("ACK 0123456789abcdefghijklmnop\r\n"), CLIENT_LINE_ACK);
}

static void line_message(uint64_t times) {
    for (uint64_t i = 0; i < times; i++) {
        struct builder text = builder_over(out, sizeof out);
        micro_touch(&label);
        line_message_head(&text, &label);
        builder_bytes(&text, payload, 128);
        line_message_tail(&text);
        micro_touch(out);
        micro_sink += text.len;
    }
}

static void counted_message(uint64_t times) {
    for (uint64_t i = 0; i < times; i++) {
        struct builder text = builder_over(out, sizeof out);
        micro_touch(&label);
        counted_message_head(&text, &label, 128);
        builder_bytes(&text, payload, 128);
        counted_message_tail(&text);
        micro_touch(out);
        micro_sink += text.len;
    }
}

static void bench_receive(uint64_t times, const void *at, size_t len, enum bench_form form) {
    for (uint64_t i = 0; i < times; i++) {
        struct bench_payload read;
        struct bench_line got = bench_line_read(at, len, form, 128);
        if (!bench_payload_read(got.payload, 128, &read))
            micro_fail("the load tool does not know its own payload");
    }
}

static void bench_receive_line(uint64_t times) {
    bench_receive(times, message, message_len, BENCH_FORM_LINES);
}

static void bench_receive_frame(uint64_t times) {
    bench_receive(times, ws_frame, ws_frame_len, BENCH_FORM_WS);
}

const struct micro_step micro_codec_steps[] = {
    {"json: check a payload of 128 bytes", json_payload, &payload_len},
    {"json: check 4 KiB of objects", json_big, &big_len},
    {"json: walk the members of 128 bytes", json_walk, &payload_len},
    {"http: read a POST with 128 bytes", http_push, &request_len},
    {"http: write an answer with 67 bytes", http_answer, NULL},
    {"line: read a hello", line_hello, &hello_len},
    {"line: read a join", line_join, NULL},
    {"line: tell a send with 128 bytes", line_send, &send_len},
    {"line: write a message of 128 bytes", line_message, &payload_len},
    {"counted: read a hello", counted_hello, &hello_len},
    {"counted: read a send with 128 bytes", counted_sends, &counted_send_len},
    {"counted: read an ack", counted_ack, NULL},
    {"counted: write a message of 128 bytes", counted_message, &payload_len},
    {"hash: a client id of 18 bytes", name_hashing, &name_len},
    {"bench: read and check a message", bench_receive_line, &message_len},
    {"bench: the same over WebSocket", bench_receive_frame, &ws_frame_len},
    {NULL, NULL, NULL},
};

void micro_codec_init(void) {
    static const struct bench_payload some = {.run = 1, .number = 2, .to = 0x10000003, .at_ns = 4};
    uint8_t form[1024];
    bench_payload_write((uint8_t *)payload, 128, &some);
    struct bench_request made =
        bench_request_make(form, BENCH_UNICAST, 128, "127.0.0.1:8081", NULL);
    bench_request_stamp((uint8_t *)request, &made, 1, &some);
    request_len = made.len;
    message_len = (size_t)snprintf(message, sizeof message,
                                   "{\"type\":\"message\",\"id\":\"0123456789abcdefghijklmnop\","
                                   "\"event\":\"message\",\"data\":%s}\n",
                                   payload);
    ws_frame[0] = (char)0x81; /* a whole text, of 126 to 65,535 bytes: all but the line's end */
    ws_frame[1] = 126;
    ws_frame[2] = (char)((message_len - 1) >> 8);
    ws_frame[3] = (char)(message_len - 1);
    memcpy(ws_frame + 4, message, message_len - 1);
    ws_frame_len = message_len + 3;
    send_len =
        (size_t)snprintf(send_line, sizeof send_line,
                         "{\"type\":\"send\",\"to\":\"till-7\",\"ref\":1,\"data\":%s}", payload);
    counted_send_len = (size_t)snprintf(counted_send, sizeof counted_send,
                                        "SEND 1 128 {\"to\":\"till-7\"}\r\n%s\r\n", payload);
    memset(big, ' ', sizeof big);
    big[0] = '[';
    size_t at = 1;
    for (; at + 129 < sizeof big - 2; at += 129) {
        memcpy(big + at, payload, 128);
        big[at + 128] = ',';
    }
    big[at - 1] = ']';
    big_len = at;
}
