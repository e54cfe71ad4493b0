/* gate_result.c - what a producer is told of a message; see gate.h. */
#include "core/base/builder.h"
#include "core/base/strbuf.h"
#include "ingest/gate/fate_text.h"
#include "ingest/gate/gate.h"

/* --- by the state ---------------------------------------------------------------------------- */

struct gate_result gate_result_of(enum result_word state) {
    struct gate_result result = {.state = state};
    switch (state) {
    case RESULT_QUEUED:
    case RESULT_STORED:
    case RESULT_PENDING:
    case RESULT_DROPPED:
        result.status = 202;
        break;
    case RESULT_ABSENT:
        result.status = 404;
        break;
    case RESULT_EXPIRED:
        result.status = 410;
        break;
    case RESULT_ACKED:
    case RESULT_DUPLICATE:
        result.status = 200;
        break;
    case RESULT_ID_REUSED:
        result.code = CODE_ID_REUSED;
        result.message = "this id was used for another message not long ago";
        result.field = "id";
        break;
    case RESULT_OVERLOADED:
        result.code = CODE_OVERLOADED;
        result.message = "the node's queues or its memory are full; nothing was taken, try again";
        result.retry_after_s = 1;
        break;
    case RESULT_CLUSTER_UNAVAILABLE:
        result.code = CODE_CLUSTER_UNAVAILABLE;
        result.message = "nobody here has that client id, and whether another node has is not "
                         "known: Redis does not answer, or has only just come back; try again";
        result.retry_after_s = 1;
        break;
    case RESULT_STORAGE_UNAVAILABLE:
        result.code = CODE_STORAGE_UNAVAILABLE;
        result.message = "the store cannot keep the message at the moment; it was not delivered, "
                         "try again";
        result.retry_after_s = 1;
        break;
    case RESULT_DRAINING:
        result.code = CODE_DRAINING;
        result.message = "the node is going; nothing was taken, try another node";
        result.retry_after_s = 1;
        break;
    case RESULT_RATE_LIMITED:
        result.code = CODE_RATE_LIMITED;
        result.message = "over --rate-limit messages a second; nothing was taken";
        break;
    default: /* gate_result_bad */
        break;
    }
    if (result.code != CODE_NONE)
        result.status = (uint16_t)code_status(result.code);
    return result;
}

struct gate_result gate_result_of_fate(struct fate *fate) {
    static const enum result_word results[FATE_STATES] = {
        [FATE_PENDING] = RESULT_PENDING,
        [FATE_ACKED] = RESULT_ACKED,
        [FATE_EXPIRED] = RESULT_EXPIRED,
        [FATE_DROPPED] = RESULT_DROPPED,
    };
    struct gate_result result = gate_result_of(results[fate_state(fate)]);
    result.id = fate_id(fate);
    result.fate = fate;
    return result;
}

void gate_result_bad(struct gate_result *result, const struct complaint *complaint) {
    *result = gate_result_of(result_find(code_word(complaint->code)));
    result->code = complaint->code;
    result->status = (uint16_t)code_status(complaint->code);
    result->message = complaint->text;
    result->field = complaint->field[0] != '\0' ? complaint->field : NULL;
    result->offset = complaint->offset;
}

/* --- as JSON --------------------------------------------------------------------------------- */

static void members_of(struct builder *out, struct span id, enum result_word state,
                       uint32_t recipients) {
    json_key_text(out, "id", id);
    json_key_text(out, "state", span_text(result_text(state)));
    json_key_u64(out, "recipients", recipients);
}

static void error_write(const struct gate_result *result, struct builder *out) {
    json_key(out, "error");
    builder_byte(out, '{');
    json_key_text(out, "code", span_text(code_word(result->code)));
    json_key_text(out, "message", span_text(result->message));
    if (result->field != NULL)
        json_key_text(out, "field", span_text(result->field));
    if (result->code == CODE_BAD_JSON)
        json_key_u64(out, "offset", result->offset);
    if (result->maybe) {
        json_key(out, "maybe");
        builder_text(out, "true");
    }
    builder_byte(out, '}');
}

static void fate_members(const struct gate_result *result, struct builder *out) {
    struct fate_view view;
    fate_look_at(result->fate, &view);
    if (result->state == RESULT_ACKED) {
        json_key(out, "latency_ms");
        builder_format(out, "%.3f", (double)result->latency_ns / (double)NS_PER_MS);
    }
    if (result->state == RESULT_DUPLICATE)
        json_key_text(out, "now", span_text(fate_state_word(view.state)));
    if (view.state == FATE_DROPPED)
        json_key_text(out, "reason", span_text(fate_reason_word(view.reason)));
    if (fate_count(result->fate) > 1) {
        json_key(out, "to");
        fate_to_write(result->fate, &view, out);
    }
}

void gate_result_write(const struct gate_result *result, bool with_status, struct builder *out) {
    builder_byte(out, '{');
    if (with_status)
        json_key_u64(out, "status", result->status);
    if (result->code != CODE_NONE) {
        error_write(result, out);
    } else {
        members_of(out, result->id, result->state, result->recipients);
        if (result->cluster_lost)
            json_key_text(out, "cluster", SPAN("unavailable"));
        if (result->state == RESULT_DUPLICATE) {
            json_key(out, "first");
            builder_byte(out, '{');
            members_of(out, result->id, result->first_state, result->first_recipients);
            builder_byte(out, '}');
        }
        if (result->fate != NULL)
            fate_members(result, out);
    }
    builder_byte(out, '}');
}

size_t gate_result_bytes(const struct gate_result *result) {
    size_t bytes = GATE_RESULT_BYTES_MAX;
    if (result->fate != NULL && fate_count(result->fate) > 1)
        bytes += fate_to_bytes(result->fate);
    return bytes;
}
