/* api_batch.c - many messages in one request: an array, or one a line; see api.h.
 *
 * Each stands alone: it is published and has a result as if it had come by itself. Results come in
 * any order and are written as they come: usual ones into `text`, one that names many addresses
 * into a block of its own (chain.h). The answer puts them into the order asked; it copies no block,
 * so the end of a batch takes no longer than its usual results do.
 *
 *   {"status":202,"id":"...","state":"queued","recipients":1}
 *
 * If none was taken and the node was too full for any, the whole answer is the error of that.
 *
 * A first pass looks whether all of it is JSON and counts the messages, a second one publishes
 * them. A batch that takes longer than a turn has time for goes on in later turns and keeps the
 * body; until it is through, the connection is not read, so the order stays. */
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/base/strbuf.h"
#include "core/worker.h"
#include "ingest/api/api.h"
#include "proto/text/json.h"

#include <stdio.h>

/* What a usual result needs. */
#define ENTRY_BYTES 128
/* What one may need at the most that has no block of its own: it names some dozens of addresses. */
#define USUAL_BYTES_MAX (GATE_RESULT_BYTES_MAX + 512)
/* With what stands around it, and one byte for builder_format. */
#define ENTRY_BYTES_MAX (USUAL_BYTES_MAX + AROUND_BYTES + 1)
/* The clock is read after so many that were counted. */
#define COUNTED_PER_LOOK 16
/* And after so many bytes of blank lines. */
#define BLANK_BYTES_PER_LOOK 16384
#define BLANK_ARRAY_BYTES_PER_LOOK 262144
#define NO_MEMORY_TEXT "there is no memory for a batch at the moment; nothing was taken, try again"

/* A result with what stands around it in the answer: `[` or a comma before it, or a line feed. */
struct batch_entry {
    struct chunk *chunk; /* NULL: it is in `text` */
    uint32_t at, len;
};
#define AROUND_BYTES 1

/* The room of `text` is a power of two, and what is beyond what was asked for is forced. */
_Static_assert(BATCH_MESSAGES_MAX *ENTRY_BYTES + ENTRY_BYTES_MAX <= 128 * 1024,
               "the results of a full batch take 128 KiB");

/* What a batch keeps while it goes on in later turns. */
struct batch_hold {
    char *block; /* the body lies in it; NULL: it was never put off */
    size_t bytes;
};

struct batch {
    struct http_exchange *exchange;
    bool lines;
    bool counted;              /* it is JSON, and it is known how many messages there are */
    uint32_t count;            /* of messages, those seen so far until it is `counted` */
    uint32_t left;             /* results that have not come yet */
    uint32_t decided;          /* results that are not errors */
    uint32_t next;             /* message to be published next */
    struct span body;          /* all of it */
    struct json_cursor cursor; /* an array: before the next message */
    struct span rest;          /* lines: from the next message on */
    struct batch_hold hold;
    struct task task; /* of one that was put off */
    bool chunked;     /* some results have blocks of their own */
    bool failed;      /* there was no memory for a result */
    enum code full;   /* why the first that was refused for want of room was; CODE_NONE: none was */
    char full_message[GATE_FULL_BYTES];
    const char *full_field; /* a constant; NULL: about no one field */
    uint32_t retry_after_s;
    struct strbuf text;          /* usual results, in the order in which they came */
    size_t text_bytes;           /* its room, as accounted */
    struct batch_entry *entries; /* `count` of them, when it is counted */
};

static void batch_free(struct worker *worker, struct batch *batch) {
    for (uint32_t i = 0; batch->chunked && i < batch->count; i++)
        chunk_put(batch->entries[i].chunk);
    if (batch->entries != NULL)
        memory_put(&worker->account, batch->entries, batch->count * sizeof(struct batch_entry));
    strbuf_free(&batch->text);
    account_give(&worker->account, batch->text_bytes);
    memory_put(&worker->account, batch, sizeof *batch);
}

/* Room for its entries and usual results. False: no memory; batch_free puts back what was taken. */
static bool batch_furnish(struct worker *worker, struct batch *batch) {
    size_t entries_bytes = batch->count * sizeof(struct batch_entry);
    batch->entries = memory_get(&worker->account, entries_bytes);
    if (SHORTAGE(batch->entries == NULL))
        return false;
    memset(batch->entries, 0, entries_bytes);
    size_t text_bytes = (size_t)batch->count * ENTRY_BYTES + ENTRY_BYTES_MAX;
    if (SHORTAGE(!account_take(&worker->account, text_bytes)))
        return false;
    batch->text_bytes = text_bytes;
    return !SHORTAGE(!strbuf_room(&batch->text, text_bytes - 1));
}

/* Room for one more usual result. Results of messages that were taken must be told, so this may
 * pass the ceiling; it is bounded by the number of entries. */
static bool batch_room(struct worker *worker, struct batch *batch) {
    if (SHORTAGE(!strbuf_room(&batch->text, ENTRY_BYTES_MAX)))
        return false;
    if (batch->text.out.cap > batch->text_bytes) {
        account_force(&worker->account, batch->text.out.cap - batch->text_bytes);
        batch->text_bytes = batch->text.out.cap;
    }
    return true;
}

/* --- the answer ------------------------------------------------------------------------------- */

/* Usual results, up to the next one that is none. */
static size_t run_bytes(const struct batch *batch, uint32_t from, uint32_t *end) {
    size_t bytes = 0;
    for (*end = from; *end < batch->count && batch->entries[*end].chunk == NULL; ++*end)
        bytes += batch->entries[*end].len;
    if (*end == batch->count && !batch->lines)
        bytes += batch->count == 0 ? 3 : 2;
    return bytes;
}

static void run_write(const struct batch *batch, uint32_t from, uint32_t end, struct builder *out) {
    for (uint32_t i = from; i < end; i++)
        builder_bytes(out, batch->text.out.at + batch->entries[i].at, batch->entries[i].len);
    if (end == batch->count && !batch->lines)
        builder_text(out, batch->count == 0 ? "[]\n" : "]\n");
    CHECK(!out->full, "the entries of a batch do not add up");
}

/* Fills `chain`, which is empty, with the whole answer. False: no memory. */
static bool batch_chain(struct worker *worker, struct batch *batch, struct chain *chain) {
    for (uint32_t next = 0, end;; next = end + 1) {
        size_t bytes = run_bytes(batch, next, &end);
        if (bytes != 0) {
            struct chunk *run = chunk_force(&worker->endpoint, bytes);
            if (SHORTAGE(run == NULL))
                return false;
            struct builder out = builder_over(run->text, bytes);
            run_write(batch, next, end, &out);
            run->len = (uint32_t)out.len;
            chain_add(chain, run);
        }
        if (end == batch->count)
            return true;
        chain_add(chain, batch->entries[end].chunk);
        batch->entries[end].chunk = NULL;
    }
}

static void batch_answer_chunked(struct worker *worker, struct http_exchange *exchange,
                                 struct batch *batch, const char *type) {
    struct chain chain = chain_empty(&worker->endpoint, false);
    if (SHORTAGE(batch->failed) || SHORTAGE(!batch_chain(worker, batch, &chain))) {
        chain_free(&chain);
        batch_free(worker, batch);
        exchange_abandon(worker, exchange);
        return;
    }
    batch_free(worker, batch);
    exchange_answer_chain(worker, exchange, type, &chain);
}

static void batch_answer(struct worker *worker, struct http_exchange *exchange) {
    struct batch *batch = exchange->task;
    const char *type = batch->lines ? HTTP_TYPE_NDJSON : NULL;
    exchange->task = NULL;
    if (batch->decided == 0 && batch->full != CODE_NONE) {
        struct http_error error = http_error_of(batch->full, batch->full_message);
        error.retry_after_s = batch->retry_after_s;
        if (batch->full_field != NULL)
            error.field = span_text(batch->full_field);
        exchange_refuse(worker, exchange, &error);
        batch_free(worker, batch);
        return;
    }
    if (batch->chunked) {
        batch_answer_chunked(worker, exchange, batch, type);
        return;
    }
    struct strbuf answer = strbuf_empty();
    uint32_t end;
    size_t bytes = run_bytes(batch, 0, &end);
    if (SHORTAGE(batch->failed) || SHORTAGE(!strbuf_room(&answer, bytes))) {
        batch_free(worker, batch);
        exchange_abandon(worker, exchange);
        return;
    }
    run_write(batch, 0, end, &answer.out);
    /* The answer has the room that the results had. */
    worker->account.keeps = true;
    batch_free(worker, batch);
    exchange_answer(worker, exchange, 200, type, SPAN(""), builder_span(&answer.out));
    worker->account.keeps = false;
    strbuf_free(&answer);
}

/* --- results ---------------------------------------------------------------------------------- */

static void entry_write(const struct batch *batch, uint32_t index, const struct gate_result *result,
                        struct builder *out) {
    if (!batch->lines)
        builder_byte(out, index == 0 ? '[' : ',');
    gate_result_write(result, true, out);
    if (batch->lines)
        builder_byte(out, '\n');
    CHECK(!out->full, "a result is longer than gate_result_bytes");
}

/* False: there is no room for a block now. */
static bool entry_chunk(struct worker *worker, struct batch *batch, uint32_t index,
                        const struct gate_result *result) {
    struct chunk *chunk =
        chunk_get(&worker->endpoint, gate_result_bytes(result) + AROUND_BYTES + 1, false);
    if (SHORTAGE(chunk == NULL))
        return false;
    struct builder out = builder_over(chunk->text, chunk->cap);
    entry_write(batch, index, result, &out);
    chunk->len = (uint32_t)out.len;
    batch->entries[index].chunk = chunk_fit(chunk);
    batch->chunked = true;
    return true;
}

static void entry_text(struct worker *worker, struct batch *batch, uint32_t index,
                       const struct gate_result *result) {
    if (SHORTAGE(!batch_room(worker, batch))) {
        batch->failed = true;
        return;
    }
    struct builder *out = &batch->text.out;
    struct builder entry = builder_over(out->at + out->len, out->cap - out->len);
    entry_write(batch, index, result, &entry);
    batch->entries[index] =
        (struct batch_entry){.at = (uint32_t)out->len, .len = (uint32_t)entry.len};
    out->len += entry.len;
}

static void entry_tell(struct worker *worker, struct batch *batch, uint32_t index,
                       const struct gate_result *result) {
    if (gate_result_bytes(result) <= USUAL_BYTES_MAX) {
        entry_text(worker, batch, index, result);
    } else if (SHORTAGE(!entry_chunk(worker, batch, index, result))) {
        /* As api_messages.c has it for one message. */
        struct gate_result shorter = *result;
        shorter.fate = NULL;
        stats_add(&worker->stats.answers_refused, 1);
        entry_text(worker, batch, index, &shorter);
    }
}

void batch_on_result(struct worker *worker, struct http_exchange *exchange, uint32_t index,
                     const struct gate_result *result) {
    struct batch *batch = exchange->task;
    CHECK(index < batch->count && batch->left > 0, "a result for message %u of a batch", index);
    if (result->code == CODE_NONE || result->maybe) {
        batch->decided++;
    } else if (result->status == 503 && batch->full == CODE_NONE) {
        batch->full = result->code;
        snprintf(batch->full_message, sizeof(batch->full_message), "%s", result->message);
        batch->full_field = result->field;
        batch->retry_after_s = result->retry_after_s;
    }
    entry_tell(worker, batch, index, result);
    if (--batch->left == 0)
        batch_answer(worker, exchange);
}

/* --- the messages ----------------------------------------------------------------------------- */

static void entry_publish(struct worker *worker, struct http_exchange *exchange, uint32_t index,
                          struct span text) {
    struct api_context *context = api_context(worker);
    struct complaint *complaint = &http_context(worker)->complaint;
    if (api_text_fits(worker, text, complaint) &&
        envelope_parse(&context->envelope, &context->room, ENVELOPE_MESSAGE, text,
                       worker->config->max_message_bytes, complaint)) {
        api_publish(worker, exchange, index);
        return;
    }
    struct gate_result result;
    gate_result_bad(&result, complaint);
    stats_refuse(&worker->stats, code_word(result.code));
    batch_on_result(worker, exchange, index, &result);
}

/* What a step through a batch has come to. */
enum batch_step {
    BATCH_TEXT,  /* the next message */
    BATCH_LATER, /* only blanks so far */
    BATCH_END,   /* there is none, or it is no JSON */
    BATCH_LONG   /* something in an array is longer than a message may be */
};

/* The next line that is not blank. */
static enum batch_step line_next(struct span *rest, struct span *line) {
    size_t len = 0;
    for (size_t looked = 0; rest->len != 0; looked += len + 1) {
        if (looked >= BLANK_BYTES_PER_LOOK)
            return BATCH_LATER;
        const char *end = memchr(rest->at, '\n', rest->len);
        len = end == NULL ? rest->len : (size_t)(end - rest->at);
        *line = span_of(rest->at, len);
        *rest = span_skip(*rest, end == NULL ? len : len + 1);
        if (!json_line_is_blank(*line))
            return BATCH_TEXT;
    }
    return BATCH_END;
}

static void batch_rewind(struct batch *batch) {
    batch->rest = batch->body;
    if (!batch->lines)
        json_open_apart(&batch->cursor, batch->body);
}

/* The next message's text. */
static enum batch_step batch_next(const struct worker *worker, struct batch *batch,
                                  struct span *text) {
    if (batch->lines)
        return line_next(&batch->rest, text);
    size_t max_bytes = envelope_text_bytes_max(worker->config->max_message_bytes);
    if (json_blanks_pass(&batch->cursor, BLANK_ARRAY_BYTES_PER_LOOK))
        return BATCH_LATER;
    struct json_value value;
    bool over;
    if (!json_array_next_within(&batch->cursor, max_bytes, &value, &over))
        return over ? BATCH_LONG : BATCH_END;
    *text = value.raw;
    return BATCH_TEXT;
}

/* --- later turns ------------------------------------------------------------------------------ */

static void batch_go(struct worker *worker, struct batch *batch);

static void batch_work(struct worker *worker, struct task *task) {
    batch_go(worker, container_of(task, struct batch, task));
}

/* The body lies in a block of the batch from now on. */
static void body_move(struct batch *batch, char *at) {
    const char *from = batch->body.at;
    batch->body.at = at;
    batch->rest.at = at + (batch->rest.at - from);
    if (batch->lines)
        return;
    batch->cursor.at = at + (batch->cursor.at - from);
    batch->cursor.end = at + (batch->cursor.end - from);
    batch->cursor.start = at;
}

/* Puts the rest off to another turn. False: no memory to keep the body. */
static bool batch_put_off(struct worker *worker, struct batch *batch) {
    if (batch->hold.block == NULL) {
        struct http_connection *http = batch->exchange->http;
        struct batch_hold *hold = &batch->hold;
        hold->block = http_take_body(worker, http, batch->body, &hold->bytes);
        if (hold->block == NULL) {
            hold->bytes = batch->body.len;
            hold->block = memory_get(&worker->account, hold->bytes);
            if (SHORTAGE(hold->block == NULL))
                return false;
            memcpy(hold->block, batch->body.at, hold->bytes);
            body_move(batch, hold->block);
        }
        batch->task.work = batch_work;
        http_hold(worker, http);
    }
    worker_put_off(worker, &batch->task);
    return true;
}

/* The batch has gone. */
static void hold_release(struct worker *worker, struct http_connection *http,
                         const struct batch_hold *hold) {
    if (hold->block == NULL)
        return;
    memory_put(&worker->account, hold->block, hold->bytes);
    http_release(worker, http);
}

/* --- the passes ------------------------------------------------------------------------------- */

/* Nothing of it was taken. */
static void batch_refuse(struct worker *worker, struct batch *batch,
                         const struct complaint *complaint) {
    struct http_exchange *exchange = batch->exchange;
    struct http_connection *http = exchange->http;
    struct batch_hold hold = batch->hold;
    exchange->task = NULL;
    batch_free(worker, batch);
    if (complaint != NULL) {
        exchange_complain(worker, exchange, complaint);
    } else {
        stats_add(&worker->stats.memory_refused, 1);
        exchange_fail(worker, exchange, CODE_OVERLOADED, NO_MEMORY_TEXT);
    }
    hold_release(worker, http, &hold);
}

/* The first pass: is it JSON, and how many messages are there? False: it was put off or refused. */
static bool batch_count(struct worker *worker, struct batch *batch) {
    struct complaint *complaint = &http_context(worker)->complaint;
    struct span text;
    enum batch_step step;
    while ((step = batch_next(worker, batch, &text)) == BATCH_TEXT || step == BATCH_LATER) {
        batch->count += step == BATCH_TEXT;
        bool look = step == BATCH_LATER || batch->count % COUNTED_PER_LOOK == 0 ||
                    text.len >= BLANK_BYTES_PER_LOOK;
        if (look && slice_over(worker) && !SHORTAGE(!batch_put_off(worker, batch)))
            return false;
    }
    if (step == BATCH_LONG) {
        complaint_make(complaint, CODE_TOO_LARGE, SPAN(""),
                       "message %u has over %zu bytes that are no blanks; the array was not looked "
                       "at further",
                       batch->count + 1,
                       envelope_text_bytes_max(worker->config->max_message_bytes));
        batch_refuse(worker, batch, complaint);
        return false;
    }
    if (!batch->lines && batch->cursor.error.text != NULL) {
        complaint_json(complaint, &batch->cursor.error);
        batch_refuse(worker, batch, complaint);
        return false;
    }
    if (batch->count > BATCH_MESSAGES_MAX) {
        complaint_make(complaint, CODE_TOO_LARGE, SPAN(""), "%u messages; a batch has at most %d",
                       batch->count, BATCH_MESSAGES_MAX);
        batch_refuse(worker, batch, complaint);
        return false;
    }
    if (batch->count != 0 && SHORTAGE(!batch_furnish(worker, batch))) {
        batch_refuse(worker, batch, NULL);
        return false;
    }
    batch->counted = true;
    batch->left = batch->count;
    batch->exchange->pushes = false; /* each entry counts by itself */
    batch_rewind(batch);
    return true;
}

/* Goes on, for as long as the slice lasts. */
static void batch_go(struct worker *worker, struct batch *batch) {
    struct http_exchange *exchange = batch->exchange;
    struct http_connection *http = exchange->http;
    if (!batch->counted) {
        if (!batch_count(worker, batch))
            return;
        if (slice_over(worker) && !SHORTAGE(!batch_put_off(worker, batch)))
            return;
    }
    while (batch->next < batch->count) {
        struct span text = SPAN("");
        enum batch_step step = batch_next(worker, batch, &text);
        if (step == BATCH_LATER) {
            if (slice_over(worker) && !SHORTAGE(!batch_put_off(worker, batch)))
                return;
            continue;
        }
        CHECK(step == BATCH_TEXT, "a batch has fewer messages than were counted");
        uint32_t index = batch->next++;
        bool last = batch->next == batch->count;
        struct batch_hold hold = batch->hold;
        /* With the last result the batch goes. */
        entry_publish(worker, exchange, index, text);
        if (last) {
            hold_release(worker, http, &hold);
            return;
        }
        if (slice_over(worker) && !SHORTAGE(!batch_put_off(worker, batch)))
            return;
    }
    struct batch_hold hold = batch->hold;
    batch_answer(worker, exchange); /* of no messages */
    hold_release(worker, http, &hold);
}

static void batch_begin(struct worker *worker, struct http_exchange *exchange, struct span body,
                        bool lines) {
    struct batch *batch = memory_get(&worker->account, sizeof *batch);
    exchange->task = batch;
    if (SHORTAGE(batch == NULL)) {
        stats_add(&worker->stats.memory_refused, 1);
        exchange_fail(worker, exchange, CODE_OVERLOADED, NO_MEMORY_TEXT);
        return;
    }
    *batch =
        (struct batch){.exchange = exchange, .lines = lines, .body = body, .text = strbuf_empty()};
    batch_rewind(batch);
    batch_go(worker, batch);
}

void api_post_array(struct worker *worker, struct http_exchange *exchange, struct span body) {
    batch_begin(worker, exchange, body, false);
}

void api_post_lines(struct worker *worker, struct http_exchange *exchange, struct span body) {
    batch_begin(worker, exchange, body, true);
}
