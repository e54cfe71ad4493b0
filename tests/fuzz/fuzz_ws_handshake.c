/* Any bytes as the values of WebSocket's headers. A list read at once is what its two sides of any
 * comma are when they are read one behind the other; and what is answered can be asked for. */
#include "core/base/check.h"
#include "proto/text/base64.h"
#include "proto/ws/ws_handshake.h"

#define WANTED SPAN("ab")

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

static void extensions_look(struct span value) {
    struct ws_terms terms = {0};
    bool good = ws_extensions_read(value, &terms);
    for (size_t i = 0; i < value.len; i++) {
        struct ws_terms sides = {0};
        if (value.at[i] != ',')
            continue;
        bool both = ws_extensions_read(span_of(value.at, i), &sides) &&
                    ws_extensions_read(span_skip(value, i + 1), &sides);
        CHECK(both == good, "at %zu", i);
        CHECK(!good || memcmp(&sides, &terms, sizeof sides) == 0, "at %zu", i);
    }
    if (!good || !terms.deflate)
        return;
    CHECK(terms.window_bits >= WS_WINDOW_BITS_MIN && terms.window_bits <= WS_WINDOW_BITS_MAX);
    CHECK(terms.bits_asked || terms.window_bits == WS_WINDOW_BITS_MAX);
    char room[WS_EXTENSIONS_BYTES_MAX];
    struct builder out = builder_over(room, sizeof room);
    ws_extensions_write(&out, &terms);
    CHECK(!out.full);
    struct ws_terms again = {0};
    CHECK(ws_extensions_read(builder_span(&out), &again));
    CHECK(memcmp(&again, &terms, sizeof again) == 0);
}

static void protocols_look(struct span value) {
    bool offered = false;
    bool good = ws_protocols_read(value, WANTED, &offered);
    for (size_t i = 0; i < value.len; i++) {
        bool side = false;
        if (value.at[i] != ',')
            continue;
        bool both = ws_protocols_read(span_of(value.at, i), WANTED, &side) &&
                    ws_protocols_read(span_skip(value, i + 1), WANTED, &side);
        CHECK(both == good && (!good || side == offered), "at %zu", i);
    }
    /* What is a list of protocols is a list of extensions without parameters. */
    struct ws_terms terms = {0};
    CHECK(!good || ws_extensions_read(value, &terms));
}

static void key_look(struct span key) {
    char bytes[32], room[64];
    struct builder out = builder_over(bytes, sizeof bytes), text = builder_over(room, sizeof room);
    if (!ws_key_is_good(key))
        return;
    CHECK(base64_decode(key, &out) == NULL && out.len == 16);
    base64_encode(&text, builder_span(&out));
    CHECK(span_equal(builder_span(&text), key));
    text.len = 0;
    ws_accept_write(&text, key);
    CHECK(text.len == WS_ACCEPT_BYTES);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    if (len > 4096)
        return 0;
    struct span value = span_of(at, len);
    extensions_look(value);
    protocols_look(value);
    key_look(value);
    return 0;
}
