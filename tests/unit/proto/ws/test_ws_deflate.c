/* Compressed messages: they come back as they were, cost no more than they may, and what is broken
 * is told from what is not. */
#include "proto/ws/ws_deflate.c"

#include "tests/support/cmocka_first.h"

#define BYTES_MAX 200000

static char text[BYTES_MAX], packed[BYTES_MAX + BYTES_MAX / 4], back[BYTES_MAX + 1];

/* JSON-like text, or noise. */
static void text_fill(bool noise) {
    uint64_t seed = 88172645463325252u;
    for (size_t i = 0; i < sizeof text; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        static const char words[] = "\"name\":\"price\",{}[]0123456789\"amount\":true";
        text[i] =
            noise ? (char)seed : words[(i + (seed % 16 == 0 ? seed : 0)) % (sizeof words - 1)];
    }
}

static enum ws_inflated inflate_all(struct span message, size_t cap, struct span *result) {
    struct builder out = builder_over(back, cap);
    enum ws_inflated inflated = ws_inflate(message, &out);
    assert_true(inflated == WS_INFLATED || out.len == 0);
    assert_true(out.len <= cap && !out.full);
    *result = builder_span(&out);
    return inflated;
}

/* Inflates with no larger window than the bits say. */
static void fits_window(struct span message, unsigned bits, struct span wanted) {
    z_stream stream = {0};
    assert_int_equal(inflateInit2(&stream, -(int)bits), Z_OK);
    static char other[BYTES_MAX];
    /* In small pieces: with all the room at once zlib sees all that was written. */
    stream.next_out = (Bytef *)other;
    stream.next_in = (z_const Bytef *)message.at;
    stream.avail_in = (uInt)message.len;
    do {
        size_t left = wanted.len - stream.total_out;
        stream.avail_out = left < 64 ? (uInt)left : 64;
        int result = inflate(&stream, Z_SYNC_FLUSH);
        assert_true(result == Z_OK || result == Z_BUF_ERROR);
    } while (stream.total_out < wanted.len);
    inflateEnd(&stream);
    assert_memory_equal(other, wanted.at, wanted.len);
}

static void comes_back_as_it_was(void **state) {
    (void)state;
    static const size_t sizes[] = {0,     1,     2,     3,      10,    100,   511,
                                   512,   513,   600,   4096,   8192,  16384, 32768,
                                   32769, 65535, 65536, 131072, 200000};
    for (unsigned noise = 0; noise < 2; noise++) {
        text_fill(noise != 0);
        for (unsigned bits = WS_WINDOW_BITS_MIN; bits <= WS_WINDOW_BITS_MAX; bits += 3) {
            for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
                struct span message = span_of(text, sizes[i]), result;
                struct builder out = builder_over(packed, ws_deflate_bytes_max(sizes[i]));
                assert_true(ws_deflate(&out, &message, 1, bits));
                assert_false(out.full);
                assert_true(noise != 0 || sizes[i] < 600 || out.len < sizes[i] / 2);
                assert_int_equal(inflate_all(builder_span(&out), sizes[i], &result), WS_INFLATED);
                assert_true(span_equal(result, message));
                if (sizes[i] != 0)
                    fits_window(builder_span(&out), bits, message);
            }
        }
    }
}

static void takes_a_message_in_parts(void **state) {
    (void)state;
    text_fill(false);
    struct span all = span_of(text, 5000), result;
    for (size_t cut = 0; cut <= all.len; cut += 97) {
        struct span parts[] = {span_of(text, cut),
                               {NULL, 0},
                               span_of(text + cut, 1),
                               span_of(text + cut + 1, all.len - cut)};
        char head[] = "x";
        struct builder out = builder_over(packed, sizeof packed);
        builder_text(&out, head);
        assert_true(ws_deflate(&out, parts, 4, 15));
        assert_int_equal(inflate_all(span_skip(builder_span(&out), 1), sizeof back, &result),
                         WS_INFLATED);
        assert_true(result.len == all.len + 1 && memcmp(result.at, text, result.len) == 0);
    }
    struct builder out = builder_over(packed, sizeof packed);
    assert_true(ws_deflate(&out, NULL, 0, 15));
    assert_true(span_equal(builder_span(&out), SPAN("\0")));
}

/* What there is room for does not depend on it, and without room nothing is written. */
static void keeps_within_its_room(void **state) {
    (void)state;
    text_fill(false);
    static const size_t sizes[] = {1, 600, 40000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct span message = span_of(text, sizes[i]);
        struct builder out = builder_over(packed, sizeof packed);
        assert_true(ws_deflate(&out, &message, 1, 15));
        size_t len = out.len;
        static char once[sizeof packed];
        memcpy(once, packed, len);
        for (size_t cap = 0; cap <= len + 8; cap += len > 1000 && cap + 20 < len ? 50 : 1) {
            memset(packed, '#', len + 16);
            out = builder_over(packed, cap);
            assert_true(ws_deflate(&out, &message, 1, 15));
            assert_true(out.full == (cap < len + 5));
            assert_int_equal(out.len, out.full ? 0 : len);
            if (!out.full)
                assert_memory_equal(packed, once, len);
            assert_int_equal(packed[cap], '#');
        }
        out = builder_over(packed, sizeof packed);
        out.full = true;
        assert_true(ws_deflate(&out, &message, 1, 15) && out.len == 0);
    }
}

static void reads_the_samples_of_the_rfc(void **state) {
    (void)state;
    static const struct span hellos[] = {
        SPAN_INIT("\xf2\x48\xcd\xc9\xc9\x07\x00"),
        SPAN_INIT("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), /* not compressed */
        SPAN_INIT("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),             /* a final block */
        SPAN_INIT("\xf3\x48\xcd\xc9\xc9\x07\x00"),                 /* without what follows it */
        SPAN_INIT("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), /* two blocks */
        SPAN_INIT("\x01\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"),
        SPAN_INIT("\x03\x00\xf2\x48\xcd\xc9\xc9\x07\x00"), /* a final block without anything */
        SPAN_INIT("\x03\x00\x03\x00\x03\x00\xf2\x48\xcd\xc9\xc9\x07\x00"),
    };
    struct span result;
    for (size_t i = 0; i < sizeof hellos / sizeof *hellos; i++) {
        assert_int_equal(inflate_all(hellos[i], 5, &result), WS_INFLATED);
        assert_true(span_equal(result, SPAN("Hello")));
        assert_int_equal(inflate_all(hellos[i], 4, &result), WS_INFLATED_TOO_LARGE);
        assert_int_equal(inflate_all(hellos[i], 0, &result), WS_INFLATED_TOO_LARGE);
    }
    /* Its last block takes what is appended for its own, which fills the room to the byte. */
    assert_int_equal(inflate_all(SPAN("\x00\x05\x00\xfa\xff\x48"), 5, &result), WS_INFLATED);
    assert_true(span_equal(result, SPAN("H\0\0\xff\xff")));
    assert_int_equal(inflate_all(SPAN("\0"), 0, &result), WS_INFLATED);
    assert_int_equal(result.len, 0);
    /* It refers to the message before, which nobody remembers. */
    assert_int_equal(inflate_all(SPAN("\xf2\x00\x11\x00\x00"), 5, &result), WS_INFLATED_BROKEN);
}

static void stops_bombs(void **state) {
    (void)state;
    memset(text, 'a', sizeof text);
    struct span message = span_of(text, sizeof text), result;
    struct builder out = builder_over(packed, sizeof packed);
    assert_true(ws_deflate(&out, &message, 1, 15));
    assert_true(out.len < 1000);
    static const size_t caps[] = {0, 1, 2, 1000, sizeof text - 1};
    for (size_t i = 0; i < sizeof caps / sizeof *caps; i++) {
        memset(back, '#', sizeof back);
        assert_int_equal(inflate_all(builder_span(&out), caps[i], &result), WS_INFLATED_TOO_LARGE);
        assert_int_equal(back[caps[i]], '#');
    }
    assert_int_equal(inflate_all(builder_span(&out), sizeof text, &result), WS_INFLATED);
    assert_true(span_equal(result, message));
    /* A builder that is full has no room. */
    struct builder full = builder_over(back, sizeof back);
    full.full = true;
    assert_int_equal(ws_inflate(builder_span(&out), &full), WS_INFLATED_TOO_LARGE);
    /* Appends. */
    full = builder_over(back, sizeof back);
    builder_text(&full, "before");
    assert_int_equal(ws_inflate(SPAN("\xf2\x48\xcd\xc9\xc9\x07\x00"), &full), WS_INFLATED);
    assert_true(span_equal(builder_span(&full), SPAN("beforeHello")));
}

static void refuses_what_is_broken(void **state) {
    (void)state;
    static const struct span broken[] = {
        SPAN_INIT(""),
        SPAN_INIT("\x06"),                         /* a kind of block that there is not */
        SPAN_INIT("\xff\xff\xff"),                 /* the same */
        SPAN_INIT("\xf2\x48\xcd\xc9\xc9\x07"),     /* the empty block has not begun */
        SPAN_INIT("\xf2\x48\xcd\xc9"),             /* cut */
        SPAN_INIT("\x00\x05\x00\xfa\xff\x48\x65"), /* cut */
        SPAN_INIT("\x00\x05\x00\xfb\xff\x48\x65\x6c\x6c\x6f\x00"), /* a length that contradicts */
        SPAN_INIT("\xf2\x48\xcd\xc9\xc9\x07\x00\x01"),
        SPAN_INIT("Hello"),
    };
    struct span result;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
        if (inflate_all(broken[i], sizeof back, &result) != WS_INFLATED_BROKEN)
            fail_msg("case %zu is taken as %.*s", i, SPAN_ARG(result));
    /* Nothing of it stays behind. */
    assert_int_equal(inflate_all(SPAN("\xf2\x48\xcd\xc9\xc9\x07\x00"), 5, &result), WS_INFLATED);
    assert_true(span_equal(result, SPAN("Hello")));
}

/* A message that is cut short never reads as another one, unless a block ended there. */
static void notices_cuts(void **state) {
    (void)state;
    text_fill(false);
    struct span message = span_of(text, 3000), result;
    struct builder out = builder_over(packed, sizeof packed);
    assert_true(ws_deflate(&out, &message, 1, 15));
    for (size_t len = 0; len < out.len; len++)
        assert_int_equal(inflate_all(span_of(packed, len), sizeof back, &result),
                         WS_INFLATED_BROKEN);
}

static void survives_mutations(void **state) {
    (void)state;
    text_fill(false);
    uint64_t seed = 2463534242u;
    for (unsigned round = 0; round < 4000; round++) {
        struct span message = span_of(text + round % 100, 20 + round % 700), result;
        struct builder out = builder_over(packed, sizeof packed);
        assert_true(ws_deflate(&out, &message, 1, 9 + round % 7));
        for (unsigned i = 0; i < 1 + round % 3; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            packed[(seed >> 33) % out.len] ^= (char)(1u << (seed >> 30 & 7));
        }
        inflate_all(builder_span(&out), 1000, &result);
    }
}

static void makes_its_streams_anew(void **state) {
    (void)state;
    ws_deflate_thread_end();
    ws_deflate_thread_end();
    struct span result;
    assert_int_equal(inflate_all(SPAN("\xf2\x48\xcd\xc9\xc9\x07\x00"), 5, &result), WS_INFLATED);
    ws_deflate_thread_end();
    struct builder out = builder_over(packed, sizeof packed);
    struct span message = SPAN("Hello");
    assert_true(ws_deflate(&out, &message, 1, 15));
    assert_true(span_equal(builder_span(&out), SPAN("\xf2\x48\xcd\xc9\xc9\x07\x00")));
    assert_true(streams->deflate_memory.used > 100000);
    assert_true(streams->deflate_memory.used + streams->inflate_memory.cap < (size_t)300 << 10);
    ws_deflate_thread_end();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comes_back_as_it_was),
        cmocka_unit_test(takes_a_message_in_parts),
        cmocka_unit_test(keeps_within_its_room),
        cmocka_unit_test(reads_the_samples_of_the_rfc),
        cmocka_unit_test(stops_bombs),
        cmocka_unit_test(refuses_what_is_broken),
        cmocka_unit_test(notices_cuts),
        cmocka_unit_test(survives_mutations),
        cmocka_unit_test(makes_its_streams_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
