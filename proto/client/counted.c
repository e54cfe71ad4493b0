/* counted.c - see counted.h. */
#include "proto/client/counted.h"

#include "proto/text/percent.h"
#include "proto/text/utf8.h"

static const struct span hello_word = {"HELLO ", 6};

enum counted_cut counted_cut(struct span bytes, struct span *line, size_t *used) {
    size_t max = span_starts(bytes, hello_word) ? HELLO_BYTES_MAX : CONTROL_LINE_BYTES_MAX;
    size_t look = bytes.len < max + 2 ? bytes.len : max + 2;
    const char *lf = look == 0 ? NULL : memchr(bytes.at, '\n', look);
    /* Without an end in sight, a CR that comes last may still be half of one. */
    size_t len = lf != NULL ? (size_t)(lf - bytes.at) : bytes.len;
    size_t text_len = len != 0 && bytes.at[len - 1] == '\r' ? len - 1 : len;
    if (text_len > max)
        return COUNTED_TOO_LONG;
    if (lf == NULL)
        return COUNTED_MORE;
    *line = span_of(bytes.at, text_len);
    *used = len + 1;
    return COUNTED_LINE;
}

int counted_payload_end(struct span bytes) {
    if (bytes.len == 0)
        return 0;
    if (bytes.at[0] == '\n')
        return 1;
    if (bytes.at[0] != '\r')
        return -1;
    if (bytes.len < 2)
        return 0;
    return bytes.at[1] == '\n' ? 2 : -1;
}

/* The words that have not been taken yet; `none`: not even an empty one is left. */
struct words {
    struct span rest;
    bool none;
};

static struct span take_word(struct words *words) {
    struct span word = words->rest;
    const char *space = word.len == 0 ? NULL : memchr(word.at, ' ', word.len);
    if (space == NULL) {
        words->none = true;
        words->rest = span_of(NULL, 0);
        return word;
    }
    word.len = (size_t)(space - word.at);
    words->rest = span_skip(words->rest, word.len + 1);
    return word;
}

static bool refuse(struct complaint *complaint, const char *what, const char *wrong) {
    complaint_make(complaint, CODE_BAD_MESSAGE, SPAN(""), "%s %s", what, wrong);
    return false;
}

/* A decimal number without sign and leading zero. */
static bool read_count(struct span word, size_t *count) {
    size_t sum = 0;
    if (word.len == 0 || (word.at[0] == '0' && word.len > 1))
        return false;
    for (size_t i = 0; i < word.len; i++) {
        if (word.at[i] < '0' || word.at[i] > '9' || __builtin_mul_overflow(sum, 10u, &sum) ||
            __builtin_add_overflow(sum, (size_t)(word.at[i] - '0'), &sum))
            return false;
    }
    *count = sum;
    return true;
}

static bool read_ref(struct words *words, struct client_line *line, struct complaint *complaint) {
    if (words->none)
        return refuse(complaint, "the ref", "is missing");
    struct span ref = take_word(words);
    const char *wrong = message_id_check(ref); /* the rule is the same */
    if (wrong != NULL)
        return refuse(complaint, "the ref", wrong);
    line->ref = ref;
    return true;
}

/* All the words that are left are names. */
static bool read_names(struct words *words, const char *what,
                       const char *(*check)(struct span text), struct line_scratch *room,
                       struct client_line *line, struct complaint *complaint) {
    struct builder texts = builder_over(room->text, sizeof room->text);
    if (words->none)
        return refuse(complaint, what, "is missing");
    while (!words->none) {
        struct span text;
        size_t text_len = texts.len;
        const char *wrong = percent_text(take_word(words), PERCENT_PATH, &texts, &text, NULL);
        if (wrong == NULL)
            wrong = check(text);
        if (wrong != NULL)
            return refuse(complaint, what, wrong);
        enum name_list_verdict verdict = name_list_add(&line->names, text);
        if (verdict == NAME_LIST_FULL)
            return refuse(complaint, what, "list is longer than 1000 entries");
        if (verdict == NAME_LIST_HAD_IT)
            texts.len = text_len;
    }
    return true;
}

static bool read_send(struct words *words, struct client_line *line, struct complaint *complaint) {
    /* The count first of all: with it the stream can go on, whatever else is wrong. */
    struct words ahead = *words;
    size_t count;
    take_word(&ahead);
    if (ahead.none || !read_count(take_word(&ahead), &count)) {
        complaint_make(complaint, CODE_BAD_FRAME, SPAN(""),
                       "SEND without a byte count in its third word");
        return false;
    }
    line->payload_bytes = count;
    line->fields = ahead.rest;
    if (!read_ref(words, line, complaint))
        return false;
    return ahead.none ? refuse(complaint, "the object with the message's fields", "is missing")
                      : true;
}

static bool read_nothing(const struct words *words, struct complaint *complaint) {
    return words->none ? true : refuse(complaint, "this word", "must stand alone on its line");
}

bool counted_parse(struct span text, struct line_scratch *room, struct client_line *line,
                   struct complaint *complaint) {
    *line = (struct client_line){.names = {room->names, 0, LINE_NAMES_MAX}};
    struct words words = {text, false};
    struct span word = take_word(&words);
    if (span_equal(word, SPAN("ACK"))) {
        line->type = CLIENT_LINE_ACK;
        return read_names(&words, "the message id", message_id_check, room, line, complaint);
    }
    if (span_equal(word, SPAN("SEND"))) {
        line->type = CLIENT_LINE_SEND;
        return read_send(&words, line, complaint);
    }
    if (span_equal(word, SPAN("PONG")) || span_equal(word, SPAN("PING"))) {
        line->type = word.at[1] == 'O' ? CLIENT_LINE_PONG : CLIENT_LINE_PING;
        return read_nothing(&words, complaint);
    }
    if (span_equal(word, SPAN("JOIN")) || span_equal(word, SPAN("LEAVE"))) {
        line->type = word.at[0] == 'J' ? CLIENT_LINE_JOIN : CLIENT_LINE_LEAVE;
        return read_ref(&words, line, complaint) &&
               read_names(&words, "the group", name_check, room, line, complaint);
    }
    if (span_equal(word, SPAN("HELLO"))) {
        if (words.none) {
            line->type = CLIENT_LINE_HELLO;
            return refuse(complaint, "the hello object", "is missing");
        }
        return line_parse_hello(words.rest, room, line, complaint);
    }
    return refuse(complaint, "the line",
                  "begins with none of HELLO, ACK, JOIN, LEAVE, SEND, PING, PONG");
}

static void write_end(struct builder *out) {
    builder_text(out, "\r\n");
}

void counted_welcome(struct builder *out, const struct welcome *welcome) {
    builder_text(out, "WELCOME ");
    line_welcome(out, welcome);
    write_end(out);
}

void counted_ok(struct builder *out, struct span ref) {
    builder_text(out, "OK ");
    builder_span_add(out, ref);
    write_end(out);
}

void counted_sent(struct builder *out, struct span ref, struct span id, const char *state) {
    builder_text(out, "OK ");
    builder_span_add(out, ref);
    builder_byte(out, ' ');
    percent_encode(out, id);
    builder_byte(out, ' ');
    builder_text(out, state);
    write_end(out);
}

void counted_error(struct builder *out, enum code code, const char *text, struct span ref) {
    builder_text(out, "ERR ");
    builder_text(out, code_word(code));
    builder_byte(out, ' ');
    builder_span_add(out, ref.len != 0 ? ref : SPAN("-"));
    builder_byte(out, ' ');
    while (*text != '\0') {
        const char *end = text + strlen(text);
        int len = utf8_sequence(text, end);
        bool passes = len > 0 && (unsigned char)*text >= 0x20 && *text != 0x7F &&
                      !(len > 1 && utf8_is_break(text));
        if (passes)
            builder_bytes(out, text, (size_t)len);
        else
            builder_byte(out, '?');
        text += len > 0 ? len : 1;
    }
    write_end(out);
}

void counted_goodbye(struct builder *out, const char *reason, uint64_t reconnect_ms) {
    builder_text(out, "BYE ");
    builder_text(out, reason);
    builder_byte(out, ' ');
    builder_u64(out, reconnect_ms);
    write_end(out);
}

void counted_message_head(struct builder *out, const struct message_label *label,
                          size_t payload_bytes) {
    builder_text(out, "MSG ");
    percent_encode(out, label->id);
    builder_byte(out, ' ');
    percent_encode(out, label->event);
    builder_byte(out, ' ');
    size_t flags_at = out->len;
    if (label->ack)
        builder_byte(out, 'a');
    if (label->redelivered)
        builder_byte(out, 'r');
    if (label->group_json.len != 0)
        builder_byte(out, 'g');
    if (label->bytes)
        builder_byte(out, 'b');
    if (out->len == flags_at)
        builder_byte(out, '-');
    builder_byte(out, ' ');
    builder_u64(out, payload_bytes);
    write_end(out);
}

void counted_message_tail(struct builder *out) {
    write_end(out);
}

size_t counted_message_bound(const struct message_label *label) {
    static const char constant[] = "MSG   argb 18446744073709551615\r\n\r\n";
    return sizeof constant + percent_encode_max(label->id.len) +
           percent_encode_max(label->event.len);
}
