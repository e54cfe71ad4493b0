#include "perf/micro/micro.h"

#include "core/base/builder.h"
#include "ha/redis/resp.h"

#include <hiredis/hiredis.h>

/* What a caller receives at once, in which replies are cut; and what hiredis itself reads. */
#define STREAM_BYTES ((size_t)64 << 10)
#define HIREDIS_READ_BYTES ((size_t)16 << 10)

static char messages[STREAM_BYTES + 256], integers[STREAM_BYTES + 256];
static size_t messages_len, integers_len, message_len, integer_len;
static struct budget budget;
static struct account account;
static struct resp_reader reader;

static void resp_read(uint64_t times, const char *stream, size_t len, enum resp_type type) {
    struct span input = SPAN("");
    struct resp_reply reply;
    if (!resp_reader_reset(&reader))
        micro_fail("there is no memory for a reader");
    for (uint64_t i = 0; i < times;) {
        enum resp_event event = resp_next(&reader, &input, &reply);
        if (event == RESP_MORE) {
            input = span_of(stream, len);
            continue;
        }
        if (event != RESP_REPLY || reply.type != type)
            micro_fail("the reply was not taken");
        micro_sink += type == RESP_ARRAY ? reply.items[2].text.len : (uint64_t)reply.integer;
        i++;
    }
}

static void resp_message(uint64_t times) {
    resp_read(times, messages, messages_len, RESP_ARRAY);
}

static void resp_integer(uint64_t times) {
    resp_read(times, integers, integers_len, RESP_INTEGER);
}

/* The same with the replies that hiredis makes, in a bare loop. */
static void hiredis_read(uint64_t times, const char *stream, size_t len, int type) {
    redisReader *bare = redisReaderCreate();
    if (bare == NULL)
        micro_fail("there is no memory for a reader");
    size_t at = 0;
    for (uint64_t i = 0; i < times;) {
        void *object;
        if (redisReaderGetReply(bare, &object) != REDIS_OK)
            micro_fail("hiredis did not take the reply");
        if (object == NULL) {
            size_t piece = len - at < HIREDIS_READ_BYTES ? len - at : HIREDIS_READ_BYTES;
            if (redisReaderFeed(bare, stream + at, piece) != REDIS_OK)
                micro_fail("hiredis did not take the bytes");
            at = at + piece == len ? 0 : at + piece;
            continue;
        }
        redisReply *reply = object;
        if (reply->type != type)
            micro_fail("hiredis read something else");
        micro_sink +=
            type == REDIS_REPLY_ARRAY ? (uint64_t)reply->element[2]->len : (uint64_t)reply->integer;
        freeReplyObject(reply);
        i++;
    }
    redisReaderFree(bare);
}

static void hiredis_message(uint64_t times) {
    hiredis_read(times, messages, messages_len, REDIS_REPLY_ARRAY);
}

static void hiredis_integer(uint64_t times) {
    hiredis_read(times, integers, integers_len, REDIS_REPLY_INTEGER);
}

const struct micro_step micro_resp_steps[] = {
    {"resp: read a message of 128 bytes", resp_message, &message_len},
    {"resp: the same by hiredis alone", hiredis_message, &message_len},
    {"resp: read an integer", resp_integer, &integer_len},
    {"resp: the integer by hiredis alone", hiredis_integer, &integer_len},
    {NULL, NULL, NULL},
};

/* Whole replies one after the other; returns what they take. */
static size_t stream_fill(char *stream, struct span reply) {
    size_t len = 0;
    for (; len < STREAM_BYTES; len += reply.len)
        memcpy(stream + len, reply.at, reply.len);
    return len;
}

void micro_resp_init(void) {
    static const char payload[128];
    char room[256];
    struct builder out = builder_over(room, sizeof room);
    resp_command(&out,
                 (const struct span[]){SPAN("message"), SPAN("ringpost:node:7"),
                                       span_of(payload, sizeof payload)},
                 3);
    message_len = out.len;
    messages_len = stream_fill(messages, builder_span(&out));
    integer_len = 4;
    integers_len = stream_fill(integers, SPAN(":2\r\n"));
    budget_init(&budget, UINT64_C(1) << 30);
    account_init(&account, &budget);
    if (!resp_reader_init(&reader, &account, (size_t)4 << 20))
        micro_fail("there is no memory for a reader");
}

void micro_resp_fini(void) {
    resp_reader_fini(&reader);
    account_fini(&account);
}
