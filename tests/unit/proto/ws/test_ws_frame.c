/* Frames of WebSocket: what is taken, what is refused and with which words, that neither depends on
 * how the bytes arrive, and that a second reading of RFC 6455 sees the same. */
#include "proto/ws/ws_frame.c"

#include "tests/support/cmocka_first.h"
#include "tests/support/ws_caller.h"

#define TEXT 0x81
#define BINARY 0x82
#define TEXT_BEGIN 0x01
#define BINARY_BEGIN 0x02
#define GOES_ON 0x00
#define ENDS 0x80
#define CLOSE 0x88
#define PING 0x89
#define PONG 0x8A

static const struct ws_limits plain = {1000, false};
static const struct ws_limits deflated = {1000, true};

static char room[1 << 20];
static struct builder frames;
static struct transcript whole, other;

static void frames_begin(void) {
    frames = builder_over(room, sizeof room);
}

static void expect_same(const char *how, size_t at) {
    if (strcmp(whole.text, other.text) != 0)
        fail_msg("%s %zu:\n%s\nis not\n%s", how, at, other.text, whole.text);
}

/* Whole; byte by byte; in threes; split once at every offset; read otherwise. Long ones in fewer
 * ways. */
static const char *run(struct span input, const struct ws_limits *limits) {
    bool is_long = input.len > 3000;
    transcribe(&whole, input, limits, 0, 0);
    transcribe_otherwise(&other, input, limits);
    expect_same("read otherwise", 0);
    transcribe(&other, input, limits, 0, is_long ? input.len / 50 : 1);
    expect_same("in steps", 1);
    transcribe(&other, input, limits, 0, is_long ? 4093 : 3);
    expect_same("in steps", 3);
    for (size_t at = 1; at < input.len; at += is_long && at > 20 ? input.len / 30 : 1) {
        transcribe(&other, input, limits, at, 0);
        expect_same("split at", at);
    }
    return whole.text;
}

/* The same as `run` for what was built; then nothing is built any more. */
static void expect(const struct ws_limits *limits, const char *wanted) {
    const char *text = run(builder_span(&frames), limits);
    if (strcmp(text, wanted) != 0)
        fail_msg("should be\n%s\nbut is\n%s", wanted, text);
    frames_begin();
}

static void reads_the_samples_of_the_rfc(void **state) {
    (void)state;
    assert_string_equal(run(SPAN("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), &plain),
                        "text used 11 [Hello]\n");
    frame_add(&frames, TEXT_BEGIN, SPAN("Hel"));
    frame_add(&frames, ENDS, SPAN("lo"));
    frame_add(&frames, PING, SPAN("Hello"));
    frame_add(&frames, PONG, SPAN("Hello"));
    expect(&plain, "text used 17 [Hello]\nping used 11 [Hello]\npong used 11 [Hello]\n");
}

static void reads_every_length(void **state) {
    (void)state;
    static char payload[65537];
    static const size_t sizes[] = {0,   1,   2,   3,    4,    5,     6,     7,     8,
                                   9,   15,  16,  17,   124,  125,   126,   127,   128,
                                   255, 256, 999, 1000, 1001, 65534, 65535, 65536, 65537};
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (char)(i * 31 + i / 253);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct ws_limits limits = {sizes[i], false};
        struct transcript t = {.len = 0};
        frame_add(&frames, BINARY, span_of(payload, sizes[i]));
        note_message(&t, false, false, frames.len, span_of(payload, sizes[i]));
        expect(&limits, t.text);
        if (sizes[i] == 0)
            continue;
        /* One byte more than may be: refused when the length is there, before the mask is. */
        limits.message_bytes_max--;
        frame_add(&frames, BINARY, span_of(payload, sizes[i]));
        frames.len = ws_head_bytes(sizes[i]);
        expect(&limits, "refused 1009: the message is too long\n");
    }
}

static void reads_the_largest(void **state) {
    (void)state;
    size_t bytes = WS_MESSAGE_BYTES_MAX, half = bytes / 2, cap = bytes + 64;
    struct ws_limits limits = {bytes, false};
    char *at = malloc(cap), *payload = calloc(1, half);
    assert_true(at != NULL && payload != NULL);
    struct builder out = builder_over(at, cap);
    frame_add(&out, BINARY_BEGIN, span_of(payload, half));
    frame_add(&out, PING, SPAN("x"));
    frame_add(&out, ENDS, span_of(payload, half));
    struct ws_parser parser = {0};
    struct ws_item item;
    for (size_t len = 0; len < out.len; len += 1u << 20) {
        size_t given = len < half ? len : half; /* the ping comes only with the end */
        assert_int_equal(ws_next(&parser, at, given, &limits, &item), WS_MORE);
    }
    assert_int_equal(ws_next(&parser, at, out.len, &limits, &item), WS_PING);
    assert_int_equal(ws_next(&parser, at, out.len, &limits, &item), WS_BINARY);
    assert_true(item.bytes.len == bytes && item.used == out.len);
    for (size_t i = 0; i < bytes; i += 4093)
        assert_int_equal(item.bytes.at[i], 0);
    free(at);
    free(payload);
}

static void sums_up_the_frames_of_a_message(void **state) {
    (void)state;
    struct ws_limits limits = {6, false};
    for (unsigned more = 0; more < 2; more++) {
        frame_add(&frames, TEXT_BEGIN, SPAN("abc"));
        frame_add(&frames, PING, SPAN("pings are not counted"));
        frame_add(&frames, GOES_ON, SPAN(""));
        frame_add(&frames, GOES_ON, SPAN("de"));
        frame_add(&frames, ENDS, span_of("fg", 1 + more));
        expect(&limits, more == 0 ? "ping used 0 [pings are not counted]\ntext used 57 [abcdef]\n"
                                  : "ping used 0 [pings are not counted]\n"
                                    "refused 1009: the message is too long\n");
    }
    /* The sum stands in the first mask, wherever that is. */
    static char payload[70000];
    static const size_t firsts[] = {0, 1, 125, 126, 65535, 65536};
    for (size_t i = 0; i < sizeof firsts / sizeof *firsts; i++) {
        limits.message_bytes_max = firsts[i] + 3;
        for (size_t last = 2; last <= 3; last++) {
            struct transcript t = {.len = 0};
            frame_add(&frames, BINARY_BEGIN, span_of(payload, firsts[i]));
            frame_add(&frames, GOES_ON, span_of(payload, 1));
            frame_add(&frames, ENDS, span_of(payload, last));
            if (last == 2)
                note_message(&t, false, false, frames.len, span_of(payload, firsts[i] + 3));
            else
                note_refused(&t, 1009, "the message is too long");
            expect(&limits, t.text);
        }
    }
}

/* What comes last of what was built, given whole and in pieces. */
static enum ws_event last_event(const struct ws_limits *limits, struct ws_item *last) {
    enum ws_event event = WS_MORE, found[2] = {WS_MORE, WS_MORE};
    static char copy[1 << 20];
    for (size_t way = 0; way < 2; way++) {
        struct ws_parser parser = {0};
        memcpy(copy, room, frames.len);
        for (size_t len = way == 0 ? frames.len : 100;; len += len < frames.len ? 1 : 0) {
            struct ws_item item;
            event = ws_next(&parser, copy, len, limits, &item);
            if (event == WS_MORE && len == frames.len)
                break;
            if (event == WS_MORE)
                continue;
            found[way] = event;
            *last = item;
            if (item.used != 0)
                break;
            len--; /* there may be more in what is there */
        }
    }
    assert_int_equal(found[0], found[1]);
    return found[0];
}

/* Frames without payload, or control frames, do not fill the memory. */
static void bounds_the_frames_of_a_message(void **state) {
    (void)state;
    static const unsigned kinds[] = {GOES_ON, PONG};
    struct ws_limits limits = {10, false};
    struct ws_item item;
    for (size_t kind = 0; kind < 2; kind++) {
        for (unsigned beyond = 0; beyond < 2; beyond++) {
            frame_add(&frames, BINARY_BEGIN, SPAN("ab"));
            size_t end = 2 * limits.message_bytes_max + WS_FRAMING_BYTES - 6 + beyond;
            while (frames.len + 12 <= end)
                frame_add(&frames, kinds[kind], SPAN(""));
            frame_add(&frames, PONG, span_of("123456", end - frames.len - 6));
            assert_int_equal(frames.len, end);
            frame_add(&frames, ENDS, SPAN(""));
            enum ws_event event = last_event(&limits, &item);
            if (beyond == 0) {
                assert_int_equal(event, WS_BINARY);
                assert_true(span_equal(item.bytes, SPAN("ab")));
                assert_int_equal(item.used, frames.len);
            } else {
                assert_int_equal(event, WS_REFUSED);
                assert_int_equal(item.close_code, WS_CLOSE_TOO_LARGE);
                assert_string_equal(item.why, "the message has too many frames");
            }
            frames_begin();
        }
    }
}

static void tells_control_frames_between_once(void **state) {
    (void)state;
    frame_add(&frames, PING, SPAN("0"));
    frame_add(&frames, TEXT_BEGIN, SPAN("a"));
    frame_add(&frames, PING, SPAN("1"));
    frame_add(&frames, PONG, SPAN(""));
    frame_add(&frames, GOES_ON, SPAN("b"));
    frame_add(&frames, PING, SPAN("2"));
    frame_add(&frames, ENDS, SPAN("c"));
    frame_add(&frames, PONG, SPAN("3"));
    frame_add(&frames, BINARY_BEGIN, SPAN("d"));
    frame_add(&frames, CLOSE,
              SPAN("\x03\xE8"
                   "bye"));
    frame_add(&frames, ENDS, SPAN("e"));
    expect(&plain, "ping used 7 [0]\nping used 0 [1]\npong used 0 []\nping used 0 [2]\n"
                   "text used 41 [abc]\npong used 7 [3]\nclose 1000 [bye]\n");
}

static void reads_compressed_ones_only_where_agreed(void **state) {
    (void)state;
    frame_add(&frames, TEXT | RSV1, SPAN("\xFF"));
    frame_add(&frames, BINARY_BEGIN | RSV1, SPAN("a"));
    frame_add(&frames, ENDS, SPAN("b"));
    frame_add(&frames, TEXT, SPAN("c"));
    expect(&deflated, "text compressed used 7 [\\ff]\nbinary compressed used 14 [ab]\n"
                      "text used 7 [c]\n");
    frame_add(&frames, TEXT | RSV1, SPAN("a"));
    expect(&plain, "refused 1002: a reserved bit of a frame is set\n");
    static const unsigned never[] = {PING, PONG, CLOSE, ENDS, GOES_ON};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        frame_add(&frames, TEXT_BEGIN | RSV1, SPAN("a"));
        frame_add(&frames, never[i] | RSV1, SPAN(""));
        expect(&deflated, "refused 1002: a reserved bit of a frame is set\n");
    }
}

static void refuses(void **state) {
    (void)state;
    static const struct {
        struct span input;
        const char *text;
    } cases[] = {
        /* With as few bytes as show it. */
        {SPAN_INIT("\xC1"), "1002: a reserved bit of a frame is set"},
        {SPAN_INIT("\xA1"), "1002: a reserved bit of a frame is set"},
        {SPAN_INIT("\x91"), "1002: a reserved bit of a frame is set"},
        {SPAN_INIT("\x80"), "1002: a message goes on that did not begin"},
        {SPAN_INIT("\x00"), "1002: a message goes on that did not begin"},
        {SPAN_INIT("\x83"), "1002: a frame has an opcode that is reserved"},
        {SPAN_INIT("\x07"), "1002: a frame has an opcode that is reserved"},
        {SPAN_INIT("\x8B"), "1002: a frame has an opcode that is reserved"},
        {SPAN_INIT("\x8F"), "1002: a frame has an opcode that is reserved"},
        {SPAN_INIT("\x08"), "1002: a control frame is fragmented"},
        {SPAN_INIT("\x09"), "1002: a control frame is fragmented"},
        {SPAN_INIT("\x0A"), "1002: a control frame is fragmented"},
        {SPAN_INIT("\x81\x01"), "1002: a frame is not masked"},
        {SPAN_INIT("\x89\x00"), "1002: a frame is not masked"},
        {SPAN_INIT("\x89\xFE"), "1002: a control frame is longer than 125 bytes"},
        {SPAN_INIT("\x8A\xFF"), "1002: a control frame is longer than 125 bytes"},
        {SPAN_INIT("\x88\xFE"), "1002: a control frame is longer than 125 bytes"},
        {SPAN_INIT("\x88\x81"), "1002: a close frame has half a code"},
        {SPAN_INIT("\x81\xFE\x00\x7D"), "1002: a length is not written in its shortest form"},
        {SPAN_INIT("\x81\xFE\x00\x00"), "1002: a length is not written in its shortest form"},
        {SPAN_INIT("\x81\xFF\x00\x00\x00\x00\x00\x00\xFF\xFF"),
         "1002: a length is not written in its shortest form"},
        {SPAN_INIT("\x81\xFF\x80\x00\x00\x00\x00\x00\x00\x01"),
         "1002: a length has its highest bit set"},
        {SPAN_INIT("\x81\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"), "1009: the message is too long"},
        {SPAN_INIT("\x82\xFE\x03\xE9"), "1009: the message is too long"},
        {SPAN_INIT("\x01\x80zzzz\x81"), "1002: a message begins inside another one"},
        {SPAN_INIT("\x02\x80zzzz\x02"), "1002: a message begins inside another one"},
        {SPAN_INIT("\x01\x81\0\0\0\0a\x80\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
         "1009: the message is too long"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char wanted[128];
        snprintf(wanted, sizeof wanted, "refused %s\n", cases[i].text);
        const char *text = run(cases[i].input, &plain);
        if (strcmp(text, wanted) != 0)
            fail_msg("case %zu should be %s\nbut is %s", i, wanted, text);
        /* A byte less is not enough. */
        assert_string_equal(run(span_of(cases[i].input.at, cases[i].input.len - 1), &plain), "");
        /* A good message in front changes nothing. */
        frame_add(&frames, TEXT, SPAN("good"));
        builder_span_add(&frames, cases[i].input);
        builder_text(&frames, "whatever");
        snprintf(wanted, sizeof wanted, "text used 10 [good]\nrefused %s\n", cases[i].text);
        expect(&plain, wanted);
    }
}

static void asks_for_more(void **state) {
    (void)state;
    frame_add(&frames, BINARY_BEGIN, SPAN("0123456789"));
    frame_add(&frames, ENDS, SPAN("0123456789"));
    size_t len = frames.len;
    for (size_t cut = 0; cut < len; cut++)
        assert_string_equal(run(span_of(room, cut), &plain), "");
    frames_begin();
    frame_add(&frames, CLOSE,
              SPAN("\x03\xE8"
                   "bye"));
    len = frames.len;
    for (size_t cut = 0; cut < len; cut++)
        assert_string_equal(run(span_of(room, cut), &plain), "");
    frames_begin();
    struct ws_parser parser = {0};
    struct ws_item item;
    assert_int_equal(ws_next(&parser, NULL, 0, &plain, &item), WS_MORE);
}

static void reads_text_cut_anywhere(void **state) {
    (void)state;
    struct span text = SPAN("a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\xED\x9F\xBF\xF4\x8F\xBF\xBF");
    for (size_t cut = 0; cut <= text.len; cut++) {
        for (size_t next = cut; next <= text.len; next++) {
            struct transcript t = {.len = 0};
            frame_add(&frames, TEXT_BEGIN, span_of(text.at, cut));
            frame_add(&frames, GOES_ON, span_of(text.at + cut, next - cut));
            frame_add(&frames, ENDS, span_skip(text, next));
            note_message(&t, true, false, frames.len, text);
            transcribe(&whole, builder_span(&frames), &plain, 0, 0);
            assert_string_equal(whole.text, t.text);
            transcribe(&other, builder_span(&frames), &plain, 0, 1);
            assert_string_equal(other.text, t.text);
            frames_begin();
        }
    }
    expect(&plain, "");
}

static void refuses_text_that_is_none(void **state) {
    (void)state;
    static const struct span bad[] = {
        SPAN_INIT("\x80"),          SPAN_INIT("\xC0"),     SPAN_INIT("\xFF"),
        SPAN_INIT("\xE0\x80"),      SPAN_INIT("\xED\xA0"), SPAN_INIT("\xF4\x90"),
        SPAN_INIT("\xF0\x80"),      SPAN_INIT("\xC3\x28"), SPAN_INIT("\xE2\x82\x28"),
        SPAN_INIT("\xF0\x9F\x98z"), SPAN_INIT("\xF5"),
    };
    static const char wanted[] = "refused 1007: a text is not UTF-8\n";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        for (size_t before = 0; before < 20; before += 3) {
            char text[64] = "abcdefghijklmnopqrstuvwxyz";
            memcpy(text + before, bad[i].at, bad[i].len);
            /* As soon as the bad byte is there, whatever was announced behind it. */
            frame_add(&frames, TEXT, span_of(text, 40));
            frames.len = 6 + before + bad[i].len;
            expect(&plain, wanted);
            frame_add(&frames, TEXT, span_of(text, 40));
            frames.len = 6 + before + bad[i].len - 1;
            expect(&plain, "");
            frame_add(&frames, TEXT_BEGIN, span_of(text, before + bad[i].len - 1));
            frame_add(&frames, PING, SPAN(""));
            frame_add(&frames, GOES_ON, span_of(text + before + bad[i].len - 1, 1));
            expect(&plain, "ping used 0 []\nrefused 1007: a text is not UTF-8\n");
        }
    }
    frame_add(&frames, TEXT, SPAN("ab\xE2\x82"));
    expect(&plain, "refused 1007: a text ends inside a character\n");
    frame_add(&frames, TEXT_BEGIN, SPAN("ab\xE2\x82"));
    frame_add(&frames, ENDS, SPAN(""));
    expect(&plain, "refused 1007: a text ends inside a character\n");
    /* The next text begins anew, and what is binary is anything. */
    frame_add(&frames, BINARY, SPAN("ab\xE2\x82"));
    frame_add(&frames, TEXT, SPAN("a"));
    expect(&plain, "binary used 10 [ab\\e2\\82]\ntext used 7 [a]\n");
}

static void knows_the_close_codes(void **state) {
    (void)state;
    for (unsigned code = 0; code <= 65535; code++) {
        bool good = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                    (code >= 3000 && code <= 4999);
        assert_true(ws_close_code_is_good(code) == good);
        bool near =
            code <= 1020 || (code >= 2998 && code <= 3001) || (code >= 4998 && code <= 5001);
        if (!near && code != 65535)
            continue;
        char payload[] = {(char)(code >> 8), (char)code};
        char wanted[80] = "refused 1002: a close frame has a code that is not valid\n";
        if (good)
            snprintf(wanted, sizeof wanted, "close %u []\n", code);
        frame_add(&frames, CLOSE, span_of(payload, 2));
        expect(&plain, wanted);
    }
    frame_add(&frames, CLOSE, SPAN(""));
    frame_add(&frames, PING, SPAN("behind the end"));
    expect(&plain, "close 1005 []\n");
    frame_add(&frames, CLOSE,
              SPAN("\x0F\xA0"
                   "gr\xC3\xBC\xC3\x9F"));
    expect(&plain, "close 4000 [gr\\c3\\bc\\c3\\9f]\n");
    frame_add(&frames, CLOSE,
              SPAN("\x0F\xA0"
                   "gr\xC3"));
    expect(&plain, "refused 1007: the reason of a close frame is not UTF-8\n");
}

static uint64_t seed = 88172645463325252u;
static size_t draw(size_t bound) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed % bound);
}

/* Frames that are mostly good, and some bytes changed: all ways to cut them agree. */
static void survives_mutations(void **state) {
    (void)state;
    static const unsigned firsts[] = {TEXT, BINARY, TEXT_BEGIN, BINARY_BEGIN, GOES_ON, GOES_ON,
                                      ENDS, ENDS,   PING,       PONG,         CLOSE,   TEXT | RSV1};
    static const char text[] = "\xC3\xA4gypt\xE2\x82\xAC and what is longer than that";
    for (unsigned round = 0; round < 3000; round++) {
        struct ws_limits limits = {5 + draw(60), draw(2) != 0};
        for (size_t count = 1 + draw(6); count > 0; count--)
            frame_add(&frames, firsts[draw(sizeof firsts / sizeof *firsts)],
                      span_of(text, draw(draw(8) == 0 ? sizeof text : 9)));
        for (size_t count = draw(3); count > 0; count--)
            room[draw(frames.len)] ^= (char)(1u << draw(8));
        transcribe(&whole, builder_span(&frames), &limits, 0, 0);
        transcribe_otherwise(&other, builder_span(&frames), &limits);
        expect_same("read otherwise in round", round);
        transcribe(&other, builder_span(&frames), &limits, 0, 1);
        expect_same("byte by byte in round", round);
        transcribe(&other, builder_span(&frames), &limits, draw(frames.len), 1 + draw(9));
        expect_same("in pieces in round", round);
        frames_begin();
    }
}

static void writes_heads(void **state) {
    (void)state;
    static const struct {
        size_t bytes;
        struct span head;
    } cases[] = {
        {0, SPAN_INIT("\x81\x00")},
        {125, SPAN_INIT("\x81\x7D")},
        {126, SPAN_INIT("\x81\x7E\x00\x7E")},
        {65535, SPAN_INIT("\x81\x7E\xFF\xFF")},
        {65536, SPAN_INIT("\x81\x7F\x00\x00\x00\x00\x00\x01\x00\x00")},
        {0x12345678, SPAN_INIT("\x81\x7F\x00\x00\x00\x00\x12\x34\x56\x78")},
    };
    char at[16];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct builder out = builder_over(at, cases[i].head.len);
        assert_int_equal(ws_head_bytes(cases[i].bytes), cases[i].head.len);
        ws_head_write(&out, WS_OPCODE_TEXT, false, cases[i].bytes);
        assert_true(!out.full && span_equal(builder_span(&out), cases[i].head));
        out = builder_over(at, cases[i].head.len - 1);
        ws_head_write(&out, WS_OPCODE_TEXT, false, cases[i].bytes);
        assert_true(out.full && out.len == 0);
    }
    struct builder out = builder_over(at, sizeof at);
    ws_head_write(&out, WS_OPCODE_BINARY, true, 5);
    ws_head_write(&out, WS_OPCODE_PING, false, 0);
    ws_head_write(&out, WS_OPCODE_PONG, false, 3);
    assert_true(span_equal(builder_span(&out), SPAN("\xC2\x05\x89\x00\x8A\x03")));
}

static void writes_closes(void **state) {
    (void)state;
    char at[200], reason[200];
    struct builder out = builder_over(at, sizeof at);
    ws_close_write(&out, WS_CLOSE_NONE, SPAN("is not said"));
    assert_true(span_equal(builder_span(&out), SPAN("\x88\x00")));
    out = builder_over(at, sizeof at);
    ws_close_write(&out, WS_CLOSE_GOING_AWAY, SPAN("bye"));
    assert_true(span_equal(builder_span(&out), SPAN("\x88\x05\x03\xE9"
                                                    "bye")));
    for (size_t cap = 0; cap < 7; cap++) {
        out = builder_over(at, cap);
        ws_close_write(&out, WS_CLOSE_GOING_AWAY, SPAN("bye"));
        assert_true(out.full && out.len == 0);
    }
    /* A reason that is too long ends with a whole character. */
    memset(reason, 'a', sizeof reason);
    memcpy(reason + 121, "\xE2\x82\xAC", 3);
    out = builder_over(at, WS_CONTROL_BYTES_MAX + 2);
    ws_close_write(&out, WS_CLOSE_POLICY, span_of(reason, 123));
    assert_int_equal(out.len, 2 + 2 + 123);
    out = builder_over(at, WS_CONTROL_BYTES_MAX + 2);
    ws_close_write(&out, WS_CLOSE_POLICY, span_of(reason, 130));
    assert_int_equal(out.len, 2 + 2 + 121);
    assert_int_equal(at[1], 2 + 121);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_samples_of_the_rfc),
        cmocka_unit_test(reads_every_length),
        cmocka_unit_test(reads_the_largest),
        cmocka_unit_test(sums_up_the_frames_of_a_message),
        cmocka_unit_test(bounds_the_frames_of_a_message),
        cmocka_unit_test(tells_control_frames_between_once),
        cmocka_unit_test(reads_compressed_ones_only_where_agreed),
        cmocka_unit_test(refuses),
        cmocka_unit_test(asks_for_more),
        cmocka_unit_test(reads_text_cut_anywhere),
        cmocka_unit_test(refuses_text_that_is_none),
        cmocka_unit_test(knows_the_close_codes),
        cmocka_unit_test(survives_mutations),
        cmocka_unit_test(writes_heads),
        cmocka_unit_test(writes_closes),
    };
    frames_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
