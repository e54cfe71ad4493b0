/* api_messages.c - one message over HTTP, as an object or as path, query and body; see api.h. */
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/worker.h"
#include "ingest/api/api.h"
#include "proto/http/body_type.h"
#include "proto/http/query.h"
#include "proto/text/json.h"
#include "proto/text/json_blanks.h"

#define WAIT_S_MAX 60
#define WAIT_DEFAULT_NS (5 * NS_PER_S)

/* --- what is said of a body ------------------------------------------------------------------- */

/* False: it may not be read as JSON or text; it was answered. */
static bool charset_fits(struct worker *worker, struct http_exchange *exchange,
                         const struct http_request *http) {
    if (body_charset_fits(http->content_type, http->body))
        return true;
    exchange_fail(
        worker, exchange, CODE_UNSUPPORTED_MEDIA_TYPE,
        "the charset of Content-Type is not UTF-8, and the body is not ASCII; send UTF-8");
    return false;
}

/* --- results ---------------------------------------------------------------------------------- */

void api_on_result(struct endpoint *endpoint, struct gate_source *source, void *request,
                   uint32_t index, const struct gate_result *result) {
    (void)source;
    struct worker *worker = worker_of(endpoint);
    struct http_exchange *exchange = request;
    if (index == API_WAITS)
        api_wait_on_result(worker, exchange, result);
    else if (exchange->task != NULL)
        batch_on_result(worker, exchange, index, result);
    else
        api_answer_result(worker, exchange, result);
}

/* One that does not fit the usual room. */
static void answer_long(struct worker *worker, struct http_exchange *exchange,
                        const struct gate_result *result) {
    size_t bytes = gate_result_bytes(result) + 1;
    char *block = memory_get(&worker->account, bytes);
    if (SHORTAGE(block == NULL)) {
        /* It was taken, which must be told; what has become of each address can be asked for. */
        struct gate_result shorter = *result;
        shorter.fate = NULL;
        stats_add(&worker->stats.answers_refused, 1);
        api_answer_result(worker, exchange, &shorter);
        return;
    }
    struct builder out = builder_over(block, bytes);
    gate_result_write(result, false, &out);
    builder_byte(&out, '\n');
    CHECK(!out.full, "a result is longer than gate_result_bytes");
    exchange_answer(worker, exchange, result->status, NULL, SPAN(""), builder_span(&out));
    memory_put(&worker->account, block, bytes);
}

void api_answer_result(struct worker *worker, struct http_exchange *exchange,
                       const struct gate_result *result) {
    if (result->code != CODE_NONE) {
        struct http_error error = http_error_of(result->code, result->message);
        if (result->field != NULL)
            error.field = span_text(result->field);
        error.has_offset = result->code == CODE_BAD_JSON;
        error.offset = result->offset;
        error.retry_after_s = result->retry_after_s;
        error.maybe = result->maybe;
        exchange_refuse(worker, exchange, &error);
        return;
    }
    if (gate_result_bytes(result) > HTTP_ANSWER_BYTES_MAX - HTTP_RESPONSE_HEAD_BYTES_MAX) {
        answer_long(worker, exchange, result);
        return;
    }
    struct builder out = builder_over(http_context(worker)->answer, HTTP_ANSWER_BYTES_MAX);
    struct http_response response = http_response_open(
        &out, exchange->answer_flags, http_date(worker), result->status, NULL, SPAN(""));
    gate_result_write(result, false, &out);
    http_response_close(&response);
    exchange_give(worker, exchange, result->status, builder_span(&out), SPAN(""));
}

void api_publish(struct worker *worker, struct http_exchange *exchange, uint32_t index) {
    struct gate_request request = {.source = api_source(exchange->http),
                                   .envelope = &api_context(worker)->envelope,
                                   .scope = SPAN(""),
                                   .request = exchange,
                                   .index = index,
                                   .in_batch = exchange->task != NULL && index != API_WAITS,
                                   .waits = index == API_WAITS};
    exchange->pushes = false; /* the gate counts it */
    gate_publish(&worker->endpoint, &request);
}

static void complain(struct worker *worker, struct http_exchange *exchange) {
    exchange_complain(worker, exchange, &http_context(worker)->complaint);
}

/* --- waiting for an acknowledgement ----------------------------------------------------------- */

/* What the query says of it. */
struct waiting {
    bool asked;
    uint64_t timeout_ns;
};

static bool wait_read(const struct query_field *wait, const struct query_field *timeout,
                      struct waiting *waiting, struct complaint *complaint) {
    *waiting = (struct waiting){.asked = wait->given, .timeout_ns = WAIT_DEFAULT_NS};
    if (timeout->given && !query_seconds(timeout, WAIT_S_MAX, &waiting->timeout_ns, complaint))
        return false;
    if (!wait->given || span_equal(wait->value, SPAN("ack")))
        return true;
    complaint_make(complaint, CODE_BAD_MESSAGE, SPAN("wait"), "parameter \"wait\" can only be ack");
    return false;
}

static bool wait_refuse(struct complaint *complaint) {
    complaint_make(complaint, CODE_BAD_MESSAGE, SPAN("wait"),
                   "wait=ack needs one message with ack");
    return false;
}

static bool wait_fits(const struct waiting *waiting, const struct envelope *envelope,
                      struct complaint *complaint) {
    return !waiting->asked || envelope->parts.class == CLASS_ACK || wait_refuse(complaint);
}

/* Hands the message in the context's envelope to the gate. */
static void publish_one(struct worker *worker, struct http_exchange *exchange,
                        const struct waiting *waiting) {
    if (!waiting->asked)
        api_publish(worker, exchange, 0);
    else if (api_wait_prepare(worker, exchange, waiting->timeout_ns))
        api_publish(worker, exchange, API_WAITS);
}

/* --- POST /v1/messages ------------------------------------------------------------------------ */

bool api_text_fits(const struct worker *worker, struct span text, struct complaint *complaint) {
    size_t max = envelope_text_bytes_max(worker->config->max_message_bytes);
    if (text.len <= max || json_dense_end(text, max + 1) == text.at + text.len)
        return true;
    complaint_make(complaint, CODE_TOO_LARGE, SPAN(""),
                   "the message has over %zu bytes that are no blanks, and was not looked at", max);
    return false;
}

static bool begins_array(struct span body) {
    const char *first = json_dense_end(body, 1);
    return first != body.at + body.len && *first == '[';
}

void api_post_messages(struct worker *worker, struct http_exchange *exchange,
                       const struct route_request *request) {
    struct api_context *context = api_context(worker);
    struct complaint *complaint = &http_context(worker)->complaint;
    struct span body = request->http->body;
    enum body_kind kind = body_kind(request->http->content_type);
    if (kind != BODY_JSON && kind != BODY_LINES && kind != BODY_PLAIN) {
        exchange_fail(worker, exchange, CODE_UNSUPPORTED_MEDIA_TYPE,
                      "Content-Type is neither application/json nor application/x-ndjson");
        return;
    }
    if (!charset_fits(worker, exchange, request->http))
        return;
    struct query_field fields[] = {{.name = "wait"}, {.name = "timeout"}};
    struct waiting waiting = {.asked = false};
    bool batch = kind == BODY_LINES || begins_array(body);
    if (request->http->query.len != 0 &&
        (!query_read(request->http->query, request->texts, fields, 2, complaint) ||
         !wait_read(&fields[0], &fields[1], &waiting, complaint) ||
         (waiting.asked && batch && !wait_refuse(complaint)))) {
        exchange_complain(worker, exchange, complaint);
        return;
    }
    if (kind == BODY_LINES)
        api_post_lines(worker, exchange, body);
    else if (batch)
        api_post_array(worker, exchange, body);
    else if (api_text_fits(worker, body, complaint) &&
             envelope_parse(&context->envelope, &context->room, ENVELOPE_MESSAGE, body,
                            worker->config->max_message_bytes, complaint) &&
             wait_fits(&waiting, &context->envelope, complaint))
        publish_one(worker, exchange, &waiting);
    else
        complain(worker, exchange);
}

/* --- the address in the path ------------------------------------------------------------------ */

struct pushed {
    struct query_field wait, timeout, raw;
};

static bool own_field(struct query_field *field, struct span name, struct span value, bool *bad,
                      struct complaint *complaint) {
    if (!span_equal(name, span_text(field->name)))
        return false;
    *bad = field->given;
    if (field->given)
        complaint_make(complaint, CODE_BAD_MESSAGE, name, "%s is given twice", field->name);
    field->given = true;
    field->value = value;
    return true;
}

/* Reads the query: our own parameters, and the fields of a message. */
static bool query_take(struct envelope *envelope, const struct route_request *request,
                       struct pushed *pushed, struct complaint *complaint) {
    struct span rest = request->http->query, name, value;
    enum query_step step;
    while ((step = query_step(&rest, request->texts, &name, &value, complaint)) ==
           QUERY_PARAMETER) {
        bool bad = false;
        if (own_field(&pushed->wait, name, value, &bad, complaint) ||
            own_field(&pushed->timeout, name, value, &bad, complaint) ||
            own_field(&pushed->raw, name, value, &bad, complaint)) {
            if (bad)
                return false;
        } else if (!envelope_set(envelope, name, value, complaint)) {
            return false;
        }
    }
    return step == QUERY_END;
}

static bool body_take(struct envelope *envelope, const struct http_request *http, bool raw,
                      size_t max_bytes, struct complaint *complaint) {
    struct json_error error;
    enum payload_kind kind = PAYLOAD_BYTES;
    switch (raw ? BODY_OTHER : body_kind(http->content_type)) {
    case BODY_JSON:
        kind = PAYLOAD_JSON;
        break;
    case BODY_TEXT:
        kind = PAYLOAD_TEXT;
        break;
    case BODY_PLAIN:
        /* What is too long in any form is not read. Nobody writes a mark before a text that is to
         * be shown; it is JSON gone wrong. */
        if (http->body.len > max_bytes &&
            json_dense_end(http->body, max_bytes + 1) != http->body.at + http->body.len)
            kind = PAYLOAD_TEXT;
        else
            kind = json_scan(http->body, NULL, &error) || json_has_mark(http->body) ? PAYLOAD_JSON
                                                                                    : PAYLOAD_TEXT;
        break;
    case BODY_LINES:
    case BODY_OTHER:
        break;
    }
    return envelope_set_data(envelope, kind, http->body, max_bytes, complaint);
}

/* `field` and `name` are the address of the path; none for a broadcast. */
static void push(struct worker *worker, struct http_exchange *exchange,
                 const struct route_request *request, struct span field) {
    struct envelope *envelope = &api_context(worker)->envelope;
    struct complaint *complaint = &http_context(worker)->complaint;
    struct pushed pushed = {{.name = "wait"}, {.name = "timeout"}, {.name = "raw"}};
    struct waiting waiting;
    bool raw = false;
    enum body_kind said = body_kind(request->http->content_type);
    envelope_init(envelope, &api_context(worker)->room);
    if (field.len == 0)
        envelope_set_broadcast(envelope);
    bool good = (field.len == 0 || envelope_set(envelope, field, request->names[0], complaint)) &&
                query_take(envelope, request, &pushed, complaint) &&
                wait_read(&pushed.wait, &pushed.timeout, &waiting, complaint) &&
                (!pushed.raw.given || query_bool(&pushed.raw, &raw, complaint));
    /* Bytes are handed on as they are, whatever they are called. */
    if (good && !raw && said != BODY_LINES && said != BODY_OTHER &&
        !charset_fits(worker, exchange, request->http))
        return;
    good = good &&
           body_take(envelope, request->http, raw, worker->config->max_message_bytes, complaint) &&
           envelope_finish(envelope, complaint) && wait_fits(&waiting, envelope, complaint);
    if (good)
        publish_one(worker, exchange, &waiting);
    else
        complain(worker, exchange);
}

void api_post_client(struct worker *worker, struct http_exchange *exchange,
                     const struct route_request *request) {
    push(worker, exchange, request, SPAN("to"));
}

void api_post_group(struct worker *worker, struct http_exchange *exchange,
                    const struct route_request *request) {
    push(worker, exchange, request, SPAN("group"));
}

void api_post_broadcast(struct worker *worker, struct http_exchange *exchange,
                        const struct route_request *request) {
    push(worker, exchange, request, SPAN(""));
}
