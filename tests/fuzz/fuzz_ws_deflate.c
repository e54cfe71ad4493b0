/* Any bytes as a compressed message: it becomes the same whatever there is room for, and never more
 * than that; and any bytes as a message, which comes back as it was. */
#include "core/base/check.h"
#include "proto/ws/ws_deflate.h"
#include "proto/ws/ws_handshake.h"

#define ROOM ((size_t)1 << 17)

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

static char roomy[ROOM], tight[ROOM + 1], packed[ROOM];

static void inflate_look(struct span message) {
    struct builder out = builder_over(roomy, sizeof roomy);
    enum ws_inflated result = ws_inflate(message, &out);
    CHECK(result != WS_INFLATED_NO_MEMORY);
    if (result != WS_INFLATED)
        return;
    struct builder again = builder_over(tight, out.len);
    tight[out.len] = '#';
    CHECK(ws_inflate(message, &again) == WS_INFLATED);
    CHECK(span_equal(builder_span(&again), builder_span(&out)) && tight[out.len] == '#');
    if (out.len == 0)
        return;
    again = builder_over(tight, out.len - 1);
    CHECK(ws_inflate(message, &again) == WS_INFLATED_TOO_LARGE && again.len == 0);
}

static void round_look(struct span message, size_t cut) {
    struct builder out = builder_over(packed, sizeof packed);
    struct span parts[] = {span_of(message.at, cut), span_skip(message, cut)};
    unsigned bits = WS_WINDOW_BITS_MIN + (unsigned)(cut % 7);
    CHECK(ws_deflate(&out, parts, 2, bits) && !out.full);
    CHECK(out.len + 5 <= ws_deflate_bytes_max(message.len));
    struct builder back = builder_over(roomy, message.len);
    CHECK(ws_inflate(builder_span(&out), &back) == WS_INFLATED);
    CHECK(span_equal(builder_span(&back), message));
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    if (len == 0 || len > 32768)
        return 0;
    inflate_look(span_of(at, len));
    round_look(span_of(at, len), len * at[len - 1] / 256);
    return 0;
}
