/* Any bytes as a client's line: bounded and right, or refused; what was read and written again as
 * JSON reads the same; and what the server writes about it is JSON in one line. */
#include "tests/support/client_line_look.h"
#include "tests/support/json_reference.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

static char written[1 << 20];

static void names_write(struct builder *out, const char *field, const struct name_list *list) {
    builder_format(out, ",\"%s\":[", field);
    for (unsigned i = 0; i < list->count; i++) {
        if (i != 0)
            builder_byte(out, ',');
        builder_json(out, list->at[i]);
    }
    builder_byte(out, ']');
}

static void line_again(const struct client_line *line) {
    static const char *const words[] = {
        [CLIENT_LINE_HELLO] = "hello", [CLIENT_LINE_ACK] = "ack",   [CLIENT_LINE_JOIN] = "join",
        [CLIENT_LINE_LEAVE] = "leave", [CLIENT_LINE_PING] = "ping", [CLIENT_LINE_PONG] = "pong",
    };
    struct builder out = builder_over(written, sizeof written);
    builder_byte(&out, '{');
    if (line->ref.len != 0) {
        builder_text(&out, "\"ref\":");
        builder_span_add(&out, line->ref);
        builder_byte(&out, ',');
    }
    builder_format(&out, "\"type\":\"%s\"", words[line->type]);
    if (line->id.len != 0) {
        builder_text(&out, ",\"id\":");
        builder_json(&out, line->id);
    }
    if (line->resumes) {
        builder_text(&out, ",\"resume\":");
        builder_json(&out, line->resume);
    }
    bool moves = line->type == CLIENT_LINE_JOIN || line->type == CLIENT_LINE_LEAVE;
    if (line->names.count != 0 || moves)
        names_write(&out, line->type == CLIENT_LINE_ACK ? "ids" : "groups", &line->names);
    builder_byte(&out, '}');
    CHECK(!out.full);

    static struct line_scratch room;
    struct client_line again;
    struct complaint complaint;
    CHECK(line_parse(builder_span(&out), &room, &again, &complaint), "%s", complaint.text);
    CHECK(client_line_same(line, &again) && span_equal(line->ref, again.ref));
}

static void is_one_line(const struct builder *out) {
    struct json_value value;
    struct json_error error;
    CHECK(!out->full && memchr(out->at, '\n', out->len) == NULL);
    CHECK(json_scan(builder_span(out), &value, &error), "%s", error.text);
    CHECK(value.kind == JSON_OBJECT && value.raw.len == out->len);
}

/* The input as texts of what the server writes. */
static void answers_look(struct span text, struct span ref) {
    if (text.len > MESSAGE_ID_BYTES_MAX || !utf8_valid(text, NULL))
        return;
    char copy[MESSAGE_ID_BYTES_MAX + 1];
    if (text.len != 0)
        memcpy(copy, text.at, text.len);
    copy[text.len] = '\0';
    struct builder out = builder_over(written, LINE_ANSWER_BYTES_MAX);
    line_error(&out, CODE_BAD_MESSAGE, copy, ref);
    is_one_line(&out);
    out = builder_over(written, LINE_ANSWER_BYTES_MAX);
    line_sent(&out, ref, text, "queued");
    is_one_line(&out);
    struct welcome welcome = {text, text, text.len * 100000000, 65536, true, false};
    out = builder_over(written, LINE_ANSWER_BYTES_MAX);
    line_welcome(&out, &welcome);
    is_one_line(&out);

    if (message_id_check(text) != NULL || event_check(text) != NULL)
        return;
    struct message_label label = {text, text, SPAN("[\"g\"]"), true, true, true};
    out = builder_over(written, line_message_bound(&label));
    line_message_head(&out, &label);
    line_message_tail(&out);
    CHECK(!out.full);
    out = builder_over(written, sizeof written);
    line_message_head(&out, &label);
    line_message_bytes(&out, text);
    line_message_tail(&out);
    is_one_line(&out);
    struct json_value event;
    struct span event_text;
    char decoded[MESSAGE_ID_BYTES_MAX];
    struct builder scratch = builder_over(decoded, sizeof decoded);
    CHECK(json_find(builder_span(&out), "event", &event));
    CHECK(json_text(&event, &scratch, &event_text) == NULL && span_equal(event_text, text));
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    static struct line_scratch room;
    struct span text = span_of(at, len);
    struct client_line line;
    struct complaint complaint;
    if (line_parse(text, &room, &line, &complaint)) {
        client_line_look(&line);
        if (line.type == CLIENT_LINE_SEND) {
            CHECK(span_equal(line.fields, text));
        } else {
            CHECK(json_reference_valid(at, len));
            CHECK(span_equal(line.ref, ref_find(text)));
            line_again(&line);
        }
    } else {
        complaint_look(&complaint);
        CHECK(complaint.code == CODE_BAD_JSON || complaint.code == CODE_BAD_MESSAGE);
        CHECK((complaint.code == CODE_BAD_JSON) == !json_reference_valid(at, len));
    }
    answers_look(text, line.ref);
    if (line_parse_hello(text, &room, &line, &complaint)) {
        CHECK(line.type == CLIENT_LINE_HELLO && json_reference_valid(at, len));
        client_line_look(&line);
    }
    return 0;
}
