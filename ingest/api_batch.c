/* api_batch.c - many messages in one request: an array, or one a line; see api.h.
 *
 * Each stands alone: it is published and has a result as if it had come by itself. Results come in
 * any order and are written into `text` as they come; the answer puts them into the order asked.
 *
 *   {"status":202,"id":"...","state":"queued","recipients":1}
 *
 * If none was taken and the node was too full for any, the whole answer is the error of that.
 *
 * A batch whose messages take longer than a turn has for them goes on in later turns, with a copy
 * of what is left of it; until it is through, the connection is not read, so the order stays. */
#include "core/base/check.h"
#include "core/base/scroll.h"
#include "core/base/shortage.h"
#include "core/worker.h"
#include "ingest/api.h"
#include "proto/json.h"
#include "proto/line.h"

/* What a usual result needs. */
#define ENTRY_BYTES 128

struct batch_entry {
    uint32_t at, len; /* in text */
};

struct batch {
    uint32_t count;
    uint32_t left;    /* results that have not come yet */
    uint32_t decided; /* results that are not errors */
    bool lines;
    struct http_exchange *exchange;
    uint32_t next;             /* message to be published next */
    struct json_cursor cursor; /* an array: before it */
    struct span rest;          /* lines: from it on */
    char *copy;                /* of what was left when it was suspended; NULL: it never was */
    size_t copy_bytes;
    struct timer timer; /* of a suspended one: it goes on */
    bool failed;        /* there was no memory for a result */
    enum code full; /* why the first that was refused for want of room was; CODE_NONE: none was */
    const char *full_message;
    uint32_t retry_after_s;
    struct scroll text; /* the results, in the order in which they came */
    size_t text_bytes;  /* its room, as accounted */
    size_t block_bytes; /* of this block, accounted */
    struct batch_entry entries[];
};

static void batch_free(struct worker *worker, struct batch *batch) {
    scroll_free(&batch->text);
    account_give(&worker->account, batch->text_bytes);
    memory_put(&worker->account, batch, batch->block_bytes);
}

static struct batch *batch_new(struct worker *worker, uint32_t count, bool lines) {
    size_t bytes = sizeof(struct batch) + count * sizeof(struct batch_entry);
    struct batch *batch = memory_get(&worker->account, bytes);
    if (SHORTAGE(batch == NULL))
        return NULL;
    *batch = (struct batch){.count = count,
                            .left = count,
                            .lines = lines,
                            .text = scroll_empty(),
                            .block_bytes = bytes};
    size_t text_bytes = (size_t)count * ENTRY_BYTES + GATE_RESULT_BYTES_MAX;
    if (SHORTAGE(!account_take(&worker->account, text_bytes))) {
        memory_put(&worker->account, batch, bytes);
        return NULL;
    }
    batch->text_bytes = text_bytes;
    if (SHORTAGE(!scroll_room(&batch->text, text_bytes - 1))) {
        batch_free(worker, batch);
        return NULL;
    }
    return batch;
}

/* Room for one result. Results of messages that were taken must be told, so this may pass the
 * ceiling; it is bounded by the number of entries. */
static bool batch_room(struct worker *worker, struct batch *batch) {
    if (SHORTAGE(!scroll_room(&batch->text, GATE_RESULT_BYTES_MAX)))
        return false;
    if (batch->text.out.cap > batch->text_bytes) {
        account_force(&worker->account, batch->text.out.cap - batch->text_bytes);
        batch->text_bytes = batch->text.out.cap;
    }
    return true;
}

/* --- the answer ------------------------------------------------------------------------------- */

static void batch_write(const struct batch *batch, struct builder *out) {
    if (!batch->lines)
        builder_byte(out, '[');
    for (uint32_t i = 0; i < batch->count; i++) {
        if (!batch->lines && i != 0)
            builder_byte(out, ',');
        builder_bytes(out, batch->text.out.at + batch->entries[i].at, batch->entries[i].len);
        if (batch->lines)
            builder_byte(out, '\n');
    }
    if (!batch->lines)
        builder_bytes(out, "]\n", 2);
    CHECK(!out->full, "the entries of a batch do not add up");
}

static void batch_answer(struct worker *worker, struct http_exchange *exchange) {
    struct batch *batch = exchange->task;
    exchange->task = NULL;
    if (batch->decided == 0 && batch->full != CODE_NONE) {
        struct http_error error = http_error_of(batch->full, batch->full_message);
        error.retry_after_s = batch->retry_after_s;
        batch_free(worker, batch);
        exchange_refuse(worker, exchange, &error);
        return;
    }
    struct scroll answer = scroll_empty();
    if (SHORTAGE(batch->failed) ||
        SHORTAGE(!scroll_room(&answer, 3 + batch->count + batch->text.out.len))) {
        batch_free(worker, batch);
        exchange_abandon(worker, exchange);
        return;
    }
    batch_write(batch, &answer.out);
    const char *type = batch->lines ? HTTP_TYPE_NDJSON : NULL;
    batch_free(worker, batch);
    exchange_answer(worker, exchange, 200, type, SPAN(""), builder_span(&answer.out));
    scroll_free(&answer);
}

void batch_on_result(struct worker *worker, struct http_exchange *exchange, uint32_t index,
                     const struct gate_result *result) {
    struct batch *batch = exchange->task;
    CHECK(index < batch->count && batch->left > 0, "a result for message %u of a batch", index);
    if (result->code == CODE_NONE) {
        batch->decided++;
    } else if (result->status == 503 && batch->full == CODE_NONE) {
        batch->full = result->code;
        batch->full_message = result->message; /* a constant of the gate's */
        batch->retry_after_s = result->retry_after_s;
    }
    if (SHORTAGE(!batch_room(worker, batch))) {
        batch->failed = true;
    } else {
        struct builder *out = &batch->text.out;
        size_t at = out->len;
        struct builder entry = builder_over(out->at + at, out->cap - at);
        gate_result_write(result, true, &entry);
        CHECK(!entry.full, "a result is longer than GATE_RESULT_BYTES_MAX");
        batch->entries[index] = (struct batch_entry){(uint32_t)at, (uint32_t)entry.len};
        out->len += entry.len;
    }
    if (--batch->left == 0)
        batch_answer(worker, exchange);
}

/* --- the messages ----------------------------------------------------------------------------- */

/* False: there are too many, or no memory; it was answered. */
static bool batch_begin(struct worker *worker, struct http_exchange *exchange, uint64_t count,
                        bool lines) {
    struct complaint *complaint = &http_desk(worker)->complaint;
    if (count > BATCH_MESSAGES_MAX) {
        complaint_make(complaint, CODE_TOO_LARGE, SPAN(""), "%llu messages; a batch has at most %d",
                       (unsigned long long)count, BATCH_MESSAGES_MAX);
        exchange_complain(worker, exchange, complaint);
        return false;
    }
    struct batch *batch = batch_new(worker, (uint32_t)count, lines);
    exchange->task = batch;
    if (SHORTAGE(batch == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        exchange_fail(worker, exchange, CODE_OVERLOADED,
                      "there is no memory for a batch at the moment; nothing was taken, try again");
        return false;
    }
    batch->exchange = exchange;
    exchange->pushes = false; /* each entry counts by itself */
    if (count == 0)
        batch_answer(worker, exchange);
    return count != 0;
}

static void entry_publish(struct worker *worker, struct http_exchange *exchange, uint32_t index,
                          struct span text) {
    struct http_desk *desk = http_desk(worker);
    if (envelope_parse(&desk->envelope, &desk->room, ENVELOPE_MESSAGE, text,
                       worker->config->max_message_bytes, &desk->complaint)) {
        api_publish(worker, exchange, index);
        return;
    }
    struct gate_result result;
    gate_result_bad(&result, &desk->complaint);
    stats_refuse(&worker->stats, code_word(result.code));
    batch_on_result(worker, exchange, index, &result);
}

/* The next line that is not blank; false: there is none. */
static bool line_next(struct span *rest, struct span *line) {
    while (rest->len != 0) {
        const char *end = memchr(rest->at, '\n', rest->len);
        size_t len = end == NULL ? rest->len : (size_t)(end - rest->at);
        *line = span_of(rest->at, len);
        *rest = span_skip(*rest, end == NULL ? len : len + 1);
        if (!line_is_blank(*line))
            return true;
    }
    return false;
}

static void on_batch_timer(struct worker *worker, struct timer *timer);

/* Puts the rest off to another turn. False: no memory for it. */
static bool batch_suspend(struct worker *worker, struct batch *batch) {
    struct json_cursor *cursor = &batch->cursor;
    if (batch->copy == NULL) {
        struct span left =
            batch->lines ? batch->rest : span_of(cursor->at, (size_t)(cursor->end - cursor->at));
        char *copy = memory_get(&worker->account, left.len);
        if (SHORTAGE(copy == NULL))
            return false;
        memcpy(copy, left.at, left.len);
        batch->copy = copy;
        batch->copy_bytes = left.len;
        batch->rest = span_of(copy, left.len);
        cursor->start = cursor->at = copy;
        cursor->end = copy + left.len;
        timer_init(&batch->timer, on_batch_timer);
        http_hold(worker, batch->exchange->http);
    }
    timer_arm(&worker->wheel, &batch->timer, worker->now_ns);
    return true;
}

/* Publishes what is left of it, for as long as the slice lasts. */
static void batch_walk(struct worker *worker, struct batch *batch) {
    struct http_exchange *exchange = batch->exchange;
    struct http_connection *http = exchange->http;
    struct span text = SPAN("");
    bool last = false;
    while (!last) {
        struct json_value value = {.raw = SPAN("")};
        bool there =
            batch->lines ? line_next(&batch->rest, &text) : json_array_next(&batch->cursor, &value);
        CHECK(there, "a batch has fewer messages than were counted");
        if (!batch->lines)
            text = value.raw;
        uint32_t index = batch->next++;
        char *copy = batch->copy;
        size_t copy_bytes = batch->copy_bytes;
        last = batch->next == batch->count;
        /* With the last result the batch goes. */
        entry_publish(worker, exchange, index, text);
        if (last && copy != NULL) {
            memory_put(&worker->account, copy, copy_bytes);
            http_release(worker, http);
        }
        if (!last && slice_over(worker) && !SHORTAGE(!batch_suspend(worker, batch)))
            return;
    }
}

static void on_batch_timer(struct worker *worker, struct timer *timer) {
    batch_walk(worker, container_of(timer, struct batch, timer));
}

void api_post_array(struct worker *worker, struct http_exchange *exchange, struct span body) {
    struct json_cursor cursor;
    struct json_value value;
    uint64_t count = 0;
    json_open_apart(&cursor, body);
    while (json_array_next(&cursor, &value))
        count++;
    if (cursor.error.text != NULL) {
        complaint_json(&http_desk(worker)->complaint, &cursor.error);
        exchange_complain(worker, exchange, &http_desk(worker)->complaint);
        return;
    }
    if (!batch_begin(worker, exchange, count, false))
        return;
    struct batch *batch = exchange->task;
    json_open_apart(&batch->cursor, body);
    batch_walk(worker, batch);
}

void api_post_lines(struct worker *worker, struct http_exchange *exchange, struct span body) {
    struct span rest = body, line;
    uint64_t count = 0;
    while (line_next(&rest, &line))
        count++;
    if (!batch_begin(worker, exchange, count, true))
        return;
    struct batch *batch = exchange->task;
    batch->rest = body;
    batch_walk(worker, batch);
}
