#include "core/base/builder.h"
#include "ingest/gate/gate.h"

static void member_start(struct builder *out, const char *name) {
    if (out->len != 0 && out->at[out->len - 1] != '{')
        builder_byte(out, ',');
    builder_json(out, span_text(name));
    builder_byte(out, ':');
}

static void member_text(struct builder *out, const char *name, struct span text) {
    member_start(out, name);
    builder_json(out, text);
}

static void member_u64(struct builder *out, const char *name, uint64_t value) {
    member_start(out, name);
    builder_u64(out, value);
}

static void members_of(struct builder *out, struct span id, enum result_word state,
                       uint32_t recipients) {
    member_text(out, "id", id);
    member_text(out, "state", span_text(result_text(state)));
    member_u64(out, "recipients", recipients);
}

void gate_result_write(const struct gate_result *result, bool with_status, struct builder *out) {
    builder_byte(out, '{');
    if (with_status)
        member_u64(out, "status", result->status);
    if (result->code != CODE_NONE) {
        member_start(out, "error");
        builder_byte(out, '{');
        member_text(out, "code", span_text(code_word(result->code)));
        member_text(out, "message", span_text(result->message));
        if (result->field != NULL)
            member_text(out, "field", span_text(result->field));
        if (result->code == CODE_BAD_JSON)
            member_u64(out, "offset", result->offset);
        builder_byte(out, '}');
    } else {
        members_of(out, result->id, result->state, result->recipients);
        if (result->state == RESULT_DUPLICATE) {
            member_start(out, "first");
            builder_byte(out, '{');
            members_of(out, result->id, result->first_state, result->first_recipients);
            builder_byte(out, '}');
        }
    }
    builder_byte(out, '}');
}
