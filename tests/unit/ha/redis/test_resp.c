/* RESP: commands are written to the byte; replies are read whatever the pieces in which they come;
 * what no server should send is refused with its sentence, before it costs anything. */
#include "ha/redis/resp.c"

#include "tests/support/cmocka_first.h"
#include "tests/support/resp_look.h"

#include <hiredis/sds.h>
#include <stdlib.h>

#define BYTES_MAX ((size_t)4 << 20)

static struct budget budget;
static struct account account;
static struct resp_reader reader;
static struct resp_reply reply;
static char wire[8 << 20];

static void begin(uint64_t ceiling, size_t bytes_max) {
    budget_init(&budget, ceiling);
    account_init(&account, &budget);
    assert_true(resp_reader_init(&reader, &account, bytes_max));
}

static void end(void) {
    resp_reader_fini(&reader);
    resp_reader_fini(&reader);
    assert_int_equal(account.used_bytes, 0);
    account_fini(&account);
}

/* The next reply of `input`, which comes in pieces of so many bytes, each alone in memory. */
static enum resp_event next_in_pieces(struct span *input, size_t piece) {
    enum resp_event event = RESP_MORE;
    while (event == RESP_MORE && input->len != 0) {
        size_t len = piece < input->len ? piece : input->len;
        char *alone = malloc(len);
        assert_non_null(alone);
        memcpy(alone, input->at, len);
        struct span part = span_of(alone, len);
        event = resp_next(&reader, &part, &reply);
        free(alone);
        *input = span_skip(*input, len - part.len);
        /* What hiredis has for its buffer was charged. */
        if (event != RESP_BROKEN)
            assert_true(reader.hiredis_bytes >= sdsalloc(reader.hiredis->buf) + HIREDIS_BYTES);
        assert_true(account.used_bytes >= reader.hiredis_bytes + reader.text_cap);
    }
    return event;
}

static void reads_whole(struct span input, size_t piece) {
    struct span rest = input;
    assert_int_equal(next_in_pieces(&rest, piece), RESP_REPLY);
    assert_int_equal(resp_look(&reply, input), input.len);
    assert_int_equal(rest.len, 0);
}

static void refuses(struct span input, size_t piece, const char *why) {
    assert_true(resp_reader_reset(&reader));
    struct span rest = input;
    assert_int_equal(next_in_pieces(&rest, piece), RESP_BROKEN);
    assert_string_equal(reader.why, why);
    /* It is final. */
    rest = SPAN("+OK\r\n");
    assert_int_equal(resp_next(&reader, &rest, &reply), RESP_BROKEN);
    assert_string_equal(reader.why, why);
    assert_int_equal(rest.len, 5);
}

/* An array of which the last string is too long, and came whole: it is passed over. What follows is
 * read. */
static void passes_over(struct span input, size_t piece) {
    struct span rest = input;
    assert_int_equal(next_in_pieces(&rest, piece), RESP_REPLY);
    assert_int_equal(rest.len, 0);
    assert_true(reply.type == RESP_ARRAY && reply.item_count != 0);
    const struct resp_item *last = &reply.items[reply.item_count - 1];
    assert_true(last->type == RESP_LONG && last->text.len == 0);
    reads_whole(SPAN(":7\r\n"), piece);
}

static void test_commands(void **state) {
    (void)state;
    const struct span words[] = {SPAN("PUBLISH"), SPAN("a\r\n\0b"), SPAN(""), SPAN("0123456789")};
    static const char want[] = "*4\r\n$7\r\nPUBLISH\r\n$5\r\na\r\n\0b\r\n$0\r\n\r\n$10\r\n"
                               "0123456789\r\n";
    size_t bytes = sizeof want - 1;
    assert_int_equal(resp_command_bytes(words, 4), bytes);
    for (size_t cap = 0; cap <= bytes; cap++) {
        char *room = malloc(3 + cap);
        assert_non_null(room);
        struct builder out = builder_over(room, 3 + cap);
        builder_text(&out, "abc");
        resp_command(&out, words, 4);
        assert_int_equal(out.full, cap < bytes);
        assert_int_equal(out.len, cap < bytes ? 3 : 3 + bytes);
        if (!out.full)
            assert_memory_equal(room + 3, want, bytes);
        free(room);
    }
    char room[8];
    struct builder out = builder_over(room, sizeof room);
    assert_int_equal(resp_command_bytes(NULL, 0), 4);
    resp_command(&out, NULL, 0);
    assert_true(span_equal(builder_span(&out), SPAN("*0\r\n")));
}

/* A command is an array of strings, so it is read again. */
static void test_commands_are_read_again(void **state) {
    (void)state;
    begin(UINT64_C(1) << 30, BYTES_MAX);
    static struct span words[RESP_ITEMS_MAX];
    static const char text[100000];
    for (unsigned i = 0; i < RESP_ITEMS_MAX; i++)
        words[i] = span_of(text, i < 6 ? (size_t)1 << (3 * i) : i);
    for (unsigned count = 1; count <= RESP_ITEMS_MAX; count = 2 * count + 1) {
        struct builder out = builder_over(wire, sizeof wire);
        resp_command(&out, words, count);
        assert_int_equal(out.len, resp_command_bytes(words, count));
        reads_whole(builder_span(&out), 8192);
    }
    end();
}

static const struct span kinds[] = {
    SPAN_INIT("+OK\r\n"),
    SPAN_INIT("+\r\n"),
    SPAN_INIT("-ERR unknown command\r\n"),
    SPAN_INIT(":0\r\n"),
    SPAN_INIT(":-9223372036854775808\r\n"),
    SPAN_INIT(":9223372036854775807\r\n"),
    SPAN_INIT("$0\r\n\r\n"),
    SPAN_INIT("$5\r\n\r\n\0\r\n\r\n"),
    SPAN_INIT("$12\r\n+OK\r\n:1\r\n$3\r\r\n"),
    SPAN_INIT("$-1\r\n"),
    SPAN_INIT("*-1\r\n"),
    SPAN_INIT("*0\r\n"),
    SPAN_INIT("*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$4\r\n{\r\n}\r\n"),
    SPAN_INIT("*4\r\n+a\r\n-b\r\n:7\r\n$-1\r\n"),
    SPAN_INIT("*3\r\n*2\r\n*2\r\n:1\r\n$1\r\nx\r\n*-1\r\n*0\r\n*1\r\n*1\r\n+y\r\n"),
};
#define KINDS (sizeof kinds / sizeof *kinds)

static void test_every_kind_split_at_every_byte(void **state) {
    (void)state;
    begin(UINT64_C(1) << 30, BYTES_MAX);
    for (size_t i = 0; i < KINDS; i++) {
        for (size_t at = 1; at <= kinds[i].len; at++) {
            struct span front = span_of(kinds[i].at, at);
            if (at < kinds[i].len) {
                assert_int_equal(next_in_pieces(&front, at), RESP_MORE);
                assert_int_equal(front.len, 0);
            }
            struct span rest = at < kinds[i].len ? span_skip(kinds[i], at) : kinds[i];
            assert_int_equal(next_in_pieces(&rest, rest.len), RESP_REPLY);
            assert_int_equal(resp_look(&reply, kinds[i]), kinds[i].len);
        }
        for (size_t piece = 1; piece < 4; piece++)
            reads_whole(kinds[i], piece);
    }
    end();
}

/* Two after each other, cut anywhere: of the second nothing is lost. */
static void test_pairs_split_at_every_byte(void **state) {
    (void)state;
    begin(UINT64_C(1) << 30, BYTES_MAX);
    for (size_t i = 0; i < KINDS * KINDS; i++) {
        struct builder out = builder_over(wire, sizeof wire);
        builder_span_add(&out, kinds[i / KINDS]);
        builder_span_add(&out, kinds[i % KINDS]);
        for (size_t piece = 1; piece <= out.len; piece++) {
            struct span rest = builder_span(&out);
            for (size_t which = 0; which < 2; which++) {
                struct span want = kinds[which == 0 ? i / KINDS : i % KINDS];
                /* What came before may hold it already. */
                struct span none = SPAN("");
                enum resp_event event = resp_next(&reader, &none, &reply);
                if (event == RESP_MORE)
                    event = next_in_pieces(&rest, piece);
                assert_int_equal(event, RESP_REPLY);
                assert_int_equal(resp_look(&reply, want), want.len);
            }
            assert_int_equal(rest.len, 0);
        }
    }
    end();
}

static void test_what_a_caller_sees(void **state) {
    (void)state;
    begin(UINT64_C(1) << 30, BYTES_MAX);
    struct span input = SPAN("*3\r\n$7\r\nmessage\r\n*2\r\n:-5\r\n$-1\r\n+fine\r\n-ERR no\r\n");
    assert_int_equal(resp_next(&reader, &input, &reply), RESP_REPLY);
    assert_int_equal(reply.type, RESP_ARRAY);
    assert_int_equal(reply.count, 3);
    assert_int_equal(reply.depth, 0);
    assert_int_equal(reply.item_count, 5);
    const struct resp_item *items = reply.items;
    assert_int_equal(items[0].type, RESP_STRING);
    assert_true(span_equal(items[0].text, SPAN("message")));
    assert_int_equal(items[0].depth, 1);
    assert_int_equal(items[1].type, RESP_ARRAY);
    assert_int_equal(items[1].count, 2);
    assert_int_equal(items[1].depth, 1);
    assert_int_equal(items[2].type, RESP_INTEGER);
    assert_int_equal(items[2].integer, -5);
    assert_int_equal(items[2].depth, 2);
    assert_int_equal(items[3].type, RESP_NIL);
    assert_int_equal(items[3].depth, 2);
    assert_int_equal(items[4].type, RESP_STATUS);
    assert_true(span_equal(items[4].text, SPAN("fine")));
    assert_int_equal(items[4].depth, 1);

    assert_int_equal(resp_next(&reader, &input, &reply), RESP_REPLY);
    assert_int_equal(reply.type, RESP_ERROR);
    assert_true(span_equal(reply.text, SPAN("ERR no")));
    assert_int_equal(reply.item_count, 0);
    assert_int_equal(resp_next(&reader, &input, &reply), RESP_MORE);
    assert_int_equal(input.len, 0);
    end();
}

static void test_a_long_pipeline(void **state) {
    (void)state;
    begin(UINT64_C(1) << 30, BYTES_MAX);
    struct builder out = builder_over(wire, sizeof wire);
    for (size_t i = 0; i < 10000; i++)
        builder_span_add(&out, kinds[i % KINDS]);
    struct span input = builder_span(&out);
    for (size_t i = 0; i < 10000; i++) {
        assert_int_equal(resp_next(&reader, &input, &reply), RESP_REPLY);
        assert_int_equal(resp_look(&reply, kinds[i % KINDS]), kinds[i % KINDS].len);
    }
    assert_int_equal(resp_next(&reader, &input, &reply), RESP_MORE);
    assert_int_equal(input.len, 0);
    /* It came at once, and hiredis never had more than some pieces of it. */
    assert_true(reader.hiredis_bytes <= 5 * RESP_PIECE_BYTES);
    end();
}

static void test_what_no_server_sends(void **state) {
    (void)state;
    static const char bad_length[] = "a string of the reply has a bad length";
    static const char bad_count[] = "an array of the reply has a bad length";
    static const char no_length[] = "the length of a string of the reply is no number";
    static const char no_count[] = "the length of an array of the reply is no number";
    static const char bad_integer[] = "an integer of the reply is no number of 64 bits";
    static const char bad_end[] = "a string of the reply does not end where it said";
    static const char many[] = "the reply has more elements than a reply may have";
    static const struct {
        struct span bytes;
        const char *why;
    } hostile[] = {
        {SPAN_INIT("$2147483647\r\n"), too_long},
        {SPAN_INIT("$9223372036854775807\r\n"), too_long},
        {SPAN_INIT("*2\r\n:1\r\n$67108865\r\n"), too_long}, /* more than is passed over */
        {SPAN_INIT("*2\r\n:1\r\n$67108864\r\n"), NULL},
        {SPAN_INIT("*2\r\n$4194304\r\n"), too_long}, /* it is not the last */
        {SPAN_INIT("*2\r\n:1\r\n*1\r\n$67108865\r\n"), too_long},
        {SPAN_INIT("$9223372036854775808\r\n"), no_length},
        {SPAN_INIT("$-7\r\n"), bad_length},
        {SPAN_INIT("$-9223372036854775808\r\n"), bad_length},
        {SPAN_INIT("$\r\n"), no_length},
        {SPAN_INIT("$05\r\nhello\r\n"), no_length},
        {SPAN_INIT("$5x\r\nhello\r\n"), no_length},
        {SPAN_INIT("$ 5\r\nhello\r\n"), no_length},
        {SPAN_INIT("$5\r\nhello+O"), bad_end},
        {SPAN_INIT("$5\r\nhello\r\r"), bad_end},
        {SPAN_INIT("*1\r\n$0\r\n+\n"), bad_end},
        {SPAN_INIT("*1025\r\n"), many},
        {SPAN_INIT("*2147483647\r\n"), many},
        {SPAN_INIT("*2\r\n*1000\r\n"), NULL},
        {SPAN_INIT("*2\r\n*1023\r\n"), many},
        {SPAN_INIT("*2147483648\r\n"), HIREDIS_MAJOR < 1 ? bad_count : many},
        {SPAN_INIT("*9223372036854775808\r\n"), no_count},
        {SPAN_INIT("*-5\r\n"), bad_count},
        {SPAN_INIT("*\r\n"), no_count},
        {SPAN_INIT("*1 \r\n"), no_count},
        {SPAN_INIT(":99999999999999999999\r\n"), bad_integer},
        {SPAN_INIT(":9223372036854775808\r\n"), bad_integer},
        {SPAN_INIT(":\r\n"), bad_integer},
        {SPAN_INIT(":-0\r\n"), bad_integer},
        {SPAN_INIT(":+1\r\n"), bad_integer},
        {SPAN_INIT(":1.5\r\n"), bad_integer},
        {SPAN_INIT("*1\r\n:x\r\n"), bad_integer},
        {SPAN_INIT(":0123456789012345678901"), line_too_long},
        {SPAN_INIT("$0123456789012345678901"), line_too_long},
        {SPAN_INIT("*\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n"), line_too_long},
    };
    begin(UINT64_C(1) << 30, BYTES_MAX);
    uint64_t before = account.used_bytes;
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        if (hostile[i].why == NULL) { /* the most that may be announced */
            struct span rest = hostile[i].bytes;
            assert_true(resp_reader_reset(&reader));
            assert_int_equal(next_in_pieces(&rest, rest.len), RESP_MORE);
            continue;
        }
        refuses(hostile[i].bytes, hostile[i].bytes.len, hostile[i].why);
        refuses(hostile[i].bytes, 1, hostile[i].why);
        assert_true(account.used_bytes <= before + 4 * RESP_PIECE_BYTES + TEXT_BYTES_FIRST);
    }
    /* And then another connection is read as if nothing had been. */
    assert_true(resp_reader_reset(&reader));
    reads_whole(SPAN("+OK\r\n"), 1);
    end();
}

static void test_unknown_types(void **state) {
    (void)state;
    begin(UINT64_C(1) << 30, BYTES_MAX);
    for (int byte = 0; byte < 256; byte++) {
        if (byte != 0 && strchr("+-:$*", byte) != NULL)
            continue;
        for (int in_array = 0; in_array < 2; in_array++) {
            char bytes[] = "*1\r\n?";
            bytes[4] = (char)byte;
            struct span input = in_array ? span_of(bytes, 5) : span_of(bytes + 4, 1);
            refuses(input, 5, bad_type); /* by its first byte */
        }
    }
    static const struct span resp3[] = {
        SPAN_INIT("%1\r\n+a\r\n:1\r\n"),
        SPAN_INIT("~1\r\n:1\r\n"),
        SPAN_INIT(">1\r\n+a\r\n"),
        SPAN_INIT("_\r\n"),
        SPAN_INIT("#t\r\n"),
        SPAN_INIT(",1.5\r\n"),
        SPAN_INIT("(123\r\n"),
        SPAN_INIT("=5\r\ntxt:a\r\n"),
    };
    for (size_t i = 0; i < sizeof resp3 / sizeof *resp3; i++)
        refuses(resp3[i], resp3[i].len, bad_type);
    end();
}

/* `count` arrays in each other. */
static struct span nested(unsigned count) {
    struct builder out = builder_over(wire, sizeof wire);
    for (unsigned i = 0; i < count; i++)
        builder_text(&out, "*1\r\n");
    builder_text(&out, ":1\r\n");
    return builder_span(&out);
}

static void test_arrays_in_arrays(void **state) {
    (void)state;
    static const char deep[] = "the reply has arrays deeper in each other than a reply may have";
    begin(UINT64_C(1) << 30, BYTES_MAX);
    reads_whole(nested(RESP_DEPTH_MAX), 1000);
    assert_int_equal(reply.item_count, RESP_DEPTH_MAX);
    refuses(nested(RESP_DEPTH_MAX + 1), 1000, deep);
    refuses(nested(1000), 1 << 20, deep);
    refuses(nested(1000), 1, deep);
    end();
}

static void test_many_elements(void **state) {
    (void)state;
    begin(UINT64_C(1) << 30, BYTES_MAX);
    /* As many as there may be, in one array and in two. */
    struct builder out = builder_over(wire, sizeof wire);
    builder_text(&out, "*1024\r\n");
    for (unsigned i = 0; i < 1024; i++)
        builder_text(&out, "$2\r\nab\r\n");
    reads_whole(builder_span(&out), 100);
    assert_int_equal(reply.item_count, RESP_ITEMS_MAX);
    out = builder_over(wire, sizeof wire);
    builder_text(&out, "*2\r\n*1000\r\n");
    for (unsigned i = 0; i < 1000; i++)
        builder_text(&out, ":7\r\n");
    size_t half = out.len;
    builder_text(&out, "*22\r\n");
    for (unsigned i = 0; i < 22; i++)
        builder_text(&out, "+\r\n");
    reads_whole(builder_span(&out), 100);
    assert_int_equal(reply.item_count, RESP_ITEMS_MAX);
    /* One more is refused where it is announced. */
    out.len = half;
    builder_text(&out, "*23\r\n");
    refuses(builder_span(&out), 100, "the reply has more elements than a reply may have");
    end();
}

static struct span line(size_t len, bool has_end) {
    struct builder out = builder_over(wire, sizeof wire);
    builder_byte(&out, '+');
    memset(out.at + out.len, 'x', len);
    out.len += len;
    builder_text(&out, has_end ? "\r\n" : "");
    return builder_span(&out);
}

static void test_lines_without_end(void **state) {
    (void)state;
    begin(UINT64_C(1) << 30, BYTES_MAX);
    for (size_t piece = 1; piece < 200000; piece = piece * 37 + 3) {
        reads_whole(line(RESP_LINE_BYTES_MAX, true), piece);
        refuses(line(RESP_LINE_BYTES_MAX + 1, true), piece, line_too_long);
        refuses(line(RESP_LINE_BYTES_MAX + 2, false), piece, line_too_long);
        assert_true(resp_reader_reset(&reader));
    }
    /* It is refused when it is too long, not when all of it has come. */
    struct span rest = line(4 << 20, false);
    assert_int_equal(resp_next(&reader, &rest, &reply), RESP_BROKEN);
    assert_true(rest.len >= (4 << 20) - RESP_LINE_BYTES_MAX - 2 * RESP_PIECE_BYTES);
    end();
}

static struct span string_of(size_t bytes) {
    struct builder out = builder_over(wire, sizeof wire);
    size_t head = 1 + 2, digits = 1; /* how long the string is when all is so many bytes */
    while (digits_of(bytes - head - digits - 2) != digits)
        digits++;
    size_t len = bytes - head - digits - 2;
    head_write(&out, '$', len);
    memset(out.at + out.len, 'y', len);
    out.len += len;
    builder_text(&out, "\r\n");
    assert_int_equal(out.len, bytes);
    return builder_span(&out);
}

static void test_exactly_as_long_as_allowed(void **state) {
    (void)state;
    static const size_t maxima[] = {20, 50, 4095, 4096, 4097, 100000, BYTES_MAX};
    for (size_t i = 0; i < sizeof maxima / sizeof *maxima; i++) {
        size_t max = maxima[i];
        begin(UINT64_C(1) << 30, max);
        for (size_t piece = max > 100000 ? 65536 : 1; piece <= 2 * max; piece = 3 * piece + 1) {
            reads_whole(string_of(max), piece);
            struct span longer = string_of(max + 1);
            refuses(longer, piece, too_long);
            /* Its announcement was enough. */
            refuses(span_of(longer.at, 3 + digits_of(max)), piece, too_long);
            assert_true(resp_reader_reset(&reader));
        }
        end();
    }
    begin(UINT64_C(1) << 30, 20);
    for (size_t piece = 1; piece < 30; piece++) {
        reads_whole(SPAN("*2\r\n:1\r\n$6\r\nabcdef\r\n") /* 20 */, piece);
        reads_whole(SPAN("*4\r\n:1\r\n:2\r\n:3\r\n:4\r\n"), piece);
        passes_over(SPAN("*2\r\n:1\r\n$7\r\nabcdefg\r\n"), piece);
        assert_true(resp_reader_reset(&reader));
        refuses(SPAN("*2\r\n$12\r\nabcdefghijkl\r\n:1\r\n"), piece, too_long);
        assert_true(resp_reader_reset(&reader));
        refuses(SPAN("*4\r\n:1\r\n:2\r\n:3\r\n:45\r\n"), piece, too_long);
        assert_true(resp_reader_reset(&reader));
        reads_whole(line(17, true), piece);
        refuses(line(18, true), piece, too_long);
        refuses(line(20, false), piece, too_long);
        assert_true(resp_reader_reset(&reader));
    }
    end();
}

static void test_memory_goes_back(void **state) {
    (void)state;
    begin(UINT64_C(1) << 30, BYTES_MAX);
    uint64_t kept_max = 2 * RESP_KEPT_BYTES + (32 << 10);
    assert_true(account.used_bytes <= kept_max);
    for (size_t piece = 1000; piece < 8 << 20; piece *= 20) {
        reads_whole(string_of(BYTES_MAX), piece);
        assert_true(account.used_bytes >= 2 * BYTES_MAX);
        assert_true(account.used_bytes <= 2 * BYTES_MAX + (1 << 20) + (200 << 10));
        struct span none = SPAN("");
        assert_int_equal(resp_next(&reader, &none, &reply), RESP_MORE);
        assert_true(account.used_bytes <= kept_max);
        reads_whole(SPAN("+OK\r\n"), 10);
    }
    end();
}

static void test_without_memory(void **state) {
    (void)state;
    budget_init(&budget, 1000);
    account_init(&account, &budget);
    assert_false(resp_reader_init(&reader, &account, BYTES_MAX));
    struct span input = SPAN("+OK\r\n");
    assert_int_equal(resp_next(&reader, &input, &reply), RESP_BROKEN);
    assert_string_equal(reader.why, no_memory);
    end();
    /* Enough for the items, not for hiredis. */
    budget_init(&budget, ITEMS_BYTES + 1000);
    account_init(&account, &budget);
    assert_false(resp_reader_init(&reader, &account, BYTES_MAX));
    end();
    /* Not enough for what comes, wherever it ends; with every ceiling either way out is clean. */
    bool has_refused = false, has_taken = false;
    for (uint64_t ceiling = 40000; ceiling < 2000000; ceiling += ceiling / 16) {
        begin(ceiling, BYTES_MAX);
        struct span rest = string_of(300000);
        enum resp_event event = next_in_pieces(&rest, 10000);
        has_taken |= event == RESP_REPLY;
        if (event != RESP_REPLY) {
            has_refused = true;
            assert_int_equal(event, RESP_BROKEN);
            assert_string_equal(reader.why, no_memory);
            assert_true(resp_reader_reset(&reader));
            reads_whole(SPAN("+OK\r\n"), 10);
        }
        end();
    }
    assert_true(has_refused && has_taken);
    /* A zeroed one has nothing to give back. */
    reader = (struct resp_reader){0};
    resp_reader_fini(&reader);
}

/* What the caller has not taken yet may move. */
static void test_a_caller_that_breaks_off(void **state) {
    (void)state;
    begin(UINT64_C(1) << 30, BYTES_MAX);
    struct builder out = builder_over(wire, sizeof wire);
    for (size_t i = 0; i < 1000; i++)
        builder_span_add(&out, kinds[i % KINDS]);
    char *kept = malloc(out.len);
    assert_non_null(kept);
    memcpy(kept, out.at, out.len);
    size_t len = out.len;
    for (size_t i = 0; i < 1000; i++) {
        struct span input = span_of(kept, len);
        assert_int_equal(resp_next(&reader, &input, &reply), RESP_REPLY);
        assert_int_equal(resp_look(&reply, kinds[i % KINDS]), kinds[i % KINDS].len);
        char *moved = malloc(input.len + 1);
        assert_non_null(moved);
        memcpy(moved, input.at, input.len);
        free(kept);
        kept = moved;
        len = input.len;
    }
    assert_int_equal(len, 0);
    free(kept);
    end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_commands_are_read_again),
        cmocka_unit_test(test_every_kind_split_at_every_byte),
        cmocka_unit_test(test_pairs_split_at_every_byte),
        cmocka_unit_test(test_what_a_caller_sees),
        cmocka_unit_test(test_a_long_pipeline),
        cmocka_unit_test(test_what_no_server_sends),
        cmocka_unit_test(test_unknown_types),
        cmocka_unit_test(test_arrays_in_arrays),
        cmocka_unit_test(test_many_elements),
        cmocka_unit_test(test_lines_without_end),
        cmocka_unit_test(test_exactly_as_long_as_allowed),
        cmocka_unit_test(test_memory_goes_back),
        cmocka_unit_test(test_without_memory),
        cmocka_unit_test(test_a_caller_that_breaks_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
