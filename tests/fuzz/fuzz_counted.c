/* Any bytes as a stream in counted framing: how it arrives in pieces must not change what is read;
 * words come back as they were; what the server writes is one line. */
#include "proto/client/counted.h"
#include "proto/text/percent.h"
#include "tests/support/client_line_look.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

static char written[1 << 20];

static void line_again(const struct client_line *line) {
    static const char *const words[] = {
        [CLIENT_LINE_ACK] = "ACK", [CLIENT_LINE_JOIN] = "JOIN 1", [CLIENT_LINE_LEAVE] = "LEAVE 1"};
    struct builder out = builder_over(written, sizeof written);
    builder_text(&out, words[line->type]);
    for (unsigned i = 0; i < line->names.count; i++) {
        builder_byte(&out, ' ');
        percent_encode(&out, line->names.at[i]);
    }
    CHECK(!out.full);
    static struct line_scratch room;
    struct client_line again;
    struct complaint complaint;
    CHECK(counted_parse(builder_span(&out), &room, &again, &complaint), "%s", complaint.text);
    CHECK(client_line_same(line, &again));
}

/* What came of the stream, as text. */
struct transcript {
    char at[1 << 16];
    struct builder out;
};

static void transcript_line(struct transcript *transcript, bool right,
                            const struct client_line *line, const struct complaint *complaint) {
    builder_format(&transcript->out, "%d %d %u %zu ", right, (int)line->type, line->names.count,
                   line->payload_bytes);
    builder_span_add(&transcript->out, line->ref);
    builder_text(&transcript->out, right ? "" : complaint->text);
    builder_byte(&transcript->out, '\n');
}

static void answer_look(const struct complaint *complaint, struct span ref) {
    struct builder out = builder_over(written, LINE_ANSWER_BYTES_MAX);
    counted_error(&out, complaint->code, complaint->text, ref);
    CHECK(!out.full && out.len > 2);
    CHECK(memchr(written, '\r', out.len) == written + out.len - 2);
    CHECK(memchr(written, '\n', out.len) == written + out.len - 1);
}

/* Reads one line, and says how many bytes of payload follow; SIZE_MAX: the stream is lost. */
static size_t line_look(struct span text, struct transcript *transcript) {
    static struct line_scratch room;
    struct client_line line;
    struct complaint complaint;
    CHECK(text.len == 0 || memchr(text.at, '\n', text.len) == NULL);
    bool right = counted_parse(text, &room, &line, &complaint);
    transcript_line(transcript, right, &line, &complaint);
    if (right) {
        client_line_look(&line);
        if (line.type == CLIENT_LINE_ACK || line.type == CLIENT_LINE_JOIN ||
            line.type == CLIENT_LINE_LEAVE)
            line_again(&line);
    } else {
        complaint_look(&complaint);
        answer_look(&complaint, line.ref);
        if (complaint.code == CODE_BAD_FRAME)
            return SIZE_MAX;
    }
    return line.type == CLIENT_LINE_SEND ? line.payload_bytes : 0;
}

/* Presents the stream in pieces that grow by `step`, all of what is unconsumed each time. */
static void stream_read(struct span stream, size_t step, struct transcript *transcript) {
    transcript->out = builder_over(transcript->at, sizeof transcript->at);
    size_t done = 0, seen = 0, payload = 0;
    bool in_payload = false;
    while (!transcript->out.full) {
        struct span here = span_of(stream.at + done, seen - done);
        bool more = false;
        if (in_payload) {
            int end = here.len < payload ? 0 : counted_payload_end(span_skip(here, payload));
            if (end < 0) {
                builder_text(&transcript->out, "no end\n");
                return;
            }
            more = end == 0;
            if (!more) {
                done += payload + (size_t)end;
                in_payload = false;
            }
        } else {
            struct span line;
            size_t used;
            enum counted_cut cut = counted_cut(here, &line, &used);
            if (cut == COUNTED_TOO_LONG) {
                builder_text(&transcript->out, "too long\n");
                return;
            }
            more = cut == COUNTED_MORE;
            if (!more) {
                CHECK(used > line.len && used <= line.len + 2 && used <= here.len);
                bool sends = span_starts(line, SPAN("SEND "));
                payload = line_look(line, transcript);
                if (payload == SIZE_MAX)
                    return;
                in_payload = payload != 0 || sends;
                done += used;
            }
        }
        if (more && seen == stream.len)
            return;
        if (more)
            seen = stream.len - seen > step ? seen + step : stream.len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    static struct transcript whole, pieces;
    if (len == 0 || len > 1 << 15)
        return 0;
    struct span stream = span_of(at, len);
    stream_read(stream, len, &whole);
    for (size_t step = 1; step < 64 && step < len; step = step * 2 + 1) {
        /* A long stream byte by byte takes too long. */
        if (len / step > 2048)
            continue;
        stream_read(stream, step, &pieces);
        CHECK(span_equal(builder_span(&whole.out), builder_span(&pieces.out)), "by %zu:\n%.*s%.*s",
              step, SPAN_ARG(builder_span(&whole.out)), SPAN_ARG(builder_span(&pieces.out)));
    }
    return 0;
}
