/* resp.c - see resp.h. */
#include "ha/redis/resp.h"

#include "core/base/check.h"
#include "core/base/shortage.h"

#include <hiredis/hiredis.h>

#define TEXT_BYTES_FIRST ((size_t)4 << 10)
#define NUMBER_BYTES_MAX 20 /* of a line that is one: an int64_t with its sign */
/* What a reader of hiredis takes without its buffer, and what its buffer takes beyond what is in
 * it: it grows to twice of what it has to hold, or by 1 MiB where that is more. */
#define HIREDIS_BYTES 2048
#define HIREDIS_AHEAD_MAX ((size_t)1 << 20)

static const char no_memory[] = "there is no memory for the reply";
static const char too_long[] = "the reply is longer than a reply may be";
static const char line_too_long[] = "a line of the reply has no end";
static const char bad_type[] = "the reply has a type that RESP2 does not have";

/* --- writing -----------------------------------------------------------------------------------
 */

static size_t digits_of(uint64_t value) {
    size_t digits = 1;
    for (; value > 9; value /= 10)
        digits++;
    return digits;
}

/* What a string takes as it is sent. */
static size_t string_bytes(size_t len) {
    return 1 + digits_of(len) + 2 + len + 2;
}

size_t resp_command_bytes(const struct span *words, unsigned count) {
    size_t bytes = 1 + digits_of(count) + 2;
    for (unsigned i = 0; i < count; i++)
        bytes += string_bytes(words[i].len);
    return bytes;
}

static void head_write(struct builder *out, char type, uint64_t number) {
    builder_byte(out, type);
    builder_u64(out, number);
    builder_bytes(out, "\r\n", 2);
}

void resp_command(struct builder *out, const struct span *words, unsigned count) {
    if (out->full || resp_command_bytes(words, count) > out->cap - out->len) {
        out->full = true;
        return;
    }
    head_write(out, '*', count);
    for (unsigned i = 0; i < count; i++) {
        head_write(out, '$', words[i].len);
        builder_span_add(out, words[i]);
        builder_bytes(out, "\r\n", 2);
    }
}

/* --- what hiredis calls ------------------------------------------------------------------------
 */

/* hiredis takes NULL for a lack of memory and stops; the first sentence stays. */
static void *refuse(struct resp_reader *reader, const char *why) {
    if (reader->why == NULL)
        reader->why = why;
    return NULL;
}

/* An item that takes so many bytes as it is sent. They are counted here, item by item: what has
 * been received of the next one must not decide. False: with it the reply is longer than one may
 * be. */
static bool counts(struct resp_reader *reader, size_t bytes) {
    reader->bytes += bytes;
    return reader->bytes <= reader->bytes_max || refuse(reader, too_long) != NULL;
}

/* There is room for it: what is announced is looked at before it comes. */
static struct resp_item *item_add(const redisReadTask *task, enum resp_type type) {
    struct resp_reader *reader = task->privdata;
    CHECK(reader->item_count <= RESP_ITEMS_MAX);
    struct resp_item *item = &reader->items[reader->item_count++];
    uint16_t depth = 0;
    for (const redisReadTask *in = task->parent; in != NULL; in = in->parent)
        depth++;
    item->type = type;
    item->depth = depth;
    item->count = 0;
    return item;
}

static bool text_room(struct resp_reader *reader, size_t len) {
    size_t need = reader->text_len + len;
    if (need <= reader->text_cap)
        return true;
    size_t cap = reader->text_cap != 0 ? 2 * reader->text_cap : TEXT_BYTES_FIRST;
    if (cap < need)
        cap = need;
    char *text = memory_grow(reader->account, reader->text, reader->text_cap, cap);
    if (SHORTAGE(text == NULL))
        return false;
    reader->text = text;
    reader->text_cap = cap;
    return true;
}

/* A string that makes the reply too long. It is passed over if nothing follows it, so that what it
 * ends is told. False: it cannot be. */
static bool string_pass(const redisReadTask *task, size_t len) {
    struct resp_reader *reader = task->privdata;
    if (task->parent == NULL || reader->item_count != reader->announced ||
        len > RESP_LONG_BYTES_MAX)
        return refuse(reader, too_long) != NULL;
    item_add(task, RESP_LONG)->text = SPAN("");
    return true;
}

static bool string_is_long(const struct resp_reader *reader, size_t len) {
    return string_bytes(len) > reader->bytes_max - reader->bytes;
}

static void *on_string(const redisReadTask *task, char *at, size_t len) {
    struct resp_reader *reader = task->privdata;
    enum resp_type type = task->type == REDIS_REPLY_STATUS  ? RESP_STATUS
                          : task->type == REDIS_REPLY_ERROR ? RESP_ERROR
                                                            : RESP_STRING;
    if (type != RESP_STRING && len > RESP_LINE_BYTES_MAX)
        return refuse(reader, line_too_long);
    if (type == RESP_STRING && task->type != REDIS_REPLY_STRING)
        return refuse(reader, bad_type);
    if (type == RESP_STRING && string_is_long(reader, len))
        return string_pass(task, len) ? reader : NULL;
    if (!counts(reader, type == RESP_STRING ? string_bytes(len) : 1 + len + 2))
        return NULL;
    /* hiredis has both bytes, but does not look at them behind a string. */
    if (at[len] != '\r' || at[len + 1] != '\n')
        return refuse(reader, "a string of the reply does not end where it said");
    if (!text_room(reader, len))
        return refuse(reader, no_memory);
    if (len != 0)
        memcpy(reader->text + reader->text_len, at, len);
    reader->text_len += len;
    item_add(task, type)->text = span_of(NULL, len); /* `at` when nothing moves any more */
    return reader;
}

static void *on_integer(const redisReadTask *task, long long value) {
    bool is_below = value < 0;
    uint64_t amount = is_below ? -(uint64_t)value : (uint64_t)value;
    if (!counts(task->privdata, 1 + is_below + digits_of(amount) + 2))
        return NULL;
    item_add(task, RESP_INTEGER)->integer = value;
    return task->privdata;
}

static void *on_nil(const redisReadTask *task) {
    if (task->type == REDIS_REPLY_NIL)
        return refuse(task->privdata, bad_type);
    if (!counts(task->privdata, sizeof "$-1\r\n" - 1))
        return NULL;
    item_add(task, RESP_NIL)->text = SPAN("");
    return task->privdata;
}

static void *array_add(const redisReadTask *task, unsigned long long count) {
    struct resp_reader *reader = task->privdata;
    if (task->type != REDIS_REPLY_ARRAY)
        return refuse(reader, bad_type);
    if (count > RESP_ITEMS_MAX - reader->announced)
        return refuse(reader, "the reply has more elements than a reply may have");
    if (!counts(reader, 1 + digits_of(count) + 2))
        return NULL;
    reader->announced += (unsigned)count;
    struct resp_item *item = item_add(task, RESP_ARRAY);
    if (item->depth >= RESP_DEPTH_MAX)
        return refuse(reader, "the reply has arrays deeper in each other than a reply may have");
    item->count = (uint16_t)count;
    item->text = SPAN("");
    return reader;
}

#if HIREDIS_MAJOR >= 1

static void *on_array(const redisReadTask *task, size_t count) {
    return array_add(task, count);
}

static void *on_double(const redisReadTask *task, double value, char *at, size_t len) {
    (void)value, (void)at, (void)len;
    return refuse(task->privdata, bad_type);
}

static void *on_bool(const redisReadTask *task, int value) {
    (void)value;
    return refuse(task->privdata, bad_type);
}

static const redisReadTask *task_now(const redisReader *hiredis) {
    return hiredis->task[hiredis->ridx];
}

#else

static void *on_array(const redisReadTask *task, int count) {
    return array_add(task, (unsigned)count);
}

static const redisReadTask *task_now(const redisReader *hiredis) {
    return &hiredis->rstack[hiredis->ridx];
}

#endif

/* What they return is the reader, which is nobody's to free. */
static redisReplyObjectFunctions functions = {
    .createString = on_string,
    .createArray = on_array,
    .createInteger = on_integer,
    .createNil = on_nil,
#if HIREDIS_MAJOR >= 1
    .createDouble = on_double,
    .createBool = on_bool,
#endif
};

/* --- hiredis' reader and its memory ------------------------------------------------------------
 */

static bool hiredis_charge(struct resp_reader *reader, uint64_t bytes) {
    if (bytes <= reader->hiredis_bytes)
        return true;
    if (SHORTAGE(!account_take(reader->account, bytes - reader->hiredis_bytes)))
        return false;
    reader->hiredis_bytes = bytes;
    return true;
}

static void hiredis_free(struct resp_reader *reader) {
    if (reader->hiredis != NULL)
        redisReaderFree(reader->hiredis);
    reader->hiredis = NULL;
    if (reader->hiredis_bytes != 0)
        account_give(reader->account, reader->hiredis_bytes);
    reader->hiredis_bytes = 0;
}

static bool hiredis_make(struct resp_reader *reader) {
    if (!hiredis_charge(reader, HIREDIS_BYTES))
        return false;
    reader->hiredis = redisReaderCreateWithFunctions(&functions);
    if (SHORTAGE(reader->hiredis == NULL))
        return false;
    reader->hiredis->privdata = reader;
    /* It would give back a buffer of 16 KiB by itself, and abort without memory for the next one;
     * `forget` sees to that. */
    reader->hiredis->maxbuf = 0;
    return true;
}

static bool hiredis_feed(struct resp_reader *reader, struct span *input, size_t len) {
    size_t holds = reader->hiredis->len + len;
    size_t ahead = holds < HIREDIS_AHEAD_MAX ? holds : HIREDIS_AHEAD_MAX;
    if (!hiredis_charge(reader, HIREDIS_BYTES + holds + ahead))
        return false;
    if (SHORTAGE(redisReaderFeed(reader->hiredis, input->at, len) != REDIS_OK))
        return false;
    *input = span_skip(*input, len);
    return true;
}

/* Bytes that hiredis has and has not read. */
static size_t hiredis_left(const struct resp_reader *reader) {
    return reader->hiredis->len - reader->hiredis->pos;
}

/* --- reading -----------------------------------------------------------------------------------
 */

static enum resp_event broken(struct resp_reader *reader, const char *why) {
    (void)refuse(reader, why);
    return RESP_BROKEN;
}

/* hiredis has found something wrong. Its sentences hold bytes of the stream, and some would not
 * tell an operator what it was about. */
static const char *hiredis_why(const redisReader *hiredis) {
    static const struct {
        struct span begins;
        const char *why;
    } sentences[] = {
        {SPAN_INIT("Protocol error, got "), bad_type},
        {SPAN_INIT("Bad integer value"), "an integer of the reply is no number of 64 bits"},
        {SPAN_INIT("Bad bulk string length"), "the length of a string of the reply is no number"},
        {SPAN_INIT("Bulk string length out of range"), "a string of the reply has a bad length"},
        {SPAN_INIT("Bad multi-bulk length"), "the length of an array of the reply is no number"},
        {SPAN_INIT("Multi-bulk length out of range"), "an array of the reply has a bad length"},
        {SPAN_INIT("Out of memory"), no_memory},
    };
    struct span said = span_text(hiredis->errstr);
    for (size_t i = 0; i < sizeof sentences / sizeof *sentences; i++)
        if (span_starts(said, sentences[i].begins))
            return sentences[i].why;
    return "the reply is no RESP2";
}

/* A string whose announcement hiredis has read, but not all of it has come: how much is missing.
 * False: it is too long. `left` are the bytes from the length on. */
static bool string_wants(struct resp_reader *reader, struct span left, const char *line_end) {
    size_t announced = 0; /* hiredis has looked: these are digits of an int64_t */
    for (const char *at = left.at; at < line_end; at++)
        announced = announced * 10 + (size_t)(*at - '0');
    size_t head = (size_t)(line_end - left.at) + 2;
    size_t missing = head + announced + 2 - left.len;
    if (!string_is_long(reader, announced)) {
        reader->wants = missing;
        return true;
    }
    if (!string_pass(task_now(reader->hiredis), announced))
        return false;
    reader->passes = missing;
    hiredis_free(reader); /* what it holds is of that string */
    return hiredis_make(reader) || refuse(reader, no_memory) != NULL;
}

/* hiredis has no whole reply: what does it wait for? False: it never comes. */
static bool stall(struct resp_reader *reader) {
    const redisReader *hiredis = reader->hiredis;
    struct span left = span_of(hiredis->buf + hiredis->pos, hiredis_left(reader));
    int type = task_now(hiredis)->type;
    reader->is_stalled = true;
    reader->wants_line = false;
    reader->wants = 1;
    if (type < 0) /* the next item has not begun */
        return true;
    if (type == REDIS_REPLY_NIL || type > REDIS_REPLY_ERROR)
        return refuse(reader, bad_type) != NULL;
    if (type != REDIS_REPLY_STRING && reader->bytes + 1 + left.len > reader->bytes_max)
        return refuse(reader, too_long) != NULL;
    bool is_text = type == REDIS_REPLY_STATUS || type == REDIS_REPLY_ERROR;
    size_t line_max = is_text ? RESP_LINE_BYTES_MAX : NUMBER_BYTES_MAX;
    if (type == REDIS_REPLY_STRING) {
        const char *line_end = left.len < 2 ? NULL : memmem(left.at, left.len, "\r\n", 2);
        if (line_end != NULL)
            return string_wants(reader, left, line_end);
    }
    reader->wants_line = true;
    return left.len <= line_max + 1 || refuse(reader, line_too_long) != NULL;
}

/* Feeds hiredis the next piece, and sees whether it is worth asking now: what it has read of a line
 * it would read again. */
static bool feed(struct resp_reader *reader, struct span *input) {
    size_t len = reader->wants > RESP_PIECE_BYTES ? reader->wants : RESP_PIECE_BYTES;
    if (len > input->len)
        len = input->len;
    struct span piece = span_of(input->at, len);
    if (!hiredis_feed(reader, input, len))
        return refuse(reader, no_memory) != NULL;
    if (reader->wants_line) {
        reader->is_stalled = memchr(piece.at, '\n', len) == NULL;
        return !reader->is_stalled || stall(reader);
    }
    reader->is_stalled = len < reader->wants;
    reader->wants -= reader->is_stalled ? len : reader->wants;
    return true;
}

/* The caller is done with the reply. False: no memory to go on. */
static bool forget(struct resp_reader *reader) {
    reader->told = false;
    reader->item_count = reader->announced = 0;
    reader->bytes = reader->text_len = 0;
    if (reader->text_cap > RESP_KEPT_BYTES) {
        memory_put(reader->account, reader->text, reader->text_cap);
        reader->text = NULL;
        reader->text_cap = 0;
    }
    if (reader->hiredis_bytes <= RESP_KEPT_BYTES || hiredis_left(reader) != 0)
        return true;
    hiredis_free(reader);
    return hiredis_make(reader);
}

static void tell(struct resp_reader *reader, struct resp_reply *reply) {
    const char *text = reader->text;
    for (unsigned i = 0; i < reader->item_count; i++) {
        struct resp_item *item = &reader->items[i];
        if (item->type == RESP_INTEGER)
            continue;
        item->text.at = "";
        if (item->text.len != 0) { /* otherwise there may be no memory for texts */
            item->text.at = text;
            text += item->text.len;
        }
    }
    reply->item = reader->items[0];
    reply->items = reader->items + 1;
    reply->item_count = reader->item_count - 1;
    reader->told = true;
    /* Without a byte hiredis would begin a reply all the same. */
    reader->is_stalled = hiredis_left(reader) == 0;
    reader->wants_line = false;
    reader->wants = 1;
}

enum resp_event resp_next(struct resp_reader *reader, struct span *input,
                          struct resp_reply *reply) {
    if (reader->why != NULL)
        return RESP_BROKEN;
    if (reader->told && !forget(reader))
        return broken(reader, no_memory);
    for (;;) {
        if (!reader->is_stalled) {
            void *object;
            if (redisReaderGetReply(reader->hiredis, &object) != REDIS_OK)
                return broken(reader, hiredis_why(reader->hiredis));
            if (object != NULL) {
                tell(reader, reply);
                return RESP_REPLY;
            }
            if (!stall(reader))
                return RESP_BROKEN;
        }
        if (reader->passes != 0) {
            size_t len = reader->passes < input->len ? reader->passes : input->len;
            *input = span_skip(*input, len);
            reader->passes -= len;
            if (reader->passes == 0) {
                tell(reader, reply);
                return RESP_REPLY;
            }
        }
        if (input->len == 0)
            return RESP_MORE;
        if (!feed(reader, input))
            return RESP_BROKEN;
    }
}

/* --- the whole ---------------------------------------------------------------------------------
 */

#define ITEMS_BYTES ((RESP_ITEMS_MAX + 1) * sizeof(struct resp_item))

bool resp_reader_init(struct resp_reader *reader, struct account *account, size_t bytes_max) {
    *reader = (struct resp_reader){.account = account, .bytes_max = bytes_max, .why = no_memory};
    reader->items = memory_get(account, ITEMS_BYTES);
    if (SHORTAGE(reader->items == NULL))
        return false;
    return resp_reader_reset(reader);
}

bool resp_reader_reset(struct resp_reader *reader) {
    hiredis_free(reader);
    reader->why = NULL;
    reader->passes = 0;
    reader->is_stalled = true;
    reader->wants_line = false;
    reader->wants = 1;
    bool is_made = hiredis_make(reader) && forget(reader);
    if (!is_made)
        reader->why = no_memory;
    return is_made;
}

void resp_reader_fini(struct resp_reader *reader) {
    hiredis_free(reader);
    if (reader->text != NULL)
        memory_put(reader->account, reader->text, reader->text_cap);
    if (reader->items != NULL)
        memory_put(reader->account, reader->items, ITEMS_BYTES);
    *reader = (struct resp_reader){.why = no_memory};
}
